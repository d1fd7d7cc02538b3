//! Every setting as it is written: its default, and what the manual says of it.

use super::LogForm;
use ringback_plugin::CallLimits;
use ringback_rules::execution::Execution;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The settings: what the manual says of each, name, type, default, and in words what is taken where there is none.
macro_rules! settings {
    ($($(#[doc = $meaning:literal])+ $name:ident: $kind:ty = $default:expr $(, or $words:literal)?;)*) => {
        /// What a settings file, the environment and flags say.
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawConfig {
            $($(#[doc = $meaning])+ pub(super) $name: $kind,)*
        }

        impl Default for RawConfig {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        pub(super) const NAMES: &[&str] = &[$(stringify!($name),)*];

        /// The names, the defaults in words, and what the manual says.
        #[cfg(test)]
        pub(super) const MANUAL: &[(&str, &str, &str)] =
            &[$((stringify!($name), concat!($($words)?), concat!($($meaning),+)),)*];
    };
}

settings! {
    /// everything that is kept
    data: PathBuf = "ringback-data".into();
    /// the key itself in place of a file, base64 of 32 bytes (`openssl rand -base64 32`); best as `RINGBACK_SECRET_KEY`
    secret_key: Option<String> = None;
    /// what secrets are encrypted with; made on the first start, mode 0600. Where there are secrets and no key, the
    /// server does not start (78)
    secret_key_file: Option<PathBuf> = None, or "`secret.key` in `data`";
    /// where callbacks arrive
    public: String = "0.0.0.0:8080".into();
    /// the API, the console, health and metrics
    admin: String = "127.0.0.1:8081".into();
    /// how callers reach the server, for the URLs that are shown and for signed URLs
    public_url: Option<String> = None, or "`http://` and `public`";
    /// whether the admin side has the [console](docs/console.md)
    console: bool = true;
    /// how people reach the admin side, where that is not its address: behind a proxy, by a name
    admin_url: Option<String> = None, or "`http://` and `admin`";
    /// networks (`10.0.0.0/8`) of proxies that may say for whom they pass a request on, see [Behind a proxy](#behind-a-proxy)
    trusted_proxies: Vec<String> = Vec::new();
    /// largest body of a callback
    body_bytes_max: usize = 1 << 20;
    /// bodies of more than 16 KiB, and encoded ones with what may come of them, that are here at a time; a workspace leaves half to
    /// others, and a trigger half of that. What is more waits for 5 s, and then gets 503 `too_many_large_bodies`
    bodies_bytes_max: Option<usize> = None, or "`134217728`, or 8 times `body_bytes_max` where that is more";
    /// for the headers of a request to arrive
    header_read_timeout: String = "10s".into();
    /// for the next request on a connection to begin; longer than that of the proxy in front
    keep_alive_timeout: String = "75s".into();
    /// for the body of a request to arrive
    body_read_timeout: String = "30s".into();
    /// for a caller to take a part of its answer
    write_timeout: String = "15s".into();
    /// for requests under way to end when the server stops
    drain_timeout: String = "10s".into();
    /// connections at a time, per listener
    connections_max: usize = 4096;
    /// of one address, or one IPv6 /64, per listener; requests at a time, where a trusted proxy says that it is theirs
    connections_per_address_max: usize = 512;
    /// memory of the store's cache
    store_cache_bytes: usize = 128 << 20;
    /// size of a file of the store's log; space is given back a file at a time, and one more is prepared ahead
    store_segment_bytes: usize = 64 << 20;
    /// how long an execution is kept after its end, with its callbacks, and a ticket of which nothing can come any more; or
    /// `forever`
    keep_for: String = "30d".into();
    /// how many executions are kept, the oldest that have ended go first; `0` for all
    keep_executions_max: usize = 0;
    /// how many versions of a flow are kept that no execution needs
    keep_flow_versions: usize = 20;
    /// whether components that embed an interpreter may be uploaded, see [Plugins](#plugins)
    large_plugins: bool = false;
    /// hosts (`name` or `name:port`) that plugins may send requests to
    plugin_http_hosts: Vec<String> = Vec::new();
    /// hosts (`name` or `name:port`) that flows may send requests to although they are not public
    http_private_hosts: Vec<String> = Vec::new();
    /// origins (`https://host`) that callers of every workspace may be sent to, besides paths of the same host
    redirect_origins: Vec<String> = Vec::new();
    /// what `ringback redirect-origin add` may name: origins, or every host under one (`https://*.example.com`);
    /// everything when empty
    redirect_origins_bound: Vec<String> = Vec::new();
    /// headers and parameters whose values are kept nowhere, besides those of known names: `["x-door", "x-gate-*"]`
    redact: Vec<String> = Vec::new();
    /// processor time of a call of a condition or verifier
    plugin_decide_cpu: String = "50ms".into();
    /// and of a parser, step or responder
    plugin_work_cpu: String = "200ms".into();
    /// memory of a call
    plugin_memory_bytes: usize = CallLimits::default().memory_bytes;
    /// and of one that embeds an interpreter
    plugin_large_memory_bytes: usize = CallLimits::default().large_memory_bytes;
    /// largest answer of a call
    plugin_result_bytes: usize = CallLimits::default().result_bytes;
    /// lines that a call may log
    plugin_log_lines: usize = CallLimits::default().log_lines;
    /// calls of plugins at the same time
    plugin_calls_max: usize = 64;
    /// of one workspace at the same time; 256 more wait, and what is more gets `plugin_busy`
    plugin_calls_per_workspace_max: Option<usize> = None, or "a quarter of it";
    /// gives a workspace less: any of `plugin_decide_cpu` … `plugin_log_lines`; its `redirect_origins` are added
    workspaces: BTreeMap<String, RawWorkspace> = BTreeMap::new();
    /// how long a callback is kept whose plugin rests or is busy; then it has failed
    deferred_for_max: String = "24h".into();
    /// callbacks that an execution keeps for each trigger that it does not wait at yet; what is more gets 409
    /// `mailbox_full`
    mailbox_count_max: usize = 256;
    /// and their bytes; a callback that is larger by itself gets 413 `mailbox_callback_too_large`
    mailbox_bytes_max: usize = 16 << 20;
    /// bytes that a workspace keeps for keys that no execution waits for yet ([`correlate`](docs/correlation.md)), a KiB at least for each
    /// callback; what is more gets 429 `early_full`. Of one key, as many and as much as a mailbox takes
    early_bytes_max: usize = 1 << 30;
    /// executions that run a step at the same time, and as many that wait for the answer of an `http` step; of one
    /// workspace at most half of them, so that a place is left for others
    executions_max: usize = 256;
    /// memory that the values of one execution may take, of all its callbacks and steps together
    execution_bytes_max: usize = Execution::BYTES_MAX;
    /// or `json`
    log: LogForm = LogForm::Text;
    /// which lines are logged, such as `warn,ringback=debug` (a
    /// [filter](https://docs.rs/tracing-subscriber/latest/tracing_subscriber/filter/struct.EnvFilter.html)); the
    /// libraries that requests go through log no more than `info`, whatever it says, since secrets may be part of a
    /// host
    log_filter: String = "info".into();
}

/// What a workspace is given less of, and where its callers may be sent besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkspace {
    pub(super) plugin_decide_cpu: Option<String>,
    pub(super) plugin_work_cpu: Option<String>,
    pub(super) plugin_memory_bytes: Option<usize>,
    pub(super) plugin_large_memory_bytes: Option<usize>,
    pub(super) plugin_result_bytes: Option<usize>,
    pub(super) plugin_log_lines: Option<usize>,
    #[serde(default)]
    pub(super) redirect_origins: Vec<String>,
}
