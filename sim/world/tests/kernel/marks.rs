//! Marks count what they see, strike only when asked to, and cost nobody the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use world::marks::{Buggify, Coverage, Kind};
use world::sim::{self, Config, Outcome};
use world::{always, buggify, host, reachable, sometimes, time};

/// Strikes of 40 places, each reached 100 times.
fn strikes(seed: u64, buggify: Option<Buggify>) -> Outcome<Vec<u32>> {
    sim::run(Config { buggify, ..Config::new(seed) }, || async {
        let mut strikes = Vec::new();
        macro_rules! places {
            ($($name:literal)*) => {
                $(strikes.push((0..100).map(|_| u32::from(buggify!(concat!("place ", $name)))).sum());)*
            };
        }
        places!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        places!(20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
        strikes
    })
}

#[test]
fn buggify_is_off_unless_asked_for() {
    let outcome = strikes(1, None);
    assert_eq!(outcome.result, Ok(vec![0; 40]));
    assert_eq!(outcome.coverage["place 7"], Coverage { kind: Kind::Buggify, hits: 0, reached: 0, broken: 0 });
    assert!(!buggify!() && !buggify!("outside", 1.0), "never outside a simulation");
}

#[test]
fn buggify_enables_places_for_a_run_and_then_fires_now_and_then() {
    let (mut enabled, mut fired) = (0, 0);
    let mut patterns = BTreeSet::new();
    for seed in 0..50 {
        let outcome = strikes(seed, Some(Buggify::default()));
        let strikes = outcome.result.expect("runs");
        patterns.insert(strikes.iter().map(|count| *count > 0).collect::<Vec<_>>());
        enabled += strikes.iter().filter(|count| **count > 0).count();
        fired += strikes.iter().sum::<u32>();
        assert_eq!(outcome.coverage["place 7"].hits, u64::from(strikes[7]));
        assert_eq!(outcome.coverage["place 7"].reached, 100);
    }
    assert_eq!(patterns.len(), 50, "every run is of another kind");
    // Of 2000 places a quarter, and of 100 chances of each of those a quarter.
    assert!((400..600).contains(&enabled), "{enabled}");
    assert!((22..28).contains(&(fired / enabled as u32)), "{fired} in {enabled}");
    let certain = strikes(1, Some(Buggify { enabled: 1.0, fires: 1.0 }));
    assert_eq!(certain.result, Ok(vec![100; 40]));
}

#[test]
fn a_place_may_fire_with_a_probability_of_its_own() {
    let config = Config { buggify: Some(Buggify { enabled: 1.0, fires: 1.0 }), ..Config::new(1) };
    let outcome = sim::run(config, || async {
        let own: u32 = (0..10_000).map(|_| u32::from(buggify!("own", 0.01))).sum();
        (own, buggify!(), buggify!("never", 0.0))
    });
    let (own, by_line, never) = outcome.result.expect("runs");
    assert!((60..140).contains(&own) && by_line && !never, "{own}");
    assert!(outcome.coverage.keys().any(|name| name.contains("marks.rs:")), "{:?}", outcome.coverage);
}

#[test]
fn a_strike_can_be_recorded_and_replayed() {
    let config = || Config { buggify: Some(Buggify::default()), ..Config::new(9) };
    let run = |config| {
        sim::run(config, || async { (0..50).map(|_| buggify!("replayed", 0.5)).collect::<Vec<_>>() })
    };
    let first = run(Config { record: true, ..config() });
    let second = run(Config { replay: first.choices, seed: 10, ..config() });
    assert_eq!(first.result, second.result);
}

#[test]
fn coverage_counts_and_lists_what_was_never_reached() {
    fn never_called() {
        reachable!("never.called");
    }
    let outcome = sim::run(Config::new(1), || async {
        for number in 0..10 {
            sometimes!(number % 3 == 0, "divisible");
            sometimes!(number > 100, "large");
            always!(number < 10, "small");
            if number == 5 {
                reachable!("five");
            }
        }
        reachable!("five");
        if time::Instant::now().elapsed() > Duration::ZERO {
            never_called();
        }
    });
    assert_eq!(outcome.result, Ok(()));
    let seen: BTreeMap<&str, (Kind, u64, u64)> =
        outcome.coverage.iter().map(|(name, c)| (name.as_str(), (c.kind, c.hits, c.reached))).collect();
    assert_eq!(seen["divisible"], (Kind::Sometimes, 4, 10));
    assert_eq!(seen["large"], (Kind::Sometimes, 0, 10));
    assert_eq!(seen["small"], (Kind::Always, 10, 10));
    assert_eq!(seen["five"], (Kind::Reachable, 2, 2));
    assert_eq!(seen["never.called"], (Kind::Reachable, 0, 0));
    assert!(outcome.broken.is_empty());
}

#[test]
fn what_does_not_hold_is_a_finding_and_the_run_goes_on() {
    let outcome = sim::run(Config::new(1), || async {
        let seller = host::add("seller", || async {});
        let sold = seller.spawn(async {
            time::sleep(Duration::from_secs(2)).await;
            let stock = -1;
            always!(stock >= 0, "stock.never-negative", "{stock} left of {}", "7A");
            always!(stock < 0, "fine");
            for _ in 0..5_000 {
                always!(false, "flood");
            }
            7
        });
        sold.await
    });
    assert_eq!(outcome.result, Ok(Ok(7)));
    let first = &outcome.broken[0];
    assert_eq!((first.name.as_str(), first.host.as_str()), ("stock.never-negative", "seller"));
    assert_eq!((first.at, first.message.as_str()), (Duration::from_secs(2), "-1 left of 7A"));
    assert_eq!(first.to_string(), "stock.never-negative did not hold on seller at 2s: -1 left of 7A");
    assert_eq!(outcome.broken.len(), 1_000, "a flood is cut off");
    assert_eq!(outcome.coverage["flood"].broken, 5_000, "but counted");
    always!(false, "outside");
}
