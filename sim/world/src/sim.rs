//! One simulation: a seed goes in; an outcome and a fingerprint come out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use crate::engine::kernel::{self, RunEnd, hosts::HostId};
use crate::interpose;
use crate::net::Latency;

/// Stack of a simulation's thread; services recurse (routers, parsers) and debug frames are large.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// What a simulation starts from. The same configuration and code always give the same run.
#[derive(Debug, Clone)]
pub struct Config {
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
}

impl Config {
    /// The defaults, with this seed.
    pub fn new(seed: u64) -> Config {
        Config {
            seed,
            latency: Latency::same_zone(),
            mutants: BTreeSet::new(),
            trace: 0..0,
            progress: Progress::default(),
        }
    }
}

/// The simulated time of a running simulation, readable from another thread.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Simulated time since the start.
    pub fn simulated(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, now_ns: u64) {
        self.0.store(now_ns, Ordering::Relaxed);
    }
}

/// How a simulation went.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What the main task returned.
    pub result: Result<T, RunError>,
    /// Rolling hash over every scheduling choice, timer, delivery and fault.
    pub fingerprint: u128,
    /// Simulated time that passed.
    pub simulated: Duration,
    /// Time that it took on this machine.
    pub wall: Duration,
    /// Segments and handshake steps that arrived.
    pub messages: u64,
    /// Times that a task was polled.
    pub polls: u64,
    /// Tasks that ended in a panic, the main task excepted.
    pub panics: Vec<TaskPanic>,
    /// The fingerprint at regular distances, to find where two runs part.
    pub checkpoints: Vec<Checkpoint>,
    /// The marks asked for by [`Config::trace`], one line each.
    pub trace: Vec<String>,
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

/// A task that ended in a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPanic {
    /// Name of the host that it ran on.
    pub host: String,
    /// Simulated time since the start.
    pub at: Duration,
    /// The panic's message and where in the source it was raised.
    pub message: String,
}

/// Why a simulation has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunError {
    /// The main task waits, but no task is ready and nothing is scheduled.
    Deadlock,
    /// The main task ended in a panic.
    MainPanicked(String),
    /// The executable was linked so that our clock is not the one that the standard library reads.
    ClockNotOverridden,
    /// The machine gave us no thread.
    NoThread(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Deadlock => f.write_str("deadlock: no task is ready and nothing is scheduled"),
            RunError::MainPanicked(message) => write!(f, "the main task panicked: {message}"),
            RunError::ClockNotOverridden => f.write_str(
                "clock_gettime is not overridden in this executable: a run would not be deterministic",
            ),
            RunError::NoThread(message) => write!(f, "cannot start a thread for the simulation: {message}"),
        }
    }
}

impl std::error::Error for RunError {}

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
    install_panic_hook();
    let started = std::time::Instant::now();
    let thread = std::thread::Builder::new().name(format!("seed {}", config.seed)).stack_size(STACK_BYTES);
    let outcome = thread.spawn(move || run_here(&config, main));
    let mut outcome = match outcome.map(std::thread::JoinHandle::join) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(payload)) => panic::resume_unwind(payload),
        Err(error) => Outcome::without_run(RunError::NoThread(error.to_string())),
    };
    outcome.wall = started.elapsed();
    outcome
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
            checkpoints: Vec::new(),
            trace: Vec::new(),
        }
    }
}

fn run_here<F, Fut>(config: &Config, main: F) -> Outcome<Fut::Output>
where
    F: FnOnce() -> Fut,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    interpose::enter(config.seed);
    if !interpose::is_linked() {
        return Outcome::without_run(RunError::ClockNotOverridden);
    }
    kernel::install(config);
    let slot = Arc::new(Mutex::new(None));
    let result = Arc::clone(&slot);
    let future = main();
    let main = async move {
        let value = future.await;
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    };
    let end = kernel::with(|kernel| {
        let task = kernel.spawn(HostId::DIRECTOR, Box::pin(main)).expect("the director is up");
        kernel.run(task)
    });
    let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    kernel::with(|kernel| {
        // Counted before the end of the world: what destructors do there is not part of the run.
        let now_ns = kernel.now_ns();
        let (fingerprint, checkpoints, trace) = kernel.fingerprint.borrow_mut().finish(now_ns);
        let (messages, polls) = (kernel.network.borrow().arrivals(), kernel.polls());
        let mut panics = std::mem::take(&mut *kernel.panics.borrow_mut());
        let result = match (value, end) {
            (Some(value), _) => Ok(value),
            (None, RunEnd::Deadlock) => Err(RunError::Deadlock),
            (None, RunEnd::MainEnded) => {
                Err(RunError::MainPanicked(panics.pop().map(|panic| panic.message).unwrap_or_default()))
            }
        };
        kernel.tear_down();
        let simulated = Duration::from_nanos(now_ns);
        let wall = Duration::ZERO;
        Outcome { result, fingerprint, simulated, wall, messages, polls, panics, checkpoints, trace }
    })
}

thread_local! {
    /// Where the last panic of this thread was raised: the hook knows, the one who catches it does not.
    static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Is a task being polled, so that a panic is that task's and will be caught?
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` as a task's code: a panic in it is caught, its text and place are the error.
pub(crate) fn catch_task_panic<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    IN_TASK.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    IN_TASK.set(false);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&'static str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("a panic without a message");
        match PANIC_PLACE.with(|slot| slot.borrow_mut().take()) {
            Some(place) => format!("{text} ({place})"),
            None => text.to_owned(),
        }
    })
}

/// Panics inside a simulation are findings: they are collected with their place instead of printed.
fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_TASK.get() {
                let place = info.location().map(ToString::to_string);
                PANIC_PLACE.with(|slot| *slot.borrow_mut() = place);
            } else {
                default(info);
            }
        }));
    });
}
