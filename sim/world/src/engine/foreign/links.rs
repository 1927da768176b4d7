//! Which links are impaired, and how: what of it an engine can do is done there, the rest is noted as unsupported.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Cannot, Foreign};
use crate::common::hosts::HostId;
use crate::net::{Impairment, LinkProfile, Placement};

/// One direction of a link.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Link {
    /// What was set for it, if anything; median of the latency.
    pub(super) latency: Option<Duration>,
    pub(super) delay: Duration,
    pub(super) loss: f64,
    pub(super) partitioned: bool,
    pub(super) held: bool,
}

struct Going {
    from: Vec<HostId>,
    to: Vec<HostId>,
    both: bool,
    impairment: Impairment,
}

impl Going {
    fn covers(&self, from: HostId, to: HostId) -> bool {
        let one_way = |from, to| self.from.contains(&from) && self.to.contains(&to);
        from != to && (one_way(from, to) || self.both && one_way(to, from))
    }
}

/// All links that differ from the default.
#[derive(Default)]
pub(super) struct Links {
    /// As the engine was told.
    told: BTreeMap<(HostId, HostId), Link>,
    latencies: BTreeMap<(HostId, HostId), Duration>,
    losses: BTreeMap<(HostId, HostId), f64>,
    placements: BTreeMap<HostId, Placement>,
    going: BTreeMap<u64, Going>,
    next: u64,
}

impl Links {
    /// What a link is to be.
    fn wanted(&self, from: HostId, to: HostId) -> Link {
        let latency = self.latencies.get(&(from, to)).copied();
        let loss = self.losses.get(&(from, to)).copied().unwrap_or_default();
        let mut link = Link { latency, loss, ..Link::default() };
        for going in self.going.values().filter(|going| going.covers(from, to)) {
            match &going.impairment {
                Impairment::Partition => link.partitioned = true,
                Impairment::Hold => link.held = true,
                Impairment::Delay(by) => link.delay += by.median(),
                Impairment::Loss(share) => link.loss += (1.0 - link.loss) * share.clamp(0.0, 1.0),
                Impairment::Duplicate(_) | Impairment::Reorder { .. } | Impairment::Bandwidth(_) => {}
            }
        }
        link
    }

    fn pairs(&self, numbers: &[u64]) -> Vec<(HostId, HostId)> {
        let mut pairs = Vec::new();
        for going in numbers.iter().filter_map(|number| self.going.get(number)) {
            for (from, to) in going.from.iter().flat_map(|from| going.to.iter().map(move |to| (*from, *to))) {
                if from != to {
                    pairs.push((from, to));
                    pairs.extend(going.both.then_some((to, from)));
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

impl Foreign {
    /// Tells the engine what has changed on these links.
    fn update(&self, pairs: &[(HostId, HostId)]) {
        for &(from, to) in pairs {
            let mut links = self.links.borrow_mut();
            let after = links.wanted(from, to);
            let before = links.told.insert((from, to), after.clone()).unwrap_or_default();
            drop(links);
            if before == after {
                continue;
            }
            if let Err(what) = self.native().set_link(from, to, &before, &after) {
                self.cannot(what);
            }
        }
    }

    pub(in crate::engine) fn set_link(&self, a: HostId, b: HostId, profile: &LinkProfile) {
        if profile.bandwidth.is_some() {
            self.cannot("the bandwidth of links");
        }
        let mut links = self.links.borrow_mut();
        for pair in [(a, b), (b, a)] {
            links.latencies.insert(pair, profile.latency.median());
            links.losses.insert(pair, profile.loss.clamp(0.0, 1.0));
        }
        drop(links);
        self.update(&[(a, b), (b, a)]);
    }

    /// Only the latency that distance brings: a loss on these engines is not what it is to TCP.
    pub(in crate::engine) fn place(&self, host: HostId, placement: Placement) {
        self.cannot("the bandwidth of links");
        let mut links = self.links.borrow_mut();
        let distances: Vec<(HostId, Duration)> = links
            .placements
            .iter()
            .filter(|(other, _)| **other != host)
            .map(|(other, place)| (*other, LinkProfile::between(placement.distance(place)).latency.median()))
            .collect();
        links.placements.insert(host, placement);
        for (other, latency) in &distances {
            links.latencies.insert((host, *other), *latency);
            links.latencies.insert((*other, host), *latency);
        }
        drop(links);
        for (other, _) in distances {
            self.update(&[(host, other), (other, host)]);
        }
    }

    pub(in crate::engine) fn impair(
        &self,
        from: Vec<HostId>,
        to: Vec<HostId>,
        both: bool,
        impairment: Impairment,
    ) -> u64 {
        self.note_number(impairment.name(), from.first().copied().unwrap_or(HostId::DIRECTOR), 1);
        if let Some(what) = never(&impairment) {
            self.cannot(what);
        }
        let mut links = self.links.borrow_mut();
        let number = links.next;
        links.next += 1;
        links.going.insert(number, Going { from, to, both, impairment });
        let pairs = links.pairs(&[number]);
        drop(links);
        self.update(&pairs);
        number
    }

    pub(in crate::engine) fn heal(&self, number: u64) {
        self.end_impairments(&[number]);
    }

    pub(in crate::engine) fn heal_all(&self) {
        let numbers: Vec<u64> = self.links.borrow().going.keys().copied().collect();
        self.end_impairments(&numbers);
    }

    fn end_impairments(&self, numbers: &[u64]) {
        let mut links = self.links.borrow_mut();
        let pairs = links.pairs(numbers);
        for number in numbers {
            if links.going.remove(number).is_some() {
                self.note_number("heal", HostId::DIRECTOR, *number);
            }
        }
        drop(links);
        self.update(&pairs);
    }
}

/// What none of the engines has.
fn never(impairment: &Impairment) -> Option<Cannot> {
    match impairment {
        Impairment::Duplicate(_) => Some("duplication of datagrams"),
        Impairment::Reorder { .. } => Some("reordering of packets"),
        Impairment::Bandwidth(_) => Some("the bandwidth of links"),
        Impairment::Partition | Impairment::Hold | Impairment::Delay(_) | Impairment::Loss(_) => None,
    }
}
