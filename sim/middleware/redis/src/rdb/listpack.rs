//! Listpacks: lists of strings and integers within one string, in which Redis keeps small aggregates and the nodes of
//! streams.

use std::borrow::Cow;

use super::RdbError;
use crate::{keyspace::Blob, number::parse_i64};

/// Total bytes and number of elements.
const HEADER: usize = 6;
const TERMINATOR: u8 = 0xff;
/// The header's number when there are more elements than it can say.
const UNKNOWN_COUNT: u16 = u16::MAX;

/// An element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element<'a> {
    Integer(i64),
    Text(&'a [u8]),
}

impl<'a> Element<'a> {
    pub(super) fn bytes(self) -> Cow<'a, [u8]> {
        match self {
            Element::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            Element::Text(text) => Cow::Borrowed(text),
        }
    }

    pub(super) fn blob(self) -> Blob {
        Blob::from(&*self.bytes())
    }

    fn integer(self) -> Option<i64> {
        match self {
            Element::Integer(number) => Some(number),
            Element::Text(text) => parse_i64(text),
        }
    }
}

/// Reads one element after the other.
#[derive(Debug)]
pub(super) struct Listpack<'a> {
    rest: &'a [u8],
    /// Elements still to come, if the header says.
    left: Option<u16>,
    /// Where it is in the file, for errors.
    offset: usize,
}

impl<'a> Listpack<'a> {
    /// Checks the frame. `offset` is the place to name in errors.
    pub(super) fn open(bytes: &'a [u8], offset: usize) -> Result<Self, RdbError> {
        let corrupt = RdbError::Corrupt { what: "Listpack integrity check failed.", offset };
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(corrupt.clone())?;
        let [b0, b1, b2, b3, c0, c1] = *header;
        let total = u32::from_le_bytes([b0, b1, b2, b3]);
        let count = u16::from_le_bytes([c0, c1]);
        match rest.split_last() {
            Some((&TERMINATOR, rest)) if total as usize == bytes.len() => {
                Ok(Self { rest, left: (count != UNKNOWN_COUNT).then_some(count), offset })
            }
            _ => Err(corrupt),
        }
    }

    pub(super) fn corrupt(&self) -> RdbError {
        RdbError::Corrupt { what: "Listpack integrity check failed.", offset: self.offset }
    }

    /// The next element; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Element<'a>>, RdbError> {
        if self.rest.is_empty() {
            return if self.left.is_none_or(|left| left == 0) { Ok(None) } else { Err(self.corrupt()) };
        }
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(1)
                .ok_or(RdbError::Corrupt { what: "Listpack integrity check failed.", offset: self.offset })?;
        }
        let (element, size) = first_element(self.rest).ok_or_else(|| self.corrupt())?;
        let (length, length_size) = back_length(size);
        let length = &length[length.len() - length_size..];
        let after = self.rest.get(size..).and_then(|rest| rest.strip_prefix(length));
        self.rest = after.ok_or_else(|| self.corrupt())?;
        Ok(Some(element))
    }

    /// The next element, which must be there.
    pub(super) fn element(&mut self) -> Result<Element<'a>, RdbError> {
        self.next()?.ok_or_else(|| self.corrupt())
    }

    /// The next element, which must be an integer.
    pub(super) fn integer(&mut self) -> Result<i64, RdbError> {
        self.element()?.integer().ok_or_else(|| self.corrupt())
    }

    /// The next element, which must be a number of things.
    pub(super) fn count(&mut self) -> Result<usize, RdbError> {
        usize::try_from(self.integer()?).map_err(|_| self.corrupt())
    }
}

/// The element at the start, and its size without the length that follows it.
fn first_element(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let text = |header: usize, length: usize| {
        let end = header.checked_add(length)?;
        Some((Element::Text(bytes.get(header..end)?), end))
    };
    Some(match *bytes {
        [number @ ..=0x7f, ..] => (Element::Integer(i64::from(number)), 1),
        [first @ 0x80..=0xbf, ..] => text(1, usize::from(first & 0x3f))?,
        [first @ 0xc0..=0xdf, low, ..] => {
            let number = (u16::from(first & 0x1f) << 8) | u16::from(low);
            // Thirteen bits with a sign.
            (Element::Integer(i64::from((number << 3).cast_signed() >> 3)), 2)
        }
        [first @ 0xe0..=0xef, low, ..] => text(2, (usize::from(first & 0x0f) << 8) | usize::from(low))?,
        [0xf0, a, b, c, d, ..] => text(5, u32::from_le_bytes([a, b, c, d]) as usize)?,
        [0xf1, a, b, ..] => (Element::Integer(i64::from(i16::from_le_bytes([a, b]))), 3),
        [0xf2, a, b, c, ..] => (Element::Integer(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), 4),
        [0xf3, a, b, c, d, ..] => (Element::Integer(i64::from(i32::from_le_bytes([a, b, c, d]))), 5),
        [0xf4, a, b, c, d, e, f, g, h, ..] => {
            (Element::Integer(i64::from_le_bytes([a, b, c, d, e, f, g, h])), 9)
        }
        _ => return None,
    })
}

/// The length that follows an element, to be read backwards: the last bytes of the array, and how many of them.
fn back_length(size: usize) -> ([u8; 5], usize) {
    let bytes = match size {
        ..128 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let mut length = [0; 5];
    for (place, byte) in length.iter_mut().rev().enumerate().take(bytes) {
        let more = if place + 1 < bytes { 0x80 } else { 0 };
        // Read backwards, all but the last byte have the mark.
        *byte = ((size >> (7 * place)) & 0x7f) as u8 | more;
    }
    (length, bytes)
}

/// Makes a listpack.
#[derive(Debug)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    count: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEADER], count: 0 }
    }

    pub(super) fn integer(&mut self, number: i64) {
        let start = self.bytes.len();
        let out = &mut self.bytes;
        match number {
            0..0x80 => out.push(number as u8),
            -0x1000..0x1000 => {
                let bits = (number as u16) & 0x1fff;
                out.extend_from_slice(&(bits | 0xc000).to_be_bytes());
            }
            -0x8000..0x8000 => {
                out.push(0xf1);
                out.extend_from_slice(&(number as i16).to_le_bytes());
            }
            -0x80_0000..0x80_0000 => {
                out.push(0xf2);
                out.extend_from_slice(&(number as i32).to_le_bytes()[..3]);
            }
            -0x8000_0000..0x8000_0000 => {
                out.push(0xf3);
                out.extend_from_slice(&(number as i32).to_le_bytes());
            }
            _ => {
                out.push(0xf4);
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        self.end_element(start);
    }

    pub(super) fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A text; one that is an integer is stored as such.
    pub(super) fn text(&mut self, text: &[u8]) {
        if let Some(number) = parse_i64(text) {
            return self.integer(number);
        }
        let start = self.bytes.len();
        match text.len() {
            length @ ..0x40 => self.bytes.push(0x80 | length as u8),
            length @ ..0x1000 => self.bytes.extend_from_slice(&(0xe000 | length as u16).to_be_bytes()),
            length => {
                self.bytes.push(0xf0);
                // Strings have at most half a gigabyte.
                self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
        self.end_element(start);
    }

    fn end_element(&mut self, start: usize) {
        let (length, bytes) = back_length(self.bytes.len() - start);
        self.bytes.extend_from_slice(&length[length.len() - bytes..]);
        self.count += 1;
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(TERMINATOR);
        let total = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let count = u16::try_from(self.count).unwrap_or(UNKNOWN_COUNT);
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..HEADER].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_all_sizes_come_back() {
        let numbers = [0, 127, 128, -1, 4095, -4096, 4096, -32768, 32767, 32768, -8_388_608, 8_388_607];
        let large = [8_388_608, i64::from(i32::MIN), i64::from(i32::MAX), 1 << 31, i64::MIN, i64::MAX];
        let texts = [0, 1, 63, 64, 125, 126, 127, 4095, 4096, 16_380, 16_400, 70_000].map(|n| vec![b'x'; n]);
        let mut builder = Builder::new();
        for number in numbers.iter().chain(&large) {
            builder.integer(*number);
        }
        for text in &texts {
            builder.text(text);
        }
        builder.text(b"-12");
        builder.text(b"012");
        let bytes = builder.finish();
        let mut listpack = Listpack::open(&bytes, 0).expect("a listpack");
        for number in numbers.iter().chain(&large) {
            assert_eq!(listpack.next(), Ok(Some(Element::Integer(*number))));
        }
        for text in &texts {
            assert_eq!(listpack.next(), Ok(Some(Element::Text(text))));
        }
        assert_eq!(listpack.next(), Ok(Some(Element::Integer(-12))));
        assert_eq!(listpack.next(), Ok(Some(Element::Text(b"012"))));
        assert_eq!(listpack.next(), Ok(None));
    }
}
