//! What a sweep prints: the answer first, then the levels, the law behind them, and the line that plays it again.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use record::capacity::{
    ANSWERED_MIN, Bottleneck, Capacity, Curve, Estimate, Fit, Level, NoFit, NoKnee, Sustained,
};
use record::result::Verdict;

use crate::sections::{Align, Column, Mark, Row, Section, verdict_mark};
use crate::terminal::{self, Style};
use crate::units;

/// What the columns of the levels mean.
const LEGEND: &str = "operations per second · achieved: acknowledged, or a clear no · under way: operations, in \
the mean";

/// The report of a sweep. The last line is the one that plays it again.
pub fn render(capacity: &Capacity, style: Style) -> String {
    let mut parts = vec![headline(capacity, style)];
    for curve in &capacity.curves {
        parts.push(terminal::section(&levels(curve), style));
        if let Some(fit) = &curve.fit {
            parts.push(terminal::section(&law(fit), style));
        }
    }
    let mut text = parts.join("\n");
    let _ = writeln!(text, "\n{}\n  {}", terminal::heading("Again", style), capacity.replay);
    text
}

fn headline(capacity: &Capacity, style: Style) -> String {
    let mark = verdict_mark(capacity.verdict);
    let measured = measured(capacity);
    let mut text = terminal::headline(mark, verdict(capacity), &capacity.scenario, &measured, style);
    for curve in &capacity.curves {
        for line in terminal::wrap(&named_answer(curve), style.width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    if let Some(stopped) = stopped(capacity) {
        let _ = writeln!(text, "  {stopped}");
    }
    if !capacity.mutants.is_empty() {
        let _ = writeln!(text, "  Planted bugs switched on: {}.", capacity.mutants.join(", "));
    }
    text
}

/// That not all levels were played, if it is so.
pub(crate) fn stopped(capacity: &Capacity) -> Option<String> {
    let played: usize = capacity.curves.iter().map(|curve| curve.levels.len()).sum();
    let (left_out, all) = (capacity.levels_not_played, played.saturating_add(capacity.levels_not_played));
    (left_out > 0).then(|| format!("Stopped: {left_out} of {} not played.", units::counted(all, "level")))
}

/// The verdict of a sweep in a word or two.
pub(crate) fn verdict(capacity: &Capacity) -> &'static str {
    match capacity.verdict {
        Verdict::Held => "CAPACITY",
        Verdict::Slow => "NO LEVEL MET",
        Verdict::Violated => "VIOLATED",
        Verdict::Invalid if capacity.levels_not_played > 0 => "STOPPED",
        Verdict::Invalid => "NOTHING RAN",
    }
}

/// `cpu.cores=2, redis.shards=4`; empty where no setting was swept.
pub(crate) fn settings(curve: &Curve) -> String {
    let settings: Vec<String> = curve.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    settings.join(", ")
}

/// What was measured: seeds, engine, how long.
pub(crate) fn measured(capacity: &Capacity) -> String {
    let seeds = match &capacity.seeds[..] {
        [seed] => format!("seed {seed}"),
        [first, .., last] => format!("seeds {first} to {last}"),
        [] => String::new(),
    };
    format!(
        "{seeds} · {} engine · {} of load, the first {} left out",
        capacity.engine,
        units::seconds(capacity.load_s),
        units::seconds(capacity.warm_up_s)
    )
}

/// The answer of a curve, with the settings that it is for.
pub(crate) fn named_answer(curve: &Curve) -> String {
    match settings(curve) {
        settings if settings.is_empty() => answer(curve),
        settings => format!("{settings}: {}", answer(curve)),
    }
}

/// The answer to what was asked: up to which rate, who is full first, where the knee is.
pub(crate) fn answer(curve: &Curve) -> String {
    let mut sentences = vec![sustained(&curve.sustained)];
    sentences.extend(curve.bottleneck.as_ref().map(bottleneck));
    sentences.push(match &curve.fit {
        None => no_fit(curve.no_fit),
        Some(Fit { knee: Some(knee), .. }) => format!(
            "The knee is at {} operations/s, with {} under way.",
            estimate(&knee.per_s, 3),
            estimate(&knee.concurrency, 3)
        ),
        Some(fit) => no_knee(fit.no_knee),
    });
    if let Some(violated) = violated(curve, ", ") {
        sentences.insert(0, format!("Violated: {violated}."));
    }
    sentences.join(" ")
}

/// The invariants that were violated at any level; `None` if none was.
pub(crate) fn violated(curve: &Curve, between: &str) -> Option<String> {
    let violated: BTreeSet<&str> =
        curve.levels.iter().flat_map(|level| &level.violated).map(String::as_str).collect();
    (!violated.is_empty()).then(|| violated.into_iter().collect::<Vec<_>>().join(between))
}

fn no_fit(why: Option<NoFit>) -> String {
    match why {
        Some(NoFit::TooFewLevels { needed, measured }) => {
            let measured = units::counted(measured, "level");
            format!("No knee can be told from {measured}: it takes {needed}.")
        }
        Some(NoFit::NoCurve) | None => {
            "No knee: the universal scalability law does not describe these levels.".to_owned()
        }
    }
}

fn no_knee(why: Option<NoKnee>) -> String {
    match why {
        Some(NoKnee::AboveTheLevels { measured, knee }) => format!(
            "No knee was reached: the levels end at {} operations under way, the curve would bend at {}.",
            rate(measured),
            rate(knee)
        ),
        Some(NoKnee::BetweenTheLevels { measured, next }) => format!(
            "No knee can be told: nothing was measured between {} and {} operations under way, where the curve would bend.",
            rate(measured),
            rate(next)
        ),
        Some(NoKnee::BelowTheLevels { measured, knee }) => format!(
            "The knee lies below the levels: they begin at {} operations under way, the curve would bend at {}.",
            rate(measured),
            rate(knee)
        ),
        Some(NoKnee::StraightLine) | None => {
            "No knee: no level comes near what the system carries.".to_owned()
        }
    }
}

/// What is missed beyond the highest rate, with `answered` for too few answers.
pub(crate) fn missed(sustained: &Sustained, answered: String, between: &str) -> String {
    let names = sustained.missed.iter().cloned().chain(sustained.too_few_answered.then_some(answered));
    names.collect::<Vec<_>>().join(between)
}

fn sustained(sustained: &Sustained) -> String {
    let missed = missed(sustained, format!("{} answered", share(ANSWERED_MIN)), ", ");
    match (sustained.met_per_s, sustained.missed_per_s) {
        (Some(met), Some(at)) => {
            let about = sustained.about_per_s.map(|about| format!(", about {}/s", rate(about)));
            let about = about.unwrap_or_default();
            format!(
                "Meets its service levels up to a rate between {} and {}/s{about}; then missed: {missed}.",
                rate(met),
                rate(at)
            )
        }
        (Some(met), None) => {
            format!("Meets its service levels at every level, up to {}/s: the limit lies above.", rate(met))
        }
        (None, Some(at)) => {
            format!(
                "Misses its service levels already at the lowest level that was played, {}/s: {missed}.",
                rate(at)
            )
        }
        (None, None) => "No level was played.".to_owned(),
    }
}

fn bottleneck(bottleneck: &Bottleneck) -> String {
    let host = &bottleneck.host;
    let full = bottleneck.full_per_s.map(|full| format!("by the utilisation law full at {}/s", rate(full)));
    match (bottleneck.free_per_s, bottleneck.saturated_per_s) {
        (Some(free), Some(saturated)) => {
            let full = full.map(|full| format!(" ({full})")).unwrap_or_default();
            format!("{host} saturates first, between {} and {}/s{full}.", rate(free), rate(saturated))
        }
        (None, Some(saturated)) => {
            format!("{host} is saturated already at the lowest level that was played, {}/s.", rate(saturated))
        }
        (_, None) => {
            let full = full.map(|full| format!(", {full}")).unwrap_or_default();
            format!("No host saturates; {host} is the busiest{full}.")
        }
    }
}

/// A table of the levels, with a column for each limit.
pub(crate) fn levels(curve: &Curve) -> Section {
    let limits = curve.levels.first().map(|level| &level.service_levels[..]).unwrap_or_default();
    let heads = ["offered", "achieved", "under way"].map(str::to_owned);
    let heads = heads.into_iter().chain(limits.iter().map(|limit| limit.name.clone()));
    let mut columns = vec![Column { head: String::new(), align: Align::Left }];
    columns.extend(heads.map(|head| Column { head, align: Align::Right }));
    columns.push(Column { head: "busiest host".to_owned(), align: Align::Left });
    let title = match settings(curve) {
        settings if settings.is_empty() => "Levels".to_owned(),
        settings => format!("Levels with {settings}"),
    };
    Section { title, columns, rows: curve.levels.iter().map(level).collect(), legend: Some(LEGEND) }
}

fn level(level: &Level) -> Row {
    let mut cells = vec![
        format!("{}×", level.factor),
        format!("{}/s", rate(level.offered_per_s)),
        format!("{}/s", rate(level.achieved_per_s)),
        rate(level.concurrency),
    ];
    cells.extend(level.service_levels.iter().map(|limit| units::latency(limit.observed_us)));
    cells.push(
        level
            .hosts
            .first()
            .map_or_else(|| units::NOTHING.to_owned(), |host| format!("{} {}", host.name, share(host.busy))),
    );
    let mut notes = Vec::new();
    let missed = level.service_levels.iter().filter(|limit| !limit.met);
    let missed = missed.map(|limit| format!("{} ≤ {}", limit.name, units::latency_exact(limit.limit_us)));
    let mut missed: Vec<String> = missed.collect();
    if level.answered < ANSWERED_MIN {
        missed.push(format!("{} answered, of {}", share(level.answered), share(ANSWERED_MIN)));
    }
    if !missed.is_empty() {
        notes.push(format!("missed: {}", missed.join(", ")));
    }
    if level.is_growing {
        notes.push("not steady: ever more operations were under way".to_owned());
    }
    if !level.violated.is_empty() {
        notes.push(format!("violated: {}", level.violated.join(", ")));
    }
    let good = level.met && level.violated.is_empty();
    Row { mark: Some(if good { Mark::Good } else { Mark::Bad }), cells, notes }
}

/// The parameters of the law with their intervals.
pub(crate) fn law(fit: &Fit) -> Section {
    let column = |head: &str, align| Column { head: head.to_owned(), align };
    let row = |name: &str, estimate: &Estimate, what: &str| Row {
        mark: None,
        cells: vec![name.to_owned(), digits(estimate.value, 3), ends(estimate, 3), what.to_owned()],
        notes: Vec::new(),
    };
    let mut rows = vec![
        row("  λ", &fit.lambda, "operations/s of one under way"),
        row("  σ", &fit.sigma, "contention: what is done one after the other"),
        row("  κ", &fit.kappa, "coherency: what each costs each other"),
    ];
    if let Some(knee) = &fit.knee {
        rows.push(row(
            "  knee",
            &knee.concurrency,
            "operations under way, where throughput per latency is highest",
        ));
        rows.push(row("", &knee.per_s, "operations/s there"));
    }
    if let Some(ceiling) = &fit.ceiling {
        let what = match ceiling.concurrency {
            Some(n) => format!("operations/s at most, with {} under way", digits(n, 3)),
            None => "operations/s at most, never quite reached".to_owned(),
        };
        let cells = vec!["  ceiling".to_owned(), digits(ceiling.per_s, 3), String::new(), what];
        rows.push(Row { mark: None, cells, notes: Vec::new() });
    }
    let cells = vec!["  R²".to_owned(), format!("{:.3}", fit.r_squared), String::new()];
    let points = format!("of {}", units::counted(fit.points, "run"));
    rows.push(Row { mark: None, cells: [cells, vec![points]].concat(), notes: Vec::new() });
    Section {
        title: "Universal scalability law".to_owned(),
        columns: vec![
            column("", Align::Left),
            column("value", Align::Right),
            column("95 % interval", Align::Left),
            column("", Align::Left),
        ],
        rows,
        legend: None,
    }
}

/// `1,840 (1,790 to 1,910)`.
fn estimate(estimate: &Estimate, figures: usize) -> String {
    format!("{} ({})", digits(estimate.value, figures), ends(estimate, figures))
}

fn ends(estimate: &Estimate, figures: usize) -> String {
    match estimate.high {
        Some(high) => format!("{} to {}", digits(estimate.low, figures), digits(high, figures)),
        None => format!("{} or more", digits(estimate.low, figures)),
    }
}

/// A rate or a number of operations: `0.82`, `12.4`, `1,840`.
pub(crate) fn rate(value: f64) -> String {
    if value.is_finite() { units::three_digits(value) } else { units::NOTHING.to_owned() }
}

/// A share in percent: `99.3 %`. Never rounded up to all.
pub(crate) fn share(share: f64) -> String {
    let percent = if share < 1.0 { (share * 1000.0).floor() / 10.0 } else { share * 100.0 };
    format!("{} %", units::decimal(percent, 1))
}

/// With so many significant digits, at least those before the point; small numbers as powers of ten.
pub(crate) fn digits(value: f64, figures: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { units::NOTHING.to_owned() };
    }
    let magnitude = value.abs().log10().floor();
    if magnitude < -3.0 {
        return format!("{value:.*e}", figures - 1);
    }
    let places = (figures as f64 - 1.0 - magnitude).max(0.0);
    units::decimal(value, places as usize)
}
