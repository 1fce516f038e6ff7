//! The files that a support bundle is made of: fixed places, read-only, none of them a service's data or a key.

use hearth_client::limits::{BUNDLE_FILES_MAX, KERNEL_RECORD_MAX, PART_MAX};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How a part is redacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As any text.
    Text,
    /// As a manifest.
    Manifest,
}

/// Takes a part: its name, and its text or why there is none.
pub(super) type Take<'a> = &'a mut dyn FnMut(&str, Kind, io::Result<String>);

/// Single files: their place, and whether it is odd that one is not there.
const FILES: [(&str, bool); 21] = [
    ("etc/hearth/release", true),
    ("etc/hearth/gateway.toml", true),
    ("etc/hearth/queues.toml", true),
    ("data/hearth/gateway.toml", false),
    ("data/hearth/queues.toml", false),
    ("proc/version", true),
    ("proc/cmdline", true),
    ("proc/uptime", true),
    ("proc/loadavg", true),
    ("proc/meminfo", true),
    ("proc/self/mounts", true),
    ("proc/modules", false),
    ("proc/diskstats", true),
    ("proc/interrupts", true),
    ("proc/pressure/cpu", true),
    ("proc/pressure/memory", true),
    ("proc/pressure/io", true),
    ("proc/net/dev", true),
    ("proc/net/arp", true),
    ("proc/net/route", true),
    ("proc/net/snmp", true),
];

/// Folders of which each file is a part.
const FOLDERS: [&str; 2] = ["data/hearth/state", "run/hearth/logs"];

/// Folders of packages.
const PACKAGES: [&str; 2] = ["usr/share/hearth/packages", "data/hearth/packages"];

/// What of a cgroup is told: limits as the kernel has them, and what it has counted.
const CGROUP: [&str; 21] = [
    "cgroup.controllers",
    "cpu.weight",
    "cpu.max",
    "cpu.stat",
    "cpu.pressure",
    "memory.min",
    "memory.low",
    "memory.high",
    "memory.max",
    "memory.current",
    "memory.events",
    "memory.pressure",
    "io.bfq.weight",
    "io.weight",
    "io.max",
    "io.stat",
    "io.pressure",
    "pids.max",
    "pids.current",
    "pids.events",
    "cgroup.events",
];

/// The gateway's configurations, for those who must know which addresses are its own.
pub(super) fn configurations(root: &Path) -> Vec<String> {
    let places = [
        "etc/hearth/gateway.toml",
        "data/hearth/gateway.toml",
        "data/hearth/state/networks.toml",
    ];
    places
        .iter()
        .filter_map(|place| end(&root.join(place)).ok())
        .collect()
}

/// Hands over each part, the most telling first.
pub(super) fn gather(root: &Path, take: Take<'_>) {
    take("kernel.log", Kind::Text, kernel_log(&root.join("dev/kmsg")));
    for name in ["events.1", "events"] {
        let file = root.join("run/hearth").join(name);
        if file.exists() || name == "events" {
            take(&format!("run/hearth/{name}"), Kind::Text, end(&file));
        }
    }
    for (place, must) in FILES {
        let file = root.join(place);
        if must || file.exists() {
            take(place, Kind::Text, end(&file));
        }
    }
    for group in ["", "forwarding", "system", "services"] {
        cgroup(root, group, take);
    }
    for name in folders(&root.join("sys/fs/cgroup/services")) {
        cgroup(root, &format!("services/{name}"), take);
    }
    for place in PACKAGES {
        for name in folders(&root.join(place)) {
            let part = format!("{place}/{name}/manifest.toml");
            take(&part, Kind::Manifest, end(&root.join(&part)));
        }
    }
    for place in FOLDERS {
        let files = names(&root.join(place), |entry| entry.is_file());
        for name in files {
            let part = format!("{place}/{name}");
            take(&part, Kind::Text, end(&root.join(&part)));
        }
    }
}

/// A cgroup as one part.
fn cgroup(root: &Path, group: &str, take: Take<'_>) {
    let folder = root.join("sys/fs/cgroup").join(group);
    let mut text = String::new();
    for name in CGROUP {
        // A kernel without a controller has no such file.
        if let Ok(value) = end(&folder.join(name)) {
            let value = value.trim_end().replace('\n', "\n    ");
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    let name = match group {
        "" => "cgroup/all".to_owned(),
        group => format!("cgroup/{group}"),
    };
    let told = match text.is_empty() {
        false => Ok(text),
        true => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the kernel tells nothing of it",
        )),
    };
    take(&format!("{name}.txt"), Kind::Text, told);
}

/// Names in a folder, in order; none where it can not be read.
fn names(folder: &Path, wanted: fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let wanted = entries.filter(|entry| wanted(&entry.path()));
    let mut names: Vec<String> = wanted
        .filter_map(|entry| entry.file_name().into_string().ok())
        .take(BUNDLE_FILES_MAX)
        .collect();
    names.sort();
    names
}

fn folders(folder: &Path) -> Vec<String> {
    names(folder, |entry| entry.is_dir())
}

/// The end of a file. Links are not followed: nobody leads us to another file.
fn end(file: &PathBuf) -> io::Result<String> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(file)?;
    let length = file.metadata()?.len();
    // Files of the kernel have no length: they are read from their begin.
    let before = length.saturating_sub(PART_MAX as u64);
    if before > 0 {
        file.seek(SeekFrom::Start(before))?;
    }
    let mut bytes = Vec::new();
    file.take(2 * PART_MAX as u64).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // A line that begins before what was read could hide what it is about.
    Ok(match (before, text.split_once('\n')) {
        (1.., Some((_, whole))) => whole.to_owned(),
        (_, _) => text,
    })
}

/// The end of the kernel's log: a record each read, until there is none (kernel document dev-kmsg).
fn kernel_log(file: &Path) -> io::Result<String> {
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(file)?;
    let mut lines: VecDeque<String> = VecDeque::new();
    let mut size = 0;
    let mut buffer = vec![0; KERNEL_RECORD_MAX];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            // Records were overwritten while they were read: it goes on with the oldest that is there.
            Err(e) if e.raw_os_error() == Some(libc::EPIPE) => continue,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let record = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
        for line in record.lines().filter_map(told) {
            size += line.len();
            lines.push_back(line);
        }
        while size > PART_MAX {
            let Some(oldest) = lines.pop_front() else {
                break;
            };
            size -= oldest.len();
        }
    }
    Ok(lines.into_iter().collect())
}

/// A line of a record as dmesg(1) tells it: `level,number,microseconds,flags;text`; the lines below it say of
/// which device it is, and are left out.
fn told(line: &str) -> Option<String> {
    let (head, text) = line.split_once(';')?;
    let mut head = head.split(',');
    let level: u32 = head.next()?.parse().ok()?;
    let time: u64 = head.nth(1)?.parse().ok()?;
    let (seconds, rest) = (time / 1_000_000, time % 1_000_000);
    Some(format!("<{}>[{seconds:5}.{rest:06}] {text}\n", level % 8))
}
