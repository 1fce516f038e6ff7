//! The real hearth-manager, killed before each of its writes: what is on disk is the old state or the new one, and the new
//! one wherever a person was told so; the next manager goes on with it. Needs root, as `gateway.rs`.
// A test may panic; what it shares with the others it may use only in parts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    dead_code
)]

mod support;

use serde_json::Value;
use support::http::{json, raw, try_get};
use support::{Gateway, until};

/// More writes than any one request makes.
const WRITES_MAX: usize = 60;

/// Asks; `None` where nobody answers to the end.
fn asked(gateway: &Gateway, (method, path): (&str, &str)) -> Option<u16> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    let (code, _) = raw(gateway, &head).ok()?;
    (code != 0).then_some(code)
}

fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    for name in ["a", "b"] {
        gateway.install(name, "");
    }
    gateway.start_net();
    gateway.boot();
    for name in ["a", "b"] {
        gateway.wait_for(name, "Active");
    }
    gateway
}

/// Kills the manager before each write that `change` makes, `writes` among them; the next one has to tell, by `look`,
/// `old` or `new`.
fn at_each_write(
    change: (&str, &str),
    back: (&str, &str),
    look: impl Fn(&Gateway) -> Value,
    (old, new): (Value, Value),
    writes: &[&str],
) {
    let mut gateway = gateway();
    assert_eq!(look(&gateway), old);
    let mut all = Vec::new();
    for passed in 0..WRITES_MAX {
        // given the old state, when the manager is killed before one of the writes
        gateway.end_manager(libc::SIGKILL);
        let trap = gateway.start_trapped_manager(None);
        gateway.wait_for_api();
        gateway.wait_for("b", "Active");
        trap.arm(passed);
        let code = asked(&gateway, change);
        let (seen, sprung) = trap.disarm();
        if sprung {
            gateway.manager_end();
            gateway.boot();
        }
        // then the next one knows the old state or the new one, and the new one if that was said
        let when = format!("{change:?}, answered {code:?}, killed before the last of {seen:?}");
        let found = look(&gateway);
        assert!(
            found == new || found == old && code.is_none(),
            "{found}: {when}"
        );
        let status = try_get(&gateway, "/v1/status").unwrap();
        assert_eq!(status["problems"], Value::Array(Vec::new()), "{when}");
        if !sprung {
            let has = |write: &&str| all.iter().any(|one: &String| one == write);
            assert!(writes.iter().all(has), "killed before each of {all:?}");
            return;
        }
        all.extend(seen.into_iter().nth(passed));
        if found == new {
            assert!(
                [200, 202].contains(&json(&gateway, back.0, back.1).0),
                "{when}"
            );
        }
        until(&when, || (look(&gateway) == old).then_some(()));
    }
    panic!("{change:?} makes more than {WRITES_MAX} writes: {all:?}");
}

/// The writes that replace a file.
macro_rules! replaced {
    ($name:literal) => {
        &[
            concat!("create hearth/state/", $name, ".new"),
            concat!("write hearth/state/", $name, ".new"),
            concat!("sync hearth/state/", $name, ".new"),
            concat!("rename hearth/state/", $name, ".new"),
            "sync hearth/state",
        ]
    };
}

#[test]
fn a_stop_is_known_or_was_never_said() {
    at_each_write(
        ("POST", "/v1/services/a/stop"),
        ("POST", "/v1/services/a/start"),
        |gateway| json(gateway, "GET", "/v1/services/a").1["wanted"].clone(),
        (true.into(), false.into()),
        replaced!("services.json"),
    );
}

#[test]
fn a_rank_is_known_or_was_never_said() {
    at_each_write(
        ("POST", "/v1/rank?order=b,a"),
        ("POST", "/v1/rank?order=a,b"),
        |gateway| json(gateway, "GET", "/v1/services/a").1["rank"].clone(),
        (1.into(), 2.into()),
        replaced!("services.json"),
    );
}

#[test]
fn a_forward_is_known_or_was_never_said() {
    at_each_write(
        ("POST", "/v1/forwards/tcp/8022?to=192.168.1.50&port=22"),
        ("DELETE", "/v1/forwards/tcp/8022"),
        |gateway| {
            json(gateway, "GET", "/v1/forwards")
                .1
                .as_array()
                .unwrap()
                .len()
                .into()
        },
        (0.into(), 1.into()),
        replaced!("forwards.json"),
    );
}

#[test]
fn a_first_boot_that_is_cut_at_any_write_is_a_first_boot_again() {
    let mut all = Vec::new();
    for passed in 0..WRITES_MAX {
        // given a gateway on which no manager ever ran, when the first is killed before one of its writes
        let mut gateway = Gateway::new();
        gateway.install("a", "");
        let trap = gateway.start_trapped_manager(Some(passed));
        let started = std::time::Instant::now();
        let at_work = || {
            !gateway.manager_is_dead()
                && try_get(&gateway, "/v1/services/a").is_none_or(|row| row["state"] != "Active")
        };
        while at_work() {
            assert!(started.elapsed() < support::SOON, "{passed} writes");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let (seen, sprung) = trap.disarm();
        gateway.end_manager(libc::SIGKILL);
        // then the next is at home there
        gateway.boot();
        gateway.wait_for("a", "Active");
        let status = try_get(&gateway, "/v1/status").unwrap();
        let when = format!("killed before the last of {seen:?}");
        assert_eq!(status["problems"], Value::Array(Vec::new()), "{when}");
        if !sprung {
            assert!(all.len() >= 5, "{all:?}");
            return;
        }
        all.extend(seen.into_iter().nth(passed));
    }
    panic!("a first boot makes more than {WRITES_MAX} writes: {all:?}");
}
