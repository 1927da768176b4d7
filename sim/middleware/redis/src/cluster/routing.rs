//! Which node a command is for, by the slots of its keys (`getNodeByQuery`).

use std::fmt;

use super::{
    Cluster,
    node::Handle,
    slot_set::{Slot, key_slot},
};

/// What is known of a request beside its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// The command itself is one that writes. `EXEC` and scripts without a header that says so are not.
    pub writes: bool,
    /// An `EXEC` of a transaction with a command that writes.
    pub transaction_writes: bool,
    /// `ASKING` was said just before.
    pub asking: bool,
    /// The connection is in the mode of `READONLY`.
    pub read_only: bool,
    /// The "keys" are channels of `SSUBSCRIBE`, `SUNSUBSCRIBE` or `SPUBLISH`.
    pub shard_channel: bool,
    /// It is `MIGRATE`, which works on open slots.
    pub migrate: bool,
}

/// Why a request is not served here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirection {
    /// The slot is another node's.
    Moved {
        /// The slot.
        slot: Slot,
        /// The node's address.
        ip: String,
        /// Its port for clients.
        port: u16,
    },
    /// The slot is on its way to another node, and the key is there already, if anywhere: this request is to go there,
    /// after an `ASKING`; the next one comes here again.
    Ask {
        /// The slot.
        slot: Slot,
        /// The node's address.
        ip: String,
        /// Its port for clients.
        port: u16,
    },
    /// The slot is on its way to another node, and only some of the keys are there already.
    TryAgain,
    /// The keys are of several slots.
    CrossSlot,
    /// The slot is nobody's.
    Unbound,
    /// The cluster is down.
    Down,
    /// The cluster is down, but reads are served.
    DownReadOnly,
}

impl fmt::Display for Redirection {
    /// The error reply, its code first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { slot, ip, port } => write!(f, "MOVED {slot} {ip}:{port}"),
            Self::Ask { slot, ip, port } => write!(f, "ASK {slot} {ip}:{port}"),
            Self::TryAgain => f.write_str("TRYAGAIN Multiple keys request during rehashing of slot"),
            Self::CrossSlot => f.write_str("CROSSSLOT Keys in request don't hash to the same slot"),
            Self::Unbound => f.write_str("CLUSTERDOWN Hash slot not served"),
            Self::Down => f.write_str("CLUSTERDOWN The cluster is down"),
            Self::DownReadOnly => {
                f.write_str("CLUSTERDOWN The cluster is down and only accepts read commands")
            }
        }
    }
}

impl Redirection {
    /// The error reply when it is a script's own call that cannot be served here.
    pub fn in_script(&self) -> &'static str {
        match self {
            Self::DownReadOnly => {
                "ERR Script attempted to execute a write command while the cluster is down and readonly"
            }
            Self::Down => "ERR Script attempted to execute a command while the cluster is down",
            _ => "ERR Script attempted to access a non local key in a cluster node",
        }
    }
}

/// The slot of the keys seen so far.
struct Place<'a> {
    first: &'a [u8],
    slot: Slot,
    owner: Handle,
    migrating_to: Option<Handle>,
    importing: bool,
}

impl Cluster {
    /// Is a request for this node? All keys of the request are given (of a transaction: those of all its commands);
    /// `exists` says which of them this node has. Returns the slot, `None` without any key.
    ///
    /// # Errors
    /// With the error to reply, when the request is not served here.
    pub fn route<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]>,
        access: Access,
        mut exists: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Slot>, Redirection> {
        let mut place: Option<Place<'_>> = None;
        let mut several = false;
        let (mut present, mut missing) = (false, false);
        for key in keys {
            let slot = key_slot(key);
            let place = match &place {
                None => place.insert(self.place(key, slot)?),
                Some(place) if place.first == key => place,
                Some(place) if place.slot != slot => return Err(Redirection::CrossSlot),
                Some(place) => {
                    several = true;
                    place
                }
            };
            if (place.importing || place.migrating_to.is_some()) && !access.shard_channel {
                if exists(key) {
                    present = true;
                } else {
                    missing = true;
                }
            }
        }
        let Some(place) = place else { return Ok(None) };
        self.check_up(access)?;
        let slot = place.slot;
        if access.migrate && (place.importing || place.migrating_to.is_some()) {
            return Ok(Some(slot));
        }
        if let Some(target) = place.migrating_to
            && missing
        {
            if present {
                return Err(Redirection::TryAgain);
            }
            let target = &self.nodes[target];
            return Err(Redirection::Ask { slot, ip: target.ip.clone(), port: target.port });
        }
        if place.importing && access.asking {
            return if several && missing { Err(Redirection::TryAgain) } else { Ok(Some(slot)) };
        }
        let may_read_here = (access.read_only || access.shard_channel)
            && !access.writes
            && !access.transaction_writes
            && self.serves_as_replica(place.owner);
        if place.owner == self.myself || may_read_here {
            Ok(Some(slot))
        } else {
            Err(self.moved(slot, place.owner))
        }
    }

    fn place<'a>(&self, first: &'a [u8], slot: Slot) -> Result<Place<'a>, Redirection> {
        let owner = self.slots.owner(slot).ok_or(Redirection::Unbound)?;
        let migrating_to = self.slots.migrating.get(&slot).copied().filter(|_| owner == self.myself);
        let importing = migrating_to.is_none() && self.slots.importing.contains_key(&slot);
        Ok(Place { first, slot, owner, migrating_to, importing })
    }

    fn check_up(&self, access: Access) -> Result<(), Redirection> {
        if self.up || (access.shard_channel && self.options.allow_shard_channels_when_down) {
            Ok(())
        } else if access.shard_channel || !self.options.allow_reads_when_down {
            Err(Redirection::Down)
        } else if access.writes {
            Err(Redirection::DownReadOnly)
        } else {
            Ok(())
        }
    }

    fn serves_as_replica(&self, owner: Handle) -> bool {
        self.me().is_replica() && self.me().master == Some(owner)
    }

    fn moved(&self, slot: Slot, owner: Handle) -> Redirection {
        let owner = &self.nodes[owner];
        Redirection::Moved { slot, ip: owner.ip.clone(), port: owner.port }
    }

    /// May a client go on to wait for this key? (It waits in `BLPOP` or the like; to be asked regularly, with one of
    /// its keys: they are all of one slot.) `reads` says that it only reads, on a connection in the mode of
    /// `READONLY`.
    ///
    /// # Errors
    /// With the error to end the waiting with.
    pub fn route_blocked(&self, key: &[u8], reads: bool) -> Result<(), Redirection> {
        if !self.up {
            return Err(Redirection::Down);
        }
        let slot = key_slot(key);
        let owner = self.slots.owner(slot);
        let here = owner == Some(self.myself)
            || (reads && owner.is_some_and(|owner| self.serves_as_replica(owner)))
            || self.slots.importing.contains_key(&slot);
        match owner {
            _ if here => Ok(()),
            None => Err(Redirection::Unbound),
            Some(owner) => Err(self.moved(slot, owner)),
        }
    }
}
