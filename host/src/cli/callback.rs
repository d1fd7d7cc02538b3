//! `ringback callback …`.

use super::client::{Client, ClientError, ServerEvent, query, segment, several};
use super::output::{announce, items, json, line, note, table, text};
use super::{CliError, read};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::trace::{PluginUse, Verdict};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Callback {
    /// List callbacks, newest first.
    #[command(after_help = LIST_EXAMPLES)]
    List(Box<Wanted>),
    /// Show callbacks as they come, until it is interrupted.
    #[command(after_help = TAIL_EXAMPLES)]
    Tail(Box<Filters>),
    /// Count callbacks over time, by outcome.
    #[command(after_help = COUNT_EXAMPLES)]
    Count {
        /// Only this flow's.
        #[arg(long, value_name = "NAME")]
        flow: Option<String>,
        /// Since when: 2026-01-31T08:00:00Z, or how long ago: 15m, 24h, 30d [default: 1h].
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only those that came before this time.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// How long a line's part of the time is, such as 10s, 5m or 1h [default: a sixtieth, or a little more].
        #[arg(long, value_name = "DURATION")]
        step: Option<String>,
    },
    /// Show a callback as it was received, with its answer and its trace.
    Show {
        /// As `ringback callback list` shows it, and the header Ringback-Callback of the answer.
        id: String,
    },
    /// Take a callback through the stages again, as a new one.
    Replay {
        /// As `ringback callback list` shows it.
        id: String,
        /// Say what would happen, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Another body than it came with, from a file; - for standard input.
        #[arg(long, value_name = "FILE")]
        body: Option<PathBuf>,
    },
    /// Say which stage decided about a callback, and why.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain {
        /// As `ringback callback list` shows it, and the header Ringback-Callback of the answer.
        id: String,
    },
}

/// Which are listed.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    filters: Filters,
    /// Only those that came at this time or later: 2026-01-31T08:00:00Z, or how long ago: 15m, 24h, 30d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that came before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Most callbacks, 1 to 200 [default: 50].
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

/// What they are about.
#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// Only this flow's.
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    /// Only this trigger's, by its id.
    #[arg(long, value_name = "ID")]
    trigger: Option<String>,
    /// Only this ticket's, by its id.
    #[arg(long, value_name = "ID")]
    ticket: Option<String>,
    /// Only those about this execution, by its id.
    #[arg(long, value_name = "ID")]
    execution: Option<String>,
    /// Only those of this environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only with one of these outcomes: started, resumed, kept, answered, ignored, duplicate, rejected or failed; several
    /// with commas between them.
    #[arg(long, value_name = "OUTCOMES")]
    outcome: Vec<String>,
    /// Only where this is in the stage that decided or in its reason, whatever the case.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only where this is in the path, the query, the headers or the body, as they are kept, whatever the case.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only where this is in any of these, or in the id of the callback or of its execution, whatever the case.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

impl Filters {
    fn pairs(self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("flow", self.flow),
            ("trigger", self.trigger),
            ("ticket", self.ticket),
            ("execution", self.execution),
            ("environment", self.environment),
            ("outcome", several(&self.outcome)),
            ("reason", self.reason),
            ("text", self.text),
            ("search", self.search),
        ]
    }
}

impl Wanted {
    fn filters(self) -> Vec<(&'static str, Option<String>)> {
        let mut pairs = self.filters.pairs();
        pairs.extend([("since", self.since), ("until", self.until)]);
        pairs
    }
}

const TAIL_EXAMPLES: &str = "\
Examples:
  ringback callback tail --outcome rejected,failed
  ringback --json callback tail --flow orders | jq .decided_by.reason";

const COUNT_EXAMPLES: &str = "\
Examples:
  ringback callback count --since 24h --step 1h
  ringback callback count --flow orders";

const LIST_EXAMPLES: &str = "\
Examples:
  ringback callback list --outcome rejected,failed --since 1h
  ringback callback list --flow orders --reason signature
  ringback callback list --text o-1027 --until 2026-01-31T08:00:00Z";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  ringback callback list --outcome rejected     shows the ids
  ringback callback explain 0199c1c4-52b6-7e6c-8f5a-0d6c6f3f2a11";

impl Callback {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::List(wanted) => {
                let limit = wanted.limit;
                let list = client.get_first("/v1/callbacks", &wanted.filters(), limit).await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> = items(&list)
                    .iter()
                    .map(|record| {
                        let status = record.get("reply").map(|reply| text(reply, "status")).unwrap_or_default();
                        let columns = ["id", "flow", "trigger", "method", "outcome"];
                        let mut row: Vec<String> = columns.iter().map(|name| text(record, name)).collect();
                        row.extend([status, text(record, "received_at")]);
                        row
                    })
                    .collect();
                let header = ["CALLBACK", "FLOW", "TRIGGER", "METHOD", "OUTCOME", "ANSWER", "RECEIVED"];
                table(&header, &rows, "no callbacks");
            }
            Self::Tail(filters) => tail(client, &format!("/v1/callbacks/tail{}", query(&filters.pairs()))).await?,
            Self::Count { flow, since, until, step } => {
                let pairs = [("flow", flow), ("since", since), ("until", until), ("step", step)];
                let counts = client.get(&format!("/v1/callbacks/counts{}", query(&pairs))).await?;
                match client.json {
                    true => json(&counts),
                    false => show_counts(&counts),
                }
            }
            Self::Replay { id, dry_run, body } => {
                let query = if dry_run { "?dry_run=true" } else { "" };
                let path = format!("/v1/callbacks/{}/replay{query}", segment(&id));
                let body = match body {
                    Some(file) => serde_json::json!({ "body_base64": STANDARD.encode(read(&file)?) }),
                    None => Value::Null,
                };
                let replay = client.post(&path, &body).await?;
                if client.json {
                    json(&replay);
                    return Ok(());
                }
                let status = replay.get("reply").map(|reply| text(reply, "status")).unwrap_or_default();
                let would = if dry_run { "would be " } else { "" };
                line(&format!("{would}{}, answered {status}", text(&replay, "outcome")));
                for (what, name) in [("execution", "execution"), ("recorded as", "callback")] {
                    let value = text(&replay, name);
                    if !value.is_empty() && !dry_run {
                        line(&format!("{what} {value}"));
                    }
                }
                line("");
                for entry in replay.get("trace").and_then(Value::as_array).into_iter().flatten() {
                    let (stage, verdict) = (text(entry, "stage"), text(entry, "verdict"));
                    line(&format!("{stage:<10} {verdict:<8} {}", text(entry, "reason")));
                }
            }
            Self::Show { id } => json(&find(client, &id).await?),
            Self::Explain { id } => {
                let value = find(client, &id).await?;
                if client.json {
                    json(&value);
                    return Ok(());
                }
                let record: CallbackRecord = serde_json::from_value(value)
                    .map_err(|error| CliError::Refused(format!("the server's answer cannot be read: {error}")))?;
                explain(&record);
            }
        }
        Ok(())
    }
}

/// How long a server that has ended is waited for.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(30);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Prints callbacks as they come. A server that ends is waited for, and what came in between is not left out.
async fn tail(client: &Client, path: &str) -> Result<(), CliError> {
    let mut after = None;
    let mut heard = Instant::now();
    loop {
        let told = listen(client, path, &mut after, &mut heard).await;
        match told {
            Ok(()) => {}
            Err(error @ ClientError::Unreachable { .. }) if after.is_none() => return Err(error.into()),
            Err(ClientError::Unreachable { .. }) if heard.elapsed() < COMES_BACK_WITHIN => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
}

async fn listen(
    client: &Client,
    path: &str,
    after: &mut Option<String>,
    heard: &mut Instant,
) -> Result<(), ClientError> {
    let mut events = client.events(path, after.as_deref()).await?;
    *heard = Instant::now();
    while let Some(ServerEvent { kind, id, data }) = events.next().await? {
        *heard = Instant::now();
        if id.is_some() {
            *after = id;
        }
        match kind.as_str() {
            "callback" if client.json => announce(&data),
            "callback" => announce_callback(&serde_json::from_str(&data).unwrap_or_default()),
            "missed" => note("ringback: more came than could be told; `ringback callback list` has them all"),
            _ => {}
        }
    }
    Ok(())
}

fn announce_callback(callback: &Value) {
    let status = callback.get("reply").map(|reply| text(reply, "status")).unwrap_or_default();
    let decision = callback.get("decided_by").unwrap_or(&Value::Null);
    let why = match text(decision, "stage") {
        stage if stage.is_empty() => String::new(),
        stage => format!("{stage}: {}", text(decision, "reason")),
    };
    let time = text(callback, "received_at");
    let to = format!("{} {}", text(callback, "flow"), text(callback, "trigger"));
    let (outcome, method, id) = (text(callback, "outcome"), text(callback, "method"), text(callback, "id"));
    announce(&format!("{time}  {id}  {outcome:<9}  {method} {status}  {}  {why}", to.trim()));
}

/// A line for each part of the time that has any, and one for all.
fn show_counts(counts: &Value) {
    let all = counts.get("outcomes").unwrap_or(&Value::Null);
    let columns: Vec<&str> =
        Outcome::ALL.into_iter().map(Outcome::as_str).filter(|name| all.get(name).is_some()).collect();
    let row = |from: String, outcomes: &Value| {
        let cells = columns
            .iter()
            .map(|name| text(outcomes, name))
            .map(|count| if count.is_empty() { "0".into() } else { count });
        [from].into_iter().chain(cells).collect::<Vec<String>>()
    };
    let parts = counts.get("parts").and_then(Value::as_array).into_iter().flatten();
    let parts = parts.filter_map(|part| Some((text(part, "from"), part.get("outcomes")?)));
    let mut rows: Vec<Vec<String>> = parts
        .filter(|(_, outcomes)| outcomes.as_object().is_some_and(|outcomes| !outcomes.is_empty()))
        .map(|(from, outcomes)| row(from, outcomes))
        .collect();
    if !rows.is_empty() {
        rows.push(row("all".to_owned(), all));
    }
    let upper: Vec<String> = columns.iter().map(|name| name.to_uppercase()).collect();
    let header: Vec<&str> = ["FROM"].into_iter().chain(upper.iter().map(String::as_str)).collect();
    table(&header, &rows, "no callbacks");
    let from = text(counts, "counted_from");
    if !from.is_empty() {
        note(&format!("ringback: counted from {from} on; there is more before that, ask for a shorter time"));
    }
}

async fn find(client: &Client, id: &str) -> Result<Value, CliError> {
    Ok(client.get(&format!("/v1/callbacks/{}", segment(id))).await?)
}

fn explain(record: &CallbackRecord) {
    let reason = record.deciding().map(|entry| format!(" by {}: {}", entry.stage, entry.reason)).unwrap_or_default();
    line(&format!("{}{reason}", record.outcome));
    line("");
    let to = match (&record.flow, &record.ticket) {
        (Some(flow), None) => format!("to the trigger {} of {flow}", record.trigger),
        (Some(flow), Some(ticket)) => format!("of the ticket {ticket} to the trigger {} of {flow}", record.trigger),
        (None, Some(ticket)) => format!("of the ticket {ticket}"),
        (None, None) => String::new(),
    };
    let CallbackRecord { method, path, body_bytes, received_at, .. } = record;
    line(&format!("{method} {path} {to}, {body_bytes} bytes, received {received_at}"));
    if let Some(reply) = &record.reply {
        line(&format!("answered {}", reply.status));
    }
    if let Some(first) = record.replay_of {
        line(&format!("repeats the callback {first}"));
    }
    if let Some(execution) = record.execution {
        line(&format!("execution {execution}"));
    }
    line("");
    for entry in &record.trace {
        let mark = match entry.verdict {
            Verdict::Passed => "passed",
            Verdict::Ignored => "ignored",
            Verdict::Refused => "refused",
            Verdict::Failed => "failed",
            Verdict::Unproved => "unproved",
        };
        line(&format!("{:<10} {mark:<8} {:>7} µs  {}", entry.stage.to_string(), entry.duration_us, entry.reason));
        entry.plugins.iter().for_each(explain_plugin);
    }
}

fn explain_plugin(usage: &PluginUse) {
    let PluginUse { plugin, digest, duration_us, cpu_us, memory_bytes, log, failure } = usage;
    let cpu = cpu_us.map(|used| format!(" ({used} of CPU)")).unwrap_or_default();
    let digest: String = digest.chars().take(12).collect();
    let failure = failure.as_ref().map(|code| format!(", {code}")).unwrap_or_default();
    line(&format!(
        "             plugin {plugin} {digest}: {duration_us} µs{cpu}, {} KiB of memory{failure}",
        memory_bytes / 1024
    ));
    for text in log {
        line(&format!("             | {text}"));
    }
}
