//! What an attempt is, how it is run, and what came of it.

use std::fmt;
use std::io::{Read, Write, pipe};
use std::process::exit;

/// What came of an attempt.
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// The kernel refused it.
    Errno(i32),
    /// What was found.
    Value(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ok => f.write_str("ok"),
            Outcome::Errno(errno) => write!(f, "errno={errno}"),
            Outcome::Value(value) => write!(f, "value={value}"),
        }
    }
}

impl<T> From<std::io::Result<T>> for Outcome {
    fn from(result: std::io::Result<T>) -> Outcome {
        match result {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::from(error),
        }
    }
}

impl From<std::io::Error> for Outcome {
    fn from(error: std::io::Error) -> Outcome {
        Outcome::Errno(error.raw_os_error().unwrap_or(-1))
    }
}

impl From<Result<i64, i32>> for Outcome {
    fn from(result: Result<i64, i32>) -> Outcome {
        match result {
            Ok(_) => Outcome::Ok,
            Err(errno) => Outcome::Errno(errno),
        }
    }
}

impl Outcome {
    /// A finding.
    pub fn value(text: impl Into<String>) -> Outcome {
        Outcome::Value(text.into())
    }
}

/// One named thing that is tried.
pub struct Attempt {
    /// As in the table of expected outcomes.
    pub name: &'static str,
    place: Place,
    run: fn() -> Outcome,
}

/// Which process tries.
enum Place {
    /// This one.
    Here,
    /// A child, since what succeeds may change the process, and what fails may end it.
    Child,
}

/// An attempt of this process.
pub const fn here(name: &'static str, run: fn() -> Outcome) -> Attempt {
    let place = Place::Here;
    Attempt { name, place, run }
}

/// An attempt of a child.
pub const fn apart(name: &'static str, run: fn() -> Outcome) -> Attempt {
    let place = Place::Child;
    Attempt { name, place, run }
}

impl Attempt {
    /// Tries, and says what came of it.
    pub fn outcome(&self) -> String {
        match self.place {
            Place::Here => (self.run)().to_string(),
            Place::Child => in_child(self.run),
        }
    }
}

/// Tries each, and prints a line for it.
pub fn report(attempts: &[Attempt]) {
    for attempt in attempts {
        println!("RESULT {} {}", attempt.name, attempt.outcome());
    }
}

/// Seconds until an attempt that the kernel lets hang is ended by SIGALRM.
const PATIENCE: Arg = 10;

/// Runs an attempt in a child, which tells its outcome by a pipe. One that ended without a word, by a
/// signal or as another program, tells it by its exit status: 0, or an errno.
fn in_child(attempt: fn() -> Outcome) -> String {
    let Ok((mut read, mut write)) = pipe() else {
        return "value=no-pipe".into();
    };
    match call(libc::SYS_fork, &[]) {
        Ok(0) => {
            drop(read);
            let _ = call(libc::SYS_alarm, &[PATIENCE]);
            let text = attempt().to_string();
            let _ = write.write_all(text.as_bytes());
            exit(0)
        }
        Ok(child) => {
            drop(write);
            let mut text = String::new();
            let _ = read.read_to_string(&mut text);
            let ended = wait(child);
            if text.is_empty() { ended } else { text }
        }
        Err(errno) => format!("value=fork-errno-{errno}"),
    }
}

/// How a child ended.
pub fn wait(child: i64) -> String {
    let mut status: libc::c_int = 0;
    match call(libc::SYS_wait4, &[child as Arg, place(&mut status)]) {
        Ok(_) if libc::WIFSIGNALED(status) => format!("signal={}", libc::WTERMSIG(status)),
        Ok(_) if libc::WEXITSTATUS(status) == 0 => "ok".into(),
        Ok(_) => format!("errno={}", libc::WEXITSTATUS(status)),
        Err(errno) => format!("value=wait-errno-{errno}"),
    }
}

/// An argument of a system call: a number or the address of something.
pub type Arg = libc::c_long;

/// The address of something, as an argument.
pub fn address<T: ?Sized>(thing: &T) -> Arg {
    std::ptr::from_ref(thing).cast::<u8>() as Arg
}

/// The address of something that the kernel writes, as an argument.
pub fn place<T: ?Sized>(thing: &mut T) -> Arg {
    std::ptr::from_mut(thing).cast::<u8>() as Arg
}

/// A flag word or request, as an argument.
pub fn number(value: libc::c_int) -> Arg {
    value as Arg
}

/// The one system call of this program; up to six arguments, the rest is 0.
pub fn call(number: libc::c_long, args: &[Arg]) -> Result<i64, i32> {
    let arg = |at: usize| args.get(at).copied().unwrap_or(0);
    let (a, b, c, d, e, f) = (arg(0), arg(1), arg(2), arg(3), arg(4), arg(5));
    // SAFETY: every address passed is that of a value or NUL-terminated string that the caller keeps
    // alive, as large as the call reads or writes; calls that start a process copy memory like fork(2).
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if returned < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(-1));
    }
    #[allow(clippy::useless_conversion)] // c_long is i32 on i686
    Ok(i64::from(returned))
}

/// A system call as a whole attempt.
pub fn tried(number: libc::c_long, args: &[Arg]) -> Outcome {
    call(number, args).into()
}

/// This folder's descriptor, for calls that take one.
pub const HERE: Arg = libc::AT_FDCWD as Arg;
