//! A well-behaved program that says what it has got: `contract user` its real and effective user,
//! `contract bind PORT` and `contract connect PORT` whether TCP lets it, `contract namespace KIND` that
//! namespace, `contract raise SIGNAL` what it sent itself if it lives.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

fn outcome<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => format!("errno={}", error.raw_os_error().unwrap_or(0)),
    }
}

/// Numbers behind a key of /proc/self/status.
fn status(key: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_default().trim().replace('\t', ",")
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let port = |text: &str| (Ipv4Addr::LOCALHOST, text.parse().unwrap_or(0_u16));
    let text = match words.as_slice() {
        ["user"] => status("Uid:"),
        ["bind", number] => outcome(TcpListener::bind(port(number))),
        ["connect", number] => outcome(TcpStream::connect(port(number))),
        ["namespace", kind] => std::fs::read_link(format!("/proc/self/ns/{kind}"))
            .map(|link| link.display().to_string())
            .unwrap_or_default(),
        ["raise", number] => {
            // SAFETY: takes no pointer.
            let done = unsafe { libc::raise(number.parse().unwrap_or(0)) };
            format!("raised {done}")
        }
        other => format!("unknown {other:?}"),
    };
    println!("{text}");
}
