//! What every engine has to do, written against the contract alone: preconditions, atomicity, order, pages, claims, limits. An
//! engine is given as a function that opens it, and passes when every test of [`conformance!`] does.

mod given;
mod keys;
mod once;
mod together;

use super::*;
use given::*;
pub(super) use keys::*;
use once::*;
use ringback_records::callback::Input;
use ringback_records::flow::FlowVersionRecord;
use ringback_records::journal::Status;
use ringback_records::json;
use ringback_records::outcome::Outcome;
use ringback_records::random::Random;
use ringback_records::ticket::{Handler, TicketStanding, TicketStatus};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::pin::Pin;
use tempfile::TempDir;
pub(super) use together::*;

/// Most bytes of one change here.
pub(super) const CHANGE_BYTES_MAX: usize = 4 << 20;

/// Opens what is kept in a directory, or begins there. Nothing else of an engine is known here.
pub(super) type Open = fn(PathBuf) -> Pin<Box<dyn Future<Output = Store> + Send>>;

/// The whole suite as tests of one engine.
macro_rules! conformance {
    ($open:path: $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                crate::conformance::$name($open).await;
            }
        )*
    };
    ($open:path) => {
        conformance!($open:
            of_changes_that_start_from_the_same_state_one_holds
            what_conflicts_changes_nothing
            mail_is_seen_or_refused
            a_journal_comes_back_whole_and_in_order
            texts_and_numbers_come_back_as_they_were_written
            what_is_due_is_never_early_and_each_is_seen
            what_is_due_in_one_workspace_is_not_behind_that_of_another
            lists_are_in_their_order_from_where_they_were_left
            each_page_says_where_the_next_goes_on
            what_belongs_together_is_one_look
            a_filter_finds_what_it_accepts
            walking_all_pages_shows_everything_once
            b22_walking_all_pages_shows_every_callback_once
            claims_show_each_execution_once_by_workspace
            what_is_larger_than_a_limit_changes_nothing
            what_is_old_and_over_is_forgotten
            tickets_are_forgotten_when_they_have_no_use
            of_changes_that_do_not_need_each_other_those_are_made_that_can
            r7_c3_an_execution_that_goes_on_is_not_forgotten
            b9_the_oldest_of_all_workspaces_go
            what_was_acknowledged_is_there_after_a_restart
            who_waits_for_a_key_is_found_by_it
            what_is_early_is_kept_or_refused
            early_is_seen_or_refused
            early_is_in_order_and_has_its_room
            who_waits_for_what_is_kept_is_claimed
            of_those_who_begin_for_a_key_one_does
            what_is_kept_for_a_key_is_due_and_not_forgotten
            who_lets_go_of_a_key_gives_the_next_one_its_turn
        );
    };
}
pub(super) use conformance;

async fn begin(open: Open) -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path().to_owned()).await;
    (directory, store)
}

/// Each precondition, by many at once: one holds, and of the others nothing is there.
pub(super) async fn of_changes_that_start_from_the_same_state_one_holds(open: Open) {
    for Once { what, first, change } in changes_that_hold_once() {
        let (_directory, store) = begin(open).await;
        for write in &first {
            store.commit(vec![write.clone()]).await.unwrap();
        }
        let all = (0..64).map(|number| [&[mark(number)], &change(&first)[..], &[mark(100 + number)]].concat());
        let all = all.map(|writes| {
            let store = store.clone();
            async move { store.commit(writes).await }
        });
        let results = all.collect::<tokio::task::JoinSet<_>>().join_all().await;
        let held = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!((held, marks(&store).await), (1, 2), "{what}");
        let others = results.iter().filter(|result| matches!(result, Err(StoreError::Conflict))).count();
        assert_eq!(others, 63, "{what}");
        let again = [&[mark(200)], &change(&first)[..]].concat();
        assert!(matches!(store.commit(again).await, Err(StoreError::Conflict)), "{what}, later");
        assert_eq!(marks(&store).await, 2, "{what}");
    }
}

/// What starts from something else than what is there is refused, with all that comes with it.
pub(super) async fn what_conflicts_changes_nothing(open: Open) {
    let (_directory, store) = begin(open).await;
    let run = summary(Status::Running);
    let nowhere = Summary { environment: name("nowhere"), ..summary(Status::Running) };
    let (known, unknown) = (delivery(1), delivery(2));
    let missing = summary(Status::Running);
    let known_ticket = ticket(1);
    store.commit(vec![start(&run), put_delivery(&known, None), put_ticket(known_ticket.clone(), None)]).await.unwrap();
    let gap = Summary { entries: 4, ..run.clone() };
    let cases = [
        ("a gap in the journal", go_on(&gap, &gap).1),
        ("an execution that is not there", go_on(&missing, &missing).1),
        ("an environment that is not there", start(&nowhere)),
        ("mail for a state of before", put_mail(&Summary { entries: 0, ..run.clone() }, &mail(1), ROOM)),
        (
            "mail that is not there",
            Write::TakeMail { workspace: here(), execution: run.id, trigger: name("paid"), mail: Box::new(mail(1)) },
        ),
        ("a delivery that is known", put_delivery(&delivery(9), None)),
        ("a delivery that is known instead of one that is over", put_delivery(&delivery(9), Some(&unknown))),
        ("a callback that was not deferred", Write::TakeDeferred { workspace: here(), id: CallbackId::new() }),
        ("a ticket of a state that another has", put_ticket(ticket(1), None)),
        ("a ticket of another revision", put_ticket(ticket(1), Some(7))),
        (
            "a ticket that has been called since",
            Write::DeleteTicket { workspace: here(), id: known_ticket.id, state: known_ticket.state, revision: 7 },
        ),
        ("a version that is not there", Write::ExpectFlowVersion { workspace: here(), name: here(), version: 1 }),
        ("another who begins the same execution", start(&run)),
        ("an execution that has gone on", Write::DeleteExecution { workspace: here(), id: run.id, entries: 7 }),
    ];
    for (what, write) in cases {
        let change = vec![mark(0), write, mark(1)];
        assert!(matches!(store.commit(change).await, Err(StoreError::Conflict)), "{what}");
        assert_eq!(marks(&store).await, 0, "{what}");
    }
    let at_once = vec![start(&missing), put_mail(&missing, &mail(1), ROOM)];
    assert!(matches!(store.commit(at_once).await, Err(StoreError::Conflict)), "it was not there before the change");
    assert!(store.summary(&here(), missing.id).await.unwrap().is_none());
    assert_eq!(store.execution(&here(), run.id).await.unwrap().unwrap(), (run, vec![entry(0)]));
    assert_eq!(store.delivery(&here(), &here(), &here(), &[7; 32]).await.unwrap(), Some((known, None)));
}

/// Mail that is put while its execution goes on is seen there, or refused and nowhere.
pub(super) async fn mail_is_seen_or_refused(open: Open) {
    let (_directory, store) = begin(open).await;
    let (mut seen, mut refused) = (0, 0);
    for _ in 0..200 {
        let run = summary(Status::Running);
        store.commit(vec![start(&run)]).await.unwrap();
        let mail = mail(1);
        let put = store.commit(vec![put_mail(&run, &mail, ROOM)]);
        let gone_on = async {
            store.commit(vec![go_on(&run, &run).1]).await.unwrap();
            store.next_mail(&here(), run.id, &name("paid"), None).await.unwrap()
        };
        let (put, looked) = tokio::join!(put, gone_on);
        match put {
            Ok(()) => {
                assert_eq!(looked, Some((mail, None)), "who puts mail first is seen");
                seen += 1;
            }
            Err(StoreError::Conflict) => {
                assert_eq!(store.next_mail(&here(), run.id, &name("paid"), None).await.unwrap(), None);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(seen + refused, 200);
}

pub(super) async fn a_journal_comes_back_whole_and_in_order(open: Open) {
    let (_directory, store) = begin(open).await;
    let mut run = summary(Status::Running);
    store.commit(vec![start(&run)]).await.unwrap();
    let mut random = Random(4);
    while run.entries < 2000 {
        let count = 1 + u32::try_from(random.below(40)).unwrap();
        let entries: Vec<Entry> = (run.entries..run.entries + count).map(entry).collect();
        let after = Summary { entries: run.entries + count, ..run.clone() };
        let (before, summary) = (Some(Box::new(run)), Box::new(after.clone()));
        store.commit(vec![Write::Advance { workspace: here(), before, summary, entries }]).await.unwrap();
        run = after;
    }
    let (found, journal) = store.execution(&here(), run.id).await.unwrap().unwrap();
    assert_eq!(journal.len(), run.entries as usize);
    assert!(journal.iter().enumerate().all(|(number, line)| line.step == format!("steps[{number}]")));
    assert_eq!((Some(&found), store.summary(&here(), run.id).await.unwrap()), (Some(&run), Some(run.clone())));
}

pub(super) async fn texts_and_numbers_come_back_as_they_were_written(open: Open) {
    let (_directory, store) = begin(open).await;
    let text =
        r#"{"z":1.0,"a":1e400,"n":123456789012345678901234567890,"t":"a\u0000b\u2028","y":[[],{},null,-0.0],"b":0.10}"#;
    let value: Value = json::from_own(text.as_bytes()).unwrap();
    let mail = Mail { input: Input { data: value.into(), ..input() }, ..mail(1) };
    let run = summary(Status::Running);
    store.commit(vec![start(&run)]).await.unwrap();
    store.commit(vec![put_mail(&run, &mail, ROOM)]).await.unwrap();
    let (found, _) = store.next_mail(&here(), run.id, &name("paid"), None).await.unwrap().unwrap();
    assert_eq!(serde_json::to_string(&found.input.data).unwrap(), serde_json::to_string(&mail.input.data).unwrap());
    assert_eq!(found, mail);
    for size in [0, 1, 5000, 1 << 20] {
        let value: Vec<u8> = (0..size).map(|number: u32| number.to_le_bytes()[0]).collect();
        let put = Write::PutState { workspace: here(), plugin: here(), key: "a\u{0}b".into(), value: value.clone() };
        store.commit(vec![put]).await.unwrap();
        assert_eq!(store.state(&here(), &here(), "a\u{0}b").await.unwrap(), Some(value));
    }
}

/// Everything that is due by now, a few at a time.
async fn all_due(store: &Store, now: Timestamp, limit: usize) -> Vec<Due> {
    let mut all = Vec::new();
    for workspace in store.due_in(now).await.unwrap() {
        let mut after = None;
        loop {
            let DuePage { items, last, is_end } = store.due(&workspace, now, after.clone(), limit).await.unwrap();
            assert!(items.len() <= limit);
            all.extend(items);
            after = last.or(after);
            if is_end {
                break;
            }
        }
    }
    all
}

/// Which workspaces have something to do is known at any time, after a restart, too, whatever comes and goes; and the first page of
/// one has nothing of another.
pub(super) async fn what_is_due_in_one_workspace_is_not_behind_that_of_another(open: Open) {
    let (directory, mut store) = begin(open).await;
    let (many, one) = (name("many"), name("one"));
    let first = waiting("paid", 1, Some(101));
    store.commit((0..300).map(|_| start_in(&many, &waiting("paid", 1, Some(100)))).collect()).await.unwrap();
    store.commit(vec![start_in(&one, &first)]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.due_in(at(99)).await.unwrap(), []);
        assert_eq!(store.due_in(at(100)).await.unwrap(), std::slice::from_ref(&many));
        for _ in 0..2 {
            assert_eq!(
                store.due_in(at(101)).await.unwrap(),
                [many.clone(), one.clone()],
                "also when it was asked before"
            );
        }
        let page = store.due(&one, at(101), None, 2).await.unwrap();
        assert_eq!(page.items, [Due::Execution { workspace: one.clone(), id: first.id }]);
        assert!(page.is_end);
        assert_eq!(store.due(&many, at(101), None, 200).await.unwrap().items.len(), 200);
        store.close().await;
        drop(store);
        store = open(directory.path().to_owned()).await;
    }
    // It goes, and comes for an earlier and for a later time.
    let ended = Summary { waits: Vec::new(), status: Status::Cancelled, ..first.clone() };
    let Write::Advance { before, summary, entries, .. } = go_on(&first, &ended).1 else { unreachable!() };
    store.commit(vec![Write::Advance { workspace: one.clone(), before, summary, entries }]).await.unwrap();
    assert_eq!(store.due_in(at(500)).await.unwrap(), std::slice::from_ref(&many));
    for (until, before) in [(400, 399), (50, 49), (60, 49)] {
        assert!(!store.due_in(at(before)).await.unwrap().contains(&one), "{until}");
        store.commit(vec![start_in(&one, &waiting("paid", 1, Some(until)))]).await.unwrap();
        assert!(!store.due_in(at(before)).await.unwrap().contains(&one), "{until}");
        assert!(store.due_in(at(until)).await.unwrap().contains(&one), "{until}");
    }
}

/// What stays is read behind, so that it stops nobody; what was over is forgotten on the way.
pub(super) async fn what_is_due_is_never_early_and_each_is_seen(open: Open) {
    let (_directory, store) = begin(open).await;
    let mut expected = Vec::new();
    for number in 0..40 {
        let run = waiting("paid", 1, Some(100 + number % 8));
        store.commit(vec![start_in(&name(&format!("w{}", number % 3)), &run)]).await.unwrap();
        expected.push((100 + number % 8, run.id));
    }
    let run = summary(Status::Running);
    let kept = mail(103);
    store.commit(vec![start(&run)]).await.unwrap();
    store.commit(vec![put_mail(&run, &kept, ROOM), put_delivery(&delivery(102), None)]).await.unwrap();
    for limit in [1, 3, 1000] {
        assert!(all_due(&store, at(99), limit).await.is_empty(), "early");
        let due = all_due(&store, at(104), limit).await;
        let executions: HashSet<_> = due
            .iter()
            .filter_map(|due| match due {
                Due::Execution { id, .. } => Some(*id),
                Due::Mail { .. } | Due::Early { .. } => None,
            })
            .collect();
        let by_then: HashSet<_> = expected.iter().filter(|(until, _)| *until <= 104).map(|(_, id)| *id).collect();
        assert_eq!(executions, by_then);
        assert_eq!(due.len(), by_then.len() + 1, "each once, and the mail");
        assert!(store.delivery(&here(), &here(), &here(), &[7; 32]).await.unwrap().is_none(), "it is over");
    }
    let (until, id) = expected[0];
    let over = waiting("paid", 1, Some(until));
    let over = Summary { id, ..over };
    let ended = Summary { waits: Vec::new(), ..Summary { status: Status::Cancelled, ..over.clone() } };
    let Write::Advance { before, summary, entries, .. } = go_on(&over, &ended).1 else { unreachable!() };
    store.commit(vec![Write::Advance { workspace: name("w0"), before, summary, entries }]).await.unwrap();
    let take = Write::TakeMail { workspace: here(), execution: run.id, trigger: name("paid"), mail: Box::new(kept) };
    store.commit(vec![take]).await.unwrap();
    assert_eq!(all_due(&store, at(200), 7).await.len(), expected.len() - 1, "what is done is not due");
}

/// Lists that are read behind a key.
pub(super) async fn lists_are_in_their_order_from_where_they_were_left(open: Open) {
    let (_directory, store) = begin(open).await;
    let mut random = Random(8);
    let (mut waits, mut deferred, mut mails) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let owner = summary(Status::Running);
    store.commit(vec![start(&owner)]).await.unwrap();
    let mut all: Vec<Write> = Vec::new();
    for number in 0..60_u8 {
        let run = waiting("paid", random.below(20), None);
        waits.insert((run.waits[0].since, run.id));
        let other = Summary { flow: name("other"), ..waiting("paid", 1, None) };
        let (id, kept) = (CallbackId::new(), mail(1));
        deferred.insert(id);
        mails.insert(kept.callback);
        let user = format!("user{number:02}");
        let record = serde_json::from_value(
            json!({ "properties": {}, "roles": [], "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z" }),
        );
        let put = |workspace: Name, record: UserRecord| Write::PutUser { workspace, id: user.clone(), record };
        let record: UserRecord = record.unwrap();
        all.extend([
            start(&run),
            start(&other),
            put_mail(&owner, &kept, ROOM),
            put(here(), record.clone()),
            put(name("there"), record),
        ]);
        all.extend([
            Write::PutDeferred { workspace: here(), id },
            Write::PutDeferred { workspace: name("there"), id: CallbackId::new() },
        ]);
    }
    while !all.is_empty() {
        let index = usize::try_from(random.below(all.len() as u64)).unwrap();
        store.commit(vec![all.swap_remove(index)]).await.unwrap();
    }
    assert_eq!(store.deferring().await.unwrap(), [here(), name("there")]);
    for limit in [1, 7, 1000] {
        let mut seen = Vec::new();
        while let next =
            store.waits(&here(), &here(), &here(), &name("paid"), seen.last().copied(), limit).await.unwrap()
            && !next.is_empty()
        {
            assert!(next.len() <= limit);
            seen.extend(next);
        }
        assert!(seen.iter().eq(&waits), "those who wait longest are in front");
        let mut seen = Vec::new();
        while let next = store.deferred(&here(), seen.last().copied(), limit).await.unwrap()
            && !next.is_empty()
        {
            assert!(next.len() <= limit);
            seen.extend(next);
        }
        assert!(seen.iter().eq(&deferred));
        let mut seen: Vec<String> = Vec::new();
        while let next = store.users(&here(), seen.last().map(String::as_str), limit).await.unwrap()
            && !next.is_empty()
        {
            assert!(next.len() <= limit);
            seen.extend(next.into_iter().map(|(id, _)| id));
        }
        assert!(seen.len() == 60 && seen.is_sorted());
    }
    let mut seen: Vec<CallbackId> = Vec::new();
    while let Some((next, _)) = store.next_mail(&here(), owner.id, &name("paid"), seen.last().copied()).await.unwrap() {
        seen.push(next.callback);
    }
    assert!(seen.iter().eq(&mails), "the oldest is in front");
    let waiting_at = async |max| store.waiting_at(&here(), &here(), &name("paid"), None, max).await.unwrap();
    assert_eq!((waiting_at(10).await, waiting_at(1000).await), (10, 60), "counted no further than that");
}

/// Every filter that a list may have, on records that differ in everything: what is found is what a filter accepts.
pub(super) async fn a_filter_finds_what_it_accepts(open: Open) {
    let (_directory, store) = begin(open).await;
    let mut random = Random(15);
    let mut pick = |bound: u64| usize::try_from(random.below(bound)).unwrap();
    let names = ["a", "b"];
    let outcomes = [Outcome::Ignored, Outcome::Started, Outcome::Failed];
    let statuses = [Status::Running, Status::Waiting, Status::Completed];
    let (mut callbacks, mut executions, mut tickets) = (Vec::new(), Vec::new(), Vec::new());
    let ids = [TicketId::new(), TicketId::new()];
    for number in 0..120 {
        let flow = [Some(name("a")), Some(name("b")), None][pick(3)].clone();
        let trigger = names[pick(2)].to_owned();
        let ticket = [Some(ids[0]), Some(ids[1]), None][pick(3)];
        let record =
            CallbackRecord { flow, trigger, ticket, outcome: outcomes[pick(3)], ..CallbackRecord::for_testing() };
        let flow_version = u32::try_from(pick(4)).unwrap();
        let mut run = Summary { flow: name(names[pick(2)]), flow_version, ..summary(statuses[pick(3)]) };
        if run.status == Status::Waiting {
            run.waits = waiting(names[pick(2)], 1, None).waits;
        }
        let plugin = |plugin: &str| Some(Handler::Plugin { plugin: name(plugin), with: Value::Null });
        let handler = [plugin("a"), plugin("b"), Some(Handler::Flow { flow: name("a") }), None][pick(4)].clone();
        let status = [
            TicketStatus::Open,
            TicketStatus::Called { execution: run.id, callback: record.id },
            TicketStatus::Closed { closed_at: at(1), callback: None },
        ][pick(3)]
        .clone();
        let expires_at = [None, Some(at(5)), Some(at(50))][pick(3)];
        let ticket = TicketRecord { handler, status, expires_at, ..self::ticket(number) };
        let put = Write::PutCallback { workspace: here(), before: None, record: Box::new(record.clone()) };
        store.commit(vec![put, start(&run), put_ticket(ticket.clone(), None)]).await.unwrap();
        callbacks.push(record);
        executions.push(run);
        tickets.push(ticket);
    }
    let maybe = |text: &str| [None, Some(text.to_owned()), Some("of-nothing".to_owned())];
    for (flow, trigger) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)] {
        let (flow, trigger) = (maybe("a")[flow].as_deref().map(name), maybe("b")[trigger].clone());
        for outcomes in [vec![], vec![Outcome::Started], vec![Outcome::Failed, Outcome::Ignored]] {
            for ticket in [None, Some(ids[0]), Some(TicketId::new())] {
                let wanted = CallbackFilter {
                    flow: flow.clone(),
                    trigger: trigger.clone(),
                    ticket,
                    outcomes: outcomes.clone(),
                    ..CallbackFilter::default()
                };
                let found = store.callbacks(&here(), None, 1000, &wanted).await.unwrap().items;
                let expected = callbacks.iter().rev().filter(|record| wanted.accepts(record)).map(|record| record.id);
                assert!(found.iter().map(|record| record.id).eq(expected), "{wanted:?}");
            }
        }
        for (statuses, versions) in [
            (vec![], vec![]),
            (vec![], vec![1, 3, 7]),
            (vec![Status::Waiting, Status::Running], vec![0]),
            (vec![Status::Waiting, Status::Running], vec![]),
            (vec![Status::Cancelled], vec![]),
        ] {
            let wanted = ExecutionFilter {
                flow: flow.clone(),
                versions: versions.into_iter().collect(),
                statuses,
                trigger: trigger.clone(),
                ..ExecutionFilter::default()
            };
            let found = store.executions(&here(), None, 1000, &wanted).await.unwrap().items;
            assert!(found.iter().eq(executions.iter().rev().filter(|run| wanted.accepts(run))), "{wanted:?}");
        }
    }
    let standings = [TicketStanding::Open, TicketStanding::Called, TicketStanding::Closed, TicketStanding::Expired];
    let mut found_in_all = 0;
    for plugin in [None, Some(name("a")), Some(name("none"))] {
        for standing in standings {
            let wanted = TicketFilter { standing: Some((at(10), vec![standing])), plugin: plugin.clone() };
            let found = store.tickets(&here(), None, 1000, &wanted).await.unwrap().items;
            assert!(found.iter().eq(tickets.iter().rev().filter(|ticket| wanted.accepts(ticket))), "{wanted:?}");
            found_in_all += if plugin.is_none() { found.len() } else { 0 };
        }
    }
    assert_eq!(found_in_all, tickets.len(), "each stands somewhere");
}

/// Random writes beside walks over all pages: what was there from the first page to the last is seen once, and nothing twice.
pub(super) async fn walking_all_pages_shows_everything_once(open: Open) {
    let (_directory, store) = begin(open).await;
    for seed in 0..6 {
        let mut random = Random(seed);
        let workspace = name(&format!("w{seed}"));
        // What is there, by the order of the list: the one that is there from the beginning on, and the others.
        let mut there: BTreeMap<ExecutionId, Summary> = BTreeMap::new();
        let write = async |random: &mut Random,
                           there: &mut BTreeMap<ExecutionId, Summary>,
                           stays: &HashSet<ExecutionId>| {
            let existing: Vec<_> = there.values().filter(|run| !stays.contains(&run.id)).cloned().collect();
            if random.below(3) > 0 || existing.is_empty() {
                let run = Summary { status: Status::Completed, ..summary(Status::Completed) };
                store.commit(vec![start_in(&workspace, &run)]).await.unwrap();
                there.insert(run.id, run);
            } else {
                let run = &existing[usize::try_from(random.below(existing.len() as u64)).unwrap()];
                let delete = Write::DeleteExecution { workspace: workspace.clone(), id: run.id, entries: run.entries };
                store.commit(vec![delete]).await.unwrap();
                there.remove(&run.id);
            }
        };
        for _ in 0..80 {
            write(&mut random, &mut there, &HashSet::new()).await;
        }
        let stays: HashSet<ExecutionId> = there.keys().copied().filter(|_| random.below(4) > 0).collect();
        let limit = 1 + usize::try_from(random.below(9)).unwrap();
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = store.executions(&workspace, before, limit, &ExecutionFilter::default()).await.unwrap();
            assert!(page.items.len() <= limit);
            seen.extend(page.items.iter().map(|run| run.id));
            before = page.next;
            if before.is_none() {
                break;
            }
            for _ in 0..random.below(4) {
                write(&mut random, &mut there, &stays).await;
            }
        }
        assert!(seen.is_sorted_by(|newer, older| newer > older), "newest first, nothing twice: seed {seed}");
        let seen: HashSet<ExecutionId> = seen.into_iter().collect();
        assert!(stays.is_subset(&seen), "seed {seed}");
    }
}

/// B22: the same for callbacks, in both places where records are, and where few are wanted of many.
pub(super) async fn b22_walking_all_pages_shows_every_callback_once(open: Open) {
    let (_directory, store) = begin(open).await;
    let mut random = Random(22);
    let write = async |outcome: Outcome, is_promised: bool| {
        let record = CallbackRecord { outcome, ..CallbackRecord::for_testing() };
        let id = record.id;
        if is_promised {
            let put = Write::PutCallback { workspace: here(), before: None, record: Box::new(record) };
            store.commit(vec![put]).await.unwrap();
        } else {
            assert!(store.keep_recent(&here(), &record));
        }
        id
    };
    let mut all = vec![write(Outcome::Ignored, false).await, write(Outcome::Kept, true).await];
    for _ in 0..7 {
        all.push(write(Outcome::Failed, false).await);
    }
    let walked = async |limit: usize, outcome: Outcome| {
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let wanted = CallbackFilter { outcomes: vec![outcome], ..CallbackFilter::default() };
            let page = store.callbacks(&here(), before, limit, &wanted).await.unwrap();
            assert!(page.items.len() <= limit);
            seen.extend(page.items.iter().map(|record| record.id));
            before = page.next;
            if before.is_none() {
                break seen;
            }
        }
    };
    for limit in 1..=8 {
        let failed = walked(limit, Outcome::Failed).await;
        assert!(failed.iter().rev().eq(&all[2..]), "{limit} a page: {failed:?}");
    }
    for _ in 0..12_000 {
        let is_promised = random.below(50) == 0;
        all.push(write(Outcome::Rejected, is_promised).await);
    }
    for (outcome, limit, expected) in
        [(None, 150, all.clone()), (Some(Outcome::Ignored), 10, vec![all[0]]), (Some(Outcome::Kept), 1, vec![all[1]])]
    {
        let (mut before, mut seen) = (None, Vec::new());
        for pages in 0.. {
            assert!(pages < 1000, "it does not end");
            let wanted = CallbackFilter { outcomes: outcome.into_iter().collect(), ..CallbackFilter::default() };
            let page = store.callbacks(&here(), before, limit, &wanted).await.unwrap();
            assert!(page.items.len() <= limit);
            seen.extend(page.items.iter().map(|record| record.id));
            before = page.next;
            if before.is_none() {
                break;
            }
            write(Outcome::Rejected, pages % 2 == 0).await;
        }
        seen.retain(|id| all.contains(id));
        seen.reverse();
        assert_eq!(seen, expected, "{outcome:?}");
    }
}

/// Those that run and those that have mail, each once however much it has, behind the last one, of one workspace at a time.
pub(super) async fn claims_show_each_execution_once_by_workspace(open: Open) {
    let (directory, mut store) = begin(open).await;
    let workspaces = [name("aaa"), name("bbb")];
    let mut expected: BTreeMap<(Claim, &Name), BTreeSet<ExecutionId>> = BTreeMap::new();
    for workspace in &workspaces {
        for number in 0..40 {
            let run = match number % 4 {
                0 => summary(Status::Completed),
                1 => waiting("paid", 1, None),
                _ => summary(Status::Running),
            };
            store.commit(vec![start_in(workspace, &run)]).await.unwrap();
            if run.status == Status::Running {
                expected.entry((Claim::Running, workspace)).or_default().insert(run.id);
            }
            if number % 8 == 1 {
                for _ in 0..5 {
                    store.commit(vec![put_mail_in(workspace, &run, &mail(1), ROOM)]).await.unwrap();
                }
                expected.entry((Claim::Mail, workspace)).or_default().insert(run.id);
            }
        }
    }
    for _ in 0..2 {
        for claim in [Claim::Running, Claim::Mail] {
            assert_eq!(store.claimable(claim).await.unwrap(), workspaces);
            for workspace in &workspaces {
                for limit in [1, 3, 1000] {
                    let (mut seen, mut after) = (Vec::new(), None);
                    loop {
                        let ClaimPage { ids, last } = store.claim(workspace, claim, after, limit).await.unwrap();
                        assert!(ids.len() <= limit);
                        seen.extend(ids);
                        after = last;
                        if after.is_none() {
                            break;
                        }
                    }
                    assert!(seen.iter().eq(&expected[&(claim, workspace)]), "{claim:?}, {limit} a page");
                }
            }
        }
        store.close().await;
        drop(store);
        store = open(directory.path().to_owned()).await;
    }
    let nobody = store.claim(&here(), Claim::Running, None, 9).await.unwrap();
    assert_eq!(nobody, ClaimPage { ids: Vec::new(), last: None });
}

pub(super) async fn what_is_larger_than_a_limit_changes_nothing(open: Open) {
    let (_directory, store) = begin(open).await;
    let state =
        |key: String, bytes: usize| Write::PutState { workspace: here(), plugin: here(), key, value: vec![7; bytes] };
    for too_large in [state("a".into(), CHANGE_BYTES_MAX), state("k".repeat(70_000), 1)] {
        let refused = store.commit(vec![mark(0), too_large]).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
        assert_eq!(marks(&store).await, 0);
    }
    store.commit(vec![state("a".into(), CHANGE_BYTES_MAX / 2)]).await.unwrap();
    assert_eq!(
        store.state(&here(), &here(), "a").await.unwrap().unwrap().len(),
        CHANGE_BYTES_MAX / 2,
        "the next is taken"
    );

    let run = summary(Status::Running);
    store.commit(vec![start(&run)]).await.unwrap();
    let no_room =
        async |mail: &Mail, limits| store.no_room_for_mail(&here(), run.id, &name("paid"), mail, limits).await.unwrap();
    let (two, small) = (MailboxLimits { count_max: 2, ..ROOM }, MailboxLimits { bytes_max: 10, ..ROOM });
    assert_eq!(no_room(&mail(1), small).await, Some(NoRoom::TooSmall));
    for _ in 0..2 {
        assert_eq!(no_room(&mail(1), two).await, None);
        store.commit(vec![put_mail(&run, &mail(1), two)]).await.unwrap();
    }
    assert_eq!(no_room(&mail(1), two).await, Some(NoRoom::Full));
    assert!(matches!(store.commit(vec![put_mail(&run, &mail(1), two)]).await, Err(StoreError::Conflict)));
    let (first, _) = store.next_mail(&here(), run.id, &name("paid"), None).await.unwrap().unwrap();
    let take = Write::TakeMail { workspace: here(), execution: run.id, trigger: name("paid"), mail: Box::new(first) };
    store.commit(vec![take]).await.unwrap();
    store.commit(vec![put_mail(&run, &mail(1), two)]).await.unwrap();
}

/// How many executions of a workspace are there.
async fn kept(store: &Store, workspace: &Name) -> Vec<Summary> {
    store.executions(workspace, None, 5000, &ExecutionFilter::default()).await.unwrap().items
}

/// Only what has ended goes, with its journal and its callbacks; what waits stays however old it is.
pub(super) async fn what_is_old_and_over_is_forgotten(open: Open) {
    let (_directory, store) = begin(open).await;
    let mut runs = Vec::new();
    for number in 0..1200_u32 {
        let run = if number % 3 == 0 { waiting("paid", 1, None) } else { summary(Status::Completed) };
        store.commit(vec![start(&run)]).await.unwrap();
        runs.push(run);
    }
    let left = async || {
        let kept = kept(&store, &here()).await;
        (kept.iter().filter(|run| run.status == Status::Waiting).count(), kept.len())
    };
    assert_eq!(store.forget(at(999), None).await.unwrap(), Forgotten::default(), "nothing is that old");
    store.forget(at(0), Some(1100)).await.unwrap();
    assert_eq!(left().await, (400, 1100), "the oldest that are over");
    assert!(store.execution(&here(), runs[1].id).await.unwrap().is_none());
    assert!(store.execution(&here(), runs[0].id).await.unwrap().is_some());
    let forgotten = store.forget(later(), None).await.unwrap();
    assert_eq!((forgotten.executions, left().await), (700, (400, 400)));
}

/// Tickets whose time is over are forgotten, with the way to find them; the others stay, however old.
pub(super) async fn tickets_are_forgotten_when_they_have_no_use(open: Open) {
    let (_directory, store) = begin(open).await;
    let closed = |millis: u64| TicketStatus::Closed { closed_at: at(millis), callback: None };
    let open = TicketStatus::Open;
    for (number, (status, expires_at)) in [
        (closed(1), None),
        (open.clone(), Some(at(1))),
        (open, None),
        (closed(4_000_000_000_000), Some(at(4_000_000_000_000))),
    ]
    .into_iter()
    .enumerate()
    {
        store
            .commit(vec![put_ticket(TicketRecord { status, expires_at, ..ticket(number as u128) }, None)])
            .await
            .unwrap();
    }
    assert_eq!(store.forget(later(), None).await.unwrap().tickets, 2);
    assert_eq!(store.tickets(&here(), None, 9, &TicketFilter::default()).await.unwrap().items.len(), 2);
    for (number, stays) in [false, false, true, true].into_iter().enumerate() {
        let found = store.ticket_of_state(Uuid::from_u128(number as u128)).await.unwrap();
        assert_eq!(found.is_some(), stays, "{number}");
    }
}

/// What has gone on in the meantime is left out, and nothing else.
pub(super) async fn of_changes_that_do_not_need_each_other_those_are_made_that_can(open: Open) {
    let (_directory, store) = begin(open).await;
    let runs: Vec<Summary> = (0..5).map(|_| summary(Status::Completed)).collect();
    store.commit(runs.iter().map(start).collect()).await.unwrap();
    let delete = |run: &Summary| Write::DeleteExecution { workspace: here(), id: run.id, entries: run.entries };
    store.commit(vec![go_on(&runs[2], &runs[2]).1]).await.unwrap();
    assert_eq!(store.commit_each(runs.iter().map(delete).collect()).await.unwrap(), 4);
    assert_eq!(kept(&store, &here()).await.iter().map(|run| run.id).collect::<Vec<_>>(), [runs[2].id]);
    assert_eq!(store.commit_each(Vec::new()).await.unwrap(), 0);
    let gone = store.commit_each(runs[..2].iter().map(delete).collect()).await.unwrap();
    assert_eq!(gone, 0, "they are gone already");
    store.close().await;
    assert!(matches!(store.commit_each(vec![mark(1)]).await, Err(StoreError::Stopped(_))));
}

/// R7, C3: what was just tried again is not forgotten, although it had ended when that was decided; the rest of the batch is.
pub(super) async fn r7_c3_an_execution_that_goes_on_is_not_forgotten(open: Open) {
    let (_directory, store) = begin(open).await;
    let failed = summary(Status::Failed);
    store.commit(vec![start(&failed)]).await.unwrap();
    let again = Summary { status: Status::Running, ended_at: None, ..failed.clone() };
    store.commit(vec![go_on(&failed, &again).1]).await.unwrap();
    let delete = Write::DeleteExecution { workspace: here(), id: failed.id, entries: failed.entries };
    assert!(matches!(store.commit(vec![delete]).await, Err(StoreError::Conflict)));
    assert!(store.execution(&here(), failed.id).await.unwrap().is_some());
}

/// B9: of too many executions the oldest of all workspaces go, wherever they stand in the alphabet.
pub(super) async fn b9_the_oldest_of_all_workspaces_go(open: Open) {
    let (_directory, store) = begin(open).await;
    let names = ["zzz", "mmm", "aaa"].map(name);
    for workspace in &names {
        for _ in 0..5 {
            store.commit(vec![start_in(workspace, &summary(Status::Completed))]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    store.forget(at(0), Some(7)).await.unwrap();
    for (workspace, left) in names.iter().zip([0, 2, 5]) {
        assert_eq!(kept(&store, workspace).await.len(), left, "{workspace}");
    }
}

/// Also what nobody waited for, when the store was closed; and after it, nothing is taken.
pub(super) async fn what_was_acknowledged_is_there_after_a_restart(open: Open) {
    let (directory, store) = begin(open).await;
    let (running, ended, waits) = (summary(Status::Running), summary(Status::Completed), waiting("paid", 3, Some(9)));
    store.commit(vec![start(&running), start(&ended)]).await.unwrap();
    store.commit(vec![start(&waits)]).await.unwrap();
    assert!(store.write_behind(&[mark(0)]));
    store.close().await;
    assert!(matches!(store.commit(vec![mark(1)]).await, Err(StoreError::Stopped(_))));
    drop(store);
    let store = open(directory.path().to_owned()).await;
    assert_eq!(marks(&store).await, 1);
    let claimed = store.claim(&here(), Claim::Running, None, 9).await.unwrap();
    assert_eq!(claimed.ids, [running.id]);
    assert_eq!(store.waits(&here(), &here(), &here(), &name("paid"), None, 9).await.unwrap(), [(at(3), waits.id)]);
    assert_eq!(kept(&store, &here()).await, [waits, ended, running]);
}
