//! Why an upload is refused, and why a call fails.

use super::interface::VERSION;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::stop::Stop;
use serde::{Deserialize, Serialize};

/// Why an uploaded file is not taken: one line that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum UploadError {
    #[error("the file is empty")]
    Empty,
    #[error(
        "the file has {found} bytes, more than the {max} that are allowed{large}; what is for debuggers counts: leave it out \
         with `strip = true` in the profile of Cargo.toml, `-s` for clang, `-ldflags=-s` for Go, or `wasm-tools strip -a`",
        large = if *needs_large { NEEDS_LARGE } else { "" }
    )]
    TooLarge { found: usize, max: usize, needs_large: bool },
    #[error(
        "the file has {found} bytes, more than the {max} that one in JavaScript may have; leave out what it does not use: \
         `npx esbuild plugin.js --bundle --minify --format=esm --outfile=small.js`"
    )]
    LongScript { found: usize, max: usize },
    /// In words for its author.
    #[error("{0}")]
    Script(String),
    #[error("the file is not WebAssembly: {0}")]
    NotWasm(String),
    #[error("the file is a compiled artifact of a WebAssembly engine; upload the `.wasm` it was made from")]
    Artifact,
    #[error("the file is damaged or cut off: {0}")]
    Malformed(String),
    #[error(
        "the file is a core module without a component type: build it with the ringback-guest SDK or with what wit-bindgen \
         makes, or add the type with `wasm-tools component embed`"
    )]
    NoComponentType,
    #[error("the core module cannot be made into a component: {0}")]
    NotAComponent(String),
    #[error("it uses a WebAssembly feature that is not available here: {0}")]
    Feature(String),
    #[error("it is too complex: {0}")]
    TooComplex(String),
    #[error("it has a start function, which would run before any limit is set; remove it")]
    StartFunction,
    #[error(
        "its memory begins with {found} bytes, more than the {max} that a call may have; where that is the stack, as with Zig, \
         make it smaller: `-Wl,-z,stack-size=65536`"
    )]
    TooMuchMemory { found: u64, max: u64 },
    #[error(
        "it imports `{0}`, which is not available; a plugin may import the interfaces of ringback:plugin@{VERSION} and WASI 0.2"
    )]
    UnknownImport(String),
    #[error(
        "it was built for another version of the interface: `{found}`, and this server has {VERSION}; {cure}",
        cure = if *is_newer { "build it for that one, or update the server" } else { "build it again, for that one" }
    )]
    OtherVersion { found: String, is_newer: bool },
    #[error("what it imports does not fit: {0}")]
    ImportType(String),
    #[error(
        "it exports none of the interfaces verifier, parser, condition, step, responder of ringback:plugin@{VERSION}{0}"
    )]
    NoRole(String),
    #[error("what it exports as {interface} does not fit: {problem}")]
    ExportType { interface: String, problem: String },
    #[error("its schema for a {role} {problem}")]
    Schema { role: Role, problem: String },
    #[error("its vectors {0}")]
    Vectors(String),
    #[error("its vector `{name}` fails: {problem}")]
    Vector { name: String, problem: String },
    #[error("compiling it took {0}; make it smaller or simpler")]
    CompileLimit(String),
    #[error("it cannot be compiled: {0}")]
    Compile(String),
    #[error("another upload is being compiled and {0} more are waiting; try again in a minute")]
    Busy(usize),
    #[error("the server is too busy to try it out; try again in a minute")]
    Crowded,
    #[error("the server could not compile it: {0}")]
    Host(String),
}

const NEEDS_LARGE: &str = ": a component with a whole interpreter in it (Python, SpiderMonkey) needs `large_plugins = true` \
                           in the server's settings, while JavaScript on QuickJS (componentize-qjs) has a megabyte";

/// Why a call brought no answer. The classes need different answers to the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin answered a failure.
    #[error(
        "the plugin {plugin} answered {code}: {message}{}",
        pointer.as_ref().map(|pointer| format!(" (at `{pointer}` of its configuration)")).unwrap_or_default()
    )]
    Guest { plugin: Name, code: String, message: String, retryable: bool, pointer: Option<String> },
    /// The plugin broke off.
    #[error("the plugin {plugin} trapped: {reason}")]
    Trapped { plugin: Name, reason: String },
    #[error("the plugin {plugin} ran longer than {limit}")]
    OutOfTime { plugin: Name, limit: String },
    #[error("the plugin {plugin} wanted more than {limit_bytes} bytes of memory")]
    OutOfMemory { plugin: Name, limit_bytes: usize },
    #[error("the plugin {plugin} answered with what is not allowed: {reason}")]
    BadOutput { plugin: Name, reason: String },
    #[error("there is no plugin {plugin} with the role {role}")]
    Missing { plugin: Name, role: Role },
    /// Too many calls at once.
    #[error("too many plugin calls are waiting")]
    Busy,
    /// Its time was over before it had got what it may use of the processor.
    #[error("the plugin {plugin} was not given enough processor time: the server is too busy")]
    Crowded { plugin: Name },
    /// The plugin failed again and again; it rests.
    #[error("the plugin {plugin} failed {failures} times within a minute and is not called until a minute has passed")]
    Open { plugin: Name, failures: usize },
    /// The version that is called cannot be made ready to run: its file is gone or was changed, or this engine does not take it.
    #[error(
        "version {version} of the plugin {plugin} does not load: {reason}; upload it again, or activate another version"
    )]
    NotLoaded { plugin: Name, version: u32, reason: String },
    #[error("the host failed: {0}")]
    Host(String),
}

impl CallError {
    /// Stable and documented.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Guest { .. } => "plugin_failed",
            Self::Trapped { .. } => "plugin_trapped",
            Self::OutOfTime { .. } => "plugin_out_of_time",
            Self::OutOfMemory { .. } => "plugin_out_of_memory",
            Self::BadOutput { .. } => "plugin_bad_output",
            Self::Missing { .. } => "plugin_missing",
            Self::Busy | Self::Crowded { .. } => "plugin_busy",
            Self::Open { .. } => "plugin_circuit_open",
            Self::NotLoaded { .. } => "plugin_not_loaded",
            Self::Host(_) => "plugin_host_error",
        }
    }

    /// A plugin that broke off, with what it said before: the engine knows where, the plugin why.
    pub(super) fn saying(mut self, last_words: Option<String>) -> Self {
        if let (Self::Trapped { reason, .. }, Some(last_words)) = (&mut self, last_words) {
            reason.push_str("; it last said: ");
            reason.push_str(&last_words);
        }
        self
    }

    /// The same of a plugin that was just spoken of, or has no name yet.
    pub(super) fn without_name(&self, plugin: &Name) -> String {
        self.to_string().replacen(&format!("the plugin {plugin} "), "it ", 1)
    }

    /// Whether the plugin was not called, or broken off for want of processor time: it is asked again until it answers.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy | Self::Crowded { .. } | Self::Open { .. })
    }

    /// Whether the plugin says that the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Guest { retryable: true, .. })
    }

    /// What the caller of the callback is told.
    pub fn stop(&self, role: Role) -> Stop {
        let reason = self.to_string();
        match self {
            Self::Guest { retryable: true, .. } => {
                let stop = Stop::failed(503, self.code(), "The server cannot take this callback now.", reason);
                Stop { temporary: true, ..stop.with_header("retry-after", "5") }
            }
            Self::Guest { .. } if role == Role::Parser => {
                Stop::refused(422, "not_parsed", "The body could not be read.", reason)
            }
            Self::Busy | Self::Crowded { .. } | Self::Open { .. } => {
                let stop = Stop::failed(503, self.code(), "The server cannot take this callback now.", reason)
                    .with_header("retry-after", if matches!(self, Self::Open { .. }) { "60" } else { "1" });
                Stop { temporary: true, ..stop }
            }
            Self::Guest { .. }
            | Self::Trapped { .. }
            | Self::OutOfTime { .. }
            | Self::OutOfMemory { .. }
            | Self::BadOutput { .. }
            | Self::Missing { .. }
            | Self::NotLoaded { .. }
            | Self::Host(_) => Stop::failed(500, self.code(), "A plugin of this flow failed.", reason),
        }
    }
}

/// A message in one line: what it quotes of a file may have line ends and control characters.
pub(super) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    let escape = |c: char| if c.is_control() { c.escape_debug().collect() } else { vec![c] };
    words.join(" ").chars().flat_map(escape).collect()
}
