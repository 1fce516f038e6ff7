//! Devices that check each block they read: ioctls of device-mapper (`linux/dm-ioctl.h`, interface 4.0) with
//! its target verity (Documentation/admin-guide/device-mapper/verity.rst). No udev: the kernel makes the node
//! `/dev/dm-N` itself (devtmpfs).

use super::check;
use core::mem;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `struct dm_ioctl`.
#[repr(C)]
#[derive(Clone, Copy)]
struct DmIoctl {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}
const _: () = assert!(mem::size_of::<DmIoctl>() == 312);

/// `struct dm_target_spec`.
#[repr(C)]
#[derive(Clone, Copy)]
struct DmTarget {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
}
const _: () = assert!(mem::size_of::<DmTarget>() == 40);

/// Room for the words of a table, bytes: numbers, "sha256" and a hash are some 150.
const WORDS: usize = 256;

/// A request with one target and its words.
#[repr(C)]
#[derive(Clone, Copy)]
struct Request {
    head: DmIoctl,
    target: DmTarget,
    words: [u8; WORDS],
}
const _: () = assert!(mem::size_of::<Request>() == 312 + 40 + WORDS);

/// `_IOWR(0xfd, NUMBER, struct dm_ioctl)`.
const fn code(number: libc::c_ulong) -> libc::c_ulong {
    (3 << 30) | (312 << 16) | (0xfd << 8) | number
}
const DEV_CREATE: libc::c_ulong = code(3);
const DEV_REMOVE: libc::c_ulong = code(4);
const DEV_SUSPEND: libc::c_ulong = code(6);
const TABLE_LOAD: libc::c_ulong = code(9);

const READONLY: u32 = 1;
const DEFERRED_REMOVE: u32 = 1 << 17;

/// Bytes of a sector, the unit of a table.
const SECTOR: u64 = 512;

/// What a verified device reads, and how it checks that.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// The device with the image, and its tree right behind it.
    pub device: &'a Path,
    /// Length of the image, bytes: whole blocks.
    pub size: u64,
    /// Length of a block, bytes.
    pub block: u64,
    /// The tree's root, in hexadecimal digits.
    pub root: &'a str,
}

/// A verified device. It is removed when this and every mount of it are gone.
#[derive(Debug)]
pub struct Verified {
    control: File,
    name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Verified {
    /// Makes the device of this name.
    ///
    /// # Errors
    /// As open(2) of `/dev/mapper/control` (ENOENT, ENODEV: the kernel lacks dm_mod), stat(2) and ioctl(2): EBUSY where
    /// there is one of this name, EINVAL where the kernel lacks dm_verity, or the device is shorter than
    /// image and tree.
    pub fn make(name: &str, table: &Table<'_>) -> io::Result<Verified> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/mapper/control")?;
        let mut create = request(name, 0);
        call(&control, DEV_CREATE, &mut create)?;
        let mut made = Verified {
            control,
            name: name.to_owned(),
            path: PathBuf::new(),
        };
        made.load(table)?;
        // Resumed, it takes its table.
        let mut resume = request(name, 0);
        call(&made.control, DEV_SUSPEND, &mut resume)?;
        let dev = resume.head.dev;
        // `huge_encode_dev` of linux/kdev_t.h.
        let minor = (dev & 0xff) | ((dev >> 12) & 0x000f_ff00);
        made.path = PathBuf::from(format!("/dev/dm-{minor}"));
        Ok(made)
    }

    fn load(&self, table: &Table<'_>) -> io::Result<()> {
        let number = std::fs::metadata(table.device)?.rdev();
        let (major, minor) = (libc::major(number), libc::minor(number));
        let blocks = table.size / table.block;
        let block = table.block;
        let words = format!(
            "1 {major}:{minor} {major}:{minor} {block} {block} {blocks} {blocks} sha256 {} -",
            table.root
        );
        let mut load = request(&self.name, READONLY);
        load.head.target_count = 1;
        load.target.length = table.size / SECTOR;
        copy(&mut load.target.target_type, b"verity");
        copy(&mut load.words, words.as_bytes());
        call(&self.control, TABLE_LOAD, &mut load)
    }
}

impl Drop for Verified {
    fn drop(&mut self) {
        let mut remove = request(&self.name, DEFERRED_REMOVE);
        // Nobody is left to tell; a device that stays is removed by the next start of this name.
        let _stays = call(&self.control, DEV_REMOVE, &mut remove);
    }
}

/// Removes what an interrupted start has left under this name, if nobody uses it.
///
/// # Errors
/// As ioctl(2): ENXIO where there is none, EBUSY where it is in use.
pub fn remove(name: &str) -> io::Result<()> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/mapper/control")?;
    call(&control, DEV_REMOVE, &mut request(name, 0))
}

fn request(name: &str, flags: u32) -> Request {
    // SAFETY: `Request` is integers, for which all zeroes is a value.
    let mut request: Request = unsafe { mem::zeroed() };
    request.head.version = [4, 0, 0];
    request.head.data_size = const { mem::size_of::<Request>() as u32 };
    request.head.data_start = const { mem::size_of::<DmIoctl>() as u32 };
    request.head.flags = flags;
    copy(&mut request.head.name, name.as_bytes());
    request
}

/// Copies what fits and leaves a NUL at the end.
fn copy(to: &mut [u8], from: &[u8]) {
    let room = to.len().saturating_sub(1);
    for (to, from) in to.iter_mut().zip(from.iter().take(room)) {
        *to = *from;
    }
}

fn call(control: &File, code: libc::c_ulong, request: &mut Request) -> io::Result<()> {
    let pointer: *mut Request = request;
    // SAFETY: the call reads and writes `data_size` bytes at `pointer`, which is the size of `Request`, and
    // the request lives and is borrowed by nobody else.
    check(unsafe { libc::ioctl(control.as_raw_fd(), code as _, pointer) })?;
    Ok(())
}
