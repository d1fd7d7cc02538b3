//! Secrets: named values that verify callers. Encrypted on disk, never shown, never given to a plugin.

use crate::file::write_durably;
use crate::name::Name;
use crate::store::{Store, StoreError, Write};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest secret, in bytes: a PEM key fits.
const VALUE_BYTES_MAX: usize = 16 * 1024;
const KEY_BYTES: usize = 32;
/// Tells references from sealed secrets.
const REFERENCE: &[u8] = b"reference";

/// A secret's bytes. Its `Debug` shows none of them, and they are overwritten when the last copy is dropped.
#[derive(Clone)]
pub struct SecretValue(Arc<zeroize::Zeroizing<Vec<u8>>>);

impl SecretValue {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(zeroize::Zeroizing::new(bytes)))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Why a secret could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("`{0}` is not the name of a secret: use 1 to 64 letters, digits and `_`")]
    Name(String),
    #[error("a secret has 1 to {VALUE_BYTES_MAX} bytes, not {0}")]
    Size(usize),
    #[error("the key file {path} {problem}")]
    KeyFile { path: PathBuf, problem: String },
    #[error(
        "the secret {0} cannot be decrypted: the key file is not the one it was stored with. Put the right key back, or \
         remove the secret and store it again"
    )]
    Undecryptable(String),
    #[error("encryption failed")]
    Encryption,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A secret as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SecretEntry {
    /// Its name.
    pub name: String,
    /// The environment that it is for.
    pub environment: String,
    /// When its value was set.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

type ByName = BTreeMap<(Name, String), (SecretValue, Timestamp)>;

/// A handle to all secrets. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Secrets {
    values: Arc<ArcSwap<ByName>>,
    key: Arc<RandomizedNonceKey>,
}

impl Secrets {
    /// Reads and decrypts every secret. The key is made on the first start, readable for the owner alone.
    ///
    /// # Errors
    ///
    /// The key file cannot be used, or a secret was stored with another key.
    pub fn open(store: &Store, key_file: &Path) -> Result<Self, SecretError> {
        let key =
            RandomizedNonceKey::new(&AES_256_GCM, &read_or_make_key(key_file)?).map_err(|_| SecretError::Encryption)?;
        let mut values = ByName::new();
        for (workspace, name, record) in store.secrets()? {
            let value = open_sealed(&key, &workspace, &name, &record.sealed)?;
            values.insert((workspace, name), (value, record.updated_at));
        }
        Ok(Self { values: Arc::new(ArcSwap::from_pointee(values)), key: Arc::new(key) })
    }

    /// The value of a secret in an environment: its own, or that of `default`.
    pub fn find(&self, workspace: &Name, environment: &Name, name: &str) -> Option<SecretValue> {
        // The map is small and the borrow of a tuple key would need a copy of the name in any case.
        let values = self.values.load();
        let of = |name: String| values.get(&(workspace.clone(), name)).map(|(value, _)| value.clone());
        let own = if *environment == Name::default_name() { None } else { of(name_in(environment, name)) };
        own.or_else(|| of(name.to_owned()))
    }

    /// The names of a workspace's secrets.
    pub fn list(&self, workspace: &Name) -> Vec<SecretEntry> {
        let values = self.values.load();
        values
            .iter()
            .filter(|((owner, _), _)| owner == workspace)
            .map(|((_, name), (_, updated_at))| {
                let (environment, name) = name.split_once(SEPARATOR).unwrap_or(("default", name));
                let (name, environment) = (name.to_owned(), environment.to_owned());
                SecretEntry { name, environment, updated_at: *updated_at }
            })
            .collect()
    }

    /// Stores a secret and returns when it is on disk.
    ///
    /// # Errors
    ///
    /// The name or size is not allowed, or the store failed.
    pub async fn set(
        &self,
        store: &Store,
        workspace: &Name,
        environment: &Name,
        name: &str,
        value: Vec<u8>,
    ) -> Result<(), SecretError> {
        if !is_name(name) {
            return Err(SecretError::Name(name.chars().take(80).collect()));
        }
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(SecretError::Size(value.len()));
        }
        let name = &name_in(environment, name);
        let value = SecretValue::new(value);
        let sealed = seal(&self.key, workspace, name, value.bytes())?;
        let updated_at = Timestamp::now();
        let record = SecretRecord { sealed, updated_at };
        store.commit(vec![Write::PutSecret { workspace: workspace.clone(), name: name.to_owned(), record }]).await?;
        self.update(|values| drop(values.insert((workspace.clone(), name.to_owned()), (value.clone(), updated_at))));
        Ok(())
    }

    /// Removes a secret: whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(
        &self,
        store: &Store,
        workspace: &Name,
        environment: &Name,
        name: &str,
    ) -> Result<bool, SecretError> {
        let name = &name_in(environment, name);
        let existed = self.values.load().contains_key(&(workspace.clone(), name.clone()));
        store.commit(vec![Write::DeleteSecret { workspace: workspace.clone(), name: name.to_owned() }]).await?;
        self.update(|values| drop(values.remove(&(workspace.clone(), name.to_owned()))));
        Ok(existed)
    }

    /// Forgets the secrets of an environment that the store has removed.
    pub fn forget_environment(&self, workspace: &Name, environment: &Name) {
        let prefix = name_in(environment, "");
        self.update(|values| values.retain(|(owner, name), _| owner != workspace || !name.starts_with(&prefix)));
    }

    /// Bytes as an opaque text for a URL, which only this server can make and read.
    pub fn seal_reference(&self, bytes: &[u8]) -> String {
        let mut sealed = bytes.to_vec();
        match self.key.seal_in_place_append_tag(Aad::from(REFERENCE), &mut sealed) {
            Ok(nonce) => URL_SAFE_NO_PAD.encode([&nonce.as_ref()[..], &sealed].concat()),
            Err(_) => String::new(),
        }
    }

    /// What a text was made of; `None` for one that this server did not make.
    pub fn open_reference(&self, text: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        self.key.open_in_place(nonce, Aad::from(REFERENCE), &mut sealed).ok().map(|bytes| bytes.to_vec())
    }

    fn update(&self, change: impl Fn(&mut ByName)) {
        self.values.rcu(|values| {
            let mut values = ByName::clone(values);
            change(&mut values);
            values
        });
    }

    /// Secrets in memory alone.
    #[cfg(test)]
    pub fn for_testing(workspace: &Name, secrets: &[(&str, &str)]) -> Self {
        let values = secrets
            .iter()
            .map(|(name, value)| {
                let value = SecretValue::new(value.as_bytes().to_vec());
                ((workspace.clone(), (*name).to_owned()), (value, Timestamp::default()))
            })
            .collect();
        let key = RandomizedNonceKey::new(&AES_256_GCM, &[7; KEY_BYTES]).unwrap();
        Self { values: Arc::new(ArcSwap::from_pointee(values)), key: Arc::new(key) }
    }
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct SecretRecord {
    /// Base64 of nonce, AES-256-GCM ciphertext and tag; workspace and name are authenticated with it.
    pub sealed: String,
    pub updated_at: Timestamp,
}

/// What separates the environment from the name of a secret; no name has it.
const SEPARATOR: char = ':';

/// The name under which the secret of an environment is kept.
pub fn name_in(environment: &Name, name: &str) -> String {
    if *environment == Name::default_name() { name.to_owned() } else { format!("{environment}{SEPARATOR}{name}") }
}

/// Whether a text can name a secret: 1 to 64 letters, digits and `_`.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn bound_to(workspace: &Name, name: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("{workspace}/{name}").into_bytes())
}

fn seal(key: &RandomizedNonceKey, workspace: &Name, name: &str, value: &[u8]) -> Result<String, SecretError> {
    let mut sealed = value.to_vec();
    let nonce =
        key.seal_in_place_append_tag(bound_to(workspace, name), &mut sealed).map_err(|_| SecretError::Encryption)?;
    sealed.splice(0..0, nonce.as_ref().iter().copied());
    Ok(base64::engine::general_purpose::STANDARD.encode(sealed))
}

fn open_sealed(
    key: &RandomizedNonceKey,
    workspace: &Name,
    name: &str,
    sealed: &str,
) -> Result<SecretValue, SecretError> {
    let undecryptable = || SecretError::Undecryptable(name.to_owned());
    let bytes = base64::engine::general_purpose::STANDARD.decode(sealed).map_err(|_| undecryptable())?;
    let (nonce, ciphertext) = bytes.split_at_checked(NONCE_LEN).ok_or_else(undecryptable)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| undecryptable())?;
    let mut ciphertext = ciphertext.to_vec();
    let value = key.open_in_place(nonce, bound_to(workspace, name), &mut ciphertext).map_err(|_| undecryptable())?;
    Ok(SecretValue::new(value.to_vec()))
}

fn read_or_make_key(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, SecretError> {
    use std::os::unix::fs::PermissionsExt;
    let problem = |problem: String| SecretError::KeyFile { path: path.to_owned(), problem };
    match std::fs::read(path) {
        Ok(key) => {
            let mode = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(problem(format!("can be read by others; run `chmod 600 {}`", path.display())));
            }
            if key.len() != KEY_BYTES {
                return Err(problem(format!("has {} bytes instead of {KEY_BYTES}", key.len())));
            }
            Ok(zeroize::Zeroizing::new(key))
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
    use super::{AES_256_GCM, RandomizedNonceKey, SecretError, SecretValue, open_sealed, read_or_make_key, seal};
    use crate::name::Name;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_opens_only_under_its_own_key_workspace_and_name() {
        let (workspace, other) = (Name::default_name(), "other".parse().unwrap());
        let key = RandomizedNonceKey::new(&AES_256_GCM, &[1; 32]).unwrap();
        let sealed = seal(&key, &workspace, "A", b"value").unwrap();
        assert!(!sealed.contains("value"));
        let wrong_key = RandomizedNonceKey::new(&AES_256_GCM, &[2; 32]).unwrap();
        assert!(open_sealed(&wrong_key, &workspace, "A", &sealed).is_err());
        assert!(open_sealed(&key, &other, "A", &sealed).is_err());
        assert!(open_sealed(&key, &workspace, "B", &sealed).is_err());
        assert!(open_sealed(&key, &workspace, "A", "AAAA").is_err());
        assert_eq!(open_sealed(&key, &workspace, "A", &sealed).unwrap().bytes(), b"value");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        let key = read_or_make_key(&path).unwrap();
        assert_eq!(*read_or_make_key(&path).unwrap(), *key);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_or_make_key(&path), Err(SecretError::KeyFile { .. })));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SecretValue::new(b"hunter2".to_vec())), "SecretValue(…)");
    }
}
