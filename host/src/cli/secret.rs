//! `ringback secret …`.

use super::client::{Client, segment};
use super::output::{items, json, note, table, text};
use super::{CliError, read};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Secret {
    /// Store a secret; the value is read from standard input, so that it is in no shell history.
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// Letters, digits and `_`; flows name it: `verify: { scheme: github, secret: NAME }`.
        name: String,
        /// Read the value from a file [default: from standard input].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The environment that it is of.
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
        /// How long the value before it counts too, such as 90s, 15m, 24h or 30d; 3650d at most [default: it ends at once].
        #[arg(long, value_name = "DURATION")]
        keep_previous: Option<String>,
    },
    /// End the earlier values of a secret, which count beside the newest.
    Retire {
        /// As `ringback secret list` shows it.
        name: String,
        /// The environment that it is of.
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
    },
    /// List the names of secrets.
    List,
    /// Remove a secret.
    Remove {
        /// As `ringback secret list` shows it.
        name: String,
        /// The environment that it is of.
        #[arg(long, value_name = "NAME", default_value = "default")]
        environment: String,
    },
}

const SET_EXAMPLES: &str = "\
Examples:
  openssl rand -hex 32 | ringback secret set GITHUB_SECRET
  ringback secret set GITHUB_SECRET --file new.txt --keep-previous 24h     both values count for a day";

impl Secret {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Set { name, file, environment, keep_previous } => {
                if file.is_none() && std::io::stdin().is_terminal() {
                    note(&format!("type the value of {name}, then ctrl-d:"));
                }
                let bytes = read(file.as_deref().unwrap_or(Path::new("-")))?;
                let value =
                    String::from_utf8(bytes).map_err(|_| CliError::Refused("a secret must be text".to_owned()))?;
                // The line break that ends the input is not meant.
                let value = value.strip_suffix('\n').map(|v| v.strip_suffix('\r').unwrap_or(v)).unwrap_or(&value);
                let body = serde_json::json!({ "value": value, "keep_previous": keep_previous });
                client.put(&path(&name, "", &environment), &body).await?;
                client.done(&format!("{name} is stored"));
            }
            Self::Retire { name, environment } => {
                client.delete(&path(&name, "/previous", &environment)).await?;
                client.done(&format!("only the newest value of {name} counts"));
            }
            Self::List => {
                let list = client.get_pages("/v1/secrets").await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let rows: Vec<Vec<String>> = items(&list)
                    .iter()
                    .map(|entry| {
                        let previous = entry["previous"].as_array().map(Vec::as_slice).unwrap_or_default();
                        let previous = previous
                            .iter()
                            .map(|previous| format!("{} until {}", text(previous, "version"), text(previous, "until")));
                        let previous = previous.collect::<Vec<_>>().join(", ");
                        let of = |name| text(entry, name);
                        vec![of("name"), of("environment"), of("version"), of("updated_at"), previous]
                    })
                    .collect();
                table(&["SECRET", "ENVIRONMENT", "VERSION", "CHANGED", "ALSO COUNTS"], &rows, "no secrets");
            }
            Self::Remove { name, environment } => {
                client.delete(&path(&name, "", &environment)).await?;
                client.done(&format!("{name} is removed"));
            }
        }
        Ok(())
    }
}

fn path(name: &str, part: &str, environment: &str) -> String {
    format!("/v1/secrets/{}{part}?environment={}", segment(name), segment(environment))
}
