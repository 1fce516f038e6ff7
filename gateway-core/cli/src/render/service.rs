//! The text of `hearth status NAME`: all that is known of one service or process of the gateway.

use super::wrap;
use crate::words::{amount, ascii, refused, span, trouble, waits};
use hearth_model::api::{Kind, Service};
use hearth_model::state::Fault;

/// Its lines; what there is nothing to say of has none.
#[must_use]
pub fn service(s: &Service) -> String {
    let mut out = format!("{}: {}", ascii(&s.name), ascii(&s.title));
    if !s.version.is_empty() {
        out.push_str(&format!(", version {}", ascii(&s.version)));
    }
    out.push('\n');
    let process = match s.pid {
        0 => String::new(),
        pid => format!(", process {pid}"),
    };
    let state = format!("{} for {}{process}", s.state, span(s.since_seconds));
    let fault = (s.fault != Fault::NoFault.to_string()).then(|| s.fault.clone());
    let wanted = match (s.kind, s.wanted) {
        (Kind::Service, false) => Some("the household wants it stopped".to_owned()),
        (Kind::Service, true) | (Kind::System, _) => None,
    };
    let restarts = (s.restarts > 0).then(|| format!("{} by itself", s.restarts));
    let needs = (!s.life.needs.is_empty()).then(|| s.life.needs.join(", "));
    let of_max = |now: Option<u64>, max: Option<u64>| match (now, max) {
        (Some(now), Some(max)) => Some(format!("{} of {}", amount(now), amount(max))),
        (Some(now), None) => Some(amount(now)),
        (None, _) => None,
    };
    for (label, text) in [
        ("State     ", Some(state)),
        ("Fault     ", fault),
        ("          ", trouble(s)),
        ("Waits     ", waits(s)),
        ("Says      ", s.life.says.clone()),
        ("Wanted    ", wanted),
        ("Needs     ", needs),
        ("Restarts  ", restarts),
        ("Rank      ", s.rank.map(|rank| rank.to_string())),
        ("Memory    ", of_max(s.memory_bytes, s.memory_max_bytes)),
        ("Storage   ", of_max(s.storage_bytes, s.storage_max_bytes)),
        ("Address   ", s.address.clone()),
        (
            "Ports     ",
            (!s.listens.is_empty()).then(|| s.listens.join(", ")),
        ),
        ("Refused   ", refused(s)),
    ] {
        if let Some(text) = text {
            out.push_str(&wrap(label, &ascii(&text)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::service as row;

    #[test]
    fn a_service_that_waits_says_for_what_and_one_that_failed_what_to_do() {
        let mut one = row("nginx");
        (one.state, one.restarts) = ("Starting".into(), 0);
        one.life.waits = Some("until it listens at tcp 80, at most 30 s".into());
        one.life.says = Some("reads\x1b its files".into());
        one.life.needs = vec!["dnsmasq".into()];
        let text = service(&one);
        assert!(text.starts_with("nginx: "), "{text}");
        assert!(text.contains("\nState     Starting for "), "{text}");
        assert!(
            text.contains("\nWaits     it waits until it listens at tcp 80, at most 30 s"),
            "{text}"
        );
        assert!(text.contains("\nSays      reads? its files\n"), "{text}");
        assert!(text.contains("\nNeeds     dnsmasq\n"), "{text}");
        assert!(!text.contains("Fault"), "{text}");
        // and after its end
        (one.state, one.pid) = ("Idle".into(), 0);
        (one.fault, one.life) = ("UnStartable".into(), Default::default());
        one.message = "it ended with exit status 1; see `hearth logs nginx`".into();
        let text = service(&one);
        assert!(
            text.contains("\nFault     UnStartable\n          it ended with exit status 1; see"),
            "{text}"
        );
    }
}
