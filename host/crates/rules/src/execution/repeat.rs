//! `repeat`: a kind of step that only tests know. It goes through its block so many times, and it is all that a kind with a block
//! takes: this file, and a line in a list.

use super::step::{At, Begin, Failure, Kind, Line, Next, Read};
use super::{Effect, Event, Execution, KINDS, Start};
use crate::flow::document::{self, Node};
use crate::flow::parse::{Parser, parse_with};
use crate::flow::{Flow, Step};
use ringback_records::callback::Input;
use ringback_records::journal::EntryKind;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::time::Timestamp;
use serde_json::{Map, json};
use std::sync::Arc;

#[derive(Debug)]
struct Repeat {
    times: u32,
    blocks: [Vec<Step>; 1],
}

fn read(parser: &mut Parser, node: &Node) -> Option<Box<dyn Kind>> {
    let members = parser.object(node, "a repeat step", &["repeat", "do"])?;
    let document::Kind::Scalar(times) = &members.get("repeat")?.kind else { return None };
    let steps = parser.required(&members, "do")?;
    Some(Box::new(Repeat { times: times.as_u64()?.try_into().ok()?, blocks: [parser.block(steps)] }))
}

impl Kind for Repeat {
    /// What it goes through is in the journal, as it would have to be where it is computed.
    fn begin<'f>(&'f self, _at: &At<'_, 'f>) -> Result<Begin<'f>, Failure> {
        let values = [("times".to_owned(), json!(self.times))].into_iter().collect();
        Ok(Begin::Write(EntryKind::Set { values }))
    }

    fn apply(&self, line: &Line<'_>, _execution: &mut Execution) -> Next {
        let EntryKind::Set { values } = line.kind else { return Next::Stay };
        let times = values["times"].as_u64().unwrap().try_into().unwrap();
        Next::Enter { block: 0, times: Some(times) }
    }

    fn blocks(&self) -> &[Vec<Step>] {
        &self.blocks
    }
}

/// A flow that may have such steps.
pub(super) fn flow(source: &str) -> Flow {
    let kinds = [KINDS, &[("repeat", read as Read)]].concat();
    parse_with(&kinds, source, 1).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).flow
}

/// R5: each round has its place, and sends requests of its own.
#[test]
fn r5_a_request_in_a_loop_has_a_key_for_each_round() {
    let flow = flow(
        "flow: loop\nsteps:\n  - trigger: Start\n  - repeat: 2\n    do:\n      - repeat: 2\n        do:\n          - if: 'true'\n            \
         then: [http: { url: 'https://a.example' }]\n      - repeat: 1000000\n        do: []\n      - repeat: 0\n        do: [fail: never]\n  \
         - http: { url: 'https://a.example' }\n",
    );
    let now = Timestamp::from_millis(1_767_225_600_000);
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
    let (mut execution, mut turn) = Execution::start(&flow, start, now);
    let (mut journal, mut keys) = (Vec::new(), Vec::new());
    loop {
        journal.append(&mut turn.entries);
        let Some(Effect::SendHttp { idempotency_key, .. }) = &turn.effect else { break };
        keys.push(idempotency_key.clone());
        let mut restored = Execution::restore(&flow, execution.summary.clone(), journal.clone());
        assert_eq!(restored, execution);
        let again = restored.resume(&flow, now);
        assert!(
            matches!(&again.effect, Some(Effect::SendHttp { idempotency_key, .. }) if Some(idempotency_key) == keys.last()),
            "{again:?}"
        );
        let event = Event::HttpAnswered { status: 200, result: Map::new(), retry_after: None, duration_us: 1 };
        turn = execution.handle(&flow, event, now);
    }
    let (id, inner) = (execution.summary.id, "steps.1.do.0.do.0.then.0");
    let rounds = ["0.0", "0.1", "1.0", "1.1"].map(|rounds| format!("{id}-{inner}-r{rounds}"));
    assert_eq!(keys, [&rounds[..], &[format!("{id}-steps.2")]].concat());
    let answered = journal.iter().filter(|entry| matches!(entry.kind, EntryKind::Http { .. }));
    let places: Vec<(&str, &[u32])> = answered.map(|entry| (entry.step.as_str(), &entry.rounds[..])).collect();
    let inner = "steps[1].do[0].do[0].then[0]";
    let of_loop: [&[u32]; 4] = [&[0, 0], &[0, 1], &[1, 0], &[1, 1]];
    let last: (&str, &[u32]) = ("steps[2]", &[]);
    assert_eq!(places, [&of_loop.map(|rounds| (inner, rounds))[..], &[last]].concat());
    assert!(matches!(journal.last().unwrap().kind, EntryKind::Completed));
}
