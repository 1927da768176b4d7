//! The files of a run are complete, can be read by the tools they are for, and are equal for equal runs.

use std::fs;
use std::path::Path;

use crate::runs::{self, Run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use record::result::{RunResult, Verdict};
use reports::run_folder::{self, Error};
use tempfile::TempDir;

const FILES: [&str; 4] = ["result.json", "summary.md", "junit.xml", "latency.hlog"];

fn write(run: &Run, folder: &Path) -> Result<(), Error> {
    run.report(|report| run_folder::write(folder, report))
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
fn the_latencies_can_be_read_back() {
    let run = runs::held();
    let log = read(&written(&run), "latency.hlog");
    let mut latencies = run.history.latencies();
    assert_eq!(latencies.len(), 3);
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        let LogEntry::Interval(interval) = entry.expect("an entry") else { panic!("only intervals: {log}") };
        assert_eq!(interval.duration().as_secs_f64(), 87.25);
        let tag = interval.tag().expect("a tag per operation");
        let expected = latencies.remove(tag.as_str()).expect("each operation once");
        let bytes = STANDARD.decode(interval.encoded_histogram()).expect("base64");
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).expect("V2");
        assert_eq!(histogram, expected);
    }
    assert!(latencies.is_empty(), "{latencies:?}");
}

#[test]
fn odd_names_do_not_break_the_latency_log() {
    let log = read(&written(&runs::odd()), "latency.hlog");
    let entries: Vec<_> = IntervalLogIterator::new(log.as_bytes()).collect();
    let [Ok(LogEntry::Interval(interval))] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(interval.tag().map(|tag| tag.as_str()), Some("a_b_c"));
    let run = runs::odd();
    let latencies = [(String::new(), run.history.latencies()["a b,c"].clone())].into();
    let folder = TempDir::new().expect("a temporary folder");
    let report = reports::Report { result: &run.result, tables: &[], replay: "", latencies: &latencies };
    run_folder::write(folder.path(), &report).expect("a folder that can be written");
    let log = fs::read(folder.path().join("latency.hlog")).expect("the log");
    assert!(IntervalLogIterator::new(&log).all(|entry| entry.is_ok()), "{log:?}");
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
