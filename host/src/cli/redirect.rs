//! `ringback redirect-origin …`.

use super::CliError;
use super::client::{Client, query};
use super::output::{items, json, line, table, text};

const PATH: &str = "/v1/redirect-origins";

#[derive(Debug, clap::Subcommand)]
pub(super) enum RedirectOrigin {
    /// Let callers of the workspace be sent to an origin.
    Add {
        /// Like https://shop.example.com.
        origin: String,
    },
    /// List the origins that callers of the workspace may be sent to.
    List,
    /// Take an origin back that was added.
    Remove {
        /// As `ringback redirect-origin list` shows it.
        origin: String,
    },
}

impl RedirectOrigin {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Add { origin } => {
                let added = client.post(PATH, &serde_json::json!({ "origin": origin })).await?;
                match client.json {
                    true => json(&added),
                    false => line(&format!("callers may be sent to {}", text(&added, "origin"))),
                }
            }
            Self::List => {
                let list = client.get(PATH).await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let row = |entry: &serde_json::Value| {
                    let since =
                        if entry["added_at"].is_string() { text(entry, "added_at") } else { "settings".to_owned() };
                    vec![text(entry, "origin"), since]
                };
                let rows: Vec<Vec<String>> = items(&list).iter().map(row).collect();
                table(&["ORIGIN", "SINCE"], &rows, "no origins: callers are sent to paths of the same host alone");
            }
            Self::Remove { origin } => {
                client.delete(&format!("{PATH}{}", query(&[("origin", Some(origin.clone()))]))).await?;
                client.done(&format!("{origin} is removed"));
            }
        }
        Ok(())
    }
}
