//! Callbacks as they are listed.

use crate::name::{CallbackId, ExecutionId, Name, TicketId};
use crate::outcome::{CallbackRecord, Outcome};
use crate::time::Timestamp;
use crate::trace::{Stage, shortened};
use serde::Serialize;

/// A callback as it is listed: without what was sent and what was answered.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CallbackSummary {
    #[schema(value_type = String)]
    pub id: CallbackId,
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    pub face: String,
    /// Absent for a ticket without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub flow: Option<Name>,
    /// The id of the trigger.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trigger: String,
    /// The ticket whose URL was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ticket: Option<TicketId>,
    #[schema(value_type = String)]
    pub environment: Name,
    /// When it was made, where that is known.
    #[serde(skip)]
    pub environment_made_at: Option<Timestamp>,
    pub method: String,
    pub path: String,
    /// The size of the body as received.
    pub body_bytes: u64,
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// The execution that it started, resumed or waits for; the first of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub execution: Option<ExecutionId>,
    /// How many executions it resumed, when it was for all that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_count: Option<u64>,
    /// The callback that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub replay_of: Option<CallbackId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplySummary>,
    /// The stage that decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Decision>,
    /// How long all stages took.
    pub duration_us: u64,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ReplySummary {
    pub status: u16,
}

/// Which stage decided about a callback, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Decision {
    #[schema(value_type = String)]
    pub stage: Stage,
    pub reason: String,
}

impl From<&CallbackRecord> for CallbackSummary {
    fn from(record: &CallbackRecord) -> Self {
        let decided_by = record.deciding().map(|entry| Decision { stage: entry.stage, reason: entry.reason.clone() });
        Self {
            id: record.id,
            received_at: record.received_at,
            face: record.face.clone(),
            flow: record.flow.clone(),
            trigger: record.trigger.clone(),
            ticket: record.ticket,
            environment: record.environment.clone(),
            environment_made_at: record.environment_made_at,
            method: record.method.clone(),
            path: shortened(record.path.clone()),
            body_bytes: record.body_bytes,
            outcome: record.outcome,
            execution: record.execution,
            resumed_count: record.resumed_count,
            replay_of: record.replay_of,
            reply: record.reply.as_ref().map(|reply| ReplySummary { status: reply.status }),
            decided_by,
            duration_us: record.trace.iter().map(|entry| entry.duration_us).sum(),
        }
    }
}
