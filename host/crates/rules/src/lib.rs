//! The rules of ringback: what a flow says, who is believed, what counts, what is answered, and what an execution does next. They
//! wait for nothing, store nothing and call nothing.

pub mod auth;
mod cloud_event;
pub mod condition;
pub mod content;
pub mod correlation;
pub mod execution;
pub mod expression;
pub mod face;
pub mod fit;
pub mod flow;
pub mod jwt;
pub mod network;
pub mod parse;
pub mod path;
mod percent;
mod place;
pub mod plugin_call;
pub mod rate_limit;
pub mod redact;
pub mod redirect;
pub mod reply;
pub mod sample;
pub mod schema;
pub mod script;
pub mod suggest;
pub mod ticket_request;
pub mod ticket_response;
pub mod vault;
pub mod verify;
