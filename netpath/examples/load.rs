//! Load for `scripts/bench nat`: 64-byte UDP packets out of one interface as fast as one CPU makes them, and a
//! sink that drops what arrives. Needs root; meant for network namespaces of its own.
//!
//! `load drop INTERFACE` drops every IPv4 packet that arrives there, from now on. `load wire HERE THERE` sends what
//! arrives HERE out of THERE, but for UDP, which is dropped. `load send INTERFACE GATEWAY_MAC
//! FLOWS PORT SECONDS [RATE]` sends packets of so many flows in turns to 203.0.113.1:PORT, and prints how many, and
//! in how many nanoseconds; RATE: packets a second, where not as many as go. `load open INTERFACE GATEWAY_MAC
//! FLOWS PORT SINK` opens so many flows with a packet each, never more than 150 ahead of what has arrived at the
//! sink (a file with its counter), and prints how many have arrived, and in how many nanoseconds. `load echo PORT`
//! sends every datagram to that port back. `load flood INTERFACE GATEWAY_MAC PORT SECONDS RATE` sends one flow's
//! packets as `send` does, but as frames that need no socket and no buffer of their own (BPF_PROG_TEST_RUN on live
//! frames): some times as many as a CPU forwards. It keeps its CPU busy whatever the rate, and the other end of
//! the interface has to poll (GRO).
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
/// What `flood` may be behind its rate, ns.
const BEHIND: i32 = 100_000;
/// An Ethernet frame without its checksum.
const FRAME: usize = 60;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["drop", interface] => drop_all(interface),
        ["wire", here, there] => wire(here, there),
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
        ["flood", interface, mac, port, seconds, rate] => {
            flood(interface, &frames(mac, "1", port), seconds, rate);
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

/// Drops UDP and redirects the rest.
fn wire(here: &str, there: &str) {
    let one = |code, registers, offset, immediate| Instruction {
        code,
        registers,
        offset,
        immediate,
    };
    let mut instructions = vec![
        one(0xbf, 0x16, 0, 0), // r6 = context
        one(0x30, 0, 0, 23),   // r0 = protocol of an IPv4 packet
        one(0x55, 0, 2, 17),   // if it is UDP
        one(0xb7, 0, 0, 2),    // TC_ACT_SHOT
        one(0x95, 0, 0, 0),
    ];
    instructions.extend(hearth_bpf::program::redirect_to(index(there)));
    let program = Program::load(&instructions).unwrap();
    let mut netlink = Netlink::open().unwrap();
    tc::attach_ingress(&mut netlink, index(here), &program).unwrap();
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

/// The beginning of `union bpf_attr` of linux/bpf.h for BPF_PROG_LOAD.
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    rest: [u64; 6],
}

/// The same for BPF_PROG_TEST_RUN.
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_sizes: [u32; 2],
    contexts: [u64; 2],
    flags: u32,
    cpu: u32,
    batch: u32,
    rest: u32,
}

/// bpf(2).
fn bpf<T>(what: libc::c_int, attribute: &mut T) -> libc::c_int {
    let pointer: *mut T = attribute;
    // SAFETY: the kernel reads and writes a live attribute of the size that it is told.
    let done = unsafe { libc::syscall(libc::SYS_bpf, what, pointer, size_of::<T>()) };
    assert!(done >= 0, "bpf: {}", std::io::Error::last_os_error());
    libc::c_int::try_from(done).unwrap()
}

/// The same for BPF_MAP_CREATE.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    rest: [u64; 7],
}

/// The same for BPF_MAP_LOOKUP_ELEM.
#[repr(C)]
struct Lookup {
    map: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// What the program and we share: when the next frame is due (ns), and how many have gone.
fn state() -> OwnedFd {
    let mut attribute = MapCreate {
        kind: 2, // BPF_MAP_TYPE_ARRAY
        key: 4,
        value: 16,
        entries: 1,
        rest: [0; 7],
    };
    let raw = bpf(0, &mut attribute);
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

fn gone(state: &OwnedFd) -> u64 {
    let (key, mut value) = (0_u32, [0_u64; 2]);
    let mut attribute = Lookup {
        map: state.as_raw_fd().cast_unsigned(),
        key: (&raw const key) as u64,
        value: (&raw mut value) as u64,
        flags: 0,
    };
    bpf(1, &mut attribute);
    value[1]
}

/// A program (XDP) that sends a frame out of an interface when it is due, `interval` ns after the one before, and drops
/// it otherwise. What has not gone for `BEHIND` ns is not made up for. The kernel uses a frame again that has gone, with
/// what the gateway wrote into it: the program writes it anew.
fn paced(interface: &str, interval: i32, frame: &[u8; FRAME], state: &OwnedFd) -> OwnedFd {
    let one = |code, to: u8, from: u8, offset, immediate| Instruction {
        code,
        registers: from << 4 | to,
        offset,
        immediate,
    };
    let words = frame.as_chunks::<4>().0;
    let writes = words
        .iter()
        .zip((0..).step_by(4))
        .map(|(word, at)| one(0x62, 7, 0, at, i32::from_le_bytes(*word)));
    let writes: Vec<_> = writes.collect();
    let after = i16::try_from(writes.len()).unwrap();
    let mut instructions = vec![
        one(0x61, 7, 1, 0, 0), // r7 = data
        one(0x61, 2, 1, 4, 0), // r2 = its end
        one(0xbf, 3, 7, 0, 0),
        one(0x07, 3, 0, 0, FRAME as i32),
        one(0x2d, 3, 2, after + 15, 0), // if r7 + FRAME > r2, drop
        // r6 = &state
        one(0x18, 6, 2, 0, state.as_raw_fd()),
        one(0, 0, 0, 0, 0),
        one(0x85, 0, 0, 0, 5),          // r0 = bpf_ktime_get_ns()
        one(0x79, 1, 6, 0, 0),          // r1 = state[0]
        one(0x2d, 1, 0, after + 12, 0), // if r1 > r0, drop
        one(0x07, 1, 0, 0, interval),   // r1 += interval
        one(0x07, 0, 0, 0, -BEHIND),    // r0 -= BEHIND
        one(0x3d, 1, 0, 1, 0),          // if r1 < r0
        one(0xbf, 1, 0, 0, 0),          // r1 = r0
        one(0x7b, 6, 1, 0, 0),          // state[0] = r1
        one(0x79, 1, 6, 8, 0),          // state[1] += 1
        one(0x07, 1, 0, 0, 1),
        one(0x7b, 6, 1, 8, 0),
    ];
    instructions.extend(writes);
    instructions.extend([
        one(0xb7, 1, 0, 0, index(interface).cast_signed()),
        one(0xb7, 2, 0, 0, 0),
        one(0x85, 0, 0, 0, 23), // bpf_redirect()
        one(0x95, 0, 0, 0, 0),
        one(0xb7, 0, 0, 0, 1), // XDP_DROP
        one(0x95, 0, 0, 0, 0),
    ]);
    let license = c"GPL";
    let mut attribute = ProgramLoad {
        kind: 6, // BPF_PROG_TYPE_XDP
        count: u32::try_from(instructions.len()).unwrap(),
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        rest: [0; 6],
    };
    let raw = bpf(5, &mut attribute);
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// Does nothing: that a signal comes ends the run.
extern "C" fn over(_: libc::c_int) {}

/// Has the kernel interrupt us in so many seconds.
fn end_in(seconds: f64) {
    let handler: extern "C" fn(libc::c_int) = over;
    // SAFETY: all zeroes is a value of sigaction: no flags, so that calls are not restarted after it.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler as usize;
    // SAFETY: the action is live, and its handler does nothing.
    let set = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    let time = Duration::from_secs_f64(seconds);
    let value = libc::timeval {
        tv_sec: time.as_secs() as libc::time_t,
        tv_usec: time.subsec_micros() as libc::suseconds_t,
    };
    let never = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let timer = libc::itimerval {
        it_interval: never,
        it_value: value,
    };
    // SAFETY: the kernel reads a live itimerval.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

fn flood(interface: &str, frames: &[[u8; FRAME]], seconds: &str, rate: &str) {
    let state = state();
    let interval = 1e9 / rate.parse::<f64>().unwrap();
    let frame = frames[0];
    let program = paced(interface, interval as i32, &frame, &state);
    let mut attribute = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        result: 0,
        size_in: FRAME as u32,
        size_out: 0,
        data_in: frame.as_ptr() as u64,
        data_out: 0,
        repeat: i32::MAX.cast_unsigned(),
        duration: 0,
        context_sizes: [0; 2],
        contexts: [0; 2],
        flags: 2, // BPF_F_TEST_XDP_ON_LIVE_FRAMES
        cpu: 0,
        batch: BATCH as u32,
        rest: 0,
    };
    let begun = Instant::now();
    end_in(seconds.parse().unwrap());
    let pointer = &raw mut attribute;
    // SAFETY: the kernel reads and writes a live attribute of the size that it is told.
    let done = unsafe { libc::syscall(libc::SYS_bpf, 10, pointer, size_of::<TestRun>()) };
    let error = std::io::Error::last_os_error();
    assert!(
        done == 0 || error.raw_os_error() == Some(libc::EINTR),
        "bpf: {error}"
    );
    println!("{} {}", gone(&state), begun.elapsed().as_nanos());
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
