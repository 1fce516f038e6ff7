//! The real hearth-manager between a PID 1, a netpath and clients of its API: starts, refusals,
//! restarts of each, logs, roles. Needs root (mounts); what needs a kernel's cgroup v2 controllers is
//! a matter of the board tests, here their files are plain ones.
// A test may panic, and its descriptor passing may take several unsafe calls at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    dead_code // this file uses a part of what the tests share
)]

mod support;

use hearth_model::plan::Plan;
use hearth_model::state::{Fault, LastExit, UnitState};
use std::os::unix::fs::MetadataExt;
use support::http::{Follower, json, raw, request, request_as};
use support::{Gateway, Small, WITH_PORT, contents, until};

/// A gateway on which `web` runs.
fn with_web() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.install("web", WITH_PORT);
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("web", "Active");
    gateway
}

#[test]
fn a_boot_starts_what_is_installed_with_link_limits_and_plan() {
    // given a gateway with two packages and one that is full of faults
    let mut gateway = Gateway::new();
    gateway.install("web", WITH_PORT);
    gateway.install("calc", "grants = [\"api\"]\n");
    let faults = "[service]\nname = \"Bad Name\"\nversion = 1\nexec = \"x\"\nusr = 1\n\
                  [resources.memory]\nmax = \"1 KiB\"\n[resources.pids]\nmax = 0\n[acces]\n";
    gateway.write("data/hearth/packages/bad/manifest.toml", faults);
    gateway.sign("bad");
    gateway.start_net();
    // when it boots
    gateway.boot();
    // then both run
    let web = gateway.wait_for("web", "Active");
    gateway.wait_for("calc", "Active");
    let mut asked = gateway.init.asked();
    asked.sort();
    assert_eq!(asked, ["start calc", "start web"]);
    // calc has number 0, web 1: the link and the port came first
    assert_eq!(
        gateway.net.as_ref().unwrap().asked(),
        ["hello", "settle", "attach 1", "forward 1 8080"]
    );
    assert_eq!(web["address"], "10.213.0.3");
    assert_eq!(web["listens"][0], "lan tcp 8080 -> 80");
    assert_eq!(web["memory_bytes"], 4096);
    // with the limits of the manifest, and their sum guaranteed to all services together
    for (file, value) in [
        ("memory.max", "33554432"),
        ("pids.max", "8"),
        // 5 % of the core, and half of the 60 % that nobody reserved
        ("cpu.weight", "3500"),
    ] {
        assert_eq!(
            gateway.read(&format!("sys/fs/cgroup/services/web/{file}")),
            value,
            "{file}"
        );
    }
    assert_eq!(
        gateway.read("sys/fs/cgroup/services/memory.min"),
        "33554432"
    );
    // who together never have the system's part
    assert_eq!(
        gateway.read("sys/fs/cgroup/services/memory.max"),
        ((256 - 192) << 20).to_string()
    );
    assert_eq!(gateway.read("sys/fs/cgroup/services/pids.max"), "30720");
    assert_eq!(
        gateway.read("sys/fs/cgroup/cgroup.subtree_control"),
        "+cpu +memory +pids"
    );
    // with a data folder of its own
    let data = std::fs::metadata(gateway.path("data/services/web")).unwrap();
    assert_eq!(
        (data.uid(), data.mode() & 0o7777),
        (0x0010_0000 + 0x1_0000 + 33, 0o700)
    );
    // with its image mounted where the plan says
    let plan = gateway.init.with(|table| {
        let row = table
            .rows
            .values()
            .find(|row| row.name.as_str() == "web")
            .unwrap();
        assert_eq!(row.fds.len(), 3);
        Plan::decode(&contents(&row.fds[0])).unwrap()
    });
    let seen = format!("/proc/{}/root{}/hello", gateway.manager_pid(), plan.root);
    assert_eq!(std::fs::read_to_string(seen).unwrap(), "web");
    // and the faulty one is told line by line and harms nobody
    let (_, status) = json(&gateway, "GET", "/v1/status");
    let problems: Vec<&str> = status["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_str().unwrap())
        .collect();
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(
        problems.iter().all(|p| p.contains("/bad/manifest.toml:")),
        "{problems:#?}"
    );
    assert_eq!(status["firmware"], "test 1");
    assert_eq!(status["wan"]["address"], "203.0.113.7/24");
    assert_eq!(status["nat"]["mappings"], 3);
    assert_eq!(status["budget"][0]["reserved"], 32 << 20);
    assert!(
        gateway
            .read("run/hearth/shared/resolv.conf")
            .contains("nameserver 198.51.100.1\n")
    );
    let (code, error) = json(&gateway, "POST", "/v1/services/bad/start");
    assert_eq!((code, error["code"].as_u64()), (404, Some(7016)));
    assert!(
        error["error"]
            .as_str()
            .unwrap()
            .contains("the package bad can not be used")
    );
}

#[test]
fn what_can_not_be_made_fails_the_start_by_name_and_harms_no_other() {
    // given a kernel without pids for one, and a damaged image of another
    let mut gateway = Gateway::new();
    for name in ["broken", "nopids", "calc"] {
        gateway.install(name, "");
    }
    std::fs::remove_file(gateway.path("sys/fs/cgroup/services/nopids/pids.max")).unwrap();
    let image = "data/hearth/packages/broken/image.squashfs";
    let good = std::fs::read(gateway.path(image)).unwrap();
    gateway.write(image, "this is no image");
    // when it boots
    gateway.boot();
    gateway.wait_for("calc", "Active");
    // then the third runs, and each of the others says what is wrong
    assert_eq!(gateway.init.asked(), ["start calc"]);
    let (_, nopids) = json(&gateway, "GET", "/v1/services/nopids");
    let message = nopids["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "could not apply the limit pids.max = 8 (resources.pids.max): no such file"
        ),
        "{message}"
    );
    assert_eq!(
        (&nopids["state"], &nopids["fault"]),
        (&"Idle".into(), &"FailureOnAutoStart".into())
    );
    let (_, broken) = json(&gateway, "GET", "/v1/services/broken");
    let message = broken["message"].as_str().unwrap();
    assert!(
        message.contains(image) && message.contains("is damaged"),
        "{message}"
    );
    // when the image is good again, then a start works (one that is made anew has another time in it)
    std::fs::write(gateway.path(image), good).unwrap();
    let (code, row) = json(&gateway, "POST", "/v1/services/broken/start");
    assert_eq!(
        (code, &row["state"], &row["message"]),
        (200, &"Active".into(), &"".into())
    );
}

#[test]
fn gates_and_granted_devices_stand_before_the_start_and_go_after_the_stop() {
    // given a service that is granted a radio stick, and one whose gates can not be attached
    let mut gateway = Gateway::new();
    gateway.install("radio", "network = \"lan\"\ndevices = [\"/dev/ttyUSB3\"]\n");
    gateway.install("open", "");
    let gates = "sys/fs/cgroup/services/open/hearth.gates";
    std::fs::create_dir_all(gateway.path(gates)).unwrap();
    gateway.start_net();
    // when it boots
    gateway.boot();
    gateway.wait_for("radio", "Active");
    // then the first runs with its gates (a test's cgroup holds them as text)
    let gates = gateway.read("sys/fs/cgroup/services/radio/hearth.gates");
    assert!(
        gates.contains("major: 188") && gates.contains("192.168.1.1"),
        "{gates}"
    );
    // with a node for its user alone, which its plan binds to where the manifest says
    let node = std::fs::metadata(gateway.path("dev/hearth/radio/ttyUSB3")).unwrap();
    assert_eq!(
        (node.rdev(), node.mode()),
        (libc::makedev(188, 3), libc::S_IFCHR | 0o600)
    );
    assert_eq!(node.uid(), 0x0010_0000 + 0x0001_0000 + 33);
    let plan = gateway.init.with(|table| {
        let row = table
            .rows
            .values()
            .find(|row| row.name.as_str() == "radio")
            .unwrap();
        Plan::decode(&contents(&row.fds[0])).unwrap()
    });
    let bind = plan
        .binds
        .iter()
        .find(|bind| bind.target == "/dev/ttyUSB3")
        .unwrap();
    assert!(
        bind.source.ends_with("/dev/hearth/radio/ttyUSB3"),
        "{bind:?}"
    );
    // and the second does not run, and says which gate it is
    assert_eq!(gateway.init.asked(), ["start radio"]);
    let (_, open) = json(&gateway, "GET", "/v1/services/open");
    let message = open["message"].as_str().unwrap();
    assert!(
        message.starts_with("the gate device can not be attached: "),
        "{message}"
    );
    // when the first is stopped, then its node is gone
    json(&gateway, "POST", "/v1/services/radio/stop");
    until("the node goes", || {
        (!gateway.path("dev/hearth/radio").exists()).then_some(())
    });
}

#[test]
fn a_killed_manager_comes_back_to_running_services() {
    // given a service that runs and has printed something
    let mut gateway = with_web();
    gateway.init.print("web", b"before\n");
    until("the line is kept", || {
        (request(&gateway, "GET", "/v1/services/web/logs").1 == "before\n").then_some(())
    });
    gateway.init.asked();
    gateway.net.as_ref().unwrap().asked();
    // when the manager is killed, the service prints on, and another manager starts
    gateway.end_manager(libc::SIGKILL);
    gateway.init.print("web", b"between\n");
    gateway.boot();
    // then nothing was stopped or started, its link was said again, and no line is lost
    let web = gateway.wait_for("web", "Active");
    assert_eq!(web["pid"], 101);
    gateway.init.print("web", b"after\n");
    until("the lines are kept", || {
        let (_, log) = request(&gateway, "GET", "/v1/services/web/logs");
        (log == "before\nbetween\nafter\n").then_some(())
    });
    until("the link is said again", || {
        let asked = gateway.net.as_ref().unwrap().asked();
        asked.contains(&"forward 0 8080".to_owned()).then_some(())
    });
    assert_eq!(gateway.init.asked(), Vec::<String>::new());
}

#[test]
fn what_happened_is_told_also_after_a_crash_and_to_who_follows() {
    // given a service that was started, and a manager that was killed after that
    let mut gateway = with_web();
    let texts = |gateway: &Gateway, path: &str| -> Vec<String> {
        let (code, events) = json(gateway, "GET", path);
        assert_eq!(code, 200, "{events}");
        let line = |event: &serde_json::Value| {
            let word = |key: &str| event[key].as_str().unwrap().to_owned();
            format!("{} {}", word("object"), word("text"))
        };
        events.as_array().unwrap().iter().map(line).collect()
    };
    let before = texts(&gateway, "/v1/events");
    let active = "service web Active pid=101".to_owned();
    assert!(before.contains(&active), "{before:?}");
    gateway.end_manager(libc::SIGKILL);
    gateway.boot();
    gateway.wait_for("web", "Active");
    // when the events are asked for again, then the old ones are still there
    let all = texts(&gateway, "/v1/events");
    assert_eq!(all[..before.len()], before);
    // and somebody who has them all and follows gets only what happens then
    let last = json(&gateway, "GET", "/v1/events").1;
    let last = last.as_array().unwrap().last().unwrap()["id"].clone();
    let header = format!("Last-Event-ID: {last}\r\n");
    let mut follower = Follower::at(&gateway, "/v1/events?follow=true", &header);
    json(&gateway, "POST", "/v1/services/web/stop");
    follower.wait_for("service web");
    follower.wait_for("Idle");
    assert!(follower.got().contains("text/event-stream"));
    assert!(follower.got().contains("\ndata: {\"id\":"));
    assert!(!follower.got().contains(&active));
    let newer = texts(&gateway, &format!("/v1/events?after={last}"));
    assert!(newer.iter().any(|line| line.contains("Idle")), "{newer:?}");
    assert!(!newer.contains(&active));
    // and what makes no sense is refused
    for bad in ["after=x", "after=-1", "follow=maybe"] {
        let (code, told) = json(&gateway, "GET", &format!("/v1/events?{bad}"));
        assert_eq!(code, 400, "{bad}: {told}");
    }
}

#[test]
fn a_doctor_names_one_cause_and_one_advice() {
    let gateway = with_web();
    let told = |check: &str| {
        let (code, report) = json(&gateway, "GET", "/v1/doctor");
        assert_eq!((code, &report["well"]), (200, &false.into()), "{report}");
        let checks = report["checks"].as_array().unwrap().clone();
        let failed = checks
            .iter()
            .find(|one| one["outcome"] == "failed")
            .unwrap();
        assert_eq!(failed["name"], check, "{report}");
        (
            report["cause"].as_str().unwrap().to_owned(),
            report["advice"].as_str().unwrap().to_owned(),
        )
    };
    // given a machine without its ports, then that is the cause
    let (cause, advice) = told("link");
    assert!(cause.contains("no port eth1"), "{cause}");
    assert!(advice.contains("[wan]"), "{advice}");
    // when they are there and one has no cable, then that is
    gateway.write("sys/class/net/eth0/carrier", "1\n");
    gateway.write("sys/class/net/eth1/carrier", "0\n");
    let (cause, _) = told("link");
    assert!(
        cause.contains("eth1 to the Internet has no cable"),
        "{cause}"
    );
    // when both are up, then it is the lease without a next hop; the names that are not resolved follow
    gateway.write("sys/class/net/eth1/carrier", "1\n");
    let (cause, advice) = told("dns");
    assert!(cause.contains("no next hop"), "{cause}");
    assert!(advice.contains("wan.router"), "{advice}");
}

#[test]
fn what_the_household_asked_survives() {
    let mut gateway = with_web();
    // when it is stopped, then the answer comes when it is Idle, and everything is given back
    let (code, row) = json(&gateway, "POST", "/v1/services/web/stop");
    assert_eq!(
        (code, &row["state"], &row["wanted"]),
        (200, &"Idle".into(), &false.into())
    );
    assert!(
        gateway
            .read("data/hearth/state/services.json")
            .contains("stopped")
    );
    until("it is forgotten", || {
        gateway
            .init
            .asked()
            .contains(&"forget web".to_owned())
            .then_some(())
    });
    assert_eq!(gateway.read("sys/fs/cgroup/services/memory.min"), "0");
    // when the manager is restarted, then it stays stopped
    assert!(gateway.end_manager(libc::SIGTERM).success());
    gateway.boot();
    let (_, row) = json(&gateway, "GET", "/v1/services/web");
    assert_eq!(
        (&row["state"], &row["message"]),
        (&"Idle".into(), &"".into())
    );
    assert_eq!(gateway.init.asked(), Vec::<String>::new());
    // when it is started, then the answer comes when it is Active, and a restart changes its process
    let (code, row) = json(&gateway, "POST", "/v1/services/web/start");
    assert_eq!(
        (code, &row["state"], &row["pid"]),
        (200, &"Active".into(), &102.into())
    );
    let (code, row) = json(&gateway, "POST", "/v1/services/web/restart");
    assert_eq!(
        (code, &row["state"], &row["pid"]),
        (200, &"Active".into(), &103.into())
    );
    assert_eq!(gateway.init.asked(), ["start web", "restart web"]);
}

#[test]
fn what_a_full_disk_does_not_take_is_refused_and_nothing_changes() {
    // given a gateway whose disk is full, on which a manager starts
    let mut gateway = Gateway::new();
    gateway.install("calc", "");
    let disks = ["state", "usage"]
        .map(|folder| Small::mount(gateway.path(&format!("data/hearth/{folder}")), 64));
    gateway.boot();
    assert_eq!(json(&gateway, "POST", "/v1/services/calc/start").0, 200);
    assert!(gateway.end_manager(libc::SIGTERM).success());
    let kept = gateway.read("data/hearth/state/services.json");
    disks.iter().for_each(Small::fill);
    gateway.boot();
    // then what is wrong is told, and services' data stays where it is
    let problems = || json(&gateway, "GET", "/v1/status").1["problems"].to_string();
    let told = problems();
    assert!(told.contains("/usage: no space left"), "{told}");
    assert!(!gateway.path("run/hearth/data").exists());
    // when a service is to stop, then that is refused, since it could not be kept
    let (status, answer) = json(&gateway, "POST", "/v1/services/calc/stop");
    assert_eq!(status, 409, "{answer}");
    let told = answer["error"].to_string();
    assert!(
        told.contains("calc stays as it is: could not write"),
        "{told}"
    );
    assert_eq!(gateway.wait_for("calc", "Active")["wanted"], true);
    assert_eq!(gateway.read("data/hearth/state/services.json"), kept);
    // but a start of what is wanted takes no room
    assert_eq!(json(&gateway, "POST", "/v1/services/calc/start").0, 200);
    // when there is room again, then nothing is wrong and it stops
    disks.iter().for_each(Small::empty);
    assert_eq!(problems(), "[]");
    assert_eq!(json(&gateway, "POST", "/v1/services/calc/stop").0, 200);
    assert_ne!(gateway.read("data/hearth/state/services.json"), kept);
}

#[test]
fn without_a_writable_data_partition_the_gateway_runs_and_says_so() {
    // given a file where the folder for the state would be
    let mut gateway = Gateway::new();
    gateway.install("calc", "");
    gateway.write("data/hearth/state", "not a folder");
    // when it boots
    gateway.boot();
    // then services run, with their data in memory
    gateway.wait_for("calc", "Active");
    assert!(gateway.path("run/hearth/data/calc").exists());
    let (_, status) = json(&gateway, "GET", "/v1/status");
    let told = status["problems"].to_string();
    assert!(
        told.contains("services keep their data only until"),
        "{told}"
    );
    let (code, row) = json(&gateway, "POST", "/v1/services/calc/stop");
    assert_eq!((code, &row["state"]), (200, &"Idle".into()));
}

#[test]
fn a_restarted_netpath_hears_of_every_service_again() {
    let mut gateway = with_web();
    // when netpath dies, then services go on and the status says what is missing
    gateway.net = None;
    until("the status has no counters", || {
        let (_, status) = json(&gateway, "GET", "/v1/status");
        (status["nat"].is_null() && status["wan"]["address"].is_null()).then_some(())
    });
    gateway.wait_for("web", "Active");
    // when it is back, then it hears everything
    gateway.start_net();
    let mut heard = Vec::new();
    until("netpath hears", || {
        heard.extend(gateway.net.as_ref().unwrap().asked());
        heard.contains(&"forward 0 8080".to_owned()).then_some(())
    });
    assert_eq!(heard, ["hello", "settle", "attach 0", "forward 0 8080"]);
}

#[test]
fn more_than_the_machine_has_is_refused_and_changes_nothing() {
    // given 256 MiB of which 192 are kept for the system: room for four services of 16
    let mut gateway = Gateway::new();
    for name in ["a", "b", "c", "d", "e"] {
        gateway.install(name, "");
    }
    gateway.boot();
    gateway.wait_for("d", "Active");
    // then the fifth is refused, at boot and when asked for
    let (code, error) = json(&gateway, "POST", "/v1/services/e/start");
    assert_eq!((code, error["code"].as_u64()), (409, Some(7227)));
    assert_eq!(
        error["error"],
        "service e reserves 16 MiB of memory, 0 B free, 16 MiB short; what is ranked below it \
         does not hold enough: rank it higher (`hearth rank`), stop another service, or lower \
         resources.memory.reserve in its manifest"
    );
    assert!(
        !gateway
            .read("data/hearth/state/services.json")
            .contains("running")
    );
    // when another is stopped, then it starts
    json(&gateway, "POST", "/v1/services/a/stop");
    let (code, row) = json(&gateway, "POST", "/v1/services/e/start");
    assert_eq!((code, &row["state"]), (200, &"Active".into()));
}

#[test]
fn a_kill_by_the_kernel_for_memory_is_told_as_one() {
    let gateway = with_web();
    gateway.write(
        "sys/fs/cgroup/services/web/memory.events",
        "low 0\noom_kill 1\n",
    );
    gateway.init.tell("web", |status| {
        status.state = UnitState::Restarting;
        status.fault = Fault::FailureWhileActive;
        status.last_exit = LastExit::Signal(9);
    });
    let row = gateway.wait_for("web", "Restarting");
    assert!(
        row["message"]
            .as_str()
            .unwrap()
            .contains("its limit of 32 MiB"),
        "{row}"
    );
    assert_eq!(row["oom_kills"], 1);
}

#[test]
fn a_kill_for_a_system_call_is_told_with_the_call_and_what_would_allow_it() {
    // given a running service, and the kernel's record of its end, by user and process number
    let gateway = with_web();
    let row = gateway.wait_for("web", "Active");
    let pid = row["pid"].as_u64().unwrap();
    let is_web = |row: &&support::init::Row| row.name.as_str() == "web";
    let user = gateway
        .init
        .with(|table| table.rows.values().find(is_web).unwrap().id.uid_base() + 33);
    let record = |pid: u64, call: u32| {
        format!(
            "5,7,999999999999999,-;audit: type=1326 audit(1.2:3): auid=4294967295 uid={user} gid={user} ses=4294967295 \
             pid={pid} comm=\"nginx\" exe=\"/nginx\" sig=31 arch=40000003 syscall={call} compat=0 ip=0x1 \
             code=0x80000000\n"
        )
    };
    // when a child of it and then the service itself are killed
    gateway.kernel_says(&record(4242, 357)); // bpf
    let log = || request(&gateway, "GET", "/v1/services/web/logs").1;
    until("the child's end is in its log", || {
        log()
            .contains("(nginx) was killed: it made the system call bpf")
            .then_some(())
    });
    assert_eq!(gateway.wait_for("web", "Active")["message"], "");
    gateway.init.tell("web", |status| {
        status.state = UnitState::Idle;
        status.pid = 0;
        status.fault = Fault::FailureWhileActive;
        status.last_exit = LastExit::Signal(31);
    });
    let row = gateway.wait_for("web", "Idle");
    assert!(
        row["message"]
            .as_str()
            .unwrap()
            .contains("the kernel's log has not told which"),
        "{row}"
    );
    gateway.kernel_says(&record(pid, 26)); // ptrace: the log may come later than PID 1's word
    // then the household is told
    let told = |row: &serde_json::Value| {
        row["message"]
            .as_str()
            .unwrap()
            .contains("made the system call ptrace")
    };
    let row = until("it is told", || {
        Some(gateway.wait_for("web", "Idle")).filter(told)
    });
    let message = row["message"].as_str().unwrap();
    assert!(
        message.contains("[[sandbox.syscall]] with name = \"ptrace\""),
        "{message}"
    );
    assert!(log().contains("hearth: process"), "{}", log());
}

#[test]
fn only_root_changes_and_every_error_is_told_as_one() {
    let gateway = with_web();
    // others may read
    let (code, _) = request_as(&gateway, 1000, "GET", "/v1/services");
    assert_eq!(code, 200);
    for path in [
        "/v1/services/web/stop",
        "/v1/system/poweroff",
        "/v1/nothing",
    ] {
        let (code, body) = request_as(&gateway, 1000, "POST", path);
        assert!(
            code == 403 && body.contains("7006"),
            "{path}: {code} {body}"
        );
    }
    for (method, path, code, words) in [
        ("GET", "/v1/services/wbe", 404, "did you mean \\\"web\\\"?"),
        ("GET", "/v1/services/zzzzzz", 404, "there are: web"),
        ("GET", "/v1/services/%ff", 400, "makes no sense"),
        (
            "POST",
            "/v1/services/web/dance",
            404,
            "start, stop and restart",
        ),
        ("POST", "/v1/system/dance", 404, "poweroff and reboot"),
        ("POST", "/v1/status", 405, "another method"),
        ("DELETE", "/v1/services/web", 405, "another method"),
        ("GET", "/", 404, "no such path"),
        (
            "GET",
            "/v1/services/web/logs?follow=maybe",
            400,
            "true or false",
        ),
        (
            "GET",
            "/v1/services/hearth-netpath/logs",
            409,
            "kernel's log",
        ),
        (
            "POST",
            "/v1/services/console/restart",
            409,
            "part of the gateway",
        ),
        (
            "POST",
            "/v1/services/hearth-manager/stop",
            409,
            "part of the gateway",
        ),
        (
            "POST",
            "/v1/services/hearth-netpath/restart",
            409,
            "does not run",
        ),
    ] {
        let (got, body) = request(&gateway, method, path);
        assert_eq!(got, code, "{method} {path}: {body}");
        assert!(
            body.contains(words) && body.contains("\"code\":"),
            "{path}: {body}"
        );
    }
    // a head that is too large is refused, and the next one is heard
    let long = "x".repeat(64 * 1024);
    let head = format!("GET /v1/status HTTP/1.1\r\nhost: g\r\nx: {long}\r\n\r\n");
    if let Ok((code, _)) = raw(&gateway, &head) {
        assert_eq!(code, 431);
    }
    assert_eq!(request(&gateway, "POST", "/v1/system/reboot").0, 202);
    until("PID 1 hears", || {
        gateway
            .init
            .asked()
            .contains(&"shutdown Reboot".to_owned())
            .then_some(())
    });
}

#[test]
fn the_manager_restarts_itself_when_asked_and_keeps_its_socket_folder() {
    let mut gateway = with_web();
    let before = std::fs::metadata(gateway.path("run/hearth/api"))
        .unwrap()
        .ino();
    assert_eq!(
        request(&gateway, "POST", "/v1/services/hearth-manager/restart").0,
        200
    );
    assert!(gateway.manager_end().success());
    gateway.boot();
    assert_eq!(
        std::fs::metadata(gateway.path("run/hearth/api"))
            .unwrap()
            .ino(),
        before
    );
    assert_eq!(gateway.wait_for("web", "Active")["pid"], 101);
}

#[test]
fn a_flood_of_output_is_bounded_counted_and_delays_nobody() {
    let gateway = with_web();
    let mut follower = Follower::new(&gateway, "web");
    gateway.init.print("web", b"hello\n");
    follower.wait_for("hello");
    // when the service prints 4 MiB as fast as it can
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            gateway
                .init
                .print("web", &b"0123456789abcde\n".repeat(256 * 1024))
        });
        // then the API answers meanwhile
        while !flood.is_finished() {
            let asked = std::time::Instant::now();
            assert_eq!(request(&gateway, "GET", "/v1/services").0, 200);
            assert!(asked.elapsed().as_secs() < 2);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
    // and what is kept is bounded, whole, and tells what is missing
    let log = until("the drops are told", || {
        let (_, log) = request(&gateway, "GET", "/v1/services/web/logs");
        log.contains(" dropped: more than ").then_some(log)
    });
    assert!(log.len() <= 256 * 1024, "{}", log.len());
    let whole =
        |line: &str| line == "0123456789abcde" || line.starts_with("hearth: ") || line == "hello";
    assert!(log.lines().all(whole));
}

#[test]
fn the_values_of_a_services_environment_are_told_nowhere() {
    // given a service with a secret in its environment, and one whose manifest has a fault just there
    let secret = "xyzzy-4711";
    let mut gateway = Gateway::new();
    let variable = format!("[service.env]\nPIN = \"{secret}\"\n");
    gateway.install_with("web", WITH_PORT, &variable);
    let fault = format!(
        "[service]\nname = \"bad\"\nversion = \"1\"\nexec = [\"/bin/bad\"]\nenv = {{ PIN = [\"{secret}\"] }}\n\
         [resources.memory]\nmax = \"8 MiB\"\n[resources.pids]\nmax = 4\n"
    );
    gateway.write("data/hearth/packages/bad/manifest.toml", &fault);
    gateway.sign("bad");
    gateway.start_net();
    // when one starts, is stopped and is started again, and the other is refused
    gateway.boot();
    gateway.wait_for("web", "Active");
    assert_eq!(request(&gateway, "POST", "/v1/services/web/restart").0, 200);
    let (_, error) = request(&gateway, "POST", "/v1/services/bad/start");
    // then the service has it
    let plan = gateway.init.with(|table| {
        let row = table.rows.values().find(|row| row.name.as_str() == "web");
        contents(&row.unwrap().fds[0])
    });
    assert!(String::from_utf8_lossy(&plan).contains(secret));
    // and nobody else: no log, no event, no answer, no file that is kept
    let mut told = vec![("the refusal".to_owned(), error)];
    for path in [
        "/v1/status",
        "/v1/services",
        "/v1/services/web",
        "/v1/services/web/logs",
        "/v1/events",
        "/v1/doctor",
        "/v1/top",
    ] {
        told.push((path.to_owned(), request(&gateway, "GET", path).1));
    }
    told.push(("the manager's own log".to_owned(), gateway.read("kmsg")));
    for folder in [
        "run/hearth",
        "run/hearth/logs",
        "data/hearth/state",
        "data/hearth/usage",
    ] {
        for entry in std::fs::read_dir(gateway.path(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            told.push((entry.path().display().to_string(), text));
        }
    }
    for (place, text) in told {
        assert!(!text.contains(secret), "{place}: {text}");
    }
}

#[test]
fn without_pid_1_the_manager_says_who_starts_it() {
    let root = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hearth-manager"))
        .arg("--root")
        .arg(root.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("<3>hearth-manager: there is no usable gateway.toml"),
        "{text}"
    );
}
