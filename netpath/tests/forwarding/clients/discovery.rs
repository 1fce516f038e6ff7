//! Programs that find out what a NAT does (RFC 5780, RFC 3489), against a server with two addresses.

use super::super::support::lab::{Lab, Path, Side, text};
use super::{done, keep};

const SERVER: &str = "203.0.113.1";

/// A server that answers from two addresses and two ports.
fn discover(lab: &mut Lab) {
    let (pid, users) = (lab.path("turn.pid"), lab.path("turn.db"));
    lab.ip_batch(Side::Wan, "address add 203.0.113.2/24 dev w0");
    let server = [
        "turnserver",
        "-n",
        "--stun-only",
        "--no-cli",
        "--no-tls",
        "--no-dtls",
        "--no-tcp",
        "--listening-ip",
        SERVER,
        "--listening-ip",
        "203.0.113.2",
        "--pidfile",
        pid.to_str().unwrap(),
        "--userdb",
        users.to_str().unwrap(),
        "--log-file",
        "stdout",
    ];
    keep(lab, Side::Wan, &server);
    lab.until_listens(Side::Wan, "udp", 3478);
    lab.until_listens(Side::Wan, "udp", 3479);
}

#[test]
fn discovery_finds_independent_mappings_and_the_filtering_that_the_household_has() {
    let open = "[nat]\nudp-filtering = \"endpoint-independent\"\n";
    for (choice, coturn, stun) in [
        (
            "",
            "Address Dependent Filtering",
            "Address Dependent Filter",
        ),
        (open, "Endpoint Independent Filtering", "Independent Filter"),
    ] {
        // given a household that has chosen its filtering, or nothing
        let mut lab = Lab::chosen(Path::Fast, choice);
        discover(&mut lab);

        // when coturn's program looks, then it finds that
        let looks = ["turnutils_natdiscovery", "-m", "-f", "-H", SERVER];
        let said = done(&lab, Side::Lan, &looks);
        let found: Vec<&str> = said.lines().filter(|l| l.starts_with("NAT with")).collect();
        let filtering = format!("NAT with {coturn}!");
        let mapping = "NAT with Endpoint Independent Mapping!";
        assert_eq!(found, [mapping, &filtering], "{said}");
        // and that a host of the home reaches another by its external address
        assert!(said.contains("maybe a successful hairpinning"), "{said}");

        // when the older one looks, which exits with a number of its finding, then it finds the same
        let said = text(&lab.run(Side::Lan, &["stun", SERVER]).stdout);
        let primary =
            format!("Primary: Independent Mapping, {stun}, preserves ports, will hairpin");
        assert!(said.contains(&primary), "{said}");
    }
}
