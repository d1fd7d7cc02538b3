//! State of plugins that is gone with the process, or with the case that it was given to.

use super::state::{State, StateError};
use futures_util::future::BoxFuture;
use ringback_records::name::Name;
use ringback_records::sync::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Values by key, the same for all workspaces and plugins.
#[derive(Default)]
pub struct InMemoryState(Mutex<BTreeMap<String, Vec<u8>>>);

impl From<BTreeMap<String, Vec<u8>>> for InMemoryState {
    fn from(values: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Mutex::new(values))
    }
}

impl State for InMemoryState {
    fn get<'a>(&'a self, _: &'a Name, _: &'a Name, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StateError>> {
        Box::pin(async move { Ok(lock(&self.0).get(key).cloned()) })
    }

    fn set<'a>(
        &'a self,
        _: &'a Name,
        _: &'a Name,
        key: String,
        value: Vec<u8>,
        keys_max: usize,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let mut values = lock(&self.0);
            if values.len() >= keys_max && !values.contains_key(&key) {
                return Err(StateError::TooManyKeys);
            }
            if !dry_run {
                values.insert(key, value);
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, _: &'a Name, _: &'a Name, key: String) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            lock(&self.0).remove(&key);
            Ok(())
        })
    }
}
