//! Commands on the bits of strings. Bit 0 is the highest bit of the first byte.

use crate::{
    commands::{
        Args, Context, is,
        strings::{MAX_LENGTH, grow},
    },
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Expiry, Keyspace, Value},
    number::{integer, parse_i64},
};

const WRONG_OFFSET: ReplyError = fixed("ERR bit offset is not an integer or out of range");
const WRONG_BIT: ReplyError = fixed("ERR bit is not an integer or out of range");

/// Checks an offset in bits: within the largest string.
pub(super) fn bit_offset(offset: i64) -> Result<usize, ReplyError> {
    usize::try_from(offset).ok().filter(|offset| offset / 8 < MAX_LENGTH).ok_or(WRONG_OFFSET)
}

/// Reads an offset in bits.
pub(super) fn parse_offset(text: &[u8]) -> Result<i64, ReplyError> {
    parse_i64(text).ok_or(WRONG_OFFSET)
}

pub(super) fn setbit(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let offset = bit_offset(parse_offset(a[2])?)?;
    let bit = match parse_i64(a[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(WRONG_BIT),
    };
    let (byte, mask) = (offset / 8, 0x80 >> (offset % 8));
    let old = c.db.keyspace.edit_or_create(a[1], |value: &mut Vec<u8>| {
        let grown = grow(value, byte + 1);
        let old = value[byte] & mask != 0;
        value[byte] = if bit { value[byte] | mask } else { value[byte] & !mask };
        (old, grown || old != bit)
    })?;
    c.reply.integer(i64::from(old));
    Ok(())
}

pub(super) fn getbit(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let offset = bit_offset(parse_offset(a[2])?)?;
    let value = c.db.keyspace.read::<Vec<u8>>(a[1])?;
    let byte = value.and_then(|value| value.get(offset / 8)).copied().unwrap_or(0);
    c.reply.integer(i64::from(byte & (0x80 >> (offset % 8)) != 0));
    Ok(())
}

/// Bits of a string from one offset to another, both included.
#[derive(Clone, Copy)]
struct Bits<'a> {
    bytes: &'a [u8],
    first: usize,
    last: usize,
}

impl<'a> Bits<'a> {
    /// Resolves `start` and `end`, which count bytes or bits, from the end if they are negative. `None` when they
    /// leave nothing.
    fn resolve(bytes: &'a [u8], start: i64, end: i64, by_bit: bool) -> Option<Self> {
        let unit = if by_bit { 1 } else { 8 };
        let length = i64::try_from(bytes.len()).ok()? * 8 / unit;
        let from_end = |index: i64| if index < 0 { length.saturating_add(index).max(0) } else { index };
        let (start, end) = (from_end(start), from_end(end).min(length - 1));
        if start > end {
            return None;
        }
        let at = |index: i64| usize::try_from(index * unit).ok();
        Some(Self { bytes, first: at(start)?, last: at(end)? + unit as usize - 1 })
    }

    /// The bytes that have some of the bits.
    fn range(self) -> std::ops::RangeInclusive<usize> {
        self.first / 8..=self.last / 8
    }

    /// A byte of the range; the bits that are not part of it are as `outside` says.
    fn byte(self, at: usize, outside: bool) -> u8 {
        let mut mask = 0xff;
        if at == self.first / 8 {
            mask &= 0xff >> (self.first % 8);
        }
        if at == self.last / 8 {
            mask &= 0xff << (7 - self.last % 8);
        }
        if outside { self.bytes[at] | !mask } else { self.bytes[at] & mask }
    }

    fn count(self) -> usize {
        let (first, last) = (self.first / 8, self.last / 8);
        let ends = self.byte(first, false).count_ones() as usize
            + if first == last { 0 } else { self.byte(last, false).count_ones() as usize };
        let inner = self.bytes.get(first + 1..last).unwrap_or_default();
        ends + inner.iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
    }

    /// The offset of the first bit of this value.
    fn position(self, bit: bool) -> Option<usize> {
        self.range().find_map(|at| {
            let byte = self.byte(at, !bit);
            let before = if bit { byte.leading_zeros() } else { byte.leading_ones() };
            (before < 8).then_some(at * 8 + before as usize)
        })
    }
}

/// Does a range count bits (`BIT`) instead of bytes (`BYTE`)?
fn counts_bits(unit: &[u8]) -> Result<bool, ReplyError> {
    match unit {
        unit if is(unit, "BIT") => Ok(true),
        unit if is(unit, "BYTE") => Ok(false),
        _ => Err(SYNTAX),
    }
}

/// `BITCOUNT key [start end [BYTE|BIT]]`. As Redis does, a missing key is answered before anything else is read.
pub(super) fn bitcount(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let Some(value) = c.db.keyspace.read::<Vec<u8>>(a[1])? else {
        c.reply.integer(0);
        return Ok(());
    };
    let bits = match a {
        [_, _] => Bits::resolve(value, 0, -1, false),
        [_, _, start, end] | [_, _, start, end, _] => {
            let (start, end) = (integer(start)?, integer(end)?);
            // Even the unit is not looked at then.
            if start < 0 && end < 0 && start > end {
                None
            } else {
                let by_bit = a.get(4).map_or(Ok(false), |unit| counts_bits(unit))?;
                Bits::resolve(value, start, end, by_bit)
            }
        }
        _ => return Err(SYNTAX),
    };
    c.reply.count(bits.map_or(0, Bits::count));
    Ok(())
}

/// `BITPOS key bit [start [end [BYTE|BIT]]]`.
pub(super) fn bitpos(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let bit = match integer(a[2])? {
        0 => false,
        1 => true,
        _ => return Err(fixed("ERR The bit argument must be 1 or 0.")),
    };
    // A missing key is an endless row of zeros.
    let Some(value) = c.db.keyspace.read::<Vec<u8>>(a[1])? else {
        c.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let (start, end, by_bit) = match a {
        [_, _, _] => (0, None, false),
        [_, _, _, start] => (integer(start)?, None, false),
        [_, _, _, start, end] => (integer(start)?, Some(integer(end)?), false),
        [_, _, _, start, end, unit] => {
            let start = integer(start)?;
            let by_bit = counts_bits(unit)?;
            (start, Some(integer(end)?), by_bit)
        }
        _ => return Err(SYNTAX),
    };
    let found = Bits::resolve(value, start, end.unwrap_or(-1), by_bit).and_then(|bits| {
        // Without an end, a string of ones is followed by zeros.
        let behind = (!bit && end.is_none()).then_some(bits.last + 1);
        bits.position(bit).or(behind)
    });
    match found {
        Some(offset) => c.reply.count(offset),
        None => c.reply.integer(-1),
    }
    Ok(())
}

/// `BITOP operation destination key…`: the shorter strings are taken as followed by zeros.
pub(super) fn bitop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let combine: fn(u8, u8) -> u8 = match a[1] {
        name if is(name, "AND") => |left, right| left & right,
        name if is(name, "OR") => |left, right| left | right,
        name if is(name, "XOR") => |left, right| left ^ right,
        name if is(name, "NOT") => |left, _| !left,
        _ => return Err(SYNTAX),
    };
    let inverts = is(a[1], "NOT");
    if inverts && a.len() != 4 {
        return Err(fixed("ERR BITOP NOT must be called with a single source key."));
    }
    let sources = read_all(&c.db.keyspace, &a[3..])?;
    let length = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = vec![0; length];
    for (index, source) in sources.iter().enumerate() {
        if index == 0 {
            result[..source.len()].copy_from_slice(source);
        } else {
            for (at, byte) in result.iter_mut().enumerate() {
                *byte = combine(*byte, source.get(at).copied().unwrap_or(0));
            }
        }
    }
    if inverts {
        for byte in &mut result {
            *byte = combine(*byte, 0);
        }
    }
    if length == 0 {
        c.db.keyspace.remove(a[2]);
    } else {
        c.db.keyspace.set(a[2], Value::String(result), Expiry::Never);
    }
    c.reply.count(length);
    Ok(())
}

/// The strings of some keys; a missing one is empty.
fn read_all<'a>(keyspace: &'a Keyspace, keys: &[&[u8]]) -> Result<Vec<&'a [u8]>, ReplyError> {
    keys.iter().map(|key| Ok(keyspace.read::<Vec<u8>>(key)?.map_or(&[][..], Vec::as_slice))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bits_are_cut_at_both_ends() {
        let bytes = [0b1011_0001, 0xff, 0b0000_0001];
        let count = |start, end, by_bit| Bits::resolve(&bytes, start, end, by_bit).map(Bits::count);
        assert_eq!(count(0, -1, false), Some(13));
        assert_eq!(count(0, 0, true), Some(1));
        assert_eq!(count(1, 2, true), Some(1));
        assert_eq!(count(3, 8, true), Some(3));
        assert_eq!(count(-1, 100, true), Some(1));
        assert_eq!(count(2, 1, true), None);
        assert_eq!(count(24, 30, true), None);
        assert_eq!(count(i64::MIN, i64::MAX, false), Some(13));
        let position =
            |start, end, bit| Bits::resolve(&bytes, start, end, true).and_then(|b| b.position(bit));
        assert_eq!(position(0, -1, false), Some(1));
        assert_eq!(position(4, 6, true), None);
        assert_eq!(position(4, 7, true), Some(7));
        assert_eq!(position(7, 15, false), None);
        assert_eq!(position(7, 16, false), Some(16));
    }
}
