//! Ids of stream entries in arguments, and entries in replies.

use crate::{
    error::{ReplyError, fixed},
    number::parse_i64,
    stream::{Fields, StreamId},
};
use wire::redis::reply::Writer;

pub(super) const INVALID_ID: ReplyError = fixed("ERR Invalid stream ID specified as stream command argument");

/// Which end of an interval an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Start,
    Stop,
}

/// Either part of an id. What is no plain integer is read as C's `strtoull` does: with blanks before it, a sign
/// (a negative number wraps around) and leading zeros.
fn part(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let text = &text[text.iter().take_while(|byte| is_blank(byte)).count()..];
    let (digits, negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

/// Splits `ms[-seq]`; as a string of C, it ends with its first zero byte.
fn split(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), ReplyError> {
    // The size of the buffer that Redis copies it to.
    if text.len() > 127 {
        return Err(INVALID_ID);
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(match text.iter().position(|byte| *byte == b'-') {
        Some(dash) => (&text[..dash], Some(&text[dash + 1..])),
        None => (text, None),
    })
}

/// An id in full or without its second part, which is `missing_seq` then.
fn parse_with(text: &[u8], missing_seq: u64) -> Result<StreamId, ReplyError> {
    let (ms, seq) = split(text)?;
    let ms = part(ms).ok_or(INVALID_ID)?;
    let seq = seq.map_or(Some(missing_seq), part).ok_or(INVALID_ID)?;
    Ok(StreamId { ms, seq })
}

/// An id in full, or one that starts a millisecond.
pub(super) fn parse(text: &[u8]) -> Result<StreamId, ReplyError> {
    parse_with(text, 0)
}

/// All of these ids, or none of them.
pub(super) fn parse_all(texts: &[&[u8]]) -> Result<Vec<StreamId>, ReplyError> {
    texts.iter().map(|text| parse(text)).collect()
}

/// The millisecond of `ms-*`.
pub(super) fn parse_millisecond(text: &[u8]) -> Option<u64> {
    match split(text) {
        Ok((ms, Some(b"*"))) => part(ms),
        _ => None,
    }
}

/// An id, `-` for the lowest or `+` for the highest.
pub(super) fn parse_or_edge(text: &[u8], missing_seq: u64) -> Result<StreamId, ReplyError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => parse_with(text, missing_seq),
    }
}

/// An end of an interval: `-`, `+`, an id, or `(id`, which the interval does not include.
pub(super) fn parse_end(text: &[u8], end: End) -> Result<StreamId, ReplyError> {
    let missing_seq = if end == End::Start { 0 } else { u64::MAX };
    let [b'(', id @ ..] = text else { return parse_or_edge(text, missing_seq) };
    if id.is_empty() {
        return Err(INVALID_ID);
    }
    let id = parse_with(id, missing_seq)?;
    match end {
        End::Start => id.next().ok_or(fixed("ERR invalid start ID for the interval")),
        End::Stop => id.previous().ok_or(fixed("ERR invalid end ID for the interval")),
    }
}

pub(super) fn reply_id(reply: &mut Writer, id: StreamId) {
    reply.bulk(id.to_string().as_bytes());
}

pub(super) fn reply_entry(reply: &mut Writer, id: StreamId, fields: &Fields) {
    reply.array(2);
    reply_id(reply, id);
    reply.array(fields.len() * 2);
    for (field, value) in fields.iter() {
        reply.bulk(field);
        reply.bulk(value);
    }
}

pub(super) fn reply_entries(reply: &mut Writer, entries: &[(StreamId, &Fields)]) {
    reply.array(entries.len());
    for (id, fields) in entries {
        reply_entry(reply, *id, fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_strtoull_does() {
        let id = |ms, seq| Ok(StreamId { ms, seq });
        assert_eq!(parse(b"5"), id(5, 0));
        assert_eq!(parse(b"5-18446744073709551615"), id(5, u64::MAX));
        assert_eq!(parse(b" +05-007"), id(5, 7));
        assert_eq!(parse(b"1--01"), id(1, u64::MAX));
        assert_eq!(parse(b"5\0x"), id(5, 0));
        for wrong in
            ["", "-", "+", "-1", "1-", "1--1", "1-2-3", "x", "18446744073709551616", "1-*", " ", "1 "]
        {
            assert_eq!(parse(wrong.as_bytes()), Err(INVALID_ID), "{wrong:?}");
        }
        assert_eq!(parse_end(b"(5", End::Stop), id(5, u64::MAX - 1));
        assert_eq!(parse_end(b"(0", End::Start), id(0, 1));
        assert!(parse_end(b"(0-0", End::Stop).is_err());
        assert!(parse_end(b"(-", End::Start).is_err());
    }
}
