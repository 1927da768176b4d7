//! Marks in the code under rehearsal become coverage and an invariant of the result; a run that cannot go on says why.

use harness::rehearsal::{self, ALWAYS, Played, Request};
use harness::system::{BoxFuture, Conclusion, Customer, Production, System};
use record::history::{History, Outcome};
use record::mutant::Mutant;
use record::result::Verdict;
use scenarios::{Scenario, Size, SystemVocabulary, Vocabulary};
use world::engines::EngineKind;
use world::host::{self, Host};
use world::sim::{self, Progress};

/// Customers count on a host; the third one breaks what must always hold. Staged with `stuck`, it never comes up.
struct Counter {
    stuck: bool,
}

impl System for Counter {
    fn vocabulary(&self) -> SystemVocabulary {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        SystemVocabulary {
            name: "counter".to_owned(),
            journeys: names(&["count"]),
            hosts: names(&["counter-1"]),
            invariants: names(&[ALWAYS]),
            ..SystemVocabulary::default()
        }
    }

    fn mutants(&self) -> &'static [Mutant] {
        &[]
    }

    fn survivable_hosts(&self) -> Vec<String> {
        vec!["counter-1".to_owned()]
    }

    fn prepare(&self, _: &Scenario) -> Result<Box<dyn Production>, String> {
        Ok(Box::new(Staged { stuck: self.stuck, history: None }))
    }
}

struct Staged {
    stuck: bool,
    history: Option<History>,
}

impl Production for Staged {
    fn stage(&mut self, history: &History) -> BoxFuture<Result<(), String>> {
        self.history = Some(history.clone());
        let stuck = self.stuck;
        Box::pin(async move {
            host::add("counter-1", || async {});
            if stuck {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }

    fn customer(&self, _: &str, customer: Customer) -> (Host, BoxFuture<()>) {
        let number = customer.number;
        let history = self.history.clone().expect("staged");
        let count = async move {
            let operation = history.invoke(number, "count", None, None, sim::elapsed());
            world::reachable!("counter.counted");
            world::sometimes!(number > 1_000_000, "counter.counted-to-a-million");
            world::always!(number < 2, "counter.below-two", "it is {number}");
            history.complete(operation, Outcome::Ok, None, sim::elapsed());
        };
        (host::find("counter-1").expect("staged"), Box::pin(count))
    }

    fn at_rest(&self) -> bool {
        true
    }

    fn wind_up(&self) -> BoxFuture<bool> {
        Box::pin(async { false })
    }

    fn conclude(&mut self) -> Conclusion {
        Conclusion::default()
    }
}

fn play(stuck: bool, customers: u32) -> Result<Played, rehearsal::Error> {
    let system = Counter { stuck };
    let text = format!(
        "name = \"counter\"\nsystem = \"counter\"\nduration = \"1s\"\nsettle = \"5s\"\n\
         [load]\njourney.count = {{ rate = {customers} }}\n"
    );
    let vocabulary = Vocabulary { systems: vec![system.vocabulary()] };
    let scenario =
        scenarios::parse("counter.toml", &text, &vocabulary, Size::Full, &[]).expect("a right scenario");
    let engine = EngineKind::Kernel;
    let request = Request { engine, ..Request::new(scenario, 1) };
    rehearsal::play(&system, &request, Progress::default())
}

fn hits(played: &Played, name: &str) -> Option<u64> {
    played.result.coverage.iter().find(|place| place.name == name).map(|place| place.hits)
}

#[test]
fn places_that_were_never_reached_are_in_the_coverage_as_well() {
    let played = play(false, 2).expect("played");
    assert_eq!(played.result.verdict, Verdict::Held);
    assert_eq!(hits(&played, "counter.counted"), Some(2));
    assert_eq!(hits(&played, "counter.counted-to-a-million"), Some(0));
    assert!(played.result.coverage.is_sorted_by_key(|place| place.name.clone()));
}

#[test]
fn what_does_not_always_hold_is_a_violated_invariant() {
    let held = |played: &Played| {
        let found = played.result.invariants.iter().find(|invariant| invariant.name == ALWAYS);
        found.expect("checked in every run").clone()
    };
    let two = held(&play(false, 2).expect("played"));
    assert_eq!((two.held, two.checks, two.first_violation), (true, 2, None));
    let played = play(false, 4).expect("played");
    assert_eq!(played.result.verdict, Verdict::Violated);
    let four = held(&played);
    assert_eq!((four.held, four.checks), (false, 4));
    let what = four.first_violation.expect("kept").what;
    assert_eq!(what, "counter.below-two did not hold on counter-1: it is 2");
}

#[test]
fn a_run_that_can_never_go_on_says_who_waits() {
    let Err(rehearsal::Error::Internal(message)) = play(true, 1) else { panic!("it cannot come up") };
    assert!(message.contains("deadlock") && message.contains("director"), "{message}");
}
