//! What is granted works, and no more than that: binds, output, control group.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::plan::BindAccess;
use hearth_model::step::{Step, StepFailure};
use hearth_sandbox::outside::{FIRST_ID, cgroup};
use hearth_sandbox::sys::process::Ended;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use support::{Programs, bind, both, failure, image, open_folder, plan, start_bytes};

/// Copies `/hostile` to `target` inside, by the hostile program itself: whether a place can be written.
fn writes(programs: &Programs, source: &Path, access: BindAccess, target: &str) -> (String, Ended) {
    let image = image(programs);
    let mut plan = plan(image.path(), &["write", &format!("{target}/file")]);
    plan.binds.push(bind(source, target, access));
    support::run(programs, &plan)
}

/// A folder that belongs to the service's user.
fn own_folder() -> tempfile::TempDir {
    let folder = open_folder();
    chown(folder.path(), Some(FIRST_ID + 1000), Some(FIRST_ID + 1001)).unwrap();
    folder
}

#[test]
fn a_grant_can_be_written_only_where_it_says_so() {
    for programs in both() {
        for target in ["/data", "/run/hearth/data"] {
            // given a folder of the service's own, granted in both ways
            let folder = own_folder();
            // when the service writes into it
            let (read_only, _) = writes(programs, folder.path(), BindAccess::ReadOnly, target);
            let nothing = fs::read_dir(folder.path()).unwrap().count();
            let (writable, _) = writes(programs, folder.path(), BindAccess::ReadWrite, target);
            // then only the writable grant takes it, as the service's user of its own range
            assert_eq!(read_only, "RESULT write errno=30\n", "{}", programs.word);
            assert_eq!(nothing, 0);
            assert_eq!(writable, "RESULT write ok\n", "{}", programs.word);
            let made = fs::metadata(folder.path().join("file")).unwrap();
            assert_eq!((made.uid(), made.gid()), (FIRST_ID + 1000, FIRST_ID + 1001));
        }
    }
}

#[test]
fn a_link_in_the_image_can_not_move_a_grant_outside() {
    for programs in both() {
        // given an image whose /data leads to a folder that exists outside and inside
        let image = image(programs);
        let outside = open_folder();
        let name = outside.path().file_name().unwrap().to_str().unwrap();
        fs::remove_dir(image.path().join("data")).unwrap();
        fs::create_dir(image.path().join(name)).unwrap();
        symlink(format!("/../../../{name}"), image.path().join("data")).unwrap();
        let granted = own_folder();
        fs::write(granted.path().join("granted"), "").unwrap();
        // when it is granted at /data
        let mut plan = plan(image.path(), &["list", &format!("/{name}")]);
        plan.binds
            .push(bind(granted.path(), "/data", BindAccess::ReadOnly));
        let (text, _) = support::run(programs, &plan);
        // then it lies inside, where the link leads in the image
        assert_eq!(text, "RESULT list value=granted\n", "{}", programs.word);
    }
}

#[test]
fn a_granted_file_is_made_below_run() {
    for programs in both() {
        let image = image(programs);
        let folder = open_folder();
        let file = folder.path().join("resolv.conf");
        fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
        let mut plan = plan(image.path(), &["list", "/run/hearth"]);
        plan.binds
            .push(bind(&file, "/run/hearth/resolv.conf", BindAccess::ReadOnly));
        let (text, _) = support::run(programs, &plan);
        assert_eq!(text, "RESULT list value=resolv.conf\n");
    }
}

#[test]
fn its_own_control_group_is_the_root_of_what_it_sees() {
    let tree = cgroup::mount_point().unwrap();
    for programs in both() {
        // given a control group made for it
        let group = tree.join(format!("hearth-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let folder = File::open(&group).unwrap();
        // when it is born there and has come to rest
        let image = image(programs);
        let bytes = plan(image.path(), &["all"]).encode().unwrap();
        let mut started = start_bytes(programs, &bytes, Some(&folder), None).unwrap();
        let text = started.read_until("RESULT end");
        // then the host sees it there, and it sees itself at the root
        let members = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(members.trim(), started.running.pid().to_string());
        assert!(text.contains("RESULT control_group value=/\n"), "{text}");
        started.running.signal(libc::SIGKILL).unwrap();
        let (_, ended) = started.finish();
        assert_eq!(ended, Ended::Signal(libc::SIGKILL));
        fs::remove_dir(&group).unwrap();
    }
}

/// A network namespace by `ip netns`, removed when dropped.
struct Network(String);

impl Network {
    fn new(word: &str) -> Network {
        let name = format!("hearth-test-{word}-{}", std::process::id());
        ip(&["netns", "add", &name]);
        Network(name)
    }

    fn open(&self) -> File {
        File::open(format!("/run/netns/{}", self.0)).unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).status().unwrap();
    assert!(done.success(), "ip {arguments:?}");
}

#[test]
fn a_capability_that_is_granted_has_no_power_over_the_network() {
    for programs in both() {
        // given a service that keeps CAP_NET_ADMIN, in a network that was made for it
        let network = Network::new(programs.word);
        let image = image(programs);
        let mut plan = plan(image.path(), &["once"]);
        plan.empty_network = false;
        let policies = ["network-server", "netlink", "dhcp-server"];
        plan.seccomp.policies.extend(policies.map(str::to_owned));
        let bytes = plan.encode().unwrap();
        // when it tries everything
        let started = start_bytes(programs, &bytes, None, Some(&network.open())).unwrap();
        let (text, _) = started.finish();
        // then it holds the capability, and can still not raise an interface or open a raw socket
        let kept = "0000000000001400";
        for line in [
            &format!("RESULT capabilities value={kept},{kept},{kept},{kept},{kept}"),
            "RESULT raise_interface errno=1",
            "RESULT raw_socket errno=1",
            "RESULT internet_socket ok",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }
}

#[test]
fn a_capability_over_a_network_of_its_own_is_refused() {
    for programs in both() {
        let image = image(programs);
        let mut plan = plan(image.path(), &["once"]);
        plan.seccomp.policies.push("dhcp-server".into());
        let expected = StepFailure {
            step: Step::DropCapabilities,
            index: 0,
            errno: libc::EPERM,
        };
        assert_eq!(failure(programs, &plan), expected, "{}", programs.word);
    }
}

#[test]
fn output_can_be_opened_by_name_where_its_pipe_may_be_written_by_all() {
    for programs in both() {
        // given an output pipe as PID 1 makes it
        let image = image(programs);
        let bytes = plan(image.path(), &["write", "/dev/stdout"])
            .encode()
            .unwrap();
        // when the service opens its standard output by name
        let started = start_bytes(programs, &bytes, None, None).unwrap();
        let (text, _) = started.finish();
        // then it can: many programs log so
        assert_eq!(text, "xRESULT write ok\n", "{}", programs.word);
    }
}
