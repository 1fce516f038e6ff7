//! The real hearth-manager: what does not fit is refused with what would help, room is made and given
//! back, ranks take effect at once and survive. Needs root, as `gateway.rs`.
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

use hearth_model::protocol::TrafficClass;
use serde_json::{Value, json as value};
use support::http::{json, request_as};
use support::{Gateway, until};

/// 64 MiB for services, and room for four of the five that are installed: `e` does not run.
fn full() -> Gateway {
    let mut gateway = Gateway::new();
    for name in ["a", "b", "c", "d", "e"] {
        gateway.install(name, "");
    }
    gateway.boot();
    gateway.wait_for("d", "Active");
    gateway.init.asked();
    gateway
}

fn state(gateway: &Gateway, name: &str) -> String {
    let (_, row) = json(gateway, "GET", &format!("/v1/services/{name}"));
    row["state"].as_str().unwrap().to_owned()
}

fn weight(gateway: &Gateway, name: &str) -> u32 {
    let text = gateway.read(&format!("sys/fs/cgroup/services/{name}/cpu.weight"));
    text.trim().parse().unwrap()
}

fn order(rows: &Value) -> Vec<String> {
    let name = |row: &Value| row["service"].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_refusal_tells_programs_what_is_short_and_who_would_make_room() {
    let gateway = full();
    // given the one that does not fit, ranked above two others
    let (code, rows) = json(&gateway, "POST", "/v1/rank?order=a,b,e");
    assert_eq!(
        (code, order(&rows)),
        (200, ["a", "b", "e", "c", "d"].map(str::to_owned).to_vec())
    );
    // when it is started
    let (code, error) = json(&gateway, "POST", "/v1/services/e/start");
    // then the least important of the lower-ranked ones would be enough
    assert_eq!((code, error["code"].as_u64()), (409, Some(7227)));
    let short = value!([{
        "resource": "memory", "needed": 16 << 20, "free": 0, "shortfall": 16 << 20,
    }]);
    assert_eq!(
        error["refusal"],
        value!({"service": "e", "short": short, "room": ["d"]})
    );
    assert!(
        error["error"]
            .as_str()
            .unwrap()
            .contains("stop d, ranked lower"),
        "{error}"
    );
    // and a dry run shows the budget before and after, and changes nothing
    let (code, plan) = json(&gateway, "POST", "/v1/services/e/start?dry_run=true");
    assert_eq!(code, 200);
    assert_eq!(
        (&plan["fits"], &plan["stops"]),
        (&value!(false), &value!(["d"]))
    );
    assert_eq!(plan["refusal"], error["refusal"]);
    assert_eq!(plan["before"][0]["reserved"], 64 << 20);
    assert_eq!(plan["after"][0]["reserved"], 64 << 20);
    assert_eq!(gateway.init.asked(), Vec::<String>::new());
    // and what makes no sense is refused
    for (path, code) in [
        ("/v1/services/e/start?dry_run=maybe", 400),
        ("/v1/services/e/stop?dry_run=true", 400),
        ("/v1/services/e/restart?make_room=true", 400),
        ("/v1/services/hearth-netpath/start?dry_run=true", 409),
        ("/v1/services/nobody/start?dry_run=true", 404),
        ("/v1/rank", 400),
        ("/v1/rank?order=a,nobody", 404),
        ("/v1/rank?order=hearth-netpath", 409),
    ] {
        let (got, told) = json(&gateway, "POST", path);
        assert_eq!(got, code, "{path}: {told}");
    }
    assert_eq!(
        request_as(&gateway, 1000, "POST", "/v1/rank?order=e").0,
        403
    );
    assert_eq!(request_as(&gateway, 1000, "GET", "/v1/rank").0, 200);
    assert_eq!(
        order(&json(&gateway, "GET", "/v1/rank").1)[..3],
        ["a", "b", "e"]
    );
}

#[test]
fn room_is_made_by_exactly_those_and_that_survives_a_crash() {
    let mut gateway = full();
    json(&gateway, "POST", "/v1/rank?order=a,b,e");
    // when room is made
    let (code, row) = json(&gateway, "POST", "/v1/services/e/start?make_room=true");
    // then that one has ended, it runs, and the others never noticed
    assert_eq!((code, &row["state"]), (200, &"Active".into()), "{row}");
    assert_eq!(gateway.init.asked(), ["stop d", "forget d", "start e"]);
    assert_eq!(state(&gateway, "d"), "Idle");
    // and so it stays after a crash of the manager
    gateway.end_manager(libc::SIGKILL);
    gateway.boot();
    gateway.wait_for("e", "Active");
    assert_eq!(state(&gateway, "d"), "Idle");
    assert_eq!(gateway.init.asked(), Vec::<String>::new());
    assert_eq!(
        order(&json(&gateway, "GET", "/v1/rank").1),
        ["a", "b", "e", "c", "d"]
    );
    // and where there is room already, it is a start like any other
    json(&gateway, "POST", "/v1/services/e/stop");
    let (code, row) = json(&gateway, "POST", "/v1/services/d/start?make_room=true");
    assert_eq!((code, &row["state"]), (200, &"Active".into()));
}

#[test]
fn where_room_was_made_in_vain_everything_is_as_before() {
    let gateway = full();
    json(&gateway, "POST", "/v1/rank?order=e");
    json(&gateway, "POST", "/v1/services/e/stop");
    // given a service whose image is damaged
    gateway.write("data/hearth/packages/e/image.squashfs", "no image");
    gateway.init.asked();
    // when room is made for it
    let (code, row) = json(&gateway, "POST", "/v1/services/e/start?make_room=true");
    // then it does not run, and says why and who runs again
    assert_eq!((code, &row["state"]), (200, &"Idle".into()), "{row}");
    let message = row["message"].as_str().unwrap();
    assert!(message.ends_with("; d may run again"), "{message}");
    gateway.wait_for("d", "Active");
    assert_eq!(gateway.init.asked(), ["stop d", "forget d", "start d"]);
    let kept: Value =
        serde_json::from_str(&gateway.read("data/hearth/state/services.json")).unwrap();
    assert_eq!(kept["services"]["d"]["wanted"], "running");
    assert_eq!(kept["services"]["e"]["wanted"], "stopped");
}

#[test]
fn a_rank_takes_effect_at_once_without_a_restart_and_survives() {
    // given two equal services, one of which somebody waits for
    let mut gateway = Gateway::new();
    let line = "[resources.network]\nclass = \"interactive\"\n";
    gateway.install("backup", "network = \"wan\"");
    gateway.install_with("call", "network = \"wan\"", line);
    gateway.start_net();
    gateway.boot();
    for name in ["backup", "call"] {
        gateway.wait_for(name, "Active");
    }
    until("both are equal", || {
        (weight(&gateway, "call") == 3500).then_some(())
    });
    assert_eq!(weight(&gateway, "backup"), 3500);
    gateway.init.asked();
    // when one is ranked above the other
    let (code, rows) = json(&gateway, "POST", "/v1/rank?order=backup,call");
    assert_eq!(code, 200, "{rows}");
    // then it has twice as much of what nobody reserved, and does not wait behind the other one
    assert_eq!(
        (weight(&gateway, "backup"), weight(&gateway, "call")),
        (4500, 2500)
    );
    assert_eq!(rows[0]["cpu_weight"], 4500);
    assert_eq!(rows[0]["traffic_class"], "interactive");
    let share = |gateway: &Gateway, number| {
        let share = gateway.net.as_ref().unwrap().share(number).unwrap();
        (share.class, share.weight)
    };
    until("netpath hears of it", || {
        (share(&gateway, 0) == (TrafficClass::Interactive, 1000)).then_some(())
    });
    until("netpath hears of the other one", || {
        (share(&gateway, 1) == (TrafficClass::Interactive, 500)).then_some(())
    });
    // and it is so after a crash of the manager, and never was anything started anew
    gateway.write("sys/fs/cgroup/services/backup/cpu.weight", "1");
    gateway.end_manager(libc::SIGKILL);
    gateway.boot();
    until("it is ranked again", || {
        (weight(&gateway, "backup") == 4500).then_some(())
    });
    assert_eq!(gateway.init.asked(), Vec::<String>::new());
    let (_, services) = json(&gateway, "GET", "/v1/services");
    let ranks: Vec<(&str, &Value)> = services
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["kind"] == "service")
        .map(|row| (row["name"].as_str().unwrap(), &row["rank"]))
        .collect();
    assert_eq!(ranks, [("backup", &value!(1)), ("call", &value!(2))]);
    // when one is put first, then who was ranked before follows, and without a name nobody is ranked
    let (_, rows) = json(&gateway, "POST", "/v1/rank?order=call");
    assert_eq!(
        (order(&rows)[0].as_str(), &rows[1]["ranked"]),
        ("call", &value!(true))
    );
    json(&gateway, "POST", "/v1/rank?order=");
    assert_eq!(
        (weight(&gateway, "backup"), weight(&gateway, "call")),
        (3500, 3500)
    );
    json(&gateway, "POST", "/v1/rank?order=backup,call");
    // when the ranking can not be kept, then it stays as it is
    let state = gateway.path("data/hearth/state");
    std::fs::rename(&state, gateway.path("data/hearth/elsewhere")).unwrap();
    std::fs::write(&state, "in the way").unwrap();
    let (code, error) = json(&gateway, "POST", "/v1/rank?order=call");
    assert_eq!(code, 409, "{error}");
    assert!(
        error["error"]
            .as_str()
            .unwrap()
            .starts_with("the ranking stays as it is: could not")
    );
    assert_eq!(weight(&gateway, "backup"), 4500);
}

#[test]
fn the_line_is_promised_as_far_as_it_is_known() {
    // given a service that wants a part of it, on a gateway without a cable
    let mut gateway = Gateway::new();
    let line = "[resources.network]\nreserve-up = \"2 Mbit/s\"\n";
    gateway.install_with("call", "network = \"wan\"", line);
    gateway.start_net();
    gateway.boot();
    let row = until("it is refused", || {
        let (_, row) = json(&gateway, "GET", "/v1/services/call");
        (row["message"] != "").then_some(row)
    });
    let message = row["message"].as_str().unwrap();
    assert!(
        message.contains("set upload and download in [wan] of gateway.toml"),
        "{message}"
    );
    // when the household says what the line carries
    let config = gateway.read("etc/hearth/gateway.toml");
    let said = config.replace("#upload = \"20 Mbit/s\"", "upload = \"5 Mbit/s\"");
    assert_ne!(said, config);
    gateway.write("data/hearth/gateway.toml", &said);
    gateway.end_manager(libc::SIGTERM);
    gateway.boot();
    // then it starts, and the budget tells of it
    gateway.wait_for("call", "Active");
    let (_, status) = json(&gateway, "GET", "/v1/status");
    let line = |resource: &str| {
        let lines = status["budget"].as_array().unwrap().iter();
        lines
            .clone()
            .find(|line| line["resource"] == resource)
            .unwrap()
            .clone()
    };
    assert_eq!(
        line("upload"),
        value!({
            "resource": "upload", "total": 5_000_000, "system": 1_000_000, "reserved": 2_000_000,
            "free": 2_000_000,
        })
    );
    assert_eq!(line("download")["total"], 0);
}
