//! Shards that belong together, and documents that do not.

use proptest::prelude::*;
use scenarios::Strategy as Schedule;

use super::*;
use crate::hunt::{Allowance, Task};
use crate::rehearsal::Failure;
use crate::target::Target;

fn hunt(shard: u64, of: u64) -> Hunt {
    let target = |given: &str| Target {
        given: given.to_owned(),
        file: format!("{given}.toml"),
        text: format!("name = {given:?}"),
        set: vec![("trains.count".to_owned(), "2".to_owned())],
    };
    Hunt {
        targets: vec![target("ticketing/peak"), target("ticketing/swarm")],
        seeds: 0..60,
        shard: (shard - 1, of),
        budget: None,
        jobs: 2,
        mutants: Vec::new(),
        canaries: vec![None, None],
        mix: Mix::Mixed,
        first: false,
        allowance: Allowance::default(),
    }
}

/// Everything that a seed shows is a matter of the seed.
fn play(seed: u64, hunted: &mut Hunted) {
    for scenario in 0..2 {
        let failure = |of: &str, what: String, at_s: f64| Failure {
            at_s: Some(at_s),
            ..Failure::new(of, what, Verdict::Violated)
        };
        let task = Task { scenario, seed, mutants: Vec::new(), strategy: Schedule::Random };
        let mut failures = Vec::new();
        if seed % 7 == 3 {
            failures.push(failure("money", format!("order {seed} is paid twice"), 2.0 + seed as f64));
        }
        if seed % 5 == scenario as u64 {
            failures.push(failure("zero-oversell", format!("train {seed} is oversold"), 10.0));
        }
        hunted.findings.add(&task, &failures);
        hunted.played += 1;
        hunted.simulated += Duration::from_millis(1100 + seed);
    }
    hunted.reached.insert(format!("mark-{}", seed % 11));
    let taught = hunted.taught.entry(1).or_default();
    *taught = (taught.0 + u64::from(seed == 41), taught.1 + 1);
}

fn document(shard: u64, of: u64) -> Document {
    let mut hunted = Hunted { ended: Ended::Seeds, polls: vec![700, 900], ..Hunted::default() };
    hunted.canaries.push(("ticketing.seat-freed-again".to_owned(), Some(2)));
    (0..60).filter(|seed| seed % of == shard - 1).for_each(|seed| play(seed, &mut hunted));
    let all: BTreeSet<String> = (0..13).map(|mark| format!("mark-{mark}")).collect();
    hunted.never_reached = all.difference(&hunted.reached).cloned().collect();
    Document::new(&hunt(shard, of), &hunted)
}

fn named(documents: Vec<Document>) -> Vec<(String, Document)> {
    let name = |document: &Document| format!("shard-{}", document.shards[0].number);
    documents.into_iter().map(|document| (name(&document), document)).collect()
}

/// Without what tells the machines apart.
fn essence(document: Document) -> Document {
    Document { of: 0, shards: Vec::new(), jobs: 0, wall_s: 0.0, ..document }
}

proptest! {
    #[test]
    fn shards_together_are_the_hunt_in_whatever_order(
        order in (1..8u64).prop_flat_map(|of| Just((1..=of).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let of = order.len() as u64;
        let shards = named(order.iter().map(|shard| document(*shard, of)).collect());
        let merged = merge(&shards).expect("of one hunt").expect("of some shards");
        prop_assert_eq!(merged.conclusion(true), Conclusion::Violated);
        prop_assert_eq!(merged.jobs, 2 * of);
        prop_assert_eq!(essence(merged), essence(document(1, 1)));
    }
}

#[test]
fn what_was_written_can_be_read() {
    let written = document(2, 3);
    let json = written.to_json().expect("it has JSON");
    assert_eq!(Document::from_json(json.as_bytes()), Ok(written.clone()));
    let wrong = |json: String| Document::from_json(json.as_bytes()).expect_err("wrong");
    assert!(wrong(json.replace("\"schema\": 1", "\"schema\": 7")).contains("schema 7, expected 1"));
    assert!(wrong(json.replace("\"number\": 2", "\"number\": 4")).contains("from 1 to 3"));
    assert!(wrong(json.replace("\"scenario\": 1", "\"scenario\": 9")).contains("no scenario number 9"));
    assert!(wrong(json[..json.len() / 2].to_owned()).contains(": not what a hunt leaves"));
    assert!(wrong(String::new()).starts_with("1:0: "));
}

#[test]
fn what_is_missing_is_said_and_nothing_is_held_then() {
    let clean = |shard| {
        let mut document = document(shard, 3);
        document.findings.clear();
        document
    };
    let merged = |shards: Vec<Document>| merge(&named(shards)).expect("of one hunt").expect("of some shards");
    let two = merged(vec![clean(3), clean(1)]);
    assert_eq!(
        (two.missing().collect::<Vec<_>>(), two.conclusion(true)),
        (vec![2], Conclusion::ShardsMissing)
    );
    assert_eq!(two.verdict, Verdict::Invalid);
    // Seed 41, on which the teaching scenario fails as it says, is of shard 3.
    assert_eq!(clean(1).conclusion(false), Conclusion::Held);
    assert_eq!(clean(1).conclusion(true), Conclusion::ShardsMissing);
    let mut three = vec![clean(1), clean(2), clean(3)];
    assert_eq!(merged(three.clone()).conclusion(true), Conclusion::Held);
    three[1].shards[0].ended = Ended::Interrupted;
    assert_eq!(merged(three.clone()).conclusion(true), Conclusion::Interrupted);
    three[1].shards[0].ended = Ended::Budget;
    three[2].taught[0].as_expected = 0;
    assert_eq!(merged(three.clone()).conclusion(true), Conclusion::NotTaught);
    three[1].canaries[0].seed = None;
    assert_eq!(merged(three.clone()).conclusion(true), Conclusion::CanaryMissed);
    three.iter_mut().for_each(|document| document.played = 0);
    assert_eq!(merged(three).conclusion(true), Conclusion::NothingPlayed);
    assert_eq!(merge(&[]), Ok(None));
}

/// What makes a document one of another hunt.
type Change<'a> = &'a dyn Fn(&mut Document);

#[test]
fn what_differs_is_said() {
    let differing = |change: Change<'_>| {
        let mut other = document(2, 3);
        change(&mut other);
        let wrong = merge(&named(vec![document(1, 3), other])).expect_err("not of one hunt");
        wrong.to_string()
    };
    let cases: [(Change<'_>, &str); 10] = [
        (&|document| document.build.executable = "f00".to_owned(), "the build"),
        (&|document| document.of = 4, "the number of shards: 3, and 4"),
        (&|document| document.seeds.to = None, "the seeds: 0..60, and 0.."),
        (&|document| drop(document.scenarios.pop()), "the scenarios"),
        (&|document| document.mutants.push("x".to_owned()), "the planted mistakes: [], and [x]"),
        (&|document| document.strategy = Mix::Pct, "the strategy: mixed, and pct"),
        (&|document| document.scenarios[1].text.clear(), "the text of a scenario: ticketing/swarm"),
        (&|document| document.scenarios[1].set.clear(), "the settings: ticketing/swarm (trains.count=2)"),
        (&|document| document.scenarios[0].polls = Some(701), "how the first seed goes"),
        (&|document| document.shards[0].number = 1, "both tell of shard 1/3"),
    ];
    for (change, said) in cases {
        let message = differing(change);
        assert!(message.contains(said), "{said:?} is not said in: {message}");
    }
    // One that was interrupted before it measured anything.
    let mut early = document(2, 3);
    early.scenarios[0].polls = None;
    let merged = merge(&named(vec![early, document(1, 3)])).expect("of one hunt").expect("of some shards");
    assert_eq!(merged.scenarios[0].polls, Some(700));
}
