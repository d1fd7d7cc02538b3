//! Running executions: performs the effects that they ask for, and makes every result durable before the next step.

use crate::execution::{Effect, Event, Execution, Turn};
use crate::flow::{Flow, PluginCall};
use crate::flows::Flows;
use crate::name::{ExecutionId, Name};
use crate::outcome::{PluginUse, Reply};
use crate::plugin::{CallError, Plugins, Subject};
use crate::store::{Store, StoreError, Write};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How long a step waits before it asks a busy or resting plugin again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a caller who waits for an execution gets.
#[derive(Debug)]
pub enum Answer {
    /// A step answered.
    Responded(Reply),
    /// The execution ended without an answer of its own.
    Ended(Box<Execution>),
}

impl Answer {
    /// What an execution that has ended answers.
    pub fn of(execution: &Execution) -> Self {
        match execution.reply() {
            Some(reply) => Self::Responded(reply.clone()),
            None => Self::Ended(Box::new(execution.clone())),
        }
    }
}

/// A handle to the runner. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Runner {
    store: Store,
    flows: Flows,
    plugins: Plugins,
    places: Arc<Semaphore>,
    public_url: String,
}

/// An execution on its way, and its first effect not yet performed.
pub struct Run {
    pub workspace: Name,
    pub flow: Arc<Flow>,
    pub execution: Execution,
    /// Who waits for an answer.
    pub waiter: Option<oneshot::Sender<Answer>>,
}

impl Runner {
    pub fn new(store: Store, flows: Flows, plugins: Plugins, executions_max: usize, public_url: String) -> Self {
        Self { store, flows, plugins, places: Arc::new(Semaphore::new(executions_max)), public_url }
    }

    /// Goes on with an execution in the background. Its state so far is durable: the process may end at any time.
    pub fn spawn(&self, run: Run) {
        let runner = self.clone();
        tokio::spawn(async move {
            let id = run.execution.summary.id;
            if let Err(error) = runner.run(run).await {
                tracing::error!(execution.id = %id, %error, "an execution could not go on; a restart tries again");
            }
        });
    }

    /// Goes on with everything that was running when the process ended: how many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn resume_all(&self) -> Result<usize, StoreError> {
        let running = self.store.running()?;
        let count = running.len();
        let runner = self.clone();
        tokio::spawn(async move {
            for (workspace, id) in running {
                if let Err(error) = runner.resume(workspace, id).await {
                    tracing::error!(execution.id = %id, %error, "an execution could not be resumed");
                }
            }
        });
        Ok(count)
    }

    async fn resume(&self, workspace: Name, id: ExecutionId) -> Result<(), StoreError> {
        let Some(summary) = self.store.execution(&workspace, id)? else { return Ok(()) };
        let journal = self.store.journal(&workspace, id)?;
        let Some(flow) = self.flows.version(&workspace, &summary.flow, summary.flow_version)? else {
            tracing::error!(execution.id = %id, flow.name = %summary.flow, "its flow is gone; it stays as it is");
            return Ok(());
        };
        let execution = Execution::restore(&flow, summary, journal);
        tracing::info!(execution.id = %id, flow.name = %flow.name, "resuming after a restart");
        self.spawn(Run { workspace, flow, execution, waiter: None });
        Ok(())
    }

    async fn run(&self, run: Run) -> Result<(), StoreError> {
        let Run { workspace, flow, mut execution, mut waiter } = run;
        let _place = self.places.acquire().await;
        let mut turn = execution.resume(&flow, Timestamp::now());
        loop {
            let Turn { entries, effect } = turn;
            if !entries.is_empty() {
                self.store.commit(vec![advance(&workspace, &execution, entries)]).await?;
            }
            answer(&mut waiter, &execution);
            let Some(effect) = effect else { break };
            let event = self.perform(&workspace, &execution, &effect).await;
            turn = execution.handle(&flow, event, Timestamp::now());
        }
        metrics::counter!("ringback_executions_ended_total", "status" => execution.summary.status.as_str())
            .increment(1);
        if let Some(waiter) = waiter {
            // A caller who is gone needs no answer.
            let _ = waiter.send(Answer::Ended(Box::new(execution)));
        }
        Ok(())
    }

    async fn perform(&self, workspace: &Name, execution: &Execution, effect: &Effect<'_>) -> Event {
        loop {
            let mut uses = Vec::new();
            let result = match effect {
                Effect::RunStep { call } => self.run_step(workspace, execution, call, &mut uses).await,
                Effect::BuildReply { call } => self.build_reply(workspace, execution, call, &mut uses).await,
            };
            match result {
                Ok(event) => return event,
                Err(Failure::Expression(message)) => {
                    return Event::Failed { code: "expression_failed".to_owned(), message, log: Vec::new() };
                }
                // Nothing is lost by waiting: the execution is durable.
                Err(Failure::Call(CallError::Busy | CallError::Open { .. })) => tokio::time::sleep(RETRY_AFTER).await,
                Err(Failure::Call(error)) => {
                    let log = uses.pop().map(|usage| usage.log).unwrap_or_default();
                    return Event::Failed { code: error.code().to_owned(), message: error.to_string(), log };
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
        let result = self.plugins.run(&call.plugin, &subject, &config, uses).await.map_err(Failure::Call)?;
        let usage = uses.pop();
        let (digest, duration_us, log) =
            usage.map(|usage| (usage.digest, usage.duration_us, usage.log)).unwrap_or_default();
        Ok(Event::StepDone { plugin: call.plugin.clone(), digest, duration_us, result, log })
    }

    async fn build_reply(
        &self,
        workspace: &Name,
        execution: &Execution,
        call: &PluginCall,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Event, Failure> {
        let config = call.config(&execution.scope()).map_err(|error| Failure::Expression(error.to_string()))?;
        let record = self.store.callback(workspace, execution.summary.callback).ok().flatten();
        let callback = record.map(|record| Arc::new(record.into_callback(workspace.clone(), self.public_url.clone())));
        let subject = Subject { callback, ..Subject::of_execution(workspace, execution) };
        let reply = self.plugins.respond(&call.plugin, &subject, &config, uses).await.map_err(Failure::Call)?;
        Ok(Event::ReplyBuilt(reply))
    }
}

enum Failure {
    Expression(String),
    Call(CallError),
}

/// The write that makes new journal entries durable.
pub fn advance(workspace: &Name, execution: &Execution, entries: Vec<crate::execution::Entry>) -> Write {
    Write::Advance { workspace: workspace.clone(), summary: Box::new(execution.summary.clone()), entries }
}

fn answer(waiter: &mut Option<oneshot::Sender<Answer>>, execution: &Execution) {
    if let Some(reply) = execution.reply()
        && let Some(waiter) = waiter.take()
    {
        let _ = waiter.send(Answer::Responded(reply.clone()));
    }
}
