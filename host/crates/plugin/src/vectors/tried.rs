//! A case that somebody tries out: what came of it, as a vector would expect it.

use super::case::{self, Case};
use crate::bindings::exports::responder::Reply;
use crate::call::Answer;
use crate::error::CallError;
use crate::version::{Decided, Ready, VerifierVerdict, Version, read_decision, read_verdict};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::json;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::trace::PluginUse;
use serde_json::{Map, Value, json as to_json};
use std::sync::Arc;

/// What came of a case.
#[derive(Debug)]
pub struct Tried {
    /// What the plugin answered, in the form in which a vector expects it.
    pub answer: Result<Value, CallError>,
    /// The size of a result or of a body, which has a limit.
    pub result_bytes: Option<usize>,
    pub usage: PluginUse,
    /// Whether it is what the case expects; `None` where it expects nothing.
    pub expected: Option<Result<(), String>>,
}

impl Version {
    /// Tries a case, written as a vector is, but that it need not expect anything. Nothing is left of it.
    ///
    /// # Errors
    ///
    /// It cannot be read, in words that go on after a colon.
    pub async fn try_case(&self, workspace: &Name, mut case: Map<String, Value>) -> Result<Tried, String> {
        let Ready { sandbox, plugin, linked, .. } = &*self.ready;
        let place = sandbox.inner.places.take(workspace).await;
        let _place = place.map_err(|_| "too many plugin calls are waiting".to_owned())?;
        case.entry("name").or_insert_with(|| "tried".into());
        let case: Case = serde_json::from_value(Value::Object(case)).map_err(|error| error.to_string())?;
        let expected = case.expect.as_ref().map(|expect| expect.read(case.role)).transpose()?;
        let (subject, services) = case.surroundings(workspace)?;
        let (question, config) = (case::question(case.role), case.config.to_string());
        let (asked, usage) =
            sandbox.inner.caller.ask_with(Arc::new(services), plugin, linked, question, &subject, &config).await;
        let result_bytes = match &asked {
            Ok(Answer::Json(text)) => Some(text.len()),
            Ok(Answer::Reply(reply)) => Some(reply.body.len()),
            _ => None,
        };
        let answer = match &asked {
            Ok(answer) => {
                described(case.role, answer).map_err(|reason| CallError::BadOutput { plugin: plugin.clone(), reason })
            }
            Err(error) => Err(error.clone()),
        };
        let expected = expected.map(|expected| expected.hold_against(asked, plugin));
        Ok(Tried { answer, result_bytes, usage, expected })
    }
}

/// An answer as a vector expects it.
fn described(role: Role, answer: &Answer) -> Result<Value, String> {
    Ok(match answer {
        Answer::Verdict(verdict) => match read_verdict(verdict.clone())? {
            VerifierVerdict::Accepted { delivery_id, subject, claims } => {
                let members = [
                    ("delivery_id", delivery_id.map(Value::from)),
                    ("subject", subject.map(Value::from)),
                    ("claims", claims),
                ];
                let known = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
                to_json!({ "accepted": known.collect::<Map<String, Value>>() })
            }
            VerifierVerdict::Rejected(reason) => to_json!({ "rejected": reason }),
        },
        Answer::Decision(decision) => match read_decision(decision.clone()) {
            Decided { holds, reason: Some(reason) } => to_json!({ "holds": holds, "reason": reason }),
            Decided { holds, reason: None } => to_json!({ "holds": holds }),
        },
        Answer::Json(text) => {
            let value: Value =
                json::from_slice(text.as_bytes()).map_err(|error| format!("the result is not JSON: {error}"))?;
            let name = if role == Role::Parser { "data" } else { "result" };
            to_json!({ name: value })
        }
        Answer::Reply(reply) => to_json!({ "reply": described_reply(reply) }),
        Answer::Checked | Answer::Schema(_) | Answer::Read(_) => return Err("it answers as another role".to_owned()),
    })
}

fn described_reply(Reply { status, headers, body }: &Reply) -> Value {
    let headers: Map<String, Value> =
        headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let (name, body) = match std::str::from_utf8(body) {
        Ok(text) => ("body", json::from_slice(body).ok().filter(Value::is_object).unwrap_or_else(|| text.into())),
        Err(_) => ("body_base64", STANDARD.encode(body).into()),
    };
    to_json!({ "status": status, "headers": headers, name: body })
}
