//! What a component exports, in whichever version: it is asked, and answers, in the words of the newest.

use super::bindings::exports::{condition, configurable, parser, responder, step, vectors, verifier};
use super::bindings::imports::types::Failure;
use super::bindings::v0_1;
use super::compile::with_causes;
use super::error::UploadError;
use super::host::{CallState, CallbackHandle, ExecutionHandle};
use super::interface::{Line, line_of};
use condition::Decision;
use responder::Reply;
use ringback_records::plugin::Role;
use verifier::{Proof, Verdict};
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Resource};

/// Where each role is among the exports, and what the plugin says of itself.
#[derive(Clone, Default)]
pub(super) struct Exports {
    verifier: Option<Of<verifier::GuestIndices, v0_1::exports::verifier::GuestIndices>>,
    parser: Option<Of<parser::GuestIndices, v0_1::exports::parser::GuestIndices>>,
    condition: Option<Of<condition::GuestIndices, v0_1::exports::condition::GuestIndices>>,
    step: Option<Of<step::GuestIndices, v0_1::exports::step::GuestIndices>>,
    responder: Option<Of<responder::GuestIndices, v0_1::exports::responder::GuestIndices>>,
    configurable: Option<configurable::GuestIndices>,
    vectors: Option<vectors::GuestIndices>,
}

/// An interface in the one line or the other.
#[derive(Clone)]
enum Of<N, E> {
    V1(N),
    V0_1(E),
}

/// What came of a call: an answer, a failure of the guest's, or a trap.
pub(super) type Asked<T> = wasmtime::Result<Result<T, Failure>>;

// The type that the generated functions take.
type Config = String;

/// Finds an interface among the exports of a component.
macro_rules! find {
    ($pre:ident, $names:ident, $interface:ident) => {{
        let name = stringify!($interface);
        let wrong = |error: wasmtime::Error| UploadError::ExportType {
            interface: name.to_owned(),
            problem: with_causes(&error),
        };
        match line_of($names, name) {
            Some(Line::V1) => Some(Of::V1($interface::GuestIndices::new($pre).map_err(wrong)?)),
            Some(Line::V0_1) => Some(Of::V0_1(v0_1::exports::$interface::GuestIndices::new($pre).map_err(wrong)?)),
            None => None,
        }
    }};
    (only in the newest: $pre:ident, $names:ident, $interface:ident) => {{
        let name = stringify!($interface);
        let wrong = |error: wasmtime::Error| UploadError::ExportType {
            interface: name.to_owned(),
            problem: with_causes(&error),
        };
        match line_of($names, name) {
            Some(Line::V1) => Some($interface::GuestIndices::new($pre).map_err(wrong)?),
            Some(Line::V0_1) | None => None,
        }
    }};
}

impl Exports {
    /// The exports of a component by these names.
    pub(super) fn of(pre: &InstancePre<CallState>, names: &[String]) -> Result<Self, UploadError> {
        Ok(Self {
            verifier: find!(pre, names, verifier),
            parser: find!(pre, names, parser),
            condition: find!(pre, names, condition),
            step: find!(pre, names, step),
            responder: find!(pre, names, responder),
            configurable: find!(only in the newest: pre, names, configurable),
            vectors: find!(only in the newest: pre, names, vectors),
        })
    }

    /// The same without the roles that are none of these.
    pub(super) fn only(self, roles: &[Role]) -> Self {
        let Self { verifier, parser, condition, step, responder, .. } = self;
        Self {
            verifier: verifier.filter(|_| roles.contains(&Role::Verifier)),
            parser: parser.filter(|_| roles.contains(&Role::Parser)),
            condition: condition.filter(|_| roles.contains(&Role::Condition)),
            step: step.filter(|_| roles.contains(&Role::Step)),
            responder: responder.filter(|_| roles.contains(&Role::Responder)),
            ..self
        }
    }

    pub(super) fn has(&self, role: Role) -> bool {
        match role {
            Role::Verifier => self.verifier.is_some(),
            Role::Parser => self.parser.is_some(),
            Role::Condition => self.condition.is_some(),
            Role::Step => self.step.is_some(),
            Role::Responder => self.responder.is_some(),
        }
    }

    pub(super) fn roles(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.has(*role)).collect()
    }

    pub(super) fn has_schemas(&self) -> bool {
        self.configurable.is_some()
    }

    pub(super) fn has_vectors(&self) -> bool {
        self.vectors.is_some()
    }

    /// Whether a role says of a configuration whether it takes it.
    pub(super) fn checks(&self, role: Role) -> bool {
        let is_earlier = match role {
            Role::Verifier => matches!(self.verifier, Some(Of::V0_1(_))),
            Role::Parser => matches!(self.parser, Some(Of::V0_1(_))),
            Role::Condition => matches!(self.condition, Some(Of::V0_1(_))),
            Role::Step => matches!(self.step, Some(Of::V0_1(_))),
            Role::Responder => matches!(self.responder, Some(Of::V0_1(_))),
        };
        is_earlier || self.configurable.is_some()
    }
}

fn callback() -> Resource<CallbackHandle> {
    Resource::new_own(0)
}

fn execution() -> Resource<ExecutionHandle> {
    Resource::new_own(0)
}

fn missing() -> wasmtime::Error {
    wasmtime::Error::msg("the interface is not exported")
}

/// An instance, and the store that it is in.
pub(super) struct Guest<'g> {
    pub(super) store: &'g mut Store<CallState>,
    pub(super) instance: Instance,
    pub(super) exports: &'g Exports,
}

impl Guest<'_> {
    pub(super) async fn verify(self, config: &Config) -> Asked<Verdict> {
        let Self { store, instance, exports } = self;
        match exports.verifier.as_ref().ok_or_else(missing)? {
            Of::V1(guest) => guest.load(&mut *store, &instance)?.call_verify(store, callback(), config).await,
            Of::V0_1(guest) => {
                let asked = guest.load(&mut *store, &instance)?.call_verify(store, callback(), config).await?;
                Ok(asked.map(Verdict::from).map_err(Failure::from))
            }
        }
    }

    pub(super) async fn parse(self, config: &Config) -> Asked<String> {
        let Self { store, instance, exports } = self;
        match exports.parser.as_ref().ok_or_else(missing)? {
            Of::V1(guest) => guest.load(&mut *store, &instance)?.call_parse(store, callback(), config).await,
            Of::V0_1(guest) => {
                let asked = guest.load(&mut *store, &instance)?.call_parse(store, callback(), config).await?;
                Ok(asked.map_err(Failure::from))
            }
        }
    }

    pub(super) async fn evaluate(self, config: &Config) -> Asked<Decision> {
        let Self { store, instance, exports } = self;
        let execution = store.data().execution.is_some().then(execution);
        match exports.condition.as_ref().ok_or_else(missing)? {
            Of::V1(guest) => {
                guest.load(&mut *store, &instance)?.call_evaluate(store, callback(), execution, config).await
            }
            Of::V0_1(guest) => {
                let guest = guest.load(&mut *store, &instance)?;
                let asked = guest.call_evaluate(store, callback(), execution, config).await?;
                Ok(asked.map(|holds| Decision { holds, reason: None }).map_err(Failure::from))
            }
        }
    }

    pub(super) async fn run(self, config: &Config) -> Asked<String> {
        let Self { store, instance, exports } = self;
        match exports.step.as_ref().ok_or_else(missing)? {
            Of::V1(guest) => guest.load(&mut *store, &instance)?.call_run(store, execution(), config).await,
            Of::V0_1(guest) => {
                let asked = guest.load(&mut *store, &instance)?.call_run(store, execution(), config).await?;
                Ok(asked.map_err(Failure::from))
            }
        }
    }

    pub(super) async fn respond(self, config: &Config) -> Asked<Reply> {
        let Self { store, instance, exports } = self;
        let execution = store.data().execution.is_some().then(execution);
        match exports.responder.as_ref().ok_or_else(missing)? {
            Of::V1(guest) => {
                guest.load(&mut *store, &instance)?.call_respond(store, callback(), execution, config).await
            }
            Of::V0_1(guest) => {
                let guest = guest.load(&mut *store, &instance)?;
                let asked = guest.call_respond(store, callback(), execution, config).await?;
                Ok(asked.map(Reply::from).map_err(Failure::from))
            }
        }
    }

    /// Whether a role takes a configuration. A plugin of the newest line says so for all of its roles at one place, if it does.
    pub(super) async fn check(self, role: Role, config: &Config) -> Asked<()> {
        macro_rules! earlier {
            ($role:ident) => {
                match &self.exports.$role {
                    Some(Of::V0_1(guest)) => {
                        let guest = guest.load(&mut *self.store, &self.instance)?;
                        return Ok(guest.call_check(self.store, config).await?.map_err(Failure::from));
                    }
                    Some(Of::V1(_)) | None => {}
                }
            };
        }
        match role {
            Role::Verifier => earlier!(verifier),
            Role::Parser => earlier!(parser),
            Role::Condition => earlier!(condition),
            Role::Step => earlier!(step),
            Role::Responder => earlier!(responder),
        }
        let Some(guest) = &self.exports.configurable else { return Ok(Ok(())) };
        let guest = guest.load(&mut *self.store, &self.instance)?;
        let role = role.to_string();
        guest.call_check(self.store, &role, config).await
    }

    /// The schema of a role's configuration.
    pub(super) async fn schema(self, role: Role) -> Asked<Option<String>> {
        let guest = self.exports.configurable.as_ref().ok_or_else(missing)?;
        let guest = guest.load(&mut *self.store, &self.instance)?;
        let role = role.to_string();
        guest.call_schema(self.store, &role).await.map(Ok)
    }

    /// The cases that it says it passes.
    pub(super) async fn cases(self) -> Asked<String> {
        let guest = self.exports.vectors.as_ref().ok_or_else(missing)?;
        guest.load(&mut *self.store, &self.instance)?.call_cases(self.store).await.map(Ok)
    }
}

impl From<v0_1::imports::types::Failure> for Failure {
    fn from(failure: v0_1::imports::types::Failure) -> Self {
        let v0_1::imports::types::Failure { code, message, retryable } = failure;
        Self { code, message, retryable, pointer: None, detail: None }
    }
}

impl From<v0_1::exports::verifier::Verdict> for Verdict {
    fn from(verdict: v0_1::exports::verifier::Verdict) -> Self {
        match verdict {
            v0_1::exports::verifier::Verdict::Accepted(proof) => {
                let v0_1::exports::verifier::Proof { delivery_id, subject } = proof;
                Self::Accepted(Proof { delivery_id, subject, claims: None })
            }
            v0_1::exports::verifier::Verdict::Rejected(reason) => Self::Rejected(reason),
        }
    }
}

impl From<v0_1::exports::responder::Reply> for Reply {
    fn from(reply: v0_1::exports::responder::Reply) -> Self {
        let v0_1::exports::responder::Reply { status, headers, body } = reply;
        Self { status, headers, body }
    }
}
