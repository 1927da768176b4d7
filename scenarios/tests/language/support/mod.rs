//! A vocabulary like a real system's, and a scenario file that uses every part of the language.

use std::time::Duration;

use scenarios::{Error, Scenario, Setting, Size, SystemVocabulary, Vocabulary};

/// The ticketing system as scenario files see it, and a second system.
pub(crate) fn vocabulary() -> Vocabulary {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let duration = |key, default_ms| {
        let range = Duration::ZERO..=Duration::from_secs(3600);
        Setting::duration(key, Duration::from_millis(default_ms), range, "A length of time.")
    };
    let shares = [
        "bank.timeout_before",
        "bank.timeout_after",
        "bank.duplicate",
        "bank.reorder",
        "bank.lost",
        "bank.forged",
        "buyers.abandon",
        "buyers.pay_late",
        "buyers.cancel",
        "buyers.hot_share",
        "queue.share",
    ];
    let mut settings = vec![
        Setting::file("timetable", "A GTFS feed."),
        Setting::text("date", "2017-03-31", "The day of the trains."),
        Setting::integer("trains.count", 24, 1..=1000, "How many trains are on sale."),
        Setting::list("trains.names", "Exactly these trains."),
        Setting::integer("seats.first", 20, 0..=10_000, "Seats per train."),
        Setting::integer("seats.second", 80, 0..=10_000, "Seats per train."),
        Setting::integer("queue.cap", 50_000, 1..=1_000_000, "Waiting at most."),
        Setting::number("queue.max_per_second", 2000.0, 0.1..=1e6, "Orders per second at most."),
        Setting::number("rate_limit.per_second", 3.0, 0.1..=1e6, "Requests per second."),
        Setting::integer("rate_limit.burst", 10, 1..=1000, "Requests at once."),
        Setting::integer("buyers.hot_trains", 4, 0..=1000, "Trains that everybody wants."),
        Setting::flag("canary", false, "Routes some users to the next release."),
        duration("order.pay_within", 20_000),
        duration("queue.max_wait", 60_000),
        duration("queue.token_life", 900_000),
        duration("bank.latency", 100),
        duration("bank.callback_delay", 500),
    ];
    settings.extend(shares.map(|key| Setting::share(key, 0.0, "A share.")));
    let ticketing = SystemVocabulary {
        name: "ticketing".into(),
        journeys: strings(&["buy", "query"]),
        operations: strings(&["order.submit", "order.status", "queue.join", "payment.pay"]),
        settings,
        hosts: strings(&[
            "gateway-1",
            "gateway-2",
            "order-1",
            "order-2",
            "inventory-1",
            "inventory-2",
            "redis-1",
        ]),
        invariants: strings(&["zero-oversell", "one-seat-one-party"]),
        mutants: strings(&["ticketing.seat-freed-after-issue", "ticketing.signature-not-checked"]),
    };
    let shop = SystemVocabulary { name: "shop".into(), ..SystemVocabulary::default() };
    Vocabulary { systems: vec![ticketing, shop] }
}

/// Every key of the language at least once.
pub(crate) const FULL: &str = include_str!("full.toml");

pub(crate) fn parse(text: &str) -> Result<Scenario, Error> {
    scenarios::parse("full.toml", text, &vocabulary(), Size::Full, &[])
}

/// The message for `FULL` with the first occurrence of `from` replaced.
pub(crate) fn refusal(from: &str, to: &str) -> String {
    assert!(FULL.contains(from), "the full scenario contains {from}");
    let text = FULL.replacen(from, to, 1);
    match parse(&text) {
        Ok(_) => panic!("{from} → {to} was accepted"),
        Err(error) => error.to_string(),
    }
}
