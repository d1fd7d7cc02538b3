//! The versions of flows: kept while somebody may need them.

use super::{FlowError, Flows, difference, ids};
use crate::catalogue::unended;
use crate::weight::LoadedFlow;
use ringback_records::flow::{FlowRecord, FlowVersionRecord};
use ringback_records::name::{ExecutionId, Name};
use ringback_records::sync::lock;
use ringback_rules::flow::parse;
use ringback_store::{Page, Store, StoreError, Write};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Most bytes of source of the earlier versions that stay ready to run in memory.
const READY_BYTES_MAX: usize = 4 << 20;

/// Versions that are read together: with their sources, and by their numbers alone.
const PAGE: usize = 32;
const NUMBERS_PAGE: usize = 1000;

/// A flow of a workspace in one version.
type Key = (Name, Name, u32);

/// Earlier versions that are ready to run, the one that was read first in front.
#[derive(Default)]
pub(super) struct Ready {
    flows: HashMap<Key, (Arc<LoadedFlow>, usize)>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Ready {
    fn get(&self, key: &Key) -> Option<Arc<LoadedFlow>> {
        self.flows.get(key).map(|(flow, _)| Arc::clone(flow))
    }

    fn put(&mut self, key: Key, flow: Arc<LoadedFlow>, bytes: usize) {
        if self.flows.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > READY_BYTES_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.bytes -= self.flows.remove(&first).map_or(0, |(_, bytes)| bytes);
        }
        self.flows.insert(key.clone(), (flow, bytes));
        self.order.push_back(key);
        self.bytes += bytes;
    }

    /// Forgets the versions of a flow.
    pub(super) fn forget(&mut self, workspace: &Name, name: &Name) {
        let is_of = |key: &Key| key.0 == *workspace && key.1 == *name;
        self.order.retain(|key| !is_of(key));
        let gone: usize = self.flows.extract_if(|key, _| is_of(key)).map(|(_, (_, bytes))| bytes).sum();
        self.bytes -= gone;
    }
}

/// A version of a flow that is kept.
#[derive(Debug)]
pub struct Version {
    pub version: u32,
    pub active: bool,
    pub record: FlowVersionRecord,
}

impl Flows {
    /// A flow in the version that an execution runs; `None` when it is gone or cannot be read any more.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn version(
        &self,
        workspace: &Name,
        name: &Name,
        version: u32,
    ) -> Result<Option<Arc<LoadedFlow>>, StoreError> {
        if let Some(deployed) = self.inner.deployed.load().find(workspace, name)
            && deployed.flow.version == version
        {
            return Ok(Some(Arc::clone(&deployed.flow)));
        }
        let key = (workspace.clone(), name.clone(), version);
        if let Some(flow) = lock(&self.inner.ready).get(&key) {
            return Ok(Some(flow));
        }
        let Some(record) = self.inner.store.flow_version(workspace, name, version).await? else { return Ok(None) };
        let Ok(parsed) = parse(&record.source, version) else { return Ok(None) };
        let flow = Arc::new(LoadedFlow::from(parsed.flow));
        lock(&self.inner.ready).put(key, Arc::clone(&flow), record.source.len());
        Ok(Some(flow))
    }

    /// A trigger by its id, with the flow of the last version that has it.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn trigger(
        &self,
        workspace: &Name,
        name: &Name,
        id: &str,
    ) -> Result<Option<(Arc<LoadedFlow>, usize)>, StoreError> {
        let Some(deployed) = self.find(workspace, name) else { return Ok(None) };
        let Ok(id) = id.parse::<Name>() else { return Ok(None) };
        if let Some(index) = ids::position(&deployed.flow, &id) {
            return Ok(Some((Arc::clone(&deployed.flow), index)));
        }
        let Some(gone) = deployed.record.gone.get(&id) else { return Ok(None) };
        let flow = self.version(workspace, name, gone.version).await?;
        Ok(flow.and_then(|flow| ids::position(&flow, &id).map(|index| (flow, index))))
    }

    /// Versions of a flow that are kept, oldest first, from the one after `after` on, at most so many.
    ///
    /// # Errors
    ///
    /// There is no such flow, or the store failed.
    pub async fn versions(
        &self,
        workspace: &Name,
        name: &Name,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Page<Version, u32>, FlowError> {
        let deployed = self.find(workspace, name).ok_or_else(|| FlowError::Missing(name.clone()))?;
        let active = deployed.record.version;
        let Page { items, next } = self.inner.store.flow_version_records(workspace, name, after, limit).await?;
        let version = |(version, record)| Version { version, active: version == active, record };
        Ok(Page { items: items.into_iter().map(version).collect(), next })
    }

    /// One version of a flow.
    ///
    /// # Errors
    ///
    /// There is no such flow or version, or the store failed.
    pub async fn one_version(&self, workspace: &Name, name: &Name, version: u32) -> Result<Version, FlowError> {
        let deployed = self.find(workspace, name).ok_or_else(|| FlowError::Missing(name.clone()))?;
        match self.inner.store.flow_version(workspace, name, version).await? {
            Some(record) => Ok(Version { version, active: version == deployed.record.version, record }),
            None => {
                let kept = kept_versions(&self.inner.store, workspace, name).await?;
                let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
                Err(FlowError::NoVersion { name: name.clone(), version, kept: kept.join(", ") })
            }
        }
    }

    /// What changed from one version of a flow to another; without another, to the deployed one: which that is, and the
    /// changes, line by line.
    ///
    /// # Errors
    ///
    /// There is no such flow or version, or the store failed.
    pub async fn difference(
        &self,
        workspace: &Name,
        name: &Name,
        from: u32,
        to: Option<u32>,
    ) -> Result<(u32, String), FlowError> {
        let deployed = self.find(workspace, name).ok_or_else(|| FlowError::Missing(name.clone()))?;
        let to = to.unwrap_or(deployed.record.version);
        let before = self.one_version(workspace, name, from).await?;
        let after = self.one_version(workspace, name, to).await?;
        Ok((to, difference::between(&before.record.source, &after.record.source)))
    }

    /// No flow of the workspace is deployed, changed or removed while this is held.
    pub async fn keep_unchanged(&self, workspace: &Name) -> impl Sized {
        self.inner.deployed.lock(workspace).await
    }

    /// The flows of a workspace that need a plugin, in words: the deployed version names it, or one that executions run which
    /// have not ended.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn users_of_plugin(&self, workspace: &Name, plugin: &Name) -> Result<Vec<String>, StoreError> {
        let mut users = Vec::new();
        for deployed in self.list(workspace) {
            let FlowRecord { name, version, .. } = &deployed.record;
            let (mut earlier, mut after) = (BTreeSet::new(), None);
            loop {
                let page = self.inner.store.flow_version_records(workspace, name, after, PAGE).await?;
                for (known, _) in page.items.into_iter().filter(|(_, record)| names_plugin(record, plugin)) {
                    if known == *version {
                        users.push(format!("the flow {name}"));
                    } else {
                        earlier.insert(known);
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            if earlier.is_empty() {
                continue;
            }
            let living = unended::versions_of(&self.inner.store, workspace, name, earlier).await?;
            users.extend(living.iter().map(|version| format!("executions of the flow {name} in version {version}")));
        }
        Ok(users)
    }

    /// Forgets the versions of all flows that nobody needs: how many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn forget_versions(&self) -> Result<usize, StoreError> {
        let all: Vec<(Name, Name)> = self.inner.deployed.load().flows.keys().cloned().collect();
        let mut forgotten = 0;
        for (workspace, name) in all {
            forgotten += self.forget_versions_of(&workspace, &name).await?;
        }
        Ok(forgotten)
    }

    /// Forgets the versions of a flow that nobody needs: not deployed, not among the last, and no execution began with them.
    pub(super) async fn forget_versions_of(&self, workspace: &Name, name: &Name) -> Result<usize, StoreError> {
        let Some(deployed) = self.find(workspace, name) else { return Ok(0) };
        if (deployed.record.version as usize) <= self.inner.versions_kept {
            return Ok(0);
        }
        let mut old = kept_versions(&self.inner.store, workspace, name).await?;
        old.truncate(old.len().saturating_sub(self.inner.versions_kept));
        let mut unneeded: BTreeSet<u32> =
            old.into_iter().filter(|version| *version < deployed.record.version).collect();
        let users = lock(&self.inner.users).get(&(workspace.clone(), name.clone())).cloned().unwrap_or_default();
        for (version, user) in users {
            if unneeded.contains(&version) && self.inner.store.has_execution(workspace, user).await? {
                unneeded.remove(&version);
            }
        }
        if unneeded.is_empty() {
            return Ok(0);
        }
        let found = unended::users_of_versions(&self.inner.store, workspace, name, unneeded.clone()).await?;
        unneeded.retain(|version| !found.contains_key(version));
        lock(&self.inner.users).entry((workspace.clone(), name.clone())).or_default().extend(found);
        if unneeded.is_empty() {
            return Ok(0);
        }
        let _changing = self.inner.deployed.lock(workspace).await;
        // The flow may have been removed, and deployed again, in the meantime: its versions have other numbers then.
        let Some(deployed) = self.find(workspace, name) else { return Ok(0) };
        let record = without(&deployed.record, &unneeded);
        let (workspace, name) = (workspace.clone(), name.clone());
        let count = unneeded.len();
        let delete = Write::DeleteFlowVersions { workspace: workspace.clone(), name: name.clone(), versions: unneeded };
        let put = Write::PutFlow { workspace: workspace.clone(), record: record.clone() };
        let changed = super::Deployed { record, flow: Arc::clone(&deployed.flow) };
        self.commit(vec![delete, put], |routes| routes.put(&workspace, changed.clone())).await?;
        lock(&self.inner.ready).forget(&workspace, &name);
        Ok(count)
    }
}

/// The numbers of the versions of a flow that are kept, oldest first.
pub(super) async fn kept_versions(store: &Store, workspace: &Name, name: &Name) -> Result<Vec<u32>, StoreError> {
    let (mut kept, mut after) = (Vec::new(), None);
    loop {
        let page = store.flow_versions(workspace, name, after, NUMBERS_PAGE).await?;
        kept.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(kept);
        }
    }
}

fn names_plugin(record: &FlowVersionRecord, plugin: &Name) -> bool {
    match &record.plugins {
        Some(plugins) => plugins.contains(plugin),
        // Of before they were kept.
        None => parse(&record.source, 0)
            .is_ok_and(|parsed| parsed.plugins.iter().any(|known| known.is_uploaded() && known.plugin == *plugin)),
    }
}

/// A record without what belongs to triggers that only forgotten versions had.
fn without(record: &FlowRecord, forgotten: &BTreeSet<u32>) -> FlowRecord {
    let mut record = record.clone();
    let gone = record.gone.extract_if(.., |_, gone| forgotten.contains(&gone.version));
    let gone: Vec<Name> = gone.map(|(trigger, _)| trigger).collect();
    record.ids.retain(|trigger, _| !gone.contains(trigger));
    record
}

/// For every version that is not deployed any more and that an execution began with, one such execution.
pub(super) type Users = HashMap<(Name, Name), BTreeMap<u32, ExecutionId>>;

#[cfg(test)]
mod tests {
    use super::{READY_BYTES_MAX, Ready};
    use crate::weight::LoadedFlow;
    use ringback_records::flow::FlowVersionRecord;
    use ringback_records::name::Name;
    use ringback_rules::flow::parse;
    use std::sync::Arc;

    /// Versions of before more than the source was kept are read as well.
    #[test]
    fn versions_of_before_are_read() {
        let old: FlowVersionRecord = serde_json::from_str(r#""flow: a""#).unwrap();
        assert_eq!(old, FlowVersionRecord { source: "flow: a".to_owned(), deployed_at: None, plugins: None });
        let again = serde_json::to_string(&old).unwrap();
        assert_eq!(serde_json::from_str::<FlowVersionRecord>(&again).unwrap(), old);
    }

    /// R22.
    #[test]
    fn r22_no_more_versions_are_ready_than_have_room() {
        let flow = Arc::new(LoadedFlow::from(parse("flow: a\nsteps:\n  - trigger: A\n", 1).unwrap().flow));
        let (workspace, name) = (Name::default_name(), "a".parse::<Name>().unwrap());
        let key = |version| (workspace.clone(), name.clone(), version);
        let mut ready = Ready::default();
        for version in 1..100 {
            ready.put(key(version), Arc::clone(&flow), READY_BYTES_MAX / 4);
            ready.put(key(version), Arc::clone(&flow), READY_BYTES_MAX / 4);
            assert!(ready.bytes <= READY_BYTES_MAX && ready.flows.len() == ready.order.len());
        }
        assert!(ready.get(&key(99)).is_some() && ready.get(&key(96)).is_some() && ready.get(&key(95)).is_none());
        ready.forget(&workspace, &name);
        assert_eq!((ready.bytes, ready.flows.len(), ready.order.len()), (0, 0, 0));
    }
}
