//! A control group with limits (cgroup v2), each written and read back. On the gateway the manager does
//! this; here it is for `run`. What is written is decided in `hearth_model::cgroup` for both.

use hearth_model::cgroup::{self, Need, Setting};
use hearth_model::{Bytes, MilliCpu};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What a command may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `memory.max`, without swap.
    pub memory: Bytes,
    /// `cpu.max`; none is all processors.
    pub cpu: Option<MilliCpu>,
    /// `pids.max`.
    pub pids: u32,
}

/// Why there is no such group.
#[derive(Debug)]
pub enum CgroupError {
    /// No cgroup v2 is mounted.
    NotMounted,
    /// The kernel or whoever mounted it keeps a controller back.
    NoController {
        /// Which.
        controller: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file could not be written or read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A limit does not hold what was written.
    ReadBack {
        /// What was written.
        setting: Setting,
        /// What came back.
        found: String,
    },
}

impl fmt::Display for CgroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CgroupError::NotMounted => f.write_str("no cgroup v2 file system is mounted"),
            CgroupError::NoController { controller, folder } => write!(
                f,
                "{} offers no {controller} controller (it may be bound to cgroup v1)",
                folder.display()
            ),
            CgroupError::File { path, error } => write!(f, "{}: {error}", path.display()),
            CgroupError::ReadBack { setting, found } => {
                write!(f, "wrote {setting}, but the kernel holds {found:?}")
            }
        }
    }
}

impl std::error::Error for CgroupError {}

impl Limits {
    /// The files that make these limits.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let limits = cgroup::Limits {
            cpu_max: self.cpu,
            ..cgroup::Limits::only(self.memory, self.pids)
        };
        let mut list = limits.settings(None);
        // The group is new and nothing is guaranteed to a command: only what was asked for is needed.
        list.retain(|setting| match setting.key {
            "resources.memory.max" | "resources.pids.max" => true,
            "resources.cpu.max" => self.cpu.is_some(),
            _ => false,
        });
        list
    }
}

/// The folder where cgroup v2 is mounted.
///
/// # Errors
/// [`CgroupError::NotMounted`].
pub fn mount_point() -> Result<PathBuf, CgroupError> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter_map(|fields| match fields.as_slice() {
            [_, folder, "cgroup2", ..] => Some(PathBuf::from(folder)),
            _ => None,
        })
        .next()
        .ok_or(CgroupError::NotMounted)
}

/// A control group of its own, removed when dropped.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

impl Drop for Group {
    fn drop(&mut self) {
        // Busy only while a process is in it; then it is that process's group and not ours to remove.
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Group {
    /// Makes the group `name` below `parent` and gives it `limits`.
    ///
    /// # Errors
    /// Every [`CgroupError`] but `NotMounted`. Nothing stays behind.
    pub fn make(parent: &Path, name: &str, limits: &Limits) -> Result<Group, CgroupError> {
        let settings = limits.settings();
        enable(parent, &settings)?;
        let folder = parent.join(name);
        fs::create_dir(&folder).map_err(file(&folder))?;
        let group = Group { folder };
        let names = fs::read_dir(&group.folder).map_err(file(&group.folder))?;
        let names = names.flatten().map(|entry| entry.file_name());
        let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        let huge = cgroup::no_huge_pages(names.iter().map(String::as_str));
        for setting in settings.into_iter().chain(huge) {
            if setting.need == Need::Always || names.contains(&setting.file) {
                group.set(setting)?;
            }
        }
        Ok(group)
    }

    /// The group as a descriptor.
    ///
    /// # Errors
    /// [`CgroupError::File`].
    pub fn open(&self) -> Result<File, CgroupError> {
        File::open(&self.folder).map_err(file(&self.folder))
    }

    fn set(&self, setting: Setting) -> Result<(), CgroupError> {
        let path = self.folder.join(&setting.file);
        fs::write(&path, &setting.value).map_err(file(&path))?;
        let found = fs::read_to_string(&path).map_err(file(&path))?;
        if setting.is_kept(&found) {
            return Ok(());
        }
        let found = found.trim_end().to_owned();
        Err(CgroupError::ReadBack { setting, found })
    }
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_path_buf();
    move |error| CgroupError::File { path, error }
}

/// Lets groups below `parent` use the controllers.
fn enable(parent: &Path, settings: &[Setting]) -> Result<(), CgroupError> {
    let path = parent.join("cgroup.controllers");
    let offered = fs::read_to_string(&path).map_err(file(&path))?;
    for setting in settings
        .iter()
        .filter(|setting| setting.need == Need::Always)
    {
        let controller = setting.controller;
        if !offered.split_whitespace().any(|name| name == controller) {
            return Err(CgroupError::NoController {
                controller,
                folder: parent.to_path_buf(),
            });
        }
        let path = parent.join("cgroup.subtree_control");
        fs::write(&path, format!("+{controller}")).map_err(file(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory: Bytes(10_000_000),
        cpu: Some(MilliCpu(250)),
        pids: 16,
    };

    fn fake(controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), controllers).unwrap();
        root
    }

    #[test]
    fn limits_become_the_kernels_words() {
        let text: Vec<String> = LIMITS.settings().iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "memory.max = 9998336", // whole pages
                "memory.high = max",
                "memory.swap.max = 0",
                "memory.oom.group = 1",
                "cpu.max = 25000 100000",
                "pids.max = 16",
            ]
        );
    }

    #[test]
    fn a_missing_controller_is_named() {
        // given a cgroup v2 whose pids controller is bound to v1
        let root = fake("cpuset cpu memory");
        // when a group is made
        let error = Group::make(root.path(), "x", &LIMITS).unwrap_err();
        // then it says so and nothing stays behind
        assert!(error.to_string().contains("no pids controller"), "{error}");
        assert!(!root.path().join("x").exists());
    }

    #[test]
    fn a_limit_that_does_not_hold_is_an_error() {
        // given a file that swallows what is written
        let root = fake("");
        let group = Group {
            folder: root.path().to_path_buf(),
        };
        std::os::unix::fs::symlink("/dev/null", root.path().join("pids.max")).unwrap();
        // when a limit is set
        let mut settings = LIMITS.settings().into_iter();
        let setting = settings.find(|setting| setting.file == "pids.max").unwrap();
        let error = group.set(setting).unwrap_err();
        // then the read-back finds it
        assert!(matches!(error, CgroupError::ReadBack { .. }), "{error}");
    }
}
