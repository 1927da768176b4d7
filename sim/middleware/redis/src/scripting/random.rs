//! The generator behind `math.random`, that of Redis. Redis goes on from script to script with one state; here
//! every run of a script starts from the same one, so that it cannot depend on scripts that ran before.

use std::sync::atomic::{AtomicU64, Ordering};

/// The 48-bit linear congruential generator of `drand48`, as in Redis's `rand.c`. Atomic only to be shared with the
/// functions of a Lua state: one thread at a time uses it.
#[derive(Debug, Default)]
pub(super) struct Random(AtomicU64);

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

impl Random {
    /// Starts again. Only the low 32 bits of the seed count.
    pub(super) fn seed(&self, seed: i64) {
        self.0.store((((seed as u64) & 0xFFFF_FFFF) << 16) | 0x330E, Ordering::Relaxed);
    }

    /// A number in `0..1`: 31 random bits.
    pub(super) fn next(&self) -> f64 {
        const RANGE: u64 = i32::MAX as u64;
        let state = (self.0.load(Ordering::Relaxed).wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT)) & MASK;
        self.0.store(state, Ordering::Relaxed);
        ((state >> 17) % RANGE) as f64 / RANGE as f64
    }
}
