//! Cores: work takes them one at a time, first come, first served.
//!
//! A host with n cores works on n pieces at once, each to its end, and makes the others wait in the order in which they
//! came: the queue with n servers of queueing theory. Its speed can be changed at any time; work under way goes on at the
//! new speed with what is left of it. Nothing takes time on a processor except [`work`].

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common::hosts::HostId;
use crate::common::{self, Common};
use crate::engine::{self, Note, Wait, World, wait_until};
use crate::host::Host;

/// Cores of a host that is given no number: a small machine of a cloud.
pub const DEFAULT_CORES: usize = 4;

/// Full speed. Speeds are integers: work is divided and summed without rounding errors that grow.
const FULL_SPEED: u64 = 1_000_000;

/// Work, in nanoseconds at full speed times [`FULL_SPEED`].
type Units = u128;

#[derive(Debug)]
struct Job {
    left: Units,
    waker: Option<Waker>,
    /// When it came; once it runs, since when `left` counts.
    since_ns: u64,
}

/// The processor of one host.
#[derive(Debug)]
struct Cpu {
    cores: usize,
    speed: u64,
    /// Its processes do not run: work stands still.
    paused: bool,
    /// By number, and so in the order of arrival.
    running: BTreeMap<u64, Job>,
    waiting: BTreeMap<u64, Job>,
    next: u64,
    busy_ns: u64,
    waited_ns: u64,
    started: u64,
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu {
            cores: DEFAULT_CORES,
            speed: FULL_SPEED,
            paused: false,
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            busy_ns: 0,
            waited_ns: 0,
            started: 0,
        }
    }
}

impl Cpu {
    fn pace(&self) -> u64 {
        if self.paused { 0 } else { self.speed }
    }

    /// Accounts for the time up to now.
    fn advance(&mut self, now_ns: u64) {
        let pace = self.pace();
        for job in self.running.values_mut() {
            let passed_ns = now_ns - std::mem::replace(&mut job.since_ns, now_ns);
            job.left = job.left.saturating_sub(Units::from(passed_ns) * Units::from(pace));
            self.busy_ns += if pace > 0 { passed_ns } else { 0 };
        }
    }

    /// Gives free cores to those who wait; returns whom to wake.
    fn start(&mut self, now_ns: u64) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.running.len() < self.cores
            && let Some((number, mut job)) = self.waiting.pop_first()
        {
            self.waited_ns += now_ns - job.since_ns;
            self.started += 1;
            job.since_ns = now_ns;
            wakers.extend(job.waker.take());
            self.running.insert(number, job);
        }
        wakers
    }

    /// Something changed for all that run: returns whom to wake, to look again when they end.
    fn changed(&mut self, now_ns: u64, change: impl FnOnce(&mut Cpu)) -> Vec<Waker> {
        self.advance(now_ns);
        change(self);
        let mut wakers: Vec<Waker> = self.running.values_mut().filter_map(|job| job.waker.take()).collect();
        wakers.extend(self.start(now_ns));
        wakers
    }

    fn submit(&mut self, work: Duration, now_ns: u64) -> u64 {
        let number = self.next;
        self.next += 1;
        let job = Job { left: work.as_nanos() * Units::from(FULL_SPEED), waker: None, since_ns: now_ns };
        self.waiting.insert(number, job);
        // Nobody else can be started by this: if a core is free, nobody waits.
        let wakers = self.start(now_ns);
        debug_assert!(wakers.is_empty(), "only the new job can have been waiting");
        number
    }

    /// When a job ends at the present pace; `None` while that cannot be said.
    fn end_ns(&mut self, number: u64, waker: &Waker) -> Option<u64> {
        let pace = Units::from(self.pace());
        let job = match self.running.get_mut(&number) {
            Some(job) => job,
            None => {
                keep(&mut self.waiting.get_mut(&number)?.waker, waker);
                return None;
            }
        };
        keep(&mut job.waker, waker);
        let left_ns = job.left.div_ceil(pace.max(1));
        let end_ns = u64::try_from(left_ns).unwrap_or(u64::MAX).saturating_add(job.since_ns);
        (pace > 0).then_some(end_ns)
    }

    /// A job is done or given up.
    fn leave(&mut self, number: u64, now_ns: u64) -> Vec<Waker> {
        self.waiting.remove(&number);
        if !self.running.contains_key(&number) {
            return Vec::new();
        }
        self.advance(now_ns);
        self.running.remove(&number);
        self.start(now_ns)
    }
}

fn keep(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(current) if current.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

/// The processors of all hosts.
#[derive(Debug, Default)]
pub(crate) struct Cpus {
    cpus: BTreeMap<HostId, Cpu>,
}

impl Cpus {
    fn of(&mut self, host: HostId) -> &mut Cpu {
        self.cpus.entry(host).or_default()
    }

    /// The processes of a host are gone, and their work with them. Returns wakers to be dropped.
    pub(crate) fn processes_gone(&mut self, host: HostId, now_ns: u64) -> Vec<Waker> {
        let Some(cpu) = self.cpus.get_mut(&host) else { return Vec::new() };
        cpu.advance(now_ns);
        let jobs = std::mem::take(&mut cpu.running).into_values();
        jobs.chain(std::mem::take(&mut cpu.waiting).into_values()).filter_map(|job| job.waker).collect()
    }

    /// The processes of a host stand still, or go on. Returns whom to wake.
    pub(crate) fn set_paused(&mut self, host: HostId, paused: bool, now_ns: u64) -> Vec<Waker> {
        let Some(cpu) = self.cpus.get_mut(&host) else { return Vec::new() };
        cpu.changed(now_ns, |cpu| cpu.paused = paused)
    }
}

/// Takes a core of the current host for as long as `duration` takes at full speed; waits for one first if all are taken.
/// Dropping the future gives up the place in the queue or the core.
///
/// As with all futures, nothing happens before it is first polled; one that is polled no more and not dropped keeps its
/// core.
pub fn work(duration: Duration) -> Work {
    Work { duration, host: HostId::DIRECTOR, number: None, wait: None }
}

/// Work on a core. See [`work`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Work {
    duration: Duration,
    host: HostId,
    number: Option<u64>,
    /// Until when, as far as is known.
    wait: Option<(u64, Wait)>,
}

impl Work {
    fn with_cpu<R>(&self, f: impl FnOnce(&mut Cpu, u64) -> R) -> R {
        engine::with(|world| f(world.common.cpus.borrow_mut().of(self.host), world.now_ns()))
    }

    fn submit(&mut self) -> u64 {
        self.host = common::with(Common::current_host);
        let number = self.with_cpu(|cpu, now_ns| cpu.submit(self.duration, now_ns));
        self.number = Some(number);
        number
    }

    fn leave(&mut self) {
        let Some(number) = self.number.take() else { return };
        let wakers = engine::try_with(|world| {
            let now_ns = world.now_ns();
            world.common.cpus.borrow_mut().of(self.host).leave(number, now_ns)
        });
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.duration.is_zero() {
            return Poll::Ready(());
        }
        let number = match self.number {
            Some(number) => number,
            None => self.submit(),
        };
        let (end_ns, now_ns) = self.with_cpu(|cpu, now_ns| (cpu.end_ns(number, context.waker()), now_ns));
        let Some(end_ns) = end_ns else {
            self.wait = None;
            return Poll::Pending;
        };
        if now_ns >= end_ns {
            self.wait = None;
            self.duration = Duration::ZERO;
            self.leave();
            return Poll::Ready(());
        }
        if self.wait.as_ref().is_none_or(|(until_ns, _)| *until_ns != end_ns) {
            self.wait = Some((end_ns, wait_until(end_ns)));
        }
        if let Some((_, wait)) = &mut self.wait {
            // Pending: the end lies ahead.
            let _ = Pin::new(wait).poll(context);
        }
        Poll::Pending
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a host's processor does and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Cores that it has.
    pub cores: usize,
    /// Pieces of work on a core now.
    pub running: usize,
    /// Pieces of work that wait for a core now.
    pub waiting: usize,
    /// Pieces of work that have got a core so far.
    pub started: u64,
    /// Time that cores were taken, summed over the cores, since the start of the simulation. Its growth over a
    /// stretch of time, divided by that time and the number of cores, is the utilisation.
    pub busy: Duration,
    /// Time that the pieces of work that have got a core had to wait for it, summed.
    pub waited: Duration,
}

/// What a host's processor does and has done up to now.
pub fn usage(host: Host) -> Usage {
    engine::with(|world| {
        let mut cpus = world.common.cpus.borrow_mut();
        let cpu = cpus.of(host.0);
        cpu.advance(world.now_ns());
        Usage {
            cores: cpu.cores,
            running: cpu.running.len(),
            waiting: cpu.waiting.len(),
            started: cpu.started,
            busy: Duration::from_nanos(cpu.busy_ns),
            waited: Duration::from_nanos(cpu.waited_ns),
        }
    })
}

/// The processors that have had work so far, by host: a host that is not among them has none that is modelled.
pub fn usages() -> Vec<(Host, Usage)> {
    let hosts: Vec<HostId> = common::with(|common| {
        let cpus = common.cpus.borrow();
        cpus.cpus.iter().filter(|(_, cpu)| cpu.started > 0).map(|(host, _)| *host).collect()
    });
    hosts.into_iter().map(|host| (Host(host), usage(Host(host)))).collect()
}

fn change(world: &World, host: HostId, what: &'static str, number: u64, change: impl FnOnce(&mut Cpu)) {
    let wakers = world.common.cpus.borrow_mut().of(host).changed(world.now_ns(), change);
    world.note(Note { kind: what, host, number, payload: &[] });
    wakers.into_iter().for_each(Waker::wake);
}

impl Host {
    /// Gives it so many cores; [`DEFAULT_CORES`] before. Work on a core that is taken away is finished first.
    ///
    /// # Panics
    /// When there are none.
    pub fn set_cores(self, cores: usize) {
        assert!(cores > 0, "a host has at least one core");
        engine::with(|world| change(world, self.0, "cpu cores", cores as u64, |cpu| cpu.cores = cores));
    }

    /// Lets its cores run at this multiple of full speed: 0.5 makes work take twice as long, the rest of what is under way
    /// included. 1 by default; steps of a millionth.
    ///
    /// # Panics
    /// When the factor is not a number, below a millionth or above a million.
    pub fn set_speed(self, factor: f64) {
        assert!((1e-6..=1e6).contains(&factor), "a speed from 0.000001 to 1000000: {factor}");
        let speed = (factor * FULL_SPEED as f64).round() as u64;
        engine::with(|world| change(world, self.0, "cpu speed", speed, |cpu| cpu.speed = speed));
    }
}
