//! Replays: a recorded callback that a user sends again.

use super::passage::Origin;
use super::{End, Pipeline};
use ringback_records::callback::Callback;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::Outcome;
use ringback_records::reply::ReplyRecord;
use ringback_records::trace::TraceEntry;
use ringback_store::StoreError;

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
        let record = self.store.callback(workspace, id).await?.ok_or(ReplayError::Missing(id))?;
        let flow = record.flow.clone().ok_or(ReplayError::NoFlow)?;
        if !record.was_verified() {
            return Err(ReplayError::NotVerified);
        }
        if !self.environments.is_same(workspace, &record.environment, record.environment_made_at) {
            return Err(ReplayError::EnvironmentGone(record.environment));
        }
        let place = self.place_of(workspace, &record).await?;
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
}
