//! Timers and scheduled events in one queue, ordered by time and, within an instant, by the order of scheduling.
//!
//! They stand on a timing wheel. Own code, since no crate keeps this order: the wheels on crates.io (in `tokio-util`,
//! `hierarchical_hash_wheel_timer` and others) tick in milliseconds and leave the order within a tick open.

use std::task::Waker;

use super::net::NetEvent;
use super::slab::Slab;
use super::wheel::{Entry, Wheel};
use crate::common::hosts::HostId;

/// Fewer entries of cancelled timers than this are left where they are.
const PURGE_FROM: usize = 1024;

/// A timer, for good: the number tells it from later timers in the same slot of the slab.
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

/// The same, as it stands on the wheel.
#[derive(Debug, Clone, Copy)]
enum Scheduled {
    Timer { index: u32 },
    Net(NetEvent),
}

struct Timer {
    number: u64,
    waker: Waker,
    /// Whose clock it goes by.
    host: HostId,
}

/// The event queue.
#[derive(Default)]
pub(crate) struct Events {
    wheel: Wheel<Scheduled>,
    timers: Slab<Timer>,
    next_number: u64,
    /// Events on the wheel, without the timers that were cancelled.
    live: usize,
}

/// Has a scheduled timer been cancelled? Its entry stays on the wheel until it is met or purged.
#[inline]
fn is_live(timers: &Slab<Timer>, entry: &Entry<Scheduled>) -> bool {
    match entry.what {
        Scheduled::Timer { index } => timers.get(index).is_some_and(|timer| timer.number == entry.number),
        Scheduled::Net(_) => true,
    }
}

impl Events {
    /// Schedules an event. What should have happened already happens at the instant of the last event.
    #[inline]
    pub(super) fn schedule(&mut self, at_ns: u64, event: NetEvent) {
        self.add(at_ns, Scheduled::Net(event));
    }

    /// Starts a timer that goes by a host's clock.
    #[inline]
    pub(crate) fn add_timer(&mut self, at_ns: u64, waker: Waker, host: HostId) -> TimerId {
        let number = self.next_number;
        let index = self.timers.insert(Timer { number, waker, host });
        self.add(at_ns, Scheduled::Timer { index });
        TimerId { index, number }
    }

    #[inline]
    fn add(&mut self, at_ns: u64, what: Scheduled) {
        let number = self.next_number;
        self.next_number += 1;
        self.live += 1;
        self.wheel.add(Entry { at_ns: at_ns.max(self.wheel.now_ns()), number, what });
    }

    fn timer(&mut self, id: TimerId) -> Option<&mut Timer> {
        self.timers.get_mut(id.index).filter(|timer| timer.number == id.number)
    }

    /// Replaces who is woken by a timer; gives the old waker, to be dropped. `Err` when the timer is over.
    pub(crate) fn update_timer(&mut self, id: TimerId, waker: &Waker) -> Result<Option<Waker>, TimerOver> {
        let current = &mut self.timer(id).ok_or(TimerOver)?.waker;
        Ok((!current.will_wake(waker)).then(|| std::mem::replace(current, waker.clone())))
    }

    /// Cancels a timer. Gives its waker, to be dropped.
    pub(super) fn cancel(&mut self, id: TimerId) -> Option<Waker> {
        self.timer(id)?;
        let timer = self.timers.remove(id.index)?;
        self.live -= 1;
        let cancelled = self.wheel.count() - self.live;
        if cancelled > PURGE_FROM && cancelled > self.live {
            let timers = &self.timers;
            self.wheel.purge(|entry| is_live(timers, entry));
        }
        Some(timer.waker)
    }

    /// Ends all timers that go by a host's clock, since that changes; their owners are to be woken.
    pub(super) fn take_timers_of(&mut self, host: HostId) -> Vec<Waker> {
        let timers = self.timers.iter().filter(|(_, timer)| timer.host == host);
        let mut timers: Vec<TimerId> =
            timers.map(|(index, timer)| TimerId { index, number: timer.number }).collect();
        timers.sort_unstable_by_key(|timer| timer.number);
        timers.into_iter().filter_map(|timer| self.cancel(timer)).collect()
    }

    /// When the next event is due. The queue's time moves there: what is scheduled afterwards is due then or later.
    pub(super) fn next_time(&mut self) -> Option<u64> {
        let (timers, all_live) = (&self.timers, self.wheel.count() == self.live);
        self.wheel.next_time(|entry| all_live || is_live(timers, entry))
    }

    /// Takes the next event due at exactly this time, which [`Events::next_time`] gave.
    #[inline]
    pub(super) fn pop_due(&mut self, at_ns: u64) -> Option<(u64, Event)> {
        debug_assert_eq!(at_ns, self.wheel.now_ns(), "the wheel stands where the clock does");
        let (timers, all_live) = (&self.timers, self.wheel.count() == self.live);
        let entry = self.wheel.pop_due(|entry| all_live || is_live(timers, entry))?;
        self.live -= 1;
        let event = match entry.what {
            Scheduled::Timer { index } => Event::Timer(self.timers.remove(index)?.waker),
            Scheduled::Net(event) => Event::Net(event),
        };
        Some((entry.number, event))
    }

    /// Empties everything; returns the wakers to be dropped.
    pub(super) fn clear(&mut self) -> Vec<Waker> {
        self.wheel = Wheel::default();
        self.live = 0;
        let indices: Vec<u32> = self.timers.iter().map(|(index, _)| index).collect();
        indices.into_iter().filter_map(|index| self.timers.remove(index)).map(|timer| timer.waker).collect()
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
                            // What is due now may start what is due now, too.
                            if number % 7 == 3 {
                                let at_ns = now_ns.saturating_add(number % 2);
                                let timer = events.add_timer(at_ns, Waker::noop().clone(), HostId::DIRECTOR);
                                model.insert((at_ns, timer.number), timer);
                            }
                        }
                        prop_assert!(model.keys().next().is_none_or(|key| key.0 > now_ns));
                    }
                }
                prop_assert_eq!(events.live, model.len());
                prop_assert_eq!(events.timers.iter().count(), model.len());
            }
            let timers = &events.timers;
            events.wheel.purge(|entry| is_live(timers, entry));
            prop_assert_eq!(events.wheel.count(), model.len());
            prop_assert_eq!(events.next_time(), model.keys().next().map(|key| key.0));
            prop_assert_eq!(events.clear().len(), model.len());
            prop_assert_eq!(events.next_time(), None);
        }
    }

    /// The first two events share a slot of some days: all others fall between them.
    #[test]
    fn many_events_between_two_that_are_near_keep_their_order() {
        let (mut events, mut model) = (Events::default(), BTreeMap::new());
        let add = |events: &mut Events, model: &mut BTreeMap<_, _>, at_ns: u64| {
            let timer = events.add_timer(at_ns, Waker::noop().clone(), HostId::DIRECTOR);
            model.insert((at_ns, timer.number), timer);
        };
        add(&mut events, &mut model, 1 << 50);
        add(&mut events, &mut model, (1 << 50) + (1 << 49));
        let mut random = crate::common::generator(1, "wheel");
        while let Some(now_ns) = events.next_time() {
            while let Some((number, _)) = events.pop_due(now_ns) {
                assert_eq!(model.pop_first().map(|(key, _)| key), Some((now_ns, number)));
                for _ in 0..if number < 20_000 { 1 + number % 3 } else { 0 } {
                    let at_ns = now_ns + random.below(1 << (number % 48));
                    add(&mut events, &mut model, at_ns);
                }
            }
            assert!(model.keys().next().is_none_or(|key| key.0 > now_ns), "all of an instant at once");
        }
        assert!(model.is_empty());
    }

    #[test]
    fn cancelled_timers_take_no_room() {
        let mut events = Events::default();
        for number in 0..1_000_000_u64 {
            let timer = events.add_timer(number * 7_919, Waker::noop().clone(), HostId::DIRECTOR);
            events.cancel(timer);
            assert!(events.wheel.count() <= PURGE_FROM + 1);
        }
        assert_eq!((events.timers.iter().count(), events.next_time()), (0, None));
    }
}
