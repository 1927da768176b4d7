//! Wrong ways to pick and to free a seat, for the mutants of this service. Nothing else uses them.
use std::sync::LazyLock;

use redis::Script;

use crate::service::store::new_script;

/// What `lock.lua` looks at, and what the mutant looks at instead.
const RIGHT: &str = "string.sub(bits[i], from + 1, to) == free";
const WRONG: &str = "string.sub(bits[i], from + 1, from + 1) == '0'";

/// `ticketing.seat-picked-by-first-segment`: a seat counts as free when it is so on the first segment.
pub(super) static LOCK_BY_FIRST_SEGMENT: LazyLock<Script> =
    LazyLock::new(|| new_script(&include_str!("lock.lua").replace(RIGHT, WRONG)));

/// What `free.lua` looks at, and what the mutant looks at instead.
const ONCE: &str = "if state == 'FREED' then";
const AGAIN: &str = "if state == 'FREED' and not lock[2] then";

/// `ticketing.seat-freed-again`: whoever frees a seat does not look whether it is still the seat of this order.
pub(super) static FREE_AGAIN: LazyLock<Script> =
    LazyLock::new(|| new_script(&include_str!("free.lua").replace(ONCE, AGAIN)));

#[cfg(test)]
mod tests {
    #[test]
    fn the_mutants_differ_from_the_scripts() {
        assert_eq!(include_str!("lock.lua").matches(super::RIGHT).count(), 1);
        assert_eq!(include_str!("free.lua").matches(super::ONCE).count(), 1);
    }
}
