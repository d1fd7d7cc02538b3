//! Deployed flows: from a file to routes, and from a route to the flow of its version.

use crate::face::{self, Face};
use crate::flow::{Flow, Mistake, parse};
use crate::name::{Name, random_id, random_key};
use crate::plugin::Plugins;
use crate::secret::Secrets;
use crate::store::{FlowRecord, Store, StoreError, Write};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Where a URL leads.
#[derive(Clone, Debug)]
pub struct Route {
    pub workspace: Name,
    pub flow: Arc<Flow>,
    /// The trigger's index in the flow.
    pub trigger: usize,
    /// The form of the URL.
    pub face: &'static dyn Face,
}

/// A flow as it is deployed.
#[derive(Clone, Debug)]
pub struct Deployed {
    pub record: FlowRecord,
    pub flow: Arc<Flow>,
    /// Earlier versions with triggers that the deployed one no longer has: executions may wait there.
    earlier: Vec<(Name, Arc<Flow>)>,
}

/// What a deployment did.
#[derive(Debug)]
pub struct Deployment {
    pub deployed: Deployed,
    /// The flow was not there before.
    pub is_new: bool,
    /// The file is the one that was deployed already.
    pub unchanged: bool,
    /// What is missing but may come later.
    pub warnings: Vec<String>,
}

/// Why a flow could not be deployed or changed.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    #[error("the flow has {} mistakes", .0.len())]
    Mistakes(Vec<Mistake>),
    #[error("the file is the flow {found}, but the URL names {expected}")]
    OtherName { found: Name, expected: Name },
    #[error("there is no flow {0}")]
    Missing(Name),
    #[error("the operating system gave no random bytes")]
    Random,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle to all deployed flows. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Flows {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    deployed: ArcSwap<Table>,
    /// Earlier versions that executions still run.
    earlier: ArcSwap<HashMap<(Name, Name, u32), Arc<Flow>>>,
    changing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Table {
    flows: BTreeMap<(Name, Name), Deployed>,
    /// By the name of the face, and the address there.
    routes: HashMap<(&'static str, String), Route>,
}

impl Table {
    fn put(&mut self, workspace: &Name, deployed: Deployed) {
        self.remove(workspace, &deployed.record.name);
        if deployed.record.enabled {
            for index in 0..deployed.flow.triggers.len() {
                self.add_routes(workspace, &deployed, &deployed.flow, index);
            }
            for (id, flow) in &deployed.earlier {
                let trigger = flow.triggers.iter().position(|trigger| trigger.id == *id).filter(|index| *index > 0);
                if let Some(trigger) = trigger {
                    self.add_routes(workspace, &deployed, flow, trigger);
                }
            }
        }
        self.flows.insert((workspace.clone(), deployed.record.name.clone()), deployed);
    }

    fn add_routes(&mut self, workspace: &Name, deployed: &Deployed, flow: &Arc<Flow>, index: usize) {
        let Some(trigger) = flow.triggers.get(index) else { return };
        let Some(ids) = deployed.record.ids.get(&trigger.id) else { return };
        for face in &trigger.faces {
            let Some(address) = face.address(&face.path(ids)) else { continue };
            let route = Route { workspace: workspace.clone(), flow: Arc::clone(flow), trigger: index, face: *face };
            self.routes.insert((face.name(), address), route);
        }
    }

    fn remove(&mut self, workspace: &Name, name: &Name) {
        self.flows.remove(&(workspace.clone(), name.clone()));
        self.routes.retain(|_, route| route.workspace != *workspace || route.flow.name != *name);
    }
}

impl Flows {
    /// Reads and compiles every deployed flow. One that this version cannot read is logged and not routed.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        let mut table = Table::default();
        for (workspace, record) in store.flows()? {
            let source = store.flow_source(&workspace, &record.name, record.version)?.unwrap_or_default();
            match parse(&source, record.version) {
                Ok(parsed) => {
                    let flow = Arc::new(parsed.flow);
                    let earlier = earlier_triggers(&store, &workspace, &record, &flow)?;
                    table.put(&workspace, Deployed { record, flow, earlier });
                }
                Err(mistakes) => {
                    let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
                    tracing::error!(flow.name = %record.name, mistake = first, "a deployed flow cannot be read; deploy it again");
                }
            }
        }
        let inner = Inner {
            store,
            deployed: ArcSwap::from_pointee(table),
            earlier: ArcSwap::default(),
            changing: tokio::sync::Mutex::new(()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where a path leads. What has to be guessed in it is random: the time of a look-up tells nothing.
    pub fn route(&self, path: &str) -> Option<Route> {
        let deployed = self.inner.deployed.load();
        face::addresses(path).find_map(|(face, address)| deployed.routes.get(&(face.name(), address)).cloned())
    }

    pub fn find(&self, workspace: &Name, name: &Name) -> Option<Deployed> {
        self.inner.deployed.load().flows.get(&(workspace.clone(), name.clone())).cloned()
    }

    pub fn list(&self, workspace: &Name) -> Vec<Deployed> {
        let deployed = self.inner.deployed.load();
        deployed.flows.iter().filter(|((owner, _), _)| owner == workspace).map(|(_, flow)| flow.clone()).collect()
    }

    /// A flow in the version that an execution runs; `None` when it is gone or cannot be read any more.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn version(&self, workspace: &Name, name: &Name, version: u32) -> Result<Option<Arc<Flow>>, StoreError> {
        if let Some(deployed) = self.find(workspace, name)
            && deployed.flow.version == version
        {
            return Ok(Some(deployed.flow));
        }
        let key = (workspace.clone(), name.clone(), version);
        if let Some(flow) = self.inner.earlier.load().get(&key) {
            return Ok(Some(Arc::clone(flow)));
        }
        let Some(source) = self.inner.store.flow_source(workspace, name, version)? else { return Ok(None) };
        let Ok(parsed) = parse(&source, version) else { return Ok(None) };
        let flow = Arc::new(parsed.flow);
        self.inner.earlier.rcu(|earlier| {
            let mut earlier = HashMap::clone(earlier);
            earlier.insert(key.clone(), Arc::clone(&flow));
            earlier
        });
        Ok(Some(flow))
    }

    /// Deploys a flow file as the next version; a flow that was disabled stays so. With `dry_run` nothing is kept.
    ///
    /// # Errors
    ///
    /// Every mistake in the file, or the store failed.
    pub async fn deploy(
        &self,
        workspace: &Name,
        name: &Name,
        source: &str,
        dry_run: bool,
        plugins: &Plugins,
        secrets: &Secrets,
    ) -> Result<Deployment, FlowError> {
        let _changing = self.inner.changing.lock().await;
        let current = self.inner.store.flow(workspace, name)?;
        let version = current.as_ref().map_or(1, |record| record.version + 1);
        let parsed = parse(source, version).map_err(FlowError::Mistakes)?;
        if parsed.flow.name != *name {
            return Err(FlowError::OtherName { found: parsed.flow.name, expected: name.clone() });
        }
        let mut mistakes = Vec::new();
        for mention in &parsed.plugins {
            mistakes.extend(plugins.check_mention(workspace, mention).await.err());
        }
        if !mistakes.is_empty() {
            return Err(FlowError::Mistakes(mistakes));
        }
        let missing =
            parsed.secrets.iter().filter(|name| secrets.find(workspace, &Name::default_name(), name).is_none());
        let warnings = missing
            .map(|name| format!("there is no secret {name} yet: until `ringback secret set {name}`, callbacks get 500"))
            .collect();
        if let (Some(record), Some(deployed)) = (&current, self.find(workspace, name))
            && self.inner.store.flow_source(workspace, name, record.version)?.as_deref() == Some(source)
        {
            return Ok(Deployment { deployed, is_new: false, unchanged: true, warnings });
        }
        let is_new = current.is_none();
        let mut ids = current.as_ref().map(|record| record.ids.clone()).unwrap_or_default();
        let random = || random_id().map_err(|_| FlowError::Random);
        let flow_id = ids.values().next().map_or_else(random, |known| Ok(known.flow))?;
        for trigger in &parsed.flow.triggers {
            if !ids.contains_key(&trigger.id) {
                let key = random_key().map_err(|_| FlowError::Random)?;
                ids.insert(trigger.id.clone(), face::Ids { key, flow: flow_id, trigger: random()? });
            }
        }
        let enabled = current.is_none_or(|record| record.enabled);
        let record = FlowRecord { name: name.clone(), version, enabled, ids, updated_at: Timestamp::now() };
        let flow = Arc::new(parsed.flow);
        let earlier = earlier_triggers(&self.inner.store, workspace, &record, &flow)?;
        let deployed = Deployed { record: record.clone(), flow, earlier };
        if !dry_run {
            let source = source.to_owned();
            let put_version =
                Write::PutFlowVersion { workspace: workspace.clone(), name: name.clone(), version, source };
            let put = Write::PutFlow { workspace: workspace.clone(), record };
            self.inner.store.commit(vec![put_version, put]).await?;
            self.update(|table| table.put(workspace, deployed.clone()));
        }
        Ok(Deployment { deployed, is_new, unchanged: false, warnings })
    }

    /// Lets a flow's URLs work, or not.
    ///
    /// # Errors
    ///
    /// There is no such flow, or the store failed.
    pub async fn set_enabled(&self, workspace: &Name, name: &Name, enabled: bool) -> Result<Deployed, FlowError> {
        let _changing = self.inner.changing.lock().await;
        let mut deployed = self.find(workspace, name).ok_or_else(|| FlowError::Missing(name.clone()))?;
        deployed.record.enabled = enabled;
        deployed.record.updated_at = Timestamp::now();
        let put = Write::PutFlow { workspace: workspace.clone(), record: deployed.record.clone() };
        self.inner.store.commit(vec![put]).await?;
        self.update(|table| table.put(workspace, deployed.clone()));
        Ok(deployed)
    }

    /// Removes a flow and the sources of its versions: whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(&self, workspace: &Name, name: &Name) -> Result<bool, FlowError> {
        let _changing = self.inner.changing.lock().await;
        if self.inner.store.flow(workspace, name)?.is_none() {
            return Ok(false);
        }
        self.inner.store.commit(vec![Write::DeleteFlow { workspace: workspace.clone(), name: name.clone() }]).await?;
        self.update(|table| table.remove(workspace, name));
        Ok(true)
    }

    fn update(&self, change: impl Fn(&mut Table)) {
        self.inner.deployed.rcu(|table| {
            let mut table = Table::clone(table);
            change(&mut table);
            table
        });
    }
}

/// For each trigger that has a URL but is not in the deployed version: the last version that had it.
fn earlier_triggers(
    store: &Store,
    workspace: &Name,
    record: &FlowRecord,
    flow: &Flow,
) -> Result<Vec<(Name, Arc<Flow>)>, StoreError> {
    let mut gone: Vec<&Name> =
        record.ids.keys().filter(|id| !flow.triggers.iter().any(|trigger| trigger.id == **id)).collect();
    let mut found = Vec::new();
    for version in (1..record.version).rev() {
        if gone.is_empty() {
            break;
        }
        let source = store.flow_source(workspace, &record.name, version)?.unwrap_or_default();
        let Ok(parsed) = parse(&source, version) else { continue };
        let flow = Arc::new(parsed.flow);
        gone.retain(|id| {
            let has = flow.triggers.iter().any(|trigger| trigger.id == **id);
            if has {
                found.push(((*id).clone(), Arc::clone(&flow)));
            }
            !has
        });
    }
    Ok(found)
}
