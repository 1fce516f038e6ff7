//! What is told of one service: what it waits for, why it is not as asked, and what to do.

use super::killed::SIGSYS;
use super::needs::Needs;
use super::register::Wanted;
use super::service::{Phase, Service};
use super::watch::Stage;
use crate::limits::NETPATH_WAIT_MS;
use hearth_model::state::{Fault, LastExit, UnitState};
use hearth_model::{Bytes, Tick};

impl Service {
    /// What a start or an end waits for, behind "it waits"; `None` where it waits for nothing that a
    /// person would want to know.
    #[must_use]
    pub fn waits_for(&self, needs: &Needs) -> Option<String> {
        match self.phase {
            Phase::WaitingForNeeds { .. } => match needs {
                Needs::NotYet(name) => Some(format!("for {name}, which it needs")),
                Needs::Met | Needs::Missing(_) => None,
            },
            Phase::WaitingForDependents { .. } => {
                Some("until those have ended that need it".to_owned())
            }
            Phase::MakingRoom => Some("until others have made room for it".to_owned()),
            Phase::Rest
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. }
            | Phase::Waiting { .. } => match (self.watch.stage(), &self.package) {
                (Stage::Waiting { .. }, Some(package)) => {
                    let manifest = &package.manifest;
                    let seconds = f64::from(manifest.ready_within_ms()) / 1000.0;
                    Some(format!("{}, at most {seconds} s", manifest.ready()))
                }
                (
                    Stage::Waiting { .. }
                    | Stage::Off
                    | Stage::Told
                    | Stage::Watching { .. }
                    | Stage::Leaving
                    | Stage::Condemned,
                    _,
                ) => None,
            },
        }
    }

    /// One sentence: why it is not as asked and what to do. Empty where all is well.
    #[must_use]
    pub fn message(&self, now: Tick) -> String {
        match self.phase {
            Phase::WaitingForNetpath { since } if now.since_ms(since) > NETPATH_WAIT_MS => {
                return "it waits for hearth-netpath, which makes its network link".to_owned();
            }
            Phase::Rest
            | Phase::MakingRoom
            | Phase::WaitingForNeeds { .. }
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. }
            | Phase::Waiting { .. }
            | Phase::WaitingForDependents { .. } => {}
        }
        if let Some(trouble) = &self.trouble {
            return trouble.words();
        }
        match self.state() {
            UnitState::Starting | UnitState::Active | UnitState::Stopping => self.running_message(),
            UnitState::Restarting => format!("{}; it is started again by itself", self.end()),
            UnitState::Idle => self.idle_message(),
        }
    }

    fn running_message(&self) -> String {
        match (&self.link_trouble, &self.package) {
            (Some(reason), _) => {
                let name = &self.name;
                format!("its network link is gone: {reason}; try `hearth restart {name}`")
            }
            (None, None) => "its package is gone; stop it, or install the package again".to_owned(),
            (None, Some(_)) => String::new(),
        }
    }

    fn idle_message(&self) -> String {
        let name = &self.name;
        match self.status.fault {
            Fault::NoFault => match (self.wanted, self.status.last_exit) {
                (Wanted::Stopped, _) | (Wanted::Running, LastExit::None) => String::new(),
                (Wanted::Running, _) => {
                    format!("{}, and its manifest asks for no new start", self.end())
                }
            },
            Fault::FailureOnStop => {
                "it did not end within its grace time (health.stop-grace) and was killed".to_owned()
            }
            Fault::UnStartable => format!(
                "{}; it failed too often and is left alone: see `hearth logs {name}`, then \
                 `hearth start {name}`",
                self.end()
            ),
            // Which one is found out when all ends are followed (`follow_needs`).
            Fault::DependencyFailure => "it has ended before a service that it needs".to_owned(),
            Fault::FailureOnStart | Fault::FailureOnAutoStart | Fault::FailureWhileActive => {
                format!("{}; see `hearth logs {name}`", self.end())
            }
        }
    }

    /// How the last run ended.
    fn end(&self) -> String {
        if self.ended_by_oom {
            let max = self
                .package
                .as_ref()
                .map_or(Bytes(0), |p| p.manifest.memory_max());
            return format!(
                "the kernel killed it, since it needed more memory than its limit of {max}; raise \
                 resources.memory.max in its manifest"
            );
        }
        match self.status.last_exit {
            LastExit::None => "it has not run".to_owned(),
            LastExit::Code(code) => format!("it ended with exit status {code}"),
            LastExit::Signal(SIGSYS) => self.kills.end(),
            LastExit::Signal(signal) => format!("it was killed by signal {signal}"),
            LastExit::Step(failure) => failure.to_string(),
            LastExit::NotReady => {
                let waited = self.package.as_ref().map_or(String::new(), |package| {
                    let manifest = &package.manifest;
                    let seconds = f64::from(manifest.ready_within_ms()) / 1000.0;
                    format!(
                        " within {seconds} s (health.ready: it was waited {})",
                        manifest.ready()
                    )
                });
                format!("it was not ready{waited}, and was ended")
            }
            LastExit::Hung => {
                let interval = self.package.as_ref().and_then(|p| p.manifest.watchdog_ms());
                let interval = interval.map_or(String::new(), |ms| {
                    format!(" for {} s", f64::from(ms) / 1000.0)
                });
                format!(
                    "it gave no sign of life{interval}, or said that it hangs (health.watchdog), and was killed"
                )
            }
        }
    }
}
