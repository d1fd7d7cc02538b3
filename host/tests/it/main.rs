//! Behaviour over HTTP, with real plugins and a real store. Build the plugins first: `cargo xtask plugins`.

mod admin;
mod boundaries;
mod callbacks;
mod command_line;
mod examples;
mod flows;
mod limits;
mod restart;
mod support;
mod uploads;
