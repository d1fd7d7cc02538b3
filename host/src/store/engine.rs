//! The log and its index behind the contract: reads here, writes through the one writer.

use super::index::{Index, Scan};
use super::log::Log;
use super::writer::{Operation, Writer};
use super::{Page, StoreError, Write, key};
use base64::Engine as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::sync::Arc;

/// Most records that one page looks at: a filter that accepts little must not read the whole store.
pub(super) const SCANNED_MAX: usize = 10_000;

/// The open engine.
pub(super) struct Engine {
    pub(super) log: Arc<Log>,
    pub(super) index: Arc<Index>,
    pub(super) writer: Arc<Writer>,
    /// Holds the lock on the directory.
    pub(super) _lock: File,
}

impl Engine {
    pub(super) async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let operations = self.operations(writes)?;
        self.writer.commit(operations).await
    }

    pub(super) fn write_behind(&self, writes: &[Write]) -> bool {
        self.operations(writes).is_ok_and(|operations| self.writer.write_behind(operations))
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.log.size_bytes() + self.index.size_bytes()
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.index.value(key)?.map(|value| parse(key, &value)).transpose()
    }

    /// The values of a scan, with their keys. What goes while it is read is left out.
    fn values<'e, T: DeserializeOwned>(
        &'e self,
        scan: Scan<'e>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, T), StoreError>> + 'e {
        scan.filter_map(|found| {
            let read = || {
                let (key, slot) = found?;
                let Some(value) = self.index.value_at(&key, slot)? else { return Ok(None) };
                let value = parse(&key, &value)?;
                Ok(Some((key, value)))
            };
            read().transpose()
        })
    }

    /// Every record under a prefix, in order.
    pub(super) fn list<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Vec<T>, StoreError> {
        self.values(self.index.scan_prefix(prefix)).map(|item| Ok(item?.1)).collect()
    }

    /// Every record of a kind, with what `read_key` makes of its key.
    pub(super) fn list_all<K, T: DeserializeOwned>(
        &self,
        kind: u8,
        read_key: impl Fn(&[u8]) -> Option<K>,
    ) -> Result<Vec<(K, T)>, StoreError> {
        self.values(self.index.scan_prefix(&[kind]))
            .map(|item| {
                let (key, value) = item?;
                Ok((key_of(&key, &read_key)?, value))
            })
            .collect()
    }

    /// What `read_key` makes of every key of a kind.
    pub(super) fn keys<K>(&self, kind: u8, read_key: impl Fn(&[u8]) -> Option<K>) -> Result<Vec<K>, StoreError> {
        self.index.scan_prefix(&[kind]).map(|item| key_of(&item?.0, &read_key)).collect()
    }

    pub(super) fn count(&self, prefix: &[u8], max: usize) -> Result<usize, StoreError> {
        self.index.scan_prefix(prefix).take(max).try_fold(0, |count, item| item.map(|_| count + 1))
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
        for (scanned, item) in self.values(self.index.scan(prefix.to_vec(), end, true)).enumerate() {
            if page.items.len() == limit || scanned == SCANNED_MAX {
                page.next = last;
                break;
            }
            let (key, value) = item?;
            last = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
            if wanted(&value) {
                page.items.push(value);
            }
        }
        Ok(page)
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
                    let revision = (first > 0).then_some(first);
                    operations.push(Operation::Expect { key: summary_key.clone(), revision });
                    let value = to_json(&summary_key, summary)?;
                    operations.push(Operation::Put { key: summary_key, revision: summary.entries, value });
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
                    let value = base64::engine::general_purpose::STANDARD_NO_PAD.encode(value);
                    put(&mut operations, key::state(workspace, plugin, key), &value)?;
                }
                Write::DeleteState { workspace, plugin, key } => {
                    operations.push(Operation::Delete(key::state(workspace, plugin, key)));
                }
            }
        }
        Ok(operations)
    }
}

/// Values are JSON: no value can contain what looks like a frame of the log, which begins with a control character.
fn put<T: Serialize + ?Sized>(operations: &mut Vec<Operation>, key: Vec<u8>, value: &T) -> Result<(), StoreError> {
    let value = to_json(&key, value)?;
    operations.push(Operation::Put { key, revision: 0, value });
    Ok(())
}

fn to_json<T: Serialize + ?Sized>(key: &[u8], value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::damaged(key, format!("it cannot be written: {error}")))
}

fn parse<T: DeserializeOwned>(key: &[u8], payload: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(payload).map_err(|error| StoreError::damaged(key, error.to_string()))
}

/// What `read_key` makes of a key without its kind.
fn key_of<K>(key: &[u8], read_key: impl Fn(&[u8]) -> Option<K>) -> Result<K, StoreError> {
    let parsed = key.get(1..).and_then(read_key);
    parsed.ok_or_else(|| StoreError::damaged(key, "its key is not one".to_owned()))
}
