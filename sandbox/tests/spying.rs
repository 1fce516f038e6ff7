//! Two services side by side: one keeps secrets wherever a program can leave something, the other looks for
//! them. What it must come to is in tests/data/attempts.toml.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hearth_model::plan::{BindAccess, Plan};
use hearth_sandbox::outside::FIRST_ID;
use hearth_sandbox::sys::process::Ended;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::process::{Child, Command, Stdio};
use support::attempts::{of_theme, vacuous, wrong_inside};
use support::{Programs, bind, both, image, open_folder, plan, run, start};
use tempfile::TempDir;

/// An image and data of its own, and a plan that runs `words` with one more policy.
fn service(programs: &Programs, words: &[&str], policy: &str) -> (TempDir, TempDir, Plan) {
    let (image, data) = (image(programs), open_folder());
    chown(data.path(), Some(FIRST_ID + 1000), Some(FIRST_ID + 1001)).unwrap();
    let mut plan = plan(image.path(), words);
    let writable = BindAccess::ReadWrite;
    plan.binds.push(bind(data.path(), "/data", writable));
    plan.seccomp.policies.push(policy.into());
    (image, data, plan)
}

#[test]
fn a_service_finds_nothing_of_another() {
    for programs in both() {
        // given a service that has left its secrets everywhere
        let (_image, _data, mut keeper) = service(programs, &["secrets"], "network-server");
        keeper.env.push(("OWN_SECRET".into(), "secret".into()));
        let mut keeper = start(programs, &keeper).unwrap();
        keeper.read_until("READY");
        // when another looks for them, and knows the number of its process
        let pid = keeper.running.pid().to_string();
        let (_image, _data, spy) = service(programs, &["spy", &pid], "network-client");
        let (text, ended) = run(programs, &spy);
        // then each look comes to what is expected
        assert_eq!(ended, Ended::Code(0), "{}: {text}", programs.word);
        let wrong = wrong_inside(&of_theme(programs.word, "spying"), &text, &[]);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", programs.word);
        keeper.running.signal(libc::SIGKILL).unwrap();
        keeper.finish();
    }
}

/// A keeper without a sandbox; what it leaves is removed when this is dropped.
struct Keeper<'a> {
    programs: &'a Programs,
    child: Child,
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let forget = Command::new(&self.programs.hostile).arg("forget").status();
        assert!(forget.unwrap().success());
    }
}

#[test]
fn without_a_sandbox_it_finds_them() {
    for programs in both() {
        // given both as they are
        let child = Command::new(&programs.hostile)
            .arg("secrets")
            .env("OWN_SECRET", "secret")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut keeper = Keeper { programs, child };
        let output = keeper.child.stdout.take().unwrap();
        let mut lines = BufReader::new(output).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "READY");
        // when one looks for the other's secrets
        let done = Command::new(&programs.hostile)
            .args(["spy", &keeper.child.id().to_string()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // then it finds them
        let text = String::from_utf8(done.stdout).unwrap();
        let vacuous = vacuous(&of_theme(programs.word, "spying"), &text);
        assert!(vacuous.is_empty(), "{}: {vacuous:#?}", programs.word);
    }
}
