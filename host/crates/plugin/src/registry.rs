//! All plugins of all workspaces: uploaded, activated, called.

use super::bindings::exports;
use super::cache::{Cache, deserialize};
use super::call::{Answer, Caller, Linked, Question, Roles, VerifierVerdict};
use super::circuit::Circuit;
use super::compile::{Compiled, compile, with_causes};
use super::engine::{self, Calls, Ticker};
use super::error::{CallError, UploadError};
use super::host::{CallState, Paths, Services, link};
use super::limits::{LARGE, Limits, NORMAL};
use super::share::{Places, SlowLane};
use super::subject::Subject;
use arc_swap::ArcSwap;
use bytes::Bytes;
use ringback_outbound::plugin::Outbound;
use ringback_records::json;
use ringback_records::name::{Name, sha256_hex};
use ringback_records::plugin::{PluginRecord, Role, VersionRecord};
use ringback_records::reply::Reply;
use ringback_records::time::Timestamp;
use ringback_records::trace::PluginUse;
use ringback_rules::flow::PluginMention;
use ringback_rules::vault::Vault;
use ringback_store::{Changes, Store, StoreError, Write};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

/// Most uploads of one workspace that wait for the compiler.
const UPLOADS_WAITING_MAX: usize = 8;
/// Most versions of one plugin.
const VERSIONS_MAX: usize = 100;
/// The interfaces by which a call leaves something behind. Of WASI nothing is granted.
const EFFECTS: [&str; 2] = ["ringback:plugin/state@", "ringback:plugin/http@"];

/// How plugins are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory.
    pub data: PathBuf,
    /// The program that compiles: this binary.
    pub compiler: PathBuf,
    pub limits: Limits,
    /// Largest body of a callback, in bytes.
    pub body_bytes_max: usize,
    /// Whether components that embed an interpreter may be uploaded.
    pub large_plugins: bool,
}

/// Why a plugin could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error("there is no plugin {0}")]
    NoPlugin(Name),
    #[error("the plugin {plugin} has no version {version}; it has 1 to {newest}")]
    NoVersion { plugin: Name, version: u32, newest: u32 },
    #[error("the plugin {0} has {VERSIONS_MAX} versions, the most that are kept; remove it and upload it again")]
    TooManyVersions(Name),
    #[error("version {version} of the plugin {plugin} does not load: {reason}; upload it again")]
    NotLoaded { plugin: Name, version: u32, reason: String },
    #[error("plugins could not be set up: {0}")]
    SetUp(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle to all plugins. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Plugins {
    inner: Arc<Inner>,
}

struct Inner {
    caller: Caller,
    linker: Linker<CallState>,
    cache: Cache,
    settings: Settings,
    active: ArcSwap<BTreeMap<(Name, Name), Arc<Active>>>,
    changing: Changes,
    /// Files are kept while others are, and removed while none is: plugins of several workspaces may be made of one.
    files: RwLock<()>,
    /// One compiler runs at a time, for a workspace after the other.
    compiling: Places,
    places: Places,
}

/// A version of a plugin that was active when it was looked for.
#[derive(Clone)]
pub struct Version(Arc<Active>);

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.record.name, self.0.record.active)
    }
}

/// A plugin whose active version can be called.
struct Active {
    record: PluginRecord,
    version: Arc<ActiveVersion>,
}

/// The version that is called, with its circuit breaker.
struct ActiveVersion {
    linked: Result<Arc<Linked>, String>,
    circuit: Circuit,
}

impl ActiveVersion {
    fn new(linked: Result<Arc<Linked>, String>) -> Arc<Self> {
        Arc::new(Self { linked, circuit: Circuit::default() })
    }
}

impl Plugins {
    /// Loads the active version of every plugin.
    ///
    /// # Errors
    ///
    /// The engine or the directories cannot be used, or the store failed. A version that does not load is logged and
    /// fails its calls.
    pub async fn open(
        settings: Settings,
        store: Store,
        secrets: Vault,
        outbound: Outbound,
    ) -> Result<Self, RegistryError> {
        let set_up = |error: &dyn std::fmt::Display| RegistryError::SetUp(error.to_string());
        let engine = engine::running(&settings.limits).map_err(|error| set_up(&with_causes(&error)))?;
        let mut linker = Linker::new(&engine);
        link(&mut linker).map_err(|error| set_up(&with_causes(&error)))?;
        let cache = Cache::open(&settings.data, &engine).map_err(|error| set_up(&error))?;
        let calls = Arc::new(Calls::default());
        let ticker = Ticker::start(&engine, Arc::clone(&calls)).map_err(|error| set_up(&error))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let records = store.plugins()?;
        let limits = settings.limits.clone();
        let inner = Inner {
            caller: Caller {
                engine,
                ticker,
                slow_lane: SlowLane::start(threads, calls).map_err(|error| set_up(&error))?,
                services: Arc::new(Services { store, secrets, outbound, paths: Paths::default() }),
                limits: limits.clone(),
                body_bytes_max: settings.body_bytes_max,
            },
            linker,
            cache,
            files: RwLock::default(),
            compiling: Places::new(1, 1, UPLOADS_WAITING_MAX),
            places: Places::new(limits.concurrency, limits.workspace_concurrency, limits.workspace_waiting),
            settings,
            active: ArcSwap::default(),
            changing: Changes::default(),
        };
        let plugins = Self { inner: Arc::new(inner) };
        let mut active = BTreeMap::new();
        for (workspace, record) in records {
            let linked = plugins.inner.load(&workspace, &record).await;
            if let Err(reason) = &linked {
                tracing::error!(plugin.name = %record.name, reason, "a plugin could not be loaded; its calls fail");
            }
            let key = (workspace, record.name.clone());
            active.insert(key, Arc::new(Active { record, version: ActiveVersion::new(linked) }));
        }
        plugins.inner.active.store(Arc::new(active));
        Ok(plugins)
    }

    pub fn list(&self, workspace: &Name) -> Vec<PluginRecord> {
        let active = self.inner.active.load();
        active.iter().filter(|((owner, _), _)| owner == workspace).map(|(_, active)| active.record.clone()).collect()
    }

    pub fn find(&self, workspace: &Name, name: &Name) -> Option<PluginRecord> {
        self.inner.find(workspace, name).map(|active| active.record.clone())
    }

    /// Checks a file as an upload would, and keeps nothing: the version that it would become.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub async fn check_file(&self, workspace: &Name, bytes: Bytes) -> Result<VersionRecord, UploadError> {
        let New { component, linked, compiled } = self.inner.take_upload(workspace, bytes).await?;
        Ok(self.inner.version(1, &component, &linked, &compiled.component))
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
        activate: bool,
    ) -> Result<(VersionRecord, bool), RegistryError> {
        let inner = &self.inner;
        let New { component, linked, compiled } = inner.take_upload(workspace, bytes).await?;
        let _changing = inner.changing.begin(workspace).await;
        let current = inner.find(workspace, name);
        let mut record = current.as_ref().map_or_else(
            || PluginRecord { name: name.clone(), active: 0, versions: Vec::new() },
            |active| active.record.clone(),
        );
        if let Some(known) = record.versions.iter().find(|version| version.digest == linked.digest).cloned() {
            if activate && record.active != known.version {
                record.active = known.version;
                inner.put(workspace, record, ActiveVersion::new(Ok(linked))).await?;
            }
            return Ok((known, false));
        }
        if record.versions.len() == VERSIONS_MAX {
            return Err(RegistryError::TooManyVersions(name.clone()));
        }
        let number = record.versions.last().map_or(1, |version| version.version + 1);
        let version = inner.version(number, &component, &linked, &compiled.component);
        record.versions.push(version.clone());
        let digest = linked.digest.clone();
        let _files = inner.files.read().await;
        let keep = move |cache: &Cache| {
            cache.keep_component(&digest, &compiled.component)?;
            cache.keep_artifact(&digest, &compiled.artifact)
        };
        let kept = inner.aside(move |inner| keep(&inner.cache).map_err(|error| error.to_string())).await.flatten();
        kept.map_err(|error| UploadError::Host(format!("the file could not be kept: {error}")))?;
        if activate || record.active == 0 {
            record.active = number;
            inner.put(workspace, record, ActiveVersion::new(Ok(linked))).await?;
        } else if let Some(active) = current {
            inner.put(workspace, record, Arc::clone(&active.version)).await?;
        }
        Ok((version, true))
    }

    /// Calls another version from now on; calls under way end with the one they began with.
    ///
    /// # Errors
    ///
    /// There is no such plugin or version, or it does not load.
    pub async fn activate(&self, workspace: &Name, name: &Name, version: u32) -> Result<PluginRecord, RegistryError> {
        let inner = &self.inner;
        let _changing = inner.changing.begin(workspace).await;
        let active = inner.find(workspace, name).ok_or_else(|| RegistryError::NoPlugin(name.clone()))?;
        let mut record = active.record.clone();
        if !record.versions.iter().any(|known| known.version == version) {
            let newest = record.versions.last().map_or(0, |version| version.version);
            return Err(RegistryError::NoVersion { plugin: name.clone(), version, newest });
        }
        record.active = version;
        let linked = inner.load(workspace, &record).await;
        let linked = linked.map_err(|reason| RegistryError::NotLoaded { plugin: name.clone(), version, reason })?;
        inner.put(workspace, record.clone(), ActiveVersion::new(Ok(linked))).await?;
        Ok(record)
    }

    /// Removes a plugin with all its versions and its state: whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(&self, workspace: &Name, name: &Name) -> Result<bool, RegistryError> {
        let inner = &self.inner;
        let _changing = inner.changing.begin(workspace).await;
        let Some(active) = inner.find(workspace, name) else { return Ok(false) };
        let services = &inner.caller.services;
        let write = Write::DeletePlugin { workspace: workspace.clone(), name: name.clone() };
        let _files = inner.files.write().await;
        services.store.commit(vec![write]).await?;
        inner.update(|plugins| drop(plugins.remove(&(workspace.clone(), name.clone()))));
        // A file that another plugin was made of stays.
        let plugins = inner.active.load();
        for version in &active.record.versions {
            let in_use =
                plugins.values().any(|other| other.record.versions.iter().any(|known| known.digest == version.digest));
            if !in_use && let Err(error) = inner.cache.forget(&version.digest) {
                tracing::warn!(plugin.digest = version.digest, %error, "a removed plugin's file could not be removed");
            }
        }
        Ok(true)
    }

    /// The active version of a plugin, when its calls leave nothing behind and the last one was short: whoever asks it may well
    /// ask it once more.
    pub fn repeatable(&self, workspace: &Name, name: &Name) -> Option<Version> {
        let active = self.inner.find(workspace, name)?;
        let linked = active.version.linked.as_ref().ok()?;
        let is_repeatable = !linked.has_effects && !linked.is_slow.load(Ordering::Relaxed);
        is_repeatable.then_some(Version(active))
    }

    /// Checks what a flow asks of a plugin: that it exists, has the role, and accepts the configuration.
    pub async fn check_mention(
        &self,
        workspace: &Name,
        mention: &PluginMention,
    ) -> Result<(), ringback_rules::flow::Mistake> {
        let PluginMention { plugin, role, config, name_at, config_at } = mention;
        let Some(active) = self.inner.find(workspace, plugin) else {
            let known: Vec<String> = self.list(workspace).iter().map(|record| record.name.to_string()).collect();
            let known =
                if known.is_empty() { "none is uploaded".to_owned() } else { format!("known: {}", known.join(", ")) };
            return Err(name_at.mistake(format!("there is no plugin `{plugin}`; {known}")));
        };
        let linked = match &active.version.linked {
            Ok(linked) => linked,
            Err(reason) => return Err(name_at.mistake(format!("the plugin `{plugin}` does not load: {reason}"))),
        };
        let roles = linked.roles.names();
        if !roles.contains(role) {
            let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            let detail = format!("the plugin `{plugin}` is no {role}; it is: {}", roles.join(", "));
            return Err(name_at.mistake(detail));
        }
        let Some(config) = config else { return Ok(()) };
        let subject = Subject { dry_run: true, ..Subject::unseen(workspace, &Name::default_name()) };
        let answer = match self.inner.places.take(workspace).await {
            // What is only tried does not count against the version that is called.
            Ok(_place) => {
                let question = Question::Check(*role);
                self.inner.caller.ask(plugin, linked, question, &subject, &config.to_string()).await.0
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(_) => Ok(()),
            Err(CallError::Guest { message, .. }) => {
                Err(config_at.mistake(format!("the plugin `{plugin}` does not accept this configuration: {message}")))
            }
            Err(error) => Err(config_at.mistake(format!("the configuration could not be checked: {error}"))),
        }
    }

    /// Asks a verifier. What it used is added to `uses`.
    ///
    /// # Errors
    ///
    /// The plugin failed or is missing.
    pub async fn verify(
        &self,
        plugin: &Name,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<VerifierVerdict, CallError> {
        match self.inner.ask(plugin, Question::Verify, subject, config, uses).await?.0 {
            Answer::Verdict(exports::verifier::Verdict::Accepted(proof)) => {
                let exports::verifier::Proof { delivery_id, subject } = proof;
                Ok(VerifierVerdict::Accepted { delivery_id, subject })
            }
            Answer::Verdict(exports::verifier::Verdict::Rejected(reason)) => Ok(VerifierVerdict::Rejected(reason)),
            _ => Err(wrong_answer(plugin)),
        }
    }

    /// Runs work that computes for long where long calls run: it gives way to everything else, and its workspace has its share.
    ///
    /// # Errors
    ///
    /// The server is stopping.
    pub async fn compute<T: Send + 'static>(
        &self,
        workspace: &Name,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        self.inner.caller.slow_lane.compute(workspace, work).await
    }

    /// Asks a parser.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify), and when the answer is not JSON.
    pub async fn parse(
        &self,
        plugin: &Name,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Value, CallError> {
        match self.inner.ask(plugin, Question::Parse, subject, config, uses).await? {
            (Answer::Json(text), asked) => self.inner.read_json(&asked, subject, &text, uses),
            _ => Err(wrong_answer(plugin)),
        }
    }

    /// Asks a condition.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify). An error is never taken for true.
    pub async fn evaluate(
        &self,
        plugin: &Name,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<bool, CallError> {
        match self.inner.ask(plugin, Question::Evaluate, subject, config, uses).await?.0 {
            Answer::Holds(holds) => Ok(holds),
            _ => Err(wrong_answer(plugin)),
        }
    }

    /// Asks a step.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub async fn run(
        &self,
        plugin: &Name,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Value, CallError> {
        match self.inner.ask(plugin, Question::Run, subject, config, uses).await? {
            (Answer::Json(text), asked) => self.inner.read_json(&asked, subject, &text, uses),
            _ => Err(wrong_answer(plugin)),
        }
    }

    /// Asks a responder. `check` says whether its answer is allowed.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify), and when the answer is not allowed.
    pub async fn respond(
        &self,
        plugin: &Name,
        subject: &Subject,
        config: &str,
        check: fn(Reply) -> Result<Reply, String>,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Reply, CallError> {
        match self.inner.ask(plugin, Question::Respond, subject, config, uses).await? {
            (Answer::Reply(exports::responder::Reply { status, headers, body }), asked) => {
                let max = self.inner.settings.limits.of(&subject.workspace).result_bytes;
                if body.len() > max {
                    let reason = format!("the body has {} bytes, more than {max}", body.len());
                    return Err(bad_output(&asked, reason, uses));
                }
                check(Reply { status, headers, body: body.into() }).map_err(|reason| bad_output(&asked, reason, uses))
            }
            _ => Err(wrong_answer(plugin)),
        }
    }
}

/// Each question has one kind of answer.
fn wrong_answer(plugin: &Name) -> CallError {
    CallError::Host(format!("the answer of {plugin} belongs to another role"))
}

/// What an upload has become.
struct New {
    component: Component,
    linked: Arc<Linked>,
    compiled: Compiled,
}

impl Inner {
    /// Does what takes milliseconds on a thread that handles no callbacks.
    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, String> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&this)).await.map_err(|error| error.to_string())
    }

    fn find(&self, workspace: &Name, name: &Name) -> Option<Arc<Active>> {
        self.active.load().get(&(workspace.clone(), name.clone())).cloned()
    }

    fn update(&self, change: impl Fn(&mut BTreeMap<(Name, Name), Arc<Active>>)) {
        self.active.rcu(|plugins| {
            let mut plugins = BTreeMap::clone(plugins);
            change(&mut plugins);
            plugins
        });
    }

    async fn put(&self, workspace: &Name, record: PluginRecord, version: Arc<ActiveVersion>) -> Result<(), StoreError> {
        let write = Write::PutPlugin { workspace: workspace.clone(), record: record.clone() };
        self.caller.services.store.commit(vec![write]).await?;
        let key = (workspace.clone(), record.name.clone());
        let active = Arc::new(Active { record, version });
        self.update(|plugins| drop(plugins.insert(key.clone(), Arc::clone(&active))));
        Ok(())
    }

    /// Compiles an upload, loads it and links it.
    async fn take_upload(self: &Arc<Self>, workspace: &Name, bytes: Bytes) -> Result<New, UploadError> {
        let allowed = if self.settings.large_plugins { LARGE.bytes_max } else { NORMAL.bytes_max };
        if bytes.len() > allowed {
            let mut hint =
                "; what is for debuggers counts: leave it out with `strip = true` in the profile of Cargo.toml, or \
                            with `wasm-tools strip -a`"
                    .to_owned();
            if !self.settings.large_plugins && bytes.len() <= LARGE.bytes_max {
                hint += ". Components that embed an interpreter need `large_plugins = true` in the server's settings";
            }
            return Err(UploadError::TooLarge { found: bytes.len(), max: allowed, hint });
        }
        let large = bytes.len() > NORMAL.bytes_max;
        let compiled = self.compile(workspace, bytes, large).await?;
        let take = move |inner: &Self| {
            // What the engine does not take of code that was compiled a moment ago is too much for a call.
            let component = deserialize(&inner.caller.engine, &compiled.artifact)
                .map_err(|error| UploadError::TooComplex(with_causes(&error)))?;
            let linked = inner.link(&component, sha256_hex(&compiled.component), large)?;
            Ok(New { component, linked, compiled })
        };
        self.aside(take).await.map_err(UploadError::Host)?
    }

    /// The compiler starts where long calls run, and gives way as they do.
    async fn compile(&self, workspace: &Name, bytes: Bytes, large: bool) -> Result<Compiled, UploadError> {
        let _turn = self.compiling.take(workspace).await.map_err(|error| match error {
            CallError::Busy => UploadError::Busy(UPLOADS_WAITING_MAX),
            error => UploadError::Host(error.to_string()),
        })?;
        let compile = compile(self.settings.compiler.clone(), bytes, large, self.settings.limits.call);
        self.caller.slow_lane.spawn(compile).await.map_err(UploadError::Host)?
    }

    /// The linked active version of a record, from the cache or compiled again.
    async fn load(self: &Arc<Self>, workspace: &Name, record: &PluginRecord) -> Result<Arc<Linked>, String> {
        let version = record
            .versions
            .iter()
            .find(|version| version.version == record.active)
            .ok_or_else(|| format!("version {} is not known", record.active))?;
        let (digest, large) = (version.digest.clone(), version.large);
        let cached = move |inner: &Self| {
            let component = inner.cache.load(&inner.caller.engine, &digest)?;
            Some(inner.link(&component, digest, large).map_err(|error| error.to_string()))
        };
        if let Some(linked) = self.aside(cached).await? {
            return linked;
        }
        tracing::info!(plugin.name = %record.name, version = version.version, "compiling a plugin for this engine");
        let digest = version.digest.clone();
        let component = self.aside(move |inner| inner.cache.component(&digest).map_err(|error| error.to_string()));
        let compiled = self.compile(workspace, component.await.flatten()?.into(), large).await;
        let compiled = compiled.map_err(|error| error.to_string())?;
        let digest = version.digest.clone();
        let take = move |inner: &Self| {
            inner.cache.keep_artifact(&digest, &compiled.artifact).map_err(|error| error.to_string())?;
            let component =
                deserialize(&inner.caller.engine, &compiled.artifact).map_err(|error| with_causes(&error))?;
            inner.link(&component, digest, large).map_err(|error| error.to_string())
        };
        self.aside(take).await.flatten()
    }

    /// Holds a component against the interface: what it imports, and the roles that it exports.
    fn link(&self, component: &Component, digest: String, large: bool) -> Result<Arc<Linked>, UploadError> {
        let engine = &self.caller.engine;
        let imports = import_names(engine, component);
        for import in &imports {
            check_import(import)?;
        }
        let pre =
            self.linker.instantiate_pre(component).map_err(|error| UploadError::ImportType(with_causes(&error)))?;
        let exported: Vec<String> =
            component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
        let has = |role: Role| exported.iter().any(|name| name == &format!("ringback:plugin/{role}@0.1.0"));
        let wrong =
            |role: Role| move |error: wasmtime::Error| UploadError::ExportType { role, problem: with_causes(&error) };
        let mut roles = Roles::default();
        if has(Role::Verifier) {
            roles.verifier = Some(exports::verifier::GuestIndices::new(&pre).map_err(wrong(Role::Verifier))?);
        }
        if has(Role::Parser) {
            roles.parser = Some(exports::parser::GuestIndices::new(&pre).map_err(wrong(Role::Parser))?);
        }
        if has(Role::Condition) {
            roles.condition = Some(exports::condition::GuestIndices::new(&pre).map_err(wrong(Role::Condition))?);
        }
        if has(Role::Step) {
            roles.step = Some(exports::step::GuestIndices::new(&pre).map_err(wrong(Role::Step))?);
        }
        if has(Role::Responder) {
            roles.responder = Some(exports::responder::GuestIndices::new(&pre).map_err(wrong(Role::Responder))?);
        }
        if roles.names().is_empty() {
            if let Some(other) = exported.iter().find(|name| name.starts_with("ringback:plugin/")) {
                return Err(UploadError::OtherVersion(other.clone()));
            }
            let found =
                if exported.is_empty() { String::new() } else { format!("; it exports {}", exported.join(", ")) };
            return Err(UploadError::NoRole(found));
        }
        let imports_any =
            |prefixes: &[&str]| imports.iter().any(|import| prefixes.iter().any(|prefix| import.starts_with(prefix)));
        let wants_wasi = imports_any(&["wasi:"]);
        let has_effects = imports_any(&EFFECTS);
        let is_slow = AtomicBool::new(false);
        Ok(Arc::new(Linked { pre, roles, digest, large, wants_wasi, has_effects, is_slow }))
    }

    fn version(&self, number: u32, component: &Component, linked: &Linked, bytes: &[u8]) -> VersionRecord {
        VersionRecord {
            version: number,
            digest: linked.digest.clone(),
            roles: linked.roles.names(),
            imports: import_names(&self.caller.engine, component),
            size_bytes: bytes.len() as u64,
            large: linked.large,
            uploaded_at: Timestamp::now(),
        }
    }

    async fn ask(
        &self,
        plugin: &Name,
        question: Question,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<(Answer, Arc<Active>), CallError> {
        let role = question.role();
        let missing = || CallError::Missing { plugin: plugin.clone(), role };
        let active = match &subject.version {
            Some(Version(active)) => Arc::clone(active),
            None => self.find(&subject.workspace, plugin).ok_or_else(missing)?,
        };
        let linked = active.version.linked.as_ref().map_err(|reason| {
            let (plugin, version) = (plugin.clone(), active.record.active);
            CallError::NotLoaded { plugin, version, reason: reason.clone() }
        })?;
        if !linked.roles.has(role) {
            return Err(missing());
        }
        if let Some(failures) = active.version.circuit.is_open(Instant::now()) {
            return Err(CallError::Open { plugin: plugin.clone(), failures });
        }
        let _place = self.places.take(&subject.workspace).await?;
        let (result, usage) = self.caller.ask(plugin, linked, question, subject, config).await;
        metrics::histogram!("ringback_plugin_call_seconds", "role" => role.as_str())
            .record(Duration::from_micros(usage.duration_us).as_secs_f64());
        uses.push(usage);
        match result {
            Ok(answer) => Ok((answer, active)),
            Err(error) => {
                active.note(&error);
                Err(error)
            }
        }
    }

    fn read_json(
        &self,
        asked: &Active,
        subject: &Subject,
        text: &str,
        uses: &mut [PluginUse],
    ) -> Result<Value, CallError> {
        let max = self.settings.limits.of(&subject.workspace).result_bytes;
        if text.len() > max {
            let reason = format!("the result has {} bytes, more than {max}", text.len());
            return Err(bad_output(asked, reason, uses));
        }
        json::from_slice(text.as_bytes())
            .map_err(|error| bad_output(asked, format!("the result is not JSON: {error}"), uses))
    }
}

/// What is wrong with an answer counts against the version that gave it, whichever is active by now.
fn bad_output(asked: &Active, reason: String, uses: &mut [PluginUse]) -> CallError {
    let error = CallError::BadOutput { plugin: asked.record.name.clone(), reason };
    if let Some(usage) = uses.last_mut() {
        usage.failure = Some(error.code().to_owned());
    }
    asked.note(&error);
    error
}

impl Active {
    fn note(&self, error: &CallError) {
        tracing::warn!(plugin.name = %self.record.name, code = error.code(), %error, "a plugin call failed");
        metrics::counter!("ringback_plugin_failures_total", "code" => error.code()).increment(1);
        self.version.circuit.note(error, Instant::now());
    }
}

fn import_names(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// Says which import is the problem, where the linker would only say that types differ.
fn check_import(name: &str) -> Result<(), UploadError> {
    const OURS: [&str; 6] = ["types", "log", "call", "secrets", "state", "http"];
    if name.starts_with("wasi:http/") || name.starts_with("wasi:keyvalue/") {
        return Err(UploadError::UnknownImport(name.to_owned()));
    }
    if name.starts_with("wasi:") && name.contains("@0.2.") {
        return Ok(());
    }
    match name.strip_prefix("ringback:plugin/").and_then(|rest| rest.split_once('@')) {
        Some((interface, "0.1.0")) if OURS.contains(&interface) => Ok(()),
        Some((interface, _)) if OURS.contains(&interface) => Err(UploadError::OtherVersion(name.to_owned())),
        _ => Err(UploadError::UnknownImport(name.to_owned())),
    }
}

/// The program that compiles: the running binary, also after its file was replaced.
pub fn default_compiler() -> PathBuf {
    Path::new("/proc/self/exe").to_path_buf()
}
