//! `delay`: pauses.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::{Event, Execution};
use crate::expression::{Scope, Template};
use crate::flow::document::{self, Node};
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use ringback_records::journal::EntryKind;
use ringback_records::time::{Timestamp, parse_duration};
use serde_json::Value;

#[derive(Debug)]
enum Delay {
    /// A duration: `10m`.
    For(Template),
    /// A point in time, RFC 3339.
    Until(Template),
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a delay step", &keys("delayStep"))?;
    let value = members.get("delay")?;
    let delay = match &value.kind {
        document::Kind::Object(_) => {
            let members = parser.object(value, "a delay step", &keys("until"))?;
            let until = parser.required(&members, "until")?;
            parser.text(until)?;
            Delay::Until(parser.template(until)?)
        }
        _ => {
            parser.text(value)?;
            Delay::For(parser.template(value)?)
        }
    };
    let (Delay::For(template) | Delay::Until(template)) = &delay;
    if let Some(Value::String(text)) = template.constant() {
        let wrong = match &delay {
            Delay::For(_) => parse_duration(&text).err(),
            Delay::Until(_) => parse_time(&text).err(),
        };
        if let Some(message) = wrong {
            parser.mistakes.push(value.mistake(message));
            return None;
        }
    }
    Some(Box::new(delay))
}

impl Delay {
    /// When the pause is over.
    fn until(&self, scope: &Scope<'_>, now: Timestamp) -> Result<Timestamp, Failure> {
        let (Self::For(template) | Self::Until(template)) = self;
        let text = template.render_text(scope)?;
        let until = match self {
            Self::For(_) => parse_duration(&text).map(|duration| now.saturating_add(duration)),
            Self::Until(_) => parse_time(&text),
        };
        until.map_err(|message| Failure::new("expression_failed", message))
    }
}

impl Kind for Delay {
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        let until = self.until(&at.execution.scope(), at.now)?;
        Ok(Begin::Write(EntryKind::Delayed { until }))
    }

    fn after(&self, event: Event, _at: &At<'_, '_>) -> Result<EntryKind, Failure> {
        match event {
            Event::Woken => Ok(EntryKind::Woken),
            _ => Err(Failure::unexpected()),
        }
    }

    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next {
        match line.kind {
            EntryKind::Delayed { until } => {
                execution.wait(line, None, None, Some(*until));
                Next::Stay
            }
            _ => Next::GoOn,
        }
    }
}

/// A point in time.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let shown: String = text.chars().take(80).collect();
    text.parse().map_err(|_| format!("`{shown}` is not a time; write it like 2026-01-31T12:00:00Z"))
}
