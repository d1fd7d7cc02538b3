//! `ringback plugin build`: from a project to a `.wasm` file, whatever it is written in, and what that file is.

use super::language::{Language, WIT};
use super::local::{Local, class, roles};
use super::new;
use crate::cli::CliError;
use crate::cli::output::{begin, json, line};
use ringback_plugin::{CallError, Upload};
use ringback_records::name::Name;
use ringback_records::plugin::Role;
use serde_json::{Value, json as to_json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Where a project has what is built.
const BUILT: &str = "build";

/// A program that a build needs.
#[derive(Debug)]
pub(super) struct Tool {
    pub program: &'static str,
    /// What it is part of.
    pub title: &'static str,
    /// How it is installed on Debian and its like, and elsewhere.
    pub debian: &'static str,
    pub other: &'static str,
}

impl Tool {
    fn missing(&self) -> CliError {
        let Self { program, title, debian, other } = self;
        let has_apt = Path::new("/usr/bin/apt-get").exists();
        let install = if has_apt { debian } else { other };
        let of = if title.eq_ignore_ascii_case(program) { String::new() } else { format!(" (of {title})") };
        CliError::Refused(format!("{program}{of} is not installed; install it with `{install}`"))
    }
}

/// A build on its way.
#[derive(Debug)]
pub(super) struct Build {
    /// The project.
    pub directory: PathBuf,
    quiet: bool,
    /// What was done, and how many seconds it took.
    steps: Vec<(String, f32)>,
}

impl Build {
    /// The directory for what is built, which is there.
    pub(super) fn built(&self) -> Result<PathBuf, CliError> {
        let path = self.directory.join(BUILT);
        std::fs::create_dir_all(&path).map_err(|error| CliError::File { path: path.clone(), error })?;
        Ok(path)
    }

    /// Runs a program of the build in the project, shows how long it took, and answers what it printed. What it complains about is
    /// shown as it says it, unless `known` has a sentence for it.
    pub(super) fn step(
        &mut self,
        what: &str,
        tool: &Tool,
        arguments: &[&str],
        known: impl Fn(&str) -> Option<String>,
    ) -> Result<String, CliError> {
        self.step_of(what, Path::new(tool.program), tool, arguments, known)
    }

    /// The same of a program that lies somewhere else.
    pub(super) fn step_of(
        &mut self,
        what: &str,
        program: &Path,
        tool: &Tool,
        arguments: &[&str],
        known: impl Fn(&str) -> Option<String>,
    ) -> Result<String, CliError> {
        let begun = Instant::now();
        if !self.quiet {
            begin(&format!("  {what:<12} "));
        }
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null());
        let output = command.output().map_err(|error| {
            self.end("failed");
            match error.kind() {
                std::io::ErrorKind::NotFound => tool.missing(),
                _ => CliError::File { path: program.to_owned(), error },
            }
        })?;
        let seconds = begun.elapsed().as_secs_f32();
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            self.end("failed");
            let printed = String::from_utf8_lossy(&output.stdout);
            let all = format!("{printed}\n{said}");
            let sentence = known(&all).unwrap_or_else(|| {
                let shown = [program.file_name().unwrap_or_default().to_string_lossy()];
                let words = shown.iter().map(AsRef::as_ref).chain(arguments.iter().copied()).collect::<Vec<&str>>();
                format!("`{}` ended with {}:\n{}", words.join(" "), output.status, all.trim())
            });
            return Err(CliError::Refused(sentence));
        }
        self.end(&format!("{seconds:.1} s"));
        self.steps.push((what.to_owned(), seconds));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn end(&self, how: &str) {
        if !self.quiet {
            line(how);
        }
    }
}

impl Build {
    /// Writes a file of the build: its path.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> Result<PathBuf, CliError> {
        let path = self.built()?.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| CliError::File { path: path.clone(), error })?;
        Ok(path)
    }

    /// Runs a program that answers at once.
    pub(super) fn ask(&self, tool: &Tool, arguments: &[&str]) -> Result<String, CliError> {
        let mut command = Command::new(tool.program);
        let output = command.args(arguments).current_dir(&self.directory).stdin(Stdio::null()).output();
        let output = output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => tool.missing(),
            _ => CliError::File { path: tool.program.into(), error },
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Notes that something was done: it is not done again before what it was done for changes.
    pub(super) fn stamp(&self, file: &Path) -> Result<(), CliError> {
        let path = self.directory.join(file);
        std::fs::write(&path, "").map_err(|error| CliError::File { path, error })
    }

    /// Whether a file of the project is older than another, or is not there.
    pub(super) fn is_older(&self, file: &Path, than: &Path) -> bool {
        let changed = |path: &Path| std::fs::metadata(self.directory.join(path)).and_then(|found| found.modified());
        match (changed(file), changed(than)) {
            (Ok(file), Ok(than)) => file < than,
            (found, _) => found.is_err(),
        }
    }

    /// Writes the interface with a world of these roles and imports, `built`: its directory.
    ///
    /// # Errors
    ///
    /// This ringback does not have that version.
    pub(super) fn world(&self, version: &str, exports: &[&str], imports: &[&str]) -> Result<PathBuf, CliError> {
        let Some((_, files)) = WIT.iter().find(|(known, _)| *known == version) else {
            let known: Vec<&str> = WIT.iter().map(|(known, _)| *known).collect();
            return Err(CliError::Refused(format!(
                "the SDK of this project is for ringback:plugin@{version}, and this ringback has {}; update it, or take the SDK \
                 that comes with it: remove the directory `ringback` of the project, and build again",
                known.join(", ")
            )));
        };
        // A keyword in the language of interfaces, too.
        let escape = |name: &str| if name == "step" { "%step".to_owned() } else { name.to_owned() };
        let items: String = imports
            .iter()
            .map(|name| format!("  import {};\n", escape(name)))
            .chain(exports.iter().map(|name| format!("  export {};\n", escape(name))))
            .collect();
        let directory = self.built()?.join("wit");
        for (name, text) in *files {
            self.write(&format!("wit/{name}"), text)?;
        }
        let world = format!("package ringback:plugin@{version};\n\nworld built {{\n{items}}}\n");
        self.write("wit/built.wit", world.as_bytes())?;
        Ok(directory)
    }
}

/// Builds the project of a directory, and shows what it became.
pub(super) async fn build(directory: &Path, as_json: bool) -> Result<(), CliError> {
    let language = Language::of(directory)?;
    let absolute = std::fs::canonicalize(directory);
    let absolute = absolute.map_err(|error| CliError::File { path: directory.to_owned(), error })?;
    if new::lacks_sdk(&absolute, language) {
        new::write_sdk(&absolute, language)?;
    }
    let mut build = Build { directory: absolute, quiet: as_json, steps: Vec::new() };
    if !as_json {
        line(&format!("a plugin in {}", language.title));
    }
    let made = (language.build)(&mut build)?;
    let name = build.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = std::fs::read(&made).map_err(|error| CliError::File { path: made, error })?;
    let shown = directory.join(BUILT).join(format!("{name}.wasm"));
    let begun = Instant::now();
    if !as_json {
        begin(&format!("  {:<12} ", "compile"));
    }
    let local = Local::open(&[])?;
    let uploaded = local.upload(super::COMPONENT, bytes.clone()).await.inspect_err(|_| build.end("failed"))?;
    let seconds = begun.elapsed().as_secs_f32();
    build.end(&format!("{seconds:.1} s"));
    build.steps.push(("compile".to_owned(), seconds));
    let plugin = name.parse().unwrap_or_else(|_| Name::default_name());
    let checks = checks(&uploaded, &plugin).await;
    if let Some((role, Err(error))) =
        checks.iter().find(|(_, checked)| checked.as_ref().is_err_and(|error| !is_answer(error)))
    {
        return Err(CliError::Refused(format!("asked for its check, the {role} fails: {error}")));
    }
    // Only what a server would take is there to be pushed.
    build.write(&format!("{name}.wasm"), &bytes)?;
    let report = Report { file: &shown, bytes: bytes.len(), upload: &uploaded, checks: &checks, steps: &build.steps };
    match as_json {
        true => json(&report.to_json()),
        false => report.show(),
    }
    Ok(())
}

/// Asks every role whether it takes no configuration: whoever answers, whatever it is, has what is called.
async fn checks(upload: &Upload, plugin: &Name) -> Vec<(Role, Result<(), CallError>)> {
    let version = upload.version(plugin);
    let mut checks = Vec::new();
    for role in version.roles() {
        checks.push((role, version.check(role, &Name::default_name(), &Value::Null).await));
    }
    checks
}

/// Whether an error is what the plugin itself says.
fn is_answer(error: &CallError) -> bool {
    matches!(error, CallError::Guest { .. })
}

/// What a file is.
struct Report<'a> {
    file: &'a Path,
    bytes: usize,
    upload: &'a Upload,
    checks: &'a [(Role, Result<(), CallError>)],
    steps: &'a [(String, f32)],
}

impl Report<'_> {
    fn show(&self) {
        let record = self.upload.record(1);
        line("");
        line(&format!("{} ({} KiB)", self.file.display(), self.bytes.div_ceil(1024)));
        line(&format!("  {:<12} {}", "roles", roles(&record.roles)));
        line(&format!("  {:<12} {}", "class", class(record.large)));
        line(&format!("  {:<12} {}", "imports", imports(&record.imports).join(", ")));
        line(&format!("  {:<12} {}", "permissions", permissions(&record.imports)));
        if record.vectors > 0 {
            line(&format!("  {:<12} {} passed", "vectors", record.vectors));
        }
        for (role, checked) in self.checks {
            let says = match checked {
                Ok(()) => "takes no configuration, or any".to_owned(),
                Err(CallError::Guest { code, message, .. }) => format!("without a configuration: {code}: {message}"),
                Err(error) => error.to_string(),
            };
            line(&format!("  {:<12} {role} {says}", "check"));
        }
    }

    fn to_json(&self) -> Value {
        let record = self.upload.record(1);
        let steps: Vec<Value> =
            self.steps.iter().map(|(what, seconds)| to_json!({ "step": what, "seconds": seconds })).collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|(role, checked)| to_json!({ "role": role, "says": checked.as_ref().err().map(ToString::to_string) }))
            .collect();
        to_json!({
            "file": self.file, "bytes": self.bytes, "roles": record.roles, "large": record.large, "imports": record.imports,
            "vectors": record.vectors, "steps": steps, "checks": checks,
        })
    }
}

/// The interfaces that it imports, by their short names; all of WASI as one.
pub(super) fn imports(names: &[String]) -> Vec<String> {
    let mut short: Vec<String> = Vec::new();
    for name in names {
        let own = name.strip_prefix("ringback:plugin/").and_then(|name| name.split('@').next());
        let name = own.filter(|name| *name != "types").or_else(|| name.starts_with("wasi:").then_some("WASI"));
        if let Some(name) = name.filter(|name| !short.iter().any(|known| known == name)) {
            short.push(name.to_owned());
        }
    }
    // Its own first.
    short.sort_by_key(|name| (name == "WASI", name.clone()));
    if short.is_empty() {
        short.push("none".to_owned());
    }
    short
}

/// What a plugin may do by what it imports.
fn permissions(imports: &[String]) -> String {
    let kinds = [
        ("secrets", "checks with secrets, by their names"),
        ("state", "keeps a state of its own"),
        ("http", "sends requests to hosts that the operator allows"),
    ];
    let has = |name: &str| imports.iter().any(|import| import.starts_with(&format!("ringback:plugin/{name}@")));
    let may: Vec<&str> = kinds.iter().filter(|(name, _)| has(name)).map(|(_, what)| *what).collect();
    match may.is_empty() {
        true => "none: no secrets, no state, no requests".to_owned(),
        false => may.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::{imports, permissions};

    #[test]
    fn permissions_are_said_in_words() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let own = of(&[
            "ringback:plugin/types@1.0.0",
            "wasi:io/error@0.2.12",
            "ringback:plugin/state@1.0.0",
            "ringback:plugin/call@1.0.0",
            "wasi:io/poll@0.2.12",
            "wasi:cli/exit@0.2.12",
        ]);
        assert_eq!(imports(&own), ["call", "state", "WASI"]);
        assert_eq!(permissions(&own), "keeps a state of its own");
        assert_eq!(permissions(&of(&["ringback:plugin/log@1.0.0"])), "none: no secrets, no state, no requests");
        assert_eq!(imports(&[]), ["none"]);
    }
}
