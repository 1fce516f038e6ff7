//! The IPv4 header (RFC 791).

use super::checksum::{Delta, Sum};
use crate::counters::DropReason;
use core::net::Ipv4Addr;

/// Length of the header without options, bytes.
pub const HEADER_LEN: usize = 20;

/// Option kinds that ask for a source route: loose and strict (RFC 791 3.1).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

/// Which part of a datagram a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its start, with the transport header.
    First,
    /// What follows; `offset` is in bytes.
    Later {
        /// Where in the datagram it belongs.
        offset: u16,
    },
}

/// An IPv4 packet whose header is sound and whose length is that of its total length field.
#[derive(Debug)]
pub struct Ipv4<'a> {
    header: &'a mut [u8; HEADER_LEN],
    options: &'a mut [u8],
    payload: &'a mut [u8],
}

impl<'a> Ipv4<'a> {
    /// The packet at the start of `bytes`; what follows its total length is link padding.
    ///
    /// # Errors
    /// [`DropReason::MalformedIp`], [`DropReason::IpChecksum`] or [`DropReason::SourceRoute`].
    pub fn parse(bytes: &'a mut [u8]) -> Result<Ipv4<'a>, DropReason> {
        let view = Ipv4::layout(bytes, Length::Whole)?;
        if !view.checksum_is_right() {
            return Err(DropReason::IpChecksum);
        }
        if view.asks_for_source_route() {
            return Err(DropReason::SourceRoute);
        }
        Ok(view)
    }

    /// The packet inside an ICMP error: its end may be missing (RFC 792).
    ///
    /// # Errors
    /// [`DropReason::MalformedIp`] or [`DropReason::IpChecksum`] (RFC 5508 REQ-3a).
    pub fn parse_embedded(bytes: &'a mut [u8]) -> Result<Ipv4<'a>, DropReason> {
        let view = Ipv4::layout(bytes, Length::MayBeCut)?;
        if view.checksum_is_right() {
            Ok(view)
        } else {
            Err(DropReason::IpChecksum)
        }
    }

    fn layout(bytes: &'a mut [u8], length: Length) -> Result<Ipv4<'a>, DropReason> {
        let available = bytes.len();
        let first = bytes.first().copied().unwrap_or(0);
        let header_len = usize::from(first & 0x0f) * 4;
        let total = match bytes {
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Err(DropReason::MalformedIp),
        };
        let end = match length {
            Length::Whole => total,
            Length::MayBeCut => total.min(available),
        };
        if first >> 4 != 4 || header_len < HEADER_LEN || total < header_len {
            return Err(DropReason::MalformedIp);
        }
        let packet = bytes.get_mut(..end).ok_or(DropReason::MalformedIp)?;
        let (header, rest) = packet
            .split_first_chunk_mut::<HEADER_LEN>()
            .ok_or(DropReason::MalformedIp)?;
        let (options, payload) = rest
            .split_at_mut_checked(header_len - HEADER_LEN)
            .ok_or(DropReason::MalformedIp)?;
        Ok(Ipv4 {
            header,
            options,
            payload,
        })
    }

    fn checksum_is_right(&self) -> bool {
        let sum = Sum::default().bytes(self.header.as_slice());
        sum.bytes(self.options).fold() == 0xffff
    }

    /// A damaged option list ends the search: nothing after it can be read by anybody.
    fn asks_for_source_route(&self) -> bool {
        let mut rest: &[u8] = self.options;
        loop {
            match rest {
                [] | [0, ..] => return false,
                [1, tail @ ..] => rest = tail,
                [kind, ..] if SOURCE_ROUTES.contains(kind) => return true,
                [_, length, ..] if *length >= 2 => {
                    rest = rest.get(usize::from(*length)..).unwrap_or(&[]);
                }
                [_, ..] => return false,
            }
        }
    }

    /// Header length with options, bytes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// The total length field, bytes; of an embedded packet, what it was before it was cut.
    #[must_use]
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The second byte: code point and congestion (RFC 2474, RFC 3168).
    #[must_use]
    pub fn tos(&self) -> u8 {
        self.header[1]
    }

    /// The identification field.
    #[must_use]
    pub fn identification(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// Whether the packet must not be cut (DF).
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.header[6] & 0x40 != 0
    }

    /// Which part of its datagram this is.
    #[must_use]
    pub fn part(&self) -> Part {
        let field = u16::from_be_bytes([self.header[6], self.header[7]]);
        match (field & 0x1fff, field & 0x2000) {
            (0, 0) => Part::Whole,
            (0, _) => Part::First,
            // 13 bits of 8 bytes each: at most 65,528.
            (units, _) => Part::Later { offset: units * 8 },
        }
    }

    /// Time to live, hops.
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// Protocol number of the payload.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.header[9]
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        let h = &self.header;
        Ipv4Addr::new(h[12], h[13], h[14], h[15])
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        let h = &self.header;
        Ipv4Addr::new(h[16], h[17], h[18], h[19])
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload
    }

    /// What follows the header, to be rewritten.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        self.payload
    }

    /// Copies the packet, and says how long it is; `None` where it does not fit.
    pub fn copy_to(&self, out: &mut [u8]) -> Option<usize> {
        let length = usize::from(self.total_len());
        let mut rest = out.get_mut(..length)?;
        for part in [self.header.as_slice(), self.options, self.payload] {
            let (place, after) = rest.split_at_mut_checked(part.len())?;
            place.copy_from_slice(part);
            rest = after;
        }
        Some(length)
    }

    /// Replaces the identification and keeps the header's checksum right.
    pub fn set_identification(&mut self, new: u16) {
        let delta = Delta::default().word(self.identification(), new);
        let h = &mut *self.header;
        let field = delta.apply(u16::from_be_bytes([h[10], h[11]]));
        [h[10], h[11]] = field.to_be_bytes();
        [h[4], h[5]] = new.to_be_bytes();
    }

    /// Replaces both addresses and keeps the header's checksum right. The result is what the
    /// transport's checksum, which covers the addresses too, needs.
    pub fn set_addresses(&mut self, source: Ipv4Addr, destination: Ipv4Addr) -> Delta {
        let delta = Delta::default()
            .address(self.source(), source)
            .address(self.destination(), destination);
        let h = &mut *self.header;
        let field = delta.apply(u16::from_be_bytes([h[10], h[11]]));
        [h[10], h[11]] = field.to_be_bytes();
        [h[12], h[13], h[14], h[15]] = source.octets();
        [h[16], h[17], h[18], h[19]] = destination.octets();
        delta
    }
}

/// Whether a packet has to be complete.
enum Length {
    Whole,
    MayBeCut,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let mut bytes = vec![0; 33];
        let builder = etherparse::PacketBuilder::ipv4([192, 168, 1, 7], [203, 0, 113, 9], 64);
        builder
            .udp(5000, 53)
            .write_to_slice(&mut bytes, b"hello")
            .unwrap();
        bytes
    }

    #[test]
    fn a_sound_packet_reads_as_it_was_made() {
        let mut bytes = sample();
        bytes.extend_from_slice(&[0; 13]); // link padding
        let view = Ipv4::parse(&mut bytes).unwrap();
        assert_eq!(view.source(), Ipv4Addr::new(192, 168, 1, 7));
        assert_eq!(view.destination(), Ipv4Addr::new(203, 0, 113, 9));
        assert_eq!((view.ttl(), view.protocol()), (64, 17));
        assert_eq!(view.payload().len(), 8 + 5);
        assert_eq!(view.part(), Part::Whole);
    }

    #[test]
    fn lying_headers_are_refused() {
        let fault = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = sample();
            change(&mut bytes);
            Ipv4::parse(&mut bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(fault(&|b| b.clear()), DropReason::MalformedIp);
        assert_eq!(fault(&|b| b.truncate(19)), DropReason::MalformedIp);
        assert_eq!(fault(&|b| b.truncate(32)), DropReason::MalformedIp);
        assert_eq!(fault(&|b| b[0] = 0x65), DropReason::MalformedIp);
        assert_eq!(fault(&|b| b[0] = 0x44), DropReason::MalformedIp);
        assert_eq!(fault(&|b| b[0] = 0x4f), DropReason::MalformedIp);
        assert_eq!(fault(&|b| b[3] = 19), DropReason::MalformedIp);
        assert_eq!(fault(&|b| b[8] ^= 1), DropReason::IpChecksum);
    }

    #[test]
    fn a_source_route_is_seen_behind_padding() {
        // given options: no-operation, then a loose source route
        let mut bytes = vec![0u8; 28];
        bytes[0] = 0x47;
        bytes[3] = 28;
        bytes[20..28].copy_from_slice(&[1, 131, 7, 4, 10, 0, 0, 1]);
        let sum = Sum::default().bytes(&bytes).checksum();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        // when it is parsed, then it is refused
        assert_eq!(
            Ipv4::parse(&mut bytes).map(|_| ()),
            Err(DropReason::SourceRoute)
        );
    }

    proptest! {
        #[test]
        fn new_addresses_keep_the_checksum_right(source in any::<u32>(), destination in any::<u32>()) {
            let mut bytes = sample();
            let mut view = Ipv4::parse(&mut bytes).unwrap();
            view.set_addresses(Ipv4Addr::from(source), Ipv4Addr::from(destination));
            let header = etherparse::Ipv4Header::from_slice(&bytes).unwrap().0;
            prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
            prop_assert_eq!(header.source, source.to_be_bytes());
            prop_assert_eq!(header.destination, destination.to_be_bytes());
        }

        #[test]
        fn any_bytes_parse_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() { *first = 0x40 | (*first & 0x0f); }
            if let Ok(view) = Ipv4::layout(&mut bytes, Length::MayBeCut) {
                prop_assert!(view.header_len() >= HEADER_LEN);
                let _ = (view.asks_for_source_route(), view.part(), view.checksum_is_right());
            }
        }
    }
}
