//! The real hearth-manager: who is ready by word, port or probe, who is hung, who needs whom; and that a
//! manager which dies in the middle loses nothing. Needs root, as `gateway.rs`.
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

use hearth_model::plan::Plan;
use hearth_model::protocol::FromInit;
use hearth_model::state::LastExit;
use serde_json::Value;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use support::http::{json, try_get};
use support::{Gateway, contents, until};

const NOTIFY: &str = "[health]\nready = \"notify\"\nready-within = \"60 s\"\nwatchdog = \"60 s\"\n";

fn row(gateway: &Gateway, name: &str) -> Value {
    json(gateway, "GET", &format!("/v1/services/{name}")).1
}

/// Says something as the service does, by the socket outside.
fn say(gateway: &Gateway, name: &str, text: &[u8]) {
    let socket = gateway.path(&format!("run/hearth/notify/{name}/socket"));
    let sent = UnixDatagram::unbound().unwrap().send_to(text, socket);
    assert_eq!(sent.unwrap(), text.len());
}

/// Waits until the service says what it waits for.
fn waits(gateway: &Gateway, name: &str, words: &str) -> Value {
    until(words, || {
        let row = try_get(gateway, &format!("/v1/services/{name}"))?;
        (row["life"]["waits"].as_str() == Some(words)).then_some(row)
    })
}

/// The plan that came with the start of a service.
fn plan(gateway: &Gateway, name: &str) -> Plan {
    gateway.init.with(|table| {
        let row = table.rows.values().find(|row| row.name.as_str() == name);
        Plan::decode(&contents(&row.unwrap().fds[0])).unwrap()
    })
}

#[test]
fn a_service_is_active_when_it_says_so_at_its_own_socket() {
    let mut gateway = Gateway::new();
    gateway.install_with("app", "", NOTIFY);
    gateway.boot();
    // given a service that has started: it waits, and the household reads for what
    let waiting = waits(&gateway, "app", "for its READY=1, at most 60 s");
    assert_eq!(
        (&waiting["state"], &waiting["message"]),
        (&"Starting".into(), &"".into())
    );
    // and it finds its own socket, which only its user may write to, and nobody's folder but its own
    let plan = plan(&gateway, "app");
    let bound = plan.binds.iter().find(|b| b.target == "/run/hearth/notify");
    assert!(bound.unwrap().source.ends_with("/run/hearth/notify/app"));
    for variable in [
        ("NOTIFY_SOCKET", "/run/hearth/notify/socket"),
        ("WATCHDOG_USEC", "60000000"),
    ] {
        let (name, value) = variable;
        assert!(plan.env.contains(&(name.into(), value.into())), "{name}");
    }
    let socket = std::fs::metadata(gateway.path("run/hearth/notify/app/socket")).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o600);
    assert_eq!(socket.uid(), 0x10_0000 + 33);
    // when it says what is no news, or too long, then nothing changes but its status
    say(&gateway, "app", b"READY=0\nSTATUS=reads its files\n");
    say(&gateway, "app", &[b'x'; 5000]);
    until("its status", || {
        (row(&gateway, "app")["life"]["says"] == "reads its files").then_some(())
    });
    assert_eq!(row(&gateway, "app")["state"], "Starting");
    // when it says that it is ready
    say(&gateway, "app", b"READY=1");
    let active = gateway.wait_for("app", "Active");
    assert_eq!(active["life"]["waits"], Value::Null);
    assert_eq!(gateway.init.asked(), ["start app", "ready app"]);
}

#[test]
fn what_is_said_while_no_manager_runs_is_heard_by_the_next_one() {
    let mut gateway = Gateway::new();
    gateway.install_with("app", "", NOTIFY);
    gateway.boot();
    waits(&gateway, "app", "for its READY=1, at most 60 s");
    // given a manager that is killed in the middle of the start
    gateway.end_manager(libc::SIGKILL);
    say(&gateway, "app", b"READY=1");
    // when the next one comes
    gateway.boot();
    // then it hears it, and nothing was started again
    gateway.wait_for("app", "Active");
    assert_eq!(gateway.init.asked(), ["start app", "ready app"]);
    // and from then on the same socket is read
    say(&gateway, "app", b"STATUS=well");
    until("its status", || {
        (row(&gateway, "app")["life"]["says"] == "well").then_some(())
    });
}

#[test]
fn a_service_that_is_not_ready_in_time_fails_and_one_that_hangs_is_killed() {
    let mut gateway = Gateway::new();
    let health = |text: &str| format!("[health]\n{text}\n");
    gateway.install_with(
        "late",
        "",
        &health("ready = \"notify\"\nready-within = \"100 ms\""),
    );
    gateway.install_with("hung", "", &health("watchdog = \"1 s\""));
    gateway.boot();
    let late = gateway.wait_for("late", "Restarting");
    assert_eq!(late["fault"], "FailureOnStart");
    assert!(
        late["message"]
            .as_str()
            .unwrap()
            .starts_with("it was not ready within 0.1 s"),
        "{late}"
    );
    let hung = gateway.wait_for("hung", "Restarting");
    assert_eq!(hung["fault"], "FailureWhileActive");
    assert!(
        hung["message"]
            .as_str()
            .unwrap()
            .starts_with("it gave no sign of life for 1 s"),
        "{hung}"
    );
    let asked = gateway.init.asked();
    assert!(
        asked.contains(&"condemn late NotReady".to_owned()),
        "{asked:?}"
    );
    assert!(asked.contains(&"condemn hung Hung".to_owned()), "{asked:?}");
    // and both are in the events
    let (_, events) = json(&gateway, "GET", "/v1/events");
    let told = events.to_string();
    assert!(told.contains("it is not ready in time") && told.contains("it gives no sign of life"));
}

#[test]
fn a_port_is_seen_in_the_kernels_table() {
    let mut gateway = Gateway::new();
    gateway.install_with("web", "", "[health]\nready = \"tcp 80\"\n");
    gateway.boot();
    let waiting = waits(&gateway, "web", "until it listens at tcp 80, at most 60 s");
    let table = format!("proc/{}/net/tcp", waiting["pid"]);
    // given a table without it
    let head = "  sl  local_address rem_address   st\n";
    gateway.write(
        &table,
        &format!("{head}   0: 00000000:0051 00000000:0000 0A\n"),
    );
    assert_eq!(row(&gateway, "web")["state"], "Starting");
    // when it listens
    gateway.write(
        &table,
        &format!("{head}   0: 00000000:0050 00000000:0000 0A\n"),
    );
    gateway.wait_for("web", "Active");
}

#[test]
fn a_probe_is_made_until_it_succeeds_and_after_a_crash_of_the_manager_too() {
    let mut gateway = Gateway::new();
    gateway.install_with(
        "app",
        "",
        "[health]\nready = [\"/bin/check\", \"${lan.address}\"]\n",
    );
    gateway.boot();
    let probe =
        |gateway: &Gateway| until("a probe", || gateway.init.with(|table| table.probes.pop()));
    let (id, pid) = probe(&gateway);
    // when it fails, then another one follows
    gateway.init.say(&FromInit::Probed {
        id,
        pid,
        exit: LastExit::Code(1),
    });
    let again = probe(&gateway);
    assert_eq!(again, (id, pid));
    assert_eq!(row(&gateway, "app")["state"], "Starting");
    // when the manager dies meanwhile, then the next one probes anew
    gateway.end_manager(libc::SIGKILL);
    gateway.boot();
    let (id, pid) = probe(&gateway);
    // a late word about another run changes nothing
    gateway.init.say(&FromInit::Probed {
        id,
        pid: pid + 1,
        exit: LastExit::Code(0),
    });
    gateway.init.say(&FromInit::Probed {
        id,
        pid,
        exit: LastExit::Code(0),
    });
    gateway.wait_for("app", "Active");
}

#[test]
fn services_start_and_end_in_the_order_of_their_needs() {
    let mut gateway = Gateway::new();
    gateway.install("base", "");
    // [service] of a test's package has no needs: they are written behind its head.
    gateway.install("user", "");
    let manifest = "data/hearth/packages/user/manifest.toml";
    let text = gateway.read(manifest);
    gateway.write(
        manifest,
        &text.replace("user = 33\n", "user = 33\nneeds = [\"base\"]\n"),
    );
    gateway.sign("user");
    gateway.boot();
    gateway.wait_for("user", "Active");
    assert_eq!(gateway.init.asked(), ["start base", "start user"]);
    assert_eq!(row(&gateway, "user")["life"]["needs"][0], "base");
    // when the need is stopped
    json(&gateway, "POST", "/v1/services/base/stop");
    let user = gateway.wait_for("user", "Idle");
    assert_eq!(
        gateway.init.asked(),
        ["withdraw user", "stop base", "forget base"]
    );
    assert_eq!(
        (&user["fault"], &user["wanted"]),
        (&"DependencyFailure".into(), &true.into())
    );
    // and a new manager knows it, and brings it back with its need
    gateway.end_manager(libc::SIGKILL);
    gateway.boot();
    assert_eq!(row(&gateway, "user")["fault"], "DependencyFailure");
    json(&gateway, "POST", "/v1/services/base/start");
    gateway.wait_for("user", "Active");
    // and a start of a service whose need is stopped starts that, and keeps the wish
    json(&gateway, "POST", "/v1/services/base/stop");
    gateway.wait_for("user", "Idle");
    let (code, user) = json(&gateway, "POST", "/v1/services/user/start");
    assert_eq!((code, &user["state"]), (200, &"Active".into()));
    let register = gateway.read("data/hearth/state/services.json");
    let register: Value = serde_json::from_str(&register).unwrap();
    let wanted = |name: &str| register["services"][name]["wanted"].clone();
    assert_eq!(wanted("base"), wanted("user"), "{register}");
    assert!(!wanted("base").is_null(), "{register}");
}

#[test]
fn one_service_can_not_write_to_the_socket_of_another() {
    let mut gateway = Gateway::new();
    gateway.install_with("app", "", NOTIFY);
    gateway.install_with("other", "", NOTIFY);
    gateway.boot();
    waits(&gateway, "app", "for its READY=1, at most 60 s");
    waits(&gateway, "other", "for its READY=1, at most 60 s");
    // given a socket that somebody has opened for everyone
    let socket = gateway.path("run/hearth/notify/app/socket");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    // when another service's user says that it is ready
    let code = format!(
        "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', '{}')",
        socket.display()
    );
    let uid = 0x10_0000 + 0x1_0000 + 33;
    let sent = std::os::unix::process::CommandExt::uid(
        std::process::Command::new("python3").args(["-c", &code]),
        uid,
    )
    .status()
    .unwrap();
    assert!(sent.success());
    // then the kernel's word about the sender counts: nothing has changed once its own word is heard
    say(&gateway, "app", b"STATUS=mine");
    until("its status", || {
        (row(&gateway, "app")["life"]["says"] == "mine").then_some(())
    });
    assert_eq!(row(&gateway, "app")["state"], "Starting");
}
