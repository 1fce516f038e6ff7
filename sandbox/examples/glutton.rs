//! A service that takes all it can get, on order: the board tests start it with limits and look where
//! each one holds (test_55_limits.py), and without to be in another's way (test_63_congestion.py).
//!
//! `glutton orders` carries out the orders that it finds in `/data/order`, one file an order: a tag and
//! words. It prints `RESULT <tag> key=value ...` and removes the file. Orders:
//! `write FILE MIB` (as far as it comes, then fsync), `wander FILE MS` (reads pages of it here and there),
//! `seek FILE KIB MS` (the same around the cache, so much at once), `files FOLDER COUNT`, `remove PATH`,
//! `send ADDRESS PORT KBIT MS` (datagrams, so many kbit a second), `pour ADDRESS PORT KBIT MS` (asks
//! a peer for as many), `fork COUNT` (children that sleep, and end again), `keep COUNT` (children that stay),
//! `memory MIB` (a child that takes that much), `spin MS`, `project FILE` (leave the project whose quota counts the file).
//! `glutton sleep` and `glutton memory MIB` are such children.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const ORDER: &str = "/data/order";
const PAUSE: Duration = Duration::from_millis(20);
const CHUNK: usize = 64 * 1024;
const PAGE: usize = 4096;
const DATAGRAM: usize = 1200;
const MIB: usize = 1024 * 1024;

/// errno(3), 0 for none.
fn errno<T>(result: io::Result<T>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0)
}

/// Writes until it is enough or an error; then makes it durable.
fn write(path: &str, mib: usize) -> String {
    let begin = Instant::now();
    let mut written = 0;
    let mut attempt = || -> io::Result<()> {
        let mut file = File::create(path)?;
        let chunk = vec![7; CHUNK];
        while written < mib * MIB {
            written += file.write(&chunk)?;
        }
        file.sync_all()
    };
    let errno = errno(attempt());
    let ms = begin.elapsed().as_millis();
    format!("bytes={written} errno={errno} ms={ms}")
}

/// Reads a file here and there for so long, so much at once; how often.
fn read(path: &str, length: usize, flags: i32, ms: u64) -> String {
    let begin = Instant::now();
    let mut times = 0;
    let mut attempt = || -> io::Result<()> {
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let places = (file.metadata()?.len() / length as u64).max(1);
        // What goes around the cache goes to whole pages (open(2), O_DIRECT).
        let mut room = vec![0; length + PAGE];
        let aligned = room.as_ptr().align_offset(PAGE);
        let mut place: u64 = 1;
        while begin.elapsed() < Duration::from_millis(ms) {
            // Knuth's MMIX generator: its upper bits are even enough.
            place = place
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (place >> 33) % places * length as u64;
            let piece = room.get_mut(aligned..aligned + length);
            file.read_exact_at(piece.unwrap_or_default(), at)?;
            times += 1;
        }
        Ok(())
    };
    let errno = errno(attempt());
    format!("times={times} errno={errno}")
}

/// A socket of a peer.
fn peer(address: &str, port: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(format!("{address}:{port}"))?;
    Ok(socket)
}

fn send(address: &str, port: &str, kbit: u64, ms: u64) -> String {
    let begin = Instant::now();
    let mut sent = 0;
    let mut attempt = || -> io::Result<()> {
        let socket = peer(address, port)?;
        while begin.elapsed() < Duration::from_millis(ms) {
            let due = begin.elapsed().as_millis() as u64 * kbit / 8;
            while sent < due {
                // A queue that is full is the line's to tell, not an end.
                let _full = socket.send(&[7; DATAGRAM]);
                sent += DATAGRAM as u64;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    };
    let errno = errno(attempt());
    format!("bytes={sent} errno={errno}")
}

fn pour(address: &str, port: &str, kbit: u64, ms: u64) -> String {
    let begin = Instant::now();
    let mut received = 0;
    let mut attempt = || -> io::Result<()> {
        let socket = peer(address, port)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send(format!("{kbit} {ms}").as_bytes())?;
        let mut datagram = [0; 2 * DATAGRAM];
        while begin.elapsed() < Duration::from_millis(ms) {
            if let Ok(length) = socket.recv(&mut datagram) {
                received += length;
            }
        }
        Ok(())
    };
    let errno = errno(attempt());
    format!("bytes={received} errno={errno}")
}

fn files(folder: &str, count: usize) -> String {
    let mut made = 0;
    let mut attempt = || -> io::Result<()> {
        fs::create_dir(folder)?;
        for n in 0..count {
            File::create(format!("{folder}/{n}"))?;
            made = n + 1;
        }
        Ok(())
    };
    let errno = errno(attempt());
    format!("made={made} errno={errno}")
}

fn remove(path: &str) -> String {
    let removed = if fs::metadata(path).is_ok_and(|facts| facts.is_dir()) {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    format!("errno={}", errno(removed))
}

/// As many sleeping children as asked for, or as it gets.
fn children(count: usize) -> (Vec<Child>, i32) {
    let mut all = Vec::new();
    for _ in 0..count {
        match Command::new("/proc/self/exe").arg("sleep").spawn() {
            Ok(child) => all.push(child),
            Err(error) => return (all, error.raw_os_error().unwrap_or(-1)),
        }
    }
    (all, 0)
}

fn fork(count: usize) -> String {
    let (mut all, errno) = children(count);
    for child in &mut all {
        let _ = child.kill();
        let _ = child.wait();
    }
    format!("children={} errno={errno}", all.len())
}

/// Touches that much and keeps it.
fn memory(mib: usize) -> ! {
    let mut held = Vec::new();
    for n in 1..=mib {
        held.push(vec![7_u8; MIB]);
        println!("MEMORY {n}");
    }
    sleep()
}

fn sleep() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Starts a child that takes that much.
fn greedy_child(kept: &mut Vec<Child>, mib: &str) -> String {
    let child = Command::new("/proc/self/exe").args(["memory", mib]).spawn();
    let errno = match child {
        Ok(child) => {
            kept.push(child);
            0
        }
        Err(error) => error.raw_os_error().unwrap_or(-1),
    };
    format!("errno={errno}")
}

fn spin(ms: u64) -> String {
    let begin = Instant::now();
    let mut loops: u64 = 0;
    while begin.elapsed() < Duration::from_millis(ms) {
        std::hint::spin_loop();
        loops += 1;
    }
    format!("ms={} loops={loops}", begin.elapsed().as_millis())
}

/// Tries to move a file into project 0, which has no limit, and to stop a folder's children from
/// inheriting theirs.
fn project(path: &str) -> String {
    const GET: u32 = 0x801C_581F; // FS_IOC_FSGETXATTR
    const SET: u32 = 0x401C_5820; // FS_IOC_FSSETXATTR
    const PROJECT: usize = 3; // of struct fsxattr in 32-bit words; the first are its flags
    const INHERIT: u32 = 0x200;
    let open = match File::open(path) {
        Ok(open) => open,
        Err(error) => return format!("open={}", error.raw_os_error().unwrap_or(-1)),
    };
    let ioctl = |request: u32, facts: &mut [u32; 7]| {
        let place = facts.as_mut_ptr();
        // SAFETY: both requests read or write the 28 bytes of struct fsxattr, which `facts` has.
        let done = unsafe { libc::ioctl(open.as_raw_fd(), request as _, place) };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    let mut facts = [0_u32; 7];
    let get = errno(ioctl(GET, &mut facts));
    let (mut moved, mut freed) = (facts, facts);
    moved[PROJECT] = 0;
    freed[0] &= !INHERIT;
    let own = facts[PROJECT];
    let set = errno(ioctl(SET, &mut moved));
    let inherit = errno(ioctl(SET, &mut freed));
    format!("get={get} project={own} set={set} inherit={inherit}")
}

fn obey(kept: &mut Vec<Child>, order: &[&str]) -> String {
    let number = |text: &str| text.parse::<usize>().unwrap_or(0);
    match order {
        ["write", path, mib] => write(path, number(mib)),
        ["wander", path, ms] => read(path, PAGE, 0, number(ms) as u64),
        ["seek", path, kib, ms] => {
            let length = number(kib) * 1024;
            read(path, length, libc::O_DIRECT, number(ms) as u64)
        }
        ["send", address, port, kbit, ms] => {
            send(address, port, number(kbit) as u64, number(ms) as u64)
        }
        ["pour", address, port, kbit, ms] => {
            pour(address, port, number(kbit) as u64, number(ms) as u64)
        }
        ["files", folder, count] => files(folder, number(count)),
        ["remove", path] => remove(path),
        ["fork", count] => fork(number(count)),
        ["keep", count] => {
            let (all, errno) = children(number(count));
            kept.extend(all);
            format!("children={} errno={errno}", kept.len())
        }
        ["memory", mib] => greedy_child(kept, mib),
        ["spin", ms] => spin(number(ms) as u64),
        ["project", path] => project(path),
        _ => "unknown".to_owned(),
    }
}

fn orders() -> ! {
    let mut kept = Vec::new();
    loop {
        if let Ok(text) = fs::read_to_string(ORDER) {
            // First: whoever sees the result may put the next one there.
            let removed = errno(fs::remove_file(ORDER));
            let words: Vec<&str> = text.split_whitespace().collect();
            if let [tag, order @ ..] = words.as_slice() {
                println!("RESULT {tag} {}", obey(&mut kept, order));
            }
            if removed != 0 {
                println!("the order stays: errno {removed}");
            }
        }
        std::thread::sleep(PAUSE);
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["orders"] => orders(),
        ["sleep"] => sleep(),
        ["memory", mib] => memory(mib.parse().unwrap_or(0)),
        _ => eprintln!("usage: glutton orders | sleep | memory MIB"),
    }
}
