//! Running executions: performs the effects that they ask for, and makes every result durable before the next step.
//!
//! Several may want to take an execution further at the same time: a callback, a timer, a cancellation. Each change says
//! which state it starts from, so one of them wins, and the others see what became of it.

mod shares;

use crate::callback::Input;
use crate::condition::{Asking, Condition, Decision};
use crate::environment::Environments;
use crate::execution::{Effect, Entry, Event, Execution, Status, Summary, Turn};
use crate::expression::{EvaluationError, Template};
use crate::flow::{Flow, PluginCall};
use crate::flows::Flows;
use crate::name::{CallbackId, ExecutionId, Name, TicketId};
use crate::outcome::{CallbackRecord, Outcome, PluginUse, Reply, Stage, Stop, TraceEntry, Verdict};
use crate::planted::{Fault, is_planted};
use crate::plugin::{CallError, Plugins, Subject};
use crate::reply;
use crate::request::Sender as HttpSender;
use crate::store::{Due, DueKey, Mail, Store, StoreError, Write};
use crate::sync::lock;
use crate::ticket::{self, TicketError, TicketRecord, TicketRequest, Tickets};
use crate::time::Timestamp;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use shares::{Place, Shares};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// How long a step waits before it asks a busy or resting plugin again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a step is tried again whose plugin says that it may succeed later. Each pause is twice the one before.
const FAILURES_MAX: u32 = 5;
/// How often timers are looked at: none is later than this, when there is time to run it.
const TIMER_INTERVAL: Duration = Duration::from_millis(200);
/// Timers that are read at a time.
const TIMERS_PAGE: usize = 1000;
/// Every so many times they are read from the first on; else from where the last look ended.
const TIMERS_FROM_FIRST: u32 = 5;
/// Mail that expires at the same time.
const EXPIRING_MAX: usize = 32;
/// How often a change is tried again that someone else was faster than.
const ATTEMPTS_MAX: usize = 20;

/// What a caller who waits for an execution gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A step answered.
    Responded(Reply),
    /// The execution ended without an answer of its own.
    Ended(Box<Execution>),
    /// It waits, and has not answered.
    Rested(Box<Execution>),
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// An answer of the execution, or its end.
    Answered,
    /// As well that it waits: for another callback, or for a time.
    Rested,
}

impl Answer {
    /// What an execution answers by now, if anything.
    pub fn of(execution: &Execution, until: Until) -> Option<Self> {
        match execution.reply() {
            Some(reply) => Some(Self::Responded(reply.clone())),
            None if execution.summary.status.is_ended() => Some(Self::Ended(Box::new(execution.clone()))),
            None if until == Until::Rested && execution.summary.status == Status::Waiting => {
                Some(Self::Rested(Box::new(execution.clone())))
            }
            None => None,
        }
    }
}

/// A caller who waits.
struct Waiter {
    until: Until,
    send: oneshot::Sender<Answer>,
}

/// Where the answer of an execution arrives. Who gives up leaves nothing behind.
pub struct Waiting {
    runner: Runner,
    id: ExecutionId,
    answer: oneshot::Receiver<Answer>,
}

impl Waiting {
    /// The answer; `None` when nobody can give it any more.
    pub async fn answer(mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answer.close();
        let mut waiters = lock(&self.runner.inner.waiters);
        if let Some(waiting) = waiters.get_mut(&self.id) {
            waiting.retain(|waiter| !waiter.send.is_closed());
            if waiting.is_empty() {
                waiters.remove(&self.id);
            }
        }
    }
}

/// Why an execution could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no execution {0}")]
    Missing(ExecutionId),
    #[error("the flow of the execution is gone: all that can be done is to cancel it")]
    FlowGone,
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

/// An execution on its way.
pub struct Run {
    pub workspace: Name,
    pub flow: Arc<Flow>,
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
            return flow.weight.of(self.run(place, run, job)).await;
        }
        let (runner, workspace) = (self.clone(), run.workspace.clone());
        let work = async move { flow.weight.of(runner.run(place, run, job)).await };
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

    /// Waits for an execution, also for one that is about to begin.
    pub fn wait_for_answer(&self, id: ExecutionId, until: Until) -> Waiting {
        let (send, answer) = oneshot::channel();
        lock(&self.inner.waiters).entry(id).or_default().push(Waiter { until, send });
        Waiting { runner: self.clone(), id, answer }
    }

    /// How many callers wait for the answer of an execution.
    pub fn callers_waiting(&self) -> usize {
        lock(&self.inner.waiters).values().map(Vec::len).sum()
    }

    /// An execution and the flow of its version; `None` when there is no such execution.
    ///
    /// # Errors
    ///
    /// Its flow is gone, or the store failed.
    pub fn load(&self, workspace: &Name, id: ExecutionId) -> Result<Option<Run>, ChangeError> {
        let Inner { store, flows, .. } = &*self.inner;
        let Some((summary, journal)) = store.execution(workspace, id)? else { return Ok(None) };
        let flow = flows.version(workspace, &summary.flow, summary.flow_version)?.ok_or(ChangeError::FlowGone)?;
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
            Err(ChangeError::FlowGone) => self.cancel_without_flow(workspace, id).await,
            Err(error) => Err(error),
        }
    }

    /// Nothing else can happen to an execution whose flow is gone.
    async fn cancel_without_flow(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        let store = &self.inner.store;
        let (before, _) = store.execution(workspace, id)?.ok_or(ChangeError::Missing(id))?;
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
        let (before, _) = store.execution(workspace, id)?.ok_or(ChangeError::Missing(id))?;
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

    /// Handles what is due, for ever.
    pub async fn run_timers(&self) -> std::convert::Infallible {
        let mut looks: u32 = 0;
        let mut after = None;
        let mut expiring: Option<JoinHandle<()>> = None;
        loop {
            tokio::time::sleep(TIMER_INTERVAL).await;
            if looks.is_multiple_of(TIMERS_FROM_FIRST) {
                after = None;
            }
            looks = looks.wrapping_add(1);
            let mut mail = Vec::new();
            after = match self.wake_due(after.take(), &mut mail).await {
                Ok(last) => last,
                Err(error) => {
                    tracing::error!(%error, "timers could not be read");
                    None
                }
            };
            // What is not handled now is found again.
            if !mail.is_empty() && expiring.as_ref().is_none_or(JoinHandle::is_finished) {
                let runner = self.clone();
                expiring = Some(tokio::spawn(async move { runner.expire_all(mail).await }));
            }
        }
    }

    /// Lines up every execution whose time has come, and finds the mail that has expired: up to which key.
    async fn wake_due(
        &self,
        mut after: Option<DueKey>,
        mail: &mut Vec<(Name, ExecutionId, Name, CallbackId)>,
    ) -> Result<Option<DueKey>, StoreError> {
        let now = Timestamp::now();
        loop {
            let page = self.inner.store.due(now, after.clone(), TIMERS_PAGE).await?;
            for due in page.items {
                match due {
                    Due::Execution { workspace, id } => self.wake(&workspace, id),
                    Due::Mail { workspace, execution, trigger, callback } => {
                        mail.push((workspace, execution, trigger, callback));
                    }
                }
            }
            after = page.last.or(after);
            if page.is_end {
                return Ok(after);
            }
        }
    }

    /// Tells an execution that its time has come, unless that is under way already.
    fn wake(&self, workspace: &Name, id: ExecutionId) {
        if lock(&self.inner.waking).insert(id) {
            self.inner.working.line_up(workspace, Job { woken: true, ..Job::go_on(id) });
        }
    }

    async fn expire_all(&self, mail: Vec<(Name, ExecutionId, Name, CallbackId)>) {
        let expire = |(workspace, execution, trigger, callback)| async move {
            if let Err(error) = self.expire(&workspace, execution, &trigger, callback).await {
                tracing::error!(callback.id = %callback, %error, "mail that expired is tried again");
            }
        };
        futures_util::stream::iter(mail).for_each_concurrent(EXPIRING_MAX, expire).await;
    }

    async fn expire(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        callback: CallbackId,
    ) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let Some(mail) = store.mail(workspace, execution, trigger, callback)? else { return Ok(()) };
        let reason = "it expired in the mailbox: the execution did not get to the trigger in time".to_owned();
        let mut writes = vec![take(workspace, execution, trigger, mail)];
        let change = |record: &mut CallbackRecord| record.decide(Outcome::Ignored, Verdict::Ignored, reason);
        writes.extend(self.changed(workspace, callback, change)?);
        match store.commit(writes).await {
            // It was taken in the last moment.
            Err(StoreError::Conflict) => Ok(()),
            result => result,
        }
    }

    /// The record of a callback with a change, to be written.
    fn changed(
        &self,
        workspace: &Name,
        id: CallbackId,
        change: impl FnOnce(&mut CallbackRecord),
    ) -> Result<Option<Write>, StoreError> {
        let Some(mut record) = self.inner.store.callback(workspace, id)? else { return Ok(None) };
        change(&mut record);
        Ok(Some(Write::PutCallback { workspace: workspace.clone(), record: Box::new(record) }))
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
            let trigger = before.wait.as_ref().and_then(|wait| wait.trigger.clone());
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

    /// Goes on with an execution whose change is durable: in the background when it has something to do, else by answering
    /// those who wait.
    pub fn go_on(&self, run: Run, has_effect: bool) {
        if has_effect {
            self.spawn(run);
        } else {
            self.settle(&run.execution);
            self.answer(&run.execution, Until::Rested);
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

    /// Answers those who wait, when there is an answer. Whether the execution rests is known when nothing is left to do.
    fn answer(&self, execution: &Execution, until: Until) {
        let mut waiters = lock(&self.inner.waiters);
        if waiters.is_empty() || !waiters.contains_key(&execution.summary.id) {
            return;
        }
        let Some(answer) = Answer::of(execution, until) else { return };
        let for_all = !matches!(answer, Answer::Rested(_));
        let mut all = waiters.remove(&execution.summary.id).unwrap_or_default();
        let answered: Vec<Waiter> = all.extract_if(.., |waiter| for_all || waiter.until == Until::Rested).collect();
        if !all.is_empty() {
            waiters.insert(execution.summary.id, all);
        }
        for waiter in answered {
            // A caller who is gone needs no answer.
            let _ = waiter.send.send(answer.clone());
        }
    }

    /// What an effect brought. The plugin of its step has failed so often before.
    async fn perform(
        &self,
        workspace: &Name,
        flow: &Flow,
        execution: &Execution,
        effect: &Effect<'_>,
        failures: u32,
    ) -> Result<Performed, StoreError> {
        let mut uses = Vec::new();
        let result = match effect {
            Effect::RunStep { call } => self.run_step(workspace, execution, call, &mut uses).await,
            Effect::BuildReply { call } => self.build_reply(workspace, execution, call, &mut uses).await,
            Effect::MakeTicket { request } => match self.make_ticket(workspace, execution, request).await? {
                Ok((event, write)) => return Ok(Performed::Done(event, write.into_iter().collect())),
                Err(failure) => Err(failure),
            },
            Effect::SendHttp { call, request, idempotency_key } => {
                let scope = execution.scope();
                Ok(self.inner.http.send(workspace, call, request, &scope, idempotency_key).await)
            }
            Effect::LookIntoMailbox { trigger } => match self.look(workspace, flow, execution, trigger).await? {
                Look::Found(event, writes) => return Ok(Performed::Done(event, writes)),
                Look::Nothing => return Ok(Performed::Nothing),
                Look::Later => Err(Failure::Call(CallError::Busy)),
            },
        };
        let event = match result {
            Ok(event) => event,
            Err(Failure::Ticket(message)) => {
                Event::Failed { code: "ticket_refused".to_owned(), message, log: Vec::new() }
            }
            Err(Failure::Expression(error)) => {
                Event::Failed { code: error.code().to_owned(), message: error.to_string(), log: Vec::new() }
            }
            // A responder that does not see its callback would answer something else: better nothing.
            Err(Failure::Store(error)) => return Err(error),
            // Nothing is lost by waiting: the execution is durable.
            Err(Failure::Call(error)) if error.is_temporary() => {
                return Ok(Performed::Later { failures, pause: RETRY_AFTER });
            }
            Err(Failure::Call(error)) if error.may_pass() && failures < FAILURES_MAX => {
                tracing::info!(execution.id = %execution.summary.id, %error, "a step is tried again");
                let pause = RETRY_AFTER * 2_u32.pow(failures);
                return Ok(Performed::Later { failures: failures + 1, pause });
            }
            Err(Failure::Call(error)) => {
                let log = uses.pop().map(|usage| usage.log).unwrap_or_default();
                Event::Failed { code: error.code().to_owned(), message: error.to_string(), log }
            }
        };
        Ok(Performed::Done(event, Vec::new()))
    }

    async fn run_step(
        &self,
        workspace: &Name,
        execution: &Execution,
        call: &PluginCall,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Event, Failure> {
        let config = call.config(&execution.scope()).map_err(Failure::Expression)?;
        let subject = Subject::of_execution(workspace, execution);
        let result = self.inner.plugins.run(&call.plugin, &subject, &config, uses).await.map_err(Failure::Call)?;
        let usage = uses.pop();
        let (digest, duration_us, log) =
            usage.map(|usage| (usage.digest, usage.duration_us, usage.log)).unwrap_or_default();
        Ok(Event::StepDone { plugin: call.plugin.clone(), digest, duration_us, result, log })
    }

    /// A ticket, and the write that makes it together with the step's line in the journal. Or one is closed, for good before the
    /// line is written: once more is as once.
    async fn make_ticket(
        &self,
        workspace: &Name,
        execution: &Execution,
        request: &Template,
    ) -> Result<Result<(Event, Option<Write>), Failure>, StoreError> {
        let request = match request.render(&execution.scope()) {
            Ok(request) => request,
            Err(error) => return Ok(Err(Failure::Expression(error))),
        };
        if let Some(id) = request.get("close") {
            return self.close_ticket(workspace, execution, id).await;
        }
        let mut request: TicketRequest = match serde_json::from_value(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(Failure::Ticket(error.to_string()))),
        };
        request.environment = Some(execution.summary.environment.clone());
        if let Some(handler) = request.handler.as_mut().filter(|handler| handler.trigger.is_some()) {
            handler.execution.get_or_insert(execution.summary.id);
        }
        let tickets = &self.inner.tickets;
        match tickets.prepare(workspace, request, Timestamp::now()).await {
            Ok(ticket) => {
                let made = json!({ "url": tickets.url(&ticket), "state": ticket.state, "id": ticket.id });
                Ok(Ok((Event::TicketMade(made), Some(ticket::new(workspace, &ticket)))))
            }
            Err(TicketError::Store(error)) => Err(error),
            Err(error) => Ok(Err(Failure::Ticket(error.to_string()))),
        }
    }

    async fn close_ticket(
        &self,
        workspace: &Name,
        execution: &Execution,
        id: &Value,
    ) -> Result<Result<(Event, Option<Write>), Failure>, StoreError> {
        let tickets = &self.inner.tickets;
        let parsed = id.as_str().and_then(|id| id.parse::<TicketId>().ok());
        let found = match parsed {
            Some(id) => tickets.get(workspace, id)?,
            None => None,
        };
        // What belongs to another environment is as what is not there.
        let is_here = |ticket: &TicketRecord| {
            ticket.environment == execution.summary.environment && !tickets.is_gone(workspace, ticket)
        };
        let Some(ticket) = found.filter(is_here) else {
            let id: String = id.to_string().chars().take(100).collect();
            return Ok(Err(Failure::Ticket(format!("there is no ticket {id} to close: `close` takes its `id`"))));
        };
        tickets.close(workspace, ticket.id).await?;
        Ok(Ok((Event::TicketMade(json!({ "id": ticket.id })), None)))
    }

    async fn build_reply(
        &self,
        workspace: &Name,
        execution: &Execution,
        call: &PluginCall,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Event, Failure> {
        let config = call.config(&execution.scope()).map_err(Failure::Expression)?;
        let record = self.inner.store.callback(workspace, execution.summary.callback).map_err(Failure::Store)?;
        let callback =
            record.map(|record| Arc::new(record.into_callback(workspace.clone(), self.inner.public_url.clone())));
        let subject = Subject { callback, ..Subject::of_execution(workspace, execution) };
        let reply = self
            .inner
            .plugins
            .respond(&call.plugin, &subject, &config, reply::check, uses)
            .await
            .map_err(Failure::Call)?;
        Ok(Event::ReplyBuilt(reply))
    }

    /// Takes mail out of the mailbox, the oldest first, until one counts. What does not count is ignored for good.
    async fn look(
        &self,
        workspace: &Name,
        flow: &Flow,
        execution: &Execution,
        trigger: &Name,
    ) -> Result<Look, StoreError> {
        let (store, id) = (&self.inner.store, execution.summary.id);
        let mut after = None;
        // One at a time: a mailbox may hold much.
        while let Some(mail) = store.next_mail(workspace, id, trigger, after)? {
            after = Some(mail.callback);
            let record = store.callback(workspace, mail.callback)?;
            let Mail { callback, input, .. } = mail.clone();
            let mut uses = Vec::new();
            let seen = record
                .clone()
                .map(|record| Arc::new(record.into_callback(workspace.clone(), self.inner.public_url.clone())));
            let subject = Subject {
                callback: seen,
                data: Some(Arc::clone(&input.data)),
                ..subject_for(flow, trigger, workspace, execution)
            };
            let decision = self.counts(flow, execution, trigger, subject, &input, &mut uses).await;
            let (outcome, verdict, reason) = match decision {
                Ok(decision) if decision.holds => (Outcome::Resumed, Verdict::Passed, decision.reason),
                Ok(decision) => (Outcome::Ignored, Verdict::Ignored, decision.reason),
                Err(stop) if stop.temporary => return Ok(Look::Later),
                Err(stop) => (Outcome::Failed, Verdict::Failed, stop.reason),
            };
            let mut writes = vec![take(workspace, id, trigger, mail)];
            if let Some(mut record) = record {
                let entry = TraceEntry { stage: Stage::Condition, verdict, reason, duration_us: 0, plugins: uses };
                record.trace.push(entry);
                record.outcome = outcome;
                writes.push(Write::PutCallback { workspace: workspace.clone(), record: Box::new(record) });
            }
            if outcome == Outcome::Resumed {
                return Ok(Look::Found(Event::Resumed { callback, input }, writes));
            }
            match store.commit(writes).await {
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Look::Nothing)
    }

    /// Whether a callback counts for an execution that waits: the condition of the execution's own version decides.
    ///
    /// # Errors
    ///
    /// The condition could not be evaluated.
    pub async fn counts(
        &self,
        flow: &Flow,
        execution: &Execution,
        trigger: &Name,
        subject: Subject,
        input: &Input,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Decision, Stop> {
        let condition = flow.triggers.iter().find(|known| known.id == *trigger).and_then(|known| known.when.as_ref());
        let Some(condition) = condition else { return Ok(Decision::new(true, "there is no condition")) };
        let mut scope = execution.scope();
        // Whom the execution knows, it knows here too.
        let user = input.user.clone().or_else(|| scope.input.user.clone());
        let input = Input { user, ..input.clone() };
        (scope.input, scope.callback) = (&input, subject.callback.as_deref());
        let mut asking = Asking { plugins: &self.inner.plugins, subject: &subject, uses };
        condition.evaluate(&scope, &mut asking).await
    }
}

enum Performed {
    /// What it brought, and what has to be written with that.
    Done(Event, Vec<Write>),
    /// There is nothing to go on with.
    Nothing,
    Later {
        failures: u32,
        pause: Duration,
    },
}

enum Look {
    Found(Event, Vec<Write>),
    Nothing,
    /// A plugin that decides rests.
    Later,
}

enum Failure {
    Expression(EvaluationError),
    Ticket(String),
    Call(CallError),
    Store(StoreError),
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

fn take(workspace: &Name, execution: ExecutionId, trigger: &Name, mail: Mail) -> Write {
    Write::TakeMail { workspace: workspace.clone(), execution, trigger: trigger.clone(), mail: Box::new(mail) }
}
