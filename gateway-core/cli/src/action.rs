//! When a start, stop or restart has come to its end. The manager accepts the request at once; the
//! sandbox, the program and its grace time need longer, and the person who asked waits for that.

use crate::words;
use core::fmt;
use hearth_model::api::Service;
use hearth_model::state::UnitState;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Run it.
    Start,
    /// End it.
    Stop,
    /// End it and run it again.
    Restart,
}

impl fmt::Display for Verb {
    /// The word in the API's path and on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
        })
    }
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is on its way.
    Pending,
    /// It is as asked; the text says so.
    Done(String),
    /// It will not be as asked without help; the text says why.
    Failed(String),
}

/// Judges a service after a request. `pid_before` is its process before the request: a restart is
/// done only when another process runs.
#[must_use]
pub fn judge(verb: Verb, pid_before: u32, service: &Service) -> Progress {
    let Some(state) = words::state(&service.state) else {
        return Progress::Pending;
    };
    match (verb, state) {
        (Verb::Restart, UnitState::Active) if service.pid == pid_before => Progress::Pending,
        (Verb::Start | Verb::Restart, UnitState::Active) => Progress::Done(format!(
            "{} is active, process {}.",
            service.name, service.pid
        )),
        (Verb::Start | Verb::Restart, UnitState::Idle | UnitState::Restarting) => {
            match words::trouble(service) {
                Some(why) => Progress::Failed(format!("{} is not active: {why}", service.name)),
                None if service.wanted => Progress::Pending,
                None => Progress::Failed(format!(
                    "{} is not active: it was stopped meanwhile; start it again",
                    service.name
                )),
            }
        }
        (Verb::Start | Verb::Restart, UnitState::Starting | UnitState::Stopping) => {
            Progress::Pending
        }
        (Verb::Stop, UnitState::Idle) => Progress::Done(match words::trouble(service) {
            Some(how) => format!("{} is stopped: {how}", service.name),
            None => format!("{} is stopped.", service.name),
        }),
        (
            Verb::Stop,
            UnitState::Starting | UnitState::Active | UnitState::Stopping | UnitState::Restarting,
        ) => Progress::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::service;

    #[test]
    fn the_whole_table_of_verb_and_state() {
        let states = ["Idle", "Starting", "Active", "Stopping", "Restarting"];
        // P pending, D done, F failed; a wanted service whose process was 7 and is 8
        for (verb, verdicts) in [
            (Verb::Start, "PPDPF"),
            (Verb::Stop, "DPPPP"),
            (Verb::Restart, "PPDPF"),
        ] {
            for (state, verdict) in states.iter().zip(verdicts.chars()) {
                let mut one = service("nginx");
                (one.state, one.pid) = ((*state).to_owned(), 8);
                let got = match judge(verb, 7, &one) {
                    Progress::Pending => 'P',
                    Progress::Done(_) => 'D',
                    Progress::Failed(_) => 'F',
                };
                assert_eq!(got, verdict, "{verb} {state}");
            }
        }
    }

    #[test]
    fn a_restart_is_done_only_with_another_process() {
        let one = service("nginx");
        assert_eq!(judge(Verb::Restart, one.pid, &one), Progress::Pending);
        assert_eq!(
            judge(Verb::Restart, one.pid + 1, &one),
            Progress::Done("nginx is active, process 214.".into())
        );
    }

    #[test]
    fn a_failed_start_tells_the_managers_reason() {
        // given a service that ended at once
        let mut one = service("nginx");
        one.state = "Restarting".into();
        one.message = "exit status 1; see hearth logs nginx".into();
        // then the reason is passed on
        assert_eq!(
            judge(Verb::Start, 0, &one),
            Progress::Failed("nginx is not active: exit status 1; see hearth logs nginx".into())
        );
    }
}
