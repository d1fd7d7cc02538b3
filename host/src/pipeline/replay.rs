//! Replays: a recorded callback that a user sends again.

use super::passage::{Origin, Place};
use super::{End, Pipeline};
use crate::weight::LoadedFlow;
use bytes::Bytes;
use ringback_records::callback::{Callback, Request};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::reply::ReplyRecord;
use ringback_records::trace::TraceEntry;
use ringback_rules::face;
use ringback_store::StoreError;
use std::sync::Arc;

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

/// How a callback is sent again.
#[derive(Debug, Default)]
pub struct Again {
    /// Nothing changes anywhere.
    pub dry_run: bool,
    /// Another body than it had.
    pub body: Option<Bytes>,
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
    /// Takes a recorded callback through the stages again, as a new one.
    ///
    /// # Errors
    ///
    /// There is no such callback, it was not genuine, its environment or its trigger is gone, or the store failed.
    pub async fn replay(&self, workspace: &Name, id: CallbackId, how: Again) -> Result<Replay, ReplayError> {
        let record = self.store.callback(workspace, id).await?.ok_or(ReplayError::Missing(id))?;
        let flow = self.check_replay(workspace, &record)?;
        let place = self.place_of(workspace, &record).await?;
        let place = place.ok_or_else(|| ReplayError::TriggerGone { flow, trigger: record.trigger.clone() })?;
        self.again(workspace, record, place, how).await
    }

    /// Says what a trigger, which need not be deployed, would make of a recorded callback.
    ///
    /// # Errors
    ///
    /// As [`replay`](Self::replay).
    pub async fn judge(
        &self,
        workspace: &Name,
        record: CallbackRecord,
        flow: Arc<LoadedFlow>,
        trigger: usize,
    ) -> Result<Replay, ReplayError> {
        self.check_replay(workspace, &record)?;
        let face = face::by_name(&record.face).ok_or(ReplayError::NoFlow)?;
        let place = Place { flow, trigger, face, ticket: None };
        self.again(workspace, record, place, Again { dry_run: true, body: None }).await
    }

    /// The flow of a callback that can be sent again.
    fn check_replay(&self, workspace: &Name, record: &CallbackRecord) -> Result<Name, ReplayError> {
        let flow = record.flow.clone().ok_or(ReplayError::NoFlow)?;
        if !record.was_verified() {
            return Err(ReplayError::NotVerified);
        }
        if !self.environments.is_same(workspace, &record.environment, record.environment_made_at) {
            return Err(ReplayError::EnvironmentGone(record.environment.clone()));
        }
        Ok(flow)
    }

    async fn again(
        &self,
        workspace: &Name,
        record: CallbackRecord,
        place: Place,
        how: Again,
    ) -> Result<Replay, ReplayError> {
        let Again { dry_run, body } = how;
        let (replay_of, is_edited) = (record.id, body.is_some());
        let callback = record.clone().into_callback(workspace.clone(), self.public_url.clone());
        let mut callback = Callback { id: CallbackId::new(), ..callback };
        if let Some(body) = body {
            // What is typed is not encoded.
            let Request { headers, expanded, .. } = &mut callback.request;
            headers.remove(http::header::CONTENT_ENCODING);
            headers.remove(http::header::CONTENT_LENGTH);
            *expanded = None;
            callback.request.body = body;
        }
        let origin = Origin::Replay { record: Box::new(record), is_edited, dry_run };
        let passage = self.passage(callback, place, origin);
        let (End { outcome, execution, reply, .. }, passage) = self.pass(passage).await?;
        let callback = passage.callback.id;
        let reply = ReplyRecord::from(&reply);
        Ok(Replay { callback, replay_of, dry_run, outcome, execution, reply, trace: passage.trace })
    }
}
