//! Faces: outside forms of URL and answers. A face turns a request into a route, and an outcome into an answer; it
//! knows nothing of what is in between.

mod native;

use crate::callback::Request;
use crate::flows::{Flows, Route};
use crate::name::{CallbackId, ExecutionId};
use crate::outcome::{Problem, Reply, Stop};

/// What every unknown address answers: the same bytes for a wrong key, a disabled flow and no such path.
pub const UNKNOWN: Problem = Problem { status: 404, code: "unknown_url", detail: "There is nothing at this address." };

/// The route of a path, whatever face it belongs to.
pub fn route(path: &str, flows: &Flows) -> Option<Route> {
    native::key(path).and_then(|key| flows.route(key))
}

/// The path of a trigger's URL.
pub fn path(key: &str) -> String {
    native::path(key)
}

/// Which executions a callback is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with this id.
    One(String),
    /// The one that has waited longest and whose condition is true.
    Any,
    /// Every one that waits.
    All,
}

/// The parameters that say which execution is meant (FR-15).
pub const SELECTORS: [&str; 2] = ["execution", "executionId"];

/// Which executions a request for a later trigger is for (A-FR-2).
///
/// # Errors
///
/// It does not say, or says two things (400).
pub fn selector(request: &Request) -> Result<Selector, Stop> {
    let mut found: Option<String> = None;
    for (name, value) in request.query_pairs() {
        if !SELECTORS.contains(&&*name) {
            continue;
        }
        if found.as_deref().is_some_and(|found| found != value) {
            let detail = "`execution` is given twice, with different values.";
            return Err(Stop::refused(400, "selector_ambiguous", detail, "the query selects two different executions"));
        }
        found = Some(value.into_owned());
    }
    match found.as_deref() {
        None | Some("") => {
            let detail = "Say which execution is meant: `?execution=` with its id, `any` or `all`.";
            Err(Stop::refused(400, "selector_missing", detail, "the query does not select an execution"))
        }
        Some("any") => Ok(Selector::Any),
        Some("all") => Ok(Selector::All),
        Some(id) => Ok(Selector::One(id.to_owned())),
    }
}

const STATUS_PREFIX: &str = "/s/";

/// The token of a URL that asks what became of a callback.
pub fn status_token(path: &str) -> Option<&str> {
    path.strip_prefix(STATUS_PREFIX)
}

pub fn status_path(token: &str) -> String {
    format!("{STATUS_PREFIX}{token}")
}

/// What a caller is told when the flow says nothing: its callback started or resumed an execution.
pub fn accepted(callback: CallbackId, execution: ExecutionId) -> Reply {
    native::accepted(callback, execution)
}

/// What a caller is told whose callback resumed several executions, longest-waiting first.
pub fn resumed_all(callback: CallbackId, executions: &[ExecutionId]) -> Reply {
    native::resumed_all(callback, executions)
}

/// What a caller is told whose callback is kept for later.
pub fn kept(callback: CallbackId, execution: Option<ExecutionId>) -> Reply {
    native::kept(callback, execution)
}

/// What a caller is told whose answer is not there yet, and where it will be.
pub fn pending(callback: CallbackId, execution: Option<ExecutionId>, status_url: &str) -> Reply {
    native::pending(callback, execution, status_url)
}

/// What a caller is told whose callback does not count.
pub fn ignored() -> Reply {
    native::ignored()
}

/// What a waiting caller is told when the execution ended without an answer of its own.
pub fn completed(callback: CallbackId, execution: ExecutionId) -> Reply {
    native::completed(callback, execution)
}
