//! Faults: `[[fault]]`, one by one, and `[swarm]`, drawn by seed.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostic::{Problem, quoted, unknown_name};
use crate::document::{
    At, Entry, Findings, Section, Span, array, describe, integer, name_among, table, texts,
};
use crate::scenario::{Fault, FaultKind};
use crate::swarm::{Swarm, overlap};
use crate::vocabulary::SystemVocabulary;

const KEYS: [&str; 4] = ["at", "for", "kind", "on"];

/// A fault with the places of its times and hosts.
#[derive(Debug, Clone)]
pub(super) struct FaultDraft {
    at: At<Duration>,
    for_: Option<At<Duration>>,
    kind: FaultKind,
    on: At<Vec<String>>,
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
    let names: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    let kind = match table.get("kind") {
        Some(given) => {
            // The other keys depend on the kind: without one they say nothing.
            let name = name_among(given.get_ref(), "kind of fault", &names);
            Some(FaultKind::from_name(findings.keep(&given.span(), name)?)?)
        }
        None => None,
    };
    let section = Section::open(findings, table, span.clone(), "[[fault]]", &KEYS);
    section.require(findings, "kind", "\"crash\"");
    let at = match section.require(findings, "at", "\"10s\", since the start of the load") {
        Some(_) => section.duration(findings, "at", false),
        None => None,
    };
    let for_given = section.get("for").is_some();
    let for_ = section.duration(findings, "for", true);
    let on = section
        .require(findings, "on", "[\"host\", …]")
        .and_then(|entry| Some(At { value: hosts(findings, &entry, system)?, span: entry.span }));
    (for_given == for_.is_some()).then_some(())?;
    Some(FaultDraft { at: at?, for_, kind: kind?, on: on? })
}

/// Hosts of the system, each named once, at least one.
fn hosts(
    findings: &mut Findings<'_>,
    entry: &Entry<'_, '_>,
    system: &SystemVocabulary,
) -> Option<Vec<String>> {
    let valid: Vec<&str> = system.hosts.iter().map(String::as_str).collect();
    let named = findings.keep(&entry.span, texts(entry.value))?;
    if named.is_empty() {
        let expected = format!("at least one host of system {}", system.name);
        findings.at(&entry.span, Problem::new("a fault on no host").expected(expected));
        return None;
    }
    let mut hosts: Vec<String> = Vec::new();
    let mut all_known = true;
    for host in named {
        if !valid.contains(&host.value.as_str()) {
            let what = format!("host of system {}", system.name);
            findings.at(&host.span, unknown_name(&what, &host.value, &valid));
            all_known = false;
        } else if hosts.contains(&host.value) {
            let problem = Problem::new(format!("host {} is named twice", quoted(&host.value)));
            findings.at(&host.span, problem.expected("each host once"));
            all_known = false;
        } else {
            hosts.push(host.value);
        }
    }
    all_known.then_some(hosts)
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
            kind: draft.kind,
            on: draft.on.value.clone(),
        };
        if let Some(other) = faults.iter().find(|other| overlap(other, &fault, duration)) {
            report_overlap(findings, &draft.on.span, other, &fault, duration);
            continue;
        }
        faults.push(fault);
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn report_overlap(findings: &mut Findings<'_>, span: &Span, other: &Fault, fault: &Fault, load: Duration) {
    let host = fault.on.iter().find(|host| other.on.contains(host)).map_or("", String::as_str);
    let problem = Problem::new(format!(
        "host {} is already struck by the fault from {:?} to {:?}",
        quoted(host),
        other.at,
        other.until(load)
    ));
    findings.at(span, problem.expected("faults of the same host one after the other"));
}

/// Reads `[swarm]`.
pub(super) fn swarm(findings: &mut Findings<'_>, top: &Section<'_, '_>) -> Option<Swarm> {
    let entry = top.get("swarm")?;
    let section = Section::open_entry(findings, &entry, "[swarm]", &["faults", "count"])?;
    let names: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    let kinds = section.require(findings, "faults", "[\"crash\"]").and_then(|entry| {
        let items = findings.keep(&entry.span, array(entry.value))?;
        if items.is_empty() {
            findings
                .at(&entry.span, Problem::new("a swarm of no kind of fault").expected("at least one kind"));
        }
        let kind = |item: &Spanned<DeValue<'_>>| {
            let name = findings.keep(&item.span(), name_among(item.as_ref(), "kind of fault", &names))?;
            FaultKind::from_name(name)
        };
        Some(items.iter().filter_map(kind).collect::<Vec<_>>())
    });
    let count = section.require(findings, "count", "[fewest, most]").and_then(|entry| {
        let read = count(entry.value);
        findings.keep(&entry.span, read)
    });
    let (count_min, count_max) = count?;
    Some(Swarm { faults: kinds?, count_min, count_max })
}

fn count(value: &DeValue<'_>) -> Result<(u32, u32), Problem> {
    let expected = "a pair of the fewest and the most faults, such as [0, 5]";
    let [fewest, most] = value.as_array().map_or(&[][..], AsRef::as_ref) else {
        return Err(Problem::new(format!("{} is no range of counts", describe(value))).expected(expected));
    };
    let number = |item: &Spanned<DeValue<'_>>| {
        let count = integer(item.as_ref(), 0, i64::from(Swarm::COUNT_MAX));
        count.map_err(|problem| problem.within(item.span())).map(|count| u32::try_from(count).unwrap_or(0))
    };
    let (fewest, most) = (number(fewest)?, number(most)?);
    if fewest > most {
        return Err(Problem::new("the fewest are more than the most").expected(expected));
    }
    Ok((fewest, most))
}
