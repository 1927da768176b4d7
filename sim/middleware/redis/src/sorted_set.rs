//! Sorted sets: members ordered by score, then by their bytes.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, btree_set},
    ops::Bound,
};

use indexmap::IndexMap;

use crate::keyspace::Blob;

/// A score as an order: never NaN.
#[derive(Debug, Clone, Copy)]
struct Score(f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

/// A set of members with scores.
#[derive(Debug, Clone, Default)]
pub struct SortedSet {
    scores: IndexMap<Blob, f64>,
    order: BTreeSet<(Score, Blob)>,
}

/// One end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    /// The score at the end.
    pub score: f64,
    /// Are members with exactly this score left out?
    pub exclusive: bool,
}

/// Members with their scores, in order.
type Ordered<'a> = btree_set::Range<'a, (Score, Blob)>;

impl<'a> FromIterator<(&'a [u8], f64)> for SortedSet {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], f64)>>(members: I) -> Self {
        let mut set = Self::default();
        for (member, score) in members {
            set.insert(member, score);
        }
        set
    }
}

impl SortedSet {
    /// Number of members.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Has it no members?
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// A member, by its place in no order that means something.
    pub(crate) fn member_at(&self, place: usize) -> Option<&Blob> {
        self.scores.get_index(place).map(|(member, _)| member)
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Members with their scores, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.order.iter().map(|(score, member)| (&**member, score.0))
    }

    /// Members within a range of scores, lowest first.
    pub fn range(&self, min: ScoreBound, max: ScoreBound) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.score_range(min, max).map(|(score, member)| (&**member, score.0))
    }

    /// Number of members before this one, in order.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let (member, score) = self.scores.get_key_value(member)?;
        Some(self.order.range(..(Score(*score), member.clone())).count())
    }

    /// The member at a position of the unordered table: what a cursor or a random choice points at.
    pub(crate) fn at(&self, index: usize) -> Option<(&Blob, f64)> {
        self.scores.get_index(index).map(|(member, score)| (member, *score))
    }

    /// Sets the score of a member; returns the score that it had. Minus zero becomes zero, as in Redis's compact
    /// encoding.
    pub(crate) fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let score = score + 0.0;
        match self.scores.get_full_mut(member) {
            Some((_, key, current)) => {
                let old = std::mem::replace(current, score);
                if old.to_bits() != score.to_bits() {
                    let key = key.clone();
                    self.order.remove(&(Score(old), key.clone()));
                    self.order.insert((Score(score), key));
                }
                Some(old)
            }
            None => {
                let member = Blob::from(member);
                self.scores.insert(member.clone(), score);
                self.order.insert((Score(score), member));
                None
            }
        }
    }

    /// Removes a member; returns its score.
    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (member, score) = self.scores.swap_remove_entry(member)?;
        self.order.remove(&(Score(score), member));
        Some(score)
    }

    /// Removes the member with the lowest or the highest score.
    pub(crate) fn pop(&mut self, highest: bool) -> Option<(Blob, f64)> {
        let (score, member) = if highest { self.order.pop_last()? } else { self.order.pop_first()? };
        self.scores.swap_remove(&member);
        Some((member, score.0))
    }

    fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Ordered<'_> {
        // The empty member comes before all others of its score.
        let before = |score: f64| (Score(score), Blob::default());
        let lower = match min {
            ScoreBound { score: f64::INFINITY, exclusive: true } => return self.nothing(),
            ScoreBound { score, exclusive: true } => before(score.next_up()),
            ScoreBound { score, exclusive: false } => before(score),
        };
        let upper = match max {
            ScoreBound { score, exclusive: true } => Bound::Excluded(before(score)),
            ScoreBound { score: f64::INFINITY, exclusive: false } => Bound::Unbounded,
            ScoreBound { score, exclusive: false } => Bound::Excluded(before(score.next_up())),
        };
        if let Bound::Excluded(end) = &upper
            && *end <= lower
        {
            return self.nothing();
        }
        self.order.range((Bound::Included(lower), upper))
    }

    fn nothing(&self) -> Ordered<'_> {
        // A range that ends where it starts.
        let anywhere = || (Score(0.0), Blob::default());
        self.order.range(anywhere()..anywhere())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(set: &SortedSet, min: (f64, bool), max: (f64, bool)) -> String {
        let bound = |(score, exclusive)| ScoreBound { score, exclusive };
        set.range(bound(min), bound(max))
            .map(|(member, _)| String::from_utf8_lossy(member).into_owned())
            .collect()
    }

    #[test]
    fn score_then_bytes_is_the_order_and_bounds_hold_at_their_ends() {
        let mut set = SortedSet::default();
        for (member, score) in
            [("b", 1.0), ("a", 1.0), ("c", -0.0), ("d", 0.0), ("e", f64::INFINITY), ("", 1.0)]
        {
            set.insert(member.as_bytes(), score);
        }
        let inf = f64::INFINITY;
        assert_eq!(members(&set, (-inf, false), (inf, false)), "cdabe");
        assert_eq!(members(&set, (0.0, true), (inf, true)), "ab");
        assert_eq!(members(&set, (1.0, true), (inf, false)), "e");
        assert_eq!(members(&set, (inf, true), (inf, false)), "");
        assert_eq!(members(&set, (1.0, false), (1.0, true)), "");
        assert_eq!(members(&set, (2.0, false), (1.0, false)), "");
        assert_eq!(set.rank(b"a"), Some(3));
        assert_eq!(set.insert(b"a", 9.0), Some(1.0));
        assert_eq!(set.rank(b"a"), Some(4));
        assert_eq!(set.remove(b"a"), Some(9.0));
        assert_eq!(set.pop(true).map(|(_, score)| score), Some(inf));
        assert_eq!(set.len(), set.iter().count());
    }
}
