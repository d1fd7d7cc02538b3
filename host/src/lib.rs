//! ringback: a server for incoming callbacks and webhooks. Third parties call its URLs; components that users upload
//! verify, parse and judge the callbacks and build the answers; executions are durable.
//!
//! In the order of a callback: [`http`](mod@http) receives it, `face` finds its trigger, `pipeline` takes it through
//! `verify`, `parse`, `condition` and `execution`, `store` makes it durable, `runner` runs the rest of the flow.

mod catalogue;
mod condition;
mod instance;
mod pipeline;
mod retention;
mod retry;
mod rounds;
mod runner;
mod weight;

pub mod app;
#[doc(hidden)]
pub mod benchmark;
pub mod cli;
pub mod config;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod http;
pub mod server;
