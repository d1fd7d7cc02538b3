//! Callbacks that came before an execution waited, and whether a callback counts for one.

use super::{Runner, subject_for};
use crate::condition::{Asking, evaluate};
use ringback_plugin::Subject;
use ringback_records::callback::Input;
use ringback_records::name::{ExecutionId, Name};
use ringback_records::outcome::CallbackRecord;
use ringback_records::outcome::Outcome;
use ringback_records::stop::Stop;
use ringback_records::trace::{PluginUse, Stage, TraceEntry, Verdict};
use ringback_rules::condition::Decision;
use ringback_rules::execution::{Event, Execution};
use ringback_rules::flow::Flow;
use ringback_rules::flow::Trigger;
use ringback_store::{KeyAt, Mail, StoreError, Write};
use std::sync::Arc;

pub(super) enum Look {
    Found(Event, Vec<Write>),
    Nothing,
    /// A plugin that decides rests.
    Later,
}

pub(super) fn take(workspace: &Name, execution: ExecutionId, trigger: &Name, mail: Mail) -> Write {
    Write::TakeMail { workspace: workspace.clone(), execution, trigger: trigger.clone(), mail: Box::new(mail) }
}

/// Where something was kept that came before an execution waited.
enum Kept<'k> {
    /// In its mailbox.
    Mail,
    /// For the key that it waits for.
    Early(&'k KeyAt),
}

pub(super) fn take_early(workspace: &Name, at: &KeyAt, mail: Mail) -> Write {
    Write::TakeEarly { workspace: workspace.clone(), at: at.clone(), mail: Box::new(mail) }
}

/// Why a callback that was sent to an execution by its id cannot be for it: the keys that both say differ.
fn contradiction(
    flow: &Flow,
    execution: &Execution,
    trigger: &Name,
    record: &CallbackRecord,
    subject: &Subject,
    input: &Input,
) -> Option<String> {
    let Trigger { correlate, .. } = flow.triggers.iter().find(|known| known.id == *trigger)?;
    let mut scope = execution.scope();
    (scope.input, scope.callback, scope.execution) = (input, subject.callback.as_deref(), None);
    // A ticket is for its execution, whatever the callback says.
    let said = correlate.as_ref().filter(|_| record.ticket.is_none())?.of_callback(&scope).ok()?;
    let key = execution.summary.key_at(trigger).filter(|key| *key != said)?;
    Some(format!("the execution waits for the key {key:?}, and the callback says {said:?}"))
}

impl Runner {
    /// Takes mail out of the mailbox, the oldest first, until one counts, and then of what was kept for the key that the execution
    /// waits for. What does not count is ignored for good.
    pub(super) async fn look(
        &self,
        workspace: &Name,
        flow: &Flow,
        execution: &Execution,
        trigger: &Name,
    ) -> Result<Look, StoreError> {
        let (store, summary) = (&self.inner.store, &execution.summary);
        let mut after = None;
        // One at a time: a mailbox may hold much.
        while let Some(found) = store.next_mail(workspace, summary.id, trigger, after).await? {
            after = Some(found.0.callback);
            if let Some(look) = self.look_at(workspace, flow, execution, trigger, found, Kept::Mail).await? {
                return Ok(look);
            }
        }
        let Some(key) = summary.key_at(trigger) else { return Ok(Look::Nothing) };
        let (at, mut after) = (KeyAt::of(summary, trigger, key), None);
        while let Some(found) = store.next_early(workspace, &at, after).await? {
            after = Some(found.0.callback);
            if let Some(look) = self.look_at(workspace, flow, execution, trigger, found, Kept::Early(&at)).await? {
                return Ok(look);
            }
        }
        Ok(Look::Nothing)
    }

    /// Takes one out, if it counts; `None` when it does not, and is out of the way.
    async fn look_at(
        &self,
        workspace: &Name,
        flow: &Flow,
        execution: &Execution,
        trigger: &Name,
        (mail, record): (Mail, Option<CallbackRecord>),
        kept: Kept<'_>,
    ) -> Result<Option<Look>, StoreError> {
        let (store, id) = (&self.inner.store, execution.summary.id);
        let Mail { callback, input, .. } = mail.clone();
        let mut uses = Vec::new();
        let seen = record
            .clone()
            .map(|record| Arc::new(record.into_callback(workspace.clone(), self.inner.public_url.clone())));
        let subject = Subject {
            callback: seen,
            data: Some(Arc::clone(&input.data)),
            ..subject_for(flow, trigger, workspace, execution)
        };
        let is_gone = |record: &CallbackRecord| {
            let of_key = matches!(kept, Kept::Early(_));
            of_key && self.inner.flows.is_gone(workspace, &flow.name, record.flow_made_at)
        };
        let decision = match &record {
            Some(record) if is_gone(record) => {
                Ok(Decision::new(false, "it came to a flow of the same name that was removed"))
            }
            record => {
                let contradiction = record
                    .as_ref()
                    .and_then(|record| contradiction(flow, execution, trigger, record, &subject, &input));
                match contradiction {
                    Some(reason) => Ok(Decision::new(false, reason)),
                    None => self.counts(flow, execution, trigger, subject, &input, &mut uses).await,
                }
            }
        };
        let (outcome, verdict, reason) = match decision {
            Ok(decision) if decision.holds => (Outcome::Resumed, Verdict::Passed, decision.reason),
            Ok(decision) => (Outcome::Ignored, Verdict::Ignored, decision.reason),
            Err(stop) if stop.temporary => return Ok(Some(Look::Later)),
            Err(stop) => (Outcome::Failed, Verdict::Failed, stop.reason),
        };
        let (taken, whence) = match kept {
            Kept::Mail => (take(workspace, id, trigger, mail), "took it from the mailbox"),
            Kept::Early(at) => (take_early(workspace, at, mail), "took it of what was kept for its key"),
        };
        let mut writes = vec![taken];
        if let Some(mut record) = record {
            let entry = TraceEntry { stage: Stage::Condition, verdict, reason, duration_us: 0, plugins: uses };
            record.trace.push(entry);
            record.execution = Some(id);
            let before = Some(std::mem::replace(&mut record.outcome, outcome));
            if outcome == Outcome::Resumed {
                let reason = format!("the execution got to the trigger, and {whence}");
                record.decide(outcome, Verdict::Passed, reason);
            }
            writes.push(Write::PutCallback { workspace: workspace.clone(), before, record: Box::new(record) });
        }
        if outcome == Outcome::Resumed {
            let trigger = trigger.clone();
            return Ok(Some(Look::Found(Event::Resumed { trigger, callback, input }, writes)));
        }
        match store.commit(writes).await {
            Ok(()) | Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a callback counts for an execution that waits: the condition of the execution's own version decides.
    ///
    /// # Errors
    ///
    /// The condition could not be evaluated.
    pub async fn counts(
        &self,
        flow: &Flow,
        execution: &Execution,
        trigger: &Name,
        subject: Subject,
        input: &Input,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Decision, Stop> {
        let condition = flow.triggers.iter().find(|known| known.id == *trigger).and_then(|known| known.when.as_ref());
        let Some(condition) = condition else { return Ok(Decision::new(true, "there is no condition")) };
        let mut scope = execution.scope();
        // Whom the execution knows, it knows here too.
        let user = input.user.clone().or_else(|| scope.input.user.clone());
        let input = Input { user, ..input.clone() };
        (scope.input, scope.callback) = (&input, subject.callback.as_deref());
        let mut asking = Asking { plugins: &self.inner.plugins, subject: &subject, uses };
        evaluate(condition, &scope, &mut asking).await
    }
}
