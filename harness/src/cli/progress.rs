//! Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use world::sim::Progress;

use crate::hunt::now;
use crate::timeline::{Live, Watch};

/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often the bar moves, per second.
const BAR_HZ: u8 = 10;
/// How many of those periods lie between two plain lines.
const PLAIN_LINE_EVERY: u32 = 50;
/// Rates are measured over at least so much simulated time.
const RATE_OVER: Duration = Duration::from_secs(1);

/// A run that goes on.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    /// How far it is.
    pub(super) progress: &'a Progress,
    /// Its figures; `None` where nobody watches.
    pub(super) watch: Option<&'a Watch>,
    /// What it is played for, where that does not go without saying.
    pub(super) purpose: &'a str,
    /// About how much simulated time it takes.
    pub(super) expected: Duration,
}

impl Shown<'_> {
    /// Runs `work` while showing how the run goes.
    pub(super) fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| self.show_until(&done));
            // Set also when the work panics: the scope waits for the watcher.
            let _done = SetOnDrop(&done, watcher.thread().clone());
            work()
        })
    }

    fn show_until(&self, done: &AtomicBool) {
        let bar = is_terminal().then(|| bar(millis(self.expected)));
        let mut pace = Pace::default();
        let mut periods = 0;
        while !done.load(Ordering::Acquire) {
            std::thread::park_timeout(BAR_EVERY);
            periods += 1;
            let simulated = self.progress.simulated();
            let live = self.watch.map(Watch::live);
            if let Some(live) = live {
                pace.add(simulated, live);
            }
            let text = || figures(self.purpose, simulated, &pace, live);
            match &bar {
                Some(bar) => {
                    bar.set_position(millis(simulated.min(self.expected)));
                    bar.set_message(text());
                }
                None if periods % PLAIN_LINE_EVERY == 0 => write_line(&text()),
                None => {}
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }
}

struct SetOnDrop<'a>(&'a AtomicBool, std::thread::Thread);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.unpark();
    }
}

/// Operations per simulated second, over the last one or so.
#[derive(Debug, Default)]
struct Pace {
    since: Duration,
    offered: u64,
    answered: u64,
    /// Offered and answered per second, once that has been measured.
    per_second: Option<(f64, f64)>,
}

impl Pace {
    fn add(&mut self, simulated: Duration, live: &Live) {
        let passed = simulated.saturating_sub(self.since);
        if passed < RATE_OVER {
            return;
        }
        let (offered, answered) = (live.offered(), live.answered());
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / passed.as_secs_f64();
        let per_second = Some((rate(offered, self.offered), rate(answered, self.answered)));
        *self = Pace { since: simulated, offered, answered, per_second };
    }
}

/// `12 s simulated · all invariants hold · 812/s offered, 790/s achieved · crash order-1`.
fn figures(purpose: &str, simulated: Duration, pace: &Pace, live: Option<&Live>) -> String {
    let mut parts = vec![format!("{:.0} s simulated", simulated.as_secs_f64())];
    if !purpose.is_empty() {
        parts.insert(0, purpose.to_owned());
    }
    let Some(live) = live else { return parts.join(" · ") };
    // What matters most first: a narrow terminal cuts the end off.
    parts.push(match live.violated() {
        Some(invariant) => format!("{invariant} is violated"),
        None => "all invariants hold".to_owned(),
    });
    match pace.per_second {
        Some((offered, achieved)) => {
            parts.push(format!("{offered:.0}/s offered, {achieved:.0}/s achieved"));
        }
        None => parts.push(format!("{} offered, {} achieved", live.offered(), live.answered())),
    }
    if live.is_resting() {
        parts.push("the load is over".to_owned());
    }
    parts.extend(live.faults());
    parts.join(" · ")
}

/// Progress that cannot be shown, since nobody reads it any more, is no reason to stop.
fn write_line(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn bar(length: u64) -> ProgressBar {
    let wants_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let template = if wants_colors { "{bar:20.cyan/dim} {wide_msg}" } else { "{bar:20} {wide_msg}" };
    let style = ProgressStyle::with_template(template).expect("a template that is right");
    let target = ProgressDrawTarget::stderr_with_hz(BAR_HZ);
    ProgressBar::with_draw_target(Some(length), target).with_style(style.progress_chars("█▉▊▋▌▍▎▏░"))
}

/// A line that is written anew now and then, by whoever has progress to show.
pub(super) struct Line {
    /// On a terminal.
    bar: Option<ProgressBar>,
    began: Instant,
    /// When it was written last, in milliseconds since it began.
    shown_ms: AtomicU64,
}

impl Line {
    pub(super) fn new() -> Self {
        let bar = is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_msg}").expect("a template that is right");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(BAR_HZ)).with_style(style)
        });
        Self { bar, began: now(), shown_ms: AtomicU64::new(0) }
    }

    /// Writes the line, unless it has just been written.
    pub(super) fn show(&self, line: impl FnOnce() -> String) {
        let period = if self.bar.is_some() { BAR_EVERY } else { BAR_EVERY * PLAIN_LINE_EVERY };
        let now_ms = millis(self.began.elapsed());
        if now_ms < self.shown_ms.load(Ordering::Relaxed).saturating_add(millis(period)) {
            return;
        }
        self.shown_ms.store(now_ms, Ordering::Relaxed);
        match &self.bar {
            Some(bar) => bar.set_message(line()),
            None => write_line(&line()),
        }
    }

    /// Takes it off the terminal.
    pub(super) fn clear(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Exit code of a program that Ctrl-C has ended, as shells have it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Becomes true when the user wants an end: then whatever is there is the result.
pub(super) fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    on_ctrl_c(|_| ())
}

/// The same where what is under way cannot be cut short. Who does not want to wait for it asks again, and the program
/// ends: only for work inside this process, since workers would be left behind.
pub(super) fn stop_or_end_on_ctrl_c() -> Arc<AtomicBool> {
    on_ctrl_c(|is_again| match is_again {
        false => write_line("ending with what there is; Ctrl-C again ends at once, without"),
        true => std::process::exit(INTERRUPTED),
    })
}

/// `asked` hears of every Ctrl-C, and whether it is not the first.
fn on_ctrl_c(asked: impl Fn(bool) + Send + 'static) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    if let Err(error) = ctrlc::set_handler(move || asked(stopped.swap(true, Ordering::AcqRel))) {
        eprintln!("Ctrl-C will end it without a result: {error}");
    }
    stop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_say_how_the_run_goes() {
        let (live, mut pace) = (Live::default(), Pace::default());
        let at = Duration::from_millis(2_400);
        assert_eq!(
            figures("", Duration::ZERO, &pace, Some(&live)),
            "0 s simulated · all invariants hold · 0 offered, 0 achieved"
        );
        pace.add(Duration::from_millis(900), &live);
        assert_eq!(pace.per_second, None, "too little time has passed");
        pace.add(at, &live);
        assert_eq!(
            figures("", at, &pace, Some(&live)),
            "2 s simulated · all invariants hold · 0/s offered, 0/s achieved"
        );
        assert_eq!(figures("again, for its story", at, &pace, None), "again, for its story · 2 s simulated");
    }
}
