//! How states, faults, amounts and times are told to a person: short, plain English, ASCII.

use hearth_model::api::{Service, Status};
use hearth_model::gate::Refusal;
use hearth_model::state::{Fault, UnitState};

/// The state that the API's text names; `None` for a word that this version does not know.
#[must_use]
pub fn state(text: &str) -> Option<UnitState> {
    use UnitState::{Active, Idle, Restarting, Starting, Stopping};
    [Idle, Starting, Active, Stopping, Restarting]
        .into_iter()
        .find(|state| state.to_string() == text)
}

/// What a fault code means, as the second half of a sentence. An unknown code is told as it is.
#[must_use]
pub fn fault(code: &str) -> String {
    let known = [
        (Fault::FailureOnStart, "it could not be started"),
        (Fault::FailureOnAutoStart, "it could not be started again"),
        (Fault::FailureOnStop, "it had to be killed to stop it"),
        (Fault::FailureWhileActive, "it ended by itself"),
        (Fault::DependencyFailure, "a service it needs is not there"),
        (Fault::UnStartable, "it failed too often and is left alone"),
    ];
    known
        .iter()
        .find(|(fault, _)| fault.to_string() == code)
        .map_or_else(
            || format!("it reports the fault {code}"),
            |(_, text)| (*text).to_owned(),
        )
}

/// What is wrong with a service, one sentence; `None` where it is as the household asked.
#[must_use]
pub fn trouble(service: &Service) -> Option<String> {
    if !service.message.is_empty() {
        return Some(service.message.clone());
    }
    if service.fault != Fault::NoFault.to_string() {
        return Some(fault(&service.fault));
    }
    (state(&service.state) == Some(UnitState::Restarting))
        .then(|| "it ended by itself and waits for its next start".to_owned())
}

/// What a service waits for, one sentence; `None` where that is nothing, or it has trouble to tell.
#[must_use]
pub fn waits(service: &Service) -> Option<String> {
    let what = service.life.waits.as_ref()?;
    let says = service.life.says.as_ref();
    let says = says.map_or(String::new(), |says| format!("; it says: {says}"));
    Some(format!("it waits {what}{says}"))
}

/// Whether a wanted service is still on its way up, with nothing wrong so far.
#[must_use]
pub fn pending(service: &Service) -> bool {
    service.wanted && trouble(service).is_none() && state(&service.state) != Some(UnitState::Active)
}

/// Everything that is wrong: the gateway's own problems first, then what is short, then each service's. A problem that
/// the manager lists for a service already is not told twice.
#[must_use]
pub fn problems(status: &Status) -> Vec<String> {
    let mut all = status.problems.clone();
    all.extend(status.congestion.iter().map(|one| one.text.clone()));
    for service in &status.services {
        if let Some(what) = trouble(service)
            && !status.problems.iter().any(|told| told.contains(&what))
        {
            all.push(format!("{}: {what}", service.name));
        }
    }
    all
}

/// What a service tried and its gates refused: no trouble, but something to ask its vendor about. `None`
/// where that is nothing; IPv6 is not told, since programs try it before they take IPv4.
#[must_use]
pub fn refused(service: &Service) -> Option<String> {
    let counts = service.refused.iter();
    let told = counts.filter(|(reason, count)| **count > 0 && *reason != Refusal::Ipv6.name());
    let told: Vec<String> = told
        .map(|(reason, count)| format!("{count} {}", ascii(reason)))
        .collect();
    (!told.is_empty()).then(|| format!("its gates have refused: {}", told.join(", ")))
}

/// An amount of memory in at most five characters: `512B`, `9.5K`, `64M`, `1.5G`.
#[must_use]
pub fn amount(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    // Tenths of the unit; from 1000 of one unit on, the next unit is used: never four digits.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or('K');
    while tenths >= 10_000 {
        let Some(next) = units.next() else { break };
        (tenths, unit) = (tenths / 1024, next);
    }
    match (tenths / 10, tenths % 10) {
        (whole, tenth) if whole < 10 && tenth != 0 => format!("{whole}.{tenth}{unit}"),
        (whole, _) => format!("{whole}{unit}"),
    }
}

/// A number of bits (or of bits a second) in at most five characters: `999`, `1.2k`, `64M`, `1.5G`.
#[must_use]
pub fn bits(n: u64) -> String {
    const UNITS: [char; 6] = ['k', 'M', 'G', 'T', 'P', 'E'];
    if n < 1000 {
        return n.to_string();
    }
    let mut tenths = u128::from(n) / 100;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or('k');
    while tenths >= 10_000 {
        let Some(next) = units.next() else { break };
        (tenths, unit) = (tenths / 1000, next);
    }
    match (tenths / 10, tenths % 10) {
        (whole, tenth) if whole < 10 && tenth != 0 => format!("{whole}.{tenth}{unit}"),
        (whole, _) => format!("{whole}{unit}"),
    }
}

/// A length of time in at most six characters where it is below 1000 days: `12s`, `3m05s`,
/// `2h13m`, `4d02h`, `123d`.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        (1..100, ..) => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// Processor time as seconds with one decimal.
#[must_use]
pub fn cpu_seconds(usec: u64) -> String {
    format!("{}.{}", usec / 1_000_000, usec % 1_000_000 / 100_000)
}

/// A text that can not harm a terminal: every control or non-ASCII character becomes `?`, a tab a
/// space. Services choose what they print; a console must not obey it.
#[must_use]
pub fn ascii(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

/// `one service`, `2 services`: a count with its noun.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_and_spans_are_short_and_right() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "0.9K"),
            (1024, "1K"),
            (9728, "9.5K"),
            (64 << 20, "64M"),
            (1000 << 20, "0.9G"),
            (3 << 29, "1.5G"),
            (2 << 30, "2G"),
        ] {
            assert_eq!(amount(bytes), text, "{bytes}");
        }
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_250, "1.2k"),
            (64_000, "64k"),
            (999_999, "999k"),
            (1_000_000, "1M"),
            (9_600_000, "9.6M"),
            (1_000_000_000, "1G"),
        ] {
            assert_eq!(bits(n), text, "{n}");
        }
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (185, "3m05s"),
            (7999, "2h13m"),
            (352_800, "4d02h"),
            (86_400 * 123, "123d"),
        ] {
            assert_eq!(span(seconds), text, "{seconds}");
        }
        assert_eq!(cpu_seconds(12_345_678), "12.3");
    }

    #[test]
    fn every_state_and_fault_of_the_model_has_its_words() {
        assert_eq!(state("Restarting"), Some(UnitState::Restarting));
        assert_eq!(state("active"), None);
        assert_eq!(
            fault("UnStartable"),
            "it failed too often and is left alone"
        );
        assert_eq!(fault("Odd"), "it reports the fault Odd");
    }

    proptest! {
        #[test]
        fn a_column_never_overflows(n in any::<u64>()) {
            prop_assert!(amount(n).len() <= 5);
            prop_assert!(bits(n).len() <= 5);
            prop_assert!(span(n % (86_400 * 1000)).len() <= 6);
        }

        #[test]
        fn a_console_only_gets_printable_ascii(text in ".*") {
            prop_assert!(ascii(&text).bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
