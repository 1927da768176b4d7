//! The node's part in a Redis Cluster: the rules of `cluster.c` of Redis 7.0.15 as a state machine without sockets,
//! clocks or tasks.
//!
//! Whoever runs it calls an input ([`Cluster::cron`] ten times a second, [`Cluster::on_data`] when a link of the bus
//! has bytes, [`Cluster::command`] for a client, …) and then carries out what [`Cluster::next_action`] says, in that
//! order and before the next input and before replies to clients: Redis is one thread, too. What must be on disk
//! before a message goes out (a vote above all) is asked for by an [`Action::Persist`] ahead of it.
//!
//! Every input is given the time: milliseconds since the Unix epoch by the **wall clock** of the host. Redis has no
//! other in its cluster (`mstime()`), so a jump of that clock does to this node what it does to Redis: pings look late,
//! elections expire. The monotonic clock is needed only by whoever calls [`Cluster::cron`], for the 100 ms in between.
//!
//! Where to look:
//!
//! - `message`: the bytes of the bus; a node can be in one cluster with real ones.
//! - `links`, `receive`: streams to and from the other nodes, and what their messages do.
//! - `cron`, `gossip`: heartbeats, and what they tell of third nodes.
//! - `failure`: from a missing pong to a failed node; whether the cluster is up for this node.
//! - `slots`: who serves what, by the epochs. `routing`: what that means for a command.
//! - `election`: replicas that take over; `migration`: replicas that move to masters without any.
//! - `commands`, `describe`, `nodes_conf`: the `CLUSTER` command, and the file that survives a restart.
//!
//! Left out: TLS, modules, announcing a host name of one's own (those of others are kept), and the limit of a link's
//! send buffer.

mod commands;
mod cron;
mod describe;
mod election;
mod failure;
mod flags;
mod gossip;
mod id;
mod links;
pub mod message;
mod migration;
mod node;
mod nodes_conf;
mod receive;
mod routing;
mod slot_set;
mod slots;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use bytes::Bytes;

use self::{
    election::Election,
    links::Link,
    message::{Body, Header},
    node::{Handle, Nodes},
    slots::SlotTable,
};

pub use self::{
    commands::{Keys, SUBCOMMANDS},
    flags::Flags,
    id::NodeId,
    links::LinkId,
    node::Node,
    nodes_conf::Corrupt,
    routing::{Access, Redirection},
    slot_set::{SLOTS, Slot, SlotSet, key_slot},
};

/// The configuration that concerns the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The port that clients are told to come to.
    pub port: u16,
    /// The port that other nodes are told to connect to: by custom 10000 above the other.
    pub bus_port: u16,
    /// `cluster-announce-ip`: the address that others are told. Without it, they take the one that this node's
    /// connections come from, and it takes the one that their `MEET` came to.
    pub announce_ip: Option<String>,
    /// `cluster-node-timeout`, milliseconds: a node that has not answered for so long may have failed.
    pub node_timeout_ms: i64,
    /// `cluster-require-full-coverage`: is the cluster down when a single slot is not served?
    pub require_full_coverage: bool,
    /// `cluster-allow-reads-when-down`.
    pub allow_reads_when_down: bool,
    /// `cluster-allow-pubsubshard-when-down`.
    pub allow_shard_channels_when_down: bool,
    /// `cluster-allow-replica-migration`: may a replica change to another master by itself?
    pub allow_replica_migration: bool,
    /// `cluster-migration-barrier`: working replicas that a master must keep when one of them leaves for an orphan.
    pub migration_barrier: usize,
    /// `cluster-replica-validity-factor`: so many node timeouts may a replica have been without its master and still
    /// take over; 0: for ever.
    pub replica_validity_factor: i64,
    /// `cluster-replica-no-failover`: this node does not take over by itself.
    pub replica_no_failover: bool,
    /// `repl-ping-replica-period`, seconds.
    pub repl_ping_replica_period_s: i64,
}

impl Default for Options {
    /// Redis's defaults, at port 6379.
    fn default() -> Self {
        Self {
            port: 6379,
            bus_port: 16_379,
            announce_ip: None,
            node_timeout_ms: 15_000,
            require_full_coverage: true,
            allow_reads_when_down: false,
            allow_shard_channels_when_down: true,
            allow_replica_migration: true,
            migration_barrier: 1,
            replica_validity_factor: 10,
            replica_no_failover: false,
            repl_ping_replica_period_s: 10,
        }
    }
}

/// What the cluster needs to know of the node's replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// A master: bytes that it wrote to its replication stream. A replica: bytes of it that it has processed, 0 if none.
    pub offset: i64,
    /// The stream from this node's master; of no meaning on a master.
    pub master_link: MasterLink,
}

impl Default for Facts {
    /// A node that has not replicated anything.
    fn default() -> Self {
        Self { offset: 0, master_link: MasterLink::Down { since_ms: 0 } }
    }
}

/// A replica's stream of replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MasterLink {
    /// It is up and in sync.
    Up {
        /// When something last came over it: milliseconds since the Unix epoch.
        last_heard_ms: i64,
    },
    /// It is not.
    Down {
        /// Since when: milliseconds since the Unix epoch; 0 if it never was up.
        since_ms: i64,
    },
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a link of the bus. Report with [`Cluster::on_link_up`] or [`Cluster::on_link_down`].
    Connect {
        /// Its number from now on.
        link: LinkId,
        /// To this address.
        ip: String,
        /// The port of the bus there.
        port: u16,
    },
    /// Send a message. A link that is still being opened keeps it until it is up.
    Send {
        /// To whom.
        link: LinkId,
        /// The whole message.
        bytes: Bytes,
    },
    /// Close a link: what was not sent is not wanted any more. Nothing more is to be reported of it.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Write [`Cluster::nodes_conf`] to disk before any later action.
    Persist {
        /// It must survive a loss of power, too.
        fsync: bool,
    },
    /// Replicate from this master from now on (`REPLICAOF`), whatever this node did before.
    ReplicateFrom {
        /// Its name.
        master: NodeId,
        /// Its address.
        ip: String,
        /// Its port for clients.
        port: u16,
    },
    /// Replicate from nobody any more (`REPLICAOF NO ONE`).
    BecomeMaster,
    /// This node was a master, and another one has taken over its last slot: what was written here up to this offset
    /// and has not reached the other will be lost. [`Action::ReplicateFrom`] follows.
    Demoted {
        /// The new master.
        by: NodeId,
        /// This node's replication offset. Bytes.
        offset: i64,
    },
    /// Hold back all commands that may write, until this time at the latest: milliseconds since the Unix epoch by the
    /// wall clock.
    PauseWrites {
        /// The deadline.
        until_ms: i64,
    },
    /// Hold back nothing any more.
    ResumeWrites,
    /// Delete the keys of these slots: they are another's now, while this node still serves others.
    DropKeysOfSlots(SlotSet),
    /// End the subscriptions to the channels of these slots (`sunsubscribe`): they changed hands.
    DropChannelsOfSlots(SlotSet),
    /// Delete all keys.
    FlushData,
    /// This node has come to hold another one for failed (`FAIL`): for those who watch over the cluster.
    HeldForFailed {
        /// The other one.
        node: NodeId,
    },
    /// This node, a replica, has become the master of the slots of its master (failover): for those who watch over the
    /// cluster.
    TookOver,
    /// Deliver a message to the node's own subscribers.
    Publish {
        /// The channel belongs to a slot.
        shard: bool,
        /// The channel.
        channel: Bytes,
        /// The message.
        message: Bytes,
    },
}

/// A source of random bits.
pub type Random = Box<dyn FnMut() -> u64 + Send>;

/// What is left to do at the end of an input (`clusterDoBeforeSleep`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Todo {
    failover: bool,
    manual_failover: bool,
    update_state: bool,
    save: bool,
    /// Only with `save`.
    fsync: bool,
}

/// A node of a cluster.
pub struct Cluster {
    options: Options,
    random: Random,
    nodes: Nodes,
    myself: Handle,
    slots: SlotTable,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    /// Names that are not learnt again before this time (seconds since the Unix epoch): they were forgotten.
    forgotten: BTreeMap<NodeId, i64>,
    current_epoch: u64,
    last_vote_epoch: u64,
    /// Is the cluster up, as far as this node can see?
    up: bool,
    /// Number of masters with slots.
    size: usize,
    election: Election,
    /// Has replication been told of this node's master?
    replicating: bool,
    /// When the state was first looked at; 0: not yet.
    first_update_ms: i64,
    /// When this node last saw itself among a minority.
    minority_ms: i64,
    cron_runs: u64,
    heartbeats: u64,
    /// Nodes with the flag PFAIL, as of the last cron.
    pfail_nodes: usize,
    sent: [u64; message::Kind::ALL.len()],
    received: [u64; message::Kind::ALL.len()],
    /// Of the input that is being handled.
    now_ms: i64,
    facts: Facts,
    todo: Todo,
    actions: VecDeque<Action>,
    /// Place in `actions` of the first one of the input that is being handled.
    mark: usize,
    /// Slots whose channels are to be dropped at the end of the input.
    lost_channels: SlotSet,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &self.id())
            .field("flags", &self.me().flags)
            .field("current_epoch", &self.current_epoch)
            .field("config_epoch", &self.me().config_epoch)
            .field("up", &self.up)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// A node on its first day: alone, a master without slots, with a name drawn from the source. The first actions
    /// are about its file.
    pub fn new(options: Options, mut random: Random, now_ms: i64) -> Self {
        let me = Node::new(NodeId::draw(&mut random), Flags::MYSELF | Flags::MASTER, now_ms);
        let mut nodes = Nodes::default();
        let myself = nodes.add(me).expect("there is room for the first node");
        let mut cluster = Self::start(options, random, nodes, myself, now_ms);
        cluster.save(true);
        cluster.finish();
        cluster
    }

    /// A node that was loaded or made.
    fn start(options: Options, random: Random, nodes: Nodes, myself: Handle, now_ms: i64) -> Self {
        let mut cluster = Self {
            options,
            random,
            nodes,
            myself,
            slots: SlotTable::default(),
            links: BTreeMap::new(),
            next_link: 1,
            forgotten: BTreeMap::new(),
            current_epoch: 0,
            last_vote_epoch: 0,
            up: false,
            size: 1,
            election: Election::default(),
            replicating: false,
            first_update_ms: 0,
            minority_ms: 0,
            cron_runs: 0,
            heartbeats: 0,
            pfail_nodes: 0,
            sent: Default::default(),
            received: Default::default(),
            now_ms,
            facts: Facts::default(),
            todo: Todo::default(),
            actions: VecDeque::new(),
            mark: 0,
            lost_channels: SlotSet::default(),
        };
        cluster.announce();
        cluster
    }

    /// Changes the configuration, as `CONFIG SET` does.
    pub fn configure(&mut self, now_ms: i64, facts: &Facts, options: Options) {
        self.begin(now_ms, facts);
        if self.options.announce_ip != options.announce_ip && options.announce_ip.is_none() {
            // To be found out anew.
            self.me_mut().ip.clear();
        }
        self.options = options;
        self.announce();
        self.finish();
    }

    /// Takes over what the configuration says of this node.
    fn announce(&mut self) {
        let (port, bus_port, ip) =
            (self.options.port, self.options.bus_port, self.options.announce_ip.clone());
        let no_failover =
            if self.options.replica_no_failover { Flags::NO_FAILOVER } else { Flags::default() };
        let me = self.me_mut();
        (me.port, me.bus_port) = (port, bus_port);
        if let Some(ip) = ip {
            me.ip = ip;
        }
        let before = me.flags;
        me.flags.clear(Flags::NO_FAILOVER);
        me.flags.set(no_failover);
        if me.flags != before {
            self.save(false);
            self.todo.update_state = true;
        }
    }

    /// What is to be done next; `None` when all is done.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.me().id
    }

    /// What this node knows of itself.
    pub fn me(&self) -> &Node {
        &self.nodes[self.myself]
    }

    fn me_mut(&mut self) -> &mut Node {
        &mut self.nodes[self.myself]
    }

    /// The configuration.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Is the cluster up (`cluster_state:ok`), as far as this node can see?
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// The newest epoch that this node knows of.
    pub fn current_epoch(&self) -> u64 {
        self.current_epoch
    }

    /// The epoch of the last vote that this node gave.
    pub fn last_vote_epoch(&self) -> u64 {
        self.last_vote_epoch
    }

    /// All known nodes, this one and those in handshake included, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().map(|(_, node)| node)
    }

    /// A known node.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.find(id).map(|handle| &self.nodes[handle])
    }

    /// The master of a replica, if it is known.
    pub fn master_of(&self, node: &Node) -> Option<&Node> {
        node.master.map(|master| &self.nodes[master])
    }

    /// The node that serves a slot.
    pub fn owner(&self, slot: Slot) -> Option<&Node> {
        self.slots.owner(slot).map(|owner| &self.nodes[owner])
    }

    /// A replica's offset moved while [`Cluster::awaits_offset`]: a manual failover may go on at once instead of with
    /// the next cron.
    pub fn on_offset(&mut self, now_ms: i64, facts: &Facts) {
        self.begin(now_ms, facts);
        self.finish();
    }

    /// Does a manual failover wait for this replica to have processed all of its master's writes?
    pub fn awaits_offset(&self) -> bool {
        self.todo.manual_failover
    }

    /// Starts an input.
    fn begin(&mut self, now_ms: i64, facts: &Facts) {
        self.now_ms = now_ms;
        self.facts = *facts;
        self.mark = self.actions.len();
    }

    /// Ends an input: does what was left to do, and puts what must be on disk ahead of what is told to others.
    fn finish(&mut self) {
        let mut saved = None;
        let mut waits_for_offset = false;
        while self.todo != Todo::default() {
            let todo = std::mem::take(&mut self.todo);
            if todo.manual_failover && self.me().is_replica() {
                self.handle_manual_failover();
                self.handle_failover();
                // What it waits for comes with another input.
                waits_for_offset |= std::mem::take(&mut self.todo.manual_failover);
            } else if todo.failover {
                self.handle_failover();
            }
            if todo.update_state {
                self.update_state();
            }
            if todo.save {
                saved = Some(saved.unwrap_or(false) || todo.fsync);
            }
        }
        self.todo.manual_failover = waits_for_offset;
        if !self.lost_channels.is_empty() {
            let slots = std::mem::take(&mut self.lost_channels);
            self.actions.push_back(Action::DropChannelsOfSlots(slots));
        }
        if let Some(fsync) = saved {
            self.actions.insert(self.mark, Action::Persist { fsync });
        }
    }

    /// Asks for the configuration to be written at the end of the input.
    fn save(&mut self, fsync: bool) {
        self.todo.save = true;
        self.todo.fsync |= fsync;
    }

    fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// A random number below `bound`, which is not 0.
    fn draw(&mut self, bound: usize) -> usize {
        // The product's upper half is below the bound.
        ((u128::from((self.random)()) * bound as u128) >> 64) as usize
    }

    /// Sends a message over a link, if it is there.
    fn send(&mut self, link: Option<LinkId>, body: &Body<'_>) {
        if let Some(link) = link {
            let bytes = message::encode(&self.header(), body).into();
            self.send_bytes(link, bytes, body.kind());
        }
    }

    /// Sends a message to all nodes that this node is connected to.
    fn broadcast(&mut self, header: &Header, body: &Body<'_>) {
        let bytes = Bytes::from(message::encode(header, body));
        let others = self.nodes.iter().filter(|(_, node)| !node.flags.any(Flags::MYSELF | Flags::HANDSHAKE));
        let links: Vec<_> = others.filter_map(|(_, node)| node.link).collect();
        for link in links {
            self.send_bytes(link, bytes.clone(), body.kind());
        }
    }

    fn send_bytes(&mut self, link: LinkId, bytes: Bytes, kind: message::Kind) {
        self.sent[kind as usize] += 1;
        self.push(Action::Send { link, bytes });
    }

    /// What this node says of itself in every message. A replica speaks of its master's slots.
    fn header(&self) -> Header {
        let me = self.me();
        let speaker = me.master.filter(|_| me.is_replica()).map_or(me, |master| &self.nodes[master]);
        Header {
            port: me.port,
            current_epoch: self.current_epoch,
            config_epoch: speaker.config_epoch,
            offset: self.facts.offset,
            sender: me.id,
            slots: speaker.slots.clone(),
            master: me.master.map(|master| self.nodes[master].id),
            ip: self.options.announce_ip.clone().unwrap_or_default(),
            plain_port: 0,
            bus_port: me.bus_port,
            flags: me.flags,
            down: !self.up,
            paused: me.is_master() && self.election.manual_until_ms != 0,
            force_ack: false,
        }
    }

    /// Forwards a message for the subscribers of a channel: to all nodes, or (`shard`) to those of this node's shard.
    /// Messages above [`message::MAX_LENGTH`] go nowhere.
    pub fn publish(&mut self, now_ms: i64, facts: &Facts, shard: bool, channel: &[u8], message: &[u8]) {
        self.begin(now_ms, facts);
        let body = Body::Publish { shard, channel, message };
        let length = channel.len().saturating_add(message.len());
        if length > message::MAX_LENGTH - message::HEADER_LENGTH - 8 {
            // Nobody would accept it.
        } else if shard {
            for handle in self.shard_of(self.myself) {
                let node = &self.nodes[handle];
                if !node.flags.any(Flags::MYSELF | Flags::HANDSHAKE) {
                    self.send(node.link, &body);
                }
            }
        } else {
            self.broadcast(&self.header(), &body);
        }
        self.finish();
    }

    /// A node's master (or itself) and all the master's replicas.
    fn shard_of(&self, node: Handle) -> Vec<Handle> {
        let master = if self.nodes[node].is_master() { Some(node) } else { self.nodes[node].master };
        let Some(master) = master else { return vec![node] };
        let mut shard = vec![master];
        shard.extend(&self.nodes[master].replicas);
        shard
    }
}
