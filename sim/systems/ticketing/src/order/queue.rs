//! The admission queue of a train run: taking a place, and asking where it stands.
use std::time::Duration;

use http::StatusCode;

use crate::{
    api::{QueuePlace, QueueState, code},
    ids::{Id, QueueToken},
    keys,
    service::{ApiError, Instance, Outcome, request, script, store::millis},
};

use super::admission::{self, Law, Standing};

script!(JOIN, "join.lua");

/// Takes a place in the queue of a run, or offers standby when the queue is full or too slow.
pub(super) async fn join(instance: &Instance, account: &str, run: &str) -> Outcome<QueuePlace> {
    let standing = admission::advance(instance, run).await?;
    let law = Law::new(&instance.config.queue);
    let wait = law.wait(standing.tail - standing.head, standing.remaining);
    if law.is_too_long(Duration::ZERO, wait) {
        return Err(standby_offered());
    }
    let (token, position, head) = take_place(instance, account, run).await?.ok_or_else(standby_offered)?;
    Ok(place(&law, token, position, Duration::ZERO, &Standing { head, ..standing }))
}

/// Where a token of this account stands.
pub(super) async fn poll(instance: &Instance, account: &str, token: QueueToken) -> Outcome<QueuePlace> {
    let unknown = || request::not_found("there is no such queue token, or it has expired");
    let run = run_of(instance, token).ok_or_else(unknown)?;
    let fields =
        redis::cmd("HMGET").arg(keys::queue_token(token)).arg(&["account", "position", "joined_ms"]).take();
    let (fields, standing) = tokio::join!(biased; instance.store.command::<Vec<Option<String>>>(&fields), admission::advance(instance, run));
    let (fields, standing) = (fields?, standing?);
    let [Some(owner), Some(position), Some(joined_ms)] = fields.as_slice() else { return Err(unknown()) };
    if owner != account {
        return Err(unknown());
    }
    let (Ok(position), Ok(joined_ms)) = (position.parse(), joined_ms.parse()) else { return Err(unknown()) };
    let waited = Duration::from_millis(standing.now_ms.saturating_sub(joined_ms));
    Ok(place(&Law::new(&instance.config.queue), token.to_string(), position, waited, &standing))
}

/// The token, its position and the last place that is admitted; `None` when the queue is full.
async fn take_place(instance: &Instance, account: &str, run: &str) -> Outcome<Option<(String, u64, u64)>> {
    let rules = &instance.config.queue;
    let shard = instance.config.shards.of_run(run);
    let position = instance.config.sale.position(run).and_then(|position| u32::try_from(position).ok());
    let token = QueueToken::new(shard, position.unwrap_or_default(), world::rand::u64());
    let mut script = JOIN.prepare_invoke();
    script.key(keys::queue(shard, run)).key(keys::queue_place(shard, run, account));
    script.key(keys::queue_token(token)).arg(token.to_string()).arg(run).arg(account);
    script.arg(rules.waiting_max).arg(millis(rules.token_life));
    let reply: Vec<String> = instance.store.run(&script).await?;
    let [token, position, head] = reply.as_slice() else { return Ok(None) };
    let numbers = position.parse().ok().zip(head.parse().ok());
    Ok(numbers.map(|(position, head)| (token.clone(), position, head)))
}

fn place(law: &Law, token: String, position: u64, waited: Duration, standing: &Standing) -> QueuePlace {
    if position <= standing.head {
        return QueuePlace { token, state: QueueState::Admitted, position, ahead: 0, wait_ms: Some(0) };
    }
    let ahead = position - standing.head - 1;
    let wait = law.wait(ahead, standing.remaining);
    let state = if law.is_too_long(waited, wait) { QueueState::StandbyOffered } else { QueueState::Waiting };
    QueuePlace { token, state, position, ahead, wait_ms: wait.map(millis) }
}

fn standby_offered() -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        code::STANDBY_OFFERED,
        "the queue is full or too slow; standby is offered",
    )
}

/// The run that a token is for: of the position that it carries, if that belongs to the shard that it carries.
fn run_of(instance: &Instance, token: QueueToken) -> Option<&str> {
    let run = instance.config.sale.runs().get(token.run())?.train.id.as_str();
    (instance.config.shards.of_run(run) == token.shard()).then_some(run)
}
