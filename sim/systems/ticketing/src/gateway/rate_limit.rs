//! The limit of requests per account and per device (ticketing spec, gateway): a token bucket for each.
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    api::code,
    keys,
    service::{ApiError, Instance, Outcome, script},
};

script!(RATE_LIMIT, "rate_limit.lua");

/// Takes a token from both buckets. `Some` is the wait in ms when one of them is empty.
pub(super) async fn wait_ms(instance: &Instance, account: &str, device: &str) -> Outcome<Option<u64>> {
    let limit = &instance.config.rate_limit;
    let mut script = RATE_LIMIT.prepare_invoke();
    script.key(keys::rate_of_account(account)).key(keys::rate_of_device(device));
    script.arg(limit.per_second).arg(limit.burst);
    let wait_ms: u64 = instance.store.run(&script).await?;
    Ok((wait_ms > 0).then_some(wait_ms))
}

/// 429, with the whole seconds after which it is worth trying again.
pub(super) fn too_many_requests(wait_ms: u64) -> Response {
    let message = format!("too many requests; the next one is welcome in {wait_ms} ms");
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, code::TOO_MANY_REQUESTS, message);
    let mut response = error.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)));
    response
}
