//! The list of callbacks.

use crate::frame::{Frame, Link};
use crate::{query, words};
use askama::Template;
use ringback_records::outcome::Outcome;
use ringback_records::summary::CallbackSummary;
use ringback_records::time::Timestamp;

/// Most characters of a reason in a row.
const REASON_CHARS_MAX: usize = 200;
/// How high the bars are.
const BAR_HEIGHT: u64 = 56;
/// How wide a bar is, with what is left before the next.
const BAR_WIDTH: usize = 10;
/// Most spans of time that bars are put together in: each is wide enough for a finger on a phone.
const SPANS_MAX: usize = 10;

/// Times that may be chosen, and what they are called.
const TIMES: [(&str, &str); 5] = [
    ("15m", "last 15 minutes"),
    ("1h", "last hour"),
    ("24h", "last 24 hours"),
    ("7d", "last 7 days"),
    ("30d", "last 30 days"),
];

/// What is looked for, as the address of the page says it; empty where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub search: String,
    pub flow: String,
    pub trigger: String,
    pub ticket: String,
    pub execution: String,
    pub environment: String,
    pub outcome: String,
    pub since: String,
    pub until: String,
    pub reason: String,
    pub text: String,
}

impl Filters {
    /// As a query, each with what it is called.
    fn pairs(&self) -> [(&'static str, &'static str, &str); 11] {
        [
            ("search", "search", &self.search),
            ("flow", "flow", &self.flow),
            ("trigger", "trigger", &self.trigger),
            ("ticket", "ticket", &self.ticket),
            ("execution", "execution", &self.execution),
            ("environment", "environment", &self.environment),
            ("outcome", "outcome", &self.outcome),
            ("since", "since", &self.since),
            ("until", "until", &self.until),
            ("reason", "reason", &self.reason),
            ("text", "text", &self.text),
        ]
    }

    /// The address of the list that they say.
    pub fn address(&self) -> String {
        self.with(&[])
    }

    /// The address with some of them changed.
    fn with(&self, changed: &[(&str, &str)]) -> String {
        let value = |name: &str, value| changed.iter().find(|(of, _)| *of == name).map_or(value, |(_, value)| *value);
        let pairs = self.pairs().into_iter().map(|(name, _, said)| (name, value(name, said)));
        format!("/console/callbacks{}", query(pairs))
    }

    fn is_wanted(&self, outcome: Outcome) -> bool {
        self.outcome.split(',').any(|wanted| wanted == outcome.as_str())
    }

    /// The address in which an outcome is wanted that was not, or the other way round.
    fn toggle(&self, outcome: Outcome) -> String {
        let wanted = Outcome::ALL.into_iter().filter(|one| self.is_wanted(*one) != (*one == outcome));
        let wanted: Vec<&str> = wanted.map(Outcome::as_str).collect();
        self.with(&[("outcome", &wanted.join(","))])
    }

    /// What is looked for, each with the address without it.
    fn said(&self) -> Vec<(String, String)> {
        let said = self.pairs().into_iter().filter(|(_, _, value)| !value.is_empty());
        said.map(|(name, called, value)| (format!("{called} {}", words::cut(value, 60)), self.with(&[(name, "")])))
            .collect()
    }
}

/// A callback in the list.
pub struct Row {
    id: String,
    href: String,
    received_at: String,
    day: String,
    clock: String,
    outcome: &'static str,
    meaning: &'static str,
    flow: String,
    trigger: String,
    ticket: String,
    environment: String,
    stage: String,
    reason: String,
    method: String,
    status: String,
    took: String,
    execution: Option<(String, String)>,
    resumed: String,
    is_again: bool,
}

impl Row {
    /// What a list shows of a callback, now.
    pub fn new(callback: &CallbackSummary, now: Timestamp) -> Self {
        let id = callback.id.to_string();
        let decided = callback.decided_by.as_ref();
        let execution = callback.execution.map(|execution| execution.to_string());
        let environment = callback.environment.to_string();
        Self {
            href: format!("/console/callbacks/{id}"),
            id,
            received_at: callback.received_at.to_string(),
            day: words::day_unless(callback.received_at, now),
            clock: words::clock(callback.received_at),
            outcome: words::outcome(callback.outcome),
            meaning: words::meaning(callback.outcome),
            flow: callback.flow.as_ref().map(ToString::to_string).unwrap_or_default(),
            trigger: callback.trigger.clone(),
            ticket: callback.ticket.map(|ticket| ticket.to_string()).unwrap_or_default(),
            environment: if environment == "default" { String::new() } else { environment },
            stage: decided.map(|decision| decision.stage.to_string()).unwrap_or_default(),
            reason: decided.map(|decision| words::cut(&decision.reason, REASON_CHARS_MAX)).unwrap_or_default(),
            method: callback.method.clone(),
            status: callback.reply.as_ref().map(|reply| reply.status.to_string()).unwrap_or_default(),
            took: words::duration(callback.duration_us),
            execution: execution.map(|id| (words::short_id(&id).to_owned(), id)),
            resumed: callback.resumed_count.filter(|count| *count > 1).map(words::grouped).unwrap_or_default(),
            is_again: callback.replay_of.is_some(),
        }
    }
}

#[derive(Template)]
#[template(path = "row.html")]
struct OneRow<'r> {
    row: &'r Row,
}

/// A row of the list by itself, for those that come while it is open.
///
/// # Errors
///
/// Something in it could not be written.
pub fn row(row: &Row) -> Result<String, std::fmt::Error> {
    OneRow { row }.render().map_err(|_| std::fmt::Error)
}

/// How many callbacks came in a part of the time, by outcome.
#[derive(Clone, Debug)]
pub struct Part {
    pub from: Timestamp,
    pub until: Timestamp,
    pub outcomes: Vec<(Outcome, u64)>,
}

/// How many callbacks there are with an outcome.
#[derive(Clone, Copy, Debug)]
pub struct Total {
    pub outcome: Outcome,
    pub count: u64,
}

struct Chip {
    outcome: &'static str,
    meaning: &'static str,
    count: String,
    href: String,
    is_wanted: bool,
}

/// Some bars beside each other, which lead to the callbacks of their time.
#[derive(Default)]
struct Span {
    href: String,
    said: String,
    /// Rectangles: outcome, from the left, from the top, height.
    parts: Vec<(&'static str, usize, u64, u64)>,
}

/// Where callbacks can be sent, while none has come.
#[derive(Clone, Debug)]
pub struct First {
    pub flow: String,
    pub trigger: String,
    pub method: String,
    pub url: String,
}

impl First {
    fn curl(&self) -> String {
        let json = [("content-type".to_owned(), "application/json".to_owned())];
        let (headers, body): (&[_], &[u8]) = if self.method == "GET" { (&[], b"") } else { (&json, b"{}") };
        crate::shell::curl(&self.method, &self.url, headers, body)
    }
}

/// The page.
#[derive(Template)]
#[template(path = "callbacks.html")]
pub struct Callbacks {
    frame: Frame,
    filters: Filters,
    flows: Vec<String>,
    times: Vec<(String, String, bool)>,
    rows: Vec<Row>,
    chips: Vec<Chip>,
    spans: Vec<Span>,
    span_width: usize,
    counted: String,
    older: Option<String>,
    newest: Option<String>,
    tail: Option<String>,
    after: u64,
    looked_back_to: Option<String>,
    problem: Option<String>,
    starts: Vec<First>,
    has_flows: bool,
}

/// What the page is made of.
pub struct Shown {
    pub frame: Frame,
    pub filters: Filters,
    pub flows: Vec<String>,
    pub rows: Vec<Row>,
    pub totals: Vec<Total>,
    pub parts: Vec<Part>,
    /// What was counted is not all: from when on.
    pub counted_from: Option<Timestamp>,
    /// The page before this one has ended there.
    pub cursor: String,
    /// There are older ones behind this.
    pub next_cursor: Option<(String, Timestamp)>,
    /// From where on callbacks are told that come later.
    pub after: u64,
    /// Why what is looked for cannot be.
    pub problem: Option<String>,
    pub starts: Vec<First>,
}

impl Callbacks {
    pub fn new(shown: Shown) -> Self {
        let Shown { frame, filters, flows, rows, totals, parts, counted_from, cursor, next_cursor, .. } = shown;
        let chips = Outcome::ALL.into_iter().map(|outcome| {
            let count = totals.iter().find(|total| total.outcome == outcome).map_or(0, |total| total.count);
            Chip {
                outcome: words::outcome(outcome),
                meaning: words::meaning(outcome),
                count: words::grouped(count),
                href: filters.toggle(outcome),
                is_wanted: filters.is_wanted(outcome),
            }
        });
        let all: u64 = totals.iter().map(|total| total.count).sum();
        let is_first = cursor.is_empty();
        let older = next_cursor.as_ref().map(|(cursor, _)| {
            let with = filters.with(&[]);
            format!("{with}{}cursor={cursor}", if with.contains('?') { '&' } else { '?' })
        });
        let tail = filters.with(&[("since", "")]).replacen("/console/callbacks", "/console/callbacks/tail", 1);
        let has_flows = !flows.is_empty();
        let (spans, span_width) = spans(&filters, &parts);
        Self {
            chips: chips.collect(),
            spans,
            span_width,
            counted: counted(&filters, all, counted_from),
            older,
            newest: (!is_first).then(|| filters.with(&[])),
            tail: (is_first && filters.until.is_empty() && shown.problem.is_none()).then_some(tail),
            after: shown.after,
            looked_back_to: next_cursor.map(|(_, time)| words::minute(time)),
            times: times(&filters.since),
            flows,
            rows,
            problem: shown.problem,
            starts: shown.starts,
            has_flows,
            filters,
            frame,
        }
    }

    fn is_filtered(&self) -> bool {
        !self.filters.said().is_empty()
    }

    /// What the head of the table has no place for.
    fn others(&self) -> Vec<(&'static str, &str)> {
        let pairs = self.filters.pairs().into_iter();
        let shown = ["search", "flow", "since"];
        pairs
            .filter(|(name, _, value)| !value.is_empty() && !shown.contains(name))
            .map(|(name, _, value)| (name, value))
            .collect()
    }

    fn unsaid(&self) -> Vec<Link> {
        self.filters.said().into_iter().map(|(text, href)| Link { href, text }).collect()
    }
}

/// The times to choose from, with the one that is chosen.
pub(crate) fn times(since: &str) -> Vec<(String, String, bool)> {
    let any = [(String::new(), "any time".to_owned(), since.is_empty())];
    let known = TIMES.into_iter().map(|(value, called)| (value.to_owned(), called.to_owned(), value == since));
    let mut times: Vec<_> = any.into_iter().chain(known).collect();
    if !times.iter().any(|(.., is_chosen)| *is_chosen) {
        let called =
            since.parse().map_or_else(|_| words::cut(since, 30), |time| format!("since {}", words::minute(time)));
        times.push((since.to_owned(), called, true));
    }
    times
}

/// How many there are, of what, and when.
fn counted(filters: &Filters, all: u64, from: Option<Timestamp>) -> String {
    let known = TIMES.into_iter().find(|(value, _)| *value == filters.since);
    let time = match known {
        Some((_, called)) => format!("the {called}"),
        None if filters.since.is_empty() => "the last hour".to_owned(),
        None => "this time".to_owned(),
    };
    let of = if filters.flow.is_empty() { String::new() } else { format!(" of {}", filters.flow) };
    let from = from.map(|from| format!(", counted from {} on", words::clock(from))).unwrap_or_default();
    format!("{}{of} in {time}{from}", words::count(all, "callback", "callbacks"))
}

/// The bars in at most [`SPANS_MAX`] spans, and how wide one is.
fn spans(filters: &Filters, parts: &[Part]) -> (Vec<Span>, usize) {
    let sum = |part: &Part| part.outcomes.iter().map(|(_, count)| count).sum::<u64>();
    let most = parts.iter().map(sum).max().unwrap_or_default();
    if most == 0 {
        return (Vec::new(), 0);
    }
    let bars = parts.len().div_ceil(SPANS_MAX);
    let span = |parts: &[Part]| {
        let mut drawn = Vec::new();
        // The oldest span may have fewer bars: they stand at its end.
        for (left, part) in (bars - parts.len()..).zip(parts) {
            let mut below = 0;
            for outcome in Outcome::ALL {
                let count = part.outcomes.iter().find(|(of, _)| *of == outcome).map_or(0, |(_, count)| *count);
                // From the ground up; each has its edge where the sum so far is.
                let (from, to) = (below * BAR_HEIGHT / most, (below + count) * BAR_HEIGHT / most);
                below += count;
                if count > 0 {
                    // What is there is seen.
                    let height = (to - from).max(1);
                    let top = BAR_HEIGHT.saturating_sub(from + height);
                    drawn.push((words::outcome(outcome), left * BAR_WIDTH, top, height));
                }
            }
        }
        let ([first, ..], [.., last]) = (parts, parts) else { return Span::default() };
        let total = |of| parts.iter().flat_map(|part| &part.outcomes).filter(|(it, _)| *it == of).map(|(_, n)| n).sum();
        let totals = Outcome::ALL.into_iter().map(|outcome| (outcome, total(outcome)));
        let outcomes: Vec<String> = totals
            .filter(|(_, count)| *count > 0)
            .map(|(outcome, count): (_, u64)| format!("{} {outcome}", words::grouped(count)))
            .collect();
        let said = format!("{} to {}: {}", words::minute(first.from), words::minute(last.until), outcomes.join(", "));
        let href = filters.with(&[("since", &first.from.to_string()), ("until", &last.until.to_string())]);
        Span { href: if drawn.is_empty() { String::new() } else { href }, said, parts: drawn }
    };
    let mut spans: Vec<Span> = parts.rchunks(bars).map(span).collect();
    spans.reverse();
    (spans, bars * BAR_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::{Filters, Part, spans};
    use ringback_records::outcome::Outcome;
    use ringback_records::time::Timestamp;

    #[test]
    fn addresses_say_what_is_looked_for_and_nothing_else() {
        let filters = Filters { search: "a&b=c".into(), outcome: "failed,ignored".into(), ..Filters::default() };
        assert_eq!(filters.with(&[]), "/console/callbacks?search=a%26b%3Dc&outcome=failed%2Cignored");
        assert_eq!(filters.with(&[("search", "")]), "/console/callbacks?outcome=failed%2Cignored");
        assert_eq!(filters.toggle(Outcome::Failed), "/console/callbacks?search=a%26b%3Dc&outcome=ignored");
        assert!(filters.toggle(Outcome::Started).ends_with("outcome=started%2Cignored%2Cfailed"));
        assert_eq!(Filters::default().with(&[]), "/console/callbacks");
    }

    #[test]
    fn bars_stand_on_the_ground_and_no_part_is_hidden() {
        let part = |outcomes| Part { from: Timestamp::default(), until: Timestamp::default(), outcomes };
        let parts = [
            part(vec![(Outcome::Started, 999), (Outcome::Failed, 1)]),
            part(vec![(Outcome::Ignored, 500)]),
            part(Vec::new()),
        ];
        let (each, width) = spans(&Filters::default(), &parts);
        assert_eq!(each[0].parts, [("started", 0, 1, 55), ("failed", 0, 0, 1)]);
        assert_eq!(each[1].parts, [("ignored", 0, 28, 28)]);
        assert!(each[2].parts.is_empty() && each[2].href.is_empty());
        assert_eq!((each[0].said.as_str(), width), ("1 Jan 00:00 to 1 Jan 00:00: 999 started, 1 failed", 10));
        assert!(spans(&Filters::default(), &parts[2..]).0.is_empty());

        // An hour by minutes: few enough that a finger finds one on a phone, the oldest with what is left.
        let hour = vec![parts[1].clone(); 61];
        let (each, width) = spans(&Filters::default(), &hour);
        assert_eq!((each.len(), width), (9, 70));
        let lefts = |span: &super::Span| span.parts.iter().map(|part| part.1).collect::<Vec<_>>();
        assert_eq!(lefts(&each[0]), [20, 30, 40, 50, 60]);
        assert_eq!(lefts(&each[8]), [0, 10, 20, 30, 40, 50, 60]);
        assert!(each[8].said.ends_with(": 3,500 ignored"), "{}", each[8].said);
    }
}
