//! Somebody else has the address that the Internet's server gives.

use super::support::lab::{Lab, PATIENCE, Side, Wan};
use super::support::manager::Manager;

/// The only address that the server has, on a host that the server does not ask.
const TAKEN: &str = "203.0.113.100";

#[test]
fn an_address_that_another_host_has_is_declined_and_taken_once_it_is_free() {
    // given a server with one address, which another host of the link has (it answers ARP for its loopback too)
    let mut lab = Lab::bare(Wan::Dhcp);
    lab.plug_lan();
    lab.plug_wan();
    let other = format!("{TAKEN}/32");
    lab.ip_batch(Side::Wan, &format!("address add {other} dev lo"));
    let server = lab.address_server(&format!("{TAKEN},{TAKEN}"));
    lab.keep(server);
    // when the gateway asks for one
    lab.start();
    let mut manager = Manager::connect(&lab);
    // then it declines, and has none
    lab.until("a decline", || {
        lab.dhcp_log().contains(&format!("DHCPDECLINE(w0) {TAKEN}"))
    });
    assert!(
        lab.log().contains(&format!("{TAKEN} is in use by ")),
        "{}",
        lab.log()
    );
    assert_eq!(manager.wan.lease, None);
    let words = ["ip", "-4", "-br", "address", "show", "eth1"];
    let shown = lab.run(Side::Gateway, &words).stdout;
    assert!(!String::from_utf8_lossy(&shown).contains("203.0.113."));
    assert_eq!(lab.searches(), 1, "{}", lab.dhcp_log());
    // and when the other one has left, then it gets the address after a wait, and everybody has the Internet
    lab.ip_batch(Side::Wan, &format!("address del {other} dev lo"));
    lab.until_within(2 * PATIENCE, "the address", || {
        lab.log().contains("wan: address=")
    });
    manager.until_wan(true);
    assert_eq!(
        manager
            .wan
            .lease
            .map(|lease| lease.address.to_string())
            .as_deref(),
        Some(TAKEN)
    );
    lab.until_pings(Side::Lan, "203.0.113.1");
    // and a restart, which goes on with it, asks nobody whether somebody has it: also not where somebody has
    lab.ip_batch(Side::Wan, &format!("address add {other} dev lo"));
    let before = lab.log().matches("wan: address=").count();
    lab.kill();
    lab.start();
    lab.until("the address again", || {
        lab.log().matches("wan: address=").count() > before
    });
    assert_eq!(lab.dhcp_log().matches("DHCPDECLINE").count(), 1);
}
