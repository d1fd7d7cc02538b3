//! Whether a callback counts: asks what the trigger says, plugins among it.

use crate::catalogue::plugins::Plugins;
use ringback_plugin::{CallError, Decided, Subject};
use ringback_records::plugin::Role;
use ringback_records::stop::Stop;
use ringback_records::trace::PluginUse;
use ringback_rules::condition::{Condition, Decision};
use ringback_rules::expression::{Scope, Truth};
use std::pin::Pin;

/// What conditions need to ask a plugin.
pub struct Asking<'a> {
    pub plugins: &'a Plugins,
    pub subject: &'a Subject,
    pub uses: &'a mut Vec<PluginUse>,
}

type Evaluation<'a> = Pin<Box<dyn Future<Output = Result<Decision, Stop>> + Send + 'a>>;

/// Whether the condition holds. Parts that cannot change the decision any more are not evaluated.
///
/// # Errors
///
/// A part could not be evaluated: the callback fails, and does not count.
pub fn evaluate<'a>(condition: &'a Condition, scope: &'a Scope<'a>, asking: &'a mut Asking<'_>) -> Evaluation<'a> {
    Box::pin(async move {
        Ok(match condition {
            Condition::Cel(cel) => {
                let source = cel.source();
                match cel.truth(scope).map_err(|error| Stop::from(&error))? {
                    Truth::True => Decision::new(true, format!("`{source}` is true")),
                    Truth::False => Decision::new(false, format!("`{source}` is false")),
                    Truth::Absent(what) => {
                        let reason = format!("`{source}` does not hold: there is no `{what}`");
                        Decision { holds: false, reason, absent: true }
                    }
                }
            }
            Condition::JsonPath(path) => {
                let found = path.select(&scope.input.data).map_err(|reason| {
                    Stop::refused(400, "data_too_large", "The data is too large for this flow.", reason)
                })?;
                let holds = !found.is_empty();
                Decision::new(holds, format!("`{}` selects {} values", path.source(), found.len()))
            }
            Condition::Plugin(call) => {
                let config = call.config(scope).map_err(|error| Stop::from(&error))?;
                let Asking { plugins, subject, uses } = asking;
                let told = |error: CallError| error.stop(Role::Condition);
                let version = plugins.called(&subject.workspace, call, Role::Condition).await.map_err(told)?;
                let Decided { holds, reason } = version.evaluate(subject, &config, uses).await.map_err(told)?;
                let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                Decision::new(holds, format!("the {} says {holds}{why}", call.who()))
            }
            Condition::Not(condition) => {
                let decision = evaluate(condition, scope, asking).await?;
                match decision.absent {
                    true => decision,
                    false => Decision::new(!decision.holds, format!("not ({})", decision.reason)),
                }
            }
            Condition::All(conditions) => first(conditions, false, scope, asking)
                .await?
                .unwrap_or_else(|| Decision::new(true, format!("all of {} conditions hold", conditions.len()))),
            Condition::Any(conditions) => first(conditions, true, scope, asking)
                .await?
                .unwrap_or_else(|| Decision::new(false, format!("none of {} conditions holds", conditions.len()))),
        })
    })
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
        let decision = evaluate(condition, scope, asking).await?;
        if decision.absent {
            absent.get_or_insert(decision);
        } else if decision.holds == wanted {
            return Ok(Some(decision));
        }
    }
    Ok(absent)
}
