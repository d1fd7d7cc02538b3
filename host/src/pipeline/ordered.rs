//! How many executions of a key are there at a time: who starts now, who waits for his turn, and whose turn it is.
//!
//! What waits is kept for the key. It goes before what comes later, since that starts only while nothing is kept. Whoever lets go
//! of a key for which something is kept marks it in the same change; what is marked is looked at here, after a restart, too.

use super::passage::{Origin, Passage, scope_of};
use super::{End, Holds, Pipeline, Stopped};
use crate::retry::retry_on_conflict;
use crate::rounds::Rounds;
use crate::runner::ChangeError;
use futures_util::StreamExt as _;
use ringback_records::callback::{Callback, Input};
use ringback_records::journal::{Held, key_digest};
use ringback_records::name::Name;
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::stop::{Stop, UNAVAILABLE};
use ringback_records::trace::{Stage, Verdict};
use ringback_rules::correlation::{Concurrency, OnFull};
use ringback_rules::flow::Trigger;
use ringback_share::Places;
use ringback_store::{KeyAt, MostByKey, Page, StoreError, Unless, Write};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whose turn it is, unless somebody says so before.
const TURNS_INTERVAL: Duration = Duration::from_secs(1);
/// After somebody said so, it is looked once more.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Keys of a workspace that are read together, and that are looked at at the same time.
const TURNS_PAGE: usize = 256;
const TURNS_AT_ONCE: usize = 16;
/// Workspaces in which it is looked at the same time.
const LOOKING_MAX: usize = 64;

impl Pipeline {
    /// Starts an execution, as soon as fewer of its key are there than may be.
    pub(super) async fn start_in_turn(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        concurrency: &Concurrency,
        input: Input,
    ) -> Result<End, Stopped> {
        if !self.counts(passage, trigger, &input).await? {
            return Ok(passage.ignored());
        }
        let key = concurrency.of_callback(&scope_of(&passage.callback, &passage.flow, &input, &passage.vars));
        let key = key.map_err(|stop| (Stage::Select, stop))?;
        let Callback { workspace, environment, .. } = &*passage.callback;
        let at = KeyAt {
            environment: environment.clone(),
            flow: passage.flow.name.clone(),
            trigger: trigger.id.clone(),
            digest: key_digest(passage.environment_made_at, &key),
        };
        let (workspace, limit) = (workspace.clone(), concurrency.limit);
        let waits = concurrency.on_full == OnFull::Wait;
        let is_its_turn = passage.with.iter().any(|write| matches!(write, Write::TakeEarly { .. }));
        let of_key = if concurrency.key.is_some() { format!(" for the key {key:?}") } else { String::new() };
        for _ in retry_on_conflict() {
            if let Some(end) = self.known(passage, trigger).await? {
                return Ok(end);
            }
            let by_key = self.store.by_key(&workspace, &at, limit).await;
            let by_key = by_key.map_err(|error| (Stage::Select, Stop::from(&error)))?;
            let count = by_key.holds.len();
            let is_behind = waits && by_key.has_early && !is_its_turn;
            if count < limit && !is_behind {
                let early = if waits && !is_its_turn { 0 } else { usize::MAX };
                let most = MostByKey { holds: limit - 1, early, ..MostByKey::ANY };
                let expected = Write::ExpectKey { workspace: workspace.clone(), at: at.clone(), most };
                let held = Held { trigger: trigger.id.clone(), key: key.clone() };
                let why = format!("{count} of at most {limit} executions are there{of_key}");
                let holds = Holds { held, expected, why };
                if let Some(end) = self.start(passage, trigger, input.clone(), Some(holds)).await? {
                    return Ok(end);
                }
                continue;
            }
            let full = match is_behind {
                true => format!("what came before it waits{of_key}"),
                false => format!("{count} executions are there{of_key}, and no more may be"),
            };
            match concurrency.on_full {
                OnFull::Wait if is_its_turn => return Err(later(full)),
                OnFull::Wait => {
                    let (ttl, unless) = (concurrency.ttl, Unless::HeldByLess(limit));
                    if let Some(end) = self.put_early(passage, &at, &key, input.clone(), ttl, unless, &full).await? {
                        return Ok(end);
                    }
                }
                OnFull::Skip => {
                    passage.note(Stage::Select, Verdict::Ignored, full);
                    return Ok(passage.ignored());
                }
                OnFull::CancelOldest => {
                    let Some(oldest) = by_key.holds.first().filter(|_| !passage.origin.is_dry_run()) else {
                        passage.note(Stage::Select, Verdict::Passed, format!("{full}: it would cancel the oldest"));
                        return Ok(passage.ignored());
                    };
                    match self.runner.cancel(&workspace, *oldest).await {
                        Ok(_) => passage.passed(Stage::Select, format!("{full}: cancels the execution {oldest}")),
                        Err(ChangeError::Store(error)) => return Err((Stage::Select, Stop::from(&error))),
                        // It has ended in the meantime.
                        Err(_) => {}
                    }
                }
            }
        }
        if is_its_turn {
            return Err(later("others were faster".to_owned()));
        }
        self.known_now(passage, trigger).await
    }

    /// Starts what waits for its turn, for ever: each workspace by itself.
    pub async fn run_turns(&self) -> std::convert::Infallible {
        let places = Places::new(LOOKING_MAX, 1, usize::MAX);
        let mut rounds = Rounds::default();
        let mut pause = TURNS_INTERVAL;
        loop {
            let is_told = tokio::time::timeout(pause, self.runner.let_go()).await.is_ok();
            // A round that is under way may have passed it by.
            pause = if is_told { AGAIN_AFTER } else { TURNS_INTERVAL };
            let workspaces = match self.store.turning().await {
                Ok(workspaces) => workspaces,
                Err(error) => {
                    tracing::error!(%error, "it could not be read whose turn it is");
                    continue;
                }
            };
            let round = |workspace: Name, after: Option<KeyAt>| {
                let (pipeline, places) = (self.clone(), Arc::clone(&places));
                async move {
                    let _place = places.take(&workspace).await;
                    pipeline.take_turns(&workspace, after).await
                }
            };
            rounds.begin(workspaces, round).await;
        }
    }

    /// Looks at the keys of a workspace behind one of them: where the next round goes on.
    async fn take_turns(&self, workspace: &Name, after: Option<KeyAt>) -> Option<KeyAt> {
        let page = self.store.turns(workspace, after.as_ref(), TURNS_PAGE).await;
        let Page { items, next } = page.unwrap_or_else(|error| {
            tracing::error!(%error, "it could not be read whose turn it is");
            Page::default()
        });
        let take = |at: KeyAt| async move {
            if let Err(error) = self.take_turn(workspace, &at).await {
                tracing::error!(%workspace, flow = %at.flow, %error, "what waits for its turn is tried again");
            }
        };
        futures_util::stream::iter(items).for_each_concurrent(TURNS_AT_ONCE, take).await;
        next
    }

    /// Starts what waits for a key, while there is room.
    async fn take_turn(&self, workspace: &Name, at: &KeyAt) -> Result<(), StoreError> {
        loop {
            let found = self.flows.trigger(workspace, &at.flow, at.trigger.as_str()).await?;
            let concurrency =
                found.as_ref().and_then(|(flow, trigger)| flow.triggers.get(*trigger)?.concurrency.as_ref());
            let limit = concurrency.map_or(usize::MAX, |concurrency| concurrency.limit);
            let is_full = limit < usize::MAX && self.store.by_key(workspace, at, limit).await?.holds.len() >= limit;
            let next = if is_full { None } else { self.store.next_early(workspace, at, None).await? };
            let Some((mail, record)) = next else {
                let end = Write::EndTurn { workspace: workspace.clone(), at: at.clone(), holders: limit };
                match self.store.commit(vec![end]).await {
                    Ok(()) => return Ok(()),
                    // There is something again.
                    Err(StoreError::Conflict) => continue,
                    Err(error) => return Err(error),
                }
            };
            let taken = Write::TakeEarly { workspace: workspace.clone(), at: at.clone(), mail: Box::new(mail) };
            if !self.take(workspace, taken, record).await? {
                return Ok(());
            }
        }
    }

    /// Whether what has its turn is done with; else it is tried again later.
    async fn take(&self, workspace: &Name, taken: Write, record: Option<CallbackRecord>) -> Result<bool, StoreError> {
        let done = |result| match result {
            Ok(()) | Err(StoreError::Conflict) => Ok(true),
            Err(error) => Err(error),
        };
        let Some(mut record) = record else { return done(self.store.commit(vec![taken]).await) };
        let is_here = self.environments.is_same(workspace, &record.environment, record.environment_made_at);
        let Some(place) = self.place_of(workspace, &record).await?.filter(|_| is_here) else {
            let reason = match is_here {
                true => "its trigger is not deployed any more",
                false => "its environment was removed",
            };
            let before = Some(record.outcome);
            record.decide(Outcome::Rejected, Verdict::Refused, reason.to_owned());
            let put = Write::PutCallback { workspace: workspace.clone(), before, record: Box::new(record) };
            return done(self.store.commit(vec![taken, put]).await);
        };
        let callback = record.clone().into_callback(workspace.clone(), self.public_url.clone());
        let mut passage = self.passage(callback, place, Origin::Deferred { record: Box::new(record) });
        passage.with = vec![taken];
        let (end, _) = self.pass(passage).await?;
        Ok(end.outcome != Outcome::Kept)
    }
}

/// It stays where it is.
fn later(reason: String) -> Stopped {
    let stop = Stop::failed(UNAVAILABLE.status, UNAVAILABLE.code, UNAVAILABLE.detail, reason);
    (Stage::Select, Stop { temporary: true, ..stop })
}
