//! Where hosts stand, and what that makes of the links between them.

use super::Latency;
use crate::engine;
use crate::host::Host;

/// Where a host stands. Names mean nothing but equal or not equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    region: String,
    zone: String,
    machine: Option<String>,
}

/// How far apart two placements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// Two processes, containers or virtual machines on one machine.
    SameMachine,
    /// Two machines of one availability zone.
    SameZone,
    /// Two availability zones of one region.
    OtherZone,
    /// Two regions.
    OtherRegion,
}

impl Placement {
    /// On a machine of its own in this zone of this region.
    pub fn new(region: &str, zone: &str) -> Placement {
        Placement { region: region.to_owned(), zone: zone.to_owned(), machine: None }
    }

    /// On this machine of the zone, beside all others that are placed on it.
    pub fn on_machine(self, machine: &str) -> Placement {
        Placement { machine: Some(machine.to_owned()), ..self }
    }

    /// How far it is from here to there.
    pub fn distance(&self, other: &Placement) -> Distance {
        if self.region != other.region {
            Distance::OtherRegion
        } else if self.zone != other.zone {
            Distance::OtherZone
        } else if self.machine.is_none() || self.machine != other.machine {
            Distance::SameZone
        } else {
            Distance::SameMachine
        }
    }
}

/// What a link does to what passes it, in one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkProfile {
    /// How long a packet takes.
    pub latency: Latency,
    /// Bits per second; `None` for a link that takes any amount at once. Zero counts as one.
    pub bandwidth: Option<u64>,
    /// Probability that a packet (1448 bytes of a stream) is lost, 0 to 1; what lies outside counts as the nearer end.
    pub loss: f64,
}

impl LinkProfile {
    /// A link that only takes time.
    pub fn with_latency(latency: Latency) -> LinkProfile {
        LinkProfile { latency, bandwidth: None, loss: 0.0 }
    }

    /// The default between placements that are so far apart.
    ///
    /// | distance | one-way latency, median / 99 % | bandwidth | loss of a packet |
    /// | --- | --- | --- | --- |
    /// | same machine | 25 µs / 50 µs | 20 Gbit/s | 0 |
    /// | same zone | 200 µs / 900 µs | 10 Gbit/s | 10⁻⁵ |
    /// | other zone of the region | 500 µs / 1.5 ms | 5 Gbit/s | 10⁻⁵ |
    /// | other region | 35 ms / 60 ms | 1 Gbit/s | 10⁻⁴ |
    /// | either host has no placement | as `Config::latency` says | unlimited | 0 |
    ///
    /// Orders of magnitude, not a provider's promise. Latency and loss inside a data centre follow Guo et al.,
    /// "Pingmesh" (SIGCOMM 2015): round trips of 0.2 to 0.5 ms at the median and around 1.3 ms at the 99th percentile,
    /// loss between 10⁻⁵ and 10⁻⁴. Zones lie within about 100 km (5 µs of fibre per km) plus switching; regions of a
    /// continent within 3000 to 6000 km. Bandwidth: what one flow of a cloud instance gets (Amazon EC2 user guide,
    /// "instance network bandwidth": 10 Gbit/s within a placement group, 5 Gbit/s outside).
    pub fn between(distance: Distance) -> LinkProfile {
        let (latency, gbits, loss) = match distance {
            Distance::SameMachine => (Latency::same_machine(), 20, 0.0),
            Distance::SameZone => (Latency::same_zone(), 10, 1e-5),
            Distance::OtherZone => (Latency::other_zone(), 5, 1e-5),
            Distance::OtherRegion => (Latency::other_region(), 1, 1e-4),
        };
        LinkProfile { latency, bandwidth: Some(gbits * 1_000_000_000), loss }
    }
}

/// Sets both directions of the link between two hosts, from the next segment on, whatever their placement.
pub fn set_link(a: Host, b: Host, profile: &LinkProfile) {
    engine::with(|world| world.set_link(a.0, b.0, profile));
}

impl Host {
    /// Says where the host stands: its links to other placed hosts become what their distance makes them, from the
    /// next segment on. Links set by [`set_link`] or [`super::set_latency`] stay as they are.
    pub fn place(self, placement: Placement) {
        engine::with(|world| world.place(self.0, placement));
    }
}
