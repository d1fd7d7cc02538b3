//! `ringback ticket …`.

use super::client::{Client, segment};
use super::output::{items, json, line, table, text};
use super::{CliError, read};
use serde_json::{Map, Value};
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Ticket {
    /// Make a ticket, and print its URL.
    Create(Box<Create>),
    /// List the tickets, newest first.
    List {
        /// Only with this status: open, called, closed, expired or gone.
        #[arg(long)]
        status: Option<String>,
        /// Most tickets, 1 to 200 [default: 50].
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u32>,
    },
    /// Show a ticket.
    Show {
        /// As `ringback ticket list` shows it.
        id: String,
    },
    /// Close a ticket: its URL answers 410 from then on.
    Close {
        /// As `ringback ticket list` shows it.
        id: String,
    },
}

/// What is done on a call, how often, and what the caller gets.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Start this flow on a call.
    #[arg(long, value_name = "FLOW", conflicts_with_all = ["execution", "plugin"])]
    flow: Option<String>,
    /// Let this execution go on, at --trigger.
    #[arg(long, value_name = "ID", requires = "trigger", conflicts_with = "plugin")]
    execution: Option<String>,
    /// The trigger that the execution waits at, or will.
    #[arg(long, value_name = "TRIGGER", requires = "execution")]
    trigger: Option<String>,
    /// Let this responder plugin answer.
    #[arg(long, value_name = "PLUGIN")]
    plugin: Option<String>,
    /// The plugin's configuration: a file with JSON, or - for standard input.
    #[arg(long, value_name = "FILE", requires = "plugin")]
    with: Option<PathBuf>,
    /// The environment of the flow or the plugin [default: default].
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Send the caller to a path of this host, or to a URL that the settings allow.
    #[arg(long, value_name = "URL")]
    redirect: Option<String>,
    /// The status of the answer [default: 200; of a redirect 302 for GET, else 303].
    #[arg(long, value_name = "STATUS")]
    code: Option<u16>,
    /// The body of the answer.
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// A header of the answer; may be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The state of a URL that others have already, a random UUID [default: a new one].
    #[arg(long, value_name = "UUID")]
    state: Option<String>,
    /// Put the state into this query parameter, in place of the path.
    #[arg(long, value_name = "NAME")]
    state_parameter: Option<String>,
    /// Let an unsuccessful call leave the ticket open.
    #[arg(long)]
    retryable: bool,
    /// Keep it open until it is closed by hand.
    #[arg(long)]
    allow_multiple: bool,
    /// Ask for a click on GET, so that mail scanners do not use it up.
    #[arg(long)]
    confirm: bool,
    /// Scheme and host of its URL, such as https://pay.example.com [default: the server's own].
    #[arg(long, value_name = "URL")]
    alternative_domain: Option<String>,
    /// How long it can be called, such as 15m, 1h or 30d; 3650d at most [default: until it is closed].
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
}

impl Ticket {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Create(create) => {
                let ticket = client.post("/v1/tickets", &create.request()?).await?;
                if client.json { json(&ticket) } else { line(&text(&ticket, "url")) }
            }
            Self::List { status, limit } => {
                let list = client.get_first("/v1/tickets", &[("status", status)], limit).await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let row = |ticket: &Value| {
                    let of = |name| text(ticket, name);
                    vec![of("id"), of("status"), handler(ticket), of("created_at"), of("expires_at")]
                };
                let rows: Vec<_> = items(&list).iter().map(row).collect();
                table(&["TICKET", "STATUS", "HANDLER", "CREATED", "EXPIRES"], &rows, "no tickets");
            }
            Self::Show { id } => json(&client.get(&path(&id)).await?),
            Self::Close { id } => {
                client.delete(&path(&id)).await?;
                client.done(&format!("{id} is closed"));
            }
        }
        Ok(())
    }
}

impl Create {
    /// What the API takes.
    fn request(self) -> Result<Value, CliError> {
        let mut handler = Map::new();
        for (name, value) in
            [("flow", self.flow), ("execution", self.execution), ("trigger", self.trigger), ("plugin", self.plugin)]
        {
            handler.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        if let Some(file) = self.with {
            let with: Value = ringback_records::json::from_slice(&read(&file)?)
                .map_err(|error| CliError::Refused(format!("{} is not JSON: {error}", file.display())))?;
            handler.insert("with".to_owned(), with);
        }
        let mut headers = Map::new();
        for header in self.headers {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                CliError::Refused(format!("`{header}` is no header; write it like --header 'x-name: value'"))
            })?;
            headers.insert(name.trim().to_owned(), value.trim().into());
        }
        let mut response = Map::new();
        let kind = self.redirect.is_some().then(|| "redirect".into());
        for (name, value) in [
            ("type", kind),
            ("redirect_url", self.redirect.map(Value::from)),
            ("code", self.code.map(Value::from)),
            ("body", self.body.map(Value::from)),
            ("headers", (!headers.is_empty()).then_some(Value::Object(headers))),
        ] {
            response.extend(value.map(|value| (name.to_owned(), value)));
        }
        let mut request = serde_json::json!({
            "environment": self.environment, "state": self.state, "state_parameter": self.state_parameter, "retryable": self.retryable,
            "allow_multiple": self.allow_multiple, "confirm": self.confirm,
            "alternative_domain": self.alternative_domain, "expires_in": self.expires_in,
        });
        for (name, object) in [("handler", handler), ("response", response)] {
            if let Some(request) = request.as_object_mut().filter(|_| !object.is_empty()) {
                request.insert(name.to_owned(), Value::Object(object));
            }
        }
        Ok(request)
    }
}

/// What is done on a call, in a few words.
fn handler(ticket: &Value) -> String {
    let Some(handler) = ticket.get("handler") else { return "stored response".to_owned() };
    let part = |name| text(handler, name);
    match (part("execution"), part("flow"), part("plugin")) {
        (execution, _, _) if !execution.is_empty() => format!("{} of {execution}", part("trigger")),
        (_, flow, _) if !flow.is_empty() => format!("flow {flow}"),
        (_, _, plugin) => format!("plugin {plugin}"),
    }
}

fn path(id: &str) -> String {
    format!("/v1/tickets/{}", segment(id))
}
