//! The command line as its users meet it: exit codes, messages, files, replay.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use record::result::{RunResult, Verdict};

/// Runs `rehearse` in a folder of its own.
pub(crate) fn rehearse(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.current_dir(folder).args(words).env("NO_COLOR", "1").env_remove("GITHUB_STEP_SUMMARY");
    command.output().expect("the program starts")
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_run_prints_a_report_and_leaves_a_folder() {
    let folder = temporary();
    let output = rehearse(folder.path(), &["run", "ticketing/peak", "--size", "hunt", "--seed", "5"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    let last = text.lines().last().expect("a report").trim();
    assert_eq!(last, "rehearse run ticketing/peak --seed 5 --size hunt");
    for part in ["held", "zero-oversell", "order.submit", "Who got tickets", "fingerprint"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let latest = folder.path().join("runs/latest");
    for file in ["result.json", "timeline.json", "summary.md", "junit.xml", "latency.hlog", "trace"] {
        assert!(latest.join(file).is_file(), "{file} is missing");
    }
    let json = fs::read_to_string(latest.join("result.json")).expect("readable");
    let result = RunResult::from_json(&json).expect("of schema 1");
    assert!(text.contains(&result.fingerprint));
}

#[test]
fn json_is_the_result_and_nothing_else() {
    let (here, there) = (temporary(), temporary());
    let out = there.path().join("out");
    let out = out.to_str().expect("UTF-8");
    let words = ["run", "ticketing/inventory-crash", "--size", "hunt", "--seed", "2", "--format", "json"];
    let first = rehearse(here.path(), &[&words[..], &["--out", out]].concat());
    let second = rehearse(there.path(), &words);
    let parse = |output: &Output| {
        RunResult::from_json(&stdout(output)).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)))
    };
    let timeless = |result: RunResult| RunResult { wall_s: 0.0, ..result };
    let result = timeless(parse(&first));
    assert_eq!(result, timeless(parse(&second)), "the folder must not matter");
    assert_eq!(result.faults.len(), 2);
    assert_eq!(result.faults[0].on, ["inventory-1"]);
    let written =
        fs::read_to_string(there.path().join("out/result.json")).expect("--out is the run's folder");
    assert_eq!(timeless(RunResult::from_json(&written).expect("of schema 1")), result);
}

#[test]
fn verify_plays_twice_and_compares() {
    let folder = temporary();
    let output =
        rehearse(folder.path(), &["verify", "ticketing/payment-trouble", "--size", "hunt", "--seed", "3"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("the same twice"));
}

#[test]
fn a_mutant_violates_and_the_replay_line_says_so() {
    let folder = temporary();
    let words = [
        "run",
        "ticketing/peak",
        "--size",
        "hunt",
        "--mutant",
        "ticketing.seat-picked-by-first-segment",
        "--seed",
    ];
    let failing =
        (1..=20).map(|seed: u32| rehearse(folder.path(), &[&words[..], &[&seed.to_string()]].concat()));
    let output = failing.into_iter().find(|output| code(output) == 100).expect("found within 20 seeds");
    let text = stdout(&output);
    assert!(text.contains("VIOLATED") && text.contains("no-double-seat"), "{text}");
    let replay = text.lines().last().expect("a report").trim().to_owned();
    let words: Vec<&str> = replay.split(' ').skip(1).collect();
    let again = rehearse(folder.path(), &words);
    assert_eq!((code(&again), stdout(&again).contains("VIOLATED")), (100, true), "{replay}");
}

/// A teaching scenario succeeds by failing as it says; held, it no longer teaches anything.
#[test]
fn a_teaching_scenario_is_to_fail() {
    let folder = temporary();
    let words = ["run", "ticketing/redis-split-brain-unguarded", "--size", "hunt", "--seed", "1"];
    let output = rehearse(folder.path(), &[&words[..], &["--format", "json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = "the scenario expects the verdict violated (zero-oversell), and so it is";
    assert!(stderr(&output).contains(said), "{}", stderr(&output));
    let result = RunResult::from_json(&stdout(&output)).expect("of schema 1");
    assert_eq!(result.verdict, Verdict::Violated);
    let recovery = result.recovery.first().expect("of the split");
    assert!(recovery.lost_acknowledged > 0 && recovery.rpo_s > 0.0, "{recovery:?}");
    let guarded = rehearse(folder.path(), &[&words[..], &["--set", "redis.replicas_to_wait=1"]].concat());
    assert_eq!(code(&guarded), 101, "{}", stderr(&guarded));
    assert!(stderr(&guarded).contains("but it is not"), "{}", stderr(&guarded));
}

/// A capsule belongs to the run that its folder tells of.
#[test]
fn a_run_as_expected_leaves_no_capsule_of_an_earlier_one() {
    let folder = temporary();
    let words =
        ["run", "ticketing/redis-split-brain-unguarded", "--size", "hunt", "--seed", "1", "--out", "here"];
    let capsule = folder.path().join("here/capsule.json");
    let guarded = rehearse(folder.path(), &[&words[..], &["--set", "redis.replicas_to_wait=1"]].concat());
    assert_eq!((code(&guarded), capsule.exists()), (101, true), "{}", stderr(&guarded));
    let as_expected = rehearse(folder.path(), &words);
    assert_eq!((code(&as_expected), capsule.exists()), (0, false), "{}", stderr(&as_expected));
}

#[test]
fn lists_are_for_people_and_programs() {
    let folder = temporary();
    let output = rehearse(folder.path(), &["list"]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("ticketing/peak"));
    let output = rehearse(folder.path(), &["mutants", "--format", "json"]);
    let mutants: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(&stdout(&output)).expect("a list of objects");
    assert!(mutants.len() >= 6);
    for mutant in mutants {
        for field in ["name", "system", "scenario", "kind", "about"] {
            assert!(mutant.get(field).is_some_and(serde_json::Value::is_string), "{mutant:?}");
        }
    }
}

/// What is wrong with the usage is said, with the nearest right name, and the exit code is 2.
#[test]
fn wrong_usage_is_explained() {
    let folder = temporary();
    let cases: &[(&[&str], &str)] = &[
        (&["run", "ticketing/peek"], "ticketing/peak"),
        (&["run", "no/such/file.toml"], "no/such/file.toml"),
        (&["run", "ticketing/peak", "--set", "trains.cuont=3"], "trains.count"),
        (&["run", "ticketing/peak", "--set", "order.pay_within=20"], "20"),
        (&["run", "ticketing/peak", "--set", "order.pay_within=-5s"], "order.pay_within"),
        (&["run", "ticketing/peak", "--set", "timetable=missing.zip"], "missing.zip"),
        (&["run", "ticketing/peak", "--set", "date=2031-01-01"], "2017"),
        (&["run", "ticketing/peak", "--set", "date=tomorrow"], "tomorrow"),
        (&["run", "ticketing/peak", "--set", "seats.first=0", "--set", "seats.second=0"], "seats"),
        (
            &["run", "ticketing/peak", "--mutant", "ticketing.deduct-check-than-set"],
            "ticketing.deduct-check-then-set",
        ),
        (&["run", "ticketing/peak", "--seed", "many"], "many"),
        (&["run", "ticketing/peak", "--engine", "steam"], "kernel"),
        (&["run", "ticketing/peak", "--engine", "tokio"], "it does not simulate"),
        #[cfg(not(madsim))]
        (&["run", "ticketing/peak", "--engine", "madsim"], "RUSTFLAGS=\"--cfg madsim\""),
        (&["run", "ticketing/peak", "--set", "novalue"], "KEY=VALUE"),
        (&["run"], "SCENARIO"),
        (&["verfy"], "verify"),
    ];
    for (words, hint) in cases {
        let output = rehearse(folder.path(), words);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{words:?}: {said}");
        assert!(said.contains(hint), "{words:?} should mention {hint}: {said}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
}

#[test]
fn a_scenario_file_of_one_s_own_is_checked_with_place_and_hint() {
    let folder = temporary();
    let write = |text: &str| fs::write(folder.path().join("mine.toml"), text).expect("writable");
    let good = "name = \"mine\"\nsystem = \"ticketing\"\nabout = \"Two buyers.\"\nduration = \"5s\"\nsettle = \"5m\"\n\
                [load]\njourney.buy = { rate = 2, patience = \"20s\" }\n[settings]\ntrains.count = 1\n";
    write(good);
    let output = rehearse(folder.path(), &["run", "mine.toml", "--seed", "1"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    for (right, wrong, line, hint) in [
        ("duration = \"5s\"", "duration = 5", "mine.toml:4:", "\"90s\""),
        ("settle", "setle", "mine.toml:5:", "settle"),
        ("journey.buy", "journey.by", "mine.toml:7:", "buy"),
        ("trains.count", "trians.count", "mine.toml:9:", "trains"),
    ] {
        write(&good.replace(right, wrong));
        let output = rehearse(folder.path(), &["run", "mine.toml", "--seed", "1"]);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{wrong}: {said}");
        assert!(said.contains(line) && said.contains(hint), "{wrong}: {said}");
    }
}

#[test]
fn a_load_without_customers_is_no_run() {
    let folder = temporary();
    let text = "name = \"nobody\"\nsystem = \"ticketing\"\nabout = \"Nobody comes.\"\nduration = \"5s\"\nsettle = \"5s\"\n\
                [load]\njourney.buy = { rate = 0 }\n";
    fs::write(folder.path().join("nobody.toml"), text).expect("writable");
    let output = rehearse(folder.path(), &["run", "nobody.toml", "--seed", "1"]);
    assert_eq!(code(&output), 4, "{}{}", stdout(&output), stderr(&output));
}
