//! Development commands: `cargo xtask help` lists them.

mod api;
mod authors;
mod bench;
mod checklist;
mod conformance;
mod console;
mod demo;
mod engine;
mod families;
mod fuzz;
mod http;
mod languages;
mod neighbours;
mod orders;
mod plugins;
mod process;
mod readme;
mod server;
mod store;
mod test;
mod tools;
mod wasm;
mod wit;

use std::process::ExitCode;

const HELP: &str = "\
Development commands of ringback

  cargo xtask demo [--no-wait]      build everything, start a server with the example, send it callbacks
  cargo xtask order-processing      the scenario of examples/order-processing, with a kill in the middle
  cargo xtask test                  everything that CI runs: format, lints, tests, documentation, the manual's commands
  cargo xtask chaos [--minutes N]   the proofs that nothing is lost: kills, faults at every write, power failures, histories
  cargo xtask hostile [--count N]   plugins that want to hurt: written by hand, generated, damaged
  cargo xtask fuzz [SECONDS [NAME]] everything that reads bytes from outside, on bytes that libFuzzer thinks of
  cargo xtask api [EXAMPLES]        the API against its own document, on requests that schemathesis thinks of
  cargo xtask console               the console in Chromium: a person's ways through it, axe, pictures in target/console/pictures/
  cargo xtask store                 the tests of the store, each in a process of its own
  cargo xtask signers               install the providers' own libraries, which sign what the tests verify
  cargo xtask helpers               build the binaries that tests start
  cargo xtask plugins               build the first-party plugins into target/plugins/
  cargo xtask authors [LANGUAGE]    new plugins of each language: made, tested, built, called, changed
  cargo xtask conformance [LANGUAGE]
                                    the tests of the SDKs, and the same plugin in each language, its cases run by a server
  cargo xtask build-plugin DIR      build the plugin crate in DIR, with a wasm32 toolchain fetched if need be
  cargo xtask engine                build the engine of scripts from its sources, and compare it with the one that is kept
  cargo xtask checklist             every row of the behaviour checklist, with its tests and their results
  cargo xtask bench [--seconds N]   run the benchmarks and write host/benches/RESULTS.md
  cargo xtask bench --languages DIR print what a condition costs in each language, with the programs of a directory
  cargo xtask bench --correlation   print how long it takes to find one of a million executions by its key
  cargo xtask neighbours [WORD]     the part of it that says what the users of one server notice of each other
  cargo xtask wit                   check the WIT package: it parses, and every item is documented
  cargo xtask readme [PAGE]         follow the pages of the manual, or one of them, and compare what is printed
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["demo"] => demo::run(true),
        ["demo", "--no-wait"] => demo::run(false),
        ["order-processing"] => orders::run(),
        ["test"] => test::run(),
        ["chaos"] => test::chaos(None),
        ["chaos", "--minutes", minutes] => test::chaos(Some(minutes)),
        ["hostile"] => test::hostile(None),
        ["hostile", "--count", count] => test::hostile(Some(count)),
        ["fuzz"] => fuzz::run(fuzz::SHARE_SECONDS, None, None),
        ["fuzz", seconds] => seconds.parse().map_err(Into::into).and_then(|seconds| fuzz::run(seconds, None, None)),
        ["fuzz", seconds, target] => {
            seconds.parse().map_err(Into::into).and_then(|seconds| fuzz::run(seconds, Some(target), None))
        }
        ["api"] => test::binary().and_then(|()| api::run(api::SHARE, None)),
        ["api", examples] => test::binary().and_then(|()| api::run(examples, None)),
        ["console"] => test::binary().and_then(|()| console::run(&tools::browser()?)),
        ["store"] => test::store().map(|said| print!("{said}")),
        ["signers"] => tools::signers().map(drop),
        ["helpers"] => test::helpers(),
        ["plugins"] => plugins::build_all().map(drop),
        ["authors"] => authors::run(None, &[]),
        ["authors", language] => authors::run(Some(language), &[]),
        ["conformance"] => conformance::run(None, &[]),
        ["conformance", language] => conformance::run(Some(language), &[]),
        ["build-plugin", directory] => plugins::build_one(directory.as_ref()).map(drop),
        ["engine"] => engine::check(),
        ["checklist"] => checklist::run(),
        ["bench"] => bench::run(10),
        ["bench", "--correlation"] => bench::correlation_alone(5),
        ["bench", "--languages", programs] => languages::run(programs.as_ref()),
        ["bench", "--seconds", seconds] => seconds.parse::<u64>().map_err(Into::into).and_then(bench::run),
        ["neighbours"] => neighbours::run(""),
        ["neighbours", only] => neighbours::run(only),
        ["wit"] => wit::check(),
        ["readme"] => readme::run_all(&[]),
        ["readme", page] => readme::run(&process::root().join(page)),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("unknown command `{}`\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
