//! `set`: names values. One that a script makes is a step of its own, so that each is kept once it is there.

use super::plugin::Plugin;
use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::Execution;
use crate::expression::Template;
use crate::flow::document::{self, Node};
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use ringback_records::journal::EntryKind;
use ringback_records::plugin::Role;
use serde_json::Map;
use std::borrow::Cow;

#[derive(Debug)]
struct Set(Vec<(String, Template)>);

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a set step", &keys("setStep"))?;
    let value = members.get("set")?;
    let document::Kind::Object(list) = &value.kind else {
        parser.wrong(value, "an object of names and values");
        return None;
    };
    let mut kinds: Vec<(String, Box<dyn Kind>)> = Vec::new();
    let mut values = Vec::new();
    for member in list {
        if !parser.result_name(&member.value, &member.name) {
            continue;
        }
        let place = || format!("{}.set.{}", node.at.path, member.name);
        if is_script(&member.value) {
            let call = parser.call(&member.value, Role::Step).flatten();
            // What stands before it, it sees.
            if !values.is_empty() {
                kinds.push((place(), Box::new(Set(std::mem::take(&mut values)))));
            }
            let plugin = call.map(|call| Plugin { call, result: Some(member.name.clone()) });
            kinds.extend(plugin.map(|plugin| (place(), Box::new(plugin) as Box<dyn Kind>)));
        } else if let Some(template) = parser.template(&member.value) {
            values.push((member.name.clone(), template));
        } else {
            continue;
        }
        parser.result(Some(&member.name), None);
    }
    let last = match kinds.pop() {
        Some((_, last)) if values.is_empty() => last,
        before => {
            kinds.extend(before);
            Box::new(Set(values))
        }
    };
    for (place, kind) in kinds {
        parser.step_before(place, kind);
    }
    Some(last)
}

/// Whether a value is made by a script, and no object.
fn is_script(node: &Node) -> bool {
    let document::Kind::Object(members) = &node.kind else { return false };
    let is_source = |value: &Node| match &value.kind {
        document::Kind::Scalar(value) => value.is_string(),
        document::Kind::Object(members) => matches!(&**members, [only] if only.name == "file"),
        document::Kind::List(_) => false,
    };
    members.iter().any(|member| member.name == "script" && is_source(&member.value))
        && members.iter().all(|member| ["script", "lang"].contains(&&*member.name))
}

impl Kind for Set {
    /// Later values see the earlier ones.
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        let mut results = Cow::Borrowed(&at.execution.results);
        let mut values = Map::new();
        for (index, (name, template)) in self.0.iter().enumerate() {
            let mut scope = at.execution.scope();
            if let Some(execution) = &mut scope.execution {
                execution.results = &results;
            }
            let value = template.render(&scope)?;
            // Nobody sees the last one before it is kept.
            if index + 1 < self.0.len() {
                results.to_mut().insert(name.clone(), value.clone());
            }
            values.insert(name.clone(), value);
        }
        Ok(Begin::Write(EntryKind::Set { values }))
    }

    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next {
        let EntryKind::Set { values } = line.kind else { return Next::Stay };
        for (name, value) in values {
            execution.keep(Some(name), value);
        }
        Next::GoOn
    }
}
