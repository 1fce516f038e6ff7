//! The real hearth-manager's accounts: counted from counters, kept over restarts, signed. Needs root, as the
//! other tests of the manager.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    dead_code // this file uses a part of what the tests share
)]

mod support;

use hearth_model::usage::{Chain, Head, PublicKey, Record, RecordEnd};
use support::http::{json, request};
use support::{Gateway, WITH_PORT};

const BOOT: &str = "proc/sys/kernel/random/boot_id";

/// A gateway on which `web` runs and has used 1.5 s.
fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.write(BOOT, "one\n");
    gateway.install("web", WITH_PORT);
    gateway.write(
        "sys/fs/cgroup/services/web/cpu.stat",
        "usage_usec 1500000\n",
    );
    gateway.write("sys/class/net/sv0/ifindex", "7\n");
    gateway.write("sys/class/net/sv0/statistics/rx_bytes", "100\n");
    gateway.write("sys/class/net/sv0/statistics/tx_bytes", "20\n");
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("web", "Active");
    gateway
}

/// Every record, all of them checked.
fn records(gateway: &Gateway) -> Vec<Record> {
    let (status, pem) = request(gateway, "GET", "/v1/usage/key");
    assert_eq!(status, 200, "{pem}");
    let key = PublicKey::from_pem(&pem).unwrap();
    let (status, text) = request(gateway, "GET", "/v1/usage");
    assert_eq!(status, 200, "{text}");
    // Sent in chunks (RFC 9112), whose sizes stand between the lines.
    let lines: Vec<&str> = text.lines().filter(|line| line.contains('\t')).collect();
    let (head, lines) = lines.split_last().unwrap();
    let mut chain = Chain::default();
    let records = lines
        .iter()
        .map(|line| chain.follow(&key, line).unwrap())
        .collect();
    let (head, _) = key.open::<Head>(head).unwrap();
    assert_eq!(chain.ends_at(&head), Ok(()));
    records
}

#[test]
fn what_a_service_used_is_open_then_signed_at_the_end_of_a_boot() {
    let mut gateway = gateway();
    // given a stop, after which its counters are gone
    json(&gateway, "POST", "/v1/services/web/stop");
    gateway.wait_for("web", "Idle");
    let (status, open) = json(&gateway, "GET", "/v1/usage/open");
    assert_eq!(status, 200, "{open}");
    let used = &open["services"][0]["used"];
    assert_eq!(open["services"][0]["service"], "web");
    assert_eq!(used["cpu_usec"], 1_500_000);
    assert_eq!(
        (&used["sent_bytes"], &used["received_bytes"]),
        (&100.into(), &20.into())
    );
    assert_eq!(records(&gateway), []);
    // when the manager ends in order and the gateway boots anew
    assert!(gateway.end_manager(libc::SIGTERM).success());
    gateway.write(BOOT, "two\n");
    gateway.boot();
    // then it is a record
    let [record] = &records(&gateway)[..] else {
        panic!()
    };
    assert_eq!(
        (record.service.as_str(), record.end),
        ("web", RecordEnd::Shutdown)
    );
    assert_eq!(record.used.cpu_usec, 1_500_000);
    assert!(record.from <= record.until);
}

#[test]
fn a_killed_manager_counts_what_went_on_meanwhile_and_nothing_twice() {
    let mut gateway = gateway();
    assert!(gateway.end_manager(libc::SIGTERM).success());
    gateway.boot();
    gateway.end_manager(libc::SIGKILL);
    gateway.write(
        "sys/fs/cgroup/services/web/cpu.stat",
        "usage_usec 2000000\n",
    );
    gateway.boot();
    assert!(gateway.end_manager(libc::SIGTERM).success());
    gateway.write(BOOT, "two\n");
    gateway.boot();
    let [record] = &records(&gateway)[..] else {
        panic!()
    };
    assert_eq!(record.used.cpu_usec, 2_000_000);
}

#[test]
fn what_a_service_used_that_is_gone_survives_a_killed_manager() {
    let mut gateway = gateway();
    // given a service that is stopped, and a manager that is killed right after
    json(&gateway, "POST", "/v1/services/web/stop");
    gateway.wait_for("web", "Idle");
    gateway.end_manager(libc::SIGKILL);
    // when its counters are gone
    std::fs::remove_dir_all(gateway.path("sys/fs/cgroup/services/web")).unwrap();
    gateway.boot();
    // then they were on disk
    let (_, open) = json(&gateway, "GET", "/v1/usage/open");
    let used = &open["services"][0]["used"];
    assert_eq!(
        (&used["cpu_usec"], &used["sent_bytes"]),
        (&1_500_000.into(), &100.into())
    );
}

#[test]
fn accounts_that_were_changed_are_told_and_everything_else_goes_on() {
    let mut gateway = gateway();
    assert!(gateway.end_manager(libc::SIGTERM).success());
    gateway.write(BOOT, "two\n");
    gateway.boot();
    assert_eq!(records(&gateway).len(), 1);
    assert!(gateway.end_manager(libc::SIGTERM).success());
    // given a record that somebody made cheaper
    let file = "data/hearth/usage/records-000000000000";
    let text = gateway.read(file).replace("1500000", "1");
    gateway.write(file, &text);
    gateway.write("data/hearth/usage/open.json", "{");
    // when the manager starts
    gateway.boot();
    // then status says so, and services run
    let (_, status) = json(&gateway, "GET", "/v1/status");
    let problems = status["problems"].to_string();
    assert!(problems.contains("not accounted"), "{problems}");
    assert!(
        problems.contains("line 1: the signature does not fit"),
        "{problems}"
    );
    gateway.wait_for("web", "Active");
    assert_eq!(json(&gateway, "GET", "/v1/usage/open").0, 409);
}
