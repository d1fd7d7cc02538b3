//! Random histories of executions against a model that is simple enough to be believed: a list of steps, a position, and
//! what is waited for. Callbacks come early, late, twice or for the wrong step; time passes; requests fail; someone cancels
//! or retries; and the process dies at any moment, so that only the journal is left.

use super::{Effect, Entry, Event, Execution, Standing, Start, Status};
use crate::flow::{Flow, parse};
use ringback_records::callback::Input;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::random::Random;
use ringback_records::time::Timestamp;
use serde_json::{Map, json};
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

#[derive(Clone, Copy, Debug, PartialEq)]
enum ModelStep {
    Wait {
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
}

/// What is believed.
struct Model {
    steps: Vec<ModelStep>,
    position: usize,
    status: Status,
    /// When the wait ends by itself.
    until: Option<u64>,
    attempt: u32,
    /// Mail by step, oldest first: its number, and whether it counts.
    mail: HashMap<usize, Vec<(u64, bool)>>,
    /// What ended the wait at each step: a callback's number, or nothing in time.
    ended: HashMap<usize, Option<u64>>,
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
                Some(ModelStep::Set) => self.position += 1,
                Some(ModelStep::Delay(pause)) => (self.status, self.until) = (Status::Waiting, Some(now + pause)),
                Some(ModelStep::Http { .. }) => return,
                Some(ModelStep::Wait { timeout, .. }) => {
                    let mail = self.mail.remove(&self.position).unwrap_or_default();
                    match mail.iter().position(|(_, counts)| *counts) {
                        Some(first) => {
                            let rest = mail.get(first + 1..).unwrap_or_default().to_vec();
                            self.mail.insert(self.position, rest);
                            self.resume(mail[first].0);
                        }
                        None => (self.status, self.until) = (Status::Waiting, timeout.map(|timeout| now + timeout)),
                    }
                }
            }
        }
    }

    fn resume(&mut self, number: u64) {
        assert!(self.ended.insert(self.position, Some(number)).is_none(), "a wait ended twice");
        self.on();
    }

    fn on(&mut self) {
        (self.position, self.status, self.until, self.attempt) = (self.position + 1, Status::Running, None, 0);
    }

    fn callback(&mut self, step: usize, number: u64, counts: bool) -> &'static str {
        if self.status.is_ended() {
            return "ended";
        }
        if self.position == step && self.status == Status::Waiting {
            if counts {
                self.resume(number);
            }
            return if counts { "resumed" } else { "ignored" };
        }
        if self.position <= step {
            self.mail.entry(step).or_default().push((number, counts));
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

    fn answer(&mut self, ok: bool, pause: impl Fn(u32) -> u64, now: u64) {
        let Some(ModelStep::Http { attempts, goes_on }) = self.step() else { return };
        self.attempt += 1;
        if ok || (self.attempt >= attempts && goes_on) {
            self.on();
        } else if self.attempt >= attempts {
            self.status = Status::Failed;
        } else {
            (self.status, self.until) = (Status::Waiting, Some(now + pause(self.attempt)));
        }
    }
}

/// The execution as the runner keeps it: a journal on disk, and something in memory that may vanish.
struct Real {
    flow: Arc<Flow>,
    execution: Execution,
    journal: Vec<Entry>,
    mail: Vec<(Name, u64, bool)>,
    /// Whether a request is under way.
    sending: bool,
}

impl Real {
    fn take(&mut self, entries: Vec<Entry>, effect: Option<Wanted>, now: Timestamp) {
        self.journal.extend(entries);
        self.sending = false;
        match effect {
            Some(Wanted::Http) => self.sending = true,
            Some(Wanted::Mail(trigger)) => self.look(&trigger, now),
            None => {}
        }
    }

    fn look(&mut self, trigger: &Name, now: Timestamp) {
        while let Some(index) = self.mail.iter().position(|(to, ..)| to == trigger) {
            let (_, number, counts) = self.mail.remove(index);
            if counts {
                return self.handle(resumed(number), now);
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
        assert_eq!(self.sending, matches!(effect, Some(Wanted::Http)), "the effect that was under way");
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
                self.handle(resumed(number), now);
                "resumed"
            }
            Standing::WaitsHere => "ignored",
        }
    }
}

enum Wanted {
    Http,
    Mail(Name),
}

impl Wanted {
    fn of(effect: &Effect<'_>) -> Self {
        match effect {
            Effect::LookIntoMailbox { trigger } => Self::Mail((*trigger).clone()),
            _ => Self::Http,
        }
    }
}

fn resumed(number: u64) -> Event {
    Event::Resumed {
        callback: CallbackId::new(),
        input: Input { data: json!({ "number": number }).into(), ..Input::default() },
    }
}

fn random_steps(random: &mut Random) -> Vec<ModelStep> {
    let policies = [Policy::Continue, Policy::Fail, Policy::Steps];
    (0..1 + random.below(5))
        .map(|_| match random.below(8) {
            0..4 => {
                let policy = policies[random.below(3) as usize];
                ModelStep::Wait { timeout: (random.below(2) == 0).then(|| 1000 * (1 + random.below(5))), policy }
            }
            4 => ModelStep::Delay(500 * random.below(8)),
            5 | 6 => ModelStep::Http { attempts: 1 + random.below(3) as u32, goes_on: random.below(2) == 0 },
            _ => ModelStep::Set,
        })
        .collect()
}

fn source(steps: &[ModelStep]) -> String {
    let mut text = "flow: history\nsteps:\n  - trigger: Start\n".to_owned();
    for (index, step) in steps.iter().enumerate() {
        text += &match step {
            ModelStep::Wait { timeout, policy } => {
                let mut wait = format!("  - trigger: step-{index}\n");
                if let Some(timeout) = timeout {
                    wait += &format!("    timeout: {timeout}ms\n");
                    wait += match policy {
                        Policy::Continue => "    on_timeout: continue\n",
                        Policy::Fail => "",
                        Policy::Steps => "    on_timeout:\n      - set: { late: true }\n",
                    };
                }
                wait
            }
            ModelStep::Delay(pause) => format!("  - delay: {pause}ms\n"),
            ModelStep::Http { attempts, goes_on } => {
                let on_error = if *goes_on { "continue" } else { "fail" };
                format!(
                    "  - http: {{ url: 'https://example.com', on_error: {on_error}, retry: {{ attempts: {attempts}, backoff: 2s }} }}\n"
                )
            }
            ModelStep::Set => "  - set: { a: 1 }\n".to_owned(),
        };
    }
    text
}

fn history(seed: u64, flows: &mut HashMap<String, Arc<Flow>>) {
    let mut random = Random(seed);
    let steps = random_steps(&mut random);
    let text = source(&steps);
    let flow = flows.entry(text).or_insert_with_key(|text| Arc::new(parse(text, 1).unwrap().flow)).clone();
    let mut now = 1_767_225_600_000;
    let at = Timestamp::from_millis;
    let start = Start {
        id: ExecutionId::new(),
        callback: CallbackId::new(),
        environment: Name::default_name(),
        environment_made_at: None,
        input: Input::default(),
        input_bytes: Input::default().weight(Execution::BYTES_MAX),
        vars: Arc::default(),
        bytes_max: Execution::BYTES_MAX,
    };
    let (execution, turn) = Execution::start(&flow, start, at(now));
    let effect = turn.effect.as_ref().map(Wanted::of);
    let (entries, journal) = (turn.entries, Vec::new());
    let mut real = Real { flow: Arc::clone(&flow), execution, journal, mail: Vec::new(), sending: false };
    real.take(entries, effect, at(now));
    let (mail, ended) = (HashMap::new(), HashMap::new());
    let mut model =
        Model { steps: steps.clone(), position: 0, status: Status::Running, until: None, attempt: 0, mail, ended };
    model.settle(now);
    let waits: Vec<usize> = (0..steps.len()).filter(|index| matches!(steps[*index], ModelStep::Wait { .. })).collect();
    for number in 0..random.below(EVENTS_MAX) {
        now += random.below(900);
        match random.below(20) {
            0..8 if !waits.is_empty() => {
                let step = waits[random.below(waits.len() as u64) as usize];
                let (trigger, counts) = (format!("step-{step}").parse().unwrap(), random.below(4) > 0);
                let expected = model.callback(step, number, counts);
                assert_eq!(real.callback(&trigger, number, counts, at(now)), expected, "seed {seed}");
            }
            0..11 => real.crash(at(now)),
            11..14 => {
                now += random.below(6000);
                model.time(now);
                real.handle(Event::Woken, at(now));
            }
            14..18 if real.sending => {
                let status = [200, 200, 503, 404][random.below(4) as usize];
                let key = real.execution.key.clone().unwrap_or_default();
                let pause = |attempt| {
                    let retry = crate::flow::Retry { attempts: 3, backoff: std::time::Duration::from_secs(2) };
                    retry.pause(attempt, &key).as_millis() as u64
                };
                // A 404 is not tried again.
                match (status, model.step()) {
                    (404, Some(ModelStep::Http { goes_on, .. })) if goes_on => model.on(),
                    (404, _) => model.status = Status::Failed,
                    (status, _) => model.answer(status == 200, pause, now),
                }
                let event = Event::HttpAnswered { status, result: Map::new(), retry_after: None, duration_us: 1 };
                real.handle(event, at(now));
            }
            18 => {
                if !model.status.is_ended() {
                    (model.status, model.until) = (Status::Cancelled, None);
                }
                real.handle(Event::Cancelled, at(now));
                real.sending &= !real.execution.summary.status.is_ended();
            }
            19 => {
                if matches!(model.status, Status::Failed | Status::TimedOut) {
                    (model.status, model.attempt) = (Status::Running, 0);
                }
                real.handle(Event::Retried, at(now));
            }
            _ => {}
        }
        model.settle(now);
        let wait = real.execution.summary.wait.as_ref();
        let waits_at = wait.and_then(|wait| wait.trigger.as_ref()).map(ToString::to_string);
        let expected = match (model.status, model.step()) {
            (Status::Waiting, Some(ModelStep::Wait { .. })) => Some(format!("step-{}", model.position)),
            _ => None,
        };
        let until = wait.and_then(|wait| wait.until).map(Timestamp::as_millis);
        assert_eq!(
            (real.execution.summary.status, waits_at, until),
            (model.status, expected, model.until),
            "seed {seed}: {}",
            source(&steps)
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
