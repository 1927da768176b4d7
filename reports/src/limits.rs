//! The limits of a scenario, observed beside limit: latencies, recovery time (RTO) and data loss (RPO).

use record::result::{FaultRecord, Recovery, RunResult, ServiceLevel};

use crate::units;

/// A limit and what was observed, ready to be shown.
pub(crate) struct Limit<'a> {
    pub(crate) subject: Subject<'a>,
    /// `None` if it was not seen to happen at all.
    pub(crate) observed: Option<String>,
    pub(crate) limit: String,
    /// The share of the limit that was observed; infinite where there is no such figure.
    pub(crate) share: f64,
    pub(crate) met: bool,
}

/// What is limited.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// A percentile of an operation's latency, by the name of the service level.
    Latency(&'a str),
    /// How long the system took to come back from a fault.
    RecoveryTime(AfterFault<'a>),
    /// How old the oldest acknowledged write is that a fault took away.
    DataLoss(AfterFault<'a>),
}

/// A fault, by its index; without its record where the result has none.
#[derive(Clone, Copy)]
pub(crate) struct AfterFault<'a> {
    pub(crate) index: u64,
    pub(crate) fault: Option<&'a FaultRecord>,
}

impl Limit<'_> {
    /// What is limited, in a few words.
    pub(crate) fn name(&self) -> String {
        match self.subject {
            Subject::Latency(name) => name.to_owned(),
            Subject::RecoveryTime(after) => format!("RTO {}", after.phrase()),
            Subject::DataLoss(after) => format!("RPO {}", after.phrase()),
        }
    }

    /// What was observed, in a few words.
    pub(crate) fn observed(&self) -> String {
        self.observed.clone().unwrap_or_else(|| "never".to_owned())
    }
}

impl AfterFault<'_> {
    fn phrase(self) -> String {
        match self.fault {
            Some(fault) => format!("after {} at {}", fault.kind, units::seconds(fault.from_s)),
            None => format!("after fault {}", self.index),
        }
    }
}

/// All limits of a run: the service levels, then those on recovery.
pub(crate) fn limits(result: &RunResult) -> Vec<Limit<'_>> {
    let mut limits: Vec<_> = result.service_levels.iter().map(service_level).collect();
    for recovery in &result.recovery {
        let fault = usize::try_from(recovery.fault).ok().and_then(|index| result.faults.get(index));
        let after = AfterFault { index: recovery.fault, fault };
        limits.extend(recovery_time(recovery, after));
        limits.extend(data_loss(recovery, after));
    }
    limits
}

fn service_level(level: &ServiceLevel) -> Limit<'_> {
    let mut observed = units::latency(level.observed_us);
    let mut limit = units::latency(level.limit_us);
    if observed == limit && level.observed_us != level.limit_us {
        // Rounded alike, though one is above the other: show all digits.
        observed = units::latency_exact(level.observed_us);
        limit = units::latency_exact(level.limit_us);
    }
    let share = share(level.observed_us as f64, level.limit_us as f64);
    Limit { subject: Subject::Latency(&level.name), observed: Some(observed), limit, share, met: level.met }
}

fn recovery_time<'a>(recovery: &Recovery, after: AfterFault<'a>) -> Option<Limit<'a>> {
    let limit = recovery.rto_limit_s?;
    Some(Limit {
        subject: Subject::RecoveryTime(after),
        observed: recovery.rto_s.map(units::seconds),
        limit: units::seconds(limit),
        share: recovery.rto_s.map_or(f64::INFINITY, |observed| share(observed, limit)),
        met: recovery.rto_s.is_some_and(|observed| observed <= limit),
    })
}

fn data_loss<'a>(recovery: &Recovery, after: AfterFault<'a>) -> Option<Limit<'a>> {
    let limit = recovery.rpo_limit_s?;
    Some(Limit {
        subject: Subject::DataLoss(after),
        observed: Some(units::seconds(recovery.rpo_s)),
        limit: units::seconds(limit),
        share: share(recovery.rpo_s, limit),
        met: recovery.rpo_s <= limit,
    })
}

/// Nothing of a limit of nothing is nothing.
fn share(observed: f64, limit: f64) -> f64 {
    let share = if observed == 0.0 { 0.0 } else { observed / limit };
    if share.is_nan() { f64::INFINITY } else { share }
}
