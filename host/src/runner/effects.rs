//! What executions ask for: steps of plugins, answers, tickets, requests.

use super::mailbox::Look;
use super::{ASK_RESTING_AFTER, RETRY_AFTER, Runner};
use crate::catalogue::tickets::{self, TicketError};
use ringback_plugin::{CallError, Subject, Version};
use ringback_records::name::{Name, TicketId};
use ringback_records::plugin::Role;
use ringback_records::ticket::{TicketRecord, TicketRequest};
use ringback_records::time::Timestamp;
use ringback_records::trace::PluginUse;
use ringback_rules::execution::{Effect, Event, Execution};
use ringback_rules::expression::{EvaluationError, Template};
use ringback_rules::flow::Flow;
use ringback_rules::plugin_call::PluginCall;
use ringback_rules::reply;
use ringback_store::{StoreError, Write};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How often a step is tried again whose plugin says that it may succeed later. Each pause is twice the one before.
const FAILURES_MAX: u32 = 5;

pub(super) enum Performed {
    /// What it brought, and what has to be written with that.
    Done(Event, Vec<Write>),
    /// There is nothing to go on with.
    Nothing,
    Later {
        failures: u32,
        pause: Duration,
    },
}

enum Failure {
    Expression(EvaluationError),
    Ticket(String),
    Call(CallError),
}

impl Runner {
    /// What an effect brought. The plugin of its step has failed so often before.
    pub(super) async fn perform(
        &self,
        workspace: &Name,
        flow: &Flow,
        execution: &Execution,
        effect: &Effect<'_>,
        failures: u32,
    ) -> Result<Performed, StoreError> {
        Ok(match effect {
            Effect::RunStep { call } => {
                let version = self.inner.plugins.called(workspace, call, Role::Step).await;
                ask(execution, effect, version, &Subject::of_execution(workspace, execution), failures).await
            }
            Effect::BuildReply { call } => {
                // A responder that does not see its callback would answer something else: better nothing.
                let record = self.inner.store.callback(workspace, execution.summary.callback).await?;
                let base_url = || self.inner.public_url.clone();
                let callback = record.map(|record| Arc::new(record.into_callback(workspace.clone(), base_url())));
                let subject = Subject { callback, ..Subject::of_execution(workspace, execution) };
                let version = self.inner.plugins.called(workspace, call, Role::Responder).await;
                ask(execution, effect, version, &subject, failures).await
            }
            Effect::MakeTicket { request } => match self.make_ticket(workspace, execution, request).await? {
                Ok((event, write)) => Performed::Done(event, write.into_iter().collect()),
                Err(Failure::Call(error)) if error.is_temporary() => {
                    Performed::Later { failures, pause: pause(&error) }
                }
                Err(failure) => failed(failure, Vec::new()),
            },
            Effect::SendHttp { call, request, idempotency_key } => {
                let scope = execution.scope();
                let event = self.inner.http.send(workspace, call, request, &scope, idempotency_key).await;
                Performed::Done(event, Vec::new())
            }
            Effect::LookIntoMailbox { trigger, .. } => match self.look(workspace, flow, execution, trigger).await? {
                Look::Found(event, writes) => Performed::Done(event, writes),
                Look::Nothing => Performed::Nothing,
                Look::Later => Performed::Later { failures, pause: RETRY_AFTER },
            },
        })
    }

    /// A ticket, and the write that makes it together with the step's line in the journal. Or one is closed, for good before the
    /// line is written: once more is as once.
    async fn make_ticket(
        &self,
        workspace: &Name,
        execution: &Execution,
        request: &Template,
    ) -> Result<Result<(Event, Option<Write>), Failure>, StoreError> {
        let request = match request.render(&execution.scope()) {
            Ok(request) => request,
            Err(error) => return Ok(Err(Failure::Expression(error))),
        };
        if let Some(id) = request.get("close") {
            return self.close_ticket(workspace, execution, id).await;
        }
        let mut request: TicketRequest = match serde_json::from_value(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(Failure::Ticket(error.to_string()))),
        };
        request.environment = Some(execution.summary.environment.clone());
        if let Some(handler) = request.handler.as_mut().filter(|handler| handler.trigger.is_some()) {
            handler.execution.get_or_insert(execution.summary.id);
        }
        let tickets = &self.inner.tickets;
        match tickets.prepare(workspace, request, Timestamp::now()).await {
            Ok(ticket) => {
                let made = json!({ "url": tickets.url(&ticket), "state": ticket.state, "id": ticket.id });
                Ok(Ok((Event::TicketMade(made), Some(tickets::new(workspace, &ticket)))))
            }
            Err(TicketError::Store(error)) => Err(error),
            Err(TicketError::NotAsked(error)) => Ok(Err(Failure::Call(error))),
            Err(error) => Ok(Err(Failure::Ticket(error.to_string()))),
        }
    }

    async fn close_ticket(
        &self,
        workspace: &Name,
        execution: &Execution,
        id: &Value,
    ) -> Result<Result<(Event, Option<Write>), Failure>, StoreError> {
        let tickets = &self.inner.tickets;
        let parsed = id.as_str().and_then(|id| id.parse::<TicketId>().ok());
        let found = match parsed {
            Some(id) => tickets.get(workspace, id).await?,
            None => None,
        };
        // What belongs to another environment is as what is not there.
        let is_here = |ticket: &TicketRecord| {
            ticket.environment == execution.summary.environment && !tickets.is_gone(workspace, ticket)
        };
        let Some(ticket) = found.filter(is_here) else {
            let id: String = id.to_string().chars().take(100).collect();
            return Ok(Err(Failure::Ticket(format!("there is no ticket {id} to close: `close` takes its `id`"))));
        };
        tickets.close(workspace, ticket.id).await?;
        Ok(Ok((Event::TicketMade(json!({ "id": ticket.id })), None)))
    }
}

/// What the plugin of a step answers, which has failed so often before.
pub(super) async fn ask(
    execution: &Execution,
    effect: &Effect<'_>,
    version: Result<Version, CallError>,
    subject: &Subject,
    failures: u32,
) -> Performed {
    let mut uses = Vec::new();
    let asked = match effect {
        Effect::RunStep { call } => run_step(execution, call, version, subject, &mut uses).await,
        Effect::BuildReply { call } => build_reply(execution, call, version, subject, &mut uses).await,
        Effect::MakeTicket { .. } | Effect::SendHttp { .. } | Effect::LookIntoMailbox { .. } => {
            return Performed::Nothing;
        }
    };
    match asked {
        Ok(event) => Performed::Done(event, Vec::new()),
        // Nothing is lost by waiting: the execution is durable by then.
        Err(Failure::Call(error)) if error.is_temporary() => Performed::Later { failures, pause: pause(&error) },
        Err(Failure::Call(error)) if error.may_pass() && failures < FAILURES_MAX => {
            tracing::info!(execution.id = %execution.summary.id, %error, "a step is tried again");
            Performed::Later { failures: failures + 1, pause: RETRY_AFTER * 2_u32.pow(failures) }
        }
        Err(failure) => failed(failure, uses.pop().map(|usage| usage.log).unwrap_or_default()),
    }
}

fn pause(error: &CallError) -> Duration {
    if matches!(error, CallError::Open { .. }) { ASK_RESTING_AFTER } else { RETRY_AFTER }
}

async fn run_step(
    execution: &Execution,
    call: &PluginCall,
    version: Result<Version, CallError>,
    subject: &Subject,
    uses: &mut Vec<PluginUse>,
) -> Result<Event, Failure> {
    let config = call.config(&execution.scope()).map_err(Failure::Expression)?;
    let version = version.map_err(Failure::Call)?;
    let result = version.run(subject, &config, uses).await.map_err(Failure::Call)?;
    let usage = uses.pop();
    let (digest, duration_us, cpu_us, log) =
        usage.map(|usage| (usage.digest, usage.duration_us, usage.cpu_us, usage.log)).unwrap_or_default();
    Ok(Event::StepDone { plugin: call.plugin.clone(), digest, duration_us, cpu_us, result, log })
}

async fn build_reply(
    execution: &Execution,
    call: &PluginCall,
    version: Result<Version, CallError>,
    subject: &Subject,
    uses: &mut Vec<PluginUse>,
) -> Result<Event, Failure> {
    let config = call.config(&execution.scope()).map_err(Failure::Expression)?;
    let version = version.map_err(Failure::Call)?;
    let reply = version.respond(subject, &config, reply::check, uses).await;
    let reply = reply.map_err(Failure::Call)?;
    Ok(Event::ReplyBuilt { reply, log: uses.pop().map(|usage| usage.log).unwrap_or_default() })
}

fn failed(failure: Failure, log: Vec<String>) -> Performed {
    let (code, message) = match failure {
        Failure::Ticket(message) => ("ticket_refused", message),
        Failure::Expression(error) => (error.code(), error.to_string()),
        Failure::Call(error) => (error.code(), error.to_string()),
    };
    Performed::Done(Event::Failed { code: code.to_owned(), message, log }, Vec::new())
}
