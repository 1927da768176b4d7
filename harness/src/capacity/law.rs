//! The universal scalability law through measured points.
//!
//! X(N) = λN / (1 + σ(N − 1) + κN(N − 1)) is linear in disguise (Gunther, Guerrilla Capacity Planning, 2007, chapter 5):
//! N / X = a + b(N − 1) + cN(N − 1) with λ = 1/a, σ = b/a, κ = c/a, and N / X is, by Little's law, the mean latency. It is
//! fitted by least squares of the relative errors of that latency, with b and c not below 0, since neither contention
//! nor coherency speeds anything up. The intervals are those of a bootstrap of the relative residuals (Davison and
//! Hinkley, Bootstrap Methods and their Application, 1997, chapter 6). Both numbers are measured, so N is not free of
//! error as least squares have it; averages over many operations keep that small.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use record::capacity::{Ceiling, Estimate, Fit, Knee, NoFit, NoKnee};

/// A curve of three parameters through fewer levels would prove nothing.
pub(super) const LEVELS_MIN: usize = 4;
/// Resamplings behind each interval.
const RESAMPLED: usize = 2_000;
/// The ends of the intervals, as shares of the resampled values.
const ENDS: (f64, f64) = (0.025, 0.975);
/// Equal points give equal intervals.
const SEED: u64 = 0x55_534C;

/// One measurement: operations under way, and operations answered per second; both above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) concurrency: f64,
    pub(super) per_s: f64,
}

/// The law with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Law {
    lambda: f64,
    sigma: f64,
    kappa: f64,
}

impl Law {
    fn latency(&self, n: f64) -> f64 {
        (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0)) / self.lambda
    }

    fn throughput(&self, n: f64) -> f64 {
        n / self.latency(n)
    }

    /// Where X²(N)/N is highest; infinite where it always grows.
    fn knee(&self) -> f64 {
        // Its derivative is 0 where 1 − σ = (σ − κ)N + 3κN².
        let (rest, slope) = ((1.0 - self.sigma).max(0.0), self.sigma - self.kappa);
        if self.kappa > 0.0 {
            // The root that does not cancel when κ is small: 2r / (s + √(s² + 12κr)).
            let root = (slope * slope + 12.0 * self.kappa * rest).sqrt();
            if slope + root > 0.0 { 2.0 * rest / (slope + root) } else { f64::INFINITY }
        } else if slope > 0.0 {
            rest / slope
        } else {
            f64::INFINITY
        }
    }

    fn ceiling(&self) -> Option<Ceiling> {
        if self.kappa > 0.0 {
            let n = ((1.0 - self.sigma).max(0.0) / self.kappa).sqrt();
            return Some(Ceiling { concurrency: Some(n), per_s: self.throughput(n) });
        }
        (self.sigma > 0.0).then(|| Ceiling { concurrency: None, per_s: self.lambda / self.sigma })
    }
}

/// Fits the law to points of at least [`LEVELS_MIN`] different loads.
///
/// # Errors
/// The points are on no such curve.
pub(super) fn fit(points: &[Point]) -> Result<Fit, NoFit> {
    let latencies: Vec<f64> = points.iter().map(|point| point.concurrency / point.per_s).collect();
    let Some((law, free)) = least_squares(points, &latencies) else {
        return Err(NoFit::NoCurve);
    };
    let resampled = resample(points, &latencies, &law, free);
    let estimate = |value: f64, of: &dyn Fn(&Law) -> f64| interval(value, resampled.iter().map(of).collect());
    let knee_at = law.knee();
    let (from, to) = points.iter().fold((f64::INFINITY, 0.0_f64), |(from, to), point| {
        (from.min(point.concurrency), to.max(point.concurrency))
    });
    let no_knee = if !knee_at.is_finite() {
        Some(NoKnee::StraightLine)
    } else if knee_at > to {
        Some(NoKnee::AboveTheLevels { measured: to, knee: knee_at })
    } else if knee_at < from {
        Some(NoKnee::BelowTheLevels { measured: from, knee: knee_at })
    } else {
        let highest = points.iter().map(|point| point.per_s).fold(0.0, f64::max);
        let concurrencies = || points.iter().map(|point| point.concurrency);
        let measured = concurrencies().filter(|n| *n <= knee_at).fold(from, f64::max);
        let next = concurrencies().filter(|n| *n >= knee_at).fold(to, f64::min);
        (law.throughput(knee_at) > highest).then_some(NoKnee::BetweenTheLevels { measured, next })
    };
    let knee = no_knee.is_none().then(|| Knee {
        concurrency: estimate(knee_at, &Law::knee),
        per_s: estimate(law.throughput(knee_at), &|law| match law.knee() {
            n if n.is_finite() => law.throughput(n),
            _ => f64::INFINITY,
        }),
    });
    Ok(Fit {
        lambda: estimate(law.lambda, &|law| law.lambda),
        sigma: estimate(law.sigma, &|law| law.sigma),
        kappa: estimate(law.kappa, &|law| law.kappa),
        r_squared: r_squared(points, &law),
        points: points.len(),
        ceiling: law.ceiling().filter(|_| knee.is_some()),
        knee,
        no_knee,
    })
}

/// The law with the least sum of squared relative errors, and how many of its parameters are not held at 0.
///
/// With three parameters, all ways to hold b or c at 0 are tried: the best one that needs nothing negative is the
/// constrained optimum.
fn least_squares(points: &[Point], latencies: &[f64]) -> Option<(Law, usize)> {
    let candidates = [[true, true, true], [true, true, false], [true, false, true], [true, false, false]];
    let fitted = candidates.into_iter().filter_map(|used| {
        let parameters = solve(points, latencies, used)?;
        let [a, b, c] = parameters;
        let errors = points.iter().zip(latencies).map(|(point, latency)| {
            let error = (row(point, [true; 3]).iter().zip(parameters).map(|(x, p)| x * p).sum::<f64>()
                - latency)
                / latency;
            error * error
        });
        let error: f64 = errors.sum();
        let law = Law { lambda: 1.0 / a, sigma: b / a, kappa: c / a };
        let free = used.iter().filter(|used| **used).count();
        (a > 0.0 && b >= 0.0 && c >= 0.0 && error.is_finite()).then_some((error, law, free))
    });
    fitted.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, law, free)| (law, free))
}

/// What a, b and c are multiplied by at a point.
fn row(point: &Point, used: [bool; 3]) -> [f64; 3] {
    let n = point.concurrency;
    let all = [1.0, n - 1.0, n * (n - 1.0)];
    [0, 1, 2].map(|column| if used[column] { all[column] } else { 0.0 })
}

/// The normal equations of the relative errors, by Gaussian elimination with pivots; columns are scaled, as N(N − 1) is
/// larger than 1 by far. `None` where they say nothing.
fn solve(points: &[Point], latencies: &[f64], used: [bool; 3]) -> Option<[f64; 3]> {
    let rows = || points.iter().zip(latencies).map(|(point, latency)| row(point, used).map(|x| x / latency));
    let scale = [0, 1, 2].map(|column| rows().map(|row| row[column].abs()).fold(0.0, f64::max));
    let mut matrix = [[0.0; 4]; 3];
    for row in rows() {
        let row = [0, 1, 2].map(|column| if used[column] { row[column] / scale[column] } else { 0.0 });
        for (line, x) in matrix.iter_mut().zip(row) {
            for (cell, y) in line.iter_mut().zip([row[0], row[1], row[2], 1.0]) {
                *cell += x * y;
            }
        }
    }
    for column in (0..3).filter(|column| !used[*column]) {
        matrix[column][column] = 1.0;
    }
    for column in 0..3 {
        let pivot =
            (column..3).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        let size = matrix[column][column].abs();
        if size.is_nan() || size <= 1e-12 * points.len() as f64 {
            return None;
        }
        let pivot = matrix[column];
        for line in (0..3).filter(|line| *line != column) {
            let factor = matrix[line][column] / pivot[column];
            for (cell, subtracted) in matrix[line].iter_mut().zip(pivot) {
                *cell -= factor * subtracted;
            }
        }
    }
    let value = |column: usize| match used[column] {
        true => matrix[column][3] / matrix[column][column] / scale[column],
        false => 0.0,
    };
    Some([value(0), value(1), value(2)])
}

/// The laws that are fitted when the relative residuals are dealt out anew.
fn resample(points: &[Point], latencies: &[f64], law: &Law, free: usize) -> Vec<Law> {
    let count = points.len();
    // Residuals of a fit are smaller than the errors by as much as the fit has adapted to them.
    let inflated = (count as f64 / (count.saturating_sub(free).max(1)) as f64).sqrt();
    let expected: Vec<f64> = points.iter().map(|point| law.latency(point.concurrency)).collect();
    let residuals: Vec<f64> =
        latencies.iter().zip(&expected).map(|(seen, expected)| (seen / expected - 1.0) * inflated).collect();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut laws = Vec::new();
    for _ in 0..RESAMPLED {
        let mut draw = || residuals[(random.next_u64() % count as u64) as usize];
        let drawn: Vec<f64> =
            expected.iter().map(|expected| expected * (1.0 + draw()).max(f64::EPSILON)).collect();
        laws.extend(least_squares(points, &drawn).map(|(law, _)| law));
    }
    laws
}

fn interval(value: f64, mut resampled: Vec<f64>) -> Estimate {
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * (resampled.len().saturating_sub(1)) as f64).round() as usize;
        resampled.get(index).copied().unwrap_or(value)
    };
    // The value itself belongs to its interval, also where residuals are skewed.
    let (low, high) = (at(ENDS.0).min(value), at(ENDS.1).max(value));
    Estimate { value, low, high: high.is_finite().then_some(high) }
}

fn r_squared(points: &[Point], law: &Law) -> f64 {
    let mean = points.iter().map(|point| point.per_s).sum::<f64>() / points.len() as f64;
    let sum = |error: &dyn Fn(&Point) -> f64| points.iter().map(|point| error(point).powi(2)).sum::<f64>();
    let (unexplained, variance) =
        (sum(&|point| point.per_s - law.throughput(point.concurrency)), sum(&|point| point.per_s - mean));
    // Equal throughputs have no variance to be explained.
    if variance > 0.0 { 1.0 - unexplained / variance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(law: &Law, noise: &[f64]) -> Vec<Point> {
        let levels = [1.0, 2.5, 6.0, 15.0, 35.0, 80.0, 180.0, 400.0];
        let point =
            |(n, noise): (f64, &f64)| Point { concurrency: n, per_s: law.throughput(n) * (1.0 + noise) };
        levels.into_iter().zip(noise).map(point).collect()
    }

    fn holds(estimate: &Estimate, value: f64, slack: f64) -> bool {
        estimate.low - slack <= value && estimate.high.is_none_or(|high| value <= high + slack)
    }

    proptest! {
        // Each fits thousands of curves.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn exact_points_give_the_law_back(
            lambda in 1.0..10_000.0, sigma in 0.0..0.3, kappa in 0.0..0.001
        ) {
            let law = Law { lambda, sigma, kappa };
            let fit = fit(&points(&law, &[0.0; 8])).expect("a fit");
            prop_assert!((fit.lambda.value / lambda - 1.0).abs() < 1e-6, "{fit:?}");
            prop_assert!((fit.sigma.value - sigma).abs() < 1e-6, "{fit:?}");
            prop_assert!((fit.kappa.value - kappa).abs() < 1e-8, "{fit:?}");
            prop_assert!(fit.r_squared > 0.999_999);
            // The knee is where power is highest.
            if let Some(knee) = fit.knee {
                let n = knee.concurrency.value;
                let power = |n: f64| law.throughput(n).powi(2) / n;
                prop_assert!(power(n) >= power(n * 1.01) && power(n) >= power(n * 0.99), "{n}");
            }
        }

        #[test]
        fn whatever_was_measured_gives_ordered_intervals_or_a_sentence(
            measured in prop::collection::vec((0.01..1e5, 0.01..1e5), 4..20)
        ) {
            let points: Vec<Point> =
                measured.into_iter().map(|(concurrency, per_s)| Point { concurrency, per_s }).collect();
            if let Ok(fit) = fit(&points) {
                for estimate in [fit.lambda, fit.sigma, fit.kappa] {
                    prop_assert!(estimate.low <= estimate.value && estimate.low >= 0.0, "{fit:?}");
                    prop_assert!(estimate.high.is_none_or(|high| estimate.value <= high), "{fit:?}");
                }
                prop_assert!(fit.knee.is_some() == fit.no_knee.is_none());
            }
        }
    }

    /// An interval of 95 % holds the true value about as often as it says.
    #[test]
    fn intervals_hold_the_true_parameters_of_noisy_points() {
        let law = Law { lambda: 20.0, sigma: 0.02, kappa: 0.000_05 };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut held = [0; 3];
        let rounds = 100;
        for _ in 0..rounds {
            // Sums of uniform numbers are close enough to a normal distribution; 3 % each.
            let mut noise = || {
                let sum: f64 = (0..12).map(|_| random.next_u64() as f64 / u64::MAX as f64).sum();
                (sum - 6.0) * 0.03
            };
            let noise: Vec<f64> = (0..8).map(|_| noise()).collect();
            let fit = fit(&points(&law, &noise)).expect("a fit");
            for (count, (estimate, value)) in held.iter_mut().zip([
                (fit.lambda, law.lambda),
                (fit.sigma, law.sigma),
                (fit.kappa, law.kappa),
            ]) {
                *count += usize::from(holds(&estimate, value, 0.0));
            }
        }
        assert!(held.iter().all(|held| *held >= 80), "of {rounds} rounds each: {held:?}");
    }

    #[test]
    fn a_system_that_never_saturates_shows_no_knee() {
        let straight = fit(&points(&Law { lambda: 10.0, sigma: 0.0, kappa: 0.0 }, &[0.0; 8])).expect("a fit");
        assert_eq!((straight.knee, straight.no_knee), (None, Some(NoKnee::StraightLine)));
        let far = fit(&points(&Law { lambda: 10.0, sigma: 0.000_1, kappa: 0.0 }, &[0.0; 8])).expect("a fit");
        assert_eq!(far.knee, None);
        assert!(matches!(far.no_knee, Some(NoKnee::AboveTheLevels { measured: 400.0, .. })), "{far:?}");
    }

    /// A system that carries 1000 a second and no more, with nothing measured where it begins to queue.
    #[test]
    fn a_knee_that_nobody_has_seen_is_no_knee() {
        let straight = [10.0, 20.0, 40.0, 80.0].map(|n| Point { concurrency: n, per_s: n * 8.0 });
        let full = Point { concurrency: 2_000.0, per_s: 1_000.0 };
        let fit = fit(&[&straight[..], &[full]].concat()).expect("a fit");
        assert_eq!(fit.no_knee, Some(NoKnee::BetweenTheLevels { measured: 80.0, next: 2_000.0 }), "{fit:?}");
        assert_eq!((fit.knee, fit.ceiling), (None, None));
    }

    #[test]
    fn without_coherency_the_knee_is_where_the_asymptotes_cross() {
        let law = Law { lambda: 10.0, sigma: 0.05, kappa: 0.0 };
        assert!((law.knee() - 19.0).abs() < 1e-9);
        assert_eq!(law.ceiling().map(|ceiling| ceiling.per_s.round()), Some(200.0));
    }
}
