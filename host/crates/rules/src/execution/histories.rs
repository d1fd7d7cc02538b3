//! Random histories of executions against a model that is simple enough to be believed: a list of steps, a position, and
//! what is waited for. The flow has branches and loops; in the model they are rolled out. Callbacks come early, late, twice or for
//! the wrong step; time passes; requests fail; someone cancels or retries; and the process dies at any moment, so that only the
//! journal is left.

use super::{Effect, Event, Execution, HTTP_FAILED, Standing, Start};
use crate::flow::Flow;
use ringback_records::callback::Input;
use ringback_records::journal::{Entry, Status};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::random::Random;
use ringback_records::time::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// At least as many histories are tried in every run of the tests.
const HISTORIES: u64 = 100_000;
const EVENTS_MAX: u64 = 24;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    Continue,
    Fail,
    /// A step of its own, then on.
    Steps,
}

/// A step of the flow. Triggers are told apart by numbers.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Wait {
        number: usize,
        timeout: Option<u64>,
        policy: Policy,
    },
    Delay(u64),
    /// Attempts, and whether the flow goes on after the last one failed.
    Http {
        attempts: u32,
        goes_on: bool,
    },
    Set,
    If {
        holds: bool,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
    Repeat {
        times: u32,
        steps: Vec<Step>,
    },
}

/// A step of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ModelStep {
    Wait {
        number: usize,
        timeout: Option<u64>,
        policy: Policy,
    },
    Delay(u64),
    Http {
        attempts: u32,
        goes_on: bool,
    },
    Set,
    /// A trigger that the flow does not come to: it may until here.
    Missed(usize),
}

fn roll_out(steps: &[Step], into: &mut Vec<ModelStep>) {
    for step in steps {
        match step {
            Step::Wait { number, timeout, policy } => {
                into.push(ModelStep::Wait { number: *number, timeout: *timeout, policy: *policy });
            }
            Step::Delay(pause) => into.push(ModelStep::Delay(*pause)),
            Step::Http { attempts, goes_on } => {
                into.push(ModelStep::Http { attempts: *attempts, goes_on: *goes_on });
            }
            Step::Set => into.push(ModelStep::Set),
            Step::If { holds, then, otherwise } => {
                let (taken, missed) = if *holds { (then, otherwise) } else { (otherwise, then) };
                into.extend(triggers(missed).into_iter().map(ModelStep::Missed));
                roll_out(taken, into);
            }
            Step::Repeat { times, steps } => {
                into.extend(triggers(steps).into_iter().map(ModelStep::Missed));
                (0..*times).for_each(|_| roll_out(steps, into));
            }
        }
    }
}

fn triggers(steps: &[Step]) -> Vec<usize> {
    let of_step = |step: &Step| match step {
        Step::Wait { number, .. } => vec![*number],
        Step::If { then, otherwise, .. } => [triggers(then), triggers(otherwise)].concat(),
        Step::Repeat { steps, .. } => triggers(steps),
        Step::Delay(_) | Step::Http { .. } | Step::Set => Vec::new(),
    };
    steps.iter().flat_map(of_step).collect()
}

/// What is believed.
struct Model {
    steps: Vec<ModelStep>,
    position: usize,
    status: Status,
    /// When the wait ends by itself.
    until: Option<u64>,
    attempt: u32,
    /// How often someone let it try again what was answered, and whether what failed last was not.
    retries: u32,
    unanswered: bool,
    /// Mail by trigger, oldest first: its number, and whether it counts.
    mail: HashMap<usize, Vec<(u64, bool)>>,
    /// What ended the wait at each step: a callback's number, or nothing in time.
    ended: HashMap<usize, Option<u64>>,
    /// The keys of requests, each of one step and one of its retries.
    keys: HashMap<String, (usize, u32)>,
}

impl Model {
    fn step(&self) -> Option<ModelStep> {
        self.steps.get(self.position).copied()
    }

    /// Runs until something from outside is needed.
    fn settle(&mut self, now: u64) {
        while self.status == Status::Running {
            match self.step() {
                None => self.status = Status::Completed,
                Some(ModelStep::Set | ModelStep::Missed(_)) => self.position += 1,
                Some(ModelStep::Delay(pause)) => (self.status, self.until) = (Status::Waiting, Some(now + pause)),
                Some(ModelStep::Http { .. }) => return,
                Some(ModelStep::Wait { number, timeout, .. }) => {
                    let mail = self.mail.remove(&number).unwrap_or_default();
                    match mail.iter().position(|(_, counts)| *counts) {
                        Some(first) => {
                            let rest = mail.get(first + 1..).unwrap_or_default().to_vec();
                            self.mail.insert(number, rest);
                            self.resume(mail[first].0);
                        }
                        None => (self.status, self.until) = (Status::Waiting, timeout.map(|timeout| now + timeout)),
                    }
                }
            }
        }
    }

    /// A request is sent under a key.
    fn sends(&mut self, key: &str) {
        let is = (self.position, self.retries);
        assert_eq!(*self.keys.entry(key.to_owned()).or_insert(is), is, "one key for two requests: {key}");
        let same = self.keys.iter().filter(|(_, of)| **of == is).count();
        assert_eq!(same, 1, "two keys for one request: {:?}", self.keys);
    }

    fn resume(&mut self, number: u64) {
        assert!(self.ended.insert(self.position, Some(number)).is_none(), "a wait ended twice");
        self.on();
    }

    fn on(&mut self) {
        (self.position, self.status, self.until, self.attempt) = (self.position + 1, Status::Running, None, 0);
    }

    fn callback(&mut self, trigger: usize, number: u64, counts: bool) -> &'static str {
        if self.status.is_ended() {
            return "ended";
        }
        let is_of = |step: &ModelStep| match step {
            ModelStep::Wait { number, .. } | ModelStep::Missed(number) => *number == trigger,
            ModelStep::Delay(_) | ModelStep::Http { .. } | ModelStep::Set => false,
        };
        if self.step().as_ref().is_some_and(is_of) && self.status == Status::Waiting {
            if counts {
                self.resume(number);
            }
            return if counts { "resumed" } else { "ignored" };
        }
        if self.steps.iter().skip(self.position).any(is_of) {
            self.mail.entry(trigger).or_default().push((number, counts));
            return "kept";
        }
        "passed"
    }

    fn time(&mut self, now: u64) {
        if self.status != Status::Waiting || self.until.is_none_or(|until| until > now) {
            return;
        }
        match self.step() {
            Some(ModelStep::Wait { policy: Policy::Fail, .. }) => (self.status, self.until) = (Status::TimedOut, None),
            Some(ModelStep::Wait { .. }) => {
                assert!(self.ended.insert(self.position, None).is_none(), "a wait ended twice");
                self.on();
            }
            Some(ModelStep::Http { .. }) => (self.status, self.until) = (Status::Running, None),
            _ => self.on(),
        }
    }

    fn answer(&mut self, answer: Answer, pause: impl Fn(u32) -> u64, now: u64) {
        let Some(ModelStep::Http { attempts, goes_on }) = self.step() else { return };
        self.attempt += 1;
        let is_last = self.attempt >= attempts || answer == Answer::Status(404);
        if answer == Answer::Status(200) || (is_last && goes_on) {
            self.on();
        } else if is_last {
            (self.status, self.unanswered) = (Status::Failed, answer == Answer::None);
        } else {
            (self.status, self.until) = (Status::Waiting, Some(now + pause(self.attempt)));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Status(u16),
    None,
}

/// The execution as the runner keeps it: a journal on disk, and something in memory that may vanish.
struct Real {
    flow: Arc<Flow>,
    execution: Execution,
    journal: Vec<Entry>,
    mail: Vec<(Name, u64, bool)>,
    /// The key of the request that is under way.
    sending: Option<String>,
}

impl Real {
    fn take(&mut self, entries: Vec<Entry>, effect: Option<Wanted>, now: Timestamp) {
        self.journal.extend(entries);
        self.sending = None;
        match effect {
            Some(Wanted::Http(key)) => self.sending = Some(key),
            Some(Wanted::Mail(trigger)) => self.look(&trigger, now),
            None => {}
        }
    }

    fn look(&mut self, trigger: &Name, now: Timestamp) {
        while let Some(index) = self.mail.iter().position(|(to, ..)| to == trigger) {
            let (_, number, counts) = self.mail.remove(index);
            if counts {
                return self.handle(resumed(trigger, number), now);
            }
        }
    }

    fn handle(&mut self, event: Event, now: Timestamp) {
        let flow = Arc::clone(&self.flow);
        let turn = self.execution.handle(&flow, event, now);
        if turn.entries.is_empty() {
            return;
        }
        let effect = turn.effect.as_ref().map(Wanted::of);
        self.take(turn.entries, effect, now);
    }

    /// Only the journal is left, and it says the same.
    fn crash(&mut self, now: Timestamp) {
        let restored = Execution::restore(&self.flow, self.execution.summary.clone(), self.journal.clone());
        assert_eq!(restored, self.execution, "the journal is the truth");
        self.execution = restored;
        let flow = Arc::clone(&self.flow);
        let turn = self.execution.resume(&flow, now);
        assert!(turn.entries.is_empty(), "a restart alone writes nothing");
        let effect = turn.effect.as_ref().map(Wanted::of);
        let sending = match &effect {
            Some(Wanted::Http(key)) => Some(key.clone()),
            _ => None,
        };
        assert_eq!(self.sending, sending, "the effect that was under way");
        self.take(Vec::new(), effect, now);
    }

    fn callback(&mut self, trigger: &Name, number: u64, counts: bool, now: Timestamp) -> &'static str {
        match self.execution.standing(&self.flow, trigger) {
            Standing::Ended => "ended",
            Standing::Passed => "passed",
            Standing::NotYet => {
                self.mail.push((trigger.clone(), number, counts));
                "kept"
            }
            Standing::WaitsHere if counts => {
                self.handle(resumed(trigger, number), now);
                "resumed"
            }
            Standing::WaitsHere => "ignored",
        }
    }
}

enum Wanted {
    Http(String),
    Mail(Name),
}

impl Wanted {
    fn of(effect: &Effect<'_>) -> Self {
        match effect {
            Effect::LookIntoMailbox { trigger, .. } => Self::Mail((*trigger).clone()),
            Effect::SendHttp { idempotency_key, .. } => Self::Http(idempotency_key.clone()),
            other => panic!("no flow asks for that: {other:?}"),
        }
    }
}

fn resumed(trigger: &Name, number: u64) -> Event {
    Event::Resumed {
        trigger: trigger.clone(),
        callback: CallbackId::new(),
        input: Input { data: json!({ "number": number }).into(), ..Input::default() },
    }
}

fn random_steps(random: &mut Random, depth: u64, triggers: &mut usize) -> Vec<Step> {
    let policies = [Policy::Continue, Policy::Fail, Policy::Steps];
    let kinds = if depth < 2 { 10 } else { 8 };
    (0..1 + random.below(5 - 2 * depth))
        .map(|_| match random.below(kinds) {
            0..4 => {
                let policy = policies[random.below(3) as usize];
                *triggers += 1;
                let timeout = (random.below(2) == 0).then(|| 1000 * (1 + random.below(5)));
                Step::Wait { number: *triggers, timeout, policy }
            }
            4 => Step::Delay(500 * random.below(8)),
            5 | 6 => Step::Http { attempts: 1 + random.below(3) as u32, goes_on: random.below(2) == 0 },
            7 => Step::Set,
            8 => Step::If {
                holds: random.below(2) == 0,
                then: random_steps(random, depth + 1, triggers),
                otherwise: random_steps(random, depth + 1, triggers),
            },
            _ => {
                let times = random.below(4) as u32;
                Step::Repeat { times, steps: random_steps(random, depth + 1, triggers) }
            }
        })
        .collect()
}

fn source(steps: &[Step]) -> Value {
    let of_step = |step: &Step| match step {
        Step::Wait { number, timeout, policy } => {
            let mut wait = json!({ "trigger": format!("trigger-{number}") });
            if let Some(timeout) = timeout {
                wait["timeout"] = format!("{timeout}ms").into();
                wait["on_timeout"] = match policy {
                    Policy::Continue => "continue".into(),
                    Policy::Fail => "fail".into(),
                    Policy::Steps => json!([{ "set": { "late": true } }]),
                };
            }
            wait
        }
        Step::Delay(pause) => json!({ "delay": format!("{pause}ms") }),
        Step::Http { attempts, goes_on } => json!({ "http": {
            "url": "https://example.com",
            "on_error": if *goes_on { "continue" } else { "fail" },
            "retry": { "attempts": attempts, "backoff": "2s" },
        } }),
        Step::Set => json!({ "set": { "a": 1 } }),
        Step::If { holds, then, otherwise } => {
            json!({ "if": holds.to_string(), "then": source(then), "else": source(otherwise) })
        }
        Step::Repeat { times, steps } => json!({ "repeat": times, "do": source(steps) }),
    };
    steps.iter().map(of_step).collect()
}

fn history(seed: u64, flows: &mut HashMap<String, Arc<Flow>>) {
    let mut random = Random(seed);
    let mut count = 0;
    let steps = random_steps(&mut random, 0, &mut count);
    let mut text = json!({ "flow": "history", "steps": source(&steps) });
    text["steps"].as_array_mut().unwrap().insert(0, json!({ "trigger": "Start" }));
    let text = text.to_string();
    let flow = flows.entry(text).or_insert_with_key(|text| Arc::new(super::repeat::flow(text))).clone();
    let mut now = 1_767_225_600_000;
    let at = Timestamp::from_millis;
    let start = Start {
        id: ExecutionId::new(),
        callback: CallbackId::new(),
        environment: Name::default_name(),
        environment_made_at: None,
        input: Input::default(),
        input_bytes: Input::default().weight(Execution::BYTES_MAX),
        holds: Vec::new(),
        vars: Arc::default(),
        bytes_max: Execution::BYTES_MAX,
    };
    let (execution, turn) = Execution::start(&flow, start, at(now));
    let effect = turn.effect.as_ref().map(Wanted::of);
    let (entries, journal) = (turn.entries, Vec::new());
    let mut real = Real { flow: Arc::clone(&flow), execution, journal, mail: Vec::new(), sending: None };
    real.take(entries, effect, at(now));
    let mut model = Model {
        steps: Vec::new(),
        position: 0,
        status: Status::Running,
        until: None,
        attempt: 0,
        retries: 0,
        unanswered: false,
        mail: HashMap::new(),
        ended: HashMap::new(),
        keys: HashMap::new(),
    };
    roll_out(&steps, &mut model.steps);
    model.settle(now);
    for number in 0..random.below(EVENTS_MAX) {
        now += random.below(900);
        match random.below(20) {
            0..8 if count > 0 => {
                let to = 1 + random.below(count as u64) as usize;
                let (trigger, counts) = (format!("trigger-{to}").parse().unwrap(), random.below(4) > 0);
                let expected = model.callback(to, number, counts);
                assert_eq!(real.callback(&trigger, number, counts, at(now)), expected, "seed {seed}");
            }
            0..11 => real.crash(at(now)),
            11..14 => {
                now += random.below(6000);
                model.time(now);
                real.handle(Event::Woken, at(now));
            }
            14..18 if real.sending.is_some() => {
                let key = real.sending.clone().unwrap_or_default();
                model.sends(&key);
                let pause = |attempt| {
                    let retry = super::step::http::Retry { attempts: 3, backoff: std::time::Duration::from_secs(2) };
                    retry.pause(attempt, &key).as_millis() as u64
                };
                let statuses = [200, 200, 503, 404].map(Answer::Status);
                let answer = statuses.get(random.below(5) as usize).copied().unwrap_or(Answer::None);
                model.answer(answer, pause, now);
                let event = match answer {
                    Answer::Status(status) => {
                        Event::HttpAnswered { status, result: Map::new(), retry_after: None, duration_us: 1 }
                    }
                    Answer::None => {
                        Event::HttpUnanswered { code: HTTP_FAILED, problem: "timeout".to_owned(), retryable: true }
                    }
                };
                real.handle(event, at(now));
            }
            18 => {
                if !model.status.is_ended() {
                    (model.status, model.until) = (Status::Cancelled, None);
                }
                real.handle(Event::Cancelled, at(now));
                real.sending = None;
            }
            19 => {
                if matches!(model.status, Status::Failed | Status::TimedOut) {
                    (model.status, model.attempt) = (Status::Running, 0);
                    model.retries += u32::from(!model.unanswered);
                }
                real.handle(Event::Retried, at(now));
            }
            _ => {}
        }
        model.settle(now);
        let wait = real.execution.summary.waits.first();
        let waits_at = wait.and_then(|wait| wait.trigger.as_ref()).map(ToString::to_string);
        let expected = match (model.status, model.step()) {
            (Status::Waiting, Some(ModelStep::Wait { number, .. })) => Some(format!("trigger-{number}")),
            _ => None,
        };
        let until = wait.and_then(|wait| wait.until).map(Timestamp::as_millis);
        assert_eq!(
            (real.execution.summary.status, waits_at, until),
            (model.status, expected, model.until),
            "seed {seed}: {steps:#?}"
        );
    }
    let resumed: Vec<u64> = real
        .journal
        .iter()
        .filter_map(|entry| match &entry.kind {
            super::EntryKind::Resumed { input, .. } => input.data["number"].as_u64(),
            _ => None,
        })
        .collect();
    let mut believed: Vec<(usize, u64)> = model.ended.iter().filter_map(|(step, by)| Some((*step, (*by)?))).collect();
    believed.sort_unstable();
    assert!(
        resumed.iter().eq(believed.iter().map(|(_, number)| number)),
        "seed {seed}: each wait by its callback, once"
    );
    assert_eq!(real.journal.len(), real.execution.summary.entries as usize);
}

#[test]
fn every_history_goes_as_the_model_says() {
    let mut flows = HashMap::new();
    for seed in 0..HISTORIES {
        history(seed, &mut flows);
    }
    println!("histories: {HISTORIES} cases, 0 failures");
}
