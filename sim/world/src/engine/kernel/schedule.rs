//! Which of the ready tasks runs next, by the strategy.
//!
//! One of them is PCT: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic
//! Guarantees of Finding Bugs", ASPLOS 2010. A task is the paper's thread, a poll its step. Every task has a random
//! priority and the ready task of the highest one runs; at `depth - 1` steps, drawn uniformly, the task that runs
//! falls below all initial priorities. A bug that needs `d` ordering constraints among `n` tasks and `k` steps is
//! found by a run with probability at least `1 / (n · k^(d-1))`.
//!
//! Two things differ here. Only tasks that are ready in the same instant compete: what simulated time orders, no
//! scheduler reorders. And strict priorities let tasks that wake themselves or each other in circles starve the rest
//! for ever, so a task that is polled [`SPIN_LIMIT`] times within one instant falls below all others; up to there
//! the paper's guarantee stands.

use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::executor::TaskId;
use crate::choice::Source;
use crate::sim::Strategy;

/// Polls of a task within one instant before it is taken for one that spins.
const SPIN_LIMIT: u32 = 256;

/// Room that an empty ready set keeps; a burst of ready tasks does not hold memory for ever.
const KEPT: usize = 4096;

/// Initial priorities of PCT lie above this; those of change points just above [`SPINNERS`], those of tasks that
/// spin below.
const INITIAL: u64 = 1 << 63;
const SPINNERS: u64 = 1 << 62;

/// The ready tasks.
#[expect(clippy::large_enum_variant, reason = "there is one in a simulation, and it is asked at every step")]
pub(super) enum Ready {
    Fifo(VecDeque<TaskId>),
    Random(Vec<TaskId>, Source),
    RandomWithin(Box<RandomWithin>),
    Pct(Box<Pct>),
}

impl Ready {
    pub(super) fn new(strategy: Strategy, mut source: Source) -> Ready {
        match strategy {
            Strategy::Fifo => Ready::Fifo(VecDeque::new()),
            Strategy::Random => Ready::Random(Vec::new(), source),
            Strategy::RandomWithin { from, until } => {
                let ns = |moment: Duration| u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX);
                let within = ns(from)..ns(until);
                Ready::RandomWithin(Box::new(RandomWithin { ready: VecDeque::new(), source, within }))
            }
            Strategy::Pct { depth, steps } => {
                let mut change_points: Vec<(u64, u64)> = (1..u64::from(depth))
                    .map(|lower| (1 + source.below(steps.max(1)), SPINNERS + u64::from(depth) - lower))
                    .collect();
                // The next one last, to be taken off the end.
                change_points.sort_unstable_by(|a, b| b.cmp(a));
                Ready::Pct(Box::new(Pct { source, change_points, ..Pct::default() }))
            }
        }
    }

    /// Learns of a new task; it is not ready yet.
    pub(super) fn admit(&mut self, task: TaskId) {
        if let Ready::Pct(pct) = self {
            pct.admit(task);
        }
    }

    #[inline]
    pub(super) fn push(&mut self, task: TaskId) {
        match self {
            Ready::Fifo(queue) => queue.push_back(task),
            Ready::Random(ready, _) => ready.push(task),
            Ready::RandomWithin(some) => some.ready.push_back(task),
            Ready::Pct(pct) => pct.push(task),
        }
    }

    /// Takes the task to run next; also says how many there were to choose from.
    #[inline]
    pub(super) fn choose(&mut self, now_ns: u64) -> Option<(TaskId, u32)> {
        match self {
            Ready::Fifo(queue) => take(queue, |_| 0),
            Ready::Random(ready, source) => {
                let choices = ready.len() as u32;
                let index = match choices {
                    0 => {
                        if ready.capacity() > KEPT {
                            ready.shrink_to(KEPT);
                        }
                        return None;
                    }
                    1 => 0,
                    _ => source.index(choices),
                };
                Some((ready.swap_remove(index as usize), choices))
            }
            Ready::RandomWithin(some) => {
                let RandomWithin { ready, source, within } = &mut **some;
                take(ready, |choices| if within.contains(&now_ns) { source.index(choices) } else { 0 })
            }
            Ready::Pct(pct) => pct.choose(now_ns),
        }
    }

    /// Takes out the tasks for which `wanted` holds, in a fixed order.
    pub(super) fn extract(&mut self, mut wanted: impl FnMut(TaskId) -> bool) -> Vec<TaskId> {
        let mut out = Vec::new();
        let mut keep = |task: TaskId| {
            let out_it_goes = wanted(task);
            if out_it_goes {
                out.push(task);
            }
            !out_it_goes
        };
        match self {
            Ready::Fifo(queue) => queue.retain(|task| keep(*task)),
            Ready::Random(ready, _) => ready.retain(|task| keep(*task)),
            Ready::RandomWithin(some) => some.ready.retain(|task| keep(*task)),
            Ready::Pct(pct) => {
                let mut entries = std::mem::take(&mut pct.ready).into_sorted_vec();
                entries.retain(|entry| keep(entry.task()));
                pct.ready = entries.into();
            }
        }
        out
    }
}

/// Any ready task within a time, the one that has been ready longest before and after it.
pub(super) struct RandomWithin {
    /// In the order in which they became ready.
    ready: VecDeque<TaskId>,
    source: Source,
    /// Simulated nanoseconds since the start.
    within: Range<u64>,
}

/// Takes a task out of a queue, and says how many there were; `index` says which one when there are several.
#[inline]
fn take(queue: &mut VecDeque<TaskId>, index: impl FnOnce(u32) -> u32) -> Option<(TaskId, u32)> {
    let choices = queue.len() as u32;
    if choices == 0 && queue.capacity() > KEPT {
        queue.shrink_to(KEPT);
    }
    let index = if choices > 1 { index(choices) } else { 0 };
    queue.remove(index as usize).map(|task| (task, choices))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    priority: u64,
    index: u32,
    generation: u32,
}

impl Entry {
    fn task(self) -> TaskId {
        TaskId { index: self.index, generation: self.generation }
    }
}

#[derive(Default, Clone, Copy)]
struct Standing {
    priority: u64,
    /// The last instant in which it was polled, and how often then.
    instant_ns: u64,
    polls: u32,
}

#[derive(Default)]
pub(super) struct Pct {
    source: Source,
    ready: BinaryHeap<Entry>,
    /// By index of the task's slot; a new task overwrites.
    standings: Vec<Standing>,
    steps: u64,
    /// (step, priority of the task that runs then), descending.
    change_points: Vec<(u64, u64)>,
    spinners: u64,
}

impl Pct {
    fn admit(&mut self, task: TaskId) {
        let index = task.index as usize;
        if self.standings.len() <= index {
            self.standings.resize(index + 1, Standing::default());
        }
        let priority = INITIAL | self.source.number();
        self.standings[index] = Standing { priority, ..Standing::default() };
    }

    fn push(&mut self, task: TaskId) {
        let priority = self.standings[task.index as usize].priority;
        self.ready.push(Entry { priority, index: task.index, generation: task.generation });
    }

    fn choose(&mut self, now_ns: u64) -> Option<(TaskId, u32)> {
        let choices = self.ready.len() as u32;
        if choices == 0 && self.ready.capacity() > KEPT {
            self.ready.shrink_to(KEPT);
        }
        let task = self.ready.pop()?.task();
        self.steps += 1;
        let standing = &mut self.standings[task.index as usize];
        // It is not in the heap now: its new priority holds from the next time on that it is ready.
        while let Some((_, priority)) = self.change_points.pop_if(|(step, _)| *step <= self.steps) {
            standing.priority = priority;
        }
        if standing.instant_ns != now_ns {
            (standing.instant_ns, standing.polls) = (now_ns, 0);
        }
        standing.polls += 1;
        if standing.polls == SPIN_LIMIT {
            standing.polls = 0;
            self.spinners += 1;
            standing.priority = SPINNERS - self.spinners;
        }
        Some((task, choices))
    }
}
