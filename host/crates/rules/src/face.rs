//! Faces: outside forms of URL, data rules and answers. A face turns a request into an address, and an outcome into an answer;
//! it knows nothing of what is in between. A new one is a file in `face/` and a line in `faces!`.

use http::Method;
use ringback_records::callback::Request;
use ringback_records::flow::{CallbackIds, Ids};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::reply::Reply;
use ringback_records::stop::{Problem, Stop};
use ringback_records::ticket::TicketRecord;
use serde_json::Value;
use std::fmt;
use uuid::Uuid;

macro_rules! faces {
    ($($face:ident),+) => {
        $(mod $face;)+

        const FACES: &[&dyn Face] = &[$(&$face::Face),+];

        /// Their names, as flows write them.
        pub const NAMES: &[&str] = &[$(stringify!($face)),+];
    };
}

faces!(native, flowrunner, grexx, nocobase, patchworks);

/// Where a path leads in a face: the same for all ways to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What tells one trigger, or one callback of a trigger, from another.
    pub key: String,
    /// What names an environment other than `default`.
    pub prefix: Option<String>,
}

impl Address {
    fn plain(key: impl Into<String>) -> Self {
        Self { key: key.into(), prefix: None }
    }
}

/// What names a ticket in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketAddress {
    pub state: Uuid,
    /// The parameter that carries the state, when it is not in the path.
    pub parameter: Option<String>,
}

/// A URL that is to be written.
pub struct Target<'t> {
    pub workspace: &'t Name,
    pub ids: &'t Ids,
    /// For faces with callbacks.
    pub callback: Option<&'t CallbackIds>,
    pub environment: &'t Name,
    /// The prefix of an environment other than `default`.
    pub prefix: Option<&'t str>,
}

/// When the caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As soon as the start is durable.
    Async,
    /// When the flow responds or ends.
    Sync,
}

/// An outside form.
pub trait Face: Send + Sync {
    fn name(&self) -> &'static str;

    /// The path of a trigger's URL, and its query where it has one; `None` where triggers have no URLs of their own.
    fn path(&self, target: &Target<'_>) -> Option<String>;

    /// Where a path leads; `None` for a path of another form.
    fn address(&self, path: &str) -> Option<Address>;

    /// The ticket that a request names, or why it names none; `None` for a path of another form.
    fn ticket(&self, _: &Request) -> Option<Result<TicketAddress, Problem>> {
        None
    }

    /// Whether a trigger has a list of callbacks here, each with a URL and a content type of its own.
    fn has_callbacks(&self) -> bool {
        false
    }

    /// Whether its URLs have a place for the prefix of an environment.
    fn has_prefixes(&self) -> bool {
        false
    }

    /// What tells its URLs from those of other triggers, by the names that `ids` in a flow has for it.
    fn parts(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a request has what the URL of a callback in an environment carries beyond its path.
    fn admits(&self, _: &CallbackIds, _: &Name, _: &Request) -> bool {
        true
    }

    /// Parameters of the query that prove something and are no data.
    fn credentials(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether HEAD and OPTIONS are answered where a trigger does not take them, so that those who set a URL up see that it is there.
    fn answers_probes(&self) -> bool {
        false
    }

    /// What a trigger takes that does not say it.
    fn methods(&self) -> &'static [Method] {
        &[Method::GET, Method::POST]
    }

    /// When a caller is answered by a trigger that does not say it.
    fn mode(&self) -> Mode {
        Mode::Async
    }

    /// Whether a step that responds ends the flow, where the flow does not say it.
    fn responding_ends(&self) -> bool {
        false
    }

    /// Whether a caller may say which user it is, without the trigger's saying so.
    fn knows_users(&self) -> bool {
        false
    }

    /// The callback started or resumed an execution, and the flow says nothing.
    fn accepted(&self, callback: CallbackId, execution: ExecutionId) -> Reply;

    /// The callback resumed several executions, longest-waiting first.
    fn resumed_all(&self, callback: CallbackId, executions: &[ExecutionId]) -> Reply;

    /// The callback is kept for later.
    fn kept(&self, callback: CallbackId, execution: Option<ExecutionId>) -> Reply;

    /// The callback does not count.
    fn ignored(&self) -> Reply;

    /// The execution that the caller waited for has ended without an answer of its own.
    fn completed(&self, callback: CallbackId, execution: ExecutionId) -> Reply;

    /// A stage did not let the callback pass; without an id, none was looked at.
    fn stopped(&self, problem: &Problem, callback: Option<CallbackId>) -> Reply {
        problem.reply(callback)
    }
}

impl fmt::Debug for dyn Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The face of a name.
pub fn by_name(name: &str) -> Option<&'static dyn Face> {
    FACES.iter().find(|face| face.name() == name).copied()
}

/// The face that a path belongs to, whether there is something at it or not.
pub fn of_path(path: &str) -> &'static dyn Face {
    FACES.iter().find(|face| face.address(path).is_some()).copied().unwrap_or_else(native)
}

/// The face that a trigger has when it says nothing.
pub fn native() -> &'static dyn Face {
    &native::Face
}

/// The faces that a path may belong to, each with the address that it is there.
pub fn addresses(path: &str) -> impl Iterator<Item = (&'static dyn Face, Address)> {
    FACES.iter().filter_map(move |face| Some((*face, face.address(path)?)))
}

/// The ticket that a request names, with the face that it is called in; `None` for the URL of a trigger.
pub fn ticket(request: &Request) -> Option<(&'static dyn Face, Result<TicketAddress, Problem>)> {
    FACES.iter().find_map(|face| Some((*face, face.ticket(request)?)))
}

/// The path of a ticket's URL, and its query where it has one.
pub fn ticket_path(state: Uuid, parameter: Option<&str>) -> String {
    grexx::ticket_path(state, parameter)
}

/// What handlers get of a call of a ticket.
pub fn ticket_data(request: &Request, ticket: &TicketRecord) -> Value {
    Value::Object(grexx::ticket_data(request, ticket))
}

/// What every unknown address answers: the same bytes for a wrong key, a disabled flow and no such path.
pub const UNKNOWN: Problem = Problem { status: 404, code: "unknown_url", detail: "There is nothing at this address." };

/// Which executions a callback is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with this id.
    One(String),
    /// The one that has waited longest and whose condition is true.
    Any,
    /// Every one that waits.
    All,
    /// Those that wait for the key that it says.
    ByKey,
}

/// The parameters that say which execution is meant (FR-15).
pub const SELECTORS: [&str; 2] = ["execution", "executionId"];

/// Which executions a request for a later trigger is for (A-FR-2), which may say by a key.
///
/// # Errors
///
/// It does not say, or says two things (400).
pub fn selector(request: &Request, may_say_by_key: bool) -> Result<Selector, Stop> {
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
        None | Some("") if may_say_by_key => Ok(Selector::ByKey),
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
    path.strip_prefix(STATUS_PREFIX).map(without_slash)
}

/// A path with a slash at its end leads where it leads without.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

pub fn status_path(token: &str) -> String {
    format!("{STATUS_PREFIX}{token}")
}

/// What a caller of any face is told whose answer is not there yet, and where it will be.
pub fn pending(callback: CallbackId, execution: Option<ExecutionId>, status_url: &str) -> Reply {
    let mut body = serde_json::json!({ "callback": callback, "status": "running", "status_url": status_url });
    if let (Some(body), Some(execution)) = (body.as_object_mut(), execution) {
        body.insert("execution".to_owned(), execution.to_string().into());
    }
    Reply::json(202, &body).with_header("location", status_url)
}

#[cfg(test)]
mod tests {
    use super::{CallbackIds, FACES, Ids, Target, addresses};
    use ringback_records::name::Name;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    /// What a face writes into a path, it finds there; no other face takes the path for its own.
    #[test]
    fn every_path_belongs_to_one_face() {
        let key = "abc123".to_owned();
        let ids = Ids { key, flow: Uuid::from_u128(1), trigger: Uuid::from_u128(2), callbacks: BTreeMap::new() };
        let (id, signatures) = ("01k678es5y21ref5rgzszd6yvw".to_owned(), vec!["s".to_owned()]);
        let callback = CallbackIds { id, signatures, keys: BTreeMap::new(), dropped: Vec::new() };
        let workspace = &Name::default_name();
        for face in FACES {
            let (callback, environment) = (Some(&callback), workspace);
            let target = Target { workspace, ids: &ids, callback, environment, prefix: None };
            let Some(path) = face.path(&target) else { continue };
            let path = path.split('?').next().unwrap();
            let found: Vec<_> = addresses(path).collect();
            assert_eq!(found.len(), 1, "{path}: {found:?}");
            assert_eq!(found[0].0.name(), face.name());
            assert!(face.address(&format!("{path}/more/and/more")).is_none(), "{path}");
            assert!(face.address(&format!("{path}//")).is_none(), "{path}");
            assert_eq!(
                addresses(&format!("{path}/")).map(|(_, address)| address).collect::<Vec<_>>(),
                [found[0].1.clone()]
            );
        }
        for path in [
            "/cb/33931129-8459-4714-8c9b-ad9d15090289",
            "/cbq/state",
            "/",
            "/h/",
            "/h/a/b",
            "/h",
            "/h//",
            "/api/automation/flow//trigger//activate",
            "/api/webhook:trigger/",
        ] {
            assert_eq!(addresses(path).count(), 0, "{path}");
        }
    }
}
