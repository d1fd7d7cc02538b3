//! Callbacks that come a second time: sent again by a user, kept until a plugin is back, or asked about later.

use super::passage::{Origin, Passage};
use super::select::done_with;
use super::{End, Pipeline};
use crate::runner::{Answer, Until};
use ringback_records::callback::Callback;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::reply::{Reply, ReplyRecord};
use ringback_records::stop::Stop;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_records::trace::{Stage, TraceEntry, Verdict};
use ringback_rules::face;
use ringback_rules::flow::{Mode, Trigger};
use ringback_store::{StoreError, Write};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How often callbacks are tried again whose plugin rested.
const DEFERRED_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether a callback for all has been handed to all.
const DELIVERING_INTERVAL: Duration = Duration::from_millis(20);
/// Deferred callbacks of one workspace that are tried in a round.
const DEFERRED_PAGE: usize = 256;
/// Workspaces whose deferred callbacks are tried at the same time.
const DEFERRING_MAX: usize = 64;

/// What sending a recorded callback again did, or would do.
#[derive(Debug)]
pub struct Replay {
    /// The id of the new callback.
    pub callback: CallbackId,
    pub replay_of: CallbackId,
    pub dry_run: bool,
    pub outcome: Outcome,
    pub execution: Option<ExecutionId>,
    pub reply: ReplyRecord,
    pub trace: Vec<TraceEntry>,
}

/// Why a callback cannot be sent again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("there is no callback {0}")]
    Missing(CallbackId),
    #[error("the callback was not verified when it came; only its sender can send it again")]
    NotVerified,
    #[error("the callback was answered by its ticket; there is no flow that could run again")]
    NoFlow,
    #[error(
        "the environment {0} of the callback is gone, and one of the same name that was made later is another: its sender can \
         send it there"
    )]
    EnvironmentGone(Name),
    #[error("the trigger {trigger} of the flow {flow} is not deployed any more")]
    TriggerGone { flow: Name, trigger: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Pipeline {
    /// Takes a recorded callback through the stages again, as a new one. With `dry_run` nothing changes anywhere.
    ///
    /// # Errors
    ///
    /// There is no such callback, it was not genuine, its environment or its trigger is gone, or the store failed.
    pub async fn replay(&self, workspace: &Name, id: CallbackId, dry_run: bool) -> Result<Replay, ReplayError> {
        let record = self.store.callback(workspace, id)?.ok_or(ReplayError::Missing(id))?;
        let flow = record.flow.clone().ok_or(ReplayError::NoFlow)?;
        if !record.was_verified() {
            return Err(ReplayError::NotVerified);
        }
        if !self.environments.is_same(workspace, &record.environment, record.environment_made_at) {
            return Err(ReplayError::EnvironmentGone(record.environment));
        }
        let place = self.place_of(workspace, &record)?;
        let place = place.ok_or_else(|| ReplayError::TriggerGone { flow, trigger: record.trigger.clone() })?;
        let callback = record.clone().into_callback(workspace.clone(), self.public_url.clone());
        let callback = Callback { id: CallbackId::new(), ..callback };
        let origin = Origin::Replay { record: Box::new(record), dry_run };
        let passage = self.passage(callback, place, origin);
        let (End { outcome, execution, reply, .. }, passage) = self.pass(passage).await?;
        let callback = passage.callback.id;
        let reply = ReplyRecord::from(&reply);
        Ok(Replay { callback, replay_of: id, dry_run, outcome, execution, reply, trace: passage.trace })
    }

    /// Keeps a genuine callback until the plugin that could not be asked is back.
    pub(super) async fn defer(&self, passage: &mut Passage, trigger: &Trigger, stop: Stop) -> End {
        let reply = self.kept(passage, None);
        let end = End { outcome: Outcome::Kept, execution: None, reply, recorded: true };
        if matches!(passage.origin, Origin::Deferred { .. }) {
            // It stays where it is.
            return end;
        }
        passage.note(
            Stage::Select,
            Verdict::Passed,
            format!("kept, and tried again until the plugin can be called: {}", stop.reason),
        );
        let (workspace, id) = (passage.callback.workspace.clone(), passage.callback.id);
        let mut writes = passage.writes(Outcome::Kept, None, Some(&end.reply));
        writes.push(Write::PutDeferred { workspace, id });
        match self.store.commit(writes).await {
            Ok(()) => end,
            // The same delivery was kept at the same moment.
            Err(StoreError::Conflict) => match self.known_now(passage, trigger).await {
                Ok(end) => end,
                Err(stopped) => passage.stopped(stopped),
            },
            Err(error) => passage.stopped((Stage::Commit, Stop::from(&error))),
        }
    }

    /// Tries deferred callbacks again, for ever: each workspace by itself, so that none waits for the plugins of another.
    pub async fn run_deferred(&self) -> std::convert::Infallible {
        let places = Arc::new(Semaphore::new(DEFERRING_MAX));
        let mut rounds: HashMap<Name, JoinHandle<Option<CallbackId>>> = HashMap::new();
        loop {
            tokio::time::sleep(DEFERRED_INTERVAL).await;
            let workspaces = match self.store.deferring() {
                Ok(workspaces) => workspaces,
                Err(error) => {
                    tracing::error!(%error, "deferred callbacks could not be read");
                    continue;
                }
            };
            rounds.retain(|workspace, round| !round.is_finished() || workspaces.contains(workspace));
            for workspace in workspaces {
                let after = match rounds.remove(&workspace) {
                    Some(round) if !round.is_finished() => {
                        rounds.insert(workspace, round);
                        continue;
                    }
                    Some(round) => round.await.ok().flatten(),
                    None => None,
                };
                let (pipeline, places, of) = (self.clone(), Arc::clone(&places), workspace.clone());
                let round = async move {
                    let _place = places.acquire().await;
                    pipeline.try_all_deferred(&of, after).await
                };
                rounds.insert(workspace, tokio::spawn(round));
            }
        }
    }

    /// Tries those of one workspace again that came after one of them: where the next round goes on.
    async fn try_all_deferred(&self, workspace: &Name, after: Option<CallbackId>) -> Option<CallbackId> {
        let page = self.store.deferred(workspace, after, DEFERRED_PAGE).unwrap_or_else(|error| {
            tracing::error!(%error, "deferred callbacks could not be read");
            Vec::new()
        });
        for id in &page {
            if let Err(error) = self.try_deferred(workspace, *id).await {
                tracing::error!(callback.id = %id, %error, "a deferred callback could not be tried again");
            }
        }
        page.last().copied().filter(|_| page.len() == DEFERRED_PAGE)
    }

    async fn try_deferred(&self, workspace: &Name, id: CallbackId) -> Result<(), StoreError> {
        if self.is_delivering(id) {
            return Ok(());
        }
        let taken = Write::TakeDeferred { workspace: workspace.clone(), id };
        let Some(mut record) = self.store.callback(workspace, id)? else {
            return self.store.commit(vec![taken]).await;
        };
        let is_late = record.received_at.saturating_add(self.deferred_for_max) < Timestamp::now();
        let has_gone = !self.environments.is_same(workspace, &record.environment, record.environment_made_at);
        let is_of_another = |flow: &Name| self.flows.is_gone(workspace, flow, record.flow_made_at);
        let is_elsewhere = is_late || has_gone || record.flow.as_ref().is_some_and(is_of_another);
        let Some(place) = self.place_of(workspace, &record)?.filter(|_| !is_elsewhere) else {
            let (outcome, verdict, reason) = match is_late {
                true => (
                    Outcome::Failed,
                    Verdict::Failed,
                    "the plugin could not be called before `deferred_for_max` was over",
                ),
                false if has_gone => (Outcome::Rejected, Verdict::Refused, "its environment was removed"),
                false => (Outcome::Rejected, Verdict::Refused, "its trigger is not deployed any more"),
            };
            record.decide(outcome, verdict, reason.to_owned());
            let put = Write::PutCallback { workspace: workspace.clone(), record: Box::new(record) };
            let resumed = self.store.resumed_by(workspace, id)?;
            return self.store.commit(done_with(workspace, id, &resumed).chain([taken, put]).collect()).await;
        };
        let callback = record.clone().into_callback(workspace.clone(), self.public_url.clone());
        let mut passage = self.passage(callback, place, Origin::Deferred { record: Box::new(record) });
        passage.with = vec![taken];
        self.pass(passage).await?;
        Ok(())
    }

    /// Whether it is for all that wait, and is being handed to one after the other.
    fn is_delivering(&self, id: CallbackId) -> bool {
        lock(&self.delivering).contains(&id)
    }

    /// Where the answer of a callback can be had later.
    pub(super) fn status_url(&self, workspace: &Name, id: CallbackId) -> String {
        let token = self.secrets.seal_reference(&[id.as_bytes(), workspace.as_str().as_bytes()].concat());
        format!("{}{}", self.public_url, face::status_path(&token))
    }

    /// The answer of a callback whose caller did not get it in time.
    pub(super) async fn status(&self, token: &str) -> Reply {
        match self.find_status(token).await {
            Ok(Some(reply)) => reply,
            Ok(None) => face::UNKNOWN.reply(None),
            Err(error) => {
                tracing::error!(%error, "the status of a callback could not be read");
                Reply::empty(503).with_header("retry-after", "5")
            }
        }
    }

    async fn find_status(&self, token: &str) -> Result<Option<Reply>, StoreError> {
        let Some(reference) = self.secrets.open_reference(token) else { return Ok(None) };
        let Some((id, workspace)) = reference.split_first_chunk::<16>() else { return Ok(None) };
        let workspace = std::str::from_utf8(workspace).ok().and_then(|name| name.parse::<Name>().ok());
        let (Some(workspace), id) = (workspace, CallbackId::from_bytes(*id)) else { return Ok(None) };
        let Some(record) = self.store.callback(&workspace, id)? else { return Ok(None) };
        self.answer_by_now(&workspace, record).await
    }

    /// What the sender of a recorded callback gets by now: its answer, or where that will be.
    async fn answer_by_now(&self, workspace: &Name, record: CallbackRecord) -> Result<Option<Reply>, StoreError> {
        if let Some(reply) = record.reply {
            return Ok(Some(reply.into()));
        }
        let Some(execution) = record.execution else { return Ok(None) };
        let Ok(Some(run)) = self.runner.load(workspace, execution) else { return Ok(None) };
        match Answer::of(&run.execution, awaited(&record)) {
            Some(answer) => self.answer_later(workspace, record, answer).await.map(Some),
            None => {
                let url = self.status_url(workspace, record.id);
                Ok(Some(face::pending(record.id, Some(execution), &url)))
            }
        }
    }

    /// The same; where the trigger lets its callers wait, as soon as there is an answer.
    pub(super) async fn answer_in_time(
        &self,
        workspace: &Name,
        trigger: &Trigger,
        mut record: CallbackRecord,
    ) -> Result<Reply, StoreError> {
        let (id, execution) = (record.id, record.execution);
        if execution.is_none() && self.is_delivering(id) {
            let over = tokio::time::Instant::now() + trigger.respond_within;
            while self.is_delivering(id) && tokio::time::Instant::now() < over {
                tokio::time::sleep(DELIVERING_INTERVAL).await;
            }
            record = self.store.callback(workspace, id)?.unwrap_or(record);
        }
        if let Some(execution) = execution.filter(|_| trigger.mode == Mode::Sync) {
            let until = awaited(&record);
            let wait = self.runner.wait_for_answer(execution, until);
            // It may be there already, and then nobody is told.
            let now = self.runner.load(workspace, execution).ok().flatten();
            if now.is_some_and(|run| Answer::of(&run.execution, until).is_none()) {
                // What came of it is looked up in either case.
                let _ = tokio::time::timeout(trigger.respond_within, wait.answer()).await;
            }
            record = self.store.callback(workspace, id)?.unwrap_or(record);
        }
        let reply = self.answer_by_now(workspace, record).await?;
        Ok(reply.unwrap_or_else(|| face::pending(id, execution, &self.status_url(workspace, id))))
    }

    /// Builds the answer that a caller did not wait for, and keeps it: it is the same from now on.
    async fn answer_later(
        &self,
        workspace: &Name,
        record: CallbackRecord,
        answer: Answer,
    ) -> Result<Reply, StoreError> {
        // What builds an answer sees the variables of the environment: not those of another one.
        let is_there = self.environments.is_same(workspace, &record.environment, record.environment_made_at);
        let place = self.place_of(workspace, &record)?.filter(|_| is_there);
        let (outcome, execution) = (record.outcome, record.execution);
        let Some(place) = place else {
            return Ok(match answer {
                Answer::Responded(reply) => reply,
                Answer::Ended(_) | Answer::Rested(_) => face::UNKNOWN.reply(None),
            });
        };
        let callback = record.clone().into_callback(workspace.clone(), self.public_url.clone());
        let flow = std::sync::Arc::clone(&place.flow);
        let mut passage = self.passage(callback, place, Origin::Deferred { record: Box::new(record) });
        passage.verified = true;
        let Some(trigger) = flow.triggers.get(passage.trigger) else { return Ok(face::UNKNOWN.reply(None)) };
        let reply = self.answer(&mut passage, trigger, answer).await;
        self.store.commit(vec![passage.put_record(outcome, execution, Some(&reply))]).await?;
        Ok(reply)
    }
}

/// What the sender of a callback without an answer waits for.
fn awaited(record: &CallbackRecord) -> Until {
    if record.ticket.is_some() { Until::Rested } else { Until::Answered }
}
