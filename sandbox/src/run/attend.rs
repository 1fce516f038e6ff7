//! What `run` does while its command runs: it passes signals on, and gives them the effect that they would
//! have without the sandbox. The command is the first process of its pid namespace, which the kernel spares
//! from every signal that it does not handle (pid_namespaces(7)).

use crate::outside::Running;
use crate::sys::process::{self, Ended};
use crate::sys::terminal::Terminal;
use crate::sys::{Errno, signals};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a signal would do to an ordinary process with the same handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// A handler runs, or it is ignored: the process decides.
    Its,
    /// It ends.
    End,
    /// It stops until SIGCONT.
    Stop,
}

/// Waits for the end of the command and tells its exit status: its own, or 128 and the signal's number.
///
/// # Errors
/// As poll(2), read(2), kill(2), waitid(2).
pub fn attend(running: &Running, caught: BorrowedFd<'_>) -> Result<u8, Errno> {
    let terminal = Terminal::of_standard_input();
    let mut ended_by = None;
    let ended = loop {
        let [ended, signalled] = process::either_readable([running.pidfd(), caught])?;
        if ended {
            break running.wait()?;
        }
        if signalled {
            let signal = signals::next(caught)?;
            // With a process 1 above it the command gets the usual effects by itself, but for Ctrl-Z: it
            // has no shell in its session that could let it go on, so the kernel does not stop it.
            let command = command_below(running.pid());
            let pid = command.as_ref().map_or(running.pid(), |(pid, _)| *pid);
            let command = command.as_ref().map(|(_, pidfd)| pidfd.as_fd());
            match effect(pid, signal) {
                Effect::Its => pass_on(running, command, signal)?,
                Effect::End if command.is_some() => pass_on(running, command, signal)?,
                Effect::End => {
                    ended_by = Some(signal);
                    running.signal(libc::SIGKILL)?;
                }
                Effect::Stop => stop(running, terminal.as_ref())?,
            }
        }
    };
    if let Some(terminal) = &terminal {
        // A command that died in raw mode must not leave the shell in it. It may be gone by now.
        let _ = terminal.restore();
    }
    Ok(exit_status(ended, ended_by))
}

/// The command, where it is not process 1 of its namespace: the first that process 1 started.
fn command_below(first: u32) -> Option<(u32, OwnedFd)> {
    let parent = format!("PPid:\t{first}\n");
    let numbers = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.find_map(|number| {
        // Held first, then looked at: what is found is what gets the signal.
        let held = signals::hold(number).ok()?;
        let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let is_second = inside.is_some_and(|numbers| numbers.ends_with("\t2"));
        (is_second && status.contains(&parent)).then_some((number, held))
    })
}

/// Those of the keyboard are for the whole foreground, the others for the command. Process 1 itself takes
/// none of them.
fn pass_on(running: &Running, command: Option<BorrowedFd<'_>>, signal: i32) -> Result<(), Errno> {
    let done = match (signal, command) {
        (libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP | libc::SIGHUP | libc::SIGWINCH, _) => {
            signals::to_group(running.pid(), signal)
        }
        (_, Some(command)) => process::signal(command, signal),
        (_, None) => running.signal(signal),
    };
    match done {
        // It has just ended; that is told by its descriptor.
        Err(Errno(libc::ESRCH)) => Ok(()),
        other => other,
    }
}

/// Ctrl-Z: the sandbox stops, then we do, so that the shell gets its prompt. `fg` lets us go on here.
fn stop(running: &Running, terminal: Option<&Terminal>) -> Result<(), Errno> {
    signals::to_group(running.pid(), libc::SIGSTOP)?;
    let modes = match terminal {
        Some(terminal) => Some(terminal.swap_in_own()?),
        None => None,
    };
    signals::stop_self()?;
    if let (Some(terminal), Some(modes)) = (terminal, modes) {
        terminal.set(&modes)?;
    }
    signals::to_group(running.pid(), libc::SIGCONT)
}

fn effect(pid: u32, signal: i32) -> Effect {
    // A process that ended has no such file: whatever is done to it now, its end is told next.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    effect_of(&status, signal)
}

/// From the text of /proc/PID/status (proc_pid_status(5)): masks of signals that are ignored or handled.
fn effect_of(status: &str, signal: i32) -> Effect {
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
    };
    let (Some(ignored), Some(handled)) = (mask("SigIgn:"), mask("SigCgt:")) else {
        return Effect::Its;
    };
    if (ignored | handled) >> (signal - 1) & 1 == 1 {
        return Effect::Its;
    }
    match signal {
        libc::SIGTSTP => Effect::Stop,
        libc::SIGWINCH | libc::SIGCONT => Effect::Its, // no effect where it is not handled
        _ => Effect::End,
    }
}

fn exit_status(ended: Ended, by_us: Option<i32>) -> u8 {
    let status = match (ended, by_us) {
        (Ended::Signal(libc::SIGKILL), Some(signal)) => 128 + signal,
        (Ended::Signal(signal), _) => 128 + signal,
        (Ended::Code(code), _) => code,
    };
    // waitid(2) gives 0 to 255, signal(7) numbers up to 64.
    u8::try_from(status).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_tells_signals_apart() {
        assert_eq!(exit_status(Ended::Code(3), None), 3);
        assert_eq!(exit_status(Ended::Code(3), Some(15)), 3);
        assert_eq!(exit_status(Ended::Signal(9), None), 137);
        assert_eq!(exit_status(Ended::Signal(9), Some(2)), 130);
        assert_eq!(exit_status(Ended::Signal(11), Some(2)), 139);
    }

    #[test]
    fn a_signal_has_its_usual_effect_unless_it_is_handled() {
        // given a process that ignores SIGINT (2) and handles SIGTERM (15) and SIGTSTP (20)
        let status = "Name:\tx\nSigIgn:\t0000000000000002\nSigCgt:\t0000000000084000\n";
        // then those are its business, and the others are not
        for (signal, expected) in [
            (libc::SIGINT, Effect::Its),
            (libc::SIGTERM, Effect::Its),
            (libc::SIGTSTP, Effect::Its),
            (libc::SIGHUP, Effect::End),
            (libc::SIGWINCH, Effect::Its),
        ] {
            assert_eq!(effect_of(status, signal), expected, "{signal}");
        }
        let nothing = "SigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n";
        assert_eq!(effect_of(nothing, libc::SIGTSTP), Effect::Stop);
        assert_eq!(effect_of("", libc::SIGTERM), Effect::Its);
    }
}
