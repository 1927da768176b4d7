//! From a red seed to the smallest scenario that fails the same way, and to its story.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use harness::rehearsal::{self, Played, Request, Story};
use harness::system::System;
use harness::systems::ticketing::Ticketing;
use harness::target::vocabulary;
use record::result::{RunResult, Verdict};
use reports::story::Focus;
use scenarios::{Arrival, Arrivals, Journey, Scenario, Size, catalogue};
use world::sim::Progress;

use crate::cli::rehearse;

fn system() -> &'static Ticketing {
    static SYSTEM: OnceLock<Ticketing> = OnceLock::new();
    SYSTEM.get_or_init(Ticketing::default)
}

fn read(name: &str, size: Size) -> Scenario {
    let source = catalogue::find(name).unwrap_or_else(|error| panic!("{error}"));
    scenarios::parse(&source.file, &source.text, &vocabulary(&[system()]), size, &[])
        .unwrap_or_else(|error| panic!("{error}"))
}

fn play(request: &Request) -> Played {
    rehearsal::play(system(), request, Progress::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn regressions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/regressions");
    let entries = fs::read_dir(&folder).expect("the folder of the regressions");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

fn said(output: &Output) -> (Option<i32>, String) {
    let both = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

/// The number that follows a word at the begin of a line.
fn figure(text: &str, word: &str) -> u64 {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(word));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no {word} in:\n{text}"))
}

/// A scenario can say that it is played with any of the planted mistakes, whoever makes it.
#[test]
fn every_mutant_can_stand_in_a_scenario() {
    let vocabulary = vocabulary(&[system()]);
    for mutant in system().mutants() {
        let source = catalogue::find(mutant.scenario).unwrap_or_else(|error| panic!("{error}"));
        let text = format!("{}\n[play]\nmutants = [{:?}]\n", source.text, mutant.name);
        let read = scenarios::parse(&source.file, &text, &vocabulary, Size::Hunt, &[]);
        let scenario = read.unwrap_or_else(|error| panic!("{}: {error}", mutant.name));
        assert_eq!(scenario.play.mutants, [mutant.name]);
    }
}

/// What shrinking rests on: a plan that is written out, each customer and each fault, is the same run.
#[test]
fn customers_and_faults_one_by_one_are_the_same_run() {
    for seed in 1..4 {
        let drawn = read("ticketing/swarm", Size::Hunt);
        let first = play(&Request::new(drawn.clone(), seed));
        let mut load: BTreeMap<String, Journey> = BTreeMap::new();
        for arrived in &first.plan.arrived {
            let patience = drawn.load[&arrived.journey].patience;
            let journey = load
                .entry(arrived.journey.clone())
                .or_insert_with(|| Journey { arrivals: Arrivals::Listed(Vec::new()), patience });
            if let Arrivals::Listed(listed) = &mut journey.arrivals {
                listed.push(Arrival { customer: Some(arrived.number), ..Arrival::at(arrived.at) });
            }
        }
        let written = Scenario { load, faults: first.plan.faults.clone(), swarm: None, ..drawn };
        let text = scenarios::write(&written, &system().vocabulary());
        let read = scenarios::parse("written.toml", &text, &vocabulary(&[system()]), Size::Full, &[])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read, written);
        let second = play(&Request::new(read, seed));
        assert_eq!(second.result.fingerprint, first.result.fingerprint, "seed {seed}");
    }
}

/// One customer less leaves the others as they are: what they want, and with whom they travel.
#[test]
fn who_else_comes_does_not_change_what_a_customer_wants() {
    let plan = |customers: &[u64]| {
        let mut scenario = read("ticketing/peak", Size::Full);
        scenario.load.clear();
        let arrival = |(index, customer): (usize, &u64)| Arrival {
            customer: Some(*customer),
            operations: Some(1),
            ..Arrival::at(std::time::Duration::from_millis(index as u64))
        };
        let listed = customers.iter().enumerate().map(arrival).collect();
        scenario
            .load
            .insert("buy".to_owned(), Journey { arrivals: Arrivals::Listed(listed), patience: None });
        let played = play(&Request::new(scenario, 5));
        // The train that each asks for first.
        played.history.with_operations(|operations| -> BTreeMap<u64, (String, String)> {
            let asked = |operation: &record::history::Operation| {
                (
                    operation.process,
                    (operation.name.to_owned(), operation.subject.clone().unwrap_or_default()),
                )
            };
            operations.iter().map(asked).collect()
        })
    };
    let all: Vec<u64> = (0..24).collect();
    let wishes = plan(&all);
    assert!(wishes.values().collect::<BTreeSet<_>>().len() > 2, "they do not all want the same: {wishes:?}");
    let some = plan(&[3, 17, 20]);
    assert_eq!(some.len(), 3);
    for (customer, wish) in some {
        assert_eq!(wishes[&customer], wish, "customer {customer}");
    }
}

/// The way of a developer: a run that fails, its capsule, the scenario that is left of it, its story.
#[test]
fn a_failure_is_shrunk_to_a_scenario_that_fails_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    for (scenario, mutant, invariant) in [
        ("ticketing/inventory-crash", "ticketing.segments-deducted-one-by-one", "conservation"),
        ("ticketing/peak", "ticketing.stock-not-returned-on-payment-timeout", "conservation"),
    ] {
        let run = ["run", scenario, "--size", "hunt", "--seed", "0", "--mutant", mutant, "--out", "failed"];
        let (code, text) = said(&rehearse(folder.path(), &run));
        assert_eq!(code, Some(100), "{text}");
        let shrink = ["shrink", "failed/capsule.json", "--budget", "60s", "--out", "shrunk"];
        let (code, text) = said(&rehearse(folder.path(), &shrink));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(&format!("shrunk: {invariant}: ")), "{text}");
        assert!(figure(&text, "faults") <= 3, "{text}");
        assert!(figure(&text, "operations") <= 5, "{text}");
        let story = fs::read_to_string(folder.path().join("shrunk/story.txt")).expect("a story");
        assert!((10..=60).contains(&story.lines().count()), "{story}");
        assert!(text.contains(&story), "it is shown as well");

        // By itself, every time: the planted mistake is expected to show.
        let mut fingerprints = BTreeSet::new();
        for _ in 0..3 {
            let again = rehearse(folder.path(), &["run", "shrunk/shrunk.toml", "--format", "json"]);
            assert_eq!(again.status.code(), Some(0), "{}", said(&again).1);
            let result = RunResult::from_json(&String::from_utf8_lossy(&again.stdout)).expect("a result");
            assert_eq!(result.verdict, Verdict::Violated);
            assert!(result.invariants.iter().any(|violated| violated.name == invariant && !violated.held));
            fingerprints.insert(result.fingerprint);
        }
        assert_eq!(fingerprints.len(), 1);
    }

    // The capsule tells its story, too.
    let replay = ["replay", "failed/capsule.json", "--focus", "buyer=3", "--until", "5s"];
    let output = rehearse(folder.path(), &replay);
    let story = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output).1);
    assert!(story.contains("customer 3 asks") || story.contains("buyer-3"), "{story}");
    assert!(!story.contains("buyer-4 "), "{story}");
    assert!(said(&output).1.contains("the same run as the capsule's"), "{}", said(&output).1);
    for (words, hint) in [
        (&["--focus", "ordr=5"][..], "expected one of order, payment, ticket, train, buyer"),
        (&["--focus", "order"], "expected KEY=VALUE"),
        (&["--until", "5"], "a number with its unit"),
    ] {
        let (code, text) =
            said(&rehearse(folder.path(), &[&["replay", "failed/capsule.json"], words].concat()));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(hint), "{text}");
    }
    let (code, text) = said(&rehearse(folder.path(), &["shrink", "nowhere.json"]));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nowhere.json: cannot be read"), "{text}");
}

/// Whoever tells only looks.
#[test]
fn a_run_goes_the_same_with_its_story_told() {
    for scenario in ["ticketing/payment-trouble", "ticketing/redis-failover"] {
        let request = Request::new(read(scenario, Size::Hunt), 2);
        let silent = play(&request);
        let told = play(&Request { story: Story::Whole, ..request });
        assert_eq!(told.result.fingerprint, silent.result.fingerprint);
        assert!(silent.story.is_empty());
        assert!(told.story.len() > 1000 && told.story.is_sorted_by_key(|line| line.at));
    }
}

/// Failures that were shrunk once, kept: each must fail as it says.
#[test]
fn regressions_fail_as_they_say() {
    let files = regressions();
    assert!(files.len() >= 3);
    for file in files {
        let scenario = read(file.to_str().expect("UTF-8"), Size::Full);
        let seed = scenario.play.seed.unwrap_or_else(|| panic!("{} has no seed", file.display()));
        let played = play(&Request::new(scenario.clone(), seed));
        let failures = rehearsal::failures(&scenario, &played.result);
        assert!(failures.is_empty(), "{}: {failures:?}", file.display());
    }
}

#[test]
fn the_story_of_a_forged_callback() {
    let file = regressions().into_iter().find(|file| file.ends_with("forged-callback.toml")).expect("there");
    let scenario = read(file.to_str().expect("UTF-8"), Size::Full);
    let seed = scenario.play.seed.expect("a seed");
    let played = play(&Request { story: Story::Whole, ..Request::new(scenario, seed) });
    let order = played.history.with_operations(|operations| {
        let submitted = operations.iter().find(|operation| operation.name == "order.submit");
        submitted.and_then(|operation| operation.value.clone()).expect("an order")
    });
    // With its payment, whose callback somebody forged.
    let ids = vec![format!("p{order}"), order];
    let focus = Focus { ids, most: Some(60), ..Focus::default() };
    insta::assert_snapshot!(reports::story::render(&played.story, &focus));
}

/// Whoever has seen enough takes what there is.
#[test]
fn interrupted_it_leaves_the_best_so_far() {
    let folder = tempfile::tempdir().expect("a folder");
    let mutant = "ticketing.seat-picked-by-first-segment";
    let hunt = ["hunt", "ticketing/peak", "--seeds", "0..6", "--mutant", mutant];
    let (_, text) = said(&rehearse(folder.path(), &hunt));
    let capsule =
        text.lines().find_map(|line| line.trim().strip_prefix("rehearse replay ")).expect("a capsule");
    let mut child = Command::new(env!("CARGO_BIN_EXE_rehearse"))
        .current_dir(folder.path())
        .args(["shrink", capsule, "--budget", "10m", "--out", "shrunk"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let progress = BufReader::new(child.stderr.take().expect("piped"));
    let line = progress.lines().map_while(Result::ok).find(|line| line.contains("candidates tried; left:"));
    assert!(line.is_some(), "it says how far it is");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(kill.success(), "it is still at it");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let (code, again) = said(&rehearse(folder.path(), &["run", "shrunk/shrunk.toml"]));
    assert_eq!(code, Some(0), "{again}");
    assert!(
        again.contains("the scenario expects the verdict violated (no-double-seat), and so it is"),
        "{again}"
    );
}
