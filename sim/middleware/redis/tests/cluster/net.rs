//! Nodes of a cluster in virtual time, over links in memory that can be cut, on hosts that can crash. Replication is
//! as much of it as the cluster asks about: offsets.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redis_middleware::{
    Blob,
    cluster::{
        Action, Cluster, Facts, Flags, Keys, LinkId, MasterLink, Node, NodeId, Options, SLOTS, Slot, SlotSet,
        key_slot,
        message::{self, Body},
    },
};
use wire::redis::reply::Writer;

/// Where virtual time starts: milliseconds since the Unix epoch.
const START_MS: i64 = 1_700_000_000_000;
const CRON_MS: i64 = 100;

/// A node and what surrounds it.
pub(crate) struct Host {
    /// `None` while it is down.
    pub(crate) cluster: Option<Cluster>,
    /// Its name, also while it is down.
    id: Option<NodeId>,
    options: Options,
    /// Content of `nodes.conf`: as written, and as it survives a loss of power.
    written: String,
    synced: String,
    /// What its wall clock is ahead of the others'.
    pub(crate) skew_ms: i64,
    pub(crate) offset: i64,
    /// Writes that no other node has, lost when it follows another: since the last look.
    pub(crate) demotions: Vec<(NodeId, i64)>,
    pub(crate) held_for_failed: Vec<NodeId>,
    following: Option<usize>,
    master_link: MasterLink,
    pub(crate) paused_until_ms: i64,
    /// The offset at each pause of its writes.
    pub(crate) paused_at: Vec<i64>,
    links: BTreeMap<LinkId, usize>,
    pub(crate) keys: FakeKeys,
    pub(crate) dropped: SlotSet,
    pub(crate) flushed: usize,
    pub(crate) published: Vec<(bool, Vec<u8>, Vec<u8>)>,
    incarnation: u64,
}

impl Host {
    fn facts(&self) -> Facts {
        Facts { offset: self.offset, master_link: self.master_link }
    }
}

/// Keys by slot.
#[derive(Default)]
pub(crate) struct FakeKeys(BTreeMap<Slot, Vec<Blob>>);

impl FakeKeys {
    pub(crate) fn add(&mut self, key: &str) {
        self.0.entry(key_slot(key.as_bytes())).or_default().push(key.as_bytes().into());
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Keys for FakeKeys {
    fn count(&self, slot: Slot) -> usize {
        self.0.get(&slot).map_or(0, Vec::len)
    }

    fn some_of(&self, slot: Slot, most: usize) -> Vec<Blob> {
        self.0.get(&slot).into_iter().flatten().rev().take(most).cloned().collect()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A link: the end that opened it first. An end that is gone is `None`.
struct Wire {
    ends: [Option<(usize, LinkId)>; 2],
    hosts: [usize; 2],
    /// What cannot get through now, with the end that it is for; in order.
    held: Vec<(usize, Event)>,
    open: bool,
    /// When the last event for either end is due: nothing overtakes.
    last_ms: [i64; 2],
}

#[derive(Debug, Clone)]
enum Event {
    Cron {
        host: usize,
        incarnation: u64,
    },
    /// A connection attempt arrives.
    Knock,
    /// The one who asked hears that the connection is there.
    Established,
    Bytes(bytes::Bytes),
    /// The other side closed.
    End,
}

pub(crate) struct Net {
    pub(crate) now_ms: i64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) random: ChaCha8Rng,
    events: BTreeMap<(i64, u64), (usize, usize, Event)>,
    next_event: u64,
    wires: Vec<Wire>,
    cut: BTreeSet<(usize, usize)>,
    /// For whom each voter voted in each epoch.
    votes: BTreeMap<(NodeId, u64), usize>,
}

pub(crate) fn options(timeout_ms: i64) -> Options {
    Options { node_timeout_ms: timeout_ms, ..Options::default() }
}

impl Net {
    /// So many nodes that do not know each other.
    pub(crate) fn new(seed: u64, hosts: usize, options: &Options) -> Self {
        let mut net = Self {
            now_ms: START_MS,
            hosts: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            events: BTreeMap::new(),
            next_event: 0,
            wires: Vec::new(),
            cut: BTreeSet::new(),
            votes: BTreeMap::new(),
        };
        for host in 0..hosts {
            net.hosts.push(Host {
                cluster: None,
                id: None,
                options: options.clone(),
                written: String::new(),
                synced: String::new(),
                skew_ms: 0,
                offset: 0,
                demotions: Vec::new(),
                held_for_failed: Vec::new(),
                following: None,
                master_link: MasterLink::Down { since_ms: 0 },
                paused_until_ms: 0,
                paused_at: Vec::new(),
                links: BTreeMap::new(),
                keys: FakeKeys::default(),
                dropped: SlotSet::default(),
                flushed: 0,
                published: Vec::new(),
                incarnation: 0,
            });
            net.restart(host);
        }
        net
    }

    /// A cluster of so many masters with so many replicas each: the masters come first, replica `r` of master `m` is
    /// host `masters + r * masters + m`. As `redis-cli --cluster create` makes it.
    pub(crate) fn cluster(seed: u64, masters: usize, replicas: usize, options: &Options) -> Self {
        let mut net = Self::new(seed, masters * (1 + replicas), options);
        for host in 0..net.hosts.len() {
            assert_eq!(net.command(host, &format!("SET-CONFIG-EPOCH {}", host + 1)), "+OK\r\n");
        }
        for master in 0..masters {
            let share = usize::from(SLOTS) / masters;
            let last = if master + 1 == masters { usize::from(SLOTS) } else { (master + 1) * share } - 1;
            let range = format!("ADDSLOTSRANGE {} {last}", master * share);
            assert_eq!(net.command(master, &range), "+OK\r\n");
        }
        for host in 1..net.hosts.len() {
            net.meet(host, 0);
        }
        net.run(5_000);
        for replica in masters..net.hosts.len() {
            let id = net.id(replica % masters);
            assert_eq!(net.command(replica, &format!("REPLICATE {id}")), "+OK\r\n");
        }
        net.settle(20_000);
        // Until the replicas have something.
        net.run(2_000);
        net
    }

    pub(crate) fn meet(&mut self, host: usize, other: usize) {
        let reply = self.command(host, &format!("MEET {} 6379", ip(other)));
        assert_eq!(reply, "+OK\r\n");
    }

    pub(crate) fn node(&self, host: usize) -> &Cluster {
        self.hosts[host].cluster.as_ref().expect("the host is up")
    }

    pub(crate) fn id(&self, host: usize) -> NodeId {
        self.hosts[host].id.expect("it was up")
    }

    pub(crate) fn is_master(&self, host: usize) -> bool {
        self.node(host).me().is_master()
    }

    /// What a node thinks of another.
    pub(crate) fn view(&self, from: usize, of: usize) -> &Node {
        self.node(from).node(&self.id(of)).expect("it is known")
    }

    /// `CLUSTER` with some words; the bytes of the reply.
    pub(crate) fn command(&mut self, host: usize, words: &str) -> String {
        let words: Vec<&[u8]> =
            std::iter::once("CLUSTER").chain(words.split(' ')).map(str::as_bytes).collect();
        let mut reply = Writer::default();
        let now_ms = self.now_ms;
        let state = &mut self.hosts[host];
        let (facts, now_ms) = (state.facts(), now_ms + state.skew_ms);
        let cluster = state.cluster.as_mut().expect("the host is up");
        cluster.command(now_ms, &facts, &state.keys, &words, &mut reply);
        self.act(host);
        String::from_utf8_lossy(reply.as_bytes()).into_owned()
    }

    pub(crate) fn publish(&mut self, host: usize, shard: bool, channel: &str, message: &str) {
        self.input(host, |cluster, now_ms, facts| {
            cluster.publish(now_ms, facts, shard, channel.as_bytes(), message.as_bytes());
        });
    }

    pub(crate) fn configure(&mut self, host: usize, change: impl FnOnce(&mut Options)) {
        change(&mut self.hosts[host].options);
        let options = self.hosts[host].options.clone();
        self.input(host, |cluster, now_ms, facts| cluster.configure(now_ms, facts, options));
    }

    /// Cuts all links between hosts of different groups; hosts of no group stay connected with all.
    pub(crate) fn partition(&mut self, groups: &[&[usize]]) {
        for (place, group) in groups.iter().enumerate() {
            for other in &groups[place + 1..] {
                for a in *group {
                    for b in *other {
                        self.cut.insert((*a.min(b), *a.max(b)));
                    }
                }
            }
        }
    }

    /// Restores all links: what was under way arrives now.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        for wire in 0..self.wires.len() {
            for (end, event) in std::mem::take(&mut self.wires[wire].held) {
                self.schedule(1, wire, end, event);
            }
        }
    }

    /// The node stops without a word; with the power, what was not synced is lost.
    pub(crate) fn crash(&mut self, host: usize, power: bool) {
        let state = &mut self.hosts[host];
        state.cluster = None;
        state.incarnation += 1;
        state.following = None;
        state.paused_until_ms = 0;
        if power {
            state.written.clone_from(&state.synced);
        }
        for (link, wire) in std::mem::take(&mut state.links) {
            self.hang_up(wire, (host, link));
        }
    }

    pub(crate) fn restart(&mut self, host: usize) {
        let mut random = ChaCha8Rng::from_rng(&mut self.random);
        let source = Box::new(move || random.next_u64());
        let state = &mut self.hosts[host];
        assert!(state.cluster.is_none(), "it is down");
        let now_ms = self.now_ms + state.skew_ms;
        let cluster = if state.written.is_empty() {
            Cluster::new(state.options.clone(), source, now_ms)
        } else {
            Cluster::load(state.options.clone(), source, now_ms, &state.written).expect("its own file")
        };
        state.cluster = Some(cluster);
        state.master_link = MasterLink::Down { since_ms: now_ms };
        let incarnation = state.incarnation;
        let phase = self.random.random_range(1..=CRON_MS);
        self.at(phase, Event::Cron { host, incarnation });
        self.act(host);
    }

    /// Lets virtual time pass.
    pub(crate) fn run(&mut self, ms: i64) {
        let until = self.now_ms + ms;
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= until
        {
            self.now_ms = entry.key().0;
            let (wire, end, event) = entry.remove();
            self.handle(wire, end, event);
        }
        self.now_ms = until;
    }

    /// Lets time pass until something holds; how long it took.
    pub(crate) fn run_until(&mut self, most_ms: i64, mut holds: impl FnMut(&Self) -> bool) -> i64 {
        let start = self.now_ms;
        while !holds(self) {
            assert!(self.now_ms - start < most_ms, "not within {most_ms} ms:\n{}", self.dump());
            self.run(10);
        }
        self.now_ms - start
    }

    fn input(&mut self, host: usize, run: impl FnOnce(&mut Cluster, i64, &Facts)) {
        let now_ms = self.now_ms;
        let state = &mut self.hosts[host];
        let facts = state.facts();
        if let Some(cluster) = &mut state.cluster {
            run(cluster, now_ms + state.skew_ms, &facts);
            self.act(host);
        }
    }

    fn at(&mut self, delay_ms: i64, event: Event) {
        self.events.insert((self.now_ms + delay_ms, self.next_event), (usize::MAX, 0, event));
        self.next_event += 1;
    }

    /// Something comes to an end of a wire after a delay; never before what was sent earlier.
    fn schedule(&mut self, delay_ms: i64, wire: usize, end: usize, event: Event) {
        let last_ms = &mut self.wires[wire].last_ms[end];
        *last_ms = (self.now_ms + delay_ms).max(*last_ms);
        self.events.insert((*last_ms, self.next_event), (wire, end, event));
        self.next_event += 1;
    }

    fn handle(&mut self, wire: usize, end: usize, event: Event) {
        if let Event::Cron { host, incarnation } = event {
            if self.hosts[host].incarnation == incarnation {
                self.replicate(host);
                self.input(host, |cluster, now_ms, facts| cluster.cron(now_ms, facts));
                self.at(CRON_MS, Event::Cron { host, incarnation });
            }
            return;
        }
        let [a, b] = self.wires[wire].hosts;
        if self.cut.contains(&(a.min(b), a.max(b))) || !self.wires[wire].held.is_empty() {
            self.wires[wire].held.push((end, event));
            return;
        }
        match event {
            Event::Cron { .. } => {}
            Event::Knock => self.knock(wire),
            Event::Established => {
                if let Some((host, link)) = self.wires[wire].ends[0] {
                    self.input(host, |cluster, now_ms, facts| {
                        cluster.on_link_up(now_ms, facts, link, ip(host));
                    });
                }
            }
            Event::Bytes(bytes) => {
                if let Some((host, link)) = self.wires[wire].ends[end] {
                    // In pieces, as a network does.
                    let at = self.random.random_range(0..=bytes.len());
                    for piece in [&bytes[..at], &bytes[at..]] {
                        self.input(host, |cluster, now_ms, facts| {
                            cluster.on_data(now_ms, facts, link, piece);
                        });
                    }
                }
            }
            Event::End => {
                if let Some((host, link)) = self.wires[wire].ends[end].take() {
                    self.hosts[host].links.remove(&link);
                    self.input(host, |cluster, _, _| cluster.on_link_down(link));
                }
            }
        }
    }

    /// A connection attempt arrives at the host that it is for.
    fn knock(&mut self, wire: usize) {
        let [from, to] = self.wires[wire].hosts;
        let now_ms = self.now_ms + self.hosts[to].skew_ms;
        let Some(cluster) = &mut self.hosts[to].cluster else {
            self.schedule(1, wire, 0, Event::End);
            return;
        };
        let link = cluster.on_accepted(now_ms, ip(from), ip(to));
        self.hosts[to].links.insert(link, wire);
        self.wires[wire].ends[1] = Some((to, link));
        self.wires[wire].open = true;
        self.schedule(1, wire, 0, Event::Established);
    }

    /// One end closes.
    fn hang_up(&mut self, wire: usize, end: (usize, LinkId)) {
        let state = &mut self.wires[wire];
        let Some(mine) = state.ends.iter().position(|known| *known == Some(end)) else { return };
        state.ends[mine] = None;
        self.schedule(1, wire, 1 - mine, Event::End);
    }

    /// Does what a node asks for.
    fn act(&mut self, host: usize) {
        while let Some(action) = self.hosts[host].cluster.as_mut().and_then(Cluster::next_action) {
            self.carry_out(host, action);
        }
        let state = &mut self.hosts[host];
        state.id = state.cluster.as_ref().map_or(state.id, |cluster| Some(cluster.id()));
    }

    fn carry_out(&mut self, host: usize, action: Action) {
        let latency = self.random.random_range(1..=3);
        match action {
            Action::Connect { link, ip: address, port } => {
                assert_eq!(port, 16_379);
                let to = (0..self.hosts.len()).find(|to| ip(*to).to_string() == address);
                let to = to.expect("an address of the net");
                let ends = [Some((host, link)), None];
                self.wires.push(Wire {
                    ends,
                    hosts: [host, to],
                    held: Vec::new(),
                    open: false,
                    last_ms: [0; 2],
                });
                self.hosts[host].links.insert(link, self.wires.len() - 1);
                self.schedule(latency, self.wires.len() - 1, 1, Event::Knock);
            }
            Action::Send { link, bytes } => {
                let wire = self.hosts[host].links[&link];
                let end = usize::from(self.wires[wire].ends[0] == Some((host, link)));
                self.check_vote(host, self.wires[wire].hosts[end], &bytes);
                // Not yet open: it follows the knock.
                let delay = if self.wires[wire].open { 1 } else { 4 };
                self.schedule(delay, wire, end, Event::Bytes(bytes));
            }
            Action::Close { link } => {
                if let Some(wire) = self.hosts[host].links.remove(&link) {
                    self.hang_up(wire, (host, link));
                }
            }
            Action::Persist { fsync } => {
                let state = &mut self.hosts[host];
                state.written = state.cluster.as_ref().expect("it asked").nodes_conf();
                if fsync {
                    state.synced.clone_from(&state.written);
                }
            }
            other => self.carry_out_locally(host, other),
        }
    }

    fn carry_out_locally(&mut self, host: usize, action: Action) {
        let hosts = self.hosts.len();
        let now_ms = self.now_ms;
        let state = &mut self.hosts[host];
        match action {
            Action::ReplicateFrom { ip: address, port, .. } => {
                assert_eq!(port, 6379);
                state.following = (0..hosts).find(|other| ip(*other).to_string() == address);
                state.master_link = MasterLink::Down { since_ms: now_ms };
            }
            Action::BecomeMaster => state.following = None,
            Action::Demoted { by, offset } => state.demotions.push((by, offset)),
            Action::PauseWrites { until_ms } => {
                state.paused_until_ms = until_ms;
                state.paused_at.push(state.offset);
            }
            Action::ResumeWrites => state.paused_until_ms = 0,
            Action::DropKeysOfSlots(slots) => state.dropped.add(&slots),
            Action::DropChannelsOfSlots(slots) => assert!(!slots.is_empty()),
            Action::FlushData => {
                state.flushed += 1;
                state.keys.clear();
            }
            Action::Publish { shard, channel, message } => {
                state.published.push((shard, channel.to_vec(), message.to_vec()));
            }
            Action::HeldForFailed { node } => state.held_for_failed.push(node),
            Action::TookOver => {}
            _ => panic!("an action for the network: {action:?}"),
        }
    }

    /// No vote goes out before it is on disk, and no master votes for two replicas in an epoch, whatever becomes of it
    /// in between.
    fn check_vote(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let (header, body) = message::decode(bytes).expect("what nodes send is well-formed");
        if body != Body::AuthAck {
            return;
        }
        let synced = format!("lastVoteEpoch {}\n", header.current_epoch);
        assert!(self.hosts[from].synced.ends_with(&synced), "the vote is not on disk");
        let before = self.votes.insert((header.sender, header.current_epoch), to);
        assert!(before.is_none(), "a second vote in epoch {}", header.current_epoch);
    }

    /// Masters write, replicas follow those that they can reach.
    fn replicate(&mut self, host: usize) {
        let wrote = self.random.random_range(1..50);
        let now_ms = self.now_ms;
        let state = &self.hosts[host];
        let Some(cluster) = &state.cluster else { return };
        let local_ms = now_ms + state.skew_ms;
        let Some(master) = state.following else {
            let writes =
                cluster.is_up() && !cluster.me().slots().is_empty() && state.paused_until_ms <= local_ms;
            self.hosts[host].offset += if writes { wrote } else { 0 };
            return;
        };
        let reachable = !self.cut.contains(&(host.min(master), host.max(master)));
        let up = reachable && self.hosts[master].cluster.is_some();
        let offset = self.hosts[master].offset;
        let state = &mut self.hosts[host];
        state.master_link = match state.master_link {
            _ if up => MasterLink::Up { last_heard_ms: local_ms },
            MasterLink::Up { .. } => MasterLink::Down { since_ms: local_ms },
            down => down,
        };
        if up && state.offset != offset {
            state.offset = offset;
            if state.cluster.as_ref().is_some_and(Cluster::awaits_offset) {
                self.input(host, |cluster, now_ms, facts| cluster.on_offset(now_ms, facts));
            }
        }
    }

    /// Two masters never claim a slot under the same epoch, at any time.
    pub(crate) fn assert_epochs_are_unique(&self) {
        let masters: Vec<&Cluster> = self
            .hosts
            .iter()
            .filter_map(|host| host.cluster.as_ref())
            .filter(|c| c.me().is_master())
            .collect();
        for (place, one) in masters.iter().enumerate() {
            for other in &masters[place + 1..] {
                let same = one.me().config_epoch() == other.me().config_epoch();
                let both = one.me().slots().intersection(other.me().slots());
                assert!(!same || both.is_empty(), "two masters of {both:?} in one epoch:\n{}", self.dump());
            }
        }
    }

    /// All nodes are up and agree on everything that matters.
    pub(crate) fn assert_at_rest(&self) {
        if let Err(what) = self.at_rest() {
            panic!("{what}\n{}", self.dump());
        }
    }

    /// Lets time pass until all nodes agree.
    pub(crate) fn settle(&mut self, most_ms: i64) {
        let start = self.now_ms;
        while self.now_ms - start < most_ms && self.at_rest().is_err() {
            self.run(500);
        }
        self.assert_at_rest();
    }

    /// What is not yet as it is to be in the end.
    fn at_rest(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let mut epochs = BTreeSet::new();
        let up: Vec<(&Host, &Cluster)> =
            self.hosts.iter().filter_map(|host| Some((host, host.cluster.as_ref()?))).collect();
        check(up.len() == self.hosts.len(), "a host is down")?;
        for (number, (host, cluster)) in up.iter().enumerate() {
            let at = |what: &str| format!("host {number}: {what}");
            check(cluster.is_up(), &at("the cluster is down"))?;
            check(cluster.nodes().count() == up.len(), &at("knows too few or too many"))?;
            let me = cluster.me();
            if me.is_master() {
                check(epochs.insert(me.config_epoch()), &at("has another one's epoch"))?;
                check(host.following.is_none(), &at("a master that replicates"))?;
            } else {
                let master = cluster.master_of(me).ok_or(at("a replica without a master"))?;
                check(master.is_master() && !master.slots().is_empty(), &at("follows one without slots"))?;
                let following = host.following.map(|other| self.id(other));
                check(following == Some(master.id()), &at("replicates from another than its master"))?;
            }
            for (_, other) in &up {
                let seen = cluster.node(&other.id()).ok_or(at("does not know all"))?;
                let about = |what: &str| format!("host {number} about {}: {what}", other.id());
                check(!seen.flags().any(failing()), &about("not well"))?;
                check(seen.is_master() == other.me().is_master(), &about("another role"))?;
                check(seen.slots() == other.me().slots(), &about("other slots"))?;
                let master = |cluster: &Cluster, node| cluster.master_of(node).map(|master| master.id());
                check(master(cluster, seen) == master(other, other.me()), &about("another master"))?;
                let same_epoch = seen.config_epoch() == other.me().config_epoch();
                check(same_epoch || !seen.is_master(), &about("another epoch"))?;
            }
        }
        Ok(())
    }

    /// The nodes' views, for messages about failures.
    pub(crate) fn dump(&self) -> String {
        let mut text = format!("at {} ms, cut: {:?}\n", self.now_ms - START_MS, self.cut);
        for (number, host) in self.hosts.iter().enumerate() {
            let view = host.cluster.as_ref().map_or("down\n".into(), |cluster| {
                format!("up: {}, offset {}\n{}", cluster.is_up(), host.offset, cluster.nodes_conf())
            });
            text.push_str(&format!("--- {number}: {view}"));
        }
        text
    }
}

fn failing() -> Flags {
    Flags::PFAIL | Flags::FAIL | Flags::HANDSHAKE | Flags::NOADDR
}

pub(crate) fn ip(host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, host as u8 + 1))
}
