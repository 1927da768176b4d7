//! Randomness: one ChaCha generator per host, seeded by the simulation's seed and the host's name.

use std::convert::Infallible;
use std::ops::Range;

use rand::{Rng, TryRng};

use crate::choice::Source;
use crate::common;

/// The generator of the current host, whichever that is at each draw. Implements `rand`'s traits.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostRng;

/// The generator of the current host.
pub fn rng() -> HostRng {
    HostRng
}

fn draw<R>(f: impl FnOnce(&mut Source) -> R) -> R {
    common::with(|common| f(common.hosts.borrow_mut().random(common.current_host())))
}

impl TryRng for HostRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(draw(Rng::next_u32))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(draw(Rng::next_u64))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        draw(|random| random.fill_bytes(bytes));
        Ok(())
    }
}

/// A number, any equally likely.
pub fn u64() -> u64 {
    draw(Rng::next_u64)
}

/// A number in the range, any equally likely (up to a bias below 2⁻⁶⁴ × its size).
///
/// # Panics
/// When the range is empty.
pub fn range(range: Range<u64>) -> u64 {
    assert!(range.start < range.end, "an empty range: {range:?}");
    range.start + draw(|random| random.below(range.end - range.start))
}

/// A number in [0, 1).
pub fn f64() -> f64 {
    (u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// True with this probability: never at 0 or below, always at 1 or above.
pub fn chance(probability: f64) -> bool {
    f64() < probability
}
