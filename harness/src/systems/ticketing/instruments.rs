//! What people may see of the ticket sale while it runs: stock, queues, orders, and how busy Redis is.

use std::sync::atomic::Ordering;

use ticketing::domain::OrderState;

use super::facts::Facts;
use super::monitor::Monitor;
use super::redis;
use crate::system::{Instruments, Reading, ReadingKind};

/// A seat on a segment is what is sold: a passenger who rides over five segments takes five of them.
const SEATS: &str = "seat segments";

/// The instruments of a sale.
pub(super) fn of(monitor: &Monitor, redis: &redis::Plan) -> Instruments {
    let (seen, checked, commands) = (monitor.clone(), monitor.clone(), redis.commands());
    let gauges = move || {
        let mut readings = seen.with_facts(readings);
        readings.extend(commands.iter().map(|(node, commands)| Reading {
            group: "redis",
            name: node.clone(),
            unit: "commands/s",
            kind: ReadingKind::Total,
            value: commands.load(Ordering::Relaxed) as f64,
        }));
        readings
    };
    let violated = move || checked.violated().map(str::to_owned);
    Instruments { gauges: Box::new(gauges), violated: Box::new(violated) }
}

fn readings(facts: &Facts) -> Vec<Reading> {
    let level = |group, name: &str, unit, value: f64| Reading {
        group,
        name: name.to_owned(),
        unit,
        kind: ReadingKind::Level,
        value,
    };
    let remaining: i64 = facts.stock.values().flat_map(|segments| segments.values()).sum();
    let waiting: u64 = facts.queues.values().map(|(tail, head)| tail.saturating_sub(*head)).sum();
    let mut readings = vec![
        level("stock", "remaining", SEATS, remaining as f64),
        level("stock", "locked", SEATS, facts.totals.locked as f64),
        level("stock", "sold", SEATS, facts.totals.sold as f64),
        level("queue", "waiting", "buyers", waiting as f64),
    ];
    readings.extend(OrderState::ALL.iter().map(|state| {
        let count = facts.totals.orders.get(state).copied().unwrap_or_default();
        level("orders", state.as_str(), "orders", count as f64)
    }));
    readings
}
