//! One callback: which stage decided and why, its way through the stages, what was sent, and what was answered.

use crate::frame::Frame;
use crate::json::{self, Line};
use crate::{shell, words};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::trace::{PluginUse, Stage, TraceEntry};
use std::borrow::Cow;
use std::fmt::Write;

/// How wide the axis of the stages is.
const AXIS: u64 = 1000;
/// Most bytes of a body that are shown as text, and in hexadecimal.
const TEXT_BYTES_MAX: usize = 64 << 10;
const HEX_BYTES_MAX: usize = 4 << 10;
/// Most bytes that a command for a shell may carry.
const CURL_BYTES_MAX: usize = 64 << 10;

/// What the page is made of.
pub struct Shown<'r> {
    pub frame: Frame,
    pub record: &'r CallbackRecord,
    /// Processor time that a condition or verifier may use, and others, and memory of any, normal and large.
    pub limits: Limits,
    /// Where callers reach the server.
    pub public_url: &'r str,
    /// Its environment was removed.
    pub environment_gone: bool,
    /// How the body is shown: `pretty`, `raw` or `hex`.
    pub body_as: &'r str,
    /// That of the first kind, whatever its name: it is known by what it is, not by who uploaded it.
    pub version_of: &'r dyn Fn(&PluginUse) -> Option<u32>,
}

/// What a call of a plugin may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub decide_us: u64,
    pub work_us: u64,
    pub memory_bytes: u64,
    pub large_memory_bytes: u64,
}

struct StageRow {
    stage: &'static str,
    verdict: &'static str,
    decides: bool,
    /// Where its bar begins on the axis, and how wide it is.
    bar: Option<(u64, u64)>,
    took: String,
    reason: String,
    plugins: Vec<PluginRow>,
}

struct PluginRow {
    plugin: String,
    version: Option<u32>,
    digest: String,
    /// Of time and of memory.
    meters: [Meter; 2],
    waited: String,
    log: Vec<String>,
    failure: Option<String>,
}

/// What was used of what may be, in words and as a part of a hundred.
struct Meter {
    said: String,
    percent: u64,
    is_over: bool,
}

impl Meter {
    fn new(used: u64, most: u64, said: String) -> Self {
        let percent = (used.saturating_mul(100) / most.max(1)).clamp(u64::from(used > 0), 100);
        Self { said, percent, is_over: used >= most }
    }
}

/// A body as it is shown.
pub(crate) enum Body {
    Empty,
    Json { lines: Vec<Line>, is_whole: bool },
    Text { text: String, is_whole: bool },
    Hex { text: String, is_whole: bool },
}

/// The page.
#[derive(Template)]
#[template(path = "callback.html")]
pub struct Callback {
    frame: Frame,
    id: String,
    outcome: &'static str,
    meaning: &'static str,
    stage: String,
    reason: String,
    flow: String,
    trigger: String,
    ticket: String,
    facts: Vec<Fact>,
    stages: Vec<StageRow>,
    all: String,
    method: String,
    path: String,
    parameters: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Body,
    body_as: &'static str,
    body_size: String,
    is_cut: bool,
    is_json: bool,
    curl: Option<String>,
    reply: Option<Answer>,
    /// Why it cannot be sent again.
    no_replay: Option<&'static str>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

struct Fact {
    name: &'static str,
    value: String,
    href: String,
    is_id: bool,
    is_time: bool,
}

impl Callback {
    pub fn new(shown: Shown<'_>) -> Self {
        let Shown { frame, record, limits, public_url, environment_gone, body_as, version_of } = shown;
        let deciding = record.deciding();
        let kept = kept_body(record);
        let is_json = std::str::from_utf8(&kept).ok().and_then(json::lines).is_some();
        let body_as = match body_as {
            "raw" => "raw",
            "hex" => "hex",
            _ => "pretty",
        };
        let query = if record.query.is_empty() { String::new() } else { format!("?{}", record.query) };
        let url = format!("{public_url}{}{query}", record.path);
        let is_cut = (kept.len() as u64) < record.body_bytes;
        let curl = (kept.len() <= CURL_BYTES_MAX && !is_cut)
            .then(|| shell::curl(&record.method, &url, &record.headers, &kept));
        let pairs = form_urlencoded::parse(record.query.as_bytes());
        Self {
            id: record.id.to_string(),
            outcome: words::outcome(record.outcome),
            meaning: words::meaning(record.outcome),
            stage: deciding.map(|entry| entry.stage.to_string()).unwrap_or_default(),
            reason: deciding.map(|entry| entry.reason.clone()).unwrap_or_default(),
            flow: record.flow.as_ref().map(ToString::to_string).unwrap_or_default(),
            trigger: record.trigger.clone(),
            ticket: record.ticket.map(|ticket| ticket.to_string()).unwrap_or_default(),
            facts: facts(record, environment_gone),
            stages: stages(record, limits, version_of),
            all: words::duration(record.trace.iter().map(|entry| entry.duration_us).sum()),
            method: record.method.clone(),
            path: record.path.clone(),
            parameters: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
            headers: record.headers.clone(),
            body: body(&kept, body_as),
            body_as,
            body_size: words::size(record.body_bytes),
            is_cut,
            is_json,
            curl,
            reply: record.reply.as_ref().map(|reply| Answer {
                status: reply.status,
                headers: reply.headers.clone(),
                body: body(&reply.body, "pretty"),
            }),
            no_replay: no_replay(record, environment_gone),
            frame,
        }
    }
}

impl Callback {
    /// The ways in which the body can be shown.
    fn tabs(&self) -> [(&'static str, &'static str, bool); 3] {
        [("pretty", "Pretty"), ("raw", "Raw"), ("hex", "Hex")]
            .map(|(name, called)| (name, called, name == self.body_as))
    }
}

/// What is kept of a body, as it was received.
pub(crate) fn kept_body(record: &CallbackRecord) -> Cow<'_, [u8]> {
    match &record.body_base64 {
        Some(text) => Cow::Owned(STANDARD.decode(text).unwrap_or_default()),
        None => Cow::Borrowed(record.body.as_deref().unwrap_or_default().as_bytes()),
    }
}

fn no_replay(record: &CallbackRecord, environment_gone: bool) -> Option<&'static str> {
    if record.flow.is_none() {
        return Some("It was answered by its ticket: there is no flow that could run again.");
    }
    if !record.was_verified() {
        return Some("It was not verified when it came: only its sender can send it again.");
    }
    environment_gone.then_some("Its environment is gone.")
}

fn facts(record: &CallbackRecord, environment_gone: bool) -> Vec<Fact> {
    let fact = |name, value: String| Fact { name, value, href: String::new(), is_id: false, is_time: false };
    let to = |name, value: String, href: String| Fact { href, is_id: true, ..fact(name, value) };
    let took = words::duration(record.trace.iter().map(|entry| entry.duration_us).sum());
    let mut facts = vec![Fact { is_time: true, ..fact("Received", record.received_at.to_string()) }];
    if let Some(reply) = &record.reply {
        facts.push(fact("Answered", format!("{} after {took}", reply.status)));
    }
    let gone = if environment_gone { ", which is gone" } else { "" };
    facts.push(fact("Face", record.face.clone()));
    facts.push(fact("Environment", format!("{}{gone}", record.environment)));
    facts.push(fact("Body", words::size(record.body_bytes)));
    if let Some(execution) = record.execution {
        let others = match record.resumed_count {
            Some(count) if count > 1 => format!(", the first of {}", words::grouped(count)),
            _ => String::new(),
        };
        facts.push(Fact {
            value: format!("{execution}{others}"),
            ..to("Execution", String::new(), format!("/console/executions/{execution}"))
        });
    }
    if let Some(ticket) = record.ticket {
        facts.push(to("Ticket", ticket.to_string(), format!("/console/callbacks?ticket={ticket}")));
    }
    if let Some(first) = record.replay_of {
        let what = if record.is_edited { "Repeats, with another body," } else { "Repeats" };
        facts.push(to(what, first.to_string(), format!("/console/callbacks/{first}")));
    }
    if let Some(address) = record.remote_address {
        facts.push(fact("From", address.to_string()));
    }
    if let Some(user) = &record.user {
        let id = user.get("id").and_then(serde_json::Value::as_str).map_or_else(|| user.to_string(), str::to_owned);
        facts.push(fact("User", words::cut(&id, 100)));
    }
    facts.push(Fact { is_id: true, ..fact("Id", record.id.to_string()) });
    facts
}

/// Those that a callback of a trigger goes through, in their order, whether they are noted or not.
const WAY: [Stage; 6] = [Stage::Verify, Stage::Dedupe, Stage::Parse, Stage::Condition, Stage::Select, Stage::Commit];

fn stages(record: &CallbackRecord, limits: Limits, version_of: &dyn Fn(&PluginUse) -> Option<u32>) -> Vec<StageRow> {
    let all: u64 = record.trace.iter().map(|entry| entry.duration_us).sum::<u64>().max(1);
    let deciding = record.deciding().map(std::ptr::from_ref);
    let mut begun = 0;
    let mut rows: Vec<StageRow> = Vec::new();
    for entry in &record.trace {
        let TraceEntry { stage, verdict, reason, duration_us, plugins } = entry;
        let from = begun * AXIS / all;
        let width = (duration_us * AXIS / all).clamp(4, AXIS);
        begun += duration_us;
        rows.push(StageRow {
            stage: name(*stage),
            verdict: words::verdict(*verdict),
            decides: deciding.is_some_and(|deciding| std::ptr::eq(deciding, entry)),
            bar: Some((from.min(AXIS - width), width)),
            took: words::duration(*duration_us),
            reason: reason.clone(),
            plugins: plugins.iter().map(|usage| plugin(usage, *stage, limits, version_of(usage))).collect(),
        });
    }
    // One that let it pass to its end has gone through all there are.
    let is_stopped =
        matches!(record.outcome, Outcome::Ignored | Outcome::Rejected | Outcome::Failed | Outcome::Duplicate);
    let last = record.trace.last().filter(|entry| is_stopped && entry.stage != Stage::Run);
    let next = last.map_or(WAY.len(), |last| match WAY.iter().position(|stage| *stage == last.stage) {
        Some(at) => at + 1,
        None if matches!(last.stage, Stage::Face) => 0,
        None if matches!(last.stage, Stage::Auth) => 1,
        None => WAY.len(),
    });
    let not_reached = WAY.iter().skip(next).map(|stage| StageRow {
        stage: name(*stage),
        verdict: "not reached",
        decides: false,
        bar: None,
        took: String::new(),
        reason: String::new(),
        plugins: Vec::new(),
    });
    rows.extend(not_reached);
    rows
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Face => "face",
        Stage::Verify => "verify",
        Stage::Auth => "auth",
        Stage::Dedupe => "dedupe",
        Stage::Parse => "parse",
        Stage::Condition => "condition",
        Stage::Select => "select",
        Stage::Respond => "respond",
        Stage::Commit => "commit",
        Stage::Run => "run",
    }
}

fn plugin(usage: &PluginUse, stage: Stage, limits: Limits, version: Option<u32>) -> PluginRow {
    let PluginUse { plugin, digest, duration_us, cpu_us, memory_bytes, log, failure } = usage;
    let is_decision = matches!(stage, Stage::Verify | Stage::Condition | Stage::Select);
    let time_max = if is_decision { limits.decide_us } else { limits.work_us };
    let used = cpu_us.unwrap_or(*duration_us);
    let is_large = *memory_bytes > limits.memory_bytes;
    let memory_max = if is_large { limits.large_memory_bytes } else { limits.memory_bytes };
    let time = format!("{} of {} processor time", words::duration(used), words::duration(time_max));
    let memory = format!("{} of {} memory", words::size(*memory_bytes), words::size(memory_max));
    PluginRow {
        plugin: plugin.to_string(),
        version,
        digest: digest.chars().take(12).collect(),
        meters: [Meter::new(used, time_max, time), Meter::new(*memory_bytes, memory_max, memory)],
        waited: if *duration_us > used.saturating_mul(2) { words::duration(*duration_us) } else { String::new() },
        log: log.clone(),
        failure: failure.clone(),
    }
}

fn body(bytes: &[u8], shown_as: &str) -> Body {
    if bytes.is_empty() {
        return Body::Empty;
    }
    let text = std::str::from_utf8(bytes).ok();
    match text {
        Some(text) if shown_as == "pretty" => match json::lines(text) {
            Some((lines, is_whole)) => Body::Json { lines, is_whole },
            None => as_text(text),
        },
        Some(text) if shown_as == "raw" => as_text(text),
        // Some of them may have been cut in the middle of a character.
        None if shown_as == "raw" => as_text(&String::from_utf8_lossy(bytes)),
        _ => Body::Hex { text: hex(bytes), is_whole: bytes.len() <= HEX_BYTES_MAX },
    }
}

fn as_text(text: &str) -> Body {
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    Body::Text { text: text.get(..end).unwrap_or_default().to_owned(), is_whole: end == text.len() }
}

/// Sixteen bytes in a line, with what they are as text.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(16).take(HEX_BYTES_MAX / 16).enumerate() {
        let _ = write!(text, "{:06x}  ", number * 16);
        for column in 0..16 {
            let _ = match line.get(column) {
                Some(byte) => write!(text, "{byte:02x} "),
                None => write!(text, "   "),
            };
            if column == 7 {
                text.push(' ');
            }
        }
        text.push(' ');
        text.extend(line.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Meter, hex};

    #[test]
    fn bytes_are_shown_as_numbers_and_as_what_can_be_read() {
        assert_eq!(
            hex(b"{\"a\":\xff\x00 }0123456789"),
            "000000  7b 22 61 22 3a ff 00 20  7d 30 31 32 33 34 35 36  {\"a\":.. }0123456\n\
             000010  37 38 39                                          789\n"
        );
    }

    #[test]
    fn a_meter_shows_what_is_little_and_what_is_too_much() {
        let meter = |used| Meter::new(used, 50_000, String::new());
        assert_eq!([meter(0).percent, meter(1).percent, meter(25_000).percent, meter(90_000).percent], [0, 1, 50, 100]);
        assert!(meter(50_000).is_over && !meter(49_999).is_over);
    }
}
