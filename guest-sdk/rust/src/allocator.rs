//! The allocator of plugins: the standard one (dlmalloc), given the memory that a plugin begins with before it asks the host
//! for more. The standard library's own leaves that part unused and grows at once; growing costs the host two system
//! calls per call, which is more than most plugins need for their work.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use dlmalloc::{Allocator, Dlmalloc};

const PAGE: usize = 65_536;
const MEMORY: u32 = 0;

unsafe extern "C" {
    /// Where the linker has put everything that it knows of: free memory begins here.
    static __heap_base: u8;
}

#[global_allocator]
static ALLOCATOR: Plugin =
    Plugin(UnsafeCell::new(Dlmalloc::new_with_allocator(Memory { begun: UnsafeCell::new(false) })));

struct Plugin(UnsafeCell<Dlmalloc<Memory>>);

// SAFETY: a plugin has one thread.
unsafe impl Sync for Plugin {}

// SAFETY: every call is passed on to dlmalloc, with the caller's promises.
unsafe impl GlobalAlloc for Plugin {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { (*self.0.get()).free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        unsafe { (*self.0.get()).realloc(pointer, layout.size(), layout.align(), new_size) }
    }
}

/// Where dlmalloc gets its memory from.
struct Memory {
    begun: UnsafeCell<bool>,
}

// SAFETY: each region is handed out once: first what lies behind the linker's data, then what the host adds.
unsafe impl Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        // SAFETY: a plugin has one thread.
        let begun = unsafe { self.begun.get().replace(true) };
        if !begun {
            let start = (&raw const __heap_base).addr().next_multiple_of(16);
            let end = core::arch::wasm32::memory_size(MEMORY) * PAGE;
            if end.saturating_sub(start) >= size {
                return (core::ptr::with_exposed_provenance_mut(start), end - start, 0);
            }
        }
        let pages = size.div_ceil(PAGE);
        match core::arch::wasm32::memory_grow(MEMORY, pages) {
            usize::MAX => (core::ptr::null_mut(), 0, 0),
            before => (core::ptr::with_exposed_provenance_mut(before * PAGE), pages * PAGE, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        core::ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}
