//! The same delivery twice: the second gets the first one's answer, and nothing happens again.

use super::passage::{Origin, Passage, scope_of};
use super::{End, Pipeline, Stopped};
use crate::runner::ChangeError;
use aws_lc_rs::digest::{SHA256, digest};
use ringback_records::callback::Input;
use ringback_records::journal::{Status, Summary};
use ringback_records::name::{Name, sha256_hex};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::reply::Reply;
use ringback_records::stop::{Stop, UNAVAILABLE};
use ringback_records::time::Timestamp;
use ringback_records::trace::{Stage, Verdict};
use ringback_rules::expression::{Cel, Scope};
use ringback_rules::face::{self, Mode, Selector};
use ringback_rules::flow::{Same, Trigger};
use ringback_rules::redact::{Lists, MARK, Names};
use ringback_rules::verify::Proof;
use ringback_store::{Delivery, StoreError, Write};
use std::sync::Arc;
use std::time::Duration;

/// What tells a delivery from another one.
pub(super) struct Identity {
    trigger: Name,
    hash: [u8; 32],
    window: Duration,
    /// What the same delivery has in common.
    same: Same,
    /// One that is known, but whose time is over.
    over: Option<Delivery>,
}

impl Identity {
    /// By the id that the verification found, unless the trigger knows deliveries by something else.
    pub(super) fn of_delivery(
        passage: &Passage,
        trigger: &Trigger,
        selector: Option<&Selector>,
        proof: &Proof,
    ) -> Option<Self> {
        let dedupe = trigger.dedupe.as_ref().filter(|dedupe| dedupe.by.is_none())?;
        let id = proof.delivery_id.as_ref().filter(|id| !id.trim().is_empty() && is_wanted(passage))?;
        let same = dedupe.same.unwrap_or(if proof.id_is_signed { Same::Id } else { Same::Bytes });
        let hash = hash(passage, selector, b"id", id);
        Some(Self { trigger: trigger.id.clone(), hash, window: dedupe.window, same, over: None })
    }

    /// By an expression of the trigger; `None` as well where it has no value for this callback, which says nothing of others.
    pub(super) fn by_expression(
        passage: &mut Passage,
        trigger: &Trigger,
        selector: Option<&Selector>,
        input: &Input,
        hidden: &Names,
    ) -> Result<Option<Self>, Stop> {
        let Some(dedupe) = trigger.dedupe.as_ref().filter(|_| is_wanted(passage)) else { return Ok(None) };
        let Some(by) = &dedupe.by else { return Ok(None) };
        let (callback, flow) = (Arc::clone(&passage.callback), Arc::clone(&passage.flow));
        let vars = Arc::clone(&passage.vars);
        let scope = scope_of(&callback, &flow, input, &vars);
        // All that is blanked looks the same: what was told from others by it would be lost.
        let redacted = |what: &str| {
            let reason = format!(
                "`dedupe.by` cannot tell callbacks apart by {what}, which is not kept, since it carries a credential: name something \
                 else, or take a header or parameter that carries none out of the list with `redact: ['!NAME']`"
            );
            Stop::failed(500, "dedupe_redacted", "The flow could not evaluate this callback.", reason)
        };
        let lists = Lists { of_server: hidden, of_trigger: Some(&trigger.redact) };
        if let Some(name) = lists.hidden_among(by.expressions().iter().flat_map(|cel| cel.references())) {
            return Err(redacted(&format!("`{name}`")));
        }
        let pieces = by.render_pieces(&scope).map_err(|error| {
            // What is absent may be a header that is not kept, by a name that was computed.
            let marked = lists.with_marks(&callback, &passage.received.request);
            let marked = Scope { callback: Some(&marked), ..scope };
            let is_hidden = |cel: &&&Cel| {
                let value = cel.evaluate_text(&scope);
                value.is_err() && value != cel.evaluate_text(&marked)
            };
            let expressions = by.expressions();
            let hidden = expressions.iter().find(is_hidden);
            hidden.map_or_else(|| Stop::from(&error), |cel| redacted(&format!("`{}`", cel.source())))
        })?;
        if let Some(cel) = pieces.iter().filter(|piece| piece.text == MARK).find_map(|piece| piece.of) {
            return Err(redacted(&format!("`{}`", cel.source())));
        }
        if pieces.iter().all(|piece| piece.is_nothing || piece.of.is_none()) {
            let reason = "`dedupe.by` is empty, so that nothing tells whether it came before".to_owned();
            passage.passed(Stage::Dedupe, reason);
            return Ok(None);
        }
        let (trigger, same) = (trigger.id.clone(), dedupe.same.unwrap_or(Same::Id));
        let value: String = pieces.into_iter().map(|piece| piece.text).collect();
        let hash = hash(passage, selector, b"by", &value);
        Ok(Some(Self { trigger, hash, window: dedupe.window, same, over: None }))
    }

    /// What makes the delivery known, together with what it does.
    pub(super) fn write(&self, passage: &Passage) -> Write {
        let expires_at = Timestamp::now().saturating_add(self.window);
        let delivery = Delivery::new(passage.callback.id, body_hash(passage), expires_at);
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

/// A replay is meant to do it again, and a trial is never the second one.
fn is_wanted(passage: &Passage) -> bool {
    !matches!(passage.origin, Origin::Replay { .. } | Origin::Trial)
}

/// The same id means two deliveries in two environments, and for two executions. What does not say either is hashed as
/// before there were environments.
fn hash(passage: &Passage, selector: Option<&Selector>, kind: &[u8], value: &str) -> [u8; 32] {
    let environment = &passage.callback.environment;
    let selected = match selector {
        None => "",
        Some(Selector::Any) => "any",
        Some(Selector::All) => "all",
        Some(Selector::One(id)) => id,
        Some(Selector::ByKey) => "by key",
    };
    let bytes = if *environment == Name::default_name() && selector.is_none() {
        [kind, &[0], value.as_bytes()].concat()
    } else {
        // The value may have any bytes: its length tells where it ends.
        let length = (value.len() as u64).to_be_bytes();
        let environment = match passage.environment_made_at {
            None => environment.to_string(),
            // One that is made again is another. No name has this character.
            Some(made_at) => format!("{environment}@{}", made_at.as_millis()),
        };
        [kind, b" in ", environment.as_bytes(), &[0], &length, value.as_bytes(), selected.as_bytes()].concat()
    };
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    hash
}

/// It is as if the known delivery had not come: this one takes its place, and is new.
fn in_place_of(passage: &mut Passage, known: Delivery) -> Option<End> {
    if let Some(identity) = &mut passage.identity {
        identity.over = Some(known);
    }
    None
}

fn body_hash(passage: &Passage) -> String {
    sha256_hex(passage.callback.request.content())
}

impl Pipeline {
    /// Whether a delivery came to a flow of the same name that was removed.
    async fn is_of_removed_flow(
        &self,
        workspace: &Name,
        flow: &Name,
        first: Option<&CallbackRecord>,
    ) -> Result<bool, StoreError> {
        let first_version = self.flows.find(workspace, flow).map_or(0, |deployed| deployed.record.first_version);
        if first_version <= 1 {
            return Ok(false);
        }
        let Some(execution) = first.and_then(|record| record.execution) else { return Ok(false) };
        let execution = self.store.summary(workspace, execution).await?;
        Ok(execution.is_some_and(|summary| summary.flow_version < first_version))
    }

    /// What a delivery gets that came before; `None` for a new one, and for one that cannot be told from others.
    pub(super) async fn known(&self, passage: &mut Passage, trigger: &Trigger) -> Result<Option<End>, Stopped> {
        self.still_good(passage).await?;
        let failed = |error| (Stage::Dedupe, Stop::from(&error));
        let Some(identity) = &passage.identity else { return Ok(None) };
        let (workspace, flow) = (passage.callback.workspace.clone(), &passage.flow.name);
        let known = self.store.delivery(&workspace, flow, &identity.trigger, &identity.hash).await.map_err(failed)?;
        let Some((known, first)) = known else { return Ok(None) };
        if known.callback == passage.callback.id {
            // It was kept for later, and is known since then.
            passage.identity = None;
            return Ok(None);
        }
        if known.expires_at <= Timestamp::now()
            || self.is_of_removed_flow(&workspace, flow, first.as_ref()).await.map_err(failed)?
        {
            return Ok(in_place_of(passage, known));
        }
        let same = identity.same;
        let has_other_bytes = known.body != body_hash(passage);
        if has_other_bytes && same == Same::Bytes {
            passage.repeats = Some(known.callback);
            let reason = format!("the delivery {} had the same id and another body", known.callback);
            let detail = "Another callback had the same delivery id.";
            return Err((Stage::Dedupe, Stop::refused(409, "delivery_id_reused", detail, reason)));
        }
        // What was kept and came to nothing, since it expired or did not count, is as if it had not come.
        if first.as_ref().is_some_and(|first| first.outcome == Outcome::Ignored) {
            return Ok(in_place_of(passage, known));
        }
        let reply = match first {
            Some(CallbackRecord { reply: Some(reply), .. }) if reply.status < 500 || passage.ticket.is_some() => {
                reply.into()
            }
            // Who gets an error sends it again so that something else comes of it.
            Some(first) if first.reply.is_some() => match self.once_more(passage, trigger, first).await? {
                Some(reply) => reply,
                None => return Ok(in_place_of(passage, known)),
            },
            // The first one still waits for its answer.
            Some(first) => {
                passage.room = None;
                self.answer_in_time(&workspace, trigger, first).await.map_err(failed)?
            }
            None => face::pending(known.callback, None, &self.status_url(&workspace, known.callback)),
        };
        passage.repeats = Some(known.callback);
        let but = if has_other_bytes { ", with another body" } else { "" };
        let reason =
            format!("the callback {} of the same delivery came before{but}; this is its answer", known.callback);
        passage.note(Stage::Dedupe, Verdict::Ignored, reason);
        Ok(Some(End { outcome: Outcome::Duplicate, execution: None, reply, recorded: false }))
    }

    /// What a delivery gets whose first answer was an error: its execution goes on where it failed, and what it comes to is the
    /// answer from now on. `None` when there is nothing that could go on: then it is as if the first one had not come.
    async fn once_more(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        first: CallbackRecord,
    ) -> Result<Option<Reply>, Stopped> {
        let unchanged = |first: CallbackRecord| Ok(first.reply.map(Reply::from));
        let failed = |error| (Stage::Dedupe, Stop::from(&error));
        let workspace = passage.callback.workspace.clone();
        let run = match first.execution {
            Some(id) => match self.runner.load(&workspace, id).await {
                Err(ChangeError::Store(error)) => return Err(failed(error)),
                run => run.ok().flatten(),
            },
            None => None,
        };
        let Some(run) = run else {
            return if passage.is_first_trigger() { Ok(None) } else { unchanged(first) };
        };
        let Summary { id, status, .. } = run.execution.summary;
        let said = run.execution.reply().is_some_and(|reply| reply.status >= 500);
        match status {
            // The error was what the flow had to say.
            _ if said || trigger.mode == Mode::Async => {
                return if passage.is_first_trigger() { Ok(None) } else { unchanged(first) };
            }
            Status::Failed | Status::TimedOut => match self.runner.retry(&workspace, id).await {
                // Or someone else was faster.
                Ok(_) | Err(ChangeError::WrongStatus(_)) => {}
                Err(ChangeError::Store(error)) => return Err(failed(error)),
                Err(_) => return unchanged(first),
            },
            // Someone wanted it to end.
            Status::Cancelled => return unchanged(first),
            Status::Running | Status::Waiting | Status::Completed => {}
        }
        let first = CallbackRecord { reply: None, ..first };
        let (before, record) = (Some(first.outcome), Box::new(first.clone()));
        let put = Write::PutCallback { workspace: workspace.clone(), before, record };
        self.store.commit(vec![put]).await.map_err(|error| (Stage::Commit, Stop::from(&error)))?;
        passage.room = None;
        self.answer_in_time(&workspace, trigger, first).await.map(Some).map_err(failed)
    }

    /// The same, after the delivery was found to be known in the last moment.
    pub(super) async fn known_now(&self, passage: &mut Passage, trigger: &Trigger) -> Result<End, Stopped> {
        if let Some(end) = self.known(passage, trigger).await? {
            return Ok(end);
        }
        let reason = "someone else changed the same thing at the same time".to_owned();
        let stop = Stop::failed(UNAVAILABLE.status, UNAVAILABLE.code, UNAVAILABLE.detail, reason);
        Err((Stage::Commit, stop.with_header("retry-after", "1")))
    }
}
