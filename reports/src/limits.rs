//! The limits of a scenario, observed beside limit: latencies, recovery time (RTO) and data loss (RPO).

use record::result::{FaultRecord, Recovery, RunResult, ServiceLevel};

use crate::units;

/// A limit and what was observed, ready to be shown.
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) observed: String,
    pub(crate) limit: String,
    pub(crate) met: bool,
}

/// All limits of a run: the service levels, then those on recovery.
pub(crate) fn limits(result: &RunResult) -> Vec<Limit> {
    let mut limits: Vec<_> = result.service_levels.iter().map(service_level).collect();
    for recovery in &result.recovery {
        let index = usize::try_from(recovery.fault).ok();
        let fault = index.and_then(|index| result.faults.get(index));
        limits.extend(recovery_time(recovery, fault));
        limits.extend(data_loss(recovery, fault));
    }
    limits
}

fn service_level(level: &ServiceLevel) -> Limit {
    let mut observed = units::latency(level.observed_us);
    let mut limit = units::latency(level.limit_us);
    if observed == limit && level.observed_us != level.limit_us {
        // Rounded alike, though one is above the other: show all digits.
        observed = units::latency_exact(level.observed_us);
        limit = units::latency_exact(level.limit_us);
    }
    Limit { name: level.name.clone(), observed, limit, met: level.met }
}

fn recovery_time(recovery: &Recovery, fault: Option<&FaultRecord>) -> Option<Limit> {
    let limit = recovery.rto_limit_s?;
    Some(Limit {
        name: format!("RTO {}", after(recovery, fault)),
        observed: recovery.rto_s.map_or_else(|| "never".to_owned(), units::seconds),
        limit: units::seconds(limit),
        met: recovery.rto_s.is_some_and(|observed| observed <= limit),
    })
}

fn data_loss(recovery: &Recovery, fault: Option<&FaultRecord>) -> Option<Limit> {
    let limit = recovery.rpo_limit_s?;
    Some(Limit {
        name: format!("RPO {}", after(recovery, fault)),
        observed: units::seconds(recovery.rpo_s),
        limit: units::seconds(limit),
        met: recovery.rpo_s <= limit,
    })
}

fn after(recovery: &Recovery, fault: Option<&FaultRecord>) -> String {
    match fault {
        Some(fault) => format!("after {} at {}", fault.kind, units::seconds(fault.from_s)),
        None => format!("after fault {}", recovery.fault),
    }
}
