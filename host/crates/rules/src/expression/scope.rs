use super::cel::Val;
use super::{Budget, ScopeOfSecrets};
use crate::cloud_event;
use ringback_records::callback::{Callback, Input};
use ringback_records::name::{ExecutionId, Name};
use serde_json::{Map, Value, json};

/// What expressions can see. Parts are made only when an expression names them.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub flow: &'a Name,
    pub environment: &'a Name,
    pub callback: Option<&'a Callback>,
    /// What the trigger that was activated last brought.
    pub input: &'a Input,
    /// The variables of the environment.
    pub vars: &'a Value,
    pub execution: Option<ScopeOfExecution<'a>>,
    /// Only those that an http step names, and only there.
    pub secrets: Option<&'a ScopeOfSecrets>,
    /// What several expressions may use together; without one, each may use its own.
    pub budget: Option<&'a Budget>,
}

/// What a trigger brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    pub input: Input,
    pub timed_out: bool,
}

/// The part of the scope that exists once there is an execution.
#[derive(Clone, Copy)]
pub struct ScopeOfExecution<'a> {
    pub id: ExecutionId,
    /// By trigger name, in the order of their activation.
    pub triggers: &'a [(String, Activation)],
    /// The results of finished steps by their `as` name.
    pub results: &'a Map<String, Value>,
}

/// The members of `callback`.
pub const CALLBACK: &[&str] =
    &["id", "method", "path", "query", "headers", "body", "claims", "remote_address", "event"];
/// The members of `triggers["…"]`.
pub const TRIGGER: &[&str] = &["data", "fields", "user", "timed_out"];

impl<'a> Scope<'a> {
    /// Names that are always there, once there is an execution.
    pub const NAMES: &'static [&'static str] =
        &["data", "fields", "user", "vars", "callback", "execution", "flow", "environment", "triggers"];

    /// With data alone.
    #[cfg(any(test, fuzzing))]
    pub fn of_input(name: &'a Name, input: &'a Input) -> Self {
        Self {
            flow: name,
            environment: name,
            callback: None,
            input,
            vars: &Value::Null,
            execution: None,
            secrets: None,
            budget: None,
        }
    }

    /// The value of a name, `None` when there is no such name.
    pub(super) fn value(&self, name: &str) -> Option<Val<'a>> {
        Some(match name {
            "data" => Val::json(&self.input.data),
            "fields" => Val::Picks(&self.input.fields),
            "user" => self.input.user.as_deref().map_or(Val::Null, Val::json),
            "vars" => Val::json(self.vars),
            "flow" => Val::object([("name", Val::borrowed(self.flow.as_str()))]),
            "environment" => Val::object([("name", Val::borrowed(self.environment.as_str()))]),
            "callback" => callback(self.callback?, &self.input.data),
            "execution" => Val::object([("id", Val::text(self.execution?.id.to_string()))]),
            "triggers" => {
                let triggers = self.execution?.triggers.iter();
                Val::object(triggers.map(|(name, activation)| (name.clone(), trigger(activation))))
            }
            "secrets" => Val::json(self.secrets?.values()),
            result => Val::json(self.execution?.results.get(result)?),
        })
    }

    /// Whether steps may use this name for their result.
    pub fn is_reserved(name: &str) -> bool {
        Self::NAMES.contains(&name) || name == "secrets"
    }

    /// Everything as one object, as plugins see it.
    pub fn to_json(self) -> Value {
        let mut members = Map::new();
        members.insert("data".to_owned(), Value::clone(&self.input.data));
        members.insert("fields".to_owned(), Value::Object(Map::clone(&self.input.fields)));
        members.insert("user".to_owned(), self.input.user.as_deref().cloned().unwrap_or_default());
        members.insert("vars".to_owned(), self.vars.clone());
        if let Some(execution) = self.execution {
            let triggers = execution.triggers.iter().map(|(name, activation)| {
                let Activation { input: Input { data, fields, user }, timed_out } = activation;
                (name.clone(), json!({ "data": **data, "fields": **fields, "user": user, "timed_out": timed_out }))
            });
            members.insert("triggers".to_owned(), Value::Object(triggers.collect()));
            members.insert("execution".to_owned(), json!({ "id": execution.id }));
        }
        members.insert("flow".to_owned(), json!({ "name": self.flow }));
        members.insert("environment".to_owned(), json!({ "name": self.environment }));
        members.extend(self.callback.map(|callback| {
            let mut seen = callback.to_json();
            seen["event"] = cloud_event::attributes(&callback.request, &self.input.data);
            ("callback".to_owned(), seen)
        }));
        members.extend(self.execution.into_iter().flat_map(|execution| execution.results.clone()));
        Value::Object(members)
    }
}

fn callback<'a>(callback: &'a Callback, data: &Value) -> Val<'a> {
    let request = &callback.request;
    let headers = callback.headers().map(|(name, value)| (name, Val::text(value)));
    Val::object([
        ("id", Val::text(callback.id.to_string())),
        ("method", Val::borrowed(request.method.as_str())),
        ("path", Val::borrowed(&request.path)),
        ("query", Val::of_json(Value::Object(callback.query()))),
        ("headers", Val::object(headers)),
        ("body", std::str::from_utf8(request.content()).map_or(Val::Null, Val::borrowed)),
        ("remote_address", request.address().map_or(Val::Null, Val::text)),
        ("event", Val::of_json(cloud_event::attributes(request, data))),
        ("claims", callback.claims.as_deref().map_or(Val::Null, Val::json)),
    ])
}

fn trigger(activation: &Activation) -> Val<'_> {
    let Activation { input: Input { data, fields, user }, timed_out } = activation;
    Val::object([
        ("data", Val::json(data)),
        ("fields", Val::Picks(fields)),
        ("user", user.as_deref().map_or(Val::Null, Val::json)),
        ("timed_out", Val::Bool(*timed_out)),
    ])
}
