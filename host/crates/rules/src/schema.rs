//! JSON Schema (2020-12), as far as configurations need it. Schemas come from plugins, so that nobody vouches for them: what a
//! check does is counted, its patterns are those of a library that takes linear time, and what is not known here is not checked.

use crate::suggest::suggest;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How much may be done in one check: a unit is what a schema costs that says little of a small value. And how deep it may go.
const COST_MAX: usize = 100_000;
const DEPTH_MAX: usize = 100;
const TOO_MUCH: &str = "cannot be checked: the plugin's schema needs too much work for it";
/// Most patterns of one schema, and how large each may become.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Most characters of a value, and most words of a list, in a message.
const SHOWN_CHARS_MAX: usize = 60;
const SHOWN_WORDS_MAX: usize = 20;
/// Most forms whose mistakes are all said.
const FORMS_SAID_MAX: usize = 3;

/// A schema of a configuration.
#[derive(Clone, Debug)]
pub struct Schema {
    value: Value,
    patterns: BTreeMap<String, Regex>,
}

/// Where a value does not fit, as a JSON Pointer into it, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub pointer: String,
    pub detail: String,
}

impl Schema {
    /// Takes a schema.
    ///
    /// # Errors
    ///
    /// It is none, in words that go on after "it".
    pub fn new(value: Value) -> Result<Self, String> {
        let (mut patterns, mut missing) = (BTreeMap::new(), None);
        if !value.is_object() && !value.is_boolean() {
            return Err("is no object".to_owned());
        }
        survey(&value, &mut |schema| {
            let keys = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
            for pattern in schema.get("pattern").and_then(Value::as_str).into_iter().chain(keys.map(String::as_str)) {
                // Of more than is known here, or too large: it is not checked.
                if patterns.len() < PATTERNS_MAX
                    && let Ok(compiled) = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build()
                {
                    patterns.insert(pattern.to_owned(), compiled);
                }
            }
            if let Some(Value::String(reference)) = schema.get("$ref")
                && referred(&value, reference).is_none()
            {
                missing = Some(format!("refers to `{}`, which it does not have", shown(reference)));
            }
        });
        missing.map_or(Ok(Self { value, patterns }), Err)
    }

    /// The schema as it was written.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether a value fits.
    ///
    /// # Errors
    ///
    /// Where it does not, first; or the schema needs more work than a check may do.
    pub fn check(&self, value: &Value) -> Result<(), Misfit> {
        Checking { schema: self, spent: 0 }.check(&self.value, value, &mut At::default())
    }
}

/// Shows every object of a schema that may be one itself.
fn survey<'s>(value: &'s Value, see: &mut impl FnMut(&'s Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            see(members);
            let is_schema = |name: &str| !matches!(name, "const" | "enum" | "default" | "examples");
            members.iter().filter(|(name, _)| is_schema(name)).for_each(|(_, value)| survey(value, see));
        }
        Value::Array(items) => items.iter().for_each(|value| survey(value, see)),
        _ => {}
    }
}

/// The part of a schema that a reference leads to.
fn referred<'s>(root: &'s Value, reference: &str) -> Option<&'s Value> {
    root.pointer(reference.strip_prefix('#')?)
}

/// A place in a value, on the way down.
#[derive(Default)]
struct At {
    pointer: String,
    depth: usize,
}

impl At {
    /// Goes down to a member for as long as it is looked at.
    fn within<T>(&mut self, member: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        let end = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&member.replace('~', "~0").replace('/', "~1"));
        let seen = look(self);
        self.pointer.truncate(end);
        seen
    }

    fn misfit(&self, detail: impl Into<String>) -> Result<(), Misfit> {
        Err(Misfit { pointer: self.pointer.clone(), detail: detail.into() })
    }
}

struct Checking<'s> {
    schema: &'s Schema,
    spent: usize,
}

/// What it costs to hold a schema against a value, without what is below both.
fn cost(schema: &Map<String, Value>, value: &Value) -> usize {
    let length = |name: &str| match schema.get(name) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(members)) => members.len(),
        _ => 0,
    };
    let compared = match schema.contains_key("const") || schema.contains_key("enum") {
        true => size(value, COST_MAX).saturating_mul(1 + length("enum") / 16),
        false => 0,
    };
    let own = match value {
        Value::String(text) if ["pattern", "minLength", "maxLength"].iter().any(|name| schema.contains_key(*name)) => {
            text.len() / 256
        }
        Value::Array(items) if schema.contains_key("uniqueItems") => {
            size(value, COST_MAX).saturating_mul(1 + items.len() / 16)
        }
        Value::Object(members) => {
            let names = members.len().saturating_mul(length("patternProperties"));
            names.saturating_add((length("required") + length("dependentRequired")) / 16)
        }
        _ => 0,
    };
    compared.saturating_add(own).saturating_add(1)
}

/// Of how many values one is made, counted up to `max`; a long text is several.
fn size(value: &Value, max: usize) -> usize {
    match value {
        Value::Array(items) => {
            items.iter().fold(1, |sum, item| if sum < max { sum + size(item, max - sum) } else { sum })
        }
        Value::Object(members) => {
            members.values().fold(1, |sum, member| if sum < max { sum + size(member, max - sum) } else { sum })
        }
        Value::String(text) => 1 + text.len() / 256,
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

impl<'s> Checking<'s> {
    fn check(&mut self, schema: &'s Value, value: &Value, at: &mut At) -> Result<(), Misfit> {
        self.spent = self.spent.saturating_add(schema.as_object().map_or(1, |schema| cost(schema, value)));
        if self.spent > COST_MAX || at.depth > DEPTH_MAX {
            return at.misfit(TOO_MUCH);
        }
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return at.misfit("is not allowed here"),
            _ => return Ok(()),
        };
        at.depth += 1;
        let checked = self.check_keywords(schema, value, at);
        at.depth -= 1;
        checked
    }

    fn check_keywords(&mut self, schema: &'s Map<String, Value>, value: &Value, at: &mut At) -> Result<(), Misfit> {
        check_value(schema, value, at)?;
        match value {
            Value::String(text) => self.check_text(schema, text, at)?,
            Value::Number(_) => check_number(schema, value, at)?,
            Value::Array(items) => self.check_items(schema, items, at)?,
            Value::Object(members) => self.check_members(schema, members, at)?,
            Value::Null | Value::Bool(_) => {}
        }
        if let Some(Value::String(reference)) = schema.get("$ref")
            && let Some(referred) = referred(&self.schema.value, reference)
        {
            self.check(referred, value, at)?;
        }
        self.check_forms(schema, value, at)
    }

    /// What other schemas say of the same value.
    fn check_forms(&mut self, schema: &'s Map<String, Value>, value: &Value, at: &mut At) -> Result<(), Misfit> {
        let forms = |name| schema.get(name).and_then(Value::as_array).filter(|forms| !forms.is_empty());
        for form in forms("allOf").into_iter().flatten() {
            self.check(form, value, at)?;
        }
        if let Some(forms) = forms("anyOf") {
            self.check_alternatives(forms, value, at)?;
        }
        if let Some(forms) = forms("oneOf")
            && self.check_alternatives(forms, value, at)? > 1
        {
            return at.misfit("fits several of the forms that it can have, of which it may have one");
        }
        if let Some(other) = schema.get("not")
            && self.check(other, value, at).is_ok()
        {
            return at.misfit("has a form that is not allowed");
        }
        if let Some(condition) = schema.get("if") {
            let branch = if self.check(condition, value, at).is_ok() { "then" } else { "else" };
            schema.get(branch).map_or(Ok(()), |branch| self.check(branch, value, at))?;
        }
        Ok(())
    }

    /// How many of the forms a value has. When it has none, the one is meant in which it goes the farthest.
    fn check_alternatives(&mut self, forms: &'s [Value], value: &Value, at: &mut At) -> Result<usize, Misfit> {
        let (mut fitting, mut misfits) = (0, Vec::new());
        for form in forms {
            match self.check(form, value, at) {
                Ok(()) => fitting += 1,
                Err(misfit) => misfits.push(misfit),
            }
        }
        if fitting > 0 {
            return Ok(fitting);
        }
        let farthest = misfits.iter().map(|misfit| depth_of(&misfit.pointer)).max().unwrap_or_default();
        misfits.retain(|misfit| depth_of(&misfit.pointer) == farthest);
        misfits.dedup();
        let details: Vec<&str> = misfits.iter().map(|misfit| misfit.detail.as_str()).collect();
        let is_same_place =
            misfits.iter().all(|misfit| Some(&misfit.pointer) == misfits.first().map(|first| &first.pointer));
        match misfits.first() {
            Some(only) if misfits.len() == 1 => Err(only.clone()),
            Some(first) if is_same_place && misfits.len() <= FORMS_SAID_MAX => {
                Err(Misfit { pointer: first.pointer.clone(), detail: details.join(", or ") })
            }
            _ => at.misfit(format!("has none of the {} forms that it can have", forms.len())).map(|()| 0),
        }
    }

    fn check_text(&mut self, schema: &Map<String, Value>, text: &str, at: &At) -> Result<(), Misfit> {
        check_size(schema, ["minLength", "maxLength"], text.chars().count(), "characters", at)?;
        if let Some(Value::String(pattern)) = schema.get("pattern")
            && self.schema.patterns.get(pattern).is_some_and(|known| !known.is_match(text))
        {
            return at.misfit(format!("must match `{}`, which the text {} does not", shown(pattern), quoted(text)));
        }
        Ok(())
    }

    fn check_items(&mut self, schema: &'s Map<String, Value>, items: &[Value], at: &mut At) -> Result<(), Misfit> {
        check_size(schema, ["minItems", "maxItems"], items.len(), "items", at)?;
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            let is_again = |(index, item): &(usize, &Value)| items.iter().take(*index).any(|other| same(other, item));
            if let Some((index, _)) = items.iter().enumerate().find(is_again) {
                return at.within(&index.to_string(), |at| at.misfit("is there twice"));
            }
        }
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or_else(|| schema.get("items")) {
                at.within(&index.to_string(), |at| self.check(schema, item, at))?;
            }
        }
        if let Some(wanted) = schema.get("contains")
            && !items.iter().any(|item| self.check(wanted, item, at).is_ok())
        {
            return at.misfit("has no item of the form that one must have");
        }
        Ok(())
    }

    fn check_members(
        &mut self,
        schema: &'s Map<String, Value>,
        members: &Map<String, Value>,
        at: &mut At,
    ) -> Result<(), Misfit> {
        check_size(schema, ["minProperties", "maxProperties"], members.len(), "members", at)?;
        let properties = schema.get("properties").and_then(Value::as_object);
        let by_pattern = schema.get("patternProperties").and_then(Value::as_object);
        for (name, value) in members {
            let mut is_known = false;
            if let Some(property) = properties.and_then(|properties| properties.get(name)) {
                is_known = true;
                at.within(name, |at| self.check(property, value, at))?;
            }
            for (pattern, property) in by_pattern.into_iter().flatten() {
                // One that could not be read may be meant.
                let matches = self.schema.patterns.get(pattern).map(|pattern| pattern.is_match(name));
                is_known |= matches != Some(false);
                if matches == Some(true) {
                    at.within(name, |at| self.check(property, value, at))?;
                }
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) if !is_known => {
                    let known = || properties.into_iter().flat_map(Map::keys).map(String::as_str);
                    let meant = suggest(name, known());
                    return at.within(name, |at| {
                        at.misfit(format!("is not known here{meant}; known: {}", listed(known().map(str::to_owned))))
                    });
                }
                Some(further) if !is_known => at.within(name, |at| self.check(further, value, at))?,
                _ => {}
            }
            if let Some(names) = schema.get("propertyNames") {
                at.within(name, |at| self.check(names, &Value::from(name.as_str()), at))?;
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let dependent = schema.get("dependentRequired").and_then(Value::as_object).into_iter().flatten();
        let dependent = dependent.filter(|(name, _)| members.contains_key(*name));
        let dependent = dependent.flat_map(|(_, names)| names.as_array().into_iter().flatten());
        let missing = required.chain(dependent).filter_map(Value::as_str).find(|name| !members.contains_key(*name));
        missing.map_or(Ok(()), |name| at.misfit(format!("`{}` is missing", shown(name))))
    }
}

/// What is said of a value of any type.
fn check_value(schema: &Map<String, Value>, value: &Value, at: &At) -> Result<(), Misfit> {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
        let types: Vec<&str> = types.into_iter().map(worded).collect();
        return at.misfit(format!("must be {}, and is {}", types.join(" or "), described(value)));
    }
    if let Some(only) = schema.get("const")
        && !same(only, value)
    {
        return at.misfit(format!("must be {}, and is {}", described(only), described(value)));
    }
    match schema.get("enum").and_then(Value::as_array) {
        Some(allowed) if !allowed.iter().any(|allowed| same(allowed, value)) => {
            let meant = value.as_str().map(|found| suggest(found, allowed.iter().filter_map(Value::as_str)));
            let allowed = listed(allowed.iter().map(|allowed| match allowed {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }));
            at.misfit(format!("is {}{}; allowed: {allowed}", described(value), meant.unwrap_or_default()))
        }
        _ => Ok(()),
    }
}

type Holds = fn(f64, f64) -> bool;

fn check_number(schema: &Map<String, Value>, value: &Value, at: &At) -> Result<(), Misfit> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    let bounds: [(&str, &str, Holds); 4] = [
        ("minimum", "at least", |number, bound| number >= bound),
        ("exclusiveMinimum", "more than", |number, bound| number > bound),
        ("maximum", "at most", |number, bound| number <= bound),
        ("exclusiveMaximum", "less than", |number, bound| number < bound),
    ];
    for (name, words, holds) in bounds {
        if let Some(bound) = schema.get(name)
            && bound.as_f64().is_some_and(|bound| !holds(number, bound))
        {
            return at.misfit(format!("must be {words} {bound}, and is {}", described(value)));
        }
    }
    match schema.get("multipleOf").and_then(Value::as_f64) {
        Some(unit) if unit > 0.0 && (number / unit).fract() != 0.0 => {
            at.misfit(format!("must be a multiple of {unit}, and is {}", described(value)))
        }
        _ => Ok(()),
    }
}

fn check_size(schema: &Map<String, Value>, names: [&str; 2], size: usize, of: &str, at: &At) -> Result<(), Misfit> {
    let bounds = names.map(|name| schema.get(name).and_then(Value::as_f64));
    #[expect(clippy::cast_precision_loss, reason = "no configuration has so many of anything")]
    let found = size as f64;
    match bounds {
        [Some(min), _] if found < min => at.misfit(format!("has {size} {of}, and must have {min} at least")),
        [_, Some(max)] if found > max => at.misfit(format!("has {size} {of}, and may have {max} at most")),
        _ => Ok(()),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match (name, value) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("string", Value::String(_))
        | ("array", Value::Array(_))
        | ("object", Value::Object(_))
        | ("number", Value::Number(_)) => true,
        ("integer", Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        ("null" | "boolean" | "string" | "array" | "object" | "number" | "integer", _) => false,
        // Of more types than are known here.
        _ => true,
    }
}

fn worded(name: &str) -> &str {
    match name {
        "null" => "nothing",
        "boolean" => "true or false",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        "number" => "a number",
        "integer" => "a whole number",
        other => other,
    }
}

/// What was found, for a message.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{}`", shown(&value.to_string())),
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", shown(text))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.take(SHOWN_WORDS_MAX + 1).map(|word| format!("`{}`", shown(&word))).collect();
    if words.len() > SHOWN_WORDS_MAX {
        words.truncate(SHOWN_WORDS_MAX);
        words.push("…".to_owned());
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn depth_of(pointer: &str) -> usize {
    pointer.matches('/').count()
}

/// `1` and `1.0` are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::{Misfit, Schema};
    use serde_json::{Value, json};

    fn check(schema: &Value, value: &Value) -> Result<(), Misfit> {
        Schema::new(schema.clone()).unwrap().check(value)
    }

    /// A keyword, what does not fit it and where, and what does.
    #[test]
    fn what_does_not_fit_is_refused_where_it_stands() {
        let cases = json!([
            [{ "type": "integer" }, 1.5, "", "must be a whole number, and is `1.5`", 1.0],
            [{ "type": ["string", "null"] }, [], "", "must be a text or nothing, and is a list", null],
            [{ "enum": ["equals", 1] }, "equal", "", "is the text \"equal\" (did you mean `equals`?)", 1.0],
            [{ "const": { "a": [1] } }, { "a": [2] }, "", "must be an object", { "a": [1.0] }],
            [{ "minimum": 3 }, 2, "", "must be at least 3, and is `2`", 3],
            [{ "exclusiveMaximum": 3 }, 3, "", "must be less than 3", 2],
            [{ "multipleOf": 0.5 }, 0.7, "", "must be a multiple of 0.5", 1.5],
            [{ "maxLength": 1 }, "éé", "", "has 2 characters, and may have 1 at most", "é"],
            [{ "pattern": "^\\$" }, "a", "", "must match `^\\$`, which the text \"a\" does not", "$.a"],
            [{ "minItems": 1 }, [], "", "has 0 items, and must have 1 at least", [0]],
            [{ "items": { "type": "string" } }, ["a", 1], "/1", "must be a text, and is `1`", ["a"]],
            [{ "prefixItems": [true, { "type": "string" }], "items": false }, [1, "a", 2], "/2", "not allowed", [1, "a"]],
            [{ "uniqueItems": true }, [1, 2, 1.0], "/2", "is there twice", [1, 2]],
            [{ "contains": { "const": 1 } }, [2], "", "has no item of the form", [2, 1]],
            [{ "required": ["a"] }, { "b": 1 }, "", "`a` is missing", { "a": 1 }],
            [{ "dependentRequired": { "a": ["b"] } }, { "a": 1 }, "", "`b` is missing", {}],
            [{ "properties": { "a/b": { "type": "string" } } }, { "a/b": 1 }, "/a~1b", "must be a text", { "c": 1 }],
            [
                { "properties": { "minimum": true }, "additionalProperties": false }, { "minimun": 1 }, "/minimun",
                "is not known here (did you mean `minimum`?); known: `minimum`", { "minimum": 1 },
            ],
            [{ "additionalProperties": { "type": "string" } }, { "a": 1 }, "/a", "must be a text", { "a": "b" }],
            [
                { "patternProperties": { "^x-": { "type": "string" } }, "additionalProperties": false }, { "x-a": 1 },
                "/x-a", "must be a text", { "x-a": "b" },
            ],
            [{ "propertyNames": { "maxLength": 1 } }, { "ab": 1 }, "/ab", "has 2 characters", { "a": 1 }],
            [{ "maxProperties": 1 }, { "a": 1, "b": 1 }, "", "has 2 members", { "a": 1 }],
            [{ "allOf": [true, { "type": "string" }] }, 1, "", "must be a text", "a"],
            [{ "not": { "type": "string" } }, "a", "", "has a form that is not allowed", 1],
            [{ "oneOf": [{ "minimum": 1 }, { "minimum": 2 }] }, 3, "", "fits several of the forms", 1],
            [{ "if": { "minimum": 5 }, "then": false, "else": { "minimum": 1 } }, 0, "", "at least 1", 2],
            [
                { "anyOf": [{ "type": "string" }, { "type": "null" }] }, 1, "",
                "must be a text, and is `1`, or must be nothing, and is `1`", null,
            ],
            [
                { "oneOf": [
                    { "properties": { "all": { "items": { "required": ["path"] } } }, "required": ["all"] },
                    { "properties": { "any": true }, "required": ["any"] },
                ] },
                { "all": [{}] }, "/all/0", "`path` is missing", { "any": 1 },
            ],
            [
                { "$ref": "#/$defs/tree", "$defs": { "tree": { "additionalProperties": { "$ref": "#/$defs/tree" } , "type": "object"} } },
                { "a": { "b": 1 } }, "/a/b", "must be an object, and is `1`", { "a": { "b": {} } },
            ],
        ]);
        for case in cases.as_array().unwrap() {
            let [schema, wrong, pointer, detail, right] = case.as_array().unwrap().as_slice() else { panic!("{case}") };
            let misfit = check(schema, wrong).unwrap_err();
            assert_eq!(misfit.pointer, pointer.as_str().unwrap(), "{case}: {misfit:?}");
            assert!(misfit.detail.contains(detail.as_str().unwrap()), "{case}: {misfit:?}");
            assert_eq!(check(schema, right), Ok(()), "{case}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (schema, problem) in [
            (json!([]), "is no object"),
            (json!("object"), "is no object"),
            (json!({ "items": { "$ref": "#/$defs/none" } }), "refers to `#/$defs/none`"),
            (json!({ "$ref": "https://example.test/schema" }), "refers to `https://example.test/schema`"),
        ] {
            assert!(Schema::new(schema.clone()).unwrap_err().contains(problem), "{schema}");
        }
        assert!(Schema::new(json!({ "enum": [{ "$ref": "#/none" }], "unknown": 1, "type": "tree" })).is_ok());
    }

    /// Nobody vouches for a schema: whatever it is, a check ends, and soon.
    #[test]
    fn a_schema_that_means_ill_costs_little() {
        let double = |name: &str, next: &str| json!({ name: { "allOf": [{ "$ref": next }, { "$ref": next }] } });
        let mut defs = serde_json::Map::new();
        for level in 0..40 {
            let doubled = double(&level.to_string(), &format!("#/$defs/{}", level + 1));
            defs.extend(doubled.as_object().unwrap().clone());
        }
        defs.insert("40".to_owned(), json!(true));
        let repetition = json!({ "pattern": "^(a{1,1000}){1,1000}$" });
        let many: serde_json::Map<_, _> = (0..5000).map(|n| (format!("^a{n}.*b$"), json!(false))).collect();
        let list: Vec<u32> = (0..20_000).collect();
        let names: Vec<String> = (0..5000).map(|n| format!("a{n}")).collect();
        let members: serde_json::Map<_, _> = (0..20_000).map(|n| (format!("b{n}"), json!(1))).collect();
        for (schema, value) in [
            (json!({ "$ref": "#" }), json!(1)),
            (json!({ "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] }), json!(1)),
            (json!({ "$ref": "#/$defs/0", "$defs": defs }), json!(1)),
            (json!({ "uniqueItems": true, "items": false }), json!(list)),
            (repetition, json!("a".repeat(10_000))),
            (json!({ "patternProperties": many }), json!({ "a1b": 1, "a2b": 1 })),
            (json!({ "patternProperties": many }), json!(members)),
            (json!({ "items": { "required": names } }), json!(vec![json!({}); 20_000])),
            (json!({ "items": { "enum": names } }), json!(vec!["b"; 20_000])),
            (json!({ "allOf": vec![json!({ "pattern": "^[ab]*$" }); 3000] }), json!("a".repeat(200_000))),
            (json!({ "allOf": vec![json!({ "const": list[..1000] }); 200] }), json!(list[..1000])),
            (json!({ "allOf": vec![json!({ "uniqueItems": true }); 3000] }), json!((0..200).collect::<Vec<_>>())),
        ] {
            let began = std::time::Instant::now();
            let _ = check(&schema, &value);
            assert!(began.elapsed().as_secs() < 2, "{:.100}", schema.to_string());
        }
        let misfit = check(&json!({ "$ref": "#" }), &json!(1)).unwrap_err();
        assert!(misfit.detail.contains("too much work"), "{misfit:?}");
    }
}
