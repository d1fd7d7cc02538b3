//! Our own face: `/h/{key}`, answers in JSON.

use crate::name::{CallbackId, ExecutionId};
use crate::outcome::Reply;
use serde_json::json;

const PREFIX: &str = "/h/";

pub(super) fn key(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|key| !key.is_empty() && !key.contains('/'))
}

pub(super) fn path(key: &str) -> String {
    format!("{PREFIX}{key}")
}

pub(super) fn accepted(callback: CallbackId, execution: ExecutionId) -> Reply {
    Reply::json(202, &json!({ "callback": callback, "execution": execution }))
}

pub(super) fn resumed_all(callback: CallbackId, executions: &[ExecutionId]) -> Reply {
    Reply::json(202, &json!({ "callback": callback, "executions": executions }))
}

/// A-FR-6.
pub(super) fn kept(callback: CallbackId, execution: Option<ExecutionId>) -> Reply {
    let body = match execution {
        Some(execution) => json!({ "callback": callback, "execution": execution, "outcome": "kept" }),
        None => json!({ "callback": callback, "outcome": "kept" }),
    };
    Reply::json(202, &body).with_header("ringback-outcome", "kept")
}

pub(super) fn pending(callback: CallbackId, execution: Option<ExecutionId>, status_url: &str) -> Reply {
    let mut body = json!({ "callback": callback, "status": "running", "status_url": status_url });
    if let (Some(body), Some(execution)) = (body.as_object_mut(), execution) {
        body.insert("execution".to_owned(), execution.to_string().into());
    }
    Reply::json(202, &body).with_header("location", status_url)
}

/// A-FR-10.
pub(super) fn ignored() -> Reply {
    Reply::empty(204).with_header("ringback-outcome", "ignored")
}

pub(super) fn completed(callback: CallbackId, execution: ExecutionId) -> Reply {
    Reply::json(200, &json!({ "callback": callback, "execution": execution, "status": "completed" }))
}
