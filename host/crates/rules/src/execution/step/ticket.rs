//! `ticket`: makes a ticket, or closes one.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::{Effect, Event, Execution};
use crate::expression::Template;
use crate::flow::document::{self, Member, Node};
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use crate::flow::{Mistake, PluginMention};
use crate::ticket_request::{check_domain, check_parameter};
use crate::ticket_response;
use ringback_records::journal::EntryKind;
use ringback_records::name::{ExecutionId, TicketId};
use ringback_records::plugin::Role;
use ringback_records::ticket::{ResponseType, TicketResponse};
use ringback_records::time::parse_lifetime;
use serde_json::{Map, Value};

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
    let value = members.get("ticket")?;
    let mistakes = parser.mistakes.len();
    let ticket = parser.object(value, "a ticket", &keys("ticket"))?;
    let are_known = parser.mistakes.len() == mistakes;
    let closes = ticket.get("close").is_some();
    if closes {
        for member in ticket.members.iter().filter(|member| member.name != "close") {
            let detail = format!("a step closes a ticket or makes one: `{}` is for one that is made", member.name);
            parser.mistakes.push(member.name_at.mistake(detail));
        }
    } else if are_known && ticket.get("handler").is_none() && ticket.get("response").is_none() {
        parser.refused.push(value.mistake("give a `handler`, a `response`, or both"));
    }
    for Member { name, value, .. } in ticket.members {
        match name.as_str() {
            "handler" => parser.handler(value),
            "response" => parser.stored_response(value),
            name => parser.refused.extend(wrong_member(name, value).map(|detail| value.mistake(detail))),
        }
    }
    let result = parser.name_of_result(&members);
    let request = parser.template(value)?;
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

/// What is wrong with a member of a ticket, as far as it is the same for every execution.
fn wrong_member(name: &str, node: &Node) -> Option<String> {
    let wrong = |expected: &str| Err(format!("expected {expected}, found {}", node.describe()));
    let checked = match (name, node.constant()?) {
        // As if it were not there.
        ("state_parameter" | "alternative_domain" | "expires_in", Value::Null) => Ok(()),
        ("state_parameter" | "alternative_domain", Value::String(text)) if text.is_empty() => Ok(()),
        ("state_parameter", Value::String(text)) => check_parameter(&text),
        ("alternative_domain", Value::String(text)) => check_domain(&text).map(drop),
        ("expires_in", Value::String(text)) => parse_lifetime(&text).map(drop),
        ("close", Value::String(text)) if text.parse::<TicketId>().is_ok() => Ok(()),
        ("close", _) => wrong("the `id` of a ticket"),
        ("state_parameter" | "alternative_domain", _) => wrong("a text"),
        ("expires_in", _) => wrong("a duration, like 1h"),
        ("retryable" | "allow_multiple" | "confirm", Value::Bool(_)) => Ok(()),
        ("retryable" | "allow_multiple" | "confirm", _) => wrong("true or false"),
        _ => Ok(()),
    };
    checked.err()
}

/// The same of a member of the response.
fn wrong_in_response(name: &str, node: &Node) -> Option<String> {
    let is_right = match (name, node.constant()?) {
        ("type", Value::String(text)) => matches!(text.as_str(), "redirect" | "response"),
        ("redirect_url", value) => value.is_string() || value.is_null(),
        ("code", value) => value.is_null() || value.as_u64().is_some_and(|code| u16::try_from(code).is_ok()),
        ("headers", value) => value.is_object(),
        (name, _) => name != "type",
    };
    let expected = match name {
        "type" => "`redirect` or `response`",
        "code" => "a status from 200 to 599",
        "headers" => "an object of header names and values",
        _ => "a text",
    };
    (!is_right).then(|| format!("expected {expected}, found {}", node.describe()))
}

impl Parser {
    fn stored_response(&mut self, node: &Node) {
        let Some(members) = self.object(node, "the response of a ticket", &keys("storedResponse")) else { return };
        let refused = self.refused.len();
        for Member { name, value, .. } in members.members {
            self.refused.extend(wrong_in_response(name, value).map(|detail| value.mistake(detail)));
        }
        if let Some(url) = members.get("redirect_url") {
            self.redirect(url);
        }
        let kind = members.get("type").map(Node::constant);
        // Of what is known only later, it is not known either what goes with it.
        if self.refused.len() > refused || kind == Some(None) {
            return;
        }
        let constant = |name: &str| members.get(name).and_then(Node::constant);
        let headers = match members.get("headers").map(|headers| &headers.kind) {
            Some(document::Kind::Object(headers)) => {
                headers.iter().filter_map(|header| Some((header.name.clone(), header.value.constant()?))).collect()
            }
            _ => Map::new(),
        };
        let response = TicketResponse {
            kind: if constant("type") == Some("redirect".into()) {
                ResponseType::Redirect
            } else {
                ResponseType::Response
            },
            redirect_url: members
                .get("redirect_url")
                .map(|node| node.constant())
                .filter(|url| *url != Some(Value::Null))
                .map(|_| "/".to_owned()),
            body: constant("body").filter(|body| !body.is_null()),
            code: constant("code").and_then(|code| u16::try_from(code.as_u64()?).ok()),
            headers,
        };
        if let Err(detail) = ticket_response::check(&response, |_| Ok(())) {
            self.refused.push(node.mistake(detail));
        }
    }

    fn handler(&mut self, node: &Node) {
        let Some(handler) = self.object(node, "the handler of a ticket", &keys("handler")) else { return };
        let found: Vec<_> = ["flow", "trigger", "plugin"].iter().filter_map(|name| handler.member(name)).collect();
        let [one] = found[..] else {
            return self.mistakes.push(node.mistake("a handler has exactly one of flow, trigger, plugin"));
        };
        match one.name.as_str() {
            // Of the flow of another execution, which is known when the step runs.
            "trigger" if handler.get("execution").is_some() => {
                let id = handler.get("execution").and_then(|node| Some((node, node.constant()?)));
                let is_id = |value: &Value| value.as_str().is_some_and(|id| id.parse::<ExecutionId>().is_ok());
                if let Some((node, _)) = id.filter(|(_, value)| !is_id(value)) {
                    let detail = format!("expected the id of an execution, found {}", node.describe());
                    self.refused.push(node.mistake(detail));
                }
                self.text(&one.value);
            }
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
