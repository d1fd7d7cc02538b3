//! How the bodies of a trigger become data.

use super::files::SCHEMA;
use super::{Parser, has};
use crate::fit::{Fit, Form};
use crate::flow::document::{Kind, Node};
use crate::flow::schema::keys;
use crate::parse::{Mapping, Parse};
use crate::schema::{Flaw, Schema};
use ringback_records::plugin::Role;
use serde_json::Value;
use std::sync::Arc;

const PARSERS: &[&str] = &["json", "ndjson", "form", "multipart", "xml", "cloudevents", "text", "auto"];
/// Most elements that are named as lists, and most prefixes.
const NAMED_MAX: usize = 64;
/// Most types that a trigger has schemas of.
const TYPES_MAX: usize = 200;

impl Parser {
    pub(super) fn body_parser(&mut self, node: &Node) -> Option<Parse> {
        if let Some(call) = self.call(node, Role::Parser) {
            return call.map(|call| Parse::Plugin(Box::new(call)));
        }
        if has(node, "form") {
            let members = self.object(node, "a parser", &keys("formParser"))?;
            return self.fields_of_json(members.get("form")?, "`form`").map(|json| Parse::Form { json });
        }
        if has(node, "multipart") {
            let members = self.object(node, "a parser", &keys("multipartParser"))?;
            let json = self.fields_of_json(members.get("multipart")?, "`multipart`")?;
            return Some(Parse::Multipart { json: json.into() });
        }
        if has(node, "json") {
            let members = self.object(node, "a parser", &keys("jsonParser"))?;
            let members = self.object(members.get("json")?, "`json`", &keys("jsonOptions"))?;
            let any_type = self.required(&members, "any_type")?;
            let Kind::Scalar(Value::Bool(any_type)) = any_type.kind else {
                self.wrong(any_type, "true or false");
                return None;
            };
            return Some(Parse::Json { any_type });
        }
        if has(node, "xml") {
            let members = self.object(node, "a parser", &keys("xmlParser"))?;
            return self.xml_mapping(members.get("xml")?).map(|mapping| Parse::Xml(Arc::new(mapping)));
        }
        let what = "a parser (or `{json: {any_type: true}}`, `{form: {json: […]}}`, `{xml: {…}}`, `{plugin: …}`, `{script: …}`)";
        Some(match self.choice(node, what, PARSERS)? {
            "form" => Parse::Form { json: Vec::new() },
            "ndjson" => Parse::Ndjson,
            "cloudevents" => Parse::CloudEvents,
            "multipart" => Parse::Multipart { json: Arc::new([]) },
            "text" => Parse::Text,
            "xml" => Parse::Xml(Arc::default()),
            "auto" => Parse::Auto,
            _ => Parse::Json { any_type: false },
        })
    }

    fn fields_of_json(&mut self, node: &Node, what: &str) -> Option<Vec<String>> {
        let members = self.object(node, what, &keys("formOptions"))?;
        let list = self.required(&members, "json")?;
        let Kind::List(items) = &list.kind else {
            self.wrong(list, "a list of the fields that hold JSON, such as [payload]");
            return None;
        };
        Some(items.iter().filter_map(|item| self.text(item).map(str::to_owned)).collect())
    }

    /// A schema, or which one counts.
    pub(super) fn schema(&mut self, node: &Node) -> Option<Fit> {
        if !has(node, "of") {
            return self.json_schema(node).map(|schema| Fit { form: Form::One(schema), enforce: true });
        }
        let members = self.object(node, "`schema`", &keys("schemaOf"))?;
        let enforce = match members.get("enforce").map(|node| (node, &node.kind)) {
            None => true,
            Some((_, Kind::Scalar(Value::Bool(enforce)))) => *enforce,
            Some((node, _)) => {
                self.wrong(node, "true or false");
                true
            }
        };
        let of = members.get("of")?;
        let Some(by) = members.get("by") else {
            if let Some(member) = members.member("otherwise") {
                self.mistakes.push(member.name_at.mistake("`otherwise` is for schemas by type, which `by` tells"));
            }
            return self.json_schema(of).map(|schema| Fit { form: Form::One(schema), enforce });
        };
        let source = self.text(by)?.to_owned();
        let by = self.cel(by, &source);
        let otherwise = members.get("otherwise").map(|node| self.json_schema(node));
        let Kind::Object(types) = &of.kind else {
            self.wrong(of, "an object of types and their schemas");
            return None;
        };
        if types.is_empty() || types.len() > TYPES_MAX {
            self.mistakes.push(of.mistake(format!("expected 1 to {TYPES_MAX} types")));
        }
        let schemas = types.iter().filter_map(|kind| Some((kind.name.clone(), self.json_schema(&kind.value)?)));
        let form = Form::ByType { of: schemas.collect(), by: by?, otherwise: otherwise.flatten() };
        Some(Fit { form, enforce })
    }

    fn json_schema(&mut self, node: &Node) -> Option<Schema> {
        if !has(node, "file") {
            return self.schema_of(node);
        }
        let (path, text) = self.file_of(node, &SCHEMA)?;
        let before = self.mistakes.len();
        let schema = match Node::read(&text) {
            Ok(node) => self.schema_of(&node),
            Err(mistake) => {
                self.mistakes.push(mistake);
                None
            }
        };
        self.mistakes.iter_mut().skip(before).for_each(|mistake| mistake.file = Some(path.clone()));
        schema
    }

    fn schema_of(&mut self, node: &Node) -> Option<Schema> {
        let Some(value) = node.constant() else {
            self.mistakes.push(node.mistake("a schema is the same for every callback: it has no `${{ }}`"));
            return None;
        };
        match Schema::strict(value) {
            Ok(schema) => Some(schema),
            Err(flaws) => {
                let at = |flaw: Flaw| node.below(&flaw.pointer).mistake(flaw.detail);
                self.mistakes.extend(flaws.into_iter().map(at));
                None
            }
        }
    }

    fn xml_mapping(&mut self, node: &Node) -> Option<Mapping> {
        let members = self.object(node, "`xml`", &keys("xmlOptions"))?;
        let flag = |parser: &mut Self, name: &str| match members.get(name).map(|node| (node, &node.kind)) {
            None => false,
            Some((_, Kind::Scalar(Value::Bool(flag)))) => *flag,
            Some((node, _)) => {
                parser.wrong(node, "true or false");
                false
            }
        };
        let (any_type, ordered) = (flag(self, "any_type"), flag(self, "ordered"));
        let mut mapping = Mapping { any_type, ordered, ..Mapping::default() };
        match members.get("lists").map(|node| (node, &node.kind)) {
            None => {}
            Some((node, _)) if ordered => {
                self.mistakes.push(node.mistake("with `ordered` every element is in a list: leave `lists` out"));
            }
            Some((_, Kind::List(items))) if items.len() <= NAMED_MAX => {
                mapping.lists = items.iter().filter_map(|item| self.text(item).map(str::to_owned)).collect();
            }
            Some((node, _)) => {
                self.wrong(node, &format!("a list of at most {NAMED_MAX} elements that are lists, such as [item]"));
            }
        }
        match members.get("prefixes").map(|node| (node, &node.kind)) {
            None => {}
            Some((_, Kind::Object(prefixes))) if prefixes.len() <= NAMED_MAX => {
                for prefix in prefixes {
                    let name = &prefix.name;
                    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
                        self.mistakes
                            .push(prefix.name_at.mistake("a prefix is made of letters, digits, `_`, `-` and `.`"));
                    }
                    let namespace = self.text(&prefix.value).map(str::to_owned);
                    mapping.prefixes.extend(namespace.map(|namespace| (name.clone(), namespace)));
                }
            }
            Some((node, _)) => {
                let example = "such as { soap: 'http://schemas.xmlsoap.org/soap/envelope/' }";
                self.wrong(node, &format!("an object of at most {NAMED_MAX} prefixes and namespaces, {example}"));
            }
        }
        Some(mapping)
    }
}
