//! What sending a callback again would do now, beside what it did then.

use crate::frame::Frame;
use crate::words;
use askama::Template;
use askama::filters::Safe;
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::reply::ReplyRecord;
use ringback_records::trace::{Stage, TraceEntry};

/// Most characters of an answer that are compared.
const BODY_CHARS_MAX: usize = 300;

/// Longest body that stands in a field.
const FIELD_BYTES_MAX: usize = 64 << 10;

struct Compared {
    what: String,
    then: String,
    now: String,
    differs: bool,
}

/// The page.
#[derive(Template)]
#[template(path = "replay.html")]
pub struct Replay {
    frame: Frame,
    id: String,
    flow: String,
    trigger: String,
    outcome: &'static str,
    compared: Vec<Compared>,
    differs: bool,
    /// What stands in the field, where its body is a text that is kept as a whole.
    body: Option<String>,
    is_edited: bool,
}

impl Replay {
    pub fn new(
        frame: Frame,
        record: &CallbackRecord,
        outcome: Outcome,
        reply: &ReplyRecord,
        trace: &[TraceEntry],
        typed: Option<String>,
    ) -> Self {
        let compare = |what: &str, then: String, now: String, differs: bool| Compared {
            what: what.to_owned(),
            then,
            now,
            differs,
        };
        let status = |reply: Option<&ReplyRecord>| reply.map(|reply| reply.status.to_string()).unwrap_or_default();
        let body = |reply: Option<&ReplyRecord>| {
            let text = reply.map(|reply| String::from_utf8_lossy(&reply.body).into_owned()).unwrap_or_default();
            words::cut(&text, BODY_CHARS_MAX)
        };
        let (then, now) = (record.outcome.to_string(), outcome.to_string());
        let differs = then != now;
        let mut compared = vec![compare("outcome", then, now, differs)];
        let mut stages: Vec<Stage> = Vec::new();
        for entry in record.trace.iter().chain(trace) {
            if !stages.contains(&entry.stage) {
                stages.push(entry.stage);
            }
        }
        for stage in stages {
            let of = |trace: &[TraceEntry]| trace.iter().rfind(|entry| entry.stage == stage).cloned();
            let said = |entry: &Option<TraceEntry>| match entry {
                Some(entry) => format!("{}: {}", words::verdict(entry.verdict), entry.reason),
                None => "not reached".to_owned(),
            };
            let (then, now) = (of(&record.trace), of(trace));
            let verdict = |entry: &Option<TraceEntry>| entry.as_ref().map(|entry| entry.verdict);
            let differs = match stage {
                Stage::Parse | Stage::Condition => said(&then) != said(&now),
                // They name what is another one each time.
                Stage::Face | Stage::Select | Stage::Respond => verdict(&then) != verdict(&now),
                // Who calls is not asked again, nor whether it came before; and nothing becomes durable.
                Stage::Verify | Stage::Auth | Stage::Dedupe | Stage::Commit | Stage::Run => false,
            };
            compared.push(compare(&stage.to_string(), said(&then), said(&now), differs));
        }
        let (then, now) = (status(record.reply.as_ref()), status(Some(reply)));
        let differs = then != now;
        compared.push(compare("answer", then, now, differs));
        // It may name the callback and the execution.
        compared.push(compare("its body", body(record.reply.as_ref()), body(Some(reply)), false));
        Self {
            id: record.id.to_string(),
            flow: record.flow.as_ref().map(ToString::to_string).unwrap_or_default(),
            trigger: record.trigger.clone(),
            outcome: words::outcome(outcome),
            differs: compared.iter().any(|compared| compared.differs),
            compared,
            is_edited: typed.is_some(),
            body: typed.or_else(|| record.body.clone()).filter(|body| body.len() <= FIELD_BYTES_MAX),
            frame,
        }
    }
}

impl Replay {
    fn text(text: &str) -> Safe<String> {
        Safe(crate::flows::in_field(text))
    }
}
