//! Whether a callback counts: what a trigger asks.

use crate::expression::{Cel, JsonPath};
use crate::plugin_call::PluginCall;

/// The `when` of a trigger.
#[derive(Debug)]
pub enum Condition {
    Cel(Cel),
    /// True when it selects something in the data.
    JsonPath(JsonPath),
    Plugin(PluginCall),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// What a condition said, and which part of it decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub holds: bool,
    pub reason: String,
    /// It asks about something that is not there, so that it does not hold; nor would its opposite.
    pub absent: bool,
}

impl Decision {
    pub fn new(holds: bool, reason: impl Into<String>) -> Self {
        Self { holds, reason: reason.into(), absent: false }
    }
}

impl Condition {
    /// Whether different executions of one version can get different decisions for the same callback: each has the variables
    /// and the user that it began with.
    pub fn reads_execution(&self) -> bool {
        const OF_THE_CALLBACK: [&str; 5] = ["data", "fields", "callback", "flow", "environment"];
        match self {
            Self::Cel(cel) => cel.names().iter().any(|name| !OF_THE_CALLBACK.contains(&name.as_str())),
            Self::JsonPath(_) => false,
            Self::Plugin(call) => {
                call.script().is_none_or(|script| script.names().any(|name| !OF_THE_CALLBACK.contains(&name)))
            }
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(Self::reads_execution),
            Self::Not(condition) => condition.reads_execution(),
        }
    }

    pub fn asks_plugin(&self) -> bool {
        match self {
            Self::Cel(_) | Self::JsonPath(_) => false,
            Self::Plugin(_) => true,
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(Self::asks_plugin),
            Self::Not(condition) => condition.asks_plugin(),
        }
    }
}
