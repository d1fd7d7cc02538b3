use super::{Event, Execution, HTTP_FAILED, Standing, Start};
use crate::flow::{Flow, parse};
use ringback_records::callback::Input;
use ringback_records::journal::{EntryKind, Status, Summary, Wait};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::time::Timestamp;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn flow(steps: &str) -> Flow {
    let source = format!("flow: test\nsteps:\n  - trigger: Order received\n    mode: sync\n{steps}");
    parse(&source, 3).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).flow
}

fn start(data: Value) -> Start {
    let input = Input { data: data.into(), ..Input::default() };
    Start {
        id: ExecutionId::new(),
        callback: CallbackId::new(),
        environment: Name::default_name(),
        environment_made_at: None,
        input_bytes: input.weight(Execution::BYTES_MAX),
        holds: Vec::new(),
        input,
        vars: std::sync::Arc::default(),
        bytes_max: Execution::BYTES_MAX,
    }
}

fn run(flow: &Flow, data: Value) -> Execution {
    let (execution, turn) = Execution::start(flow, start(data), NOW);
    assert!(turn.effect.is_none());
    assert_eq!(turn.entries.len(), execution.summary.entries as usize);
    let summary = execution.summary.clone();
    assert_eq!(Execution::restore(flow, summary, turn.entries), execution, "the journal is the truth");
    execution
}

fn done(result: Value) -> Event {
    Event::StepDone {
        plugin: Name::default_name(),
        digest: "d".into(),
        duration_us: 1,
        cpu_us: None,
        result,
        log: Vec::new(),
    }
}

#[test]
fn a_failing_expression_fails_the_execution_and_says_where() {
    for (steps, code) in [
        ("  - if: data.a > 1\n    then: []\n", "expression_failed"),
        ("  - set: { b: '${{ data.b }}' }\n", "expression_failed"),
        ("  - set: { b: '${{ lists.range(1000000) }}' }\n", "expression_limit"),
    ] {
        let error = run(&flow(steps), json!({ "a": "text" })).summary.error.unwrap();
        assert_eq!((error.code.as_str(), error.step.as_str()), (code, "steps[1]"), "{steps}");
    }
    let long = run(&flow("  - fail: '${{ data.a }}'\n"), json!({ "a": "x".repeat(100_000) }));
    assert_eq!(long.summary.error.unwrap().message.chars().count(), 2001);
}

/// S3.
#[test]
fn s3_an_if_about_something_absent_does_not_hold_and_the_journal_says_what() {
    let flow = flow("  - if: data.order.paid\n    then: [fail: not here]\n    else: [set: { went: on }]\n");
    let (execution, turn) = Execution::start(&flow, start(json!({})), NOW);
    assert_eq!(execution.results["went"], json!("on"));
    let absent = EntryKind::If { holds: false, absent: Some("data.order".to_owned()) };
    assert_eq!(turn.entries[1].kind, absent);
}

/// A4: what callbacks and steps bring to one execution has a limit, whichever it is that brings too much.
#[test]
fn a4_the_values_of_an_execution_take_no_more_memory_than_they_may() {
    let too_large = |execution: &Execution| {
        let error = execution.summary.error.clone().map(|error| error.code);
        assert_eq!((execution.summary.status, error.as_deref()), (Status::Failed, Some("execution_too_large")));
    };
    let data = || json!({ "s": "x".repeat(1 << 20) });
    let small = |data: Value| Start { bytes_max: 3 << 20, ..start(data) };
    let sets: String = (0..4).map(|n| format!("  - set: {{ r{n}: '${{{{ data.s }}}}' }}\n")).collect();
    let flow_with_sets = flow(&sets);
    let (execution, turn) = Execution::start(&flow_with_sets, small(data()), NOW);
    too_large(&execution);
    assert_eq!(turn.entries.len(), 3, "two fit");
    let flow_with_step = flow("  - plugin: score\n");
    let (mut execution, _) = Execution::start(&flow_with_step, small(data()), NOW);
    execution.handle(&flow_with_step, done(json!("y".repeat(2 << 20))), NOW);
    too_large(&execution);
    let waits = flow("  - trigger: Second\n");
    let (mut execution, _) = Execution::start(&waits, small(data()), NOW);
    let large = Input { data: json!("z".repeat(2 << 20)).into(), ..Input::default() };
    assert!(!execution.has_room_for(&large) && execution.has_room_for(&Input::default()));
    let trigger = "second".parse().unwrap();
    execution.handle(&waits, Event::Resumed { trigger, callback: CallbackId::new(), input: large }, NOW);
    too_large(&execution);
}

#[test]
fn branches_are_taken_and_left() {
    let flow = flow(
        "  - if: data.n > 1\n    then:\n      - set: { size: large, twice: '${{ data.n * 2 }}', plus: '${{ twice + 1 }}' }\n    \
         else:\n      - if: data.n < 0\n        then:\n          - fail: 'negative: ${{ data.n }}'\n      - set: { size: small }\n  \
         - respond: { status: 201, json: { size: '${{ size }}' } }\n  - set: { after: true }\n",
    );
    let large = run(&flow, json!({ "n": 5 }));
    assert_eq!(large.results["plus"], json!(11));
    assert_eq!(large.reply().unwrap().body, r#"{"size":"large"}"#);
    assert_eq!(large.results["after"], json!(true), "a respond without `end` goes on");
    let small = run(&flow, json!({ "n": 0 }));
    assert_eq!(small.reply().unwrap().body, r#"{"size":"small"}"#);
    let negative = run(&flow, json!({ "n": -1 }));
    assert_eq!(negative.summary.error.as_ref().unwrap().message, "negative: -1");
    assert_eq!(negative.summary.error.as_ref().unwrap().step, "steps[1].else[0].then[0]");
}

/// NB-30.
#[test]
fn respond_with_end_ends_the_flow() {
    let execution = run(&flow("  - respond: { end: true }\n  - fail: not reached\n"), json!(null));
    assert_eq!(execution.summary.status, Status::Completed);
}

#[test]
fn a_plugin_step_is_an_effect_and_its_result_is_in_the_journal() {
    let flow = flow("  - plugin: score\n    as: fraud\n  - if: fraud.score > 0.8\n    then: [{ fail: fraud }]\n");
    let (mut execution, mut turn) = Execution::start(&flow, start(json!({})), NOW);
    assert!(turn.effect.is_some());
    assert_eq!(execution.summary.status, Status::Running);
    let mut journal = turn.entries;
    // A crash here: the restored execution asks for the same effect again.
    let mut restored = Execution::restore(&flow, execution.summary.clone(), journal.clone());
    assert_eq!(restored, execution);
    assert!(restored.resume(&flow, NOW).effect.is_some());
    turn = execution.handle(&flow, done(json!({ "score": 0.9 })), NOW);
    journal.extend(turn.entries);
    assert_eq!(execution.summary.error.as_ref().unwrap().message, "fraud");
    assert!(matches!(journal[1].kind, EntryKind::Plugin { .. }));
    assert_eq!(Execution::restore(&flow, execution.summary.clone(), journal), execution);
}

#[test]
fn a_failed_effect_fails_the_execution() {
    let flow = flow("  - plugin: score\n  - set: { a: 1 }\n");
    let (mut execution, _) = Execution::start(&flow, start(json!({})), NOW);
    let event = Event::Failed { code: "plugin_trapped".into(), message: "m".into(), log: vec!["l".into()] };
    assert!(execution.handle(&flow, event, NOW).effect.is_none());
    assert_eq!(execution.summary.error.as_ref().unwrap().code, "plugin_trapped");
    assert_eq!(execution.summary.ended_at, Some(NOW));
}

/// Of several waits each ends by itself; one is stored as it always was.
#[test]
fn an_execution_holds_several_waits() {
    let flow = flow("  - trigger: Paid\n    timeout: 1h\n  - trigger: Sent\n");
    let (mut execution, _) = Execution::start(&flow, start(json!({})), NOW);
    let stored = |execution: &Execution| {
        let text = serde_json::to_string(&execution.summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), execution.summary);
        text
    };
    let one = r#""wait":{"trigger":"paid","step":"steps[1]","since":"2026-01-01T00:00:00.000Z","until":"2026-01-01T01:00:00.000Z"},"#;
    assert!(stored(&execution).contains(one), "{}", stored(&execution));
    let at = |trigger: &str, step: &str, rounds: &[u32]| Wait {
        trigger: Some(trigger.parse().unwrap()),
        key: None,
        step: step.to_owned(),
        rounds: rounds.to_vec(),
        since: NOW,
        until: None,
    };
    let others = [at("sent", "steps[3].a[0]", &[]), at("paid", "steps[1]", &[1])];
    execution.summary.waits.extend(others.clone());
    assert!(stored(&execution).contains(r#""wait":[{"trigger":"paid","#));
    assert_eq!(execution.standing(&flow, &"sent".parse().unwrap()), Standing::WaitsHere);
    let resumed = |trigger: &str| Event::Resumed {
        trigger: trigger.parse().unwrap(),
        callback: CallbackId::new(),
        input: Input::default(),
    };
    assert!(execution.handle(&flow, resumed("hook"), NOW).entries.is_empty(), "it does not wait there");
    execution.handle(&flow, resumed("paid"), NOW);
    assert_eq!(execution.summary.waits, [&others[..], &[at("sent", "steps[2]", &[])]].concat());
    execution.handle(&flow, Event::Cancelled, NOW);
    assert!(execution.summary.waits.is_empty() && !stored(&execution).contains("wait"));
}

/// What cannot be reached any more is passed: the other branch, but not what a block holds that is still to come.
#[test]
fn a_trigger_in_the_other_branch_is_passed() {
    let flow = flow(
        "  - trigger: Before\n  - if: data.n > 1\n    then: [{ trigger: Large }, { trigger: Larger }]\n    else: [{ trigger: Small }]\n  \
         - trigger: After\n    timeout: 1h\n    on_timeout: [{ trigger: Late }]\n",
    );
    let (mut execution, _) = Execution::start(&flow, start(json!({ "n": 2 })), NOW);
    let standings = |execution: &Execution| {
        ["before", "large", "larger", "small", "after", "late"]
            .map(|id| execution.standing(&flow, &id.parse().unwrap()))
    };
    let resumed = |trigger: &str, n: u32| Event::Resumed {
        trigger: trigger.parse().unwrap(),
        callback: CallbackId::new(),
        input: Input { data: json!({ "n": n }).into(), ..Input::default() },
    };
    use Standing::{NotYet, Passed, WaitsHere};
    assert_eq!(standings(&execution), [WaitsHere, NotYet, NotYet, NotYet, NotYet, NotYet]);
    execution.handle(&flow, resumed("before", 2), NOW);
    assert_eq!(standings(&execution), [Passed, WaitsHere, NotYet, Passed, NotYet, NotYet]);
    execution.handle(&flow, resumed("large", 2), NOW);
    execution.handle(&flow, resumed("larger", 2), NOW);
    assert_eq!(standings(&execution), [Passed, Passed, Passed, Passed, WaitsHere, NotYet]);
    execution.handle(&flow, Event::Woken, NOW.saturating_add(std::time::Duration::from_hours(1)));
    assert_eq!(standings(&execution), [Passed, Passed, Passed, Passed, Passed, WaitsHere]);
}

/// B19: cancelling needs no flow, and is the same as with one.
#[test]
fn b19_an_execution_without_its_flow_is_cancelled() {
    let flow = flow("  - trigger: Paid\n    timeout: 1h\n");
    let (mut execution, turn) = Execution::start(&flow, start(json!({})), NOW);
    let before = execution.summary.clone();
    let (summary, entry) = Execution::cancelled_without_flow(&before, NOW).unwrap();
    let journal = turn.entries.into_iter().chain([entry]).collect();
    assert_eq!(Execution::restore(&flow, before, journal).summary, summary);
    execution.handle(&flow, Event::Cancelled, NOW);
    assert_eq!(execution.summary, summary);
    assert!(Execution::cancelled_without_flow(&summary, NOW).is_none(), "it has ended");
}

/// R3: one that would have to go on without its flow ends with the reason, in the summary as in the journal.
#[test]
fn r3_an_execution_that_cannot_go_on_without_its_flow_fails() {
    let flow = flow("  - trigger: Paid\n    timeout: 1h\n");
    let (execution, turn) = Execution::start(&flow, start(json!({})), NOW);
    let before = execution.summary;
    let (summary, entry) = Execution::failed_without_flow(&before, NOW).unwrap();
    let error = summary.error.as_ref().unwrap();
    assert_eq!((error.code.as_str(), &error.step), ("flow_gone", &before.waits[0].step));
    assert!(error.message.contains("is gone"), "{}", error.message);
    let journal = turn.entries.into_iter().chain([entry]).collect();
    assert_eq!(Execution::restore(&flow, before, journal).summary, summary);
    assert!(Execution::failed_without_flow(&summary, NOW).is_none(), "it has ended");
}

/// R5: a receiver that remembers keys would give the answer that failed; and what was not answered may have been done.
#[test]
fn r5_a_retry_by_hand_has_another_key_where_there_was_an_answer() {
    let flow = flow("  - http: { url: 'https://a.example', retry: { attempts: 1 } }\n");
    let key = |effect: Option<super::Effect<'_>>| match effect {
        Some(super::Effect::SendHttp { idempotency_key, .. }) => idempotency_key,
        other => panic!("{other:?}"),
    };
    let unanswered =
        || Event::HttpUnanswered { code: HTTP_FAILED, problem: "no answer: timeout".into(), retryable: true };
    let refused =
        || Event::HttpAnswered { status: 500, result: serde_json::Map::new(), retry_after: None, duration_us: 1 };
    let (mut execution, turn) = Execution::start(&flow, start(json!({})), NOW);
    let mut journal = turn.entries;
    let first = key(turn.effect);
    let mut keys = Vec::new();
    for event in [unanswered(), refused(), unanswered()] {
        journal.extend(execution.handle(&flow, event, NOW).entries);
        assert_eq!(execution.summary.error.as_ref().unwrap().code, "http_failed");
        let turn = execution.handle(&flow, Event::Retried, NOW);
        journal.extend(turn.entries);
        keys.push(key(turn.effect));
        let mut restored = Execution::restore(&flow, execution.summary.clone(), journal.clone());
        assert_eq!(restored, execution, "a restart knows it, too");
        assert_eq!(Some(&key(restored.resume(&flow, NOW).effect)), keys.last());
    }
    assert_eq!(first, format!("{}-steps.1", execution.summary.id), "the place in the file");
    assert_eq!(keys, [first.clone(), format!("{first}-1"), format!("{first}-1")]);
}

/// A key names one request: when what it is made of has changed since it was not answered, the next one has another.
#[test]
fn r5_another_request_has_another_key() {
    let flow = flow("  - http: { url: 'https://a.example', json: { v: '${{ vars.v }}' }, retry: { attempts: 1 } }\n");
    let key = |effect: Option<super::Effect<'_>>| match effect {
        Some(super::Effect::SendHttp { idempotency_key, .. }) => idempotency_key,
        other => panic!("{other:?}"),
    };
    let with = |v: &str| std::sync::Arc::new(json!({ "v": v }));
    let (mut execution, turn) = Execution::start(&flow, Start { vars: with("one"), ..start(json!({})) }, NOW);
    let mut journal = turn.entries;
    let first = key(turn.effect);
    let mut keys = Vec::new();
    for v in ["one", "two", "two", "one"] {
        let event = Event::HttpUnanswered { code: HTTP_FAILED, problem: "no answer: timeout".into(), retryable: true };
        journal.extend(execution.handle(&flow, event, NOW).entries);
        execution.vars = with(v);
        let turn = execution.handle(&flow, Event::Retried, NOW);
        journal.extend(turn.entries);
        keys.push(key(turn.effect));
        let mut restored = Execution::restore(&flow, execution.summary.clone(), journal.clone());
        restored.vars = with(v);
        assert_eq!(Some(&key(restored.resume(&flow, NOW).effect)), keys.last(), "a restart knows it, too");
    }
    assert_eq!(keys, [first.clone(), format!("{first}-1"), format!("{first}-1"), format!("{first}-2")]);
}
