//! The real hearth-manager moves the gateway's own networks out of the Internet's way, and services follow.
// A test may panic, and its descriptor passing may take several unsafe calls at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block
)]
#[allow(dead_code, reason = "it serves other tests too")]
mod support;

use hearth_model::plan::Plan;
use hearth_model::protocol::{FromNetpath, WanEvent, WanLease, WanStatus};
use support::http::json;
use support::{Gateway, contents, until};

/// A service that is told the home's network when it is planned.
const HOST: &str = "network = \"lan\"\nlink = \"bridged\"\n";

/// What netpath says when a server offers an address of our own network.
fn in_the_way() -> FromNetpath {
    FromNetpath::Overlap(Some(WanStatus {
        lease: Some(WanLease {
            address: [192, 168, 1, 77].into(),
            prefix: 24,
            router: Some([192, 168, 1, 1].into()),
        }),
        ..WanStatus::default()
    }))
}

/// A gateway on which a host of the home runs.
fn with_host() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.install("names", HOST);
    let manifest = "data/hearth/packages/names/manifest.toml";
    let text = gateway.read(manifest);
    let exec = "exec = [\"/bin/names\"]";
    assert!(text.contains(exec));
    let told = "exec = [\"/bin/names\", \"${lan.address}\", \"${lan.pool-first}\"]";
    gateway.write(manifest, &text.replace(exec, told));
    gateway.sign("names");
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("names", "Active");
    gateway
}

/// What the service was started with.
fn exec(gateway: &Gateway) -> Vec<String> {
    gateway.init.with(|table| {
        let mut rows = table.rows.values();
        let row = rows.find(|row| row.name.as_str() == "names").unwrap();
        Plan::decode(&contents(&row.fds[0])).unwrap().exec
    })
}

fn notes(gateway: &Gateway) -> Vec<String> {
    let (_, status) = json(gateway, "GET", "/v1/status");
    let notes = status["notes"].as_array().unwrap().iter();
    notes
        .map(|note| note.as_str().unwrap().to_owned())
        .collect()
}

/// Waits until the service runs for this network.
fn until_planned_for(gateway: &Gateway, address: &str) {
    until(&format!("a start for {address}"), || {
        (exec(gateway)[1] == address).then_some(())
    });
    gateway.wait_for("names", "Active");
}

#[test]
fn the_home_moves_once_it_is_on_disk_and_services_are_planned_anew() {
    // given a gateway
    let mut gateway = with_host();
    assert_eq!(
        exec(&gateway),
        ["/bin/names", "192.168.1.1", "192.168.1.100"]
    );
    assert_eq!(notes(&gateway), Vec::<String>::new());
    gateway.net.as_ref().unwrap().asked();
    // when a network of the Internet's side stands in the home's way
    gateway.net.as_ref().unwrap().say(&in_the_way());
    until_planned_for(&gateway, "192.168.44.1");
    // then the service was told the new network, and netpath too
    assert_eq!(exec(&gateway)[1..], ["192.168.44.1", "192.168.44.100"]);
    let asked = gateway.net.as_ref().unwrap().asked();
    let renumbered = asked.iter().position(|word| word == "renumber").unwrap();
    let hello = asked.iter().position(|word| word == "hello").unwrap();
    assert!(renumbered < hello, "{asked:?}");
    // and people hear of it
    let (_, status) = json(&gateway, "GET", "/v1/status");
    assert_eq!(status["lan"], "192.168.44.1/24");
    assert!(notes(&gateway)[0].contains("from 192.168.1.0/24 to 192.168.44.0/24"));
    let (_, events) = json(&gateway, "GET", "/v1/events");
    assert!(
        events
            .to_string()
            .contains("the home's network was moved from"),
        "{events}"
    );
    // and it is on disk
    let kept = gateway.read("data/hearth/state/networks.toml");
    assert!(kept.contains("to = \"192.168.44.0\""), "{kept}");

    // when the manager starts anew, then all is as it was
    let pid = gateway.manager_pid();
    gateway.end_manager(libc::SIGKILL);
    gateway.start_manager();
    until("another manager", || {
        (gateway.manager_pid() != pid).then_some(())
    });
    gateway.wait_for("names", "Active");
    assert_eq!(notes(&gateway).len(), 1);
    let again: Vec<String> = gateway.init.asked();
    let starts = again
        .iter()
        .filter(|word| word.starts_with("start"))
        .count();
    assert_eq!(starts, 2, "once at boot, once for the move: {again:?}");
}

#[test]
fn a_move_that_was_cut_short_is_completed_by_the_next_manager() {
    // given a gateway whose manager ends between the disk and the services
    let mut gateway = with_host();
    gateway.end_manager(libc::SIGKILL);
    let moved = "[[moved]]\nrole = \"lan\"\nprefix = 24\nfrom = \"192.168.1.0\"\nto = \"192.168.44.0\"\n\
                 because = { network = \"192.168.1.0\", prefix = 24 }\n";
    gateway.write("data/hearth/state/networks.toml", moved);
    gateway.net.as_ref().unwrap().asked();
    // when the next one starts
    gateway.boot();
    // then services and netpath follow
    until_planned_for(&gateway, "192.168.44.1");
    let asked = gateway.net.as_ref().unwrap().asked();
    assert!(asked.contains(&"renumber".to_owned()), "{asked:?}");
}

#[test]
fn what_the_household_configures_counts_when_netpath_starts_anew() {
    // given a gateway, when the household chooses a network and restarts netpath alone
    let mut gateway = with_host();
    let text = gateway.read("etc/hearth/gateway.toml");
    gateway.write(
        "data/hearth/gateway.toml",
        &text.replace("192.168.1.", "192.168.60."),
    );
    gateway.net = None;
    gateway.start_net();
    // then services follow, and netpath is not told what it knows
    until_planned_for(&gateway, "192.168.60.1");
    let asked = gateway.net.as_ref().unwrap().asked();
    assert!(!asked.contains(&"renumber".to_owned()), "{asked:?}");
    assert_eq!(notes(&gateway), Vec::<String>::new());
}

#[test]
fn what_is_for_guests_comes_and_goes_with_them() {
    // given a gateway without guests, and with a package for them: it has no such service
    let mut gateway = Gateway::new();
    gateway.install("names", HOST);
    gateway.install("guests", "network = \"wan\"\nlink = \"guest\"\n");
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("names", "Active");
    assert_eq!(json(&gateway, "GET", "/v1/services/guests").0, 404);
    let firmware = gateway.read("etc/hearth/gateway.toml");
    let (before, section) = firmware.split_once("#[guest]").unwrap();
    let (section, after) = section.split_once("\n\n").unwrap();
    let with = format!("{before}[guest]{}\n\n{after}", section.replace("\n#", "\n"));
    for (text, guest, status) in [
        (with, Some("192.168.2.1/24"), 200),
        (firmware.clone(), None, 404),
    ] {
        // when the household says that there are some, or none, and restarts netpath alone
        gateway.write("data/hearth/gateway.toml", &text);
        gateway.net = None;
        gateway.start_net();
        // then the manager begins anew
        assert!(gateway.manager_end().success());
        gateway.boot();
        // and their service is there with them, and gone without them, and all others run
        until("guests as configured", || {
            let found = json(&gateway, "GET", "/v1/services/guests");
            let is_as_wanted = found.0 == status && (status == 404 || found.1["state"] == "Active");
            is_as_wanted.then_some(())
        });
        let (_, shown) = json(&gateway, "GET", "/v1/status");
        assert_eq!(shown["guest"].as_str(), guest);
        gateway.wait_for("names", "Active");
    }
}

#[test]
fn another_address_in_the_internet_is_told_in_events() {
    let gateway = with_host();
    // given what netpath tells
    let event = WanEvent::Readdressed {
        from: [203, 0, 113, 7].into(),
        to: [198, 51, 100, 9].into(),
        connections: 3,
        others: 5,
    };
    gateway
        .net
        .as_ref()
        .unwrap()
        .say(&FromNetpath::WanEvent(event));
    // then people read it
    until("an event", || {
        let (_, events) = json(&gateway, "GET", "/v1/events");
        let text = events.to_string();
        let told = "the Internet address was 203.0.113.7 and is 198.51.100.9; 3 connections and 5 other flows";
        text.contains(told).then_some(())
    });
}
