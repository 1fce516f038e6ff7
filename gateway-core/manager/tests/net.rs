//! The network part of the real hearth-manager's API, between a netpath that says what the test knows and
//! clients of every kind. Needs root, as the other tests of the manager.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    dead_code // this file uses a part of what the tests share
)]

mod support;

use serde_json::{Value, json};
use support::http::{json as get, request_as};
use support::{Gateway, WITH_PORT};

/// A gateway on which `web` runs, whose links have counted something.
fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.install("web", WITH_PORT);
    gateway.install("loner", "");
    for (file, text) in [
        ("eth1/carrier", "1"),
        ("eth1/speed", "1000"),
        ("eth1/statistics/tx_bytes", "4000"),
        ("eth0/carrier", "0"),
        ("sv1/carrier", "1"),
        ("sv1/speed", "10000"),
        ("sv1/statistics/rx_bytes", "500"),
        ("sv1/statistics/tx_bytes", "60"),
        ("sv1/statistics/rx_packets", "5"),
    ] {
        gateway.write(&format!("sys/class/net/{file}"), &format!("{text}\n"));
    }
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("web", "Active");
    gateway
}

fn at(gateway: &Gateway, path: &str) -> Value {
    let (status, value) = get(gateway, "GET", path);
    assert_eq!(status, 200, "{path}: {value}");
    value
}

/// What an answer says that is none.
fn refusal(gateway: &Gateway, path: &str) -> (u16, String) {
    let (status, value) = get(gateway, "GET", path);
    (status, value["error"].as_str().unwrap().to_owned())
}

#[test]
fn links_talkers_and_drops_are_told_together() {
    let gateway = gateway();
    // when somebody who is not root asks
    let (status, body) = request_as(&gateway, 1_000, "GET", "/v1/net");
    let net: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    // then each link is there with its state, rate and address; a service's as the gateway's end counts
    let link = |name: &str| {
        let all = net["links"].as_array().unwrap();
        all.iter()
            .find(|link| link["name"] == name)
            .unwrap()
            .clone()
    };
    let wan = link("eth1");
    assert_eq!(
        (
            &wan["kind"],
            &wan["up"],
            &wan["speed_mbit"],
            &wan["address"]
        ),
        (
            &json!("wan"),
            &json!(true),
            &json!(1000),
            &json!("203.0.113.7/24")
        )
    );
    assert_eq!(
        (&wan["sent_bytes"], &wan["sent_bits_per_second"]),
        (&json!(4000), &json!(0))
    );
    assert_eq!(link("eth0")["up"], false);
    assert_eq!(link("br-lan")["address"], "192.168.1.1/24");
    let web = link("sv1");
    assert_eq!(
        (&web["service"], &web["speed_mbit"]),
        (&json!("web"), &Value::Null)
    );
    assert_eq!(net["links"].as_array().unwrap().len(), 4, "{net}");
    // and who talks: the host by netpath's windows, the service by its link
    let talkers = net["talkers"].as_array().unwrap();
    assert_eq!(talkers[0]["address"], "192.168.1.20");
    assert_eq!(talkers[0]["sent_bits_per_second"], 2_000);
    assert_eq!(talkers[0]["packets_per_second"], 3);
    let own: Vec<_> = talkers
        .iter()
        .filter(|one| one["service"] == "web")
        .collect();
    assert_eq!(
        (own.len(), &own[0]["sent_bytes"]),
        (1, &json!(500)),
        "{net}"
    );
    assert_eq!(net["nat"]["mappings"], 30);
    // and what was dropped, the most first, each with its words
    let drops = net["drops"].as_array().unwrap();
    let told: Vec<_> = drops
        .iter()
        .map(|row| {
            (
                row["reason"].as_str().unwrap(),
                row["place"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("guard_protocol_frames", "loner"),
            ("wan_unsolicited_packets", "netpath"),
            ("service_policy_packets", "netpath")
        ]
    );
    assert_eq!(drops[2]["answered"], 1);
    assert!(
        drops
            .iter()
            .all(|row| row["remedy"].as_str().unwrap().len() > 5)
    );
    // and the queues of both directions, to the last page
    let lines = net["queues"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["direction"]), (2, &json!("up")));
    assert_eq!(lines[1]["state"], "shaped to 19 Mbit/s, leaves cake");
    let rows = lines[1]["queues"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["service"], &rows[1]["service"]),
        (&Value::Null, &json!("web"))
    );
    assert_eq!(
        (&rows[1]["dropped_packets"], &rows[1]["bits_per_second"]),
        (&json!(3), &json!(0))
    );
    // and without rates nobody waits for them
    let quick = at(&gateway, "/v1/net?rates=false");
    assert_eq!(quick["links"][0]["sent_bits_per_second"], Value::Null);
}

#[test]
fn sessions_are_read_to_the_last_page_and_by_host_or_service() {
    let gateway = gateway();
    let all = at(&gateway, "/v1/net/sessions");
    assert_eq!(
        (all["sessions"].as_array().unwrap().len(), &all["more"]),
        (30, &json!(false))
    );
    let first = &all["sessions"][0];
    for (key, value) in [
        ("inside", json!("192.168.1.20:10000")),
        ("outside", json!("203.0.113.7:10000")),
        ("remote", json!("198.51.100.9:53")),
        ("state", json!("active")),
        ("idle_seconds", json!(3)),
        ("fast_path", json!(true)),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    let of = |query: &str| at(&gateway, &format!("/v1/net/sessions?{query}"));
    assert_eq!(
        of("host=192.168.1.20")["sessions"]
            .as_array()
            .unwrap()
            .len(),
        30
    );
    assert_eq!(of("service=web")["sessions"].as_array().unwrap().len(), 0);
    for (query, status, word) in [
        ("host=kitchen", 400, "192.168.1.20"),
        ("service=wep", 404, "did you mean \"web\"?"),
        ("service=loner", 409, "no network"),
        ("host=192.168.1.20&service=web", 400, "not for both"),
    ] {
        let (code, error) = refusal(&gateway, &format!("/v1/net/sessions?{query}"));
        assert!(
            code == status && error.contains(word),
            "{query}: {code} {error}"
        );
    }
}

#[test]
fn a_trace_takes_words_and_says_which_it_does_not_take() {
    let gateway = gateway();
    let trace = |query: &str| at(&gateway, &format!("/v1/net/trace?{query}"));
    // given a question in the fewest words, then the side is where the source belongs
    let told = trace("source=192.168.1.20&destination=198.51.100.9&port=443");
    for (key, value) in [
        ("from", json!("lan")),
        ("protocol", json!("tcp")),
        ("source", json!("192.168.1.20:50000")),
        ("destination", json!("198.51.100.9:443")),
        ("verdict", json!("forwarded")),
        ("leaves_to", json!("198.51.100.9:443")),
        ("summary", json!("It is passed on.")),
    ] {
        assert_eq!(told[key], value, "{key}");
    }
    assert_eq!(told["steps"][0]["step"], "guard");
    // and names stand for addresses, and what is said goes before what is guessed
    let told = trace("source=web:80&destination=gateway&port=53&protocol=udp");
    assert_eq!(
        (&told["from"], &told["source"]),
        (&json!("service"), &json!("10.213.0.3:80"))
    );
    assert_eq!(told["destination"], "192.168.1.1:53");
    let told = trace("source=198.51.100.9&destination=wan&protocol=icmp");
    assert_eq!(
        (&told["from"], &told["destination"]),
        (&json!("wan"), &json!("203.0.113.7:0"))
    );
    let told = trace("source=192.168.1.20&destination=wan&port=1&from=wan");
    assert_eq!(told["from"], "wan");
    // when a word makes no sense, then the answer says which one and what would
    for (query, status, word) in [
        ("destination=wan&port=1", 400, "\"\" is no IPv4 address"),
        (
            "source=192.168.1.300&destination=wan&port=1",
            400,
            "\"192.168.1.300\" is no IPv4 address",
        ),
        (
            "source=wep&destination=wan&port=1",
            404,
            "did you mean \"web\"?",
        ),
        ("source=loner&destination=wan&port=1", 409, "has no network"),
        ("source=web&destination=wan", 400, "port"),
        ("source=web&destination=wan&port=0", 400, "\"0\" is no port"),
        ("source=web&destination=wan&port=http", 400, "1 to 65535"),
        (
            "source=web:x&destination=wan&port=1",
            400,
            "\"x\" is no port",
        ),
        (
            "source=web&destination=wan&port=1&protocol=sctp",
            400,
            "tcp, udp and icmp",
        ),
        (
            "source=web&destination=wan&port=1&protocol=icmp",
            400,
            "no port",
        ),
        (
            "source=web&destination=wan&port=1&from=moon",
            400,
            "lan, wan, service and guest",
        ),
        (
            "source=gateway&destination=wan&port=1",
            400,
            "the gateway itself",
        ),
    ] {
        let (code, error) = refusal(&gateway, &format!("/v1/net/trace?{query}"));
        assert!(
            code == status && error.contains(word),
            "{query}: {code} {error}"
        );
    }
}

#[test]
fn a_netpath_that_is_silent_or_gone_is_told_and_nothing_else_waits() {
    // given a netpath that does not answer one question
    let mut gateway = gateway();
    let quiet = "/v1/net/trace?source=web&destination=wan&port=9";
    let (code, error) = refusal(&gateway, quiet);
    // then it is told in time, and the next question is answered
    assert!(
        code == 503 && error.contains("does not answer"),
        "{code} {error}"
    );
    at(&gateway, "/v1/net/sessions");
    // and when it is gone, then the links are told, and nothing that nobody counts
    gateway.net = None;
    let net = support::until("the manager sees it", || {
        let net = at(&gateway, "/v1/net?rates=false");
        net["nat"].is_null().then_some(net)
    });
    assert_eq!(net["links"].as_array().unwrap().len(), 4);
    assert_eq!(refusal(&gateway, "/v1/net/sessions").0, 503);
}
