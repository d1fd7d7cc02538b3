//! Which executions a callback of a later trigger is for: one by its id, any, or all that wait. What it says to one of them,
//! whether it counts and what its caller is answered is up to the version of the flow that this one runs.

use super::passage::{Origin, Passage, scope_of};
use super::{Change, End, Pipeline, Stopped};
use crate::retry::retry_on_conflict;
use crate::runner::{ChangeError, Next, Run, advance, subject_for};
use ringback_plugin::Subject;
use ringback_records::callback::{Callback, Input};
use ringback_records::journal::Summary;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::Outcome;
use ringback_records::stop::Stop;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_records::trace::{PluginUse, Stage, TraceEntry, Verdict};
use ringback_rules::condition::{Condition, Decision};
use ringback_rules::execution::{Event, Standing};
use ringback_rules::face::{Selector, selector};
use ringback_rules::flow::{Flow, Trigger};
use ringback_rules::verify::Verified;
use ringback_store::planted::{Fault, is_planted};
use ringback_store::{KeyAt, Mail, MailboxLimits, NoRoom, StoreError, Write};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// Waits that are looked at together.
pub(super) const PAGE: usize = 64;
/// Executions that a callback for all has resumed, of which the ids are read together.
const RESUMED_PAGE: usize = 1000;
/// After so many executions that are not meant, others have their turn.
const EXAMINED_AT_ONCE: usize = 8;
/// So many of those that a callback for all has resumed are named in its answer; of more, a header says how many there are.
const RESUMED_NAMED_MAX: usize = 10_000;
const RESUMED_COUNT_HEADER: &str = "ringback-resumed-count";
/// The record says of so many executions why they are not meant.
const DECLINED_NOTED_MAX: usize = 16;

/// Stages in which an execution by itself may be the reason why it cannot be resumed.
const OF_ONE: [Stage; 3] = [Stage::Parse, Stage::Condition, Stage::Select];

/// A callback on its way to the executions that it may be for.
pub(super) struct Delivery<'d> {
    pub(super) verified: &'d Verified,
    /// As it is deployed.
    pub(super) trigger: &'d Trigger,
    /// What it says by the deployed version, or why that cannot read it.
    pub(super) input: Result<Input, Stop>,
    /// What it says by another version, the last that was asked: those that wait longest run the oldest.
    earlier: Mutex<Option<(u32, Result<Input, Stop>)>>,
    /// Whether it was made known that it is for all; false when the same one was known already.
    claim: OnceCell<bool>,
    /// The key that it says, where it is found by that.
    pub(super) key: Option<Key>,
}

/// A key that a callback says, and how many wait for it.
pub(super) struct Key {
    pub(super) at: KeyAt,
    pub(super) in_words: String,
}

impl<'d> Delivery<'d> {
    pub(super) fn new(verified: &'d Verified, trigger: &'d Trigger, input: Result<Input, Stop>) -> Self {
        Self { verified, trigger, input, earlier: Mutex::new(None), claim: OnceCell::new(), key: None }
    }

    /// The trigger in the version that an execution runs.
    fn trigger_in<'f>(&self, flow: &'f Flow) -> &'f Trigger
    where
        'd: 'f,
    {
        flow.triggers.iter().find(|trigger| trigger.id == self.trigger.id).unwrap_or(self.trigger)
    }
}

/// What became of one attempt to resume an execution.
enum Attempt {
    Resumed(End),
    /// The condition is false: why.
    DoesNotCount(String),
    /// It waits for another key than the callback says.
    Contradicts(String),
    /// It does not wait any more, or someone else was faster.
    Gone,
}

/// What became of one of all that wait.
enum OneOfAll {
    Resumed(ExecutionId),
    DoesNotCount,
    Gone,
    /// The same delivery was faster.
    Known,
}

/// Whom a callback for all has resumed.
#[derive(Default)]
struct Resumed {
    /// Those that are named.
    first: Vec<ExecutionId>,
    count: usize,
}

impl Resumed {
    fn note(&mut self, id: ExecutionId) {
        self.count += 1;
        if self.first.len() < RESUMED_NAMED_MAX {
            self.first.push(id);
        }
    }
}

/// Callbacks for all that are being handed out.
pub(super) type Delivering = Mutex<HashSet<CallbackId>>;

/// One of them, until it is dropped.
pub(super) struct UnderWay {
    delivering: Arc<Delivering>,
    pub(super) callback: CallbackId,
}

impl UnderWay {
    pub(super) fn begin(delivering: Arc<Delivering>, callback: CallbackId) -> Self {
        lock(&delivering).insert(callback);
        Self { delivering, callback }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.delivering).remove(&self.callback);
    }
}

impl Pipeline {
    pub(super) async fn select(
        &self,
        passage: &mut Passage,
        selector: &Selector,
        delivery: &Delivery<'_>,
    ) -> Result<End, Stopped> {
        let end = match selector {
            Selector::One(id) => self.select_one(passage, id, delivery).await,
            Selector::Any => self.select_any(passage, delivery).await,
            // By its key it was selected before.
            Selector::All | Selector::ByKey => self.select_all(passage, delivery).await,
        };
        match (end, &delivery.input) {
            // Nobody was there who could have read it.
            (Err((_, stop)), Err(unread)) if stop.problem.status == 404 => Err((Stage::Parse, unread.clone())),
            (end, _) => end,
        }
    }

    /// Which execution is meant at a trigger that starts executions: one of an earlier version, in which it did not, that waits here.
    pub(super) async fn waits_at_first(
        &self,
        passage: &Passage,
        trigger: &Trigger,
    ) -> Result<Option<Selector>, Stopped> {
        let Ok(Selector::One(text)) = selector(&passage.callback.request, false) else { return Ok(None) };
        let Ok(id) = text.parse::<ExecutionId>() else { return Ok(None) };
        let summary = self.store.summary(&passage.callback.workspace, id).await;
        let summary = summary.map_err(|error| (Stage::Select, Stop::from(&error)))?;
        let waits = summary.is_some_and(|summary| {
            summary.flow == passage.flow.name && summary.waits_at(&trigger.id) && self.is_here(passage, &summary)
        });
        Ok(waits.then_some(Selector::One(text)))
    }

    /// Whether executions may run another version than the deployed one.
    pub(super) async fn has_other_versions(&self, passage: &Passage) -> Result<bool, Stopped> {
        Ok(!self.is_only_version(passage, passage.flow.version).await?)
    }

    async fn select_one(&self, passage: &mut Passage, id: &str, delivery: &Delivery<'_>) -> Result<End, Stopped> {
        let trigger = delivery.trigger;
        let unknown =
            || refused("unknown_execution", "There is no such execution.", format!("there is no execution {id}"));
        let Ok(id) = id.parse::<ExecutionId>() else { return Err(unknown()) };
        for _ in retry_on_conflict() {
            if let Some(end) = self.known(passage, trigger).await? {
                return Ok(end);
            }
            let run = self.load(passage, id).await?;
            let run = run.filter(|run| run.flow.name == passage.flow.name).ok_or_else(unknown)?;
            match run.execution.standing(&run.flow, &trigger.id) {
                Standing::Ended => {
                    let status = run.execution.summary.status.as_str();
                    let reason = format!("the execution {id} is {status}");
                    return Err(refused("execution_ended", "The execution has ended.", reason));
                }
                Standing::Passed => {
                    let (detail, what) = match run.execution.has_been_at(&run.flow, &trigger.id) {
                        true => ("The execution does not wait here any more.", "does not wait here any more"),
                        false => ("The execution does not come here.", "has taken another way, and does not come here"),
                    };
                    return Err(refused("trigger_passed", detail, format!("the execution {id} {what}")));
                }
                Standing::NotYet => {
                    if let Some(end) = self.keep(passage, delivery, &run).await? {
                        return Ok(end);
                    }
                }
                Standing::WaitsHere => match self.resume(passage, delivery, run, 0).await? {
                    Attempt::Contradicts(reason) => {
                        let detail = "The execution waits for another key than the callback says.";
                        return Err((Stage::Select, Stop::refused(409, "key_contradicts", detail, reason)));
                    }
                    Attempt::Resumed(end) => return Ok(end),
                    Attempt::DoesNotCount(reason) => {
                        passage.note(Stage::Condition, Verdict::Ignored, reason);
                        return Ok(passage.ignored());
                    }
                    Attempt::Gone => {}
                },
            }
        }
        self.known_now(passage, trigger).await
    }

    /// The execution that has waited longest and whose condition is true.
    async fn select_any(&self, passage: &mut Passage, delivery: &Delivery<'_>) -> Result<End, Stopped> {
        for _ in retry_on_conflict() {
            // Others may have begun to wait while someone else was faster.
            if let Some(end) = self.try_any(passage, delivery, None).await? {
                return Ok(end);
            }
        }
        self.known_now(passage, delivery.trigger).await
    }

    /// `None` when those that were asked had all gone on, and it has to be looked again.
    pub(super) async fn try_any(
        &self,
        passage: &mut Passage,
        delivery: &Delivery<'_>,
        mut first: Option<Vec<(Timestamp, ExecutionId)>>,
    ) -> Result<Option<End>, Stopped> {
        let trigger = delivery.trigger;
        // Versions whose condition says the same to all that run them, and does not hold.
        let mut declining: BTreeSet<u32> = BTreeSet::new();
        let (mut after, mut declined, mut gone, mut asked) = (None, 0_usize, 0_usize, 0_usize);
        let (mut failed, mut failure) = (0_usize, None);
        'pages: loop {
            let mut page = match first.take() {
                Some(page) => page,
                None => self.waits(passage, delivery, after).await?,
            };
            if is_planted(Fault::AnyTakesTheYoungest) {
                page.reverse();
            }
            for (since, id) in &page {
                after = Some((*since, *id));
                asked += 1;
                if asked.is_multiple_of(EXAMINED_AT_ONCE) {
                    tokio::task::yield_now().await;
                }
                if !declining.is_empty()
                    && self.version_of(passage, *id).await?.is_some_and(|version| declining.contains(&version))
                {
                    declined += 1;
                    continue;
                }
                let run = self.load(passage, *id).await?;
                let waits = |run: &Run| run.execution.standing(&run.flow, &trigger.id) == Standing::WaitsHere;
                let Some(run) = run.filter(waits) else {
                    gone += 1;
                    if let Some(end) = self.known(passage, trigger).await? {
                        return Ok(Some(end));
                    }
                    continue;
                };
                let version = run.flow.version;
                let depends = delivery.trigger_in(&run.flow).when.as_ref().is_some_and(Condition::reads_execution);
                match self.resume(passage, delivery, run, declined).await {
                    Ok(Attempt::Resumed(end)) => return Ok(Some(end)),
                    Ok(Attempt::Contradicts(reason)) => {
                        declined += 1;
                        if declined <= DECLINED_NOTED_MAX {
                            passage.note(Stage::Select, Verdict::Ignored, reason);
                        }
                    }
                    Ok(Attempt::DoesNotCount(reason)) => {
                        declined += 1;
                        if declined <= DECLINED_NOTED_MAX {
                            passage.note(Stage::Condition, Verdict::Ignored, reason);
                        }
                        if !depends {
                            if self.is_only_version(passage, version).await? {
                                break 'pages;
                            }
                            declining.insert(version);
                        }
                    }
                    Ok(Attempt::Gone) => {
                        gone += 1;
                        if let Some(end) = self.known(passage, trigger).await? {
                            return Ok(Some(end));
                        }
                    }
                    // One that cannot be asked is left out.
                    Err(stopped) if !stopped.1.temporary && OF_ONE.contains(&stopped.0) => {
                        failed += 1;
                        failure.get_or_insert(stopped);
                    }
                    Err(stopped) => return Err(stopped),
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
        if let Some((stage, mut stop)) = failure {
            if failed + declined > 1 {
                let first = stop.reason;
                stop.reason =
                    format!("{failed} of {} could not be asked, the first because {first}", failed + declined);
            }
            return Err((stage, stop));
        }
        if declined > DECLINED_NOTED_MAX {
            let reason = format!("none of the {declined} executions that wait is meant");
            passage.note(Stage::Select, Verdict::Ignored, reason);
        }
        match (declined, gone) {
            (0, 0) if delivery.key.is_none() => Err(nobody_waits()),
            (0, _) => Ok(None),
            _ => Ok(Some(passage.ignored())),
        }
    }

    /// Everyone who waits and whose condition is true. It is one delivery: known before the first of them goes on, while each change
    /// says who has; what the end of the process leaves undone is done at the next start, as with callbacks kept for a plugin.
    pub(super) async fn select_all(&self, passage: &mut Passage, delivery: &Delivery<'_>) -> Result<End, Stopped> {
        let (workspace, callback) = (passage.callback.workspace.clone(), passage.callback.id);
        let (began, is_deferred) = match &passage.origin {
            Origin::Deferred { record } => (record.received_at, true),
            Origin::Caller | Origin::Trial | Origin::Replay { .. } => (Timestamp::now(), false),
        };
        let _under_way = UnderWay::begin(Arc::clone(&self.delivering), callback);
        let (mut after, mut declined) = (None, 0_usize);
        let mut resumed = Resumed::default();
        let (mut failed, mut failure, mut is_known) = (0_usize, None, false);
        loop {
            let page = self.waits(passage, delivery, after).await?;
            after = page.last().copied().or(after);
            let mut attempts: Vec<futures_util::future::BoxFuture<'_, Result<OneOfAll, Stopped>>> = Vec::new();
            // Who begins to wait later waits for another one.
            for (_, id) in page.iter().filter(|(since, _)| *since <= began) {
                attempts.push(Box::pin(self.resume_silently(&*passage, delivery, *id)));
            }
            let is_last = attempts.len() < PAGE;
            for attempt in futures_util::future::join_all(attempts).await {
                match attempt {
                    Ok(OneOfAll::Resumed(id)) => resumed.note(id),
                    Ok(OneOfAll::DoesNotCount) => declined += 1,
                    Ok(OneOfAll::Gone) => {}
                    Ok(OneOfAll::Known) => is_known = true,
                    // One that cannot be resumed is left out (A-FR-12).
                    Err(stopped) => {
                        let reason = &stopped.1.reason;
                        tracing::warn!(callback.id = %callback, reason, "an execution was left out");
                        failed += 1;
                        failure.get_or_insert(stopped);
                    }
                }
            }
            if is_last || is_known {
                break;
            }
        }
        if is_known {
            return self.known_now(passage, delivery.trigger).await;
        }
        let is_claimed = delivery.claim.get() == Some(&true);
        // One that was deferred has that with it already.
        if is_claimed && !is_deferred {
            passage.identity = None;
            passage.kept_as = Some(Outcome::Kept);
            passage.with.push(Write::TakeDeferred { workspace: workspace.clone(), id: callback });
        }
        if is_claimed || is_deferred {
            let all = self.all_resumed_by(&workspace, callback).await;
            resumed = all.map_err(|error| (Stage::Select, Stop::from(&error)))?;
            passage.with.push(Write::DeleteResumed { workspace: workspace.clone(), callback });
        }
        // How many could not be decided, and why the first of them.
        let left_out = match failure {
            Some(stopped) if resumed.count == 0 => return Err(stopped),
            Some((_, stop)) => format!("; {failed} could not be decided, the first because {}", stop.reason),
            None => String::new(),
        };
        if resumed.count == 0 && declined == 0 {
            return Err(nobody_waits());
        }
        if resumed.count == 0 {
            let reason = format!("the condition holds for none of the {declined} executions that wait");
            passage.note(Stage::Condition, Verdict::Ignored, reason);
            return Ok(passage.ignored());
        }
        let Resumed { first, count } = resumed;
        let waited = count + declined + failed;
        let of_key = delivery.key.as_ref().map(|key| format!(" for {}", key.in_words)).unwrap_or_default();
        let reason = format!("resumes {count} of {waited} executions that waited{of_key}{left_out}");
        passage.passed(Stage::Select, reason);
        passage.resumed_count = Some(count as u64);
        let (outcome, execution) = (Outcome::Resumed, first.first().copied());
        let mut reply = passage.face.resumed_all(callback, &first);
        if count > first.len() {
            reply = reply.with_header(RESUMED_COUNT_HEADER, count.to_string());
        }
        if !passage.origin.is_dry_run() {
            let writes = passage.writes(outcome, execution, Some(&reply));
            self.store.commit(writes).await.map_err(|error| (Stage::Commit, Stop::from(&error)))?;
        }
        Ok(End { outcome, execution, reply, recorded: true })
    }

    /// Whom a callback for all has resumed so far, also before a restart.
    async fn all_resumed_by(&self, workspace: &Name, callback: CallbackId) -> Result<Resumed, StoreError> {
        let (mut all, mut after) = (Resumed::default(), None);
        loop {
            let page = self.store.resumed_by(workspace, callback, after, RESUMED_PAGE).await?;
            page.items.into_iter().for_each(|id| all.note(id));
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Makes a callback for all known, before the first execution goes on: false when the same delivery was faster.
    async fn claim(&self, passage: &Passage) -> Result<bool, Stopped> {
        if passage.origin.is_dry_run() || matches!(passage.origin, Origin::Deferred { .. }) {
            return Ok(true);
        }
        let (workspace, id) = (passage.callback.workspace.clone(), passage.callback.id);
        let mut record = passage.record(Outcome::Kept, None, None);
        let reason = "it is for all that wait, and is being handed to one after the other".to_owned();
        let verdict = Verdict::Passed;
        record.trace.push(TraceEntry { stage: Stage::Select, verdict, reason, duration_us: 0, plugins: Vec::new() });
        let put = Write::PutCallback { workspace: workspace.clone(), before: None, record: Box::new(record) };
        let known = passage.identity.as_ref().map(|identity| identity.write(passage));
        let writes = known.into_iter().chain([put, Write::PutDeferred { workspace, id }]).collect();
        match self.store.commit(writes).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err((Stage::Commit, Stop::from(&error))),
        }
    }

    pub(super) async fn load(&self, passage: &Passage, id: ExecutionId) -> Result<Option<Run>, Stopped> {
        let run = match self.runner.load(&passage.callback.workspace, id).await {
            Ok(run) => run,
            // Nothing comes of it any more.
            Err(ChangeError::FlowGone(_)) => None,
            Err(ChangeError::Store(error)) => return Err((Stage::Select, Stop::from(&error))),
            Err(error) => {
                let stop = Stop::failed(500, "execution_unreadable", "The execution cannot go on.", error.to_string());
                return Err((Stage::Select, stop));
            }
        };
        Ok(run.filter(|run| self.is_here(passage, &run.execution.summary)))
    }

    /// An execution of another environment, or of one of this name that was removed, is none of the caller's business.
    fn is_here(&self, passage: &Passage, of: &Summary) -> bool {
        let Callback { workspace, environment, .. } = &*passage.callback;
        of.environment == *environment && self.environments.has(workspace, of)
    }

    async fn waits(
        &self,
        passage: &Passage,
        delivery: &Delivery<'_>,
        after: Option<(Timestamp, ExecutionId)>,
    ) -> Result<Vec<(Timestamp, ExecutionId)>, Stopped> {
        let Callback { workspace, environment, .. } = &*passage.callback;
        let (flow, trigger) = (&passage.flow.name, &delivery.trigger.id);
        let waits = match &delivery.key {
            Some(key) => self.store.waits_by_key(workspace, &key.at, after, PAGE).await,
            None => self.store.waits(workspace, environment, flow, trigger, after, PAGE).await,
        };
        waits.map_err(|error| (Stage::Select, Stop::from(&error)))
    }

    /// The version that an execution runs.
    async fn version_of(&self, passage: &Passage, id: ExecutionId) -> Result<Option<u32>, Stopped> {
        let summary = self.store.summary(&passage.callback.workspace, id).await;
        let summary = summary.map_err(|error| (Stage::Select, Stop::from(&error)))?;
        Ok(summary.map(|summary| summary.flow_version))
    }

    /// Whether no execution can run another version.
    async fn is_only_version(&self, passage: &Passage, version: u32) -> Result<bool, Stopped> {
        let (workspace, flow) = (&passage.callback.workspace, &passage.flow.name);
        let others = self.store.has_other_version(workspace, flow, version).await;
        Ok(!others.map_err(|error| (Stage::Select, Stop::from(&error)))?)
    }

    /// What the callback says by the version of the flow that an execution runs.
    async fn read_for(
        &self,
        passage: &Passage,
        delivery: &Delivery<'_>,
        flow: &Flow,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Input, Stopped> {
        let unread = |stop: Stop| (Stage::Parse, stop);
        if flow.version == passage.flow.version {
            return delivery.input.clone().map_err(unread);
        }
        let known = lock(&delivery.earlier).as_ref().filter(|(version, _)| *version == flow.version).cloned();
        if let Some((_, read)) = known {
            return read.map_err(unread);
        }
        let read = self.read(passage, delivery.trigger_in(flow), delivery.verified, true, uses).await;
        let read = read.map(|(input, _)| input).map_err(|stop| {
            let reason = format!("version {} of the flow cannot read it: {}", flow.version, stop.reason);
            Stop { reason, ..stop }
        });
        // What may pass a little later is asked again.
        if !read.as_ref().is_err_and(|stop| stop.temporary) {
            *lock(&delivery.earlier) = Some((flow.version, read.clone()));
        }
        read.map_err(unread)
    }

    /// Resumes an execution that waits here, if the condition of its own version holds for it. `declined` wait longer, and are not
    /// meant.
    async fn resume(
        &self,
        passage: &mut Passage,
        delivery: &Delivery<'_>,
        mut run: Run,
        declined: usize,
    ) -> Result<Attempt, Stopped> {
        let id = run.execution.summary.id;
        if let Some(reason) = contradiction(passage, delivery, &run) {
            return Ok(Attempt::Contradicts(reason));
        }
        let flow = Arc::clone(&run.flow);
        let trigger = delivery.trigger_in(&flow);
        let mut uses = Vec::new();
        let asked = self.asked(passage, delivery, &run, &mut uses).await;
        passage.uses.append(&mut uses);
        let (input, decision) = asked?;
        if !decision.holds {
            return Ok(Attempt::DoesNotCount(format!("for {id}: {}", decision.reason)));
        }
        if !run.execution.has_room_for(&input) {
            return Err((Stage::Select, no_room(id)));
        }
        let marks = passage.trace.len();
        passage.passed(Stage::Condition, decision.reason);
        let before = run.execution.summary.clone();
        let turn = run.execution.handle(&flow, event(passage, delivery.trigger, &input), Timestamp::now());
        if turn.entries.is_empty() {
            passage.trace.truncate(marks);
            return Ok(Attempt::Gone);
        }
        let by = match flow.version == passage.flow.version {
            true => String::new(),
            false => format!(", which runs version {}", flow.version),
        };
        let behind = match declined {
            0 => String::new(),
            _ => format!("; {declined} that wait longer are not meant"),
        };
        let of_key = delivery.key.as_ref().map(|key| format!(", which waits for {}", key.in_words)).unwrap_or_default();
        passage.passed(Stage::Select, format!("resumes the execution {id}{by}{of_key}{behind}"));
        let next = Next::of(turn.effect.as_ref());
        let write = advance(&passage.callback.workspace, Some(before), &run.execution, turn.entries);
        let change = Change { outcome: Outcome::Resumed, writes: vec![write], next };
        let end = self.commit_and_answer(passage, trigger, run, change).await?;
        Ok(match end {
            Some(end) => Attempt::Resumed(end),
            None => {
                passage.trace.truncate(marks);
                Attempt::Gone
            }
        })
    }

    /// Resumes one of all.
    async fn resume_silently(
        &self,
        passage: &Passage,
        delivery: &Delivery<'_>,
        id: ExecutionId,
    ) -> Result<OneOfAll, Stopped> {
        for _ in retry_on_conflict() {
            let Some(mut run) = self.load(passage, id).await? else { return Ok(OneOfAll::Gone) };
            if run.execution.standing(&run.flow, &delivery.trigger.id) != Standing::WaitsHere {
                return Ok(OneOfAll::Gone);
            }
            if contradiction(passage, delivery, &run).is_some() {
                return Ok(OneOfAll::DoesNotCount);
            }
            let (input, decision) = self.asked(passage, delivery, &run, &mut Vec::new()).await?;
            if !decision.holds {
                return Ok(OneOfAll::DoesNotCount);
            }
            if !run.execution.has_room_for(&input) {
                return Err((Stage::Select, no_room(id)));
            }
            let before = run.execution.summary.clone();
            let flow = Arc::clone(&run.flow);
            let turn = run.execution.handle(&flow, event(passage, delivery.trigger, &input), Timestamp::now());
            if turn.entries.is_empty() {
                return Ok(OneOfAll::Gone);
            }
            if passage.origin.is_dry_run() {
                return Ok(OneOfAll::Resumed(id));
            }
            if !*delivery.claim.get_or_try_init(|| self.claim(passage)).await? {
                return Ok(OneOfAll::Known);
            }
            let going = self.runner.going(id, Next::of(turn.effect.as_ref()));
            let (workspace, callback) = (passage.callback.workspace.clone(), passage.callback.id);
            let write = advance(&workspace, Some(before), &run.execution, turn.entries);
            let resumed = Write::PutResumed { workspace, callback, execution: id };
            match self.store.commit(vec![write, resumed]).await {
                Ok(()) => {
                    going.go_on(run);
                    return Ok(OneOfAll::Resumed(id));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err((Stage::Commit, Stop::from(&error))),
            }
        }
        Ok(OneOfAll::Gone)
    }

    /// What the callback says to one execution, and what this one's condition says to that.
    async fn asked(
        &self,
        passage: &Passage,
        delivery: &Delivery<'_>,
        run: &Run,
        uses: &mut Vec<PluginUse>,
    ) -> Result<(Input, Decision), Stopped> {
        let (workspace, trigger) = (&passage.callback.workspace, &delivery.trigger.id);
        let input = self.read_for(passage, delivery, &run.flow, uses).await?;
        let subject = Subject {
            callback: Some(Arc::clone(&passage.callback)),
            data: Some(Arc::clone(&input.data)),
            dry_run: passage.origin.is_dry_run(),
            ..subject_for(&run.flow, trigger, workspace, &run.execution)
        };
        let decision = self.runner.counts(&run.flow, &run.execution, trigger, subject, &input, uses).await;
        Ok((input, decision.map_err(|stop| (Stage::Condition, stop))?))
    }

    /// Keeps a callback for an execution that does not wait yet: `None` when it has gone on in the meantime.
    pub(super) async fn keep(
        &self,
        passage: &mut Passage,
        delivery: &Delivery<'_>,
        run: &Run,
    ) -> Result<Option<End>, Stopped> {
        let id = run.execution.summary.id;
        let trigger = delivery.trigger_in(&run.flow);
        let Some(ttl) = trigger.mailbox else {
            let reason = format!("the execution {id} does not wait here yet, and the trigger keeps no mail");
            return Err(refused("not_waiting", "The execution does not wait here.", reason));
        };
        let mut uses = Vec::new();
        let input = self.read_for(passage, delivery, &run.flow, &mut uses).await;
        passage.uses.append(&mut uses);
        let input = input?;
        let expires_at = Timestamp::now().saturating_add(ttl);
        let marks = passage.trace.len();
        passage.passed(Stage::Select, format!("the execution {id} does not wait here yet: kept until {expires_at}"));
        let reply = self.kept(passage, Some(id));
        let end = End { outcome: Outcome::Kept, execution: Some(id), reply, recorded: true };
        let mail = Mail { callback: passage.callback.id, input, expires_at };
        let (workspace, limits) = (&passage.callback.workspace, self.mailbox);
        let no_room = self.store.no_room_for_mail(workspace, id, &trigger.id, &mail, limits).await;
        if let Some(why) = no_room.map_err(|error| (Stage::Select, Stop::from(&error)))? {
            passage.trace.truncate(marks);
            return Err((Stage::Select, not_kept(&format!("the mailbox of the execution {id}"), why, limits)));
        }
        let put = Write::PutMail {
            workspace: passage.callback.workspace.clone(),
            execution: id,
            entries: run.execution.summary.entries,
            trigger: trigger.id.clone(),
            mail: Box::new(mail),
            limits,
        };
        self.commit_kept(passage, marks, put, end).await
    }

    /// Keeps a callback together with its record: `None` when what it was kept for has changed in the meantime, and its trace is as
    /// long as before.
    pub(super) async fn commit_kept(
        &self,
        passage: &mut Passage,
        marks: usize,
        put: Write,
        end: End,
    ) -> Result<Option<End>, Stopped> {
        if passage.origin.is_dry_run() {
            return Ok(Some(end));
        }
        let mut writes = vec![put];
        writes.extend(passage.writes(Outcome::Kept, end.execution, Some(&end.reply)));
        match self.store.commit(writes).await {
            Ok(()) => Ok(Some(end)),
            Err(StoreError::Conflict) => {
                passage.trace.truncate(marks);
                Ok(None)
            }
            Err(error) => Err((Stage::Commit, Stop::from(&error))),
        }
    }
}

fn event(passage: &Passage, trigger: &Trigger, input: &Input) -> Event {
    Event::Resumed { trigger: trigger.id.clone(), callback: passage.callback.id, input: input.clone() }
}

/// Why a callback that selects an execution by something else than its key cannot be for it: the keys that both say differ.
fn contradiction(passage: &Passage, delivery: &Delivery<'_>, run: &Run) -> Option<String> {
    // A ticket is for its execution, whatever the callback says.
    if delivery.key.is_some() || passage.ticket.is_some() {
        return None;
    }
    let correlate = delivery.trigger.correlate.as_ref()?;
    let input = delivery.input.as_ref().ok()?;
    let said = correlate.of_callback(&scope_of(&passage.callback, &passage.flow, input, &passage.vars)).ok()?;
    let Summary { id, .. } = run.execution.summary;
    let key = run.execution.summary.key_at(&delivery.trigger.id).filter(|key| *key != said)?;
    Some(format!("the execution {id} waits for the key {key:?}, and the callback says {said:?}"))
}

pub(super) fn refused(code: &'static str, detail: &'static str, reason: String) -> Stopped {
    (Stage::Select, Stop::refused(404, code, detail, reason))
}

fn no_room(id: ExecutionId) -> Stop {
    let reason = format!("the execution {id} would take more memory than it may with this data");
    Stop::refused(413, "execution_too_large", "The execution cannot take so much data.", reason)
}

pub(super) fn not_kept(whose: &str, why: NoRoom, limits: MailboxLimits) -> Stop {
    let (status, code, detail, what) = match why {
        NoRoom::Full => (409, "mailbox_full", "Too many callbacks wait for the execution already.", "is full"),
        NoRoom::TooSmall => (
            413,
            "mailbox_callback_too_large",
            "The execution does not wait here yet, and no callback as large as this one is kept until it does: sending it again before \
             does not help.",
            "is too small for the callback",
        ),
        NoRoom::WorkspaceFull => {
            let detail = "Too many callbacks are kept until somebody waits for them: try again later.";
            let reason = "the workspace keeps as much for keys that nobody waits for as it may (`early_bytes_max`)";
            return Stop::refused(429, "early_full", detail, reason).with_header("retry-after", "30");
        }
    };
    Stop::refused(status, code, detail, format!("{whose} {what}: it takes {limits}"))
}

fn nobody_waits() -> Stopped {
    refused("nobody_waits", "No execution is waiting here.", "no execution waits at this trigger".to_owned())
}
