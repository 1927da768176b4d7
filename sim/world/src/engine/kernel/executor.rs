//! Tasks: where they live, which are ready, and how one is polled.

use std::collections::BTreeMap;
use std::panic::Location;
use std::task::{Context, Poll};

use super::schedule::Ready;
use super::slab::Slab;
use super::waker;
use crate::choice::Source;
use crate::common::BoxFuture;
use crate::common::hosts::HostId;
use crate::sim::Strategy;

/// A task, for good: the generation tells it from other tasks in the same slot. It is unique among the last 2³² tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// Whose a task is and where in the source it was started: its name in reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) host: HostId,
    pub(crate) site: &'static Location<'static>,
}

struct Slot {
    generation: u32,
    origin: Origin,
    /// In the ready set already, or held back?
    queued: bool,
    state: State,
}

enum State {
    Waiting(BoxFuture),
    /// Its future is out, being polled.
    Polling,
    /// Removed while being polled: the future is dropped when the poll returns.
    Removed,
}

/// How one poll of a task ended.
pub(super) enum PollEnd {
    Pending,
    Completed,
    Panicked(String),
}

/// All tasks of a simulation.
pub(crate) struct Tasks {
    slots: Slab<Slot>,
    next_generation: u32,
    ready: Ready,
    /// By paused host, the tasks that would be ready, in the order in which they became so.
    held: BTreeMap<HostId, Vec<TaskId>>,
}

impl Tasks {
    pub(super) fn new(strategy: Strategy, scheduler: Source) -> Tasks {
        Tasks {
            slots: Slab::default(),
            next_generation: 0,
            ready: Ready::new(strategy, scheduler),
            held: BTreeMap::new(),
        }
    }

    pub(super) fn insert(&mut self, origin: Origin, future: BoxFuture) -> TaskId {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let index =
            self.slots.insert(Slot { generation, origin, queued: true, state: State::Waiting(future) });
        let task = TaskId { index, generation };
        self.ready.admit(task);
        self.enqueue(task, origin.host);
        task
    }

    fn enqueue(&mut self, task: TaskId, host: HostId) {
        if !self.held.is_empty()
            && let Some(held) = self.held.get_mut(&host)
        {
            held.push(task);
        } else {
            self.ready.push(task);
        }
    }

    fn slot(&mut self, task: TaskId) -> Option<&mut Slot> {
        self.slots.get_mut(task.index).filter(|slot| slot.generation == task.generation)
    }

    pub(super) fn exists(&self, task: TaskId) -> bool {
        self.slots
            .get(task.index)
            .is_some_and(|slot| slot.generation == task.generation && !matches!(slot.state, State::Removed))
    }

    pub(super) fn wake(&mut self, task: TaskId) {
        let Some(slot) = self.slot(task) else { return };
        if !std::mem::replace(&mut slot.queued, true) {
            let host = slot.origin.host;
            self.enqueue(task, host);
        }
    }

    /// Keeps the tasks of a host from running; what wakes them from now on takes effect when it is resumed.
    pub(super) fn hold(&mut self, host: HostId) {
        let slots = &self.slots;
        let ready = self.ready.extract(|task| {
            let slot = slots.get(task.index).filter(|slot| slot.generation == task.generation);
            slot.is_some_and(|slot| slot.origin.host == host)
        });
        self.held.entry(host).or_default().extend(ready);
    }

    /// Lets the tasks of a paused host run on.
    pub(super) fn release_held(&mut self, host: HostId) {
        for task in self.held.remove(&host).unwrap_or_default() {
            if self.exists(task) {
                self.ready.push(task);
            }
        }
    }

    /// Takes the task to run next; also says how many there were to choose from.
    pub(super) fn choose(&mut self, now_ns: u64) -> Option<(TaskId, u32)> {
        self.ready.choose(now_ns)
    }

    /// Hands the future out for a poll. `None` for a task that has ended meanwhile.
    pub(super) fn begin_poll(&mut self, task: TaskId) -> Option<(Origin, BoxFuture)> {
        let slot = self.slot(task)?;
        slot.queued = false;
        match std::mem::replace(&mut slot.state, State::Polling) {
            State::Waiting(future) => Some((slot.origin, future)),
            other => {
                slot.state = other;
                None
            }
        }
    }

    /// Takes the future back, or returns it to be dropped when the task has ended.
    pub(super) fn end_poll(&mut self, task: TaskId, future: BoxFuture, pending: bool) -> Option<BoxFuture> {
        if let Some(slot) = self.slot(task) {
            if pending && matches!(slot.state, State::Polling) {
                slot.state = State::Waiting(future);
                return None;
            }
            self.slots.remove(task.index);
        }
        Some(future)
    }

    /// Ends a task; returns its origin and future unless the task is being polled at this moment.
    pub(super) fn remove(&mut self, task: TaskId) -> Option<(Origin, BoxFuture)> {
        let slot = self.slot(task)?;
        match std::mem::replace(&mut slot.state, State::Removed) {
            State::Waiting(future) => {
                let origin = slot.origin;
                self.slots.remove(task.index);
                Some((origin, future))
            }
            State::Polling | State::Removed => None,
        }
    }

    pub(super) fn of_host(&self, host: HostId) -> Vec<TaskId> {
        self.select(|slot| slot.origin.host == host)
    }

    pub(super) fn all(&self) -> Vec<TaskId> {
        self.select(|_| true)
    }

    pub(super) fn by_age(&self) -> Vec<TaskId> {
        let mut tasks = self.all();
        tasks.sort_unstable_by_key(|task| task.generation);
        tasks
    }

    /// Is it ready, or would be but for its host being paused?
    pub(super) fn is_queued(&self, task: TaskId) -> bool {
        self.slots.get(task.index).is_some_and(|slot| slot.generation == task.generation && slot.queued)
    }

    fn select(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<TaskId> {
        let live = self.slots.iter().filter(|(_, slot)| wanted(slot));
        live.map(|(index, slot)| TaskId { index, generation: slot.generation }).collect()
    }
}

/// Polls a future once; a panic ends the task, not the simulation.
#[inline]
pub(super) fn poll_guarded(future: &mut BoxFuture, task: TaskId) -> PollEnd {
    let waker = waker::of(task);
    let mut context = Context::from_waker(&waker);
    match crate::sim::catch_task_panic(|| future.as_mut().poll(&mut context)) {
        Ok(Poll::Pending) => PollEnd::Pending,
        Ok(Poll::Ready(())) => PollEnd::Completed,
        Err(message) => PollEnd::Panicked(message),
    }
}
