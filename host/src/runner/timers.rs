//! What is due: waits that end, and mail that nobody took in time.

use super::mailbox::{take, take_early};
use super::{Job, Runner, Why};
use crate::rounds::Rounds;
use futures_util::StreamExt as _;
use ringback_records::journal::{Status, Summary};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::time::Timestamp;
use ringback_records::trace::Verdict;
use ringback_rules::flow::Flow;
use ringback_share::Places;
use ringback_store::{Due, DueKey, KeyAt, StoreError, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked what is due: nothing is later than this, when there is time to do it.
const TIMER_INTERVAL: Duration = Duration::from_millis(200);
/// What is due and stays is looked at again so often; else a look goes on where the last one ended.
const PASS_INTERVAL: Duration = Duration::from_secs(1);
/// What is read of a workspace at a time, and of how many workspaces.
const TIMERS_PAGE: usize = 1000;
const LOOKING_MAX: usize = 64;
/// How often who finds no room in line looks whether there is some.
const ROOM_INTERVAL: Duration = Duration::from_millis(10);
/// Mail of a workspace that expires at the same time.
const EXPIRING_MAX: usize = 32;

/// Mail that nobody took: its execution, its trigger, and its callback.
type Expired = (ExecutionId, Name, CallbackId);

/// Up to where it was looked at what is due in a workspace.
#[derive(Default)]
struct Looked {
    after: Option<DueKey>,
    /// Since when it goes on behind a key.
    since: Option<Instant>,
}

impl Runner {
    /// Handles what is due, for ever: that of each workspace by itself.
    pub async fn run_timers(&self) -> std::convert::Infallible {
        let places = Places::new(LOOKING_MAX, 1, usize::MAX);
        let mut rounds = Rounds::default();
        loop {
            tokio::time::sleep(TIMER_INTERVAL).await;
            let workspaces = match self.inner.store.due_in(Timestamp::now()).await {
                Ok(workspaces) => workspaces,
                Err(error) => {
                    tracing::error!(%error, "timers could not be read");
                    continue;
                }
            };
            let look = |workspace: Name, looked: Looked| {
                let (runner, places) = (self.clone(), Arc::clone(&places));
                async move {
                    let looked = runner.look_at_due(&workspace, &places, looked).await;
                    looked.unwrap_or_else(|error| {
                        tracing::error!(%workspace, %error, "timers could not be read");
                        Looked::default()
                    })
                }
            };
            rounds.begin(workspaces, look).await;
        }
    }

    /// Lines up every execution of a workspace whose time has come, and takes away the mail that has expired.
    async fn look_at_due(&self, workspace: &Name, places: &Arc<Places>, looked: Looked) -> Result<Looked, StoreError> {
        let since = looked.since.filter(|since| since.elapsed() < PASS_INTERVAL);
        let mut after = since.and(looked.after);
        let since = since.or_else(|| Some(Instant::now()));
        loop {
            let place = places.take(workspace).await;
            let page = self.inner.store.due(workspace, Timestamp::now(), after.clone(), TIMERS_PAGE).await?;
            let (mut executions, mut mail, mut early) = (Vec::new(), Vec::new(), Vec::new());
            for due in page.items {
                match due {
                    Due::Execution { id, .. } => executions.push(id),
                    Due::Mail { execution, trigger, callback, .. } => mail.push((execution, trigger, callback)),
                    Due::Early { at, callback, .. } => early.push((at, callback)),
                }
            }
            self.expire_all(workspace, mail).await;
            self.expire_all_early(workspace, early).await;
            drop(place);
            for id in executions {
                self.wake(workspace, id).await;
            }
            after = page.last.or(after);
            if page.is_end {
                return Ok(Looked { after, since });
            }
        }
    }

    /// Tells an execution that its time has come, unless somebody has it in hand: as soon as there is room in line.
    async fn wake(&self, workspace: &Name, id: ExecutionId) {
        while let Some(hand) = self.inner.hands.take_free(id)
            && self.inner.working.try_line_up(workspace, Job::new(hand, Why::Woken)).is_err()
        {
            tokio::time::sleep(ROOM_INTERVAL).await;
        }
    }

    async fn expire_all(&self, workspace: &Name, mail: Vec<Expired>) {
        let expire = |(execution, trigger, callback)| async move {
            if let Err(error) = self.expire(workspace, execution, &trigger, callback).await {
                tracing::error!(callback.id = %callback, %error, "mail that expired is tried again");
            }
        };
        futures_util::stream::iter(mail).for_each_concurrent(EXPIRING_MAX, expire).await;
    }

    async fn expire(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        callback: CallbackId,
    ) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let Some((mail, record)) = store.mail(workspace, execution, trigger, callback).await? else { return Ok(()) };
        let over = store.summary(workspace, execution).await?.as_ref().and_then(left_behind);
        let reason = over.unwrap_or_else(|| {
            "it expired in the mailbox: the execution did not get to the trigger in time".to_owned()
        });
        self.leave(workspace, take(workspace, execution, trigger, mail), record, reason).await
    }

    async fn expire_all_early(&self, workspace: &Name, early: Vec<(KeyAt, CallbackId)>) {
        let expire = |(at, callback): (KeyAt, CallbackId)| async move {
            if let Err(error) = self.expire_early(workspace, &at, callback).await {
                tracing::error!(callback.id = %callback, %error, "what was kept for a key and expired is tried again");
            }
        };
        futures_util::stream::iter(early).for_each_concurrent(EXPIRING_MAX, expire).await;
    }

    async fn expire_early(&self, workspace: &Name, at: &KeyAt, callback: CallbackId) -> Result<(), StoreError> {
        let Some((mail, record)) = self.inner.store.early(workspace, at, callback).await? else { return Ok(()) };
        let reason = "it expired: no execution waited for its key in time, or its turn did not come".to_owned();
        self.leave(workspace, take_early(workspace, at, mail), record, reason).await
    }

    /// Empties the mailboxes of an execution that is over: what is in them came to nothing. What a crash leaves there expires.
    pub(super) async fn close_mailboxes(
        &self,
        workspace: &Name,
        flow: &Flow,
        summary: &Summary,
    ) -> Result<(), StoreError> {
        let Some(reason) = left_behind(summary) else { return Ok(()) };
        for trigger in flow.triggers.iter().skip(1) {
            let mut after = None;
            while let Some((mail, record)) =
                self.inner.store.next_mail(workspace, summary.id, &trigger.id, after).await?
            {
                after = Some(mail.callback);
                let taken = take(workspace, summary.id, &trigger.id, mail);
                self.leave(workspace, taken, record, reason.clone()).await?;
            }
        }
        Ok(())
    }

    /// Takes mail away that came to nothing.
    async fn leave(
        &self,
        workspace: &Name,
        taken: Write,
        record: Option<CallbackRecord>,
        reason: String,
    ) -> Result<(), StoreError> {
        let mut writes = vec![taken];
        if let Some(mut record) = record {
            let before = Some(record.outcome);
            record.decide(Outcome::Ignored, Verdict::Ignored, reason);
            writes.push(Write::PutCallback { workspace: workspace.clone(), before, record: Box::new(record) });
        }
        match self.inner.store.commit(writes).await {
            // It was taken in the last moment.
            Err(StoreError::Conflict) => Ok(()),
            result => result,
        }
    }
}

/// What became of mail of an execution that is over for good: none that can be tried again.
fn left_behind(summary: &Summary) -> Option<String> {
    let status = summary.status;
    let is_over = matches!(status, Status::Completed | Status::Cancelled);
    is_over.then(|| {
        format!(
            "it was kept in the mailbox, and the execution was {status} without taking it",
            status = status.as_str()
        )
    })
}
