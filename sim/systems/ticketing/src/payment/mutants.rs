//! A wrong way to take in news from the bank, for the mutant of this service. Nothing else uses it.
use std::sync::LazyLock;

use redis::Script;

use crate::service::store::new_script;

/// What `news.lua` looks at, and what the mutant looks at instead.
const RIGHT: &str = "elseif state == 'CREATED' or state == 'CLOSED' then";
const WRONG: &str = "elseif state == 'CREATED' then";

/// `ticketing.capture-after-close-ignored`: a payment that was closed is not looked at again.
pub(super) static NEWS_OF_OPEN_PAYMENTS: LazyLock<Script> =
    LazyLock::new(|| new_script(&include_str!("news.lua").replace(RIGHT, WRONG)));

#[cfg(test)]
mod tests {
    #[test]
    fn the_mutant_differs_from_the_script() {
        assert_eq!(include_str!("news.lua").matches(super::RIGHT).count(), 1);
    }
}
