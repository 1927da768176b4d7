//! A fault in, recovery and verdict out: what a run measures, and what its limits make of it.

use std::time::Duration;

use harness::rehearsal::{self, Played, Request};
use harness::system::{BoxFuture, Conclusion, Customer, LostWrite, Production, System};
use record::history::{History, OperationId, Outcome};
use record::mutant::Mutant;
use record::result::{Recovery, Verdict};
use scenarios::{Scenario, Size, SystemVocabulary, Vocabulary};
use world::engines::EngineKind;
use world::host::{self, Host};
use world::sim::{self, Progress};
use world::time;

/// A shop on one host: who comes while that is down is sent away. It notices after a second, and forgets what it sold in
/// the last half of a second, if it is `forgetful`.
struct Shop {
    forgetful: bool,
}

impl System for Shop {
    fn vocabulary(&self) -> SystemVocabulary {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        SystemVocabulary {
            name: "shop".to_owned(),
            journeys: names(&["buy"]),
            hosts: names(&["shop-1"]),
            ..SystemVocabulary::default()
        }
    }

    fn mutants(&self) -> &'static [Mutant] {
        &[]
    }

    fn survivable_hosts(&self) -> Vec<String> {
        Vec::new()
    }

    fn prepare(&self, _: &Scenario) -> Result<Box<dyn Production>, String> {
        Ok(Box::new(Open { forgetful: self.forgetful, history: History::new() }))
    }
}

struct Open {
    forgetful: bool,
    history: History,
}

/// When the host goes down.
const DOWN: Duration = Duration::from_secs(12);

impl Production for Open {
    fn stage(&mut self, history: &History) -> BoxFuture<Result<(), String>> {
        self.history = history.clone();
        host::add("shop-1", || async {});
        host::add("street", || async {});
        Box::pin(async { Ok(()) })
    }

    fn customer(&self, _: &str, customer: Customer) -> (Host, BoxFuture<()>) {
        let number = customer.number;
        let history = self.history.clone();
        let buy = async move {
            let operation = history.invoke(number, "buy", None, None, sim::elapsed());
            time::sleep(Duration::from_millis(1)).await;
            let is_up = host::find("shop-1").is_some_and(Host::is_up);
            history.complete(
                operation,
                if is_up { Outcome::Ok } else { Outcome::Failed },
                None,
                sim::elapsed(),
            );
        };
        (host::find("street").expect("staged"), Box::pin(buy))
    }

    fn at_rest(&self) -> bool {
        true
    }

    fn wind_up(&self) -> BoxFuture<bool> {
        Box::pin(async { false })
    }

    fn conclude(&mut self) -> Conclusion {
        let forgotten = |ago_ms| LostWrite {
            operation: OperationId(0),
            subject: "order 7".to_owned(),
            acknowledged: DOWN - Duration::from_millis(ago_ms),
            lost: DOWN,
        };
        let lost = if self.forgetful { [500, 20].map(forgotten).to_vec() } else { Vec::new() };
        Conclusion { noticed: vec![DOWN + Duration::from_secs(1)], lost, ..Conclusion::default() }
    }
}

fn play(forgetful: bool, limits: &str) -> Played {
    let shop = Shop { forgetful };
    let text = format!(
        "name = \"shop\"\nsystem = \"shop\"\nduration = \"40s\"\nsettle = \"5s\"\n\
         [load]\njourney.buy = {{ rate = 100 }}\n\
         [[fault]]\nat = \"12s\"\nfor = \"5s\"\nkind = \"crash\"\non = [\"shop-1\"]\n{limits}"
    );
    let vocabulary = Vocabulary { systems: vec![shop.vocabulary()] };
    let scenario =
        scenarios::parse("shop.toml", &text, &vocabulary, Size::Full, &[]).expect("a right scenario");
    let engine = EngineKind::Kernel;
    let request = Request { engine, ..Request::new(scenario, 1) };
    rehearsal::play(&shop, &request, Progress::default()).expect("played")
}

fn recovery(played: &Played) -> Recovery {
    let [recovery] = &played.result.recovery[..] else { panic!("{:?}", played.result.recovery) };
    recovery.clone()
}

#[test]
fn a_fault_has_a_recovery() {
    let played = play(false, "");
    let measured = recovery(&played);
    assert_eq!((measured.fault, measured.detected_s), (0, Some(13.0)));
    assert!(measured.rto_s.is_some_and(|rto| (4.95..=5.05).contains(&rto)), "{measured:?}");
    assert_eq!((measured.rpo_s, measured.lost_acknowledged), (0.0, 0));
    assert_eq!((measured.rto_limit_s, measured.rpo_limit_s), (None, None));
    assert_eq!(played.result.verdict, Verdict::Held, "without a limit there is none to miss");
}

#[test]
fn limits_on_recovery_are_service_levels() {
    let met = play(false, "[limits]\nrto = \"6s\"\nrpo = \"0s\"\n");
    assert_eq!(met.result.verdict, Verdict::Held);
    assert_eq!((recovery(&met).rto_limit_s, recovery(&met).rpo_limit_s), (Some(6.0), Some(0.0)));
    assert_eq!(play(false, "[limits]\nrto = \"4s\"\n").result.verdict, Verdict::Slow);
}

#[test]
fn what_was_acknowledged_and_is_lost_has_an_age() {
    let played = play(true, "[limits]\nrpo = \"1s\"\n");
    assert_eq!((recovery(&played).rpo_s, recovery(&played).lost_acknowledged), (0.5, 2));
    assert_eq!(played.result.verdict, Verdict::Held, "half a second is within a second");
    assert_eq!(play(true, "[limits]\nrpo = \"100ms\"\n").result.verdict, Verdict::Slow);
}
