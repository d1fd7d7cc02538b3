//! The list of executions.

use crate::frame::{Frame, Link};
use crate::{query, words};
use askama::Template;
use ringback_records::journal::{Status, Summary};
use ringback_records::time::Timestamp;

/// What is looked for, as the address of the page says it; empty where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct ExecutionFilters {
    pub flow: String,
    pub status: String,
    pub trigger: String,
    pub callback: String,
    pub environment: String,
    pub since: String,
    pub until: String,
    pub reason: String,
}

impl ExecutionFilters {
    fn pairs(&self) -> [(&'static str, &str); 8] {
        [
            ("flow", &self.flow),
            ("status", &self.status),
            ("trigger", &self.trigger),
            ("callback", &self.callback),
            ("environment", &self.environment),
            ("since", &self.since),
            ("until", &self.until),
            ("reason", &self.reason),
        ]
    }

    /// The address of the list that they say.
    pub fn address(&self) -> String {
        self.with(&[])
    }

    fn with(&self, changed: &[(&str, &str)]) -> String {
        let value = |name: &str, value| changed.iter().find(|(of, _)| *of == name).map_or(value, |(_, value)| *value);
        format!("/console/executions{}", query(self.pairs().into_iter().map(|(name, said)| (name, value(name, said)))))
    }

    fn is_wanted(&self, status: Status) -> bool {
        self.status.split(',').any(|wanted| wanted == status.as_str())
    }

    fn toggle(&self, status: Status) -> String {
        let wanted = Status::ALL.into_iter().filter(|one| self.is_wanted(*one) != (*one == status));
        let wanted: Vec<&str> = wanted.map(Status::as_str).collect();
        self.with(&[("status", &wanted.join(","))])
    }
}

struct Chip {
    status: &'static str,
    href: String,
    is_wanted: bool,
}

struct Row {
    id: String,
    short: String,
    started_at: String,
    day: String,
    clock: String,
    status: &'static str,
    flow: String,
    version: u32,
    environment: String,
    said: String,
    lasted: String,
}

/// What a summary says of where it stands.
pub(crate) fn said(summary: &Summary) -> String {
    if let Some(error) = &summary.error {
        return format!("{}: {}", error.code, error.message);
    }
    let waits: Vec<String> = summary
        .waits
        .iter()
        .map(|wait| {
            let what =
                wait.trigger.as_ref().map_or_else(|| "a time".to_owned(), |trigger| format!("a callback of {trigger}"));
            let until = wait.until.map(|until| format!(" until {}", words::minute(until))).unwrap_or_default();
            format!("{what}{until}")
        })
        .collect();
    if waits.is_empty() { String::new() } else { format!("for {}", waits.join(", and for ")) }
}

fn lasted(summary: &Summary, now: Timestamp) -> String {
    let millis = summary.ended_at.unwrap_or(now).since(summary.started_at).as_millis();
    words::millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

impl Row {
    fn new(summary: &Summary, now: Timestamp) -> Self {
        let id = summary.id.to_string();
        let environment = summary.environment.to_string();
        Self {
            short: words::short_id(&id).to_owned(),
            started_at: summary.started_at.to_string(),
            day: words::day_unless(summary.started_at, now),
            clock: words::clock(summary.started_at),
            status: summary.status.as_str(),
            flow: summary.flow.to_string(),
            version: summary.flow_version,
            environment: if environment == "default" { String::new() } else { environment },
            said: words::cut(&said(summary), 200),
            lasted: lasted(summary, now),
            id,
        }
    }
}

/// What the page is made of.
pub struct ExecutionsShown {
    pub frame: Frame,
    pub filters: ExecutionFilters,
    pub flows: Vec<String>,
    pub executions: Vec<Summary>,
    /// The page before this one has ended there.
    pub cursor: String,
    pub next_cursor: Option<(String, Timestamp)>,
    pub problem: Option<String>,
    pub now: Timestamp,
}

/// The page.
#[derive(Template)]
#[template(path = "executions.html")]
pub struct Executions {
    frame: Frame,
    filters: ExecutionFilters,
    flows: Vec<String>,
    rows: Vec<Row>,
    chips: Vec<Chip>,
    times: Vec<(String, String, bool)>,
    newest: Option<String>,
    older: Option<String>,
    looked_back_to: Option<String>,
    problem: Option<String>,
}

impl Executions {
    pub fn new(shown: ExecutionsShown) -> Self {
        let ExecutionsShown { frame, filters, flows, executions, cursor, next_cursor, problem, now } = shown;
        let chip = |status| Chip {
            status: Status::as_str(status),
            href: filters.toggle(status),
            is_wanted: filters.is_wanted(status),
        };
        let chips = Status::ALL.into_iter().map(chip).collect();
        let older = next_cursor.as_ref().map(|(cursor, _)| {
            let with = filters.address();
            format!("{with}{}cursor={cursor}", if with.contains('?') { '&' } else { '?' })
        });
        Self {
            rows: executions.iter().map(|summary| Row::new(summary, now)).collect(),
            chips,
            times: crate::callbacks::times(&filters.since),
            newest: (!cursor.is_empty()).then(|| filters.address()),
            older,
            looked_back_to: next_cursor.map(|(_, time)| words::minute(time)),
            flows,
            problem,
            filters,
            frame,
        }
    }

    fn is_filtered(&self) -> bool {
        self.filters.pairs().iter().any(|(_, value)| !value.is_empty())
    }

    fn unsaid(&self) -> Vec<Link> {
        let said = self.filters.pairs().into_iter().filter(|(_, value)| !value.is_empty());
        said.map(|(name, value)| Link {
            href: self.filters.with(&[(name, "")]),
            text: format!("{name} {}", words::cut(value, 60)),
        })
        .collect()
    }

    /// What the form has no field for.
    fn others(&self) -> Vec<(&'static str, &str)> {
        let shown = ["reason", "flow", "since"];
        self.filters.pairs().into_iter().filter(|(name, value)| !value.is_empty() && !shown.contains(name)).collect()
    }
}
