//! BitTorrent: a file from the Internet into the home by UDP (uTP), and one from the home into the Internet
//! by TCP.

use super::super::support::lab::{Lab, Path, Running, Side, spawn, text};
use super::{done, keep, random_file, same};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// Bytes of a file.
const LENGTH: usize = 6_000_000;
/// A client lets others begin every ten seconds only.
const SLOW: Duration = Duration::from_secs(90);

/// A client of this torrent with a folder of its own.
fn client(lab: &Lab, side: Side, (name, port): (&str, &str), folder: &str) -> Running {
    let home = lab.path(&format!("settings-{folder}-{name}"));
    fs::create_dir_all(&home).unwrap();
    fs::create_dir_all(lab.path(folder)).unwrap();
    let utp = name == "down";
    let settings = format!("{{\"dht-enabled\":false,\"lpd-enabled\":false,\"utp-enabled\":{utp}}}");
    fs::write(home.join("settings.json"), settings).unwrap();
    let (folder, torrent) = (lab.path(folder), lab.path(&format!("{name}.torrent")));
    let words = [
        "transmission-cli",
        "--verify",
        "--no-portmap",
        "--port",
        port,
        "--config-dir",
    ];
    let mut command = lab.command(side, &words);
    command
        .arg(home)
        .arg("--download-dir")
        .arg(folder)
        .arg(torrent);
    spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// A file with its torrent; its hash as trackers name it.
fn torrent(lab: &Lab, name: &str) -> (PathBuf, String) {
    let file = random_file(lab, &format!("seed/{name}"), LENGTH);
    let torrent = lab.path(&format!("{name}.torrent"));
    let torrent = torrent.to_str().unwrap();
    let tracker = "http://203.0.113.1:6969/announce";
    let words = [
        "transmission-create",
        "-t",
        tracker,
        "-o",
        torrent,
        file.to_str().unwrap(),
    ];
    done(lab, Side::Wan, &words);
    let said = done(lab, Side::Wan, &["transmission-show", torrent]);
    let hash = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Hash: "));
    (file, hash.unwrap().to_owned())
}

#[test]
fn a_swarm_has_seeds_and_leeches_on_both_sides() {
    // given a tracker that knows two files
    let mut lab = Lab::by(Path::Fast);
    let (down, down_hash) = torrent(&lab, "down");
    let (up, up_hash) = torrent(&lab, "up");
    let folder = lab.path("tracker");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("known"), format!("{down_hash}\n{up_hash}\n")).unwrap();
    let folder = folder.to_str().unwrap();
    let tracker = [
        "opentracker",
        "-i",
        "203.0.113.1",
        "-p",
        "6969",
        "-d",
        folder,
        "-w",
        "known",
    ];
    keep(&mut lab, Side::Wan, &tracker);
    lab.until_listens(Side::Wan, "tcp", 6969);

    // when one is seeded outside, and the other is wanted there
    let outside = [("down", "51413", "seed"), ("up", "51414", "leech")];
    let outside = outside.map(|(name, port, folder)| client(&lab, Side::Wan, (name, port), folder));
    for (hash, tells) in [
        (&down_hash, "8:completei1e"),
        (&up_hash, "10:incompletei1e"),
    ] {
        lab.until("client that the tracker knows", || {
            scrape(&lab, hash).contains(tells)
        });
    }
    // and the home wants the first, and seeds the second
    let inside = [("down", "51415", "leech"), ("up", "51416", "seed")];
    let inside = inside.map(|(name, port, folder)| client(&lab, Side::Lan, (name, port), folder));

    // then both arrive whole; nobody had to open a port
    for (name, file) in [("down", &down), ("up", &up)] {
        let copy = lab.path(&format!("leech/{name}"));
        lab.until_within(SLOW, &format!("file {name}"), || same(&copy, file));
    }
    drop((outside, inside));
    // and the first did so in datagrams
    let counters = done(&lab, Side::Lan, &["cat", "/proc/net/snmp"]);
    let udp = counters.lines().rfind(|line| line.starts_with("Udp:"));
    let received: usize = udp.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert!(received > LENGTH / 1_500, "{received} datagrams");
}

/// What the tracker says about a torrent: how many have it, and how many want it.
fn scrape(lab: &Lab, hash: &str) -> String {
    let bytes: Vec<&str> = (0..20).map(|at| &hash[2 * at..2 * at + 2]).collect();
    let url = format!(
        "http://203.0.113.1:6969/scrape?info_hash=%{}",
        bytes.join("%")
    );
    text(&lab.run(Side::Wan, &["curl", "-sS", &url]).stdout)
}
