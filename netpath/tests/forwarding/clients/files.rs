//! Files by FTP, and by what ssh carries: whole, in both directions, and typing beside them.

use super::super::support::lab::{Lab, PATIENCE, Path, Side, text};
use super::super::support::manager::Manager;
use super::super::support::peers::{Conversation, ECHO_SERVER, serve};
use super::{PYTHON, done, keep, random_file, same};
use hearth_model::protocol::{
    ForwardTarget, FromNetpath, HouseholdForward, ToNetpath, Transport, WanPorts,
};
use std::fs;
use std::net::Ipv4Addr;

/// Bytes of a file.
const LENGTH: usize = 3_000_000;

#[test]
fn ftp_brings_files_both_ways_and_its_active_mode_wants_a_forward() {
    for path in [Path::Fast, Path::Slow] {
        // given a server with a file
        let mut lab = Lab::by(path);
        let there = random_file(&lab, "ftp/data", LENGTH);
        let folder = lab.path("ftp");
        let server = [
            PYTHON,
            "-m",
            "pyftpdlib",
            "--write",
            "--port",
            "21",
            "--directory",
            folder.to_str().unwrap(),
        ];
        keep(&mut lab, Side::Wan, &server);
        lab.until_listens(Side::Wan, "tcp", 21);
        let [here, sent] = [lab.path("here"), folder.join("sent")];
        let (file, url) = (here.to_str().unwrap(), "ftp://203.0.113.1/");

        let data = format!("{url}data");
        // when the client opens both connections, then files come and go whole
        let curl = ["curl", "-sS", "--max-time", "20"];
        done(&lab, Side::Lan, &[&curl[..], &["-o", file, &data]].concat());
        assert!(same(&here, &there));
        done(
            &lab,
            Side::Lan,
            &[&curl[..], &["-T", file, &format!("{url}sent")]].concat(),
        );
        assert!(same(&here, &sent));

        // when the server shall open the second one, to the inside address that the client names, then the
        // server says no, at once: nothing rewrites what packets carry
        let active = [&curl[..], &["--ftp-port", "-", "-o", "/dev/null", &data]].concat();
        let said = lab.run(Side::Lan, &active);
        let port_failed = 30;
        assert_eq!(
            said.status.code(),
            Some(port_failed),
            "{}",
            text(&said.stderr)
        );

        // when the household gives ports to the host, and the client names the gateway's address, then
        // the active mode works too
        let forward = HouseholdForward {
            ports: WanPorts {
                transport: Transport::Tcp,
                first: 40_000,
                last: 40_009,
            },
            to: ForwardTarget::Host(Ipv4Addr::new(192, 168, 1, 50)),
            to_port: 40_000,
        };
        let answer = Manager::connect(&lab).ask(&ToNetpath::OpenPorts(forward));
        assert_eq!(answer, FromNetpath::PortsOpened(forward.ports));
        let active = ["--ftp-port", "203.0.113.50:40000-40009", "-o", file, &data];
        fs::remove_file(&here).unwrap();
        done(&lab, Side::Lan, &[&curl[..], &active].concat());
        assert!(same(&here, &there));
    }
}

/// A server that lets in whoever has the key of the lab's folder, and the words that start its client.
fn ssh(lab: &mut Lab) -> Vec<String> {
    let path = |name: &str| lab.path(name).to_str().unwrap().to_owned();
    for key in ["host", "user"] {
        let words = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            &path(key),
        ];
        done(lab, Side::Wan, &words);
    }
    let config = format!(
        "ListenAddress 203.0.113.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         StrictModes no\nUsePAM no\nUseDNS no\nPermitRootLogin yes\n",
        path("host"),
        path("user.pub")
    );
    fs::write(lab.path("sshd.conf"), config).unwrap();
    // It wants a folder that an init script makes, and an account that is not locked: both are its own.
    let start = format!(
        "mount -t tmpfs tmpfs /run && mkdir /run/sshd && umask 077 && \
         sed 's/^root:[^:]*/root:*/' /etc/shadow >/run/shadow && mount --bind /run/shadow /etc/shadow && \
         exec /usr/sbin/sshd -D -f {}",
        path("sshd.conf")
    );
    let user = path("user");
    keep(lab, Side::Wan, &["unshare", "-m", "sh", "-c", &start]);
    lab.until_listens(Side::Wan, "tcp", 22);
    let client = [
        "ssh",
        "-F",
        "none",
        "-q",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "IdentitiesOnly=yes",
        "-i",
        &user,
        "root@203.0.113.1",
    ];
    client.map(str::to_owned).to_vec()
}

#[test]
fn ssh_carries_files_by_a_forward_and_what_is_typed_meanwhile() {
    for path in [Path::Fast, Path::Slow] {
        // given a web server that only the ssh server reaches, and a forward to it
        let mut lab = Lab::by(path);
        let there = random_file(&lab, "www/data", 4 * LENGTH);
        serve(&mut lab, Side::Wan, "www");
        keep(&mut lab, Side::Wan, &["python3", "-c", ECHO_SERVER, "7"]);
        lab.until_listens(Side::Wan, "tcp", 7);
        let client = ssh(&mut lab);
        let client: Vec<&str> = client.iter().map(String::as_str).collect();
        let forward = ["-N", "-L", "8080:127.0.0.1:80", "-L", "7007:127.0.0.1:7"];
        keep(&mut lab, Side::Lan, &[&client[..], &forward].concat());
        lab.until_listens(Side::Lan, "tcp", 8080);
        lab.until_listens(Side::Lan, "tcp", 7007);

        // when three files come by it at once, while somebody types
        let mut typing = Conversation::open(&lab, Side::Lan, "127.0.0.1", "7007");
        let files = ["one", "two", "three"].map(|name| lab.path(name));
        let mut downloads = files.each_ref().map(|file| {
            let url = "http://127.0.0.1:8080/data";
            lab.spawn(
                Side::Lan,
                &[
                    "curl",
                    "-sS",
                    "--max-time",
                    "60",
                    "-o",
                    file.to_str().unwrap(),
                    url,
                ],
            )
        });
        for number in 0..20 {
            let line = format!("line {number}");
            typing.say(&line);
            // then each line is answered
            assert_eq!(typing.hear(PATIENCE), Some(line));
        }
        // and the files are whole
        for (download, file) in downloads.iter_mut().zip(&files) {
            assert!(download.0.wait().unwrap().success());
            assert!(same(file, &there));
        }
        // and a command of its own gets its input and its exit code
        let words = [&client[..], &["exit 42"]].concat();
        assert_eq!(lab.run(Side::Lan, &words).status.code(), Some(42));
    }
}
