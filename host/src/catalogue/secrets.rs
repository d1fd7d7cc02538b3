//! Secrets: named values that verify callers. Encrypted on disk, never shown, never given to a plugin.

mod key_source;

pub use key_source::KeySource;

use super::table::Table;
use crate::catalogue::environments::Environments;
use ringback_records::name::Name;
use ringback_records::secret::{self, PreviousVersion, SecretRecord};
use ringback_records::time::Timestamp;
use ringback_rules::vault::{ByName, HasEnvironment, Secret, SecretValue, Vault, VaultError};
use ringback_store::{Page, Store, StoreError, Write};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Largest secret, in bytes: a PEM key fits.
const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Most versions of a secret that count at the same time: each is tried for every callback.
const VERSIONS_MAX: usize = 4;

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
        "{VERSIONS_MAX} versions of {0} count at the same time, the most that are tried; end the earlier ones with \
         `ringback secret retire {0}`, or leave `keep_previous` out"
    )]
    TooManyVersions(String),
    #[error("there is no environment {0}; make it with `ringback environment set {0}`")]
    NoEnvironment(Name),
    #[error(transparent)]
    Vault(#[from] VaultError),
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

/// A handle to all secrets. Their values are in the vault, which this alone changes. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Secrets {
    store: Store,
    vault: Vault,
    /// What is in the vault.
    table: Arc<Table<ByName>>,
}

impl Secrets {
    /// Reads and decrypts every secret.
    ///
    /// # Errors
    ///
    /// The key cannot be used, or a secret was stored with another key.
    pub async fn open(store: Store, environments: Option<Environments>, key: &KeySource) -> Result<Self, SecretError> {
        let stored = store.secrets().await?;
        let key = key.open(!stored.is_empty())?;
        let has_environment = environments.map(|known| -> HasEnvironment {
            Arc::new(move |workspace, environment| known.exists(workspace, environment))
        });
        let vault = Vault::open(stored, key, has_environment)?;
        Ok(Self { store, table: Arc::new(Table::of(vault.values())), vault })
    }

    /// Where the values are.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// No secret of the workspace is stored or removed while this is held.
    pub async fn keep_unchanged(&self, workspace: &Name) -> impl Sized {
        self.table.lock(workspace).await
    }

    /// All secrets of a workspace.
    pub fn list(&self, workspace: &Name) -> Vec<SecretEntry> {
        self.page(workspace, None, usize::MAX).items
    }

    /// A workspace's secrets, without their values: by environment and name, as the one is that they are behind, at most so many.
    pub fn page(&self, workspace: &Name, after: Option<&str>, limit: usize) -> Page<SecretEntry, String> {
        let now = Timestamp::now();
        let entry = |(name, record): &(String, SecretRecord)| {
            let (environment, name) = secret::parts(name);
            let previous = record.previous.iter().filter(|previous| now < previous.until);
            SecretEntry {
                name: name.to_owned(),
                environment: environment.to_owned(),
                version: record.version,
                updated_at: record.updated_at,
                previous: previous
                    .map(|previous| PreviousEntry { version: previous.version, until: previous.until })
                    .collect(),
            }
        };
        // One more says that there are others.
        let mut records = self.vault.records(workspace, after, limit.saturating_add(1));
        let has_others = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| has_others).map(|(name, _)| name.clone());
        Page { items: records.iter().map(entry).collect(), next }
    }

    /// Stores the next value of a secret and returns when it is on disk. The one before it counts for `keep_previous`
    /// longer, so that senders can go over to the new one.
    ///
    /// # Errors
    ///
    /// The name or size is not allowed, too many values would count, or the store failed.
    pub async fn set(
        &self,
        workspace: &Name,
        environment: &Name,
        name: &str,
        value: Vec<u8>,
        keep_previous: Duration,
    ) -> Result<(), SecretError> {
        if !secret::is_name(name) {
            return Err(SecretError::Name(name.chars().take(80).collect()));
        }
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(SecretError::Size(value.len()));
        }
        let key = (workspace.clone(), secret::name_in(environment, name));
        let value = SecretValue::new(value);
        let _changing = self.table.lock(workspace).await;
        if !self.vault.is_there(workspace, environment) {
            return Err(SecretError::NoEnvironment(environment.clone()));
        }
        let now = Timestamp::now();
        let mut record = SecretRecord {
            sealed: self.vault.seal(workspace, &key.1, value.bytes())?,
            updated_at: now,
            version: 1,
            previous: Vec::new(),
        };
        let mut previous = Vec::new();
        if let Some(current) = self.vault.get(&key) {
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
        self.put(key, Secret { value, previous, record }).await
    }

    /// Ends the time of the earlier values of a secret: how many there were, or `None` without such a secret.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn retire_previous(
        &self,
        workspace: &Name,
        environment: &Name,
        name: &str,
    ) -> Result<Option<usize>, SecretError> {
        let key = (workspace.clone(), secret::name_in(environment, name));
        let _changing = self.table.lock(workspace).await;
        let Some(mut secret) = self.vault.get(&key) else { return Ok(None) };
        let now = Timestamp::now();
        let ended = secret.record.previous.iter().filter(|previous| now < previous.until).count();
        secret.record.previous.clear();
        secret.previous.clear();
        self.put(key, secret).await?;
        Ok(Some(ended))
    }

    async fn put(&self, key: (Name, String), secret: Secret) -> Result<(), SecretError> {
        let (workspace, name) = key.clone();
        let put = Write::PutSecret { workspace, name, record: secret.record.clone() };
        let change = |secrets: &mut ByName| drop(secrets.insert(key.clone(), secret.clone()));
        Ok(self.table.commit(&self.store, vec![put], change).await?)
    }

    /// Removes a secret: whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(&self, workspace: &Name, environment: &Name, name: &str) -> Result<bool, SecretError> {
        let name = secret::name_in(environment, name);
        let _changing = self.table.lock(workspace).await;
        let key = (workspace.clone(), name.clone());
        let existed = self.vault.get(&key).is_some();
        let delete = Write::DeleteSecret { workspace: workspace.clone(), name };
        self.table.commit(&self.store, vec![delete], |secrets| drop(secrets.remove(&key))).await?;
        Ok(existed)
    }

    /// Forgets the secrets of an environment that the store has removed with it.
    pub(super) fn forget_environment(&self, workspace: &Name, environment: &Name) {
        let prefix = secret::name_in(environment, "");
        self.table.show(|secrets| secrets.retain(|(owner, name), _| owner != workspace || !name.starts_with(&prefix)));
    }
}

#[cfg(test)]
mod tests {
    use super::{KeySource, SecretError, Secrets, VERSIONS_MAX};
    use ringback_records::name::Name;
    use ringback_records::time::Timestamp;
    use ringback_store::{Store, StoreOptions};
    use std::time::Duration;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn an_earlier_value_counts_until_its_time_and_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        let key = KeySource::File(directory.path().join("secret.key"));
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let (workspace, environment) = (Name::default_name(), Name::default_name());
        let secrets = Secrets::open(store.clone(), None, &key).await.unwrap();
        let set = |value: &'static str, keep: Duration| {
            let value = value.as_bytes().to_vec();
            secrets.set(&workspace, &environment, "S", value, keep)
        };
        let counting = |secrets: &Secrets, later: Duration| -> Vec<String> {
            let now = Timestamp::now().saturating_add(later);
            let found = secrets.vault.find_all(&workspace, &environment, "S", now).unwrap();
            found.iter().map(|value| String::from_utf8_lossy(value.bytes()).into_owned()).collect()
        };
        set("one", HOUR).await.unwrap();
        set("two", HOUR).await.unwrap();
        assert_eq!(counting(&secrets, Duration::ZERO), ["two", "one"]);
        set("three", 2 * HOUR).await.unwrap();
        assert_eq!(secrets.vault.find(&workspace, &environment, "S").unwrap().bytes(), b"three");
        assert_eq!(counting(&secrets, Duration::ZERO), ["three", "two", "one"]);
        assert_eq!(counting(&secrets, HOUR + HOUR / 2), ["three", "two"]);
        assert_eq!(counting(&secrets, 3 * HOUR), ["three"]);
        let opened = Secrets::open(store.clone(), None, &key).await.unwrap();
        assert_eq!(counting(&opened, Duration::ZERO), ["three", "two", "one"], "also after a restart");
        set("four", HOUR).await.unwrap();
        assert_eq!(counting(&secrets, Duration::ZERO).len(), VERSIONS_MAX);
        assert!(matches!(set("five", HOUR).await, Err(SecretError::TooManyVersions(_))));
        assert_eq!(secrets.vault.find(&workspace, &environment, "S").unwrap().bytes(), b"four");
        assert_eq!(secrets.retire_previous(&workspace, &environment, "S").await.unwrap(), Some(3));
        assert_eq!(counting(&secrets, Duration::ZERO), ["four"]);
        assert_eq!(secrets.retire_previous(&workspace, &environment, "T").await.unwrap(), None);
        set("five", HOUR).await.unwrap();
        set("six", Duration::ZERO).await.unwrap();
        assert_eq!(counting(&secrets, Duration::ZERO), ["six"], "a value that has leaked ends at once");
        let listed = secrets.page(&workspace, None, 1).items;
        assert_eq!((listed[0].version, listed[0].previous.len()), (6, 0));
        store.close().await;
    }
}
