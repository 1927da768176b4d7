//! Wakers that are plain numbers: a task's index and generation packed into the data pointer.
//!
//! There is nothing to count and nothing to free, so cloning costs nothing, and a waker that outlives its task (or
//! its whole simulation) is harmless: the generation no longer matches, or the thread has no kernel.
#![allow(unsafe_code)]

use std::task::{RawWaker, RawWakerVTable, Waker};

use super::executor::TaskId;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a waker packs 64 bits into its data pointer");

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, ignore);

/// The waker of a task.
pub(super) fn of(task: TaskId) -> Waker {
    let packed = (u64::from(task.generation) << 32 | u64::from(task.index)) as usize;
    // SAFETY: the functions of the table never dereference the data pointer and need no thread-safety of their own:
    // they look the kernel up in a thread-local, so on any other thread a wake does nothing.
    unsafe { Waker::new(std::ptr::without_provenance(packed), &VTABLE) }
}

fn unpack(data: *const ()) -> TaskId {
    let packed = data.addr() as u64;
    TaskId { index: packed as u32, generation: (packed >> 32) as u32 }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    super::try_with(|kernel| kernel.wake(unpack(data)));
}

unsafe fn ignore(_: *const ()) {}
