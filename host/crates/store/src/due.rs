//! What is to be done: waits and mail whose time has come, callbacks that are not done with. Each is read behind a key.

use super::engine::Engine;
use super::{Claim, ClaimPage, DueKey, DuePage, Page, Store, StoreError, behind, key};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::time::Timestamp;

/// The kind of the keys by which they are found.
fn kind_of(claim: Claim) -> u8 {
    match claim {
        Claim::Running => key::RUNNING,
        Claim::Mail => key::MAILBOX,
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

    /// What is due by now behind a key, at most so many. Deliveries that are over are forgotten on the way.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn due(&self, now: Timestamp, after: Option<DueKey>, limit: usize) -> Result<DuePage, StoreError> {
        let (page, over) = self.read(move |store| store.engine.due(now, after, limit)).await?;
        if !over.is_empty() {
            self.engine.writer.commit(over).await?;
        }
        Ok(page)
    }
}

impl Engine {
    /// One key of each workspace is looked at.
    fn workspaces_of(&self, kind: u8) -> Result<Vec<Name>, StoreError> {
        let (mut start, end) = (vec![kind], vec![kind + 1]);
        let mut workspaces = Vec::new();
        while let Some(workspace) = self.scan_keys(start, end.clone(), 1, key::workspace_of)?.pop() {
            start = key::after_prefix(&key::of_workspace(kind, &workspace));
            workspaces.push(workspace);
        }
        Ok(workspaces)
    }
}
