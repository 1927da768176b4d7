//! What runs leave behind: every document is of its published schema, all of them tell the same, and `rehearse report`
//! renders them again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use harness::rehearsal::{self, Played, Request};
use harness::system::System;
use harness::systems::ticketing::Ticketing;
use harness::timeline::{Watch, Windows};
use jsonschema::Validator;
use record::result::{OperationStats, RunResult, Verdict};
use record::timeline::Timeline;
use reports::{latency_log, run_folder};
use scenarios::{Scenario, Size, Vocabulary, catalogue};
use serde_json::{Value, json};
use world::sim::Progress;

use crate::cli::rehearse;

/// Runs that end in each way, with the faults and the losses that there are.
const RUNS: &[(&str, &[&str], i32)] = &[
    ("held", &["ticketing/peak", "--seed", "5"], 0),
    ("crash", &["ticketing/inventory-crash", "--seed", "2"], 0),
    ("split", &["ticketing/redis-split-brain", "--seed", "3"], 0),
    ("lost", &["ticketing/redis-split-brain-unguarded", "--seed", "1"], 0),
    ("swarm", &["ticketing/swarm", "--seed", "7"], 0),
    ("violated", &["ticketing/peak", "--seed", "33", "--mutant", "ticketing.deduct-check-then-set"], 100),
    ("turmoil", &["ticketing/peak", "--seed", "5", "--engine", "turmoil"], 0),
    ("slow", &["impatient.toml", "--seed", "5"], 99),
];

/// Nobody answers in a microsecond.
const IMPATIENT: &str = "name = \"impatient\"\nsystem = \"ticketing\"\nduration = \"2s\"\nsettle = \"5m\"\n[load]\n\
    journey.buy = { rate = 10, patience = \"20s\" }\n[settings]\ntrains.count = 1\n[limits]\n\
    latency.\"order.submit\" = { p95 = \"1us\" }\n";

pub(crate) fn schema(name: &str) -> Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports").join(format!("{name}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    assert!(jsonschema::meta::is_valid(&schema), "{} is no schema", path.display());
    jsonschema::validator_for(&schema).expect("a schema")
}

fn document(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&read(&folder.join(name))).expect("JSON")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Plays a run of [`RUNS`] at hunting size; its folder.
fn played(place: &Path, (name, words, code): &(&str, &[&str], i32)) -> PathBuf {
    fs::write(place.join("impatient.toml"), IMPATIENT).expect("writable");
    let folder = place.join(name);
    let out = folder.to_str().expect("UTF-8");
    let output = rehearse(place, &[&["run"], *words, &["--size", "hunt", "--out", out]].concat());
    assert_eq!(output.status.code(), Some(*code), "{name}: {}", stderr(&output));
    folder
}

#[test]
fn what_runs_leave_is_of_the_published_schemas_and_tells_the_same() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (results, timelines) = (schema("result"), schema("timeline"));
    let mut verdicts = Vec::new();
    for run in RUNS {
        let folder = played(place.path(), run);
        for (validator, file) in [(&results, "result.json"), (&timelines, "timeline.json")] {
            let document = document(&folder, file);
            let errors: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{file} of {}: {errors:#?}", run.0);
        }
        let record = run_folder::read(&folder).unwrap_or_else(|error| panic!("{}: {error}", run.0));
        tells_the_same(&record.result, &record.timeline);
        verdicts.push(record.result.verdict);
        let Timeline { stories, failovers, lost, links, gauges, .. } = record.timeline;
        // Replicas take over in the scenarios that cut masters off, after somebody has noticed.
        let detected = record.result.recovery.iter().filter_map(|recovery| recovery.detected_s);
        let first = detected.fold(f64::INFINITY, f64::min);
        assert!(failovers.iter().all(|it| it.host.starts_with("redis-") && it.at_s > first), "{failovers:?}");
        assert_eq!(["split", "lost"].contains(&run.0), !failovers.is_empty(), "{}", run.0);
        let violated = record.result.invariants.iter().filter(|invariant| !invariant.held);
        assert_eq!(
            stories.iter().map(|story| &story.invariant).collect::<Vec<_>>(),
            violated.map(|invariant| &invariant.name).collect::<Vec<_>>(),
            "{}: a story for each violation",
            run.0
        );
        assert!(stories.iter().all(|story| !story.lines.is_empty() && story.lines.len() <= 400));
        let lost_acknowledged =
            record.result.recovery.iter().map(|recovery| recovery.lost_acknowledged).max();
        assert!(lost.len() as u64 >= lost_acknowledged.unwrap_or_default(), "{}: {lost:?}", run.0);
        assert_eq!(run.0 == "lost", !lost.is_empty(), "{}", run.0);
        assert_eq!(run.0 == "turmoil", links.is_empty(), "{}", run.0);
        let groups = ["operations", "redis", "stock"];
        assert!(groups.iter().all(|group| gauges.iter().any(|gauge| gauge.group == *group)), "{gauges:?}");
    }
    for verdict in [Verdict::Held, Verdict::Violated, Verdict::Slow] {
        assert!(verdicts.contains(&verdict), "no run was {verdict}: {verdicts:?}");
    }
}

/// The windows of a timeline sum up to the result.
fn tells_the_same(result: &RunResult, timeline: &Timeline) {
    assert_eq!(timeline.operations.keys().collect::<Vec<_>>(), result.operations.keys().collect::<Vec<_>>());
    for (name, series) in &timeline.operations {
        let OperationStats { ok, refused, failed, unknown, .. } = result.operations[name];
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        let sums = [&series.ok, &series.refused, &series.failed, &series.unknown].map(|counts| sum(counts));
        assert_eq!(sums, [ok, refused, failed, unknown], "{name}");
        assert_eq!(sum(&series.invoked), ok + refused + failed + unknown, "{name}");
    }
    let end_s = timeline.window_s * timeline.windows as f64;
    assert!(end_s >= result.simulated_s && end_s - timeline.window_s < result.simulated_s);
    assert!(timeline.load_until_s > 0.0 && timeline.load_until_s <= result.simulated_s);
    let delivered: u64 = timeline.hosts.iter().map(|host| host.messages_in).sum();
    assert!(delivered <= result.messages, "{delivered} of {}", result.messages);
    if timeline.links.is_empty() {
        return;
    }
    // What the operator sends who opens the sale goes to no host of the system, or to few.
    assert!(delivered > result.messages * 9 / 10, "{delivered} of {}", result.messages);
    let tier = |role: &str| timeline.hosts.iter().find(|host| host.role == role).map(|host| host.tier);
    assert_eq!((tier("buyers"), tier("gateway")), (Some(0), Some(1)));
    assert!(tier("redis") >= Some(2) && tier("order") == Some(2), "{:?}", timeline.hosts);
}

#[test]
fn what_is_not_of_the_schema_is_found() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (result, timeline) = (schema("result"), schema("timeline"));
    let folder = played(place.path(), &RUNS[3]);
    let (whole_result, whole_timeline) =
        (document(&folder, "result.json"), document(&folder, "timeline.json"));
    assert!(result.is_valid(&whole_result) && timeline.is_valid(&whole_timeline));
    let refused = |validator: &Validator, whole: &Value, pointer: &str, value: Value| {
        let mut changed = whole.clone();
        let place = changed.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
        *place = value.clone();
        assert!(!validator.is_valid(&changed), "{pointer} may be {value}");
    };
    for (pointer, value) in [
        ("/schema", json!(2)),
        ("/seed", json!(-1)),
        ("/seed", json!(1.5)),
        ("/engine", json!("steam")),
        ("/fingerprint", json!("ABCD")),
        ("/verdict", json!("held")),
        ("/simulated_s", json!("12 s")),
        ("/operations/order.submit/ok", Value::Null),
        ("/operations/order.submit", json!({})),
        ("/invariants/0/held", json!(1)),
        ("/invariants/0", json!({ "name": "a", "held": true, "checks": 1 })),
        ("/faults/0/kind", json!("earthquake")),
        ("/recovery/0/rpo_s", json!(-1.0)),
        ("/service_levels", json!([{ "name": "p95", "limit_us": 1, "observed_us": 1, "met": true }])),
    ] {
        refused(&result, &whole_result, pointer, value);
    }
    for (pointer, value) in [
        ("/schema", json!(2)),
        ("/windows", json!(0)),
        ("/window_s", json!(0.001)),
        ("/size", json!("huge")),
        ("/settings/trains.count", json!(3)),
        ("/gauges/0/values", json!(["1"])),
        ("/hosts/0/busy", json!([1.5])),
        ("/links/0/bytes", json!(-1)),
        ("/lost/0/lost_s", Value::Null),
        ("/stories/0/lines/0/kind", json!("gossip")),
    ] {
        refused(&timeline, &whole_timeline, pointer, value);
    }
    // Nothing may be missing, and nothing may be there that the schema does not know, at any depth.
    let objects = [
        (&result, &whole_result, "", "verdict"),
        (&result, &whole_result, "/operations/order.submit", "p95_us"),
        (&result, &whole_result, "/invariants/0", "first_violation"),
        (&result, &whole_result, "/faults/0", "on"),
        (&result, &whole_result, "/recovery/0", "rto_s"),
        (&timeline, &whole_timeline, "", "lost"),
        (&timeline, &whole_timeline, "/operations/order.submit", "ok"),
        (&timeline, &whole_timeline, "/hosts/0", "tier"),
        (&timeline, &whole_timeline, "/links/0", "bytes"),
        (&timeline, &whole_timeline, "/lost/0", "name"),
        (&timeline, &whole_timeline, "/stories/0/lines/0", "text"),
    ];
    for (validator, whole, pointer, field) in objects {
        let object = whole.pointer(pointer).and_then(Value::as_object).expect("an object");
        let (mut less, mut more) = (object.clone(), object.clone());
        assert!(less.remove(field).is_some(), "{pointer} has no {field}");
        more.insert("surprise".to_owned(), json!(1));
        refused(validator, whole, pointer, Value::Object(less));
        refused(validator, whole, pointer, Value::Object(more));
    }
}

#[test]
fn a_folder_is_rendered_again_without_playing() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = played(place.path(), &RUNS[5]);
    let kept = ["result.json", "timeline.json", "latency.hlog", "capsule.json"];
    let rendered = ["summary.md", "junit.xml"];
    let content = |files: &[&str]| files.iter().map(|file| read(&folder.join(file))).collect::<Vec<_>>();
    let before = (content(&kept), content(&rendered));
    rendered.iter().for_each(|file| fs::remove_file(folder.join(file)).expect("a file"));
    let output = rehearse(place.path(), &["report", "violated"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("VIOLATED") && text.contains("Who got tickets"), "{text}");
    let replay = "rehearse run ticketing/peak --seed 33 --size hunt --mutant ticketing.deduct-check-then-set";
    assert_eq!(text.lines().last().map(str::trim), Some(replay));
    assert_eq!((content(&kept), content(&rendered)), before);
}

#[test]
fn what_cannot_be_rendered_is_said_and_nothing_is_written() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = played(place.path(), &RUNS[0]);
    let refused = |words: &[&str], said: &str| {
        let output = rehearse(place.path(), words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{words:?} should say {said}: {}", stderr(&output));
        assert!(output.stdout.is_empty() && !stderr(&output).contains("panicked"), "{}", stderr(&output));
    };
    refused(&["report"], "RUN-DIR");
    refused(&["report", "nowhere"], "nowhere does not exist: expected the folder of a run");
    refused(&["report", "held/result.json"], "held/result.json is a file: expected the folder of a run");
    fs::remove_file(folder.join("summary.md")).expect("a file");
    let result = read(&folder.join("result.json"));
    fs::write(folder.join("result.json"), &result[..result.len() / 2]).expect("writable");
    refused(&["report", "held"], ": not a result: EOF while parsing");
    fs::write(folder.join("result.json"), result.replacen("\"schema\": 1", "\"schema\": 7", 1))
        .expect("writable");
    refused(&["report", "held"], "held/result.json: a result of schema 7, expected 1");
    fs::write(folder.join("result.json"), &result).expect("writable");
    fs::remove_file(folder.join("timeline.json")).expect("a file");
    refused(&["report", "held"], "held/timeline.json is missing: the folder is half-written");
    assert!(!folder.join("summary.md").exists(), "nothing is rendered of a damaged folder");
}

#[test]
fn the_summary_goes_to_that_of_a_job() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = played(place.path(), &RUNS[0]);
    let run = |summary: &Path| {
        let program = env!("CARGO_BIN_EXE_rehearse");
        let mut command = std::process::Command::new(program);
        command.current_dir(place.path()).args(["report", "held"]).env("GITHUB_STEP_SUMMARY", summary);
        command.output().expect("the program starts")
    };
    let (summary, once) = (place.path().join("job.md"), read(&folder.join("summary.md")));
    fs::write(&summary, "# Before\n").expect("writable");
    assert!(run(&summary).status.success() && run(&summary).status.success());
    assert_eq!(read(&summary), format!("# Before\n{once}{once}"));
    // That it cannot be written is no failure of the run.
    let output = run(place.path());
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).starts_with("warning: no job summary (GITHUB_STEP_SUMMARY): "),
        "{}",
        stderr(&output)
    );
}

/// Whoever reads the progress may go away: the run goes on.
#[test]
fn progress_that_nobody_reads_does_not_end_a_run() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rehearse"));
    // Long enough for a plain line or two, which come every five seconds.
    let words = ["run", "ticketing/peak", "--seed", "1", "--set", "trains.count=4", "--out", "out"];
    command.current_dir(place.path()).args(words).env_remove("GITHUB_STEP_SUMMARY");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let first = BufReader::new(child.stderr.take().expect("piped")).lines().next();
    // A machine that plays it within five seconds has nothing to say.
    if let Some(line) = first {
        let line = line.expect("text");
        assert!(line.contains(" s simulated · all invariants hold · "), "{line}");
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

fn scenario(name: &str) -> Scenario {
    let vocabulary = Vocabulary { systems: vec![Ticketing::default().vocabulary()] };
    let source = catalogue::find(name).unwrap_or_else(|error| panic!("{error}"));
    scenarios::parse(&source.file, &source.text, &vocabulary, Size::Hunt, &[]).expect("a right scenario")
}

fn play(name: &str, seed: u64, watch: Option<Watch>) -> Played {
    let request = Request { watch, ..Request::new(scenario(name), seed) };
    rehearsal::play(&Ticketing::default(), &request, Progress::default()).expect("played")
}

#[test]
fn a_run_goes_the_same_watched_or_not() {
    for name in ["ticketing/peak", "ticketing/redis-total-loss"] {
        let (alone, watched) = (play(name, 4, None), play(name, 4, Some(Watch::default())));
        let timeless = |played: Played| RunResult { wall_s: 0.0, ..played.result };
        assert_eq!(timeless(alone), timeless(watched));
    }
}

/// The percentiles of the result, and the latency log, are those of the latencies themselves.
#[test]
fn percentiles_are_exact_to_a_thousandth() {
    let played = play("ticketing/peak", 5, None);
    let mut exact: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    played.history.with_operations(|operations| {
        for operation in operations {
            let latencies = exact.entry(operation.name).or_default();
            latencies.extend(operation.completed.map(|at| (at - operation.invoked).as_micros() as u64));
        }
    });
    let log = Windows::of_run(&played).latency_log(&played.history).expect("a log");
    let merged = latency_log::read_merged(&log).expect("a log");
    let mut compared = 0;
    for (name, mut latencies) in exact {
        latencies.sort_unstable();
        let stats = &played.result.operations[name];
        assert_eq!(latencies.last().copied().unwrap_or_default(), stats.max_us, "{name}");
        assert_eq!(
            merged.get(name),
            Some(&played.latencies[name]).filter(|whole| !whole.is_empty()),
            "{name}"
        );
        let told = [(0.5, stats.p50_us), (0.95, stats.p95_us), (0.99, stats.p99_us), (0.999, stats.p999_us)];
        for (quantile, told) in told {
            // The smallest latency that this share stays within.
            let rank = (quantile * latencies.len() as f64).ceil() as usize;
            let Some(true_us) = latencies.get(rank.max(1) - 1).copied() else { continue };
            let within = true_us..=true_us + true_us / 1000;
            assert!(within.contains(&told), "{name} {quantile}: told {told} µs, in truth {true_us} µs");
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared} percentiles");
}
