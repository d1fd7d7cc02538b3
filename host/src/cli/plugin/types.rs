//! `ringback plugin types`: types of the data of callbacks, from callbacks that came and from files.

mod shape;
mod written;

use crate::cli::client::{Client, segment};
use crate::cli::output::{items, json, lines, note, text};
use crate::cli::{CliError, Connection, read};
use serde_json::{Value, json as to_json};
use shape::Shape;
use std::path::PathBuf;
use written::Written;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Types {
    /// JSON files: bodies of callbacks, or callbacks as `ringback --json callback show ID` prints them.
    files: Vec<PathBuf>,
    /// Language of the types: ts (for JavaScript, too), python or rust.
    #[arg(long, value_name = "LANGUAGE", value_parser = Written::parse, default_value = "ts")]
    lang: Written,
    /// Only callbacks of this flow, which the server has received, beside the files.
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    /// Only those of this trigger of the flow, by its id.
    #[arg(long, value_name = "ID", requires = "flow")]
    trigger: Option<String>,
    /// Most callbacks of the server, 1 to 200 [default: 50].
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

impl Types {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        let mut samples = Vec::new();
        for file in &self.files {
            let value: Value = serde_json::from_slice(&read(file)?)
                .map_err(|error| CliError::Refused(format!("{} is not JSON: {error}", file.display())))?;
            samples.push(data(value).ok_or_else(|| {
                CliError::Refused(format!("the body of the callback in {} is not JSON", file.display()))
            })?);
        }
        if let Some(flow) = &self.flow {
            samples.extend(received(&Client::new(connection)?, flow, self.trigger.as_ref(), self.limit).await?);
        }
        if samples.is_empty() {
            let text = match self.flow {
                None => {
                    "name a file with the body of a callback, or with --flow a flow that has received some".to_owned()
                }
                Some(flow) => format!("the flow {flow} has received no callback with a JSON body yet"),
            };
            return Err(CliError::Refused(text));
        }
        let mut shape = Shape::default();
        samples.iter().for_each(|sample| shape.add(sample));
        let types = self.lang.write(&shape, samples.len());
        match connection.json {
            true => json(&to_json!({ "types": types, "samples": samples.len() })),
            false => lines(types.trim_end()),
        }
        Ok(())
    }
}

/// The data of a callback as it is shown, or of a body itself.
fn data(value: Value) -> Option<Value> {
    let is_record = value.get("received_at").is_some() && value.get("outcome").is_some();
    if !is_record {
        return Some(value);
    }
    serde_json::from_str(value.get("body")?.as_str()?).ok()
}

/// The data of what a flow has received last.
async fn received(
    client: &Client,
    flow: &str,
    trigger: Option<&String>,
    limit: Option<u32>,
) -> Result<Vec<Value>, CliError> {
    let filters = [("flow", Some(flow.to_owned())), ("trigger", trigger.cloned())];
    let list = client.get_first("/v1/callbacks", &filters, limit).await?;
    let (mut samples, mut others) = (Vec::new(), 0);
    for callback in items(&list) {
        let record = client.get(&format!("/v1/callbacks/{}", segment(&text(callback, "id")))).await?;
        match data(record) {
            Some(data) => samples.push(data),
            None => others += 1,
        }
    }
    if others > 0 && !client.json {
        note(&format!("{others} callbacks are left out: their bodies are no JSON, or were not kept whole"));
    }
    Ok(samples)
}
