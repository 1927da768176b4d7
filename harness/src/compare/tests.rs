//! What a comparison makes of runs whose changes are known.

use record::result::{
    InvariantResult, OperationStats, Recovery, SCHEMA as RESULT_SCHEMA, ServiceLevel, Verdict,
};

use super::*;

/// A run of a seed with one operation, whose p95 is `p95_us` and of which `failed` of 1 000 fail.
fn run(seed: u64, p95_us: f64, failed: u64) -> BaselineRun {
    let latency_us = p95_us.round() as u64;
    let stats = OperationStats {
        ok: 1_000 - failed,
        failed,
        p50_us: 1_000,
        p95_us: latency_us,
        p99_us: 4_000_000,
        p999_us: 4_000_000,
        max_us: 4_000_000,
        ..OperationStats::default()
    };
    let invariant =
        InvariantResult { name: "zero-oversell".into(), held: true, checks: 9, first_violation: None };
    let level = ServiceLevel { name: "order.submit p95".into(), limit_us: 1, observed_us: 0, met: true };
    let result = RunResult {
        schema: RESULT_SCHEMA,
        scenario: "ticketing/peak".into(),
        system: "ticketing".into(),
        engine: "kernel".into(),
        seed,
        mutants: Vec::new(),
        fingerprint: "0".repeat(32),
        verdict: Verdict::Held,
        simulated_s: 1.0,
        wall_s: 1.0,
        messages: 0,
        operations: [("order.submit".to_owned(), stats)].into(),
        invariants: vec![invariant],
        faults: Vec::new(),
        recovery: Vec::new(),
        service_levels: vec![level],
        coverage: Vec::new(),
    };
    BaselineRun { size: "full".into(), settings: BTreeMap::new(), result }
}

/// Seeds with p95 between 100 and 200 ms, each `factor(seed)` times that.
fn runs(seeds: u64, factor: impl Fn(u64) -> f64) -> Vec<BaselineRun> {
    (0..seeds).map(|seed| run(seed, (100_000 + seed * 7_919 % 100_000) as f64 * factor(seed), 0)).collect()
}

fn p95(comparison: &Comparison) -> &Change {
    let of = |change: &&Change| change.metric == Metric::P95;
    comparison.changes.iter().find(of).expect("the operation has a p95")
}

#[test]
fn equal_runs_have_not_changed_however_few() {
    let same = compare(&runs(1, |_| 1.0), &runs(1, |_| 1.0), 0.05).expect("comparable");
    assert_eq!(same.judgement, Judgement::NoChange);
    assert!(same.changes.iter().all(|change| change.judgement == Judgement::NoChange), "{same:?}");
}

#[test]
fn a_tenth_more_on_every_seed_is_a_regression_and_less_is_none() {
    let before = runs(12, |_| 1.0);
    let slower = compare(&before, &runs(12, |_| 1.1), 0.05).expect("comparable");
    assert_eq!((slower.judgement, p95(&slower).judgement), (Judgement::Regressed, Judgement::Regressed));
    assert!((p95(&slower).change - 0.1).abs() < 1e-3, "{:?}", p95(&slower));
    assert_eq!(slower.changes[0].metric, Metric::P95, "the worst comes first");
    let faster = compare(&runs(12, |_| 1.1), &before, 0.05).expect("comparable");
    assert_eq!((faster.judgement, p95(&faster).judgement), (Judgement::Improved, Judgement::Improved));
    let alike = compare(&before, &runs(12, |_| 1.02), 0.05).expect("comparable");
    assert_eq!(p95(&alike).judgement, Judgement::NoChange, "certain, but below the threshold");
}

#[test]
fn noise_is_no_regression() {
    let noise = |seed: u64| if seed.is_multiple_of(2) { 1.3 } else { 1.0 / 1.3 };
    let noisy = compare(&runs(12, |_| 1.0), &runs(12, noise), 0.05).expect("comparable");
    assert_eq!(p95(&noisy).judgement, Judgement::Unclear);
}

#[test]
fn too_few_seeds_are_unclear() {
    let few = compare(&runs(4, |_| 1.0), &runs(4, |_| 1.5), 0.05).expect("comparable");
    assert_eq!((few.judgement, p95(&few).interval), (Judgement::Unclear, None));
}

#[test]
fn one_new_violation_is_a_regression() {
    let mut after = runs(12, |_| 1.0);
    after[7].result.invariants[0].held = false;
    let worse = compare(&runs(12, |_| 1.0), &after, 0.05).expect("comparable");
    let worst = &worse.changes[0];
    assert_eq!((worst.of.as_str(), worst.metric), ("zero-oversell", Metric::Violated));
    assert_eq!((worst.judgement, worst.before), (Judgement::Regressed, 0.0));
    assert!((worst.after - 1.0 / 12.0).abs() < 1e-12);
    // The other way round, one of twelve may be chance.
    let better = compare(&after, &runs(12, |_| 1.0), 0.05).expect("comparable");
    assert!(better.judgement != Judgement::Regressed && better.judgement != Judgement::Improved);
}

#[test]
fn more_errors_are_a_regression() {
    let failing = |failed: u64| -> Vec<BaselineRun> { (0..12).map(|seed| run(seed, 1e5, failed)).collect() };
    let worse = compare(&failing(2), &failing(80), 0.05).expect("comparable");
    let errors = |change: &&Change| change.metric == Metric::Errors;
    let errors = worse.changes.iter().find(errors).expect("the operation has errors");
    assert_eq!(errors.judgement, Judgement::Regressed);
    assert!((errors.change - 0.078).abs() < 1e-9, "{errors:?}");
}

/// An outage where there was none, and one without an end, are worse, whether or not there is a limit.
#[test]
fn recoveries_that_were_none_are_compared() {
    let recovering = |rto_s: Option<f64>| -> Vec<BaselineRun> {
        let recovery = Recovery {
            fault: 0,
            detected_s: None,
            rto_s,
            rto_limit_s: None,
            rpo_s: 0.0,
            rpo_limit_s: None,
            lost_acknowledged: 0,
        };
        let mut runs = runs(12, |_| 1.0);
        runs.iter_mut().for_each(|run| run.result.recovery.push(recovery.clone()));
        runs
    };
    let judged = |before, after, metric| {
        let comparison = compare(&recovering(before), &recovering(after), 0.05).expect("comparable");
        comparison.changes.iter().find(|change| change.metric == metric).map(|change| change.judgement)
    };
    assert_eq!(judged(Some(0.0), Some(5.0), Metric::Rto), Some(Judgement::Regressed));
    assert_eq!(judged(Some(5.0), Some(0.0), Metric::Rto), Some(Judgement::Improved));
    assert_eq!(judged(Some(0.0), Some(0.0), Metric::Rto), Some(Judgement::NoChange));
    assert_eq!(judged(Some(5.0), None, Metric::NotBack), Some(Judgement::Regressed));
}

#[test]
fn only_what_can_be_compared_is() {
    let error = |before: &[BaselineRun], after: &[BaselineRun]| {
        compare(before, after, 0.05).expect_err("not comparable")
    };
    let runs = runs(2, |_| 1.0);
    assert!(error(&runs[..1], &runs[1..]).contains("no seed"));
    assert!(error(&[runs[0].clone(), runs[0].clone()], &runs).contains("twice"));
    let mut other = runs.clone();
    other[0].result.scenario = "ticketing/swarm".into();
    assert!(error(&runs, &other).contains("ticketing/swarm"));
    other[0] = BaselineRun { size: "hunt".into(), ..runs[0].clone() };
    assert!(error(&runs, &other).contains("size"));
}

#[test]
fn what_differs_beside_the_figures_is_said() {
    let before = runs(1, |_| 1.0);
    let mut after = before.clone();
    after[0].settings.insert("redis.replicas_to_wait".into(), "1".into());
    after[0].result.mutants.push("ticketing.seat-freed-again".into());
    let comparison = compare(&before, &after, 0.05).expect("comparable");
    assert_eq!(comparison.settings["redis.replicas_to_wait"], (None, Some("1".to_owned())));
    assert_eq!(comparison.mutants, (vec![], vec!["ticketing.seat-freed-again".to_owned()]));
}
