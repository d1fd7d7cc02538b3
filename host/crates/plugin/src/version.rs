//! A version of a plugin that can be called, and what each role is asked.

use super::bindings::exports::condition::Decision;
use super::bindings::exports::responder::Reply as GuestReply;
use super::bindings::exports::verifier::{Proof, Verdict};
use super::call::{Answer, Caller, Linked, Question, Schemas, clean};
use super::circuit::Circuit;
use super::error::{CallError, one_line};
use super::images::Script;
use super::limits::{CLAIMS_BYTES_MAX, REASON_BYTES_MAX, SCHEMA_BYTES_MAX};
use super::sandbox::Sandbox;
use super::subject::Subject;
use ringback_records::json;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::reply::Reply;
use ringback_records::trace::PluginUse;
use ringback_rules::schema::{Misfit, Schema};
use ringback_share::Full;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a verifier decided.
#[derive(Clone, Debug, PartialEq)]
pub enum VerifierVerdict {
    Accepted {
        delivery_id: Option<String>,
        subject: Option<String>,
        /// What else is proved.
        claims: Option<Value>,
    },
    Rejected(String),
}

/// What a condition decided, and why, if it said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub holds: bool,
    pub reason: Option<String>,
}

/// A version that is ready to be called. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Version {
    pub(super) ready: Arc<Ready>,
}

pub(super) struct Ready {
    pub(super) sandbox: Sandbox,
    pub(super) plugin: Name,
    pub(super) linked: Arc<Linked>,
    circuit: Circuit,
    /// The script that it is for, where it is for one alone.
    script: Option<Arc<Script>>,
}

impl Version {
    pub(super) fn new(sandbox: &Sandbox, plugin: &Name, linked: Arc<Linked>) -> Self {
        let (sandbox, plugin, circuit) = (sandbox.clone(), plugin.clone(), Circuit::default());
        Self { ready: Arc::new(Ready { sandbox, plugin, linked, circuit, script: None }) }
    }

    /// The same version for one script of a flow: what is wrong with that does not concern the others. What the configuration of
    /// each call ends with is its source.
    #[must_use]
    pub fn of_script(&self, flow: &Name, end: &str) -> Self {
        let Ready { sandbox, plugin, linked, .. } = &*self.ready;
        let (sandbox, plugin, linked) = (sandbox.clone(), plugin.clone(), Arc::new(linked.apart()));
        let script = Some(Arc::new(Script::new(flow, end)));
        Self { ready: Arc::new(Ready { sandbox, plugin, linked, circuit: Circuit::default(), script }) }
    }

    /// What it can be asked to do.
    pub fn roles(&self) -> Vec<Role> {
        self.ready.linked.exports.roles()
    }

    /// Whether its calls leave nothing behind and the last ones were not all long: whoever asks it may well ask it once more.
    pub fn is_repeatable(&self) -> bool {
        let linked = &self.ready.linked;
        !linked.has_effects && !linked.is_slow()
    }

    /// Which configurations its roles take. It is asked once.
    ///
    /// # Errors
    ///
    /// The plugin failed, or what it answered is no schema.
    pub async fn schemas(&self, workspace: &Name) -> Result<&Schemas, CallError> {
        let Ready { sandbox, plugin, linked, .. } = &*self.ready;
        let schemas = linked.schemas.get_or_try_init(|| async {
            let _place = sandbox.inner.places.take(workspace).await.map_err(|Full| CallError::Busy)?;
            let asked = ask_schemas(&sandbox.inner.caller, plugin, linked, workspace).await;
            asked.map_err(|error| match error {
                NoSchema::Call(error) => error,
                NoSchema::Wrong(role, problem) => {
                    let reason = format!("its schema for a {role} {problem}");
                    CallError::BadOutput { plugin: plugin.clone(), reason }
                }
            })
        });
        schemas.await
    }

    /// Asks whether a role accepts a configuration: its schema first, and then the plugin. What is only tried does not count
    /// against the version.
    ///
    /// # Errors
    ///
    /// It does not, or the plugin failed.
    pub async fn check(&self, role: Role, workspace: &Name, config: &Value) -> Result<(), CallError> {
        let Ready { sandbox, plugin, linked, .. } = &*self.ready;
        if let Some(schema) = self.schemas(workspace).await?.get(&role) {
            schema.check(config).map_err(|Misfit { pointer, detail, .. }| CallError::Guest {
                plugin: plugin.clone(),
                code: "invalid-config".to_owned(),
                message: detail,
                retryable: false,
                pointer: Some(pointer),
            })?;
        }
        if !linked.exports.checks(role) {
            return Ok(());
        }
        let subject = Subject::tried(workspace);
        let _place = sandbox.inner.places.take(workspace).await.map_err(|Full| CallError::Busy)?;
        let caller = &sandbox.inner.caller;
        caller.ask(plugin, linked, Question::Check(role), &subject, &config.to_string()).await.0.map(drop)
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
            Answer::Verdict(verdict) => read_verdict(verdict).map_err(|reason| self.bad_output(reason, subject, uses)),
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
    ) -> Result<Decided, CallError> {
        match self.ask(Question::Evaluate, subject, config, uses).await? {
            Answer::Decision(decision) => Ok(read_decision(decision)),
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
            Answer::Reply(GuestReply { status, headers, body }) => {
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
        let Ready { sandbox, plugin, linked, circuit, script } = &*self.ready;
        let role = question.role().ok_or_else(|| self.wrong_answer())?;
        if !linked.exports.has(role) {
            return Err(CallError::Missing { plugin: plugin.clone(), role });
        }
        if let Some(failures) = circuit.is_open(Instant::now()) {
            return Err(CallError::Open { plugin: plugin.clone(), failures });
        }
        let _place = sandbox.inner.places.take(&subject.workspace).await.map_err(|Full| CallError::Busy)?;
        let image = script.as_ref().and_then(|script| script.image(config));
        let (called, with) = image.as_ref().map_or((linked, config), |(image, config)| (image, config));
        let (result, usage) = sandbox.inner.caller.ask(plugin, called, question, subject, with).await;
        if let (Some(script), None, Ok(_)) = (script, &image, &result)
            && script.is_due()
        {
            sandbox.read_ahead(&subject.workspace, script);
        }
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
            self.failed(
                CallError::Guest { plugin, code, message: reason, retryable: false, pointer: None },
                subject,
                uses,
            )
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
        let Ready { plugin, script, .. } = &*self.ready;
        let (code, workspace) = (error.code(), &subject.workspace);
        match script {
            Some(script) => {
                let flow = &script.flow;
                tracing::warn!(plugin.name = %plugin, flow.name = %flow, %workspace, code, %error, "a script failed")
            }
            None => tracing::warn!(plugin.name = %plugin, %workspace, code, %error, "a plugin call failed"),
        }
        metrics::counter!("ringback_plugin_failures_total", "code" => error.code()).increment(1);
        if !subject.dry_run {
            self.ready.circuit.note(error, Instant::now());
        }
    }
}

/// A verdict as it is taken.
pub(super) fn read_verdict(verdict: Verdict) -> Result<VerifierVerdict, String> {
    let Proof { delivery_id, subject, claims } = match verdict {
        Verdict::Accepted(proof) => proof,
        Verdict::Rejected(reason) => return Ok(VerifierVerdict::Rejected(reason)),
    };
    let claims = claims.map(|claims| match claims.len() {
        0..=CLAIMS_BYTES_MAX => json::from_slice(claims.as_bytes())
            .map_err(|error| format!("the claims are not JSON: {}", one_line(&error.to_string()))),
        found => Err(format!("the claims have {found} bytes, more than {CLAIMS_BYTES_MAX}")),
    });
    Ok(VerifierVerdict::Accepted { delivery_id, subject, claims: claims.transpose()? })
}

/// A decision as it is kept.
pub(super) fn read_decision(decision: Decision) -> Decided {
    let Decision { holds, reason } = decision;
    Decided { holds, reason: reason.map(|reason| clean(&reason, REASON_BYTES_MAX)).filter(|reason| !reason.is_empty()) }
}

/// Why there are no schemas.
pub(super) enum NoSchema {
    /// It could not be asked now.
    Call(CallError),
    /// Of this role, in words that go on after "its schema".
    Wrong(Role, String),
}

/// The schemas of all roles.
pub(super) async fn ask_schemas(
    caller: &Caller,
    plugin: &Name,
    linked: &Arc<Linked>,
    workspace: &Name,
) -> Result<Schemas, NoSchema> {
    let mut schemas = Schemas::new();
    if !linked.exports.has_schemas() {
        return Ok(schemas);
    }
    for role in linked.exports.roles() {
        let text = match caller.ask_itself(plugin, linked, Question::Schema(role), workspace).await {
            Ok(Answer::Schema(Some(text))) => text,
            Ok(_) => continue,
            Err(error) if error.is_temporary() => return Err(NoSchema::Call(error)),
            Err(error) => {
                let problem = format!("cannot be asked for: {}", error.without_name(plugin));
                return Err(NoSchema::Wrong(role, problem));
            }
        };
        let schema = match text.len() {
            0..=SCHEMA_BYTES_MAX => json::from_slice(text.as_bytes())
                .map_err(|error| format!("is not JSON: {}", one_line(&error.to_string())))
                .and_then(Schema::new),
            found => Err(format!("has {found} bytes, more than {SCHEMA_BYTES_MAX}")),
        };
        schemas.insert(role, schema.map_err(|problem| NoSchema::Wrong(role, problem))?);
    }
    Ok(schemas)
}
