//! `set`: names values.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::Execution;
use crate::expression::Template;
use crate::flow::document::{self, Node};
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use ringback_records::journal::EntryKind;
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
    let mut values = Vec::new();
    for member in list {
        if parser.result_name(&member.value, &member.name)
            && let Some(template) = parser.template(&member.value)
        {
            values.push((member.name.clone(), template));
            parser.result(Some(&member.name), None);
        }
    }
    Some(Box::new(Set(values)))
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
