//! The first steps of an execution whose caller waits for its answer. Nobody was promised anything yet: what leaves nothing
//! behind elsewhere need not be durable step by step, and becomes so together with the start.

use super::effects::{Performed, ask};
use super::{Next, Run, Runner};
use ringback_plugin::{Subject, Version};
use ringback_records::callback::Callback;
use ringback_records::journal::Entry;
use ringback_records::time::Timestamp;
use ringback_rules::execution::{Effect, Turn};
use ringback_rules::flow::Flow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// After this long it is made durable how far it has come, so that it is seen, can be cancelled, and is known when its callback
/// comes again.
const AHEAD_MAX: Duration = Duration::from_millis(100);
/// Values of more bytes in memory become durable step by step: a change must not be too large because it has several of them.
const AHEAD_BYTES_MAX: usize = 1 << 20;

impl Runner {
    /// Takes an execution that is not durable yet as far as it may go: to its answer, to its end or a wait, or to a step that has
    /// effects, is known to take long, or has no place now. Its caller waits for so long. Its new entries, and what is left to do once
    /// they are durable.
    pub async fn run_ahead<'f>(
        &self,
        run: &mut Run,
        flow: &'f Flow,
        turn: Turn<'f>,
        callback: &Arc<Callback>,
        within: Duration,
    ) -> (Vec<Entry>, Next) {
        let Run { workspace, execution, .. } = run;
        let Turn { mut entries, mut effect } = turn;
        let Some(_place) = self.inner.working.enter(workspace) else { return (entries, Next::of_new(effect.as_ref())) };
        let deadline = Instant::now() + AHEAD_MAX.min(within / 2);
        while let Some(next) = &effect {
            if execution.reply().is_some() || execution.weight() > AHEAD_BYTES_MAX {
                break;
            }
            let Some((call, role)) = next.asks() else { break };
            let version = self.inner.plugins.called(workspace, call, role).await;
            if !version.as_ref().is_ok_and(Version::is_repeatable) {
                break;
            }
            let callback = matches!(next, Effect::BuildReply { .. }).then(|| Arc::clone(callback));
            let subject = Subject { callback, ..Subject::of_execution(workspace, execution) };
            match timeout_at(deadline, ask(execution, next, version, &subject, 0)).await {
                Ok(Performed::Done(event, _)) => {
                    let turn = execution.handle(flow, event, Timestamp::now());
                    entries.extend(turn.entries);
                    effect = turn.effect;
                }
                Ok(Performed::Later { failures, pause }) => return (entries, Next::Later { failures, pause }),
                // It is asked once more when the start is durable.
                Ok(Performed::Nothing) | Err(_) => break,
            }
        }
        (entries, Next::of_new(effect.as_ref()))
    }
}
