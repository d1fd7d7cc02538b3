//! How what is kept is looked at: at once where memory knows it, and otherwise on threads that may wait for a disk.
//! Whoever answers callers reads no disk, and a look that does costs one change of threads, however much it looks at.

use super::engine::{Engine, Seen, parse};
use super::slot::Slot;
use super::{Store, StoreError, key};
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::CallbackRecord;
use ringback_share::{Full, Places};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Looks and short scans that wait for the disk at a time: others wait for one of them, and not each on a thread of its own.
pub(super) const LOOKS_MAX: u32 = 32;
/// The same of what may read much, of all workspaces and of one.
const SCANS_MAX: usize = 32;
const SCANS_OF_WORKSPACE_MAX: usize = 8;

/// The places of those that read. What is short does not stand behind what is long.
pub(super) struct Readers {
    pub(super) looks: Arc<Semaphore>,
    pub(super) scans: Arc<Places>,
}

impl Default for Readers {
    fn default() -> Self {
        let looks = Arc::new(Semaphore::new(LOOKS_MAX as usize));
        Self { looks, scans: Places::new(SCANS_MAX, SCANS_OF_WORKSPACE_MAX, usize::MAX) }
    }
}

/// Why a look has come to nothing.
pub(super) enum Missed {
    /// Only the disk knows.
    NotInMemory,
    Failed(StoreError),
}

impl From<StoreError> for Missed {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// A look at a few records.
pub(super) struct Look<'s> {
    store: &'s Store,
    may_wait: bool,
}

impl<'s> Look<'s> {
    /// What can be read where waiting is allowed.
    pub(super) fn on_disk(&self) -> Result<&'s Store, Missed> {
        if self.may_wait { Ok(self.store) } else { Err(Missed::NotInMemory) }
    }

    fn engine(&self) -> &'s Engine {
        &self.store.engine
    }

    pub(super) fn slot(&self, key: &[u8]) -> Result<Option<Slot>, Missed> {
        match self.engine().index.changed(key) {
            Some(slot) => Ok(slot),
            None => Ok(self.on_disk()?.engine.index.get(key)?),
        }
    }

    /// The value of a key, with its slot.
    pub(super) fn found(&self, key: &[u8]) -> Result<Option<(Slot, Vec<u8>)>, Missed> {
        let Some(slot) = self.slot(key)? else { return Ok(None) };
        if !self.may_wait {
            let value = self.engine().log.read_at_once(slot.at, key, slot.length).ok_or(Missed::NotInMemory)?;
            return Ok(Some((slot, value)));
        }
        Ok(self.engine().index.value_at(key, slot)?.map(|value| (slot, value)))
    }

    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Missed> {
        Ok(self.found(key)?.map(|(_, value)| value))
    }

    /// What `read` makes of a value.
    pub(super) fn value_as<T>(
        &self,
        key: &[u8],
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, Missed> {
        Ok(self.value(key)?.map(|value| read(key, &value)).transpose()?)
    }

    /// What a change depends on.
    pub(super) fn seen(&self, needed: &[Vec<u8>]) -> Result<Seen, Missed> {
        let mut seen = Seen::new();
        for key in needed {
            seen.extend(self.found(key)?.map(|found| (key.clone(), found)));
        }
        Ok(seen)
    }

    /// A callback that somebody was promised, or one that nobody was.
    pub(super) fn callback(&self, workspace: &Name, id: CallbackId) -> Result<Option<CallbackRecord>, Missed> {
        match self.get(&key::callback(workspace, id))? {
            Some(record) => Ok(Some(record)),
            None => Ok(self.on_disk()?.recent.find(workspace, id)?),
        }
    }

    /// What was found, with the record of the callback that it names.
    pub(super) fn with_callback<T>(
        &self,
        workspace: &Name,
        found: Option<T>,
        callback: impl Fn(&T) -> CallbackId,
    ) -> Result<Option<(T, Option<CallbackRecord>)>, Missed> {
        let Some(found) = found else { return Ok(None) };
        let record = self.callback(workspace, callback(&found))?;
        Ok(Some((found, record)))
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Missed> {
        self.value_as(key, parse)
    }
}

impl Store {
    /// What a few records say.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl Fn(&Look<'_>) -> Result<T, Missed> + Send + 'static,
    ) -> Result<T, StoreError> {
        match look(&Look { store: self, may_wait: false }) {
            Ok(found) => return Ok(found),
            Err(Missed::Failed(error)) => return Err(error),
            Err(Missed::NotInMemory) => {}
        }
        let all = move |store: &Self| match look(&Look { store, may_wait: true }) {
            Ok(found) => Ok(found),
            Err(Missed::Failed(error)) => Err(error),
            Err(Missed::NotInMemory) => Err(StoreError::Read("the disk was not asked".to_owned())),
        };
        self.read(all).await
    }

    /// The record of one key.
    pub(super) async fn get<T: DeserializeOwned + Send + 'static>(
        &self,
        key: Vec<u8>,
    ) -> Result<Option<T>, StoreError> {
        self.look(move |look| look.get(&key)).await
    }

    /// What reads the disk in any case, and not much of it.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.readers.looks).acquire_owned().await;
        self.read_with(place, read).await
    }

    /// What may read much of the disk for one workspace, in turn with the others: its lists.
    pub(super) async fn read_much<T: Send + 'static>(
        &self,
        workspace: &Name,
        read: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.readers.scans.take(workspace).await.map_err(|Full| StoreError::Busy)?;
        self.read_with(place, read).await
    }

    /// What may read much of the disk for the server itself, which asks for one thing at a time: whole tables, what retention looks at.
    pub(super) async fn read_all<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_with((), read).await
    }

    async fn read_with<T: Send + 'static>(
        &self,
        place: impl Send + 'static,
        read: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        // It keeps its place to the end, also when nobody waits for it any more.
        let done = tokio::task::spawn_blocking(move || (read(&store), place).0).await;
        done.map_err(|error| StoreError::Read(error.to_string()))?
    }
}
