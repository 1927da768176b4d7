//! Reading of the format's parts. Nothing is believed: what was announced is there, or it is an error.

use std::borrow::Cow;

use super::RdbError;

/// The largest stretch that LZF makes out of a byte of its input: three bytes refer to 264.
const MAX_EXPANSION: u64 = 88;

/// A length, or how the string that follows is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    Plain(u64),
    Encoded(u8),
}

/// Bytes, and how many of them were read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What was read so far.
    pub(super) fn passed(&self) -> &'a [u8] {
        &self.bytes[..self.at]
    }

    pub(super) fn corrupt(&self, what: &'static str) -> RdbError {
        RdbError::Corrupt { what, offset: self.at }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], RdbError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(RdbError::UnexpectedEnd)?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        self.take(N)?.try_into().map_err(|_| RdbError::UnexpectedEnd)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RdbError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn any_length(&mut self) -> Result<Length, RdbError> {
        let first = self.byte()?;
        Ok(match first {
            0..0x40 => Length::Plain(u64::from(first)),
            0x40..0x80 => Length::Plain(u64::from(u16::from_be_bytes([first & 0x3f, self.byte()?]))),
            0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            0xc0.. => Length::Encoded(first & 0x3f),
            _ => return Err(self.corrupt("Unknown length encoding")),
        })
    }

    /// A length, an id or a counter.
    pub(super) fn length(&mut self) -> Result<u64, RdbError> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(self.corrupt("A length is encoded as a string")),
        }
    }

    /// A string, whatever its encoding.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        let number = match self.any_length()? {
            Length::Plain(length) => {
                let length = usize::try_from(length).map_err(|_| RdbError::UnexpectedEnd)?;
                return self.take(length).map(Cow::Borrowed);
            }
            Length::Encoded(0) => i64::from(i8::from_le_bytes(self.array()?)),
            Length::Encoded(1) => i64::from(i16::from_le_bytes(self.array()?)),
            Length::Encoded(2) => i64::from(i32::from_le_bytes(self.array()?)),
            Length::Encoded(3) => return self.compressed().map(Cow::Owned),
            Length::Encoded(_) => return Err(self.corrupt("Unknown RDB string encoding type")),
        };
        Ok(Cow::Owned(number.to_string().into_bytes()))
    }

    fn compressed(&mut self) -> Result<Vec<u8>, RdbError> {
        let compressed = self.length()?;
        let length = self.length()?;
        let invalid = RdbError::Corrupt { what: "Invalid LZF compressed string", offset: self.at };
        let compressed = usize::try_from(compressed).map_err(|_| RdbError::UnexpectedEnd)?;
        let compressed = self.take(compressed)?;
        // Memory is not taken for what cannot come out.
        if compressed.is_empty() || length > (compressed.len() as u64).saturating_mul(MAX_EXPANSION) {
            return Err(invalid);
        }
        let mut text = vec![0; usize::try_from(length).map_err(|_| invalid.clone())?];
        match lzf_rust::decompress(compressed, &mut text) {
            Ok(length) if length == text.len() => Ok(text),
            _ => Err(invalid),
        }
    }
}
