//! What a mistake in a scenario looks like: place, what is wrong, what was expected, what was probably meant.

use std::fmt;
use std::ops::Range;

/// Everything that is wrong with a scenario; at least one mistake, ordered by place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", render(.diagnostics))]
pub struct Error {
    diagnostics: Vec<Diagnostic>,
}

impl Error {
    /// The mistakes, ordered by place; at least one.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub(crate) fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.place.order());
        diagnostics.dedup();
        Self { diagnostics }
    }
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::new(vec![diagnostic])
    }
}

fn render(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// One mistake. Rendered as `file:line:column: what; expected …; did you mean "…"?`, and below it the line of the
/// file with a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What was expected instead.
    pub expected: Option<String>,
    /// The nearest valid name or value.
    pub suggestion: Option<String>,
}

/// Where a mistake stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a scenario file.
    File {
        /// The file, as it was named.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The text of the line.
        source: String,
        /// How many characters are meant, at least 1.
        width: usize,
    },
    /// On the command line, for example `--set queue.cap=-1`, or a scenario that could not be found or read.
    CommandLine(String),
}

/// Longer lines are not shown below a message.
const SOURCE_LINE_MAX: usize = 160;

impl Place {
    /// The place of a range of bytes in a file. Ranges outside the text, or between two characters, are moved inside.
    pub(crate) fn in_file(file: &str, text: &str, span: Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end).max(start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or("");
        let line_end = line_start + line_text.len();
        let width =
            if start < line_end { text[start..end.clamp(start, line_end)].chars().count() } else { 1 };
        Place::File {
            file: file.to_owned(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source: line_text.to_owned(),
            width: width.max(1),
        }
    }

    /// Files by line and column, then the command line.
    fn order(&self) -> (u8, usize, usize) {
        match self {
            Place::File { line, column, .. } => (0, *line, *column),
            Place::CommandLine(_) => (1, 0, 0),
        }
    }
}

/// The next character boundary at or before `index`.
fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { file, line, column, .. } => write!(f, "{file}:{line}:{column}: ")?,
            Place::CommandLine(argument) => write!(f, "{argument}: ")?,
        }
        f.write_str(&self.what)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean \"{suggestion}\"?")?;
        }
        match &self.place {
            Place::File { line, column, source, width, .. } if source.chars().count() <= SOURCE_LINE_MAX => {
                let gutter = " ".repeat(line.to_string().len());
                // Tabs are kept, so that the caret stands below its place however wide they are shown.
                let keep = |c: char| if c == '\t' { '\t' } else { ' ' };
                let indent: String = source.chars().take(column - 1).map(keep).collect();
                write!(f, "\n  {line} | {source}\n  {gutter} | {indent}{}", "^".repeat(*width))
            }
            _ => Ok(()),
        }
    }
}

/// A mistake before its place is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) expected: Option<String>,
    pub(crate) suggestion: Option<String>,
    /// A place within the value, when the value as a whole is not meant.
    pub(crate) within: Option<Range<usize>>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), expected: None, suggestion: None, within: None }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    pub(crate) fn within(mut self, span: Range<usize>) -> Self {
        self.within = Some(span);
        self
    }

    pub(crate) fn at(self, place: Place) -> Diagnostic {
        Diagnostic { place, what: self.what, expected: self.expected, suggestion: self.suggestion }
    }
}

/// A name that does not exist: says so, lists what exists, and suggests the nearest.
pub(crate) fn unknown_name(what: &str, given: &str, valid: &[&str]) -> Problem {
    let problem = Problem::new(format!("unknown {what} {}", quoted(given)));
    if valid.is_empty() {
        return problem.expected(format!("no {what} at all: there is none"));
    }
    problem.expected(one_of(valid)).suggest(nearest(given, valid))
}

/// `"a", "b" or "c"`; of a long list only the number.
pub(crate) fn one_of(valid: &[&str]) -> String {
    const LISTED_MAX: usize = 24;
    match valid {
        [] => "nothing".to_owned(),
        [only] => format!("\"{only}\""),
        [first @ .., last] if valid.len() <= LISTED_MAX => {
            let first: Vec<String> = first.iter().map(|name| format!("\"{name}\"")).collect();
            format!("{} or \"{last}\"", first.join(", "))
        }
        _ => format!("one of {} names", valid.len()),
    }
}

/// The valid name that was probably meant, if one is near enough to be worth saying.
pub(crate) fn nearest<'a>(given: &str, valid: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase();
    // Dotted names are often given without their first part, or with the name of the table before them.
    let ends = |a: &str, b: &str| a.strip_suffix(b).is_some_and(|rest| rest.ends_with('.'));
    if let Some(name) =
        valid.iter().find(|name| ends(&name.to_lowercase(), &given) || ends(&given, &name.to_lowercase()))
    {
        return Some(name);
    }
    let distance = |name: &&&str| strsim::damerau_levenshtein(&given, &name.to_lowercase());
    let best = valid.iter().min_by_key(distance)?;
    let longest = given.chars().count().max(best.chars().count());
    (distance(&best) <= (longest * 2 / 5).max(1)).then_some(*best)
}

/// A text in quotes as it may stand in a message: escaped, and shortened when it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!(
        "\"{}{dots}\"",
        shown.replace('\\', "\\\\").replace('"', "\\\"").replace(char::is_control, "\u{fffd}")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_stay_inside() {
        let text = "a = 1\nä = \"ö\"\n";
        let place = |span| match Place::in_file("f", text, span) {
            Place::File { line, column, source, width, .. } => (line, column, source, width),
            Place::CommandLine(_) => unreachable!("the place of a file"),
        };
        assert_eq!(place(0..1), (1, 1, "a = 1".into(), 1));
        assert_eq!(place(11..15), (2, 5, "ä = \"ö\"".into(), 3));
        assert_eq!(place(7..8), (2, 1, "ä = \"ö\"".into(), 1));
        assert_eq!(place(500..900), (3, 1, String::new(), 1));
        assert_eq!(place(0..900), (1, 1, "a = 1".into(), 5));
    }

    #[test]
    fn nearest_names() {
        let valid = ["queue.cap", "queue.share", "order.pay_within", "seats.first"];
        assert_eq!(nearest("queue.cpa", &valid), Some("queue.cap"));
        assert_eq!(nearest("pay_within", &valid), Some("order.pay_within"));
        assert_eq!(nearest("settings.queue.share", &valid), Some("queue.share"));
        assert_eq!(nearest("SEATS.FIRST", &valid), Some("seats.first"));
        assert_eq!(nearest("colour", &valid), None);
        assert_eq!(nearest("", &valid), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn quoted_texts_are_short_and_harmless() {
        assert_eq!(quoted("a\"b\n"), "\"a\\\"b\u{fffd}\"");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }
}
