//! bpf(2) and the netlink socket. One operation a function; no policy.
#![allow(unsafe_code)]

use crate::error::KernelError;
use crate::limits::LOG_MAX;
use crate::program::Instruction;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` needs (linux/bpf.h); pointers are u64 on
/// every word size.
#[repr(C, align(8))]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}
const _: () = assert!(size_of::<ProgLoad>() == 64);

/// `BPF_PROG_LOAD` of a tc classifier.
pub fn load_classifier(instructions: &[Instruction]) -> Result<OwnedFd, KernelError> {
    let mut log = vec![0u8; LOG_MAX];
    let attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_SCHED_CLS,
        insn_cnt: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        insns: address(instructions.as_ptr()),
        license: address(c"MIT".as_ptr()),
        log_level: 1,
        log_size: u32::try_from(log.len()).unwrap_or(0),
        log_buf: address(log.as_mut_ptr()),
        kern_version: 0,
        prog_flags: 0,
        prog_name: *b"hearth\0\0\0\0\0\0\0\0\0\0",
    };
    // SAFETY: attr is 64 bytes, as its size assertion says, and the three addresses in it point to
    // instructions, a C string and a buffer of log_size bytes that all outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attr,
            size_of::<ProgLoad>(),
        )
    };
    if fd < 0 {
        let text = String::from_utf8_lossy(&log);
        let log = text.trim_end_matches('\0').trim().to_owned();
        return Err(KernelError::Verifier {
            errno: errno(),
            log,
        });
    }
    #[allow(clippy::useless_conversion)] // c_long is i32 on i686
    let fd = i32::try_from(fd).map_err(|_| KernelError::Answer)?;
    // SAFETY: the kernel just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address<T>(pointer: *const T) -> u64 {
    pointer as usize as u64
}

fn errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// A `NETLINK_ROUTE` socket in the caller's network namespace, a member of `groups` (netlink(7)).
pub fn netlink_socket(groups: u32) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointer.
    let fd = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_nl is integers, for which all zeroes is a value (its padding is private).
    let mut address: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = groups;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of a live sockaddr_nl.
    let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

/// send(2)
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads bytes.len() bytes of a live slice.
    let n = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// recv(2)
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most buffer.len() bytes to a live, exclusive slice.
    let n = unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// recv(2) that does not wait.
pub fn receive_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (at, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the kernel writes at most `length` bytes to a live, exclusive slice.
    let n = unsafe { libc::recv(fd.as_raw_fd(), at, length, libc::MSG_DONTWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}
