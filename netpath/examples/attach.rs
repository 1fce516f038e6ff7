//! The manager's part for `scripts/bench starvation`: `attach SOCKET` asks hearth-netpath for the link of service 0,
//! makes port 80 of the Internet's side its own, and prints the number of the kernel thread that takes its packets.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use hearth_model::ServiceId;
use hearth_model::limits::{PROTOCOL_VERSION, RECORD_MAX};
use hearth_model::protocol::{
    Forward, FromNetpath, Link, NetworkPolicy, NetworkShare, ToNetpath, Transport, Zone, decode,
    encode,
};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A connected socket of whole records; the standard library knows streams alone.
fn connect(path: &str) -> UnixStream {
    // SAFETY: socket(2) takes no pointer.
    let raw = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    assert!(raw >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all zeroes is a value of sockaddr_un.
    let mut address = unsafe { std::mem::zeroed::<libc::sockaddr_un>() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    assert!(path.len() < address.sun_path.len());
    for (place, byte) in address.sun_path.iter_mut().zip(path.bytes()) {
        *place = byte.cast_signed();
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of a live sockaddr_un.
    let done = unsafe { libc::connect(raw, (&raw const address).cast(), length) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    UnixStream::from(fd)
}

/// The first answer that is about what was asked.
fn ask(socket: &mut UnixStream, request: &ToNetpath) -> FromNetpath {
    let mut buffer = [0; RECORD_MAX];
    let bytes = encode(request, &mut buffer).unwrap();
    socket.write_all(bytes).unwrap();
    loop {
        let length = socket.read(&mut buffer).unwrap();
        let answer: FromNetpath = decode(&buffer[..length]).unwrap();
        let about = matches!(
            answer,
            FromNetpath::Welcome { .. }
                | FromNetpath::Attached { .. }
                | FromNetpath::Forwarded { .. }
                | FromNetpath::Refused { .. }
        );
        if about {
            return answer;
        }
    }
}

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let mut socket = connect(&path);
    let version = PROTOCOL_VERSION;
    ask(&mut socket, &ToNetpath::Hello { version });
    let id = ServiceId::new(0).unwrap();
    let attach = ToNetpath::Attach {
        id,
        link: Link::Routed {
            address: Ipv4Addr::new(10, 213, 0, 2),
            policy: NetworkPolicy::Wan,
        },
        share: NetworkShare::default(),
    };
    let FromNetpath::Attached { thread, .. } = ask(&mut socket, &attach) else {
        panic!("no link");
    };
    let forward = ToNetpath::Forward(Forward {
        id,
        transport: Transport::Tcp,
        from: Zone::Wan,
        port: 80,
        to_port: 80,
    });
    let answer = ask(&mut socket, &forward);
    assert!(
        matches!(answer, FromNetpath::Forwarded { .. }),
        "{answer:?}"
    );
    println!("{}", thread.unwrap_or(0));
}
