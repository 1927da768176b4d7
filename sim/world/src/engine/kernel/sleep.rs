//! Waiting for a moment.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::events::TimerId;

/// Ends at a moment; holds a timer while it is waited for.
#[derive(Debug)]
pub(crate) struct Sleep {
    deadline_ns: u64,
    timer: Option<TimerId>,
}

impl Sleep {
    pub(crate) fn until(deadline_ns: u64) -> Sleep {
        Sleep { deadline_ns, timer: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        super::with(|kernel| {
            if kernel.now_ns() >= self.deadline_ns {
                if let Some(timer) = self.timer.take() {
                    kernel.cancel_timer(timer);
                }
                return Poll::Ready(());
            }
            match self.timer {
                Some(timer) => drop(kernel.events.borrow_mut().update_timer(timer, context.waker())),
                None => {
                    let waker = context.waker().clone();
                    self.timer = Some(kernel.events.borrow_mut().add_timer(self.deadline_ns, waker));
                }
            }
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
