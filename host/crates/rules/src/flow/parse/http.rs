//! Steps that send requests or wait for a time.

use super::Parser;
use crate::expression::{Cel, Template};
use crate::flow::document::{Kind, Node};
use crate::flow::{Action, BodySpec, Delay, HttpCall, OnError, Retry, parse_time};
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const HTTP_KEYS: &[&str] = &["http", "as"];
pub(super) const REQUEST_KEYS: &[&str] = &["method", "url", "headers", "json", "text", "timeout", "retry", "on_error"];
/// The members of the result of a request.
const HTTP_RESULT: &[&str] = &["status", "headers", "body", "note", "error"];
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
/// Headers that the host sets.
const HOST_HEADERS: [&str; 7] =
    ["host", "content-length", "connection", "transfer-encoding", "upgrade", "proxy-authorization", "idempotency-key"];
const ATTEMPTS_MAX: u64 = 20;

impl Parser {
    pub(super) fn http(&mut self, node: &Node) {
        let Some(members) = self.object(node, "an http step", HTTP_KEYS) else { return };
        let Some(value) = members.get("http") else { return };
        let Some(request) = self.object(value, "an http step", REQUEST_KEYS) else { return };
        self.secrets_allowed = true;
        let url = self.required(&request, "url").and_then(|node| {
            self.text(node)?;
            self.template(node)
        });
        let headers = request.get("headers").map_or_else(Vec::new, |node| self.headers(node, check_request_header));
        let body = self.body_of(&request, "a request");
        self.secrets_allowed = false;
        let has_body = matches!(body, Some(BodySpec::Json(_) | BodySpec::Text(_)));
        let method = match request.get("method") {
            Some(node) => self.choice(node, "a method", METHODS).and_then(|method| method.parse().ok()),
            None => Some(if has_body { Method::POST } else { Method::GET }),
        };
        let timeout = request.get("timeout").map_or(Some(Duration::from_secs(30)), |node| {
            self.duration(node, Duration::from_millis(100), Duration::from_mins(5))
        });
        let retry =
            request.get("retry").map_or(Some(Retry { attempts: 1, backoff: Duration::ZERO }), |node| self.retry(node));
        let on_error = match request.get("on_error") {
            Some(node) => self.choice(node, "a way to go on", &["fail", "continue"]),
            None => Some("fail"),
        };
        let result = members.get("as").and_then(|node| {
            let name = self.text(node)?.to_owned();
            self.result_name(node, &name).then_some(name)
        });
        let (Some(url), Some(body), Some(method), Some(timeout), Some(retry), Some(on_error)) =
            (url, body, method, timeout, retry, on_error)
        else {
            return;
        };
        let on_error = if on_error == "continue" { OnError::Continue } else { OnError::Fail };
        let secrets = secrets_in(&url, &headers, &body);
        self.secrets.extend(secrets.iter().cloned());
        self.result(result.as_ref(), Some(HTTP_RESULT));
        let call = Box::new(HttpCall { method, url, headers, body, timeout, retry, on_error, secrets });
        self.push(node, Action::Http { call, result });
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let members = self.object(node, "`retry`", &["attempts", "backoff"])?;
        let attempts = self.required(&members, "attempts")?;
        let attempts = match &attempts.kind {
            Kind::Scalar(Value::Number(number)) if number.as_u64().is_some_and(|n| (1..=ATTEMPTS_MAX).contains(&n)) => {
                u32::try_from(number.as_u64()?).ok()?
            }
            _ => {
                self.wrong(attempts, &format!("a whole number from 1 to {ATTEMPTS_MAX}, the first attempt included"));
                return None;
            }
        };
        let backoff = match members.get("backoff") {
            Some(node) => self.duration(node, Duration::from_millis(100), Duration::from_hours(1))?,
            None => Duration::from_secs(1),
        };
        Some(Retry { attempts, backoff })
    }

    pub(super) fn delay(&mut self, node: &Node) {
        let Some(members) = self.object(node, "a delay step", &["delay"]) else { return };
        let Some(value) = members.get("delay") else { return };
        let delay = match &value.kind {
            Kind::Object(_) => self
                .object(value, "a delay step", &["until"])
                .and_then(|members| self.required(&members, "until"))
                .and_then(|node| self.text(node).and_then(|_| self.template(node)))
                .map(Delay::Until),
            _ => self.text(value).and_then(|_| self.template(value)).map(Delay::For),
        };
        let Some(delay) = delay else { return };
        let (Delay::For(template) | Delay::Until(template)) = &delay;
        if let Some(Value::String(text)) = template.constant() {
            let wrong = match &delay {
                Delay::For(_) => ringback_records::time::parse_duration(&text).err(),
                Delay::Until(_) => parse_time(&text).err(),
            };
            if let Some(message) = wrong {
                return self.mistakes.push(value.mistake(message));
            }
        }
        self.push(node, Action::Delay(delay));
    }
}

/// Whether a flow may set a header of a request.
fn check_request_header(name: &str) -> Result<(), String> {
    if HOST_HEADERS.contains(&name) {
        return Err(format!("the header `{name}` is the server's to set"));
    }
    http::HeaderName::from_bytes(name.as_bytes()).map(drop).map_err(|_| format!("`{name}` is not the name of a header"))
}

/// The names in `secrets.NAME` of every expression.
fn secrets_in(url: &Template, headers: &[(String, Template)], body: &BodySpec) -> Vec<String> {
    let body = match body {
        BodySpec::Json(template) | BodySpec::Text(template) => Some(template),
        BodySpec::Empty => None,
    };
    let templates = [url].into_iter().chain(headers.iter().map(|(_, template)| template)).chain(body);
    let expressions = templates.flat_map(Template::expressions);
    let secrets = expressions.flat_map(Cel::references).filter(|reference| reference.name == "secrets");
    let names: BTreeSet<&String> = secrets.filter_map(|reference| reference.members.first()).collect();
    names.into_iter().cloned().collect()
}
