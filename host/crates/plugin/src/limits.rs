//! The limits on plugins, each with its unit and its reason, in one place.

use ringback_records::name::Name;
use ringback_records::plugin::Role;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often running guest code is interrupted, so that others run too and its time is counted.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// How often while a long call runs: who gives way does so this often, and others wait as long.
pub(super) const SHORT_TICK: Duration = Duration::from_micros(250);
/// A call that has used so much processor time is a long one: it goes on where it gives way to others, and the next of the
/// version begins there.
pub(super) const LONG: Duration = Duration::from_millis(2);
/// How much long calls and the compiler give way, as `nice` has it: beside a busy thread they get a tenth of a processor.
pub(super) const NICENESS: i32 = 10;
/// Wall-clock time of a call, as a multiple of its CPU time: waiting on the host counts here only.
pub(super) const WALL_FACTOR: u32 = 4;
/// Most handles that a call may hold: callback, execution, and what WASI needs.
pub(super) const HANDLES_MAX: usize = 1000;
/// Most elements of a guest's table: what interpreters need.
pub(super) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Most core instances of one component: Python's have 38.
pub(super) const CORE_INSTANCES_MAX: u32 = 64;
/// Native stack of guest code, in bytes: interpreters, which count their own, come to an end of it before this one does.
pub(super) const STACK_BYTES_MAX: usize = 1024 * 1024;
/// Stack of the fiber that a call runs on: the guest's and the host's part.
pub(super) const FIBER_BYTES: usize = STACK_BYTES_MAX + 256 * 1024;
/// Longest log line that is kept, in bytes.
pub(super) const LOG_LINE_BYTES_MAX: usize = 4096;
/// Longest line of a guest's own that says why it trapped, in bytes.
pub(super) const LAST_WORDS_BYTES_MAX: usize = 400;
/// Most random bytes of one request.
pub(super) const RANDOM_BYTES_MAX: u32 = 4096;
/// Longest key of a plugin's state, in bytes.
pub(super) const STATE_KEY_BYTES_MAX: usize = 256;
/// Largest value of a plugin's state, in bytes.
pub(super) const STATE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Most keys of a plugin's state.
pub(super) const STATE_KEYS_MAX: usize = 10_000;
/// Largest source of a plugin in JavaScript, in bytes.
pub(super) const SCRIPT_BYTES_MAX: usize = 1 << 20;
/// CPU time in which one is read: a megabyte takes a quarter of that.
pub(super) const READ_CPU: Duration = Duration::from_secs(2);
/// Longest code of a guest's failure, in bytes.
pub(super) const FAILURE_CODE_BYTES_MAX: usize = 64;
/// Longest pointer into a configuration, in bytes.
pub(super) const POINTER_BYTES_MAX: usize = 512;
/// Longest detail of a failure that is kept, in bytes.
pub(super) const DETAIL_BYTES_MAX: usize = 4096;
/// Longest reason of a decision that is kept, in bytes.
pub(super) const REASON_BYTES_MAX: usize = 1024;
/// Most that a verifier says of a callback, in bytes.
pub(super) const CLAIMS_BYTES_MAX: usize = 16 * 1024;
/// Largest schema of a configuration, in bytes.
pub(super) const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Most vectors of a plugin, how large they are together, and the processor time that all of them may take.
pub(super) const VECTORS_MAX: usize = 64;
pub(super) const VECTORS_BYTES_MAX: usize = 256 * 1024;
pub(super) const VECTORS_CPU_MAX: Duration = Duration::from_secs(2);

/// The limits of an upload, for one class of plugins.
#[derive(Clone, Copy, Debug)]
pub(super) struct UploadLimits {
    /// Size of the file, in bytes.
    pub bytes_max: usize,
    /// Memory of the compiler, in bytes.
    pub compile_memory_bytes_max: u64,
    /// What the compiler answers: the component and its compiled code, in bytes.
    pub answer_bytes_max: u64,
    /// CPU time of the compiler.
    pub compile_cpu_max: Duration,
    /// Wall-clock time of the compiler.
    pub compile_wall_max: Duration,
    /// Memory of one call, in bytes.
    pub memory_bytes_max: usize,
    /// Size of one function's body, in bytes: compilers take more than linear time, and their worst faults were in
    /// huge functions.
    pub function_bytes_max: usize,
    /// Number of functions.
    pub functions_max: u32,
    /// Depth of components in components.
    pub nesting_max: u32,
}

/// For plugins in languages that compile to WebAssembly.
pub(super) const NORMAL: UploadLimits = UploadLimits {
    bytes_max: 8 << 20,
    compile_memory_bytes_max: 1 << 30,
    answer_bytes_max: 128 << 20,
    compile_cpu_max: Duration::from_secs(20),
    compile_wall_max: Duration::from_secs(60),
    memory_bytes_max: 16 << 20,
    function_bytes_max: 128 * 1024,
    functions_max: 20_000,
    nesting_max: 8,
};

/// For components that embed an interpreter, when the operator allows `large_plugins`.
pub(super) const LARGE: UploadLimits = UploadLimits {
    bytes_max: 64 << 20,
    compile_memory_bytes_max: 2 << 30,
    answer_bytes_max: 1 << 30,
    compile_cpu_max: Duration::from_secs(120),
    compile_wall_max: Duration::from_secs(150),
    memory_bytes_max: 128 << 20,
    function_bytes_max: 1 << 20,
    functions_max: 100_000,
    nesting_max: 8,
};

/// The limits of one call. An operator may change them, for all and, downwards, for a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// CPU time of a condition or verifier.
    pub decide_cpu: Duration,
    /// CPU time of a parser, step or responder.
    pub work_cpu: Duration,
    /// Memory, in bytes.
    pub memory_bytes: usize,
    /// Memory of a plugin that was uploaded under the limits for large ones, in bytes.
    pub large_memory_bytes: usize,
    /// Result of a parser or step, or body of an answer, in bytes.
    pub result_bytes: usize,
    /// Log lines that are kept.
    pub log_lines: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            decide_cpu: Duration::from_millis(50),
            work_cpu: Duration::from_millis(200),
            memory_bytes: NORMAL.memory_bytes_max,
            large_memory_bytes: LARGE.memory_bytes_max,
            result_bytes: 1 << 20,
            log_lines: 16,
        }
    }
}

impl CallLimits {
    /// Processor time of a call in this role.
    pub fn cpu(&self, role: Role) -> Duration {
        match role {
            Role::Verifier | Role::Condition => self.decide_cpu,
            Role::Parser | Role::Step | Role::Responder => self.work_cpu,
        }
    }

    /// Its time on the wall clock.
    pub fn wall(&self, role: Role) -> Duration {
        self.cpu(role) * WALL_FACTOR
    }
}

/// All limits that an operator may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub call: CallLimits,
    /// Workspaces that are given less.
    pub workspaces: BTreeMap<Name, CallLimits>,
    /// Calls that run at the same time.
    pub concurrency: usize,
    /// Calls of one workspace that run at the same time.
    pub workspace_concurrency: usize,
    /// Calls of one workspace that wait for a place; more are refused.
    pub workspace_waiting: usize,
}

impl Limits {
    /// The limits of a workspace's calls.
    pub fn of(&self, workspace: &Name) -> &CallLimits {
        self.workspaces.get(workspace).unwrap_or(&self.call)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: CallLimits::default(),
            workspaces: BTreeMap::new(),
            concurrency: 64,
            workspace_concurrency: 16,
            workspace_waiting: 256,
        }
    }
}

impl UploadLimits {
    /// The limits of a class of plugins, with the memory that the operator allows a call.
    pub(super) fn of(large: bool, limits: &CallLimits) -> Self {
        match large {
            true => Self { memory_bytes_max: limits.large_memory_bytes, ..LARGE },
            false => Self { memory_bytes_max: limits.memory_bytes, ..NORMAL },
        }
    }
}
