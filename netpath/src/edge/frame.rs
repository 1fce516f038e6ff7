//! A broadcast UDP packet, made whole: the kernel would choose the home's address as the source of
//! one that leaves before the WAN has its own.

use hearth_netpath::limits::{DHCP_CLIENT_PORT, DHCP_SERVER_PORT};
use hearth_netpath::wire::checksum::{Sum, pseudo};
use std::net::Ipv4Addr;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
/// Enough for any path; a broadcast crosses no router.
const TTL: u8 = 64;

/// A DHCP client's packet (RFC 2131 4.1), from `source` to every host of the link; `None` where the
/// payload is too long for one.
#[must_use]
pub fn dhcp_broadcast(source: Ipv4Addr, payload: &[u8]) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let length = udp_length.checked_add(IP_HEADER as u16)?;
    let to = Ipv4Addr::BROADCAST;
    // Version 4, 5 words; no fragments, no identification (RFC 6864: don't fragment).
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x40, 0, TTL, UDP]);
    let addresses = [source.octets(), to.octets()].concat();
    let sum = Sum::default().bytes(&packet).bytes(&addresses);
    packet.extend_from_slice(&sum.checksum().to_be_bytes());
    packet.extend_from_slice(&addresses);
    let mut udp = [DHCP_CLIENT_PORT, DHCP_SERVER_PORT, udp_length]
        .map(u16::to_be_bytes)
        .concat();
    let sum = pseudo(source, to, UDP, udp_length).bytes(&udp);
    // 0 would say "no checksum" (RFC 768).
    let checksum = match sum.bytes(payload).checksum() {
        0 => u16::MAX,
        sum => sum,
    };
    udp.extend_from_slice(&checksum.to_be_bytes());
    Some([&packet, &udp, payload].concat())
}

/// The body of an ARP packet that says where an address is now (RFC 5227 section 2.3): a request for the address
/// by its own holder, which makes every host of the link correct what it knows.
#[must_use]
pub fn announcement(hardware: [u8; 6], address: Ipv4Addr) -> [u8; 28] {
    request(hardware, address, address)
}

/// An ARP request; the target's hardware address is not looked at.
fn request(hardware: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> [u8; 28] {
    let mut packet = [0; 28];
    // Ethernet, IPv4, lengths 6 and 4, request.
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    let body = head.iter().chain(&hardware);
    let (sender, target) = (sender.octets(), target.octets());
    let fields = body.chain(&sender).chain(&[0; 6]).chain(&target);
    for (place, byte) in packet.iter_mut().zip(fields) {
        *place = *byte;
    }
    packet
}

/// The body of an ARP packet that asks whether somebody has an address, without saying that we are about to take it
/// (RFC 5227 section 2.1.1): nobody learns anything from it.
#[must_use]
pub fn probe(hardware: [u8; 6], address: Ipv4Addr) -> [u8; 28] {
    request(hardware, Ipv4Addr::UNSPECIFIED, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_implementation_reads_what_is_built() {
        // given a payload of odd length
        let payload = [7; 301];
        let bytes = dhcp_broadcast(Ipv4Addr::UNSPECIFIED, &payload).unwrap();
        // when etherparse reads it
        let read = etherparse::SlicedPacket::from_ip(&bytes).unwrap();
        // then headers, checksums and data are right
        let Some(etherparse::NetSlice::Ipv4(ip)) = read.net else {
            panic!("no IPv4 header");
        };
        let ip = ip.header().to_header();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        let Some(etherparse::TransportSlice::Udp(udp)) = read.transport else {
            panic!("no UDP header");
        };
        assert_eq!((udp.source_port(), udp.destination_port()), (68, 67));
        assert_eq!(udp.payload(), payload);
        let expected = udp.to_header().calc_checksum_ipv4(&ip, &payload);
        assert_eq!(expected, Ok(udp.checksum()));
    }

    #[test]
    fn an_announcement_asks_for_the_address_that_it_has() {
        let bytes = announcement([2, 0, 0, 0, 0, 7], Ipv4Addr::new(203, 0, 113, 5));
        let read = etherparse::ArpPacketSlice::from_slice(&bytes).unwrap();
        assert_eq!(read.operation(), etherparse::ArpOperation::REQUEST);
        assert_eq!(read.sender_hw_addr(), [2, 0, 0, 0, 0, 7]);
        assert_eq!(read.sender_protocol_addr(), [203, 0, 113, 5]);
        assert_eq!(read.target_protocol_addr(), [203, 0, 113, 5]);
    }

    #[test]
    fn a_probe_asks_without_saying_who() {
        let bytes = probe([2, 0, 0, 0, 0, 7], Ipv4Addr::new(203, 0, 113, 5));
        let read = etherparse::ArpPacketSlice::from_slice(&bytes).unwrap();
        assert_eq!(read.operation(), etherparse::ArpOperation::REQUEST);
        assert_eq!(read.sender_hw_addr(), [2, 0, 0, 0, 0, 7]);
        assert_eq!(read.sender_protocol_addr(), [0; 4]);
        assert_eq!(read.target_protocol_addr(), [203, 0, 113, 5]);
    }

    #[test]
    fn what_fits_in_no_packet_is_refused() {
        assert_eq!(dhcp_broadcast(Ipv4Addr::UNSPECIFIED, &[0; 65_508]), None);
    }
}
