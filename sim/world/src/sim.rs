//! One simulation: a seed goes in; an outcome and a fingerprint come out.

mod error;
pub(crate) mod panics;
mod progress;
mod watchdog;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::panic;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use self::error::{RunError, WaitingTask, WaitsFor};
pub(crate) use self::panics::catch_task_panic;
pub use self::progress::Progress;
use self::watchdog::Message;

use crate::choice::{self, Choices, Replayed};
use crate::engine::{self, RunEnd, World};
use crate::engines::EngineKind;
use crate::interpose;
use crate::marks::{Broken, Buggify, Coverage};
use crate::net::Latency;

/// Stack of a simulation's thread; services recurse (routers, parsers) and debug frames are large.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// How long one poll may take by default: far more than any honest one on a loaded machine.
const WATCHDOG: Duration = Duration::from_secs(30);

/// What a simulation starts from. The same configuration and code always give the same run.
#[derive(Debug, Clone)]
pub struct Config {
    /// What carries the simulation.
    pub engine: EngineKind,
    /// Decides every random choice.
    pub seed: u64,
    /// One-way latency between hosts for which [`crate::net::set_latency`] says nothing else.
    pub latency: Latency,
    /// Mutants that are switched on, by name.
    pub mutants: BTreeSet<String>,
    /// Which marks of the fingerprint to write out as text in [`Outcome::trace`]; none by default.
    pub trace: Range<u64>,
    /// Shows the simulated time while the simulation runs.
    pub progress: Progress,
    /// Who runs next when several tasks are ready in the same instant.
    pub strategy: Strategy,
    /// Record every choice, as [`Outcome::choices`]?
    pub record: bool,
    /// Take choices from this recording, as far as they fit; [`Outcome::replayed`] tells how far that was. The rest
    /// of the configuration is to be that of the recorded run, the seed excepted.
    pub replay: Option<Choices>,
    /// Let `buggify!` strike, and how often; off by default. See [`crate::marks`].
    pub buggify: Option<Buggify>,
    /// How long a task may keep the thread busy without yielding, of this machine's time, before the run is given up
    /// as [`RunError::Stuck`]. Off inside another simulation. `None` to wait for ever, as under a debugger.
    pub watchdog: Option<Duration>,
    /// On real sockets (the engine tokio): all hosts share this loopback address, and their ports are those of the
    /// machine, so that programs outside can come to them. Without it each host has a loopback address of its own,
    /// which nobody else needs to know. The simulators pay no heed to it.
    pub listen_at: Option<Ipv4Addr>,
}

/// How to choose among tasks that are ready in the same instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The one that has been ready longest. One order only, whatever the seed.
    Fifo,
    /// Any, equally likely.
    #[default]
    Random,
    /// Any within a stretch of simulated time, the one that has been ready longest before and after it: as few
    /// decisions of the seed as a failure takes.
    RandomWithin {
        /// Since the start of the simulation.
        from: Duration,
        /// Up to here, excluded.
        until: Duration,
    },
    /// The ready task of highest priority: random priorities, changed at `depth - 1` random steps. Burckhardt et al.,
    /// "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010: a bug that needs `depth`
    /// ordering constraints among n tasks is found by a run with probability at least 1 / (n · steps^(depth-1)).
    ///
    /// What simulated time orders is not reordered. A task that is polled 256 times within one instant falls below
    /// all others, so that tasks which wait for others by yielding do not starve them; the bound holds up to there.
    Pct {
        /// Ordering constraints of the bugs to be found; 1 and 2 cover most, 0 counts as 1.
        depth: u32,
        /// Expected number of polls of a run ([`Outcome::polls`] of another seed): changes are spread over as many.
        steps: u64,
    },
}

impl Config {
    /// The defaults, with this seed.
    pub fn new(seed: u64) -> Config {
        Config {
            engine: EngineKind::default(),
            seed,
            latency: Latency::same_zone(),
            mutants: BTreeSet::new(),
            trace: 0..0,
            progress: Progress::default(),
            strategy: Strategy::default(),
            record: false,
            replay: None,
            buggify: None,
            watchdog: Some(WATCHDOG),
            listen_at: None,
        }
    }
}

/// True simulated time since the start, whatever the clocks of the hosts show: for observers, not for services.
pub fn elapsed() -> Duration {
    Duration::from_nanos(engine::with(World::now_ns))
}

/// How a simulation went.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What the main task returned.
    pub result: Result<T, RunError>,
    /// Rolling hash over every scheduling choice, timer, delivery and fault. On the other engines, over what passed
    /// their interface: spawns, polls, timers, connections, and bytes read and written.
    pub fingerprint: u128,
    /// Simulated time that passed.
    pub simulated: Duration,
    /// Time that it took on this machine.
    pub wall: Duration,
    /// Segments and handshake steps that arrived. On the other engines, reads that gave bytes, connections accepted
    /// and datagrams received.
    pub messages: u64,
    /// Times that a task was polled.
    pub polls: u64,
    /// Tasks that ended in a panic, the main task excepted.
    pub panics: Vec<TaskPanic>,
    /// What the run asked for and the engine cannot give, so that it did not happen. Empty on the kernel.
    pub unsupported: Vec<String>,
    /// The fingerprint at regular distances, to find where two runs part.
    pub checkpoints: Vec<Checkpoint>,
    /// The marks asked for by [`Config::trace`], one line each.
    pub trace: Vec<String>,
    /// All choices, if [`Config::record`] asked for them.
    pub choices: Option<Choices>,
    /// How far [`Config::replay`] fitted.
    pub replayed: Option<Replayed>,
    /// What the run saw of every mark of the program, by name; see [`crate::marks`].
    pub coverage: BTreeMap<String, Coverage>,
    /// The first thousand checks by `always!` that failed.
    pub broken: Vec<Broken>,
}

/// The fingerprint after so many marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Marks that went in.
    pub marks: u64,
    /// Simulated time, in nanoseconds since the start.
    pub at_ns: u64,
    /// The fingerprint then.
    pub fingerprint: u128,
}

/// A task that panicked, while it ran or while it was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPanic {
    /// Name of the host that it ran on.
    pub host: String,
    /// Where in the source it was started.
    pub spawned_at: String,
    /// Simulated time since the start.
    pub at: Duration,
    /// The panic's message and where in the source it was raised.
    pub message: String,
}

/// Runs `main` and everything that it stages to the end of `main`, on a fresh thread.
///
/// `main` runs on the host `director`, which never crashes. Its return ends the simulation: all other tasks are
/// dropped where they stand.
#[expect(clippy::disallowed_methods, reason = "measures the machine's time around a simulation")]
pub fn run<F, Fut>(config: Config, main: F) -> Outcome<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    if let Err(unavailable) = config.engine.check() {
        return Outcome::without_run(RunError::EngineUnavailable(unavailable));
    }
    panics::install_hook();
    let started = std::time::Instant::now();
    let (progress, limit) = (config.progress.clone(), config.watchdog);
    progress.restart();
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("seed {}", config.seed)).stack_size(STACK_BYTES);
    let shown = progress.clone();
    let thread = thread.spawn(move || {
        let abandoned = sender.clone();
        panics::on_abort(Box::new(move |message| {
            let (host, spawned_at) = shown.busy_task();
            let panic = TaskPanic { host, spawned_at, at: shown.simulated(), message };
            // Nobody listens once the watchdog has given up.
            let _ = abandoned.send(Message::Abandoned(RunError::Aborted(panic)));
        }));
        let _ = sender.send(Message::Ended(run_here(config, main)));
    });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => return Outcome::without_run(RunError::NoThread(error.to_string())),
    };
    let mut outcome = match watchdog::wait(&receiver, &progress, limit) {
        Some(Message::Abandoned(error)) => {
            Outcome { simulated: progress.simulated(), ..Outcome::without_run(error) }
        }
        Some(Message::Ended(outcome)) => {
            join(thread);
            outcome
        }
        None => {
            join(thread);
            unreachable!("a simulation's thread that sends nothing panics");
        }
    };
    outcome.wall = started.elapsed();
    outcome
}

/// Waits for the thread to be gone; our own panic goes on here.
fn join(thread: std::thread::JoinHandle<()>) {
    if let Err(payload) = thread.join() {
        panic::resume_unwind(payload);
    }
}

impl<T> Outcome<T> {
    fn without_run(error: RunError) -> Outcome<T> {
        Outcome {
            result: Err(error),
            fingerprint: 0,
            simulated: Duration::ZERO,
            wall: Duration::ZERO,
            messages: 0,
            polls: 0,
            panics: Vec::new(),
            unsupported: Vec::new(),
            checkpoints: Vec::new(),
            trace: Vec::new(),
            choices: None,
            replayed: None,
            coverage: BTreeMap::new(),
            broken: Vec::new(),
        }
    }
}

fn run_here<F, Fut>(config: Config, main: F) -> Outcome<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    match config.engine {
        EngineKind::Kernel | EngineKind::Turmoil => interpose::simulated(config.seed, || {
            if !interpose::is_linked() {
                return Outcome::without_run(RunError::ClockNotOverridden);
            }
            run_world(config, main)
        }),
        // One brings its own clock and randomness, the other takes the machine's.
        EngineKind::Madsim | EngineKind::Tokio => run_world(config, main),
    }
}

fn run_world<F, Fut>(mut config: Config, main: F) -> Outcome<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    choice::begin(config.record, config.replay.take());
    engine::install(World::new(&config));
    let slot = Arc::new(Mutex::new(None));
    let result = Arc::clone(&slot);
    let main = Box::pin(async move {
        let value = main().await;
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    });
    engine::with(|world| {
        let end = world.run(&config, main);
        let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Counted before the end of the world: what destructors do there is not part of the run.
        let finish = world.finish();
        let (choices, replayed) = choice::end();
        let (coverage, broken) = world.common.marks.borrow_mut().finish();
        let mut panics = std::mem::take(&mut *world.common.panics.borrow_mut());
        let result = match (value, end) {
            (Some(value), _) => Ok(value),
            (None, RunEnd::Deadlock) => Err(RunError::Deadlock(world.waiting_tasks())),
            (None, RunEnd::Failed(message)) => Err(RunError::EngineFailed(message)),
            (None, RunEnd::MainEnded) => {
                Err(RunError::MainPanicked(panics.pop().map(|panic| panic.message).unwrap_or_default()))
            }
        };
        world.tear_down();
        Outcome {
            result,
            fingerprint: finish.fingerprint,
            simulated: finish.simulated,
            wall: Duration::ZERO,
            messages: finish.messages,
            polls: finish.polls,
            panics,
            unsupported: finish.unsupported,
            checkpoints: finish.checkpoints,
            trace: finish.trace,
            choices,
            replayed,
            coverage,
            broken,
        }
    })
}
