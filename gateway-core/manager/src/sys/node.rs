//! Device nodes (mknod(2)).

use super::check;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Makes the node of a character device, which its owner alone may read and write.
pub fn make_character(path: &Path, major: u32, minor: u32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let device = libc::makedev(major, minor);
    // SAFETY: the path is a C string that lives through the call, and the kernel only reads it.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, device) }).map(|_| ())
}
