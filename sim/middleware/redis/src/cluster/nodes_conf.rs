//! `nodes.conf`: the file by which a node knows after a restart who it is, who the others are, and for which epoch it
//! voted. A line per node, as `CLUSTER NODES` prints them, and one with variables.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    Cluster, Flags, NodeId, Options, Random,
    node::{Handle, Node, Nodes},
    slot_set::{SLOTS, Slot},
};

/// Ports of the bus are so far above those for clients in files of old versions, which do not have them.
pub(super) const BUS_PORT_OFFSET: u16 = 10_000;

/// A file that no node has written: Redis refuses to start with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nodes.conf, line {line}: {what}")]
pub struct Corrupt {
    /// Number of the line, from 1; 0 if it is about the whole file.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl Cluster {
    /// The content of `nodes.conf`.
    pub fn nodes_conf(&self) -> String {
        let mut text = self.describe_nodes(Flags::HANDSHAKE);
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "vars currentEpoch {} lastVoteEpoch {}", self.current_epoch, self.last_vote_epoch);
        text
    }

    /// A line per node, except those with one of these flags.
    pub(super) fn describe_nodes(&self, except: Flags) -> String {
        let mut text = String::new();
        for (handle, _) in self.nodes.iter().filter(|(_, node)| !node.flags.any(except)) {
            self.describe_node(handle, &mut text);
            text.push('\n');
        }
        text
    }

    /// A node's line, without its end.
    pub(super) fn describe_node(&self, handle: Handle, text: &mut String) {
        let node = &self.nodes[handle];
        let hostname = if node.hostname.is_empty() { "" } else { "," };
        let master = node.master.map(|master| &self.nodes[master]);
        let name = master.map_or("-", |master| master.id.as_str());
        let epoch = master.filter(|_| node.is_replica()).unwrap_or(node).config_epoch;
        let connected = node.link.is_some() || handle == self.myself;
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{} {}:{}@{}{hostname}{} {} {name} {} {} {epoch} {}",
            node.id,
            node.ip,
            node.port,
            node.bus_port,
            node.hostname,
            node.flags,
            node.ping_sent_ms,
            node.pong_received_ms,
            if connected { "connected" } else { "disconnected" },
        );
        for (first, last) in node.slots.ranges() {
            let _ = if first == last { write!(text, " {first}") } else { write!(text, " {first}-{last}") };
        }
        if handle == self.myself {
            self.describe_migrations(text);
        }
    }

    fn describe_migrations(&self, text: &mut String) {
        // A slot on its way out is not shown as being on its way in as well.
        let importing = self.slots.importing.iter().map(|(slot, node)| (*slot, ('<', *node)));
        let migrating = self.slots.migrating.iter().map(|(slot, node)| (*slot, ('>', *node)));
        let open: BTreeMap<Slot, (char, Handle)> = importing.chain(migrating).collect();
        for (slot, (direction, node)) in open {
            // Writing to a string cannot fail.
            let _ = write!(text, " [{slot}-{direction}-{}]", self.nodes[node].id);
        }
    }

    /// A node after a restart, from its file.
    ///
    /// # Errors
    /// When the file is not as [`Cluster::nodes_conf`] writes it.
    pub fn load(options: Options, random: Random, now_ms: i64, text: &str) -> Result<Self, Corrupt> {
        const NOBODY: Corrupt = Corrupt { line: 0, what: "it does not say who this node is" };
        let me = Node::new(who_am_i(text).ok_or(NOBODY)?, Flags::MYSELF, now_ms);
        let mut nodes = Nodes::default();
        let myself = nodes.add(me).expect("there is room for the first node");
        let mut cluster = Self::start(options, random, nodes, myself, now_ms);
        for (number, line) in text.lines().enumerate() {
            let at_line = |what| Corrupt { line: number + 1, what };
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            match fields.split_first() {
                None => {}
                Some((first, rest)) if first.eq_ignore_ascii_case("vars") => {
                    cluster.load_variables(rest).map_err(at_line)?;
                }
                Some(_) => cluster.load_node(&fields).map_err(at_line)?,
            }
        }
        let highest = cluster.nodes.iter().map(|(_, node)| node.config_epoch).max().unwrap_or(0);
        cluster.current_epoch = cluster.current_epoch.max(highest);
        cluster.announce();
        cluster.finish();
        Ok(cluster)
    }

    fn load_variables(&mut self, rest: &[&str]) -> Result<(), &'static str> {
        let (pairs, []) = rest.as_chunks::<2>() else { return Err("a variable without a value") };
        for [name, value] in pairs {
            if name.eq_ignore_ascii_case("currentEpoch") {
                self.current_epoch = value.parse().map_err(|_| "an epoch that is no number")?;
            } else if name.eq_ignore_ascii_case("lastVoteEpoch") {
                self.last_vote_epoch = value.parse().map_err(|_| "an epoch that is no number")?;
            }
        }
        Ok(())
    }

    fn load_node(&mut self, fields: &[&str]) -> Result<(), &'static str> {
        let [id, address, flags, master, ping, pong, epoch, _link, slots @ ..] = fields else {
            return Err("less than eight fields");
        };
        let handle = self.named(id)?;
        let now_ms = self.now_ms;
        let node = &mut self.nodes[handle];
        load_address(node, address)?;
        for name in flags.split(',') {
            let flag = Flags::from_name(name).ok_or("an unknown flag")?;
            node.flags.set(flag);
        }
        if node.has_failed() {
            node.failed_ms = now_ms;
        }
        // The times do not survive a restart, only that there was one.
        let since = |text: &str| if text.parse::<i64>().is_ok_and(|ms| ms != 0) { now_ms } else { 0 };
        (node.ping_sent_ms, node.pong_received_ms) = (since(ping), since(pong));
        let is_replica = node.is_replica();
        if node.flags.any(Flags::MYSELF) && handle != self.myself {
            return Err("a second node that is this one");
        }
        if *master != "-" {
            let master = self.named(master)?;
            self.nodes[handle].master = Some(master);
            self.add_replica(master, handle);
        }
        let epoch = epoch.parse().map_err(|_| "an epoch that is no number")?;
        self.nodes[handle].config_epoch = if is_replica && *master != "-" { 0 } else { epoch };
        for field in slots {
            self.load_slots(handle, field)?;
        }
        Ok(())
    }

    /// The node with this name, which is added if it is not known yet.
    fn named(&mut self, name: &str) -> Result<Handle, &'static str> {
        let id = NodeId::parse(name.as_bytes()).ok_or("a name that is none")?;
        match self.nodes.find(&id) {
            Some(node) => Ok(node),
            None => self
                .nodes
                .add(Node::new(id, Flags::default(), self.now_ms))
                .ok_or("more nodes than a cluster can have"),
        }
    }

    /// Reads `5`, `5-7`, `[5->-NAME]` or `[5-<-NAME]`.
    fn load_slots(&mut self, node: Handle, field: &str) -> Result<(), &'static str> {
        let slot =
            |text: &str| text.parse().ok().filter(|slot: &Slot| *slot < SLOTS).ok_or("a slot that is none");
        if let Some(open) = field.strip_prefix('[').and_then(|open| open.strip_suffix(']')) {
            let (number, rest) = open.split_once('-').ok_or("a migration without a direction")?;
            let (number, (direction, other)) =
                (slot(number)?, rest.split_once('-').ok_or("a migration without a direction")?);
            let other = self.named(other)?;
            let table = if direction == ">" { &mut self.slots.migrating } else { &mut self.slots.importing };
            table.insert(number, other);
            return Ok(());
        }
        let (first, last) = field.split_once('-').unwrap_or((field, field));
        for slot in slot(first)?..=slot(last)? {
            self.assign(slot, node);
        }
        Ok(())
    }
}

/// The name in the line that has the flag `myself`.
fn who_am_i(text: &str) -> Option<NodeId> {
    text.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (id, flags) = (fields.next()?, fields.nth(1)?);
        let mine = flags.split(',').any(|flag| Flags::from_name(flag) == Some(Flags::MYSELF));
        NodeId::parse(id.as_bytes()).filter(|_| mine)
    })
}

/// Reads `ip:port@busport,hostname`; the last two may be missing.
fn load_address(node: &mut Node, text: &str) -> Result<(), &'static str> {
    let (address, hostname) = text.split_once(',').unwrap_or((text, ""));
    let (ip, ports) = address.rsplit_once(':').ok_or("an address without a port")?;
    let (port, bus_port) = ports.split_once('@').map_or((ports, None), |(port, bus)| (port, Some(bus)));
    let number = |text: &str| text.parse::<u16>().map_err(|_| "a port that is none");
    node.hostname = hostname.into();
    node.ip = ip.into();
    node.port = number(port)?;
    node.bus_port = match bus_port {
        Some(bus_port) => number(bus_port)?,
        None => node.port.saturating_add(BUS_PORT_OFFSET),
    };
    Ok(())
}
