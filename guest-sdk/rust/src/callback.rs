use crate::Failure;
use serde_json::Value;

#[cfg(target_arch = "wasm32")]
type Host<'a> = &'a crate::bindings::imports::ringback::plugin::types::Callback;
#[cfg(not(target_arch = "wasm32"))]
type Host<'a> = std::borrow::Cow<'a, crate::testing::CallbackStub>;

/// One received HTTP request. Its parts are copied into the plugin only when asked for, so a condition that reads
/// one field of a large body should [`select`](Self::select) it.
pub struct Callback<'a> {
    host: Host<'a>,
}

impl<'a> Callback<'a> {
    pub(crate) fn new(host: Host<'a>) -> Self {
        Self { host }
    }
}

impl Callback<'_> {
    /// The callback's id, a UUID.
    pub fn id(&self) -> String {
        self.host.id()
    }

    /// When the last byte was received, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn received_at(&self) -> u64 {
        self.host.received_at()
    }

    /// The name of the environment that it came into.
    pub fn environment(&self) -> String {
        self.host.environment()
    }

    /// The name of the flow that it came for; `None` for a ticket without one.
    pub fn flow(&self) -> Option<String> {
        self.host.flow()
    }

    /// The id of the trigger that it came for; `None` for a ticket without a flow.
    pub fn trigger(&self) -> Option<String> {
        self.host.trigger()
    }

    /// The IP address that the request came from, of a proxy where there is one in between; `None` when it is not known any
    /// more.
    pub fn remote_address(&self) -> Option<String> {
        self.host.remote_address()
    }

    /// The HTTP method in upper case.
    pub fn method(&self) -> String {
        self.host.method()
    }

    /// The absolute URL as the caller used it, with its query.
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// The path, percent-encoded as received.
    pub fn path(&self) -> String {
        self.host.path()
    }

    /// The decoded values of one query parameter, in order; empty when it is absent.
    pub fn query(&self, name: &str) -> Vec<String> {
        self.host.query(name)
    }

    /// All query parameters, decoded, in order.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        self.host.query_pairs()
    }

    /// The value of one header, by its case-insensitive name. Repeated headers are joined by `, `.
    pub fn header(&self, name: &str) -> Option<String> {
        self.host.header(name)
    }

    /// All headers with lower-case names, in order.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.host.headers()
    }

    /// The size of the body in bytes.
    pub fn body_size(&self) -> usize {
        self.host.body_size() as usize
    }

    /// The raw body.
    pub fn body(&self) -> Vec<u8> {
        self.host.body()
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// `not-text` when the body is not UTF-8.
    pub fn text(&self) -> Result<String, Failure> {
        Ok(self.host.text()?)
    }

    /// What the verifier learned of it; `None` when it says nothing, or is not done yet.
    pub fn claims(&self) -> Option<Value> {
        decode(&self.host.claims()?).ok()
    }

    /// The parsed data.
    ///
    /// # Errors
    ///
    /// `not-parsed` in a verifier or parser, which run before the body is parsed.
    pub fn data(&self) -> Result<Value, Failure> {
        decode(&self.host.data()?)
    }

    /// The values that a JSONPath (RFC 9535) selects in the data, in document order.
    ///
    /// # Errors
    ///
    /// `invalid-path` when the path is wrong, `not-parsed` as for [`data`](Self::data).
    pub fn select(&self, path: &str) -> Result<Vec<Value>, Failure> {
        decode(&self.host.select(path)?)
    }
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // The host has seen to the depth: data of 128 levels, and the scope a few levels more around it.
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| Failure::new("invalid-json", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::decode;
    use serde_json::Value;

    #[test]
    fn what_the_host_takes_is_read_whole() {
        let deep = |levels: usize| "[".repeat(levels) + "1" + &"]".repeat(levels);
        assert!(decode::<Value>(&deep(140)).is_ok());
        for wrong in ["", "[1", "1 2"] {
            assert!(decode::<Value>(wrong).is_err(), "{wrong}");
        }
    }
}
