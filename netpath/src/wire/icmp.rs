//! ICMP (RFC 792): which messages are errors, whether one is sound, and how one is made.

use super::checksum::Sum;
use super::ipv4::{HEADER_LEN as IP_HEADER_LEN, Ipv4};
use crate::counters::DropReason;
use crate::limits::REPLY_MAX;
use core::net::Ipv4Addr;

/// Length of the header before the data, bytes.
pub const HEADER_LEN: usize = 8;
/// Message type: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Message type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Message type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Message type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Message type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// Time to live of an error that we make.
const ERROR_TTL: u8 = 64;

/// Whether a message type is an error that is translated. Source quench (RFC 6633) and redirects,
/// which mean the next hop and not us, are none.
#[must_use]
pub fn is_error(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether a whole message's checksum is right.
#[must_use]
pub fn checksum_is_right(message: &[u8]) -> bool {
    Sum::default().bytes(message).fold() == 0xffff
}

/// Computes a message's checksum anew.
pub fn set_checksum(message: &mut [u8]) {
    if let Some([high, low]) = message.get_mut(2..4) {
        [*high, *low] = [0, 0];
    }
    let sum = Sum::default().bytes(message).checksum();
    if let Some([high, low]) = message.get_mut(2..4) {
        [*high, *low] = sum.to_be_bytes();
    }
}

/// An ICMP error that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Type 11 code 0: the time to live ran out.
    TimeExceeded,
    /// Type 3 code 4: larger than the next link's MTU, which it carries (RFC 1191).
    TooBig {
        /// MTU of the next link, bytes.
        mtu: u16,
    },
    /// Type 3 code 0: there is no way to that network.
    NetUnreachable,
    /// Type 3 code 13: administratively prohibited (RFC 5508 REQ-8).
    Prohibited,
}

impl Error {
    fn start(self) -> [u8; HEADER_LEN] {
        match self {
            Error::TimeExceeded => [TIME_EXCEEDED, 0, 0, 0, 0, 0, 0, 0],
            Error::TooBig { mtu } => {
                let [high, low] = mtu.to_be_bytes();
                [UNREACHABLE, 4, 0, 0, 0, 0, high, low]
            }
            Error::NetUnreachable => [UNREACHABLE, 0, 0, 0, 0, 0, 0, 0],
            Error::Prohibited => [UNREACHABLE, 13, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// Writes the error about `packet` into `reply`, from `source`, and returns its length: as much of
/// the packet as fits in [`REPLY_MAX`] bytes (RFC 1812 4.3.2.3).
///
/// # Errors
/// [`DropReason::MalformedIp`] where `reply` is too short.
pub fn write_error(
    reply: &mut [u8],
    error: Error,
    source: Ipv4Addr,
    packet: &[u8],
) -> Result<usize, DropReason> {
    let room = REPLY_MAX - IP_HEADER_LEN - HEADER_LEN;
    let quoted = packet.get(..room).unwrap_or(packet);
    let length = IP_HEADER_LEN + HEADER_LEN + quoted.len();
    let destination = match packet {
        [_, _, _, _, _, _, _, _, _, _, _, _, a, b, c, d, ..] => Ipv4Addr::new(*a, *b, *c, *d),
        _ => return Err(DropReason::MalformedIp),
    };
    let out = reply.get_mut(..length).ok_or(DropReason::MalformedIp)?;
    let (header, message) = out
        .split_first_chunk_mut::<IP_HEADER_LEN>()
        .ok_or(DropReason::MalformedIp)?;
    let (start, data) = message
        .split_first_chunk_mut::<HEADER_LEN>()
        .ok_or(DropReason::MalformedIp)?;
    *start = error.start();
    data.copy_from_slice(quoted);
    set_checksum(message);

    *header = [0; IP_HEADER_LEN];
    header[0] = 0x45;
    // Precedence 6, internetwork control (RFC 1812 4.3.2.5).
    header[1] = 0xc0;
    // At most REPLY_MAX, which fits.
    [header[2], header[3]] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    header[8] = ERROR_TTL;
    header[9] = 1;
    [header[12], header[13], header[14], header[15]] = source.octets();
    [header[16], header[17], header[18], header[19]] = destination.octets();
    let sum = Sum::default().bytes(header.as_slice()).checksum();
    [header[10], header[11]] = sum.to_be_bytes();
    Ok(length)
}

/// The packet inside an error message whose own checksum is right.
///
/// # Errors
/// [`DropReason::TransportChecksum`], [`DropReason::MalformedTransport`], or what
/// [`Ipv4::parse_embedded`] says.
pub fn embedded(message: &mut [u8]) -> Result<Ipv4<'_>, DropReason> {
    if !checksum_is_right(message) {
        return Err(DropReason::TransportChecksum);
    }
    let data = message
        .get_mut(HEADER_LEN..)
        .ok_or(DropReason::MalformedTransport)?;
    Ipv4::parse_embedded(data)
}
