//! What happens in a run, line by line: requests and their answers, commands of a store, changes of state, faults,
//! operations. Off unless asked for; whoever tells only looks, so a run goes the same with and without.
//!
//! The lines of a run are kept by the thread that plays it: a simulation has a thread of its own.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A fault begins or heals.
    Fault,
    /// A client asks or is answered.
    Operation,
    /// What stands in the store has changed.
    State,
    /// One host asks another one, or is answered.
    Message,
    /// A command of a store, or its reply.
    Command,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Simulated time since the start.
    pub at: Duration,
    /// Where.
    pub host: String,
    /// The other host: who is asked, or whose answer has come; `None` when nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Is it an answer that has come, or the word that none will?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_answer: bool,
    /// What it is about.
    pub kind: Kind,
    /// The trace id of the request that it belongs to; empty when it belongs to none.
    pub trace: String,
    /// What happened, on one line.
    pub text: String,
}

/// Keeps a story short while it is told.
pub struct Sieve {
    /// What happens later is not told any more.
    pub until: Duration,
    /// When there are so many lines, `sift` is called; if more than half of them stay, then at twice as many the next
    /// time.
    pub most: usize,
    /// Takes lines away that nobody will want.
    pub sift: Sift,
}

/// Takes lines away.
pub type Sift = Box<dyn Fn(&mut Vec<Line>)>;

thread_local! {
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    static SIEVE: RefCell<Option<Sieve>> = const { RefCell::new(None) };
}

/// From now on, what happens on this thread is kept.
pub fn begin() {
    LINES.with_borrow_mut(Vec::clear);
    SIEVE.set(None);
    IS_TOLD.set(true);
}

/// From now on, what happens on this thread is kept, as far as it gets through a sieve.
pub fn begin_sifted(sieve: Sieve) {
    begin();
    SIEVE.set(Some(sieve));
}

/// What was told since [`begin`], in the order in which it happened; ends the telling.
pub fn end() -> Vec<Line> {
    IS_TOLD.set(false);
    SIEVE.set(None);
    LINES.take()
}

/// Is anything kept?
#[inline]
pub fn is_told() -> bool {
    IS_TOLD.get()
}

/// Keeps a line, which is only made when somebody wants it.
#[inline]
pub fn tell(line: impl FnOnce() -> Line) {
    if is_told() {
        keep(line());
    }
}

fn keep(line: Line) {
    SIEVE.with_borrow_mut(|sieve| {
        if sieve.as_ref().is_some_and(|sieve| line.at > sieve.until) {
            IS_TOLD.set(false);
            return;
        }
        LINES.with_borrow_mut(|lines| {
            lines.push(line);
            if let Some(sieve) = sieve
                && lines.len() >= sieve.most
            {
                (sieve.sift)(lines);
                if lines.len() > sieve.most / 2 {
                    sieve.most *= 2;
                }
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_or_kept_unless_asked_for() {
        let line = || Line {
            at: Duration::ZERO,
            host: "a".into(),
            peer: None,
            is_answer: false,
            kind: Kind::State,
            trace: String::new(),
            text: "b".into(),
        };
        tell(|| panic!("made"));
        begin();
        tell(line);
        assert_eq!(end(), [line()]);
        tell(|| panic!("made"));
        assert!(end().is_empty());
    }

    #[test]
    fn a_sieve_keeps_a_story_short_and_ends_it() {
        let line = |number: u64| Line {
            at: Duration::from_secs(number),
            host: "a".into(),
            peer: None,
            is_answer: false,
            kind: Kind::State,
            trace: String::new(),
            text: format!("line {number}"),
        };
        let even = |lines: &mut Vec<Line>| lines.retain(|line| line.at.as_secs().is_multiple_of(2));
        begin_sifted(Sieve { until: Duration::from_secs(9), most: 4, sift: Box::new(even) });
        (0..20).for_each(|number| tell(|| line(number)));
        // Sifted at four lines, then, with 0 and 2 left, at four again, then at eight.
        let kept: Vec<u64> = end().iter().map(|line| line.at.as_secs()).collect();
        assert_eq!(kept, [0, 2, 4, 6, 7, 8, 9]);
        tell(|| panic!("made"));
    }
}
