//! A case as it is written, and what it gives to the call.

use super::expect::{Expect, Expectation};
use crate::bindings::imports::http::Response;
use crate::call::Question;
use crate::host::{Answers, Services};
use crate::subject::{ExecutionView, Subject};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ringback_records::callback::{Callback, Request, Site};
use ringback_records::json;
use ringback_records::name::{CallbackId, Name};
use ringback_records::plugin::Role;
use ringback_records::time::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    #[serde(rename = "name")]
    _name: String,
    pub(super) role: Role,
    #[serde(default)]
    pub(super) config: Value,
    #[serde(default)]
    callback: CallbackOf,
    #[serde(default, deserialize_with = "present")]
    data: Option<Value>,
    execution: Option<ExecutionOf>,
    now: Option<u64>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default)]
    state: BTreeMap<String, String>,
    #[serde(default)]
    http: Vec<AnswerOf>,
    /// What a vector has, and what is only tried need not have.
    pub(super) expect: Option<Expect>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallbackOf {
    method: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(flatten)]
    body: BodyOf,
    flow: Option<Name>,
    trigger: Option<Name>,
    environment: Option<Name>,
    remote_address: Option<IpAddr>,
    claims: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecutionOf {
    id: Option<String>,
    flow: Option<String>,
    environment: Option<String>,
    #[serde(default)]
    scope: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerOf {
    url: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(flatten)]
    body: BodyOf,
}

/// A body, written as a text, as JSON that is sent as such, or in base64.
#[derive(Default, Deserialize)]
pub(super) struct BodyOf {
    #[serde(default, deserialize_with = "present")]
    body: Option<Value>,
    body_base64: Option<String>,
}

/// What is there, `null` among it.
pub(super) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

pub(super) fn question(role: Role) -> Question {
    match role {
        Role::Verifier => Question::Verify,
        Role::Parser => Question::Parse,
        Role::Condition => Question::Evaluate,
        Role::Step => Question::Run,
        Role::Responder => Question::Respond,
    }
}

impl BodyOf {
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(match (&self.body, &self.body_base64) {
            (Some(_), Some(_)) => return Err("it has both `body` and `body_base64`".to_owned()),
            (Some(Value::String(text)), None) => Some(text.clone().into_bytes()),
            (Some(value), None) => Some(value.to_string().into_bytes()),
            (None, Some(text)) => {
                Some(STANDARD.decode(text).map_err(|error| format!("`body_base64` is no base64: {error}"))?)
            }
            (None, None) => None,
        })
    }

    /// The same as what is expected of a body.
    pub(super) fn expected(&self) -> Result<Expectation<'_>, String> {
        Ok(match &self.body {
            Some(value) if !value.is_string() && self.body_base64.is_none() => Expectation::Json(value),
            _ => self.bytes()?.map_or(Expectation::Nothing, Expectation::Bytes),
        })
    }
}

impl Case {
    /// What the call is about, and what it finds on the host's side.
    pub(super) fn surroundings(&self, workspace: &Name) -> Result<(Subject, Services), String> {
        let Self { role, callback, data, execution, now, secrets, state, http, .. } = self;
        let environment = callback.environment.clone().unwrap_or_else(Name::default_name);
        let now = now.map(Timestamp::from_millis);
        let callback = Arc::new(callback.build(workspace, &environment, now)?);
        let parsed = || json::from_slice(callback.request.content()).ok();
        let data = match role {
            Role::Verifier | Role::Parser => None,
            Role::Condition | Role::Step | Role::Responder => data.clone().or_else(parsed).map(Arc::new),
        };
        let execution = match (role, execution) {
            (Role::Verifier | Role::Parser, Some(_)) => return Err(format!("a {role} sees no execution")),
            (Role::Step, None) => {
                Some(ExecutionOf { id: None, flow: None, environment: None, scope: Map::new() }.view())
            }
            (_, execution) => execution.as_ref().map(ExecutionOf::view),
        };
        let seen = (*role != Role::Step).then_some(callback);
        let subject = Subject {
            callback: seen,
            data,
            execution: execution.map(Arc::new),
            ..Subject::unseen(workspace, &environment)
        };
        let answers = http.iter().map(AnswerOf::build).collect::<Result<Answers, String>>()?;
        let state = state.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect();
        Ok((subject, Services::given(state, secrets.clone(), answers, now)))
    }
}

impl CallbackOf {
    fn build(&self, workspace: &Name, environment: &Name, now: Option<Timestamp>) -> Result<Callback, String> {
        let method = self.method.as_deref().unwrap_or("POST");
        let url = self.url.as_deref().unwrap_or("https://example.test/h/key");
        let authority = url.find("://").map(|at| at + 3).ok_or("`url` is not absolute")?;
        let path_at = url.get(authority..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| authority + at);
        let (base_url, rest) = url.split_at(path_at);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Err(format!("no header can have the name `{name}`, or this value"));
            };
            headers.append(name, value);
        }
        let body = self.body.bytes()?.unwrap_or_default();
        if !headers.contains_key(http::header::CONTENT_TYPE)
            && matches!(&self.body.body, Some(body) if !body.is_string())
        {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let named = |name: &Option<Name>| name.clone().unwrap_or_else(Name::default_name);
        Ok(Callback {
            id: CallbackId::new(),
            workspace: workspace.clone(),
            environment: environment.clone(),
            request: Request {
                method: method.parse().map_err(|_| format!("`{method}` is no method"))?,
                path: if path.is_empty() { "/" } else { path }.to_owned(),
                query: query.to_owned(),
                headers,
                body: Bytes::from(body),
                expanded: None,
                unread: None,
                received_at: now.unwrap_or_else(Timestamp::now),
                remote_address: self.remote_address,
                address_doubt: None,
            },
            base_url: base_url.to_owned(),
            site: Some(Arc::new(Site { flow: named(&self.flow), trigger: named(&self.trigger) })),
            claims: self.claims.clone().map(Arc::new),
        })
    }
}

impl ExecutionOf {
    fn view(&self) -> ExecutionView {
        let or = |given: &Option<String>, otherwise: &str| given.clone().unwrap_or_else(|| otherwise.to_owned());
        ExecutionView {
            id: or(&self.id, "0190d6f0-0000-7000-8000-000000000002"),
            flow: or(&self.flow, "default"),
            environment: or(&self.environment, "default"),
            scope: json!(self.scope),
        }
    }
}

impl AnswerOf {
    fn build(&self) -> Result<(Option<String>, Response), String> {
        let Self { url, status, headers, body } = self;
        let headers = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        let response = Response { status: status.unwrap_or(200), headers, body: body.bytes()?.unwrap_or_default() };
        Ok((url.clone(), response))
    }
}
