//! What is noted of a node in one bit each.

use std::{
    fmt,
    ops::{BitAnd, BitOr, Not},
};

/// Flags of a node, as they are on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// It is a master.
    pub const MASTER: Self = Self(1);
    /// It is a replica.
    pub const REPLICA: Self = Self(2);
    /// This node cannot reach it: it may have failed.
    pub const PFAIL: Self = Self(4);
    /// A majority of the masters cannot reach it: it has failed.
    pub const FAIL: Self = Self(8);
    /// It is this node.
    pub const MYSELF: Self = Self(16);
    /// Its name is not known yet, only its address.
    pub const HANDSHAKE: Self = Self(32);
    /// Its address is not known.
    pub const NOADDR: Self = Self(64);
    /// The first message to it is to be a MEET.
    pub const MEET: Self = Self(128);
    /// A master that replicas may migrate to, because it had some or is to have some.
    pub const MIGRATE_TO: Self = Self(256);
    /// A replica that will not try to take over.
    pub const NO_FAILOVER: Self = Self(512);

    /// The names in `nodes.conf`, in the order in which they are written.
    const NAMES: [(Self, &'static str); 8] = [
        (Self::MYSELF, "myself"),
        (Self::MASTER, "master"),
        (Self::REPLICA, "slave"),
        (Self::PFAIL, "fail?"),
        (Self::FAIL, "fail"),
        (Self::HANDSHAKE, "handshake"),
        (Self::NOADDR, "noaddr"),
        (Self::NO_FAILOVER, "nofailover"),
    ];

    /// Is one of these flags set?
    pub fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    /// Sets these flags.
    pub(super) fn set(&mut self, flags: Self) {
        self.0 |= flags.0;
    }

    /// Clears these flags.
    pub(super) fn clear(&mut self, flags: Self) {
        self.0 &= !flags.0;
    }

    /// The flag with this name in `nodes.conf`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("noflags") {
            return Some(Self::default());
        }
        Self::NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(flag, _)| *flag)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Display for Flags {
    /// As in `nodes.conf`: names with commas between them, `noflags` if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(flag, _)| self.any(*flag)).map(|(_, name)| *name);
        let names: Vec<_> = names.collect();
        f.write_str(if names.is_empty() { "noflags" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
