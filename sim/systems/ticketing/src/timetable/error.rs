//! Why a timetable, or a choice of trains from it, is refused.

use std::fmt;

/// A mistake in a feed, or a choice that it does not offer. Rendered as `feed.zip/stop_times.txt:123: what; expected …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TimetableError {
    /// How the feed is called.
    pub feed: String,
    /// The file within the feed, if the mistake stands in one.
    pub file: Option<&'static str>,
    /// The line in that file; the header is line 1.
    pub line: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What was expected instead, with the nearest valid name if there is one.
    pub expected: Option<String>,
}

impl TimetableError {
    pub(super) fn new(feed: &str, what: impl Into<String>) -> Self {
        Self { feed: feed.to_owned(), file: None, line: None, what: what.into(), expected: None }
    }

    pub(super) fn in_file(mut self, file: &'static str, line: Option<u64>) -> Self {
        self.file = Some(file);
        self.line = line;
        self
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }
}

impl fmt::Display for TimetableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.feed)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        Ok(())
    }
}

/// A text from a feed as it may stand in a message: in quotes, on one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", shown.replace(char::is_control, "\u{fffd}"))
}

/// Seconds since the beginning of a service day as `HH:MM:SS`.
pub(super) fn clock(seconds: u32) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
