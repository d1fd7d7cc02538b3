//! sled behind the contract: reads here, writes through the one writer.

use super::record::{Record, decode, encode};
use super::writer::{Operation, Writer};
use super::{Page, StoreError, Write, key};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::path::PathBuf;

/// Most records that one page looks at: a filter that accepts little must not read the whole store.
pub(super) const SCANNED_MAX: usize = 10_000;

/// The open engine.
pub(super) struct Engine {
    pub(super) db: sled::Db,
    directory: PathBuf,
    writer: Writer,
    /// Holds the lock on the directory.
    _lock: File,
}

impl Engine {
    pub(super) fn new(db: sled::Db, directory: PathBuf, database_file: File, lock: File) -> Self {
        let writer = Writer::start(db.clone(), database_file);
        Self { db, directory, writer, _lock: lock }
    }

    pub(super) async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let operations = self.operations(writes)?;
        self.writer.commit(operations).await
    }

    pub(super) fn write_behind(&self, writes: &[Write]) -> bool {
        self.operations(writes).is_ok_and(|operations| self.writer.write_behind(operations))
    }

    pub(super) async fn failed(&self) -> String {
        self.writer.failed().await
    }

    pub(super) async fn close(&self) {
        self.writer.close().await;
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or_default()
    }

    pub(super) fn blob_count(&self) -> usize {
        std::fs::read_dir(self.directory.join("blobs")).map(Iterator::count).unwrap_or_default()
    }

    pub(super) fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let record = self.db.get(key).map_err(read_error)?;
        record.map(|record| self.payload(key, &record)).transpose()
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get_bytes(key)?.map(|payload| parse(key, &payload)).transpose()
    }

    /// Every record under a prefix, in order.
    pub(super) fn list<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Vec<T>, StoreError> {
        self.db
            .scan_prefix(prefix)
            .map(|item| {
                let (key, record) = item.map_err(read_error)?;
                parse(&key, &self.payload(&key, &record)?)
            })
            .collect()
    }

    /// Every record of a kind, with what `read_key` makes of its key.
    pub(super) fn list_all<K, T: DeserializeOwned>(
        &self,
        kind: u8,
        read_key: impl Fn(&[u8]) -> Option<K>,
    ) -> Result<Vec<(K, T)>, StoreError> {
        self.db
            .scan_prefix([kind])
            .map(|item| {
                let (key, record) = item.map_err(read_error)?;
                let value = parse(&key, &self.payload(&key, &record)?)?;
                let name =
                    key.get(1..).and_then(&read_key).ok_or_else(|| damaged(&key, "its key is not one".into()))?;
                Ok((name, value))
            })
            .collect()
    }

    /// What `read_key` makes of every key of a kind.
    pub(super) fn keys<K>(&self, kind: u8, read_key: impl Fn(&[u8]) -> Option<K>) -> Result<Vec<K>, StoreError> {
        self.db
            .scan_prefix([kind])
            .keys()
            .map(|key| {
                let key = key.map_err(read_error)?;
                key.get(1..).and_then(&read_key).ok_or_else(|| damaged(&key, "its key is not one".into()))
            })
            .collect()
    }

    pub(super) fn count(&self, prefix: &[u8], max: usize) -> Result<usize, StoreError> {
        self.db
            .scan_prefix(prefix)
            .keys()
            .take(max)
            .try_fold(0, |count, key| key.map(|_| count + 1).map_err(read_error))
    }

    /// Records under a prefix that `wanted` accepts, last first, before the id `before`.
    pub(super) fn page<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        before: Option<[u8; 16]>,
        limit: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Page<T>, StoreError> {
        let end = [prefix, &before.unwrap_or([0xff; 16])].concat();
        let mut page = Page { items: Vec::new(), next: None };
        let mut last = None;
        for (scanned, item) in self.db.range(prefix.to_vec()..end).rev().enumerate() {
            if page.items.len() == limit || scanned == SCANNED_MAX {
                page.next = last;
                break;
            }
            let (key, record) = item.map_err(read_error)?;
            last = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
            let value = parse(&key, &self.payload(&key, &record)?)?;
            if wanted(&value) {
                page.items.push(value);
            }
        }
        Ok(page)
    }

    fn payload(&self, key: &[u8], record: &[u8]) -> Result<Vec<u8>, StoreError> {
        match decode(record).map_err(|problem| damaged(key, problem))? {
            (_, Record::Whole(payload)) => Ok(payload.to_vec()),
            (_, Record::Chunk(_)) => Err(damaged(key, "it is a chunk".to_owned())),
            (_, Record::Chunked { length, chunks }) => {
                let mut payload = Vec::new();
                for index in 0..chunks {
                    let chunk_key = key::chunk(key, index);
                    let chunk = self.db.get(&chunk_key).map_err(read_error)?;
                    let chunk = chunk.ok_or_else(|| damaged(key, format!("chunk {index} is missing")))?;
                    match decode(&chunk).map_err(|problem| damaged(&chunk_key, problem))? {
                        (_, Record::Chunk(part)) => payload.extend_from_slice(part),
                        _ => return Err(damaged(&chunk_key, "it is not a chunk".to_owned())),
                    }
                }
                if payload.len() as u64 != length {
                    return Err(damaged(key, format!("it has {} bytes instead of {length}", payload.len())));
                }
                Ok(payload)
            }
        }
    }

    /// A change as operations on records. Encoding happens in the caller's thread: the writer only writes.
    fn operations(&self, writes: &[Write]) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::with_capacity(writes.len() + 2);
        for write in writes {
            match write {
                Write::PutFlow { workspace, record } => {
                    put(&mut operations, key::flow(workspace, &record.name), record)?
                }
                Write::PutFlowVersion { workspace, name, version, source } => {
                    put(&mut operations, key::flow_version(workspace, name, *version), source)?;
                }
                Write::DeleteFlow { workspace, name } => {
                    operations.push(Operation::Delete(key::flow(workspace, name)));
                    operations.push(Operation::DeletePrefix(key::flow_versions(workspace, name)));
                }
                Write::PutPlugin { workspace, record } => {
                    put(&mut operations, key::plugin(workspace, &record.name), record)?;
                }
                Write::DeletePlugin { workspace, name } => {
                    operations.push(Operation::Delete(key::plugin(workspace, name)));
                    operations.push(Operation::DeletePrefix(key::states(workspace, name)));
                }
                Write::PutCallback { workspace, record } => {
                    put(&mut operations, key::callback(workspace, record.id), record)?;
                }
                Write::Advance { workspace, summary, entries } => {
                    let added = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                    let first = summary.entries.saturating_sub(added);
                    let summary_key = key::execution(workspace, summary.id);
                    operations.push(Operation::Expect {
                        key: summary_key.clone(),
                        revision: (first > 0).then_some(first),
                        becomes: summary.entries,
                    });
                    let payload = to_json(&summary_key, summary)?;
                    operations.extend(encode(&summary_key, summary.entries, &payload).into_iter().map(Operation::from));
                    // The entries of one change are one record: each record costs the engine about as much as its bytes.
                    if !entries.is_empty() {
                        put(&mut operations, key::journal_entries(workspace, summary.id, first), entries)?;
                    }
                    let running = key::running(workspace, summary.id);
                    if !summary.status.is_ended() {
                        put(&mut operations, running, &())?;
                    } else if first > 0 {
                        operations.push(Operation::Delete(running));
                    }
                }
                Write::PutSecret { workspace, name, record } => {
                    put(&mut operations, key::secret(workspace, name), record)?;
                }
                Write::DeleteSecret { workspace, name } => {
                    operations.push(Operation::Delete(key::secret(workspace, name)));
                }
                Write::PutToken { id, record } => put(&mut operations, key::token(id), record)?,
                Write::DeleteToken { id } => operations.push(Operation::Delete(key::token(id))),
                Write::PutState { workspace, plugin, key, value } => {
                    put_bytes(&mut operations, &key::state(workspace, plugin, key), value);
                }
                Write::DeleteState { workspace, plugin, key } => {
                    operations.push(Operation::Delete(key::state(workspace, plugin, key)));
                }
            }
        }
        Ok(operations)
    }
}

fn put<T: Serialize + ?Sized>(operations: &mut Vec<Operation>, key: Vec<u8>, value: &T) -> Result<(), StoreError> {
    let payload = to_json(&key, value)?;
    put_bytes(operations, &key, &payload);
    Ok(())
}

fn put_bytes(operations: &mut Vec<Operation>, key: &[u8], payload: &[u8]) {
    operations.extend(encode(key, 0, payload).into_iter().map(Operation::from));
}

fn to_json<T: Serialize + ?Sized>(key: &[u8], value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| damaged(key, format!("it cannot be written: {error}")))
}

fn parse<T: DeserializeOwned>(key: &[u8], payload: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(payload).map_err(|error| damaged(key, error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
pub(super) fn read_error(error: sled::Error) -> StoreError {
    StoreError::Read(error.to_string())
}

pub(super) fn damaged(key: &[u8], problem: String) -> StoreError {
    StoreError::Damaged { key: key.escape_ascii().to_string(), problem }
}
