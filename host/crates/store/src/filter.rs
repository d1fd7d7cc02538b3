//! Which records of a list are wanted, as values: what is said must hold, what is `None` is open. A text that names nothing
//! matches nothing.

use ringback_records::journal::{Status, Summary};
use ringback_records::name::Name;
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::ticket::{Handler, TicketRecord, TicketStanding};
use ringback_records::time::Timestamp;

/// Which callbacks are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackFilter {
    pub flow: Option<String>,
    /// The id of the trigger.
    pub trigger: Option<String>,
    /// The id of the ticket.
    pub ticket: Option<String>,
    pub outcome: Option<Outcome>,
}

impl CallbackFilter {
    pub fn accepts(&self, record: &CallbackRecord) -> bool {
        let Self { flow, trigger, ticket, outcome } = self;
        flow.as_ref().is_none_or(|flow| record.flow.as_ref().is_some_and(|known| known.as_str() == flow))
            && trigger.as_ref().is_none_or(|trigger| record.trigger == *trigger)
            && ticket.as_ref().is_none_or(|ticket| record.ticket.is_some_and(|known| known.to_string() == *ticket))
            && outcome.is_none_or(|outcome| record.outcome == outcome)
    }
}

/// Which executions are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    pub flow: Option<String>,
    pub status: Option<Status>,
    /// The id of the trigger that it waits at.
    pub trigger: Option<String>,
}

impl ExecutionFilter {
    pub fn accepts(&self, summary: &Summary) -> bool {
        let Self { flow, status, trigger } = self;
        let mut waits_at = summary.waits.iter().filter_map(|wait| wait.trigger.as_ref());
        flow.as_ref().is_none_or(|flow| summary.flow.as_str() == flow)
            && status.is_none_or(|status| summary.status == status)
            && trigger.as_ref().is_none_or(|trigger| waits_at.any(|at| at.as_str() == trigger))
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
