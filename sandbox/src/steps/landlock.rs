//! Landlock rules of a plan: what its mounts grant, said once more in another part of the kernel. Where
//! a mount or the filter had a hole, this still holds; and it tells TCP ports and the reach of signals and
//! abstract sockets, which neither of them can.

use crate::sys::landlock::{Handled, Ruleset, level};
use crate::sys::{Errno, mount};
use hearth_model::plan::{Plan, Ports};
use std::ffi::{CStr, CString, NulError};
use std::fmt;
use std::os::fd::AsFd;

// linux/landlock.h, LANDLOCK_ACCESS_FS_*.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
// LANDLOCK_ACCESS_NET_*.
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;
// LANDLOCK_SCOPE_*.
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
const SCOPE_SIGNAL: u64 = 1 << 1;

/// Rights that mean something for a file; the others are folders' alone.
const OF_A_FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// The image, and everything that is mounted in it: look and run. What runs is limited further by `noexec`.
const LOOK: u64 = EXECUTE | READ_FILE | READ_DIR;

/// A place that is granted for writing. No device node is ever made, and the ioctls of one are no part of it.
const WRITE: u64 = WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
    | TRUNCATE;

/// Device nodes of /dev: write and control them, make nothing.
const USE_DEVICES: u64 = WRITE_FILE | TRUNCATE | IOCTL_DEV;

/// Highest level that has something for us; 7 only adds what is logged.
pub const LEVEL_MAX: u32 = 6;

/// What each level adds: from which on, rights of files, of ports, scopes, and the words for what a
/// kernel below it does not enforce.
const LEVELS: [(u32, Handled, &str); 6] = [
    (
        1,
        Handled {
            files: EXECUTE
                | WRITE_FILE
                | READ_FILE
                | READ_DIR
                | REMOVE_DIR
                | REMOVE_FILE
                | MAKE_CHAR
                | MAKE_DIR
                | MAKE_REG
                | MAKE_SOCK
                | MAKE_FIFO
                | MAKE_BLOCK
                | MAKE_SYM,
            ports: 0,
            scoped: 0,
        },
        "files outside of granted places",
    ),
    (
        2,
        Handled {
            files: REFER,
            ports: 0,
            scoped: 0,
        },
        "moving files between folders (refused everywhere instead)",
    ),
    (
        3,
        Handled {
            files: TRUNCATE,
            ports: 0,
            scoped: 0,
        },
        "cutting files off",
    ),
    (
        4,
        Handled {
            files: 0,
            ports: BIND_TCP | CONNECT_TCP,
            scoped: 0,
        },
        "TCP ports",
    ),
    (
        5,
        Handled {
            files: IOCTL_DEV,
            ports: 0,
            scoped: 0,
        },
        "control of device nodes",
    ),
    (
        6,
        Handled {
            files: 0,
            ports: 0,
            scoped: SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,
        },
        "reach of signals and abstract sockets",
    ),
];

/// All that a level can enforce.
fn handled(level: u32) -> Handled {
    let known = LEVELS.iter().filter(|(from, _, _)| *from <= level);
    known.fold(Handled::default(), |all, (_, more, _)| Handled {
        files: all.files | more.files,
        ports: all.ports | more.ports,
        scoped: all.scoped | more.scoped,
    })
}

/// What a kernel of this level does not enforce, in words.
#[must_use]
pub fn missing(level: u32) -> Vec<&'static str> {
    let above = LEVELS.iter().filter(|(from, _, _)| *from > level);
    above.map(|(_, _, words)| *words).collect()
}

/// The level this kernel has; 0 where it has none, whatever the reason.
#[must_use]
pub fn kernel_level() -> u32 {
    level().unwrap_or(0)
}

/// Rules of one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Places inside and the rights on each and all below it.
    paths: Vec<(CString, u64)>,
    /// Ports that may be bound.
    bind: Ports,
    /// Ports that may be connected to.
    connect: Ports,
}

impl Rules {
    /// What `plan` grants; `private` are the temporary file systems that the launcher mounts.
    ///
    /// # Errors
    /// A path with a NUL byte.
    pub fn of(plan: &Plan, private: &[&CStr]) -> Result<Rules, NulError> {
        use hearth_model::plan::BindAccess;
        // /proc: its own files of each process (oom_score_adj, comm); the mounts there are read-only.
        let fixed = [(c"/", LOOK), (c"/dev", USE_DEVICES), (c"/proc", WRITE_FILE)];
        let mut paths: Vec<(CString, u64)> = fixed
            .into_iter()
            .chain(private.iter().map(|&path| (path, WRITE)))
            .map(|(path, rights)| (path.into(), rights))
            .collect();
        for bind in &plan.binds {
            match bind.access {
                BindAccess::ReadOnly => {}
                BindAccess::ReadWrite => paths.push((CString::new(bind.target.as_str())?, WRITE)),
            }
        }
        Ok(Rules {
            paths,
            bind: plan.tcp.bind.clone(),
            connect: plan.tcp.connect.clone(),
        })
    }

    /// Applies them to this process, as far as the kernel's level goes. A kernel without Landlock has
    /// nothing to apply: the mounts and the filter hold there alone.
    ///
    /// # Errors
    /// As landlock(7); nothing is applied then.
    pub fn apply(&self) -> Result<(), Errno> {
        let mut handled = match level() {
            Ok(level) => handled(level),
            Err(Errno(libc::ENOSYS | libc::EOPNOTSUPP)) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        for (ports, right) in self.ports() {
            if *ports == Ports::Any {
                handled.ports &= !right;
            }
        }
        let set = Ruleset::new(handled)?;
        for (path, rights) in &self.paths {
            // Inside the new root, after the pivot: links of the image lead nowhere else.
            let place = mount::find_outside(path)?;
            let of_its_kind = match mount::kind(place.as_fd())? {
                mount::Kind::Folder => u64::MAX,
                mount::Kind::File | mount::Kind::Device => OF_A_FILE,
            };
            set.allow_path(place.as_fd(), rights & handled.files & of_its_kind)?;
        }
        for (ports, right) in self.ports() {
            match ports {
                Ports::Only(list) if handled.ports & right != 0 => {
                    for &port in list {
                        set.allow_port(port, right)?;
                    }
                }
                Ports::Any | Ports::Only(_) => {}
            }
        }
        set.restrict_self()
    }

    fn ports(&self) -> [(&Ports, u64); 2] {
        [(&self.bind, BIND_TCP), (&self.connect, CONNECT_TCP)]
    }
}

/// The level it is applied at here, and the places that can be written.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kernel_level() {
            0 => f.write_str("none in this kernel; ")?,
            level => write!(f, "level {} of {LEVEL_MAX}; ", level.min(LEVEL_MAX))?,
        }
        f.write_str("look and run everywhere, write")?;
        for (path, rights) in &self.paths {
            if rights & WRITE == WRITE {
                write!(f, " {}", path.to_string_lossy())?;
            }
        }
        for (ports, what) in [(&self.bind, "bind"), (&self.connect, "connect")] {
            match ports {
                Ports::Any => {}
                Ports::Only(list) => {
                    write!(f, "; TCP {what} only")?;
                    list.iter().try_for_each(|port| write!(f, " {port}"))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::plan;
    use hearth_model::plan::{Bind, BindAccess};

    fn rights(rules: &Rules, path: &CStr) -> u64 {
        let of_it = rules.paths.iter().filter(|(known, _)| **known == *path);
        of_it.fold(0, |all, (_, rights)| all | rights)
    }

    #[test]
    fn only_granted_places_can_be_written_and_no_device_can_be_made() {
        // given a plan with a folder for reading and one for writing
        let mut plan = plan("/image");
        for (target, access) in [
            ("/data", BindAccess::ReadWrite),
            ("/run/hearth/api", BindAccess::ReadOnly),
        ] {
            plan.binds.push(Bind {
                source: "/x".into(),
                target: target.into(),
                access,
            });
        }
        // when its rules are made
        let rules = Rules::of(&plan, &[c"/tmp"]).unwrap();
        // then writing is granted in two places
        for (path, expected) in [(c"/data", WRITE), (c"/tmp", WRITE), (c"/", LOOK)] {
            assert_eq!(rights(&rules, path), expected, "{path:?}");
        }
        assert_eq!(rights(&rules, c"/run/hearth/api"), 0);
        // and making a device node nowhere, though it is handled
        let all = rules.paths.iter().fold(0, |all, (_, rights)| all | rights);
        assert_eq!(all & (MAKE_CHAR | MAKE_BLOCK), 0);
        assert_eq!(
            handled(1).files & (MAKE_CHAR | MAKE_BLOCK),
            MAKE_CHAR | MAKE_BLOCK
        );
    }

    #[test]
    fn each_level_enforces_what_it_knows_and_names_the_rest() {
        // linux/landlock.h: level 1 has 13 rights of files; 2, 3 and 5 add one each; 4 ports; 6 scopes.
        let files: Vec<u32> = (0..=7).map(|n| handled(n).files.count_ones()).collect();
        assert_eq!(files, [0, 13, 14, 15, 15, 16, 16, 16]);
        assert_eq!((handled(3).ports, handled(4).ports), (0, 3));
        assert_eq!((handled(5).scoped, handled(6).scoped), (0, 3));
        assert_eq!(missing(2).len(), 4);
        assert!(missing(LEVEL_MAX).is_empty());
    }
}
