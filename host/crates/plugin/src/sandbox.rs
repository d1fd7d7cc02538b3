//! Where plugins run: the engine, the compiler's turns, the places of calls. Which version is called is decided elsewhere.

use super::cache::{Cache, deserialize};
use super::call::Caller;
use super::compile::{Compiled, Job, compile, with_causes};
use super::engine::{self, Calls, Ticker};
use super::error::UploadError;
use super::host::{self, CallState, Services, State};
use super::image::Scripts;
use super::images::Images;
use super::limits::Limits;
use super::link::link;
use super::share::SlowLane;
use super::version::Version;
use bytes::Bytes;
use ringback_outbound::plugin::Outbound;
use ringback_records::name::Name;
use ringback_records::plugin::VersionRecord;
use ringback_rules::vault::Vault;
use ringback_share::{Full, Places};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OnceCell;
use wasmtime::component::Linker;

/// Most uploads of one workspace that wait for the compiler.
const UPLOADS_WAITING_MAX: usize = 8;

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

/// The engine or the directories cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("plugins could not be set up: {0}")]
pub struct SetUpError(String);

/// What runs plugins. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) caller: Caller,
    pub(super) linker: Linker<CallState>,
    pub(super) cache: Cache,
    pub(super) settings: Settings,
    /// One compiler runs at a time, for a workspace after the other.
    compiling: Arc<Places>,
    /// The places of calls.
    pub(super) places: Arc<Places>,
    /// What runs scripts, once somebody has one.
    pub(super) scripts: OnceCell<Scripts>,
    /// The scripts that it has read.
    pub(super) images: Images,
}

impl Sandbox {
    /// # Errors
    ///
    /// The engine or the directories cannot be used.
    pub fn open(
        settings: Settings,
        state: Arc<dyn State>,
        secrets: Vault,
        outbound: Outbound,
    ) -> Result<Self, SetUpError> {
        let set_up = |error: &dyn Display| SetUpError(error.to_string());
        let engine = engine::running(&settings.limits).map_err(|error| set_up(&with_causes(&error)))?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker).map_err(|error| set_up(&with_causes(&error)))?;
        let cache = Cache::open(&settings.data, &engine).map_err(|error| set_up(&error))?;
        let calls = Arc::new(Calls::default());
        let ticker = Ticker::start(&engine, Arc::clone(&calls)).map_err(|error| set_up(&error))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = settings.limits.clone();
        let inner = Inner {
            compiling: Places::new(1, 1, UPLOADS_WAITING_MAX),
            places: Places::new(limits.concurrency, limits.workspace_concurrency, limits.workspace_waiting),
            caller: Caller {
                engine,
                ticker,
                slow_lane: SlowLane::start(threads, calls).map_err(|error| set_up(&error))?,
                services: Arc::new(Services::new(state, secrets, outbound)),
                limits,
                body_bytes_max: settings.body_bytes_max,
            },
            linker,
            cache,
            settings,
            scripts: OnceCell::new(),
            images: Images::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a version of a plugin ready to be called, from the cache or compiled again.
    ///
    /// # Errors
    ///
    /// Its file is gone or was changed, or this engine does not take it.
    pub async fn load(&self, workspace: &Name, plugin: &Name, version: &VersionRecord) -> Result<Version, String> {
        if version.language.is_some() {
            return self.load_script(workspace, plugin, version).await;
        }
        let (digest, large) = (version.digest.clone(), version.large);
        if let Some(version) = self.cached(plugin, digest.clone(), large).await? {
            return Ok(version);
        }
        tracing::info!(plugin.name = %plugin, version = version.version, "compiling a plugin for this engine");
        let file = version.clone();
        let component = self.aside(move |inner| inner.cache.read(&file).map_err(|error| error.to_string()));
        let compiled = self.compile(workspace, component.await.flatten()?.into(), Job::Plugin { large }).await;
        self.take_compiled(plugin, digest, compiled.map_err(|error| error.to_string())?, large).await
    }

    /// From compiled code in the cache, where it is there.
    async fn cached(&self, plugin: &Name, digest: String, large: bool) -> Result<Option<Version>, String> {
        let cached = move |inner: &Inner| {
            let component = inner.cache.load(&inner.caller.engine, &digest)?;
            Some(link(inner, &component, digest, large).map_err(|error| error.to_string()))
        };
        let linked = self.aside(cached).await?.transpose()?;
        Ok(linked.map(|linked| Version::new(self, plugin, linked)))
    }

    /// From compiled code, which is kept.
    async fn take_compiled(
        &self,
        plugin: &Name,
        digest: String,
        compiled: Compiled,
        large: bool,
    ) -> Result<Version, String> {
        let take = move |inner: &Inner| {
            inner.cache.keep_artifact(&digest, &compiled.artifact).map_err(|error| error.to_string())?;
            let component =
                deserialize(&inner.caller.engine, &compiled.artifact).map_err(|error| with_causes(&error))?;
            link(inner, &component, digest, large).map_err(|error| error.to_string())
        };
        let linked = self.aside(take).await.flatten()?;
        Ok(Version::new(self, plugin, linked))
    }

    /// Removes the files of a version that is called no more, and that no other plugin was made of.
    pub async fn forget(&self, version: &VersionRecord) {
        let of = version.clone();
        let forgotten = self.aside(move |inner| inner.cache.forget(&of).map_err(|error| error.to_string()));
        if let Err(error) = forgotten.await.flatten() {
            tracing::warn!(plugin.digest = version.digest, error, "a removed plugin's file could not be removed");
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

    /// The compiler starts where long calls run, and gives way as they do.
    pub(super) async fn compile(&self, workspace: &Name, bytes: Bytes, job: Job) -> Result<Compiled, UploadError> {
        let Inner { compiling, settings, caller, .. } = &*self.inner;
        let _turn = compiling.take(workspace).await.map_err(|Full| UploadError::Busy(UPLOADS_WAITING_MAX))?;
        let compile = compile(settings.compiler.clone(), bytes, job, settings.limits.call);
        caller.slow_lane.spawn(compile).await.map_err(UploadError::Host)?
    }

    /// Does what takes milliseconds on a thread that handles no callbacks.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, String> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|error| error.to_string())
    }
}

/// The program that compiles: the running binary, also after its file was replaced.
pub fn default_compiler() -> PathBuf {
    Path::new("/proc/self/exe").to_path_buf()
}
