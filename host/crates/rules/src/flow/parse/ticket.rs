//! Steps that make tickets, and close them.

use super::Parser;
use crate::flow::Action;
use crate::flow::document::Node;
use crate::flow::{Mistake, PluginMention};
use ringback_records::plugin::Role;
use ringback_records::ticket::TicketRequest;

pub(super) const TICKET_STEP_KEYS: &[&str] = &["ticket", "as"];
pub(super) const TICKET_KEYS: &[&str] = &[
    "handler",
    "state_parameter",
    "retryable",
    "allow_multiple",
    "confirm",
    "alternative_domain",
    "expires_in",
    "response",
    "close",
];
pub(super) const HANDLER_KEYS: &[&str] = &["flow", "execution", "trigger", "plugin", "with"];
/// The members of the result of a ticket that is made, and of one that is closed.
const TICKET_RESULT: &[&str] = &["url", "state", "id"];
const CLOSED_RESULT: &[&str] = &["id"];
pub(super) const RESPONSE_KEYS: &[&str] = &["type", "redirect_url", "body", "code", "headers"];

impl Parser {
    pub(super) fn ticket(&mut self, node: &Node) {
        let Some(members) = self.object(node, "a ticket step", TICKET_STEP_KEYS) else { return };
        let mistakes = self.mistakes.len();
        let Some(value) = members.get("ticket") else { return };
        let Some(ticket) = self.object(value, "a ticket", TICKET_KEYS) else { return };
        if ticket.get("close").is_some() {
            for member in ticket.members.iter().filter(|member| member.name != "close") {
                let detail = format!("a step closes a ticket or makes one: `{}` is for one that is made", member.name);
                self.mistakes.push(member.name_at.mistake(detail));
            }
        }
        if let Some(response) = ticket.get("response") {
            self.object(response, "the response of a ticket", RESPONSE_KEYS);
        }
        if let Some(handler) = ticket.get("handler") {
            self.handler(handler);
        }
        let result = members.get("as").and_then(|node| {
            let name = self.text(node)?.to_owned();
            self.result_name(node, &name).then_some(name)
        });
        let Some(request) = self.template(value) else { return };
        let closes = ticket.get("close").is_some();
        if let Some(constant) = request.constant().filter(|_| !closes && self.mistakes.len() == mistakes)
            && let Err(error) = serde_json::from_value::<TicketRequest>(constant)
        {
            return self.mistakes.push(value.mistake(error.to_string()));
        }
        self.result(result.as_ref(), Some(if closes { CLOSED_RESULT } else { TICKET_RESULT }));
        self.push(node, Action::Ticket { request, result });
    }

    fn handler(&mut self, node: &Node) {
        let Some(handler) = self.object(node, "the handler of a ticket", HANDLER_KEYS) else { return };
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
                    self.plugins.push(PluginMention { plugin, role: Role::Responder, config, name_at, config_at });
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
    pub(super) fn check_ticket_triggers(&mut self) {
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
