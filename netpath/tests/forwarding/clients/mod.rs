//! What people run at home, with the servers that they run it against: each sees what it would see
//! without a gateway in between, or what RFC 4787 says that it sees.

mod calls;
mod discovery;
mod files;
mod names;
mod routes;
mod speed;
mod swarm;

use super::support::lab::{Lab, Side, spawn, text};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

/// Debian's own Python, with the modules of its packages.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a command to its end and returns what it printed; it must say that it went well.
#[track_caller]
fn done(lab: &Lab, side: Side, words: &[&str]) -> String {
    let done = lab.run(side, words);
    let (said, complaints) = (text(&done.stdout), text(&done.stderr));
    assert!(
        done.status.success(),
        "{words:?}: {}\n{said}{complaints}{}",
        done.status,
        lab.log()
    );
    said
}

/// Keeps a server, whose output nobody needs, until the lab ends.
fn keep(lab: &mut Lab, side: Side, words: &[&str]) {
    let mut command = lab.command(side, words);
    let server = spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    lab.keep(server);
}

/// A file of random bytes in a folder of the lab.
fn random_file(lab: &Lab, name: &str, length: usize) -> PathBuf {
    let path = lab.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut bytes = vec![0; length];
    std::io::Read::read_exact(&mut random, &mut bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// Whether two files have the same bytes; one that is not there yet has not.
fn same(a: &std::path::Path, b: &std::path::Path) -> bool {
    match (fs::read(a), fs::read(b)) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), _) | (_, Err(_)) => false,
    }
}
