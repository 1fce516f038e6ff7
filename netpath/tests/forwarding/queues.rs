//! The line to the Internet while it is full, with real traffic.

use super::support::lab::{Lab, Side, Wan, text};

/// A lab with a line of these rates, in which peers send what the wire would: no large segments.
fn lab(upload: &str, download: &str) -> Lab {
    let mut lab = Lab::bare(Wan::Static);
    lab.plug_lan();
    lab.plug_wan();
    lab.set_line(upload, download);
    lab.ip_batch(Side::Lan, "link set l0 gso_max_segs 1");
    lab.ip_batch(Side::Wan, "link set w0 gso_max_segs 1");
    lab.start();
    lab.until_pings(Side::Lan, "203.0.113.1");
    let server = lab.spawn(Side::Wan, &["iperf3", "-s", "--logfile", "/dev/null"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 5201);
    lab
}

/// What a transfer has brought, bits a second.
fn iperf(lab: &Lab, from: Side, words: &[&str]) -> f64 {
    let client = ["iperf3", "-c", "203.0.113.1", "--json", "-t", "3"];
    let said = lab.run(from, &[&client, words].concat());
    let said = text(&said.stdout);
    let received = said
        .split("\"sum_received\"")
        .nth(1)
        .unwrap_or_else(|| panic!("{said}"));
    let rate = received.split("\"bits_per_second\":").nth(1).unwrap();
    rate.split(',').next().unwrap().trim().parse().unwrap()
}

#[test]
fn no_more_leaves_than_the_line_carries_in_both_directions() {
    let lab = lab("8 Mbit/s", "12 Mbit/s");
    for (direction, line) in [(&[][..], 8e6), (&["-R"][..], 12e6)] {
        let rate = iperf(&lab, Side::Lan, direction);
        assert!(rate < line * 0.96, "{rate} of {line}\n{}", lab.log());
        assert!(rate > line * 0.7, "{rate} of {line}\n{}", lab.log());
    }
}
