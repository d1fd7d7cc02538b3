//! `plugin`: calls a plugin in its role of a step.

use super::{At, Begin, Failure, Kind, Line, Next};
use crate::execution::{Effect, Event, Execution};
use crate::flow::document::Node;
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use crate::plugin_call::PluginCall;
use ringback_records::journal::EntryKind;
use ringback_records::plugin::Role;

#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) call: PluginCall,
    pub(super) result: Option<String>,
}

pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a plugin step", &keys("pluginStep"))?;
    let call = parser.plugin_call_of(&members, Role::Step);
    let result = parser.name_of_result(&members);
    let call = call?;
    parser.result(result.as_ref(), None);
    Some(Box::new(Plugin { call, result }))
}

/// A script is a plugin that is always there.
pub(super) fn read_script(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a script step", &keys("scriptStep"))?;
    let call = parser.script_of(&members, Role::Step);
    let result = parser.name_of_result(&members);
    let call = call?;
    parser.result(result.as_ref(), None);
    Some(Box::new(Plugin { call, result }))
}

impl Kind for Plugin {
    fn begin<'f>(&'f self, _at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        Ok(Begin::Ask(Effect::RunStep { call: &self.call }))
    }

    fn after(&self, event: Event, _at: &At<'_, '_>) -> Result<EntryKind, Failure> {
        match event {
            Event::StepDone { plugin, digest, duration_us, cpu_us, result, log } => {
                let name = self.result.clone();
                Ok(EntryKind::Plugin { plugin, digest, duration_us, cpu_us, name, result, log })
            }
            _ => Err(Failure::unexpected()),
        }
    }

    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next {
        let EntryKind::Plugin { name, result, .. } = line.kind else { return Next::Stay };
        execution.keep(name.as_ref(), result);
        Next::GoOn
    }
}
