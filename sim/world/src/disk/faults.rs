//! What is wrong with a disk, and what it has done.

use rand::Rng;

/// Faults of one disk; none by default.
#[derive(Debug)]
pub(super) struct Faults {
    /// Bytes that fit; `None`: no limit.
    pub(super) capacity: Option<u64>,
    /// All times of the device are multiplied by this.
    pub(super) slowness: f64,
    pub(super) read_only: bool,
    /// The journal could not be written: the file system takes no change any more, until the next boot.
    pub(super) journal_aborted: bool,
    /// Write-backs that are to fail, from now on.
    pub(super) failing_syncs: u32,
    pub(super) sync_error_rate: f64,
    pub(super) read_error_rate: f64,
    pub(super) read_corruption_rate: f64,
    pub(super) write_corruption_rate: f64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            capacity: None,
            slowness: 1.0,
            read_only: false,
            journal_aborted: false,
            failing_syncs: 0,
            sync_error_rate: 0.0,
            read_error_rate: 0.0,
            read_corruption_rate: 0.0,
            write_corruption_rate: 0.0,
        }
    }
}

/// Draws only where there is a rate: switching a fault on must not move other draws before it.
fn happens(rate: f64, random: &mut impl Rng) -> bool {
    rate > 0.0 && ((random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64) < rate
}

impl Faults {
    pub(super) fn sync_fails(&mut self, random: &mut impl Rng) -> bool {
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return true;
        }
        happens(self.sync_error_rate, random)
    }

    pub(super) fn read_fails(&self, random: &mut impl Rng) -> bool {
        happens(self.read_error_rate, random)
    }

    pub(super) fn read_lies(&self, random: &mut impl Rng) -> bool {
        happens(self.read_corruption_rate, random)
    }

    pub(super) fn rots(&self, random: &mut impl Rng) -> bool {
        happens(self.write_corruption_rate, random)
    }
}

/// What a disk has done since the start of the simulation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Reads that gave bytes or the end of the file.
    pub reads: u64,
    /// Writes that took at least one byte.
    pub writes: u64,
    /// Syncs of files and directories, failed ones included.
    pub syncs: u64,
    /// Bytes written back to the device.
    pub bytes_written: u64,
    /// Operations refused for want of room.
    pub out_of_space: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Write-backs and syncs of directories that failed.
    pub sync_errors: u64,
    /// Bits flipped, in answers and on the device.
    pub corruptions: u64,
    /// Power losses.
    pub power_losses: u64,
    /// Page writes that a power loss undid.
    pub writes_lost: u64,
    /// Page writes of which a power loss left a part.
    pub writes_torn: u64,
    /// Creations, renames and removals that a power loss undid.
    pub names_lost: u64,
}
