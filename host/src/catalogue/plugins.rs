//! Plugins: which there are, and which version of each is called.

mod scripts;
mod state;

pub use scripts::ScriptMistake;
pub use state::StoredState;

use super::table::{Table, page};
use bytes::Bytes;
use ringback_plugin::{CallError, Sandbox, Upload, UploadError, Version};
use ringback_records::name::{Name, NameError};
use ringback_records::plugin::{Language, PluginRecord, Role, VersionRecord};
use ringback_rules::plugin_call::PluginCall;
use ringback_rules::script;
use ringback_store::{Page, Store, StoreError, Write};
use scripts::Scripts;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::RwLock;

/// Most versions of one plugin.
const VERSIONS_MAX: usize = 100;

/// Why a plugin could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error("there is no plugin {0}")]
    Missing(Name),
    #[error("the plugin {plugin} has no version {version}; it has 1 to {newest}")]
    NoVersion { plugin: Name, version: u32, newest: u32 },
    #[error("the plugin {0} has {VERSIONS_MAX} versions, the most that are kept; remove it and upload it again")]
    TooManyVersions(Name),
    #[error("version {version} of the plugin {plugin} does not load: {reason}; upload it again")]
    NotLoaded { plugin: Name, version: u32, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a flow or a ticket cannot have what it asks of a plugin.
#[derive(Debug, thiserror::Error)]
pub enum MentionError {
    #[error("{0}")]
    Plugin(String),
    #[error("{detail}")]
    Config {
        detail: String,
        /// Where in the configuration, as a JSON Pointer, where that is known.
        pointer: Option<String>,
    },
    /// It could not be asked now.
    #[error("the configuration could not be checked: {0}; try again")]
    NotAsked(CallError),
}

/// A plugin, and the version that is called, or why it does not load.
struct Uploaded {
    record: PluginRecord,
    active: Result<Version, String>,
}

type ByName = BTreeMap<(Name, Name), Arc<Uploaded>>;

/// A handle to all plugins. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Plugins {
    store: Store,
    sandbox: Sandbox,
    table: Arc<Table<ByName>>,
    /// Files are kept while others are, and removed while none is: plugins of several workspaces may be made of one.
    files: Arc<RwLock<()>>,
    scripts: Arc<Scripts>,
}

impl Plugins {
    /// Loads the active version of every plugin. One that does not load is logged and fails its calls.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn open(store: Store, sandbox: Sandbox) -> Result<Self, StoreError> {
        let mut table = ByName::new();
        for (workspace, record) in store.plugins().await? {
            let active = load(&sandbox, &workspace, &record).await;
            if let Err(reason) = &active {
                tracing::error!(plugin.name = %record.name, reason, "a plugin could not be loaded; its calls fail");
            }
            table.insert((workspace, record.name.clone()), Arc::new(Uploaded { record, active }));
        }
        let name = script::NAME.parse().map_err(|error: NameError| StoreError::Read(error.to_string()))?;
        let scripts = Arc::new(Scripts::new(name, sandbox.clone()));
        Ok(Self { store, sandbox, table: Arc::new(Table::new(table)), files: Arc::default(), scripts })
    }

    /// The plugins of a workspace by their names, behind one of them, at most so many.
    pub fn page(&self, workspace: &Name, after: Option<&Name>, limit: usize) -> Page<PluginRecord, Name> {
        page(&self.table.load(), workspace, after, limit, |plugin| plugin.record.clone())
    }

    pub fn list(&self, workspace: &Name) -> Vec<PluginRecord> {
        let table = self.table.load();
        let of_workspace = table.iter().filter(|((owner, _), _)| owner == workspace);
        of_workspace.map(|(_, plugin)| plugin.record.clone()).collect()
    }

    /// The workspaces that have any.
    pub fn workspaces(&self) -> BTreeSet<Name> {
        self.table.load().keys().map(|(workspace, _)| workspace.clone()).collect()
    }

    pub fn find(&self, workspace: &Name, name: &Name) -> Option<PluginRecord> {
        self.uploaded(workspace, name).map(|plugin| plugin.record.clone())
    }

    /// The version of a plugin that is called.
    ///
    /// # Errors
    ///
    /// There is no such plugin, or its version does not load.
    pub fn active(&self, workspace: &Name, name: &Name, role: Role) -> Result<Version, CallError> {
        let plugin = self.uploaded(workspace, name).ok_or_else(|| CallError::Missing { plugin: name.clone(), role })?;
        plugin.active.clone().map_err(|reason| {
            let (plugin, version) = (name.clone(), plugin.record.active);
            CallError::NotLoaded { plugin, version, reason }
        })
    }

    /// What a flow calls: the version of a plugin, or what runs its script.
    ///
    /// # Errors
    ///
    /// As [`active`](Self::active).
    pub async fn called(&self, workspace: &Name, call: &PluginCall, role: Role) -> Result<Version, CallError> {
        match call.script() {
            Some(script) => self.scripts.version(workspace, script).await,
            None => self.active(workspace, &call.plugin, role),
        }
    }

    /// Makes ready what runs scripts, so that nobody waits for it later.
    pub async fn prepare_scripts(&self) {
        if let Err(error) = self.sandbox.prepare_scripts().await {
            tracing::error!(error, "what runs scripts could not be made ready; flows with scripts cannot be deployed");
        }
    }

    /// How many scripts are read ahead of their calls.
    pub fn script_images(&self) -> usize {
        self.sandbox.images()
    }

    /// Checks a script as far as that can be done without running it.
    ///
    /// # Errors
    ///
    /// Where it is wrong.
    pub async fn check_script(&self, workspace: &Name, role: Role, config: &Value) -> Result<(), ScriptMistake> {
        self.scripts.check(workspace, role, config).await
    }

    /// Checks what a flow or a ticket asks of a plugin: that it exists, has the role, and accepts the configuration.
    ///
    /// # Errors
    ///
    /// It does not, or it could not be asked.
    pub async fn check_mention(
        &self,
        workspace: &Name,
        name: &Name,
        role: Role,
        config: Option<&Value>,
    ) -> Result<(), MentionError> {
        let Some(plugin) = self.uploaded(workspace, name) else {
            let known: Vec<String> = self.list(workspace).iter().map(|record| record.name.to_string()).collect();
            let known =
                if known.is_empty() { "none is uploaded".to_owned() } else { format!("known: {}", known.join(", ")) };
            return Err(MentionError::Plugin(format!("there is no plugin `{name}`; {known}")));
        };
        let version = plugin
            .active
            .as_ref()
            .map_err(|reason| MentionError::Plugin(format!("the plugin `{name}` does not load: {reason}")))?;
        let roles = version.roles();
        if !roles.contains(&role) {
            let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            let detail = format!("the plugin `{name}` is no {role}; it is: {}", roles.join(", "));
            return Err(MentionError::Plugin(detail));
        }
        let Some(config) = config else { return Ok(()) };
        version.check(role, workspace, config).await.map_err(|error| match error {
            CallError::Guest { message, pointer, .. } => {
                let detail = format!("the plugin `{name}` does not accept this configuration: {message}");
                MentionError::Config { detail, pointer }
            }
            error if error.is_temporary() => MentionError::NotAsked(error),
            error => {
                let detail = format!("the configuration could not be checked: {error}");
                MentionError::Config { detail, pointer: None }
            }
        })
    }

    /// The schemas of the configurations that a plugin's roles take.
    ///
    /// # Errors
    ///
    /// There is no such plugin, its version does not load, or it cannot be asked.
    pub async fn schemas(&self, workspace: &Name, name: &Name) -> Result<BTreeMap<Role, Value>, PluginError> {
        let plugin = self.uploaded(workspace, name).ok_or_else(|| PluginError::Missing(name.clone()))?;
        let not_loaded = |reason: String| {
            let version = plugin.record.active;
            PluginError::NotLoaded { plugin: name.clone(), version, reason }
        };
        let version = plugin.active.clone().map_err(not_loaded)?;
        let schemas = version.schemas(workspace).await.map_err(|error| not_loaded(error.to_string()))?;
        Ok(schemas.iter().map(|(role, schema)| (*role, schema.value().clone())).collect())
    }

    /// Checks a file as an upload would, and keeps nothing: the version that it would become.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub async fn check_file(
        &self,
        workspace: &Name,
        bytes: Bytes,
        language: Option<Language>,
    ) -> Result<VersionRecord, UploadError> {
        self.take(workspace, bytes, language).await.map(|upload| upload.record(1))
    }

    /// A component, or a source that is taken as it is.
    async fn take(&self, workspace: &Name, bytes: Bytes, language: Option<Language>) -> Result<Upload, UploadError> {
        match language {
            None => self.sandbox.take_upload(workspace, bytes).await,
            Some(Language::Js) => self.sandbox.take_script(workspace, bytes).await,
        }
    }

    /// Takes a file as the next version of a plugin and activates it, unless told not to. The same file as an earlier
    /// version is that version: whether it is new is the second part of the answer.
    ///
    /// # Errors
    ///
    /// What is wrong with the file; then nothing of it stays.
    pub async fn upload(
        &self,
        workspace: &Name,
        name: &Name,
        bytes: Bytes,
        language: Option<Language>,
        activate: bool,
    ) -> Result<(VersionRecord, bool), PluginError> {
        let upload = self.take(workspace, bytes, language).await?;
        let _changing = self.table.lock(workspace).await;
        let current = self.uploaded(workspace, name);
        let mut record = current.as_ref().map_or_else(
            || PluginRecord { name: name.clone(), active: 0, versions: Vec::new() },
            |plugin| plugin.record.clone(),
        );
        if let Some(known) = record.versions.iter().find(|version| version.digest == upload.digest()).cloned() {
            let does_not_load = current.as_ref().is_some_and(|plugin| plugin.active.is_err());
            if activate && (record.active != known.version || does_not_load) {
                record.active = known.version;
                let uploaded = upload.version_again(name, &known);
                let _files = self.files.read().await;
                // They may be gone, or damaged.
                upload.keep().await?;
                self.put(workspace, record, Ok(uploaded)).await?;
            }
            return Ok((known, false));
        }
        if record.versions.len() == VERSIONS_MAX {
            return Err(PluginError::TooManyVersions(name.clone()));
        }
        let number = record.versions.last().map_or(1, |version| version.version + 1);
        let version = upload.record(number);
        record.versions.push(version.clone());
        let uploaded = upload.version(name);
        let _files = self.files.read().await;
        upload.keep().await?;
        let active = match current {
            Some(plugin) if !activate => plugin.active.clone(),
            _ => {
                record.active = number;
                Ok(uploaded)
            }
        };
        self.put(workspace, record, active).await?;
        Ok((version, true))
    }

    /// Calls another version from now on; calls under way end with the one they began with.
    ///
    /// # Errors
    ///
    /// There is no such plugin or version, or it does not load.
    pub async fn activate(&self, workspace: &Name, name: &Name, version: u32) -> Result<PluginRecord, PluginError> {
        let _changing = self.table.lock(workspace).await;
        let mut record = self.find(workspace, name).ok_or_else(|| PluginError::Missing(name.clone()))?;
        if !record.versions.iter().any(|known| known.version == version) {
            let newest = record.versions.last().map_or(0, |version| version.version);
            return Err(PluginError::NoVersion { plugin: name.clone(), version, newest });
        }
        record.active = version;
        let active = load(&self.sandbox, workspace, &record).await;
        let active = active.map_err(|reason| PluginError::NotLoaded { plugin: name.clone(), version, reason })?;
        self.put(workspace, record.clone(), Ok(active)).await?;
        Ok(record)
    }

    /// Removes a plugin with all its versions and its state: whether there was one. Who needs it is asked by
    /// [`remove_plugin`](crate::catalogue::removal::remove_plugin).
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(&self, workspace: &Name, name: &Name) -> Result<bool, StoreError> {
        let _changing = self.table.lock(workspace).await;
        let Some(plugin) = self.uploaded(workspace, name) else { return Ok(false) };
        let delete = Write::DeletePlugin { workspace: workspace.clone(), name: name.clone() };
        let key = (workspace.clone(), name.clone());
        let _files = self.files.write().await;
        self.table.commit(&self.store, vec![delete], |plugins| drop(plugins.remove(&key))).await?;
        for version in &plugin.record.versions {
            // A file that another plugin was made of stays.
            let is_it = |known: &VersionRecord| known.digest == version.digest;
            if !self.table.load().values().any(|other| other.record.versions.iter().any(is_it)) {
                self.sandbox.forget(version).await;
            }
        }
        Ok(true)
    }

    fn uploaded(&self, workspace: &Name, name: &Name) -> Option<Arc<Uploaded>> {
        self.table.load().get(&(workspace.clone(), name.clone())).cloned()
    }

    async fn put(
        &self,
        workspace: &Name,
        record: PluginRecord,
        active: Result<Version, String>,
    ) -> Result<(), StoreError> {
        let put = Write::PutPlugin { workspace: workspace.clone(), record: record.clone() };
        let key = (workspace.clone(), record.name.clone());
        let plugin = Arc::new(Uploaded { record, active });
        let change = |plugins: &mut ByName| drop(plugins.insert(key.clone(), Arc::clone(&plugin)));
        self.table.commit(&self.store, vec![put], change).await
    }
}

/// The version that a record says is called.
async fn load(sandbox: &Sandbox, workspace: &Name, record: &PluginRecord) -> Result<Version, String> {
    let version = record.versions.iter().find(|version| version.version == record.active);
    let version = version.ok_or_else(|| format!("version {} is not known", record.active))?;
    sandbox.load(workspace, &record.name, version).await
}
