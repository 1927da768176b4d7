//! Whole sales, on good days and on bad ones.
mod stage;

use std::time::Duration;

use stage::{Play, play};
use ticketing as tested;

/// Seeds that each kind of day is played with.
const SEEDS: u64 = 5;

#[test]
fn a_good_day() {
    let played = play(Play::new(1));
    assert_eq!(played.wrong, Vec::<String>::new());
    assert!(played.orders.get("SUCCESS").is_some_and(|orders| *orders > 20), "{:?}", played.orders);
}

#[test]
fn the_same_seed_is_the_same_sale() {
    assert_eq!(play(Play::new(5)).fingerprint, play(Play::new(5)).fingerprint);
}

/// Everybody comes at once.
fn peak(seed: u64) -> Play {
    let mut play = Play::new(seed);
    play.config.queue.share_per_second = 2.0;
    play.buyers = 500;
    play.load = Duration::from_secs(2);
    play
}

#[test]
fn a_peak() {
    for seed in 0..SEEDS {
        let played = play(peak(seed));
        assert_eq!(played.wrong, Vec::<String>::new(), "seed {seed}: {:?}", played.orders);
    }
}

/// A bank that times out, repeats itself, mixes up the order, forgets, and is impersonated.
fn trouble(seed: u64) -> Play {
    let mut play = Play::new(seed);
    play.bank.timeouts_before_effect = 0.05;
    play.bank.timeouts_after_effect = 0.08;
    play.bank.declines = 0.05;
    play.bank.callback_duplicates = 0.3;
    play.bank.callback_reorders = 0.3;
    play.bank.callback_losses = 0.2;
    play.bank.callback_forgeries = 0.1;
    play.bank.callback_delay.max = Duration::from_secs(25);
    play.bank.callback_delay.p99 = Duration::from_secs(20);
    play.config.ticket_refusals = 0.1;
    play
}

#[test]
fn a_bank_in_trouble() {
    for seed in 0..SEEDS {
        let played = play(trouble(seed));
        assert_eq!(played.wrong, Vec::<String>::new(), "seed {seed}: {:?}", played.orders);
    }
}

/// Hosts die and come back, some of them several times, with the bank in trouble. Redis and the bank keep what they
/// have acknowledged.
fn crashes(seed: u64) -> Play {
    let mut play = trouble(seed);
    let hosts = ["gateway", "order", "inventory", "seat", "payment", "ticketing", "redis", "bank"];
    let mut number = seed;
    for at_ms in (1_500..25_000).step_by(700) {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = hosts[(number >> 33) as usize % hosts.len()];
        let instance = if matches!(name, "redis" | "bank") { 1 } else { (number >> 50) % 2 + 1 };
        let host = format!("{name}-{instance}");
        let down_ms = (number >> 40) % 3_000;
        play.crashes.push((
            Duration::from_micros(at_ms * 1_000 + (number >> 20) % 700_000),
            Duration::from_millis(down_ms),
            host,
        ));
    }
    play
}

#[test]
fn hosts_crash_at_any_moment() {
    for seed in 0..SEEDS {
        let played = play(crashes(seed));
        assert_eq!(played.wrong, Vec::<String>::new(), "seed {seed}: {:?}", played.orders);
    }
}

/// One buyer, who is quick, and both instances of a service die at each moment of the journey in turn. An impatient
/// buyer leaves when that happens, a patient one repeats.
#[test]
fn a_crash_at_every_step_of_an_order() {
    for service in ["gateway", "order", "inventory", "seat", "payment", "ticketing", "redis", "bank"] {
        for step in 0..60 {
            let mut play = Play::new(step);
            play.buyers = 1;
            play.load = Duration::from_millis(1);
            play.profile.think = Duration::from_millis(5);
            play.profile.pay_after = Duration::from_millis(5);
            play.profile.cancel = 0.2;
            play.profile.patience = Duration::from_secs(if step % 2 == 0 { 1 } else { 20 });
            play.config.queue.share_per_second = 2.0;
            play.config.ticket_refusals = 0.3;
            for instance in 1..=if matches!(service, "redis" | "bank") { 1 } else { 2 } {
                let at = Duration::from_micros(20_000 + step * 7_000);
                play.crashes.push((at, Duration::from_secs(2), format!("{service}-{instance}")));
            }
            let played = stage::play(play);
            assert_eq!(played.wrong, Vec::<String>::new(), "{service} at step {step}: {:?}", played.orders);
        }
    }
}

/// Races of two instances that are too rare here: `every_mutant_is_found_by_its_scenario` (harness) finds them.
const RACES: &[&str] = &[
    "ticketing.release-leaves-no-tombstone",
    "ticketing.expiry-overwrites-payment",
    "ticketing.cancel-left-to-expiry",
];

#[test]
fn mutants_are_noticed() {
    let unnoticed: Vec<&str> = tested::MUTANTS
        .iter()
        .filter(|mutant| !RACES.contains(&mutant.name))
        .filter(|mutant| {
            let staged: fn(u64) -> Play = match mutant.scenario {
                "ticketing/peak" => peak,
                "ticketing/payment-trouble" => trouble,
                _ => crashes,
            };
            let noticed = |seed: u64| !play(staged(seed).with_mutant(mutant.name)).wrong.is_empty();
            !(0..20).any(noticed)
        })
        .map(|mutant| mutant.name)
        .collect();
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
}
