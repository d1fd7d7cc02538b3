//! `ringback execution …`.

use super::CliError;
use super::client::{Client, segment, several};
use super::output::{items, json, line, table, text};
use serde_json::Value;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Execution {
    /// List executions, newest first.
    #[command(after_help = LIST_EXAMPLES)]
    List(Box<Wanted>),
    /// Show an execution step by step.
    Show {
        /// As `ringback execution list` shows it.
        id: String,
    },
    /// End an execution that runs or waits.
    Cancel {
        /// As `ringback execution list` shows it.
        id: String,
    },
    /// Let an execution that failed or timed out try its last step again.
    Retry {
        /// As `ringback execution list` shows it.
        id: String,
    },
}

/// Which are listed.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// Only this flow's.
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    /// Only with one of these statuses: running, waiting, completed, failed, timed-out or cancelled; several with commas
    /// between them.
    #[arg(long, value_name = "STATUSES")]
    status: Vec<String>,
    /// Only those that wait at this trigger, by its id.
    #[arg(long, value_name = "ID")]
    trigger: Option<String>,
    /// Only the one that this callback started, by its id.
    #[arg(long, value_name = "ID")]
    callback: Option<String>,
    /// Only those in this environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only those that began at this time or later: 2026-01-31T08:00:00Z, or how long ago: 15m, 24h, 30d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that began before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only where this is in the code or the message of the error, whatever the case.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Most executions, 1 to 200 [default: 50].
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

impl Wanted {
    fn filters(self) -> [(&'static str, Option<String>); 8] {
        [
            ("flow", self.flow),
            ("status", several(&self.status)),
            ("trigger", self.trigger),
            ("callback", self.callback),
            ("environment", self.environment),
            ("since", self.since),
            ("until", self.until),
            ("reason", self.reason),
        ]
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  ringback execution list --status failed,timed-out --since 24h
  ringback execution list --flow payment --status waiting";

impl Execution {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::List(wanted) => {
                let limit = wanted.limit;
                let list = client.get_first("/v1/executions", &wanted.filters(), limit).await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> = items(&list)
                    .iter()
                    .map(|run| {
                        ["id", "flow", "status", "waiting_at", "started_at"].map(|name| text(run, name)).to_vec()
                    })
                    .collect();
                table(&["EXECUTION", "FLOW", "STATUS", "WAITING AT", "STARTED"], &rows, "no executions");
            }
            Self::Cancel { id } => change(client, &id, "cancel", "is cancelled").await?,
            Self::Retry { id } => change(client, &id, "retry", "tries its last step again").await?,
            Self::Show { id } => {
                let run = client.get(&format!("/v1/executions/{}", segment(&id))).await?;
                if client.json {
                    json(&run);
                } else {
                    show(&run);
                }
            }
        }
        Ok(())
    }
}

async fn change(client: &Client, id: &str, what: &str, done: &str) -> Result<(), CliError> {
    let run = client.post(&format!("/v1/executions/{}/{what}", segment(id)), &Value::Null).await?;
    match client.json {
        true => json(&run),
        false => line(&format!("the execution {} {done}", text(&run, "id"))),
    }
    Ok(())
}

fn show(run: &Value) {
    line(&format!(
        "{} {} (flow {}, version {})",
        text(run, "id"),
        text(run, "status"),
        text(run, "flow"),
        text(run, "flow_version")
    ));
    line(&format!("started {} by callback {}", text(run, "started_at"), text(run, "callback")));
    for wait in run.get("waits").and_then(Value::as_array).into_iter().flatten() {
        let what = match text(wait, "trigger") {
            trigger if trigger.is_empty() => "for its time".to_owned(),
            trigger => format!("for a callback of {trigger}"),
        };
        let until = match text(wait, "until") {
            until if until.is_empty() => String::new(),
            until => format!(", until {until}"),
        };
        line(&format!("waits at {} {what}{until}", text(wait, "step")));
    }
    if let Some(error) = run.get("error").filter(|error| error.is_object()) {
        line(&format!("failed at {}: {} ({})", text(error, "step"), text(error, "message"), text(error, "code")));
    }
    let rows: Vec<Vec<String>> = run
        .get("journal")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|entry| {
            let mut rest = entry.as_object().cloned().unwrap_or_default();
            for shown in ["at", "step", "kind"] {
                rest.remove(shown);
            }
            let details: String = Value::Object(rest).to_string().chars().take(160).collect();
            vec![text(entry, "at"), text(entry, "step"), text(entry, "kind"), details]
        })
        .collect();
    line("");
    table(&["AT", "STEP", "WHAT", "DETAILS"], &rows, "no journal");
}
