//! Memory in the sandbox: what the host hands in lives for one call.
//!
//! The host asks for memory piece by piece, a dozen times for an append: each string and each list
//! of an event is one. Taking these from a fixed place that is free again after the call is a few
//! instructions each, costs nothing to give back, and touches the same memory in every call.
//!
//! Invariants: only what is asked for *between* calls comes from that place, which is the arguments
//! on their way in and the answer on its way out. What a validator itself asks for, and pages of
//! history, come from the usual allocator, so they may outlive the call. A validator gets its
//! arguments by reference and cannot keep them.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "for the sandbox, and its tests")
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// Enough for the usual append. What does not fit comes from the usual allocator.
const BYTES: usize = 32 * 1024;

#[cfg(target_arch = "wasm32")]
#[cfg_attr(feature = "allocator", global_allocator)]
static MEMORY: Memory = Memory {
    used: Cell::new(0),
    in_call: Cell::new(false),
    place: Place(UnsafeCell::new([0; BYTES])),
};

/// In this order, so that the usual append touches one page of it.
#[repr(C)]
struct Memory {
    used: Cell<usize>,
    /// True while a function of the contract runs.
    in_call: Cell<bool>,
    place: Place,
}

#[repr(align(16))]
struct Place(UnsafeCell<[u8; BYTES]>);

// SAFETY: a validator has one thread: the sandbox has no way to start another. Elsewhere this
// allocator is not installed, and its tests make one of their own for each thread.
unsafe impl Sync for Memory {}

/// From the beginning to the end of a call of the contract.
pub(crate) struct Call(());

impl Call {
    pub(crate) fn begin() -> Call {
        #[cfg(target_arch = "wasm32")]
        MEMORY.in_call.set(true);
        Call(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        #[cfg(target_arch = "wasm32")]
        MEMORY.end_call();
    }
}

impl Memory {
    /// Nobody looks at the arguments any more.
    fn end_call(&self) {
        self.used.set(0);
        self.in_call.set(false);
    }

    fn holds(&self, pointer: *mut u8) -> bool {
        (pointer as usize).wrapping_sub(self.place.0.get() as usize) < BYTES
    }
}

// SAFETY: what comes from the place lies within it, is aligned, and overlaps nothing that was handed
// out since the last call ended; see the invariants for why nothing older is in use. Everything else
// is the system's allocator's.
unsafe impl GlobalAlloc for Memory {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.in_call.get() && layout.align() <= 16 {
            let start = self.used.get().next_multiple_of(layout.align());
            if layout.size() <= BYTES - start.min(BYTES) {
                self.used.set(start + layout.size());
                // SAFETY: `start` and the bytes behind it are within the place.
                return unsafe { self.place.0.get().cast::<u8>().add(start) };
            }
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { usual(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !self.holds(pointer) {
            // SAFETY: it is not from the place, so it came from the system's allocator.
            unsafe { give_back(pointer, layout) }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.holds(pointer) {
            // SAFETY: it is not from the place, so it came from the system's allocator.
            return unsafe { System.realloc(pointer, layout, size) };
        }
        // SAFETY: the caller keeps the contract of `realloc`, which makes this a layout; both blocks
        // have room for what is copied, and a new block never overlaps one in use.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(pointer, layout.size().min(size));
            }
            new
        }
    }
}

/// Not inlined, so that only the few instructions above are at every place that allocates.
#[inline(never)]
unsafe fn usual(layout: Layout) -> *mut u8 {
    // SAFETY: the caller keeps the contract of `alloc`.
    unsafe { System.alloc(layout) }
}

#[inline(never)]
unsafe fn give_back(pointer: *mut u8, layout: Layout) {
    // SAFETY: the caller keeps the contract of `dealloc`.
    unsafe { System.dealloc(pointer, layout) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        Memory {
            used: Cell::new(0),
            in_call: Cell::new(false),
            place: Place(UnsafeCell::new([0; BYTES])),
        }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    #[test]
    fn between_calls_blocks_are_apart_aligned_and_in_the_place() {
        let memory = memory();
        let mut end = 0;
        for (size, align) in [(1, 1), (8, 8), (3, 1), (4, 4), (0, 1), (16, 16), (5, 2)] {
            // SAFETY: a layout of some size, written within it.
            let at = unsafe { memory.alloc(layout(size, align)) };
            assert!(memory.holds(at), "{size}");
            assert_eq!(at as usize % align, 0);
            assert!(at as usize >= end);
            end = at as usize + size;
        }
        memory.end_call();
        // SAFETY: as above.
        let again = unsafe { memory.alloc(layout(1, 1)) };
        assert_eq!(again.cast::<[u8; BYTES]>(), memory.place.0.get());
    }

    #[test]
    fn what_a_call_asks_for_and_what_does_not_fit_comes_from_elsewhere() {
        let memory = memory();
        // SAFETY: allocated and given back with the same layouts.
        unsafe {
            let large = memory.alloc(layout(BYTES + 1, 1));
            assert!(!memory.holds(large));
            memory.dealloc(large, layout(BYTES + 1, 1));
            let odd = memory.alloc(layout(64, 64));
            assert!(!memory.holds(odd) && (odd as usize).is_multiple_of(64));
            memory.dealloc(odd, layout(64, 64));
            let all = memory.alloc(layout(BYTES, 1));
            assert!(memory.holds(all));
            let more = memory.alloc(layout(1, 1));
            assert!(!memory.holds(more));
            memory.dealloc(more, layout(1, 1));
            memory.end_call();
            memory.in_call.set(true);
            let kept = memory.alloc(layout(8, 8));
            assert!(!memory.holds(kept));
            memory.dealloc(kept, layout(8, 8));
        }
    }

    #[test]
    fn a_block_that_grows_keeps_its_content() {
        let memory = memory();
        // SAFETY: allocated, written and given back with the layouts that they have.
        unsafe {
            let small = memory.alloc(layout(4, 1));
            small.copy_from_nonoverlapping(b"abcd".as_ptr(), 4);
            let grown = memory.realloc(small, layout(4, 1), BYTES * 2);
            assert!(!memory.holds(grown));
            assert_eq!(std::slice::from_raw_parts(grown, 4), b"abcd");
            let shrunk = memory.realloc(grown, layout(BYTES * 2, 1), 2);
            assert_eq!(std::slice::from_raw_parts(shrunk, 2), b"ab");
            memory.dealloc(shrunk, layout(2, 1));
        }
    }
}
