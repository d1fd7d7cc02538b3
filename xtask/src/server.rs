//! A ringback process, and the command line beside it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    child: Child,
    binary: PathBuf,
    data: PathBuf,
    pub public: String,
    pub admin: String,
    /// From the start of the process to its word that it is ready.
    pub start_up: Duration,
}

impl Server {
    /// Starts a server on the addresses for callbacks and for the API, and waits until it is ready.
    pub fn start(binary: &Path, data: &Path, addresses: [&str; 2]) -> Result<Self> {
        Self::start_with(binary, data, addresses, &[])
    }

    /// The same, with settings.
    pub fn start_with(
        binary: &Path,
        data: &Path,
        [public, admin]: [&str; 2],
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let log = std::fs::File::create(data.join("log.txt"))?;
        let started = Instant::now();
        let mut child = Command::new(binary)
            .args(["serve", "--public", public, "--admin", admin, "--data"])
            .arg(data)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let mut address = |name: &str| {
            let line = lines.find(|line| line.contains(name));
            line.and_then(|line| line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned))
        };
        let (public, admin) = (address("callbacks"), address("admin API"));
        let start_up = started.elapsed();
        let (Some(public), Some(admin)) = (public, admin) else {
            let _ = child.kill();
            let log = std::fs::read_to_string(data.join("log.txt")).unwrap_or_default();
            bail!("the server did not start:\n{}", log.trim());
        };
        Ok(Self { child, binary: binary.to_owned(), data: data.to_owned(), public, admin, start_up })
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command of the command line; its output goes to the terminal.
    pub fn ringback(&self, arguments: &[&str], file: Option<&Path>, input: Option<&str>) -> Result<()> {
        let mut command = self.command();
        command.args(arguments).args(file);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn()?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input.as_bytes())?;
        }
        ensure!(child.wait()?.success(), "ringback {} failed", arguments.join(" "));
        Ok(())
    }

    /// The URL of a flow's trigger, by its place in the flow.
    pub fn url_of(&self, flow: &str, trigger: usize) -> Result<String> {
        let flow = self.json(&["flow", "show", flow])?;
        let url = flow.pointer(&format!("/triggers/{trigger}/urls/default/native")).and_then(Value::as_str);
        url.map(str::to_owned).context("the flow has no URL")
    }

    /// An execution with its journal.
    pub fn show(&self, execution: &str) -> Result<Value> {
        self.json(&["execution", "show", execution])
    }

    /// What a command answers with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command().arg("--json").args(arguments).output()?;
        ensure!(
            output.status.success(),
            "ringback {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Explains a callback, once its record is there.
    pub fn explain(&self, callback: &str) -> Result<()> {
        for _ in 0..100 {
            let output = self.command().args(["callback", "explain", callback]).output()?;
            if output.status.success() {
                print!("{}", String::from_utf8_lossy(&output.stdout));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the callback {callback} has no record");
    }

    /// Waits until the server ends.
    pub fn wait(&mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// A command of the command line, as a client of this server.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--server").arg(&self.admin).arg("--data").arg(&self.data);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
