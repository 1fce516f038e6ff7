//! The command `record`: runs a program with all that it starts and says which policies and single calls
//! its manifest needs, or whether a manifest has too many or too few.
//!
//! The kernel tells of each call that the base policy does not allow (seccomp_unotify(2)) and waits for a
//! verdict. Calls that a manifest can allow go on and are noted; all others get the answer that they would
//! get inside, so that the program goes the way that it goes inside: without clone3 it uses clone, without
//! io_uring (`--without`) it polls. It needs no privilege, and looks at programs of both word sizes.

pub mod filter;
pub mod needs;
pub mod socketcall;
pub mod text;
pub mod watch;

use crate::limits::EXIT_NOT_STARTED;
use crate::seccomp::policy::Policy;
use crate::sys::privilege::Capabilities;
use crate::sys::process::{self, Ended};
use clap::Args;
use hearth_model::manifest::Manifest;
use hearth_model::plan::SeccompPlan;
use needs::{Needs, Shipped};
use std::ffi::CString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use watch::{Guise, Output};

/// Flags of `record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Write the lines for the manifest here (default: standard output; the command's own then goes to
    /// standard error)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compare with this manifest instead: status 1 where it names what was not used, or lacks what was. As
    /// root the command runs as the manifest's user, with what its policies keep
    #[arg(long, value_name = "MANIFEST", conflicts_with = "output")]
    check: Option<PathBuf>,
    /// Answer this call with "not permitted", to see whether the command gets along; may be repeated
    #[arg(long, value_name = "CALL")]
    without: Vec<String>,
    /// Root of the command, as root (default: the machine's own)
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// User and group id of the command, as root (default: your own)
    #[arg(long, value_name = "ID")]
    user: Option<u32>,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs and records the command. 0: recorded, and with `--check` the manifest is exact; 1: it is not; 125:
/// nothing was recorded. The command's own status is told on standard error where it is not 0.
#[must_use]
pub fn record(args: &RecordArgs) -> u8 {
    match attempt(args) {
        Ok(status) => status,
        Err(text) => {
            eprintln!("hearth-sandbox: {text}");
            EXIT_NOT_STARTED
        }
    }
}

fn attempt(args: &RecordArgs) -> Result<u8, String> {
    let manifest = match &args.check {
        Some(file) => Some(read(file)?),
        None => None,
    };
    let guise = guise(args, manifest.as_ref())?;
    let shipped = Shipped::read().map_err(|error| error.to_string())?;
    let filter = filter::telling(shipped.base()).map_err(|error| error.to_string())?;
    let mut needs = Needs::new(shipped, args.without.clone()).map_err(|error| error.to_string())?;
    let output = match (&args.output, &args.check) {
        (None, None) => Output::Error,
        (Some(_), _) | (_, Some(_)) => Output::Standard,
    };
    let ended = watch::watch(&args.command, &guise, output, filter, &mut needs)?;
    match ended {
        Ended::Code(0) => {}
        Ended::Code(code) => eprintln!("hearth-sandbox: the command ended with status {code}"),
        Ended::Signal(signal) => eprintln!("hearth-sandbox: signal {signal} ended the command"),
    }
    if let (Some(manifest), Some(file)) = (&manifest, &args.check) {
        return Ok(compare(&needs, manifest, &file.to_string_lossy()));
    }
    let text = text::toml(&needs.difference(), &args.command.join(" "));
    match &args.output {
        Some(file) => std::fs::write(file, text)
            .map_err(|error| format!("can not write {}: {error}", file.display()))?,
        None => std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| format!("can not print the result: {error}"))?,
    }
    Ok(0)
}

fn read(file: &PathBuf) -> Result<Manifest, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("can not read {}: {error}", file.display()))?;
    Manifest::parse(&file.to_string_lossy(), &text).map_err(|errors| errors.to_string())
}

/// As whom the command runs. Only root can be somebody else.
fn guise(args: &RecordArgs, manifest: Option<&Manifest>) -> Result<Guise, String> {
    let root = match &args.root {
        Some(root) => {
            let root = root.as_os_str().as_bytes();
            Some(CString::new(root).map_err(|_| "the root's path has a NUL byte")?)
        }
        None => None,
    };
    if process::effective_uid() != 0 {
        return match (&root, args.user) {
            (None, None) => Ok(Guise { root, user: None }),
            (_, _) => Err("--root and --user take root: run it with sudo".into()),
        };
    }
    let kept = match manifest {
        Some(manifest) => kept(manifest)?,
        None => Capabilities::NONE,
    };
    let id = args.user.or(manifest.map(Manifest::user));
    let user = id.map(|id| (id, kept));
    if user.is_none() {
        eprintln!(
            "hearth-sandbox: the command runs as root, which no service is; --user ID leaves out what only \
             root does"
        );
    }
    Ok(Guise { root, user })
}

/// What the manifest's policies keep.
fn kept(manifest: &Manifest) -> Result<Capabilities, String> {
    let plan = SeccompPlan {
        policies: manifest.policies().to_vec(),
        extra: vec![],
    };
    let policy = Policy::select(&plan).map_err(|error| error.to_string())?;
    Ok(policy.capabilities)
}

fn compare(needs: &Needs, manifest: &Manifest, file: &str) -> u8 {
    let calls = manifest.extra_syscalls().iter();
    let calls: Vec<String> = calls.map(|call| call.name.clone()).collect();
    let comparison = needs.compare(manifest.policies(), &calls);
    for line in text::faults(&comparison, file) {
        eprintln!("{line}");
    }
    u8::from(!comparison.is_exact())
}
