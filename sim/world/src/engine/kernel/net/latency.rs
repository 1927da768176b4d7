//! How long a segment takes on a link.

use std::time::Duration;

use rand::Rng;

/// A distribution of one-way latencies, given by its quantiles.
///
/// A table of quantiles, linearly interpolated, rather than a formula: no logarithm or exponential is needed, whose
/// last bits differ between C libraries and would break replay on another machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// From one quantile to the next, ascending; the first begins at 0.
    pieces: Vec<Piece>,
}

/// Draws of 32 bits that lie below `below` and in no earlier piece.
#[derive(Debug, Clone, PartialEq)]
struct Piece {
    from: u64,
    below: u64,
    /// The latency at `from`, in nanoseconds, and how much each further step adds.
    least_ns: u64,
    step_ns: f64,
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
        let draw = |probability: f64| (probability * (1_u64 << 32) as f64) as u64;
        let piece = |pair: &[(f64, Duration)]| {
            let (from, below) = (draw(pair[0].0), draw(pair[1].0));
            let (least_ns, most_ns) = (pair[0].1.as_nanos() as u64, pair[1].1.as_nanos() as u64);
            let step_ns = (most_ns - least_ns) as f64 / below.abs_diff(from).max(1) as f64;
            Piece { from, below, least_ns, step_ns }
        };
        Latency { pieces: quantiles.windows(2).map(piece).collect() }
    }

    /// Two processes on one host.
    pub fn same_host() -> Latency {
        Latency::uniform(Duration::from_micros(8), Duration::from_micros(20))
    }

    /// Two virtual machines or containers on one machine.
    pub fn same_machine() -> Latency {
        Latency::from_quantiles(&[
            (0.0, Duration::from_micros(8)),
            (0.5, Duration::from_micros(25)),
            (0.99, Duration::from_micros(50)),
            (1.0, Duration::from_micros(500)),
        ])
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

    /// Two hosts in different availability zones of a region.
    pub fn other_zone() -> Latency {
        Latency::from_quantiles(&[
            (0.0, Duration::from_micros(300)),
            (0.5, Duration::from_micros(500)),
            (0.9, Duration::from_micros(800)),
            (0.99, Duration::from_micros(1500)),
            (0.999, Duration::from_millis(4)),
            (1.0, Duration::from_millis(15)),
        ])
    }

    /// Two hosts in different regions of a continent.
    pub fn other_region() -> Latency {
        Latency::from_quantiles(&[
            (0.0, Duration::from_millis(30)),
            (0.5, Duration::from_millis(35)),
            (0.9, Duration::from_millis(40)),
            (0.99, Duration::from_millis(60)),
            (0.999, Duration::from_millis(120)),
            (1.0, Duration::from_millis(300)),
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

    /// The least: engines that know ranges only ask for it.
    pub(crate) fn least(&self) -> Duration {
        Duration::from_nanos(self.at(0))
    }

    /// The greatest.
    pub(crate) fn most(&self) -> Duration {
        Duration::from_nanos(self.at(u64::from(u32::MAX)))
    }

    /// The mean.
    pub(crate) fn mean(&self) -> Duration {
        let share = |piece: &Piece| (piece.below - piece.from) as f64 / (1_u64 << 32) as f64;
        let middle = |piece: &Piece| self.at((piece.from + piece.below) / 2) as f64;
        let mean_ns: f64 = self.pieces.iter().map(|piece| share(piece) * middle(piece)).sum();
        Duration::from_nanos(mean_ns.round() as u64)
    }

    /// Half are below.
    pub(crate) fn median(&self) -> Duration {
        Duration::from_nanos(self.at(1 << 31))
    }

    fn at(&self, drawn: u64) -> u64 {
        // The last piece ends above every draw.
        let piece = self.pieces.iter().find(|piece| drawn < piece.below);
        piece.map_or(0, |piece| piece.least_ns + ((drawn - piece.from) as f64 * piece.step_ns) as u64)
    }

    /// Draws one latency, in nanoseconds.
    pub(crate) fn draw(&self, random: &mut impl Rng) -> u64 {
        self.at(u64::from(random.next_u32()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::generator;

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
    fn least_mean_and_median_are_those_of_the_table() {
        let ms = Duration::from_millis;
        let latency = Latency::from_quantiles(&[(0.0, ms(2)), (0.5, ms(4)), (1.0, ms(10))]);
        assert_eq!((latency.least(), latency.median()), (ms(2), ms(4)));
        assert!(latency.most() <= ms(10) && latency.most() > Duration::from_micros(9_999));
        assert!(latency.mean().abs_diff(ms(5)) < Duration::from_micros(1), "{:?}", latency.mean());
        let constant = Latency::constant(ms(3));
        assert_eq!([constant.least(), constant.mean(), constant.median(), constant.most()], [ms(3); 4]);
    }

    #[test]
    #[should_panic(expected = "quantiles ascend")]
    fn a_falling_table_is_refused() {
        Latency::uniform(Duration::from_millis(2), Duration::from_millis(1));
    }
}
