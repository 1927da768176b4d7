//! Parsing of requests on the server's side, straight from the read buffer, with the messages of Redis 7.

use std::ops::Range;

/// Largest argument, in bytes: `proto-max-bulk-len` of Redis.
const MAX_BULK_LENGTH: i64 = 512 * 1024 * 1024;
/// Longest inline command or length line, in bytes: `PROTO_INLINE_MAX_SIZE` of Redis.
const MAX_INLINE_LENGTH: usize = 64 * 1024;
/// Most arguments of a command; Redis accepts up to `INT_MAX`, more than any real command.
const MAX_ARGUMENTS: i64 = 1024 * 1024;

/// The bytes are not a request. Redis replies `-ERR Protocol error: …` and closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An array header that is not a sensible number.
    #[error("invalid multibulk length")]
    InvalidMultibulkLength,
    /// A bulk header that is not a sensible number.
    #[error("invalid bulk length")]
    InvalidBulkLength,
    /// Something else than a bulk string in a request.
    #[error("expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// A line without an end, longer than any inline command may be.
    #[error("too big inline request")]
    TooBigInline,
    /// A length line without an end, in the array header.
    #[error("too big mbulk count string")]
    TooBigCount,
    /// A length line without an end, in a bulk header.
    #[error("too big bulk count string")]
    TooBigBulkCount,
    /// An inline command with an open quote.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// Parses one request after the other. Keeps its place when a request is incomplete.
#[derive(Debug, Default)]
pub struct Parser {
    position: usize,
    /// Arguments still to come of an array; `None` before its header was read.
    remaining: Option<usize>,
    /// Length of the argument whose header was read.
    bulk: Option<usize>,
    ranges: Vec<Range<usize>>,
    /// Arguments of an inline command, unescaped; `ranges` point into it.
    inline: Option<Vec<u8>>,
}

impl Parser {
    /// Parses the request at the start of `buffer`. Returns its length in bytes when it is complete; its arguments
    /// are then given by [`Parser::arguments`] until [`Parser::reset`]. An empty request (an empty line or array)
    /// has no arguments and wants no reply.
    ///
    /// # Errors
    /// When the bytes are no request. The stream cannot be read on.
    pub fn parse(&mut self, buffer: &[u8]) -> Result<Option<usize>, RequestError> {
        if self.remaining.is_none() {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some((line, next)) = line(buffer, 1, RequestError::TooBigCount)? else {
                        return Ok(None);
                    };
                    let count = parse_i64(line)
                        .filter(|count| *count <= MAX_ARGUMENTS)
                        .ok_or(RequestError::InvalidMultibulkLength)?;
                    self.position = next;
                    self.remaining = Some(usize::try_from(count).unwrap_or(0));
                }
                Some(_) => return self.parse_inline(buffer),
            }
        }
        while let Some(left @ 1..) = self.remaining {
            let length = match self.bulk {
                Some(length) => length,
                None => {
                    let Some(&kind) = buffer.get(self.position) else { return Ok(None) };
                    if kind != b'$' {
                        return Err(RequestError::ExpectedBulk(kind));
                    }
                    let Some((line, next)) = line(buffer, self.position + 1, RequestError::TooBigBulkCount)?
                    else {
                        return Ok(None);
                    };
                    let length = parse_i64(line)
                        .filter(|length| (0..=MAX_BULK_LENGTH).contains(length))
                        .and_then(|length| usize::try_from(length).ok())
                        .ok_or(RequestError::InvalidBulkLength)?;
                    self.position = next;
                    self.bulk = Some(length);
                    length
                }
            };
            let end = self.position + length;
            if buffer.len() < end + 2 {
                return Ok(None);
            }
            self.ranges.push(self.position..end);
            self.position = end + 2;
            self.bulk = None;
            self.remaining = Some(left - 1);
        }
        Ok(Some(self.position))
    }

    /// The arguments of the request that was parsed from `buffer`, the command's name first.
    pub fn arguments<'a>(&'a self, buffer: &'a [u8]) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let source = self.inline.as_deref().unwrap_or(buffer);
        self.ranges.iter().map(|range| source.get(range.clone()).unwrap_or_default())
    }

    /// Forgets the request, ready for the next one.
    pub fn reset(&mut self) {
        self.position = 0;
        self.remaining = None;
        self.bulk = None;
        self.ranges.clear();
        self.inline = None;
    }

    fn parse_inline(&mut self, buffer: &[u8]) -> Result<Option<usize>, RequestError> {
        let window = &buffer[..buffer.len().min(MAX_INLINE_LENGTH + 1)];
        let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
            return if buffer.len() > MAX_INLINE_LENGTH { Err(RequestError::TooBigInline) } else { Ok(None) };
        };
        let line = &buffer[..end];
        let mut inline = Vec::new();
        split_inline(line.strip_suffix(b"\r").unwrap_or(line), &mut inline, &mut self.ranges)
            .ok_or(RequestError::UnbalancedQuotes)?;
        self.inline = Some(inline);
        Ok(Some(end + 1))
    }
}

/// The line that starts at `from`, and where the next one starts.
fn line(buffer: &[u8], from: usize, too_long: RequestError) -> Result<Option<(&[u8], usize)>, RequestError> {
    let rest = buffer.get(from..).unwrap_or_default();
    let window = &rest[..rest.len().min(MAX_INLINE_LENGTH)];
    match window.iter().position(|byte| *byte == b'\r') {
        // As Redis does: the byte after the carriage return is skipped, whatever it is.
        Some(end) if rest.len() > end + 1 => Ok(Some((&rest[..end], from + end + 2))),
        Some(_) => Ok(None),
        None if rest.len() >= MAX_INLINE_LENGTH => Err(too_long),
        None => Ok(None),
    }
}

/// A decimal integer in the one form that Redis accepts: no plus sign, no leading zeros, no spaces.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    match digits {
        b"0" => return if negative { None } else { Some(0) },
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(byte - b'0');
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    Some(value)
}

/// Splits a line into arguments as Redis does: blanks separate, "double quotes" know escapes (`\n \r \t \b \a
/// \xHH`), 'single quotes' only `\'`. `None` when a quote stays open or is followed by something else than a blank.
fn split_inline(line: &[u8], out: &mut Vec<u8>, ranges: &mut Vec<Range<usize>>) -> Option<()> {
    let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let mut at = 0;
    loop {
        while line.get(at).copied().is_some_and(is_blank) {
            at += 1;
        }
        if at >= line.len() {
            return Some(());
        }
        let start = out.len();
        while let Some(&byte) = line.get(at) {
            match byte {
                b'"' => at = double_quoted(line, at + 1, out)?,
                b'\'' => at = single_quoted(line, at + 1, out)?,
                blank if is_blank(blank) => break,
                other => {
                    out.push(other);
                    at += 1;
                    continue;
                }
            }
            // A closing quote must end its argument.
            if line.get(at).copied().is_some_and(|next| !is_blank(next)) {
                return None;
            }
            break;
        }
        ranges.push(start..out.len());
    }
}

/// Copies up to the closing quote; returns the place after it.
fn double_quoted(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                let escaped = *line.get(at + 1)?;
                let hex =
                    |offset: usize| line.get(at + offset).and_then(|digit| char::from(*digit).to_digit(16));
                if escaped == b'x'
                    && let (Some(high), Some(low)) = (hex(2), hex(3))
                {
                    out.push(u8::try_from(high * 16 + low).ok()?);
                    at += 4;
                    continue;
                }
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                at += 2;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at)? {
            b'\'' => return Some(at + 1),
            b'\\' if line.get(at + 1) == Some(&b'\'') => {
                out.push(b'\'');
                at += 2;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parsed = Option<(usize, Vec<Vec<u8>>)>;

    fn parse(bytes: &[u8]) -> Result<Parsed, RequestError> {
        let mut parser = Parser::default();
        let length = parser.parse(bytes)?;
        Ok(length.map(|length| (length, parser.arguments(bytes).map(<[u8]>::to_vec).collect())))
    }

    #[test]
    fn arrays_and_inline_commands_are_parsed() {
        let args = |list: &[&str]| list.iter().map(|a| a.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(parse(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1"), Ok(Some((20, args(&["GET", "a"])))));
        assert_eq!(parse(b"*0\r\n"), Ok(Some((4, vec![]))));
        assert_eq!(parse(b"*-1\r\n"), Ok(Some((5, vec![]))));
        assert_eq!(parse(b"\r\n"), Ok(Some((2, vec![]))));
        assert_eq!(
            parse(b"SET a \"x\\x41\\n\" 'it\\'s'\r\n"),
            Ok(Some((25, args(&["SET", "a", "xA\n", "it's"]))))
        );
        assert_eq!(parse(b"PING\n"), Ok(Some((5, args(&["PING"])))));
    }

    #[test]
    fn garbage_is_refused_with_the_words_of_redis() {
        let message = |bytes: &[u8]| parse(bytes).expect_err("garbage").to_string();
        assert_eq!(message(b"*x\r\n"), "invalid multibulk length");
        assert_eq!(message(b"*1048577\r\n"), "invalid multibulk length");
        assert_eq!(message(b"*1\r\n:1\r\n"), "expected '$', got ':'");
        assert_eq!(message(b"*1\r\n$-1\r\n"), "invalid bulk length");
        assert_eq!(message(b"*1\r\n$536870913\r\n"), "invalid bulk length");
        assert_eq!(message(b"SET \"a\r\n"), "unbalanced quotes in request");
        assert_eq!(message(b"SET \"a\"b\r\n"), "unbalanced quotes in request");
        assert_eq!(message(&[b'x'; MAX_INLINE_LENGTH + 1]), "too big inline request");
    }

    #[test]
    fn integers_have_one_form() {
        assert_eq!(parse_i64(b"0"), Some(0));
        assert_eq!(parse_i64(b"-12"), Some(-12));
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        for wrong in
            ["", "-", "-0", "01", "+1", " 1", "1 ", "1a", "9223372036854775808", "99999999999999999999"]
        {
            assert_eq!(parse_i64(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
