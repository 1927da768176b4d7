//! Lua 5.1 patterns, matched with a bound on the work: the original backtracks in C, where no instruction hook
//! can stop it.

use std::ops::Range;

/// Most captures of a pattern, as in Lua.
const MAX_CAPTURES: usize = 32;
/// Deepest recursion: patterns that need more are refused (newer Lua versions do the same).
const MAX_DEPTH: usize = 200;

/// Why a match could not be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PatternError {
    /// The pattern is wrong; the message is Lua's.
    Malformed(&'static str),
    /// `%1` to `%9` without such a capture.
    InvalidCapture,
    /// The steps given were used up.
    OutOfSteps,
}

/// What a capture took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Capture {
    Text(Range<usize>),
    /// `()`: a position, counted from 0.
    Position(usize),
}

/// A successful match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) range: Range<usize>,
    pub(super) captures: Vec<Capture>,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Open,
    Position,
    Closed(usize),
}

struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<(usize, Length)>,
    depth: usize,
    steps: &'a mut u64,
}

type Step = Result<Option<usize>, PatternError>;

/// Finds the first match at or after `from`. Takes what it works off `steps`.
pub(super) fn find(
    text: &[u8],
    pattern: &[u8],
    from: usize,
    steps: &mut u64,
) -> Result<Option<Match>, PatternError> {
    let (pattern, anchored) = match pattern.strip_prefix(b"^") {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    find_unanchored(text, pattern, from, anchored, steps)
}

/// As [`find`], for a pattern whose `^` was dealt with.
pub(super) fn find_unanchored(
    text: &[u8],
    pattern: &[u8],
    from: usize,
    only_here: bool,
    steps: &mut u64,
) -> Result<Option<Match>, PatternError> {
    let mut matcher = Matcher { text, pattern, captures: Vec::new(), depth: 0, steps };
    let mut start = from;
    while start <= text.len() {
        matcher.captures.clear();
        if let Some(end) = matcher.run(start, 0)? {
            let captures = matcher.captures.iter().map(|(from, length)| match length {
                Length::Closed(length) => Ok(Capture::Text(*from..from + length)),
                Length::Position => Ok(Capture::Position(*from)),
                Length::Open => Err(PatternError::Malformed("unfinished capture")),
            });
            return Ok(Some(Match { range: start..end, captures: captures.collect::<Result<_, _>>()? }));
        }
        if only_here {
            break;
        }
        start += 1;
    }
    Ok(None)
}

impl Matcher<'_> {
    fn spend(&mut self) -> Result<(), PatternError> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                *self.steps = left;
                Ok(())
            }
            None => Err(PatternError::OutOfSteps),
        }
    }

    /// Matches the pattern from `p` at `s`; returns where the match ends.
    fn run(&mut self, s: usize, p: usize) -> Step {
        if self.depth >= MAX_DEPTH {
            return Err(PatternError::Malformed("pattern too complex"));
        }
        self.depth += 1;
        let end = self.run_here(s, p);
        self.depth -= 1;
        end
    }

    fn run_here(&mut self, mut s: usize, mut p: usize) -> Step {
        loop {
            self.spend()?;
            let Some(&element) = self.pattern.get(p) else { return Ok(Some(s)) };
            match element {
                b'(' if self.pattern.get(p + 1) == Some(&b')') => {
                    return self.open(s, p + 2, Length::Position);
                }
                b'(' => return self.open(s, p + 1, Length::Open),
                b')' => return self.close(s, p + 1),
                b'%' if self.pattern.get(p + 1) == Some(&b'b') => match self.balance(s, p + 2)? {
                    Some(next) => {
                        s = next;
                        p += 4;
                        continue;
                    }
                    None => return Ok(None),
                },
                b'%' if self.pattern.get(p + 1) == Some(&b'f') => {
                    p += 2;
                    if self.pattern.get(p) != Some(&b'[') {
                        return Err(PatternError::Malformed("missing '[' after '%f' in pattern"));
                    }
                    let end = self.class_end(p)?;
                    let before = s.checked_sub(1).and_then(|at| self.text.get(at)).copied().unwrap_or(0);
                    let here = self.text.get(s).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                    continue;
                }
                b'%' if self.pattern.get(p + 1).is_some_and(u8::is_ascii_digit) => {
                    match self.back_reference(s, self.pattern[p + 1])? {
                        Some(next) => {
                            s = next;
                            p += 2;
                            continue;
                        }
                        None => return Ok(None),
                    }
                }
                b'$' if p + 1 == self.pattern.len() => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                _ => {}
            }
            let end = self.class_end(p)?;
            let matches = self.matches_single(s, p, end);
            match self.pattern.get(end) {
                Some(b'?') => {
                    if matches && let Some(done) = self.run(s + 1, end + 1)? {
                        return Ok(Some(done));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.greedy(s, p, end),
                Some(b'+') => return if matches { self.greedy(s + 1, p, end) } else { Ok(None) },
                Some(b'-') => return self.lazy(s, p, end),
                _ if matches => {
                    s += 1;
                    p = end;
                }
                _ => return Ok(None),
            }
        }
    }

    fn greedy(&mut self, s: usize, p: usize, end: usize) -> Step {
        let mut count = 0;
        while self.matches_single(s + count, p, end) {
            self.spend()?;
            count += 1;
        }
        loop {
            if let Some(done) = self.run(s + count, end + 1)? {
                return Ok(Some(done));
            }
            match count.checked_sub(1) {
                Some(fewer) => count = fewer,
                None => return Ok(None),
            }
        }
    }

    fn lazy(&mut self, mut s: usize, p: usize, end: usize) -> Step {
        loop {
            if let Some(done) = self.run(s, end + 1)? {
                return Ok(Some(done));
            }
            if !self.matches_single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, length: Length) -> Step {
        if self.captures.len() >= MAX_CAPTURES {
            return Err(PatternError::Malformed("too many captures"));
        }
        self.captures.push((s, length));
        let level = self.captures.len();
        let end = self.run(s, p)?;
        if end.is_none() {
            self.captures.truncate(level - 1);
        }
        Ok(end)
    }

    fn close(&mut self, s: usize, p: usize) -> Step {
        let open = self.captures.iter().rposition(|(_, length)| matches!(length, Length::Open));
        let index = open.ok_or(PatternError::Malformed("invalid pattern capture"))?;
        let start = self.captures[index].0;
        self.captures[index].1 = Length::Closed(s - start);
        let end = self.run(s, p)?;
        if end.is_none()
            && let Some(capture) = self.captures.get_mut(index)
        {
            capture.1 = Length::Open;
        }
        Ok(end)
    }

    /// `%bxy`: a balanced stretch from x to y.
    fn balance(&mut self, s: usize, p: usize) -> Step {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(PatternError::Malformed("unbalanced pattern"));
        };
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.text.len() {
            self.spend()?;
            let byte = self.text[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Step {
        let capture = usize::from(digit).checked_sub(usize::from(b'1')).and_then(|at| self.captures.get(at));
        let Some((start, Length::Closed(length))) = capture else { return Err(PatternError::InvalidCapture) };
        let captured = &self.text[*start..*start + *length];
        let matches = self.text.get(s..).is_some_and(|rest| rest.starts_with(captured));
        // Comparing is work, too.
        *self.steps = self.steps.saturating_sub(captured.len() as u64 / 8);
        Ok(matches.then_some(s + captured.len()))
    }

    /// Where the single-byte class at `p` ends.
    fn class_end(&self, p: usize) -> Result<usize, PatternError> {
        match self.pattern.get(p) {
            Some(b'%') if p + 1 >= self.pattern.len() => {
                Err(PatternError::Malformed("malformed pattern (ends with '%')"))
            }
            Some(b'%') => Ok(p + 2),
            Some(b'[') => {
                let missing = PatternError::Malformed("malformed pattern (missing ']')");
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // A bracket in first place stands for itself.
                loop {
                    match self.pattern.get(at).ok_or_else(|| missing.clone())? {
                        b'%' => at += 2,
                        _ => at += 1,
                    }
                    if self.pattern.get(at).ok_or_else(|| missing.clone())? == &b']' {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    fn matches_single(&self, s: usize, p: usize, end: usize) -> bool {
        let (Some(&byte), Some(&element)) = (self.text.get(s), self.pattern.get(p)) else { return false };
        match element {
            b'.' => true,
            b'%' => self.pattern.get(p + 1).is_some_and(|class| in_class(byte, *class)),
            b'[' => self.in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// Is the byte in the set whose `[` is at `p` and whose `]` is at `last`?
    fn in_set(&self, byte: u8, p: usize, last: usize) -> bool {
        let set = &self.pattern[p + 1..last];
        let (set, negated) = match set.strip_prefix(b"^") {
            Some(rest) => (rest, true),
            None => (set, false),
        };
        let mut at = 0;
        while let Some(&element) = set.get(at) {
            let found = match set.get(at..at + 3) {
                _ if element == b'%' => {
                    at += 2;
                    set.get(at - 1).is_some_and(|class| in_class(byte, *class))
                }
                Some([low, b'-', high]) => {
                    at += 3;
                    (*low..=*high).contains(&byte)
                }
                _ => {
                    at += 1;
                    element == byte
                }
            };
            if found {
                return !negated;
            }
        }
        negated
    }
}

/// `%a`, `%d`…; an upper-case letter is the complement; anything else stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    found != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(text: &str, pattern: &str) -> Result<Option<(String, Vec<String>)>, PatternError> {
        let found = find(text.as_bytes(), pattern.as_bytes(), 0, &mut 100_000)?;
        Ok(found.map(|found| {
            let captures = found.captures.iter().map(|capture| match capture {
                Capture::Text(range) => text[range.clone()].to_owned(),
                Capture::Position(at) => format!("@{}", at + 1),
            });
            (text[found.range.clone()].to_owned(), captures.collect())
        }))
    }

    #[test]
    fn patterns_match_as_in_lua() {
        for (text, pattern, expected) in [
            ("hello world", "o w", Some("o w")),
            ("hello", "l+", Some("ll")),
            ("hello", "^l", None),
            ("hello", "lo$", Some("lo")),
            ("a=1, b=2", "%a=%d", Some("a=1")),
            ("[x]", "[]]", Some("]")),
            ("a-b", "[a%-]+", Some("a-")),
            ("abc", "[^a]+", Some("bc")),
            ("f(a(b)c)d", "%b()", Some("(a(b)c)")),
            ("THE (quick) fox", "%f[%a]%a+", Some("THE")),
            ("aaa", "a-", Some("")),
            ("<<x>>", "<.->", Some("<<x>")),
            ("", "x*", Some("")),
            ("ac", "ab?c", Some("ac")),
        ] {
            let found = matched(text, pattern).expect("a valid pattern").map(|(whole, _)| whole);
            assert_eq!(found.as_deref(), expected, "{pattern} on {text}");
        }
        let captures = |text, pattern| matched(text, pattern).expect("valid").expect("found").1;
        assert_eq!(captures("key = value", "(%w+)%s*=%s*(%w+)"), ["key", "value"]);
        assert_eq!(captures("abc", "()b()"), ["@2", "@3"]);
        assert_eq!(captures("xyzxyz", "(%w+)%1"), ["xyz"]);
    }

    #[test]
    fn wrong_patterns_are_refused_and_work_is_bounded() {
        for pattern in ["[a", "%", "(a", "a)", "%1", "%b", "%fa", "[%"] {
            assert!(matched("aaa", pattern).is_err(), "{pattern}");
        }
        let deep = "(".repeat(40);
        assert!(matched("a", &deep).is_err());
        let text = "a".repeat(40);
        assert_eq!(matched(&text, &format!("{}b", "a*".repeat(20))), Err(PatternError::OutOfSteps));
        // An optional element that matches recurses once, the others are passed over.
        assert_eq!(matched("a", &"a?".repeat(1000)).map(|found| found.is_some()), Ok(true));
    }
}
