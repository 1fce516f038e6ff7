//! A start that can not succeed names its step, its number and the errno, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::plan::{BindAccess, Plan};
use hearth_model::step::{Step, StepFailure};
use hearth_sandbox::outside::StartError;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use support::{Programs, bind, both, failure, image, place, plan, start_bytes};

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const ENOEXEC: i32 = 8;
const EINVAL: i32 = 22;

/// The number of the limit of open files: after those of the user namespace, signals and queues.
const OPEN_FILES: u16 = 4;

/// What a case does to the image and to the plan.
type Break = fn(&Path, &mut Plan);

fn case(name: &'static str, broken: Break, step: Step, index: u16, errno: i32) -> Case {
    Case {
        name,
        broken,
        failure: StepFailure { step, index, errno },
    }
}

struct Case {
    name: &'static str,
    broken: Break,
    failure: StepFailure,
}

/// The number of the mount at /tmp and /run among the temporary file systems: tmp, run, shm.
const RUN: u16 = 1;

fn cases() -> Vec<Case> {
    vec![
        case(
            "the image is missing",
            |_, plan| plan.root = "/nonexistent/image".into(),
            Step::RootImage,
            0,
            ENOENT,
        ),
        case(
            "the image lacks /proc",
            |image, _| fs::remove_dir(image.join("proc")).unwrap(),
            Step::MountProc,
            0,
            ENOENT,
        ),
        case(
            "the image's /run is a file",
            |image, _| {
                fs::remove_dir(image.join("run")).unwrap();
                fs::write(image.join("run"), "").unwrap();
            },
            Step::MountTmp,
            RUN,
            EINVAL,
        ),
        case(
            "the second bind's source is missing",
            |image, plan| {
                plan.binds
                    .push(bind(&image.join("data"), "/data", BindAccess::ReadOnly));
                plan.binds.push(bind(
                    Path::new("/nonexistent"),
                    "/data",
                    BindAccess::ReadOnly,
                ));
            },
            Step::Bind,
            1,
            ENOENT,
        ),
        case(
            "a bind's target is missing in the image",
            |image, plan| {
                plan.binds
                    .push(bind(&image.join("data"), "/missing", BindAccess::ReadOnly));
            },
            Step::Bind,
            0,
            ENOENT,
        ),
        case(
            "a bind's target leads out of the image",
            |image, plan| {
                std::os::unix::fs::symlink("/../../../usr", image.join("out")).unwrap();
                plan.binds
                    .push(bind(&image.join("data"), "/out", BindAccess::ReadOnly));
            },
            Step::Bind,
            0,
            ENOENT,
        ),
        case(
            "more open files than this machine allows",
            |_, plan| plan.open_files_max = u32::MAX,
            Step::ResourceLimit,
            OPEN_FILES,
            EPERM,
        ),
        case(
            "an unknown policy",
            |_, plan| plan.seccomp.policies.push("everything".into()),
            Step::Seccomp,
            0,
            EINVAL,
        ),
        case(
            "a call that no service gets",
            |_, plan| plan.seccomp.extra.push("mount".into()),
            Step::Seccomp,
            0,
            EINVAL,
        ),
        case(
            "no such working folder",
            |_, plan| plan.working_folder = "/home".into(),
            Step::WorkingFolder,
            0,
            ENOENT,
        ),
        case(
            "no such program",
            |_, plan| plan.exec[0] = "/bin/sh".into(),
            Step::ExecService,
            0,
            ENOENT,
        ),
        case(
            "a program that is none",
            |image, _| place(Path::new("Cargo.toml"), &image.join("hostile")),
            Step::ExecService,
            0,
            ENOEXEC,
        ),
        case(
            "a program on the service's own data that may not be executed",
            |_, plan| plan.exec[0] = "/data".into(),
            Step::ExecService,
            0,
            EACCES,
        ),
    ]
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn every_failed_start_names_its_step_and_leaves_no_mount() {
    for programs in both() {
        for case in cases() {
            // given an image and a plan with one fault
            let image = image(programs);
            let mut plan = plan(image.path(), &["once"]);
            (case.broken)(image.path(), &mut plan);
            // when it is started
            let found = failure(programs, &plan);
            // then the fault is named
            assert_eq!(found, case.failure, "{} {}", programs.word, case.name);
            assert!(!mounts().contains(&plan.root), "{}", case.name);
        }
    }
}

fn bytes_fail(programs: &Programs, bytes: &[u8]) -> StepFailure {
    match start_bytes(programs, bytes, None, None) {
        Err(StartError::Step(failure)) => failure,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it started"),
    }
}

#[test]
fn bytes_that_are_no_plan_are_refused() {
    for programs in both() {
        let image = image(programs);
        let good = plan(image.path(), &["once"]).encode().unwrap();
        let mut other_version = good.clone();
        other_version[0] = 99;
        let mut longer = good.clone();
        longer.push(0);
        let too_large = vec![1; hearth_model::limits::PLAN_MAX + 1];
        for bytes in [
            &good[..good.len() - 1],
            &other_version,
            &longer,
            &too_large,
            &[],
        ] {
            let expected = StepFailure {
                step: Step::ReadPlan,
                index: 0,
                errno: EINVAL,
            };
            assert_eq!(bytes_fail(programs, bytes), expected, "{}", programs.word);
        }
    }
}

#[test]
fn exec_plan_by_hand_says_what_to_do_instead() {
    for programs in both() {
        let done = Command::new(&programs.launcher)
            .arg("exec-plan")
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(127));
        let text = String::from_utf8(done.stderr).unwrap();
        assert!(text.contains("hearth-sandbox run"), "{text}");
    }
}

/// A kernel of another time: a filter over the launcher that answers one call with ENOSYS. The numbers of
/// calls since 2019 are the same in all word sizes (syscalls(2)).
fn without_call(command: &mut Command, number: u32) -> &mut Command {
    // linux/bpf_common.h, linux/seccomp.h: load the number; equal to `number`: ENOSYS; else go on.
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let line = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let program = [
        line(LOAD, 0, 0),
        line(JUMP_EQUAL, number, 1),
        line(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0),
        line(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let install = move || {
        let mut program = program;
        let filter = libc::sock_fprog {
            len: 4,
            filter: program.as_mut_ptr(),
        };
        // SAFETY: takes no pointer.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: `filter` and the program that it points to are live locals.
        match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(install) }
}

#[test]
fn a_feature_that_the_kernel_lacks_is_named() {
    for programs in both() {
        let image = image(programs);
        for (call, words) in [
            (435, "create the process in its namespaces"), // clone3
            (428, "execute the launcher"),                 // open_tree
            (442, "execute the launcher"),                 // mount_setattr
            (436, "close inherited descriptors"),          // close_range
            (430, "mount /proc"),                          // fsopen
            (429, "mount the root image"),                 // move_mount
            (437, "mount /proc"),                          // openat2
        ] {
            // given a kernel without this call
            let mut command = Command::new(&programs.launcher);
            command
                .args(["run", "--without-limits", "--root"])
                .arg(image.path())
                .args(["--", "/hostile", "exit", "0"]);
            // when something is run
            let done = without_call(&mut command, call).output().unwrap();
            // then it does not start, and the step and the reason are named
            let told = String::from_utf8(done.stderr).unwrap();
            assert_eq!(done.status.code(), Some(125), "{call} {told}");
            let why = "the kernel lacks this system call (ENOSYS)";
            let named = told
                .lines()
                .any(|line| line.contains(words) && line.contains(why));
            assert!(named, "{} {call}: {told}", programs.word);
        }
    }
}

#[test]
fn a_kernel_without_landlock_is_told_of_and_runs_it_all_the_same() {
    const CREATE_RULESET: u32 = 444;
    for programs in both() {
        let image = image(programs);
        let mut command = Command::new(&programs.launcher);
        command
            .args(["run", "--without-limits", "--root"])
            .arg(image.path())
            .args(["--", "/hostile", "exit", "3"]);
        let done = without_call(&mut command, CREATE_RULESET).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(3), "{told}");
        assert!(
            told.contains("not applied: Landlock: this kernel has none"),
            "{told}"
        );
    }
}

#[test]
fn a_machine_without_user_namespaces_is_named() {
    for programs in both() {
        // given a namespace in which no other may be made
        let image = image(programs);
        let switch_off = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
        let done = Command::new("unshare")
            .args(["--user", "--map-root-user", "sh", "-c", switch_off, "sh"])
            .arg(&programs.launcher)
            .args(["run", "--without-limits", "--root"])
            .arg(image.path())
            .args(["--", "/hostile", "exit", "0"])
            .output()
            .unwrap();
        // then that is what it says
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(125), "{told}");
        assert!(told.contains("sysctl user.max_user_namespaces"), "{told}");
    }
}

#[test]
fn names_that_are_no_utf_8_are_refused_as_such() {
    let programs = &both()[0];
    let odd = std::ffi::OsStr::from_bytes(b"/tmp/\xff");
    for (before, after, part) in [
        (&["--root"][..], &["--", "/x"][..], "UTF-8"),
        (&["--bind"][..], &["/data", "--", "/x"][..], "UTF-8"),
        (&["--"][..], &[][..], "UTF-8"),
        (&["--network"][..], &["--", "/x"][..], "UTF-8"),
    ] {
        let mut command = Command::new(&programs.launcher);
        let command = command.args(["run", "--without-limits"]);
        let done = command.args(before).arg(odd).args(after).output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!([2, 125].contains(&done.status.code().unwrap()), "{told}");
        assert!(told.contains(part), "{before:?}: {told}");
    }
}
