//! One host's disk: its tree, its device, its faults, and the operations on them.
//!
//! Operations that need the device come in two halves: the first asks the device and says when it will be done, the
//! second takes effect then. Between them anything may happen, a power loss included.

use std::io;
use std::path::Path;

use rand::Rng;

use super::content::{Losses, PAGE, Survival};
use super::device::{Device, Queue, Request};
use super::durability::Durability;
use super::faults::{Faults, Stats};
use super::names::NodeId;
use super::tree::{Body, Tree, os_error};
use crate::choice::Source;
use crate::common::generator;

/// Longest file (ext4 with blocks of 4 KiB): 16 TiB.
const FILE_BYTES_MAX: u64 = 16 << 40;
/// A commit of the journal: its blocks, and then, once they are there, the record that makes them count.
const COMMIT_STEPS: u32 = 2;

/// What a handle may do, and how its file is found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Access {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    pub(super) truncate: bool,
    pub(super) create: bool,
    pub(super) create_new: bool,
}

impl Access {
    /// As the standard library checks them (`OpenOptions::open`).
    fn check(self) -> io::Result<()> {
        let writes = self.write || self.append;
        let makes = self.truncate || self.create || self.create_new;
        let useless = if makes { !writes } else { !writes && !self.read };
        if useless || (self.append && self.truncate && !self.create_new) {
            Err(os_error(libc::EINVAL))
        } else {
            Ok(())
        }
    }
}

/// What a process holds of an open file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    pub(super) node: NodeId,
    /// Failed write-backs of the file that this handle need not report.
    pub(super) errors_seen: u32,
}

/// A sync that has been asked of the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sync {
    pub(super) done_at_ns: u64,
    mark: u64,
}

/// One host's disk.
#[derive(Debug)]
pub(super) struct Volume {
    tree: Tree,
    queue: Queue,
    random: Source,
    /// Nothing older waits to be written back.
    oldest_dirty_ns: u64,
    /// Changes when the processes that had files open are gone.
    pub(super) epoch: u32,
    pub(super) device: Device,
    durability: Durability,
    pub(super) faults: Faults,
    pub(super) stats: Stats,
}

impl Volume {
    pub(super) fn new(seed: u64, host: &str) -> Volume {
        Volume {
            tree: Tree::new(),
            queue: Queue::default(),
            random: generator(seed, &format!("disk {host}")),
            oldest_dirty_ns: 0,
            epoch: 0,
            device: Device::default(),
            durability: Durability::default(),
            faults: Faults::default(),
            stats: Stats::default(),
        }
    }

    pub(super) fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
        self.oldest_dirty_ns = 0;
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.tree.used_bytes()
    }

    /// Does what the machine has done by itself since: committed old names, written old data back.
    pub(super) fn catch_up(&mut self, now_ns: u64) {
        if self.faults.journal_aborted {
            return;
        }
        if let Some(limit_ns) = expired(self.durability.commit_after, now_ns)
            && self.tree.log.oldest_ns().is_some_and(|at_ns| at_ns <= limit_ns)
        {
            let changes = self.tree.log.take_until(limit_ns);
            self.tree.commit(changes);
        }
        if let Some(limit_ns) = expired(self.durability.writeback_after, now_ns)
            && limit_ns >= self.oldest_dirty_ns
        {
            self.write_back_old(limit_ns, now_ns);
        }
    }

    fn write_back_old(&mut self, limit_ns: u64, now_ns: u64) {
        let dirty: Vec<NodeId> = self.tree.dirty.iter().copied().collect();
        for node in dirty {
            let mark = self.tree.content(node, |content| content.mark_until(limit_ns)).unwrap_or(0);
            let bytes = self.write_back(node, mark, false);
            if bytes > 0 {
                self.ask(Request::Write { bytes }, now_ns);
            }
        }
        self.oldest_dirty_ns = limit_ns + 1;
    }

    fn ask(&mut self, request: Request, now_ns: u64) -> u64 {
        self.queue.submit(&self.device, self.faults.slowness, request, now_ns, &mut self.random)
    }

    /// Brings a file's changes to the device, or fails to. Returns the bytes.
    fn write_back(&mut self, node: NodeId, mark: u64, reported: bool) -> u64 {
        let has_data = self.tree.content(node, |content| content.dirty_bytes() > 0).unwrap_or(false);
        if has_data && self.faults.sync_fails(&mut self.random) {
            self.stats.sync_errors += 1;
            let _ = self.tree.content(node, |content| content.give_up(mark));
            if let Ok(node) = self.tree.node(node) {
                node.errors += 1;
                node.error_reported = reported;
            }
            return 0;
        }
        let bytes = self.tree.content(node, |content| content.write_back(mark)).unwrap_or(0);
        self.stats.bytes_written += bytes;
        if bytes > 0 && self.faults.rots(&mut self.random) {
            let len = self.tree.content(node, |content| content.len()).unwrap_or(0);
            self.rot(node, len);
        }
        bytes
    }

    /// Flips one bit somewhere in a file.
    fn rot(&mut self, node: NodeId, len: u64) {
        let (offset, bit) = (self.random.next_u64() % len.max(1), self.random.next_u32());
        if self.tree.content(node, |content| content.rot(offset, bit)).unwrap_or(false) {
            self.stats.corruptions += 1;
        }
    }

    /// Flips one bit at a place. False when the device holds nothing there.
    pub(super) fn rot_at(&mut self, path: &Path, offset: u64) -> io::Result<bool> {
        let node = self.tree.resolve(path)?;
        let bit = self.random.next_u32();
        let flipped = self.tree.content(node, |content| content.rot(offset, bit))?;
        self.stats.corruptions += u64::from(flipped);
        Ok(flipped)
    }

    fn may_write(&self) -> io::Result<()> {
        if self.faults.read_only || self.faults.journal_aborted { Err(os_error(libc::EROFS)) } else { Ok(()) }
    }

    /// Pages that may still be taken. On a full disk the journal is committed first: it may hold removals.
    fn free_pages(&mut self) -> u64 {
        let Some(capacity) = self.faults.capacity else { return u64::MAX };
        let free = |tree: &Tree| (capacity / PAGE).saturating_sub(tree.used_pages);
        if free(&self.tree) == 0 {
            let changes = self.tree.log.take_until(u64::MAX);
            self.tree.commit(changes);
        }
        free(&self.tree)
    }

    fn full(&mut self) -> io::Error {
        self.stats.out_of_space += 1;
        os_error(libc::ENOSPC)
    }

    pub(super) fn open(&mut self, path: &Path, access: Access, now_ns: u64) -> io::Result<Opened> {
        access.check()?;
        let found = match self.tree.resolve(path) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
            found => found.ok(),
        };
        let writes = access.write || access.append;
        let node = match found {
            Some(_) if access.create_new => return Err(os_error(libc::EEXIST)),
            Some(node) if writes && self.tree.node(node)?.is_directory() => {
                return Err(os_error(libc::EISDIR));
            }
            Some(node) => node,
            None if !access.create && !access.create_new => return Err(os_error(libc::ENOENT)),
            None => {
                self.may_write()?;
                let place = self.tree.place(path)?;
                if self.free_pages() == 0 {
                    return Err(self.full());
                }
                self.tree.create(place, false, now_ns)
            }
        };
        if writes {
            self.may_write()?;
        }
        if access.truncate && found.is_some() {
            self.tree.content(node, |content| content.set_len(0, now_ns))?;
        }
        self.tree.open(node);
        let state = self.tree.node(node)?;
        // An error that nobody has seen yet is reported to whoever opens the file next (Linux 4.16).
        Ok(Opened { node, errors_seen: state.errors - u32::from(!state.error_reported) })
    }

    pub(super) fn close(&mut self, node: NodeId) {
        self.tree.close(node);
    }

    pub(super) fn len(&mut self, node: NodeId) -> io::Result<u64> {
        match &self.tree.node(node)?.body {
            Body::File(content) => Ok(content.len()),
            Body::Directory { .. } => Ok(PAGE),
        }
    }

    pub(super) fn is_directory(&mut self, node: NodeId) -> io::Result<bool> {
        Ok(self.tree.node(node)?.is_directory())
    }

    /// The first half of a read: when the device will have what is not in memory; `None` when all is.
    pub(super) fn start_read(
        &mut self,
        node: NodeId,
        offset: u64,
        len: usize,
        now_ns: u64,
    ) -> io::Result<Option<u64>> {
        let bytes = self.tree.content(node, |content| content.uncached(offset, len))?;
        Ok((bytes > 0).then(|| self.ask(Request::Read { bytes }, now_ns)))
    }

    /// The second half of a read.
    pub(super) fn finish_read(&mut self, node: NodeId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.faults.read_fails(&mut self.random) {
            self.stats.read_errors += 1;
            return Err(os_error(libc::EIO));
        }
        let count = self.tree.content(node, |content| content.read(offset, buffer))?;
        self.stats.reads += 1;
        if count > 0 && self.faults.read_lies(&mut self.random) {
            self.stats.corruptions += 1;
            let at = (self.random.next_u64() % count as u64) as usize;
            buffer[at] ^= 1 << (self.random.next_u32() % 8);
        }
        Ok(count)
    }

    /// Writes into memory what the disk has room for. Returns the number of bytes, and until when the caller must wait
    /// because too much waits for the device.
    pub(super) fn write(
        &mut self,
        node: NodeId,
        offset: u64,
        bytes: &[u8],
        now_ns: u64,
    ) -> io::Result<(usize, Option<u64>)> {
        self.may_write()?;
        if bytes.is_empty() {
            return Ok((0, None));
        }
        if offset >= FILE_BYTES_MAX {
            return Err(os_error(libc::EFBIG));
        }
        let wanted = bytes.len().min(usize::try_from(FILE_BYTES_MAX - offset).unwrap_or(usize::MAX));
        let mut free = self.free_pages();
        let count = self.tree.content(node, |content| {
            let mut done = 0;
            while done < wanted {
                let position = offset + done as u64;
                if !content.is_allocated(position / PAGE) {
                    if free == 0 {
                        break;
                    }
                    free -= 1;
                }
                let size = ((PAGE - position % PAGE) as usize).min(wanted - done);
                content.write_in_page(position, &bytes[done..done + size], now_ns);
                done += size;
            }
            done
        })?;
        if count == 0 {
            return Err(self.full());
        }
        self.stats.writes += 1;
        let wait = (self.tree.dirty_bytes > self.durability.dirty_limit).then(|| self.relieve(now_ns));
        Ok((count, wait))
    }

    /// Writes everything back because too much waits; returns when the device will be done.
    fn relieve(&mut self, now_ns: u64) -> u64 {
        let dirty: Vec<NodeId> = self.tree.dirty.iter().copied().collect();
        let bytes = dirty.into_iter().map(|node| self.write_back(node, u64::MAX, false)).sum();
        self.ask(Request::Write { bytes }, now_ns)
    }

    pub(super) fn set_len(&mut self, node: NodeId, len: u64, now_ns: u64) -> io::Result<()> {
        self.may_write()?;
        if len > FILE_BYTES_MAX {
            return Err(os_error(libc::EFBIG));
        }
        self.tree.content(node, |content| content.set_len(len, now_ns))
    }

    /// The first half of a sync of a file or directory.
    pub(super) fn start_sync(&mut self, node: NodeId, data_only: bool, now_ns: u64) -> io::Result<Sync> {
        if self.faults.journal_aborted {
            return Err(os_error(libc::EROFS));
        }
        if self.tree.node(node)?.is_directory() {
            let commit = if self.tree.log.touches(node) { COMMIT_STEPS } else { 0 };
            let request = Request::Flush { bytes: u64::from(commit) * PAGE, steps: commit.max(1) };
            return Ok(Sync { done_at_ns: self.ask(request, now_ns), mark: self.tree.log.mark() });
        }
        let (bytes, len_dirty, mark) = self
            .tree
            .content(node, |content| (content.dirty_bytes(), content.is_len_dirty(), content.mark()))?;
        // Times of last change are metadata as well: a full sync after a write always commits them.
        let commit = if len_dirty || (!data_only && bytes > 0) { COMMIT_STEPS } else { 0 };
        let steps = (u32::from(bytes > 0) + commit).max(1);
        let bytes = bytes + u64::from(commit) * PAGE;
        Ok(Sync { done_at_ns: self.ask(Request::Flush { bytes, steps }, now_ns), mark })
    }

    /// The second half of a sync: what had been changed at its start is on the device, or an error is reported.
    pub(super) fn finish_sync(&mut self, node: NodeId, sync: Sync, errors_seen: u32) -> io::Result<()> {
        self.stats.syncs += 1;
        if self.tree.node(node)?.is_directory() {
            if self.tree.log.touches(node) && self.faults.sync_fails(&mut self.random) {
                self.stats.sync_errors += 1;
                self.faults.journal_aborted = true;
                return Err(os_error(libc::EIO));
            }
            let changes = self.tree.log.take_directory(node, sync.mark);
            self.tree.commit(changes);
            return Ok(());
        }
        self.write_back(node, sync.mark, true);
        let state = self.tree.node(node)?;
        state.error_reported = true;
        if state.errors == errors_seen { Ok(()) } else { Err(os_error(libc::EIO)) }
    }

    /// Failed write-backs of a file so far.
    pub(super) fn errors(&mut self, node: NodeId) -> u32 {
        self.tree.node(node).map_or(0, |node| node.errors)
    }

    pub(super) fn create_dir(&mut self, path: &Path, now_ns: u64) -> io::Result<()> {
        self.may_write()?;
        if self.tree.resolve(path).is_ok() {
            return Err(os_error(libc::EEXIST));
        }
        let place = self.tree.place(path)?;
        if self.free_pages() == 0 {
            return Err(self.full());
        }
        self.tree.create(place, true, now_ns);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path, directory: bool, now_ns: u64) -> io::Result<()> {
        self.may_write()?;
        self.tree.remove(path, directory, now_ns)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, now_ns: u64) -> io::Result<()> {
        self.may_write()?;
        self.tree.rename(from, to, now_ns)
    }

    pub(super) fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        self.tree.resolve(path)
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(std::ffi::OsString, bool)>> {
        self.tree.list(path)
    }

    /// The power fails. `None` when there was nothing to lose.
    pub(super) fn lose_power(&mut self, now_ns: u64) -> Option<Losses> {
        self.catch_up(now_ns);
        self.epoch += 1;
        self.queue.clear();
        self.faults.journal_aborted = false;
        let unsynced = !self.tree.dirty.is_empty() || self.tree.log.oldest_ns().is_some();
        let mut losses = Losses::default();
        let how = Survival::draw(self.durability.unsynced, self.durability.torn, &mut self.random);
        self.tree.lose_power(&how, &mut self.random, &mut losses);
        self.stats.power_losses += 1;
        self.stats.writes_lost += losses.lost;
        self.stats.writes_torn += losses.torn;
        self.stats.names_lost += losses.names_lost;
        unsynced.then_some(losses)
    }

    /// The processes are gone, what they wrote is not.
    pub(super) fn processes_gone(&mut self) {
        self.epoch += 1;
        self.tree.close_all();
    }
}

fn expired(after: Option<std::time::Duration>, now_ns: u64) -> Option<u64> {
    now_ns.checked_sub(u64::try_from(after?.as_nanos()).ok()?)
}
