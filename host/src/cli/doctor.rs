//! `ringback doctor`.

use super::client::{
    ClientError, NotEncrypted, NotRingback, Refusal, WrongToken, address, is_not_encrypted, is_ringback, token,
    token_source, workspace,
};
use super::output::{json, line};
use super::{CliError, Connection, Exit};
use crate::instance;
use reqwest::StatusCode;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The pause between two tries of `--wait`.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Wait until the server is ready, for so many seconds, 30 when none are given; give up at once when waiting cannot help
    /// [default: do not wait].
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30")]
    wait: Option<u32>,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Diagnosis {
    #[error("nobody listens at {0}; start a server with `ringback serve`, or name its admin address with --server")]
    Nobody(String),
    #[error("what listens at {0} does not answer; it may still be starting, or it is no ringback")]
    Silent(String),
    #[error("the server at {0} is stopping")]
    Stopping(String),
    #[error(transparent)]
    NotRingback(#[from] NotRingback),
    #[error(transparent)]
    NotEncrypted(#[from] NotEncrypted),
    #[error(
        "the server at {server} keeps another data directory than {}; stop it, start yours at another address, or name its \
         directory with --data", .data.display()
    )]
    AnotherData { server: String, data: PathBuf },
    #[error(transparent)]
    Token(#[from] WrongToken),
    #[error(
        "the server at {server} does not accept the token {from}; it was removed or has expired, or is of another server"
    )]
    TokenRefused { server: String, from: String },
    #[error(
        "the server at {server} is ringback {version}, and this is {}; start the server again, or use the command of its \
         version", env!("CARGO_PKG_VERSION")
    )]
    AnotherVersion { server: String, version: String },
}

impl Diagnosis {
    /// Whether it may be well a moment later, without anybody's help.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Nobody(_) | Self::Silent(_) | Self::Stopping(_))
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Nobody(_) | Self::Silent(_) | Self::Stopping(_) | Self::NotEncrypted(_) => Exit::Unreachable,
            Self::Token(WrongToken::None(_)) => Exit::NoToken,
            Self::Token(WrongToken::Unusable(_) | WrongToken::Empty(_)) => Exit::Arguments,
            Self::NotRingback(_) | Self::AnotherData { .. } => Exit::AnotherServer,
            Self::AnotherVersion { .. } => Exit::AnotherVersion,
            Self::TokenRefused { .. } => Exit::TokenRefused,
        }
    }
}

impl Doctor {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        let patience = Duration::from_secs(self.wait.unwrap_or(0).into());
        let begun = Instant::now();
        loop {
            match examine(connection).await {
                Err(CliError::Unwell(wrong)) if wrong.may_pass() && begun.elapsed() < patience => {
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }
}

async fn examine(connection: &Connection) -> Result<(), CliError> {
    let server = || connection.server.clone();
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build();
    let client = client.map_err(|error| CliError::Refused(error.to_string()))?;
    let base = address(connection).map_err(ClientError::from)?;
    let url = |path: &str| format!("{base}{path}");
    let unheard = |error: reqwest::Error| match error.is_connect() {
        true if is_not_encrypted(&error) => NotEncrypted(server()).into(),
        true => Diagnosis::Nobody(server()),
        false => Diagnosis::Silent(server()),
    };
    let health = client.get(url("/readyz")).send().await.map_err(unheard)?;
    if !is_ringback(&health) {
        return Err(Diagnosis::from(NotRingback(server())).into());
    }
    let health: Value = health.json().await.unwrap_or_default();
    let member = |name: &str| health.get(name).and_then(Value::as_str);
    let (Some(status), Some(version)) = (member("status"), member("version")) else {
        return Err(Diagnosis::from(NotRingback(server())).into());
    };
    if status == "stopping" {
        return Err(Diagnosis::Stopping(server()).into());
    }
    if let Some(instance) = member("instance").filter(|_| connection.token.is_none()) {
        // Who names no directory and has none here has not said that there is one.
        let kept = instance::read(connection.data());
        let named = kept.is_some() || connection.data.is_some();
        if named && kept.as_deref() != Some(instance) {
            return Err(Diagnosis::AnotherData { server: server(), data: connection.data().to_owned() }.into());
        }
    }
    let token = token(connection).map_err(Diagnosis::Token)?;
    let access = client.get(url("/v1/plugins?limit=1")).bearer_auth(token);
    let access = match workspace(connection)? {
        Some(workspace) => access.header("ringback-workspace", workspace),
        None => access,
    };
    let access = access.send().await.map_err(unheard)?;
    let from = || token_source(connection);
    match access.status() {
        StatusCode::UNAUTHORIZED => return Err(Diagnosis::TokenRefused { server: server(), from: from() }.into()),
        status if !status.is_success() => {
            let refusal = Refusal::new(status, access.json().await.unwrap_or_default());
            return Err(ClientError::from(refusal).into());
        }
        _ => {}
    }
    if version != env!("CARGO_PKG_VERSION") {
        return Err(Diagnosis::AnotherVersion { server: server(), version: version.to_owned() }.into());
    }
    if connection.json {
        json(&serde_json::json!({
            "version": version,
            "wasmtime": ringback_plugin::wasmtime_version(),
            "server": connection.server,
            "access": format!("with the token {}", from()),
        }));
        return Ok(());
    }
    line(&format!("ringback   {version}"));
    line(&format!("wasmtime   {}", ringback_plugin::wasmtime_version()));
    line(&format!("server     ready at {}", connection.server));
    line(&format!("access     with the token {}", from()));
    Ok(())
}
