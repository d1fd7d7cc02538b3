//! Our own face: `/h/{key}`, answers in JSON.

use super::{Address, Target, without_slash};
use ringback_records::name::{CallbackId, ExecutionId};
use ringback_records::reply::Reply;
use serde_json::json;

pub(super) struct Face;

const PREFIX: &str = "/h/";

impl super::Face for Face {
    fn name(&self) -> &'static str {
        "native"
    }

    fn path(&self, target: &Target<'_>) -> Option<String> {
        Some(format!("{PREFIX}{}", target.ids.key))
    }

    fn address(&self, path: &str) -> Option<Address> {
        let key = without_slash(path.strip_prefix(PREFIX)?);
        (!key.is_empty() && !key.contains('/')).then(|| Address::plain(key))
    }

    fn parts(&self) -> &'static [&'static str] {
        &["key"]
    }

    fn answers_probes(&self) -> bool {
        true
    }

    fn accepted(&self, callback: CallbackId, execution: ExecutionId) -> Reply {
        Reply::json(202, &json!({ "callback": callback, "execution": execution }))
    }

    fn resumed_all(&self, callback: CallbackId, executions: &[ExecutionId]) -> Reply {
        Reply::json(202, &json!({ "callback": callback, "executions": executions }))
    }

    /// A-FR-6.
    fn kept(&self, callback: CallbackId, execution: Option<ExecutionId>) -> Reply {
        let body = match execution {
            Some(execution) => json!({ "callback": callback, "execution": execution, "outcome": "kept" }),
            None => json!({ "callback": callback, "outcome": "kept" }),
        };
        Reply::json(202, &body).with_header("ringback-outcome", "kept")
    }

    /// A-FR-10.
    fn ignored(&self) -> Reply {
        Reply::empty(204).with_header("ringback-outcome", "ignored")
    }

    fn completed(&self, callback: CallbackId, execution: ExecutionId) -> Reply {
        Reply::json(200, &json!({ "callback": callback, "execution": execution, "status": "completed" }))
    }
}
