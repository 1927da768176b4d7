//! Writing of the format's parts.

use crc::{CRC_64_REDIS, Crc, Table};

use crate::number::parse_i64;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The checksum of snapshots and dumps: CRC-64 with the polynomial of Jones.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    CHECKSUM.checksum(bytes)
}

/// Longest text that may be an integer of 32 bits.
const MAX_INTEGER_LENGTH: usize = 11;

/// Collects bytes.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A length, in as few bytes as it needs; also ids and counters.
    pub(super) fn length(&mut self, length: u64) {
        match length {
            0..0x40 => self.byte(length as u8),
            0x40..0x4000 => self.raw(&(length as u16 | 0x4000).to_be_bytes()),
            _ => match u32::try_from(length) {
                Ok(length) => {
                    self.byte(0x80);
                    self.raw(&length.to_be_bytes());
                }
                Err(_) => {
                    self.byte(0x81);
                    self.raw(&length.to_be_bytes());
                }
            },
        }
    }

    pub(super) fn count(&mut self, count: usize) {
        self.length(count as u64);
    }

    /// A string; one that is an integer of up to 32 bits is written as such.
    pub(super) fn string(&mut self, text: &[u8]) {
        let number = if text.len() <= MAX_INTEGER_LENGTH { parse_i64(text) } else { None };
        match number {
            Some(number @ -0x80..0x80) => self.raw(&[0xc0, number as u8]),
            Some(number @ -0x8000..0x8000) => {
                self.byte(0xc1);
                self.raw(&(number as i16).to_le_bytes());
            }
            Some(number @ -0x8000_0000..0x8000_0000) => {
                self.byte(0xc2);
                self.raw(&(number as i32).to_le_bytes());
            }
            _ => {
                self.count(text.len());
                self.raw(text);
            }
        }
    }

    /// All bytes, and their checksum.
    pub(super) fn finish_with_checksum(mut self) -> Vec<u8> {
        let checksum = checksum(&self.0);
        self.raw(&checksum.to_le_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_redis() {
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }
}
