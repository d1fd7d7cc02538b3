//! Faces: outside forms of URL and answers. A face turns a request into a route, and an outcome into an answer; it
//! knows nothing of what is in between.

mod native;

use crate::flows::{Flows, Route};
use crate::name::{CallbackId, ExecutionId};
use crate::outcome::{Problem, Reply};

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

/// What a caller is told when the flow says nothing: its callback started an execution.
pub fn started(callback: CallbackId, execution: ExecutionId) -> Reply {
    native::started(callback, execution)
}

/// What a caller is told whose callback does not count.
pub fn ignored() -> Reply {
    native::ignored()
}

/// What a waiting caller is told when the execution ended without an answer of its own.
pub fn completed(callback: CallbackId, execution: ExecutionId) -> Reply {
    native::completed(callback, execution)
}
