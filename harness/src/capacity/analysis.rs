//! What follows from the levels of a sweep.

use std::collections::BTreeMap;

use record::capacity::{ANSWERED_MIN, Bottleneck, Curve, HostLoad, Level, NoFit, Run, SATURATED, Sustained};
use scenarios::Limits;

use super::law::{self, LEVELS_MIN, Point};
use super::measure::{Asked, Measured};
use crate::rehearsal::service_levels;

/// So many times as many operations under way in the second half of a window as in the first are no accident.
const GROWING: f64 = 1.25;
/// Nor are differences of so many standard deviations: the number of customers who come by accident is distributed as
/// Poisson says, so its variance is its mean.
const DEVIATIONS: f64 = 3.0;

/// One load, over the runs with all seeds.
pub(super) fn level(factor: f64, customers_per_s: f64, runs: &[Measured], limits: &Limits) -> Level {
    let mean = |of: &dyn Fn(&Measured) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    let mut asked: BTreeMap<&str, Asked> = BTreeMap::new();
    for (name, more) in runs.iter().flat_map(|run| &run.asked) {
        asked.entry(name).or_default().extend(more);
    }
    let (answered, all) = asked
        .values()
        .fold((0, 0), |(answered, all), asked| (answered + asked.answered(), all + asked.all()));
    let answered = if all > 0 { answered as f64 / all as f64 } else { 1.0 };
    let service_levels = service_levels(limits, |operation, percentile| {
        asked.get(operation).map_or(0, |asked| asked.quantile_us(percentile.quantile()))
    });
    let met = answered >= ANSWERED_MIN && service_levels.iter().all(|level| level.met);
    let mut violated: Vec<String> = runs.iter().flat_map(|run| run.violated.clone()).collect();
    violated.sort();
    violated.dedup();
    let halves = [0, 1].map(|half| mean(&|run| run.halves[half]));
    Level {
        factor,
        customers_per_s: customers_per_s * factor,
        offered_per_s: mean(&|run| run.offered_per_s),
        achieved_per_s: mean(&|run| run.achieved_per_s),
        refused_per_s: mean(&|run| run.refused_per_s),
        answered,
        concurrency: mean(&|run| run.concurrency),
        is_growing: halves[1] > halves[0] * GROWING + DEVIATIONS * halves[0].sqrt(),
        operations: asked.iter().map(|(name, asked)| ((*name).to_owned(), asked.stats())).collect(),
        service_levels,
        met,
        violated,
        hosts: hosts(runs),
        runs: runs.iter().map(run).collect(),
    }
}

fn run(measured: &Measured) -> Run {
    Run {
        seed: measured.seed,
        fingerprint: measured.fingerprint.clone(),
        concurrency: measured.concurrency,
        achieved_per_s: measured.achieved_per_s,
    }
}

/// The busiest first.
fn hosts(runs: &[Measured]) -> Vec<HostLoad> {
    let mut busy: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, share) in runs.iter().flat_map(|run| &run.busy) {
        *busy.entry(name).or_default() += share / runs.len() as f64;
    }
    let mut hosts: Vec<HostLoad> =
        busy.into_iter().map(|(name, busy)| HostLoad { name: name.to_owned(), busy }).collect();
    hosts.sort_by(|a, b| b.busy.total_cmp(&a.busy));
    hosts
}

/// All levels with the same settings.
pub(super) fn curve(settings: BTreeMap<String, String>, levels: Vec<Level>) -> Curve {
    let (fit, no_fit) = match fit(&levels) {
        Ok(fit) => (Some(fit), None),
        Err(why) => (None, Some(why)),
    };
    Curve { settings, sustained: sustained(&levels), bottleneck: bottleneck(&levels), fit, no_fit, levels }
}

fn fit(levels: &[Level]) -> Result<record::capacity::Fit, NoFit> {
    let runs = levels.iter().flat_map(|level| &level.runs);
    let points = runs.map(|run| Point { concurrency: run.concurrency, per_s: run.achieved_per_s });
    let points: Vec<Point> = points.filter(|point| point.concurrency > 0.0 && point.per_s > 0.0).collect();
    let is_used = |level: &&Level| level.runs.iter().any(|run| run.achieved_per_s > 0.0);
    let used = levels.iter().filter(is_used).count();
    if used < LEVELS_MIN {
        return Err(NoFit::TooFewLevels { needed: LEVELS_MIN, measured: used });
    }
    law::fit(&points)
}

/// Between which rates the service levels stop being met. What is met again beyond a level that misses them does not count.
fn sustained(levels: &[Level]) -> Sustained {
    let first_missed = levels.iter().position(|level| !level.met);
    let met = &levels[..first_missed.unwrap_or(levels.len())];
    let missed = first_missed.map(|index| &levels[index]);
    let about_per_s = met.last().zip(missed).and_then(|(met, missed)| crossing(met, missed));
    let names = missed.into_iter().flat_map(|missed| &missed.service_levels);
    let names = names.filter(|level| !level.met).map(|level| level.name.clone());
    Sustained {
        met_per_s: met.last().map(|level| level.offered_per_s),
        missed_per_s: missed.map(|level| level.offered_per_s),
        about_per_s,
        missed: names.collect(),
        too_few_answered: missed.is_some_and(|missed| missed.answered < ANSWERED_MIN),
    }
}

/// Where the first of the limits is reached on a straight line between the two levels.
fn crossing(met: &Level, missed: &Level) -> Option<f64> {
    let pairs = met.service_levels.iter().zip(&missed.service_levels);
    let crossed = pairs.filter(|(_, after)| !after.met).map(|(before, after)| {
        let (limit, before) = (after.limit_us as f64, before.observed_us as f64);
        (limit - before) / (after.observed_us as f64 - before)
    });
    let share = crossed.filter(|share| (0.0..=1.0).contains(share)).reduce(f64::min)?;
    Some(met.offered_per_s + share * (missed.offered_per_s - met.offered_per_s))
}

/// The host that is saturated at the lowest level; of several, the one that was busiest before. Where none is, the one that
/// is busiest at the highest level.
fn bottleneck(levels: &[Level]) -> Option<Bottleneck> {
    let busy = |level: &Level, host: &str| {
        level.hosts.iter().find(|load| load.name == host).map_or(0.0, |load| load.busy)
    };
    let is_saturated = |level: &Level| level.hosts.iter().any(|load| load.busy >= SATURATED);
    let saturated = levels.iter().position(is_saturated);
    let free = &levels[..saturated.unwrap_or(levels.len())];
    let host = match saturated {
        Some(index) => {
            let full = levels[index].hosts.iter().filter(|load| load.busy >= SATURATED);
            let before = |load: &&HostLoad| free.last().map_or(load.busy, |level| busy(level, &load.name));
            // The first of equals is the busiest now.
            full.reduce(|a, b| if before(&b) > before(&a) { b } else { a })?
        }
        None => levels.last()?.hosts.first()?,
    };
    // The utilisation law: busy = demand × rate, a line through the origin (least squares).
    let (of_both, of_rates) = free.iter().fold((0.0, 0.0), |(of_both, of_rates), level| {
        let rate = level.offered_per_s;
        (of_both + busy(level, &host.name) * rate, of_rates + rate * rate)
    });
    Some(Bottleneck {
        host: host.name.clone(),
        free_per_s: free.last().map(|level| level.offered_per_s),
        saturated_per_s: saturated.map(|index| levels[index].offered_per_s),
        full_per_s: (of_both > 0.0).then(|| of_rates / of_both),
    })
}

#[cfg(test)]
mod tests {
    use record::result::ServiceLevel;

    use super::*;

    /// A level whose only limit is 500 ms.
    fn level(offered_per_s: f64, observed_ms: u64, hosts: &[(&str, f64)]) -> Level {
        let met = observed_ms <= 500;
        let limit = ServiceLevel {
            name: "order.submit p95".to_owned(),
            limit_us: 500_000,
            observed_us: observed_ms * 1000,
            met,
        };
        let hosts = hosts.iter().map(|(name, busy)| HostLoad { name: (*name).to_owned(), busy: *busy });
        Level {
            offered_per_s,
            answered: 1.0,
            service_levels: vec![limit],
            met,
            hosts: hosts.collect(),
            ..Level::default()
        }
    }

    #[test]
    fn the_highest_rate_is_an_interval() {
        let levels =
            [level(100.0, 100, &[]), level(200.0, 300, &[]), level(400.0, 700, &[]), level(800.0, 400, &[])];
        let found = sustained(&levels);
        assert_eq!((found.met_per_s, found.missed_per_s), (Some(200.0), Some(400.0)));
        assert_eq!(found.about_per_s, Some(300.0));
        assert_eq!(
            (found.missed.as_slice(), found.too_few_answered),
            (&["order.submit p95".to_owned()][..], false)
        );
        assert_eq!(sustained(&levels[..2]).missed_per_s, None);
        let none = sustained(&levels[2..]);
        assert_eq!((none.met_per_s, none.missed_per_s, none.about_per_s), (None, Some(400.0), None));
        let failing = Level { answered: 0.5, met: false, ..level(300.0, 10, &[]) };
        let failing = sustained(&[failing]);
        assert_eq!((failing.missed.as_slice(), failing.too_few_answered), (&[][..], true));
    }

    #[test]
    fn the_host_that_saturates_first_is_found() {
        let levels = [
            level(100.0, 1, &[("gateway-1", 0.30), ("order-1", 0.20)]),
            level(200.0, 1, &[("gateway-1", 0.60), ("order-1", 0.40)]),
            level(400.0, 1, &[("order-1", 0.99), ("gateway-1", 0.97)]),
        ];
        let found = bottleneck(&levels).expect("a bottleneck");
        assert_eq!(found.host, "gateway-1", "it was busier before");
        assert_eq!((found.free_per_s, found.saturated_per_s), (Some(200.0), Some(400.0)));
        assert!((found.full_per_s.expect("a rate") - 1000.0 / 3.0).abs() < 1e-9);
        let free = bottleneck(&levels[..2]).expect("a bottleneck");
        assert_eq!((free.host.as_str(), free.saturated_per_s), ("gateway-1", None));
        let full = bottleneck(&levels[2..]).expect("a bottleneck");
        assert_eq!((full.host.as_str(), full.free_per_s, full.full_per_s), ("order-1", None, None));
        assert_eq!(bottleneck(&[level(1.0, 1, &[])]), None);
    }

    #[test]
    fn too_few_levels_are_not_fitted() {
        assert!(
            fit(&[level(100.0, 1, &[])])
                .is_err_and(|why| why == NoFit::TooFewLevels { needed: 4, measured: 0 })
        );
    }
}
