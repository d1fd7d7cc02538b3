//! `ringback secret …`.

use super::client::{Client, segment};
use super::output::{items, json, line, table, text};
use super::{CliError, read};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Secret {
    /// Store a secret; the value is read from standard input, so that it is in no shell history.
    Set {
        name: String,
        /// Read the value from a file instead.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
    },
    /// List the names of secrets.
    List,
    /// Remove a secret.
    Remove {
        name: String,
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
    },
}

impl Secret {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Set { name, file, environment } => {
                if file.is_none() && std::io::stdin().is_terminal() {
                    eprintln!("type the value of {name}, then ctrl-d:");
                }
                let bytes = read(file.as_deref().unwrap_or(Path::new("-")))?;
                let value =
                    String::from_utf8(bytes).map_err(|_| CliError::Refused("a secret must be text".to_owned()))?;
                // The line break that ends the input is not meant.
                let value = value.strip_suffix('\n').map(|v| v.strip_suffix('\r').unwrap_or(v)).unwrap_or(&value);
                client.put(&path(&name, &environment), &serde_json::json!({ "value": value })).await?;
                line(&format!("{name} is stored"));
            }
            Self::List => {
                let list = client.get("/v1/secrets").await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> = items(&list)
                    .iter()
                    .map(|entry| vec![text(entry, "name"), text(entry, "environment"), text(entry, "updated_at")])
                    .collect();
                table(&["SECRET", "ENVIRONMENT", "CHANGED"], &rows, "no secrets");
            }
            Self::Remove { name, environment } => {
                client.delete(&path(&name, &environment)).await?;
                line(&format!("{name} is removed"));
            }
        }
        Ok(())
    }
}

fn path(name: &str, environment: &str) -> String {
    format!("/v1/secrets/{}?environment={}", segment(name), segment(environment))
}
