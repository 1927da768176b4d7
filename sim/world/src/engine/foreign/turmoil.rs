//! turmoil: hosts take turns, a tick of one millisecond each.
//!
//! A turmoil host runs one resident task of ours, which starts the host's tasks as they come. What only `turmoil::Sim`
//! can do (adding hosts, crashes, latencies) is queued by tasks and done between two ticks.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use turmoil::{Builder, Sim};

use super::links::Link;
use super::task::Hosted;
use super::{AnyNative, Cannot, Foreign, Native};
use crate::common::hosts::{HostId, Hosts};
use crate::engine::RunEnd;
use crate::net::Latency;
use crate::sim::{Config, catch_task_panic};

const TICK: Duration = Duration::from_millis(1);
/// Segments that a stream or a backlog holds; turmoil panics when a backlog overflows. The kernel's backlog.
const CAPACITY: usize = 4096;
/// Ticks without anything to do after which nothing can ever happen again: what turmoil sends to a host itself takes
/// one.
const IDLE_TICKS: u32 = 3;

/// What is to be done between two ticks.
enum Command {
    Add(HostId),
    Crash(HostId),
    Boot(HostId),
    Latency(HostId, HostId, Duration),
    Loss(HostId, HostId, f64),
    Partition(HostId, HostId),
    Repair(HostId, HostId),
    Hold(HostId, HostId),
    Release(HostId, HostId),
}

/// Tasks that a host is to start.
#[derive(Default)]
struct Inbox {
    tasks: VecDeque<Hosted>,
    resident: Option<Waker>,
    /// Does it run, or will it once the commands are carried out?
    runs: bool,
    /// Its crash is among the commands: what is started now is for its next life.
    is_crashing: bool,
}

#[derive(Default)]
pub(super) struct Turmoil {
    elapsed_ns: Cell<u64>,
    default_latency: Cell<Duration>,
    commands: RefCell<VecDeque<Command>>,
    /// Of every host that was added.
    inboxes: RefCell<BTreeMap<HostId, Inbox>>,
}

impl Native for Turmoil {
    fn run(&self, foreign: &Foreign, config: &Config, main: Hosted) -> RunEnd {
        let mut sim = build(config);
        self.default_latency.set(config.latency.median());
        self.host_up(HostId::DIRECTOR, "director");
        self.start(HostId::DIRECTOR, None, main);
        let mut idle_ticks = 0;
        let end = loop {
            let polls = foreign.polls();
            let stepped = catch_task_panic(|| {
                self.carry_out_commands(&mut sim);
                sim.step().map_err(|error| error.to_string())
            });
            if let Err(message) | Ok(Err(message)) = stepped {
                // What is left of it may panic again.
                std::mem::forget(sim);
                return RunEnd::Failed(message);
            }
            self.elapsed_ns.set(nanos(sim.elapsed()));
            foreign.progress.set(self.elapsed_ns.get());
            if foreign.closing.get() {
                break RunEnd::MainEnded;
            }
            let idle = foreign.polls() == polls && foreign.timers.borrow().is_empty() && self.is_settled();
            idle_ticks = if idle { idle_ticks + 1 } else { 0 };
            if idle_ticks > IDLE_TICKS && nothing_in_flight(&sim) {
                foreign.keep_waiting_tasks();
                break RunEnd::Deadlock;
            }
        };
        foreign.tear_down();
        end
    }

    fn now_ns(&self, in_task: bool) -> u64 {
        let in_turn = if in_task { turmoil::sim_elapsed() } else { None };
        in_turn.map_or(self.elapsed_ns.get(), nanos)
    }

    #[expect(clippy::disallowed_methods, reason = "turmoil runs tokio")]
    fn start(&self, host: HostId, from: Option<HostId>, task: Hosted) {
        let mut inboxes = self.inboxes.borrow_mut();
        let inbox = inboxes.entry(host).or_default();
        if from == Some(host) && !inbox.is_crashing {
            drop(inboxes);
            tokio::task::spawn_local(task);
            return;
        }
        inbox.tasks.push_back(task);
        let resident = inbox.resident.take();
        drop(inboxes);
        if let Some(resident) = resident {
            resident.wake();
        }
    }

    /// turmoil's streams act, when they are dropped, as the host whose turn it is.
    fn drops_anywhere(&self) -> bool {
        false
    }

    fn host_up(&self, host: HostId, _: &str) {
        let mut inboxes = self.inboxes.borrow_mut();
        let is_new = !inboxes.contains_key(&host);
        let ran = std::mem::replace(&mut inboxes.entry(host).or_default().runs, true);
        if !ran {
            self.command(if is_new { Command::Add(host) } else { Command::Boot(host) });
        }
    }

    fn host_down(&self, host: HostId, machine_goes_on: bool) {
        let mut inboxes = self.inboxes.borrow_mut();
        let inbox = inboxes.entry(host).or_default();
        let ran = std::mem::replace(&mut inbox.runs, machine_goes_on);
        inbox.is_crashing |= ran;
        let never_started = std::mem::take(&mut inbox.tasks);
        drop(inboxes);
        drop(never_started);
        if ran {
            self.command(Command::Crash(host));
        }
        if machine_goes_on {
            // Without processes: it refuses connections and resets those of the dead.
            self.command(Command::Boot(host));
        }
    }

    fn set_link(&self, from: HostId, to: HostId, before: &Link, after: &Link) -> Result<(), Cannot> {
        if from == to {
            return Ok(());
        }
        if before.partitioned != after.partitioned {
            self.command(if after.partitioned {
                Command::Partition(from, to)
            } else {
                Command::Repair(from, to)
            });
        }
        if before.held != after.held {
            self.command(if after.held { Command::Hold(from, to) } else { Command::Release(from, to) });
        }
        if (before.latency, before.delay) != (after.latency, after.delay) {
            let latency = after.latency.unwrap_or(self.default_latency.get()) + after.delay;
            self.command(Command::Latency(from, to, latency));
        }
        if before.loss != after.loss {
            self.command(Command::Loss(from, to, after.loss));
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        self.commands.borrow().is_empty()
    }
}

impl Turmoil {
    fn command(&self, command: Command) {
        self.commands.borrow_mut().push_back(command);
    }

    fn carry_out_commands(&self, sim: &mut Sim<'static>) {
        loop {
            let Some(command) = self.commands.borrow_mut().pop_front() else { return };
            match command {
                Command::Add(host) => sim.host(Hosts::ip(host), move || resident(host)),
                Command::Crash(host) => {
                    sim.crash(Hosts::ip(host));
                    self.inboxes.borrow_mut().entry(host).or_default().is_crashing = false;
                }
                Command::Boot(host) => sim.bounce(Hosts::ip(host)),
                Command::Latency(a, b, latency) => sim.set_link_latency(Hosts::ip(a), Hosts::ip(b), latency),
                Command::Loss(a, b, share) => sim.set_link_fail_rate(Hosts::ip(a), Hosts::ip(b), share),
                Command::Partition(from, to) => sim.partition_oneway(Hosts::ip(from), Hosts::ip(to)),
                Command::Repair(from, to) => sim.repair_oneway(Hosts::ip(from), Hosts::ip(to)),
                Command::Hold(a, b) => sim.hold(Hosts::ip(a), Hosts::ip(b)),
                Command::Release(a, b) => sim.release(Hosts::ip(a), Hosts::ip(b)),
            }
        }
    }
}

fn build(config: &Config) -> Sim<'static> {
    let Latency { .. } = &config.latency;
    let (least, most, mean) = (config.latency.least(), config.latency.most(), config.latency.mean());
    let mut builder = Builder::new();
    builder
        .rng_seed(config.seed)
        .epoch(std::time::UNIX_EPOCH + Duration::from_secs(crate::interpose::EPOCH_S))
        .tick_duration(TICK)
        .tcp_capacity(CAPACITY)
        .udp_capacity(CAPACITY)
        .min_message_latency(least)
        .max_message_latency(most)
        .enable_random_order();
    let sim = builder.build();
    // Latencies are `least + (most - least) * X`, X exponential with mean 1/curve.
    let above_least = (mean - least).as_secs_f64();
    if above_least > 0.0 {
        sim.set_message_latency_curve((most - least).as_secs_f64() / above_least);
    }
    sim
}

fn nothing_in_flight(sim: &Sim<'_>) -> bool {
    let mut nothing = true;
    sim.links(|links| nothing = links.flatten().next().is_none());
    nothing
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What turmoil runs on every host: starts its tasks.
#[expect(clippy::disallowed_methods, reason = "turmoil runs tokio")]
async fn resident(host: HostId) -> turmoil::Result {
    loop {
        let tasks = poll_fn(|context| {
            super::with(|foreign| {
                let AnyNative::Turmoil(turmoil) = &foreign.native else { return Poll::Pending };
                let mut inboxes = turmoil.inboxes.borrow_mut();
                let inbox = inboxes.entry(host).or_default();
                if inbox.tasks.is_empty() || inbox.is_crashing {
                    inbox.resident = Some(context.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(std::mem::take(&mut inbox.tasks))
            })
        })
        .await;
        for task in tasks {
            tokio::task::spawn_local(task);
        }
    }
}
