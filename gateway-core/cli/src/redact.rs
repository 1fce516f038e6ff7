//! Takes out of a text what belongs to the people of a home: addresses, names of hosts and sites, mail addresses,
//! secrets and keys. What it stands for gets a name that is the same in the whole bundle (`home-1`), so that a
//! reader can still follow it. Pure: texts in, texts out.
//!
//! Where it is in doubt it takes too much. What it can not know is a secret that looks like any other word.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

/// What is taken out, and under which name something else stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Home,
    Internet,
    Ipv6,
    Mac,
    Mail,
    Name,
    Secret,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            What::Home => "home",
            What::Internet => "internet",
            What::Ipv6 => "ipv6",
            What::Mac => "mac",
            What::Mail => "mail",
            What::Name => "name",
            What::Secret => "secret",
        }
    }
}

/// What stands where a secret was.
const REMOVED: &str = "(removed)";

/// Words after which a value is a secret.
const SECRETS: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "private-key",
    "auth_key",
    "authorization",
    "cookie",
    "psk",
    "credential",
    "bearer",
    "session_id",
];

/// Of those, the ones whose value is the rest of the line (RFC 9110 11.6.2, RFC 6265).
const TO_THE_END: [&str; 2] = ["authorization", "cookie"];

/// Last labels of names of hosts and sites; every one of two letters is one too, but those of files.
const DOMAINS: [&str; 21] = [
    "com", "net", "org", "edu", "gov", "mil", "int", "info", "biz", "name", "dev", "app", "xyz",
    "online", "site", "shop", "cloud", "home", "local", "internal", "test",
];

/// Ends of file names that could be such a label.
const FILES: [&str; 9] = ["rs", "so", "sh", "py", "md", "gz", "xz", "ko", "js"];

/// Letters and digits in a row that are taken for a key.
const KEY_LENGTH: usize = 32;

/// The redactor of one bundle.
#[derive(Debug, Default)]
pub struct Redactor {
    /// Addresses that are the gateway's own: an address and a mask.
    own: Vec<(u32, u32)>,
    names: BTreeMap<(What, String), usize>,
    secrets: usize,
}

impl Redactor {
    /// One that leaves the gateway's, the resolver's and the services' addresses of these configurations as they are: they are
    /// the gateway's and its services', and nobody's.
    #[must_use]
    pub fn new(configurations: &[String]) -> Redactor {
        let mut own = Vec::new();
        for text in configurations {
            let mut section = "";
            let (mut subnet, mut prefix) = (None, 32);
            for line in text.lines().map(str::trim) {
                if line.starts_with('[') {
                    section = line.trim_matches(['[', ']']);
                }
                let Some((key, value)) = line.split_once('=') else {
                    continue;
                };
                let value = value.split('#').next().unwrap_or_default();
                let value = value.trim().trim_matches('"');
                let address = value.parse::<Ipv4Addr>().ok().map(u32::from);
                match (section, key.trim(), address) {
                    ("services", "subnet", Some(address)) => subnet = Some(address),
                    ("services", "prefix", None) => prefix = value.parse().unwrap_or(32),
                    ("lan" | "guest", "address" | "resolver", Some(address)) => {
                        own.push((address, u32::MAX))
                    }
                    (_, _, _) => {}
                }
            }
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(prefix))
                .unwrap_or(u32::MAX);
            own.extend(subnet.map(|subnet| (subnet & mask, mask)));
        }
        Redactor {
            own,
            ..Redactor::default()
        }
    }

    /// How many different ones of each kind were taken out, in words.
    #[must_use]
    pub fn removed(&self) -> Vec<String> {
        let mut counts: BTreeMap<What, usize> = BTreeMap::new();
        for (what, _) in self.names.keys() {
            *counts.entry(*what).or_default() += 1;
        }
        if self.secrets > 0 {
            counts.insert(What::Secret, self.secrets);
        }
        counts
            .iter()
            .map(|(what, n)| format!("{n} {}", what.word()))
            .collect()
    }

    /// A text without what is the people's.
    pub fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut in_key = false;
        for line in text.split_inclusive('\n') {
            let (body, end) = line
                .strip_suffix('\n')
                .map_or((line, ""), |body| (body, "\n"));
            let begins = body.contains("-----BEGIN ");
            if begins || in_key {
                in_key = !body.contains("-----END ");
                if begins {
                    out.push_str(REMOVED);
                    out.push_str(end);
                    self.secrets += 1;
                }
                continue;
            }
            let body = self.without_secrets(body);
            self.words(&body, &mut out);
            out.push_str(end);
        }
        out
    }

    /// A manifest (ARCHITECTURE.md, "Manifest"): names of environment variables stay, their values go.
    pub fn manifest(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut in_table, mut open) = (false, 0_usize);
        for line in text.lines() {
            let bare: String = line
                .trim()
                .chars()
                .filter(|c| !"\"' ".contains(*c))
                .collect();
            let braces = |line: &str, brace: char| line.matches(brace).count();
            if open > 0 {
                open = (open + braces(line, '{')).saturating_sub(braces(line, '}'));
                continue;
            }
            if bare.starts_with('[') {
                in_table = bare.contains("service.env]");
            }
            let is_table = bare.starts_with("env={") || bare.starts_with("service.env={");
            let is_one = in_table || bare.starts_with("env.") || bare.starts_with("service.env.");
            match line.split_once('=') {
                Some((key, value)) if is_table || is_one => {
                    open = braces(value, '{').saturating_sub(braces(value, '}'));
                    out.push_str(&format!("{}= {REMOVED}\n", key));
                    self.secrets += 1;
                }
                Some(_) | None => {
                    out.push_str(line);
                    out.push('\n');
                }
            }
        }
        self.text(&out)
    }

    /// A line without the values of what is called a secret.
    fn without_secrets(&mut self, line: &str) -> String {
        let lower = line.to_ascii_lowercase();
        let mut out = String::new();
        let mut at = 0;
        while let Some((start, end)) = secret(&lower, at) {
            out.push_str(line.get(at..start).unwrap_or_default());
            out.push_str(REMOVED);
            self.secrets += 1;
            at = end;
        }
        out.push_str(line.get(at..).unwrap_or_default());
        out
    }

    fn words(&mut self, line: &str, out: &mut String) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || ".:@%+-_".contains(c);
        let mut rest = line;
        let mut after_mac = false;
        let is_dhcp = line.contains("DHCP");
        while let Some(first) = rest.chars().next() {
            if !is_part(first) {
                out.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
                // What a browser asked for, and with which words, is its person's.
                if first == '?' {
                    let end = rest.find([' ', '"', '\t']).unwrap_or(rest.len());
                    if rest.get(..end).is_some_and(|query| query.contains('=')) {
                        out.push_str(REMOVED);
                        self.secrets += 1;
                        rest = rest.get(end..).unwrap_or_default();
                    }
                }
                continue;
            }
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            rest = tail;
            // What a sentence ends with is not of the word.
            let bare = word.trim_end_matches(['.', ':', '-', '%']);
            let behind = word.get(bare.len()..).unwrap_or_default();
            let told = match is_dhcp && after_mac {
                true => Some(self.named(What::Name, bare)),
                false => self.word(bare),
            };
            after_mac = is_mac(bare);
            out.push_str(told.as_deref().unwrap_or(bare));
            out.push_str(behind);
        }
    }

    /// What stands in a word's place; `None` where it may stay.
    fn word(&mut self, word: &str) -> Option<String> {
        if is_mac(word) {
            return Some(self.named(What::Mac, word));
        }
        let (head, port) = word.split_once(':').unwrap_or((word, ""));
        if let Ok(address) = head.parse::<Ipv4Addr>() {
            let named = self.address(address)?;
            return Some(match port {
                "" => named,
                port => format!("{named}:{port}"),
            });
        }
        if let Ok(address) = word.parse::<Ipv6Addr>() {
            let plain = address.is_unspecified() || address.is_loopback();
            return (!plain).then(|| self.named(What::Ipv6, word));
        }
        if word.contains('@') && word.len() > 1 {
            return Some(self.named(What::Mail, word));
        }
        if is_host(head) {
            let named = self.named(What::Name, head);
            return Some(format!(
                "{named}{}",
                word.get(head.len()..).unwrap_or_default()
            ));
        }
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_key =
            word.len() >= KEY_LENGTH && digits > 4 && digits < word.len() && !word.contains('.');
        is_key.then(|| {
            self.secrets += 1;
            REMOVED.to_owned()
        })
    }

    fn address(&mut self, address: Ipv4Addr) -> Option<String> {
        let number = u32::from(address);
        let is_own = self.own.iter().any(|(own, mask)| number & mask == *own);
        // Masks, "any" and "all" are nobody's.
        let [first, ..] = address.octets();
        if is_own
            || address.is_loopback()
            || first == 0
            || first == 255
            || number.trailing_zeros() >= 16
        {
            return None;
        }
        let what = match address.is_private() {
            true => What::Home,
            false => What::Internet,
        };
        Some(self.named(what, &address.to_string()))
    }

    fn named(&mut self, what: What, text: &str) -> String {
        let known = self
            .names
            .keys()
            .filter(|(other, _)| *other == what)
            .count();
        let number = *self
            .names
            .entry((what, text.to_ascii_lowercase()))
            .or_insert(known + 1);
        format!("{}-{number}", what.word())
    }
}

/// The first value of a secret from `at` on.
fn secret(lower: &str, at: usize) -> Option<(usize, usize)> {
    let mut from = at;
    loop {
        let rest = lower.get(from..)?;
        let found = SECRETS
            .iter()
            .filter_map(|word| Some((rest.find(word)?, *word)));
        let (place, word) = found.min_by_key(|(place, _)| *place)?;
        let after = from + place + word.len();
        let tail = lower.get(after..)?;
        // More of the word, a quote, then what binds a value to it.
        let more =
            tail.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-\"'".contains(c));
        let bound = more
            .trim_start()
            .strip_prefix(['=', ':'])
            .map(str::trim_start);
        let bound = bound.or_else(|| (word == "bearer").then(|| tail.trim_start()));
        let Some(value) = bound.filter(|value| !value.is_empty()) else {
            from = after;
            continue;
        };
        let start = lower.len() - value.len();
        let end = match value.chars().next() {
            _ if TO_THE_END.contains(&word) => value.len(),
            Some(quote @ ('"' | '\'')) => value
                .get(1..)?
                .find(quote)
                .map_or(value.len(), |end| end + 2),
            Some(_) | None => value
                .find([' ', '\t', '&', ',', ';', '"', '}'])
                .unwrap_or(value.len()),
        };
        return Some((start, start + end.max(1)));
    }
}

fn is_mac(word: &str) -> bool {
    let parts: Vec<&str> = word.split([':', '-']).collect();
    let is_byte =
        |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 6 && parts.iter().all(is_byte)
}

fn is_host(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let labels: Vec<&str> = lower.split('.').collect();
    let Some((last, others)) = labels.split_last() else {
        return false;
    };
    let is_label = |label: &&str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
    };
    let is_domain = DOMAINS.contains(last)
        || (last.len() == 2
            && last.bytes().all(|c| c.is_ascii_lowercase())
            && !FILES.contains(last));
    !others.is_empty() && others.iter().all(is_label) && is_domain
}

#[cfg(test)]
mod tests;
