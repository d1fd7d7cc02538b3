//! `ringback setting …`.

use super::CliError;
use super::client::Client;
use super::output::{items, json, table, text};
use serde_json::Value;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Setting {
    /// List the settings of the server, with what says each.
    List,
}

impl Setting {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        let Self::List = self;
        let settings = client.get("/v1/settings").await?;
        if client.json {
            json(&settings);
            return Ok(());
        }
        let row = |setting: &Value| {
            let value = setting.get("value").map(Value::to_string).unwrap_or_default();
            vec![text(setting, "name"), value, text(setting, "source")]
        };
        let rows: Vec<Vec<String>> = items(&settings).iter().map(row).collect();
        table(&["SETTING", "VALUE", "SAID BY"], &rows, "no settings");
        Ok(())
    }
}
