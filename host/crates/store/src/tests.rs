use super::writer::Operation;
use super::{
    CallbackFilter, Delivery, ExecutionFilter, OpenError, Store, StoreError, StoreOptions, TicketFilter, Write, key,
};
use ringback_records::journal::{Entry, EntryKind, Status, Summary, Wait};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::random::Random;
use ringback_records::time::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

const OPTIONS: StoreOptions =
    StoreOptions { cache_bytes: 16 << 20, segment_bytes: 64 << 20, change_bytes_max: 256 << 20 };

fn workspace() -> Name {
    Name::default_name()
}

fn summary(entries: u32, status: Status) -> Summary {
    Summary {
        id: ExecutionId::new(),
        flow: workspace(),
        flow_version: 1,
        environment: workspace(),
        environment_made_at: None,
        status,
        callback: CallbackId::new(),
        started_at: Timestamp::default(),
        ended_at: None,
        error: None,
        waits: Vec::new(),
        holds: Vec::new(),
        entries,
    }
}

fn entry() -> Entry {
    let kind = EntryKind::If { holds: true, absent: None };
    Entry { at: Timestamp::default(), step: "steps[0]".into(), rounds: Vec::new(), kind }
}

fn advance(summary: &Summary, entries: u32) -> Vec<Write> {
    let first = summary.entries - entries;
    let before = (first > 0).then(|| Box::new(Summary { entries: first, status: Status::Running, ..summary.clone() }));
    let entries = (0..entries).map(|_| entry()).collect();
    vec![Write::Advance { workspace: workspace(), before, summary: Box::new(summary.clone()), entries }]
}

fn state(name: &str, value: &[u8]) -> Vec<Write> {
    vec![Write::PutState { workspace: workspace(), plugin: workspace(), key: name.into(), value: value.to_vec() }]
}

#[tokio::test]
async fn large_values_come_back_and_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let get = async || store.state(&workspace(), &workspace(), "a").await.unwrap();
    for size in [1 << 20, 5000, 10, 0, 9000] {
        store.commit(state("a", &vec![7; size])).await.unwrap();
        assert_eq!(get().await.unwrap(), vec![7; size]);
    }
    store
        .commit(vec![Write::DeleteState { workspace: workspace(), plugin: workspace(), key: "a".into() }])
        .await
        .unwrap();
    assert_eq!(get().await, None);
    let findings = store.verify().unwrap();
    assert_eq!((findings.problem_count, findings.records), (0, 0));
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path(), OPTIONS).unwrap();
    assert!(matches!(Store::open(directory.path(), OPTIONS), Err(OpenError::InUse(_))));
}

/// A store with the states `a0`, `a1`, … of which the odd ones are gone again; closed properly or not.
async fn filled(directory: &Path, count: u32, close: bool) {
    let store = Store::open(directory, OPTIONS).unwrap();
    for number in 0..count {
        store.commit(state(&format!("a{number}"), &number.to_be_bytes().repeat(100))).await.unwrap();
    }
    for number in (1..count).step_by(2) {
        let key = format!("a{number}");
        store.commit(vec![Write::DeleteState { workspace: workspace(), plugin: workspace(), key }]).await.unwrap();
    }
    if close {
        store.close().await;
    }
}

async fn assert_filled(store: &Store, count: u32) {
    for number in 0..count {
        let expected = (number % 2 == 0).then(|| number.to_be_bytes().repeat(100));
        assert_eq!(
            store.state(&workspace(), &workspace(), &format!("a{number}")).await.unwrap(),
            expected,
            "a{number}"
        );
    }
    let findings = store.verify().unwrap();
    assert_eq!((findings.problem_count, findings.records), (0, u64::from(count.div_ceil(2))), "{findings:?}");
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("store/log/0000000001.log")
}

#[tokio::test]
async fn an_index_that_is_gone_or_damaged_or_from_before_a_power_failure_is_made_again() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 5] = [
        ("gone", |store| std::fs::remove_dir_all(store.join("index")).unwrap()),
        ("no database", |store| std::fs::write(store.join("index/db"), b"no database").unwrap()),
        ("no configuration", |store| std::fs::write(store.join("index/conf"), b"?").unwrap()),
        ("another boot", |store| std::fs::write(store.join("opened"), b"yesterday").unwrap()),
        ("unfinished snapshot", |store| {
            std::fs::write(store.join("index/snap.00000000000012.generating"), b"h").unwrap()
        }),
    ];
    for (name, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 40, true).await;
        damage(&directory.path().join("store"));
        let store = Store::open(directory.path(), OPTIONS).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_filled(&store, 40).await;
        store.commit(state("more", b"1")).await.unwrap();
        store.close().await;
        drop(store);
        let store = Store::open(directory.path(), OPTIONS).unwrap();
        assert!(store.state(&workspace(), &workspace(), "more").await.unwrap().is_some(), "{name}");
    }
}

/// Whatever the last write left behind is cut off, and everything before it is there.
#[tokio::test]
async fn a_torn_end_of_the_log_is_cut_off_at_any_byte() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 6, true).await;
    let whole = std::fs::read(log_file(directory.path())).unwrap();
    let before = whole.len();
    {
        let store = Store::open(directory.path(), OPTIONS).unwrap();
        store.commit(state("torn", b"torn")).await.unwrap();
        store.close().await;
    }
    let whole = std::fs::read(log_file(directory.path())).unwrap();
    for end in before..whole.len() {
        for filler in [0, 3] {
            let torn = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(torn.path().join("store/log")).unwrap();
            let mut bytes = whole[..end].to_vec();
            bytes.resize(end + filler, 0);
            std::fs::write(log_file(torn.path()), bytes).unwrap();
            let store = Store::open(torn.path(), OPTIONS).unwrap();
            assert_filled(&store, 6).await;
            store.commit(state("torn", b"again")).await.unwrap();
        }
    }
}

/// A bit that flips where something was acknowledged is never passed over in silence.
#[tokio::test]
async fn damage_before_the_end_of_the_log_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 4, true).await;
    let whole = std::fs::read(log_file(directory.path())).unwrap();
    // The last frame takes away a key: it has a header of 20 bytes, a record of 15 and the key.
    let last_frame = whole.len() - (20 + 15 + key::state(&workspace(), &workspace(), "a3").len());
    for byte in (0..last_frame).step_by(7) {
        let damaged = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(damaged.path().join("store/log")).unwrap();
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x10;
        std::fs::write(log_file(damaged.path()), bytes).unwrap();
        let opened = Store::open(damaged.path(), OPTIONS);
        assert!(matches!(opened, Err(OpenError::Damaged { .. })), "byte {byte}");
    }
    // The index knows the end that is missing here.
    let log = std::fs::OpenOptions::new().write(true).open(log_file(directory.path())).unwrap();
    log.set_len(last_frame as u64).unwrap();
    assert!(matches!(Store::open(directory.path(), OPTIONS), Err(OpenError::Damaged { .. })), "a shorter log");
}

#[tokio::test]
async fn a_flipped_bit_in_a_value_is_found_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 2, true).await;
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let mut bytes = std::fs::read(log_file(directory.path())).unwrap();
    bytes[100] ^= 1;
    std::fs::write(log_file(directory.path()), bytes).unwrap();
    assert!(matches!(store.state(&workspace(), &workspace(), "a0").await, Err(StoreError::Damaged { .. })));
    let findings = store.verify().unwrap();
    assert_eq!(findings.problem_count, 2, "{findings:?}");
}

#[tokio::test]
async fn what_is_needed_no_more_is_given_back_and_the_rest_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    store.commit(state("kept", b"kept")).await.unwrap();
    let gone = || Write::DeleteState { workspace: workspace(), plugin: workspace(), key: "gone".into() };
    store.commit(state("gone", &[1; 100])).await.unwrap();
    for _ in 0..160 {
        store.commit(state("large", &vec![7; 1 << 20])).await.unwrap();
    }
    store.commit(vec![gone()]).await.unwrap();
    let (log, index) = (&store.engine.log, &store.engine.index);
    let before = log.size_bytes();
    assert!(log.numbers().len() > 2);
    index.checkpoint().unwrap();
    let removed = super::cleaner::clean(&store.engine, 0).await.unwrap();
    assert!(removed > 0 && log.size_bytes() < before / 2, "{removed} segments, {} bytes", log.size_bytes());
    let read = async |store: &Store, key| store.state(&workspace(), &workspace(), key).await.unwrap();
    let check = async |store: &Store| {
        assert_eq!(read(store, "kept").await.unwrap(), b"kept");
        assert_eq!(read(store, "large").await.unwrap(), vec![7; 1 << 20]);
        assert_eq!(read(store, "gone").await, None);
        assert_eq!(store.verify().unwrap().problem_count, 0);
    };
    check(&store).await;
    store.close().await;
    drop(store);
    // What is left of the log is enough to make the index again.
    std::fs::remove_dir_all(directory.path().join("store/index")).unwrap();
    check(&Store::open(directory.path(), OPTIONS).unwrap()).await;
}

/// Whoever reads a damaged part of the index is told; when it is to be changed, the process ends, and the next one makes the index again.
#[tokio::test]
async fn a_damaged_index_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 3, true).await;
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let index = &store.engine.index;
    let key = key::state(&workspace(), &workspace(), "a0");
    assert!(index.get(&key).unwrap().is_some());
    index.damage(&key);
    assert!(matches!(store.state(&workspace(), &workspace(), "a0").await, Err(StoreError::Damaged { .. })));
    store.commit(state("a0", b"new")).await.unwrap();
    let failure = index.checkpoint().unwrap_err();
    assert!(failure.contains("checksum"), "{failure}");
    assert!(store.commit(state("a1", b"new")).await.is_err(), "nothing is promised any more");
    drop(store);
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    assert_eq!(store.state(&workspace(), &workspace(), "a0").await.unwrap().as_deref(), Some(b"new".as_slice()));
    assert_eq!(store.verify().unwrap().problem_count, 0);
}

/// Pages of what is in memory, on its way to sled and in sled, with keys that are gone in each.
#[tokio::test]
async fn a_list_is_whole_and_in_order_wherever_its_records_are() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let prefix = key::states(&workspace(), &workspace());
    let mut expected = std::collections::BTreeSet::new();
    for round in 0..3_u32 {
        for number in 0..700_u32 {
            let name = format!("{:05}", number * 3 + round);
            store.commit(state(&name, b"x")).await.unwrap();
            expected.insert(name);
        }
        for number in (0..700_u32).step_by(5) {
            let name = format!("{:05}", number * 3);
            store
                .commit(vec![Write::DeleteState { workspace: workspace(), plugin: workspace(), key: name.clone() }])
                .await
                .unwrap();
            expected.remove(&name);
        }
        if round < 2 {
            store.engine.index.checkpoint().unwrap();
        }
        let names = |backwards| -> Vec<String> {
            let scan = store.engine.index.scan(prefix.clone(), key::after_prefix(&prefix), backwards);
            scan.map(|found| String::from_utf8(found.unwrap().0[prefix.len()..].to_vec()).unwrap()).collect()
        };
        assert!(names(false).iter().eq(expected.iter()));
        assert!(names(true).iter().eq(expected.iter().rev()));
    }
}

/// A backup that is taken while changes go on holds one state, and a damaged one is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_holds_one_state_while_changes_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    for number in 0..3000 {
        store.commit(state(&format!("{number:04}"), b"before")).await.unwrap();
    }
    // Two keys that are always changed together.
    let pair = |value: u32| [state("0000", &value.to_be_bytes()), state("2999", &value.to_be_bytes())].concat();
    store.commit(pair(0)).await.unwrap();
    let changing = tokio::spawn({
        let store = store.clone();
        async move {
            for value in 1..400 {
                store.commit(pair(value)).await.unwrap();
                let key = format!("{:04}", value + 1);
                let gone = Write::DeleteState { workspace: workspace(), plugin: workspace(), key };
                store.commit(vec![gone]).await.unwrap();
            }
        }
    });
    let backup = tokio::task::spawn_blocking({
        let store = store.clone();
        move || {
            let mut bytes = Vec::new();
            let mut out = |line: Vec<u8>| {
                bytes.extend_from_slice(&line);
                Ok(())
            };
            store.backup(std::iter::empty(), &mut out).unwrap();
            bytes
        }
    });
    let backup = backup.await.unwrap();
    changing.await.unwrap();
    let restored = async |bytes: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), OPTIONS).unwrap();
        let result = store.restore(bytes, |_| Ok(())).await;
        (directory, store, result)
    };
    let lines: Vec<&[u8]> = backup.split_inclusive(|byte| *byte == b'\n').collect();
    let last = lines.len() - 1;
    for damaged in [
        lines[..last].concat(),
        lines[1..].concat(),
        [&lines[..5], &lines[6..]].concat().concat(),
        Vec::new(),
        b"{}".to_vec(),
    ] {
        assert!(restored(&damaged).await.2.is_err());
    }
    let (_directory, copy, result) = restored(&backup).await;
    result.unwrap();
    let read = async |key: &str| copy.state(&workspace(), &workspace(), key).await.unwrap();
    assert_eq!(read("0000").await, read("2999").await, "both or none");
    let seen = u32::from_be_bytes(read("0000").await.unwrap().try_into().unwrap());
    for value in 1..400 {
        let gone = read(&format!("{:04}", value + 1)).await.is_none();
        assert!(if value < seen { gone } else { value == seen || !gone }, "{value} of {seen}");
    }
    assert_eq!(copy.verify().unwrap().problem_count, 0);
}

/// R8: a backup ends with what was durable when it got there: a frame that is being written is none of its business.
#[tokio::test(flavor = "multi_thread")]
async fn r8_a_backup_does_not_read_what_is_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    for number in 0..5 {
        store.commit(state(&format!("{number}"), b"value")).await.unwrap();
    }
    let log = &store.engine.log;
    let end = usize::try_from(log.scan(log.start(), &mut |_, _| Ok(())).unwrap().end.position.offset).unwrap();
    // Half of a frame is there, and the one behind it whole.
    let mut bytes = std::fs::read(log_file(directory.path())).unwrap();
    let frame = bytes[..end / 5].to_vec();
    bytes.resize(end + 4096, 0);
    bytes[end..end + 24].copy_from_slice(&frame[..24]);
    bytes[end + 512..end + 512 + frame.len()].copy_from_slice(&frame);
    std::fs::write(log_file(directory.path()), bytes).unwrap();
    assert!(log.scan(log.start(), &mut |_, _| Ok(())).is_err(), "it looks like damage");
    let backup = tokio::task::spawn_blocking({
        let store = store.clone();
        move || store.backup(std::iter::empty(), &mut |_| Ok(()))
    });
    backup.await.unwrap().unwrap();
}

/// A power failure keeps what was synced. Of the frame that was being written, each sector may be there, or zeros, or what
/// was to come after it without what was to come before; the file may have any length in between; and of sled's files
/// nothing can be trusted. Whatever it is: what was acknowledged is there, and what was not is there whole or not at all.
#[tokio::test]
async fn a_power_failure_loses_nothing_that_was_acknowledged() {
    const COMMITS: usize = 12;
    const IMAGES: u64 = 400;
    const SECTOR: usize = 512;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let value = |number: usize| vec![u8::try_from(number).unwrap(); 300 * number];
    let mut ends = vec![0];
    for number in 0..COMMITS {
        store.commit(state(&format!("a{number}"), &value(number))).await.unwrap();
        let end = store.engine.log.scan(store.engine.log.start(), &mut |_, _| Ok(())).unwrap().end;
        ends.push(usize::try_from(end.position.offset).unwrap());
    }
    store.close().await;
    drop(store);
    let log = std::fs::read(log_file(directory.path())).unwrap();
    let index = std::fs::read(directory.path().join("store/index/db")).unwrap();
    let (mut whole, mut torn) = (0, 0);
    for seed in 0..IMAGES {
        let mut rng = Random(seed);
        let acknowledged = usize::try_from(rng.below(COMMITS as u64)).unwrap();
        let (synced, written) = (ends[acknowledged], ends[acknowledged + 1]);
        let mut bytes = log[..written].to_vec();
        for start in (synced..written).step_by(SECTOR) {
            if rng.below(3) == 0 {
                bytes[start..(start + SECTOR).min(written)].fill(0);
            }
        }
        match rng.below(3) {
            0 => bytes.truncate(synced + usize::try_from(rng.below((written - synced) as u64 + 1)).unwrap()),
            // The segment was prepared.
            1 => bytes.resize(written + 8192, 0),
            _ => {}
        }
        let image = tempfile::tempdir().unwrap();
        let store_directory = image.path().join("store");
        std::fs::create_dir_all(store_directory.join("log")).unwrap();
        std::fs::create_dir_all(store_directory.join("index")).unwrap();
        std::fs::write(log_file(image.path()), &bytes).unwrap();
        std::fs::write(store_directory.join("opened"), "another boot").unwrap();
        let mut damaged = index.clone();
        for _ in 0..rng.below(8) {
            let place = usize::try_from(rng.below(damaged.len() as u64)).unwrap();
            let end = (place + SECTOR).min(damaged.len());
            damaged[place..end].fill(u8::try_from(rng.below(256)).unwrap());
        }
        std::fs::write(store_directory.join("index/db"), damaged).unwrap();
        let store = Store::open(image.path(), OPTIONS).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let read = async |number: usize| store.state(&workspace(), &workspace(), &format!("a{number}")).await.unwrap();
        for number in 0..acknowledged {
            assert_eq!(read(number).await, Some(value(number)), "seed {seed}: the acknowledged a{number}");
        }
        match read(acknowledged).await {
            Some(found) => {
                assert_eq!(found, value(acknowledged), "seed {seed}");
                whole += 1;
            }
            None => torn += 1,
        }
        for number in acknowledged + 1..COMMITS {
            assert!(read(number).await.is_none(), "seed {seed}: from the future");
        }
        store.commit(state("next", b"1")).await.unwrap();
    }
    assert!(whole > 0 && torn > 0);
    println!("power failure: {IMAGES} images, {torn} torn frames, 0 failures");
}

/// The executions of an environment that wait.
async fn waiting_in(store: &Store, environment: &Name) -> Vec<ExecutionId> {
    let (environment, statuses) = (Some(environment.clone()), vec![Status::Waiting]);
    let wanted = ExecutionFilter { environment, statuses, ..ExecutionFilter::default() };
    let page = store.executions(&workspace(), None, 9, &wanted).await.unwrap();
    page.items.into_iter().map(|run| run.id).collect()
}

/// A store of before waits had environments: they get that of their executions, and what belongs to nothing goes.
#[tokio::test]
async fn e1_waits_of_an_earlier_version_get_the_environment_of_their_execution() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let (staging, trigger): (Name, Name) = ("staging".parse().unwrap(), "paid".parse().unwrap());
    let since = Timestamp::from_millis(7);
    let mut writes = Vec::new();
    let mut ids = Vec::new();
    for environment in [&workspace(), &staging] {
        let mut run = summary(1, Status::Waiting);
        run.environment = environment.clone();
        run.waits = vec![Wait {
            trigger: Some(trigger.clone()),
            key: None,
            step: "steps[1]".into(),
            rounds: Vec::new(),
            since,
            until: None,
        }];
        store
            .engine
            .writer
            .commit(vec![put_json(&key::environment(&workspace(), environment), &json!({}))])
            .await
            .unwrap();
        store.commit(advance(&run, 1)).await.unwrap();
        let waits = key::waits(&workspace(), environment, &run.flow, &trigger);
        writes.push(Operation::Delete(key::wait(&waits, since, run.id)));
        ids.push(run.id);
    }
    for id in ids.iter().copied().chain([ExecutionId::new()]) {
        let old = [b"Wdefault\0default\0paid\0", &since.as_millis().to_be_bytes()[..], id.as_bytes()].concat();
        writes.push(put_json(&old, &json!(null)));
    }
    store.engine.writer.commit(writes).await.unwrap();
    let waits = async |environment: &Name| {
        store.waits(&workspace(), environment, &workspace(), &trigger, None, 9).await.unwrap()
    };
    assert!(waits(&workspace()).await.is_empty() && waits(&staging).await.is_empty());
    store.renew().await.unwrap();
    assert_eq!((waits(&workspace()).await, waits(&staging).await), (vec![(since, ids[0])], vec![(since, ids[1])]));
    assert_eq!(store.engine.count(&[key::WAIT], 9).unwrap(), 2);
    assert_eq!(waiting_in(&store, &staging).await, [ids[1]]);
    assert_eq!(store.verify().unwrap().problem_count, 0);
}

/// An execution may wait in several places: each trigger finds it, each timer wakes it, and it ends the waits one by one.
#[tokio::test]
async fn an_execution_may_wait_in_several_places() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let wait = |trigger: &str, step: &str, until| Wait {
        trigger: Some(trigger.parse().unwrap()),
        key: None,
        step: step.into(),
        rounds: vec![1],
        since: Timestamp::from_millis(7),
        until: Some(Timestamp::from_millis(until)),
    };
    let mut run = summary(1, Status::Waiting);
    run.waits = vec![wait("paid", "steps[1].do[0]", 20), wait("sent", "steps[1].do[1]", 30)];
    store.commit(advance(&run, 1)).await.unwrap();
    let waits = async |trigger: &str| {
        let trigger = trigger.parse().unwrap();
        store.waits(&workspace(), &workspace(), &workspace(), &trigger, None, 9).await.unwrap().len()
    };
    assert_eq!((waits("paid").await, waits("sent").await), (1, 1));
    let due = store.due(&workspace(), Timestamp::from_millis(30), None, 9).await.unwrap();
    assert_eq!(due.items.len(), 2);
    assert_eq!(waiting_in(&store, &workspace()).await, [run.id], "one execution");
    let (read, _) = store.execution(&workspace(), run.id).await.unwrap().unwrap();
    assert_eq!(read, run);
    let mut after = Summary { entries: 2, ..run.clone() };
    after.waits.remove(0);
    let (before, summary) = (Some(Box::new(run)), Box::new(after.clone()));
    store
        .commit(vec![Write::Advance { workspace: workspace(), before, summary, entries: vec![entry()] }])
        .await
        .unwrap();
    assert_eq!((waits("paid").await, waits("sent").await), (0, 1));
    assert_eq!(store.due(&workspace(), Timestamp::from_millis(30), None, 9).await.unwrap().items.len(), 1);
    assert_eq!(store.summary(&workspace(), after.id).await.unwrap(), Some(after));
    assert_eq!(store.verify().unwrap().problem_count, 0);
}

/// R21: a store of before tokens were in order by their users.
#[tokio::test]
async fn r21_tokens_of_an_earlier_version_are_found_by_their_users() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let mut writes = Vec::new();
    for (user, hash) in [("jane", "a1"), ("jan", "b2"), ("jane", "c3")] {
        let record = json!({ "user": user, "created_at": "2026-01-01T00:00:00Z" });
        writes.push(put_json(&key::user_token(&workspace(), hash), &record));
    }
    store.engine.writer.commit(writes).await.unwrap();
    let tokens = async |user| {
        let page = store.user_tokens(&workspace(), user, None, 9).await.unwrap();
        page.items.into_iter().map(|(hash, _)| hash).collect::<Vec<_>>()
    };
    assert!(tokens("jane").await.is_empty());
    for _ in 0..2 {
        store.renew().await.unwrap();
        assert_eq!(tokens("jane").await, ["a1", "c3"]);
        assert_eq!(tokens("jan").await, ["b2"]);
    }
    assert_eq!(store.verify().unwrap().problem_count, 0);
}

/// Which of two signatures were dropped.
async fn dropped(store: &Store) -> BTreeSet<String> {
    let signatures = ["dropped", "kept"].map(str::to_owned);
    store.dropped_signatures(&workspace(), BTreeSet::from(signatures)).await.unwrap()
}

/// A-PW-6: signatures that an earlier version remembered with their flow stay dropped.
#[tokio::test]
async fn signatures_that_an_earlier_version_dropped_stay_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let hash = ringback_records::name::sha256_hex(b"dropped");
    let id = uuid::Uuid::from_u128(1);
    let callbacks = json!({ "main": { "id": "x", "signatures": ["kept"], "dropped": [hash] } });
    let ids = json!({ "t": { "key": "k", "flow": id, "trigger": id, "callbacks": callbacks } });
    let record =
        json!({ "name": "a", "version": 1, "enabled": true, "ids": ids, "updated_at": "2026-01-01T00:00:00Z" });
    let put = put_json(&key::flow(&workspace(), &"a".parse().unwrap()), &record);
    store.engine.writer.commit(vec![put]).await.unwrap();
    for _ in 0..2 {
        store.renew().await.unwrap();
        assert_eq!(dropped(&store).await, BTreeSet::from(["dropped".to_owned()]));
    }
    let record = store.flow(&workspace(), &"a".parse().unwrap()).await.unwrap().unwrap();
    let ids = &record.ids[&"t".parse().unwrap()].callbacks[&"main".parse().unwrap()];
    let staging = "staging".parse().unwrap();
    assert_eq!(ids.in_environment("kept", &staging), "kept", "URLs of before stay as they are");
    let put = Write::PutFlow { workspace: workspace(), record };
    let delete = Write::DeleteFlow { workspace: workspace(), name: "a".parse().unwrap(), version: 1 };
    store.commit(vec![put, delete]).await.unwrap();
    assert_eq!(dropped(&store).await.len(), 1, "also without the flow");
    assert_eq!(store.verify().unwrap().problem_count, 0);
}

fn put_json(key: &[u8], value: &serde_json::Value) -> Operation {
    Operation::Put { key: key.to_vec(), revision: 0, value: value.to_string().into_bytes() }
}

/// Changes around every limit: what is taken can be read again, by a copy of the files as a kill would leave them and after
/// a restart, and what is refused has changed nothing.
#[tokio::test]
async fn b1_what_can_be_written_can_be_read_again() {
    const MAX: usize = 96 << 10;
    let options = StoreOptions { segment_bytes: 1 << 20, change_bytes_max: MAX, ..OPTIONS };
    let mut random = Random(41);
    let directory = tempfile::tempdir().unwrap();
    let mut kept = std::collections::BTreeMap::<String, Vec<u8>>::new();
    let (mut refused, mut tried) = (0, 0);
    for _ in 0..4 {
        let store = Store::open(directory.path(), options).unwrap();
        for _ in 0..40 {
            // One large value, a long key, or many small ones; as often as not a little above what is taken.
            let around = |random: &mut Random, limit: usize| limit - 200 + usize::try_from(random.below(300)).unwrap();
            let (count, key, value) = match random.below(4) {
                0 => (1, 5, around(&mut random, MAX * 3 / 4)),
                1 => (1, around(&mut random, usize::from(u16::MAX)), 1),
                2 => (around(&mut random, MAX / 53), 5, 10),
                _ => (1 + usize::try_from(random.below(20)).unwrap(), 5, usize::try_from(random.below(5000)).unwrap()),
            };
            let names: Vec<String> = (0..count).map(|number| format!("{}{number:05}", "0".repeat(key - 5))).collect();
            let value = vec![u8::try_from(random.below(256)).unwrap(); value];
            let writes = names.iter().flat_map(|name| state(name, &value)).collect();
            tried += 1;
            match store.commit(writes).await {
                Ok(()) => kept.extend(names.into_iter().map(|name| (name, value.clone()))),
                Err(StoreError::TooLarge { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let copy = tempfile::tempdir().unwrap();
        copy_files(directory.path(), copy.path());
        drop(store);
        for place in [copy.path(), directory.path()] {
            let store = Store::open(place, options).unwrap();
            for (name, value) in &kept {
                assert_eq!(store.state(&workspace(), &workspace(), name).await.unwrap().as_ref(), Some(value));
            }
            let findings = store.verify().unwrap();
            assert_eq!((findings.problem_count, findings.records), (0, kept.len() as u64));
        }
    }
    assert!(refused > tried / 8 && refused < tried * 7 / 8, "{refused} of {tried}");
    println!("{tried} cases");
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_files(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// P4: a backup with right checksums, that somebody made by hand, writes no file but a component.
#[tokio::test]
async fn p4_a_backup_restores_nothing_but_what_a_backup_has() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let forged = |lines: &[String]| {
        let mut chain = super::backup::Chain::default();
        let header = r#"{"backup":{"format":2,"version":"0.1.0"}}"#.to_owned();
        let end = format!(r#"{{"end":{{"lines":{}}}}}"#, lines.len() + 1);
        [&[header], lines, &[end]].concat().iter().flat_map(|line| chain.seal(line)).collect::<Vec<u8>>()
    };
    let file = |name: &str| format!(r#"{{"file":{{"name":"{name}","bytes":"YWJj"}}}}"#);
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for name in [
        "secret.key",
        "admin-token",
        "store/log/0000000001.log",
        "../outside",
        "/tmp/outside",
        "plugins/../secret.key",
        "plugins/x.wasm",
        "plugins/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.so",
        "plugins/aa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.wasm",
        "",
    ] {
        let written = std::cell::Cell::new(0);
        let put = |_| {
            written.set(written.get() + 1);
            Ok(())
        };
        let error = store.restore(forged(&[file(name)]).as_slice(), put).await.unwrap_err();
        assert!(error.to_string().contains("no plugin with this digest"), "{name}: {error}");
        assert_eq!(written.get(), 0, "{name}");
    }
    let value = r#"{"value":{"key":"/w==","revision":0,"value":"x"}}"#.to_owned();
    assert!(store.restore(forged(&[value]).as_slice(), |_| Ok(())).await.is_err(), "a key of no kind");
    let names = [format!("plugins/{digest}.wasm"), format!("plugins/{digest}.js")];
    store.restore(forged(&names.map(|name| file(&name))).as_slice(), |_| Ok(())).await.unwrap();
}

/// A journal of any length is kept in blocks, so that a change writes little of it.
#[tokio::test]
async fn a_long_journal_is_kept_in_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let mut run = summary(1, Status::Running);
    for number in 1..400 {
        run.entries = number;
        store.commit(advance(&run, 1)).await.unwrap();
    }
    assert!(store.engine.count(&[key::JOURNAL], 100).unwrap() > 3);
}

/// The log with its index does what every engine has to.
mod conformance {
    use super::OPTIONS;
    use crate::conformance::{CHANGE_BYTES_MAX, conformance};
    use crate::{Store, StoreOptions};
    use std::path::PathBuf;
    use std::pin::Pin;

    fn open(directory: PathBuf) -> Pin<Box<dyn Future<Output = Store> + Send>> {
        let options = StoreOptions { change_bytes_max: CHANGE_BYTES_MAX, ..OPTIONS };
        Box::pin(async move { Store::open(&directory, options).unwrap() })
    }

    conformance!(open);
}

/// What was changed last is answered at once, on the thread that asks; what only the disk knows is not.
/// Who lists all day holds some of the readers, and waits for his own.
#[tokio::test]
async fn readers_of_lists_are_shared_by_workspace() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let (greedy, other): (Name, Name) = ("greedy".parse().unwrap(), "other".parse().unwrap());
    let mut held = Vec::new();
    while let Ok(place) = timeout(Duration::from_millis(50), store.readers.scans.take(&greedy)).await {
        held.push(place.unwrap());
    }
    assert!(held.len() <= 16, "{} readers", held.len());
    let lists = async |workspace: &Name| {
        let wait = Duration::from_millis(200);
        let (callbacks, executions, tickets) =
            (CallbackFilter::default(), ExecutionFilter::default(), TicketFilter::default());
        [
            timeout(wait, store.callbacks(workspace, None, 10, &callbacks)).await.is_ok(),
            timeout(wait, store.executions(workspace, None, 10, &executions)).await.is_ok(),
            timeout(wait, store.tickets(workspace, None, 10, &tickets)).await.is_ok(),
        ]
    };
    assert_eq!(lists(&greedy).await, [false; 3]);
    assert_eq!(lists(&other).await, [true; 3]);
    drop(held);
    assert_eq!(lists(&greedy).await, [true; 3]);
    store.close().await;
}

#[tokio::test]
async fn what_memory_knows_needs_no_other_thread() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let run = summary(1, Status::Running);
    let value = vec![7; 100 << 10];
    store
        .commit([advance(&run, 1), state("small", b"x"), state("large", &value), state("gone", b"x")].concat())
        .await
        .unwrap();
    let gone = Write::DeleteState { workspace: workspace(), plugin: workspace(), key: "gone".into() };
    store.commit(vec![gone]).await.unwrap();
    // Whoever has to wait for the disk waits here.
    let places = store.readers.looks.acquire_many(crate::look::LOOKS_MAX).await.unwrap();
    let (here, context) = (workspace(), &mut std::task::Context::from_waker(std::task::Waker::noop()));
    let mut at_once = |what: &str| {
        let read = async {
            match what {
                "summary" => store.summary(&here, run.id).await.map(|found| found.is_some()),
                "execution" => store.execution(&here, run.id).await.map(|found| found.is_some()),
                "has" => store.has_execution(&here, run.id).await,
                key => store.state(&here, &here, key).await.map(|found| found.is_some()),
            }
        };
        match std::pin::pin!(read).poll(context) {
            std::task::Poll::Ready(found) => Some(found.unwrap()),
            std::task::Poll::Pending => None,
        }
    };
    for (what, expected) in [
        ("summary", Some(true)),
        ("execution", Some(true)),
        ("has", Some(true)),
        ("small", Some(true)),
        ("gone", Some(false)),
        ("large", None),
        ("unknown", None),
    ] {
        assert_eq!(at_once(what), expected, "{what}");
    }
    let index = std::sync::Arc::clone(&store.engine.index);
    tokio::task::spawn_blocking(move || index.checkpoint()).await.unwrap().unwrap();
    for what in ["summary", "execution", "has", "small", "gone"] {
        assert_eq!(at_once(what), None, "{what} is in sled alone");
    }
    drop(places);
    assert_eq!(store.state(&here, &here, "large").await.unwrap(), Some(value));
    assert_eq!(store.summary(&here, run.id).await.unwrap(), Some(run));
}

/// Who starts an execution looks at nothing first; who changes one has to know what is there.
#[test]
fn a_start_depends_on_nothing() {
    let (run, record) = (summary(1, Status::Running), CallbackRecord::for_testing());
    let before = |before| Write::PutCallback { workspace: workspace(), before, record: Box::new(record.clone()) };
    let start = [advance(&run, 1), vec![before(None), before(Some(Outcome::Kept))]].concat();
    assert!(crate::engine::needed(&start).is_empty());
    let delete = Write::DeleteCallback { workspace: workspace(), id: record.id };
    let Write::Advance { workspace, summary, entries, .. } = advance(&run, 1).remove(0) else { unreachable!() };
    let go_on = Write::Advance { workspace, before: Some(summary.clone()), summary, entries };
    assert_eq!(crate::engine::needed(&[delete, go_on]).len(), 2);
}

/// B11, C2: of all that follow a delivery whose time is over one wins, also when it was forgotten in the meantime, and what forgets
/// deliveries takes none with it that has just come. One that was written before deliveries had revisions is followed in the same way.
#[tokio::test]
async fn b11_c2_one_delivery_follows_another() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), OPTIONS).unwrap();
    let at = |millis| Timestamp::from_millis(millis);
    let put = |delivery: &Delivery, over: Option<&Delivery>| {
        vec![Write::PutDelivery {
            workspace: workspace(),
            flow: workspace(),
            trigger: workspace(),
            identity: [7; 32],
            delivery: delivery.clone(),
            over: over.cloned(),
        }]
    };
    let known = async || {
        let known = store.delivery(&workspace(), &workspace(), &workspace(), &[7; 32]).await.unwrap();
        known.map(|(delivery, _)| delivery)
    };
    let old = Delivery { revision: 0, ..Delivery::new(CallbackId::new(), String::new(), at(1000)) };
    let next: Vec<Delivery> = (2..6).map(|n| Delivery::new(CallbackId::new(), String::new(), at(n * 1000))).collect();
    store.commit(put(&old, None)).await.unwrap();
    assert!(matches!(store.commit(put(&next[0], None)).await, Err(StoreError::Conflict)));
    assert_eq!(known().await, Some(old.clone()));
    store.commit(put(&next[0], Some(&old))).await.unwrap();
    for late in &next[1..] {
        assert!(matches!(store.commit(put(late, Some(&old))).await, Err(StoreError::Conflict)), "one was faster");
    }
    assert_eq!(known().await, Some(next[0].clone()));
    // What is over is found, and before it is forgotten another one follows it.
    let (_, over) = store.engine.due(&workspace(), at(2000), None, 10).unwrap();
    store.commit(put(&next[1], Some(&next[0]))).await.unwrap();
    store.engine.writer.commit(over).await.unwrap();
    assert_eq!(known().await, Some(next[1].clone()), "it is not over");
    store.due(&workspace(), at(3000), None, 10).await.unwrap();
    assert_eq!(known().await, None);
    store.commit(put(&next[2], Some(&next[1]))).await.unwrap();
    assert!(
        matches!(store.commit(put(&next[3], Some(&next[1]))).await, Err(StoreError::Conflict)),
        "forgotten, and known again"
    );
    store.due(&workspace(), at(4000), None, 10).await.unwrap();
    assert_eq!(known().await, None);
    let due = store.engine.due(&workspace(), at(9000), None, 10).unwrap();
    assert!(due.0.last.is_none() && due.1.is_empty(), "nothing is left of them");
}
