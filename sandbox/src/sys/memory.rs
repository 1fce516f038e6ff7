//! Memory for a program that soon becomes another one: taken from one piece, hardly ever given back. The C
//! library's allocator asks the kernel for each of the first pages anew, and a start is mostly system calls.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Size of the piece, bytes: a start takes a sixth of it. What does not fit comes from the C library.
const ROOM: usize = 256 * 1024;

/// The piece, and how much of it is taken. Pages of it that nobody touched take no memory.
#[derive(Debug)]
pub struct OnePiece {
    room: UnsafeCell<[u8; ROOM]>,
    taken: AtomicUsize,
}

// SAFETY: a part of the piece belongs to whoever moved `taken` over it, and `taken` is atomic.
unsafe impl Sync for OnePiece {}

impl OnePiece {
    /// An empty one.
    #[must_use]
    pub const fn new() -> OnePiece {
        OnePiece {
            room: UnsafeCell::new([0; ROOM]),
            taken: AtomicUsize::new(0),
        }
    }

    /// Where in the piece this is; none where it is the C library's.
    fn place(&self, pointer: *mut u8) -> Option<usize> {
        let place = (pointer as usize).wrapping_sub(self.room.get() as usize);
        (place < ROOM).then_some(place)
    }

    /// Moves `taken` to the end of a part of this size that begins at or behind `from(taken)`.
    fn take(&self, size: usize, from: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        let end = |taken| from(taken)?.checked_add(size).filter(|&end| end <= ROOM);
        let before = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, end);
        from(before.ok()?)
    }
}

impl Default for OnePiece {
    fn default() -> OnePiece {
        OnePiece::new()
    }
}

// SAFETY: parts do not overlap (`taken` only moves over free room, or back over the last part when that is
// given back), are aligned, and have the size that was asked for.
// Everything else is handed to `System`, which upholds the contract.
unsafe impl GlobalAlloc for OnePiece {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.room.get() as usize;
        let aligned = |taken: usize| {
            let place = (base + taken).checked_next_multiple_of(layout.align())?;
            Some(place - base)
        };
        if let Some(place) = self.take(layout.size(), aligned) {
            return (self.room.get() as *mut u8).wrapping_add(place);
        }
        // SAFETY: the caller's guarantee on `layout` (not zero-sized) is passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.place(pointer) {
            Some(place) => {
                // The last part is given back; another one stays taken until the end, which is soon.
                let end = place + layout.size();
                let orders = (Ordering::Relaxed, Ordering::Relaxed);
                let _ = self.taken.compare_exchange(end, place, orders.0, orders.1);
            }
            // SAFETY: not of the piece, so `alloc` got it from `System` with this layout.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(place) = self.place(pointer) else {
            // SAFETY: not of the piece, so it is `System`'s, with this layout.
            return unsafe { System.realloc(pointer, layout, size) };
        };
        let last = |taken| (taken == place + layout.size()).then_some(place);
        if self.take(size, last).is_some() {
            return pointer;
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return std::ptr::null_mut();
        };
        // SAFETY: the caller guarantees a size that is not zero.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            let count = layout.size().min(size);
            // SAFETY: both parts have at least `count` bytes, and a new one overlaps no other.
            unsafe { std::ptr::copy_nonoverlapping(pointer, new, count) };
            // SAFETY: the caller gives `pointer` up, which has this layout.
            unsafe { self.dealloc(pointer, layout) };
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    fn get(memory: &OnePiece, layout: Layout) -> *mut u8 {
        // SAFETY: no layout of these tests is empty.
        unsafe { memory.alloc(layout) }
    }

    fn give(memory: &OnePiece, pointer: *mut u8, layout: Layout) {
        // SAFETY: the tests keep each pointer with its layout.
        unsafe { memory.dealloc(pointer, layout) }
    }

    fn grow(memory: &OnePiece, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the tests keep each pointer with its layout, and no size is 0.
        unsafe { memory.realloc(pointer, layout, size) }
    }

    #[test]
    fn parts_are_aligned_apart_and_grow_in_place_where_they_are_last() {
        let memory = Box::new(OnePiece::new());
        let (small, large) = (layout(3, 1), layout(100, 64));
        let first = get(&memory, small);
        let second = get(&memory, large);
        assert_eq!(second as usize % 64, 0);
        assert!(second as usize >= first as usize + 3);
        assert_eq!(grow(&memory, second, large, 200), second);
        // SAFETY: three bytes that are ours.
        unsafe { first.write_bytes(7, 3) };
        let moved = grow(&memory, first, small, 50);
        assert_ne!(moved, first);
        // SAFETY: the same three bytes, moved.
        assert_eq!(unsafe { std::slice::from_raw_parts(moved, 3) }, [7; 3]);
    }

    #[test]
    fn what_is_given_back_last_is_free_again() {
        let memory = Box::new(OnePiece::new());
        let layout = layout(1000, 8);
        let first = get(&memory, layout);
        give(&memory, first, layout);
        for _ in 0..10_000 {
            let again = get(&memory, layout);
            assert_eq!(again, first);
            give(&memory, again, layout);
        }
    }

    #[test]
    fn what_does_not_fit_comes_from_the_c_library() {
        let memory = Box::new(OnePiece::new());
        let (huge, most) = (layout(ROOM + 1, 1), layout(ROOM, 1));
        let pointer = get(&memory, huge);
        assert!(memory.place(pointer).is_none());
        give(&memory, pointer, huge);
        let all = get(&memory, most);
        assert!(memory.place(all).is_some());
        let next = get(&memory, layout(1, 1));
        assert!(memory.place(next).is_none());
        give(&memory, next, layout(1, 1));
        let bigger = grow(&memory, all, most, ROOM * 2);
        assert!(memory.place(bigger).is_none());
        give(&memory, bigger, layout(ROOM * 2, 1));
    }
}
