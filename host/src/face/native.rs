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

pub(super) fn started(callback: CallbackId, execution: ExecutionId) -> Reply {
    Reply::json(202, &json!({ "callback": callback, "execution": execution }))
}

/// A-FR-10.
pub(super) fn ignored() -> Reply {
    Reply::empty(204).with_header("ringback-outcome", "ignored")
}

pub(super) fn completed(callback: CallbackId, execution: ExecutionId) -> Reply {
    Reply::json(200, &json!({ "callback": callback, "execution": execution, "status": "completed" }))
}
