//! Waiting for a moment, by the engine's own timers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Foreign;
use crate::engine::kernel::sleep::NEVER_NS;
#[cfg(madsim)]
use crate::engines::EngineKind;

/// Engines' timers need not reach further: a longer wait takes several.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Ends when a clock shows this; holds a timer of the engine while it is waited for.
#[derive(Debug)]
pub(crate) struct Sleep {
    deadline_ns: u64,
    /// By the true time, or by the monotonic clock of the host that waits?
    by_true_time: bool,
    timer: Option<Timer>,
}

#[derive(Debug)]
struct Timer {
    number: u64,
    /// Changes of clocks when it was set.
    clock_changes: u64,
    native: Native,
}

enum Native {
    /// turmoil runs tokio's.
    Tokio(Pin<Box<tokio::time::Sleep>>),
    #[cfg(madsim)]
    Madsim(super::madsim::Timer),
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Native")
    }
}

impl Native {
    #[expect(clippy::disallowed_methods, reason = "the engine's own timer")]
    fn new(foreign: &Foreign, due_ns: u64) -> Native {
        let left = Duration::from_nanos(due_ns.saturating_sub(foreign.native_ns())).min(LONGEST);
        match foreign.kind {
            #[cfg(madsim)]
            EngineKind::Madsim => Native::Madsim(super::madsim::Timer::new(left)),
            _ => Native::Tokio(Box::pin(tokio::time::sleep(left))),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Native::Tokio(timer) => timer.as_mut().poll(context),
            #[cfg(madsim)]
            Native::Madsim(timer) => timer.poll(context),
        }
    }
}

impl Sleep {
    pub(crate) fn new(deadline_ns: u64, by_true_time: bool) -> Sleep {
        Sleep { deadline_ns, by_true_time, timer: None }
    }

    fn stop(&mut self, foreign: &Foreign) {
        if let Some(timer) = self.timer.take() {
            let waker = foreign.timers.borrow_mut().remove(&timer.number);
            drop(waker);
        }
    }

    fn poll_timer(&mut self, foreign: &Foreign, context: &mut Context<'_>) -> Poll<()> {
        let clock_changes = foreign.clock_changes.get();
        if self.timer.as_ref().is_some_and(|timer| timer.clock_changes != clock_changes) {
            self.stop(foreign);
        }
        let common = &foreign.common;
        let timer = self.timer.get_or_insert_with(|| {
            let due_ns = if self.by_true_time { self.deadline_ns } else { common.true_ns(self.deadline_ns) };
            Timer { number: foreign.new_number(), clock_changes, native: Native::new(foreign, due_ns) }
        });
        let entry = (common.current_host(), context.waker().clone());
        let before = foreign.timers.borrow_mut().insert(timer.number, entry);
        drop(before);
        timer.native.poll(context)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        super::with(|foreign| {
            if self.deadline_ns == NEVER_NS {
                return Poll::Pending;
            }
            loop {
                let now_ns = foreign.now_ns();
                let shown_ns = if self.by_true_time { now_ns } else { foreign.common.monotonic_ns(now_ns) };
                if shown_ns >= self.deadline_ns {
                    break;
                }
                if self.poll_timer(foreign, context).is_pending() {
                    return Poll::Pending;
                }
                self.stop(foreign);
            }
            self.stop(foreign);
            foreign.note_number("timer", foreign.common.current_host(), self.deadline_ns);
            Poll::Ready(())
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.timer.is_some() {
            super::try_with(|foreign| self.stop(foreign));
        }
    }
}
