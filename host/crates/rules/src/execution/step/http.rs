//! `http`: sends a request, several times if need be.

mod retry;

pub use retry::Retry;

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::{Effect, Event, Execution, is_same, prepare};
use crate::expression::{Cel, Template};
use crate::flow::document::Node;
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use crate::flow::{BodySpec, Step};
use http::Method;
use ringback_records::journal::{EntryKind, PreparedRequest};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The members of the result of a request.
const RESULT: &[&str] = &["status", "headers", "body", "note", "error"];
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
/// Headers that the host sets.
const HOST_HEADERS: [&str; 7] =
    ["host", "content-length", "connection", "transfer-encoding", "upgrade", "proxy-authorization", "idempotency-key"];

/// The code of an `http` step whose request failed.
pub const HTTP_FAILED: &str = "http_failed";

#[derive(Debug)]
struct Http {
    call: HttpCall,
    result: Option<String>,
}

/// A request that a flow sends.
#[derive(Debug)]
pub struct HttpCall {
    pub method: Method,
    pub url: Template,
    pub headers: Vec<(String, Template)>,
    pub body: BodySpec,
    pub timeout: Duration,
    pub retry: Retry,
    pub on_error: OnError,
    /// The secrets that it names.
    pub secrets: Vec<String>,
}

/// What a status of 400 or more, or no answer at all, means for the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Fail,
    Continue,
}

/// The request of the step under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::execution) struct Attempts {
    /// How many failed.
    failed: u32,
    /// What is sent, once it is known.
    request: Option<Arc<PreparedRequest>>,
    /// Its `Idempotency-Key`; known as well when a request that was not answered is about to be made again.
    key: Option<String>,
    /// The request that was not answered when someone lets the step try again, where it is known.
    unanswered: Option<Arc<PreparedRequest>>,
}

impl Attempts {
    /// What is left when someone lets the step try again: what was not answered may have been done.
    pub(in crate::execution) fn again(self, unanswered: bool) -> Self {
        match unanswered {
            true => Self { key: self.key, unanswered: self.request, ..Self::default() },
            false => Self::default(),
        }
    }

    /// Whether a request is another one than that which was not answered: what it is made of has changed.
    fn is_another(&self, request: &PreparedRequest) -> bool {
        self.unanswered.as_ref().is_some_and(|unanswered| !is_same(unanswered, request))
    }
}

/// What tells a receiver that it has had a request before: the step's place in the flow file, as `steps.2.then.0`, the rounds of
/// the loops around it, and how often someone tried a step again that was answered, since that asks for another answer.
fn key(execution: &Execution, step: &Step, retries: u32) -> String {
    let mut place = step.path.replace('[', ".").replace(']', "");
    for (index, round) in execution.position.rounds().iter().enumerate() {
        place += &format!("{}{round}", if index == 0 { "-r" } else { "." });
    }
    key_at(execution, &place, retries)
}

/// The key of a request that was begun by a version that did not write it down: the number of the step, as if all stood in
/// one line. No new key is like that, so that no two steps share one.
fn key_of_earlier_versions(execution: &Execution, step: &Step) -> String {
    key_at(execution, &step.number.to_string(), execution.retries)
}

fn key_at(execution: &Execution, place: &str, retries: u32) -> String {
    match retries {
        0 => format!("{}-{place}", execution.summary.id),
        retries => format!("{}-{place}-{retries}", execution.summary.id),
    }
}

impl Kind for Http {
    /// The request is made once, and written down before it is sent.
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        let attempts = &at.execution.attempts;
        let Attempts { request, key: known, .. } = attempts;
        if let (Some(request), Some(key)) = (request, known) {
            let (request, idempotency_key) = (Arc::clone(request), key.clone());
            return Ok(Begin::Ask(Effect::SendHttp { call: &self.call, request, idempotency_key }));
        }
        let request = prepare(&self.call, &at.execution.scope())?;
        let key = match known {
            // A receiver takes a key for one request.
            Some(_) if attempts.is_another(&request) => key(at.execution, at.step, at.execution.retries + 1),
            Some(key) => key.clone(),
            // Who began it wrote nothing down.
            None if at.begun => key_of_earlier_versions(at.execution, at.step),
            None => key(at.execution, at.step, at.execution.retries),
        };
        Ok(Begin::Write(EntryKind::HttpRequest { request, key: Some(key) }))
    }

    /// An answer ends the step, unless it says that the request should come again and there are attempts left.
    fn after(&self, event: Event, at: &At<'_, '_>) -> Result<EntryKind, Failure> {
        let attempt = at.execution.attempts.failed + 1;
        let (code, result, problem, may_help, retry_after, duration_us) = match event {
            Event::Woken => return Ok(EntryKind::Woken),
            Event::HttpAnswered { status, result, retry_after, duration_us } => {
                let problem = (status >= 400).then(|| format!("the answer was {status}"));
                let may_help = Retry::may_help(status);
                (HTTP_FAILED, Value::Object(result), problem, may_help, retry_after, duration_us)
            }
            Event::HttpUnanswered { code, problem, retryable } => {
                (code, json!({ "error": problem }), Some(problem), retryable, None, 0)
            }
            _ => return Err(Failure::unexpected()),
        };
        let seed = at.execution.attempts.key.as_deref().unwrap_or_default();
        let again = if may_help { self.call.retry.after(attempt, retry_after, seed) } else { None };
        match (problem, again) {
            (Some(problem), Some(pause)) => {
                Ok(EntryKind::HttpRetry { attempt, problem, until: at.now.saturating_add(pause) })
            }
            (Some(problem), None) if self.call.on_error == OnError::Fail => {
                let message = match attempt {
                    1 => problem,
                    attempts => format!("{problem}, after {attempts} attempts"),
                };
                Err(Failure { unanswered: result.get("error").is_some(), ..Failure::new(code, message) })
            }
            _ => Ok(EntryKind::Http { name: self.result.clone(), result, attempt, duration_us }),
        }
    }

    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next {
        let earlier = |execution: &Execution| {
            execution.position.step(line.flow).map(|step| key_of_earlier_versions(execution, step))
        };
        match line.kind {
            EntryKind::HttpRequest { request, key } => {
                execution.retries += u32::from(execution.attempts.is_another(request));
                execution.attempts.request = Some(Arc::new(request.clone()));
                execution.attempts.key = key.clone().or_else(|| earlier(execution));
                Next::Stay
            }
            EntryKind::HttpRetry { attempt, until, .. } => {
                execution.attempts.failed = *attempt;
                if execution.attempts.key.is_none() {
                    execution.attempts.key = earlier(execution);
                }
                execution.wait(line, None, None, Some(*until));
                Next::Stay
            }
            EntryKind::Woken => {
                execution.wake(line.flow);
                Next::Stay
            }
            EntryKind::Http { name, result, .. } => {
                execution.keep(name.as_ref(), result);
                Next::GoOn
            }
            _ => Next::Stay,
        }
    }
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "an http step", &keys("httpStep"))?;
    let value = members.get("http")?;
    let request = parser.object(value, "an http step", &keys("request"))?;
    parser.secrets_allowed = true;
    let url = parser.required(&request, "url").and_then(|node| {
        let text = parser.text(node)?;
        parser.refused.extend(wrong_url(text).map(|detail| node.mistake(detail)));
        parser.template(node)
    });
    let headers = request.get("headers").map_or_else(Vec::new, |node| parser.headers(node, check_header));
    let body = parser.body_of(&request, "a request");
    parser.secrets_allowed = false;
    let has_body = matches!(body, Some(BodySpec::Json(_) | BodySpec::Text(_)));
    let method = match request.get("method") {
        Some(node) => parser.choice(node, "a method", METHODS).and_then(|method| method.parse().ok()),
        None => Some(if has_body { Method::POST } else { Method::GET }),
    };
    let timeout = request.get("timeout").map_or(Some(Duration::from_secs(30)), |node| {
        parser.duration(node, Duration::from_millis(100), Duration::from_mins(5))
    });
    let retry = request.get("retry").map_or(Some(Retry::NONE), |node| Retry::read(parser, node));
    let on_error = match request.get("on_error") {
        Some(node) => parser.choice(node, "a way to go on", &["fail", "continue"]),
        None => Some("fail"),
    };
    let result = parser.name_of_result(&members);
    let (url, body, method, timeout, retry, on_error) = (url?, body?, method?, timeout?, retry?, on_error?);
    let on_error = if on_error == "continue" { OnError::Continue } else { OnError::Fail };
    let secrets = secrets_in(&url, &headers, &body);
    let is_new = |name: &&String| !parser.secrets_sent.contains(name);
    let new: Vec<String> = secrets.iter().filter(is_new).cloned().collect();
    parser.secrets_sent.extend(new);
    parser.result(result.as_ref(), Some(RESULT));
    let call = HttpCall { method, url, headers, body, timeout, retry, on_error, secrets };
    Some(Box::new(Http { call, result }))
}

/// What is wrong with a URL, as far as it is the same for every execution.
fn wrong_url(text: &str) -> Option<String> {
    match text.split_once("${{") {
        None => text
            .parse()
            .map_or_else(|error| Some(format!("`{text}` is not a URL: {error}")), |url| check_url(&url).err()),
        // The rest is there for the form alone.
        Some((before, _)) => {
            let (scheme, _) = before.split_once("://")?;
            let url = format!("{scheme}://host.example/").parse().ok();
            url.map_or_else(|| Some(format!("`{scheme}` is not the scheme of a URL")), |url| check_url(&url).err())
        }
    }
}

/// Whether a URL can be asked at all.
///
/// # Errors
///
/// Why not, in words.
pub fn check_url(url: &Url) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme is neither http nor https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not carry a user name".to_owned());
    }
    Ok(())
}

/// Whether a flow may set a header of a request.
fn check_header(name: &str) -> Result<(), String> {
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
