//! The two system calls that the standard library lacks.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `linux/fs.h`: both names are there before and after.
const RENAME_EXCHANGE: libc::c_uint = 2;

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

fn check(returned: impl Into<i64>) -> io::Result<()> {
    if returned.into() < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives each of two names what the other one had, in one step (renameat2(2)).
///
/// # Errors
/// As renameat2(2): EINVAL where the file system can not do it.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let (one, other) = (c_path(one)?, c_path(other)?);
    let at = libc::AT_FDCWD;
    // SAFETY: both strings are NUL-terminated and live through the call; the rest are integers.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            at,
            one.as_ptr(),
            at,
            other.as_ptr(),
            RENAME_EXCHANGE,
        )
    };
    check(returned)
}

/// Bytes that are free for files on the file system of this folder (statvfs(3)).
///
/// # Errors
/// As statvfs(3).
pub fn free_space(folder: &Path) -> io::Result<u64> {
    let folder = c_path(folder)?;
    let mut facts = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `folder` is NUL-terminated, and the call writes one `statvfs` at the pointer, which has room for it.
    check(unsafe { libc::statvfs(folder.as_ptr(), facts.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded, so it has filled the structure.
    let facts = unsafe { facts.assume_init() };
    #[allow(
        clippy::useless_conversion,
        reason = "c_ulong has another width on each word size"
    )]
    let (blocks, size) = (u64::from(facts.f_bavail), u64::from(facts.f_frsize));
    Ok(blocks.saturating_mul(size))
}
