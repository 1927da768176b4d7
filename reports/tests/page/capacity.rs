//! What a sweep says, on the screen, in a job's summary and on its page, from figures that are always the same.

use std::collections::BTreeMap;

use record::capacity::{
    Bottleneck, Capacity, Ceiling, Curve, Estimate, Fit, HostLoad, Knee, Level, NoFit, NoKnee, Run, SCHEMA,
    Sustained,
};
use record::result::{OperationStats, ServiceLevel, Verdict};
use reports::page::{self, Language};
use reports::terminal::Style;

fn estimate(value: f64) -> Estimate {
    Estimate { value, low: value * 0.9, high: Some(value * 1.2) }
}

fn fit() -> Fit {
    Fit {
        lambda: estimate(8.0),
        sigma: estimate(0.004),
        kappa: Estimate { value: 0.000_02, low: 0.0, high: Some(0.000_04) },
        r_squared: 0.987_6,
        points: 6,
        knee: Some(Knee { concurrency: estimate(84.0), per_s: estimate(458.0) }),
        no_knee: None,
        ceiling: Some(Ceiling { concurrency: Some(223.0), per_s: 620.0 }),
    }
}

/// A level of the law above, with a limit of half a second.
fn level(factor: f64, concurrency: f64, p95_ms: u64, busy: f64) -> Level {
    let achieved_per_s = fit().throughput(concurrency);
    let met = p95_ms <= 500;
    let limit = ServiceLevel {
        name: "order.submit p95".to_owned(),
        limit_us: 500_000,
        observed_us: p95_ms * 1000,
        met,
    };
    let stats = OperationStats { ok: 1000, p95_us: p95_ms * 1000, ..OperationStats::default() };
    let host = |name: &str, busy: f64| HostLoad { name: name.to_owned(), busy };
    Level {
        factor,
        customers_per_s: 80.0 * factor,
        offered_per_s: achieved_per_s * if met { 1.0 } else { 1.1 },
        achieved_per_s,
        refused_per_s: 1.5,
        answered: if met { 1.0 } else { 0.987_65 },
        concurrency,
        is_growing: !met,
        operations: BTreeMap::from([("order.submit".to_owned(), stats)]),
        service_levels: vec![limit],
        met,
        violated: Vec::new(),
        hosts: vec![host("gateway-1", busy), host("redis-1", busy / 10.0)],
        runs: vec![Run { seed: 7, fingerprint: "0".repeat(32), concurrency, achieved_per_s }],
    }
}

pub(crate) fn saturated() -> Curve {
    Curve {
        settings: BTreeMap::new(),
        levels: vec![
            level(0.25, 12.5, 140, 0.19),
            level(0.5, 26.0, 142, 0.37),
            level(1.0, 60.0, 180, 0.72),
            level(2.0, 170.0, 420, 0.94),
            level(4.0, 600.0, 2_400, 0.999_9),
        ],
        sustained: Sustained {
            met_per_s: Some(610.0),
            missed_per_s: Some(640.0),
            about_per_s: Some(612.3),
            missed: vec!["order.submit p95".to_owned()],
            too_few_answered: true,
        },
        bottleneck: Some(Bottleneck {
            host: "gateway-1".to_owned(),
            free_per_s: Some(610.0),
            saturated_per_s: Some(640.0),
            full_per_s: Some(655.5),
        }),
        fit: Some(fit()),
        no_fit: None,
    }
}

pub(crate) fn capacity(verdict: Verdict, curves: Vec<Curve>) -> Capacity {
    Capacity {
        schema: SCHEMA,
        scenario: "ticketing/capacity".to_owned(),
        about: "How much <b>does</b> it carry?".to_owned(),
        system: "ticketing".to_owned(),
        engine: "kernel".to_owned(),
        seeds: vec![7],
        mutants: Vec::new(),
        replay: "rehearse run ticketing/capacity --seed 7 --sweep load=0.25x,0.5x,1x,2x,4x".to_owned(),
        load_s: 30.0,
        warm_up_s: 10.0,
        levels_not_played: 0,
        verdict,
        curves,
    }
}

fn plain() -> Style {
    Style { color: false, width: 100 }
}

#[test]
fn a_system_that_saturates() {
    let capacity = capacity(Verdict::Held, vec![saturated()]);
    let shown = reports::capacity::render(&capacity, plain());
    let read: Capacity = serde_json::from_str(&capacity.to_json()).expect("it was written like that");
    assert_eq!(reports::capacity::render(&read, plain()), shown);
    insta::assert_snapshot!(shown);
}

/// Curves without an end: never missed, missed at once, too few levels, a straight line.
pub(crate) fn odd() -> Capacity {
    let with = |value: &str| BTreeMap::from([("cpu.cores".to_owned(), value.to_owned())]);
    let straight = Fit { knee: None, no_knee: Some(NoKnee::StraightLine), ceiling: None, ..fit() };
    let far = NoKnee::AboveTheLevels { measured: 60.0, knee: 12_345.6 };
    let never = Curve {
        settings: with("4"),
        levels: saturated().levels[..3].to_vec(),
        sustained: Sustained { met_per_s: Some(400.0), ..Sustained::default() },
        bottleneck: Some(Bottleneck {
            host: "gateway-1".to_owned(),
            full_per_s: Some(2_190.0),
            ..Bottleneck::default()
        }),
        fit: Some(Fit { no_knee: Some(far), ..straight.clone() }),
        no_fit: None,
    };
    let at_once = Curve {
        settings: with("1"),
        levels: vec![Level { violated: vec!["zero-oversell".to_owned()], ..level(4.0, 600.0, 2_400, 1.0) }],
        sustained: Sustained {
            missed_per_s: Some(640.0),
            missed: vec!["order.submit p95".to_owned()],
            ..Sustained::default()
        },
        bottleneck: None,
        fit: None,
        no_fit: Some(NoFit::TooFewLevels { needed: 4, measured: 1 }),
    };
    let line = Curve { settings: with("8"), fit: Some(straight), ..never.clone() };
    let empty = Curve { settings: with("0"), no_fit: Some(NoFit::NoCurve), ..Curve::default() };
    capacity(Verdict::Violated, vec![never, at_once, line, empty])
}

#[test]
fn systems_that_show_no_knee() {
    insta::assert_snapshot!(reports::capacity::render(&odd(), plain()));
}

#[test]
fn a_sweep_that_was_stopped() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let summary = folder.path().join("summary.md");
    let stopped = Capacity { levels_not_played: 3, ..capacity(Verdict::Held, vec![saturated()]) };
    reports::run_folder::append_capacity(&summary, &stopped).expect("writable");
    insta::assert_snapshot!(std::fs::read_to_string(summary).expect("a summary"));
    let sentence = "Stopped: 3 of 8 levels not played.";
    assert!(reports::capacity::render(&stopped, plain()).contains(sentence));
    assert!(page::capacity::render(&stopped, Language::English).contains(sentence));
    assert!(page::capacity::render(&stopped, Language::Chinese).contains("3 个负载级别未运行"));
}

/// The SVG of the charts, an element in a line.
#[test]
fn charts() {
    let page = page::capacity::render(&capacity(Verdict::Held, vec![saturated()]), Language::English);
    let drawn: Vec<&str> =
        page.split("<svg viewBox").skip(1).filter_map(|rest| rest.split("</svg>").next()).collect();
    assert_eq!(drawn.len(), 2, "latency and throughput");
    insta::assert_snapshot!(drawn.join("\n").replace('\n', "").replace("><", ">\n<"));
}

#[test]
fn the_page_says_the_same_in_both_languages_and_loads_nothing() {
    for capacity in [capacity(Verdict::Held, vec![saturated()]), odd()] {
        for language in [Language::English, Language::Chinese] {
            let page = page::capacity::render(&capacity, language);
            for figure in [
                "ticketing/capacity",
                "order.submit p95 ≤ 500 ms",
                "gateway-1",
                "2.4 s",
                "98.7 %",
                &capacity.replay,
            ] {
                assert!(page.contains(figure), "{figure} is missing in {language:?}");
            }
            assert!(page.contains("&lt;b&gt;does"), "text is escaped");
            for foreign in ["http:", "https:", "<script", "<link", "src=", "NaN", "inf"] {
                assert!(!page.contains(foreign), "{foreign} in {language:?}");
            }
        }
    }
    let chinese = page::capacity::render(&odd(), Language::Chinese);
    for english in ["No knee", "Meets its", "saturates", "Levels"] {
        assert!(!chinese.contains(english), "{english}");
    }
}
