//! Whom a request must be meant for. A web site on the Internet can make its own name lead to the
//! gateway's address and have a browser of the home read this page for it (DNS rebinding); such a
//! request carries that site's name.

use std::net::IpAddr;

/// Endings of names that only a home gives (RFC 6762, RFC 8375, RFC 6761; `lan` by custom).
const HOME_NAMES: [&str; 4] = [".lan", ".local", ".home.arpa", ".localhost"];

/// Whether a `Host` header (RFC 9110, 7.2) can only mean a machine of the home: an address, a name
/// without a dot, or a name that no one can register on the Internet.
#[must_use]
pub fn is_of_the_home(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<IpAddr>().is_ok();
    }
    let name = host.split(':').next().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || HOME_NAMES.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_home_are_served() {
        for good in [
            "192.168.1.1",
            "192.168.1.1:80",
            "[fe80::1]:80",
            "gateway",
            "GATEWAY.lan:8000",
            "gateway.local.",
            "hearth.home.arpa",
            "localhost:4000",
        ] {
            assert!(is_of_the_home(good), "{good}");
        }
        for bad in [
            "example.com",
            "192.168.1.1.example.com",
            "gateway.lan.example.com:80",
            "[example.com]",
            "evillan.com",
        ] {
            assert!(!is_of_the_home(bad), "{bad}");
        }
    }
}
