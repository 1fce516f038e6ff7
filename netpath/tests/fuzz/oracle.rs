//! What may come out, by another implementation (etherparse) and a model of its own: who has which
//! external port, and whom it has talked to.

use super::{EXTERNAL, FORWARDED, GATEWAY, GUEST_GATEWAY, ROUTER, WEB};
use etherparse::{IpNumber, Ipv4Header, TcpHeader, UdpHeader};
use hearth_model::Tick;
use hearth_model::gateway::Filtering;
use hearth_model::protocol::Zone;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

type End = (Ipv4Addr, u16);
/// Protocol and external port.
type Key = (u8, u16);

/// No mapping ends in less than this after it was last used by the inside, ms.
const SHORTEST_MS: u64 = 29_000;

pub struct Oracle {
    filtering: Filtering,
    /// Whose a port was when the inside last used it, and when.
    owners: HashMap<Key, (End, Tick)>,
    contacted: HashSet<(Key, End)>,
    contacted_hosts: HashSet<(Key, Ipv4Addr)>,
    wan: Option<Ipv4Addr>,
    /// The last one that it had.
    mapped_to: Ipv4Addr,
}

/// Source and destination port of a payload; of an echo its identifier, where its answer has it.
fn ports(protocol: IpNumber, payload: &[u8]) -> (u16, u16) {
    let word = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    match (protocol, payload[0]) {
        (IpNumber::TCP | IpNumber::UDP, _) => (word(0), word(2)),
        (IpNumber::ICMP, 8) => (word(4), 0),
        (IpNumber::ICMP, 0) => (0, word(4)),
        _ => (0, 0),
    }
}

/// The sum of 16-bit words in one's complement, by its definition (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let add = |sum, word| ((sum + word) & 0xffff) + ((sum + word) >> 16);
    bytes.chunks(2).map(word).fold(0, add)
}

/// An IPv4 header's checksum is right; etherparse does not see the flag that is reserved.
fn check_header(bytes: &[u8]) {
    let (header, _) = Ipv4Header::from_slice(bytes).unwrap();
    assert_eq!(sum(&bytes[..header.header_len()]), 0xffff, "{bytes:02x?}");
    if bytes[6] & 0x80 == 0 {
        assert_eq!(header.header_checksum, header.calc_header_checksum());
    }
}

/// Whether the checksum of a whole payload is right, or left out where that may be.
fn is_right(protocol: IpNumber, header: &Ipv4Header, payload: &[u8]) -> Option<bool> {
    let (source, destination) = (header.source, header.destination);
    match protocol {
        IpNumber::UDP => {
            let (udp, rest) = UdpHeader::from_slice(payload).ok()?;
            let data = rest.get(..usize::from(udp.length).checked_sub(8)?)?;
            let sum = udp.calc_checksum_ipv4_raw(source, destination, data).ok()?;
            Some(udp.checksum == 0 || udp.checksum == sum)
        }
        IpNumber::TCP => {
            let (tcp, data) = TcpHeader::from_slice(payload).ok()?;
            let sum = tcp.calc_checksum_ipv4_raw(source, destination, data).ok()?;
            Some(tcp.checksum == sum)
        }
        IpNumber::ICMP => {
            // All words of the message count, whatever its type makes of them (RFC 792).
            Some(sum(payload) == 0xffff)
        }
        _ => None,
    }
}

fn is_home(address: Ipv4Addr) -> bool {
    address.octets()[..3] == [192, 168, 1] && address != GATEWAY
}

fn is_guest(address: Ipv4Addr) -> bool {
    address.octets()[..3] == [192, 168, 2] && address != GUEST_GATEWAY
}

fn is_service(address: Ipv4Addr) -> bool {
    (u32::from(address) ^ u32::from(ROUTER)) >> 10 == 0
}

impl Oracle {
    pub fn new(filtering: Filtering) -> Oracle {
        Oracle {
            filtering,
            owners: HashMap::new(),
            contacted: HashSet::new(),
            contacted_hosts: HashSet::new(),
            wan: Some(EXTERNAL),
            mapped_to: EXTERNAL,
        }
    }

    /// The WAN has this address now; with another one than the last, all mappings have ended.
    pub fn moved(&mut self, address: Option<Ipv4Addr>) {
        self.wan = address;
        if let Some(address) = address
            && self.mapped_to != address
        {
            self.mapped_to = address;
            self.owners.clear();
        }
    }

    /// A packet that came in as the first and goes out as the second.
    pub fn forwarded(&mut self, zone: Zone, before: &[u8], after: &[u8], now: Tick) {
        let (was, was_payload) = Ipv4Header::from_slice(before).unwrap();
        let (is, is_payload) = Ipv4Header::from_slice(after).unwrap();
        check_header(after);
        let same = |h: &Ipv4Header| {
            let parts = (h.fragment_offset, h.more_fragments, h.dont_fragment);
            (
                h.total_len,
                h.time_to_live,
                h.protocol,
                h.dscp,
                h.ecn,
                parts,
                h.options.clone(),
            )
        };
        assert_eq!(
            same(&was),
            same(&is),
            "only addresses, name and checksum change"
        );
        let (from, to) = (Ipv4Addr::from(is.source), Ipv4Addr::from(is.destination));
        let inward = is_home(to) || is_service(to) || is_guest(to);
        assert!(
            zone != Zone::Guest || !(is_home(to) || is_service(to)),
            "a guest reaches {to}"
        );
        assert!(
            matches!(zone, Zone::Guest | Zone::Wan) || !is_guest(to),
            "{zone:?} reaches the guest {to}"
        );
        if !inward {
            assert_ne!(zone, Zone::Wan, "from the Internet to {to}");
            assert_eq!(Some(from), self.wan, "{from} leaves");
        }
        if zone == Zone::Wan {
            assert_eq!(was.source, is.source, "the true source");
            // Flows live on while the address is away for a moment.
            assert_eq!(Ipv4Addr::from(was.destination), self.mapped_to);
        }
        if was.fragment_offset.value() > 0 {
            assert_eq!(was_payload, is_payload, "a later fragment has no ports");
            return;
        }
        let cut = |h: &Ipv4Header, payload: &[u8]| {
            let length = usize::from(h.total_len) - h.header_len();
            payload[..length].to_vec()
        };
        let (old, new) = (cut(&was, was_payload), cut(&is, is_payload));
        if !was.more_fragments && is_right(was.protocol, &was, &old) == Some(true) {
            let right = is_right(is.protocol, &is, &new);
            assert_eq!(right, Some(true), "{before:02x?} became {after:02x?}");
        }
        let (old, new) = (ports(was.protocol, &old), ports(is.protocol, &new));
        self.check_mapping(zone, (&was, old), (&is, new), (before, after), now);
    }

    fn check_mapping(
        &mut self,
        zone: Zone,
        (was, old): (&Ipv4Header, (u16, u16)),
        (is, new): (&Ipv4Header, (u16, u16)),
        (before, after): (&[u8], &[u8]),
        now: Tick,
    ) {
        let protocol = was.protocol.0;
        let kind = before[was.header_len()];
        if was.protocol == IpNumber::ICMP && ![0, 8].contains(&kind) {
            return self.check_error(zone, before, after);
        }
        let (source, port) = (Ipv4Addr::from(was.source), old.0);
        let to = Ipv4Addr::from(is.destination);
        let outward = !is_home(to) && !is_service(to) && !is_guest(to);
        if outward && was.protocol == IpNumber::ICMP && kind == 0 {
            panic!("an echo reply leaves");
        }
        // Outside, in a hairpin, and by a forward's outer address: a source that a mapping stands for.
        if zone != Zone::Wan && Ipv4Addr::from(is.source) == self.mapped_to {
            let key = (protocol, new.0);
            let inside = (source, port);
            if let Some((owner, used)) = self.owners.insert(key, (inside, now)) {
                let lives = now.since_ms(used) < SHORTEST_MS;
                assert!(
                    owner == inside || !lives,
                    "{key:?} of {owner:?} becomes {inside:?}'s"
                );
                if owner != inside {
                    self.contacted.retain(|(other, _)| *other != key);
                    self.contacted_hosts.retain(|(other, _)| *other != key);
                }
            }
            if outward {
                self.contacted.insert((key, (to, new.1)));
                self.contacted_hosts.insert((key, to));
            }
        }
        if zone == Zone::Wan {
            let key = (protocol, old.1);
            let target = (to, new.1);
            if protocol != 1 && old.1 == FORWARDED {
                assert_eq!(target, (WEB, FORWARDED), "the forward's");
                return;
            }
            let owner = self.owners.get(&key).map(|(owner, _)| *owner);
            assert_eq!(owner, Some(target), "{key:?} from {source}");
            let asked = match self.filtering {
                _ if protocol == 1 => self.contacted_hosts.contains(&(key, source)),
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => self.contacted_hosts.contains(&(key, source)),
                Filtering::AddressAndPortDependent => {
                    self.contacted.contains(&(key, (source, port)))
                }
            };
            assert!(asked, "{source}:{port} was let in to {target:?}");
        } else if (zone == Zone::Lan && is_home(to)) || is_guest(to) {
            let from = Ipv4Addr::from(is.source);
            assert_eq!(from, self.mapped_to, "a hairpin shows the external address");
        }
    }

    /// An error shows its receiver a packet that the receiver may have sent, and is right in itself.
    fn check_error(&self, zone: Zone, before: &[u8], after: &[u8]) {
        let inner = |bytes: &[u8]| {
            let (outer, payload) = Ipv4Header::from_slice(bytes).unwrap();
            let quoted = payload.get(8..).unwrap();
            let (header, rest) = Ipv4Header::from_slice(quoted).unwrap();
            check_header(quoted);
            (outer, header, rest.get(..4).map(<[u8]>::to_vec))
        };
        let (_, was, old) = inner(before);
        let (outer, is, new) = inner(after);
        assert_eq!(
            outer.destination, is.source,
            "it goes to who sent what it quotes"
        );
        assert_eq!(was.protocol, is.protocol);
        if zone == Zone::Wan && was.protocol != IpNumber::ICMP {
            let port = |bytes: &Option<Vec<u8>>| {
                let bytes = bytes.as_ref().unwrap();
                u16::from_be_bytes([bytes[0], bytes[1]])
            };
            let key = (was.protocol.0, port(&old));
            let sender = (Ipv4Addr::from(is.source), port(&new));
            if key.1 != FORWARDED {
                assert_eq!(self.owners.get(&key).map(|(owner, _)| *owner), Some(sender));
            }
        }
    }

    /// A fragment that waited.
    pub fn released(&self, zone: Zone, after: &[u8]) {
        let (is, _) = Ipv4Header::from_slice(after).unwrap();
        check_header(after);
        assert!(is.fragment_offset.value() > 0);
        let to = Ipv4Addr::from(is.destination);
        let own = [Some(GATEWAY), Some(GUEST_GATEWAY), Some(ROUTER), self.wan];
        if !is_home(to) && !is_service(to) && !is_guest(to) && !own.contains(&Some(to)) {
            assert_ne!(zone, Zone::Wan);
            assert_eq!(Some(is.source.into()), self.wan);
        }
    }

    /// A reset that the machine has made in the name of whom a segment went to.
    fn reset(about: &[u8], header: &Ipv4Header, payload: &[u8]) {
        assert_eq!(header.source, about[16..20], "in the name of the other end");
        assert_eq!((payload.len(), about[9]), (20, 6), "about a segment");
        assert_eq!(is_right(IpNumber::TCP, header, payload), Some(true));
        let asked = &about[usize::from(about[0] & 15) * 4..];
        assert_eq!((&payload[..2], &payload[2..4]), (&asked[2..4], &asked[..2]));
        assert_eq!(asked[13] & 0x06, 0, "no answer to a SYN, nor to a reset");
        assert_eq!(payload[13] & 0x07, 0x04, "a reset");
        if asked[13] & 0x10 != 0 {
            assert_eq!(payload[4..8], asked[8..12], "one that is believed");
        }
    }

    /// An error, or a reset, that the machine has made about a packet.
    pub fn replied(&self, zone: Zone, about: &[u8], reply: &[u8]) {
        let (header, payload) = Ipv4Header::from_slice(reply).unwrap();
        check_header(reply);
        assert_eq!(header.destination, about[12..16], "it goes to the sender");
        if header.protocol == IpNumber::TCP {
            assert_ne!(zone, Zone::Wan, "a stranger is never answered");
            return Oracle::reset(about, &header, payload);
        }
        let own = match zone {
            Zone::Lan => Some(GATEWAY),
            Zone::Wan => self.wan,
            Zone::Service => Some(ROUTER),
            Zone::Guest => Some(GUEST_GATEWAY),
        };
        assert_eq!(
            Some(header.source.into()),
            own,
            "from the gateway's address there"
        );
        assert_eq!(is_right(IpNumber::ICMP, &header, payload), Some(true));
        assert!([3, 11].contains(&payload[0]));
        assert_eq!(
            payload[8..],
            about[..payload.len() - 8],
            "it quotes the packet as it was"
        );
        let is_error =
            about[9] == 1 && [3, 4, 5, 11, 12].contains(&about[usize::from(about[0] & 15) * 4]);
        let later = u16::from_be_bytes([about[6], about[7]]) & 0x1fff > 0;
        assert!(
            !is_error && !later,
            "no error about an error or a later fragment (RFC 1122 3.2.2)"
        );
    }
}
