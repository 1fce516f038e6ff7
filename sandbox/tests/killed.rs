//! A launcher that is stopped or killed at any of its system calls: the machine is as before, and nobody
//! can write its program meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_sandbox::sys::mount::make_tree_private;
use hearth_sandbox::sys::process::new_mount_namespace;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::trace::{self, Stop, Then};
use support::{Programs, both, image, open_folder};

/// `run` of a program that ends at once, in an image file: every part of a start is used.
fn command(launcher: &Path, image: &Path) -> Command {
    let mut command = Command::new(launcher);
    command
        .args(["run", "--as-pid-1", "--without-limits", "--root"])
        .arg(image)
        .args(["--", "/hostile", "exit", "0"])
        .env("TMPDIR", image.parent().unwrap())
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn squashed(programs: &Programs, folder: &Path) -> PathBuf {
    let file = folder.join("image.squashfs");
    let done = Command::new("mksquashfs")
        .args([image(programs).path(), &file])
        .args(["-quiet", "-no-progress"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    file
}

/// What a start could leave on this machine, each with a word for its kind. A namespace lives by a process
/// or a mount, and all processes have ended. `mine` is the name of this test's folder: others run sandboxes as well.
fn traces(mine: &Path) -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let mut all: BTreeSet<String> = mounts.lines().map(|line| format!("mount {line}")).collect();
    for device in fs::read_dir("/sys/block").unwrap() {
        let file = device.unwrap().path().join("loop/backing_file");
        let file = fs::read_to_string(file).unwrap_or_default();
        if file.contains(mine.to_str().unwrap()) {
            all.insert(format!("loop device of {file}"));
        }
    }
    let groups = hearth_sandbox::outside::cgroup::mount_point().unwrap_or_default();
    for (kind, folder) in [("folder", mine), ("control group", &groups)] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            all.insert(format!("{kind} {:?}", entry.unwrap().file_name()));
        }
    }
    all
}

/// The kernel takes the mounts of a dead namespace, and with them a loop device, down a little later.
fn assert_nothing_new(before: &BTreeSet<String>, mine: &Path, when: &str) {
    let new = || traces(mine).difference(before).cloned().collect::<Vec<_>>();
    for _ in 0..500 {
        if new().is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{when}: {:#?}", new());
}

/// Calls of the launcher, from its clone to the command's exec.
fn count_calls(launcher: &Path, image: &Path) -> usize {
    let (mut calls, mut executed) = (0, 0);
    let status = trace::run(&mut command(launcher, image), |_, stop| {
        match stop {
            Stop::Born => {}
            Stop::Call => calls += 1,
            Stop::Executed => executed += 1,
        }
        if executed == 2 {
            Then::Free
        } else {
            Then::GoOn
        }
    });
    assert_eq!((status, executed), (0, 2), "the launcher, then the command");
    calls
}

#[test]
fn a_launcher_killed_at_any_call_leaves_the_machine_as_it_was() {
    // Others mount things at the same time: not in a namespace of this thread's own.
    new_mount_namespace().unwrap();
    make_tree_private().unwrap();
    for (programs, first) in both().iter().zip([1, 3]) {
        // given an image file, and how many calls a start takes
        let folder = open_folder();
        let image = squashed(programs, folder.path());
        let calls = count_calls(&programs.launcher, &image);
        assert!(calls > 100, "{calls} calls: too few to be a sandbox");
        let before = traces(folder.path());
        // Most steps take several calls, and each word size begins elsewhere.
        for victim in (first..=calls).step_by(STRIDE) {
            // when the launcher is killed at one of them
            let mut call = 0;
            let status = trace::run(&mut command(&programs.launcher, &image), |_, stop| {
                if stop == Stop::Call {
                    call += 1;
                }
                if call == victim {
                    Then::Kill
                } else {
                    Then::GoOn
                }
            });
            // then `run` says so, and nothing stays
            let when = format!("{} killed at call {victim} of {calls}", programs.word);
            assert!(
                [125, 128 + libc::SIGKILL].contains(&status),
                "{when}: {status}"
            );
            assert_nothing_new(&before, folder.path(), &when);
        }
    }
}

/// The launcher is killed at each of these calls.
const STRIDE: usize = 4;

/// What becomes of the attempt to write the program of a launcher, got hold of while it ran.
fn write_through(pid_path: &File) -> Result<File, Option<i32>> {
    let path = format!("/proc/self/fd/{}", pid_path.as_raw_fd());
    let opened = OpenOptions::new().write(true).open(path);
    opened.map_err(|error| error.raw_os_error())
}

/// By CVE-2019-5736 a container overwrote the run-time on the host through /proc/PID/exe.
#[test]
fn nobody_who_holds_a_launchers_program_can_write_it() {
    for programs in both() {
        // given a launcher that belongs to whoever runs it, and one who looks at it while it runs
        let (image, folder) = (image(programs), open_folder());
        let launcher = folder.path().join("hearth-sandbox");
        support::place(&programs.launcher, &launcher);
        let mut held = None;
        let status = trace::run(
            &mut command(&launcher, image.path()),
            |pid, stop| match stop {
                Stop::Executed => {
                    let mut options = OpenOptions::new();
                    options.read(true).custom_flags(libc::O_PATH);
                    held = Some(options.open(format!("/proc/{pid}/exe")).unwrap());
                    Then::Free
                }
                Stop::Born | Stop::Call => Then::GoOn,
            },
        );
        assert_eq!(status, 0);
        // when the launcher is gone, so that its program is not busy
        let written = write_through(&held.unwrap());
        // then it is still not to be written, though its owner could by name
        assert_eq!(written.err(), Some(Some(libc::EROFS)), "{}", programs.word);
        OpenOptions::new().write(true).open(&launcher).unwrap();
    }
}

/// The other half of that attack: an image whose program is the launcher itself.
#[test]
fn an_image_that_runs_the_launcher_again_gets_nothing() {
    for programs in both() {
        for words in ["", " exec-plan", " run"] {
            // given an entry point that names whoever executes it
            let (image, folder) = (image(programs), open_folder());
            let launcher = folder.path().join("hearth-sandbox");
            support::place(&programs.launcher, &launcher);
            let entry = image.path().join("hostile");
            fs::write(&entry, format!("#!/proc/self/exe{words}\n")).unwrap();
            let before = fs::read(&launcher).unwrap();
            // when it is run
            let done = command(&launcher, image.path()).output().unwrap();
            // then it does not start, or is refused as any command line that is none
            let status = done.status.code().unwrap();
            assert!(
                [125, 127, 2].contains(&status),
                "{}{words}: {done:?}",
                programs.word
            );
            assert_eq!(fs::read(&launcher).unwrap(), before);
        }
    }
}
