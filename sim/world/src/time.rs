//! Time as the current host's clocks show it, in nanoseconds.
//!
//! [`Instant`] and all waiting go by the host's monotonic clock, [`system_now`] by its wall clock. Undisturbed, both
//! run true and alike on all hosts; [`Host::set_clock_drift`](crate::host::Host::set_clock_drift) and its siblings
//! disturb them, for the standard library's clocks as well. The monotonic clock never goes back and goes on while its
//! host is paused, crashed or down. Observers take the true time from [`crate::sim::elapsed`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Add, AddAssign, Sub};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
pub use std::time::Duration;
use std::time::SystemTime;

use crate::common::waits;
use crate::engine;
use crate::sim::WaitsFor;

/// A reading of the current host's monotonic clock. As on real machines, readings of different hosts can be compared
/// only as far as their clocks agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock now.
    pub fn now() -> Instant {
        Instant(engine::with(|world| world.common.monotonic_ns(world.now_ns())))
    }

    /// Time since this instant.
    pub fn elapsed(&self) -> Duration {
        Instant::now() - *self
    }

    /// Time since an earlier instant; zero if that is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds, saturating: 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

/// The wall clock of the current host; outside a simulation, the machine's.
#[expect(clippy::disallowed_methods, reason = "the machine's clock, outside a simulation")]
pub fn system_now() -> SystemTime {
    engine::try_with(engine::World::wall).unwrap_or_else(SystemTime::now)
}

/// Waits until a moment. See [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    inner: engine::sleep::Sleep,
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        waits::note(Pin::new(&mut self.inner).poll(context), || WaitsFor::Timer)
    }
}

/// Waits for a duration on the current host's monotonic clock; [`Duration::MAX`] is for ever.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until an instant; one that has passed is over at once.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, inner: engine::sleep::Sleep::until(deadline.0) }
}

/// The time allowed for a future was over before it completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

/// Runs a future for at most `duration` from now.
pub fn timeout<F: Future>(duration: Duration, future: F) -> impl Future<Output = Result<F::Output, Elapsed>> {
    timeout_at(Instant::now() + duration, future)
}

/// Runs a future until at most `deadline`.
pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = sleep_until(deadline);
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed))
    })
    .await
}

/// Ticks at a fixed period. See [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
}

impl Interval {
    /// Waits for the next tick and gives its instant. Missed ticks follow at once, as with tokio's default.
    pub async fn tick(&mut self) -> Instant {
        sleep_until(self.next).await;
        let tick = self.next;
        self.next += self.period;
        tick
    }
}

/// Ticks every `period`, the first time at once.
///
/// # Panics
/// When the period is zero.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period");
    Interval { next: Instant::now(), period }
}
