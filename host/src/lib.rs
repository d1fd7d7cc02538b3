//! ringback: a server for incoming callbacks and webhooks. Third parties call its URLs; components that users upload
//! verify, parse and judge the callbacks and build the answers; executions are durable.
//!
//! In the order of a callback: [`http`](mod@http) receives it, `face` finds its trigger, `pipeline` takes it through
//! `verify`, `parse`, `condition` and `execution`, `store` makes it durable, `runner` runs the rest of the flow.

mod auth;
mod callback;
mod condition;
mod doors;
mod environment;
mod execution;
mod expression;
mod face;
mod file;
mod flow;
mod flows;
mod instance;
mod json;
mod jwt;
mod name;
mod outcome;
mod outgoing;
mod parse;
mod path;
mod pipeline;
mod planted;
mod plugin;
#[cfg(test)]
mod random;
mod rate;
mod redact;
mod redirect;
mod removal;
mod reply;
mod request;
mod retention;
mod runner;
mod sample;
mod secret;
mod store;
mod suggest;
mod sync;
mod ticket;
mod time;
mod token;
mod user;
mod verify;
mod weight;

pub mod app;
#[doc(hidden)]
pub mod benchmark;
pub mod cli;
pub mod config;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod http;
