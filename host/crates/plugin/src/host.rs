//! What a plugin finds on the host's side of one call.

mod earlier;
mod http;
mod in_memory;
mod log;
mod paths;
mod resources;
mod secrets;
mod services;
mod state;

pub use in_memory::InMemoryState;
pub use resources::{CallbackHandle, ExecutionHandle};
pub(super) use services::{Answers, Services};
pub use state::{State, StateError};

use log::{Log, Output};

use super::bindings::{imports, v0_1};
use super::limits;
use crate::subject::{ExecutionView, Subject};
use ringback_records::callback::Callback;
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::ResourceLimiter;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

/// The data of one call's store.
pub(super) struct CallState {
    pub(super) services: Arc<Services>,
    pub(super) workspace: Name,
    pub(super) environment: Name,
    pub(super) plugin: Name,
    pub(super) callback: Option<Arc<Callback>>,
    pub(super) data: Option<Arc<Value>>,
    pub(super) execution: Option<Arc<ExecutionView>>,
    /// Whether the call must leave nothing behind.
    pub(super) dry_run: bool,
    pub(super) now: Timestamp,
    pub(super) memory: Memory,
    log: Log,
    wasi: Option<Box<Wasi>>,
}

/// The memory of a call, counted and limited.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) limit_bytes: usize,
    pub(super) largest_bytes: usize,
}

struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

/// A limit was reached inside a call; the call is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum LimitReached {
    #[error("out of time")]
    Time,
    #[error("out of memory")]
    Memory,
}

/// A plugin used the host's interface in a way that ends the call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

impl CallState {
    pub(super) fn new(
        services: Arc<Services>,
        subject: &Subject,
        plugin: Name,
        memory_bytes_max: usize,
        log_lines_max: usize,
        wants_wasi: bool,
    ) -> Self {
        let now = services.now();
        let mut log = Log::new(log_lines_max);
        let wasi = wants_wasi.then(|| Box::new(Wasi::granting_nothing(now, &log.output())));
        Self {
            services,
            workspace: subject.workspace.clone(),
            environment: subject.environment.clone(),
            plugin,
            callback: subject.callback.clone(),
            data: subject.data.clone(),
            execution: subject.execution.clone(),
            dry_run: subject.dry_run,
            now,
            memory: Memory { limit_bytes: memory_bytes_max, largest_bytes: 0 },
            log,
            wasi,
        }
    }

    /// The lines of the call, and the one that says the most about an end that came then.
    pub(super) fn said(self) -> (Vec<String>, Option<String>) {
        self.log.take()
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.limit_bytes {
            return Err(LimitReached::Memory.into());
        }
        self.largest_bytes = self.largest_bytes.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > limits::TABLE_ELEMENTS_MAX {
            return Err(LimitReached::Memory.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_MAX as usize + 1
    }
}

/// Everything that a plugin may import, in both lines.
pub(super) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    link_questions(linker)?;
    link_effects(linker, true, true)?;
    v0_1::imports::types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    v0_1::imports::log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    v0_1::imports::call::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    v0_1::imports::secrets::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    v0_1::imports::state::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    v0_1::imports::http::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// What leaves nothing behind, in the newest line.
pub(super) fn link_questions(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    imports::types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::call::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    imports::secrets::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

/// What does.
pub(super) fn link_effects(linker: &mut Linker<CallState>, state: bool, http: bool) -> wasmtime::Result<()> {
    if state {
        imports::state::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    }
    if http {
        imports::http::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    }
    Ok(())
}

impl imports::log::Host for CallState {
    fn write(&mut self, level: imports::log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            imports::log::Level::Debug => "debug",
            imports::log::Level::Info => "info",
            imports::log::Level::Warn => "warn",
            imports::log::Level::Error => "error",
        };
        self.log.write(level, &message);
        Ok(())
    }
}

impl imports::call::Host for CallState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.now.as_millis())
    }

    fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        if length > limits::RANDOM_BYTES_MAX {
            let max = limits::RANDOM_BYTES_MAX;
            return Err(Misuse(format!("it asked for {length} random bytes, at most {max}")).into());
        }
        let mut bytes = vec![0; length as usize];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Misuse("the host has no random bytes".to_owned()))?;
        Ok(bytes)
    }
}

impl Wasi {
    /// No files, sockets, environment or arguments; the clocks stand still at the call's time.
    fn granting_nothing(now: Timestamp, output: &Output) -> Self {
        let context = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.clone())
            .wall_clock(StoppedClock(now))
            .monotonic_clock(StoppedClock(now))
            .max_random_size(u64::from(limits::RANDOM_BYTES_MAX))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES_MAX);
        Self { context, table }
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Only components that import WASI reach this; they have had theirs from the start.
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::granting_nothing(self.now, &self.log.output())));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

/// A clock that stands still: a guest that could see time pass could measure what the host does, and how.
struct StoppedClock(Timestamp);

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.as_millis())
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    /// The same time, in nanoseconds: nothing that the wall clock does not tell. It is not zero, which Go's runtime takes for
    /// a fault, and not before what an interpreter read of the clock where a snapshot of it was made.
    fn now(&self) -> u64 {
        self.0.as_millis().saturating_mul(1_000_000)
    }
}
