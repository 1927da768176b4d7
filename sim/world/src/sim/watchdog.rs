//! Waits for a simulation, and gives it up when it no longer moves.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{Progress, RunError};
use crate::interpose;

/// What a simulation's thread sends.
pub(super) enum Message<T> {
    /// It went to its end.
    Ended(T),
    /// It stopped where it stood.
    Abandoned(RunError),
}

/// Waits for the message of a simulation. `None` when its thread ended without one: our own panic.
#[expect(clippy::disallowed_methods, reason = "a watchdog goes by the machine's clock")]
pub(super) fn wait<T>(
    receiver: &Receiver<Message<T>>,
    progress: &Progress,
    limit: Option<Duration>,
) -> Option<Message<T>> {
    // Inside a simulation there is no machine's clock to go by.
    let Some(limit) = limit.filter(|_| !interpose::is_simulated()) else { return receiver.recv().ok() };
    let tick = (limit / 8).clamp(Duration::from_millis(1), Duration::from_secs(1));
    let (mut beat, mut since) = (progress.beat(), std::time::Instant::now());
    loop {
        match receiver.recv_timeout(tick) {
            Ok(message) => return Some(message),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let next = progress.beat();
        if next != beat {
            (beat, since) = (next, std::time::Instant::now());
        } else if since.elapsed() >= limit {
            let (host, spawned_at) = progress.busy_task();
            let (at, waited) = (progress.simulated(), since.elapsed());
            return Some(Message::Abandoned(RunError::Stuck { host, spawned_at, at, waited }));
        }
    }
}
