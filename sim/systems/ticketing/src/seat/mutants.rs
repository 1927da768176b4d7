//! The wrong way to pick a seat, for the mutant of this service. Nothing else uses it.
use std::sync::LazyLock;

use redis::Script;

use crate::service::store::new_script;

/// What `lock.lua` looks at, and what the mutant looks at instead.
const RIGHT: &str = "string.sub(bits[i], from + 1, to) == free";
const WRONG: &str = "string.sub(bits[i], from + 1, from + 1) == '0'";

/// `ticketing.seat-picked-by-first-segment`: a seat counts as free when it is so on the first segment.
pub(super) static LOCK_BY_FIRST_SEGMENT: LazyLock<Script> =
    LazyLock::new(|| new_script(&include_str!("lock.lua").replace(RIGHT, WRONG)));

#[cfg(test)]
mod tests {
    #[test]
    fn the_mutant_differs_from_the_script() {
        assert_eq!(include_str!("lock.lua").matches(super::RIGHT).count(), 1);
    }
}
