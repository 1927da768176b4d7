//! The vocabulary of a run, shared by those who write it and those who read it.
//!
//! - [`history`]: what the clients asked for and what they were answered, with the times.
//! - [`result`]: `result.json`, the verdict of a run and the figures behind it.
//! - [`comparison`]: what has changed between two sets of runs.
//! - [`story`]: what happens, line by line, for those who ask for it.
//! - [`timeline`]: `timeline.json`, how a run went over its time, on which hosts and between them.
//! - [`table`]: a system's own summary of a run, for people.
//! - [`capacity`]: `capacity.json`, what a system carries, by load.
//! - [`mutant`]: a planted bug, as the catalogue of `rehearse mutants` shows it.
//!
//! This crate imports no other room of the house, and every other room may import it.

pub mod capacity;
pub mod comparison;
pub mod history;
pub mod mutant;
pub mod result;
pub mod story;
pub mod table;
pub mod timeline;
