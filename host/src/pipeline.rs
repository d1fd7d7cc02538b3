//! The way of a callback through the stages. This is the only file that knows their order.
//!
//! Data flows one way: each stage takes what the one before it made, and stages never call each other. A callback that
//! does not pass a stage ends there with an answer and a record that says why.

use crate::callback::{Callback, Request};
use crate::condition::Asking;
use crate::execution::{Execution, Start};
use crate::expression::Scope;
use crate::face;
use crate::flow::{Flow, Mode, PluginCall, ReplySpec, Trigger};
use crate::flows::{Flows, Route};
use crate::name::{CallbackId, ExecutionId, Name};
use crate::outcome::{
    CallbackRecord, Outcome, PluginUse, Problem, Reply, ReplyRecord, Stage, Stop, TraceEntry, Verdict, text_or_base64,
};
use crate::parse::{Parse, parse, pick_fields};
use crate::plugin::{ExecutionView, Plugins, Role, Subject, VerifierVerdict};
use crate::reply::{ReplyError, render};
use crate::runner::{Answer, Run, Runner, advance};
use crate::secret::Secrets;
use crate::store::{Store, StoreError, Write};
use crate::time::Timestamp;
use crate::verify::{Proof, Verified, Verify, not_genuine, verify};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// How much of a body is kept that was not verified: enough to see what it was, too little to fill a disk.
const UNVERIFIED_BODY_BYTES_MAX: usize = 4096;

/// Everything that the stages need.
#[derive(Clone)]
pub struct Pipeline {
    pub store: Store,
    pub flows: Flows,
    pub plugins: Plugins,
    pub secrets: Secrets,
    pub runner: Runner,
    /// Scheme, host and port under which callers reach the public listener.
    pub public_url: String,
}

/// What has been found out about a callback so far.
struct Passage {
    callback: Arc<Callback>,
    flow: Arc<Flow>,
    trigger: usize,
    trace: Vec<TraceEntry>,
    /// Plugins used by the stage that is under way.
    uses: Vec<PluginUse>,
    stage_started: Instant,
    verified: bool,
}

impl Pipeline {
    /// Takes a request through all stages and returns its answer.
    pub async fn handle(&self, request: Request) -> Reply {
        let Some(route) = face::route(&request.path, &self.flows) else {
            metrics::counter!("ringback_callbacks_total", "outcome" => "unknown").increment(1);
            return unknown();
        };
        let started = Instant::now();
        let Route { workspace, flow, trigger } = route;
        let callback = Callback {
            id: CallbackId::new(),
            workspace,
            environment: Name::default_name(),
            request,
            base_url: self.public_url.clone(),
        };
        let (outcome, id, reply) = self.pass(callback, flow, trigger).await;
        metrics::counter!("ringback_callbacks_total", "outcome" => outcome_label(outcome)).increment(1);
        metrics::histogram!("ringback_callback_seconds").record(started.elapsed().as_secs_f64());
        reply.with_header("ringback-callback", id.to_string())
    }

    async fn pass(&self, callback: Callback, flow: Arc<Flow>, trigger: usize) -> (Outcome, CallbackId, Reply) {
        let id = callback.id;
        let mut passage = Passage {
            callback: Arc::new(callback),
            flow: Arc::clone(&flow),
            trigger,
            trace: Vec::with_capacity(6),
            uses: Vec::new(),
            stage_started: Instant::now(),
            verified: false,
        };
        let Some(trigger) = flow.triggers.get(trigger) else { return (Outcome::Rejected, id, unknown()) };
        let (outcome, reply) = match self.decide(&mut passage, trigger).await {
            Ok(Some((data, fields))) => match self.start(&mut passage, trigger, data, fields).await {
                Ok(reply) => (Outcome::Started, reply),
                Err(stop) => self.stopped(&mut passage, stop),
            },
            Ok(None) => {
                let reply = face::ignored();
                self.record_behind(&mut passage, Outcome::Ignored, None, &reply);
                (Outcome::Ignored, reply)
            }
            Err(stop) => self.stopped(&mut passage, stop),
        };
        (outcome, id, reply)
    }

    /// The stages that change nothing: the data of a callback that counts, `None` when it does not.
    async fn decide(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
    ) -> Result<Option<(Value, Map<String, Value>)>, (Stage, Stop)> {
        passage.allow_method(trigger).map_err(|stop| (Stage::Face, stop))?;

        let verified = self.verify(passage, trigger).await.map_err(|stop| (Stage::Verify, stop))?;
        passage.verified = true;
        passage.passed(Stage::Verify, verified.proof().reason.clone());

        let plugin_data = match &trigger.parse {
            Parse::Plugin(call) => Some(self.ask_parser(passage, call).await),
            _ => None,
        };
        let data = parse(&trigger.parse, &verified, plugin_data).map_err(|stop| (Stage::Parse, stop))?;
        let fields = pick_fields(&trigger.fields, &data).map_err(|stop| (Stage::Parse, stop))?;
        let reason = format!("{} bytes became data", passage.callback.request.body.len());
        passage.passed(Stage::Parse, reason);

        let Some(condition) = &trigger.when else { return Ok(Some((data, fields))) };
        let data = Arc::new(data);
        let subject = Subject { data: Some(Arc::clone(&data)), ..passage.callback.subject() };
        let (callback, flow) = (Arc::clone(&passage.callback), Arc::clone(&passage.flow));
        let scope = scope_of(&callback, &flow, &data, &fields);
        let mut asking = Asking { plugins: &self.plugins, subject: &subject, uses: &mut passage.uses };
        let decision = condition.evaluate(&scope, &mut asking).await.map_err(|stop| (Stage::Condition, stop))?;
        drop(subject);
        if !decision.holds {
            passage.note(Stage::Condition, Verdict::Ignored, decision.reason);
            return Ok(None);
        }
        passage.passed(Stage::Condition, decision.reason);
        Ok(Some((Arc::unwrap_or_clone(data), fields)))
    }

    async fn verify(&self, passage: &mut Passage, trigger: &Trigger) -> Result<Verified, Stop> {
        let plugin_verdict = match &trigger.verify {
            Verify::Plugin(call) => Some(self.ask_verifier(passage, call).await),
            _ => None,
        };
        let callback = Arc::clone(&passage.callback);
        verify(&trigger.verify, callback, &self.secrets, Timestamp::now(), plugin_verdict)
    }

    async fn ask_verifier(&self, passage: &mut Passage, call: &PluginCall) -> Result<Proof, Stop> {
        let config = passage.config_before_data(call)?;
        let subject = passage.callback.subject();
        match self.plugins.verify(&call.plugin, &subject, &config, &mut passage.uses).await {
            Ok(VerifierVerdict::Accepted { delivery_id, subject }) => {
                let who = subject.map(|who| format!(" from {who}")).unwrap_or_default();
                Ok(Proof { delivery_id, reason: format!("the plugin {} accepted it{who}", call.plugin) })
            }
            Ok(VerifierVerdict::Rejected(reason)) => {
                let reason: String = reason.chars().filter(|c| !c.is_control()).take(1000).collect();
                Err(not_genuine(format!("the plugin {} rejected it: {reason}", call.plugin)))
            }
            Err(error) => Err(error.stop(Role::Verifier)),
        }
    }

    async fn ask_parser(&self, passage: &mut Passage, call: &PluginCall) -> Result<Value, Stop> {
        let config = passage.config_before_data(call)?;
        let subject = passage.callback.subject();
        let asked = self.plugins.parse(&call.plugin, &subject, &config, &mut passage.uses).await;
        asked.map_err(|error| error.stop(Role::Parser))
    }

    /// Starts an execution: nothing has happened until the whole change is durable.
    async fn start(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        data: Value,
        fields: Map<String, Value>,
    ) -> Result<Reply, (Stage, Stop)> {
        let start = Start {
            id: ExecutionId::new(),
            callback: passage.callback.id,
            environment: passage.callback.environment.clone(),
            data,
            fields,
        };
        let flow = Arc::clone(&passage.flow);
        let (execution, turn) = Execution::start(&flow, start, Timestamp::now());
        let id = execution.summary.id;
        passage.passed(Stage::Select, format!("starts the execution {id}"));
        let goes_on = turn.effect.is_some();

        let reply = match trigger.mode {
            Mode::Async => {
                let reply =
                    self.build_reply(passage, trigger, &execution).await.map_err(|stop| (Stage::Respond, stop))?;
                let reply = reply.unwrap_or_else(|| face::started(passage.callback.id, id));
                passage.passed(Stage::Respond, format!("answers {}", reply.status));
                Some(reply)
            }
            Mode::Sync if goes_on => None,
            Mode::Sync => Some(self.answer(passage, trigger, Answer::of(&execution)).await),
        };

        let record = passage.record(Outcome::Started, Some(id), reply.as_ref());
        let workspace = passage.callback.workspace.clone();
        let put = Write::PutCallback { workspace: workspace.clone(), record: Box::new(record) };
        let write = advance(&workspace, &execution, turn.entries);
        self.store.commit(vec![write, put]).await.map_err(|error| (Stage::Commit, not_stored(&error)))?;
        metrics::counter!("ringback_executions_started_total").increment(1);

        let (send, wait) = oneshot::channel();
        if goes_on {
            let waiter = reply.is_none().then_some(send);
            self.runner.spawn(Run { workspace, flow, execution, waiter });
        } else {
            metrics::counter!("ringback_executions_ended_total", "status" => execution.summary.status.as_str())
                .increment(1);
        }
        if let Some(reply) = reply {
            return Ok(reply);
        }
        passage.passed(Stage::Commit, "the start is durable".to_owned());
        let reply = self.wait(passage, trigger, id, wait).await;
        self.record_behind(passage, Outcome::Started, Some(id), &reply);
        Ok(reply)
    }

    /// The answer of a synchronous trigger whose execution is under way.
    async fn wait(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        id: ExecutionId,
        wait: oneshot::Receiver<Answer>,
    ) -> Reply {
        match tokio::time::timeout(trigger.respond_within, wait).await {
            Ok(Ok(answer)) => self.answer(passage, trigger, answer).await,
            Ok(Err(_)) => {
                passage.note(Stage::Run, Verdict::Failed, "the store failed while the execution ran".to_owned());
                UNAVAILABLE.reply(passage.callback.id).with_header("retry-after", "5")
            }
            Err(_) => {
                let reason =
                    format!("it still ran after {:?}, the `respond_within` of the trigger", trigger.respond_within);
                passage.passed(Stage::Run, reason);
                let body = serde_json::json!({ "callback": passage.callback.id, "execution": id, "status": "running" });
                Reply::json(202, &body)
            }
        }
    }

    /// The flow's own answer, or what became of the execution.
    async fn answer(&self, passage: &mut Passage, trigger: &Trigger, answer: Answer) -> Reply {
        match answer {
            Answer::Responded(reply) => {
                passage.passed(Stage::Run, "a step of the flow answered".to_owned());
                reply
            }
            Answer::Ended(execution) => self.ended(passage, trigger, &execution).await,
        }
    }

    async fn ended(&self, passage: &mut Passage, trigger: &Trigger, execution: &Execution) -> Reply {
        let id = passage.callback.id;
        if let Some(error) = &execution.summary.error {
            passage.note(Stage::Run, Verdict::Failed, format!("{}: {} ({})", error.step, error.message, error.code));
            return EXECUTION_FAILED.reply(id);
        }
        passage.passed(Stage::Run, "the execution ran to its end".to_owned());
        match self.build_reply(passage, trigger, execution).await {
            Ok(reply) => reply.unwrap_or_else(|| face::completed(id, execution.summary.id)),
            Err(stop) => {
                passage.note(Stage::Respond, Verdict::Failed, stop.reason);
                stop.problem.reply(id)
            }
        }
    }

    /// The trigger's own answer, `None` when it has none.
    async fn build_reply(
        &self,
        passage: &mut Passage,
        trigger: &Trigger,
        execution: &Execution,
    ) -> Result<Option<Reply>, Stop> {
        let Some(spec) = &trigger.reply else { return Ok(None) };
        let mut scope = execution.scope();
        let callback = Arc::clone(&passage.callback);
        scope.callback = Some(&callback);
        let call = match spec {
            ReplySpec::Template { .. } => {
                return render(spec, &scope).map_err(|error| match error {
                    ReplyError::Expression(error) => Stop::expression(&error),
                    ReplyError::NotAllowed(reason) => {
                        Stop::failed(500, "reply_not_allowed", "The flow's answer is not allowed.", reason)
                    }
                });
            }
            ReplySpec::Plugin(call) => call,
        };
        let config = call.config(&scope).map_err(|error| Stop::expression(&error))?;
        let subject =
            Subject { callback: Some(callback), ..Subject::of_execution(&passage.callback.workspace, execution) };
        self.plugins
            .respond(&call.plugin, &subject, &config, &mut passage.uses)
            .await
            .map(Some)
            .map_err(|error| error.stop(Role::Responder))
    }

    fn stopped(&self, passage: &mut Passage, (stage, stop): (Stage, Stop)) -> (Outcome, Reply) {
        let (outcome, verdict) =
            if stop.refused { (Outcome::Rejected, Verdict::Refused) } else { (Outcome::Failed, Verdict::Failed) };
        passage.note(stage, verdict, stop.reason);
        let mut reply = stop.problem.reply(passage.callback.id);
        if let Some((name, value)) = stop.header {
            reply = reply.with_header(name, value);
        }
        self.record_behind(passage, outcome, None, &reply);
        (outcome, reply)
    }

    /// Records what nobody was promised.
    fn record_behind(&self, passage: &mut Passage, outcome: Outcome, execution: Option<ExecutionId>, reply: &Reply) {
        let record = passage.record(outcome, execution, Some(reply));
        let workspace = &passage.callback.workspace;
        let kept = match execution {
            None => self.store.keep_recent(workspace, &record),
            // Its record is durable already; this adds the answer.
            Some(_) => {
                let put = Write::PutCallback { workspace: workspace.clone(), record: Box::new(record) };
                self.store.write_behind(&[put])
            }
        };
        if !kept {
            metrics::counter!("ringback_records_dropped_total").increment(1);
        }
    }
}

const UNAVAILABLE: Problem =
    Problem { status: 503, code: "unavailable", detail: "The server cannot take this callback now." };
const EXECUTION_FAILED: Problem = Problem { status: 500, code: "execution_failed", detail: "The flow failed." };

fn unknown() -> Reply {
    let problem = &face::UNKNOWN;
    let body = serde_json::json!({
        "type": "about:blank", "title": "Not Found", "status": problem.status, "detail": problem.detail, "code": problem.code,
    });
    let headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
    Reply { status: problem.status, headers, body: body.to_string().into() }
}

fn not_stored(error: &StoreError) -> Stop {
    Stop::failed(UNAVAILABLE.status, UNAVAILABLE.code, UNAVAILABLE.detail, error.to_string())
        .with_header("retry-after", "5")
}

fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Started => "started",
        Outcome::Resumed => "resumed",
        Outcome::Kept => "kept",
        Outcome::Ignored => "ignored",
        Outcome::Duplicate => "duplicate",
        Outcome::Rejected => "rejected",
        Outcome::Failed => "failed",
    }
}

fn scope_of<'a>(callback: &'a Callback, flow: &'a Flow, data: &'a Value, fields: &'a Map<String, Value>) -> Scope<'a> {
    Scope {
        flow: &flow.name,
        environment: &callback.environment,
        callback: Some(callback),
        data,
        fields,
        execution: None,
    }
}

impl Callback {
    /// What plugins see of a callback whose body is not parsed yet.
    fn subject(self: &Arc<Self>) -> Subject {
        let execution: Option<Arc<ExecutionView>> = None;
        Subject { workspace: self.workspace.clone(), callback: Some(Arc::clone(self)), data: None, execution }
    }
}

impl Passage {
    fn allow_method(&self, trigger: &Trigger) -> Result<(), Stop> {
        let method = &self.callback.request.method;
        if trigger.methods.contains(method) {
            return Ok(());
        }
        let allowed: Vec<&str> = trigger.methods.iter().map(http::Method::as_str).collect();
        let allowed = allowed.join(", ");
        let reason = format!("the method is {method}, but the trigger takes {allowed}");
        Err(Stop::refused(405, "method_not_allowed", "This method is not allowed here.", reason)
            .with_header("allow", allowed))
    }

    /// The configuration of a plugin that runs before there is data.
    fn config_before_data<'c>(&self, call: &'c PluginCall) -> Result<std::borrow::Cow<'c, str>, Stop> {
        let (data, fields) = (Value::Null, Map::new());
        let config = call.config(&scope_of(&self.callback, &self.flow, &data, &fields));
        config.map_err(|error| Stop::expression(&error))
    }

    fn passed(&mut self, stage: Stage, reason: String) {
        self.note(stage, Verdict::Passed, reason);
    }

    fn note(&mut self, stage: Stage, verdict: Verdict, reason: String) {
        let now = Instant::now();
        let duration_us = u64::try_from((now - self.stage_started).as_micros()).unwrap_or(u64::MAX);
        self.stage_started = now;
        let plugins = std::mem::take(&mut self.uses);
        self.trace.push(TraceEntry { stage, verdict, reason, duration_us, plugins });
    }

    fn record(&self, outcome: Outcome, execution: Option<ExecutionId>, reply: Option<&Reply>) -> CallbackRecord {
        let Callback { id, environment, request, .. } = &*self.callback;
        let trigger = self.flow.triggers.get(self.trigger);
        let kept = if self.verified { request.body.len() } else { request.body.len().min(UNVERIFIED_BODY_BYTES_MAX) };
        let (body, body_base64) = text_or_base64(request.body.get(..kept).unwrap_or_default());
        let headers = request
            .headers
            .iter()
            .filter(|(name, _)| !crate::callback::carries_credentials(name.as_str()))
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        CallbackRecord {
            id: *id,
            received_at: request.received_at,
            face: trigger.map(|trigger| trigger.face.as_str()).unwrap_or_default().to_owned(),
            flow: self.flow.name.clone(),
            trigger: trigger.map(|trigger| trigger.id.to_string()).unwrap_or_default(),
            environment: environment.clone(),
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers,
            body,
            body_base64,
            body_bytes: request.body.len() as u64,
            outcome,
            execution,
            reply: reply.map(ReplyRecord::from),
            trace: self.trace.clone(),
        }
    }
}
