//! Runs a command under the recording filter and asks [`Needs`] about each call that the filter tells of,
//! until the command and all that it started have ended.

use super::needs::{Needs, Ruling};
use super::socketcall;
use crate::seccomp::abi::Abi;
use crate::seccomp::instruction::Instruction;
use crate::sys::listener::{self, Call, Reaped, Verdict};
use crate::sys::privilege::{self, Capabilities, Groups};
use crate::sys::process::{self, Ended};
use crate::sys::{Errno, listener::Watched, signals as passed_on};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

/// As whom and where the command runs: as itself, or as a service would, which takes root.
#[derive(Clone, Debug)]
pub struct Guise {
    /// Its root.
    pub root: Option<CString>,
    /// Its user and group id, and the capabilities that are left to it.
    pub user: Option<(u32, Capabilities)>,
}

/// Where the command's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Where ours goes.
    Standard,
    /// To standard error: ours is for the result.
    Error,
}

/// Runs the command to its end, and to that of all that it started. Returns how it ended.
///
/// # Errors
/// A sentence for a person.
pub fn watch(
    words: &[String],
    guise: &Guise,
    output: Output,
    filter: Vec<Instruction>,
    needs: &mut Needs,
) -> Result<Ended, String> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let signals = listener::signals().map_err(|errno| format!("signals: {errno}"))?;
    // The first call that only a recording or a sandbox around us refuses.
    listener::adopt_orphans()
        .map_err(|errno| format!("this shell is itself recorded or in a sandbox: {errno}"))?;
    let (ours, theirs) =
        UnixStream::pair().map_err(|error| format!("a pair of sockets: {error}"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    if output == Output::Error {
        let copy = std::io::stderr().as_fd().try_clone_to_owned();
        command.stdout(Stdio::from(
            copy.map_err(|error| format!("standard error: {error}"))?,
        ));
    }
    let guise = guise.clone();
    let started = listener::spawn(&mut command, move || {
        Ok(put_on(&guise, &filter, theirs.as_fd())?)
    });
    // The closure holds the other end of the socket.
    drop(command);
    let calls = listener::take(ours.as_fd()).map_err(|errno| format!("the listener: {errno}"))?;
    let child = match (started, &calls) {
        (Ok(child), _) => child,
        (Err(error), Some(_)) => return Err(format!("can not execute {program}: {error}")),
        (Err(error), None) => return Err(format!("can not record {program}: {}", reason(&error))),
    };
    let calls = calls.ok_or("the command's listener did not come")?;
    Watch {
        child: child.id(),
        calls: Some(calls),
        ended: None,
        names: names(),
        asked: false,
    }
    .run(signals, needs)
}

fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EBUSY) => "it is told of by another program already".into(),
        Some(libc::EINVAL | libc::ENOSYS) => {
            "this kernel can not tell of system calls (seccomp_unotify(2), Linux 5.5)".into()
        }
        _ => error.to_string(),
    }
}

/// Between fork and exec: becomes what the command is to be, with the filter last. All that this calls
/// afterwards is in the base policy, so that nothing of ours is told.
fn put_on(guise: &Guise, filter: &[Instruction], socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // Ours are blocked; inside, a service starts with none blocked and none ignored.
    process::reset_inherited()?;
    if let Some(root) = &guise.root {
        listener::change_root(root)?;
    }
    if let Some((id, kept)) = guise.user {
        privilege::become_user(id, id, Groups::None)?;
        privilege::drop_capabilities(kept)?;
    }
    privilege::set_no_new_privileges()?;
    let listening = listener::listen(filter)?;
    listener::pass(socket, listening.as_fd())
}

/// The calls of both word sizes by architecture word and number.
fn names() -> BTreeMap<(u32, u32), &'static str> {
    let of = |abi: Abi| {
        abi.calls()
            .map(move |(number, name)| ((abi.audit_arch(), number), name))
    };
    Abi::ALL.into_iter().flat_map(of).collect()
}

struct Watch {
    child: u32,
    /// Until nobody is left who could call.
    calls: Option<OwnedFd>,
    ended: Option<Ended>,
    names: BTreeMap<(u32, u32), &'static str>,
    /// Whether somebody asked us to end.
    asked: bool,
}

impl Watch {
    fn run(mut self, signals: OwnedFd, needs: &mut Needs) -> Result<Ended, String> {
        let lost = |errno: Errno| format!("lost the command: {errno}");
        loop {
            let calls = self.calls.as_ref().map(AsFd::as_fd);
            let Watched {
                call,
                hung_up,
                signal,
            } = listener::wait(calls, signals.as_fd()).map_err(lost)?;
            if call {
                self.judge(needs)?;
            } else if hung_up {
                self.calls = None;
            }
            if signal {
                match passed_on::next(signals.as_fd()).map_err(lost)? {
                    libc::SIGCHLD => {}
                    _ => self.end().map_err(lost)?,
                }
                if let Some(ended) = self.reap().map_err(lost)? {
                    return Ok(ended);
                }
            }
        }
    }

    /// Answers one call.
    fn judge(&self, needs: &mut Needs) -> Result<(), String> {
        let Some(listener) = &self.calls else {
            return Ok(());
        };
        let call = match listener::receive(listener.as_fd()) {
            Ok(call) => call,
            // The caller died meanwhile.
            Err(Errno(libc::ENOENT | libc::EINTR)) => return Ok(()),
            Err(errno) => return Err(format!("a call could not be read: {errno}")),
        };
        let verdict = self.verdict(&call, needs)?;
        match listener::answer(listener.as_fd(), &call, verdict) {
            Ok(()) | Err(Errno(libc::ENOENT)) => Ok(()),
            Err(errno) => Err(format!("a call could not be answered: {errno}")),
        }
    }

    fn verdict(&self, call: &Call, needs: &mut Needs) -> Result<Verdict, String> {
        // A number that the table leaves out is nobody's; a filter refuses it.
        let Some(name) = self.names.get(&(call.arch, call.number)) else {
            return Ok(Verdict::Fail(libc::EPERM));
        };
        match needs
            .take(name, &call.args)
            .map_err(|error| error.to_string())?
        {
            Ruling::Continue => {
                if *name == "socketcall"
                    && let [which, place, ..] = call.args
                    && let Some((behind, args)) = socketcall::behind(call.pid, which, place)
                {
                    needs
                        .note(behind, &args)
                        .map_err(|error| error.to_string())?;
                }
                Ok(Verdict::Continue)
            }
            Ruling::Fail(errno) => Ok(Verdict::Fail(errno)),
        }
    }

    /// Waits for all that has ended; the command's end as soon as nothing of it is left.
    fn reap(&mut self) -> Result<Option<Ended>, Errno> {
        loop {
            match listener::reap()? {
                Reaped::Child { pid, ended } if pid == self.child => self.ended = Some(ended),
                Reaped::Child { .. } => {}
                Reaped::NoneYet => return Ok(None),
                Reaped::NoChildren => return Ok(Some(self.ended.unwrap_or(Ended::Code(0)))),
            }
        }
    }

    /// Somebody asked us to end: the first time the command is asked to, the second time all are killed.
    fn end(&mut self) -> Result<(), Errno> {
        if self.asked || self.ended.is_some() {
            for child in children() {
                // It may have ended and be waited for later: then nothing is left to kill.
                let _ = listener::signal_child(child, libc::SIGKILL);
            }
            return Ok(());
        }
        self.asked = true;
        listener::signal_child(self.child, libc::SIGTERM)
    }
}

/// Children of this process, which has one thread (proc(5)).
fn children() -> Vec<u32> {
    let path = format!("/proc/self/task/{0}/children", std::process::id());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}
