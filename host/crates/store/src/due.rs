//! What is to be done: waits and mail whose time has come, callbacks that are not done with. Each is read behind a key.

use super::{Claim, ClaimPage, DueKey, DuePage, Store, StoreError, key};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::time::Timestamp;
use std::sync::Arc;

/// The kind of the keys by which they are found.
fn kind_of(claim: Claim) -> u8 {
    match claim {
        Claim::Running => key::RUNNING,
        Claim::Mail => key::MAILBOX,
    }
}

impl Store {
    /// Workspaces in which callbacks wait for their plugin.
    pub fn deferring(&self) -> Result<Vec<Name>, StoreError> {
        self.workspaces_of(key::DEFERRED)
    }

    /// Workspaces in which executions are to be taken further.
    pub fn claimable(&self, claim: Claim) -> Result<Vec<Name>, StoreError> {
        self.workspaces_of(kind_of(claim))
    }

    /// One key of each workspace is looked at.
    fn workspaces_of(&self, kind: u8) -> Result<Vec<Name>, StoreError> {
        let (mut start, end) = (vec![kind], vec![kind + 1]);
        let mut workspaces = Vec::new();
        while let Some(workspace) = self.engine.scan_keys(start, end.clone(), 1, key::workspace_of)?.pop() {
            start = key::after_prefix(&key::of_workspace(kind, &workspace));
            workspaces.push(workspace);
        }
        Ok(workspaces)
    }

    /// Executions of a workspace that are to be taken further, behind one of them.
    pub async fn claim(
        &self,
        workspace: &Name,
        claim: Claim,
        after: Option<ExecutionId>,
        limit: usize,
    ) -> Result<ClaimPage, StoreError> {
        let (engine, prefix) = (Arc::clone(&self.engine), key::of_workspace(kind_of(claim), workspace));
        let look = move || engine.claim(&prefix, after, limit);
        tokio::task::spawn_blocking(look).await.map_err(|error| StoreError::Read(error.to_string()))?
    }

    /// Callbacks of a workspace that wait for their plugin, those that came first in front, after one of them.
    pub fn deferred(
        &self,
        workspace: &Name,
        after: Option<CallbackId>,
        limit: usize,
    ) -> Result<Vec<CallbackId>, StoreError> {
        let prefix = key::all_deferred(workspace);
        let end = key::after_prefix(&prefix);
        let start = after.map_or(prefix, |after| [&key::deferred(workspace, after)[..], &[0]].concat());
        let read = |key: &[u8]| key.get(1..).and_then(key::workspace_and_callback).map(|(_, id)| id);
        self.engine.scan_keys(start, end, limit, read)
    }

    /// Executions that a callback for all has resumed so far, in the order in which they began.
    pub fn resumed_by(&self, workspace: &Name, callback: CallbackId) -> Result<Vec<ExecutionId>, StoreError> {
        let prefix = key::all_resumed(workspace, callback);
        let read = |key: &[u8]| key.get(prefix.len()..)?.try_into().ok().map(ExecutionId::from_bytes);
        self.engine.scan_keys(prefix.clone(), key::after_prefix(&prefix), usize::MAX, read)
    }

    /// What is due by now behind a key, at most so many. Deliveries that are over are forgotten on the way.
    pub async fn due(&self, now: Timestamp, after: Option<DueKey>, limit: usize) -> Result<DuePage, StoreError> {
        let engine = Arc::clone(&self.engine);
        let looked = tokio::task::spawn_blocking(move || engine.due(now, after, limit)).await;
        let (page, over) = looked.map_err(|error| StoreError::Read(error.to_string()))??;
        if !over.is_empty() {
            self.engine.writer.commit(over).await?;
        }
        Ok(page)
    }
}
