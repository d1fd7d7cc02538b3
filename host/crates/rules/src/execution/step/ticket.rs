//! `ticket`: makes a ticket, or closes one.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::{Effect, Event, Execution};
use crate::expression::Template;
use crate::flow::document::Node;
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use crate::flow::{Mistake, PluginMention};
use ringback_records::journal::EntryKind;
use ringback_records::plugin::Role;
use ringback_records::ticket::TicketRequest;

/// The members of the result of a ticket that is made, and of one that is closed.
const TICKET_RESULT: &[&str] = &["url", "state", "id"];
const CLOSED_RESULT: &[&str] = &["id"];

#[derive(Debug)]
struct Ticket {
    /// Becomes what the API takes.
    request: Template,
    result: Option<String>,
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a ticket step", &keys("ticketStep"))?;
    let mistakes = parser.mistakes.len();
    let value = members.get("ticket")?;
    let ticket = parser.object(value, "a ticket", &keys("ticket"))?;
    if ticket.get("close").is_some() {
        for member in ticket.members.iter().filter(|member| member.name != "close") {
            let detail = format!("a step closes a ticket or makes one: `{}` is for one that is made", member.name);
            parser.mistakes.push(member.name_at.mistake(detail));
        }
    }
    if let Some(response) = ticket.get("response") {
        parser.object(response, "the response of a ticket", &keys("storedResponse"));
    }
    if let Some(handler) = ticket.get("handler") {
        parser.handler(handler);
    }
    let result = parser.name_of_result(&members);
    let request = parser.template(value)?;
    let closes = ticket.get("close").is_some();
    if let Some(constant) = request.constant().filter(|_| !closes && parser.mistakes.len() == mistakes)
        && let Err(error) = serde_json::from_value::<TicketRequest>(constant)
    {
        parser.mistakes.push(value.mistake(error.to_string()));
        return None;
    }
    parser.result(result.as_ref(), Some(if closes { CLOSED_RESULT } else { TICKET_RESULT }));
    Some(Box::new(Ticket { request, result }))
}

impl Kind for Ticket {
    fn begin<'f>(&'f self, _at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        Ok(Begin::Ask(Effect::MakeTicket { request: &self.request }))
    }

    fn after(&self, event: Event, _at: &At<'_, '_>) -> Result<EntryKind, Failure> {
        match event {
            Event::TicketMade(result) => Ok(EntryKind::Ticket { name: self.result.clone(), result }),
            _ => Err(Failure::unexpected()),
        }
    }

    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next {
        let EntryKind::Ticket { name, result } = line.kind else { return Next::Stay };
        execution.keep(name.as_ref(), result);
        Next::GoOn
    }
}

impl Parser {
    fn handler(&mut self, node: &Node) {
        let Some(handler) = self.object(node, "the handler of a ticket", &keys("handler")) else { return };
        let found: Vec<_> = ["flow", "trigger", "plugin"].iter().filter_map(|name| handler.member(name)).collect();
        let [one] = found[..] else {
            return self.mistakes.push(node.mistake("a handler has exactly one of flow, trigger, plugin"));
        };
        match one.name.as_str() {
            // Of the flow of another execution, which is known when the step runs.
            "trigger" if handler.get("execution").is_some() => drop(self.text(&one.value)),
            "trigger" => {
                if let Some(name) = self.text(&one.value) {
                    self.ticket_triggers.push((one.value.at.clone(), name.to_owned(), self.triggers.len()));
                }
            }
            "plugin" => {
                let with = handler.get("with");
                let config = with.and_then(|node| self.template(node)?.constant());
                if let Some(plugin) = self.name(&one.value) {
                    let config_at = with.map_or_else(|| node.at.clone(), |node| node.at.clone());
                    let name_at = one.value.at.clone();
                    self.plugins.push(PluginMention {
                        plugin,
                        role: Role::Responder,
                        config,
                        name_at,
                        config_at,
                        script: None,
                    });
                }
            }
            _ => drop(self.name(&one.value)),
        }
        if let Some(execution) = handler.member("execution").filter(|_| one.name != "trigger") {
            self.mistakes.push(execution.name_at.mistake("`execution` is for a `trigger`, at which it waits or will"));
        }
        if let Some(with) = handler.member("with").filter(|_| one.name != "plugin") {
            self.mistakes.push(with.name_at.mistake("`with` is for a `plugin`"));
        }
    }

    /// A ticket is called after it was made: its trigger must come later in the flow.
    pub(crate) fn check_ticket_triggers(&mut self) {
        let later = |name: &str, before: usize| {
            let mut later = self.triggers.iter().skip(before.max(1));
            later.any(|trigger| trigger.id.as_str() == name || trigger.name == name)
        };
        let wrong = self.ticket_triggers.iter().filter(|(_, name, before)| !later(name, *before));
        let mistakes: Vec<Mistake> = wrong
            .map(|(at, name, before)| {
                let known: Vec<&str> =
                    self.triggers.iter().skip((*before).max(1)).map(|trigger| trigger.id.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                at.mistake(format!("no trigger `{name}` comes after this step; those that do: {known}"))
            })
            .collect();
        self.mistakes.extend(mistakes);
    }
}
