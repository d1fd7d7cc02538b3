//! The key that secrets are encrypted with.

use super::{SecretValue, VaultError};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ringback_records::name::Name;

pub const KEY_BYTES: usize = 32;
/// Tells references and sessions from sealed secrets, and from each other.
const REFERENCE: &[u8] = b"reference";
const SESSION: &[u8] = b"session";

/// Encrypts and authenticates with AES-256-GCM.
pub struct Key(RandomizedNonceKey);

impl Key {
    /// A key of its [`KEY_BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// There are more or fewer.
    pub fn new(bytes: &[u8]) -> Result<Self, VaultError> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes).map(Self).map_err(|_| VaultError::Encryption)
    }

    #[doc(hidden)]
    #[expect(clippy::unwrap_used, reason = "the key has the right length")]
    pub fn for_testing(byte: u8) -> Self {
        Self::new(&[byte; KEY_BYTES]).unwrap()
    }

    /// Base64 of nonce, ciphertext and tag, which open under this workspace and name alone.
    /// # Errors
    ///
    /// Encryption failed.
    pub fn seal(&self, workspace: &Name, name: &str, value: &[u8]) -> Result<String, VaultError> {
        self.seal_bytes(bound_to(workspace, name), value).map(|sealed| STANDARD.encode(sealed))
    }

    pub fn unseal(&self, workspace: &Name, name: &str, sealed: &str) -> Option<SecretValue> {
        self.unseal_bytes(bound_to(workspace, name), &STANDARD.decode(sealed).ok()?).map(SecretValue::new)
    }

    /// The same for a text of a URL.
    pub(super) fn seal_reference(&self, bytes: &[u8]) -> Result<String, VaultError> {
        self.seal_bytes(REFERENCE.to_vec(), bytes).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    pub(super) fn unseal_reference(&self, text: &str) -> Option<Vec<u8>> {
        self.unseal_bytes(REFERENCE.to_vec(), &URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// The same for a session of the console.
    pub(super) fn seal_session(&self, bytes: &[u8]) -> Result<String, VaultError> {
        self.seal_bytes(SESSION.to_vec(), bytes).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    pub(super) fn unseal_session(&self, text: &str) -> Option<Vec<u8>> {
        self.unseal_bytes(SESSION.to_vec(), &URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    fn seal_bytes(&self, bound_to: Vec<u8>, value: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut sealed = value.to_vec();
        let nonce =
            self.0.seal_in_place_append_tag(Aad::from(bound_to), &mut sealed).map_err(|_| VaultError::Encryption)?;
        Ok([&nonce.as_ref()[..], &sealed].concat())
    }

    fn unseal_bytes(&self, bound_to: Vec<u8>, bytes: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        self.0.open_in_place(nonce, Aad::from(bound_to), &mut sealed).ok().map(|value| value.to_vec())
    }
}

fn bound_to(workspace: &Name, name: &str) -> Vec<u8> {
    format!("{workspace}/{name}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::Key;
    use ringback_records::name::Name;

    #[test]
    fn a_secret_opens_only_under_its_own_key_workspace_and_name() {
        let (workspace, other) = (Name::default_name(), "other".parse().unwrap());
        let key = Key::for_testing(1);
        let sealed = key.seal(&workspace, "A", b"value").unwrap();
        assert!(!sealed.contains("value"));
        assert!(Key::for_testing(2).unseal(&workspace, "A", &sealed).is_none());
        assert!(key.unseal(&other, "A", &sealed).is_none());
        assert!(key.unseal(&workspace, "B", &sealed).is_none());
        assert!(key.unseal(&workspace, "A", "AAAA").is_none());
        assert_eq!(key.unseal(&workspace, "A", &sealed).unwrap().bytes(), b"value");
    }

    #[test]
    fn a_reference_is_no_session() {
        let key = Key::for_testing(1);
        let (reference, session) = (key.seal_reference(b"a").unwrap(), key.seal_session(b"a").unwrap());
        assert_eq!(key.unseal_session(&reference), None);
        assert_eq!(key.unseal_reference(&session), None);
        assert_eq!(Key::for_testing(2).unseal_session(&session), None);
        assert_eq!(key.unseal_session(&session).unwrap(), b"a");
    }
}
