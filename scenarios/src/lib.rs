//! The scenario language: a TOML file becomes a checked [`Scenario`], or an [`Error`] that says where and why not.
//!
//! A scenario file names a system, the load on it, its settings and the faults that befall it. What a file may say
//! about a system (its journeys, settings, hosts, operations, invariants) comes from outside as a [`Vocabulary`]:
//! this crate knows the language, not the systems.
//!
//! ```text
//! text ── syntax (toml) ── document: tables and keys with their places ── draft: values with their places
//!                                                                             │ [hunt] laid over it, --set over that
//!                                                                             ▼
//!                                                                          Scenario
//! ```
//!
//! Reading order: [`scenario`] (the result), [`fault`] (what befalls the system, described for those who write
//! scenarios in `README.md`), [`vocabulary`] (what may be said), [`catalogue`] (the scenarios that are shipped),
//! [`diagnostic`] (what a mistake looks like); then the reader itself in `read`.
//!
//! The other way, a [`Scenario`] becomes a file by [`write`]: as `rehearse shrink` leaves it.
//!
//! Nothing is guessed: unknown keys, wrong types, missing units, values out of range and names that do not exist are
//! refused with file, line and column, what was expected, and the nearest valid name. All mistakes of a file are
//! reported at once, in the order of their places.

pub mod bandwidth;
pub mod catalogue;
pub mod diagnostic;
pub mod duration;
pub mod fault;
pub mod scenario;
pub mod settings;
pub mod strategy;
pub mod swarm;
pub mod vocabulary;

mod document;
mod read;
mod write;

pub use bandwidth::Bandwidth;
pub use diagnostic::{Diagnostic, Error, Place};
pub use duration::Jump;
pub use fault::{Direction, Fault, FaultKind, HostEffect, LinkEffect, Links, Side, Strike};
pub use read::parse;
pub use scenario::{Arrival, Arrivals, Expect, Journey, Limits, Percentile, Play, Rate, Scenario, Size};
pub use settings::{Settings, Value};
pub use strategy::Strategy;
pub use swarm::Swarm;
pub use vocabulary::{Kind, Setting, SystemVocabulary, Vocabulary};
pub use write::write;
