//! Why a request came to nothing, in words.

use super::admission::Refusal;
use super::needs::Missing;
use hearth_model::ServiceName;
use hearth_model::protocol::InitRefusal;

/// Why the last request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The machine has too little left to promise.
    Refused(Refusal),
    /// Another bridged service has the one address for such services.
    AddressTaken(ServiceName),
    /// Something on this machine could not be made; the text names it, the reason and the remedy.
    Prepare(String),
    /// netpath refused; the text is its reason, with names instead of numbers.
    Network(String),
    /// netpath did not answer in time.
    NetworkSilent,
    /// PID 1 refused.
    Init(InitRefusal),
    /// PID 1 did not answer in time.
    InitSilent,
    /// What it needs is not there.
    Need(Missing),
    /// It needs itself, by this way.
    Cycle(Vec<ServiceName>),
    /// Others ended for it, and it did not run: the text says why, and who runs again.
    Undone(String),
}

impl Trouble {
    /// One sentence: what, why, and what to do.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Trouble::Refused(refusal) => refusal.to_string(),
            Trouble::AddressTaken(by) => format!(
                "there is one address for a bridged service and {by} has it; stop {by} first"
            ),
            Trouble::Prepare(text) | Trouble::Network(text) | Trouble::Undone(text) => text.clone(),
            Trouble::Need(missing) => missing.words(),
            Trouble::Cycle(way) => {
                let way: Vec<&str> = way.iter().map(ServiceName::as_str).collect();
                format!(
                    "it needs itself ({}): nobody of these can be the first; change service.needs in one \
                     of their manifests",
                    way.join(" needs ")
                )
            }
            Trouble::NetworkSilent => {
                "hearth-netpath did not answer; try `hearth restart hearth-netpath`".to_owned()
            }
            Trouble::Init(reason) => format!("hearth-init refused: {reason}"),
            Trouble::InitSilent => "hearth-init did not answer; reboot the gateway".to_owned(),
        }
    }

    /// Whether it may be over when netpath comes back.
    #[must_use]
    pub fn is_netpaths(&self) -> bool {
        match self {
            Trouble::Network(_) | Trouble::NetworkSilent => true,
            Trouble::Refused(_)
            | Trouble::AddressTaken(_)
            | Trouble::Prepare(_)
            | Trouble::Need(_)
            | Trouble::Cycle(_)
            | Trouble::Undone(_)
            | Trouble::Init(_)
            | Trouble::InitSilent => false,
        }
    }
}
