//! Unions, intersections and differences of sorted sets, with which sets count as sorted sets of equal scores.

use std::cmp::Ordering;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::{
    commands::{
        Args, Context, is,
        sorted_sets::{reply_members, store_members},
    },
    error::{Outcome, ReplyError, SYNTAX, WRONG_TYPE, fixed},
    keyspace::{Keyspace, Set, Value},
    number::{integer, natural, parse_float},
    sorted_set::SortedSet,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Returned,
    Stored,
    Counted,
}

/// How the scores of one member become one.
#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn parse(name: &[u8]) -> Result<Self, ReplyError> {
        match name {
            name if is(name, "SUM") => Ok(Self::Sum),
            name if is(name, "MIN") => Ok(Self::Min),
            name if is(name, "MAX") => Ok(Self::Max),
            _ => Err(SYNTAX),
        }
    }

    /// Of equal scores, and where the other is not a number, the first stays: both can be seen (0 and -0).
    fn apply(self, score: f64, other: f64) -> f64 {
        match self {
            Self::Sum => zero_if_nan(score + other),
            Self::Min if other < score => other,
            Self::Max if other > score => other,
            _ => score,
        }
    }
}

/// What infinities that cancel each other, or are multiplied by zero, come to in Redis.
fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Missing,
    Set(&'a Set),
    SortedSet(&'a SortedSet),
}

impl<'a> Source<'a> {
    fn find(keyspace: &'a Keyspace, key: &[u8]) -> Result<Self, ReplyError> {
        match keyspace.get(key) {
            None => Ok(Self::Missing),
            Some(Value::Set(set)) => Ok(Self::Set(set)),
            Some(Value::SortedSet(set)) => Ok(Self::SortedSet(set)),
            Some(_) => Err(WRONG_TYPE),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Set(set) => set.len(),
            Self::SortedSet(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::SortedSet(set) => set.score(member),
        }
    }

    fn members(self) -> Box<dyn Iterator<Item = (&'a [u8], f64)> + 'a> {
        match self {
            Self::Missing => Box::new(std::iter::empty()),
            Self::Set(set) => Box::new(set.iter().map(|member| (&**member, 1.0))),
            Self::SortedSet(set) => Box::new(set.iter()),
        }
    }
}

/// `numkeys key… [WEIGHTS weight…] [AGGREGATE SUM|MIN|MAX] [WITHSCORES] [LIMIT limit]`, as far as the form and the
/// operation allow it.
struct Query<'a> {
    operation: Operation,
    sources: Vec<(Source<'a>, f64)>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

impl<'a> Query<'a> {
    fn parse(
        keyspace: &'a Keyspace,
        command: &str,
        arguments: &Args<'_>,
        (operation, form): (Operation, Form),
    ) -> Result<Self, ReplyError> {
        let count = integer(arguments[0])?;
        if count < 1 {
            return Err(ReplyError::new(format!(
                "ERR at least 1 input key is needed for '{command}' command"
            )));
        }
        let count = usize::try_from(count).map_err(|_| SYNTAX)?;
        let (keys, mut rest) = arguments[1..].split_at_checked(count).ok_or(SYNTAX)?;
        let sources: Result<_, _> =
            keys.iter().map(|key| Source::find(keyspace, key).map(|source| (source, 1.0))).collect();
        let mut query = Self {
            operation,
            sources: sources?,
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: usize::MAX,
        };
        let has_scores = operation != Operation::Difference && form != Form::Counted;
        while let Some((option, after)) = rest.split_first() {
            rest = match after {
                _ if has_scores && is(option, "WEIGHTS") => query.weights(after)?,
                [aggregate, after @ ..] if has_scores && is(option, "AGGREGATE") => {
                    query.aggregate = Aggregate::parse(aggregate)?;
                    after
                }
                _ if form == Form::Returned && is(option, "WITHSCORES") => {
                    query.with_scores = true;
                    after
                }
                [limit, after @ ..] if form == Form::Counted && is(option, "LIMIT") => {
                    query.limit = match natural(limit).ok_or(fixed("ERR LIMIT can't be negative"))? {
                        0 => usize::MAX,
                        limit => limit,
                    };
                    after
                }
                _ => return Err(SYNTAX),
            };
        }
        if operation != Operation::Difference {
            // As Redis does; the order in which scores are added can be seen in the sum.
            query.sources.sort_by_key(|(source, _)| source.len());
        }
        Ok(query)
    }

    /// Reads a weight for every source; returns the arguments that follow.
    fn weights<'b>(&mut self, arguments: &'b [&'b [u8]]) -> Result<&'b [&'b [u8]], ReplyError> {
        let (weights, rest) = arguments.split_at_checked(self.sources.len()).ok_or(SYNTAX)?;
        for ((_, weight), text) in self.sources.iter_mut().zip(weights) {
            *weight = parse_float(text).ok_or(fixed("ERR weight value is not a float"))?;
        }
        Ok(rest)
    }

    /// The members of the result with their scores, in no order.
    fn members(&self) -> Vec<(&'a [u8], f64)> {
        let Some(((first, weight), others)) = self.sources.split_first() else { return Vec::new() };
        match self.operation {
            Operation::Union => {
                let mut result: IndexMap<&[u8], f64, FxBuildHasher> = IndexMap::default();
                for (source, weight) in &self.sources {
                    for (member, score) in source.members() {
                        let score = zero_if_nan(weight * score);
                        result
                            .entry(member)
                            .and_modify(|sum| *sum = self.aggregate.apply(*sum, score))
                            .or_insert(score);
                    }
                }
                result.into_iter().collect()
            }
            Operation::Intersection => first
                .members()
                .filter_map(|(member, score)| {
                    others
                        .iter()
                        .try_fold(zero_if_nan(weight * score), |score, (source, weight)| {
                            Some(self.aggregate.apply(score, source.score(member)? * weight))
                        })
                        .map(|score| (member, score))
                })
                .take(self.limit)
                .collect(),
            Operation::Difference => first
                .members()
                .filter(|(member, _)| others.iter().all(|(source, _)| source.score(member).is_none()))
                .collect(),
        }
    }
}

fn run(c: &mut Context<'_>, a: &Args<'_>, command: &str, operation: Operation, form: Form) -> Outcome {
    let arguments = if form == Form::Stored { &a[2..] } else { &a[1..] };
    let query = Query::parse(&c.db.keyspace, command, arguments, (operation, form))?;
    let mut members = query.members();
    match form {
        Form::Counted => c.reply.count(members.len()),
        Form::Returned => {
            members.sort_by(|(left, a), (right, b)| {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| left.cmp(right))
            });
            reply_members(c.reply, &members, query.with_scores);
        }
        Form::Stored => {
            let stored: SortedSet = members.into_iter().collect();
            c.reply.count(stored.len());
            store_members(&mut c.db.keyspace, a[1], stored);
        }
    }
    Ok(())
}

pub(super) fn zunion(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    run(c, a, "zunion", Operation::Union, Form::Returned)
}

pub(super) fn zunionstore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    run(c, a, "zunionstore", Operation::Union, Form::Stored)
}

pub(super) fn zinter(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    run(c, a, "zinter", Operation::Intersection, Form::Returned)
}

pub(super) fn zinterstore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    run(c, a, "zinterstore", Operation::Intersection, Form::Stored)
}

pub(super) fn zintercard(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    run(c, a, "zintercard", Operation::Intersection, Form::Counted)
}

pub(super) fn zdiff(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    run(c, a, "zdiff", Operation::Difference, Form::Returned)
}

pub(super) fn zdiffstore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    run(c, a, "zdiffstore", Operation::Difference, Form::Stored)
}
