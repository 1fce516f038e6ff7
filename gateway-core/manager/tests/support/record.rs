//! Records and descriptors over `SOCK_SEQPACKET`, from the other side's point of view.

use hearth_model::limits::RECORD_MAX;
use hearth_model::protocol::{decode, encode};
use serde::{Serialize, de::DeserializeOwned};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

#[repr(C, align(8))]
struct Control([u8; 64]);

/// A connected pair, close-on-exec.
pub fn pair() -> (OwnedFd, OwnedFd) {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
    assert_eq!(made, 0);
    // SAFETY: the kernel has just made both for us.
    unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) }
}

/// Sends a record; whether the other side is still there.
pub fn send<R: Serialize>(socket: &OwnedFd, record: &R, fds: &[&OwnedFd]) -> bool {
    let mut buffer = [0; RECORD_MAX];
    let bytes = encode(record, &mut buffer).unwrap();
    let raw: Vec<i32> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let mut control = Control([0; 64]);
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr() as *mut _,
        iov_len: bytes.len(),
    };
    // SAFETY: all zeroes is a value of msghdr; every pointer lives through the call; the control
    // buffer has room for one header and four descriptors.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        if !raw.is_empty() {
            let length = (raw.len() * 4) as u32;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as _;
            let head = libc::CMSG_FIRSTHDR(&message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(length) as _;
            std::ptr::copy_nonoverlapping(
                raw.as_ptr().cast::<u8>(),
                libc::CMSG_DATA(head),
                length as usize,
            );
        }
        libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) >= 0
    }
}

/// Waits for a record and its descriptors; `None` where the other side is gone.
pub fn receive<R: DeserializeOwned>(socket: &OwnedFd) -> Option<(R, Vec<OwnedFd>)> {
    let mut buffer = [0; RECORD_MAX];
    let mut control = Control([0; 64]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: as for `send`; the kernel writes within the buffers and says how much.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = 64;
        let flags = libc::MSG_CMSG_CLOEXEC;
        let count = libc::recvmsg(socket.as_raw_fd(), &mut message, flags);
        if count <= 0 {
            return None;
        }
        let mut fds = Vec::new();
        let head = libc::CMSG_FIRSTHDR(&message);
        if !head.is_null() {
            let count = ((*head).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / 4;
            let data = libc::CMSG_DATA(head).cast::<i32>();
            for n in 0..count {
                fds.push(OwnedFd::from_raw_fd(data.add(n).read_unaligned()));
            }
        }
        Some((decode(&buffer[..count as usize]).unwrap(), fds))
    }
}
