//! `ringback doctor`.

use super::client::Client;
use super::output::line;
use super::{CliError, Connection};

pub(super) async fn run(connection: &Connection) -> Result<(), CliError> {
    line(&format!("ringback   {}", env!("CARGO_PKG_VERSION")));
    line(&format!("wasmtime   {}", crate::plugin::wasmtime_version()));
    let token = connection.data().join("admin-token");
    let found = if token.is_file() { "found" } else { "not found" };
    line(&format!("token      {found} at {}", token.display()));
    let client = Client::new(connection)?;
    let health = client.get("/healthz").await?;
    line(&format!("server     {} answers, version {}", connection.server, health["version"].as_str().unwrap_or("?")));
    client.get("/v1/plugins?limit=1").await?;
    line("access     the token is accepted");
    Ok(())
}
