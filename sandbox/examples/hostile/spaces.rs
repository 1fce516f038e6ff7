//! Namespaces and mounts: new ones, others' ones, and changes to the own tree.

use crate::outcome::{
    Arg, Attempt, HERE, Outcome, address, apart, call, here, number, tried, wait,
};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::exit;

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    apart("unshare_user", || unshare(libc::CLONE_NEWUSER)),
    apart("unshare_mount", || unshare(libc::CLONE_NEWNS)),
    apart("unshare_pid", || unshare(libc::CLONE_NEWPID)),
    apart("unshare_net", || unshare(libc::CLONE_NEWNET)),
    apart("unshare_ipc", || unshare(libc::CLONE_NEWIPC)),
    apart("unshare_uts", || unshare(libc::CLONE_NEWUTS)),
    apart("unshare_cgroup", || unshare(libc::CLONE_NEWCGROUP)),
    apart("unshare_time", || unshare(NEW_TIME)),
    apart("unshare_files", || unshare(libc::CLONE_FILES)),
    apart("clone_user", || clone_with(libc::CLONE_NEWUSER)),
    apart("clone_mount", || clone_with(libc::CLONE_NEWNS)),
    apart("clone_pid", || clone_with(libc::CLONE_NEWPID)),
    apart("clone_net", || clone_with(libc::CLONE_NEWNET)),
    apart("clone_ipc", || clone_with(libc::CLONE_NEWIPC)),
    apart("clone_uts", || clone_with(libc::CLONE_NEWUTS)),
    apart("clone_cgroup", || clone_with(libc::CLONE_NEWCGROUP)),
    apart("clone_parent", || clone_with(libc::CLONE_PARENT)),
    here("clone_sibling", || clone_with(libc::CLONE_PARENT)),
    apart("clone3", || clone3(0)),
    apart("clone3_user", || clone3(libc::CLONE_NEWUSER)),
    apart("setns", || setns("uts", 0)),
    apart("setns_user", || setns("user", libc::CLONE_NEWUSER)),
    apart("setns_mount", || setns("mnt", libc::CLONE_NEWNS)),
    apart("setns_pid", || setns("pid", libc::CLONE_NEWPID)),
    apart("setns_net", || setns("net", libc::CLONE_NEWNET)),
    apart("setns_ipc", || setns("ipc", libc::CLONE_NEWIPC)),
    apart("setns_cgroup", || setns("cgroup", libc::CLONE_NEWCGROUP)),
    apart("setns_time", || setns("time", NEW_TIME)),
    apart("setns_process", setns_process),
    apart("parent_namespace", parent_namespace),
    // Mounts. /tmp exists everywhere, and outside this runs in a mount namespace of its own.
    apart("mount", || mount(c"tmpfs", 0)),
    apart("mount_proc", || mount(c"proc", 0)),
    apart("mount_sys", || mount(c"sysfs", 0)),
    apart("mount_bind", || mount(c"", libc::MS_BIND)),
    apart("mount_propagation", || change(libc::MS_PRIVATE)),
    apart("mount_move", || mount(c"", libc::MS_MOVE)),
    apart("remount_writable", || {
        change(libc::MS_REMOUNT | libc::MS_BIND)
    }),
    apart("umount", || umount(c"/tmp")),
    apart("uncover_interrupts", || umount(c"/proc/interrupts")),
    apart("pivot_root", || {
        tried(libc::SYS_pivot_root, &[address(c"/tmp"), address(c"/tmp")])
    }),
    apart("chroot", || tried(libc::SYS_chroot, &[address(c"/")])),
    apart("open_tree", || {
        let clone = 1; // OPEN_TREE_CLONE
        tried(libc::SYS_open_tree, &[HERE, address(c"/tmp"), clone])
    }),
    apart("move_mount", || {
        let from_descriptor = 4; // MOVE_MOUNT_F_EMPTY_PATH
        let (nothing, tmp) = (address(c""), address(c"/tmp"));
        tried(
            libc::SYS_move_mount,
            &[-1, nothing, HERE, tmp, from_descriptor],
        )
    }),
    apart("fsopen", || {
        tried(libc::SYS_fsopen, &[address(c"tmpfs"), 0])
    }),
    apart("fsconfig", || tried(libc::SYS_fsconfig, &[-1, 6, 0, 0, 0])),
    apart("fsmount", || tried(libc::SYS_fsmount, &[-1, 0, 0])),
    apart("fspick", || {
        tried(libc::SYS_fspick, &[HERE, address(c"/proc"), 0])
    }),
    apart("mount_setattr", || {
        let nothing = [0_u64; 4];
        let attributes = address(&nothing);
        tried(
            libc::SYS_mount_setattr,
            &[HERE, address(c"/tmp"), 0, attributes, 32],
        )
    }),
];

/// linux/sched.h; in clone(2) a part of the exit signal.
const NEW_TIME: libc::c_int = 0x80;

fn unshare(flags: libc::c_int) -> Outcome {
    tried(libc::SYS_unshare, &[number(flags)])
}

/// A clone that copies memory like fork(2), with more flags.
fn clone_with(flags: libc::c_int) -> Outcome {
    started(call(libc::SYS_clone, &[number(flags | libc::SIGCHLD)]))
}

fn clone3(flags: libc::c_int) -> Outcome {
    let mut arguments = [0_u64; 8];
    let [wanted, _, _, _, signal, ..] = &mut arguments;
    (*wanted, *signal) = (flags as u64, libc::SIGCHLD as u64);
    started(call(libc::SYS_clone3, &[address(&arguments), 64]))
}

/// The child ends at once; whether it was started is what counts.
fn started(child: Result<i64, i32>) -> Outcome {
    match child {
        Ok(0) => exit(0),
        Ok(child) => {
            wait(child);
            Outcome::Ok
        }
        Err(errno) => Outcome::Errno(errno),
    }
}

fn setns(kind: &str, flag: libc::c_int) -> Outcome {
    match File::open(format!("/proc/self/ns/{kind}")) {
        Ok(file) => tried(
            libc::SYS_setns,
            &[Arg::from(file.as_raw_fd()), number(flag)],
        ),
        Err(error) => error.into(),
    }
}

/// The mounts of the parent, by its pidfd.
fn setns_process() -> Outcome {
    let parent = call(libc::SYS_getppid, &[]).unwrap_or(1) as Arg;
    match call(libc::SYS_pidfd_open, &[parent, 0]) {
        Ok(process) => {
            let mounts = number(libc::CLONE_NEWNS);
            tried(libc::SYS_setns, &[process as Arg, mounts])
        }
        Err(errno) => Outcome::Errno(errno),
    }
}

/// The pid namespace above its own (ioctl_ns(2), `NS_GET_PARENT`). The first one has none.
fn parent_namespace() -> Outcome {
    match File::open("/proc/self/ns/pid") {
        Ok(file) => tried(libc::SYS_ioctl, &[Arg::from(file.as_raw_fd()), 0xb702]),
        Err(error) => error.into(),
    }
}

/// Mounts on /tmp, and takes it away again where that worked.
fn mount(kind: &CStr, flags: libc::c_ulong) -> Outcome {
    let tmp = address(c"/tmp");
    let mounted = call(libc::SYS_mount, &[tmp, tmp, address(kind), flags as Arg]);
    if mounted.is_ok() {
        let _ = call(libc::SYS_umount2, &[tmp, LAZILY]);
    }
    mounted.into()
}

/// Changes the mount of /proc, in which /proc/sys is read-only inside.
fn change(flags: libc::c_ulong) -> Outcome {
    let place = address(c"/proc");
    tried(libc::SYS_mount, &[place, place, 0, flags as Arg])
}

/// Takes away what is mounted at a place, which is another mount of it where nothing is.
fn umount(path: &CStr) -> Outcome {
    let place = address(path);
    let _ = call(libc::SYS_mount, &[place, place, 0, libc::MS_BIND as Arg]);
    tried(libc::SYS_umount2, &[place, LAZILY])
}

const LAZILY: Arg = libc::MNT_DETACH as Arg;
