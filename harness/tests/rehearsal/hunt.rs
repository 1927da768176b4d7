//! `rehearse hunt` and `rehearse replay`: what is found is shown once, and can be played again.

use std::fs;
use std::process::Output;

use crate::cli::rehearse;

fn said(output: &Output) -> (Option<i32>, String) {
    let both = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

/// The line that begins like this, without its indentation.
fn line<'a>(text: &'a str, begins: &str) -> &'a str {
    let found = text.lines().map(str::trim).find(|line| line.starts_with(begins));
    found.unwrap_or_else(|| panic!("no line begins with {begins:?} in:\n{text}"))
}

#[test]
fn a_hunt_that_finds_nothing_says_why_that_means_something() {
    let folder = tempfile::tempdir().expect("a folder");
    let hunt = ["hunt", "ticketing/payment-trouble", "--seeds", "0..6", "--jobs", "2"];
    let (code, text) = said(&rehearse(folder.path(), &hunt));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("held: nothing found"), "{text}");
    assert!(line(&text, "seeds").starts_with("seeds        6 in "), "{text}");
    assert!(line(&text, "canary").contains("is found, at seed"), "{text}");
    assert!(line(&text, "reached").contains("never"), "{text}");
}

#[test]
fn shards_play_each_seed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut played = 0;
    for shard in ["1/3", "2/3", "3/3"] {
        let hunt = ["hunt", "ticketing/payment-trouble", "--seeds", "0..4", "--shard", shard];
        let (code, text) = said(&rehearse(folder.path(), &hunt));
        assert_eq!(code, Some(0), "{text}");
        let words = line(&text, "seeds").split_whitespace().nth(1).expect("a number").to_owned();
        played += words.parse::<u64>().expect("a number");
    }
    assert_eq!(played, 4);
}

/// The whole way of a developer: a mistake, the hunt, the capsule, the replay, the mended program.
#[test]
fn what_a_hunt_finds_can_be_played_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mutant = "ticketing.seat-picked-by-first-segment";
    let hunt = ["hunt", "ticketing/peak", "--seeds", "0..6", "--mutant", mutant];
    let (code, text) = said(&rehearse(folder.path(), &hunt));
    assert_eq!(code, Some(100), "{text}");
    assert!(text.contains("violated: "), "{text}");
    let replay: Vec<&str> = line(&text, "rehearse replay ").split(' ').skip(1).collect();
    let (code, again) = said(&rehearse(folder.path(), &replay));
    assert_eq!(code, Some(100), "{again}");
    assert!(again.contains("the same run as the capsule's"), "{again}");
    // The line for those who have no capsule gives the same run, and a capsule of its own.
    let run: Vec<&str> = line(&text, "rehearse run ").split(' ').skip(1).collect();
    let (code, run) = said(&rehearse(folder.path(), &run));
    assert_eq!(code, Some(100), "{run}");
    assert_eq!(line(&run, "fingerprint"), line(&again, "fingerprint"));
    let path = folder.path().join("runs/latest/capsule.json");
    let capsule = fs::read_to_string(&path).expect("a run that fails leaves its capsule");

    // Another build, with the mistake mended.
    let executable = capsule.split("\"executable\": \"").nth(1).and_then(|rest| rest.split('"').next());
    let mended = capsule.replace(executable.expect("a hash"), "0123").replace(&format!("\"{mutant}\""), "");
    fs::write(&path, mended).expect("writable");
    let (code, text) = said(&rehearse(folder.path(), &["replay", "runs/latest/capsule.json"]));
    assert_eq!(code, Some(0), "{text}");
    for said in ["another run than the capsule's", "this is another build", "no longer so: no-double-seat"] {
        assert!(text.contains(said), "{said} is not said in:\n{text}");
    }

    for broken in
        [&capsule[..capsule.len() / 2], "{}", "", &capsule.replace("\"schema\": 1", "\"schema\": 9")]
    {
        fs::write(&path, broken).expect("writable");
        let (code, text) = said(&rehearse(folder.path(), &["replay", "runs/latest/capsule.json"]));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.starts_with("runs/latest/capsule.json:"), "{text}");
    }
}

#[test]
fn a_hunt_may_stop_at_its_first_failure_and_keep_to_one_strategy() {
    let folder = tempfile::tempdir().expect("a folder");
    let hunt = ["hunt", "ticketing/peak", "--seeds", "0..50", "--jobs", "1", "--first", "--strategy", "pct"];
    let mutant = ["--mutant", "ticketing.deduct-check-then-set"];
    let (code, text) = said(&rehearse(folder.path(), &[&hunt[..], &mutant].concat()));
    assert_eq!(code, Some(100), "{text}");
    let played = line(&text, "seeds").split_whitespace().nth(1).and_then(|number| number.parse().ok());
    assert!(played.is_some_and(|played: u64| played < 50), "{text}");
    assert!(text.contains("1 seed of ticketing/peak") && !text.contains("\n2. "), "{text}");
    assert!(line(&text, "rehearse run ").contains("--strategy pct:"), "{text}");
}

#[test]
fn wrong_hunts_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("empty")).expect("writable");
    for (words, hint) in [
        (&["hunt", "ticketing/paek"][..], "did you mean \"ticketing/peak\"?"),
        (&["hunt", "empty"], "there is no scenario"),
        (&["hunt", "ticketing/peak", "--seeds", "9..3"], "no seed in this range"),
        (&["hunt", "ticketing/peak", "--budget", "10"], "a number with its unit"),
        (&["hunt", "ticketing/peak", "--shard", "3/2"], "expected I/N"),
        (&["hunt", "ticketing/peak", "--mutant", "ticketing.x"], "has no such mutant"),
        (&["hunt", "ticketing/peak", "--strategy", "fair"], "possible values: random, pct, mixed"),
        (&["replay", "nowhere.json"], "nowhere.json: cannot be read"),
        (
            &["run", "ticketing/peak", "--strategy", "fair"],
            "expected random, random:FROM..UNTIL, fifo or pct:DEPTH:POLLS",
        ),
    ] {
        let (code, text) = said(&rehearse(folder.path(), words));
        assert_eq!(code, Some(2), "{words:?}: {text}");
        assert!(text.contains(hint), "{words:?}: {text}");
    }
}
