//! From a schema as it is written to nodes that refer to each other.

use super::Flaw;
use super::words::shown;
use crate::percent;
use crate::suggest::suggest;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use url::Url;

/// Most patterns of one schema, and how large each may become.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Most flaws that are said.
const FLAWS_MAX: usize = 50;
/// What a schema is called that says no name of its own.
const NAMELESS: &str = "https://schema.invalid/";
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "integer", "string"];

/// The place of a node.
pub(super) type Id = usize;

/// A schema, in nodes.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) nodes: Vec<Node>,
    pub(super) resources: Vec<Resource>,
    /// Whether anything asks for what others have not looked at.
    pub(super) tracks: bool,
    /// References that lead nowhere.
    pub(super) missing: Vec<String>,
    pub(super) flaws: Vec<Flaw>,
    /// The first of those where a keyword has another form than it has.
    pub(super) malformed: Option<Flaw>,
}

/// A part of a schema with a name of its own, or the whole.
#[derive(Debug)]
pub(super) struct Resource {
    url: Option<Url>,
    pointer: String,
    anchors: HashMap<String, String>,
    /// The anchors that those around it may have instead.
    dynamic: HashMap<String, String>,
    pub(super) dynamic_nodes: HashMap<String, Id>,
}

/// What a schema says.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) resource: usize,
    /// It is `false`.
    pub(super) never: bool,
    pub(super) types: Vec<String>,
    pub(super) constant: Option<Value>,
    pub(super) allowed: Option<Vec<Value>>,
    /// `minimum`, `exclusiveMinimum`, `maximum`, `exclusiveMaximum`.
    pub(super) bounds: [Option<Number>; 4],
    pub(super) unit: Option<Number>,
    pub(super) length: Size,
    pub(super) pattern: Option<(String, Regex)>,
    pub(super) count: Size,
    pub(super) unique: bool,
    pub(super) first: Vec<Id>,
    pub(super) items: Option<Id>,
    pub(super) contains: Option<Id>,
    pub(super) contained: Size,
    pub(super) members: Size,
    pub(super) property_names: Vec<String>,
    pub(super) properties: HashMap<String, Id>,
    /// A pattern that could not be taken may be meant.
    pub(super) by_pattern: Vec<(Option<Regex>, Id)>,
    pub(super) additional: Option<Id>,
    pub(super) names: Option<Id>,
    pub(super) required: Vec<String>,
    pub(super) dependent: Vec<(String, Vec<String>)>,
    pub(super) dependent_schemas: Vec<(String, Id)>,
    pub(super) reference: Option<Id>,
    pub(super) dynamic: Option<(Id, Option<String>)>,
    pub(super) all: Vec<Id>,
    pub(super) any: Vec<Id>,
    pub(super) one: Vec<Id>,
    pub(super) not: Option<Id>,
    pub(super) condition: Option<Id>,
    pub(super) then: Option<Id>,
    pub(super) otherwise: Option<Id>,
    pub(super) unevaluated_items: Option<Id>,
    pub(super) unevaluated_members: Option<Id>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
}

impl Size {
    pub(super) fn is_any(self) -> bool {
        self.min.is_none() && self.max.is_none()
    }
}

/// What stands under a keyword.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Schema,
    Schemas,
    SchemasByName,
    Type,
    Anything,
    List,
    Number,
    Above,
    Count,
    Text,
    Pattern,
    Flag,
    Names,
    NamesByName,
    Reference,
    Anchor,
    Dialect,
    Object,
}

const KEYWORDS: &[(&str, Form)] = &[
    ("$schema", Form::Dialect),
    ("$id", Form::Reference),
    ("$anchor", Form::Anchor),
    ("$dynamicAnchor", Form::Anchor),
    ("$ref", Form::Reference),
    ("$dynamicRef", Form::Reference),
    ("$defs", Form::SchemasByName),
    ("$comment", Form::Text),
    ("$vocabulary", Form::Object),
    ("type", Form::Type),
    ("const", Form::Anything),
    ("enum", Form::List),
    ("multipleOf", Form::Above),
    ("minimum", Form::Number),
    ("exclusiveMinimum", Form::Number),
    ("maximum", Form::Number),
    ("exclusiveMaximum", Form::Number),
    ("minLength", Form::Count),
    ("maxLength", Form::Count),
    ("pattern", Form::Pattern),
    ("minItems", Form::Count),
    ("maxItems", Form::Count),
    ("uniqueItems", Form::Flag),
    ("prefixItems", Form::Schemas),
    ("items", Form::Schema),
    ("contains", Form::Schema),
    ("minContains", Form::Count),
    ("maxContains", Form::Count),
    ("minProperties", Form::Count),
    ("maxProperties", Form::Count),
    ("properties", Form::SchemasByName),
    ("patternProperties", Form::SchemasByName),
    ("additionalProperties", Form::Schema),
    ("propertyNames", Form::Schema),
    ("required", Form::Names),
    ("dependentRequired", Form::NamesByName),
    ("dependentSchemas", Form::SchemasByName),
    ("allOf", Form::Schemas),
    ("anyOf", Form::Schemas),
    ("oneOf", Form::Schemas),
    ("not", Form::Schema),
    ("if", Form::Schema),
    ("then", Form::Schema),
    ("else", Form::Schema),
    ("unevaluatedItems", Form::Schema),
    ("unevaluatedProperties", Form::Schema),
    ("title", Form::Text),
    ("description", Form::Text),
    ("default", Form::Anything),
    ("examples", Form::Anything),
    ("deprecated", Form::Flag),
    ("readOnly", Form::Flag),
    ("writeOnly", Form::Flag),
    ("format", Form::Text),
    ("contentEncoding", Form::Text),
    ("contentMediaType", Form::Text),
    ("contentSchema", Form::Schema),
    // Of earlier drafts, which some schemas still have their definitions under.
    ("definitions", Form::SchemasByName),
];

fn form_of(keyword: &str) -> Option<Form> {
    KEYWORDS.iter().find(|(name, _)| *name == keyword).map(|(_, form)| *form)
}

/// What a keyword must be instead.
fn expected(form: Form, value: &Value) -> Option<&'static str> {
    let is_schema = |value: &Value| value.is_object() || value.is_boolean();
    let is_text = |value: &Value| value.is_string();
    let are_names = |value: &Value| value.as_array().is_some_and(|names| names.iter().all(is_text));
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let number = |value: &Value| value.as_number().map(|number| number.to_string().parse::<f64>().unwrap_or(f64::NAN));
    let (is_right, words) = match form {
        Form::Schema => (is_schema(value), "a schema: an object, or true or false"),
        Form::Schemas => {
            let is_list = value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_schema));
            (is_list, "a list of schemas, which is not empty")
        }
        Form::SchemasByName => {
            (value.as_object().is_some_and(|members| members.values().all(is_schema)), "an object of schemas")
        }
        Form::Type => {
            let is_list =
                |value: &Value| value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_type));
            (
                is_type(value) || is_list(value),
                "null, boolean, object, array, number, integer or string, or a list of these",
            )
        }
        Form::Anything => (true, ""),
        Form::List => (value.is_array(), "a list of values"),
        Form::Number => (value.is_number(), "a number"),
        Form::Above => (number(value).is_some_and(|number| number > 0.0), "a number above 0"),
        Form::Count => {
            (number(value).is_some_and(|number| number >= 0.0 && number.fract() == 0.0), "a whole number of 0 or more")
        }
        Form::Text | Form::Pattern | Form::Reference | Form::Dialect => (is_text(value), "a text"),
        Form::Flag => (value.is_boolean(), "true or false"),
        Form::Names => (are_names(value), "a list of names"),
        Form::NamesByName => {
            (value.as_object().is_some_and(|members| members.values().all(are_names)), "an object of lists of names")
        }
        Form::Anchor => (value.as_str().is_some_and(is_anchor), "a name of letters, digits, `-`, `_` and `.`"),
        Form::Object => (value.is_object(), "an object"),
    };
    (!is_right).then_some(words)
}

fn is_anchor(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

pub(super) fn compile(root: &Value) -> Compiled {
    let mut compiler = Compiler { root, out: Compiled::default(), nodes: HashMap::new(), patterns: HashMap::new() };
    let url = Url::parse(NAMELESS).ok();
    compiler.resource(url, String::new());
    compiler.survey(root, &mut String::new(), 0);
    compiler.node("");
    for resource in 0..compiler.out.resources.len() {
        let dynamic = compiler.out.resources.get(resource).map(|resource| resource.dynamic.clone());
        for (name, pointer) in dynamic.into_iter().flatten() {
            let node = compiler.node(&pointer);
            if let Some(resource) = compiler.out.resources.get_mut(resource) {
                resource.dynamic_nodes.insert(name, node);
            }
        }
    }
    compiler.out
}

struct Compiler<'v> {
    root: &'v Value,
    out: Compiled,
    /// By their places in the schema.
    nodes: HashMap<String, Id>,
    patterns: HashMap<String, Option<Regex>>,
}

fn below(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

impl<'v> Compiler<'v> {
    fn resource(&mut self, url: Option<Url>, pointer: String) -> usize {
        let (anchors, dynamic, dynamic_nodes) = (HashMap::new(), HashMap::new(), HashMap::new());
        self.out.resources.push(Resource { url, pointer, anchors, dynamic, dynamic_nodes });
        self.out.resources.len() - 1
    }

    fn flaw(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.out.flaws.len() < FLAWS_MAX {
            self.out.flaws.push(Flaw { pointer: pointer.to_owned(), detail: detail.into() });
        }
    }

    /// Finds names, and what has not the form that its keyword has.
    fn survey(&mut self, schema: &'v Value, pointer: &mut String, around: usize) {
        let Value::Object(members) = schema else { return };
        let mut resource = around;
        if let Some(Value::String(id)) = members.get("$id") {
            let base = self.out.resources.get(around).and_then(|resource| resource.url.clone());
            match base.and_then(|base| base.join(id).ok()) {
                Some(mut url) => {
                    if url.fragment().is_some_and(|fragment| !fragment.is_empty()) {
                        self.flaw(&below(pointer, "$id"), "a name of a schema has no fragment");
                    }
                    url.set_fragment(None);
                    if self.out.resources.iter().any(|known| known.url.as_ref() == Some(&url)) {
                        self.flaw(&below(pointer, "$id"), "another schema has this name");
                    }
                    match self.out.resources.get_mut(around).filter(|_| pointer.is_empty()) {
                        Some(root) => root.url = Some(url),
                        None => resource = self.resource(Some(url), pointer.clone()),
                    }
                }
                None => self.flaw(&below(pointer, "$id"), "this is no URL"),
            }
        }
        for (keyword, is_dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            let Some(Value::String(name)) = members.get(keyword) else { continue };
            let Some(resource) = self.out.resources.get_mut(resource) else { continue };
            let is_again = resource.anchors.insert(name.clone(), pointer.clone()).is_some_and(|at| at != *pointer);
            if is_dynamic {
                resource.dynamic.insert(name.clone(), pointer.clone());
            }
            if is_again {
                self.flaw(&below(pointer, keyword), "another schema has this anchor");
            }
        }
        for (keyword, value) in members {
            let end = pointer.len();
            pointer.push('/');
            pointer.push_str(&keyword.replace('~', "~0").replace('/', "~1"));
            match form_of(keyword) {
                Some(form) => self.survey_keyword(form, keyword, value, pointer, resource),
                None => {
                    let meant = suggest(keyword, KEYWORDS.iter().map(|(name, _)| *name));
                    if !meant.is_empty() {
                        self.flaw(pointer, format!("`{}` is no keyword of a schema{meant}", shown(keyword)));
                    }
                }
            }
            pointer.truncate(end);
        }
    }

    fn survey_keyword(&mut self, form: Form, keyword: &str, value: &'v Value, pointer: &mut String, resource: usize) {
        if let Some(expected) = expected(form, value) {
            let detail = format!("`{keyword}` is {expected}");
            self.out.malformed.get_or_insert_with(|| Flaw { pointer: pointer.clone(), detail: detail.clone() });
            self.flaw(pointer, detail);
        }
        match (form, value) {
            (Form::Dialect, Value::String(dialect)) if dialect.trim_end_matches('#') != DIALECT => {
                self.flaw(pointer, format!("only schemas of 2020-12 are known here, whose `$schema` is `{DIALECT}`"));
            }
            (Form::Pattern, Value::String(pattern)) => {
                let taken = self.pattern(pattern).map(drop);
                taken.unwrap_or_else(|why| self.flaw(pointer, why));
            }
            (Form::Schema, value) => self.survey(value, pointer, resource),
            (Form::Schemas, Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.survey_below(&index.to_string(), item, pointer, resource);
                }
            }
            (Form::SchemasByName, Value::Object(members)) => {
                for (name, member) in members {
                    if keyword == "patternProperties"
                        && let Err(why) = self.pattern(name)
                    {
                        self.flaw(&below(pointer, name), why);
                    }
                    self.survey_below(name, member, pointer, resource);
                }
            }
            _ => {}
        }
    }

    fn survey_below(&mut self, name: &str, value: &'v Value, pointer: &mut String, resource: usize) {
        let end = pointer.len();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        self.survey(value, pointer, resource);
        pointer.truncate(end);
    }

    fn pattern(&mut self, pattern: &str) -> Result<Regex, String> {
        if let Some(known) = self.patterns.get(pattern) {
            return known.clone().ok_or_else(|| "this pattern cannot be taken".to_owned());
        }
        let (compiled, why) = if self.patterns.len() >= PATTERNS_MAX {
            (None, format!("a schema has {PATTERNS_MAX} patterns at most"))
        } else {
            match RegexBuilder::new(&translated(pattern)).size_limit(PATTERN_BYTES_MAX).build() {
                Ok(compiled) => (Some(compiled), String::new()),
                Err(regex::Error::CompiledTooBig(_)) => {
                    (None, "this pattern becomes too large: write fewer or smaller repetitions".to_owned())
                }
                Err(error) => {
                    let error = error.to_string();
                    let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                    let hint = "patterns that can take for ever (look-around, back references) are not taken";
                    (None, format!("this pattern cannot be taken: {why}; {hint}"))
                }
            }
        };
        self.patterns.insert(pattern.to_owned(), compiled.clone());
        compiled.ok_or(why)
    }

    /// The resource in which a place is: the innermost.
    fn resource_of(&self, pointer: &str) -> usize {
        let is_around = |resource: &Resource| {
            pointer.strip_prefix(&resource.pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let around = self.out.resources.iter().enumerate().filter(|(_, resource)| is_around(resource));
        around.max_by_key(|(_, resource)| resource.pointer.len()).map_or(0, |(index, _)| index)
    }

    /// The place that a reference leads to, and the anchor that those around it may have instead.
    fn refer(&self, resource: usize, reference: &str) -> Option<(String, Option<String>)> {
        let base = self.out.resources.get(resource)?.url.as_ref()?;
        let mut url = base.join(reference).ok()?;
        let fragment = url.fragment().unwrap_or_default().to_owned();
        url.set_fragment(None);
        let resource = self.out.resources.iter().find(|resource| resource.url.as_ref() == Some(&url))?;
        if fragment.is_empty() || fragment.starts_with('/') {
            let fragment = percent::decoded(&fragment)?;
            let pointer = resource.pointer.clone() + &fragment;
            return self.root.pointer(&pointer).map(|_| (pointer, None));
        }
        let anchor = resource.dynamic.contains_key(&fragment).then(|| fragment.clone());
        resource.anchors.get(&fragment).map(|pointer| (pointer.clone(), anchor))
    }

    fn reference(
        &mut self,
        resource: usize,
        pointer: &str,
        keyword: &str,
        reference: &str,
    ) -> Option<(Id, Option<String>)> {
        match self.refer(resource, reference) {
            Some((target, anchor)) => Some((self.node(&target), anchor)),
            None => {
                let is_elsewhere = !reference.starts_with('#');
                let why = if is_elsewhere {
                    "is not in this schema, and nothing is fetched: put what it refers to under `$defs`"
                } else {
                    "is not in this schema"
                };
                self.flaw(&below(pointer, keyword), format!("`{}` {why}", shown(reference)));
                self.out.missing.push(reference.to_owned());
                None
            }
        }
    }

    /// The node of a place, which is made where there is none yet.
    fn node(&mut self, pointer: &str) -> Id {
        if let Some(id) = self.nodes.get(pointer) {
            return *id;
        }
        let id = self.out.nodes.len();
        self.out.nodes.push(Node::default());
        self.nodes.insert(pointer.to_owned(), id);
        let root: &'v Value = self.root;
        let resource = self.resource_of(pointer);
        let mut node = Node { resource, ..Node::default() };
        match root.pointer(pointer) {
            Some(Value::Bool(false)) => node.never = true,
            Some(Value::Object(members)) => self.fill(&mut node, members, pointer),
            _ => {}
        }
        if let Some(place) = self.out.nodes.get_mut(id) {
            *place = node;
        }
        id
    }

    fn fill(&mut self, node: &mut Node, members: &'v Map<String, Value>, pointer: &str) {
        let resource = node.resource;
        let named = |keyword: &str| members.get(keyword);
        node.types = match named("type") {
            Some(Value::String(name)) => vec![name.clone()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        node.constant = named("const").cloned();
        node.allowed = named("enum").and_then(Value::as_array).cloned();
        let number = |keyword: &str| named(keyword).and_then(Value::as_number).cloned();
        node.bounds = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"].map(number);
        node.unit = number("multipleOf").filter(|unit| unit.to_string().parse::<f64>().is_ok_and(|unit| unit > 0.0));
        let size = |min: &str, max: &str| {
            let [min, max] = [min, max].map(|name| named(name).and_then(Value::as_f64));
            Size { min, max }
        };
        node.length = size("minLength", "maxLength");
        node.count = size("minItems", "maxItems");
        node.contained = size("minContains", "maxContains");
        node.members = size("minProperties", "maxProperties");
        if let Some(Value::String(pattern)) = named("pattern") {
            node.pattern = self.pattern(pattern).ok().map(|compiled| (pattern.clone(), compiled));
        }
        node.unique = named("uniqueItems") == Some(&Value::Bool(true));
        node.first = self.list(pointer, "prefixItems", members);
        node.items = self.one(pointer, "items", members);
        node.contains = self.one(pointer, "contains", members);
        let properties = self.by_name(pointer, "properties", members);
        node.property_names = properties.iter().map(|(name, _)| name.clone()).collect();
        node.properties = properties.into_iter().collect();
        for (pattern, id) in self.by_name(pointer, "patternProperties", members) {
            node.by_pattern.push((self.pattern(&pattern).ok(), id));
        }
        node.additional = self.one(pointer, "additionalProperties", members);
        node.names = self.one(pointer, "propertyNames", members);
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        node.required = named("required").map(texts).unwrap_or_default();
        if let Some(Value::Object(dependent)) = named("dependentRequired") {
            node.dependent = dependent.iter().map(|(name, names)| (name.clone(), texts(names))).collect();
        }
        node.dependent_schemas = self.by_name(pointer, "dependentSchemas", members);
        if let Some(Value::String(reference)) = named("$ref") {
            node.reference = self.reference(resource, pointer, "$ref", reference).map(|(id, _)| id);
        }
        if let Some(Value::String(reference)) = named("$dynamicRef") {
            node.dynamic = self.reference(resource, pointer, "$dynamicRef", reference);
        }
        node.all = self.list(pointer, "allOf", members);
        node.any = self.list(pointer, "anyOf", members);
        node.one = self.list(pointer, "oneOf", members);
        node.not = self.one(pointer, "not", members);
        node.condition = self.one(pointer, "if", members);
        node.then = self.one(pointer, "then", members);
        node.otherwise = self.one(pointer, "else", members);
        node.unevaluated_items = self.one(pointer, "unevaluatedItems", members);
        node.unevaluated_members = self.one(pointer, "unevaluatedProperties", members);
        self.out.tracks |= node.unevaluated_items.is_some() || node.unevaluated_members.is_some();
    }

    fn one(&mut self, pointer: &str, keyword: &str, members: &Map<String, Value>) -> Option<Id> {
        members.get(keyword).filter(|value| value.is_object() || value.is_boolean())?;
        Some(self.node(&below(pointer, keyword)))
    }

    fn list(&mut self, pointer: &str, keyword: &str, members: &Map<String, Value>) -> Vec<Id> {
        let count = members.get(keyword).and_then(Value::as_array).map_or(0, Vec::len);
        let pointer = below(pointer, keyword);
        (0..count).map(|index| self.node(&format!("{pointer}/{index}"))).collect()
    }

    fn by_name(&mut self, pointer: &str, keyword: &str, members: &'v Map<String, Value>) -> Vec<(String, Id)> {
        let pointer = below(pointer, keyword);
        let named = members.get(keyword).and_then(Value::as_object).into_iter().flatten();
        named.map(|(name, _)| (name.clone(), self.node(&below(&pointer, name)))).collect()
    }
}

/// A pattern of ECMAScript as one of ours: there, digits and letters of words are those of ASCII, and a bracket in brackets is itself.
fn translated(pattern: &str) -> String {
    let (mut out, mut in_class, mut characters) = (String::with_capacity(pattern.len()), false, pattern.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[A-Za-z0-9_]"),
                Some('W') => out.push_str("[^A-Za-z0-9_]"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if in_class => out.push_str("\\["),
            '&' | '~' if in_class => out.extend(['\\', character]),
            _ => {
                in_class = character == '[' || (in_class && character != ']');
                out.push(character);
            }
        }
    }
    out
}
