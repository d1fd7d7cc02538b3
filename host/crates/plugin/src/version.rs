//! A version of a plugin that can be called, and what each role is asked.

use super::bindings::exports;
use super::call::{Answer, Linked, Question, VerifierVerdict};
use super::circuit::Circuit;
use super::error::CallError;
use super::sandbox::Sandbox;
use super::subject::Subject;
use ringback_records::json;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::reply::Reply;
use ringback_records::trace::PluginUse;
use ringback_share::Full;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A version that is ready to be called. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Version {
    ready: Arc<Ready>,
}

struct Ready {
    sandbox: Sandbox,
    plugin: Name,
    linked: Arc<Linked>,
    circuit: Circuit,
}

impl Version {
    pub(super) fn new(sandbox: &Sandbox, plugin: &Name, linked: Arc<Linked>) -> Self {
        let (sandbox, plugin, circuit) = (sandbox.clone(), plugin.clone(), Circuit::default());
        Self { ready: Arc::new(Ready { sandbox, plugin, linked, circuit }) }
    }

    /// The same version for another use: what is wrong with one use of it does not concern the others.
    #[must_use]
    pub fn apart(&self) -> Self {
        let Ready { sandbox, plugin, linked, .. } = &*self.ready;
        Self::new(sandbox, plugin, Arc::new(linked.apart()))
    }

    /// What it can be asked to do.
    pub fn roles(&self) -> Vec<Role> {
        self.ready.linked.roles.names()
    }

    /// Whether its calls leave nothing behind and the last ones were not all long: whoever asks it may well ask it once more.
    pub fn is_repeatable(&self) -> bool {
        let linked = &self.ready.linked;
        !linked.has_effects && !linked.is_slow()
    }

    /// Asks whether a role accepts a configuration. What is only tried does not count against the version.
    ///
    /// # Errors
    ///
    /// It does not, or the plugin failed.
    pub async fn check(&self, role: Role, workspace: &Name, config: &str) -> Result<(), CallError> {
        let Ready { sandbox, plugin, linked, .. } = &*self.ready;
        let subject = Subject { dry_run: true, ..Subject::unseen(workspace, &Name::default_name()) };
        let _place = sandbox.inner.places.take(workspace).await.map_err(|Full| CallError::Busy)?;
        sandbox.inner.caller.ask(plugin, linked, Question::Check(role), &subject, config).await.0.map(drop)
    }

    /// Asks a verifier. What it used is added to `uses`.
    ///
    /// # Errors
    ///
    /// The plugin failed, rests, or is no verifier.
    pub async fn verify(
        &self,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<VerifierVerdict, CallError> {
        match self.ask(Question::Verify, subject, config, uses).await? {
            Answer::Verdict(exports::verifier::Verdict::Accepted(proof)) => {
                let exports::verifier::Proof { delivery_id, subject } = proof;
                Ok(VerifierVerdict::Accepted { delivery_id, subject })
            }
            Answer::Verdict(exports::verifier::Verdict::Rejected(reason)) => Ok(VerifierVerdict::Rejected(reason)),
            _ => Err(self.wrong_answer()),
        }
    }

    /// Asks a parser.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify), and when the answer is not JSON.
    pub async fn parse(&self, subject: &Subject, config: &str, uses: &mut Vec<PluginUse>) -> Result<Value, CallError> {
        match self.ask(Question::Parse, subject, config, uses).await? {
            Answer::Json(text) => self.read_data(subject, &text, uses),
            _ => Err(self.wrong_answer()),
        }
    }

    /// Asks a condition.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify). An error is never taken for true.
    pub async fn evaluate(
        &self,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<bool, CallError> {
        match self.ask(Question::Evaluate, subject, config, uses).await? {
            Answer::Holds(holds) => Ok(holds),
            _ => Err(self.wrong_answer()),
        }
    }

    /// Asks a step.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub async fn run(&self, subject: &Subject, config: &str, uses: &mut Vec<PluginUse>) -> Result<Value, CallError> {
        match self.ask(Question::Run, subject, config, uses).await? {
            Answer::Json(text) => self.read_json(subject, &text, uses),
            _ => Err(self.wrong_answer()),
        }
    }

    /// Asks a responder. `check` says whether its answer is allowed.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify), and when the answer is not allowed.
    pub async fn respond(
        &self,
        subject: &Subject,
        config: &str,
        check: fn(Reply) -> Result<Reply, String>,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Reply, CallError> {
        match self.ask(Question::Respond, subject, config, uses).await? {
            Answer::Reply(exports::responder::Reply { status, headers, body }) => {
                let max = self.result_bytes_max(subject);
                if body.len() > max {
                    let reason = format!("the body has {} bytes, more than {max}", body.len());
                    return Err(self.bad_output(reason, subject, uses));
                }
                check(Reply { status, headers, body: body.into() })
                    .map_err(|reason| self.bad_output(reason, subject, uses))
            }
            _ => Err(self.wrong_answer()),
        }
    }

    async fn ask(
        &self,
        question: Question,
        subject: &Subject,
        config: &str,
        uses: &mut Vec<PluginUse>,
    ) -> Result<Answer, CallError> {
        let Ready { sandbox, plugin, linked, circuit } = &*self.ready;
        let role = question.role();
        if !linked.roles.has(role) {
            return Err(CallError::Missing { plugin: plugin.clone(), role });
        }
        if let Some(failures) = circuit.is_open(Instant::now()) {
            return Err(CallError::Open { plugin: plugin.clone(), failures });
        }
        let _place = sandbox.inner.places.take(&subject.workspace).await.map_err(|Full| CallError::Busy)?;
        let (result, usage) = sandbox.inner.caller.ask(plugin, linked, question, subject, config).await;
        metrics::histogram!("ringback_plugin_call_seconds", "role" => role.as_str())
            .record(Duration::from_micros(usage.duration_us).as_secs_f64());
        uses.push(usage);
        result.inspect_err(|error| self.note(error, subject))
    }

    fn read_json(&self, subject: &Subject, text: &str, uses: &mut [PluginUse]) -> Result<Value, CallError> {
        self.json(subject, text).map_err(|reason| self.bad_output(reason, subject, uses))
    }

    /// What a parser made of a body is as large and as deep as its sender wants: JSON that is not taken is no fault of the plugin.
    fn read_data(&self, subject: &Subject, text: &str, uses: &mut [PluginUse]) -> Result<Value, CallError> {
        self.json(subject, text).map_err(|reason| {
            if serde_json::from_str::<IgnoredAny>(text).is_err() {
                return self.bad_output(reason, subject, uses);
            }
            let (plugin, code) = (self.ready.plugin.clone(), "not-taken".to_owned());
            self.failed(CallError::Guest { plugin, code, message: reason, retryable: false }, subject, uses)
        })
    }

    fn json(&self, subject: &Subject, text: &str) -> Result<Value, String> {
        let max = self.result_bytes_max(subject);
        if text.len() > max {
            return Err(format!("the result has {} bytes, more than {max}", text.len()));
        }
        json::from_slice(text.as_bytes()).map_err(|error| format!("the result is not JSON: {error}"))
    }

    fn result_bytes_max(&self, subject: &Subject) -> usize {
        self.ready.sandbox.inner.caller.limits.of(&subject.workspace).result_bytes
    }

    /// What is wrong with an answer counts as well.
    fn bad_output(&self, reason: String, subject: &Subject, uses: &mut [PluginUse]) -> CallError {
        self.failed(CallError::BadOutput { plugin: self.ready.plugin.clone(), reason }, subject, uses)
    }

    fn failed(&self, error: CallError, subject: &Subject, uses: &mut [PluginUse]) -> CallError {
        if let Some(usage) = uses.last_mut() {
            usage.failure = Some(error.code().to_owned());
        }
        self.note(&error, subject);
        error
    }

    /// Each question has one kind of answer.
    fn wrong_answer(&self) -> CallError {
        CallError::Host(format!("the answer of {} belongs to another role", self.ready.plugin))
    }

    /// Who only tries something out changes nothing, and lets nobody rest.
    fn note(&self, error: &CallError, subject: &Subject) {
        tracing::warn!(plugin.name = %self.ready.plugin, code = error.code(), %error, "a plugin call failed");
        metrics::counter!("ringback_plugin_failures_total", "code" => error.code()).increment(1);
        if !subject.dry_run {
            self.ready.circuit.note(error, Instant::now());
        }
    }
}
