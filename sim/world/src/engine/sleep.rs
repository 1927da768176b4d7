//! Waiting for a moment, on whichever engine carries the world.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Engine, foreign, kernel};

/// Ends at a moment; holds a timer while it is waited for.
#[derive(Debug)]
pub(crate) enum Sleep {
    Kernel(kernel::sleep::Sleep),
    Foreign(Box<foreign::sleep::Sleep>),
}

impl Sleep {
    /// Until the monotonic clock of the host that waits shows this.
    pub(crate) fn until(deadline_ns: u64) -> Sleep {
        super::with(|world| match &world.engine {
            Engine::Kernel(_) => Sleep::Kernel(kernel::sleep::Sleep::until(deadline_ns)),
            Engine::Foreign(_) => Sleep::Foreign(Box::new(foreign::sleep::Sleep::new(deadline_ns, false))),
        })
    }

    /// Until so many nanoseconds of true time after the start.
    pub(crate) fn until_true(deadline_ns: u64) -> Sleep {
        super::with(|world| match &world.engine {
            Engine::Kernel(_) => Sleep::Kernel(kernel::sleep::Sleep::until_true(deadline_ns)),
            Engine::Foreign(_) => Sleep::Foreign(Box::new(foreign::sleep::Sleep::new(deadline_ns, true))),
        })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Sleep::Kernel(sleep) => Pin::new(sleep).poll(context),
            Sleep::Foreign(sleep) => Pin::new(sleep.as_mut()).poll(context),
        }
    }
}
