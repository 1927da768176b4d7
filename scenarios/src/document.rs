//! Walking a parsed TOML document: every table says which keys it knows, every value is read with its place.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::bandwidth::{self, Bandwidth};
use crate::diagnostic::{Diagnostic, Place, Problem, nearest, one_of, quoted, unknown_name};
use crate::duration::{self, Jump};

/// A range of bytes in the scenario file.
pub(crate) type Span = Range<usize>;

/// A key of a table with its place, and the value with its own.
pub(crate) struct Entry<'a, 't> {
    pub(crate) key: &'a str,
    pub(crate) key_span: Span,
    pub(crate) value: &'a DeValue<'t>,
    pub(crate) span: Span,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// The mistakes found so far, and the text that they are found in.
pub(crate) struct Findings<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<Diagnostic>,
}

impl<'t> Findings<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Notes a mistake at a place of the file, or within it when the problem knows better.
    pub(crate) fn at(&mut self, span: &Span, problem: Problem) {
        let span = problem.within.clone().unwrap_or_else(|| span.clone());
        self.found.push(problem.at(Place::in_file(self.file, self.text, span)));
    }

    /// Notes a mistake on the command line.
    pub(crate) fn on_command_line(&mut self, argument: String, problem: Problem) {
        self.found.push(problem.at(Place::CommandLine(argument)));
    }

    /// The value, or `None` and its mistake noted.
    pub(crate) fn keep<T>(&mut self, span: &Span, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.at(span, problem)).ok()
    }

    /// Whether no mistake has been found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }
}

/// A table whose keys have been checked against the keys that it knows.
pub(crate) struct Section<'a, 't> {
    table: &'a DeTable<'t>,
    /// Where the table begins; required keys that are missing are reported here.
    head: Span,
    /// How messages call it, for example `[limits]`.
    title: String,
    /// Required keys that an unknown key seems to mean: not to be reported as missing as well.
    misspelt: Vec<String>,
}

impl<'a, 't> Section<'a, 't> {
    /// Opens a table and reports every key that is not among `known`.
    pub(crate) fn open(
        findings: &mut Findings<'_>,
        table: &'a DeTable<'t>,
        head: Span,
        title: &str,
        known: &[&str],
    ) -> Self {
        let mut section = Self { table, head, title: title.to_owned(), misspelt: Vec::new() };
        for entry in section.entries() {
            if !known.contains(&entry.key) {
                let unused: Vec<&str> =
                    known.iter().copied().filter(|key| table.get(*key).is_none()).collect();
                let meant = nearest(entry.key, &unused).or_else(|| nearest(entry.key, known));
                section.misspelt.extend(meant.map(str::to_owned));
                let problem = Problem::new(format!("unknown key {} in {title}", quoted(entry.key)));
                findings.at(&entry.key_span, problem.expected(one_of(known)).suggest(meant));
            }
        }
        section
    }

    /// Opens the table that is the value of `entry`, or reports that it is none.
    pub(crate) fn open_entry(
        findings: &mut Findings<'_>,
        entry: &Entry<'a, 't>,
        title: &str,
        known: &[&str],
    ) -> Option<Self> {
        let table = findings.keep(&entry.span, table(entry.value))?;
        Some(Self::open(findings, table, entry.key_span.clone(), title, known))
    }

    pub(crate) fn entries(&self) -> Vec<Entry<'a, 't>> {
        entries(self.table)
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<Entry<'a, 't>> {
        self.table.get_key_value(key).map(|(key, value)| entry(key, value))
    }

    /// The value of a key that must be there.
    pub(crate) fn require(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        kind: &str,
    ) -> Option<Entry<'a, 't>> {
        let found = self.get(key);
        if found.is_none() && !self.means(key) {
            let problem = Problem::new(format!("the key \"{key}\" is missing in {}", self.title));
            findings.at(&self.head, problem.expected(format!("{key} = {kind}")));
        }
        found
    }

    /// Whether a key that is unknown seems to mean this one.
    pub(crate) fn means(&self, key: &str) -> bool {
        self.misspelt.iter().any(|meant| meant == key)
    }

    /// A duration, if the key is there; with `positive`, zero is refused.
    pub(crate) fn duration(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        positive: bool,
    ) -> Option<At<Duration>> {
        let entry = self.get(key)?;
        let value = findings.keep(&entry.span, duration_value(entry.value, positive))?;
        Some(At { value, span: entry.span })
    }
}

fn entry<'a, 't>(
    key: &'a Spanned<std::borrow::Cow<'t, str>>,
    value: &'a Spanned<DeValue<'t>>,
) -> Entry<'a, 't> {
    Entry { key: key.get_ref(), key_span: key.span(), value: value.get_ref(), span: value.span() }
}

/// The keys and values of a table, in the order of their places.
pub(crate) fn entries<'a, 't>(table: &'a DeTable<'t>) -> Vec<Entry<'a, 't>> {
    let mut entries: Vec<_> = table.iter().map(|(key, value)| entry(key, value)).collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

/// What a value is, for messages.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {}", quoted(text)),
        DeValue::Integer(number) => format!("the number {}", shortened(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", shortened(number.as_str())),
        DeValue::Boolean(flag) => format!("{flag}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A number may have any number of digits.
fn shortened(number: &str) -> String {
    if number.len() <= 40 { number.to_owned() } else { quoted(number).replace('"', "") }
}

pub(crate) fn table<'a, 't>(value: &'a DeValue<'t>) -> Result<&'a DeTable<'t>, Problem> {
    value
        .as_table()
        .ok_or_else(|| Problem::new(format!("{} is no table", describe(value))).expected("a table"))
}

pub(crate) fn text<'a>(value: &'a DeValue<'_>) -> Result<&'a str, Problem> {
    let problem = || Problem::new(format!("{} is no text", describe(value))).expected("a text in quotes");
    value.as_str().ok_or_else(problem)
}

pub(crate) fn flag(value: &DeValue<'_>) -> Result<bool, Problem> {
    let problem = || Problem::new(format!("{} is neither true nor false", describe(value)));
    value.as_bool().ok_or_else(|| problem().expected("true or false, without quotes"))
}

pub(crate) fn array<'a, 't>(value: &'a DeValue<'t>) -> Result<&'a [Spanned<DeValue<'t>>], Problem> {
    let problem = || Problem::new(format!("{} is no list", describe(value))).expected("a list in brackets");
    value.as_array().map(AsRef::as_ref).ok_or_else(problem)
}

pub(crate) fn texts(value: &DeValue<'_>) -> Result<Vec<At<String>>, Problem> {
    let problem = || Problem::new(format!("{} is no list", describe(value)));
    let items =
        value.as_array().ok_or_else(|| problem().expected("a list of texts such as [\"a\", \"b\"]"))?;
    items
        .iter()
        .map(|item| {
            let text = text(item.get_ref()).map_err(|problem| problem.within(item.span()))?;
            Ok(At { value: text.to_owned(), span: item.span() })
        })
        .collect()
}

fn integer_of(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

pub(crate) fn integer(value: &DeValue<'_>, min: i64, max: i64) -> Result<i64, Problem> {
    let expected = format!("a whole number from {min} to {max}");
    let DeValue::Integer(number) = value else {
        let unquoted = value.as_str().and_then(|text| text.trim().parse::<i64>().ok());
        let problem = Problem::new(format!("{} is no whole number", describe(value))).expected(expected);
        return Err(problem.suggest(unquoted.map(|number| number.to_string())));
    };
    match integer_of(number) {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(Problem::new(format!("{} is out of range", describe(value))).expected(expected)),
    }
}

pub(crate) fn number(value: &DeValue<'_>, min: f64, max: f64) -> Result<f64, Problem> {
    let expected = format!("a number from {min} to {max}");
    let number = match value {
        DeValue::Integer(number) => integer_of(number).map(|number| number as f64),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => {
            let unquoted = value.as_str().and_then(|text| text.trim().parse::<f64>().ok());
            let problem = Problem::new(format!("{} is no number", describe(value))).expected(expected);
            return Err(problem.suggest(unquoted.filter(|number| number.is_finite()).map(|n| n.to_string())));
        }
    };
    match number {
        // A range contains neither NaN nor, being finite, an infinity.
        Some(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(Problem::new(format!("{} is out of range", describe(value))).expected(expected)),
    }
}

/// A duration; with `positive`, zero is refused as well.
pub(crate) fn duration_value(value: &DeValue<'_>, positive: bool) -> Result<Duration, Problem> {
    let Some(text) = value.as_str() else {
        let meant = match value {
            DeValue::Integer(number) => duration::suggestion(&number.to_string()),
            DeValue::Float(number) => duration::suggestion(number.as_str()),
            _ => None,
        };
        let unit = if meant.is_some() { "a duration without a unit" } else { "no duration" };
        let problem = Problem::new(format!("{} is {unit}", describe(value)));
        return Err(problem.expected(duration::EXPECTED).suggest(meant));
    };
    let read = duration::parse(text).map_err(|error| {
        Problem::new(format!("{} is no duration: {error}", quoted(text)))
            .expected(duration::EXPECTED)
            .suggest(duration::suggestion(text))
    })?;
    if positive && read.is_zero() {
        return Err(
            Problem::new(format!("{} is too short", quoted(text))).expected("a duration of more than zero")
        );
    }
    Ok(read)
}

/// The step of a clock.
pub(crate) fn jump_value(value: &DeValue<'_>) -> Result<Jump, Problem> {
    const EXPECTED: &str =
        "a duration, with a minus sign for a jump into the past, such as \"5s\" or \"-250ms\"";
    let meant = |text: &str| {
        let sign = if text.trim_start().starts_with('-') { "-" } else { "" };
        duration::suggestion(text).map(|meant| format!("{sign}{meant}"))
    };
    let Some(text) = value.as_str() else {
        let number = match value {
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.as_str().to_owned(),
            _ => String::new(),
        };
        let problem = Problem::new(format!("{} is no jump of a clock", describe(value)));
        return Err(problem.expected(EXPECTED).suggest(meant(&number)));
    };
    duration::parse_jump(text).map_err(|error| {
        let problem = Problem::new(format!("{} is no jump of a clock: {error}", quoted(text)));
        problem.expected(EXPECTED).suggest(meant(text).filter(|meant| meant != text))
    })
}

/// How much passes a link.
pub(crate) fn bandwidth_value(value: &DeValue<'_>) -> Result<Bandwidth, Problem> {
    let text = text(value).map_err(|problem| problem.expected(bandwidth::EXPECTED))?;
    bandwidth::parse(text).map_err(|error| {
        Problem::new(format!("{} is no bandwidth: {error}", quoted(text)))
            .expected(bandwidth::EXPECTED)
            .suggest(bandwidth::suggestion(text))
    })
}

/// One of these names.
pub(crate) fn name_among<'v>(value: &DeValue<'_>, what: &str, valid: &[&'v str]) -> Result<&'v str, Problem> {
    let given = text(value).map_err(|problem| problem.expected(one_of(valid)))?;
    valid.iter().copied().find(|name| *name == given).ok_or_else(|| unknown_name(what, given, valid))
}
