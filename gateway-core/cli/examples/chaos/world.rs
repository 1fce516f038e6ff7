//! Whether the gateway is whole: every service that is wanted is Active, every part of the gateway too, no
//! problem is told, and of what is over nothing is left: no process, control group, mount, loop device,
//! network namespace, link or descriptor of PID 1.

use hearth_client::client::Api;
use hearth_model::api::{Kind, Service, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Flag of a kernel thread in the ninth field of /proc/PID/stat (`PF_KTHREAD`, linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// How the gateway was before the first fault.
pub struct Home {
    /// Mounts of PID 1 that are no service's.
    mounts: usize,
    /// Network devices that are no service's.
    devices: BTreeSet<String>,
    /// Descriptors of PID 1.
    descriptors: usize,
}

impl Home {
    /// How it is now.
    pub fn now() -> Home {
        Home {
            mounts: other_mounts().len(),
            devices: other_devices(),
            descriptors: names("/proc/1/fd").len(),
        }
    }
}

/// A process.
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    parent: u32,
    /// Name of its program, in brackets for a kernel thread.
    pub name: String,
    /// Its control group, from the root on.
    pub group: String,
    state: char,
    /// Whether it is a thread of the kernel.
    pub kernel: bool,
}

/// The names in a folder; none where it is not there.
pub fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn folders(folder: &str) -> BTreeSet<String> {
    let is_folder =
        |name: &String| fs::metadata(format!("{folder}/{name}")).is_ok_and(|f| f.is_dir());
    names(folder).into_iter().filter(is_folder).collect()
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Every process there is.
pub fn processes() -> BTreeMap<u32, Process> {
    let pids = names("/proc")
        .into_iter()
        .filter_map(|name| name.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, process(pid)?)))
        .collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = text(&format!("/proc/{pid}/stat"));
    // proc(5): `pid (name) state parent ...`; the name may hold anything.
    let (before, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(4)?.parse().ok()?;
    let group = text(&format!("/proc/{pid}/cgroup"));
    let group = group.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Process {
        pid,
        parent,
        name: before.split_once('(')?.1.to_owned(),
        group: group.to_owned(),
        state,
        kernel: flags & KERNEL_THREAD != 0,
    })
}

/// The mount points of PID 1.
fn mounts() -> Vec<String> {
    let mounts = text("/proc/1/mountinfo");
    let point = |line: &str| line.split(' ').nth(4).map(str::to_owned);
    mounts.lines().filter_map(point).collect()
}

fn is_of_services(point: &str) -> bool {
    point.starts_with("/run/hearth/images/") || point.starts_with("/run/hearth/netns/")
}

fn other_mounts() -> Vec<String> {
    let mounts = mounts().into_iter();
    mounts.filter(|point| !is_of_services(point)).collect()
}

/// `sv` and a number: the gateway's end of a service's link.
fn is_link(name: &str) -> bool {
    name.strip_prefix("sv")
        .is_some_and(|rest| rest.parse::<u32>().is_ok())
}

fn other_devices() -> BTreeSet<String> {
    let devices = names("/sys/class/net").into_iter();
    devices.filter(|name| !is_link(name)).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, due: T, found: T) -> Result<(), String> {
    if due == found {
        return Ok(());
    }
    Err(format!("{what}: {found:?}, and should be {due:?}"))
}

/// Looks at all of it; the first thing that is wrong.
pub async fn look(api: &Api, home: &Home) -> Result<(), String> {
    let status = api.get("/v1/status").await.map_err(|e| e.to_string())?;
    let status: Status = status.read().map_err(|e| e.to_string())?;
    for row in &status.services {
        let due = if row.kind == Kind::System || row.wanted {
            "Active"
        } else {
            "Idle"
        };
        if row.state != due {
            return Err(format!("{} is {}: {}", row.name, row.state, row.message));
        }
    }
    same("problems", &Vec::new(), &status.problems)?;
    let run: Vec<&Service> = status.services.iter().filter(|row| row.pid != 0).collect();
    let services: Vec<&&Service> = run.iter().filter(|row| row.kind == Kind::Service).collect();
    let name = |row: &&&Service| row.name.clone();
    let named: BTreeSet<String> = services.iter().map(name).collect();
    same(
        "control groups",
        named.clone(),
        folders("/sys/fs/cgroup/services"),
    )?;
    same("images", named.clone(), names("/run/hearth/images"))?;
    let linked = services.iter().filter(|row| row.address.is_some()).count();
    let points = mounts();
    let below = |folder: &str| {
        points
            .iter()
            .filter(|point| point.starts_with(folder))
            .count()
    };
    same(
        "mounts of images",
        named.len(),
        below("/run/hearth/images/"),
    )?;
    same("mounts of namespaces", linked, below("/run/hearth/netns/"))?;
    same(
        "names of namespaces",
        linked,
        names("/run/hearth/netns").len(),
    )?;
    same(
        "other mounts",
        home.mounts,
        points.len() - named.len() - linked,
    )?;
    same("other devices", &home.devices, &other_devices())?;
    let links = names("/sys/class/net");
    same(
        "links",
        linked,
        links.iter().filter(|name| is_link(name)).count(),
    )?;
    let loops = names("/sys/block").into_iter();
    let bound =
        |name: &String| fs::metadata(format!("/sys/block/{name}/loop/backing_file")).is_ok();
    same("loop devices", named.len(), loops.filter(bound).count())?;
    same(
        "descriptors of PID 1",
        home.descriptors,
        names("/proc/1/fd").len(),
    )?;
    let checked = names("/sys/block")
        .into_iter()
        .filter(|name| name.starts_with("dm-"));
    same("verity devices", named.len(), checked.count())?;
    of_processes(&run)
}

/// Every process is a part of the gateway, or descends from one of its services in that service's group.
fn of_processes(rows: &[&Service]) -> Result<(), String> {
    let all = processes();
    let row = |pid: u32| rows.iter().find(|row| row.pid == pid);
    for process in all
        .values()
        .filter(|process| !process.kernel && process.pid != 1)
    {
        let Process {
            pid, name, group, ..
        } = process;
        let mut at = process;
        let top = loop {
            match (row(at.pid), all.get(&at.parent)) {
                (Some(row), _) => break row,
                (None, Some(parent)) if at.parent != 1 => at = parent,
                (None, _) => {
                    return Err(format!(
                        "process {pid} ({name}) in {group} belongs to nobody"
                    ));
                }
            }
        };
        // A service may leave its own dead lying about.
        if process.state == 'Z' && top.kind == Kind::System {
            return Err(format!(
                "process {pid} ({name}) is dead and nobody has looked"
            ));
        }
        let due = match (top.kind, top.name.as_str()) {
            (Kind::Service, name) => format!("/services/{name}"),
            (Kind::System, "hearth-netpath") => "/forwarding".to_owned(),
            (Kind::System, "hearth-manager") => "/system/manager".to_owned(),
            (Kind::System, _) => "/system/console".to_owned(),
        };
        same(&format!("group of process {pid} ({name})"), &due, group)?;
    }
    for row in rows {
        if !all.contains_key(&row.pid) {
            return Err(format!(
                "{} is Active, and there is no process {}",
                row.name, row.pid
            ));
        }
    }
    Ok(())
}
