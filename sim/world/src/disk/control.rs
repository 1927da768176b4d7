//! What a test or a plan of faults does to a disk.

use std::io;
use std::path::Path;

use super::device::Device;
use super::durability::Durability;
use super::faults::{Faults, Stats};
use super::simulated::on_disk;
use super::volume::Volume;
use crate::common::hosts::HostId;
use crate::engine::{self, Note};
use crate::host::Host;

/// The disk of a host, to be configured and broken. See [`Host::disk`].
///
/// Rates are chances from 0 to 1 for each operation. All settings hold from the next operation on, survive crashes,
/// and may be changed while the host is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk(HostId);

impl Host {
    /// Its disk.
    pub fn disk(self) -> Disk {
        Disk(self.0)
    }
}

impl Disk {
    fn change(self, what: &str, change: impl FnOnce(&mut Volume)) {
        on_disk(self.0, |volume, _| change(volume));
        let note = Note { kind: "disk setting", host: self.0, number: 0, payload: what.as_bytes() };
        engine::with(|world| world.note(note));
    }

    fn fault(self, what: &str, change: impl FnOnce(&mut Faults)) {
        self.change(what, |volume| change(&mut volume.faults));
    }

    /// Speed of the device; [`Device::cloud_ssd`] by default.
    pub fn set_device(self, device: Device) {
        self.change(&format!("{device:?}"), |volume| volume.device = device);
    }

    /// What it keeps when the power fails.
    pub fn set_durability(self, durability: Durability) {
        self.change(&format!("{durability:?}"), |volume| volume.set_durability(durability));
    }

    /// Bytes that fit, in pages of 4 KiB; `None`, the default: any number. What is there already stays, even if it is
    /// more.
    pub fn set_capacity(self, bytes: Option<u64>) {
        self.fault(&format!("capacity {bytes:?}"), |faults| faults.capacity = bytes);
    }

    /// Multiplies all times of the device; 1 by default. A request under way keeps its time.
    ///
    /// # Panics
    /// When the factor is negative or not a number.
    pub fn set_slowness(self, factor: f64) {
        assert!(factor >= 0.0, "a factor of slowness is not negative: {factor}");
        self.fault(&format!("slowness {factor}"), |faults| faults.slowness = factor);
    }

    /// Refuses every change with `EROFS`, or accepts them again.
    pub fn set_read_only(self, read_only: bool) {
        self.fault(&format!("read only {read_only}"), |faults| faults.read_only = read_only);
    }

    /// Fails the next so many write-backs: of a file, its data is dropped as [`super::File::sync_all`] says; of a
    /// directory, the journal cannot be written and the file system takes no change until the next boot.
    pub fn fail_syncs(self, count: u32) {
        self.fault(&format!("fail {count} syncs"), |faults| faults.failing_syncs = count);
    }

    /// Chance that a write-back fails, as [`Disk::fail_syncs`] says.
    pub fn set_sync_error_rate(self, rate: f64) {
        self.fault(&format!("sync error rate {rate}"), |faults| faults.sync_error_rate = rate);
    }

    /// Chance that a read fails with `EIO`. Whether the page is in memory does not matter: it might have been evicted.
    pub fn set_read_error_rate(self, rate: f64) {
        self.fault(&format!("read error rate {rate}"), |faults| faults.read_error_rate = rate);
    }

    /// Chance that a read gives its bytes with one bit flipped; reading again gives the right ones.
    pub fn set_read_corruption_rate(self, rate: f64) {
        self.fault(&format!("read corruption rate {rate}"), |faults| faults.read_corruption_rate = rate);
    }

    /// Chance that a write-back of a file leaves one bit of the file flipped on the device, for good.
    pub fn set_write_corruption_rate(self, rate: f64) {
        self.fault(&format!("write corruption rate {rate}"), |faults| faults.write_corruption_rate = rate);
    }

    /// Flips one bit of a byte on the device. Where the byte has been written back, processes see it at once; where
    /// not, the next write-back repairs it. False when the device holds no byte there.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR` or `EISDIR` when there is no such file.
    pub fn corrupt(self, path: impl AsRef<Path>, offset: u64) -> io::Result<bool> {
        let result = on_disk(self.0, |volume, _| volume.rot_at(path.as_ref(), offset));
        let payload = path.as_ref().as_os_str().as_encoded_bytes();
        let note = Note { kind: "disk corruption", host: self.0, number: offset, payload };
        engine::with(|world| world.note(note));
        result
    }

    /// Bytes taken by files and directories, in pages of 4 KiB.
    pub fn used_bytes(self) -> u64 {
        on_disk(self.0, |volume, _| volume.used_bytes())
    }

    /// What it has done so far.
    pub fn stats(self) -> Stats {
        on_disk(self.0, |volume, _| volume.stats)
    }
}
