//! What is known of a callback on its way, and its record.

use super::dedupe::Identity;
use super::ticket::TicketCall;
use super::{End, Stopped};
use crate::weight::LoadedFlow;
use ringback_plugin::Subject;
use ringback_records::callback::{Callback, Input};
use ringback_records::name::{CallbackId, ExecutionId};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::reply::{Reply, ReplyRecord};
use ringback_records::stop::{Misplaced, Stop};
use ringback_records::time::Timestamp;
use ringback_records::trace::{PluginUse, Stage, TraceEntry, Verdict, bounded};
use ringback_rules::expression::Scope;
use ringback_rules::face::{Face, Mode};
use ringback_rules::flow::{Flow, Trigger};
use ringback_rules::plugin_call::PluginCall;
use ringback_rules::redact::{Lists, Names};
use ringback_store::Write;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// How much of a body is kept that was not verified: enough to see what it was, too little to fill a disk.
const UNVERIFIED_BODY_BYTES_MAX: usize = 4096;

/// Where a callback comes from.
pub(super) enum Origin {
    Caller,
    /// A user tries what would become of it.
    Trial,
    /// A user sends a recorded callback again.
    Replay {
        record: Box<CallbackRecord>,
        /// Whether with another body.
        is_edited: bool,
        dry_run: bool,
    },
    /// It was kept while a plugin rested.
    Deferred {
        record: Box<CallbackRecord>,
    },
}

impl Origin {
    pub(super) fn record(&self) -> Option<&CallbackRecord> {
        match self {
            Self::Caller | Self::Trial => None,
            Self::Replay { record, .. } | Self::Deferred { record } => Some(record),
        }
    }

    pub(super) fn is_dry_run(&self) -> bool {
        matches!(self, Self::Trial | Self::Replay { dry_run: true, .. })
    }

    pub(super) fn is_edited(&self) -> bool {
        matches!(self, Self::Replay { is_edited: true, .. })
    }
}

/// Where a callback has come to.
pub(super) struct Place {
    pub(super) flow: Arc<LoadedFlow>,
    pub(super) trigger: usize,
    pub(super) face: &'static dyn Face,
    /// The ticket whose URL was called.
    pub(super) ticket: Option<TicketCall>,
}

/// What has been found out about a callback so far.
pub(super) struct Passage {
    /// As it may be seen and kept: without credentials.
    pub(super) callback: Arc<Callback>,
    /// As it came: for the stages alone that find out who calls.
    pub(super) received: Arc<Callback>,
    pub(super) flow: Arc<LoadedFlow>,
    pub(super) trigger: usize,
    pub(super) face: &'static dyn Face,
    /// The ticket whose URL was called.
    pub(super) ticket: Option<TicketCall>,
    pub(super) origin: Origin,
    pub(super) trace: Vec<TraceEntry>,
    /// Plugins used by the stage that is under way.
    pub(super) uses: Vec<PluginUse>,
    pub(super) verified: bool,
    /// Who called, where that is known.
    pub(super) user: Option<Arc<Value>>,
    /// The variables of the environment.
    pub(super) vars: Arc<Value>,
    /// When the environment was made that it came into, and when the flow was.
    pub(super) environment_made_at: Option<Timestamp>,
    pub(super) flow_made_at: Option<Timestamp>,
    /// The first callback of the same delivery.
    pub(super) repeats: Option<CallbackId>,
    /// How many executions it resumed, when it was for all.
    pub(super) resumed_count: Option<u64>,
    /// The callbacks that were made of its parts.
    pub(super) parts: Vec<CallbackId>,
    /// What tells it from other deliveries, while it is not known to have come before.
    pub(super) identity: Option<Identity>,
    /// What has come of it, as its record says that is kept so far.
    pub(super) kept_as: Option<Outcome>,
    /// What has to be written with whatever becomes of it.
    pub(super) with: Vec<Write>,
    /// Where its body becomes data, if that is large.
    pub(super) room: Option<ringback_share::Place>,
    stage_started: Instant,
}

impl Passage {
    pub(super) fn new(received: Arc<Callback>, place: Place, vars: Arc<Value>, origin: Origin, hidden: &Names) -> Self {
        let Place { flow, trigger, face, ticket } = place;
        let of = flow.triggers.get(trigger);
        let lists = Lists { of_server: hidden, of_trigger: of.map(|trigger| &trigger.redact) };
        let kept_as = match &origin {
            Origin::Deferred { record } => Some(record.outcome),
            Origin::Caller | Origin::Trial | Origin::Replay { .. } => None,
        };
        Self {
            callback: lists
                .callback(&received, of.and_then(|trigger| trigger.verify.body_without_proof(&received.request))),
            received,
            flow,
            trigger,
            face,
            ticket,
            origin,
            trace: Vec::with_capacity(6),
            uses: Vec::new(),
            verified: false,
            user: None,
            vars,
            environment_made_at: None,
            flow_made_at: None,
            repeats: None,
            resumed_count: None,
            parts: Vec::new(),
            identity: None,
            kept_as,
            with: Vec::new(),
            room: None,
            stage_started: Instant::now(),
        }
    }

    /// Whether another call of its ticket was faster: it is tried again, as if it had not been.
    pub(super) fn has_lost(&self) -> bool {
        self.ticket.as_ref().is_some_and(TicketCall::has_lost)
    }

    /// Whether it is a part of another callback: its body is its data.
    pub(super) fn is_part(&self) -> bool {
        self.origin.record().is_some_and(|record| record.part.is_some())
    }

    pub(super) fn is_first_trigger(&self) -> bool {
        self.trigger == 0
    }

    /// Whether it can be kept until a plugin that rests is back: it is genuine, and its caller does not wait for the flow.
    pub(super) fn may_be_deferred(&self, trigger: &Trigger) -> bool {
        self.verified && trigger.mode == Mode::Async
    }

    pub(super) fn allow_method(&self, trigger: &Trigger) -> Result<(), Stop> {
        let method = &self.callback.request.method;
        let methods = trigger.methods(self.face);
        if methods.contains(method) {
            return Ok(());
        }
        let allowed: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
        let allowed = allowed.join(", ");
        let reason = format!("the method is {method}, but the trigger takes {allowed}");
        Err(Stop::refused(405, "method_not_allowed", "This method is not allowed here.", reason)
            .with_header("allow", allowed))
    }

    /// The configuration of a plugin that runs before there is data.
    pub(super) fn config_before_data<'c>(
        &self,
        call: &'c PluginCall,
        seen: &Callback,
    ) -> Result<std::borrow::Cow<'c, str>, Stop> {
        let input = Input { user: self.user.clone(), ..Input::default() };
        let config = call.config(&scope_of(seen, &self.flow, &input, &self.vars));
        config.map_err(|error| Stop::from(&error))
    }

    /// What plugins see of a callback whose body is not parsed yet.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            callback: Some(Arc::clone(&self.callback)),
            dry_run: self.origin.is_dry_run(),
            ..Subject::unseen(&self.callback.workspace, &self.callback.environment)
        }
    }

    /// Takes over what a verifier said of it.
    pub(super) fn claimed(&mut self, claims: Option<Value>) {
        if let Some(claims) = claims {
            Arc::make_mut(&mut self.callback).claims = Some(Arc::new(claims));
        }
    }

    pub(super) fn passed(&mut self, stage: Stage, reason: String) {
        self.note(stage, Verdict::Passed, reason);
    }

    pub(super) fn note(&mut self, stage: Stage, verdict: Verdict, reason: String) {
        let now = Instant::now();
        let duration_us = u64::try_from((now - self.stage_started).as_micros()).unwrap_or(u64::MAX);
        self.stage_started = now;
        let plugins = std::mem::take(&mut self.uses);
        self.trace.push(TraceEntry { stage, verdict, reason, duration_us, plugins });
    }

    /// The end of a callback that a stage did not let pass.
    pub(super) fn stopped(&mut self, (stage, stop): Stopped) -> End {
        let (outcome, verdict) =
            if stop.refused { (Outcome::Rejected, Verdict::Refused) } else { (Outcome::Failed, Verdict::Failed) };
        if let Some(call) = &self.ticket {
            self.with.extend(call.spent_by(self, stage, &stop));
        }
        self.note(stage, verdict, stop.reason);
        let mut reply = self.face.stopped(&stop.problem, Some(self.callback.id));
        if let Some(misplaced) = &stop.misplaced {
            reply = with_place(reply, misplaced);
        }
        if let Some((name, value)) = stop.header.map(|header| *header) {
            reply = reply.with_header(name, value);
        }
        End { outcome, execution: None, reply, recorded: false }
    }

    /// The end of what was no callback, but a provider's question whether it may send some.
    pub(super) fn answered_question(&mut self, stage: Stage, reply: Reply) -> End {
        self.note(stage, Verdict::Passed, "it asked whether the URL may be used, and was answered".to_owned());
        End { outcome: Outcome::Answered, execution: None, reply, recorded: false }
    }

    /// The end of what was no callback, but a question about the URL itself.
    pub(super) fn asked(&mut self, reason: &str, reply: Reply) -> End {
        self.note(Stage::Face, Verdict::Passed, reason.to_owned());
        End { outcome: Outcome::Answered, execution: None, reply, recorded: false }
    }

    /// The end of a callback that does not count.
    pub(super) fn ignored(&self) -> End {
        End { outcome: Outcome::Ignored, execution: None, reply: self.face.ignored(), recorded: false }
    }

    /// What makes durable what became of it: its record, that its delivery is known, and what has to be written with it.
    pub(super) fn writes(&self, outcome: Outcome, execution: Option<ExecutionId>, reply: Option<&Reply>) -> Vec<Write> {
        let mut writes = self.with.clone();
        writes.extend(self.identity.as_ref().map(|identity| identity.write(self)));
        writes.extend(self.ticket.as_ref().and_then(|call| call.used_by(self, execution, reply)));
        writes.push(self.put_record(outcome, execution, reply));
        writes
    }

    pub(super) fn put_record(&self, outcome: Outcome, execution: Option<ExecutionId>, reply: Option<&Reply>) -> Write {
        let record = Box::new(self.record(outcome, execution, reply));
        Write::PutCallback { workspace: self.callback.workspace.clone(), before: self.kept_as, record }
    }

    pub(super) fn record(
        &self,
        outcome: Outcome,
        execution: Option<ExecutionId>,
        reply: Option<&Reply>,
    ) -> CallbackRecord {
        let trigger = self.flow.triggers.get(self.trigger);
        let body_bytes_max = if self.verified { usize::MAX } else { UNVERIFIED_BODY_BYTES_MAX };
        let (replay_of, mut trace) = match &self.origin {
            Origin::Caller | Origin::Trial => (self.repeats, Vec::new()),
            Origin::Replay { record, .. } => (Some(record.id), Vec::new()),
            // What happened before stays.
            Origin::Deferred { record } => (record.replay_of, record.trace.clone()),
        };
        trace.extend_from_slice(&self.trace);
        let reply = match &self.origin {
            // Whoever sent it has an answer, and gets that one again, unless something went wrong.
            Origin::Deferred { record } if matches!(outcome, Outcome::Started | Outcome::Resumed) => {
                record.reply.clone().or_else(|| reply.map(ReplyRecord::from))
            }
            _ => reply.map(ReplyRecord::from),
        };
        CallbackRecord {
            flow: Some(self.flow.name.clone()),
            flow_made_at: self.flow_made_at,
            trigger: trigger.map(|trigger| trigger.id.to_string()).unwrap_or_default(),
            ticket: self.ticket.as_ref().map(|call| call.ticket.id),
            environment_made_at: self.environment_made_at,
            outcome,
            execution,
            resumed_count: self.resumed_count,
            user: self.user.clone(),
            replay_of,
            is_edited: self.origin.is_edited(),
            part: self.origin.record().and_then(|record| record.part),
            parts: self.parts.clone(),
            reply,
            trace: bounded(trace),
            body_bytes: self.received.request.body.len() as u64,
            ..CallbackRecord::received(&self.callback, self.face.name(), body_bytes_max)
        }
    }
}

/// An answer that says also what of the data is meant, where it is an object.
fn with_place(reply: Reply, Misplaced { pointer, keyword }: &Misplaced) -> Reply {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(&reply.body) else { return reply };
    body.insert("errors".to_owned(), serde_json::json!([{ "pointer": pointer, "keyword": keyword }]));
    Reply { body: Value::Object(body).to_string().into(), ..reply }
}

pub(super) fn scope_of<'a>(callback: &'a Callback, flow: &'a Flow, input: &'a Input, vars: &'a Value) -> Scope<'a> {
    Scope {
        flow: &flow.name,
        environment: &callback.environment,
        callback: Some(callback),
        input,
        vars,
        execution: None,
        secrets: None,
        budget: None,
    }
}
