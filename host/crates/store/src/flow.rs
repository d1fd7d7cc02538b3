//! Flows: what is deployed, the versions that are kept, and the executions that need them.

use super::{Store, StoreError, journal, key};
use ringback_records::flow::{FlowRecord, FlowVersionRecord};
use ringback_records::name::{ExecutionId, Name, sha256_hex};
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    pub fn flows(&self) -> Result<Vec<(Name, FlowRecord)>, StoreError> {
        self.engine
            .list_all(key::FLOW, key::workspace_and_name)
            .map(|flows| flows.into_iter().map(|((workspace, _), record)| (workspace, record)).collect())
    }

    pub fn flow(&self, workspace: &Name, name: &Name) -> Result<Option<FlowRecord>, StoreError> {
        self.engine.get(&key::flow(workspace, name))
    }

    /// The last version of a flow that was removed.
    pub fn removed_flow(&self, workspace: &Name, name: &Name) -> Result<Option<u32>, StoreError> {
        self.engine.get(&key::flow_removed(workspace, name))
    }

    /// Whether a signature of a callback was dropped.
    pub fn is_signature_dropped(&self, workspace: &Name, signature: &str) -> Result<bool, StoreError> {
        let key = key::dropped_signature(workspace, &sha256_hex(signature.as_bytes()));
        Ok(self.engine.index.get(&key)?.is_some())
    }

    pub fn flow_version(
        &self,
        workspace: &Name,
        name: &Name,
        version: u32,
    ) -> Result<Option<FlowVersionRecord>, StoreError> {
        self.engine.get(&key::flow_version(workspace, name, version))
    }

    /// The versions of a flow that are kept, oldest first.
    pub fn flow_versions(&self, workspace: &Name, name: &Name) -> Result<Vec<u32>, StoreError> {
        let prefix = key::flow_versions(workspace, name);
        self.engine.scan_keys(prefix.clone(), key::after_prefix(&prefix), usize::MAX, |key| {
            key.get(prefix.len()..).and_then(key::version)
        })
    }

    /// For each of these versions of a flow that an execution began with, one that did. Blocks: it may look at every execution
    /// of the workspace.
    pub fn users_of_versions(
        &self,
        workspace: &Name,
        flow: &Name,
        versions: &BTreeSet<u32>,
    ) -> Result<BTreeMap<u32, ExecutionId>, StoreError> {
        let mut users = BTreeMap::new();
        let prefix = key::executions(workspace);
        // The newest stay longest.
        let scan = self.engine.index.scan(prefix.clone(), key::after_prefix(&prefix), true);
        for found in self.engine.values(scan, journal::summary) {
            let (_, summary) = found?;
            if summary.flow == *flow && versions.contains(&summary.flow_version) {
                users.entry(summary.flow_version).or_insert(summary.id);
                if users.len() == versions.len() {
                    break;
                }
            }
        }
        Ok(users)
    }

    /// Those of the given versions of a flow that executions run which have not ended. Blocks: it may look at all of these.
    pub fn living_versions(
        &self,
        workspace: &Name,
        flow: &Name,
        versions: &BTreeSet<u32>,
    ) -> Result<BTreeSet<u32>, StoreError> {
        let waits = self.engine.index.scan_prefix(&key::waits_of_flow(workspace, flow));
        let waits = waits.filter_map(|found| found.map(|(key, _)| key::last_id(&key)).transpose());
        let running = self.engine.index.scan_prefix(&key::running_of(workspace));
        let running = running.filter_map(|found| found.map(|(key, _)| key::after_workspace(&key)).transpose());
        // Those that wait for a time have a timer.
        let due = self.engine.index.scan_prefix(&[key::DUE]);
        let due = due.filter_map(|found| found.map(|(key, _)| key::due_execution(workspace, &key)).transpose());
        let mut living = BTreeSet::new();
        for id in waits.chain(running).chain(due) {
            let summary = self.engine.value_as(&key::execution(workspace, id?), journal::summary)?;
            let summary = summary.filter(|summary| summary.flow == *flow && !summary.status.is_ended());
            living.extend(summary.map(|summary| summary.flow_version).filter(|version| versions.contains(version)));
            if living.len() == versions.len() {
                break;
            }
        }
        Ok(living)
    }

    pub fn has_execution(&self, workspace: &Name, id: ExecutionId) -> Result<bool, StoreError> {
        Ok(self.engine.index.get(&key::execution(workspace, id))?.is_some())
    }
}
