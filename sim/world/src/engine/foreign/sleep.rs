//! Waiting for a moment, by the engine's own timers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Foreign;
use crate::common::Common;
#[cfg(madsim)]
use crate::engines::EngineKind;

/// Engines' timers need not reach further: a longer wait takes several.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Ends at a moment; holds a timer of the engine while it is waited for.
#[derive(Debug)]
pub(crate) struct Sleep {
    deadline_ns: u64,
    timer: Option<Timer>,
}

enum Timer {
    /// turmoil runs tokio's.
    Tokio(Pin<Box<tokio::time::Sleep>>),
    #[cfg(madsim)]
    Madsim(super::madsim::Timer),
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}

impl Timer {
    #[expect(clippy::disallowed_methods, reason = "the engine's own timer")]
    fn new(foreign: &Foreign, deadline_ns: u64) -> Timer {
        let left = Duration::from_nanos(deadline_ns.saturating_sub(foreign.native_ns())).min(LONGEST);
        foreign.timers.set(foreign.timers.get() + 1);
        match foreign.kind {
            #[cfg(madsim)]
            EngineKind::Madsim => Timer::Madsim(super::madsim::Timer::new(left)),
            _ => Timer::Tokio(Box::pin(tokio::time::sleep(left))),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Timer::Tokio(timer) => timer.as_mut().poll(context),
            #[cfg(madsim)]
            Timer::Madsim(timer) => timer.poll(context),
        }
    }
}

impl Sleep {
    pub(crate) fn until(deadline_ns: u64) -> Sleep {
        Sleep { deadline_ns, timer: None }
    }

    fn stop(&mut self, foreign: &Foreign) {
        if self.timer.take().is_some() {
            foreign.timers.set(foreign.timers.get() - 1);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        super::with(|foreign| {
            while foreign.now_ns() < self.deadline_ns {
                let deadline_ns = self.deadline_ns;
                let timer = self.timer.get_or_insert_with(|| Timer::new(foreign, deadline_ns));
                if timer.poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.stop(foreign);
            }
            self.stop(foreign);
            let host = crate::common::with(Common::current_host);
            foreign.note_number("timer", host, self.deadline_ns);
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
