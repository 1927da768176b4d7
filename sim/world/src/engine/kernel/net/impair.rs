//! Impairments that are going on, and what they make together of a link.
//!
//! Links under the same impairments share one [`Shape`]: a link carries the number of its shape, and a partition of
//! a thousand hosts is one shape, not a list on each of a million links.

use std::collections::BTreeMap;

use super::link::below;
use super::{Latency, Random};
use crate::common::hosts::HostId;
use crate::net::Impairment;

/// A probability, as a threshold for a 32-bit draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chance(u64);

const ONE: u64 = 1 << 32;

impl Chance {
    /// What lies outside of 0 to 1 counts as the nearer end, and what is no number as 0.
    pub(super) fn new(probability: f64) -> Chance {
        // The conversion saturates and gives 0 for what is no number.
        Chance(((probability * ONE as f64) as u64).min(ONE))
    }

    pub(super) fn never(self) -> bool {
        self.0 == 0
    }

    pub(super) fn probability(&self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    pub(super) fn draw(self, random: &mut Random) -> bool {
        !self.never() && below(random, self.0)
    }
}

/// The links from every host of a set to every host of another, and back if both ways are meant. A host's link to
/// itself is none of them.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    pub(super) from: Vec<HostId>,
    pub(super) to: Vec<HostId>,
    pub(super) both: bool,
}

impl Pairs {
    pub(super) fn iter(&self) -> impl Iterator<Item = (HostId, HostId)> {
        let there = self.from.iter().flat_map(|from| self.to.iter().map(|to| (*from, *to)));
        let back = self.to.iter().flat_map(|from| self.from.iter().map(|to| (*from, *to)));
        there.chain(back.filter(|_| self.both)).filter(|(from, to)| from != to)
    }
}

/// What a set of impairments makes of a link.
#[derive(Default)]
pub(super) struct Shape {
    /// The impairments, ascending.
    numbers: Vec<u64>,
    /// Links that have it.
    links: u32,
    pub(super) cut: bool,
    pub(super) held: bool,
    pub(super) delays: Vec<Latency>,
    pub(super) loss: Vec<Chance>,
    pub(super) duplicate: Vec<Chance>,
    pub(super) reorder: Vec<(Chance, Latency)>,
    pub(super) bandwidth: Option<u64>,
}

impl Shape {
    fn add(&mut self, impairment: &Impairment) {
        match impairment {
            Impairment::Partition => self.cut = true,
            Impairment::Hold => self.held = true,
            Impairment::Delay(by) => self.delays.push(by.clone()),
            Impairment::Loss(probability) => self.loss.push(Chance::new(*probability)),
            Impairment::Duplicate(probability) => self.duplicate.push(Chance::new(*probability)),
            Impairment::Reorder { probability, by } => {
                self.reorder.push((Chance::new(*probability), by.clone()));
            }
            Impairment::Bandwidth(rate) => {
                self.bandwidth = Some(self.bandwidth.map_or(*rate, |least| least.min(*rate)));
            }
        }
    }
}

/// All shapes, and the impairments that they come from.
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    by_numbers: BTreeMap<Vec<u64>, u32>,
    free: Vec<u32>,
    going_on: BTreeMap<u64, (Impairment, Pairs)>,
    next_number: u64,
    /// The last change asked for and its result: links of one impairment mostly had the same shape before.
    last_change: Option<(Change, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    shape: u32,
    number: u64,
    add: bool,
}

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes {
            shapes: vec![Shape::default()],
            by_numbers: BTreeMap::new(),
            free: Vec::new(),
            going_on: BTreeMap::new(),
            next_number: 0,
            last_change: None,
        }
    }
}

impl Shapes {
    /// The shape of a link without impairments.
    pub(super) const NONE: u32 = 0;

    pub(super) fn get(&self, shape: u32) -> &Shape {
        &self.shapes[shape as usize]
    }

    /// Notes an impairment; returns its number.
    pub(super) fn begin(&mut self, impairment: Impairment, pairs: Pairs) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.going_on.insert(number, (impairment, pairs));
        number
    }

    /// Forgets an impairment, which links may still have in their shapes.
    pub(super) fn end(&mut self, number: u64) -> Option<(Impairment, Pairs)> {
        self.going_on.remove(&number)
    }

    /// The numbers of all impairments that are going on, ascending.
    pub(super) fn active(&self) -> Vec<u64> {
        self.going_on.keys().copied().collect()
    }

    /// Moves a link from its shape to the one with an impairment more.
    pub(super) fn with(&mut self, shape: u32, number: u64) -> u32 {
        self.change(Change { shape, number, add: true })
    }

    /// Moves a link from its shape to the one with an impairment less.
    pub(super) fn without(&mut self, shape: u32, number: u64) -> u32 {
        self.change(Change { shape, number, add: false })
    }

    fn change(&mut self, change: Change) -> u32 {
        let result = match self.last_change {
            Some((last, result)) if last == change => result,
            _ => {
                let mut numbers = self.shapes[change.shape as usize].numbers.clone();
                numbers.retain(|number| *number != change.number);
                if change.add {
                    numbers.push(change.number);
                    numbers.sort_unstable();
                }
                self.intern(numbers)
            }
        };
        self.last_change = Some((change, result));
        if result != Shapes::NONE {
            self.shapes[result as usize].links += 1;
        }
        self.leave(change.shape);
        result
    }

    fn intern(&mut self, numbers: Vec<u64>) -> u32 {
        if numbers.is_empty() {
            return Shapes::NONE;
        }
        if let Some(known) = self.by_numbers.get(&numbers) {
            return *known;
        }
        let mut shape = Shape { numbers: numbers.clone(), ..Shape::default() };
        for number in &numbers {
            if let Some((impairment, _)) = self.going_on.get(number) {
                shape.add(impairment);
            }
        }
        let id = self.free.pop().unwrap_or(self.shapes.len() as u32);
        match self.shapes.get_mut(id as usize) {
            Some(place) => *place = shape,
            None => self.shapes.push(shape),
        }
        self.by_numbers.insert(numbers, id);
        id
    }

    fn leave(&mut self, id: u32) {
        if id == Shapes::NONE {
            return;
        }
        let shape = &mut self.shapes[id as usize];
        shape.links -= 1;
        if shape.links == 0 {
            self.by_numbers.remove(&shape.numbers);
            *shape = Shape::default();
            self.free.push(id);
            self.last_change = None;
        }
    }
}
