//! Running executions: performs the effects that they ask for, and makes every result durable before the next step.
//!
//! Several may want to take an execution further at the same time: a callback, a timer, a cancellation. Each change says
//! which state it starts from, so one of them wins, and the others see what became of it.

mod ahead;
mod effects;
mod hands;
mod mailbox;
mod shares;
mod timers;
mod waiters;

pub use waiters::{Answer, Until, Waiting};

use crate::catalogue::environments::Environments;
use crate::catalogue::flows::Flows;
use crate::catalogue::plugins::Plugins;
use crate::catalogue::tickets::Tickets;
use crate::retry::retry_on_conflict;
use crate::weight::LoadedFlow;
use effects::Performed;
use futures_util::future::BoxFuture;
use hands::{Hand, Hands};
use mailbox::Look;
use ringback_outbound::flow::Sender as HttpSender;
use ringback_plugin::{Sandbox, Subject};
use ringback_records::journal::{Entry, Status, Summary};
use ringback_records::name::{ExecutionId, Name};
use ringback_records::time::Timestamp;
use ringback_rules::condition::Condition;
use ringback_rules::execution::{Effect, Event, Execution, Turn};
use ringback_rules::flow::Flow;
use ringback_store::planted::{Fault, is_planted};
use ringback_store::{Claim, ClaimPage, Store, StoreError, Write};
use shares::{Place, Search, Shares};
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use waiters::Waiter;

/// How long a step waits before it asks a busy plugin again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The same of a plugin that rests, which it does for a minute, unless another version comes.
const ASK_RESTING_AFTER: Duration = Duration::from_secs(5);
/// How long who wanted what was kept for its key pauses when another one was faster.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Why an execution could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no execution {0}")]
    Missing(ExecutionId),
    #[error(
        "the flow of the execution is gone: {}",
        if .0.is_ended() { "it has ended, and nothing of it can be tried again" } else { "all that can be done is to cancel it" }
    )]
    FlowGone(Status),
    #[error(
        "the environment {0} of the execution is gone, and one of the same name that was made later is another: start a new \
         execution there"
    )]
    EnvironmentGone(Name),
    #[error("the execution is {}", .0.as_str())]
    WrongStatus(Status),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle to the runner. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Runner {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    flows: Flows,
    plugins: Plugins,
    /// Where flows that compute for long give way to others.
    sandbox: Sandbox,
    environments: Environments,
    tickets: Tickets,
    http: HttpSender,
    /// Executions that are at work.
    working: Arc<Shares<Job>>,
    /// Executions whose request is under way: who waits for an answer keeps nobody from working.
    requesting: Arc<Shares<Job>>,
    /// Told when one of those in line may have a place.
    freed: Arc<Notify>,
    public_url: String,
    execution_bytes_max: usize,
    /// Callers who wait for an answer.
    waiters: Mutex<HashMap<ExecutionId, Vec<Waiter>>>,
    hands: Arc<Hands>,
    /// Told when an execution has ended that may have held a key.
    let_go: Notify,
}

/// What a runner needs.
pub struct Parts {
    pub store: Store,
    pub flows: Flows,
    pub plugins: Plugins,
    pub sandbox: Sandbox,
    pub environments: Environments,
    pub tickets: Tickets,
    pub http: HttpSender,
    pub public_url: String,
    /// The most memory that the values of one execution may take.
    pub execution_bytes_max: usize,
}

/// An execution that stands in line, or pauses. Its state is durable: who has a place reads it again.
struct Job {
    hand: Hand,
    why: Why,
    /// How often the plugin of its step has failed by now.
    failures: u32,
}

/// Why an execution stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It has something to do.
    GoOn,
    /// It is to be taken further, as the store says.
    Claimed,
    /// Its time has come.
    Woken,
}

impl Job {
    fn new(hand: Hand, why: Why) -> Self {
        Self { hand, why, failures: 0 }
    }
}

/// What comes later of an execution that has given back its place.
struct Paused {
    job: Job,
    pause: Duration,
    /// As what it is found in the store.
    claim: Claim,
}

/// Has an execution in hand that is about to get something to do.
pub struct Going {
    runner: Runner,
    next: Next,
    hand: Option<Hand>,
}

impl Going {
    /// Goes on with an execution whose change is durable: in the background when it has something to do, else by answering
    /// those who wait.
    pub fn go_on(self, run: Run) {
        let Self { runner, next, hand } = self;
        match (next, hand) {
            (Next::Nothing, _) | (_, None) => {
                runner.settle(&run.workspace, &run.flow, &run.execution);
                runner.answer(&run.execution, Until::Rested);
            }
            (Next::Effect, Some(hand)) => runner.spawn(run, hand),
            (Next::Later { failures, pause }, Some(hand)) => {
                let job = Job { failures, ..Job::new(hand, Why::GoOn) };
                let paused = Paused { job, pause, claim: Claim::Running };
                runner.after(&run.workspace, run.execution.summary.id, Ok(Some(paused)));
            }
        }
    }
}

/// What there is to do for an execution once its change is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has ended, or waits.
    Nothing,
    Effect,
    /// The plugin of its step has failed so often, and is asked again after a pause.
    Later {
        failures: u32,
        pause: Duration,
    },
}

impl Next {
    pub fn of(effect: Option<&Effect<'_>>) -> Self {
        effect.map_or(Self::Nothing, |_| Self::Effect)
    }

    /// The same for an execution that is not stored yet: nobody knows its id, so that it has no mail but what is kept for its key.
    pub fn of_new(effect: Option<&Effect<'_>>) -> Self {
        Self::of(effect.filter(|effect| !matches!(effect, Effect::LookIntoMailbox { has_key: false, .. })))
    }
}

/// An execution on its way.
pub struct Run {
    pub workspace: Name,
    pub flow: Arc<LoadedFlow>,
    pub execution: Execution,
}

impl Runner {
    pub fn new(parts: Parts, executions_max: usize) -> Self {
        let Parts { store, flows, plugins, sandbox, environments, tickets, http, public_url, execution_bytes_max } =
            parts;
        let freed = Arc::new(Notify::new());
        let inner = Inner {
            store,
            flows,
            plugins,
            sandbox,
            environments,
            tickets,
            http,
            working: Shares::new(executions_max, Arc::clone(&freed)),
            requesting: Shares::new(executions_max, Arc::clone(&freed)),
            hands: Hands::new(Arc::clone(&freed)),
            freed,
            public_url,
            execution_bytes_max,
            waiters: Mutex::default(),
            let_go: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The most memory that the values of one execution may take, in bytes.
    pub fn execution_bytes_max(&self) -> usize {
        self.inner.execution_bytes_max
    }

    /// To be called before a change is made durable, after which there is this to do for the execution: nobody else goes on with it
    /// in between.
    pub fn going(&self, id: ExecutionId, next: Next) -> Going {
        let hand = (next != Next::Nothing).then(|| self.inner.hands.take(id));
        Going { runner: self.clone(), next, hand }
    }

    /// Goes on with an execution in the background, as soon as its workspace has a place. Its state so far is durable: the process
    /// may end at any time.
    fn spawn(&self, run: Run, hand: Hand) {
        let Some(place) = self.inner.working.enter(&run.workspace) else {
            return self.inner.working.line_up(&run.workspace, Job::new(hand, Why::GoOn));
        };
        let runner = self.clone();
        tokio::spawn(async move {
            let (workspace, id) = (run.workspace.clone(), hand.id());
            let done = runner.run_in_its_place(place, run, Job::new(hand, Why::GoOn)).await;
            runner.after(&workspace, id, done);
        });
    }

    /// Takes an execution as far as it goes: where it gives way to others, if its flow computes for long.
    async fn run_in_its_place(&self, place: Place<Job>, run: Run, job: Job) -> Result<Option<Paused>, StoreError> {
        let flow = Arc::clone(&run.flow);
        if !flow.weight.is_heavy() {
            return flow.weight.of(pin!(self.run(place, run, job))).await;
        }
        let (runner, workspace) = (self.clone(), run.workspace.clone());
        // On the heap: what is rare must not make every run larger.
        let work: BoxFuture<'static, _> =
            Box::pin(async move { flow.weight.of(pin!(runner.run(place, run, job))).await });
        self.inner.sandbox.compute(&workspace, work).await.map_err(StoreError::Stopped)?
    }

    /// Gives those who stand in line their places, for ever.
    pub async fn run_lines(&self) -> std::convert::Infallible {
        let Inner { working, requesting, hands, freed, .. } = &*self.inner;
        loop {
            for (workspace, id) in hands.passed_by() {
                if let Some(hand) = hands.claim(&workspace, id) {
                    working.line_up_anyway(&workspace, Job::new(hand, Why::Claimed));
                }
            }
            for shares in [working, requesting] {
                while let Some((place, job)) = shares.next() {
                    let runner = self.clone();
                    tokio::spawn(async move { runner.run_job(place, job).await });
                }
                while let Some(search) = shares.search(Instant::now()) {
                    let (runner, shares) = (self.clone(), Arc::clone(shares));
                    tokio::spawn(async move { runner.claim(&shares, search).await });
                }
            }
            if working.has_left_some() || requesting.has_left_some() {
                // What was left is looked for at a time.
                let _ = tokio::time::timeout(RETRY_AFTER / 4, freed.notified()).await;
            } else {
                freed.notified().await;
            }
        }
    }

    /// Lines up the next page of those who were left in the store.
    async fn claim(&self, shares: &Shares<Job>, search: Search) {
        let Inner { store, hands, .. } = &*self.inner;
        let Search { workspace, claim, after, limit } = &search;
        let (found, last) = match store.claim(workspace, *claim, *after, *limit).await {
            Ok(ClaimPage { ids, last }) => (ids, last),
            Err(error) => {
                tracing::error!(%workspace, %error, "executions could not be claimed, and are looked for again");
                shares.leave(workspace, *claim, Instant::now());
                (Vec::new(), None)
            }
        };
        let claimed = found.into_iter().filter_map(|id| hands.claim(workspace, id));
        let claimed = claimed.map(|hand| Job::new(hand, Why::Claimed)).collect();
        shares.found(&search, claimed, last);
    }

    /// Reads an execution that has a place now, and takes it as far as it goes.
    async fn run_job(&self, place: Place<Job>, job: Job) {
        let (workspace, id) = (place.workspace().clone(), job.hand.id());
        match self.load(&workspace, id).await {
            // Somebody else took it further before it was read.
            Ok(Some(_)) if job.why == Why::Claimed && !job.hand.is_only_one(&workspace) => {}
            Ok(Some(run)) => {
                let done = self.run_in_its_place(place, run, job).await;
                self.after(&workspace, id, done);
            }
            Ok(None) => {}
            Err(ChangeError::FlowGone(_)) => {
                let ended = self.end_without_flow(&workspace, id).await;
                self.after(&workspace, id, ended.map(|()| None));
            }
            Err(ChangeError::Store(error)) => self.after(&workspace, id, Err(error)),
            // Nobody changes anything here.
            Err(ChangeError::Missing(_) | ChangeError::EnvironmentGone(_) | ChangeError::WrongStatus(_)) => {}
        }
    }

    /// What there is to do about an execution that has given back its place.
    fn after(&self, workspace: &Name, id: ExecutionId, done: Result<Option<Paused>, StoreError>) {
        let working = &self.inner.working;
        match done {
            Ok(None) => {}
            Ok(Some(Paused { job, pause, claim })) => match working.pause(workspace) {
                // A timer is found again by itself. How often a step failed, only its job knows, which does not go on for long.
                None if job.why == Why::Woken => {}
                None if job.failures == 0 => {
                    let again = Instant::now() + pause;
                    working.leave(workspace, claim, again);
                    // Who waits for a key has mail of its own, too.
                    if claim == Claim::Early {
                        working.leave(workspace, Claim::Mail, again);
                    }
                }
                pausing => {
                    let (working, workspace) = (Arc::clone(working), workspace.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(pause).await;
                        drop(pausing);
                        working.line_up_anyway(&workspace, job);
                    });
                }
            },
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(execution.id = %id, %error, "an execution is left out: it cannot be read; a restart tries again");
                self.inner.hands.take(id).keep();
            }
            // The store says so itself.
            Err(StoreError::Stopped(_)) => {}
            Err(error) => {
                tracing::error!(execution.id = %id, %error, "an execution could not go on, and is tried again");
                working.leave(workspace, Claim::Running, Instant::now() + RETRY_AFTER);
            }
        }
    }

    /// An execution and the flow of its version; `None` when there is no such execution.
    ///
    /// # Errors
    ///
    /// Its flow is gone, or the store failed.
    pub async fn load(&self, workspace: &Name, id: ExecutionId) -> Result<Option<Run>, ChangeError> {
        let Inner { store, flows, .. } = &*self.inner;
        let Some((summary, journal)) = store.execution(workspace, id).await? else { return Ok(None) };
        let flow = flows.version(workspace, &summary.flow, summary.flow_version).await?;
        let flow = flow.ok_or(ChangeError::FlowGone(summary.status))?;
        let mut execution = Execution::restore(&flow, summary, journal);
        execution.vars = self.inner.environments.vars(workspace, &execution.summary.environment);
        execution.bytes_max = self.inner.execution_bytes_max;
        Ok(Some(Run { workspace: workspace.clone(), flow, execution }))
    }

    /// Goes on with everything that was running when the process ended, and with mail that nobody has looked at, page by page: in
    /// how many workspaces there is some.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn resume_all(&self) -> Result<usize, StoreError> {
        let mut workspaces = BTreeSet::new();
        for claim in Claim::ALL {
            for workspace in self.inner.store.claimable(claim).await? {
                self.inner.working.leave(&workspace, claim, Instant::now());
                workspaces.insert(workspace);
            }
        }
        Ok(workspaces.len())
    }

    /// Ends an execution that has not ended.
    ///
    /// # Errors
    ///
    /// It has ended, there is none, or the store failed.
    pub async fn cancel(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        match self.change(workspace, id, || Event::Cancelled).await {
            Ok(run) => {
                self.settle(workspace, &run.flow, &run.execution);
                Ok(run.execution.summary)
            }
            Err(ChangeError::FlowGone(_)) => self.cancel_without_flow(workspace, id).await,
            Err(error) => Err(error),
        }
    }

    /// Nothing else can happen to an execution whose flow is gone.
    async fn cancel_without_flow(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        let before = self.inner.store.summary(workspace, id).await?.ok_or(ChangeError::Missing(id))?;
        let status = before.status;
        let ended = Execution::cancelled_without_flow(&before, Timestamp::now());
        let (summary, entry) = ended.ok_or(ChangeError::WrongStatus(status))?;
        self.commit_end(workspace, before, &summary, entry).await?;
        Ok(summary)
    }

    /// Ends an execution that is to go on and whose flow is gone: it must not come up again and again. One whose flow is there and
    /// cannot be read is left out until somebody can.
    async fn end_without_flow(&self, workspace: &Name, id: ExecutionId) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let Some(before) = store.summary(workspace, id).await? else { return Ok(()) };
        if store.flow_version(workspace, &before.flow, before.flow_version).await?.is_some() {
            let (flow, version) = (&before.flow, before.flow_version);
            tracing::error!(execution.id = %id, %flow, version, "an execution is left out: its flow cannot be read");
            self.inner.hands.take(id).keep();
            return Ok(());
        }
        let ended = Execution::failed_without_flow(&before, Timestamp::now());
        let Some((summary, entry)) = ended else { return Ok(()) };
        match self.commit_end(workspace, before, &summary, entry).await {
            Ok(()) => {
                tracing::error!(execution.id = %id, flow = %summary.flow, "an execution failed: its flow is gone");
                Ok(())
            }
            Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn commit_end(
        &self,
        workspace: &Name,
        before: Summary,
        summary: &Summary,
        entry: Entry,
    ) -> Result<(), StoreError> {
        let (before, summary) = (Some(Box::new(before)), Box::new(summary.clone()));
        let advance = Write::Advance { workspace: workspace.clone(), before, summary, entries: vec![entry] };
        self.inner.store.commit(vec![advance]).await
    }

    /// Lets an execution that failed or timed out try its last step again.
    ///
    /// # Errors
    ///
    /// It is not in such a state, its environment is gone, there is none, or the store failed.
    pub async fn retry(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        let Inner { store, flows, environments, .. } = &*self.inner;
        let before = store.summary(workspace, id).await?.ok_or(ChangeError::Missing(id))?;
        let _kept = environments.keep_open(workspace, &before.environment).await;
        if !environments.has(workspace, &before) {
            return Err(ChangeError::EnvironmentGone(before.environment.clone()));
        }
        let _open = flows.keep_open(workspace, &before.flow).await;
        let going = self.going(id, Next::Effect);
        let run = self.change(workspace, id, || Event::Retried).await?;
        let summary = run.execution.summary.clone();
        going.go_on(run);
        Ok(summary)
    }

    async fn change(&self, workspace: &Name, id: ExecutionId, event: impl Fn() -> Event) -> Result<Run, ChangeError> {
        for _ in retry_on_conflict() {
            let mut run = self.load(workspace, id).await?.ok_or(ChangeError::Missing(id))?;
            let before = run.execution.summary.clone();
            let flow = Arc::clone(&run.flow);
            let Turn { entries, .. } = run.execution.handle(&flow, event(), Timestamp::now());
            if entries.is_empty() {
                return Err(ChangeError::WrongStatus(before.status));
            }
            match self.inner.store.commit(vec![advance(workspace, Some(before), &run.execution, entries)]).await {
                Ok(()) => return Ok(run),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Takes an execution as far as it goes: to its end, to a wait, to a pause, or to where someone else takes it further.
    async fn run(&self, mut place: Place<Job>, run: Run, job: Job) -> Result<Option<Paused>, StoreError> {
        let Run { workspace, flow, mut execution } = run;
        let Job { hand, why, mut failures } = job;
        let id = hand.id();
        let mut before = execution.summary.clone();
        let mut with = Vec::new();
        let mut turn = if why == Why::Woken {
            // What was kept came before the time was over, whoever looks at it first.
            if is_planted(Fault::TimeoutAndCallback) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let trigger = before.due(Timestamp::now()).and_then(|wait| wait.trigger.clone());
            let found = match &trigger {
                Some(trigger) => self.look(&workspace, &flow, &execution, trigger).await?,
                None => Look::Nothing,
            };
            match found {
                Look::Found(event, writes) => {
                    with = writes;
                    execution.handle(&flow, event, Timestamp::now())
                }
                Look::Nothing => execution.handle(&flow, Event::Woken, Timestamp::now()),
                Look::Later => {
                    let (job, claim) = (Job { hand, why, failures }, claim_of(&execution));
                    return Ok(Some(Paused { job, pause: RETRY_AFTER, claim }));
                }
            }
        } else {
            execution.resume(&flow, Timestamp::now())
        };
        loop {
            let Turn { entries, effect } = turn;
            if !entries.is_empty() {
                with.push(advance(&workspace, Some(before), &execution, entries));
                let takes_early = with.iter().any(|write| matches!(write, Write::TakeEarly { .. }));
                match self.inner.store.commit(std::mem::take(&mut with)).await {
                    Ok(()) => {}
                    // Another one that waits for the key took it; there may be more.
                    Err(StoreError::Conflict) if takes_early => {
                        let job = Job { hand, why, failures };
                        return Ok(Some(Paused { job, pause: LOOK_AGAIN_AFTER, claim: Claim::Early }));
                    }
                    Err(StoreError::Conflict) => {
                        tracing::debug!(execution.id = %id, "someone else was faster");
                        return Ok(None);
                    }
                    Err(error @ StoreError::TooLarge { .. }) => {
                        return self.overflow(&workspace, id, &error).await.map(|()| None);
                    }
                    Err(error) => return Err(error),
                }
                self.settle(&workspace, &flow, &execution);
            } else {
                self.answer(&execution, Until::Answered);
            }
            let Some(effect) = effect else { break };
            if matches!(effect, Effect::SendHttp { .. }) && !place.is_of(&self.inner.requesting) {
                place = match self.inner.requesting.enter(&workspace) {
                    Some(place) => place,
                    None => {
                        self.inner.requesting.line_up(&workspace, Job::new(hand, Why::GoOn));
                        return Ok(None);
                    }
                };
            }
            let (event, writes) = match self.perform(&workspace, &flow, &execution, &effect, failures).await? {
                Performed::Done(event, writes) => (event, writes),
                Performed::Nothing => break,
                Performed::Later { failures, pause } => {
                    let claim = claim_of(&execution);
                    return Ok(Some(Paused { job: Job { failures, ..Job::new(hand, Why::GoOn) }, pause, claim }));
                }
            };
            failures = 0;
            before = execution.summary.clone();
            with = writes;
            turn = execution.handle(&flow, event, Timestamp::now());
        }
        self.answer(&execution, Until::Rested);
        Ok(None)
    }

    /// Ends an execution whose next change the store does not take.
    async fn overflow(&self, workspace: &Name, id: ExecutionId, error: &StoreError) -> Result<(), StoreError> {
        match self.change(workspace, id, || Event::TooLarge { message: error.to_string() }).await {
            Ok(run) => {
                self.settle(workspace, &run.flow, &run.execution);
                Ok(())
            }
            Err(ChangeError::Store(error)) => Err(error),
            // It has ended in the meantime.
            Err(_) => Ok(()),
        }
    }

    /// How many executions stand in line.
    pub fn executions_in_line(&self) -> usize {
        self.inner.working.in_line() + self.inner.requesting.in_line()
    }

    /// Waits until an execution has ended that may have held a key.
    pub async fn let_go(&self) {
        self.inner.let_go.notified().await;
    }

    /// Answers those who wait for an execution that does nothing now, counts its end, and empties its mailboxes.
    fn settle(&self, workspace: &Name, flow: &Arc<LoadedFlow>, execution: &Execution) {
        self.answer(execution, Until::Answered);
        if !execution.summary.status.is_ended() {
            return;
        }
        metrics::counter!("ringback_executions_ended_total", "status" => execution.summary.status.as_str())
            .increment(1);
        if flow.triggers.first().is_some_and(|first| first.concurrency.is_some()) {
            self.inner.let_go.notify_one();
        }
        if flow.triggers.len() > 1 {
            let (runner, workspace, flow) = (self.clone(), workspace.clone(), Arc::clone(flow));
            let summary = execution.summary.clone();
            tokio::spawn(async move {
                if let Err(error) = runner.close_mailboxes(&workspace, &flow, &summary).await {
                    tracing::error!(execution.id = %summary.id, %error, "mail of an execution that is over is left to expire");
                }
            });
        }
    }
}

/// As what an execution is found that is to be taken further.
fn claim_of(execution: &Execution) -> Claim {
    match &execution.summary {
        summary if summary.status == Status::Running => Claim::Running,
        summary if summary.waits.iter().any(|wait| wait.key.is_some()) => Claim::Early,
        _ => Claim::Mail,
    }
}

/// The write that makes new journal entries durable.
pub fn advance(workspace: &Name, before: Option<Summary>, execution: &Execution, entries: Vec<Entry>) -> Write {
    let summary = Box::new(execution.summary.clone());
    Write::Advance { workspace: workspace.clone(), before: before.map(Box::new), summary, entries }
}

/// What the condition of a trigger sees of an execution; nothing, when no plugin looks.
pub fn subject_for(flow: &Flow, trigger: &Name, workspace: &Name, execution: &Execution) -> Subject {
    let condition = flow.triggers.iter().find(|known| known.id == *trigger).and_then(|known| known.when.as_ref());
    match condition.is_some_and(Condition::asks_plugin) {
        true => Subject::of_execution(workspace, execution),
        false => Subject::unseen(workspace, &execution.summary.environment),
    }
}
