//! `LCS`: the longest common subsequence of two strings.

use std::ops::Range;

use crate::{
    commands::{Args, Context, is, strings::MAX_LENGTH},
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Keyspace, Value},
    number::integer,
};

#[derive(Default)]
struct Options {
    only_length: bool,
    places: bool,
    lengths: bool,
    least_length: usize,
}

impl Options {
    fn parse(arguments: &[&[u8]]) -> Result<Self, ReplyError> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            if is(option, "LEN") {
                options.only_length = true;
            } else if is(option, "IDX") {
                options.places = true;
            } else if is(option, "WITHMATCHLEN") {
                options.lengths = true;
            } else if is(option, "MINMATCHLEN") {
                let least = integer(arguments.next().ok_or(SYNTAX)?)?;
                options.least_length = usize::try_from(least).unwrap_or(0);
            } else {
                return Err(SYNTAX);
            }
        }
        if options.places && options.only_length {
            return Err(fixed("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// The lengths of the longest subsequences that all prefixes of two strings have in common.
struct Table<'a> {
    left: &'a [u8],
    right: &'a [u8],
    lengths: Vec<u32>,
}

impl<'a> Table<'a> {
    fn compute(left: &'a [u8], right: &'a [u8]) -> Result<Self, ReplyError> {
        let size = (left.len() + 1) * (right.len() + 1);
        if size > MAX_LENGTH / size_of::<u32>() {
            return Err(fixed(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ));
        }
        let mut table = Self { left, right, lengths: vec![0; size] };
        for (i, a) in left.iter().enumerate() {
            for (j, b) in right.iter().enumerate() {
                let length =
                    if a == b { table.at(i, j) + 1 } else { table.at(i, j + 1).max(table.at(i + 1, j)) };
                table.lengths[(i + 1) * (right.len() + 1) + j + 1] = length;
            }
        }
        Ok(table)
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths[i * (self.right.len() + 1) + j]
    }

    fn length(&self) -> u32 {
        self.lengths.last().copied().unwrap_or(0)
    }

    /// The pieces of the subsequence that stand together in both strings, the last one first, with their places.
    fn pieces(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut pieces: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let (mut i, mut j) = (self.left.len(), self.right.len());
        while i > 0 && j > 0 {
            if self.left[i - 1] == self.right[j - 1] {
                match pieces.last_mut() {
                    Some((left, right)) if left.start == i && right.start == j => {
                        left.start -= 1;
                        right.start -= 1;
                    }
                    _ => pieces.push((i - 1..i, j - 1..j)),
                }
                i -= 1;
                j -= 1;
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        pieces
    }
}

fn string<'a>(keyspace: &'a Keyspace, key: &[u8]) -> Result<&'a [u8], ReplyError> {
    match keyspace.get(key) {
        None => Ok(&[]),
        Some(Value::String(bytes)) => Ok(bytes),
        Some(_) => Err(fixed("ERR The specified keys must contain string values")),
    }
}

/// `LCS key key [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]`.
pub(super) fn lcs(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (left, right) = (string(&c.db.keyspace, a[1])?, string(&c.db.keyspace, a[2])?);
    let options = Options::parse(&a[3..])?;
    let table = Table::compute(left, right)?;
    if options.only_length {
        c.reply.integer(i64::from(table.length()));
        return Ok(());
    }
    let mut pieces = table.pieces();
    if !options.places {
        let bytes: Vec<u8> =
            pieces.iter().rev().flat_map(|(place, _)| &left[place.clone()]).copied().collect();
        c.reply.bulk(&bytes);
        return Ok(());
    }
    pieces.retain(|(place, _)| place.len() >= options.least_length);
    c.reply.map(2);
    c.reply.bulk(b"matches");
    c.reply.array(pieces.len());
    for (left, right) in pieces {
        c.reply.array(2 + usize::from(options.lengths));
        for place in [&left, &right] {
            c.reply.array(2);
            c.reply.count(place.start);
            c.reply.count(place.end - 1);
        }
        if options.lengths {
            c.reply.count(left.len());
        }
    }
    c.reply.bulk(b"len");
    c.reply.integer(i64::from(table.length()));
    Ok(())
}
