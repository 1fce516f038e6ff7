//! The hostile program inside and outside, in both word sizes. Inside, each attempt must come to exactly
//! what tests/data/attempts.toml says; outside it must succeed, so that no row is vacuous.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::plan::{BindAccess, Plan};
use hearth_sandbox::outside::FIRST_ID;
use hearth_sandbox::sys::process::Ended;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::chown;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use support::attempts::{of_once, results, vacuous, wrong_inside};
use support::{Programs, bind, both, image, open_folder, plan, run};
use tempfile::TempDir;

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

/// An image, a folder for the service's data, and the plan of a service that may start processes.
fn service(programs: &Programs) -> (TempDir, TempDir, Plan) {
    let (image, data) = (image(programs), open_folder());
    chown(data.path(), Some(FIRST_ID + 1000), Some(FIRST_ID + 1001)).unwrap();
    let mut plan = plan(image.path(), &["once"]);
    let writable = BindAccess::ReadWrite;
    plan.binds.push(bind(data.path(), "/data", writable));
    (image, data, plan)
}

#[test]
fn every_attempt_fails_inside_with_its_errno_and_succeeds_outside() {
    let _listener = listen();
    let _leak = leak();
    // SAFETY: sets no handler.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    for programs in both() {
        // given the hostile program in an image
        let (_image, _data, plan) = service(programs);
        let expected = of_once(programs.word);
        // when it runs inside, and outside
        let (inside, ended) = run(programs, &plan);
        let outside = outside(programs);
        // then inside each attempt comes to what is expected, and none is unlisted
        assert_eq!(ended, Ended::Code(0), "{}: {inside}", programs.word);
        let wrong = wrong_inside(&expected, &inside, &[]);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", programs.word);
        // and outside each comes further
        let vacuous = vacuous(&expected, &outside);
        assert!(vacuous.is_empty(), "{}: {vacuous:#?}", programs.word);
    }
}

#[test]
fn policies_open_exactly_what_they_say() {
    // With a socket of its own it may look at interfaces, not change them.
    let client = [
        ("internet_socket", "ok"),
        ("datagram_socket", "ok"),
        ("internet_6_socket", "ok"),
        ("raise_interface", "errno=1"),
        // By the old call of i386 the filter can not tell families apart.
        ("socketcall_netlink", "ok"),
        ("socketcall_unix", "ok"),
    ];
    let server = [&client[..], &[("abstract_name", "ok")]].concat();
    for programs in both() {
        for (policy, opened) in [
            ("network-client", &client[..]),
            ("network-server", &server[..]),
            ("netlink", &[("netlink_socket", "ok")][..]),
        ] {
            // given a service with one more policy
            let (_image, _data, mut plan) = service(programs);
            plan.seccomp.policies.push(policy.into());
            // when it tries everything
            let (text, _) = run(programs, &plan);
            // then only what the policy is for succeeds
            let wrong = wrong_inside(&of_once(programs.word), &text, opened);
            assert!(wrong.is_empty(), "{} {policy}: {wrong:#?}", programs.word);
        }
    }
}

#[test]
fn without_exec_children_no_process_can_be_started() {
    for programs in both() {
        let (_image, _data, mut plan) = service(programs);
        plan.seccomp.policies.clear();
        let (text, _) = run(programs, &plan);
        assert_eq!(results(&text)["chroot"], "value=fork-errno-1", "{text}");
    }
}

#[test]
fn a_call_that_the_manifest_names_is_allowed_and_no_other() {
    for programs in both() {
        // given a service whose manifest adds one call
        let (_image, _data, mut plan) = service(programs);
        plan.seccomp.extra.push("ioprio_get".into());
        // when it tries everything
        let (text, _) = run(programs, &plan);
        // then that one succeeds
        let opened = [("ioprio_get", "ok")];
        let wrong = wrong_inside(&of_once(programs.word), &text, &opened);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", programs.word);
    }
}
