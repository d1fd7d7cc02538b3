//! A YAML or JSON document in which every value knows its line and column.

use crate::place::{Mistake, Place};
use ringback_records::json;
use saphyr::{MarkedYaml, Scalar, YamlData, YamlLoader};
use saphyr_parser::{Parser, ScalarStyle, ScanError, Tag};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;

/// Largest flow file, in bytes.
const SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting.
const DEPTH_MAX: usize = 64;

/// A value of the document.
#[derive(Debug)]
pub struct Node {
    pub at: Place,
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub name_at: Place,
    pub value: Node,
}

impl Node {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// The first mistake of syntax: not YAML, a name twice, several documents, nested too deep, an alias bomb.
    pub fn read(source: &str) -> Result<Self, Mistake> {
        let mistake = |line, column, detail: String| Mistake { file: None, line, column, path: String::new(), detail };
        if source.len() > SOURCE_BYTES_MAX {
            return Err(mistake(1, 1, format!("the file is larger than {} KiB", SOURCE_BYTES_MAX / 1024)));
        }
        let source = whole_characters(source);
        let documents = load(&source).map_err(|error| {
            mistake(error.marker().line(), error.marker().col() + 1, format!("not YAML: {}", error.info()))
        })?;
        let mut documents = documents.iter();
        let first = documents.next().ok_or_else(|| mistake(1, 1, "the file is empty".into()))?;
        if let Some(second) = documents.next() {
            let start = second.span.start;
            return Err(mistake(start.line(), start.col() + 1, "a file holds one flow; this begins a second".into()));
        }
        convert(first, String::new(), 0)
    }

    /// The value that stands at a place.
    pub(super) fn find(&self, place: &Place) -> Option<&Self> {
        if (self.at.line, self.at.column, &self.at.path) == (place.line, place.column, &place.path) {
            return Some(self);
        }
        match &self.kind {
            Kind::Scalar(_) => None,
            Kind::List(items) => items.iter().find_map(|item| item.find(place)),
            Kind::Object(members) => members.iter().find_map(|member| member.value.find(place)),
        }
    }

    /// What a JSON Pointer leads to, or what is around it as far as there is something.
    pub fn below(&self, pointer: &str) -> &Self {
        let mut node = self;
        for name in pointer.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                Kind::Object(members) => members.iter().find(|member| member.name == name).map(|member| &member.value),
                Kind::List(items) => name.parse().ok().and_then(|index: usize| items.get(index)),
                Kind::Scalar(_) => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        node
    }

    /// What was found, for a message.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar(Value::Null) => "nothing".to_owned(),
            Kind::Scalar(Value::String(text)) => format!("the text {text:?}"),
            Kind::Scalar(value) => format!("`{value}`"),
            Kind::List(_) => "a list".to_owned(),
            Kind::Object(_) => "an object".to_owned(),
        }
    }

    pub fn mistake(&self, detail: impl Into<String>) -> Mistake {
        self.at.mistake(detail)
    }

    /// Its value, when nothing in it depends on an execution.
    pub fn constant(&self) -> Option<Value> {
        match &self.kind {
            Kind::Scalar(Value::String(text)) if text.contains("${{") => None,
            Kind::Scalar(value) => Some(value.clone()),
            Kind::List(items) => items.iter().map(Self::constant).collect(),
            Kind::Object(members) => {
                let members = members.iter().map(|member| Some((member.name.clone(), member.value.constant()?)));
                members.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
        }
    }
}

/// Where in a value of a file a JSON Pointer leads: to the name of a member or to an item. Where it leads to what is not there, it
/// is as far as it goes.
pub fn place_within(source: &str, value: &Place, pointer: &str) -> Option<Place> {
    let document = Node::read(source).ok()?;
    let mut node = document.find(value)?;
    let mut place = &node.at;
    for step in pointer.strip_prefix('/').into_iter().flat_map(|rest| rest.split('/')) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match &node.kind {
            Kind::Scalar(_) => None,
            Kind::List(items) => {
                step.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (&item.at, item))
            }
            Kind::Object(members) => {
                members.iter().find(|member| member.name == step).map(|member| (&member.name_at, &member.value))
            }
        };
        let Some(next) = next else { break };
        (place, node) = next;
    }
    Some(place.clone())
}

/// A file that is JSON may write a character as two escapes, which YAML does not know: here it is one, and what the text has
/// become shorter by stands behind it as spaces, so that every value keeps its place.
fn whole_characters(source: &str) -> Cow<'_, str> {
    let mentions = ["\\ud", "\\uD"].iter().any(|half| source.contains(half));
    if !mentions || serde_json::from_str::<IgnoredAny>(source).is_err() {
        return Cow::Borrowed(source);
    }
    let (mut whole, mut rest, mut spaces) = (String::with_capacity(source.len()), source, 0);
    while let Some(at) = rest.find(['\\', '"']) {
        let (before, found) = rest.split_at(at);
        whole.push_str(before);
        rest = match (pair(found), found.strip_prefix('"')) {
            (Some(character), _) => {
                let character = format!("\\U{:08x}", u32::from(character));
                whole.push_str(&character);
                spaces += PAIR_LENGTH - character.len();
                found.get(PAIR_LENGTH..).unwrap_or_default()
            }
            (None, Some(after)) => {
                // A name keeps its colon.
                let names = after.trim_start_matches([' ', '\t']).starts_with(':');
                let length = if names { found.find(':').unwrap_or_default() } else { 0 };
                let (end, after) = found.split_at(length + 1);
                whole.push_str(end);
                whole.extend(std::iter::repeat_n(' ', std::mem::take(&mut spaces)));
                after
            }
            (None, None) => {
                let (escape, after) = found.split_at_checked(2).unwrap_or((found, ""));
                whole.push_str(escape);
                after
            }
        };
    }
    Cow::Owned(whole + rest)
}

/// The length of two escapes that are one character.
const PAIR_LENGTH: usize = "\\ud83d\\ude00".len();

fn pair(text: &str) -> Option<char> {
    let unit = |at: usize| u16::from_str_radix(text.get(at..at + 6)?.strip_prefix("\\u")?, 16).ok();
    let character = char::decode_utf16([unit(0)?, unit(6)?]).next()?.ok()?;
    (character.len_utf16() == 2).then_some(character)
}

/// The documents of a file, in which every scalar is still as it is written.
fn load(source: &str) -> Result<Vec<MarkedYaml<'_>>, ScanError> {
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    loader.early_parse(false);
    Parser::new_from_iter(source.chars()).load(&mut loader, true)?;
    match loader.error() {
        Some(error) => Err(error.clone()),
        None => Ok(loader.into_documents()),
    }
}

/// What a scalar is; a number is as it is written, where JSON writes it so, too.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>, at: &Place) -> Result<Value, Mistake> {
    if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
        return Err(at.mistake(NO_TAGS));
    }
    let as_written = || json::from_slice(text.as_bytes()).ok().filter(Value::is_number);
    match Scalar::parse_from_cow_and_metadata(Cow::Borrowed(text), style, tag) {
        Some(Scalar::Null) => Ok(Value::Null),
        Some(Scalar::Boolean(value)) => Ok(value.into()),
        Some(Scalar::Integer(value)) => Ok(as_written().unwrap_or_else(|| value.into())),
        Some(Scalar::FloatingPoint(value)) => {
            let number = serde_json::Number::from_f64(value.into_inner()).map(Value::Number);
            let number = number.ok_or_else(|| at.mistake("infinity and not-a-number cannot be written as JSON"))?;
            Ok(as_written().unwrap_or(number))
        }
        Some(Scalar::String(text)) => Ok(Value::String(text.into_owned())),
        None => Err(at.mistake(UNREADABLE)),
    }
}

const NO_TAGS: &str = "tags (`!…`) are not used here";
const UNREADABLE: &str = "this value cannot be read";
const NO_NAME: &str = "a name must be a text";

fn convert(node: &MarkedYaml<'_>, path: String, depth: usize) -> Result<Node, Mistake> {
    let start = node.span.start;
    let at = Place { line: start.line(), column: start.col() + 1, path };
    if depth > DEPTH_MAX {
        return Err(at.mistake(format!("nested deeper than {DEPTH_MAX}")));
    }
    let kind = match &node.data {
        YamlData::Representation(text, style, tag) => Kind::Scalar(scalar(text, *style, tag.as_ref(), &at)?),
        YamlData::Sequence(items) => Kind::List(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| convert(item, format!("{}[{index}]", at.path), depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        YamlData::Mapping(members) => {
            let (mut converted, mut names) = (Vec::with_capacity(members.len()), HashSet::new());
            for (key, value) in members {
                let key_start = key.span.start;
                let name = match &key.data {
                    YamlData::Representation(text, style, tag) => {
                        match Scalar::parse_from_cow_and_metadata(Cow::Borrowed(text), *style, tag.as_ref()) {
                            Some(Scalar::String(name)) => name.into_owned(),
                            // `on`, `yes` and numbers as names are texts here.
                            Some(Scalar::Integer(number)) => number.to_string(),
                            Some(Scalar::Boolean(value)) => value.to_string(),
                            _ => return Err(at.mistake(NO_NAME)),
                        }
                    }
                    _ => return Err(at.mistake(NO_NAME)),
                };
                if !names.insert(name.clone()) {
                    let at = Place { line: key_start.line(), column: key_start.col() + 1, path: at.path };
                    return Err(at.mistake(format!("the name {name:?} is here twice")));
                }
                if json::is_reserved(&name) {
                    return Err(at.mistake(format!("the name {name:?} cannot be used")));
                }
                let path = if at.path.is_empty() { name.clone() } else { format!("{}.{name}", at.path) };
                let name_at = Place { line: key_start.line(), column: key_start.col() + 1, path: path.clone() };
                converted.push(Member { name, name_at, value: convert(value, path, depth + 1)? });
            }
            Kind::Object(converted)
        }
        YamlData::Tagged(..) => return Err(at.mistake(NO_TAGS)),
        YamlData::Value(_) | YamlData::Alias(_) | YamlData::BadValue => return Err(at.mistake(UNREADABLE)),
    };
    Ok(Node { at, kind })
}

#[cfg(test)]
mod tests {
    use super::{Kind, Node, place_within};
    use crate::flow::Place;

    fn refused(source: &str) -> String {
        Node::read(source).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_place() {
        assert!(refused("").contains("empty"));
        assert!(refused("a: [1").starts_with("1:") || refused("a: [1").starts_with("2:"), "{}", refused("a: [1"));
        assert!(refused("a: 1\na: 2").contains("not YAML"), "{}", refused("a: 1\na: 2"));
        assert!(refused("a: 1\n---\nb: 2").contains("second"));
        assert!(refused("a: .inf").contains("infinity"));
        assert!(refused("a: !x 1").contains("tags"), "{}", refused("a: !x 1"));
        assert!(refused(&"[".repeat(100)).contains("not YAML") || refused(&"[".repeat(100)).contains("deeper"));
        assert!(refused(&format!("{}1{}", "[".repeat(80), "]".repeat(80))).contains("deeper than 64"));
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]";
        assert!(refused(bomb).contains("not YAML"), "{}", refused(bomb));
    }

    #[test]
    fn a_pointer_leads_to_a_key_or_as_far_as_it_goes() {
        let source = "a:\n  with: { \"x/y\": [1, { b: 2 }] }\n  other: 1\n";
        let value = Place { line: 2, column: 9, path: "a.with".to_owned() };
        for (pointer, column, path) in [
            ("", 9, "a.with"),
            ("/x~1y", 11, "a.with.x/y"),
            ("/x~1y/1/b", 24, "a.with.x/y[1].b"),
            ("/x~1y/1/c", 22, "a.with.x/y[1]"),
            ("/x~1y/2", 11, "a.with.x/y"),
            ("/x~1y/-1/b", 11, "a.with.x/y"),
            ("/x~1y/0/b", 19, "a.with.x/y[0]"),
            ("/nowhere/0", 9, "a.with"),
            ("nowhere", 9, "a.with"),
        ] {
            let place = place_within(source, &value, pointer).unwrap();
            assert_eq!((place.line, place.column, place.path.as_str()), (2, column, path), "{pointer}");
        }
        assert!(place_within(source, &Place { line: 9, ..value.clone() }, "").is_none());
        assert!(place_within("a: [", &value, "").is_none());
    }

    /// A file that is JSON is read as JSON, whatever YAML makes of it.
    #[test]
    fn characters_of_two_escapes_are_read_in_json_and_nothing_moves() {
        let text = |node: &Node| match &node.kind {
            Kind::Scalar(value) => value.as_str().map(str::to_owned).unwrap(),
            _ => panic!("{node:?}"),
        };
        let source = r#"{"\ud83d\ude00" : "a\uD83D\uDE00\\ud83d\"\ud83d\ude00", "n":["\ud83d\ude00",":","\ud83d\ude00"], "o":1}"#;
        for source in [source.to_owned(), source.replace(" : ", "\t:\n\t"), source.replace(", ", " ,\r\n\t")] {
            let place = |node: &Node| {
                let before = source.lines().nth(node.at.line - 1).unwrap().chars().take(node.at.column - 1);
                (node.at.line, before.collect::<String>())
            };
            let Kind::Object(members) = Node::read(&source).unwrap().kind else { panic!("{source}") };
            assert_eq!(members[0].name, "\u{1f600}");
            assert_eq!(text(&members[0].value), "a\u{1f600}\\ud83d\"\u{1f600}");
            let Kind::List(items) = &members[1].value.kind else { panic!("{members:?}") };
            assert_eq!(items.iter().map(text).collect::<Vec<_>>(), ["\u{1f600}", ":", "\u{1f600}"]);
            assert!(place(&items[2]).1.ends_with("\":\","), "{:?}", place(&items[2]));
            assert!(place(&members[2].value).1.ends_with("\"o\":"), "{:?}", place(&members[2].value));
        }
        let twice = r#"{"\ud83d\ude00": 1, "a": 2, "a": 3}"#;
        assert!(refused(twice).contains("not YAML"), "{}", refused(twice));
        assert!(refused(r#"{"a": "\ud83d"}"#).contains("not YAML"));
        let block = Node::read("a: |\n  \"\\ud83d\\ude00\"\n").unwrap();
        let Kind::Object(members) = block.kind else { panic!() };
        assert_eq!(text(&members[0].value), "\"\\ud83d\\ude00\"\n", "no escape in YAML");
    }

    #[test]
    fn numbers_are_as_they_are_written() {
        let values = |source: &str| Node::read(source).unwrap().constant().unwrap().to_string();
        for written in ["10.10", "12345678901234567890", "0.1000000000000000055", "-0.0", "7", "-3", "1.0"] {
            assert_eq!(values(&format!("[{written}, '{written}']")), format!("[{written},\"{written}\"]"));
        }
        assert_eq!(values("a: &a 1.50\nb: *a"), "{\"a\":1.50,\"b\":1.50}");
        // What JSON does not know is the same number in its words.
        assert_eq!(
            values("[007, +5, 0x1F, .5, 5., ~, yes, True, 1.2.3]"),
            "[7,5,31,0.5,5.0,null,\"yes\",true,\"1.2.3\"]"
        );
        assert!(refused("a: 1e999").contains("infinity"));
        assert_eq!(values("{10: a, 0x10: b, true: c}"), "{\"10\":\"a\",\"16\":\"b\",\"true\":\"c\"}");
        for twice in ["a: 1\n'a': 2", "1: a\n'1': b"] {
            assert!(refused(twice).starts_with("2:1: the name"), "{}", refused(twice));
        }
    }

    #[test]
    fn json_is_yaml_and_every_value_has_its_place() {
        let node = Node::read("{\"a\": [1,\n  {\"b\": true}]}").unwrap();
        let Kind::Object(members) = &node.kind else { panic!("{node:?}") };
        let Kind::List(items) = &members[0].value.kind else { panic!("{node:?}") };
        assert_eq!((items[1].at.line, items[1].at.column, items[1].at.path.as_str()), (2, 3, "a[1]"));
    }
}
