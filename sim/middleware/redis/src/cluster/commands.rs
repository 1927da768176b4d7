//! The `CLUSTER` command, with the replies and errors of Redis 7.0.

use std::net::IpAddr;

use wire::redis::reply::Writer;

use super::{
    Cluster, Facts, Flags, NodeId,
    node::{Handle, Node},
    nodes_conf::BUS_PORT_OFFSET,
    slot_set::{SLOTS, Slot, SlotSet, key_slot},
};
use crate::{
    commands::{Args, is, reply_help, wrong_subcommand},
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::Blob,
    number::{integer, parse_i64},
};

/// A forgotten node is not learnt of again for so long. Seconds.
const FORGOTTEN_S: i64 = 60;

/// The subcommands, with their arity (the container included).
pub const SUBCOMMANDS: &[(&str, i8)] = &[
    ("addslots", -3),
    ("addslotsrange", -4),
    ("bumpepoch", 2),
    ("count-failure-reports", 3),
    ("countkeysinslot", 3),
    ("delslots", -3),
    ("delslotsrange", -4),
    ("failover", -2),
    ("flushslots", 2),
    ("forget", 3),
    ("getkeysinslot", 4),
    ("help", 2),
    ("info", 2),
    ("keyslot", 3),
    ("links", 2),
    ("meet", -4),
    ("myid", 2),
    ("nodes", 2),
    ("replicas", 3),
    ("replicate", 3),
    ("reset", -2),
    ("saveconfig", 2),
    ("set-config-epoch", 3),
    ("setslot", -4),
    ("shards", 2),
    ("slaves", 3),
    ("slots", 2),
];

const HELP: &[&str] = &[
    "ADDSLOTS <slot> [<slot> ...]",
    "    Assign slots to current node.",
    "ADDSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
    "    Assign slots which are between <start-slot> and <end-slot> to current node.",
    "BUMPEPOCH",
    "    Advance the cluster config epoch.",
    "COUNT-FAILURE-REPORTS <node-id>",
    "    Return number of failure reports for <node-id>.",
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "DELSLOTS <slot> [<slot> ...]",
    "    Delete slots information from current node.",
    "DELSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
    "    Delete slots information which are between <start-slot> and <end-slot> from current node.",
    "FAILOVER [FORCE|TAKEOVER]",
    "    Promote current replica node to being a master.",
    "FORGET <node-id>",
    "    Remove a node from the cluster.",
    "GETKEYSINSLOT <slot> <count>",
    "    Return key names stored by current node in a slot.",
    "FLUSHSLOTS",
    "    Delete current node own slots information.",
    "INFO",
    "    Return information about the cluster.",
    "KEYSLOT <key>",
    "    Return the hash slot for <key>.",
    "MEET <ip> <port> [<bus-port>]",
    "    Connect nodes into a working cluster.",
    "MYID",
    "    Return the node id.",
    "NODES",
    "    Return cluster configuration seen by node. Output format:",
    "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICATE <node-id>",
    "    Configure current node as replica to <node-id>.",
    "RESET [HARD|SOFT]",
    "    Reset current node (default: soft).",
    "SET-CONFIG-EPOCH <epoch>",
    "    Set config epoch of current node.",
    "SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)",
    "    Set slot state.",
    "REPLICAS <node-id>",
    "    Return <node-id> replicas.",
    "SAVECONFIG",
    "    Force saving cluster configuration on disk.",
    "SLOTS",
    "    Return information about slots range mappings. Each range is made of:",
    "    start, end, master and replicas IP addresses, ports and ids",
    "SHARDS",
    "    Return information about slot range mappings and the nodes associated with them.",
    "LINKS",
    "    Return information about all network links between this node and its peers.",
    "    Output format is an array where each array element is a map containing attributes of a link",
];

const BAD_SLOT: ReplyError = fixed("ERR Invalid or out of range slot");
const TARGET_NOT_A_MASTER: ReplyError = fixed("ERR Target node is not a master");

/// What the commands need to know of the node's data.
pub trait Keys {
    /// Number of keys of a slot.
    fn count(&self, slot: Slot) -> usize;
    /// So many keys of a slot, or all if there are less. Redis gives the newest first.
    fn some_of(&self, slot: Slot, most: usize) -> Vec<Blob>;
    /// Is there no key at all?
    fn is_empty(&self) -> bool;
}

impl Cluster {
    /// Runs `CLUSTER` with its arguments, the name of the command first, and writes the reply. The number of
    /// arguments was checked against [`SUBCOMMANDS`].
    pub fn command(
        &mut self,
        now_ms: i64,
        facts: &Facts,
        keys: &dyn Keys,
        args: &[&[u8]],
        reply: &mut Writer,
    ) {
        self.begin(now_ms, facts);
        let mark = reply.len();
        if let Err(error) = self.run(keys, args, reply) {
            reply.truncate(mark);
            reply.error(error.as_bytes());
        }
        self.finish();
    }

    fn run(&mut self, keys: &dyn Keys, args: &Args<'_>, reply: &mut Writer) -> Outcome {
        let Some(subcommand) = args.get(1) else { return Err(ReplyError::wrong_arity("cluster")) };
        let subcommand = subcommand.to_ascii_lowercase();
        match (subcommand.as_slice(), &args[2..]) {
            (b"help", []) => reply_help(reply, args, HELP),
            (b"myid", []) => reply.bulk(self.id().as_bytes()),
            (b"nodes", []) => reply.text(&self.describe_nodes(Flags::default())),
            (b"info", []) => reply.text(&self.info()),
            (b"slots", []) => self.reply_slots(reply),
            (b"shards", []) => self.reply_shards(reply),
            (b"links", []) => self.reply_links(reply),
            (b"replicas" | b"slaves", [id]) => self.reply_replicas(id, reply)?,
            (b"keyslot", [key]) => reply.integer(key_slot(key).into()),
            (b"countkeysinslot", [slot]) => count_keys(keys, slot, reply)?,
            (b"getkeysinslot", [slot, count]) => get_keys(keys, slot, count, reply)?,
            (b"count-failure-reports", [id]) => {
                let node = self.lookup(id)?;
                reply.count(self.count_reports(node));
            }
            (b"bumpepoch", []) => {
                let word = if self.bump_epoch() { "BUMPED" } else { "STILL" };
                reply.status(&format!("{word} {}", self.me().config_epoch));
            }
            _ => {
                self.change(keys, args, &subcommand)?;
                reply.ok();
            }
        }
        Ok(())
    }

    /// Runs what replies with OK.
    fn change(&mut self, keys: &dyn Keys, args: &Args<'_>, subcommand: &[u8]) -> Outcome {
        match (subcommand, &args[2..]) {
            (b"meet", [ip, port]) => self.meet(ip, port, None),
            (b"meet", [ip, port, bus_port]) => self.meet(ip, port, Some(bus_port)),
            (b"addslots", slots @ [_, ..]) => self.change_slots(slots, true),
            (b"delslots", slots @ [_, ..]) => self.change_slots(slots, false),
            (b"addslotsrange", ranges @ [_, _, ..]) => self.change_ranges(ranges, true),
            (b"delslotsrange", ranges @ [_, _, ..]) => self.change_ranges(ranges, false),
            (b"flushslots", []) => self.flush_slots(keys),
            (b"setslot", [slot, rest @ ..]) if !rest.is_empty() => self.set_slot(keys, slot, rest),
            (b"replicate", [id]) => self.replicate_node(keys, id),
            (b"forget", [id]) => self.forget(id),
            (b"failover", []) => self.failover(Failover::Agreed),
            (b"failover", [how]) if is(how, "FORCE") => self.failover(Failover::Forced),
            (b"failover", [how]) if is(how, "TAKEOVER") => self.failover(Failover::Takeover),
            (b"reset", []) => self.reset(keys, false),
            (b"reset", [how]) if is(how, "SOFT") => self.reset(keys, false),
            (b"reset", [how]) if is(how, "HARD") => self.reset(keys, true),
            (b"failover" | b"reset", [_]) => Err(SYNTAX),
            (b"set-config-epoch", [epoch]) => self.set_config_epoch(epoch),
            (b"saveconfig", []) => {
                self.save(true);
                Ok(())
            }
            _ => Err(wrong_subcommand(args)),
        }
    }

    /// A known node by its name.
    fn lookup(&self, id: &[u8]) -> Result<Handle, ReplyError> {
        self.find(id).ok_or_else(|| named("Unknown node", id))
    }

    fn find(&self, id: &[u8]) -> Option<Handle> {
        self.nodes.find(&NodeId::parse(id)?)
    }

    fn reply_replicas(&self, id: &[u8], reply: &mut Writer) -> Outcome {
        let master = &self.nodes[self.lookup(id)?];
        if master.is_replica() {
            return Err(fixed("ERR The specified node is not a master"));
        }
        reply.array(master.replicas.len());
        for replica in &master.replicas {
            let mut line = String::new();
            self.describe_node(*replica, &mut line);
            reply.bulk(line.as_bytes());
        }
        Ok(())
    }

    /// `CLUSTER MEET`: starts a handshake with whoever is at an address.
    fn meet(&mut self, ip: &[u8], port: &[u8], bus_port: Option<&&[u8]>) -> Outcome {
        let number = |what, text: &[u8]| {
            parse_i64(text).ok_or_else(|| {
                ReplyError::new(format!(
                    "ERR Invalid TCP {what} port specified: {}",
                    String::from_utf8_lossy(text)
                ))
            })
        };
        let base = number("base", port)?;
        let bus = match bus_port {
            Some(bus_port) => number("bus", bus_port)?,
            None => base.wrapping_add(BUS_PORT_OFFSET.into()),
        };
        // Through C's `int`, as in Redis.
        let valid = |port: i64| u16::try_from(port as i32).ok().filter(|port| *port != 0);
        let address = std::str::from_utf8(ip).ok().and_then(|ip| ip.parse::<IpAddr>().ok());
        let (Some(ip), Some(base), Some(bus)) = (address, valid(base), valid(bus)) else {
            let (ip, port) = (String::from_utf8_lossy(ip), String::from_utf8_lossy(port));
            return Err(ReplyError::new(format!("ERR Invalid node address specified: {ip}:{port}")));
        };
        let ip = ip.to_string();
        let under_way =
            |node: &Node| node.in_handshake() && node.ip == ip && (node.port, node.bus_port) == (base, bus);
        if !self.nodes().any(under_way) {
            let id = NodeId::draw(&mut self.random);
            let mut node = Node::new(id, Flags::HANDSHAKE | Flags::MEET, self.now_ms);
            node.ip = ip;
            (node.port, node.bus_port) = (base, bus);
            self.nodes.add(node);
        }
        Ok(())
    }

    fn change_slots(&mut self, slots: &[&[u8]], add: bool) -> Outcome {
        let numbers: Result<Vec<Slot>, _> = slots.iter().map(|slot| slot_argument(slot)).collect();
        let mut chosen = SlotSet::default();
        for slot in numbers? {
            self.choose(&mut chosen, slot, add)?;
        }
        self.change_chosen(&chosen, add);
        Ok(())
    }

    fn change_ranges(&mut self, ranges: &[&[u8]], add: bool) -> Outcome {
        let (ranges, []) = ranges.as_chunks::<2>() else {
            let name = if add { "cluster|addslotsrange" } else { "cluster|delslotsrange" };
            return Err(ReplyError::wrong_arity(name));
        };
        let mut chosen = SlotSet::default();
        for [first, last] in ranges {
            let (first, last) = (slot_argument(first)?, slot_argument(last)?);
            if first > last {
                return Err(ReplyError::new(format!(
                    "ERR start slot number {first} is greater than end slot number {last}"
                )));
            }
            for slot in first..=last {
                self.choose(&mut chosen, slot, add)?;
            }
        }
        self.change_chosen(&chosen, add);
        Ok(())
    }

    fn choose(&self, chosen: &mut SlotSet, slot: Slot, add: bool) -> Outcome {
        let refusal = match self.slots.owner(slot) {
            Some(_) if add => "is already busy",
            None if !add => "is already unassigned",
            _ if !chosen.insert(slot) => "specified multiple times",
            _ => return Ok(()),
        };
        Err(ReplyError::new(format!("ERR Slot {slot} {refusal}")))
    }

    fn change_chosen(&mut self, chosen: &SlotSet, add: bool) {
        for slot in chosen.iter() {
            self.slots.importing.remove(&slot);
            if add {
                self.assign(slot, self.myself);
            } else {
                self.unassign(slot);
            }
        }
        self.save(false);
        self.todo.update_state = true;
    }

    fn flush_slots(&mut self, keys: &dyn Keys) -> Outcome {
        if !keys.is_empty() {
            return Err(fixed("ERR DB must be empty to perform CLUSTER FLUSHSLOTS."));
        }
        self.unassign_all_of(self.myself);
        self.save(false);
        self.todo.update_state = true;
        Ok(())
    }

    fn set_slot(&mut self, keys: &dyn Keys, slot: &[u8], rest: &[&[u8]]) -> Outcome {
        if self.me().is_replica() {
            return Err(fixed("ERR Please use SETSLOT only with masters."));
        }
        let slot = slot_argument(slot)?;
        let mine = self.slots.owner(slot) == Some(self.myself);
        match rest {
            [what, id] if is(what, "MIGRATING") => {
                if !mine {
                    return Err(ReplyError::new(format!("ERR I'm not the owner of hash slot {slot}")));
                }
                let target = self.other_master(id)?;
                self.slots.migrating.insert(slot, target);
            }
            [what, id] if is(what, "IMPORTING") => {
                if mine {
                    return Err(ReplyError::new(format!("ERR I'm already the owner of hash slot {slot}")));
                }
                let source = self.other_master(id)?;
                self.slots.importing.insert(slot, source);
            }
            [what] if is(what, "STABLE") => {
                self.slots.importing.remove(&slot);
                self.slots.migrating.remove(&slot);
            }
            [what, id] if is(what, "NODE") => self.give_slot(keys, slot, id)?,
            _ => {
                return Err(fixed(
                    "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
                ));
            }
        }
        self.save(false);
        self.todo.update_state = true;
        Ok(())
    }

    fn other_master(&self, id: &[u8]) -> Result<Handle, ReplyError> {
        let node = self.find(id).ok_or_else(|| named("I don't know about node", id))?;
        if self.nodes[node].is_replica() { Err(TARGET_NOT_A_MASTER) } else { Ok(node) }
    }

    /// `SETSLOT slot NODE id`: the end of a migration.
    fn give_slot(&mut self, keys: &dyn Keys, slot: Slot, id: &[u8]) -> Outcome {
        let node = self.lookup(id)?;
        if self.nodes[node].is_replica() {
            return Err(TARGET_NOT_A_MASTER);
        }
        let was_mine = self.slots.owner(slot) == Some(self.myself);
        let held = keys.count(slot) > 0;
        if was_mine && node != self.myself && held {
            return Err(ReplyError::new(format!(
                "ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
            )));
        }
        if !held {
            self.slots.migrating.remove(&slot);
        }
        self.unassign(slot);
        self.assign(slot, node);
        if was_mine
            && node != self.myself
            && self.me().slot_count == 0
            && self.options.allow_replica_migration
        {
            self.set_master(node);
            self.save(true);
        }
        if node == self.myself && self.slots.importing.remove(&slot).is_some() {
            // A new epoch lets the others believe it; should it be another's as well, that is resolved later.
            self.bump_epoch();
            self.broadcast_pong(|_| true);
        }
        Ok(())
    }

    fn replicate_node(&mut self, keys: &dyn Keys, id: &[u8]) -> Outcome {
        let master = self.lookup(id)?;
        if master == self.myself {
            return Err(fixed("ERR Can't replicate myself"));
        }
        if self.nodes[master].is_replica() {
            return Err(fixed("ERR I can only replicate a master, not a replica."));
        }
        if self.me().is_master() && (self.me().slot_count > 0 || !keys.is_empty()) {
            return Err(fixed("ERR To set a master the node must be empty and without assigned slots."));
        }
        self.set_master(master);
        self.save(false);
        self.todo.update_state = true;
        Ok(())
    }

    fn forget(&mut self, id: &[u8]) -> Outcome {
        let node = self.lookup(id)?;
        if node == self.myself {
            return Err(fixed("ERR I tried hard but I can't forget myself..."));
        }
        if self.me().is_replica() && self.me().master == Some(node) {
            return Err(fixed("ERR Can't forget my master!"));
        }
        let until_s = self.now_ms / 1000 + FORGOTTEN_S;
        self.forgotten.insert(self.nodes[node].id, until_s);
        self.remove_node(node);
        self.save(false);
        self.todo.update_state = true;
        Ok(())
    }

    fn failover(&mut self, how: Failover) -> Outcome {
        if self.me().is_master() {
            return Err(fixed("ERR You should send CLUSTER FAILOVER to a replica"));
        }
        let Some(master) = self.me().master else {
            return Err(fixed("ERR I'm a replica but my master is unknown to me"));
        };
        let master = &self.nodes[master];
        match how {
            Failover::Agreed if master.has_failed() || master.link.is_none() => {
                return Err(fixed("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"));
            }
            Failover::Agreed => self.start_manual_failover(false),
            Failover::Forced => self.start_manual_failover(true),
            Failover::Takeover => self.take_over(),
        }
        Ok(())
    }

    /// `CLUSTER RESET`: back to the first day, with a new name if it is `hard`.
    fn reset(&mut self, keys: &dyn Keys, hard: bool) -> Outcome {
        if self.me().is_master() && !keys.is_empty() {
            return Err(fixed("ERR CLUSTER RESET can't be called with master nodes containing keys"));
        }
        if self.me().is_replica() {
            self.set_as_master(self.myself);
            self.stop_replicating();
            self.push(super::Action::FlushData);
        }
        self.slots.close_all();
        self.reset_manual_failover();
        for node in self.nodes.handles() {
            self.unassign_all_of(node);
            if node != self.myself {
                self.remove_node(node);
            }
        }
        if hard {
            self.current_epoch = 0;
            self.last_vote_epoch = 0;
            let id = NodeId::draw(&mut self.random);
            self.me_mut().config_epoch = 0;
            self.nodes.rename(self.myself, id);
        }
        self.save(true);
        self.todo.update_state = true;
        Ok(())
    }

    fn set_config_epoch(&mut self, epoch: &[u8]) -> Outcome {
        let epoch = integer(epoch)?;
        let Ok(epoch) = u64::try_from(epoch) else {
            return Err(ReplyError::new(format!("ERR Invalid config epoch specified: {epoch}")));
        };
        if self.nodes.len() > 1 {
            return Err(fixed(
                "ERR The user can assign a config epoch only when the node does not know any other node.",
            ));
        }
        if self.me().config_epoch != 0 {
            return Err(fixed("ERR Node config epoch is already non-zero"));
        }
        self.me_mut().config_epoch = epoch;
        self.current_epoch = self.current_epoch.max(epoch);
        self.save(false);
        self.todo.update_state = true;
        Ok(())
    }
}

/// How a replica takes over by hand.
#[derive(Debug, Clone, Copy)]
enum Failover {
    /// In agreement with its master, without losing a write.
    Agreed,
    /// Without asking its master.
    Forced,
    /// Without asking anybody.
    Takeover,
}

fn named(what: &str, id: &[u8]) -> ReplyError {
    ReplyError::new(format!("ERR {what} {}", String::from_utf8_lossy(id)))
}

fn slot_argument(text: &[u8]) -> Result<Slot, ReplyError> {
    parse_i64(text).and_then(valid_slot).ok_or(BAD_SLOT)
}

fn valid_slot(number: i64) -> Option<Slot> {
    Slot::try_from(number).ok().filter(|slot| *slot < SLOTS)
}

fn count_keys(keys: &dyn Keys, slot: &[u8], reply: &mut Writer) -> Outcome {
    let slot = valid_slot(integer(slot)?).ok_or(fixed("ERR Invalid slot"))?;
    reply.count(keys.count(slot));
    Ok(())
}

fn get_keys(keys: &dyn Keys, slot: &[u8], count: &[u8], reply: &mut Writer) -> Outcome {
    let (slot, count) = (integer(slot)?, integer(count)?);
    let (Some(slot), Ok(count)) = (valid_slot(slot), usize::try_from(count)) else {
        return Err(fixed("ERR Invalid slot or number of keys"));
    };
    let found = keys.some_of(slot, count);
    reply.array(found.len());
    for key in found {
        reply.bulk(&key);
    }
    Ok(())
}
