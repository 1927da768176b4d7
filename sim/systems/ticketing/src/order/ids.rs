//! Order ids: snowflakes, so that they sort by time and can be sharded without a lookup.
//!
//! 41 bits of milliseconds, 5 bits of the instance, 17 random bits in place of a sequence, which would not survive
//! a crash. Nothing relies on an id being new: `begin.lua` refuses one that exists.
use std::time::{Duration, UNIX_EPOCH};

/// Beginning of the ids' time: 2015-01-01T00:00:00Z.
const EPOCH: Duration = Duration::from_secs(1_420_070_400);

/// A new order id, made by the instance with this number.
pub(super) fn order_id(instance: usize) -> String {
    let since_unix = world::time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    compose(since_unix.saturating_sub(EPOCH).as_millis() as u64, instance as u64, world::rand::u64())
}

fn compose(ms: u64, instance: u64, random: u64) -> String {
    let id = ((ms & ((1 << 41) - 1)) << 22) | ((instance & 0x1f) << 17) | (random & 0x1_ffff);
    id.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ_by_instance() {
        let id = |ms, instance, random| compose(ms, instance, random).parse::<u64>().expect("a number");
        assert!(id(70_000_000_000, 31, u64::MAX) < id(70_000_000_001, 0, 0));
        assert_ne!(id(70_000_000_000, 1, 5), id(70_000_000_000, 2, 5));
        assert!(crate::auth::is_name(&compose(u64::MAX, u64::MAX, u64::MAX)));
    }
}
