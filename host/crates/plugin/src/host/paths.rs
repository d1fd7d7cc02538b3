//! JSONPaths that plugins select by, compiled once.

use ringback_rules::expression::{CompileError, JsonPath};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most paths that are remembered; past that, all are forgotten.
const REMEMBERED_MAX: usize = 1000;

#[derive(Default)]
pub(crate) struct Paths {
    compiled: Mutex<HashMap<String, Arc<JsonPath>>>,
}

impl Paths {
    pub(super) fn compile(&self, path: &str) -> Result<Arc<JsonPath>, CompileError> {
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(path) {
            return Ok(Arc::clone(known));
        }
        // The parser measures its stack by addresses, and takes the fiber that a call runs on for one that is full: it
        // gets a thread of its own.
        let compiled = std::thread::scope(|scope| scope.spawn(|| JsonPath::compile(path)).join());
        let compiled = match compiled {
            Ok(compiled) => Arc::new(compiled?),
            Err(_) => {
                return Err(CompileError { message: format!("`{path}` cannot be compiled"), offset: None });
            }
        };
        let mut known = lock();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(path.to_owned(), Arc::clone(&compiled));
        Ok(compiled)
    }
}
