//! What stands in for the host when a plugin's function is tested natively.
//!
//! Secrets, state and log lines belong to the test's thread.

use crate::{Callback, Execution, Failure};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

type HttpHandler = Box<dyn Fn(&http::Request) -> Result<http::Response, Failure>>;

#[derive(Default)]
struct Host {
    secrets: BTreeMap<String, Vec<u8>>,
    state: BTreeMap<String, Vec<u8>>,
    log: Vec<String>,
    http: Option<HttpHandler>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Stores a secret for this thread's tests.
pub fn set_secret(name: &str, value: impl AsRef<[u8]>) {
    HOST.with_borrow_mut(|host| host.secrets.insert(name.to_owned(), value.as_ref().to_vec()));
}

/// Answers this thread's [`http::send`](crate::http::send) calls.
pub fn on_http(handler: impl Fn(&http::Request) -> Result<http::Response, Failure> + 'static) {
    HOST.with_borrow_mut(|host| host.http = Some(Box::new(handler)));
}

/// Takes the lines that this thread's calls have logged, as `level: message`.
pub fn take_log() -> Vec<String> {
    HOST.with_borrow_mut(|host| std::mem::take(&mut host.log))
}

/// Reads a configuration as the host would: from the JSON of the flow's `with:`.
///
/// # Errors
///
/// `invalid-config`, with the message that a flow's author sees when the flow is deployed.
pub fn config<C: serde::de::DeserializeOwned>(with: Value) -> Result<C, Failure> {
    crate::role::decode_config(&with.to_string())
}

/// Starts a callback: a `POST` to `https://example.test/h/key` without headers and with an empty body.
pub fn callback() -> CallbackBuilder {
    CallbackBuilder(CallbackStub {
        method: "POST".into(),
        base: "https://example.test".into(),
        path: "/h/key".into(),
        query: String::new(),
        headers: Vec::new(),
        body: Vec::new(),
        data: None,
        environment: "default".into(),
        site: Some(("test".into(), "hook".into())),
        remote_address: None,
        claims: None,
    })
}

/// An execution whose scope is `scope`, an object.
pub fn execution(scope: Value) -> Execution<'static> {
    Execution::new(Cow::Owned(ExecutionStub { scope }))
}

/// A callback under construction.
pub struct CallbackBuilder(CallbackStub);

impl CallbackBuilder {
    /// Sets the method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.0.method = method.to_owned();
        self
    }

    /// Sets scheme, host, path and query from an absolute URL.
    #[must_use]
    pub fn url(mut self, url: &str) -> Self {
        let authority = url.find("://").map_or(0, |index| index + 3);
        let path = url[authority..].find('/').map_or(url.len(), |index| authority + index);
        let (path_only, query) = url[path..].split_once('?').unwrap_or((&url[path..], ""));
        self.0.base = url[..path].to_owned();
        self.0.path = path_only.to_owned();
        self.0.query = query.to_owned();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Sets the body. When it is JSON, the data is what it says.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.0.body = body.as_ref().to_vec();
        self.0.data = serde_json::from_slice(&self.0.body).ok();
        self
    }

    /// Sets the parsed data, where it is not the body read as JSON.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// Sets the environment, else `default`.
    #[must_use]
    pub fn environment(mut self, environment: &str) -> Self {
        self.0.environment = environment.to_owned();
        self
    }

    /// Sets the flow and the trigger, else `test` and `hook`.
    #[must_use]
    pub fn site(mut self, flow: &str, trigger: &str) -> Self {
        self.0.site = Some((flow.to_owned(), trigger.to_owned()));
        self
    }

    /// Sets the address that it came from, else unknown.
    #[must_use]
    pub fn remote_address(mut self, address: &str) -> Self {
        self.0.remote_address = Some(address.to_owned());
        self
    }

    /// Sets what a verifier learned of it.
    #[must_use]
    pub fn claims(mut self, claims: Value) -> Self {
        self.0.claims = Some(claims);
        self
    }

    /// Finishes the callback.
    #[must_use]
    pub fn build(self) -> Callback<'static> {
        Callback::new(Cow::Owned(self.0))
    }
}

#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct CallbackStub {
    method: String,
    base: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    data: Option<Value>,
    environment: String,
    site: Option<(String, String)>,
    remote_address: Option<String>,
    claims: Option<Value>,
}

impl CallbackStub {
    pub(crate) fn environment(&self) -> String {
        self.environment.clone()
    }

    pub(crate) fn flow(&self) -> Option<String> {
        self.site.as_ref().map(|(flow, _)| flow.clone())
    }

    pub(crate) fn trigger(&self) -> Option<String> {
        self.site.as_ref().map(|(_, trigger)| trigger.clone())
    }

    pub(crate) fn remote_address(&self) -> Option<String> {
        self.remote_address.clone()
    }

    pub(crate) fn claims(&self) -> Option<String> {
        self.claims.as_ref().map(ToString::to_string)
    }

    pub(crate) fn id(&self) -> String {
        "0190d6f0-0000-7000-8000-000000000001".into()
    }

    pub(crate) fn received_at(&self) -> u64 {
        call::now()
    }

    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn url(&self) -> String {
        let separator = if self.query.is_empty() { "" } else { "?" };
        format!("{}{}{separator}{}", self.base, self.path, self.query)
    }

    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    pub(crate) fn query(&self, name: &str) -> Vec<String> {
        self.query_pairs().into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
    }

    pub(crate) fn query_pairs(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        self.headers.clone()
    }

    pub(crate) fn body_size(&self) -> u32 {
        self.body.len() as u32
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    pub(crate) fn text(&self) -> Result<String, Failure> {
        String::from_utf8(self.body.clone()).map_err(|_| Failure::new("not-text", "the body is not UTF-8"))
    }

    pub(crate) fn data(&self) -> Result<String, Failure> {
        Ok(self.parsed()?.to_string())
    }

    pub(crate) fn select(&self, path: &str) -> Result<String, Failure> {
        select(self.parsed()?, path)
    }

    fn parsed(&self) -> Result<&Value, Failure> {
        self.data.as_ref().ok_or_else(|| Failure::new("not-parsed", "the body has not been parsed yet"))
    }
}

#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct ExecutionStub {
    scope: Value,
}

impl ExecutionStub {
    pub(crate) fn id(&self) -> String {
        "0190d6f0-0000-7000-8000-000000000002".into()
    }

    pub(crate) fn flow(&self) -> String {
        "test".into()
    }

    pub(crate) fn environment(&self) -> String {
        "default".into()
    }

    pub(crate) fn scope(&self) -> String {
        self.scope.to_string()
    }

    pub(crate) fn select(&self, path: &str) -> Result<String, Failure> {
        select(&self.scope, path)
    }
}

fn select(data: &Value, path: &str) -> Result<String, Failure> {
    use jsonpath_rust::JsonPath;
    let found = data.query(path).map_err(|error| Failure::new("invalid-path", error.to_string()))?;
    Ok(Value::from_iter(found.into_iter().cloned()).to_string())
}

pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

pub(crate) fn write(level: Level, message: &str) {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    HOST.with_borrow_mut(|host| host.log.push(format!("{level}: {message}")));
}

pub(crate) mod call {
    pub(crate) fn now() -> u64 {
        1_767_225_600_000
    }

    pub(crate) fn random(length: u32) -> Vec<u8> {
        (0..length).map(|index| (index.wrapping_mul(167) >> 3) as u8).collect()
    }
}

pub(crate) mod secrets {
    use super::HOST;
    use crate::Failure;
    use crate::secrets::{Encoded, Key, Part};
    use hmac::{Hmac, KeyInit, Mac};

    /// Keyed hashes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum MacAlgorithm {
        /// HMAC with SHA-1, 20 bytes.
        HmacSha1,
        /// HMAC with SHA-256, 32 bytes.
        HmacSha256,
        /// HMAC with SHA-384, 48 bytes.
        HmacSha384,
        /// HMAC with SHA-512, 64 bytes.
        HmacSha512,
    }

    /// Signatures with a public key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum SignatureAlgorithm {
        /// Ed25519, 64 bytes.
        Ed25519,
        /// ECDSA on P-256 with SHA-256: ASN.1 DER, or the two numbers one after the other.
        EcdsaP256Sha256,
        /// ECDSA on P-384 with SHA-384, in the same two forms.
        EcdsaP384Sha384,
        /// RSASSA-PKCS1-v1_5 with SHA-1, for senders that have nothing better.
        RsaPkcs1Sha1,
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        RsaPkcs1Sha256,
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RsaPkcs1Sha512,
        /// RSASSA-PSS with SHA-256.
        RsaPssSha256,
    }

    pub(crate) fn verify_mac(
        key: Key<'_>,
        algorithm: MacAlgorithm,
        message: &[Part<'_>],
        mac: Encoded<'_>,
    ) -> Result<bool, Failure> {
        fn check<M: Mac + KeyInit>(key: &[u8], message: &[u8], mac: &[u8]) -> bool {
            <M as KeyInit>::new_from_slice(key).is_ok_and(|state| state.chain_update(message).verify_slice(mac).is_ok())
        }
        let (Key::Plain(name) | Key::Hex(name) | Key::Base64(name)) = key;
        let value = find(name)?;
        let text = || String::from_utf8_lossy(&value).trim().to_owned();
        let key = match key {
            Key::Plain(_) => Some(value.clone()),
            Key::Hex(_) => of_hex(&text()),
            Key::Base64(_) => of_base64(&text()),
        };
        let key = key.ok_or_else(|| Failure::new("invalid-key", format!("the secret {name} says no key")))?;
        let bytes = |part: &Part<'_>| match part {
            Part::Bytes(bytes) => bytes.to_vec(),
            Part::Text(text) => text.as_bytes().to_vec(),
            Part::Body(callback) => callback.body(),
        };
        let message = message.iter().map(bytes).collect::<Vec<_>>().concat();
        let mac = match mac {
            Encoded::Bytes(bytes) => Some(bytes.to_vec()),
            Encoded::Hex(text) => of_hex(text),
            Encoded::Base64(text) => of_base64(text),
        };
        let Some(mac) = mac else { return Ok(false) };
        Ok(match algorithm {
            MacAlgorithm::HmacSha1 => check::<Hmac<sha1::Sha1>>(&key, &message, &mac),
            MacAlgorithm::HmacSha256 => check::<Hmac<sha2::Sha256>>(&key, &message, &mac),
            MacAlgorithm::HmacSha384 => check::<Hmac<sha2::Sha384>>(&key, &message, &mac),
            MacAlgorithm::HmacSha512 => check::<Hmac<sha2::Sha512>>(&key, &message, &mac),
        })
    }

    fn of_hex(text: &str) -> Option<Vec<u8>> {
        decode(text, 4, |byte| char::from(byte).to_digit(16)).filter(|_| text.len().is_multiple_of(2))
    }

    fn of_base64(text: &str) -> Option<Vec<u8>> {
        decode(text.trim_end_matches('='), 6, base64_digit)
    }

    fn base64_digit(byte: u8) -> Option<u32> {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        Some(u32::from(digit))
    }

    /// The bytes that digits of so many bits make; what is left over of the last digit is not looked at.
    fn decode(text: &str, bits: u32, digit: fn(u8) -> Option<u32>) -> Option<Vec<u8>> {
        let (mut bytes, mut held, mut have) = (Vec::new(), 0, 0);
        for byte in text.bytes() {
            held = (held << bits | digit(byte)?) & 0xffff;
            have += bits;
            if have >= 8 {
                have -= 8;
                bytes.push((held >> have) as u8);
            }
        }
        Some(bytes)
    }

    pub(crate) fn verify_signature(
        key: &str,
        _: SignatureAlgorithm,
        _: &[Part<'_>],
        _: Encoded<'_>,
    ) -> Result<bool, Failure> {
        find(key)?;
        Err(Failure::new("not-available", "public-key signatures are only checked by the host"))
    }

    pub(crate) fn equals(secret: &str, value: &[u8]) -> Result<bool, Failure> {
        Ok(find(secret)? == value)
    }

    fn find(name: &str) -> Result<Vec<u8>, Failure> {
        HOST.with_borrow(|host| host.secrets.get(name).cloned())
            .ok_or_else(|| Failure::new("unknown-secret", format!("there is no secret named {name}")))
    }
}

pub(crate) mod state {
    use super::HOST;
    use crate::Failure;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
        check(key, 0)?;
        Ok(HOST.with_borrow(|host| host.state.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Failure> {
        check(key, value.len())?;
        HOST.with_borrow_mut(|host| {
            if host.state.len() >= 10_000 && !host.state.contains_key(key) {
                return Err(Failure::new("too-many-keys", "a plugin has at most 10,000 keys"));
            }
            host.state.insert(key.to_owned(), value.to_vec());
            Ok(())
        })
    }

    pub(crate) fn remove(key: &str) -> Result<(), Failure> {
        check(key, 0)?;
        HOST.with_borrow_mut(|host| host.state.remove(key));
        Ok(())
    }

    fn check(key: &str, value_size: usize) -> Result<(), Failure> {
        if key.is_empty() || key.len() > 256 || value_size > 64 * 1024 {
            return Err(Failure::new("too-large", "a key has 1 to 256 bytes, a value at most 64 KiB"));
        }
        Ok(())
    }
}

pub(crate) mod http {
    use super::HOST;
    use crate::Failure;

    /// An HTTP request.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Request {
        /// `GET`, `POST`, ….
        pub method: String,
        /// An absolute URL whose host the operator has allowed.
        pub url: String,
        /// Names and values.
        pub headers: Vec<(String, String)>,
        /// The body, if any.
        pub body: Option<Vec<u8>>,
    }

    /// An HTTP response.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Response {
        /// The status code.
        pub status: u16,
        /// Lower-case names and values, in order.
        pub headers: Vec<(String, String)>,
        /// The body, at most 1 MiB.
        pub body: Vec<u8>,
    }

    pub(crate) fn send(request: &Request) -> Result<Response, Failure> {
        HOST.with_borrow(|host| match &host.http {
            Some(handler) => handler(request),
            None => Err(Failure::new("host-not-allowed", "this test answers no requests; see testing::on_http")),
        })
    }
}
