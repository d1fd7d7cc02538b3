//! What is due: waits that end, and mail that nobody took in time.

use super::mailbox::take;
use super::{Job, Runner, Why};
use futures_util::StreamExt as _;
use ringback_records::journal::{Status, Summary};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::time::Timestamp;
use ringback_records::trace::Verdict;
use ringback_rules::flow::Flow;
use ringback_store::{Due, DueKey, Mail, StoreError, Write};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often timers are looked at: none is later than this, when there is time to run it.
const TIMER_INTERVAL: Duration = Duration::from_millis(200);
/// Timers that are read at a time.
const TIMERS_PAGE: usize = 1000;
/// Every so many times they are read from the first on; else from where the last look ended.
const TIMERS_FROM_FIRST: u32 = 5;
/// Mail that expires at the same time, and that is remembered for that; other mail is found again.
const EXPIRING_MAX: usize = 32;
const EXPIRED_MAX: usize = 10_000;

impl Runner {
    /// Handles what is due, for ever.
    pub async fn run_timers(&self) -> std::convert::Infallible {
        let mut looks: u32 = 0;
        let mut after = None;
        let mut expiring: Option<JoinHandle<()>> = None;
        loop {
            tokio::time::sleep(TIMER_INTERVAL).await;
            if looks.is_multiple_of(TIMERS_FROM_FIRST) {
                after = None;
            }
            looks = looks.wrapping_add(1);
            let mut mail = Vec::new();
            after = match self.wake_due(after.take(), &mut mail).await {
                Ok(last) => last,
                Err(error) => {
                    tracing::error!(%error, "timers could not be read");
                    None
                }
            };
            // What is not handled now is found again.
            if !mail.is_empty() && expiring.as_ref().is_none_or(JoinHandle::is_finished) {
                let runner = self.clone();
                expiring = Some(tokio::spawn(async move { runner.expire_all(mail).await }));
            }
        }
    }

    /// Lines up every execution whose time has come, and finds the mail that has expired: up to which key.
    async fn wake_due(
        &self,
        mut after: Option<DueKey>,
        mail: &mut Vec<(Name, ExecutionId, Name, CallbackId)>,
    ) -> Result<Option<DueKey>, StoreError> {
        let now = Timestamp::now();
        loop {
            let page = self.inner.store.due(now, after.clone(), TIMERS_PAGE).await?;
            for due in page.items {
                match due {
                    Due::Execution { workspace, id } => self.wake(&workspace, id),
                    Due::Mail { .. } if mail.len() >= EXPIRED_MAX => {}
                    Due::Mail { workspace, execution, trigger, callback } => {
                        mail.push((workspace, execution, trigger, callback));
                    }
                }
            }
            after = page.last.or(after);
            if page.is_end {
                return Ok(after);
            }
        }
    }

    /// Tells an execution that its time has come, unless somebody has it in hand. Who finds no room in line is found again.
    fn wake(&self, workspace: &Name, id: ExecutionId) {
        if let Some(hand) = self.inner.hands.take_free(id) {
            let _ = self.inner.working.try_line_up(workspace, Job::new(hand, Why::Woken));
        }
    }

    async fn expire_all(&self, mail: Vec<(Name, ExecutionId, Name, CallbackId)>) {
        let expire = |(workspace, execution, trigger, callback)| async move {
            if let Err(error) = self.expire(&workspace, execution, &trigger, callback).await {
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
        self.leave(workspace, execution, trigger, (mail, record), reason).await
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
            while let Some(found) = self.inner.store.next_mail(workspace, summary.id, &trigger.id, after).await? {
                after = Some(found.0.callback);
                self.leave(workspace, summary.id, &trigger.id, found, reason.clone()).await?;
            }
        }
        Ok(())
    }

    /// Takes mail away that came to nothing.
    async fn leave(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        (mail, record): (Mail, Option<CallbackRecord>),
        reason: String,
    ) -> Result<(), StoreError> {
        let mut writes = vec![take(workspace, execution, trigger, mail)];
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
