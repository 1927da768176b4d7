//! What this node knows of the others, and of itself.

use std::ops::{Index, IndexMut};

use super::{flags::Flags, id::NodeId, links::LinkId, slot_set::SlotSet};

/// Nodes that are kept at most; further ones are not learnt of. The specification has clusters of up to 1000 nodes in
/// mind, and more masters than slots make no sense.
pub(super) const MAX_NODES: usize = 16_384;

/// A node, as this node sees it. All times are in milliseconds of the wall clock since the Unix epoch; 0: never.
#[derive(Debug, Clone)]
pub struct Node {
    pub(super) id: NodeId,
    pub(super) flags: Flags,
    pub(super) config_epoch: u64,
    /// The slots that it serves: exactly those whose owner it is in the table of slots.
    pub(super) slots: SlotSet,
    pub(super) slot_count: u32,
    /// Its replicas, in the order in which they became known as such.
    pub(super) replicas: Vec<Handle>,
    pub(super) master: Option<Handle>,
    /// Its address; empty while unknown.
    pub(super) ip: String,
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) plain_port: u16,
    pub(super) bus_port: u16,
    /// The link that this node opened to it.
    pub(super) link: Option<LinkId>,
    /// The link that it opened to this node.
    pub(super) inbound: Option<LinkId>,
    pub(super) created_ms: i64,
    /// When the ping was sent that it has yet to answer.
    pub(super) ping_sent_ms: i64,
    pub(super) pong_received_ms: i64,
    pub(super) data_received_ms: i64,
    pub(super) failed_ms: i64,
    /// When this node last voted for one of its replicas.
    pub(super) voted_ms: i64,
    pub(super) orphaned_ms: i64,
    pub(super) offset: i64,
    /// Those who reported it as failing, and when.
    pub(super) reports: Vec<(Handle, i64)>,
    /// Number of the heartbeat that it was last gossiped about in.
    pub(super) gossiped_in: u64,
}

impl Node {
    pub(super) fn new(id: NodeId, flags: Flags, created_ms: i64) -> Self {
        Self {
            id,
            flags,
            config_epoch: 0,
            slots: SlotSet::default(),
            slot_count: 0,
            replicas: Vec::new(),
            master: None,
            ip: String::new(),
            hostname: String::new(),
            port: 0,
            plain_port: 0,
            bus_port: 0,
            link: None,
            inbound: None,
            created_ms,
            ping_sent_ms: 0,
            pong_received_ms: 0,
            data_received_ms: 0,
            failed_ms: 0,
            voted_ms: 0,
            orphaned_ms: 0,
            offset: 0,
            reports: Vec::new(),
            gossiped_in: 0,
        }
    }

    /// Its name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What is noted of it.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Does it act as a master?
    pub fn is_master(&self) -> bool {
        self.flags.any(Flags::MASTER)
    }

    /// Is it a replica?
    pub fn is_replica(&self) -> bool {
        self.flags.any(Flags::REPLICA)
    }

    /// Do a majority of the masters hold it for failed?
    pub fn has_failed(&self) -> bool {
        self.flags.any(Flags::FAIL)
    }

    /// Is it not known yet which node this is?
    pub fn in_handshake(&self) -> bool {
        self.flags.any(Flags::HANDSHAKE)
    }

    /// The epoch of its configuration. The highest one that claims a slot has it.
    pub fn config_epoch(&self) -> u64 {
        self.config_epoch
    }

    /// The slots that it serves.
    pub fn slots(&self) -> &SlotSet {
        &self.slots
    }

    /// Its address as text; empty while unknown.
    pub fn ip(&self) -> &str {
        &self.ip
    }

    /// Its port for clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its port of the cluster bus.
    pub fn bus_port(&self) -> u16 {
        self.bus_port
    }

    /// The replication offset that it last told of. Bytes.
    pub fn offset(&self) -> i64 {
        self.offset
    }
}

/// The place of a node. It is reused when the node is forgotten, so whoever forgets a node clears all that refer
/// to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle(u16);

/// All known nodes, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    places: Vec<Option<Node>>,
    /// Sorted by name: iteration is in the same order in every run, a random one is found at once.
    by_id: Vec<(NodeId, Handle)>,
}

impl Nodes {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds a node; `None` if there are too many, or one of this name.
    pub(super) fn add(&mut self, node: Node) -> Option<Handle> {
        let place = self.by_id.binary_search_by_key(&node.id, |(id, _)| *id).err()?;
        let free = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if free >= MAX_NODES {
            return None;
        }
        let handle = Handle(u16::try_from(free).ok()?);
        self.by_id.insert(place, (node.id, handle));
        match self.places.get_mut(free) {
            Some(place) => *place = Some(node),
            None => self.places.push(Some(node)),
        }
        Some(handle)
    }

    /// Takes a node out. Others may still refer to it.
    pub(super) fn remove(&mut self, handle: Handle) -> Option<Node> {
        let node = self.places.get_mut(usize::from(handle.0))?.take()?;
        self.by_id.retain(|(_, known)| *known != handle);
        Some(node)
    }

    /// Gives a node another name, unless that is another's.
    pub(super) fn rename(&mut self, handle: Handle, id: NodeId) {
        let Err(_) = self.by_id.binary_search_by_key(&id, |(id, _)| *id) else { return };
        self.by_id.retain(|(_, known)| *known != handle);
        let place = self.by_id.partition_point(|(known, _)| *known < id);
        self.by_id.insert(place, (id, handle));
        self[handle].id = id;
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<Handle> {
        let place = self.by_id.binary_search_by_key(id, |(id, _)| *id).ok()?;
        self.by_id.get(place).map(|(_, handle)| *handle)
    }

    /// The nodes, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Handle, &Node)> {
        self.by_id.iter().map(|(_, handle)| (*handle, &self[*handle]))
    }

    /// The same, for loops that change the nodes.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.by_id.iter().map(|(_, handle)| *handle).collect()
    }

    /// The node at a place in the order of the names.
    pub(super) fn nth(&self, place: usize) -> Option<Handle> {
        self.by_id.get(place).map(|(_, handle)| *handle)
    }
}

/// Why there is a node at every handle.
const KNOWN: &str = "whoever forgets a node clears all that refer to it";

impl Index<Handle> for Nodes {
    type Output = Node;
    fn index(&self, handle: Handle) -> &Node {
        self.places[usize::from(handle.0)].as_ref().expect(KNOWN)
    }
}

impl IndexMut<Handle> for Nodes {
    fn index_mut(&mut self, handle: Handle) -> &mut Node {
        self.places[usize::from(handle.0)].as_mut().expect(KNOWN)
    }
}
