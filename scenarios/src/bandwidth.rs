//! Bandwidths as people write them: a number and a unit, `"1Mbit/s"`, `"56kbit/s"`, `"2.5Gbit/s"`.

use std::fmt;

/// The units, smallest first, with their bits per second: decimal, as links are sold.
const UNITS: [(&str, u64); 4] =
    [("bit/s", 1), ("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];

/// What a bandwidth looks like, for messages.
pub(crate) const EXPECTED: &str =
    "a number with a unit bit/s, kbit/s, Mbit/s or Gbit/s, such as \"1Mbit/s\" or \"56kbit/s\"";

/// How much passes a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bandwidth {
    bits_per_second: u64,
}

impl Bandwidth {
    /// The least that can be asked for: at 1 kbit/s a full packet takes twelve seconds.
    pub const MIN: Bandwidth = Bandwidth { bits_per_second: 1_000 };
    /// The most that can be asked for: 1000 Gbit/s.
    pub const MAX: Bandwidth = Bandwidth { bits_per_second: 1_000_000_000_000 };

    /// From kilobits per second, moved into the range.
    pub(crate) fn kbits(kbits_per_second: u64) -> Bandwidth {
        Bandwidth { bits_per_second: kbits_per_second.saturating_mul(1_000) }.clamp(Self::MIN, Self::MAX)
    }

    /// In bits per second.
    pub fn bits_per_second(self) -> u64 {
        self.bits_per_second
    }
}

/// Why a text is no bandwidth.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no number before the unit, or it is malformed.
    #[error("there is no number before the unit")]
    NoNumber,
    /// A number without a unit.
    #[error("the unit is missing")]
    UnitMissing,
    /// The number is followed by something that is no unit.
    #[error("unknown unit {0:?}")]
    UnitUnknown(String),
    /// Less than [`Bandwidth::MIN`] or more than [`Bandwidth::MAX`].
    #[error("not between {min} and {max}", min = Bandwidth::MIN, max = Bandwidth::MAX)]
    OutOfRange,
}

/// Reads a bandwidth: digits, optionally a decimal fraction, and one of the units bit/s, kbit/s, Mbit/s, Gbit/s
/// without a space. What is finer than a bit per second is cut off.
pub fn parse(text: &str) -> Result<Bandwidth, ParseError> {
    let (number, unit) = split(text.trim());
    if number.is_empty() {
        return Err(ParseError::NoNumber);
    }
    if unit.is_empty() {
        return Err(ParseError::UnitMissing);
    }
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, unit_bits) = known.ok_or_else(|| ParseError::UnitUnknown(unit.to_owned()))?;
    let bits_per_second = scaled(number, *unit_bits)?;
    let bandwidth = Bandwidth { bits_per_second };
    let in_range = (Bandwidth::MIN..=Bandwidth::MAX).contains(&bandwidth);
    in_range.then_some(bandwidth).ok_or(ParseError::OutOfRange)
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

/// A decimal number of units, in bits.
fn scaled(number: &str, unit_bits: u64) -> Result<u64, ParseError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err(ParseError::NoNumber);
    }
    let whole: u64 = whole.parse().map_err(|_| ParseError::OutOfRange)?;
    // The tenth decimal of a gigabit is finer than a bit.
    let digits = &fraction[..fraction.len().min(9)];
    let part = digits.parse::<u64>().unwrap_or(0) * unit_bits / 10_u64.pow(digits.len() as u32);
    whole.checked_mul(unit_bits).and_then(|bits| bits.checked_add(part)).ok_or(ParseError::OutOfRange)
}

/// What was probably meant by a text that is no bandwidth: `5 mbps` → `5Mbit/s`, `1MB/s` → `8Mbit/s`.
pub(crate) fn suggestion(text: &str) -> Option<String> {
    let (number, unit) = split(text.trim());
    let unit = unit.trim();
    let unit = ["/sec", "/s", "ps"].iter().find_map(|suffix| unit.strip_suffix(suffix)).unwrap_or(unit);
    let lower = unit.to_lowercase();
    let prefix = ["bytes", "byte", "bits", "bit", "b"].iter().find_map(|name| lower.strip_suffix(name))?;
    let (name, unit_bits) = match prefix {
        "" => UNITS[0],
        "k" => UNITS[1],
        "m" => UNITS[2],
        "g" => UNITS[3],
        _ => return None,
    };
    let bytes = unit.ends_with('B') || lower.contains("byte");
    let meant = if bytes {
        Bandwidth { bits_per_second: scaled(number, unit_bits).ok()?.checked_mul(8)? }.to_string()
    } else {
        format!("{number}{name}")
    };
    parse(&meant).is_ok().then_some(meant)
}

/// The exact form in the largest unit that divides it: `1Mbit/s`, `1500kbit/s`.
impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits_per_second;
        let divides = |unit: &&(&str, u64)| bits != 0 && bits.is_multiple_of(unit.1);
        let (name, unit_bits) = UNITS.iter().rev().find(divides).unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", bits / unit_bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units() {
        for (text, bits) in [
            ("1Mbit/s", 1_000_000),
            ("56kbit/s", 56_000),
            ("2.5Gbit/s", 2_500_000_000),
            ("9600bit/s", 9_600),
            ("1.0005kbit/s", 1_000),
            ("1000Gbit/s", 1_000_000_000_000),
        ] {
            assert_eq!(parse(text).map(Bandwidth::bits_per_second), Ok(bits), "{text}");
        }
    }

    #[test]
    fn refused() {
        for (text, meant) in [
            ("", None),
            ("5", None),
            ("Mbit/s", None),
            ("5Mbps", Some("5Mbit/s")),
            ("5 Mbit/s", Some("5Mbit/s")),
            ("5 mbit", Some("5Mbit/s")),
            ("64kb/s", Some("64kbit/s")),
            ("1MB/s", Some("8Mbit/s")),
            ("1.5 kbytes/sec", Some("12kbit/s")),
            ("5Mib/s", None),
            ("5 parsecs", None),
            ("-5Mbit/s", None),
            ("1.2.3Mbit/s", None),
            ("1.Mbit/s", None),
            (".5Mbit/s", None),
            ("0Mbit/s", None),
            ("999bit/s", None),
            ("1001Gbit/s", None),
            ("99999999999999999999999Gbit/s", None),
            ("٣Mbit/s", None),
        ] {
            assert!(parse(text).is_err(), "{text}");
            assert_eq!(suggestion(text).as_deref(), meant, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bits_per_second in 1_000..=1_000_000_000_000_u64) {
            let bandwidth = Bandwidth { bits_per_second };
            prop_assert_eq!(parse(&bandwidth.to_string()), Ok(bandwidth));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}|[0-9.]{0,30}[kMG]?(bit|B|b|bytes)(ps|/s)?") {
            let _ = (parse(&text), suggestion(&text));
        }
    }
}
