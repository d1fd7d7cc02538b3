//! `ringback plugin run`: one call of a plugin, here and without a server, and what it took of each limit.

use super::local::{Local, limits};
use crate::cli::client::{Client, segment};
use crate::cli::output::{json, line, lines};
use crate::cli::{CliError, Connection, read};
use ringback_plugin::{CallLimits, Tried};
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::CallbackRecord;
use ringback_records::plugin::Role;
use serde_json::{Map, Value, json as to_json};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Run {
    /// A `.wasm` file, as `ringback plugin build` makes it, or a `.js` or `.ts` file as it is pushed.
    file: PathBuf,
    /// What it is called with: a file, such as `callback.json` of a new project or what `ringback --json callback show ID`
    /// prints, or the id of a callback that the server has received [default: an empty one].
    #[arg(long, value_name = "FILE|ID")]
    callback: Option<String>,
    /// What is asked of it: condition, verifier, parser, step or responder [default: what the file says, or the only one].
    #[arg(long, value_name = "ROLE", value_parser = super::parse_role)]
    role: Option<Role>,
    /// Its configuration, as JSON [default: what the file says].
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
}

impl Run {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        let Self { file, callback, role, config } = self;
        let mut case = match &callback {
            None => Map::new(),
            Some(named) => case(named, connection).await?,
        };
        if let Some(config) = config {
            let config = serde_json::from_str(&config)
                .map_err(|error| CliError::Refused(format!("the configuration is not JSON: {error}")))?;
            case.insert("config".to_owned(), config);
        }
        let (kind, bytes) = super::taken(&file)?;
        let local = Local::open(&[])?;
        let upload = local.upload(kind, bytes).await?;
        let record = upload.record(1);
        let role = role_of(role, case.get("role"), &record.roles)?;
        case.insert("role".to_owned(), to_json!(role));
        let plugin = file.file_stem().unwrap_or_default().to_string_lossy().parse();
        let version = upload.version(&plugin.unwrap_or_else(|_| Name::default_name()));
        let tried = async || {
            let tried = version.try_case(&Name::default_name(), case.clone()).await;
            tried.map_err(|problem| {
                let named = callback.as_deref().unwrap_or("the callback");
                CliError::Refused(format!(
                    "{named}: {problem}; a body alone stands as `{{ \"callback\": {{ \"body\": … }} }}`"
                ))
            })
        };
        // The first call pays for what the next ones find in memory, as on a server that has just started.
        tried().await?;
        let tried = tried().await?;
        let limits = Limits::of(&limits().call, role, record.large);
        match connection.json {
            true => json(&limits.to_json(&tried)),
            false => limits.show(&tried),
        }
        match (tried.answer, tried.expected) {
            (_, Some(Err(problem))) => Err(CliError::Refused(format!("that is not what the case expects: {problem}"))),
            (Err(error), None) => Err(CliError::Refused(error.to_string())),
            _ => Ok(()),
        }
    }
}

/// The role that is asked.
fn role_of(wanted: Option<Role>, said: Option<&Value>, roles: &[Role]) -> Result<Role, CliError> {
    let said = match said.and_then(Value::as_str) {
        Some(text) => {
            Some(super::parse_role(text).map_err(|allowed| CliError::Refused(format!("the role {text}: {allowed}")))?)
        }
        None => None,
    };
    let names = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted.or(said), roles) {
        (Some(role), roles) if roles.contains(&role) => Ok(role),
        (Some(role), _) => Err(CliError::Refused(format!("the plugin is no {role}; it is a {names}"))),
        (None, [role]) => Ok(*role),
        (None, _) => Err(CliError::Refused(format!("the plugin has several roles; choose one with --role: {names}"))),
    }
}

/// What a plugin is called with: what a file says, or a callback of the server.
async fn case(named: &str, connection: &Connection) -> Result<Map<String, Value>, CliError> {
    let path = Path::new(named);
    let value: Value = if !path.exists() && named.parse::<CallbackId>().is_ok() {
        Client::new(connection)?.get(&format!("/v1/callbacks/{}", segment(named))).await?
    } else {
        serde_json::from_slice(&read(path)?)
            .map_err(|error| CliError::Refused(format!("{named} is not JSON: {error}")))?
    };
    if value.get("received_at").is_some() && value.get("outcome").is_some() {
        let record: CallbackRecord = serde_json::from_value(value)
            .map_err(|error| CliError::Refused(format!("{named} cannot be read: {error}")))?;
        return Ok(of_record(&record));
    }
    match value {
        Value::Object(case) => Ok(case),
        _ => Err(CliError::Refused(format!("{named} is no JSON object"))),
    }
}

/// A callback that was received, as it is called with again.
fn of_record(record: &CallbackRecord) -> Map<String, Value> {
    let mut headers = Map::new();
    for (name, value) in &record.headers {
        let joined = match headers.get(name).and_then(Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        headers.insert(name.clone(), joined.into());
    }
    let separator = if record.query.is_empty() { "" } else { "?" };
    let mut callback = to_json!({
        "method": record.method,
        "url": format!("https://example.test{}{separator}{}", record.path, record.query),
        "headers": headers,
        "environment": record.environment,
    });
    let body = [("body", &record.body), ("body_base64", &record.body_base64)];
    for (name, text) in body.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
        callback[name] = text.as_str().into();
    }
    if let Some(flow) = &record.flow {
        callback["flow"] = to_json!(flow);
    }
    Map::from_iter([("callback".to_owned(), callback)])
}

/// The limits of a call.
struct Limits {
    role: Role,
    cpu: Duration,
    wall: Duration,
    memory_bytes: usize,
    log_lines: usize,
    result_bytes: usize,
}

impl Limits {
    fn of(limits: &CallLimits, role: Role, large: bool) -> Self {
        let memory_bytes = if large { limits.large_memory_bytes } else { limits.memory_bytes };
        let (cpu, wall) = (limits.cpu(role), limits.wall(role));
        Self { role, cpu, wall, memory_bytes, log_lines: limits.log_lines, result_bytes: limits.result_bytes }
    }

    /// What was used of each, in the order in which it is shown: of what, how much, and the limit.
    fn uses(&self, tried: &Tried) -> Vec<(&'static str, u64, u64)> {
        let micros = |limit: Duration| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let usage = &tried.usage;
        let mut uses = vec![
            ("cpu", usage.cpu_us.unwrap_or_default(), micros(self.cpu)),
            ("wall clock", usage.duration_us, micros(self.wall)),
            ("memory", usage.memory_bytes, self.memory_bytes as u64),
            ("log", usage.log.len() as u64, self.log_lines as u64),
        ];
        uses.extend(tried.result_bytes.map(|bytes| ("result", bytes as u64, self.result_bytes as u64)));
        uses
    }

    fn show(&self, tried: &Tried) {
        match &tried.answer {
            Ok(answer) => lines(&serde_json::to_string_pretty(answer).unwrap_or_default()),
            Err(error) => line(&format!("the {} fails: {}", self.role, error.code())),
        }
        line("");
        for text in &tried.usage.log {
            line(&format!("  | {text}"));
        }
        for (what, used, limit) in self.uses(tried) {
            let percent = used as f64 * 100.0 / limit.max(1) as f64;
            let [used, limit] = [used, limit].map(|amount| in_words(what, amount));
            line(&format!("  {what:<12} {used:>10} of {limit:>8}  {percent:>5.1} %"));
        }
    }

    fn to_json(&self, tried: &Tried) -> Value {
        let limits: Map<String, Value> =
            self.uses(tried).into_iter().map(|(what, _, limit)| (what.replace(' ', "_"), limit.into())).collect();
        let (answer, error) = match &tried.answer {
            Ok(answer) => (answer.clone(), Value::Null),
            Err(error) => (Value::Null, to_json!({ "code": error.code(), "detail": error.to_string() })),
        };
        to_json!({ "role": self.role, "answer": answer, "error": error, "usage": tried.usage, "limits": limits })
    }
}

/// An amount with its unit.
fn in_words(what: &str, amount: u64) -> String {
    match what {
        "cpu" | "wall clock" => format!("{:.2} ms", amount as f64 / 1000.0),
        "log" => format!("{amount} lines"),
        _ if amount >= 1 << 20 => format!("{:.1} MiB", amount as f64 / (1 << 20) as f64),
        _ => format!("{:.1} KiB", amount as f64 / 1024.0),
    }
}
