//! The reader: from the text of a scenario file to a checked scenario.
//!
//! A file is read twice over: as it is, and with `[hunt]` laid over it. Both must be right, whichever is asked for, so
//! that a mistake does not wait for the first hunt.

mod ends;
mod faults;
mod load;
mod overlay;
mod play;
mod settings;
mod strikes;
mod swarm;

use std::ops::Range;

use toml::de::DeTable;

use crate::diagnostic::{Error, Problem, quoted};
use crate::document::{Findings, Section, name_among, text};
use crate::scenario::{Scenario, Size};
use crate::vocabulary::{SystemVocabulary, Vocabulary};
use overlay::{Draft, Header};

/// Longer scenario files are refused, in bytes.
const TEXT_MAX: usize = 1 << 20;

const KEYS: [&str; 13] = [
    "name", "system", "about", "duration", "settle", "load", "settings", "fault", "swarm", "hunt", "expect",
    "limits", "play",
];

/// Reads and checks a scenario.
///
/// `file` is how messages call the file; paths in its settings are relative to the folder that it names. `overrides`
/// are the `--set key=value` of the command line: they win over the file and over `[hunt]`, and paths in them are
/// relative to the current folder.
///
/// # Errors
/// Every mistake of the file and of the overrides, ordered by place.
pub fn parse(
    file: &str,
    text: &str,
    vocabulary: &Vocabulary,
    size: Size,
    overrides: &[(String, String)],
) -> Result<Scenario, Error> {
    let mut findings = Findings::new(file, text);
    let scenario = read(&mut findings, file, text, vocabulary, size, overrides);
    let found = findings.into_found();
    match scenario {
        Some(scenario) if found.is_empty() => Ok(scenario),
        _ => {
            assert!(!found.is_empty(), "a scenario is refused only with a reason");
            Err(Error::new(found))
        }
    }
}

/// The scenario, or `None` and the reasons in `findings`. It may be `Some` although there are findings.
fn read(
    findings: &mut Findings<'_>,
    file: &str,
    text: &str,
    vocabulary: &Vocabulary,
    size: Size,
    overrides: &[(String, String)],
) -> Option<Scenario> {
    let document = syntax(findings, text)?;
    let top = Section::open(findings, &document, 0..0, "a scenario", &KEYS);
    let name = name(findings, &top);
    let about = about(findings, &top);
    top.require(findings, "duration", "\"60s\"");
    top.require(findings, "settle", "\"30s\"");
    let system = system(findings, &top, vocabulary);
    let Some(system) = system else {
        // Without a system no name can be checked; what does not depend on it still is.
        top.duration(findings, "duration", true);
        top.duration(findings, "settle", true);
        return None;
    };

    let base = Draft::read(findings, &top, file, system);
    let hunt = overlay::hunt(findings, &top, file, system);
    let header = Header {
        name: name?,
        system,
        about,
        swarm: swarm::swarm(findings, &top),
        expect: ends::expect(findings, &top, system),
        play: play::play(findings, &top, system),
    };
    let overrides = settings::from_command_line(findings, system, overrides);
    // What only the whole can show is not looked at while parts are wrong: it would be an echo of their mistakes.
    if !findings.is_empty() {
        return None;
    }
    let full = overlay::finish(findings, &header, &base, None, &overrides);
    let hunted = overlay::finish(findings, &header, &base, hunt.as_ref(), &overrides);
    match size {
        Size::Full => full,
        Size::Hunt => hunted,
    }
}

fn syntax<'t>(findings: &mut Findings<'_>, text: &'t str) -> Option<DeTable<'t>> {
    if text.len() > TEXT_MAX {
        let problem = Problem::new(format!("the file has {} bytes", text.len()));
        findings.at(&(0..0), problem.expected(format!("a scenario of at most {TEXT_MAX} bytes")));
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span: Range<usize> = error.span().unwrap_or(text.len()..text.len());
        let (what, expected) = match error.message().split_once(", expected ") {
            Some((what, expected)) => (what, Some(expected)),
            None => (error.message(), None),
        };
        let mut problem = Problem::new(format!("this is not TOML: {what}"));
        problem.expected = expected.map(str::to_owned);
        if what.contains("must be quoted") {
            problem = problem.expected("a text in quotes").suggest(bare_word(text, span.start));
        }
        findings.at(&span, problem);
    }
    errors.is_empty().then(|| document.into_inner())
}

/// What stands at a place where quotes are missing: `60s`.
fn bare_word(text: &str, start: usize) -> Option<&str> {
    let word = text.get(start..)?.split([' ', '\t', '\r', '\n', ',', ']', '}', '#', '"', '\'']).next()?;
    (!word.is_empty() && word.len() <= 60).then_some(word)
}

/// The name becomes a folder of `runs/`: no part of it may lead elsewhere.
fn name(findings: &mut Findings<'_>, top: &Section<'_, '_>) -> Option<String> {
    let entry = top.require(findings, "name", "\"system/name\"")?;
    let name = findings.keep(&entry.span, text(entry.value))?;
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let part_ok = |part: &str| part.chars().all(harmless) && part.chars().any(|c| c.is_ascii_alphanumeric());
    if name.len() <= 100 && name.split('/').all(part_ok) {
        return Some(name.to_owned());
    }
    let problem = Problem::new(format!("{} is no name for a scenario", quoted(name)));
    let expected =
        "letters, digits, \"-\", \"_\" and \".\", in parts separated by \"/\", such as \"ticketing/peak\"";
    findings.at(&entry.span, problem.expected(expected));
    None
}

fn about(findings: &mut Findings<'_>, top: &Section<'_, '_>) -> String {
    let entry = top.get("about");
    entry.and_then(|entry| findings.keep(&entry.span, text(entry.value))).unwrap_or("").to_owned()
}

fn system<'v>(
    findings: &mut Findings<'_>,
    top: &Section<'_, '_>,
    vocabulary: &'v Vocabulary,
) -> Option<&'v SystemVocabulary> {
    let names: Vec<&str> = vocabulary.systems.iter().map(|system| system.name.as_str()).collect();
    let entry = top.require(findings, "system", "\"…\"")?;
    let name = findings.keep(&entry.span, name_among(entry.value, "system", &names))?;
    vocabulary.system(name)
}
