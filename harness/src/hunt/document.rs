//! What a hunt leaves: one JSON document, and what the documents of many machines come to together.
//!
//! The shards of a hunt play different seeds of the same scenarios with the same build. Merged, they say what one hunt of
//! all the seeds would have said: a kind of failure is one group, and the lowest seed that shows it stands for it,
//! whichever shard comes first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use record::result::Verdict;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{Ended, Findings, Group, Hunt, Hunted, Mix};
use crate::capsule::Build;

/// The version of the shape of [`Document`].
pub const SCHEMA: u32 = 1;
/// The name of the file of a document.
pub const FILE: &str = "hunt.json";

/// What a hunt, or several shards of one, came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// What it was played by.
    pub build: Build,
    /// What was played, in the order by which [`Task::scenario`](super::Task::scenario) counts.
    pub scenarios: Vec<Subject>,
    /// The planted mistakes that were switched on.
    pub mutants: Vec<String>,
    /// Who ran next among tasks that were ready.
    pub strategy: Mix,
    /// The seeds of the whole hunt, those of other shards included.
    pub seeds: Seeds,
    /// Into how many shards the hunt is cut.
    pub of: u64,
    /// The shards that this tells of, by their number.
    pub shards: Vec<Shard>,
    /// What it comes to. A shard alone is judged by what it shows; all together, by all that must be shown.
    pub verdict: Verdict,
    /// Seeds that were played to an end, each scenario counted.
    pub played: u64,
    /// Simulated time of all of them, in seconds.
    pub simulated_s: f64,
    /// Real time in seconds; of several shards, which play at the same time, that of the slowest.
    pub wall_s: f64,
    /// Processes that played at once, those of all shards together.
    pub jobs: u64,
    /// The planted mistakes that had to be found, to prove that one would have been.
    pub canaries: Vec<Canary>,
    /// The scenarios that are made to fail.
    pub taught: Vec<Taught>,
    /// Marks that some seed came by.
    pub reached: BTreeSet<String>,
    /// Marks that no seed came by.
    pub never_reached: BTreeSet<String>,
    /// What was found, what most seeds show first.
    pub findings: Vec<Group>,
}

/// A scenario that was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// How the user names it: `ticketing/peak`, or a path.
    pub given: String,
    /// The XXH3-128 hash of its text, 32 hex digits.
    pub text: String,
    /// Settings that override the file's.
    pub set: Vec<(String, String)>,
    /// How often the first seed of the hunt polls a task in it; `None` when it was not measured.
    pub polls: Option<u64>,
}

/// The seeds of a hunt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// The first one.
    pub from: u64,
    /// The one after the last; `None` for as many as there is time for.
    pub to: Option<u64>,
}

/// A shard of a hunt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// From 1.
    pub number: u64,
    /// Why it ended.
    pub ended: Ended,
}

/// A planted mistake that had to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Its name.
    pub mutant: String,
    /// The seed that found it; `None`: no seed did.
    pub seed: Option<u64>,
}

/// How a scenario that is made to fail did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taught {
    /// Its place among the scenarios.
    pub scenario: usize,
    /// On so many seeds it failed as it says…
    pub as_expected: u64,
    /// …of so many.
    pub of: u64,
}

/// What a hunt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing was found, and it would have been.
    Held,
    /// An invariant was violated.
    Violated,
    /// Only limits of latency were missed.
    Slow,
    /// No seed was played.
    NothingPlayed,
    /// Nothing was found by those shards that are there.
    ShardsMissing,
    /// A canary was not found.
    CanaryMissed,
    /// A scenario that is made to fail never did.
    NotTaught,
    /// Nothing was found until somebody stopped it.
    Interrupted,
}

impl Conclusion {
    /// The verdict that goes with it.
    pub fn verdict(self) -> Verdict {
        match self {
            Conclusion::Held => Verdict::Held,
            Conclusion::Violated => Verdict::Violated,
            Conclusion::Slow => Verdict::Slow,
            _ => Verdict::Invalid,
        }
    }
}

/// What documents of one hunt all say.
type Said<'a> = &'a dyn Fn(&Document) -> String;

impl Document {
    /// What a hunt came to, or, before it begins, that it came to nothing yet.
    pub fn new(hunt: &Hunt, hunted: &Hunted) -> Document {
        let (remainder, of) = hunt.shard;
        let subject = |(place, target): (usize, &crate::target::Target)| Subject {
            given: target.given.clone(),
            text: format!("{:032x}", xxh3_128(target.text.as_bytes())),
            set: target.set.clone(),
            polls: hunted.polls.get(place).copied(),
        };
        let canary = |(mutant, seed): &(String, Option<u64>)| Canary { mutant: mutant.clone(), seed: *seed };
        let taught =
            |(&scenario, &(as_expected, of)): (&usize, &(u64, u64))| Taught { scenario, as_expected, of };
        let to = Some(hunt.seeds.end).filter(|to| *to < u64::MAX);
        let document = Document {
            schema: SCHEMA,
            build: Build::current(),
            scenarios: hunt.targets.iter().enumerate().map(subject).collect(),
            mutants: hunt.mutants.clone(),
            strategy: hunt.mix,
            seeds: Seeds { from: hunt.seeds.start, to },
            of,
            shards: vec![Shard { number: remainder + 1, ended: hunted.ended }],
            verdict: Verdict::Invalid,
            played: hunted.played,
            simulated_s: hunted.simulated.as_secs_f64(),
            wall_s: hunted.wall.as_secs_f64(),
            jobs: hunt.jobs as u64,
            canaries: hunted.canaries.iter().map(canary).collect(),
            taught: hunted.taught.iter().map(taught).collect(),
            reached: hunted.reached.clone(),
            never_reached: hunted.never_reached.clone(),
            findings: hunted.findings.groups().into_iter().cloned().collect(),
        };
        Document { verdict: document.conclusion(of == 1).verdict(), ..document }
    }

    /// What it comes to; `is_whole` when there are no other shards to wait for.
    pub fn conclusion(&self, is_whole: bool) -> Conclusion {
        let is_interrupted = self.shards.iter().any(|shard| shard.ended == Ended::Interrupted);
        if !self.findings.is_empty() {
            let is_slow = |group: &Group| group.failure.verdict == Verdict::Slow;
            let all_slow = self.findings.iter().all(is_slow);
            return if all_slow { Conclusion::Slow } else { Conclusion::Violated };
        }
        if is_whole && self.missing_count() > 0 {
            return Conclusion::ShardsMissing;
        }
        if self.played == 0 && !is_interrupted {
            return Conclusion::NothingPlayed;
        }
        if self.canaries.iter().any(|canary| canary.seed.is_none()) {
            return Conclusion::CanaryMissed;
        }
        // The few seeds of a shard need not show it.
        if is_whole && self.taught.iter().any(|taught| taught.as_expected == 0) {
            return Conclusion::NotTaught;
        }
        if is_interrupted { Conclusion::Interrupted } else { Conclusion::Held }
    }

    /// The numbers of the shards that this does not tell of.
    pub fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        (1..=self.of).filter(|number| self.shards.iter().all(|shard| shard.number != *number))
    }

    /// How many they are.
    pub fn missing_count(&self) -> u64 {
        self.of.saturating_sub(self.shards.len() as u64)
    }

    /// The document as JSON, with a line break at its end.
    ///
    /// # Errors
    /// Never, in practice: a number that JSON does not know.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, after `LINE:COLUMN: ` where there is such a place.
    pub fn from_json(text: &[u8]) -> Result<Document, String> {
        let document: Document = serde_json::from_slice(text).map_err(|error| {
            format!("{}:{}: not what a hunt leaves: {error}", error.line(), error.column())
        })?;
        if document.schema != SCHEMA {
            return Err(format!(" a hunt of schema {}, expected {SCHEMA}", document.schema));
        }
        let mut numbers = BTreeSet::new();
        let is_right =
            |shard: &Shard| (1..=document.of).contains(&shard.number) && numbers.insert(shard.number);
        if document.shards.is_empty() || !document.shards.iter().all(is_right) {
            return Err(format!(" its shards are not from 1 to {}, each once", document.of));
        }
        let in_findings = document.findings.iter().map(|group| group.task.scenario);
        let in_taught = document.taught.iter().map(|taught| taught.scenario);
        match in_findings.chain(in_taught).find(|place| *place >= document.scenarios.len()) {
            Some(place) => Err(format!(" it has no scenario number {place}")),
            None => Ok(document),
        }
    }

    /// The first that makes this the document of another hunt: what it is, here and there.
    fn difference(&self, other: &Document) -> Option<(&'static str, String, String)> {
        let build = |document: &Document| {
            let Build { version, executable } = &document.build;
            format!("{version} ({executable})")
        };
        let names = |document: &Document| {
            document.scenarios.iter().map(|subject| subject.given.clone()).collect::<Vec<_>>().join(", ")
        };
        let seeds = |document: &Document| match document.seeds {
            Seeds { from, to: Some(to) } => format!("{from}..{to}"),
            Seeds { from, to: None } => format!("{from}.."),
        };
        let strategy = |document: &Document| format!("{:?}", document.strategy).to_lowercase();
        let whole: [(&'static str, Said<'_>); 6] = [
            ("the build", &build),
            ("the number of shards", &|document| document.of.to_string()),
            ("the seeds", &seeds),
            ("the scenarios", &names),
            ("the planted mistakes", &|document| format!("[{}]", document.mutants.join(", "))),
            ("the strategy", &strategy),
        ];
        let differing = |what, mine: String, others: String| (mine != others).then_some((what, mine, others));
        let found = whole.into_iter().find_map(|(what, said)| differing(what, said(self), said(other)));
        found.or_else(|| {
            let pairs = self.scenarios.iter().zip(&other.scenarios);
            pairs.into_iter().find_map(|(mine, others)| mine.difference(others))
        })
    }
}

impl Subject {
    fn difference(&self, other: &Subject) -> Option<(&'static str, String, String)> {
        let said = |text: &str| format!("{} ({text})", self.given);
        if self.text != other.text {
            return Some(("the text of a scenario", said(&self.text), said(&other.text)));
        }
        if self.set != other.set {
            let set = |subject: &Subject| {
                let pairs = subject.set.iter().map(|(key, value)| format!("{key}={value}"));
                said(&pairs.collect::<Vec<_>>().join(", "))
            };
            return Some(("the settings", set(self), set(other)));
        }
        // The same seed of the same text: what else it reads, a timetable for example, is another.
        match (self.polls, other.polls) {
            (Some(mine), Some(others)) if mine != others => {
                let polls = |polls: u64| said(&format!("{polls} polls"));
                Some((
                    "how the first seed goes, by a file that a setting names perhaps",
                    polls(mine),
                    polls(others),
                ))
            }
            _ => None,
        }
    }
}

/// Why documents are not those of one hunt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// They differ in what must be the same.
    #[error("{one} and {other} are not of one hunt, they differ in {what}: {mine}, and {others}")]
    Differs {
        /// Where the one was found.
        one: String,
        /// Where the other was found.
        other: String,
        /// What differs.
        what: &'static str,
        /// What the one says.
        mine: String,
        /// What the other says.
        others: String,
    },
    /// Both tell of the same shard.
    #[error("{one} and {other} both tell of shard {number}/{of}")]
    Twice {
        /// Where the one was found.
        one: String,
        /// Where the other was found.
        other: String,
        /// The shard.
        number: u64,
        /// Of so many.
        of: u64,
    },
}

/// What the documents of a hunt come to together, whatever their order; each with where it was found. `None` of none.
///
/// # Errors
/// They are not of one hunt.
pub fn merge(documents: &[(String, Document)]) -> Result<Option<Document>, Mismatch> {
    let Some((first_name, first)) = documents.first() else { return Ok(None) };
    let mut told: BTreeMap<u64, (&str, Shard)> = BTreeMap::new();
    for (name, document) in documents {
        if let Some((what, mine, others)) = first.difference(document) {
            return Err(Mismatch::Differs {
                one: first_name.clone(),
                other: name.clone(),
                what,
                mine,
                others,
            });
        }
        for shard in &document.shards {
            if let Some((other, _)) = told.insert(shard.number, (name, *shard)) {
                let (number, of) = (shard.number, document.of);
                return Err(Mismatch::Twice { one: other.to_owned(), other: name.clone(), number, of });
            }
        }
    }
    let mut findings = Findings::default();
    let mut simulated = Duration::ZERO;
    let mut whole = Document { findings: Vec::new(), taught: Vec::new(), ..first.clone() };
    (whole.played, whole.jobs, whole.wall_s) = (0, 0, 0.0);
    for (_, document) in documents {
        whole.played = whole.played.saturating_add(document.played);
        whole.jobs = whole.jobs.saturating_add(document.jobs);
        whole.wall_s = whole.wall_s.max(document.wall_s);
        let more = Duration::try_from_secs_f64(document.simulated_s).unwrap_or_default();
        simulated = simulated.saturating_add(more);
        whole.reached.extend(document.reached.iter().cloned());
        whole.never_reached.extend(document.never_reached.iter().cloned());
        document.findings.iter().cloned().for_each(|group| findings.join(group));
        for (known, new) in whole.scenarios.iter_mut().zip(&document.scenarios) {
            known.polls = known.polls.or(new.polls);
        }
        join_canaries(&mut whole.canaries, &document.canaries);
        join_taught(&mut whole.taught, &document.taught);
    }
    whole.simulated_s = simulated.as_secs_f64();
    let reached = &whole.reached;
    whole.never_reached.retain(|mark| !reached.contains(mark));
    whole.findings = findings.groups().into_iter().cloned().collect();
    whole.shards = told.into_values().map(|(_, shard)| shard).collect();
    whole.verdict = whole.conclusion(true).verdict();
    Ok(Some(whole))
}

/// All shards prove themselves on the same seeds: a canary counts when it is found wherever it was looked for.
fn join_canaries(known: &mut Vec<Canary>, new: &[Canary]) {
    for (known, new) in known.iter_mut().zip(new) {
        known.seed = known.seed.zip(new.seed).map(|(known, new)| known.min(new));
    }
    known.extend(new.iter().skip(known.len()).cloned());
}

fn join_taught(known: &mut Vec<Taught>, new: &[Taught]) {
    for new in new {
        match known.iter_mut().find(|known| known.scenario == new.scenario) {
            Some(known) => {
                known.as_expected = known.as_expected.saturating_add(new.as_expected);
                known.of = known.of.saturating_add(new.of);
            }
            None => known.push(*new),
        }
    }
    known.sort_by_key(|taught| taught.scenario);
}

#[cfg(test)]
mod tests;
