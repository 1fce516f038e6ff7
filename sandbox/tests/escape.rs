//! The hostile program inside and outside, in both word sizes. Inside, each attempt must come to exactly
//! what is written here; outside it must come to something else, so that no line is vacuous.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_sandbox::sys::process::Ended;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use support::{Programs, both, image, plan, run};

const NO_CAPABILITIES: &str = "value=0000000000000000,0000000000000000,0000000000000000,\
                               0000000000000000,0000000000000000";

/// What each attempt comes to inside, whatever the word size. 1 is EPERM, 2 ENOENT, 3 ESRCH, 13 EACCES,
/// 30 EROFS, 38 ENOSYS, 111 ECONNREFUSED; signal 31 is SIGSYS, the end of whoever makes a dangerous call.
const INSIDE: &[(&str, &str)] = &[
    ("processes", "value=1"),
    ("kill_outside", "errno=3"),
    ("proc_1_environ", "value=own"),
    ("descriptors", "value=0,1,2"),
    ("environment", "value=HEARTH_SERVICE=probe"),
    ("capabilities", NO_CAPABILITIES),
    ("signals", "value=0000000000000000,0000000000001000"), // Rust's own: SIGPIPE
    ("umask", "value=0022"),
    ("limits", "value=64,0"),
    ("session", "value=own"),
    ("no_new_privs", "value=1"),
    ("seccomp", "value=2"),
    ("groups", "value="),
    ("uid_map", "value=0 17825792 65536"),
    ("host_name", "value=probe"),
    ("loopback", "value=up"),
    ("interfaces", "value=lo"),
    (
        "folder_dev",
        "value=fd,full,mqueue,null,random,shm,stderr,stdin,stdout,tty,urandom,zero",
    ),
    ("folder_sys", "value="),
    ("control_group", "value=/"),
    ("interrupts", "value=0"),
    ("host_file", "errno=2"),
    ("host_file_above_root", "errno=2"),
    ("kernel_log", "errno=2"),
    ("write_root", "errno=30"),
    ("write_dev", "errno=30"),
    ("write_tmp", "ok"),
    ("write_sysctl", "errno=30"),
    ("execute_from_tmp", "errno=13"),
    ("mount", "errno=1"),
    ("umount", "errno=1"),
    ("pivot_root", "signal=31"),
    ("chroot", "errno=1"),
    ("mknod", "errno=1"),
    ("unshare_user", "errno=1"),
    ("clone_user", "errno=1"),
    ("clone_net", "errno=1"),
    ("clone3", "errno=38"),
    ("setns", "signal=31"),
    ("ptrace", "signal=31"),
    ("process_vm_readv", "signal=31"),
    ("bpf", "signal=31"),
    ("perf_event_open", "errno=1"),
    ("userfaultfd", "errno=1"),
    ("io_uring_setup", "errno=1"),
    ("init_module", "signal=31"),
    ("kexec_load", "signal=31"),
    ("open_by_handle_at", "signal=31"),
    ("keyctl", "errno=1"),
    ("add_key", "errno=1"),
    ("syslog", "errno=1"),
    ("reboot", "signal=31"),
    ("swapon", "signal=31"),
    ("settimeofday", "errno=1"),
    ("sethostname", "errno=1"),
    ("iopl", "signal=31"),
    ("ioprio_get", "errno=1"),
    ("become_root", "errno=1"),
    ("personality", "errno=1"),
    ("type_into_terminal", "errno=1"),
    ("raw_socket", "errno=1"),
    ("packet_socket", "errno=1"),
    ("netlink_socket", "errno=1"),
    ("internet_socket", "errno=1"),
    ("raise_interface", "value=no-socket"),
    ("abstract_socket", "errno=111"),
    ("call_newer_than_policy", "errno=38"),
];

/// What only one word size can try.
fn inside_of(word: &str) -> &'static [(&'static str, &'static str)] {
    match word {
        "i686" => &[("ipc", "errno=1"), ("socketcall_raw", "errno=1")],
        _ => &[("int_80", "signal=31"), ("x32", "signal=31")],
    }
}

/// What is the same on both sides, and why that is no gap.
const SAME_OUTSIDE: &[&str] = &[
    "write_tmp",              // a granted place
    "call_newer_than_policy", // no kernel has it
    "control_group", // the host may run the tests in its root group; tests/grants.rs looks closer
    "loopback",      // the host's is up as well
    "umask",         // the usual one
    "groups",        // root may have no other group
];

/// Kernel memory is hidden as an empty file where the kernel offers it at all.
const KERNEL_MEMORY: [&str; 2] = ["value=0", "errno=2"];

fn results(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("RESULT "));
    lines
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .collect()
}

/// The host's side of what is tried through the abstract socket name space.
fn listen() -> UnixListener {
    let name = SocketAddr::from_abstract_name("hearth-hostile").unwrap();
    UnixListener::bind_addr(&name).unwrap()
}

/// A descriptor that exec does not close, which the launcher must.
fn leak() -> OwnedFd {
    let file = std::fs::File::open("/etc/passwd").unwrap();
    // SAFETY: takes no pointer; `file` is open.
    let copy = unsafe { libc::dup(file.as_raw_fd()) };
    assert!(copy > 4);
    // SAFETY: the call above has just made it; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(copy) }
}

fn outside(programs: &Programs) -> String {
    let done = Command::new("unshare")
        .args(["--mount", "--uts", "--"])
        .arg(&programs.hostile)
        .arg("once")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn every_attempt_fails_inside_with_its_errno_and_comes_further_outside() {
    let _listener = listen();
    let _leak = leak();
    // SAFETY: sets no handler.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    for programs in both() {
        // given the hostile program in an image
        let image = image(programs);
        // when it runs inside, and outside
        let (inside, ended) = run(programs, &plan(image.path(), &["once"]));
        let outside = outside(programs);
        // then inside each attempt comes to what is expected, and none is unlisted
        assert_eq!(ended, Ended::Code(0), "{}: {inside}", programs.word);
        let (inside, outside) = (results(&inside), results(&outside));
        let expected: Vec<_> = INSIDE.iter().chain(inside_of(programs.word)).collect();
        let mut wrong = Vec::new();
        for (name, outcome) in &expected {
            if inside.get(name) != Some(outcome) {
                wrong.push(format!("{name}: {:?}, not {outcome:?}", inside.get(name)));
            }
            // and outside to something else
            if outside.get(name) == Some(outcome) && !SAME_OUTSIDE.contains(name) {
                wrong.push(format!("{name}: {outcome:?} outside too"));
            }
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", programs.word);
        assert!(KERNEL_MEMORY.contains(&inside["kernel_memory"]));
        assert_eq!(inside.len(), expected.len() + 2, "{inside:?}"); // kernel_memory, end
    }
}

#[test]
fn policies_open_exactly_what_they_say() {
    for programs in both() {
        let image = image(programs);
        // With a socket of its own it may look at interfaces, not change them.
        let network = &[("internet_socket", "ok"), ("raise_interface", "errno=1")];
        for (policy, opened) in [
            ("network-client", &network[..]),
            ("network-server", &network[..]),
            ("netlink", &[("netlink_socket", "ok")][..]),
        ] {
            // given a service with one more policy
            let mut plan = plan(image.path(), &["once"]);
            plan.seccomp.policies.push(policy.into());
            // when it tries everything
            let (text, _) = run(programs, &plan);
            // then only what the policy is for succeeds
            let found = results(&text);
            for (name, outcome) in INSIDE.iter().chain(inside_of(programs.word)) {
                let other = opened.iter().find(|(known, _)| known == name);
                let expected = other.map_or(*outcome, |(_, outcome)| outcome);
                assert_eq!(found[name], expected, "{} {policy} {name}", programs.word);
            }
        }
    }
}

#[test]
fn without_exec_children_no_process_can_be_started() {
    for programs in both() {
        let image = image(programs);
        let mut plan = plan(image.path(), &["once"]);
        plan.seccomp.policies.clear();
        let (text, _) = run(programs, &plan);
        assert_eq!(results(&text)["chroot"], "value=fork-errno-1", "{text}");
    }
}

#[test]
fn a_call_that_the_manifest_names_is_allowed_and_no_other() {
    for programs in both() {
        // given a service whose manifest adds one call
        let image = image(programs);
        let mut plan = plan(image.path(), &["once"]);
        plan.seccomp.extra.push("ioprio_get".into());
        // when it tries everything
        let (text, _) = run(programs, &plan);
        // then that one succeeds
        let found = results(&text);
        for (name, outcome) in INSIDE.iter().chain(inside_of(programs.word)) {
            let expected = if *name == "ioprio_get" { "ok" } else { outcome };
            assert_eq!(found[name], expected, "{} {name}", programs.word);
        }
    }
}
