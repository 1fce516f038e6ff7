//! What a service is promised and what is left to it, point by point, told by a well-behaved program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::plan::{BindAccess, Plan, Ports};
use hearth_model::step::{Step, StepFailure};
use hearth_sandbox::outside::FIRST_ID;
use hearth_sandbox::steps::landlock;
use hearth_sandbox::sys::privilege::{self, Capabilities};
use std::fs::{self, Permissions};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;
use support::{Programs, bind, both, failure, image, open_folder, place, plan, run};

/// A plan for the well-behaved program, which it puts into the image.
fn contract(programs: &Programs, image: &Path, words: &[&str]) -> Plan {
    place(&programs.contract, &image.join("contract"));
    let mut plan = plan(image, words);
    plan.exec[0] = "/contract".into();
    plan
}

fn says(programs: &Programs, plan: &Plan) -> String {
    run(programs, plan).0.trim_end().to_owned()
}

#[test]
fn every_namespace_that_the_kernel_has_is_its_own() {
    let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];
    for programs in both() {
        for kind in kinds {
            let Ok(ours) = fs::read_link(format!("/proc/self/ns/{kind}")) else {
                assert_eq!(kind, "time", "the only one that a kernel may lack");
                continue;
            };
            let image = image(programs);
            let its = says(
                programs,
                &contract(programs, image.path(), &["namespace", kind]),
            );
            assert!(its.starts_with(&format!("{kind}:[")), "{its}");
            assert_ne!(its, ours.to_str().unwrap(), "{}", programs.word);
        }
    }
}

#[test]
fn a_set_user_id_program_in_the_image_gives_nothing() {
    for programs in both() {
        // given a program of the sandbox's own root that is set-user-id
        let image = image(programs);
        let plan = contract(programs, image.path(), &["user"]);
        let program = image.path().join("contract");
        chown(&program, Some(FIRST_ID), Some(FIRST_ID)).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o6755)).unwrap();
        // when the service executes it, then it stays who it was
        assert_eq!(says(programs, &plan), "1000,1000,1000,1000");
    }
}

/// What Landlock makes of it where it knows TCP ports (level 4).
fn refused_from_level_4() -> &'static str {
    match landlock::kernel_level() {
        0..=3 => "ok",
        _ => "errno=13",
    }
}

#[test]
fn landlock_lets_a_service_bind_and_connect_to_the_plans_ports_alone() {
    for programs in both() {
        let tcp = |words: &[&str]| {
            let image = image(programs);
            let mut plan = contract(programs, image.path(), words);
            plan.seccomp.policies.push("network-server".into());
            plan.tcp.bind = Ports::Only(vec![8080, 0]);
            plan.tcp.connect = Ports::Only(vec![9090]);
            says(programs, &plan)
        };
        assert_eq!(tcp(&["bind", "8080"]), "ok", "{}", programs.word);
        assert_eq!(tcp(&["bind", "0"]), "ok");
        assert_eq!(tcp(&["bind", "8081"]), refused_from_level_4());
        // nobody listens: ECONNREFUSED is beyond Landlock
        assert_eq!(tcp(&["connect", "9090"]), "errno=111");
        let other = match refused_from_level_4() {
            "ok" => "errno=111",
            refused => refused,
        };
        assert_eq!(tcp(&["connect", "9091"]), other);
    }
}

#[test]
fn landlock_keeps_abstract_sockets_of_the_host_away_in_the_hosts_network() {
    let name = SocketAddr::from_abstract_name("hearth-hostile").unwrap();
    let _listener = UnixListener::bind_addr(&name).unwrap();
    let expected = match landlock::kernel_level() {
        0..=5 => "RESULT abstract_socket ok",
        _ => "RESULT abstract_socket errno=1",
    };
    for programs in both() {
        let image = image(programs);
        let done = Command::new(&programs.launcher)
            .args(["run", "--without-limits", "--network", "host", "--root"])
            .arg(image.path())
            .args(["--", "/hostile", "once"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(said.lines().any(|line| line == expected), "{said}");
    }
}

/// SECURE_NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, all four locks; KEEP_CAPS off (capabilities(7)).
const LOCKED: i32 = 0b1110_1111;

#[test]
fn secure_bits_are_locked_with_the_last_capability() {
    // given a thread, which has privileges of its own; what a sandbox does to itself is done to it
    let thread = std::thread::spawn(|| {
        privilege::drop_capabilities(Capabilities::NONE).unwrap();
        // SAFETY: takes no pointer.
        let bits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) };
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        (bits, status)
    });
    // then all are locked and nothing is left
    let (bits, status) = thread.join().unwrap();
    assert_eq!(bits, LOCKED);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(
            status.contains(&format!("{set}:\t0000000000000000\n")),
            "{status}"
        );
    }
}

#[test]
fn a_device_is_granted_below_dev_and_nowhere_else() {
    for programs in both() {
        // given a device of the machine
        let device = Path::new("/dev/zero");
        let image = image(programs);
        fs::write(image.path().join("device"), "").unwrap();
        // when a plan binds it elsewhere, then the bind is refused by its number
        let mut elsewhere = plan(image.path(), &["once"]);
        let data = image.path().join("data");
        elsewhere
            .binds
            .push(bind(&data, "/data", BindAccess::ReadOnly));
        elsewhere
            .binds
            .push(bind(device, "/device", BindAccess::ReadWrite));
        let expected = StepFailure {
            step: Step::Bind,
            index: 1,
            errno: libc::EACCES,
        };
        assert_eq!(failure(programs, &elsewhere), expected);
        // and below /dev it can be opened
        let mut granted = plan(image.path(), &["write", "/dev/granted"]);
        granted
            .binds
            .push(bind(device, "/dev/granted", BindAccess::ReadWrite));
        assert_eq!(run(programs, &granted).0, "RESULT write ok\n");
    }
}

#[test]
fn a_folder_below_dev_is_as_read_only_as_any_and_holds_no_devices() {
    for programs in both() {
        let image = image(programs);
        let folder = open_folder();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let made = Command::new("mknod")
            .args(["-m", "666", "null", "c", "1", "3"])
            .current_dir(folder.path())
            .status()
            .unwrap();
        assert!(made.success());
        for (file, access, expected) in [
            ("new", BindAccess::ReadOnly, "RESULT write errno=30\n"),
            ("new", BindAccess::ReadWrite, "RESULT write ok\n"),
            ("null", BindAccess::ReadWrite, "RESULT write errno=13\n"),
        ] {
            let mut plan = plan(image.path(), &["write", &format!("/dev/folder/{file}")]);
            plan.binds.push(bind(folder.path(), "/dev/folder", access));
            assert_eq!(run(programs, &plan).0, expected, "{file} {access:?}");
        }
    }
}
