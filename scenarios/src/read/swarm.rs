//! Faults drawn by seed: `[swarm]`.

use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostic::Problem;
use crate::document::{Findings, Section, array, describe, integer, name_among};
use crate::fault::FaultKind;
use crate::swarm::Swarm;

/// Reads `[swarm]`.
pub(super) fn swarm(findings: &mut Findings<'_>, top: &Section<'_, '_>) -> Option<Swarm> {
    let entry = top.get("swarm")?;
    let section = Section::open_entry(findings, &entry, "[swarm]", &["faults", "count"])?;
    let names = FaultKind::names();
    let kinds = section.require(findings, "faults", "[\"crash\", …]").and_then(|entry| {
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
