//! XML as data. A document type is refused whatever it says, so that there are no entities but the five that XML itself has, and
//! nothing is fetched or expanded; depth, attributes and values have limits.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::QName;
use quick_xml::reader::Reader;
use quick_xml::{Error, XmlVersion};
use ringback_records::json;
use ringback_records::stop::Stop;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Display;

/// Deepest nesting of elements: each becomes a list in an object, or the reverse, and data may be 128 deep.
const DEPTH_MAX: usize = 60;
/// Most attributes of an element.
const ATTRIBUTES_MAX: usize = 256;
/// Longest name of an element or attribute, in bytes.
const NAME_BYTES_MAX: usize = 1024;
/// Most prefixes that are declared at one place of a document.
const PREFIXES_MAX: usize = 64;
/// What an object and a list cost beside their members, as in JSON.
const OBJECT_VALUES: usize = 4;
const LIST_VALUES: usize = 3;
/// In so many bytes the declaration says what the encoding is.
const DECLARATION_BYTES_MAX: usize = 200;

/// How elements become data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Whatever the content type says.
    pub any_type: bool,
    /// Elements that are lists, also where there is one of them.
    pub lists: Vec<String>,
    /// By which prefix names of a namespace begin here, whatever the sender's are.
    pub prefixes: Vec<(String, String)>,
    /// Each element with its content in order, in place of members by their names.
    pub ordered: bool,
}

/// The data of a document: an object with the root element, or with `ordered` that element.
///
/// # Errors
///
/// It is not well-formed, has a document type or an entity of its own (400), is too deep or too large (400), or is
/// encoded in a way that nobody here knows (415).
pub(super) fn read(body: &[u8], charset: Option<&str>, mapping: &Mapping) -> Result<Value, Stop> {
    let text = decode(body, charset)?;
    if let Some(at) = text.find(|character| !is_character(character)) {
        return Err(malformed(&text, at, "a control character cannot be in XML"));
    }
    let values_left = json::values_max(body.len());
    Reading { text: &text, mapping, open: Vec::new(), root: None, namespaces: Vec::new(), values_left }.read()
}

/// The text of a document, by its byte order mark, by the content type, or as it says itself (RFC 7303).
fn decode<'b>(body: &'b [u8], charset: Option<&str>) -> Result<Cow<'b, str>, Stop> {
    let (encoding, body) = match Encoding::for_bom(body) {
        Some((encoding, mark)) => (encoding, body.get(mark..).unwrap_or_default()),
        None => {
            let named = charset.map(str::to_owned).or_else(|| declared(body));
            let encoding = match (named, body) {
                (Some(label), _) => Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                    let label: String = label.chars().take(40).collect();
                    let reason = format!("the encoding {label:?} is not known here");
                    Stop::refused(415, "unknown_charset", "The encoding of the text is not known.", reason)
                })?,
                (None, [b'<', 0, ..]) => UTF_16LE,
                (None, [0, b'<', ..]) => UTF_16BE,
                (None, _) => UTF_8,
            };
            // What is read as bytes cannot be of two each, whatever it says.
            let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
            (if is_wide && body.starts_with(b"<?") { UTF_8 } else { encoding }, body)
        }
    };
    encoding.decode_without_bom_handling_and_without_replacement(body).ok_or_else(|| {
        let reason = format!("the body is not {}", encoding.name());
        Stop::refused(400, "malformed_xml", "The body is not well-formed XML.", reason)
    })
}

/// The encoding of which a declaration says that it is this one.
fn declared(body: &[u8]) -> Option<String> {
    let declaration = body.get(..body.len().min(DECLARATION_BYTES_MAX))?.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|bytes| bytes == b"?>")?;
    let declaration = std::str::from_utf8(declaration.get(..end)?).ok()?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value.get(1..)?.split_once(quote).map(|(label, _)| label.to_owned())
}

/// An element that has begun.
struct Element {
    name: String,
    attributes: Map<String, Value>,
    /// By their names, or in order.
    members: Map<String, Value>,
    content: Vec<Value>,
    text: String,
    has_elements: bool,
    /// How many prefixes were known around it.
    known_around: usize,
}

struct Reading<'r> {
    text: &'r str,
    mapping: &'r Mapping,
    open: Vec<Element>,
    root: Option<Value>,
    /// Prefixes with their namespaces, the innermost last; only where `prefixes` asks for them.
    namespaces: Vec<(String, String)>,
    values_left: usize,
}

impl Reading<'_> {
    fn read(mut self) -> Result<Value, Stop> {
        let mut reader = Reader::from_str(self.text);
        reader.config_mut().check_comments = true;
        let place = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        loop {
            let at = place(&reader);
            let event = reader.read_event().map_err(|error| {
                let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                malformed(self.text, at, said(&error))
            })?;
            match event {
                Event::Start(start) => self.begin(&start, at)?,
                Event::Empty(start) => {
                    self.begin(&start, at)?;
                    self.end(at)?;
                }
                Event::End(_) => self.end(at)?,
                Event::Text(text) if self.open.is_empty() => {
                    if !text.bytes().all(is_space) {
                        return Err(malformed(self.text, at, "there is text outside of the root element"));
                    }
                }
                Event::Text(text) => {
                    if text.contains("]]>") {
                        return Err(malformed(self.text, at, "`]]>` ends a CDATA section, of which there is none"));
                    }
                    self.add_text(&text.xml10_content());
                }
                Event::CData(_) | Event::GeneralRef(_) if self.open.is_empty() => {
                    return Err(malformed(self.text, at, "there is text outside of the root element"));
                }
                Event::CData(text) => self.add_text(&text.xml10_content()),
                Event::GeneralRef(name) => {
                    let character = name.resolve_char_ref();
                    match character.map_err(|error| malformed(self.text, at, said(&error)))? {
                        Some(character) if is_character(character) => {
                            self.add_text(character.encode_utf8(&mut [0; 4]));
                        }
                        Some(_) => return Err(malformed(self.text, at, "a reference is to no character of XML")),
                        None => match quick_xml::escape::resolve_predefined_entity(&name) {
                            Some(text) => self.add_text(text),
                            None => return Err(unknown_entity(self.text, at)),
                        },
                    }
                }
                Event::Decl(declaration) => self.declaration(&declaration, at)?,
                Event::PI(instruction) if instruction.target().eq_ignore_ascii_case("xml") => {
                    return Err(malformed(self.text, at, "a declaration is the first of a document"));
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => {
                    let reason = format!("there is a document type at line {}", line(self.text, at));
                    let detail = "XML with a document type is not accepted.";
                    return Err(Stop::refused(400, "xml_doctype", detail, reason));
                }
                Event::Eof => break,
            }
        }
        if let Some(element) = self.open.last() {
            let reason = format!("the element {:?} has no end", element.name.chars().take(80).collect::<String>());
            return Err(malformed(self.text, self.text.len(), reason));
        }
        self.root.ok_or_else(|| malformed(self.text, self.text.len(), "there is no element"))
    }

    fn declaration(&self, declaration: &BytesDecl<'_>, at: usize) -> Result<(), Stop> {
        let version = declaration.version().map_err(|error| malformed(self.text, at, said(&error)))?;
        match &*version {
            _ if at > 0 => Err(malformed(self.text, at, "a declaration is the first of a document")),
            "1.0" | "1.1" => Ok(()),
            _ => Err(malformed(self.text, at, "it is of a version of XML that is not known")),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>, at: usize) -> Result<(), Stop> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(malformed(self.text, at, "there is a second root element"));
        }
        if self.open.len() >= DEPTH_MAX {
            let reason = format!("elements are nested deeper than {DEPTH_MAX} at line {}", line(self.text, at));
            return Err(Stop::refused(400, "xml_too_deep", "The elements are nested too deeply.", reason));
        }
        let known_around = self.namespaces.len();
        let mut written: Vec<(String, String)> = Vec::new();
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| malformed(self.text, at, error))?;
            if written.len() >= ATTRIBUTES_MAX {
                let reason =
                    format!("an element has more than {ATTRIBUTES_MAX} attributes at line {}", line(self.text, at));
                return Err(Stop::refused(
                    400,
                    "xml_too_many_attributes",
                    "An element has too many attributes.",
                    reason,
                ));
            }
            if attribute.value.contains('<') {
                return Err(malformed(self.text, at, "the value of an attribute has a `<`"));
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|error| match &error {
                Error::Escape(quick_xml::escape::EscapeError::UnrecognizedEntity(..)) => unknown_entity(self.text, at),
                _ => malformed(self.text, at, said(&error)),
            })?;
            if !value.chars().all(is_character) {
                return Err(malformed(self.text, at, "a reference is to no character of XML"));
            }
            let QName(name) = attribute.key;
            self.check_name(name, at)?;
            if !self.mapping.prefixes.is_empty() && (name == "xmlns" || name.starts_with("xmlns:")) {
                if self.namespaces.len() >= PREFIXES_MAX {
                    return Err(self.too_large());
                }
                let prefix = name.strip_prefix("xmlns:").unwrap_or_default();
                self.namespaces.push((prefix.to_owned(), value.into_owned()));
                continue;
            }
            written.push((name.to_owned(), value.into_owned()));
        }
        let QName(name) = start.name();
        self.check_name(name, at)?;
        let mut attributes = Map::new();
        for (name, value) in written {
            self.take(1)?;
            let name = self.named(&name, true);
            let key = if self.mapping.ordered { name } else { format!("@{name}") };
            if attributes.insert(key, Value::String(value)).is_some() {
                return Err(malformed(self.text, at, "an attribute is there twice"));
            }
        }
        self.take(1 + if self.mapping.ordered { 2 * OBJECT_VALUES } else { 0 })?;
        let name = self.named(name, false);
        let (members, content, text) = (Map::new(), Vec::new(), String::new());
        self.open.push(Element { name, attributes, members, content, text, has_elements: false, known_around });
        Ok(())
    }

    fn end(&mut self, at: usize) -> Result<(), Stop> {
        let Some(mut element) = self.open.pop() else {
            return Err(malformed(self.text, at, "an element ends that has not begun"));
        };
        self.namespaces.truncate(element.known_around);
        if self.mapping.ordered {
            self.end_of_text(&mut element)?;
            let value = serde_json::json!({
                "name": element.name, "attributes": element.attributes, "content": element.content,
            });
            let Some(mut around) = self.open.pop() else {
                self.root = Some(value);
                return Ok(());
            };
            around.has_elements = true;
            self.end_of_text(&mut around)?;
            around.content.push(value);
            self.open.push(around);
            return Ok(());
        }
        let Element { name, attributes: mut members, members: elements, text, has_elements, .. } = element;
        let has_text = !text.bytes().all(is_space);
        let value = if members.is_empty() && !has_elements {
            Value::String(text)
        } else {
            self.take(OBJECT_VALUES)?;
            members.extend(elements);
            if has_text {
                self.take(1)?;
                members.insert("#text".to_owned(), Value::String(text));
            }
            Value::Object(members)
        };
        let is_list = self.mapping.lists.contains(&name);
        if is_list {
            self.take(LIST_VALUES)?;
        }
        let Some(around) = self.open.last_mut() else {
            self.take(OBJECT_VALUES)?;
            let value = if is_list { Value::Array(vec![value]) } else { value };
            self.root = Some(Value::Object(Map::from_iter([(name, value)])));
            return Ok(());
        };
        around.has_elements = true;
        match around.members.get_mut(&name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => {
                *first = Value::Array(vec![first.take(), value]);
                self.take(LIST_VALUES)?;
            }
            None => {
                let value = if is_list { Value::Array(vec![value]) } else { value };
                around.members.insert(name, value);
            }
        }
        Ok(())
    }

    /// Between elements, what is only space means nothing.
    fn end_of_text(&mut self, element: &mut Element) -> Result<(), Stop> {
        let text = std::mem::take(&mut element.text);
        if text.is_empty() || (element.has_elements && text.bytes().all(is_space)) {
            return Ok(());
        }
        self.take(1)?;
        element.content.push(Value::String(text));
        Ok(())
    }

    fn add_text(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    fn check_name(&self, name: &str, at: usize) -> Result<(), Stop> {
        if !is_name(name) {
            return Err(malformed(self.text, at, "a name is none of XML"));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(malformed(self.text, at, format!("a name has more than {NAME_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// A name as it is here: with the flow's prefix of its namespace, where it has one.
    fn named(&self, name: &str, is_attribute: bool) -> String {
        let prefixes = &self.mapping.prefixes;
        if prefixes.is_empty() {
            return name.to_owned();
        }
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        // An attribute without a prefix has no namespace.
        if prefix.is_empty() && is_attribute {
            return name.to_owned();
        }
        let namespace = self.namespaces.iter().rev().find(|(known, _)| known == prefix).map(|(_, namespace)| namespace);
        let ours = prefixes.iter().find(|(_, of)| Some(of) == namespace);
        match (ours, namespace) {
            (Some((prefix, _)), _) => format!("{prefix}:{local}"),
            // The sender's prefix is one of the flow's, and means something else.
            (None, _) if prefixes.iter().any(|(ours, _)| ours == prefix) => {
                format!("{{{}}}{local}", namespace.map_or("", String::as_str))
            }
            (None, _) => name.to_owned(),
        }
    }

    fn take(&mut self, values: usize) -> Result<(), Stop> {
        self.values_left = self.values_left.checked_sub(values).ok_or_else(|| self.too_large())?;
        Ok(())
    }

    fn too_large(&self) -> Stop {
        super::too_large("the document has too many elements, attributes and texts".to_owned())
    }
}

/// What is wrong, without what stands there.
fn said(error: &Error) -> String {
    match error {
        Error::Escape(_) => "a reference is none of XML".to_owned(),
        Error::InvalidAttr(_) => "an attribute is none of XML".to_owned(),
        Error::IllFormed(_) | Error::Syntax(_) | Error::Namespace(_) | Error::Io(_) | Error::Encoding(_) => {
            error.to_string().chars().filter(|character| !character.is_control()).take(200).collect()
        }
    }
}

fn malformed(text: &str, at: usize, why: impl Display) -> Stop {
    let reason = format!("the body is not well-formed XML: {why} at line {}", line(text, at));
    Stop::refused(400, "malformed_xml", "The body is not well-formed XML.", reason)
}

fn unknown_entity(text: &str, at: usize) -> Stop {
    let reason = format!("there is an entity that XML itself does not have at line {}", line(text, at));
    Stop::refused(400, "xml_entity", "The body has an entity that is not known.", reason)
}

fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at.min(text.len())).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What can be in a document (XML 1.0, 2.2).
fn is_character(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether this is a name (XML 1.0, 2.3; beyond ASCII, any letter and digit will do).
fn is_name(name: &str) -> bool {
    let is_first = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '_' | ':') || (!c.is_ascii() && c.is_alphabetic());
    let is_later = |c: char| {
        is_first(c) || matches!(c, '0'..='9' | '-' | '.' | '\u{b7}') || (!c.is_ascii() && c.is_alphanumeric())
    };
    let mark = |c: char| matches!(c, '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}');
    name.starts_with(is_first) && name.chars().all(|c| is_later(c) || mark(c))
}

#[cfg(test)]
mod tests;
