//! What keeps one service from being as it should be: its own state, what it waits for and by whom, and what
//! its gates refuse. Pure.

use crate::words::{refused, trouble, waits};
use hearth_model::api::{Kind, Status};
use hearth_model::state::UnitState;

/// Reasons, the weightiest first; empty where there is none, `None` where there is no such service.
#[must_use]
pub fn why(status: &Status, name: &str) -> Option<Vec<String>> {
    let service = status.services.iter().find(|one| one.name == name)?;
    let mut reasons = Vec::new();
    if let Some(trouble) = trouble(service) {
        reasons.push(format!("it is {}: {trouble}", service.state));
    } else if !service.wanted && service.kind == Kind::Service {
        reasons.push(format!("it was stopped; hearth start {name}"));
    } else if service.state != UnitState::Active.to_string() {
        let waits = waits(service).map_or(String::new(), |waits| format!(": {waits}"));
        reasons.push(format!("it is {}{waits}", service.state));
    }
    for one in &status.congestion {
        if one.victims.iter().any(|victim| victim == name) {
            reasons.push(one.text.clone());
        }
    }
    for one in &status.congestion {
        if one.culprit == name {
            reasons.push(format!("it is in the way of others: {}", one.text));
        }
    }
    reasons.extend(refused(service));
    Some(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{gateway, service};
    use hearth_model::api::Congestion;

    #[test]
    fn reasons_are_told_to_who_waits_and_to_who_is_in_the_way() {
        // given a service that is well, one that waits and the one that is in its way
        let mut status = gateway();
        status.services = vec![service("nginx"), service("video"), service("backup")];
        status.congestion = vec![Congestion {
            resource: "uplink".into(),
            culprit: "backup".into(),
            victims: vec!["video".into()],
            since_seconds: 9,
            text: "backup takes so much of the line to the Internet that video waits; hearth rank \
                   video backup: video then comes before backup"
                .into(),
            advice: String::new(),
        }];
        assert_eq!(why(&status, "nginx"), Some(Vec::new()));
        assert_eq!(
            why(&status, "video").unwrap(),
            [status.congestion[0].text.clone()]
        );
        let told = why(&status, "backup").unwrap();
        assert!(
            told[0].starts_with("it is in the way of others: backup takes"),
            "{told:?}"
        );
        assert_eq!(why(&status, "nobody"), None);
        // and one that does not run says so first
        let row = &mut status.services[1];
        (row.state, row.message) = ("Restarting".into(), "it ended with exit status 1".into());
        let told = why(&status, "video").unwrap();
        assert_eq!(told[0], "it is Restarting: it ended with exit status 1");
        assert_eq!(told.len(), 2);
    }
}
