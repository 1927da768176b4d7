//! Timers and scheduled events in one queue, ordered by time and, within an instant, by the order of scheduling.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;

use super::net::NetEvent;

/// A timer, for good: the generation tells it from later timers in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerId {
    index: u32,
    generation: u32,
}

/// What is to happen at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Timer(TimerId),
    Net(NetEvent),
}

struct Entry {
    at_ns: u64,
    /// Orders events of the same instant; unique.
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.number).cmp(&(other.at_ns, other.number))
    }
}

#[derive(Default)]
struct Timer {
    generation: u32,
    waker: Option<Waker>,
}

/// The event queue.
#[derive(Default)]
pub(crate) struct Events {
    queue: BinaryHeap<Reverse<Entry>>,
    next_number: u64,
    timers: Vec<Timer>,
    free_timers: Vec<u32>,
    /// Entries in the queue whose timer was cancelled.
    cancelled: usize,
}

/// Below this many cancelled entries a rebuild of the queue is not worth it.
const REBUILD_FROM: usize = 1024;

impl Events {
    /// Schedules an event; times must not lie in the past.
    pub(super) fn schedule(&mut self, at_ns: u64, event: Event) {
        let number = self.next_number;
        self.next_number += 1;
        self.queue.push(Reverse(Entry { at_ns, number, event }));
    }

    pub(crate) fn add_timer(&mut self, at_ns: u64, waker: Waker) -> TimerId {
        let index = self.free_timers.pop().unwrap_or_else(|| {
            self.timers.push(Timer::default());
            (self.timers.len() - 1) as u32
        });
        let timer = &mut self.timers[index as usize];
        timer.waker = Some(waker);
        let id = TimerId { index, generation: timer.generation };
        self.schedule(at_ns, Event::Timer(id));
        id
    }

    /// Replaces who is woken by a timer that has not fired yet; returns the old waker to be dropped.
    pub(crate) fn update_timer(&mut self, id: TimerId, waker: &Waker) -> Option<Waker> {
        match self.timer(id)?.waker.as_mut() {
            Some(current) if !current.will_wake(waker) => Some(std::mem::replace(current, waker.clone())),
            _ => None,
        }
    }

    fn timer(&mut self, id: TimerId) -> Option<&mut Timer> {
        self.timers.get_mut(id.index as usize).filter(|timer| timer.generation == id.generation)
    }

    /// Ends a timer. `None` when it was cancelled before.
    pub(super) fn fire(&mut self, id: TimerId) -> Option<Waker> {
        let Some(timer) = self.timer(id) else {
            self.cancelled -= 1;
            return None;
        };
        timer.generation = timer.generation.wrapping_add(1);
        let waker = timer.waker.take();
        self.free_timers.push(id.index);
        waker
    }

    /// Cancels a timer; its entry stays in the queue until it is due or until too many such entries have gathered.
    pub(super) fn cancel(&mut self, id: TimerId) -> Option<Waker> {
        let timer = self.timer(id)?;
        timer.generation = timer.generation.wrapping_add(1);
        let waker = timer.waker.take();
        self.free_timers.push(id.index);
        self.cancelled += 1;
        if self.cancelled > REBUILD_FROM && self.cancelled > self.queue.len() / 2 {
            self.rebuild();
        }
        waker
    }

    fn rebuild(&mut self) {
        let timers = &self.timers;
        self.queue.retain(|Reverse(entry)| match entry.event {
            Event::Timer(id) => timers[id.index as usize].generation == id.generation,
            Event::Net(_) => true,
        });
        self.queue.shrink_to(self.queue.len() * 2);
        self.cancelled = 0;
    }

    /// When the next event is due. Cancelled timers do not move the clock.
    pub(super) fn next_time(&mut self) -> Option<u64> {
        while let Some(Reverse(entry)) = self.queue.peek() {
            match entry.event {
                Event::Timer(id) if self.timers[id.index as usize].generation != id.generation => {
                    self.queue.pop();
                    self.cancelled -= 1;
                }
                _ => return Some(entry.at_ns),
            }
        }
        None
    }

    /// Takes the next event due at exactly this time.
    pub(super) fn pop_due(&mut self, at_ns: u64) -> Option<(u64, Event)> {
        if self.queue.peek()?.0.at_ns != at_ns {
            return None;
        }
        self.queue.pop().map(|Reverse(entry)| (entry.number, entry.event))
    }

    /// Empties everything; returns the wakers to be dropped.
    pub(super) fn clear(&mut self) -> Vec<Waker> {
        self.queue.clear();
        self.cancelled = 0;
        self.timers.iter_mut().filter_map(|timer| timer.waker.take()).collect()
    }
}
