//! Planted bugs, as the catalogue shows them.

use serde::Serialize;

/// A planted bug: a plausible mistake in a service or a client, off unless a run switches it on by name.
///
/// A mutant that its scenario does not find is a hole in the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mutant {
    /// What switches it on, prefixed with the system or the middleware that it is planted in:
    /// `ticketing.deduct-check-then-set`, `redis.client.wait-answer-ignored`.
    pub name: &'static str,
    /// The system whose scenario finds it: `ticketing`.
    pub system: &'static str,
    /// The scenario that finds it: `ticketing/peak`.
    pub scenario: &'static str,
    /// What it takes to fail.
    pub kind: Kind,
    /// The mistake and its consequence, in one sentence.
    pub about: &'static str,
}

/// What it takes for a planted bug to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// That the line is come by, in whatever order.
    WrongLine,
    /// That two hosts, or a host and a fault, meet in a certain order.
    Race,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::WrongLine => "wrong line",
            Kind::Race => "race",
        })
    }
}
