//! What is found by a key: who waits for it or holds it, and what is kept for it.

use super::*;
use ringback_records::journal::Held;

async fn ids(store: &Store, at: &KeyAt) -> Vec<ExecutionId> {
    let found = store.by_key(&here(), at, 100).await.unwrap();
    let (mut paged, mut after) = (Vec::new(), None);
    while let next = store.waits_by_key(&here(), at, after, 2).await.unwrap()
        && !next.is_empty()
    {
        after = next.last().copied();
        paged.extend(next);
    }
    assert_eq!(found.waits, paged, "a page is a part of the whole");
    found.waits.into_iter().map(|(_, id)| id).collect()
}

async fn kept_for(store: &Store, at: &KeyAt) -> Vec<CallbackId> {
    let mut kept: Vec<CallbackId> = Vec::new();
    while let Some((mail, _)) = store.next_early(&here(), at, kept.last().copied()).await.unwrap() {
        kept.push(mail.callback);
    }
    assert_eq!(store.by_key(&here(), at, 1).await.unwrap().has_early, !kept.is_empty());
    kept
}

/// Longest first, whoever else waits, and until it goes on; after a restart, too.
pub(crate) async fn who_waits_for_a_key_is_found_by_it(open: Open) {
    let (directory, mut store) = begin(open).await;
    let runs: Vec<Summary> = (1..=5).rev().map(|since| waiting_for("k", since)).collect();
    store.commit(runs.iter().map(start).collect()).await.unwrap();
    let made_at = Summary { environment_made_at: Some(at(7)), ..waiting_for("k", 1) };
    let other_flow = Summary { flow: name("other"), ..waiting_for("k", 1) };
    let mut other_trigger = waiting_for("k", 1);
    other_trigger.waits[0].trigger = Some(name("shipped"));
    let others =
        [waiting_for("kk", 1), waiting_for("", 1), waiting("paid", 1, None), made_at, other_flow, other_trigger];
    store.commit(others.iter().map(start).collect()).await.unwrap();
    store.commit(vec![start_in(&name("there"), &waiting_for("k", 1))]).await.unwrap();
    let mut expected: Vec<ExecutionId> = runs.iter().rev().map(|run| run.id).collect();
    for _ in 0..2 {
        assert_eq!(ids(&store, &keyed("k")).await, expected, "those that wait longest are in front");
        assert_eq!(ids(&store, &keyed("kk")).await, [others[0].id]);
        assert_eq!(ids(&store, &KeyAt::of(&others[3], &name("paid"), "k")).await, [others[3].id]);
        assert_eq!(ids(&store, &KeyAt { flow: name("other"), ..keyed("k") }).await, [others[4].id]);
        assert_eq!(ids(&store, &KeyAt { trigger: name("shipped"), ..keyed("k") }).await, [others[5].id]);
        assert_eq!(ids(&store, &KeyAt { environment: name("nowhere"), ..keyed("k") }).await, []);
        store.close().await;
        drop(store);
        store = open(directory.path().to_owned()).await;
    }
    let most = |waits| expect(&keyed("k"), MostByKey { waits, ..MostByKey::ANY });
    assert!(matches!(store.commit(vec![most(4), mark(0)]).await, Err(StoreError::Conflict)));
    store.commit(vec![most(5), mark(0)]).await.unwrap();
    let gone = Summary { waits: Vec::new(), status: Status::Running, ..runs[4].clone() };
    store.commit(vec![go_on(&runs[4], &gone).1]).await.unwrap();
    expected.remove(0);
    assert_eq!(ids(&store, &keyed("k")).await, expected);
    assert_eq!(
        store.waits(&here(), &here(), &here(), &name("paid"), None, 100).await.unwrap().len(),
        8,
        "and by the trigger"
    );
}

/// Each precondition of what is kept for a key.
pub(crate) async fn what_is_early_is_kept_or_refused(open: Open) {
    let (_directory, store) = begin(open).await;
    let room = early_room(9, 99);
    let refused = async |write: Write| {
        let before = marks(&store).await;
        let number = u32::try_from(before).unwrap();
        let refused = matches!(store.commit(vec![mark(number), write]).await, Err(StoreError::Conflict));
        assert_eq!(marks(&store).await, before + usize::from(!refused));
        refused
    };
    store.commit(vec![start(&waiting_for("awaited", 1)), start(&holding("held"))]).await.unwrap();
    assert!(refused(put_early("awaited", &mail(1), room, Unless::Awaited)).await);
    assert!(refused(put_early("held", &mail(1), room, Unless::HeldByLess(2))).await, "another would have room");
    assert!(refused(put_early("free", &mail(1), room, Unless::HeldByLess(1))).await);
    store.commit(vec![put_early("held", &mail(1), room, Unless::HeldByLess(1))]).await.unwrap();
    store.commit(vec![put_early("held", &mail(1), room, Unless::HeldByLess(2))]).await.unwrap();
    let first = mail(1);
    store.commit(vec![put_early("early", &first, room, Unless::Awaited)]).await.unwrap();
    // Who begins to wait has not looked yet: what comes now comes behind what is kept.
    store.commit(vec![start(&waiting_for("early", 1))]).await.unwrap();
    let second = mail(1);
    store.commit(vec![put_early("early", &second, room, Unless::Awaited)]).await.unwrap();
    assert_eq!(kept_for(&store, &keyed("early")).await, [first.callback, second.callback]);
    assert!(refused(expect(&keyed("early"), MostByKey { early: 1, ..MostByKey::ANY })).await);
    assert!(!refused(expect(&keyed("early"), MostByKey { early: 2, ..MostByKey::ANY })).await);
    assert!(refused(take_early("early", &mail(1))).await, "it is not there");
    assert!(refused(take_early("other", &first)).await);
    store.commit(vec![take_early("early", &first)]).await.unwrap();
    assert!(refused(take_early("early", &first)).await, "it is gone");
    store.commit(vec![take_early("early", &second)]).await.unwrap();
    assert!(
        refused(put_early("early", &mail(1), room, Unless::Awaited)).await,
        "now somebody waits, and nothing is before it"
    );
    assert_eq!(kept_for(&store, &keyed("early")).await, []);
}

/// What is kept while somebody begins to wait is seen there, or refused and nowhere.
pub(crate) async fn early_is_seen_or_refused(open: Open) {
    let (_directory, store) = begin(open).await;
    for round in 0..200 {
        let key = format!("k{round}");
        let mail = mail(1);
        let put = store.commit(vec![put_early(&key, &mail, early_room(9, 999), Unless::Awaited)]);
        let waits = async {
            store.commit(vec![start(&waiting_for(&key, 1))]).await.unwrap();
            kept_for(&store, &keyed(&key)).await
        };
        let (put, seen) = tokio::join!(put, waits);
        match put {
            Ok(()) => assert_eq!(seen, [mail.callback], "who is first is seen"),
            Err(StoreError::Conflict) => assert_eq!(kept_for(&store, &keyed(&key)).await, []),
            Err(error) => panic!("{error}"),
        }
    }
}

/// In the order of their coming, so many of a key and so much of a workspace; room that is given back is there again, after a
/// restart, too, and others have their own.
pub(crate) async fn early_is_in_order_and_has_its_room(open: Open) {
    let (directory, mut store) = begin(open).await;
    let mut mails: Vec<Mail> = (0..6).map(|_| mail(1)).collect();
    mails.sort_by_key(|mail| mail.callback);
    let limits = early_room(3, 5);
    for mail in mails[..3].iter().rev() {
        store.commit(vec![put_early("k", mail, limits, Unless::Awaited)]).await.unwrap();
    }
    let large = {
        let data = Value::String("x".repeat(1024));
        Mail { input: Input { data: data.into(), ..input() }, ..mail(1) }
    };
    for _ in 0..2 {
        assert_eq!(kept_for(&store, &keyed("k")).await, [0, 1, 2].map(|number| mails[number].callback));
        let no_room = async |key: &str, mail: &Mail, limits| {
            store.no_room_for_early(&here(), &keyed(key), mail, limits).await.unwrap()
        };
        assert_eq!(no_room("k", &mails[3], limits).await, Some(NoRoom::Full));
        assert_eq!(no_room("l", &mails[3], limits).await, None);
        assert_eq!(no_room("l", &large, limits).await, None, "it takes two");
        assert_eq!(no_room("l", &large, early_room(3, 4)).await, Some(NoRoom::WorkspaceFull));
        let small = EarlyLimits { of_key: MailboxLimits { bytes_max: 10, ..ROOM }, ..limits };
        assert_eq!(no_room("l", &mails[3], small).await, Some(NoRoom::TooSmall));
        let full = store.commit(vec![put_early("k", &mails[3], limits, Unless::Awaited)]).await;
        assert!(matches!(full, Err(StoreError::Conflict)));
        store.close().await;
        drop(store);
        store = open(directory.path().to_owned()).await;
    }
    store.commit(vec![put_early("l", &large, limits, Unless::Awaited)]).await.unwrap();
    let full = store.commit(vec![put_early("m", &mails[4], limits, Unless::Awaited)]).await;
    assert!(matches!(full, Err(StoreError::Conflict)), "the workspace has no more room");
    let elsewhere = Write::PutEarly {
        workspace: name("there"),
        at: keyed("m"),
        mail: Box::new(mails[4].clone()),
        limits,
        unless: Unless::Awaited,
    };
    store.commit(vec![elsewhere]).await.unwrap();
    store.commit(vec![take_early("l", &large)]).await.unwrap();
    for key in ["m", "n"] {
        store.commit(vec![put_early(key, &mails[4], limits, Unless::Awaited)]).await.unwrap();
    }
    for (key, mail) in [("k", &mails[0]), ("k", &mails[1]), ("k", &mails[2]), ("m", &mails[4]), ("n", &mails[4])] {
        store.commit(vec![take_early(key, mail)]).await.unwrap();
    }
    for _ in 0..2 {
        let all = store.no_room_for_early(&here(), &keyed("k"), &large, early_room(1, 2)).await.unwrap();
        assert_eq!(all, None, "all of it was given back");
    }
}

/// Who begins to wait where something is kept is found, also after a restart, until it goes on.
pub(crate) async fn who_waits_for_what_is_kept_is_claimed(open: Open) {
    let (directory, mut store) = begin(open).await;
    let room = early_room(9, 99);
    store.commit(vec![start(&waiting_for("awaited", 1))]).await.unwrap();
    store.commit(vec![put_early("k", &mail(1), room, Unless::Awaited)]).await.unwrap();
    let (mut one, mut two) = (waiting_for("k", 1), waiting_for("k", 2));
    (one.id, two.id) = (one.id.min(two.id), one.id.max(two.id));
    store.commit(vec![start(&one)]).await.unwrap();
    // Also one that did something else before.
    let before = Summary { waits: Vec::new(), status: Status::Running, ..two.clone() };
    store.commit(vec![start(&before)]).await.unwrap();
    let (two, write) = go_on(&before, &two);
    store.commit(vec![write]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.claimable(Claim::Early).await.unwrap(), [here()]);
        let first = store.claim(&here(), Claim::Early, None, 1).await.unwrap();
        assert_eq!(first, ClaimPage { ids: vec![one.id], last: Some(one.id) });
        assert_eq!(store.claim(&here(), Claim::Early, first.last, 9).await.unwrap().ids, [two.id]);
        store.close().await;
        drop(store);
        store = open(directory.path().to_owned()).await;
    }
    for run in [one, two] {
        let ended = Summary { waits: Vec::new(), status: Status::Cancelled, ..run.clone() };
        store.commit(vec![go_on(&run, &ended).1]).await.unwrap();
    }
    assert_eq!(store.claimable(Claim::Early).await.unwrap(), []);
}

/// Who holds a key is found, until it lets go; of many who begin at once as many do as may.
pub(crate) async fn of_those_who_begin_for_a_key_one_does(open: Open) {
    let (_directory, store) = begin(open).await;
    let most = |holds| expect(&keyed("k"), MostByKey { holds, ..MostByKey::ANY });
    let all = (0..64).map(|_| {
        let store = store.clone();
        async move { store.commit(vec![most(2), start(&holding("k"))]).await.is_ok() }
    });
    let begun = all.collect::<tokio::task::JoinSet<_>>().join_all().await;
    assert_eq!(begun.into_iter().filter(|begun| *begun).count(), 3);
    let holds = store.by_key(&here(), &keyed("k"), 9).await.unwrap().holds;
    assert!(holds.len() == 3 && holds.is_sorted(), "{holds:?}");
    assert_eq!(store.by_key(&here(), &keyed("k"), 2).await.unwrap().holds, holds[..2]);
    let run = store.summary(&here(), holds[0]).await.unwrap().unwrap();
    let free = Summary { holds: vec![Held { trigger: name("paid"), key: "l".into() }], ..run.clone() };
    store.commit(vec![go_on(&run, &free).1]).await.unwrap();
    assert_eq!(store.by_key(&here(), &keyed("k"), 9).await.unwrap().holds, holds[1..]);
    assert_eq!(store.by_key(&here(), &keyed("l"), 9).await.unwrap().holds, holds[..1]);
}

/// It is due when its time has come, and until then its record is no record of nobody.
pub(crate) async fn what_is_kept_for_a_key_is_due_and_not_forgotten(open: Open) {
    let (_directory, store) = begin(open).await;
    let mail = mail(103);
    let record =
        CallbackRecord { id: mail.callback, outcome: Outcome::Kept, execution: None, ..CallbackRecord::for_testing() };
    let put = Write::PutCallback { workspace: here(), before: None, record: Box::new(record.clone()) };
    store.commit(vec![put, put_early("k", &mail, early_room(9, 9), Unless::Awaited)]).await.unwrap();
    assert_eq!(all_due(&store, at(102), 9).await, []);
    let due = Due::Early { workspace: here(), at: keyed("k"), callback: mail.callback };
    assert_eq!(all_due(&store, at(103), 9).await, [due]);
    assert_eq!(store.forget(later(), None).await.unwrap().callbacks, 0);
    let found = store.early(&here(), &keyed("k"), mail.callback).await.unwrap();
    assert_eq!(found, Some((mail.clone(), Some(record.clone()))));
    let (before, record) = (Some(Outcome::Kept), CallbackRecord { outcome: Outcome::Ignored, ..record });
    let put = Write::PutCallback { workspace: here(), before, record: Box::new(record) };
    store.commit(vec![take_early("k", &mail), put]).await.unwrap();
    assert_eq!(all_due(&store, at(200), 9).await, []);
    assert_eq!(store.forget(later(), None).await.unwrap().callbacks, 1);
    assert_eq!(store.early(&here(), &keyed("k"), mail.callback).await.unwrap(), None);
}

/// A key that is let go of while something is kept for it is found, after a restart, too, until nothing is or it is held again.
pub(crate) async fn who_lets_go_of_a_key_gives_the_next_one_its_turn(open: Open) {
    let (directory, mut store) = begin(open).await;
    let (room, end) = (early_room(9, 99), |key: &str| Write::EndTurn { workspace: here(), at: keyed(key), holders: 1 });
    let mut mails = Vec::new();
    for key in ["a", "b", "c"] {
        let run = holding(key);
        store.commit(vec![start(&run)]).await.unwrap();
        if key != "c" {
            mails.push(mail(1));
            store.commit(vec![put_early(key, &mails[mails.len() - 1], room, Unless::HeldByLess(1))]).await.unwrap();
        }
        assert_eq!(store.turning().await.unwrap(), if key == "a" { vec![] } else { vec![here()] });
        let ended = Summary { holds: Vec::new(), status: Status::Completed, ..run.clone() };
        store.commit(vec![go_on(&run, &ended).1]).await.unwrap();
    }
    let mut expected = [keyed("a"), keyed("b")];
    expected.sort();
    for _ in 0..2 {
        assert_eq!(store.turning().await.unwrap(), [here()]);
        let first = store.turns(&here(), None, 1).await.unwrap();
        assert_eq!((&first.items[..], first.next.as_ref()), (&expected[..1], Some(&expected[0])));
        let next = store.turns(&here(), first.next.as_ref(), 1).await.unwrap();
        assert_eq!((&next.items[..], next.next), (&expected[1..], None));
        store.close().await;
        drop(store);
        store = open(directory.path().to_owned()).await;
    }
    assert!(matches!(store.commit(vec![end("a")]).await, Err(StoreError::Conflict)), "its turn has come");
    // The next one begins, in place of what was kept.
    store.commit(vec![take_early("a", &mails[0]), start(&holding("a"))]).await.unwrap();
    store.commit(vec![end("a")]).await.unwrap();
    store.commit(vec![take_early("b", &mails[1])]).await.unwrap();
    store.commit(vec![end("b")]).await.unwrap();
    assert_eq!(store.turning().await.unwrap(), []);
}
