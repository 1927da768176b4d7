//! Override of the C library's `abort`.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicPtr;

use libc::c_void;

use super::original::original;

/// `abort(3)`: stops the thread of a simulation instead of the process. Rust itself aborts where a panic cannot unwind.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn abort() -> ! {
    static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    crate::sim::panics::before_abort();
    let found = original(&ORIGINAL, c"abort");
    if !found.is_null() {
        // SAFETY: libc's symbol of this name has this signature.
        let call: extern "C" fn() = unsafe { std::mem::transmute(found) };
        call();
    }
    // SAFETY: ends the process; 134 is what a shell shows for an abort.
    unsafe { libc::_exit(134) }
}
