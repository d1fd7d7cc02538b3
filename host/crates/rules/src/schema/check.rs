//! Holds a value against a schema.

use super::Misfit;
use super::compile::{Compiled, Id, Node, Size};
use super::numbers::{self, Decimal};
use super::words::{described, kind, listed, quoted, shown, worded};
use crate::suggest::suggest;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// How deep a check may go.
const DEPTH_MAX: usize = 200;
const TOO_MUCH: &str = "cannot be checked: the schema needs too much work for it";
/// Most forms whose mistakes are all said.
const FORMS_SAID_MAX: usize = 3;
/// What is said of a value that may not be there, before it is known by which keyword.
const NEVER: &str = "false";

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

    fn misfit(&self, keyword: &'static str, detail: impl Into<String>) -> Result<(), Misfit> {
        Err(Misfit { pointer: self.pointer.clone(), keyword, detail: detail.into() })
    }
}

/// Which items or members of a value a schema has looked at; only where one asks.
#[derive(Default)]
struct Seen(Vec<bool>);

impl Seen {
    fn add(&mut self, index: usize) {
        if self.0.len() <= index {
            self.0.resize(index + 1, false);
        }
        if let Some(seen) = self.0.get_mut(index) {
            *seen = true;
        }
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index).copied().unwrap_or_default()
    }

    fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), false);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(seen, other)| *seen |= other);
    }
}

pub(super) struct Checking<'s> {
    schema: &'s Compiled,
    /// What may still be done.
    left: usize,
    /// Whether messages say what a value is.
    quotes: bool,
    /// The resources that the check has gone through.
    scope: Vec<usize>,
}

/// What it costs to hold a schema against a value, without what is below both.
fn cost(node: &Node, value: &Value, max: usize) -> usize {
    let compared = if node.constant.is_some() || node.allowed.is_some() {
        size(value, max).saturating_mul(1 + node.allowed.as_ref().map_or(0, Vec::len) / 16)
    } else {
        0
    };
    let own = match value {
        Value::String(text) if node.pattern.is_some() || !node.length.is_any() => text.len() / 256,
        Value::Array(_) if node.unique => size(value, max),
        Value::Object(members) => {
            let names = members.len().saturating_mul(node.by_pattern.len());
            let required = node.required.len() + node.dependent.len() + node.dependent_schemas.len();
            names.saturating_add(required / 16)
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

/// A misfit of what may not be there at all, by the keyword that says so.
fn by(keyword: &'static str) -> impl Fn(Misfit) -> Misfit {
    move |misfit| if misfit.keyword == NEVER { Misfit { keyword, ..misfit } } else { misfit }
}

impl<'s> Checking<'s> {
    pub(super) fn new(schema: &'s Compiled, cost_max: usize, quotes: bool) -> Self {
        Self { schema, left: cost_max, quotes, scope: Vec::new() }
    }

    pub(super) fn check_whole(mut self, value: &Value) -> Result<(), Misfit> {
        self.check(0, value, &mut At::default(), &mut Seen::default())
    }

    fn spend(&mut self, cost: usize, at: &At) -> Result<(), Misfit> {
        match self.left.checked_sub(cost) {
            Some(left) if at.depth <= DEPTH_MAX => self.left = left,
            _ => return at.misfit("", TOO_MUCH),
        }
        Ok(())
    }

    /// What a misfit is that another form may make good, unless it is the end of the check.
    fn tried(&self, checked: Result<(), Misfit>) -> Result<Option<Misfit>, Misfit> {
        match checked {
            Ok(()) => Ok(None),
            Err(misfit) if misfit.keyword.is_empty() => Err(misfit),
            Err(misfit) => Ok(Some(misfit)),
        }
    }

    fn check(&mut self, id: Id, value: &Value, at: &mut At, seen: &mut Seen) -> Result<(), Misfit> {
        let schema: &'s Compiled = self.schema;
        let Some(node) = schema.nodes.get(id) else { return Ok(()) };
        self.spend(cost(node, value, self.left), at)?;
        if node.never {
            return at.misfit(NEVER, "is not allowed here");
        }
        let is_entered = self.scope.last() != Some(&node.resource);
        if is_entered {
            self.scope.push(node.resource);
        }
        at.depth += 1;
        let mut mine = Seen::default();
        let checked = self.check_keywords(node, value, at, &mut mine);
        at.depth -= 1;
        if is_entered {
            self.scope.pop();
        }
        if checked.is_ok() && schema.tracks {
            self.spend(mine.0.len() / 64, at)?;
            seen.merge(&mine);
        }
        checked
    }

    fn check_keywords(&mut self, node: &'s Node, value: &Value, at: &mut At, seen: &mut Seen) -> Result<(), Misfit> {
        self.check_value(node, value, at)?;
        match value {
            Value::String(text) => self.check_text(node, text, at)?,
            Value::Number(_) => self.check_number(node, value, at)?,
            Value::Array(items) => self.check_items(node, items, at, seen)?,
            Value::Object(members) => {
                self.check_members(node, members, at, seen)?;
                for (_, schema) in node.dependent_schemas.iter().filter(|(name, _)| members.contains_key(name)) {
                    self.check(*schema, value, at, seen).map_err(by("dependentSchemas"))?;
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        if let Some(reference) = node.reference {
            self.check(reference, value, at, seen)?;
        }
        if let Some((target, anchor)) = &node.dynamic {
            // The outermost that has the anchor is meant.
            let outer = anchor.as_ref().and_then(|anchor| {
                let nodes = |resource: &usize| self.schema.resources.get(*resource)?.dynamic_nodes.get(anchor).copied();
                self.scope.iter().find_map(nodes)
            });
            self.check(outer.unwrap_or(*target), value, at, seen)?;
        }
        self.check_forms(node, value, at, seen)?;
        match value {
            Value::Array(items) => {
                let Some(rest) = node.unevaluated_items else { return Ok(()) };
                for (index, item) in items.iter().enumerate().filter(|(index, _)| !seen.has(*index)) {
                    let checked = at.within(&index.to_string(), |at| self.check(rest, item, at, &mut Seen::default()));
                    checked.map_err(by("unevaluatedItems"))?;
                }
                (0..items.len()).for_each(|index| seen.add(index));
            }
            Value::Object(members) => {
                let Some(rest) = node.unevaluated_members else { return Ok(()) };
                for (_, (name, member)) in members.iter().enumerate().filter(|(index, _)| !seen.has(*index)) {
                    let checked = at.within(name, |at| self.check(rest, member, at, &mut Seen::default()));
                    checked.map_err(by("unevaluatedProperties"))?;
                }
                (0..members.len()).for_each(|index| seen.add(index));
            }
            _ => {}
        }
        Ok(())
    }

    /// What other schemas say of the same value.
    fn check_forms(&mut self, node: &'s Node, value: &Value, at: &mut At, seen: &mut Seen) -> Result<(), Misfit> {
        for form in &node.all {
            self.check(*form, value, at, seen).map_err(by("allOf"))?;
        }
        if !node.any.is_empty() {
            self.check_alternatives(&node.any, "anyOf", value, at, seen)?;
        }
        if !node.one.is_empty() && self.check_alternatives(&node.one, "oneOf", value, at, seen)? > 1 {
            return at.misfit("oneOf", "fits several of the forms that it can have, of which it may have one");
        }
        if let Some(other) = node.not {
            let checked = self.check(other, value, at, &mut Seen::default());
            if self.tried(checked)?.is_none() {
                return at.misfit("not", "has a form that is not allowed");
            }
        }
        if let Some(condition) = node.condition {
            let checked = self.check(condition, value, at, seen);
            let (branch, keyword) = match self.tried(checked)? {
                None => (node.then, "then"),
                Some(_) => (node.otherwise, "else"),
            };
            if let Some(branch) = branch {
                self.check(branch, value, at, seen).map_err(by(keyword))?;
            }
        }
        Ok(())
    }

    /// How many of the forms a value has. When it has none, the one is meant in which it goes the farthest.
    fn check_alternatives(
        &mut self,
        forms: &'s [Id],
        keyword: &'static str,
        value: &Value,
        at: &mut At,
        seen: &mut Seen,
    ) -> Result<usize, Misfit> {
        let (mut fitting, mut misfits) = (0, Vec::new());
        for form in forms {
            let checked = self.check(*form, value, at, seen);
            match self.tried(checked)? {
                None => fitting += 1,
                Some(misfit) => misfits.push(misfit),
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
            Some(only) if misfits.len() == 1 => Err(by(keyword)(only.clone())),
            Some(first) if is_same_place && misfits.len() <= FORMS_SAID_MAX => {
                Err(Misfit { pointer: first.pointer.clone(), keyword, detail: details.join(", or ") })
            }
            _ => at.misfit(keyword, format!("has none of the {} forms that it can have", forms.len())).map(|()| 0),
        }
    }

    fn check_text(&self, node: &Node, text: &str, at: &At) -> Result<(), Misfit> {
        if !node.length.is_any() {
            check_size(node.length, ["minLength", "maxLength"], text.chars().count(), "characters", at)?;
        }
        match &node.pattern {
            Some((pattern, compiled)) if !compiled.is_match(text) => {
                let found = if self.quotes { format!("the text {}", quoted(text)) } else { "the text".to_owned() };
                at.misfit("pattern", format!("must match `{}`, which {found} does not", shown(pattern)))
            }
            _ => Ok(()),
        }
    }

    fn check_items(&mut self, node: &'s Node, items: &[Value], at: &mut At, seen: &mut Seen) -> Result<(), Misfit> {
        check_size(node.count, ["minItems", "maxItems"], items.len(), "items", at)?;
        if node.unique
            && let Some(index) = self.first_again(items, at)?
        {
            return at.within(&index.to_string(), |at| at.misfit("uniqueItems", "is there twice"));
        }
        for (index, item) in items.iter().enumerate() {
            let (schema, keyword) = match node.first.get(index) {
                Some(first) => (Some(*first), "prefixItems"),
                None => (node.items, "items"),
            };
            let Some(schema) = schema else { break };
            let checked = at.within(&index.to_string(), |at| self.check(schema, item, at, &mut Seen::default()));
            checked.map_err(by(keyword))?;
            if self.schema.tracks {
                seen.add(index);
            }
        }
        let Some(wanted) = node.contains else { return Ok(()) };
        let mut found = 0;
        for (index, item) in items.iter().enumerate() {
            let checked = self.check(wanted, item, at, &mut Seen::default());
            if self.tried(checked)?.is_none() {
                found += 1;
                if self.schema.tracks {
                    seen.add(index);
                }
            }
        }
        let Size { min, max } = node.contained;
        let (min, found) = (min.unwrap_or(1.0), float(found));
        match max {
            _ if found < min && min <= 1.0 => at.misfit("contains", "has no item of the form that one must have"),
            _ if found < min => {
                at.misfit("minContains", format!("has {found} items of a form, and must have {min} at least"))
            }
            Some(max) if found > max => {
                at.misfit("maxContains", format!("has {found} items of a form, and may have {max} at most"))
            }
            _ => Ok(()),
        }
    }

    /// The first item that is there before.
    fn first_again(&mut self, items: &[Value], at: &At) -> Result<Option<usize>, Misfit> {
        let state = RandomState::new();
        let mut known: HashMap<u64, Vec<&Value>> = HashMap::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let mut hasher = state.build_hasher();
            digest(item, &state, &mut hasher);
            let like = known.entry(hasher.finish()).or_default();
            for other in like.iter() {
                self.spend(size(other, self.left), at)?;
                if same(other, item) {
                    return Ok(Some(index));
                }
            }
            like.push(item);
        }
        Ok(None)
    }

    fn check_members(
        &mut self,
        node: &'s Node,
        members: &Map<String, Value>,
        at: &mut At,
        seen: &mut Seen,
    ) -> Result<(), Misfit> {
        check_size(node.members, ["minProperties", "maxProperties"], members.len(), "members", at)?;
        for (index, (name, value)) in members.iter().enumerate() {
            let mut is_known = false;
            if let Some(property) = node.properties.get(name) {
                is_known = true;
                let checked = at.within(name, |at| self.check(*property, value, at, &mut Seen::default()));
                checked.map_err(by("properties"))?;
            }
            for (pattern, property) in &node.by_pattern {
                let matches = pattern.as_ref().map(|pattern| pattern.is_match(name));
                is_known |= matches != Some(false);
                if matches == Some(true) {
                    let checked = at.within(name, |at| self.check(*property, value, at, &mut Seen::default()));
                    checked.map_err(by("patternProperties"))?;
                }
            }
            if let Some(further) = node.additional.filter(|_| !is_known) {
                if self.schema.nodes.get(further).is_some_and(|further| further.never) {
                    let known = || node.property_names.iter().map(String::as_str);
                    let meant = suggest(name, known());
                    let detail = format!("is not known here{meant}; known: {}", listed(known().map(str::to_owned)));
                    return at.within(name, |at| at.misfit("additionalProperties", detail));
                }
                at.within(name, |at| self.check(further, value, at, &mut Seen::default()))?;
                is_known = true;
            }
            if is_known && self.schema.tracks {
                seen.add(index);
            }
            if let Some(names) = node.names {
                let name_itself = Value::from(name.as_str());
                let checked = at.within(name, |at| self.check(names, &name_itself, at, &mut Seen::default()));
                checked.map_err(by("propertyNames"))?;
            }
        }
        let dependent = node.dependent.iter().filter(|(name, _)| members.contains_key(name));
        let dependent = dependent.flat_map(|(_, names)| names).map(|name| ("dependentRequired", name));
        let wanted = node.required.iter().map(|name| ("required", name)).chain(dependent);
        for (keyword, name) in wanted {
            if !members.contains_key(name) {
                return at.misfit(keyword, format!("`{}` is missing", shown(name)));
            }
        }
        Ok(())
    }

    /// What is said of a value of any type.
    fn check_value(&self, node: &Node, value: &Value, at: &At) -> Result<(), Misfit> {
        let found = || if self.quotes { described(value) } else { kind(value).to_owned() };
        if !node.types.is_empty() && !node.types.iter().any(|name| is_of(value, name)) {
            let types: Vec<&str> = node.types.iter().map(|name| worded(name)).collect();
            return at.misfit("type", format!("must be {}, and is {}", types.join(" or "), found()));
        }
        if let Some(only) = &node.constant
            && !same(only, value)
        {
            let other = if self.quotes { format!(", and is {}", described(value)) } else { String::new() };
            return at.misfit("const", format!("must be {}{other}", described(only)));
        }
        match &node.allowed {
            Some(allowed) if !allowed.iter().any(|allowed| same(allowed, value)) => {
                let words = listed(allowed.iter().map(|allowed| match allowed {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                }));
                if !self.quotes {
                    return at.misfit("enum", format!("is none of those that are allowed: {words}"));
                }
                let meant = value.as_str().map(|found| suggest(found, allowed.iter().filter_map(Value::as_str)));
                let detail = format!("is {}{}; allowed: {words}", described(value), meant.unwrap_or_default());
                at.misfit("enum", detail)
            }
            _ => Ok(()),
        }
    }

    fn check_number(&self, node: &Node, value: &Value, at: &At) -> Result<(), Misfit> {
        let Value::Number(number) = value else { return Ok(()) };
        let found = || if self.quotes { format!(", and is {}", described(value)) } else { String::new() };
        let bounds: [(&'static str, &str, Holds); 4] = [
            ("minimum", "at least", Ordering::is_ge),
            ("exclusiveMinimum", "more than", Ordering::is_gt),
            ("maximum", "at most", Ordering::is_le),
            ("exclusiveMaximum", "less than", Ordering::is_lt),
        ];
        for ((keyword, words, holds), bound) in bounds.into_iter().zip(&node.bounds) {
            if let Some(bound) = bound
                && numbers::compare(number, bound).is_some_and(|order| !holds(order))
            {
                return at.misfit(keyword, format!("must be {words} {bound}{}", found()));
            }
        }
        match &node.unit {
            Some(unit) if !numbers::is_multiple(number, unit) => {
                at.misfit("multipleOf", format!("must be a multiple of {unit}{}", found()))
            }
            _ => Ok(()),
        }
    }
}

type Holds = fn(Ordering) -> bool;

#[expect(clippy::cast_precision_loss, reason = "nothing that is checked has so many of anything")]
fn float(size: usize) -> f64 {
    size as f64
}

fn check_size(size: Size, keywords: [&'static str; 2], found: usize, of: &str, at: &At) -> Result<(), Misfit> {
    let number = float(found);
    match size {
        Size { min: Some(min), .. } if number < min => {
            at.misfit(keywords[0], format!("has {found} {of}, and must have {min} at least"))
        }
        Size { max: Some(max), .. } if number > max => {
            at.misfit(keywords[1], format!("has {found} {of}, and may have {max} at most"))
        }
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
        ("integer", Value::Number(number)) => numbers::is_whole(number),
        ("null" | "boolean" | "string" | "array" | "object" | "number" | "integer", _) => false,
        // Of more types than are known here.
        _ => true,
    }
}

fn depth_of(pointer: &str) -> usize {
    pointer.matches('/').count()
}

/// `1` and `1.0` are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => numbers::same(one, other),
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

/// Values that are the same have the same digest.
fn digest(value: &Value, state: &RandomState, hasher: &mut impl Hasher) {
    match value {
        Value::Null => 0.hash(hasher),
        Value::Bool(value) => value.hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Number(number) => Decimal::of(number).hash(hasher),
        Value::Array(items) => items.iter().for_each(|item| digest(item, state, hasher)),
        Value::Object(members) => {
            // In any order.
            let sum = members.iter().fold(0_u64, |sum, (name, member)| {
                let mut own = state.build_hasher();
                name.hash(&mut own);
                digest(member, state, &mut own);
                sum.wrapping_add(own.finish())
            });
            sum.hash(hasher);
        }
    }
}
