//! The `rehearse` binary: the harness with the systems that come along.
#![allow(unsafe_code)]

/// A simulation allocates and frees small buffers all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's header, for which its crate has no name: after how many milliseconds free
/// memory is given back to the system; -1 for never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> std::process::ExitCode {
    // What a simulation frees it wants again a moment later, and each page given back has to be zeroed anew.
    // SAFETY: sets a number; it is not thread safe, and this is the only thread so far.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    harness::cli::main(&[&harness::systems::ticketing::Ticketing::default()])
}
