//! Installing a filter (seccomp(2)).

use super::{Errno, check};
use crate::seccomp::instruction::Instruction;

const SET_MODE_FILTER: libc::c_ulong = 1; // linux/seccomp.h

/// `struct sock_fprog`, linux/filter.h.
#[repr(C)]
struct Program {
    length: libc::c_ushort,
    filter: *const Instruction,
}

/// From here on `program` judges every system call of this thread and all it starts; needs no_new_privs.
///
/// # Errors
/// EINVAL where the kernel does not take the program.
pub fn install(program: &[Instruction]) -> Result<(), Errno> {
    let program = Program {
        length: u16::try_from(program.len()).map_err(|_| Errno(libc::EINVAL))?,
        filter: program.as_ptr(),
    };
    // SAFETY: `program` is a live local with the kernel's layout, and points to as many instructions as it
    // says, which are borrowed through the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const program) })
        .map(|_| ())
}
