//! The one engine, and the clock that interrupts guests.

use super::limits::{self, Limits};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Most memories of one component: interpreters come in parts that each have one.
const MEMORIES_MAX: u32 = 4;
/// Most tables of one component.
const TABLES_MAX: u32 = 16;

/// The version of the engine's library.
pub fn wasmtime_version() -> &'static str {
    // The library does not export it; this constant is checked against the lock file by a test.
    "48.0.8"
}

/// What decides about compiled code: the same in the server and in the compiling child.
fn base_config() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .max_wasm_stack(limits::STACK_BYTES_MAX)
        .async_stack_size(limits::FIBER_BYTES)
        .parallel_compilation(false)
        .wasm_tail_call(true)
        .wasm_extended_const(true)
        .wasm_threads(false)
        .wasm_memory64(false)
        // Calls between the parts of one component, as interpreters have them, copy from memory to memory; the scan
        // refuses modules that have several of their own.
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(false)
        .wasm_function_references(false)
        .wasm_gc(false)
        .wasm_exceptions(false);
    config
}

/// The features that plugins may use, for the scan.
pub(super) fn features() -> wasmparser::WasmFeatures {
    use wasmparser::WasmFeatures as F;
    F::WASM2 | F::TAIL_CALL | F::EXTENDED_CONST | F::COMPONENT_MODEL
}

/// The engine that compiles and runs nothing.
pub(super) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&base_config())
}

/// The engine that runs what was compiled.
pub(super) fn running(limits: &Limits) -> wasmtime::Result<Engine> {
    let calls = u32::try_from(limits.concurrency).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_stacks(calls)
        .total_core_instances(calls.saturating_mul(limits::CORE_INSTANCES_MAX))
        .total_memories(calls.saturating_mul(MEMORIES_MAX))
        .total_tables(calls.saturating_mul(TABLES_MAX))
        .max_core_instances_per_component(limits::CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .max_memory_size(limits.call.memory_bytes.max(limits.call.large_memory_bytes))
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(1 << 20)
        .linear_memory_keep_resident(256 * 1024)
        .table_keep_resident(64 * 1024)
        .async_stack_keep_resident(32 * 1024)
        .pagemap_scan(Enabled::Auto);
    let mut config = base_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|error| {
        // Reserving the pool needs terabytes of address space, which a limit of the process may forbid.
        tracing::warn!(%error, "no pool for plugin instances; each call allocates its own memory");
        Engine::new(&base_config())
    })
}

/// How many calls are under way.
#[derive(Default)]
pub(super) struct Calls {
    all: AtomicUsize,
    /// Those that run on the threads of long calls.
    pub(super) long: AtomicUsize,
}

/// Ticks while guests run, more often while long calls do, and rests while none do.
pub(super) struct Ticker {
    calls: Arc<Calls>,
    thread: Thread,
}

impl Ticker {
    pub(super) fn start(engine: &Engine, calls: Arc<Calls>) -> std::io::Result<Self> {
        let (weak, engine) = (Arc::downgrade(&calls), engine.weak());
        let count = |calls: Arc<Calls>| (calls.all.load(Ordering::Acquire), calls.long.load(Ordering::Relaxed));
        let handle = std::thread::Builder::new().name("plugin-ticker".to_owned()).spawn(move || {
            loop {
                match Weak::upgrade(&weak).map(count) {
                    None => return,
                    // Not for ever: the last call may end after the ticker's owner.
                    Some((0, _)) => std::thread::park_timeout(Duration::from_secs(1)),
                    Some((_, 0)) => std::thread::sleep(limits::TICK),
                    Some(_) => std::thread::sleep(limits::SHORT_TICK),
                }
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Self { calls, thread: handle.thread().clone() })
    }

    /// Lets the ticker run for as long as the guard lives.
    pub(super) fn guard(&self) -> Running {
        if self.calls.all.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Running(Arc::clone(&self.calls))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

pub(super) struct Running(Arc<Calls>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.all.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_the_one_that_is_locked() {
        let lock = include_str!("../../../../Cargo.lock");
        let entry = format!("name = \"wasmtime\"\nversion = \"{}\"", super::wasmtime_version());
        assert!(lock.contains(&entry), "wasmtime was updated: update `wasmtime_version`");
    }

    #[test]
    fn the_server_runs_what_the_child_compiles() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let hash = |engine: wasmtime::Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(super::compiling().unwrap()), hash(super::running(&super::Limits::default()).unwrap()));
    }
}
