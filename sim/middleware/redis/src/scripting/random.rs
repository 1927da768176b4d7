//! The generator behind `math.random`, that of Redis. Redis goes on from script to script with one state; here
//! every run of a script starts from the same one, so that it cannot depend on scripts that ran before.

/// The 48-bit linear congruential generator of `drand48`, as in Redis's `rand.c`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Random(u64);

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

impl Random {
    /// Only the low 32 bits of the seed count.
    pub(super) fn new(seed: i64) -> Self {
        Self((((seed as u64) & 0xFFFF_FFFF) << 16) | 0x330E)
    }

    /// A number in `0..1`: 31 random bits.
    pub(super) fn next(&mut self) -> f64 {
        const RANGE: u64 = i32::MAX as u64;
        self.0 = (self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT)) & MASK;
        ((self.0 >> 17) % RANGE) as f64 / RANGE as f64
    }
}
