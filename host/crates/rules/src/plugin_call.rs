//! A plugin that a flow names, with its configuration; or a script, which is the configuration of one that is always there.

use crate::expression::{EvaluationError, Scope, Template};
use crate::script::Script;
use ringback_records::name::Name;
use std::borrow::Cow;

/// A plugin named in a flow, with its configuration.
#[derive(Debug)]
pub struct PluginCall {
    pub plugin: Name,
    config: Config,
}

#[derive(Debug)]
enum Config {
    /// As JSON text, where it does not depend on a callback.
    Constant(String),
    Template(Template),
    Script(Script),
}

impl PluginCall {
    pub fn new(plugin: Name, with: Template) -> Self {
        let config = match with.constant() {
            Some(value) => Config::Constant(value.to_string()),
            None => Config::Template(with),
        };
        Self { plugin, config }
    }

    /// A script, run by the plugin of the server that has this name, whatever is uploaded under it.
    pub(crate) fn of_script(plugin: Name, script: Script) -> Self {
        Self { plugin, config: Config::Script(script) }
    }

    /// What is asked, in sentences: `plugin field-match`, or `script`.
    pub fn who(&self) -> String {
        match self.script() {
            Some(_) => self.plugin.to_string(),
            None => format!("plugin {}", self.plugin),
        }
    }

    pub fn script(&self) -> Option<&Script> {
        match &self.config {
            Config::Script(script) => Some(script),
            Config::Constant(_) | Config::Template(_) => None,
        }
    }

    /// The configuration for this call, as JSON text.
    ///
    /// # Errors
    ///
    /// An expression in it has no value, or what a script sees is too large.
    pub fn config(&self, scope: &Scope<'_>) -> Result<Cow<'_, str>, EvaluationError> {
        Ok(match &self.config {
            Config::Constant(text) => Cow::Borrowed(text),
            Config::Template(with) => Cow::Owned(with.render(scope)?.to_string()),
            Config::Script(script) => Cow::Owned(script.config(scope)?),
        })
    }
}
