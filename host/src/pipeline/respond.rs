//! What the caller gets: the trigger's own answer, a step's, or what became of the execution.

use super::Pipeline;
use super::passage::Passage;
use crate::runner::{Answer, Waiting};
use ringback_plugin::{CallError, Subject};
use ringback_records::name::ExecutionId;
use ringback_records::plugin::Role;
use ringback_records::reply::Reply;
use ringback_records::stop::{Problem, Stop, UNAVAILABLE};
use ringback_records::trace::{Stage, Verdict};
use ringback_rules::execution::Execution;
use ringback_rules::face;
use ringback_rules::flow::{ReplySpec, Trigger};
use ringback_rules::reply::{ReplyError, check, render};
use ringback_rules::ticket_response::redirect_not_allowed;
use std::sync::Arc;

const EXECUTION_FAILED: Problem = Problem { status: 500, code: "execution_failed", detail: "The flow failed." };

/// An answer, and whether the same callback will never get another one.
pub(super) struct Waited {
    pub(super) reply: Reply,
    pub(super) is_final: bool,
}

impl Pipeline {
    /// The answer of a synchronous trigger whose execution is under way.
    pub(super) async fn wait(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        id: ExecutionId,
        wait: Waiting,
    ) -> Waited {
        let callback = passage.callback.id;
        match tokio::time::timeout(trigger.respond_within, wait.answer()).await {
            Ok(Some(answer)) => Waited { reply: self.answer(passage, trigger, answer).await, is_final: true },
            Ok(None) => {
                passage.note(Stage::Run, Verdict::Failed, "the store failed while the execution ran".to_owned());
                Waited {
                    reply: passage.face.stopped(&UNAVAILABLE, Some(callback)).with_header("retry-after", "5"),
                    is_final: false,
                }
            }
            Err(_) => {
                let reason =
                    format!("it still ran after {:?}, the `respond_within` of the trigger", trigger.respond_within);
                passage.passed(Stage::Run, reason);
                let url = self.status_url(&passage.callback.workspace, callback);
                Waited { reply: face::pending(callback, Some(id), &url), is_final: false }
            }
        }
    }

    /// The flow's own answer, or what became of the execution.
    pub(super) async fn answer(&self, passage: &mut Passage, trigger: &Trigger, answer: Answer) -> Reply {
        match answer {
            Answer::Responded(reply) => {
                passage.passed(Stage::Run, "a step of the flow answered".to_owned());
                let reply = self.allow_redirect(passage, reply);
                self.or_problem(passage, reply)
            }
            Answer::Ended(execution) => self.ended(passage, trigger, &execution).await,
            Answer::Rested(execution) => {
                passage.passed(Stage::Run, "the execution waits; its ticket answers".to_owned());
                let accepted = self.accepted(passage, &execution);
                self.or_problem(passage, accepted)
            }
        }
    }

    /// An answer, or what the caller is told when there is none.
    fn or_problem(&self, passage: &mut Passage, reply: Result<Reply, Stop>) -> Reply {
        reply.unwrap_or_else(|stop| {
            passage.note(Stage::Respond, Verdict::Failed, stop.reason);
            passage.face.stopped(&stop.problem, Some(passage.callback.id))
        })
    }

    /// Holds an answer that sends the caller elsewhere against the places where callers may be sent.
    fn allow_redirect(&self, passage: &Passage, reply: Reply) -> Result<Reply, Stop> {
        match reply.headers.iter().find(|(name, _)| name == "location") {
            None => Ok(reply),
            Some((_, target)) => match self.tickets.may_redirect(&passage.callback.workspace, target) {
                Ok(()) => Ok(reply),
                Err(reason) => Err(redirect_not_allowed(reason)),
            },
        }
    }

    async fn ended(&self, passage: &mut Passage, trigger: &Trigger, execution: &Execution) -> Reply {
        let id = passage.callback.id;
        let status = execution.summary.status.as_str();
        if let Some(error) = &execution.summary.error {
            passage.note(Stage::Run, Verdict::Failed, format!("{}: {} ({})", error.step, error.message, error.code));
            return passage.face.stopped(&EXECUTION_FAILED, Some(id));
        }
        if execution.summary.status != ringback_records::journal::Status::Completed {
            passage.note(Stage::Run, Verdict::Failed, format!("the execution is {status}"));
            return passage.face.stopped(&EXECUTION_FAILED, Some(id));
        }
        passage.passed(Stage::Run, "the execution ran to its end".to_owned());
        let reply = match self.build_reply(passage, trigger, execution).await {
            Ok(None) => match self.ticket_reply(passage, Some(execution)) {
                None => Ok(passage.face.completed(id, execution.summary.id)),
                Some(reply) => reply,
            },
            Ok(Some(reply)) => {
                passage.passed(Stage::Respond, format!("answers {}", reply.status));
                Ok(reply)
            }
            Err(stop) => Err(stop),
        };
        self.or_problem(passage, reply)
    }

    /// What the caller of an asynchronous trigger gets that says nothing.
    pub(super) fn accepted(&self, passage: &mut Passage, execution: &Execution) -> Result<Reply, Stop> {
        let reply = self.ticket_reply(passage, Some(execution));
        reply.unwrap_or_else(|| Ok(passage.face.accepted(passage.callback.id, execution.summary.id)))
    }

    /// What the caller gets whose callback is kept for later.
    pub(super) fn kept(&self, passage: &mut Passage, execution: Option<ExecutionId>) -> Reply {
        // What is kept is acknowledged, whatever the stored answer is worth.
        let stored = self.ticket_reply(passage, None).and_then(Result::ok);
        stored.unwrap_or_else(|| passage.face.kept(passage.callback.id, execution))
    }

    /// The trigger's own answer, `None` when it has none.
    pub(super) async fn build_reply(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        execution: &Execution,
    ) -> Result<Option<Reply>, Stop> {
        let Some(spec) = &trigger.reply else { return Ok(None) };
        let mut scope = execution.scope();
        let callback = Arc::clone(&passage.callback);
        scope.callback = Some(&callback);
        let call = match spec {
            ReplySpec::Template { .. } | ReplySpec::Redirect { .. } => {
                let rendered = render(spec, &scope).map_err(|error| match error {
                    ReplyError::Expression(error) => Stop::from(&error),
                    ReplyError::NotAllowed(reason) => {
                        Stop::failed(500, "reply_not_allowed", "The flow's answer is not allowed.", reason)
                    }
                });
                return rendered?.map(|reply| self.allow_redirect(passage, reply)).transpose();
            }
            ReplySpec::Plugin(call) => call,
        };
        let config = call.config(&scope).map_err(|error| Stop::from(&error))?;
        let subject = Subject {
            callback: Some(callback),
            dry_run: passage.origin.is_dry_run(),
            ..Subject::of_execution(&passage.callback.workspace, execution)
        };
        let told = |error: CallError| error.stop(Role::Responder);
        let version = self.plugins.called(&subject.workspace, call, Role::Responder).await.map_err(told)?;
        version.respond(&subject, &config, check, &mut passage.uses).await.map(Some).map_err(told)
    }
}

/// The same for everything that is not there, at the face that the path belongs to.
pub(super) fn unknown(path: &str) -> Reply {
    face::of_path(path).stopped(&face::UNKNOWN, None)
}
