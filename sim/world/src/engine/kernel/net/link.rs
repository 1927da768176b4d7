//! Links: one for each direction between two hosts, found by number once and then by index.

use std::collections::BTreeSet;

use rand::Rng;

use super::impair::{Chance, Pairs, Shapes};
use super::{Latency, Random};
use crate::common::hosts::HostId;
use crate::host::Host;
use crate::net::{Impairment, LinkProfile, Placement, Traffic};

/// A link, by number.
pub(super) type LinkId = u32;

/// Payload of a packet: an Ethernet frame of 1500 bytes less the headers of IP and of TCP with timestamps.
const PACKET: usize = 1448;
/// Headers of a packet: Ethernet 14, IPv4 20, TCP with timestamps 32.
const HEADERS: u64 = 66;
/// From this loss of packets on, a stream is cut into packets: a longer segment would hardly ever arrive whole.
const LOSSY: f64 = 0.001;
/// Below this bandwidth (bits per second) a stream is cut into pieces, so that its bytes trickle in and streams share.
const NARROW: u64 = 1_000_000_000;
const NARROW_SEGMENT: usize = 10 * PACKET;
/// What may queue before a link, for datagrams: more are dropped (a usual size of a switch's port buffer).
const QUEUE_BYTES: u64 = 1024 * 1024;

/// A profile, ready for use.
struct Profile {
    given: LinkProfile,
    loss: Chance,
    /// Takes time and does nothing else.
    plain: bool,
}

impl Profile {
    fn new(given: LinkProfile) -> Profile {
        let loss = Chance::new(given.loss);
        let plain = loss.never() && given.bandwidth.is_none();
        Profile { given, loss, plain }
    }
}

struct Link {
    from: HostId,
    to: HostId,
    profile: u32,
    /// Was the profile set for this link, rather than by placement?
    explicit: bool,
    /// What its impairments make of it; see [`Shapes`].
    shape: u32,
    /// Until then it is busy with what was sent before.
    busy_until_ns: u64,
    /// The latest arrival of a datagram that was not overtaken.
    last_datagram_ns: u64,
}

/// What has arrived on a link.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    messages: u64,
    bytes: u64,
}

/// What a link does at this moment to what would arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Held,
    Cut,
}

/// All links.
pub(super) struct Links {
    pub(super) random: Random,
    /// By host and host: number of the link plus one, or zero where none was needed so far.
    index: Vec<Vec<u32>>,
    links: Vec<Link>,
    /// By link: its profile, if that is plain and nothing impairs the link. Apart, because every segment looks here.
    plain: Vec<u32>,
    /// By link: what has arrived.
    traffic: Vec<Count>,
    profiles: Vec<Profile>,
    places: Vec<Option<Placement>>,
    shapes: Shapes,
}

/// Of a link that is not plain.
const NOT_PLAIN: u32 = u32::MAX;
/// Profiles that every simulation has.
const DEFAULT: u32 = 0;
const SAME_HOST: u32 = 1;

impl Links {
    pub(super) fn new(random: Random, default_latency: Latency) -> Links {
        let profiles = [default_latency, Latency::same_host()].map(LinkProfile::with_latency);
        Links {
            random,
            index: Vec::new(),
            links: Vec::new(),
            plain: Vec::new(),
            traffic: Vec::new(),
            profiles: profiles.into_iter().map(Profile::new).collect(),
            places: Vec::new(),
            shapes: Shapes::default(),
        }
    }

    /// The link from a host to another.
    pub(super) fn between(&mut self, from: HostId, to: HostId) -> LinkId {
        let (row, column) = (from.0 as usize, to.0 as usize);
        if self.index.len() <= row {
            self.index.resize_with(row + 1, Vec::new);
        }
        if self.index[row].len() <= column {
            self.index[row].resize(column + 1, 0);
        }
        match self.index[row][column] {
            0 => {
                let profile = self.placed_profile(from, to);
                self.links.push(Link {
                    from,
                    to,
                    profile,
                    explicit: false,
                    shape: Shapes::NONE,
                    busy_until_ns: 0,
                    last_datagram_ns: 0,
                });
                self.plain.push(NOT_PLAIN);
                self.traffic.push(Count::default());
                self.index[row][column] = self.links.len() as u32;
                let id = self.links.len() - 1;
                self.change(id, |_| ());
                id as u32
            }
            number => number - 1,
        }
    }

    fn placed_profile(&mut self, from: HostId, to: HostId) -> u32 {
        if from == to {
            return SAME_HOST;
        }
        let place = |host: HostId| self.places.get(host.0 as usize).and_then(Option::as_ref);
        match (place(from), place(to)) {
            (Some(here), Some(there)) => self.intern(LinkProfile::between(here.distance(there))),
            _ => DEFAULT,
        }
    }

    fn intern(&mut self, given: LinkProfile) -> u32 {
        let known = self.profiles.iter().rposition(|profile| profile.given == given);
        known.unwrap_or_else(|| {
            self.profiles.push(Profile::new(given));
            self.profiles.len() - 1
        }) as u32
    }

    pub(super) fn place(&mut self, host: HostId, placement: Placement) {
        let row = host.0 as usize;
        if self.places.len() <= row {
            self.places.resize(row + 1, None);
        }
        self.places[row] = Some(placement);
        for id in 0..self.links.len() {
            let Link { from, to, explicit, .. } = self.links[id];
            if !explicit && (from == host || to == host) {
                let profile = self.placed_profile(from, to);
                self.change(id, |link| link.profile = profile);
            }
        }
    }

    pub(super) fn set_profile(&mut self, from: HostId, to: HostId, given: LinkProfile) {
        let (id, profile) = (self.between(from, to) as usize, self.intern(given));
        self.change(id, |link| {
            link.profile = profile;
            link.explicit = true;
        });
    }

    fn change(&mut self, id: usize, change: impl FnOnce(&mut Link)) {
        let link = &mut self.links[id];
        change(link);
        let plain = link.shape == Shapes::NONE && self.profiles[link.profile as usize].plain;
        self.plain[id] = if plain { link.profile } else { NOT_PLAIN };
    }

    /// Takes the link time and does nothing else?
    #[inline]
    pub(super) fn is_plain(&self, id: LinkId) -> bool {
        self.plain[id as usize] != NOT_PLAIN
    }

    pub(super) fn set_latency(&mut self, from: HostId, to: HostId, latency: Latency) {
        let id = self.between(from, to) as usize;
        let given = self.profiles[self.links[id].profile as usize].given.clone();
        self.set_profile(from, to, LinkProfile { latency, ..given });
    }

    /// Sends a segment of so many bytes: when it arrives, `None` if it is lost.
    #[inline]
    pub(super) fn pass(&mut self, id: LinkId, bytes: usize, now_ns: u64) -> Option<u64> {
        match self.plain[id as usize] {
            NOT_PLAIN => self.pass_shaped(id, bytes, now_ns).map(|(at_ns, _)| at_ns),
            profile => Some(now_ns + self.profiles[profile as usize].given.latency.draw(&mut self.random)),
        }
    }

    /// As [`Links::pass`], for any link; also says whether later ones may overtake it.
    fn pass_shaped(&mut self, id: LinkId, bytes: usize, now_ns: u64) -> Option<(u64, bool)> {
        let link = &mut self.links[id as usize];
        let profile = &self.profiles[link.profile as usize];
        let shape = self.shapes.get(link.shape);
        if shape.cut {
            return None;
        }
        let random = &mut self.random;
        let packets = bytes.div_ceil(PACKET).max(1) as u64;
        let mut at_ns = now_ns;
        if let Some(rate) = narrower(profile.given.bandwidth, shape.bandwidth) {
            let took_ns = transmission_ns(bytes as u64 + packets * HEADERS, rate);
            link.busy_until_ns = link.busy_until_ns.max(now_ns).saturating_add(took_ns);
            at_ns = link.busy_until_ns;
        }
        let lost = |random: &mut Random| {
            profile.loss.draw(random) || shape.loss.iter().any(|chance| chance.draw(random))
        };
        if (0..packets).any(|_| lost(random)) {
            return None;
        }
        at_ns = at_ns.saturating_add(profile.given.latency.draw(random));
        for delay in &shape.delays {
            at_ns = at_ns.saturating_add(delay.draw(random));
        }
        let mut overtaken = false;
        for (chance, by) in &shape.reorder {
            if chance.draw(random) {
                at_ns = at_ns.saturating_add(by.draw(random));
                overtaken = true;
            }
        }
        Some((at_ns, overtaken))
    }

    /// Sends a datagram: when it arrives, and when its copy does.
    pub(super) fn pass_datagram(&mut self, id: LinkId, bytes: usize, now_ns: u64) -> [Option<u64>; 2] {
        let link = &self.links[id as usize];
        let shape = self.shapes.get(link.shape);
        let rate = narrower(self.profiles[link.profile as usize].given.bandwidth, shape.bandwidth);
        let queue_ns = rate.map_or(u64::MAX, |rate| transmission_ns(QUEUE_BYTES, rate));
        if link.busy_until_ns.saturating_sub(now_ns) > queue_ns {
            return [None, None];
        }
        let copies = 1 + usize::from(shape.duplicate.iter().any(|chance| chance.draw(&mut self.random)));
        let mut arrivals = [None, None];
        for arrival in &mut arrivals[..copies] {
            let Some((at_ns, overtaken)) = self.pass_shaped(id, bytes, now_ns) else { continue };
            let link = &mut self.links[id as usize];
            if !overtaken {
                link.last_datagram_ns = link.last_datagram_ns.max(at_ns);
            }
            *arrival = Some(if overtaken { at_ns } else { link.last_datagram_ns });
        }
        arrivals
    }

    /// Counts a message that has arrived with so many bytes of applications.
    #[inline]
    pub(super) fn count(&mut self, id: LinkId, bytes: usize) {
        let count = &mut self.traffic[id as usize];
        count.messages += 1;
        count.bytes += bytes as u64;
    }

    /// What has arrived on all links, in the order in which they were first needed.
    pub(super) fn traffic(&self) -> impl Iterator<Item = Traffic> {
        self.links.iter().zip(&self.traffic).map(|(link, count)| Traffic {
            from: Host(link.from),
            to: Host(link.to),
            messages: count.messages,
            bytes: count.bytes,
        })
    }

    /// What becomes of what would arrive on a link now.
    pub(super) fn gate(&self, id: LinkId) -> Gate {
        let shape = self.links[id as usize].shape;
        if shape == Shapes::NONE {
            return Gate::Open;
        }
        let shape = self.shapes.get(shape);
        match (shape.cut, shape.held) {
            (true, _) => Gate::Cut,
            (false, true) => Gate::Held,
            (false, false) => Gate::Open,
        }
    }

    /// May a link lose what it carries, partitions aside? If so, does it lose this acknowledgement?
    pub(super) fn loses(&mut self, id: LinkId) -> bool {
        let link = &self.links[id as usize];
        let profile = &self.profiles[link.profile as usize];
        let by_profile = !profile.loss.never() && profile.loss.draw(&mut self.random);
        if link.shape == Shapes::NONE {
            return by_profile;
        }
        let shape = self.shapes.get(link.shape);
        by_profile || shape.loss.iter().any(|chance| chance.draw(&mut self.random))
    }

    /// How many bytes of a stream go into one segment.
    #[inline]
    pub(super) fn segment_limit(&self, id: LinkId) -> usize {
        if self.is_plain(id) { usize::MAX } else { self.limit_of_impaired(id) }
    }

    fn limit_of_impaired(&self, id: LinkId) -> usize {
        let link = &self.links[id as usize];
        let profile = &self.profiles[link.profile as usize];
        let shape = self.shapes.get(link.shape);
        let rate = narrower(profile.given.bandwidth, shape.bandwidth);
        let losses = shape.loss.iter().chain([&profile.loss]);
        if losses.map(Chance::probability).sum::<f64>() >= LOSSY {
            PACKET
        } else if rate.is_some_and(|rate| rate < NARROW) {
            NARROW_SEGMENT
        } else {
            usize::MAX
        }
    }

    /// Puts an impairment on all links from one set to the other. Returns the links that let everything pass before
    /// and no longer do.
    pub(super) fn impair(&mut self, pairs: &Pairs, impairment: Impairment) -> (u64, BTreeSet<LinkId>) {
        let number = self.shapes.begin(impairment, pairs.clone());
        let changed = self.reshape(pairs, |shapes, old| shapes.with(old, number));
        let closed = changed.into_iter().filter(|change| !change.before.closes() && change.now.closes());
        (number, closed.map(|change| change.link).collect())
    }

    /// Takes an impairment away. Returns its name, its hosts, and the links that hold nothing any more.
    pub(super) fn heal(&mut self, number: u64) -> Option<Healed> {
        let (impairment, pairs) = self.shapes.end(number)?;
        let changed = self.reshape(&pairs, |shapes, old| shapes.without(old, number));
        let released = changed.into_iter().filter(|change| change.before.held && !change.now.held);
        let released = released.map(|change| change.link).collect();
        Some(Healed { name: impairment.name(), pairs, released })
    }

    pub(super) fn active(&self) -> Vec<u64> {
        self.shapes.active()
    }

    fn barrier(&self, id: LinkId) -> Barrier {
        let shape = self.shapes.get(self.links[id as usize].shape);
        Barrier { cut: shape.cut, held: shape.held }
    }

    fn reshape(&mut self, pairs: &Pairs, mut change: impl FnMut(&mut Shapes, u32) -> u32) -> Vec<Change> {
        let mut changed = Vec::new();
        for (from, to) in pairs.iter() {
            let id = self.between(from, to);
            let before = self.barrier(id);
            let shape = change(&mut self.shapes, self.links[id as usize].shape);
            self.change(id as usize, |link| link.shape = shape);
            changed.push(Change { link: id, before, now: self.barrier(id) });
        }
        changed
    }
}

/// What keeps a link from being open.
#[derive(Debug, Clone, Copy)]
struct Barrier {
    cut: bool,
    held: bool,
}

impl Barrier {
    fn closes(self) -> bool {
        self.cut || self.held
    }
}

/// A link under an impairment more or less.
struct Change {
    link: LinkId,
    before: Barrier,
    now: Barrier,
}

/// An impairment that has ended.
pub(super) struct Healed {
    pub(super) name: &'static str,
    pub(super) pairs: Pairs,
    pub(super) released: BTreeSet<LinkId>,
}

fn narrower(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// How long a link of this rate (bits per second) is busy with so many bytes.
fn transmission_ns(bytes: u64, rate: u64) -> u64 {
    bytes.saturating_mul(8_000_000_000) / rate.max(1)
}

/// Draws a number below 2³² and compares.
pub(super) fn below(random: &mut impl Rng, threshold: u64) -> bool {
    u64::from(random.next_u32()) < threshold
}
