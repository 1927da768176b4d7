//! Runs to report on: one that held, one that was violated, one that was slow, one full of oddities.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::{History, Outcome};
use record::result::{
    Coverage, FaultRecord, InvariantResult, OperationStats, Recovery, RunResult, SCHEMA, ServiceLevel,
    Verdict, Violation,
};
use record::table::Table;
use record::timeline::{self, Gauge, Timeline};
use reports::Report;
use reports::latency_log::{self, Interval};
use reports::run_folder::Record;

/// What a report borrows.
pub(crate) struct Run {
    pub(crate) result: RunResult,
    pub(crate) tables: Vec<Table>,
    pub(crate) replay: String,
    pub(crate) history: History,
}

impl Run {
    /// Hands `read` the report of this run.
    pub(crate) fn report<R>(&self, read: impl FnOnce(&Report<'_>) -> R) -> R {
        let Self { result, tables, replay, .. } = self;
        read(&Report { result, tables, replay })
    }

    /// All that its folder holds: two windows, parted after a second.
    pub(crate) fn record(&self) -> Record {
        let window = Duration::from_secs(1);
        let latency_log = latency_log::write(|show| {
            self.history.latencies_by_window(
                |at| usize::from(at >= window),
                |number, operation, latencies| {
                    let from = window * u32::try_from(number).unwrap_or(u32::MAX);
                    show(Interval { operation, from, length: window, latencies });
                },
            );
        });
        let timeline = Timeline {
            schema: timeline::SCHEMA,
            about: "A peak.".to_owned(),
            size: "full".to_owned(),
            replay: self.replay.clone(),
            window_s: 1.0,
            windows: 2,
            gauges: vec![Gauge {
                group: "stock".to_owned(),
                name: "remaining".to_owned(),
                unit: "seats".to_owned(),
                values: vec![None, Some(12.0)],
            }],
            tables: self.tables.clone(),
            ..Timeline::default()
        };
        Record { result: self.result.clone(), timeline, latency_log: latency_log.expect("a log") }
    }
}

/// A peak with two short crashes, in which everything held.
pub(crate) fn held() -> Run {
    let history = history();
    let names = ["zero-oversell", "one-charge-per-order", "seats-consistent"];
    let result = RunResult {
        schema: SCHEMA,
        scenario: "ticketing/peak".to_owned(),
        system: "ticketing".to_owned(),
        engine: "kernel".to_owned(),
        seed: 42,
        mutants: Vec::new(),
        fingerprint: "00112233445566778899aabbccddeeff".to_owned(),
        verdict: Verdict::Held,
        simulated_s: 87.25,
        wall_s: 3.123_456_789,
        messages: 1_234_567,
        operations: history.stats(),
        invariants: names.map(|name| invariant(name, 8_123)).to_vec(),
        faults: vec![fault("crash", 12.0, 17.25, &["inventory-1"]), fault("crash", 31.5, 33.0, &["order-2"])],
        recovery: Vec::new(),
        service_levels: vec![
            level("order.submit p95", 3_000_000, 1_003_519),
            level("train.remaining p99", 250_000, 8_123),
        ],
        coverage: Vec::new(),
    };
    let replay = "rehearse run ticketing/peak --seed 42".to_owned();
    Run { result, tables: vec![tickets()], replay, history }
}

/// The same peak with a planted bug that two invariants find.
pub(crate) fn violated() -> Run {
    let mut run = held();
    run.result.verdict = Verdict::Violated;
    run.result.mutants = vec!["ticketing.deduct-check-then-set".to_owned()];
    run.result.invariants[0] = InvariantResult {
        held: false,
        first_violation: Some(Violation {
            at_s: 12.345_678,
            what:
                "segment 3 of ICE-599@2017-03-31, second class, has 2 seats left after 401 of 400 were sold"
                    .to_owned(),
            operations: vec![17, 23],
        }),
        ..invariant("zero-oversell", 5_012)
    };
    run.result.invariants[2] = InvariantResult {
        held: false,
        first_violation: Some(Violation {
            at_s: 13.0,
            what: "seat 07-12 has two tickets".to_owned(),
            operations: (100..120).collect(),
        }),
        ..invariant("seats-consistent", 6_000)
    };
    run.result.recovery =
        vec![recovery(0, Some(1.5), 0.0, 0), Recovery { detected_s: None, ..recovery(1, None, 3.25, 7) }];
    run.result.faults.push(fault("partition", 40.0, 45.5, &["order-1", "order-2"]));
    run.result.faults.push(fault("reset-connections", 50.0, 50.0, &["redis-1"]));
    let places =
        [("order.abandoned", 3), ("peers.next-asked", 0), ("redis.failover", 0), ("redis.reset", 17)];
    let more = [("seat.expired", 0), ("seat.freed-twice", 0)];
    let coverage = |(name, hits): (&str, u64)| Coverage { name: name.to_owned(), hits };
    run.result.coverage = places.into_iter().chain(more).map(coverage).collect();
    run.replay = "rehearse run ticketing/peak --seed 42 --mutant ticketing.deduct-check-then-set".to_owned();
    run
}

/// The same peak, too slow by a hair for one limit.
pub(crate) fn slow() -> Run {
    let mut run = held();
    run.result.verdict = Verdict::Slow;
    run.result.service_levels[0] = level("order.submit p95", 3_000_000, 3_000_001);
    run.result.invariants.truncate(1);
    run.result.faults.clear();
    run
}

/// Nothing that one would expect: no figures, broken references, markup and control characters in names.
pub(crate) fn odd() -> Run {
    let mut run = held();
    run.history = History::new();
    run.history.invoke(1, "a b,c", None, None, Duration::ZERO);
    run.result.verdict = Verdict::Invalid;
    run.result.scenario = "<evil>\u{1b}[31m\u{0}|*peak*".to_owned();
    run.result.simulated_s = f64::NAN;
    run.result.wall_s = 0.0;
    run.result.messages = 0;
    run.result.operations = BTreeMap::from([(String::new(), OperationStats::default())]);
    run.result.invariants = vec![invariant("never\nchecked", 0)];
    run.result.faults = vec![fault("crash", f64::NEG_INFINITY, f64::NAN, &[])];
    run.result.recovery = vec![recovery(9, Some(f64::NAN), f64::NAN, u64::MAX)];
    run.result.service_levels.clear();
    run.result.coverage = vec![Coverage { name: "redis.failover".to_owned(), hits: 0 }];
    run.tables = vec![
        Table::default(),
        Table {
            title: "余票".to_owned(),
            columns: vec!["车次".to_owned(), "left".to_owned(), String::new()],
            rows: vec![
                vec!["北京南 → 上海虹桥 a very long name of a train run".to_owned(), "12".to_owned()],
                Vec::new(),
                vec!["G1".to_owned(), "1,200".to_owned(), "x".to_owned(), "beyond the columns".to_owned()],
            ],
        },
    ];
    run.replay = String::new();
    run
}

fn history() -> History {
    let history = History::new();
    for buyer in 0..2_000_u64 {
        let asked = Duration::from_millis(buyer);
        let look = history.invoke(buyer, "train.remaining", None, None, asked);
        let seen = asked + Duration::from_micros(400 + buyer * 4);
        history.complete(look, Outcome::Ok, Some("12".to_owned()), seen);
        let submit = history.invoke(buyer, "order.submit", Some(format!("key-{buyer}")), None, seen);
        let outcome = match buyer % 100 {
            0..60 => Outcome::Ok,
            60..99 => Outcome::Refused,
            _ => Outcome::Unknown,
        };
        history.complete(submit, outcome, None, seen + Duration::from_micros(900 + buyer * 531));
    }
    history.invoke(7, "payment.create", None, None, Duration::from_secs(3));
    history
}

fn tickets() -> Table {
    let row = |train: &str, date: &str, seats: &str, asked: &str, sold: &str, full: &str| {
        [train, date, seats, asked, sold, full].map(str::to_owned).to_vec()
    };
    Table {
        title: "Who got tickets".to_owned(),
        columns: ["train", "date", "seats", "asked for", "got tickets", "full"].map(str::to_owned).to_vec(),
        rows: vec![
            row("ICE 599 Berlin Hbf → München Hbf", "2017-03-31", "480", "3,210", "612", "100 %"),
            row("IC 2013 Leipzig Hbf → Oberstdorf", "2017-03-31", "96", "80", "77", "41.5 %"),
        ],
    }
}

fn invariant(name: &str, checks: u64) -> InvariantResult {
    InvariantResult { name: name.to_owned(), held: true, checks, first_violation: None }
}

fn fault(kind: &str, from_s: f64, to_s: f64, on: &[&str]) -> FaultRecord {
    FaultRecord { kind: kind.to_owned(), from_s, to_s, on: on.iter().map(|&host| host.to_owned()).collect() }
}

fn level(name: &str, limit_us: u64, observed_us: u64) -> ServiceLevel {
    ServiceLevel { name: name.to_owned(), limit_us, observed_us, met: observed_us <= limit_us }
}

fn recovery(fault: u64, rto_s: Option<f64>, rpo_s: f64, lost_acknowledged: u64) -> Recovery {
    let (rto_limit_s, rpo_limit_s) = (Some(30.0), Some(0.0));
    Recovery { fault, detected_s: Some(12.5), rto_s, rto_limit_s, rpo_s, rpo_limit_s, lost_acknowledged }
}
