//! The railway ticket sale: services, buyers, timetable.
//!
//! | to find | look in |
//! | --- | --- |
//! | the words and the legal moves of all states | [`domain`] |
//! | what is stored, and under which key | [`records`], [`keys`] |
//! | what stays together on a Redis Cluster, and how ids tell | [`shards`], [`ids`] |
//! | what is said over HTTP | [`api`] |
//! | the numbers of the rules, what is on sale, where services live | [`config`] |
//! | trains and their stations | [`timetable`] |
//! | a service | the folder of its name: [`gateway`], [`order`], [`inventory`], [`seat`], [`payment`], [`ticketing`] |
//! | what all services share | `service` |
//! | the all-or-nothing deduction | `inventory/deduct.lua` |
//! | the admission law | `order/admission.rs`, `order/admission.lua` |
//! | who comes to buy, and how people behave | [`buyers`] |
//! | the planted bugs | [`mutants`] |
//!
//! Services are stateless: every step is idempotent by order or payment id, every step over several keys of a shard is
//! one Lua script, and whatever a crash could leave undone is in a sorted set of work that every instance drains. What
//! concerns an account and a shard takes several steps, which a repetition with the same idempotency key goes through
//! again (`service/idempotency.rs`).
pub mod api;
pub mod auth;
pub mod buyers;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod ids;
pub mod inventory;
pub mod keys;
pub mod mutants;
#[cfg(test)]
mod one_slot_tests;
mod opening;
pub mod order;
pub mod payment;
pub mod records;
pub mod seat;
mod service;
pub mod shards;
pub mod ticketing;
pub mod timetable;

pub use config::Config;
pub use mutants::MUTANTS;
pub use opening::open_sale;
pub use service::Link;

/// What the hosts boot: each service has `run(config, instance)`, which lives as long as its host.
pub mod services {
    pub use crate::{gateway, inventory, order, payment, seat, ticketing};
}
