//! Files on the simulated disks: what the facade's types stand for on every engine but the real one.

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::Metadata;
use super::names::NodeId;
use super::tree::os_error;
use super::volume::{Access, Volume};
use crate::common::hosts::HostId;
use crate::common::{self, Common};
use crate::engine::{self, Note, Wait, wait_until};
use crate::limits::{self, Descriptor};

/// Works on a host's disk, whether the host is up or not.
pub(super) fn on_disk<R>(host: HostId, work: impl FnOnce(&mut Volume, u64) -> R) -> R {
    engine::with(|world| {
        let now_ns = world.now_ns();
        let mut disks = world.common.disks.borrow_mut();
        let volume = disks.volume(host, &world.common.hosts.borrow());
        volume.catch_up(now_ns);
        work(volume, now_ns)
    })
}

/// As a process of the current host. The outcome goes into the fingerprint.
fn as_process<R>(
    kind: &'static str,
    subject: &[u8],
    work: impl FnOnce(&mut Volume, u64) -> io::Result<R>,
) -> io::Result<R> {
    let host = common::with(Common::current_host);
    recorded(kind, host, subject, || {
        if !common::with(|common| common.hosts.borrow().is_up(host)) {
            return Err(os_error(libc::EIO));
        }
        on_disk(host, work)
    })
}

fn recorded<R>(
    kind: &'static str,
    host: HostId,
    subject: &[u8],
    work: impl FnOnce() -> io::Result<R>,
) -> io::Result<R> {
    let result = work();
    let number = result.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(-1) as u64);
    engine::with(|world| world.note(Note { kind, host, number, payload: subject }));
    result
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// A file that a process has open.
#[derive(Debug)]
pub(super) struct File {
    host: HostId,
    epoch: u32,
    node: NodeId,
    access: Access,
    errors_seen: AtomicU32,
    cursor: u64,
    reading: Option<Wait>,
    writing: Option<Wait>,
    _descriptor: Descriptor,
}

impl File {
    pub(super) fn open(path: &Path, access: Access) -> io::Result<File> {
        let descriptor = limits::open()?;
        let host = common::with(Common::current_host);
        let (opened, epoch) = as_process("disk open", bytes(path), |volume, now_ns| {
            Ok((volume.open(path, access, now_ns)?, volume.epoch))
        })?;
        Ok(File {
            host,
            epoch,
            node: opened.node,
            access,
            errors_seen: AtomicU32::new(opened.errors_seen),
            cursor: 0,
            reading: None,
            writing: None,
            _descriptor: descriptor,
        })
    }

    /// As the process that opened the file: an error when that is gone.
    fn with<R>(&self, work: impl FnOnce(&mut Volume, u64) -> io::Result<R>) -> io::Result<R> {
        on_disk(self.host, |volume, now_ns| {
            if volume.epoch != self.epoch {
                return Err(os_error(libc::EBADF));
            }
            work(volume, now_ns)
        })
    }

    fn recorded<R>(
        &self,
        kind: &'static str,
        subject: &[u8],
        work: impl FnOnce(&mut Volume, u64) -> io::Result<R>,
    ) -> io::Result<R> {
        recorded(kind, self.host, subject, || self.with(work))
    }

    fn may(&self, allowed: bool) -> io::Result<()> {
        if allowed { Ok(()) } else { Err(os_error(libc::EBADF)) }
    }

    fn start_read(&self, offset: u64, len: usize) -> io::Result<Option<u64>> {
        self.may(self.access.read)?;
        self.with(|volume, now_ns| volume.start_read(self.node, offset, len, now_ns))
    }

    fn finish_read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.with(|volume, _| volume.finish_read(self.node, offset, buffer));
        let read: &[u8] = result.as_ref().map_or(&[], |count| &buffer[..*count]);
        let number = result.as_ref().map_or(u64::MAX, |_| offset);
        let note = Note { kind: "disk read", host: self.host, number, payload: read };
        engine::with(|world| world.note(note));
        result
    }

    pub(super) async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(done_at_ns) = self.start_read(offset, buffer.len())? {
            wait_until(done_at_ns).await;
        }
        self.finish_read(offset, buffer)
    }

    /// Writes at the offset, or at the end if the file was opened to append. Returns where it ended, the count, and the
    /// time to wait.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<(u64, usize, Option<u64>)> {
        self.may(self.access.write || self.access.append)?;
        self.recorded("disk write", bytes, |volume, now_ns| {
            let offset = if self.access.append { volume.len(self.node)? } else { offset };
            let (count, wait) = volume.write(self.node, offset, bytes, now_ns)?;
            Ok((offset + count as u64, count, wait))
        })
    }

    pub(super) async fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (_, count, wait) = self.write(bytes, offset)?;
        if let Some(done_at_ns) = wait {
            wait_until(done_at_ns).await;
        }
        Ok(count)
    }

    pub(super) async fn set_len(&self, len: u64) -> io::Result<()> {
        self.may(self.access.write || self.access.append).map_err(|_| os_error(libc::EINVAL))?;
        self.recorded("disk set length", &len.to_le_bytes(), |volume, now_ns| {
            volume.set_len(self.node, len, now_ns)
        })
    }

    pub(super) async fn sync(&self, data_only: bool) -> io::Result<()> {
        let sync = self.with(|volume, now_ns| volume.start_sync(self.node, data_only, now_ns))?;
        wait_until(sync.done_at_ns).await;
        self.recorded("disk sync", &[], |volume, _| {
            let seen = self.errors_seen.load(Ordering::Relaxed);
            let result = volume.finish_sync(self.node, sync, seen);
            self.errors_seen.store(volume.errors(self.node), Ordering::Relaxed);
            result
        })
    }

    pub(super) async fn metadata(&self) -> io::Result<Metadata> {
        self.with(|volume, _| metadata_of(volume, self.node))
    }

    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reading.is_none() {
            self.reading = self.start_read(self.cursor, buffer.remaining())?.map(wait_until);
        }
        if let Some(wait) = &mut self.reading {
            ready!(Pin::new(wait).poll(context));
            self.reading = None;
        }
        let count = self.finish_read(self.cursor, buffer.initialize_unfilled())?;
        buffer.advance(count);
        self.cursor += count as u64;
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_throttle(context));
        let (end, count, wait) = self.write(bytes, self.cursor)?;
        self.cursor = end;
        self.writing = wait.map(wait_until);
        Poll::Ready(Ok(count))
    }

    /// Waits until the device has caught up with an earlier write.
    pub(super) fn poll_throttle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.writing {
            ready!(Pin::new(wait).poll(context));
            self.writing = None;
        }
        Poll::Ready(())
    }

    pub(super) fn seek(&mut self, position: SeekFrom) -> io::Result<()> {
        let (base, step) = match position {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::End(step) => (self.with(|volume, _| volume.len(self.node))?, step),
            SeekFrom::Current(step) => (self.cursor, step),
        };
        self.cursor = base.checked_add_signed(step).ok_or_else(|| os_error(libc::EINVAL))?;
        self.reading = None;
        Ok(())
    }

    pub(super) fn position(&self) -> u64 {
        self.cursor
    }
}

impl Drop for File {
    fn drop(&mut self) {
        common::try_with(|common| {
            if let Some(volume) = common.disks.borrow_mut().existing(self.host)
                && volume.epoch == self.epoch
            {
                volume.close(self.node);
            }
        });
    }
}

fn metadata_of(volume: &mut Volume, node: NodeId) -> io::Result<Metadata> {
    Ok(Metadata { len: volume.len(node)?, is_dir: volume.is_directory(node)? })
}

pub(super) fn metadata(path: &Path) -> io::Result<Metadata> {
    as_process("disk metadata", bytes(path), |volume, _| {
        let node = volume.resolve(path)?;
        metadata_of(volume, node)
    })
}

pub(super) fn list(path: &Path) -> io::Result<Vec<(OsString, bool)>> {
    as_process("disk list", bytes(path), |volume, _| volume.list(path))
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    as_process("disk create directory", bytes(path), |volume, now_ns| volume.create_dir(path, now_ns))
}

pub(super) fn create_dir_all(path: &Path) -> io::Result<()> {
    let mut sofar = PathBuf::from("/");
    for part in path.components() {
        sofar.push(part);
        match create_dir(&sofar) {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => return Err(error),
            Err(error) if !metadata(&sofar)?.is_dir => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn remove(path: &Path, directory: bool) -> io::Result<()> {
    as_process("disk remove", bytes(path), |volume, now_ns| volume.remove(path, directory, now_ns))
}

pub(super) fn remove_dir_all(path: &Path) -> io::Result<()> {
    for (name, is_directory) in list(path)? {
        let inner = path.join(name);
        if is_directory {
            remove_dir_all(&inner)?;
        } else {
            remove(&inner, false)?;
        }
    }
    remove(path, true)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let subject = [bytes(from), bytes(to)].join(&0);
    as_process("disk rename", &subject, |volume, now_ns| volume.rename(from, to, now_ns))
}
