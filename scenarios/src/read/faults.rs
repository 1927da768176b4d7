//! Faults: `[[fault]]`, one by one, and when they happen together.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostic::{Problem, quoted};
use crate::document::{At, Entry, Findings, Section, Span, array, name_among, table};
use crate::fault::{Fault, FaultKind};
use crate::read::strikes::{self, Struck};
use crate::vocabulary::SystemVocabulary;

/// The keys of every fault; those of its kind come on top.
const KEYS: [&str; 3] = ["at", "for", "kind"];

/// A fault with the places of its times and hosts.
#[derive(Debug, Clone)]
pub(super) struct FaultDraft {
    at: At<Duration>,
    for_: Option<At<Duration>>,
    struck: Struck,
}

/// Reads the list of faults: `[[fault]]`, or `fault = []` to have none.
pub(super) fn faults(
    findings: &mut Findings<'_>,
    entry: &Entry<'_, '_>,
    system: &SystemVocabulary,
) -> Option<Vec<FaultDraft>> {
    let items = match entry.value {
        DeValue::Table(_) => Err(Problem::new("[fault] is a single table").expected("a list: [[fault]]")),
        value => array(value),
    };
    let items = findings.keep(&entry.span, items)?;
    Some(items.iter().filter_map(|item| fault(findings, item, system)).collect())
}

fn fault(
    findings: &mut Findings<'_>,
    item: &Spanned<DeValue<'_>>,
    system: &SystemVocabulary,
) -> Option<FaultDraft> {
    let span = item.span();
    let table = findings.keep(&span, table(item.as_ref()))?;
    let kind = match table.get("kind") {
        Some(given) => {
            // The other keys depend on the kind: without one they say nothing.
            let name = name_among(given.get_ref(), "kind of fault", &FaultKind::names());
            Some(FaultKind::from_name(findings.keep(&given.span(), name)?)?)
        }
        None => None,
    };
    let section = match kind {
        Some(kind) => {
            let common = KEYS.iter().copied().filter(|key| *key != "for" || !kind.is_momentary());
            let known: Vec<&str> = common.chain(strikes::keys(kind)).collect();
            Section::open(findings, table, span, &strikes::title(kind), &known)
        }
        None => {
            let specific = FaultKind::ALL.iter().flat_map(|kind| strikes::keys(*kind));
            let known: Vec<&str> = KEYS.into_iter().chain(specific).collect();
            Section::open(findings, table, span, "[[fault]]", &known)
        }
    };
    section.require(findings, "kind", "\"crash\", for example");
    let at = match section.require(findings, "at", "\"10s\", since the start of the load") {
        Some(_) => section.duration(findings, "at", false),
        None => None,
    };
    let for_given = section.get("for").is_some();
    let for_ = section.duration(findings, "for", true);
    let struck = strikes::read(findings, &section, kind?, system);
    (for_given == for_.is_some()).then_some(())?;
    Some(FaultDraft { at: at?, for_, struck: struck? })
}

/// The faults of a load of this duration, ordered by start. `whose` names the load in messages.
pub(super) fn within_load(
    findings: &mut Findings<'_>,
    drafts: &[FaultDraft],
    duration: Duration,
    whose: &str,
) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for draft in drafts {
        let limit = || format!("a time before the end of the load, which lasts {whose}");
        if draft.at.value >= duration {
            let problem = Problem::new("the fault begins after the end of the load");
            findings.at(&draft.at.span, problem.expected(limit()));
            continue;
        }
        if let Some(lasts) = &draft.for_
            && lasts.value > duration - draft.at.value
        {
            let problem = Problem::new("the fault lasts beyond the end of the load, when every fault heals");
            findings.at(&lasts.span, problem.expected(limit()));
            continue;
        }
        let fault = Fault {
            at: draft.at.value,
            for_: draft.for_.as_ref().map(|lasts| lasts.value),
            strike: draft.struck.strike.clone(),
        };
        let excluded = faults.iter().find_map(|other| Some((other, fault.excludes(other, duration)?)));
        if let Some((other, host)) = excluded {
            report_overlap(findings, &draft.struck.place, other, host, duration);
            continue;
        }
        faults.push(fault);
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn report_overlap(findings: &mut Findings<'_>, span: &Span, other: &Fault, host: &str, load: Duration) {
    let (kind, from, to) = (other.kind(), other.at, other.until(load));
    let problem = Problem::new(format!(
        "host {} is already struck by the fault {} from {from:?} to {to:?}",
        quoted(host),
        quoted(kind.name())
    ));
    findings.at(span, problem.expected("such faults of the same host one after the other"));
}
