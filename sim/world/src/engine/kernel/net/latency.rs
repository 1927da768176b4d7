//! How long a segment takes on a link.

use std::time::Duration;

use rand::Rng;

/// A distribution of one-way latencies, given by its quantiles.
///
/// A table of quantiles, linearly interpolated, rather than a formula: no logarithm or exponential is needed, whose
/// last bits differ between C libraries and would break replay on another machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// (probability in 0..=1, nanoseconds), both ascending; the first at 0, the last at 1.
    quantiles: Vec<(f64, u64)>,
}

impl Latency {
    /// Always the same.
    pub fn constant(latency: Duration) -> Latency {
        Latency::uniform(latency, latency)
    }

    /// Any latency from `min` to `max`, equally likely.
    pub fn uniform(min: Duration, max: Duration) -> Latency {
        Latency::from_quantiles(&[(0.0, min), (1.0, max)])
    }

    /// From pairs of a probability (0 to 1) and the latency below which that share of the segments stays.
    ///
    /// # Panics
    /// When the pairs do not begin at 0, end at 1 and ascend in both values: tables are part of the program.
    pub fn from_quantiles(quantiles: &[(f64, Duration)]) -> Latency {
        let ends = quantiles.first().map(|q| q.0).zip(quantiles.last().map(|q| q.0));
        assert!(quantiles.len() >= 2 && ends == Some((0.0, 1.0)), "quantiles run from 0 to 1: {quantiles:?}");
        let ascending = quantiles.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        assert!(ascending, "quantiles ascend: {quantiles:?}");
        Latency { quantiles: quantiles.iter().map(|(p, latency)| (*p, latency.as_nanos() as u64)).collect() }
    }

    /// Two processes on one host.
    pub fn same_host() -> Latency {
        Latency::uniform(Duration::from_micros(8), Duration::from_micros(20))
    }

    /// Two hosts in one availability zone.
    pub fn same_zone() -> Latency {
        Latency::from_quantiles(&[
            (0.0, Duration::from_micros(100)),
            (0.5, Duration::from_micros(200)),
            (0.9, Duration::from_micros(350)),
            (0.99, Duration::from_micros(900)),
            (0.999, Duration::from_millis(3)),
            (1.0, Duration::from_millis(10)),
        ])
    }

    /// A customer's device and a data centre: mobile and home networks mixed.
    pub fn internet() -> Latency {
        Latency::from_quantiles(&[
            (0.0, Duration::from_millis(4)),
            (0.5, Duration::from_millis(18)),
            (0.9, Duration::from_millis(45)),
            (0.99, Duration::from_millis(120)),
            (0.999, Duration::from_millis(400)),
            (1.0, Duration::from_millis(1500)),
        ])
    }

    /// Draws one latency, in nanoseconds.
    pub(crate) fn draw(&self, random: &mut impl Rng) -> u64 {
        let probability = f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0);
        let upper =
            self.quantiles.iter().position(|(p, _)| *p > probability).unwrap_or(self.quantiles.len() - 1);
        let ((p0, low), (p1, high)) = (self.quantiles[upper - 1], self.quantiles[upper]);
        low + ((high - low) as f64 * ((probability - p0) / (p1 - p0))) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::generator;

    #[test]
    fn draws_follow_the_quantiles() {
        let latency = Latency::same_zone();
        let mut random = generator(1, "latency");
        let mut drawn: Vec<u64> = (0..10_000).map(|_| latency.draw(&mut random)).collect();
        drawn.sort_unstable();
        assert!((190_000..210_000).contains(&drawn[5_000]), "median {}", drawn[5_000]);
        assert!((330_000..370_000).contains(&drawn[9_000]), "p90 {}", drawn[9_000]);
        assert!(drawn[0] >= 100_000 && drawn[9_999] <= 10_000_000);
    }

    #[test]
    #[should_panic(expected = "quantiles ascend")]
    fn a_falling_table_is_refused() {
        Latency::uniform(Duration::from_millis(2), Duration::from_millis(1));
    }
}
