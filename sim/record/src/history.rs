//! The operations of the clients with their invocations and completions, in the sense of Jepsen's histories.
//!
//! A history records what clients *saw*, never what the services believe: the checks compare the two.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::result::OperationStats;

/// The longest latency that the histograms tell apart, in microseconds: an hour. Longer ones count as this one.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// The significant decimal digits that the histograms keep: an error of at most 0.1 %.
const LATENCY_DIGITS: u8 = 3;

/// How an operation ended, seen by the client that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Acknowledged: it happened, and it must survive.
    Ok,
    /// A clear no (sold out, rate limited): nothing happened.
    Refused,
    /// An error that promises that nothing happened.
    Failed,
    /// A timeout or a lost connection: it may have happened, or may still happen later.
    Unknown,
}

/// The index of an operation in its [`History`], counted from 0 in the order of the invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// One request of a client, and its answer once there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its index in the history.
    pub id: OperationId,
    /// The client: one process has at most one operation under way at a time.
    pub process: u64,
    /// What was asked for: `order.submit`.
    pub name: &'static str,
    /// The idempotency key that was sent along, shared by all retries of one intention.
    pub key: Option<String>,
    /// What it is about, as far as the client knew when it asked: an order, a train run.
    pub subject: Option<String>,
    /// When the client asked, since the start of the simulation.
    pub invoked: Duration,
    /// When the client stopped waiting, since the start of the simulation.
    pub completed: Option<Duration>,
    /// How it ended; `None` while it is under way.
    pub outcome: Option<Outcome>,
    /// What the client observed: the id of the new order, the state of an order.
    pub value: Option<String>,
}

/// Called with an operation right after its invocation and again after its completion.
type Observer = Box<dyn FnMut(&Operation) + Send>;

/// The operations of one run; clones share the same history.
#[derive(Clone, Default)]
pub struct History {
    log: Arc<Mutex<Log>>,
    observers: Arc<Mutex<Vec<Observer>>>,
}

/// What the lock of a history protects.
#[derive(Default)]
struct Log {
    operations: Vec<Operation>,
    tallies: BTreeMap<&'static str, Tally>,
}

/// The completed operations of one name.
struct Tally {
    ok: u64,
    refused: u64,
    failed: u64,
    unknown: u64,
    pending: u64,
    latency_us: Histogram<u64>,
    /// Exact, whereas the histogram rounds.
    latency_us_max: u64,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that client `process` asks for `name` at `at` (since the start of the simulation).
    pub fn invoke(
        &self,
        process: u64,
        name: &'static str,
        key: Option<String>,
        subject: Option<String>,
        at: Duration,
    ) -> OperationId {
        let mut log = lock(&self.log);
        let id = OperationId(log.operations.len() as u64);
        log.tallies.entry(name).or_default().pending += 1;
        log.operations.push(Operation {
            id,
            process,
            name,
            key,
            subject,
            invoked: at,
            completed: None,
            outcome: None,
            value: None,
        });
        drop(log);
        self.notify(id);
        id
    }

    /// Records how the operation `id` ended at `at` (since the start of the simulation), and its latency.
    ///
    /// # Panics
    /// If the operation is not of this history, has already completed, or would complete before it was
    /// invoked: each is a bug of the client that records.
    pub fn complete(&self, id: OperationId, outcome: Outcome, value: Option<String>, at: Duration) {
        let mut log = lock(&self.log);
        let Log { operations, tallies } = &mut *log;
        let operation = usize::try_from(id.0).ok().and_then(|index| operations.get_mut(index));
        let operation = operation.expect("an operation completes in the history that it was invoked in");
        assert!(operation.completed.is_none(), "operation {id} ({}) completes twice", operation.name);
        let latency = at.checked_sub(operation.invoked);
        let latency = latency.expect("an operation completes after its invocation");
        operation.completed = Some(at);
        operation.outcome = Some(outcome);
        operation.value = value;
        tallies.entry(operation.name).or_default().complete(outcome, latency);
        drop(log);
        self.notify(id);
    }

    /// Has `observer` called after each invocation and each completion from now on.
    ///
    /// The operations are not locked meanwhile, so an observer may read the history; it must not record into it
    /// or add observers, which would wait for itself.
    pub fn observe(&self, observer: Box<dyn FnMut(&Operation) + Send>) {
        lock(&self.observers).push(observer);
    }

    /// Reads the operations in the order of their invocations: an [`OperationId`] is an index into the slice.
    ///
    /// The history is locked while `read` runs, so `read` must not use it.
    pub fn with_operations<R>(&self, read: impl FnOnce(&[Operation]) -> R) -> R {
        read(&lock(&self.log).operations)
    }

    /// Counts and latencies by operation name. An operation that never completed counts as unknown, without a
    /// latency; every completed one counts with its latency, whatever its outcome.
    pub fn stats(&self) -> BTreeMap<String, OperationStats> {
        let log = lock(&self.log);
        log.tallies.iter().map(|(name, tally)| ((*name).to_owned(), tally.stats())).collect()
    }

    /// The latencies of the completed operations by operation name, in microseconds (1 µs to 1 h, 3 digits).
    pub fn latencies(&self) -> BTreeMap<String, Histogram<u64>> {
        let log = lock(&self.log);
        log.tallies.iter().map(|(name, tally)| ((*name).to_owned(), tally.latency_us.clone())).collect()
    }

    /// Shows the latencies of the completed operations by the window of their completion, window by window, and in each
    /// by operation name; what nobody completed in a window is left out. The histograms are of the kind of
    /// [`History::latencies`], and are one and the same, filled anew each time.
    ///
    /// The history is locked while `show` runs, so `show` must not use it.
    pub fn latencies_by_window(
        &self,
        window_of: impl Fn(Duration) -> usize,
        mut show: impl FnMut(usize, &'static str, &Histogram<u64>),
    ) {
        let log = lock(&self.log);
        let names: BTreeMap<&'static str, u32> = log.tallies.keys().copied().zip(0..).collect();
        let completed = log.operations.iter().filter_map(|operation| {
            let at = operation.completed?;
            Some((window_of(at), names[operation.name], latency_us(at.saturating_sub(operation.invoked))))
        });
        let mut completed: Vec<(usize, u32, u64)> = completed.collect();
        completed.sort_unstable();
        let names: Vec<&'static str> = names.into_keys().collect();
        let mut histogram = new_histogram();
        for group in completed.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            histogram.reset();
            group.iter().for_each(|(_, _, latency_us)| histogram.saturating_record(*latency_us));
            show(group[0].0, names[group[0].1 as usize], &histogram);
        }
    }

    /// The number of operations, completed or not.
    pub fn len(&self) -> usize {
        lock(&self.log).operations.len()
    }

    /// Whether no operation was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows the operation as it is now to the observers, with the operations unlocked.
    fn notify(&self, id: OperationId) {
        let mut observers = lock(&self.observers);
        if observers.is_empty() {
            return;
        }
        // The copy is what lets the observers read the history; runs without observers do not pay for it.
        let operation = lock(&self.log).operations[id.0 as usize].clone();
        for observer in observers.iter_mut() {
            observer(&operation);
        }
    }
}

/// Locks even after a panic elsewhere: what was recorded before it is what explains it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("operations", &self.len()).finish_non_exhaustive()
    }
}

/// As the histograms have it.
fn latency_us(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).min(LATENCY_MAX_US)
}

fn new_histogram() -> Histogram<u64> {
    let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, LATENCY_DIGITS);
    histogram.expect("1 µs to 1 h with 3 digits are bounds that a histogram accepts")
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ok: 0,
            refused: 0,
            failed: 0,
            unknown: 0,
            pending: 0,
            latency_us: new_histogram(),
            latency_us_max: 0,
        }
    }
}

impl Tally {
    fn complete(&mut self, outcome: Outcome, latency: Duration) {
        self.pending -= 1;
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Unknown => self.unknown += 1,
        }
        let latency_us = latency_us(latency);
        self.latency_us.saturating_record(latency_us);
        self.latency_us_max = self.latency_us_max.max(latency_us);
    }

    fn stats(&self) -> OperationStats {
        // The histogram answers with the upper end of a bucket, which may lie above every recorded value.
        let quantile = |q| self.latency_us.value_at_quantile(q).min(self.latency_us_max);
        OperationStats {
            ok: self.ok,
            refused: self.refused,
            failed: self.failed,
            unknown: self.unknown + self.pending,
            p50_us: quantile(0.5),
            p95_us: quantile(0.95),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: self.latency_us_max,
        }
    }
}
