//! `ringback db …`: the store of a server that is not running.

use super::output::{json, line};
use super::{CliError, Connection};
use crate::server::RunError;
use ringback_store::{Store, StoreOptions};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Db {
    /// Read every record and check it.
    Verify,
}

impl Db {
    pub(super) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let Self::Verify = self;
        let store = connection.data().join("store");
        if let Err(error) = std::fs::metadata(&store)
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            return Err(CliError::File { path: store, error });
        }
        if !store.is_dir() {
            return Err(CliError::Refused(format!(
                "there is no store in {}; name it with --data",
                connection.data().display()
            )));
        }
        let store = Store::open(connection.data(), StoreOptions::default()).map_err(RunError::from)?;
        let findings = store.verify().map_err(RunError::from)?;
        if connection.json {
            json(&serde_json::to_value(&findings).unwrap_or_default());
        } else {
            line(&format!(
                "{} records, {} bytes, {} {}",
                findings.records,
                findings.bytes,
                findings.problem_count,
                if findings.problem_count == 1 { "problem" } else { "problems" }
            ));
            for problem in &findings.problems {
                line(&format!("  {problem}"));
            }
        }
        if findings.problem_count > 0 {
            return Err(CliError::Damaged(findings.problem_count));
        }
        Ok(())
    }
}
