//! Everything that can be asked of the API, as a table: the manager makes its routes of it, the OpenAPI document
//! names them, and a request with an option that is not here is refused.

mod words;

pub use words::{Word, WordKind};

/// One thing that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// How the gateway is.
    Status,
    /// What runs.
    Services,
    /// One service.
    Service,
    /// What a service printed.
    Logs,
    /// Start, stop or restart a service.
    Act,
    /// Who comes before whom.
    Ranking,
    /// Rank services.
    Rank,
    /// What each service uses now.
    Top,
    /// What is wrong.
    Doctor,
    /// What happened.
    Events,
    /// Port-forwards.
    Forwards,
    /// Add a port-forward.
    AddForward,
    /// Remove a port-forward.
    RemoveForward,
    /// Signed usage records.
    Usage,
    /// The hour that is not over.
    OpenUsage,
    /// The key of the records.
    UsageKey,
    /// What the network does.
    Net,
    /// Connections.
    Sessions,
    /// What would happen to a packet.
    Trace,
    /// Go down.
    System,
    /// The OpenAPI document.
    OpenApi,
}

/// A method of HTTP (RFC 9110 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
    /// Removes.
    Delete,
}

impl Method {
    /// As it stands in a request.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

impl Operation {
    /// Each of them.
    pub const ALL: [Operation; 21] = [
        Operation::Status,
        Operation::Services,
        Operation::Service,
        Operation::Logs,
        Operation::Act,
        Operation::Ranking,
        Operation::Rank,
        Operation::Top,
        Operation::Doctor,
        Operation::Events,
        Operation::Forwards,
        Operation::AddForward,
        Operation::RemoveForward,
        Operation::Usage,
        Operation::OpenUsage,
        Operation::UsageKey,
        Operation::Net,
        Operation::Sessions,
        Operation::Trace,
        Operation::System,
        Operation::OpenApi,
    ];

    /// Method and path; `{...}` stands for one of [`Operation::path_words`].
    #[must_use]
    pub fn route(self) -> (Method, &'static str) {
        match self {
            Operation::Status => (Method::Get, "/v1/status"),
            Operation::Services => (Method::Get, "/v1/services"),
            Operation::Service => (Method::Get, "/v1/services/{name}"),
            Operation::Logs => (Method::Get, "/v1/services/{name}/logs"),
            Operation::Act => (Method::Post, "/v1/services/{name}/{verb}"),
            Operation::Ranking => (Method::Get, "/v1/rank"),
            Operation::Rank => (Method::Post, "/v1/rank"),
            Operation::Top => (Method::Get, "/v1/top"),
            Operation::Doctor => (Method::Get, "/v1/doctor"),
            Operation::Events => (Method::Get, "/v1/events"),
            Operation::Forwards => (Method::Get, "/v1/forwards"),
            Operation::AddForward => (Method::Post, "/v1/forwards/{transport}/{ports}"),
            Operation::RemoveForward => (Method::Delete, "/v1/forwards/{transport}/{ports}"),
            Operation::Usage => (Method::Get, "/v1/usage"),
            Operation::OpenUsage => (Method::Get, "/v1/usage/open"),
            Operation::UsageKey => (Method::Get, "/v1/usage/key"),
            Operation::Net => (Method::Get, "/v1/net"),
            Operation::Sessions => (Method::Get, "/v1/net/sessions"),
            Operation::Trace => (Method::Get, "/v1/net/trace"),
            Operation::System => (Method::Post, "/v1/system/{verb}"),
            Operation::OpenApi => (Method::Get, "/v1/openapi.json"),
        }
    }

    /// Whether it leaves everything as it is; others are root's alone.
    #[must_use]
    pub fn reads(self) -> bool {
        self.route().0 == Method::Get
    }

    /// What it is, for a person.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Operation::Status => "How the gateway is: addresses, budget, services, problems.",
            Operation::Services => "What runs: each service and each part of the gateway.",
            Operation::Service => "One service or part of the gateway.",
            Operation::Logs => "What a service printed, one line of output a line.",
            Operation::Act => {
                "Start, stop or restart a service. The wish is on disk before the answer."
            }
            Operation::Ranking => {
                "Who comes before whom, and what that means, the most important first."
            }
            Operation::Rank => "Rank services, at once.",
            Operation::Top => "What each service has used so far; two answers make rates.",
            Operation::Doctor => "What is wrong: asks resolvers and the next hop, up to 2 seconds.",
            Operation::Events => "What happened since the boot; followed, as server-sent events.",
            Operation::Forwards => {
                "Ports of the Internet's address that lead into the home or to services."
            }
            Operation::AddForward => "Add a port-forward.",
            Operation::RemoveForward => "Remove a port-forward.",
            Operation::Usage => "Every usage record, then the head: one signed line each.",
            Operation::OpenUsage => "What services used since the last full hour, not signed yet.",
            Operation::UsageKey => "The public key of the usage records, PEM.",
            Operation::Net => "Links, queues, who talks most, what was dropped and why.",
            Operation::Sessions => "Connections that pass now.",
            Operation::Trace => "What would happen to a packet, without sending one.",
            Operation::System => "Switch the gateway off, or start it again.",
            Operation::OpenApi => "This document.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_names_its_words_and_no_route_is_there_twice() {
        for (at, operation) in Operation::ALL.into_iter().enumerate() {
            let (_, path) = operation.route();
            let words: Vec<&str> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let told: Vec<&str> = operation
                .path_words()
                .iter()
                .map(|word| word.name)
                .collect();
            assert_eq!(words, told, "{path}");
            for other in &Operation::ALL[at + 1..] {
                assert_ne!(other.route(), operation.route());
            }
        }
    }
}
