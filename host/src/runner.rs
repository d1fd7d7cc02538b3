//! Running executions: performs the effects that they ask for, and makes every result durable before the next step.
//!
//! Several may want to take an execution further at the same time: a callback, a timer, a cancellation. Each change says
//! which state it starts from, so one of them wins, and the others see what became of it.

mod ahead;
mod effects;
mod mailbox;
mod shares;
mod timers;
mod waiters;

pub use waiters::{Answer, Until, Waiting};

use crate::catalogue::environments::Environments;
use crate::catalogue::flows::Flows;
use crate::catalogue::tickets::Tickets;
use crate::weight::LoadedFlow;
use effects::Performed;
use futures_util::future::BoxFuture;
use mailbox::Look;
use ringback_outbound::flow::Sender as HttpSender;
use ringback_plugin::{Plugins, Subject};
use ringback_records::journal::{Entry, Status, Summary};
use ringback_records::name::{ExecutionId, Name};
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_rules::condition::Condition;
use ringback_rules::execution::{Effect, Event, Execution, Turn};
use ringback_rules::flow::Flow;
use ringback_store::planted::{Fault, is_planted};
use ringback_store::{Store, StoreError, Write};
use shares::{Place, Shares};
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use waiters::Waiter;

/// How long a step waits before it asks a busy or resting plugin again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a change is tried again that someone else was faster than.
const ATTEMPTS_MAX: usize = 20;

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
    /// Executions whose timer is being handled.
    waking: Mutex<HashSet<ExecutionId>>,
}

/// What a runner needs.
pub struct Parts {
    pub store: Store,
    pub flows: Flows,
    pub plugins: Plugins,
    pub environments: Environments,
    pub tickets: Tickets,
    pub http: HttpSender,
    pub public_url: String,
    /// The most memory that the values of one execution may take.
    pub execution_bytes_max: usize,
}

/// An execution that stands in line, or pauses. Its state is durable: who has a place reads it again.
struct Job {
    id: ExecutionId,
    /// Whether its time has come.
    woken: bool,
    /// How often the plugin of its step has failed by now.
    failures: u32,
}

impl Job {
    fn go_on(id: ExecutionId) -> Self {
        Self { id, woken: false, failures: 0 }
    }
}

/// What comes later of an execution that has given back its place.
struct Paused {
    job: Job,
    pause: Duration,
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

    /// The same for an execution that is not stored yet: nobody knows its id, so that it has no mail.
    pub fn of_new(effect: Option<&Effect<'_>>) -> Self {
        Self::of(effect.filter(|effect| !matches!(effect, Effect::LookIntoMailbox { .. })))
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
        let Parts { store, flows, plugins, environments, tickets, http, public_url, execution_bytes_max } = parts;
        let freed = Arc::new(Notify::new());
        let inner = Inner {
            store,
            flows,
            plugins,
            environments,
            tickets,
            http,
            working: Shares::new(executions_max, Arc::clone(&freed)),
            requesting: Shares::new(executions_max, Arc::clone(&freed)),
            freed,
            public_url,
            execution_bytes_max,
            waiters: Mutex::default(),
            waking: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The most memory that the values of one execution may take, in bytes.
    pub fn execution_bytes_max(&self) -> usize {
        self.inner.execution_bytes_max
    }

    /// Goes on with an execution in the background, as soon as its workspace has a place. Its state so far is durable: the process
    /// may end at any time.
    pub fn spawn(&self, run: Run) {
        let id = run.execution.summary.id;
        let Some(place) = self.inner.working.enter(&run.workspace) else {
            return self.inner.working.line_up(&run.workspace, Job::go_on(id));
        };
        let runner = self.clone();
        tokio::spawn(async move {
            let done = runner.run_in_its_place(place, run, Job::go_on(id)).await;
            runner.after(id, false, done.map_err(ChangeError::from));
        });
    }

    /// Takes an execution as far as it goes: where it gives way to others, if its flow computes for long.
    async fn run_in_its_place(
        &self,
        place: Place<Job>,
        run: Run,
        job: Job,
    ) -> Result<Option<(Name, Paused)>, StoreError> {
        let flow = Arc::clone(&run.flow);
        if !flow.weight.is_heavy() {
            return flow.weight.of(pin!(self.run(place, run, job))).await;
        }
        let (runner, workspace) = (self.clone(), run.workspace.clone());
        // On the heap: what is rare must not make every run larger.
        let work: BoxFuture<'static, _> =
            Box::pin(async move { flow.weight.of(pin!(runner.run(place, run, job))).await });
        self.inner.plugins.compute(&workspace, work).await.map_err(StoreError::Stopped)?
    }

    /// Gives those who stand in line their places, for ever.
    pub async fn run_lines(&self) -> std::convert::Infallible {
        loop {
            for shares in [&self.inner.working, &self.inner.requesting] {
                while let Some((place, job)) = shares.next() {
                    let runner = self.clone();
                    tokio::spawn(async move {
                        let (id, woken) = (job.id, job.woken);
                        let done = match runner.load(place.workspace(), id) {
                            Ok(Some(run)) => runner.run_in_its_place(place, run, job).await.map_err(ChangeError::from),
                            Ok(None) => Ok(None),
                            Err(error) => Err(error),
                        };
                        runner.after(id, woken, done);
                    });
                }
            }
            self.inner.freed.notified().await;
        }
    }

    /// What there is to do about an execution that has given back its place.
    fn after(&self, id: ExecutionId, woken: bool, done: Result<Option<(Name, Paused)>, ChangeError>) {
        match done {
            Ok(None) => {}
            Ok(Some((workspace, Paused { job, pause }))) => {
                let goes_on_waiting = job.woken;
                let runner = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    runner.inner.working.line_up(&workspace, job);
                });
                if goes_on_waiting {
                    return;
                }
            }
            // A timer that cannot be handled stays in the set, so that it is not tried five times a second.
            Err(error) if woken => {
                return tracing::error!(execution.id = %id, %error, "a timer could not be handled");
            }
            Err(error) => {
                tracing::error!(execution.id = %id, %error, "an execution could not go on; a restart tries again");
            }
        }
        if woken {
            lock(&self.inner.waking).remove(&id);
        }
    }

    /// An execution and the flow of its version; `None` when there is no such execution.
    ///
    /// # Errors
    ///
    /// Its flow is gone, or the store failed.
    pub fn load(&self, workspace: &Name, id: ExecutionId) -> Result<Option<Run>, ChangeError> {
        let Inner { store, flows, .. } = &*self.inner;
        let Some((summary, journal)) = store.execution(workspace, id)? else { return Ok(None) };
        let flow = flows.version(workspace, &summary.flow, summary.flow_version)?;
        let flow = flow.ok_or(ChangeError::FlowGone(summary.status))?;
        let mut execution = Execution::restore(&flow, summary, journal);
        execution.vars = self.inner.environments.vars(workspace, &execution.summary.environment);
        execution.bytes_max = self.inner.execution_bytes_max;
        Ok(Some(Run { workspace: workspace.clone(), flow, execution }))
    }

    /// Goes on with everything that was running when the process ended, and with mail that nobody has looked at: how many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn resume_all(&self) -> Result<usize, StoreError> {
        // One that runs may have mail, too.
        let mut ids: HashSet<_> = self.inner.store.running()?.into_iter().collect();
        ids.extend(self.inner.store.mail_owners()?);
        let count = ids.len();
        for (workspace, id) in ids {
            self.inner.working.line_up(&workspace, Job::go_on(id));
        }
        Ok(count)
    }

    /// Ends an execution that has not ended.
    ///
    /// # Errors
    ///
    /// It has ended, there is none, or the store failed.
    pub async fn cancel(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        match self.change(workspace, id, || Event::Cancelled).await {
            Ok(run) => {
                self.settle(&run.execution);
                Ok(run.execution.summary)
            }
            Err(ChangeError::FlowGone(_)) => self.cancel_without_flow(workspace, id).await,
            Err(error) => Err(error),
        }
    }

    /// Nothing else can happen to an execution whose flow is gone.
    async fn cancel_without_flow(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        let store = &self.inner.store;
        let before = store.summary(workspace, id)?.ok_or(ChangeError::Missing(id))?;
        let Some((summary, entry)) = Execution::cancelled_without_flow(&before, Timestamp::now()) else {
            return Err(ChangeError::WrongStatus(before.status));
        };
        let (before, after) = (Some(Box::new(before)), Box::new(summary.clone()));
        let advance = Write::Advance { workspace: workspace.clone(), before, summary: after, entries: vec![entry] };
        store.commit(vec![advance]).await?;
        Ok(summary)
    }

    /// Lets an execution that failed or timed out try its last step again.
    ///
    /// # Errors
    ///
    /// It is not in such a state, its environment is gone, there is none, or the store failed.
    pub async fn retry(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        let Inner { store, flows, environments, .. } = &*self.inner;
        let before = store.summary(workspace, id)?.ok_or(ChangeError::Missing(id))?;
        let _kept = environments.keep_open(workspace, &before.environment).await;
        if !environments.has(workspace, &before) {
            return Err(ChangeError::EnvironmentGone(before.environment.clone()));
        }
        let _open = flows.keep_open(workspace, &before.flow).await;
        let run = self.change(workspace, id, || Event::Retried).await?;
        let summary = run.execution.summary.clone();
        self.spawn(run);
        Ok(summary)
    }

    async fn change(&self, workspace: &Name, id: ExecutionId, event: impl Fn() -> Event) -> Result<Run, ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let mut run = self.load(workspace, id)?.ok_or(ChangeError::Missing(id))?;
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
    async fn run(&self, mut place: Place<Job>, run: Run, job: Job) -> Result<Option<(Name, Paused)>, StoreError> {
        let Run { workspace, flow, mut execution } = run;
        let Job { id, woken, mut failures } = job;
        let mut before = execution.summary.clone();
        let mut with = Vec::new();
        let mut turn = if woken {
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
                    return Ok(Some((workspace, Paused { job: Job { id, woken, failures }, pause: RETRY_AFTER })));
                }
            }
        } else {
            execution.resume(&flow, Timestamp::now())
        };
        loop {
            let Turn { entries, effect } = turn;
            if !entries.is_empty() {
                with.push(advance(&workspace, Some(before), &execution, entries));
                match self.inner.store.commit(std::mem::take(&mut with)).await {
                    Ok(()) => {}
                    Err(StoreError::Conflict) => {
                        tracing::debug!(execution.id = %id, "someone else was faster");
                        return Ok(None);
                    }
                    Err(error @ StoreError::TooLarge { .. }) => {
                        return self.overflow(&workspace, id, &error).await.map(|()| None);
                    }
                    Err(error) => return Err(error),
                }
                self.settle(&execution);
            } else {
                self.answer(&execution, Until::Answered);
            }
            let Some(effect) = effect else { break };
            if matches!(effect, Effect::SendHttp { .. }) && !place.is_of(&self.inner.requesting) {
                place = match self.inner.requesting.enter(&workspace) {
                    Some(place) => place,
                    None => {
                        self.inner.requesting.line_up(&workspace, Job::go_on(id));
                        return Ok(None);
                    }
                };
            }
            let (event, writes) = match self.perform(&workspace, &flow, &execution, &effect, failures).await? {
                Performed::Done(event, writes) => (event, writes),
                Performed::Nothing => break,
                Performed::Later { failures, pause } => {
                    return Ok(Some((workspace, Paused { job: Job { failures, ..Job::go_on(id) }, pause })));
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
                self.settle(&run.execution);
                Ok(())
            }
            Err(ChangeError::Store(error)) => Err(error),
            // It has ended in the meantime.
            Err(_) => Ok(()),
        }
    }

    /// Goes on with an execution whose change is durable: in the background when it has something to do, else by answering those
    /// who wait.
    pub fn go_on(&self, run: Run, next: Next) {
        match next {
            Next::Nothing => {
                self.settle(&run.execution);
                self.answer(&run.execution, Until::Rested);
            }
            Next::Effect => self.spawn(run),
            Next::Later { failures, pause } => {
                let id = run.execution.summary.id;
                let paused = Paused { job: Job { failures, ..Job::go_on(id) }, pause };
                self.after(id, false, Ok(Some((run.workspace, paused))));
            }
        }
    }

    /// Answers those who wait for an execution that does nothing now, and counts its end.
    fn settle(&self, execution: &Execution) {
        self.answer(execution, Until::Answered);
        if execution.summary.status.is_ended() {
            metrics::counter!("ringback_executions_ended_total", "status" => execution.summary.status.as_str())
                .increment(1);
        }
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
