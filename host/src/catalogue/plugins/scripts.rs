//! Which version of what runs scripts a script is: one of its own, so that one that fails or takes long is in the way of no other.

use ringback_plugin::{CallError, Sandbox, Version};
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::sync::lock;
use ringback_rules::script::{self, Script};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Mutex;

/// Most scripts of which is known how their last calls went. When there are more, that is forgotten of all.
const KNOWN_MAX: usize = 10_000;

pub(super) struct Scripts {
    name: Name,
    sandbox: Sandbox,
    known: Mutex<HashMap<(Name, String), Version>>,
}

impl Scripts {
    pub(super) fn new(name: Name, sandbox: Sandbox) -> Self {
        Self { name, sandbox, known: Mutex::default() }
    }

    async fn engine(&self) -> Result<Version, CallError> {
        let engine = self.sandbox.script(&self.name).await;
        engine.map_err(|reason| CallError::NotLoaded { plugin: self.name.clone(), version: 1, reason })
    }

    /// What runs a script.
    pub(super) async fn version(&self, workspace: &Name, script: &Script) -> Result<Version, CallError> {
        let key = (workspace.clone(), script.digest().to_owned());
        if let Some(known) = lock(&self.known).get(&key) {
            return Ok(known.clone());
        }
        let engine = self.engine().await?;
        let mut known = lock(&self.known);
        if known.len() == KNOWN_MAX {
            known.clear();
        }
        Ok(known.entry(key).or_insert_with(|| engine.of_script(script.flow(), script.end())).clone())
    }

    /// Whether a script can be run, as far as that is seen without running it; else its place and what is wrong.
    pub(super) async fn check(&self, workspace: &Name, role: Role, config: &Value) -> Result<(), ScriptMistake> {
        let checked = match self.engine().await {
            Ok(engine) => engine.check(role, workspace, config).await,
            Err(error) => Err(error),
        };
        checked.map_err(|error| {
            let place = match &error {
                CallError::Guest { message, .. } => script::mistake(message),
                _ => None,
            };
            match place {
                Some((line, column, detail)) => {
                    let is_deep = detail == "Maximum call stack size exceeded";
                    let detail = if is_deep { TOO_DEEP } else { detail };
                    ScriptMistake { place: Some((line, column)), detail: detail.to_owned() }
                }
                None => {
                    let detail = match error {
                        CallError::Trapped { .. } => TOO_DEEP.to_owned(),
                        error => format!("the script could not be checked: {error}"),
                    };
                    ScriptMistake { place: None, detail }
                }
            }
        })
    }
}

const TOO_DEEP: &str = "the script is nested too deeply to be read";

/// What is wrong with a script.
#[derive(Debug)]
pub struct ScriptMistake {
    /// The line and the column, where they are known.
    pub place: Option<(usize, usize)>,
    pub detail: String,
}
