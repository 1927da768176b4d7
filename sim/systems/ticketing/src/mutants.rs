//! The planted bugs: each is a wrong turn of one line in a service, off unless a run switches it on.
use record::mutant::Mutant;

const PEAK: &str = "ticketing/peak";
const PAYMENT_TROUBLE: &str = "ticketing/payment-trouble";
const INVENTORY_CRASH: &str = "ticketing/inventory-crash";

const fn mutant(name: &'static str, scenario: &'static str, about: &'static str) -> Mutant {
    Mutant { name, system: "ticketing", scenario, about }
}

/// All planted bugs of the ticket sale.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "ticketing.deduct-check-then-set",
        PEAK,
        "Stock is read in one step and written in the next: two orders that read the same number both get the last seat.",
    ),
    mutant(
        "ticketing.segments-deducted-one-by-one",
        INVENTORY_CRASH,
        "Each segment is deducted by a command of its own: a crash in the middle loses the stock of the segments done.",
    ),
    mutant(
        "ticketing.release-not-idempotent",
        PAYMENT_TROUBLE,
        "Stock is released without looking at whether it was released before: a repeated request returns it twice.",
    ),
    mutant(
        "ticketing.stock-not-returned-on-payment-timeout",
        PEAK,
        "An order that is not paid in time is closed, but its stock stays taken for ever.",
    ),
    mutant(
        "ticketing.seat-picked-by-first-segment",
        PEAK,
        "A seat is picked when it is free on the first segment of the trip: two passengers share it further on.",
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
        "ticketing.late-payment-not-refunded",
        PAYMENT_TROUBLE,
        "Money that arrives after its order was closed is kept.",
    ),
    mutant(
        "ticketing.refund-reference-per-attempt",
        PAYMENT_TROUBLE,
        "Each try of a refund has a reference of its own: a refund that timed out after its effect is asked for twice.",
    ),
];
