//! What a right scenario means: values, units, overrides, sizes.

use std::time::Duration;

use crate::support::{self, FULL, vocabulary};
use record::result::Verdict;
use scenarios::{
    Arrival, Arrivals, Direction, Expect, Fault, FaultKind, HostEffect, Jump, LinkEffect, Links, Percentile,
    Play, Rate, Scenario, Side, Size, Strategy, Strike, Value, parse,
};

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn rate<'a>(scenario: &'a Scenario, journey: &str) -> &'a Rate {
    match &scenario.load[journey].arrivals {
        Arrivals::Rate(rate) => rate,
        Arrivals::Listed(listed) => panic!("a rate, not {listed:?}"),
    }
}

#[test]
fn a_full_scenario() {
    let scenario = support::parse(FULL).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.system.as_str()), ("ticketing/full", "ticketing"));
    assert_eq!((scenario.duration, scenario.settle), (seconds(90), seconds(60)));
    let buy = &scenario.load["buy"];
    let steps = [(seconds(0), 50.0), (seconds(10), 2000.0), (seconds(30), 400.5)];
    assert_eq!(rate(&scenario, "buy").steps(), steps);
    assert_eq!(buy.patience, Some(seconds(20)));
    assert_eq!(rate(&scenario, "query").steps(), [(seconds(0), 3000.0)]);
    assert_eq!(scenario.load["query"].patience, None);

    let settings = &scenario.settings;
    assert_eq!(settings.text("date"), "2017-04-01");
    assert_eq!(settings.list("trains.names"), ["ICE 599", "IC 2376"]);
    assert_eq!(settings.integer("seats.first"), 12);
    assert_eq!(settings.integer("seats.second"), 80, "a default");
    assert_eq!(settings.number("queue.share"), 0.05);
    assert!(settings.flag("canary"));
    assert_eq!(settings.duration("order.pay_within"), seconds(15));
    assert_eq!(settings.duration("bank.latency"), Duration::from_millis(250));
    assert_eq!(settings.file("timetable"), None);
    assert_eq!(settings.iter().count(), vocabulary().systems[0].settings.len());

    let swarm = scenario.swarm.unwrap();
    let kinds =
        [FaultKind::Crash, FaultKind::Pause, FaultKind::Partition, FaultKind::SlowLink, FaultKind::ClockJump];
    assert_eq!((&swarm.faults[..], swarm.count_min, swarm.count_max), (&kinds[..], 0, 5));
    let expect = Expect { verdict: Verdict::Violated, invariant: Some("zero-oversell".into()) };
    assert_eq!(scenario.expect, Some(expect));
    assert_eq!((scenario.limits.rto, scenario.limits.rpo), (Some(seconds(30)), Some(seconds(0))));
    let limits = &scenario.limits.latency["order.submit"];
    assert_eq!(limits.len(), 5);
    assert_eq!(limits[&Percentile::P50], Duration::from_micros(500));
}

#[test]
fn customers_can_come_one_by_one() {
    let text = FULL.replace(
        "journey.query = { rate = 3000 }",
        "journey.query = { arrive = [ { at = \"1.9s\", customer = 17, operations = 3 }, \"1200ms\" ] }",
    );
    let scenario = support::parse(&text).unwrap();
    let named =
        Arrival { customer: Some(17), operations: Some(3), ..Arrival::at(Duration::from_millis(1900)) };
    let first = Arrival::at(Duration::from_millis(1200));
    assert_eq!(scenario.load["query"].arrivals, Arrivals::Listed(vec![first, named]));
    assert_eq!(scenario.load["query"].arrivals.count(Duration::from_millis(1900)), 1.0);
}

#[test]
fn how_it_is_played_can_stand_in_the_file() {
    let scenario = support::parse(FULL).unwrap();
    let mutants = vec!["ticketing.seat-freed-after-issue".to_owned()];
    assert_eq!(scenario.play, Play { seed: Some(17), strategy: Some(Strategy::Fifo), mutants });
}

/// What is written reads as the same scenario, whatever it has.
#[test]
fn a_scenario_is_written_as_a_file_that_reads_the_same() {
    let system = &vocabulary().systems[0];
    let listed = FULL.replace(
        "journey.query = { rate = 3000 }",
        "journey.query = { arrive = [ { at = \"1.000000001s\", customer = 17 }, \"1200ms\" ], patience = \"5s\" }",
    );
    for text in [FULL, &listed] {
        for size in [Size::Full, Size::Hunt] {
            let scenario = parse("full.toml", text, &vocabulary(), size, &[]).unwrap();
            let written = scenarios::write(&scenario, system);
            let again = support::parse(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(again, scenario, "{written}");
        }
    }
    let scenario = support::parse(&listed).unwrap();
    insta::assert_snapshot!(scenarios::write(&scenario, system));
}

/// Every kind of fault, by its start.
#[test]
fn all_faults() {
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let side = |hosts: &[&str]| Side::Hosts(names(hosts));
    let hosts = |on: &[&str], effect| Strike::Hosts { on: names(on), effect };
    let of = |on: &[&str], effect| Strike::Links { links: Links::Of(names(on)), effect };
    let between = |sides: &[Side], direction, effect| Strike::Links {
        links: Links::Between { sides: sides.to_vec(), direction },
        effect,
    };
    let both = Direction::Both;
    let bandwidth = scenarios::bandwidth::parse("1Mbit/s").unwrap();
    let expected = [
        (12, Some(20_000), hosts(&["inventory-1", "order-1"], HostEffect::Crash)),
        (40, None, hosts(&["order-1"], HostEffect::Crash)),
        (50, Some(5_000), hosts(&["inventory-2"], HostEffect::Kill)),
        (56, Some(2_500), hosts(&["inventory-2"], HostEffect::Pause)),
        (
            60,
            Some(10_000),
            between(
                &[side(&["redis-1", "order-2"]), side(&["gateway-1"]), Side::Rest],
                both,
                LinkEffect::Partition,
            ),
        ),
        (
            61,
            None,
            between(&[side(&["gateway-2"]), side(&["order-2"])], Direction::OneWay, LinkEffect::Partition),
        ),
        (62, Some(3_000), of(&["redis-1"], LinkEffect::Hold)),
        (63, None, of(&["redis-1"], LinkEffect::Slow { latency: Duration::from_millis(200) })),
        (64, None, between(&[Side::Rest, side(&["gateway-2"])], both, LinkEffect::Lossy { loss: 0.05 })),
        (65, None, of(&["gateway-1", "gateway-2"], LinkEffect::Narrow { bandwidth })),
        (66, None, between(&[side(&["redis-1"]), Side::Rest], both, LinkEffect::ResetConnections)),
        (67, Some(7_000), hosts(&["inventory-2"], HostEffect::ClockJump { by: Jump::Back(seconds(5)) })),
        (68, None, hosts(&["inventory-2"], HostEffect::ClockDrift { ppm: -200 })),
        (69, Some(4_000), hosts(&["redis-1"], HostEffect::SlowDisk { slowness: 100 })),
    ];
    let faults = support::parse(FULL).unwrap().faults;
    for (fault, (at, for_ms, strike)) in faults.iter().zip(&expected) {
        assert_eq!((fault.at, fault.for_), (seconds(*at), for_ms.map(Duration::from_millis)));
        assert_eq!(fault.strike, *strike);
    }
    assert_eq!(faults.len(), expected.len());
    let kinds: std::collections::BTreeSet<FaultKind> = faults.iter().map(Fault::kind).collect();
    assert_eq!(kinds.len(), FaultKind::ALL.len());
}

/// What people read about the faults shows every kind, as the reader accepts it.
#[test]
fn the_examples_of_the_readme_are_right() {
    let readme = include_str!("../../README.md");
    let mut shown = std::collections::BTreeSet::new();
    for block in readme.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let until = if block.contains("[load]") { "[load]" } else { "[[fault]]" };
        let head = &FULL[..FULL.find(until).unwrap()];
        let scenario = support::parse(&format!("{head}{block}")).unwrap_or_else(|error| panic!("{error}"));
        shown.extend(scenario.faults.iter().map(Fault::kind));
    }
    assert_eq!(shown.len(), FaultKind::ALL.len(), "{shown:?}");
    for kind in FaultKind::ALL {
        assert!(readme.contains(&format!("| `{kind}` |")), "{kind} is missing in the table");
    }
}

#[test]
fn hunting_size_lays_hunt_over_the_rest() {
    let scenario = parse("full.toml", FULL, &vocabulary(), Size::Hunt, &[]).unwrap();
    assert_eq!((scenario.duration, scenario.settle), (seconds(20), seconds(30)));
    assert_eq!(rate(&scenario, "buy").steps(), [(seconds(0), 40.0)]);
    assert_eq!(scenario.load["buy"].patience, Some(seconds(20)), "what [hunt] leaves out stays");
    assert_eq!(rate(&scenario, "query").peak(), 0.0);
    assert_eq!(scenario.settings.integer("seats.first"), 3);
    assert_eq!(scenario.settings.number("bank.forged"), 0.1);
    assert_eq!(scenario.settings.duration("bank.latency"), Duration::from_millis(10));
    assert_eq!(scenario.faults.len(), 1);
    assert_eq!(scenario.faults[0].for_, Some(Duration::from_millis(1500)));
    let limited = FULL.replacen("[hunt]\n", "[hunt]\nlimits.rto = \"7s\"\n", 1);
    let limits = parse("full.toml", &limited, &vocabulary(), Size::Hunt, &[]).unwrap().limits;
    assert_eq!(limits.rto, Some(seconds(7)));
    assert_eq!((limits.rpo, &limits.latency), (scenario.limits.rpo, &scenario.limits.latency));
}

#[test]
fn a_scenario_without_hunt_is_hunted_as_it_is() {
    let text = &FULL[..FULL.find("[hunt]").unwrap()];
    let full = parse("a", text, &vocabulary(), Size::Full, &[]).unwrap();
    assert_eq!(parse("a", text, &vocabulary(), Size::Hunt, &[]).unwrap(), full);
}

#[test]
fn overrides_win_over_file_and_hunt_and_are_written_as_people_write() {
    let overrides = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let pairs = overrides(&[
        ("seats.first", "7"),
        ("date", "2017-05-05"),
        ("order.pay_within", "2m"),
        ("bank.latency", "\"1ms\""),
        ("queue.share", "1"),
        ("canary", "false"),
        ("trains.names", "ICE 1, ICE 2"),
        ("timetable", "Cargo.toml"),
    ]);
    let scenario = parse("elsewhere/full.toml", FULL, &vocabulary(), Size::Hunt, &pairs).unwrap();
    let settings = &scenario.settings;
    assert_eq!(settings.integer("seats.first"), 7);
    assert_eq!(settings.text("date"), "2017-05-05");
    assert_eq!(settings.duration("order.pay_within"), seconds(120));
    assert_eq!(settings.duration("bank.latency"), Duration::from_millis(1));
    assert_eq!(settings.number("queue.share"), 1.0);
    assert!(!settings.flag("canary"));
    assert_eq!(settings.list("trains.names"), ["ICE 1", "ICE 2"]);
    assert_eq!(
        settings.file("timetable").unwrap().to_str(),
        Some("Cargo.toml"),
        "relative to the current folder"
    );

    let list = overrides(&[("trains.names", "[\"ICE 1, Sprinter\", \"ICE 2\"]")]);
    let scenario = parse("a", FULL, &vocabulary(), Size::Full, &list).unwrap();
    assert_eq!(scenario.settings.list("trains.names"), ["ICE 1, Sprinter", "ICE 2"]);
}

#[test]
fn a_path_in_a_file_is_relative_to_the_file() {
    let text = FULL.replacen("[settings]\n", "[settings]\ntimetable = \"support/mod.rs\"\n", 1);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/language/full.toml");
    let scenario = parse(file, &text, &vocabulary(), Size::Full, &[]).unwrap();
    let path = scenario.settings.file("timetable").unwrap();
    assert_eq!(
        path,
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/language/support/mod.rs"))
    );
}

#[test]
fn values_are_shown_as_they_are_written() {
    let values = [
        Value::Integer(5),
        Value::Number(1.0),
        Value::Duration(Duration::from_millis(1500)),
        Value::Flag(true),
        Value::Text("a \"b\"".into()),
        Value::List(vec!["a".into(), "b".into()]),
    ];
    let shown: Vec<String> = values.iter().map(Value::to_string).collect();
    assert_eq!(shown, ["5", "1.0", "\"1500ms\"", "true", "\"a \\\"b\\\"\"", "[\"a\", \"b\"]"]);
}
