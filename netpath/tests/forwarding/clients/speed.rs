//! Programs that measure: every byte arrives, whichever way and however many at once.

use super::super::support::lab::{Lab, Path, Side};
use super::{done, keep, random_file};
use std::fs;

/// Bytes that one run of iperf3 sends.
const BYTES: u64 = 20_000_000;

/// A number in what `iperf3 --json` says at its end, by the object it is in and its name.
#[track_caller]
fn number(said: &str, object: &str, name: &str) -> f64 {
    let (_, end) = said.rsplit_once("\n\t\"end\":").unwrap();
    let (_, object) = end.split_once(&format!("\"{object}\":")).unwrap();
    let (_, value) = object.split_once(&format!("\"{name}\":")).unwrap();
    let value = value.split([',', '}', '\n']).next().unwrap();
    value.trim().parse().unwrap()
}

fn iperf3(path: Path) {
    // given a server in the Internet
    let mut lab = Lab::by(path);
    keep(&mut lab, Side::Wan, &["iperf3", "--server"]);
    lab.until_listens(Side::Wan, "tcp", 5201);
    let run = |more: &[&str]| {
        let words = [&["iperf3", "--json", "--client", "203.0.113.1"], more].concat();
        let mut said = String::new();
        // A server that has just ended a test may still be busy with it.
        lab.until("iperf3's turn", || {
            said = super::text(&lab.run(Side::Lan, &words).stdout);
            !said.contains("\"error\"")
        });
        said
    };
    let bytes = BYTES.to_string();

    // when TCP goes up, down, and in four streams at once, then it gets through to its end
    for more in [
        &[][..],
        &["--reverse"],
        &["--parallel", "4"],
        &["--reverse", "--parallel", "4"],
    ] {
        let said = run(&[&["--bytes", &bytes], more].concat());
        let [sent, received] = ["sum_sent", "sum_received"].map(|sum| number(&said, sum, "bytes"));
        assert!(sent >= BYTES as f64, "{more:?}: {said}");
        // Either end stops when the client has its bytes; what is under way then is not counted.
        assert!(received >= 0.5 * sent, "{more:?}: {said}");
    }

    // when UDP goes up and down, then nothing of it is lost and nothing is late
    for more in [&[][..], &["--reverse"]] {
        let said = run(&[
            &[
                "--udp",
                "--bitrate",
                "10M",
                "--time",
                "1",
                "--length",
                "1200",
            ],
            more,
        ]
        .concat());
        let [packets, lost] = ["packets", "lost_packets"].map(|name| number(&said, "sum", name));
        assert!(packets > 900.0, "{more:?}: {said}");
        // This machine's queue of packets for a CPU is one for all tests, and others fill it at times.
        assert!(lost <= 5.0, "{more:?}: {said}");
    }
    assert_eq!(lab.fast_path()[1] > 0, matches!(path, Path::Fast));
}

#[test]
fn iperf3_loses_nothing_by_the_fast_path() {
    iperf3(Path::Fast);
}

#[test]
fn iperf3_loses_nothing_by_the_slow_path() {
    iperf3(Path::Slow);
}

/// A web server in the Internet with one page.
fn serve_page(lab: &mut Lab, length: usize) {
    random_file(lab, "www/page", length);
    let folder = lab.path("");
    let folder = folder.to_str().unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/temp-{what};"))
        .concat();
    let config = format!(
        "daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1; user root;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; {temporary}\n\
         server {{ listen 203.0.113.1:80; root {folder}/www; }} }}\n"
    );
    let path = lab.path("nginx.conf");
    fs::write(&path, config).unwrap();
    keep(
        lab,
        Side::Wan,
        &["nginx", "-e", "stderr", "-c", path.to_str().unwrap()],
    );
    lab.until_listens(Side::Wan, "tcp", 80);
}

#[test]
fn ab_and_wrk_get_every_page() {
    for path in [Path::Fast, Path::Slow] {
        // given a page
        let mut lab = Lab::by(path);
        serve_page(&mut lab, 20_000);
        let page = "http://203.0.113.1/page";
        // when each request has its connection, or connections are kept, then every page comes whole
        for more in [&[][..], &["-k"]] {
            let said = done(
                &lab,
                Side::Lan,
                &[&["ab", "-q", "-n", "600", "-c", "20"], more, &[page]].concat(),
            );
            let line = |name: &str| {
                let line = said.lines().find(|line| line.starts_with(name));
                line.and_then(|line| line.split_whitespace().nth(2))
                    .unwrap_or("no line")
                    .to_owned()
            };
            assert_eq!(line("Complete requests:"), "600", "{said}");
            assert_eq!(line("Failed requests:"), "0", "{said}");
            assert_eq!(line("HTML transferred:"), "12000000", "{said}");
        }
        // when fifty connections ask as fast as they can, then none breaks
        let said = done(
            &lab,
            Side::Lan,
            &["wrk", "-t", "1", "-c", "50", "-d", "1s", page],
        );
        assert!(said.contains(" requests in "), "{said}");
        assert!(!said.contains("Socket errors"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
    }
}
