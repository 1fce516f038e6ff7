//! Calls that reach the kernel's powers. Where one would succeed outside of a sandbox it changes nothing:
//! its arguments ask only, or are wrong.

use crate::numbers::{CLOCK_ADJTIME, CLOCK_SETTIME, MSG_GET, SEM_GET, SHM_GET};
use crate::outcome::{Arg, Attempt, HERE, Outcome, address, apart, call, number, place, tried};
use std::sync::atomic::AtomicU64;

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    // Other processes.
    apart("ptrace", || tried(libc::SYS_ptrace, &[0])), // PTRACE_TRACEME
    apart("ptrace_parent", || {
        let attach = 0x4206; // PTRACE_SEIZE
        tried(libc::SYS_ptrace, &[attach, parent(), 0, 0])
    }),
    apart("process_vm_readv", || {
        memory_of_parent(libc::SYS_process_vm_readv)
    }),
    apart("process_vm_writev", || {
        memory_of_parent(libc::SYS_process_vm_writev)
    }),
    apart("process_madvise", || by_process(libc::SYS_process_madvise)),
    apart("process_mrelease", || {
        by_process(libc::SYS_process_mrelease)
    }),
    apart("pidfd_getfd", || by_process(libc::SYS_pidfd_getfd)),
    apart("kcmp", || {
        tried(libc::SYS_kcmp, &[parent(), parent(), 0, 0, 0])
    }),
    apart("move_pages", || {
        tried(libc::SYS_move_pages, &[0, 0, 0, 0, 0, 0])
    }),
    apart("migrate_pages", || {
        tried(libc::SYS_migrate_pages, &[0, 0, 0, 0])
    }),
    apart("set_mempolicy", || {
        tried(libc::SYS_set_mempolicy, &[0, 0, 0])
    }),
    // Code in the kernel.
    apart("bpf", || {
        let array_map = [2_u32, 4, 4, 1, 0, 0, 0, 0];
        tried(libc::SYS_bpf, &[0, address(&array_map), 32])
    }),
    apart("perf_event_open", || {
        let mut software_clock = [0_u32; 32];
        let [kind, size, ..] = &mut software_clock;
        (*kind, *size) = (1, 128); // PERF_TYPE_SOFTWARE
        tried(
            libc::SYS_perf_event_open,
            &[address(&software_clock), 0, -1, -1],
        )
    }),
    apart("userfaultfd", || {
        tried(libc::SYS_userfaultfd, &[number(libc::O_CLOEXEC)])
    }),
    apart("io_uring_setup", || {
        let mut parameters = [0_u32; 30];
        tried(libc::SYS_io_uring_setup, &[1, place(&mut parameters)])
    }),
    apart("io_uring_enter", || {
        tried(libc::SYS_io_uring_enter, &[-1, 1, 0, 0])
    }),
    apart("io_uring_register", || {
        tried(libc::SYS_io_uring_register, &[-1, 0, 0, 0])
    }),
    apart("init_module", || {
        tried(libc::SYS_init_module, &[address(c"x"), 1, address(c"")])
    }),
    apart("finit_module", || {
        tried(libc::SYS_finit_module, &[-1, address(c"")])
    }),
    apart("delete_module", || {
        tried(
            libc::SYS_delete_module,
            &[address(c"hostile"), number(libc::O_NONBLOCK)],
        )
    }),
    apart("kexec_load", || {
        tried(libc::SYS_kexec_load, &[0, 0, 0, 0xffff])
    }),
    apart("modify_ldt", || {
        let mut table = [0_u8; 64];
        tried(libc::SYS_modify_ldt, &[0, place(&mut table), 64])
    }),
    apart("landlock", || {
        let version = 1; // LANDLOCK_CREATE_RULESET_VERSION
        tried(libc::SYS_landlock_create_ruleset, &[0, 0, version])
    }),
    apart("secret_memory", || tried(libc::SYS_memfd_secret, &[0])),
    apart("protection_keys", || tried(libc::SYS_pkey_alloc, &[0, 0])),
    apart("remap_file_pages", || {
        tried(libc::SYS_remap_file_pages, &[0, 0, 0, 0, 0])
    }),
    // Past the mount tree.
    apart("name_to_handle_at", || {
        let (mut handle, mut mount) = ([0_u32; 40], 0_u32);
        let [size, ..] = &mut handle;
        *size = 128;
        let args = [
            HERE,
            address(c"/tmp"),
            place(&mut handle),
            place(&mut mount),
            0,
        ];
        tried(libc::SYS_name_to_handle_at, &args)
    }),
    apart("open_by_handle_at", || {
        tried(
            libc::SYS_open_by_handle_at,
            &[HERE, address(&[0_u64; 2]), 0],
        )
    }),
    apart("fanotify_init", || tried(libc::SYS_fanotify_init, &[0, 0])),
    apart("fanotify_mark", || {
        tried(libc::SYS_fanotify_mark, &[-1, 1, 1, HERE, 0])
    }),
    // Shared by all users of the machine.
    apart("keyctl", || tried(libc::SYS_keyctl, &[0, -2, 1])),
    apart("add_key", || {
        let (kind, name) = (address(c"user"), address(c"hostile"));
        tried(libc::SYS_add_key, &[kind, name, address(c"x"), 1, -2])
    }),
    apart("request_key", || {
        let (kind, name) = (address(c"user"), address(c"hostile"));
        tried(libc::SYS_request_key, &[kind, name, 0, -2])
    }),
    apart("syslog", || tried(libc::SYS_syslog, &[10])), // SYSLOG_ACTION_SIZE_BUFFER
    apart("acct", || {
        tried(libc::SYS_acct, &[address(c"/hostile/accounts")])
    }),
    apart("quotactl", || {
        let sync = 0x8000_0100_u32 as i32; // QCMD(Q_SYNC, USRQUOTA)
        tried(libc::SYS_quotactl, &[sync as Arg, 0, 0, 0])
    }),
    apart("quotactl_fd", || {
        tried(libc::SYS_quotactl_fd, &[-1, 0, 0, 0])
    }),
    apart("shmget", || tried(SHM_GET, &[0, 4096, 0o600])),
    apart("semget", || tried(SEM_GET, &[0, 1, 0o600])),
    apart("msgget", || tried(MSG_GET, &[0, 0o600])),
    apart("mq_open", || {
        let (flags, mode) = (number(libc::O_CREAT | libc::O_RDWR), 0o600);
        let opened = call(libc::SYS_mq_open, &[address(c"hostile"), flags, mode, 0]);
        let _ = call(libc::SYS_mq_unlink, &[address(c"hostile")]);
        opened.into()
    }),
    // The machine as a whole.
    apart("reboot", || tried(libc::SYS_reboot, &[0, 0, 0])),
    apart("swapon", || {
        tried(libc::SYS_swapon, &[address(c"/nonexistent")])
    }),
    apart("swapoff", || {
        tried(libc::SYS_swapoff, &[address(c"/nonexistent")])
    }),
    apart("settimeofday", || {
        let bad_time = [0 as Arg, 2_000_000, 0, 0];
        tried(libc::SYS_settimeofday, &[address(&bad_time), 0])
    }),
    apart("clock_settime", || {
        let bad_time = [0_u64, 2_000_000_000];
        tried(CLOCK_SETTIME, &[0, address(&bad_time)])
    }),
    apart("clock_adjtime", || {
        let mut question = [0_u64; 32];
        tried(CLOCK_ADJTIME, &[0, place(&mut question)])
    }),
    apart("adjtimex", || {
        let mut question = [0_u64; 32];
        tried(libc::SYS_adjtimex, &[place(&mut question)])
    }),
    apart("sethostname", || {
        tried(libc::SYS_sethostname, &[address(c"hostile"), 7])
    }),
    apart("setdomainname", || {
        tried(libc::SYS_setdomainname, &[address(c"hostile"), 7])
    }),
    apart("vhangup", || {
        let _ = call(libc::SYS_setsid, &[]); // so that no terminal of a person's is hung up
        tried(libc::SYS_vhangup, &[])
    }),
    // Terminals: outside, standard input is none.
    apart("type_into_terminal", || ioctl(libc::TIOCSTI as u32)),
    apart("select_on_terminal", || ioctl(libc::TIOCLINUX as u32)),
    apart("terminal_discipline", || ioctl(0x5423)), // TIOCSETD
    apart("terminal_console", || ioctl(0x541d)),    // TIOCCONS
    // What no policy knows.
    apart("call_newer_than_policy", || tried(5000, &[])),
    apart("call_below_zero", || tried(-2, &[])),
];

fn parent() -> Arg {
    call(libc::SYS_getppid, &[]).unwrap_or(0) as Arg
}

fn ioctl(request: u32) -> Outcome {
    tried(libc::SYS_ioctl, &[0, request as Arg, address(c"x")])
}

/// Eight bytes between a buffer that lies at the same place in the parent, and one here.
fn memory_of_parent(which: libc::c_long) -> Outcome {
    static THEIRS: AtomicU64 = AtomicU64::new(7);
    let mut ours = [7_u8; 8];
    let here = [place(&mut ours) as usize, 8];
    let there = [THEIRS.as_ptr() as usize, 8];
    tried(which, &[parent(), address(&here), 1, address(&there), 1])
}

/// A call on the process that tried this, by its descriptor.
fn by_process(which: libc::c_long) -> Outcome {
    match call(libc::SYS_pidfd_open, &[parent(), 0]) {
        Ok(process) => tried(which, &[process as Arg, 0, 0, 0, 0]),
        Err(errno) => Outcome::Errno(errno),
    }
}
