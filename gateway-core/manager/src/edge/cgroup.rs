//! Limits and counters in cgroup v2 (kernel document cgroup-v2). Each limit is written and read back:
//! one that the kernel does not keep fails the start. What is written is decided in
//! `hearth_model::cgroup`.

use super::charge::discharge;
use super::paths::{could_not, read_text, reason};
use crate::limits::{KERNEL_FILE_MAX, OOM_SCORE_ROUNDS, SERVICES_IO_WEIGHT};
use hearth_model::Bytes;
use hearth_model::cgroup::{Disk, Limits, Need, PAGE, Setting, Weights, no_huge_pages};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Controllers of which the kernel must have each.
const CONTROLLERS: &str = "+cpu +memory +pids";

/// A controller without which there is nothing to limit.
const HUGE_PAGES: &str = "+hugetlb";

/// Makes a service's cgroup with all of its limits. Where one can not be applied, no cgroup stays.
///
/// # Errors
/// A sentence that names the first limit the kernel does not keep, why, and what to do.
pub fn make(folder: &Path, limits: &Limits, disk: Option<Disk>) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| could_not("make the cgroup", folder, &e))?;
    apply(folder, limits, disk).inspect_err(|_| {
        // It may be that of an end that PID 1 is still busy with; the next start tries again.
        let _ = remove(folder);
    })
}

fn apply(folder: &Path, limits: &Limits, disk: Option<Disk>) -> Result<(), String> {
    let names = fs::read_dir(folder).map_err(|e| could_not("list the cgroup", folder, &e))?;
    let names = names.flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    let huge = no_huge_pages(names.iter().map(String::as_str));
    for setting in limits.settings(disk).into_iter().chain(huge) {
        let path = folder.join(&setting.file);
        if setting.need == Need::IfThere && !path.exists() {
            continue;
        }
        set(&path, &setting).map_err(|(why, remedy)| {
            format!(
                "could not apply the limit {setting} ({}): {why}; {remedy}",
                setting.key
            )
        })?;
    }
    Ok(())
}

/// Writes a setting and reads it back; otherwise why not, and what to do.
fn set(path: &Path, setting: &Setting) -> Result<(), (String, String)> {
    let Setting {
        key, controller, ..
    } = setting;
    let change = || format!("change {key} in its manifest");
    write(path, &setting.value).map_err(|e| {
        let remedy = if e.kind() == io::ErrorKind::NotFound {
            format!(
                "the kernel must have it in its {controller} controller of cgroup v2, and \
                 /sys/fs/cgroup/cgroup.subtree_control must name that"
            )
        } else {
            change()
        };
        (reason(&e), remedy)
    })?;
    let kept = read_text(path, KERNEL_FILE_MAX).map_err(|e| (reason(&e), change()))?;
    if setting.is_kept(&kept) {
        return Ok(());
    }
    let why = format!("the kernel keeps \"{}\" instead", kept.trim());
    Err((why, change()))
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    // Never created: a file that is not there is a controller that is not there. An empty value is a
    // line, since writing nothing is no call.
    let value = if value.is_empty() { "\n" } else { value };
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?
        .write_all(value.as_bytes())
}

/// Gives a service the weights of its rank, and reads them back. Nothing, where it has no group: its
/// start failed.
///
/// # Errors
/// A sentence that names the first that the kernel does not keep.
pub fn weigh(folder: &Path, weights: &Weights) -> Result<(), String> {
    for setting in weights.settings() {
        let path = folder.join(&setting.file);
        if path.exists() {
            set(&path, &setting)
                .map_err(|(why, _)| format!("could not apply {setting}, {}: {why}", setting.key))?;
        }
    }
    Ok(())
}

/// Gives each process of a service its place when memory ends (`oom_score_adj`), and reads it back; what
/// they start later inherits it. `proc` is where procfs is.
///
/// # Errors
/// A sentence.
pub fn set_oom_score(folder: &Path, proc: &Path, score: u16) -> Result<(), String> {
    let value = score.to_string();
    for _ in 0..OOM_SCORE_ROUNDS {
        let mut changed = 0;
        // No group, no process.
        let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in list.lines() {
            let path = proc.join(pid).join("oom_score_adj");
            let has = |path: &Path| read_text(path, KERNEL_FILE_MAX).ok();
            match has(&path) {
                Some(found) if found.trim() == value => continue,
                Some(_) => {}
                // It has ended.
                None => continue,
            }
            let done = write(&path, &value);
            match (done, has(&path)) {
                (Ok(()), Some(kept)) if kept.trim() == value => changed += 1,
                (_, None) => {}
                (Err(e), Some(_)) => return Err(could_not("write", &path, &e)),
                (Ok(()), Some(kept)) => {
                    let kept = kept.trim();
                    let path = path.display();
                    return Err(format!(
                        "{path}: the kernel keeps \"{kept}\" instead of {value}"
                    ));
                }
            }
        }
        if changed == 0 {
            break;
        }
    }
    Ok(())
}

/// Guarantees memory to all services together: a service's `memory.min` and `memory.low` count only
/// within its parent's. `min` is never taken away, `low` last.
///
/// # Errors
/// A sentence.
pub fn guarantee(folder: &Path, min: Bytes, low: Bytes) -> Result<(), String> {
    for (file, memory) in [("memory.min", min), ("memory.low", low)] {
        let value = memory.0.div_ceil(PAGE).saturating_mul(PAGE).to_string();
        let path = folder.join(file);
        let kept = write(&path, &value).and_then(|()| read_text(&path, KERNEL_FILE_MAX));
        let why = match kept {
            Ok(kept) if kept.trim() == value => continue,
            Ok(kept) => format!("the kernel keeps \"{}\" instead", kept.trim()),
            Err(e) => reason(&e),
        };
        return Err(format!(
            "could not guarantee {memory} to all services ({file} = {value}): {why}"
        ));
    }
    Ok(())
}

/// Makes the cgroup of all services and hands the controllers down to it.
///
/// # Errors
/// A sentence; limits then fail by name at the first start.
pub fn make_root(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| could_not("make the cgroup", folder, &e))?;
    for parent in folder.parent().into_iter().chain([folder]) {
        let file = parent.join("cgroup.subtree_control");
        // `io` and `cpuset` are PID 1's to hand down, where that is safe and the kernel has them: who asks
        // for what they limit fails by name without.
        if let Err(e) = write(&file, HUGE_PAGES) {
            log::debug!("{}: {HUGE_PAGES}: {}", file.display(), reason(&e));
        }
        write(&file, CONTROLLERS).map_err(|e| could_not("write", &file, &e))?;
    }
    let weight = folder.join("io.bfq.weight");
    if weight.exists() {
        write(&weight, SERVICES_IO_WEIGHT).map_err(|e| could_not("write", &weight, &e))?;
    }
    Ok(())
}

/// Gives one of the groups that share the machine its part of the processor's time.
///
/// # Errors
/// A sentence.
pub fn set_share(folder: &Path, weight: u16) -> Result<(), String> {
    let file = folder.join("cpu.weight");
    write(&file, &weight.to_string()).map_err(|e| could_not("write", &file, &e))
}

/// Keeps the system's part of memory and processes from all services together: at their end a service waits or
/// ends for another one, and never the gateway's own processes, whatever the services' own maxima add up to.
///
/// # Errors
/// A sentence.
pub fn keep_from_services(folder: &Path, memory: Bytes, pids: u32) -> Result<(), String> {
    let memory = memory.0 / PAGE * PAGE;
    for (file, value) in [("memory.max", memory), ("pids.max", pids.into())] {
        let path = folder.join(file);
        write(&path, &value.to_string()).map_err(|e| could_not("write", &path, &e))?;
    }
    Ok(())
}

/// Lets a disk be throttled in the groups below: writing a limit, even none, begins the group's slice
/// of time, without which a 32-bit kernel panics (hearth-init, `throttle.rs`, says how).
///
/// # Errors
/// A sentence.
pub fn begin_slices(folder: &Path, disk: Disk) -> Result<(), String> {
    let path = folder.join("io.max");
    if !path.exists() {
        // Then no group below has one either.
        return Ok(());
    }
    let line = format!("{}:{} rbps=max", disk.major, disk.minor);
    write(&path, &line).map_err(|e| could_not("write", &path, &e))
}

/// Removes a service's cgroup, if nothing is in it but the thread of its link.
///
/// # Errors
/// As rmdir(2), but for "it is not there", which is as wanted.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
            discharge(folder);
            fs::remove_dir(folder)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What a cgroup counts; `None` where it does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `memory.current`, bytes.
    pub memory: Option<u64>,
    /// `cpu.stat` `usage_usec`.
    pub cpu_usec: Option<u64>,
    /// `memory.events` `oom_kill`.
    pub oom_kills: Option<u64>,
}

/// Reads a service's counters.
#[must_use]
pub fn counters(folder: &Path) -> Counters {
    let read = |file: &str| read_text(&folder.join(file), KERNEL_FILE_MAX).ok();
    Counters {
        memory: read("memory.current").and_then(|text| text.trim().parse().ok()),
        cpu_usec: read("cpu.stat").and_then(|text| keyed(&text, "usage_usec")),
        oom_kills: read("memory.events").and_then(|text| keyed(&text, "oom_kill")),
    }
}

/// The value of a key in a flat keyed file.
#[must_use]
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::MilliCpu;

    fn limits() -> Limits {
        Limits {
            memory_reserve: Bytes(5000),
            cpu_max: Some(MilliCpu(200)),
            ..Limits::only(Bytes::mib(8), 4)
        }
    }

    /// A folder with the files of a cgroup.
    fn cgroup() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for setting in limits().settings(None) {
            if setting.need == Need::Always {
                fs::write(folder.path().join(setting.file), "max\n").unwrap();
            }
        }
        fs::write(folder.path().join("hugetlb.4MB.max"), "max\n").unwrap();
        folder
    }

    #[test]
    fn each_limit_is_in_its_file() {
        let folder = cgroup();
        make(folder.path(), &limits(), None).unwrap();
        for (file, value) in [
            ("memory.max", "8388608"),
            ("memory.min", "4096"),
            ("memory.low", "4096"),
            ("memory.oom.group", "1"),
            ("cpu.weight", "1"),
            ("cpu.max", "20000 100000"),
            ("pids.max", "4"),
            ("hugetlb.4MB.max", "0"),
        ] {
            let found = fs::read_to_string(folder.path().join(file)).unwrap();
            assert_eq!(found, value, "{file}");
        }
        assert!(!folder.path().join("memory.swap.max").exists());
        assert!(!folder.path().join("cpuset.cpus").exists());
    }

    #[test]
    fn a_limit_that_is_not_there_or_not_kept_is_named() {
        // given a kernel without the pids controller
        let folder = cgroup();
        fs::remove_file(folder.path().join("pids.max")).unwrap();
        let error = make(folder.path(), &limits(), None).unwrap_err();
        assert!(
            error.starts_with(
                "could not apply the limit pids.max = 4 (resources.pids.max): no such file"
            ) && error.contains("its pids controller"),
            "{error}"
        );
        // given a kernel that keeps another value
        let folder = cgroup();
        fs::remove_file(folder.path().join("cpu.max")).unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("cpu.max")).unwrap();
        let error = make(folder.path(), &limits(), None).unwrap_err();
        assert!(
            error.contains(
                "cpu.max = 20000 100000 (resources.cpu.max): the kernel keeps \"\" instead; change \
                 resources.cpu.max"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_rank_changes_weights_and_nothing_else() {
        // given a group with its limits, and a process that is in it
        let folder = cgroup();
        make(folder.path(), &limits(), None).unwrap();
        fs::write(folder.path().join("cgroup.procs"), "7\n9\n").unwrap();
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("7")).unwrap();
        fs::write(proc.path().join("7/oom_score_adj"), "0\n").unwrap();
        // when it gets a rank
        let weights = Weights {
            cpu: 300,
            io: 7,
            memory_low: Bytes(8192),
        };
        weigh(folder.path(), &weights).unwrap();
        set_oom_score(folder.path(), proc.path(), 500).unwrap();
        // then just that has changed
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(
            (read("cpu.weight"), read("memory.low")),
            ("300".into(), "8192".into())
        );
        assert_eq!(
            (read("memory.min"), read("cpu.max")),
            ("4096".into(), "20000 100000".into())
        );
        let score = fs::read_to_string(proc.path().join("7/oom_score_adj")).unwrap();
        assert_eq!(score, "500");
        // and a group that is gone, or lacks a controller, is none to weigh
        fs::remove_file(folder.path().join("cpu.weight")).unwrap();
        assert_eq!(weigh(folder.path(), &weights), Ok(()));
        assert_eq!(weigh(&folder.path().join("gone"), &weights), Ok(()));
        // and a value that is not kept is named
        std::os::unix::fs::symlink("/dev/null", folder.path().join("cpu.weight")).unwrap();
        assert_eq!(
            weigh(folder.path(), &weights).unwrap_err(),
            "could not apply cpu.weight = 300, its rank: the kernel keeps \"\" instead"
        );
    }

    #[test]
    fn counters_are_read_as_the_kernel_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(counters(folder.path()), Counters::default());
        for (file, text) in [
            ("memory.current", "4096\n"),
            ("cpu.stat", "usage_usec 77\nuser_usec 70\n"),
            (
                "memory.events",
                "low 0\noom 3\noom_kill 2\noom_group_kill 1\n",
            ),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let expected = Counters {
            memory: Some(4096),
            cpu_usec: Some(77),
            oom_kills: Some(2),
        };
        assert_eq!(counters(folder.path()), expected);
    }
}
