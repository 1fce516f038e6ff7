//! Loop devices (loop(4)): a file as a read-only block device.

use super::{Errno, check_int};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

// linux/loop.h
const LOOP_CTL_GET_FREE: u32 = 0x4c82;
const LOOP_CONFIGURE: u32 = 0x4c0a;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_info64`, linux/loop.h.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}
const _: () = assert!(mem::size_of::<LoopInfo>() == 232);

/// `struct loop_config`, linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}
const _: () = assert!(mem::size_of::<LoopConfig>() == 304);

/// The number of a free device; another process may take it before it is used.
///
/// # Errors
/// As LOOP_CTL_GET_FREE.
pub fn free_number(control: BorrowedFd<'_>) -> Result<u32, Errno> {
    // SAFETY: takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    check_int(number).map(|number| number as u32)
}

/// Makes `device` show `file`, read-only, until the last user of the device closes it.
///
/// # Errors
/// EBUSY where another process was faster.
pub fn configure(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the structure is plain integers, for which all zeroes is a value.
    let mut config: LoopConfig = unsafe { mem::zeroed() };
    config.fd = file.as_raw_fd() as u32;
    config.info.flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    // SAFETY: `config` is a live local with the layout this request reads.
    check_int(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) })
        .map(|_| ())
}
