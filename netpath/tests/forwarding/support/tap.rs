//! Raw frames in and out of a network namespace, as a hostile root there would send and see them.

use super::lab::PATIENCE;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Does something in a network namespace, in a thread of its own that ends there.
pub fn within<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(namespace).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: setns(2) takes no pointer; file is a live descriptor.
            let done = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(done, 0, "setns: {}", io::Error::last_os_error());
            work()
        });
        thread.join().unwrap()
    })
}

/// `PACKET_IGNORE_OUTGOING` of linux/if_packet.h.
const IGNORE_OUTGOING: libc::c_int = 23;
const ETH_P_ALL: u16 = 0x0003;
/// Larger than any frame here.
const FRAME_MAX: usize = 70_000;

/// A packet socket on one interface, which sees every frame that arrives there.
pub struct Tap {
    fd: OwnedFd,
    /// The interface's hardware address.
    pub hardware: [u8; 6],
}

fn set<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) {
    let size = u32::try_from(size_of::<T>()).unwrap();
    let value = (&raw const *value).cast();
    // SAFETY: the kernel reads `size` bytes of a live value.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, size) };
    assert_eq!(done, 0, "setsockopt: {}", io::Error::last_os_error());
}

impl Tap {
    /// Opens one on an interface of a namespace; it sees frames for others too.
    pub fn open(namespace: &Path, interface: &str) -> Tap {
        let interface = interface.to_owned();
        within(namespace, move || Tap::here(&interface))
    }

    fn here(interface: &str) -> Tap {
        let name = std::ffi::CString::new(interface).unwrap();
        // SAFETY: name is a live C string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        assert_ne!(index, 0, "{interface}: {}", io::Error::last_os_error());
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: socket(2) takes no pointer.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        assert!(raw >= 0, "packet socket: {}", io::Error::last_os_error());
        // SAFETY: the kernel has just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        set(&fd, libc::SOL_PACKET, IGNORE_OUTGOING, &1i32);
        // SAFETY: all zeroes is a value of these integers.
        let mut all = unsafe { std::mem::zeroed::<libc::packet_mreq>() };
        all.mr_ifindex = i32::try_from(index).unwrap();
        all.mr_type = u16::try_from(libc::PACKET_MR_PROMISC).unwrap();
        set(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &all);
        // SAFETY: all zeroes is a value of these integers.
        let mut address = unsafe { std::mem::zeroed::<libc::sockaddr_ll>() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_protocol = ETH_P_ALL.to_be();
        address.sll_ifindex = i32::try_from(index).unwrap();
        let size = u32::try_from(size_of_val(&address)).unwrap();
        let place = (&raw const address).cast();
        // SAFETY: the kernel reads `size` bytes of a live address.
        let done = unsafe { libc::bind(fd.as_raw_fd(), place, size) };
        assert_eq!(done, 0, "bind: {}", io::Error::last_os_error());
        // Below /sys are the namespace's devices only where it is mounted anew.
        let mut show = std::process::Command::new("ip");
        show.args(["-br", "link", "show", interface]);
        let shown = super::lab::text(&show.output().unwrap().stdout);
        let hardware = super::lab::hardware(shown.split_whitespace().nth(2).unwrap());
        Tap { fd, hardware }
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) {
        let place = frame.as_ptr().cast();
        // SAFETY: the kernel reads frame.len() bytes of a live slice.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), place, frame.len(), 0) };
        assert_eq!(sent, isize::try_from(frame.len()).unwrap(), "{frame:?}");
    }

    /// The next frame, if one comes in so long.
    pub fn next(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut wait = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let patience = i32::try_from(patience.as_millis()).unwrap();
        // SAFETY: wait is one live pollfd.
        let ready = unsafe { libc::poll(&raw mut wait, 1, patience) };
        assert!(ready >= 0, "poll: {}", io::Error::last_os_error());
        if ready == 0 {
            return None;
        }
        let mut frame = vec![0; FRAME_MAX];
        let (place, size) = (frame.as_mut_ptr().cast(), frame.len());
        // SAFETY: the kernel writes at most `size` bytes to a live buffer.
        let length = unsafe { libc::recv(self.fd.as_raw_fd(), place, size, 0) };
        frame.truncate(usize::try_from(length).unwrap());
        Some(frame)
    }

    /// The frames up to the first one that is the mark, which is not among them. What was sent before
    /// a mark has arrived before it, or never does.
    #[track_caller]
    pub fn until(&self, mut is_mark: impl FnMut(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        while let Some(frame) = self.next(PATIENCE) {
            if is_mark(&frame) {
                return seen;
            }
            seen.push(frame);
        }
        panic!("the mark did not come; seen: {seen:02x?}");
    }
}
