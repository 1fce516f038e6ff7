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

#[path = "../../manager/tests/support/record.rs"]
#[allow(dead_code, clippy::multiple_unsafe_ops_per_block)]
mod record;

use hearth_model::limits::{MANAGER_INIT_FD, PROTOCOL_VERSION};
use hearth_model::protocol::{
    ActiveWhen, Asked, FromInit, NetworkNs, Notify, RestartPolicy, RestartWhen, StartService,
    ToInit,
};
use hearth_model::{ServiceId, ServiceName};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The units that stand in for the real ones, and how long each sleeps, seconds.
const UNITS: [(&str, &str); 2] = [("hearth-netpath", "601"), ("hearth-manager", "602")];

/// Set for the manager that stands in, which is this program: what it knows and is told is in this folder.
const STAND_IN: &str = "HEARTH_TEST_STAND_IN";

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
        Machine::prepare().begin()
    }

    /// Its manager is [`stand_in_for_the_manager`].
    fn boot_with_stand_in() -> Machine {
        let machine = Machine::prepare();
        let root = machine.folder.path().join("root");
        fs::copy(std::env::current_exe().unwrap(), root.join("sbin/stand-in")).unwrap();
        let script = format!(
            "#!/bin/sh\n{STAND_IN}=/root exec /sbin/stand-in --exact stand_in_for_the_manager --nocapture\n"
        );
        fs::write(root.join("sbin/hearth-manager"), script).unwrap();
        machine.begin()
    }

    fn prepare() -> Prepared {
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
        Prepared { folder }
    }
}

/// A root with all its files.
struct Prepared {
    folder: tempfile::TempDir,
}

impl Prepared {
    fn begin(self) -> Machine {
        let folder = self.folder;
        let root = folder.path().join("root");
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
}

impl Machine {
    /// A file that the stand-in reads or writes.
    fn told(&self) -> PathBuf {
        self.folder.path().join("root/root")
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

/// Not a test of its own: what runs as hearth-manager in the machine of the one below. It waits for the file
/// `go`, says Hello, writes down each service with what was lost of its output, and starts one if there is none.
#[test]
fn stand_in_for_the_manager() {
    let Ok(folder) = std::env::var(STAND_IN) else {
        return;
    };
    let folder = Path::new(&folder);
    while fs::remove_file(folder.join("go")).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // SAFETY: PID 1 has made the descriptor for this program, which names it here only.
    let socket = unsafe { OwnedFd::from_raw_fd(MANAGER_INIT_FD) };
    let version = PROTOCOL_VERSION;
    assert!(record::send(&socket, &ToInit::Hello { version }, &[]));
    let (mut services, mut started) = (0, 0);
    while let Some((told, _fds)) = record::receive::<FromInit>(&socket) {
        match told {
            FromInit::Service { lost, .. } => {
                services += 1;
                let mut file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(folder.join("lost"))
                    .unwrap();
                writeln!(file, "{lost}").unwrap();
            }
            FromInit::WelcomeEnd if services == 0 => {
                started = 1;
                // It can not run, since neither is what PID 1 expects; but PID 1 holds it and its pipe.
                let fds: [OwnedFd; 2] = [(); 2].map(|()| File::open("/").unwrap().into());
                assert!(record::send(
                    &socket,
                    &ToInit::Start(service()),
                    &[&fds[0], &fds[1]]
                ));
            }
            // It is at rest, so this changes nothing.
            FromInit::WelcomeEnd => {
                let id = service().id;
                assert!(record::send(&socket, &ToInit::Stop { id }, &[]));
            }
            FromInit::Status { status, .. } if services > 0 && started == 0 => {
                fs::write(folder.join("answered"), status.state.to_string()).unwrap();
            }
            FromInit::Welcome { .. }
            | FromInit::Status { .. }
            | FromInit::System { .. }
            | FromInit::Probed { .. }
            | FromInit::Refused { .. } => {}
        }
    }
}

fn service() -> StartService {
    StartService {
        id: ServiceId::new(7).unwrap(),
        name: ServiceName::new("talker").unwrap(),
        restart: RestartPolicy {
            when: RestartWhen::Never,
            delay_min_ms: 500,
            delay_max_ms: 500,
            retries_max: 1,
            reset_after_ms: 1000,
        },
        stop_signal: 15,
        stop_grace_ms: 1000,
        network: NetworkNs::Empty,
        notify: Notify::None,
        active: ActiveWhen::Executed,
        asked: Asked::Policy,
        depth: 0,
    }
}

/// Both ends of the only pipe that PID 1 holds both ends of, not waiting: where the manager would read, and where
/// the service would write.
fn output_of(init: u32) -> (File, File) {
    let mut ends: [Vec<(PathBuf, PathBuf)>; 2] = [Vec::new(), Vec::new()];
    for entry in fs::read_dir(format!("/proc/{init}/fd")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        if !target.to_string_lossy().starts_with("pipe:") {
            continue;
        }
        let info = fs::read_to_string(path.to_string_lossy().replace("/fd/", "/fdinfo/"));
        let flags = info
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix("flags:").map(|f| f.trim().to_owned()));
        let mode = u32::from_str_radix(&flags.unwrap(), 8).unwrap() & 3;
        if let Some(end) = ends.get_mut(mode as usize) {
            end.push((target, path));
        }
    }
    let [readers, writers] = ends;
    let (reader, writer) = readers
        .iter()
        .find_map(|(pipe, reader)| {
            let writer = writers.iter().find(|(other, _)| other == pipe)?;
            Some((reader, &writer.1))
        })
        .expect("no output pipe");
    let open = |path: &Path, options: &mut OpenOptions| {
        options.custom_flags(libc::O_NONBLOCK).open(path).unwrap()
    };
    (
        open(reader, OpenOptions::new().read(true)),
        open(writer, OpenOptions::new().write(true)),
    )
}

/// All that a pipe holds.
fn empty(reader: &mut File) -> Vec<u8> {
    let mut all = Vec::new();
    let end = reader.read_to_end(&mut all).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
    all
}

/// What the stand-in was told of losses, once it was told `times` times.
fn losses(machine: &Machine, times: usize) -> Vec<u64> {
    let begin = Instant::now();
    loop {
        let text = fs::read_to_string(machine.told().join("lost")).unwrap_or_default();
        if text.lines().count() >= times && text.ends_with('\n') {
            return text.lines().map(|line| line.parse().unwrap()).collect();
        }
        assert!(begin.elapsed() < WAIT, "{text:?}:\n{}", machine.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_service_prints_on_while_the_manager_is_away_and_what_is_lost_is_counted() {
    const FLOOD: usize = 8 * 1024 * 1024;
    // given a service whose manager was killed, and does not come back yet
    let machine = Machine::boot_with_stand_in();
    let go = || fs::write(machine.told().join("go"), "").unwrap();
    let mut away = 1;
    let mut kill_the_manager = || {
        let begin = Instant::now();
        let pid = loop {
            let found = Machine::children(machine.init()).into_iter().find(|pid| {
                fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.starts_with(b"/sbin/stand-in"))
            });
            match found {
                Some(pid) => break pid,
                None => assert!(begin.elapsed() < WAIT, "{}", machine.log()),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Machine::signal(pid, "KILL");
        machine.wait("hearth-manager ended: killed by signal 9", away);
        away += 1;
    };
    machine.wait("hearth-netpath: Active", 1);
    go();
    assert_eq!(losses(&machine, 1), [0]);
    kill_the_manager();
    let (mut reader, mut writer) = output_of(machine.init());
    // when it prints what fits into its pipe, then nothing is lost
    let words = b"some words\n".repeat(5_000);
    assert_eq!(writer.write(&words).unwrap(), words.len());
    machine.wait("hearth-manager: Active", 2);
    go();
    assert_eq!(losses(&machine, 2), [0, 0]);
    assert!(empty(&mut reader) == words);
    // and a stop is answered also where it changes nothing
    let (begin, answered) = (Instant::now(), machine.told().join("answered"));
    while fs::read_to_string(&answered).unwrap_or_default() != "Idle" {
        assert!(begin.elapsed() < WAIT, "{}", machine.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    // when it prints far more, then it is never held for long, and each byte is counted or in the pipe
    kill_the_manager();
    let mut printed = 0;
    let mut begin = Instant::now();
    while printed < FLOOD {
        match writer.write(&[b'x'; 4096]) {
            Ok(count) => {
                printed += count;
                begin = Instant::now();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert!(begin.elapsed() < WAIT, "held after {printed} bytes");
                std::thread::yield_now();
            }
        }
    }
    machine.wait("hearth-manager: Active", 3);
    go();
    let lost = losses(&machine, 3)[2];
    assert!(lost > 0);
    assert_eq!(lost as usize + empty(&mut reader).len(), printed);
    // and the manager that is there reads for itself
    assert_eq!(writer.write(&words).unwrap(), words.len());
    kill_the_manager();
    machine.wait("hearth-manager: Active", 4);
    go();
    assert_eq!(losses(&machine, 4)[3], 0);
    assert!(empty(&mut reader) == words);
    let log = machine.log();
    assert!(!log.contains("allocations after start-up"), "{log}");
}
