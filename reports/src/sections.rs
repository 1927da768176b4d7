//! What the terminal and the summary show, without its look: a title, columns, and rows with marks and notes.

use record::result::{InvariantResult, OperationStats, Recovery, RunResult, Verdict, Violation};
use record::table::Table;

use crate::limits::{Limit, limits};
use crate::units;

/// How many operation ids of a violation are shown; `result.json` has them all.
const OPERATIONS_SHOWN: usize = 12;

/// How many places that a run never came by are named; `summary.md` has them all.
const MISSED_SHOWN: usize = 3;

/// The heads of the counts of operations.
const OUTCOMES: &str =
    "ok: acknowledged · refused: a clear no · failed: nothing happened · unknown: no answer";

/// A part of a report: a table under a title.
pub(crate) struct Section {
    pub(crate) title: String,
    /// A first column without a head is named by the title.
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    /// What the heads mean, where that is not plain.
    pub(crate) legend: Option<&'static str>,
}

/// A column of a section.
pub(crate) struct Column {
    pub(crate) head: String,
    pub(crate) align: Align,
}

/// On which side the cells of a column line up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A row of a section; missing cells are empty.
pub(crate) struct Row {
    pub(crate) mark: Option<Mark>,
    pub(crate) cells: Vec<String>,
    /// Sentences that belong to the row.
    pub(crate) notes: Vec<String>,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Good,
    Bad,
    Unclear,
}

impl Mark {
    fn of(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Unclear => "?",
        }
    }
}

/// The mark of a whole run.
pub(crate) fn verdict_mark(verdict: Verdict) -> Mark {
    match verdict {
        Verdict::Held => Mark::Good,
        Verdict::Violated | Verdict::Slow => Mark::Bad,
        Verdict::Invalid => Mark::Unclear,
    }
}

/// The verdict in one sentence.
pub(crate) fn verdict_sentence(result: &RunResult) -> String {
    match result.verdict {
        Verdict::Held => {
            let met = match limits(result).len() {
                0 => String::new(),
                all => format!("; {} met", units::counted(all, "limit")),
            };
            format!("{}{met}.", held_sentence(result))
        }
        Verdict::Slow => {
            let limits = limits(result);
            let missed = limits.iter().filter(|limit| !limit.met).map(Limit::name);
            format!("{}; limits missed: {}.", held_sentence(result), listed(missed))
        }
        Verdict::Violated => violated_sentence(result),
        Verdict::Invalid => {
            "The run proves nothing: the load generator was saturated, or the engine diverged.".to_owned()
        }
    }
}

fn held_sentence(result: &RunResult) -> String {
    let invariants = result.invariants.len();
    let checks = result.invariants.iter().fold(0_u64, |sum, invariant| sum.saturating_add(invariant.checks));
    let checked = result.invariants.iter().filter(|invariant| invariant.checks > 0).count();
    match checked {
        0 => "No invariant was checked".to_owned(),
        _ if checked < invariants => {
            format!(
                "{checked} of {invariants} invariants held over {} checks, the rest was never checked",
                units::count(checks)
            )
        }
        1 => format!("The invariant held over {} checks", units::count(checks)),
        _ => format!("All {invariants} invariants held over {} checks", units::count(checks)),
    }
}

fn violated_sentence(result: &RunResult) -> String {
    let broken: Vec<_> = result.invariants.iter().filter(|invariant| !invariant.held).collect();
    let names = listed(broken.iter().map(|invariant| match &invariant.first_violation {
        Some(violation) => format!("{} at {}", invariant.name, units::seconds(violation.at_s)),
        None => invariant.name.clone(),
    }));
    match broken.len() {
        0 => "An invariant was violated.".to_owned(),
        1 => format!("Violated: {names}."),
        several => format!("{several} of {} invariants violated: {names}.", result.invariants.len()),
    }
}

impl Section {
    pub(crate) fn new(title: &str, columns: Vec<Column>, rows: Vec<Row>) -> Self {
        Self { title: title.to_owned(), columns, rows, legend: None }
    }

    /// This section and the columns of `other` after the first, row by row.
    fn beside(mut self, other: Self) -> Self {
        self.columns.extend(other.columns.into_iter().skip(1));
        for (row, more) in self.rows.iter_mut().zip(other.rows) {
            row.cells.extend(more.cells.into_iter().skip(1));
        }
        self
    }
}

impl Row {
    fn of(cells: Vec<String>) -> Self {
        Self { mark: None, cells, notes: Vec::new() }
    }
}

pub(crate) fn left(head: &str) -> Column {
    Column { head: head.to_owned(), align: Align::Left }
}

pub(crate) fn right(head: &str) -> Column {
    Column { head: head.to_owned(), align: Align::Right }
}

/// The limits with what was observed; no rows if the scenario has none.
pub(crate) fn limits_section(result: &RunResult) -> Section {
    let rows = limits(result).into_iter().map(|limit| Row {
        mark: Some(Mark::of(limit.met)),
        cells: vec![limit.name(), limit.observed(), limit.limit],
        notes: Vec::new(),
    });
    Section::new("Limits", vec![left(""), right("observed"), right("limit")], rows.collect())
}

/// A system's own table. A column whose cells are all figures lines up on the right.
pub(crate) fn system_table(table: &Table) -> Section {
    let columns = table.columns.iter().enumerate().map(|(index, head)| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(index)).peekable();
        let figures = cells.peek().is_some() && cells.all(|cell| is_figure(cell));
        Column { head: head.clone(), align: if figures { Align::Right } else { Align::Left } }
    });
    let rows = table.rows.iter().map(|row| Row::of(row.clone()));
    Section::new(&table.title, columns.collect(), rows.collect())
}

/// Whether a cell is made of digits, signs, separators and the letters of units only. Dates and times are not
/// figures: nobody compares their digits from the right.
fn is_figure(cell: &str) -> bool {
    let unsigned = cell.trim_start_matches(['+', '-', '−', '–']);
    unsigned.chars().all(|character| character.is_ascii_digit() || " ,./%×¥µms".contains(character))
}

/// Counts by outcome and latencies of the operations.
pub(crate) fn operations(result: &RunResult) -> Section {
    operation_counts(result).beside(operation_latencies(result))
}

/// The left half of [`operations`].
pub(crate) fn operation_counts(result: &RunResult) -> Section {
    let columns = vec![left(""), right("ok"), right("refused"), right("failed"), right("unknown")];
    let rows = result.operations.iter().map(|(name, stats)| {
        let OperationStats { ok, refused, failed, unknown, .. } = *stats;
        let counts = [ok, refused, failed, unknown].map(units::count);
        Row::of([name.clone()].into_iter().chain(counts).collect())
    });
    Section { legend: Some(OUTCOMES), ..Section::new("Operations", columns, rows.collect()) }
}

/// The right half of [`operations`].
pub(crate) fn operation_latencies(result: &RunResult) -> Section {
    let columns = vec![left(""), right("p50"), right("p95"), right("p99"), right("p99.9"), right("max")];
    let rows = result.operations.iter().map(|(name, stats)| {
        let latencies = [stats.p50_us, stats.p95_us, stats.p99_us, stats.p999_us, stats.max_us];
        // Nothing takes no time at all: without a longest latency, none was recorded.
        let shown = latencies.map(|latency| match stats.max_us {
            0 => units::NOTHING.to_owned(),
            _ => units::latency(latency),
        });
        Row::of([name.clone()].into_iter().chain(shown).collect())
    });
    Section::new("Latencies", columns, rows.collect())
}

/// The invariants with their checks, and what was wrong.
pub(crate) fn invariants(result: &RunResult) -> Section {
    let rows = result.invariants.iter().map(|invariant| Row {
        mark: Some(invariant_mark(invariant)),
        cells: vec![invariant.name.clone(), units::count(invariant.checks)],
        notes: match &invariant.first_violation {
            Some(violation) => violation_notes(violation),
            None if invariant.checks == 0 => vec!["never checked, so nothing is known".to_owned()],
            None => Vec::new(),
        },
    });
    Section::new("Invariants", vec![left(""), right("checks")], rows.collect())
}

/// An invariant that was never checked is neither held nor violated.
pub(crate) fn invariant_mark(invariant: &InvariantResult) -> Mark {
    if invariant.held && invariant.checks == 0 { Mark::Unclear } else { Mark::of(invariant.held) }
}

/// When, what and by which operations.
pub(crate) fn violation_notes(violation: &Violation) -> Vec<String> {
    let mut notes = vec![format!("at {}: {}", units::seconds(violation.at_s), violation.what)];
    let ids = &violation.operations;
    if !ids.is_empty() {
        let shown = listed(ids.iter().take(OPERATIONS_SHOWN).map(|id| format!("#{id}")));
        let more = match ids.len().saturating_sub(OPERATIONS_SHOWN) {
            0 => String::new(),
            more => format!(" and {} more", units::count(more as u64)),
        };
        let noun = if ids.len() == 1 { "operation" } else { "operations" };
        notes.push(format!("{noun} {shown}{more}"));
    }
    notes
}

/// The faults that were injected, and how the system came back from them.
pub(crate) fn faults(result: &RunResult) -> Section {
    let rows = result.faults.iter().zip(0_u64..).map(|(fault, index)| Row {
        mark: None,
        cells: vec![
            fault.kind.clone(),
            units::seconds(fault.from_s),
            // What is over as soon as it has happened has no end to show.
            if fault.to_s == fault.from_s { units::NOTHING.to_owned() } else { units::seconds(fault.to_s) },
            listed(fault.on.iter().cloned()),
        ],
        notes: result.recovery.iter().filter(|recovery| recovery.fault == index).map(recovery_note).collect(),
    });
    Section::new("Faults", vec![left(""), right("from"), right("to"), left("on")], rows.collect())
}

fn recovery_note(recovery: &Recovery) -> String {
    let detected = match recovery.detected_s {
        Some(at) => format!("noticed at {}", units::seconds(at)),
        None => "never noticed".to_owned(),
    };
    let back = match recovery.rto_s {
        Some(time) => format!("back after {}", units::seconds(time)),
        None => "not seen to be back".to_owned(),
    };
    let lost = match recovery.lost_acknowledged {
        0 => "nothing acknowledged was lost".to_owned(),
        lost => {
            let age = units::seconds(recovery.rpo_s);
            format!("{} acknowledged lost, within {age} of the fault", units::count(lost))
        }
    };
    format!("{detected}, {back}, {lost}")
}

/// How often the run came by the places that the scenario wants to reach.
pub(crate) fn coverage(result: &RunResult) -> Section {
    let rows = result.coverage.iter().map(|place| Row {
        mark: Some(if place.hits == 0 { Mark::Unclear } else { Mark::Good }),
        cells: vec![place.name.clone(), units::count(place.hits)],
        notes: Vec::new(),
    });
    Section::new("Reached", vec![left(""), right("hits")], rows.collect())
}

/// What the run was and how fast: names and values.
pub(crate) fn facts(result: &RunResult) -> Vec<(&'static str, String)> {
    let simulated = units::seconds(result.simulated_s);
    let wall = units::seconds(result.wall_s);
    let faster = match units::ratio(result.simulated_s, result.wall_s) {
        Some(factor) => format!(", {factor}× real time"),
        None => String::new(),
    };
    let rate = match units::ratio(result.messages as f64, result.wall_s) {
        Some(rate) => format!(" delivered, {rate} per second of wall time"),
        None => String::new(),
    };
    let mut facts = vec![
        ("simulated", format!("{simulated} in {wall} of wall time{faster}")),
        ("messages", format!("{}{rate}", units::count(result.messages))),
    ];
    facts.extend(reached(result).map(|reached| ("reached", reached)));
    facts.push(("fingerprint", result.fingerprint.clone()));
    facts
}

/// How much of what runs should come by was come by, and what was not; `None` when there are no such places.
fn reached(result: &RunResult) -> Option<String> {
    let (all, missed): (usize, Vec<&str>) = (
        result.coverage.len(),
        result.coverage.iter().filter(|place| place.hits == 0).map(|place| place.name.as_str()).collect(),
    );
    let shown = listed(missed.iter().take(MISSED_SHOWN).map(|name| (*name).to_owned()));
    let never = match missed.len() {
        0 => String::new(),
        1..=MISSED_SHOWN => format!("; never {shown}"),
        more => format!("; never {shown} and {} more", more - MISSED_SHOWN),
    };
    let reached = all - missed.len();
    (all > 0).then(|| format!("{reached} of {}{never}", units::counted(all, "place")))
}

/// The planted bugs that were on, which a reader must know before any figure.
pub(crate) fn mutants(result: &RunResult) -> Option<String> {
    let names = listed(result.mutants.iter().cloned());
    (!result.mutants.is_empty()).then(|| format!("Planted bugs switched on: {names}."))
}

pub(crate) fn listed(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}
