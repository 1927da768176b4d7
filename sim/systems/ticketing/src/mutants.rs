//! The planted bugs: each is a wrong turn of a line or a few in a service, off unless a run switches it on.
use record::mutant::{Kind, Mutant};

const PEAK: &str = "ticketing/peak";
const PAYMENT_TROUBLE: &str = "ticketing/payment-trouble";
const BAD_NETWORK: &str = "ticketing/bad-network";
const INVENTORY_CRASH: &str = "ticketing/inventory-crash";

const fn mutant(name: &'static str, scenario: &'static str, about: &'static str) -> Mutant {
    Mutant { name, system: "ticketing", scenario, kind: Kind::WrongLine, about }
}

const fn race(name: &'static str, scenario: &'static str, about: &'static str) -> Mutant {
    Mutant { kind: Kind::Race, ..mutant(name, scenario, about) }
}

/// All planted bugs of the ticket sale.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "ticketing.seat-picked-by-first-segment",
        PEAK,
        "A seat is picked when it is free on the first segment of the trip: two passengers share it further on.",
    ),
    race(
        "ticketing.deduct-check-then-set",
        PEAK,
        "Stock is read in one step and written in the next: two orders that read the same number both get the last seat.",
    ),
    race(
        "ticketing.segments-deducted-one-by-one",
        INVENTORY_CRASH,
        "Each segment is deducted by a command of its own: a crash in the middle loses the stock of the segments done.",
    ),
    mutant(
        "ticketing.stock-not-returned-on-payment-timeout",
        PEAK,
        "An order that is not paid in time is closed, but its stock stays taken for ever.",
    ),
    mutant(
        "ticketing.seat-freed-after-issue",
        PEAK,
        "The lock of a seat is dropped when its ticket is issued: the seat is given to the next buyer as well.",
    ),
    mutant(
        "ticketing.idempotency-key-ignored",
        INVENTORY_CRASH,
        "The idempotency key is not looked at: a buyer who repeats a submission without an answer gets a second order.",
    ),
    mutant(
        "ticketing.callback-not-idempotent",
        PAYMENT_TROUBLE,
        "A callback that comes twice is handled twice: the second finds the order paid and gives the money back.",
    ),
    mutant(
        "ticketing.signature-not-checked",
        PAYMENT_TROUBLE,
        "Callbacks are believed whoever signed them: a forged one gets a ticket for nothing.",
    ),
    mutant(
        "ticketing.release-not-idempotent",
        PAYMENT_TROUBLE,
        "Stock is released without looking at whether it was released before: a repeated request returns it twice.",
    ),
    mutant(
        "ticketing.late-payment-not-refunded",
        PAYMENT_TROUBLE,
        "Money that arrives after its order was closed is kept.",
    ),
    race(
        "ticketing.refund-reference-per-attempt",
        PAYMENT_TROUBLE,
        "Each try of a refund has a reference of its own: a refund that timed out after its effect is asked for twice.",
    ),
    mutant(
        "ticketing.work-removed-when-claimed",
        PAYMENT_TROUBLE,
        "Work is taken off its list when it is begun: what fails, or dies with its worker, is never done.",
    ),
    race(
        "ticketing.release-leaves-no-tombstone",
        BAD_NETWORK,
        "Nothing notes that an order was given up before its deduction came: that takes stock for an order that is over.",
    ),
    race(
        "ticketing.expiry-overwrites-payment",
        BAD_NETWORK,
        "An order is closed because it was unpaid when it was looked for: a payment that arrives meanwhile is overwritten.",
    ),
    race(
        "ticketing.cancel-left-to-expiry",
        PAYMENT_TROUBLE,
        "A cancelled order is called closed and left to the next sweep of unpaid orders: a payment that comes first wins.",
    ),
    race(
        "ticketing.seat-freed-again",
        BAD_NETWORK,
        "A seat is freed without looking whose it is: a repeated request frees it under the buyer who has it now.",
    ),
    mutant(
        "ticketing.capture-after-close-ignored",
        PAYMENT_TROUBLE,
        "The news that a closed payment was captured after all are dropped: the money is kept.",
    ),
];
