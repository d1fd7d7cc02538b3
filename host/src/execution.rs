//! One run of a flow, as a pure function: an execution takes an event and answers what to write into its journal and
//! what to do next. Nothing here waits, stores or calls anything.
//!
//! The journal is the truth: an execution is what its entries make of it, in order. The results of steps, and which
//! branch was taken, are in it, so that a restart evaluates nothing again.

use crate::callback::Input;
use crate::expression::{Scope, ScopeOfExecution, Template};
use crate::flow::{Action, Flow, HttpCall, Mode, OnError, OnTimeout, PluginCall, ReplySpec};
use crate::name::{CallbackId, ExecutionId, Name};
use crate::outcome::{Reply, ReplyRecord};
use crate::reply;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A step is under way, or about to be.
    Running,
    /// It waits for a callback, or for a time.
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
    /// What it waits for, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// The number of its journal entries.
    pub entries: u32,
}

/// What an execution waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Wait {
    /// The id of the trigger, when it waits for a callback; else it waits for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trigger: Option<Name>,
    /// The step's place in the flow.
    pub step: String,
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When the wait ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
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
    Started {
        callback: CallbackId,
        trigger: String,
        #[serde(flatten)]
        input: Input,
    },
    /// The execution began to wait for a callback of a trigger.
    Waiting {
        trigger: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A callback ended the wait.
    Resumed {
        callback: CallbackId,
        trigger: String,
        #[serde(flatten)]
        input: Input,
    },
    /// No callback ended the wait in time.
    TimedOut { trigger: String },
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
    /// An http step was answered, or goes on without an answer.
    Http {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// `status`, `headers` and `body`; or `error`.
        result: Value,
        attempt: u32,
        duration_us: u64,
    },
    /// A ticket was made.
    Ticket {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// `url`, `state` and `id`.
        result: Value,
    },
    /// An http step got no useful answer, and tries again.
    HttpRetry { attempt: u32, problem: String, until: Timestamp },
    /// A pause began.
    Delayed { until: Timestamp },
    /// The time of a pause has come.
    Woken,
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
    /// Someone lets it try the failed step again.
    Retried,
    /// Someone ended it.
    Cancelled,
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
    /// Make a ticket.
    MakeTicket { request: &'f Template },
    /// Send a request.
    SendHttp { call: &'f HttpCall, idempotency_key: String },
    /// It waits at this trigger: see whether its callback is there already.
    LookIntoMailbox { trigger: &'f Name },
}

/// What an effect brought, or what came from outside.
#[derive(Debug)]
pub enum Event {
    StepDone {
        plugin: Name,
        digest: String,
        duration_us: u64,
        result: Value,
        log: Vec<String>,
    },
    ReplyBuilt(Reply),
    /// Its `url`, `state` and `id`.
    TicketMade(Value),
    HttpAnswered {
        status: u16,
        headers: Map<String, Value>,
        body: Value,
        retry_after: Option<Duration>,
        duration_us: u64,
    },
    HttpUnanswered {
        problem: String,
        retryable: bool,
    },
    Failed {
        code: String,
        message: String,
        log: Vec<String>,
    },
    /// A callback of the trigger that it waits at.
    Resumed {
        callback: CallbackId,
        input: Input,
    },
    /// The time that it waits for has come.
    Woken,
    Cancelled,
    Retried,
}

/// What one event led to.
#[derive(Debug)]
pub struct Turn<'f> {
    /// New lines of the journal, to be durable before the effect is performed. None when the event did not fit.
    pub entries: Vec<Entry>,
    /// The effect to perform next; `None` when the execution has ended or waits.
    pub effect: Option<Effect<'f>>,
}

/// What a trigger brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    pub input: Input,
    pub timed_out: bool,
}

/// How an execution stands to one of its triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not got there.
    NotYet,
    WaitsHere,
    /// It has been there, or cannot get there any more.
    Passed,
    Ended,
}

/// An execution in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub summary: Summary,
    /// The next step, as an index into the flow.
    next: usize,
    /// Attempts of the step under way that failed.
    failed_attempts: u32,
    /// What the trigger that was activated last brought, and the user that was last known.
    input: Input,
    /// The variables of its environment, as they are now: not of the journal.
    pub vars: Arc<Value>,
    /// By the trigger's name, in the order of their activation.
    triggers: Vec<(String, Activation)>,
    results: Map<String, Value>,
    /// The names of those that were set since a callback came last.
    set_since: BTreeSet<String>,
    /// What the waiting caller was answered.
    reply: Option<Reply>,
}

/// What starts an execution.
#[derive(Debug)]
pub struct Start {
    pub id: ExecutionId,
    pub callback: CallbackId,
    pub environment: Name,
    pub input: Input,
    pub vars: Arc<Value>,
}

impl Execution {
    /// Starts an execution at the flow's first trigger and runs it up to its first effect, or to its end.
    pub fn start(flow: &Flow, start: Start, now: Timestamp) -> (Self, Turn<'_>) {
        let Start { id, callback, environment, input, vars } = start;
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
            wait: None,
            entries: 0,
        });
        execution.vars = vars;
        let trigger = flow.triggers.first().map(|trigger| trigger.name.clone()).unwrap_or_default();
        let mut entries = Vec::new();
        let kind = EntryKind::Started { callback, trigger, input };
        execution.record(flow, kind, now, &mut entries);
        let effect = execution.run_ahead(flow, now, &mut entries);
        (execution, Turn { entries, effect })
    }

    /// The execution that a journal describes.
    pub fn restore(flow: &Flow, summary: Summary, journal: Vec<Entry>) -> Self {
        let mut execution = Self::empty(Summary {
            entries: 0,
            status: Status::Running,
            wait: None,
            error: None,
            ended_at: None,
            ..summary
        });
        for entry in journal {
            execution.apply(flow, &entry.kind, entry.at);
        }
        execution
    }

    /// Goes on after a restart: with the effect that was under way, if any.
    pub fn resume<'f>(&mut self, flow: &'f Flow, now: Timestamp) -> Turn<'f> {
        let mut entries = Vec::new();
        let trigger = flow.steps.get(self.next).and_then(|step| match step.action {
            Action::Trigger { trigger, .. } if self.waits() => flow.triggers.get(trigger),
            _ => None,
        });
        let effect = match trigger {
            Some(trigger) => Some(Effect::LookIntoMailbox { trigger: &trigger.id }),
            None => self.run_ahead(flow, now, &mut entries),
        };
        Turn { entries, effect }
    }

    /// Goes on with what an effect brought, or what came from outside.
    pub fn handle<'f>(&mut self, flow: &'f Flow, event: Event, now: Timestamp) -> Turn<'f> {
        let mut entries = Vec::new();
        let step = flow.steps.get(self.next).map(|step| &step.action);
        match (event, step) {
            (Event::Cancelled, _) if !self.summary.status.is_ended() => {
                self.record(flow, EntryKind::Cancelled, now, &mut entries);
            }
            (Event::Retried, _) if matches!(self.summary.status, Status::Failed | Status::TimedOut) => {
                self.record(flow, EntryKind::Retried, now, &mut entries);
            }
            (Event::Resumed { callback, input }, Some(Action::Trigger { trigger, .. })) if self.waits() => {
                let trigger = trigger_name(flow, *trigger);
                self.record(flow, EntryKind::Resumed { callback, trigger, input }, now, &mut entries);
            }
            (Event::Woken, step) if self.is_due(now) => {
                let kind = match step {
                    Some(Action::Trigger { trigger, .. }) => {
                        EntryKind::TimedOut { trigger: trigger_name(flow, *trigger) }
                    }
                    _ => EntryKind::Woken,
                };
                self.record(flow, kind, now, &mut entries);
            }
            // What comes from outside and does not fit, any more or yet, changes nothing.
            (Event::Cancelled | Event::Retried | Event::Resumed { .. } | Event::Woken, _) => {}
            (_, _) if self.summary.status != Status::Running => {}
            (
                Event::StepDone { plugin, digest, duration_us, result, log },
                Some(Action::Plugin { result: name, .. }),
            ) => {
                let kind = EntryKind::Plugin { plugin, digest, duration_us, name: name.clone(), result, log };
                self.record(flow, kind, now, &mut entries);
            }
            (Event::TicketMade(result), Some(Action::Ticket { result: name, .. })) => {
                let kind = EntryKind::Ticket { name: name.clone(), result };
                self.record(flow, kind, now, &mut entries);
            }
            (Event::ReplyBuilt(reply), Some(Action::Respond { end, .. })) => {
                let kind = EntryKind::Responded { reply: ReplyRecord::from(&reply), end: *end };
                self.record(flow, kind, now, &mut entries);
            }
            (
                event @ (Event::HttpAnswered { .. } | Event::HttpUnanswered { .. }),
                Some(Action::Http { call, result }),
            ) => {
                self.after_http(flow, call, result.as_ref(), event, now, &mut entries);
            }
            (Event::Failed { code, message, log }, _) => self.fail(flow, code, message, log, now, &mut entries),
            (_, _) => {
                let message = "an effect answered for a step that was not waiting for it".to_owned();
                self.fail(flow, "internal".to_owned(), message, Vec::new(), now, &mut entries);
            }
        }
        let effect = if entries.is_empty() { None } else { self.run_ahead(flow, now, &mut entries) };
        Turn { entries, effect }
    }

    /// What expressions and plugins can see.
    pub fn scope(&self) -> Scope<'_> {
        Scope {
            flow: &self.summary.flow,
            environment: &self.summary.environment,
            callback: None,
            input: &self.input,
            vars: &self.vars,
            execution: Some(ScopeOfExecution { id: self.summary.id, triggers: &self.triggers, results: &self.results }),
            secrets: None,
        }
    }

    /// What the waiting caller was answered by a step, if it was.
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    /// A result that was set after a callback came last.
    pub fn set_by_last_callback(&self, name: &str) -> Option<&Value> {
        self.results.get(name).filter(|_| self.set_since.contains(name))
    }

    /// How it stands to a trigger of its flow that is not the first.
    pub fn standing(&self, flow: &Flow, id: &Name) -> Standing {
        if self.summary.status.is_ended() {
            return Standing::Ended;
        }
        if self.summary.wait.as_ref().is_some_and(|wait| wait.trigger.as_ref() == Some(id)) {
            return Standing::WaitsHere;
        }
        let place = flow.steps.iter().position(|step| match &step.action {
            Action::Trigger { trigger, .. } => flow.triggers.get(*trigger).is_some_and(|trigger| trigger.id == *id),
            _ => false,
        });
        // Flows have no loops: what lies behind does not come again.
        match place {
            Some(place) if self.next <= place => Standing::NotYet,
            _ => Standing::Passed,
        }
    }

    fn waits(&self) -> bool {
        self.summary.wait.as_ref().is_some_and(|wait| wait.trigger.is_some())
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.summary.wait.as_ref().and_then(|wait| wait.until).is_some_and(|until| until <= now)
    }

    fn empty(summary: Summary) -> Self {
        Self {
            summary,
            next: 0,
            failed_attempts: 0,
            input: Input::default(),
            vars: Arc::default(),
            triggers: Vec::new(),
            results: Map::new(),
            set_since: BTreeSet::new(),
            reply: None,
        }
    }

    /// Runs the steps that need nothing from outside.
    fn run_ahead<'f>(&mut self, flow: &'f Flow, now: Timestamp, entries: &mut Vec<Entry>) -> Option<Effect<'f>> {
        while self.summary.status == Status::Running {
            let Some(step) = flow.steps.get(self.next) else {
                self.record(flow, EntryKind::Completed, now, entries);
                break;
            };
            let kind = match &step.action {
                Action::Plugin { call, .. } => return Some(Effect::RunStep { call }),
                Action::Respond { reply: ReplySpec::Plugin(call), .. } => return Some(Effect::BuildReply { call }),
                Action::Ticket { request, .. } => return Some(Effect::MakeTicket { request }),
                Action::Http { call, .. } => {
                    let idempotency_key = format!("{}-{}", self.summary.id, self.next);
                    return Some(Effect::SendHttp { call, idempotency_key });
                }
                Action::Trigger { trigger, timeout, .. } => match flow.triggers.get(*trigger) {
                    Some(trigger) => {
                        let until = timeout.map(|timeout| now.saturating_add(timeout));
                        let kind = EntryKind::Waiting { trigger: trigger.id.clone(), until };
                        self.record(flow, kind, now, entries);
                        return Some(Effect::LookIntoMailbox { trigger: &trigger.id });
                    }
                    None => Err(("internal", "the flow has no such trigger".to_owned())),
                },
                Action::Delay(delay) => match delay.until(&self.scope(), now) {
                    Ok(until) => Ok(EntryKind::Delayed { until }),
                    Err(message) => Err(("expression_failed", message)),
                },
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
                    self.go_on(flow, *target);
                    continue;
                }
                Action::Fail { message } => match message.render_text(&self.scope()) {
                    Ok(message) => Err(("flow_failed", message)),
                    Err(error) => Err(("expression_failed", error.to_string())),
                },
            };
            match kind {
                Ok(kind) => self.record(flow, kind, now, entries),
                Err((code, message)) => self.fail(flow, code.to_owned(), message, Vec::new(), now, entries),
            }
        }
        None
    }

    /// Later values of one step see the earlier ones.
    fn set(&self, values: &[(String, Template)]) -> Result<EntryKind, (&'static str, String)> {
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

    /// An answer ends the step, unless it says that the request should come again and there are attempts left.
    fn after_http(
        &mut self,
        flow: &Flow,
        call: &HttpCall,
        name: Option<&String>,
        event: Event,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) {
        let attempt = self.failed_attempts + 1;
        let (result, problem, retryable, retry_after, duration_us) = match event {
            Event::HttpAnswered { status, headers, body, retry_after, duration_us } => {
                let problem = (status >= 400).then(|| format!("the answer was {status}"));
                let retryable = matches!(status, 408 | 425 | 429 | 500..=599);
                let result = json!({ "status": status, "headers": headers, "body": body });
                (result, problem, retryable, retry_after, duration_us)
            }
            Event::HttpUnanswered { problem, retryable } => {
                (json!({ "error": problem }), Some(problem), retryable, None, 0)
            }
            _ => return,
        };
        match problem {
            Some(problem) if retryable && attempt < call.retry.attempts => {
                let pause = call.retry.pause(attempt, &format!("{}{}", self.summary.id, self.next));
                let until = now.saturating_add(retry_after.map_or(pause, |after| after.max(pause)));
                self.record(flow, EntryKind::HttpRetry { attempt, problem, until }, now, entries);
            }
            Some(problem) if call.on_error == OnError::Fail => {
                let message = match attempt {
                    1 => problem,
                    attempts => format!("{problem}, after {attempts} attempts"),
                };
                self.fail(flow, "http_failed".to_owned(), message, Vec::new(), now, entries);
            }
            _ => {
                let kind = EntryKind::Http { name: name.cloned(), result, attempt, duration_us };
                self.record(flow, kind, now, entries);
            }
        }
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
        let error = StepError { code, message, step: self.step_path(flow) };
        self.record(flow, EntryKind::Failed { error, log }, now, entries);
    }

    fn step_path(&self, flow: &Flow) -> String {
        flow.steps.get(self.next).map(|step| step.path.clone()).unwrap_or_default()
    }

    fn record(&mut self, flow: &Flow, kind: EntryKind, now: Timestamp, entries: &mut Vec<Entry>) {
        let step = self.step_path(flow);
        self.apply(flow, &kind, now);
        entries.push(Entry { at: now, step, kind });
    }

    /// What an entry of the journal makes of the execution. Jumps are not in the journal: they follow from the flow.
    fn apply(&mut self, flow: &Flow, kind: &EntryKind, at: Timestamp) {
        self.summary.entries += 1;
        let action = flow.steps.get(self.next).map(|step| &step.action);
        let after = self.next + 1;
        match kind {
            EntryKind::Started { trigger, input, .. } | EntryKind::Resumed { trigger, input, .. } => {
                self.triggers.push((trigger.clone(), Activation { input: input.clone(), timed_out: false }));
                self.set_since.clear();
                let user = input.user.clone().or_else(|| self.input.user.take());
                self.input = Input { user, ..input.clone() };
                // A caller who waits now gets an answer of its own.
                if let Some(Action::Trigger { trigger, .. }) = action
                    && flow.triggers.get(*trigger).is_some_and(|trigger| trigger.mode == Mode::Sync)
                {
                    self.reply = None;
                }
                self.go_on(flow, after);
            }
            EntryKind::Waiting { trigger, until } => self.wait(flow, Some(trigger.clone()), at, *until),
            EntryKind::TimedOut { trigger } => {
                let activation = Activation { input: Input::default(), timed_out: true };
                self.triggers.push((trigger.clone(), activation));
                match action {
                    Some(Action::Trigger { on_timeout: OnTimeout::GoTo(target), .. }) => self.go_on(flow, *target),
                    Some(Action::Trigger { on_timeout: OnTimeout::Fail, .. }) => {
                        let message = format!("no callback of `{trigger}` came in time");
                        let step = self.step_path(flow);
                        self.summary.error = Some(StepError { code: "timed_out".to_owned(), message, step });
                        self.end(Status::TimedOut, at);
                    }
                    _ => self.go_on(flow, after),
                }
            }
            EntryKind::Plugin { name, result, .. }
            | EntryKind::Http { name, result, .. }
            | EntryKind::Ticket { name, result } => {
                if let Some(name) = name {
                    self.results.insert(name.clone(), result.clone());
                    self.set_since.insert(name.clone());
                }
                self.go_on(flow, after);
            }
            EntryKind::HttpRetry { attempt, until, .. } => {
                self.failed_attempts = *attempt;
                self.wait(flow, None, at, Some(*until));
            }
            EntryKind::Delayed { until } => self.wait(flow, None, at, Some(*until)),
            EntryKind::Woken => match action {
                Some(Action::Http { .. }) => {
                    self.summary.wait = None;
                    self.summary.status = Status::Running;
                }
                _ => self.go_on(flow, after),
            },
            EntryKind::Set { values } => {
                self.results.extend(values.clone());
                self.set_since.extend(values.keys().cloned());
                self.go_on(flow, after);
            }
            EntryKind::If { holds } => match action {
                Some(Action::If { otherwise, .. }) if !holds => self.go_on(flow, *otherwise),
                _ => self.go_on(flow, after),
            },
            EntryKind::Responded { reply, end } => {
                self.reply.get_or_insert_with(|| reply.clone().into());
                self.go_on(flow, if *end { flow.steps.len() } else { after });
            }
            EntryKind::Failed { error, .. } => {
                self.summary.error = Some(error.clone());
                self.end(Status::Failed, at);
            }
            EntryKind::Retried => {
                self.summary.error = None;
                self.summary.ended_at = None;
                self.go_on(flow, self.next);
            }
            EntryKind::Cancelled => self.end(Status::Cancelled, at),
            EntryKind::Completed => self.end(Status::Completed, at),
        }
    }

    fn go_on(&mut self, flow: &Flow, next: usize) {
        self.next = next;
        while let Some(Action::Jump(target)) = flow.steps.get(self.next).map(|step| &step.action) {
            self.next = *target;
        }
        self.failed_attempts = 0;
        self.summary.status = Status::Running;
        self.summary.wait = None;
    }

    fn wait(&mut self, flow: &Flow, trigger: Option<Name>, since: Timestamp, until: Option<Timestamp>) {
        self.summary.status = Status::Waiting;
        self.summary.wait = Some(Wait { trigger, step: self.step_path(flow), since, until });
    }

    fn end(&mut self, status: Status, at: Timestamp) {
        self.summary.status = status;
        self.summary.ended_at = Some(at);
        self.summary.wait = None;
    }
}

fn trigger_name(flow: &Flow, index: usize) -> String {
    flow.triggers.get(index).map(|trigger| trigger.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod histories;

#[cfg(test)]
mod tests {
    use super::{EntryKind, Event, Execution, Start, Status};
    use crate::callback::Input;
    use crate::flow::{Flow, parse};
    use crate::name::{CallbackId, ExecutionId, Name};
    use crate::time::Timestamp;
    use serde_json::{Value, json};

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
            input: Input { data: data.into(), ..Input::default() },
            vars: std::sync::Arc::default(),
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
