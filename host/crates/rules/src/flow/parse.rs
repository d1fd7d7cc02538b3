//! From a document to a flow: every mistake that can be seen is reported at once.

mod http;
mod ids;
mod names;
mod ticket;
mod trigger;

use super::document::{Kind, Member, Node};
use super::{Action, BodySpec, Flow, Mistake, OnTimeout, Parsed, Place, PluginMention, ReplySpec, Step, Trigger};
use crate::condition::Condition;
use crate::expression::{Cel, CompileError, JsonPath, Scope, Template};
use crate::face::Mode;
use crate::plugin_call::PluginCall;
use crate::reply;
use crate::suggest::suggest;
use names::{ResultName, Stands};
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::time::parse_duration;
use serde_json::Value;
use std::time::Duration;

/// Most steps of a flow, branches included.
const STEPS_MAX: usize = 500;
/// Deepest nesting of conditions and of `if`.
const NESTING_MAX: usize = 16;

const FLOW_KEYS: &[&str] = &["flow", "description", "steps"];
const STEP_KINDS: &[&str] = &["trigger", "plugin", "http", "ticket", "set", "if", "respond", "delay", "fail"];
const PLUGIN_STEP_KEYS: &[&str] = &["plugin", "with", "as"];
const IF_KEYS: &[&str] = &["if", "then", "else"];
const PLUGIN_KEYS: &[&str] = &["plugin", "with"];
const REPLY_KEYS: &[&str] = &["status", "headers", "json", "text", "type", "redirect_url"];
const RESPOND_KEYS: &[&str] = &["status", "headers", "json", "text", "type", "redirect_url", "plugin", "with", "end"];

/// Reads a flow of the given version.
///
/// # Errors
///
/// Every mistake that was found, in the order of the file.
pub fn parse(source: &str, version: u32) -> Result<Parsed, Vec<Mistake>> {
    let document = Node::read(source).map_err(|mistake| vec![mistake])?;
    let mut parser = Parser::default();
    let flow = parser.flow(&document, version);
    parser.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    parser.mistakes.dedup();
    match flow {
        Some(flow) if parser.mistakes.is_empty() => {
            let Parser { plugins, secrets, refused, notes, .. } = parser;
            Ok(Parsed { flow, plugins, secrets, refused, notes })
        }
        _ => Err(parser.mistakes),
    }
}

#[derive(Default)]
struct Parser {
    mistakes: Vec<Mistake>,
    plugins: Vec<PluginMention>,
    secrets: Vec<String>,
    refused: Vec<Mistake>,
    notes: Vec<String>,
    triggers: Vec<Trigger>,
    steps: Vec<Step>,
    /// Names that expressions may use, beyond the fixed ones: results of earlier steps.
    results: Vec<ResultName>,
    /// Where the expression stands that is read.
    stands: Stands,
    /// The name and the aliases of the trigger that is read.
    trigger_here: Option<(String, Vec<String>)>,
    /// The same of those before it.
    triggers_before: Vec<(String, Vec<String>)>,
    /// Triggers that tickets are for, each with the number of triggers before the ticket.
    ticket_triggers: Vec<(Place, String, usize)>,
    /// Whether expressions may use secrets here.
    secrets_allowed: bool,
}

/// The members of an object, by name.
struct Members<'a> {
    node: &'a Node,
    members: &'a [Member],
}

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a Node> {
        self.member(name).map(|member| &member.value)
    }

    fn member(&self, name: &str) -> Option<&'a Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Parser {
    fn flow(&mut self, document: &Node, version: u32) -> Option<Flow> {
        let members = self.object(document, "a flow", FLOW_KEYS)?;
        let name = self.required(&members, "flow").and_then(|node| self.name(node));
        if let Some(description) = members.get("description") {
            self.text(description);
        }
        let steps = self.required(&members, "steps")?;
        let Kind::List(items) = &steps.kind else {
            self.wrong(steps, "a list of steps");
            return None;
        };
        match items.first() {
            None => self.mistakes.push(steps.mistake("a flow needs at least one step, and the first is a `trigger`")),
            Some(first) if !is_trigger(first) => {
                self.mistakes.push(first.mistake("the first step must be a `trigger`: it starts executions"));
            }
            Some(_) => {}
        }
        for (index, item) in items.iter().enumerate() {
            self.step(item, index == 0, 0);
        }
        self.check_ticket_triggers();
        if self.steps.len() > STEPS_MAX {
            self.mistakes.push(steps.mistake(format!("the flow has more than {STEPS_MAX} steps")));
        }
        Some(Flow {
            name: name?,
            version,
            triggers: std::mem::take(&mut self.triggers),
            steps: std::mem::take(&mut self.steps),
        })
    }

    fn step(&mut self, node: &Node, first: bool, depth: usize) {
        let Kind::Object(list) = &node.kind else { return self.wrong(node, "a step: an object") };
        let kind = STEP_KINDS.iter().find(|kind| list.iter().any(|member| member.name == **kind));
        let Some(kind) = kind else {
            let found = list.first().map_or("nothing", |member| member.name.as_str());
            let at = list.first().map_or(&node.at, |member| &member.name_at);
            let suggestion = suggest(found, STEP_KINDS.iter().copied());
            let allowed = STEP_KINDS.join(", ");
            return self
                .mistakes
                .push(at.mistake(format!("there is no step `{found}`{suggestion}; allowed: {allowed}")));
        };
        match *kind {
            "trigger" => self.trigger(node, first, depth),
            "http" => self.http(node),
            "ticket" => self.ticket(node),
            "delay" => self.delay(node),
            "plugin" => self.plugin_step(node),
            "set" => self.set(node),
            "if" => self.if_step(node, depth),
            "respond" => self.respond(node),
            _ => self.fail(node),
        }
    }

    fn push(&mut self, node: &Node, action: Action) -> usize {
        self.steps.push(Step { path: node.at.path.clone(), action });
        self.steps.len() - 1
    }

    fn condition(&mut self, node: &Node, depth: usize) -> Option<Condition> {
        const FORMS: &[&str] = &["jsonpath", "plugin", "all", "any", "not"];
        if depth > NESTING_MAX {
            self.mistakes.push(node.mistake(format!("conditions may be nested {NESTING_MAX} deep")));
            return None;
        }
        if let Kind::Scalar(Value::String(source)) = &node.kind {
            return self.cel(node, source).map(Condition::Cel);
        }
        if has(node, "plugin") {
            return self.plugin_call(node, Role::Condition).map(Condition::Plugin);
        }
        let Kind::Object(list) = &node.kind else {
            self.wrong(node, "a CEL expression in quotes, or one of jsonpath, plugin, all, any, not");
            return None;
        };
        let members = self.object(node, "a condition", FORMS)?;
        let [only] = list.as_slice() else {
            self.mistakes.push(node.mistake(format!("a condition has exactly one of {}", FORMS.join(", "))));
            return None;
        };
        if let Some(path) = members.get("jsonpath") {
            let text = self.text(path)?;
            return match JsonPath::compile(text) {
                Ok(path) => Some(Condition::JsonPath(path)),
                Err(error) => {
                    self.compile_error(path, &error);
                    None
                }
            };
        }
        if only.name == "not" {
            return self.condition(&only.value, depth + 1).map(|condition| Condition::Not(Box::new(condition)));
        }
        let Kind::List(items) = &only.value.kind else {
            self.wrong(&only.value, "a list of conditions");
            return None;
        };
        if items.is_empty() {
            self.mistakes.push(only.value.mistake("give at least one condition"));
        }
        let conditions = items.iter().filter_map(|item| self.condition(item, depth + 1)).collect();
        Some(if only.name == "all" { Condition::All(conditions) } else { Condition::Any(conditions) })
    }

    fn plugin_step(&mut self, node: &Node) {
        let Some(members) = self.object(node, "a plugin step", PLUGIN_STEP_KEYS) else { return };
        let call = self.plugin_call_of(&members, Role::Step);
        let result = members.get("as").and_then(|node| {
            let name = self.text(node)?.to_owned();
            self.result_name(node, &name).then_some(name)
        });
        let Some(call) = call else { return };
        self.result(result.as_ref(), None);
        self.push(node, Action::Plugin { call, result });
    }

    fn set(&mut self, node: &Node) {
        let Some(members) = self.object(node, "a set step", &["set"]) else { return };
        let Some(value) = members.get("set") else { return };
        let Kind::Object(list) = &value.kind else { return self.wrong(value, "an object of names and values") };
        let mut values = Vec::new();
        for member in list {
            if self.result_name(&member.value, &member.name)
                && let Some(template) = self.template(&member.value)
            {
                values.push((member.name.clone(), template));
                self.result(Some(&member.name), None);
            }
        }
        self.push(node, Action::Set(values));
    }

    fn if_step(&mut self, node: &Node, depth: usize) {
        let Some(members) = self.object(node, "an if step", IF_KEYS) else { return };
        if depth >= NESTING_MAX {
            return self.mistakes.push(node.mistake(format!("`if` may be nested {NESTING_MAX} deep")));
        }
        let when = members.get("if").and_then(|node| {
            let source = self.text(node)?.to_owned();
            self.cel(node, &source)
        });
        let then = self.required(&members, "then");
        let (Some(when), Some(then)) = (when, then) else { return };
        let start = self.push(node, Action::If { when, otherwise: 0 });
        self.branch(then, depth);
        let end_of_then = members.get("else").map(|otherwise| {
            let jump = self.push(otherwise, Action::Jump(0));
            (jump, otherwise)
        });
        self.set_target(start);
        if let Some((jump, otherwise)) = end_of_then {
            self.branch(otherwise, depth);
            self.set_target(jump);
        }
    }

    /// Lets an earlier `if` or jump go to the next step that is pushed.
    fn set_target(&mut self, index: usize) {
        let next = self.steps.len();
        match self.steps.get_mut(index).map(|step| &mut step.action) {
            Some(Action::If { otherwise, .. }) => *otherwise = next,
            Some(Action::Jump(target)) => *target = next,
            Some(Action::Trigger { on_timeout, .. }) => *on_timeout = OnTimeout::GoTo(next),
            _ => {}
        }
    }

    fn branch(&mut self, node: &Node, depth: usize) {
        let Kind::List(items) = &node.kind else { return self.wrong(node, "a list of steps") };
        for item in items {
            self.step(item, false, depth + 1);
        }
    }

    fn respond(&mut self, node: &Node) {
        let Some(members) = self.object(node, "a respond step", &["respond"]) else { return };
        let Some(value) = members.get("respond") else { return };
        if self.triggers.iter().all(|trigger| trigger.mode == Mode::Async) {
            self.mistakes.push(node.mistake(
                "`respond` answers a caller that waits, but the trigger is `mode: async`: set `mode: sync`, or use the \
                 trigger's `reply`",
            ));
        }
        let Some(members) = self.object(value, "a respond step", RESPOND_KEYS) else { return };
        // NB-30: where the flow is NocoBase's, a response ends it.
        let is_nocobase = |trigger: &Trigger| trigger.faces.first().is_some_and(|face| face.responding_ends());
        let ends = self.triggers.first().is_some_and(is_nocobase);
        let end = members.get("end").and_then(|node| self.boolean(node)).unwrap_or(ends);
        if ends && members.get("end").is_none() {
            let note =
                "this `respond` ends the flow, as a response node of NocoBase does; with `end: false` it goes on";
            self.notes.push(node.mistake(note).to_string());
        }
        if let Some(reply) = self.reply_of(&members) {
            self.push(node, Action::Respond { reply, end });
        }
    }

    fn fail(&mut self, node: &Node) {
        let Some(members) = self.object(node, "a fail step", &["fail"]) else { return };
        let Some(value) = members.get("fail") else { return };
        let message = match &value.kind {
            Kind::Object(_) => self
                .object(value, "a fail step", &["message"])
                .and_then(|members| self.required(&members, "message"))
                .and_then(|node| self.template(node)),
            _ => self.text(value).and_then(|_| self.template(value)),
        };
        if let Some(message) = message {
            self.push(node, Action::Fail { message });
        }
    }

    fn reply(&mut self, node: &Node) -> Option<ReplySpec> {
        if has(node, "plugin") {
            return self.plugin_call(node, Role::Responder).map(ReplySpec::Plugin);
        }
        let members = self.object(node, "a reply", REPLY_KEYS)?;
        self.reply_of(&members)
    }

    fn reply_of(&mut self, members: &Members<'_>) -> Option<ReplySpec> {
        if members.get("plugin").is_some() {
            for key in REPLY_KEYS {
                if let Some(member) = members.member(key) {
                    self.mistakes
                        .push(member.name_at.mistake(format!("with `plugin`, the plugin decides about `{key}`")));
                }
            }
            return self.plugin_call_of(members, Role::Responder).map(ReplySpec::Plugin);
        }
        let kind =
            members.get("type").and_then(|node| self.choice(node, "a type of answer", &["response", "redirect"]));
        let url = members.get("redirect_url");
        let redirects = kind == Some("redirect") || (kind.is_none() && url.is_some());
        let (default, allowed, expected) = match redirects {
            true => (303, reply::is_redirect as fn(u16) -> bool, "a status of a redirect: 301, 302, 303, 307 or 308"),
            false => (200, reply::is_status as fn(u16) -> bool, "a status from 200 to 599"),
        };
        let status = match members.get("status") {
            None => Template::Literal(default.into()),
            Some(node) => {
                let template = self.template(node)?;
                if let Some(value) = template.constant()
                    && !value.as_u64().and_then(|status| u16::try_from(status).ok()).is_some_and(allowed)
                {
                    self.wrong(node, expected);
                }
                template
            }
        };
        let headers = members.get("headers").map_or_else(Vec::new, |node| self.headers(node, reply::check_header_name));
        if !redirects {
            if let Some(url) = members.member("redirect_url") {
                self.mistakes.push(url.name_at.mistake("`redirect_url` is for `type: redirect`"));
            }
            let constant = status.constant().and_then(|status| u16::try_from(status.as_u64()?).ok());
            if let Some(status) = constant.filter(|status| reply::is_without_body(*status)) {
                self.no_body(members, &format!("an answer with the status {status} has no body"));
            }
            let body = self.body_of(members, "an answer")?;
            return Some(ReplySpec::Template { status, headers, body });
        }
        self.no_body(members, "a redirect has no body");
        let url = self.required(members, "redirect_url")?;
        self.text(url)?;
        Some(ReplySpec::Redirect { status, headers, url: self.template(url)? })
    }

    fn no_body(&mut self, members: &Members<'_>, why: &str) {
        for key in ["json", "text"] {
            if let Some(member) = members.member(key) {
                self.mistakes.push(member.name_at.mistake(why));
            }
        }
    }

    /// The body of an answer or a request, as `json` or as `text`.
    fn body_of(&mut self, members: &Members<'_>, of: &str) -> Option<BodySpec> {
        match (members.get("json"), members.get("text")) {
            (Some(_), Some(text)) => {
                self.mistakes.push(text.mistake(format!("{of} has either `json` or `text`")));
                None
            }
            (Some(json), None) => self.template(json).map(BodySpec::Json),
            (None, Some(text)) => self.template(text).map(BodySpec::Text),
            (None, None) => Some(BodySpec::Empty),
        }
    }

    /// Headers by their names in lower case, each of which `check` allows.
    fn headers(&mut self, node: &Node, check: fn(&str) -> Result<(), String>) -> Vec<(String, Template)> {
        let Kind::Object(members) = &node.kind else {
            self.wrong(node, "an object of header names and values");
            return Vec::new();
        };
        let mut headers = Vec::new();
        for member in members {
            let name = member.name.to_ascii_lowercase();
            if let Err(reason) = check(&name) {
                self.mistakes.push(member.name_at.mistake(reason));
            } else if let Some(template) = self.template(&member.value) {
                headers.push((name, template));
            }
        }
        headers
    }

    fn plugin_call(&mut self, node: &Node, role: Role) -> Option<PluginCall> {
        let members = self.object(node, "a plugin", PLUGIN_KEYS)?;
        self.plugin_call_of(&members, role)
    }

    fn plugin_call_of(&mut self, members: &Members<'_>, role: Role) -> Option<PluginCall> {
        let name_node = self.required(members, "plugin")?;
        let plugin = self.name(name_node);
        let with_node = members.get("with");
        let with = match with_node {
            Some(node) => self.template(node)?,
            None => Template::Literal(Value::Null),
        };
        let plugin = plugin?;
        self.plugins.push(PluginMention {
            plugin: plugin.clone(),
            role,
            config: with.constant(),
            name_at: name_node.at.clone(),
            config_at: with_node.map_or_else(|| members.node.at.clone(), |node| node.at.clone()),
        });
        Some(PluginCall::new(plugin, with))
    }

    fn template(&mut self, node: &Node) -> Option<Template> {
        Some(match &node.kind {
            Kind::Scalar(Value::String(text)) => match Template::text(text) {
                Ok(template) => {
                    let mut known = true;
                    for cel in template.expressions() {
                        known &= self.check_names(node, cel);
                    }
                    return known.then_some(template);
                }
                Err(error) => {
                    self.compile_error(node, &error);
                    return None;
                }
            },
            Kind::Scalar(value) => Template::Literal(value.clone()),
            Kind::List(items) => {
                let templates: Vec<_> = items.iter().filter_map(|item| self.template(item)).collect();
                (templates.len() == items.len()).then_some(Template::List(templates))?
            }
            Kind::Object(members) => {
                let templates: Vec<_> = members
                    .iter()
                    .filter_map(|member| Some((member.name.clone(), self.template(&member.value)?)))
                    .collect();
                (templates.len() == members.len()).then_some(Template::Object(templates))?
            }
        })
    }

    fn cel(&mut self, node: &Node, source: &str) -> Option<Cel> {
        match Cel::compile(source) {
            Ok(cel) => self.check_names(node, &cel).then_some(cel),
            Err(error) => {
                self.compile_error(node, &error);
                None
            }
        }
    }

    fn result_name(&mut self, node: &Node, name: &str) -> bool {
        let mut characters = name.chars();
        let is_identifier = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
            && name.len() <= 64;
        if !is_identifier {
            self.mistakes.push(node.mistake(format!("`{name}` cannot name a result: use letters, digits and `_`")));
        } else if Scope::is_reserved(name) {
            self.mistakes.push(node.mistake(format!("`{name}` has a meaning of its own; use another name")));
        } else {
            return true;
        }
        false
    }

    fn compile_error(&mut self, node: &Node, error: &CompileError) {
        // A text on one line without escapes is offset by its own characters, and by one for an opening quote.
        let offset = error.offset.unwrap_or_default();
        let mut mistake = node.mistake(&error.message);
        if offset > 0 {
            mistake.detail = format!("{} (at character {} of the text)", mistake.detail, offset + 1);
        }
        self.mistakes.push(mistake);
    }

    fn object<'a>(&mut self, node: &'a Node, what: &str, allowed: &[&str]) -> Option<Members<'a>> {
        let Kind::Object(members) = &node.kind else {
            self.wrong(node, &format!("{what}: an object with {}", allowed.join(", ")));
            return None;
        };
        for member in members {
            if !allowed.contains(&member.name.as_str()) {
                let suggestion = suggest(&member.name, allowed.iter().copied());
                self.mistakes.push(member.name_at.mistake(format!(
                    "{what} has no `{}`{suggestion}; allowed: {}",
                    member.name,
                    allowed.join(", ")
                )));
            }
        }
        Some(Members { node, members })
    }

    fn required<'a>(&mut self, members: &Members<'a>, name: &str) -> Option<&'a Node> {
        let found = members.get(name);
        if found.is_none() {
            self.mistakes.push(members.node.mistake(format!("`{name}` is missing")));
        }
        found
    }

    fn text<'a>(&mut self, node: &'a Node) -> Option<&'a str> {
        match &node.kind {
            Kind::Scalar(Value::String(text)) => Some(text),
            _ => {
                self.wrong(node, "a text");
                None
            }
        }
    }

    fn boolean(&mut self, node: &Node) -> Option<bool> {
        match &node.kind {
            Kind::Scalar(Value::Bool(value)) => Some(*value),
            _ => {
                self.wrong(node, "true or false");
                None
            }
        }
    }

    fn name(&mut self, node: &Node) -> Option<Name> {
        match self.text(node)?.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.mistakes.push(node.mistake(error.to_string()));
                None
            }
        }
    }

    fn header_name(&mut self, node: &Node) -> Option<String> {
        let name = self.text(node)?.to_ascii_lowercase();
        if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            self.wrong(node, "the name of a header");
            return None;
        }
        Some(name)
    }

    fn duration(&mut self, node: &Node, min: Duration, max: Duration) -> Option<Duration> {
        match parse_duration(self.text(node)?) {
            Ok(duration) if (min..=max).contains(&duration) => Some(duration),
            Ok(_) => {
                self.wrong(node, &format!("a duration from {min:?} to {max:?}"));
                None
            }
            Err(message) => {
                self.mistakes.push(node.mistake(message));
                None
            }
        }
    }

    fn choice<'c>(&mut self, node: &Node, what: &str, allowed: &[&'c str]) -> Option<&'c str> {
        let text = self.text(node)?;
        let found = allowed.iter().find(|choice| **choice == text).copied();
        if found.is_none() {
            let suggestion = suggest(text, allowed.iter().copied());
            let detail = format!("`{text}` is not {what}{suggestion}; allowed: {}", allowed.join(", "));
            self.mistakes.push(node.mistake(detail));
        }
        found
    }

    fn wrong(&mut self, node: &Node, expected: &str) {
        self.mistakes.push(node.mistake(format!("expected {expected}, found {}", node.describe())));
    }
}

fn is_trigger(node: &Node) -> bool {
    has(node, "trigger")
}

fn has(node: &Node, name: &str) -> bool {
    matches!(&node.kind, Kind::Object(members) if members.iter().any(|member| member.name == name))
}

#[cfg(test)]
mod tests;
