//! The cases that a plugin says it passes: run when it is uploaded, in a state of their own, and answered by what they say.

mod case;
mod expect;
mod tried;

pub use tried::Tried;

use super::call::{Answer, Caller, Linked, PATIENCE, Question};
use super::error::{UploadError, one_line};
use super::limits::{VECTORS_BYTES_MAX, VECTORS_CPU_MAX, VECTORS_MAX};
use case::Case;
use ringback_records::json;
use ringback_records::name::Name;
use serde_json::Value;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// Longest name of a vector, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest description of what is wrong with one, in characters.
const PROBLEM_CHARS_MAX: usize = 600;

/// Runs every vector of a plugin, in their order: how many there are.
pub(super) async fn run(
    caller: &Caller,
    plugin: &Name,
    linked: &Arc<Linked>,
    workspace: &Name,
) -> Result<usize, UploadError> {
    if !linked.exports.has_vectors() {
        return Ok(0);
    }
    let wrong = |problem: String| UploadError::Vectors(problem);
    let text = match caller.ask_itself(plugin, linked, Question::Cases, workspace).await {
        Ok(Answer::Json(text)) => text,
        Err(error) if error.is_temporary() => return Err(UploadError::Crowded),
        Ok(_) => return Err(wrong("cannot be asked for".to_owned())),
        Err(error) => return Err(wrong(format!("cannot be asked for: {}", error.without_name(plugin)))),
    };
    if text.len() > VECTORS_BYTES_MAX {
        return Err(wrong(format!("have {} bytes, more than {VECTORS_BYTES_MAX}", text.len())));
    }
    let unread = |error: &dyn Display| wrong(format!("cannot be read: {}", shortened(&error.to_string())));
    let Value::Array(values) = json::from_slice(text.as_bytes()).map_err(|error| unread(&error))? else {
        return Err(wrong("are no list".to_owned()));
    };
    if values.len() > VECTORS_MAX {
        return Err(wrong(format!("are {}, more than {VECTORS_MAX}", values.len())));
    }
    let count = values.len();
    let mut cpu = Duration::ZERO;
    for (index, value) in values.into_iter().enumerate() {
        let name = value.get("name").and_then(Value::as_str).map_or_else(|| format!("#{}", index + 1), named);
        let fails = |problem: String| UploadError::Vector { name: name.clone(), problem: shortened(&problem) };
        let case: Case = serde_json::from_value(value).map_err(|error| fails(format!("it cannot be read: {error}")))?;
        let Case { role, config, expect, .. } = &case;
        let expect = expect.as_ref().ok_or_else(|| fails("it expects nothing".to_owned()))?;
        let (question, expected) = (case::question(*role), expect.read(*role).map_err(&fails)?);
        if !linked.exports.has(*role) {
            return Err(fails(format!("the plugin is no {role}")));
        }
        let config = config.to_string();
        let mut patience = PATIENCE;
        let (asked, usage) = loop {
            let (subject, services) = case.surroundings(workspace).map_err(&fails)?;
            let (asked, usage) = caller.ask_with(Arc::new(services), plugin, linked, question, &subject, &config).await;
            patience -= 1;
            match &asked {
                Err(error) if error.is_temporary() && patience > 0 => {}
                Err(error) if error.is_temporary() => return Err(UploadError::Crowded),
                _ => break (asked, usage),
            }
        };
        expected.hold_against(asked, plugin).map_err(|problem| {
            let log = usage.log.last().map(|line| format!("; it last said: {line}")).unwrap_or_default();
            fails(problem + &log)
        })?;
        cpu += Duration::from_micros(usage.cpu_us.unwrap_or_default());
        if cpu > VECTORS_CPU_MAX {
            return Err(wrong(format!("take more than {} s of CPU time together", VECTORS_CPU_MAX.as_secs())));
        }
    }
    Ok(count)
}

fn named(name: &str) -> String {
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    one_line(&name)
}

fn shortened(problem: &str) -> String {
    let mut shortened: String = one_line(problem).chars().take(PROBLEM_CHARS_MAX).collect();
    if shortened.len() == problem.len() {
        return shortened;
    }
    if problem.chars().nth(PROBLEM_CHARS_MAX).is_some() {
        shortened.push('…');
    }
    shortened
}
