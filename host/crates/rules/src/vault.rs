//! The vault: the values of secrets, in memory. They prove callers and ourselves; they are never shown.

mod key;

pub use key::{KEY_BYTES, Key};

use arc_swap::ArcSwap;
use ringback_records::name::Name;
use ringback_records::secret::{self, SecretRecord};
use ringback_records::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

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

/// Why a vault could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(
        "the secret {0} cannot be decrypted: the key is not the one it was stored with. Put the right key back, or \
         remove the secret and store it again"
    )]
    Undecryptable(String),
    #[error("encryption failed")]
    Encryption,
}

/// A secret with the values that count.
#[derive(Clone)]
pub struct Secret {
    pub value: SecretValue,
    /// In the order of the record's.
    pub previous: Vec<SecretValue>,
    pub record: SecretRecord,
}

/// Secrets by their workspaces, and their names as they are kept.
pub type ByName = BTreeMap<(Name, String), Secret>;
/// Whether a workspace has an environment.
pub type HasEnvironment = Arc<dyn Fn(&Name, &Name) -> bool + Send + Sync>;

/// A handle to the secrets of all workspaces. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Vault {
    values: Arc<ArcSwap<ByName>>,
    /// `None` where every environment is there.
    has_environment: Option<HasEnvironment>,
    key: Arc<Key>,
}

impl Vault {
    /// Decrypts what is stored: workspaces, names as they are kept, records.
    ///
    /// # Errors
    ///
    /// A secret was stored with another key.
    pub fn open(
        stored: Vec<(Name, String, SecretRecord)>,
        key: Key,
        has_environment: Option<HasEnvironment>,
    ) -> Result<Self, VaultError> {
        let mut values = ByName::new();
        for (workspace, name, record) in stored {
            let open = |sealed: &str| {
                key.unseal(&workspace, &name, sealed).ok_or_else(|| VaultError::Undecryptable(name.clone()))
            };
            let value = open(&record.sealed)?;
            let previous = record.previous.iter().map(|previous| open(&previous.sealed)).collect::<Result<_, _>>()?;
            values.insert((workspace, name), Secret { value, previous, record });
        }
        Ok(Self { values: Arc::new(ArcSwap::from_pointee(values)), has_environment, key: Arc::new(key) })
    }

    /// What is in it, for the one who changes it.
    pub fn values(&self) -> Arc<ArcSwap<ByName>> {
        Arc::clone(&self.values)
    }

    /// The value of a secret in an environment, to prove something with: its own, or that of `default`; the newest. Where
    /// there is no such environment there are no secrets.
    pub fn find(&self, workspace: &Name, environment: &Name, name: &str) -> Option<SecretValue> {
        self.look_up(workspace, environment, name, |secret| secret.value.clone())
    }

    /// Every value that others may prove something with: the newest, and earlier ones that still count at that time.
    pub fn find_all(
        &self,
        workspace: &Name,
        environment: &Name,
        name: &str,
        now: Timestamp,
    ) -> Option<Vec<SecretValue>> {
        self.look_up(workspace, environment, name, |secret| {
            let counting = secret.record.previous.iter().zip(&secret.previous);
            let previous = counting.filter(|(previous, _)| now < previous.until).map(|(_, value)| value.clone());
            std::iter::once(secret.value.clone()).chain(previous).collect()
        })
    }

    fn look_up<T>(&self, workspace: &Name, environment: &Name, name: &str, take: impl Fn(&Secret) -> T) -> Option<T> {
        if !self.is_there(workspace, environment) {
            return None;
        }
        // The map is small and the borrow of a tuple key would need a copy of the name in any case.
        let values = self.values.load();
        let of = |name: String| values.get(&(workspace.clone(), name)).map(&take);
        let own = if *environment == Name::default_name() { None } else { of(secret::name_in(environment, name)) };
        own.or_else(|| of(name.to_owned()))
    }

    /// Whether a workspace has an environment.
    pub fn is_there(&self, workspace: &Name, environment: &Name) -> bool {
        self.has_environment.as_ref().is_none_or(|has| has(workspace, environment))
    }

    /// The secret that is kept under a name.
    pub fn get(&self, key: &(Name, String)) -> Option<Secret> {
        self.values.load().get(key).cloned()
    }

    /// The newest values of a name, in every environment of a workspace.
    pub fn newest_everywhere(&self, workspace: &Name, name: &str) -> Vec<SecretValue> {
        let values = self.values.load();
        let own = values.iter().filter(|((owner, kept_as), _)| owner == workspace && secret::parts(kept_as).1 == name);
        own.map(|(_, secret)| secret.value.clone()).collect()
    }

    /// What is kept of a workspace's secrets, by their names: behind one of them, at most so many.
    pub fn records(&self, workspace: &Name, after: Option<&str>, limit: usize) -> Vec<(String, SecretRecord)> {
        let values = self.values.load();
        let first = (workspace.clone(), after.unwrap_or_default().to_owned());
        let own = values.range((Excluded(first), Unbounded)).take_while(|((owner, _), _)| owner == workspace);
        own.take(limit).map(|((_, name), secret)| (name.clone(), secret.record.clone())).collect()
    }

    /// Base64 of nonce, ciphertext and tag of a value, which opens under this workspace and name alone.
    ///
    /// # Errors
    ///
    /// Encryption failed.
    pub fn seal(&self, workspace: &Name, name: &str, value: &[u8]) -> Result<String, VaultError> {
        self.key.seal(workspace, name, value)
    }

    /// Bytes as an opaque text for a URL, which only this server can make and read.
    pub fn seal_reference(&self, bytes: &[u8]) -> String {
        self.key.seal_reference(bytes).unwrap_or_default()
    }

    /// What a text was made of; `None` for one that this server did not make.
    pub fn open_reference(&self, text: &str) -> Option<Vec<u8>> {
        self.key.unseal_reference(text)
    }

    /// The same for a session, which is no text of a URL.
    pub fn seal_session(&self, bytes: &[u8]) -> String {
        self.key.seal_session(bytes).unwrap_or_default()
    }

    /// What a session was made of; `None` for one that this server did not make.
    pub fn open_session(&self, text: &str) -> Option<Vec<u8>> {
        self.key.unseal_session(text)
    }

    /// Secrets in memory alone, that nobody stores: of tests, and of plugins that are tried without a server.
    pub fn in_memory(workspace: &Name, secrets: &[(&str, &str)]) -> Self {
        let values = secrets.iter().map(|(name, value)| (*name, value.as_bytes().to_vec()));
        Self::in_memory_of_bytes(workspace, values)
    }

    /// The same, of any bytes.
    pub fn in_memory_of_bytes<'s>(workspace: &Name, secrets: impl IntoIterator<Item = (&'s str, Vec<u8>)>) -> Self {
        let secret = |(name, value): (&str, Vec<u8>)| {
            let record = SecretRecord {
                sealed: String::new(),
                updated_at: Timestamp::default(),
                version: 1,
                previous: Vec::new(),
            };
            let value = SecretValue::new(value);
            ((workspace.clone(), name.to_owned()), Secret { value, previous: Vec::new(), record })
        };
        let values: ByName = secrets.into_iter().map(secret).collect();
        Self {
            values: Arc::new(ArcSwap::from_pointee(values)),
            has_environment: None,
            key: Arc::new(Key::for_testing(7)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SecretValue;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SecretValue::new(b"hunter2".to_vec())), "SecretValue(…)");
    }
}
