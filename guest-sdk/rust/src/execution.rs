use crate::Failure;
use crate::callback::decode;
use serde_json::Value;

#[cfg(target_arch = "wasm32")]
type Host<'a> = &'a crate::bindings::imports::ringback::plugin::types::Execution;
#[cfg(not(target_arch = "wasm32"))]
type Host<'a> = std::borrow::Cow<'a, crate::testing::ExecutionStub>;

/// One run of a flow.
pub struct Execution<'a> {
    host: Host<'a>,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(host: Host<'a>) -> Self {
        Self { host }
    }
}

impl Execution<'_> {
    /// The execution's id.
    pub fn id(&self) -> String {
        self.host.id()
    }

    /// The name of the flow.
    pub fn flow(&self) -> String {
        self.host.flow()
    }

    /// The name of the environment.
    pub fn environment(&self) -> String {
        self.host.environment()
    }

    /// Everything that expressions of the flow can see: an object with `data`, `fields`, `triggers`, and the results
    /// of earlier steps by name.
    ///
    /// # Errors
    ///
    /// `invalid-json`, which would be a fault of the host.
    pub fn scope(&self) -> Result<Value, Failure> {
        decode(&self.host.scope())
    }

    /// The values that a JSONPath (RFC 9535) selects in the scope, in document order.
    ///
    /// # Errors
    ///
    /// `invalid-path` when the path is wrong.
    pub fn select(&self, path: &str) -> Result<Vec<Value>, Failure> {
        decode(&self.host.select(path)?)
    }
}
