//! `ringback callback …`.

use super::CliError;
use super::client::{Client, segment, several};
use super::output::{items, json, line, table, text};
use ringback_records::outcome::CallbackRecord;
use ringback_records::trace::{PluginUse, Verdict};
use serde_json::Value;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Callback {
    /// List callbacks, newest first.
    #[command(after_help = LIST_EXAMPLES)]
    List(Box<Wanted>),
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
    /// Only those that came at this time or later: 2026-01-31T08:00:00Z, or how long ago: 15m, 24h, 30d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that came before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only where this is in the stage that decided or in its reason, whatever the case.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only where this is in the path, the query, the headers or the body, as they are kept, whatever the case.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Most callbacks, 1 to 200 [default: 50].
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

impl Wanted {
    fn filters(self) -> [(&'static str, Option<String>); 10] {
        [
            ("flow", self.flow),
            ("trigger", self.trigger),
            ("ticket", self.ticket),
            ("execution", self.execution),
            ("environment", self.environment),
            ("outcome", several(&self.outcome)),
            ("since", self.since),
            ("until", self.until),
            ("reason", self.reason),
            ("text", self.text),
        ]
    }
}

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
            Self::Replay { id, dry_run } => {
                let query = if dry_run { "?dry_run=true" } else { "" };
                let path = format!("/v1/callbacks/{}/replay{query}", segment(&id));
                let replay = client.post(&path, &Value::Null).await?;
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
