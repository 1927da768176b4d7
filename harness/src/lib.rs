//! Rehearse the peak before the peak: one scenario and one seed play a whole commerce system, deterministically.
//!
//! | to find | look in |
//! | --- | --- |
//! | what a system has to tell | [`system`] |
//! | one rehearsal from staging to verdict | [`rehearsal`] |
//! | how customers arrive | [`drive`] |
//! | what breaks, and when | [`faults`] |
//! | what an invariant is, and checks for any system: linearizability, exactly once, … | [`check`] |
//! | how the system came back from faults: RTO and RPO | [`recovery`] |
//! | the systems that come along, their hosts and their invariants | [`systems`] |
//! | a scenario as its user names it | [`target`] |
//! | many seeds, and what they find | [`hunt`] |
//! | where results are left and found again: a folder, an object store | [`place`] |
//! | a failure that can be played again | [`capsule`] |
//! | what a system carries, by load | [`capacity`] |
//! | the smallest scenario that fails the same way | [`shrink`] |
//! | the simulated servers for real | [`serve`] |
//! | the command line | [`cli`] |
//!
//! A system of your own: implement [`system::System`], and call [`cli::main`] with it:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     harness::cli::main(&[&harness::systems::ticketing::Ticketing::default()])
//! }
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod capacity;
pub mod capsule;
pub mod check;
pub mod cli;
pub mod compare;
pub mod drive;
pub mod faults;
pub mod hunt;
pub mod place;
pub mod recovery;
pub mod rehearsal;
pub mod serve;
pub mod shrink;
pub mod system;
pub mod systems;
pub mod target;
pub mod timeline;

/// Locks even after a panic elsewhere: what was seen before it is what explains it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
