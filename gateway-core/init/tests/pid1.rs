//! The real hearth-init as PID 1 of namespaces of its own, on a root that the test makes: it starts
//! its units, starts them again when they are killed, allocates nothing meanwhile, and goes down in
//! order. Needs root. `/dev/kmsg` is a plain file there, so its log can be read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The units that stand in for the real ones, and how long each sleeps, seconds.
const UNITS: [(&str, &str); 2] = [("hearth-netpath", "601"), ("hearth-manager", "602")];

const WAIT: Duration = Duration::from_secs(60);

/// Everything is mounted before hearth-init looks, so it touches nothing of the machine's own.
const SETUP: &str = r#"
set -eu
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
for folder in bin lib lib64 usr; do
    mkdir -p "$root/$folder"
    if [ -e "/$folder" ]; then mount --rbind -o ro "/$folder" "$root/$folder"; fi
done
for folder in dev sys run tmp; do mkdir -p "$root/$folder"; mount -t tmpfs none "$root/$folder"; done
mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/sys/fs/cgroup" "$root/sys/fs/bpf" "$root/proc" "$root/data"
for folder in dev/pts dev/shm sys/fs/bpf data; do mount -t tmpfs none "$root/$folder"; done
mount -t tmpfs -o ro none "$root/sys/fs/cgroup"
mknod -m 666 "$root/dev/null" c 1 3
ln "$root/../log" "$root/dev/kmsg" 2>/dev/null || { : >"$root/dev/kmsg"; mount --bind "$root/../log" "$root/dev/kmsg"; }
: >"$root/dev/console"
exec chroot "$root" /sbin/hearth-init
"#;

struct Machine {
    unshare: Child,
    folder: tempfile::TempDir,
}

impl Machine {
    fn boot() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for place in ["sbin", "etc/hearth", "root"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        fs::write(folder.path().join("log"), "").unwrap();
        fs::copy(
            env!("CARGO_BIN_EXE_hearth-init"),
            root.join("sbin/hearth-init"),
        )
        .unwrap();
        for (unit, seconds) in UNITS {
            let path = root.join("sbin").join(unit);
            fs::write(&path, format!("#!/bin/sh\nexec /bin/sleep {seconds}\n")).unwrap();
            let made = Command::new("chmod")
                .arg("755")
                .arg(&path)
                .status()
                .unwrap();
            assert!(made.success());
        }
        let unshare = Command::new("unshare")
            .args([
                "--pid",
                "--fork",
                "--kill-child",
                "--mount",
                "--uts",
                "--net",
                "--ipc",
            ])
            .args(["/bin/sh", "-c", SETUP, "setup"])
            .arg(&root)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Machine { unshare, folder }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log holds `text` this often.
    fn wait(&self, text: &str, times: usize) {
        let begin = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(
                begin.elapsed() < WAIT,
                "no {times} x {text:?} in:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The children of a process.
    fn children(pid: u32) -> Vec<u32> {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    }

    /// PID 1, seen from here.
    fn init(&self) -> u32 {
        Machine::children(self.unshare.id())[0]
    }

    fn signal(pid: u32, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &pid.to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Ends PID 1, and with it all that the namespace holds; gone already is fine.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// The process of a unit, which is a sleep(1) as long as [`UNITS`] says.
fn process_of(init: u32, seconds: &str) -> Option<u32> {
    let wanted = format!("/bin/sleep\0{seconds}\0");
    let is = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|text| text == wanted)
    };
    Machine::children(init).into_iter().find(is)
}

#[test]
fn killed_units_are_back_nothing_is_allocated_and_the_way_down_is_in_order() {
    // given a machine whose units run
    let mut machine = Machine::boot();
    machine.wait("hearth-netpath: Active", 1);
    machine.wait("hearth-manager: Active", 1);
    let init = machine.init();
    // when each is killed again and again
    for round in 1..=3 {
        for (unit, seconds) in UNITS {
            let begin = Instant::now();
            let pid = loop {
                if let Some(pid) = process_of(init, seconds) {
                    break pid;
                }
                assert!(
                    begin.elapsed() < WAIT,
                    "{unit} does not run:\n{}",
                    machine.log()
                );
                std::thread::sleep(Duration::from_millis(20));
            };
            Machine::signal(pid, "KILL");
            machine.wait(&format!("{unit} ended: killed by signal 9"), round);
            machine.wait(&format!("{unit}: Active"), round + 1);
        }
    }
    // then PID 1 has allocated nothing (a debug build counts)
    assert!(
        !machine.log().contains("allocations after start-up"),
        "{}",
        machine.log()
    );
    // and when it is told to power off
    Machine::signal(init, "USR2");
    let begin = Instant::now();
    loop {
        if machine.unshare.try_wait().unwrap().is_some() {
            break;
        }
        assert!(begin.elapsed() < WAIT, "still there:\n{}", machine.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    // then the manager ends before netpath, and PID 1 is gone as after a power off
    let log = machine.log();
    let at = |text: &str| {
        log.rfind(text)
            .unwrap_or_else(|| panic!("no {text:?} in:\n{log}"))
    };
    assert!(
        at("hearth-manager ended: killed by signal 15")
            < at("hearth-netpath ended: killed by signal 15")
    );
}
