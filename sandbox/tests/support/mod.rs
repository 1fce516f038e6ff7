//! What the namespace tests share: the programs of both word sizes, a root image, and a start that goes the
//! way PID 1 goes: clone3, id maps, `exec-plan`. Needs root.
#![allow(dead_code)] // each test file uses a part
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub mod attempts;
pub mod trace;

use hearth_model::limits::PLAN_VERSION;
use hearth_model::plan::{
    Bind, BindAccess, FirstProcess, Identity, Plan, Ports, SeccompPlan, TcpPlan,
};
use hearth_model::step::StepFailure;
use hearth_model::{Bytes, ServiceName};
use hearth_sandbox::outside::{Ids, Network, Running, Start, StartError};
use hearth_sandbox::sys::process::Ended;
use std::fs::{self, File, Permissions};
use std::io::{Read, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The programs of one word size.
#[derive(Debug)]
pub struct Programs {
    /// For messages.
    pub word: &'static str,
    /// `hearth-sandbox`.
    pub launcher: PathBuf,
    /// The hostile example, static.
    pub hostile: PathBuf,
    /// The well-behaved example, static.
    pub contract: PathBuf,
    /// The service whose life is given by files, static.
    pub living: PathBuf,
}

/// Both word sizes. The first call builds what is missing, into the folder of this test run.
pub fn both() -> &'static [Programs; 2] {
    static BOTH: OnceLock<[Programs; 2]> = OnceLock::new();
    BOTH.get_or_init(|| [build_i686(), build_x86_64()])
}

fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn cargo(arguments: &[&str]) {
    let done = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--quiet")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target_folder())
        .status()
        .unwrap();
    assert!(done.success(), "cargo {arguments:?}");
}

fn build_i686() -> Programs {
    const TARGET: &str = "i686-unknown-linux-musl";
    cargo(&[
        "build",
        "--bin",
        "hearth-sandbox",
        "--example",
        "hostile",
        "--example",
        "contract",
        "--example",
        "living",
        "--target",
        TARGET,
    ]);
    let folder = target_folder().join(TARGET).join("debug");
    Programs {
        word: "i686",
        launcher: folder.join("hearth-sandbox"),
        hostile: folder.join("examples/hostile"),
        contract: folder.join("examples/contract"),
        living: folder.join("examples/living"),
    }
}

/// The host's C library, linked in, since the image holds no other file.
fn build_x86_64() -> Programs {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    for example in ["hostile", "contract", "living"] {
        let arguments = ["rustc", "--example", example, "--target", TARGET, "--"];
        let done = Command::new(env!("CARGO"))
            .args(arguments)
            .args(["-C", "target-feature=+crt-static"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", target_folder())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "cargo {arguments:?}: {errors}");
    }
    let folder = target_folder().join(TARGET).join("debug");
    Programs {
        word: "x86_64",
        launcher: env!("CARGO_BIN_EXE_hearth-sandbox").into(),
        hostile: folder.join("examples/hostile"),
        contract: folder.join("examples/contract"),
        living: folder.join("examples/living"),
    }
}

/// A folder that everybody may enter.
pub fn open_folder() -> TempDir {
    assert_eq!(
        hearth_sandbox::sys::process::effective_uid(),
        0,
        "these tests make namespaces and id maps: run them as root"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A root image as packages have it: the empty folders, and the hostile program.
pub fn image(programs: &Programs) -> TempDir {
    let folder = open_folder();
    for name in ["proc", "sys", "dev", "tmp", "run", "data"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    place(&programs.hostile, &folder.path().join("hostile"));
    folder
}

/// Copies a file that will be executed. By another process: a descriptor of ours that is open for writing
/// could be inherited by a sandbox that another test starts just now, and exec would find the file busy.
pub fn place(source: &Path, target: &Path) {
    let done = Command::new("cp").args([source, target]).status().unwrap();
    assert!(done.success(), "cp {source:?} {target:?}");
}

/// A plan with nothing granted that runs the hostile program with `arguments`.
pub fn plan(root: &Path, arguments: &[&str]) -> Plan {
    let mut exec = vec!["/hostile".to_owned()];
    exec.extend(arguments.iter().map(|&word| word.to_owned()));
    Plan {
        version: PLAN_VERSION,
        name: ServiceName::new("probe").unwrap(),
        root: root.to_str().unwrap().into(),
        binds: vec![],
        tmp_size: Bytes::mib(16),
        exec,
        env: vec![("HEARTH_SERVICE".into(), "probe".into())],
        working_folder: "/".into(),
        uid: 1000,
        gid: 1001,
        open_files_max: 64,
        seccomp: SeccompPlan {
            policies: vec!["exec-children".into()],
            extra: vec![],
        },
        empty_network: true,
        tcp: TcpPlan {
            bind: Ports::Any,
            connect: Ports::Any,
        },
        identity: Identity::OwnRange,
        first: FirstProcess::Program,
    }
}

pub fn bind(source: &Path, target: &str, access: BindAccess) -> Bind {
    Bind {
        source: source.to_str().unwrap().into(),
        target: target.into(),
        access,
    }
}

/// A started sandbox and the pipe of its output.
pub struct Started {
    pub running: Running,
    output: std::io::PipeReader,
}

impl Started {
    /// Reads its output up to this line.
    pub fn read_until(&mut self, last: &str) -> String {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(format!("{last}\n").as_bytes()) {
            assert_eq!(self.output.read(&mut byte).unwrap(), 1, "no {last}");
            bytes.extend(byte);
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Reads its output to the end and waits for it.
    pub fn finish(mut self) -> (String, Ended) {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        (text, self.running.wait().unwrap())
    }
}

/// Starts encoded plans and plans, as PID 1 would.
pub fn start_bytes(
    programs: &Programs,
    bytes: &[u8],
    cgroup: Option<&File>,
    network: Option<&File>,
) -> Result<Started, StartError> {
    let input = File::open("/dev/null").unwrap();
    let (output, end) = pipe().unwrap();
    // As PID 1 does: the service may open its output again by name (/dev/stdout), but not read it.
    let end = File::from(OwnedFd::from(end));
    end.set_permissions(Permissions::from_mode(0o222)).unwrap();
    let start = Start {
        launcher: &programs.launcher,
        standard: [input.as_fd(), end.as_fd(), end.as_fd()],
        cgroup: cgroup.map(AsFd::as_fd),
        network: network.map_or(Network::Empty, |file| Network::Other(file.as_fd())),
        ids: Ids::Range,
    };
    let running = start.start_bytes(bytes)?;
    Ok(Started { running, output })
}

pub fn start(programs: &Programs, plan: &Plan) -> Result<Started, StartError> {
    start_bytes(programs, &plan.encode().unwrap(), None, None)
}

/// The output and the end of a plan that must start.
pub fn run(programs: &Programs, plan: &Plan) -> (String, Ended) {
    match start(programs, plan) {
        Ok(started) => started.finish(),
        Err(error) => panic!("{}: {error}", programs.word),
    }
}

/// The failed step of a plan that must not start.
pub fn failure(programs: &Programs, plan: &Plan) -> StepFailure {
    match start(programs, plan) {
        Ok(_) => panic!("{}: it started", programs.word),
        Err(StartError::Step(failure)) => failure,
        Err(error) => panic!("{}: {error}", programs.word),
    }
}
