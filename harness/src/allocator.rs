//! The allocator of the binary: mimalloc, told how a simulation uses memory. It allocates and frees small buffers all
//! the time, in the one thread that plays it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use libmimalloc_sys as mi;

/// mimalloc, by its plain entries wherever they are enough.
///
/// The crate `mimalloc` always asks for an alignment. Where mimalloc cannot be sure of it, it takes a larger block and
/// aligns within, even for the alignments that every block has: an 8 KiB buffer takes 10 KiB then.
pub(crate) struct Allocator;

/// Every block is aligned to this (`MI_MAX_ALIGN_SIZE` of mimalloc's header); smaller blocks to their size.
const ALIGN_MAX: usize = 16;

fn is_plain(layout: Layout) -> bool {
    layout.align() <= ALIGN_MAX && layout.align() <= layout.size()
}

// SAFETY: mimalloc's functions are an allocator: what they return is valid for the size and the alignment, or null, and
// stays so until it is freed. Blocks of all entries are freed and resized by the same functions.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size will do, and a layout's alignment is a power of two.
        unsafe {
            match is_plain(layout) {
                true => mi::mi_malloc(layout.size()).cast(),
                false => mi::mi_malloc_aligned(layout.size(), layout.align()).cast(),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe {
            match is_plain(layout) {
                true => mi::mi_zalloc(layout.size()).cast(),
                false => mi::mi_zalloc_aligned(layout.size(), layout.align()).cast(),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller hands back a block of ours.
        unsafe { mi::mi_free(block.cast::<c_void>()) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller hands over a block of ours, and the alignment is that of its layout.
        unsafe {
            match is_plain(layout) && layout.align() <= size {
                true => mi::mi_realloc(block.cast::<c_void>(), size).cast(),
                false => mi::mi_realloc_aligned(block.cast::<c_void>(), size, layout.align()).cast(),
            }
        }
    }
}

/// Options of mimalloc's header that its crate has no names for: `mi_option_purge_delay`, after how many milliseconds
/// free memory is given back to the system (-1: never), and `mi_option_page_full_retain`, how many full pages of a size
/// a thread keeps for itself (-1: all of them).
const PURGE_DELAY: mi::mi_option_t = 15;
const PAGE_FULL_RETAIN: mi::mi_option_t = 36;

/// Tells mimalloc what to expect. To be called before the first thread is started.
pub(crate) fn set_up() {
    // What a simulation frees it wants again a moment later, and each page given back has to be zeroed anew. Nor is
    // there another thread that could do with its full pages: giving them up and taking them back, 720 000 times in the
    // scenario ticketing/peak, is for nothing.
    // SAFETY: sets numbers, which is not thread safe, but this is the only thread so far.
    unsafe {
        mi::mi_option_set(PURGE_DELAY, -1);
        mi::mi_option_set(PAGE_FULL_RETAIN, -1);
    }
}
