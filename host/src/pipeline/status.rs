//! Answers that callers fetch later, from the status URL or by sending the delivery again.

use super::Pipeline;
use super::network::shared;
use super::passage::Origin;
use crate::runner::{Answer, Until};
use http::header::ORIGIN;
use ringback_records::callback::Request;
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::CallbackRecord;
use ringback_records::reply::Reply;
use ringback_records::sync::lock;
use ringback_rules::face::{self, Mode};
use ringback_rules::flow::Trigger;
use ringback_store::StoreError;
use std::time::Duration;

/// How often it is looked whether a callback for all has been handed to all.
const DELIVERING_INTERVAL: Duration = Duration::from_millis(20);

impl Pipeline {
    /// Whether it is for all that wait, and is being handed to one after the other.
    pub(super) fn is_delivering(&self, id: CallbackId) -> bool {
        lock(&self.delivering).contains(&id)
    }

    /// Where the answer of a callback can be had later.
    pub(super) fn status_url(&self, workspace: &Name, id: CallbackId) -> String {
        let token = self.secrets.seal_reference(&[id.as_bytes(), workspace.as_str().as_bytes()].concat());
        format!("{}{}", self.public_url, face::status_path(&token))
    }

    /// The answer of a callback whose caller did not get it in time.
    pub(super) async fn status(&self, token: &str, request: &Request) -> Reply {
        match self.find_status(token, request).await {
            Ok(Some(reply)) => reply,
            Ok(None) => face::UNKNOWN.reply(None),
            Err(error) => {
                tracing::error!(%error, "the status of a callback could not be read");
                Reply::empty(503).with_header("retry-after", "5")
            }
        }
    }

    async fn find_status(&self, token: &str, request: &Request) -> Result<Option<Reply>, StoreError> {
        let Some(reference) = self.secrets.open_reference(token) else { return Ok(None) };
        let Some((id, workspace)) = reference.split_first_chunk::<16>() else { return Ok(None) };
        let workspace = std::str::from_utf8(workspace).ok().and_then(|name| name.parse::<Name>().ok());
        let (Some(workspace), id) = (workspace, CallbackId::from_bytes(*id)) else { return Ok(None) };
        let Some(record) = self.store.callback(&workspace, id).await? else { return Ok(None) };
        // A page that may call may read what became of it.
        let place = match request.headers.get(ORIGIN) {
            Some(_) => self.place_of(&workspace, &record).await?,
            None => None,
        };
        let reply = self.answer_by_now(&workspace, record).await?;
        let trigger = place.as_ref().and_then(|place| place.flow.triggers.get(place.trigger));
        Ok(reply.map(|reply| shared(trigger, request, reply)))
    }

    /// What the sender of a recorded callback gets by now: its answer, or where that will be.
    async fn answer_by_now(&self, workspace: &Name, record: CallbackRecord) -> Result<Option<Reply>, StoreError> {
        if let Some(reply) = record.reply {
            return Ok(Some(reply.into()));
        }
        let Some(execution) = record.execution else { return Ok(None) };
        let Ok(Some(run)) = self.runner.load(workspace, execution).await else { return Ok(None) };
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
            record = self.store.callback(workspace, id).await?.unwrap_or(record);
        }
        if let Some(execution) = execution.filter(|_| trigger.mode == Mode::Sync) {
            let until = awaited(&record);
            let wait = self.runner.wait_for_answer(execution, until);
            // It may be there already, and then nobody is told.
            let now = self.runner.load(workspace, execution).await.ok().flatten();
            if now.is_some_and(|run| Answer::of(&run.execution, until).is_none()) {
                // What came of it is looked up in either case.
                let _ = tokio::time::timeout(trigger.respond_within, wait.answer()).await;
            }
            record = self.store.callback(workspace, id).await?.unwrap_or(record);
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
        let place = self.place_of(workspace, &record).await?.filter(|_| is_there);
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
