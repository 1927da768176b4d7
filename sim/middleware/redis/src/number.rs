//! Numbers in arguments, read as strictly as Redis reads them.

pub(crate) use wire::redis::request::parse_i64;

use crate::error::{NOT_FLOAT, NOT_INTEGER, ReplyError};

/// An integer argument.
pub(crate) fn integer(text: &[u8]) -> Result<i64, ReplyError> {
    parse_i64(text).ok_or(NOT_INTEGER)
}

/// Reads a whole number that is not negative.
pub(crate) fn natural(text: &[u8]) -> Option<usize> {
    parse_i64(text).and_then(|number| usize::try_from(number).ok())
}

/// A floating-point argument: what C's `strtod` reads completely, except a NaN and what over- or underflows.
pub(crate) fn float(text: &[u8]) -> Result<f64, ReplyError> {
    parse_float(text).ok_or(NOT_FLOAT)
}

pub(crate) fn parse_float(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let named = text.iter().any(|byte| matches!(byte, b'i' | b'I' | b'n' | b'N'));
    if value.is_nan() || (value.is_infinite() && !named) {
        return None;
    }
    let mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let underflow = value == 0.0 && mantissa.clone().any(|byte| matches!(byte, b'1'..=b'9'));
    (!underflow).then_some(value)
}

/// Resolves a Redis range (inclusive, negative counts from the end) against a length: `start..end`, maybe empty.
pub(crate) fn resolve_range(start: i64, stop: i64, length: usize) -> std::ops::Range<usize> {
    let length_signed = i64::try_from(length).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { length_signed.saturating_add(index) } else { index };
    let start = from_end(start).max(0);
    let stop = from_end(stop).min(length_signed - 1);
    if start > stop {
        return 0..0;
    }
    // Both are within 0..length now.
    start as usize..stop as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_as_strtod_does() {
        assert_eq!(parse_float(b"1.5"), Some(1.5));
        assert_eq!(parse_float(b"+1e3"), Some(1000.0));
        assert_eq!(parse_float(b"-inf"), Some(f64::NEG_INFINITY));
        for wrong in ["", "nan", "1e400", "1e-400", " 1", "1 ", "a"] {
            assert_eq!(parse_float(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn ranges_count_from_either_end() {
        assert_eq!(resolve_range(0, -1, 3), 0..3);
        assert_eq!(resolve_range(-2, -1, 3), 1..3);
        assert_eq!(resolve_range(-100, 100, 3), 0..3);
        assert_eq!(resolve_range(2, 1, 3), 0..0);
        assert_eq!(resolve_range(3, 5, 3), 0..0);
        assert_eq!(resolve_range(0, -1, 0), 0..0);
        assert_eq!(resolve_range(i64::MIN, i64::MIN, 3), 0..0);
    }
}
