//! `respond`: answers the waiting caller.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::{Effect, Event, Execution};
use crate::face::Mode;
use crate::flow::document::Node;
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use crate::flow::{ReplySpec, Trigger};
use crate::reply::{self, ReplyError};
use ringback_records::journal::EntryKind;
use ringback_records::reply::ReplyRecord;

#[derive(Debug)]
struct Respond {
    reply: ReplySpec,
    /// Whether the flow ends here.
    end: bool,
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a respond step", &keys("respondStep"))?;
    let value = members.get("respond")?;
    if parser.triggers.iter().all(|trigger| trigger.mode == Mode::Async) {
        parser.mistakes.push(node.mistake(
            "`respond` answers a caller that waits, but the trigger is `mode: async`: set `mode: sync`, or use the \
             trigger's `reply`",
        ));
    }
    let members = parser.object(value, "a respond step", &keys("respond"))?;
    // NB-30: where the flow is NocoBase's, a response ends it.
    let is_nocobase = |trigger: &Trigger| trigger.faces.first().is_some_and(|face| face.responding_ends());
    let ends = parser.triggers.first().is_some_and(is_nocobase);
    let end = members.get("end").and_then(|node| parser.boolean(node)).unwrap_or(ends);
    if ends && members.get("end").is_none() {
        let note = "this `respond` ends the flow, as a response node of NocoBase does; with `end: false` it goes on";
        parser.notes.push(node.mistake(note).to_string());
    }
    let reply = parser.reply_of(&members)?;
    Some(Box::new(Respond { reply, end }))
}

impl Kind for Respond {
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        if let ReplySpec::Plugin(call) = &self.reply {
            return Ok(Begin::Ask(Effect::BuildReply { call }));
        }
        let reply = match reply::render(&self.reply, &at.execution.scope()) {
            Ok(Some(reply)) => reply,
            Ok(None) => return Err(Failure::internal("a plugin's answer was rendered")),
            Err(ReplyError::Expression(error)) => return Err(error.into()),
            Err(error @ ReplyError::NotAllowed(_)) => return Err(Failure::new("reply_not_allowed", error.to_string())),
        };
        Ok(Begin::Write(EntryKind::Responded { reply: ReplyRecord::from(&reply), end: self.end, log: Vec::new() }))
    }

    fn after(&self, event: Event, _at: &At<'_, '_>) -> Result<EntryKind, Failure> {
        match event {
            Event::ReplyBuilt { reply, log } => {
                Ok(EntryKind::Responded { reply: ReplyRecord::from(&reply), end: self.end, log })
            }
            _ => Err(Failure::unexpected()),
        }
    }

    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next {
        let EntryKind::Responded { reply, end, .. } = line.kind else { return Next::Stay };
        execution.reply.get_or_insert_with(|| reply.clone().into());
        if *end { Next::End } else { Next::GoOn }
    }
}
