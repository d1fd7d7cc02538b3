//! A trigger: its URLs, a callback to try it with, what a sample has, and what another condition would have made of the last ones.

use crate::flows::TriggerUrl;
use crate::frame::Frame;
use crate::{shell, words};
use askama::Template;
use askama::filters::Safe;
use ringback_records::outcome::Outcome;
use ringback_records::time::Timestamp;
use ringback_records::trace::TraceEntry;

/// A callback to try it with, as it stands in the form.
#[derive(Clone, Debug, Default)]
pub struct Test {
    pub url: String,
    pub method: String,
    pub query: String,
    /// One a line: `name: value`.
    pub headers: String,
    pub body: String,
    /// Where it is to come from; empty for nowhere.
    pub address: String,
    /// Whether the server signs it.
    pub sign: bool,
}

/// What became of what was asked.
#[derive(Clone, Debug)]
pub enum Sent {
    Nothing,
    /// It could not be sent; why.
    Refused(String),
    /// It was answered, and is not kept as a callback.
    Answered {
        status: u16,
        body: String,
    },
    /// Nothing was sent, and this would become of it.
    Tried(Tried),
}

/// What would become of a callback.
#[derive(Clone, Debug)]
pub struct Tried {
    pub outcome: Outcome,
    pub trace: Vec<TraceEntry>,
    pub status: u16,
    pub body: String,
}

impl Tried {
    fn rows(&self) -> impl Iterator<Item = (String, &'static str, &str)> {
        self.trace.iter().map(|entry| (entry.stage.to_string(), words::verdict(entry.verdict), entry.reason.as_str()))
    }

    fn outcome(&self) -> &'static str {
        words::outcome(self.outcome)
    }
}

/// A part of a sample, as it stands in the form.
#[derive(Clone, Debug)]
pub struct SamplePart {
    pub path: String,
    pub alias: String,
    pub example: String,
    pub keep: bool,
}

/// What a sample has.
#[derive(Clone, Debug, Default)]
pub struct SampleForm {
    pub text: String,
    /// `query` or `body`.
    pub part: &'static str,
    pub parts: Vec<SamplePart>,
    pub problem: Option<String>,
}

/// What another condition would have made of a callback.
#[derive(Clone, Debug)]
pub struct JudgedRow {
    pub id: String,
    pub received_at: Timestamp,
    pub then: Outcome,
    pub now: Outcome,
    pub differs: bool,
    pub reason: String,
}

impl JudgedRow {
    fn received(&self) -> String {
        words::minute(self.received_at)
    }

    fn then(&self) -> &'static str {
        words::outcome(self.then)
    }

    fn now(&self) -> &'static str {
        words::outcome(self.now)
    }
}

/// A condition, and what it would have made of the last callbacks.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    pub when: String,
    pub problem: Option<String>,
    /// Absent before it was asked.
    pub rows: Option<Vec<JudgedRow>>,
    pub left_out: usize,
    pub is_unfinished: bool,
}

impl Judged {
    fn said(&self) -> String {
        let rows = self.rows.as_deref().unwrap_or_default();
        let changed = rows.iter().filter(|row| row.differs).count() as u64;
        let looked = words::count(rows.len() as u64, "callback", "callbacks");
        let left_out = match self.left_out {
            0 => String::new(),
            count => format!(" {count} not looked at, since nobody proved them."),
        };
        let rest = if self.is_unfinished { " There was no time for the others." } else { "" };
        match changed {
            0 => format!("Nothing would be different: the same would become of {looked}.{left_out}{rest}"),
            _ => format!("Another thing would become of {changed} of {looked}.{left_out}{rest}"),
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "trigger.html")]
pub struct TriggerPage {
    pub frame: Frame,
    pub flow: String,
    pub enabled: bool,
    pub id: String,
    pub name: String,
    pub methods: Vec<String>,
    pub urls: Vec<TriggerUrl>,
    /// How its callers prove themselves, what counts, and such.
    pub facts: Vec<(&'static str, String)>,
    /// Whether callers have to prove more than that they know the URL.
    pub is_signed: bool,
    pub test: Test,
    pub said: Sent,
    pub sample: SampleForm,
    pub judged: Judged,
}

impl TriggerPage {
    fn curl(&self) -> String {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        shell::curl(&self.test.method, &self.test.url, &headers, self.test.body.as_bytes())
    }

    /// As it stands in a field: what is not seen is sent back as it is.
    fn field(text: &str) -> Safe<String> {
        Safe(crate::flows::in_field(text))
    }
}
