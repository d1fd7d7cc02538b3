//! FlowRunner's External Callback: `/api/automation/flow/{flow-id}/trigger/{trigger-id}/activate` (FR-05). Who succeeds gets
//! an empty 200 (FR-40), who does not a number and a message in JSON (FR-38, FR-42).

use super::{Address, Target, without_slash};
use ringback_records::name::{CallbackId, ExecutionId};
use ringback_records::stop::Problem;
use ringback_records::reply::Reply;
use serde_json::json;
use uuid::Uuid;

pub(super) struct Face;

const PREFIX: &str = "/api/automation/flow/";
/// The number for who fails to authenticate, or does not have a role.
const NOT_ACCEPTED: u16 = 1000;

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

    /// The ids in any case: those that are brought along may be written in lower case elsewhere.
    fn address(&self, path: &str) -> Option<Address> {
        let rest = without_slash(path.strip_prefix(PREFIX)?).strip_suffix("/activate")?;
        let (flow, trigger) = rest.split_once("/trigger/")?;
        let plain = |id: &str| !id.is_empty() && !id.contains('/');
        (plain(flow) && plain(trigger)).then(|| Address::plain(format!("{flow}/{trigger}").to_ascii_uppercase()))
    }

    fn parts(&self) -> &'static [&'static str] {
        &["flow", "trigger"]
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

    /// A-FR-1, A-FR-2, A-FR-6, A-FR-7, A-FR-11: of what has no number of its own, the status is the number.
    fn stopped(&self, problem: &Problem, _: Option<CallbackId>) -> Reply {
        let (status, code) = match problem.code {
            "role_missing" => (400, NOT_ACCEPTED),
            "nobody_waits" | "not_waiting" => (404, 1001),
            "unknown_execution" => (404, 1002),
            "execution_ended" | "trigger_passed" => (404, 1003),
            "selector_missing" => (400, 1004),
            "selector_ambiguous" => (400, 1005),
            _ if problem.status == 401 => (401, NOT_ACCEPTED),
            _ => (problem.status, problem.status),
        };
        let message = match code {
            // FR-38 has these very words.
            NOT_ACCEPTED => "Unable to execute the callback. User is missing required security role(s)",
            _ => problem.detail,
        };
        Reply::json(status, &json!({ "code": code, "message": message }))
    }
}
