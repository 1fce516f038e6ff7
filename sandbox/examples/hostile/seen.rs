//! What a program can see of itself and around it. Run before any child is made, so that it is alone.

use crate::outcome::{Attempt, Outcome, call, here};
use std::fs;
use std::io::Read;

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    here("processes", processes),
    here("kill_outside", || call(libc::SYS_kill, &[2, 0]).into()),
    here("proc_1_environ", proc_1_environ),
    here("descriptors", descriptors),
    here("environment", environment),
    here("capabilities", || {
        status(&["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
    }),
    here("signals", || status(&["SigBlk", "SigIgn"])),
    here("umask", || status(&["Umask"])),
    here("limits", limits),
    here("session", session),
    here("no_new_privs", || status(&["NoNewPrivs"])),
    here("seccomp", || status(&["Seccomp"])),
    here("groups", || status(&["Groups"])),
    here("uid_map", || line_of("/proc/self/uid_map")),
    here("host_name", || line_of("/proc/sys/kernel/hostname")),
    here("loopback", loopback),
    here("interfaces", interfaces),
    here("folder_dev", || listed("/dev")),
    here("folder_sys", || listed("/sys")),
    here("control_group", control_group),
    here("writable_mounts", writable_mounts),
    here("foreign_namespaces", foreign_namespaces),
];

fn processes() -> Outcome {
    Outcome::value(processes_of("/proc").len().to_string())
}

/// The numbers of all processes in a /proc.
pub fn processes_of(proc: &str) -> Vec<u32> {
    let names = names(proc).unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

fn proc_1_environ() -> Outcome {
    let own = fs::read("/proc/self/environ");
    match (fs::read("/proc/1/environ"), own) {
        (Ok(first), Ok(own)) if first == own => Outcome::value("own"),
        (Ok(_), _) => Outcome::value("foreign"),
        (Err(error), _) => error.into(),
    }
}

/// Names in a folder, sorted.
pub fn names(folder: &str) -> Result<Vec<String>, std::io::Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The names in a folder as a finding.
pub fn listed(folder: &str) -> Outcome {
    match names(folder) {
        Ok(names) => Outcome::Value(names.join(",")),
        Err(error) => error.into(),
    }
}

/// Open descriptors, but for the one that lists them.
fn descriptors() -> Outcome {
    let open = |name: &String| fs::read_link(format!("/proc/self/fd/{name}")).is_ok();
    let names = names("/proc/self/fd").unwrap_or_default();
    let names: Vec<String> = names.into_iter().filter(open).collect();
    Outcome::Value(names.join(","))
}

/// The values of some lines of /proc/self/status.
fn status(keys: &[&str]) -> Outcome {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &&str| {
        text.lines()
            .find_map(|line| line.strip_prefix(*key)?.strip_prefix(':'))
    };
    let values: Vec<&str> = keys.iter().filter_map(of).map(str::trim).collect();
    Outcome::Value(values.join(","))
}

fn line_of(path: &str) -> Outcome {
    match fs::read_to_string(path) {
        Ok(text) => Outcome::Value(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Err(error) => error.into(),
    }
}

/// How many bytes, up to 64, a file gives.
pub fn bytes_in(path: &str) -> Outcome {
    let mut buffer = [0; 64];
    match fs::File::open(path).and_then(|mut file| file.read(&mut buffer)) {
        Ok(count) => Outcome::Value(count.to_string()),
        Err(error) => error.into(),
    }
}

/// The hard limits of open files and core files.
fn limits() -> Outcome {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let of = |name: &&str| text.lines().find_map(|line| line.strip_prefix(*name));
    let hard = |line: &str| Some(line.split_whitespace().nth(1)?.to_owned());
    let names = ["Max open files", "Max core file size"];
    let values: Vec<String> = names.iter().filter_map(of).filter_map(hard).collect();
    Outcome::Value(values.join(","))
}

/// Whether it leads its session.
fn session() -> Outcome {
    match call(libc::SYS_getsid, &[0]) {
        Ok(leader) if leader == i64::from(std::process::id()) => Outcome::value("own"),
        Ok(_) => Outcome::value("inherited"),
        Err(errno) => Outcome::Errno(errno),
    }
}

/// Whether loopback is up: the kernel then has a local route.
fn loopback() -> Outcome {
    let routes = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let up = routes.contains("127.0.0.1");
    Outcome::value(if up { "up" } else { "down" })
}

fn environment() -> Outcome {
    let variables = std::env::vars();
    let mut all: Vec<String> = variables
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    all.sort();
    Outcome::Value(all.join(","))
}

fn interfaces() -> Outcome {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let name = |line: &str| Some(line.split_once(':')?.0.trim().to_owned());
    let names: Vec<String> = text.lines().filter_map(name).collect();
    Outcome::Value(names.join(","))
}

/// The path of its group in the cgroup v2 tree, as it sees it.
fn control_group() -> Outcome {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    Outcome::value(path.unwrap_or("none"))
}

/// Folders whose mount takes writes.
fn writable_mounts() -> Outcome {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = |line: &str| {
        let mut words = line.split(' ').skip(4); // proc_pid_mountinfo(5): mount point, options
        let (point, options) = (words.next()?, words.next()?);
        let writable = options.split(',').any(|option| option == "rw");
        let folder = fs::metadata(point).is_ok_and(|data| data.is_dir());
        (writable && folder).then(|| point.to_owned())
    };
    let mut points: Vec<String> = text.lines().filter_map(point).collect();
    points.sort();
    points.dedup();
    Outcome::Value(points.join(","))
}

/// Namespaces of other processes that it can name.
fn foreign_namespaces() -> Outcome {
    let mut found = Vec::new();
    for process in processes_of("/proc") {
        for kind in names("/proc/self/ns").unwrap_or_default() {
            let own = fs::read_link(format!("/proc/self/ns/{kind}"));
            let theirs = fs::read_link(format!("/proc/{process}/ns/{kind}"));
            match (own, theirs) {
                (Ok(own), Ok(theirs)) if own != theirs => found.push(kind),
                _ => {}
            }
        }
    }
    found.sort();
    found.dedup();
    Outcome::Value(found.join(","))
}
