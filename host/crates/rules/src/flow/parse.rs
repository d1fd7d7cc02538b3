//! From a document to a flow: every mistake that can be seen is reported at once.

mod body;
mod files;
mod ids;
mod names;
mod script;
mod trigger;
mod verify;

pub use files::{MissingFile, missing_files, with_files};
pub(crate) use trigger::LONGEST;

use super::document::{Kind, Member, Node};
use super::schema::{keys, within};
use super::{BodySpec, Flow, Mistake, Parsed, Place, PluginMention, ReplySpec, Step, Trigger};
use crate::condition::Condition;
use crate::execution::{KINDS, Read};
use crate::expression::{Cel, CompileError, JsonPath, Scope, Template, as_text, is_keyword};
use crate::plugin_call::PluginCall;
use crate::redirect::origin_of;
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
pub(crate) const NESTING_MAX: usize = 16;

/// Reads a flow of the given version.
///
/// # Errors
///
/// Every mistake that was found, in the order of the file.
pub fn parse(source: &str, version: u32) -> Result<Parsed, Vec<Mistake>> {
    parse_with(KINDS, source, version)
}

/// Reads a flow whose steps are of these kinds.
pub(crate) fn parse_with(kinds: &[(&'static str, Read)], source: &str, version: u32) -> Result<Parsed, Vec<Mistake>> {
    let (flow, parser) = read(kinds, source, version).map_err(|mistake| vec![mistake])?;
    let Parser { mut mistakes, plugins, secrets, secrets_sent, mut refused, notes, .. } = parser;
    match flow {
        Some(flow) if mistakes.is_empty() => {
            in_order(&mut refused);
            Ok(Parsed { flow, plugins, secrets, secrets_sent, refused, notes })
        }
        _ => {
            mistakes.append(&mut refused);
            in_order(&mut mistakes);
            Err(mistakes)
        }
    }
}

/// The scripts of a flow that may have mistakes elsewhere.
pub fn scripts(source: &str) -> Vec<PluginMention> {
    let plugins = read(KINDS, source, 0).map(|(_, parser)| parser.plugins).unwrap_or_default();
    plugins.into_iter().filter(|mention| mention.script.is_some()).collect()
}

fn read(kinds: &[(&'static str, Read)], source: &str, version: u32) -> Result<(Option<Flow>, Parser), Mistake> {
    let document = Node::read(source)?;
    let mut parser = Parser { kinds: kinds.to_vec(), source: source.to_owned(), ..Parser::default() };
    let flow = parser.flow(&document, version);
    Ok((flow, parser))
}

/// Sorts mistakes as their places follow each other in the file, each once.
pub fn in_order(mistakes: &mut Vec<Mistake>) {
    mistakes.sort_by_key(|mistake| (mistake.file.clone(), mistake.line, mistake.column));
    mistakes.dedup();
}

#[derive(Default)]
pub(crate) struct Parser {
    kinds: Vec<(&'static str, Read)>,
    /// The file, for the places in its texts.
    source: String,
    /// The name of the flow.
    flow: Option<Name>,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) plugins: Vec<PluginMention>,
    pub(crate) secrets: Vec<String>,
    pub(crate) secrets_sent: Vec<String>,
    /// Mistakes that refuse a deployment: a flow that was deployed by an earlier version goes on as it is.
    pub(crate) refused: Vec<Mistake>,
    pub(crate) notes: Vec<String>,
    pub(crate) triggers: Vec<Trigger>,
    /// Those of the block that is read.
    steps: Vec<Step>,
    /// How many blocks are around it.
    pub(crate) depth: usize,
    /// Whether the step that is read is the flow's first.
    is_first: bool,
    /// The number that the next step has.
    number: usize,
    /// Names that expressions may use, beyond the fixed ones: results of earlier steps.
    results: Vec<ResultName>,
    /// Where the expression stands that is read.
    stands: Stands,
    /// The name and the aliases of the trigger that is read.
    trigger_here: Option<(String, Vec<String>)>,
    /// The same of those before it.
    triggers_before: Vec<(String, Vec<String>)>,
    /// Triggers that tickets are for, each with the number of triggers before the ticket.
    pub(crate) ticket_triggers: Vec<(Place, String, usize)>,
    /// Whether expressions may use secrets here.
    pub(crate) secrets_allowed: bool,
    /// The files that it brings along.
    files: files::Files,
}

/// The members of an object, by name.
pub(crate) struct Members<'a> {
    node: &'a Node,
    pub(crate) members: &'a [Member],
}

impl<'a> Members<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a Node> {
        self.member(name).map(|member| &member.value)
    }

    pub(crate) fn member(&self, name: &str) -> Option<&'a Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Parser {
    fn flow(&mut self, document: &Node, version: u32) -> Option<Flow> {
        let members = self.object(document, "a flow", &keys("flow"))?;
        let name = self.required(&members, "flow").and_then(|node| self.name(node));
        self.flow = name.clone();
        if let Some(description) = members.get("description") {
            self.text(description);
        }
        if let Some(files) = members.get("files") {
            self.read_files(files);
        }
        let steps = self.required(&members, "steps")?;
        let Kind::List(items) = &steps.kind else {
            self.wrong(steps, "a list of steps");
            return None;
        };
        match items.first() {
            None => self.mistakes.push(steps.mistake("a flow needs at least one step, and the first is a `trigger`")),
            Some(first) if !has(first, "trigger") => {
                self.mistakes.push(first.mistake("the first step must be a `trigger`: it starts executions"));
            }
            Some(_) => {}
        }
        for (index, item) in items.iter().enumerate() {
            self.is_first = index == 0;
            self.step(item);
        }
        self.check_ticket_triggers();
        self.check_files();
        if self.number > STEPS_MAX {
            self.mistakes.push(steps.mistake(format!("the flow has more than {STEPS_MAX} steps")));
        }
        Some(Flow {
            name: name?,
            version,
            triggers: std::mem::take(&mut self.triggers),
            steps: std::mem::take(&mut self.steps),
        })
    }

    fn step(&mut self, node: &Node) {
        let Kind::Object(list) = &node.kind else { return self.wrong(node, "a step: an object") };
        let kind = self.kinds.iter().find(|(word, _)| list.iter().any(|member| member.name == *word));
        let Some((_, read)) = kind else {
            let found = list.first().map_or("nothing", |member| member.name.as_str());
            let at = list.first().map_or(&node.at, |member| &member.name_at);
            let words: Vec<&str> = self.kinds.iter().map(|(word, _)| *word).collect();
            let suggestion = suggest(found, words.iter().copied());
            let allowed = words.join(", ");
            return self
                .mistakes
                .push(at.mistake(format!("there is no step `{found}`{suggestion}; allowed: {allowed}")));
        };
        let (read, number) = (*read, self.number);
        self.number += 1;
        if let Some(kind) = read(self, node) {
            self.steps.push(Step { path: node.at.path.clone(), number, kind });
        }
    }

    /// A step that comes before the one that is read, and is part of it.
    pub(crate) fn step_before(&mut self, path: String, kind: Box<dyn crate::execution::step::Kind>) {
        self.steps.push(Step { path, number: self.number.saturating_sub(1), kind });
    }

    /// The steps of a block.
    pub(crate) fn block(&mut self, node: &Node) -> Vec<Step> {
        let Kind::List(items) = &node.kind else {
            self.wrong(node, "a list of steps");
            return Vec::new();
        };
        let outer = std::mem::take(&mut self.steps);
        self.is_first = false;
        self.depth += 1;
        for item in items {
            self.step(item);
        }
        self.depth -= 1;
        std::mem::replace(&mut self.steps, outer)
    }

    /// The steps of a block that is skipped where another way is taken: a jump was a step of its own once, and had a number.
    pub(crate) fn block_after_another(&mut self, node: &Node) -> Vec<Step> {
        self.number += 1;
        self.block(node)
    }

    /// What a step calls its result.
    pub(crate) fn name_of_result(&mut self, members: &Members<'_>) -> Option<String> {
        let node = members.get("as")?;
        let name = self.text(node)?.to_owned();
        self.result_name(node, &name).then_some(name)
    }

    fn condition(&mut self, node: &Node, depth: usize) -> Option<Condition> {
        let forms = [&["plugin", "script"], &*keys("conditionForm")].concat();
        if depth > NESTING_MAX {
            self.mistakes.push(node.mistake(format!("conditions may be nested {NESTING_MAX} deep")));
            return None;
        }
        if let Kind::Scalar(Value::String(source)) = &node.kind {
            return self.cel(node, source).map(Condition::Cel);
        }
        if let Some(call) = self.call(node, Role::Condition) {
            return call.map(Condition::Plugin);
        }
        let Kind::Object(list) = &node.kind else {
            self.wrong(node, "a CEL expression in quotes, or one of plugin, script, jsonpath, all, any, not");
            return None;
        };
        let members = self.object(node, "a condition", &forms)?;
        let [only] = list.as_slice() else {
            self.mistakes.push(node.mistake(format!("a condition has exactly one of {}", forms.join(", "))));
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

    fn reply(&mut self, node: &Node) -> Option<ReplySpec> {
        if let Some(call) = self.call(node, Role::Responder) {
            return call.map(ReplySpec::Plugin);
        }
        let members = self.object(node, "a reply", &keys("reply"))?;
        self.reply_of(&members)
    }

    pub(crate) fn reply_of(&mut self, members: &Members<'_>) -> Option<ReplySpec> {
        if let Some(maker) = ["plugin", "script"].into_iter().find(|maker| members.get(maker).is_some()) {
            let of_the_other = if maker == "plugin" { ["script", "lang"].as_slice() } else { &["with"] };
            for key in keys("reply").iter().chain(of_the_other) {
                if let Some(member) = members.member(key) {
                    let detail = format!("with `{maker}`, the {maker} decides about `{key}`");
                    self.mistakes.push(member.name_at.mistake(detail));
                }
            }
            let call = match maker {
                "plugin" => self.plugin_call_of(members, Role::Responder),
                _ => self.script_of(members, Role::Responder),
            };
            return call.map(ReplySpec::Plugin);
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
        self.redirect(url);
        Some(ReplySpec::Redirect { status, headers, url: self.template(url)? })
    }

    /// Where to is checked for what every workspace asks; what its settings allow may change.
    pub(crate) fn redirect(&mut self, node: &Node) {
        if let Some(Value::String(target)) = node.constant() {
            self.refused.extend(origin_of(&target).err().map(|detail| node.mistake(detail)));
        }
    }

    fn no_body(&mut self, members: &Members<'_>, why: &str) {
        for key in ["json", "text"] {
            if let Some(member) = members.member(key) {
                self.mistakes.push(member.name_at.mistake(why));
            }
        }
    }

    /// The body of an answer or a request, as `json` or as `text`.
    pub(crate) fn body_of(&mut self, members: &Members<'_>, of: &str) -> Option<BodySpec> {
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
    pub(crate) fn headers(&mut self, node: &Node, check: fn(&str) -> Result<(), String>) -> Vec<(String, Template)> {
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
                let constant = template.constant().map(as_text);
                if constant.is_some_and(|text| ::http::HeaderValue::try_from(text).is_err()) {
                    let detail = format!("the header `{name}` cannot have this value: a header is one line of text");
                    self.refused.push(member.value.mistake(detail));
                }
                headers.push((name, template));
            }
        }
        headers
    }

    /// A plugin or a script, where there is one of them.
    pub(crate) fn call(&mut self, node: &Node, role: Role) -> Option<Option<PluginCall>> {
        if has(node, "plugin") {
            return Some(self.plugin_call(node, role));
        }
        has(node, "script").then(|| {
            let members = self.object(node, "a script", &keys("script"))?;
            self.script_of(&members, role)
        })
    }

    fn plugin_call(&mut self, node: &Node, role: Role) -> Option<PluginCall> {
        let members = self.object(node, "a plugin", &keys("pluginCall"))?;
        self.plugin_call_of(&members, role)
    }

    pub(crate) fn plugin_call_of(&mut self, members: &Members<'_>, role: Role) -> Option<PluginCall> {
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
            script: None,
        });
        Some(PluginCall::new(plugin, with))
    }

    pub(crate) fn template(&mut self, node: &Node) -> Option<Template> {
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

    pub(crate) fn cel(&mut self, node: &Node, source: &str) -> Option<Cel> {
        match Cel::compile(source) {
            Ok(cel) => self.check_names(node, &cel).then_some(cel),
            Err(error) => {
                self.compile_error(node, &error);
                None
            }
        }
    }

    pub(crate) fn result_name(&mut self, node: &Node, name: &str) -> bool {
        let mut characters = name.chars();
        let is_identifier = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
            && name.len() <= 64;
        if !is_identifier {
            self.mistakes.push(node.mistake(format!("`{name}` cannot name a result: use letters, digits and `_`")));
        } else if Scope::is_reserved(name) {
            self.mistakes.push(node.mistake(format!("`{name}` has a meaning of its own; use another name")));
        } else {
            if is_keyword(name) {
                let detail =
                    format!("`{name}` is a word of CEL, by which no expression finds a result; use another name");
                self.refused.push(node.mistake(detail));
            }
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

    pub(crate) fn object<'a>(&mut self, node: &'a Node, what: &str, allowed: &[&str]) -> Option<Members<'a>> {
        let Kind::Object(members) = &node.kind else {
            self.wrong(node, &format!("{what}: an object with {}", allowed.join(", ")));
            return None;
        };
        for member in members {
            if !allowed.contains(&member.name.as_str()) {
                let hint = match within(allowed, &member.name) {
                    Some(key) => format!(" (it belongs within `{key}`)"),
                    None => suggest(&member.name, allowed.iter().copied()),
                };
                self.mistakes.push(member.name_at.mistake(format!(
                    "{what} has no `{}`{hint}; allowed: {}",
                    member.name,
                    allowed.join(", ")
                )));
            }
        }
        Some(Members { node, members })
    }

    pub(crate) fn required<'a>(&mut self, members: &Members<'a>, name: &str) -> Option<&'a Node> {
        let found = members.get(name);
        if found.is_none() {
            self.mistakes.push(members.node.mistake(format!("`{name}` is missing")));
        }
        found
    }

    pub(crate) fn text<'a>(&mut self, node: &'a Node) -> Option<&'a str> {
        match &node.kind {
            Kind::Scalar(Value::String(text)) => Some(text),
            _ => {
                self.wrong(node, "a text");
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match &node.kind {
            Kind::Scalar(Value::Bool(value)) => Some(*value),
            _ => {
                self.wrong(node, "true or false");
                None
            }
        }
    }

    pub(crate) fn name(&mut self, node: &Node) -> Option<Name> {
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

    pub(crate) fn duration(&mut self, node: &Node, min: Duration, max: Duration) -> Option<Duration> {
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

    pub(crate) fn choice<'c>(&mut self, node: &Node, what: &str, allowed: &[&'c str]) -> Option<&'c str> {
        let text = self.text(node)?;
        let found = allowed.iter().find(|choice| **choice == text).copied();
        if found.is_none() {
            let suggestion = suggest(text, allowed.iter().copied());
            let detail = format!("`{text}` is not {what}{suggestion}; allowed: {}", allowed.join(", "));
            self.mistakes.push(node.mistake(detail));
        }
        found
    }

    pub(crate) fn wrong(&mut self, node: &Node, expected: &str) {
        self.mistakes.push(node.mistake(format!("expected {expected}, found {}", node.describe())));
    }
}

fn has(node: &Node, name: &str) -> bool {
    matches!(&node.kind, Kind::Object(members) if members.iter().any(|member| member.name == name))
}

#[cfg(test)]
mod tests;
