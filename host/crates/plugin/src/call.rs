//! One call of a plugin: a fresh store, the limits, and what came of it.

use super::bindings::exports;
use super::engine::{Running, Ticker};
use super::error::CallError;
use super::host::{CallState, CallbackHandle, ExecutionHandle, LimitReached, Misuse, Services};
use super::limits::{self, CallLimits, Limits};
use super::share::SlowLane;
use super::subject::Subject;
use super::turns::Turns;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::time::Timestamp;
use ringback_records::trace::PluginUse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use wasmtime::component::{InstancePre, Resource};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

/// What a verifier plugin decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifierVerdict {
    Accepted { delivery_id: Option<String>, subject: Option<String> },
    Rejected(String),
}

/// A version that is compiled and linked: only memory is missing.
pub(super) struct Linked {
    pub(super) pre: InstancePre<CallState>,
    pub(super) roles: Roles,
    pub(super) digest: String,
    /// Whether it was uploaded under the limits for large plugins.
    pub(super) large: bool,
    pub(super) wants_wasi: bool,
    /// Whether its calls may leave something behind: in its state, or elsewhere.
    pub(super) has_effects: bool,
    /// How many of its last calls were long ones, counted no further than [`SLOW`].
    pub(super) long: AtomicU8,
}

/// After so many long calls the next begins as one. The first after a rest may be long since nothing is where it is needed.
const SLOW: u8 = 2;

impl Linked {
    /// The same, of whose calls nothing is known yet.
    pub(super) fn apart(&self) -> Self {
        let Self { pre, roles, digest, large, wants_wasi, has_effects, .. } = self;
        let (pre, roles, digest, long) = (pre.clone(), roles.clone(), digest.clone(), AtomicU8::new(0));
        Self { pre, roles, digest, large: *large, wants_wasi: *wants_wasi, has_effects: *has_effects, long }
    }

    /// Whether its next call is expected to be a long one.
    pub(super) fn is_slow(&self) -> bool {
        self.long.load(Ordering::Relaxed) >= SLOW
    }

    fn note(&self, is_long: bool) {
        let before = self.long.load(Ordering::Relaxed);
        let now = if is_long { before.saturating_add(1).min(SLOW) } else { 0 };
        if now != before {
            self.long.store(now, Ordering::Relaxed);
        }
    }
}

/// Where each role is among the exports.
#[derive(Clone, Default)]
pub(super) struct Roles {
    pub(super) verifier: Option<exports::verifier::GuestIndices>,
    pub(super) parser: Option<exports::parser::GuestIndices>,
    pub(super) condition: Option<exports::condition::GuestIndices>,
    pub(super) step: Option<exports::step::GuestIndices>,
    pub(super) responder: Option<exports::responder::GuestIndices>,
}

impl Roles {
    pub(super) fn has(&self, role: Role) -> bool {
        match role {
            Role::Verifier => self.verifier.is_some(),
            Role::Parser => self.parser.is_some(),
            Role::Condition => self.condition.is_some(),
            Role::Step => self.step.is_some(),
            Role::Responder => self.responder.is_some(),
        }
    }

    pub(super) fn names(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.has(*role)).collect()
    }
}

/// What every call needs.
pub(super) struct Caller {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    pub(super) slow_lane: SlowLane,
    pub(super) services: Arc<Services>,
    pub(super) limits: Limits,
    pub(super) body_bytes_max: usize,
}

/// What a role is asked, and the place of its answer.
pub(super) enum Question {
    Check(Role),
    Verify,
    Parse,
    Evaluate,
    Run,
    Respond,
}

/// What a role answered, as it came.
pub(super) enum Answer {
    Checked,
    Verdict(exports::verifier::Verdict),
    Json(String),
    Holds(bool),
    Reply(exports::responder::Reply),
}

impl Question {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Check(role) => *role,
            Self::Verify => Role::Verifier,
            Self::Parse => Role::Parser,
            Self::Evaluate => Role::Condition,
            Self::Run => Role::Step,
            Self::Respond => Role::Responder,
        }
    }
}

impl Caller {
    /// Asks a plugin, and tells what it used.
    pub(super) async fn ask(
        &self,
        plugin: &Name,
        linked: &Arc<Linked>,
        question: Question,
        subject: &Subject,
        config: &str,
    ) -> (Result<Answer, CallError>, PluginUse) {
        let started = Instant::now();
        let limits = self.limits.of(&subject.workspace);
        let memory_bytes = if linked.large { limits.large_memory_bytes } else { limits.memory_bytes };
        let state = CallState::new(
            Arc::clone(&self.services),
            subject,
            plugin.clone(),
            Timestamp::now(),
            memory_bytes,
            limits.log_lines,
            linked.wants_wasi,
        );
        let cpu = match question.role() {
            Role::Verifier | Role::Condition => limits.decide_cpu,
            Role::Parser | Role::Step | Role::Responder => limits.work_cpu,
        };
        let turns = Turns::new(cpu * limits::WALL_FACTOR);
        let store = self.store(state, limits, cpu, Arc::clone(&turns));
        let running = self.ticker.guard();
        let call = enter_in_time(running, store, Arc::clone(linked), question, config.to_owned(), Arc::clone(&turns));
        let slow = linked.is_slow();
        let called = self.slow_lane.run(&subject.workspace, call, &turns, slow).await;
        linked.note(turns.is_long());
        let mut usage = PluginUse {
            plugin: plugin.clone(),
            digest: linked.digest.clone(),
            duration_us: micros(started.elapsed()),
            cpu_us: Some(micros(turns.cpu())),
            memory_bytes: 0,
            log: Vec::new(),
            failure: None,
        };
        let result = called.and_then(|(asked, state)| {
            usage.memory_bytes = state.memory.largest_bytes as u64;
            let last_words;
            (usage.log, last_words) = state.said();
            match asked {
                Some(Ok(Ok(answer))) => Ok(answer),
                Some(Ok(Err(failure))) => Err(guest_failure(plugin, failure)),
                Some(Err(error)) => Err(self.classify(plugin, memory_bytes, cpu, &error).saying(last_words)),
                None if turns.wants_to_run() => Err(CallError::Crowded { plugin: plugin.clone() }),
                None => {
                    let limit = format!("{} ms of wall-clock time", (cpu * limits::WALL_FACTOR).as_millis());
                    Err(CallError::OutOfTime { plugin: plugin.clone(), limit })
                }
            }
        });
        usage.failure = result.as_ref().err().map(|error| error.code().to_owned());
        (result, usage)
    }

    fn store(&self, state: CallState, limits: &CallLimits, cpu: Duration, turns: Arc<Turns>) -> Store<CallState> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(2 * self.body_bytes_max.max(limits.result_bytes));
        store.set_max_component_handles(limits::HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match turns.tick() {
            used if used < cpu => Ok(UpdateDeadline::Yield(1)),
            _ => Err(LimitReached::Time.into()),
        });
        store
    }

    fn classify(&self, plugin: &Name, memory_bytes: usize, cpu: Duration, error: &wasmtime::Error) -> CallError {
        let plugin = plugin.clone();
        match error.downcast_ref::<LimitReached>() {
            Some(LimitReached::Time) => {
                return CallError::OutOfTime { plugin, limit: format!("{} ms of CPU time", cpu.as_millis()) };
            }
            Some(LimitReached::Memory) => {
                return CallError::OutOfMemory { plugin, limit_bytes: memory_bytes };
            }
            None => {}
        }
        if let Some(Misuse(reason)) = error.downcast_ref::<Misuse>() {
            return CallError::Trapped { plugin, reason: reason.clone() };
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return CallError::Trapped { plugin, reason: trap.to_string() };
        }
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return CallError::Trapped { plugin, reason: format!("it ended itself with status {status}") };
        }
        // What is left is an answer, or an argument, that cannot be taken over from the guest.
        let reason: String = super::compile::with_causes(error).chars().take(300).collect();
        CallError::BadOutput { plugin, reason }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

type Asked = wasmtime::Result<Result<Answer, exports::condition::Failure>>;

/// A call, and what it left in its store; the store itself is dropped. The clock runs for as long as the call is there: also
/// when nobody waits for it any more, it must come to the end of its turn.
async fn enter_in_time(
    _running: Running,
    mut store: Store<CallState>,
    linked: Arc<Linked>,
    question: Question,
    config: String,
    turns: Arc<Turns>,
) -> (Option<Asked>, CallState) {
    let asked = turns.in_time(enter(&mut store, &linked, &question, &config)).await;
    (asked, store.into_data())
}

async fn enter(
    store: &mut Store<CallState>,
    linked: &Linked,
    question: &Question,
    // The type that the generated functions take.
    config: &String,
) -> Asked {
    let has_execution = store.data().execution.is_some();
    let instance = linked.pre.instantiate_async(&mut *store).await?;
    let roles = &linked.roles;
    let missing = || wasmtime::Error::msg("the role is not exported");
    let callback = || Resource::<CallbackHandle>::new_own(0);
    let execution = || Resource::<ExecutionHandle>::new_own(0);
    let optional_execution = has_execution.then(execution);
    Ok(match question {
        Question::Verify => {
            let guest = roles.verifier.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
            guest.call_verify(store, callback(), config).await?.map(Answer::Verdict)
        }
        Question::Parse => {
            let guest = roles.parser.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
            guest.call_parse(store, callback(), config).await?.map(Answer::Json)
        }
        Question::Evaluate => {
            let guest = roles.condition.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
            guest.call_evaluate(store, callback(), optional_execution, config).await?.map(Answer::Holds)
        }
        Question::Run => {
            let guest = roles.step.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
            guest.call_run(store, execution(), config).await?.map(Answer::Json)
        }
        Question::Respond => {
            let guest = roles.responder.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
            guest.call_respond(store, callback(), optional_execution, config).await?.map(Answer::Reply)
        }
        Question::Check(role) => {
            let checked = match role {
                Role::Verifier => {
                    let guest = roles.verifier.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
                    guest.call_check(store, config).await?
                }
                Role::Parser => {
                    let guest = roles.parser.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
                    guest.call_check(store, config).await?
                }
                Role::Condition => {
                    let guest = roles.condition.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
                    guest.call_check(store, config).await?
                }
                Role::Step => {
                    let guest = roles.step.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
                    guest.call_check(store, config).await?
                }
                Role::Responder => {
                    let guest = roles.responder.as_ref().ok_or_else(missing)?.load(&mut *store, &instance)?;
                    guest.call_check(store, config).await?
                }
            };
            checked.map(|()| Answer::Checked)
        }
    })
}

/// A guest's own words, shortened and without control characters: they go into records and logs.
fn guest_failure(plugin: &Name, failure: exports::condition::Failure) -> CallError {
    let clean = |text: &str, max: usize| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect()
    };
    CallError::Guest {
        plugin: plugin.clone(),
        code: clean(&failure.code, limits::FAILURE_CODE_BYTES_MAX),
        message: clean(&failure.message, limits::LOG_LINE_BYTES_MAX),
        retryable: failure.retryable,
    }
}
