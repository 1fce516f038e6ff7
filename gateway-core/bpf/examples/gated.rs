//! Attaches gates, reads what they refused, or is the process that they judge: what tests/gate.rs runs in
//! both word sizes.
//!
//! `gated attach CGROUP MANIFEST GATEWAY`, `gated refusals CGROUP`, `gated act CGROUP`. The last joins the
//! cgroup, leaves the network, does what each line of its input says and prints the errno, 0 for none.
//! `gated try REQUEST...` is a service of the board tests: it does so where it is, and stays.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use hearth_bpf::gate;
use hearth_model::ServiceId;
use hearth_model::gate::Gate;
use hearth_model::gateway::GatewayConfig;
use hearth_model::manifest::Manifest;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["attach", cgroup, manifest, gateway] => {
            let text = |path: &str| fs::read_to_string(path).unwrap();
            let manifest = Manifest::parse(manifest, &text(manifest)).unwrap();
            let gateway = GatewayConfig::parse(gateway, &text(gateway)).unwrap();
            let gate = Gate::of(&manifest, &gateway, ServiceId::new(3).unwrap());
            match gate::attach(File::open(cgroup).unwrap().as_fd(), &gate) {
                Ok(()) => println!("attached"),
                Err(error) => println!("{error}"),
            }
        }
        ["refusals", cgroup] => {
            let found = gate::refusals(File::open(cgroup).unwrap().as_fd()).unwrap();
            for (refusal, count) in found.iter().flat_map(gate::Refusals::iter) {
                println!("{refusal} {count}");
            }
        }
        ["act", cgroup] => act(cgroup),
        ["try", requests @ ..] => {
            for line in requests {
                println!("RESULT {} {line}", errno(line));
            }
            println!("RESULT end");
            loop {
                std::thread::park();
            }
        }
        _ => panic!("unknown words: {words:?}"),
    }
}

fn act(cgroup: &str) {
    fs::write(format!("{cgroup}/cgroup.procs"), "0").unwrap();
    // SAFETY: unshare(2) takes no pointer.
    let left = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(left, 0, "{}", io::Error::last_os_error());
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.unwrap().success());
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(output, "{}", errno(&line.unwrap())).unwrap();
        output.flush().unwrap();
    }
}

fn errno(line: &str) -> i32 {
    let words: Vec<&str> = line.split(' ').collect();
    match request(&words) {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

fn address(ip: &str, port: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
}

fn request(words: &[&str]) -> io::Result<()> {
    match words {
        ["bind", "tcp", ip, port] => TcpListener::bind(address(ip, port)).map(drop),
        ["bind", "udp", ip, port] => UdpSocket::bind(address(ip, port)).map(drop),
        ["connect", "tcp", _, ip, port] => TcpStream::connect(address(ip, port)).map(drop),
        ["connect", "udp", from, ip, port] => {
            let to = address(ip, port);
            at_loopback(from, to.ip())?.connect(to)
        }
        ["send", "udp", from, ip, port] => {
            let to = address(ip, port);
            at_loopback(from, to.ip())?.send_to(b"x", to).map(drop)
        }
        ["open", "r", path] => File::open(path).map(drop),
        ["open", "w", path] => OpenOptions::new().write(true).open(path).map(drop),
        ["mknod", path] => {
            let path = std::ffi::CString::new(*path).unwrap();
            // SAFETY: the path is a C string that lives through the call.
            let made = unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR, 0x103) };
            checked(made)
        }
        ["socket", family, kind, protocol] => {
            let number = |word: &str| word.parse::<i32>().unwrap();
            // SAFETY: socket(2) takes no pointer; the descriptor ends with the process.
            let socket = unsafe { libc::socket(number(family), number(kind), number(protocol)) };
            checked(socket)
        }
        _ => panic!("unknown words: {words:?}"),
    }
}

/// A socket at this port of its own loopback, where every port may be bound; at no address for port 0.
fn at_loopback(port: &str, to: IpAddr) -> io::Result<UdpSocket> {
    let own = match (to, port) {
        (IpAddr::V4(_), "0") => "0.0.0.0",
        (IpAddr::V6(_), "0") => "::",
        (IpAddr::V4(_), _) => "127.0.0.1",
        // At ::1 it would be of IPv6 alone, and the kernel itself would refuse a mapped address.
        (IpAddr::V6(to), _) if to.to_ipv4_mapped().is_some() => "::ffff:127.0.0.1",
        (IpAddr::V6(_), _) => "::1",
    };
    UdpSocket::bind(address(own, port))
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
