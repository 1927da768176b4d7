//! Timers and scheduled events in one queue, ordered by time and, within an instant, by the order of scheduling.
//!
//! They stand on a timing wheel. Own code, since no crate keeps this order: the wheels on crates.io (in `tokio-util`,
//! `hierarchical_hash_wheel_timer` and others) tick in milliseconds and leave the order within a tick open.

use std::task::Waker;

use super::net::NetEvent;
use super::slab::Slab;
use super::wheel::{Links, Timed, Wheel};
use crate::common::hosts::HostId;

/// A timer, for good: the number tells it from later events in the same slot of the slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerId {
    index: u32,
    number: u64,
}

/// What is to happen at a moment.
#[derive(Debug)]
pub(super) enum Event {
    Timer(Waker),
    Net(NetEvent),
}

struct Node {
    at_ns: u64,
    /// Counts scheduled events; unique.
    number: u64,
    event: Event,
    /// Whose clock a timer goes by.
    host: HostId,
    /// Where it stands on the wheel.
    links: Links,
}

impl Timed for Node {
    fn at_ns(&self) -> u64 {
        self.at_ns
    }

    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The event queue.
#[derive(Default)]
pub(crate) struct Events {
    nodes: Slab<Node>,
    next_number: u64,
    wheel: Wheel,
}

impl Events {
    /// Schedules an event. What should have happened already happens at the instant of the last event.
    pub(super) fn schedule(&mut self, at_ns: u64, event: Event) {
        self.add(at_ns, event, HostId::DIRECTOR);
    }

    /// Starts a timer that goes by a host's clock.
    pub(crate) fn add_timer(&mut self, at_ns: u64, waker: Waker, host: HostId) -> TimerId {
        self.add(at_ns, Event::Timer(waker), host)
    }

    fn add(&mut self, at_ns: u64, event: Event, host: HostId) -> TimerId {
        let number = self.next_number;
        self.next_number += 1;
        let at_ns = at_ns.max(self.wheel.now_ns());
        let index = self.nodes.insert(Node { at_ns, number, event, host, links: Links::default() });
        self.wheel.append(&mut self.nodes, index, at_ns);
        TimerId { index, number }
    }

    /// Takes an event out of the queue.
    #[inline]
    fn remove(&mut self, index: u32) -> Option<(u64, Event)> {
        let node = self.nodes.remove(index)?;
        self.wheel.unlink(&mut self.nodes, node.at_ns, node.links);
        Some((node.number, node.event))
    }

    fn timer(&mut self, id: TimerId) -> Option<&mut Waker> {
        match self.nodes.get_mut(id.index) {
            Some(Node { number, event: Event::Timer(waker), .. }) if *number == id.number => Some(waker),
            _ => None,
        }
    }

    /// Replaces who is woken by a timer; gives the old waker, to be dropped. `Err` when the timer is over.
    pub(crate) fn update_timer(&mut self, id: TimerId, waker: &Waker) -> Result<Option<Waker>, TimerOver> {
        let current = self.timer(id).ok_or(TimerOver)?;
        Ok((!current.will_wake(waker)).then(|| std::mem::replace(current, waker.clone())))
    }

    /// Cancels a timer. Gives its waker, to be dropped.
    pub(super) fn cancel(&mut self, id: TimerId) -> Option<Waker> {
        self.timer(id)?;
        self.remove(id.index).and_then(into_waker)
    }

    /// Ends all timers that go by a host's clock, since that changes; their owners are to be woken.
    pub(super) fn take_timers_of(&mut self, host: HostId) -> Vec<Waker> {
        let timers = self.nodes.iter().filter_map(|(index, node)| match node.event {
            Event::Timer(_) if node.host == host => Some(TimerId { index, number: node.number }),
            _ => None,
        });
        let mut timers: Vec<TimerId> = timers.collect();
        timers.sort_unstable_by_key(|timer| timer.number);
        timers.into_iter().filter_map(|timer| self.cancel(timer)).collect()
    }

    /// When the next event is due. The queue's time moves there: what is scheduled afterwards is due then or later.
    pub(super) fn next_time(&mut self) -> Option<u64> {
        self.wheel.next_time(&mut self.nodes)
    }

    /// Takes the next event due at exactly this time, which [`Events::next_time`] gave.
    #[inline]
    pub(super) fn pop_due(&mut self, at_ns: u64) -> Option<(u64, Event)> {
        debug_assert_eq!(at_ns, self.wheel.now_ns(), "the wheel stands where the clock does");
        let index = self.wheel.first_due()?;
        self.remove(index)
    }

    /// Empties everything; returns the wakers to be dropped.
    pub(super) fn clear(&mut self) -> Vec<Waker> {
        let indices: Vec<u32> = self.nodes.iter().map(|(index, _)| index).collect();
        indices.into_iter().filter_map(|index| self.remove(index)).filter_map(into_waker).collect()
    }
}

fn into_waker((_, event): (u64, Event)) -> Option<Waker> {
    match event {
        Event::Timer(waker) => Some(waker),
        Event::Net(_) => None,
    }
}

/// A timer has fired, or was ended because its clock changed.
#[derive(Debug)]
pub(crate) struct TimerOver;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Add { in_ns: u64 },
        Cancel(prop::sample::Index),
        Advance,
    }

    fn step() -> impl Strategy<Value = Step> {
        // Distances of every size, and many equal ones.
        let distance = (0..64_u32, any::<u64>()).prop_map(|(bits, value)| value >> bits);
        prop_oneof![
            2 => distance.prop_map(|in_ns| Step::Add { in_ns }),
            3 => (0..5_u64).prop_map(|step| Step::Add { in_ns: step * 1_000 }),
            2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            3 => Just(Step::Advance),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

        /// The model: a map sorted by time and number.
        #[test]
        fn it_behaves_as_a_sorted_map(steps in prop::collection::vec(step(), 0..400)) {
            let (mut events, mut model, mut now_ns) = (Events::default(), BTreeMap::new(), 0_u64);
            for step in steps {
                match step {
                    Step::Add { in_ns } => {
                        let at_ns = now_ns.saturating_add(in_ns);
                        let timer = events.add_timer(at_ns, Waker::noop().clone(), HostId::DIRECTOR);
                        model.insert((at_ns, timer.number), timer);
                    }
                    Step::Cancel(which) => {
                        let key = model.keys().nth(which.index(model.len().max(1))).copied();
                        if let Some(timer) = key.and_then(|key| model.remove(&key)) {
                            prop_assert!(events.cancel(timer).is_some());
                            prop_assert!(events.cancel(timer).is_none());
                            prop_assert!(events.update_timer(timer, Waker::noop()).is_err());
                        }
                    }
                    Step::Advance => {
                        let expected = model.keys().next().map(|key| key.0);
                        prop_assert_eq!(events.next_time(), expected);
                        let Some(next_ns) = expected else { continue };
                        now_ns = next_ns;
                        while let Some((number, _)) = events.pop_due(now_ns) {
                            let first = model.pop_first().map(|(key, _)| key);
                            prop_assert_eq!(first, Some((now_ns, number)));
                        }
                        prop_assert!(model.keys().next().is_none_or(|key| key.0 > now_ns));
                    }
                }
                prop_assert_eq!(events.nodes.iter().count(), model.len());
            }
            prop_assert_eq!(events.clear().len(), model.len());
            prop_assert_eq!(events.next_time(), None);
        }
    }
}
