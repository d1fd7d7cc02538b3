//! TypeScript as JavaScript: the types are taken out by a tool of the author's, and every line stays where it was.

use super::CliError;
use super::source_map::{self, Segment};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It exports functions.
    Module,
    /// An expression, or the body of a function.
    Script,
}

/// What stands around a source while a tool reads it, the first part on its first line: before and behind it, and before it in what
/// the tool makes of it.
struct Brackets {
    before: &'static str,
    after: &'static str,
    made: [&'static str; 2],
}

const NOTHING: Brackets = Brackets { before: "", after: "", made: ["", ""] };
const EXPRESSION: Brackets = Brackets { before: "_ = (", after: "\n)", made: ["_ = ", ""] };
const BODY: Brackets = Brackets { before: "function _() {", after: "\n}", made: ["function _() {", "}"] };

/// What Node.js runs: it writes the source without its types, or what is wrong with it.
const STRIP: &str = r#"
const { stripTypeScriptTypes: strip } = require("node:module");
if (!strip) process.exit(3);
try {
  process.stdout.write(strip(require("node:fs").readFileSync(0, "utf8")));
} catch (error) {
  process.stderr.write(error.message);
  process.exit(4);
}"#;

/// Whether a file is TypeScript, by its name.
pub(super) fn is_typescript(file: &Path) -> bool {
    file.extension().is_some_and(|extension| ["ts", "mts"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// A source without its types, whose lines are those that it had.
///
/// # Errors
///
/// The tool cannot read it, or there is none.
pub(super) fn without_types(file: &Path, source: &str, form: Form) -> Result<String, CliError> {
    let tool = Tool::find(file)?;
    let refused = |why: String| CliError::Refused(format!("{}{why}", file.display()));
    if form == Form::Module {
        return tool.strip(source, &NOTHING)?.map_err(refused);
    }
    let expression = source.trim_end_matches([';', ' ', '\t', '\r', '\n']);
    match tool.strip(expression, &EXPRESSION)? {
        Ok(made) => Ok(made),
        Err(_) => tool.strip(source, &BODY)?.map_err(refused),
    }
}

enum Tool {
    Esbuild(PathBuf),
    Node,
}

impl Tool {
    /// An esbuild that is installed for the file, else one for all, else a Node.js that can do it.
    fn find(file: &Path) -> Result<Self, CliError> {
        let folder = file.canonicalize().ok().and_then(|file| Some(file.parent()?.to_owned()));
        let installed =
            folder.iter().flat_map(|folder| folder.ancestors().map(|at| at.join("node_modules/.bin/esbuild")));
        if let Some(esbuild) = installed.into_iter().find(|path| path.is_file()) {
            return Ok(Self::Esbuild(esbuild));
        }
        if answers(Command::new("esbuild").arg("--version")) {
            return Ok(Self::Esbuild("esbuild".into()));
        }
        if answers(
            Command::new("node").args(["-e", "process.exit(require('node:module').stripTypeScriptTypes ? 0 : 1)"]),
        ) {
            return Ok(Self::Node);
        }
        Err(CliError::Refused(format!(
            "{} is TypeScript, and nothing is here that takes its types out: install esbuild beside it with `npm install --save-dev \
             --save-exact --ignore-scripts esbuild@{}`, or Node.js 22.13 or newer; JavaScript (.js) needs neither",
            file.display(),
            super::plugin::ESBUILD
        )))
    }

    /// What a tool makes of a source; else what is wrong, behind its place: `:3:14: …`.
    fn strip(&self, source: &str, within: &Brackets) -> Result<Result<String, String>, CliError> {
        let text = format!("{}{source}{}", within.before, within.after);
        let (path, output) = match self {
            Self::Esbuild(path) => {
                let arguments = [
                    "--loader=ts",
                    "--sourcefile=file.ts",
                    "--sourcemap=inline",
                    "--sources-content=false",
                    "--target=esnext",
                    "--charset=utf8",
                    "--tree-shaking=false",
                    "--tsconfig-raw={}",
                    "--log-level=error",
                    "--color=false",
                ];
                (path.as_path(), run(Command::new(path).args(arguments), &text))
            }
            Self::Node => (Path::new("node"), run(Command::new("node").args(["--no-warnings", "-e", STRIP]), &text)),
        };
        let output = output.map_err(|error| CliError::File { path: path.to_owned(), error })?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Ok(Err(mistake(&said, within.before.len())));
        }
        let made = String::from_utf8_lossy(&output.stdout).into_owned();
        let unread = || CliError::Refused(format!("{} answered what cannot be read", path.display()));
        Ok(Ok(match self {
            Self::Esbuild(_) => {
                let made = laid_out(&made).ok_or_else(unread)?;
                let [before, after] = within.made;
                let inner = made.trim_end().strip_prefix(before).and_then(|made| made.strip_suffix(after));
                inner.ok_or_else(unread)?.to_owned()
            }
            // It writes spaces where types were, and nothing else.
            Self::Node => {
                let inner = made.strip_prefix(within.before).and_then(|made| made.strip_suffix(within.after));
                inner.ok_or_else(unread)?.to_owned()
            }
        }))
    }
}

/// What Node.js says: `  x Expected ';'`, and below it `    ,-[3:14]`.
fn by_node(said: &str) -> Option<(String, (usize, usize))> {
    let message = said.lines().find_map(|line| line.trim().strip_prefix("x "))?.trim();
    let place = said.lines().find_map(|line| line.trim().strip_prefix(",-[")?.strip_suffix(']')?.split_once(':'))?;
    let hint = if message.contains("strip-only mode") { ": with esbuild it is" } else { "" };
    Some((format!("{message}{hint}"), (place.0.parse().ok()?, place.1.parse().ok()?)))
}

fn answers(command: &mut Command) -> bool {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

fn run(command: &mut Command, input: &str) -> std::io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // Whoever writes all of it before anything is read may wait for each other.
        std::thread::spawn(move || match stdin.write_all(input.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => tracing::debug!(%error, "a tool read not all"),
            _ => {}
        });
    }
    child.wait_with_output()
}

/// What esbuild or Node.js says of a mistake, with its place: `before` characters stand before the source on its first line.
fn mistake(said: &str, before: usize) -> String {
    let message = said.lines().find_map(|line| line.split_once("[ERROR] ")).map(|(_, message)| message);
    let place = said.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("file.ts:")?.split(':');
        Some((parts.next()?.parse::<usize>().ok()?, parts.next()?.parse::<usize>().ok()?))
    });
    if let Some((message, place)) = by_node(said) {
        let before = if place.0 == 1 { before } else { 0 };
        return format!(":{}:{}: {message}", place.0, place.1.saturating_sub(before).max(1));
    }
    match (message, place) {
        (Some(message), Some((line, column))) => {
            let before = if line == 1 { before } else { 0 };
            format!(":{line}:{}: {message}", column.saturating_sub(before) + 1)
        }
        _ => format!(": {}", said.trim()),
    }
}

/// What esbuild made, with every line where its source map says that it comes from; none is shorter or torn.
fn laid_out(made: &str) -> Option<String> {
    let (code, map) = made.split_once("//# sourceMappingURL=data:application/json;base64,")?;
    let map: serde_json::Value = serde_json::from_slice(&STANDARD.decode(map.trim()).ok()?).ok()?;
    let places = source_map::segments(map["mappings"].as_str()?);
    let (mut out, mut at, mut joins) = (String::with_capacity(code.len()), 0_i64, false);
    for (number, text) in code.trim_end().split('\n').enumerate() {
        let indent = text.len() - text.trim_start().len();
        // What begins within a text, or a comment, comes from where the line before does.
        let begins = |segment: &&Segment| {
            !segment.is_same && usize::try_from(segment.column).is_ok_and(|column| column <= indent)
        };
        let from = places.get(number).and_then(|segments| segments.iter().find(begins)).map(|segment| segment.line);
        match from {
            Some(line) if line > at => {
                out.extend((at..line).map(|_| '\n'));
                at = line;
                out.push_str(text);
            }
            Some(_) if joins => {
                out.push(' ');
                out.push_str(text.trim_start());
            }
            _ if number == 0 => out.push_str(text),
            _ => {
                out.push('\n');
                at += 1;
                out.push_str(text);
            }
        }
        // Behind a comment there is no place for more.
        joins = !text.contains("//");
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Form, laid_out, mistake, without_types};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use std::path::Path;

    fn inline(code: &str, mappings: &str) -> String {
        let map = STANDARD.encode(format!(r#"{{"version":3,"mappings":"{mappings}"}}"#));
        format!("{code}//# sourceMappingURL=data:application/json;base64,{map}\n")
    }

    #[test]
    fn lines_are_where_they_come_from() {
        // The second line comes from the fourth, the third from the same, the fourth is within a text, the last from the seventh.
        let made = inline("one();\n  two(`\nthree`);\nfour();\n", "AAAA;EAGA;AAAA;AAGA");
        assert_eq!(laid_out(&made).unwrap(), "one();\n\n\n  two(`\nthree`);\n\nfour();");
        let made = inline("if (a) {\n  b();\n}\nc();\n", "AAAA;AAAS;AAAS;AACT");
        assert_eq!(laid_out(&made).unwrap(), "if (a) { b(); }\nc();");
        let made = inline("a(\"//\");\nb();\n", "AAAA;AAAS");
        assert_eq!(laid_out(&made).unwrap(), "a(\"//\");\nb();", "behind what may be a comment nothing is written");
        assert_eq!(laid_out("one();\n"), None);
    }

    #[test]
    fn a_mistake_has_its_place_in_the_source() {
        let said = "✘ [ERROR] Expected \";\" but found \"b\"\n\n    file.ts:1:7:\n      1 │ _ = (a b\n";
        assert_eq!(mistake(said, 5), ":1:3: Expected \";\" but found \"b\"");
        assert_eq!(mistake(&said.replace(":1:7", ":2:7"), 5), ":2:8: Expected \";\" but found \"b\"");
        assert_eq!(mistake("x Unexpected eof", 5), ": x Unexpected eof");
        let said = "  x Expected ';', got 'b'\n   ,-[1:8]\n 1 | _ = (a b\n";
        assert_eq!(mistake(said, 5), ":1:3: Expected ';', got 'b'");
    }

    #[test]
    fn without_a_tool_it_is_said_what_to_install() {
        // Whether there is one depends on the machine.
        if let Err(error) = without_types(Path::new("/x.ts"), "true", Form::Script) {
            assert!(error.to_string().contains("install esbuild beside it"), "{error}");
        }
    }
}
