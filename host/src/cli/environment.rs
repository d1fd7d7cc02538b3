//! `ringback environment …` and `ringback var …`.

use super::CliError;
use super::client::{Client, segment};
use super::output::{items, json, line, table, text};
use serde_json::Value;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Environment {
    /// Make an environment, or change its prefix in URLs; without a flag it keeps the one that it has.
    Set {
        /// Lower case letters, digits, `-` and `_`.
        name: String,
        /// What names it in URLs; those with an earlier prefix end.
        #[arg(long, value_name = "PREFIX")]
        url_prefix: Option<String>,
        /// Take its prefix away: its URLs end.
        #[arg(long, conflicts_with = "url_prefix")]
        no_url_prefix: bool,
    },
    /// List the environments.
    List,
    /// Remove an environment with its variables and secrets.
    Remove {
        /// As `ringback environment list` shows it.
        name: String,
    },
}

impl Environment {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        let path = |name: &str| format!("/v1/environments/{}", segment(name));
        match self {
            Self::Set { name, url_prefix, no_url_prefix } => {
                let url_prefix = match url_prefix {
                    None if !no_url_prefix => {
                        let list = client.get("/v1/environments").await?;
                        items(&list)
                            .iter()
                            .find(|known| known["name"] == *name)
                            .map(|known| known["url_prefix"].clone())
                    }
                    given => given.map(Value::from),
                };
                let set = client.put(&path(&name), &serde_json::json!({ "url_prefix": url_prefix })).await?;
                if client.json {
                    json(&set);
                    return Ok(());
                }
                line(&format!("{name} is stored"));
                for warning in set.get("warnings").and_then(Value::as_array).into_iter().flatten() {
                    line(&format!("  warning: {}", warning.as_str().unwrap_or_default()));
                }
            }
            Self::List => {
                let list = client.get("/v1/environments").await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> =
                    items(&list).iter().map(|entry| vec![text(entry, "name"), text(entry, "url_prefix")]).collect();
                table(&["ENVIRONMENT", "URL PREFIX"], &rows, "no environments");
            }
            Self::Remove { name } => {
                client.delete(&path(&name)).await?;
                client.done(&format!("{name} is removed"));
            }
        }
        Ok(())
    }
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Var {
    /// Set a variable, which flows see as `vars.NAME`.
    Set {
        /// Letters, digits and `_`.
        name: String,
        /// Text; with --as-json, JSON of any shape.
        value: String,
        /// Take the value as JSON, not as text.
        #[arg(long)]
        as_json: bool,
        /// The environment that it is of.
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
    },
    /// List the variables that an environment has itself.
    List {
        /// The environment that it is of.
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
    },
    /// Remove a variable.
    Remove {
        /// As `ringback var list` shows it.
        name: String,
        /// The environment that it is of.
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
    },
}

impl Var {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        let path =
            |name: &str, environment: &str| format!("/v1/vars/{}?environment={}", segment(name), segment(environment));
        match self {
            Self::Set { name, value, as_json, environment } => {
                let value: serde_json::Value = match as_json {
                    false => value.into(),
                    true => ringback_records::json::from_slice(value.as_bytes())
                        .map_err(|error| CliError::Refused(format!("the value is not JSON: {error}")))?,
                };
                client.put(&path(&name, &environment), &serde_json::json!({ "value": value })).await?;
                client.done(&format!("{name} is stored"));
            }
            Self::List { environment } => {
                let list = client.get(&format!("/v1/vars?environment={}", segment(&environment))).await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let row = |entry: &serde_json::Value| vec![text(entry, "name"), entry["value"].to_string()];
                let rows: Vec<Vec<String>> = items(&list).iter().map(row).collect();
                table(&["VARIABLE", "VALUE"], &rows, "no variables");
            }
            Self::Remove { name, environment } => {
                client.delete(&path(&name, &environment)).await?;
                client.done(&format!("{name} is removed"));
            }
        }
        Ok(())
    }
}
