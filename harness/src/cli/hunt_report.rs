//! What a hunt says when it ends, and what the shards of one say together: the same words.

use super::{Exit, Format, PlayArgs, SizeArg, run};
use crate::hunt::document::{Conclusion, Document, Shard};
use crate::hunt::{Ended, Group};
use crate::rehearsal::Failure;

/// Groups of failures that are shown, each with its capsule.
pub(super) const SHOWN_GROUPS: usize = 10;
/// Marks that are named; of the others, how many.
const SHOWN_MARKS: usize = 8;
/// Shards that are named; of the others, how many.
const SHOWN_SHARDS: usize = 8;

impl From<Conclusion> for Exit {
    fn from(conclusion: Conclusion) -> Exit {
        match conclusion {
            Conclusion::NothingPlayed => Exit::NothingRan,
            other => other.verdict().into(),
        }
    }
}

/// Prints it, with the shards that are missing when it is to be of all of them; how the command ends.
///
/// # Errors
/// A sentence: it has no JSON.
pub(super) fn print(
    document: &Document,
    conclusion: Conclusion,
    is_whole: bool,
    format: Format,
) -> Result<Exit, String> {
    let text = match format {
        Format::Human => text(document, conclusion, is_whole),
        Format::Json => document.to_json().map_err(|error| format!("internal error: {error}"))?,
    };
    Ok(match run::print(&text) {
        Exit::Held => conclusion.into(),
        other => other,
    })
}

fn text(document: &Document, conclusion: Conclusion, is_whole: bool) -> String {
    let mut text = format!("{}\n\n", sentence(document, conclusion));
    let (wall, simulated) = (document.wall_s, document.simulated_s);
    text += &format!(
        "  seeds        {} in {wall:.1} s, {:.1} per second with {} at once; {:.0} s simulated, {:.0}× real time\n",
        document.played,
        per_second(document.played, wall),
        document.jobs,
        simulated,
        simulated / wall.max(1e-9),
    );
    let is_interrupted = |shard: &&Shard| shard.ended == Ended::Interrupted;
    let interrupted: Vec<u64> =
        document.shards.iter().filter(is_interrupted).map(|shard| shard.number).collect();
    // Of a hunt that is not cut into shards the user knows.
    if document.of > 1 && !interrupted.is_empty() {
        let count = interrupted.len() as u64;
        text += &format!("  interrupted  {}\n", shards(interrupted.into_iter(), count, document.of));
    }
    let missing = document.missing_count();
    if is_whole && missing > 0 {
        text += &format!("  missing      {}\n", shards(document.missing(), missing, document.of));
    }
    for canary in &document.canaries {
        let name = &canary.mutant;
        text += &match canary.seed {
            Some(seed) => format!("  canary       {name} is found, at seed {seed}\n"),
            None => format!("  canary       {name} is NOT found: this hunt proves nothing\n"),
        };
    }
    for taught in &document.taught {
        let name = &document.scenarios[taught.scenario].given;
        let (shown, of) = (taught.as_expected, taught.of);
        text += &format!("  teaching     {name} fails as it says on {shown} of {of} seeds\n");
    }
    let never_reached = never_reached(document);
    text += &format!("  reached      {} places; {never_reached}\n", document.reached.len());
    for (number, group) in document.findings.iter().take(SHOWN_GROUPS).enumerate() {
        text += &format!("\n{}", shown(document, group, number + 1));
    }
    if document.findings.len() > SHOWN_GROUPS {
        text += &format!("\n… and {} more kinds of failure\n", document.findings.len() - SHOWN_GROUPS);
    }
    text
}

/// Seeds per second of real time.
pub(super) fn per_second(played: u64, wall_s: f64) -> f64 {
    played as f64 / wall_s.max(1e-9)
}

/// `2/8, 5/8 and 3 more`.
fn shards(numbers: impl Iterator<Item = u64>, count: u64, of: u64) -> String {
    let named: Vec<String> = numbers.take(SHOWN_SHARDS).map(|number| format!("{number}/{of}")).collect();
    let more = count.saturating_sub(named.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

fn sentence(document: &Document, conclusion: Conclusion) -> String {
    let kinds = match document.findings.len() {
        1 => "1 kind".to_owned(),
        kinds => format!("{kinds} kinds"),
    };
    match conclusion {
        Conclusion::Held => "held: nothing found".to_owned(),
        Conclusion::Violated => format!("violated: {kinds} of failure"),
        Conclusion::Slow => format!("slow: {kinds} of limit missed"),
        Conclusion::NothingPlayed => "nothing was played".to_owned(),
        Conclusion::ShardsMissing => {
            let (missing, of) = (document.missing_count(), document.of);
            let verb = if missing == 1 { "is" } else { "are" };
            format!("invalid: nothing found, but {missing} of {of} shards {verb} missing")
        }
        Conclusion::CanaryMissed => {
            "invalid: a planted mistake was not found, so nothing is proved".to_owned()
        }
        Conclusion::NotTaught => "invalid: a scenario that is made to fail did not".to_owned(),
        Conclusion::Interrupted => "invalid: nothing found, but it was interrupted before its end".to_owned(),
    }
}

fn never_reached(document: &Document) -> String {
    let marks = &document.never_reached;
    if marks.is_empty() {
        return "all that there are".to_owned();
    }
    let named: Vec<&str> = marks.iter().take(SHOWN_MARKS).map(String::as_str).collect();
    let more = marks.len().saturating_sub(SHOWN_MARKS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("never {}{more}", named.join(", "))
}

/// A kind of failure, and how to play it again.
fn shown(document: &Document, group: &Group, number: usize) -> String {
    let Failure { of, what, at_s, .. } = &group.failure;
    let subject = &document.scenarios[group.task.scenario];
    let (given, seed) = (&subject.given, group.task.seed);
    let at = at_s.map(|at| format!(" at {at:.3} s")).unwrap_or_default();
    let seeds = if group.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", group.seeds) };
    let mut text = format!("{number}. {of}: {seeds} of {given}, first {seed}{at}\n   {what}\n");
    if !group.with_it.is_empty() {
        text += &format!("   with it: {}\n", group.with_it.join(", "));
    }
    if let Some(path) = &group.capsule {
        text += &format!("   rehearse replay {}\n", run::quoted(path));
    }
    text += &format!("   {}\n", run::replay_line(&again(given, &subject.set, group), seed));
    text
}

/// What plays the first of a kind of failure again.
pub(super) fn again(given: &str, set: &[(String, String)], group: &Group) -> PlayArgs {
    PlayArgs {
        set: set.to_vec(),
        size: SizeArg::Hunt,
        mutant: group.task.mutants.clone(),
        strategy: Some(group.task.strategy),
        ..PlayArgs::of(given, group.task.seed)
    }
}
