//! Secrets: named values that verify callers. Encrypted on disk, never shown, never given to a plugin.

mod key;

pub use key::KeySource;

use crate::environment::Environments;
use crate::name::Name;
use crate::store::{Store, StoreError, Write};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use key::Key;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Largest secret, in bytes: a PEM key fits.
const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Most versions of a secret that count at the same time: each is tried for every callback.
const VERSIONS_MAX: usize = 4;

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
        "the store has secrets, and the key that they are encrypted with is not at {}: put it there as it was, or give it with \
         `secret_key_file` or `secret_key` (RINGBACK_SECRET_KEY)", .0.display()
    )]
    KeyMissing(PathBuf),
    #[error(
        "the secret {0} cannot be decrypted: the key is not the one it was stored with. Put the right key back, or \
         remove the secret and store it again"
    )]
    Undecryptable(String),
    #[error(
        "{VERSIONS_MAX} versions of {0} count at the same time, the most that are tried; end the earlier ones with \
         `ringback secret retire {0}`, or leave `keep_previous` out"
    )]
    TooManyVersions(String),
    #[error("there is no environment {0}; make it with `ringback environment set {0}`")]
    NoEnvironment(Name),
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
    /// The number of its value: 1 for the first.
    pub version: u32,
    /// When its value was set.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Earlier values that still count, newest first.
    pub previous: Vec<PreviousEntry>,
}

/// An earlier value of a secret, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PreviousEntry {
    pub version: u32,
    /// Until when it counts.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

/// A secret with the values that count.
#[derive(Clone)]
struct Secret {
    value: SecretValue,
    /// In the order of the record's.
    previous: Vec<SecretValue>,
    record: SecretRecord,
}

type ByName = BTreeMap<(Name, String), Secret>;

/// A handle to all secrets. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Secrets {
    values: Arc<ArcSwap<ByName>>,
    /// `None` where every environment is there.
    environments: Option<Environments>,
    key: Arc<Key>,
    /// Held while a secret is changed.
    changing: Arc<Mutex<()>>,
}

impl Secrets {
    /// Reads and decrypts every secret.
    ///
    /// # Errors
    ///
    /// The key cannot be used, or a secret was stored with another key.
    pub fn open(store: &Store, environments: Option<Environments>, key: &KeySource) -> Result<Self, SecretError> {
        let stored = store.secrets()?;
        let key = Key::open(key, !stored.is_empty())?;
        let mut values = ByName::new();
        for (workspace, name, record) in stored {
            let open = |sealed: &str| {
                key.unseal(&workspace, &name, sealed).ok_or_else(|| SecretError::Undecryptable(name.clone()))
            };
            let value = open(&record.sealed)?;
            let previous = record.previous.iter().map(|previous| open(&previous.sealed)).collect::<Result<_, _>>()?;
            values.insert((workspace, name), Secret { value, previous, record });
        }
        Ok(Self { environments, ..Self::of(values, key) })
    }

    fn of(values: ByName, key: Key) -> Self {
        let values = Arc::new(ArcSwap::from_pointee(values));
        Self { values, environments: None, key: Arc::new(key), changing: Arc::default() }
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
        let own = if *environment == Name::default_name() { None } else { of(name_in(environment, name)) };
        own.or_else(|| of(name.to_owned()))
    }

    fn is_there(&self, workspace: &Name, environment: &Name) -> bool {
        self.environments.as_ref().is_none_or(|known| known.exists(workspace, environment))
    }

    /// No secret is stored or removed while this is held.
    pub async fn keep_unchanged(&self) -> impl Sized {
        self.changing.lock().await
    }

    /// A workspace's secrets, without their values.
    pub fn list(&self, workspace: &Name) -> Vec<SecretEntry> {
        let (values, now) = (self.values.load(), Timestamp::now());
        let own = values.iter().filter(|((owner, _), _)| owner == workspace);
        let entry = |((_, name), secret): (&(Name, String), &Secret)| {
            let (environment, name) = name.split_once(SEPARATOR).unwrap_or(("default", name));
            let previous = secret.record.previous.iter().filter(|previous| now < previous.until);
            SecretEntry {
                name: name.to_owned(),
                environment: environment.to_owned(),
                version: secret.record.version,
                updated_at: secret.record.updated_at,
                previous: previous
                    .map(|previous| PreviousEntry { version: previous.version, until: previous.until })
                    .collect(),
            }
        };
        own.map(entry).collect()
    }

    /// Stores the next value of a secret and returns when it is on disk. The one before it counts for `keep_previous`
    /// longer, so that senders can go over to the new one.
    ///
    /// # Errors
    ///
    /// The name or size is not allowed, too many values would count, or the store failed.
    pub async fn set(
        &self,
        store: &Store,
        workspace: &Name,
        environment: &Name,
        name: &str,
        value: Vec<u8>,
        keep_previous: Duration,
    ) -> Result<(), SecretError> {
        if !is_name(name) {
            return Err(SecretError::Name(name.chars().take(80).collect()));
        }
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(SecretError::Size(value.len()));
        }
        let key = (workspace.clone(), name_in(environment, name));
        let value = SecretValue::new(value);
        let _changing = self.changing.lock().await;
        if !self.is_there(workspace, environment) {
            return Err(SecretError::NoEnvironment(environment.clone()));
        }
        let now = Timestamp::now();
        let mut record = SecretRecord {
            sealed: self.key.seal(workspace, &key.1, value.bytes())?,
            updated_at: now,
            version: 1,
            previous: Vec::new(),
        };
        let mut previous = Vec::new();
        if let Some(current) = self.values.load().get(&key).cloned() {
            record.version = current.record.version.saturating_add(1);
            if !keep_previous.is_zero() {
                let until = now.saturating_add(keep_previous);
                let SecretRecord { sealed, version, previous: earlier, .. } = current.record;
                let newest = (PreviousVersion { sealed, version, until }, current.value);
                let counting = earlier.into_iter().zip(current.previous).filter(|(earlier, _)| now < earlier.until);
                (record.previous, previous) = std::iter::once(newest).chain(counting).unzip();
            }
        }
        if record.previous.len() >= VERSIONS_MAX {
            return Err(SecretError::TooManyVersions(name.to_owned()));
        }
        self.put(store, key, Secret { value, previous, record }).await
    }

    /// Ends the time of the earlier values of a secret: how many there were, or `None` without such a secret.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn retire_previous(
        &self,
        store: &Store,
        workspace: &Name,
        environment: &Name,
        name: &str,
    ) -> Result<Option<usize>, SecretError> {
        let key = (workspace.clone(), name_in(environment, name));
        let _changing = self.changing.lock().await;
        let Some(mut secret) = self.values.load().get(&key).cloned() else { return Ok(None) };
        let now = Timestamp::now();
        let ended = secret.record.previous.iter().filter(|previous| now < previous.until).count();
        secret.record.previous.clear();
        secret.previous.clear();
        self.put(store, key, secret).await?;
        Ok(Some(ended))
    }

    async fn put(&self, store: &Store, key: (Name, String), secret: Secret) -> Result<(), SecretError> {
        let (workspace, name) = key.clone();
        store.commit(vec![Write::PutSecret { workspace, name, record: secret.record.clone() }]).await?;
        self.update(|values| drop(values.insert(key.clone(), secret.clone())));
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
        let _changing = self.changing.lock().await;
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
        self.key.seal_reference(bytes).unwrap_or_default()
    }

    /// What a text was made of; `None` for one that this server did not make.
    pub fn open_reference(&self, text: &str) -> Option<Vec<u8>> {
        self.key.unseal_reference(text)
    }

    fn update(&self, change: impl Fn(&mut ByName)) {
        self.values.rcu(|values| {
            let mut values = ByName::clone(values);
            change(&mut values);
            values
        });
    }

    /// Secrets in memory alone.
    #[cfg(any(test, fuzzing))]
    pub fn for_testing(workspace: &Name, secrets: &[(&str, &str)]) -> Self {
        let values = secrets.iter().map(|(name, value)| (*name, value.as_bytes().to_vec()));
        Self::for_testing_of_bytes(workspace, values)
    }

    /// The same, of any bytes.
    #[cfg(any(test, fuzzing))]
    pub fn for_testing_of_bytes<'s>(workspace: &Name, secrets: impl IntoIterator<Item = (&'s str, Vec<u8>)>) -> Self {
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
        Self::of(secrets.into_iter().map(secret).collect(), Key::for_testing(7))
    }
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct SecretRecord {
    /// Base64 of nonce, AES-256-GCM ciphertext and tag; workspace and name are authenticated with it.
    pub sealed: String,
    pub updated_at: Timestamp,
    #[serde(default = "first")]
    pub version: u32,
    /// Newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PreviousVersion>,
}

/// An earlier value of a secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PreviousVersion {
    /// As the record's own.
    pub sealed: String,
    pub version: u32,
    /// Until when it counts.
    pub until: Timestamp,
}

fn first() -> u32 {
    1
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

#[cfg(test)]
mod tests {
    use super::{KeySource, SecretError, SecretValue, Secrets, VERSIONS_MAX};
    use crate::name::Name;
    use crate::store::{Store, StoreOptions};
    use crate::time::Timestamp;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SecretValue::new(b"hunter2".to_vec())), "SecretValue(…)");
    }

    #[tokio::test]
    async fn an_earlier_value_counts_until_its_time_and_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        let key = KeySource::File(directory.path().join("secret.key"));
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let (workspace, environment) = (Name::default_name(), Name::default_name());
        let secrets = Secrets::open(&store, None, &key).unwrap();
        let set = |value: &'static str, keep: Duration| {
            let value = value.as_bytes().to_vec();
            secrets.set(&store, &workspace, &environment, "S", value, keep)
        };
        let counting = |secrets: &Secrets, later: Duration| -> Vec<String> {
            let now = Timestamp::now().saturating_add(later);
            let found = secrets.find_all(&workspace, &environment, "S", now).unwrap();
            found.iter().map(|value| String::from_utf8_lossy(value.bytes()).into_owned()).collect()
        };
        set("one", HOUR).await.unwrap();
        set("two", HOUR).await.unwrap();
        assert_eq!(counting(&secrets, Duration::ZERO), ["two", "one"]);
        set("three", 2 * HOUR).await.unwrap();
        assert_eq!(secrets.find(&workspace, &environment, "S").unwrap().bytes(), b"three");
        assert_eq!(counting(&secrets, Duration::ZERO), ["three", "two", "one"]);
        assert_eq!(counting(&secrets, HOUR + HOUR / 2), ["three", "two"]);
        assert_eq!(counting(&secrets, 3 * HOUR), ["three"]);
        let opened = Secrets::open(&store, None, &key).unwrap();
        assert_eq!(counting(&opened, Duration::ZERO), ["three", "two", "one"], "also after a restart");
        set("four", HOUR).await.unwrap();
        assert_eq!(counting(&secrets, Duration::ZERO).len(), VERSIONS_MAX);
        assert!(matches!(set("five", HOUR).await, Err(SecretError::TooManyVersions(_))));
        assert_eq!(secrets.find(&workspace, &environment, "S").unwrap().bytes(), b"four");
        assert_eq!(secrets.retire_previous(&store, &workspace, &environment, "S").await.unwrap(), Some(3));
        assert_eq!(counting(&secrets, Duration::ZERO), ["four"]);
        assert_eq!(secrets.retire_previous(&store, &workspace, &environment, "T").await.unwrap(), None);
        set("five", HOUR).await.unwrap();
        set("six", Duration::ZERO).await.unwrap();
        assert_eq!(counting(&secrets, Duration::ZERO), ["six"], "a value that has leaked ends at once");
        let listed = secrets.list(&workspace);
        assert_eq!((listed[0].version, listed[0].previous.len()), (6, 0));
        store.close().await;
    }
}
