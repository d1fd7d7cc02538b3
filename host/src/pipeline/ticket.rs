//! The call of a ticket: whether it is still good, who answers it, and what becomes of it.
//!
//! What a call does and that the ticket is used up become durable together, so that of two calls at the same time one
//! wins. A ticket that may be tried again after an error stays called until its execution has decided.

use super::network::shared;
use super::passage::{Origin, Passage, Place};
use super::{End, Pipeline, Stopped, confirm, respond};
use crate::catalogue::tickets::becomes;
use crate::retry::retry_on_conflict;
use crate::runner::{Answer, Until};
use http::Method;
use ringback_plugin::{CallError, Subject};
use ringback_records::callback::{Callback, Request};
use ringback_records::journal::Status;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::plugin::Role;
use ringback_records::reply::{Reply, ReplyRecord};
use ringback_records::stop::{Problem, Stop};
use ringback_records::ticket::{Handler, TicketRecord, TicketStatus};
use ringback_records::time::Timestamp;
use ringback_records::trace::{PluginUse, Stage, TraceEntry, Verdict};
use ringback_rules::execution::Execution;
use ringback_rules::face::{self, Face, TicketAddress};
use ringback_rules::redact::Lists;
use ringback_rules::reply::{check_redirecting, is_redirect};
use ringback_rules::ticket_response::{self, redirect_not_allowed};
use ringback_store::{StoreError, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a call waits for the one before it, which may leave the ticket open.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The ticket whose URL was called, on the way of the call.
pub(super) struct TicketCall {
    pub(super) ticket: TicketRecord,
    /// Whether the call may use it up: not when a user sends it again, or when it was kept and comes back.
    counts: bool,
    /// Whether another call was faster.
    lost: bool,
}

impl TicketCall {
    /// A call that came before, and is looked at again.
    pub(super) fn again(ticket: TicketRecord) -> Self {
        Self { ticket, counts: false, lost: false }
    }

    /// The execution that the call is for.
    pub(super) fn execution(&self) -> Option<ExecutionId> {
        match &self.ticket.handler {
            Some(Handler::Trigger { execution, .. }) => Some(*execution),
            _ => None,
        }
    }

    pub(super) fn has_lost(&self) -> bool {
        self.lost
    }

    fn may_close(&self) -> bool {
        self.counts && !self.ticket.allow_multiple
    }

    /// What a change that the call makes does to the ticket; `reply` is `None` while the execution has not answered.
    pub(super) fn used_by(
        &self,
        passage: &Passage,
        execution: Option<ExecutionId>,
        reply: Option<&Reply>,
    ) -> Option<Write> {
        let status = match (self.ticket.retryable, reply, execution) {
            (false, ..) => closed_by(passage.callback.id),
            (true, Some(reply), _) if is_success(reply) => closed_by(passage.callback.id),
            (true, None, Some(execution)) => TicketStatus::Called { execution, callback: passage.callback.id },
            _ => return None,
        };
        self.may_close().then(|| becomes(&self.ticket, &passage.callback.workspace, status))
    }

    /// What the answer of the execution does to a ticket that was called and may be tried again.
    pub(super) fn settled_by(&self, passage: &Passage, execution: ExecutionId, reply: &Reply) -> Option<Write> {
        if !self.may_close() || !self.ticket.retryable {
            return None;
        }
        let revision = self.ticket.revision + 1;
        let called = TicketStatus::Called { execution, callback: passage.callback.id };
        let called = TicketRecord { status: called, revision, ..self.ticket.clone() };
        let status = if is_success(reply) { closed_by(passage.callback.id) } else { TicketStatus::Open };
        Some(becomes(&called, &passage.callback.workspace, status))
    }

    /// What a call does to the ticket that did not get through: one whose caller was not accepted does not count (A-GX-1).
    pub(super) fn spent_by(&self, passage: &Passage, stage: Stage, stop: &Stop) -> Option<Write> {
        let counts = matches!(stage, Stage::Parse | Stage::Condition | Stage::Select | Stage::Respond | Stage::Run);
        // Who tries the execution again that has failed, or timed out, waits for a call of this ticket.
        let counts = counts && !stop.temporary && stop.problem != ENDED;
        let spent = (counts && !self.ticket.retryable) || stop.problem == GONE;
        let status = closed_by(passage.callback.id);
        (spent && !self.lost && self.may_close()).then(|| becomes(&self.ticket, &passage.callback.workspace, status))
    }
}

/// A-GX-4.
const GONE: Problem = Problem { status: 410, code: "ticket_closed", detail: "This address is not used any more." };
/// It may be tried again.
const ENDED: Problem = Problem { status: 410, code: "execution_ended", detail: "The execution has ended." };
const EXPIRED: Problem = Problem { status: 410, code: "ticket_expired", detail: "This address has expired." };
const UNDER_WAY: Problem =
    Problem { status: 409, code: "call_under_way", detail: "Another call of this address is under way." };

/// A-GX-1.
fn is_success(reply: &Reply) -> bool {
    reply.status < 400
}

fn closed_by(callback: CallbackId) -> TicketStatus {
    TicketStatus::Closed { closed_at: Timestamp::now(), callback: Some(callback) }
}

fn refused(problem: Problem, reason: impl Into<String>) -> Stop {
    Stop::refused(problem.status, problem.code, problem.detail, reason)
}

/// What became of one attempt to call a ticket.
enum Attempt {
    Done(Reply),
    /// Someone else was faster: the ticket has changed.
    Again,
    /// There is nothing that could be called.
    Unknown,
}

impl Pipeline {
    /// Takes the call of a ticket to its answer.
    pub(super) async fn handle_ticket(
        &self,
        face: &'static dyn Face,
        address: Result<TicketAddress, Problem>,
        request: Request,
    ) -> Reply {
        let id = CallbackId::new();
        let started = Instant::now();
        let unknown = || {
            metrics::counter!("ringback_callbacks_total", "outcome" => "unknown").increment(1);
            respond::unknown(&request.path)
        };
        let address = match address {
            Ok(address) => address,
            Err(problem) if problem == face::UNKNOWN => return unknown(),
            Err(problem) => return problem.reply(None),
        };
        for _ in retry_on_conflict() {
            let (workspace, ticket) = match self.tickets.of_state(address.state).await {
                Ok(Some(found)) if found.1.state_parameter == address.parameter => found,
                Ok(_) => return unknown(),
                Err(error) => return unavailable(id, &error),
            };
            if !self.environments.is_same(&workspace, &ticket.environment, ticket.environment_made_at) {
                return unknown();
            }
            let callback = Arc::new(Callback {
                id,
                workspace,
                environment: ticket.environment.clone(),
                request: request.clone(),
                base_url: ticket.alternative_domain.clone().unwrap_or_else(|| self.public_url.clone()),
                site: None,
                claims: None,
            });
            match self.call_ticket(face, ticket, callback).await {
                Ok(Attempt::Done(reply)) => {
                    metrics::histogram!("ringback_callback_seconds").record(started.elapsed().as_secs_f64());
                    return reply.with_header("ringback-callback", id.to_string());
                }
                Ok(Attempt::Again) => {}
                Ok(Attempt::Unknown) => return unknown(),
                Err(error) => return unavailable(id, &error),
            }
        }
        UNDER_WAY.reply(None).with_header("retry-after", "1")
    }

    async fn call_ticket(
        &self,
        face: &'static dyn Face,
        ticket: TicketRecord,
        callback: Arc<Callback>,
    ) -> Result<Attempt, StoreError> {
        let workspace = callback.workspace.clone();
        let shown = Lists { of_server: &self.hidden, of_trigger: None }.callback(&callback, None);
        // Whether a page may call is for the trigger to say.
        let may_be_preflight = callback.request.method == Method::OPTIONS
            && matches!(&ticket.handler, Some(Handler::Flow { .. } | Handler::Trigger { .. }));
        let stop = match &ticket.status {
            TicketStatus::Closed { callback: None, .. } => Some(refused(GONE, "the ticket was closed by hand")),
            TicketStatus::Closed { callback: Some(by), .. } => {
                Some(refused(GONE, format!("the ticket was used up by the callback {by}")))
            }
            _ if ticket.is_expired(Timestamp::now()) => Some(refused(EXPIRED, "the time of the ticket is over")),
            _ if self.tickets.is_gone(&workspace, &ticket) => Some(refused(GONE, "the flow of the ticket was removed")),
            TicketStatus::Called { execution, callback: by } => {
                match self.settle(&workspace, &ticket, *execution, *by).await? {
                    true => return Ok(Attempt::Again),
                    false => {
                        let reason = format!("the execution {execution} of another call has not answered yet");
                        Some(refused(UNDER_WAY, reason).with_header("retry-after", "5"))
                    }
                }
            }
            TicketStatus::Open if !face.methods().contains(&callback.request.method) && !may_be_preflight => {
                let allowed: Vec<&str> = face.methods().iter().map(Method::as_str).collect();
                let reason = format!("the method is {}", callback.request.method);
                let stop = Stop::refused(405, "method_not_allowed", "This method is not allowed here.", reason);
                Some(stop.with_header("allow", allowed.join(", ")))
            }
            TicketStatus::Open => callback.request.unread.map(Stop::unread),
        };
        if let Some(stop) = stop {
            return Ok(Attempt::Done(self.refuse_ticket(face, &ticket, &shown, stop)));
        }
        if ticket.confirm && callback.request.method == Method::GET {
            return Ok(Attempt::Done(self.ask_to_confirm(face, &ticket, &shown)));
        }
        let deployed = match &ticket.handler {
            None | Some(Handler::Plugin { .. }) => return self.answer_ticket(face, ticket, shown).await,
            Some(Handler::Flow { flow } | Handler::Trigger { flow, .. }) => self.flows.find(&workspace, flow),
        };
        let found = match (deployed.filter(|deployed| deployed.record.enabled), &ticket.handler) {
            (Some(_), Some(Handler::Trigger { flow, trigger, .. })) => {
                self.flows.trigger(&workspace, flow, trigger.as_str()).await?
            }
            (Some(deployed), _) => Some((Arc::clone(&deployed.flow), 0)),
            (None, _) => None,
        };
        // As the URL of a trigger whose flow is disabled.
        let Some((flow, trigger)) = found else { return Ok(Attempt::Unknown) };
        let call = TicketCall { ticket, counts: true, lost: false };
        let passage = self.passage(callback, Place { flow, trigger, face, ticket: Some(call) }, Origin::Caller);
        let (End { outcome, reply, .. }, passage) = self.pass(passage).await?;
        if passage.has_lost() {
            return Ok(Attempt::Again);
        }
        metrics::counter!("ringback_callbacks_total", "outcome" => outcome.as_str()).increment(1);
        let trigger = passage.flow.triggers.get(passage.trigger);
        Ok(Attempt::Done(shared(trigger, &passage.received.request, reply)))
    }

    /// Lets a plugin answer, or gives the stored answer.
    async fn answer_ticket(
        &self,
        face: &'static dyn Face,
        ticket: TicketRecord,
        callback: Arc<Callback>,
    ) -> Result<Attempt, StoreError> {
        let started = Instant::now();
        let mut uses = Vec::new();
        let (outcome, verdict, reason, reply) = match self.reply_of(&ticket, &callback, &mut uses).await {
            Ok(reply) => (Outcome::Answered, Verdict::Passed, format!("answers {}", reply.status), reply),
            Err(stop) => {
                let reply = stopped(&stop, Some(callback.id));
                (Outcome::Failed, Verdict::Failed, stop.reason, reply)
            }
        };
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let entry = TraceEntry { stage: Stage::Respond, verdict, reason, duration_us, plugins: uses };
        let record = record(face, &ticket, &callback, outcome, &reply, entry);
        let workspace = &callback.workspace;
        let mut writes =
            vec![Write::PutCallback { workspace: workspace.clone(), before: None, record: Box::new(record) }];
        if !ticket.allow_multiple && (!ticket.retryable || is_success(&reply)) {
            writes.push(becomes(&ticket, workspace, closed_by(callback.id)));
        }
        match self.store.commit(writes).await {
            Ok(()) => {
                metrics::counter!("ringback_callbacks_total", "outcome" => outcome.as_str()).increment(1);
                Ok(Attempt::Done(reply))
            }
            Err(StoreError::Conflict) => Ok(Attempt::Again),
            Err(error) => Err(error),
        }
    }

    async fn reply_of(
        &self,
        ticket: &TicketRecord,
        callback: &Arc<Callback>,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Reply, Stop> {
        let (workspace, request) = (&callback.workspace, &callback.request);
        let Some(Handler::Plugin { plugin, with }) = &ticket.handler else {
            return ticket_response::reply(&ticket.response, &request.method, |target| {
                self.tickets.may_redirect(workspace, target)
            });
        };
        let subject = Subject {
            callback: Some(Arc::clone(callback)),
            data: Some(face::ticket_data(request, ticket).into()),
            ..Subject::unseen(workspace, &callback.environment)
        };
        let told = |error: CallError| error.stop(Role::Responder);
        let version = self.plugins.active(workspace, plugin, Role::Responder).map_err(told)?;
        let reply = version.respond(&subject, &with.to_string(), check_redirecting, uses).await.map_err(told)?;
        match reply.headers.iter().find(|(name, _)| name == "location") {
            None if is_redirect(reply.status) => {
                let reason = format!("the plugin {plugin} answered {} without `location`", reply.status);
                Err(Stop::failed(500, "redirect_missing", "There is nowhere to go on to.", reason))
            }
            None => Ok(reply),
            Some((_, target)) => match self.tickets.may_redirect(workspace, target) {
                Ok(()) => Ok(reply),
                Err(reason) => Err(redirect_not_allowed(reason)),
            },
        }
    }

    /// Finds out what a call made of a ticket that may be tried again: false when that is not decided yet.
    async fn settle(
        &self,
        workspace: &Name,
        ticket: &TicketRecord,
        id: ExecutionId,
        by: CallbackId,
    ) -> Result<bool, StoreError> {
        let wait = self.runner.wait_for_answer(id, Until::Rested);
        let Ok(run) = self.runner.load(workspace, id).await else { return Ok(false) };
        let answer = match run {
            // It has ended long ago, and was forgotten.
            None => None,
            Some(run) => match Answer::of(&run.execution, Until::Rested) {
                Some(answer) => Some(answer),
                None => match tokio::time::timeout(WAIT_MAX, wait.answer()).await {
                    Ok(Some(answer)) => Some(answer),
                    Ok(None) | Err(_) => return Ok(false),
                },
            },
        };
        let successful = match answer {
            None => true,
            Some(Answer::Responded(reply)) => is_success(&reply),
            Some(Answer::Ended(execution) | Answer::Rested(execution)) => {
                let response = ticket_response::adjusted(&ticket.response, |name| execution.set_by_last_callback(name));
                let allowed = |target: &str| self.tickets.may_redirect(workspace, target);
                matches!(execution.summary.status, Status::Completed | Status::Waiting)
                    && response
                        .and_then(|response| ticket_response::reply(&response, &Method::GET, allowed))
                        .is_ok_and(|r| is_success(&r))
            }
        };
        let status = match successful {
            true => closed_by(by),
            false => TicketStatus::Open,
        };
        match self.store.commit(vec![becomes(ticket, workspace, status)]).await {
            Ok(()) | Err(StoreError::Conflict) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The answer of the ticket, as the execution has left it; `None` for the call of a trigger's own URL.
    pub(super) fn ticket_reply(
        &self,
        passage: &mut Passage,
        execution: Option<&Execution>,
    ) -> Option<Result<Reply, Stop>> {
        let stored = &passage.ticket.as_ref()?.ticket.response;
        let response = match execution {
            Some(execution) => ticket_response::adjusted(stored, |name| execution.set_by_last_callback(name)),
            None => Ok(stored.clone()),
        };
        if response.as_ref().is_ok_and(ticket_response::leaves_out_body) {
            let reason = "an answer with this `responseCode` has no body: `responseBody` is left out".to_owned();
            passage.passed(Stage::Respond, reason);
        }
        let callback = &passage.callback;
        Some(response.and_then(|response| {
            let allowed = |target: &str| self.tickets.may_redirect(&callback.workspace, target);
            ticket_response::reply(&response, &callback.request.method, allowed)
        }))
    }

    /// Whether the ticket is still as it was when the call came; `Err` when another call was faster.
    pub(super) async fn still_good(&self, passage: &mut Passage) -> Result<(), Stopped> {
        let Some(call) = passage.ticket.as_mut().filter(|call| call.may_close()) else { return Ok(()) };
        let now = self.tickets.get(&passage.callback.workspace, call.ticket.id).await;
        let now = now.map_err(|error| (Stage::Face, Stop::from(&error)))?;
        if now.is_some_and(|now| now.revision == call.ticket.revision) {
            return Ok(());
        }
        call.lost = true;
        Err((Stage::Face, refused(GONE, "another call was faster")))
    }

    /// Where the execution is gone that a ticket is for, the ticket has no use any more.
    pub(super) async fn gone_with_execution(&self, passage: &Passage, (stage, stop): Stopped) -> Stopped {
        let gone = matches!(stop.problem.code, "unknown_execution" | "execution_ended" | "trigger_passed");
        let Some(call) = passage.ticket.as_ref().filter(|_| gone) else { return (stage, stop) };
        let execution = match call.execution() {
            Some(id) => self.store.summary(&passage.callback.workspace, id).await.ok().flatten(),
            None => None,
        };
        // Who tries the execution again may want the ticket, too.
        let may_go_on = execution.is_some_and(|summary| matches!(summary.status, Status::Failed | Status::TimedOut));
        let problem = if may_go_on { ENDED } else { GONE };
        (stage, Stop { problem, ..stop })
    }

    fn refuse_ticket(&self, face: &dyn Face, ticket: &TicketRecord, callback: &Callback, stop: Stop) -> Reply {
        let reply = stopped(&stop, Some(callback.id));
        let (stage, verdict) = (Stage::Face, Verdict::Refused);
        let entry = TraceEntry { stage, verdict, reason: stop.reason, duration_us: 0, plugins: Vec::new() };
        self.keep_record(callback, record(face, ticket, callback, Outcome::Rejected, &reply, entry));
        reply
    }

    fn ask_to_confirm(&self, face: &dyn Face, ticket: &TicketRecord, callback: &Callback) -> Reply {
        let (reply, reason) = (confirm::page(), confirm::REASON.to_owned());
        let (stage, verdict) = (Stage::Face, Verdict::Ignored);
        let entry = TraceEntry { stage, verdict, reason, duration_us: 0, plugins: Vec::new() };
        self.keep_record(callback, record(face, ticket, callback, Outcome::Ignored, &reply, entry));
        reply
    }

    fn keep_record(&self, callback: &Callback, record: CallbackRecord) {
        metrics::counter!("ringback_callbacks_total", "outcome" => record.outcome.as_str()).increment(1);
        if !self.store.keep_recent(&callback.workspace, &record) {
            metrics::counter!("ringback_records_dropped_total").increment(1);
        }
    }
}

fn record(
    face: &dyn Face,
    ticket: &TicketRecord,
    callback: &Callback,
    outcome: Outcome,
    reply: &Reply,
    entry: TraceEntry,
) -> CallbackRecord {
    CallbackRecord {
        ticket: Some(ticket.id),
        outcome,
        reply: Some(ReplyRecord::from(reply)),
        trace: vec![entry],
        ..CallbackRecord::received(callback, face.name(), usize::MAX)
    }
}

fn stopped(stop: &Stop, callback: Option<CallbackId>) -> Reply {
    let reply = stop.problem.reply(callback);
    match &stop.header {
        Some(header) => reply.with_header(header.0, &header.1),
        None => reply,
    }
}

fn unavailable(callback: CallbackId, error: &StoreError) -> Reply {
    tracing::error!(callback.id = %callback, %error, "the call of a ticket could not be stored");
    stopped(&Stop::from(error), None)
}
