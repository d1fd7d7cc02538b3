//! Settings: `ringback.toml`, then `RINGBACK_…` variables, then flags; the later wins.

mod settings;

use crate::catalogue::redirects::RedirectOrigins;
use crate::catalogue::secrets::KeySource;
use crate::retention::Retention;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Value;
use figment::{Figment, Metadata, Source};
use ringback_plugin::{CallLimits, Limits};
use ringback_records::name::Name;
use ringback_records::time::parse_duration;
use ringback_rules::network::Network;
use ringback_rules::redact::Names;
use ringback_rules::suggest::suggest;
use ringback_store::{MailboxLimits, StoreOptions};
use serde::{Deserialize, Serialize};
use settings::RawConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use url::Host;

/// The memory for bodies when nothing is said.
const BODIES_BYTES: usize = 128 << 20;
/// How many of the largest bodies there is room for at least: one trigger alone has a quarter of it, and an encoded body is there
/// beside what may come of it.
const LARGEST_BODIES_MIN: usize = 8;

/// How the server runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// What secrets are encrypted with.
    pub secret_key: KeySource,
    /// Where callbacks arrive.
    pub public: SocketAddr,
    /// Where the API listens.
    pub admin: SocketAddr,
    /// Scheme, host and port under which callers reach the public listener; `None` for `http://` and its address.
    pub public_url: Option<String>,
    /// Whether the admin side has pages for people.
    pub console: bool,
    /// Scheme, host and port under which people reach the admin listener; `None` for `http://` and its address.
    pub admin_url: Option<String>,
    /// Proxies that may say for whom they pass a request on.
    pub trusted_proxies: Arc<[Network]>,
    /// Largest body of a callback, in bytes. Checked before the body is buffered.
    pub body_bytes_max: usize,
    /// Most bytes of large bodies that are here at a time.
    pub bodies_bytes_max: usize,
    /// Time for the headers of a request to arrive.
    pub header_read_timeout: Duration,
    /// Time that a connection stays open after an answer for the next request to begin.
    pub keep_alive_timeout: Duration,
    /// Time for the body of a request to arrive.
    pub body_read_timeout: Duration,
    /// Time for a caller to take a part of its answer.
    pub write_timeout: Duration,
    /// Time for requests under way to end when the server stops.
    pub drain_timeout: Duration,
    /// Most connections at a time, per listener.
    pub connections_max: usize,
    /// Most connections at a time of one address, or one IPv6 network of 64 bits, per listener.
    pub connections_per_address_max: usize,
    pub store: StoreOptions,
    pub retention: Retention,
    /// Whether components that embed an interpreter may be uploaded.
    pub large_plugins: bool,
    /// Hosts that plugins may send requests to: `host` or `host:port`.
    pub plugin_http_hosts: Vec<String>,
    /// Hosts that flows may send requests to although their addresses are not public: `host` or `host:port`.
    pub http_private_hosts: Vec<String>,
    /// Where callers may be sent besides paths of the same host.
    pub redirect_origins: Arc<RedirectOrigins>,
    /// Headers and parameters that are kept of no callback and no answer, besides those that are known.
    pub redact: Arc<Names>,
    pub plugin_limits: Limits,
    /// How long a callback is kept that waits for a plugin that cannot be called; then it has failed.
    pub deferred_for_max: Duration,
    /// What an execution keeps for each trigger that it does not wait at yet.
    pub mailbox: MailboxLimits,
    /// What a workspace keeps for keys that no execution waits for yet, in KiB.
    pub early_kib_max: u32,
    /// Steps of executions that run at the same time.
    pub executions_max: usize,
    /// The most memory that what callbacks and steps bring to one execution may take, in bytes.
    pub execution_bytes_max: usize,
    pub log: LogForm,
    /// Which lines are logged, as `tracing_subscriber::EnvFilter` has it.
    pub log_filter: String,
    /// Every setting as it is said.
    pub said: Vec<Said>,
}

/// A setting as it is said.
#[derive(Clone, Debug)]
pub struct Said {
    pub name: &'static str,
    /// `"set"` for one that is secret.
    pub value: serde_json::Value,
    /// What says so; empty for a default.
    pub source: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogForm {
    Text,
    Json,
}

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// What is wrong with a setting, or with two that do not go together: what follows their names.
#[derive(Debug)]
struct Wrong {
    settings: Vec<String>,
    problem: String,
}

impl Wrong {
    fn new(setting: &str, problem: impl Into<String>) -> Self {
        Self { settings: vec![setting.to_owned()], problem: problem.into() }
    }

    fn together(settings: [&str; 2], problem: &str) -> Self {
        Self { settings: settings.map(str::to_owned).into(), problem: problem.to_owned() }
    }

    /// With where the settings come from.
    fn in_words(self, figment: &Figment) -> ConfigError {
        let Self { settings, problem } = self;
        let origin = |setting: &str| {
            // A name with a dot in it is not found as a path.
            let whole = setting.split('.').next().unwrap_or_default();
            let metadata = figment.find_metadata(setting).or_else(|| figment.find_metadata(whole));
            metadata.map_or(Origin::Default, Origin::of)
        };
        let names: Vec<String> = settings.iter().map(|setting| origin(setting).name(setting)).collect();
        let file = settings.iter().map(|setting| origin(setting).to_string()).find(|file| !file.is_empty());
        ConfigError(format!("{}{problem}{}", names.join(" and "), file.unwrap_or_default()))
    }
}

/// Where a setting has its value from.
enum Origin<'a> {
    Default,
    File(&'a Source),
    Variable,
    Flag,
}

impl<'a> Origin<'a> {
    fn of(metadata: &'a Metadata) -> Self {
        match &metadata.source {
            None => Self::Variable,
            Some(source @ Source::File(_)) => Self::File(source),
            Some(_) if metadata.name == std::any::type_name::<&Flags>() => Self::Flag,
            Some(_) => Self::Default,
        }
    }

    /// The name under which the setting is given there.
    fn name(&self, setting: &str) -> String {
        match self {
            Self::Default | Self::File(_) => setting.to_owned(),
            Self::Variable => {
                let (variable, part) = setting.split_at(setting.find('.').unwrap_or(setting.len()));
                format!("RINGBACK_{}{part}", variable.to_ascii_uppercase())
            }
            Self::Flag => format!("--{}", setting.replace('_', "-")),
        }
    }
}

/// To come after what is said of a setting, where its name does not say where it is given.
impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, " (from {file})"),
            Self::Default | Self::Variable | Self::Flag => Ok(()),
        }
    }
}

/// Settings given as flags.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Flags {
    #[serde(skip)]
    pub data: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
}

impl Config {
    /// Reads the settings. `file` must exist when it is named; else `ringback.toml` is read if it is there.
    ///
    /// # Errors
    ///
    /// A setting that is unknown or wrong, with where it comes from.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        if let Some(file) = file.filter(|file| !file.is_file()) {
            return Err(ConfigError(format!("there is no file {}", file.display())));
        }
        let file = Figment::from(Serialized::defaults(RawConfig::default()))
            .merge(Toml::file(file.unwrap_or(Path::new("ringback.toml"))));
        // Those left out belong to the command line, not to the server.
        let variables = Env::prefixed("RINGBACK_").ignore(&["token", "server", "config", "workspace", "data"]);
        let variables = file.clone().merge(variables);
        let figment = variables.clone().merge(Serialized::defaults(flags));
        // What a flag stands before is looked at as well: it counts as soon as the flag is left out.
        for figment in [&file, &variables] {
            addresses(&extract(figment)?).map_err(|wrong| wrong.in_words(figment))?;
        }
        let mut raw = extract(&figment)?;
        // It need not be text.
        if let Some(data) = &flags.data {
            raw.data.clone_from(data);
        }
        let said = said(&raw, |name| {
            let origin = figment.find_metadata(name).map_or(Origin::Default, Origin::of);
            match origin {
                // The directory need not be text, and so goes its own way.
                _ if name == "data" && flags.data.is_some() => "--data".to_owned(),
                Origin::Default => String::new(),
                Origin::File(file) => file.to_string(),
                origin => origin.name(name),
            }
        });
        let config = Self::check(raw).map_err(|wrong| wrong.in_words(&figment))?;
        Ok(Self { said, ..config })
    }

    fn check(raw: RawConfig) -> Result<Self, Wrong> {
        let Addresses { public, admin, public_url } = addresses(&raw)?;
        let RawConfig {
            data,
            secret_key,
            secret_key_file,
            public: _,
            admin: _,
            public_url: _,
            console,
            admin_url,
            trusted_proxies,
            body_bytes_max,
            bodies_bytes_max,
            header_read_timeout,
            keep_alive_timeout,
            body_read_timeout,
            write_timeout,
            drain_timeout,
            connections_max,
            connections_per_address_max,
            store_cache_bytes,
            store_segment_bytes,
            keep_for,
            keep_executions_max,
            keep_flow_versions,
            large_plugins,
            plugin_http_hosts,
            http_private_hosts,
            redirect_origins,
            redirect_origins_bound,
            redact,
            plugin_decide_cpu,
            plugin_work_cpu,
            plugin_memory_bytes,
            plugin_large_memory_bytes,
            plugin_result_bytes,
            plugin_log_lines,
            plugin_calls_max,
            plugin_calls_per_workspace_max,
            workspaces,
            deferred_for_max,
            mailbox_count_max,
            mailbox_bytes_max,
            early_bytes_max,
            executions_max,
            execution_bytes_max,
            log,
            log_filter,
        } = raw;
        let duration = |name: &str, text: &str| {
            parse_duration(text).map_err(|message| Wrong::new(name, format!(": {message}"))).and_then(|duration| {
                if duration.is_zero() { Err(Wrong::new(name, " must be longer than nothing")) } else { Ok(duration) }
            })
        };
        let between = |name: &str, value: usize, min: usize, max: usize| {
            if (min..=max).contains(&value) {
                Ok(value)
            } else {
                Err(Wrong::new(name, format!(" = {value} must be from {min} to {max}")))
            }
        };
        let body_bytes_max = between("body_bytes_max", body_bytes_max, 1024, 64 << 20)?;
        let bodies_bytes_min = LARGEST_BODIES_MIN * body_bytes_max;
        if public == admin && public.port() != 0 {
            return Err(Wrong::together(["public", "admin"], " must not be the same address"));
        }
        let secret_key = match (secret_key, secret_key_file) {
            (Some(_), Some(_)) => {
                return Err(Wrong::together(
                    ["secret_key", "secret_key_file"],
                    " are both set, and there is one key: leave one of them out",
                ));
            }
            (Some(key), None) => {
                KeySource::given(&key).map_err(|problem| Wrong::new("secret_key", format!(": {problem}")))?
            }
            (None, Some(file)) => KeySource::File(file),
            (None, None) => KeySource::File(data.join("secret.key")),
        };
        let call = CallLimits {
            decide_cpu: duration("plugin_decide_cpu", &plugin_decide_cpu)?,
            work_cpu: duration("plugin_work_cpu", &plugin_work_cpu)?,
            memory_bytes: between("plugin_memory_bytes", plugin_memory_bytes, 1 << 20, 1 << 30)?,
            large_memory_bytes: between("plugin_large_memory_bytes", plugin_large_memory_bytes, 1 << 20, 1 << 30)?,
            result_bytes: between("plugin_result_bytes", plugin_result_bytes, 1024, 64 << 20)?,
            log_lines: between("plugin_log_lines", plugin_log_lines, 0, 10_000)?,
        };
        if let Err(error) = log_filter.parse::<EnvFilter>() {
            let problem =
                format!(" = {log_filter:?} is not a filter ({error}); write it like info or warn,ringback=debug");
            return Err(Wrong::new("log_filter", problem));
        }
        let (mut of_workspaces, mut origins) = (BTreeMap::new(), BTreeMap::new());
        for (name, raw) in workspaces {
            let wrong_name = |error| Wrong::new(&format!("workspaces.{name}"), format!(": {error}"));
            let workspace: Name = name.parse().map_err(wrong_name)?;
            let at = |setting: &str| format!("workspaces.{name}.{setting}");
            let less_time = |setting: &str, value: Option<String>, most: Duration| match value {
                None => Ok(most),
                Some(text) => match duration(&at(setting), &text)? {
                    less if less <= most => Ok(less),
                    _ => Err(Wrong::new(&at(setting), format!(" = {text} must be at most {most:?}, as for all"))),
                },
            };
            let less = |setting: &str, value: Option<usize>, least: usize, most: usize| {
                value.map_or(Ok(most), |value| between(&at(setting), value, least, most))
            };
            let limits = CallLimits {
                decide_cpu: less_time("plugin_decide_cpu", raw.plugin_decide_cpu, call.decide_cpu)?,
                work_cpu: less_time("plugin_work_cpu", raw.plugin_work_cpu, call.work_cpu)?,
                memory_bytes: less("plugin_memory_bytes", raw.plugin_memory_bytes, 64 << 10, call.memory_bytes)?,
                large_memory_bytes: less(
                    "plugin_large_memory_bytes",
                    raw.plugin_large_memory_bytes,
                    64 << 10,
                    call.large_memory_bytes,
                )?,
                result_bytes: less("plugin_result_bytes", raw.plugin_result_bytes, 0, call.result_bytes)?,
                log_lines: less("plugin_log_lines", raw.plugin_log_lines, 0, call.log_lines)?,
            };
            let own = RedirectOrigins::new(raw.redirect_origins.clone(), BTreeMap::new());
            own.map_err(|message| Wrong::new(&at("redirect_origins"), format!(": {message}")))?;
            origins.insert(workspace.clone(), raw.redirect_origins);
            of_workspaces.insert(workspace, limits);
        }
        let concurrency = between("plugin_calls_max", plugin_calls_max, 1, 512)?;
        // A quarter: it takes several workspaces to leave the others nothing.
        let workspace_concurrency = match plugin_calls_per_workspace_max {
            Some(max) => between("plugin_calls_per_workspace_max", max, 1, concurrency)?,
            None => concurrency.div_ceil(4),
        };
        let redirect_origins = RedirectOrigins::new(redirect_origins, origins)
            .map_err(|message| Wrong::new("redirect_origins", format!(": {message}")))?
            .within(&redirect_origins_bound)
            .map_err(|message| Wrong::new("redirect_origins_bound", format!(": {message}")))?;
        let mut names = Names::default();
        for name in &redact {
            names.add(name).map_err(|message| Wrong::new("redact", format!(": {message}")))?;
        }
        Ok(Self {
            data,
            secret_key,
            public,
            admin,
            public_url,
            console,
            admin_url: admin_url.as_deref().map(|url| check_origin("admin_url", url)).transpose()?,
            trusted_proxies: networks("trusted_proxies", &trusted_proxies)?,
            body_bytes_max,
            bodies_bytes_max: match bodies_bytes_max {
                Some(bytes) => between("bodies_bytes_max", bytes, bodies_bytes_min, 1 << 40)?,
                None => bodies_bytes_min.max(BODIES_BYTES),
            },
            header_read_timeout: duration("header_read_timeout", &header_read_timeout)?,
            keep_alive_timeout: duration("keep_alive_timeout", &keep_alive_timeout)?,
            body_read_timeout: duration("body_read_timeout", &body_read_timeout)?,
            write_timeout: duration("write_timeout", &write_timeout)?,
            drain_timeout: duration("drain_timeout", &drain_timeout)?,
            connections_max: between("connections_max", connections_max, 1, 1 << 20)?,
            connections_per_address_max: between(
                "connections_per_address_max",
                connections_per_address_max,
                1,
                1 << 20,
            )?,
            store: StoreOptions {
                cache_bytes: between("store_cache_bytes", store_cache_bytes, 8 << 20, 1 << 40)? as u64,
                segment_bytes: between("store_segment_bytes", store_segment_bytes, 1 << 20, 1 << 30)? as u64,
                ..StoreOptions::default()
            },
            retention: Retention {
                keep_for: match keep_for.as_str() {
                    "forever" => None,
                    text => Some(duration("keep_for", text)?),
                },
                executions_max: Some(keep_executions_max).filter(|max| *max > 0),
                flow_versions: between("keep_flow_versions", keep_flow_versions, 1, 10_000)?,
                interval: Duration::from_mins(1),
            },
            large_plugins,
            plugin_http_hosts: hosts("plugin_http_hosts", &plugin_http_hosts)?,
            http_private_hosts: hosts("http_private_hosts", &http_private_hosts)?,
            redirect_origins: Arc::new(redirect_origins),
            redact: Arc::new(names),
            plugin_limits: Limits {
                call,
                workspaces: of_workspaces,
                concurrency,
                workspace_concurrency,
                ..Limits::default()
            },
            executions_max: between("executions_max", executions_max, 1, 100_000)?,
            deferred_for_max: duration("deferred_for_max", &deferred_for_max)?,
            mailbox: MailboxLimits {
                count_max: between("mailbox_count_max", mailbox_count_max, 1, 10_000)?,
                bytes_max: between("mailbox_bytes_max", mailbox_bytes_max, 1 << 10, 256 << 20)?,
            },
            early_kib_max: u32::try_from(between("early_bytes_max", early_bytes_max, 1 << 10, 1 << 40)? >> 10)
                .unwrap_or(u32::MAX),
            execution_bytes_max: between("execution_bytes_max", execution_bytes_max, 1 << 20, 1 << 30)?,
            log,
            log_filter,
            said: Vec::new(),
        })
    }

    /// The path of the public URL; empty where it has none.
    pub fn public_path(&self) -> &str {
        let rest = self.public_url.as_deref().and_then(|url| Some(url.split_once("://")?.1)).unwrap_or_default();
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
    }

    /// Keeps of no callback and no answer the values of these headers and parameters, besides those that are known.
    ///
    /// # Errors
    ///
    /// One of them is not the name of a header or parameter.
    pub fn redact(&mut self, names: &[&str]) -> Result<(), ConfigError> {
        let mut known = Names::clone(&self.redact);
        names.iter().try_for_each(|name| known.add(name)).map_err(ConfigError)?;
        self.redact = Arc::new(known);
        Ok(())
    }

    /// Lets callers of every workspace be sent to these origins, and to no others.
    ///
    /// # Errors
    ///
    /// One of them is not an origin.
    pub fn allow_redirects(&mut self, origins: Vec<String>) -> Result<(), ConfigError> {
        let origins = RedirectOrigins::new(origins, BTreeMap::new()).map_err(ConfigError)?;
        self.redirect_origins = Arc::new(origins);
        Ok(())
    }

    /// Lets nothing but these origins, or hosts under them, be added while the server runs.
    ///
    /// # Errors
    ///
    /// One of them is no bound.
    pub fn bound_redirects(&mut self, bound: &[String]) -> Result<(), ConfigError> {
        let origins = RedirectOrigins::clone(&self.redirect_origins).within(bound).map_err(ConfigError)?;
        self.redirect_origins = Arc::new(origins);
        Ok(())
    }

    /// Small settings on ports of the system's choice.
    pub fn for_testing(data: &Path) -> Self {
        let raw = RawConfig {
            data: data.to_owned(),
            public: "127.0.0.1:0".into(),
            admin: "127.0.0.1:0".into(),
            body_bytes_max: 64 * 1024,
            header_read_timeout: "1s".into(),
            keep_alive_timeout: "2s".into(),
            body_read_timeout: "1s".into(),
            write_timeout: "1s".into(),
            drain_timeout: "2s".into(),
            store_cache_bytes: 16 << 20,
            // Tests run side by side: a call may wait for a processor.
            plugin_decide_cpu: "500ms".into(),
            plugin_work_cpu: "500ms".into(),
            plugin_calls_max: 8,
            ..RawConfig::default()
        };
        let said = said(&raw, |_| String::new());
        match Self::check(raw) {
            Ok(config) => Self { said, ..config },
            Err(error) => unreachable!("the settings for tests are wrong: {error:?}"),
        }
    }
}

/// Every setting, with what says so.
fn said(raw: &RawConfig, source: impl Fn(&str) -> String) -> Vec<Said> {
    let mut values = serde_json::to_value(raw).unwrap_or_default();
    let said = settings::NAMES.iter().map(|name| {
        let value = values.get_mut(name).map(serde_json::Value::take).unwrap_or_default();
        let is_secret = *name == "secret_key" && !value.is_null();
        Said { name, value: if is_secret { "set".into() } else { value }, source: source(name) }
    });
    said.collect()
}

fn extract(figment: &Figment) -> Result<RawConfig, ConfigError> {
    figment.extract().map_err(|error| {
        let lines: Vec<String> = error.into_iter().map(|one| describe(&one)).collect();
        ConfigError(lines.join("\n"))
    })
}

/// The settings that flags may stand before.
struct Addresses {
    public: SocketAddr,
    admin: SocketAddr,
    public_url: Option<String>,
}

fn addresses(raw: &RawConfig) -> Result<Addresses, Wrong> {
    let address = |name: &str, text: &str| {
        text.parse::<SocketAddr>().map_err(|_| {
            let problem = format!(" = {text:?} is not an address; write an IP address and a port: 127.0.0.1:8080");
            Wrong::new(name, problem)
        })
    };
    Ok(Addresses {
        public: address("public", &raw.public)?,
        admin: address("admin", &raw.admin)?,
        public_url: raw.public_url.as_deref().map(check_public_url).transpose()?,
    })
}

/// Hosts as URLs have them, each with or without a port.
fn hosts(setting: &str, texts: &[String]) -> Result<Vec<String>, Wrong> {
    let read = |text: &String| {
        let port = |port: &str| port.parse::<u16>().ok().filter(|known| *known > 0 && known.to_string() == port);
        let (host, port) = match text.rsplit_once(':').filter(|_| !text.ends_with(']')) {
            Some((host, after)) => (host, format!(":{}", port(after)?)),
            None => (text.as_str(), String::new()),
        };
        let host = Host::parse(host).ok().filter(|host| !matches!(host, Host::Domain(name) if name.contains('*')))?;
        Some(format!("{host}{port}"))
    };
    let wrong = |text: &String| {
        let problem = format!(
            ": {text:?} is not a host; write a name or an address, alone or with a port: intranet, 10.0.0.7:8080, [fd00::7]"
        );
        Wrong::new(setting, problem)
    };
    texts.iter().map(|text| read(text).ok_or_else(|| wrong(text))).collect()
}

/// Where callers reach the public listener: an origin as browsers and signers write it, and a path where a proxy has it below one.
fn check_public_url(given: &str) -> Result<String, Wrong> {
    let wrong = |what: &str| Wrong::new("public_url", format!(" = {given:?} {what}"));
    const LIKE: &str = "must be like https://hooks.example.com or https://example.com/hooks";
    let url = url::Url::parse(given).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => wrong(LIKE),
        error => wrong(&format!("{LIKE}: {error}")),
    })?;
    let has_more = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
    if !matches!(url.scheme(), "http" | "https") || has_more || url.fragment().is_some() || url.port() == Some(0) {
        return Err(wrong(LIKE));
    }
    // The library would mend what is written of the path, and it is compared as it is written.
    let authority_and_path = given.split_once("://").map_or(given, |(_, rest)| rest);
    let path = authority_and_path.trim_end_matches('/').split_once('/').map(|(_, path)| path);
    let is_segment = |segment: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
    };
    if !path.is_none_or(|path| path.split('/').all(is_segment)) {
        return Err(wrong(
            "has a path with other characters than letters, digits, `-`, `.`, `_` and `~`, or with an empty part, `.` or `..`",
        ));
    }
    let origin = url.origin().ascii_serialization();
    Ok(path.map_or_else(|| origin.clone(), |path| format!("{origin}/{path}")))
}

fn networks(setting: &str, texts: &[String]) -> Result<Arc<[Network]>, Wrong> {
    let read = |text: &String| text.parse().map_err(|message| Wrong::new(setting, format!(": {message}")));
    texts.iter().map(read).collect()
}

fn check_origin(setting: &str, url: &str) -> Result<String, Wrong> {
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => Ok(url.to_owned()),
        _ => {
            let problem = format!(" = {url:?} must be like https://hooks.example.com, without a path");
            Err(Wrong::new(setting, problem))
        }
    }
}

fn describe(error: &figment::Error) -> String {
    let origin = error.metadata.as_ref().map_or(Origin::Default, Origin::of);
    let name = origin.name(&error.path.join("."));
    let problem = match &error.kind {
        Kind::UnknownField(unknown, known) => {
            // Inside of one, names are no variables.
            let shown = |name: &str| if error.path.len() < 2 { origin.name(name) } else { name.to_owned() };
            let (unknown, known) = (shown(unknown), known.iter().map(|name| shown(name)).collect::<Vec<_>>());
            let hint = suggest(&unknown, known.iter().map(String::as_str));
            let hint = if hint.is_empty() { format!("; there are {}", known.join(", ")) } else { hint };
            format!("there is no setting `{unknown}`{hint}")
        }
        Kind::UnknownVariant(found, known) => format!("{name} = {found:?} is not one of {}", known.join(", ")),
        // What may be a key is not shown.
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            let setting = error.path.last().map(String::as_str).unwrap_or_default();
            match (duration_of(setting), &origin) {
                (Some(default), Origin::File(_)) => {
                    format!("{name} must be a whole number and a unit, in quotes: \"{default}\"")
                }
                (Some(default), _) => format!("{name} must be a whole number and a unit: {default}"),
                (None, _) => format!("{name} must be {}", in_words(expected)),
            }
        }
        other if error.path.is_empty() => other.to_string().trim_end().to_owned(),
        other => format!("{name}: {other}"),
    };
    format!("{problem}{origin}")
}

/// The default of a setting that is a duration.
fn duration_of(setting: &str) -> Option<String> {
    let defaults = Value::serialize(RawConfig::default()).ok()?;
    defaults.find(setting)?.into_string().filter(|default| parse_duration(default).is_ok())
}

/// What a setting must be, where the types of Rust say it.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" => "a whole number",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text, in quotes",
        other => other,
    }
}

#[cfg(test)]
mod tests;
