//! Users, capabilities, limits and priorities: more power than it was given.

use crate::numbers::{SET_FS_UID, SET_GROUPS, SET_RES_GID, SET_RES_UID};
use crate::outcome::{Arg, Attempt, Outcome, address, apart, call, number, place, tried};

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    apart("become_root", || tried(SET_RES_UID, &[0, 0, 0])),
    apart("become_root_group", || tried(SET_RES_GID, &[0, 0, 0])),
    apart("join_groups", || tried(SET_GROUPS, &[1, address(&[0_u32])])),
    apart("become_root_for_files", || tried(SET_FS_UID, &[0])),
    apart("capset", || set_capabilities(false)),
    apart("capset_inheritable", || set_capabilities(true)),
    apart("raise_ambient", raise_ambient),
    apart("keep_capabilities", || prctl(libc::PR_SET_KEEPCAPS, 1)),
    apart("secure_bits", || prctl(libc::PR_SET_SECUREBITS, 1)),
    apart("drop_bounding", || prctl(libc::PR_CAPBSET_DROP, NET_RAW)),
    apart("new_privileges", || prctl(libc::PR_SET_NO_NEW_PRIVS, 0)),
    apart("change_seccomp", || {
        let (is_there, kill) = (2, 0_u32); // SECCOMP_GET_ACTION_AVAIL, SECCOMP_RET_KILL_THREAD
        tried(libc::SYS_seccomp, &[is_there, 0, address(&kill)])
    }),
    apart("change_memory_map", || prctl(libc::PR_SET_MM, 0)),
    apart("allow_tracer", || prctl(libc::PR_SET_PTRACER, 1)),
    apart("adopt_orphans", || prctl(libc::PR_SET_CHILD_SUBREAPER, 1)),
    apart("trap_time_stamps", || prctl(libc::PR_SET_TSC, 1)),
    apart("more_open_files", more_open_files),
    apart("limits_of_first_process", limits_of_first_process),
    apart("higher_priority", || {
        tried(libc::SYS_setpriority, &[0, 0, -20])
    }),
    apart("real_time", || {
        let (fifo, highest) = (1, [1_u32]);
        tried(libc::SYS_sched_setscheduler, &[0, fifo, address(&highest)])
    }),
    apart("deadline", deadline),
    apart("choose_processor", || {
        tried(libc::SYS_sched_setaffinity, &[0, 8, address(&[1_u64])])
    }),
    apart("io_real_time", || {
        tried(libc::SYS_ioprio_set, &[1, 0, 1 << 13])
    }),
    apart("ioprio_get", || tried(libc::SYS_ioprio_get, &[1, 0])),
    apart("iopl", || tried(libc::SYS_iopl, &[3])),
    apart("ioperm", || tried(libc::SYS_ioperm, &[0x80, 1, 1])),
    apart("personality", || {
        tried(libc::SYS_personality, &[0x0004_0000]) // ADDR_NO_RANDOMIZE
    }),
];

/// CAP_NET_RAW, linux/capability.h.
const NET_RAW: Arg = 13;

fn prctl(operation: libc::c_int, argument: Arg) -> Outcome {
    tried(libc::SYS_prctl, &[number(operation), argument, 0, 0, 0])
}

/// Its permitted capabilities, made effective again, and inheritable where that is wanted.
fn set_capabilities(inheritable: bool) -> Outcome {
    let header = [0x2008_0522_u32, 0]; // _LINUX_CAPABILITY_VERSION_3
    let mut data = [0_u32; 6];
    if let Err(errno) = call(libc::SYS_capget, &[address(&header), place(&mut data)]) {
        return Outcome::Errno(errno);
    }
    let [_, low, _, _, high, _] = data;
    let inherited = |word: u32| if inheritable { word } else { 0 };
    let wanted = [low, low, inherited(low), high, high, inherited(high)];
    tried(libc::SYS_capset, &[address(&header), address(&wanted)])
}

/// What is permitted and inheritable may become ambient.
fn raise_ambient() -> Outcome {
    let _ = set_capabilities(true);
    let raise = Arg::from(libc::PR_CAP_AMBIENT_RAISE);
    tried(
        libc::SYS_prctl,
        &[number(libc::PR_CAP_AMBIENT), raise, NET_RAW, 0, 0],
    )
}

/// `RLIMIT_NOFILE`, with a hard limit above its own.
fn more_open_files() -> Outcome {
    let files = 7; // RLIMIT_NOFILE, asm-generic/resource.h
    let mut old = [0_u64; 2];
    if let Err(errno) = call(libc::SYS_prlimit64, &[0, files, 0, place(&mut old)]) {
        return Outcome::Errno(errno);
    }
    let more = old.map(|limit| limit.saturating_add(1));
    tried(libc::SYS_prlimit64, &[0, files, address(&more)])
}

/// Reads those of process 1, which inside is its own.
fn limits_of_first_process() -> Outcome {
    let mut old = [0_u64; 2];
    tried(libc::SYS_prlimit64, &[1, 7, 0, place(&mut old)])
}

/// `struct sched_attr`, linux/sched/types.h: 1 of every 10 milliseconds, before everybody else.
fn deadline() -> Outcome {
    let (policy, millisecond) = (6_u64, 1_000_000);
    let attributes = [
        48 | policy << 32,
        0,
        0,
        millisecond,
        millisecond * 10,
        millisecond * 10,
    ];
    tried(libc::SYS_sched_setattr, &[0, address(&attributes), 0])
}
