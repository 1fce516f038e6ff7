//! Two gateways that are told the same: one whose flows pass by the program, and one that decides about
//! every packet.

pub use super::home::{GATEWAY, GUEST_GATEWAY, config, lease};
use hearth_model::protocol::{Forward, NetworkPolicy, Transport, Zone};
use hearth_model::{ServiceId, Tick};
use hearth_netpath::fastpath::entry::Clock;
use hearth_netpath::fastpath::ways::Mtus;
use hearth_netpath::fastpath::{FastPath, FastPathError, Programs};
use hearth_netpath::limits::REPLY_MAX;
use hearth_netpath::nat::{Nat, NatEvent, Nobody, Verdict};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub const ANN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
pub const BOB: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 11);
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const WEB: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 5);
pub const WEB_ID: u16 = 3;

/// `TC_ACT_REDIRECT`: the program's answer to all packets.
pub const REDIRECT: u32 = 7;
/// Bytes of `struct __sk_buff`, and where its fields are.
pub const CONTEXT: usize = 192;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A mounted bpf file system.
pub struct Pins(PathBuf);

impl Pins {
    pub fn new() -> Pins {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("hearth-pins-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        run("mount", &["-t", "bpf", "bpf", folder.to_str().unwrap()]);
        Pins(folder)
    }

    pub fn folder(&self) -> PathBuf {
        self.0.join("hearth")
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn run(program: &str, words: &[&str]) {
    let done = Command::new(program).args(words).status().unwrap();
    assert!(done.success(), "{program} {words:?}");
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec to a live local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// Both clocks now; the machine's is the program's in milliseconds.
pub fn clock() -> Clock {
    let nanoseconds = monotonic_ns();
    Clock {
        tick: Tick(nanoseconds / 1_000_000),
        nanoseconds,
    }
}

/// Opens the fast path of a gateway with all its links.
pub fn open(folder: &Path) -> Result<(FastPath, Programs), FastPathError> {
    let mtus = Mtus {
        lan: config().lan_mtu,
        wan: config().wan_mtu,
        services: config().services_mtu,
        guest: config().guest.unwrap().mtu,
    };
    let (mut fast, programs) = FastPath::open(folder, [11, 12, 13, 14], mtus, clock())?;
    fast.ways.lan = Some(2);
    fast.ways.guest = Some(5);
    fast.ways.wan = Some((3, lease(EXTERNAL)));
    let id = ServiceId::new(WEB_ID).unwrap();
    fast.ways.set_service(id, Some((4, WEB)));
    Ok((fast, programs))
}

/// A guest.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 10);

/// What became of a packet: the verdict, and its bytes or the answer's.
pub type Fate = (Verdict, Vec<u8>);

pub struct Twins {
    pub plain: Nat<Nobody>,
    pub nat: Nat<FastPath>,
    pub programs: Programs,
    /// Packets that the program has forwarded.
    pub passed: u64,
}

impl Twins {
    pub fn new(pins: &Pins) -> Twins {
        let (fast, programs) = open(&pins.folder()).unwrap();
        let mut twins = Twins {
            plain: Nat::new(config()),
            nat: Nat::with_carrier(config(), fast),
            programs,
            passed: 0,
        };
        let id = ServiceId::new(WEB_ID).unwrap();
        twins.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
        twins.event(NatEvent::Attach {
            id,
            address: WEB,
            policy: NetworkPolicy::Wan,
        });
        for (from, transport) in [
            (Zone::Wan, Transport::Tcp),
            (Zone::Wan, Transport::Udp),
            (Zone::Lan, Transport::Tcp),
        ] {
            twins.event(NatEvent::Forward(Forward {
                id,
                transport,
                from,
                port: 443,
                to_port: 8_443,
            }));
        }
        twins
    }

    pub fn event(&mut self, event: NatEvent) {
        let now = clock().tick;
        self.plain.event(event, now).unwrap();
        self.nat.event(event, now).unwrap();
    }

    /// One packet to both; returns what became of it in each, as it leaves the gateway.
    pub fn run(&mut self, zone: Zone, bytes: &[u8]) -> [Fate; 2] {
        let clock = clock();
        self.nat.carrier_mut().beat(clock).unwrap();
        let wanted = leaves(decide(&mut self.plain, zone, bytes, clock.tick));
        let frame = [&[0; 12][..], &[8, 0], bytes].concat();
        let [lan, wan, service, guest, port] = &self.programs;
        let program = match zone {
            // Both see what the home sends to the gateway.
            Zone::Lan if bytes.len().is_multiple_of(2) => lan,
            Zone::Lan => port,
            Zone::Wan => wan,
            Zone::Service => service,
            Zone::Guest => guest,
        };
        let run = program.test_run(&frame, &mut [], 1).unwrap();
        assert_eq!(run.value, REDIRECT);
        assert_eq!(run.packet[..14], frame[..14]);
        let is = if run.packet == frame {
            leaves(decide(&mut self.nat, zone, bytes, clock.tick))
        } else {
            assert!(is_plain(bytes), "the machine has to see {bytes:02x?}");
            self.passed += 1;
            (Verdict::Forward, run.packet[14..].to_vec())
        };
        [wanted, is]
    }
}

/// What the program may forward: no fragment, no option, another hop to go, and of TCP nothing that moves
/// a flow's state.
fn is_plain(bytes: &[u8]) -> bool {
    let moves = bytes[9] == 6 && bytes[33] & 0x07 != 0;
    bytes[0] == 0x45 && bytes[6] & 0x3f == 0 && bytes[7] == 0 && bytes[8] > 1 && !moves
}

fn decide<C: hearth_netpath::nat::Carrier>(
    nat: &mut Nat<C>,
    zone: Zone,
    bytes: &[u8],
    now: Tick,
) -> Fate {
    let mut copy = bytes.to_vec();
    let mut reply = [0; REPLY_MAX];
    let verdict = nat.packet(zone, &mut copy, now, &mut reply);
    match verdict {
        Verdict::Reply(length) => (verdict, reply[..length].to_vec()),
        Verdict::Forward | Verdict::Local | Verdict::Dhcp(_) | Verdict::Held | Verdict::Drop(_) => {
            (verdict, copy)
        }
    }
}

/// What the kernel does with a packet that the machine forwards: one hop less, and a header's checksum.
fn leaves((verdict, mut bytes): Fate) -> Fate {
    if verdict == Verdict::Forward {
        bytes[8] -= 1;
        set_ip_checksum(&mut bytes);
    }
    (verdict, bytes)
}

/// The sum of 16-bit words in one's complement.
pub fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

pub fn set_ip_checksum(bytes: &mut [u8]) {
    let length = usize::from(bytes[0] & 15) * 4;
    let length = length.min(bytes.len());
    bytes[10..12].copy_from_slice(&[0, 0]);
    let checksum = !sum(&bytes[..length]);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Both zeros of one's complement are the same: a checksum is compared as a number.
pub fn normal(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = 20
        + match bytes.get(9) {
            Some(6) => 16,
            Some(17) => 6,
            _ => return bytes,
        };
    if bytes.get(at..at + 2) == Some(&[0xff, 0xff]) && bytes[9] == 6 {
        bytes[at..at + 2].copy_from_slice(&[0, 0]);
    }
    bytes
}

/// A generator of numbers that is the same for the same seed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    /// A new seed each time, which is printed, or that of `HEARTH_SEED`.
    pub fn new() -> Dice {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = std::env::var("HEARTH_SEED")
            .ok()
            .and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or(u64::try_from(now.as_nanos() % u128::from(u64::MAX)).unwrap());
        println!("HEARTH_SEED={seed}");
        Dice(seed | 1)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % sides
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).unwrap()
    }
}

/// An end of a conversation.
pub type End = (Ipv4Addr, u16);

/// A TCP segment without options, its checksums right.
pub fn tcp(from: End, to: End, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = [from.1, to.1].map(u16::to_be_bytes).as_flattened().to_vec();
    segment.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 4, 0, 0, 0, 0, 0]);
    segment.extend_from_slice(data);
    transport(6, from.0, to.0, segment, 16)
}

/// A UDP datagram, its checksums right.
pub fn udp(from: End, to: End, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).unwrap();
    let mut datagram = [from.1, to.1, length, 0]
        .map(u16::to_be_bytes)
        .as_flattened()
        .to_vec();
    datagram.extend_from_slice(data);
    transport(17, from.0, to.0, datagram, 6)
}

fn transport(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let pseudo = [
        &from.octets()[..],
        &to.octets(),
        &[0, protocol],
        &length,
        &bytes,
    ]
    .concat();
    let checksum = match !sum(&pseudo) {
        0 => 0xffff,
        checksum => checksum,
    };
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    let total = u16::try_from(20 + bytes.len()).unwrap().to_be_bytes();
    let mut packet = [
        &[0x45, 0][..],
        &total,
        &[0x12, 0x34, 0, 0, 64, protocol, 0, 0],
        &from.octets(),
        &to.octets(),
        &bytes,
    ]
    .concat();
    set_ip_checksum(&mut packet);
    packet
}
