//! The first way through: a plugin, a flow, a callback, and why it was ignored. Each step is done when the thing is there.

use crate::frame::Frame;
use crate::plugins::Uploaded;
use crate::words;
use askama::Template;
use ringback_records::outcome::Outcome;
use ringback_records::summary::CallbackSummary;

/// A flow to send something to.
#[derive(Clone, Debug)]
pub struct StartFlow {
    pub name: String,
    pub trigger_id: String,
    pub trigger: String,
    pub url: String,
}

/// A callback that was ignored: which stage decided, and why.
#[derive(Clone, Debug)]
pub struct Last {
    id: String,
    stage: String,
    reason: String,
}

impl Last {
    pub fn new(callback: &CallbackSummary) -> Option<Self> {
        let decided = callback.decided_by.as_ref()?;
        let (stage, reason) = (decided.stage.to_string(), decided.reason.clone());
        (callback.outcome == Outcome::Ignored).then(|| Self { id: callback.id.to_string(), stage, reason })
    }
}

/// The page.
#[derive(Template)]
#[template(path = "start.html")]
pub struct Start {
    pub frame: Frame,
    /// One that is there: a condition, if there is one.
    pub plugin: Option<String>,
    pub flow: Option<StartFlow>,
    /// How many callbacks came in a day.
    pub callbacks: u64,
    /// The newest that was ignored.
    pub ignored: Option<Last>,
    pub said: Uploaded,
}

impl Start {
    fn steps_left(&self) -> usize {
        let done = [self.plugin.is_some(), self.flow.is_some(), self.callbacks > 0, self.ignored.is_some()];
        done.iter().filter(|done| !**done).count()
    }

    fn has_come(&self) -> bool {
        self.callbacks > 0
    }

    fn counted(&self) -> String {
        words::count(self.callbacks, "callback", "callbacks")
    }
}
