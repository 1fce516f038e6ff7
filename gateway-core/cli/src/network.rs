//! `hearth net`: asks what the network does, who talks, and what would become of a packet.

use crate::args::{Net, NetAction, Sessions, Trace};
use crate::run::{Trouble, show};
use hearth_client::client::Api;
use hearth_client::render::net;

/// Carries it out.
pub(crate) async fn net(api: &Api, args: &Net) -> Result<(), Trouble> {
    match &args.action {
        None => {
            let answer = api.get("/v1/net").await?;
            show(&args.format, &answer, |all| net::net(&all))
        }
        Some(NetAction::Sessions(args)) => sessions(api, args).await,
        Some(NetAction::Trace(args)) => trace(api, args).await,
    }
}

async fn sessions(api: &Api, args: &Sessions) -> Result<(), Trouble> {
    let words = [("host", &args.host), ("service", &args.service)];
    let path = query(
        "/v1/net/sessions",
        words.map(|(key, word)| (key, word.as_deref())),
    );
    let answer = api.get(&path).await?;
    show(&args.format, &answer, |all| net::sessions(&all))
}

async fn trace(api: &Api, args: &Trace) -> Result<(), Trouble> {
    let protocol = match (args.udp, args.icmp) {
        (true, _) => "udp",
        (false, true) => "icmp",
        (false, false) => "tcp",
    };
    let words = [
        ("source", Some(args.source.as_str())),
        ("destination", Some(args.destination.as_str())),
        ("port", args.port.as_deref()),
        ("protocol", Some(protocol)),
        ("from", args.from.as_deref()),
    ];
    let answer = api.get(&query("/v1/net/trace", words)).await?;
    show(&args.format, &answer, |told| net::trace(&told))
}

/// A path with the words that were given; whatever is no letter or digit is encoded (RFC 3986 2.1).
fn query<'a>(path: &str, words: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut out = path.to_owned();
    let given = words
        .into_iter()
        .filter_map(|(key, word)| Some((key, word?)));
    for ((key, word), mark) in given.zip(core::iter::once('?').chain(core::iter::repeat('&'))) {
        out.push(mark);
        out.push_str(key);
        out.push('=');
        for byte in word.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_word_travels_as_it_is() {
        let words = [
            ("host", None),
            ("a", Some("10.0.0.1:80")),
            ("b", Some("x&y= \u{e9}")),
        ];
        assert_eq!(
            query("/v1/x", words),
            "/v1/x?a=10.0.0.1%3A80&b=x%26y%3D%20%C3%A9"
        );
        assert_eq!(query("/v1/x", [("a", None)]), "/v1/x");
    }
}
