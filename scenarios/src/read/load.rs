//! The load: `journey.buy = { rate = [ ["0s", 50], ["10s", 2000] ], patience = "20s" }`.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use crate::diagnostic::{Problem, one_of, unknown_name};
use crate::document::{
    At, Entry, Findings, Section, Span, array, describe, duration_value, entries, number, table,
};
use crate::scenario::Rate;
use crate::vocabulary::SystemVocabulary;

const RATE: &str = "arrivals per second: a number, or steps such as [ [\"0s\", 50], [\"10s\", 2000] ]";

/// A journey as one part of the file gives it.
#[derive(Debug, Clone)]
pub(super) struct JourneyDraft {
    /// Where it is named.
    pub(super) named: Span,
    /// Whether `rate` stands there, even when it could not be read.
    pub(super) has_rate: bool,
    pub(super) rate: Option<RateDraft>,
    pub(super) patience: Option<Duration>,
}

/// The steps of a rate with the places of their offsets.
pub(super) type RateDraft = Vec<(At<Duration>, f64)>;

/// Reads `[load]`, which holds nothing but journeys.
pub(super) fn load(
    findings: &mut Findings<'_>,
    entry: &Entry<'_, '_>,
    system: &SystemVocabulary,
) -> BTreeMap<String, JourneyDraft> {
    let Some(section) = Section::open_entry(findings, entry, "[load]", &["journey"]) else {
        return BTreeMap::new();
    };
    let journeys = section.require(findings, "journey", "{ … }, for example journey.buy = { rate = 100 }");
    journeys.map_or_else(BTreeMap::new, |entry| self::journeys(findings, &entry, system))
}

/// Reads the journeys below `journey`.
pub(super) fn journeys(
    findings: &mut Findings<'_>,
    entry: &Entry<'_, '_>,
    system: &SystemVocabulary,
) -> BTreeMap<String, JourneyDraft> {
    let mut drafts = BTreeMap::new();
    let valid: Vec<&str> = system.journeys.iter().map(String::as_str).collect();
    let Some(table) = findings.keep(&entry.span, table(entry.value)) else { return drafts };
    if table.is_empty() {
        findings.at(&entry.span, Problem::new("a load without journeys").expected(one_of(&valid)));
    }
    for journey in entries(table) {
        if !valid.contains(&journey.key) {
            let what = format!("journey of system {}", system.name);
            findings.at(&journey.key_span, unknown_name(&what, journey.key, &valid));
            continue;
        }
        let known = ["rate", "patience"];
        let Some(section) = Section::open_entry(findings, &journey, "a journey", &known) else { continue };
        let rate = section.get("rate");
        let draft = JourneyDraft {
            named: journey.key_span.clone(),
            // A misspelt rate has been reported as such: it is not missing as well.
            has_rate: rate.is_some() || section.means("rate"),
            rate: rate.and_then(|entry| self::rate(findings, &entry)),
            patience: section.duration(findings, "patience", true).map(|patience| patience.value),
        };
        drafts.insert(journey.key.to_owned(), draft);
    }
    drafts
}

fn rate(findings: &mut Findings<'_>, entry: &Entry<'_, '_>) -> Option<RateDraft> {
    match entry.value {
        DeValue::Integer(_) | DeValue::Float(_) => {
            let per_second = findings.keep(&entry.span, per_second(entry.value))?;
            Some(vec![(At { value: Duration::ZERO, span: entry.span.clone() }, per_second)])
        }
        DeValue::Array(_) => findings.keep(&entry.span, steps(entry.value)),
        other => {
            let problem = Problem::new(format!("{} is no rate", describe(other)));
            findings.at(&entry.span, problem.expected(RATE));
            None
        }
    }
}

fn per_second(value: &DeValue<'_>) -> Result<f64, Problem> {
    number(value, 0.0, Rate::MAX_PER_SECOND)
}

/// Steps begin at zero and ascend, so that there is one rate for every instant.
fn steps(value: &DeValue<'_>) -> Result<RateDraft, Problem> {
    let mut steps: RateDraft = Vec::new();
    for step in array(value)? {
        let [from, rate] = step.as_ref().as_array().map_or(&[][..], AsRef::as_ref) else {
            let problem = Problem::new(format!("{} is no step of a rate", describe(step.as_ref())));
            let expected = "a pair of a time and arrivals per second, such as [\"10s\", 2000]";
            return Err(problem.expected(expected).within(step.span()));
        };
        let offset = duration_value(from.as_ref(), false).map_err(|problem| problem.within(from.span()))?;
        let per_second = per_second(rate.as_ref()).map_err(|problem| problem.within(rate.span()))?;
        match steps.last() {
            None if !offset.is_zero() => {
                let problem = Problem::new("the first step does not begin with the load");
                return Err(problem.expected("a first step at \"0s\"").within(from.span()));
            }
            Some((before, _)) if offset <= before.value => {
                let problem = Problem::new("this step does not begin after the one before it");
                return Err(problem.expected("steps in ascending order of time").within(from.span()));
            }
            _ => steps.push((At { value: offset, span: from.span() }, per_second)),
        }
    }
    if steps.is_empty() { Err(Problem::new("a rate without steps").expected(RATE)) } else { Ok(steps) }
}
