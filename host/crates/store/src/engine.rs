//! The log and its index behind the contract: reads here, writes through the one writer.

use super::index::{Index, Scan};
use super::journal::{self, Advanced};
use super::log::{KEY_BYTES_MAX, Log};
use super::open::Lock;
use super::slot::Slot;
use super::writer::{Operation, Writer};
use super::{ClaimPage, Due, DueKey, DuePage, Page, StoreError, Write, behind, key, keyed};
use crate::planted::{Fault, is_planted};
use base64::Engine as _;
use ringback_records::flow::FlowRecord;
use ringback_records::journal::{Entry, EntryKind, Status, Summary};
use ringback_records::json;
use ringback_records::name::{CallbackId, ExecutionId, Name, sha256_hex};
use ringback_records::outcome::Outcome;
use ringback_records::time::Timestamp;
use ringback_records::user::UserTokenRecord;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What a change depends on, as it is when the change is made: where it is and what it says.
pub(super) type Seen = BTreeMap<Vec<u8>, (Slot, Vec<u8>)>;

/// The keys of what has to be seen before a change can be made.
pub(super) fn needed(writes: &[Write]) -> Vec<Vec<u8>> {
    let needed = |write: &Write| match write {
        Write::Advance { workspace, before: Some(_), summary, .. } => Some(key::execution(workspace, summary.id)),
        Write::DeleteExecution { workspace, id, .. } => Some(key::execution(workspace, *id)),
        Write::DeleteCallback { workspace, id } => Some(key::callback(workspace, *id)),
        _ => None,
    };
    writes.iter().filter_map(needed).collect()
}

/// The open engine.
pub(super) struct Engine {
    /// Most bytes of one change.
    pub(super) change_bytes_max: usize,
    pub(super) log: Arc<Log>,
    pub(super) index: Arc<Index>,
    pub(super) writer: Arc<Writer>,
    /// Held while segments are moved or must stay.
    pub(super) cleaning: tokio::sync::Mutex<()>,
    /// Holds the lock on the directory.
    pub(super) _lock: Lock,
}

impl Engine {
    /// What a change is made of, to be given to the writer.
    pub(super) fn change(&self, writes: &[Write], seen: &Seen) -> Result<Vec<Operation>, StoreError> {
        let operations = self.operations(writes, seen)?;
        self.check_size(&operations)?;
        Ok(operations)
    }

    /// Whether what a change writes can be read again. Blocks of a journal do not count: they were in it before, so that an
    /// execution can always be ended.
    fn check_size(&self, operations: &[Operation]) -> Result<(), StoreError> {
        let mut left = self.change_bytes_max;
        for operation in operations {
            let (Operation::Put { key, .. }
            | Operation::PutIf { key, .. }
            | Operation::Delete(key)
            | Operation::DeletePrefix(key)) = operation
            else {
                continue;
            };
            if key.len() > KEY_BYTES_MAX {
                return Err(StoreError::TooLarge { what: "a key", max: KEY_BYTES_MAX });
            }
            if key.first() != Some(&key::JOURNAL) {
                let too_large = StoreError::TooLarge { what: "a change", max: self.change_bytes_max };
                left = left.checked_sub(operation.bytes()).ok_or(too_large)?;
            }
        }
        Ok(())
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.log.size_bytes() + self.index.size_bytes()
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.index.value(key)?.map(|value| parse(key, &value)).transpose()
    }

    /// What `read` makes of a value.
    pub(super) fn value_as<T>(
        &self,
        key: &[u8],
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.index.value(key)?.map(|value| read(key, &value)).transpose()
    }

    /// The values of a scan, with their keys. What goes while it is read is left out.
    pub(super) fn values<'e, T>(
        &'e self,
        scan: Scan<'e>,
        read_value: impl Fn(&[u8], &[u8]) -> Result<T, StoreError> + 'e,
    ) -> impl Iterator<Item = Result<(Vec<u8>, T), StoreError>> + 'e {
        scan.filter_map(move |found| {
            let read = || {
                let (key, slot) = found?;
                let Some(value) = self.index.value_at(&key, slot)? else { return Ok(None) };
                let value = read_value(&key, &value)?;
                Ok(Some((key, value)))
            };
            read().transpose()
        })
    }

    /// The first record of a range.
    pub(super) fn first<T: DeserializeOwned>(&self, start: Vec<u8>, end: Vec<u8>) -> Result<Option<T>, StoreError> {
        self.values(self.index.scan(start, end, false), parse).next().map(|found| Ok(found?.1)).transpose()
    }

    /// What `read` makes of every record under a prefix, in order.
    pub(super) fn list_as<T>(
        &self,
        prefix: &[u8],
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.values(self.index.scan_prefix(prefix), read).map(|item| Ok(item?.1)).collect()
    }

    /// Every record of a kind, with what `read_key` makes of its key.
    pub(super) fn list_all<K, T: DeserializeOwned>(
        &self,
        kind: u8,
        read_key: impl Fn(&[u8]) -> Option<K>,
    ) -> Result<Vec<(K, T)>, StoreError> {
        self.values(self.index.scan_prefix(&[kind]), parse)
            .map(|item| {
                let (key, value) = item?;
                Ok((key_of(&key, &read_key)?, value))
            })
            .collect()
    }

    /// What `read_key` makes of the keys of a range, at most so many.
    pub(super) fn scan_keys<K>(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        limit: usize,
        read_key: impl Fn(&[u8]) -> Option<K>,
    ) -> Result<Vec<K>, StoreError> {
        let keys = self.index.scan(start, end, false).take(limit);
        keys.map(|item| {
            let (key, _) = item?;
            read_key(&key).ok_or_else(|| StoreError::damaged(&key, "its key is not one".to_owned()))
        })
        .collect()
    }

    /// What `read_key` makes of the keys from `start` on under a prefix, at most so many.
    pub(super) fn page_of_keys<K: Clone>(
        &self,
        start: Vec<u8>,
        prefix: &[u8],
        limit: usize,
        read_key: impl Fn(&[u8]) -> Option<K>,
    ) -> Result<Page<K, K>, StoreError> {
        // One more says that there are others.
        let mut items = self.scan_keys(start, key::after_prefix(prefix), limit.saturating_add(1), read_key)?;
        let has_others = items.len() > limit;
        items.truncate(limit);
        let next = if has_others { items.last().cloned() } else { None };
        Ok(Page { items, next })
    }

    /// What is due in a workspace behind a key, and what removes the deliveries that are over.
    pub(super) fn due(
        &self,
        workspace: &Name,
        now: Timestamp,
        after: Option<DueKey>,
        limit: usize,
    ) -> Result<(DuePage, Vec<Operation>), StoreError> {
        let start = after.map_or_else(|| key::of_workspace(key::DUE, workspace), |DueKey(key)| behind(&key));
        let end = key::due(workspace, Timestamp::from_millis(now.as_millis() + 1), &[]);
        let (mut page, mut over, mut looked) = (DuePage::default(), Vec::new(), 0);
        for item in self.index.scan(start, end, false).take(limit) {
            let (due_key, slot) = item?;
            looked += 1;
            page.last = Some(DueKey(due_key.clone()));
            let about = key::parts_of_due(&due_key).map(|(_, _, about)| about).unwrap_or_default();
            let (kind, rest) = about.split_first().unwrap_or((&0, &[]));
            let found = match *kind {
                key::EXECUTION => key::workspace_and_id(rest).map(|(workspace, id)| Due::Execution { workspace, id }),
                key::MAILBOX => key::parts_of_mail(rest).map(|(workspace, execution, trigger, callback)| Due::Mail {
                    workspace,
                    execution,
                    trigger,
                    callback,
                }),
                key::EARLY => key::parts_by_key(rest).map(|(workspace, at, callback)| Due::Early {
                    workspace,
                    at,
                    callback: CallbackId::from_bytes(callback),
                }),
                key::DELIVERY => {
                    // Another one may have followed it in the meantime.
                    let forget = Operation::Forget { key: about.to_vec(), revision: slot.revision };
                    over.extend([forget, Operation::Delete(due_key)]);
                    continue;
                }
                _ => None,
            };
            page.items.push(found.ok_or_else(|| StoreError::damaged(&due_key, "its key is not one".to_owned()))?);
        }
        page.is_end = looked < limit;
        Ok((page, over))
    }

    /// Executions whose ids follow a prefix, each once, behind one of them.
    pub(super) fn claim(
        &self,
        prefix: &[u8],
        after: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ClaimPage, StoreError> {
        let behind = |id: ExecutionId| key::after_prefix(&[prefix, id.as_bytes()].concat());
        let end = key::after_prefix(prefix);
        let mut start = after.map_or_else(|| prefix.to_vec(), behind);
        let mut ids = Vec::new();
        'from: while ids.len() < limit {
            for item in self.index.scan(start.clone(), end.clone(), false) {
                let (key, _) = item?;
                let id = key.get(prefix.len()..).and_then(key::first_id);
                let id = id.ok_or_else(|| StoreError::damaged(&key, "its key is not one".to_owned()))?;
                // One of several with the same id, of which there may be many: the next one is behind them.
                if ids.last() == Some(&id) {
                    start = behind(id);
                    continue 'from;
                }
                if ids.len() == limit {
                    return Ok(ClaimPage { last: ids.last().copied(), ids });
                }
                ids.push(id);
            }
            return Ok(ClaimPage { ids, last: None });
        }
        Ok(ClaimPage { last: ids.last().copied(), ids })
    }

    pub(super) fn count(&self, prefix: &[u8], max: usize) -> Result<usize, StoreError> {
        self.index.scan_prefix(prefix).take(max).try_fold(0, |count, item| item.map(|_| count + 1))
    }

    /// Records of a range in order, at most so many, with what their keys end in after `prefix` bytes.
    pub(super) fn range<T: DeserializeOwned>(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        prefix: usize,
        limit: usize,
    ) -> Result<Vec<(String, T)>, StoreError> {
        self.values(self.index.scan(start, end, false), parse)
            .take(limit)
            .map(|item| {
                let (key, value) = item?;
                let rest = key.get(prefix..).and_then(key::text);
                let rest = rest.ok_or_else(|| StoreError::damaged(&key, "its key is not one".to_owned()))?;
                Ok((rest, value))
            })
            .collect()
    }

    /// The next lines of a journal, and the keys by which the execution is found: what runs, who waits, what is due.
    fn advance(
        &self,
        operations: &mut Vec<Operation>,
        workspace: &Name,
        before: Option<&Summary>,
        summary: &Summary,
        entries: &[Entry],
        seen: &Seen,
    ) -> Result<(), StoreError> {
        let key = key::execution(workspace, summary.id);
        operations.push(Operation::Expect { key: key.clone(), revision: before.map(|before| before.entries) });
        if before.is_none() && summary.environment != Name::default_name() {
            // It may have been removed in the meantime.
            let environment = key::environment(workspace, &summary.environment);
            operations.push(Operation::Expect { key: environment, revision: Some(0) });
        }
        let (old, new) = (before.map(|before| marks(workspace, before)).unwrap_or_default(), marks(workspace, summary));
        for mark in old.iter().filter(|mark| !new.contains(mark)) {
            operations.push(Operation::Delete(mark.clone()));
        }
        for mark in new.into_iter().filter(|mark| !old.contains(mark)) {
            put(operations, mark, &())?;
        }
        keyed::advance(operations, workspace, before, summary);
        let old = match before {
            None => None,
            Some(before) => match seen.get(&key) {
                Some((slot, value))
                    if slot.revision == before.entries
                        || is_planted(Fault::TwoWinners)
                        || (is_planted(Fault::TimeoutAndCallback) && is_timeout(entries)) =>
                {
                    Some(value)
                }
                _ => return Err(StoreError::Conflict),
            },
        };
        let Advanced { value, block } = journal::advance(&key, old.map(Vec::as_slice), summary, entries)?;
        if let Some((first, value)) = block {
            let key = key::journal_entries(workspace, summary.id, first);
            operations.push(Operation::Put { key, revision: 0, value });
        }
        operations.push(Operation::Put { key, revision: summary.entries, value });
        Ok(())
    }

    /// What gives waits their environment that were written before waits had one.
    pub(super) fn old_waits(&self) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::new();
        for found in self.index.scan_prefix(&[key::WAIT]) {
            let (old, _) = found?;
            let Some((workspace, id)) = key::wait_without_environment(&old) else { continue };
            operations.push(Operation::Delete(old));
            let summary = self.value_as(&key::execution(&workspace, id), journal::summary)?;
            for mark in summary.iter().flat_map(|summary| marks(&workspace, summary)) {
                put(&mut operations, mark, &())?;
            }
        }
        Ok(operations)
    }

    /// What puts tokens in order by their users that were made before they were: there are some while nothing is in order.
    pub(super) fn old_user_tokens(&self) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::new();
        if self.index.scan_prefix(&[key::USER_TOKEN_OF]).next().is_none() {
            let tokens = self.list_all::<_, UserTokenRecord>(key::USER_TOKEN, key::workspace_and_text)?;
            for ((workspace, hash), record) in tokens {
                put(&mut operations, key::token_of_user(&workspace, &record.user, &hash), &())?;
            }
        }
        Ok(operations)
    }

    /// What remembers the dropped signatures that records of flows have, which is what was before they were kept by themselves.
    pub(super) fn old_dropped_signatures(&self) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::new();
        for ((workspace, _), record) in self.list_all::<_, FlowRecord>(key::FLOW, key::workspace_and_name)? {
            let callbacks = record.ids.values().flat_map(|ids| ids.callbacks.values());
            for hash in callbacks.flat_map(|callback| &callback.dropped) {
                let key = key::dropped_signature(&workspace, hash);
                if self.index.get(&key)?.is_none() {
                    put(&mut operations, key, &())?;
                }
            }
        }
        Ok(operations)
    }

    /// A change as operations on records. Encoding happens in the caller's thread: the writer only writes.
    fn operations(&self, writes: &[Write], seen: &Seen) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::with_capacity(writes.len() + 2);
        for write in writes {
            match write {
                Write::PutFlow { workspace, record } => {
                    put(&mut operations, key::flow(workspace, &record.name), record)?
                }
                Write::PutFlowVersion { workspace, name, version, record } => {
                    put(&mut operations, key::flow_version(workspace, name, *version), record)?;
                }
                Write::ExpectFlowVersion { workspace, name, version } => {
                    let key = key::flow_version(workspace, name, *version);
                    operations.push(Operation::Expect { key, revision: Some(0) });
                }
                Write::DeleteFlowVersions { workspace, name, versions } => {
                    let keys = versions.iter().map(|version| key::flow_version(workspace, name, *version));
                    operations.extend(keys.map(Operation::Delete));
                }
                Write::DropSignature { workspace, signature } => {
                    put(&mut operations, key::dropped_signature(workspace, &sha256_hex(signature.as_bytes())), &())?;
                }
                Write::DeleteFlow { workspace, name, version } => {
                    operations.push(Operation::Delete(key::flow(workspace, name)));
                    operations.push(Operation::DeletePrefix(key::flow_versions(workspace, name)));
                    put(&mut operations, key::flow_removed(workspace, name), version)?;
                }
                Write::PutPlugin { workspace, record } => {
                    put(&mut operations, key::plugin(workspace, &record.name), record)?;
                }
                Write::DeletePlugin { workspace, name } => {
                    operations.push(Operation::Delete(key::plugin(workspace, name)));
                    operations.push(Operation::DeletePrefix(key::states(workspace, name)));
                }
                Write::PutCallback { workspace, before, record } => {
                    let by = |outcome| callback_by(workspace, record.id, record.flow.as_ref(), outcome);
                    let before = before.filter(|before| *before != record.outcome);
                    operations.extend(before.map(by).map(Operation::Delete));
                    put(&mut operations, by(record.outcome), &())?;
                    put(&mut operations, key::callback(workspace, record.id), record)?;
                }
                Write::Advance { workspace, before, summary, entries } => {
                    self.advance(&mut operations, workspace, before.as_deref(), summary, entries, seen)?;
                }
                Write::PutMail { .. } if is_planted(Fault::LostEarlyCallback) => {}
                Write::PutMail { workspace, execution, entries, trigger, mail, limits } => {
                    let revision = Some(*entries);
                    operations.push(Operation::Expect { key: key::execution(workspace, *execution), revision });
                    let mail_key = key::mail(workspace, *execution, trigger, mail.callback);
                    put(&mut operations, key::due(workspace, mail.expires_at, &mail_key), &())?;
                    let value = to_json(&mail_key, mail)?;
                    operations.push(Operation::Below {
                        prefix: key::mailbox(workspace, *execution, trigger),
                        count: limits.count_max.saturating_sub(1),
                        bytes: limits.bytes_max.saturating_sub(value.len()),
                    });
                    operations.push(Operation::Put { key: mail_key, revision: 0, value });
                }
                Write::TakeMail { workspace, execution, trigger, mail } => {
                    let mail_key = key::mail(workspace, *execution, trigger, mail.callback);
                    operations.push(Operation::Expect { key: mail_key.clone(), revision: Some(0) });
                    operations.push(Operation::Delete(key::due(workspace, mail.expires_at, &mail_key)));
                    operations.push(Operation::Delete(mail_key));
                }
                Write::PutEarly { .. } if is_planted(Fault::LostEarlyCallback) => {}
                Write::PutEarly { workspace, at, mail, limits, unless } => {
                    keyed::put_early(&mut operations, workspace, at, mail, limits, *unless)?;
                }
                Write::TakeEarly { workspace, at, mail } => {
                    keyed::take_early(&mut operations, workspace, at, mail);
                }
                Write::EndTurn { workspace, at, holders } => {
                    operations.extend(keyed::end_turn(workspace, at, *holders));
                }
                Write::ExpectKey { workspace, at, most } => {
                    operations.extend(keyed::expect(workspace, at, *most));
                }
                Write::PutDelivery { .. } if is_planted(Fault::ForgottenDelivery) => {}
                Write::PutDelivery { workspace, flow, trigger, identity, delivery, over } => {
                    let delivery_key = key::delivery(workspace, flow, trigger, identity);
                    operations.push(match over {
                        None => Operation::Expect { key: delivery_key.clone(), revision: None },
                        Some(over) => Operation::Succeed { key: delivery_key.clone(), revision: over.revision },
                    });
                    if let Some(over) = over {
                        operations.push(Operation::Delete(key::due(workspace, over.expires_at, &delivery_key)));
                    }
                    let (due_key, revision) =
                        (key::due(workspace, delivery.expires_at, &delivery_key), delivery.revision);
                    let value = to_json(&due_key, &())?;
                    operations.push(Operation::Put { key: due_key, revision, value });
                    let value = to_json(&delivery_key, delivery)?;
                    operations.push(Operation::Put { key: delivery_key, revision, value });
                }
                Write::PutDeferred { workspace, id } => put(&mut operations, key::deferred(workspace, *id), &())?,
                Write::TakeDeferred { workspace, id } => {
                    let deferred = key::deferred(workspace, *id);
                    operations.push(Operation::Expect { key: deferred.clone(), revision: Some(0) });
                    operations.push(Operation::Delete(deferred));
                }
                Write::PutResumed { workspace, callback, execution } => {
                    put(&mut operations, key::resumed(workspace, *callback, *execution), &())?;
                }
                Write::DeleteResumed { workspace, callback } => {
                    operations.push(Operation::DeletePrefix(key::all_resumed(workspace, *callback)));
                }
                Write::DeleteCallback { workspace, id } => {
                    let key = key::callback(workspace, *id);
                    if let Some((_, value)) = seen.get(&key) {
                        let Known { flow, outcome } = parse(&key, value)?;
                        operations.push(Operation::Delete(callback_by(workspace, *id, flow.as_ref(), outcome)));
                    }
                    operations.push(Operation::Delete(key));
                }
                Write::DeleteExecution { workspace, id, entries } => {
                    let key = key::execution(workspace, *id);
                    operations.push(Operation::Expect { key: key.clone(), revision: Some(*entries) });
                    if let Some((_, value)) = seen.get(&key) {
                        let summary = journal::summary(&key, value)?;
                        operations.extend(marks(workspace, &summary).into_iter().map(Operation::Delete));
                        operations.extend(keyed::forget(workspace, &summary));
                    }
                    operations.push(Operation::Delete(key));
                    operations.push(Operation::DeletePrefix(key::journal(workspace, *id)));
                }
                Write::PutSecret { workspace, name, record } => {
                    put(&mut operations, key::secret(workspace, name), record)?;
                }
                Write::DeleteSecret { workspace, name } => {
                    operations.push(Operation::Delete(key::secret(workspace, name)));
                }
                Write::PutEnvironment { workspace, name, record } => {
                    put(&mut operations, key::environment(workspace, name), record)?;
                }
                Write::DeleteEnvironment { workspace, name } => {
                    operations.push(Operation::Delete(key::environment(workspace, name)));
                    operations.push(Operation::DeletePrefix(key::vars(workspace, name)));
                    let secrets = ringback_records::secret::name_in(name, "");
                    operations.push(Operation::DeletePrefix(key::secret(workspace, &secrets)));
                }
                Write::PutVar { workspace, environment, name, record } => {
                    put(&mut operations, key::var(workspace, environment, name), record)?;
                }
                Write::DeleteVar { workspace, environment, name } => {
                    operations.push(Operation::Delete(key::var(workspace, environment, name)));
                }
                Write::PutRedirectOrigin { workspace, origin, record } => {
                    put(&mut operations, key::redirect_origin(workspace, origin), record)?;
                }
                Write::DeleteRedirectOrigin { workspace, origin } => {
                    operations.push(Operation::Delete(key::redirect_origin(workspace, origin)));
                }
                Write::PutUser { workspace, id, record } => put(&mut operations, key::user(workspace, id), record)?,
                Write::DeleteUser { workspace, id } => operations.push(Operation::Delete(key::user(workspace, id))),
                Write::PutTicket { workspace, before, record } => {
                    let ticket_key = key::ticket(workspace, record.id);
                    operations.push(Operation::Expect { key: ticket_key.clone(), revision: *before });
                    if before.is_none() {
                        operations.push(Operation::Expect { key: key::ticket_state(record.state), revision: None });
                        put(&mut operations, key::ticket_state(record.state), &(workspace, record.id))?;
                    }
                    let value = to_json(&ticket_key, record)?;
                    operations.push(Operation::Put { key: ticket_key, revision: record.revision, value });
                }
                Write::DeleteTicket { workspace, id, state, revision } => {
                    let key = key::ticket(workspace, *id);
                    operations.push(Operation::Expect { key: key.clone(), revision: Some(*revision) });
                    operations.push(Operation::Delete(key));
                    operations.push(Operation::Delete(key::ticket_state(*state)));
                }
                Write::PutUserToken { workspace, hash, record } => {
                    put(&mut operations, key::token_of_user(workspace, &record.user, hash), &())?;
                    put(&mut operations, key::user_token(workspace, hash), record)?;
                }
                Write::DeleteUserToken { workspace, user, hash } => {
                    operations.push(Operation::Delete(key::token_of_user(workspace, user, hash)));
                    operations.push(Operation::Delete(key::user_token(workspace, hash)));
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

/// By what a stored callback is found.
#[derive(Deserialize)]
struct Known {
    #[serde(default)]
    flow: Option<Name>,
    outcome: Outcome,
}

fn callback_by(workspace: &Name, id: CallbackId, flow: Option<&Name>, outcome: Outcome) -> Vec<u8> {
    [&key::of_flow(key::callbacks_with(workspace, outcome), flow)[..], id.as_bytes()].concat()
}

fn marks(workspace: &Name, summary: &Summary) -> Vec<Vec<u8>> {
    let mut marks = Vec::new();
    if summary.status == Status::Running {
        marks.push(key::running(workspace, summary.id));
    } else {
        let with = key::executions_with(workspace, summary.status);
        marks.push([&key::of_flow(with, Some(&summary.flow))[..], summary.id.as_bytes()].concat());
    }
    marks.extend(keyed::marks(workspace, summary));
    for wait in &summary.waits {
        if let Some(trigger) = &wait.trigger {
            let waits = key::waits(workspace, &summary.environment, &summary.flow, trigger);
            marks.push(key::wait(&waits, wait.since, summary.id));
        }
        marks.extend(wait.until.map(|until| key::due(workspace, until, &key::execution(workspace, summary.id))));
    }
    marks
}

fn is_timeout(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| matches!(entry.kind, EntryKind::TimedOut { .. }))
}

/// Values are JSON: no value can contain what looks like a frame of the log, which begins with a control character.
pub(super) fn put<T: Serialize + ?Sized>(
    operations: &mut Vec<Operation>,
    key: Vec<u8>,
    value: &T,
) -> Result<(), StoreError> {
    let value = to_json(&key, value)?;
    operations.push(Operation::Put { key, revision: 0, value });
    Ok(())
}

pub(super) fn to_json<T: Serialize + ?Sized>(key: &[u8], value: &T) -> Result<Vec<u8>, StoreError> {
    at_once(|out| serde_json::to_writer(out, value))
        .map_err(|error| StoreError::damaged(key, format!("it cannot be written: {error}")))
}

/// What `write` writes, in memory of its size: what grows to many megabytes leaves as many behind.
pub(super) fn at_once(write: impl Fn(&mut Text) -> serde_json::Result<()>) -> serde_json::Result<Vec<u8>> {
    let mut text = Text { bytes: Vec::with_capacity(1024), length: 0, kept_max: 256 << 10 };
    write(&mut text)?;
    if text.length > text.bytes.len() {
        text = Text { bytes: Vec::with_capacity(text.length), length: 0, kept_max: usize::MAX };
        write(&mut text)?;
    }
    Ok(text.bytes)
}

/// Keeps what is short; of what is long it counts the bytes.
pub(super) struct Text {
    bytes: Vec<u8>,
    length: usize,
    kept_max: usize,
}

impl io::Write for Text {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len();
        if self.length <= self.kept_max {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn parse<T: DeserializeOwned>(key: &[u8], payload: &[u8]) -> Result<T, StoreError> {
    json::from_own(payload).map_err(|error| StoreError::damaged(key, error.to_string()))
}

/// What `read_key` makes of a key without its kind.
fn key_of<K>(key: &[u8], read_key: impl Fn(&[u8]) -> Option<K>) -> Result<K, StoreError> {
    let parsed = key.get(1..).and_then(read_key);
    parsed.ok_or_else(|| StoreError::damaged(key, "its key is not one".to_owned()))
}
