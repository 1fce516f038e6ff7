//! What survives a reboot: each service's number, whether the household wants it to run, and how it
//! ranks its services.

use core::fmt;
use hearth_model::limits::SERVICES_MAX;
use hearth_model::{ServiceId, ServiceName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a service should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It should run.
    Running,
    /// It should not.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    number: ServiceId,
    /// `None`: the household never said; the manifest's `autostart` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted: Option<Wanted>,
}

/// The register. A number is never given twice, also not after its package is gone: the data of
/// the package still belongs to the number's user ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    services: BTreeMap<ServiceName, Entry>,
    /// What the household ranked, the most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ranking: Vec<ServiceName>,
}

/// Every number is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNumberLeft;

impl fmt::Display for NoNumberLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "all {SERVICES_MAX} service numbers are given; remove a package and its data"
        )
    }
}

impl Register {
    /// The register in this text; two services with one number are an error as well.
    ///
    /// # Errors
    /// As JSON; custom for a number that is there twice.
    pub fn from_json(text: &str) -> Result<Register, serde_json::Error> {
        let register: Register = serde_json::from_str(text)?;
        let mut seen = [false; SERVICES_MAX];
        for (name, entry) in &register.services {
            if let Some(seen) = seen.get_mut(entry.number.index())
                && core::mem::replace(seen, true)
            {
                let text = format!("number {} of {name} is another service's too", entry.number);
                return Err(serde::de::Error::custom(text));
            }
        }
        Ok(register)
    }

    /// The register as text, one service a line or more, for people as well.
    ///
    /// # Errors
    /// As JSON; none is known for this type.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The service's number; the lowest free one where it has none yet.
    ///
    /// # Errors
    /// [`NoNumberLeft`].
    pub fn number(&mut self, name: &ServiceName) -> Result<ServiceId, NoNumberLeft> {
        if let Some(entry) = self.services.get(name) {
            return Ok(entry.number);
        }
        let taken = |id: ServiceId| self.services.values().any(|entry| entry.number == id);
        let numbers = 0..u16::try_from(SERVICES_MAX).unwrap_or(u16::MAX);
        let free = numbers
            .filter_map(|n| ServiceId::new(n).ok())
            .find(|&id| !taken(id));
        let number = free.ok_or(NoNumberLeft)?;
        self.services.insert(
            name.clone(),
            Entry {
                number,
                wanted: None,
            },
        );
        Ok(number)
    }

    /// What the household said last.
    #[must_use]
    pub fn wanted(&self, name: &ServiceName) -> Option<Wanted> {
        self.services.get(name)?.wanted
    }

    /// Keeps what the household said.
    pub fn set_wanted(&mut self, name: &ServiceName, wanted: Wanted) {
        if let Some(entry) = self.services.get_mut(name) {
            entry.wanted = Some(wanted);
        }
    }

    /// What the household ranked, the most important first. A service that it did not name comes after
    /// these.
    #[must_use]
    pub fn ranking(&self) -> &[ServiceName] {
        &self.ranking
    }

    /// Puts these first, in this order; what was ranked before follows in its order. Without a name,
    /// nobody is ranked any more.
    pub fn set_ranking(&mut self, first: Vec<ServiceName>) {
        let before = core::mem::take(&mut self.ranking);
        if first.is_empty() {
            return;
        }
        for name in first.into_iter().chain(before) {
            if !self.ranking.contains(&name) {
                self.ranking.push(name);
            }
        }
    }

    /// PID 1 runs a service under this number: that is a fact, and the register follows it. Whoever
    /// had the number gets another one when it is asked for next.
    pub fn follow(&mut self, name: &ServiceName, number: ServiceId) {
        let wanted = self.wanted(name);
        self.services.retain(|_, entry| entry.number != number);
        self.services.insert(name.clone(), Entry { number, wanted });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    #[test]
    fn numbers_and_wishes_survive() {
        // given two services, one of which was stopped
        let mut register = Register::default();
        let (web, dns) = (name("web"), name("dns"));
        let numbers = (
            register.number(&web).unwrap(),
            register.number(&dns).unwrap(),
        );
        register.set_wanted(&web, Wanted::Stopped);
        // when the register is written and read
        let mut back = Register::from_json(&register.to_json().unwrap()).unwrap();
        // then nothing changed
        assert_eq!(
            (back.number(&web).unwrap(), back.number(&dns).unwrap()),
            numbers
        );
        assert_eq!(
            (back.wanted(&web), back.wanted(&dns)),
            (Some(Wanted::Stopped), None)
        );
    }

    #[test]
    fn who_is_not_named_follows_in_the_order_so_far() {
        let mut register = Register::default();
        let names = |text: &str| text.split(' ').map(name).collect::<Vec<_>>();
        register.set_ranking(names("a b c d"));
        register.set_ranking(names("d b d"));
        // and it survives
        let mut back = Register::from_json(&register.to_json().unwrap()).unwrap();
        assert_eq!(back.ranking(), names("d b a c"));
        back.set_ranking(Vec::new());
        assert_eq!(back, Register::default());
    }

    #[test]
    fn a_full_register_refuses_and_changes_nothing() {
        let mut register = Register::default();
        for n in 0..SERVICES_MAX {
            register.number(&name(&format!("s{n}"))).unwrap();
        }
        assert_eq!(register.number(&name("one-more")), Err(NoNumberLeft));
        assert_eq!(
            register.number(&name("s7")),
            ServiceId::new(7).map_err(|_| NoNumberLeft)
        );
    }

    #[test]
    fn a_damaged_register_is_an_error() {
        for text in [
            "",
            "{}x",
            r#"{"services":{"A":{"number":0}}}"#,
            r#"{"services":{"a":{"number":256}}}"#,
            r#"{"services":{"a":{"number":0},"b":{"number":0}}}"#,
            r#"{"services":{},"other":1}"#,
        ] {
            assert!(Register::from_json(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_register_follows_what_runs() {
        let mut register = Register::default();
        let first = register.number(&name("a")).unwrap();
        register.follow(&name("b"), first);
        assert_eq!(register.number(&name("b")), Ok(first));
        assert_ne!(register.number(&name("a")), Ok(first));
    }
}
