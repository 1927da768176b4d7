//! Files, as databases need them: each host has a disk, which keeps what was synced when the power fails.
//!
//! The functions and types are those of `tokio::fs`, with `FileExt`'s positions, [`sync_dir`] for what in POSIX is an
//! `fsync` of an opened directory, and [`read_dir`] in order. [`crate::host::Host::disk`] gives the disk itself, to
//! fill, slow, break or corrupt it.
//!
//! # What a process may rely on
//!
//! Only on what POSIX promises and journaling file systems keep (Pillai et al., "All File Systems Are Not Created
//! Equal", OSDI 2014):
//! - Written bytes and lengths are in the page cache, and survive the process (a kill) but not the power (a crash),
//!   until the file is synced.
//! - Names (created, renamed, removed) survive the power once their directory is synced. Syncing a file does not sync
//!   its name, syncing a name does not sync the file: a rename may survive whose file's bytes did not.
//! - A rename is atomic: before or after, never neither, never both.
//!
//! Whatever else was written by the time of a power loss may be there or not, by seeded choice ([`Unsynced::Any`]):
//! each page of 4 KiB at any of its states since it was last written back, whatever the other pages did; the page under
//! way torn between sectors ([`Torn`]); the length at any step; names in any order that their own histories allow.
//! Cutting a file is a matter of the journal: nothing written after it survives without it. By themselves, data goes to
//! the device after 30 s and names after 5 s, as on Linux ([`Durability`]).
//!
//! A failed `fsync` behaves as on Linux since 4.13 with ext4 or XFS (Rebello et al., "Can Applications Recover from
//! fsync Failures?", ATC 2020): the error is reported once to each open file, the pages are marked clean though the
//! device never got them, processes go on reading what they wrote, and the next `fsync` succeeds. If it was the journal
//! that could not be written, the file system takes no further change.
//!
//! # Time
//!
//! Reads and writes in the page cache take no time: the processor's share is [`crate::cpu::work`]'s. Reads of pages
//! that are not in memory (none is after a crash) and syncs wait for the [`Device`], which all of a host's files share.
//! A write waits when too much has yet to be written back.
//!
//! # Why not `turmoil-fs`
//!
//! We looked at `turmoil-fs` 0.1.0 and did not take it. It knows pending from synced data and tears writes, as we do, but
//! a crash keeps no unsynced name and of each write only a first part, so survival out of order is never met; `fsync`
//! never fails; files are paths, not inodes: once a rename is synced, writes through a handle opened before go nowhere,
//! and a removed file reads as empty to who has it open; a handle of before the crash goes on working; each latency is
//! drawn by itself, so load never queues. Every read and every length walks the list of all pending operations of the
//! host. Its randomness (`SmallRng`, and an exponential distribution that needs the platform's `ln`) is not promised to
//! be the same on every machine, and its waits need tokio's timer. Nothing that we need would have been left as it is.
//!
//! # Where what is
//!
//! | file | holds |
//! | --- | --- |
//! | `file` | the facade's types: open options, open files |
//! | `control` | the facade's disk, to configure and to break |
//! | `simulated` | open files and paths of processes, on the simulated disks |
//! | `volume` | one host's disk: operations, background write-back, power loss |
//! | `tree`, `names` | files, directories, and which names the device knows |
//! | `content` | the bytes of a file, and which of them the device has |
//! | `device` | how long the device takes, and its queue |
//! | `durability`, `faults` | what a disk promises, what is wrong with it, what it has done |

mod content;
mod control;
mod device;
mod durability;
mod faults;
mod file;
mod names;
mod simulated;
mod tree;
mod volume;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) use self::content::Losses;
pub use self::control::Disk;
pub use self::device::Device;
pub use self::durability::{Durability, Torn, Unsynced};
pub use self::faults::Stats;
pub use self::file::{File, OpenOptions};
use self::volume::Volume;
use crate::common::hosts::{HostId, Hosts};

/// The disks of all hosts; one comes into being when it is first used.
#[derive(Debug)]
pub(crate) struct Disks {
    seed: u64,
    volumes: BTreeMap<HostId, Volume>,
}

impl Disks {
    pub(crate) fn new(seed: u64) -> Disks {
        Disks { seed, volumes: BTreeMap::new() }
    }

    /// A host's disk. Its choices depend on the seed and the host's name only.
    fn volume(&mut self, host: HostId, hosts: &Hosts) -> &mut Volume {
        self.volumes.entry(host).or_insert_with(|| Volume::new(self.seed, hosts.name(host)))
    }

    fn existing(&mut self, host: HostId) -> Option<&mut Volume> {
        self.volumes.get_mut(&host)
    }

    /// A host's power fails. `None` when nothing was unsynced.
    pub(crate) fn power_lost(&mut self, host: HostId, now_ns: u64) -> Option<Losses> {
        self.existing(host)?.lose_power(now_ns)
    }

    /// A host's processes are gone.
    pub(crate) fn processes_gone(&mut self, host: HostId) {
        if let Some(volume) = self.existing(host) {
            volume.processes_gone();
        }
    }
}

/// Length and kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    len: u64,
    is_dir: bool,
}

impl Metadata {
    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "as std's")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.is_dir
    }

    /// Is it a file?
    pub fn is_file(&self) -> bool {
        !self.is_dir
    }
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    directory: PathBuf,
    name: OsString,
    is_dir: bool,
}

impl DirEntry {
    /// The name.
    pub fn file_name(&self) -> OsString {
        self.name.clone()
    }

    /// The directory's path as given to [`read_dir`], and the name.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Does it stand for a directory?
    pub fn is_dir(&self) -> bool {
        self.is_dir
    }
}

/// The names in a directory. See [`read_dir`].
#[derive(Debug)]
pub struct ReadDir {
    entries: std::vec::IntoIter<DirEntry>,
}

impl ReadDir {
    /// The next name; `None` after the last.
    ///
    /// # Errors
    /// None: all names were read at once. The signature is tokio's.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        Ok(self.entries.next())
    }
}

/// Lists a directory as it is now, ordered by the bytes of the names.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let directory = path.as_ref().to_path_buf();
    let names = simulated::list(&directory)?.into_iter();
    let entries = names.map(|(name, is_dir)| DirEntry { directory: directory.clone(), name, is_dir });
    Ok(ReadDir { entries: entries.collect::<Vec<_>>().into_iter() })
}

/// Creates a directory.
///
/// # Errors
/// `EEXIST`, `ENOENT` when the directory above is missing, `ENOSPC`, `EROFS`.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    simulated::create_dir(path.as_ref())
}

/// Creates a directory and those above it where they are missing.
///
/// # Errors
/// As [`create_dir`], except that a directory may exist.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    simulated::create_dir_all(path.as_ref())
}

/// Removes a file's name. Who has the file open can go on using it.
///
/// # Errors
/// `ENOENT`, `EISDIR`, `EROFS`.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    simulated::remove(path.as_ref(), false)
}

/// Removes an empty directory.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`, `EROFS`.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    simulated::remove(path.as_ref(), true)
}

/// Removes a directory with all that is in it.
///
/// # Errors
/// As [`remove_dir`].
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    simulated::remove_dir_all(path.as_ref())
}

/// Gives a file or directory another name, atomically replacing a file or an empty directory of that name.
///
/// # Errors
/// `ENOENT`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EINVAL` for a directory into itself, `EROFS`.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    simulated::rename(from.as_ref(), to.as_ref())
}

/// Length and kind of a file or directory.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    simulated::metadata(path.as_ref())
}

/// Is there a file or directory of this name?
///
/// # Errors
/// As [`metadata`], except `ENOENT`.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match simulated::metadata(path.as_ref()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true),
    }
}

/// Waits until the device knows the names in a directory as they were at the call. The directory's own name is that of
/// the directory above.
///
/// # Errors
/// `ENOENT`; `EIO` when the journal cannot be written, after which every change fails with `EROFS`.
pub async fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    File::open(path).await?.sync_all().await
}

/// Reads a whole file.
///
/// # Errors
/// As [`OpenOptions::open`] and [`File::read_at`].
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).await?.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Creates or empties a file and writes it; does not sync it.
///
/// # Errors
/// As [`OpenOptions::open`] and [`File::write_at`].
pub async fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut file = File::create(path).await?;
    file.write_all(bytes.as_ref()).await?;
    file.flush().await
}
