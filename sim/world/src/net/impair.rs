//! Faults of links: begun between any two sets of hosts, healed one by one.

use super::Latency;
use crate::engine;
use crate::host::Host;

/// What may be wrong with links, from one set of hosts to another; see [`impair`] and [`impair_both`].
///
/// Any number may overlap on a link: delays add up, losses are independent, the least bandwidth counts, and the link
/// is whole again when the last one has been healed. A host's link to itself is never impaired.
///
/// Probabilities outside of 0 to 1 count as the nearer end.
#[derive(Debug, Clone, PartialEq)]
pub enum Impairment {
    /// Whatever is sent or would arrive meanwhile is dropped without a sign.
    Partition,
    /// Whatever would arrive meanwhile waits, and arrives in order when the last hold on the link is healed. Senders
    /// know nothing of it: their timers run, and they may give up.
    Hold,
    /// Every packet takes so much longer.
    Delay(Latency),
    /// Every packet is lost with this probability. Streams send it again.
    Loss(f64),
    /// Every datagram arrives a second time with this probability. Streams discard the second copy, so it is not
    /// seen there.
    Duplicate(f64),
    /// A packet is overtaken: with the probability it takes so much longer, and later ones do not wait for it.
    /// Streams put their bytes in order again, so there the later ones are seen to wait.
    Reorder {
        /// Of each packet.
        probability: f64,
        /// By how much it is late.
        by: Latency,
    },
    /// No more than so many bits per second pass; the rest queues. Zero counts as one.
    Bandwidth(u64),
}

impl Impairment {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Impairment::Partition => "partition",
            Impairment::Hold => "hold",
            Impairment::Delay(_) => "delay",
            Impairment::Loss(_) => "loss",
            Impairment::Duplicate(_) => "duplicate",
            Impairment::Reorder { .. } => "reorder",
            Impairment::Bandwidth(_) => "bandwidth",
        }
    }
}

/// An impairment that is going on. Dropping it does not heal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Impaired(u64);

impl Impaired {
    /// Ends it, and no other that may lie on the same links. Does nothing when it has been healed already.
    pub fn heal(self) {
        engine::with(|world| world.heal(self.0));
    }
}

/// Impairs what goes from any host of `from` to any host of `to`, until it is healed.
pub fn impair(from: &[Host], to: &[Host], impairment: Impairment) -> Impaired {
    begin(from, to, false, impairment)
}

/// Impairs both directions between any host of `a` and any host of `b`, until it is healed.
pub fn impair_both(a: &[Host], b: &[Host], impairment: Impairment) -> Impaired {
    begin(a, b, true, impairment)
}

fn begin(from: &[Host], to: &[Host], both: bool, impairment: Impairment) -> Impaired {
    let (from, to) = (from.iter().map(|host| host.0).collect(), to.iter().map(|host| host.0).collect());
    Impaired(engine::with(|world| world.impair(from, to, both, impairment)))
}

/// Heals every impairment that is going on.
pub fn heal_all() {
    engine::with(engine::World::heal_all);
}

/// Ends every established connection between a host of `a` and a host of `b` as a middlebox does that has lost its
/// table: both ends get `ConnectionReset`. Returns how many there were.
pub fn reset_connections(a: &[Host], b: &[Host]) -> usize {
    let (a, b): (Vec<_>, Vec<_>) =
        (a.iter().map(|host| host.0).collect(), b.iter().map(|host| host.0).collect());
    engine::with(|world| world.reset_connections(&a, &b))
}
