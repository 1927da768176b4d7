//! How a scenario is played unless the command line says otherwise: `[play]`.

use crate::diagnostic::{Problem, quoted, unknown_name};
use crate::document::{Findings, Section, integer, text, texts};
use crate::scenario::Play;
use crate::strategy::{self, Strategy};
use crate::vocabulary::SystemVocabulary;

/// Reads `[play]`.
pub(super) fn play(findings: &mut Findings<'_>, top: &Section<'_, '_>, system: &SystemVocabulary) -> Play {
    let known = ["seed", "strategy", "mutants"];
    let section = top.get("play").and_then(|entry| Section::open_entry(findings, &entry, "[play]", &known));
    let Some(section) = section else { return Play::default() };
    let seed = section.get("seed").and_then(|entry| {
        let read = findings.keep(&entry.span, integer(entry.value, 0, i64::MAX))?;
        u64::try_from(read).ok()
    });
    let strategy = section.get("strategy").and_then(|entry| {
        let given = findings.keep(&entry.span, text(entry.value))?;
        let read = given.parse::<Strategy>().map_err(|_| {
            Problem::new(format!("{} is no strategy", quoted(given))).expected(strategy::EXPECTED)
        });
        findings.keep(&entry.span, read)
    });
    let mut mutants = Vec::new();
    let names: Vec<&str> = system.mutants.iter().map(String::as_str).collect();
    let given = section.get("mutants").and_then(|entry| findings.keep(&entry.span, texts(entry.value)));
    for mutant in given.unwrap_or_default() {
        if names.contains(&mutant.value.as_str()) {
            mutants.push(mutant.value);
        } else {
            let what = format!("mutant of system {}", system.name);
            findings.at(&mutant.span, unknown_name(&what, &mutant.value, &names));
        }
    }
    mutants.sort();
    mutants.dedup();
    Play { seed, strategy, mutants }
}
