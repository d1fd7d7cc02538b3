//! The one writer. It collects the changes that arrive while it is busy, checks their preconditions, applies them as one
//! atomic batch, flushes it, and makes the database file durable through a handle of its own, because the engine's flush
//! ends in `sync_file_range`, which syncs neither the file's size nor the drive's cache. Only then it acknowledges.
//!
//! The first failure of any of these ends it: nothing is acknowledged any more, the process ends, and a restart replays
//! what was durable. A failed fsync is never tried again, since the pages it lost look clean afterwards.

use super::StoreError;
use super::key;
use super::record::{Record, decode};
use std::collections::HashMap;
use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use tokio::sync::{oneshot, watch};

/// Most changes that wait for the writer. Callers of durable ones wait for a place, others are dropped.
const WAITING_MAX: usize = 4096;
/// Most changes of one group: bounds the time that the first of them waits.
const GROUP_MAX: usize = 1024;

/// One operation on records.
#[derive(Debug)]
pub(super) enum Operation {
    Put {
        key: Vec<u8>,
        record: Vec<u8>,
    },
    Delete(Vec<u8>),
    DeletePrefix(Vec<u8>),
    /// The record must have this revision, or not exist; the change gives it the next one.
    Expect {
        key: Vec<u8>,
        revision: Option<u32>,
        becomes: u32,
    },
}

impl From<(Vec<u8>, Vec<u8>)> for Operation {
    fn from((key, record): (Vec<u8>, Vec<u8>)) -> Self {
        Self::Put { key, record }
    }
}

struct Change {
    operations: Vec<Operation>,
    /// Where the result goes; `None` for a change that nobody waits for.
    done: Option<oneshot::Sender<Result<(), StoreError>>>,
}

enum Message {
    Change(Change),
    Close(Sender<()>),
}

pub(super) struct Writer {
    queue: SyncSender<Message>,
    failure: watch::Receiver<Option<String>>,
    permits: tokio::sync::Semaphore,
}

impl Writer {
    pub(super) fn start(db: sled::Db, database_file: File) -> Self {
        // Twice the permits: what is written behind has a share of its own.
        let (queue, messages) = sync_channel(2 * WAITING_MAX);
        let (failed, failure) = watch::channel(None);
        let spawned = std::thread::Builder::new().name("store-writer".to_owned()).spawn({
            let failed = failed.clone();
            move || {
                let writing = Loop { db, database_file };
                match writing.run(&messages) {
                    Ok(closed) => {
                        // The engine's own lock goes with its last handle.
                        drop(writing);
                        drop(closed);
                    }
                    Err(reason) => {
                        tracing::error!(error = %reason, "the store has failed; a restart replays what is durable");
                        failed.send_replace(Some(reason));
                    }
                }
            }
        });
        if let Err(error) = spawned {
            failed.send_replace(Some(format!("the writer's thread could not be started: {error}")));
        }
        Self { queue, failure, permits: tokio::sync::Semaphore::new(WAITING_MAX) }
    }

    pub(super) async fn commit(&self, operations: Vec<Operation>) -> Result<(), StoreError> {
        let _permit = self.permits.acquire().await.map_err(|_| self.stopped())?;
        let (done, result) = oneshot::channel();
        self.queue.try_send(Message::Change(Change { operations, done: Some(done) })).map_err(|_| self.stopped())?;
        result.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    pub(super) fn write_behind(&self, operations: Vec<Operation>) -> bool {
        match self.queue.try_send(Message::Change(Change { operations, done: None })) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    pub(super) async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        let reason = failure.wait_for(Option::is_some).await.map(|reason| reason.clone().unwrap_or_default());
        match reason {
            Ok(reason) => reason,
            // The writer was closed: that is no failure.
            Err(_) => std::future::pending().await,
        }
    }

    pub(super) async fn close(&self) {
        let (closed, wait) = channel();
        if self.queue.send(Message::Close(closed)).is_ok() {
            // The sender is dropped, without a word, when all is done.
            let _ = tokio::task::spawn_blocking(move || wait.recv()).await;
        }
    }

    fn stopped(&self) -> StoreError {
        StoreError::Stopped(self.failure.borrow().clone().unwrap_or_else(|| "it was closed".to_owned()))
    }
}

struct Loop {
    db: sled::Db,
    database_file: File,
}

impl Loop {
    /// Writes until it is closed: who waits for that.
    fn run(&self, messages: &Receiver<Message>) -> Result<Option<Sender<()>>, String> {
        while let Ok(first) = messages.recv() {
            let mut group = Vec::new();
            let mut closing = None;
            for message in std::iter::once(first).chain(messages.try_iter().take(GROUP_MAX)) {
                match message {
                    Message::Change(change) => group.push(change),
                    Message::Close(closed) => {
                        closing = Some(closed);
                        break;
                    }
                }
            }
            self.write(group, closing.is_some())?;
            if closing.is_some() {
                return Ok(closing);
            }
        }
        Ok(None)
    }

    fn write(&self, group: Vec<Change>, closing: bool) -> Result<(), String> {
        let mut batch = sled::Batch::default();
        let mut revisions = HashMap::new();
        let mut chunked = HashMap::new();
        let mut promised = Vec::new();
        let mut anything = false;
        for Change { operations, done } in group {
            match self.conflicts(&operations, &mut revisions)? {
                true => {
                    if let Some(done) = done {
                        let _ = done.send(Err(StoreError::Conflict));
                    }
                }
                false => {
                    for operation in operations {
                        self.add(operation, &mut batch, &mut chunked)?;
                    }
                    anything = true;
                    promised.extend(done);
                }
            }
        }
        if anything {
            self.db.apply_batch(batch).map_err(|error| format!("a write failed: {error}"))?;
        }
        if !promised.is_empty() || closing {
            self.db.flush().map_err(|error| format!("a flush failed: {error}"))?;
            self.database_file.sync_data().map_err(|error| format!("fdatasync failed: {error}"))?;
        }
        for done in promised {
            let _ = done.send(Ok(()));
        }
        Ok(())
    }

    /// Whether a precondition does not hold, seen after the changes of the group before it.
    fn conflicts(&self, operations: &[Operation], revisions: &mut HashMap<Vec<u8>, u32>) -> Result<bool, String> {
        let mut new_revisions = Vec::new();
        for operation in operations {
            let Operation::Expect { key, revision, becomes } = operation else { continue };
            let current = match revisions.get(key) {
                Some(revision) => Some(*revision),
                None => match self.db.get(key).map_err(|error| format!("a read failed: {error}"))? {
                    Some(record) => {
                        Some(decode(&record).map_err(|problem| format!("a record is damaged: {problem}"))?.0)
                    }
                    None => None,
                },
            };
            if current != *revision {
                return Ok(true);
            }
            new_revisions.push((key.clone(), *becomes));
        }
        revisions.extend(new_revisions);
        Ok(false)
    }

    /// `chunked` knows the values of this group that are in chunks: the engine does not know them yet.
    fn add(
        &self,
        operation: Operation,
        batch: &mut sled::Batch,
        chunked: &mut HashMap<Vec<u8>, u32>,
    ) -> Result<(), String> {
        match operation {
            Operation::Expect { .. } => {}
            Operation::Put { key, record } => {
                self.drop_chunks(&key, batch, chunked)?;
                if let Ok((_, Record::Chunked { chunks, .. })) = decode(&record) {
                    chunked.insert(key.clone(), chunks);
                }
                batch.insert(key, record);
            }
            Operation::Delete(key) => {
                self.drop_chunks(&key, batch, chunked)?;
                batch.remove(key);
            }
            Operation::DeletePrefix(prefix) => {
                for item in self.db.scan_prefix(&prefix).keys() {
                    let key = item.map_err(|error| format!("a read failed: {error}"))?;
                    self.drop_chunks(&key, batch, chunked)?;
                    batch.remove(key);
                }
            }
        }
        Ok(())
    }

    /// A new value, or none, leaves no chunks of the old one behind. New chunks come later in the same change.
    fn drop_chunks(
        &self,
        key: &[u8],
        batch: &mut sled::Batch,
        chunked: &mut HashMap<Vec<u8>, u32>,
    ) -> Result<(), String> {
        // A journal's lines are written once, and chunks belong to their record.
        if matches!(key.first(), Some(&(key::CHUNK | key::JOURNAL))) {
            return Ok(());
        }
        let chunks = match chunked.remove(key) {
            Some(chunks) => chunks,
            None => match self.db.get(key).map_err(|error| format!("a read failed: {error}"))? {
                Some(old) => match decode(&old) {
                    Ok((_, Record::Chunked { chunks, .. })) => chunks,
                    Ok((_, Record::Whole(_) | Record::Chunk(_))) | Err(_) => 0,
                },
                None => 0,
            },
        };
        (0..chunks).for_each(|index| batch.remove(key::chunk(key, index)));
        Ok(())
    }
}
