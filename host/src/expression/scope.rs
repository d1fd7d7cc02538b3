use crate::callback::Callback;
use crate::name::{ExecutionId, Name};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// What expressions can see. Parts are made into JSON only when an expression names them.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub flow: &'a Name,
    pub environment: &'a Name,
    pub callback: Option<&'a Callback>,
    /// The data of the trigger that was activated last.
    pub data: &'a Value,
    /// Its picks, by alias.
    pub fields: &'a Map<String, Value>,
    pub execution: Option<ScopeOfExecution<'a>>,
}

/// The part of the scope that exists once there is an execution.
#[derive(Clone, Copy)]
pub struct ScopeOfExecution<'a> {
    pub id: ExecutionId,
    /// By trigger name: `data` and `fields`.
    pub triggers: &'a Map<String, Value>,
    /// The results of finished steps by their `as` name.
    pub results: &'a Map<String, Value>,
}

impl<'a> Scope<'a> {
    /// The value of a name, `None` when there is no such name.
    pub fn get(&self, name: &str) -> Option<Cow<'a, Value>> {
        Some(match name {
            "data" => Cow::Borrowed(self.data),
            "fields" => Cow::Owned(Value::Object(self.fields.clone())),
            "flow" => Cow::Owned(json!({ "name": self.flow })),
            "environment" => Cow::Owned(json!({ "name": self.environment })),
            "callback" => Cow::Owned(self.callback?.to_json()),
            "execution" => Cow::Owned(json!({ "id": self.execution?.id })),
            "triggers" => Cow::Owned(Value::Object(self.execution?.triggers.clone())),
            result => Cow::Borrowed(self.execution?.results.get(result)?),
        })
    }

    /// Whether steps may use this name for their result.
    pub fn is_reserved(name: &str) -> bool {
        matches!(
            name,
            "data"
                | "fields"
                | "flow"
                | "environment"
                | "callback"
                | "execution"
                | "triggers"
                | "vars"
                | "user"
                | "secrets"
        )
    }

    /// Everything as one object, as plugins see it.
    pub fn to_json(self) -> Value {
        let names = ["data", "fields", "triggers", "execution", "flow", "environment", "callback"];
        let results = self.execution.iter().flat_map(|execution| execution.results.keys().map(String::as_str));
        let members =
            names.into_iter().chain(results).filter_map(|name| Some((name.to_owned(), self.get(name)?.into_owned())));
        Value::Object(members.collect())
    }
}
