//! Where services' data is, and a hard quota for each: a project of its file system (ext4's project
//! quotas), whose number is the first of the service's user ids.
//!
//! A service can not leave its project: only the first user namespace may change a file's (the kernel
//! says EINVAL in every other), and links and renames between projects are EXDEV. Data in memory
//! (tmpfs: no data partition, or one that can not be written) needs no quota: its pages are charged to
//! the service's memory.

use super::paths::{Paths, could_not, read_text, reason};
use crate::limits::KERNEL_FILE_MAX;
use crate::sys::storage::{self, QUOTA_BLOCK};
use hearth_model::cgroup::Disk;
use hearth_model::manifest::Manifest;
use hearth_model::{Bytes, ServiceId};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a disk must have to be shared out by weight.
const SCHEDULER: &str = "bfq";

/// Where services' data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory.
    Memory,
    /// On a disk.
    Disk(Disk, Sharing),
}

/// Whether a disk gives services their shares of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// By weight.
    Weights,
    /// First come, first served: no share can be guaranteed.
    None,
}

impl Place {
    /// The disk, where there is one.
    #[must_use]
    pub fn disk(self) -> Option<Disk> {
        match self {
            Place::Memory => None,
            Place::Disk(disk, _) => Some(disk),
        }
    }
}

/// Looks where `data` is and, on a disk, has it shared out by weight; also its size.
///
/// # Errors
/// A sentence, where the kernel does not say.
pub fn look(paths: &Paths, data: &Path) -> Result<(Place, Bytes), String> {
    fs::create_dir_all(data).map_err(|e| could_not("make", data, &e))?;
    let folder = File::open(data).map_err(|e| could_not("open", data, &e))?;
    let facts = storage::file_system(&folder).map_err(|e| could_not("look at", data, &e))?;
    let size = Bytes(facts.size);
    if facts.in_memory {
        return Ok((Place::Memory, size));
    }
    let device = folder
        .metadata()
        .map_err(|e| could_not("look at", data, &e))?
        .dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let block = paths.at("/sys/dev/block").join(format!("{major}:{minor}"));
    let whole = whole_disk(&block).map_err(|e| {
        let what = could_not("find the disk of the data in", &block, &e);
        format!("{what}; services' data must be on a disk, or in memory")
    })?;
    let numbers = whole.join("dev");
    let text = read_text(&numbers, KERNEL_FILE_MAX).map_err(|e| could_not("read", &numbers, &e))?;
    let disk = parse_disk(&text).ok_or_else(|| format!("{} names no disk", numbers.display()))?;
    let scheduler = whole.join("queue/scheduler");
    // Where it can not be had, the read-back says so.
    let _ = fs::write(&scheduler, SCHEDULER);
    let chosen = format!("[{SCHEDULER}]");
    let sharing = match read_text(&scheduler, KERNEL_FILE_MAX) {
        Ok(text) if text.split_whitespace().any(|word| word == chosen) => Sharing::Weights,
        Ok(_) | Err(_) => Sharing::None,
    };
    Ok((Place::Disk(disk, sharing), size))
}

/// The folder of the disk in sysfs, from that of the disk or of one of its partitions.
fn whole_disk(block: &Path) -> io::Result<PathBuf> {
    let device = fs::canonicalize(block)?;
    if !device.join("partition").exists() {
        return Ok(device);
    }
    let disk = device.parent().map(Path::to_owned);
    disk.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// `254:0`
fn parse_disk(text: &str) -> Option<Disk> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(Disk {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

/// The project of a service's data.
fn project_of(id: ServiceId) -> u32 {
    id.uid_base()
}

/// Gives a service's data folder its quota, and reads it back.
///
/// # Errors
/// A sentence that names the resource, the value, the reason and what to do.
pub fn limit(folder: &Path, id: ServiceId, manifest: &Manifest) -> Result<(), String> {
    let (project, max) = (project_of(id), manifest.storage_max());
    let (blocks, files) = (max.0 / QUOTA_BLOCK, manifest.files_max());
    let apply = || -> io::Result<bool> {
        let open = File::open(folder)?;
        // First, so that a file system without quotas is left as it is.
        storage::set_quota(&open, project, blocks, files)?;
        put(folder, project)?;
        let kept = storage::quota(&open, project)?;
        Ok((kept.blocks_max, kept.files_max) == (blocks, files)
            && storage::project(&open)? == project)
    };
    let told = format!(
        "could not apply the limit resources.storage.max = {max} to {}",
        folder.display()
    );
    match apply() {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{told}: the kernel keeps another one; report this")),
        Err(e) => {
            let why = reason(&e);
            let remedy = match e.raw_os_error() {
                Some(libc::ESRCH | libc::EOPNOTSUPP | libc::ENOTTY) => {
                    "the data partition was made by an older image, without project quotas: on another \
                     machine, `tune2fs -O project,quota -Q prjquota` on it keeps its data; or write a \
                     new image"
                }
                Some(libc::ENOSYS) => "the kernel lacks quotas (CONFIG_QFMT_V2): use another one",
                Some(libc::EDQUOT | libc::ENOSPC) => {
                    "more is in it than fits: raise resources.storage.max in its manifest"
                }
                Some(_) | None => "see `dmesg`; the data partition may be damaged",
            };
            Err(format!("{told}: {why}; {remedy}"))
        }
    }
}

/// Puts a folder and all in it into a project. Once that is done everything made there is in it by
/// itself; only what an older firmware made, or what a person put there, has to be walked through.
/// The folder itself comes last: if this is cut off, it is done again.
fn put(folder: &Path, project: u32) -> io::Result<()> {
    let top = File::open(folder)?;
    if storage::project(&top)? == project {
        return Ok(());
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // A link, pipe or socket can not be opened for this, and holds nothing.
            if kind.is_dir() || kind.is_file() {
                let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
                let file = OpenOptions::new()
                    .read(true)
                    .custom_flags(flags)
                    .open(entry.path())?;
                storage::set_project(&file, project)?;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    storage::set_project(&top, project)
}

/// What a service's data takes, bytes; `None` where there is none, or no quota counts it.
#[must_use]
pub fn used(data: &Path, id: ServiceId) -> Option<u64> {
    let folder = File::open(data).ok()?;
    storage::quota(&folder, project_of(id))
        .ok()
        .map(|quota| quota.used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_leads_to_its_disk() {
        // given sysfs with a disk and a partition of it
        let root = tempfile::tempdir().unwrap();
        let disk = root.path().join("devices/vda");
        let partition = disk.join("vda3");
        fs::create_dir_all(&partition).unwrap();
        fs::write(partition.join("partition"), "3\n").unwrap();
        for place in [&disk, &partition] {
            // then both are on that disk
            assert_eq!(whole_disk(place).unwrap(), fs::canonicalize(&disk).unwrap());
        }
        assert!(whole_disk(&root.path().join("none")).is_err());
        let numbers = Disk {
            major: 254,
            minor: 0,
        };
        assert_eq!(parse_disk("254:0\n"), Some(numbers));
        assert_eq!(parse_disk("254"), None);
    }

    #[test]
    fn a_file_system_without_quotas_is_a_refusal_with_its_remedy() {
        let manifest = "[service]\nname = \"web\"\nversion = \"1\"\nexec = [\"/a\"]\n\
            [resources.memory]\nmax = \"8 MiB\"\n[resources.pids]\nmax = 4\n";
        let manifest = Manifest::parse("m", manifest).unwrap();
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let refused = limit(folder.path(), ServiceId::new(1).unwrap(), &manifest).unwrap_err();
        let told = "could not apply the limit resources.storage.max = 64 MiB to ";
        assert!(refused.starts_with(told), "{refused}");
    }
}
