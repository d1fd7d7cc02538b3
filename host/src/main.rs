//! The binary: server and command line.

/// What callbacks allocate in one thread is freed in another: the system's allocator takes locks for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ringback::cli::main()
}
