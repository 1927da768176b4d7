//! A run that never was: a sale's peak in which a network splits, as a page would be given it. All figures agree with each
//! other, as in a real run, and are the same each time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use record::result::{
    Coverage, FaultRecord, InvariantResult, OperationStats, Recovery, RunResult, SCHEMA, ServiceLevel,
    Verdict, Violation,
};
use record::story::{Kind, Line};
use record::table::Table;
use record::timeline::{
    self, FailoverRecord, Gauge, HostRecord, LinkRecord, LostOperation, OperationSeries, Timeline,
    ViolationStory,
};
use reports::page::{Input, Latencies, WindowLatency};
use reports::run_folder::{self, Record};

/// Seconds of the run, of its load, and of its worst fault.
const END_S: f64 = 90.0;
const LOAD_S: f64 = 60.0;
const SPLIT_S: (f64, f64) = (12.0, 32.0);

/// What customers do: name, share of all operations, usual latency in microseconds, share of refusals.
const OPERATIONS: [(&str, f64, f64, f64); 8] = [
    ("order.cancel", 0.01, 48_000.0, 0.03),
    ("order.status", 0.06, 47_000.0, 0.0),
    ("order.submit", 0.16, 52_000.0, 0.55),
    ("payment.create", 0.05, 209_000.0, 0.02),
    ("payment.pay", 0.05, 292_000.0, 0.01),
    ("queue.join", 0.13, 56_000.0, 0.0),
    ("queue.poll", 0.18, 47_000.0, 0.0),
    ("train.remaining", 0.36, 68_000.0, 0.0),
];

/// What a page borrows.
pub(crate) struct Run {
    pub(crate) result: RunResult,
    pub(crate) timeline: Timeline,
    pub(crate) latencies: Latencies,
}

impl Run {
    pub(crate) fn input(&self) -> Input<'_> {
        let Self { result, timeline, latencies } = self;
        Input { result, timeline, latencies }
    }

    /// A real one, from its folder.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let Record { result, timeline, latency_log } = run_folder::read(folder).expect("the folder of a run");
        let latencies = Latencies::of_log(&latency_log, &result, &timeline).expect("its log");
        Self { result, timeline, latencies }
    }
}

/// Numbers that look random and are not: Knuth's generator (MMIX).
struct Numbers(u64);

impl Numbers {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A run with about so many operations, cut into so many windows.
pub(crate) fn run(windows: usize, operations: u64) -> Run {
    let mut numbers = Numbers(7);
    let window_s = END_S / windows as f64;
    let shape: Vec<f64> = (0..windows).map(|window| demand((window as f64 + 0.5) * window_s)).collect();
    let whole: f64 = shape.iter().sum();
    let mut run =
        Run { result: result(), timeline: timeline(windows, window_s), latencies: Latencies::default() };
    for (name, share, usual_us, refusals) in OPERATIONS {
        let mut series = OperationSeries::default();
        let mut stats = OperationStats::default();
        let mut latencies = Histogram::new(3).expect("3 digits");
        let mut by_window = Vec::new();
        for (window, demand) in shape.iter().enumerate() {
            let at_s = (window as f64 + 0.5) * window_s;
            let split = SPLIT_S.0 <= at_s && at_s < SPLIT_S.1;
            let wave = 0.85 + 0.3 * numbers.next();
            let invoked = (operations as f64 * share * demand / whole * wave).round() as u64;
            let part = |part: f64| (invoked as f64 * part).round() as u64;
            let refused = part(if at_s < 5.0 { 0.0 } else { refusals });
            let failed = if split { part(0.07) } else { 0 };
            let unknown = if split { part(0.04) } else { 0 };
            let ok = invoked.saturating_sub(refused + failed + unknown);
            for (list, count) in [
                (&mut series.invoked, invoked),
                (&mut series.ok, ok),
                (&mut series.refused, refused),
                (&mut series.failed, failed),
                (&mut series.unknown, unknown),
            ] {
                list.push(count);
            }
            let here = window_histogram(&mut numbers, invoked, usual_us * (0.8 + 0.8 * demand), split);
            latencies.add(&here).expect("of one kind");
            by_window.push(WindowLatency::of(&here));
            stats.ok += ok;
            stats.refused += refused;
            stats.failed += failed;
            stats.unknown += unknown;
        }
        [stats.p50_us, stats.p95_us, stats.p99_us, stats.p999_us, stats.max_us] =
            [0.5, 0.95, 0.99, 0.999, 1.0].map(|quantile| latencies.value_at_quantile(quantile));
        stats.max_us = latencies.max();
        run.result.operations.insert(name.to_owned(), stats);
        run.timeline.operations.insert(name.to_owned(), series);
        run.latencies.whole.insert(name.to_owned(), latencies);
        run.latencies.windows.insert(name.to_owned(), by_window);
    }
    let observed_us = run.result.operations["order.submit"].p95_us;
    let limit_us = 400_000;
    let level = |name: &str, limit_us, observed_us| ServiceLevel {
        name: name.to_owned(),
        limit_us,
        observed_us,
        met: observed_us <= limit_us,
    };
    run.result.service_levels = vec![
        level("order.submit p95", limit_us, observed_us),
        level("train.remaining p99", 3_000_000, run.result.operations["train.remaining"].p99_us),
    ];
    run
}

/// How much customers want, as a share of the most that they ever want.
fn demand(at_s: f64) -> f64 {
    match at_s {
        ..5.0 => 0.15,
        ..25.0 => 1.0,
        ..45.0 => 0.42,
        ..LOAD_S => 0.15,
        ..70.0 => 0.05 * (70.0 - at_s) / 10.0,
        _ => 0.0,
    }
}

/// Latencies of one window; when the network is split, some wait for it.
fn window_histogram(numbers: &mut Numbers, count: u64, usual_us: f64, split: bool) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("3 digits");
    // As many draws as make a smooth picture; each stands for some operations.
    let draws = count.min(400);
    for draw in 0..draws {
        let (one, other) = (numbers.next().max(1e-9), numbers.next());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos();
        let waits = if split && numbers.next() < 0.12 { 14.0 } else { 1.0 };
        let latency_us = (usual_us * (0.55 * normal).exp() * waits).min(2e7) as u64;
        let stands_for = count / draws + u64::from(draw < count % draws);
        histogram.record_n(latency_us.max(1), stands_for).expect("below a day");
    }
    histogram
}

fn result() -> RunResult {
    let invariant = |name: &str, checks| InvariantResult {
        name: name.to_owned(),
        held: true,
        checks,
        first_violation: None,
    };
    let mut invariants = vec![
        invariant("zero-oversell", 221_130),
        invariant("no-double-seat", 30_154),
        invariant("conservation", 291_125),
        invariant("money", 17_005),
        invariant("one-outcome", 64_521),
        invariant("liveness", 8_270),
        invariant("never-asked", 0),
    ];
    invariants[0].held = false;
    invariants[0].first_violation = Some(Violation {
        at_s: 14.204_417,
        what: "ICE-985@2016-12-16, second class, segment 1: 41 seats taken by live holds of stock and valid tickets, but only 40 exist".to_owned(),
        operations: vec![4_711, 4_733],
    });
    let fault = |kind: &str, from_s, to_s, on: &[&str]| FaultRecord {
        kind: kind.to_owned(),
        from_s,
        to_s,
        on: on.iter().map(|&host| host.to_owned()).collect(),
    };
    let names = [
        "redis.failover",
        "redis.reset",
        "http.client.pooled-connection-closed",
        "order.abandoned",
        "seat.expired",
    ];
    RunResult {
        schema: SCHEMA,
        scenario: "ticketing/redis-split-brain-unguarded".to_owned(),
        system: "ticketing".to_owned(),
        engine: "kernel".to_owned(),
        seed: 42,
        mutants: vec!["ticketing.deduct-check-then-set".to_owned()],
        fingerprint: "63e647e5cc48dc8c8ae2a110f7fb576b".to_owned(),
        verdict: Verdict::Violated,
        simulated_s: END_S,
        wall_s: 10.929,
        messages: 787_907,
        operations: BTreeMap::new(),
        invariants,
        faults: vec![
            fault(
                "partition",
                SPLIT_S.0,
                SPLIT_S.1,
                &["redis-a1", "gateway-1", "order-1", "inventory-1", "seat-1"],
            ),
            fault("slow-link", 38.0, 43.5, &["order-2", "redis-b1"]),
            fault("reset-connections", 50.0, 50.0, &["redis-c1"]),
        ],
        recovery: vec![
            Recovery {
                fault: 0,
                detected_s: Some(15.25),
                rto_s: Some(21.5),
                rto_limit_s: Some(25.0),
                rpo_s: 1.75,
                rpo_limit_s: Some(0.0),
                lost_acknowledged: 3,
            },
            Recovery {
                fault: 1,
                detected_s: None,
                rto_s: None,
                rto_limit_s: Some(25.0),
                rpo_s: 0.0,
                rpo_limit_s: Some(0.0),
                lost_acknowledged: 0,
            },
        ],
        service_levels: Vec::new(),
        coverage: names
            .iter()
            .zip([4, 17, 0, 260, 0])
            .map(|(name, hits)| Coverage { name: (*name).to_owned(), hits })
            .collect(),
    }
}

fn timeline(windows: usize, window_s: f64) -> Timeline {
    let settings = [
        ("buyers.abandon", "0.1"),
        ("buyers.cancel", "0.05"),
        ("order.pay_within", "\"20s\""),
        ("redis.cluster", "true"),
        ("redis.replicas", "1"),
        ("redis.replicas_to_wait", "0"),
        ("seats.first", "10"),
        ("seats.second", "40"),
        ("trains.count", "20"),
    ];
    let lost = |operation, acknowledged_s| LostOperation {
        operation,
        name: "order.submit".to_owned(),
        subject: format!("order 0-14560744444926489{operation}"),
        acknowledged_s,
        lost_s: 17.75,
    };
    Timeline {
        schema: timeline::SCHEMA,
        about: "Half of the services and one Redis master are cut off from the rest for 20 s of the peak; both sides go on.".to_owned(),
        size: "full".to_owned(),
        replay: "rehearse run ticketing/redis-split-brain-unguarded --seed 42 --mutant ticketing.deduct-check-then-set".to_owned(),
        load_until_s: LOAD_S,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        window_s,
        windows,
        operations: BTreeMap::new(),
        gauges: gauges(windows, window_s),
        hosts: hosts(windows, window_s),
        links: links(),
        failovers: vec![FailoverRecord { at_s: 16.5, host: "redis-a2".to_owned() }],
        lost: vec![lost(45, 10.25), lost(71, 12.5), lost(90, 13.062_5)],
        stories: vec![ViolationStory { invariant: "zero-oversell".to_owned(), lines: story() }],
        tables: vec![tickets()],
    }
}

fn gauges(windows: usize, window_s: f64) -> Vec<Gauge> {
    let over = |group: &str, name: &str, unit: &str, value: &dyn Fn(f64) -> Option<f64>| Gauge {
        group: group.to_owned(),
        name: name.to_owned(),
        unit: unit.to_owned(),
        values: (0..windows).map(|window| value((window + 1) as f64 * window_s)).collect(),
    };
    let sold = |at: f64| (740.0 * (1.0 - (-(at - 8.0).max(0.0) / 11.0).exp())).floor();
    let locked = |at: f64| (150.0 * demand(at)).floor();
    vec![
        over("stock", "remaining", "seats", &|at| Some(1_000.0 - sold(at) - locked(at))),
        over("stock", "locked", "seats", &|at| Some(locked(at))),
        over("stock", "sold", "seats", &|at| Some(sold(at))),
        over("queue", "waiting", "buyers", &|at| Some((420.0 * demand(at - 2.0) * demand(at)).round())),
        over("queue", "admitted", "buyers", &|at| Some((90.0 * demand(at)).round())),
        over("redis", "commands", "/s", &|at| Some(9_400.0 * demand(at) + 120.0)),
        over("redis", "failed over", "/s", &|_| Some(0.0)),
        // Not known while it was cut off.
        over("redis", "replication lag", "bytes", &|at| {
            (!(SPLIT_S.0..SPLIT_S.1).contains(&at)).then_some(4_096.0 + 90_000.0 * demand(at))
        }),
        over("network", "delivered", "bytes/s", &|at| Some(7_400_000.0 * demand(at) + 31_000.0)),
        over("network", "refused", "bytes/s", &|at| {
            Some(if at < SPLIT_S.0 || at > SPLIT_S.1 { 0.0 } else { 310_000.0 })
        }),
    ]
}

/// The hosts: role, how many, tier, how busy at the peak.
const HOSTS: [(&str, usize, u32, f64); 8] = [
    ("buyers", 2, 0, -1.0),
    ("gateway", 2, 1, 0.42),
    ("queue", 1, 2, 0.2),
    ("order", 2, 2, 0.93),
    ("inventory", 2, 3, 0.71),
    ("seat", 2, 3, 0.3),
    ("payment", 2, 3, 0.18),
    ("redis", 6, 4, 0.55),
];

fn names(role: &'static str) -> impl Iterator<Item = (String, &'static str, u32, f64)> {
    HOSTS.into_iter().filter(move |(name, ..)| *name == role).flat_map(|(role, count, tier, busy)| {
        (1..=count).map(move |index| (format!("{role}-{index}"), role, tier, busy))
    })
}

fn hosts(windows: usize, window_s: f64) -> Vec<HostRecord> {
    let hosts = HOSTS.into_iter().flat_map(|(role, ..)| names(role));
    hosts
        .zip(1_u64..)
        .map(|((name, role, tier, busy), index)| HostRecord {
            name,
            role: role.to_owned(),
            tier,
            messages_in: 60_000 / index,
            bytes_in: 9_000_000 / index,
            busy: if busy < 0.0 {
                Vec::new()
            } else {
                let load = |window: usize| {
                    busy * demand((window as f64 + 0.5) * window_s) / (1.0 + 0.04 * index as f64)
                };
                (0..windows).map(load).collect()
            },
        })
        .collect()
}

fn links() -> Vec<LinkRecord> {
    let asks = [
        ("buyers", "gateway"),
        ("gateway", "queue"),
        ("gateway", "order"),
        ("order", "inventory"),
        ("order", "seat"),
        ("order", "payment"),
        ("inventory", "redis"),
        ("seat", "redis"),
        ("order", "redis"),
        ("redis", "redis"),
    ];
    let mut links = Vec::new();
    for ((from, to), weight) in asks.into_iter().zip(1_u64..) {
        for ((from, ..), index) in names(from).zip(1_u64..) {
            for (to, ..) in names(to).filter(|(to, ..)| *to != from) {
                let messages = 64_000 / weight / index;
                links.push(LinkRecord {
                    from: from.clone(),
                    to: to.clone(),
                    messages,
                    bytes: messages * 212,
                });
                links.push(LinkRecord {
                    from: to,
                    to: from.clone(),
                    messages: messages / 2,
                    bytes: messages * 80,
                });
            }
        }
    }
    links
}

fn story() -> Vec<Line> {
    let mut lines = Vec::new();
    let mut tell = |at_us: u64, host: &str, peer: Option<&str>, is_answer, kind, text: &str| {
        lines.push(Line {
            at: Duration::from_micros(at_us),
            host: host.to_owned(),
            peer: peer.map(str::to_owned),
            is_answer,
            kind,
            trace: "buyer-9-1".to_owned(),
            text: text.to_owned(),
        });
    };
    tell(
        12_000_000,
        "network",
        None,
        false,
        Kind::Fault,
        "partition begins: redis-a1, order-1, … | redis-a2, order-2, …",
    );
    for (round, order) in ["0-145607", "0-145655"].into_iter().enumerate() {
        let at = 14_150_000 + 22_000 * round as u64;
        let order_host = format!("order-{}", round + 1);
        let redis = format!("redis-{}", round + 1);
        tell(
            at,
            "buyers-2",
            None,
            false,
            Kind::Operation,
            "customer 9 asks: order.submit #1 of ICE-985@2016-12-16",
        );
        tell(
            at,
            "buyers-2",
            Some("gateway-1"),
            false,
            Kind::Message,
            "→ gateway-1:80 POST /v1/orders {\"run\":\"ICE-985@2016-12-16\",\"class\":\"second\",\"from\":1,\"to\":3}",
        );
        tell(
            at + 3_100,
            "gateway-1",
            Some(&order_host),
            false,
            Kind::Message,
            &format!("→ {order_host}:80 POST /v1/orders"),
        );
        tell(
            at + 6_000,
            &order_host,
            Some("inventory-1"),
            false,
            Kind::Message,
            &format!("→ inventory-1:80 POST /internal/deduct {{\"order\":\"{order}\"}}"),
        );
        tell(
            at + 8_200,
            "inventory-1",
            Some(&redis),
            false,
            Kind::Command,
            "EVALSHA deduct 4 run:ICE-985:second 1 3 1",
        );
        tell(
            at + 9_000,
            &redis,
            None,
            false,
            Kind::State,
            &format!(
                "hold of stock for order {order}: HELD (1 seats of ICE-985@2016-12-16 second class, segments 1 to 3)"
            ),
        );
        tell(at + 9_400, "inventory-1", Some(&redis), true, Kind::Command, "EVALSHA deduct: 1");
        tell(
            at + 11_100,
            &order_host,
            Some("inventory-1"),
            true,
            Kind::Message,
            "← inventory-1:80 POST /internal/deduct: 200 \"held\"",
        );
        tell(at + 14_000, "gateway-1", Some(&order_host), true, Kind::Message, "← 201 WAIT_PAY");
        tell(at + 17_000, "buyers-2", Some("gateway-1"), true, Kind::Message, "← 201 WAIT_PAY");
    }
    tell(
        14_204_417,
        "redis-2",
        None,
        false,
        Kind::State,
        "hold of stock for order 0-145655: CONFIRMED (41 of 40 seats)",
    );
    lines
}

fn tickets() -> Table {
    let rows = [
        ["EN 294", "60", "79.2 %", "912", "108"],
        ["EN 295", "60", "73.0 %", "769", "113"],
        ["ICE 985", "50", "100 %", "512", "98"],
    ];
    Table {
        title: "Who got tickets".to_owned(),
        columns: ["train", "seats", "filled", "buyers", "served"].map(str::to_owned).to_vec(),
        rows: rows.map(|row| row.map(str::to_owned).to_vec()).to_vec(),
    }
}
