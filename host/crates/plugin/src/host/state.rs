//! A small keyed store of a plugin's own.

use super::CallState;
use super::resources::failure;
use crate::bindings::imports::state::Host;
use crate::bindings::imports::types::Failure;
use crate::limits::{STATE_KEY_BYTES_MAX, STATE_KEYS_MAX, STATE_VALUE_BYTES_MAX};
use ringback_store::{StoreError, Write};
use wasmtime::Result;

type Answer<T> = std::result::Result<T, Failure>;

fn check(key: &str, value_bytes: usize) -> Answer<()> {
    if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX || value_bytes > STATE_VALUE_BYTES_MAX {
        return Err(failure(
            "too-large",
            format!("a key has 1 to {STATE_KEY_BYTES_MAX} bytes, a value at most {STATE_VALUE_BYTES_MAX}"),
        ));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` wants")]
fn unavailable(error: StoreError) -> Failure {
    tracing::error!(%error, "a plugin's state could not be used");
    Failure { code: "unavailable".to_owned(), message: "the store cannot be used now".to_owned(), retryable: true }
}

impl Host for CallState {
    async fn get(&mut self, key: String) -> Result<Answer<Option<Vec<u8>>>> {
        Ok(check(&key, 0)
            .and_then(|()| self.services.store.state(&self.workspace, &self.plugin, &key).map_err(unavailable)))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<Answer<()>> {
        let Self { services, workspace, plugin, dry_run, .. } = self;
        let set = async {
            check(&key, value.len())?;
            let store = &services.store;
            let is_new = store.state(workspace, plugin, &key).map_err(unavailable)?.is_none();
            if is_new && store.state_count(workspace, plugin, STATE_KEYS_MAX).map_err(unavailable)? >= STATE_KEYS_MAX {
                return Err(failure("too-many-keys", format!("a plugin has at most {STATE_KEYS_MAX} keys")));
            }
            if *dry_run {
                return Ok(());
            }
            let write = Write::PutState { workspace: workspace.clone(), plugin: plugin.clone(), key, value };
            store.commit(vec![write]).await.map_err(unavailable)
        };
        Ok(set.await)
    }

    async fn remove(&mut self, key: String) -> Result<Answer<()>> {
        if let Err(failure) = check(&key, 0) {
            return Ok(Err(failure));
        }
        if self.dry_run {
            return Ok(Ok(()));
        }
        let write = Write::DeleteState { workspace: self.workspace.clone(), plugin: self.plugin.clone(), key };
        Ok(self.services.store.commit(vec![write]).await.map_err(unavailable))
    }
}
