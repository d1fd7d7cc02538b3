//! Write ringback plugins as plain Rust functions.
//!
//! A plugin plays one or more roles. For each role, write one function, and name them all in one [`plugin!`]:
//!
//! | role | function |
//! | --- | --- |
//! | `verifier`: proves who called | `fn(&Callback, Config) -> Result<Verdict, Failure>` |
//! | `parser`: turns the body into data | `fn(&Callback, Config) -> Result<Value, Failure>` |
//! | `condition`: decides whether a callback counts | `fn(&Callback, Option<&Execution>, Config) -> Result<bool, Failure>`, or a [`Decision`] with its reason |
//! | `step`: does one piece of work in a flow | `fn(&Execution, Config) -> Result<Value, Failure>` |
//! | `responder`: builds the answer | `fn(&Callback, Option<&Execution>, Config) -> Result<Reply, Failure>` |
//!
//! `Config` is any type that implements [`serde::Deserialize`]: it is read from the flow's `with:`, and checked when
//! the flow is deployed. Validate values in its `Deserialize` (for example with `#[serde(try_from = "…")]`) and a
//! mistake is reported with its line and column before any callback arrives.
//!
//! ```
//! use ringback_guest::{Callback, Decision, Execution, Failure, plugin};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     minimum: f64,
//! }
//!
//! fn large_orders(callback: &Callback, _: Option<&Execution>, config: Config) -> Result<Decision, Failure> {
//!     let totals = callback.select("$.order.total")?;
//!     Ok(match totals.first().and_then(|value| value.as_f64()) {
//!         Some(total) => (total >= config.minimum).into(),
//!         None => Decision::no("the order has no total"),
//!     })
//! }
//!
//! plugin! { condition: large_orders }
//!
//! // The function is tested without a host:
//! let callback = ringback_guest::testing::callback().body(r#"{"order": {"total": 120}}"#).build();
//! assert!(large_orders(&callback, None, Config { minimum: 100.0 }).unwrap().holds);
//! ```
//!
//! A `schema:` in [`plugin!`] lets editors complete `with:`, and the host check it without calling the plugin; `vectors:` are
//! cases that are run when the plugin is uploaded.
//!
//! Build a crate of type `cdylib` with `cargo build --release --target wasm32-unknown-unknown` (or `wasm32-wasip2`),
//! and upload the `.wasm` file with `ringback plugin push NAME FILE`.
//!
//! A plugin has no files, sockets, environment or clock of its own. What it may ask of the host is in [`log`],
//! [`call`], [`secrets`], [`state`] and [`http`].

#![warn(missing_docs)]
#![cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::needless_question_mark, reason = "on wasm32, `?` converts the generated failure into ours")
)]

#[cfg(target_arch = "wasm32")]
mod allocator;
mod callback;
mod execution;
mod failure;
mod role;

pub mod call;
pub mod http;
pub mod log;
pub mod secrets;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use callback::Callback;
pub use execution::Execution;
pub use failure::Failure;
pub use role::{Decision, Proof, Reply, Schemas, Verdict};
pub use serde_json::{Value, json};

/// What the macros need; not part of the interface for authors.
#[doc(hidden)]
pub mod internal {
    #[cfg(target_arch = "wasm32")]
    pub use crate::bindings;
    pub use crate::role::functions;
    #[cfg(target_arch = "wasm32")]
    pub use crate::role::guest::*;
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
