//! `if`: chooses between two blocks of steps.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::Execution;
use crate::expression::{Cel, Truth};
use crate::flow::Step;
use crate::flow::document::Node;
use crate::flow::parse::{NESTING_MAX, Parser};
use crate::flow::schema::keys;
use ringback_records::journal::EntryKind;

const THEN: usize = 0;
const ELSE: usize = 1;

#[derive(Debug)]
struct If {
    when: Cel,
    /// `then` and `else`.
    blocks: [Vec<Step>; 2],
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "an if step", &keys("ifStep"))?;
    if parser.depth >= NESTING_MAX {
        parser.mistakes.push(node.mistake(format!("`if` may be nested {NESTING_MAX} deep")));
        return None;
    }
    let when = members.get("if").and_then(|node| {
        let source = parser.text(node)?.to_owned();
        parser.cel(node, &source)
    });
    let then = parser.required(&members, "then");
    let (when, then) = (when?, then?);
    let then = parser.block(then);
    let otherwise = members.get("else").map_or_else(Vec::new, |node| parser.block_after_another(node));
    Some(Box::new(If { when, blocks: [then, otherwise] }))
}

impl Kind for If {
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        Ok(Begin::Write(match self.when.truth(&at.execution.scope())? {
            Truth::Absent(what) => EntryKind::If { holds: false, absent: Some(what) },
            truth => EntryKind::If { holds: truth == Truth::True, absent: None },
        }))
    }

    fn apply(&self, line: &Line<'_>, _execution: &mut Execution) -> Next {
        let EntryKind::If { holds, .. } = line.kind else { return Next::Stay };
        Next::Enter { block: if *holds { THEN } else { ELSE }, times: None }
    }

    fn blocks(&self) -> &[Vec<Step>] {
        &self.blocks
    }
}
