//! Structured fields (RFC 8941), as far as signatures have them: a dictionary of items and lists of items, with parameters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Longest field that is read, in bytes.
const FIELD_BYTES_MAX: usize = 8192;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Token(String),
    Bytes(Vec<u8>),
    Integer(i64),
    Bool(bool),
}

pub(super) type Parameters = Vec<(String, Value)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub value: Value,
    pub parameters: Parameters,
}

impl Item {
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Item(Item),
    List(Vec<Item>, Parameters),
}

/// The members of a dictionary in order; the last of one name counts.
pub(super) fn dictionary(text: &str) -> Option<Vec<(String, Member)>> {
    if text.len() > FIELD_BYTES_MAX {
        return None;
    }
    let mut reader = Reader { rest: text.trim_matches(' ') };
    let mut members: Vec<(String, Member)> = Vec::new();
    while !reader.rest.is_empty() {
        let name = reader.key()?;
        let member = if reader.take('=') {
            reader.member()?
        } else {
            Member::Item(Item { value: Value::Bool(true), parameters: reader.parameters()? })
        };
        members.retain(|(known, _)| *known != name);
        members.push((name, member));
        reader.space();
        if reader.rest.is_empty() {
            break;
        }
        if !reader.take(',') {
            return None;
        }
        reader.space();
        // A comma promises another member.
        if reader.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn take(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn while_(&mut self, fits: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|character| !fits(character)).unwrap_or(self.rest.len());
        let (found, rest) = self.rest.split_at(end);
        self.rest = rest;
        found.to_owned()
    }

    fn key(&mut self) -> Option<String> {
        self.rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '*').then_some(())?;
        Some(self.while_(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c)))
    }

    fn member(&mut self) -> Option<Member> {
        if !self.take('(') {
            return self.item().map(Member::Item);
        }
        let mut items = Vec::new();
        loop {
            self.space();
            if self.take(')') {
                return Some(Member::List(items, self.parameters()?));
            }
            items.push(self.item()?);
            if !self.rest.starts_with([' ', ')']) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Item> {
        Some(Item { value: self.value()?, parameters: self.parameters()? })
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut parameters: Parameters = Vec::new();
        while self.take(';') {
            self.space();
            let name = self.key()?;
            let value = if self.take('=') { self.value()? } else { Value::Bool(true) };
            parameters.retain(|(known, _)| *known != name);
            parameters.push((name, value));
        }
        Some(parameters)
    }

    fn value(&mut self) -> Option<Value> {
        match self.rest.chars().next()? {
            '"' => self.text(),
            ':' => {
                let (encoded, rest) = self.rest.get(1..)?.split_once(':')?;
                self.rest = rest;
                STANDARD.decode(encoded).ok().map(Value::Bytes)
            }
            '?' => {
                let is = match self.rest.get(1..2)? {
                    "1" => true,
                    "0" => false,
                    _ => return None,
                };
                self.rest = self.rest.get(2..)?;
                Some(Value::Bool(is))
            }
            '-' | '0'..='9' => {
                let sign = if self.take('-') { "-" } else { "" };
                let digits = self.while_(|c| c.is_ascii_digit());
                // What has a fraction is no time.
                (1..=15).contains(&digits.len()).then_some(())?;
                format!("{sign}{digits}").parse().ok().map(Value::Integer)
            }
            first if first.is_ascii_alphabetic() || first == '*' => {
                Some(Value::Token(self.while_(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c))))
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Value> {
        let mut text = String::new();
        let mut characters = self.rest.get(1..)?.char_indices();
        while let Some((place, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = self.rest.get(place + 2..)?;
                    return Some(Value::Text(text));
                }
                '\\' => match characters.next()?.1 {
                    escaped @ ('"' | '\\') => text.push(escaped),
                    _ => return None,
                },
                ' '..='~' => text.push(character),
                _ => return None,
            }
        }
        None
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Self::Token(token) => f.write_str(token),
            Self::Bytes(bytes) => write!(f, ":{}:", STANDARD.encode(bytes)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Bool(is) => f.write_str(if *is { "?1" } else { "?0" }),
        }
    }
}

fn write_parameters(f: &mut fmt::Formatter<'_>, parameters: &Parameters) -> fmt::Result {
    for (name, value) in parameters {
        match value {
            Value::Bool(true) => write!(f, ";{name}")?,
            value => write!(f, ";{name}={value}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)?;
        write_parameters(f, &self.parameters)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(item) => write!(f, "{item}"),
            Self::List(items, parameters) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "({})", items.join(" "))?;
                write_parameters(f, parameters)
            }
        }
    }
}
