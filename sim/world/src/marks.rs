//! Marks in the code under rehearsal: rare turns that a run may force, things that must always hold, and places and
//! cases that a night of runs should have reached.
//!
//! | macro | counts | for |
//! | --- | --- | --- |
//! | [`buggify!`](crate::buggify) | times that it was true | unlikely but legal behaviour, forced: a short read, a late answer |
//! | [`sometimes!`](crate::sometimes) | times that its condition held | cases that tests should meet |
//! | [`always!`](crate::always) | checks | what must hold; else a finding |
//! | [`reachable!`](crate::reachable) | times that it was reached | places that tests should reach |
//!
//! All marks that are linked into the program are in [`Outcome::coverage`](crate::sim::Outcome::coverage), those that
//! were never reached with zero. Marks of the same name are counted together. Outside a simulation they do nothing.
//!
//! `buggify!` is FoundationDB's (Zhou et al., "FoundationDB: A Distributed Unbundled Transactional Key Value Store",
//! SIGMOD 2021, section 4): each place is enabled for a whole run with some probability, and an enabled place then
//! fires with another; so runs differ in kind, not in degree.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[doc(hidden)]
pub use inventory;
use rand::Rng;

use crate::choice::Source;
use crate::common;

/// Findings of `always!` that are kept; further ones are only counted.
const BROKEN_MAX: usize = 1_000;

/// How often [`buggify!`](crate::buggify) strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buggify {
    /// Probability that a place is enabled in a run.
    pub enabled: f64,
    /// Probability that an enabled place fires, each time that it is reached, unless the place says another.
    pub fires: f64,
}

impl Default for Buggify {
    /// FoundationDB's: a quarter each.
    fn default() -> Buggify {
        Buggify { enabled: 0.25, fires: 0.25 }
    }
}

/// What a mark is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`buggify!`](crate::buggify).
    Buggify,
    /// [`sometimes!`](crate::sometimes).
    Sometimes,
    /// [`always!`](crate::always).
    Always,
    /// [`reachable!`](crate::reachable).
    Reachable,
}

/// What a run saw of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// What it is for.
    pub kind: Kind,
    /// Times that it fired, held, was checked, or was reached: by kind.
    pub hits: u64,
    /// Times that the code came by, whatever the condition.
    pub reached: u64,
    /// Checks of `always!` that failed.
    pub broken: u64,
}

/// Something that must always hold and did not: a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The mark.
    pub name: String,
    /// Name of the host whose code it was.
    pub host: String,
    /// Simulated time since the start.
    pub at: Duration,
    /// What the check says about it; empty if nothing.
    pub message: String,
}

/// A place in the code; made by the macros.
#[doc(hidden)]
#[derive(Debug)]
pub struct Mark {
    name: &'static str,
    kind: Kind,
    /// Where a run keeps its counts; given at first use, 0 until then. It differs between processes, and nothing
    /// that a run shows depends on it.
    number: AtomicU32,
}

/// A mark that is part of the program.
#[doc(hidden)]
pub struct Linked(pub &'static Mark);

inventory::collect!(Linked);

impl Mark {
    #[doc(hidden)]
    pub const fn new(name: &'static str, kind: Kind) -> Mark {
        Mark { name, kind, number: AtomicU32::new(0) }
    }

    fn number(&self) -> usize {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = self.number.load(Ordering::Relaxed);
        if number != 0 {
            return number as usize;
        }
        let new = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        match self.number.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new as usize,
            Err(earlier) => earlier as usize,
        }
    }

    fn count(&self, is_hit: bool, is_broken: bool) {
        common::try_with(|common| {
            let mut marks = common.marks.borrow_mut();
            let tally = marks.tally(self);
            tally.reached += 1;
            tally.hits += u64::from(is_hit);
            tally.broken += u64::from(is_broken);
        });
    }

    #[doc(hidden)]
    pub fn sometimes(&self, condition: bool) {
        self.count(condition, false);
    }

    #[doc(hidden)]
    pub fn always(&self, condition: bool, message: impl FnOnce() -> String) {
        self.count(true, !condition);
        if !condition {
            // The text comes first: to write it may run code that comes by another mark.
            let message = message();
            common::try_with(|common| {
                let host = common.hosts.borrow().name(common.current_host()).to_owned();
                let at = crate::sim::elapsed();
                let broken = Broken { name: self.name.to_owned(), host, at, message };
                let mut marks = common.marks.borrow_mut();
                if marks.broken.len() < BROKEN_MAX {
                    marks.broken.push(broken);
                }
            });
        }
    }

    #[doc(hidden)]
    pub fn buggify(&self, fires: Option<f64>) -> bool {
        common::try_with(|common| {
            let mut marks = common.marks.borrow_mut();
            let Some(buggify) = marks.buggify else { return false };
            let fired = marks.strike(self, buggify, fires.unwrap_or(buggify.fires));
            let tally = marks.tally(self);
            tally.reached += 1;
            tally.hits += u64::from(fired);
            fired
        })
        .unwrap_or(false)
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    hits: u64,
    reached: u64,
    broken: u64,
}

/// The marks of one simulation.
pub(crate) struct Marks {
    seed: u64,
    buggify: Option<Buggify>,
    tallies: Vec<Tally>,
    /// By name, the randomness of the places for `buggify!` that are enabled in this run.
    places: BTreeMap<&'static str, Option<Source>>,
    broken: Vec<Broken>,
}

impl Marks {
    pub(crate) fn new(seed: u64, buggify: Option<Buggify>) -> Marks {
        Marks { seed, buggify, tallies: Vec::new(), places: BTreeMap::new(), broken: Vec::new() }
    }

    fn tally(&mut self, mark: &Mark) -> &mut Tally {
        let number = mark.number();
        if self.tallies.len() <= number {
            self.tallies.resize(number + 1, Tally::default());
        }
        &mut self.tallies[number]
    }

    /// Each place has a generator of its own: another place more or less does not change it.
    fn strike(&mut self, mark: &Mark, buggify: Buggify, fires: f64) -> bool {
        let seed = self.seed;
        let place = self.places.entry(mark.name).or_insert_with(|| {
            let mut source = common::generator(seed, &format!("buggify {}", mark.name));
            chance(&mut source, buggify.enabled).then_some(source)
        });
        place.as_mut().is_some_and(|source| chance(source, fires))
    }

    /// What the run saw of all marks of the program, and the checks that failed.
    pub(crate) fn finish(&mut self) -> (BTreeMap<String, Coverage>, Vec<Broken>) {
        let mut coverage: BTreeMap<String, Coverage> = BTreeMap::new();
        for Linked(mark) in inventory::iter::<Linked> {
            let tally = *self.tally(mark);
            let seen = coverage.entry(mark.name.to_owned()).or_insert(Coverage {
                kind: mark.kind,
                hits: 0,
                reached: 0,
                broken: 0,
            });
            // The order of linking must not show.
            seen.kind = seen.kind.min(mark.kind);
            seen.hits += tally.hits;
            seen.reached += tally.reached;
            seen.broken += tally.broken;
        }
        (coverage, std::mem::take(&mut self.broken))
    }
}

fn chance(source: &mut Source, probability: f64) -> bool {
    ((source.next_u64() >> 11) as f64 / (1_u64 << 53) as f64) < probability
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { name, host, at, message } = self;
        let colon = if message.is_empty() { "" } else { ": " };
        write!(f, "{name} did not hold on {host} at {at:?}{colon}{message}")
    }
}

/// Makes a mark that is listed with the program's others.
#[doc(hidden)]
#[macro_export]
macro_rules! __mark {
    ($name:expr, $kind:ident) => {{
        static MARK: $crate::marks::Mark = $crate::marks::Mark::new($name, $crate::marks::Kind::$kind);
        $crate::marks::inventory::submit! { $crate::marks::Linked(&MARK) }
        &MARK
    }};
}

/// True now and then in runs with [`Config::buggify`](crate::sim::Config::buggify), never in others: for unlikely but
/// legal turns. `buggify!()` is named by file and line, `buggify!("name")` by a name; `buggify!("name", 0.01)` fires,
/// once enabled, with a probability of its own.
#[macro_export]
macro_rules! buggify {
    () => {
        $crate::buggify!(::core::concat!(::core::file!(), ":", ::core::line!()))
    };
    ($name:expr) => {
        $crate::__mark!($name, Buggify).buggify(::core::option::Option::None)
    };
    ($name:expr, $fires:expr) => {
        $crate::__mark!($name, Buggify).buggify(::core::option::Option::Some($fires))
    };
}

/// Counts how often a condition held: a case that runs should meet. `sometimes!(queue.is_full(), "queue.full")`
#[macro_export]
macro_rules! sometimes {
    ($condition:expr, $name:expr $(,)?) => {
        $crate::__mark!($name, Sometimes).sometimes($condition)
    };
}

/// Checks what must hold; if it does not, that is a finding of the run, which goes on.
/// `always!(stock >= 0, "stock.never-negative", "{stock} left of {seat}")`
#[macro_export]
macro_rules! always {
    ($condition:expr, $name:expr $(,)?) => {
        $crate::__mark!($name, Always).always($condition, ::std::string::String::new)
    };
    ($condition:expr, $name:expr, $($message:tt)+) => {
        $crate::__mark!($name, Always).always($condition, || ::std::format!($($message)+))
    };
}

/// Counts how often a place was reached that runs should reach. `reachable!("redis.failover")`
#[macro_export]
macro_rules! reachable {
    ($name:expr) => {
        $crate::__mark!($name, Reachable).sometimes(true)
    };
}
