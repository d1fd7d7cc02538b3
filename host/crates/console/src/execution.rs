//! One execution: where it stands, what happened in order, and what can be done.

use crate::callback::Body;
use crate::executions::said;
use crate::frame::Frame;
use crate::{json, words};
use askama::Template;
use ringback_records::callback::Input;
use ringback_records::journal::{Entry, EntryKind, Status, Summary};
use ringback_records::time::Timestamp;
use serde_json::{Map, Value};

/// Most lines of a journal that are shown at once: the last.
const ENTRIES_MAX: usize = 100;

/// What the page is made of.
pub struct ExecutionShown<'r> {
    pub frame: Frame,
    pub summary: &'r Summary,
    pub journal: &'r [Entry],
    /// Whether all of it is wanted.
    pub all: bool,
    /// Where callbacks are sent that it waits for, by the trigger.
    pub resume: Vec<(String, String)>,
    pub environment_gone: bool,
}

struct Line {
    at: String,
    clock: String,
    after: String,
    kind: &'static str,
    class: &'static str,
    step: String,
    text: String,
    callback: String,
    log: Vec<String>,
    value: Option<Body>,
}

/// The page.
#[derive(Template)]
#[template(path = "execution.html")]
pub struct Execution {
    frame: Frame,
    id: String,
    status: &'static str,
    said: String,
    flow: String,
    version: u32,
    environment: String,
    environment_gone: bool,
    started_at: String,
    ended_at: Option<String>,
    lasted: String,
    callback: String,
    lines: Vec<Line>,
    hidden: usize,
    resume: Vec<(String, String)>,
    may_cancel: bool,
    may_retry: bool,
    step: String,
}

impl Execution {
    pub fn new(shown: ExecutionShown<'_>) -> Self {
        let ExecutionShown { frame, summary, journal, all, resume, environment_gone } = shown;
        let hidden = if all { 0 } else { journal.len().saturating_sub(ENTRIES_MAX) };
        let lines = journal.iter().skip(hidden).map(|entry| line(entry, summary.started_at)).collect();
        let lasted = summary.ended_at.map(|ended| micros(ended, summary.started_at)).map(words::duration);
        Self {
            id: summary.id.to_string(),
            status: summary.status.as_str(),
            said: said(summary),
            flow: summary.flow.to_string(),
            version: summary.flow_version,
            environment: summary.environment.to_string(),
            environment_gone,
            started_at: summary.started_at.to_string(),
            ended_at: summary.ended_at.map(|ended| ended.to_string()),
            lasted: lasted.unwrap_or_default(),
            callback: summary.callback.to_string(),
            lines,
            hidden,
            resume,
            may_cancel: !summary.status.is_ended() && frame.is_author(),
            may_retry: matches!(summary.status, Status::Failed | Status::TimedOut)
                && frame.is_author()
                && !environment_gone,
            step: summary.error.as_ref().map(|error| error.step.clone()).unwrap_or_default(),
            frame,
        }
    }
}

fn micros(at: Timestamp, from: Timestamp) -> u64 {
    u64::try_from(at.since(from).as_micros()).unwrap_or(u64::MAX)
}

fn value(value: &Value) -> Option<Body> {
    let (lines, is_whole) = json::lines_of(value);
    Some(Body::Json { lines, is_whole })
}

fn input(input: &Input) -> Option<Body> {
    let mut shown = Map::new();
    shown.insert("data".to_owned(), Value::clone(&input.data));
    if !input.fields.is_empty() {
        shown.insert("fields".to_owned(), Value::Object(Map::clone(&input.fields)));
    }
    if let Some(user) = &input.user {
        shown.insert("user".to_owned(), Value::clone(user));
    }
    value(&Value::Object(shown))
}

fn line(entry: &Entry, started_at: Timestamp) -> Line {
    let named = |name: &Option<String>| name.as_ref().map(|name| format!(", as {name}")).unwrap_or_default();
    let none = (String::new(), Vec::new(), None);
    let (kind, class, text, (callback, log, value)) = match &entry.kind {
        EntryKind::Started { callback, trigger, input: brought, .. } => (
            "started",
            "started",
            format!("by a callback of {trigger}"),
            (callback.to_string(), Vec::new(), input(brought)),
        ),
        EntryKind::Resumed { callback, trigger, input: brought } => (
            "resumed",
            "resumed",
            format!("by a callback of {trigger}"),
            (callback.to_string(), Vec::new(), input(brought)),
        ),
        EntryKind::Waiting { trigger, until, key } => {
            let until = until.map(|until| format!(", until {until}")).unwrap_or_default();
            let key = key.as_ref().map(|key| format!(" with the key {key}")).unwrap_or_default();
            ("waits", "kept", format!("for a callback of {trigger}{key}{until}"), none)
        }
        EntryKind::TimedOut { trigger } => {
            ("timed out", "failed", format!("no callback of {trigger} came in time"), none)
        }
        EntryKind::Plugin { plugin, duration_us, name, result, log, .. } => {
            let text = format!("{plugin} answered after {}{}", words::duration(*duration_us), named(name));
            ("plugin", "answered", text, (String::new(), log.clone(), value(result)))
        }
        EntryKind::Http { name, result, attempt, duration_us } => {
            let which = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            let text = format!("answered after {}{which}{}", words::duration(*duration_us), named(name));
            ("http", "answered", text, (String::new(), Vec::new(), value(result)))
        }
        EntryKind::Ticket { name, result } => {
            ("ticket", "answered", format!("made{}", named(name)), (String::new(), Vec::new(), value(result)))
        }
        EntryKind::HttpRequest { .. } => ("http", "answered", "a request goes out".to_owned(), none),
        EntryKind::HttpRetry { attempt, problem, until } => {
            ("http", "duplicate", format!("attempt {attempt}: {problem}; again at {until}"), none)
        }
        EntryKind::Delayed { until } => ("pauses", "kept", format!("until {until}"), none),
        EntryKind::Woken => ("goes on", "resumed", String::new(), none),
        EntryKind::Set { values } => (
            "set",
            "answered",
            values.keys().cloned().collect::<Vec<_>>().join(", "),
            (String::new(), Vec::new(), value(&Value::Object(values.clone()))),
        ),
        EntryKind::If { holds, absent } => {
            let absent = absent.as_ref().map(|absent| format!(": {absent} is not there")).unwrap_or_default();
            ("if", "answered", format!("{}{absent}", if *holds { "then" } else { "else" }), none)
        }
        EntryKind::Responded { reply, .. } => ("answers", "answered", reply.status.to_string(), none),
        EntryKind::Failed { error, log, unanswered } => {
            let unknown = if *unanswered { "; nobody knows what became of its request" } else { "" };
            (
                "failed",
                "failed",
                format!("{}: {}{unknown}", error.code, error.message),
                (String::new(), log.clone(), None),
            )
        }
        EntryKind::Retried => ("tried again", "resumed", String::new(), none),
        EntryKind::Cancelled => ("cancelled", "rejected", String::new(), none),
        EntryKind::Completed => ("completed", "started", String::new(), none),
    };
    Line {
        at: entry.at.to_string(),
        clock: words::clock(entry.at),
        after: words::duration(micros(entry.at, started_at)),
        kind,
        class,
        step: entry.step.clone(),
        text,
        callback,
        log,
        value,
    }
}
