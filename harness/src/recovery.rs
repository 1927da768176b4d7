//! How a system came back from each fault: when it noticed, the recovery time (RTO), and what was lost (RPO).
//!
//! # Success
//!
//! The *success rate* of an operation is the share of its attempts that were answered: `ok`, or `refused`. A clear no,
//! such as "sold out", is what a working system says; who closes its doors because of a fault has to say so with an error
//! that promises that nothing happened, and that is `failed`. A share of the attempts does not change with the load: the
//! end of a peak is no outage. An attempt counts for the moment at which the customer made it, however long the answer
//! took (latencies have limits of their own); those that were waiting for an answer when the fault began count for that
//! moment.
//!
//! # Recovery time
//!
//! Operations are looked at by their names, each by itself.
//!
//! - *The rate before* is that of the last [`BEFORE`] before the fault. Time that another fault reached into, up to
//!   [`STAYS`] after its end, is left out: the rate before faults that overlap is that before the first of them.
//! - After the fault, time is divided into windows of [`WINDOW`], longer where they would have fewer than
//!   [`ATTEMPTS_MIN`] attempts. A window is *bad* when its rate is below 95 % of the rate before, by more than chance does
//!   to so few attempts: three standard deviations, where one more attempt may have failed before than did.
//! - A fault *touched* the operations that have a bad window while it goes on, or within [`STAYS`] of its end, for healing
//!   can hurt as well. They are back at the first attempt after the last failure of the bad windows, once [`STAYS`] pass
//!   without another one (or the rest of the run, if that is shorter).
//! - The recovery time is that of the operation that was back last: 0 when none was touched, and none when one is never
//!   back.
//!
//! # Lost writes
//!
//! The system says which acknowledged writes it does not have any more when it has come to rest, and when it lost them.
//! The age of a lost write is that at the fault. One that was acknowledged while the fault was going on had none then: for
//! it counts how long after the beginning of the fault that was. The age of what is lost is never 0, which would say that
//! nothing is.
//!
//! # What nobody can tell
//!
//! Faults that overlap are not told apart: what happens while several go on counts for each of them. Operations with
//! fewer than [`ATTEMPTS_MIN`] attempts before or after the fault are not judged, since 95 % of so few cannot be told
//! from all. Nor are those that are bad up to the last window and then answered to the end, [`ATTEMPTS_TO_END`] times or
//! more but too few for a window: they may be back. When none can be judged, and nothing was lost, the result has no
//! entry for the fault; with a loss it has one whose recovery time is not known and has no limit.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::{Operation, Outcome};
use record::result::{FaultRecord, Recovery};
use scenarios::Limits;

use crate::system::LostWrite;

/// How long before a fault the rate before it is measured.
const BEFORE: Duration = Duration::from_secs(10);
/// How long the rate must stay up to be back.
const STAYS: Duration = Duration::from_secs(10);
/// The shortest time over which a rate is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// The fewest attempts that a rate is measured on: the fewest of which 95 % are not all.
const ATTEMPTS_MIN: u64 = 20;
/// The fewest answers in a row, up to the end of a run, for which an operation may be back.
const ATTEMPTS_TO_END: u64 = 5;
/// The part of the rate before a fault at which operations are back.
const BACK: f64 = 0.95;
/// Standard deviations that chance is allowed.
const CHANCE: f64 = 3.0;
/// Nothing that is lost has the age 0.
const AGE_MIN: Duration = Duration::from_micros(1);

/// What a run leaves behind that recovery is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The history.
    pub operations: &'a [Operation],
    /// The faults, in order of time.
    pub faults: &'a [FaultRecord],
    /// When the system noticed that something was wrong, since the start of the simulation.
    pub noticed: &'a [Duration],
    /// The acknowledged writes that are missing.
    pub lost: &'a [LostWrite],
}

/// How the system came back from each fault of which something can be said. See the module.
pub fn measure(evidence: &Evidence<'_>, limits: &Limits) -> Vec<Recovery> {
    let attempts = attempts_by_name(evidence.operations);
    let spans: Vec<Span> = evidence.faults.iter().map(Span::of).collect();
    let measured = spans.iter().zip(0_u64..).filter_map(|(span, fault)| {
        let judged = recovery_time(&attempts, *span, &spans);
        let ages: Vec<Duration> = losses(evidence.lost, *span, &spans).collect();
        let oldest = ages.iter().max().copied();
        if judged == Judged::Unknown && oldest.is_none() {
            return None;
        }
        let noticed = evidence.noticed.iter().filter(|at| span.reaches(**at)).min();
        let limit_s = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64());
        Some(Recovery {
            fault,
            detected_s: noticed.map(Duration::as_secs_f64),
            rto_s: match judged {
                Judged::Back(after) => Some(after.as_secs_f64()),
                Judged::Never | Judged::Unknown => None,
            },
            rto_limit_s: limit_s(limits.rto.filter(|_| judged != Judged::Unknown)),
            rpo_s: oldest.unwrap_or_default().as_secs_f64(),
            rpo_limit_s: limit_s(limits.rpo),
            lost_acknowledged: ages.len() as u64,
        })
    });
    measured.collect()
}

/// Does a recovery keep within its limits?
pub fn is_met(recovery: &Recovery) -> bool {
    let in_time = |limit| recovery.rto_s.is_some_and(|rto| rto <= limit);
    recovery.rto_limit_s.is_none_or(in_time)
        && recovery.rpo_limit_s.is_none_or(|limit| recovery.rpo_s <= limit)
}

/// When a fault was going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Duration,
    to: Duration,
}

impl Span {
    fn of(fault: &FaultRecord) -> Span {
        let moment = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Span { from: moment(fault.from_s), to: moment(fault.to_s) }
    }

    /// Until when what happens may be its doing.
    fn ends(self) -> Duration {
        self.to.max(self.from) + STAYS
    }

    fn reaches(self, at: Duration) -> bool {
        (self.from..self.ends()).contains(&at)
    }

    /// The latest moment, at its beginning or before, that no other fault reaches up to.
    fn calm(self, all: &[Span]) -> Duration {
        let mut calm = self.from;
        while let Some(earlier) = all.iter().find(|other| other.from < calm && calm < other.ends()) {
            calm = earlier.from;
        }
        calm
    }
}

/// One try of a customer.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    at: Duration,
    /// When the customer stopped waiting; `None` when the run ended before.
    completed: Option<Duration>,
    is_answered: bool,
}

/// The attempts of each name, in the order of the history.
fn attempts_by_name(operations: &[Operation]) -> BTreeMap<&str, Vec<Attempt>> {
    let mut attempts: BTreeMap<&str, Vec<Attempt>> = BTreeMap::new();
    for operation in operations {
        let is_answered = matches!(operation.outcome, Some(Outcome::Ok | Outcome::Refused));
        let attempt = Attempt { at: operation.invoked, completed: operation.completed, is_answered };
        attempts.entry(operation.name).or_default().push(attempt);
    }
    attempts
}

/// What can be said of the recovery from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// Back so long after it; at once when nothing was touched.
    Back(Duration),
    Never,
    Unknown,
}

fn recovery_time(attempts: &BTreeMap<&str, Vec<Attempt>>, span: Span, all: &[Span]) -> Judged {
    let calm = span.calm(all);
    let mut judged = Judged::Unknown;
    for attempts in attempts.values() {
        let Some(before) = Rate::before(attempts, calm) else { continue };
        let Some(windows) = windows(attempts, span.from, before) else { continue };
        judged = match (judged, back(&windows, span)) {
            (Judged::Never, _) | (_, Judged::Never) => Judged::Never,
            (Judged::Unknown, one) | (one, Judged::Unknown) => one,
            (Judged::Back(latest), Judged::Back(after)) => Judged::Back(latest.max(after)),
        };
    }
    judged
}

/// How many attempts were answered.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    attempts: u64,
    failed: u64,
}

impl Rate {
    fn count(&mut self, attempt: Attempt) {
        self.attempts += 1;
        self.failed += u64::from(!attempt.is_answered);
    }

    /// Of the attempts that had come to an end by this moment, and began not too long before it.
    fn before(attempts: &[Attempt], calm: Duration) -> Option<Rate> {
        let mut rate = Rate::default();
        let recent = attempts.iter().filter(|attempt| attempt.at + BEFORE >= calm);
        let ended = recent.filter(|attempt| attempt.completed.is_some_and(|completed| completed < calm));
        ended.for_each(|attempt| rate.count(*attempt));
        (rate.attempts >= ATTEMPTS_MIN).then_some(rate)
    }

    /// Is it less than what was, and not by chance?
    fn is_bad(self, before: Rate) -> bool {
        let attempts = self.attempts as f64;
        let answered = (before.attempts - before.failed) as f64 / before.attempts as f64;
        // After n attempts without a failure, one of the next n may well fail (Laplace's rule of succession).
        let failing = (before.failed + 1) as f64 / (before.attempts + 2) as f64;
        let chance = CHANCE * (attempts * failing * (1.0 - failing)).sqrt();
        self.failed as f64 > attempts * (1.0 - BACK * answered) + chance
    }
}

/// A stretch of time after a fault.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: Duration,
    rate: Rate,
    is_bad: bool,
    /// The first attempt after its last failure, if that is within it.
    better_from: Option<Duration>,
    /// Attempts since then.
    better: u64,
}

/// Divides the time from a fault on; `None` when there are too few attempts for one window.
fn windows(attempts: &[Attempt], fault: Duration, before: Rate) -> Option<Vec<Window>> {
    let waiting = |attempt: &Attempt| attempt.completed.is_none_or(|completed| completed >= fault);
    let concerned = attempts.iter().filter(|attempt| attempt.at >= fault || waiting(attempt));
    let mut windows: Vec<Window> = Vec::new();
    for attempt in concerned.map(|attempt| Attempt { at: attempt.at.max(fault), ..*attempt }) {
        let is_full =
            |window: &Window| attempt.at >= window.from + WINDOW && window.rate.attempts >= ATTEMPTS_MIN;
        if windows.last().is_none_or(is_full) {
            let from = if windows.is_empty() { fault } else { attempt.at };
            windows.push(Window { from, rate: Rate::default(), is_bad: false, better_from: None, better: 0 });
        }
        if let Some(window) = windows.last_mut() {
            window.add(attempt);
        }
    }
    // What is left at the end is too little for a window of its own.
    if windows.last()?.rate.attempts < ATTEMPTS_MIN {
        let rest = windows.pop()?;
        windows.last_mut()?.join(rest);
    }
    for window in &mut windows {
        window.is_bad = window.rate.is_bad(before);
    }
    Some(windows)
}

impl Window {
    fn add(&mut self, attempt: Attempt) {
        self.rate.count(attempt);
        (self.better_from, self.better) = match attempt.is_answered {
            true => (self.better_from.or(Some(attempt.at)), self.better + 1),
            false => (None, 0),
        };
    }

    fn join(&mut self, later: Window) {
        self.rate.attempts += later.rate.attempts;
        self.rate.failed += later.rate.failed;
        (self.better_from, self.better) = match later.rate.failed {
            0 => (self.better_from.or(later.better_from), self.better + later.better),
            _ => (later.better_from, later.better),
        };
    }
}

/// When operations of one name are back.
fn back(windows: &[Window], span: Span) -> Judged {
    let Some(fell) = windows.iter().position(|window| window.is_bad && window.from < span.ends()) else {
        return Judged::Back(Duration::ZERO);
    };
    let stays = |first: &usize| {
        let until = windows[*first].from + STAYS;
        windows[*first..].iter().take_while(|window| window.from < until).all(|window| !window.is_bad)
    };
    match (fell + 1..windows.len()).find(stays) {
        Some(first) => {
            let at = windows[first - 1].better_from.unwrap_or(windows[first].from);
            Judged::Back(at - span.from)
        }
        None if windows.last().is_some_and(|last| last.better >= ATTEMPTS_TO_END) => Judged::Unknown,
        None => Judged::Never,
    }
}

/// The ages of the lost writes that count for a fault.
fn losses<'a>(lost: &'a [LostWrite], span: Span, all: &'a [Span]) -> impl Iterator<Item = Duration> + 'a {
    let counts = move |write: &&LostWrite| {
        // Who lost it is going on at the loss; otherwise it was the last one before.
        let reached = all.iter().any(|other| other.reaches(write.lost));
        let last = all.iter().filter(|other| other.from <= write.lost).max_by_key(|other| other.ends());
        if reached { span.reaches(write.lost) } else { last == Some(&span) }
    };
    lost.iter().filter(counts).map(move |write| write.acknowledged.abs_diff(span.from).max(AGE_MIN))
}

#[cfg(test)]
mod tests;
