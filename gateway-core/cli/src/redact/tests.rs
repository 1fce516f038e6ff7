//! What must not leave a home, and what must, or the bundle is of no use.

use super::*;
use proptest::prelude::*;

fn redactor() -> Redactor {
    Redactor::new(&[include_str!("../../../../board/common/gateway.toml").to_owned()])
}

#[test]
fn what_is_the_peoples_goes_and_is_called_the_same_everywhere() {
    let mut redactor = redactor();
    for (line, expected) in [
        // addresses of people, of whoever they talk to, and of their machines
        (
            "dnsmasq-dhcp: DHCPACK(br-lan) 192.168.1.120 52:54:00:12:34:56 Annas-iPhone",
            "dnsmasq-dhcp: DHCPACK(br-lan) home-1 mac-1 name-1",
        ),
        (
            "192.168.1.120:50123 -> 93.184.216.34:443",
            "home-1:50123 -> internet-1:443",
        ),
        ("from 2001:db8::7, to ::1", "from ipv6-1, to ::1"),
        (
            "wan 203.0.113.7/24 via 203.0.113.1.",
            "wan internet-2/24 via internet-3.",
        ),
        // what they look at, and with which words
        (
            "query[A] www.My-Bank.com from 192.168.1.121",
            "query[A] name-2 from home-2",
        ),
        (
            "\"GET /find?q=rash HTTP/1.1\" 200",
            "\"GET /find?(removed) HTTP/1.1\" 200",
        ),
        ("again www.my-bank.com", "again name-2"),
        ("mail to anna@example.org", "mail to mail-1"),
        ("https://anna:pw1@cam.local/x", "https://mail-2/x"),
        // secrets
        ("password=hunter2 next", "password=(removed) next"),
        (
            "{\"api_key\": \"abc def\", \"n\": 1}",
            "{\"api_key\": (removed), \"n\": 1}",
        ),
        (
            "Authorization: Basic YW5uYQ== and more",
            "Authorization: (removed)",
        ),
        ("WIFI_PSK = 'x y'", "WIFI_PSK = (removed)"),
        ("got Bearer abcdef", "got Bearer (removed)"),
        (
            "id 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
            "id (removed)",
        ),
    ] {
        assert_eq!(redactor.text(line), expected);
    }
    let key = "a\n-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\nb\n";
    assert_eq!(redactor.text(key), "a\n(removed)\nb\n");
    let removed = redactor.removed();
    assert!(removed.contains(&"3 internet".to_owned()), "{removed:?}");
    assert!(removed.contains(&"1 mac".to_owned()), "{removed:?}");
}

#[test]
fn what_a_helper_needs_stays() {
    let mut redactor = redactor();
    for line in [
        "service nginx: memory.max 64 MiB; cpu.weight 3500, io.stat, gateway.toml:7, nginx.conf, libc.so.6",
        "lan 192.168.1.1/24, resolver 192.168.1.2, service at 10.213.0.3, mask 255.255.255.0, any 0.0.0.0",
        "10.213.0.0/22 and 127.0.0.1:53, at 12:34:56, 2026-11-25T12:00:00Z",
        "hearth-manager: hearth-netpath: connected pid=99; version 1.22.1; 99.5 %",
        "<6>[   12.345678] usb 1-1: new device",
    ] {
        assert_eq!(redactor.text(line), line);
    }
    assert_eq!(redactor.removed(), Vec::<String>::new());
}

#[test]
fn a_manifest_keeps_the_names_of_its_variables_and_loses_their_values() {
    let mut redactor = redactor();
    for (text, gone) in [
        (
            "env = { LANG = \"C\", PIN = \"1234\" }\nuser = 33\n",
            "1234",
        ),
        ("env = {\n  PIN = \"1234\",\n}\nuser = 33\n", "1234"),
        ("\"env\" = { PIN = \"1234\" }\nuser = 33\n", "1234"),
        ("env.PIN = \"1234\"\nuser = 33\n", "1234"),
        (
            "[service.env]\nPIN = \"1234\"\nTWO = \"99\"\n[resources]\nuser = 33\n",
            "99",
        ),
    ] {
        let text = redactor.manifest(text);
        assert!(!text.contains(gone) && !text.contains("1234"), "{text}");
        assert!(text.contains("user = 33"), "{text}");
        assert!(text.contains("(removed)"), "{text}");
    }
    let example = include_str!("../../../../board/common/services/nginx/manifest.toml");
    assert!(redactor.manifest(example).contains("[resources.memory]"));
}

proptest! {
    #[test]
    fn no_address_of_a_home_is_ever_left(
        before in "[ -~]{0,20}", after in "[ -~]{0,20}", host in 3_u8..=254,
    ) {
        // A digit, a dot or such beside it would make another word of it.
        let line = format!("{before} 192.168.1.{host} {after}\n");
        let told = redactor().text(&line);
        prop_assert!(!told.contains(&format!(" 192.168.1.{host} ")), "{told}");
    }

    #[test]
    fn any_text_is_taken_line_by_line(text in "\\PC{0,80}(\n\\PC{0,80}){0,5}") {
        let told = redactor().text(&text);
        prop_assert!(told.lines().count() <= text.lines().count());
    }
}
