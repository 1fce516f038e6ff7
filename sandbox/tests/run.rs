//! The command `run`, as a developer types it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::Bytes;
use hearth_sandbox::outside::cgroup::{self, Group, Limits};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use support::{Programs, both, image, open_folder};

fn run(programs: &Programs, arguments: &[&str]) -> Output {
    Command::new(&programs.launcher)
        .arg("run")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether this machine has what limits need.
fn can_limit() -> bool {
    let limits = Limits {
        memory: Bytes::mib(64),
        cpu: None,
        pids: 16,
    };
    let name = format!("hearth-probe-{}", std::process::id());
    cgroup::mount_point().is_ok_and(|root| Group::make(&root, &name, &limits).is_ok())
}

#[test]
fn the_exit_status_is_the_commands() {
    for programs in both() {
        let image = image(programs);
        let root = image.path().to_str().unwrap();
        for (arguments, status) in [(["exit", "0"], 0), (["exit", "7"], 7)] {
            let mut line = vec!["--without-limits", "--root", root, "--", "/hostile"];
            line.extend(arguments);
            let done = run(programs, &line);
            assert_eq!(done.status.code(), Some(status), "{}", text(&done.stderr));
        }
    }
}

#[test]
fn without_limits_it_refuses_or_says_what_is_not_applied() {
    for programs in both() {
        let image = image(programs);
        let root = image.path().to_str().unwrap();
        let command = ["--root", root, "--", "/hostile", "exit", "0"];
        // when it is run with limits, and without
        let limited = run(programs, &command);
        let unlimited = run(programs, &[&["--without-limits"], &command[..]].concat());
        // then it runs only with limits, or with a list of what is missing
        assert_eq!(unlimited.status.code(), Some(0));
        if can_limit() {
            assert_eq!(limited.status.code(), Some(0));
        } else {
            assert_eq!(limited.status.code(), Some(125));
            let refusal = text(&limited.stderr);
            assert!(refusal.contains("--without-limits"), "{refusal}");
            let missing = text(&unlimited.stderr);
            assert!(missing.contains("memory.max = 536870912"), "{missing}");
            assert!(missing.contains("pids.max = 256"), "{missing}");
        }
    }
}

#[test]
fn a_step_that_fails_is_told_in_words() {
    for programs in both() {
        let image = image(programs);
        let root = image.path().to_str().unwrap();
        let done = run(
            programs,
            &["--without-limits", "--root", root, "--", "/missing"],
        );
        assert_eq!(done.status.code(), Some(125));
        let words = "could not execute the service's program: no such file or directory (ENOENT)";
        let said = text(&done.stderr);
        assert!(said.contains(words), "{said}");
        // the launcher itself says which, for the service's log
        assert!(said.contains("; /missing"), "{said}");
    }
}

#[test]
fn a_dry_run_starts_nothing() {
    for programs in both() {
        let done = run(programs, &["--dry-run", "--", "/nonexistent"]);
        assert_eq!(done.status.code(), Some(0));
        let list = text(&done.stdout);
        assert!(list.contains("limit memory.max"), "{list}");
        assert!(
            list.contains("execute the service's program: /nonexistent"),
            "{list}"
        );
    }
}

fn squash(folder: &Path, file: &Path) {
    let done = Command::new("mksquashfs")
        .args([folder, file])
        .args(["-quiet", "-no-progress"])
        .output();
    match done {
        Ok(done) => assert!(done.status.success(), "{done:?}"),
        Err(error) => panic!("mksquashfs (package squashfs-tools): {error}"),
    }
}

#[test]
fn a_squashfs_image_is_a_root_and_a_damaged_one_is_an_error() {
    for programs in both() {
        // given an image file, and one whose end is cut off
        let image = image(programs);
        let folder = open_folder();
        let good = folder.path().join("good.squashfs");
        squash(image.path(), &good);
        let bytes = fs::read(&good).unwrap();
        let bad = folder.path().join("bad.squashfs");
        fs::write(&bad, &bytes[..bytes.len() / 2]).unwrap();
        // when a command is run in each
        let root = |path: &Path| path.to_str().unwrap().to_owned();
        let inside = |path: &Path| {
            let root = root(path);
            run(
                programs,
                &[
                    "--without-limits",
                    "--root",
                    &root,
                    "--",
                    "/hostile",
                    "exit",
                    "7",
                ],
            )
        };
        // then one runs, the other is refused by name, and no mount stays
        assert_eq!(inside(&good).status.code(), Some(7));
        let refused = inside(&bad);
        assert_eq!(refused.status.code(), Some(125));
        assert!(text(&refused.stderr).contains("bad.squashfs as squashfs"));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("/hearth-sandbox-"), "{mounts}");
    }
}

#[test]
fn a_signal_is_passed_on_and_the_second_one_kills() {
    for programs in both() {
        // given a command that handles no signal: as first process of its namespace it ignores them
        let image = image(programs);
        let mut child = Command::new(&programs.launcher)
            .args(["run", "--without-limits", "--policy", "exec-children"])
            .args(["--root", image.path().to_str().unwrap()])
            .args(["--", "/hostile", "all"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        assert!(lines.any(|line| line.unwrap() == "RESULT end"));
        // when it is asked twice
        for _ in 0..2 {
            // SAFETY: takes no pointer; the child was not waited for, so the number is still its own.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        // then it is gone
        assert_eq!(child.wait().unwrap().code(), Some(137), "{}", programs.word);
    }
}
