//! Overrides of the C library's `clock_gettime` and `getrandom`, for simulation threads only.
//!
//! The standard library and third-party crates read the clock and seed their hash maps behind our back. A symbol
//! defined in the executable takes precedence over the one in libc, so both functions are defined here; on a thread
//! that runs no simulation they call the originals (found with `dlsym(RTLD_NEXT)`).
//!
//! The state is one `const` thread-local without a destructor: these functions are called at any moment of a
//! thread's life, also before and after ordinary thread-locals exist.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{c_int, c_uint, c_void, clockid_t, size_t, ssize_t, timespec};

/// What `CLOCK_REALTIME` shows at the start of every simulation: 2026-01-01T00:00:00Z, in seconds since 1970.
pub(crate) const EPOCH_S: u64 = 1_767_225_600;
/// What `CLOCK_MONOTONIC` shows at the start: not zero, so that code may subtract from an early `Instant`.
const MONOTONIC_START_S: u64 = 1_000_000;

#[derive(Clone, Copy)]
struct Simulated {
    now_ns: u64,
    entropy: u64,
}

thread_local! {
    static SIMULATED: Cell<Option<Simulated>> = const { Cell::new(None) };
}

/// Makes the clock and the randomness of this thread simulated, starting at zero with entropy from `seed`.
pub(crate) fn enter(seed: u64) {
    SIMULATED.set(Some(Simulated { now_ns: 0, entropy: seed }));
}

/// Gives this thread the machine's clock and randomness back.
#[cfg(test)]
pub(crate) fn leave() {
    SIMULATED.set(None);
}

/// Moves the simulated clock of this thread.
pub(crate) fn set_now(now_ns: u64) {
    if let Some(simulated) = SIMULATED.get() {
        SIMULATED.set(Some(Simulated { now_ns, ..simulated }));
    }
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

/// The next symbol of this name after ours: the C library's.
fn original(cache: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let cached = cache.load(Ordering::Relaxed);
    if !cached.is_null() {
        return cached;
    }
    // SAFETY: `name` is a valid C string; RTLD_NEXT is always a valid handle.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    cache.store(found, Ordering::Relaxed);
    found
}

/// `clock_gettime(2)`: simulated on a simulation thread.
///
/// # Safety
/// As the C function: `time` points to a writable `timespec`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if let Some(simulated) = SIMULATED.get() {
        let start_s = match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => EPOCH_S,
            _ => MONOTONIC_START_S,
        };
        // SAFETY: the caller passes a writable timespec.
        unsafe {
            (*time).tv_sec = (start_s + simulated.now_ns / 1_000_000_000) as libc::time_t;
            (*time).tv_nsec = (simulated.now_ns % 1_000_000_000) as libc::c_long;
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
                chunk.copy_from_slice(&split_mix(&mut simulated.entropy).to_le_bytes()[..chunk.len()]);
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
