//! Notify sockets: datagrams with the sender's credentials, as the kernel vouches for them (unix(7),
//! `SO_PASSCRED`).

use super::check;
use core::mem;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for one control message with credentials, and for no descriptor beside it: what a stranger sends
/// along is closed by the kernel. `CMSG_SPACE(12)` is 24 bytes on i386 and 32 on x86_64 (cmsg(3)).
#[repr(C, align(8))]
struct Control([u8; 32]);

const CREDENTIALS: u32 = mem::size_of::<libc::ucred>() as u32;
// SAFETY: CMSG_SPACE only computes with its argument.
const SPACE: usize = unsafe { libc::CMSG_SPACE(CREDENTIALS) } as usize;
const _: () = assert!(SPACE <= mem::size_of::<Control>());

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its length in the buffer; `None` for one that was longer than the buffer.
    pub length: Option<usize>,
    /// The user who sent it, as our user namespace has it; `None` where the kernel does not say.
    pub uid: Option<u32>,
}

/// Makes the kernel tell who sends, from the next message on.
///
/// # Errors
/// As setsockopt(2).
pub fn ask_for_senders(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` is a live int of `size` bytes, which the kernel only reads.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            (&raw const on).cast(),
            size,
        )
    })
    .map(|_| ())
}

/// Takes one message; never waits.
///
/// # Errors
/// As recvmsg(2): `WouldBlock` where nothing waits.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Message> {
    let mut control = Control([0; 32]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: `msghdr` is integers and pointers, for which all zeroes is a value (musl has padding
    // fields, which rules out a literal).
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = SPACE as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `message` and all it points to live through the call; lengths are those of the buffers.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let is_whole = message.msg_flags & libc::MSG_TRUNC == 0;
    Ok(Message {
        length: is_whole.then_some(count),
        uid: sender(&message),
    })
}

fn sender(message: &libc::msghdr) -> Option<u32> {
    // SAFETY: the kernel has set `msg_controllen` to what it wrote into the live control buffer.
    let first = unsafe { libc::CMSG_FIRSTHDR(message) };
    if first.is_null() {
        return None;
    }
    // SAFETY: a non-null CMSG_FIRSTHDR points to a whole header inside the control buffer.
    let head = unsafe { first.read() };
    // SAFETY: CMSG_LEN only computes with its argument.
    let whole = unsafe { libc::CMSG_LEN(CREDENTIALS) } as usize;
    if (head.cmsg_level, head.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS)
        || (head.cmsg_len as usize) < whole
    {
        return None;
    }
    // SAFETY: `first` is a header inside the control buffer; the result stays inside it.
    let data = unsafe { libc::CMSG_DATA(first) }.cast::<libc::ucred>();
    // SAFETY: the message is long enough for a `ucred` (checked above); CMSG_DATA may be unaligned for it.
    let credentials = unsafe { data.read_unaligned() };
    Some(credentials.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_message_comes_with_its_sender_and_a_long_one_is_told_as_such() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ask_for_senders(ours.as_fd()).unwrap();
        theirs.send(b"READY=1").unwrap();
        theirs.send(&[b'x'; 17]).unwrap();
        let mut buffer = [0; 16];
        let own = std::fs::metadata("/proc/self").unwrap();
        let uid = Some(std::os::unix::fs::MetadataExt::uid(&own));
        let first = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!(
            first,
            Message {
                length: Some(7),
                uid
            }
        );
        assert_eq!(&buffer[..7], b"READY=1");
        let long = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!(long, Message { length: None, uid });
        let none = receive(ours.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
    }
}
