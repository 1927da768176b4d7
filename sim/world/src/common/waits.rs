//! What tasks wait for, found out when nothing can happen any more.
//!
//! Nothing is noted while a simulation runs. At a deadlock every task that is left is polled once more: the futures
//! of the facade that are not ready say then what they wait for.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::sim::WaitsFor;

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static NOTED: RefCell<Vec<WaitsFor>> = const { RefCell::new(Vec::new()) };
}

/// Passes on how a poll ended; if a task is being asked and it did not complete, notes what it waits for.
#[inline]
pub(crate) fn note<T>(poll: Poll<T>, waits_for: impl FnOnce() -> WaitsFor) -> Poll<T> {
    if poll.is_pending() && ASKED.get() {
        NOTED.with(|noted| noted.borrow_mut().push(waits_for()));
    }
    poll
}

/// A future that says what it waits for.
pub(crate) async fn noting<F: Future>(future: F, waits_for: impl Fn() -> WaitsFor) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| note(future.as_mut().poll(context), &waits_for)).await
}

/// What the futures polled by `poll` say they wait for.
pub(crate) fn ask<R>(poll: impl FnOnce() -> R) -> (R, Vec<WaitsFor>) {
    ASKED.set(true);
    let result = poll();
    ASKED.set(false);
    (result, NOTED.take())
}
