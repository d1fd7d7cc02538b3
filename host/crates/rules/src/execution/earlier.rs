//! Executions that versions before this one began, as they wrote them: literal lines of their data directories. They are read,
//! they wait where they waited, and go on where they were.

use super::{Effect, Event, Execution, HTTP_FAILED, Standing, Turn};
use crate::flow::{Flow, parse};
use ringback_records::callback::Input;
use ringback_records::journal::{Entry, EntryKind, Status, Summary};
use ringback_records::name::{CallbackId, Name};
use ringback_records::time::Timestamp;
use serde_json::{Map, json};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const ID: &str = "019b76da-a800-7000-8000-000000000001";

/// The comments are the numbers of the steps in one line, from which those versions made keys.
const FLOW: &str = "
flow: test
steps:
  - trigger: Order received                                   # 0
  - if: data.n > 1                                            # 1
    then:
      - set: { size: large }                                  # 2
      - http: { url: 'https://a.example/${{ data.n }}', retry: { attempts: 3, backoff: 1s } } # 3
        as: first
    else:                                                     # 4
      - fail: small                                           # 5
  - trigger: Paid                                             # 6
    timeout: 1h
    on_timeout:                                               # 7
      - http: { url: 'https://a.example/late' }               # 8
  - http: { url: 'https://a.example/last', on_error: fail }   # 9
";

const STARTED: &str = r#"{"at":"2025-12-31T23:00:00.000Z","step":"steps[0]","kind":"started","callback":"019b76da-a800-7000-8000-000000000002","trigger":"Order received","data":{"n":2},"fields":{}}"#;
const IF: &str = r#"{"at":"2025-12-31T23:00:00.000Z","step":"steps[1]","kind":"if","holds":true}"#;
const SET: &str =
    r#"{"at":"2025-12-31T23:00:00.000Z","step":"steps[1].then[0]","kind":"set","values":{"size":"large"}}"#;
const REQUEST: &str = r#"{"at":"2025-12-31T23:00:00.000Z","step":"steps[1].then[1]","kind":"http-request","request":{"url":{"text":[{"value":"https://a.example/"},{"value":2}]}}}"#;
const RETRY: &str = r#"{"at":"2025-12-31T23:00:01.000Z","step":"steps[1].then[1]","kind":"http-retry","attempt":1,"problem":"the answer was 503","until":"2025-12-31T23:00:02.000Z"}"#;
const UNANSWERED: &str = r#"{"at":"2025-12-31T23:00:01.000Z","step":"steps[1].then[1]","kind":"failed","error":{"code":"http_failed","message":"no answer: timeout","step":"steps[1].then[1]"},"unanswered":true}"#;
const REFUSED: &str = r#"{"at":"2025-12-31T23:00:01.000Z","step":"steps[1].then[1]","kind":"failed","error":{"code":"http_failed","message":"the answer was 404","step":"steps[1].then[1]"}}"#;
const RETRIED: &str = r#"{"at":"2025-12-31T23:00:03.000Z","step":"steps[1].then[1]","kind":"retried"}"#;
const ANSWERED: &str = r#"{"at":"2025-12-31T23:00:03.000Z","step":"steps[1].then[1]","kind":"http","name":"first","result":{"status":200,"headers":{},"body":null},"attempt":1,"duration_us":900}"#;
const WAITING: &str = r#"{"at":"2025-12-31T23:00:03.000Z","step":"steps[2]","kind":"waiting","trigger":"paid","until":"2026-01-01T00:00:00.000Z"}"#;
const TIMED_OUT: &str = r#"{"at":"2026-01-01T00:00:00.000Z","step":"steps[2]","kind":"timed-out","trigger":"Paid"}"#;
const LATE: &str = r#"{"at":"2026-01-01T00:00:00.000Z","step":"steps[2].on_timeout[0]","kind":"http-request","request":{"url":{"value":"https://a.example/late"}}}"#;

fn flow() -> Flow {
    parse(FLOW, 3).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).flow
}

/// An execution of today from these lines; its summary says what the journal comes to.
fn read(flow: &Flow, status: &str, wait: &str, lines: &[&str]) -> Execution {
    let summary = format!(
        r#"{{"id":"{ID}","flow":"test","flow_version":3,"environment":"default","status":"{status}","callback":"019b76da-a800-7000-8000-000000000002","started_at":"2025-12-31T23:00:00.000Z",{wait}"entries":{}}}"#,
        lines.len()
    );
    let summary: Summary = serde_json::from_str(&summary).unwrap_or_else(|error| panic!("{error}: {summary}"));
    let journal: Vec<Entry> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (entry, line) in journal.iter().zip(lines) {
        assert_eq!(serde_json::to_string(entry).unwrap(), *line, "it is written as it was");
    }
    let execution = Execution::restore(flow, summary.clone(), journal);
    let Summary { status, waits, .. } = &execution.summary;
    assert_eq!((status, waits, execution.summary.entries), (&summary.status, &summary.waits, summary.entries));
    execution
}

fn key(turn: &Turn<'_>) -> String {
    match &turn.effect {
        Some(Effect::SendHttp { idempotency_key, .. }) => idempotency_key.clone(),
        other => panic!("{other:?}"),
    }
}

fn answered() -> Event {
    Event::HttpAnswered { status: 200, result: Map::new(), retry_after: None, duration_us: 1 }
}

/// R5: who has had the request before knows it again; the steps that follow have keys of the new kind, and none is used twice.
#[test]
fn r5_a_request_that_is_under_way_keeps_the_key_that_it_had() {
    let flow = flow();
    let old = format!("{ID}-3");
    let mut execution = read(&flow, "running", "", &[STARTED, IF, SET, REQUEST]);
    assert_eq!(key(&execution.resume(&flow, NOW)), old, "after a restart");
    execution.handle(&flow, answered(), NOW);
    let trigger = "paid".parse().unwrap();
    let paid = Event::Resumed { trigger, callback: CallbackId::new(), input: Input::default() };
    assert_eq!(key(&execution.handle(&flow, paid, NOW)), format!("{ID}-steps.3"), "and not what the first had");

    let pause =
        r#""wait":{"step":"steps[1].then[1]","since":"2025-12-31T23:00:01.000Z","until":"2025-12-31T23:00:02.000Z"},"#;
    let mut execution = read(&flow, "waiting", pause, &[STARTED, IF, SET, REQUEST, RETRY]);
    assert_eq!(key(&execution.handle(&flow, Event::Woken, NOW)), old, "after a pause");

    let mut execution = read(&flow, "failed", "", &[STARTED, IF, SET, REQUEST, UNANSWERED]);
    let turn = execution.handle(&flow, Event::Retried, NOW);
    assert_eq!(key(&turn), old, "it may have been done");
    let EntryKind::HttpRequest { key: written, .. } = &turn.entries[1].kind else { panic!("{turn:?}") };
    assert_eq!(written.as_ref(), Some(&old), "from now on it is in the journal");

    let mut execution = read(&flow, "failed", "", &[STARTED, IF, SET, REQUEST, REFUSED]);
    assert_eq!(key(&execution.handle(&flow, Event::Retried, NOW)), format!("{ID}-steps.1.then.1-1"), "another answer");
    let mut execution = read(&flow, "running", "", &[STARTED, IF, SET, REQUEST, REFUSED, RETRIED, REQUEST]);
    assert_eq!(key(&execution.resume(&flow, NOW)), format!("{old}-1"), "tried again by an earlier version");

    // Before requests were kept.
    let mut execution = read(&flow, "running", "", &[STARTED, IF, SET]);
    assert_eq!(key(&execution.resume(&flow, NOW)), old);
    let mut execution = read(&flow, "waiting", pause, &[STARTED, IF, SET, RETRY]);
    assert_eq!(key(&execution.handle(&flow, Event::Woken, NOW)), old);
}

#[test]
fn a_wait_of_before_is_resumed_and_ends_in_time() {
    let flow = flow();
    let lines = [STARTED, IF, SET, REQUEST, ANSWERED, WAITING];
    let wait = r#""wait":{"trigger":"paid","step":"steps[2]","since":"2025-12-31T23:00:03.000Z","until":"2026-01-01T00:00:00.000Z"},"#;
    let mut execution = read(&flow, "waiting", wait, &lines);
    let paid: Name = "paid".parse().unwrap();
    assert_eq!(execution.standing(&flow, &paid), Standing::WaitsHere);
    assert!(
        matches!(execution.resume(&flow, NOW).effect, Some(Effect::LookIntoMailbox { trigger, .. }) if *trigger == paid)
    );
    let mut resumed = execution.clone();
    let event = Event::Resumed { trigger: paid.clone(), callback: CallbackId::new(), input: Input::default() };
    assert_eq!(key(&resumed.handle(&flow, event, NOW)), format!("{ID}-steps.3"));
    assert_eq!(resumed.standing(&flow, &paid), Standing::Passed);
    assert_eq!(resumed.results["first"]["status"], json!(200));

    assert_eq!(key(&execution.handle(&flow, Event::Woken, NOW)), format!("{ID}-steps.2.on_timeout.0"));
    let mut late = read(&flow, "running", "", &[&lines[..], &[TIMED_OUT, LATE]].concat());
    assert_eq!(key(&late.resume(&flow, NOW)), format!("{ID}-8"));
    assert_eq!(key(&late.handle(&flow, answered(), NOW)), format!("{ID}-steps.3"));
    let unanswered = Event::HttpUnanswered { code: HTTP_FAILED, problem: "no answer".into(), retryable: false };
    late.handle(&flow, unanswered, NOW);
    assert_eq!(late.summary.status, Status::Failed);
}
