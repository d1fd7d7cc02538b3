//! Whether a callback counts.

use crate::expression::{Cel, JsonPath, Scope, Truth};
use crate::flow::PluginCall;
use crate::outcome::{PluginUse, Stop};
use crate::plugin::{Plugins, Role, Subject};
use std::pin::Pin;

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
    absent: bool,
}

impl Decision {
    pub fn new(holds: bool, reason: impl Into<String>) -> Self {
        Self { holds, reason: reason.into(), absent: false }
    }
}

/// What conditions need to ask a plugin.
pub struct Asking<'a> {
    pub plugins: &'a Plugins,
    pub subject: &'a Subject,
    pub uses: &'a mut Vec<PluginUse>,
}

type Evaluation<'a> = Pin<Box<dyn Future<Output = Result<Decision, Stop>> + Send + 'a>>;

impl Condition {
    /// Whether different executions of one version can get different decisions for the same callback: each has the variables
    /// and the user that it began with.
    pub fn reads_execution(&self) -> bool {
        const OF_THE_CALLBACK: [&str; 5] = ["data", "fields", "callback", "flow", "environment"];
        match self {
            Self::Cel(cel) => cel.names().iter().any(|name| !OF_THE_CALLBACK.contains(&name.as_str())),
            Self::JsonPath(_) => false,
            Self::Plugin(_) => true,
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

    /// Whether the condition holds. Parts that cannot change the decision any more are not evaluated.
    ///
    /// # Errors
    ///
    /// A part could not be evaluated: the callback fails, and does not count.
    pub fn evaluate<'a>(&'a self, scope: &'a Scope<'a>, asking: &'a mut Asking<'_>) -> Evaluation<'a> {
        Box::pin(async move {
            Ok(match self {
                Self::Cel(cel) => {
                    let source = cel.source();
                    match cel.truth(scope).map_err(|error| Stop::expression(&error))? {
                        Truth::True => Decision::new(true, format!("`{source}` is true")),
                        Truth::False => Decision::new(false, format!("`{source}` is false")),
                        Truth::Absent(what) => {
                            let reason = format!("`{source}` does not hold: there is no `{what}`");
                            Decision { holds: false, reason, absent: true }
                        }
                    }
                }
                Self::JsonPath(path) => {
                    let found = path.select(&scope.input.data).map_err(|reason| {
                        Stop::refused(400, "data_too_large", "The data is too large for this flow.", reason)
                    })?;
                    let holds = !found.is_empty();
                    Decision::new(holds, format!("`{}` selects {} values", path.source(), found.len()))
                }
                Self::Plugin(call) => {
                    let config = call.config(scope).map_err(|error| Stop::expression(&error))?;
                    let Asking { plugins, subject, uses } = asking;
                    let asked = plugins.evaluate(&call.plugin, subject, &config, uses).await;
                    let holds = asked.map_err(|error| error.stop(Role::Condition))?;
                    Decision::new(holds, format!("the plugin {} says {holds}", call.plugin))
                }
                Self::Not(condition) => {
                    let decision = condition.evaluate(scope, asking).await?;
                    match decision.absent {
                        true => decision,
                        false => Decision::new(!decision.holds, format!("not ({})", decision.reason)),
                    }
                }
                Self::All(conditions) => first(conditions, false, scope, asking)
                    .await?
                    .unwrap_or_else(|| Decision::new(true, format!("all of {} conditions hold", conditions.len()))),
                Self::Any(conditions) => first(conditions, true, scope, asking)
                    .await?
                    .unwrap_or_else(|| Decision::new(false, format!("none of {} conditions holds", conditions.len()))),
            })
        })
    }
}

/// The first condition that is `wanted`; without one, the first that asks about something that is not there.
async fn first(
    conditions: &[Condition],
    wanted: bool,
    scope: &Scope<'_>,
    asking: &mut Asking<'_>,
) -> Result<Option<Decision>, Stop> {
    let mut absent = None;
    for condition in conditions {
        let decision = condition.evaluate(scope, asking).await?;
        if decision.absent {
            absent.get_or_insert(decision);
        } else if decision.holds == wanted {
            return Ok(Some(decision));
        }
    }
    Ok(absent)
}
