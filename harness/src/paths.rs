//! What becomes of the things of a system, as far as a hunt needs it to tell runs apart that differ in kind.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3Default;

/// Two changes within this time are close to each other.
const CLOSE: Duration = Duration::from_millis(2);

/// The ways that things took.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// Hashes of ways from the beginning, and of close changes of different things, with the first moment of each.
    pub(crate) reached: BTreeMap<u64, Duration>,
    /// Each change, by what it was.
    pub(crate) transitions: Vec<(String, Duration)>,
    /// The way of each thing so far.
    so_far: BTreeMap<String, u64>,
    last: Option<(String, String, Duration)>,
}

impl Paths {
    /// Something happened to a thing.
    pub fn step(&mut self, thing: &str, what: &str, at: Duration) {
        let way = self.so_far.entry(thing.to_owned()).or_default();
        *way = hash(&(*way, what));
        self.reached.entry(*way).or_insert(at);
        self.transitions.push((what.to_owned(), at));
        if let Some((other, before, then)) = &self.last
            && other != thing
            && at - *then < CLOSE
        {
            self.reached.entry(hash(&("close", before, what))).or_insert(at);
        }
        self.last = Some((thing.to_owned(), what.to_owned(), at));
    }
}

pub(crate) fn hash(what: &impl Hash) -> u64 {
    let mut hasher = Xxh3Default::new();
    what.hash(&mut hasher);
    hasher.finish()
}
