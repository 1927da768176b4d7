//! Floating-point numbers of 80 bits, the `long double` of C on x86-64, in which Redis adds for `INCRBYFLOAT` and
//! `HINCRBYFLOAT`: 64 bits of mantissa, 15 of exponent, rounded to the nearest, ties to even.
//!
//! Texts are read as glibc's `strtold` reads them and written as its `%.17Lf` writes them, all exactly rounded.

/// The exponent of the largest numbers, for a mantissa that is a whole number of 64 bits.
const MOST: i64 = 16383 - 63;
/// The exponent of the smallest numbers; only these have fewer bits.
const LEAST: i64 = -16382 - 63;
/// Redis reads no longer text.
const MAX_TEXT: usize = 5 * 1024 - 1;
/// No number has more digits before the point, or, with some to spare, more zeros behind it.
const MAX_DECIMAL_EXPONENT: i64 = 5000;

/// A finite number: ±mantissa · 2^exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

/// What a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    Finite(Extended),
    /// Of either sign: no sum of it is of any use.
    Infinite,
}

impl Extended {
    pub(crate) const ZERO: Self = Self { negative: false, mantissa: 0, exponent: LEAST };

    /// Reads a number; `None` for what is none, for a NaN, and for what over- or underflows.
    pub(crate) fn parse(text: &[u8]) -> Option<Parsed> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let (negative, magnitude) = match text {
            [b'-', magnitude @ ..] => (true, magnitude),
            [b'+', magnitude @ ..] => (false, magnitude),
            _ => (false, text),
        };
        if magnitude.eq_ignore_ascii_case(b"inf") || magnitude.eq_ignore_ascii_case(b"infinity") {
            return Some(Parsed::Infinite);
        }
        let number = match magnitude {
            [b'0', b'x' | b'X', digits @ ..] => parse_hexadecimal(digits)?,
            _ => parse_decimal(magnitude)?,
        };
        Some(Parsed::Finite(Self { negative, ..number }))
    }

    /// The sum; `None` if it is not finite.
    pub(crate) fn add(self, other: Self) -> Option<Self> {
        /// Bits below those of the larger number: enough that what is shifted out below them all only tells a tie
        /// from what is not one, for which its last bit suffices.
        const GUARD: i64 = 62;
        let (large, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift = large.exponent - small.exponent;
        let wide = |number: Self| u128::from(number.mantissa) << GUARD;
        let aligned = match wide(small) {
            number if shift > 127 => u128::from(number != 0),
            number => (number >> shift) | u128::from((number >> shift) << shift != number),
        };
        let exponent = large.exponent - GUARD;
        if large.negative == small.negative {
            return round(large.negative, wide(large) + aligned, exponent, false);
        }
        let difference = wide(large).abs_diff(aligned);
        let negative = if wide(large) > aligned { large.negative } else { small.negative };
        round(negative && difference != 0, difference, exponent, false)
    }

    /// The number as Redis writes it: 17 digits behind the point, less the zeros at their end.
    pub(crate) fn to_text(self) -> String {
        const UNIT: u128 = 100_000_000_000_000_000;
        let text = if self.exponent >= 0 {
            let mut number = Natural::new(self.mantissa);
            number.shift_left(self.exponent.unsigned_abs());
            number.to_text()
        } else {
            let scaled = divide_by_power(u128::from(self.mantissa) * UNIT, -self.exponent, false);
            let text = format!("{}.{:017}", scaled / UNIT, scaled % UNIT);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        if self.negative && text != "0" { format!("-{text}") } else { text }
    }
}

/// `number / 2^shift`, rounded to the nearest, ties to even; `more` tells that the number is a little larger. A shift
/// by more than there are bits gives zero.
fn divide_by_power(number: u128, shift: i64, more: bool) -> u128 {
    if shift > 127 {
        return 0;
    }
    if shift == 0 {
        return number;
    }
    let (half, rest) = (1 << (shift - 1), number & ((1 << shift) - 1));
    let quotient = number >> shift;
    quotient + u128::from(rest > half || (rest == half && (more || quotient & 1 == 1)))
}

/// The nearest number to `number · 2^exponent`, or to a little more if `more` is set, for which the number needs at
/// least 65 bits. `None` if it is too large.
fn round(negative: bool, number: u128, exponent: i64, more: bool) -> Option<Extended> {
    if number == 0 {
        return Some(Extended { negative, ..Extended::ZERO });
    }
    let bits = 128 - i64::from(number.leading_zeros());
    let shift = (bits - 64).max(LEAST - exponent);
    let mut exponent = exponent + shift;
    let mut mantissa = if shift < 0 { number << -shift } else { divide_by_power(number, shift, more) };
    if mantissa == 1 << 64 {
        mantissa >>= 1;
        exponent += 1;
    }
    let mantissa = u64::try_from(mantissa).ok()?;
    (exponent <= MOST).then_some(Extended { negative, mantissa, exponent })
}

/// Splits `digits[.digits]` and an exponent behind one of `markers`; the digits without their point, how many of them
/// stand behind it, and the exponent.
fn split(text: &[u8], markers: [u8; 2], is_digit: fn(&u8) -> bool) -> Option<(Vec<u8>, i64, i64)> {
    let marker = text.iter().position(|byte| markers.contains(byte));
    let (number, exponent) = match marker {
        None => (text, 0),
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
    };
    let (whole, fraction) = match number.iter().position(|byte| *byte == b'.') {
        None => (number, &[][..]),
        Some(at) => (&number[..at], &number[at + 1..]),
    };
    let digits = [whole, fraction].concat();
    let is_number = !digits.is_empty() && digits.iter().all(is_digit);
    is_number.then_some((digits, fraction.len() as i64, exponent))
}

/// Reads the digits of an exponent with their sign; one that is beyond all numbers is cut.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const BEYOND: i64 = 1 << 40;
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits.iter().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(BEYOND));
    Some(if negative { -exponent } else { exponent })
}

fn parse_decimal(text: &[u8]) -> Option<Extended> {
    let (digits, behind, exponent) = split(text, *b"eE", u8::is_ascii_digit)?;
    let Some(first) = digits.iter().position(|digit| *digit != b'0') else { return Some(Extended::ZERO) };
    let digits = &digits[first..];
    let exponent = exponent - behind;
    if (exponent + digits.len() as i64).abs() > MAX_DECIMAL_EXPONENT {
        return None;
    }
    let mut number = Natural::default();
    for digit in digits {
        number.multiply(10, u32::from(digit - b'0'));
    }
    let power = exponent.unsigned_abs();
    let rounded = if exponent >= 0 {
        number.multiply_by_power_of_ten(power);
        let (high, low_bits, more) = number.high_bits();
        round(false, high, low_bits, more)
    } else {
        let mut divisor = Natural::new(1);
        divisor.multiply_by_power_of_ten(power);
        let (quotient, exponent, more) = number.divide(divisor);
        round(false, quotient, exponent, more)
    };
    rounded.filter(|number| number.mantissa != 0)
}

fn parse_hexadecimal(text: &[u8]) -> Option<Extended> {
    let (digits, behind, exponent) = split(text, *b"pP", u8::is_ascii_hexdigit)?;
    let mut number = Natural::default();
    for digit in digits {
        number.multiply(16, char::from(digit).to_digit(16)?);
    }
    let (high, low_bits, more) = number.high_bits();
    if high == 0 {
        return Some(Extended::ZERO);
    }
    round(false, high, low_bits + exponent - 4 * behind, more).filter(|number| number.mantissa != 0)
}

/// A whole number of any size: its digits to the base 2^32, the lowest first, the highest not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl Natural {
    fn new(number: u64) -> Self {
        let mut natural = Self(vec![number as u32, (number >> 32) as u32]);
        natural.trim();
        natural
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn bits(&self) -> i64 {
        self.0.last().map_or(0, |high| self.0.len() as i64 * 32 - i64::from(high.leading_zeros()))
    }

    fn multiply(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn multiply_by_power_of_ten(&mut self, power: u64) {
        for _ in 0..power / 9 {
            self.multiply(1_000_000_000, 0);
        }
        self.multiply(10u32.pow((power % 9) as u32), 0);
    }

    fn shift_left(&mut self, bits: u64) {
        self.multiply(1 << (bits % 32), 0);
        if !self.0.is_empty() {
            self.0.splice(0..0, std::iter::repeat_n(0, (bits / 32) as usize));
        }
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for digit in self.0.iter_mut().rev() {
            let low = *digit & 1;
            *digit = (*digit >> 1) | (carry << 31);
            carry = low;
        }
        self.trim();
    }

    fn is_below(&self, other: &Self) -> bool {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_lt()
    }

    /// Subtracts what is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, digit) in self.0.iter_mut().enumerate() {
            let (difference, first) = digit.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (difference, second) = difference.overflowing_sub(u32::from(borrow));
            *digit = difference;
            borrow = first || second;
        }
        self.trim();
    }

    /// The highest bits, at least 65 if there are so many; how many there are below them, and whether one of those is
    /// set.
    fn high_bits(&self) -> (u128, i64, bool) {
        let low = self.0.len().saturating_sub(3);
        let high = self.0[low..].iter().rev().fold(0, |sum: u128, digit| (sum << 32) | u128::from(*digit));
        (high, low as i64 * 32, self.0[..low].iter().any(|digit| *digit != 0))
    }

    /// `self / divisor` as `quotient · 2^exponent`, and whether it is a little more; the quotient has 67 or 68 bits.
    fn divide(mut self, mut divisor: Self) -> (u128, i64, bool) {
        const BITS: u64 = 67;
        let shift = BITS as i64 + divisor.bits() - self.bits();
        if shift >= 0 {
            self.shift_left(shift.unsigned_abs());
        } else {
            divisor.shift_left(shift.unsigned_abs());
        }
        divisor.shift_left(BITS);
        let mut quotient = 0;
        for _ in 0..=BITS {
            quotient <<= 1;
            if !self.is_below(&divisor) {
                self.subtract(&divisor);
                quotient |= 1;
            }
            divisor.halve();
        }
        (quotient, -shift, !self.0.is_empty())
    }

    fn to_text(&self) -> String {
        let mut number = self.clone();
        let mut groups = Vec::new();
        while !number.0.is_empty() {
            let mut rest = 0;
            for digit in number.0.iter_mut().rev() {
                let dividend = (rest << 32) | u64::from(*digit);
                *digit = (dividend / 1_000_000_000) as u32;
                rest = dividend % 1_000_000_000;
            }
            number.trim();
            groups.push(rest);
        }
        let Some(first) = groups.pop() else { return "0".to_owned() };
        groups.iter().rev().fold(first.to_string(), |text, group| format!("{text}{group:09}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite(text: &str) -> Option<Extended> {
        match Extended::parse(text.as_bytes()) {
            Some(Parsed::Finite(number)) => Some(number),
            _ => None,
        }
    }

    fn sum(left: &str, right: &str) -> String {
        let sum = finite(left).and_then(|left| left.add(finite(right)?));
        sum.map_or("none".to_owned(), Extended::to_text)
    }

    #[test]
    fn sums_are_those_of_the_x87() {
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("3.0e3", "200"), "3200");
        assert_eq!(sum("1", "-1"), "0");
        assert_eq!(sum("-0", "-0"), "0");
        assert_eq!(sum("-1e-30", "0"), "0");
        assert_eq!(sum("10.5", "-5"), "5.5");
        assert_eq!(sum("18446744073709551615", "1"), "18446744073709551616");
        assert_eq!(sum("18446744073709551616", "1"), "18446744073709551616");
        assert_eq!(sum("18446744073709551616", "1.000001"), "18446744073709551618");
        assert_eq!(sum("18446744073709551616", "-0.4"), "18446744073709551616");
        assert_eq!(sum("0x1p3", "0x.8"), "8.5");
        assert_eq!(sum("1e20", "1e-20"), "100000000000000000000");
        assert_eq!(sum("0.000000000000000005", "0"), "0");
        assert_eq!(sum("0.0000000000000000051", "0"), "0.00000000000000001");
        assert_eq!(sum("1.1e4932", "1.1e4932"), "none");
    }

    #[test]
    fn only_what_strtold_reads_completely_is_a_number() {
        for wrong in
            ["", " 1", "1 ", "nan", "1e", "1e+", ".", "e1", "0x", "1.2.3", "--1", "1e5000", "1e-5000", "x"]
        {
            assert_eq!(Extended::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(Extended::parse(b"-Infinity"), Some(Parsed::Infinite));
        assert_eq!(finite("0e99999999999999999999"), Some(Extended::ZERO));
        assert_eq!(finite("3.6e-4951").map(|number| (number.mantissa, number.exponent)), Some((1, LEAST)));
        assert_eq!(finite("1.7e-4951"), None);
        let largest = finite("1.189731495357231765e4932").map(|number| (number.mantissa, number.exponent));
        assert_eq!(largest, Some((u64::MAX, MOST)));
        assert_eq!(finite("1.18973149535723177e4932"), None);
    }
}
