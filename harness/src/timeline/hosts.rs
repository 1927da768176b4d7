//! The hosts of a run, how far each stands from the clients, and what went over the links between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use record::timeline::{HostRecord, LinkRecord};
use world::host::{self, Host};
use world::net::Traffic;

use super::Busy;

/// The director is part of the harness, not of the system.
const DIRECTOR: &str = "director";

/// The hosts and links of a run.
#[derive(Debug, Default)]
pub(super) struct Topology {
    hosts: Vec<(Host, HostRecord)>,
    links: Vec<LinkRecord>,
}

impl Topology {
    /// As it stands now, with what has been delivered so far.
    pub(super) fn of(clients: &BTreeSet<Host>, traffic: &[Traffic]) -> Topology {
        let all = host::all();
        // A host that no customer came to act from is a client nevertheless.
        let roles: BTreeSet<String> = clients.iter().map(|host| role(&host.name()).to_owned()).collect();
        let clients = all.iter().copied().filter(|host| roles.contains(role(&host.name())));
        let tiers = tiers(clients.collect(), &all, traffic);
        let mut hosts: Vec<(Host, HostRecord)> = all
            .into_iter()
            .map(|host| {
                let name = host.name();
                let arrived = traffic.iter().filter(|link| link.to == host);
                let (messages_in, bytes_in) =
                    arrived.fold((0, 0), |sum, link| (sum.0 + link.messages, sum.1 + link.bytes));
                let role = role(&name).to_owned();
                let tier = tiers.get(&host).copied().unwrap_or_default();
                (host, HostRecord { name, role, tier, messages_in, bytes_in, busy: Vec::new() })
            })
            .collect();
        hosts.sort_by_key(|(_, record)| record.tier);
        let links = traffic.iter().filter(|link| link.messages > 0 && link.from != link.to).map(|link| {
            let (from, to) = (link.from.name(), link.to.name());
            LinkRecord { from, to, messages: link.messages, bytes: link.bytes }
        });
        let mut links: Vec<LinkRecord> =
            links.filter(|link| link.from != DIRECTOR && link.to != DIRECTOR).collect();
        links.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
        Topology { hosts, links }
    }

    pub(super) fn hosts(&self, busy: &Busy) -> Vec<HostRecord> {
        let with_load = |(host, record): &(Host, HostRecord)| HostRecord {
            busy: busy.get(host).cloned().unwrap_or_default(),
            ..record.clone()
        };
        self.hosts.iter().map(with_load).collect()
    }

    /// The hosts with their names.
    pub(super) fn names(&self) -> impl Iterator<Item = (Host, &str)> {
        self.hosts.iter().map(|(host, record)| (*host, record.name.as_str()))
    }

    pub(super) fn links(&self) -> Vec<LinkRecord> {
        self.links.clone()
    }
}

/// How many links lie between each host and the nearest client. Who cannot be reached stands behind all others.
fn tiers(clients: Vec<Host>, all: &[Host], traffic: &[Traffic]) -> BTreeMap<Host, u32> {
    let mut neighbours: BTreeMap<Host, BTreeSet<Host>> = BTreeMap::new();
    for link in traffic.iter().filter(|link| link.messages > 0) {
        neighbours.entry(link.from).or_default().insert(link.to);
        neighbours.entry(link.to).or_default().insert(link.from);
    }
    let mut tiers: BTreeMap<Host, u32> = clients.iter().map(|host| (*host, 0)).collect();
    let mut queue = VecDeque::from(clients);
    while let Some(host) = queue.pop_front() {
        let tier = tiers[&host] + 1;
        for neighbour in neighbours.get(&host).into_iter().flatten().filter(|host| all.contains(host)) {
            if !tiers.contains_key(neighbour) {
                tiers.insert(*neighbour, tier);
                queue.push_back(*neighbour);
            }
        }
    }
    let beyond = tiers.values().max().map_or(0, |last| last + 1);
    all.iter().map(|host| (*host, tiers.get(host).copied().unwrap_or(beyond))).collect()
}

/// What hosts of its kind are called: the name without its number.
fn role(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((role, number)) if number.contains(|c: char| c.is_ascii_digit()) => role,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_name_without_its_number() {
        assert_eq!(
            ["redis-a1", "order-12", "bank", "far-away"].map(role),
            ["redis", "order", "bank", "far-away"]
        );
    }
}
