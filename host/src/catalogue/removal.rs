//! Removing what others may need: who needs it is asked first.

use crate::catalogue::environments::{EnvironmentError, Environments};
use crate::catalogue::flows::Flows;
use crate::catalogue::plugins::Plugins;
use crate::catalogue::secrets::Secrets;
use crate::catalogue::tickets::Tickets;
use ringback_records::name::Name;
use ringback_store::StoreError;

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    #[error("the plugin {plugin} is needed by {}; change, end or close these first", .users.join(", "))]
    PluginInUse { plugin: Name, users: Vec<String> },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes a plugin with all its versions and its state: whether there was one.
///
/// # Errors
///
/// A deployed flow, an execution that has not ended or a ticket needs it, or the store failed.
pub async fn remove_plugin(
    workspace: &Name,
    plugin: &Name,
    plugins: &Plugins,
    flows: &Flows,
    tickets: &Tickets,
) -> Result<bool, RemovalError> {
    let _unchanged = flows.keep_unchanged(workspace).await;
    let mut users = flows.users_of_plugin(workspace, plugin).await?;
    users.extend(tickets.users_of_plugin(workspace, plugin).await?);
    if !users.is_empty() {
        return Err(RemovalError::PluginInUse { plugin: plugin.clone(), users });
    }
    Ok(plugins.remove(workspace, plugin).await?)
}

/// Removes an environment with its variables and secrets: whether there was one.
///
/// # Errors
///
/// It is `default`, executions in it have not ended, or the store failed.
pub async fn remove_environment(
    workspace: &Name,
    name: &Name,
    environments: &Environments,
    secrets: &Secrets,
) -> Result<bool, EnvironmentError> {
    // A secret that is stored at the same moment goes with it, or finds it gone.
    let _unchanged = secrets.keep_unchanged(workspace).await;
    let existed = environments.remove(workspace, name).await?;
    if existed {
        secrets.forget_environment(workspace, name);
    }
    Ok(existed)
}
