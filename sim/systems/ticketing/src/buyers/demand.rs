//! What buyers want.
use world::rand;

use super::Profile;
use crate::{
    config::{RunOnSale, Sale},
    domain::{Class, Trip},
};

/// What one buyer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) trip: Trip,
    pub(super) passengers: u32,
}

/// How the wishes are distributed over the trains.
#[derive(Debug)]
pub(super) struct Demand {
    /// For each run of the sale, in its order, the demand for it and for those before it; the whole is the last.
    cumulative: Vec<f64>,
    first_class: f64,
    travel_as: [f64; 2],
}

impl Demand {
    pub(super) fn new(sale: &Sale, profile: &Profile) -> Demand {
        let mut sum = 0.0;
        let weigh = |rank: usize| {
            sum += 1.0 / (1.0 + rank as f64 * profile.hotness.max(0.0));
            sum
        };
        Demand {
            cumulative: (0..sale.runs().len()).map(weigh).collect(),
            first_class: profile.first_class,
            travel_as: profile.travel_as,
        }
    }

    /// Draws a wish on the current host; `None` if nothing is on sale.
    pub(super) fn draw(&self, sale: &Sale) -> Option<Wish> {
        let point = rand::f64() * self.cumulative.last()?;
        let run = sale.runs().get(self.cumulative.partition_point(|sum| *sum <= point))?;
        let (from, to) = draw_trip(run.segments())?;
        let class = self.draw_class(run)?;
        let [two, three] = self.travel_as;
        let company = rand::f64();
        let passengers = if company < three {
            3
        } else if company < three + two {
            2
        } else {
            1
        };
        Some(Wish { trip: Trip { run: run.train.id.clone(), class, from, to }, passengers })
    }

    fn draw_class(&self, run: &RunOnSale) -> Option<Class> {
        let wanted = if rand::chance(self.first_class) { Class::First } else { Class::Second };
        run.class(wanted).or_else(|| run.classes.first()).map(|on_sale| on_sale.class)
    }
}

/// Draws where a trip begins and ends: the longer of two, as most people do not take a long-distance train for a
/// short ride.
fn draw_trip(segments: u32) -> Option<(u32, u32)> {
    if segments == 0 {
        return None;
    }
    let draw = || {
        let (a, b) = (draw_below(segments + 1), draw_below(segments));
        // Two different stations, any pair equally likely.
        let b = if b >= a { b + 1 } else { b };
        (a.min(b), a.max(b))
    };
    let (one, other) = (draw(), draw());
    Some(if other.1 - other.0 > one.1 - one.0 { other } else { one })
}

fn draw_below(end: u32) -> u32 {
    // Fits: the number is below `end`.
    rand::range(0..u64::from(end)) as u32
}
