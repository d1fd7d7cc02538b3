//! The binary: server and command line.

fn main() -> std::process::ExitCode {
    ringback::cli::main()
}
