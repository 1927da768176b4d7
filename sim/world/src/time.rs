//! Time: a clock of nanoseconds that jumps from event to event.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Add, AddAssign, Sub};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
pub use std::time::Duration;
use std::time::SystemTime;

use crate::engine::kernel::{self, events::TimerId};

/// A reading of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock now.
    pub fn now() -> Instant {
        Instant(kernel::with(kernel::Kernel::now_ns))
    }

    /// Time since this instant.
    pub fn elapsed(&self) -> Duration {
        Instant::now() - *self
    }

    /// Time since an earlier instant; zero if that is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time since the start of the simulation: what a history records.
    pub fn since_start(&self) -> Duration {
        Duration::from_nanos(self.0)
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
#[expect(clippy::disallowed_methods, reason = "the one place that reads it; simulated on simulation threads")]
pub fn system_now() -> SystemTime {
    SystemTime::now()
}

/// Waits until a moment. See [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    timer: Option<TimerId>,
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
        kernel::with(|kernel| {
            if kernel.now_ns() >= self.deadline.0 {
                if let Some(timer) = self.timer.take() {
                    kernel.cancel_timer(timer);
                }
                return Poll::Ready(());
            }
            match self.timer {
                Some(timer) => drop(kernel.events.borrow_mut().update_timer(timer, context.waker())),
                None => {
                    let waker = context.waker().clone();
                    self.timer = Some(kernel.events.borrow_mut().add_timer(self.deadline.0, waker));
                }
            }
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            kernel::try_with(|kernel| kernel.cancel_timer(timer));
        }
    }
}

/// Waits for a duration.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until an instant; one that has passed is over at once.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None }
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
