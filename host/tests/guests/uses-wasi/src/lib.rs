//! A plugin for the host's tests that asks WASI for what it must not get, and says what it found.

use ringback_guest::{Callback, Execution, Failure, log, plugin};

#[cfg(target_arch = "wasm32")]
mod wasi {
    wit_bindgen::generate!({
        inline: r"
            package test:wasi;

            world imports {
                import wasi:cli/environment@0.2.0;
                import wasi:cli/stderr@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.0;
                import wasi:clocks/wall-clock@0.2.0;
                import wasi:filesystem/preopens@0.2.0;
                import wasi:random/random@0.2.0;
            }

            package wasi:cli@0.2.0 {
                interface environment {
                    get-environment: func() -> list<tuple<string, string>>;
                    get-arguments: func() -> list<string>;
                }
                interface stderr {
                    use wasi:io/streams@0.2.0.{output-stream};
                    get-stderr: func() -> output-stream;
                }
            }

            package wasi:io@0.2.0 {
                interface error {
                    resource error;
                }
                interface streams {
                    use error.{error};
                    variant stream-error { last-operation-failed(error), closed }
                    resource output-stream {
                        blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                    }
                }
            }

            package wasi:clocks@0.2.0 {
                interface monotonic-clock {
                    now: func() -> u64;
                }
                interface wall-clock {
                    record datetime { seconds: u64, nanoseconds: u32 }
                    now: func() -> datetime;
                }
            }

            package wasi:filesystem@0.2.0 {
                interface types {
                    resource descriptor;
                }
                interface preopens {
                    use types.{descriptor};
                    get-directories: func() -> list<tuple<descriptor, string>>;
                }
            }

            package wasi:random@0.2.0 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                }
            }
        ",
        generate_all,
    });
}

/// True when WASI grants nothing but the call's time and random values.
///
/// # Errors
///
/// None.
#[cfg(target_arch = "wasm32")]
pub fn grants_nothing(_: &Callback, _: Option<&Execution>, _: ()) -> Result<bool, Failure> {
    use wasi::wasi::{cli, clocks, filesystem, random};
    let written = cli::stderr::get_stderr().blocking_write_and_flush(b"Traceback: as a guest writes it\n");
    let time = clocks::wall_clock::now();
    let since = clocks::monotonic_clock::now();
    let (one, two) = (random::random::get_random_bytes(16), random::random::get_random_bytes(16));
    let found = [
        ("environment", cli::environment::get_environment().is_empty()),
        ("arguments", cli::environment::get_arguments().is_empty()),
        ("directories", filesystem::preopens::get_directories().is_empty()),
        ("time", time.seconds == ringback_guest::call::now() / 1000),
        ("no finer time", since == ringback_guest::call::now() * 1_000_000 && since > 0),
        ("stopped time", since == clocks::monotonic_clock::now()),
        ("random", one != two),
        ("written", written.is_ok()),
    ];
    for (what, fine) in found {
        log::info(&format!("{what}: {fine}"));
    }
    Ok(found.iter().all(|(_, fine)| *fine))
}

/// There is no WASI here.
///
/// # Errors
///
/// None.
#[cfg(not(target_arch = "wasm32"))]
pub fn grants_nothing(_: &Callback, _: Option<&Execution>, _: ()) -> Result<bool, Failure> {
    log::info("there is no WASI here");
    Ok(false)
}

plugin! { condition: grants_nothing }
