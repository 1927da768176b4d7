//! Encoding of replies on the server's side, in RESP2 or RESP3.
//!
//! Commands say what they mean (a map, a set, a double) and the [`Writer`] chooses the form that the client's
//! protocol has for it, as Redis does.

use std::io::Write;

/// Version of the protocol that a client asked for with `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// The default.
    #[default]
    Resp2,
    /// Has types for maps, sets, doubles, booleans and null.
    Resp3,
}

/// Collects replies in a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    protocol: Protocol,
}

impl Writer {
    /// An empty writer for clients of a protocol.
    pub fn new(protocol: Protocol) -> Self {
        Self { out: Vec::new(), protocol }
    }

    /// The protocol in which the next reply is written.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// From now on, replies are written in this protocol.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Bytes written so far: a mark for [`Writer::truncate`].
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Was nothing written yet?
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back what was written after a mark.
    pub fn truncate(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// Appends what was encoded before.
    pub fn encoded(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Puts what was encoded before at a mark: ahead of what was written since.
    pub fn encoded_at(&mut self, mark: usize, bytes: &[u8]) {
        let mark = mark.min(self.out.len());
        self.out.splice(mark..mark, bytes.iter().copied());
    }

    /// The bytes written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// `+text`. The text must not contain line ends.
    pub fn status(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// `-message`; the message starts with its code (`ERR …`). Line ends become blanks.
    pub fn error(&mut self, message: &[u8]) {
        self.line(b'-', message);
    }

    /// `:number`.
    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A count of something.
    pub fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// `$length bytes`.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// An integer in the form of a bulk string.
    pub fn bulk_integer(&mut self, number: i64) {
        self.bulk(number.to_string().as_bytes());
    }

    /// Human-readable text: a verbatim string in RESP3, a bulk string in RESP2.
    pub fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The null that stands for a missing string.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The null that stands for a missing array.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Header of an array of so many elements, which follow.
    pub fn array(&mut self, elements: usize) {
        self.header(b'*', elements as i64);
    }

    /// Header of a map of so many pairs: key, value, key, value… follow.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// Header of a set of so many members, which follow.
    pub fn set(&mut self, members: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(members),
            Protocol::Resp3 => self.header(b'~', members as i64),
        }
    }

    /// Header of a push of so many elements, which follow: something that is no reply to a request. An array in RESP2.
    pub fn push(&mut self, elements: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(elements),
            Protocol::Resp3 => self.header(b'>', elements as i64),
        }
    }

    /// A boolean; 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.integer(i64::from(value)),
            Protocol::Resp3 => self.out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// A floating-point number; a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        let mut text = Vec::with_capacity(24);
        format_double(value, &mut text);
        match self.protocol {
            Protocol::Resp2 => self.bulk(&text),
            Protocol::Resp3 => self.line(b',', &text),
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, kind: u8, number: i64) {
        self.out.push(kind);
        push_integer(number, &mut self.out);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends a decimal integer.
pub fn push_integer(number: i64, out: &mut Vec<u8>) {
    if let Ok(digit @ 0..=9) = u8::try_from(number) {
        out.push(b'0' + digit);
        return;
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a floating-point number as C's `%.17g` does: Redis 7.0 writes scores in this form.
pub fn format_double(value: f64, out: &mut Vec<u8>) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
        return;
    }
    if value.is_nan() {
        out.extend_from_slice(if value.is_sign_negative() { b"-nan" } else { b"nan" });
        return;
    }
    if value.fract() == 0.0 && value.abs() < 1e15 && !(value == 0.0 && value.is_sign_negative()) {
        push_integer(value as i64, out);
        return;
    }
    // 17 significant digits: "-d.ddddddddddddddddd" and the exponent.
    let scientific = format!("{:.16e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let significant = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..significant];
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if !(-4..17).contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a vector cannot fail.
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        for place in 0..whole.max(digits.len()) {
            if place == whole {
                out.push(b'.');
            }
            out.push(digits.get(place).copied().unwrap_or(b'0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_like_c_prints_them() {
        let text = |value: f64| {
            let mut out = Vec::new();
            format_double(value, &mut out);
            String::from_utf8(out).expect("ascii")
        };
        assert_eq!(text(0.1), "0.10000000000000001");
        assert_eq!(text(3.0), "3");
        assert_eq!(text(-0.0), "-0");
        assert_eq!(text(-1.5), "-1.5");
        assert_eq!(text(1e16), "10000000000000000");
        assert_eq!(text(1e17), "1e+17");
        assert_eq!(text(1.5e300), "1.5000000000000001e+300");
        assert_eq!(text(0.0001), "0.0001");
        assert_eq!(text(0.00001), "1.0000000000000001e-05");
        assert_eq!(text(123456.789), "123456.789");
        assert_eq!(text(f64::INFINITY), "inf");
        assert_eq!(text(f64::NEG_INFINITY), "-inf");
        assert_eq!(text(i64::MAX as f64), "9.2233720368547758e+18");
    }

    #[test]
    fn integers_are_written_in_full() {
        for number in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_integer(number, &mut out);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
