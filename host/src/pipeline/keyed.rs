//! Callbacks that find the executions that they are for by a key that both say: those that wait for it, and who comes later.
//!
//! What is kept for a key is delivered before what comes after it: while there is some, and whoever waits has not looked yet, what
//! comes is kept behind it. Each change says what it expects to be there by the key, and looks again when that has changed.

use super::passage::{Passage, scope_of};
use super::select::{Delivery, Key, PAGE, not_kept, refused};
use super::{End, Holds, Pipeline, Stopped};
use crate::retry::retry_on_conflict;
use ringback_records::callback::{Callback, Input};
use ringback_records::journal::{Held, key_digest};
use ringback_records::name::ExecutionId;
use ringback_records::outcome::Outcome;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use ringback_records::trace::Stage;
use ringback_rules::correlation::{Correlate, Many, Otherwise};
use ringback_rules::execution::Standing;
use ringback_store::{EarlyLimits, KeyAt, Mail, MostByKey, Unless, Write};
use std::time::Duration;

impl Pipeline {
    /// Hands a callback to those who wait for its key; else it is kept for who does next, or starts an execution.
    pub(super) async fn select_by_key(
        &self,
        passage: &mut Passage,
        mut delivery: Delivery<'_>,
    ) -> Result<End, Stopped> {
        let trigger = delivery.trigger;
        let nothing = || refused("nobody_waits", "No execution is waiting here.", "the trigger has no key".to_owned());
        let correlate = trigger.correlate.as_ref().ok_or_else(nothing)?;
        let input = delivery.input.as_ref().map_err(|stop| (Stage::Parse, stop.clone()))?;
        let key = correlate.of_callback(&scope_of(&passage.callback, &passage.flow, input, &passage.vars));
        let key = key.map_err(|error| (Stage::Select, error.stop(&correlate.callback)))?;
        let at = KeyAt {
            environment: passage.callback.environment.clone(),
            flow: passage.flow.name.clone(),
            trigger: trigger.id.clone(),
            digest: key_digest(passage.environment_made_at, &key),
        };
        let workspace = passage.callback.workspace.clone();
        for _ in retry_on_conflict() {
            if let Some(end) = self.known(passage, trigger).await? {
                return Ok(end);
            }
            let by_key = self.store.by_key(&workspace, &at, PAGE).await;
            let by_key = by_key.map_err(|error| (Stage::Select, Stop::from(&error)))?;
            let count = by_key.waits.len();
            let how_many = match count {
                1 => "1 waits".to_owned(),
                PAGE => format!("at least {PAGE} wait"),
                _ => format!("{count} wait"),
            };
            delivery.key = Some(Key { at: at.clone(), in_words: format!("the key {key:?} ({how_many})") });
            let end = if by_key.has_early {
                let why = format!("what came before it is kept for the key {key:?}, and not delivered yet");
                self.keep_for_key(passage, &delivery, &at, &key, &why).await?
            } else if count == 0 {
                let why = format!("nobody waits for the key {key:?}");
                match correlate.otherwise {
                    Otherwise::Keep => self.keep_for_key(passage, &delivery, &at, &key, &why).await?,
                    Otherwise::Start => self.start_for_key(passage, &delivery, &at, key.clone(), by_key.holds).await?,
                }
            } else {
                self.hand_to(passage, &delivery, correlate, &key, by_key.waits).await?
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
        self.known_now(passage, trigger).await
    }

    async fn hand_to(
        &self,
        passage: &mut Passage,
        delivery: &Delivery<'_>,
        correlate: &Correlate,
        key: &str,
        waits: Vec<(Timestamp, ExecutionId)>,
    ) -> Result<Option<End>, Stopped> {
        match correlate.many {
            Many::Refuse if waits.len() > 1 => {
                let detail = "More than one execution waits for the key of the callback.";
                let reason = match waits.len() {
                    PAGE => format!("at least {PAGE} executions wait for the key {key:?}"),
                    count => format!("{count} executions wait for the key {key:?}"),
                };
                Err((Stage::Select, Stop::refused(409, "several_wait", detail, reason)))
            }
            Many::All => match self.select_all(passage, delivery).await {
                // They have gone on in the meantime.
                Err((_, stop)) if stop.problem.code == "nobody_waits" => Ok(None),
                end => end.map(Some),
            },
            Many::Oldest | Many::Refuse => self.try_any(passage, delivery, Some(waits)).await,
        }
    }

    /// `None` when somebody waits for it by now.
    async fn keep_for_key(
        &self,
        passage: &mut Passage,
        delivery: &Delivery<'_>,
        at: &KeyAt,
        key: &str,
        why: &str,
    ) -> Result<Option<End>, Stopped> {
        let Some(ttl) = delivery.trigger.mailbox else {
            let reason = format!("{why}, and the trigger keeps none");
            return Err(refused("nobody_waits", "No execution is waiting here.", reason));
        };
        let input = delivery.input.clone().map_err(|stop| (Stage::Parse, stop))?;
        self.put_early(passage, at, key, input, ttl, Unless::Awaited, why).await
    }

    /// Keeps a callback for a key: `None` when it need not wait any more.
    #[expect(clippy::too_many_arguments, reason = "they are what is said of it, and go together nowhere else")]
    pub(super) async fn put_early(
        &self,
        passage: &mut Passage,
        at: &KeyAt,
        key: &str,
        input: Input,
        ttl: Duration,
        unless: Unless,
        why: &str,
    ) -> Result<Option<End>, Stopped> {
        let expires_at = Timestamp::now().saturating_add(ttl);
        let mail = Mail { callback: passage.callback.id, input, expires_at };
        let workspace = passage.callback.workspace.clone();
        let limits = EarlyLimits { of_key: self.mailbox, workspace_kib_max: self.early_kib_max };
        let no_room = self.store.no_room_for_early(&workspace, at, &mail, limits).await;
        if let Some(why) = no_room.map_err(|error| (Stage::Select, Stop::from(&error)))? {
            let whose = format!("what is kept for the key {key:?}");
            return Err((Stage::Select, not_kept(&whose, why, limits.of_key)));
        }
        let marks = passage.trace.len();
        passage.passed(Stage::Select, format!("{why}: kept until {expires_at}"));
        let reply = self.kept(passage, None);
        let end = End { outcome: Outcome::Kept, execution: None, reply, recorded: true };
        let put = Write::PutEarly { workspace, at: at.clone(), mail: Box::new(mail), limits, unless };
        self.commit_kept(passage, marks, put, end).await
    }

    /// Starts an execution that holds the key until it has been at the trigger; while there is one that is still to come there, what
    /// comes is kept in its mailbox. `None` when someone else was faster.
    async fn start_for_key(
        &self,
        passage: &mut Passage,
        delivery: &Delivery<'_>,
        at: &KeyAt,
        key: String,
        holders: Vec<ExecutionId>,
    ) -> Result<Option<End>, Stopped> {
        for id in &holders {
            let Some(run) = self.load(passage, *id).await? else { continue };
            match run.execution.standing(&run.flow, &at.trigger) {
                Standing::NotYet => return self.keep(passage, delivery, &run).await,
                Standing::WaitsHere | Standing::Ended => return Ok(None),
                // It has taken another way.
                Standing::Passed => {}
            }
        }
        let flow = std::sync::Arc::clone(&passage.flow);
        let missing = || refused("nobody_waits", "No execution is waiting here.", "the flow has no trigger".to_owned());
        let first = flow.triggers.first().ok_or_else(missing)?;
        let mut uses = Vec::new();
        let read = self.read(passage, first, delivery.verified, true, &mut uses).await;
        passage.uses.append(&mut uses);
        let (input, _) = read.map_err(|stop| {
            let reason =
                format!("nobody waits for the key {key:?}, and the first trigger cannot read it: {}", stop.reason);
            (Stage::Parse, Stop { reason, ..stop })
        })?;
        let why = format!("nobody waits for the key {key:?}");
        let Callback { workspace, .. } = &*passage.callback;
        let most = MostByKey { waits: 0, holds: holders.len(), ..MostByKey::ANY };
        let expected = Write::ExpectKey { workspace: workspace.clone(), at: at.clone(), most };
        let held = Held { trigger: at.trigger.clone(), key };
        if !self.counts(passage, first, &input).await? {
            return Ok(Some(passage.ignored()));
        }
        self.start(passage, delivery.trigger, input, Some(Holds { held, expected, why })).await
    }
}
