//! Flows: what is deployed, and the versions that are kept.

use super::{Page, Store, StoreError, behind, key};
use ringback_records::flow::{FlowRecord, FlowVersionRecord};
use ringback_records::name::{Name, sha256_hex};
use std::collections::BTreeSet;

impl Store {
    /// The flows of all workspaces, each with its workspace: by workspace and name.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn flows(&self) -> Result<Vec<(Name, FlowRecord)>, StoreError> {
        let flows = self.read_all(|store| store.engine.list_all(key::FLOW, key::workspace_and_name)).await?;
        Ok(flows.into_iter().map(|((workspace, _), record)| (workspace, record)).collect())
    }

    /// One flow.
    ///
    /// # Errors
    ///
    /// The store failed, or the record is damaged.
    pub async fn flow(&self, workspace: &Name, name: &Name) -> Result<Option<FlowRecord>, StoreError> {
        self.get(key::flow(workspace, name)).await
    }

    /// The last version of a flow that was removed.
    ///
    /// # Errors
    ///
    /// The store failed, or the record is damaged.
    pub async fn removed_flow(&self, workspace: &Name, name: &Name) -> Result<Option<u32>, StoreError> {
        self.get(key::flow_removed(workspace, name)).await
    }

    /// Those of some signatures of callbacks that were dropped.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn dropped_signatures(
        &self,
        workspace: &Name,
        signatures: BTreeSet<String>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let workspace = workspace.clone();
        self.look(move |look| {
            let mut dropped = BTreeSet::new();
            for signature in &signatures {
                let key = key::dropped_signature(&workspace, &sha256_hex(signature.as_bytes()));
                dropped.extend(look.slot(&key)?.map(|_| signature.clone()));
            }
            Ok(dropped)
        })
        .await
    }

    /// One version of a flow.
    ///
    /// # Errors
    ///
    /// The store failed, or the record is damaged.
    pub async fn flow_version(
        &self,
        workspace: &Name,
        name: &Name,
        version: u32,
    ) -> Result<Option<FlowVersionRecord>, StoreError> {
        self.get(key::flow_version(workspace, name, version)).await
    }

    /// The numbers of the versions of a flow that are kept, oldest first, behind one of them, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn flow_versions(
        &self,
        workspace: &Name,
        name: &Name,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Page<u32, u32>, StoreError> {
        let (prefix, start) = versions_behind(workspace, name, after);
        self.read(move |store| {
            store.engine.page_of_keys(start, &prefix, limit, |key| key.get(prefix.len()..).and_then(key::version))
        })
        .await
    }

    /// The same with what is kept of each.
    ///
    /// # Errors
    ///
    /// The store failed, or a record is damaged.
    pub async fn flow_version_records(
        &self,
        workspace: &Name,
        name: &Name,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Page<(u32, FlowVersionRecord), u32>, StoreError> {
        let (workspace, name) = (workspace.clone(), name.clone());
        let (prefix, start) = versions_behind(&workspace, &name, after);
        self.read(move |store| {
            let version = |key: &[u8]| key.get(prefix.len()..).and_then(key::version);
            let Page { items, next } = store.engine.page_of_keys(start, &prefix, limit, version)?;
            let mut records = Vec::with_capacity(items.len());
            for version in items {
                let record = store.engine.get(&key::flow_version(&workspace, &name, version))?;
                records.extend(record.map(|record| (version, record)));
            }
            Ok(Page { items: records, next })
        })
        .await
    }

    /// Whether a flow is kept in another version than this one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn has_other_version(&self, workspace: &Name, name: &Name, version: u32) -> Result<bool, StoreError> {
        let Page { items, .. } = self.flow_versions(workspace, name, None, 2).await?;
        Ok(items.iter().any(|kept| *kept != version))
    }
}

fn versions_behind(workspace: &Name, name: &Name, after: Option<u32>) -> (Vec<u8>, Vec<u8>) {
    let prefix = key::flow_versions(workspace, name);
    let start = after.map_or_else(|| prefix.clone(), |after| behind(&key::flow_version(workspace, name, after)));
    (prefix, start)
}
