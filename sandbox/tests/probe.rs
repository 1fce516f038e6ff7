//! `exec-probe`: a program beside a service, in its sandbox: everything that the service is in, nothing that
//! the service does not have. Needs root.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::plan::{BindAccess, Plan};
use hearth_model::step::{Step, StepFailure};
use hearth_sandbox::sys::process::{Ended, sealed_file};
use std::fs::{self, Permissions};
use std::io::{Read, pipe};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use support::attempts::{of_once, wrong_inside};
use support::{Programs, Started, bind, both, image, open_folder, place, plan, start};
use tempfile::TempDir;

/// A service that sleeps, and the folder that is its `/data`.
struct Service {
    started: Started,
    plan: Plan,
    data: TempDir,
    _image: TempDir,
}

fn service(programs: &Programs) -> Service {
    let (image, data) = (image(programs), open_folder());
    place(&programs.living, &image.path().join("living"));
    let owner = Some(hearth_sandbox::outside::FIRST_ID + 1000);
    chown(data.path(), owner, owner).unwrap();
    fs::set_permissions(data.path(), Permissions::from_mode(0o700)).unwrap();
    let mut plan = plan(image.path(), &[]);
    plan.exec = vec!["/living".into(), "sleep".into()];
    plan.binds
        .push(bind(data.path(), "/data", BindAccess::ReadWrite));
    let started = start(programs, &plan).unwrap();
    Service {
        started,
        plan,
        data,
        _image: image,
    }
}

/// A copy above the numbers that are to be placed, closed by exec.
fn high(fd: RawFd) -> RawFd {
    // SAFETY: F_DUPFD_CLOEXEC takes an int, no pointer.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100) };
    assert!(copy >= 100);
    copy
}

/// Executes the probe of this plan beside the process of `target`, as PID 1 does; its end and failed step.
fn probe(programs: &Programs, plan: &Plan, target: RawFd) -> (Output, Option<StepFailure>) {
    let sealed = sealed_file(c"plan", &plan.encode().unwrap()).unwrap();
    let (mut status, end) = pipe().unwrap();
    let end = OwnedFd::from(end);
    let fds = [
        high(sealed.as_raw_fd()),
        high(end.as_raw_fd()),
        high(target),
    ];
    let mut command = Command::new(&programs.launcher);
    command.arg("exec-probe");
    let placed = move || {
        for (number, fd) in (3..).zip(fds) {
            // SAFETY: dup2(2) takes no pointer and is async-signal-safe.
            if unsafe { libc::dup2(fd, number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only dup2(2) is called, on numbers made before.
    unsafe { command.pre_exec(placed) };
    let output = command.output().unwrap();
    for fd in fds {
        // SAFETY: made above, and owned by nobody else.
        unsafe { libc::close(fd) };
    }
    drop(end);
    let mut bytes = Vec::new();
    status.read_to_end(&mut bytes).unwrap();
    (output, StepFailure::from_bytes(&bytes))
}

fn checks(service: &Service) -> Plan {
    let mut plan = service.plan.clone();
    plan.exec = vec!["/living".into(), "check".into()];
    plan
}

fn target(service: &Service) -> RawFd {
    service.started.running.pidfd().as_raw_fd()
}

#[test]
fn a_probe_is_in_the_sandbox_and_has_no_more_than_the_service() {
    for programs in both() {
        let service = service(programs);
        // when it looks for a file in the service's data that is not there
        let (output, failed) = probe(programs, &checks(&service), target(&service));
        assert_eq!(
            (output.status.code(), failed),
            (Some(1), None),
            "{output:?}"
        );
        // then it is the service's user without any capability, in each of its namespaces
        let told = String::from_utf8(output.stdout).unwrap();
        for fact in [
            "Uid:1000,1000,1000,1000",
            "Groups: ",
            "CapEff:0000000000000000",
            "CapBnd:0000000000000000",
            "NoNewPrivs:1",
            "Seccomp:2",
            "PPid:0",
            // standard input, output and error, and the folder that is read
            "open=4",
        ] {
            assert!(told.contains(fact), "{}: {fact}: {told}", programs.word);
        }
        for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"] {
            let its = format!("/proc/{}/ns/{kind}", service.started.running.pid());
            match fs::read_link(its) {
                Ok(its) => assert!(told.contains(its.to_str().unwrap()), "{kind}: {told}"),
                Err(_) => assert_eq!(kind, "time", "the only one that a kernel may lack"),
            }
        }
        // and with the file it succeeds
        fs::write(service.data.path().join("go"), "").unwrap();
        let (output, failed) = probe(programs, &checks(&service), target(&service));
        assert_eq!(
            (output.status.code(), failed),
            (Some(0), None),
            "{output:?}"
        );
        // and the service runs on
        service.started.running.signal(libc::SIGKILL).unwrap();
        assert_eq!(service.started.finish().1, Ended::Signal(libc::SIGKILL));
    }
}

#[test]
fn a_probe_that_can_not_be_says_which_step_failed() {
    for programs in both() {
        let service = service(programs);
        let mut missing = checks(&service);
        missing.exec[0] = "/nonexistent".into();
        let (output, failed) = probe(programs, &missing, target(&service));
        let failed = failed.unwrap();
        assert_eq!(
            (failed.step, failed.errno),
            (Step::ExecService, libc::ENOENT)
        );
        assert!(!output.status.success());
        // nobody to enter: the service has ended
        service.started.running.signal(libc::SIGKILL).unwrap();
        service.started.running.wait().unwrap();
        let (_, failed) = probe(programs, &checks(&service), target(&service));
        let failed = failed.unwrap();
        assert_eq!(
            (failed.step, failed.errno),
            (Step::EnterService, libc::ESRCH)
        );
    }
}

/// What differs for a process that is not the first one of its sandbox: the first one, the service, is under
/// Landlock rules of its own, so that /proc does not even show it; process 2 is itself; and it may have
/// siblings, which live in the same sandbox.
const AS_A_PROBE: [(&str, &str); 5] = [
    ("write_first_program", "errno=2"),
    ("memory_of_first_process", "errno=2"),
    ("proc_1_environ", "errno=2"),
    ("kill_outside", "ok"),
    ("clone_sibling", "ok"),
];

#[test]
fn a_hostile_probe_is_refused_what_the_service_is_refused() {
    for programs in both() {
        let service = service(programs);
        let mut hostile = service.plan.clone();
        hostile.exec = vec!["/hostile".into(), "once".into()];
        // when the hostile program is the probe, then each attempt comes to what it comes to as a service
        let (output, failed) = probe(programs, &hostile, target(&service));
        assert_eq!(failed, None);
        let told = String::from_utf8(output.stdout).unwrap();
        let wrong = wrong_inside(&of_once(programs.word), &told, &AS_A_PROBE);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", programs.word);
        service.started.running.signal(libc::SIGKILL).unwrap();
    }
}
