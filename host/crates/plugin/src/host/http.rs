//! Requests of plugins to hosts that the operator has allowed.

use super::CallState;
use super::resources::failure;
use super::services::Requests;
use crate::bindings::imports::http::{Host, Request, Response};
use crate::bindings::imports::types::Failure;
use ringback_outbound::plugin::{OutboundError, OutboundRequest, OutboundResponse};
use wasmtime::Result;

impl Host for CallState {
    async fn send(&mut self, request: Request) -> Result<std::result::Result<Response, Failure>> {
        if self.dry_run {
            return Ok(Err(failure("dry-run", "this is a dry run: no request is sent")));
        }
        let Request { method, url, headers, body } = request;
        let outbound = match &self.services.requests {
            Requests::Sent(outbound) => outbound,
            Requests::Answered(answers) => return Ok(answers.answer(&url)),
        };
        let sent = outbound.send(OutboundRequest { method, url, headers, body }).await;
        Ok(sent.map(|OutboundResponse { status, headers, body }| Response { status, headers, body }).map_err(|error| {
            let retryable = matches!(error, OutboundError::Unreachable(_));
            Failure { retryable, ..failure(error.code(), error.to_string()) }
        }))
    }
}
