//! What a case expects, held against what came of its call.

use super::case::{BodyOf, present};
use crate::bindings::exports::responder::Reply;
use crate::call::Answer;
use crate::error::CallError;
use crate::version::{Decided, VerifierVerdict, read_decision, read_verdict};
use ringback_records::json;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What is expected, as it is written: one of its members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    accepted: Option<ProofOf>,
    rejected: Option<RejectedOf>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Value>,
    holds: Option<bool>,
    /// Of a decision.
    reason: Option<String>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    reply: Option<ReplyOf>,
    failure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofOf {
    delivery_id: Option<String>,
    subject: Option<String>,
    claims: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RejectedOf {
    Somehow(bool),
    For(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplyOf {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(flatten)]
    body: BodyOf,
}

/// What is expected of a role.
pub(super) enum Expected<'e> {
    Accepted(&'e ProofOf),
    Rejected(Option<&'e str>),
    Json(&'e Value),
    Holds(bool, Option<&'e str>),
    Reply(&'e ReplyOf),
    Failure(&'e str),
}

impl Expect {
    pub(super) fn read(&self, role: Role) -> Result<Expected<'_>, String> {
        let Self { accepted, rejected, data, holds, reason, result, reply, failure } = self;
        let all = [
            (Some(Role::Verifier), "accepted", accepted.as_ref().map(Expected::Accepted)),
            (Some(Role::Verifier), "rejected", rejected.as_ref().map(RejectedOf::read).transpose()?),
            (Some(Role::Parser), "data", data.as_ref().map(Expected::Json)),
            (Some(Role::Condition), "holds", holds.map(|holds| Expected::Holds(holds, reason.as_deref()))),
            (Some(Role::Step), "result", result.as_ref().map(Expected::Json)),
            (Some(Role::Responder), "reply", reply.as_ref().map(Expected::Reply)),
            (None, "failure", failure.as_deref().map(Expected::Failure)),
        ];
        let mut found: Vec<_> =
            all.into_iter().filter_map(|(of, name, expected)| Some((of, name, expected?))).collect();
        if reason.is_some() && holds.is_none() {
            return Err("it expects a `reason` without `holds`".to_owned());
        }
        match (found.pop(), found.len()) {
            (Some((of, name, expected)), 0) => match of {
                Some(of) if of != role => Err(format!("it expects `{name}` of a {role}")),
                _ => Ok(expected),
            },
            (None, _) => Err("it expects nothing".to_owned()),
            _ => Err("it expects several things at once".to_owned()),
        }
    }
}

impl RejectedOf {
    fn read(&self) -> Result<Expected<'_>, String> {
        match self {
            Self::Somehow(true) => Ok(Expected::Rejected(None)),
            Self::Somehow(false) => Err("`rejected` is true, or a part of the reason".to_owned()),
            Self::For(reason) => Ok(Expected::Rejected(Some(reason))),
        }
    }
}

impl Expected<'_> {
    /// Whether this is what came.
    pub(super) fn hold_against(&self, asked: Result<Answer, CallError>, plugin: &Name) -> Result<(), String> {
        let answer = match (asked, self) {
            (Ok(answer), _) => answer,
            (Err(CallError::Guest { code, .. }), Self::Failure(expected)) if code == *expected => return Ok(()),
            (Err(error), _) => return Err(error.without_name(plugin)),
        };
        match (self, answer) {
            (Self::Failure(code), _) => Err(format!("it answers, and should fail with the code `{code}`")),
            (Self::Accepted(_) | Self::Rejected(_), Answer::Verdict(verdict)) => self.verdict(read_verdict(verdict)?),
            (Self::Holds(holds, reason), Answer::Decision(decision)) => {
                let Decided { holds: found, reason: said } = read_decision(decision);
                if *holds != found {
                    let why = said.map(|said| format!(" ({said})")).unwrap_or_default();
                    return Err(format!("it says {found}{why}, not {holds}"));
                }
                contains("its reason", *reason, said.as_deref())
            }
            (Self::Json(expected), Answer::Json(text)) => {
                let found = json::from_slice(text.as_bytes())
                    .map_err(|error| format!("what it answers is not JSON: {error}"))?;
                equals("what it answers", expected, &found)
            }
            (Self::Reply(expected), Answer::Reply(reply)) => expected.hold_against(&reply),
            _ => Err("it answers as another role".to_owned()),
        }
    }

    fn verdict(&self, verdict: VerifierVerdict) -> Result<(), String> {
        match (self, verdict) {
            (Self::Accepted(expected), VerifierVerdict::Accepted { delivery_id, subject, claims }) => {
                let same_text = |what: &str, expected: &Option<String>, found: Option<String>| match expected {
                    Some(_) if *expected != found => {
                        let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("`{found}`"));
                        Err(format!("its {what} is {found}, not `{}`", expected.as_deref().unwrap_or_default()))
                    }
                    _ => Ok(()),
                };
                same_text("`delivery_id`", &expected.delivery_id, delivery_id)?;
                same_text("`subject`", &expected.subject, subject)?;
                let claims = claims.unwrap_or_default();
                expected.claims.as_ref().map_or(Ok(()), |expected| equals("what it claims", expected, &claims))
            }
            (Self::Accepted(_), VerifierVerdict::Rejected(reason)) => Err(format!("it rejects: {reason}")),
            (Self::Rejected(expected), VerifierVerdict::Rejected(reason)) => {
                contains("its reason", *expected, Some(&reason))
            }
            _ => Err("it accepts, and should reject".to_owned()),
        }
    }
}

impl ReplyOf {
    fn hold_against(&self, reply: &Reply) -> Result<(), String> {
        if let Some(status) = self.status
            && status != reply.status
        {
            return Err(format!("its status is {}, not {status}", reply.status));
        }
        for (name, expected) in &self.headers {
            let mut found = reply.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            if !found.any(|(_, value)| value == expected) {
                return Err(format!("it has no header `{name}: {expected}`"));
            }
        }
        match self.body.expected()? {
            Expectation::Nothing => Ok(()),
            Expectation::Bytes(expected) if expected == reply.body => Ok(()),
            Expectation::Bytes(_) => Err(format!("its body is {:?}", String::from_utf8_lossy(&reply.body))),
            Expectation::Json(expected) => {
                let found = json::from_slice(&reply.body).map_err(|error| format!("its body is not JSON: {error}"))?;
                equals("its body", expected, &found)
            }
        }
    }
}

/// What is expected of a body.
pub(super) enum Expectation<'e> {
    Nothing,
    Bytes(Vec<u8>),
    Json(&'e Value),
}

fn contains(what: &str, part: Option<&str>, found: Option<&str>) -> Result<(), String> {
    match part {
        Some(part) if !found.unwrap_or_default().contains(part) => {
            Err(format!("{what} is {:?}, without {part:?}", found.unwrap_or_default()))
        }
        _ => Ok(()),
    }
}

/// Whether two values are the same; if not, where they differ first.
fn equals(what: &str, expected: &Value, found: &Value) -> Result<(), String> {
    difference(expected, found, String::new()).map_or(Ok(()), |(pointer, expected, found)| {
        let place = if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") };
        Err(format!("{what} has {found}{place}, not {expected}"))
    })
}

fn difference(expected: &Value, found: &Value, pointer: String) -> Option<(String, String, String)> {
    let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            names.into_iter().find_map(|name| match (one.get(name), other.get(name)) {
                (Some(one), Some(other)) => difference(one, other, format!("{pointer}/{name}")),
                (one, other) => Some((format!("{pointer}/{name}"), text(one), text(other))),
            })
        }
        (Value::Array(one), Value::Array(other)) => {
            (0..one.len().max(other.len())).find_map(|index| match (one.get(index), other.get(index)) {
                (Some(one), Some(other)) => difference(one, other, format!("{pointer}/{index}")),
                (one, other) => Some((format!("{pointer}/{index}"), text(one), text(other))),
            })
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        _ if expected == found => None,
        _ => Some((pointer, text(Some(expected)), text(Some(found)))),
    }
}
