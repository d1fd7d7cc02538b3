//! The key that secrets are encrypted with. It is never in the store: a file that only its owner can read, or given when the
//! server starts.

use super::{SecretError, SecretValue};
use crate::file::write_durably;
use crate::name::Name;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::path::{Path, PathBuf};

const KEY_BYTES: usize = 32;
/// Tells references from sealed secrets.
const REFERENCE: &[u8] = b"reference";

/// Where the key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file with its bytes, made on the first start.
    File(PathBuf),
    Given(SecretValue),
}

impl KeySource {
    /// A key as base64 of its 32 bytes.
    ///
    /// # Errors
    ///
    /// How to make one; nothing of the text is in it.
    pub fn given(text: &str) -> Result<Self, String> {
        match STANDARD.decode(text.trim()).map(zeroize::Zeroizing::new) {
            Ok(bytes) if bytes.len() == KEY_BYTES => Ok(Self::Given(SecretValue::new(bytes.to_vec()))),
            _ => {
                Err(format!("it is not base64 of {KEY_BYTES} bytes; make one with `openssl rand -base64 {KEY_BYTES}`"))
            }
        }
    }
}

/// Encrypts and authenticates with AES-256-GCM.
pub(super) struct Key(RandomizedNonceKey);

impl Key {
    /// The key of a source; one that is not there is made, unless something is encrypted already.
    pub(super) fn open(source: &KeySource, is_needed: bool) -> Result<Self, SecretError> {
        match source {
            KeySource::File(path) => Self::new(&read_or_make(path, is_needed)?),
            KeySource::Given(key) => Self::new(key.bytes()),
        }
    }

    fn new(bytes: &[u8]) -> Result<Self, SecretError> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes).map(Self).map_err(|_| SecretError::Encryption)
    }

    #[cfg(any(test, fuzzing))]
    #[expect(clippy::unwrap_used, reason = "the key has the right length")]
    pub(super) fn for_testing(byte: u8) -> Self {
        Self::new(&[byte; KEY_BYTES]).unwrap()
    }

    /// Base64 of nonce, ciphertext and tag, which open under this workspace and name alone.
    pub(super) fn seal(&self, workspace: &Name, name: &str, value: &[u8]) -> Result<String, SecretError> {
        self.seal_bytes(bound_to(workspace, name), value).map(|sealed| STANDARD.encode(sealed))
    }

    pub(super) fn unseal(&self, workspace: &Name, name: &str, sealed: &str) -> Option<SecretValue> {
        self.unseal_bytes(bound_to(workspace, name), &STANDARD.decode(sealed).ok()?).map(SecretValue::new)
    }

    /// The same for a text of a URL.
    pub(super) fn seal_reference(&self, bytes: &[u8]) -> Result<String, SecretError> {
        self.seal_bytes(REFERENCE.to_vec(), bytes).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    pub(super) fn unseal_reference(&self, text: &str) -> Option<Vec<u8>> {
        self.unseal_bytes(REFERENCE.to_vec(), &URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    fn seal_bytes(&self, bound_to: Vec<u8>, value: &[u8]) -> Result<Vec<u8>, SecretError> {
        let mut sealed = value.to_vec();
        let nonce =
            self.0.seal_in_place_append_tag(Aad::from(bound_to), &mut sealed).map_err(|_| SecretError::Encryption)?;
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

fn read_or_make(path: &Path, is_needed: bool) -> Result<zeroize::Zeroizing<Vec<u8>>, SecretError> {
    use std::os::unix::fs::PermissionsExt;
    let problem = |problem: String| SecretError::KeyFile { path: path.to_owned(), problem };
    match std::fs::read(path).map(zeroize::Zeroizing::new) {
        Ok(key) => {
            let mode = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(problem(format!("can be read by others; run `chmod 600 {}`", path.display())));
            }
            if key.len() != KEY_BYTES {
                return Err(problem(format!("has {} bytes instead of {KEY_BYTES}", key.len())));
            }
            Ok(key)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_needed => {
            Err(SecretError::KeyMissing(path.to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = zeroize::Zeroizing::new(vec![0; KEY_BYTES]);
            aws_lc_rs::rand::fill(&mut key).map_err(|_| SecretError::Encryption)?;
            write_durably(path, &key).map_err(|error| problem(format!("cannot be written: {error}")))?;
            Ok(key)
        }
        Err(error) => Err(problem(format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, KeySource, SecretError, read_or_make};
    use crate::name::Name;
    use std::os::unix::fs::PermissionsExt;

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
    fn a_key_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        let key = read_or_make(&path, false).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*read_or_make(&path, false).unwrap(), *key);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_or_make(&path, false), Err(SecretError::KeyFile { .. })));
    }

    #[test]
    fn a_given_key_has_32_bytes_and_is_in_no_message() {
        for wrong in ["", "hunter2", "AAAA", &"A".repeat(44), "not base64!"] {
            let message = KeySource::given(wrong).unwrap_err();
            assert!(message.contains("openssl rand") && (wrong.is_empty() || !message.contains(wrong)), "{message}");
        }
        let given = KeySource::given("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").unwrap();
        assert_eq!(format!("{given:?}"), "Given(SecretValue(…))");
        let sealed = Key::for_testing(1).seal(&Name::default_name(), "A", b"value").unwrap();
        assert!(Key::open(&given, true).unwrap().unseal(&Name::default_name(), "A", &sealed).is_some());
    }
}
