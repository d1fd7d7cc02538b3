//! The state of plugins, in the store.

use crate::catalogue::doors::Doors;
use futures_util::future::BoxFuture;
use ringback_plugin::{State, StateError};
use ringback_records::name::Name;
use ringback_store::{Store, StoreError, Write};

/// What plugins keep is beside everything else that is kept.
pub struct StoredState {
    store: Store,
    /// New keys of one plugin are counted and kept one after the other.
    growing: Doors,
}

impl StoredState {
    pub fn new(store: Store) -> Self {
        Self { store, growing: Doors::default() }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
fn unavailable(error: StoreError) -> StateError {
    StateError::Unavailable(error.to_string())
}

impl State for StoredState {
    fn get<'a>(
        &'a self,
        workspace: &'a Name,
        plugin: &'a Name,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StateError>> {
        Box::pin(async move { self.store.state(workspace, plugin, key).await.map_err(unavailable) })
    }

    fn set<'a>(
        &'a self,
        workspace: &'a Name,
        plugin: &'a Name,
        key: String,
        value: Vec<u8>,
        keys_max: usize,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let is_new = async || -> Result<bool, StateError> {
                Ok(self.store.state(workspace, plugin, &key).await.map_err(unavailable)?.is_none())
            };
            let growing = match is_new().await? {
                true => Some(self.growing.close(workspace, plugin).await),
                false => None,
            };
            if growing.is_some()
                && is_new().await?
                && self.store.state_count(workspace, plugin, keys_max).await.map_err(unavailable)? >= keys_max
            {
                return Err(StateError::TooManyKeys);
            }
            if dry_run {
                return Ok(());
            }
            let put = Write::PutState { workspace: workspace.clone(), plugin: plugin.clone(), key, value };
            self.store.commit(vec![put]).await.map_err(unavailable)
        })
    }

    fn remove<'a>(
        &'a self,
        workspace: &'a Name,
        plugin: &'a Name,
        key: String,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        let delete = Write::DeleteState { workspace: workspace.clone(), plugin: plugin.clone(), key };
        Box::pin(async move { self.store.commit(vec![delete]).await.map_err(unavailable) })
    }
}

#[cfg(test)]
mod tests {
    use super::{State, StateError, StoredState};
    use ringback_records::name::Name;
    use ringback_store::{Store, StoreOptions};

    #[tokio::test]
    async fn a_plugin_has_so_many_keys_and_no_other_has_less_room_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
        let state = StoredState::new(store.clone());
        let (workspace, plugin, other) =
            (Name::default_name(), "a".parse::<Name>().unwrap(), "a-b".parse::<Name>().unwrap());
        let set = async |plugin: &Name, key: &str, value: &[u8], dry_run: bool| {
            state.set(&workspace, plugin, key.to_owned(), value.to_vec(), 2, dry_run).await
        };
        let get = async |key: &str| state.get(&workspace, &plugin, key).await.unwrap();
        set(&plugin, "one", b"1", true).await.unwrap();
        assert_eq!(get("one").await, None, "a dry run leaves nothing behind");
        set(&plugin, "one", b"1", false).await.unwrap();
        set(&plugin, "two", b"2", false).await.unwrap();
        for dry_run in [false, true] {
            assert!(matches!(set(&plugin, "three", b"3", dry_run).await, Err(StateError::TooManyKeys)), "{dry_run}");
        }
        assert_eq!(get("three").await, None);
        set(&plugin, "two", b"changed", false).await.unwrap();
        assert_eq!(get("two").await.as_deref(), Some(&b"changed"[..]), "a key that is there is no new one");
        set(&other, "three", b"3", false).await.unwrap();
        set(&other, "four", b"4", false).await.unwrap();
        let many: Vec<Name> = (0..20).map(|n| format!("many-{n}").parse().unwrap()).collect();
        let grow = |n: usize| {
            let (set, many) = (&set, &many);
            async move { set(&many[0], many[n].as_str(), b"1", false).await.is_ok() }
        };
        let grown = futures_util::future::join_all((0..20).map(grow)).await;
        assert_eq!(grown.into_iter().filter(|grown| *grown).count(), 2, "also when all come at once");
        state.remove(&workspace, &plugin, "one".to_owned()).await.unwrap();
        set(&plugin, "three", b"3", false).await.unwrap();
        assert_eq!((get("one").await, get("three").await), (None, Some(b"3".to_vec())));
        store.close().await;
    }
}
