//! Faults drawn by seed instead of written down: `[swarm]`.

use std::time::Duration;

use crate::bandwidth::Bandwidth;
use crate::duration::Jump;
use crate::fault::{Direction, Fault, FaultKind, HostEffect, LinkEffect, Links, Side, Strike};

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
    /// Each fault strikes one of `hosts`, or the links between it and all others, begins within the first 9/10 of the
    /// load and lasts from a 50th to a 5th of it, but never beyond its end. A fault that another one excludes, such as
    /// the pause of a host that is down, is left out, so there may be fewer than [`Self::count_min`]. How badly each
    /// kind strikes stands in the crate's `README.md`. `draw(n)` returns a number below `n` from the run's own source of
    /// randomness; the same numbers give the same faults.
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
                for_: (!kind.is_momentary()).then_some(Duration::from_micros(lasts_us)),
                strike: strike(kind, host, &mut below),
            };
            if !faults.iter().any(|earlier| earlier.excludes(&fault, load).is_some()) {
                faults.push(fault);
            }
        }
        faults.sort_by_key(|fault| fault.at);
        faults
    }
}

/// A strike of this kind at one host, its strength drawn.
fn strike(kind: FaultKind, host: &str, below: &mut impl FnMut(u64) -> u64) -> Strike {
    let host = || vec![host.to_owned()];
    let on_host = |effect| Strike::Hosts { on: host(), effect };
    let on_links = |effect, direction| {
        let links = Links::Between { sides: vec![Side::Hosts(host()), Side::Rest], direction };
        Strike::Links { links, effect }
    };
    let both = Direction::Both;
    match kind {
        FaultKind::Kill => on_host(HostEffect::Kill),
        FaultKind::Crash => on_host(HostEffect::Crash),
        FaultKind::Pause => on_host(HostEffect::Pause),
        FaultKind::ClockJump => {
            let (back, by) = (below(2) == 0, Duration::from_millis(100 + below(9_901)));
            on_host(HostEffect::ClockJump { by: if back { Jump::Back(by) } else { Jump::Forward(by) } })
        }
        FaultKind::ClockDrift => {
            let (slow, ppm) = (below(2) == 0, 100 + below(9_901) as i32);
            on_host(HostEffect::ClockDrift { ppm: if slow { -ppm } else { ppm } })
        }
        FaultKind::SlowDisk => on_host(HostEffect::SlowDisk { slowness: 2 << below(10) }),
        FaultKind::Partition => {
            let direction = if below(4) == 0 { Direction::OneWay } else { both };
            on_links(LinkEffect::Partition, direction)
        }
        FaultKind::Hold => on_links(LinkEffect::Hold, both),
        FaultKind::SlowLink => {
            on_links(LinkEffect::Slow { latency: Duration::from_millis(10 + below(491)) }, both)
        }
        FaultKind::LossyLink => on_links(LinkEffect::Lossy { loss: (1 + below(20)) as f64 / 100.0 }, both),
        FaultKind::NarrowLink => {
            on_links(LinkEffect::Narrow { bandwidth: Bandwidth::kbits(64 << below(8)) }, both)
        }
        FaultKind::ResetConnections => on_links(LinkEffect::ResetConnections, both),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Numbers that depend on the seed only.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        }
    }

    fn hosts() -> [String; 3] {
        ["order-1".to_owned(), "order-2".to_owned(), "seat-1".to_owned()]
    }

    /// The hosts that a drawn fault names.
    fn named(fault: &Fault) -> &[String] {
        match &fault.strike {
            Strike::Hosts { on, .. } | Strike::Links { links: Links::Of(on), .. } => on,
            Strike::Links { links: Links::Between { sides, .. }, .. } => match &sides[..] {
                [Side::Hosts(on), Side::Rest] => on,
                _ => panic!("a host against all others: {fault:?}"),
            },
        }
    }

    proptest! {
        #[test]
        fn the_same_numbers_give_the_same_faults_within_the_load(
            seed: u64,
            faults in proptest::sample::subsequence(FaultKind::ALL, 1..=FaultKind::ALL.len()),
            load_us in 1..10_000_000_000_u64,
            fewest in 0..20_u32,
            more in 0..20_u32,
        ) {
            let swarm = Swarm { faults, count_min: fewest, count_max: fewest + more };
            let (load, hosts) = (Duration::from_micros(load_us), hosts());
            let drawn = swarm.draw(load, &hosts, numbers(seed));
            prop_assert_eq!(&drawn, &swarm.draw(load, &hosts, numbers(seed)));
            prop_assert!(drawn.len() <= swarm.count_max as usize);
            prop_assert!(drawn.is_sorted_by_key(|fault| fault.at));
            for (index, fault) in drawn.iter().enumerate() {
                prop_assert!(swarm.faults.contains(&fault.kind()));
                prop_assert!(named(fault).len() == 1 && hosts.contains(&named(fault)[0]));
                prop_assert_eq!(fault.for_.is_none(), fault.kind().is_momentary());
                prop_assert!(fault.at < load && fault.at + fault.for_.unwrap_or_default() <= load);
                prop_assert!(drawn[..index].iter().all(|earlier| earlier.excludes(fault, load).is_none()));
            }
        }
    }

    #[test]
    fn every_kind_is_drawn_with_strengths_of_all_sizes() {
        let swarm = Swarm { faults: FaultKind::ALL.to_vec(), count_min: 30, count_max: 30 };
        let mut strikes: Vec<Strike> = Vec::new();
        for seed in 0..200 {
            let drawn = swarm.draw(Duration::from_secs(600), &hosts(), numbers(seed));
            strikes.extend(drawn.into_iter().map(|fault| fault.strike));
        }
        let kinds: BTreeSet<FaultKind> = strikes.iter().map(Strike::kind).collect();
        assert_eq!(kinds.len(), FaultKind::ALL.len());
        let effect = |is: fn(&LinkEffect) -> Option<f64>| {
            let of_links = strikes.iter().filter_map(|strike| match strike {
                Strike::Links { effect, .. } => is(effect),
                Strike::Hosts { .. } => None,
            });
            of_links.fold((f64::MAX, f64::MIN), |(least, most), one| (least.min(one), most.max(one)))
        };
        let loss = effect(|effect| match effect {
            LinkEffect::Lossy { loss } => Some(*loss),
            _ => None,
        });
        assert_eq!(loss, (0.01, 0.2));
        let kbits = effect(|effect| match effect {
            LinkEffect::Narrow { bandwidth } => Some(bandwidth.bits_per_second() as f64 / 1e3),
            _ => None,
        });
        assert_eq!(kbits, (64.0, 8192.0));
        let latency = effect(|effect| match effect {
            LinkEffect::Slow { latency } => Some(latency.as_secs_f64()),
            _ => None,
        });
        assert!(latency.0 >= 0.01 && latency.0 < 0.05 && latency.1 > 0.45 && latency.1 <= 0.5, "{latency:?}");
        for wanted in [Direction::Both, Direction::OneWay] {
            let drawn = strikes.iter().any(|strike| {
                let Strike::Links { links: Links::Between { direction, .. }, .. } = strike else {
                    return false;
                };
                strike.kind() == FaultKind::Partition && *direction == wanted
            });
            assert!(drawn, "{wanted:?}");
        }
    }

    #[test]
    fn without_hosts_nothing_can_be_struck() {
        let swarm = Swarm { faults: vec![FaultKind::Crash], count_min: 1, count_max: 1 };
        assert!(swarm.draw(Duration::from_secs(1), &[], |_| 0).is_empty());
        assert_eq!(swarm.draw(Duration::from_nanos(1), &["a".into()], |_| 7).len(), 1);
    }
}
