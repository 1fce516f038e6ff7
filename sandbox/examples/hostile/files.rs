//! Files: the host's by every path, devices, writes where there should be none, programs of its own.

use crate::outcome::{Arg, Attempt, HERE, Outcome, address, apart, call, number, place, tried};
use crate::seen;
use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    // The host's files.
    apart("host_file", || fs::read("/etc/passwd").into()),
    apart("host_file_above_root", || {
        fs::read("/../../../etc/passwd").into()
    }),
    apart("host_file_by_own_root", || {
        fs::read("/proc/self/root/../../etc/passwd").into()
    }),
    apart("host_file_by_first_root", || {
        fs::read("/proc/1/root/../../etc/passwd").into()
    }),
    apart("host_file_by_first_folder", || {
        fs::read("/proc/1/cwd/../../../etc/passwd").into()
    }),
    apart("host_file_by_thread", || {
        fs::read("/proc/thread-self/root/etc/passwd").into()
    }),
    apart("host_file_by_link", host_file_by_link),
    apart("host_file_by_magic_link", host_file_by_magic_link),
    apart("host_file_by_descriptor", host_file_by_descriptor),
    apart("host_home", || seen::listed("/root")),
    apart("gateway_socket", || {
        UnixStream::connect("/run/hearth/api/api.sock").into()
    }),
    // Devices.
    apart("kernel_log", || File::open("/dev/kmsg").into()),
    apart("memory_device", || File::open("/dev/mem").into()),
    apart("loop_device", || File::open("/dev/loop-control").into()),
    apart("tunnel_device", || File::open("/dev/net/tun").into()),
    apart("file_system_device", || File::open("/dev/fuse").into()),
    apart("virtual_machine_device", || File::open("/dev/kvm").into()),
    apart("terminal_device", || File::open("/dev/ptmx").into()),
    apart("console_device", || File::open("/dev/console").into()),
    apart("own_terminal", || File::open("/dev/tty").into()),
    apart("mknod", || make_node(libc::S_IFCHR, 0x103)), // the null device
    apart("mknod_disk", || make_node(libc::S_IFBLK, 0x700)), // the first loop device
    apart("mknod_pipe", || make_node(libc::S_IFIFO, 0)),
    // Writes.
    apart("write_root", || write("/hostile-was-here")),
    apart("write_dev", || write("/dev/hostile-was-here")),
    apart("write_tmp", || write("/tmp/hostile-was-here")),
    apart("write_own_data", || write("/data/hostile-was-here")),
    apart("write_own_program", || open_for_writing("/proc/self/exe")),
    apart("write_first_program", || open_for_writing("/proc/1/exe")),
    apart("write_by_descriptor", write_by_descriptor),
    apart("link_to_own_program", link_to_own_program),
    // Programs.
    apart("execute_from_tmp", || execute_copy(c"/tmp/hostile-copy")),
    apart("execute_from_run", || execute_copy(c"/run/hostile-copy")),
    apart("execute_from_shm", || {
        execute_copy(c"/dev/shm/hostile-copy")
    }),
    apart("execute_from_data", || execute_copy(c"/data/hostile-copy")),
    apart("execute_from_memory", execute_from_memory),
    // Owners and attributes.
    apart("give_file_away", || {
        of_own("/tmp/hostile-given", |path, _| {
            chown(path, Some(1), None).into()
        })
    }),
    apart("set_user_id_mode", || {
        of_own("/tmp/hostile-mode", |path, _| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o6755)).into()
        })
    }),
    apart("file_capabilities", file_capabilities),
    apart("leave_quota_project", leave_quota_project),
];

fn host_file_by_link() -> Outcome {
    let path = "/tmp/hostile-link";
    if let Err(error) = symlink("../../../../../etc/passwd", path) {
        return error.into();
    }
    let read = fs::read(path);
    let _ = fs::remove_file(path);
    read.into()
}

/// A link of one's own that leads through a magic link (proc_pid_root(5)).
fn host_file_by_magic_link() -> Outcome {
    let path = "/tmp/hostile-magic";
    if let Err(error) = symlink("/proc/1/root", path) {
        return error.into();
    }
    let read = fs::read(format!("{path}/../etc/passwd"));
    let _ = fs::remove_file(path);
    read.into()
}

/// From an open root folder upwards.
fn host_file_by_descriptor() -> Outcome {
    match File::open("/") {
        Ok(root) => {
            let path = address(c"../../../../etc/passwd");
            tried(libc::SYS_openat, &[Arg::from(root.as_raw_fd()), path])
        }
        Err(error) => error.into(),
    }
}

fn make_node(kind: libc::mode_t, device: Arg) -> Outcome {
    let path = c"/tmp/hostile-node";
    let mode = (kind | 0o600) as Arg;
    let made = call(libc::SYS_mknodat, &[HERE, address(path), mode, device]);
    let _ = fs::remove_file("/tmp/hostile-node");
    made.into()
}

/// Makes a file, and takes it away again where that worked.
fn write(path: &str) -> Outcome {
    Outcome::from(fs::write(path, "x").and_then(|()| fs::remove_file(path)))
}

/// Opens for writing, and writes nothing.
pub fn open_for_writing(path: &str) -> Outcome {
    OpenOptions::new().write(true).open(path).into()
}

/// Into the root, by the magic link of its descriptor.
fn write_by_descriptor() -> Outcome {
    match File::open("/") {
        Ok(root) => write(&format!(
            "/proc/self/fd/{}/hostile-was-here",
            root.as_raw_fd()
        )),
        Err(error) => error.into(),
    }
}

/// A second name, where it could be written, for the program that runs.
fn link_to_own_program() -> Outcome {
    let path = c"/tmp/hostile-program";
    let follow = number(libc::AT_SYMLINK_FOLLOW);
    let program = address(c"/proc/self/exe");
    let made = call(
        libc::SYS_linkat,
        &[HERE, program, HERE, address(path), follow],
    );
    let _ = fs::remove_file("/tmp/hostile-program");
    made.into()
}

/// Becomes `hostile exit 0`, from a copy of its own program.
fn execute_copy(path: &CStr) -> Outcome {
    let name = path.to_str().unwrap_or_default();
    if let Err(error) = fs::copy("/proc/self/exe", name) {
        return error.into();
    }
    // The copy's name must be gone before it runs; the link of the descriptor executes it all the same.
    let Ok(file) = File::open(name) else {
        return Outcome::value("no-copy");
    };
    let _ = fs::remove_file(name);
    execute(&file)
}

fn execute_from_memory() -> Outcome {
    let Ok(memory) = call(libc::SYS_memfd_create, &[address(c"hostile")]) else {
        return Outcome::value("no-memory-file");
    };
    let path = format!("/proc/self/fd/{memory}");
    if let Err(error) = fs::copy("/proc/self/exe", &path) {
        return error.into();
    }
    match File::open(&path) {
        Ok(file) => {
            // A program that anybody has open for writing is busy.
            let _ = call(libc::SYS_close, &[memory as Arg]);
            execute(&file)
        }
        Err(error) => error.into(),
    }
}

fn execute(file: &File) -> Outcome {
    let words = [c"hostile", c"exit", c"0"].map(CStr::as_ptr);
    let [name, word, status] = words;
    let arguments = [name, word, status, std::ptr::null()];
    let (path, empty) = (address(c""), number(libc::AT_EMPTY_PATH));
    let file = Arg::from(file.as_raw_fd());
    tried(
        libc::SYS_execveat,
        &[file, path, address(&arguments), 0, empty],
    )
}

/// Tries something with a new file of its own, which is removed afterwards.
fn of_own(path: &str, attempt: fn(&str, &File) -> Outcome) -> Outcome {
    let options = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    match options {
        Ok(file) => {
            let outcome = attempt(path, &file);
            let _ = fs::remove_file(path);
            outcome
        }
        Err(error) => error.into(),
    }
}

/// CAP_NET_RAW, permitted and effective, for who executes the file (capabilities(7)).
fn file_capabilities() -> Outcome {
    of_own("/tmp/hostile-powers", |_, file| {
        let capabilities = [0x0200_0001_u32, 1 << 13, 0, 0, 0]; // VFS_CAP_REVISION_2, effective
        let (file, name) = (Arg::from(file.as_raw_fd()), address(c"security.capability"));
        tried(
            libc::SYS_fsetxattr,
            &[file, name, address(&capabilities), 20],
        )
    })
}

/// Makes a file of its own another project's, where quotas are by project (linux/fs.h, `struct fsxattr`).
fn leave_quota_project() -> Outcome {
    const GET: u32 = 0x801c_581f;
    const SET: u32 = 0x401c_5820;
    let own_data = fs::metadata("/data").is_ok();
    let path = if own_data {
        "/data/hostile-project"
    } else {
        "/tmp/hostile-project"
    };
    of_own(path, |_, file| {
        let file = Arg::from(file.as_raw_fd());
        let mut attributes = [0_u32; 7];
        if let Err(errno) = call(libc::SYS_ioctl, &[file, GET as Arg, place(&mut attributes)]) {
            return Outcome::Errno(errno);
        }
        let mut changed = attributes;
        let [_, _, _, project, ..] = &mut changed;
        *project = 77;
        tried(libc::SYS_ioctl, &[file, SET as Arg, address(&changed)])
    })
}
