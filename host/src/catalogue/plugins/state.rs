//! The state of plugins, in the store.

use futures_util::future::BoxFuture;
use ringback_plugin::{State, StateError};
use ringback_records::name::Name;
use ringback_store::{Store, StoreError, Write};

/// What plugins keep is beside everything else that is kept.
pub struct StoredState(pub Store);

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
        Box::pin(async move { self.0.state(workspace, plugin, key).map_err(unavailable) })
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
            let is_new = self.0.state(workspace, plugin, &key).map_err(unavailable)?.is_none();
            if is_new && self.0.state_count(workspace, plugin, keys_max).map_err(unavailable)? >= keys_max {
                return Err(StateError::TooManyKeys);
            }
            if dry_run {
                return Ok(());
            }
            let put = Write::PutState { workspace: workspace.clone(), plugin: plugin.clone(), key, value };
            self.0.commit(vec![put]).await.map_err(unavailable)
        })
    }

    fn remove<'a>(
        &'a self,
        workspace: &'a Name,
        plugin: &'a Name,
        key: String,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        let delete = Write::DeleteState { workspace: workspace.clone(), plugin: plugin.clone(), key };
        Box::pin(async move { self.0.commit(vec![delete]).await.map_err(unavailable) })
    }
}
