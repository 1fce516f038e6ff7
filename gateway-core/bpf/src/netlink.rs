//! rtnetlink: build a request, send it, wait for its acknowledgement (rtnetlink(7), netlink(7)).
//!
//! One request at a time; the kernel answers before `request` returns. A [`Watch`] hears of changes
//! that nobody here asked for.

use crate::error::KernelError;
use crate::limits::{ANSWER_MAX, ANSWERS_MAX, DRAIN_MAX, PATIENCE_MS};
use crate::sys;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Ask.
const NLM_F_REQUEST: u16 = 0x1;
/// Acknowledge.
const NLM_F_ACK: u16 = 0x4;
/// Replace what is there.
pub const REPLACE: u16 = 0x100;
/// Fail where it is there.
pub const EXCLUSIVE: u16 = 0x200;
/// Make it where it is not there.
pub const CREATE: u16 = 0x400;
/// Tell all that there are.
pub const DUMP: u16 = 0x300;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// A part of the answer was lost.
const NLMSG_OVERRUN: u16 = 4;
/// Kinds below are netlink's own.
const NLMSG_MIN_TYPE: u16 = 16;
/// `MAX_ERRNO` of linux/err.h: no error has a larger number.
const ERRNO_MAX: i32 = 4095;
const HEADER: usize = 16;
/// `RTMGRP_LINK`: links that come, change or go.
const GROUP_LINK: u32 = 1;
/// `RTMGRP_IPV4_IFADDR`: IPv4 addresses, the same.
const GROUP_ADDRESS: u32 = 0x10;
/// `RTMGRP_NEIGH`: neighbours, the same.
const GROUP_NEIGHBOUR: u32 = 4;
/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;

/// A request under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// A request of this kind (`RTM_*`) with these flags, and its family's fixed header.
    #[must_use]
    pub fn new(kind: u16, flags: u16, family_header: &[u8]) -> Message {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(family_header);
        Message(bytes)
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Message {
        append(&mut self.0, kind, value);
        self
    }

    /// Adds an attribute that holds attributes, after `prefix`, its own fixed header.
    #[must_use]
    pub fn with_nested(mut self, kind: u16, prefix: &[u8], inner: &Attributes) -> Message {
        let value = [prefix, &inner.0].concat();
        append(&mut self.0, kind | NESTED, &value);
        self
    }

    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        for (at, byte) in length.to_ne_bytes().into_iter().enumerate() {
            if let Some(place) = self.0.get_mut(at) {
                *place = byte;
            }
        }
        for (at, byte) in sequence.to_ne_bytes().into_iter().enumerate() {
            if let Some(place) = self.0.get_mut(8 + at) {
                *place = byte;
            }
        }
        self.0
    }
}

/// Attributes inside of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// None yet.
    #[must_use]
    pub fn new() -> Attributes {
        Attributes::default()
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Attributes {
        append(&mut self.0, kind, value);
        self
    }

    /// Adds an attribute that holds attributes, after `prefix`, its own fixed header.
    #[must_use]
    pub fn with_nested(mut self, kind: u16, prefix: &[u8], inner: &Attributes) -> Attributes {
        let value = [prefix, &inner.0].concat();
        append(&mut self.0, kind | NESTED, &value);
        self
    }
}

/// Length, kind, value, and zeros up to the next multiple of four.
fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The attributes in `bytes`, in order, each with its kind (without the nested flag) and value. A
/// torn one ends them.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let head = word(rest, 0).ok()?;
        let [low, high, kind_low, kind_high] = head.to_ne_bytes();
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([kind_low, kind_high]) & !NESTED, value))
    })
}

/// A socket in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    patience_ms: u16,
}

impl Netlink {
    /// Opens one in the caller's network namespace; it stays there.
    ///
    /// # Errors
    /// As socket(2).
    pub fn open() -> io::Result<Netlink> {
        Ok(Netlink {
            fd: sys::netlink_socket(0)?,
            sequence: 0,
            patience_ms: PATIENCE_MS,
        })
    }

    /// Sends a request and waits for the kernel's word on it. `what` is an infinitive for errors.
    ///
    /// # Errors
    /// [`KernelError::Refused`] with the kernel's errno; [`KernelError::Answer`]. After either, the next
    /// request is answered for itself: what still comes to this one is passed over.
    pub fn request(&mut self, what: &'static str, message: Message) -> Result<(), KernelError> {
        self.query(what, message).map(|_| ())
    }

    /// The same for a request that is a question: what the kernel says before it acknowledges,
    /// from the answer's fixed family header on; empty where it says nothing.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn query(&mut self, what: &'static str, message: Message) -> Result<Vec<u8>, KernelError> {
        self.dump(what, message).map(|said| said.concat())
    }

    /// The same for a request with [`DUMP`]: one answer for each thing that there is.
    ///
    /// # Errors
    /// As [`Netlink::request`].
    pub fn dump(
        &mut self,
        what: &'static str,
        message: Message,
    ) -> Result<Vec<Vec<u8>>, KernelError> {
        let refused = |e: io::Error| KernelError::Refused {
            what,
            errno: e.raw_os_error().unwrap_or(libc::EIO),
        };
        self.sequence = self.sequence.wrapping_add(1);
        sys::send(self.fd.as_fd(), &message.finish(self.sequence)).map_err(refused)?;
        let mut buffer = vec![0; ANSWER_MAX];
        let mut said = Vec::new();
        for _ in 0..ANSWERS_MAX {
            let length = match sys::receive_within(self.fd.as_fd(), &mut buffer, self.patience_ms) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(refused)?,
            };
            if length == 0 {
                break;
            }
            let answer = buffer.get(..length).unwrap_or_default();
            match acknowledgement(answer, self.sequence, &mut said)? {
                Some(0) => return Ok(said),
                Some(errno) => return Err(KernelError::Refused { what, errno }),
                None => {}
            }
        }
        Err(KernelError::Answer)
    }
}

/// A socket that becomes readable when something of its network namespace comes, changes or goes.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Watches the links of the caller's network namespace, and their addresses.
    ///
    /// # Errors
    /// As socket(2) and bind(2).
    pub fn links() -> io::Result<Watch> {
        sys::netlink_socket(GROUP_LINK | GROUP_ADDRESS).map(Watch)
    }

    /// Watches the hosts that the caller's network namespace knows by their hardware addresses.
    ///
    /// # Errors
    /// As socket(2) and bind(2).
    pub fn neighbours() -> io::Result<Watch> {
        sys::netlink_socket(GROUP_NEIGHBOUR).map(Watch)
    }

    /// Forgets what has come; the caller looks at the things themselves. What did not fit into the
    /// socket's buffer is a change too.
    pub fn drain(&self) {
        let mut buffer = [0; 512];
        for _ in 0..DRAIN_MAX {
            match sys::receive_now(self.0.as_fd(), &mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // ENOBUFS says that messages were lost, which is a change like any other.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The errno in the acknowledgement of `sequence`, or in the end of a dump, 0 for success; `None`
/// where it is not in here.
/// What else the kernel says under `sequence` is added to `said`.
fn acknowledgement(
    mut bytes: &[u8],
    sequence: u32,
    said: &mut Vec<Vec<u8>>,
) -> Result<Option<i32>, KernelError> {
    while !bytes.is_empty() {
        let length = word(bytes, 0)? as usize;
        let message = bytes
            .get(..length)
            .filter(|m| m.len() >= HEADER)
            .ok_or(KernelError::Answer)?;
        let [kind_low, kind_high, ..] = word(message, 4)?.to_ne_bytes();
        let kind = u16::from_ne_bytes([kind_low, kind_high]);
        if word(message, 8)? == sequence {
            match kind {
                NLMSG_ERROR | NLMSG_DONE => {
                    let errno = word(message, HEADER)?.cast_signed().checked_neg();
                    let errno = errno.filter(|errno| (0..=ERRNO_MAX).contains(errno));
                    return errno.map(Some).ok_or(KernelError::Answer);
                }
                NLMSG_OVERRUN => return Err(KernelError::Answer),
                // NLMSG_NOOP, and what may come to be.
                ..NLMSG_MIN_TYPE => {}
                NLMSG_MIN_TYPE.. => said.push(message.get(HEADER..).unwrap_or_default().to_vec()),
            }
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Result<u32, KernelError> {
    let four: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    four.map(u32::from_ne_bytes).ok_or(KernelError::Answer)
}

#[cfg(test)]
#[path = "netlink_faults.rs"]
mod faults;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_nested() {
        let inner = Attributes::new().with(1, b"veth\0");
        let bytes = Message::new(16, CREATE, &[7; 16])
            .with_nested(18, &[], &inner)
            .finish(5);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(bytes[..4], (bytes.len() as u32).to_ne_bytes());
        assert_eq!(bytes[8..12], 5u32.to_ne_bytes());
        // outer attribute: 4 of its own, 4 of the inner one, 5 of text and 3 of padding
        assert_eq!(bytes[32..34], 16u16.to_ne_bytes());
        assert_eq!(bytes[34..36], (18u16 | NESTED).to_ne_bytes());
        assert_eq!(bytes[36..38], 9u16.to_ne_bytes());
    }

    #[test]
    fn a_torn_answer_is_an_error_and_a_foreign_one_is_passed_over() {
        let errno_in = |bytes: &[u8], sequence| acknowledgement(bytes, sequence, &mut Vec::new());
        assert_eq!(errno_in(&[1, 2, 3], 1), Err(KernelError::Answer));
        assert_eq!(errno_in(&[0; 16], 1), Err(KernelError::Answer));
        let mut answer = Message::new(NLMSG_ERROR, 0, &(-17i32).to_ne_bytes()).finish(9);
        assert_eq!(errno_in(&answer, 9), Ok(Some(17)));
        assert_eq!(errno_in(&answer, 8), Ok(None));
        answer.truncate(18);
        assert_eq!(errno_in(&answer, 9), Err(KernelError::Answer));
    }

    #[test]
    fn what_is_built_reads_back_and_a_torn_attribute_ends_the_list() {
        let Attributes(mut bytes) = Attributes::new().with(3, b"lo\0").with_nested(
            18,
            &[],
            &Attributes::new().with(1, b"veth"),
        );
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read[0], (3, b"lo\0".as_slice()));
        assert_eq!(read[1].0, 18);
        assert_eq!(attributes(read[1].1).next(), Some((1, b"veth".as_slice())));
        bytes.truncate(bytes.len() - 1);
        assert_eq!(attributes(&bytes).count(), 1);
        // a length below its own header would go round for ever
        assert_eq!(attributes(&[0; 8]).count(), 0);
    }

    #[test]
    fn a_question_gets_its_answer() {
        // given RTM_GETLINK of index 1, when asked, then the answer's ifinfomsg has that index
        let mut header = [0; 16];
        header[4] = 1;
        let said = Netlink::open()
            .unwrap()
            .query("find a link", Message::new(18, 0, &header))
            .unwrap();
        assert_eq!(said[4..8], 1u32.to_ne_bytes());
        let name = attributes(&said[16..]).find(|(kind, _)| *kind == 3);
        assert_eq!(name, Some((3, b"lo\0".as_slice())));
    }

    #[test]
    fn a_dump_tells_each_thing_and_ends() {
        // given RTM_GETADDR of IPv4, when dumped, then loopback's address is one of the answers
        let message = Message::new(22, DUMP, &[2, 0, 0, 0, 0, 0, 0, 0]);
        let mut netlink = Netlink::open().unwrap();
        let said = netlink.dump("list addresses", message.clone()).unwrap();
        let is_loopback = |answer: &Vec<u8>| {
            attributes(&answer[8..]).any(|(kind, value)| kind == 2 && value == [127, 0, 0, 1])
        };
        assert!(said.iter().any(is_loopback), "{said:?}");
        // and the socket is good for the next request
        assert_eq!(netlink.dump("list addresses", message), Ok(said));
    }

    #[test]
    fn the_kernel_names_its_reason() {
        // given an unknown link, when it is deleted, then the kernel says ENODEV
        let unknown = Message::new(
            17,
            0,
            &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        let error = Netlink::open()
            .unwrap()
            .request("delete a link", unknown)
            .unwrap_err();
        assert_eq!(error.errno(), libc::ENODEV, "{error}");
    }
}
