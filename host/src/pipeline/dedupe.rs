//! The same delivery twice: the second gets the first one's answer, and nothing happens again.

use super::passage::{Origin, Passage, scope_of};
use super::{End, Pipeline, Stopped};
use crate::callback::Input;
use crate::face;
use crate::flow::Trigger;
use crate::name::Name;
use crate::outcome::{Outcome, Stage, Stop, UNAVAILABLE, Verdict};
use crate::store::{Delivery, Write};
use crate::time::Timestamp;
use crate::verify::Proof;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;
use std::time::Duration;

/// What tells a delivery from another one.
pub(super) struct Identity {
    trigger: Name,
    hash: [u8; 32],
    window: Duration,
    /// One that is known, but whose time is over.
    over: Option<Delivery>,
}

impl Identity {
    /// By the id that the verification found, unless the trigger knows deliveries by something else.
    pub(super) fn of_delivery(passage: &Passage, trigger: &Trigger, proof: &Proof) -> Option<Self> {
        let dedupe = trigger.dedupe.as_ref().filter(|dedupe| dedupe.by.is_none())?;
        let id = proof.delivery_id.as_ref().filter(|_| is_wanted(passage))?;
        Some(Self { trigger: trigger.id.clone(), hash: hash(b"id", id), window: dedupe.window, over: None })
    }

    /// By an expression of the trigger.
    pub(super) fn by_expression(passage: &Passage, trigger: &Trigger, input: &Input) -> Result<Option<Self>, Stop> {
        let Some(dedupe) = trigger.dedupe.as_ref().filter(|_| is_wanted(passage)) else { return Ok(None) };
        let Some(by) = &dedupe.by else { return Ok(None) };
        let scope = scope_of(&passage.callback, &passage.flow, input, &passage.vars);
        let value = by.render_text(&scope).map_err(|error| Stop::expression(&error))?;
        let trigger = trigger.id.clone();
        Ok(Some(Self { trigger, hash: hash(b"by", &value), window: dedupe.window, over: None }))
    }

    /// What makes the delivery known, together with what it does.
    pub(super) fn write(&self, passage: &Passage) -> Write {
        let delivery = Delivery {
            callback: passage.callback.id,
            body: body_hash(passage),
            expires_at: Timestamp::now().saturating_add(self.window),
        };
        Write::PutDelivery {
            workspace: passage.callback.workspace.clone(),
            flow: passage.flow.name.clone(),
            trigger: self.trigger.clone(),
            identity: self.hash,
            delivery,
            over: self.over.clone(),
        }
    }
}

/// A replay is meant to do it again.
fn is_wanted(passage: &Passage) -> bool {
    !matches!(passage.origin, Origin::Replay { .. })
}

fn hash(kind: &[u8], value: &str) -> [u8; 32] {
    let bytes = [kind, &[0], value.as_bytes()].concat();
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    hash
}

fn body_hash(passage: &Passage) -> String {
    let mut hex = String::with_capacity(64);
    for byte in digest(&SHA256, &passage.callback.request.body).as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

impl Pipeline {
    /// What a delivery gets that came before; `None` for a new one, and for one that cannot be told from others.
    pub(super) async fn known(&self, passage: &mut Passage) -> Result<Option<End>, Stopped> {
        self.still_good(passage)?;
        let failed = |error| (Stage::Dedupe, Stop::not_stored(&error));
        let Some(identity) = &mut passage.identity else { return Ok(None) };
        let (workspace, flow) = (passage.callback.workspace.clone(), &passage.flow.name);
        let known = self.store.delivery(&workspace, flow, &identity.trigger, &identity.hash).map_err(failed)?;
        let Some(known) = known else { return Ok(None) };
        if known.callback == passage.callback.id {
            // It was kept for later, and is known since then.
            passage.identity = None;
            return Ok(None);
        }
        if known.expires_at <= Timestamp::now() {
            identity.over = Some(known);
            return Ok(None);
        }
        passage.repeats = Some(known.callback);
        if known.body != body_hash(passage) {
            let reason = format!("the delivery {} had the same id and another body", known.callback);
            let detail = "Another callback had the same delivery id.";
            return Err((Stage::Dedupe, Stop::refused(409, "delivery_id_reused", detail, reason)));
        }
        let first = self.store.callback(&workspace, known.callback).map_err(failed)?;
        let reply = match first.as_ref().and_then(|first| first.reply.clone()) {
            Some(reply) => reply.into(),
            // The first one still waits for its answer.
            None => {
                let execution = first.and_then(|first| first.execution);
                face::pending(known.callback, execution, &self.status_url(&workspace, known.callback))
            }
        };
        let reason = format!("the callback {} of the same delivery came before; this is its answer", known.callback);
        passage.note(Stage::Dedupe, Verdict::Ignored, reason);
        Ok(Some(End { outcome: Outcome::Duplicate, execution: None, reply, recorded: false }))
    }

    /// The same, after the delivery was found to be known in the last moment.
    pub(super) async fn known_now(&self, passage: &mut Passage) -> Result<End, Stopped> {
        if let Some(end) = self.known(passage).await? {
            return Ok(end);
        }
        let reason = "someone else changed the same thing at the same time".to_owned();
        let stop = Stop::failed(UNAVAILABLE.status, UNAVAILABLE.code, UNAVAILABLE.detail, reason);
        Err((Stage::Commit, stop.with_header("retry-after", "1")))
    }
}
