//! What the launcher does, as data: a list of these is the sandbox, and its order is the security
//! property. A dry run prints it.

use super::landlock::Rules;
use crate::seccomp::filter::Program;
use crate::sys::mount::{NO_DEV, NO_EXEC, NO_SUID, READ_ONLY};
use crate::sys::privilege::{Capabilities, Groups, Limit};
use crate::sys::process::Strings;
use hearth_model::step::Step;
use std::ffi::{CStr, CString};
use std::fmt;

/// One entry of the list.
#[derive(Debug)]
pub struct Action {
    /// What it is reported as.
    pub step: Step,
    /// Which of several with the same step.
    pub index: u16,
    /// What is done.
    pub operation: Operation,
}

/// What is done. Paths named `target` are of the new root, those named `source` of the old one.
#[derive(Debug)]
pub enum Operation {
    /// Close all but standard input, output, error and the status pipe.
    CloseDescriptors,
    /// Enter every namespace of the process that the launcher was given, as the root of its user namespace.
    Enter,
    /// Go on in a child, the first process that is in the new pid namespace; this one waits and ends as it does.
    Guest,
    /// A session without a terminal; default signals and file mode mask.
    NewSession,
    /// Set the host name.
    HostName(String),
    /// Bring loopback up.
    Loopback,
    /// Let no mount event in or out.
    PrivateTree,
    /// Mount a copy of `source` over itself, read-only: from here on the new root.
    Root {
        /// Folder outside.
        source: CString,
    },
    /// Mount a new file system.
    NewFileSystem(FileSystem),
    /// Mount a copy of what is at `source`.
    Copy {
        /// Folder or file outside.
        source: CString,
        /// Place inside.
        target: Target,
        /// Attributes that the copy gets.
        attributes: Attributes,
    },
    /// Make a symbolic link.
    Link {
        /// Folder inside.
        folder: CString,
        /// Name in that folder.
        name: CString,
        /// What it points to.
        to: CString,
    },
    /// Add attributes to what is mounted at `target`.
    Restrict {
        /// Mount point inside.
        target: CString,
        /// Attributes that are added.
        attributes: Attributes,
    },
    /// Make a path read-only, where it exists.
    ReadOnlyPath(CString),
    /// Cover a path, where it exists: a file by the null device, a folder by an empty one.
    Mask(CString),
    /// Change to the new root and detach the old one.
    Pivot,
    /// Set a limit.
    Limit(Limit, u32),
    /// Set what the own user namespace may have of something, where the kernel counts it.
    NamespaceLimit {
        /// File of the new root's /proc.
        file: &'static CStr,
        /// Most.
        most: u32,
    },
    /// Join an empty session keyring.
    Keyring,
    /// Refuse to go on where the own user namespace owns the network namespace: a capability that is kept
    /// would have power there.
    ForeignNetwork,
    /// Drop the bounding set, but for these.
    DropBoundingSet(Capabilities),
    /// Become the service's user.
    User {
        /// User id inside.
        uid: u32,
        /// Group id inside.
        gid: u32,
        /// What becomes of all other groups.
        groups: Groups,
    },
    /// Empty all other capability sets, but for these.
    DropCapabilities(Capabilities),
    /// Set no_new_privs.
    NoNewPrivileges,
    /// Apply Landlock rules, as far as the kernel knows them.
    Landlock(Rules),
    /// Die when whoever started it does.
    EndWithParent,
    /// Go on in a child; this process stays as the first one, under this filter, and waits.
    Reaper(Program),
    /// Install the system-call filter.
    Filter(Program),
    /// Change the working folder.
    WorkingFolder(CString),
    /// Execute the service.
    Execute {
        /// Program inside.
        program: CString,
        /// Its arguments.
        arguments: Strings,
        /// Its whole environment.
        environment: Strings,
    },
}

/// A file system to mount.
#[derive(Debug)]
pub struct FileSystem {
    /// Its kind, as in /proc/filesystems.
    pub kind: &'static CStr,
    /// Its options.
    pub options: Vec<(&'static CStr, CString)>,
    /// Where.
    pub target: Target,
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Whether a kernel without it can do.
    pub need: Need,
}

/// Whether a kernel feature is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it the start fails.
    Required,
    /// A kernel built without it offers nothing to protect: the step is left out.
    WhereTheKernelHasIt,
}

/// A place inside to mount over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It is in the image.
    InImage(CString),
    /// It is below a private temporary file system and is made where it is missing.
    Made(CString),
}

impl Target {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &CStr {
        match self {
            Target::InImage(path) | Target::Made(path) => path,
        }
    }
}

/// Attributes of a mount: those of [`crate::sys::mount`], ored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(pub u64);

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (READ_ONLY, "ro"),
            (NO_SUID, "nosuid"),
            (NO_DEV, "nodev"),
            (NO_EXEC, "noexec"),
        ];
        let mut separator = "";
        for (bit, name) in names {
            if self.0 & bit != 0 {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step.words())?;
        let text = self.operation.to_string();
        if text.is_empty() {
            Ok(())
        } else {
            write!(f, ": {text}")
        }
    }
}

/// The detail that the step's words do not tell; empty where there is none.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = CStr::to_string_lossy;
        match self {
            Operation::CloseDescriptors => f.write_str("all but 0, 1, 2 and the status pipe"),
            Operation::NewSession => f.write_str("no terminal, default signals, umask 022"),
            Operation::HostName(name) => f.write_str(name),
            Operation::Root { source } => write!(f, "{} (ro,nosuid,nodev)", show(source)),
            Operation::NewFileSystem(new) => {
                write!(f, "{} on {}", show(new.kind), show(new.target.path()))?;
                write!(f, " ({}", new.attributes)?;
                for (key, value) in &new.options {
                    write!(f, ",{}={}", show(key), show(value))?;
                }
                f.write_str(")")
            }
            Operation::Copy {
                source,
                target,
                attributes,
            } => write!(
                f,
                "{} on {} ({attributes})",
                show(source),
                show(target.path())
            ),
            Operation::Link { folder, name, to } => {
                write!(f, "link {}/{} to {}", show(folder), show(name), show(to))
            }
            Operation::Restrict { target, attributes } => {
                write!(f, "{} becomes {attributes}", show(target))
            }
            Operation::ReadOnlyPath(path) | Operation::Mask(path) => f.write_str(&show(path)),
            Operation::Limit(Limit::OpenFiles, value) => write!(f, "open files {value}"),
            Operation::Limit(Limit::CoreSize, value) => write!(f, "core file {value} bytes"),
            Operation::Limit(Limit::PendingSignals, value) => {
                write!(f, "waiting signals and timers {value}")
            }
            Operation::Limit(Limit::MessageQueues, value) => {
                write!(f, "message queues {value} bytes")
            }
            Operation::NamespaceLimit { file, most } => write!(f, "{} {most}", show(file)),
            Operation::ForeignNetwork => f.write_str(
                "its network namespace must be another's, so that what is kept has no power",
            ),
            Operation::DropBoundingSet(kept) => write!(f, "bounding{kept}"),
            Operation::DropCapabilities(kept) => {
                write!(
                    f,
                    "secure bits locked; ambient, effective, permitted, inheritable{kept}"
                )
            }
            Operation::User { uid, gid, groups } => {
                write!(f, "user {uid}, group {gid}, ")?;
                f.write_str(match groups {
                    Groups::None => "no other group",
                    Groups::Kept => "and the caller's other groups",
                })
            }
            Operation::Landlock(rules) => write!(f, "{rules}"),
            Operation::Reaper(_) => {
                f.write_str("it waits for all others, and has a filter of its own")
            }
            Operation::Filter(program) => write!(f, "{} instructions", program.len()),
            Operation::WorkingFolder(path) => f.write_str(&show(path)),
            Operation::Execute { program, .. } => f.write_str(&show(program)),
            Operation::Enter => f.write_str("all namespaces of its process"),
            Operation::Guest => f.write_str("a child of its own in them"),
            Operation::Loopback
            | Operation::PrivateTree
            | Operation::Pivot
            | Operation::Keyring
            | Operation::EndWithParent
            | Operation::NoNewPrivileges => Ok(()),
        }
    }
}
