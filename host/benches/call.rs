//! Instance, call and teardown of a condition, one after another in one thread: microseconds each.
//!
//! `call PLUGIN.wasm CONFIG CALLS`

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plugin, config, calls] = arguments.as_slice() else {
        return Err("usage: call PLUGIN.wasm CONFIG CALLS".into());
    };
    // The compiling child is this program, started again.
    let (bytes, calls) = (std::fs::read(plugin)?, calls.parse()?);
    let compiler = std::env::current_exe()?.with_file_name("../ringback");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let micros = runtime.block_on(ringback::benchmark::condition_calls(bytes.into(), config, calls, &compiler))?;
    println!("{micros:.2}");
    Ok(())
}
