//! The command `run`: one command in a sandbox, on any Linux machine, by root or by anybody else.

pub mod args;
mod attend;
mod gates;
mod plan;
mod report;

pub use args::RunArgs;

use crate::killed::KernelLog;
use crate::limits::{EXIT_FORBIDDEN, EXIT_NOT_STARTED};
use crate::outside::cgroup::{self, CgroupError, Group, Limits};
use crate::outside::image::{self, Mounted};
use crate::outside::{Network, Start};
use crate::sys::{mount, signals};
use args::NetworkArg;
use hearth_model::plan::Plan;
use plan::{Prepared, prepare};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Runs the command and returns its exit status, 128 and the signal's number where one ended it, or 125
/// where it did not start; why is then on standard error.
#[must_use]
pub fn run(args: &RunArgs) -> u8 {
    match attempt(args) {
        Ok(status) => status,
        Err(text) => {
            eprintln!("hearth-sandbox: {text}");
            EXIT_NOT_STARTED
        }
    }
}

/// The error is for a person: it goes to standard error and nowhere else.
fn attempt(args: &RunArgs) -> Result<u8, String> {
    let prepared = prepare(args)?;
    if args.dry_run {
        return report::dry_run(prepared, args.json);
    }
    let Prepared {
        mut plan,
        limits,
        ids,
        gate,
        missing,
    } = prepared;
    for lack in &missing {
        eprintln!("hearth-sandbox: not applied: {}: {}", lack.what, lack.why);
    }
    let launcher = std::env::current_exe().map_err(|error| format!("own program: {error}"))?;
    let group = limit(&limits, args.without_limits)?;
    let cgroup = match &group {
        Some(group) => Some(group.open().map_err(|error| error.to_string())?),
        None => None,
    };
    let lack = match &cgroup {
        Some(cgroup) => gates::stand(cgroup.as_fd(), &gate)?,
        None => Some("they stand at the control group, and there is none".to_owned()),
    };
    if let Some(why) = lack {
        eprintln!("hearth-sandbox: not applied: {}: {why}", gates::WORDS);
    }
    let namespace = match &args.network {
        NetworkArg::None | NetworkArg::Host => None,
        NetworkArg::File(path) => {
            let open = File::open(path);
            Some(open.map_err(|error| format!("--network {}: {error}", path.display()))?)
        }
    };
    let image = mount_root(&mut plan)?;
    word_size(&plan)?;
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let start = Start {
        launcher: &launcher,
        standard: [input.as_fd(), output.as_fd(), error.as_fd()],
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        network: match (&namespace, &args.network) {
            (Some(namespace), _) => Network::Other(namespace.as_fd()),
            (None, NetworkArg::Host) => Network::Host,
            (None, NetworkArg::None | NetworkArg::File(_)) => Network::Empty,
        },
        ids,
    };
    // Before the start: a signal in between would leave the command behind.
    let caught = signals::catch().map_err(|errno| format!("signals: {errno}"))?;
    let kernel_log = KernelLog::from_now_on();
    let running = start.start(&plan).map_err(|error| error.to_string())?;
    let status = attend::attend(&running, caught.as_fd())
        .map_err(|errno| format!("lost the command: {errno}"))?;
    if status == EXIT_FORBIDDEN {
        eprintln!("hearth-sandbox: {}", kernel_log.tell(running.pid()));
    }
    // In this order: the folder is not busy any more, the group is empty.
    drop(image);
    drop(group);
    Ok(status)
}

/// The control group with its limits; none only where the person said so, and then what is missing is
/// printed.
fn limit(limits: &Limits, without_limits: bool) -> Result<Option<Group>, String> {
    let name = format!("hearth-sandbox-{}", std::process::id());
    let made = cgroup::mount_point().and_then(|root| Group::make(&root, &name, limits));
    match made {
        Ok(group) => Ok(Some(group)),
        Err(error) if without_limits => {
            let settings = limits.settings();
            let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
            let settings = settings.join(", ");
            eprintln!("hearth-sandbox: not applied: limit {settings}: {error}");
            Ok(None)
        }
        Err(error) if cannot_limit(&error) => Err(format!(
            "{error}: limits can not be applied; --without-limits runs the command without any"
        )),
        Err(error) => Err(format!("limits: {error}")),
    }
}

/// Whether it is the machine that takes no limits, not these limits that are wrong.
fn cannot_limit(error: &CgroupError) -> bool {
    match error {
        CgroupError::NotMounted | CgroupError::NoController { .. } => true,
        CgroupError::File { error, .. } => matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        ),
        CgroupError::ReadBack { .. } => false,
    }
}

/// Refuses a program of the other word size: the filter knows one, and would kill it at its first call.
fn word_size(plan: &Plan) -> Result<(), String> {
    let (Some(program), Ok(root)) = (plan.exec.first(), File::open(&plan.root)) else {
        return Ok(()); // a step will name it
    };
    let Ok(path) = CString::new(program.as_str()) else {
        return Ok(());
    };
    let Ok(found) = mount::find(root.as_fd(), &path) else {
        return Ok(());
    };
    let mut head = [0; 5];
    let opened = File::open(format!("/proc/self/fd/{}", found.as_raw_fd()));
    if opened
        .and_then(|mut file| file.read_exact(&mut head))
        .is_err()
    {
        return Ok(());
    }
    // elf(5): e_ident, EI_CLASS.
    let bits = match head {
        [0x7f, b'E', b'L', b'F', 1] => 32,
        [0x7f, b'E', b'L', b'F', 2] => 64,
        _ => return Ok(()),
    };
    if bits == usize::BITS {
        return Ok(());
    }
    Err(format!(
        "exec: {program} is a {bits}-bit program: use a hearth-sandbox that was built for {bits} bits"
    ))
}

/// Mounts the root where it is an image file.
fn mount_root(plan: &mut Plan) -> Result<Option<Mounted>, String> {
    if !Path::new(&plan.root).is_file() {
        return Ok(None);
    }
    let mounted = image::mount_image(Path::new(&plan.root)).map_err(|errno| {
        let hint = match errno.0 {
            libc::EPERM | libc::EACCES => {
                "; without root, unpack it (unsquashfs) and give the folder"
            }
            _ => "",
        };
        format!("could not mount {} as squashfs: {errno}{hint}", plan.root)
    })?;
    let folder = mounted
        .folder()
        .to_str()
        .ok_or("the path of TMPDIR is not UTF-8")?;
    plan.root = folder.into();
    Ok(Some(mounted))
}
