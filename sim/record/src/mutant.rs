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
    /// The mistake and its consequence, in one sentence.
    pub about: &'static str,
}
