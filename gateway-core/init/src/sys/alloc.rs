//! A global allocator that counts, in debug builds: "allocates nothing after start-up" is measured,
//! not claimed. Release builds keep the system's allocator as it is.

use core::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Allocations since the program began; always 0 in a release build.
#[must_use]
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(debug_assertions)]
mod counting {
    use super::COUNT;
    use core::sync::atomic::Ordering;
    use std::alloc::{GlobalAlloc, Layout, System};

    struct Counting;

    // SAFETY: every call is handed to `System`, which upholds the contract; counting touches no memory
    // but one atomic.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller's guarantee on `layout` (not zero-sized) is passed on unchanged.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the caller got `pointer` from `alloc` above, hence from `System`, with this layout.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;
}
