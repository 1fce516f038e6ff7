//! The command `record` on real programs of both word sizes, recorded by recorders of both; and the filter of
//! what it asks for, on the real kernel.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::manifest::Manifest;
use hearth_model::plan::SeccompPlan;
use hearth_sandbox::sys::process::Ended;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use support::{Programs, both, open_folder, place, plan, run};

/// A manifest around what was recorded.
const AROUND: &str = "[service]\nname = \"a\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\nmax = \"8 MiB\"\n\
                      [resources.pids]\nmax = 4\n";

fn record(recorder: &Programs, arguments: &[&str]) -> Output {
    let mut command = Command::new(&recorder.launcher);
    command.arg("record").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a manifest says after `record` has written it.
fn recorded(recorder: &Programs, command: &[&str]) -> (SeccompPlan, String) {
    let done = record(recorder, &[&["--"], command].concat());
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let lines = text(&done.stdout);
    let manifest = Manifest::parse("recorded", &format!("{AROUND}{lines}")).unwrap();
    let extra = manifest.extra_syscalls().iter();
    let plan = SeccompPlan {
        policies: manifest.policies().to_vec(),
        extra: extra.map(|call| call.name.clone()).collect(),
    };
    (plan, lines)
}

/// The example `caller` of this word size, static, as `both` builds the hostile one.
fn built(programs: &Programs) -> PathBuf {
    let target = match programs.word {
        "i686" => "i686-unknown-linux-musl",
        _ => "x86_64-unknown-linux-gnu",
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let done = Command::new(env!("CARGO"))
        .args([
            "rustc",
            "--quiet",
            "--example",
            "caller",
            "--target",
            target,
        ])
        .args(["--", "-C", "target-feature=+crt-static"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    folder.join(target).join("debug/examples/caller")
}

/// The program `caller` of this word size, in a folder that everybody may enter.
fn caller(programs: &Programs) -> (tempfile::TempDir, PathBuf) {
    let folder = open_folder();
    for name in ["proc", "sys", "dev", "tmp", "run", "data"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("caller");
    place(&built(programs), &path);
    (folder, path)
}

/// Every recorder with every program's word size.
fn pairs() -> impl Iterator<Item = (&'static Programs, &'static Programs)> {
    let of = |recorder| both().iter().map(move |program| (recorder, program));
    both().iter().flat_map(of)
}

#[test]
fn each_act_asks_for_its_policy_or_call_and_nothing_else() {
    for (recorder, programs) in pairs() {
        let (_folder, path) = caller(programs);
        let path = path.to_str().unwrap();
        for (acts, policies, extra) in [
            (&["thread"][..], &[][..], &[][..]),
            (&["clone3", "thread"], &[], &[]),
            (&["fork"], &["exec-children"], &[]),
            (&["spawn"], &["exec-children"], &[]),
            (&["client"], &["network-client"], &[]),
            (&["server"], &["network-server"], &[]),
            (
                &["client", "server", "fork"],
                &["network-server", "exec-children"],
                &[],
            ),
            (
                &["ptrace", "sched_setaffinity"],
                &[],
                &["ptrace", "sched_setaffinity"],
            ),
            (&["new-user", "mount", "bpf"], &[], &[]),
            (
                &["netlink"],
                if programs.word == "i686" {
                    &["network-client", "netlink"]
                } else {
                    &["netlink"]
                },
                &[],
            ),
            // what an exec'd program and one whose parent has ended call counts, too
            (&["exec", "ptrace"], &[], &["ptrace"]),
            (
                &["orphan", "sched_setaffinity"],
                &["exec-children"],
                &["sched_setaffinity"],
            ),
        ] {
            let (plan, lines) = recorded(recorder, &[&[path], acts].concat());
            let found: (Vec<&str>, Vec<&str>) = (
                plan.policies.iter().map(String::as_str).collect(),
                plan.extra.iter().map(String::as_str).collect(),
            );
            let who = format!("{} {} {acts:?}", recorder.word, programs.word);
            assert_eq!(found, (policies.to_vec(), extra.to_vec()), "{who}: {lines}");
        }
    }
}

#[test]
fn what_no_manifest_can_allow_is_a_comment_with_its_reason_and_fails_as_inside() {
    for (recorder, programs) in pairs() {
        let (_folder, path) = caller(programs);
        let path = path.to_str().unwrap();
        let acts = ["new-user", "mount", "bpf", "clone3", "perf_event_open"];
        let done = record(recorder, &[&["--", path], &acts[..]].concat());
        let (lines, said) = (text(&done.stdout), text(&done.stderr));
        for line in [
            "#   clone(0x10000011): fails; no policy allows it with these arguments",
            "#   mount: fails; would change what the service can see",
            "#   bpf: killed; runs code in the kernel",
            "#   perf_event_open: fails; ",
        ] {
            assert!(lines.contains(line), "{line} not in {lines}");
        }
        // a call that is absent inside is absent while recording, and its replacement is what counts
        assert!(!lines.contains("#   clone3"), "{lines}");
        for line in [
            "new-user errno=1",
            "mount errno=1",
            "bpf errno=1",
            "clone3 errno=38",
        ] {
            assert!(
                said.contains(&format!("CALLED {line}\n")),
                "{line} not in {said}"
            );
        }
    }
}

#[test]
fn a_service_with_what_was_recorded_does_inside_what_it_did_outside() {
    for programs in both() {
        // given what a program asks for
        let (folder, path) = caller(programs);
        let acts = [
            "thread",
            "fork",
            "server",
            "ptrace",
            "sched_setaffinity",
            "mount",
            "clone3",
        ];
        let command: Vec<&str> = [&[path.to_str().unwrap()], &acts[..]].concat();
        let (asked, lines) = recorded(programs, &command);
        let outside = text(&record(programs, &[&["--"], &command[..]].concat()).stderr);
        // when it runs inside with just that
        let mut inside = plan(folder.path(), &acts);
        inside.exec[0] = "/caller".into();
        inside.seccomp = asked;
        let (said, ended) = run(programs, &inside);
        // then it comes as far
        assert_eq!(ended, Ended::Code(0), "{lines}");
        for line in said.lines() {
            assert!(outside.contains(line), "{line} not in {outside}");
        }
        assert_eq!(said.lines().count(), acts.len(), "{said}");
        // and with one thing less it does not
        inside.seccomp.extra.retain(|call| call != "ptrace");
        assert_eq!(run(programs, &inside).1, Ended::Signal(libc::SIGSYS));
        inside
            .seccomp
            .policies
            .retain(|policy| policy != "network-server");
        let (said, _) = run(programs, &inside);
        assert!(said.contains("CALLED server errno=1\n"), "{said}");
    }
}

#[test]
fn an_ordinary_user_can_record() {
    for programs in both() {
        let (folder, path) = caller(programs);
        let recorder = folder.path().join("recorder");
        place(&programs.launcher, &recorder);
        let done = Command::new("setpriv")
            .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
            .arg(&recorder)
            .args([
                "record",
                "--",
                path.to_str().unwrap(),
                "fork",
                "spawn",
                "thread",
            ])
            .output()
            .unwrap();
        let lines = text(&done.stdout);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        assert!(lines.contains("\"exec-children\""), "{lines}");
        assert!(!lines.contains("network"), "{lines}");
    }
}

#[test]
fn programs_of_the_machine_ask_for_what_they_do() {
    let recorder = &both()[1];
    let expected: [(&[&str], &[&str]); 4] = [
        (&["ls", "-l", "/"], &[]),
        (&["sh", "-c", "ls / | cat"], &["exec-children"]),
        (
            &[
                "python3",
                "-c",
                "import threading as t; w = t.Thread(target=print); w.start(); w.join()",
            ],
            &[],
        ),
        (&["dnsmasq", "--test", "--conf-file=/dev/null"], &[]),
    ];
    for (command, policies) in expected {
        let done = record(recorder, &[&["--user", "1000", "--"], command].concat());
        let lines = text(&done.stdout);
        let manifest = Manifest::parse("recorded", &format!("{AROUND}{lines}")).unwrap();
        assert_eq!(
            manifest.policies(),
            policies,
            "{command:?}: {lines}{}",
            text(&done.stderr)
        );
    }
}

fn manifest(folder: &Path, sandbox: &str) -> String {
    let file = folder.join("manifest.toml");
    fs::write(&file, format!("{AROUND}{sandbox}")).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_manifest_that_says_too_much_or_too_little_fails_the_check() {
    for programs in both() {
        let (folder, path) = caller(programs);
        let acts = [path.to_str().unwrap(), "fork", "sched_setaffinity"];
        let single =
            |name: &str| format!("[[sandbox.syscall]]\nname = \"{name}\"\nreason = \"it does\"\n");
        let exact = format!(
            "[sandbox]\npolicies = [\"exec-children\"]\n{}",
            single("sched_setaffinity")
        );
        let too_much = format!(
            "{}{}",
            exact.replace("[\"", "[\"netlink\", \""),
            single("sync")
        );
        for (sandbox, status, faults) in [
            (exact.as_str(), 0, &[][..]),
            (
                too_much.as_str(),
                1,
                &[
                    "policy \"netlink\" is stale",
                    "system call \"sync\" is stale",
                ],
            ),
            (
                "",
                1,
                &[
                    "call \"fork\" was called and is not",
                    "\"sched_setaffinity\" was called",
                ],
            ),
        ] {
            // when
            let file = manifest(folder.path(), sandbox);
            let done = record(programs, &[&["--check", &file, "--"], &acts[..]].concat());
            // then
            let said = text(&done.stderr);
            assert_eq!(done.status.code(), Some(status), "{sandbox}: {said}");
            for fault in faults {
                assert!(said.contains(fault), "{fault} not in {said}");
            }
        }
    }
}

#[test]
fn what_can_not_be_recorded_is_an_error_with_its_reason() {
    let recorder = &both()[1];
    let launcher = recorder.launcher.to_str().unwrap();
    for (arguments, part) in [
        (&["--", "/nonexistent"][..], "can not execute /nonexistent"),
        (
            &["--without", "opne", "--", "ls"],
            "there is no system call \"opne\"",
        ),
        (
            &["--check", "/nonexistent", "--", "ls"],
            "can not read /nonexistent",
        ),
        (&["--root", "/nonexistent", "--", "ls"], "can not record ls"),
    ] {
        let done = record(recorder, arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(125), "{said}");
        assert!(said.contains(part), "{part} not in {said}");
    }
    // a recording inside of a recording
    let done = record(recorder, &["--", launcher, "record", "--", "ls"]);
    let said = text(&done.stderr);
    assert!(said.contains("this shell is itself recorded"), "{said}");
}

/// Starts a recording and waits until the command has done the last of these acts; its folder goes with it.
fn started(programs: &Programs, acts: &[&str], last: &str) -> (tempfile::TempDir, PathBuf, Child) {
    let (folder, path) = caller(programs);
    let file = folder.path().join("out.toml");
    let mut child = Command::new(&programs.launcher)
        .args([
            "record",
            "-o",
            file.to_str().unwrap(),
            "--",
            path.to_str().unwrap(),
        ])
        .args(acts)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.as_mut().unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(format!("CALLED {last} ok\n").as_bytes()) {
        assert_eq!(output.read(&mut byte).unwrap(), 1, "{}", text(&said));
        said.extend(byte);
    }
    (folder, file, child)
}

#[test]
fn a_command_that_does_not_end_is_asked_to_and_what_it_left_behind_is_killed() {
    for programs in both() {
        for (acts, last) in [
            // given a command that goes on, and one that has left a child which does
            (&["fork", "sleep"][..], "fork"),
            (&["orphan", "fork", "sleep"], "fork"),
        ] {
            let (_folder, file, mut child) = started(programs, acts, last);
            // when the recorder is asked to end, once
            // SAFETY: takes no pointer; the child was not waited for, so the number is still its own.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
            // then nobody is left who could write, and what was seen is written
            let mut rest = String::new();
            child
                .stdout
                .take()
                .unwrap()
                .read_to_string(&mut rest)
                .unwrap();
            assert_eq!(
                child.wait().unwrap().code(),
                Some(0),
                "{} {rest}",
                programs.word
            );
            assert!(fs::read_to_string(file).unwrap().contains("exec-children"));
        }
    }
}

#[test]
fn a_command_that_its_filter_kills_is_told_as_such() {
    for programs in both() {
        let (folder, _path) = caller(programs);
        let root = folder.path().to_str().unwrap();
        let run = |flags: &[&str]| {
            let fixed = ["run", "--without-limits", "--root", root];
            let command = ["--", "/caller", "ptrace"];
            let words = [&fixed, flags, &command[..]].concat();
            Command::new(&programs.launcher)
                .args(words)
                .output()
                .unwrap()
        };
        // when it makes a call that kills, then its status is a shell's and the end is told; with the call
        // where the kernel kept its record (10 in 5 s) and lets us read it
        let killed = run(&[]);
        let said = text(&killed.stderr);
        assert_eq!(killed.status.code(), Some(128 + libc::SIGSYS), "{said}");
        let with_call = said.contains("killed: it made the system call ptrace, which looks into");
        assert!(
            with_call || said.contains("`hearth-sandbox record -- COMMAND` does"),
            "{said}"
        );
        // and with the hint that it gives, the command ends as it would
        let allowed = run(&["--allow", "ptrace"]);
        assert_eq!(allowed.status.code(), Some(0), "{}", text(&allowed.stderr));
    }
}
