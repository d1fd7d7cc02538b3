//! Whoever walks all pages of a list sees what he asked for, each once.

use super::Id;
use crate::engine::put;
use crate::{
    CallbackFilter, ExecutionFilter, Page, Store, StoreError, StoreOptions, Text, TimeRange, Write, journal, key,
};
use ringback_records::journal::{Entry, EntryKind, Status, StepError, Summary, Wait};
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::random::Random;
use ringback_records::time::Timestamp;
use ringback_records::trace::{Stage, TraceEntry, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

const WORDS: [&str; 4] = ["apple", "Pear", "o-1027", "Ünder"];

fn open(directory: &Path) -> Store {
    Store::open(directory, StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::default() }).unwrap()
}

fn workspace() -> Name {
    Name::default_name()
}

fn of<T: Clone>(random: &mut Random, all: &[T]) -> T {
    all[usize::try_from(random.below(all.len() as u64)).unwrap()].clone()
}

fn some<T: Clone>(random: &mut Random, all: &[T]) -> Option<T> {
    (random.below(3) == 0).then(|| of(random, all))
}

fn flows() -> [Name; 3] {
    ["a", "a-b", "b"].map(|name| name.parse().unwrap())
}

fn callback(random: &mut Random, executions: &[ExecutionId]) -> CallbackRecord {
    let reason = of(random, &WORDS).to_owned();
    CallbackRecord {
        flow: some(random, &flows()),
        trigger: of(random, &["hook", "other"]).to_owned(),
        outcome: of(random, &Outcome::ALL),
        execution: some(random, executions),
        headers: vec![("x-word".to_owned(), of(random, &WORDS).to_owned())],
        body: some(random, &WORDS).map(str::to_owned),
        trace: vec![TraceEntry {
            stage: Stage::Condition,
            verdict: Verdict::Ignored,
            reason,
            duration_us: 1,
            plugins: Vec::new(),
        }],
        ..CallbackRecord::for_testing()
    }
}

/// Writes it where a list may meet it twice: in the ring and in the store, as one that nobody was promised and that came to something
/// later; and in two rows, as one that goes from the one to the other while both are read.
async fn write_twice(store: &Store, random: &mut Random, record: &CallbackRecord) {
    if matches!(record.outcome, Outcome::Ignored | Outcome::Rejected | Outcome::Failed) && random.below(2) == 0 {
        assert!(store.keep_recent(&workspace(), record));
    } else {
        let outcome = of(random, &Outcome::ALL);
        store.commit(vec![put_callback(None, &CallbackRecord { outcome, ..record.clone() })]).await.unwrap();
    }
    store.commit(vec![put_callback(None, record)]).await.unwrap();
}

/// Writes it where the server would, instead of what was there before.
async fn write(store: &Store, before: Option<Outcome>, record: &CallbackRecord) {
    if matches!(record.outcome, Outcome::Ignored | Outcome::Rejected | Outcome::Failed)
        && !record.id.as_bytes()[15].is_multiple_of(4)
    {
        assert!(store.keep_recent(&workspace(), record));
    } else {
        store.commit(vec![put_callback(before, record)]).await.unwrap();
    }
}

fn put_callback(before: Option<Outcome>, record: &CallbackRecord) -> Write {
    Write::PutCallback { workspace: workspace(), before, record: Box::new(record.clone()) }
}

/// The same as a version did that had no rows.
async fn write_as_before(store: &Store, record: &CallbackRecord) {
    let mut operations = Vec::new();
    put(&mut operations, key::callback(&workspace(), record.id), record).unwrap();
    store.engine.writer.commit(operations).await.unwrap();
}

fn made_at(id: &Id) -> u64 {
    u64::from_be_bytes([0, 0, id[0], id[1], id[2], id[3], id[4], id[5]])
}

fn time_range(random: &mut Random, ids: &[Id]) -> TimeRange {
    let mut time = || some(random, ids).map(|id| Timestamp::from_millis(made_at(&id)));
    TimeRange { since: time(), until: time() }
}

fn is_in(time: TimeRange, id: &Id) -> bool {
    let at = Timestamp::from_millis(made_at(id));
    time.since.is_none_or(|since| at >= since) && time.until.is_none_or(|until| at < until)
}

fn callback_filter(random: &mut Random, ids: &[Id], executions: &[ExecutionId]) -> CallbackFilter {
    CallbackFilter {
        flow: some(random, &flows()),
        trigger: (random.below(6) == 0).then(|| "hook".to_owned()),
        execution: (random.below(6) == 0).then(|| executions[0]),
        outcomes: (0..random.below(4)).map(|_| of(random, &Outcome::ALL)).collect(),
        time: time_range(random, ids),
        reason: (random.below(6) == 0).then(|| Text::new(&of(random, &WORDS).to_uppercase())),
        text: (random.below(6) == 0).then(|| Text::new(&of(random, &WORDS)[2..4])),
        anywhere: (random.below(6) == 0).then(|| Text::new(of(random, &WORDS))),
        ..CallbackFilter::default()
    }
}

/// The ids of all pages; something happens between them.
async fn walk<T>(
    page: impl AsyncFn(Option<Id>) -> Result<Page<T>, StoreError>,
    limit: usize,
    id: impl Fn(&T) -> Id,
    mut between: impl AsyncFnMut(),
) -> Vec<Id> {
    let (mut before, mut seen) = (None, Vec::new());
    for pages in 0.. {
        assert!(pages < 5000, "it does not end");
        let page = page(before).await.unwrap();
        assert!(page.items.len() <= limit);
        seen.extend(page.items.iter().map(&id));
        assert!(page.next.is_none_or(|next| before.is_none_or(|before| next < before)), "it goes on");
        before = page.next;
        if before.is_none() {
            break;
        }
        between().await;
    }
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, each once");
    seen
}

#[tokio::test]
async fn walking_all_pages_shows_every_wanted_callback_once() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let directory = tempfile::tempdir().unwrap();
        let executions = [ExecutionId::new(), ExecutionId::new()];
        let mut store = open(directory.path());
        let mut all = BTreeMap::new();
        let has_earlier_ones = seed % 2 == 0;
        for number in 0..400 {
            if number == 200 {
                store.close().await;
                drop(store);
                store = open(directory.path());
            }
            // A clock that was put back gives ids among those of before.
            if number == 200 || (number == 0 && !has_earlier_ones) {
                store.renew().await.unwrap();
            }
            let mut record = callback(&mut random, &executions);
            if number == 300 {
                record.id =
                    CallbackId::from_bytes((u128::from_be_bytes(*all.keys().nth(50).unwrap()) + 1).to_be_bytes());
            }
            match has_earlier_ones && number < 200 {
                true => write_as_before(&store, &record).await,
                false if number % 5 == 0 => write_twice(&store, &mut random, &record).await,
                false => write(&store, None, &record).await,
            }
            all.insert(*record.id.as_bytes(), record);
            if random.below(10) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // What was kept comes to something else.
        for record in all.values_mut().filter(|record| record.outcome == Outcome::Kept).step_by(2) {
            record.decide(Outcome::Resumed, Verdict::Passed, "later".to_owned());
            store.commit(vec![put_callback(Some(Outcome::Kept), record)]).await.unwrap();
        }
        let ids: Vec<Id> = all.keys().copied().collect();
        for _ in 0..60 {
            let wanted = callback_filter(&mut random, &ids, &executions);
            let limit = usize::try_from(1 + random.below(40)).unwrap();
            let mut touched = BTreeSet::new();
            let page = async |before| store.callbacks(&workspace(), before, limit, &wanted).await;
            let seen = walk(
                page,
                limit,
                |callback| *callback.id.as_bytes(),
                async || {
                    write(&store, None, &callback(&mut random, &executions)).await;
                    let id = of(&mut random, &ids);
                    match random.below(4) {
                        0 => {
                            let id = CallbackId::from_bytes(id);
                            store.commit(vec![Write::DeleteCallback { workspace: workspace(), id }]).await.unwrap();
                            touched.insert(*id.as_bytes());
                        }
                        1 if all[&id].outcome == Outcome::Kept => {
                            let record = CallbackRecord { outcome: Outcome::Started, ..all[&id].clone() };
                            write(&store, Some(Outcome::Kept), &record).await;
                            touched.insert(id);
                        }
                        _ => {}
                    }
                },
            )
            .await;
            let fits = |id: &&Id| is_in(wanted.time, id) && wanted.accepts(&all[*id]);
            let expected: Vec<_> = ids.iter().rev().filter(fits).filter(|id| !touched.contains(*id)).collect();
            let seen = seen.iter().filter(|id| all.contains_key(*id) && !touched.contains(*id));
            assert!(seen.clone().eq(expected.iter().copied()), "seed {seed}, {limit} a page: {wanted:?}");
            // Everything again as it was.
            for id in touched {
                let there = store.callback(&workspace(), CallbackId::from_bytes(id)).await.unwrap();
                if there.as_ref() != Some(&all[&id]) {
                    let before = there.map(|there| there.outcome);
                    store.commit(vec![put_callback(before, &all[&id])]).await.unwrap();
                }
            }
        }
        assert_eq!(store.verify().unwrap().problem_count, 0);
    }
}

fn execution(random: &mut Random, number: u32) -> Summary {
    let status = of(random, &Status::ALL);
    let error = StepError { code: "flow_failed".into(), message: of(random, &WORDS).into(), step: "steps[1]".into() };
    let wait = Wait {
        trigger: some(random, &flows()),
        key: None,
        step: "steps[2]".into(),
        rounds: Vec::new(),
        since: Timestamp::now(),
        until: None,
    };
    Summary {
        id: ExecutionId::new(),
        flow: of(random, &flows()),
        flow_version: number,
        environment: workspace(),
        environment_made_at: None,
        status,
        callback: CallbackId::new(),
        started_at: Timestamp::now(),
        ended_at: status.is_ended().then(Timestamp::now),
        error: (status == Status::Failed).then_some(error),
        waits: (status == Status::Waiting).then_some(wait).into_iter().collect(),
        holds: Vec::new(),
        entries: 1,
    }
}

async fn advance(store: &Store, before: Option<&Summary>, summary: &Summary) {
    let entries = vec![Entry {
        at: Timestamp::now(),
        step: "steps[0]".into(),
        rounds: Vec::new(),
        kind: EntryKind::If { holds: true, absent: None },
    }];
    let (before, summary) = (before.cloned().map(Box::new), Box::new(summary.clone()));
    store.commit(vec![Write::Advance { workspace: workspace(), before, summary, entries }]).await.unwrap();
}

#[tokio::test]
async fn walking_all_pages_shows_every_wanted_execution_once() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let mut all = BTreeMap::new();
        let has_earlier_ones = seed % 2 == 0;
        for number in 0..300 {
            if number == 150 || (number == 0 && !has_earlier_ones) {
                store.renew().await.unwrap();
            }
            let run = execution(&mut random, number);
            if has_earlier_ones && number < 150 {
                let mut operations = Vec::new();
                let key = key::execution(&workspace(), run.id);
                let value = journal::advance(&key, None, &run, &[]).unwrap().value;
                operations.push(crate::writer::Operation::Put { key, revision: 1, value });
                store.engine.writer.commit(operations).await.unwrap();
            } else {
                advance(&store, None, &run).await;
            }
            all.insert(*run.id.as_bytes(), run);
            if random.below(10) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let go_on = |run: &Summary, status| Summary {
            status,
            entries: run.entries + 1,
            waits: Vec::new(),
            ended_at: Some(Timestamp::now()),
            ..run.clone()
        };
        for run in all.values_mut().filter(|run| run.status == Status::Waiting).step_by(2) {
            let after = go_on(run, Status::Completed);
            advance(&store, Some(run), &after).await;
            *run = after;
        }
        let ids: Vec<Id> = all.keys().copied().collect();
        for _ in 0..40 {
            let wanted = ExecutionFilter {
                flow: some(&mut random, &flows()),
                trigger: (random.below(6) == 0).then(|| "a".to_owned()),
                statuses: (0..random.below(3)).map(|_| of(&mut random, &Status::ALL)).collect(),
                time: time_range(&mut random, &ids),
                reason: (random.below(6) == 0).then(|| Text::new("FLOW_failed: pear")),
                ..ExecutionFilter::default()
            };
            let limit = usize::try_from(1 + random.below(30)).unwrap();
            let mut touched = BTreeMap::new();
            let page = async |before| store.executions(&workspace(), before, limit, &wanted).await;
            let seen = walk(
                page,
                limit,
                |run| *run.id.as_bytes(),
                async || {
                    advance(&store, None, &execution(&mut random, 0)).await;
                    let id = of(&mut random, &ids);
                    let run: &Summary = touched.get(&id).unwrap_or(&all[&id]);
                    if !run.status.is_ended() {
                        let after = go_on(run, of(&mut random, &[Status::Cancelled, Status::Running]));
                        advance(&store, Some(run), &after).await;
                        touched.insert(id, after);
                    }
                },
            )
            .await;
            let fits = |id: &&Id| is_in(wanted.time, id) && wanted.accepts(&all[*id]);
            let expected = ids.iter().rev().filter(fits).filter(|id| !touched.contains_key(*id));
            let seen = seen.iter().filter(|id| all.contains_key(*id) && !touched.contains_key(*id));
            assert!(seen.eq(expected), "seed {seed}, {limit} a page: {wanted:?}");
            all.extend(touched);
        }
        assert_eq!(store.verify().unwrap().problem_count, 0);
    }
}

/// What is forgotten leaves nothing in the rows.
#[tokio::test]
async fn rows_have_what_is_stored_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.renew().await.unwrap();
    let rows = || [key::CALLBACK_BY, key::EXECUTION_BY].map(|kind| store.engine.index.scan_prefix(&[kind]).count());
    let mut random = Random(1);
    let mut record = CallbackRecord { outcome: Outcome::Kept, ..callback(&mut random, &[ExecutionId::new()]) };
    let mut before = None;
    for outcome in [Outcome::Kept, Outcome::Kept, Outcome::Failed] {
        record.outcome = outcome;
        store.commit(vec![put_callback(before.replace(outcome), &record)]).await.unwrap();
        assert_eq!(rows(), [1, 0], "{outcome}");
    }
    let mut run = Summary {
        status: Status::Running,
        waits: Vec::new(),
        error: None,
        ended_at: None,
        ..execution(&mut random, 1)
    };
    advance(&store, None, &run).await;
    assert_eq!(rows(), [1, 0], "those that run have a row of their own");
    for status in [Status::Failed, Status::Running, Status::Completed] {
        let before = run.clone();
        run = Summary { status, entries: run.entries + 1, ended_at: Some(Timestamp::default()), ..run };
        advance(&store, Some(&before), &run).await;
        assert_eq!(rows(), [1, usize::from(status != Status::Running)], "{status:?}");
    }
    let id = record.id;
    store.commit(vec![Write::DeleteCallback { workspace: workspace(), id }]).await.unwrap();
    let write = Write::DeleteExecution { workspace: workspace(), id: run.id, entries: run.entries };
    store.commit(vec![write]).await.unwrap();
    assert_eq!(rows(), [0, 0]);
}

/// A page has an end, however large what it looks at is, and the next goes on there.
#[tokio::test]
async fn a_page_reads_no_more_than_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let body = Some("x".repeat(8 << 20));
    let mut all = Vec::new();
    for _ in 0..10 {
        let record = CallbackRecord { body: body.clone(), outcome: Outcome::Started, ..CallbackRecord::for_testing() };
        write(&store, None, &record).await;
        all.insert(0, *record.id.as_bytes());
    }
    let wanted = CallbackFilter::default();
    let first = store.callbacks(&workspace(), None, 10, &wanted).await.unwrap();
    assert_eq!(first.items.len(), 8, "64 MiB are enough");
    let page = async |before| store.callbacks(&workspace(), before, 10, &wanted).await;
    assert_eq!(walk(page, 10, |callback| *callback.id.as_bytes(), async || {}).await, all);
}

#[test]
fn a_callback_is_wanted_when_all_that_is_said_holds() {
    let record = CallbackRecord {
        path: "/h/Door".to_owned(),
        query: "page=7".to_owned(),
        headers: vec![("x-kind".to_owned(), "Paid".to_owned())],
        body_base64: Some("AGFiYw==".to_owned()),
        ..callback(&mut Random(1), &[ExecutionId::new()])
    };
    let has = |text: &str| CallbackFilter { text: Some(Text::new(text)), ..CallbackFilter::default() }.accepts(&record);
    for there in ["/H/DOOR", "page=7", "x-kind: paid", "PAID", "ABC"] {
        assert!(has(there), "{there}");
    }
    for absent in ["page=8", "AGFiYw", "condition"] {
        assert!(!has(absent), "{absent}");
    }
    let says =
        |text: &str| CallbackFilter { reason: Some(Text::new(text)), ..CallbackFilter::default() }.accepts(&record);
    assert!(says("CONDITION: ") && says(&record.trace[0].reason) && !says("paid"));
    let other = |change: fn(&mut CallbackFilter)| {
        let mut wanted = CallbackFilter::default();
        change(&mut wanted);
        wanted.accepts(&record)
    };
    assert!(other(|_| {}) && other(|wanted| wanted.environment = Some(workspace())));
    assert!(!other(|wanted| wanted.environment = Some("test".parse().unwrap())));
    assert!(!other(|wanted| wanted.ticket = Some(TicketId::new())));
    assert!(!other(|wanted| wanted.execution = Some(ExecutionId::new())));
}

/// Run it with `--ignored --nocapture`: how long pages take of lists of a million.
#[tokio::test]
#[ignore = "it takes minutes"]
async fn a_page_of_a_million() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.renew().await.unwrap();
    let text = |length: usize| Some("x".repeat(length));
    let (started, started_at) = (Instant::now(), Timestamp::now());
    let (mut ids, mut middle) = (Vec::new(), started_at);
    for number in 0..1_000_000_u32 {
        let outcome = if number % 100_003 == 0 { Outcome::Answered } else { Outcome::Started };
        let flow = Some(if number % 200_003 == 7 { "rare" } else { "common" }.parse().unwrap());
        ids.push(CallbackRecord { outcome, flow, body: text(200), ..CallbackRecord::for_testing() });
        if number == 500_000 {
            middle = Timestamp::now();
        }
        if ids.len() == 1000 {
            let writes = ids.drain(..).map(|record| put_callback(None, &record));
            store.commit(writes.collect()).await.unwrap();
        }
    }
    eprintln!("1,000,000 stored in {:?}", started.elapsed());
    let started = Instant::now();
    let mut kept = 0;
    for number in 0..400_000_u32 {
        let outcome = if number % 50_021 == 9 { Outcome::Failed } else { Outcome::Ignored };
        let record = CallbackRecord { outcome, body: text(200), ..CallbackRecord::for_testing() };
        while !store.keep_recent(&workspace(), &record) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kept += 1;
    }
    eprintln!("{kept} kept in the ring in {:?}", started.elapsed());
    let time = TimeRange { since: Some(Timestamp::from_millis(middle.as_millis() - 20)), until: Some(middle) };
    let outcome = |outcome| CallbackFilter { outcomes: vec![outcome], ..CallbackFilter::default() };
    for again in ["first", "again"] {
        for (what, wanted) in [
            ("all", CallbackFilter::default()),
            ("answered", outcome(Outcome::Answered)),
            ("failed", outcome(Outcome::Failed)),
            ("rejected, of which there are none", outcome(Outcome::Rejected)),
            ("started", outcome(Outcome::Started)),
            ("of a rare flow", CallbackFilter { flow: Some("rare".parse().unwrap()), ..CallbackFilter::default() }),
            ("of 20 ms in the middle", CallbackFilter { time, ..CallbackFilter::default() }),
            ("with a text that none has", CallbackFilter { text: Some(Text::new("y")), ..CallbackFilter::default() }),
        ] {
            let started = Instant::now();
            let page = store.callbacks(&workspace(), None, 50, &wanted).await.unwrap();
            let (count, is_all) = (page.items.len(), page.next.is_none());
            eprintln!("{again}: {what}: {count}, the last page: {is_all}, {:?}", started.elapsed());
        }
    }
}
