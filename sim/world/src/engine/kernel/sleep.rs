//! Waiting for a moment.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::events::TimerId;

/// A reading of the clock that never comes.
pub(crate) const NEVER_NS: u64 = u64::MAX;

/// Ends when a clock shows this; holds a timer while it is waited for.
#[derive(Debug)]
pub(crate) struct Sleep {
    deadline_ns: u64,
    /// By the true time, or by the monotonic clock of the host that waits?
    by_true_time: bool,
    timer: Option<TimerId>,
}

impl Sleep {
    /// By the monotonic clock of the host that waits.
    pub(crate) fn until(deadline_ns: u64) -> Sleep {
        Sleep { deadline_ns, by_true_time: false, timer: None }
    }

    /// By the true time.
    pub(crate) fn until_true(deadline_ns: u64) -> Sleep {
        Sleep { deadline_ns, by_true_time: true, timer: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        super::with(|kernel| {
            let common = &kernel.common;
            if self.deadline_ns == NEVER_NS {
                return Poll::Pending;
            }
            let now_ns = kernel.now_ns();
            let shown_ns = if self.by_true_time { now_ns } else { common.monotonic_ns(now_ns) };
            if shown_ns >= self.deadline_ns {
                if let Some(timer) = self.timer.take() {
                    kernel.cancel_timer(timer);
                }
                return Poll::Ready(());
            }
            if let Some(timer) = self.timer {
                let updated = kernel.events.borrow_mut().update_timer(timer, context.waker());
                if updated.is_ok() {
                    return Poll::Pending;
                }
                // The clock was changed: the deadline lies at another true time now.
            }
            let due_ns = if self.by_true_time { self.deadline_ns } else { common.true_ns(self.deadline_ns) };
            let waker = context.waker().clone();
            let timer = kernel.events.borrow_mut().add_timer(due_ns, waker, common.current_host());
            self.timer = Some(timer);
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            super::try_with(|kernel| kernel.cancel_timer(timer));
        }
    }
}
