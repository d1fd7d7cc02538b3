//! One call of a plugin: a fresh store, the limits, and what came of it.

use super::bindings::exports::condition::Decision;
use super::bindings::exports::responder::Reply;
use super::bindings::exports::verifier::Verdict;
use super::bindings::imports::types::Failure;
use super::engine::{Running, Ticker};
use super::error::{CallError, one_line};
use super::exports::{Asked, Exports, Guest};
use super::host::{CallState, LimitReached, Misuse, Services};
use super::limits::{self, CallLimits, Limits};
use super::share::SlowLane;
use super::subject::Subject;
use super::turns::Turns;
use ringback_records::json;
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use ringback_records::trace::PluginUse;
use ringback_rules::schema::Schema;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// The schemas of the configurations that roles take, of those that have one.
pub type Schemas = BTreeMap<Role, Schema>;

/// A version that is compiled and linked: only memory is missing.
pub(super) struct Linked {
    pub(super) pre: InstancePre<CallState>,
    pub(super) exports: Exports,
    pub(super) digest: String,
    /// Whether it was uploaded under the limits for large plugins.
    pub(super) large: bool,
    pub(super) wants_wasi: bool,
    /// Whether its calls may leave something behind: in its state, or elsewhere.
    pub(super) has_effects: bool,
    /// How many of its last calls were long ones, counted no further than [`SLOW`].
    pub(super) long: AtomicU8,
    /// Once it was asked for them.
    pub(super) schemas: Arc<OnceCell<Schemas>>,
}

/// After so many long calls the next begins as one. The first after a rest may be long since nothing is where it is needed.
const SLOW: u8 = 2;

impl Linked {
    /// The same, of whose calls nothing is known yet.
    pub(super) fn apart(&self) -> Self {
        let Self { pre, exports, digest, large, wants_wasi, has_effects, schemas, .. } = self;
        Self {
            pre: pre.clone(),
            exports: exports.clone(),
            digest: digest.clone(),
            large: *large,
            wants_wasi: *wants_wasi,
            has_effects: *has_effects,
            long: AtomicU8::new(0),
            schemas: Arc::clone(schemas),
        }
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

/// What every call needs.
pub(super) struct Caller {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    pub(super) slow_lane: SlowLane,
    pub(super) services: Arc<Services>,
    pub(super) limits: Limits,
    pub(super) body_bytes_max: usize,
}

/// What the engine says of an answer that it does not take over.
const TOO_MUCH_DATA: &str = "fuel allocated for hostcalls has been exhausted";
/// What is read, and by which function.
const READ_PLUGIN: &str = "read-plugin";
const READ_SCRIPT: &str = "read-script";

/// What a plugin is asked, and the place of its answer.
#[derive(Clone, Copy)]
pub(super) enum Question {
    Check(Role),
    Verify,
    Parse,
    Evaluate,
    Run,
    Respond,
    Schema(Role),
    Cases,
    /// Of what runs scripts: reads the source of a plugin.
    ReadPlugin,
    /// The same of a script.
    ReadScript,
}

/// What a plugin answered, as it came.
pub(super) enum Answer {
    Checked,
    Verdict(Verdict),
    Json(String),
    Decision(Decision),
    Reply(Reply),
    Schema(Option<String>),
    /// The roles and the memory of what was read, or what is wrong with it.
    Read(Result<(String, Vec<u8>), String>),
}

impl Question {
    /// Whether it is answered by all of the memory.
    fn reads(&self) -> bool {
        matches!(self, Self::ReadPlugin | Self::ReadScript)
    }

    /// The role that is asked; `None` for what the plugin says of itself.
    pub(super) fn role(&self) -> Option<Role> {
        match self {
            Self::Check(role) => Some(*role),
            Self::Verify => Some(Role::Verifier),
            Self::Parse => Some(Role::Parser),
            Self::Evaluate => Some(Role::Condition),
            Self::Run => Some(Role::Step),
            Self::Respond => Some(Role::Responder),
            Self::Schema(_) | Self::Cases | Self::ReadPlugin | Self::ReadScript => None,
        }
    }
}

/// How often somebody who can wait asks, where the server has no time.
pub(super) const PATIENCE: usize = 5;

impl Caller {
    /// Asks what a plugin says of itself, for somebody who can wait.
    pub(super) async fn ask_itself(
        &self,
        plugin: &Name,
        linked: &Arc<Linked>,
        question: Question,
        workspace: &Name,
    ) -> Result<Answer, CallError> {
        let subject = Subject::tried(workspace);
        for _ in 1..PATIENCE {
            match self.ask(plugin, linked, question, &subject, "null").await.0 {
                Err(error) if error.is_temporary() => {}
                asked => return asked,
            }
        }
        self.ask(plugin, linked, question, &subject, "null").await.0
    }

    /// Asks a plugin, and tells what it used.
    pub(super) async fn ask(
        &self,
        plugin: &Name,
        linked: &Arc<Linked>,
        question: Question,
        subject: &Subject,
        config: &str,
    ) -> (Result<Answer, CallError>, PluginUse) {
        self.ask_with(Arc::clone(&self.services), plugin, linked, question, subject, config).await
    }

    /// The same, with what it finds on the host's side.
    pub(super) async fn ask_with(
        &self,
        services: Arc<Services>,
        plugin: &Name,
        linked: &Arc<Linked>,
        question: Question,
        subject: &Subject,
        config: &str,
    ) -> (Result<Answer, CallError>, PluginUse) {
        let started = Instant::now();
        let limits = self.limits.of(&subject.workspace);
        let memory_bytes = if linked.large { limits.large_memory_bytes } else { limits.memory_bytes };
        let state =
            CallState::new(services, subject, plugin.clone(), memory_bytes, limits.log_lines, linked.wants_wasi);
        let cpu = match question.role() {
            _ if question.reads() => limits::READ_CPU,
            Some(role) => limits.cpu(role),
            None => limits.work_cpu,
        };
        let turns = Turns::new(cpu * limits::WALL_FACTOR);
        let mut store = self.store(state, limits, cpu, Arc::clone(&turns));
        if question.reads() {
            // It answers all of its memory.
            store.set_hostcall_fuel(2 * memory_bytes);
        }
        let running = self.ticker.guard();
        let is_parser = matches!(question, Question::Parse);
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
                Some(Ok(Err(failure))) => Err(guest_failure(plugin, failure, &mut usage.log)),
                // How large the data is, its sender said.
                Some(Err(error)) if is_parser && error.root_cause().to_string().contains(TOO_MUCH_DATA) => {
                    let message = format!("the data has more than {} bytes", limits.result_bytes);
                    let (plugin, code) = (plugin.clone(), "not-taken".to_owned());
                    Err(CallError::Guest { plugin, code, message, retryable: false, pointer: None })
                }
                Some(Err(error)) => {
                    Err(self.classify(plugin, memory_bytes, limits.result_bytes, cpu, &error).saying(last_words))
                }
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
        store.set_hostcall_fuel(self.data_bytes_max(limits.result_bytes));
        store.set_max_component_handles(limits::HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match turns.tick() {
            used if used < cpu => Ok(UpdateDeadline::Yield(1)),
            _ => Err(LimitReached::Time.into()),
        });
        store
    }

    /// What is said of more data than is taken over from a call.
    fn too_much(&self, result_bytes: usize) -> String {
        let most = self.data_bytes_max(result_bytes);
        format!("it gives the server more than {most} bytes at once; a result has at most {result_bytes}")
    }

    /// Most that is taken over from a call at once, as an answer or as what the server is asked.
    fn data_bytes_max(&self, result_bytes: usize) -> usize {
        2 * self.body_bytes_max.max(result_bytes)
    }

    fn classify(
        &self,
        plugin: &Name,
        memory_bytes: usize,
        result_bytes: usize,
        cpu: Duration,
        error: &wasmtime::Error,
    ) -> CallError {
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
            if matches!(trap, Trap::StackOverflow) {
                let kibibytes = limits::STACK_BYTES_MAX >> 10;
                let reason =
                    format!("its calls, or what it reads, nest too deeply for the {kibibytes} KiB of its stack");
                return CallError::Trapped { plugin, reason };
            }
            return CallError::Trapped { plugin, reason: trap.to_string() };
        }
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return CallError::Trapped { plugin, reason: format!("it ended itself with status {status}") };
        }
        // What is left is an answer, or an argument, that cannot be taken over from the guest.
        if error.root_cause().to_string().contains(TOO_MUCH_DATA) {
            return CallError::BadOutput { plugin, reason: self.too_much(result_bytes) };
        }
        // Where in the guest that was says nothing to anybody.
        let reason = match error.downcast_ref::<WasmBacktrace>() {
            Some(_) => error.root_cause().to_string(),
            None => super::compile::with_causes(error),
        };
        let reason = reason.chars().take(300).collect();
        CallError::BadOutput { plugin, reason }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A call, and what it left in its store; the store itself is dropped. The clock runs for as long as the call is there: also
/// when nobody waits for it any more, it must come to the end of its turn.
async fn enter_in_time(
    _running: Running,
    mut store: Store<CallState>,
    linked: Arc<Linked>,
    question: Question,
    config: String,
    turns: Arc<Turns>,
) -> (Option<Asked<Answer>>, CallState) {
    let asked = turns.in_time(enter(&mut store, &linked, &question, &config)).await;
    (asked, store.into_data())
}

async fn enter(
    store: &mut Store<CallState>,
    linked: &Linked,
    question: &Question,
    // The type that the generated functions take.
    config: &String,
) -> Asked<Answer> {
    let instance = linked.pre.instantiate_async(&mut *store).await?;
    let guest = Guest { store, instance, exports: &linked.exports };
    Ok(match question {
        Question::Verify => guest.verify(config).await?.map(Answer::Verdict),
        Question::Parse => guest.parse(config).await?.map(Answer::Json),
        Question::Evaluate => guest.evaluate(config).await?.map(Answer::Decision),
        Question::Run => guest.run(config).await?.map(Answer::Json),
        Question::Respond => guest.respond(config).await?.map(Answer::Reply),
        Question::Check(role) => guest.check(*role, config).await?.map(|()| Answer::Checked),
        Question::Schema(role) => guest.schema(*role).await?.map(Answer::Schema),
        Question::Cases => guest.cases().await?.map(Answer::Json),
        Question::ReadPlugin => {
            type Read = (Result<(String, Vec<u8>), String>,);
            let Guest { store, instance, .. } = guest;
            let read = instance.get_typed_func::<(&str,), Read>(&mut *store, READ_PLUGIN)?;
            Ok(Answer::Read(read.call_async(&mut *store, (config,)).await?.0))
        }
        Question::ReadScript => {
            type Read = (Result<Vec<u8>, String>,);
            let Guest { store, instance, .. } = guest;
            let read = instance.get_typed_func::<(&str,), Read>(&mut *store, READ_SCRIPT)?;
            let read = read.call_async(&mut *store, (config,)).await?.0;
            Ok(Answer::Read(read.map(|memory| (String::new(), memory))))
        }
    })
}

/// A guest's own words, shortened and without control characters: they go into records and logs.
fn guest_failure(plugin: &Name, failure: Failure, log: &mut Vec<String>) -> CallError {
    let Failure { code, message, retryable, pointer, detail } = failure;
    if let Some(detail) = detail {
        log.push(detail_line(&detail));
    }
    CallError::Guest {
        plugin: plugin.clone(),
        code: clean(&code, limits::FAILURE_CODE_BYTES_MAX),
        message: clean(&message, limits::LOG_LINE_BYTES_MAX),
        retryable,
        pointer: pointer.map(|pointer| clean(&pointer, limits::POINTER_BYTES_MAX)),
    }
}

/// What a guest says, cut to a length and in one line.
pub(super) fn clean(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    text.get(..end).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What a failure has to say besides, as a line of the log.
fn detail_line(detail: &str) -> String {
    if detail.len() > limits::DETAIL_BYTES_MAX {
        let (found, max) = (detail.len(), limits::DETAIL_BYTES_MAX);
        return format!("detail: left out, since it has {found} bytes, more than {max}");
    }
    match json::from_slice(detail.as_bytes()) {
        Ok(detail) => format!("detail: {detail}"),
        Err(error) => format!("detail: left out, since it is not JSON: {}", one_line(&error.to_string())),
    }
}
