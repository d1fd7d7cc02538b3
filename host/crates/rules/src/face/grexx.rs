//! Grexx's callbacks: `/cb/{state}`, or `/cbq/{parameter}?{parameter}={state}` (GX-12, GX-13), each with or without a slash at
//! the end (GX-14, GX-17). The URLs are of tickets; a trigger with this face is called by tickets alone.

use crate::ticket_response;
use super::{Address, Target, TicketAddress, UNKNOWN, without_slash};
use ringback_records::callback::{Request, append};
use crate::face::Mode;
use ringback_records::name::{CallbackId, ExecutionId};
use ringback_records::stop::Problem;
use ringback_records::reply::Reply;
use ringback_records::ticket::TicketRecord;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

pub(super) struct Face;

const IN_PATH: &str = "/cb/";
const IN_QUERY: &str = "/cbq/";

const TWICE: Problem =
    Problem { status: 400, code: "state_ambiguous", detail: "The state is given twice, with different values." };

impl super::Face for Face {
    fn name(&self) -> &'static str {
        "grexx"
    }

    fn path(&self, _: &Target<'_>) -> Option<String> {
        None
    }

    fn address(&self, _: &str) -> Option<Address> {
        None
    }

    fn ticket(&self, request: &Request) -> Option<Result<TicketAddress, Problem>> {
        let path = &request.path;
        if let Some(state) = path.strip_prefix(IN_PATH) {
            let state = state_of(without_slash(state));
            return Some(state.map(|state| TicketAddress { state, parameter: None }));
        }
        let parameter = path.strip_prefix(IN_QUERY)?;
        let parameter = without_slash(parameter).to_owned();
        let mut states = request.query_pairs().filter(|(name, _)| *name == parameter).map(|(_, value)| value);
        // A-GX-6.
        let Some(state) = states.next() else { return Some(Err(UNKNOWN)) };
        if states.any(|other| other != state) {
            return Some(Err(TWICE));
        }
        Some(state_of(&state).map(|state| TicketAddress { state, parameter: Some(parameter) }))
    }

    /// A-GX-7.
    fn methods(&self) -> &'static [Method] {
        &[Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH]
    }

    fn mode(&self) -> Mode {
        Mode::Sync
    }

    // What follows answers callbacks whose ticket is forgotten; else the ticket says what the answer is.

    fn accepted(&self, _: CallbackId, _: ExecutionId) -> Reply {
        Reply::empty(200)
    }

    fn resumed_all(&self, _: CallbackId, _: &[ExecutionId]) -> Reply {
        Reply::empty(200)
    }

    fn kept(&self, _: CallbackId, _: Option<ExecutionId>) -> Reply {
        Reply::empty(200)
    }

    fn ignored(&self) -> Reply {
        Reply::empty(204).with_header("ringback-outcome", "ignored")
    }

    fn completed(&self, _: CallbackId, _: ExecutionId) -> Reply {
        Reply::empty(200)
    }
}

/// GX-11: a state is a UUID, as it was written; other spellings of it are unknown.
fn state_of(text: &str) -> Result<Uuid, Problem> {
    let state = Uuid::try_parse(text).ok().filter(|state| state.hyphenated().to_string() == text.to_ascii_lowercase());
    state.ok_or(UNKNOWN)
}

/// The path of a ticket's URL, and its query where the state is there.
pub(super) fn ticket_path(state: Uuid, parameter: Option<&str>) -> String {
    match parameter {
        None => format!("{IN_PATH}{state}"),
        Some(parameter) => format!("{IN_QUERY}{parameter}?{parameter}={state}"),
    }
}

/// What handlers get of a call: the request, the ticket's id and the response as it is stored (GX-40 to GX-46).
pub(super) fn ticket_data(request: &Request, ticket: &TicketRecord) -> Map<String, Value> {
    let Request { method, headers, body, .. } = request;
    let mut data = Map::new();
    match std::str::from_utf8(body) {
        Ok(text) => drop(data.insert("requestBody".to_owned(), text.into())),
        // A-GX-9.
        Err(_) => {
            data.insert("requestBody".to_owned(), STANDARD.encode(body).into());
            data.insert("requestBodyEncoding".to_owned(), "base64".into());
        }
    }
    // A-GX-8.
    let headers = headers.keys().filter_map(|name| Some((name.to_string(), request.header(name.as_str())?.into()))).collect();
    data.insert("requestHeaders".to_owned(), Value::Object(headers));
    data.insert("requestMethod".to_owned(), method.as_str().to_ascii_lowercase().into());
    let mut query = Map::new();
    for (name, value) in request.query_pairs().filter(|(name, _)| Some(&**name) != ticket.state_parameter.as_deref()) {
        append(&mut query, &name, value.into_owned());
    }
    data.insert("requestQuery".to_owned(), Value::Object(query));
    data.insert("callbackSystemCase".to_owned(), ticket.id.to_string().into());
    data.extend(ticket_response::to_fields(&ticket.response));
    data
}
