//! bpf(2): commands on maps.

use super::{ById, address, call, info as ask, name, owned, refused};
use crate::error::KernelError;
use crate::object::MapSpec;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;

#[repr(C, align(8))]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
}
const _: () = assert!(size_of::<MapCreate>() == 48);

/// `BPF_MAP_CREATE`
pub fn create(spec: &MapSpec) -> Result<OwnedFd, KernelError> {
    let mut attr = MapCreate {
        map_type: spec.kind,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: name(&spec.name),
        map_ifindex: 0,
    };
    // SAFETY: the structure is the command's and holds no address.
    let fd = unsafe { call(MAP_CREATE, &mut attr) };
    fd.map(owned).map_err(refused("make a map"))
}

#[repr(C, align(8))]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}
const _: () = assert!(size_of::<Element>() == 32);

fn element(map: BorrowedFd<'_>, key: u64, value: u64, flags: u64) -> Element {
    let map_fd = map.as_raw_fd().cast_unsigned();
    Element {
        map_fd,
        padding: 0,
        key,
        value,
        flags,
    }
}

/// `BPF_MAP_LOOKUP_ELEM`; key and value have the map's lengths ([`crate::map::Map`] sees to it).
pub fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> Result<(), KernelError> {
    let mut attr = element(map, address(key.as_ptr()), address(value.as_mut_ptr()), 0);
    // SAFETY: the kernel reads the map's key_size bytes of key and writes its value length to value,
    // which are the slices' lengths by this function's condition.
    let done = unsafe { call(MAP_LOOKUP_ELEM, &mut attr) };
    done.map(|_| ()).map_err(refused("look into a map"))
}

/// `BPF_MAP_UPDATE_ELEM`; lengths as for [`lookup`].
pub fn update(
    map: BorrowedFd<'_>,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> Result<(), KernelError> {
    let mut attr = element(map, address(key.as_ptr()), address(value.as_ptr()), flags);
    // SAFETY: the kernel reads the map's key_size and value length, which are the slices' lengths.
    let done = unsafe { call(MAP_UPDATE_ELEM, &mut attr) };
    done.map(|_| ()).map_err(refused("write into a map"))
}

/// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`; lengths as for [`lookup`].
pub fn take(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> Result<(), KernelError> {
    let mut attr = element(map, address(key.as_ptr()), address(value.as_mut_ptr()), 0);
    // SAFETY: the kernel reads the map's key_size bytes of key and writes its value length to value,
    // which are the slices' lengths by this function's condition.
    let done = unsafe { call(MAP_LOOKUP_AND_DELETE_ELEM, &mut attr) };
    done.map(|_| ()).map_err(refused("take from a map"))
}

/// `BPF_MAP_DELETE_ELEM`; length as for [`lookup`].
pub fn delete(map: BorrowedFd<'_>, key: &[u8]) -> Result<(), KernelError> {
    let mut attr = element(map, address(key.as_ptr()), 0, 0);
    // SAFETY: the kernel reads the map's key_size bytes, which is the slice's length.
    let done = unsafe { call(MAP_DELETE_ELEM, &mut attr) };
    done.map(|_| ()).map_err(refused("remove from a map"))
}

/// `BPF_MAP_GET_NEXT_KEY`; lengths as for [`lookup`].
pub fn next_key(
    map: BorrowedFd<'_>,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> Result<(), KernelError> {
    let key = key.map_or(0, |key| address(key.as_ptr()));
    let mut attr = element(map, key, address(next.as_mut_ptr()), 0);
    // SAFETY: the kernel reads and writes the map's key_size bytes, which is both slices' length; a
    // null key asks for the first.
    let done = unsafe { call(MAP_GET_NEXT_KEY, &mut attr) };
    done.map(|_| ()).map_err(refused("walk a map"))
}

/// Begins of `struct bpf_map_info`.
#[repr(C, align(8))]
#[derive(Default)]
pub struct MapInfo {
    pub kind: u32,
    id: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    map_flags: u32,
    /// At most 15 bytes and a zero.
    pub name: [u8; 16],
}
const _: () = assert!(size_of::<MapInfo>() == 40);

/// `BPF_OBJ_GET_INFO_BY_FD` of a map.
pub fn info(map: BorrowedFd<'_>) -> Result<MapInfo, KernelError> {
    let mut found = MapInfo::default();
    ask(map, &mut found)?;
    Ok(found)
}

/// `BPF_MAP_GET_FD_BY_ID`
pub fn by_id(id: u32) -> Result<OwnedFd, KernelError> {
    let mut attr = ById::new(id);
    // SAFETY: the structure is the command's and holds no address.
    let fd = unsafe { call(MAP_GET_FD_BY_ID, &mut attr) };
    fd.map(owned).map_err(refused("open a map by its number"))
}
