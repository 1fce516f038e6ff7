//! A start that can not succeed names its step, its number and the errno, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::plan::{BindAccess, Plan};
use hearth_model::step::{Step, StepFailure};
use hearth_sandbox::outside::StartError;
use std::fs;
use std::path::Path;
use support::{Programs, bind, both, failure, image, place, plan, start_bytes};

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const ENOEXEC: i32 = 8;
const EINVAL: i32 = 22;

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
            0,
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
        let done = std::process::Command::new(&programs.launcher)
            .arg("exec-plan")
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(127));
        let text = String::from_utf8(done.stderr).unwrap();
        assert!(text.contains("hearth-sandbox run"), "{text}");
    }
}
