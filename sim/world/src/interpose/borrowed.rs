//! In builds with `--cfg madsim`: madsim overrides the same functions of the C library, so ours are left out, and its
//! own are borrowed. They are in force for what runs inside a madsim runtime. There, its clock is moved along with
//! ours, and randomness comes from its generator, seeded by our seed.
//!
//! Three differences remain: the standard library's wall clock starts in 2022 at a moment of madsim's choice, its
//! clocks show the true time on every host, and hash maps iterate in another, still reproducible, order than in builds
//! without madsim. So a run is the same every time in such builds, but need not be the same as in others.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use madsim::runtime::Runtime;
use madsim::time::TimeHandle;

/// What the wall clock shows at the start of every simulation: 2026-01-01T00:00:00Z, in seconds since 1970.
pub(crate) const EPOCH_S: u64 = 1_767_225_600;

thread_local! {
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` with a simulated clock, starting at zero, and simulated randomness, from `seed`.
pub(crate) fn simulated<R>(seed: u64, f: impl FnOnce() -> R) -> R {
    Runtime::with_seed_and_config(seed, madsim::Config::default()).block_on(async { f() })
}

/// Does this thread run a simulation?
pub(crate) fn is_simulated() -> bool {
    TimeHandle::try_current().is_some()
}

/// Are the overrides in force?
pub(crate) fn is_linked() -> bool {
    is_simulated()
}

/// madsim's randomness does not pass through the recorder.
pub(crate) fn tape_entropy() {}

/// True simulated time on this thread; zero where there is none.
pub(crate) fn now_ns() -> u64 {
    NOW_NS.get()
}

/// Moves the simulated clock of this thread.
pub(crate) fn set_now(now_ns: u64) {
    let passed_ns = now_ns.saturating_sub(NOW_NS.replace(now_ns));
    if passed_ns > 0 {
        madsim::time::advance(Duration::from_nanos(passed_ns));
    }
}

/// madsim has one clock.
pub(crate) fn show_clocks(_monotonic_ns: u64, _wall_ns: i64) {}

/// The wall clock of the host whose code runs, which shows `wall_ns` since its start.
pub(crate) fn wall(wall_ns: impl FnOnce() -> i64) -> SystemTime {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S);
    let wall_ns = wall_ns();
    let away = Duration::from_nanos(wall_ns.unsigned_abs());
    if wall_ns < 0 { start - away } else { start + away }
}
