//! Decoding of replies: sizes and nesting are checked first, then `redis-protocol` decodes.
//!
//! A decoder that trusts the lengths in a frame allocates what garbage asks for. The [`Scanner`] walks over the
//! headers without allocating, resumes where it stopped when more bytes arrive, and hands a frame to the decoder
//! only when it is complete and within its bounds.

use bytes::{Buf, BytesMut};
use redis::{PushKind, Value, VerbatimFormat};
use redis_protocol::{
    resp2::{self, types::RangeFrame},
    resp3::{self, types::OwnedFrame},
};

/// Largest bulk string, in bytes: `proto-max-bulk-len` of Redis.
const MAX_BULK_LENGTH: usize = 512 * 1024 * 1024;
/// Most elements of one aggregate (array, map, set, push).
const MAX_ELEMENTS: usize = 1024 * 1024;
/// Deepest nesting of aggregates. Redis itself nests four levels at most, scripts a little deeper.
const MAX_DEPTH: usize = 32;
/// Longest line: a header, a status or an error.
const MAX_LINE_LENGTH: usize = 64 * 1024;

/// The bytes are not a reply, or a reply that is out of bounds. The stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte names no type of RESP2 or RESP3.
    #[error("unknown frame type {:?}", char::from(*.0))]
    UnknownType(u8),
    /// A length is not a number.
    #[error("a length is not a number")]
    BadLength,
    /// A line, a bulk string or an aggregate is larger than a client accepts.
    #[error("frame too large")]
    TooLarge,
    /// Aggregates are nested too deeply.
    #[error("frame nested too deeply")]
    TooDeep,
    /// The frame has the right shape but its content is wrong.
    #[error("malformed frame: {0}")]
    Malformed(String),
}

/// Finds the end of the next frame in a growing buffer. Keeps its place between calls, so a long reply that
/// arrives in pieces is walked once.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the next header is.
    position: usize,
    /// Elements still to come, per open aggregate.
    open: [usize; MAX_DEPTH],
    depth: usize,
    /// A type that only RESP3 knows was seen.
    resp3: bool,
}

impl Scanner {
    /// The length of the first frame in `buffer` if it is complete. `buffer` must start with the same bytes in
    /// each call until a frame was found.
    ///
    /// # Errors
    /// When the bytes are no frame or exceed a bound.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, FrameError> {
        loop {
            let Some(rest) = buffer.get(self.position..) else { return Ok(None) };
            let Some(Header { kind, line, length }) = header(rest)? else { return Ok(None) };
            let mut length = length;
            let mut elements = 0;
            match kind {
                b'+' | b'-' | b':' => {}
                b'_' | b'#' | b',' | b'(' => self.resp3 = true,
                b'$' => length += bulk_length(line)?,
                b'=' | b'!' => {
                    self.resp3 = true;
                    length += bulk_length(line)?;
                }
                b'*' => elements = element_count(line)?,
                b'~' | b'>' => {
                    self.resp3 = true;
                    elements = element_count(line)?;
                }
                // An attribute is followed by the value that it belongs to.
                b'|' => {
                    self.resp3 = true;
                    elements = element_count(line)? * 2 + 1;
                }
                b'%' => {
                    self.resp3 = true;
                    elements = element_count(line)? * 2;
                }
                other => return Err(FrameError::UnknownType(other)),
            }
            if length > rest.len() {
                return Ok(None);
            }
            self.position += length;
            if elements > 0 {
                let slot = self.open.get_mut(self.depth).ok_or(FrameError::TooDeep)?;
                *slot = elements;
                self.depth += 1;
            } else if self.close() {
                return Ok(Some(self.position));
            }
        }
    }

    /// A value ended: closes the aggregates that it was the last element of. True when none is open any more.
    fn close(&mut self) -> bool {
        while self.depth > 0 {
            let left = &mut self.open[self.depth - 1];
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.depth -= 1;
        }
        true
    }
}

/// The line that a frame starts with.
struct Header<'a> {
    kind: u8,
    /// What follows the type byte.
    line: &'a [u8],
    /// Bytes of the whole line with its end.
    length: usize,
}

/// Reads the line at the start; `None` if it is incomplete.
fn header(rest: &[u8]) -> Result<Option<Header<'_>>, FrameError> {
    let Some((&kind, line)) = rest.split_first() else { return Ok(None) };
    let window = &line[..line.len().min(MAX_LINE_LENGTH)];
    match window.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(Header { kind, line: &line[..end], length: end + 3 })),
        None if line.len() >= MAX_LINE_LENGTH => Err(FrameError::TooLarge),
        None => Ok(None),
    }
}

fn parse_length(line: &[u8]) -> Result<Option<usize>, FrameError> {
    if line == b"-1" {
        return Ok(None);
    }
    if line.is_empty() || line.len() > 18 || !line.iter().all(u8::is_ascii_digit) {
        return Err(FrameError::BadLength);
    }
    Ok(Some(line.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))))
}

/// Bytes that follow the header of a bulk string, its line end included.
fn bulk_length(line: &[u8]) -> Result<usize, FrameError> {
    match parse_length(line)? {
        None => Ok(0),
        Some(length) if length > MAX_BULK_LENGTH => Err(FrameError::TooLarge),
        Some(length) => Ok(length + 2),
    }
}

fn element_count(line: &[u8]) -> Result<usize, FrameError> {
    match parse_length(line)?.unwrap_or(0) {
        count if count > MAX_ELEMENTS => Err(FrameError::TooLarge),
        count => Ok(count),
    }
}

/// Takes replies off a buffer, one by one.
#[derive(Debug, Default)]
pub struct Decoder {
    scanner: Scanner,
}

impl Decoder {
    /// The next reply, if it has arrived completely; its bytes are removed from `buffer`. Out-of-band pushes of
    /// RESP3 are returned as [`Value::Push`].
    ///
    /// # Errors
    /// When the stream carries something else than replies; it must not be used any more.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, FrameError> {
        let Some(length) = self.scanner.scan(buffer)? else { return Ok(None) };
        let resp3 = self.scanner.resp3;
        self.scanner = Scanner::default();
        let frame = buffer.get(..length).unwrap_or_default();
        let value = if resp3 { decode_resp3(frame)? } else { decode_resp2(frame)? };
        buffer.advance(length);
        Ok(Some(value))
    }
}

fn malformed(what: impl std::fmt::Display) -> FrameError {
    FrameError::Malformed(what.to_string())
}

fn decode_resp2(frame: &[u8]) -> Result<Value, FrameError> {
    let (ranges, _) =
        resp2::decode::decode_range(frame).map_err(malformed)?.ok_or_else(|| malformed("incomplete"))?;
    value_of_ranges(frame, ranges)
}

fn value_of_ranges(frame: &[u8], range: RangeFrame) -> Result<Value, FrameError> {
    let bytes = |(start, end): (usize, usize)| frame.get(start..end).unwrap_or_default();
    Ok(match range {
        RangeFrame::SimpleString(range) => status(bytes(range)),
        RangeFrame::Error(range) => server_error(bytes(range))?,
        RangeFrame::Integer(number) => Value::Int(number),
        RangeFrame::BulkString(range) => Value::BulkString(bytes(range).to_vec()),
        RangeFrame::Array(items) => Value::Array(
            items.into_iter().map(|item| value_of_ranges(frame, item)).collect::<Result<_, _>>()?,
        ),
        RangeFrame::Null => Value::Nil,
    })
}

fn status(text: &[u8]) -> Value {
    if text == b"OK" { Value::Okay } else { Value::SimpleString(String::from_utf8_lossy(text).into_owned()) }
}

/// Only the parser of the `redis` crate can make its `ServerError`, so the line goes through it once more.
fn server_error(line: &[u8]) -> Result<Value, FrameError> {
    let mut text = Vec::with_capacity(line.len() + 3);
    text.push(b'-');
    text.extend(
        String::from_utf8_lossy(line).bytes().map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }),
    );
    text.extend_from_slice(b"\r\n");
    redis::parse_redis_value(&text).map_err(malformed)
}

fn decode_resp3(frame: &[u8]) -> Result<Value, FrameError> {
    let (owned, _) =
        resp3::decode::complete::decode(frame).map_err(malformed)?.ok_or_else(|| malformed("incomplete"))?;
    value_of_owned(owned)
}

fn values(items: impl IntoIterator<Item = OwnedFrame>) -> Result<Vec<Value>, FrameError> {
    items.into_iter().map(value_of_owned).collect()
}

fn value_of_owned(frame: OwnedFrame) -> Result<Value, FrameError> {
    Ok(match frame {
        OwnedFrame::BlobString { data, .. } => Value::BulkString(data),
        OwnedFrame::BlobError { data, .. } => server_error(&data)?,
        OwnedFrame::SimpleString { data, .. } => status(&data),
        OwnedFrame::SimpleError { data, .. } => server_error(data.as_bytes())?,
        OwnedFrame::Boolean { data, .. } => Value::Boolean(data),
        OwnedFrame::Null => Value::Nil,
        OwnedFrame::Number { data, .. } => Value::Int(data),
        OwnedFrame::Double { data, .. } => Value::Double(data),
        OwnedFrame::BigNumber { data, .. } => Value::BigNumber(data),
        OwnedFrame::VerbatimString { data, .. } => Value::VerbatimString {
            format: VerbatimFormat::Text,
            text: String::from_utf8_lossy(&data).into_owned(),
        },
        OwnedFrame::Array { data, .. } => Value::Array(values(data)?),
        OwnedFrame::Set { data, .. } => Value::Set(values(data)?),
        OwnedFrame::Map { data, .. } => Value::Map(
            // redis-protocol collects the pairs of a map from the last to the first.
            data.into_iter()
                .rev()
                .map(|(key, value)| Ok((value_of_owned(key)?, value_of_owned(value)?)))
                .collect::<Result<_, FrameError>>()?,
        ),
        OwnedFrame::Push { data, .. } => {
            let mut data = values(data)?.into_iter();
            let kind = match data.next() {
                Some(Value::BulkString(kind)) => String::from_utf8_lossy(&kind).into_owned(),
                Some(Value::SimpleString(kind)) => kind,
                _ => return Err(malformed("a push without a kind")),
            };
            Value::Push { kind: PushKind::Other(kind), data: data.collect() }
        }
        OwnedFrame::Hello { .. } | OwnedFrame::ChunkedString(_) => {
            return Err(malformed("a frame that no server sends"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Option<Value>, FrameError> {
        Decoder::default().decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn every_kind_of_reply_is_decoded() {
        assert_eq!(decode(b"+OK\r\n"), Ok(Some(Value::Okay)));
        assert_eq!(decode(b"+fine\r\n"), Ok(Some(Value::SimpleString("fine".into()))));
        assert_eq!(decode(b":-7\r\n"), Ok(Some(Value::Int(-7))));
        assert_eq!(decode(b"$3\r\na\r\n\r\n"), Ok(Some(Value::BulkString(b"a\r\n".to_vec()))));
        assert_eq!(decode(b"$-1\r\n"), Ok(Some(Value::Nil)));
        assert_eq!(decode(b"*-1\r\n"), Ok(Some(Value::Nil)));
        assert_eq!(decode(b"*0\r\n"), Ok(Some(Value::Array(vec![]))));
        assert_eq!(
            decode(b"*2\r\n*1\r\n:1\r\n$-1\r\n"),
            Ok(Some(Value::Array(vec![Value::Array(vec![Value::Int(1)]), Value::Nil])))
        );
        assert_eq!(
            decode(b"%1\r\n$1\r\na\r\n,1.5\r\n"),
            Ok(Some(Value::Map(vec![(Value::BulkString(b"a".to_vec()), Value::Double(1.5))])))
        );
        assert_eq!(decode(b"~1\r\n#t\r\n"), Ok(Some(Value::Set(vec![Value::Boolean(true)]))));
        assert_eq!(decode(b"_\r\n"), Ok(Some(Value::Nil)));
        let error = decode(b"-WRONGTYPE Operation\r\n");
        assert!(matches!(&error, Ok(Some(Value::ServerError(e))) if e.code() == "WRONGTYPE"), "{error:?}");
    }

    #[test]
    fn maps_keep_the_order_of_the_wire() {
        let mut frame = b"%64\r\n".to_vec();
        for i in 0..64 {
            frame.extend_from_slice(format!("$2\r\n{:02}\r\n:{i}\r\n", 63 - i).as_bytes());
        }
        let Ok(Some(Value::Map(pairs))) = decode(&frame) else { panic!("not a map") };
        let numbers: Vec<_> = pairs.into_iter().map(|(_, value)| value).collect();
        assert_eq!(numbers, (0..64).map(Value::Int).collect::<Vec<_>>());
    }

    #[test]
    fn pieces_of_a_reply_are_not_a_reply() {
        let whole = b"*3\r\n$3\r\nfoo\r\n*2\r\n:1\r\n:2\r\n$-1\r\n";
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::new();
        for (index, byte) in whole.iter().enumerate() {
            buffer.extend_from_slice(&[*byte]);
            let decoded = decoder.decode(&mut buffer).expect("valid so far");
            assert_eq!(decoded.is_some(), index + 1 == whole.len());
        }
        assert!(buffer.is_empty());
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_allocated() {
        assert_eq!(decode(b"$99999999999\r\n"), Err(FrameError::TooLarge));
        assert_eq!(decode(b"*99999999999\r\n"), Err(FrameError::TooLarge));
        assert_eq!(decode(b"$-2\r\n"), Err(FrameError::BadLength));
        assert_eq!(decode(b"*x\r\n"), Err(FrameError::BadLength));
        assert_eq!(decode(&b"*1\r\n".repeat(100)), Err(FrameError::TooDeep));
        assert_eq!(decode(b"?\r\n"), Err(FrameError::UnknownType(b'?')));
        assert_eq!(decode(&vec![b'+'; MAX_LINE_LENGTH + 2]), Err(FrameError::TooLarge));
        // Announced, not sent: nothing is reserved for it.
        assert_eq!(decode(b"$500000000\r\nabc"), Ok(None));
    }
}
