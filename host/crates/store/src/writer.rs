//! The one writer. It collects the changes that arrive while it is busy, checks their preconditions, appends them to the
//! log as one frame, makes the frame durable, gives them to the index, and only then acknowledges.
//!
//! The first failure of any of these ends it: nothing is acknowledged any more, the process ends, and a restart reads
//! what was durable. A failed fsync is never tried again, since the pages it lost look clean afterwards.

use super::StoreError;
use super::index::{Changes, Index};
use super::log::{Appender, End, Frame, Position, RECORD_HEADER, Record};
use super::slot::Slot;
use crate::planted::{Fault, is_planted};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Most changes that wait for the writer. Callers wait for a place.
const WAITING_MAX: usize = 4096;
/// Most changes of one group: bounds the time that the first of them waits.
const GROUP_MAX: usize = 1024;
/// Bytes of records that are enough for one group.
const GROUP_BYTES: usize = 8 << 20;

/// The value of what is only a key, or a number.
pub(super) const NOTHING: &[u8] = b"null";

/// What a value takes of the room of its workspace.
pub(super) fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10).max(1)).unwrap_or(u32::MAX)
}

/// One operation on records.
#[derive(Debug)]
pub(super) enum Operation {
    Put {
        key: Vec<u8>,
        revision: u32,
        value: Vec<u8>,
    },
    Delete(Vec<u8>),
    DeletePrefix(Vec<u8>),
    /// Deletes the value if it has this revision.
    Forget {
        key: Vec<u8>,
        revision: u32,
    },
    /// The value must have this revision, or not exist.
    Expect {
        key: Vec<u8>,
        revision: Option<u32>,
    },
    /// The value must have this revision, or be gone.
    Succeed {
        key: Vec<u8>,
        revision: u32,
    },
    /// So many keys with so many bytes of values may be under the prefix before the change.
    Below {
        prefix: Vec<u8>,
        count: usize,
        bytes: usize,
    },
    /// So many keys must be under the prefix before the change.
    AtLeast {
        prefix: Vec<u8>,
        count: usize,
    },
    /// One of these must hold.
    Either([Box<Operation>; 2]),
    /// Puts an empty value, if there is something under the prefix.
    PutIf {
        key: Vec<u8>,
        prefix: Vec<u8>,
    },
    /// The number that the revision of a value is grows by so much, up to the most.
    Grow {
        key: Vec<u8>,
        by: u32,
        max: u32,
    },
    /// It becomes smaller again by what the value of another key took.
    Shrink {
        key: Vec<u8>,
        of: Vec<u8>,
    },
    /// Writes the value again at the end of the log, if it is still the one at this place.
    Move {
        key: Vec<u8>,
        revision: u32,
        value: Vec<u8>,
        from: Position,
    },
}

impl Operation {
    /// Bytes that it takes in the log; of a prefix, what one key takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } | Self::Move { key, value, .. } => RECORD_HEADER + key.len() + value.len(),
            Self::Delete(key) | Self::DeletePrefix(key) | Self::Forget { key, .. } => RECORD_HEADER + key.len(),
            Self::PutIf { key, .. } | Self::Grow { key, .. } | Self::Shrink { key, .. } => {
                RECORD_HEADER + key.len() + NOTHING.len()
            }
            Self::Expect { .. }
            | Self::Succeed { .. }
            | Self::Below { .. }
            | Self::AtLeast { .. }
            | Self::Either(_) => 0,
        }
    }
}

/// Whether there are at most so many keys, with so many bytes of values, under a prefix once the changes are made.
pub(super) fn is_below(
    index: &Index,
    prefix: &[u8],
    changes: &Changes,
    mut count: usize,
    mut bytes: usize,
) -> Result<bool, StoreError> {
    let stored = index.scan_prefix(prefix).filter(|found| match found {
        Ok((key, _)) => !changes.contains_key(key),
        Err(_) => true,
    });
    let added = changes.range(prefix.to_vec()..super::key::after_prefix(prefix));
    let added = added.filter_map(|(key, slot)| Some(Ok((key.clone(), (*slot)?))));
    for found in stored.chain(added) {
        let length = found?.1.length as usize;
        match (count.checked_sub(1), bytes.checked_sub(length)) {
            (Some(fewer), Some(less)) => (count, bytes) = (fewer, less),
            _ => return Ok(false),
        }
    }
    Ok(true)
}

struct Change {
    operations: Vec<Operation>,
    /// Where the result goes; `None` for a change that nobody waits for.
    done: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Its place in the queue, also when nobody waits for it any more.
    _place: OwnedSemaphorePermit,
}

enum Message {
    Change(Change),
    Close(Sender<()>),
}

pub(super) struct Writer {
    queue: SyncSender<Message>,
    failure: watch::Receiver<Option<String>>,
    places: Arc<Semaphore>,
    /// Places of what is written behind.
    places_behind: Arc<Semaphore>,
}

impl Writer {
    pub(super) fn start(appender: Appender, index: Arc<Index>) -> Self {
        // What is written behind has a share of its own, and there is room for the message that ends it.
        let (queue, messages) = sync_channel(2 * WAITING_MAX + 1);
        let (failed, failure) = watch::channel(None);
        let fail = move |reason: String| {
            tracing::error!(error = %reason, "the store has failed; a restart reads what is durable");
            failed.send_replace(Some(reason));
        };
        let threads = std::thread::Builder::new().name("store-index".to_owned()).spawn({
            let (index, fail) = (Arc::clone(&index), fail.clone());
            move || {
                if let Err(reason) = index.write_portions() {
                    fail(reason);
                }
            }
        });
        let threads = threads.and_then(|_| {
            let fail = fail.clone();
            let writing = Loop { appender, index, frame: Frame::default() };
            std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || match writing.run(&messages) {
                Ok(closed) => drop(closed),
                Err(reason) => fail(reason),
            })
        });
        if let Err(error) = threads {
            fail(format!("the store's threads could not be started: {error}"));
        }
        Self::of(queue, failure)
    }

    fn of(queue: SyncSender<Message>, failure: watch::Receiver<Option<String>>) -> Self {
        let places = || Arc::new(Semaphore::new(WAITING_MAX));
        Self { queue, failure, places: places(), places_behind: places() }
    }

    pub(super) async fn commit(&self, operations: Vec<Operation>) -> Result<(), StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| self.stopped())?;
        let (done, result) = oneshot::channel();
        let change = Change { operations, done: Some(done), _place: place };
        self.queue.try_send(Message::Change(change)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => self.stopped(),
        })?;
        result.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    pub(super) fn write_behind(&self, operations: Vec<Operation>) -> bool {
        let place = Arc::clone(&self.places_behind).try_acquire_owned();
        place.is_ok_and(|place| {
            let change = Change { operations, done: None, _place: place };
            self.queue.try_send(Message::Change(change)).is_ok()
        })
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

    /// Writes what is under way, and ends: whether the log and the index are durable, as far as is known.
    pub(super) async fn close(&self) -> bool {
        let (closed, wait) = channel();
        if self.queue.send(Message::Close(closed)).is_ok() {
            // The sender is dropped, without a word, when all is done.
            let _ = tokio::task::spawn_blocking(move || wait.recv()).await;
        }
        self.failure.borrow().is_none()
    }

    fn stopped(&self) -> StoreError {
        StoreError::Stopped(self.failure.borrow().clone().unwrap_or_else(|| "it was closed".to_owned()))
    }
}

struct Loop {
    appender: Appender,
    index: Arc<Index>,
    frame: Frame,
}

impl Loop {
    /// Writes until it is closed: who waits for that.
    fn run(mut self, messages: &Receiver<Message>) -> Result<Option<Sender<()>>, String> {
        while let Ok(first) = messages.recv() {
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut closing = None;
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Change(change) => {
                        bytes += change.operations.iter().map(Operation::bytes).sum::<usize>();
                        group.push(change);
                    }
                    Message::Close(closed) => {
                        closing = Some(closed);
                        break;
                    }
                }
                next = if group.len() < GROUP_MAX && bytes < GROUP_BYTES { messages.try_recv().ok() } else { None };
            }
            self.write(group)?;
            if closing.is_some() {
                self.index.close();
                return Ok(closing);
            }
        }
        // Every handle is gone.
        self.index.close();
        Ok(None)
    }

    fn write(&mut self, group: Vec<Change>) -> Result<(), String> {
        self.index.wait_for_room()?;
        self.frame.clear();
        let values = group.iter().flat_map(|change| &change.operations).map(Operation::bytes);
        self.frame.reserve(values.map(|bytes| bytes + 256).sum());
        let mut changes = Changes::new();
        let mut promised = Vec::with_capacity(group.len());
        let mut durable = 0;
        for Change { operations, done, _place } in group {
            let holds = self.holds(&operations, &changes).map_err(|error| format!("a read failed: {error}"))?;
            if holds {
                durable += 1;
                for operation in operations {
                    self.add(operation, &mut changes).map_err(|error| format!("a read failed: {error}"))?;
                }
            }
            promised.extend(done.map(|done| (done, if holds { Ok(()) } else { Err(StoreError::Conflict) })));
        }
        if is_planted(Fault::AcknowledgeBeforeSync) {
            promised.drain(..).for_each(|(done, result)| drop(done.send(result)));
        }
        if !self.frame.is_empty() {
            let before = self.appender.end().frame;
            let start = self.appender.append(&mut self.frame).map_err(|error| format!("a write failed: {error}"))?;
            self.appender.sync().map_err(|error| format!("fdatasync failed: {error}"))?;
            // Until now they were counted from the beginning of the frame.
            for slot in changes.values_mut().flatten() {
                slot.at = Position { segment: start.segment, offset: start.offset + slot.at.offset };
            }
            self.index.apply(changes, End { position: start, frame: before });
        }
        metrics::counter!("ringback_store_changes_total").increment(durable);
        for (done, result) in promised {
            // Who does not wait any more needs no answer.
            let _ = done.send(result);
        }
        Ok(())
    }

    /// The slot of a key after the changes of the group so far.
    fn slot(&self, key: &[u8], changes: &Changes) -> Result<Option<Slot>, StoreError> {
        changes.get(key).map_or_else(|| self.index.get(key), |slot| Ok(*slot))
    }

    /// Whether every precondition holds.
    fn holds(&self, operations: &[Operation], changes: &Changes) -> Result<bool, StoreError> {
        for operation in operations {
            if !self.is_met(operation, changes)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_met(&self, operation: &Operation, changes: &Changes) -> Result<bool, StoreError> {
        Ok(match operation {
            Operation::Expect { key, revision } => {
                self.slot(key, changes)?.map(|slot| slot.revision) == *revision
                    || is_planted(Fault::TwoWinners)
                    || is_planted(Fault::TimeoutAndCallback)
            }
            Operation::Succeed { key, revision } => {
                self.slot(key, changes)?.is_none_or(|slot| slot.revision == *revision)
            }
            Operation::Below { prefix, count, bytes } => is_below(&self.index, prefix, changes, *count, *bytes)?,
            Operation::AtLeast { prefix, count } => match count.checked_sub(1) {
                Some(fewer) => !is_below(&self.index, prefix, changes, fewer, usize::MAX)?,
                None => true,
            },
            Operation::Either([one, other]) => self.is_met(one, changes)? || self.is_met(other, changes)?,
            Operation::Grow { key, by, max } => {
                let number = self.slot(key, changes)?.map_or(0, |slot| slot.revision);
                number.checked_add(*by).is_some_and(|number| number <= *max)
            }
            Operation::Put { .. }
            | Operation::Delete(_)
            | Operation::DeletePrefix(_)
            | Operation::Forget { .. }
            | Operation::PutIf { .. }
            | Operation::Shrink { .. }
            | Operation::Move { .. } => true,
        })
    }

    fn add(&mut self, operation: Operation, changes: &mut Changes) -> Result<(), StoreError> {
        match operation {
            Operation::Expect { .. }
            | Operation::Succeed { .. }
            | Operation::Below { .. }
            | Operation::AtLeast { .. }
            | Operation::Either(_) => {}
            Operation::PutIf { key, prefix } => {
                if !is_below(&self.index, &prefix, changes, 0, usize::MAX)? {
                    self.put(key, 0, NOTHING, changes);
                }
            }
            Operation::Grow { key, by, .. } => {
                let number = self.slot(&key, changes)?.map_or(0, |slot| slot.revision);
                self.put(key, number.saturating_add(by), NOTHING, changes);
            }
            Operation::Shrink { key, of } => {
                let (number, taken) = (self.slot(&key, changes)?, self.slot(&of, changes)?);
                let taken = taken.map_or(0, |slot| kib(slot.length as usize));
                match number.map_or(0, |slot| slot.revision).saturating_sub(taken) {
                    0 => self.delete(key, changes)?,
                    number => self.put(key, number, NOTHING, changes),
                }
            }
            Operation::Forget { key, revision } => {
                if self.slot(&key, changes)?.is_some_and(|slot| slot.revision == revision) {
                    self.delete(key, changes)?;
                }
            }
            Operation::Put { key, revision, value } => self.put(key, revision, &value, changes),
            Operation::Delete(key) => self.delete(key, changes)?,
            Operation::DeletePrefix(prefix) => {
                let index = Arc::clone(&self.index);
                let mut keys = index.scan_prefix(&prefix).map(|found| Ok(found?.0)).collect::<Result<Vec<_>, _>>()?;
                let end = super::key::after_prefix(&prefix);
                keys.extend(changes.range(prefix..end).map(|(key, _)| key.clone()));
                for key in keys {
                    self.delete(key, changes)?;
                }
            }
            // A change of the same group is newer than any place in the log.
            Operation::Move { key, revision, value, from } => {
                if !changes.contains_key(&key) && self.index.get(&key)?.is_some_and(|slot| slot.at == from) {
                    self.put(key, revision, &value, changes);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, revision: u32, value: &[u8], changes: &mut Changes) {
        let offset = self.frame.add(&Record { key: &key, revision, value: Some(value) });
        let slot = Slot::new(revision, Position { segment: 0, offset }, value);
        changes.insert(key, Some(slot));
    }

    fn delete(&mut self, key: Vec<u8>, changes: &mut Changes) -> Result<(), StoreError> {
        if self.slot(&key, changes)?.is_some() {
            self.frame.add(&Record { key: &key, revision: 0, value: None });
            changes.insert(key, None);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Writer, sync_channel, watch};
    use crate::StoreError;

    #[tokio::test]
    async fn r13_a_full_queue_is_busy_and_a_stopped_store_is_not() {
        let (queue, messages) = sync_channel(0);
        let (_failed, failure) = watch::channel(None);
        let writer = Writer::of(queue, failure);
        assert!(matches!(writer.commit(Vec::new()).await, Err(StoreError::Busy)));
        assert!(!writer.write_behind(Vec::new()));
        drop(messages);
        assert!(matches!(writer.commit(Vec::new()).await, Err(StoreError::Stopped(_))));
        assert_eq!(writer.places.available_permits(), super::WAITING_MAX, "none keeps its place");
    }
}
