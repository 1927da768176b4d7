//! What a hunt found: failures of one kind are one group, however many seeds show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NO_END;
use super::message::Task;
use crate::rehearsal::Failure;

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The first that was seen of them, by its seed.
    pub failure: Failure,
    /// What was played there.
    pub task: Task,
    /// Seeds that showed it.
    pub seeds: u64,
    /// Other invariants that were violated with it, in that first run.
    pub with_it: Vec<String>,
    /// The file of the capsule of that first run, where there is one.
    pub capsule: Option<String>,
}

impl Group {
    /// Can the first run of them be played to its end?
    pub fn has_end(&self) -> bool {
        self.failure.of != NO_END
    }
}

/// All groups, by scenario and by what failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    groups: BTreeMap<(usize, String, String), Group>,
}

impl Findings {
    /// Adds a run that was not as it should be: it belongs to the kind of what failed first in it.
    pub(super) fn add(&mut self, task: &Task, failures: &[Failure]) {
        let earliest = failures.iter().min_by(|a, b| {
            let time = |failure: &Failure| failure.at_s.unwrap_or(f64::INFINITY);
            time(a).total_cmp(&time(b))
        });
        let Some(first) = earliest else { return };
        let with_it = failures.iter().filter(|other| other.of != first.of).map(|other| other.of.clone());
        self.join(Group {
            failure: first.clone(),
            task: task.clone(),
            seeds: 1,
            with_it: with_it.collect(),
            capsule: None,
        });
    }

    /// Adds failures of one kind: those of the same kind become one group.
    pub(super) fn join(&mut self, new: Group) {
        let kind = (new.task.scenario, new.failure.of.clone(), new.failure.kind());
        let group = self.groups.entry(kind);
        group
            .and_modify(|known| {
                let seeds = known.seeds.saturating_add(new.seeds);
                // Which seed comes first must not depend on which job, or which machine, was faster.
                if new.task.seed < known.task.seed {
                    *known = new.clone();
                }
                known.seeds = seeds;
            })
            .or_insert(new);
    }

    /// The groups, those that most seeds show first.
    pub fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.seeds), group.task.seed));
        groups
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Was nothing found?
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use record::result::Verdict;
    use scenarios::Strategy;

    use super::*;

    fn task(seed: u64) -> Task {
        Task { scenario: 0, seed, mutants: vec![], strategy: Strategy::Random }
    }

    fn failure(of: &str, what: &str, at_s: f64) -> Failure {
        Failure { at_s: Some(at_s), ..Failure::new(of, what.into(), Verdict::Violated) }
    }

    #[test]
    fn a_run_counts_once_by_what_failed_first_in_it() {
        let mut findings = Findings::default();
        let late = failure("money", "order 7 paid 2 times", 9.0);
        let early = |train: u32| failure("zero-oversell", &format!("train {train} is oversold"), 3.0);
        findings.add(&task(8), &[late.clone(), early(1)]);
        findings.add(&task(5), &[early(2), late.clone()]);
        findings.add(&task(6), &[late]);
        let groups = findings.groups();
        assert_eq!(groups.len(), 2);
        assert_eq!(
            (groups[0].failure.of.as_str(), groups[0].seeds, groups[0].task.seed),
            ("zero-oversell", 2, 5)
        );
        assert_eq!(groups[0].failure.what, "train 2 is oversold");
        assert_eq!(groups[0].with_it, ["money"]);
        assert_eq!((groups[1].failure.of.as_str(), groups[1].seeds), ("money", 1));
    }
}
