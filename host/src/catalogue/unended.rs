//! Executions that have not ended: what they need is not removed. They are looked for page by page, and counted no further than
//! anybody wants to know.

use ringback_records::journal::Status;
use ringback_records::name::{ExecutionId, Name};
use ringback_store::{ExecutionFilter, Page, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// Executions that are counted.
const COUNTED_MAX: usize = 1000;
/// Executions that are read together.
const PAGE: usize = 200;

/// How many executions have not ended, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unended(usize);

impl std::fmt::Display for Unended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            count @ ..=COUNTED_MAX => write!(f, "{count}"),
            _ => write!(f, "more than {COUNTED_MAX}"),
        }
    }
}

fn statuses() -> Vec<Status> {
    Status::ALL.into_iter().filter(|status| !status.is_ended()).collect()
}

/// How many executions of a flow have not ended; `None` when all have.
pub(super) async fn of_flow(store: &Store, workspace: &Name, flow: &Name) -> Result<Option<Unended>, StoreError> {
    count(store, workspace, ExecutionFilter { flow: Some(flow.clone()), ..ExecutionFilter::default() }).await
}

/// How many executions in an environment have not ended; `None` when all have.
pub(super) async fn in_environment(
    store: &Store,
    workspace: &Name,
    environment: &Name,
) -> Result<Option<Unended>, StoreError> {
    count(store, workspace, ExecutionFilter { environment: Some(environment.clone()), ..ExecutionFilter::default() })
        .await
}

async fn count(store: &Store, workspace: &Name, wanted: ExecutionFilter) -> Result<Option<Unended>, StoreError> {
    let wanted = ExecutionFilter { statuses: statuses(), ..wanted };
    let (mut count, mut before) = (0, None);
    while count <= COUNTED_MAX {
        let Page { items, next } = store.executions(workspace, before, PAGE, &wanted).await?;
        count += items.len();
        before = next;
        if before.is_none() {
            break;
        }
    }
    Ok((count > 0).then_some(Unended(count)))
}

/// Those of some versions of a flow that executions run which have not ended.
pub(super) async fn versions_of(
    store: &Store,
    workspace: &Name,
    flow: &Name,
    versions: BTreeSet<u32>,
) -> Result<BTreeSet<u32>, StoreError> {
    let found = users_of(store, workspace, flow, versions, statuses()).await?;
    Ok(found.into_keys().collect())
}

/// For each of some versions of a flow that an execution runs or has run, one that does: the newest, which stays longest.
pub(super) async fn users_of_versions(
    store: &Store,
    workspace: &Name,
    flow: &Name,
    versions: BTreeSet<u32>,
) -> Result<BTreeMap<u32, ExecutionId>, StoreError> {
    users_of(store, workspace, flow, versions, Vec::new()).await
}

async fn users_of(
    store: &Store,
    workspace: &Name,
    flow: &Name,
    versions: BTreeSet<u32>,
    statuses: Vec<Status>,
) -> Result<BTreeMap<u32, ExecutionId>, StoreError> {
    let mut wanted = ExecutionFilter { flow: Some(flow.clone()), versions, statuses, ..ExecutionFilter::default() };
    let (mut users, mut before) = (BTreeMap::new(), None);
    while !wanted.versions.is_empty() {
        let Page { items, next } = store.executions(workspace, before, PAGE, &wanted).await?;
        for run in items {
            // Who has been found is not looked for any more.
            wanted.versions.remove(&run.flow_version);
            users.entry(run.flow_version).or_insert(run.id);
        }
        before = next;
        if before.is_none() {
            break;
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::{COUNTED_MAX, in_environment, of_flow, users_of_versions, versions_of};
    use ringback_records::journal::{Status, Summary};
    use ringback_records::name::{CallbackId, ExecutionId, Name};
    use ringback_records::time::Timestamp;
    use ringback_store::{Store, StoreOptions, Write};
    use std::collections::{BTreeMap, BTreeSet};

    fn run(flow: &str, flow_version: u32, status: Status) -> Summary {
        Summary {
            id: ExecutionId::new(),
            flow: flow.parse().unwrap(),
            flow_version,
            environment: Name::default_name(),
            environment_made_at: None,
            status,
            callback: CallbackId::new(),
            started_at: Timestamp::default(),
            ended_at: status.is_ended().then(Timestamp::default),
            error: None,
            waits: Vec::new(),
            holds: Vec::new(),
            entries: 0,
        }
    }

    fn start(run: &Summary) -> Write {
        let (workspace, summary) = (Name::default_name(), Box::new(run.clone()));
        Write::Advance { workspace, before: None, summary, entries: Vec::new() }
    }

    #[tokio::test]
    async fn what_has_not_ended_is_counted_no_further_than_anybody_wants_to_know() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let (here, flow) = (Name::default_name(), "shop".parse().unwrap());
        let said = async || {
            let of_flow = of_flow(&store, &here, &flow).await.unwrap();
            let of_environment = in_environment(&store, &here, &here).await.unwrap();
            assert!(in_environment(&store, &here, &"staging".parse().unwrap()).await.unwrap().is_none());
            [of_flow, of_environment].map(|unended| unended.map(|unended| unended.to_string()))
        };
        let ended: Vec<Summary> = (0..300).map(|_| run("shop", 1, Status::Completed)).collect();
        store.commit(ended.iter().map(start).collect()).await.unwrap();
        assert_eq!(said().await, [None, None]);
        store.commit(vec![start(&run("other", 9, Status::Running))]).await.unwrap();
        assert_eq!(said().await, [None, Some("1".to_owned())]);
        let mut unended = Vec::new();
        for number in 0..u32::try_from(COUNTED_MAX).unwrap() {
            let status = if number.is_multiple_of(2) { Status::Running } else { Status::Waiting };
            unended.push(run("shop", 2 + number / 900, status));
        }
        store.commit(unended.iter().map(start).collect()).await.unwrap();
        assert_eq!(said().await, [Some("1000".to_owned()), Some("more than 1000".to_owned())]);
        store.commit(vec![start(&run("shop", 4, Status::Waiting))]).await.unwrap();
        assert_eq!(said().await, [Some("more than 1000".to_owned()), Some("more than 1000".to_owned())]);

        let asked = BTreeSet::from([1, 2, 3, 9]);
        let living = versions_of(&store, &here, &flow, asked.clone()).await.unwrap();
        assert_eq!(living, BTreeSet::from([2, 3]), "all of the first have ended, and the last is of another flow");
        let users = users_of_versions(&store, &here, &flow, asked).await.unwrap();
        let expected = BTreeMap::from([(1, ended[299].id), (2, unended[899].id), (3, unended[999].id)]);
        assert_eq!(users, expected, "the newest");
    }
}
