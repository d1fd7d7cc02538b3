//! What people deploy, and what they make at run time: in the store, and in memory as it is in force. Nothing else changes it.

mod changes;
pub mod doors;
pub mod environments;
pub mod flows;
pub mod plugins;
pub mod redirects;
pub mod removal;
pub mod secrets;
mod table;
pub mod tickets;
pub mod tokens;
pub mod unended;
pub mod users;
