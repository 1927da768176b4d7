//! Has anything become worse? Real runs, and a planted mistake that `rehearse compare` must not let pass.

use std::fs;
use std::path::Path;

use record::comparison::{Comparison, Judgement, Metric};

use crate::cli::rehearse;

/// Seeds at which the planted mistake shows, among others.
const SEEDS: std::ops::Range<u64> = 0..6;

/// Plays the seeds at hunting size into a folder of this name.
fn play(place: &Path, name: &str, words: &[&str]) {
    for seed in SEEDS {
        let (seed, out) = (seed.to_string(), format!("{name}/{seed}"));
        let run = ["run", "ticketing/payment-trouble", "--size", "hunt", "--seed", &seed, "--out", &out];
        let output = rehearse(place, &[&run, words].concat());
        assert!(matches!(output.status.code(), Some(0 | 100)), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn compare(place: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let output = rehearse(place, &[&["compare"], words].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn document(text: &str) -> Comparison {
    serde_json::from_str(text).expect("a comparison")
}

#[test]
fn the_same_seeds_of_the_same_build_have_not_changed_and_a_planted_mistake_is_a_regression() {
    let place = tempfile::tempdir().expect("a folder");
    let place = place.path();
    play(place, "before", &[]);
    let kept = rehearse(place, &["baseline", "before", "--out", "baseline.json"]);
    assert_eq!(kept.status.code(), Some(0), "{}", String::from_utf8_lossy(&kept.stderr));
    let (code, text, _) = compare(place, &["baseline.json", "before", "--format", "json"]);
    let same = document(&text);
    assert_eq!((code, same.judgement, same.seeds.len()), (Some(0), Judgement::NoChange, 6));

    play(place, "after", &["--mutant", "ticketing.callback-not-idempotent"]);
    let (code, text, _) = compare(place, &["before", "after", "--format", "json"]);
    let changed = document(&text);
    let worst = &changed.changes[0];
    assert_eq!((code, worst.judgement, worst.metric), (Some(100), Judgement::Regressed, Metric::Violated));
    assert_eq!(changed.mutants.1, ["ticketing.callback-not-idempotent"]);
    let (_, text, _) = compare(place, &["before", "after"]);
    assert!(text.starts_with("✗ REGRESSED"), "{text}");
    assert!(text.contains("ticketing.callback-not-idempotent") && text.contains(&worst.of), "{text}");
}

#[test]
fn what_cannot_be_compared_is_wrong_usage_and_says_why() {
    let place = tempfile::tempdir().expect("a folder");
    let place = place.path();
    fs::create_dir(place.join("empty")).expect("writable");
    fs::write(place.join("broken.json"), "{ \"schema\": 1,\n  \"runs\": 3 }").expect("writable");
    fs::write(place.join("newer.json"), "{ \"schema\": 9 }").expect("writable");
    for (given, expected) in [
        ("missing", "cannot read missing"),
        ("empty", "expected a run folder"),
        ("broken.json", "broken.json:2:"),
        ("newer.json", "schema 9, expected 1"),
    ] {
        let (code, _, message) = compare(place, &[given, given]);
        assert_eq!(code, Some(2), "{given}: {message}");
        assert!(message.contains(expected), "{given}: {message}");
    }
    let (code, _, message) = compare(place, &["empty", "empty", "--threshold", "5"]);
    assert_eq!(code, Some(2));
    assert!(message.contains("in percent"), "{message}");
}
