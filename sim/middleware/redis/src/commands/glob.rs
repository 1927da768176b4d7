//! Glob patterns of `KEYS`, `SCAN … MATCH` and `CONFIG GET`.

/// Does the whole text match? `*` any bytes, `?` one byte, `[a-z]` or `[^a-z]` one of a class, `\` escapes.
///
/// Only the last `*` is ever tried again, so the time is bounded by the product of both lengths.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(_), Some(byte)) => {
                if let Some(next) = match_one(pattern, p, *byte) {
                    p = next;
                    t += 1;
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((after_star, from)) if from < text.len() => {
                p = after_star;
                t = from + 1;
                retry = Some((after_star, t));
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the element at `p`; returns where the next element starts.
fn match_one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match_class(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        literal => (literal == byte).then_some(p + 1),
    }
}

fn match_class(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut found = false;
    // A class that is not closed ends with the pattern.
    while let Some(&low) = pattern.get(p) {
        if low == b']' {
            break;
        }
        if low == b'\\' && p + 1 < pattern.len() {
            found |= pattern[p + 1] == byte;
            p += 2;
        } else if pattern.get(p + 1) == Some(&b'-') && p + 2 < pattern.len() {
            let high = pattern[p + 2];
            found |= (low.min(high)..=low.max(high)).contains(&byte);
            p += 3;
        } else {
            found |= low == byte;
            p += 1;
        }
    }
    (found != negated).then_some((p + 1).min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("[a", "a", true),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_are_cheap() {
        assert!(!matches(&b"*a".repeat(200), &[b'a'; 199]));
        let text = [b'a'; 10_000];
        assert!(!matches(b"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", &text));
    }
}
