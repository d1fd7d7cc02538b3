//! Which records of a list are wanted, as values: what is said must hold, what is `None` is open. A text that names nothing
//! matches nothing.

use super::lists::Id;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringback_records::journal::{Status, Summary};
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::summary::CallbackSummary;
use ringback_records::ticket::{Handler, TicketRecord, TicketStanding};
use ringback_records::time::Timestamp;
use ringback_records::trace::Stage;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Text that is looked for: the case of the letters a to z does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    fn is_in(&self, text: &str) -> bool {
        text.to_ascii_lowercase().contains(&self.0)
    }
}

/// When something came, or began: from the one time on, and before the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl TimeRange {
    /// The ids that are made in this time, from the one up to the other.
    pub(super) fn ids(self) -> RangeInclusive<Id> {
        let before = |time| u128::from_be_bytes(first_id(time)).checked_sub(1).map(u128::to_be_bytes);
        match (self.since.map_or([0; 16], first_id), self.until.map_or(Some([0xff; 16]), before)) {
            (from, Some(to)) => from..=to,
            (_, None) => [1; 16]..=[0; 16],
        }
    }
}

/// The first id that can be made at a time: ids of version 7 begin with 48 bits of milliseconds.
fn first_id(time: Timestamp) -> Id {
    (u128::from(time.as_millis().min((1 << 48) - 1)) << 80).to_be_bytes()
}

/// Which callbacks are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackFilter {
    pub flow: Option<Name>,
    /// The id of the trigger.
    pub trigger: Option<String>,
    pub ticket: Option<TicketId>,
    pub execution: Option<ExecutionId>,
    pub environment: Option<Name>,
    /// One of these; any when there are none.
    pub outcomes: Vec<Outcome>,
    pub time: TimeRange,
    /// In what is said of the stage that decided.
    pub reason: Option<Text>,
    /// In the path, the query, the headers or the body, as they are kept.
    pub text: Option<Text>,
    /// In any of these, or in its id or that of its execution.
    pub anywhere: Option<Text>,
}

/// What is compared that a summary has, too.
struct Known<'r> {
    flow: Option<&'r Name>,
    trigger: &'r str,
    ticket: Option<TicketId>,
    execution: Option<ExecutionId>,
    environment: &'r Name,
    outcome: Outcome,
    decided: Option<(Stage, &'r str)>,
}

impl<'r> From<&'r CallbackRecord> for Known<'r> {
    fn from(record: &'r CallbackRecord) -> Self {
        Self {
            flow: record.flow.as_ref(),
            trigger: &record.trigger,
            ticket: record.ticket,
            execution: record.execution,
            environment: &record.environment,
            outcome: record.outcome,
            decided: record.deciding().map(|entry| (entry.stage, &*entry.reason)),
        }
    }
}

impl<'r> From<&'r CallbackSummary> for Known<'r> {
    fn from(summary: &'r CallbackSummary) -> Self {
        Self {
            flow: summary.flow.as_ref(),
            trigger: &summary.trigger,
            ticket: summary.ticket,
            execution: summary.execution,
            environment: &summary.environment,
            outcome: summary.outcome,
            decided: summary.decided_by.as_ref().map(|decision| (decision.stage, &*decision.reason)),
        }
    }
}

impl Known<'_> {
    fn has_reason(&self, reason: &Text) -> bool {
        self.decided.is_some_and(|(stage, said)| reason.is_in(&format!("{stage}: {said}")))
    }
}

impl CallbackFilter {
    /// Whether callbacks of a flow with an outcome may be among them.
    pub(super) fn may_accept(&self, flow: Option<&Name>, outcome: Outcome) -> bool {
        (self.outcomes.is_empty() || self.outcomes.contains(&outcome))
            && self.flow.as_ref().is_none_or(|wanted| flow == Some(wanted))
    }

    /// Whether a callback is, the time aside, which is that of its id.
    pub(super) fn accepts(&self, record: &CallbackRecord) -> bool {
        let known = Known::from(record);
        let is_anywhere = |text: &Text| {
            let is_id = text.is_in(&record.id.to_string())
                || record.execution.is_some_and(|execution| text.is_in(&execution.to_string()));
            is_id || known.has_reason(text) || is_in_request(text, record)
        };
        self.accepts_known(&known)
            && self.text.as_ref().is_none_or(|text| is_in_request(text, record))
            && self.anywhere.as_ref().is_none_or(is_anywhere)
    }

    /// Whether one may be of which this much is known.
    pub(super) fn may_accept_summary(&self, summary: &CallbackSummary) -> bool {
        self.accepts_known(&summary.into())
    }

    /// Whether a summary does not say it.
    pub(super) fn needs_record(&self) -> bool {
        self.text.is_some() || self.anywhere.is_some()
    }

    fn accepts_known(&self, known: &Known<'_>) -> bool {
        let Self { flow: _, trigger, ticket, execution, environment, outcomes: _, time: _, reason, .. } = self;
        self.may_accept(known.flow, known.outcome)
            && trigger.as_ref().is_none_or(|trigger| known.trigger == trigger)
            && ticket.is_none_or(|ticket| known.ticket == Some(ticket))
            && execution.is_none_or(|execution| known.execution == Some(execution))
            && environment.as_ref().is_none_or(|environment| known.environment == environment)
            && reason.as_ref().is_none_or(|reason| known.has_reason(reason))
    }
}

fn is_in_request(text: &Text, record: &CallbackRecord) -> bool {
    let decoded = || {
        let bytes = STANDARD.decode(record.body_base64.as_ref()?).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    text.is_in(&record.path)
        || text.is_in(&record.query)
        || record.headers.iter().any(|(name, value)| text.is_in(&format!("{name}: {value}")))
        || record.body.as_ref().is_some_and(|body| text.is_in(body))
        || decoded().is_some_and(|body| text.is_in(&body))
}

/// Which executions are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    pub flow: Option<Name>,
    /// The version of the flow that it runs: one of these; any when there are none.
    pub versions: BTreeSet<u32>,
    /// The id of the trigger that it waits at.
    pub trigger: Option<String>,
    /// The callback that started it.
    pub callback: Option<CallbackId>,
    pub environment: Option<Name>,
    /// One of these; any when there are none.
    pub statuses: Vec<Status>,
    pub time: TimeRange,
    /// In the code or the message of why it failed.
    pub reason: Option<Text>,
}

impl ExecutionFilter {
    /// Whether an execution is among them, the time aside, which is that of its id.
    pub(super) fn accepts(&self, summary: &Summary) -> bool {
        let Self { flow, versions, trigger, callback, environment, statuses, time: _, reason } = self;
        let mut waits_at = summary.waits.iter().filter_map(|wait| wait.trigger.as_ref());
        flow.as_ref().is_none_or(|flow| summary.flow == *flow)
            && (versions.is_empty() || versions.contains(&summary.flow_version))
            && trigger.as_ref().is_none_or(|trigger| waits_at.any(|at| at.as_str() == trigger))
            && callback.is_none_or(|callback| summary.callback == callback)
            && environment.as_ref().is_none_or(|environment| summary.environment == *environment)
            && (statuses.is_empty() || statuses.contains(&summary.status))
            && reason.as_ref().is_none_or(|reason| {
                summary.error.as_ref().is_some_and(|error| reason.is_in(&format!("{}: {}", error.code, error.message)))
            })
    }
}

/// Which tickets are wanted. Whether the environment or the flow of one is gone, the store does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// Where it stands at a time: at one of these.
    pub standing: Option<(Timestamp, Vec<TicketStanding>)>,
    /// The plugin that answers its calls.
    pub plugin: Option<Name>,
}

impl TicketFilter {
    pub fn accepts(&self, ticket: &TicketRecord) -> bool {
        let Self { standing, plugin } = self;
        let answers = match &ticket.handler {
            Some(Handler::Plugin { plugin, .. }) => Some(plugin),
            Some(Handler::Trigger { .. } | Handler::Flow { .. }) | None => None,
        };
        standing.as_ref().is_none_or(|(at, standing)| standing.contains(&ticket.standing(*at)))
            && plugin.as_ref().is_none_or(|plugin| answers == Some(plugin))
    }
}
