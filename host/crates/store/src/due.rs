//! What is to be done: waits and mail whose time has come, callbacks that are not done with. Each is read behind a key.

use super::engine::{Engine, to_json};
use super::writer::Operation;
use super::{Claim, ClaimPage, DueKey, DuePage, Page, Store, StoreError, behind, key};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::time::Timestamp;

/// Keys of an earlier version that are put in order at a time.
const RENEWED_MAX: usize = 10_000;

/// The kind of the keys by which they are found.
fn kind_of(claim: Claim) -> u8 {
    match claim {
        Claim::Running => key::RUNNING,
        Claim::Mail => key::MAILBOX,
        Claim::Early => key::HAS_EARLY,
    }
}

impl Store {
    /// Workspaces in which callbacks wait for their plugin, by their names.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn deferring(&self) -> Result<Vec<Name>, StoreError> {
        self.read(|store| store.engine.workspaces_of(key::DEFERRED)).await
    }

    /// Workspaces in which executions are to be taken further, by their names.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn claimable(&self, claim: Claim) -> Result<Vec<Name>, StoreError> {
        self.read(move |store| store.engine.workspaces_of(kind_of(claim))).await
    }

    /// Executions of a workspace that are to be taken further, behind one of them.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn claim(
        &self,
        workspace: &Name,
        claim: Claim,
        after: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ClaimPage, StoreError> {
        let prefix = key::of_workspace(kind_of(claim), workspace);
        self.read(move |store| store.engine.claim(&prefix, after, limit)).await
    }

    /// Callbacks of a workspace that wait for their plugin, those that came first in front, after one of them, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn deferred(
        &self,
        workspace: &Name,
        after: Option<CallbackId>,
        limit: usize,
    ) -> Result<Vec<CallbackId>, StoreError> {
        let prefix = key::all_deferred(workspace);
        let end = key::after_prefix(&prefix);
        let start = after.map_or(prefix, |after| behind(&key::deferred(workspace, after)));
        let read = |key: &[u8]| key.get(1..).and_then(key::workspace_and_callback).map(|(_, id)| id);
        self.read(move |store| store.engine.scan_keys(start, end, limit, read)).await
    }

    /// Executions that a callback for all has resumed so far, in the order in which they began, behind one of them, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn resumed_by(
        &self,
        workspace: &Name,
        callback: CallbackId,
        after: Option<ExecutionId>,
        limit: usize,
    ) -> Result<Page<ExecutionId, ExecutionId>, StoreError> {
        let prefix = key::all_resumed(workspace, callback);
        let start = after.map_or_else(|| prefix.clone(), |after| behind(&key::resumed(workspace, callback, after)));
        self.read(move |store| {
            let read = |key: &[u8]| key.get(prefix.len()..)?.try_into().ok().map(ExecutionId::from_bytes);
            store.engine.page_of_keys(start, &prefix, limit, read)
        })
        .await
    }

    /// Workspaces in which something is due by now, by their names.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn due_in(&self, now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let passed = self.engine.index.firsts.passed(now);
        if passed.is_empty() {
            return Ok(Vec::new());
        }
        self.read(move |store| store.engine.due_in(&passed, now)).await
    }

    /// What is due by now in a workspace, behind a key, at most so many. Deliveries that are over are forgotten on the way.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn due(
        &self,
        workspace: &Name,
        now: Timestamp,
        after: Option<DueKey>,
        limit: usize,
    ) -> Result<DuePage, StoreError> {
        let of = workspace.clone();
        let (page, over) = self.read(move |store| store.engine.due(&of, now, after, limit)).await?;
        if !over.is_empty() {
            self.engine.writer.commit(over).await?;
        }
        Ok(page)
    }
}

impl Engine {
    /// Of the workspaces in which something may be due, those in which it is.
    fn due_in(&self, may_be: &[Vec<u8>], now: Timestamp) -> Result<Vec<Name>, StoreError> {
        let firsts = &self.index.firsts;
        let mut workspaces = Vec::new();
        for of_workspace in may_be {
            // Whoever changes something from here on notes it anew.
            firsts.forget(of_workspace);
            let first = self.index.first_due(of_workspace.clone(), key::after_prefix(of_workspace));
            // What cannot be read is looked at again.
            let first = first.inspect_err(|_| firsts.note(of_workspace, now))?;
            let Some((key, at)) = first else { continue };
            firsts.note(of_workspace, at);
            if at <= now {
                workspaces.extend(key::workspace_of(&key));
            }
        }
        Ok(workspaces)
    }

    /// Puts what is due and an earlier version wrote in order by workspace: a part of it, none at the end.
    pub(super) fn old_due(&self) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::new();
        for found in self.index.scan_prefix(&[key::DUE_OF_ALL]).take(RENEWED_MAX) {
            let (old, slot) = found?;
            let key = key::due_of_workspace(&old);
            let key = key.ok_or_else(|| StoreError::damaged(&old, "its key is not one".to_owned()))?;
            let value = to_json(&key, &())?;
            operations.extend([Operation::Put { key, revision: slot.revision, value }, Operation::Delete(old)]);
        }
        Ok(operations)
    }

    /// One key of each workspace is looked at.
    pub(super) fn workspaces_of(&self, kind: u8) -> Result<Vec<Name>, StoreError> {
        let (mut start, end) = (vec![kind], vec![kind + 1]);
        let mut workspaces = Vec::new();
        while let Some(workspace) = self.scan_keys(start, end.clone(), 1, key::workspace_of)?.pop() {
            start = key::after_prefix(&key::of_workspace(kind, &workspace));
            workspaces.push(workspace);
        }
        Ok(workspaces)
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;
    use crate::{Due, Store, StoreOptions, key};
    use ringback_records::name::{ExecutionId, Name};
    use ringback_records::time::Timestamp;

    /// What an earlier version had to do at a time, all workspaces in one line, is done by this one.
    #[tokio::test]
    async fn what_an_earlier_version_had_to_do_at_a_time_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let names: [Name; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let mut writes = Vec::new();
        for (workspace, at, id) in [(&names[0], 7_u64, 1_u128), (&names[1], 9, 2)] {
            let about = key::execution(workspace, ExecutionId::from_bytes(id.to_be_bytes()));
            writes.push(Operation::Put {
                key: [&[key::DUE_OF_ALL], &at.to_be_bytes()[..], &about].concat(),
                revision: 0,
                value: b"null".to_vec(),
            });
        }
        store.engine.writer.commit(writes).await.unwrap();
        let at = Timestamp::from_millis;
        for _ in 0..2 {
            store.renew().await.unwrap();
            assert_eq!(store.due_in(at(8)).await.unwrap(), names[..1]);
            assert_eq!(store.due_in(at(9)).await.unwrap(), names);
            let due = store.due(&names[1], at(9), None, 9).await.unwrap();
            let id = ExecutionId::from_bytes(2_u128.to_be_bytes());
            assert_eq!(due.items, [Due::Execution { workspace: names[1].clone(), id }]);
        }
        assert_eq!(store.engine.index.scan_prefix(&[key::DUE_OF_ALL]).count(), 0);
        assert_eq!(store.verify().unwrap().problem_count, 0);
    }
}
