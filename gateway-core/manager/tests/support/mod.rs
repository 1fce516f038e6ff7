//! A gateway for tests: the real hearth-manager below a temporary root, with a PID 1 and a netpath
//! that are this test's own. Root is needed: images are mounted, in a mount namespace of the manager.

pub mod http;
pub mod init;
pub mod net;
pub mod record;
pub mod trap;

use hearth_model::hex;
use hearth_package::SecretKey;
use hearth_package::verity::Builder;
use init::Init;
use net::Net;
use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that should happen; a loaded machine may need some seconds.
pub const SOON: Duration = Duration::from_secs(20);

/// Now, on the clock that PID 1 and the manager share (CLOCK_BOOTTIME).
pub fn now() -> hearth_model::Tick {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    hearth_model::Tick((seconds * 1000.0) as u64)
}

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The machine: files, and the processes around the manager.
pub struct Gateway {
    folder: tempfile::TempDir,
    pub init: Init,
    pub net: Option<Net>,
    manager: Option<Child>,
    /// The kernel's log, as a pipe: open for both, so that it does not end.
    kernel_log: fs::File,
}

/// `[access]` of a service with a port.
pub const WITH_PORT: &str = "network = \"lan\"\nlisten = [\"lan tcp 8080 -> 80\"]\n";

/// The key of the vendor of all packages here.
pub fn vendor_key() -> SecretKey {
    SecretKey::from_random(&[1; 32]).unwrap()
}

fn kernel_log(root: &Path) -> fs::File {
    let path = root.join("dev/kmsg");
    fs::create_dir(root.join("dev")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

impl Gateway {
    /// Puts a record into the kernel's log.
    pub fn kernel_says(&self, record: &str) {
        std::io::Write::write_all(&mut &self.kernel_log, record.as_bytes()).unwrap();
    }

    /// A gateway with 256 MiB and one core, without packages; nothing runs yet.
    pub fn new() -> Gateway {
        // Data in memory is what every kernel can limit; board tests have a disk with quotas.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let kernel_log = kernel_log(folder.path());
        let gateway = Gateway {
            folder,
            init: Init::new(),
            net: None,
            manager: None,
            kernel_log,
        };
        gateway.write("proc/meminfo", "MemTotal:         262144 kB\n");
        gateway.write("sys/devices/system/cpu/online", "0\n");
        gateway.write(
            "proc/pressure/cpu",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        );
        gateway.write(
            "etc/hearth/gateway.toml",
            include_str!("../../../../board/common/gateway.toml"),
        );
        gateway.write("etc/hearth/release", "test 1\n");
        let pem = vendor_key().public().to_pem().unwrap();
        gateway.write(
            "etc/hearth/trust.toml",
            &format!("[[key]]\nvendor = \"test\"\npublic = \"\"\"\n{pem}\"\"\"\n"),
        );
        gateway.write("sys/fs/cgroup/cgroup.subtree_control", "");
        gateway.write("sys/fs/cgroup/services/cgroup.subtree_control", "");
        for group in ["services", "system"] {
            gateway.write(&format!("sys/fs/cgroup/{group}/cpu.weight"), "100\n");
        }
        gateway.write("sys/fs/cgroup/services/memory.min", "0\n");
        gateway.write("sys/fs/cgroup/services/memory.low", "0\n");
        gateway.write("sys/fs/cgroup/services/memory.max", "max\n");
        gateway.write("sys/fs/cgroup/services/pids.max", "max\n");
        gateway
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Installs a package with a real image and a cgroup folder with the kernel's files.
    pub fn install(&self, name: &str, access: &str) {
        self.install_with(name, access, "");
    }

    /// The same with more sections.
    pub fn install_with(&self, name: &str, access: &str, sections: &str) {
        let manifest = format!(
            "[service]\nname = \"{name}\"\nversion = \"1.2\"\nexec = [\"/bin/{name}\"]\nuser = 33\n\
             [resources.memory]\nreserve = \"16 MiB\"\nmax = \"32 MiB\"\n[resources.cpu]\n\
             reserve = \"5 %\"\n[resources.pids]\nmax = 8\n[access]\n{access}\n{sections}"
        );
        let package = format!("data/hearth/packages/{name}");
        self.write(&format!("{package}/image/hello"), name);
        let image = self.path(&format!("{package}/image.squashfs"));
        let made = Command::new("mksquashfs")
            .args([&self.path(&format!("{package}/image")), &image])
            .args(["-quiet", "-no-progress", "-noappend"])
            .stdout(Stdio::null())
            .status()
            .expect("mksquashfs (package squashfs-tools)");
        assert!(made.success());
        let mut bytes = fs::read(&image).unwrap();
        let mut tree = Builder::default();
        tree.update(&bytes).unwrap();
        let tree = tree.finish().unwrap();
        let sealed = format!(
            "[package]\nvendor = \"test\"\narchitecture = \"386\"\nsize = {}\nroot-hash = \"{}\"\n",
            bytes.len(),
            hex::text(&tree.root)
        );
        bytes.extend_from_slice(&tree.bytes);
        fs::write(&image, bytes).unwrap();
        self.write(&format!("{package}/manifest.toml"), &(manifest + &sealed));
        self.sign(name);
        for file in [
            "memory.max",
            "memory.high",
            "memory.min",
            "memory.low",
            "cpu.weight",
            "cpu.max",
            "pids.max",
        ] {
            self.write(&format!("sys/fs/cgroup/services/{name}/{file}"), "max\n");
        }
        self.write(
            &format!("sys/fs/cgroup/services/{name}/memory.oom.group"),
            "0\n",
        );
        self.write(
            &format!("sys/fs/cgroup/services/{name}/memory.current"),
            "4096\n",
        );
    }

    /// Signs a package's manifest as it is now.
    pub fn sign(&self, name: &str) {
        let package = format!("data/hearth/packages/{name}");
        let manifest = self.read(&format!("{package}/manifest.toml"));
        let signature = vendor_key().sign(manifest.as_bytes());
        self.write(&format!("{package}/signature"), &format!("{signature}\n"));
    }

    /// Starts a netpath.
    pub fn start_net(&mut self) {
        self.net = Some(Net::start(self.root()));
    }

    /// Starts the manager, as PID 1 would.
    pub fn start_manager(&mut self) {
        let mut command = self.manager_command();
        self.run(&mut command);
    }

    /// The same with a trap at its writes to the gateway's data, armed where a number of them is given that may pass.
    pub fn start_trapped_manager(&mut self, left: Option<usize>) -> trap::Trap {
        let mut command = self.manager_command();
        trap::set(&mut command);
        self.run(&mut command);
        trap::Trap::watch(self.manager_pid(), self.path("data"), left)
    }

    fn manager_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth-manager"));
        command.arg("--root").arg(self.root());
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.path("kmsg"))
            .unwrap();
        command.stderr(log);
        command
    }

    fn run(&mut self, command: &mut Command) {
        let theirs = self.init.connect();
        let raw = theirs.as_raw_fd();
        // SAFETY: between fork and exec only system calls are made, on values made before.
        unsafe { command.pre_exec(move || in_place(raw)) };
        self.manager = Some(command.spawn().unwrap());
    }

    pub fn manager_pid(&self) -> u32 {
        self.manager.as_ref().unwrap().id()
    }

    /// Starts the manager and waits until its API answers.
    pub fn boot(&mut self) {
        self.start_manager();
        self.wait_for_api();
    }

    pub fn wait_for_api(&self) {
        until("the API opens", || http::try_get(self, "/v1/services"));
    }

    /// Ends the manager with this signal and returns how it ended.
    pub fn end_manager(&mut self, signal: i32) -> std::process::ExitStatus {
        let mut manager = self.manager.take().unwrap();
        // SAFETY: kill(2) takes no pointer; the child is ours and not yet reaped.
        assert_eq!(unsafe { libc::kill(manager.id() as i32, signal) }, 0);
        manager.wait().unwrap()
    }

    /// Whether the manager is no more, and not yet waited for.
    pub fn manager_is_dead(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.manager_pid())).unwrap();
        stat.contains(") Z ")
    }

    /// How the manager ended by itself.
    pub fn manager_end(&mut self) -> std::process::ExitStatus {
        self.manager.take().unwrap().wait().unwrap()
    }

    /// A service's row, once it is in this state.
    pub fn wait_for(&self, name: &str, state: &str) -> serde_json::Value {
        until(&format!("{name} is {state}"), || {
            http::try_get(self, &format!("/v1/services/{name}")).filter(|row| row["state"] == state)
        })
    }
}

/// A file system in memory where a folder was, until this is dropped.
pub struct Small(PathBuf);

impl Small {
    /// One of so many KiB at an absolute path.
    pub fn mount(path: PathBuf, kib: u32) -> Small {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "small"]);
        assert!(mount.arg(&path).status().unwrap().success());
        Small(path)
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.0.join("fill")).unwrap();
        while file.write(&[0; 512]).is_ok() {}
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.0.join("fill")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut manager) = self.manager.take() {
            let _gone = manager.kill();
            let _reaped = manager.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("kmsg")).unwrap_or_default();
            eprintln!("--- the manager's log:\n{log}---");
        }
    }
}

/// In the child: a private mount namespace, a network without anybody, and PID 1's socket on descriptor 3.
fn in_place(socket: i32) -> std::io::Result<()> {
    let check = |result: i32| match result {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    };
    // SAFETY: unshare(2) takes no pointer.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET) })?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    let none = std::ptr::null();
    // SAFETY: the target is a NUL-terminated literal; source, type and data may be null.
    check(unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) })?;
    if socket == 3 {
        // SAFETY: F_SETFD takes an int: the descriptor stays open over exec.
        return check(unsafe { libc::fcntl(3, libc::F_SETFD, 0) });
    }
    // SAFETY: dup2(2) takes no pointer; its result has no close-on-exec flag.
    check(unsafe { libc::dup2(socket, 3) })
}

/// A descriptor as a readable file.
pub fn contents(fd: &OwnedFd) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let file = fs::File::from(fd.try_clone().unwrap());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}
