//! FlowRunner's External Callback: `/api/automation/flow/{flow-id}/trigger/{trigger-id}/activate` (FR-05). Who succeeds gets
//! an empty 200 (FR-40), who does not a number and a message in JSON (FR-38, FR-42).

use super::{Address, Target};
use crate::name::{CallbackId, ExecutionId};
use crate::outcome::{Problem, Reply};
use serde_json::json;
use uuid::Uuid;

pub(super) struct Face;

impl super::Face for Face {
    fn name(&self) -> &'static str {
        "flowrunner"
    }

    /// FR-07: in upper case.
    fn path(&self, target: &Target<'_>) -> Option<String> {
        let upper = |id: Uuid| id.hyphenated().to_string().to_ascii_uppercase();
        let Target { ids, .. } = target;
        Some(format!("/api/automation/flow/{}/trigger/{}/activate", upper(ids.flow), upper(ids.trigger)))
    }

    fn address(&self, path: &str) -> Option<Address> {
        let rest = path.strip_prefix("/api/automation/flow/")?.strip_suffix("/activate")?;
        let (flow, trigger) = rest.split_once("/trigger/")?;
        let plain = |id: &str| !id.is_empty() && !id.contains('/');
        (plain(flow) && plain(trigger)).then(|| Address::plain(format!("{flow}/{trigger}")))
    }

    /// FR-31.
    fn knows_users(&self) -> bool {
        true
    }

    fn accepted(&self, _: CallbackId, _: ExecutionId) -> Reply {
        Reply::empty(200)
    }

    /// FR-41, A-FR-12.
    fn resumed_all(&self, _: CallbackId, executions: &[ExecutionId]) -> Reply {
        let ids: Vec<String> = executions.iter().map(ToString::to_string).collect();
        Reply::text(200, ids.join(","))
    }

    /// A-FR-6.
    fn kept(&self, _: CallbackId, _: Option<ExecutionId>) -> Reply {
        Reply::empty(200)
    }

    /// A-FR-10.
    fn ignored(&self) -> Reply {
        Reply::empty(200)
    }

    fn completed(&self, _: CallbackId, _: ExecutionId) -> Reply {
        Reply::empty(200)
    }

    /// A-FR-1, A-FR-2, A-FR-6, A-FR-7, A-FR-11.
    fn stopped(&self, problem: &Problem, callback: CallbackId) -> Reply {
        let (status, code) = match problem.code {
            "role_missing" => (400, 1000),
            "nobody_waits" | "not_waiting" => (404, 1001),
            "unknown_execution" => (404, 1002),
            "execution_ended" | "trigger_passed" => (404, 1003),
            "selector_missing" => (400, 1004),
            "selector_ambiguous" => (400, 1005),
            "user_unknown" => (401, 1006),
            _ => return problem.reply(callback),
        };
        let message = match code {
            // FR-38 has these very words.
            1000 => "Unable to execute the callback. User is missing required security role(s)",
            _ => problem.detail,
        };
        Reply::json(status, &json!({ "code": code, "message": message }))
    }
}
