//! Time and random values of this call.

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::ringback::plugin::call as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::call as host;

/// When this call began, in milliseconds since 1970-01-01T00:00:00Z. The same during the whole call.
pub fn now() -> u64 {
    host::now()
}

/// Random bytes, at most 4,096 at once; more traps.
pub fn random(length: u32) -> Vec<u8> {
    host::random(length)
}
