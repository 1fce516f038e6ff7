//! The manager's socket: socketpair(2), sendmsg(2) and recvmsg(2) with descriptors beside the bytes
//! (unix(7), `SCM_RIGHTS`).

use super::{Errno, check, check_int};
use core::mem;
use heapless::Vec;
use hearth_model::limits::RECORD_FDS_MAX;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Descriptors that came with one record.
pub type ReceivedFds = Vec<OwnedFd, RECORD_FDS_MAX>;

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
    Record(usize, ReceivedFds),
    /// A record that was longer than the buffer, or whose descriptors did not fit: it is lost.
    Truncated,
    /// Nothing waits.
    Empty,
    /// The other side is gone.
    Closed,
}

/// A connected `SOCK_SEQPACKET` pair, close-on-exec. Only the first, ours, never blocks.
///
/// # Errors
/// As socketpair(2) and fcntl(2).
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` is a live local with room for the two descriptors the kernel writes.
    check_int(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    let [ours, theirs] = fds;
    // SAFETY: the kernel has just made `ours` for us; nobody else owns it.
    let ours = unsafe { OwnedFd::from_raw_fd(ours) };
    // SAFETY: the kernel has just made `theirs` for us; nobody else owns it.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    Ok((ours, theirs))
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
/// As sendmsg(2): EAGAIN where the socket is full, EPIPE where the other side is gone.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let raw: Vec<RawFd, RECORD_FDS_MAX> = fds
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
        // SAFETY: CMSG_LEN only computes with its argument.
        let cmsg_len = unsafe { libc::CMSG_LEN(length) };
        // SAFETY: all zeroes is a value of `cmsghdr`, which is integers (musl may pad).
        let mut head: libc::cmsghdr = unsafe { mem::zeroed() };
        head.cmsg_level = libc::SOL_SOCKET;
        head.cmsg_type = libc::SCM_RIGHTS;
        head.cmsg_len = cmsg_len as _;
        // SAFETY: `first` points into `control`, which is aligned and holds a whole header.
        unsafe { first.write(head) };
        // SAFETY: `first` is a header inside `control`; the result stays inside it.
        let data = unsafe { libc::CMSG_DATA(first) };
        // SAFETY: `data` has room for `length` bytes (space was computed from it); `raw` holds as many.
        unsafe { core::ptr::copy_nonoverlapping(raw.as_ptr().cast::<u8>(), data, length as usize) };
    }
    // SAFETY: `message`, `part`, `bytes` and `control` live through the call; the kernel only reads them.
    let sent = unsafe {
        libc::sendmsg(
            socket.as_raw_fd(),
            &message,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    check(sent as libc::c_long).map(|_| ())
}

/// Takes one record and its descriptors (close-on-exec); never waits.
///
/// # Errors
/// As recvmsg(2), but for EAGAIN, which is [`Received::Empty`].
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, Errno> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: CMSG_SPACE only computes with its argument.
    let space = unsafe { libc::CMSG_SPACE(FDS_BYTES) } as usize;
    let mut message = header(&mut part, &mut control, space);
    // SAFETY: `message` and all it points to live through the call; lengths are those of the buffers.
    let count = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &mut message,
            libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC,
        )
    };
    let count = match check(count as libc::c_long) {
        Ok(count) => count as usize,
        Err(Errno(libc::EAGAIN | libc::EINTR)) => return Ok(Received::Empty),
        Err(Errno(libc::ECONNRESET)) => return Ok(Received::Closed),
        Err(errno) => return Err(errno),
    };
    // Owned before anything is judged, so that no path leaks one.
    let fds = received_fds(&message);
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Ok(Received::Truncated);
    }
    if count == 0 {
        // No record is empty, so this is the end of the stream.
        return Ok(Received::Closed);
    }
    Ok(Received::Record(count, fds))
}

/// Takes up to `most` messages from a socket and forgets them, with whatever descriptors they carry.
pub fn drain(socket: BorrowedFd<'_>, most: usize) {
    for _ in 0..most {
        let mut byte = 0_u8;
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        let place = (&raw mut byte).cast();
        // SAFETY: `byte` is a live local, and the kernel writes at most the one byte it is told of; without
        // room for control messages it closes the descriptors that came along (unix(7)).
        let taken = unsafe { libc::recv(socket.as_raw_fd(), place, 1, flags) };
        if taken < 0 && Errno::last() != Errno(libc::EINTR) {
            // Nothing is left (EAGAIN); what else could go wrong is its reader's to find.
            return;
        }
    }
}

fn received_fds(message: &libc::msghdr) -> ReceivedFds {
    let mut fds = ReceivedFds::new();
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
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        if fds.push(fd).is_err() {
            break;
        }
    }
    fds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn a_record_and_its_descriptors_arrive_whole() {
        // given a pair and a pipe
        let (ours, theirs) = pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        // when the pipe's write end goes across with three bytes
        send(ours.as_fd(), b"abc", &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut buffer = [0; 16];
        let Ok(Received::Record(3, fds)) = receive(theirs.as_fd(), &mut buffer) else {
            panic!("no record");
        };
        // then it is the same pipe
        std::fs::File::from(fds.into_iter().next().unwrap())
            .write_all(b"x")
            .unwrap();
        let mut got = String::new();
        reader.read_to_string(&mut got).unwrap();
        assert_eq!((&buffer[..3], got.as_str()), (&b"abc"[..], "x"));
    }

    #[test]
    fn what_is_drained_is_gone_and_never_waited_for() {
        let (ours, theirs) = pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        for _ in 0..5 {
            send(ours.as_fd(), b"READY=1", &[writer.as_fd()]).unwrap();
        }
        drop(writer);
        drain(theirs.as_fd(), 3);
        let mut buffer = [0; 16];
        assert!(matches!(
            receive(theirs.as_fd(), &mut buffer),
            Ok(Received::Record(7, _))
        ));
        drain(theirs.as_fd(), 100);
        assert!(matches!(
            receive(theirs.as_fd(), &mut buffer),
            Ok(Received::Empty)
        ));
        // and nobody holds the descriptors that came along
        let mut got = String::new();
        assert_eq!(reader.read_to_string(&mut got).unwrap(), 0);
    }

    #[test]
    fn too_long_empty_full_and_closed_are_told_apart() {
        let (ours, theirs) = pair().unwrap();
        let mut buffer = [0; 4];
        assert!(matches!(
            receive(theirs.as_fd(), &mut buffer),
            Ok(Received::Empty)
        ));
        send(ours.as_fd(), b"12345", &[]).unwrap();
        assert!(matches!(
            receive(theirs.as_fd(), &mut buffer),
            Ok(Received::Truncated)
        ));
        let full = (0..100_000).find_map(|_| send(ours.as_fd(), b"1234", &[]).err());
        assert_eq!(full, Some(Errno(libc::EAGAIN)));
        drop(theirs);
        // records that nobody will read make the first error ECONNRESET
        assert_eq!(send(ours.as_fd(), b"1", &[]), Err(Errno(libc::ECONNRESET)));
        assert_eq!(send(ours.as_fd(), b"1", &[]), Err(Errno(libc::EPIPE)));
        assert!(matches!(
            receive(ours.as_fd(), &mut buffer),
            Ok(Received::Closed)
        ));
    }
}
