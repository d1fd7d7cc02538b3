//! Running executions: performs the effects that they ask for, and makes every result durable before the next step.
//!
//! Several may want to take an execution further at the same time: a callback, a timer, a cancellation. Each change says
//! which state it starts from, so one of them wins, and the others see what became of it.

use crate::callback::Input;
use crate::condition::{Asking, Condition, Decision};
use crate::environment::Environments;
use crate::execution::{Effect, Entry, Event, Execution, Status, Summary, Turn};
use crate::expression::Template;
use crate::flow::{Flow, PluginCall};
use crate::flows::Flows;
use crate::name::{CallbackId, ExecutionId, Name};
use crate::outcome::{CallbackRecord, Outcome, PluginUse, Reply, Stage, Stop, TraceEntry, Verdict};
use crate::planted::{Fault, is_planted};
use crate::plugin::{CallError, Plugins, Subject};
use crate::reply;
use crate::request::Sender as HttpSender;
use crate::store::{Due, Mail, Store, StoreError, Write};
use crate::sync::lock;
use crate::ticket::{self, TicketError, TicketRequest, Tickets};
use crate::time::Timestamp;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How long a step waits before it asks a busy or resting plugin again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often timers are looked at: none is later than this, when there is time to run it.
const TIMER_INTERVAL: Duration = Duration::from_millis(200);
/// Timers that are taken at a time.
const TIMERS_MAX: usize = 1000;
/// How often a change is tried again that someone else was faster than.
const ATTEMPTS_MAX: usize = 20;

/// What a caller who waits for an execution gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A step answered.
    Responded(Reply),
    /// The execution ended without an answer of its own.
    Ended(Box<Execution>),
}

impl Answer {
    /// What an execution answers by now, if anything.
    pub fn of(execution: &Execution) -> Option<Self> {
        match execution.reply() {
            Some(reply) => Some(Self::Responded(reply.clone())),
            None if execution.summary.status.is_ended() => Some(Self::Ended(Box::new(execution.clone()))),
            None => None,
        }
    }
}

/// Why an execution could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no execution {0}")]
    Missing(ExecutionId),
    #[error("the flow of the execution is gone")]
    FlowGone,
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
    places: Semaphore,
    public_url: String,
    /// Callers who wait for an answer.
    waiters: Mutex<HashMap<ExecutionId, Vec<oneshot::Sender<Answer>>>>,
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
}

/// An execution on its way.
pub struct Run {
    pub workspace: Name,
    pub flow: Arc<Flow>,
    pub execution: Execution,
}

impl Runner {
    pub fn new(parts: Parts, executions_max: usize) -> Self {
        let Parts { store, flows, plugins, environments, tickets, http, public_url } = parts;
        let inner = Inner {
            store,
            flows,
            plugins,
            environments,
            tickets,
            http,
            places: Semaphore::new(executions_max),
            public_url,
            waiters: Mutex::default(),
            waking: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Goes on with an execution in the background. Its state so far is durable: the process may end at any time.
    pub fn spawn(&self, run: Run) {
        let runner = self.clone();
        tokio::spawn(async move {
            let id = run.execution.summary.id;
            if let Err(error) = runner.run(run, None).await {
                tracing::error!(execution.id = %id, %error, "an execution could not go on; a restart tries again");
            }
        });
    }

    /// Where the answer of an execution arrives.
    pub fn wait_for_answer(&self, id: ExecutionId) -> oneshot::Receiver<Answer> {
        let (send, wait) = oneshot::channel();
        let mut waiters = lock(&self.inner.waiters);
        let waiting = waiters.entry(id).or_default();
        // Those who have given up.
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(send);
        wait
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
        Ok(Some(Run { workspace: workspace.clone(), flow, execution }))
    }

    /// Goes on with everything that was running when the process ended, and with mail that nobody has looked at: how many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn resume_all(&self) -> Result<usize, StoreError> {
        let mut ids: Vec<_> = self.inner.store.running()?;
        ids.extend(self.inner.store.mail_owners()?);
        let count = ids.len();
        let runner = self.clone();
        tokio::spawn(async move {
            for (workspace, id) in ids {
                match runner.load(&workspace, id) {
                    Ok(Some(run)) => runner.spawn(run),
                    Ok(None) => {}
                    Err(error) => tracing::error!(execution.id = %id, %error, "an execution stays as it is"),
                }
            }
        });
        Ok(count)
    }

    /// Ends an execution that has not ended.
    ///
    /// # Errors
    ///
    /// It has ended, there is none, or the store failed.
    pub async fn cancel(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
        let run = self.change(workspace, id, || Event::Cancelled).await?;
        self.settle(&run.execution);
        Ok(run.execution.summary)
    }

    /// Lets an execution that failed or timed out try its last step again.
    ///
    /// # Errors
    ///
    /// It is not in such a state, there is none, or the store failed.
    pub async fn retry(&self, workspace: &Name, id: ExecutionId) -> Result<Summary, ChangeError> {
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
        loop {
            tokio::time::sleep(TIMER_INTERVAL).await;
            let due = match self.inner.store.due(Timestamp::now(), TIMERS_MAX).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(%error, "timers could not be read");
                    continue;
                }
            };
            for due in due {
                let result = match due {
                    Due::Execution { workspace, id } => {
                        self.wake(workspace, id);
                        Ok(())
                    }
                    Due::Mail { workspace, execution, trigger, callback } => {
                        self.expire(&workspace, execution, &trigger, callback).await
                    }
                };
                if let Err(error) = result {
                    tracing::error!(%error, "a timer could not be handled; it is tried again");
                }
            }
        }
    }

    /// Tells an execution that its time has come, unless that is under way already.
    fn wake(&self, workspace: Name, id: ExecutionId) {
        if !lock(&self.inner.waking).insert(id) {
            return;
        }
        let runner = self.clone();
        tokio::spawn(async move {
            let woken = match runner.load(&workspace, id) {
                Ok(Some(run)) => runner.run(run, Some(Event::Woken)).await.map_err(ChangeError::from),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            match woken {
                Ok(()) => drop(lock(&runner.inner.waking).remove(&id)),
                // Left in the set: what cannot be handled now is not tried five times a second.
                Err(error) => tracing::error!(execution.id = %id, %error, "a timer could not be handled"),
            }
        });
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

    /// Takes an execution as far as it goes: to its end, to a wait, or to where someone else takes it further.
    async fn run(&self, run: Run, event: Option<Event>) -> Result<(), StoreError> {
        let Run { workspace, flow, mut execution } = run;
        let _place = self.inner.places.acquire().await;
        let mut before = execution.summary.clone();
        let mut with = Vec::new();
        let mut turn = match event {
            // What was kept came before the time was over, whoever looks at it first.
            Some(Event::Woken) => {
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
                    // The timer is looked at again.
                    Look::Later => return Ok(()),
                }
            }
            Some(event) => execution.handle(&flow, event, Timestamp::now()),
            None => execution.resume(&flow, Timestamp::now()),
        };
        loop {
            let Turn { entries, effect } = turn;
            if !entries.is_empty() {
                with.push(advance(&workspace, Some(before), &execution, entries));
                match self.inner.store.commit(std::mem::take(&mut with)).await {
                    Ok(()) => {}
                    Err(StoreError::Conflict) => {
                        tracing::debug!(execution.id = %execution.summary.id, "someone else was faster");
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
                self.settle(&execution);
            } else {
                self.answer(&execution);
            }
            let Some(effect) = effect else { break };
            let Some((event, writes)) = self.perform(&workspace, &flow, &execution, &effect).await? else { break };
            before = execution.summary.clone();
            with = writes;
            turn = execution.handle(&flow, event, Timestamp::now());
        }
        Ok(())
    }

    /// Goes on with an execution whose change is durable: in the background when it has something to do, else by answering
    /// those who wait.
    pub fn go_on(&self, run: Run, has_effect: bool) {
        if has_effect {
            self.spawn(run);
        } else {
            self.settle(&run.execution);
        }
    }

    /// Answers those who wait for an execution that does nothing now, and counts its end.
    fn settle(&self, execution: &Execution) {
        self.answer(execution);
        if execution.summary.status.is_ended() {
            metrics::counter!("ringback_executions_ended_total", "status" => execution.summary.status.as_str())
                .increment(1);
        }
    }

    /// Answers those who wait, when there is an answer.
    pub fn answer(&self, execution: &Execution) {
        let mut waiters = lock(&self.inner.waiters);
        if waiters.is_empty() || !waiters.contains_key(&execution.summary.id) {
            return;
        }
        let Some(answer) = Answer::of(execution) else { return };
        for waiter in waiters.remove(&execution.summary.id).unwrap_or_default() {
            // A caller who is gone needs no answer.
            let _ = waiter.send(answer.clone());
        }
    }

    /// What an effect brought, and what has to be written with it; `None` when there is nothing to go on with.
    async fn perform(
        &self,
        workspace: &Name,
        flow: &Flow,
        execution: &Execution,
        effect: &Effect<'_>,
    ) -> Result<Option<(Event, Vec<Write>)>, StoreError> {
        loop {
            let mut uses = Vec::new();
            let result = match effect {
                Effect::RunStep { call } => self.run_step(workspace, execution, call, &mut uses).await,
                Effect::BuildReply { call } => self.build_reply(workspace, execution, call, &mut uses).await,
                Effect::MakeTicket { request } => match self.make_ticket(workspace, execution, request).await? {
                    Ok((event, write)) => return Ok(Some((event, vec![write]))),
                    Err(failure) => Err(failure),
                },
                Effect::SendHttp { call, idempotency_key } => {
                    Ok(self.inner.http.send(workspace, call, &execution.scope(), idempotency_key).await)
                }
                Effect::LookIntoMailbox { trigger } => match self.look(workspace, flow, execution, trigger).await? {
                    Look::Found(event, writes) => return Ok(Some((event, writes))),
                    Look::Nothing => return Ok(None),
                    Look::Later => Err(Failure::Call(CallError::Busy)),
                },
            };
            match result {
                Ok(event) => return Ok(Some((event, Vec::new()))),
                Err(Failure::Ticket(message)) => {
                    let event = Event::Failed { code: "ticket_refused".to_owned(), message, log: Vec::new() };
                    return Ok(Some((event, Vec::new())));
                }
                Err(Failure::Expression(message)) => {
                    let event = Event::Failed { code: "expression_failed".to_owned(), message, log: Vec::new() };
                    return Ok(Some((event, Vec::new())));
                }
                // Nothing is lost by waiting: the execution is durable.
                Err(Failure::Call(CallError::Busy | CallError::Open { .. })) => tokio::time::sleep(RETRY_AFTER).await,
                Err(Failure::Call(error)) => {
                    let log = uses.pop().map(|usage| usage.log).unwrap_or_default();
                    let event = Event::Failed { code: error.code().to_owned(), message: error.to_string(), log };
                    return Ok(Some((event, Vec::new())));
                }
            }
        }
    }

    async fn run_step(
        &self,
        workspace: &Name,
        execution: &Execution,
        call: &PluginCall,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Event, Failure> {
        let config = call.config(&execution.scope()).map_err(|error| Failure::Expression(error.to_string()))?;
        let subject = Subject::of_execution(workspace, execution);
        let result = self.inner.plugins.run(&call.plugin, &subject, &config, uses).await.map_err(Failure::Call)?;
        let usage = uses.pop();
        let (digest, duration_us, log) =
            usage.map(|usage| (usage.digest, usage.duration_us, usage.log)).unwrap_or_default();
        Ok(Event::StepDone { plugin: call.plugin.clone(), digest, duration_us, result, log })
    }

    /// A ticket, and the write that makes it together with the step's line in the journal.
    async fn make_ticket(
        &self,
        workspace: &Name,
        execution: &Execution,
        request: &Template,
    ) -> Result<Result<(Event, Write), Failure>, StoreError> {
        let request = match request.render(&execution.scope()) {
            Ok(request) => request,
            Err(error) => return Ok(Err(Failure::Expression(error.to_string()))),
        };
        let mut request: TicketRequest = match serde_json::from_value(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(Failure::Ticket(error.to_string()))),
        };
        request.environment = Some(execution.summary.environment.clone());
        if let Some(handler) = request.handler.as_mut().filter(|handler| handler.trigger.is_some()) {
            handler.execution = Some(execution.summary.id);
        }
        let tickets = &self.inner.tickets;
        match tickets.prepare(workspace, request, Timestamp::now()).await {
            Ok(ticket) => {
                let made = json!({ "url": tickets.url(&ticket), "state": ticket.state, "id": ticket.id });
                Ok(Ok((Event::TicketMade(made), ticket::new(workspace, &ticket))))
            }
            Err(TicketError::Store(error)) => Err(error),
            Err(error) => Ok(Err(Failure::Ticket(error.to_string()))),
        }
    }

    async fn build_reply(
        &self,
        workspace: &Name,
        execution: &Execution,
        call: &PluginCall,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Event, Failure> {
        let config = call.config(&execution.scope()).map_err(|error| Failure::Expression(error.to_string()))?;
        let record = self.inner.store.callback(workspace, execution.summary.callback).ok().flatten();
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
        for mail in store.mailbox(workspace, id, trigger)? {
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

enum Look {
    Found(Event, Vec<Write>),
    Nothing,
    /// A plugin that decides rests.
    Later,
}

enum Failure {
    Expression(String),
    Ticket(String),
    Call(CallError),
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
