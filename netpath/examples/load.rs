//! Load for `scripts/bench nat`: 64-byte UDP packets out of one interface as fast as one CPU makes them, and a
//! sink that drops what arrives. Needs root; meant for network namespaces of its own.
//!
//! `load drop INTERFACE` drops every IPv4 packet that arrives there, from now on. `load send INTERFACE GATEWAY_MAC
//! FLOWS PORT SECONDS [RATE]` sends packets of so many flows in turns to 203.0.113.1:PORT, and prints how many, and
//! in how many nanoseconds; RATE: packets a second, where not as many as go. `load open INTERFACE GATEWAY_MAC
//! FLOWS PORT SINK` opens so many flows with a packet each, never more than 150 ahead of what has arrived at the
//! sink (a file with its counter), and prints how many have arrived, and in how many nanoseconds. `load echo PORT`
//! sends every datagram to that port back.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use hearth_bpf::netlink::Netlink;
use hearth_bpf::program::{Instruction, Program};
use hearth_bpf::tc;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Packets given to the kernel at once.
const BATCH: usize = 64;
/// Flows of one home host; hearth-netpath lets each have 4096.
const HOST: usize = 4_000;
/// New flows that may be under way: hearth-netpath lets 256 packets of a host wait, a batch
/// among them.
const AHEAD: u64 = 150;
/// An Ethernet frame without its checksum.
const FRAME: usize = 60;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["drop", interface] => drop_all(interface),
        ["echo", port] => echo(port),
        ["send", interface, mac, flows, port, seconds] => {
            send(
                interface,
                &frames(mac, flows, port),
                seconds.parse().unwrap(),
                None,
            );
        }
        ["send", interface, mac, flows, port, seconds, rate] => {
            let rate = Some(rate.parse().unwrap());
            send(
                interface,
                &frames(mac, flows, port),
                seconds.parse().unwrap(),
                rate,
            );
        }
        ["open", interface, mac, flows, port, sink] => {
            open(interface, &frames(mac, flows, port), sink);
        }
        _ => panic!("usage: see the top of netpath/examples/load.rs"),
    }
}

fn index(interface: &str) -> u32 {
    let path = format!("/sys/class/net/{interface}/ifindex");
    std::fs::read_to_string(path)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn echo(port: &str) {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", port.parse().unwrap())).unwrap();
    let mut data = [0; 1_500];
    loop {
        let (length, from) = socket.recv_from(&mut data).unwrap();
        // Who is gone hears nothing.
        socket.send_to(&data[..length], from).ok();
    }
}

/// `r0 = TC_ACT_SHOT; exit`
fn drop_all(interface: &str) {
    let instruction = |code, immediate| Instruction {
        code,
        registers: 0,
        offset: 0,
        immediate,
    };
    let program = Program::load(&[instruction(0xb7, 2), instruction(0x95, 0)]).unwrap();
    let mut netlink = Netlink::open().unwrap();
    tc::attach_ingress(&mut netlink, index(interface), &program).unwrap();
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// A packet of each flow: hosts from 192.168.1.2 on, each with its ports from 10000 on.
fn frames(mac: &str, flows: &str, port: &str) -> Vec<[u8; FRAME]> {
    let mac: Vec<u8> = mac
        .split(':')
        .map(|b| u8::from_str_radix(b, 16).unwrap())
        .collect();
    let (flows, port): (usize, u16) = (flows.parse().unwrap(), port.parse().unwrap());
    let one = |number: usize| {
        let mut frame = [0; FRAME];
        frame[..6].copy_from_slice(&mac);
        frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 8, 0]);
        let host = u8::try_from(2 + number / HOST).unwrap();
        let source = u16::try_from(10_000 + number % HOST).unwrap();
        frame[14..34].copy_from_slice(&[
            0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 1, host, 203, 0, 113, 1,
        ]);
        let checksum = !sum(&frame[14..34]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        let length: u16 = 26;
        for (place, value) in [(34, source), (36, port), (38, length)] {
            frame[place..place + 2].copy_from_slice(&value.to_be_bytes());
        }
        let pseudo = [&frame[26..34], &[0, 17, 0, 26], &frame[34..60]].concat();
        let checksum = !sum(&pseudo);
        frame[40..42].copy_from_slice(&checksum.to_be_bytes());
        frame
    };
    (0..flows).map(one).collect()
}

/// A socket that sends whole frames out of an interface, past its queue.
fn socket(interface: &str) -> OwnedFd {
    // SAFETY: socket(2) takes no pointer.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(raw >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all zeroes is a value of sockaddr_ll.
    let mut address = unsafe { std::mem::zeroed::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index(interface).cast_signed();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of a live sockaddr_ll.
    let bound = unsafe { libc::bind(raw, (&raw const address).cast(), length) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    let yes: libc::c_int = 1;
    let (level, option) = (libc::SOL_PACKET, 20); // PACKET_QDISC_BYPASS
    // SAFETY: the kernel reads one int.
    let set = unsafe { libc::setsockopt(raw, level, option, (&raw const yes).cast(), 4) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    fd
}

/// Sends a few frames; how many the kernel took.
fn give(fd: &OwnedFd, frames: &[[u8; FRAME]]) -> usize {
    let mut parts: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: FRAME,
        })
        .collect();
    // SAFETY: all zeroes is a value of mmsghdr.
    let empty = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
    let mut messages = vec![empty; parts.len()];
    for (message, part) in messages.iter_mut().zip(&mut parts) {
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    let count = u32::try_from(messages.len()).unwrap();
    // SAFETY: every header points to one live iovec, which points to a live frame.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
    usize::try_from(sent).unwrap_or(0)
}

fn send(interface: &str, frames: &[[u8; FRAME]], seconds: f64, rate: Option<f64>) {
    let fd = socket(interface);
    // Few flows fill a batch by taking turns.
    let count = frames.len().max(BATCH);
    let frames: Vec<_> = frames.iter().cycle().take(count).copied().collect();
    let (begun, length) = (Instant::now(), Duration::from_secs_f64(seconds));
    let (mut sent, mut at) = (0_usize, 0);
    while begun.elapsed() < length {
        if let Some(rate) = rate
            && sent as f64 > begun.elapsed().as_secs_f64() * rate
        {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let end = (at + BATCH).min(frames.len());
        let taken = give(&fd, &frames[at..end]);
        sent += taken;
        at = if at + taken >= frames.len() {
            0
        } else {
            at + taken
        };
    }
    println!("{sent} {}", begun.elapsed().as_nanos());
}

fn open(interface: &str, frames: &[[u8; FRAME]], sink: &str) {
    let fd = socket(interface);
    let arrived = || -> u64 {
        std::fs::read_to_string(sink)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let (before, begun) = (arrived(), Instant::now());
    let (mut sent, mut last, mut moved) = (0_usize, 0, Instant::now());
    // What is lost would be waited for: a while without any is the end.
    while last < frames.len() as u64 && moved.elapsed() < Duration::from_millis(500) {
        let now = arrived() - before;
        if now > last {
            (last, moved) = (now, Instant::now());
        }
        if sent < frames.len() && (sent as u64).saturating_sub(last) <= AHEAD {
            let end = (sent + BATCH).min(frames.len());
            sent += give(&fd, &frames[sent..end]);
        } else {
            std::thread::yield_now();
        }
    }
    println!("{last} {}", moved.duration_since(begun).as_nanos());
}
