//! What a disk promises to keep when the power fails.

use std::time::Duration;

/// What becomes of changes that were never synced when the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// Any part of them that the model allows may be there, by seeded choice. The default: it is what a file system
    /// may do, and finds code that relies on an order it never asked for.
    Any,
    /// None of them is there.
    Lost,
}

/// How a page that was being written when the power failed may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Torn {
    /// Old or new, as a whole: 4096 bytes are atomic.
    Never,
    /// Each sector of 512 bytes old or new. The default: what disks have promised for decades.
    Sector,
    /// New up to any byte and old from there on: what code must survive that trusts no promise of a device.
    Byte,
}

/// When changes reach the device, and what becomes of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// What a power loss does to changes that were not synced.
    pub unsynced: Unsynced,
    /// What a power loss does to the page being written.
    pub torn: Torn,
    /// Written bytes go to the device by themselves after so long; `None`: only when they are synced, or more than
    /// `dirty_limit` wait. Linux: `vm.dirty_expire_centisecs`, 30 s.
    pub writeback_after: Option<Duration>,
    /// Created, renamed and removed names go to the device by themselves after so long; `None`: only when their
    /// directory is synced. ext4: mount option `commit`, 5 s.
    pub commit_after: Option<Duration>,
    /// Bytes that may wait; a write beyond it has to wait until the device has taken them all, as writers do at
    /// Linux's `vm.dirty_bytes`.
    pub dirty_limit: u64,
}

impl Default for Durability {
    fn default() -> Durability {
        Durability {
            unsynced: Unsynced::Any,
            torn: Torn::Sector,
            writeback_after: Some(Duration::from_secs(30)),
            commit_after: Some(Duration::from_secs(5)),
            dirty_limit: 64 * 1024 * 1024,
        }
    }
}
