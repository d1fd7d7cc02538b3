//! Compiling in a child process: what an upload can do to a compiler, it does to the child alone.
//!
//! The child limits its own memory and CPU time before it reads the file. It answers one byte and then: `E` and the
//! error as JSON, or `C`, the length of the component (8 bytes, big-endian), the component, and the compiled code.

use super::component::componentize;
use super::engine;
use super::error::{UploadError, one_line};
use super::limits::{CallLimits, UploadLimits};
use super::scan::{Form, scan};
use bytes::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// A component and its compiled code.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) component: Bytes,
    pub(super) artifact: Bytes,
}

/// What a child is given to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// What somebody uploaded, or the server made of that.
    Plugin { large: bool },
    /// The core module that comes with the server.
    Engine,
}

impl Job {
    fn limits(self, limits: &CallLimits) -> UploadLimits {
        UploadLimits::of(self == Self::Plugin { large: true }, limits)
    }
}

/// Scans and compiles a file in a child process, which gives way to others as the thread does that this runs on.
pub(super) async fn compile(
    program: PathBuf,
    bytes: Bytes,
    job: Job,
    limits: CallLimits,
) -> Result<Compiled, UploadError> {
    let limits = &job.limits(&limits);
    let host = |what: &str, error: std::io::Error| UploadError::Host(format!("{what}: {error}"));
    let mut command = Command::new(program);
    command.arg("compile-plugin").env_clear();
    // The allocator reserves a gigabyte of addresses at once, which the limit on the child's memory counts.
    command.env("MIMALLOC_ARENA_RESERVE", "32MiB");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(["--memory-bytes", &limits.memory_bytes_max.to_string()]);
    match job {
        Job::Plugin { large: false } => {}
        Job::Plugin { large: true } => drop(command.arg("--large")),
        Job::Engine => drop(command.arg("--engine")),
    }
    let mut child = command.kill_on_drop(true).spawn().map_err(|error| host("the compiler did not start", error))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let send = async {
            if let Some(mut stdin) = stdin {
                // A child that refuses early closes its end: its answer says why.
                let _ = stdin.write_all(&bytes).await;
            }
        };
        let mut complaint = Vec::new();
        let receive = async {
            match stdout {
                Some(stdout) => receive(stdout, limits.answer_bytes_max).await,
                None => Some(Vec::new()),
            }
        };
        let listen = async {
            if let Some(stderr) = stderr {
                let _ = stderr.take(4096).read_to_end(&mut complaint).await;
            }
        };
        let ((), answer, ()) = tokio::join!(send, receive, listen);
        // With what it has still to say, it would wait for ever.
        if answer.is_none() {
            let _ = child.start_kill();
        }
        (child.wait().await, answer, complaint)
    };
    let Ok((status, answer, complaint)) = tokio::time::timeout(limits.compile_wall_max, work).await else {
        return Err(UploadError::CompileLimit(format!("longer than {} s", limits.compile_wall_max.as_secs())));
    };
    let status = status.map_err(|error| host("the compiler was lost", error))?;
    let Some(answer) = answer else {
        let mebibytes = limits.answer_bytes_max >> 20;
        return Err(UploadError::TooComplex(format!("its compiled code has more than {mebibytes} MiB")));
    };
    match answer.split_first() {
        Some((b'E', error)) => Err(serde_json::from_slice(error)
            .unwrap_or_else(|error| UploadError::Host(format!("the compiler's answer is garbled: {error}")))),
        Some((b'C', _)) if status.success() => {
            split(answer.into()).ok_or_else(|| UploadError::Host("the compiler's answer is garbled".to_owned()))
        }
        _ => Err(died(status, &complaint, limits)),
    }
}

/// What the child answers; `None` when it is more than an answer may be.
async fn receive(stdout: impl AsyncRead + Unpin, bytes_max: u64) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    // A pipe that breaks ends the answer: what is missing is seen then.
    let _ = stdout.take(bytes_max + 1).read_to_end(&mut answer).await;
    (answer.len() as u64 <= bytes_max).then_some(answer)
}

/// Takes an answer apart that begins with `C`.
fn split(answer: Bytes) -> Option<Compiled> {
    let (length, _) = answer.get(1..)?.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let mut component = answer.slice(9..);
    let artifact = (length <= component.len()).then(|| component.split_off(length))?;
    Some(Compiled { component, artifact })
}

/// What the end of a child without an answer means.
fn died(status: std::process::ExitStatus, complaint: &[u8], limits: &UploadLimits) -> UploadError {
    use std::os::unix::process::ExitStatusExt;
    const PANICKED: i32 = 101;
    const SIGKILL: i32 = 9;
    const SIGABRT: i32 = 6;
    const SIGSEGV: i32 = 11;
    const SIGXCPU: i32 = 24;
    let complaint = String::from_utf8_lossy(complaint);
    let memory = format!("more than {} MiB of memory", limits.compile_memory_bytes_max >> 20);
    match status.signal() {
        Some(SIGXCPU | SIGKILL) => {
            UploadError::CompileLimit(format!("more than {} s of CPU time", limits.compile_cpu_max.as_secs()))
        }
        Some(SIGABRT) if complaint.contains("memory allocation") => UploadError::CompileLimit(memory),
        Some(SIGSEGV | SIGABRT) => UploadError::Compile("the compiler broke down over it".to_owned()),
        None if status.code() == Some(PANICKED) => {
            let what =
                complaint.lines().find(|line| !line.is_empty() && !line.starts_with("thread ")).unwrap_or_default();
            UploadError::Compile(format!("the compiler gave up on it: {what}"))
        }
        _ if complaint.contains("memory") || complaint.contains("mmap") => UploadError::CompileLimit(memory),
        _ => UploadError::Host(format!(
            "the compiler ended with {status}: {}",
            complaint.lines().next().unwrap_or("it said nothing")
        )),
    }
}

/// The child's side: reads a file from standard input, answers on standard output.
pub fn child_main(job: Job, memory_bytes: usize) -> ExitCode {
    let calls = CallLimits { memory_bytes, large_memory_bytes: memory_bytes, ..CallLimits::default() };
    let limits = job.limits(&calls);
    let answer = match confine(&limits).and_then(|()| work(job, &limits)) {
        Ok(Compiled { component, artifact }) => {
            let length = (component.len() as u64).to_be_bytes();
            [b"C".as_slice(), &length, &component, &artifact].concat()
        }
        Err(error) => [b"E".as_slice(), &serde_json::to_vec(&error).unwrap_or_default()].concat(),
    };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&answer).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn confine(limits: &UploadLimits) -> Result<(), UploadError> {
    let limit = |resource: Resource, value: u64| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
            .map_err(|error| UploadError::Host(format!("the compiler could not limit itself: {error}")))
    };
    // Linux gives processor time to sessions first, and then to what is in them: in one of its own, the compiler is less in
    // the way of the server. It is as well if this is not allowed.
    let _ = rustix::process::setsid();
    limit(Resource::As, limits.compile_memory_bytes_max)?;
    limit(Resource::Cpu, limits.compile_cpu_max.as_secs())?;
    limit(Resource::Nofile, 16)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)
}

fn work(job: Job, limits: &UploadLimits) -> Result<Compiled, UploadError> {
    let mut bytes = Vec::new();
    let max = limits.bytes_max as u64;
    std::io::stdin()
        .lock()
        .take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| UploadError::Host(format!("the compiler could not read the file: {error}")))?;
    if bytes.len() > limits.bytes_max {
        return Err(UploadError::TooLarge { found: bytes.len(), max: limits.bytes_max, needs_large: false });
    }
    let engine = engine::compiling().map_err(|error| UploadError::Host(format!("{error:#}")))?;
    if job == Job::Engine {
        let artifact = engine.precompile_module(&bytes).map_err(|error| UploadError::Compile(with_causes(&error)))?;
        return Ok(Compiled { component: Bytes::new(), artifact: artifact.into() });
    }
    let component = match scan(&bytes, limits)? {
        Form::Component => bytes,
        Form::Module => {
            let component = componentize(&bytes)?;
            scan(&component, limits)?;
            component
        }
    };
    let artifact =
        engine.precompile_component(&component).map_err(|error| UploadError::Compile(with_causes(&error)))?;
    Ok(Compiled { component: component.into(), artifact: artifact.into() })
}

/// An error with its causes in one line.
pub(super) fn with_causes(error: &wasmtime::Error) -> String {
    one_line(&format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::receive;

    #[tokio::test]
    async fn r18_the_answer_of_the_compiler_is_read_with_a_limit() {
        assert_eq!(receive(tokio::io::repeat(b'C'), 1 << 20).await, None);
        assert_eq!(receive(&b"C123"[..], 3).await, None);
        assert_eq!(receive(&b"C123"[..], 4).await, Some(b"C123".to_vec()));
    }
}
