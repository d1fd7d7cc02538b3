//! Requests to hosts that the operator has allowed for plugins. None are allowed by default.

use crate::Failure;

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::ringback::plugin::http as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::http as host;

pub use host::{Request, Response};

/// Sends a request and waits for the whole response. Redirects are not followed.
///
/// # Errors
///
/// `host-not-allowed`, `invalid-request`, `too-large`, or, retryable, `unreachable`. Natively the answer comes from
/// the function given to [`testing::on_http`](crate::testing::on_http).
pub fn send(request: &Request) -> Result<Response, Failure> {
    Ok(host::send(request)?)
}
