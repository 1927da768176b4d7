//! Why a simulation has no result.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::TaskPanic;
use crate::engines::Unavailable;

/// Why a simulation has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunError {
    /// The main task waits, but no task is ready and nothing is scheduled: nothing can ever happen again. These are
    /// the tasks that are left, by age.
    Deadlock(Vec<WaitingTask>),
    /// The main task ended in a panic.
    MainPanicked(String),
    /// A task kept the simulation's thread busy for longer than [`Config::watchdog`](super::Config::watchdog). The
    /// thread cannot be stopped: it stays behind until the process ends.
    Stuck {
        /// The host of the task.
        host: String,
        /// Where in the source the task was started.
        spawned_at: String,
        /// Simulated time since the start.
        at: Duration,
        /// How long it was waited for, of this machine's time.
        waited: Duration,
    },
    /// A task did what aborts a process: a destructor panicked while another panic was unwinding, a panic met a
    /// function that cannot unwind, or `abort` was called. The simulation's thread is stopped there instead, and stays
    /// behind until the process ends.
    Aborted(TaskPanic),
    /// The executable was linked so that our clock is not the one that the standard library reads.
    ClockNotOverridden,
    /// The build lacks the engine.
    EngineUnavailable(Unavailable),
    /// The engine itself broke: the message of its panic, or of the operating system.
    EngineFailed(String),
    /// The machine gave us no thread.
    NoThread(String),
}

/// A task that is left when nothing can happen any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingTask {
    /// Name of the host that it runs on.
    pub host: String,
    /// Where in the source it was started.
    pub spawned_at: String,
    /// What it waits for; several where it waits for the first, or for all, of several.
    pub waits_for: Vec<WaitsFor>,
}

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// A moment that never comes.
    Timer,
    /// An answer to its request to connect.
    Connect(String),
    /// Bytes from a peer.
    Read(Option<SocketAddr>),
    /// Room to send to a peer.
    Write(Option<SocketAddr>),
    /// Somebody who connects to this address.
    Accept(Option<SocketAddr>),
    /// The end of a task that was started at this place.
    Join(String),
    /// That its host is resumed.
    Resume,
    /// To be woken: what it waited for has come, but nobody told it. A lost wake is a mistake in what it waits with.
    Wake,
    /// Something that the world does not know: a channel, a lock, a semaphore.
    Other,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Deadlock(tasks) => {
                f.write_str("deadlock: no task is ready and nothing is scheduled")?;
                tasks.iter().take(20).try_for_each(|task| write!(f, "\n  {task}"))?;
                match tasks.len().checked_sub(20) {
                    Some(more @ 1..) => write!(f, "\n  and {more} more"),
                    _ => Ok(()),
                }
            }
            RunError::MainPanicked(message) => write!(f, "the main task panicked: {message}"),
            RunError::Stuck { host, spawned_at, at, waited } => write!(
                f,
                "the task on {host} started at {spawned_at} has not yielded for {waited:?}, at {at:?} simulated"
            ),
            RunError::Aborted(panic) => write!(
                f,
                "the task on {} started at {} would have aborted the process at {:?} simulated: {}",
                panic.host, panic.spawned_at, panic.at, panic.message
            ),
            RunError::ClockNotOverridden => f.write_str(
                "clock_gettime is not overridden in this executable: a run would not be deterministic",
            ),
            RunError::EngineUnavailable(unavailable) => unavailable.fmt(f),
            RunError::EngineFailed(message) => write!(f, "the engine broke: {message}"),
            RunError::NoThread(message) => write!(f, "cannot start a thread for the simulation: {message}"),
        }
    }
}

impl std::error::Error for RunError {}

impl fmt::Display for WaitingTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, started at {}, waits for ", self.host, self.spawned_at)?;
        for (position, waits_for) in self.waits_for.iter().enumerate() {
            write!(f, "{}{waits_for}", if position == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at =
            |address: &Option<SocketAddr>| address.map_or("a peer that is gone".into(), |a| a.to_string());
        match self {
            WaitsFor::Timer => f.write_str("a moment that never comes"),
            WaitsFor::Connect(to) => write!(f, "a connection to {to}"),
            WaitsFor::Read(from) => write!(f, "bytes from {}", at(from)),
            WaitsFor::Write(to) => write!(f, "room to send to {}", at(to)),
            WaitsFor::Accept(on) => write!(f, "somebody to connect to {}", at(on)),
            WaitsFor::Join(site) => write!(f, "the task started at {site}"),
            WaitsFor::Resume => f.write_str("its host to be resumed"),
            WaitsFor::Wake => f.write_str("a wake that was lost: it could go on"),
            WaitsFor::Other => f.write_str("something of its own: a channel, a lock"),
        }
    }
}
