//! The plan: all that the launcher `hearth-sandbox` is told about one service. Whoever makes it has
//! decided everything; the launcher only carries it out, step by step, and adds nothing.
//!
//! It travels as a sealed memfd, postcard-encoded, so that PID 1 can start a service again without
//! the manager. A plan holds no credential and no limit: limits stand in the cgroup before the
//! process exists.

use crate::ids::ServiceName;
use crate::limits::{PLAN_BINDS_MAX, PLAN_MAX, PLAN_PORTS_MAX, PLAN_VERSION};
use crate::units::Bytes;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A finished plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`] of whoever made it.
    pub version: u16,
    /// The service's name; also its host name (uts_namespaces(7)).
    pub name: ServiceName,
    /// Absolute path, outside, of the mounted root image. It is bound read-only, nosuid, nodev.
    pub root: String,
    /// Granted folders and files.
    pub binds: Vec<Bind>,
    /// Size limit of each private temporary file system (`/tmp`, `/run`, `/dev/shm`).
    pub tmp_size: Bytes,
    /// Program and arguments; the first is an absolute path inside.
    pub exec: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Absolute working folder inside.
    pub working_folder: String,
    /// User id inside, 1 to 65534.
    pub uid: u32,
    /// Group id inside, 1 to 65534.
    pub gid: u32,
    /// Most open descriptors (`RLIMIT_NOFILE`).
    pub open_files_max: u32,
    /// What the service's system calls may be.
    pub seccomp: SeccompPlan,
    /// Whether the network namespace is the service's own and empty, so that the launcher brings
    /// loopback up; otherwise netpath has done so.
    pub empty_network: bool,
    /// What it may do with TCP, where the kernel's Landlock can tell (level 4).
    pub tcp: TcpPlan,
    /// Which ids its user namespace maps.
    pub identity: Identity,
    /// What is the first process of its pid namespace.
    pub first: FirstProcess,
}

/// The first process of a sandbox. The kernel spares it from every signal of the sandbox's own that it does
/// not handle, and makes it the parent of orphans (pid_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirstProcess {
    /// The program itself: no helper process stays behind.
    Program,
    /// A process of the launcher that waits for the program, which then is one like any other: what a
    /// person expects of a command.
    Reaper,
}

/// TCP ports that Landlock allows. Who reaches a port from outside is netpath's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpPlan {
    /// Its own ports: bind(2).
    pub bind: Ports,
    /// Ports of others: connect(2).
    pub connect: Ports,
}

/// A set of ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ports {
    /// Every port.
    Any,
    /// These; 0 is "one that the kernel chooses" for bind(2).
    Only(Vec<u16>),
}

/// Which ids of the machine a sandbox runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// A range of its own, as root gives it: no id is shared with anybody.
    OwnRange,
    /// The caller's own user and group alone: all that a user who is not root can map
    /// (user_namespaces(7)). Supplementary groups stay.
    Caller,
}

/// A granted folder or file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path outside.
    pub source: String,
    /// Absolute path inside; it must exist in the image or below a private temporary file system.
    pub target: String,
    /// Whether the service may write there.
    pub access: BindAccess,
}

/// Whether a bind can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindAccess {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// Names of policy files (`sandbox/policy/*.toml`) and single calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompPlan {
    /// Differences on top of the base policy, for example `network-server`.
    pub policies: Vec<String>,
    /// Extra system calls by name, each with a reason in the manifest.
    pub extra: Vec<String>,
}

/// Why a plan can not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// More than [`PLAN_MAX`] bytes.
    TooLarge,
    /// Made for another version of the launcher.
    Version {
        /// The plan's.
        theirs: u16,
    },
    /// No plan.
    Malformed,
    /// A field is out of its range.
    Field {
        /// Which.
        field: &'static str,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::TooLarge => {
                write!(
                    f,
                    "plan larger than {PLAN_MAX} bytes: grant fewer folders or variables"
                )
            }
            PlanError::Version { theirs } => write!(
                f,
                "plan of version {theirs}, this launcher reads {PLAN_VERSION}: install matching firmware"
            ),
            PlanError::Malformed => f.write_str("these bytes are no plan"),
            PlanError::Field { field, reason } => write!(f, "plan field {field}: {reason}"),
        }
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// The plan as bytes.
    ///
    /// # Errors
    /// [`PlanError::TooLarge`]; [`PlanError::Field`] as for [`Plan::check`].
    pub fn encode(&self) -> Result<Vec<u8>, PlanError> {
        self.check()?;
        match postcard::to_stdvec(self) {
            Ok(bytes) if bytes.len() <= PLAN_MAX => Ok(bytes),
            Ok(_) | Err(_) => Err(PlanError::TooLarge),
        }
    }

    /// The plan in these bytes, checked.
    ///
    /// # Errors
    /// Every [`PlanError`].
    pub fn decode(bytes: &[u8]) -> Result<Plan, PlanError> {
        if bytes.len() > PLAN_MAX {
            return Err(PlanError::TooLarge);
        }
        // The version is the first field: read it alone, so that another version is named as such.
        let (version, _) =
            postcard::take_from_bytes::<u16>(bytes).map_err(|_| PlanError::Malformed)?;
        if version != PLAN_VERSION {
            return Err(PlanError::Version { theirs: version });
        }
        match postcard::take_from_bytes::<Plan>(bytes) {
            Ok((plan, [])) => plan.check().map(|()| plan),
            Ok(_) | Err(_) => Err(PlanError::Malformed),
        }
    }

    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`PlanError::Field`] for the first one that is not.
    pub fn check(&self) -> Result<(), PlanError> {
        absolute("root", &self.root)?;
        absolute("working_folder", &self.working_folder)?;
        if self.binds.len() > PLAN_BINDS_MAX {
            let count = self.binds.len();
            return field("binds", &format!("{count} are more than {PLAN_BINDS_MAX}"));
        }
        for bind in &self.binds {
            absolute("binds.source", &bind.source)?;
            absolute("binds.target", &bind.target)?;
            if bind.target == "/" {
                return field("binds.target", "the root itself can not be replaced");
            }
        }
        match self.exec.first() {
            Some(program) => absolute("exec", program)?,
            None => return field("exec", "names no program"),
        }
        for text in &self.exec {
            no_nul("exec", text)?;
        }
        for (name, value) in &self.env {
            no_nul("env", name)?;
            no_nul("env", value)?;
            if name.is_empty() || name.contains('=') {
                return field("env", &format!("{name:?} is no variable name"));
            }
        }
        for (name, id) in [("uid", self.uid), ("gid", self.gid)] {
            if !(1..=65_534).contains(&id) {
                return field(name, &format!("{id} is not in 1..=65534"));
            }
        }
        if self.tmp_size == Bytes(0) {
            return field("tmp_size", "0 means no limit to tmpfs(5); give a size");
        }
        for (name, ports) in [
            ("tcp.bind", &self.tcp.bind),
            ("tcp.connect", &self.tcp.connect),
        ] {
            match ports {
                Ports::Only(list) if list.len() > PLAN_PORTS_MAX => {
                    let count = list.len();
                    return field(
                        name,
                        &format!("{count} ports are more than {PLAN_PORTS_MAX}"),
                    );
                }
                Ports::Any | Ports::Only(_) => {}
            }
        }
        Ok(())
    }
}

fn field(field: &'static str, reason: &str) -> Result<(), PlanError> {
    Err(PlanError::Field {
        field,
        reason: reason.to_owned(),
    })
}

fn no_nul(name: &'static str, text: &str) -> Result<(), PlanError> {
    if text.contains('\0') {
        field(name, "has a NUL byte")
    } else {
        Ok(())
    }
}

/// Absolute, no `..`, no NUL: a path that can only mean one place below its root.
fn absolute(name: &'static str, path: &str) -> Result<(), PlanError> {
    no_nul(name, path)?;
    if !path.starts_with('/') {
        return field(name, &format!("{path:?} is not absolute"));
    }
    if path.split('/').any(|part| part == "..") {
        return field(name, &format!("{path:?} climbs with '..'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn plan() -> Plan {
        Plan {
            version: PLAN_VERSION,
            name: ServiceName::new("web").unwrap(),
            root: "/run/hearth/images/web".into(),
            binds: vec![Bind {
                source: "/data/services/web".into(),
                target: "/data".into(),
                access: BindAccess::ReadWrite,
            }],
            tmp_size: Bytes::mib(4),
            exec: vec!["/usr/sbin/nginx".into()],
            env: vec![("PATH".into(), "/usr/bin".into())],
            working_folder: "/".into(),
            uid: 1,
            gid: 1,
            open_files_max: 1024,
            seccomp: SeccompPlan {
                policies: vec!["network-server".into()],
                extra: vec![],
            },
            empty_network: false,
            tcp: TcpPlan {
                bind: Ports::Only(vec![80]),
                connect: Ports::Any,
            },
            identity: Identity::OwnRange,
            first: FirstProcess::Program,
        }
    }

    #[test]
    fn a_plan_comes_back_as_it_was() {
        assert_eq!(Plan::decode(&plan().encode().unwrap()), Ok(plan()));
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = plan().encode().unwrap();
        bytes[0] = 9;
        assert_eq!(Plan::decode(&bytes), Err(PlanError::Version { theirs: 9 }));
    }

    #[test]
    fn every_bad_field_is_an_error_that_names_it() {
        type Break = fn(&mut Plan);
        let cases: [(&str, Break); 11] = [
            ("binds", |p| {
                let one = p.binds[0].clone();
                p.binds = vec![one; 10_000];
            }),
            ("tcp.bind", |p| p.tcp.bind = Ports::Only(vec![1; 10_000])),
            ("root", |p| p.root = "images/web".into()),
            ("root", |p| p.root = "/a/../b".into()),
            ("working_folder", |p| p.working_folder = String::new()),
            ("binds.target", |p| p.binds[0].target = "/".into()),
            ("binds.source", |p| p.binds[0].source = "/a\0b".into()),
            ("exec", |p| p.exec.clear()),
            ("env", |p| p.env[0].0 = "A=B".into()),
            ("uid", |p| p.uid = 0),
            ("tmp_size", |p| p.tmp_size = Bytes(0)),
        ];
        for (name, broken) in cases {
            let mut plan = plan();
            broken(&mut plan);
            match plan.encode() {
                Err(PlanError::Field { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    proptest! {
        /// Whatever bytes come, and however a plan's own bytes are changed: a plan or an error.
        #[test]
        fn bytes_never_do_more_than_fail(
            bytes in vec(any::<u8>(), 0..300),
            changes in vec((any::<Index>(), any::<u8>()), 1..8),
        ) {
            let _ = Plan::decode(&bytes);
            let mut versioned = vec![PLAN_VERSION as u8];
            versioned.extend(&bytes);
            let _ = Plan::decode(&versioned);
            let mut changed = plan().encode().unwrap();
            for (place, byte) in changes {
                let place = place.index(changed.len());
                changed[place] = byte;
            }
            if let Ok(plan) = Plan::decode(&changed) {
                // what is taken is good, and stays what it is
                prop_assert_eq!(plan.check(), Ok(()));
                prop_assert_eq!(Plan::decode(&plan.encode().unwrap()), Ok(plan));
            }
        }
    }
}
