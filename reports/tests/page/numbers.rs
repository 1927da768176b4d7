//! What stands in the page is what stands in `result.json`: figures in attributes to the digit, figures that people
//! read as they are rounded for them.

use record::result::RunResult;
use record::timeline::Timeline;
use reports::page::{Language, render};
use scraper::ElementRef;

use crate::parsed::{all, carried, one, parse, text, within};
use crate::synthetic;

/// The one element of a row that has this field.
fn field<'a>(row: ElementRef<'a>, name: &str) -> ElementRef<'a> {
    let found = within(row, &format!("[data-field=\"{name}\"]"));
    let [element] = found[..] else { panic!("{name}: {} in {}", found.len(), row.html()) };
    element
}

fn value<T: std::str::FromStr>(element: ElementRef<'_>) -> Option<T> {
    element.attr("data-value").map(|value| value.parse().unwrap_or_else(|_| panic!("a number: {value}")))
}

/// What a person reads, in microseconds: `1.25 s`.
fn shown_us(text: &str) -> f64 {
    let (number, unit) = text.rsplit_once(' ').expect("a number and its unit");
    let number: f64 = number.replace(',', "").parse().expect("a number");
    match unit {
        "µs" => number,
        "ms" => number * 1e3,
        "s" => number * 1e6,
        other => panic!("{other}"),
    }
}

/// Three digits are within half a percent.
fn assert_near(shown: f64, exact: f64) {
    assert!((shown - exact).abs() <= exact.abs() * 0.005 + 1e-9, "{shown} is not {exact}");
}

#[test]
fn are_those_of_the_result() {
    let run = synthetic::run(60, 20_000);
    for language in Language::ALL {
        let html = parse(&render(&run.input(), language));
        assert_eq!(
            one(&html, "html").attr("lang"),
            Some(if language == Language::English { "en" } else { "zh-Hans" })
        );
        // What programs read out of `result.json`, they can read out of the page.
        let result = RunResult::from_json(&run.result.to_json()).expect("a result");
        assert_eq!(carried(&html), result);

        let rows = all(&html, "[data-operation]");
        assert_eq!(rows.len(), result.operations.len());
        for (row, (name, stats)) in rows.into_iter().zip(&result.operations) {
            assert_eq!(row.attr("data-operation"), Some(name.as_str()));
            let counts = [
                ("ok", stats.ok),
                ("refused", stats.refused),
                ("failed", stats.failed),
                ("unknown", stats.unknown),
            ];
            for (name, count) in counts {
                assert_eq!(value(field(row, name)), Some(count));
                assert_eq!(text(field(row, name)).replace(',', ""), count.to_string());
            }
            let latencies = [
                ("p50_us", stats.p50_us),
                ("p95_us", stats.p95_us),
                ("p99_us", stats.p99_us),
                ("p999_us", stats.p999_us),
                ("max_us", stats.max_us),
            ];
            for (name, latency) in latencies {
                assert_eq!(value(field(row, name)), Some(latency));
                assert_near(shown_us(&text(field(row, name))), latency as f64);
            }
        }
        invariants(&html, &result);
        recoveries(&html, &result);
        failovers(&html, &run.timeline);
    }
}

fn invariants(html: &scraper::Html, result: &RunResult) {
    let rows = all(html, "tr[data-invariant]");
    assert_eq!(rows.len(), result.invariants.len());
    for (row, invariant) in rows.into_iter().zip(&result.invariants) {
        assert_eq!(row.attr("data-invariant"), Some(invariant.name.as_str()));
        assert_eq!(row.attr("data-held"), Some(invariant.held.to_string().as_str()));
        assert_eq!(value(field(row, "checks")), Some(invariant.checks));
        assert_eq!(text(field(row, "checks")).replace(',', ""), invariant.checks.to_string());
        let at_s = within(row, "[data-field=at_s]").first().and_then(|at| value::<f64>(*at));
        assert_eq!(at_s, invariant.first_violation.as_ref().map(|violation| violation.at_s));
    }
    let places = all(html, "[data-place]");
    assert_eq!(places.len(), result.coverage.len());
    for (row, place) in places.into_iter().zip(&result.coverage) {
        assert_eq!(
            (row.attr("data-place"), value(field(row, "hits"))),
            (Some(place.name.as_str()), Some(place.hits))
        );
    }
}

fn failovers(html: &scraper::Html, timeline: &Timeline) {
    let shown: Vec<_> =
        all(html, "[data-field=failover_s]").into_iter().map(|field| (value(field), text(field))).collect();
    assert_eq!(shown.len(), timeline.failovers.len());
    for ((at_s, text), failover) in shown.into_iter().zip(&timeline.failovers) {
        assert_eq!(at_s, Some(failover.at_s));
        assert!(text.ends_with(&failover.host), "{text}");
    }
    // Over each chart.
    let panels = all(html, ".panel").len();
    assert_eq!(all(html, ".panel .moment.failover").len(), panels * timeline.failovers.len());
}

fn recoveries(html: &scraper::Html, result: &RunResult) {
    let rows = all(html, "[data-recovery-of]");
    assert_eq!(rows.len(), result.recovery.len());
    for (row, recovery) in rows.into_iter().zip(&result.recovery) {
        assert_eq!(row.attr("data-recovery-of"), Some(recovery.fault.to_string().as_str()));
        assert_eq!(value(field(row, "detected_s")), recovery.detected_s);
        assert_eq!(value(field(row, "rto_s")), recovery.rto_s);
        assert_eq!(value(field(row, "rto_limit_s")), recovery.rto_limit_s);
        assert_eq!(value(field(row, "rpo_s")), Some(recovery.rpo_s));
        assert_eq!(value(field(row, "rpo_limit_s")), recovery.rpo_limit_s);
        assert_eq!(value(field(row, "lost_acknowledged")), Some(recovery.lost_acknowledged));
        if let Some(rto_s) = recovery.rto_s {
            assert_near(shown_us(&text(field(row, "rto_s"))), rto_s * 1e6);
        }
    }
}

#[test]
fn at_the_cursor_are_those_of_the_timeline() {
    let run = synthetic::run(60, 20_000);
    let html = parse(&render(&run.input(), Language::English));
    let data: serde_json::Value = serde_json::from_str(&text(one(&html, "script#charts"))).expect("JSON");
    // Ok is the first line of the chart of all operations.
    let shown = data["panels"]["chart-throughput-0"]["series"][0].as_array().expect("a series");
    let window_s = run.timeline.window_s;
    for (window, rate) in shown.iter().enumerate() {
        let ok: u64 = run.timeline.operations.values().map(|series| series.ok[window]).sum();
        let rate = rate.as_f64().expect("a rate");
        assert!((rate * window_s - ok as f64).abs() <= ok as f64 * 1e-3, "{window}: {rate}");
    }
    let shown = &data["panels"]["chart-latency-order-submit-0"]["series"];
    for (window, latency) in run.latencies.windows["order.submit"].iter().enumerate() {
        let expected = (!latency.buckets.is_empty()).then_some(latency.p50_us as f64);
        let shown = shown[3][window].as_f64();
        assert_eq!(shown.is_some(), expected.is_some());
        assert_near(shown.unwrap_or_default(), expected.unwrap_or_default());
    }
    // Each curve ends where the slowest operation does.
    for (name, histogram) in &run.latencies.whole {
        let curve = &data["curves"][format!("curve-{}", name.replace('.', "-"))];
        let last = curve.as_array().and_then(|points| points.last()).expect("a point");
        assert_eq!(last[2], histogram.max(), "{name}");
    }
}

#[test]
fn windows_keep_every_operation_in_its_bucket() {
    let mut histogram = hdrhistogram::Histogram::new(3).expect("3 digits");
    for latency in [1, 9, 10, 11, 99, 1_000, 1_330, 1_340, 5_000_000] {
        histogram.record(latency).expect("in range");
    }
    let window = reports::page::WindowLatency::of(&histogram);
    assert_eq!(window.buckets.iter().map(|(_, count)| count).sum::<u64>(), 9);
    assert_eq!(window.buckets.iter().find(|(lower, _)| *lower == 1_000), Some(&(1_000, 2)));
    assert_eq!((window.p50_us, window.max_us), (99, histogram.max()));
    assert!(window.buckets.iter().all(|(lower, _)| *lower <= 5_000_000), "{window:?}");
    assert!(
        reports::page::WindowLatency::of(&hdrhistogram::Histogram::new(3).expect("3 digits"))
            .buckets
            .is_empty()
    );
}
