use super::{OpenError, Store, StoreError, Write, key};
use crate::execution::{Entry, EntryKind, Status, Summary};
use crate::name::{CallbackId, ExecutionId, Name};
use crate::time::Timestamp;

const CACHE: u64 = 16 << 20;

fn workspace() -> Name {
    Name::default_name()
}

fn summary(entries: u32, status: Status) -> Summary {
    Summary {
        id: ExecutionId::new(),
        flow: workspace(),
        flow_version: 1,
        environment: workspace(),
        status,
        callback: CallbackId::new(),
        started_at: Timestamp::default(),
        ended_at: None,
        error: None,
        entries,
    }
}

fn entry() -> Entry {
    Entry { at: Timestamp::default(), step: "steps[0]".into(), kind: EntryKind::If { holds: true } }
}

fn advance(summary: &Summary, entries: usize) -> Vec<Write> {
    vec![Write::Advance { workspace: workspace(), summary: Box::new(summary.clone()), entries: vec![entry(); entries] }]
}

fn state(name: &str, value: &[u8]) -> Vec<Write> {
    vec![Write::PutState { workspace: workspace(), plugin: workspace(), key: name.into(), value: value.to_vec() }]
}

#[tokio::test]
async fn a_journal_that_does_not_continue_is_a_conflict_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), CACHE).unwrap();
    let mut run = summary(2, Status::Running);
    store.commit(advance(&run, 2)).await.unwrap();
    assert!(matches!(store.commit(advance(&run, 2)).await, Err(StoreError::Conflict)), "started twice");
    run.entries = 5;
    assert!(matches!(store.commit(advance(&run, 2)).await, Err(StoreError::Conflict)), "a gap");
    let mut with_side_effect = advance(&run, 1);
    with_side_effect.extend(state("a", b"1"));
    assert!(matches!(store.commit(with_side_effect).await, Err(StoreError::Conflict)));
    assert_eq!(store.state(&workspace(), &workspace(), "a").unwrap(), None, "all or nothing");
    run.entries = 3;
    // Two that race: one wins.
    let (one, two) = tokio::join!(store.commit(advance(&run, 1)), store.commit(advance(&run, 1)));
    assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1);
    assert_eq!(store.journal(&workspace(), run.id).unwrap().len(), 3);
}

#[tokio::test]
async fn large_values_come_back_and_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), CACHE).unwrap();
    let get = || store.state(&workspace(), &workspace(), "a").unwrap();
    for size in [1 << 20, 5000, 10, 9000] {
        store.commit(state("a", &vec![7; size])).await.unwrap();
        assert_eq!(get().unwrap().len(), size);
        let chunks = store.engine.count(&[key::CHUNK], 1000).unwrap();
        assert_eq!(chunks, if size > 4086 { size.div_ceil(4086) } else { 0 });
    }
    store
        .commit(vec![Write::DeleteState { workspace: workspace(), plugin: workspace(), key: "a".into() }])
        .await
        .unwrap();
    assert_eq!((get(), store.engine.count(&[key::CHUNK], 9).unwrap(), store.blob_count()), (None, 0, 0));
    assert_eq!(store.verify().unwrap().problem_count, 0);
}

#[tokio::test]
async fn running_executions_are_known_after_a_restart_and_ended_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (running, ended) = (summary(1, Status::Running), summary(1, Status::Completed));
    let mut ending = summary(1, Status::Running);
    {
        let store = Store::open(directory.path(), CACHE).unwrap();
        store.commit(advance(&running, 1)).await.unwrap();
        store.commit(advance(&ended, 1)).await.unwrap();
        store.commit(advance(&ending, 1)).await.unwrap();
        (ending.entries, ending.status) = (2, Status::Failed);
        store.commit(advance(&ending, 1)).await.unwrap();
        store.close().await;
    }
    let store = Store::open(directory.path(), CACHE).unwrap();
    assert_eq!(store.running().unwrap(), [(workspace(), running.id)]);
    let page = store.executions(&workspace(), None, 2, |_| true).unwrap();
    assert_eq!(page.items.iter().map(|run| run.id).collect::<Vec<_>>(), [ending.id, ended.id]);
    let rest = store.executions(&workspace(), page.next, 2, |_| true).unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path(), CACHE).unwrap();
    assert!(matches!(Store::open(directory.path(), CACHE), Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn an_unfinished_snapshot_does_not_hinder_the_start() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path(), CACHE).unwrap();
        store.commit(state("a", b"1")).await.unwrap();
        store.close().await;
    }
    std::fs::write(directory.path().join("store/snap.0000000000001234.generating"), b"half").unwrap();
    let store = Store::open(directory.path(), CACHE).unwrap();
    assert_eq!(store.state(&workspace(), &workspace(), "a").unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_damaged_snapshot_is_set_aside_and_the_log_replayed() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path(), CACHE).unwrap();
        store.commit(state("a", b"1")).await.unwrap();
        store.close().await;
    }
    let snapshot = std::fs::read_dir(directory.path().join("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap."))
        .unwrap_or_else(|| directory.path().join("store/snap.0000000000001234"));
    std::fs::write(snapshot, b"no snapshot").unwrap();
    let store = Store::open(directory.path(), CACHE).unwrap();
    assert_eq!(store.state(&workspace(), &workspace(), "a").unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_flipped_bit_in_a_record_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), CACHE).unwrap();
    store.commit(state("a", b"value")).await.unwrap();
    let key = key::state(&workspace(), &workspace(), "a");
    let mut record = store.engine.db.get(&key).unwrap().unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    store.engine.db.insert(&key, record).unwrap();
    store.engine.db.insert(b"?", b"x").unwrap();
    assert!(matches!(store.state(&workspace(), &workspace(), "a"), Err(StoreError::Damaged { .. })));
    let findings = store.verify().unwrap();
    assert_eq!(findings.problem_count, 2, "{findings:?}");
}

#[tokio::test]
async fn what_is_written_behind_is_there_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path(), CACHE).unwrap();
        assert!(store.write_behind(&state("a", b"1")));
        store.close().await;
        assert!(matches!(store.commit(state("b", b"1")).await, Err(StoreError::Stopped(_))));
    }
    let store = Store::open(directory.path(), CACHE).unwrap();
    assert!(store.state(&workspace(), &workspace(), "a").unwrap().is_some());
}
