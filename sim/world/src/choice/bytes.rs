//! The byte form of recorded choices; see the parent module.

use std::collections::BTreeMap;
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::Choice;

const MAGIC: &[u8; 4] = b"RHCH";
const VERSION: u8 = 1;
/// First bytes of a choice; what is below is an index.
const INDEX: u8 = 252;
const BITS32: u8 = 253;
const BITS64: u8 = 254;
const BYTES: u8 = 255;

/// Why bytes are no recorded choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChoicesError {
    /// They do not begin as recorded choices do.
    NotChoices,
    /// They are of a version that this program does not read.
    Version(u8),
    /// They were cut off or changed.
    Damaged,
}

impl fmt::Display for ChoicesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChoicesError::NotChoices => f.write_str("these are no recorded choices"),
            ChoicesError::Version(version) => {
                write!(f, "recorded choices of version {version}; this program reads version {VERSION}")
            }
            ChoicesError::Damaged => f.write_str("the recorded choices were cut off or changed"),
        }
    }
}

impl std::error::Error for ChoicesError {}

/// The choices of one purpose, in their byte form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) count: u64,
    bytes: Vec<u8>,
}

impl Stream {
    pub(super) fn push(&mut self, choice: &Choice) {
        self.count += 1;
        match choice {
            Choice::Index(index) if *index < u64::from(INDEX) => self.bytes.push(*index as u8),
            Choice::Index(index) => {
                self.bytes.push(INDEX);
                write_number(&mut self.bytes, *index);
            }
            Choice::Bits32(bits) => {
                self.bytes.push(BITS32);
                self.bytes.extend_from_slice(&bits.to_le_bytes());
            }
            Choice::Bits64(bits) => {
                self.bytes.push(BITS64);
                self.bytes.extend_from_slice(&bits.to_le_bytes());
            }
            Choice::Bytes(bytes) => {
                self.bytes.push(BYTES);
                write_number(&mut self.bytes, bytes.len() as u64);
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    pub(super) fn choices(&self) -> impl Iterator<Item = Choice> {
        Reader::new(self.clone())
    }
}

/// Reads a stream choice by choice.
pub(super) struct Reader {
    stream: Stream,
    at: usize,
}

impl Reader {
    pub(super) fn new(stream: Stream) -> Reader {
        Reader { stream, at: 0 }
    }
}

impl Iterator for Reader {
    type Item = Choice;

    fn next(&mut self) -> Option<Choice> {
        let mut rest = self.stream.bytes.get(self.at..)?;
        let choice = read_choice(&mut rest)?;
        self.at = self.stream.bytes.len() - rest.len();
        Some(choice)
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

/// LEB128, in its shortest form only: the same choices have one byte form.
fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = array(rest)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read_choice(rest: &mut &[u8]) -> Option<Choice> {
    let [first] = array(rest)?;
    Some(match first {
        INDEX => Choice::Index(read_number(rest).filter(|index| *index >= u64::from(INDEX))?),
        BITS32 => Choice::Bits32(u32::from_le_bytes(array(rest)?)),
        BITS64 => Choice::Bits64(u64::from_le_bytes(array(rest)?)),
        BYTES => {
            let length = usize::try_from(read_number(rest)?).ok()?;
            Choice::Bytes(take(rest, length)?.to_vec())
        }
        index => Choice::Index(u64::from(index)),
    })
}

pub(super) fn write(streams: &BTreeMap<String, Stream>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    write_number(&mut bytes, streams.len() as u64);
    for (name, stream) in streams {
        write_number(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(name.as_bytes());
        write_number(&mut bytes, stream.count);
        write_number(&mut bytes, stream.bytes.len() as u64);
        bytes.extend_from_slice(&stream.bytes);
    }
    let sum = xxh3_64(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Stream>, ChoicesError> {
    let Some([version, rest @ ..]) = bytes.strip_prefix(MAGIC) else { return Err(ChoicesError::NotChoices) };
    if *version != VERSION {
        return Err(ChoicesError::Version(*version));
    }
    let Some((body, sum)) = rest.split_last_chunk::<8>() else { return Err(ChoicesError::Damaged) };
    let summed = &bytes[..bytes.len() - sum.len()];
    if xxh3_64(summed) != u64::from_le_bytes(*sum) {
        return Err(ChoicesError::Damaged);
    }
    read_streams(body).ok_or(ChoicesError::Damaged)
}

fn read_streams(mut rest: &[u8]) -> Option<BTreeMap<String, Stream>> {
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    for _ in 0..read_number(&mut rest)? {
        let length = usize::try_from(read_number(&mut rest)?).ok()?;
        let name = std::str::from_utf8(take(&mut rest, length)?).ok()?;
        if streams.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return None;
        }
        let count = read_number(&mut rest)?;
        let length = usize::try_from(read_number(&mut rest)?).ok()?;
        let bytes = take(&mut rest, length)?;
        let mut choices = bytes;
        for _ in 0..count {
            read_choice(&mut choices)?;
        }
        if !choices.is_empty() {
            return None;
        }
        streams.insert(name.to_owned(), Stream { count, bytes: bytes.to_vec() });
    }
    rest.is_empty().then_some(streams)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Choices;
    use super::*;

    fn choice() -> impl Strategy<Value = Choice> {
        prop_oneof![
            (0..300_u64).prop_map(Choice::Index),
            any::<u64>().prop_map(Choice::Index),
            any::<u32>().prop_map(Choice::Bits32),
            any::<u64>().prop_map(Choice::Bits64),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Choice::Bytes),
        ]
    }

    fn choices() -> impl Strategy<Value = Choices> {
        let streams = prop::collection::btree_map(".{0,12}", prop::collection::vec(choice(), 0..30), 0..5);
        streams.prop_map(|streams| {
            let mut choices = Choices::default();
            streams.into_iter().for_each(|(name, stream)| choices.set(&name, stream));
            choices
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(choices in choices()) {
            let bytes = choices.to_bytes();
            prop_assert_eq!(Choices::from_bytes(&bytes), Ok(choices));
        }

        #[test]
        fn damage_is_an_error(choices in choices(), at in any::<prop::sample::Index>(), by in 1..=255_u8) {
            let mut bytes = choices.to_bytes();
            let at = at.index(bytes.len());
            prop_assert!(Choices::from_bytes(&bytes[..at]).is_err());
            bytes[at] ^= by;
            prop_assert!(Choices::from_bytes(&bytes).is_err());
        }

        #[test]
        fn garbage_is_an_error_even_with_the_right_sum(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Choices::from_bytes(&garbage), Err(ChoicesError::NotChoices));
            let mut bytes = MAGIC.to_vec();
            bytes.push(VERSION);
            bytes.extend_from_slice(&garbage);
            bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
            if let Ok(choices) = Choices::from_bytes(&bytes) {
                prop_assert_eq!(choices.to_bytes(), bytes, "one byte form for the same choices");
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(Choices::from_bytes(b"PK\x03\x04"), Err(ChoicesError::NotChoices));
        assert_eq!(Choices::from_bytes(b"RHCH"), Err(ChoicesError::NotChoices));
        assert_eq!(Choices::from_bytes(b"RHCH\x09"), Err(ChoicesError::Version(9)));
        let huge = [&b"RHCH\x01"[..], &[0xff; 9], &[0x01]].concat();
        let summed = [&huge[..], &xxh3_64(&huge).to_le_bytes()].concat();
        assert_eq!(Choices::from_bytes(&summed), Err(ChoicesError::Damaged));
    }
}
