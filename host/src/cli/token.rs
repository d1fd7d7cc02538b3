//! `ringback token …`.

use super::CliError;
use super::client::{Client, segment};
use super::output::{items, json, line, table, text};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Token {
    /// Make a token; it is shown this once.
    Create {
        /// What it is for.
        name: String,
        /// What it opens.
        #[arg(long, value_enum, default_value = "author")]
        access: Access,
        /// How long it counts, such as 12h or 30d; 3650d at most [default: until it is removed].
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
    },
    /// List the tokens, without themselves.
    List,
    /// Say which token is used, and what it opens.
    Show,
    /// Remove a token.
    Remove {
        /// As `ringback token list` shows it.
        id: String,
    },
}

/// What a token opens.
#[derive(Clone, Copy, Debug, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Access {
    /// Read everything but secrets.
    Viewer,
    /// Deploy flows and plugins, set secrets, act on executions.
    Author,
    /// Make and remove tokens, and choose any workspace.
    Admin,
}

impl Token {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Create { name, access, expires_in } => {
                let body = serde_json::json!({ "name": name, "access": access, "expires_in": expires_in });
                let created = client.post("/v1/tokens", &body).await?;
                if client.json { json(&created) } else { line(&text(&created, "token")) }
            }
            Self::List => {
                let list = client.get_pages("/v1/tokens").await?;
                if client.json {
                    json(&list);
                    return Ok(());
                }
                let columns = ["id", "name", "access", "created_at", "expires_at"];
                let rows: Vec<Vec<String>> =
                    items(&list).iter().map(|token| columns.iter().map(|name| text(token, name)).collect()).collect();
                table(&["TOKEN", "NAME", "ACCESS", "CREATED", "EXPIRES"], &rows, "no tokens");
            }
            Self::Show => {
                let session = client.get("/v1/session").await?;
                if client.json {
                    json(&session);
                    return Ok(());
                }
                let columns = ["token", "name", "access", "workspace", "expires_at"];
                let row = columns.iter().map(|name| text(&session, name)).collect();
                table(&["TOKEN", "NAME", "ACCESS", "WORKSPACE", "EXPIRES"], &[row], "no token");
            }
            Self::Remove { id } => {
                client.delete(&format!("/v1/tokens/{}", segment(&id))).await?;
                client.done(&format!("{id} is removed"));
            }
        }
        Ok(())
    }
}
