//! A service whose life is given by files in its `/data`, for the tests of readiness, watchdog and needs
//! (`board/tests/test_59_life.py`, `tests/probe.rs`).
//!
//! `living notify` waits for `/data/go`, says `READY=1` and pings the watchdog until there is `/data/hang`.
//! `living port PORT` waits for `/data/go` and listens at that port. `living sleep` does nothing.
//! `living check` is a probe: it tells who it is and ends with 0 where there is `/data/go`.
//! `living fail` ends with 1 at once.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(50);
/// Shorter than half of the interval in its manifest.
const PING: Duration = Duration::from_secs(1);

fn wait_for(file: &str) {
    while !Path::new(file).exists() {
        sleep(PAUSE);
    }
}

fn say(text: &str) {
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else {
        println!("NOTIFY none");
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(text.as_bytes(), &path));
    if let Err(error) = sent {
        println!("NOTIFY {error}");
    }
}

fn notify() -> ! {
    let interval = std::env::var("WATCHDOG_USEC").unwrap_or_default();
    println!("LIVING watchdog={interval}");
    say("STATUS=waits for its file");
    wait_for("/data/go");
    say("READY=1\nSTATUS=at work");
    while !Path::new("/data/hang").exists() {
        say("WATCHDOG=1");
        sleep(PING);
    }
    println!("LIVING hangs");
    loop {
        sleep(PING);
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["notify"] => notify(),
        ["port", port] => {
            wait_for("/data/go");
            match TcpListener::bind(("0.0.0.0", port.parse().unwrap_or(0))) {
                Ok(listener) => {
                    for connection in listener.incoming() {
                        println!("LIVING met {:?}", connection.map(|c| c.peer_addr()));
                    }
                }
                Err(error) => println!("LIVING {error}"),
            }
            ExitCode::FAILURE
        }
        ["sleep"] => loop {
            sleep(PING);
        },
        ["check"] => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let told = |key: &str| {
                let line = status.lines().find(|line| line.starts_with(key));
                line.map(|line| {
                    line.split_whitespace()
                        .skip(1)
                        .collect::<Vec<_>>()
                        .join(",")
                })
            };
            let facts = [
                "Uid:",
                "Groups:",
                "CapEff:",
                "CapBnd:",
                "NoNewPrivs:",
                "Seccomp:",
                "PPid:",
            ]
            .map(|key| format!("{key}{}", told(key).unwrap_or_default()));
            let namespaces =
                ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"].map(|kind| {
                    let own = std::fs::read_link(format!("/proc/self/ns/{kind}"));
                    own.map_or(String::new(), |own| own.display().to_string())
                });
            let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
            println!(
                "PROBE {} {} open={open}",
                facts.join(" "),
                namespaces.join(" ")
            );
            match Path::new("/data/go").exists() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::FAILURE,
    }
}
