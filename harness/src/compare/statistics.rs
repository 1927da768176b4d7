//! Has something changed, pair by pair? Wilcoxon's signed-rank test and what belongs to it: the Hodges–Lehmann estimate
//! and its confidence interval (M. Hollander, D. A. Wolfe, E. Chicken, *Nonparametric Statistical Methods*, 3rd edition,
//! sections 3.1 to 3.3). All of it exact: nothing is assumed of the distribution but that a change is as likely to be
//! seen too large as too small.

/// What pairs say about a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// The typical difference: the median of the means of all two of them.
    pub(super) center: f64,
    /// Has the true difference in it with the confidence asked for; `None` when there are too few pairs.
    pub(super) interval: Option<(f64, f64)>,
    /// The probability of such ranks, or more extreme ones, without a change: two-sided.
    pub(super) p: f64,
}

/// Estimates the change behind the differences of pairs (after minus before), of which there is at least one.
///
/// # Panics
/// Without any difference, or if one is not a number.
pub(super) fn signed_rank(differences: &[f64], confidence: f64) -> Estimate {
    let means = walsh_averages(differences);
    let count = means.len();
    let center = (means[(count - 1) / 2] + means[count / 2]) / 2.0;
    // As many of the means lie outside on each side as a sum of ranks may have that is too small to be chance.
    let whole_ranks: Vec<usize> = (1..=differences.len()).collect();
    let outside = tail(&whole_ranks).iter().take_while(|below| **below <= (1.0 - confidence) / 2.0).count();
    let interval = outside.checked_sub(1).map(|outside| (means[outside], means[count - 1 - outside]));
    Estimate { center, interval, p: p_value(differences) }
}

/// The means of all two differences, each with itself included, in ascending order.
fn walsh_averages(differences: &[f64]) -> Vec<f64> {
    let pairs = differences.iter().enumerate().flat_map(|(index, first)| {
        differences[index..].iter().map(move |second| f64::midpoint(*first, *second))
    });
    let mut means: Vec<f64> = pairs.collect();
    means.sort_by(f64::total_cmp);
    means
}

/// Pairs without a difference say nothing about its direction and are left out, as Wilcoxon did.
fn p_value(differences: &[f64]) -> f64 {
    let mut ordered: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    ordered.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = doubled_ranks(&ordered);
    let positive = ordered.iter().zip(&ranks).filter(|(difference, _)| **difference > 0.0);
    let sum: usize = positive.map(|(_, rank)| rank).sum();
    let all: usize = ranks.iter().sum();
    let below = tail(&ranks);
    // The distribution is symmetric.
    let at_most = |sum: usize| below.get(sum).copied().unwrap_or(1.0);
    (2.0 * at_most(sum.min(all - sum))).min(1.0)
}

/// Twice the rank of each by its size, where those of one size share the mean of theirs: twice, so that it is whole.
fn doubled_ranks(ordered: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(ordered.len());
    for group in ordered.chunk_by(|a, b| a.abs() == b.abs()) {
        let (first, last) = (ranks.len() + 1, ranks.len() + group.len());
        ranks.extend(std::iter::repeat_n(first + last, group.len()));
    }
    ranks
}

/// By sum: the probability that the ranks that are positive by chance, each with one half, sum up to that or less.
fn tail(ranks: &[usize]) -> Vec<f64> {
    let mut probability = vec![0.0; ranks.iter().sum::<usize>() + 1];
    probability[0] = 1.0;
    let mut reached = 0;
    for rank in ranks {
        for sum in (0..=reached).rev() {
            let half = probability[sum] / 2.0;
            probability[sum] = half;
            probability[sum + rank] += half;
        }
        reached += rank;
    }
    let mut below = 0.0;
    for each in &mut probability {
        below += *each;
        *each = below;
    }
    probability
}

/// Probabilities of several tests, corrected so that the chance to be wrong about any of them is what it would be for one
/// (S. Holm, *A simple sequentially rejective multiple test procedure*, 1979).
pub(super) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (place, index) in order.into_iter().enumerate() {
        least = least.max(p[index] * (p.len() - place) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hollander, Wolfe and Chicken, table 3.1: depression before and after a tranquilizer, nine patients. They give
    /// T+ = 5, p = 0.0391 (two-sided; they test one side, 0.0195), the estimate -0.46 and, at 96.1 %, (-0.786, -0.010).
    const HAMILTON: [f64; 9] = [-0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010];

    #[test]
    fn the_textbook_example() {
        let estimate = signed_rank(&HAMILTON, 0.96);
        assert!((estimate.p - 0.0391).abs() < 5e-5, "{}", estimate.p);
        assert!((estimate.center + 0.46).abs() < 5e-4, "{}", estimate.center);
        let (low, high) = estimate.interval.expect("nine are enough");
        assert!((low + 0.786).abs() < 5e-4 && (high + 0.010).abs() < 5e-4, "{low} {high}");
    }

    #[test]
    fn five_pairs_are_too_few_for_95_percent() {
        assert_eq!(signed_rank(&[1.0; 5], 0.95).interval, None);
        let six = signed_rank(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.95);
        assert_eq!(six.interval, Some((1.0, 6.0)));
        assert!((six.p - 2.0 / 64.0).abs() < 1e-12);
    }

    #[test]
    fn what_did_not_change_is_no_evidence() {
        let estimate = signed_rank(&[0.0; 20], 0.95);
        assert_eq!((estimate.center, estimate.interval, estimate.p), (0.0, Some((0.0, 0.0)), 1.0));
    }

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(doubled_ranks(&[1.0, -2.0, 2.0, 5.0]), [2, 5, 5, 8]);
        // All of one size: the sign test. Four of four: twice 1/16.
        assert!((signed_rank(&[1.0; 4], 0.95).p - 0.125).abs() < 1e-12);
    }

    /// Without a change, an interval misses the true value in one of twenty samples at most, and p is below 0.05 in as
    /// many.
    #[test]
    fn the_confidence_is_what_it_says() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let (mut missed, mut rejected) = (0, 0);
        for _ in 0..2_000 {
            let sample: Vec<f64> = (0..12).map(|_| rng.random_range(-1.0..1.0_f64).powi(3)).collect();
            let estimate = signed_rank(&sample, 0.95);
            let (low, high) = estimate.interval.expect("twelve are enough");
            missed += u32::from(!(low..=high).contains(&0.0));
            rejected += u32::from(estimate.p < 0.05);
        }
        assert!((50..=110).contains(&missed) && (50..=110).contains(&rejected), "{missed} {rejected}");
    }

    #[test]
    fn holm_corrects_the_least_most() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }
}
