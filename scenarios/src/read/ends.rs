//! How a run is judged: `[expect]` and `[limits]`.

use std::collections::BTreeMap;

use record::result::Verdict;

use crate::diagnostic::{Problem, unknown_name};
use crate::document::{Findings, Section, entries, name_among, table};
use crate::scenario::{Expect, Limits, Percentile};
use crate::vocabulary::SystemVocabulary;

const VERDICTS: [(&str, Verdict); 2] = [("violated", Verdict::Violated), ("slow", Verdict::Slow)];

/// Reads `[expect]`.
pub(super) fn expect(
    findings: &mut Findings<'_>,
    top: &Section<'_, '_>,
    system: &SystemVocabulary,
) -> Option<Expect> {
    let entry = top.get("expect")?;
    let section = Section::open_entry(findings, &entry, "[expect]", &["verdict", "invariant"])?;
    let names = VERDICTS.map(|(name, _)| name);
    let verdict = section.require(findings, "verdict", "\"violated\"").and_then(|entry| {
        let given = findings.keep(&entry.span, name_among(entry.value, "verdict to expect", &names))?;
        VERDICTS.iter().find(|(name, _)| *name == given).map(|(_, verdict)| *verdict)
    });
    let invariants: Vec<&str> = system.invariants.iter().map(String::as_str).collect();
    let entry = section.get("invariant");
    if let Some(entry) = &entry
        && verdict == Some(Verdict::Slow)
    {
        let problem = Problem::new("a run that is slow violates no invariant");
        findings.at(&entry.key_span, problem.expected("no invariant, or verdict = \"violated\""));
    }
    let what = format!("invariant of system {}", system.name);
    let invariant = entry
        .and_then(|entry| findings.keep(&entry.span, name_among(entry.value, &what, &invariants)))
        .map(str::to_owned);
    Some(Expect { verdict: verdict?, invariant })
}

/// Reads `[limits]`.
pub(super) fn limits(
    findings: &mut Findings<'_>,
    top: &Section<'_, '_>,
    system: &SystemVocabulary,
) -> Limits {
    let mut limits = Limits::default();
    let Some(entry) = top.get("limits") else { return limits };
    let known = ["rto", "rpo", "latency"];
    let Some(section) = Section::open_entry(findings, &entry, "[limits]", &known) else { return limits };
    limits.rto = section.duration(findings, "rto", false).map(|limit| limit.value);
    limits.rpo = section.duration(findings, "rpo", false).map(|limit| limit.value);
    let Some(latency) = section.get("latency") else { return limits };
    let Some(operations) = findings.keep(&latency.span, table(latency.value)) else { return limits };
    let valid: Vec<&str> = system.operations.iter().map(String::as_str).collect();
    for operation in entries(operations) {
        if !valid.contains(&operation.key) {
            findings
                .at(&operation.key_span, unknown_operation(operation.key, operation.value, &valid, system));
            continue;
        }
        let names: Vec<&str> = Percentile::ALL.iter().map(|percentile| percentile.name()).collect();
        let Some(section) = Section::open_entry(findings, &operation, "a latency limit", &names) else {
            continue;
        };
        let mut by_percentile = BTreeMap::new();
        for entry in section.entries() {
            let Some(percentile) = Percentile::from_name(entry.key) else { continue };
            let limit = section.duration(findings, entry.key, true);
            by_percentile.extend(limit.map(|limit| (percentile, limit.value)));
        }
        if section.entries().is_empty() {
            let problem = Problem::new("a latency limit without a percentile");
            findings.at(&operation.span, problem.expected("{ p95 = \"3s\" }"));
        }
        limits.latency.insert(operation.key.to_owned(), by_percentile);
    }
    limits
}

/// An unknown operation, often because the quotes are missing: `latency.order.submit` is a table in a table.
fn unknown_operation(
    given: &str,
    value: &toml::de::DeValue<'_>,
    valid: &[&str],
    system: &SystemVocabulary,
) -> Problem {
    let inner = value.as_table().and_then(|table| entries(table).into_iter().next());
    let dotted = inner.map(|inner| format!("{given}.{}", inner.key));
    if let Some(meant) = dotted.filter(|dotted| valid.contains(&dotted.as_str())) {
        return Problem::new("the name of an operation contains a dot and stands in quotes")
            .expected(format!("latency.\"{meant}\""));
    }
    unknown_name(&format!("operation of system {}", system.name), given, valid)
}
