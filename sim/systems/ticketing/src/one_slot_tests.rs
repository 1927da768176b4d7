//! Whole sales whose every command and script is checked for what a Redis Cluster asks of it (see `service/testing.rs`).
#[path = "../tests/stage/mod.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod stage;

use std::time::Duration;

use crate as tested;
use stage::{Play, play};

/// Everything that can happen to an order happens to some, with hosts dying over it.
#[test]
fn every_step_of_a_sale_stays_in_its_slot() {
    for seed in 0..2 {
        let mut sale = Play::new(seed);
        sale.bank.timeouts_after_effect = 0.3;
        sale.bank.timeouts_before_effect = 0.3;
        sale.config.ticket_refusals = 0.2;
        sale.profile.cancel = 0.2;
        for (at_s, host) in
            [(3, "order-1"), (6, "inventory-1"), (9, "seat-1"), (12, "payment-2"), (14, "order-2")]
        {
            sale.crashes.push((Duration::from_secs(at_s), Duration::from_secs(2), host.to_owned()));
        }
        let played = play(sale);
        assert_eq!(played.wrong, Vec::<String>::new(), "seed {seed}: {:?}", played.orders);
        assert!(played.orders.len() > 4, "{:?}", played.orders);
    }
}
