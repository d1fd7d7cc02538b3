//! One run of a flow, as a pure function: an execution takes an event and answers what to write into its journal and
//! what to do next. Nothing here waits, stores or calls anything.
//!
//! The journal is the truth: an execution is what its entries make of it, in order. The results of steps, and which
//! branch was taken, are in it, so that a restart evaluates nothing again.

mod http;
mod position;
pub(crate) mod step;

pub use http::{Rendered, is_same, prepare, render};

pub use step::http::{HTTP_FAILED, HttpCall, check_url};
pub(crate) use step::{KINDS, Kind, Read};

use crate::expression::{Activation, Budget, Scope, ScopeOfExecution, Template};
use crate::flow::Flow;
use crate::plugin_call::PluginCall;
use position::Position;
use ringback_records::callback::Input;
use ringback_records::journal::{Entry, EntryKind, Held, PreparedRequest, Status, StepError, Summary, Wait};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::plugin::Role;
use ringback_records::reply::Reply;
use ringback_records::time::Timestamp;
use ringback_records::trace::shortened;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use step::http::Attempts;
use step::{At, Begin, Failure, Line, Next};

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
    LookIntoMailbox { trigger: &'f Name, has_key: bool },
}

impl<'f> Effect<'f> {
    /// The plugin that is asked, if one is, and as what.
    pub fn asks(&self) -> Option<(&'f PluginCall, Role)> {
        match self {
            Self::RunStep { call } => Some((call, Role::Step)),
            Self::BuildReply { call } => Some((call, Role::Responder)),
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
        cpu_us: Option<u64>,
        result: Value,
        log: Vec<String>,
    },
    ReplyBuilt {
        reply: Reply,
        log: Vec<String>,
    },
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
    /// A callback of a trigger that it waits at.
    Resumed {
        trigger: Name,
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
    /// The next step, or the one under way.
    position: Position,
    /// What is known of the request of the step under way.
    attempts: Attempts,
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
    /// The keys that it holds.
    pub holds: Vec<Held>,
    pub vars: Arc<Value>,
    pub bytes_max: usize,
}

impl Execution {
    /// The most memory that the values of one execution may take, unless an operator says otherwise.
    pub const BYTES_MAX: usize = 32 << 20;

    /// Starts an execution at the flow's first trigger and runs it up to its first effect, or to its end.
    pub fn start(flow: &Flow, start: Start, now: Timestamp) -> (Self, Turn<'_>) {
        let Start { id, callback, environment, environment_made_at, input, input_bytes, holds, vars, bytes_max } =
            start;
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
            waits: Vec::new(),
            holds: Vec::new(),
            entries: 0,
        });
        execution.vars = vars;
        execution.bytes_max = bytes_max;
        let trigger = flow.triggers.first().map(|trigger| trigger.name.clone()).unwrap_or_default();
        let mut entries = Vec::new();
        let kind = EntryKind::Started { callback, trigger, holds, input };
        execution.record_weighed(flow, kind, input_bytes, now, &mut entries);
        let effect = execution.run_ahead(flow, false, now, &mut entries);
        (execution, Turn { entries, effect })
    }

    /// The execution that a journal describes.
    pub fn restore(flow: &Flow, summary: Summary, journal: Vec<Entry>) -> Self {
        let mut execution = Self::empty(Summary {
            entries: 0,
            status: Status::Running,
            waits: Vec::new(),
            holds: Vec::new(),
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
        let summary = Summary { status: Status::Cancelled, ..before.clone() };
        Self::ended_without_flow(before, summary, EntryKind::Cancelled, now)
    }

    /// The same for one that would have to go on.
    pub fn failed_without_flow(before: &Summary, now: Timestamp) -> Option<(Summary, Entry)> {
        let Summary { flow, flow_version, .. } = before;
        let message = format!("version {flow_version} of the flow {flow} is gone: nobody knows what comes next");
        let step = before.waits.first().map(|wait| wait.step.clone()).unwrap_or_default();
        let error = StepError { code: "flow_gone".to_owned(), message, step };
        let summary = Summary { status: Status::Failed, error: Some(error.clone()), ..before.clone() };
        let failed = EntryKind::Failed { error, log: Vec::new(), unanswered: false };
        Self::ended_without_flow(before, summary, failed, now)
    }

    fn ended_without_flow(
        before: &Summary,
        summary: Summary,
        kind: EntryKind,
        now: Timestamp,
    ) -> Option<(Summary, Entry)> {
        let wait = before.waits.first();
        let (step, rounds) = wait.map(|wait| (wait.step.clone(), wait.rounds.clone())).unwrap_or_default();
        let (waits, holds) = (Vec::new(), Vec::new());
        let summary = Summary { ended_at: Some(now), waits, holds, entries: before.entries + 1, ..summary };
        (!before.status.is_ended()).then_some((summary, Entry { at: now, step, rounds, kind }))
    }

    /// Goes on after a restart: with the effect that was under way, if any.
    pub fn resume<'f>(&mut self, flow: &'f Flow, now: Timestamp) -> Turn<'f> {
        self.budget = Budget::of_turn();
        let mut entries = Vec::new();
        let effect = match flow.triggers.iter().find(|trigger| self.summary.waits_at(&trigger.id)) {
            Some(trigger) => {
                let has_key = self.summary.key_at(&trigger.id).is_some();
                Some(Effect::LookIntoMailbox { trigger: &trigger.id, has_key })
            }
            None => self.run_ahead(flow, true, now, &mut entries),
        };
        Turn { entries, effect }
    }

    /// Goes on with what an effect brought, or what came from outside.
    pub fn handle<'f>(&mut self, flow: &'f Flow, event: Event, now: Timestamp) -> Turn<'f> {
        self.budget = Budget::of_turn();
        let mut entries = Vec::new();
        if self.takes(&event, now) {
            let change = match event {
                Event::Cancelled => Ok(EntryKind::Cancelled),
                Event::Retried => Ok(EntryKind::Retried),
                Event::TooLarge { message } => Err(Failure::new("change_too_large", message)),
                Event::Failed { code, message, log } => Err(Failure { log, ..Failure::new(code, message) }),
                event => match self.position.step(flow) {
                    Some(step) => step.kind.after(event, &At { execution: self, flow, step, begun: true, now }),
                    None => Err(Failure::unexpected()),
                },
            };
            match change {
                Ok(kind) => self.record_within(flow, kind, now, &mut entries),
                Err(failure) => self.fail(flow, failure, now, &mut entries),
            }
        }
        let effect = if entries.is_empty() { None } else { self.run_ahead(flow, false, now, &mut entries) };
        Turn { entries, effect }
    }

    /// What comes from outside and does not fit, any more or yet, changes nothing.
    fn takes(&self, event: &Event, now: Timestamp) -> bool {
        let status = self.summary.status;
        match event {
            Event::Cancelled | Event::TooLarge { .. } => !status.is_ended(),
            Event::Retried => matches!(status, Status::Failed | Status::TimedOut),
            Event::Resumed { trigger, .. } => self.summary.waits_at(trigger),
            Event::Woken => self.summary.due(now).is_some(),
            Event::StepDone { .. }
            | Event::ReplyBuilt { .. }
            | Event::TicketMade(_)
            | Event::HttpAnswered { .. }
            | Event::HttpUnanswered { .. }
            | Event::Failed { .. } => status == Status::Running,
        }
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
        if self.summary.waits_at(id) {
            return Standing::WaitsHere;
        }
        match Position::of_trigger(flow, id) {
            Some(place) if self.position.may_get_to(&place) => Standing::NotYet,
            _ => Standing::Passed,
        }
    }

    /// Whether it has waited at a trigger of its flow.
    pub fn has_been_at(&self, flow: &Flow, id: &Name) -> bool {
        let trigger = flow.triggers.iter().find(|trigger| trigger.id == *id);
        trigger.is_some_and(|trigger| self.triggers.iter().any(|(name, _)| *name == trigger.name))
    }

    fn empty(summary: Summary) -> Self {
        Self {
            summary,
            position: Position::start(),
            attempts: Attempts::default(),
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

    /// Runs the steps that need nothing from outside. The first of them may have begun before the process ended.
    fn run_ahead<'f>(
        &mut self,
        flow: &'f Flow,
        mut begun: bool,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Option<Effect<'f>> {
        while self.summary.status == Status::Running {
            let Some(step) = self.position.step(flow) else {
                self.record(flow, EntryKind::Completed, now, entries);
                break;
            };
            match step.kind.begin(&At { execution: self, flow, step, begun, now }) {
                Ok(Begin::Write(kind)) => self.record_within(flow, kind, now, entries),
                Ok(Begin::Ask(effect)) => return Some(effect),
                Ok(Begin::WriteAndAsk(kind, effect)) => {
                    self.record(flow, kind, now, entries);
                    return Some(effect);
                }
                Err(failure) => self.fail(flow, failure, now, entries),
            }
            begun = false;
        }
        None
    }

    fn fail(&mut self, flow: &Flow, failure: Failure, now: Timestamp, entries: &mut Vec<Entry>) {
        let Failure { code, message, log, unanswered } = failure;
        let error = StepError { code, message: shortened(message), step: self.step_path(flow) };
        self.record(flow, EntryKind::Failed { error, log, unanswered }, now, entries);
    }

    /// Records what brings a value, unless all of them would take more than an execution may.
    fn record_within(&mut self, flow: &Flow, kind: EntryKind, now: Timestamp, entries: &mut Vec<Entry>) {
        let bytes = kind.weight(self.bytes_max);
        if bytes == 0 || self.bytes + bytes <= self.bytes_max {
            return self.record_weighed(flow, kind, bytes, now, entries);
        }
        let mebibytes = self.bytes_max >> 20;
        let message = format!("what callbacks and steps have brought would take more than {mebibytes} MiB of memory");
        self.fail(flow, Failure::new("execution_too_large", message), now, entries);
    }

    fn step_path(&self, flow: &Flow) -> String {
        self.position.step(flow).map(|step| step.path.clone()).unwrap_or_default()
    }

    fn record(&mut self, flow: &Flow, kind: EntryKind, now: Timestamp, entries: &mut Vec<Entry>) {
        let bytes = kind.weight(usize::MAX >> 1);
        self.record_weighed(flow, kind, bytes, now, entries);
    }

    fn record_weighed(&mut self, flow: &Flow, kind: EntryKind, bytes: usize, now: Timestamp, entries: &mut Vec<Entry>) {
        let (step, rounds) = (self.step_path(flow), self.position.rounds());
        self.apply(flow, &kind, bytes, now);
        entries.push(Entry { at: now, step, rounds, kind });
    }

    /// What an entry of the journal makes of the execution. Where a block ends is not in the journal: it follows from the flow.
    fn apply(&mut self, flow: &Flow, kind: &EntryKind, bytes: usize, at: Timestamp) {
        self.summary.entries += 1;
        self.bytes += bytes;
        match kind {
            EntryKind::Failed { error, unanswered, .. } => {
                self.unanswered = *unanswered;
                self.summary.error = Some(error.clone());
                self.end(Status::Failed, at);
            }
            EntryKind::Retried => {
                self.attempts = std::mem::take(&mut self.attempts).again(self.unanswered);
                self.retries += u32::from(!self.unanswered);
                self.summary.error = None;
                self.summary.ended_at = None;
                self.wake(flow);
            }
            EntryKind::Cancelled => self.end(Status::Cancelled, at),
            EntryKind::Completed => self.end(Status::Completed, at),
            EntryKind::Started { .. }
            | EntryKind::Waiting { .. }
            | EntryKind::Resumed { .. }
            | EntryKind::TimedOut { .. }
            | EntryKind::Plugin { .. }
            | EntryKind::Http { .. }
            | EntryKind::Ticket { .. }
            | EntryKind::HttpRequest { .. }
            | EntryKind::HttpRetry { .. }
            | EntryKind::Delayed { .. }
            | EntryKind::Woken
            | EntryKind::Set { .. }
            | EntryKind::If { .. }
            | EntryKind::Responded { .. } => {
                if let Some(step) = self.position.step(flow) {
                    let next = step.kind.apply(&Line { kind, at, flow }, self);
                    self.go_on(flow, next);
                }
            }
        }
    }

    fn go_on(&mut self, flow: &Flow, next: Next) {
        if matches!(next, Next::Stay) {
            return;
        }
        self.wake(flow);
        match next {
            Next::Stay => {}
            Next::GoOn => self.position.go_on(flow),
            Next::Enter { block, times } => self.position.enter(flow, block, times),
            Next::End => self.position.end(flow),
        }
        self.attempts = Attempts::default();
    }

    /// Keeps the result of a step under its name, if it has one.
    fn keep(&mut self, name: Option<&String>, result: &Value) {
        if let Some(name) = name {
            self.results.insert(name.clone(), result.clone());
            self.set_since.insert(name.clone());
        }
    }

    fn wait(&mut self, line: &Line<'_>, trigger: Option<Name>, key: Option<String>, until: Option<Timestamp>) {
        self.summary.status = Status::Waiting;
        let (step, rounds) = (self.step_path(line.flow), self.position.rounds());
        self.summary.waits.push(Wait { trigger, key, step, rounds, since: line.at, until });
    }

    /// Ends the wait of the step under way, and of no other.
    fn wake(&mut self, flow: &Flow) {
        self.summary.status = Status::Running;
        if !self.summary.waits.is_empty() {
            let (step, rounds) = (self.step_path(flow), self.position.rounds());
            self.summary.waits.retain(|wait| wait.step != step || wait.rounds != rounds);
        }
    }

    fn end(&mut self, status: Status, at: Timestamp) {
        self.summary.status = status;
        self.summary.ended_at = Some(at);
        self.summary.waits.clear();
        self.summary.holds.clear();
    }
}

#[cfg(test)]
mod earlier;

#[cfg(test)]
mod histories;

#[cfg(test)]
mod repeat;

#[cfg(test)]
mod tests;
