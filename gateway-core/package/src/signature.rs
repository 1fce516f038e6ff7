//! Signatures: ECDSA with P-256 and SHA-256 (FIPS 186-5) over a file's exact bytes, so that openssl, or a
//! token that never gives its key away, can make and check them too:
//! `openssl dgst -sha256 -sign KEY manifest.toml`. The text is one line, `ecdsa-p256-sha256 KEY SIGNATURE`.

use core::fmt;
use hearth_model::hex;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{SigningKey, VerifyingKey};
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
};
use sha2::{Digest, Sha256};

/// First word of a signature: what it is.
const KIND: &str = "ecdsa-p256-sha256";

/// Longest text of a signature, bytes: kind, key, at most 72 bytes of DER, a line's end.
pub const SIGNATURE_MAX: usize = 192;

/// A key's name: the first eight bytes of the SHA-256 of its public half (DER, SubjectPublicKeyInfo).
/// It only finds the key; who could make another key of the same name has gained nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::text(&self.0))
    }
}

/// A text that is no key, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKey(String);

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no P-256 key in PEM ({}); hearth-vendor key makes one",
            self.0
        )
    }
}

impl core::error::Error for NoKey {}

/// A vendor's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey, KeyId);

impl PublicKey {
    fn new(key: VerifyingKey) -> Result<PublicKey, NoKey> {
        let der = key.to_public_key_der().map_err(|e| NoKey(e.to_string()))?;
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(Sha256::digest(der.as_bytes())) {
            *to = from;
        }
        Ok(PublicKey(key, KeyId(id)))
    }

    /// The key in a text as `openssl` writes it (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn from_pem(text: &str) -> Result<PublicKey, NoKey> {
        PublicKey::new(
            VerifyingKey::from_public_key_pem(text.trim()).map_err(|e| NoKey(e.to_string()))?,
        )
    }

    /// The same text.
    ///
    /// # Errors
    /// [`NoKey`]; no key is known that has no such form.
    pub fn to_pem(&self) -> Result<String, NoKey> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|e| NoKey(e.to_string()))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.1
    }

    /// Whether its private half signed these bytes.
    #[must_use]
    pub fn has_signed(&self, bytes: &[u8], signature: &Signature) -> bool {
        self.0.verify(bytes, &signature.signature).is_ok()
    }
}

/// A vendor's private key; it never comes to a gateway.
pub struct SecretKey(SigningKey, PublicKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.1.id())
    }
}

impl SecretKey {
    fn new(key: SigningKey) -> Result<SecretKey, NoKey> {
        let public = PublicKey::new(*key.verifying_key())?;
        Ok(SecretKey(key, public))
    }

    /// The key of 32 random bytes.
    ///
    /// # Errors
    /// [`NoKey`] for the few numbers that are none (0, or too large), and another length.
    pub fn from_random(bytes: &[u8]) -> Result<SecretKey, NoKey> {
        SecretKey::new(SigningKey::from_slice(bytes).map_err(|e| NoKey(e.to_string()))?)
    }

    /// The key in a text as `openssl` writes it (PKCS #8, `-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn from_pem(text: &str) -> Result<SecretKey, NoKey> {
        SecretKey::new(SigningKey::from_pkcs8_pem(text.trim()).map_err(|e| NoKey(e.to_string()))?)
    }

    /// The same text. It is the secret itself.
    ///
    /// # Errors
    /// [`NoKey`]; no key is known that has no such form.
    pub fn to_pem(&self) -> Result<String, NoKey> {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF);
        pem.map(|pem| pem.to_string())
            .map_err(|e| NoKey(e.to_string()))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.1
    }

    /// Signs these bytes; the same bytes always get the same signature (RFC 6979).
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        Signature {
            key: self.1.id(),
            signature: self.0.sign(bytes),
        }
    }
}

/// A signature, and whose it says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub key: KeyId,
    signature: p256::ecdsa::Signature,
}

impl Signature {
    /// Reads its text; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Signature> {
        if text.len() > SIGNATURE_MAX {
            return None;
        }
        let line = text.strip_suffix('\n').unwrap_or(text);
        let mut words = line.split(' ');
        let (kind, key, der) = (words.next()?, words.next()?, words.next()?);
        if kind != KIND || words.next().is_some() {
            return None;
        }
        Some(Signature {
            key: KeyId(hex::bytes(key)?.try_into().ok()?),
            signature: p256::ecdsa::Signature::from_der(&hex::bytes(der)?).ok()?,
        })
    }
}

impl fmt::Display for Signature {
    /// One line, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let der = hex::text(self.signature.to_der().as_bytes());
        write!(f, "{KIND} {} {der}", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signature_fits_its_bytes_and_its_key_alone() {
        // given two keys and what one of them signed
        let key = |n: u8| SecretKey::from_random(&[n; 32]).unwrap();
        let (ours, other) = (key(1), key(2));
        let text = ours.sign(b"manifest").to_string();
        // when it is read back, then it fits those bytes by that key alone
        let signature = Signature::parse(&text).unwrap();
        assert_eq!(signature.key, ours.public().id());
        assert!(ours.public().has_signed(b"manifest", &signature));
        assert!(!ours.public().has_signed(b"manifesT", &signature));
        assert!(!other.public().has_signed(b"manifest", &signature));
        assert!(text.len() < SIGNATURE_MAX);
        // and keys survive being written
        let again = SecretKey::from_pem(&ours.to_pem().unwrap()).unwrap();
        assert_eq!(again.sign(b"x"), ours.sign(b"x"));
        let public = PublicKey::from_pem(&ours.public().to_pem().unwrap()).unwrap();
        assert_eq!(&public, ours.public());
    }

    #[test]
    fn a_signature_by_openssl_is_one_of_ours() {
        // given a key, a public key and a signature of "hearth\n" that openssl 3.0 made
        let public = PublicKey::from_pem(include_str!("../tests/openssl/public.pem")).unwrap();
        let der = include_str!("../tests/openssl/signature.hex").trim();
        let text = format!("{KIND} {} {der}", public.id());
        // when it is read, then it fits
        let signature = Signature::parse(&text).unwrap();
        assert!(public.has_signed(b"hearth\n", &signature));
    }

    proptest! {
        // Each case is a signature, slow without optimisation.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_text_is_a_signature_or_is_not(text: String) {
            prop_assert!(Signature::parse(&text).is_none());
        }

        #[test]
        fn a_changed_signature_is_refused(at in 0_usize..170, bit in 0_u8..8) {
            // given a good line and one bit of it
            let key = SecretKey::from_random(&[7; 32]).unwrap();
            let mut line = key.sign(b"m").to_string().into_bytes();
            let at = at % line.len();
            line[at] ^= 1 << bit;
            // when it is read, then it is none, another key's, or does not fit
            if let Some(read) = core::str::from_utf8(&line).ok().and_then(Signature::parse) {
                prop_assert!(read.key != key.public().id() || !key.public().has_signed(b"m", &read));
            }
        }
    }
}
