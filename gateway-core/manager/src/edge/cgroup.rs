//! Limits and counters in cgroup v2 (kernel document cgroup-v2). Each limit is written and read back:
//! one that the kernel does not keep fails the start.

use super::paths::{could_not, read_text, reason};
use crate::limits::{CPU_PERIOD_USEC, CPU_WEIGHT_MAX, KERNEL_FILE_MAX, PAGE};
use hearth_model::Bytes;
use hearth_model::manifest::Manifest;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a limit needs of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The file must be there.
    Always,
    /// Without the file there is nothing to limit (swap accounting).
    IfThere,
}

/// One file of a cgroup and what is written to it.
type Limit = (&'static str, String, Need);

/// Every limit of a manifest, in the order in which they are written.
fn limits(manifest: &Manifest) -> Vec<Limit> {
    let pages = |bytes: Bytes| (bytes.0 / PAGE * PAGE).to_string();
    // One unit of weight for each thousandth of a core: where everyone wants everything, each gets
    // in proportion to what it reserved, and who reserved nothing the least there is.
    let weight = manifest.cpu_reserve().0.clamp(1, CPU_WEIGHT_MAX);
    let quota = manifest.cpu_max().map_or_else(
        || "max".to_owned(),
        |max| (u64::from(max.0) * CPU_PERIOD_USEC / 1000).to_string(),
    );
    vec![
        ("memory.max", pages(manifest.memory_max()), Need::Always),
        ("memory.min", pages(manifest.memory_reserve()), Need::Always),
        ("memory.swap.max", "0".to_owned(), Need::IfThere),
        ("memory.oom.group", "1".to_owned(), Need::Always),
        ("cpu.weight", weight.to_string(), Need::Always),
        (
            "cpu.max",
            format!("{quota} {CPU_PERIOD_USEC}"),
            Need::Always,
        ),
        ("pids.max", manifest.pids_max().to_string(), Need::Always),
    ]
}

/// Makes a service's cgroup with all of its limits.
///
/// # Errors
/// A sentence that names the first limit the kernel does not keep, and why.
pub fn make(folder: &Path, manifest: &Manifest) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| could_not("make the cgroup", folder, &e))?;
    for (file, value, need) in limits(manifest) {
        let path = folder.join(file);
        if need == Need::IfThere && !path.exists() {
            continue;
        }
        set(&path, &value).map_err(|why| {
            format!(
                "could not apply the limit {file} = {value}: {why}; the kernel must have this \
                 cgroup v2 controller and /sys/fs/cgroup/cgroup.subtree_control must name it"
            )
        })?;
    }
    Ok(())
}

/// Guarantees memory to all services together: a service's `memory.min` counts only within its
/// parent's.
///
/// # Errors
/// A sentence.
pub fn guarantee(folder: &Path, memory: Bytes) -> Result<(), String> {
    let value = memory.0.div_ceil(PAGE).saturating_mul(PAGE).to_string();
    set(&folder.join("memory.min"), &value).map_err(|why| {
        format!("could not guarantee {memory} to all services (memory.min = {value}): {why}")
    })
}

/// Makes the cgroup of all services and hands the controllers down to it.
///
/// # Errors
/// A sentence; limits then fail by name at the first start.
pub fn make_root(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| could_not("make the cgroup", folder, &e))?;
    for parent in folder.parent().into_iter().chain([folder]) {
        let file = parent.join("cgroup.subtree_control");
        write(&file, "+cpu +memory +pids").map_err(|e| could_not("write", &file, &e))?;
    }
    Ok(())
}

/// Removes a service's cgroup, if nothing is in it.
///
/// # Errors
/// As rmdir(2), but for "it is not there", which is as wanted.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn set(path: &Path, value: &str) -> Result<(), String> {
    write(path, value).map_err(|e| reason(&e))?;
    let kept = read_text(path, KERNEL_FILE_MAX).map_err(|e| reason(&e))?;
    match kept.trim() {
        kept if kept == value => Ok(()),
        kept => Err(format!("the kernel keeps \"{kept}\" instead")),
    }
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    // Never created: a file that is not there is a controller that is not there.
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?
        .write_all(value.as_bytes())
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
fn keyed(text: &str, key: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[service]\nname = \"web\"\nversion = \"1\"\nexec = [\"/a\"]\n\
        [resources.memory]\nreserve = 5000\nmax = \"8 MiB\"\n[resources.cpu]\nreserve = \"5 %\"\n\
        max = \"20 %\"\n[resources.pids]\nmax = 4\n";

    /// A folder with the files of a cgroup.
    fn cgroup() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, _, need) in limits(&Manifest::parse("m", MANIFEST).unwrap()) {
            if need == Need::Always {
                fs::write(folder.path().join(file), "max\n").unwrap();
            }
        }
        folder
    }

    #[test]
    fn each_limit_is_what_the_manifest_says() {
        let folder = cgroup();
        make(folder.path(), &Manifest::parse("m", MANIFEST).unwrap()).unwrap();
        for (file, value) in [
            ("memory.max", "8388608"),
            ("memory.min", "4096"),
            ("memory.oom.group", "1"),
            ("cpu.weight", "50"),
            ("cpu.max", "20000 100000"),
            ("pids.max", "4"),
        ] {
            assert_eq!(
                fs::read_to_string(folder.path().join(file)).unwrap(),
                value,
                "{file}"
            );
        }
        assert!(!folder.path().join("memory.swap.max").exists());
    }

    #[test]
    fn a_limit_that_is_not_there_or_not_kept_is_named() {
        let manifest = Manifest::parse("m", MANIFEST).unwrap();
        // given a kernel without the pids controller
        let folder = cgroup();
        fs::remove_file(folder.path().join("pids.max")).unwrap();
        let error = make(folder.path(), &manifest).unwrap_err();
        assert!(
            error.starts_with("could not apply the limit pids.max = 4: no such file"),
            "{error}"
        );
        // given a kernel that keeps another value
        let folder = cgroup();
        fs::remove_file(folder.path().join("cpu.max")).unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("cpu.max")).unwrap();
        let error = make(folder.path(), &manifest).unwrap_err();
        assert!(
            error.contains("cpu.max = 20000 100000: the kernel keeps \"\" instead"),
            "{error}"
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
