//! NocoBase's webhook event: `/api/webhook:trigger/{key}` (NB-06), POST alone (NB-07).

use super::{Address, Target, without_slash};
use ringback_records::name::{CallbackId, ExecutionId};
use ringback_records::reply::Reply;
use http::Method;
use serde_json::json;

pub(super) struct Face;

const PREFIX: &str = "/api/webhook:trigger/";

impl super::Face for Face {
    fn name(&self) -> &'static str {
        "nocobase"
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

    /// NB-30.
    fn responding_ends(&self) -> bool {
        true
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::POST]
    }

    /// NB-25.
    fn accepted(&self, _: CallbackId, _: ExecutionId) -> Reply {
        Reply::text(200, "ok")
    }

    fn resumed_all(&self, _: CallbackId, _: &[ExecutionId]) -> Reply {
        Reply::text(200, "ok")
    }

    fn kept(&self, _: CallbackId, _: Option<ExecutionId>) -> Reply {
        Reply::text(200, "ok")
    }

    fn ignored(&self) -> Reply {
        Reply::text(200, "ok")
    }

    /// NB-31, A-NB-7.
    fn completed(&self, _: CallbackId, execution: ExecutionId) -> Reply {
        Reply::json(200, &json!({ "execution": execution, "status": "completed" }))
    }
}
