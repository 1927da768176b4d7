//! Overrides of the C library's `clock_gettime` and `getrandom`, for simulation threads only.
//!
//! The state is one `const` thread-local without a destructor: these functions are called at any moment of a
//! thread's life, also before and after ordinary thread-locals exist.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::atomic::AtomicPtr;

use libc::{c_int, c_uint, c_void, clockid_t, size_t, ssize_t, timespec};

use super::original::original;

/// What `CLOCK_REALTIME` shows at the start of every simulation: 2026-01-01T00:00:00Z, in seconds since 1970.
pub(crate) const EPOCH_S: u64 = 1_767_225_600;
/// What `CLOCK_MONOTONIC` shows at the start: not zero, so that code may subtract from an early `Instant`.
const MONOTONIC_START_S: u64 = 1_000_000;

#[derive(Clone, Copy)]
struct Simulated {
    /// True simulated time since the start.
    now_ns: u64,
    /// What the current host's monotonic clock shows, from [`MONOTONIC_START_S`] on.
    monotonic_ns: u64,
    /// What its wall clock shows, from [`EPOCH_S`] on.
    wall_ns: i64,
    entropy: u64,
    /// Does entropy pass through the recorder?
    taped: bool,
}

thread_local! {
    static SIMULATED: Cell<Option<Simulated>> = const { Cell::new(None) };
}

/// Runs `f` with a simulated clock, starting at zero, and simulated randomness, from `seed`, for this thread's rest.
pub(crate) fn simulated<R>(seed: u64, f: impl FnOnce() -> R) -> R {
    enter(seed);
    f()
}

/// Makes the clock and the randomness of this thread simulated, starting at zero with entropy from `seed`.
fn enter(seed: u64) {
    let clocks = Simulated { now_ns: 0, monotonic_ns: 0, wall_ns: 0, entropy: seed, taped: false };
    SIMULATED.set(Some(clocks));
}

/// Does this thread run a simulation?
pub(crate) fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

/// From now on entropy passes through the recorder of this thread.
pub(crate) fn tape_entropy() {
    if let Some(simulated) = SIMULATED.get() {
        SIMULATED.set(Some(Simulated { taped: true, ..simulated }));
    }
}

/// True simulated time on this thread; zero where there is none.
pub(crate) fn now_ns() -> u64 {
    SIMULATED.get().map_or(0, |simulated| simulated.now_ns)
}

/// Gives this thread the machine's clock and randomness back.
#[cfg(test)]
fn leave() {
    SIMULATED.set(None);
}

/// Moves the simulated time of this thread; the clocks show it undisturbed.
pub(crate) fn set_now(now_ns: u64) {
    if let Some(simulated) = SIMULATED.get() {
        let wall_ns = i64::try_from(now_ns).unwrap_or(i64::MAX);
        SIMULATED.set(Some(Simulated { now_ns, monotonic_ns: now_ns, wall_ns, ..simulated }));
    }
}

/// Shows other readings than the true time: those of the host whose code runs next.
pub(crate) fn show_clocks(monotonic_ns: u64, wall_ns: i64) {
    if let Some(simulated) = SIMULATED.get() {
        SIMULATED.set(Some(Simulated { monotonic_ns, wall_ns, ..simulated }));
    }
}

/// The wall clock of the host whose code runs, which shows `wall_ns` since its start.
#[expect(clippy::disallowed_methods, reason = "simulated on simulation threads")]
pub(crate) fn wall(_wall_ns: impl FnOnce() -> i64) -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Is the override what the standard library really calls in this executable?
#[expect(clippy::disallowed_methods, reason = "asks which clock the standard library reads")]
pub(crate) fn is_linked() -> bool {
    let simulated = SIMULATED.get().map(|s| s.now_ns);
    let expected = simulated.map(|now_ns| std::time::Duration::from_secs(EPOCH_S) + ns(now_ns));
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok() == expected
}

fn ns(ns: u64) -> std::time::Duration {
    std::time::Duration::from_nanos(ns)
}

/// `clock_gettime(2)`: simulated on a simulation thread.
///
/// # Safety
/// As the C function: `time` points to a writable `timespec`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if let Some(simulated) = SIMULATED.get() {
        const SECOND_NS: i64 = 1_000_000_000;
        let (start_s, ns) = match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => {
                (EPOCH_S, simulated.wall_ns)
            }
            _ => (MONOTONIC_START_S, i64::try_from(simulated.monotonic_ns).unwrap_or(i64::MAX)),
        };
        // SAFETY: the caller passes a writable timespec.
        unsafe {
            (*time).tv_sec = (start_s as i64 + ns.div_euclid(SECOND_NS)) as libc::time_t;
            (*time).tv_nsec = ns.rem_euclid(SECOND_NS) as libc::c_long;
        }
        return 0;
    }
    let found = original(&ORIGINAL, c"clock_gettime");
    if found.is_null() {
        // SAFETY: the raw system call with the caller's own arguments.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int };
    }
    // SAFETY: libc's symbol of this name has this signature.
    let call: unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int = unsafe { std::mem::transmute(found) };
    // SAFETY: the caller's own arguments.
    unsafe { call(clock, time) }
}

/// `getrandom(2)`: a generator seeded by the simulation's seed on a simulation thread.
///
/// # Safety
/// As the C function: `buffer` points to `length` writable bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if let Some(mut simulated) = SIMULATED.get() {
        if length > 0 {
            // SAFETY: the caller passes `length` writable bytes.
            let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
            for chunk in bytes.chunks_mut(8) {
                let drawn = split_mix(&mut simulated.entropy);
                let taken = if simulated.taped { crate::choice::entropy(drawn) } else { drawn };
                chunk.copy_from_slice(&taken.to_le_bytes()[..chunk.len()]);
            }
        }
        SIMULATED.set(Some(simulated));
        return length as ssize_t;
    }
    let found = original(&ORIGINAL, c"getrandom");
    if found.is_null() {
        // SAFETY: the raw system call with the caller's own arguments.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as ssize_t };
    }
    // SAFETY: libc's symbol of this name has this signature.
    let call: unsafe extern "C" fn(*mut c_void, size_t, c_uint) -> ssize_t =
        unsafe { std::mem::transmute(found) };
    // SAFETY: the caller's own arguments.
    unsafe { call(buffer, length, flags) }
}

/// SplitMix64 (Steele, Lea, Flood 2014). A whole ChaCha state would need a thread-local with a constructor.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "checks the real clocks")]
    fn other_threads_keep_the_machine_s_clock_and_randomness() {
        let before = std::time::Instant::now();
        std::thread::spawn(|| {
            enter(1);
            set_now(5_000_000_000);
            assert!(is_linked());
            leave();
        })
        .join()
        .expect("the thread ends");
        assert!(before.elapsed() < std::time::Duration::from_secs(4));
        let year_2020 = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_577_836_800);
        assert!(std::time::SystemTime::now() > year_2020);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "needs a fresh thread")]
    fn hash_maps_iterate_alike_in_every_simulation_of_a_seed() {
        let order = |seed| {
            std::thread::spawn(move || {
                enter(seed);
                let order: Vec<u32> =
                    (0..64).collect::<std::collections::HashSet<u32>>().into_iter().collect();
                leave();
                order
            })
            .join()
            .expect("the thread ends")
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }
}
