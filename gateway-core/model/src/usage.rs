//! Usage records: what each service used in each hour, as the gateway's manager writes them and as anyone
//! can check them. One record is one line, `JSON TAB signature`: the signature is ECDSA with P-256 and
//! SHA-256 (FIPS 186-5) of the JSON's bytes, DER, in hexadecimal digits; `previous` in the JSON is the SHA-256
//! of the JSON before, so that no record can be changed, removed or moved without a trace. The [`Head`] says
//! how many there are and which is the last, so that none can be cut off the end unless an older head is
//! put back as well: against the holder of the whole disk only a copy kept elsewhere helps.

use crate::hex;
use core::fmt;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// `previous` of the first record.
pub const NO_PREVIOUS: &str = "";

/// What a service used; sums only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Figures {
    /// Processor time, microseconds (cgroup v2 `cpu.stat` `usage_usec`: in user space and in the kernel).
    pub cpu_usec: u64,
    /// Memory times the seconds it was held, bytes x seconds (`memory.current`).
    pub memory_byte_seconds: u64,
    /// Storage times the seconds it was held while the gateway ran, bytes x seconds: its data on the disk,
    /// by the file system's quota, also while the service rests. Records of firmware 0.1 have none.
    #[serde(default)]
    pub storage_byte_seconds: u64,
    /// Read from disks, bytes (`io.stat` `rbytes`).
    pub read_bytes: u64,
    /// Written to disks, bytes (`io.stat` `wbytes`).
    pub written_bytes: u64,
    /// Received over its network link, bytes.
    pub received_bytes: u64,
    /// Sent over its network link, bytes.
    pub sent_bytes: u64,
}

impl Figures {
    /// Both together; each sum stops at the largest number.
    #[must_use]
    pub fn and(self, other: Figures) -> Figures {
        Figures {
            cpu_usec: self.cpu_usec.saturating_add(other.cpu_usec),
            memory_byte_seconds: self
                .memory_byte_seconds
                .saturating_add(other.memory_byte_seconds),
            storage_byte_seconds: self
                .storage_byte_seconds
                .saturating_add(other.storage_byte_seconds),
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            written_bytes: self.written_bytes.saturating_add(other.written_bytes),
            received_bytes: self.received_bytes.saturating_add(other.received_bytes),
            sent_bytes: self.sent_bytes.saturating_add(other.sent_bytes),
        }
    }
}

/// What one service used in one hour, or in the part of it that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Number of the record, from 0, over all months.
    pub sequence: u64,
    /// The service's name.
    pub service: String,
    /// Start, seconds since 1970 (UTC).
    pub from: u64,
    /// End, seconds since 1970 (UTC).
    pub until: u64,
    /// How it ended.
    pub end: RecordEnd,
    /// What was used.
    pub used: Figures,
    /// SHA-256 of the JSON of the record before, hexadecimal; [`NO_PREVIOUS`] for the first.
    pub previous: String,
}

/// How a record came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordEnd {
    /// The hour was over.
    Hour,
    /// The gateway was shut down; nothing is missing.
    Shutdown,
    /// The gateway went down unannounced: what was used after `until`, a minute at most, is in no record.
    Interrupted,
}

/// How many records there are, and which is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of records, over all months.
    pub records: u64,
    /// SHA-256 of the JSON of the last one, hexadecimal; [`NO_PREVIOUS`] where there is none.
    pub last: String,
}

/// Why a line or a chain is not what a gateway with this key wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No record with a signature.
    Malformed(String),
    /// Signed by another key, or changed.
    Signature,
    /// Its number does not follow the one before.
    Sequence {
        /// The number that was due.
        expected: u64,
        /// The number it has.
        found: u64,
    },
    /// It does not follow from the one before.
    Previous,
    /// Records are missing at the end.
    End {
        /// How many there are by the head.
        expected: u64,
        /// How many were found.
        found: u64,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Malformed(why) => write!(f, "this is no usage record: {why}"),
            Broken::Signature => {
                f.write_str("the signature does not fit: changed, or signed by another gateway")
            }
            Broken::Sequence { expected, found } => write!(
                f,
                "record {expected} was due, this is record {found}: some are missing, twice there, or moved"
            ),
            Broken::Previous => f.write_str("it does not follow from the record before"),
            Broken::End { expected, found } => write!(
                f,
                "the gateway has written {expected} records, the last one here is record {found}, \
                 counted from 1: the end is missing"
            ),
        }
    }
}

impl std::error::Error for Broken {}

/// The gateway's private key.
pub struct Key(SigningKey);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key of these 32 bytes, big-endian; `None` for the few that are no key (0, or too large).
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Key> {
        SigningKey::from_slice(bytes).ok().map(Key)
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// A value as a signed line, without its end of line, and the SHA-256 of its JSON.
    ///
    /// # Errors
    /// [`Broken::Malformed`] for a value that has no JSON.
    pub fn seal<T: Serialize>(&self, value: &T) -> Result<(String, String), Broken> {
        let json = serde_json::to_string(value).map_err(|e| Broken::Malformed(e.to_string()))?;
        let signature: Signature = self.0.sign(json.as_bytes());
        let hash = digest(&json);
        Ok((
            format!("{json}\t{}", hex::text(signature.to_der().as_bytes())),
            hash,
        ))
    }
}

/// The gateway's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// As `openssl` writes it (RFC 7468, SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`Broken::Malformed`]; no key is known that has no such form.
    pub fn to_pem(&self) -> Result<String, Broken> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|e| Broken::Malformed(e.to_string()))
    }

    /// The key in such a text.
    ///
    /// # Errors
    /// [`Broken::Malformed`].
    pub fn from_pem(text: &str) -> Result<PublicKey, Broken> {
        VerifyingKey::from_public_key_pem(text)
            .map(PublicKey)
            .map_err(|e| Broken::Malformed(format!("no public key of P-256: {e}")))
    }

    /// The value of a signed line and the SHA-256 of its JSON.
    ///
    /// # Errors
    /// [`Broken::Malformed`], [`Broken::Signature`].
    pub fn open<T: DeserializeOwned>(&self, line: &str) -> Result<(T, String), Broken> {
        let malformed = |why: &str| Broken::Malformed(why.to_owned());
        let (json, signature) = line
            .split_once('\t')
            .ok_or_else(|| malformed("no tab between record and signature"))?;
        let signature = hex::bytes(signature)
            .and_then(|bytes| Signature::from_der(&bytes).ok())
            .ok_or_else(|| malformed("the signature is no ECDSA signature in hexadecimal"))?;
        self.0
            .verify(json.as_bytes(), &signature)
            .map_err(|_| Broken::Signature)?;
        let value = serde_json::from_str(json).map_err(|e| Broken::Malformed(e.to_string()))?;
        Ok((value, digest(json)))
    }
}

/// Follows a chain record by record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    head: Option<Head>,
}

impl Chain {
    /// A chain that goes on behind `head`.
    #[must_use]
    pub fn after(head: Head) -> Chain {
        Chain { head: Some(head) }
    }

    /// One more line: its record, if it is the one that was due. The first line may be any record, since
    /// old months may be gone.
    ///
    /// # Errors
    /// [`Broken`]; the chain is then as before.
    pub fn follow(&mut self, key: &PublicKey, line: &str) -> Result<Record, Broken> {
        let (record, hash) = key.open::<Record>(line)?;
        match &self.head {
            Some(head) if record.sequence != head.records => {
                return Err(Broken::Sequence {
                    expected: head.records,
                    found: record.sequence,
                });
            }
            Some(head) if record.previous != head.last => return Err(Broken::Previous),
            None if record.sequence == 0 && record.previous != NO_PREVIOUS => {
                return Err(Broken::Previous);
            }
            Some(_) | None => {}
        }
        self.head = Some(Head {
            records: record.sequence.saturating_add(1),
            last: hash,
        });
        Ok(record)
    }

    /// Where the chain has come to; `None` before the first record.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Whether it ends where the gateway says that it ends.
    ///
    /// # Errors
    /// [`Broken::End`], or [`Broken::Previous`] where the number is right and the record is not.
    pub fn ends_at(&self, head: &Head) -> Result<(), Broken> {
        let mine = self.head.clone().unwrap_or_default();
        if mine.records != head.records {
            return Err(Broken::End {
                expected: head.records,
                found: mine.records,
            });
        }
        if mine.last != head.last {
            return Err(Broken::Previous);
        }
        Ok(())
    }
}

/// SHA-256 of a line's JSON, as [`Record::previous`] and [`Head::last`] have it.
#[must_use]
pub fn fingerprint(line: &str) -> String {
    digest(line.split_once('\t').map_or(line, |(json, _)| json))
}

/// SHA-256 in hexadecimal digits.
fn digest(text: &str) -> String {
    hex::text(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_bytes(&[7; 32]).unwrap()
    }

    /// Three hours of one service, as the manager writes them.
    fn lines() -> (Vec<String>, Head) {
        let mut head = Head::default();
        let lines = (0..3)
            .map(|hour| {
                let record = Record {
                    sequence: head.records,
                    service: "web".into(),
                    from: hour * 3600,
                    until: (hour + 1) * 3600,
                    end: RecordEnd::Hour,
                    used: Figures {
                        cpu_usec: 5,
                        ..Figures::default()
                    },
                    previous: head.last.clone(),
                };
                let (line, hash) = key().seal(&record).unwrap();
                head = Head {
                    records: head.records + 1,
                    last: hash,
                };
                line
            })
            .collect();
        (lines, head)
    }

    fn follow<'a>(lines: impl IntoIterator<Item = &'a String>) -> Result<Chain, Broken> {
        let mut chain = Chain::default();
        for line in lines {
            chain.follow(&key().public(), line)?;
        }
        Ok(chain)
    }

    #[test]
    fn a_chain_as_it_was_written_is_whole() {
        let (lines, head) = lines();
        assert_eq!(follow(&lines).unwrap().ends_at(&head), Ok(()));
        // Old months may be gone.
        assert_eq!(follow(&lines[1..]).unwrap().ends_at(&head), Ok(()));
        assert_eq!(Chain::default().ends_at(&Head::default()), Ok(()));
    }

    #[test]
    fn a_record_from_before_storage_was_counted_still_verifies() {
        // given a line as older firmware wrote and signed it
        let json = "{\"sequence\":0,\"service\":\"web\",\"from\":0,\"until\":3600,\"end\":\"hour\",\
                    \"used\":{\"cpu_usec\":5,\"memory_byte_seconds\":7,\"read_bytes\":0,\"written_bytes\":0,\
                    \"received_bytes\":0,\"sent_bytes\":0},\"previous\":\"\"}";
        let signature: Signature = key().0.sign(json.as_bytes());
        let line = format!("{json}\t{}", hex::text(signature.to_der().as_bytes()));
        // when it is followed by one of today
        let mut chain = Chain::default();
        let old = chain.follow(&key().public(), &line).unwrap();
        let next = Record {
            sequence: 1,
            previous: fingerprint(&line),
            ..old.clone()
        };
        let (next, _) = key().seal(&next).unwrap();
        // then both are whole, and nothing was held by the old one
        assert!(chain.follow(&key().public(), &next).is_ok());
        assert_eq!(old.used.storage_byte_seconds, 0);
        assert_eq!(old.used.memory_byte_seconds, 7);
        assert!(next.contains("\"storage_byte_seconds\":0"), "{next}");
    }

    #[test]
    fn what_is_removed_changed_or_moved_is_found() {
        let (lines, head) = lines();
        let [a, b, c] = &lines[..] else { panic!() };
        let missing = Broken::Sequence {
            expected: 1,
            found: 2,
        };
        assert_eq!(follow([a, c]).unwrap_err(), missing);
        assert!(matches!(follow([b, a, c]), Err(Broken::Sequence { .. })));
        assert!(matches!(follow([a, a]), Err(Broken::Sequence { .. })));
        let end = Broken::End {
            expected: 3,
            found: 2,
        };
        assert_eq!(follow([a, b]).unwrap().ends_at(&head), Err(end));
        let cheaper = a.replace("\"cpu_usec\":5", "\"cpu_usec\":4");
        assert_eq!(follow([&cheaper]).unwrap_err(), Broken::Signature);
    }

    #[test]
    fn another_history_with_the_right_numbers_is_found() {
        // given a record that was signed by the same key for another history
        let (lines, _) = lines();
        let record = Record {
            previous: digest("other"),
            ..key().public().open::<Record>(&lines[1]).unwrap().0
        };
        let (other, _) = key().seal(&record).unwrap();
        // then it does not follow
        assert_eq!(follow([&lines[0], &other]).unwrap_err(), Broken::Previous);
    }

    #[test]
    fn another_key_is_found_and_the_public_key_travels_as_pem() {
        let (lines, _) = lines();
        let stranger = Key::from_bytes(&[8; 32]).unwrap().public();
        let opened = stranger.open::<Record>(&lines[0]);
        assert_eq!(opened, Err(Broken::Signature));
        let pem = key().public().to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"));
        assert_eq!(PublicKey::from_pem(&pem), Ok(key().public()));
        assert!(PublicKey::from_pem("key").is_err());
        assert!(Key::from_bytes(&[0; 32]).is_none());
    }

    #[test]
    fn a_line_that_is_none_is_an_error() {
        let (lines, _) = lines();
        let json = lines[0].split('\t').next().unwrap();
        for line in [
            "",
            "x",
            json,
            &format!("{json}\tzz"),
            &format!("{json}\t30g0"),
            "\u{e9}\t\u{e9}",
        ] {
            let opened = key().public().open::<Record>(line);
            assert!(
                matches!(opened, Err(Broken::Malformed(_))),
                "{line}: {opened:?}"
            );
        }
    }
}
