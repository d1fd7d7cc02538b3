//! A small keyed store of a plugin's own.

use super::CallState;
use super::resources::failure;
use crate::bindings::imports::state::Host;
use crate::bindings::imports::types::Failure;
use crate::limits::{STATE_KEY_BYTES_MAX, STATE_KEYS_MAX, STATE_VALUE_BYTES_MAX};
use futures_util::future::BoxFuture;
use ringback_records::name::Name;
use wasmtime::Result;

/// Where plugins keep their state: what each has under its keys.
pub trait State: Send + Sync {
    fn get<'a>(&'a self, workspace: &'a Name, plugin: &'a Name, key: &'a str) -> Done<'a, Option<Vec<u8>>>;

    /// Returns when the value is durable. In a dry run it only says whether there is room.
    ///
    /// # Errors
    ///
    /// The key is new and the plugin has as many already.
    fn set<'a>(
        &'a self,
        workspace: &'a Name,
        plugin: &'a Name,
        key: String,
        value: Vec<u8>,
        keys_max: usize,
        dry_run: bool,
    ) -> Done<'a, ()>;

    /// Returns when the key is gone durably.
    fn remove<'a>(&'a self, workspace: &'a Name, plugin: &'a Name, key: String) -> Done<'a, ()>;
}

type Done<'a, T> = BoxFuture<'a, std::result::Result<T, StateError>>;

/// Why a plugin's state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the plugin has as many keys as it may have")]
    TooManyKeys,
    #[error("the state cannot be used now: {0}")]
    Unavailable(String),
}

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
fn failed(error: StateError) -> Failure {
    match error {
        StateError::TooManyKeys => failure("too-many-keys", format!("a plugin has at most {STATE_KEYS_MAX} keys")),
        StateError::Unavailable(_) => {
            tracing::error!(%error, "a plugin's state could not be used");
            Failure { retryable: true, ..failure("unavailable", "the store cannot be used now") }
        }
    }
}

impl Host for CallState {
    async fn get(&mut self, key: String) -> Result<Answer<Option<Vec<u8>>>> {
        if let Err(failure) = check(&key, 0) {
            return Ok(Err(failure));
        }
        Ok(self.services.state.get(&self.workspace, &self.plugin, &key).await.map_err(failed))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<Answer<()>> {
        if let Err(failure) = check(&key, value.len()) {
            return Ok(Err(failure));
        }
        let Self { services, workspace, plugin, dry_run, .. } = self;
        let set = services.state.set(workspace, plugin, key, value, STATE_KEYS_MAX, *dry_run);
        Ok(set.await.map_err(failed))
    }

    async fn remove(&mut self, key: String) -> Result<Answer<()>> {
        if let Err(failure) = check(&key, 0) {
            return Ok(Err(failure));
        }
        if self.dry_run {
            return Ok(Ok(()));
        }
        Ok(self.services.state.remove(&self.workspace, &self.plugin, key).await.map_err(failed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Services;
    use super::{CallState, Done, Host, Name, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, State, StateError};
    use crate::subject::Subject;
    use ringback_outbound::plugin::Outbound;
    use ringback_records::sync::lock;
    use ringback_rules::vault::Vault;
    use std::sync::{Arc, Mutex};

    /// Has no room for the key `new`, and notes what it is asked.
    #[derive(Default)]
    struct Full(Mutex<Vec<String>>);

    impl State for Full {
        fn get<'a>(&'a self, _: &'a Name, _: &'a Name, key: &'a str) -> Done<'a, Option<Vec<u8>>> {
            lock(&self.0).push(format!("get {key}"));
            Box::pin(async { Err(StateError::Unavailable("the disk".to_owned())) })
        }

        fn set<'a>(
            &'a self,
            _: &'a Name,
            _: &'a Name,
            key: String,
            _: Vec<u8>,
            keys_max: usize,
            dry_run: bool,
        ) -> Done<'a, ()> {
            lock(&self.0).push(format!("set {key} {keys_max} {dry_run}"));
            Box::pin(async move { if key == "new" { Err(StateError::TooManyKeys) } else { Ok(()) } })
        }

        fn remove<'a>(&'a self, _: &'a Name, _: &'a Name, key: String) -> Done<'a, ()> {
            lock(&self.0).push(format!("remove {key}"));
            Box::pin(async { Ok(()) })
        }
    }

    fn call(state: &Arc<Full>, dry_run: bool) -> CallState {
        let (name, state) = (Name::default_name(), Arc::clone(state));
        let secrets = Vault::in_memory(&name, &[]);
        let services = Services::new(state, secrets, Outbound::new([]));
        let subject = Subject { dry_run, ..Subject::unseen(&name, &name) };
        CallState::new(Arc::new(services), &subject, name, 1 << 20, 16, false)
    }

    #[tokio::test]
    async fn what_is_too_large_or_too_much_is_a_failure_that_the_plugin_sees() {
        let state = Arc::new(Full::default());
        let mut call = call(&state, false);
        let (long, large) = ("k".repeat(STATE_KEY_BYTES_MAX + 1), vec![0; STATE_VALUE_BYTES_MAX + 1]);
        for (key, value) in [(long, Vec::new()), (String::new(), Vec::new()), ("known".to_owned(), large)] {
            assert_eq!(call.set(key, value).await.unwrap().unwrap_err().code, "too-large");
        }
        assert!(lock(&state.0).is_empty(), "nobody is asked");
        assert_eq!(call.set("new".to_owned(), Vec::new()).await.unwrap().unwrap_err().code, "too-many-keys");
        assert!(call.set("known".to_owned(), Vec::new()).await.unwrap().is_ok());
        let failure = call.get("known".to_owned()).await.unwrap().unwrap_err();
        assert!(failure.code == "unavailable" && failure.retryable && !failure.message.contains("disk"));
    }

    #[tokio::test]
    async fn a_dry_run_changes_nothing() {
        let state = Arc::new(Full::default());
        let mut call = call(&state, true);
        call.set("known".to_owned(), Vec::new()).await.unwrap().unwrap();
        call.remove("known".to_owned()).await.unwrap().unwrap();
        assert_eq!(*lock(&state.0), ["set known 10000 true"]);
    }
}
