//! Plugins called in this process, without a server: under the same limits, in the same sandbox.

use crate::cli::CliError;
use ringback_outbound::plugin::Outbound;
use ringback_plugin::{InMemoryState, Limits, Sandbox, Settings, Upload, default_compiler};
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_rules::vault::Vault;
use std::path::PathBuf;
use std::sync::Arc;

/// What runs plugins here.
pub(super) struct Local {
    sandbox: Sandbox,
    /// Where it keeps what it has compiled, for as long as it is here.
    directory: PathBuf,
}

impl Local {
    pub(super) fn open(secrets: &[(String, String)]) -> Result<Self, CliError> {
        let directory = std::env::temp_dir().join(format!("ringback-plugin-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).map_err(|error| CliError::File { path: directory.clone(), error })?;
        let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let settings = Settings {
            data: directory.clone(),
            compiler: default_compiler(),
            limits: limits(),
            body_bytes_max: 1 << 20,
            large_plugins: true,
        };
        let vault = Vault::in_memory(&Name::default_name(), &secrets);
        let sandbox = Sandbox::open(settings, Arc::new(InMemoryState::default()), vault, Outbound::new([]));
        match sandbox {
            Ok(sandbox) => Ok(Self { sandbox, directory }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&directory);
                Err(CliError::Refused(error.to_string()))
            }
        }
    }

    /// Takes a file as a server would.
    pub(super) async fn upload(&self, kind: &str, bytes: Vec<u8>) -> Result<Upload, CliError> {
        let workspace = Name::default_name();
        let taken = match kind {
            super::JAVASCRIPT => self.sandbox.take_script(&workspace, bytes.into()).await,
            _ => self.sandbox.take_upload(&workspace, bytes.into()).await,
        };
        taken.map_err(|error| CliError::Refused(error.to_string()))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Those of a server whose operator has changed none.
pub(super) fn limits() -> Limits {
    Limits::default()
}

/// The class that a file is uploaded under.
pub(super) fn class(large: bool) -> &'static str {
    match large {
        true => "large: the server needs `large_plugins = true`",
        false => "normal",
    }
}

/// Roles with commas between them.
pub(super) fn roles(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}
