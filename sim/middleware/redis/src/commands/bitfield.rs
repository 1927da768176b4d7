//! `BITFIELD` and `BITFIELD_RO`: integers of any width within a string.

use crate::{
    commands::{
        Args, Context,
        bitmaps::{bit_offset, parse_offset},
        check_type, is,
        strings::grow,
    },
    error::{Outcome, ReplyError, SYNTAX, fixed},
    number::{integer, parse_i64},
};

const WRONG_TYPE_OF_FIELD: ReplyError =
    fixed("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");

/// The type of an integer: `i1` to `i64`, `u1` to `u63`.
#[derive(Debug, Clone, Copy)]
struct Type {
    signed: bool,
    bits: u32,
}

impl Type {
    fn parse(text: &[u8]) -> Result<Self, ReplyError> {
        let (signed, bits, most) = match text {
            [b'i', bits @ ..] => (true, bits, 64),
            [b'u', bits @ ..] => (false, bits, 63),
            _ => return Err(WRONG_TYPE_OF_FIELD),
        };
        let bits = parse_i64(bits).and_then(|bits| u32::try_from(bits).ok());
        let bits = bits.filter(|bits| (1..=most).contains(bits)).ok_or(WRONG_TYPE_OF_FIELD)?;
        Ok(Self { signed, bits })
    }

    /// Reads an offset in bits, or in multiples of this type if it starts with `#`.
    fn offset(self, text: &[u8]) -> Result<usize, ReplyError> {
        bit_offset(match text.strip_prefix(b"#") {
            // Redis does not notice when the product wraps around.
            Some(index) => parse_offset(index)?.wrapping_mul(i64::from(self.bits)),
            None => parse_offset(text)?,
        })
    }

    fn least(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn most(self) -> i128 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The number that the lowest bits stand for.
    fn wrap(self, number: i128) -> i128 {
        let low = number & ((1 << self.bits) - 1);
        if low > self.most() { low - (1 << self.bits) } else { low }
    }

    fn get(self, bytes: &[u8], offset: usize) -> i128 {
        let mut number = 0;
        for at in offset..offset + self.bits as usize {
            let byte = bytes.get(at / 8).copied().unwrap_or(0);
            number = (number << 1) | i128::from((byte >> (7 - at % 8)) & 1);
        }
        self.wrap(number)
    }

    fn set(self, bytes: &mut [u8], offset: usize, number: i128) {
        for step in 0..self.bits as usize {
            let at = offset + step;
            let mask = 0x80 >> (at % 8);
            if (number >> (self.bits as usize - 1 - step)) & 1 == 1 {
                bytes[at / 8] |= mask;
            } else {
                bytes[at / 8] &= !mask;
            }
        }
    }
}

/// What becomes of a number that its type does not have.
#[derive(Debug, Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

#[derive(Debug, Clone, Copy)]
struct Operation {
    field: Type,
    offset: usize,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    /// The offset of the last bit.
    fn last_bit(&self) -> usize {
        self.offset + self.field.bits as usize - 1
    }

    /// The number that the field gets, unless it has to fail.
    fn result(&self, current: i128) -> Option<i128> {
        let field = self.field;
        let exact = match self.action {
            Action::Get => current,
            // Unsigned, as Redis does: a negative number is a very large one.
            Action::Set(number) if !field.signed => i128::from(number as u64),
            Action::Set(number) => i128::from(number),
            Action::Add(number) => current + i128::from(number),
        };
        match self.overflow {
            _ if (field.least()..=field.most()).contains(&exact) => Some(exact),
            Overflow::Wrap => Some(field.wrap(exact)),
            // Redis takes the distance in 64 bits: what is too far below wraps around and is taken as too large.
            Overflow::Saturate
                if matches!(self.action, Action::Set(_)) && field.most() - exact > i128::from(i64::MAX) =>
            {
                Some(field.most())
            }
            Overflow::Saturate => Some(exact.clamp(field.least(), field.most())),
            Overflow::Fail => None,
        }
    }
}

fn operations(arguments: &[&[u8]]) -> Result<Vec<Operation>, ReplyError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut rest = arguments;
    loop {
        let (action, field, offset, number, after) = match rest {
            [] => return Ok(operations),
            [name, kind, after @ ..] if is(name, "OVERFLOW") => {
                overflow = match *kind {
                    kind if is(kind, "WRAP") => Overflow::Wrap,
                    kind if is(kind, "SAT") => Overflow::Saturate,
                    kind if is(kind, "FAIL") => Overflow::Fail,
                    _ => return Err(fixed("ERR Invalid OVERFLOW type specified")),
                };
                rest = after;
                continue;
            }
            [name, field, offset, after @ ..] if is(name, "GET") => (None, *field, *offset, None, after),
            [name, field, offset, number, after @ ..] if is(name, "SET") => {
                (Some(Action::Set as fn(i64) -> Action), *field, *offset, Some(*number), after)
            }
            [name, field, offset, number, after @ ..] if is(name, "INCRBY") => {
                (Some(Action::Add as fn(i64) -> Action), *field, *offset, Some(*number), after)
            }
            _ => return Err(SYNTAX),
        };
        let field = Type::parse(field)?;
        let offset = field.offset(offset)?;
        let action = match (action, number) {
            (Some(action), Some(number)) => action(integer(number)?),
            _ => Action::Get,
        };
        operations.push(Operation { field, offset, action, overflow });
        rest = after;
    }
}

/// The numbers as a signed 64-bit reply: no type has others.
fn narrow(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read(c: &mut Context<'_>, key: &[u8], operations: &[Operation]) -> Outcome {
    let bytes = c.db.keyspace.read::<Vec<u8>>(key)?.map_or(&[][..], Vec::as_slice);
    c.reply.array(operations.len());
    for operation in operations {
        c.reply.integer(narrow(operation.field.get(bytes, operation.offset)));
    }
    Ok(())
}

pub(super) fn bitfield_ro(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let operations = operations(&a[2..])?;
    if operations.iter().any(|operation| !matches!(operation.action, Action::Get)) {
        return Err(fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(c, a[1], &operations)
}

pub(super) fn bitfield(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let operations = operations(&a[2..])?;
    let writes = operations.iter().filter(|operation| !matches!(operation.action, Action::Get));
    let Some(last_bit) = writes.map(Operation::last_bit).max() else {
        return read(c, a[1], &operations);
    };
    check_type::<Vec<u8>>(&c.db.keyspace, a[1])?;
    // The string is there for the whole command, and stays, even if every operation fails.
    let created = c.db.keyspace.get(a[1]).is_none();
    let replies = c.db.keyspace.edit_or_insert(a[1], |bytes: &mut Vec<u8>| {
        let grown = grow(bytes, last_bit / 8 + 1) || created;
        let mut changed = false;
        let mut replies = Vec::with_capacity(operations.len());
        for operation in &operations {
            let current = operation.field.get(bytes, operation.offset);
            let result = operation.result(current);
            replies.push(match (operation.action, result) {
                (Action::Get, _) => Some(current),
                (_, None) => None,
                (action, Some(result)) => {
                    operation.field.set(bytes, operation.offset, result);
                    changed |= grown || result != current;
                    Some(if matches!(action, Action::Set(_)) { current } else { result })
                }
            });
        }
        (replies, changed)
    })?;
    c.reply.array(replies.len());
    for reply in replies {
        match reply {
            Some(number) => c.reply.integer(narrow(number)),
            None => c.reply.null(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_width_come_back_from_any_offset() {
        for bits in [1, 7, 8, 13, 33, 63, 64] {
            for signed in [true, false] {
                if !signed && bits == 64 {
                    continue;
                }
                let field = Type { signed, bits };
                for offset in [0, 3, 8, 29] {
                    for number in [field.least(), 0, field.most()] {
                        for background in [0, 0xff] {
                            let mut bytes = [background; 16];
                            field.set(&mut bytes, offset, number);
                            assert_eq!(field.get(&bytes, offset), number, "{field:?} at {offset}");
                        }
                    }
                }
            }
        }
    }
}
