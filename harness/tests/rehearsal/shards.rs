//! Hunts on many machines, each of which is a process and a folder here: what they leave, and what it comes to together.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use harness::hunt::Ended;
use harness::hunt::document::Document;
use record::result::Verdict;

use crate::cli::rehearse;

const MUTANT: &str = "ticketing.seat-picked-by-first-segment";

fn said(output: &Output) -> (Option<i32>, String) {
    let both = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

/// A process on a machine of its own.
fn start(folder: &Path, words: &[&str]) -> Child {
    fs::create_dir_all(folder).expect("writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    let command = command.current_dir(folder).args(words).env("NO_COLOR", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn read(path: &Path) -> Document {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Document::from_json(&text).unwrap_or_else(|error| panic!("{}:{error}", path.display()))
}

/// A report without what tells machines apart: times, processes, where capsules are.
fn essence(report: &str) -> String {
    let is_common = |line: &&str| {
        let line = line.trim();
        !line.starts_with("rehearse replay ") && !line.starts_with("seeds ")
    };
    let seeds = report.lines().find(|line| line.trim().starts_with("seeds ")).expect("a line of seeds");
    let played = seeds.split(" in ").next().unwrap_or_default();
    let mut lines: Vec<&str> = report.lines().filter(is_common).collect();
    lines.push(played);
    lines.join("\n")
}

/// Three machines and a fourth that waits for them say what one says that plays all the seeds.
#[test]
fn shards_together_say_what_one_hunt_says() {
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    let hunt = ["hunt", "ticketing/peak", "--seeds", "0..9", "--mutant", MUTANT, "--jobs", "1"];
    let at = |name: &str| here.join(name);
    let waiting = start(&at("merging"), &["merge", "../one", "../two", "--wait", "10m"]);
    // A place that does not exist yet is a wrong place.
    assert_eq!(said(&waiting.wait_with_output().expect("it ends")).0, Some(2));
    for place in ["one", "two"] {
        fs::create_dir(at(place)).expect("writable");
    }
    let waiting = start(&at("merging"), &["merge", "../one", "../two", "--wait", "10m"]);
    let shards: Vec<Child> = [("1/3", "../one"), ("2/3", "../two"), ("3/3", "../two")]
        .into_iter()
        .map(|(shard, place)| {
            let folder = at(&format!("machine-{}", &shard[..1]));
            start(&folder, &[&hunt[..], &["--shard", shard, "--out", place]].concat())
        })
        .collect();
    let (code, whole) = said(&start(&at("alone"), &hunt).wait_with_output().expect("it ends"));
    assert_eq!(code, Some(100), "{whole}");
    for shard in shards {
        let (code, text) = said(&shard.wait_with_output().expect("it ends"));
        assert_eq!(code, Some(100), "{text}");
    }
    let merged = waiting.wait_with_output().expect("it ends");
    assert_eq!(merged.status.code(), Some(100), "{}", said(&merged).1);
    let merged = String::from_utf8_lossy(&merged.stdout).into_owned();
    let whole = whole.lines().filter(|line| !line.contains(" per second, ")).collect::<Vec<_>>().join("\n");
    assert_eq!(essence(&merged), essence(&whole));

    // In whatever order, as a person reads it and as a program does.
    for order in [["../one", "../two"], ["../two", "../one"]] {
        let (code, again) = said(&rehearse(&at("merging"), &[&["merge"][..], &order].concat()));
        assert_eq!((code, essence(&again)), (Some(100), essence(&merged)));
    }
    let json = rehearse(&at("merging"), &["merge", "../one", "../two", "--format", "json"]);
    let document = Document::from_json(&json.stdout).expect("a document");
    let alone = rehearse(&at("alone"), &[&hunt[..], &["--format", "json"]].concat());
    let alone = Document::from_json(&alone.stdout).expect("a document");
    assert_eq!((document.verdict, document.played), (Verdict::Violated, 9));
    let kinds = |document: &Document| {
        let groups =
            document.findings.iter().map(|group| (group.failure.clone(), group.seeds, group.task.clone()));
        groups.collect::<Vec<_>>()
    };
    assert_eq!(kinds(&document), kinds(&alone));
    assert!(document.findings.iter().all(|group| group.capsule.is_some()));

    // What a machine has left is played here, as it was played there.
    let replay = merged.lines().map(str::trim).find(|line| line.starts_with("rehearse replay "));
    let replay: Vec<&str> = replay.expect("a capsule").split(' ').skip(1).collect();
    let (code, replayed) = said(&rehearse(&at("merging"), &replay));
    assert_eq!(code, Some(100), "{replayed}");
    assert!(replayed.contains("the same run as the capsule's"), "{replayed}");

    // Without some of the machines what was found is found, and what is missing is said.
    for (place, missing) in [("../two", "missing      1/3\n"), ("../one", "missing      2/3, 3/3\n")] {
        let (code, text) = said(&rehearse(&at("merging"), &["merge", place]));
        assert_eq!(code, Some(100), "{text}");
        assert!(text.contains(missing), "{text}");
    }
}

#[test]
fn a_shard_that_is_missing_or_of_another_hunt_is_no_proof() {
    let folder = tempfile::tempdir().expect("a folder");
    let hunt = |seeds: &str, shard: &str, more: &[&str]| {
        let words =
            ["hunt", "ticketing/payment-trouble", "--seeds", seeds, "--shard", shard, "--out", "place"];
        said(&rehearse(folder.path(), &[&words[..], more].concat()))
    };
    let merge = |words: &[&str]| said(&rehearse(folder.path(), &[&["merge", "place"][..], words].concat()));
    let (code, text) = hunt("0..2", "2/2", &[]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = merge(&[]);
    assert_eq!(code, Some(101), "{text}");
    assert!(text.contains("1 of 2 shards is missing") && text.contains("missing      1/2"), "{text}");
    // Waiting for it ends when the time is over.
    let (code, text) = merge(&["--wait", "100ms"]);
    assert_eq!(code, Some(101), "{text}");
    // A shard without seeds is a shard.
    let (code, text) = hunt("0..2", "1/2", &[]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = merge(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("held: nothing found") && !text.contains("missing "), "{text}");

    let (code, text) = hunt("7..9", "1/2", &["--set", "trains.count=1"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = merge(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("they differ in the seeds: 0..2, and 7..9"), "{text}");
    let other = folder.path().join("place/ticketing-payment-trouble-1-of-2-from-7/hunt.json");
    fs::write(&other, "{}").expect("writable");
    let (code, text) = merge(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("/hunt.json:1:2: not what a hunt leaves: missing field"), "{text}");
}

#[test]
fn wrong_places_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("empty")).expect("writable");
    fs::write(folder.path().join("file"), "").expect("writable");
    let hunt = ["hunt", "ticketing/payment-trouble", "--seeds", "0..1"];
    for (words, hint) in [
        (&["merge"][..], "<PLACE>"),
        (&["merge", "nowhere"], "nowhere: there is no such folder"),
        (&["merge", "empty"], "empty: no hunt has left its results here"),
        (&["merge", "empty", "--wait", "10"], "a number with its unit"),
        (&["merge", "ftp://there"], "expected a folder, or s3://"),
        (&[&hunt[..], &["--out", "ftp://there"]].concat(), "--out ftp://there: expected a folder, or s3://"),
        (&[&hunt[..], &["--out", "file"]].concat(), "--out file: cannot be made"),
        (
            &["hunt", "ticketing/payment-trouble", "--shard", "1/2", "--out", "there"],
            "all shards of a hunt need the same --seeds",
        ),
    ] {
        let (code, text) = said(&rehearse(folder.path(), words));
        assert_eq!(code, Some(2), "{words:?}: {text}");
        assert!(text.contains(hint), "{words:?}: {text}");
    }
    assert!(!folder.path().join("there").exists(), "a wrong hunt leaves nothing");
}

/// Ctrl-C leaves what there is; a machine that dies leaves that it was there. Neither is a shard that held.
#[test]
fn a_hunt_that_is_stopped_leaves_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let hunt = |shard: &str, signal: &str| {
        let words = ["hunt", "ticketing/payment-trouble", "--seeds", "5..", "--budget", "10m", "--jobs", "1"];
        let mut child = start(folder, &[&words[..], &["--shard", shard, "--out", "place"]].concat());
        // The first line of progress comes after some seeds.
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let progress = lines.find(|line| line.contains(" seeds, "));
        assert!(progress.is_some(), "a line of progress");
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
        said(&child.wait_with_output().expect("it ends"))
    };
    let (code, text) = hunt("1/2", "-INT");
    assert_eq!(code, Some(101), "{text}");
    assert!(text.contains("invalid: nothing found, but it was interrupted"), "{text}");
    let document = read(&folder.join("place/ticketing-payment-trouble-1-of-2-from-5/hunt.json"));
    assert!(document.played > 0, "{document:?}");
    assert_eq!((document.shards[0].ended, document.verdict), (Ended::Interrupted, Verdict::Invalid));
    let (code, _) = hunt("2/2", "-KILL");
    assert_eq!(code, None);
    let (code, text) = said(&rehearse(folder, &["merge", "place"]));
    assert_eq!(code, Some(101), "{text}");
    assert!(text.contains("interrupted  1/2, 2/2"), "{text}");
    assert!(text.contains(&format!("seeds        {} in ", document.played)), "{text}");
}
