//! `fail`: ends the execution as failed.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::Execution;
use crate::expression::Template;
use crate::flow::document::{self, Node};
use crate::flow::parse::Parser;
use crate::flow::schema::keys;

#[derive(Debug)]
struct Fail {
    message: Template,
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a fail step", &keys("failStep"))?;
    let value = members.get("fail")?;
    let message = match &value.kind {
        document::Kind::Object(_) => {
            let members = parser.object(value, "a fail step", &keys("message"))?;
            parser.required(&members, "message")?
        }
        _ => {
            parser.text(value)?;
            value
        }
    };
    Some(Box::new(Fail { message: parser.template(message)? }))
}

impl Kind for Fail {
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        let message = self.message.render_text(&at.execution.scope())?;
        Err(Failure::new("flow_failed", message))
    }

    fn apply(&self, _line: &Line<'_>, _execution: &mut Execution) -> Next {
        Next::Stay
    }
}
