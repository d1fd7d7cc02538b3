//! `trigger`: waits for a callback. The first one of a flow starts executions.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::correlation::KeyError;
use crate::execution::{Effect, Event, Execution};
use crate::expression::Activation;
use crate::face::Mode;
use crate::flow::document::{self, Node};
use crate::flow::parse::{LONGEST, Parser};
use crate::flow::schema::keys;
use crate::flow::{Flow, Step, Trigger};
use ringback_records::callback::Input;
use ringback_records::journal::{EntryKind, Status, StepError};
use serde_json::Value;
use std::time::Duration;

#[derive(Debug)]
struct Wait {
    /// The trigger, by its place among those of the flow.
    trigger: usize,
    timeout: Option<Duration>,
    on_timeout: OnTimeout,
    /// The steps of `on_timeout`.
    late: [Vec<Step>; 1],
}

/// What happens when no callback ends the wait in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnTimeout {
    Fail,
    Continue,
    Steps,
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a trigger", &keys("trigger"))?;
    let timeout = members.get("timeout").and_then(|node| parser.duration(node, Duration::from_secs(1), LONGEST));
    if let (Some(node), None) = (members.get("on_timeout"), members.get("timeout")) {
        parser.mistakes.push(node.mistake("`on_timeout` needs a `timeout`"));
    }
    let trigger = parser.trigger(&members)?;
    let (on_timeout, late) = match members.get("on_timeout") {
        None => (OnTimeout::Fail, Vec::new()),
        Some(node) => match &node.kind {
            document::Kind::List(_) => (OnTimeout::Steps, parser.block_after_another(node)),
            document::Kind::Scalar(Value::String(_)) => {
                let policy = parser.choice(node, "a way to go on", &["continue", "fail"]);
                (if policy == Some("continue") { OnTimeout::Continue } else { OnTimeout::Fail }, Vec::new())
            }
            _ => {
                parser.wrong(node, "`continue`, `fail`, or a list of steps");
                return None;
            }
        },
    };
    Some(Box::new(Wait { trigger, timeout, on_timeout, late: [late] }))
}

impl Wait {
    fn name(&self, flow: &Flow) -> String {
        flow.triggers.get(self.trigger).map(|trigger| trigger.name.clone()).unwrap_or_default()
    }

    /// Callbacks of the trigger are not for this execution any more.
    fn let_go(&self, flow: &Flow, execution: &mut Execution) {
        if let Some(trigger) = flow.triggers.get(self.trigger) {
            execution.summary.holds.retain(|held| held.trigger != trigger.id);
        }
    }
}

impl Kind for Wait {
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        let trigger = at.flow.triggers.get(self.trigger);
        let Trigger { id: trigger, correlate, .. } =
            trigger.ok_or_else(|| Failure::internal("the flow has no such trigger"))?;
        let until = self.timeout.map(|timeout| at.now.saturating_add(timeout));
        let key = correlate.as_ref().map(|correlate| correlate.of_execution(&at.execution.scope())).transpose();
        let key = key.map_err(|error| match error {
            KeyError::None(problem) => {
                Failure::new(problem.code(), format!("the execution has no key here: {problem}"))
            }
            KeyError::Evaluation(error) => error.into(),
        })?;
        let has_key = key.is_some();
        let waiting = EntryKind::Waiting { trigger: trigger.clone(), until, key };
        Ok(Begin::WriteAndAsk(waiting, Effect::LookIntoMailbox { trigger, has_key }))
    }

    fn after(&self, event: Event, at: &At<'_, '_>) -> Result<EntryKind, Failure> {
        let trigger = self.name(at.flow);
        match event {
            Event::Resumed { callback, input, .. } => Ok(EntryKind::Resumed { callback, trigger, input }),
            Event::Woken => Ok(EntryKind::TimedOut { trigger }),
            _ => Err(Failure::unexpected()),
        }
    }

    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next {
        match line.kind {
            EntryKind::Started { trigger, input, .. } | EntryKind::Resumed { trigger, input, .. } => {
                if let EntryKind::Started { holds, .. } = line.kind {
                    execution.summary.holds.clone_from(holds);
                } else {
                    self.let_go(line.flow, execution);
                }
                execution.triggers.push((trigger.clone(), Activation { input: input.clone(), timed_out: false }));
                execution.set_since.clear();
                let user = input.user.clone().or_else(|| execution.input.user.take());
                execution.input = Input { user, ..input.clone() };
                // A caller who waits now gets an answer of its own.
                if line.flow.triggers.get(self.trigger).is_some_and(|trigger| trigger.mode == Mode::Sync) {
                    execution.reply = None;
                }
                Next::GoOn
            }
            EntryKind::Waiting { trigger, until, key } => {
                execution.wait(line, Some(trigger.clone()), key.clone(), *until);
                Next::Stay
            }
            EntryKind::TimedOut { trigger } => {
                self.let_go(line.flow, execution);
                execution.triggers.push((trigger.clone(), Activation { input: Input::default(), timed_out: true }));
                match self.on_timeout {
                    OnTimeout::Steps => Next::Enter { block: 0, times: None },
                    OnTimeout::Continue => Next::GoOn,
                    OnTimeout::Fail => {
                        let message = format!("no callback of `{trigger}` came in time");
                        let step = execution.step_path(line.flow);
                        execution.summary.error = Some(StepError { code: "timed_out".to_owned(), message, step });
                        execution.end(Status::TimedOut, line.at);
                        Next::Stay
                    }
                }
            }
            _ => Next::Stay,
        }
    }

    fn blocks(&self) -> &[Vec<Step>] {
        &self.late
    }

    fn trigger(&self) -> Option<usize> {
        Some(self.trigger)
    }
}
