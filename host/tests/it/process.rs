//! The real binary as a process, to be killed, and a ledger of what it acknowledged.

use crate::support::BINARY;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The real binary as a process of its own.
pub struct Process {
    child: Child,
    pub public: String,
    pub admin: String,
}

impl Process {
    pub fn start(data: &Path) -> Self {
        Self::start_under(":", data, Path::new("/dev/null"))
    }

    /// Starts it in a shell that has first done `preparation`.
    pub fn start_under(preparation: &str, data: &Path, log: &Path) -> Self {
        let mut child = Command::new("bash")
            .args(["-c", &format!("{preparation}; exec \"$@\""), "bash", BINARY])
            .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |name: &str| {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains(name));
            let line = line.unwrap_or_else(|| panic!("the server did not say its {name}"));
            line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
        };
        let (public, admin) = (address("callbacks"), address("admin API"));
        // What else it prints must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, public, admin }
    }

    /// SIGKILL: nothing is flushed, nothing is closed.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Process {
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
