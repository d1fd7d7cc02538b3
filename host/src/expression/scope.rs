use crate::callback::{Callback, Input};
use crate::execution::Activation;
use crate::name::{ExecutionId, Name};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// What expressions can see. Parts are made into JSON only when an expression names them.
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
    /// By name: only those that an http step names, and only there.
    pub secrets: Option<&'a Value>,
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

impl<'a> Scope<'a> {
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
        }
    }

    /// The value of a name, `None` when there is no such name.
    pub fn get(&self, name: &str) -> Option<Cow<'a, Value>> {
        Some(match name {
            "data" => Cow::Borrowed(&*self.input.data),
            "fields" => Cow::Owned(Value::Object(Map::clone(&self.input.fields))),
            "user" => self.input.user.as_deref().map_or(Cow::Owned(Value::Null), Cow::Borrowed),
            "vars" => Cow::Borrowed(self.vars),
            "flow" => Cow::Owned(json!({ "name": self.flow })),
            "environment" => Cow::Owned(json!({ "name": self.environment })),
            "callback" => Cow::Owned(self.callback?.to_json()),
            "execution" => Cow::Owned(json!({ "id": self.execution?.id })),
            "triggers" => Cow::Owned(triggers(self.execution?.triggers)),
            "secrets" => Cow::Borrowed(self.secrets?),
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
        let names = ["data", "fields", "user", "vars", "triggers", "execution", "flow", "environment", "callback"];
        let results = self.execution.iter().flat_map(|execution| execution.results.keys().map(String::as_str));
        let members =
            names.into_iter().chain(results).filter_map(|name| Some((name.to_owned(), self.get(name)?.into_owned())));
        Value::Object(members.collect())
    }
}

fn triggers(activations: &[(String, Activation)]) -> Value {
    let members = activations.iter().map(|(name, activation)| {
        let Activation { input: Input { data, fields, user }, timed_out } = activation;
        (name.clone(), json!({ "data": **data, "fields": **fields, "user": user, "timed_out": timed_out }))
    });
    Value::Object(members.collect())
}
