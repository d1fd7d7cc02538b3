//! The callback and execution resources. A call has at most one of each, so a handle is only a right to ask.

use super::paths::Paths;
use super::{CallState, Misuse};
use crate::bindings::imports::types::{self, Failure, HostCallback, HostExecution};
use crate::subject::ExecutionView;
use ringback_records::callback::Callback;
use serde_json::Value;
use wasmtime::Result;
use wasmtime::component::Resource;

/// The type of callback handles.
#[derive(Debug)]
pub struct CallbackHandle;
/// The type of execution handles.
#[derive(Debug)]
pub struct ExecutionHandle;

pub(super) fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into(), retryable: false, pointer: None, detail: None }
}

impl CallState {
    fn callback(&self) -> Result<&Callback> {
        self.callback.as_deref().ok_or_else(|| Misuse("this call has no callback".to_owned()).into())
    }

    fn execution(&self) -> Result<&ExecutionView> {
        self.execution.as_deref().ok_or_else(|| Misuse("this call has no execution".to_owned()).into())
    }

    fn parsed(&self) -> std::result::Result<&Value, Failure> {
        let unparsed =
            || failure("not-parsed", "the body has not been parsed yet: verifiers and parsers see raw bytes");
        self.data.as_deref().ok_or_else(unparsed)
    }
}

fn select(paths: &Paths, data: &Value, path: &str) -> std::result::Result<String, Failure> {
    let path = paths.compile(path).map_err(|error| failure("invalid-path", error.to_string()))?;
    let found = path.select(data).map_err(|reason| failure("invalid-path", reason))?;
    // An array of references writes the same text as an array of values, without copying them.
    serde_json::to_string(&found).map_err(|error| failure("invalid-path", error.to_string()))
}

impl types::Host for CallState {}

impl HostCallback for CallState {
    fn id(&mut self, _: Resource<CallbackHandle>) -> Result<String> {
        Ok(self.callback()?.id.to_string())
    }

    fn received_at(&mut self, _: Resource<CallbackHandle>) -> Result<u64> {
        Ok(self.callback()?.request.received_at.as_millis())
    }

    fn environment(&mut self, _: Resource<CallbackHandle>) -> Result<String> {
        Ok(self.callback()?.environment.to_string())
    }

    fn flow(&mut self, _: Resource<CallbackHandle>) -> Result<Option<String>> {
        Ok(self.callback()?.site.as_ref().map(|site| site.flow.to_string()))
    }

    fn trigger(&mut self, _: Resource<CallbackHandle>) -> Result<Option<String>> {
        Ok(self.callback()?.site.as_ref().map(|site| site.trigger.to_string()))
    }

    fn remote_address(&mut self, _: Resource<CallbackHandle>) -> Result<Option<String>> {
        Ok(self.callback()?.request.address())
    }

    fn method(&mut self, _: Resource<CallbackHandle>) -> Result<String> {
        Ok(self.callback()?.request.method.to_string())
    }

    fn url(&mut self, _: Resource<CallbackHandle>) -> Result<String> {
        Ok(self.callback()?.url())
    }

    fn path(&mut self, _: Resource<CallbackHandle>) -> Result<String> {
        Ok(self.callback()?.request.path.clone())
    }

    fn query(&mut self, _: Resource<CallbackHandle>, name: String) -> Result<Vec<String>> {
        let pairs = self.callback()?.request.query_pairs();
        Ok(pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.into_owned()).collect())
    }

    fn query_pairs(&mut self, _: Resource<CallbackHandle>) -> Result<Vec<(String, String)>> {
        let pairs = self.callback()?.request.query_pairs();
        Ok(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    fn header(&mut self, _: Resource<CallbackHandle>, name: String) -> Result<Option<String>> {
        Ok(self.callback()?.request.header(&name))
    }

    fn headers(&mut self, _: Resource<CallbackHandle>) -> Result<Vec<(String, String)>> {
        let headers = self.callback()?.request.headers.iter();
        Ok(headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect())
    }

    fn body_size(&mut self, _: Resource<CallbackHandle>) -> Result<u32> {
        Ok(u32::try_from(self.callback()?.request.content().len()).unwrap_or(u32::MAX))
    }

    fn body(&mut self, _: Resource<CallbackHandle>) -> Result<Vec<u8>> {
        Ok(self.callback()?.request.content().to_vec())
    }

    fn text(&mut self, _: Resource<CallbackHandle>) -> Result<std::result::Result<String, Failure>> {
        let body = self.callback()?.request.content().to_vec();
        Ok(String::from_utf8(body).map_err(|_| failure("not-text", "the body is not UTF-8")))
    }

    fn claims(&mut self, _: Resource<CallbackHandle>) -> Result<Option<String>> {
        Ok(self.callback()?.claims.as_ref().map(ToString::to_string))
    }

    fn data(&mut self, _: Resource<CallbackHandle>) -> Result<std::result::Result<String, Failure>> {
        Ok(self.parsed().map(ToString::to_string))
    }

    fn select(&mut self, _: Resource<CallbackHandle>, path: String) -> Result<std::result::Result<String, Failure>> {
        Ok(self.parsed().and_then(|data| select(&self.services.paths, data, &path)))
    }

    fn drop(&mut self, _: Resource<CallbackHandle>) -> Result<()> {
        Ok(())
    }
}

impl HostExecution for CallState {
    fn id(&mut self, _: Resource<ExecutionHandle>) -> Result<String> {
        Ok(self.execution()?.id.clone())
    }

    fn flow(&mut self, _: Resource<ExecutionHandle>) -> Result<String> {
        Ok(self.execution()?.flow.clone())
    }

    fn environment(&mut self, _: Resource<ExecutionHandle>) -> Result<String> {
        Ok(self.execution()?.environment.clone())
    }

    fn scope(&mut self, _: Resource<ExecutionHandle>) -> Result<String> {
        Ok(self.execution()?.scope.to_string())
    }

    fn select(&mut self, _: Resource<ExecutionHandle>, path: String) -> Result<std::result::Result<String, Failure>> {
        Ok(select(&self.services.paths, &self.execution()?.scope, &path))
    }

    fn drop(&mut self, _: Resource<ExecutionHandle>) -> Result<()> {
        Ok(())
    }
}
