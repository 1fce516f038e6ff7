//! `[health]`: when a service is ready, how it shows that it lives, when it is started again, how it ends.

use super::checked::Access;
use super::fault::{Faults, shown};
use super::raw::Section;
use super::{
    LinkKind, Manifest, Network, READY_WITHIN_DEFAULT_MS, STOP_GRACE_DEFAULT_MS, WATCHDOG_MIN_MS,
    placeholder, value,
};
use crate::ServiceId;
use crate::gate::Served;
use crate::gateway::GatewayConfig;
use crate::protocol::{ActiveWhen, RestartPolicy, RestartWhen};
use core::fmt;
use toml::de::DeValue;

/// `[health] ready`: how it is known that a service does its work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// Its program runs: nothing else is asked.
    #[default]
    Executed,
    /// It says so: `READY=1` at its notify socket (sd_notify(3)).
    Notify,
    /// It listens at this port of its own.
    Port(Served),
    /// This program, executed inside its sandbox, ends with status 0.
    Exec(Vec<String>),
}

impl fmt::Display for Ready {
    /// What is waited for; it stands after "waits ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ready::Executed => f.write_str("until its program runs"),
            Ready::Notify => f.write_str("for its READY=1"),
            Ready::Port(Served { transport, port }) => {
                write!(f, "until it listens at {transport} {port}")
            }
            Ready::Exec(words) => {
                let program = words.first().map_or("its probe", String::as_str);
                write!(f, "until {program} succeeds")
            }
        }
    }
}

/// The section, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    restart: RestartWhen,
    stop_signal: u8,
    stop_grace_ms: u32,
    ready: Ready,
    ready_within_ms: u32,
    watchdog_ms: Option<u32>,
}

/// Reads and checks the section, beside what `[access]` says.
pub(super) fn check(mut table: Section<'_>, access: &Access, faults: &mut Faults) -> Health {
    let restart = table.optional(faults, "restart", value::restart);
    let stop_signal = table.optional(faults, "stop-signal", value::signal);
    let stop_grace_ms = table.optional(faults, "stop-grace", value::duration_ms);
    let ready = table.optional(faults, "ready", |value| ready(value, access));
    let within = table.optional(faults, "ready-within", value::duration_ms);
    let watchdog = table.optional(faults, "watchdog", |value| {
        match value::duration_ms(value)? {
            ms if ms < WATCHDOG_MIN_MS => Err(format!(
                "is shorter than {} s, which a busy gateway can take to run a service; raise it",
                WATCHDOG_MIN_MS / 1000
            )),
            ms => Ok(ms),
        }
    });
    let (ready_key, within_key) = (table.key("ready"), table.key("ready-within"));
    table.finish(faults);
    match (&ready, &within) {
        (Some((Ready::Port(port), at)), _)
            if access.network != Network::None
                && access.link == LinkKind::Routed
                && !access.served().contains(port) =>
        {
            let Served { transport, port } = port;
            let text = format!(
                "it can not listen at {transport} {port}, which access.listen leads nobody to; write \
                 a port of access.listen, behind its \"->\""
            );
            faults.say(at, &ready_key, &text);
        }
        (None, Some((_, at))) => faults.say(
            at,
            &within_key,
            "nothing is waited for without health.ready; write it too, or remove this",
        ),
        (Some(_) | None, _) => {}
    }
    const SIGTERM: u8 = 15;
    Health {
        restart: restart.map_or(RestartPolicy::DEFAULT.when, |(restart, _)| restart),
        stop_signal: stop_signal.map_or(SIGTERM, |(signal, _)| signal),
        stop_grace_ms: stop_grace_ms.map_or(STOP_GRACE_DEFAULT_MS, |(ms, _)| ms),
        ready: ready.map_or(Ready::Executed, |(ready, _)| ready),
        ready_within_ms: within.map_or(READY_WITHIN_DEFAULT_MS, |(ms, _)| ms),
        watchdog_ms: watchdog.map(|(ms, _)| ms),
    }
}

/// `"notify"`, `"tcp 80"` or `["/usr/bin/probe", "argument"]`.
fn ready(value: &DeValue<'_>, access: &Access) -> Result<Ready, String> {
    const FORMS: &str = "write \"notify\", a port as \"tcp 80\", or a program to execute inside as \
                         [\"/usr/bin/probe\"]";
    if let Some(list) = value.as_array() {
        let words = list.iter().map(|word| {
            let text = value::text(word.get_ref())?.to_owned();
            match placeholder::faults(&text, access).into_iter().next() {
                Some(fault) => Err(fault),
                None => Ok(text),
            }
        });
        let words = words
            .collect::<Result<Vec<String>, String>>()
            .map_err(|why| format!("{why}; {FORMS}"))?;
        return match words.first() {
            Some(program)
                if program.starts_with('/') && !program.split('/').any(|part| part == "..") =>
            {
                value::short_list(words.len()).map(|()| Ready::Exec(words))
            }
            Some(program) => Err(format!(
                "the program {} is not absolute; write its whole path inside the image, without \"..\"",
                shown(program)
            )),
            None => Err(format!("names no program; {FORMS}")),
        };
    }
    let text = value::text(value).map_err(|why| format!("{why}; {FORMS}"))?;
    if text == "notify" {
        return Ok(Ready::Notify);
    }
    value::served(value)
        .map(Ready::Port)
        .map_err(|_| format!("{} is no sign of readiness; {FORMS}", shown(text)))
}

impl Manifest {
    /// `health.restart`, with the waits that every service gets.
    #[must_use]
    pub fn restart(&self) -> RestartPolicy {
        RestartPolicy {
            when: self.health.restart,
            ..RestartPolicy::DEFAULT
        }
    }

    /// `health.stop-signal`, signal(7).
    #[must_use]
    pub fn stop_signal(&self) -> u8 {
        self.health.stop_signal
    }

    /// `health.stop-grace`, milliseconds.
    #[must_use]
    pub fn stop_grace_ms(&self) -> u32 {
        self.health.stop_grace_ms
    }

    /// `health.ready`
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.health.ready
    }

    /// When PID 1 takes it for Active.
    #[must_use]
    pub fn active_when(&self) -> ActiveWhen {
        match self.health.ready {
            Ready::Executed => ActiveWhen::Executed,
            Ready::Notify | Ready::Port(_) | Ready::Exec(_) => ActiveWhen::Ready,
        }
    }

    /// `health.ready-within`, milliseconds.
    #[must_use]
    pub fn ready_within_ms(&self) -> u32 {
        self.health.ready_within_ms
    }

    /// `health.watchdog`, milliseconds.
    #[must_use]
    pub fn watchdog_ms(&self) -> Option<u32> {
        self.health.watchdog_ms
    }

    /// Whether it has a notify socket: where it is to say something.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.health.ready == Ready::Notify || self.health.watchdog_ms.is_some()
    }

    /// The probe of `health.ready` with every placeholder replaced by this gateway's fact; empty where
    /// readiness is shown in another way.
    #[must_use]
    pub fn probe_on(&self, gateway: &GatewayConfig, id: ServiceId) -> Vec<String> {
        match &self.health.ready {
            Ready::Exec(words) => words
                .iter()
                .map(|word| self.filled(word, gateway, id))
                .collect(),
            Ready::Executed | Ready::Notify | Ready::Port(_) => Vec::new(),
        }
    }
}
