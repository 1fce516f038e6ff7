//! The command `run`, as a developer types it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::Bytes;
use hearth_sandbox::outside::cgroup::{self, Group, Limits};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
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
            assert!(
                missing.contains("limit memory.max = 536870912"),
                "{missing}"
            );
            assert!(missing.contains("pids.max = 256"), "{missing}");
            let gates = "not applied: gates for devices, sockets and ports: ";
            assert!(missing.contains(gates), "{missing}");
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

/// Whether the command is process 1 of its sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Command,
    Reaper,
}

impl First {
    const BOTH: [First; 2] = [First::Command, First::Reaper];

    fn flags(self) -> &'static [&'static str] {
        match self {
            First::Command => &["--as-pid-1"],
            First::Reaper => &[],
        }
    }
}

/// The command that handles no signal, as soon as it has done all it wants to do.
fn at_rest(programs: &Programs, image: &Path, first: First) -> Child {
    let mut child = Command::new(&programs.launcher)
        .args(["run", "--without-limits", "--policy", "exec-children"])
        .args(first.flags())
        .args(["--root", image.to_str().unwrap()])
        .args(["--", "/hostile", "all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "RESULT end"));
    child
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: takes no pointer; the child was not waited for, so the number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

#[test]
fn a_signal_that_the_command_does_not_handle_ends_it() {
    for programs in both() {
        let image = image(programs);
        for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
            for first in First::BOTH {
                // given a command that handles none, which the kernel spares as the first process
                let mut child = at_rest(programs, image.path(), first);
                // when the signal comes
                signal(&child, number);
                // then it ends as it would without a sandbox
                let status = child.wait().unwrap().code();
                assert_eq!(status, Some(128 + number), "{} {first:?}", programs.word);
            }
        }
    }
}

/// The processes whose parent this is (proc_pid_task_children(5) may be missing).
fn children(parent: u32) -> Vec<u32> {
    let status = |pid: u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let all = fs::read_dir("/proc").unwrap();
    let all = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |status: &str| status.contains(&format!("PPid:\t{parent}\n"));
    // The program itself leaves ended children behind.
    all.filter(|&pid| is_child(&status(pid)) && !status(pid).contains("State:\tZ"))
        .collect()
}

/// Waits until the state of a process is this (proc_pid_stat(5)).
fn wait_state(pid: u32, state: &str) {
    for _ in 0..500 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.contains(&format!("State:\t{state}")) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("process {pid} is not in state {state}");
}

#[test]
fn a_command_that_a_signal_ends_tells_so_by_its_status() {
    for programs in both() {
        // given a command that sends itself a signal
        let image = image(programs);
        support::place(&programs.contract, &image.path().join("contract"));
        let root = image.path().to_str().unwrap();
        for number in [libc::SIGTERM, libc::SIGKILL, libc::SIGABRT] {
            let text = number.to_string();
            let line = ["--root", root, "--", "/contract", "raise", &text];
            // when it is run as a command, and as the first process
            let command = run(programs, &[&["--without-limits"], &line[..]].concat());
            let first = ["--without-limits", "--as-pid-1"];
            let first = run(programs, &[&first, &line[..]].concat());
            // then it ends as it would outside, and the first process is spared
            assert_eq!(
                command.status.code(),
                Some(128 + number),
                "{}",
                programs.word
            );
            assert_eq!(first.status.code(), Some(0), "{number}");
        }
    }
}

#[test]
fn ctrl_z_stops_the_command_and_fg_lets_it_go_on() {
    for programs in both() {
        let image = image(programs);
        for first in First::BOTH {
            let mut child = at_rest(programs, image.path(), first);
            let [inside] = children(child.id())[..] else {
                panic!("one process below it");
            };
            let below = children(inside);
            assert_eq!(
                below.len(),
                usize::from(first == First::Reaper),
                "{first:?}"
            );
            // when the keyboard stops it
            signal(&child, libc::SIGTSTP);
            // then all stop, and all go on
            for pid in below.iter().chain([&inside, &child.id()]) {
                wait_state(*pid, "T");
            }
            signal(&child, libc::SIGCONT);
            for pid in below.iter().chain([&inside]) {
                wait_state(*pid, "S");
            }
            signal(&child, libc::SIGINT);
            assert_eq!(child.wait().unwrap().code(), Some(130), "{}", programs.word);
        }
    }
}

#[test]
fn a_sandbox_ends_with_whoever_started_it() {
    for programs in both() {
        let image = image(programs);
        let mut child = at_rest(programs, image.path(), First::Reaper);
        let mut inside = children(child.id());
        inside.extend(children(inside[0]));
        // when the starter is killed, which it can not pass on
        signal(&child, libc::SIGKILL);
        child.wait().unwrap();
        // then nobody stays inside
        for _ in 0..500 {
            let alive = |pid: &u32| {
                fs::read_to_string(format!("/proc/{pid}/status"))
                    .is_ok_and(|status| !status.contains("State:\tZ"))
            };
            if !inside.iter().any(alive) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        for pid in inside {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let left = status.is_empty() || status.contains("State:\tZ");
            assert!(left, "{}: {status}", programs.word);
        }
    }
}

/// `run` as a user who is not root, who has a copy of the launcher.
fn run_as_user(programs: &Programs, folder: &Path, arguments: &[&str]) -> Output {
    let launcher = folder.join("hearth-sandbox");
    if !launcher.exists() {
        support::place(&programs.launcher, &launcher);
        std::os::unix::fs::chown(&launcher, Some(USER), Some(USER)).unwrap();
    }
    Command::new("setpriv")
        .args([format!("--reuid={USER}"), format!("--regid={USER}")])
        .args(["--clear-groups", "--"])
        .arg(launcher)
        .args(["run", "--without-limits"])
        .args(arguments)
        .output()
        .unwrap()
}

/// No user of this machine.
const USER: u32 = 54_321;

#[test]
fn anybody_can_run_one_and_is_told_what_is_missing() {
    for programs in both() {
        // given a user who is not root
        let (image, folder) = (image(programs), open_folder());
        let root = image.path().to_str().unwrap();
        let line = ["--root", root, "--", "/hostile", "once"];
        // when he runs the program that tries everything
        let done = run_as_user(programs, folder.path(), &line);
        // then it has no more power than in a sandbox of root's
        let said = text(&done.stdout);
        let nothing = ["0000000000000000"; 5].join(",");
        for line in [
            &format!("RESULT capabilities value={nothing}"),
            &format!("RESULT uid_map value={USER} {USER} 1"),
            "RESULT no_new_privs value=1",
            "RESULT seccomp value=2",
            "RESULT processes value=1",
            "RESULT mount errno=1",
            "RESULT write_root errno=30",
            "RESULT host_name value=sandbox",
        ] {
            assert!(
                said.lines().any(|known| known == line),
                "{line}\n{said}\n{done:?}"
            );
        }
        // and he is told what only root can have
        let told = text(&done.stderr);
        assert!(told.contains("user ids of its own"), "{told}");
    }
}

#[test]
fn a_program_of_the_other_word_size_is_named() {
    let [narrow, wide] = both();
    for (programs, other, bits) in [(narrow, wide, 64), (wide, narrow, 32)] {
        let image = image(other);
        let root = image.path().to_str().unwrap();
        let line = ["--without-limits", "--root", root, "--", "/hostile", "once"];
        let done = run(programs, &line);
        assert_eq!(done.status.code(), Some(125));
        let told = text(&done.stderr);
        assert!(
            told.contains(&format!("/hostile is a {bits}-bit program")),
            "{told}"
        );
    }
}

const MANIFEST: &str = r#"
[service]
name = "probe"
version = "1"
exec = ["/hostile", "exit", "5"]
user = 33
[resources.memory]
max = "24 MiB"
[resources.pids]
max = 3
[access]
network = "lan"
listen = ["lan tcp 8080 -> 80"]
grants = ["api"]
[sandbox]
policies = ["network-server"]
"#;

#[test]
fn a_manifest_gives_command_limits_and_policies_and_what_is_missing_is_said() {
    for programs in both() {
        let (image, folder) = (image(programs), open_folder());
        let file = folder.path().join("manifest.toml");
        fs::write(&file, MANIFEST).unwrap();
        let file = file.to_str().unwrap();
        let image = image.path().to_str().unwrap();
        let line = ["--manifest", file, "--image", image];
        // when it is run, and shown
        let done = run(programs, &[&["--without-limits"], &line[..]].concat());
        let shown = run(programs, &[&["--dry-run", "--json"], &line[..]].concat());
        // then its command ran
        assert_eq!(done.status.code(), Some(5), "{}", text(&done.stderr));
        // and what a gateway would add is named
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let missing = shown["not_applied"].to_string();
        for what in [
            "access.listen lan tcp 8080",
            "access.grants api",
            "access.network",
        ] {
            assert!(missing.contains(what), "{missing}");
            assert!(text(&done.stderr).contains(what));
        }
        // and its limits and user are the manifest's
        assert_eq!(shown["limits"][0]["value"], (24 << 20).to_string());
        let steps = shown["steps"].to_string();
        assert!(steps.contains("user 33, group 33"), "{steps}");
    }
}

#[test]
fn what_can_not_be_a_plan_names_the_field() {
    let programs = &both()[0];
    for (arguments, part) in [
        (&["--uid", "0", "--", "/x"][..], "plan field uid"),
        (
            &["--chdir", "tmp", "--", "/x"][..],
            "plan field working_folder",
        ),
        (
            &["--bind", "/a", "b", "--", "/x"][..],
            "plan field binds.target",
        ),
        (&["--env", "=x", "--", "/x"][..], "plan field env"),
        (&["--policy", "all", "--", "/x"][..], "there is no policy"),
        (
            &["--allow", "mount", "--", "/x"][..],
            "no service gets the system call mount",
        ),
        (
            &["--network", "/etc/passwd", "--", "/x"][..],
            "network namespace",
        ),
        (&["--", "x"][..], "plan field exec"),
        (
            &["--root", "/nonexistent", "--", "/x"][..],
            "mount the root image",
        ),
    ] {
        let done = run(programs, &[&["--without-limits"], arguments].concat());
        assert_eq!(done.status.code(), Some(125), "{arguments:?}");
        let told = text(&done.stderr);
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}

#[test]
fn a_manifest_is_explained_in_words_and_as_json_and_a_faulty_one_is_named() {
    let programs = &both()[1];
    let folder = open_folder();
    let explain = |name: &str, text: &str, flags: &[&str]| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let mut command = Command::new(&programs.launcher);
        command
            .arg("explain")
            .args(flags)
            .arg(file)
            .output()
            .unwrap()
    };
    let words = explain("manifest.toml", MANIFEST, &[]);
    assert_eq!(words.status.code(), Some(0));
    assert!(text(&words.stdout).contains("at port 8080 (tcp) of the gateway"));
    let json = explain("manifest.toml", MANIFEST, &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["name"], "probe");
    let faulty = explain("faulty.toml", "[service]\nnam = 1\n", &[]);
    assert_eq!(faulty.status.code(), Some(1));
    assert!(text(&faulty.stderr).contains("faulty.toml:2"), "{faulty:?}");
}
