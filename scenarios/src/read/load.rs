//! The load: `journey.buy = { rate = [ ["0s", 50], ["10s", 2000] ], patience = "20s" }`, or customers one by one:
//! `journey.buy = { arrive = [ "1.2s", { at = "1.9s", customer = 17, operations = 3 } ] }`.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostic::{Problem, one_of, unknown_name};
use crate::document::{
    At, Entry, Findings, Section, Span, array, describe, duration_value, entries, integer, number, table,
};
use crate::scenario::{Arrival, Rate};
use crate::vocabulary::SystemVocabulary;

const RATE: &str = "arrivals per second: a number, or steps such as [ [\"0s\", 50], [\"10s\", 2000] ]";

const ARRIVE: &str = "times, or customers such as { at = \"1.9s\", customer = 17, operations = 3 }";

/// A journey as one part of the file gives it.
#[derive(Debug, Clone)]
pub(super) struct JourneyDraft {
    /// Where it is named.
    pub(super) named: Span,
    /// Whether `rate` or `arrive` stands there, even when it could not be read.
    pub(super) has_arrivals: bool,
    pub(super) arrivals: Option<ArrivalsDraft>,
    pub(super) patience: Option<Duration>,
}

/// When the customers of a journey come, with the places of the times.
#[derive(Debug, Clone)]
pub(super) enum ArrivalsDraft {
    Rate(RateDraft),
    Listed(Vec<At<Arrival>>),
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
        let known = ["rate", "arrive", "patience"];
        let Some(section) = Section::open_entry(findings, &journey, "a journey", &known) else { continue };
        let (rate, arrive) = (section.get("rate"), section.get("arrive"));
        // A misspelt rate has been reported as such: it is not missing as well.
        let is_given = |key| section.get(key).is_some() || section.means(key);
        let draft = JourneyDraft {
            named: journey.key_span.clone(),
            has_arrivals: is_given("rate") || is_given("arrive"),
            arrivals: match (rate, arrive) {
                (Some(_), Some(arrive)) => {
                    let problem = Problem::new("\"arrive\" beside \"rate\"");
                    let expected = "either rate, or arrive for customers one by one";
                    findings.at(&arrive.key_span, problem.expected(expected));
                    None
                }
                (Some(rate), None) => self::rate(findings, &rate).map(ArrivalsDraft::Rate),
                (None, Some(arrive)) => self::arrive(findings, &arrive).map(ArrivalsDraft::Listed),
                (None, None) => None,
            },
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

/// Customers one by one.
fn arrive(findings: &mut Findings<'_>, entry: &Entry<'_, '_>) -> Option<Vec<At<Arrival>>> {
    let items = findings.keep(&entry.span, array(entry.value).map_err(|problem| problem.expected(ARRIVE)))?;
    let arrivals: Vec<_> = items.iter().filter_map(|item| arrival(findings, item)).collect();
    (arrivals.len() == items.len()).then_some(arrivals)
}

fn arrival(findings: &mut Findings<'_>, item: &Spanned<DeValue<'_>>) -> Option<At<Arrival>> {
    let span = item.span();
    let table = match item.as_ref() {
        DeValue::Table(table) => table,
        time => {
            let at = duration_value(time, false);
            let at = findings.keep(&span, at.map_err(|problem| problem.expected(ARRIVE)))?;
            return Some(At { value: Arrival::at(at), span });
        }
    };
    let known = ["at", "customer", "operations"];
    let section = Section::open(findings, table, span.clone(), "a customer", &known);
    section.require(findings, "at", "\"1.9s\", since the start of the load");
    let at = section.duration(findings, "at", false);
    let mut count = |key, min: i64, max: u64| {
        let Some(entry) = section.get(key) else { return Some(None) };
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let number = findings.keep(&entry.span, integer(entry.value, min, max))?;
        Some(u64::try_from(number).ok())
    };
    let customer = count("customer", 0, Arrival::CUSTOMER_MAX);
    let operations = count("operations", 1, Arrival::OPERATIONS_MAX);
    Some(At { value: Arrival { at: at?.value, customer: customer?, operations: operations? }, span })
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
