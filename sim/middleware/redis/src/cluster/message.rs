//! The messages of the cluster bus, byte for byte those of Redis 7.0 (`clusterMsg` in its `cluster.h`).
//!
//! A message is a header of 2256 bytes and a body; numbers are big-endian, except the identity of a module.

use std::ops::Range;

use super::{flags::Flags, id::NodeId, slot_set::SlotSet};

/// Bytes of a message before its body.
pub const HEADER_LENGTH: usize = 2256;
/// Bytes of a message that this node accepts. Redis has no limit but that of the field, 4 GiB; all but the longest
/// publications are far below.
pub const MAX_LENGTH: usize = 64 << 20;

const SIGNATURE: [u8; 4] = *b"RCmb";
const VERSION: u16 = 1;
/// Bytes of an address in text, with a zero at its end.
const IP_LENGTH: usize = 46;
const GOSSIP_LENGTH: usize = 104;
const EXTENSION_HEADER_LENGTH: usize = 8;
const EXTENSION_HOSTNAME: u16 = 0;
/// Longest host name that is taken over from a message.
const MAX_HOSTNAME: usize = 255;

/// The master has paused its clients' writes for a manual failover.
const FLAG_PAUSED: u8 = 1;
/// Vote even if the master works: a manual failover.
const FLAG_FORCE_ACK: u8 = 2;
const FLAG_EXTENSIONS: u8 = 4;

/// Places of the header's fields.
mod at {
    pub(super) const LENGTH: usize = 4;
    pub(super) const VERSION: usize = 8;
    pub(super) const PORT: usize = 10;
    pub(super) const KIND: usize = 12;
    pub(super) const COUNT: usize = 14;
    pub(super) const CURRENT_EPOCH: usize = 16;
    pub(super) const CONFIG_EPOCH: usize = 24;
    pub(super) const OFFSET: usize = 32;
    pub(super) const SENDER: usize = 40;
    pub(super) const SLOTS: usize = 80;
    pub(super) const MASTER: usize = 2128;
    pub(super) const IP: usize = 2168;
    pub(super) const EXTENSIONS: usize = 2214;
    pub(super) const PLAIN_PORT: usize = 2246;
    pub(super) const BUS_PORT: usize = 2248;
    pub(super) const FLAGS: usize = 2250;
    pub(super) const STATE: usize = 2252;
    pub(super) const MESSAGE_FLAGS: usize = 2253;
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// Are you there?
    Ping,
    /// The answer to a ping, or news for all.
    Pong,
    /// A ping to a node that does not know the sender, which is to join the cluster.
    Meet,
    /// A node has failed.
    Fail,
    /// A message for the subscribers of a channel.
    Publish,
    /// A replica asks for votes.
    AuthRequest,
    /// A vote.
    AuthAck,
    /// A node's slots, for one whose configuration is stale.
    Update,
    /// A replica asks its master to pause its clients for a manual failover.
    MfStart,
    /// For a module of the server.
    Module,
    /// A message for the subscribers of a channel that belongs to a slot.
    PublishShard,
}

impl Kind {
    /// All kinds; each at the place of its number on the wire.
    pub(super) const ALL: [Self; 11] = [
        Self::Ping,
        Self::Pong,
        Self::Meet,
        Self::Fail,
        Self::Publish,
        Self::AuthRequest,
        Self::AuthAck,
        Self::Update,
        Self::MfStart,
        Self::Module,
        Self::PublishShard,
    ];

    /// The name in `CLUSTER INFO`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Meet => "meet",
            Self::Fail => "fail",
            Self::Publish => "publish",
            Self::AuthRequest => "auth-req",
            Self::AuthAck => "auth-ack",
            Self::Update => "update",
            Self::MfStart => "mfstart",
            Self::Module => "module",
            Self::PublishShard => "publishshard",
        }
    }

    /// The kind of a whole message, if it is a known one.
    pub(super) fn of(message: &[u8]) -> Option<Self> {
        let number = Reader(message).u16(at::KIND)?;
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// What every message says of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The port for clients.
    pub port: u16,
    /// The newest epoch that the sender knows.
    pub current_epoch: u64,
    /// The epoch of the slots' configuration: a replica gives its master's.
    pub config_epoch: u64,
    /// Replication offset: what a master wrote, what a replica has processed. Bytes.
    pub offset: i64,
    /// The sender's name.
    pub sender: NodeId,
    /// The slots that the sender serves; a replica gives its master's.
    pub slots: SlotSet,
    /// The sender's master, if it is a replica.
    pub master: Option<NodeId>,
    /// The address that the sender wants to be known by; empty: where the message comes from.
    pub ip: String,
    /// The port for clients without TLS, where `port` is for those with.
    pub plain_port: u16,
    /// The port of the cluster bus.
    pub bus_port: u16,
    /// What the sender notes of itself.
    pub flags: Flags,
    /// Is the cluster down for the sender?
    pub down: bool,
    /// Is the master paused for a manual failover?
    pub paused: bool,
    /// Is this a request for votes although the master works?
    pub force_ack: bool,
}

/// What a message says of a third node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gossip {
    /// The node's name.
    pub id: NodeId,
    /// When the sender pinged it without an answer yet: seconds since the Unix epoch, 0 if not.
    pub ping_sent_s: u32,
    /// When it last answered the sender: seconds since the Unix epoch.
    pub pong_received_s: u32,
    /// Its address; may be empty.
    pub ip: String,
    /// Its port for clients.
    pub port: u16,
    /// Its port of the cluster bus.
    pub bus_port: u16,
    /// What the sender notes of it.
    pub flags: Flags,
    /// Its port for clients without TLS, where `port` is for those with.
    pub plain_port: u16,
}

/// What follows a message's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// A ping, a pong or a meet.
    Heartbeat {
        /// [`Kind::Ping`], [`Kind::Pong`] or [`Kind::Meet`].
        kind: Kind,
        /// What the sender knows of some other nodes.
        gossip: Vec<Gossip>,
        /// The name that the sender wants to be known by.
        hostname: Option<String>,
    },
    /// This node has failed.
    Fail(NodeId),
    /// A message for the subscribers of a channel.
    Publish {
        /// The channel belongs to a slot (`SPUBLISH`).
        shard: bool,
        /// Its name.
        channel: &'a [u8],
        /// What is published.
        message: &'a [u8],
    },
    /// The sender wants to be voted for.
    AuthRequest,
    /// The sender votes for the receiver.
    AuthAck,
    /// The configuration of a node, newer than what the receiver claims.
    Update {
        /// Its epoch.
        config_epoch: u64,
        /// The node.
        node: NodeId,
        /// The slots that it serves.
        slots: SlotSet,
    },
    /// Pause your clients for a manual failover.
    MfStart,
    /// Of a kind that this node does not know, or for a module, of which it has none.
    Other,
}

impl Body<'_> {
    /// The kind on the wire.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Heartbeat { kind, .. } => *kind,
            Self::Fail(_) => Kind::Fail,
            Self::Publish { shard: false, .. } => Kind::Publish,
            Self::Publish { shard: true, .. } => Kind::PublishShard,
            Self::AuthRequest => Kind::AuthRequest,
            Self::AuthAck => Kind::AuthAck,
            Self::Update { .. } => Kind::Update,
            Self::MfStart => Kind::MfStart,
            Self::Other => Kind::Module,
        }
    }
}

/// A message is not as it should be: Redis ignores such a one, or closes the link when not even the length is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed message of the cluster bus: {0}")]
pub struct Malformed(&'static str);

/// Bytes of the message that starts here; `None` while too little of it is there to know.
///
/// # Errors
/// When this is no message, or a longer one than [`MAX_LENGTH`].
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(length) = Reader(bytes).u32(at::LENGTH) else { return Ok(None) };
    let length = length as usize;
    if !bytes.starts_with(&SIGNATURE) {
        return Err(Malformed("no signature"));
    }
    if length < HEADER_LENGTH {
        return Err(Malformed("shorter than its header"));
    }
    if length > MAX_LENGTH {
        return Err(Malformed("too long"));
    }
    Ok(Some(length))
}

/// Reads a whole message.
///
/// # Errors
/// When it is of another version of the protocol, its length does not fit its content, or a name or address in it
/// is none.
pub fn decode(bytes: &[u8]) -> Result<(Header, Body<'_>), Malformed> {
    const SHORT: Malformed = Malformed("too short");
    if length(bytes)? != Some(bytes.len()) {
        return Err(Malformed("not as long as it says"));
    }
    let reader = Reader(bytes);
    if reader.u16(at::VERSION) != Some(VERSION) {
        return Err(Malformed("unknown version"));
    }
    let header = reader.header()?;
    let body = bytes.get(HEADER_LENGTH..).ok_or(SHORT)?;
    let empty = |kind| if body.is_empty() { Ok(kind) } else { Err(Malformed("a body where none belongs")) };
    let body = match Kind::of(bytes) {
        Some(kind @ (Kind::Ping | Kind::Pong | Kind::Meet)) => {
            let (gossip, extensions) = read_gossip(body, reader.u16(at::COUNT).ok_or(SHORT)?)?;
            let flags = reader.0.get(at::MESSAGE_FLAGS).ok_or(SHORT)?;
            let count = if flags & FLAG_EXTENSIONS == 0 { Some(0) } else { reader.u16(at::EXTENSIONS) };
            let hostname = read_extensions(extensions, count.ok_or(SHORT)?)?;
            Body::Heartbeat { kind, gossip, hostname }
        }
        Some(Kind::Fail) => Body::Fail(NodeId::parse(body).ok_or(Malformed("no name of a failed node"))?),
        Some(kind @ (Kind::Publish | Kind::PublishShard)) => {
            let (channel, message) = read_publication(body).ok_or(Malformed("lengths that do not fit"))?;
            Body::Publish { shard: kind == Kind::PublishShard, channel, message }
        }
        Some(Kind::AuthRequest) => empty(Body::AuthRequest)?,
        Some(Kind::AuthAck) => empty(Body::AuthAck)?,
        Some(Kind::MfStart) => empty(Body::MfStart)?,
        Some(Kind::Update) => read_update(body).ok_or(Malformed("no update"))?,
        Some(Kind::Module) | None => Body::Other,
    };
    Ok((header, body))
}

/// Reads the gossip; returns it and what follows.
fn read_gossip(body: &[u8], count: u16) -> Result<(Vec<Gossip>, &[u8]), Malformed> {
    let length = usize::from(count) * GOSSIP_LENGTH;
    let (gossip, rest) = body.split_at_checked(length).ok_or(Malformed("less gossip than announced"))?;
    let read = |entry: &[u8]| {
        let reader = Reader(entry);
        Some(Gossip {
            id: NodeId::parse(entry.get(..NodeId::LENGTH)?)?,
            ping_sent_s: reader.u32(40)?,
            pong_received_s: reader.u32(44)?,
            ip: reader.ip(48)?,
            port: reader.u16(94)?,
            bus_port: reader.u16(96)?,
            flags: Flags(reader.u16(98)?),
            plain_port: reader.u16(100)?,
        })
    };
    let gossip: Option<Vec<_>> = gossip.chunks(GOSSIP_LENGTH).map(read).collect();
    Ok((gossip.ok_or(Malformed("gossip about what is no node"))?, rest))
}

/// Reads the extensions that end a heartbeat: of these, the host name is known.
fn read_extensions(mut rest: &[u8], count: u16) -> Result<Option<String>, Malformed> {
    let mut hostname = None;
    for _ in 0..count {
        let reader = Reader(rest);
        let (length, kind) = reader.u32(0).zip(reader.u16(4)).ok_or(Malformed("a short extension"))?;
        let length = length as usize;
        if length < EXTENSION_HEADER_LENGTH || !length.is_multiple_of(8) {
            return Err(Malformed("an extension without proper padding"));
        }
        let (extension, after) = rest.split_at_checked(length).ok_or(Malformed("a short extension"))?;
        if kind == EXTENSION_HOSTNAME {
            hostname = text(&extension[EXTENSION_HEADER_LENGTH..]).filter(|name| name.len() <= MAX_HOSTNAME);
        }
        rest = after;
    }
    if rest.is_empty() { Ok(hostname) } else { Err(Malformed("longer than its content")) }
}

fn read_publication(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let reader = Reader(body);
    let (channel, message) = (reader.u32(0)? as usize, reader.u32(4)? as usize);
    let (channel, rest) = body.get(8..)?.split_at_checked(channel)?;
    (rest.len() == message).then_some((channel, rest))
}

fn read_update(body: &[u8]) -> Option<Body<'static>> {
    let reader = Reader(body);
    let slots: &[u8; SlotSet::WIRE_LENGTH] = body.get(48..)?.try_into().ok()?;
    Some(Body::Update {
        config_epoch: reader.u64(0)?,
        node: NodeId::parse(body.get(8..48)?)?,
        slots: SlotSet::from_wire(slots),
    })
}

/// Reads fields out of bytes; `None` beyond their end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&self, at: usize) -> Option<&'a [u8; N]> {
        self.0.get(at..)?.first_chunk()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn ip(&self, at: usize) -> Option<String> {
        // The last byte is taken for a zero, as in Redis.
        text(self.0.get(at..at + IP_LENGTH - 1)?)
    }

    fn id(&self, at: usize) -> Option<NodeId> {
        NodeId::parse(self.array::<{ NodeId::LENGTH }>(at)?)
    }

    fn header(&self) -> Result<Header, Malformed> {
        const SHORT: Malformed = Malformed("too short");
        let number = |at| self.u16(at).ok_or(SHORT);
        let long = |at| self.u64(at).ok_or(SHORT);
        let no_master = self.array::<{ NodeId::LENGTH }>(at::MASTER) == Some(&[0; NodeId::LENGTH]);
        let [state, flags, _, _] = *self.array(at::STATE).ok_or(SHORT)?;
        Ok(Header {
            port: number(at::PORT)?,
            current_epoch: long(at::CURRENT_EPOCH)?,
            config_epoch: long(at::CONFIG_EPOCH)?,
            offset: long(at::OFFSET)? as i64,
            sender: self.id(at::SENDER).ok_or(Malformed("no name of a sender"))?,
            slots: SlotSet::from_wire(self.array(at::SLOTS).ok_or(SHORT)?),
            master: match self.id(at::MASTER) {
                None if !no_master => return Err(Malformed("no name of a master")),
                master => master,
            },
            ip: self.ip(at::IP).ok_or(Malformed("no address"))?,
            plain_port: number(at::PLAIN_PORT)?,
            bus_port: number(at::BUS_PORT)?,
            flags: Flags(number(at::FLAGS)?),
            down: state != 0,
            paused: flags & FLAG_PAUSED != 0,
            force_ack: flags & FLAG_FORCE_ACK != 0,
        })
    }
}

/// Text up to its first zero, or its end. `None` if there is something in it that belongs neither into an address
/// nor into a host name: it would not survive `nodes.conf`.
fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let valid = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b".:-_%".contains(byte));
    if valid { String::from_utf8(bytes.to_vec()).ok() } else { None }
}

/// Writes a message.
pub fn encode(header: &Header, body: &Body<'_>) -> Vec<u8> {
    let mut out = write_header(header, body.kind());
    match body {
        Body::Heartbeat { gossip, hostname, .. } => {
            // Nobody knows so many nodes.
            put(&mut out, at::COUNT, &(gossip.len() as u16).to_be_bytes());
            for entry in gossip {
                write_gossip(&mut out, entry);
            }
            if let Some(hostname) = hostname {
                put(&mut out, at::EXTENSIONS, &1u16.to_be_bytes());
                out[at::MESSAGE_FLAGS] |= FLAG_EXTENSIONS;
                write_hostname(&mut out, hostname);
            }
        }
        Body::Fail(node) => out.extend_from_slice(node.as_bytes()),
        Body::Publish { channel, message, .. } => {
            for part in [channel, message] {
                out.extend_from_slice(&(part.len() as u32).to_be_bytes());
            }
            out.extend_from_slice(channel);
            out.extend_from_slice(message);
        }
        Body::Update { config_epoch, node, slots } => {
            out.extend_from_slice(&config_epoch.to_be_bytes());
            out.extend_from_slice(node.as_bytes());
            slots.write(&mut out);
        }
        Body::AuthRequest | Body::AuthAck | Body::MfStart | Body::Other => {}
    }
    let length = out.len() as u32;
    put(&mut out, at::LENGTH, &length.to_be_bytes());
    out
}

fn write_header(header: &Header, kind: Kind) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LENGTH + 4 * GOSSIP_LENGTH);
    out.extend_from_slice(&SIGNATURE);
    out.extend_from_slice(&[0; 4]);
    for number in [VERSION, header.port, kind as u16, 0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    for number in [header.current_epoch, header.config_epoch, header.offset as u64] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(header.sender.as_bytes());
    header.slots.write(&mut out);
    out.resize(HEADER_LENGTH, 0);
    if let Some(master) = &header.master {
        put(&mut out, at::MASTER, master.as_bytes());
    }
    put_text(&mut out, at::IP..at::IP + IP_LENGTH - 1, &header.ip);
    put(&mut out, at::PLAIN_PORT, &header.plain_port.to_be_bytes());
    put(&mut out, at::BUS_PORT, &header.bus_port.to_be_bytes());
    put(&mut out, at::FLAGS, &header.flags.0.to_be_bytes());
    out[at::STATE] = u8::from(header.down);
    out[at::MESSAGE_FLAGS] =
        if header.paused { FLAG_PAUSED } else { 0 } | if header.force_ack { FLAG_FORCE_ACK } else { 0 };
    out
}

fn write_gossip(out: &mut Vec<u8>, entry: &Gossip) {
    out.extend_from_slice(entry.id.as_bytes());
    for seconds in [entry.ping_sent_s, entry.pong_received_s] {
        out.extend_from_slice(&seconds.to_be_bytes());
    }
    let ip = out.len();
    out.resize(ip + IP_LENGTH, 0);
    put_text(out, ip..ip + IP_LENGTH - 1, &entry.ip);
    for number in [entry.port, entry.bus_port, entry.flags.0, entry.plain_port, 0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn write_hostname(out: &mut Vec<u8>, hostname: &str) {
    // With at least one zero at its end.
    let padded = (hostname.len() + 1).next_multiple_of(8);
    out.extend_from_slice(&((EXTENSION_HEADER_LENGTH + padded) as u32).to_be_bytes());
    out.extend_from_slice(&EXTENSION_HOSTNAME.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    let end = out.len() + padded;
    out.extend_from_slice(hostname.as_bytes());
    out.resize(end, 0);
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes text into a field of zeros, as much of it as has room.
fn put_text(out: &mut [u8], field: Range<usize>, text: &str) {
    for (byte, from) in out[field].iter_mut().zip(text.bytes()) {
        *byte = from;
    }
}
