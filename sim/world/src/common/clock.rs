//! A host's clocks: one oscillator that may run fast or slow, and a wall clock that may be set.
//!
//! The monotonic clock counts the oscillator's ticks, and goes on while the host is paused, crashed or down: nothing
//! that could see it restart survives a crash. The wall clock shows the same ticks plus an offset. All in integers,
//! so that every machine computes the same.

const PPB: i128 = 1_000_000_000;

/// How far a clock may run fast or slow, in parts per billion: half or one and a half times true speed.
pub(crate) const DRIFT_MAX_PPB: i32 = 500_000_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    drift_ppb: i32,
    /// At this true time the monotonic clock showed `base_monotonic_ns`; it has drifted evenly since.
    base_true_ns: u64,
    base_monotonic_ns: u64,
    /// Wall clock minus monotonic clock, beside the fixed distance of their starts.
    wall_offset_ns: i64,
}

impl Clock {
    pub(crate) fn monotonic_ns(&self, now_ns: u64) -> u64 {
        let passed_ns = i128::from(now_ns.saturating_sub(self.base_true_ns));
        let ticks = passed_ns * (PPB + i128::from(self.drift_ppb)) / PPB;
        self.base_monotonic_ns.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    /// The first moment of the true time at which the monotonic clock shows this or more.
    pub(crate) fn true_ns(&self, monotonic_ns: u64) -> u64 {
        let ticks = i128::from(monotonic_ns.saturating_sub(self.base_monotonic_ns));
        let rate = PPB + i128::from(self.drift_ppb);
        let passed_ns = (ticks * PPB + rate - 1) / rate;
        self.base_true_ns.saturating_add(u64::try_from(passed_ns).unwrap_or(u64::MAX))
    }

    pub(crate) fn wall_ns(&self, now_ns: u64) -> i64 {
        let monotonic_ns = i64::try_from(self.monotonic_ns(now_ns)).unwrap_or(i64::MAX);
        monotonic_ns.saturating_add(self.wall_offset_ns)
    }

    /// From now on the oscillator runs this much fast or slow.
    pub(crate) fn set_drift(&mut self, now_ns: u64, drift_ppb: i32) {
        self.base_monotonic_ns = self.monotonic_ns(now_ns);
        self.base_true_ns = now_ns;
        self.drift_ppb = drift_ppb.clamp(-DRIFT_MAX_PPB, DRIFT_MAX_PPB);
    }

    /// Sets the wall clock to this distance from the true time.
    pub(crate) fn set_skew(&mut self, now_ns: u64, skew_ns: i64) {
        let off_ns = self.wall_ns(now_ns).saturating_sub(i64::try_from(now_ns).unwrap_or(i64::MAX));
        self.jump(skew_ns.saturating_sub(off_ns));
    }

    /// Moves the wall clock.
    pub(crate) fn jump(&mut self, by_ns: i64) {
        self.wall_offset_ns = self.wall_offset_ns.saturating_add(by_ns);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_monotonic_clock_never_goes_back_and_deadlines_are_met_to_the_nanosecond(
            drifts in prop::collection::vec((any::<i32>(), 0..1_u64 << 50), 1..10),
            waits in prop::collection::vec(0..1_u64 << 50, 10),
        ) {
            let (mut clock, mut now_ns, mut shown) = (Clock::default(), 0, 0);
            for ((drift_ppb, passed_ns), wait_ns) in drifts.into_iter().zip(waits) {
                now_ns += passed_ns;
                clock.set_drift(now_ns, drift_ppb);
                prop_assert!(clock.monotonic_ns(now_ns) >= shown);
                shown = clock.monotonic_ns(now_ns);
                let due_ns = clock.true_ns(shown + wait_ns);
                prop_assert!(clock.monotonic_ns(due_ns) >= shown + wait_ns);
                prop_assert!(wait_ns == 0 || clock.monotonic_ns(due_ns - 1) < shown + wait_ns);
            }
        }

        #[test]
        fn a_skew_is_the_distance_from_the_true_time(
            now_ns in 0..1_u64 << 60, drift_ppb: i32, jump_ns in -(1_i64 << 60)..1 << 60, skew_ns in -(1_i64 << 60)..1 << 60,
        ) {
            let mut clock = Clock::default();
            clock.set_drift(now_ns / 3, drift_ppb);
            clock.jump(jump_ns);
            clock.set_skew(now_ns, skew_ns);
            prop_assert_eq!(clock.wall_ns(now_ns) - now_ns as i64, skew_ns);
        }
    }
}
