//! Snowflakes, from which order ids are made: they sort by time.
//!
//! 41 bits of milliseconds, 5 bits of the instance, 17 random bits in place of a sequence, which would not survive
//! a crash. Nothing relies on one being new: `begin.lua` refuses an order id that exists.
use std::time::{Duration, UNIX_EPOCH};

/// Beginning of their time: 2015-01-01T00:00:00Z.
const EPOCH: Duration = Duration::from_secs(1_420_070_400);

/// A new one, made by the instance with this number.
pub(super) fn snowflake(instance: usize) -> u64 {
    let since_unix = world::time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    compose(since_unix.saturating_sub(EPOCH).as_millis() as u64, instance as u64, world::rand::u64())
}

fn compose(ms: u64, instance: u64, random: u64) -> u64 {
    ((ms & ((1 << 41) - 1)) << 22) | ((instance & 0x1f) << 17) | (random & 0x1_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_sort_by_time_and_differ_by_instance() {
        assert!(compose(70_000_000_000, 31, u64::MAX) < compose(70_000_000_001, 0, 0));
        assert_ne!(compose(70_000_000_000, 1, 5), compose(70_000_000_000, 2, 5));
        assert!(compose(u64::MAX, u64::MAX, u64::MAX) < 1 << 63);
    }
}
