//! What is found by a key: who waits for it, who holds it, and callbacks that are kept for it.
//!
//! What is kept for a key is there before whoever begins to wait for it, since it is put only while nobody does, or behind what
//! is there already. So who begins to wait looks once, and whoever has something to look at is marked in the same change.

use super::contract::{ByKey, EarlyLimits, KeyAt, Mail, MostByKey, NoRoom, Unless};
use super::index::Changes;
use super::writer::{NOTHING, Operation, is_below, kib};
use super::{Page, Store, StoreError, behind, key};
use ringback_records::journal::Summary;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::CallbackRecord;
use ringback_records::time::Timestamp;

fn value_of(mail: &Mail) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(mail)
        .map_err(|error| StoreError::damaged(&[key::EARLY], format!("it cannot be written: {error}")))
}

/// Where an execution waits for keys.
fn waits(summary: &Summary) -> impl Iterator<Item = (KeyAt, Timestamp)> {
    summary.waits.iter().filter_map(|wait| {
        let at = KeyAt::of(summary, wait.trigger.as_ref()?, wait.key.as_ref()?);
        Some((at, wait.since))
    })
}

fn wait(workspace: &Name, at: &KeyAt, since: Timestamp, id: ExecutionId) -> Vec<u8> {
    key::wait(&key::by_key(key::KEY_WAIT, workspace, at), since, id)
}

/// By what an execution is found.
pub(super) fn marks(workspace: &Name, summary: &Summary) -> Vec<Vec<u8>> {
    let waits = waits(summary).map(|(at, since)| wait(workspace, &at, since, summary.id));
    let holds = summary.holds.iter().map(|held| KeyAt::of(summary, &held.trigger, &held.key));
    let holds = holds.map(|at| key::by_key_and_id(key::KEY_HELD, workspace, &at, summary.id.as_bytes()));
    waits.chain(holds).collect()
}

/// Marks who begins to wait for a key for which something is kept, and whose wait is over no more.
pub(super) fn advance(operations: &mut Vec<Operation>, workspace: &Name, before: Option<&Summary>, after: &Summary) {
    let old: Vec<_> = before.into_iter().flat_map(waits).collect();
    let new: Vec<_> = waits(after).collect();
    if old != new && !old.is_empty() {
        operations.push(Operation::Delete(key::has_early(workspace, after.id)));
    }
    // Whoever lets go of a key lets the next one have its turn.
    for held in before.into_iter().flat_map(|before| &before.holds).filter(|held| !after.holds.contains(held)) {
        let at = KeyAt::of(after, &held.trigger, &held.key);
        let (key, prefix) = (key::by_key(key::TURN, workspace, &at), key::by_key(key::EARLY, workspace, &at));
        operations.push(Operation::PutIf { key, prefix });
    }
    for (at, _) in new.iter().filter(|wait| !old.contains(wait)) {
        let (key, prefix) = (key::has_early(workspace, after.id), key::by_key(key::EARLY, workspace, at));
        operations.push(Operation::PutIf { key, prefix });
    }
}

/// What goes with an execution that is forgotten.
pub(super) fn forget(workspace: &Name, summary: &Summary) -> Option<Operation> {
    waits(summary).next().map(|_| Operation::Delete(key::has_early(workspace, summary.id)))
}

pub(super) fn put_early(
    operations: &mut Vec<Operation>,
    workspace: &Name,
    at: &KeyAt,
    mail: &Mail,
    limits: &EarlyLimits,
    unless: Unless,
) -> Result<(), StoreError> {
    let prefix = key::by_key(key::EARLY, workspace, at);
    let is_behind = Operation::AtLeast { prefix: prefix.clone(), count: 1 };
    let is_free = match unless {
        Unless::Awaited => {
            Operation::Below { prefix: key::by_key(key::KEY_WAIT, workspace, at), count: 0, bytes: usize::MAX }
        }
        Unless::HeldByLess(count) => Operation::AtLeast { prefix: key::by_key(key::KEY_HELD, workspace, at), count },
    };
    operations.push(Operation::Either([Box::new(is_free), Box::new(is_behind)]));
    let early = key::by_key_and_id(key::EARLY, workspace, at, mail.callback.as_bytes());
    let (due, value) = (key::due(workspace, mail.expires_at, &early), value_of(mail)?);
    operations.push(Operation::Put { key: due, revision: 0, value: NOTHING.to_vec() });
    operations.push(Operation::Below {
        prefix,
        count: limits.of_key.count_max.saturating_sub(1),
        bytes: limits.of_key.bytes_max.saturating_sub(value.len()),
    });
    let (key, max) = (key::early_kib(workspace), limits.workspace_kib_max);
    operations.push(Operation::Grow { key, by: kib(value.len()), max });
    operations.push(Operation::Put { key: early, revision: 0, value });
    Ok(())
}

pub(super) fn take_early(operations: &mut Vec<Operation>, workspace: &Name, at: &KeyAt, mail: &Mail) {
    let early = key::by_key_and_id(key::EARLY, workspace, at, mail.callback.as_bytes());
    operations.extend([
        Operation::Expect { key: early.clone(), revision: Some(0) },
        Operation::Shrink { key: key::early_kib(workspace), of: early.clone() },
        Operation::Delete(key::due(workspace, mail.expires_at, &early)),
        Operation::Delete(early),
    ]);
}

pub(super) fn expect(workspace: &Name, at: &KeyAt, most: MostByKey) -> impl Iterator<Item = Operation> {
    let MostByKey { waits, holds, early } = most;
    let all = [(key::KEY_WAIT, waits), (key::KEY_HELD, holds), (key::EARLY, early)];
    all.into_iter().filter(|(_, count)| *count < usize::MAX).map(|(kind, count)| Operation::Below {
        prefix: key::by_key(kind, workspace, at),
        count,
        bytes: usize::MAX,
    })
}

pub(super) fn end_turn(workspace: &Name, at: &KeyAt, holders: usize) -> [Operation; 2] {
    let nothing = Operation::Below { prefix: key::by_key(key::EARLY, workspace, at), count: 0, bytes: usize::MAX };
    let full = Operation::AtLeast { prefix: key::by_key(key::KEY_HELD, workspace, at), count: holders };
    let turn = key::by_key(key::TURN, workspace, at);
    [Operation::Either([Box::new(nothing), Box::new(full)]), Operation::Delete(turn)]
}

impl Store {
    /// Workspaces in which somebody let go of a key for which something is kept, by their names.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn turning(&self) -> Result<Vec<Name>, StoreError> {
        self.read(|store| store.engine.workspaces_of(key::TURN)).await
    }

    /// Keys of a workspace that somebody let go of while something was kept for them, from `after` on, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn turns(
        &self,
        workspace: &Name,
        after: Option<&KeyAt>,
        limit: usize,
    ) -> Result<Page<KeyAt, KeyAt>, StoreError> {
        let prefix = key::of_workspace(key::TURN, workspace);
        let start = after.map_or_else(|| prefix.clone(), |at| behind(&key::by_key(key::TURN, workspace, at)));
        self.read(move |store| {
            store.engine.page_of_keys(start, &prefix, limit, |key| key.get(1..).and_then(key::at_of))
        })
        .await
    }

    /// What is there by a key: of those who wait for it and who hold it, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn by_key(&self, workspace: &Name, at: &KeyAt, limit: usize) -> Result<ByKey, StoreError> {
        let [waits, holds, early] =
            [key::KEY_WAIT, key::KEY_HELD, key::EARLY].map(|kind| key::by_key(kind, workspace, at));
        self.read(move |store| {
            let engine = &store.engine;
            let held = |key: &[u8]| key.get(holds.len()..).and_then(key::first_id);
            Ok(ByKey {
                waits: engine
                    .scan_keys(waits.clone(), key::after_prefix(&waits), limit, |key| since_and_id(key, &waits))?,
                holds: engine.scan_keys(holds.clone(), key::after_prefix(&holds), limit, held)?,
                has_early: engine.count(&early, 1)? > 0,
            })
        })
        .await
    }

    /// Who waits for a key, longest first, from `after` on, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn waits_by_key(
        &self,
        workspace: &Name,
        at: &KeyAt,
        after: Option<(Timestamp, ExecutionId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ExecutionId)>, StoreError> {
        let prefix = key::by_key(key::KEY_WAIT, workspace, at);
        let start = match after {
            Some((since, id)) => behind(&key::wait(&prefix, since, id)),
            None => prefix.clone(),
        };
        self.read(move |store| {
            let end = key::after_prefix(&prefix);
            store.engine.scan_keys(start, end, limit, |key| since_and_id(key, &prefix))
        })
        .await
    }

    /// The oldest callback that is kept for a key and came after one, with its record.
    ///
    /// # Errors
    ///
    /// The store failed, or what is kept is damaged.
    pub async fn next_early(
        &self,
        workspace: &Name,
        at: &KeyAt,
        after: Option<CallbackId>,
    ) -> Result<Option<(Mail, Option<CallbackRecord>)>, StoreError> {
        let prefix = key::by_key(key::EARLY, workspace, at);
        self.next_kept(workspace, prefix, after).await
    }

    /// One callback that is kept for a key, with its record.
    ///
    /// # Errors
    ///
    /// The store failed, or what is kept is damaged.
    pub async fn early(
        &self,
        workspace: &Name,
        at: &KeyAt,
        callback: CallbackId,
    ) -> Result<Option<(Mail, Option<CallbackRecord>)>, StoreError> {
        let key = key::by_key_and_id(key::EARLY, workspace, at, callback.as_bytes());
        let workspace = workspace.clone();
        self.look(move |look| look.with_callback(&workspace, look.get(&key)?, |mail: &Mail| mail.callback)).await
    }

    /// Why another callback has no room beside what is kept for keys; `None` when it has.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn no_room_for_early(
        &self,
        workspace: &Name,
        at: &KeyAt,
        mail: &Mail,
        limits: EarlyLimits,
    ) -> Result<Option<NoRoom>, StoreError> {
        let length = value_of(mail)?.len();
        let EarlyLimits { of_key, workspace_kib_max } = limits;
        let Some(bytes) = of_key.bytes_max.checked_sub(length) else { return Ok(Some(NoRoom::TooSmall)) };
        let Some(count) = of_key.count_max.checked_sub(1) else { return Ok(Some(NoRoom::Full)) };
        let (prefix, kept) = (key::by_key(key::EARLY, workspace, at), key::early_kib(workspace));
        self.read(move |store| {
            let index = &store.engine.index;
            if !is_below(index, &prefix, &Changes::new(), count, bytes)? {
                return Ok(Some(NoRoom::Full));
            }
            let kept = index.get(&kept)?.map_or(0, |slot| slot.revision);
            Ok((kept.saturating_add(kib(length)) > workspace_kib_max).then_some(NoRoom::WorkspaceFull))
        })
        .await
    }
}

fn since_and_id(key: &[u8], prefix: &[u8]) -> Option<(Timestamp, ExecutionId)> {
    key.get(prefix.len()..).and_then(key::since_and_id)
}
