//! Names and figures come from files and from users: whatever they are, the page stays the page.

use std::collections::BTreeSet;

use record::result::{FaultRecord, Recovery};
use record::timeline::{FailoverRecord, Gauge, Timeline};
use reports::page::{Language, WindowLatency, render};
use scraper::Html;

use crate::parsed::{all, carried, one, parse, text};
use crate::synthetic::{self, Run};

/// What breaks pages whose authors forgot something.
const HOSTILE: &str = "</script></style></svg>--><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{&lt;javascript:\u{2028}\u{2029}";

/// Another one, so that names differ.
fn hostile(number: usize) -> String {
    format!("{HOSTILE}{number}")
}

/// All that is a name or a text in a run is hostile.
fn hostile_run() -> Run {
    let mut run = synthetic::run(24, 2_000);
    let result = &mut run.result;
    result.scenario = hostile(1);
    result.system = hostile(2);
    result.engine = hostile(3);
    result.mutants = vec![hostile(4)];
    result.fingerprint = hostile(5);
    result.operations = result
        .operations
        .values()
        .cloned()
        .enumerate()
        .map(|(index, stats)| (hostile(index), stats))
        .collect();
    for (index, invariant) in result.invariants.iter_mut().enumerate() {
        invariant.name = hostile(index);
        if let Some(violation) = &mut invariant.first_violation {
            violation.what = hostile(6);
        }
    }
    for fault in &mut result.faults {
        fault.kind = hostile(7);
        fault.on = vec![hostile(8); 12];
    }
    for level in &mut result.service_levels {
        level.name = format!("{} p95", hostile(0));
    }
    for place in &mut result.coverage {
        place.name = hostile(9);
    }
    let timeline = &mut run.timeline;
    timeline.about = hostile(10);
    timeline.size = hostile(11);
    timeline.replay = hostile(12);
    timeline.settings = (0..3).map(|index| (hostile(index), hostile(index))).collect();
    timeline.operations = timeline
        .operations
        .values()
        .cloned()
        .enumerate()
        .map(|(index, series)| (hostile(index), series))
        .collect();
    for (index, gauge) in timeline.gauges.iter_mut().enumerate() {
        (gauge.group, gauge.name, gauge.unit) = (hostile(index % 3), hostile(index), hostile(index % 2));
    }
    for (index, host) in timeline.hosts.iter_mut().enumerate() {
        (host.name, host.role) = (hostile(index), hostile(13));
    }
    for (index, link) in timeline.links.iter_mut().enumerate() {
        (link.from, link.to) = (hostile(index % 7), hostile(index % 5));
    }
    for failover in &mut timeline.failovers {
        failover.host = hostile(18);
    }
    for lost in &mut timeline.lost {
        (lost.name, lost.subject) = (hostile(14), hostile(15));
    }
    for story in &mut timeline.stories {
        story.invariant = hostile(0);
        for (index, line) in story.lines.iter_mut().enumerate() {
            (line.host, line.text) = (hostile(index % 3), hostile(index));
            line.peer = line.peer.is_some().then(|| hostile(index % 4));
        }
    }
    for table in &mut timeline.tables {
        table.title = hostile(16);
        table.columns.iter_mut().chain(table.rows.iter_mut().flatten()).for_each(|cell| *cell = hostile(17));
    }
    let latencies = std::mem::take(&mut run.latencies);
    run.latencies.whole =
        latencies.whole.into_values().enumerate().map(|(index, of)| (hostile(index), of)).collect();
    run.latencies.windows =
        latencies.windows.into_values().enumerate().map(|(index, of)| (hostile(index), of)).collect();
    run
}

/// Nothing in the page is anything but what this crate put there.
fn assert_safe(html: &Html) {
    assert_eq!(all(html, "script").len(), 3);
    let foreign =
        all(html, "img, iframe, object, embed, link, base, form, video, audio, foreignObject, use, image");
    assert!(foreign.is_empty(), "{:?}", foreign.iter().map(|element| element.html()).collect::<Vec<_>>());
    let mut ids = BTreeSet::new();
    for element in all(html, "*") {
        let name = element.value().name();
        for (attribute, value) in element.value().attrs() {
            match attribute {
                _ if attribute.starts_with("on") => panic!("{name} {attribute}={value}"),
                "src" | "srcset" | "action" | "xlink:href" => panic!("{name} {attribute}={value}"),
                "href" => assert!(value.starts_with('#'), "{name} {attribute}={value}"),
                "style" => {
                    let plain = |c: char| c.is_ascii_alphanumeric() || ":;.%- ".contains(c);
                    assert!(value.chars().all(plain), "{name} {attribute}={value}");
                }
                "id" => {
                    assert!(ids.insert(value.to_owned()), "two elements are called {value}");
                    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
                    assert!(value.chars().all(plain), "{name} {attribute}={value}");
                }
                _ => (),
            }
        }
    }
    // What is jumped to is there.
    for link in all(html, "a") {
        let target = link.attr("href").and_then(|href| href.strip_prefix('#')).expect("a place in the page");
        assert!(ids.contains(target), "#{target}");
    }
}

#[test]
fn the_page_of_a_plain_run_is_what_we_put_there() {
    for language in Language::ALL {
        assert_safe(&parse(&render(&synthetic::run(24, 2_000).input(), language)));
    }
}

#[test]
fn names_cannot_break_out() {
    let run = hostile_run();
    for language in Language::ALL {
        let page = render(&run.input(), language);
        let html = parse(&page);
        assert_safe(&html);
        assert_eq!(carried(&html), run.result);
        assert_eq!(text(one(&html, "h1")), hostile(1));
        assert_eq!(text(one(&html, "#replay")), hostile(12));
        assert_eq!(
            one(&html, "section#operations tbody tr:first-child").attr("data-operation"),
            Some(hostile(0).as_str())
        );
        for script in all(&html, "script[type]") {
            let text = text(script);
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
            assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{text}");
        }
    }
}

#[test]
fn characters_that_no_page_may_contain_are_shown_as_unknown() {
    let mut run = synthetic::run(4, 100);
    run.result.scenario = "a\0b\u{1b}[31m\u{85}c".to_owned();
    let html = parse(&render(&run.input(), Language::English));
    assert_eq!(text(one(&html, "h1")), "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
    assert_eq!(carried(&html).scenario, run.result.scenario);
}

#[test]
fn a_system_may_call_its_gauges_as_it_likes() {
    let mut run = synthetic::run(12, 500);
    for (gauge, group) in
        run.timeline.gauges.iter_mut().zip(["throughput", "busy", "faults", "", "order.submit", "latency"])
    {
        gauge.group = group.to_owned();
    }
    assert_safe(&parse(&render(&run.input(), Language::English)));
}

/// Runs whose files are damaged, one way each.
fn damaged() -> Vec<Run> {
    let changes: [fn(&mut Run); 12] = [
        |run| run.timeline = Timeline::default(),
        |run| run.timeline.window_s = 0.0,
        |run| run.timeline.window_s = f64::NAN,
        |run| run.timeline.window_s = 1e308,
        |run| run.timeline.windows = usize::MAX,
        |run| run.timeline.windows = 100,
        |run| {
            for series in run.timeline.operations.values_mut() {
                series.ok.clear();
                series.invoked = vec![u64::MAX; 50];
            }
            run.timeline.gauges.iter_mut().for_each(|gauge| gauge.values.truncate(1));
            run.timeline.hosts.iter_mut().for_each(|host| host.busy = vec![f64::NAN, 7.0, -1.0]);
        },
        |run| {
            let values = vec![Some(f64::INFINITY), Some(f64::NAN), None, Some(-5.0), Some(1e300)];
            run.timeline.gauges =
                vec![Gauge { group: String::new(), name: String::new(), unit: String::new(), values }];
            run.timeline.load_until_s = f64::NAN;
        },
        |run| {
            run.result.simulated_s = f64::NAN;
            run.result.faults = vec![FaultRecord {
                kind: String::new(),
                from_s: f64::NAN,
                to_s: f64::NEG_INFINITY,
                on: Vec::new(),
            }];
            let recovery = |fault| Recovery {
                fault,
                detected_s: Some(f64::NAN),
                rto_s: Some(f64::INFINITY),
                rto_limit_s: Some(0.0),
                rpo_s: f64::NAN,
                rpo_limit_s: Some(-1.0),
                lost_acknowledged: u64::MAX,
            };
            run.result.recovery = vec![recovery(0), recovery(9), recovery(u64::MAX)];
            let at = |at_s| FailoverRecord { at_s, host: String::new() };
            run.timeline.failovers = [f64::NAN, f64::INFINITY, -1.0, 1e300].map(at).to_vec();
        },
        |run| {
            let odd = WindowLatency {
                p50_us: u64::MAX,
                p95_us: 0,
                p99_us: 0,
                max_us: u64::MAX,
                buckets: vec![(0, u64::MAX), (u64::MAX, 1)],
            };
            run.latencies.windows.values_mut().for_each(|windows| *windows = vec![odd.clone(); 300]);
            run.latencies.whole.values_mut().for_each(hdrhistogram::Histogram::clear);
        },
        |run| {
            run.timeline.hosts.truncate(3);
            run.timeline.hosts.iter_mut().for_each(|host| host.tier = u32::MAX);
            run.timeline.stories.iter_mut().for_each(|story| story.lines.clear());
        },
        |run| {
            run.result.operations.clear();
            run.result.invariants.clear();
            run.result.faults.clear();
            run.result.coverage.clear();
            run.latencies.whole.clear();
            run.latencies.windows.clear();
        },
    ];
    changes
        .into_iter()
        .map(|change| {
            let mut run = synthetic::run(12, 500);
            change(&mut run);
            run
        })
        .collect()
}

#[test]
fn damaged_figures_make_a_page_all_the_same() {
    for run in damaged() {
        for language in Language::ALL {
            let page = render(&run.input(), language);
            assert_safe(&parse(&page));
            assert!(page.len() < 3_000_000, "{} bytes", page.len());
            assert!(
                !page.contains("%;width:NaN") && !page.contains("left:NaN") && !page.contains("height:NaN")
            );
        }
    }
}
