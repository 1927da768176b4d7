//! What led to each violated invariant, told by a second, identical run that keeps only what has to do with it.

use std::collections::BTreeSet;
use std::time::Duration;

use record::history::History;
use record::result::Violation;
use record::story::{Line, Sieve};
use record::timeline::ViolationStory;
use reports::story::{Focus, chosen, sift};

use crate::rehearsal::Played;

/// The most lines of a story: those nearest to the moment that say most.
const LINES_MAX: usize = 400;
/// So many lines are kept before what nobody wants is taken away.
const SIFTED_AT: usize = 60_000;
/// So many lines may turn out to be wanted.
const RECENT: usize = 10_000;
/// Shorter words are not taken for ids.
const ID_MIN: usize = 6;

/// A violation, and what its story is to be about.
#[derive(Debug, Clone)]
pub struct Matter {
    invariant: String,
    focus: Focus,
}

/// One for each violated invariant of a run.
pub fn matters(played: &Played) -> Vec<Matter> {
    let violated = played.result.invariants.iter().filter_map(|invariant| {
        let violation = invariant.first_violation.as_ref()?;
        let Violation { at_s, what, operations } = violation;
        let ids = ids(what, operations, &played.history).into_iter().collect();
        // What comes after it does not explain it.
        let until = Duration::try_from_secs_f64(at_s + 1e-6).ok();
        Some(Matter { invariant: invariant.name.clone(), focus: Focus { ids, until, most: Some(LINES_MAX) } })
    });
    violated.collect()
}

/// Keeps what these matters need of a story while it is told.
pub(crate) fn sieve(matters: &[Matter]) -> Sieve {
    let focuses: Vec<Focus> = matters.iter().map(|matter| matter.focus.clone()).collect();
    let until = focuses.iter().map(|focus| focus.until.unwrap_or(Duration::MAX)).max().unwrap_or_default();
    Sieve { until, most: SIFTED_AT, sift: Box::new(move |lines| sift(lines, &focuses, RECENT)) }
}

/// The stories, of a run that kept the lines of these matters, or all.
pub fn of(matters: &[Matter], lines: &[Line]) -> Vec<ViolationStory> {
    let story = |matter: &Matter| ViolationStory {
        invariant: matter.invariant.clone(),
        lines: chosen(lines, &matter.focus),
    };
    matters.iter().map(story).collect()
}

/// What a failure has to do with: its operations, what they were answered, and what its sentence names.
pub(crate) fn ids(what: &str, operations: &[u64], history: &History) -> BTreeSet<String> {
    let mut ids: BTreeSet<String> = ids_of(what).collect();
    history.with_operations(|all| {
        let found = operations.iter().filter_map(|id| all.get(usize::try_from(*id).ok()?));
        for operation in found {
            ids.insert(operation.id.to_string());
            ids.extend(ids_of(operation.value.as_deref().unwrap_or_default()));
        }
    });
    ids
}

/// The words that look like ids: with digits, and longer than numbers are.
fn ids_of(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '@' || c == '_'));
    let is_id = |word: &&str| word.len() >= ID_MIN && word.contains(|c: char| c.is_ascii_digit());
    words.filter(is_id).map(str::to_owned)
}
