//! Open files, as tokio's and, for positions, `std::os::unix::fs::FileExt`'s.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use super::volume::Access;
use super::{Metadata, simulated};

/// How to open a file; as `tokio::fs::OpenOptions`.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions(Access);

impl OpenOptions {
    /// Nothing allowed yet.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Allows to read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.0.read = read;
        self
    }

    /// Allows to write.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.0.write = write;
        self
    }

    /// Allows to write at the end only; as on Linux, [`File::write_at`] then appends too, whatever its offset.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.0.append = append;
        self
    }

    /// Empties the file if it exists.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.0.truncate = truncate;
        self
    }

    /// Creates the file if it does not exist.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.0.create = create;
        self
    }

    /// Creates the file, and fails if it exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.0.create_new = create_new;
        self
    }

    /// Opens a file of the current host. A directory can be opened to read, for [`File::sync_all`].
    ///
    /// # Errors
    /// Linux's: `ENOENT`, `EEXIST`, `EISDIR`, `ENOTDIR`, `EINVAL` for options that make no sense together, `EMFILE` at
    /// the limit of open files, `ENOSPC`, `EROFS`, `ENAMETOOLONG`.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        simulated::File::open(path.as_ref(), self.0).map(File)
    }
}

/// An open file of the host that opened it.
///
/// It is closed when it is dropped, and when its host crashes or is killed: from then on every use of it fails with
/// `EBADF`.
#[derive(Debug)]
pub struct File(simulated::File);

impl File {
    /// Opens a file to read.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file to write, creating or emptying it.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Options to open a file with.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Reads from a position; returns the number of bytes, fewer than asked for at the end of the file.
    ///
    /// # Errors
    /// `EIO` when the disk cannot read, `EBADF` when the file is not open to read, `EISDIR` for a directory.
    pub async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset).await
    }

    /// Fills the buffer from a position.
    ///
    /// # Errors
    /// As [`File::read_at`], and `UnexpectedEof` when the file ends before.
    pub async fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(&mut buffer[done..], offset + done as u64).await? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "failed to fill whole buffer")),
                count => done += count,
            }
        }
        Ok(())
    }

    /// Writes at a position; returns the number of bytes, fewer than given when the disk is nearly full.
    ///
    /// # Errors
    /// `ENOSPC` on a full disk, `EROFS` on one that takes no writes, `EFBIG` beyond 16 TiB, `EBADF` when the file is not
    /// open to write.
    pub async fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset).await
    }

    /// Writes all bytes from a position on.
    ///
    /// # Errors
    /// As [`File::write_at`]; some of the bytes may then have been written.
    pub async fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            done += self.write_at(&bytes[done..], offset + done as u64).await?;
        }
        Ok(())
    }

    /// Cuts the file, or lengthens it by zeros.
    ///
    /// # Errors
    /// `EINVAL` when the file is not open to write, `EFBIG`, `EROFS`.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len).await
    }

    /// Waits until the device has the file's content and length as they were at the call (`fsync`). The name of a new
    /// file is its directory's: see [`super::sync_dir`].
    ///
    /// # Errors
    /// `EIO` when writing back failed, now or earlier. An error is reported once to every file that was open when it
    /// happened; the bytes concerned count as written, stay readable until the power fails, and are lost then. Only
    /// writing them again brings them to the device.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.0.sync(false).await
    }

    /// As [`File::sync_all`], without the metadata that reading does not need (`fdatasync`): faster when the length
    /// has not changed.
    ///
    /// # Errors
    /// As [`File::sync_all`].
    pub async fn sync_data(&self) -> io::Result<()> {
        self.0.sync(true).await
    }

    /// Length and kind.
    ///
    /// # Errors
    /// `EBADF` when the host has been down since.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata().await
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(context, buffer)
    }
}

impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, bytes)
    }

    /// Nothing is held back: what was written is in the page cache. Durable it is after [`File::sync_all`].
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_throttle(context));
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        self.0.seek(position)
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.0.position()))
    }
}
