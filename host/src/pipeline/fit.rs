//! Whether data has the form that is expected.

use super::Pipeline;
use super::passage::{Passage, scope_of};
use ringback_records::callback::Input;
use ringback_records::stop::Stop;
use ringback_rules::flow::Trigger;
use ringback_rules::parse::SHORT_BYTES;
use serde_json::Value;
use std::sync::Arc;

impl Pipeline {
    /// Holds data against the trigger's schema: what is said of it where it passes.
    pub(super) async fn fit(&self, passage: &Passage, trigger: &Trigger, data: &Arc<Value>) -> Result<String, Stop> {
        let Some(fit) = &trigger.schema else { return Ok(String::new()) };
        let input = Input { data: Arc::clone(data), user: passage.user.clone(), ..Input::default() };
        let scope = scope_of(&passage.callback, &passage.flow, &input, &passage.vars);
        let Some(chosen) = fit.choose(&scope)? else {
            return Ok(", of no type that there is a schema of, which is not enforced".to_owned());
        };
        let said = if passage.callback.request.content().len() <= SHORT_BYTES {
            chosen.check(data)?
        } else {
            let data = Arc::clone(data);
            self.aside(passage, move || chosen.check(&data)).await?
        };
        Ok(format!(", {said}"))
    }
}
