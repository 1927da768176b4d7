//! `rehearse run --sweep`: what it plays, says and leaves, and what it refuses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use record::capacity::{Capacity, NoFit};
use record::result::Verdict;

use crate::cli::rehearse;
use crate::report::schema;

/// A small world whose services saturate under a small load.
const SMALL: &[&str] = &["run", "ticketing/capacity", "--size", "hunt", "--seed", "1"];

fn sweep(folder: &Path, more: &[&str]) -> Output {
    rehearse(folder, &[SMALL, more].concat())
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// What a sweep left, which is of its published schema.
fn document(bytes: &[u8]) -> Capacity {
    let json = text(bytes);
    let value = serde_json::from_str(&json).expect("JSON");
    let errors: Vec<String> = schema("capacity").iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    serde_json::from_str(&json).expect("a capacity")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_sweep_finds_what_a_small_world_carries() {
    let folder = temporary();
    let output = sweep(folder.path(), &["--sweep", "load=0.5x..8x/5", "--repeat", "2", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let capacity = document(&output.stdout);
    let written = fs::read_to_string(folder.path().join("runs/latest/capacity.json")).expect("a file");
    assert_eq!(written, text(&output.stdout));
    assert_eq!((capacity.verdict, &capacity.seeds[..]), (Verdict::Held, &[1, 2][..]));
    let [curve] = &capacity.curves[..] else { panic!("{capacity:?}") };
    let levels = &curve.levels;
    assert_eq!(levels.iter().map(|level| level.factor).collect::<Vec<_>>(), [0.5, 1.0, 2.0, 4.0, 8.0]);
    for pair in levels.windows(2) {
        assert!(pair[0].offered_per_s < pair[1].offered_per_s, "{pair:?}");
        assert!(pair[0].concurrency < pair[1].concurrency, "{pair:?}");
    }
    // The lowest level is met, the highest is not: the answer lies between, and so does the bottleneck.
    assert!(levels[0].met && !levels[4].met, "{levels:?}");
    let sustained = &curve.sustained;
    assert!(sustained.met_per_s < sustained.missed_per_s, "{sustained:?}");
    let bottleneck = curve.bottleneck.as_ref().expect("a host that worked");
    // Hosts of one core at 20 ms a request answer fifty requests a second, and customers ask two gateways.
    assert!(levels.iter().all(|level| level.achieved_per_s < 101.0), "{levels:?}");
    assert!(bottleneck.free_per_s < bottleneck.saturated_per_s, "{bottleneck:?}");
    let full = bottleneck.full_per_s.expect("it was free once");
    assert!((50.0..130.0).contains(&full), "{bottleneck:?}");
    for level in levels {
        assert!(level.hosts.windows(2).all(|pair| pair[0].busy >= pair[1].busy), "{level:?}");
        assert!(level.hosts.iter().any(|host| host.name == "redis-1" && host.busy > 0.0), "{level:?}");
    }
    let fit = curve.fit.as_ref().expect("five levels");
    assert_eq!(fit.points, 10);
    for (estimate, name) in [(fit.lambda, "λ"), (fit.sigma, "σ"), (fit.kappa, "κ")] {
        assert!(
            estimate.low <= estimate.value && estimate.high >= Some(estimate.value),
            "{name} {estimate:?}"
        );
    }
    // Each level can be played again by itself, to the bit.
    let again = sweep(temporary().path(), &["--sweep", "load=2x", "--repeat", "2", "--format", "json"]);
    let again = document(&again.stdout);
    assert_eq!(again.curves[0].levels[0], levels[2]);
    assert_eq!(again.curves[0].no_fit, Some(NoFit::TooFewLevels { needed: 4, measured: 1 }));
}

#[test]
fn settings_are_swept_and_a_report_says_what_it_found() {
    let folder = temporary();
    let words = ["--sweep", "cpu.cores=1,2", "--sweep", "load=4x,1x", "--warm-up", "1s", "--jobs", "1"];
    let output = sweep(folder.path(), &words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for part in ["CAPACITY", "Levels with cpu.cores=1", "Levels with cpu.cores=2", "1 s left out", "No knee"]
    {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    let again = shown.lines().last().expect("a report").trim();
    let expected = "rehearse run ticketing/capacity --seed 1 --size hunt --sweep cpu.cores=1,2 --sweep load=4x,1x --warm-up 1s";
    assert_eq!(again, expected);
    let words: Vec<&str> = again.split(' ').skip(1).chain(["--format", "json"]).collect();
    let capacity = document(&rehearse(folder.path(), &words).stdout);
    let slow = |curve: usize| capacity.curves[curve].levels[1].service_levels[0].observed_us;
    assert!(slow(1) < slow(0), "two cores are faster than one: {capacity:?}");
}

/// A sweep that is stopped with Ctrl-C after some of its runs.
fn stopped(folder: &Path, runs: usize, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.current_dir(folder).args(SMALL).args(words).args(["--jobs", "1"]).env("NO_COLOR", "1");
    command.env("GITHUB_STEP_SUMMARY", folder.join("job.md"));
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    // The first line of progress comes after some runs.
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with(&format!(" of {runs} runs"))), "a line of progress");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -INT");
    // Its result first, which may be more than a pipe holds.
    let output = child.wait_with_output().expect("it ends");
    Output { stderr: lines.collect::<Vec<_>>().join("\n").into_bytes(), ..output }
}

/// Ctrl-C leaves what there is of the levels that were played to their end: the highest, which go first.
#[test]
fn a_sweep_that_is_stopped_says_what_it_has() {
    let folder = temporary();
    let words = ["--sweep", "load=0.5x..1x/100", "--repeat", "5", "--format", "json"];
    let output = stopped(folder.path(), 500, &words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let capacity = document(&output.stdout);
    let [curve] = &capacity.curves[..] else { panic!("{capacity:?}") };
    assert!(!curve.levels.is_empty() && curve.levels.iter().all(|level| level.runs.len() == 5), "{curve:?}");
    assert_eq!(curve.levels.len() + capacity.levels_not_played, 100);
    assert_eq!(curve.levels.last().map(|level| level.factor), Some(1.0));
    let summary = fs::read_to_string(folder.path().join("job.md")).expect("the summary of the job");
    assert_eq!(summary, fs::read_to_string(folder.path().join("runs/latest/summary.md")).expect("a summary"));
    assert!(summary.contains(&format!("Stopped: {} of 100 levels", capacity.levels_not_played)), "{summary}");
}

/// Nothing is known then: neither that it carries a load, nor that it does not.
#[test]
fn a_sweep_that_is_stopped_before_its_first_level_is_exit_code_101() {
    let folder = temporary();
    let output = stopped(folder.path(), 100, &["--sweep", "load=8x", "--repeat", "100"]);
    assert_eq!(output.status.code(), Some(101), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("STOPPED") && shown.contains("Stopped: 1 of 1 level not played."), "{shown}");
    let page = fs::read_to_string(folder.path().join("runs/latest/capacity.html")).expect("a page");
    assert!(page.contains("Stopped"), "{page}");
}

#[test]
fn a_sweep_is_rendered_again_from_its_folder() {
    let folder = temporary();
    let output = sweep(folder.path(), &["--sweep", "load=1x", "--lang", "zh"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let latest = folder.path().join("runs/latest");
    let page = |name: &str| fs::read_to_string(latest.join(name)).expect("a file");
    let (chinese, json) = (page("capacity.html"), page("capacity.json"));
    let again = rehearse(folder.path(), &["report", "runs/latest"]);
    assert_eq!((again.status.code(), &again.stdout), (Some(0), &output.stdout), "{}", text(&again.stderr));
    assert_ne!(page("capacity.html"), chinese);
    rehearse(folder.path(), &["report", "runs/latest", "--lang", "zh"]);
    assert_eq!(page("capacity.html"), chinese);
    for (damaged, what) in [
        (json[..json.len() / 2].to_owned(), ": not a capacity: EOF while parsing"),
        (json.replace("\"schema\": 1", "\"schema\": 2"), "a capacity of schema 2, expected 1"),
        (json.replace("\"seeds\"", "\"seed\""), ": not a capacity: missing field `seeds`"),
        ("{}".to_owned(), ": not a capacity: missing field `schema`"),
    ] {
        fs::write(latest.join("capacity.json"), damaged).expect("writable");
        let refused = rehearse(folder.path(), &["report", "runs/latest"]);
        assert_eq!(refused.status.code(), Some(2));
        let message = text(&refused.stderr);
        assert!(message.contains("capacity.json") && message.contains(what), "{message}");
    }
}

#[test]
fn no_level_that_meets_the_service_levels_is_exit_code_99() {
    let words = ["--sweep", "load=1x", "--set", "cpu.request=900ms"];
    let output = sweep(temporary().path(), &words);
    assert_eq!(output.status.code(), Some(99), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("NO LEVEL MET"), "{}", text(&output.stdout));
}

#[test]
fn wrong_sweeps_are_refused_with_what_is_right() {
    let folder = temporary();
    for (words, what) in [
        (&["--sweep", "load=4x..1x"][..], "the first load must be below the last"),
        (&["--sweep", "load=1x..4"], "both ends are with x"),
        (&["--sweep", "cpu.core=1,2"], "cpu.cores"),
        (&["--sweep", "cpu.cores=1,many"], "cpu.cores"),
        (&["--sweep", "load=1x", "--sweep", "load=2x"], "given twice"),
        (&["--sweep", "load=1x", "--warm-up", "4s"], "leaves nothing"),
        (&["--sweep", "load=1000000x"], "times a second"),
        (&["--repeat", "3"], "--sweep"),
        (&["--sweep", "load=1x", "--repeat", "0"], "--repeat"),
    ] {
        let output = sweep(folder.path(), words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(what), "{words:?}: {}", text(&output.stderr));
    }
    let made_to_fail =
        ["run", "ticketing/redis-split-brain-unguarded", "--size", "hunt", "--sweep", "load=1x"];
    let output = rehearse(folder.path(), &made_to_fail);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(!folder.path().join("runs").exists(), "nothing was played");
}
