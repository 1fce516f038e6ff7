//! bpf(2), one command a function. The layouts are those of `union bpf_attr` in linux/bpf.h;
//! pointers are 64 bits on every word size.

pub mod maps;
pub mod programs;

use crate::error::KernelError;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// Calls bpf(2) with a command's own structure.
///
/// # Safety
/// `T` is the beginning of `union bpf_attr` for the command, and every address and length in `attr`
/// names memory that lives through the call and that the kernel may read or write as the command does.
unsafe fn call<T>(command: libc::c_long, attr: &mut T) -> Result<i32, i32> {
    // SAFETY: the kernel reads and writes size_of::<T>() bytes of an exclusive T; the rest is the
    // caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    #[allow(clippy::useless_conversion)] // c_long is i32 on i686
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO)),
    }
}

fn refused(what: &'static str) -> impl Fn(i32) -> KernelError {
    move |errno| KernelError::Refused { what, errno }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: only called with a descriptor that bpf(2) just returned; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn address<T: ?Sized>(pointer: *const T) -> u64 {
    pointer.cast::<()>() as usize as u64
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// A name of the kernel's: at most 15 bytes and a zero.
fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    for (place, byte) in name.iter_mut().take(15).zip(text.bytes()) {
        *place = byte;
    }
    name
}

fn path_text(path: &Path) -> Result<CString, KernelError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| refused("use a path")(libc::EINVAL))
}

#[repr(C, align(8))]
struct Path64 {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}
const _: () = assert!(size_of::<Path64>() == 16);

/// `BPF_OBJ_PIN`
pub fn object_pin(object: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
    let text = path_text(path)?;
    let bpf_fd = object.as_raw_fd().cast_unsigned();
    let mut attr = Path64 {
        pathname: address(text.as_ptr()),
        bpf_fd,
        file_flags: 0,
    };
    // SAFETY: pathname is a C string that lives to the end of this function.
    let done = unsafe { call(OBJ_PIN, &mut attr) };
    done.map(|_| ()).map_err(refused("pin a map or program"))
}

/// `BPF_OBJ_GET`
pub fn object_get(path: &Path) -> Result<OwnedFd, KernelError> {
    let text = path_text(path)?;
    let mut attr = Path64 {
        pathname: address(text.as_ptr()),
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: pathname is a C string that lives to the end of this function.
    let fd = unsafe { call(OBJ_GET, &mut attr) };
    fd.map(owned)
        .map_err(refused("open a pinned map or program"))
}

#[repr(C, align(8))]
struct GetInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}
const _: () = assert!(size_of::<GetInfo>() == 16);

fn info<T>(fd: BorrowedFd<'_>, info: &mut T) -> Result<(), KernelError> {
    let mut attr = GetInfo {
        bpf_fd: fd.as_raw_fd().cast_unsigned(),
        info_len: u32::try_from(size_of::<T>()).unwrap_or(0),
        info: address(&raw const *info),
    };
    // SAFETY: the kernel writes at most info_len bytes, T's size, to an exclusive T; only called for
    // T of integers, and the one address in it is null or its owner's care.
    let done = unsafe { call(OBJ_GET_INFO_BY_FD, &mut attr) };
    done.map(|_| ())
        .map_err(refused("ask about a map or program"))
}

#[repr(C)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}
const _: () = assert!(size_of::<ById>() == 12);

impl ById {
    fn new(id: u32) -> ById {
        ById {
            id,
            next_id: 0,
            open_flags: 0,
        }
    }
}
