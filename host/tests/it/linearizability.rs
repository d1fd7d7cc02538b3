//! Linearizability: what concurrent callbacks for one, any and all, cancellations and timeouts were answered is what they
//! would have been answered one after the other, in some order that agrees with the clock; also when the server was killed
//! in the middle.

use crate::chaos::minutes;
use crate::load::{Api, Random};
use crate::process::{Process, Server};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LANES: u64 = 12;
const ROUNDS: usize = 30;
/// Of the rounds, every so many is about timeouts, and takes as long as one.
const TIMEOUT_ROUND: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(1);
const EXECUTIONS: usize = 4;
const OPERATIONS: usize = 7;
/// How long the server lives.
const KILL_AFTER: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Waiting,
    Resumed,
    Cancelled,
    TimedOut,
}

/// What is done with the executions of a round, which are numbered in the order in which they began to wait.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Any,
    One(usize),
    /// What `all` does with one of them: each is resumed by itself.
    OneOfAll(usize),
    Cancel(usize),
    TimeOut(usize),
}

/// What it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Did(usize),
    DidNothing,
    /// Nobody answered: it may be done at any time from then on, or never.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    operation: Operation,
    answer: Answer,
    invoked: Instant,
    returned: Option<Instant>,
}

impl Operation {
    /// What it does to the executions as they are, and what it says about it.
    fn perform(self, states: &mut [State]) -> Answer {
        let (which, becomes) = match self {
            Self::Any => (states.iter().position(|state| *state == State::Waiting), State::Resumed),
            Self::One(which) | Self::OneOfAll(which) => (Some(which), State::Resumed),
            Self::Cancel(which) => (Some(which), State::Cancelled),
            Self::TimeOut(which) => (Some(which), State::TimedOut),
        };
        match which {
            Some(which) if states[which] == State::Waiting => {
                states[which] = becomes;
                Answer::Did(which)
            }
            _ => Answer::DidNothing,
        }
    }
}

/// Whether there is an order in which one after the other gives these answers and leaves this behind.
fn is_linearizable(events: &[Event], last: &[State]) -> bool {
    assert!(events.len() <= 64);
    let mut seen = HashSet::new();
    let mut open = vec![(0_u64, vec![State::Waiting; last.len()])];
    while let Some((done, states)) = open.pop() {
        let missing = |(number, event): &(usize, &Event)| done & (1 << number) == 0 && event.answer != Answer::Unknown;
        if states == last && !events.iter().enumerate().any(|item| missing(&item)) {
            return true;
        }
        // Whatever has returned before another one was sent, came before it.
        let todo = || events.iter().enumerate().filter(|(number, _)| done & (1 << number) == 0);
        let earliest = todo().filter_map(|(_, event)| event.returned).min();
        for (number, event) in todo().filter(|(_, event)| earliest.is_none_or(|earliest| event.invoked <= earliest)) {
            let mut states = states.clone();
            let answer = event.operation.perform(&mut states);
            let next = (done | 1 << number, states);
            if (event.answer == Answer::Unknown || event.answer == answer) && seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    false
}

#[test]
fn the_checker_knows_what_is_possible() {
    let now = Instant::now();
    let at = |ms: u64| now + Duration::from_millis(ms);
    let event = |operation, answer, from, to| Event { operation, answer, invoked: at(from), returned: Some(at(to)) };
    use {Answer::*, Operation::*, State::*};
    let both = [event(Any, Did(0), 0, 9), event(One(0), DidNothing, 1, 5)];
    assert!(is_linearizable(&both, &[Resumed, Waiting]));
    for (why, events, last) in [
        ("two winners", vec![event(Any, Did(0), 0, 9), event(One(0), Did(0), 1, 5)], [Resumed, Waiting]),
        ("not the longest-waiting", vec![event(Any, Did(1), 0, 9)], [Waiting, Resumed]),
        ("nobody waits, but one does", vec![event(Any, DidNothing, 0, 9)], [Waiting, Waiting]),
        ("forgotten", vec![event(One(0), Did(0), 0, 9)], [Waiting, Waiting]),
        (
            "resumed and timed out",
            vec![event(One(0), Did(0), 0, 9), event(TimeOut(0), Did(0), 5, 9)],
            [TimedOut, Waiting],
        ),
        (
            "against the clock",
            vec![event(Cancel(0), DidNothing, 0, 3), event(One(0), Did(0), 5, 9)],
            [Resumed, Waiting],
        ),
        ("nobody did it", vec![], [Resumed, Waiting]),
    ] {
        assert!(!is_linearizable(&events, &last), "{why}");
    }
}

/// The kind of operation that finds executions by their key.
const BY_KEY: u64 = 6;

/// The server as it is now: it is killed and started again.
#[derive(Clone)]
struct World {
    process: Arc<Mutex<Process>>,
    server: Server,
    paths: Arc<Vec<Vec<String>>>,
    client: Client,
}

impl World {
    fn api(&self) -> Api {
        Api::new(&self.process.lock().unwrap(), self.server.data())
    }

    /// Sends a callback: the status and the answer, or `None` when nobody answered.
    async fn post(&self, lane: usize, trigger: usize, query: &str) -> Option<(u16, Value)> {
        let public = self.process.lock().unwrap().public.clone();
        let url = format!("{public}{}{query}", self.paths[lane][trigger]);
        let response = self.client.post(url).json(&json!({ "key": "k" })).send().await.ok()?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Something of the API, as soon as there is a server that gives it.
    async fn get(&self, path: &str) -> Value {
        for _ in 0..1000 {
            if let Ok(response) = self.api().request(Method::GET, path).send().await
                && response.status().is_success()
                && let Ok(body) = response.json().await
            {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody gives {path}");
    }

    /// Ids of those who wait in a lane, the longest-waiting first.
    async fn waiting(&self, lane: usize) -> Vec<String> {
        let page = self.get(&format!("/v1/executions?flow=lane-{lane}&status=waiting&limit=200")).await;
        let ids = page["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids
    }

    async fn cancel(&self, id: &str) -> Option<u16> {
        let request = self.api().request(Method::POST, &format!("/v1/executions/{id}/cancel"));
        Some(request.send().await.ok()?.status().as_u16())
    }

    /// Performs an operation on these executions: the events that it is.
    async fn perform(&self, lane: usize, kind: u64, which: usize, ids: &[String]) -> Vec<Event> {
        let place = |id: &Value| ids.iter().position(|known| id == known.as_str()).unwrap();
        let invoked = Instant::now();
        let query = match kind {
            0 => "?execution=any".to_owned(),
            1 => "?execution=all".to_owned(),
            // By the key that all of them wait for: as any of them.
            BY_KEY => String::new(),
            _ => format!("?execution={}", ids[which]),
        };
        let answered = match kind {
            4 | 5 => self.cancel(&ids[which]).await.map(|status| (status, Value::Null)),
            _ => self.post(lane, 1, &query).await,
        };
        // As when nobody answers: what it did is not known.
        let answered = answered.filter(|(status, _)| *status != 503);
        let returned = answered.is_some().then(Instant::now);
        let event = |operation, answer| Event { operation, answer, invoked, returned };
        let answer = |done: &dyn Fn(&Value) -> Answer| match &answered {
            None => Answer::Unknown,
            Some((200 | 202, body)) => done(body),
            Some((404 | 409, _)) => Answer::DidNothing,
            Some(other) => panic!("{query}: {other:?}"),
        };
        match kind {
            0 | BY_KEY => vec![event(Operation::Any, answer(&|body| Answer::Did(place(&body["execution"]))))],
            1 => {
                let one = |which| {
                    let did = |body: &Value| match body["executions"].as_array().unwrap() {
                        resumed if resumed.iter().any(|id| place(id) == which) => Answer::Did(which),
                        _ => Answer::DidNothing,
                    };
                    event(Operation::OneOfAll(which), answer(&did))
                };
                (0..ids.len()).map(one).collect()
            }
            2 | 3 => vec![event(Operation::One(which), answer(&|_| Answer::Did(which)))],
            _ => vec![event(Operation::Cancel(which), answer(&|_| Answer::Did(which)))],
        }
    }

    /// One history: its events and what it left behind.
    async fn round(&self, lane: usize, with_timeout: bool, random: &mut Random) -> (Vec<Event>, Vec<State>) {
        let started = Instant::now();
        let mut count = 0;
        while count < EXECUTIONS {
            match self.post(lane, 0, "").await {
                Some((202, _)) => count += 1,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        let ids = self.waiting(lane).await;
        let mut running = Vec::new();
        for _ in 0..OPERATIONS {
            let (kind, which) =
                (random.below(BY_KEY + 1), usize::try_from(random.below(ids.len().max(1) as u64)).unwrap());
            let mut wait = Duration::from_micros(random.below(4000));
            if with_timeout {
                wait += (TIMEOUT + Duration::from_millis(random.below(220))).saturating_sub(started.elapsed());
            }
            let (world, ids) = (self.clone(), ids.clone());
            running.push(tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                if ids.is_empty() { Vec::new() } else { world.perform(lane, kind, which, &ids).await }
            }));
        }
        let mut events = Vec::new();
        for task in running {
            events.extend(task.await.unwrap());
        }
        let mut last = Vec::new();
        for (which, id) in ids.iter().enumerate() {
            let run = self.get(&format!("/v1/executions/{id}")).await;
            let journal = run["journal"].as_array().unwrap();
            let has = |kind: &str| journal.iter().filter(|entry| entry["kind"] == kind).count();
            assert!(has("resumed") + has("timed-out") + has("cancelled") <= 1, "a wait ends once: {run:#}");
            last.push(match () {
                () if has("resumed") > 0 => State::Resumed,
                () if has("cancelled") > 0 => State::Cancelled,
                () if has("timed-out") > 0 => {
                    // Not before its time: the execution was started after the round began.
                    let (invoked, answer) = (started + TIMEOUT, Answer::Did(which));
                    events.push(Event { operation: Operation::TimeOut(which), answer, invoked, returned: None });
                    State::TimedOut
                }
                () => State::Waiting,
            });
        }
        // The next round begins with nobody waiting.
        loop {
            let left = self.waiting(lane).await;
            if left.is_empty() {
                return (events, last);
            }
            for id in left {
                self.cancel(&id).await;
            }
        }
    }
}

/// Records histories of a server and checks them: how many there were, and how many answers were missing. Panics when one is
/// impossible.
pub async fn check_histories(server: Server, rounds: usize) -> (usize, usize) {
    let process = server.start();
    let api = Api::new(&process, server.data());
    let mut paths = Vec::new();
    for lane in 0..LANES {
        let source = format!(
            "flow: lane-{lane}\nsteps:\n  - trigger: Start\n  - trigger: Second\n    timeout: 1s\n    on_timeout: continue\n    mailbox: \
             off\n    correlate: {{ callback: data.key, execution: triggers.Start.data.key }}\n"
        );
        paths.push(api.deploy(&format!("lane-{lane}"), source).await.unwrap());
    }
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let world = World { process: Arc::new(Mutex::new(process)), server, paths: Arc::new(paths), client };
    let killer = tokio::spawn({
        let world = world.clone();
        async move {
            loop {
                tokio::time::sleep(KILL_AFTER).await;
                let world = world.clone();
                let again = move || {
                    let mut process = world.process.lock().unwrap();
                    process.kill();
                    *process = world.server.start();
                };
                tokio::task::spawn_blocking(again).await.unwrap();
            }
        }
    });
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let world = world.clone();
            tokio::spawn(async move {
                let mut random = Random(lane);
                let lane = usize::try_from(lane).unwrap();
                let mut unknown = 0;
                for round in 0..rounds {
                    let with_timeout = round % TIMEOUT_ROUND == 0;
                    let (events, last) = world.round(lane, with_timeout, &mut random).await;
                    unknown += events.iter().filter(|event| event.answer == Answer::Unknown).count();
                    assert!(is_linearizable(&events, &last), "lane {lane}, round {round}: {events:#?} left {last:?}");
                }
                unknown
            })
        })
        .collect();
    let mut unknown = 0;
    let mut impossible = None;
    for lane in lanes {
        match lane.await {
            Ok(missing) => unknown += missing,
            Err(error) => impossible = Some(error),
        }
    }
    killer.abort();
    let _ = killer.await;
    if let Some(error) = impossible {
        panic!("{error}");
    }
    (rounds * world.paths.len(), unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_concurrent_callers_were_answered_is_possible_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(&directory.path().join("data"));
    let minutes = usize::try_from(minutes().unwrap_or(1)).unwrap();
    let (histories, unknown) = check_histories(server, ROUNDS * minutes).await;
    println!("histories: {histories} checked, {unknown} answers cut off by a kill, 0 impossible");
}
