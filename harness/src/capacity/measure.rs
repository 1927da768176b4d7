//! What one run shows in its steady window: without the time in which the load begins to have its effect, and without that
//! in which it drains away.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::{Operation, Outcome};
use record::result::OperationStats;

use crate::rehearsal::Played;
use crate::timeline::Watch;

/// A stretch of a run, since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    from: Duration,
    to: Duration,
}

impl Window {
    fn seconds(self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }

    fn has(self, at: Duration) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// Seconds of it that an operation was under way.
    fn overlap(self, operation: &Operation) -> f64 {
        let until = operation.completed.unwrap_or(self.to).min(self.to);
        until.saturating_sub(operation.invoked.max(self.from)).as_secs_f64()
    }

    /// The mean number of operations under way: by Little's law, their rate times their mean latency.
    fn concurrency(self, operations: &[Operation]) -> f64 {
        operations.iter().map(|operation| self.overlap(operation)).sum::<f64>() / self.seconds()
    }

    fn halves(self) -> [Window; 2] {
        let middle = self.from + self.to.saturating_sub(self.from) / 2;
        [Window { from: self.from, to: middle }, Window { from: middle, to: self.to }]
    }
}

/// What was seen in the window.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    pub(super) seed: u64,
    pub(super) fingerprint: String,
    pub(super) offered_per_s: f64,
    pub(super) achieved_per_s: f64,
    pub(super) refused_per_s: f64,
    pub(super) concurrency: f64,
    /// The same in the first and in the second half of the window.
    pub(super) halves: [f64; 2],
    /// Operations asked for in the window.
    pub(super) asked: BTreeMap<String, Asked>,
    /// The share of their cores' time that hosts worked.
    pub(super) busy: BTreeMap<String, f64>,
    /// The invariants that were violated, in the whole run.
    pub(super) violated: Vec<String>,
    /// Whether nobody came, in the whole run.
    pub(super) is_empty: bool,
}

/// The operations of one name that were asked for in the window, whenever they ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    ok: u64,
    refused: u64,
    failed: u64,
    unknown: u64,
    /// Of those that ended, in microseconds.
    latencies_us: Vec<u64>,
}

impl Asked {
    fn add(&mut self, operation: &Operation) {
        match operation.outcome {
            Some(Outcome::Ok) => self.ok += 1,
            Some(Outcome::Refused) => self.refused += 1,
            Some(Outcome::Failed) => self.failed += 1,
            Some(Outcome::Unknown) | None => self.unknown += 1,
        }
        if let Some(completed) = operation.completed {
            let latency = completed.saturating_sub(operation.invoked);
            self.latencies_us.push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Together with those of another run.
    pub(super) fn extend(&mut self, other: &Asked) {
        self.ok += other.ok;
        self.refused += other.refused;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.latencies_us.extend(&other.latencies_us);
        self.latencies_us.sort_unstable();
    }

    pub(super) fn answered(&self) -> u64 {
        self.ok + self.refused
    }

    pub(super) fn all(&self) -> u64 {
        self.answered() + self.failed + self.unknown
    }

    /// The latency that so large a share stays within, exactly (nearest rank), in microseconds; 0 without operations.
    pub(super) fn quantile_us(&self, share: f64) -> u64 {
        let rank = (share * self.latencies_us.len() as f64).ceil() as usize;
        let index = rank.max(1) - 1;
        self.latencies_us.get(index).or(self.latencies_us.last()).copied().unwrap_or(0)
    }

    pub(super) fn stats(&self) -> OperationStats {
        OperationStats {
            ok: self.ok,
            refused: self.refused,
            failed: self.failed,
            unknown: self.unknown,
            p50_us: self.quantile_us(0.5),
            p95_us: self.quantile_us(0.95),
            p99_us: self.quantile_us(0.99),
            p999_us: self.quantile_us(0.999),
            max_us: self.quantile_us(1.0),
        }
    }
}

/// Looks at a run from `warm_up` after its load began until the load, `load` long, ended.
pub(super) fn measure(played: &Played, watch: &Watch, load: Duration, warm_up: Duration) -> Measured {
    let to = watch.load_until();
    let window = Window { from: to.saturating_sub(load.saturating_sub(warm_up)), to };
    let violated = played.result.invariants.iter().filter(|invariant| !invariant.held);
    let measured = Measured {
        seed: played.result.seed,
        fingerprint: played.result.fingerprint.clone(),
        busy: watch.busy(window.from, window.to),
        violated: violated.map(|invariant| invariant.name.clone()).collect(),
        is_empty: played.plan.arrived.is_empty(),
        ..Measured::default()
    };
    played.history.with_operations(|operations| with_operations(measured, operations, window))
}

fn with_operations(measured: Measured, operations: &[Operation], window: Window) -> Measured {
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    let (mut offered, mut ok, mut refused) = (0_u64, 0_u64, 0_u64);
    for operation in operations {
        if window.has(operation.invoked) {
            offered += 1;
            asked.entry(operation.name.to_owned()).or_default().add(operation);
        }
        if operation.completed.is_some_and(|at| window.has(at)) {
            match operation.outcome {
                Some(Outcome::Ok) => ok += 1,
                Some(Outcome::Refused) => refused += 1,
                Some(Outcome::Failed | Outcome::Unknown) | None => {}
            }
        }
    }
    asked.values_mut().for_each(|asked| asked.latencies_us.sort_unstable());
    let per_s = |count: u64| count as f64 / window.seconds();
    Measured {
        offered_per_s: per_s(offered),
        achieved_per_s: per_s(ok + refused),
        refused_per_s: per_s(refused),
        concurrency: window.concurrency(operations),
        halves: window.halves().map(|half| half.concurrency(operations)),
        asked,
        ..measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::history::History;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_the_window_counts() {
        let history = History::new();
        let ask = |from: u64, to: Option<u64>, outcome: Outcome| {
            let id = history.invoke(1, "order.submit", None, None, ms(from));
            if let Some(to) = to {
                history.complete(id, outcome, None, ms(to));
            }
        };
        ask(0, Some(500), Outcome::Ok);
        ask(900, Some(1_200), Outcome::Ok);
        ask(1_000, Some(1_400), Outcome::Refused);
        ask(1_500, Some(2_600), Outcome::Ok);
        ask(1_800, None, Outcome::Ok);
        ask(2_000, Some(2_100), Outcome::Ok);
        let window = Window { from: ms(1_000), to: ms(2_000) };
        let measured = history.with_operations(|all| with_operations(Measured::default(), all, window));
        assert_eq!(measured.offered_per_s, 3.0);
        assert_eq!((measured.achieved_per_s, measured.refused_per_s), (2.0, 1.0));
        // 200 + 400 + 500 + 200 ms of one second.
        assert!((measured.concurrency - 1.3).abs() < 1e-9);
        assert!((measured.halves[0] - 1.2).abs() < 1e-9 && (measured.halves[1] - 1.4).abs() < 1e-9);
        let asked = &measured.asked["order.submit"];
        assert_eq!((asked.answered(), asked.all()), (2, 3));
        assert_eq!((asked.quantile_us(0.5), asked.quantile_us(0.95)), (400_000, 1_100_000));
        assert_eq!(Asked::default().stats(), OperationStats::default());
    }
}
