//! One run of a flow, as a pure function: an execution takes an event and answers what to write into its journal and
//! what to do next. Nothing here waits, stores or calls anything.
//!
//! The journal is the truth: an execution is what its entries make of it, in order. The results of steps, and which
//! branch was taken, are in it, so that a restart evaluates nothing again.

use crate::expression::{Scope, ScopeOfExecution};
use crate::flow::{Action, Flow, PluginCall, ReplySpec};
use crate::name::{CallbackId, ExecutionId, Name};
use crate::outcome::{Reply, ReplyRecord};
use crate::reply;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A step is under way, or about to be.
    Running,
    /// It waits for a callback.
    Waiting,
    /// It ran to its end.
    Completed,
    /// A step failed.
    Failed,
    /// A wait ended without a callback, and the flow does not go on.
    TimedOut,
    /// Someone ended it.
    Cancelled,
}

impl Status {
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An execution without its journal, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub id: ExecutionId,
    pub flow: Name,
    pub flow_version: u32,
    pub environment: Name,
    pub status: Status,
    /// The callback that started it.
    pub callback: CallbackId,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// The number of its journal entries.
    pub entries: u32,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepError {
    /// Stable: `flow_failed`, `expression_failed`, `plugin_trapped`, ….
    pub code: String,
    /// In words.
    pub message: String,
    /// The step's place in the flow: `steps[2].then[0]`.
    pub step: String,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    /// The step's place in the flow.
    pub step: String,
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EntryKind {
    /// A callback started the execution.
    Started { callback: CallbackId, trigger: String, data: Value, fields: Map<String, Value> },
    /// A plugin step answered.
    Plugin {
        plugin: Name,
        digest: String,
        duration_us: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        result: Value,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log: Vec<String>,
    },
    /// Values were set.
    Set { values: Map<String, Value> },
    /// A branch was chosen.
    If { holds: bool },
    /// The waiting caller was answered.
    Responded { reply: ReplyRecord, end: bool },
    /// A step failed, and with it the execution.
    Failed {
        error: StepError,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log: Vec<String>,
    },
    /// The last step was done.
    Completed,
}

/// What has to be done before the execution can go on.
#[derive(Debug)]
pub enum Effect<'f> {
    /// Call a plugin in its role of a step.
    RunStep { call: &'f PluginCall },
    /// Let a plugin build the answer.
    BuildReply { call: &'f PluginCall },
}

/// What an effect brought.
#[derive(Debug)]
pub enum Event {
    StepDone { plugin: Name, digest: String, duration_us: u64, result: Value, log: Vec<String> },
    ReplyBuilt(Reply),
    Failed { code: String, message: String, log: Vec<String> },
}

/// What one event led to.
#[derive(Debug)]
pub struct Turn<'f> {
    /// New lines of the journal, to be durable before the effect is performed.
    pub entries: Vec<Entry>,
    /// The effect to perform next; `None` when the execution has ended.
    pub effect: Option<Effect<'f>>,
}

/// An execution in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub summary: Summary,
    /// The next step, as an index into the flow.
    next: usize,
    data: Value,
    fields: Map<String, Value>,
    triggers: Map<String, Value>,
    results: Map<String, Value>,
    /// What the waiting caller was answered.
    reply: Option<Reply>,
}

/// What starts an execution.
#[derive(Debug)]
pub struct Start {
    pub id: ExecutionId,
    pub callback: CallbackId,
    pub environment: Name,
    pub data: Value,
    pub fields: Map<String, Value>,
}

impl Execution {
    /// Starts an execution at the flow's first trigger and runs it up to its first effect, or to its end.
    pub fn start(flow: &Flow, start: Start, now: Timestamp) -> (Self, Turn<'_>) {
        let Start { id, callback, environment, data, fields } = start;
        let mut execution = Self::empty(Summary {
            id,
            flow: flow.name.clone(),
            flow_version: flow.version,
            environment,
            status: Status::Running,
            callback,
            started_at: now,
            ended_at: None,
            error: None,
            entries: 0,
        });
        let trigger = flow.triggers.first().map(|trigger| trigger.name.clone()).unwrap_or_default();
        let mut entries = Vec::new();
        let kind = EntryKind::Started { callback, trigger, data, fields };
        execution.record(flow, kind, now, &mut entries);
        let effect = execution.run_ahead(flow, now, &mut entries);
        (execution, Turn { entries, effect })
    }

    /// The execution that a journal describes.
    pub fn restore(flow: &Flow, summary: Summary, journal: Vec<Entry>) -> Self {
        let mut execution = Self::empty(Summary { entries: 0, status: Status::Running, ..summary });
        for entry in journal {
            execution.apply(flow, entry.kind, entry.at);
        }
        execution
    }

    /// Goes on after a restart: with the effect that was under way, if any.
    pub fn resume<'f>(&mut self, flow: &'f Flow, now: Timestamp) -> Turn<'f> {
        let mut entries = Vec::new();
        let effect = self.run_ahead(flow, now, &mut entries);
        Turn { entries, effect }
    }

    /// Goes on with what an effect brought.
    pub fn handle<'f>(&mut self, flow: &'f Flow, event: Event, now: Timestamp) -> Turn<'f> {
        let mut entries = Vec::new();
        match (event, flow.steps.get(self.next).map(|step| &step.action)) {
            (
                Event::StepDone { plugin, digest, duration_us, result, log },
                Some(Action::Plugin { result: name, .. }),
            ) => {
                let kind = EntryKind::Plugin { plugin, digest, duration_us, name: name.clone(), result, log };
                self.record(flow, kind, now, &mut entries);
            }
            (Event::ReplyBuilt(reply), Some(Action::Respond { end, .. })) => {
                let kind = EntryKind::Responded { reply: ReplyRecord::from(&reply), end: *end };
                self.record(flow, kind, now, &mut entries);
            }
            (Event::Failed { code, message, log }, _) => self.fail(flow, code, message, log, now, &mut entries),
            (Event::StepDone { .. } | Event::ReplyBuilt(_), _) => {
                let message = "an effect answered for a step that was not waiting for it".to_owned();
                self.fail(flow, "internal".to_owned(), message, Vec::new(), now, &mut entries);
            }
        }
        let effect = self.run_ahead(flow, now, &mut entries);
        Turn { entries, effect }
    }

    /// What expressions and plugins can see.
    pub fn scope<'a>(&'a self) -> Scope<'a> {
        Scope {
            flow: &self.summary.flow,
            environment: &self.summary.environment,
            callback: None,
            data: &self.data,
            fields: &self.fields,
            execution: Some(ScopeOfExecution { id: self.summary.id, triggers: &self.triggers, results: &self.results }),
        }
    }

    /// What the waiting caller was answered by a step, if it was.
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    fn empty(summary: Summary) -> Self {
        Self {
            summary,
            next: 0,
            data: Value::Null,
            fields: Map::new(),
            triggers: Map::new(),
            results: Map::new(),
            reply: None,
        }
    }

    /// Runs the steps that need nothing from outside.
    fn run_ahead<'f>(&mut self, flow: &'f Flow, now: Timestamp, entries: &mut Vec<Entry>) -> Option<Effect<'f>> {
        while !self.summary.status.is_ended() {
            let Some(step) = flow.steps.get(self.next) else {
                self.record(flow, EntryKind::Completed, now, entries);
                break;
            };
            let kind = match &step.action {
                Action::Plugin { call, .. } => return Some(Effect::RunStep { call }),
                Action::Respond { reply: ReplySpec::Plugin(call), .. } => return Some(Effect::BuildReply { call }),
                Action::Respond { reply, end } => match reply::render(reply, &self.scope()) {
                    Ok(Some(reply)) => Ok(EntryKind::Responded { reply: ReplyRecord::from(&reply), end: *end }),
                    Ok(None) => Err(("internal", "a plugin's answer was rendered".to_owned())),
                    Err(error @ reply::ReplyError::Expression(_)) => Err(("expression_failed", error.to_string())),
                    Err(error @ reply::ReplyError::NotAllowed(_)) => Err(("reply_not_allowed", error.to_string())),
                },
                Action::Set(values) => self.set(values),
                Action::If { when, .. } => match when.is_true(&self.scope()) {
                    Ok(holds) => Ok(EntryKind::If { holds }),
                    Err(error) => Err(("expression_failed", error.to_string())),
                },
                Action::Jump(target) => {
                    self.next = *target;
                    continue;
                }
                Action::Fail { message } => match message.render_text(&self.scope()) {
                    Ok(message) => Err(("flow_failed", message)),
                    Err(error) => Err(("expression_failed", error.to_string())),
                },
                Action::Trigger(_) => Err(("internal", "a trigger in the middle of a flow".to_owned())),
            };
            match kind {
                Ok(kind) => self.record(flow, kind, now, entries),
                Err((code, message)) => self.fail(flow, code.to_owned(), message, Vec::new(), now, entries),
            }
        }
        None
    }

    /// Later values of one step see the earlier ones.
    fn set(&self, values: &[(String, crate::expression::Template)]) -> Result<EntryKind, (&'static str, String)> {
        let mut results = self.results.clone();
        let mut set = Map::new();
        for (name, template) in values {
            let mut scope = self.scope();
            if let Some(execution) = &mut scope.execution {
                execution.results = &results;
            }
            let value = template.render(&scope).map_err(|error| ("expression_failed", error.to_string()))?;
            set.insert(name.clone(), value.clone());
            results.insert(name.clone(), value);
        }
        Ok(EntryKind::Set { values: set })
    }

    fn fail(
        &mut self,
        flow: &Flow,
        code: String,
        message: String,
        log: Vec<String>,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) {
        let step = flow.steps.get(self.next).map(|step| step.path.clone()).unwrap_or_default();
        let error = StepError { code, message, step };
        self.record(flow, EntryKind::Failed { error, log }, now, entries);
    }

    fn record(&mut self, flow: &Flow, kind: EntryKind, now: Timestamp, entries: &mut Vec<Entry>) {
        let step = flow.steps.get(self.next).map(|step| step.path.clone()).unwrap_or_default();
        entries.push(Entry { at: now, step, kind: kind.clone() });
        self.apply(flow, kind, now);
    }

    /// What an entry of the journal makes of the execution. Jumps are not in the journal: they follow from the flow.
    fn apply(&mut self, flow: &Flow, kind: EntryKind, at: Timestamp) {
        while let Some(Action::Jump(target)) = flow.steps.get(self.next).map(|step| &step.action) {
            self.next = *target;
        }
        self.summary.entries += 1;
        let mut next = self.next + 1;
        match kind {
            EntryKind::Started { trigger, data, fields, .. } => {
                self.triggers.insert(trigger, json!({ "data": data, "fields": fields }));
                self.data = data;
                self.fields = fields;
            }
            EntryKind::Plugin { name, result, .. } => {
                if let Some(name) = name {
                    self.results.insert(name, result);
                }
            }
            EntryKind::Set { values } => self.results.extend(values),
            EntryKind::If { holds } => {
                if let Some(Action::If { otherwise, .. }) = flow.steps.get(self.next).map(|step| &step.action)
                    && !holds
                {
                    next = *otherwise;
                }
            }
            EntryKind::Responded { reply, end } => {
                self.reply.get_or_insert(reply.into());
                if end {
                    next = flow.steps.len();
                }
            }
            EntryKind::Failed { error, .. } => {
                self.summary.error = Some(error);
                self.end(Status::Failed, at);
            }
            EntryKind::Completed => self.end(Status::Completed, at),
        }
        self.next = next;
    }

    fn end(&mut self, status: Status, at: Timestamp) {
        self.summary.status = status;
        self.summary.ended_at = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryKind, Event, Execution, Start, Status};
    use crate::flow::{Flow, parse};
    use crate::name::{CallbackId, ExecutionId, Name};
    use crate::time::Timestamp;
    use serde_json::{Map, Value, json};

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn flow(steps: &str) -> Flow {
        let source = format!("flow: test\nsteps:\n  - trigger: Order received\n    mode: sync\n{steps}");
        parse(&source, 3).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).flow
    }

    fn start(data: Value) -> Start {
        Start {
            id: ExecutionId::new(),
            callback: CallbackId::new(),
            environment: Name::default_name(),
            data,
            fields: Map::new(),
        }
    }

    fn run(flow: &Flow, data: Value) -> Execution {
        let (execution, turn) = Execution::start(flow, start(data), NOW);
        assert!(turn.effect.is_none());
        assert_eq!(turn.entries.len(), execution.summary.entries as usize);
        let summary = execution.summary.clone();
        assert_eq!(Execution::restore(flow, summary, turn.entries), execution, "the journal is the truth");
        execution
    }

    fn done(result: Value) -> Event {
        Event::StepDone { plugin: Name::default_name(), digest: "d".into(), duration_us: 1, result, log: Vec::new() }
    }

    #[test]
    fn a_failing_expression_fails_the_execution_and_says_where() {
        let execution = run(&flow("  - if: data.a > 1\n    then: []\n"), json!({}));
        let error = execution.summary.error.unwrap();
        assert_eq!((execution.summary.status, error.code.as_str()), (Status::Failed, "expression_failed"));
        assert_eq!(error.step, "steps[1]");
    }

    #[test]
    fn branches_are_taken_and_left() {
        let flow = flow(
            "  - if: data.n > 1\n    then:\n      - set: { size: large, twice: '${{ data.n * 2 }}', plus: '${{ twice + 1 }}' }\n    \
             else:\n      - if: data.n < 0\n        then:\n          - fail: 'negative: ${{ data.n }}'\n      - set: { size: small }\n  \
             - respond: { status: 201, json: { size: '${{ size }}' } }\n  - set: { after: true }\n",
        );
        let large = run(&flow, json!({ "n": 5 }));
        assert_eq!(large.results["plus"], json!(11));
        assert_eq!(large.reply().unwrap().body, r#"{"size":"large"}"#);
        assert_eq!(large.results["after"], json!(true), "a respond without `end` goes on");
        let small = run(&flow, json!({ "n": 0 }));
        assert_eq!(small.reply().unwrap().body, r#"{"size":"small"}"#);
        let negative = run(&flow, json!({ "n": -1 }));
        assert_eq!(negative.summary.error.as_ref().unwrap().message, "negative: -1");
        assert_eq!(negative.summary.error.as_ref().unwrap().step, "steps[1].else[0].then[0]");
    }

    /// NB-30.
    #[test]
    fn respond_with_end_ends_the_flow() {
        let execution = run(&flow("  - respond: { end: true }\n  - fail: not reached\n"), json!(null));
        assert_eq!(execution.summary.status, Status::Completed);
    }

    #[test]
    fn a_plugin_step_is_an_effect_and_its_result_is_in_the_journal() {
        let flow = flow("  - plugin: score\n    as: fraud\n  - if: fraud.score > 0.8\n    then: [{ fail: fraud }]\n");
        let (mut execution, mut turn) = Execution::start(&flow, start(json!({})), NOW);
        assert!(turn.effect.is_some());
        assert_eq!(execution.summary.status, Status::Running);
        let mut journal = turn.entries;
        // A crash here: the restored execution asks for the same effect again.
        let mut restored = Execution::restore(&flow, execution.summary.clone(), journal.clone());
        assert_eq!(restored, execution);
        assert!(restored.resume(&flow, NOW).effect.is_some());
        turn = execution.handle(&flow, done(json!({ "score": 0.9 })), NOW);
        journal.extend(turn.entries);
        assert_eq!(execution.summary.error.as_ref().unwrap().message, "fraud");
        assert!(matches!(journal[1].kind, EntryKind::Plugin { .. }));
        assert_eq!(Execution::restore(&flow, execution.summary.clone(), journal), execution);
    }

    #[test]
    fn a_failed_effect_fails_the_execution() {
        let flow = flow("  - plugin: score\n  - set: { a: 1 }\n");
        let (mut execution, _) = Execution::start(&flow, start(json!({})), NOW);
        let event = Event::Failed { code: "plugin_trapped".into(), message: "m".into(), log: vec!["l".into()] };
        assert!(execution.handle(&flow, event, NOW).effect.is_none());
        assert_eq!(execution.summary.error.as_ref().unwrap().code, "plugin_trapped");
        assert_eq!(execution.summary.ended_at, Some(NOW));
    }
}
