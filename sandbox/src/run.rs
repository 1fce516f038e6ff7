//! The command `run`: one command in a sandbox, on any Linux machine, as root.

use crate::limits::{
    EXIT_NOT_STARTED, RUN_MEMORY_MIB, RUN_OPEN_FILES, RUN_PIDS, RUN_TMP_MIB, RUN_UID,
};
use crate::outside::cgroup::{self, CgroupError, Group, Limits};
use crate::outside::image::{self, Mounted};
use crate::outside::{Running, Start};
use crate::steps::build::build;
use crate::sys::Errno;
use crate::sys::process::{self, Ended};
use clap::Args;
use hearth_model::limits::PLAN_VERSION;
use hearth_model::plan::{Bind, BindAccess, Identity, Plan, Ports, SeccompPlan, TcpPlan};
use hearth_model::{Bytes, MilliCpu, ServiceName};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Flags of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Root inside: a folder, or a squashfs image (default: the machine's own, read-only)
    #[arg(long, value_name = "DIR|IMAGE", default_value = "/")]
    root: PathBuf,
    /// Bind SOURCE[:TARGET[:rw]], read-only unless rw; may be repeated
    #[arg(long, value_name = "BIND", value_parser = parse_bind)]
    bind: Vec<Bind>,
    /// User and group id inside
    #[arg(long, default_value_t = RUN_UID)]
    uid: u32,
    /// Difference to the base policy, such as network-client; may be repeated
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// One more system call; may be repeated
    #[arg(long, value_name = "CALL")]
    allow: Vec<String>,
    /// Environment variable NAME=VALUE; may be repeated. Nothing else is passed but PATH
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<(String, String)>,
    /// Network namespace, such as /run/netns/NAME of `ip netns` (default: an empty one)
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// Memory limit, MiB
    #[arg(long, value_name = "MIB", default_value_t = RUN_MEMORY_MIB)]
    memory: u64,
    /// Processor limit, percent of one core (default: none)
    #[arg(long, value_name = "PERCENT")]
    cpu: Option<u32>,
    /// Process limit
    #[arg(long, default_value_t = RUN_PIDS)]
    pids: u32,
    /// Run even where these limits can not be applied
    #[arg(long)]
    without_limits: bool,
    /// An encoded plan instead of all the flags above but the limits
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root", "bind", "uid", "policy", "allow", "env", "command"])]
    plan: Option<PathBuf>,
    /// Print what would be done, in order, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The command: an absolute path inside, and arguments
    #[arg(last = true, required_unless_present = "plan")]
    command: Vec<String>,
}

/// SOURCE[:TARGET[:rw]].
fn parse_bind(text: &str) -> Result<Bind, String> {
    let (source, target, access) = match text.split(':').collect::<Vec<_>>().as_slice() {
        [source] => (*source, *source, BindAccess::ReadOnly),
        [source, target] => (*source, *target, BindAccess::ReadOnly),
        [source, target, "rw"] => (*source, *target, BindAccess::ReadWrite),
        _ => return Err(format!("{text:?} is not SOURCE[:TARGET[:rw]]")),
    };
    Ok(Bind {
        source: source.into(),
        target: target.into(),
        access,
    })
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.into(), value.into()))
}

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
    let mut plan = plan(args)?;
    // Whoever wrote a plan does not know where it is run.
    plan.empty_network = args.network.is_none();
    plan.check().map_err(|error| error.to_string())?;
    if args.dry_run {
        return dry_run(&plan, args);
    }
    if process::effective_uid() != 0 {
        return Err("making these namespaces takes root: run it with sudo".into());
    }
    let launcher = File::open("/proc/self/exe").map_err(|error| format!("own program: {error}"))?;
    let group = limit(args)?;
    let cgroup = match &group {
        Some(group) => Some(group.open().map_err(|error| error.to_string())?),
        None => None,
    };
    let network = match &args.network {
        Some(path) => {
            let open = File::open(path);
            Some(open.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    let image = mount_root(&mut plan)?;
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let start = Start {
        launcher: launcher.as_fd(),
        standard: [input.as_fd(), output.as_fd(), error.as_fd()],
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        network: network.as_ref().map(AsFd::as_fd),
    };
    // Before the start: a signal in between would leave the command behind.
    let signals = process::termination_signals().map_err(|errno| format!("signals: {errno}"))?;
    let running = start.start(&plan).map_err(|error| error.to_string())?;
    let ended =
        attend(&running, signals.as_fd()).map_err(|errno| format!("lost the command: {errno}"))?;
    // In this order: the folder is not busy any more, the group is empty.
    drop(image);
    drop(group);
    Ok(exit_status(ended))
}

fn plan(args: &RunArgs) -> Result<Plan, String> {
    if let Some(file) = &args.plan {
        let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        return Plan::decode(&bytes).map_err(|error| error.to_string());
    }
    let root = std::path::absolute(&args.root)
        .map_err(|error| format!("{}: {error}", args.root.display()))?;
    let root = root.to_str().ok_or("the root's path is not UTF-8")?;
    let mut env = vec![(
        "PATH".to_owned(),
        "/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    )];
    env.extend(args.env.iter().cloned());
    Ok(Plan {
        version: PLAN_VERSION,
        name: ServiceName::new("sandbox").map_err(|error| error.to_string())?,
        root: root.into(),
        binds: args.bind.clone(),
        tmp_size: Bytes::mib(RUN_TMP_MIB),
        exec: args.command.clone(),
        env,
        working_folder: "/".into(),
        uid: args.uid,
        gid: args.uid,
        open_files_max: RUN_OPEN_FILES,
        seccomp: SeccompPlan {
            policies: args.policy.clone(),
            extra: args.allow.clone(),
        },
        empty_network: true,
        tcp: TcpPlan {
            bind: Ports::Any,
            connect: Ports::Any,
        },
        identity: Identity::OwnRange,
    })
}

fn limits(args: &RunArgs) -> Limits {
    Limits {
        memory: Bytes::mib(args.memory),
        cpu: args.cpu.map(|percent| MilliCpu(percent.saturating_mul(10))),
        pids: args.pids,
    }
}

fn dry_run(plan: &Plan, args: &RunArgs) -> Result<u8, String> {
    let list = build(plan).map_err(|error| error.to_string())?;
    let limits = limits(args)
        .settings()
        .into_iter()
        .map(|setting| format!("    limit {setting}"));
    let steps = list
        .iter()
        .enumerate()
        .map(|(n, action)| format!("{:>3} {action}", n + 1));
    let text: Vec<String> = limits.chain(steps).collect();
    match writeln!(std::io::stdout(), "{}", text.join("\n")) {
        // Who reads it has enough, as in `... --dry-run -- cmd | head`.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("can not print the plan: {error}"))
        }
        Ok(()) | Err(_) => Ok(0),
    }
}

/// The control group with its limits; none only where the person said so, and then what is missing is
/// printed.
fn limit(args: &RunArgs) -> Result<Option<Group>, String> {
    let limits = limits(args);
    let name = format!("hearth-sandbox-{}", std::process::id());
    let made = cgroup::mount_point().and_then(|root| Group::make(&root, &name, &limits));
    match made {
        Ok(group) => Ok(Some(group)),
        Err(error) if args.without_limits => {
            eprintln!("hearth-sandbox: {error}; not applied:");
            for setting in limits.settings() {
                eprintln!("hearth-sandbox:   {setting}");
            }
            Ok(None)
        }
        Err(error @ (CgroupError::NotMounted | CgroupError::NoController { .. })) => Err(format!(
            "{error}: limits can not be applied; --without-limits runs the command without any"
        )),
        Err(error) => Err(format!("limits: {error}")),
    }
}

/// Mounts the root where it is an image file.
fn mount_root(plan: &mut Plan) -> Result<Option<Mounted>, String> {
    if !Path::new(&plan.root).is_file() {
        return Ok(None);
    }
    let mounted = image::mount_image(Path::new(&plan.root))
        .map_err(|errno| format!("could not mount {} as squashfs: {errno}", plan.root))?;
    let folder = mounted
        .folder()
        .to_str()
        .ok_or("the path of TMPDIR is not UTF-8")?;
    plan.root = folder.into();
    Ok(Some(mounted))
}

/// Waits for the end. A signal to us is passed on; the second one kills, since the first process of a pid
/// namespace ignores every other signal that it does not handle (pid_namespaces(7)).
fn attend(running: &Running, signals: BorrowedFd<'_>) -> Result<Ended, Errno> {
    let mut asked = false;
    loop {
        let [ended, signalled] = process::either_readable([running.pidfd(), signals])?;
        if ended {
            return running.wait();
        }
        if signalled {
            let signal = process::next_signal(signals)?;
            running.signal(if asked { libc::SIGKILL } else { signal })?;
            asked = true;
        }
    }
}

fn exit_status(ended: Ended) -> u8 {
    let status = match ended {
        Ended::Code(code) => code,
        Ended::Signal(signal) => 128 + signal,
    };
    // waitid(2) gives 0 to 255, signal(7) numbers up to 64.
    u8::try_from(status).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_read_only_unless_it_says_rw() {
        assert_eq!(parse_bind("/a").unwrap().target, "/a");
        assert_eq!(parse_bind("/a:/b").unwrap().access, BindAccess::ReadOnly);
        assert_eq!(
            parse_bind("/a:/b:rw").unwrap().access,
            BindAccess::ReadWrite
        );
        assert!(parse_bind("/a:/b:ro").is_err());
    }

    #[test]
    fn an_exit_status_tells_signals_apart() {
        assert_eq!(exit_status(Ended::Code(3)), 3);
        assert_eq!(exit_status(Ended::Signal(9)), 137);
    }
}
