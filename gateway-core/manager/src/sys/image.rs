//! Image files as block devices and mounts: loop(4), mount(2), umount2(2).

use super::check;
use core::mem;
use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}
const _: () = assert!(mem::size_of::<LoopInfo64>() == 232);

/// `struct loop_config` of `linux/loop.h` (Linux 5.8).
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}
const _: () = assert!(mem::size_of::<LoopConfig>() == 304);

/// `linux/loop.h`: set all of a free device at once.
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
/// `linux/loop.h`: the number of a free device.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
/// `linux/loop.h`: `LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR`: the last unmount frees the device.
const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;

/// A loop device with an image. It is freed when this and every mount of it are gone.
#[derive(Debug)]
pub struct LoopDevice {
    /// Holds the device until it is mounted.
    _held: File,
    /// Where it is.
    pub path: PathBuf,
}

/// The path of a loop device that is free now. Somebody else may take it meanwhile.
///
/// # Errors
/// As open(2) of `/dev/loop-control` (ENOENT, ENODEV: the kernel lacks loop) and ioctl(2).
pub fn free_loop_device() -> io::Result<PathBuf> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    // SAFETY: LOOP_CTL_GET_FREE takes no argument; `control` is open.
    let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) })?;
    Ok(PathBuf::from(format!("/dev/loop{number}")))
}

/// Puts `image` behind the loop device at `path`, read-only.
///
/// # Errors
/// As open(2) and ioctl(2): EBUSY where somebody else took the device.
pub fn set_loop_device(path: PathBuf, image: &File) -> io::Result<LoopDevice> {
    let device = OpenOptions::new().read(true).open(&path)?;
    // SAFETY: `LoopConfig` is integers, for which all zeroes is a value.
    let mut config: LoopConfig = unsafe { mem::zeroed() };
    config.fd = image.as_raw_fd().unsigned_abs();
    config.info.flags = READ_ONLY_AUTOCLEAR;
    let pointer: *const LoopConfig = &raw const config;
    // SAFETY: LOOP_CONFIGURE reads one `loop_config` (its size is asserted) at `pointer`, which lives.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, pointer) })?;
    Ok(LoopDevice {
        _held: device,
        path,
    })
}

/// Mounts a squashfs image, read-only, nosuid, nodev.
///
/// # Errors
/// As mount(2): EINVAL where the device holds no squashfs, ENODEV where the kernel lacks squashfs.
pub fn mount_squashfs(device: &CStr, target: &CStr) -> io::Result<()> {
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
    let kind = c"squashfs".as_ptr();
    // SAFETY: the three strings are NUL-terminated and live through the call; data may be null.
    check(unsafe {
        libc::mount(
            device.as_ptr(),
            target.as_ptr(),
            kind,
            flags,
            core::ptr::null(),
        )
    })?;
    Ok(())
}

/// Unmounts what is mounted last at `target`, if nobody uses it.
///
/// # Errors
/// As umount2(2): EBUSY where it is in use, EINVAL where nothing is mounted there.
pub fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: `target` is NUL-terminated and lives through the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::UMOUNT_NOFOLLOW) })?;
    Ok(())
}
