//! Callbacks that came before an execution waited, and whether a callback counts for one.

use super::{Runner, subject_for};
use crate::condition::{Asking, evaluate};
use ringback_plugin::Subject;
use ringback_records::callback::Input;
use ringback_records::name::{ExecutionId, Name};
use ringback_records::outcome::Outcome;
use ringback_records::stop::Stop;
use ringback_records::trace::{PluginUse, Stage, TraceEntry, Verdict};
use ringback_rules::condition::Decision;
use ringback_rules::execution::{Event, Execution};
use ringback_rules::flow::Flow;
use ringback_store::{Mail, StoreError, Write};
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

impl Runner {
    /// Takes mail out of the mailbox, the oldest first, until one counts. What does not count is ignored for good.
    pub(super) async fn look(
        &self,
        workspace: &Name,
        flow: &Flow,
        execution: &Execution,
        trigger: &Name,
    ) -> Result<Look, StoreError> {
        let (store, id) = (&self.inner.store, execution.summary.id);
        let mut after = None;
        // One at a time: a mailbox may hold much.
        while let Some((mail, record)) = store.next_mail(workspace, id, trigger, after).await? {
            after = Some(mail.callback);
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
            let decision = self.counts(flow, execution, trigger, subject, &input, &mut uses).await;
            let (outcome, verdict, reason) = match decision {
                Ok(decision) if decision.holds => (Outcome::Resumed, Verdict::Passed, decision.reason),
                Ok(decision) => (Outcome::Ignored, Verdict::Ignored, decision.reason),
                Err(stop) if stop.temporary => return Ok(Look::Later),
                Err(stop) => (Outcome::Failed, Verdict::Failed, stop.reason),
            };
            let mut writes = vec![take(workspace, id, trigger, mail)];
            if let Some(mut record) = record {
                let entry = TraceEntry { stage: Stage::Condition, verdict, reason, duration_us: 0, plugins: uses };
                record.trace.push(entry);
                let before = Some(std::mem::replace(&mut record.outcome, outcome));
                if outcome == Outcome::Resumed {
                    let reason = "the execution got to the trigger, and took it from the mailbox".to_owned();
                    record.decide(outcome, Verdict::Passed, reason);
                }
                writes.push(Write::PutCallback { workspace: workspace.clone(), before, record: Box::new(record) });
            }
            if outcome == Outcome::Resumed {
                let trigger = trigger.clone();
                return Ok(Look::Found(Event::Resumed { trigger, callback, input }, writes));
            }
            match store.commit(writes).await {
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Look::Nothing)
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
