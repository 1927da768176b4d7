//! The limit of requests per account and per device (ticketing spec, gateway): a token bucket for each.
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use redis::ScriptInvocation;

use crate::{
    api::code,
    keys,
    service::{ApiError, Instance, Outcome, script},
};

script!(RATE_LIMIT, "rate_limit.lua");

/// Takes a token from the bucket of the account and one from that of the device. `Some` is the wait in ms when one of
/// them is empty.
pub(super) async fn wait_ms(instance: &Instance, account: &str, device: &str) -> Outcome<Option<u64>> {
    let (account, device) = (keys::rate_of_account(account), keys::rate_of_device(device));
    let wait_ms = match instance.store.has_slots() {
        false => take(instance, &[&account, &device]).await?,
        true => take_apart(instance, &account, &device).await?,
    };
    Ok((wait_ms > 0).then_some(wait_ms))
}

/// In a cluster the buckets are in slots of their own, so no step can take from both or from none: a request that finds
/// one of them empty gives back what it has taken from the other. If that gets lost, the token comes back with time.
async fn take_apart(instance: &Instance, account: &str, device: &str) -> Outcome<u64> {
    let take = async |bucket: &str| take(instance, &[bucket]).await;
    let (of_account, of_device) = tokio::join!(biased; take(account), take(device));
    let (of_account, of_device) = (of_account?, of_device?);
    match (of_account, of_device) {
        (0, 1..) => give_back(instance, account).await,
        (1.., 0) => give_back(instance, device).await,
        _ => {}
    }
    Ok(of_account.max(of_device))
}

/// Takes a token from each bucket: 0, or the wait in ms when one is empty.
async fn take(instance: &Instance, buckets: &[&str]) -> Outcome<u64> {
    instance.store.run(&rate_limit(instance, buckets, 1)).await
}

async fn give_back(instance: &Instance, bucket: &str) {
    let _: Outcome<u64> = instance.store.run(&rate_limit(instance, &[bucket], -1)).await;
}

fn rate_limit(instance: &Instance, buckets: &[&str], tokens: i64) -> ScriptInvocation<'static> {
    let limit = &instance.config.rate_limit;
    let token_ms = limit.token_ms();
    let mut script = RATE_LIMIT.key(buckets);
    script.arg(token_ms * tokens).arg(token_ms * i64::from(limit.burst));
    script
}

/// 429, with the whole seconds after which it is worth trying again.
pub(super) fn too_many_requests(wait_ms: u64) -> Response {
    let message = format!("too many requests; the next one is welcome in {wait_ms} ms");
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, code::TOO_MANY_REQUESTS, message);
    let mut response = error.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)));
    response
}
