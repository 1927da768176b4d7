//! The parts of a scenario that `[hunt]` can override, and how the parts become a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::diagnostic::Problem;
use crate::document::{At, Findings, Section, Span};
use crate::duration;
use crate::fault::Fault;
use crate::read::ends;
use crate::read::faults::{self, FaultDraft};
use crate::read::load::{self, ArrivalsDraft, JourneyDraft, RateDraft};
use crate::read::settings::{self, SettingsDraft};
use crate::scenario::{Arrival, Arrivals, Expect, Journey, Limits, Play, Rate, Scenario};
use crate::settings::Settings;
use crate::swarm::Swarm;
use crate::vocabulary::SystemVocabulary;

/// What is the same at every size.
pub(super) struct Header<'v> {
    pub(super) name: String,
    pub(super) system: &'v SystemVocabulary,
    pub(super) about: String,
    pub(super) swarm: Option<Swarm>,
    pub(super) expect: Option<Expect>,
    pub(super) play: Play,
}

/// What the file, or its `[hunt]`, says about the parts that differ by size.
pub(super) struct Draft {
    duration: Option<At<Duration>>,
    settle: Option<At<Duration>>,
    journeys: BTreeMap<String, JourneyDraft>,
    settings: SettingsDraft,
    faults: Option<Vec<FaultDraft>>,
    limits: Limits,
}

impl Draft {
    /// Reads the top level of a scenario.
    pub(super) fn read(
        findings: &mut Findings<'_>,
        top: &Section<'_, '_>,
        file: &str,
        system: &SystemVocabulary,
    ) -> Self {
        let load = top.require(findings, "load", "{ journey.NAME = { rate = 100 } }");
        let journeys = load.map(|entry| load::load(findings, &entry, system));
        Self::read_shared(findings, top, journeys, file, system)
    }

    fn read_shared(
        findings: &mut Findings<'_>,
        section: &Section<'_, '_>,
        journeys: Option<BTreeMap<String, JourneyDraft>>,
        file: &str,
        system: &SystemVocabulary,
    ) -> Self {
        let settings = section.get("settings");
        Self {
            duration: section.duration(findings, "duration", true),
            settle: section.duration(findings, "settle", true),
            journeys: journeys.unwrap_or_default(),
            settings: settings
                .map(|entry| settings::from_file(findings, &entry, file, system))
                .unwrap_or_default(),
            faults: section.get("fault").and_then(|entry| faults::faults(findings, &entry, system)),
            limits: ends::limits(findings, section, system),
        }
    }
}

/// Reads `[hunt]`.
pub(super) fn hunt(
    findings: &mut Findings<'_>,
    top: &Section<'_, '_>,
    file: &str,
    system: &SystemVocabulary,
) -> Option<Draft> {
    let entry = top.get("hunt")?;
    let known = ["duration", "settle", "journey", "settings", "fault", "limits"];
    let section = Section::open_entry(findings, &entry, "[hunt]", &known)?;
    let journeys = section.get("journey").map(|entry| load::journeys(findings, &entry, system));
    Some(Draft::read_shared(findings, &section, journeys, file, system))
}

/// Lays `hunt` over the base and checks what only the whole can show. Mistakes in the parts are already noted; parts
/// that could not be read are left out here.
pub(super) fn finish(
    findings: &mut Findings<'_>,
    header: &Header<'_>,
    base: &Draft,
    hunt: Option<&Draft>,
    overrides: &SettingsDraft,
) -> Option<Scenario> {
    let duration = hunt.and_then(|hunt| hunt.duration.as_ref()).or(base.duration.as_ref())?.value;
    let settle = hunt.and_then(|hunt| hunt.settle.as_ref()).or(base.settle.as_ref())?.value;
    let whose = match hunt {
        Some(Draft { duration: Some(_), .. }) => format!("\"{}\" in [hunt]", duration::format(duration)),
        _ => format!("\"{}\"", duration::format(duration)),
    };

    let (mut load, mut customers) = (BTreeMap::new(), BTreeSet::new());
    let no_hunt = BTreeMap::new();
    let hunt_journeys = hunt.map_or(&no_hunt, |hunt| &hunt.journeys);
    let names =
        base.journeys.keys().chain(hunt_journeys.keys().filter(|name| !base.journeys.contains_key(*name)));
    for name in names {
        let drafts = [hunt_journeys.get(name), base.journeys.get(name)];
        let journey = journey(findings, drafts, duration, &whose, &mut customers);
        load.extend(journey.map(|journey| (name.clone(), journey)));
    }

    let mut settings = Settings::defaults(&header.system.settings);
    let hunt_settings = hunt.map(|hunt| &hunt.settings);
    for (key, value) in [Some(&base.settings), hunt_settings, Some(overrides)].into_iter().flatten().flatten()
    {
        settings.set(key, value.clone());
    }

    let drafts = hunt.and_then(|hunt| hunt.faults.as_ref()).or(base.faults.as_ref());
    let faults: Vec<Fault> =
        drafts.map(|drafts| faults::within_load(findings, drafts, duration, &whose)).unwrap_or_default();

    Some(Scenario {
        name: header.name.clone(),
        system: header.system.name.clone(),
        about: header.about.clone(),
        duration,
        settle,
        load,
        settings,
        faults,
        swarm: header.swarm.clone(),
        expect: header.expect.clone(),
        limits: limits(&base.limits, hunt.map(|hunt| &hunt.limits)),
        play: header.play.clone(),
    })
}

/// The limits of the base, but for those that `hunt` says something about: of few operations, the slowest counts for more.
fn limits(base: &Limits, hunt: Option<&Limits>) -> Limits {
    let mut limits = base.clone();
    let Some(hunt) = hunt else { return limits };
    limits.rto = hunt.rto.or(base.rto);
    limits.rpo = hunt.rpo.or(base.rpo);
    limits.latency.extend(hunt.latency.clone());
    limits
}

/// A journey from its drafts, the winning one first. `customers` are the numbers that are taken.
fn journey(
    findings: &mut Findings<'_>,
    drafts: [Option<&JourneyDraft>; 2],
    duration: Duration,
    whose: &str,
    customers: &mut BTreeSet<u64>,
) -> Option<Journey> {
    let given = || drafts.into_iter().flatten();
    if !given().any(|draft| draft.has_arrivals) {
        let named: Span = given().next()?.named.clone();
        let problem = Problem::new("the journey has no rate");
        findings.at(&named, problem.expected("rate = arrivals per second, or arrive = [\"1.2s\", …]"));
    }
    let arrivals = match given().find(|draft| draft.has_arrivals)?.arrivals.as_ref()? {
        ArrivalsDraft::Rate(rate) => Arrivals::Rate(rate_within_load(findings, rate, duration, whose)?),
        ArrivalsDraft::Listed(listed) => {
            Arrivals::Listed(listed_within_load(findings, listed, duration, whose, customers)?)
        }
    };
    Some(Journey { arrivals, patience: given().find_map(|draft| draft.patience) })
}

/// Customers come before the end of the load, and each once.
fn listed_within_load(
    findings: &mut Findings<'_>,
    listed: &[At<Arrival>],
    duration: Duration,
    whose: &str,
    customers: &mut BTreeSet<u64>,
) -> Option<Vec<Arrival>> {
    if let Some(late) = listed.iter().find(|arrival| arrival.value.at >= duration) {
        let problem = Problem::new("this customer comes after the end of the load");
        let expected = format!("a time before the end of the load, which lasts {whose}");
        findings.at(&late.span, problem.expected(expected));
        return None;
    }
    for arrival in listed {
        if let Some(customer) = arrival.value.customer
            && !customers.insert(customer)
        {
            let problem = Problem::new(format!("customer {customer} comes twice"));
            findings.at(&arrival.span, problem.expected("each number once among all journeys"));
            return None;
        }
    }
    let mut arrivals: Vec<Arrival> = listed.iter().map(|arrival| arrival.value).collect();
    arrivals.sort_by_key(|arrival| arrival.at);
    Some(arrivals)
}

/// A step after the end of the load would never happen: it is a mistake.
fn rate_within_load(
    findings: &mut Findings<'_>,
    rate: &RateDraft,
    duration: Duration,
    whose: &str,
) -> Option<Rate> {
    if let Some((late, _)) = rate.iter().find(|(from, _)| from.value >= duration) {
        let problem = Problem::new("this step begins after the end of the load");
        findings.at(
            &late.span,
            problem.expected(format!("a time before the end of the load, which lasts {whose}")),
        );
        return None;
    }
    Some(Rate::from_steps(rate.iter().map(|(from, per_second)| (from.value, *per_second)).collect()))
}
