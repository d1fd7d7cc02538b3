//! Trials: a request that nobody sent goes through the stages of a trigger, which need not be deployed. Nothing is kept, and nothing
//! changes.

use super::passage::{Origin, Place};
use super::{End, Pipeline};
use crate::weight::LoadedFlow;
use ringback_records::callback::{Callback, Request};
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::Outcome;
use ringback_records::reply::ReplyRecord;
use ringback_records::time::Timestamp;
use ringback_records::trace::TraceEntry;
use ringback_rules::face::Face;
use ringback_rules::verify::sign;
use ringback_store::StoreError;
use std::sync::Arc;

/// A request, and the trigger that it is for.
#[derive(Debug)]
pub struct Trial {
    pub workspace: Name,
    pub environment: Name,
    pub flow: Arc<LoadedFlow>,
    /// Which of its triggers.
    pub trigger: usize,
    pub face: &'static dyn Face,
    pub request: Request,
}

/// What would become of it.
#[derive(Debug)]
pub struct Tried {
    pub outcome: Outcome,
    pub reply: ReplyRecord,
    pub trace: Vec<TraceEntry>,
}

impl Pipeline {
    /// The request with the proof that its trigger wants, as its sender would make it.
    ///
    /// # Errors
    ///
    /// It cannot be made here, in words.
    pub fn signed(&self, trial: Trial) -> Result<Trial, String> {
        let Some(trigger) = trial.flow.triggers.get(trial.trigger) else { return Ok(trial) };
        let callback = self.callback_of(&trial);
        let Callback { request, .. } = sign(&trigger.verify, callback, &self.secrets, Timestamp::now())?;
        Ok(Trial { request, ..trial })
    }

    fn callback_of(&self, trial: &Trial) -> Callback {
        let Trial { workspace, environment, flow, trigger, request, .. } = trial;
        Callback {
            id: CallbackId::new(),
            workspace: workspace.clone(),
            environment: environment.clone(),
            request: request.clone(),
            base_url: self.public_url.clone(),
            site: flow.site(*trigger),
            claims: None,
        }
    }

    /// Says what would become of a request.
    ///
    /// # Errors
    ///
    /// The server is stopping.
    pub async fn try_out(&self, trial: Trial) -> Result<Tried, StoreError> {
        let callback = self.callback_of(&trial);
        let Trial { flow, trigger, face, .. } = trial;
        let passage = self.passage(callback, Place { flow, trigger, face, ticket: None }, Origin::Trial);
        let (End { outcome, reply, .. }, passage) = self.pass(passage).await?;
        Ok(Tried { outcome, reply: ReplyRecord::from(&reply), trace: passage.trace })
    }
}
