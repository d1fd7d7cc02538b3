//! The files that a flow names: where they stand in it, and how they get there.

use super::{KINDS, Parser, read};
use crate::flow::Place;
use crate::flow::document::{Kind, Node};
use crate::flow::schema::keys;
use crate::suggest::suggest;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What files are for: in words, what their names end with, and what is said of another ending.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use {
    what: &'static str,
    endings: &'static [&'static str],
    wrong_ending: &'static str,
    example: &'static str,
}

pub(super) const SCRIPT: Use = Use {
    what: "script",
    endings: &[".js", ".mjs", ".ts", ".mts"],
    wrong_ending: "its name ends with .js or .ts, which says its language",
    example: "checks/paid.js",
};
pub(super) const SCHEMA: Use = Use {
    what: "schema",
    endings: &[".json", ".yaml", ".yml"],
    wrong_ending: "its name ends with .json or .yaml",
    example: "schemas/order.json",
};
/// Longest path.
const PATH_MAX: usize = 200;

/// A file that a flow names, and that is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingFile {
    /// What it has: a script or a schema.
    pub what: &'static str,
    /// Its path from the flow file, with `/`, and without `.` and `..`.
    pub path: String,
    pub line: usize,
    pub column: usize,
}

#[derive(Default)]
pub(super) struct Files {
    brought: Vec<(String, Place, String)>,
    named: BTreeSet<String>,
    missing: Vec<MissingFile>,
}

impl Parser {
    pub(super) fn read_files(&mut self, node: &Node) {
        let Kind::Object(members) = &node.kind else {
            return self.wrong(node, "an object of files: their paths, and what they have");
        };
        for member in members {
            let of = if SCHEMA.is_of(&member.name) { &SCHEMA } else { &SCRIPT };
            match path(&member.name, of) {
                Err(detail) => self.mistakes.push(member.name_at.mistake(detail)),
                Ok(path) if path != member.name => {
                    self.mistakes.push(member.name_at.mistake(format!("this file is called `{path}`, without `./`")));
                }
                Ok(path) => {
                    let Some(text) = self.text(&member.value) else { continue };
                    self.files.brought.push((path, member.name_at.clone(), text.to_owned()));
                }
            }
        }
    }

    /// The file that has a script, or a schema: its path, and what it has.
    pub(super) fn file_of(&mut self, node: &Node, of: &'static Use) -> Option<(String, String)> {
        let allowed = if *of == SCHEMA { keys("schemaFile") } else { keys("scriptFile") };
        let members = self.object(node, &format!("the file of a {}", of.what), &allowed)?;
        let named = self.required(&members, "file")?;
        let path = match path(self.text(named)?, of) {
            Ok(path) => path,
            Err(detail) => {
                self.mistakes.push(named.mistake(detail));
                return None;
            }
        };
        let found = self.files.brought.iter().find(|(known, ..)| *known == path).map(|(.., text)| text.clone());
        self.files.named.insert(path.clone());
        if found.is_none() {
            let hint = suggest(&path, self.files.brought.iter().map(|(known, ..)| known.as_str()));
            self.mistakes.push(named.mistake(format!(
                "there is no `{path}` among `files`{hint}: `ringback flow apply` reads it beside the flow file, and puts it there"
            )));
            let (line, column) = (named.at.line, named.at.column);
            self.files.missing.push(MissingFile { what: of.what, path: path.clone(), line, column });
        }
        Some((path, found?))
    }

    /// What nobody names is probably named otherwise.
    pub(super) fn check_files(&mut self) {
        let Files { brought, named, .. } = &self.files;
        let unnamed = brought.iter().filter(|(path, ..)| !named.contains(path));
        let mistakes = unnamed.map(|(path, at, _)| at.mistake(format!("no script and no schema is `file: {path}`")));
        self.mistakes.extend(mistakes.collect::<Vec<_>>());
    }
}

impl Use {
    fn is_of(&self, path: &str) -> bool {
        self.endings.iter().any(|ending| path.strip_suffix(ending).is_some_and(|stem| !stem.is_empty()))
    }
}

/// The path of a file, as everybody writes it.
fn path(text: &str, of: &Use) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("`{text}` names no file of a {}: {why}", of.what));
    if text.starts_with('/') || text.contains('\\') || text.contains(char::is_control) {
        return wrong(&format!("it is a path from the flow file, with `/`, such as {}", of.example));
    }
    if text.split('/').any(|part| part == "..") {
        return wrong("it is beside the flow file, or in a folder there, and `..` leads out of it");
    }
    if text.len() > PATH_MAX {
        return wrong(&format!("a path has at most {PATH_MAX} bytes"));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let path = parts.join("/");
    if of.is_of(&path) { Ok(path) } else { wrong(of.wrong_ending) }
}

/// The files that a flow names and that it does not bring along, each once, as far as it can be read.
pub fn missing_files(source: &str) -> Vec<MissingFile> {
    let mut missing = read(KINDS, source, 0).map(|(_, parser)| parser.files.missing).unwrap_or_default();
    let mut seen = BTreeSet::new();
    missing.retain(|file| seen.insert(file.path.clone()));
    missing
}

/// A flow file that brings files along: what was there keeps its place. `None` where it cannot be added to as it is written.
pub fn with_files(source: &str, files: &[(String, String)]) -> Option<String> {
    let node = Node::read(source).ok()?;
    let with = match source.trim_start().starts_with('{') {
        true => {
            let (before, after) = source.split_at(source.rfind('}')?);
            let files: Map<String, Value> =
                files.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
            format!("{}, \"files\": {}\n{after}", before.trim_end(), Value::from(files))
        }
        false => {
            let indent = " ".repeat(node.at.column - 1);
            let files: String = files.iter().map(|(name, text)| member(&indent, name, text)).collect();
            format!("{}\n{indent}files:\n{files}", source.trim_end())
        }
    };
    let (added, mut before) = (Node::read(&with).ok()?.constant_files()?, node.constant_files().unwrap_or_default());
    before.extend(files.iter().map(|(name, text)| (name.clone(), text.clone())));
    (added == before).then_some(with)
}

/// A file as a member of a block: its lines as they are, where YAML has them so.
fn member(indent: &str, name: &str, text: &str) -> String {
    let is_plain = |character: char| character == '\n' || character == '\t' || !character.is_control();
    let others = ['\u{2028}', '\u{2029}', '\u{feff}'];
    let (name, quoted) = (Value::from(name), Value::from(text));
    let body = text.trim_end_matches('\n');
    if body.is_empty() || !text.chars().all(|character| is_plain(character) && !others.contains(&character)) {
        return format!("{indent}  {name}: {quoted}\n");
    }
    let keep = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let (lines, end) = if keep == "+" { (text.strip_suffix('\n').unwrap_or(text), "\n") } else { (body, "\n") };
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("{indent}    {line}") };
    let lines: Vec<String> = lines.split('\n').map(line).collect();
    format!("{indent}  {name}: |2{keep}\n{}{end}", lines.join("\n"))
}

impl Node {
    fn constant_files(&self) -> Option<Vec<(String, String)>> {
        let Kind::Object(members) = &self.kind else { return None };
        let files = members.iter().find(|member| member.name == "files")?;
        let Kind::Object(files) = &files.value.kind else { return None };
        let text = |node: &Self| match &node.kind {
            Kind::Scalar(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        files.iter().map(|file| Some((file.name.clone(), text(&file.value)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{SCHEMA, SCRIPT, missing_files, path, with_files};
    use crate::flow::parse;

    const FLOW: &str = "flow: a\nsteps:\n  - trigger: A\n    when: { script: { file: ./checks//paid.js } }\n";

    fn refused(source: &str) -> String {
        parse(source, 1).unwrap_err().iter().map(|mistake| format!("{mistake}\n")).collect()
    }

    #[test]
    fn a_path_stays_beside_the_flow_file() {
        for out in ["../a.js", "a/../b.js", "/a.js", "a\\b.js", "..", "a/../../b.js", "a\u{0}.js", "..\\a.js"] {
            assert!(path(out, &SCRIPT).is_err(), "{out}");
        }
        for other in ["", "a", ".js", "a.js/", "a.jsx", "a.JS", "a.json", &format!("{}.js", "a".repeat(200))] {
            assert_eq!(path(other, &SCRIPT).is_err(), other != "a.js/", "{other}");
        }
        for out in ["../a.json", "a.js", ".json", "/a.yaml"] {
            assert!(path(out, &SCHEMA).is_err(), "{out}");
        }
        for (text, expected) in [("./a.js", "a.js"), ("a//b/./c.ts", "a/b/c.ts"), ("a..b.mjs", "a..b.mjs")] {
            assert_eq!(path(text, &SCRIPT).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_named_is_brought_along_and_nothing_else() {
        assert!(
            refused(FLOW).contains("4:29: steps[0].when.script.file: there is no `checks/paid.js` among `files`: ")
        );
        let found = missing_files(FLOW);
        assert_eq!((found.len(), &*found[0].path, found[0].line, found[0].column), (1, "checks/paid.js", 4, 29));
        for (files, expected) in [
            ("files: 1", "expected an object of files"),
            ("files: { checks/paid.js: 1 }", "expected a text"),
            ("files: { ./checks/paid.js: 'true' }", "this file is called `checks/paid.js`"),
            ("files: { checks/pait.js: 'true' }", "did you mean `checks/pait.js`?"),
            (
                "files: { checks/paid.js: 'true', b.js: 'true' }",
                "5:34: files.b.js: no script and no schema is `file: b.js`",
            ),
            ("files: { checks/paid.js: ' ' }", "the script checks/paid.js is empty"),
            (&format!("files: {{ checks/paid.js: {} }}", "a".repeat(33_000)), "checks/paid.js has 33000 bytes, more"),
            ("files: { ../paid.js: 'true' }", "`..` leads out of it"),
        ] {
            let said = refused(&format!("{FLOW}{files}\n"));
            assert!(said.contains(expected), "{files}: {said}");
        }
        for script in ["{ file: 1 }", "{ name: a.js }", "{ file: a.py }", "[a.js]", "{}"] {
            let flow = FLOW.replace("{ file: ./checks//paid.js }", script);
            assert!(refused(&flow).contains("steps[0].when.script"), "{script}: {}", refused(&flow));
        }
        assert!(parse(&format!("{FLOW}files: {{ checks/paid.js: 'true' }}\n"), 1).is_ok());
    }

    /// Mistakes in it have its name and their place there.
    #[test]
    fn a_schema_may_be_a_file() {
        let flow =
            |schema: &str, files: &str| format!("flow: a\nsteps:\n  - trigger: A\n    schema: {schema}\n{files}\n");
        let here = |text: &str| format!("files:\n  s.yaml: {text}\n");
        for (schema, files, expected) in [
            ("{ file: s.yaml }", String::new(), "4:21: steps[0].schema.file: there is no `s.yaml` among `files`"),
            ("{ file: ../s.yaml }", String::new(), "`../s.yaml` names no file of a schema: it is beside"),
            ("{ file: s.js }", String::new(), "`s.js` names no file of a schema: its name ends with .json or .yaml"),
            ("{ file: s.yaml, type: object }", here("'{}'"), "has no `type`; allowed: file"),
            ("{ file: s.yaml }", here("'[1'"), "s.yaml:2:1: not YAML"),
            ("{ file: s.yaml }", here("' '"), "s.yaml:1:1: the file is empty"),
            ("{ file: s.yaml }", here("'1'"), "s.yaml:1:1: "),
            ("{ file: s.yaml }", here("\"{\\n  properties: { a: { type: objekt } }\""), "s.yaml:"),
            (
                "{ file: s.yaml }",
                here("\"\\nproperties: { a: { type: objekt } }\""),
                "s.yaml:2:26: properties.a.type: `type` is",
            ),
            ("{ file: s.yaml }", here("'{ const: \"${{ data.a }}\" }'"), "s.yaml:1:1: a schema is the same"),
            ("{ by: data.t, of: { x: { file: s.yaml } } }", here("'{ $ref: \"https://a.example\" }'"), "s.yaml:1:"),
        ] {
            let said = refused(&flow(schema, &files));
            assert!(said.contains(expected), "{schema} {files}: {said}");
        }
        let found = missing_files(&flow("{ file: ./s.json }", ""));
        assert_eq!((found.len(), &*found[0].path, found[0].what), (1, "s.json", "schema"));
        let whole =
            flow("{ by: data.t, of: { x: { file: s.yaml }, y: { file: s.yaml } } }", &here("'{ required: [id] }'"));
        assert!(parse(&whole, 1).is_ok(), "{}", refused(&whole));
    }

    #[test]
    fn files_are_added_behind_what_is_there_and_come_back_as_they_were() {
        let json =
            r#"{ "flow": "a", "steps": [{ "trigger": "A", "when": { "script": { "file": "checks/paid.js" } } }] }"#;
        let indented = FLOW.lines().map(|line| format!("  {line}\n")).collect::<String>();
        let flow_style = "{ flow: a, steps: [{ trigger: A, when: { script: { file: checks/paid.js } } }] } # } {\n";
        for text in [
            "true",
            "true\n",
            "return true\n\n\n",
            "\n\n  return 1\nreturn 2",
            "\ttrue\n  \n\t\n",
            "a\r\nb",
            "'\"\\ # : - { } |\n---\n...\n",
            "\u{feff}true",
            "a\u{2028}b",
            "\u{1f600}\u{0}",
            "\n",
            " ",
            "- a\n  b: c\n",
            "true  ",
            "a\u{85}b",
        ] {
            let files = [("checks/paid.js".to_owned(), text.to_owned())];
            for (flow, keeps) in [(FLOW, true), (&*indented, true), (json, false)] {
                let with = with_files(flow, &files).unwrap_or_else(|| panic!("{text:?} in {flow}"));
                assert!(missing_files(&with).is_empty(), "{with}");
                assert!(!keeps || with.starts_with(flow.trim_end()), "{with}");
            }
        }
        let files = [("checks/paid.js".to_owned(), "true".to_owned())];
        assert_eq!(with_files(flow_style, &files), None, "what is behind the last brace is none of it");
        for already in ["files: { b.js: 'true' }\n", "files: {}\n"] {
            assert_eq!(with_files(&format!("{FLOW}{already}"), &files), None, "{already}");
        }
        assert!(with_files(FLOW, &files).unwrap().ends_with("\nfiles:\n  \"checks/paid.js\": |2-\n    true\n"));
    }
}
