//! Carries out the faults of a scenario and records when they happened.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use record::result::FaultRecord;
use record::story::{self, Line};
use scenarios::{Direction, Fault, HostEffect, Jump, LinkEffect, Links, Side, Strike};
use world::host::{self, Host, Shift};
use world::net::{self, Impaired, Impairment, Latency};
use world::time::{self, Instant};
use world::{sim, task};

/// The faults of a run: those that have happened, and those that are going on.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Injected>>>);

#[derive(Debug)]
struct Injected {
    record: FaultRecord,
    /// What is wrong as long as it has not been healed; `None` afterwards.
    going_on: Option<Trouble>,
}

impl Faults {
    /// Schedules the faults, counted from now, the start of the load. A fault without an end lasts until
    /// [`Faults::heal_all`].
    pub fn schedule(&self, faults: &[Fault]) {
        let start = Instant::now();
        for fault in faults.iter().cloned() {
            let faults = self.clone();
            task::spawn(async move {
                time::sleep_until(start + fault.at).await;
                let index = faults.inject(&fault);
                if let Some(duration) = fault.for_ {
                    time::sleep(duration).await;
                    faults.heal(index);
                }
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Injected>> {
        crate::lock(&self.0)
    }

    fn inject(&self, fault: &Fault) -> usize {
        let (struck, going_on) = strike(&fault.strike);
        let on: Vec<String> = struck.into_iter().map(Host::name).collect();
        let now_s = sim::elapsed().as_secs_f64();
        tell(fault.kind().name(), &on, "begins");
        let record = FaultRecord { kind: fault.kind().name().to_owned(), from_s: now_s, to_s: now_s, on };
        let mut injected = self.lock();
        injected.push(Injected { record, going_on });
        injected.len() - 1
    }

    fn heal(&self, index: usize) {
        let mut injected = self.lock();
        let Some(fault) = injected.get_mut(index) else { return };
        let Some(trouble) = fault.going_on.take() else { return };
        fault.record.to_s = sim::elapsed().as_secs_f64();
        tell(&fault.record.kind, &fault.record.on, "heals");
        let others: Vec<&Trouble> = injected.iter().filter_map(|fault| fault.going_on.as_ref()).collect();
        trouble.mend(&others);
    }

    /// Ends every fault that is still going on.
    pub fn heal_all(&self) {
        let count = self.lock().len();
        (0..count).for_each(|index| self.heal(index));
    }

    /// Those that are going on, for people: `crash order-1`.
    pub fn going_on(&self) -> Vec<String> {
        let injected = self.lock();
        let going_on = injected.iter().filter(|fault| fault.going_on.is_some()).map(|fault| &fault.record);
        going_on.map(|record| format!("{} {}", record.kind, record.on.join(", "))).collect()
    }

    /// What has happened, in order of time.
    pub fn records(&self) -> Vec<FaultRecord> {
        self.lock().iter().map(|fault| fault.record.clone()).collect()
    }
}

fn tell(kind: &str, on: &[String], what: &str) {
    story::tell(|| Line {
        at: sim::elapsed(),
        host: on.first().cloned().unwrap_or_default(),
        peer: None,
        is_answer: false,
        kind: story::Kind::Fault,
        trace: String::new(),
        text: format!("the fault {kind} on {} {what}", on.join(", ")),
    });
}

/// What is wrong, as far as it is needed to mend it.
#[derive(Debug)]
enum Trouble {
    Down(Vec<Host>),
    Paused(Vec<Host>),
    ClockOff(Vec<Host>, Jump),
    Drift(Vec<Host>, i32),
    SlowDisk(Vec<Host>, u32),
    Links(Vec<Impaired>),
}

impl Trouble {
    /// Ends it, while `others` go on: one of the list and one of the swarm may be on the same host.
    fn mend(self, others: &[&Trouble]) {
        match self {
            // Who is struck down twice is down until the later end.
            Trouble::Down(hosts) => {
                let held =
                    |host| others.iter().any(|other| matches!(other, Trouble::Down(on) if on.contains(host)));
                hosts.iter().filter(|host| !held(host)).for_each(|host| host.boot());
            }
            Trouble::Paused(hosts) => {
                let held = |host| {
                    others.iter().any(|other| matches!(other, Trouble::Paused(on) if on.contains(host)))
                };
                hosts.iter().filter(|host| !held(host)).for_each(|host| host.resume());
            }
            Trouble::ClockOff(hosts, by) => {
                let back = match by {
                    Jump::Forward(by) => Shift::Backward(by),
                    Jump::Back(by) => Shift::Forward(by),
                };
                hosts.iter().for_each(|host| host.jump_clock(back));
            }
            Trouble::Drift(hosts, _) => hosts.iter().for_each(|host| end_drift(*host, others)),
            Trouble::SlowDisk(hosts, _) => {
                for host in hosts {
                    let still = others.iter().find_map(|other| match other {
                        Trouble::SlowDisk(on, slowness) if on.contains(&host) => Some(*slowness),
                        _ => None,
                    });
                    slow_disk(host, still.unwrap_or(1));
                }
            }
            Trouble::Links(impaired) => impaired.into_iter().for_each(Impaired::heal),
        }
    }
}

/// The clock runs true again and is set right, but for the jumps that are not healed yet.
fn end_drift(host: Host, others: &[&Trouble]) {
    let mut off_ns = 0_i128;
    for other in others {
        match other {
            Trouble::Drift(hosts, ppm) if hosts.contains(&host) => return drift(host, *ppm),
            Trouble::ClockOff(hosts, by) if hosts.contains(&host) => match by {
                Jump::Forward(by) => off_ns += by.as_nanos() as i128,
                Jump::Back(by) => off_ns -= by.as_nanos() as i128,
            },
            _ => {}
        }
    }
    drift(host, 0);
    let length = Duration::from_nanos(u64::try_from(off_ns.unsigned_abs()).unwrap_or(u64::MAX));
    host.set_clock_skew(if off_ns < 0 { Shift::Backward(length) } else { Shift::Forward(length) });
}

fn drift(host: Host, ppm: i32) {
    host.set_clock_drift(ppm.saturating_mul(1_000));
}

fn slow_disk(host: Host, slowness: u32) {
    host.disk().set_slowness(f64::from(slowness));
}

/// Strikes. Gives the hosts that a result names, and what is wrong from now on; `None` if it is over already.
fn strike(strike: &Strike) -> (Vec<Host>, Option<Trouble>) {
    match strike {
        Strike::Hosts { on, effect } => {
            let hosts = named(on);
            let trouble = strike_hosts(hosts.clone(), *effect);
            (hosts, Some(trouble))
        }
        Strike::Links { links, effect } => {
            let pairs = Pairs::of(links);
            let trouble = strike_links(&pairs, *effect);
            (pairs.first, trouble)
        }
    }
}

fn strike_hosts(hosts: Vec<Host>, effect: HostEffect) -> Trouble {
    match effect {
        HostEffect::Kill => {
            hosts.iter().for_each(|host| host.kill());
            Trouble::Down(hosts)
        }
        HostEffect::Crash => {
            hosts.iter().for_each(|host| host.crash());
            Trouble::Down(hosts)
        }
        HostEffect::Pause => {
            hosts.iter().for_each(|host| host.pause());
            Trouble::Paused(hosts)
        }
        HostEffect::ClockJump { by } => {
            let shift = match by {
                Jump::Forward(by) => Shift::Forward(by),
                Jump::Back(by) => Shift::Backward(by),
            };
            hosts.iter().for_each(|host| host.jump_clock(shift));
            Trouble::ClockOff(hosts, by)
        }
        HostEffect::ClockDrift { ppm } => {
            hosts.iter().for_each(|host| drift(*host, ppm));
            Trouble::Drift(hosts, ppm)
        }
        HostEffect::SlowDisk { slowness } => {
            hosts.iter().for_each(|host| slow_disk(*host, slowness));
            Trouble::SlowDisk(hosts, slowness)
        }
    }
}

fn strike_links(pairs: &Pairs, effect: LinkEffect) -> Option<Trouble> {
    let impairment = match effect {
        LinkEffect::Partition => Impairment::Partition,
        LinkEffect::Hold => Impairment::Hold,
        LinkEffect::Slow { latency } => Impairment::Delay(Latency::constant(latency)),
        LinkEffect::Lossy { loss } => Impairment::Loss(loss),
        LinkEffect::Narrow { bandwidth } => Impairment::Bandwidth(bandwidth.bits_per_second()),
        LinkEffect::ResetConnections => {
            for (a, b) in &pairs.between {
                net::reset_connections(a, b);
            }
            return None;
        }
    };
    let impair = match pairs.direction {
        Direction::Both => net::impair_both,
        Direction::OneWay => net::impair,
    };
    Some(Trouble::Links(pairs.between.iter().map(|(a, b)| impair(a, b, impairment.clone())).collect()))
}

/// The links of a fault.
struct Pairs {
    /// The hosts of the first side.
    first: Vec<Host>,
    /// From each host of the one set to each of the other.
    between: Vec<(Vec<Host>, Vec<Host>)>,
    direction: Direction,
}

impl Pairs {
    fn of(links: &Links) -> Pairs {
        match links {
            Links::Of(on) => {
                let first = named(on);
                Pairs { between: vec![(first.clone(), host::all())], first, direction: Direction::Both }
            }
            Links::Between { sides, direction } => {
                let sides: Vec<Vec<Host>> = sides.iter().map(|side| of_side(side, sides)).collect();
                let others = |index: usize| sides.iter().skip(index + 1);
                let between = sides
                    .iter()
                    .enumerate()
                    .flat_map(|(index, side)| others(index).map(|other| (side.clone(), other.clone())))
                    .collect();
                let first = sides.into_iter().next().unwrap_or_default();
                Pairs { first, between, direction: *direction }
            }
        }
    }
}

/// The hosts of a side; the rest is all that no side names.
fn of_side(side: &Side, sides: &[Side]) -> Vec<Host> {
    match side {
        Side::Hosts(names) => named(names),
        Side::Rest => {
            let elsewhere: Vec<Host> = sides
                .iter()
                .flat_map(|side| match side {
                    Side::Hosts(names) => named(names),
                    Side::Rest => Vec::new(),
                })
                .collect();
            host::all().into_iter().filter(|host| !elsewhere.contains(host)).collect()
        }
    }
}

/// The hosts of these names; the scenario was checked against the system's hosts.
fn named(names: &[String]) -> Vec<Host> {
    names.iter().filter_map(|name| host::find(name)).collect()
}
