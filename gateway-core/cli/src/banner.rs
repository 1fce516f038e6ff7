//! The three lines at login on the console: what runs, where the console is, how to leave. They
//! must not lie, so `hearth banner` waits (bounded) until the services have settled.

use crate::limits::COLUMNS;
use crate::words::{ascii, count, pending, problems, trouble};
use hearth_model::api::{Kind, Service, Status};
use hearth_model::state::UnitState;

/// What the console's keyboard is plugged into, which decides how a person leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A board: leaving means to shut it down.
    Board,
    /// QEMU as `scripts/run` starts it: Ctrl-A X ends the emulator too.
    Qemu,
}

impl Machine {
    /// The machine that the firmware's vendor text names (`/sys/class/dmi/id/sys_vendor`).
    #[must_use]
    pub fn of_vendor(vendor: &str) -> Machine {
        if vendor.trim().starts_with("QEMU") {
            Machine::Qemu
        } else {
            Machine::Board
        }
    }
}

/// Whether every wanted service has come to a state that will last: it runs, or it is known why not.
#[must_use]
pub fn settled(status: &Status) -> bool {
    !status.services.is_empty() && !status.services.iter().any(pending)
}

/// The three lines for a gateway that answers.
#[must_use]
pub fn lines(status: &Status, machine: Machine) -> String {
    let mut what = format!("Hearth {} - {}", ascii(&status.firmware), running(status));
    let wrong = problems(status);
    match wrong.first() {
        None => {}
        Some(first) => {
            what.push_str(&format!(", {}: {first}", count(wrong.len(), "problem")));
        }
    }
    let wan = status.wan.address.as_deref().unwrap_or("no address yet");
    let place = format!(
        "Console {}   LAN {}   WAN {wan}",
        status.console_url, status.lan
    );
    format!("{}{}{}", line(&what), line(&place), leave(machine))
}

/// The three lines for a gateway whose manager does not answer.
#[must_use]
pub fn silent(socket: &str, machine: Machine) -> String {
    format!(
        "{}{}{}",
        line(&format!("Hearth - the manager does not answer on {socket}")),
        line("Console unknown; try 'hearth status' in a minute, and see 'dmesg'"),
        leave(machine)
    )
}

/// `3 services active (dnsmasq, nginx, web)`, and how many are still on their way.
fn running(status: &Status) -> String {
    let active: Vec<&str> = status
        .services
        .iter()
        .filter(|s| s.kind == Kind::Service && s.state == UnitState::Active.to_string())
        .map(|s| s.name.as_str())
        .collect();
    let mut text = format!("{} active", count(active.len(), "service"));
    let coming = status.services.iter().filter(|s| pending(s)).count();
    if coming > 0 {
        text.push_str(&format!(", {coming} still starting"));
    }
    // Names only where nothing more urgent needs the line.
    if !active.is_empty() && !status.services.iter().any(needs_the_line) {
        let names = format!(" ({})", active.join(", "));
        if status.problems.is_empty()
            && text.len() + names.len() + "Hearth 0.1.0 - ".len() <= COLUMNS
        {
            text.push_str(&names);
        }
    }
    text
}

fn needs_the_line(service: &Service) -> bool {
    trouble(service).is_some()
}

fn leave(machine: Machine) -> &'static str {
    match machine {
        Machine::Board => "Type 'hearth help' for commands; to shut down: 'hearth poweroff'\n",
        Machine::Qemu => {
            "Type 'hearth help' for commands; to leave: 'hearth poweroff' or Ctrl-A X\n"
        }
    }
}

/// One line of the console: what does not fit is cut, and `...` with the command that tells all.
fn line(text: &str) -> String {
    const MORE: &str = "... ('hearth status')";
    let text = ascii(text);
    if text.len() <= COLUMNS {
        return format!("{text}\n");
    }
    let kept: String = text.chars().take(COLUMNS - MORE.len()).collect();
    format!("{}{MORE}\n", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{gateway, service};

    #[test]
    fn a_healthy_gateway_names_what_runs() {
        let mut well = gateway();
        well.problems.clear();
        well.services = vec![service("dnsmasq"), service("nginx"), service("web")];
        assert_eq!(
            lines(&well, Machine::Qemu),
            "\
Hearth 0.1.0 - 3 services active (dnsmasq, nginx, web)
Console http://192.168.1.1/   LAN 192.168.1.1/24   WAN 203.0.113.7/24
Type 'hearth help' for commands; to leave: 'hearth poweroff' or Ctrl-A X
"
        );
    }

    #[test]
    fn problems_are_counted_and_the_first_is_told() {
        let mut ill = gateway();
        ill.wan.address = None;
        assert_eq!(
            lines(&ill, Machine::Board),
            "\
Hearth 0.1.0 - 1 service active, 2 problems: package radio:... ('hearth status')
Console http://192.168.1.1/   LAN 192.168.1.1/24   WAN no address yet
Type 'hearth help' for commands; to shut down: 'hearth poweroff'
"
        );
    }

    #[test]
    fn a_service_on_its_way_is_not_called_active_and_is_waited_for() {
        // given a service that starts, and one that the household stopped
        let mut starting = service("nginx");
        starting.state = "Starting".into();
        let mut stopped = service("web");
        (stopped.state, stopped.wanted) = ("Idle".into(), false);
        let mut status = gateway();
        status.problems.clear();
        status.services = vec![starting, stopped];
        // then the banner waits, and says so when it waited enough
        assert!(!settled(&status));
        assert!(
            lines(&status, Machine::Board)
                .starts_with("Hearth 0.1.0 - 0 services active, 1 still starting\n")
        );
        // and a stopped or a broken service is no reason to wait
        status.services[0].state = "Active".into();
        assert!(settled(&status));
        status.services[0].state = "Restarting".into();
        assert!(settled(&status));
    }

    #[test]
    fn every_banner_has_three_lines_that_fit() {
        let mut long = gateway();
        long.services = (0..40).map(|n| service(&format!("service-{n}"))).collect();
        for text in [
            lines(&long, Machine::Qemu),
            lines(&gateway(), Machine::Qemu),
            silent("/run/hearth/api.sock", Machine::Board),
        ] {
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(text.lines().all(|l| l.len() <= COLUMNS), "{text}");
        }
    }

    #[test]
    fn only_qemu_is_left_with_its_escape_key() {
        assert_eq!(Machine::of_vendor("QEMU\n"), Machine::Qemu);
        assert_eq!(Machine::of_vendor("Intel Corporation\n"), Machine::Board);
        assert_eq!(Machine::of_vendor(""), Machine::Board);
    }
}
