//! Mutants: planted mistakes, each a named one-line wrong turn that a run may switch on.
//!
//! ```
//! # fn release() {} fn release_twice() {}
//! # world::sim::run(world::sim::Config::new(1), || async {
//! if world::mutant!("ticketing.release-twice") { release_twice() } else { release() }
//! # });
//! ```

use crate::common;

/// Did this run switch the mutant on? Never outside a simulation.
pub fn is_on(name: &str) -> bool {
    common::try_with(|common| !common.mutants.is_empty() && common.mutants.contains(name)).unwrap_or(false)
}

/// True only if the run switched this mutant on.
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        $crate::mutant::is_on($name)
    };
}
