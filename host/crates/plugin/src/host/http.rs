//! Requests of plugins to hosts that the operator has allowed.

use super::CallState;
use crate::bindings::imports::http::{Host, Request, Response};
use crate::bindings::imports::types::Failure;
use ringback_outbound::plugin::{OutboundError, OutboundRequest, OutboundResponse};
use wasmtime::Result;

impl Host for CallState {
    async fn send(&mut self, request: Request) -> Result<std::result::Result<Response, Failure>> {
        if self.dry_run {
            let message = "this is a dry run: no request is sent".to_owned();
            return Ok(Err(Failure { code: "dry-run".to_owned(), message, retryable: false }));
        }
        let Request { method, url, headers, body } = request;
        let sent = self.services.outbound.send(OutboundRequest { method, url, headers, body }).await;
        Ok(sent.map(|OutboundResponse { status, headers, body }| Response { status, headers, body }).map_err(|error| {
            Failure {
                code: error.code().to_owned(),
                message: error.to_string(),
                retryable: matches!(error, OutboundError::Unreachable(_)),
            }
        }))
    }
}
