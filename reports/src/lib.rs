//! From the record of a run to something a person reads. Nothing here runs, checks or decides anything.
//!
//! - [`terminal`]: what a run prints.
//! - [`run_folder`]: the files that a run leaves behind, written and read.
//! - [`latency_log`]: one of them, the latencies over time.
//! - [`page`]: `report.html`, the run on one page.
//! - [`capacity`]: what a sweep over loads prints.
//! - [`story`]: what happened to an order, through all services.
//! - `comparison`: what has changed between two sets of runs.
//! - `sections`: what both show, without its look: limits, operations, invariants, faults.
//! - `units`: numbers as people read them.

use record::result::RunResult;
use record::table::Table;

pub mod capacity;
mod comparison;
mod junit;
pub mod latency_log;
mod limits;
mod markdown;
pub mod page;
pub mod run_folder;
mod sections;
pub mod story;
pub mod terminal;
mod units;

/// What is told about one run in words and tables.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The verdict and the figures behind it.
    pub result: &'a RunResult,
    /// The system's own summary: who got tickets.
    pub tables: &'a [Table],
    /// The shell line that replays the run.
    pub replay: &'a str,
}
