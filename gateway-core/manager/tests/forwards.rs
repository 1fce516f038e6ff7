//! The household's port-forwards through the real manager: the API, the disk, a netpath that goes and
//! comes back, and a manager that is killed.
// A test may panic, and its descriptor passing may take several unsafe calls at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    dead_code
)]

mod support;

use serde_json::{Value, json};
use support::http::{json as ask, request, request_as};
use support::net::REFUSED;
use support::{Gateway, until};

const ADD: &str = "/v1/forwards/tcp/8022?to=192.168.1.50&port=22";
const OPEN: &str = "open tcp 8022 Host(192.168.1.50) 22";

/// A gateway on which `web` runs, with a port of its own in the Internet.
fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.install(
        "web",
        "network = \"lan\"\nlisten = [\"lan tcp 8080 -> 80\", \"wan tcp 443 -> 80\"]\n",
    );
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("web", "Active");
    gateway.net.as_ref().unwrap().asked();
    gateway
}

fn kept(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.read("data/hearth/state/forwards.json")).unwrap()
}

#[test]
fn a_forward_is_on_disk_and_open_when_it_is_acknowledged() {
    // given a gateway, when a forward is added
    let gateway = gateway();
    let (code, row) = ask(&gateway, "POST", ADD);
    let expected = json!({
        "transport": "tcp", "first": 8022, "last": 8022, "host": "192.168.1.50", "service": null,
        "to_port": 22, "state": "open", "message": "",
    });
    // then netpath has opened it, and it is on disk
    assert_eq!((code, &row), (200, &expected));
    let kept = kept(&gateway);
    assert_eq!(kept[0]["ports"]["first"], 8022);
    assert_eq!(kept[0]["to"], json!({"host": "192.168.1.50"}));
    assert!(!gateway.path("data/hearth/state/forwards.json.new").exists());
    let net = gateway.net.as_ref().unwrap();
    assert_eq!(net.asked(), [OPEN]);
    // and the same again is one forward, and no work
    assert_eq!(ask(&gateway, "POST", ADD), (200, expected.clone()));
    assert_eq!(
        ask(&gateway, "GET", "/v1/forwards"),
        (200, json!([expected]))
    );
    assert_eq!(net.asked(), Vec::<String>::new());
    // and a service has ports too, by its name
    let (code, row) = ask(&gateway, "POST", "/v1/forwards/tcp/8000?to=web&port=80");
    assert_eq!((code, &row["service"]), (200, &json!("web")));
    assert_eq!(net.asked(), ["open tcp 8000 Service(ServiceId(0)) 80"]);
    // and what is removed is closed, and gone from the disk
    let (code, said) = ask(&gateway, "DELETE", "/v1/forwards/tcp/8022");
    assert_eq!(
        (code, &said["message"]),
        (202, &json!("tcp 8022 is forwarded no more."))
    );
    assert_eq!(net.asked(), ["close tcp 8022"]);
    let (_, rows) = ask(&gateway, "GET", "/v1/forwards");
    assert_eq!(rows.as_array().unwrap().len(), 1);
    let (code, _) = ask(&gateway, "DELETE", "/v1/forwards/tcp/8022");
    assert_eq!(code, 404);
}

#[test]
fn what_can_not_be_is_refused_and_changes_nothing() {
    let gateway = gateway();
    assert_eq!(ask(&gateway, "POST", ADD).0, 200);
    gateway.net.as_ref().unwrap().asked();
    let before = kept(&gateway);
    for (path, code, text) in [
        (
            "/v1/forwards/tcp/8022?to=192.168.1.51",
            409,
            "leads to 192.168.1.50 port 22 already",
        ),
        (
            "/v1/forwards/tcp/443?to=192.168.1.50",
            409,
            "port 443 is web's",
        ),
        (
            "/v1/forwards/tcp/61000?to=192.168.1.50",
            400,
            "is kept for the gateway itself",
        ),
        (
            "/v1/forwards/udp/68?to=192.168.1.50",
            400,
            "is kept for the gateway itself",
        ),
        (
            "/v1/forwards/tcp/80?to=192.168.1.1",
            409,
            "is the gateway itself",
        ),
        (
            "/v1/forwards/tcp/80?to=192.168.1.255",
            400,
            "is no host of the home",
        ),
        (
            "/v1/forwards/tcp/80?to=198.51.100.1",
            400,
            "is no host of the home",
        ),
        (
            "/v1/forwards/tcp/80?to=10.213.0.2",
            400,
            "is no host of the home",
        ),
        (
            "/v1/forwards/tcp/80?to=mail",
            404,
            "there is no service mail",
        ),
        (
            "/v1/forwards/tcp/80?to=web&port=81",
            409,
            "its own ports are: 80",
        ),
        ("/v1/forwards/tcp/80", 400, "where to?"),
        (
            "/v1/forwards/tcp/80?to=No%20Name",
            400,
            "an IPv4 address of the home",
        ),
        (
            "/v1/forwards/tcp/80?to=web&prt=1",
            400,
            "did you mean port?",
        ),
        ("/v1/forwards/tcp/80?to=web&port=x", 400, "port is a number"),
        (
            "/v1/forwards/tcp/0?to=192.168.1.50",
            400,
            "a port is a number",
        ),
        ("/v1/forwards/icmp/1?to=192.168.1.50", 400, "tcp or udp"),
    ] {
        // when it is asked for, then the answer says why, in words
        let (status, error) = ask(&gateway, "POST", path);
        let said = error["error"].as_str().unwrap_or_default();
        assert_eq!(status, code, "{path}: {said}");
        assert!(said.contains(text), "{path}: {said}");
    }
    // and where netpath alone refuses, then nothing stays of it either
    let (status, error) = ask(
        &gateway,
        "POST",
        &format!("/v1/forwards/tcp/{REFUSED}?to=192.168.1.50"),
    );
    assert_eq!(status, 409, "{error}");
    assert_eq!(kept(&gateway), before);
    // and nobody but root changes anything
    for method in ["POST", "DELETE"] {
        let (status, _) = request_as(&gateway, 1000, method, ADD);
        assert_eq!(status, 403);
    }
    let (status, _) = request_as(&gateway, 1000, "GET", "/v1/forwards");
    assert_eq!(status, 200);
    assert_eq!(kept(&gateway), before);
}

#[test]
fn forwards_survive_the_manager_and_netpath() {
    // given two forwards, one of them to a service
    let mut gateway = gateway();
    assert_eq!(ask(&gateway, "POST", ADD).0, 200);
    let range = "/v1/forwards/udp/9000-9009?to=web&port=80";
    assert_eq!(
        ask(&gateway, "POST", range).0,
        409,
        "web serves no such range"
    );
    assert_eq!(
        ask(&gateway, "POST", "/v1/forwards/tcp/8000?to=web&port=80").0,
        200
    );
    let all = ["open tcp 8000 Service(ServiceId(0)) 80", OPEN, "settle"];
    // when netpath is killed and comes back, then it hears them before any service's ports
    gateway.net = None;
    until("the loss is seen", || {
        let (_, rows) = ask(&gateway, "GET", "/v1/forwards");
        (rows[0]["state"] == "waiting").then_some(())
    });
    // and what is asked meanwhile is kept, and told
    let (code, row) = ask(&gateway, "POST", "/v1/forwards/udp/27015?to=192.168.1.60");
    assert_eq!((code, &row["state"]), (200, &json!("waiting")));
    assert!(row["message"].as_str().unwrap().contains("hearth-netpath"));
    assert_eq!(ask(&gateway, "DELETE", "/v1/forwards/udp/27015").0, 202);
    gateway.start_net();
    until("it hears all", || {
        let (_, rows) = ask(&gateway, "GET", "/v1/forwards");
        let rows = rows.as_array().unwrap().clone();
        rows.iter().all(|row| row["state"] == "open").then_some(())
    });
    let heard = until("the ports of services", || {
        let mut heard = Vec::new();
        until("them", || {
            heard.extend(gateway.net.as_ref().unwrap().asked());
            heard
                .iter()
                .any(|word| word.starts_with("forward "))
                .then_some(())
        });
        Some(heard)
    });
    assert_eq!(heard[1..4], all, "{heard:?}");
    // when the manager is killed and comes back, then they are there, and said again
    gateway.end_manager(libc::SIGKILL);
    gateway.boot();
    let (_, rows) = ask(&gateway, "GET", "/v1/forwards");
    assert_eq!(rows.as_array().unwrap().len(), 2);
    let heard = until("greeting", || {
        let heard = gateway.net.as_ref().unwrap().asked();
        heard.contains(&"settle".to_owned()).then_some(heard)
    });
    let from = heard.iter().position(|word| word == all[0]).unwrap();
    assert_eq!(heard[from..from + 3], all, "{heard:?}");
}

#[test]
fn a_disk_that_takes_nothing_refuses_the_change() {
    // given a state folder in which no file can be made
    let gateway = gateway();
    assert_eq!(ask(&gateway, "POST", ADD).0, 200);
    std::fs::create_dir(gateway.path("data/hearth/state/forwards.json.new")).unwrap();
    gateway.net.as_ref().unwrap().asked();
    // when a forward is added, or removed, then that is refused, and netpath hears nothing
    for (method, path) in [
        ("POST", "/v1/forwards/tcp/80?to=192.168.1.50"),
        ("DELETE", "/v1/forwards/tcp/8022"),
    ] {
        let (code, error) = ask(&gateway, method, path);
        let said = error["error"].as_str().unwrap();
        assert_eq!(code, 409, "{said}");
        assert!(
            said.contains("forwards.json") && said.contains("nothing was changed"),
            "{said}"
        );
    }
    assert_eq!(gateway.net.as_ref().unwrap().asked(), Vec::<String>::new());
    let (_, rows) = ask(&gateway, "GET", "/v1/forwards");
    assert_eq!(rows.as_array().unwrap().len(), 1);
}

#[test]
fn damage_and_a_service_that_is_gone_are_told() {
    // given a forward to a service that no package is of
    let mut gateway = Gateway::new();
    let text = r#"[{"ports":{"transport":"tcp","first":80,"last":80},"to":{"service":"gone"},"to-port":80}]"#;
    gateway.write("data/hearth/state/forwards.json", text);
    gateway.start_net();
    gateway.boot();
    // then it is shown as closed, with the reason, and is a problem of the gateway
    let row = until("refusal", || {
        let (_, rows) = ask(&gateway, "GET", "/v1/forwards");
        (rows[0]["state"] == "refused").then(|| rows[0].clone())
    });
    assert!(row["message"].as_str().unwrap().contains("no service gone"));
    let (_, status) = ask(&gateway, "GET", "/v1/status");
    assert!(
        status["problems"]
            .to_string()
            .contains("port-forward of tcp 80")
    );
    // and a damaged file is put aside and told
    gateway.end_manager(libc::SIGKILL);
    gateway.write("data/hearth/state/forwards.json", "[{");
    gateway.boot();
    assert_eq!(request(&gateway, "GET", "/v1/forwards").1, "[]");
    let (_, status) = ask(&gateway, "GET", "/v1/status");
    assert!(
        status["problems"]
            .to_string()
            .contains("forwards.json is damaged")
    );
}
