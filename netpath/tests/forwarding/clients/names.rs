//! The resolver's tool: short answers and long ones, by UDP and TCP.

use super::super::support::lab::{DNSMASQ, Lab, Path, Side};
use super::{done, keep};

#[test]
fn dig_gets_answers_by_udp_in_fragments_and_by_tcp() {
    for path in [Path::Fast, Path::Slow] {
        // given a name server with a short answer, and one that takes two packets
        let mut lab = Lab::by(path);
        let long = ["a", "b", "c", "d", "e", "f", "g"]
            .map(|letter| letter.repeat(250))
            .join(",");
        let server = [
            "--edns-packet-max=4096",
            "--address=/server.test/203.0.113.1",
            &format!("--txt-record=long.test,{long}"),
        ];
        keep(&mut lab, Side::Wan, &[&DNSMASQ[..], &server].concat());
        lab.until_listens(Side::Wan, "udp", 53);
        lab.until_listens(Side::Wan, "tcp", 53);
        let dig =
            |words: &[&str]| done(&lab, Side::Lan, &[&["dig", "@203.0.113.1"], words].concat());

        // when asked for the short one, then it comes by both
        for how in ["+notcp", "+tcp"] {
            assert_eq!(dig(&["+short", how, "server.test"]), "203.0.113.1\n");
        }
        // when asked for the long one, then it comes in fragments
        let said = dig(&["+notcp", "+bufsize=4096", "long.test", "TXT"]);
        assert!(
            said.contains("(UDP)") && said.contains(&"g".repeat(250)),
            "{said}"
        );
        // and by TCP where the client takes no such packets
        let said = dig(&["+bufsize=512", "long.test", "TXT"]);
        assert!(said.contains("Truncated, retrying in TCP mode."), "{said}");
        assert!(
            said.contains("(TCP)") && said.contains(&"g".repeat(250)),
            "{said}"
        );
    }
}
