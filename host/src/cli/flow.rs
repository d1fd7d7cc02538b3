//! `ringback flow …`.

mod files;

use super::client::{Client, query, segment};
use super::output::{items, json, line, lines, table, text};
use super::trial::{self, Judge, Request};
use super::{CliError, Connection, read};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Flow {
    /// Deploy a flow file.
    #[command(after_help = APPLY_EXAMPLES)]
    Apply {
        /// YAML or JSON; `-` for standard input.
        file: PathBuf,
        /// As a draft: its URLs are made and shown, and none answers until `flow enable`.
        #[arg(long)]
        disabled: bool,
    },
    /// Check a flow file as the server would, and deploy nothing.
    Check {
        /// YAML or JSON; `-` for standard input.
        file: PathBuf,
    },
    /// List the deployed flows.
    List,
    /// Show a flow with the URLs of its triggers, or the source of one version.
    Show {
        /// `NAME`, or `NAME@VERSION` for a source.
        name: String,
    },
    /// List the versions of a flow that are kept.
    Versions {
        /// As `ringback flow list` shows it.
        name: String,
    },
    /// Show what changed from one version of a flow to another.
    Diff {
        /// As `ringback flow list` shows it.
        name: String,
        /// A number of `ringback flow versions`.
        version: u32,
        /// Another one [default: the deployed version].
        other: Option<u32>,
    },
    /// Take a flow back to an earlier version: its source is deployed again, under a new number.
    Activate {
        /// As `ringback flow list` shows it.
        name: String,
        /// A number of `ringback flow versions`.
        version: u32,
    },
    /// Let a flow's URLs work again.
    Enable {
        /// As `ringback flow list` shows it.
        name: String,
    },
    /// Let a flow's URLs answer 404; its executions go on.
    Disable {
        /// As `ringback flow list` shows it.
        name: String,
    },
    /// Give a callback of a trigger another signature; those before it count until they are dropped.
    AddSignature {
        /// The flow.
        name: String,
        /// The trigger's id.
        trigger: String,
        /// The name of one of its callbacks.
        #[arg(long, value_name = "NAME", default_value = "main")]
        callback: String,
    },
    /// Drop a signature of a callback, by the characters that name it.
    DropSignature {
        /// The flow.
        name: String,
        /// The trigger's id.
        trigger: String,
        /// The characters that name it, as `ringback --json flow show NAME` shows them.
        signature: String,
        /// The name of one of its callbacks.
        #[arg(long, value_name = "NAME", default_value = "main")]
        callback: String,
    },
    /// Say what a trigger would make of a request that is made up; nothing is kept.
    #[command(after_help = TRY_EXAMPLES)]
    Try {
        #[command(flatten)]
        request: Box<Request>,
        /// A flow file [default: the one that is deployed].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Send a trigger a request that is made up, signed if wanted: it becomes a callback, and counts.
    Send(Box<Request>),
    /// Say what a trigger, with another condition or in another file, would have made of its last callbacks.
    #[command(after_help = JUDGE_EXAMPLES)]
    Judge(Judge),
    /// Remove a flow; its URLs are gone for good.
    Remove {
        /// As `ringback flow list` shows it.
        name: String,
    },
    /// Print the JSON Schema of flow files.
    Schema,
}

const TRY_EXAMPLES: &str = "\
Examples:
  ringback flow try orders order-received --body '{\"total\": 20}'
  ringback flow try orders order-received --body @order.json --sign --from 192.0.2.1 --file orders.yaml";

const JUDGE_EXAMPLES: &str = "\
Examples:
  ringback flow judge orders order-received --when 'data.total >= 400.0'
  ringback flow judge orders order-received --file orders.yaml --last 100";

const APPLY_EXAMPLES: &str = "\
A flow of one trigger is two lines:
  flow: hello
  steps: [{ trigger: Hook }]

Examples:
  ringback flow check orders.yaml     says what is wrong with it, with line and column
  ringback flow apply orders.yaml     deploys it, and shows its URLs: call one with `curl URL --json '{}'`
Files that its scripts name (`script: { file: checks/paid.js }`) are read beside it, and sent with it.";

impl Flow {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        // Editors ask for it where there is no server.
        if let Self::Schema = self {
            lines(ringback_rules::flow::SCHEMA.trim_end());
            return Ok(());
        }
        let client = &Client::new(connection)?;
        match self {
            Self::Schema => {}
            Self::Apply { file, disabled } => {
                let how = [("disabled", disabled.then(|| "true".to_owned()))];
                show(client, &apply(client, &file, &how).await?, "is deployed");
            }
            Self::Check { file } => {
                let how = [("dry_run", Some("true".to_owned()))];
                show(client, &apply(client, &file, &how).await?, "has no mistakes");
            }
            Self::Show { name } => match name.split_once('@') {
                None => show(client, &client.get(&path(&name)).await?, "is deployed"),
                Some((name, version)) => {
                    let version = client.get(&format!("{}/versions/{}", path(name), segment(version))).await?;
                    match client.json {
                        true => json(&version),
                        false => lines(text(&version, "source").trim_end()),
                    }
                }
            },
            Self::Versions { name } => {
                let list = client.get_pages(&format!("{}/versions", path(&name))).await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let row = |version: &Value| {
                    let state = if version["active"] == true { "deployed" } else { "" };
                    vec![
                        text(version, "version"),
                        state.to_owned(),
                        text(version, "deployed_at"),
                        text(version, "size_bytes"),
                    ]
                };
                let rows: Vec<Vec<String>> = items(&list).iter().map(row).collect();
                table(&["VERSION", "STATE", "DEPLOYED", "BYTES"], &rows, "no versions");
            }
            Self::Diff { name, version, other } => {
                let to = query(&[("to", other.map(|other| other.to_string()))]);
                let found = client.get(&format!("{}/versions/{version}/diff{to}", path(&name))).await?;
                if client.json {
                    json(&found);
                    return Ok(());
                }
                line(&format!("{name}: from version {} to version {}", text(&found, "from"), text(&found, "to")));
                match text(&found, "diff").trim_end() {
                    "" => line("no difference"),
                    difference => lines(difference),
                }
            }
            Self::Activate { name, version } => {
                let body = serde_json::json!({ "version": version });
                let what = format!("runs what version {version} was");
                show(client, &client.put(&format!("{}/active", path(&name)), &body).await?, &what);
            }
            Self::Enable { name } => {
                show(client, &client.post(&format!("{}/enable", path(&name)), &Value::Null).await?, "is enabled");
            }
            Self::Disable { name } => {
                show(client, &client.post(&format!("{}/disable", path(&name)), &Value::Null).await?, "is disabled");
            }
            Self::AddSignature { name, trigger, callback } => {
                let changed = client.post(&signatures(&name, &trigger, &callback), &Value::Null).await?;
                show(client, &changed, "has another signature");
            }
            Self::DropSignature { name, trigger, signature, callback } => {
                let path = format!("{}/{}", signatures(&name, &trigger, &callback), segment(&signature));
                let flow = client.delete(&path).await?;
                client.done(&format!("{signature} is dropped"));
                if !client.json {
                    show_remarks(&flow);
                }
            }
            Self::Try { request, file } => trial::try_out(client, *request, whole(file.as_deref())?).await?,
            Self::Send(request) => trial::send(client, *request).await?,
            Self::Judge(judge) => {
                let flow = whole(judge.file.as_deref())?;
                judge.run(client, flow).await?;
            }
            Self::Remove { name } => {
                client.delete(&path(&name)).await?;
                client.done(&format!("{name} is removed"));
            }
            Self::List => {
                let list = client.get_pages("/v1/flows").await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> = items(&list)
                    .iter()
                    .map(|flow| {
                        let state = if flow["enabled"] == true { "enabled" } else { "disabled" };
                        vec![text(flow, "name"), text(flow, "version"), state.to_owned(), text(flow, "updated_at")]
                    })
                    .collect();
                table(
                    &["FLOW", "VERSION", "STATE", "CHANGED"],
                    &rows,
                    "no flows; deploy one with `ringback flow apply FILE`",
                );
            }
        }
        Ok(())
    }
}

fn path(name: &str) -> String {
    format!("/v1/flows/{}", segment(name))
}

/// A flow file with the scripts beside it.
fn whole(file: Option<&Path>) -> Result<Option<String>, CliError> {
    let Some(file) = file else { return Ok(None) };
    let source = files::with_files(file, read(file)?)?;
    let no_text = |_| CliError::Refused(format!("{} is not text", file.display()));
    String::from_utf8(source).map(Some).map_err(no_text)
}

/// The server takes the flow's name from the URL; the file says it too.
async fn apply(client: &Client, file: &Path, how: &[(&str, Option<String>)]) -> Result<Value, CliError> {
    let source = files::with_files(file, read(file)?)?;
    let text = String::from_utf8_lossy(&source);
    // A file whose name cannot be read has mistakes that the server reports.
    let name = ringback_rules::flow::parse(&text, 1)
        .map(|parsed| parsed.flow.name.to_string())
        .unwrap_or("unnamed".to_owned());
    let target = format!("{}{}", path(&name), query(how));
    let applied = client.upload(reqwest::Method::PUT, &target, "application/yaml", source).await;
    Ok(applied.map_err(|error| error.about(file))?)
}

fn show(client: &Client, flow: &Value, what: &str) {
    if client.json {
        return json(flow);
    }
    let state = if flow["enabled"] == false { ", disabled: no URL answers until `ringback flow enable`" } else { "" };
    line(&format!("{} {what} (version {}{state})", text(flow, "name"), text(flow, "version")));
    let triggers = flow.get("triggers").and_then(Value::as_array);
    for trigger in triggers.into_iter().flatten() {
        if trigger["face"] == "grexx" {
            line(&format!("  {} (grexx)  by tickets: `ringback ticket create`", text(trigger, "name")));
        }
        let callbacks = || trigger.get("callbacks").and_then(Value::as_array).into_iter().flatten();
        for (environment, faces) in trigger.get("urls").and_then(Value::as_object).into_iter().flatten() {
            for (face, url) in faces.as_object().into_iter().flatten() {
                let of_callback = |callback: &&Value| callback["urls"][environment] == *url;
                // A face with callbacks shows its first one here.
                let mut rows = vec![(String::new(), url)];
                if callbacks().any(|callback| of_callback(&callback)) {
                    let named = |callback: &Value| format!(", {}", text(callback, "name"));
                    rows = callbacks().map(|callback| (named(callback), &callback["urls"][environment])).collect();
                }
                for (callback, url) in rows {
                    let (name, url) = (text(trigger, "name"), url.as_str().unwrap_or_default());
                    line(&format!("  {name}{callback} ({face}, {environment})  {url}"));
                }
            }
        }
    }
    show_remarks(flow);
}

fn show_remarks(flow: &Value) {
    for (what, lines) in [("warning", "warnings"), ("note", "notes")] {
        for text in flow.get(lines).and_then(Value::as_array).into_iter().flatten() {
            line(&format!("  {what}: {}", text.as_str().unwrap_or_default()));
        }
    }
}

fn signatures(name: &str, trigger: &str, callback: &str) -> String {
    format!("{}/triggers/{}/callbacks/{}/signatures", path(name), segment(trigger), segment(callback))
}
