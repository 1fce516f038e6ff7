//! Packets by rule, then damaged.

use super::{EXTERNAL, FORWARDED, GATEWAY, GUEST_GATEWAY, ROUTER, WEB};
use hearth_model::protocol::Zone;
use hearth_netpath::nat::Random;
use std::net::Ipv4Addr;

const HOSTS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(192, 168, 1, 10),
    Ipv4Addr::new(192, 168, 1, 11),
    Ipv4Addr::new(192, 168, 1, 2),
];
const GUESTS: [Ipv4Addr; 2] = [
    Ipv4Addr::new(192, 168, 2, 10),
    Ipv4Addr::new(192, 168, 2, 11),
];
const FAR: [Ipv4Addr; 3] = [
    Ipv4Addr::new(198, 51, 100, 7),
    Ipv4Addr::new(198, 51, 100, 8),
    Ipv4Addr::new(203, 0, 113, 1),
];
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
/// Addresses that should never be where they are.
const ODD: [Ipv4Addr; 9] = [
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::BROADCAST,
    Ipv4Addr::new(192, 168, 1, 255),
    Ipv4Addr::new(203, 0, 113, 255),
    Ipv4Addr::new(224, 0, 0, 251),
    Ipv4Addr::new(250, 1, 1, 1),
    Ipv4Addr::new(10, 213, 0, 9),
    OTHER_ADDRESS,
];
/// Kinds of ICMP messages, errors mostly.
const ICMP: [u8; 14] = [0, 0, 8, 8, 8, 3, 3, 3, 11, 11, 12, 4, 5, 13];
/// How many packets that came out are remembered, to be answered or complained about.
const REMEMBERED: usize = 64;

pub struct Generator {
    random: Random,
    /// Packets as the far end has got them, and the side that it is on.
    heard: Vec<(Zone, Vec<u8>)>,
    at: usize,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator {
            random: Random::new(seed),
            heard: Vec::new(),
            at: 0,
        }
    }

    fn below(&mut self, n: u32) -> u32 {
        self.random.draw() % n
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(u32::try_from(from.len()).unwrap()) as usize]
    }

    fn word(&mut self) -> u16 {
        (self.random.draw() >> 8) as u16
    }

    /// Mostly none; now and then long enough for a timer.
    pub fn pause_ms(&mut self) -> u64 {
        match self.below(10_000) {
            0..2 => u64::from(self.below(400_000)),
            2..60 => u64::from(self.below(3_000)),
            _ => 0,
        }
    }

    /// Now and then the WAN has another address, or none.
    pub fn another_address(&mut self) -> Option<Option<Ipv4Addr>> {
        match self.below(20_000) {
            0 => Some(None),
            1 => Some(Some(OTHER_ADDRESS)),
            2..10 => Some(Some(EXTERNAL)),
            _ => None,
        }
    }

    /// A packet that was forwarded: its receiver may answer.
    pub fn heard(&mut self, from: Zone, packet: &[u8]) {
        let to = match (from, &packet[16..19]) {
            (_, [192, 168, 1]) => Zone::Lan,
            (_, [192, 168, 2]) => Zone::Guest,
            (_, [10, 213, _]) => Zone::Service,
            _ => Zone::Wan,
        };
        let row = (to, packet.to_vec());
        if self.heard.len() < REMEMBERED {
            self.heard.push(row);
        } else {
            self.heard[self.at] = row;
            self.at = (self.at + 1) % REMEMBERED;
        }
    }

    /// The next packet, and the side that it comes from.
    pub fn packet(&mut self) -> (Zone, Vec<u8>) {
        let (zone, mut bytes) = match self.below(10) {
            0..3 if !self.heard.is_empty() => self.answer(),
            3 if !self.heard.is_empty() => self.complaint(),
            _ => self.opening(),
        };
        if self.one_in(4) {
            self.damage(&mut bytes);
        }
        (zone, bytes)
    }

    fn address(&mut self, zone: Zone) -> Ipv4Addr {
        if self.one_in(12) {
            return self.pick(&ODD);
        }
        match zone {
            Zone::Lan => self.pick(&HOSTS),
            Zone::Wan if self.one_in(3) => Ipv4Addr::from(0x0808_0000 | u32::from(self.word())),
            Zone::Wan => self.pick(&FAR),
            Zone::Service => WEB,
            Zone::Guest => self.pick(&GUESTS),
        }
    }

    fn port(&mut self) -> u16 {
        match self.below(40) {
            0 => 0,
            1..4 => FORWARDED,
            4..6 => 53,
            6 => 61_000 + self.word() % 1_000,
            7..10 => self.word(),
            10..14 => 1 + self.word() % 1_023,
            _ => 5_000 + self.word() % 8,
        }
    }

    fn opening(&mut self) -> (Zone, Vec<u8>) {
        let zone = match self.below(10) {
            0 => Zone::Guest,
            1 | 2 => Zone::Service,
            3 | 4 => Zone::Wan,
            _ => Zone::Lan,
        };
        let from = self.address(zone);
        let to = match (zone, self.below(8)) {
            (Zone::Wan, 1..) => EXTERNAL,
            (_, 0) => self.pick(&[GATEWAY, GUEST_GATEWAY, ROUTER, WEB, EXTERNAL]),
            (_, 1) => EXTERNAL,
            (_, 2) if self.one_in(3) => self.pick(&GUESTS),
            (_, 2) => self.pick(&HOSTS),
            (_, _) => self.address(Zone::Wan),
        };
        let protocol = match self.below(20) {
            0 => self.word() as u8,
            1..5 => 1,
            5..13 => 6,
            _ => 17,
        };
        let ports = (self.port(), self.port());
        let payload = self.transport(protocol, ports);
        (zone, self.datagram(protocol, (from, to), &payload))
    }

    /// The receiver of a packet answers, with ports turned round.
    fn answer(&mut self) -> (Zone, Vec<u8>) {
        let n = self.below(u32::try_from(self.heard.len()).unwrap()) as usize;
        let (zone, heard) = self.heard[n].clone();
        let (protocol, head) = (heard[9], usize::from(heard[0] & 15) * 4);
        let at = |n: usize| Ipv4Addr::new(heard[n], heard[n + 1], heard[n + 2], heard[n + 3]);
        let word = |n: usize| match heard.get(head + n..head + n + 2) {
            Some([high, low]) => u16::from_be_bytes([*high, *low]),
            _ => 1,
        };
        let mut payload = match protocol {
            1 => {
                let mut echo = vec![0, 0, 0, 0];
                echo.extend_from_slice(heard.get(head + 4..).unwrap_or_default());
                echo
            }
            _ => self.transport(protocol, (word(2), word(0))),
        };
        let mut ends = (at(16), at(12));
        if self.one_in(16) {
            ends.0 = self.address(zone);
        }
        set_checksum(protocol, ends, &mut payload);
        (zone, self.datagram(protocol, ends, &payload))
    }

    /// The receiver of a packet, or a router on its way, complains, perhaps about what was never sent.
    fn complaint(&mut self) -> (Zone, Vec<u8>) {
        let n = self.below(u32::try_from(self.heard.len()).unwrap()) as usize;
        let (zone, mut heard) = self.heard[n].clone();
        let to = Ipv4Addr::new(heard[12], heard[13], heard[14], heard[15]);
        let from = self.address(zone);
        if self.one_in(4) {
            self.damage(&mut heard);
        }
        let keep = self.pick(&[20, 24, 28, 40, 128, 548]).min(heard.len());
        let kind = self.pick(&[3, 11, 12, 3, 5]);
        let mut message = vec![kind, (self.word() % 16) as u8, 0, 0, 0, 0, 2, 0];
        message.extend_from_slice(&heard[..keep]);
        set_checksum(1, (from, to), &mut message);
        (zone, self.datagram(1, (from, to), &message))
    }

    fn transport(&mut self, protocol: u8, ports: (u16, u16)) -> Vec<u8> {
        let (a, b) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
        let length = self.pick(&[0, 1, 4, 33, 200, 1_400]);
        let mut payload = match protocol {
            1 => {
                let kind = self.pick(&ICMP);
                vec![kind, 0, 0, 0, a[0], a[1], 0, 1]
            }
            6 => {
                let flags = match self.below(12) {
                    0..5 => 0x02,
                    5 => 0x12,
                    6..9 => 0x10,
                    9 => 0x11,
                    10 => 0x04,
                    _ => self.word() as u8,
                };
                let mut tcp = [&a[..], &b, &[0, 0, 0, 1, 0, 0, 0, 2]].concat();
                tcp.extend_from_slice(&[0x50, flags, 4, 0, 0, 0, 0, 0]);
                tcp
            }
            17 => {
                let [high, low] = (8 + length as u16).to_be_bytes();
                [&a[..], &b, &[high, low, 0, 0]].concat()
            }
            _ => vec![a[0], a[1], b[0], b[1]],
        };
        payload.resize(payload.len() + length, self.word() as u8);
        payload
    }

    /// An IPv4 header in front, with options at times, of a whole datagram or a part of one.
    fn datagram(&mut self, protocol: u8, ends: (Ipv4Addr, Ipv4Addr), payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        // A sender of UDP need not make a checksum.
        if !(protocol == 17 && self.one_in(8)) {
            set_checksum(protocol, ends, &mut payload);
        }
        let options: &[u8] = match self.below(24) {
            0 => &[7, 7, 4, 0, 0, 0, 0, 0],
            1 => &[1, 131, 7, 4, 10, 0, 0, 1],
            2 => &[148, 4, 0, 0],
            _ => &[],
        };
        let (part, more) = match self.below(12) {
            0 => (0, true),
            1 => (self.pick(&[1u16, 2, 3, 100, 8_191]), true),
            2 => (self.pick(&[1u16, 2, 3, 100, 8_191]), false),
            _ => (0, false),
        };
        let payload = match (part, more) {
            (0, true) => &payload[..payload.len() / 8 * 8],
            _ => &payload[..],
        };
        let words = 5 + u8::try_from(options.len() / 4).unwrap();
        let total = usize::from(words) * 4 + payload.len();
        let [high, low] = (total as u16).to_be_bytes();
        let flags = part | u16::from(more) << 13 | u16::from(self.one_in(3) && !more) << 14;
        let [flags_high, flags_low] = flags.to_be_bytes();
        let ttl = if self.one_in(30) { 1 } else { 64 };
        let identification = (self.word() % 4) as u8;
        let mut bytes = vec![
            0x40 | words,
            0,
            high,
            low,
            0,
            identification,
            flags_high,
            flags_low,
        ];
        bytes.extend_from_slice(&[ttl, protocol, 0, 0]);
        bytes.extend_from_slice(&ends.0.octets());
        bytes.extend_from_slice(&ends.1.octets());
        bytes.extend_from_slice(options);
        set_ip_checksum(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// One or some of: wrong bits, a cut, padding, a length that lies. Mostly the IPv4 header's checksum
    /// is made right again, so that the damage is found by those who come later.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let length = u32::try_from(bytes.len()).unwrap();
            if length == 0 {
                return;
            }
            match self.below(7) {
                0 => bytes.truncate(self.below(length) as usize),
                1 => bytes.extend_from_slice(&[0xee; 7]),
                2 if length > 3 => bytes[3] = self.word() as u8,
                3 if length > 2 => bytes[2] = self.word() as u8,
                4 => bytes[0] = self.word() as u8,
                5 => {
                    // somewhere in the headers
                    let at = self.below(length.min(60)) as usize;
                    bytes[at] = self.word() as u8;
                }
                _ => {
                    let at = self.below(length) as usize;
                    bytes[at] ^= 1 << self.below(8);
                }
            }
        }
        if !self.one_in(8) {
            let head = bytes.first().map_or(0, |first| usize::from(first & 15) * 4);
            if head >= 20 && head <= bytes.len() {
                set_ip_checksum(&mut bytes[..head]);
            }
        }
    }
}

fn sum(bytes: &[u8], start: u32) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    let sum = bytes
        .chunks(2)
        .fold(start, |sum, pair| fold(sum + word(pair)));
    fold(sum) as u16
}

fn set_ip_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = !sum(header, 0);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn set_checksum(protocol: u8, ends: (Ipv4Addr, Ipv4Addr), payload: &mut [u8]) {
    let at = match protocol {
        1 => 2,
        6 => 16,
        17 => 6,
        _ => return,
    };
    let Some(field) = payload.get_mut(at..at + 2) else {
        return;
    };
    field.fill(0);
    let start = match protocol {
        1 => 0,
        _ => {
            let ends = [ends.0.octets(), ends.1.octets()].concat();
            u32::from(sum(&ends, u32::from(protocol) + payload.len() as u32))
        }
    };
    let checksum = match !sum(payload, start) {
        0 if protocol == 17 => u16::MAX,
        checksum => checksum,
    };
    payload[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}
