//! Faults drawn by seed instead of written down: `[swarm]`.

use std::time::Duration;

use crate::scenario::{Fault, FaultKind};

/// Which faults to draw, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm {
    /// The kinds to choose from; at least one.
    pub faults: Vec<FaultKind>,
    /// The fewest faults.
    pub count_min: u32,
    /// The most faults, not less than the fewest.
    pub count_max: u32,
}

impl Swarm {
    /// The most faults that a swarm may ask for.
    pub const COUNT_MAX: u32 = 1000;

    /// Draws the faults of one run, ordered by their start.
    ///
    /// Each fault strikes one of `hosts`, begins within the first 9/10 of the load and lasts from a 50th to a 5th of it,
    /// but never beyond its end. A fault that would strike a host that is still down is left out, so there may be
    /// fewer than [`Self::count_min`]. `draw(n)` returns a number below `n` from the run's own source of randomness;
    /// the same numbers give the same faults.
    pub fn draw(&self, load: Duration, hosts: &[String], mut draw: impl FnMut(u64) -> u64) -> Vec<Fault> {
        let mut below = |n: u64| if n == 0 { 0 } else { draw(n).min(n - 1) };
        let load_us = u64::try_from(load.as_micros()).unwrap_or(u64::MAX);
        let count = u64::from(self.count_min) + below(u64::from(self.count_max - self.count_min) + 1);
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..count {
            let Some(&kind) = self.faults.get(below(self.faults.len() as u64) as usize) else { break };
            let Some(host) = hosts.get(below(hosts.len() as u64) as usize) else { break };
            let at_us = below(load_us / 10 * 9);
            let lasts_us = (load_us / 50 + below(load_us / 5 - load_us / 50)).min(load_us - at_us).max(1);
            let fault = Fault {
                at: Duration::from_micros(at_us),
                for_: Some(Duration::from_micros(lasts_us)),
                kind,
                on: vec![host.clone()],
            };
            if !faults.iter().any(|earlier| overlap(earlier, &fault, load)) {
                faults.push(fault);
            }
        }
        faults.sort_by_key(|fault| fault.at);
        faults
    }
}

/// Whether two faults strike the same host at the same time.
pub(crate) fn overlap(a: &Fault, b: &Fault, load: Duration) -> bool {
    a.at < b.until(load) && b.at < a.until(load) && a.on.iter().any(|host| b.on.contains(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_give_the_same_faults_within_the_load() {
        let swarm = Swarm { faults: vec![FaultKind::Crash], count_min: 2, count_max: 9 };
        let hosts = ["order-1".to_owned(), "order-2".to_owned(), "seat-1".to_owned()];
        let load = Duration::from_secs(60);
        for seed in 0..200_u64 {
            let drawn = |mut state: u64| {
                swarm.draw(load, &hosts, move |n| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) % n
                })
            };
            let faults = drawn(seed);
            assert_eq!(faults, drawn(seed));
            assert!(!faults.is_empty() && faults.len() <= 9);
            assert!(faults.is_sorted_by_key(|fault| fault.at));
            for (index, fault) in faults.iter().enumerate() {
                assert!(fault.at + fault.for_.unwrap() <= load && fault.until(load) > fault.at);
                assert!(faults[..index].iter().all(|earlier| !overlap(earlier, fault, load)));
            }
        }
    }

    #[test]
    fn without_hosts_nothing_can_be_struck() {
        let swarm = Swarm { faults: vec![FaultKind::Crash], count_min: 1, count_max: 1 };
        assert!(swarm.draw(Duration::from_secs(1), &[], |_| 0).is_empty());
        assert_eq!(swarm.draw(Duration::from_nanos(1), &["a".into()], |_| 7).len(), 1);
    }
}
