//! The real binary as a process, to be killed, and a ledger of what it acknowledged.

use crate::support::BINARY;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the real binary is started, as often as is wanted.
#[derive(Clone)]
pub struct Server {
    binary: PathBuf,
    data: PathBuf,
    variables: Vec<(&'static str, OsString)>,
    preparation: String,
    log: PathBuf,
}

impl Server {
    pub fn new(data: &Path) -> Self {
        Self {
            binary: BINARY.into(),
            data: data.to_owned(),
            variables: Vec::new(),
            preparation: ":".to_owned(),
            log: "/dev/null".into(),
        }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Another binary than the one that is to be tested.
    pub fn of(mut self, binary: &Path) -> Self {
        self.binary = binary.to_owned();
        self
    }

    /// Starts it in a shell that has first done this.
    pub fn after(mut self, preparation: &str) -> Self {
        self.preparation = preparation.to_owned();
        self
    }

    pub fn log_to(mut self, log: &Path) -> Self {
        self.log = log.to_owned();
        self
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn spawn(&self) -> Child {
        Command::new("bash")
            .args(["-c", &format!("{}; exec \"$@\"", self.preparation), "bash"])
            .arg(&self.binary)
            .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
            .arg(&self.data)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(OpenOptions::new().create(true).append(true).open(&self.log).unwrap())
            .spawn()
            .unwrap()
    }

    pub fn start(&self) -> Process {
        self.try_start().unwrap_or_else(|status| panic!("the server did not start: {status}"))
    }

    /// The process, once it takes requests; or how it ended before that.
    pub fn try_start(&self) -> Result<Process, ExitStatus> {
        let mut child = self.spawn();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |name: &str| {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains(name))?;
            Some(line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned())
        };
        let (Some(public), Some(admin)) = (address("callbacks"), address("admin API")) else {
            return Err(child.wait().unwrap());
        };
        // What else it prints must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Process { child, public, admin })
    }

    /// Checks every record of the store, which nobody must have open.
    pub fn verify(&self) {
        let verified = Command::new(BINARY).args(["db", "verify", "--data"]).arg(&self.data).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

/// The real binary as a process of its own.
pub struct Process {
    child: Child,
    pub public: String,
    pub admin: String,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing is flushed, nothing is closed.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it ends what is under way.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }

    /// The exit code, once it has ended by itself.
    pub fn wait(&mut self, at_most: Duration) -> Option<i32> {
        let started = std::time::Instant::now();
        while started.elapsed() < at_most {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file outside the server, written through to the disk before it is believed.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<File>>, PathBuf);

impl Ledger {
    pub fn open(path: PathBuf) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        Self(Arc::new(Mutex::new(file)), path)
    }

    pub fn add(&self, line: &str) {
        let mut file = self.0.lock().unwrap();
        writeln!(file, "{line}").unwrap();
        file.sync_data().unwrap();
    }

    pub fn lines(&self) -> BTreeSet<String> {
        std::fs::read_to_string(&self.1).unwrap().lines().map(str::to_owned).collect()
    }
}
