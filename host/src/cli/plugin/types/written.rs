//! Types, written in a language.

use super::shape::{Object, Shape};
use std::collections::BTreeSet;

/// The languages that there are types for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    TypeScript,
    Python,
    Rust,
}

/// The name of the whole.
const TOP: &str = "Data";

impl Written {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "ts" | "js" => Ok(Self::TypeScript),
            "python" => Ok(Self::Python),
            "rust" => Ok(Self::Rust),
            _ => Err("allowed: ts, js, python, rust".to_owned()),
        }
    }

    pub(super) fn write(self, shape: &Shape, samples: usize) -> String {
        let plural = if samples == 1 { "" } else { "s" };
        let about = format!("The data of callbacks, as {samples} sample{plural} had it.");
        match self {
            Self::TypeScript => format!("/** {about} */\nexport type {TOP} = {};\n", typescript(shape, "")),
            Self::Python => {
                let mut classes = Named::default();
                let whole = classes.python(shape, TOP);
                let alias = if whole == TOP { String::new() } else { format!("\n\n{TOP} = {whole}\n") };
                let typing = "from typing import Any, NotRequired, TypedDict";
                format!("\"\"\"{about}\"\"\"\n\n{typing}\n{}{alias}", classes.written)
            }
            Self::Rust => {
                let mut structs = Named::default();
                let whole = structs.rust(shape, TOP);
                let alias = if whole == TOP { String::new() } else { format!("\npub type {TOP} = {whole};\n") };
                format!("//! {about}\n{}{alias}", structs.written)
            }
        }
    }
}

fn typescript(shape: &Shape, indent: &str) -> String {
    let mut kinds = Vec::new();
    if let Some(object) = &shape.object {
        let inner = format!("{indent}  ");
        kinds.push(match object.members() {
            None => format!("{{ [name: string]: {} }}", typescript(&object.value(), indent)),
            Some(members) => {
                let members: String = members
                    .map(|(member, optional)| {
                        let mark = if optional { "?" } else { "" };
                        let name = match is_identifier(&member.name) {
                            true => member.name.clone(),
                            false => quoted(&member.name),
                        };
                        format!("{inner}{name}{mark}: {};\n", typescript(&member.shape, &inner))
                    })
                    .collect();
                format!("{{\n{members}{indent}}}")
            }
        });
    }
    if let Some(list) = &shape.list {
        let items = typescript(list, indent);
        kinds.push(if items.contains(" | ") && !items.starts_with('{') {
            format!("({items})[]")
        } else {
            format!("{items}[]")
        });
    }
    let plain =
        [(shape.text, "string"), (shape.is_number(), "number"), (shape.boolean, "boolean"), (shape.null, "null")];
    kinds.extend(plain.iter().filter(|(has, _)| *has).map(|(_, name)| (*name).to_owned()));
    if kinds.is_empty() { "unknown".to_owned() } else { kinds.join(" | ") }
}

/// Types that have a name each, those that others need first.
#[derive(Default)]
struct Named {
    taken: BTreeSet<String>,
    written: String,
}

impl Named {
    /// A name for a type that nothing else has.
    fn name(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|number| format!("{wanted}{number}"));
        let free = std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !self.taken.contains(name));
        let name = free.unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    fn python(&mut self, shape: &Shape, wanted: &str) -> String {
        let mut kinds = Vec::new();
        if let Some(object) = &shape.object {
            kinds.push(self.python_object(object, wanted));
        }
        if let Some(list) = &shape.list {
            kinds.push(format!("list[{}]", self.python(list, &singular(wanted))));
        }
        let plain = [
            (shape.text, "str"),
            (shape.fraction, "float"),
            (shape.integer && !shape.fraction, "int"),
            (shape.boolean, "bool"),
            (shape.null, "None"),
        ];
        kinds.extend(plain.iter().filter(|(has, _)| *has).map(|(_, name)| (*name).to_owned()));
        if kinds.is_empty() { "Any".to_owned() } else { kinds.join(" | ") }
    }

    fn python_object(&mut self, object: &Object, wanted: &str) -> String {
        let Some(members) = object.members() else {
            return format!("dict[str, {}]", self.python(&object.value(), &singular(wanted)));
        };
        let name = self.name(wanted);
        let members: Vec<(String, String)> = members
            .map(|(member, optional)| {
                let kind = self.python(&member.shape, &pascal(&member.name));
                (member.name.clone(), if optional { format!("NotRequired[{kind}]") } else { kind })
            })
            .collect();
        let plain = members.iter().all(|(name, _)| is_identifier(name) && !PYTHON.contains(&name.as_str()));
        let text = match (members.is_empty(), plain) {
            (true, _) => format!("class {name}(TypedDict):\n    pass\n"),
            (_, true) => {
                let members: String = members.iter().map(|(name, kind)| format!("    {name}: {kind}\n")).collect();
                format!("class {name}(TypedDict):\n{members}")
            }
            // Names that no attribute can have.
            _ => {
                let members: String =
                    members.iter().map(|(name, kind)| format!("    {}: {kind},\n", quoted(name))).collect();
                format!("{name} = TypedDict(\"{name}\", {{\n{members}}})\n")
            }
        };
        self.written.push_str(&format!("\n\n{text}"));
        name
    }

    fn rust(&mut self, shape: &Shape, wanted: &str) -> String {
        let kinds = [shape.text, shape.is_number(), shape.boolean, shape.list.is_some(), shape.object.is_some()];
        let kind = match (kinds, &shape.list, &shape.object) {
            ([true, false, false, false, false], ..) => "String".to_owned(),
            ([false, true, false, false, false], ..) if shape.fraction => "f64".to_owned(),
            ([false, true, false, false, false], ..) => "i64".to_owned(),
            ([false, false, true, false, false], ..) => "bool".to_owned(),
            ([false, false, false, true, false], Some(list), _) => {
                format!("Vec<{}>", self.rust(list, &singular(wanted)))
            }
            ([false, false, false, false, true], _, Some(object)) => self.rust_object(object, wanted),
            // Nothing, or one thing and another.
            _ => return "ringback_guest::Value".to_owned(),
        };
        if shape.null { format!("Option<{kind}>") } else { kind }
    }

    fn rust_object(&mut self, object: &Object, wanted: &str) -> String {
        let Some(members) = object.members() else {
            let kind = self.rust(&object.value(), &singular(wanted));
            return format!("std::collections::BTreeMap<String, {kind}>");
        };
        let name = self.name(wanted);
        let mut taken = BTreeSet::new();
        let members: String = members
            .map(|(member, optional)| {
                let kind = self.rust(&member.shape, &pascal(&member.name));
                let kind = if optional && !kind.starts_with("Option<") { format!("Option<{kind}>") } else { kind };
                let mut field = snake(&member.name);
                while RUST.contains(&field.as_str()) || !taken.insert(field.clone()) {
                    field.push('_');
                }
                let rename = match field == member.name {
                    true => String::new(),
                    false => format!("    #[serde(rename = {})]\n", quoted(&member.name)),
                };
                format!("{rename}    pub {field}: {kind},\n")
            })
            .collect();
        self.written.push_str(&format!("\n#[derive(Debug, serde::Deserialize)]\npub struct {name} {{\n{members}}}\n"));
        name
    }
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A text, as all three languages write it.
fn quoted(name: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in name.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// The words of a name: `orderLines`, `order-lines` and `order_lines` have two.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut begins = true;
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() {
            begins = true;
            continue;
        }
        let is_inner = words.last().and_then(|word| word.chars().last()).is_some_and(|last| last.is_ascii_uppercase());
        if begins || (letter.is_ascii_uppercase() && !is_inner) {
            words.push(String::new());
        }
        begins = false;
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    words
}

fn pascal(name: &str) -> String {
    let capital = |word: &String| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect::<String>()
    };
    let joined: String = words(name).iter().map(capital).collect();
    match joined.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => joined,
        _ => format!("Member{joined}"),
    }
}

fn snake(name: &str) -> String {
    let joined = words(name).join("_").to_ascii_lowercase();
    match joined.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => joined,
        _ => format!("member_{joined}"),
    }
}

/// The name of one of many: `Lines` has items that are each a `Line`.
fn singular(name: &str) -> String {
    match name.strip_suffix('s').filter(|rest| rest.len() > 2 && !rest.ends_with('s')) {
        Some(rest) => rest.to_owned(),
        None => format!("{name}Item"),
    }
}

/// What no attribute in Python is called.
const PYTHON: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// What no field in Rust is called.
const RUST: [&str; 46] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "union", "where", "while",
];

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::{Written, pascal, singular, snake};
    use serde_json::{Value, json};

    fn written(language: Written, samples: &[Value]) -> String {
        let mut shape = Shape::default();
        samples.iter().for_each(|sample| shape.add(sample));
        language.write(&shape, samples.len())
    }

    fn samples() -> [Value; 2] {
        [
            json!({ "order": { "total": 1, "lines": [{ "price": 1.5 }], "class": null, "x-id": "a" }, "tags": [] }),
            json!({ "order": { "total": 2.5, "lines": [], "class": "c", "x-id": "b" }, "tags": [], "paid": true }),
        ]
    }

    #[test]
    fn typescript_has_one_type() {
        let expected = "/** The data of callbacks, as 2 samples had it. */\nexport type Data = {\n  order: {\n    total: number;\n    \
                        lines: {\n      price: number;\n    }[];\n    class: string | null;\n    \"x-id\": string;\n  };\n  \
                        tags: unknown[];\n  paid?: boolean;\n};\n";
        assert_eq!(written(Written::TypeScript, &samples()), expected);
        assert!(written(Written::TypeScript, &[json!([1, "a"])]).ends_with("= (string | number)[];\n"));
    }

    #[test]
    fn python_has_a_class_for_each_object() {
        let text = written(Written::Python, &samples());
        for part in [
            "class Line(TypedDict):\n    price: float\n",
            "Order = TypedDict(\"Order\", {\n    \"total\": float,\n    \"lines\": list[Line],\n    \"class\": str | None,\n",
            "class Data(TypedDict):\n    order: Order\n    tags: list[Any]\n    paid: NotRequired[bool]\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.find("class Line").unwrap() < text.find("Order = ").unwrap());
        assert!(written(Written::Python, &[json!([1])]).ends_with("\n\nData = list[int]\n"));
    }

    #[test]
    fn rust_has_a_struct_for_each_object() {
        let text = written(Written::Rust, &samples());
        for part in [
            "pub struct Line {\n    pub price: f64,\n}",
            "    pub lines: Vec<Line>,\n    pub class: Option<String>,\n    #[serde(rename = \"x-id\")]\n    pub x_id: String,\n",
            "    pub tags: Vec<ringback_guest::Value>,\n    pub paid: Option<bool>,\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn names_become_names() {
        for (name, big, small) in [
            ("orderLines", "OrderLines", "order_lines"),
            ("x-hub-ID", "XHubId", "x_hub_id"),
            ("3d", "Member3d", "member_3d"),
            ("", "Member", "member_"),
        ] {
            assert_eq!((pascal(name).as_str(), snake(name).as_str()), (big, small), "{name}");
        }
        assert_eq!(
            (singular("Lines"), singular("Address"), singular("Data")),
            ("Line".into(), "AddressItem".into(), "DataItem".into())
        );
        // Two of the same name stay two.
        let twice = json!({ "a": { "x": { "n": 1 } }, "b": { "x": { "t": "" } } });
        let text = written(Written::Python, &[twice]);
        assert!(text.contains("class X(TypedDict)") && text.contains("class X2(TypedDict)"), "{text}");
    }
}
