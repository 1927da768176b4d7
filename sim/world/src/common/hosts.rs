//! Hosts: names, addresses, whether they are up, and the randomness that belongs to each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use super::clock::Clock;
use super::{BoxFuture, generator};
use crate::choice::Source;
use crate::sim::Progress;

/// A host of the simulation, numbered in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostId(pub(crate) u32);

impl HostId {
    /// The host of the main task: stages the others, drives them, never crashes.
    pub(crate) const DIRECTOR: HostId = HostId(0);
}

type Boot = Box<dyn Fn() -> BoxFuture + Send>;

/// What of a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// The machine and its processes.
    Up,
    /// The machine, but none of its processes.
    Killed,
    /// Nothing: the machine has no power.
    Off,
}

struct Host {
    name: String,
    power: Power,
    paused: bool,
    clock: Clock,
    /// Shared out while it runs, hence counted.
    boot: Option<Rc<Boot>>,
    random: Source,
}

/// All hosts.
pub(crate) struct Hosts {
    seed: u64,
    /// Learns the names, for reports from another thread.
    progress: Progress,
    hosts: Vec<Host>,
    by_name: BTreeMap<String, HostId>,
}

impl Hosts {
    pub(crate) fn new(seed: u64, progress: Progress) -> Hosts {
        let mut hosts = Hosts { seed, progress, hosts: Vec::new(), by_name: BTreeMap::new() };
        hosts.add("director", None);
        hosts.hosts[0].power = Power::Up;
        hosts
    }

    /// Adds a host whose processes do not run yet. `None` when the name is taken.
    ///
    /// Its randomness depends on the seed and its name only: another host more or less does not change it.
    pub(crate) fn add(&mut self, name: &str, boot: Option<Boot>) -> Option<HostId> {
        if self.by_name.contains_key(name) {
            return None;
        }
        let id = HostId(self.hosts.len() as u32);
        let random = generator(self.seed, &format!("host {name}"));
        self.hosts.push(Host {
            name: name.to_owned(),
            power: Power::Killed,
            paused: false,
            clock: Clock::default(),
            boot: boot.map(Rc::new),
            random,
        });
        self.by_name.insert(name.to_owned(), id);
        self.progress.add_host(name);
        Some(id)
    }

    pub(crate) fn find(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    /// All but the director, in the order of creation.
    pub(crate) fn all(&self) -> impl Iterator<Item = HostId> + use<> {
        (HostId::DIRECTOR.0 + 1..self.hosts.len() as u32).map(HostId)
    }

    pub(crate) fn name(&self, host: HostId) -> &str {
        &self.hosts[host.0 as usize].name
    }

    pub(crate) fn is_up(&self, host: HostId) -> bool {
        self.power(host) == Power::Up
    }

    pub(crate) fn power(&self, host: HostId) -> Power {
        self.hosts[host.0 as usize].power
    }

    /// Sets the power of any host but the director; returns what it was before, if that is a change.
    pub(crate) fn set_power(&mut self, host: HostId, power: Power) -> Option<Power> {
        let before = self.power(host);
        if host == HostId::DIRECTOR || before == power {
            return None;
        }
        self.hosts[host.0 as usize].power = power;
        Some(before)
    }

    pub(crate) fn is_paused(&self, host: HostId) -> bool {
        self.hosts[host.0 as usize].paused
    }

    /// True if that is a change. The director, and a host that is not up, cannot be paused.
    pub(crate) fn set_paused(&mut self, host: HostId, paused: bool) -> bool {
        if paused && (host == HostId::DIRECTOR || !self.is_up(host)) {
            return false;
        }
        std::mem::replace(&mut self.hosts[host.0 as usize].paused, paused) != paused
    }

    pub(crate) fn clock(&self, host: HostId) -> &Clock {
        &self.hosts[host.0 as usize].clock
    }

    pub(crate) fn clock_mut(&mut self, host: HostId) -> &mut Clock {
        &mut self.hosts[host.0 as usize].clock
    }

    pub(crate) fn random(&mut self, host: HostId) -> &mut Source {
        &mut self.hosts[host.0 as usize].random
    }

    /// What to run to boot it.
    pub(crate) fn boot_of(&self, host: HostId) -> Option<impl Fn() -> BoxFuture + use<>> {
        let boot = self.hosts[host.0 as usize].boot.clone()?;
        Some(move || boot())
    }

    pub(crate) fn take_boots(&mut self) -> Vec<Rc<Boot>> {
        self.hosts.iter_mut().filter_map(|host| host.boot.take()).collect()
    }

    /// 10.0.0.1 for the first host, and so on upwards.
    pub(crate) fn ip(host: HostId) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + host.0))
    }

    pub(crate) fn by_ip(&self, ip: IpAddr) -> Option<HostId> {
        let IpAddr::V4(ip) = ip else { return None };
        let index = ip.to_bits().checked_sub(0x0a00_0001)?;
        ((index as usize) < self.hosts.len()).then_some(HostId(index))
    }
}
