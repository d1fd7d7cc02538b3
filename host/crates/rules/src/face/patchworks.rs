//! Patchworks' callbacks: `/api/v1/{workspace}/{callback-id}[/{environment-prefix}]?patchworks_signature=…` (PW-06). The
//! signature may also come in a header (PW-14), or as `signature`. The caller waits for what the flow returns (PW-01).

use super::{Address, Target, without_slash};
use ringback_records::flow::CallbackIds;
use ringback_records::callback::Request;
use crate::face::Mode;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::reply::Reply;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Value, json};

pub(super) struct Face;

const PREFIX: &str = "/api/v1/";
const PARAMETERS: &[&str] = &["signature", "patchworks_signature"];
const HEADERS: [&str; 2] = ["ringback-signature", "patchworks-signature"];

impl super::Face for Face {
    fn name(&self) -> &'static str {
        "patchworks"
    }

    fn path(&self, target: &Target<'_>) -> Option<String> {
        let Target { workspace, callback, environment, prefix, .. } = target;
        let callback = (*callback)?;
        let prefix = prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
        let newest = callback.signatures.first().map(|newest| callback.in_environment(newest, environment));
        let signature = newest.unwrap_or_default();
        Some(format!("{PREFIX}{workspace}/{}{prefix}?patchworks_signature={signature}", callback.id))
    }

    /// A-PW-7: ids in any case, with or without a slash at the end.
    fn address(&self, path: &str) -> Option<Address> {
        let rest = path.strip_prefix(PREFIX)?;
        let parts: Vec<&str> = without_slash(rest).split('/').collect();
        let (workspace, id, prefix) = match parts[..] {
            [workspace, id] => (workspace, id, None),
            [workspace, id, prefix] => (workspace, id, Some(prefix)),
            _ => return None,
        };
        let key = format!("{}/{}", workspace.to_ascii_lowercase(), id.to_ascii_lowercase());
        (!parts.contains(&"")).then(|| Address { key, prefix: prefix.map(str::to_owned) })
    }

    fn has_callbacks(&self) -> bool {
        true
    }

    fn has_prefixes(&self) -> bool {
        true
    }

    /// A-PW-2: one is needed, and every one that is given must be right.
    fn admits(&self, callback: &CallbackIds, environment: &Name, request: &Request) -> bool {
        let parameters = request.query_pairs().filter(|(name, _)| PARAMETERS.contains(&&**name));
        let mut given: Vec<String> = parameters.map(|(_, value)| value.into_owned()).collect();
        given.extend(HEADERS.iter().filter_map(|name| request.header(name)));
        let known = callback.signatures.iter().map(|signature| callback.in_environment(signature, environment));
        let known: Vec<_> = known.collect();
        let is_right = |given: &String| {
            let equal = |known: &str| verify_slices_are_equal(known.as_bytes(), given.as_bytes()).is_ok();
            // Every one is compared: the time tells nothing of which.
            known.iter().filter(|known| equal(known)).count() > 0
        };
        !given.is_empty() && given.iter().filter(|given| is_right(given)).count() == given.len()
    }

    fn credentials(&self) -> &'static [&'static str] {
        PARAMETERS
    }

    fn mode(&self) -> Mode {
        Mode::Sync
    }

    fn accepted(&self, callback: CallbackId, execution: ExecutionId) -> Reply {
        Reply::json(202, &json!({ "callback": callback, "execution": execution }))
    }

    fn resumed_all(&self, callback: CallbackId, executions: &[ExecutionId]) -> Reply {
        Reply::json(202, &json!({ "callback": callback, "executions": executions }))
    }

    fn kept(&self, callback: CallbackId, _: Option<ExecutionId>) -> Reply {
        Reply::json(202, &json!({ "callback": callback, "outcome": "kept" }))
    }

    fn ignored(&self) -> Reply {
        Reply::json(200, &Value::Null)
    }

    /// A-PW-3.
    fn completed(&self, _: CallbackId, _: ExecutionId) -> Reply {
        Reply::json(200, &Value::Null)
    }
}
