//! Simulated third parties: services that belong to others, with their own state and their own bad days.
//!
//! - [`payment`]: a payment gateway ("the bank"): payments, refunds, signed callbacks.
pub mod payment;
