//! How well the bank behaves.
use std::time::Duration;

/// The behaviour of a [`Bank`](super::Bank). Shares are probabilities from 0 (never) to 1 (always), drawn for each
/// request or callback on the bank's host.
#[derive(Debug, Clone)]
pub struct Options {
    /// The secret shared with the merchant that signs callbacks.
    pub callback_secret: String,
    /// Time from a request's arrival to its answer, half of it before the effect and half after.
    pub latency: Delay,
    /// Share of the requests that are never done: no effect, no answer within [`Self::hold`].
    pub timeouts_before_effect: f64,
    /// Share of the requests that are done, but not answered within [`Self::hold`].
    pub timeouts_after_effect: f64,
    /// How long a request that times out is held before it is answered with 504. Longer than any client waits.
    pub hold: Duration,
    /// Share of the buyers' payments that are declined (402); the payment can still be paid afterwards.
    pub declines: f64,
    /// Time from a change to the first attempt to tell it.
    pub callback_delay: Delay,
    /// Share of the callbacks that are told once more, later, with the same version.
    pub callback_duplicates: f64,
    /// Share of the callbacks after which the version before is told (once more).
    pub callback_reorders: f64,
    /// Share of the callbacks that get lost on the way: of these, half with their first one to three attempts and
    /// half with all of them, so that the merchant has to ask.
    pub callback_losses: f64,
    /// Share of the new payments for which somebody who does not know the secret claims that they were captured.
    pub callback_forgeries: f64,
    /// How long the answer to a callback is awaited.
    pub callback_timeout: Duration,
    /// The wait between the first and the second attempt of a callback; each further wait is twice as long.
    pub callback_retry: Duration,
    /// How often a callback is attempted; at least 1.
    pub callback_attempts_max: u32,
}

impl Default for Options {
    /// A good day: no misbehaviour at all.
    fn default() -> Options {
        Options {
            callback_secret: "rehearsal-callback-secret".to_owned(),
            latency: Delay::around(Duration::from_millis(40)),
            timeouts_before_effect: 0.0,
            timeouts_after_effect: 0.0,
            hold: Duration::from_secs(30),
            declines: 0.0,
            callback_delay: Delay::around(Duration::from_millis(150)),
            callback_duplicates: 0.0,
            callback_reorders: 0.0,
            callback_losses: 0.0,
            callback_forgeries: 0.0,
            callback_timeout: Duration::from_secs(5),
            callback_retry: Duration::from_secs(1),
            callback_attempts_max: 6,
        }
    }
}

/// A distribution of delays by three of its quantiles: uniform from half the median to the median, from there to
/// the 99th percentile, and from there to the maximum. The quantiles must ascend.
///
/// Without logarithms and exponentials, whose last bits differ between machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Half of the delays are shorter.
    pub median: Duration,
    /// One in a hundred is longer.
    pub p99: Duration,
    /// None is longer.
    pub max: Duration,
}

impl Delay {
    /// A long tail: the 99th percentile is 5 times the median, the maximum 20 times.
    pub const fn around(median: Duration) -> Delay {
        Delay { median, p99: median.saturating_mul(5), max: median.saturating_mul(20) }
    }

    /// Draws a delay on the current host.
    pub(super) fn draw(&self) -> Duration {
        self.at(world::rand::f64())
    }

    /// The delay that the share `quantile` (from 0 to below 1) of the delays is shorter than.
    fn at(&self, quantile: f64) -> Duration {
        let between = |from: Duration, to: Duration, part: f64| from + to.saturating_sub(from).mul_f64(part);
        if quantile < 0.5 {
            between(self.median / 2, self.median, quantile / 0.5)
        } else if quantile < 0.99 {
            between(self.median, self.p99, (quantile - 0.5) / 0.49)
        } else {
            between(self.p99, self.max, ((quantile - 0.99) / 0.01).min(1.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_meets_its_quantiles() {
        let delay = Delay::around(Duration::from_millis(100));
        assert_eq!(delay.at(0.0), Duration::from_millis(50));
        assert_eq!(delay.at(0.5), Duration::from_millis(100));
        assert_eq!(delay.at(0.99), Duration::from_millis(500));
        assert!(delay.at(0.999_999) <= Duration::from_millis(2000));
        assert!(delay.at(0.999_999) > Duration::from_millis(1990));
    }
}
