//! Overrides of functions of the C library: its clocks, its randomness and `abort`, on simulation threads.
//!
//! The standard library and third-party crates read the clock and seed their hash maps behind our back. A symbol
//! defined in the executable takes precedence over the one in libc, so these functions are defined here; on a thread
//! that runs no simulation they call the originals (found with `dlsym(RTLD_NEXT)`).
//!
//! Clocks and randomness are our [`own`] overrides, or those [`borrowed`] from madsim where it is part of the build.

mod abort;
#[cfg(madsim)]
mod borrowed;
mod original;
#[cfg(not(madsim))]
mod own;

#[cfg(madsim)]
pub(crate) use self::borrowed::*;
#[cfg(not(madsim))]
pub(crate) use self::own::{
    EPOCH_S, is_linked, is_simulated, now_ns, set_now, show_clocks, simulated, tape_entropy, wall,
};
