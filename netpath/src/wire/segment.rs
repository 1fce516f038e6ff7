//! TCP segments without data that this program makes itself (RFC 9293 3.1): the reset that answers a segment,
//! and the one that makes an end of a connection say where it is.

use super::checksum::{Sum, pseudo};
use super::ipv4::Ipv4;
use super::transport::TCP_HEADER_LEN;
use core::net::Ipv4Addr;

const IP_HEADER_LEN: usize = 20;
/// Length of such a packet, bytes.
pub const SEGMENT_LEN: usize = IP_HEADER_LEN + TCP_HEADER_LEN;
const TTL: u8 = 64;
const TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// An address and a port.
pub type End = (Ipv4Addr, u16);

/// Writes a segment that says nothing but that somebody is there. An end whose connection has another sequence
/// number next, which is as good as certain, answers with an acknowledgement of its own (RFC 9293 3.10.7.4).
/// `None` where `out` has less than [`SEGMENT_LEN`] bytes.
pub fn write_probe(out: &mut [u8], from: End, to: End, sequence: u32) -> Option<usize> {
    write(out, from, to, (sequence, 0), ACK)
}

/// Writes the reset that answers a whole TCP packet (RFC 9293 3.5.2). `None` for a reset, which nobody answers,
/// and for what is no whole TCP header.
pub fn write_reset(out: &mut [u8], packet: &[u8]) -> Option<usize> {
    let mut copy = [0; 2 * SEGMENT_LEN + IP_HEADER_LEN];
    // The longest headers are 60 and 60 bytes; of the second, only the first 20 are looked at.
    let head = packet.get(..packet.len().min(copy.len()))?;
    let copy = copy.get_mut(..head.len())?;
    copy.copy_from_slice(head);
    let packet = Ipv4::parse_embedded(copy).ok()?;
    let header = packet.payload().first_chunk::<TCP_HEADER_LEN>()?;
    let [
        a,
        b,
        c,
        d,
        s0,
        s1,
        s2,
        s3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        ..,
    ] = *header;
    if flags & RST != 0 {
        return None;
    }
    let from = (packet.destination(), u16::from_be_bytes([c, d]));
    let to = (packet.source(), u16::from_be_bytes([a, b]));
    if flags & ACK != 0 {
        let sequence = u32::from_be_bytes([a0, a1, a2, a3]);
        return write(out, from, to, (sequence, 0), RST);
    }
    let headers = packet.header_len() + usize::from(offset >> 4) * 4;
    let data = usize::from(packet.total_len()).saturating_sub(headers);
    let said = data + usize::from(flags & SYN != 0) + usize::from(flags & FIN != 0);
    let next = u32::from_be_bytes([s0, s1, s2, s3]).wrapping_add(u32::try_from(said).unwrap_or(0));
    write(out, from, to, (0, next), RST | ACK)
}

fn write(
    out: &mut [u8],
    (source, from): End,
    (destination, to): End,
    (sequence, acknowledged): (u32, u32),
    flags: u8,
) -> Option<usize> {
    let out = out.first_chunk_mut::<SEGMENT_LEN>()?;
    *out = [0; SEGMENT_LEN];
    let (ip, tcp) = out.split_first_chunk_mut::<IP_HEADER_LEN>()?;
    let tcp = tcp.first_chunk_mut::<TCP_HEADER_LEN>()?;
    [tcp[0], tcp[1]] = from.to_be_bytes();
    [tcp[2], tcp[3]] = to.to_be_bytes();
    [tcp[4], tcp[5], tcp[6], tcp[7]] = sequence.to_be_bytes();
    [tcp[8], tcp[9], tcp[10], tcp[11]] = acknowledged.to_be_bytes();
    // Five words of header.
    tcp[12] = 0x50;
    tcp[13] = flags;
    let sum = pseudo(source, destination, TCP, TCP_HEADER_LEN as u16);
    [tcp[16], tcp[17]] = sum.bytes(tcp.as_slice()).checksum().to_be_bytes();
    ip[0] = 0x45;
    [ip[2], ip[3]] = (SEGMENT_LEN as u16).to_be_bytes();
    // Don't fragment: no identification (RFC 6864).
    ip[6] = 0x40;
    ip[8] = TTL;
    ip[9] = TCP;
    [ip[12], ip[13], ip[14], ip[15]] = source.octets();
    [ip[16], ip[17], ip[18], ip[19]] = destination.octets();
    let sum = Sum::default().bytes(ip.as_slice()).checksum();
    [ip[10], ip[11]] = sum.to_be_bytes();
    Some(SEGMENT_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpNumber, Ipv4Header, NetSlice, SlicedPacket, TcpHeader, TransportSlice};

    const ANN: [u8; 4] = [192, 168, 1, 50];
    const FAR: [u8; 4] = [198, 51, 100, 7];

    /// A packet as another implementation reads it, with both checksums looked at.
    fn read(bytes: &[u8]) -> (Ipv4Addr, Ipv4Addr, TcpHeader) {
        let sliced = SlicedPacket::from_ip(bytes).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else {
            panic!("no IPv4")
        };
        let ip = ip.header().to_header();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            panic!("no TCP")
        };
        let header = tcp.to_header();
        let sum = header.calc_checksum_ipv4(&ip, tcp.payload()).unwrap();
        assert_eq!(header.checksum, sum);
        (ip.source.into(), ip.destination.into(), header)
    }

    fn segment(change: impl FnOnce(&mut TcpHeader), data: &[u8]) -> Vec<u8> {
        let mut header = TcpHeader::new(5_000, 80, 1_000, 100);
        change(&mut header);
        let length = u16::try_from(20 + data.len()).unwrap();
        let mut ip = Ipv4Header::new(length, 64, IpNumber::TCP, ANN, FAR).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        header.checksum = header.calc_checksum_ipv4(&ip, data).unwrap();
        [&ip.to_bytes()[..], &header.to_bytes(), data].concat()
    }

    #[test]
    fn a_reset_is_one_that_the_other_end_must_believe() {
        // given a segment with an acknowledgement, when it is answered
        let asked = segment(
            |tcp| (tcp.ack, tcp.acknowledgment_number) = (true, 7_777),
            b"data",
        );
        let mut out = [0; SEGMENT_LEN];
        assert_eq!(write_reset(&mut out, &asked), Some(SEGMENT_LEN));
        // then the reset has just that number (RFC 5961 section 3.2), and comes from where it went
        let (source, destination, tcp) = read(&out);
        assert_eq!((source.octets(), destination.octets()), (FAR, ANN));
        assert_eq!((tcp.source_port, tcp.destination_port), (80, 5_000));
        assert_eq!(
            (tcp.sequence_number, tcp.rst, tcp.ack),
            (7_777, true, false)
        );
        // when it has none, then the reset acknowledges all of it
        let asked = segment(|tcp| tcp.fin = true, b"data");
        write_reset(&mut out, &asked).unwrap();
        let (_, _, tcp) = read(&out);
        assert_eq!((tcp.sequence_number, tcp.acknowledgment_number), (0, 1_005));
        assert!(tcp.rst && tcp.ack);
        // when it is a reset itself, then nobody answers; nor where it is cut
        let reset = segment(|tcp| tcp.rst = true, b"");
        assert_eq!(write_reset(&mut out, &reset), None);
        assert_eq!(write_reset(&mut out, &asked[..39]), None);
        assert_eq!(write_reset(&mut [0; 39], &asked), None);
    }

    #[test]
    fn a_probe_is_an_empty_acknowledgement() {
        let mut out = [0; SEGMENT_LEN];
        let (from, to) = ((FAR.into(), 80), (ANN.into(), 5_000));
        write_probe(&mut out, from, to, 0x1234_5678).unwrap();
        let (source, destination, tcp) = read(&out);
        assert_eq!((source.octets(), destination.octets()), (FAR, ANN));
        assert_eq!((tcp.source_port, tcp.destination_port), (80, 5_000));
        assert_eq!(tcp.sequence_number, 0x1234_5678);
        assert!(tcp.ack && !tcp.rst && !tcp.syn && !tcp.fin);
    }
}
