//! Hosts: names, addresses, whether they are up, and the randomness that belongs to each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use rand_chacha::ChaCha8Rng;

use super::{BoxFuture, generator};

/// A host of the simulation, numbered in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostId(pub(crate) u32);

impl HostId {
    /// The host of the main task: stages the others, drives them, never crashes.
    pub(crate) const DIRECTOR: HostId = HostId(0);
}

type Boot = Box<dyn Fn() -> BoxFuture + Send>;

struct Host {
    name: String,
    up: bool,
    /// Shared out while it runs, hence counted.
    boot: Option<Rc<Boot>>,
    random: ChaCha8Rng,
}

/// All hosts.
pub(crate) struct Hosts {
    seed: u64,
    hosts: Vec<Host>,
    by_name: BTreeMap<String, HostId>,
}

impl Hosts {
    pub(super) fn new(seed: u64) -> Hosts {
        let mut hosts = Hosts { seed, hosts: Vec::new(), by_name: BTreeMap::new() };
        hosts.add("director", None);
        hosts.hosts[0].up = true;
        hosts
    }

    /// Adds a host that is down. `None` when the name is taken.
    ///
    /// Its randomness depends on the seed and its name only: another host more or less does not change it.
    pub(crate) fn add(&mut self, name: &str, boot: Option<Boot>) -> Option<HostId> {
        if self.by_name.contains_key(name) {
            return None;
        }
        let id = HostId(self.hosts.len() as u32);
        let random = generator(self.seed, &format!("host {name}"));
        self.hosts.push(Host { name: name.to_owned(), up: false, boot: boot.map(Rc::new), random });
        self.by_name.insert(name.to_owned(), id);
        Some(id)
    }

    pub(crate) fn find(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn name(&self, host: HostId) -> &str {
        &self.hosts[host.0 as usize].name
    }

    pub(crate) fn is_up(&self, host: HostId) -> bool {
        self.hosts[host.0 as usize].up
    }

    pub(crate) fn random(&mut self, host: HostId) -> &mut ChaCha8Rng {
        &mut self.hosts[host.0 as usize].random
    }

    /// False when it was down already. The director cannot go down.
    pub(super) fn set_down(&mut self, host: HostId) -> bool {
        host != HostId::DIRECTOR && std::mem::replace(&mut self.hosts[host.0 as usize].up, false)
    }

    /// What to run to boot it; `None` when it was up already.
    pub(super) fn set_up(&mut self, host: HostId) -> Option<impl Fn() -> BoxFuture + use<>> {
        let host = &mut self.hosts[host.0 as usize];
        let was_up = std::mem::replace(&mut host.up, true);
        let boot = host.boot.clone().filter(|_| !was_up)?;
        Some(move || boot())
    }

    pub(super) fn take_boots(&mut self) -> Vec<Rc<Boot>> {
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
