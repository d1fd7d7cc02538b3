//! What a plugin of the line before 1.0 may import, answered by what the newest has.

use super::{CallState, CallbackHandle, ExecutionHandle};
use crate::bindings::imports as newest;
use crate::bindings::v0_1::imports::{call, http, log, secrets, state, types};
use newest::secrets::{Encoded, KeyForm, Part};
use newest::types::{HostCallback as Callback, HostExecution as Execution};
use types::Failure;
use wasmtime::Result;
use wasmtime::component::Resource;

type Answer<T> = std::result::Result<T, Failure>;

impl From<newest::types::Failure> for Failure {
    fn from(failure: newest::types::Failure) -> Self {
        let newest::types::Failure { code, message, retryable, .. } = failure;
        Self { code, message, retryable }
    }
}

impl types::Host for CallState {}

impl types::HostCallback for CallState {
    fn id(&mut self, callback: Resource<CallbackHandle>) -> Result<String> {
        Callback::id(self, callback)
    }

    fn received_at(&mut self, callback: Resource<CallbackHandle>) -> Result<u64> {
        Callback::received_at(self, callback)
    }

    fn method(&mut self, callback: Resource<CallbackHandle>) -> Result<String> {
        Callback::method(self, callback)
    }

    fn url(&mut self, callback: Resource<CallbackHandle>) -> Result<String> {
        Callback::url(self, callback)
    }

    fn path(&mut self, callback: Resource<CallbackHandle>) -> Result<String> {
        Callback::path(self, callback)
    }

    fn query(&mut self, callback: Resource<CallbackHandle>, name: String) -> Result<Vec<String>> {
        Callback::query(self, callback, name)
    }

    fn query_pairs(&mut self, callback: Resource<CallbackHandle>) -> Result<Vec<(String, String)>> {
        Callback::query_pairs(self, callback)
    }

    fn header(&mut self, callback: Resource<CallbackHandle>, name: String) -> Result<Option<String>> {
        Callback::header(self, callback, name)
    }

    fn headers(&mut self, callback: Resource<CallbackHandle>) -> Result<Vec<(String, String)>> {
        Callback::headers(self, callback)
    }

    fn body_size(&mut self, callback: Resource<CallbackHandle>) -> Result<u64> {
        Callback::body_size(self, callback).map(u64::from)
    }

    fn body(&mut self, callback: Resource<CallbackHandle>) -> Result<Vec<u8>> {
        Callback::body(self, callback)
    }

    fn text(&mut self, callback: Resource<CallbackHandle>) -> Result<Answer<String>> {
        Ok(Callback::text(self, callback)?.map_err(Failure::from))
    }

    fn data(&mut self, callback: Resource<CallbackHandle>) -> Result<Answer<String>> {
        Ok(Callback::data(self, callback)?.map_err(Failure::from))
    }

    fn select(&mut self, callback: Resource<CallbackHandle>, path: String) -> Result<Answer<String>> {
        Ok(Callback::select(self, callback, path)?.map_err(Failure::from))
    }

    fn drop(&mut self, callback: Resource<CallbackHandle>) -> Result<()> {
        Callback::drop(self, callback)
    }
}

impl types::HostExecution for CallState {
    fn id(&mut self, execution: Resource<ExecutionHandle>) -> Result<String> {
        Execution::id(self, execution)
    }

    fn flow(&mut self, execution: Resource<ExecutionHandle>) -> Result<String> {
        Execution::flow(self, execution)
    }

    fn environment(&mut self, execution: Resource<ExecutionHandle>) -> Result<String> {
        Execution::environment(self, execution)
    }

    fn scope(&mut self, execution: Resource<ExecutionHandle>) -> Result<String> {
        Execution::scope(self, execution)
    }

    fn select(&mut self, execution: Resource<ExecutionHandle>, path: String) -> Result<Answer<String>> {
        Ok(Execution::select(self, execution, path)?.map_err(Failure::from))
    }

    fn drop(&mut self, execution: Resource<ExecutionHandle>) -> Result<()> {
        Execution::drop(self, execution)
    }
}

impl log::Host for CallState {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        let level = match level {
            log::Level::Debug => newest::log::Level::Debug,
            log::Level::Info => newest::log::Level::Info,
            log::Level::Warn => newest::log::Level::Warn,
            log::Level::Error => newest::log::Level::Error,
        };
        newest::log::Host::write(self, level, message)
    }
}

impl call::Host for CallState {
    fn now(&mut self) -> Result<u64> {
        newest::call::Host::now(self)
    }

    fn random(&mut self, length: u32) -> Result<Vec<u8>> {
        newest::call::Host::random(self, length)
    }
}

impl secrets::Host for CallState {
    fn verify_mac(
        &mut self,
        secret: String,
        algorithm: secrets::MacAlgorithm,
        message: Vec<u8>,
        mac: Vec<u8>,
    ) -> Result<Answer<bool>> {
        let (message, mac) = (vec![Part::Bytes(message)], Encoded::Bytes(mac));
        let verified = newest::secrets::Host::verify_mac(self, secret, KeyForm::Plain, algorithm.into(), message, mac)?;
        Ok(verified.map_err(Failure::from))
    }

    fn verify_mac_parts(
        &mut self,
        secret: String,
        algorithm: secrets::MacAlgorithm,
        message: Vec<secrets::Part>,
        mac: secrets::Mac,
    ) -> Result<Answer<bool>> {
        let part = |part| match part {
            secrets::Part::Bytes(bytes) => Part::Bytes(bytes),
            secrets::Part::Body => Part::Body,
        };
        let message = message.into_iter().map(part).collect();
        let mac = match mac {
            secrets::Mac::Bytes(bytes) => Encoded::Bytes(bytes),
            secrets::Mac::Hex(text) => Encoded::Hex(text),
            secrets::Mac::Base64(text) => Encoded::Base64(text),
        };
        let verified = newest::secrets::Host::verify_mac(self, secret, KeyForm::Plain, algorithm.into(), message, mac)?;
        Ok(verified.map_err(Failure::from))
    }

    fn verify_signature(
        &mut self,
        key: String,
        algorithm: secrets::SignatureAlgorithm,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<Answer<bool>> {
        use newest::secrets::SignatureAlgorithm as Newest;
        let algorithm = match algorithm {
            secrets::SignatureAlgorithm::Ed25519 => Newest::Ed25519,
            secrets::SignatureAlgorithm::EcdsaP256Sha256 => Newest::EcdsaP256Sha256,
            secrets::SignatureAlgorithm::RsaPkcs1Sha256 => Newest::RsaPkcs1Sha256,
        };
        let (message, signature) = (vec![Part::Bytes(message)], Encoded::Bytes(signature));
        let verified = newest::secrets::Host::verify_signature(self, key, algorithm, message, signature)?;
        Ok(verified.map_err(Failure::from))
    }

    fn equals(&mut self, secret: String, value: Vec<u8>) -> Result<Answer<bool>> {
        Ok(newest::secrets::Host::equals(self, secret, value)?.map_err(Failure::from))
    }
}

impl From<secrets::MacAlgorithm> for newest::secrets::MacAlgorithm {
    fn from(algorithm: secrets::MacAlgorithm) -> Self {
        match algorithm {
            secrets::MacAlgorithm::HmacSha1 => Self::HmacSha1,
            secrets::MacAlgorithm::HmacSha256 => Self::HmacSha256,
            secrets::MacAlgorithm::HmacSha512 => Self::HmacSha512,
        }
    }
}

impl state::Host for CallState {
    async fn get(&mut self, key: String) -> Result<Answer<Option<Vec<u8>>>> {
        Ok(newest::state::Host::get(self, key).await?.map_err(Failure::from))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<Answer<()>> {
        Ok(newest::state::Host::set(self, key, value).await?.map_err(Failure::from))
    }

    async fn remove(&mut self, key: String) -> Result<Answer<()>> {
        Ok(newest::state::Host::remove(self, key).await?.map_err(Failure::from))
    }
}

impl http::Host for CallState {
    async fn send(&mut self, request: http::Request) -> Result<Answer<http::Response>> {
        let http::Request { method, url, headers, body } = request;
        let sent = newest::http::Host::send(self, newest::http::Request { method, url, headers, body }).await?;
        let response = |newest::http::Response { status, headers, body }| http::Response { status, headers, body };
        Ok(sent.map(response).map_err(Failure::from))
    }
}
