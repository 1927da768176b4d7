//! Numbers as people read them: grouped digits, latencies and seconds with a unit.

/// Shown for a figure that does not exist.
pub(crate) const NOTHING: &str = "–";

/// A count with its digits in groups: `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    group(&count.to_string())
}

/// A count with its noun: `1 check`, `8,123 checks`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number as u64))
}

/// A latency with three significant digits: `812 µs`, `8.12 ms`, `1.25 s`.
pub(crate) fn latency(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..999_500 => format!("{} ms", three_digits(microseconds as f64 / 1e3)),
        _ => format!("{} s", three_digits(microseconds as f64 / 1e6)),
    }
}

/// A latency with all its digits: `3.000001 s`.
pub(crate) fn latency_exact(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{} ms", decimal(microseconds as f64 / 1e3, 3)),
        _ => format!("{} s", decimal(microseconds as f64 / 1e6, 6)),
    }
}

/// Seconds to the millisecond: `12.346 s`; `?` if they are not a number.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds.is_finite() { format!("{} s", decimal(seconds, 3)) } else { "?".to_owned() }
}

/// How much of one goes into one of the other: `24`, `3.1`; `None` where there is no such figure.
pub(crate) fn ratio(dividend: f64, divisor: f64) -> Option<String> {
    let ratio = dividend / divisor;
    let meaningful = divisor > 0.0 && ratio.is_finite() && ratio >= 0.0;
    meaningful.then(|| decimal(ratio, usize::from(ratio < 10.0)))
}

/// With three significant digits, at least those before the point.
pub(crate) fn three_digits(value: f64) -> String {
    match value.abs() {
        ..9.995 => decimal(value, 2),
        ..99.95 => decimal(value, 1),
        _ => decimal(value, 0),
    }
}

/// With at most `places` decimals, no trailing zeros, and the digits before the point in groups.
pub(crate) fn decimal(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    match format!("{}{point}{fraction}", group(whole)) {
        zero if zero == "-0" => "0".to_owned(),
        number => number,
    }
}

/// Puts a comma before every third digit from the right.
fn group(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let mut grouped = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits_and_the_unit_that_fits() {
        for (microseconds, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1 ms"),
            (8_123, "8.12 ms"),
            (9_996, "10 ms"),
            (81_230, "81.2 ms"),
            (999_499, "999 ms"),
            (999_500, "1 s"),
            (3_000_000, "3 s"),
            (3_000_001, "3 s"),
            (3_600_000_000, "3,600 s"),
        ] {
            assert_eq!(latency(microseconds), text);
        }
        assert_eq!(latency_exact(3_000_001), "3.000001 s");
        assert_eq!(latency_exact(250_500), "250.5 ms");
    }

    #[test]
    fn seconds_and_ratios_survive_odd_numbers() {
        assert_eq!(seconds(12.345_678), "12.346 s");
        assert_eq!(seconds(172_800.0), "172,800 s");
        assert_eq!(seconds(-0.000_1), "0 s");
        assert_eq!(seconds(-1_234.5), "-1,234.5 s");
        assert_eq!(seconds(f64::NAN), "?");
        assert_eq!(seconds(f64::INFINITY), "?");
        assert_eq!(ratio(60.0, 2.5).as_deref(), Some("24"));
        assert_eq!(ratio(1.0, 3.0).as_deref(), Some("0.3"));
        assert_eq!(ratio(60.0, 0.0), None);
        assert_eq!(ratio(f64::NAN, 1.0), None);
        assert_eq!(ratio(1.0, f64::NAN), None);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "check"), "1 check");
        assert_eq!(counted(0, "check"), "0 checks");
    }
}
