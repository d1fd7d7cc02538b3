//! Callbacks that have several things in them: each of these becomes a callback of its own.
//!
//! All are kept in the change that acknowledges the whole, so that there are all of them or none. Each goes through the stages from
//! its data on by itself, as what was kept does, also after a restart: its decision, its record and its execution are those of no other.

use super::passage::Passage;
use super::select::UnderWay;
use super::{End, Pipeline, Stopped};
use futures_util::future::BoxFuture;
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome, Part};
use ringback_records::stop::Stop;
use ringback_records::trace::{Stage, TraceEntry, Verdict};
use ringback_rules::expression::JsonPath;
use ringback_rules::flow::Trigger;
use ringback_rules::parse::allow_query;
use ringback_rules::verify::Verified;
use ringback_store::{StoreError, Write};
use serde_json::Value;
use std::sync::Arc;

/// Most parts of a callback.
const PARTS_MAX: usize = 1000;
/// Most bytes of all their records.
const PARTS_BYTES_MAX: usize = 16 << 20;
/// What a record takes at least.
const RECORD_BYTES: usize = 1 << 10;
/// What is said of the whole in headers, and not of a part.
const OF_WHOLE: [&str; 3] = ["content-encoding", "content-length", "content-type"];
/// How many parts there are.
const PARTS_HEADER: &str = "ringback-parts";

impl Pipeline {
    /// Makes a callback of each part of one, and acknowledges the whole.
    pub(super) async fn split(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        path: &JsonPath,
        verified: &Verified,
    ) -> Result<End, Stopped> {
        allow_query(&passage.callback.request).map_err(|stop| (Stage::Parse, stop))?;
        let mut uses = Vec::new();
        let read = self.data_of(passage, trigger, verified, false, &mut uses).await;
        passage.uses.append(&mut uses);
        let (data, _) = read.map_err(|stop| (Stage::Parse, stop))?;
        let parts = parts(path, &data, passage).map_err(|stop| (Stage::Parse, stop))?;
        let count = parts.len();
        if count == 0 {
            passage.note(Stage::Parse, Verdict::Ignored, format!("`{}` selects nothing of it", path.source()));
            return Ok(passage.ignored());
        }
        passage.passed(Stage::Parse, format!("`{}` selects {count} parts of it", path.source()));
        let whole = passage.callback.id;
        let ids: Vec<CallbackId> = parts.iter().map(|_| CallbackId::new()).collect();
        let reply = passage.face.kept(whole, None).with_header(PARTS_HEADER, count.to_string());
        passage.passed(Stage::Select, "each part is a callback of its own, and all are kept together".to_owned());
        let end = |reply| End { outcome: Outcome::Answered, execution: None, reply, recorded: true };
        if passage.origin.is_dry_run() {
            return Ok(end(reply));
        }
        let workspace = passage.callback.workspace.clone();
        let template = of_whole(passage);
        passage.parts.clone_from(&ids);
        let mut writes = passage.writes(Outcome::Answered, None, Some(&reply));
        for ((id, text), number) in ids.iter().zip(parts).zip(1..) {
            let record = Box::new(part_of(&template, whole, *id, text, (number, count)));
            writes.push(Write::PutCallback { workspace: workspace.clone(), before: None, record });
            writes.push(Write::PutDeferred { workspace: workspace.clone(), id: *id });
        }
        // Nobody else looks at them meanwhile.
        let work = self.clone().take_parts(workspace, ids);
        match self.store.commit(writes).await {
            Ok(()) => {}
            // The same delivery was faster.
            Err(StoreError::Conflict) => return self.known_now(passage, trigger).await,
            Err(error) => return Err((Stage::Commit, Stop::from(&error))),
        }
        passage.kept_as = Some(Outcome::Answered);
        tokio::spawn(work);
        Ok(end(reply))
    }

    /// Takes parts through the stages, in their order; those for which nothing is left of a turn are found as all that is kept.
    fn take_parts(self, workspace: Name, ids: Vec<CallbackId>) -> BoxFuture<'static, ()> {
        let under_way: Vec<UnderWay> =
            ids.iter().map(|id| UnderWay::begin(Arc::clone(&self.delivering), *id)).collect();
        Box::pin(async move {
            let Ok(_place) = self.rooms.take_parts(&workspace).await else { return };
            for under_way in under_way {
                let id = under_way.callback;
                if let Err(error) = self.take_deferred(&workspace, id).await {
                    tracing::error!(callback.id = %id, %error, "a part of a callback is tried again later");
                }
            }
        })
    }
}

/// The parts that a path selects, as JSON.
fn parts(path: &JsonPath, data: &Value, passage: &Passage) -> Result<Vec<String>, Stop> {
    let too_many = |reason: String| Stop::refused(413, "too_many_parts", "There is too much in one callback.", reason);
    let too_large = |reason| Stop::refused(400, "data_too_large", "The data is too large for this flow.", reason);
    let selected = path.select(data).map_err(too_large)?;
    if selected.len() > PARTS_MAX {
        return Err(too_many(format!("it has {} parts, more than {PARTS_MAX}", selected.len())));
    }
    let request = &passage.callback.request;
    let headers: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let of_each = headers + request.path.len() + request.query.len() + RECORD_BYTES;
    let mut left = PARTS_BYTES_MAX;
    let text = |part: &Value| {
        let text = part.to_string();
        left = left
            .checked_sub(text.len() + of_each)
            .ok_or_else(|| too_many(format!("what is kept of its parts takes more than {PARTS_BYTES_MAX} bytes")))?;
        Ok::<_, Stop>(text)
    };
    selected.into_iter().map(text).collect()
}

/// What the records of all parts have in common.
fn of_whole(passage: &Passage) -> CallbackRecord {
    let whole = passage.record(Outcome::Kept, None, None);
    let is_event =
        passage.callback.request.content_type().is_some_and(|kind| kind.starts_with("application/cloudevents"));
    let kind = if is_event { "application/cloudevents+json" } else { "application/json" };
    let headers = whole.headers.into_iter().filter(|(name, _)| !OF_WHOLE.contains(&name.as_str()));
    let headers = headers.chain([("content-type".to_owned(), kind.to_owned())]).collect();
    CallbackRecord { headers, body: None, body_base64: None, encoded_base64: None, reply: None, ..whole }
}

fn part_of(
    template: &CallbackRecord,
    of: CallbackId,
    id: CallbackId,
    text: String,
    (number, count): (u32, usize),
) -> CallbackRecord {
    let reason = format!("it is part {number} of {count} of the callback {of}, and is decided by itself");
    let (stage, verdict) = (Stage::Select, Verdict::Passed);
    let mut trace = template.trace.clone();
    // What was said of all of them.
    trace.pop();
    trace.push(TraceEntry { stage, verdict, reason, duration_us: 0, plugins: Vec::new() });
    let part = Some(Part { of, number });
    CallbackRecord { id, body_bytes: text.len() as u64, body: Some(text), part, trace, ..template.clone() }
}
