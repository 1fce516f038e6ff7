//! What programs for the kernel share: maps, and the kernel's helpers by number.
//!
//! `scripts/bpf` compiles this for `bpfel` and each program against it, without cargo. Everything is
//! inlined into the one function of a section: the kernel's i386 compiler knows no calls between
//! functions, no atomic operation and no division of 64 bits. Keys must be named locals: the compiler
//! puts `&0u32` into a table, and the loader refuses tables.
#![no_std]

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A map's definition, as `hearth_bpf::object` reads it. Each is a `static` of the section `maps`.
#[repr(C)]
pub struct Map<K, V> {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    id: u32,
    pinning: u32,
    types: PhantomData<fn(K) -> V>,
}

/// `BPF_MAP_TYPE_HASH`
pub const HASH: u32 = 1;
/// `BPF_MAP_TYPE_ARRAY`
pub const ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_PERCPU_ARRAY`
pub const PERCPU_ARRAY: u32 = 6;
/// `BPF_MAP_TYPE_LPM_TRIE`: the longest prefix holds; only with [`NO_PREALLOC`]. The key begins with the
/// number of its bits.
pub const LPM_TRIE: u32 = 11;
/// `BPF_F_NO_PREALLOC`
pub const NO_PREALLOC: u32 = 1;

impl<K, V> Map<K, V> {
    /// A map of this kind.
    pub const fn new(kind: u32, max_entries: u32) -> Map<K, V> {
        Map {
            kind,
            key_size: size_of::<K>() as u32,
            value_size: size_of::<V>() as u32,
            max_entries,
            flags: 0,
            id: 0,
            pinning: 0,
            types: PhantomData,
        }
    }

    /// The same with `BPF_F_*` of the map.
    pub const fn with_flags(self, flags: u32) -> Map<K, V> {
        Map { flags, ..self }
    }

    /// The value at `key`. It lives through the program's run; others may write it meanwhile.
    #[inline(always)]
    pub fn get(&'static self, key: &K) -> Option<NonNull<V>> {
        let map: *const Map<K, V> = self;
        let key: *const K = key;
        // SAFETY: `bpf_map_lookup_elem` reads one key and returns null or the address of one value.
        let value = unsafe { map_lookup(map.cast(), key.cast()) };
        NonNull::new(value.cast())
    }
}

/// Declares a helper of the kernel by its number (linux/bpf.h, `___BPF_FUNC_MAPPER`).
#[macro_export]
macro_rules! helper {
    ($(#[$doc:meta])* $number:literal fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty) => {
        $(#[$doc])*
        #[inline(always)]
        pub unsafe fn $name($($argument: $type),*) -> $result {
            // SAFETY: the verifier takes a call of a number for a call of that helper.
            let function = unsafe {
                core::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $result>($number)
            };
            // SAFETY: as the helper's description wants, which is the caller's promise; the verifier
            // checks it too.
            unsafe { function($($argument),*) }
        }
    };
}

helper!(
    /// `bpf_map_lookup_elem`
    1 fn map_lookup(map: *const c_void, key: *const c_void) -> *mut c_void
);

/// States the license of an object.
#[macro_export]
macro_rules! license {
    () => {
        /// Read by the kernel: it decides what helpers a program may call.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "license")]
        static LICENSE: [u8; 4] = *b"MIT\0";
    };
}
