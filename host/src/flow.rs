//! Flows: what a person writes, checked and made ready to run.

mod document;
mod parse;

pub use document::Mistake;
pub use parse::parse;

use crate::condition::Condition;
use crate::expression::{Cel, EvaluationError, JsonPath, Scope, Template};
use crate::name::Name;
use crate::parse::Parse;
use crate::verify::Verify;
use http::Method;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

/// The JSON Schema of flow files, for editors.
pub const SCHEMA: &str = include_str!("flow/schema.json");

/// A flow of one version, ready to run.
#[derive(Debug)]
pub struct Flow {
    pub name: Name,
    pub version: u32,
    pub triggers: Vec<Trigger>,
    /// The steps in the order of the file, branches in line: an `if` jumps over what it does not run.
    pub steps: Vec<Step>,
}

/// A step that waits for a callback.
#[derive(Debug)]
pub struct Trigger {
    /// Stable over versions: from `id:`, else made from the name.
    pub id: Name,
    pub name: String,
    pub face: FaceName,
    pub methods: Vec<Method>,
    pub verify: Verify,
    pub parse: Parse,
    /// Picks by alias.
    pub fields: Vec<(String, JsonPath)>,
    pub when: Option<Condition>,
    pub mode: Mode,
    pub respond_within: Duration,
    pub reply: Option<ReplySpec>,
}

/// The outside form of a trigger's URL, data rules and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaceName {
    Native,
}

impl FaceName {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
        }
    }
}

/// When the caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As soon as the start is durable.
    Async,
    /// When the flow responds or ends.
    Sync,
}

/// How an answer is made.
#[derive(Debug)]
pub enum ReplySpec {
    Template { status: Template, headers: Vec<(String, Template)>, body: BodySpec },
    Plugin(PluginCall),
}

/// The body of an answer.
#[derive(Debug)]
pub enum BodySpec {
    Empty,
    Json(Template),
    Text(Template),
}

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

/// One step, with its place in the file for the journal: `steps[2].then[0]`.
#[derive(Debug)]
pub struct Step {
    pub path: String,
    pub action: Action,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Waits for a callback of this trigger.
    Trigger(usize),
    Plugin {
        call: PluginCall,
        result: Option<String>,
    },
    Set(Vec<(String, Template)>),
    /// Goes on with the next step when true, else at `otherwise`.
    If {
        when: Cel,
        otherwise: usize,
    },
    /// Goes on at this step: the end of a `then` before its `else`.
    Jump(usize),
    Respond {
        reply: ReplySpec,
        end: bool,
    },
    Fail {
        message: Template,
    },
}

impl Action {
    /// The word for it in flow files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Trigger(_) => "trigger",
            Self::Plugin { .. } => "plugin",
            Self::Set(_) => "set",
            Self::If { .. } | Self::Jump(_) => "if",
            Self::Respond { .. } => "respond",
            Self::Fail { .. } => "fail",
        }
    }
}

/// A flow as it was written, and what has to be checked outside it before it is deployed.
#[derive(Debug)]
pub struct Parsed {
    pub flow: Flow,
    pub plugins: Vec<PluginMention>,
    /// The secrets that it names.
    pub secrets: Vec<String>,
}

/// A place where a flow names a plugin.
#[derive(Debug)]
pub struct PluginMention {
    pub plugin: Name,
    pub role: crate::plugin::Role,
    /// The configuration, where it does not depend on a callback.
    pub config: Option<Value>,
    /// Where the name stands.
    pub name_at: Place,
    /// Where the configuration stands.
    pub config_at: Place,
}

/// A place in a flow file.
#[derive(Clone, Debug)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub path: String,
}

impl Place {
    pub fn mistake(&self, detail: impl Into<String>) -> Mistake {
        Mistake { line: self.line, column: self.column, path: self.path.clone(), detail: detail.into() }
    }
}
