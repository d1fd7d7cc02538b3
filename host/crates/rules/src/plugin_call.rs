//! A plugin that a flow names, with its configuration.

use crate::expression::{EvaluationError, Scope, Template};
use ringback_records::name::Name;
use std::borrow::Cow;

/// A plugin named in a flow, with its configuration.
#[derive(Debug)]
pub struct PluginCall {
    pub plugin: Name,
    with: Template,
    /// The configuration as JSON text, where it does not depend on a callback.
    constant: Option<String>,
}

impl PluginCall {
    pub fn new(plugin: Name, with: Template) -> Self {
        let constant = with.constant().map(|value| value.to_string());
        Self { plugin, with, constant }
    }

    /// The configuration for this call, as JSON text.
    ///
    /// # Errors
    ///
    /// An expression in it has no value.
    pub fn config(&self, scope: &Scope<'_>) -> Result<Cow<'_, str>, EvaluationError> {
        match &self.constant {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => Ok(Cow::Owned(self.with.render(scope)?.to_string())),
        }
    }
}
