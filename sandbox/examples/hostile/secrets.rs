//! One service keeps secrets wherever a program can leave something; another looks for them.

use crate::numbers::{MSG_CTL, MSG_GET, SEM_CTL, SEM_GET, SHM_CTL, SHM_GET};
use crate::outcome::{Arg, address, call, number};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// What everything is called.
pub const NAME: &str = "hearth-secret";
/// As a C string.
pub const C_NAME: &std::ffi::CStr = c"hearth-secret";
/// Its number where things have numbers (System V).
pub const KEY: Arg = 0x4872_7468;
/// Its port.
pub const PORT: u16 = 47_123;
/// The variable that holds one; whoever starts this program sets it.
pub const VARIABLE: &str = "OWN_SECRET";
/// Folders that it writes into.
pub const FOLDERS: [&str; 4] = ["/tmp", "/run", "/dev/shm", "/data"];
/// A message queue as a file (mq_overview(7)).
pub const QUEUE: &str = "/dev/mqueue/hearth-secret";
/// The user's keyring (keyctl(2), `KEY_SPEC_USER_KEYRING`).
pub const USER_KEYRING: Arg = -4;

/// All that is kept; what the kernel refuses is not.
pub struct Kept {
    _files: Vec<File>,
    _sockets: Vec<UnixListener>,
    _port: std::io::Result<TcpListener>,
}

/// Leaves secrets everywhere.
pub fn keep() -> Kept {
    let files: Vec<File> = FOLDERS.iter().filter_map(|folder| file(folder)).collect();
    for file in &files {
        let exclusively = 2; // LOCK_EX
        let _ = call(libc::SYS_flock, &[Arg::from(file.as_raw_fd()), exclusively]);
    }
    let named = UnixListener::bind(socket_path());
    let unnamed = SocketAddr::from_abstract_name(NAME);
    let unnamed = unnamed.and_then(|address| UnixListener::bind_addr(&address));
    let create = number(libc::O_CREAT | libc::O_RDWR);
    let queue = File::create(QUEUE);
    let _ = call(libc::SYS_mq_open, &[address(C_NAME), create, 0o666, 0]);
    let shared = 0o1666; // IPC_CREAT
    let _ = call(SHM_GET, &[KEY, 4096, shared]);
    let _ = call(SEM_GET, &[KEY, 1, shared]);
    let _ = call(MSG_GET, &[KEY, shared]);
    let key = [
        address(c"user"),
        address(C_NAME),
        address(c"x"),
        1,
        USER_KEYRING,
    ];
    let _ = call(libc::SYS_add_key, &key);
    Kept {
        _files: files.into_iter().chain(queue.ok()).collect(),
        _sockets: [named.ok(), unnamed.ok()].into_iter().flatten().collect(),
        _port: TcpListener::bind(("127.0.0.1", PORT)),
    }
}

/// Where its socket with a name is.
pub fn socket_path() -> String {
    format!("/tmp/{NAME}.sock")
}

fn file(folder: &str) -> Option<File> {
    let path = format!("{folder}/{NAME}");
    fs::write(&path, "secret").ok()?;
    File::open(path).ok()
}

/// Takes away what would outlive the process, where there was no sandbox.
pub fn forget() {
    for folder in FOLDERS {
        let _ = fs::remove_file(format!("{folder}/{NAME}"));
    }
    let _ = fs::remove_file(socket_path());
    let _ = fs::remove_file(QUEUE);
    let _ = call(libc::SYS_mq_unlink, &[address(C_NAME)]);
    let remove = 0; // IPC_RMID
    let of = |get, args: &[Arg]| call(get, args).unwrap_or(-1) as Arg;
    let _ = call(SHM_CTL, &[of(SHM_GET, &[KEY, 0, 0]), remove, 0]);
    let _ = call(SEM_CTL, &[of(SEM_GET, &[KEY, 0, 0]), 0, remove, 0]);
    let _ = call(MSG_CTL, &[of(MSG_GET, &[KEY, 0]), remove, 0]);
    let (search, unlink) = (10, 9); // KEYCTL_SEARCH, KEYCTL_UNLINK
    let what = [search, USER_KEYRING, address(c"user"), address(C_NAME), 0];
    let key = of(libc::SYS_keyctl, &what);
    let _ = call(libc::SYS_keyctl, &[unlink, key, USER_KEYRING]);
}
