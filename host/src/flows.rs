//! Deployed flows: from a file to routes, and from a route to the flow of its version.

mod ids;

pub use ids::signature_id;

use crate::face::{self, Address, Face, Target};
use crate::flow::{CallbackSpec, Flow, Mistake, parse};
use crate::name::Name;
use crate::plugin::Plugins;
use crate::secret::Secrets;
use crate::store::{FlowRecord, Store, StoreError, Write};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use ids::{SIGNATURES_MAX, take_over_keys};
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
    /// The callback of the trigger, at a face that has them.
    pub callback: Option<RoutedCallback>,
    /// What names an environment other than `default`.
    pub prefix: Option<String>,
}

/// One of a trigger's callbacks, with what its URL is made of.
#[derive(Clone, Debug)]
pub struct RoutedCallback {
    pub ids: face::CallbackIds,
    pub content_type: String,
}

/// A flow as it is deployed.
#[derive(Clone, Debug)]
pub struct Deployed {
    pub record: FlowRecord,
    pub flow: Arc<Flow>,
    /// Earlier versions with triggers that the deployed one no longer has: executions may wait there.
    earlier: Vec<(Name, Arc<Flow>)>,
}

impl Deployed {
    /// A trigger by its id, with the flow of the last version that has it.
    pub fn trigger(&self, id: &str) -> Option<(Arc<Flow>, usize)> {
        let place_in = |flow: &Arc<Flow>| {
            let place = flow.triggers.iter().position(|trigger| trigger.id.as_str() == id)?;
            Some((Arc::clone(flow), place))
        };
        place_in(&self.flow).or_else(|| {
            let (_, flow) = self.earlier.iter().find(|(gone, _)| gone.as_str() == id)?;
            place_in(flow)
        })
    }
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
    #[error(
        "{unended} executions of the flow {name} have not ended, and could not go on without it; cancel them, or disable \
         the flow so that no more start"
    )]
    Unended { name: Name, unended: usize },
    #[error("there is no flow {0}")]
    Missing(Name),
    #[error("the trigger {trigger} has no callback {callback}")]
    NoCallback { trigger: Name, callback: Name },
    #[error("a callback has at most {SIGNATURES_MAX} signatures; drop one first")]
    SignaturesMax,
    #[error("there is no signature {0}")]
    NoSignature(String),
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
            let callbacks: Vec<Option<RoutedCallback>> = match face.has_callbacks() {
                false => vec![None],
                true => trigger.callbacks.iter().filter_map(|spec| routed(ids, spec)).map(Some).collect(),
            };
            for callback in callbacks {
                let of = callback.as_ref().map(|callback| &callback.ids);
                let path = face.path(&Target { workspace, ids, callback: of, prefix: None });
                let address = path.and_then(|path| face.address(path.split('?').next()?));
                let Some(address) = address else { continue };
                let (workspace, flow) = (workspace.clone(), Arc::clone(flow));
                let route = Route { workspace, flow, trigger: index, face: *face, callback, prefix: None };
                self.routes.insert((face.name(), address.key), route);
            }
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
        for (workspace, mut record) in store.flows()? {
            take_over_keys(&mut record);
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
        face::addresses(path).find_map(|(face, Address { key, prefix })| {
            let route = deployed.routes.get(&(face.name(), key)).cloned()?;
            Some(Route { prefix, ..route })
        })
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
        let mut current = self.inner.store.flow(workspace, name)?;
        if let Some(record) = &mut current {
            take_over_keys(record);
        }
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
        ids::complete(&mut ids, &parsed.flow).map_err(|_| FlowError::Random)?;
        let enabled = current.is_none_or(|record| record.enabled);
        let record = FlowRecord {
            name: name.clone(),
            version,
            enabled,
            ids,
            keys: BTreeMap::new(),
            updated_at: Timestamp::now(),
        };
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

    /// Gives a callback of a trigger another signature; those before it count until they are dropped (A-PW-6).
    ///
    /// # Errors
    ///
    /// There is no such callback, it has as many as it may have, or the store failed.
    pub async fn add_signature(
        &self,
        workspace: &Name,
        name: &Name,
        trigger: &Name,
        callback: &Name,
    ) -> Result<Deployed, FlowError> {
        let signature = ids::signature().map_err(|_| FlowError::Random)?;
        self.change_callback(workspace, name, trigger, callback, |ids| {
            if ids.signatures.len() >= SIGNATURES_MAX {
                return Err(FlowError::SignaturesMax);
            }
            ids.signatures.insert(0, signature.clone());
            Ok(())
        })
        .await
    }

    /// Drops a signature, by the beginning of it: its URL is unknown from then on.
    ///
    /// # Errors
    ///
    /// There is no such callback or signature, or the store failed.
    pub async fn drop_signature(
        &self,
        workspace: &Name,
        name: &Name,
        trigger: &Name,
        callback: &Name,
        id: &str,
    ) -> Result<Deployed, FlowError> {
        self.change_callback(workspace, name, trigger, callback, |ids| {
            let before = ids.signatures.len();
            ids.signatures.retain(|known| signature_id(known) != id);
            if ids.signatures.len() == before { Err(FlowError::NoSignature(id.to_owned())) } else { Ok(()) }
        })
        .await
    }

    async fn change_callback(
        &self,
        workspace: &Name,
        name: &Name,
        trigger: &Name,
        callback: &Name,
        change: impl FnOnce(&mut face::CallbackIds) -> Result<(), FlowError>,
    ) -> Result<Deployed, FlowError> {
        let _changing = self.inner.changing.lock().await;
        let mut deployed = self.find(workspace, name).ok_or_else(|| FlowError::Missing(name.clone()))?;
        let ids = deployed.record.ids.get_mut(trigger).and_then(|ids| ids.callbacks.get_mut(callback));
        change(ids.ok_or_else(|| FlowError::NoCallback { trigger: trigger.clone(), callback: callback.clone() })?)?;
        deployed.record.updated_at = Timestamp::now();
        let put = Write::PutFlow { workspace: workspace.clone(), record: deployed.record.clone() };
        self.inner.store.commit(vec![put]).await?;
        self.update(|table| table.put(workspace, deployed.clone()));
        Ok(deployed)
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
    /// Executions of it have not ended, or the store failed.
    pub async fn remove(&self, workspace: &Name, name: &Name) -> Result<bool, FlowError> {
        let _changing = self.inner.changing.lock().await;
        if self.inner.store.flow(workspace, name)?.is_none() {
            return Ok(false);
        }
        let unended = self.inner.store.unended(workspace, name)?;
        if unended > 0 {
            return Err(FlowError::Unended { name: name.clone(), unended });
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

fn routed(ids: &face::Ids, spec: &CallbackSpec) -> Option<RoutedCallback> {
    let ids = ids.callbacks.get(&spec.name)?.clone();
    Some(RoutedCallback { ids, content_type: spec.content_type.clone() })
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
