//! The hunt's side of a worker: a process of its own, so that a run that hangs, eats memory or dies is a finding and
//! not the end of the hunt.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::message::{Answer, Order, Session, Task};

/// The hidden subcommand that makes a process a worker.
pub(crate) const SUBCOMMAND: &str = "hunt-worker";
/// How often a worker is looked at while it plays.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What one seed may take, of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Of its time. A hunt plays small worlds: a run that takes a hundred times as long as others hangs.
    pub wall: Duration,
    /// Of its memory, in bytes that are resident.
    pub memory: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { wall: Duration::from_secs(60), memory: 2 << 30 }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The hunt was stopped meanwhile.
    Stopped,
    /// One sentence: it hung, ate memory or died.
    Finding(String),
    /// There is no worker to be had.
    Broken(String),
}

/// A worker. It ends with this value.
pub(crate) struct Player {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Player {
    #[expect(clippy::disallowed_methods, reason = "reads from a process, outside of every simulation")]
    pub(crate) fn start(session: &Session) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C is for the hunt, which then ends its workers.
            .process_group(0)
            .spawn()?;
        let (Some(orders), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a worker without stdin and stdout"));
        };
        let (send, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        let mut player = Self { child, orders, answers };
        player.tell(session)?;
        Ok(player)
    }

    /// Tells it which scenarios to play from now on.
    pub(crate) fn tell(&mut self, session: &Session) -> io::Result<()> {
        self.say(&serde_json::to_string(&Order::Session(session.clone()))?)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.orders, "{line}")?;
        self.orders.flush()
    }

    /// Plays one seed. After anything but an answer the worker is of no more use.
    pub(crate) fn play(
        &mut self,
        task: &Task,
        allowance: Allowance,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Answer, Lost> {
        let broken = |error: &dyn std::fmt::Display| Lost::Broken(format!("a worker of the hunt: {error}"));
        let order = serde_json::to_string(&Order::Task(task.clone())).map_err(|error| broken(&error))?;
        if let Err(error) = self.say(&order) {
            // It has died since it was last heard of: before it has read the session, perhaps.
            return Err(match error.kind() {
                io::ErrorKind::BrokenPipe => Lost::Finding(self.epitaph()),
                _ => broken(&error),
            });
        }
        let started = now();
        loop {
            match self.answers.recv_timeout(LOOK_EVERY) {
                Ok(line) => return serde_json::from_str(&line).map_err(|error| broken(&error)),
                Err(RecvTimeoutError::Disconnected) => return Err(Lost::Finding(self.epitaph())),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if is_stopped() {
                return Err(Lost::Stopped);
            }
            if started.elapsed() > allowance.wall {
                return Err(Lost::Finding(format!("no result within {} s", allowance.wall.as_secs())));
            }
            if self.resident().is_some_and(|bytes| bytes > allowance.memory) {
                return Err(Lost::Finding(format!("more than {} MiB of memory", allowance.memory >> 20)));
            }
        }
    }

    /// How the process ended.
    fn epitaph(&mut self) -> String {
        match self.child.wait() {
            Ok(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("the process died of signal {signal}"),
                (None, code) => format!("the process ended with exit code {}", code.unwrap_or(-1)),
            },
            Err(error) => format!("the process is lost: {error}"),
        }
    }

    /// Resident memory in bytes, where the system has /proc.
    fn resident(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time of this machine: the hunt itself is outside of every simulation.
#[expect(clippy::disallowed_methods, reason = "a budget of real time, outside of every simulation")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
