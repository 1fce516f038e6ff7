//! The named steps of a start. PID 1's child and the launcher report the one that failed as
//! `(step, index, errno)` through a close-on-exec pipe; the manager and the console print it in
//! words.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $words:literal;)+) => {
        /// One step of building a sandbox, in the order in which they run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Step { $($(#[$doc])* $name = $number,)+ }

        impl Step {
            /// Every step, in order.
            pub const ALL: &[Step] = &[$(Step::$name),+];

            /// The step with this number, as it came through a pipe.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Step> {
                match number { $($number => Some(Step::$name),)+ _ => None }
            }

            /// What the step does, as an infinitive: it stands after "could not".
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Step::$name => $words,)+ }
            }
        }
    };
}

steps! {
    /// PID 1: clone3(2) with the namespaces, into the cgroup.
    Clone = 1, "create the process in its namespaces and cgroup";
    /// PID 1: setns(2) into the service's network namespace.
    EnterNetwork = 2, "enter the service's network namespace";
    /// PID 1: write uid_map and gid_map (user_namespaces(7)).
    MapIds = 3, "map the service's user and group ids";
    /// PID 1's child: setresuid(2) and setresgid(2) to the namespace's root.
    BecomeRoot = 4, "become root of its user namespace";
    /// PID 1's child: place the descriptors the launcher expects.
    PassDescriptors = 5, "pass the plan and the output to the launcher";
    /// PID 1's child: execve(2) of the launcher.
    ExecLauncher = 6, "execute the launcher hearth-sandbox";
    /// Launcher: read and decode the plan.
    ReadPlan = 10, "read the plan";
    /// Launcher: close every descriptor that is not its own.
    CloseDescriptors = 11, "close inherited descriptors";
    /// Launcher: setsid(2).
    NewSession = 12, "start a session of its own";
    /// Launcher: sethostname(2).
    HostName = 13, "set the host name";
    /// Launcher: bring the loopback interface up where the network namespace is its own.
    Loopback = 14, "bring the loopback interface up";
    /// Launcher: make mount propagation private.
    PrivateMounts = 15, "make the mount tree private";
    /// Launcher: bind the read-only root image.
    RootImage = 16, "mount the root image";
    /// Launcher: mount a fresh /proc.
    MountProc = 17, "mount /proc";
    /// Launcher: build a private /dev.
    MountDev = 18, "build /dev";
    /// Launcher: mount a private tmpfs (/tmp, /run, /dev/shm).
    MountTmp = 19, "mount a private temporary file system";
    /// Launcher: bind a granted folder or file.
    Bind = 20, "bind a granted folder";
    /// Launcher: hide a path.
    MaskPath = 21, "hide a path";
    /// Launcher: make a path read-only.
    ReadOnlyPath = 22, "make a path read-only";
    /// Launcher: pivot_root(2) and detach the old root.
    PivotRoot = 23, "change to the new root";
    /// Launcher: setrlimit(2).
    ResourceLimit = 24, "set a resource limit";
    /// Launcher: a session keyring of its own (keyctl(2)).
    Keyring = 25, "get a keyring of its own";
    /// Launcher: setgroups(2), setresgid(2), setresuid(2).
    DropUser = 26, "change to the service's user";
    /// Launcher: drop bounding, ambient, effective, permitted and inheritable capabilities.
    DropCapabilities = 27, "drop capabilities";
    /// Launcher: PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges = 28, "set no_new_privs";
    /// Launcher: Landlock rule set.
    Landlock = 29, "apply the Landlock rules";
    /// Launcher: seccomp filter.
    Seccomp = 30, "install the system-call filter";
    /// Launcher: chdir(2) to the service's working folder.
    WorkingFolder = 31, "enter the working folder";
    /// Launcher: execve(2) of the service's program.
    ExecService = 32, "execute the service's program";
    /// Launcher: `PR_SET_PDEATHSIG`: nobody stays who has no one to wait for it.
    EndWithParent = 33, "tie its life to whoever started it";
    /// Launcher: fork(2), where the program is not to be the first process.
    Reaper = 34, "leave a first process behind that waits";
    /// Probe's launcher: setns(2) into the sandbox of a service that runs.
    EnterService = 35, "enter the service's sandbox";
    /// A limit in the service's cgroup, written and read back.
    CgroupLimit = 40, "apply a resource limit in its cgroup";
}

/// A step that failed. On the pipe it is eight bytes: step, 0, index (little-endian u16),
/// errno (little-endian i32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// Which step.
    pub step: Step,
    /// Which of several steps of that kind (the second bind is 1).
    pub index: u16,
    /// The system's reason, errno(3).
    pub errno: i32,
}

impl StepFailure {
    /// Size of the record, bytes; below `PIPE_BUF`, so it arrives whole or not at all (pipe(7)).
    pub const SIZE: usize = 8;

    /// The record as it goes through the pipe.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let [i0, i1] = self.index.to_le_bytes();
        let [e0, e1, e2, e3] = self.errno.to_le_bytes();
        [self.step as u8, 0, i0, i1, e0, e1, e2, e3]
    }

    /// The failure in these bytes; `None` where they are not one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<StepFailure> {
        let &[step, 0, i0, i1, e0, e1, e2, e3] = bytes else {
            return None;
        };
        Some(StepFailure {
            step: Step::from_number(step)?,
            index: u16::from_le_bytes([i0, i1]),
            errno: i32::from_le_bytes([e0, e1, e2, e3]),
        })
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.step.words())?;
        if self.index > 0 {
            write!(f, " (number {})", self.index + 1)?;
        }
        write!(f, ": {}", errno_words(self.errno))
    }
}

/// The meaning of an errno(3) value that a start can meet; the number for all others.
#[must_use]
pub fn errno_words(errno: i32) -> ErrnoWords {
    ErrnoWords(errno)
}

/// Prints an errno(3) value in words. i386 and x86_64 share these numbers.
#[derive(Clone, Copy, Debug)]
pub struct ErrnoWords(i32);

impl fmt::Display for ErrnoWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.0 {
            1 => "operation not permitted (EPERM)",
            2 => "no such file or directory (ENOENT)",
            3 => "no such process (ESRCH)",
            5 => "input/output error; the image may be damaged (EIO)",
            7 => "argument list too long (E2BIG)",
            8 => "not an executable for this machine (ENOEXEC)",
            9 => "bad descriptor (EBADF)",
            11 => "no room for one more process now (EAGAIN)",
            12 => "out of memory (ENOMEM)",
            13 => "permission denied (EACCES)",
            16 => "busy (EBUSY)",
            17 => "already there (EEXIST)",
            19 => "no such device, or the kernel lacks this file system (ENODEV)",
            20 => "not a directory (ENOTDIR)",
            22 => "invalid argument, or the kernel lacks this feature (EINVAL)",
            23 => "too many open files in the system (ENFILE)",
            24 => "too many open files (EMFILE)",
            28 => "no space left (ENOSPC)",
            30 => "read-only file system (EROFS)",
            36 => "name too long (ENAMETOOLONG)",
            38 => "the kernel lacks this system call (ENOSYS)",
            40 => "too many symbolic links (ELOOP)",
            95 => "not supported by this kernel (EOPNOTSUPP)",
            122 => "quota exceeded (EDQUOT)",
            other => return write!(f, "errno {other}"),
        };
        f.write_str(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_survives_the_pipe() {
        for &step in Step::ALL {
            let failure = StepFailure {
                step,
                index: 513,
                errno: 38,
            };
            assert_eq!(StepFailure::from_bytes(&failure.to_bytes()), Some(failure));
        }
    }

    #[test]
    fn torn_or_foreign_bytes_are_no_failure() {
        let good = StepFailure {
            step: Step::Bind,
            index: 1,
            errno: 2,
        }
        .to_bytes();
        assert_eq!(StepFailure::from_bytes(&good[..7]), None);
        assert_eq!(StepFailure::from_bytes(&[0; 8]), None);
        assert_eq!(StepFailure::from_bytes(&[255; 8]), None);
    }

    #[test]
    fn a_failure_reads_as_a_sentence() {
        let failure = StepFailure {
            step: Step::Bind,
            index: 1,
            errno: 2,
        };
        assert_eq!(
            std::format!("{failure}"),
            "could not bind a granted folder (number 2): no such file or directory (ENOENT)"
        );
    }
}
