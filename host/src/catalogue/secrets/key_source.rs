//! Where the key of secrets comes from. It is never in the store: a file that only its owner can read, or given when the server
//! starts.

use super::SecretError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::file::write_durably;
use ringback_rules::vault::{KEY_BYTES, Key, SecretValue, VaultError};
use std::path::{Path, PathBuf};

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

    /// The key; one that is not there is made, unless something is encrypted already.
    pub(super) fn open(&self, is_needed: bool) -> Result<Key, SecretError> {
        Ok(match self {
            Self::File(path) => Key::new(&read_or_make(path, is_needed)?)?,
            Self::Given(key) => Key::new(key.bytes())?,
        })
    }
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
            aws_lc_rs::rand::fill(&mut key).map_err(|_| VaultError::Encryption)?;
            write_durably(path, &key).map_err(|error| problem(format!("cannot be written: {error}")))?;
            Ok(key)
        }
        Err(error) => Err(problem(format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeySource, SecretError, read_or_make};
    use ringback_records::name::Name;
    use ringback_rules::vault::Key;
    use std::os::unix::fs::PermissionsExt;

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
        assert!(given.open(true).unwrap().unseal(&Name::default_name(), "A", &sealed).is_some());
    }
}
