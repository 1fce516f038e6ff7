//! What the home does in the Internet, and what the Internet can do to it.

use super::support::lab::{Lab, Side, Wan, text};
use super::support::peers::{Fetched, fetch_from, ping, serve, udp_probe};
use super::support::sniffer::{Note, Sniffer};
use std::fs;

/// Bytes of the file that is downloaded: thousands of packets.
const FILE_BYTES: usize = 8 << 20;

/// Megabits a second that the receiver counted. A server that still ends the test before says that
/// it is busy: then it is asked again.
fn iperf(lab: &Lab, words: &[&str]) -> f64 {
    let client = ["iperf3", "-c", "203.0.113.1", "-t", "2", "-f", "m"];
    let mut said = String::new();
    lab.until("iperf3", || {
        let done = lab.run(Side::Lan, &[&client, words].concat());
        said = text(&done.stdout);
        done.status.success()
    });
    let line = said.lines().find(|line| line.ends_with("receiver"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    let unit = words.iter().position(|word| *word == "Mbits/sec").unwrap();
    words[unit - 1].parse().unwrap()
}

#[test]
fn a_home_uses_the_internet_through_an_address_from_dhcp() {
    // given a gateway that asks for its address while somebody listens to all that it sends
    let mut lab = Lab::bare(Wan::Dhcp);
    lab.plug_lan();
    lab.plug_wan();
    let mut strangers = Sniffer::start(&lab, Note::Strangers);
    lab.serve_addresses();
    lab.start();
    lab.until_pings(Side::Lan, "203.0.113.1");
    let (address, searches) = (lab.addresses("eth1"), lab.searches());
    assert!(address.ends_with("/24"), "{address}");

    // then the home reaches the gateway and the Internet, by echo, TCP and UDP
    lab.until_pings(Side::Lan, "192.168.1.1");
    lab.until_pings(Side::Lan, "203.0.113.1");
    let server = lab.spawn(Side::Wan, &["iperf3", "-s", "--logfile", "/dev/null"]);
    lab.keep(server);
    lab.until_listens(Side::Wan, "tcp", 5201);
    for (name, words) in [
        ("up", &[][..]),
        ("down", &["-R"]),
        ("udp", &["-u", "-b", "20M", "-l", "1200"]),
    ] {
        let rate = iperf(&lab, words);
        assert!(rate > 1.0, "{name}: {rate} Mbit/s\n{}", lab.log());
    }

    // and a download arrives whole
    let content: Vec<u8> = (0..FILE_BYTES)
        .map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8)
        .collect();
    fs::create_dir(lab.path("files")).unwrap();
    fs::write(lab.path("files/data.bin"), &content).unwrap();
    serve(&mut lab, Side::Wan, "files");
    let (copy, url) = (lab.path("copy"), "http://203.0.113.1/data.bin");
    let done = lab.run(
        Side::Lan,
        &["curl", "-sS", "-m", "20", "-o", copy.to_str().unwrap(), url],
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(fs::read(copy).unwrap() == content, "the download differs");

    // and the lease was renewed, with the same address and without looking for another
    lab.until("renewal", || {
        lab.dhcp_log().matches("DHCPACK(").count() >= 2
    });
    assert_eq!(lab.searches(), searches);
    assert_eq!(lab.addresses("eth1"), address);

    // and nothing but a client that has no address yet was seen with another source than that one
    let seen = strangers.lines();
    assert!(!seen.is_empty(), "the sniffer sees the client's broadcasts");
    // (its questions to servers, and those to others whether they have the address, RFC 5227)
    let own = address.split('/').next().unwrap();
    let probe = format!("0.0.0.0 {own} arp");
    assert!(
        seen.iter()
            .all(|line| *line == "0.0.0.0 255.255.255.255 17" || *line == probe),
        "{seen:?}"
    );
}

#[test]
fn strangers_and_wrong_packets_get_what_the_rfcs_say() {
    // given a configured address
    let lab = Lab::new(Wan::Static);
    assert_eq!(lab.addresses("eth1"), "203.0.113.50/24");
    lab.until_pings(Side::Lan, "203.0.113.1");
    // the gateway itself answers an echo from the Internet
    lab.until_pings(Side::Wan, "203.0.113.50");

    // when the Internet opens a connection that nobody asked for, then there is silence
    assert_eq!(
        fetch_from(&lab, Side::Wan, "http://203.0.113.50:8080/", 1),
        Fetched::Silence
    );
    // when the home asks the gateway itself, then the kernel refuses at once
    assert_eq!(
        fetch_from(&lab, Side::Lan, "http://192.168.1.1:8080/", 5),
        Fetched::Refused
    );

    // when a packet's time to live ends here, then the gateway says so by its address in the home
    let said = ping(&lab, Side::Lan, &["-t", "1", "203.0.113.1"]);
    assert!(
        said.contains("From 192.168.1.1 icmp_seq=1 Time to live exceeded"),
        "{said}"
    );

    // when a host of the Internet reports an error, then it reaches the program in the home
    assert_eq!(udp_probe(&lab, Side::Lan, "203.0.113.1", "9"), "refused\n");
}

#[test]
fn nothing_that_the_kernel_says_itself_shows_the_home_to_the_internet() {
    // given a host of the home that talks to the Internet by UDP, and then leaves
    let lab = Lab::new(Wan::Static);
    let asked = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('', 40008))\n\
        s.sendto(b'x', ('203.0.113.1', 9))";
    lab.run(Side::Lan, &["python3", "-c", asked]);
    lab.ip_batch(Side::Lan, "address del 192.168.1.50/24 dev l0");
    lab.ip_batch(Side::Gateway, "neigh flush dev br-lan");
    let mut all = Sniffer::start(&lab, Note::All);

    // when the Internet answers, then the kernel finds nobody
    let answers = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('', 9))\n\
        for n in range(5): s.sendto(b'x', ('203.0.113.50', 40008))";
    lab.run(Side::Wan, &["python3", "-c", answers]);
    let failed = ["ip", "neigh", "show", "nud", "failed"];
    lab.until("failed search for the host", || {
        text(&lab.run(Side::Gateway, &failed).stdout).contains("192.168.1.50 ")
    });

    // and its complaint, which shows the inside address, does not leave
    lab.until_pings(Side::Wan, "203.0.113.50");
    lab.until("note of the echo", || !all.lines().is_empty());
    assert_eq!(all.lines(), ["203.0.113.50 203.0.113.1 1"], "only the echo");

    // when a program of the gateway speaks by its address in the home, then it is not heard
    ping(
        &lab,
        Side::Gateway,
        &["-I", "192.168.1.1", "-W", "1", "203.0.113.1"],
    );
    assert_eq!(all.lines().len(), 1);
    // and one that speaks by the right address is
    lab.until_pings(Side::Gateway, "203.0.113.1");
}
