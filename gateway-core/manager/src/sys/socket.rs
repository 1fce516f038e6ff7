//! `SOCK_SEQPACKET` sockets: connect(2), sendmsg(2) and recvmsg(2) with descriptors beside the bytes
//! (unix(7), `SCM_RIGHTS`).

use super::check;
use core::mem;
use hearth_model::limits::RECORD_FDS_MAX;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// Room for one control message with [`RECORD_FDS_MAX`] descriptors, aligned as the kernel wants it.
/// `CMSG_SPACE(16)` is 28 bytes on i386 and 32 on x86_64 (cmsg(3)).
#[repr(C, align(8))]
struct Control([u8; 64]);

const FDS_BYTES: u32 = (RECORD_FDS_MAX * mem::size_of::<RawFd>()) as u32;
// SAFETY: CMSG_SPACE only computes with its argument.
const _: () = assert!(unsafe { libc::CMSG_SPACE(FDS_BYTES) } as usize <= mem::size_of::<Control>());

/// What [`receive`] found.
#[derive(Debug)]
pub enum Received {
    /// One record: its length in the buffer and its descriptors.
    Record(usize, Vec<OwnedFd>),
    /// A record that was longer than the buffer, or whose descriptors did not fit: it is lost.
    Truncated,
    /// The other side is gone.
    Closed,
}

/// Connects to the listener at `path`, close-on-exec and non-blocking.
///
/// # Errors
/// As socket(2) and connect(2); `InvalidInput` where the path does not fit in an address (unix(7)).
pub fn connect(path: &OsStr) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes no pointer.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: the kernel has just made `fd` for us; nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: `sockaddr_un` is integers, for which all zeroes is a value.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    // One byte stays 0 and ends the path.
    if path.len() >= address.sun_path.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (place, &byte) in address.sun_path.iter_mut().zip(path.as_bytes()) {
        *place = byte as libc::c_char;
    }
    let length = mem::size_of::<libc::sockaddr_un>() as libc::socklen_t;
    let pointer = (&raw const address).cast::<libc::sockaddr>();
    // SAFETY: `pointer` is a live sockaddr_un of `length` bytes.
    check(unsafe { libc::connect(fd.as_raw_fd(), pointer, length) })?;
    Ok(fd)
}

fn header(part: &mut libc::iovec, control: &mut Control, control_length: usize) -> libc::msghdr {
    // SAFETY: `msghdr` is integers and pointers, for which all zeroes is a value (musl has padding
    // fields, which rules out a literal).
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    if control_length > 0 {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control_length as _;
    }
    message
}

/// Sends one record with its descriptors; never waits.
///
/// # Errors
/// As sendmsg(2): `WouldBlock` where the socket is full, EPIPE where the other side is gone.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[OwnedFd]) -> io::Result<()> {
    let raw: Vec<RawFd> = fds
        .iter()
        .take(RECORD_FDS_MAX)
        .map(AsRawFd::as_raw_fd)
        .collect();
    let length = (raw.len() * mem::size_of::<RawFd>()) as u32;
    let mut control = Control([0; 64]);
    // SAFETY: CMSG_SPACE only computes with its argument.
    let space = unsafe { libc::CMSG_SPACE(length) } as usize;
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let message = header(
        &mut part,
        &mut control,
        if raw.is_empty() { 0 } else { space },
    );
    // SAFETY: `message` names `control`, live and large enough for one header (asserted above), or none.
    let first = unsafe { libc::CMSG_FIRSTHDR(&message) };
    if !first.is_null() {
        // SAFETY: all zeroes is a value of `cmsghdr`, which is integers (musl may pad).
        let mut head: libc::cmsghdr = unsafe { mem::zeroed() };
        head.cmsg_level = libc::SOL_SOCKET;
        head.cmsg_type = libc::SCM_RIGHTS;
        // SAFETY: CMSG_LEN only computes with its argument.
        head.cmsg_len = unsafe { libc::CMSG_LEN(length) } as _;
        // SAFETY: `first` points into `control`, which is aligned and holds a whole header.
        unsafe { first.write(head) };
        // SAFETY: `first` is a header inside `control`; the result stays inside it.
        let data = unsafe { libc::CMSG_DATA(first) };
        // SAFETY: `data` has room for `length` bytes (space was computed from it); `raw` has as many.
        unsafe { core::ptr::copy_nonoverlapping(raw.as_ptr().cast::<u8>(), data, length as usize) };
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `message`, `part`, `bytes` and `control` live through the call; the kernel only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Takes one record and its descriptors (close-on-exec); never waits.
///
/// # Errors
/// As recvmsg(2): `WouldBlock` where nothing waits.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: CMSG_SPACE only computes with its argument.
    let space = unsafe { libc::CMSG_SPACE(FDS_BYTES) } as usize;
    let mut message = header(&mut part, &mut control, space);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `message` and all it points to live through the call; lengths are those of the buffers.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
    if count < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECONNRESET) => Ok(Received::Closed),
            Some(libc::EINTR) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            Some(_) | None => Err(error),
        };
    }
    // Owned before anything is judged, so that no path leaks one.
    let fds = received_fds(&message);
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Ok(Received::Truncated);
    }
    // No record is empty, so 0 is the end of the stream.
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(Received::Record(count, fds)),
        Ok(_) | Err(_) => Ok(Received::Closed),
    }
}

fn received_fds(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel has set `msg_controllen` to what it wrote into the live control buffer.
    let first = unsafe { libc::CMSG_FIRSTHDR(message) };
    if first.is_null() {
        return fds;
    }
    // SAFETY: a non-null CMSG_FIRSTHDR points to a whole header inside the control buffer.
    let head = unsafe { first.read() };
    if head.cmsg_level != libc::SOL_SOCKET || head.cmsg_type != libc::SCM_RIGHTS {
        return fds;
    }
    // SAFETY: CMSG_LEN only computes with its argument.
    let empty = unsafe { libc::CMSG_LEN(0) } as usize;
    let count = (head.cmsg_len as usize).saturating_sub(empty) / mem::size_of::<RawFd>();
    // SAFETY: `first` is a header inside the control buffer; the result stays inside it.
    let data = unsafe { libc::CMSG_DATA(first) }.cast::<RawFd>();
    for index in 0..count.min(RECORD_FDS_MAX) {
        // SAFETY: the kernel wrote `count` descriptors there, and `index` is below it.
        let place = unsafe { data.add(index) };
        // SAFETY: `place` is one of them; CMSG_DATA may be unaligned for an int.
        let raw = unsafe { place.read_unaligned() };
        // SAFETY: the kernel has just installed `raw` for us; nobody else owns it.
        fds.push(unsafe { OwnedFd::from_raw_fd(raw) });
    }
    fds
}
