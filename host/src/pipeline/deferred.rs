//! Callbacks that are kept until the plugin that could not be asked is back.

use super::passage::{Origin, Passage};
use super::{End, Pipeline};
use crate::rounds::Rounds;
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::Outcome;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use ringback_records::trace::{Stage, Verdict};
use ringback_rules::flow::Trigger;
use ringback_share::Places;
use ringback_store::{StoreError, Write};
use std::sync::Arc;
use std::time::Duration;

/// How often callbacks are tried again whose plugin rested.
const DEFERRED_INTERVAL: Duration = Duration::from_secs(1);
/// Deferred callbacks of one workspace that are tried in a round.
const DEFERRED_PAGE: usize = 256;
/// Workspaces whose deferred callbacks are tried at the same time.
const DEFERRING_MAX: usize = 64;

impl Pipeline {
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
        if passage.origin.is_dry_run() {
            return end;
        }
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
        let places = Places::new(DEFERRING_MAX, 1, usize::MAX);
        let mut rounds = Rounds::default();
        loop {
            tokio::time::sleep(DEFERRED_INTERVAL).await;
            let workspaces = match self.store.deferring().await {
                Ok(workspaces) => workspaces,
                Err(error) => {
                    tracing::error!(%error, "deferred callbacks could not be read");
                    continue;
                }
            };
            let round = |workspace: Name, after| {
                let (pipeline, places) = (self.clone(), Arc::clone(&places));
                async move {
                    let _place = places.take(&workspace).await;
                    pipeline.try_all_deferred(&workspace, after).await
                }
            };
            rounds.begin(workspaces, round).await;
        }
    }

    /// Tries those of one workspace again that came after one of them: where the next round goes on.
    async fn try_all_deferred(&self, workspace: &Name, after: Option<CallbackId>) -> Option<CallbackId> {
        let page = self.store.deferred(workspace, after, DEFERRED_PAGE).await.unwrap_or_else(|error| {
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
        self.take_deferred(workspace, id).await
    }

    /// Takes what was kept through the stages.
    pub(super) async fn take_deferred(&self, workspace: &Name, id: CallbackId) -> Result<(), StoreError> {
        let taken = Write::TakeDeferred { workspace: workspace.clone(), id };
        let Some(mut record) = self.store.callback(workspace, id).await? else {
            return self.store.commit(vec![taken]).await;
        };
        let is_late = record.received_at.saturating_add(self.deferred_for_max) < Timestamp::now();
        let has_gone = !self.environments.is_same(workspace, &record.environment, record.environment_made_at);
        let Some(place) = self.place_of(workspace, &record).await?.filter(|_| !is_late && !has_gone) else {
            let (outcome, verdict, reason) = match is_late {
                true => (
                    Outcome::Failed,
                    Verdict::Failed,
                    "the plugin could not be called before `deferred_for_max` was over",
                ),
                false if has_gone => (Outcome::Rejected, Verdict::Refused, "its environment was removed"),
                false => (Outcome::Rejected, Verdict::Refused, "its trigger is not deployed any more"),
            };
            let before = Some(record.outcome);
            record.decide(outcome, verdict, reason.to_owned());
            let put = Write::PutCallback { workspace: workspace.clone(), before, record: Box::new(record) };
            let done = Write::DeleteResumed { workspace: workspace.clone(), callback: id };
            return self.store.commit(vec![done, taken, put]).await;
        };
        let callback = record.clone().into_callback(workspace.clone(), self.public_url.clone());
        let mut passage = self.passage(callback, place, Origin::Deferred { record: Box::new(record) });
        passage.with = vec![taken];
        self.pass(passage).await?;
        Ok(())
    }
}
