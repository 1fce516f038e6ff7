//! Whom a gateway trusts: `trust.toml`, the vendors' public keys. Each key is bound to one vendor's name space,
//! and to some of its names where they are listed.
//!
//! ```toml
//! [[key]]
//! vendor = "my-company"          # packages of this vendor, no others
//! names = ["radio", "camera"]    # only these; all of the vendor's where none are listed
//! until = "2036-01-01"           # the first day on which nothing of this key is installed any more
//! revoked = "stolen in May 2031" # why nothing of this key runs any more
//! public = """
//! -----BEGIN PUBLIC KEY-----
//! ...
//! -----END PUBLIC KEY-----
//! """
//! ```

use crate::signature::{KeyId, PublicKey};
use hearth_model::{ServiceName, calendar};
use serde::Deserialize;

/// Largest file of keys, bytes: some three hundred keys.
pub const TRUST_MAX: u64 = 128 * 1024;

/// A key and what it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Whose it is.
    pub vendor: ServiceName,
    /// The services it signs; `None`: all of the vendor's.
    pub names: Option<Vec<ServiceName>>,
    /// The first day, in days since 1970, on which nothing of it is installed.
    pub until: Option<u64>,
    /// Why nothing of it runs.
    pub revoked: Option<String>,
}

/// The keys of a gateway. Empty, it trusts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    keys: Vec<TrustedKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    vendor: String,
    names: Option<Vec<String>>,
    until: Option<String>,
    revoked: Option<String>,
    public: String,
}

impl Trust {
    /// Reads a file of keys. `file` is only named in the error.
    ///
    /// # Errors
    /// The first fault, as `file: what; remedy`: of a file that is half understood, no key is trusted.
    pub fn parse(file: &str, text: &str) -> Result<Trust, String> {
        let read: File =
            toml::from_str(text).map_err(|e| format!("{file}: {}", e.to_string().trim_end()))?;
        let keys = read.key.into_iter().enumerate().map(|(n, row)| {
            row.check()
                .map_err(|why| format!("{file}: key {}: {why}", n + 1))
        });
        Ok(Trust {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// Both together: what one of them revokes is revoked.
    #[must_use]
    pub fn and(mut self, other: Trust) -> Trust {
        self.keys.extend(other.keys);
        self
    }

    /// The keys of this name, a revoked one first: whoever takes the first takes no revoked key for a good one.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Vec<&TrustedKey> {
        let mut keys: Vec<_> = self.keys.iter().filter(|row| row.key.id() == id).collect();
        keys.sort_by_key(|row| row.revoked.is_none());
        keys
    }
}

impl Row {
    fn check(self) -> Result<TrustedKey, String> {
        let name = |text: &str| ServiceName::new(text).map_err(|why| format!("{text:?}: {why}"));
        let day = |text: &str| {
            calendar::day(text)
                .ok_or_else(|| format!("until: {text:?} is no day; write \"2036-01-31\""))
        };
        let names = self
            .names
            .map(|names| names.iter().map(|text| name(text)).collect());
        Ok(TrustedKey {
            key: PublicKey::from_pem(&self.public).map_err(|e| format!("public: {e}"))?,
            vendor: name(&self.vendor)?,
            names: names.transpose()?,
            until: self.until.as_deref().map(day).transpose()?,
            revoked: self.revoked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SecretKey;
    use proptest::prelude::*;

    fn row(n: u8, more: &str) -> String {
        let key = SecretKey::from_random(&[n; 32]).unwrap();
        let pem = key.public().to_pem().unwrap();
        format!("[[key]]\nvendor = \"acme\"\npublic = \"\"\"\n{pem}\"\"\"\n{more}\n")
    }

    #[test]
    fn a_file_is_understood_whole_or_trusted_in_nothing() {
        // given a good row
        let good = row(1, "names = [\"radio\"]\nuntil = \"2036-01-01\"");
        let trust = Trust::parse("t", &good).unwrap();
        let key = SecretKey::from_random(&[1; 32]).unwrap().public().clone();
        assert_eq!(trust.find(key.id())[0].key, key);
        // when a second one is not, then the place and the reason are told
        for (bad, words) in [
            (
                "[[key]]\nvendor = \"acme\"\npublic = \"none\"\n".to_owned(),
                "key 2: public: no P-256 key",
            ),
            (
                row(2, "until = \"soon\""),
                "key 2: until: \"soon\" is no day",
            ),
            (
                row(2, "names = [\"No\"]"),
                "key 2: \"No\": a service name has only",
            ),
            (row(2, "colour = 1"), "unknown field `colour`"),
            ("[key]\n".to_owned(), "t: "),
        ] {
            let text = Trust::parse("t", &format!("{good}{bad}")).unwrap_err();
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(Trust::parse("t", ""), Ok(Trust::default()));
    }

    #[test]
    fn what_one_file_revokes_is_revoked() {
        let good = Trust::parse("a", &row(1, "")).unwrap();
        let revoked = Trust::parse("b", &row(1, "revoked = \"stolen\"")).unwrap();
        let id = SecretKey::from_random(&[1; 32]).unwrap().public().id();
        for both in [good.clone().and(revoked.clone()), revoked.and(good)] {
            assert_eq!(both.find(id)[0].revoked.as_deref(), Some("stolen"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\[\\[key\\]\\]|vendor = |\"|public|\n|=|[a-z]|-){0,20}") {
            let _either = Trust::parse("t", &text);
        }
    }
}
