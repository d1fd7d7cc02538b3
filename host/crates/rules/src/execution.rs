//! One run of a flow, as a pure function: an execution takes an event and answers what to write into its journal and
//! what to do next. Nothing here waits, stores or calls anything.
//!
//! The journal is the truth: an execution is what its entries make of it, in order. The results of steps, and which
//! branch was taken, are in it, so that a restart evaluates nothing again.

mod http;

pub use http::{Rendered, prepare, render};

use crate::expression::{Budget, EvaluationError, Scope, ScopeOfExecution, Template, Truth};
use crate::face::Mode;
use crate::flow::{Action, Flow, HttpCall, OnError, OnTimeout, ReplySpec};
use crate::plugin_call::PluginCall;
use crate::reply;
use ringback_records::callback::Input;
use ringback_records::journal::{Entry, EntryKind, PreparedRequest, Status, StepError, Summary, Wait};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::reply::{Reply, ReplyRecord};
use ringback_records::time::Timestamp;
use ringback_records::trace::shortened;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The code of an `http` step whose request failed.
pub const HTTP_FAILED: &str = "http_failed";

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
    SendHttp { call: &'f HttpCall, request: Arc<PreparedRequest>, idempotency_key: String },
    /// It waits at this trigger: see whether its callback is there already.
    LookIntoMailbox { trigger: &'f Name },
}

impl<'f> Effect<'f> {
    /// The plugin that is asked, if one is.
    pub fn asks(&self) -> Option<&'f PluginCall> {
        match self {
            Self::RunStep { call } | Self::BuildReply { call } => Some(call),
            Self::MakeTicket { .. } | Self::SendHttp { .. } | Self::LookIntoMailbox { .. } => None,
        }
    }
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
        /// `status`, `headers` and `body`; and `note`, where the body is no JSON although it says so, or is base64.
        result: Map<String, Value>,
        retry_after: Option<Duration>,
        duration_us: u64,
    },
    HttpUnanswered {
        /// Of the error that the step ends with: `http_failed`, or of an expression that had no value.
        code: &'static str,
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
    /// What it would have written next is more than the store takes at once.
    TooLarge {
        message: String,
    },
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
    /// What the `http` step under way sends, once it is known.
    request: Option<Arc<PreparedRequest>>,
    /// Its `Idempotency-Key`; known as well when a request that was not answered is about to be made again.
    key: Option<String>,
    /// How often someone let it try a step again that was answered.
    retries: u32,
    /// Whether the step failed because a request was not answered.
    unanswered: bool,
    /// What the trigger that was activated last brought, and the user that was last known.
    input: Input,
    /// The variables of its environment, as they are now: not of the journal.
    pub vars: Arc<Value>,
    /// The most memory that all of the values in its journal may take, in bytes: not of the journal.
    pub bytes_max: usize,
    /// What they take.
    bytes: usize,
    /// What the expressions of the turn that is under way may still use.
    budget: Budget,
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
    pub environment_made_at: Option<Timestamp>,
    pub input: Input,
    /// What the input takes in memory, in bytes.
    pub input_bytes: usize,
    pub vars: Arc<Value>,
    pub bytes_max: usize,
}

impl Execution {
    /// The most memory that the values of one execution may take, unless an operator says otherwise.
    pub const BYTES_MAX: usize = 32 << 20;

    /// Starts an execution at the flow's first trigger and runs it up to its first effect, or to its end.
    pub fn start(flow: &Flow, start: Start, now: Timestamp) -> (Self, Turn<'_>) {
        let Start { id, callback, environment, environment_made_at, input, input_bytes, vars, bytes_max } = start;
        let mut execution = Self::empty(Summary {
            id,
            flow: flow.name.clone(),
            flow_version: flow.version,
            environment,
            environment_made_at,
            status: Status::Running,
            callback,
            started_at: now,
            ended_at: None,
            error: None,
            wait: None,
            entries: 0,
        });
        execution.vars = vars;
        execution.bytes_max = bytes_max;
        let trigger = flow.triggers.first().map(|trigger| trigger.name.clone()).unwrap_or_default();
        let mut entries = Vec::new();
        let kind = EntryKind::Started { callback, trigger, input };
        execution.record_weighed(flow, kind, input_bytes, now, &mut entries);
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
            execution.apply(flow, &entry.kind, entry.kind.weight(usize::MAX >> 1), entry.at);
        }
        execution
    }

    /// What ends an execution that has not ended, where nobody can say any more what its journal means.
    pub fn cancelled_without_flow(before: &Summary, now: Timestamp) -> Option<(Summary, Entry)> {
        let step = before.wait.as_ref().map(|wait| wait.step.clone()).unwrap_or_default();
        let summary = Summary {
            status: Status::Cancelled,
            ended_at: Some(now),
            wait: None,
            entries: before.entries + 1,
            ..before.clone()
        };
        (!before.status.is_ended()).then_some((summary, Entry { at: now, step, kind: EntryKind::Cancelled }))
    }

    /// Goes on after a restart: with the effect that was under way, if any.
    pub fn resume<'f>(&mut self, flow: &'f Flow, now: Timestamp) -> Turn<'f> {
        self.budget = Budget::of_turn();
        let mut entries = Vec::new();
        let step = flow.steps.get(self.next);
        // The journal says how an http step began, but for earlier versions.
        if self.summary.status == Status::Running
            && self.request.is_none()
            && self.key.is_none()
            && step.is_some_and(|step| matches!(step.action, Action::Http { .. }))
        {
            self.key = Some(self.key_of_earlier_versions());
        }
        let trigger = step.and_then(|step| match step.action {
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
        self.budget = Budget::of_turn();
        let mut entries = Vec::new();
        let step = flow.steps.get(self.next).map(|step| &step.action);
        match (event, step) {
            (Event::Cancelled, _) if !self.summary.status.is_ended() => {
                self.record(flow, EntryKind::Cancelled, now, &mut entries);
            }
            (Event::TooLarge { message }, _) if !self.summary.status.is_ended() => {
                self.fail(flow, "change_too_large".to_owned(), message, Vec::new(), now, &mut entries);
            }
            (Event::Retried, _) if matches!(self.summary.status, Status::Failed | Status::TimedOut) => {
                self.record(flow, EntryKind::Retried, now, &mut entries);
            }
            (Event::Resumed { callback, input }, Some(Action::Trigger { trigger, .. })) if self.waits() => {
                let trigger = trigger_name(flow, *trigger);
                self.record_within(flow, EntryKind::Resumed { callback, trigger, input }, now, &mut entries);
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
            (Event::Cancelled | Event::Retried | Event::Resumed { .. } | Event::Woken | Event::TooLarge { .. }, _) => {}
            (_, _) if self.summary.status != Status::Running => {}
            (
                Event::StepDone { plugin, digest, duration_us, result, log },
                Some(Action::Plugin { result: name, .. }),
            ) => {
                let kind = EntryKind::Plugin { plugin, digest, duration_us, name: name.clone(), result, log };
                self.record_within(flow, kind, now, &mut entries);
            }
            (Event::TicketMade(result), Some(Action::Ticket { result: name, .. })) => {
                let kind = EntryKind::Ticket { name: name.clone(), result };
                self.record_within(flow, kind, now, &mut entries);
            }
            (Event::ReplyBuilt(reply), Some(Action::Respond { end, .. })) => {
                let kind = EntryKind::Responded { reply: ReplyRecord::from(&reply), end: *end };
                self.record_within(flow, kind, now, &mut entries);
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
            budget: Some(&self.budget),
        }
    }

    /// Whether what a callback brings has room beside what is there.
    pub fn has_room_for(&self, input: &Input) -> bool {
        self.bytes + input.weight(self.bytes_max) <= self.bytes_max
    }

    /// What the values in its journal take in memory, in bytes.
    pub fn weight(&self) -> usize {
        self.bytes
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
            request: None,
            key: None,
            retries: 0,
            unanswered: false,
            input: Input::default(),
            vars: Arc::default(),
            bytes_max: Self::BYTES_MAX,
            bytes: 0,
            budget: Budget::of_turn(),
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
                Action::Http { call, .. } => match (&self.request, &self.key) {
                    (Some(request), Some(key)) => {
                        let (request, idempotency_key) = (Arc::clone(request), key.clone());
                        return Some(Effect::SendHttp { call, request, idempotency_key });
                    }
                    (_, key) => match prepare(call, &self.scope()) {
                        Ok(request) => {
                            let key = Some(key.clone().unwrap_or_else(|| self.new_key(&step.path)));
                            Ok(EntryKind::HttpRequest { request, key })
                        }
                        Err(error) => Err(failed(&error)),
                    },
                },
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
                    Err(failed) => Err(failed),
                },
                Action::Respond { reply, end } => match reply::render(reply, &self.scope()) {
                    Ok(Some(reply)) => Ok(EntryKind::Responded { reply: ReplyRecord::from(&reply), end: *end }),
                    Ok(None) => Err(("internal", "a plugin's answer was rendered".to_owned())),
                    Err(reply::ReplyError::Expression(error)) => Err(failed(&error)),
                    Err(error @ reply::ReplyError::NotAllowed(_)) => Err(("reply_not_allowed", error.to_string())),
                },
                Action::Set(values) => self.set(values),
                Action::If { when, .. } => match when.truth(&self.scope()) {
                    Ok(Truth::Absent(what)) => Ok(EntryKind::If { holds: false, absent: Some(what) }),
                    Ok(truth) => Ok(EntryKind::If { holds: truth == Truth::True, absent: None }),
                    Err(error) => Err(failed(&error)),
                },
                Action::Jump(target) => {
                    self.go_on(flow, *target);
                    continue;
                }
                Action::Fail { message } => match message.render_text(&self.scope()) {
                    Ok(message) => Err(("flow_failed", message)),
                    Err(error) => Err(failed(&error)),
                },
            };
            match kind {
                Ok(kind) => self.record_within(flow, kind, now, entries),
                Err((code, message)) => self.fail(flow, code.to_owned(), message, Vec::new(), now, entries),
            }
        }
        None
    }

    /// What tells a receiver that it has had this request before: the step's place in the flow file, as `steps.2.then.0`, and how
    /// often someone tried a step again that was answered, since that asks for another answer.
    fn new_key(&self, path: &str) -> String {
        self.key_at(&path.replace('[', ".").replace(']', ""))
    }

    /// The key of a request that was begun by a version that did not write it down: the number of the step, as if all stood in
    /// one line. No new key is like that, so that no two steps share one.
    fn key_of_earlier_versions(&self) -> String {
        self.key_at(&self.next.to_string())
    }

    fn key_at(&self, place: &str) -> String {
        match self.retries {
            0 => format!("{}-{place}", self.summary.id),
            retries => format!("{}-{place}-{retries}", self.summary.id),
        }
    }

    /// Later values of one step see the earlier ones.
    fn set(&self, values: &[(String, Template)]) -> Result<EntryKind, (&'static str, String)> {
        let mut results = Cow::Borrowed(&self.results);
        let mut set = Map::new();
        for (index, (name, template)) in values.iter().enumerate() {
            let mut scope = self.scope();
            if let Some(execution) = &mut scope.execution {
                execution.results = &results;
            }
            let value = template.render(&scope).map_err(|error| failed(&error))?;
            // Nobody sees the last one before it is kept.
            if index + 1 < values.len() {
                results.to_mut().insert(name.clone(), value.clone());
            }
            set.insert(name.clone(), value);
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
        let (code, result, problem, retryable, retry_after, duration_us) = match event {
            Event::HttpAnswered { status, result, retry_after, duration_us } => {
                let problem = (status >= 400).then(|| format!("the answer was {status}"));
                let retryable = matches!(status, 408 | 425 | 429 | 500..=599);
                (HTTP_FAILED, Value::Object(result), problem, retryable, retry_after, duration_us)
            }
            Event::HttpUnanswered { code, problem, retryable } => {
                (code, json!({ "error": problem }), Some(problem), retryable, None, 0)
            }
            _ => return,
        };
        match problem {
            Some(problem) if retryable && attempt < call.retry.attempts => {
                let pause = call.retry.pause(attempt, self.key.as_deref().unwrap_or_default());
                let until = now.saturating_add(retry_after.map_or(pause, |after| after.max(pause)));
                self.record(flow, EntryKind::HttpRetry { attempt, problem, until }, now, entries);
            }
            Some(problem) if call.on_error == OnError::Fail => {
                let message = match attempt {
                    1 => problem,
                    attempts => format!("{problem}, after {attempts} attempts"),
                };
                let error =
                    StepError { code: code.to_owned(), message: shortened(message), step: self.step_path(flow) };
                let unanswered = result.get("error").is_some();
                self.record(flow, EntryKind::Failed { error, log: Vec::new(), unanswered }, now, entries);
            }
            _ => {
                let kind = EntryKind::Http { name: name.cloned(), result, attempt, duration_us };
                self.record_within(flow, kind, now, entries);
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
        let error = StepError { code, message: shortened(message), step: self.step_path(flow) };
        self.record(flow, EntryKind::Failed { error, log, unanswered: false }, now, entries);
    }

    /// Records what brings a value, unless all of them would take more than an execution may.
    fn record_within(&mut self, flow: &Flow, kind: EntryKind, now: Timestamp, entries: &mut Vec<Entry>) {
        let bytes = kind.weight(self.bytes_max);
        if self.bytes + bytes <= self.bytes_max {
            return self.record_weighed(flow, kind, bytes, now, entries);
        }
        let mebibytes = self.bytes_max >> 20;
        let message = format!("what callbacks and steps have brought would take more than {mebibytes} MiB of memory");
        self.fail(flow, "execution_too_large".to_owned(), message, Vec::new(), now, entries);
    }

    fn step_path(&self, flow: &Flow) -> String {
        flow.steps.get(self.next).map(|step| step.path.clone()).unwrap_or_default()
    }

    fn record(&mut self, flow: &Flow, kind: EntryKind, now: Timestamp, entries: &mut Vec<Entry>) {
        let bytes = kind.weight(usize::MAX >> 1);
        self.record_weighed(flow, kind, bytes, now, entries);
    }

    fn record_weighed(&mut self, flow: &Flow, kind: EntryKind, bytes: usize, now: Timestamp, entries: &mut Vec<Entry>) {
        let step = self.step_path(flow);
        self.apply(flow, &kind, bytes, now);
        entries.push(Entry { at: now, step, kind });
    }

    /// What an entry of the journal makes of the execution. Jumps are not in the journal: they follow from the flow.
    fn apply(&mut self, flow: &Flow, kind: &EntryKind, bytes: usize, at: Timestamp) {
        self.summary.entries += 1;
        self.bytes += bytes;
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
            EntryKind::HttpRequest { request, key } => {
                self.request = Some(Arc::new(request.clone()));
                self.key = Some(key.clone().unwrap_or_else(|| self.key_of_earlier_versions()));
            }
            EntryKind::HttpRetry { attempt, until, .. } => {
                self.key = Some(self.key.take().unwrap_or_else(|| self.key_of_earlier_versions()));
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
            EntryKind::If { holds, .. } => match action {
                Some(Action::If { otherwise, .. }) if !holds => self.go_on(flow, *otherwise),
                _ => self.go_on(flow, after),
            },
            EntryKind::Responded { reply, end } => {
                self.reply.get_or_insert_with(|| reply.clone().into());
                self.go_on(flow, if *end { flow.steps.len() } else { after });
            }
            EntryKind::Failed { error, unanswered, .. } => {
                self.unanswered = *unanswered;
                self.summary.error = Some(error.clone());
                self.end(Status::Failed, at);
            }
            EntryKind::Retried => {
                // What was not answered may have been done.
                let key = self.key.take().filter(|_| self.unanswered);
                self.retries += u32::from(!self.unanswered);
                self.summary.error = None;
                self.summary.ended_at = None;
                self.go_on(flow, self.next);
                self.key = key;
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
        self.request = None;
        self.key = None;
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

/// The code and the words for a step whose expression has no value.
fn failed(error: &EvaluationError) -> (&'static str, String) {
    (error.code(), error.to_string())
}

fn trigger_name(flow: &Flow, index: usize) -> String {
    flow.triggers.get(index).map(|trigger| trigger.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod earlier;

#[cfg(test)]
mod histories;

#[cfg(test)]
mod tests;
