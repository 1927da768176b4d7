//! Tasks and the seeded choice among those that are ready.

use std::task::{Context, Poll};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::hosts::HostId;
use super::{BoxFuture, waker};

/// A task, for good: the generation tells it from later tasks in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

struct Slot {
    generation: u32,
    host: HostId,
    /// In the ready set already?
    queued: bool,
    state: State,
}

enum State {
    Free,
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
    slots: Vec<Slot>,
    free: Vec<u32>,
    ready: Vec<TaskId>,
    scheduler: ChaCha8Rng,
}

impl Tasks {
    pub(super) fn new(scheduler: ChaCha8Rng) -> Tasks {
        Tasks { slots: Vec::new(), free: Vec::new(), ready: Vec::new(), scheduler }
    }

    pub(super) fn insert(&mut self, host: HostId, future: BoxFuture) -> TaskId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, host, queued: false, state: State::Free });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.host = host;
        slot.queued = true;
        slot.state = State::Waiting(future);
        let task = TaskId { index, generation: slot.generation };
        self.ready.push(task);
        task
    }

    fn slot(&mut self, task: TaskId) -> Option<&mut Slot> {
        self.slots.get_mut(task.index as usize).filter(|slot| slot.generation == task.generation)
    }

    pub(super) fn exists(&self, task: TaskId) -> bool {
        self.slots.get(task.index as usize).is_some_and(|slot| {
            slot.generation == task.generation && !matches!(slot.state, State::Free | State::Removed)
        })
    }

    pub(super) fn wake(&mut self, task: TaskId) {
        if let Some(slot) = self.slot(task)
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push(task);
        }
    }

    /// Takes one ready task at random (uniformly); also says how many there were to choose from.
    pub(super) fn choose(&mut self) -> Option<(TaskId, u32)> {
        let choices = self.ready.len();
        let index = match choices {
            0 => return None,
            1 => 0,
            _ => ((u64::from(self.scheduler.next_u32()) * choices as u64) >> 32) as usize,
        };
        Some((self.ready.swap_remove(index), choices as u32))
    }

    /// Hands the future out for a poll. `None` for a task that has ended meanwhile.
    pub(super) fn begin_poll(&mut self, task: TaskId) -> Option<(HostId, BoxFuture)> {
        let slot = self.slot(task)?;
        slot.queued = false;
        match std::mem::replace(&mut slot.state, State::Polling) {
            State::Waiting(future) => Some((slot.host, future)),
            other => {
                slot.state = other;
                None
            }
        }
    }

    /// Takes the future back, or returns it to be dropped when the task has ended.
    pub(super) fn end_poll(&mut self, task: TaskId, future: BoxFuture, pending: bool) -> Option<BoxFuture> {
        let slot = self.slot(task)?;
        if pending && matches!(slot.state, State::Polling) {
            slot.state = State::Waiting(future);
            return None;
        }
        self.release(task.index);
        Some(future)
    }

    /// Ends a task; returns its host and future unless the task is being polled at this moment.
    pub(super) fn remove(&mut self, task: TaskId) -> Option<(HostId, BoxFuture)> {
        let slot = self.slot(task)?;
        match std::mem::replace(&mut slot.state, State::Removed) {
            State::Waiting(future) => {
                let host = slot.host;
                self.release(task.index);
                Some((host, future))
            }
            State::Free => {
                slot.state = State::Free;
                None
            }
            State::Polling | State::Removed => None,
        }
    }

    fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.state = State::Free;
        slot.queued = false;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
    }

    pub(super) fn of_host(&self, host: HostId) -> Vec<TaskId> {
        self.select(|slot| slot.host == host)
    }

    pub(super) fn all(&self) -> Vec<TaskId> {
        self.select(|_| true)
    }

    fn select(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<TaskId> {
        let live = self.slots.iter().enumerate();
        live.filter(|(_, slot)| !matches!(slot.state, State::Free) && wanted(slot))
            .map(|(index, slot)| TaskId { index: index as u32, generation: slot.generation })
            .collect()
    }
}

/// Polls a future once; a panic ends the task, not the simulation.
pub(super) fn poll_guarded(future: &mut BoxFuture, task: TaskId) -> PollEnd {
    let waker = waker::of(task);
    let mut context = Context::from_waker(&waker);
    match crate::sim::catch_task_panic(|| future.as_mut().poll(&mut context)) {
        Ok(Poll::Pending) => PollEnd::Pending,
        Ok(Poll::Ready(())) => PollEnd::Completed,
        Err(message) => PollEnd::Panicked(message),
    }
}
