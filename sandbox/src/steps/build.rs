//! From a plan to the list of actions. All strings and the filter are made here, before the first action.

use super::action::{Action, Attributes, FileSystem, Need, Operation, Target};
use super::landlock::Rules;
use crate::limits::{
    DEV_INODES, DEV_SIZE, INODES_PER_TMPFS_MAX, MESSAGE_QUEUES_MAX, PAGE, PENDING_SIGNALS_MAX,
    WATCHERS_MAX, WATCHES_MAX,
};
use crate::seccomp::abi::Abi;
use crate::seccomp::compiled::{Selected, select};
use crate::seccomp::policy::PolicyError;
use crate::sys::mount::{NO_DEV, NO_EXEC, NO_SUID, READ_ONLY};
use crate::sys::privilege::{Capabilities, Groups, Limit};
use crate::sys::process::Strings;
use hearth_model::plan::{Bind, BindAccess, FirstProcess, Identity, Plan, SeccompPlan};
use hearth_model::step::Step;
use std::ffi::{CStr, CString, NulError};
use std::fmt;

/// Kernel file systems and private ones: nothing in them is a program, a device or set-user-id.
const PRIVATE: u64 = NO_SUID | NO_DEV | NO_EXEC;

/// Device nodes every program may expect (OCI runtime-spec, default devices; no terminals of its own).
const DEVICES: [&CStr; 6] = [c"null", c"zero", c"full", c"random", c"urandom", c"tty"];

/// Links every program may expect in /dev (OCI runtime-spec, default device links).
const DEVICE_LINKS: [(&CStr, &CStr); 4] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
];

/// What tells of the machine or of others, or changes them: OCI maskedPaths as runc and moby have them, all
/// of /sys, and what a service could watch its neighbours by.
const MASKED: [&CStr; 23] = [
    c"/sys",
    c"/proc/acpi",
    c"/proc/asound",
    c"/proc/buddyinfo",
    c"/proc/diskstats",
    c"/proc/interrupts",
    c"/proc/kallsyms",
    c"/proc/kcore",
    c"/proc/key-users",
    c"/proc/keys",
    c"/proc/kmsg",
    c"/proc/latency_stats",
    c"/proc/modules",
    c"/proc/pressure",
    c"/proc/sched_debug",
    c"/proc/schedstat",
    c"/proc/scsi",
    c"/proc/softirqs",
    c"/proc/sysrq-trigger",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    c"/proc/vmstat",
    c"/proc/zoneinfo",
];

/// OCI readonlyPaths, but for what is masked.
const READ_ONLY_PATHS: [&CStr; 4] = [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys"];

/// The policy that allows to wait for children.
const REAPER_POLICY: &str = "exec-children";

/// Where files and folders to mount over can be made: private temporary file systems.
const MAKEABLE: [&str; 3] = ["/run/", "/tmp/", "/dev/"];

/// Private temporary file systems, in the order in which they are mounted, and their modes.
const TEMPORARY: [(&CStr, &CStr); 3] = [
    (c"/tmp", c"1777"),
    (c"/run", c"755"),
    (c"/dev/shm", c"1777"),
];

/// Why a plan gives no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Its system calls.
    Policy(PolicyError),
    /// A text with a NUL byte; a plan that was decoded has none.
    Nul,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Policy(error) => write!(f, "{error}"),
            BuildError::Nul => f.write_str("a path, argument or variable has a NUL byte"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<PolicyError> for BuildError {
    fn from(error: PolicyError) -> BuildError {
        BuildError::Policy(error)
    }
}

impl From<NulError> for BuildError {
    fn from(_: NulError) -> BuildError {
        BuildError::Nul
    }
}

/// The list; numbers equal steps by itself.
#[derive(Default)]
struct List(Vec<Action>);

impl List {
    fn push(&mut self, step: Step, operation: Operation) {
        let before = self.0.iter().filter(|action| action.step == step).count();
        self.0.push(Action {
            step,
            // No plan has so many binds: 64 KiB of plan hold fewer than 2^15.
            index: u16::try_from(before).unwrap_or(u16::MAX),
            operation,
        });
    }
}

/// The ordered list of actions for `plan`.
///
/// # Errors
/// [`BuildError::Policy`] for an unknown policy or a call that no service gets.
pub fn build(plan: &Plan) -> Result<Vec<Action>, BuildError> {
    let mut list = List::default();
    outside(&mut list, plan)?;
    file_systems(&mut list, plan)?;
    grants(&mut list, &plan.binds)?;
    share(&mut list);
    hide(&mut list);
    list.push(Step::PivotRoot, Operation::Pivot);
    give_up(&mut list, plan)?;
    execute(&mut list, plan)?;
    Ok(list.0)
}

/// The ordered list of actions for a program in the sandbox of a service that runs, whose plan this is but
/// for the program: the namespaces, file systems and names are there, what is given up is the same.
///
/// # Errors
/// As [`build`].
pub fn build_probe(plan: &Plan) -> Result<Vec<Action>, BuildError> {
    let mut list = List::default();
    list.push(Step::EnterService, Operation::Enter);
    list.push(Step::CloseDescriptors, Operation::CloseDescriptors);
    // Only a child is in the other pid namespace.
    list.push(Step::EnterService, Operation::Guest);
    list.push(Step::NewSession, Operation::NewSession);
    list.push(Step::EndWithParent, Operation::EndWithParent);
    give_up(&mut list, plan)?;
    execute(&mut list, plan)?;
    Ok(list.0)
}

/// What the process inherited.
fn outside(list: &mut List, plan: &Plan) -> Result<(), BuildError> {
    list.push(Step::CloseDescriptors, Operation::CloseDescriptors);
    list.push(Step::NewSession, Operation::NewSession);
    let name = plan.name.as_str().to_owned();
    list.push(Step::HostName, Operation::HostName(name));
    if plan.empty_network {
        list.push(Step::Loopback, Operation::Loopback);
    }
    list.push(Step::PrivateMounts, Operation::PrivateTree);
    let source = CString::new(plan.root.as_str())?;
    list.push(Step::RootImage, Operation::Root { source });
    Ok(())
}

fn file_systems(list: &mut List, plan: &Plan) -> Result<(), BuildError> {
    let proc = FileSystem {
        kind: c"proc",
        options: vec![(c"hidepid", c"invisible".into())],
        target: Target::InImage(c"/proc".into()),
        attributes: Attributes(PRIVATE),
        need: Need::Required,
    };
    list.push(Step::MountProc, Operation::NewFileSystem(proc));
    devices(list);
    let owner = |id: u32| CString::new(id.to_string());
    let size = CString::new(plan.tmp_size.0.to_string())?;
    let inodes = (plan.tmp_size.0 / PAGE).clamp(1, INODES_PER_TMPFS_MAX);
    let inodes = CString::new(inodes.to_string())?;
    for (path, mode) in TEMPORARY {
        let target = if path == c"/dev/shm" {
            Target::Made(path.into())
        } else {
            Target::InImage(path.into())
        };
        let options = vec![
            (c"size", size.clone()),
            (c"nr_inodes", inodes.clone()),
            (c"mode", mode.into()),
            (c"uid", owner(plan.uid)?),
            (c"gid", owner(plan.gid)?),
        ];
        let new = tmpfs(target, options, PRIVATE);
        list.push(Step::MountTmp, Operation::NewFileSystem(new));
    }
    Ok(())
}

fn devices(list: &mut List) {
    let options = vec![
        (c"size", DEV_SIZE.into()),
        (c"nr_inodes", DEV_INODES.into()),
        (c"mode", c"755".into()),
    ];
    // The nodes in it are mounts of their own, so the folder itself can be nodev.
    let dev = tmpfs(Target::InImage(c"/dev".into()), options, PRIVATE);
    list.push(Step::MountDev, Operation::NewFileSystem(dev));
    for name in DEVICES {
        let path = below_dev(name);
        let copy = Operation::Copy {
            source: path.clone(),
            target: Target::Made(path),
            attributes: Attributes(NO_SUID | NO_EXEC),
        };
        list.push(Step::MountDev, copy);
    }
    for (name, to) in DEVICE_LINKS {
        let link = Operation::Link {
            folder: c"/dev".into(),
            name: name.into(),
            to: to.into(),
        };
        list.push(Step::MountDev, link);
    }
    let mqueue = FileSystem {
        kind: c"mqueue",
        options: vec![],
        target: Target::Made(c"/dev/mqueue".into()),
        attributes: Attributes(PRIVATE),
        need: Need::WhereTheKernelHasIt,
    };
    list.push(Step::MountDev, Operation::NewFileSystem(mqueue));
}

fn below_dev(name: &CStr) -> CString {
    let mut path = b"/dev/".to_vec();
    path.extend(name.to_bytes());
    // A C string holds no NUL, so neither does the longer one.
    CString::new(path).unwrap_or_default()
}

fn tmpfs(target: Target, options: Vec<(&'static CStr, CString)>, attributes: u64) -> FileSystem {
    FileSystem {
        kind: c"tmpfs",
        options,
        target,
        attributes: Attributes(attributes),
        need: Need::Required,
    }
}

fn grants(list: &mut List, binds: &[Bind]) -> Result<(), BuildError> {
    for bind in binds {
        let target = CString::new(bind.target.as_str())?;
        let makeable = MAKEABLE.iter().any(|below| bind.target.starts_with(below));
        let device = bind.target.starts_with("/dev/");
        let copy = Operation::Copy {
            source: CString::new(bind.source.as_str())?,
            target: if makeable {
                Target::Made(target)
            } else {
                Target::InImage(target)
            },
            attributes: Attributes(match bind.access {
                // A granted device: its cgroup's gate judges which one is opened, and a read-only mount
                // does not keep anybody from writing to a device.
                BindAccess::ReadOnly if device => READ_ONLY | NO_SUID | NO_EXEC,
                BindAccess::ReadWrite if device => NO_SUID | NO_EXEC,
                BindAccess::ReadOnly => READ_ONLY | NO_SUID | NO_DEV,
                BindAccess::ReadWrite => NO_SUID | NO_DEV,
            }),
        };
        list.push(Step::Bind, copy);
    }
    Ok(())
}

/// What the kernel counts for whoever made the namespace, which for all services is the same: without a
/// share of its own one service could take the others'. Before /proc/sys becomes read-only.
fn share(list: &mut List) {
    for (file, most) in [
        (c"/proc/sys/user/max_inotify_instances", WATCHERS_MAX),
        (c"/proc/sys/user/max_inotify_watches", WATCHES_MAX),
    ] {
        let operation = Operation::NamespaceLimit { file, most };
        list.push(Step::ResourceLimit, operation);
    }
    for (limit, most) in [
        (Limit::PendingSignals, PENDING_SIGNALS_MAX),
        (Limit::MessageQueues, MESSAGE_QUEUES_MAX),
    ] {
        list.push(Step::ResourceLimit, Operation::Limit(limit, most));
    }
}

fn hide(list: &mut List) {
    // Only now: a bind may have been made in it.
    let target = CString::from(c"/dev");
    let attributes = Attributes(READ_ONLY);
    list.push(Step::MountDev, Operation::Restrict { target, attributes });
    for path in MASKED {
        list.push(Step::MaskPath, Operation::Mask(path.into()));
    }
    for path in READ_ONLY_PATHS {
        list.push(Step::ReadOnlyPath, Operation::ReadOnlyPath(path.into()));
    }
}

/// Privileges, in the one order that works: the bounding set needs a capability that the change of user
/// takes away, Landlock needs no_new_privs, the filter would refuse all of it.
fn give_up(list: &mut List, plan: &Plan) -> Result<(), BuildError> {
    let files = Operation::Limit(Limit::OpenFiles, plan.open_files_max);
    list.push(Step::ResourceLimit, files);
    list.push(Step::ResourceLimit, Operation::Limit(Limit::CoreSize, 0));
    list.push(Step::Keyring, Operation::Keyring);
    let Selected {
        program,
        capabilities: kept,
    } = select(&plan.seccomp, Abi::NATIVE)?;
    if kept != Capabilities::NONE {
        list.push(Step::DropCapabilities, Operation::ForeignNetwork);
    }
    list.push(Step::DropCapabilities, Operation::DropBoundingSet(kept));
    list.push(Step::NoNewPrivileges, Operation::NoNewPrivileges);
    // As root of the namespace still: a granted place may lie where the user can not look.
    let private = TEMPORARY.map(|(path, _)| path);
    let rules = Rules::of(plan, &private)?;
    list.push(Step::Landlock, Operation::Landlock(rules));
    let (uid, gid) = (plan.uid, plan.gid);
    let groups = match plan.identity {
        Identity::OwnRange => Groups::None,
        Identity::Caller => Groups::Kept,
    };
    list.push(Step::DropUser, Operation::User { uid, gid, groups });
    list.push(Step::DropCapabilities, Operation::DropCapabilities(kept));
    // The change of user takes it off: only now.
    list.push(Step::EndWithParent, Operation::EndWithParent);
    match plan.first {
        FirstProcess::Program => {}
        FirstProcess::Reaper => {
            let waits = SeccompPlan {
                policies: vec![REAPER_POLICY.to_owned()],
                extra: vec![],
            };
            let waits = select(&waits, Abi::NATIVE)?.program;
            list.push(Step::Reaper, Operation::Reaper(waits));
        }
    }
    list.push(Step::Seccomp, Operation::Filter(program));
    Ok(())
}

fn execute(list: &mut List, plan: &Plan) -> Result<(), BuildError> {
    let folder = CString::new(plan.working_folder.as_str())?;
    list.push(Step::WorkingFolder, Operation::WorkingFolder(folder));
    let strings = |texts: Vec<String>| -> Result<Strings, NulError> {
        let texts = texts.into_iter().map(CString::new);
        Ok(Strings::new(texts.collect::<Result<_, _>>()?))
    };
    let variables = plan
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let program = plan.exec.first().map(String::as_str).unwrap_or_default();
    let execute = Operation::Execute {
        program: CString::new(program)?,
        arguments: strings(plan.exec.clone())?,
        environment: strings(variables.collect())?,
    };
    list.push(Step::ExecService, execute);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::plan;

    fn position(list: &[Action], step: Step) -> usize {
        list.iter().position(|action| action.step == step).unwrap()
    }

    #[test]
    fn privileges_go_in_the_order_that_leaves_none() {
        // given any plan
        let list = build(&plan("/image")).unwrap();
        // when the steps run in order
        let at = |step| position(&list, step);
        // then the old root is gone before anything else is given up, and the filter comes last
        assert!(at(Step::CloseDescriptors) == 0);
        assert!(at(Step::RootImage) < at(Step::MountProc));
        assert!(at(Step::ReadOnlyPath) < at(Step::PivotRoot));
        assert!(at(Step::PivotRoot) < at(Step::DropCapabilities));
        assert!(at(Step::DropCapabilities) < at(Step::DropUser));
        assert!(at(Step::NoNewPrivileges) < at(Step::Landlock));
        assert!(at(Step::Landlock) < at(Step::DropUser));
        assert!(at(Step::DropUser) < at(Step::EndWithParent));
        let last: Vec<Step> = list
            .iter()
            .rev()
            .take(3)
            .map(|action| action.step)
            .collect();
        assert_eq!(
            last,
            [Step::ExecService, Step::WorkingFolder, Step::Seccomp]
        );
    }

    #[test]
    fn a_probe_gives_up_all_that_the_service_gives_up() {
        // given the same plan for both
        let (service, probe) = (
            build(&plan("/image")).unwrap(),
            build_probe(&plan("/image")).unwrap(),
        );
        // then after it has entered, the probe does just what the service does after its new root
        let rest = |list: &[Action], after: usize| {
            let shown = list.iter().skip(after + 1).map(ToString::to_string);
            shown.collect::<Vec<_>>()
        };
        let entered = position(&probe, Step::EndWithParent);
        assert_eq!(
            rest(&probe, entered),
            rest(&service, position(&service, Step::PivotRoot))
        );
        assert!(entered < position(&probe, Step::DropUser));
        assert!(position(&probe, Step::EnterService) < position(&probe, Step::CloseDescriptors));
    }

    /// Defaults of other run-times that a reader may expect: runc 1.3, `specconv.Example`, and moby 28,
    /// `DefaultLinuxSpec`. What is below /sys is covered with it.
    #[test]
    fn nothing_that_other_run_times_hide_is_left_open() {
        let masked = [
            c"/proc/acpi",
            c"/proc/asound",
            c"/proc/interrupts",
            c"/proc/kcore",
            c"/proc/keys",
            c"/proc/latency_stats",
            c"/proc/timer_list",
            c"/proc/timer_stats",
            c"/proc/sched_debug",
            c"/proc/scsi",
        ];
        assert!(masked.iter().all(|path| MASKED.contains(path)));
        assert!(MASKED.contains(&c"/sys")); // firmware, powercap, thermal_throttle
        let read_only = [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys"];
        assert!(read_only.iter().all(|path| READ_ONLY_PATHS.contains(path)));
        assert!(MASKED.contains(&c"/proc/sysrq-trigger")); // read-only there
    }

    #[test]
    fn equal_steps_are_numbered_from_zero() {
        let list = build(&plan("/image")).unwrap();
        let masks = list.iter().filter(|action| action.step == Step::MaskPath);
        let numbers: Vec<u16> = masks.map(|action| action.index).collect();
        assert_eq!(numbers, (0..23).collect::<Vec<u16>>());
    }

    #[test]
    fn loopback_is_raised_only_in_an_empty_network() {
        let mut plan = plan("/image");
        for (empty, count) in [(true, 1), (false, 0)] {
            plan.empty_network = empty;
            let list = build(&plan).unwrap();
            let loopback = list.iter().filter(|action| action.step == Step::Loopback);
            assert_eq!(loopback.count(), count);
        }
    }

    #[test]
    fn a_bind_is_made_only_below_private_file_systems() {
        // given binds into the image and below /run
        let mut plan = plan("/image");
        for target in ["/data", "/run/hearth/api.sock", "/runner"] {
            plan.binds.push(Bind {
                source: "/x".into(),
                target: target.into(),
                access: BindAccess::ReadOnly,
            });
        }
        // when the list is built
        let list = build(&plan).unwrap();
        // then only what lies below /run may be made
        let targets: Vec<Target> = list
            .into_iter()
            .filter(|action| action.step == Step::Bind)
            .filter_map(|action| {
                if let Operation::Copy { target, .. } = action.operation {
                    Some(target)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(
            targets,
            [
                Target::InImage(c"/data".into()),
                Target::Made(c"/run/hearth/api.sock".into()),
                Target::InImage(c"/runner".into()),
            ]
        );
    }

    #[test]
    fn a_dry_run_says_every_step_in_words() {
        let list = build(&plan("/image")).unwrap();
        let text: Vec<String> = list.iter().map(ToString::to_string).collect();
        for line in [
            "mount the root image: /image (ro,nosuid,nodev)",
            "mount /proc: proc on /proc (nosuid,nodev,noexec,hidepid=invisible)",
            "change to the new root",
            "drop capabilities: bounding",
            "change to the service's user: user 1000, group 1000, no other group",
            "execute the service's program: /hostile",
        ] {
            assert!(text.iter().any(|known| known == line), "{line}\n{text:#?}");
        }
    }

    #[test]
    fn a_capability_is_kept_only_behind_the_check_of_the_network() {
        // given a service without, and one with a policy that keeps a capability
        let mut plan = plan("/image");
        let without = build(&plan).unwrap();
        plan.seccomp.policies.push("dhcp-server".into());
        let with = build(&plan).unwrap();
        // then only the second checks who owns its network, before anything is dropped
        let drops = |list: &[Action]| {
            let drops = list
                .iter()
                .filter(|action| action.step == Step::DropCapabilities);
            drops.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(drops(&without).len(), 2);
        let with = drops(&with);
        assert!(with[0].contains("network namespace"), "{with:?}");
        assert!(
            with[2].ends_with("inheritable, but for number 10 12"),
            "{with:?}"
        );
    }

    #[test]
    fn an_unknown_policy_is_no_list() {
        let mut plan = plan("/image");
        plan.seccomp.policies.push("everything".into());
        assert!(matches!(
            build(&plan),
            Err(BuildError::Policy(PolicyError::UnknownPolicy(_)))
        ));
    }
}
