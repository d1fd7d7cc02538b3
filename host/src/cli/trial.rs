//! `ringback flow try`, `send` and `judge`: a trigger with a request that is made up, or with the callbacks that it has had.

use super::client::{Client, segment};
use super::output::{items, json, line, table, text};
use super::{CliError, read};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A request that is made up.
#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// The flow.
    name: String,
    /// The trigger's id.
    trigger: String,
    /// The body; @FILE reads a file, - standard input.
    #[arg(long, short, value_name = "TEXT")]
    body: Option<String>,
    /// `NAME: VALUE`; may be there several times [default: a body is application/json].
    #[arg(long, short = 'H', value_name = "HEADER")]
    header: Vec<String>,
    /// [default: POST, where the trigger takes it]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// As in a URL: a=1&b=2 [default: none].
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// [default: default]
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// [default: the first of the trigger]
    #[arg(long, value_name = "FACE")]
    face: Option<String>,
    /// The address that it is to come from [default: unknown].
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Let the server give it the proof that the trigger wants, by the secret that is stored.
    #[arg(long)]
    sign: bool,
}

/// What callbacks are judged by.
#[derive(Debug, clap::Args)]
pub(super) struct Judge {
    /// The flow.
    name: String,
    /// The trigger's id.
    trigger: String,
    /// Another condition, an expression [default: the deployed one].
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "file")]
    when: Option<String>,
    /// A flow file [default: the one that is deployed].
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// How many callbacks, the newest: 1 to 100 [default: 20].
    #[arg(long, value_name = "NUMBER")]
    last: Option<u32>,
}

fn path(name: &str, trigger: &str, what: &str) -> String {
    format!("/v1/flows/{}/triggers/{}/{what}", segment(name), segment(trigger))
}

fn text_of(file: &Path) -> Result<String, CliError> {
    String::from_utf8(read(file)?).map_err(|_| CliError::Refused(format!("{} is not text", file.display())))
}

impl Request {
    /// As the API takes it, with the path that it is for.
    fn into_call(self, what: &str) -> Result<(String, Map<String, Value>), CliError> {
        let mut headers = Map::new();
        for header in &self.header {
            let wrong = || CliError::Refused(format!("`{header}` is not a header: a name, a colon, and a value"));
            let (name, value) = header.split_once(':').ok_or_else(wrong)?;
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().into());
        }
        let body = self.body.map(|body| match body.strip_prefix('@').or_else(|| (body == "-").then_some("-")) {
            None => Ok(body),
            Some(file) => text_of(Path::new(file)),
        });
        let body = body.transpose()?;
        if body.is_some() {
            headers.entry("content-type").or_insert_with(|| "application/json".into());
        }
        let mut call = Map::new();
        for (name, value) in [
            ("body", body),
            ("method", self.method),
            ("query", self.query),
            ("environment", self.environment),
            ("face", self.face),
            ("address", self.from),
        ] {
            call.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        call.insert("headers".to_owned(), headers.into());
        call.insert("sign".to_owned(), self.sign.into());
        Ok((path(&self.name, &self.trigger, what), call))
    }
}

/// Says what would become of a request, by a file if one is given.
pub(super) async fn try_out(client: &Client, request: Request, flow: Option<String>) -> Result<(), CliError> {
    let (path, mut call) = request.into_call("try")?;
    call.extend(flow.map(|source| ("source".to_owned(), source.into())));
    let tried = client.post(&path, &call.into()).await?;
    if client.json {
        json(&tried);
        return Ok(());
    }
    let status = tried.get("reply").map(|reply| text(reply, "status")).unwrap_or_default();
    line(&format!("would be {}, answered {status}", text(&tried, "outcome")));
    line("");
    for entry in tried.get("trace").and_then(Value::as_array).into_iter().flatten() {
        line(&format!("{:<10} {:<8} {}", text(entry, "stage"), text(entry, "verdict"), text(entry, "reason")));
    }
    Ok(())
}

/// Sends a request as any caller would.
pub(super) async fn send(client: &Client, request: Request) -> Result<(), CliError> {
    let (path, call) = request.into_call("send")?;
    let sent = client.post(&path, &call.into()).await?;
    if client.json {
        json(&sent);
        return Ok(());
    }
    line(&format!("answered {}", sent.get("reply").map(|reply| text(reply, "status")).unwrap_or_default()));
    let callback = text(&sent, "callback");
    if !callback.is_empty() {
        line(&format!("recorded as {callback}"));
    }
    Ok(())
}

impl Judge {
    pub(super) async fn run(self, client: &Client, flow: Option<String>) -> Result<(), CliError> {
        let mut body = Map::new();
        body.extend(self.when.map(|when| ("when".to_owned(), when.into())));
        body.extend(self.last.map(|last| ("last".to_owned(), last.into())));
        body.extend(flow.map(|source| ("source".to_owned(), source.into())));
        let judged = client.post(&path(&self.name, &self.trigger, "judge"), &body.into()).await?;
        if client.json {
            json(&judged);
            return Ok(());
        }
        let row = |item: &Value| {
            let mark = if item["differs"] == json!(true) { "*" } else { "" };
            let columns = ["callback", "received_at", "then", "now", "reason"].map(|name| text(item, name));
            columns.into_iter().chain([mark.to_owned()]).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<String>> = items(&judged).iter().map(row).collect();
        table(&["CALLBACK", "RECEIVED", "THEN", "NOW", "WHY", ""], &rows, "no callbacks that it could be tried on");
        if !rows.is_empty() {
            line(&format!("{} of {} would be another", text(&judged, "changed"), rows.len()));
        }
        match text(&judged, "left_out").as_str() {
            "" | "0" => {}
            count => line(&format!("{count} left out: nobody proved them, or their environment is gone")),
        }
        Ok(())
    }
}
