//! One host of the home floods; the others notice nothing.

use super::support::lab::{Lab, Running, Side, Wan, text};
use super::support::peers::UDP_ECHO;
use super::support::tap::Tap;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The host that floods, by its own address.
const ROGUE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 60);
const ROGUE_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 60];

/// Frames of each kind, different from each other.
const FRAMES: u16 = 4_096;
/// Frames sent before a short rest: several times as many as the program takes meanwhile, and other tests
/// have this machine's other processor.
const BURST: usize = 128;
const REST: Duration = Duration::from_millis(1);

/// Opens new flows one after the other, 20 a second, each with a datagram, and has one numbered flow beside
/// them; tells how many flows and datagrams there were, and how many were answered at once.
const NEIGHBOUR: &str = r#"
import select, socket, sys, time
def flow():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("203.0.113.1", 7))
    return s
def answered(s, data):
    s.send(data)
    ready, _, _ = select.select([s], [], [], 1)
    return bool(ready) and s.recv(100) == data
live = flow()
while not all(answered(live, b"%d" % n) for n in range(5)):
    pass
print("ready", flush=True)
sys.stdin.readline()
new = old = 0
for n in range(40):
    with flow() as s:
        new += answered(s, b"new %d" % n)
    old += answered(live, b"old %d" % n)
    time.sleep(0.05)
print(40, new, old, flush=True)
"#;

/// Who floods, and as whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// As itself.
    Itself,
    /// As every other address of the home, the neighbour's too.
    Everybody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Syn,
    Udp,
    Echo,
}

fn sum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks_exact(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// The first packet of flow `number`, whose ports and destination are others than those before.
fn frame(gateway: [u8; 6], sender: Sender, kind: Kind, number: u16) -> Vec<u8> {
    let [high, low] = number.wrapping_mul(40_503).to_be_bytes();
    let source = match sender {
        Sender::Itself => ROGUE.octets(),
        Sender::Everybody => [192, 168, 1, 2 + low % 250],
    };
    let destination = match number % 2 {
        0 => INTERNET.octets(),
        _ => [198, 51, 100, high],
    };
    let ports = [high | 0x10, low, high ^ 0x55 | 0x20, low];
    let (protocol, data): (u8, Vec<u8>) = match kind {
        Kind::Syn => (
            6,
            [
                &ports[..],
                &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0],
            ]
            .concat(),
        ),
        Kind::Udp => (17, [&ports[..], &[0, 18, 0, 0], b"0123456789"].concat()),
        Kind::Echo => {
            let mut echo = [&[8, 0, 0, 0, high, low, 0, 1][..], b"01234567"].concat();
            let checksum = sum(&echo);
            echo[2..4].copy_from_slice(&checksum);
            (1, echo)
        }
    };
    let length = u16::try_from(20 + data.len()).unwrap().to_be_bytes();
    let mut ip = [
        &[
            0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0,
        ][..],
        &source,
        &destination,
    ]
    .concat();
    let checksum = sum(&ip);
    ip[10..12].copy_from_slice(&checksum);
    [&gateway[..], &ROGUE_HARDWARE, &[8, 0], &ip, &data].concat()
}

/// Asks for the gateway, as every host does before it sends.
fn introduce(tap: &Tap) {
    let (sender, about) = (ROGUE.octets(), GATEWAY.octets());
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let parts: [&[u8]; 8] = [
        &[0xff; 6],
        &ROGUE_HARDWARE,
        &head,
        &ROGUE_HARDWARE,
        &sender,
        &[0; 6],
        &about,
        &[0; 18],
    ];
    tap.send(&parts.concat());
}

fn neighbour(lab: &Lab) -> std::process::Child {
    let mut command: Command = lab.command(Side::Lan, &["python3", "-c", NEIGHBOUR]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// What a neighbour says when it is asked to begin: flows, and of new and live ones how many were answered.
fn hears(child: std::process::Child) -> [u32; 3] {
    let done = child.wait_with_output().unwrap();
    let said = text(&done.stdout);
    let last = said.lines().last().unwrap_or_default();
    let numbers = last.split_whitespace().map(|word| word.parse().unwrap());
    numbers
        .collect::<Vec<u32>>()
        .try_into()
        .unwrap_or_else(|_| panic!("{said}"))
}

fn flood(sender: Sender, kind: Kind) {
    // given a home whose neighbour has a live flow
    let mut lab = Lab::new(Wan::Static);
    let echo: Running = lab.spawn(Side::Wan, &["python3", "-c", UDP_ECHO]);
    lab.keep(echo);
    lab.until_listens(Side::Wan, "udp", 7);
    lab.ip_batch(Side::Wan, "address add 198.51.100.1/24 dev w0");
    let child = neighbour(&lab);
    lab.until("a live flow", || lab.fast_path()[0] >= 1);
    let gateway = lab.hardware("eth0");
    let tap = Tap::open(&lab.namespace_of(Side::Lan), "l0");
    introduce(&tap);
    let frames: Vec<_> = (0..FRAMES)
        .map(|number| frame(gateway, sender, kind, number))
        .collect();
    let (ended, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let [all, new, old] = std::thread::scope(|scope| {
        // when a host opens flow after flow
        scope.spawn(|| {
            for burst in frames.chunks(BURST).cycle() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                burst.iter().for_each(|frame| tap.send(frame));
                sent.fetch_add(burst.len() as u64, Ordering::Relaxed);
                std::thread::sleep(REST);
            }
        });
        lab.until("a flood", || {
            sent.load(Ordering::Relaxed) > 3 * u64::from(FRAMES)
        });
        let heard = hears(child);
        ended.store(true, Ordering::Relaxed);
        heard
    });
    // then the neighbour's new flows are served as they come, and its live one goes on. A datagram can be lost in
    // this machine's own queue, which is one for all tests.
    let what =
        format!("{kind:?} {sender:?}: of {all}, {new} new and {old} live answered, {sent:?} sent");
    println!("{what}\n{}", lab.log());
    assert!(new >= all - 2 && old >= all - 2, "{what}\n{}", lab.log());
}

#[test]
fn a_host_that_opens_flow_after_flow_harms_no_neighbour() {
    for kind in [Kind::Syn, Kind::Udp, Kind::Echo] {
        flood(Sender::Itself, kind);
    }
}

#[test]
fn a_host_that_floods_in_the_names_of_all_others_harms_none_of_them() {
    for kind in [Kind::Syn, Kind::Udp, Kind::Echo] {
        flood(Sender::Everybody, kind);
    }
}
