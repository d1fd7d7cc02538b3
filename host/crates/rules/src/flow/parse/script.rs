//! Scripts in a flow file, and where their lines stand in it.

use super::files::SCRIPT;
use super::{Members, Parser};
use crate::flow::document::{Kind, Node};
use crate::flow::{PluginMention, TextPlace};
use crate::plugin_call::PluginCall;
use crate::script::{self, BYTES_MAX, LANGUAGES, Script};
use ringback_records::plugin::Role;
use serde_json::Value;

impl Parser {
    /// The script among the members of an object.
    pub(crate) fn script_of(&mut self, members: &Members<'_>, role: Role) -> Option<PluginCall> {
        let node = self.required(members, "script")?;
        if let Some(language) = members.get("lang") {
            self.choice(language, "a language of scripts", LANGUAGES)?;
        }
        let (source, place) = match &node.kind {
            Kind::Object(_) => {
                let (name, source) = self.file_of(node, &SCRIPT)?;
                (source, TextPlace { line: 1, indent: None, file: Some(name) })
            }
            Kind::Scalar(Value::String(source)) => (source.clone(), text_place(&self.source, node, source)),
            _ => {
                self.wrong(node, "a text, or the file that has it: `{ file: NAME.js }`");
                return None;
            }
        };
        let what = place.file.as_deref().map_or("the script".to_owned(), |file| format!("the script {file}"));
        if source.trim().is_empty() {
            self.mistakes.push(node.mistake(format!("{what} is empty")));
            return None;
        }
        if source.len() > BYTES_MAX {
            let detail =
                format!("{what} has {} bytes, more than {BYTES_MAX}: what is longer is better a plugin", source.len());
            self.mistakes.push(node.mistake(detail));
            return None;
        }
        let plugin = script::NAME.parse().ok()?;
        self.plugins.push(PluginMention {
            plugin: script::NAME.parse().ok()?,
            role,
            config: Some(script::to_check(&source, &place)),
            name_at: node.at.clone(),
            config_at: node.at.clone(),
            script: Some(place.clone()),
        });
        let flow = self.flow.clone()?;
        Some(PluginCall::of_script(plugin, Script::new(flow, &source, &place, self.names_here().into_iter())))
    }
}

/// Where the lines of a text stand: below each other as they are, or one line after what may be a quote.
fn text_place(file: &str, node: &Node, text: &str) -> TextPlace {
    let lines: Vec<&str> = text.trim_end_matches('\n').split('\n').collect();
    let at_columns = |line: usize, indent: usize| {
        let mut found = file.lines().skip(line - 1);
        lines.iter().all(|line| {
            let found: Option<&str> = found.next();
            line.trim().is_empty()
                || found.is_some_and(|found| {
                    let (before, rest) = found.split_at(byte_of(found, indent));
                    rest.starts_with(line) && (lines.len() == 1 || (rest == *line && before.trim().is_empty()))
                })
        })
    };
    // The parser says where a block begins, by its mark or by its first line that is not blank.
    let first = lines.iter().position(|line| !line.trim().is_empty()).unwrap_or_default();
    for line in [node.at.line.saturating_sub(first).max(1), node.at.line, node.at.line + 1] {
        let (Some(found), Some(text)) = (file.lines().nth(line - 1 + first), lines.get(first)) else { continue };
        let blanks = |line: &str| line.chars().take_while(|character| *character == ' ').count();
        let indent = blanks(found).saturating_sub(blanks(text));
        if lines.len() > 1 || line > node.at.line {
            if at_columns(line, indent) {
                return TextPlace { line, indent: Some(indent), file: None };
            }
        } else if let Some(indent) =
            [node.at.column - 1, node.at.column].into_iter().find(|indent| at_columns(line, *indent))
        {
            return TextPlace { line, indent: Some(indent), file: None };
        }
    }
    TextPlace { line: 1, indent: None, file: None }
}

/// Where a character of a line begins.
fn byte_of(line: &str, character: usize) -> usize {
    line.char_indices().nth(character).map_or(line.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::text_place;
    use crate::flow::document::{Kind, Node};

    fn place(file: &str) -> Option<(usize, usize)> {
        let node = Node::read(file).unwrap();
        let Kind::Object(members) = node.kind else { panic!("{file}") };
        let Kind::Scalar(text) = &members[0].value.kind else { panic!("{file}") };
        let place = text_place(file, &members[0].value, text.as_str().unwrap());
        place.indent.map(|indent| (place.line, indent))
    }

    #[test]
    fn the_lines_of_a_text_are_found_where_they_stand() {
        assert_eq!(place("a: data.x"), Some((1, 3)));
        assert_eq!(place("a: \"data.x > 1\""), Some((1, 4)));
        assert_eq!(place("é: 'data.x > 1'"), Some((1, 4)));
        assert_eq!(place("a: |\n  one\n  two\n"), Some((2, 2)));
        assert_eq!(place("a: |-\n    one\n\n      two\n    three"), Some((2, 4)));
        assert_eq!(place("a: |\n\n   one\n   two\n"), Some((2, 3)));
        assert_eq!(place("a: |2\n    one\n  two\n"), Some((2, 2)));
        assert_eq!(place("a: |\n  only\n"), Some((2, 2)));
        assert_eq!(place("a:\n  only"), Some((2, 2)));
    }

    #[test]
    fn those_of_a_text_that_does_not_stand_there_as_it_is_are_not() {
        for file in ["a: >\n  one\n  two\n", "a: \"one\\ntwo\"", "a: one\n  two", "a: \"one\\u0041\""] {
            assert_eq!(place(file), None, "{file}");
        }
    }
}
