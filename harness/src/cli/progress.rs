//! Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use world::sim::Progress;

use crate::hunt::now;

const BAR_WIDTH: usize = 30;
/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How many of those periods lie between two plain lines.
const PLAIN_LINE_EVERY: u32 = 50;

/// Runs `work` while showing how much of about `expected` simulated time has passed.
pub(super) fn show<R>(progress: &Progress, expected: Duration, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let terminal = std::io::stderr().is_terminal();
            let mut periods = 0;
            while !done.load(Ordering::Acquire) {
                std::thread::park_timeout(BAR_EVERY);
                periods += 1;
                match terminal {
                    true => write(&format!("\r\x1b[2K{}", bar(progress.simulated(), expected))),
                    false if periods % PLAIN_LINE_EVERY == 0 => {
                        write(&format!("{:.0} s simulated\n", progress.simulated().as_secs_f64()));
                    }
                    false => {}
                }
            }
            if terminal {
                write("\r\x1b[2K");
            }
        });
        // Set also when the work panics: the scope waits for the watcher.
        let _done = SetOnDrop(&done, watcher.thread().clone());
        work()
    })
}

struct SetOnDrop<'a>(&'a AtomicBool, std::thread::Thread);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.unpark();
    }
}

/// A line that is written anew now and then, by whoever has progress to show.
pub(super) struct Line {
    is_terminal: bool,
    began: Instant,
    /// When it was written last, in milliseconds since it began.
    shown_ms: AtomicU64,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), began: now(), shown_ms: AtomicU64::new(0) }
    }

    /// Writes the line, unless it has just been written.
    pub(super) fn show(&self, line: impl FnOnce() -> String) {
        let period = if self.is_terminal { BAR_EVERY } else { BAR_EVERY * PLAIN_LINE_EVERY };
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        if now_ms < self.shown_ms.load(Ordering::Relaxed).saturating_add(period_ms) {
            return;
        }
        self.shown_ms.store(now_ms, Ordering::Relaxed);
        write(&if self.is_terminal { format!("\r\x1b[2K{}", line()) } else { format!("{}\n", line()) });
    }

    /// Takes it off the terminal.
    pub(super) fn clear(self) {
        if self.is_terminal {
            write("\r\x1b[2K");
        }
    }
}

/// Becomes true when the user wants an end: then whatever is there is the result.
pub(super) fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    if let Err(error) = ctrlc::set_handler(move || stopped.store(true, Ordering::Release)) {
        eprintln!("Ctrl-C will end it without a result: {error}");
    }
    stop
}

/// Progress that cannot be shown is no reason to stop.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}

fn bar(simulated: Duration, expected: Duration) -> String {
    let share = simulated.as_secs_f64() / expected.as_secs_f64().max(1e-9);
    let filled = (share.clamp(0.0, 1.0) * BAR_WIDTH as f64) as usize;
    let (full, empty) = ("█".repeat(filled), "░".repeat(BAR_WIDTH - filled));
    format!("{full}{empty} {:.0} s simulated", simulated.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_stays_within_its_width() {
        assert_eq!(bar(Duration::ZERO, Duration::ZERO).chars().filter(|c| *c == '█').count(), 0);
        let over = bar(Duration::from_secs(90), Duration::from_secs(60));
        assert_eq!(over.chars().filter(|c| *c == '█').count(), BAR_WIDTH);
    }
}
