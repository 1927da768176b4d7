//! What has changed between two sets of runs of the same seeds: regressed, improved, unchanged, or not to be told.
//!
//! Runs are compared seed by seed, which takes out what the seeds differ in: in both runs of a pair, the same customers
//! want the same and draw the same faults. A figure has regressed or improved when its typical change is at least the
//! threshold and the signed-rank test says that it is not chance; it has not changed when the whole confidence interval
//! lies within the threshold. Everything between is unclear, and more seeds would make it clear.
//!
//! - `runs`: where the runs come from.
//! - `statistics`: the test, the estimate and its interval.

mod runs;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};

use record::comparison::{BaselineRun, Change, Comparison, Judgement, Metric, SCHEMA};
use record::result::RunResult;

use crate::recovery;

pub use self::runs::{Error, read, to_baseline};
use self::statistics::{Estimate, holm, signed_rank};

/// How sure an interval is to have the true change in it, and a test not to see one where there is none.
const CONFIDENCE: f64 = 0.95;

/// Recoveries and latencies below these count as these: where there was none before, a ratio says nothing.
const RTO_MIN_S: f64 = 0.1;
const LATENCY_MIN_US: f64 = 1.0;

/// A figure of a run: what it is of, and which one.
type Figure = (String, Metric);

/// Compares two sets of runs, by seed. Changes below `threshold` (a share) count as none.
///
/// # Errors
/// A sentence for the user: there is nothing to compare.
pub fn compare(before: &[BaselineRun], after: &[BaselineRun], threshold: f64) -> Result<Comparison, String> {
    let (before, after) = (by_seed(before)?, by_seed(after)?);
    let pairs: Vec<(&BaselineRun, &BaselineRun)> =
        before.iter().filter_map(|(seed, before)| Some((*before, *after.get(seed)?))).collect();
    let Some((first, _)) = pairs.first() else {
        return Err("no seed was played before and after: only runs of the same seed are compared".to_owned());
    };
    for (before, after) in &pairs {
        for run in [before, after] {
            same("scenario", &first.result.scenario, &run.result.scenario)?;
            same("engine", &first.result.engine, &run.result.engine)?;
            same("size", &first.size, &run.size)?;
        }
    }
    let changes = changes(&pairs, threshold);
    Ok(Comparison {
        schema: SCHEMA,
        scenario: first.result.scenario.clone(),
        size: first.size.clone(),
        seeds: pairs.iter().map(|(before, _)| before.result.seed).collect(),
        confidence: CONFIDENCE,
        threshold,
        judgement: changes.first().map_or(Judgement::NoChange, |change| change.judgement),
        changes,
        settings: settings(&pairs),
        mutants: (mutants(pairs.iter().map(|pair| pair.0)), mutants(pairs.iter().map(|pair| pair.1))),
    })
}

fn by_seed(runs: &[BaselineRun]) -> Result<BTreeMap<u64, &BaselineRun>, String> {
    let mut by_seed = BTreeMap::new();
    for run in runs {
        let seed = run.result.seed;
        if by_seed.insert(seed, run).is_some() {
            return Err(format!("seed {seed} of {} is there twice on one side", run.result.scenario));
        }
    }
    Ok(by_seed)
}

fn same(what: &str, first: &str, other: &str) -> Result<(), String> {
    if first == other {
        return Ok(());
    }
    Err(format!("runs of one {what} are compared, but some are of {first} and some of {other}"))
}

/// What became of each figure, worst first.
fn changes(pairs: &[(&BaselineRun, &BaselineRun)], threshold: f64) -> Vec<Change> {
    let figures: Vec<_> =
        pairs.iter().map(|(before, after)| (figures(&before.result), figures(&after.result))).collect();
    let names: BTreeSet<&Figure> =
        figures.iter().flat_map(|(before, after)| before.keys().chain(after.keys())).collect();
    let estimated: Vec<(Change, f64)> = names
        .into_iter()
        .filter_map(|figure| {
            let values = figures.iter().filter_map(|(b, a)| Some((*b.get(figure)?, *a.get(figure)?)));
            estimate(figure, &values.collect::<Vec<_>>())
        })
        .collect();
    let corrected = holm(&estimated.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    let mut changes: Vec<Change> =
        estimated.into_iter().zip(corrected).map(|((change, _), p)| judged(change, p, threshold)).collect();
    changes.sort_by(|a, b| {
        let by_size = || b.change.abs().total_cmp(&a.change.abs());
        a.judgement.cmp(&b.judgement).then(a.metric.cmp(&b.metric)).then_with(by_size).then(a.of.cmp(&b.of))
    });
    changes
}

/// The figures of a run. One that it does not have is not in it.
fn figures(result: &RunResult) -> BTreeMap<Figure, f64> {
    let mut figures = BTreeMap::new();
    for (name, stats) in &result.operations {
        let all = stats.ok + stats.refused + stats.failed + stats.unknown;
        if all == 0 {
            continue;
        }
        let errors = (stats.failed + stats.unknown) as f64 / all as f64;
        figures.insert((name.clone(), Metric::Errors), errors);
        let latencies =
            [(Metric::P50, stats.p50_us), (Metric::P95, stats.p95_us), (Metric::P99, stats.p99_us)];
        figures.extend(latencies.map(|(metric, latency_us)| ((name.clone(), metric), latency_us as f64)));
    }
    for invariant in result.invariants.iter().filter(|invariant| !invariant.held || invariant.checks > 0) {
        figures.insert((invariant.name.clone(), Metric::Violated), share(!invariant.held));
    }
    for level in &result.service_levels {
        figures.insert((level.name.clone(), Metric::Missed), share(!level.met));
    }
    for recovery in &result.recovery {
        let kind = usize::try_from(recovery.fault).ok().and_then(|index| result.faults.get(index));
        let of = format!("{} {}", kind.map_or("fault", |fault| &fault.kind), recovery.fault);
        figures.insert((of.clone(), Metric::LostAcknowledged), recovery.lost_acknowledged as f64);
        figures.insert((of.clone(), Metric::Missed), share(!recovery::is_met(recovery)));
        figures.insert((of.clone(), Metric::NotBack), share(recovery.rto_s.is_none()));
        figures.extend(recovery.rto_s.map(|rto_s| ((of, Metric::Rto), rto_s)));
    }
    figures
}

/// All of a run, or nothing of it.
fn share(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// The typical change of a figure, not judged yet, and the probability that it is chance.
fn estimate((of, metric): &Figure, values: &[(f64, f64)]) -> Option<(Change, f64)> {
    if values.is_empty() {
        return None;
    }
    // The logarithm makes twice as slow and twice as fast the same distance.
    let ratio = |(before, after): (f64, f64), least: f64| (after.max(least) / before.max(least)).ln();
    let difference = |values: &(f64, f64)| match metric {
        Metric::Rto => ratio(*values, RTO_MIN_S),
        Metric::P50 | Metric::P95 | Metric::P99 => ratio(*values, LATENCY_MIN_US),
        _ => values.1 - values.0,
    };
    let Estimate { center, interval, p } =
        signed_rank(&values.iter().map(difference).collect::<Vec<_>>(), CONFIDENCE);
    let told = |difference: f64| if metric.is_relative() { difference.exp_m1() } else { difference };
    let change = Change {
        of: of.clone(),
        metric: *metric,
        before: middle(*metric, values.iter().map(|(before, _)| *before)),
        after: middle(*metric, values.iter().map(|(_, after)| *after)),
        change: told(center),
        interval: interval.map(|(low, high)| (told(low), told(high))),
        p: None,
        judgement: Judgement::Unclear,
    };
    Some((change, p))
}

/// The median; of failures the mean, as a single one counts.
fn middle(metric: Metric, values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    if metric.is_failure() {
        return values.iter().sum::<f64>() / values.len() as f64;
    }
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

fn judged(change: Change, p: f64, threshold: f64) -> Change {
    let within = |value: f64| value.abs() < threshold;
    let is_new_failure = change.metric.is_failure() && change.before == 0.0 && change.after > 0.0;
    let is_same = change.before == change.after && change.change == 0.0 && p == 1.0;
    let judgement = if is_new_failure {
        Judgement::Regressed
    } else if p < 1.0 - CONFIDENCE && !within(change.change) {
        if change.change > 0.0 { Judgement::Regressed } else { Judgement::Improved }
    } else if change.interval.map_or(is_same, |(low, high)| within(low) && within(high)) {
        Judgement::NoChange
    } else {
        Judgement::Unclear
    };
    Change { p: Some(p), judgement, ..change }
}

/// The settings that differ.
fn settings(pairs: &[(&BaselineRun, &BaselineRun)]) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let mut differing = BTreeMap::new();
    for (before, after) in pairs {
        let names: BTreeSet<&String> = before.settings.keys().chain(after.settings.keys()).collect();
        for name in names {
            let (was, is) = (before.settings.get(name), after.settings.get(name));
            if was != is {
                differing.insert(name.clone(), (was.cloned(), is.cloned()));
            }
        }
    }
    differing
}

fn mutants<'a>(runs: impl Iterator<Item = &'a BaselineRun>) -> Vec<String> {
    let names: BTreeSet<&String> = runs.flat_map(|run| &run.result.mutants).collect();
    names.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests;
