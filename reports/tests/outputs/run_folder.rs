//! The files of a run are complete, can be read by the tools they are for, and are equal for equal runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::runs::{self, Run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use record::result::{RunResult, Verdict};
use reports::latency_log::{self, Interval};
use reports::page::Language;
use reports::run_folder::{self, Error};
use tempfile::TempDir;

const FILES: [&str; 6] =
    ["report.html", "result.json", "timeline.json", "summary.md", "junit.xml", "latency.hlog"];

fn write(run: &Run, folder: &Path) -> Result<(), Error> {
    run_folder::write(folder, &run.record(), Language::English)
}

/// Writes the run into a new folder inside of another new one.
fn written(run: &Run) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    write(run, &folder.path().join("runs/peak")).expect("a folder that can be written");
    folder
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join("runs/peak").join(name)).expect("a file of the run")
}

/// Whether a text occurs, shown whole if it does not.
fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text}");
}

#[test]
fn equal_runs_leave_equal_files() {
    for run in [runs::held, runs::violated, runs::slow, runs::odd] {
        let (first, second) = (written(&run()), written(&run()));
        for name in FILES {
            assert_eq!(read(&first, name), read(&second, name));
        }
    }
}

#[test]
fn the_result_can_be_read_back() {
    let run = runs::violated();
    let text = read(&written(&run), "result.json");
    let result = RunResult::from_json(&text).expect("a result");
    assert_eq!(result.fingerprint, run.result.fingerprint);
    assert_eq!(result.invariants, run.result.invariants);
    assert_eq!(text, run.result.to_json());
}

#[test]
fn the_summary() {
    insta::assert_snapshot!(read(&written(&runs::violated()), "summary.md"));
}

#[test]
fn the_summary_of_oddities() {
    insta::assert_snapshot!(read(&written(&runs::odd()), "summary.md"));
}

#[test]
fn the_test_report_of_a_violated_run() {
    insta::assert_snapshot!(read(&written(&runs::violated()), "junit.xml"));
}

#[test]
fn the_test_report_is_well_formed_and_counts() {
    for (run, tests, failures, errors) in [
        (runs::held(), 5, 0, 0),
        (runs::violated(), 9, 4, 0),
        (runs::slow(), 3, 1, 0),
        (runs::odd(), 4, 2, 1),
    ] {
        let text = read(&written(&run), "junit.xml");
        let report = quick_junit::Report::deserialize_from_str(&text).expect("a JUnit report");
        assert_eq!((report.tests, report.failures, report.errors), (tests, failures, errors), "{text}");
        assert_eq!(report.test_suites.len(), 1);
    }
    let mut run = runs::held();
    run.result.verdict = Verdict::Invalid;
    assert_contains(&read(&written(&run), "junit.xml"), "<error");
}

#[test]
fn the_latencies_are_those_of_the_whole_run_cut_into_windows() {
    let run = runs::held();
    let log = read(&written(&run), "latency.hlog");
    let mut whole = run.history.latencies();
    assert_eq!(whole.len(), 3);
    let mut intervals = 0;
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        let LogEntry::Interval(interval) = entry.expect("an entry") else { panic!("only intervals: {log}") };
        assert_eq!(interval.duration().as_secs_f64(), 1.0);
        let tag = interval.tag().expect("a tag per operation");
        let whole = whole.get_mut(tag.as_str()).expect("a known operation");
        let bytes = STANDARD.decode(interval.encoded_histogram()).expect("base64");
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).expect("V2");
        whole.subtract(&histogram).expect("a part of the whole");
        intervals += 1;
    }
    assert_eq!(intervals, 4, "{log}");
    // Nothing completed after the load but what never did.
    assert!(whole.values().all(Histogram::is_empty), "{whole:?}");
    let merged = latency_log::read_merged(log.as_bytes()).expect("a log");
    let mut expected = run.history.latencies();
    expected.retain(|_, histogram| !histogram.is_empty());
    assert_eq!(merged, expected);
}

#[test]
fn odd_names_do_not_break_the_latency_log() {
    let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 3).expect("bounds");
    histogram.record(17).expect("within bounds");
    for (name, tag) in [("a b,c", "a_b_c"), ("", ""), ("余票\n", "余票_")] {
        let (from, length) = (Duration::ZERO, Duration::from_secs(1));
        let log = latency_log::write(|show| {
            show(Interval { operation: name, from, length, latencies: &histogram });
        });
        let log = log.expect("a log");
        assert!(IntervalLogIterator::new(&log).all(|entry| entry.is_ok()), "{log:?}");
        let merged = latency_log::read_merged(&log).expect("a log");
        assert_eq!(merged.into_keys().collect::<Vec<_>>(), [tag]);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = TempDir::new().expect("a temporary folder");
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, "a file").expect("a file");
    let error = write(&runs::held(), &occupied.join("run")).expect_err("a file is no folder");
    assert!(matches!(error, Error::Io { action: "create", .. }), "{error:?}");
    assert_contains(&error.to_string(), &format!("cannot create {}", occupied.join("run").display()));

    let taken = folder.path().join("run/junit.xml");
    fs::create_dir_all(&taken).expect("a folder");
    let error = write(&runs::held(), &folder.path().join("run")).expect_err("a folder is no file");
    assert!(matches!(&error, Error::Io { action: "write", path, .. } if *path == taken), "{error:?}");
}
