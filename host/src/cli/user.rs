//! `ringback user …`.

use super::client::{Client, segment};
use super::output::{items, json, line, table, text};
use super::{CliError, read};
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(super) enum User {
    /// Make a user, or replace its properties or roles; what no flag names stays as it is.
    Set {
        /// Letters, digits and `.`, `_`, `@`, `+`, `-`.
        id: String,
        /// A file with a JSON object, or - for standard input; it replaces all properties.
        #[arg(long, value_name = "FILE")]
        properties: Option<PathBuf>,
        /// A role; may be repeated. They replace those that the user has.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Take all roles away.
        #[arg(long, conflicts_with = "roles")]
        no_roles: bool,
    },
    /// List the users.
    List,
    /// Show a user with its properties.
    Show {
        /// As `ringback user list` shows it.
        id: String,
    },
    /// Remove a user with its tokens.
    Remove {
        /// As `ringback user list` shows it.
        id: String,
    },
    /// Make a token that proves the user to triggers; it is shown this once.
    Token {
        /// As `ringback user list` shows it.
        id: String,
        /// How long it counts, such as 12h or 30d; 3650d at most [default: until it is revoked].
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
    },
    /// List the tokens of a user, without themselves.
    Tokens {
        /// As `ringback user list` shows it.
        id: String,
    },
    /// Revoke a token of a user: it proves nobody any more.
    Revoke {
        /// As `ringback user list` shows it.
        id: String,
        /// The id that `ringback user tokens` lists, not the token.
        token_id: String,
    },
}

impl User {
    pub(super) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Set { id, properties, roles, no_roles } => {
                let before = client.find(&path(&id)).await?.unwrap_or_default();
                let kept = |name: &str| before.get(name).cloned();
                let properties = match properties {
                    None => kept("properties").unwrap_or_else(|| serde_json::json!({})),
                    Some(file) => ringback_records::json::from_slice(&read(&file)?)
                        .map_err(|error| CliError::Refused(format!("{} is not JSON: {error}", file.display())))?,
                };
                let roles = match roles.is_empty() && !no_roles {
                    true => kept("roles").unwrap_or_else(|| serde_json::json!([])),
                    false => roles.into(),
                };
                let body = serde_json::json!({ "properties": properties, "roles": roles });
                let user = client.put(&path(&id), &body).await?;
                if client.json { json(&user) } else { line(&format!("{id} is stored")) }
            }
            Self::List => {
                let list = client.get_pages("/v1/users").await?;
                let roles = |user: &serde_json::Value| {
                    let roles = user["roles"].as_array().into_iter().flatten();
                    roles.filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(", ")
                };
                show(client, &list, &["USER", "ROLES", "CHANGED"], "no users", |user| {
                    vec![text(user, "id"), roles(user), text(user, "updated_at")]
                });
            }
            Self::Show { id } => json(&client.get(&path(&id)).await?),
            Self::Remove { id } => {
                client.delete(&path(&id)).await?;
                client.done(&format!("{id} is removed"));
            }
            Self::Token { id, expires_in } => {
                let body = serde_json::json!({ "expires_in": expires_in });
                let created = client.post(&format!("{}/tokens", path(&id)), &body).await?;
                if client.json { json(&created) } else { line(&text(&created, "token")) }
            }
            Self::Tokens { id } => {
                let list = client.get_pages(&format!("{}/tokens", path(&id))).await?;
                show(client, &list, &["TOKEN", "CREATED", "EXPIRES"], "no tokens", |token| {
                    vec![text(token, "id"), text(token, "created_at"), text(token, "expires_at")]
                });
            }
            Self::Revoke { id, token_id } => {
                client.delete(&format!("{}/tokens/{}", path(&id), segment(&token_id))).await?;
                client.done(&format!("the token {token_id} of {id} is revoked"));
            }
        }
        Ok(())
    }
}

fn show(
    client: &Client,
    list: &serde_json::Value,
    head: &[&str],
    nothing: &str,
    row: impl Fn(&serde_json::Value) -> Vec<String>,
) {
    if client.json {
        return json(list);
    }
    table(head, &items(list).iter().map(row).collect::<Vec<_>>(), nothing);
}

fn path(id: &str) -> String {
    format!("/v1/users/{}", segment(id))
}
