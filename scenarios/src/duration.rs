//! Lengths of time as people write them: a number and a unit, `"250ms"`, `"90s"`, `"1.5h"`.

use std::time::Duration;

/// The units, shortest first, with their lengths in nanoseconds.
const UNITS: [(&str, u64); 5] =
    [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

/// The longest duration that can be written: a year.
pub const MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A step of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// Into the future.
    Forward(Duration),
    /// Into the past: some moments come twice.
    Back(Duration),
}

/// What a duration looks like, for messages.
pub(crate) const EXPECTED: &str = "a number with a unit us, ms, s, m or h, such as \"90s\" or \"250ms\"";

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is nothing.
    #[error("the duration is empty")]
    Empty,
    /// It begins with a minus sign.
    #[error("a duration cannot be negative")]
    Negative,
    /// Nothing, where there must be something.
    #[error("a clock that jumps by nothing")]
    Zero,
    /// A number without a unit.
    #[error("the unit is missing")]
    UnitMissing,
    /// The number is followed by something that is no unit.
    #[error("unknown unit {unit:?}")]
    UnitUnknown {
        /// What stands there.
        unit: String,
        /// The unit that was probably meant.
        meant: Option<&'static str>,
    },
    /// There is no number before the unit, or it is malformed.
    #[error("there is no number before the unit")]
    NoNumber,
    /// More than [`MAX`].
    #[error("longer than a year")]
    TooLong,
}

/// Reads a duration: digits, optionally a decimal fraction, and one of the units us, ms, s, m, h without a space.
/// What is finer than a nanosecond is cut off.
pub fn parse(text: &str) -> Result<Duration, ParseError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ParseError::Empty);
    }
    if text.starts_with('-') {
        return Err(ParseError::Negative);
    }
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err(ParseError::NoNumber);
    }
    if unit.is_empty() {
        return Err(ParseError::UnitMissing);
    }
    let Some((_, unit_ns)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(ParseError::UnitUnknown { unit: unit.to_owned(), meant: meant_unit(unit) });
    };
    let whole: u64 = whole.parse().map_err(|_| ParseError::TooLong)?;
    let nanos = whole.checked_mul(*unit_ns).ok_or(ParseError::TooLong)? + fraction_ns(fraction, *unit_ns);
    let duration = Duration::from_nanos(nanos);
    if duration > MAX { Err(ParseError::TooLong) } else { Ok(duration) }
}

/// Reads the step of a clock: a duration of more than zero, with a minus sign if it goes into the past.
pub fn parse_jump(text: &str) -> Result<Jump, ParseError> {
    let text = text.trim();
    let (length, jump): (&str, fn(Duration) -> Jump) = match text.strip_prefix('-') {
        Some(length) => (length, Jump::Back),
        None => (text, Jump::Forward),
    };
    match parse(length)? {
        Duration::ZERO => Err(ParseError::Zero),
        length => Ok(jump(length)),
    }
}

/// `0.fraction` of a unit, in whole nanoseconds. The fraction consists of ASCII digits.
fn fraction_ns(fraction: &str, unit_ns: u64) -> u64 {
    // The 13th decimal of an hour is finer than a nanosecond: what follows cannot matter.
    let digits = &fraction[..fraction.len().min(13)];
    let value: u128 = digits.parse().unwrap_or(0);
    let nanos = value * u128::from(unit_ns) / 10_u128.pow(digits.len() as u32);
    u64::try_from(nanos).unwrap_or(0)
}

/// The unit that somebody probably meant who wrote `5 sec` or `10 Minutes`.
fn meant_unit(unit: &str) -> Option<&'static str> {
    match unit.trim().to_lowercase().as_str() {
        "us" | "usec" | "usecs" | "µs" | "μs" | "microsecond" | "microseconds" => Some("us"),
        "ms" | "msec" | "msecs" | "milli" | "millis" | "millisecond" | "milliseconds" => Some("ms"),
        "s" | "sec" | "secs" | "second" | "seconds" => Some("s"),
        "m" | "min" | "mins" | "minute" | "minutes" => Some("m"),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some("h"),
        _ => None,
    }
}

/// What was probably meant by a text that is no duration: `90` → `90s`, `5 sec` → `5s`, `-5s` → `5s`.
pub(crate) fn suggestion(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('-');
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = if unit.is_empty() { "s" } else { meant_unit(unit)? };
    let meant = format!("{number}{unit}");
    parse(&meant).is_ok().then_some(meant)
}

/// The exact form in the longest unit that divides it: `90s`, `250ms`, `2m`, `1500ms`. What no unit divides is a fraction
/// of the longest unit that is not longer: `1.000000001s`, `0.25us`.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, unit_ns) in UNITS.iter().rev() {
        if nanos.is_multiple_of(u128::from(*unit_ns)) {
            return format!("{}{unit}", nanos / u128::from(*unit_ns));
        }
    }
    // Minutes and hours have no exact decimal fractions.
    let longest = UNITS[..3].iter().rev().find(|(_, unit_ns)| nanos >= u128::from(*unit_ns));
    let (unit, unit_ns) = longest.copied().unwrap_or(UNITS[0]);
    let unit_ns = u128::from(unit_ns);
    let digits = unit_ns.ilog10() as usize;
    let fraction = format!("{:0digits$}", nanos % unit_ns);
    format!("{}.{}{unit}", nanos / unit_ns, fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units() {
        for (text, nanos) in [
            ("500us", 500_000),
            ("250ms", 250_000_000),
            ("90s", 90_000_000_000),
            ("2m", 120_000_000_000),
            ("48h", 48 * 3_600_000_000_000),
            ("0s", 0),
            ("1.5h", 5_400_000_000_000),
            ("0.000001s", 1_000),
            ("0.0000000001h", 360),
            ("1.25us", 1_250),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn refused() {
        for (text, meant) in [
            ("", None),
            ("90", Some("90s")),
            ("-5s", Some("5s")),
            ("5 sec", Some("5s")),
            ("10 Minutes", Some("10m")),
            ("5µs", Some("5us")),
            ("s", None),
            (".5s", None),
            ("1.s", None),
            ("1.2.3s", None),
            ("5d", None),
            ("5 parsecs", None),
            ("99999999999999999999s", None),
            ("9000h", None),
            ("1e3s", None),
            ("+5s", None),
            ("٣s", None),
        ] {
            assert!(parse(text).is_err(), "{text}");
            assert_eq!(suggestion(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn the_longest_unit_that_is_exact() {
        for (nanos, text) in [
            (90_000_000_000, "90s"),
            (120_000_000_000, "2m"),
            (1_500_000_000, "1500ms"),
            (1_000_000_001, "1.000000001s"),
            (1_234_567_891, "1.234567891s"),
            (1_250_500, "1.2505ms"),
            (1_250, "1.25us"),
            (1, "0.001us"),
        ] {
            assert_eq!(format(Duration::from_nanos(nanos)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..365 * 86_400 * 1_000_000_000_u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}|[0-9.]{0,30}(us|ms|s|m|h)") {
            let _ = (parse(&text), suggestion(&text));
        }
    }
}
