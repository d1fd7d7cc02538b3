//! Behaviour over HTTP, with real plugins and a real store. What they start is built first: `cargo xtask plugins` and
//! `cargo xtask helpers`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod admin;
mod ahead;
mod authors;
mod backups;
mod boundaries;
mod bounds;
mod callbacks;
mod canary;
mod chaos;
mod command_line;
mod conformance;
mod connections;
mod console;
mod corpus;
mod deliveries;
mod disk;
mod environments;
mod examples;
mod faults;
mod flowrunner;
mod flows;
mod forgetting;
mod grexx;
mod hostile;
mod isolation;
mod jwt;
mod ledger;
mod limits;
mod linearizability;
mod lists;
mod load;
mod neighbours;
mod nocobase;
mod patchworks;
mod planted;
mod plugins;
mod process;
mod providers;
mod restart;
mod scripts;
mod signers;
mod support;
mod tails;
mod tickets;
mod toolchains;
mod upgrade;
mod uploads;
mod users;
mod values;
mod vectors;
mod versions;
mod waiting;
mod wit;
