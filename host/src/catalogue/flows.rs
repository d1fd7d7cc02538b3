//! Deployed flows: from a file to routes, and from a route to the flow of its version.

mod difference;
mod ids;
mod routes;
mod versions;

pub use ids::signature_id;
pub use routes::Route;
pub use versions::Version;

use super::plugins::{MentionError, Plugins, ScriptMistake};
use super::table::{Table, page};
use super::unended::{self, Unended};
use crate::catalogue::doors::Doors;
use crate::weight::LoadedFlow;
use aws_lc_rs::error::Unspecified;
use ids::{SIGNATURES_MAX, take_over_keys};
use ringback_records::flow::{CallbackIds, FlowRecord, FlowVersionRecord, GoneTrigger, Ids};
use ringback_records::name::Name;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_rules::face::{Face, Target};
use ringback_rules::flow::{
    CallbackSpec, Flow, Mistake, Parsed, PluginMention, Trigger, in_order, parse, place_within, scripts,
};
use ringback_rules::vault::Vault;
use ringback_store::{Page, Store, StoreError, Write};
use routes::Routes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use versions::{Ready, Users};

/// Most executions that a warning counts.
const WAITING_SAID_MAX: usize = 1000;

/// A flow as it is deployed.
#[derive(Clone, Debug)]
pub struct Deployed {
    pub record: FlowRecord,
    pub flow: Arc<LoadedFlow>,
}

/// How a flow is deployed.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Everything is checked, and nothing is kept.
    pub dry_run: bool,
    /// No URL answers until the flow is enabled; they are reserved.
    pub disabled: bool,
    /// Only in place of this version; of none where it is 0.
    pub version: Option<u32>,
}

/// What differs between two sources, line by line.
pub fn changes(before: &str, after: &str) -> String {
    difference::between(before, after)
}

/// What a deployment did.
#[derive(Debug)]
pub struct Deployment {
    /// Without what URLs are made of, where they would be new and nothing is kept.
    pub deployed: Arc<Deployed>,
    /// The flow was not there before.
    pub is_new: bool,
    /// What is missing but may come later, and what ends.
    pub warnings: Vec<String>,
    /// What is easily overlooked.
    pub notes: Vec<String>,
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
    Unended { name: Name, unended: Unended },
    #[error("the flow {name} has version {version} by now, and not the one that this was to replace; look at it first")]
    Overtaken { name: Name, version: u32 },
    #[error("there is no flow {0}")]
    Missing(Name),
    #[error("the flow {name} has no version {version} any more, or not yet; there are {kept}")]
    NoVersion { name: Name, version: u32, kept: String },
    #[error("the trigger {trigger} has no callback {callback}")]
    NoCallback { trigger: Name, callback: Name },
    #[error("a callback has at most {SIGNATURES_MAX} signatures; drop one first")]
    SignaturesMax,
    #[error("there is no signature {0}")]
    NoSignature(String),
    #[error("several signatures begin with {0}: name the whole of the one that is meant")]
    SignatureAmbiguous(String),
    #[error("{0}")]
    NotChecked(String),
    #[error("the operating system gave no random bytes")]
    Random,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Mistakes of a trigger whose secrets are there, and cannot be what it takes them for.
fn secrets_of_another_form(workspace: &Name, trigger: &Trigger, secrets: &Vault) -> Vec<Mistake> {
    let reasons = trigger.verify.secrets().iter().filter_map(|name| {
        let values = secrets.newest_everywhere(workspace, name);
        let reason = values.iter().find_map(|value| trigger.verify.check_secret(value.bytes()).err())?;
        Some(format!("{name} cannot be the secret here: {reason}; store another one with `ringback secret set {name}`"))
    });
    reasons.map(|detail| trigger.at.mistake(detail)).collect()
}

impl From<Unspecified> for FlowError {
    fn from(_: Unspecified) -> Self {
        Self::Random
    }
}

/// A handle to all deployed flows. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Flows {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    deployed: Table<Routes>,
    /// Held where a URL could be given twice: no two flows of the server have one in common.
    giving_urls: tokio::sync::Mutex<()>,
    /// Earlier versions that executions run.
    ready: Mutex<Ready>,
    users: Mutex<Users>,
    /// Versions of a flow that are kept, whether anybody needs them or not.
    versions_kept: usize,
    doors: Doors,
}

/// What is wrong with a script, with its place in the file.
async fn mistake_in(mention: &PluginMention, workspace: &Name, plugins: &Plugins) -> Option<Mistake> {
    let (Some(place), Some(config)) = (&mention.script, &mention.config) else { return None };
    let checked = plugins.check_script(workspace, mention.role, config).await;
    checked.err().map(|ScriptMistake { place: at, detail }| place.mistake(&mention.name_at, at, &detail))
}

impl Flows {
    /// Reads and compiles every deployed flow. One that this version cannot read is logged and not routed.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn open(store: Store, versions_kept: usize) -> Result<Self, StoreError> {
        let mut table = Routes::default();
        for (workspace, mut record) in store.flows().await? {
            take_over_keys(&mut record);
            let version = store.flow_version(&workspace, &record.name, record.version).await?;
            match parse(&version.map(|version| version.source).unwrap_or_default(), record.version) {
                Ok(Parsed { flow, .. }) => {
                    find_gone(&store, &workspace, &mut record, &flow).await?;
                    table.put(&workspace, Deployed { record, flow: Arc::new(flow.into()) });
                }
                Err(mistakes) => {
                    let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
                    tracing::error!(flow.name = %record.name, mistake = first, "a deployed flow cannot be read; deploy it again");
                    table.unreadable.insert((workspace, record.name), record.made_at);
                }
            }
        }
        let inner = Inner {
            store,
            deployed: Table::new(table),
            giving_urls: tokio::sync::Mutex::default(),
            ready: Mutex::default(),
            users: Mutex::default(),
            versions_kept,
            doors: Doors::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn find(&self, workspace: &Name, name: &Name) -> Option<Arc<Deployed>> {
        self.inner.deployed.load().find(workspace, name).cloned()
    }

    /// The flows of a workspace by their names, behind one of them, at most so many.
    pub fn page(&self, workspace: &Name, after: Option<&Name>, limit: usize) -> Page<Arc<Deployed>, Name> {
        page(&self.inner.deployed.load().flows, workspace, after, limit, Arc::clone)
    }

    pub fn list(&self, workspace: &Name) -> Vec<Arc<Deployed>> {
        let deployed = self.inner.deployed.load();
        let of_workspace = deployed.flows.iter().filter(|((owner, _), _)| owner == workspace);
        of_workspace.map(|(_, flow)| Arc::clone(flow)).collect()
    }

    /// The workspaces that have any.
    pub fn workspaces(&self) -> BTreeSet<Name> {
        self.inner.deployed.load().flows.keys().map(|(workspace, _)| workspace.clone()).collect()
    }

    /// Whether a flow that was made then was removed, also where another one has its name by now. One that cannot be read is
    /// there.
    pub fn is_gone(&self, workspace: &Name, name: &Name, made_at: Option<Timestamp>) -> bool {
        let table = self.inner.deployed.load();
        let known = match table.find(workspace, name) {
            Some(deployed) => Some(deployed.record.made_at),
            None => table.unreadable.get(&(workspace.clone(), name.clone())).copied(),
        };
        known != Some(made_at)
    }

    /// Whether a value can be what the triggers of the workspace take the secret of that name for.
    ///
    /// # Errors
    ///
    /// It cannot, in words without the value.
    pub fn check_secret(&self, workspace: &Name, name: &str, value: &[u8]) -> Result<(), String> {
        for deployed in self.list(workspace) {
            let asked = |trigger: &&Trigger| trigger.verify.secrets().iter().any(|known| known == name);
            for trigger in deployed.flow.triggers.iter().filter(asked) {
                trigger.verify.check_secret(value).map_err(|reason| {
                    let flow = &deployed.record.name;
                    format!("the trigger {} of the flow {flow} verifies with {name}, and {reason}", trigger.name)
                })?;
            }
        }
        Ok(())
    }

    /// Deploys a flow file as the next version; a flow that was disabled stays so. No number comes again, also not after the
    /// flow was removed.
    ///
    /// # Errors
    ///
    /// Every mistake in the file, or the store failed.
    pub async fn deploy(
        &self,
        workspace: &Name,
        name: &Name,
        source: &str,
        how: How,
        plugins: &Plugins,
        secrets: &Vault,
    ) -> Result<Deployment, FlowError> {
        // What takes time is done before others have to wait.
        let parsed = match parse(source, 0) {
            Ok(parsed) => parsed,
            Err(mut mistakes) => {
                for script in scripts(source) {
                    mistakes.extend(mistake_in(&script, workspace, plugins).await);
                }
                in_order(&mut mistakes);
                return Err(FlowError::Mistakes(mistakes));
            }
        };
        if parsed.flow.name != *name {
            return Err(FlowError::OtherName { found: parsed.flow.name, expected: name.clone() });
        }
        let mut mistakes = parsed.refused;
        for mention in &parsed.plugins {
            let PluginMention { plugin, role, config, name_at, config_at, script } = mention;
            if script.is_some() {
                mistakes.extend(mistake_in(mention, workspace, plugins).await);
                continue;
            }
            let checked = plugins.check_mention(workspace, plugin, *role, config.as_ref()).await;
            match checked {
                Ok(()) => {}
                Err(MentionError::Plugin(detail)) => mistakes.push(name_at.mistake(detail)),
                Err(MentionError::Config { detail, pointer }) => {
                    let place = pointer.and_then(|pointer| place_within(source, config_at, &pointer));
                    mistakes.push(place.as_ref().unwrap_or(config_at).mistake(detail));
                }
                Err(error @ MentionError::NotAsked(_)) => return Err(FlowError::NotChecked(error.to_string())),
            }
        }
        let mut warnings = Vec::new();
        for (names, what) in
            [(&parsed.secrets, "callbacks get 500"), (&parsed.secrets_sent, "requests that name it fail")]
        {
            let missing = names.iter().filter(|name| secrets.find(workspace, &Name::default_name(), name).is_none());
            warnings.extend(
                missing
                    .map(|name| format!("there is no secret {name} yet: until `ringback secret set {name}`, {what}")),
            );
        }
        for trigger in &parsed.flow.triggers {
            mistakes.extend(secrets_of_another_form(workspace, trigger, secrets));
        }

        let _changing = self.inner.deployed.lock(workspace).await;
        let uploaded = || parsed.plugins.iter().filter(|mention| mention.is_uploaded());
        let gone = uploaded().filter(|mention| plugins.find(workspace, &mention.plugin).is_none());
        mistakes.extend(gone.map(|mention| mention.name_at.mistake("the plugin was removed in the meantime")));
        if !mistakes.is_empty() {
            mistakes.dedup_by(|a, b| (&a.file, a.line, a.column) == (&b.file, b.line, b.column));
            return Err(FlowError::Mistakes(mistakes));
        }
        let store = &self.inner.store;
        let before = self.find(workspace, name);
        let mut current = store.flow(workspace, name).await?;
        if let Some(record) = &mut current {
            take_over_keys(record);
        }
        let enabled = current.as_ref().is_none_or(|record| record.enabled) && !how.disabled;
        let is_new = current.is_none();
        if let (Some(record), Some(deployed)) = (&current, &before)
            && store.flow_version(workspace, name, record.version).await?.is_some_and(|known| known.source == source)
        {
            let deployed = match enabled == record.enabled || how.dry_run {
                true => Arc::clone(deployed),
                false => {
                    self.put(workspace, FlowRecord { enabled, ..deployed.record.clone() }, &deployed.flow, Vec::new())
                        .await?
                }
            };
            return Ok(Deployment { deployed, is_new, warnings, notes: parsed.notes });
        }
        let found = current.as_ref().map_or(0, |record| record.version);
        if how.version.is_some_and(|expected| expected != found) {
            return Err(FlowError::Overtaken { name: name.clone(), version: found });
        }
        let last = current.as_ref().map(|record| record.version).max(store.removed_flow(workspace, name).await?);
        let version = last.unwrap_or(0) + 1;
        let flow = Arc::new(LoadedFlow::from(Flow { version, ..parsed.flow }));
        let known = current.as_ref().map(|record| record.ids.clone()).unwrap_or_default();
        let mut ids = known.clone();
        let dropped = store.dropped_signatures(workspace, ids::brought(&flow).cloned().collect()).await?;
        ids::complete(&mut ids, &flow, &dropped)?;
        let short = ids::short_keys(&ids, &flow);
        if !short.is_empty() {
            return Err(FlowError::Mistakes(short));
        }
        warnings.extend(ids::dropped_again(&flow, &dropped));
        let gone = before.as_ref().map(|before| gone_after(before, &flow)).unwrap_or_default();
        if let Some(before) = &before {
            for Ended { mut what, where_others_wait } in ended_urls(workspace, before, &flow, &ids) {
                if let Some((trigger, environment)) = where_others_wait {
                    let environment = environment.as_ref();
                    let waiting = store.waiting_at(workspace, name, &trigger, environment, WAITING_SAID_MAX).await;
                    what.push_str(&waiting_said(waiting.unwrap_or_default()));
                }
                warnings.push(what);
            }
        }
        let (name, updated_at) = (name.clone(), Timestamp::now());
        let first_version = current.as_ref().map_or(version, |record| record.first_version);
        let made_at = current.as_ref().map_or(Some(updated_at), |record| record.made_at);
        let keys = BTreeMap::new();
        let record = FlowRecord { name, version, first_version, made_at, enabled, ids, keys, gone, updated_at };
        let mut deployed = Deployed { record, flow: Arc::clone(&flow) };
        let giving_urls = self.inner.giving_urls.lock().await;
        let taken = self.inner.deployed.load().taken(workspace, &deployed);
        if !taken.is_empty() {
            let mistake = |(index, whose): &(usize, String)| {
                let detail =
                    format!("what `ids` gives a URL of this trigger belongs to {whose} already; give it another");
                Some(flow.triggers.get(*index)?.at.mistake(detail))
            };
            return Err(FlowError::Mistakes(taken.iter().filter_map(mistake).collect()));
        }
        if how.dry_run {
            ids::only_known(&mut deployed.record.ids, &known);
            return Ok(Deployment { deployed: Arc::new(deployed), is_new, warnings, notes: parsed.notes });
        }
        let (workspace, name) = (workspace.clone(), deployed.record.name.clone());
        let plugins = uploaded().map(|mention| mention.plugin.clone()).collect();
        let record =
            FlowVersionRecord { source: source.to_owned(), deployed_at: Some(updated_at), plugins: Some(plugins) };
        let put_version = Write::PutFlowVersion { workspace: workspace.clone(), name: name.clone(), version, record };
        let put = Write::PutFlow { workspace: workspace.clone(), record: deployed.record.clone() };
        self.commit(vec![put_version, put], |routes| routes.put(&workspace, deployed.clone())).await?;
        drop(giving_urls);
        let flows = self.clone();
        tokio::spawn(async move {
            if let Err(error) = flows.forget_versions_of(&workspace, &name).await {
                tracing::error!(%error, "versions of a flow that nobody needs could not be forgotten");
            }
        });
        Ok(Deployment { deployed: Arc::new(deployed), is_new, warnings, notes: parsed.notes })
    }

    /// Takes a flow back to an earlier version: its source is deployed again, under a number of its own.
    ///
    /// # Errors
    ///
    /// There is no such version, it has mistakes by now, or the store failed.
    pub async fn activate(
        &self,
        workspace: &Name,
        name: &Name,
        version: u32,
        plugins: &Plugins,
        secrets: &Vault,
    ) -> Result<Deployment, FlowError> {
        let source = self.one_version(workspace, name, version).await?.record.source;
        self.deploy(workspace, name, &source, How::default(), plugins, secrets).await
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
    ) -> Result<Arc<Deployed>, FlowError> {
        self.change_callback(workspace, name, trigger, callback, |ids, _| {
            ids::add_signature(ids)?;
            Ok(Vec::new())
        })
        .await
    }

    /// Drops a signature, by the beginning of it: its URLs are unknown from then on, in every environment. Nothing brings it
    /// back.
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
    ) -> Result<Arc<Deployed>, FlowError> {
        self.change_callback(workspace, name, trigger, callback, |ids, environments| {
            let dropped = ids::drop_signature(ids, environments, id)?;
            if dropped.is_empty() {
                return Err(FlowError::NoSignature(id.to_owned()));
            }
            let write = |signature| Write::DropSignature { workspace: workspace.clone(), signature };
            Ok(dropped.into_iter().map(write).collect())
        })
        .await
    }

    async fn change_callback(
        &self,
        workspace: &Name,
        name: &Name,
        trigger: &Name,
        callback: &Name,
        change: impl FnOnce(&mut CallbackIds, &[Name]) -> Result<Vec<Write>, FlowError>,
    ) -> Result<Arc<Deployed>, FlowError> {
        let _changing = self.inner.deployed.lock(workspace).await;
        let deployed = self.find(workspace, name).ok_or_else(|| FlowError::Missing(name.clone()))?;
        let mut record = deployed.record.clone();
        let ids = record.ids.get_mut(trigger).and_then(|ids| ids.callbacks.get_mut(callback));
        let missing = || FlowError::NoCallback { trigger: trigger.clone(), callback: callback.clone() };
        let spec = deployed.flow.triggers.iter().find(|known| known.id == *trigger);
        let environments = spec.map(|spec| spec.environments.as_slice()).unwrap_or_default();
        let with = change(ids.ok_or_else(missing)?, environments)?;
        Ok(self.put(workspace, record, &deployed.flow, with).await?)
    }

    /// Lets a flow's URLs work, or not.
    ///
    /// # Errors
    ///
    /// There is no such flow, or the store failed.
    pub async fn set_enabled(&self, workspace: &Name, name: &Name, enabled: bool) -> Result<Arc<Deployed>, FlowError> {
        let _changing = self.inner.deployed.lock(workspace).await;
        let deployed = self.find(workspace, name).ok_or_else(|| FlowError::Missing(name.clone()))?;
        Ok(self.put(workspace, FlowRecord { enabled, ..deployed.record.clone() }, &deployed.flow, Vec::new()).await?)
    }

    /// Makes another record of a deployed flow durable, and what goes with it.
    async fn put(
        &self,
        workspace: &Name,
        record: FlowRecord,
        flow: &Arc<LoadedFlow>,
        with: Vec<Write>,
    ) -> Result<Arc<Deployed>, StoreError> {
        let record = FlowRecord { updated_at: Timestamp::now(), ..record };
        let put = Write::PutFlow { workspace: workspace.clone(), record: record.clone() };
        let deployed = Deployed { record, flow: Arc::clone(flow) };
        let writes = [put].into_iter().chain(with).collect();
        self.commit(writes, |routes| routes.put(workspace, deployed.clone())).await?;
        Ok(Arc::new(deployed))
    }

    /// Removes a flow and the sources of its versions: whether there was one.
    ///
    /// # Errors
    ///
    /// Executions of it have not ended, or the store failed.
    pub async fn remove(&self, workspace: &Name, name: &Name) -> Result<bool, FlowError> {
        let _changing = self.inner.deployed.lock(workspace).await;
        let Some(record) = self.inner.store.flow(workspace, name).await? else { return Ok(false) };
        self.expect_ended(workspace, name).await?;
        // Who is about to start an execution has done so before it is asked again, or is refused.
        let _closed = self.inner.doors.close(workspace, name).await;
        let (of, flow, version) = (workspace.clone(), name.clone(), record.version);
        let everything_before = Write::ExpectFlowVersion { workspace: of.clone(), name: flow.clone(), version };
        match self.inner.store.commit(vec![everything_before]).await {
            Ok(()) | Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        self.expect_ended(workspace, name).await?;
        let delete = Write::DeleteFlow { workspace: of, name: flow, version };
        self.commit(vec![delete], |routes| routes.remove(workspace, name)).await?;
        lock(&self.inner.ready).forget(workspace, name);
        lock(&self.inner.users).remove(&(workspace.clone(), name.clone()));
        Ok(true)
    }

    async fn commit(&self, writes: Vec<Write>, change: impl Fn(&mut Routes)) -> Result<(), StoreError> {
        self.inner.deployed.commit(&self.inner.store, writes, change).await
    }

    /// Refuses what would leave executions without their flow.
    async fn expect_ended(&self, workspace: &Name, name: &Name) -> Result<(), FlowError> {
        match unended::of_flow(&self.inner.store, workspace, name).await? {
            None => Ok(()),
            Some(unended) => Err(FlowError::Unended { name: name.clone(), unended }),
        }
    }

    /// What makes sure that a version of a flow is still there, while the flow is kept open; nothing for the deployed one.
    pub fn expect_version(&self, workspace: &Name, flow: &Flow) -> Option<Write> {
        let deployed = self.inner.deployed.load();
        let is_deployed = deployed.find(workspace, &flow.name).is_some_and(|known| known.flow.version == flow.version);
        let (workspace, name, version) = (workspace.clone(), flow.name.clone(), flow.version);
        (!is_deployed).then_some(Write::ExpectFlowVersion { workspace, name, version })
    }

    /// While this is held, the flow is not removed. It may have been before.
    pub async fn keep_open(&self, workspace: &Name, name: &Name) -> impl Sized {
        self.inner.doors.keep_open(workspace, name).await
    }
}

/// The triggers that a flow has no more once it is deployed in another version.
fn gone_after(before: &Deployed, flow: &Flow) -> BTreeMap<Name, GoneTrigger> {
    let mut gone = before.record.gone.clone();
    let earlier = before.flow.triggers.iter().enumerate();
    gone.extend(earlier.map(|(index, trigger)| (trigger.id.clone(), gone_trigger(&before.flow, index, trigger))));
    gone.retain(|id, _| ids::position(flow, id).is_none());
    gone
}

fn gone_trigger(flow: &Flow, index: usize, trigger: &Trigger) -> GoneTrigger {
    let faces = trigger.faces.iter().map(|face| face.name().to_owned()).collect();
    GoneTrigger { version: flow.version, faces, starts: index == 0 }
}

/// A URL that ends, in words for its callers.
struct Ended {
    what: String,
    /// The trigger at which executions may wait for them, and the environment where it ends in one alone.
    where_others_wait: Option<(Name, Option<Name>)>,
}

fn waiting_said(waiting: usize) -> String {
    match waiting {
        0 => String::new(),
        1 => "; one execution waits there".to_owned(),
        WAITING_SAID_MAX => format!("; {WAITING_SAID_MAX} executions or more wait there"),
        waiting => format!("; {waiting} executions wait there"),
    }
}

/// What callers have to know of URLs that end when a flow is deployed in another version.
fn ended_urls(workspace: &Name, before: &Deployed, flow: &Flow, ids: &BTreeMap<Name, Ids>) -> Vec<Ended> {
    let is_new = |trigger: &&Trigger| ids::position(&before.flow, &trigger.id).is_none();
    let new: Vec<&str> = flow.triggers.iter().filter(is_new).map(|trigger| trigger.name.as_str()).collect();
    let mut ended = Vec::new();
    for (index, trigger) in before.flow.triggers.iter().enumerate() {
        let Trigger { id, name, .. } = trigger;
        let still = ids::position(flow, id).and_then(|index| flow.triggers.get(index));
        let Some(still) = still else {
            let whom = if index == 0 { "" } else { " for executions of this version and later ones" };
            let mut text = format!("the trigger `{name}` is gone, and its URL ends{whom}");
            if let [only] = new[..] {
                text.push_str(&format!("; if `{only}` is the same trigger under another name, give it `id: {id}`"));
            } else if !new.is_empty() {
                text.push_str(&format!("; if one of the new ones is the same under another name, give it `id: {id}`"));
            }
            ended.push(Ended { what: text, where_others_wait: None });
            continue;
        };
        let (Some(old), Some(new)) = (before.record.ids.get(id), ids.get(id)) else { continue };
        for (what, environment) in ended_of(workspace, trigger, still, old, new) {
            // Nobody waits at the first.
            let where_others_wait = (index > 0).then(|| (id.clone(), environment.cloned()));
            ended.push(Ended { what, where_others_wait });
        }
    }
    ended
}

/// What ends of a trigger that stays, each with the environment where it is in one alone.
fn ended_of<'t>(
    workspace: &Name,
    before: &'t Trigger,
    after: &Trigger,
    old: &Ids,
    new: &Ids,
) -> Vec<(String, Option<&'t Name>)> {
    let name = &before.name;
    if (&old.key, old.flow, old.trigger) != (&new.key, new.flow, new.trigger) {
        return vec![(format!("`ids` gives the trigger `{name}` another URL; the one before ends"), None)];
    }
    let (callback, environment) = (old.callbacks.values().next(), &Name::default_name());
    let target = Target { workspace, ids: old, callback, environment, prefix: None };
    let stays = |face: &dyn Face| after.faces.iter().any(|known| known.name() == face.name());
    let faces = before.faces.iter().filter(|face| !stays(**face) && face.path(&target).is_some());
    let mut ended: Vec<_> =
        faces.map(|face| (format!("the URL of the trigger `{name}` at the face {} ends", face.name()), None)).collect();
    if before.faces.iter().any(|face| face.has_prefixes() && stays(*face)) {
        let gone = before.environments.iter().filter(|known| !after.environments.contains(known));
        let text = |gone| format!("the URL of the trigger `{name}` in the environment {gone} ends");
        ended.extend(gone.map(|gone| (text(gone), Some(gone))));
    }
    if before.faces.iter().any(|face| face.has_callbacks() && stays(*face)) {
        for CallbackSpec { name: callback, .. } in &before.callbacks {
            let id_of = |ids: &Ids| ids.callbacks.get(callback).map(|known| known.id.clone());
            let is_there = after.callbacks.iter().any(|known| known.name == *callback);
            if !is_there || id_of(old) != id_of(new) {
                ended.push((format!("the URL of the callback {callback} of the trigger `{name}` ends"), None));
            }
        }
    }
    ended
}

/// Finds the triggers that are gone in a record of before they were kept there: for each, the last version that had it.
async fn find_gone(store: &Store, workspace: &Name, record: &mut FlowRecord, flow: &Flow) -> Result<(), StoreError> {
    let is_known = |id: &Name| record.gone.contains_key(id) || ids::position(flow, id).is_some();
    let mut unknown: Vec<Name> = record.ids.keys().filter(|id| !is_known(id)).cloned().collect();
    if unknown.is_empty() {
        return Ok(());
    }
    for version in versions::kept_versions(store, workspace, &record.name).await?.into_iter().rev() {
        let source = store.flow_version(workspace, &record.name, version).await?.map(|version| version.source);
        let Ok(earlier) = parse(&source.unwrap_or_default(), version) else { continue };
        unknown.retain(|id| {
            let Some(index) = ids::position(&earlier.flow, id) else { return true };
            let trigger = earlier.flow.triggers.get(index);
            record.gone.extend(trigger.map(|trigger| (id.clone(), gone_trigger(&earlier.flow, index, trigger))));
            false
        });
        if unknown.is_empty() {
            break;
        }
    }
    Ok(())
}
