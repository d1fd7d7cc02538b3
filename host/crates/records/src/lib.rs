//! The words of ringback: what is received, what is kept, and what callers are told. They know no behaviour.

pub mod callback;
pub mod environment;
pub mod file;
pub mod flow;
pub mod journal;
pub mod json;
pub mod name;
pub mod outcome;
pub mod plugin;
pub mod query;
#[doc(hidden)]
pub mod random;
pub mod redirect;
pub mod reply;
pub mod secret;
pub mod stop;
pub mod summary;
pub mod sync;
pub mod ticket;
pub mod time;
pub mod token;
pub mod trace;
pub mod user;
pub mod weight;
