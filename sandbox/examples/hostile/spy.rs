//! A service that looks for another one: its process by number, its files, sockets, shared objects, and the
//! traces of its work.

use crate::numbers::{MSG_GET, SEM_GET, SHM_GET};
use crate::outcome::{Arg, Attempt, Outcome, address, apart, call, here, place, tried};
use crate::secrets::{
    C_NAME, FOLDERS, KEY, NAME, PORT, QUEUE, USER_KEYRING, VARIABLE, socket_path,
};
use crate::seen::{bytes_in, listed, processes_of};
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of the process that is looked for, as the host counts.
pub static TARGET: AtomicU32 = AtomicU32::new(0);

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    // Its process.
    here("process_list", || {
        let theirs = |process: &u32| contains(&format!("/proc/{process}/cmdline"), "secrets");
        seen(processes_of("/proc").iter().any(theirs))
    }),
    apart("process_signal", || tried(libc::SYS_kill, &[target(), 0])),
    apart("process_descriptor", || {
        tried(libc::SYS_pidfd_open, &[target(), 0])
    }),
    apart("process_root", || {
        fs::read(format!("{}/tmp/{NAME}", of_target("root"))).into()
    }),
    apart("process_folder", || fs::read_dir(of_target("cwd")).into()),
    apart("process_program", || File::open(of_target("exe")).into()),
    apart("process_arguments", || bytes_in(&of_target("cmdline"))),
    apart("process_environment", || {
        seen(contains(&of_target("environ"), VARIABLE))
    }),
    apart("process_memory", || File::open(of_target("mem")).into()),
    apart("process_mappings", || bytes_in(&of_target("maps"))),
    apart("process_files", || listed(&of_target("fd"))),
    apart("process_namespaces", || {
        fs::read_link(of_target("ns/mnt")).into()
    }),
    apart("process_state", || bytes_in(&of_target("stat"))),
    apart("process_group", || bytes_in(&of_target("cgroup"))),
    apart("process_network", || bytes_in(&of_target("net/unix"))),
    apart("process_input_output", || bytes_in(&of_target("io"))),
    apart("process_trace", || {
        let seize = 0x4206; // PTRACE_SEIZE
        tried(libc::SYS_ptrace, &[seize, target(), 0, 0])
    }),
    apart("process_priority", || {
        tried(libc::SYS_getpriority, &[0, target()])
    }),
    apart("process_session", || tried(libc::SYS_getsid, &[target()])),
    apart("process_limits", || {
        let mut old = [0_u64; 2];
        tried(libc::SYS_prlimit64, &[target(), 7, 0, place(&mut old)])
    }),
    apart("process_processors", || {
        let mut set = [0_u64; 16];
        tried(
            libc::SYS_sched_getaffinity,
            &[target(), 128, place(&mut set)],
        )
    }),
    apart("process_scheduler", || {
        tried(libc::SYS_sched_getscheduler, &[target()])
    }),
    apart("process_locks", || {
        let (mut head, mut size) = ([0_usize; 1], [0_usize; 1]);
        tried(
            libc::SYS_get_robust_list,
            &[target(), place(&mut head), place(&mut size)],
        )
    }),
    // Its files.
    apart("file_tmp", || in_folder(0)),
    apart("file_run", || in_folder(1)),
    apart("file_shm", || in_folder(2)),
    apart("file_data", || in_folder(3)),
    apart("file_locks", || {
        let text = fs::read_to_string("/proc/locks").unwrap_or_default();
        seen(text.lines().any(|line| line.contains("FLOCK")))
    }),
    apart("mounts", || {
        seen(contains("/proc/self/mountinfo", "/secrets"))
    }),
    // Its sockets.
    apart("socket_file", || UnixStream::connect(socket_path()).into()),
    apart("socket_abstract", || {
        let address = SocketAddr::from_abstract_name(NAME);
        Outcome::from(address.and_then(|address| UnixStream::connect_addr(&address)))
    }),
    apart("socket_internet", || {
        TcpStream::connect(("127.0.0.1", PORT)).into()
    }),
    apart("socket_list", || seen(contains("/proc/net/unix", NAME))),
    apart("port_list", || {
        seen(contains("/proc/net/tcp", &format!("0100007F:{PORT:04X} ")))
    }),
    // Its shared objects.
    apart("queue_file", || File::open(QUEUE).into()),
    apart("queue", || {
        tried(libc::SYS_mq_open, &[address(C_NAME), 0, 0, 0])
    }),
    apart("shared_memory", || tried(SHM_GET, &[KEY, 0, 0])),
    apart("semaphores", || tried(SEM_GET, &[KEY, 0, 0])),
    apart("messages", || tried(MSG_GET, &[KEY, 0])),
    apart("shared_memory_list", || {
        let key = KEY.to_string();
        seen(contains("/proc/sysvipc/shm", &key))
    }),
    apart("key", || {
        let search = 10; // KEYCTL_SEARCH
        let what = [search, USER_KEYRING, address(c"user"), address(C_NAME), 0];
        tried(libc::SYS_keyctl, &what)
    }),
    apart("key_list", || seen(contains("/proc/keys", NAME))),
    // Traces of its work.
    apart("work_interrupts", || bytes_in("/proc/interrupts")),
    apart("work_soft_interrupts", || bytes_in("/proc/softirqs")),
    apart("work_timers", || bytes_in("/proc/timer_list")),
    apart("work_scheduler", || bytes_in("/proc/schedstat")),
    apart("work_disks", || bytes_in("/proc/diskstats")),
    apart("work_memory", || bytes_in("/proc/vmstat")),
    apart("work_zones", || bytes_in("/proc/zoneinfo")),
    apart("work_free_pages", || bytes_in("/proc/buddyinfo")),
    apart("work_caches", || bytes_in("/proc/slabinfo")),
    apart("work_pressure", || bytes_in("/proc/pressure/cpu")),
    apart("work_processors", || File::open("/proc/stat").into()),
    apart("work_load", || File::open("/proc/loadavg").into()),
    apart("work_groups", || listed("/sys/fs/cgroup")),
    apart("work_log", || {
        let size = 10; // SYSLOG_ACTION_SIZE_BUFFER
        call(libc::SYS_syslog, &[size]).into()
    }),
];

fn target() -> Arg {
    TARGET.load(Ordering::Relaxed) as Arg
}

fn of_target(file: &str) -> String {
    format!("/proc/{}/{file}", target())
}

fn seen(found: bool) -> Outcome {
    Outcome::value(if found { "seen" } else { "hidden" })
}

fn contains(path: &str, what: &str) -> bool {
    let bytes = fs::read(path).unwrap_or_default();
    bytes
        .windows(what.len())
        .any(|part| part == what.as_bytes())
}

fn in_folder(at: usize) -> Outcome {
    let folder = FOLDERS.get(at).copied().unwrap_or_default();
    fs::read(format!("{folder}/{NAME}")).into()
}
