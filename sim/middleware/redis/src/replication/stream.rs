//! The replication stream: the last of its bytes, with their offsets.

/// How much more than asked for is kept before the oldest bytes are really dropped: so that dropping is rare.
const SLACK: usize = 256 * 1024;

/// The last bytes of the replication stream. An offset is the number of bytes since the history of a replication id
/// began, as in `PSYNC`.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Offset after which the kept bytes begin.
    start: u64,
    bytes: Vec<u8>,
}

impl Stream {
    /// A stream that begins after this offset.
    pub(crate) fn after(offset: u64) -> Self {
        Self { start: offset, bytes: Vec::new() }
    }

    /// Offset of the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The offset of the first byte that is kept, and how many are.
    pub(crate) fn kept(&self) -> (u64, usize) {
        (self.start + 1, self.bytes.len())
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes after an offset; `None` if they are no longer, or not yet, there.
    pub(crate) fn since(&self, offset: u64) -> Option<&[u8]> {
        let index = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(index..)
    }

    /// Forgets bytes up to this offset, or a little later.
    pub(crate) fn forget(&mut self, offset: u64) {
        let count = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let count = count.min(self.bytes.len());
        if count >= SLACK {
            self.bytes.drain(..count);
            self.start += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_by_their_offsets() {
        let mut stream = Stream::after(100);
        assert_eq!(stream.since(100), Some(&[][..]));
        stream.push(b"hello");
        assert_eq!((stream.end(), stream.kept()), (105, (101, 5)));
        assert_eq!(stream.since(102), Some(&b"llo"[..]));
        assert_eq!(stream.since(99), None);
        assert_eq!(stream.since(106), None);
        stream.push(&vec![b'x'; SLACK]);
        stream.forget(105);
        assert_eq!(stream.since(100).map(<[u8]>::len), Some(SLACK + 5));
        stream.forget(stream.end());
        assert_eq!((stream.since(100), stream.end()), (None, 105 + SLACK as u64));
    }
}
