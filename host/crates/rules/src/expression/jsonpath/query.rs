//! A JSONPath as it is run: what the parser takes is checked against the types of RFC 9535, patterns are compiled, and every
//! value that is looked at is counted.

use crate::expression::cel::compare;
use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery,
    SingularQuerySegment, Test, TestFunction,
};
use regex::{Regex, RegexBuilder};
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// Most values that one run of a path looks at: some tens of milliseconds.
const VISITS_MAX: usize = 1_000_000;
/// Most memory that a pattern is compiled to, in bytes.
const PATTERN_SIZE_MAX: usize = 256 << 10;

/// A path that starts at the root of the data, or at the value that a filter looks at.
#[derive(Clone, Debug)]
pub(super) struct Query {
    from_root: bool,
    segments: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    /// Whether it is taken from every value below, too.
    descends: bool,
    selectors: Vec<Select>,
}

#[derive(Clone, Debug)]
enum Select {
    Name(String),
    Index(i64),
    All,
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
    Where(Holds),
}

#[derive(Clone, Debug)]
enum Holds {
    All(Vec<Holds>),
    Any(Vec<Holds>),
    Not(Box<Holds>),
    Exists(Query),
    Compares(Relation, Operand, Operand),
    Matches(Operand, Option<Box<Regex>>),
    /// The functions of sets that are beyond RFC 9535.
    Sets(Sets, Query, Query),
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug)]
enum Sets {
    In,
    NotIn,
    AnyOf,
    NoneOf,
    SubsetOf,
}

/// What is compared: one value, or nothing.
#[derive(Clone, Debug)]
enum Operand {
    Literal(Value),
    /// The one value that it selects.
    Query(Query),
    Length(Box<Operand>),
    Count(Query),
}

impl Query {
    /// # Errors
    ///
    /// What is not well-typed, in words.
    pub(super) fn of(parsed: &JpQuery) -> Result<Self, String> {
        Self::of_segments(true, &parsed.segments)
    }

    fn of_segments(from_root: bool, segments: &[Segment]) -> Result<Self, String> {
        let segments = segments.iter().map(|segment| {
            let (descends, segment) = match segment {
                Segment::Descendant(inner) => (true, &**inner),
                other => (false, other),
            };
            let selectors = match segment {
                Segment::Selector(selector) => vec![select(selector)?],
                Segment::Selectors(selectors) => selectors.iter().map(select).collect::<Result<_, _>>()?,
                Segment::Descendant(_) => return Err("`..` is written twice".to_owned()),
            };
            Ok(Step { descends, selectors })
        });
        Ok(Self { from_root, segments: segments.collect::<Result<_, String>>()? })
    }

    /// Whether it selects one value at most.
    pub(super) fn is_singular(&self) -> bool {
        self.segments
            .iter()
            .all(|step| !step.descends && matches!(step.selectors.as_slice(), [Select::Name(_) | Select::Index(_)]))
    }

    /// The values that it selects, in the order of the document; `None` when it looks at too many.
    pub(super) fn run<'d>(&self, data: &'d Value) -> Option<Vec<&'d Value>> {
        let mut run = Run { root: data, left: VISITS_MAX };
        run.query(self, data)
    }
}

fn select(selector: &Selector) -> Result<Select, String> {
    Ok(match selector {
        Selector::Name(name) => Select::Name(name.clone()),
        Selector::Index(index) => Select::Index(*index),
        Selector::Wildcard => Select::All,
        Selector::Slice(start, end, step) => Select::Slice { start: *start, end: *end, step: step.unwrap_or(1) },
        Selector::Filter(filter) => Select::Where(holds(filter)?),
    })
}

fn holds(filter: &Filter) -> Result<Holds, String> {
    let all = |filters: &[Filter]| filters.iter().map(holds).collect::<Result<Vec<_>, _>>();
    Ok(match filter {
        Filter::And(filters) => Holds::All(all(filters)?),
        Filter::Or(filters) => Holds::Any(all(filters)?),
        Filter::Atom(FilterAtom::Filter { expr, not }) => negated(holds(expr)?, *not),
        Filter::Atom(FilterAtom::Test { expr, not }) => negated(test(expr)?, *not),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let relation = match **comparison {
                Comparison::Eq(..) => Relation::Equal,
                Comparison::Ne(..) => Relation::NotEqual,
                Comparison::Gt(..) => Relation::Greater,
                Comparison::Gte(..) => Relation::GreaterOrEqual,
                Comparison::Lt(..) => Relation::Less,
                Comparison::Lte(..) => Relation::LessOrEqual,
            };
            let (left, right) = comparison.vals();
            Holds::Compares(relation, comparable(left)?, comparable(right)?)
        }
    })
}

fn negated(holds: Holds, not: bool) -> Holds {
    if not { Holds::Not(Box::new(holds)) } else { holds }
}

fn test(test: &Test) -> Result<Holds, String> {
    Ok(match test {
        Test::RelQuery(segments) => Holds::Exists(Query::of_segments(false, segments)?),
        Test::AbsQuery(query) => Holds::Exists(Query::of(query)?),
        Test::Function(function) => match &**function {
            TestFunction::Match(text, pattern) => matches(text, pattern, true)?,
            TestFunction::Search(text, pattern) => matches(text, pattern, false)?,
            TestFunction::Custom(name, arguments) => sets(name, arguments)?,
            TestFunction::Length(_) | TestFunction::Value(_) | TestFunction::Count(_) => {
                return Err(format!("what `{function}` gives must be compared with something"));
            }
        },
    })
}

/// A pattern that is written out is compiled once; one of the data could be made to cost.
fn matches(text: &FnArg, pattern: &FnArg, whole: bool) -> Result<Holds, String> {
    let FnArg::Literal(literal) = pattern else {
        return Err("the pattern of match() and search() must be a text in quotes".to_owned());
    };
    let regex = match literal {
        Literal::String(pattern) => {
            let pattern = translated(pattern);
            let pattern = if whole { format!("^(?:{pattern})$") } else { pattern };
            let mut builder = RegexBuilder::new(&pattern);
            let regex = builder.size_limit(PATTERN_SIZE_MAX).dfa_size_limit(8 * PATTERN_SIZE_MAX).build();
            // What is no pattern matches nothing (RFC 9535, 2.4.6); one that is too large is refused.
            match regex {
                Ok(regex) => Some(Box::new(regex)),
                Err(regex::Error::CompiledTooBig(_)) => return Err("the pattern is too large".to_owned()),
                Err(_) => None,
            }
        }
        Literal::Int(_) | Literal::Float(_) | Literal::Bool(_) | Literal::Null => None,
    };
    Ok(Holds::Matches(argument(text)?, regex))
}

/// A pattern of RFC 9485, in which a dot is no end of a line.
fn translated(pattern: &str) -> String {
    let (mut translated, mut in_class) = (String::new(), false);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                translated.push('\\');
                translated.extend(characters.next());
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '.' if !in_class => {
                translated.push_str("[^\\n\\r]");
                continue;
            }
            _ => {}
        }
        translated.push(character);
    }
    translated
}

fn sets(name: &str, arguments: &[FnArg]) -> Result<Holds, String> {
    let kind = match name {
        "in" => Sets::In,
        "nin" => Sets::NotIn,
        "any_of" => Sets::AnyOf,
        "none_of" => Sets::NoneOf,
        "subset_of" => Sets::SubsetOf,
        _ => return Err(format!("there is no function `{name}`")),
    };
    match arguments {
        [left, right] => Ok(Holds::Sets(kind, nodes(name, left)?, nodes(name, right)?)),
        _ => Err(format!("`{name}` takes two paths")),
    }
}

fn comparable(comparable: &Comparable) -> Result<Operand, String> {
    match comparable {
        Comparable::Literal(literal) => Ok(Operand::Literal(value_of(literal))),
        Comparable::SingularQuery(query) => {
            let (from_root, segments) = match query {
                SingularQuery::Current(segments) => (false, segments),
                SingularQuery::Root(segments) => (true, segments),
            };
            let segments = segments.iter().map(|segment| Step {
                descends: false,
                selectors: vec![match segment {
                    SingularQuerySegment::Index(index) => Select::Index(*index),
                    SingularQuerySegment::Name(name) => Select::Name(name.clone()),
                }],
            });
            Ok(Operand::Query(Query { from_root, segments: segments.collect() }))
        }
        Comparable::Function(function) => value_function(function),
    }
}

fn value_function(function: &TestFunction) -> Result<Operand, String> {
    match function {
        TestFunction::Length(of) => Ok(Operand::Length(Box::new(argument(of)?))),
        TestFunction::Count(of) => Ok(Operand::Count(nodes("count", of)?)),
        TestFunction::Value(of) => Ok(Operand::Query(nodes("value", of)?)),
        TestFunction::Custom(..) | TestFunction::Search(..) | TestFunction::Match(..) => {
            Err(format!("`{function}` is true or false, and cannot be compared"))
        }
    }
}

/// An argument that is one value.
fn argument(argument: &FnArg) -> Result<Operand, String> {
    let query = match argument {
        FnArg::Literal(literal) => return Ok(Operand::Literal(value_of(literal))),
        FnArg::Filter(_) => return Err("an argument is a value, not a condition".to_owned()),
        FnArg::Test(test) => match &**test {
            Test::Function(function) => return value_function(function),
            Test::RelQuery(segments) => Query::of_segments(false, segments)?,
            Test::AbsQuery(query) => Query::of(query)?,
        },
    };
    match query.is_singular() {
        true => Ok(Operand::Query(query)),
        false => Err(format!("`{argument}` may select several values, where one is needed")),
    }
}

/// An argument that is a path.
fn nodes(function: &str, argument: &FnArg) -> Result<Query, String> {
    match argument {
        FnArg::Test(test) => match &**test {
            Test::RelQuery(segments) => Query::of_segments(false, segments),
            Test::AbsQuery(query) => Query::of(query),
            Test::Function(_) => Err(format!("`{function}` takes a path")),
        },
        FnArg::Literal(_) | FnArg::Filter(_) => Err(format!("`{function}` takes a path")),
    }
}

fn value_of(literal: &Literal) -> Value {
    match literal {
        Literal::Int(value) => (*value).into(),
        Literal::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Literal::String(text) => text.as_str().into(),
        Literal::Bool(value) => (*value).into(),
        Literal::Null => Value::Null,
    }
}

/// A run of a path.
struct Run<'d> {
    root: &'d Value,
    /// How many values may still be looked at.
    left: usize,
}

/// What is compared, where it is.
enum Operated<'o> {
    There(&'o Value),
    Made(Value),
}

impl Operated<'_> {
    fn value(&self) -> &Value {
        match self {
            Self::There(value) => value,
            Self::Made(value) => value,
        }
    }
}

impl<'d> Run<'d> {
    fn visit(&mut self, count: usize) -> Option<()> {
        self.left = self.left.checked_sub(count)?;
        Some(())
    }

    fn query(&mut self, query: &Query, here: &'d Value) -> Option<Vec<&'d Value>> {
        let mut found = vec![if query.from_root { self.root } else { here }];
        for step in &query.segments {
            let mut next = Vec::new();
            for value in found {
                self.step(step, value, &mut next)?;
            }
            found = next;
        }
        Some(found)
    }

    fn step(&mut self, step: &Step, value: &'d Value, found: &mut Vec<&'d Value>) -> Option<()> {
        for selector in &step.selectors {
            self.select(selector, value, found)?;
        }
        if step.descends {
            for child in children(value) {
                self.visit(1)?;
                self.step(step, child, found)?;
            }
        }
        Some(())
    }

    fn select(&mut self, selector: &Select, value: &'d Value, found: &mut Vec<&'d Value>) -> Option<()> {
        self.visit(1)?;
        match selector {
            Select::Name(name) => found.extend(value.as_object().and_then(|members| members.get(name))),
            Select::Index(index) => found.extend(value.as_array().and_then(|items| item(items, *index))),
            Select::All => {
                for child in children(value) {
                    self.visit(1)?;
                    found.push(child);
                }
            }
            Select::Slice { start, end, step } => {
                if let Some(items) = value.as_array() {
                    self.visit(items.len())?;
                    slice(items, *start, *end, *step, found);
                }
            }
            Select::Where(condition) => {
                for child in children(value) {
                    self.visit(1)?;
                    if self.holds(condition, child)? {
                        found.push(child);
                    }
                }
            }
        }
        Some(())
    }

    fn holds(&mut self, condition: &Holds, here: &'d Value) -> Option<bool> {
        self.visit(1)?;
        Some(match condition {
            Holds::All(conditions) => {
                for condition in conditions {
                    if !self.holds(condition, here)? {
                        return Some(false);
                    }
                }
                true
            }
            Holds::Any(conditions) => {
                for condition in conditions {
                    if self.holds(condition, here)? {
                        return Some(true);
                    }
                }
                false
            }
            Holds::Not(condition) => !self.holds(condition, here)?,
            Holds::Exists(query) => !self.query(query, here)?.is_empty(),
            Holds::Compares(relation, left, right) => {
                let (left, right) = (self.operand(left, here)?, self.operand(right, here)?);
                let (left, right) = (left.as_ref().map(Operated::value), right.as_ref().map(Operated::value));
                let equal = |run: &mut Self| match (left, right) {
                    (Some(left), Some(right)) => run.equal(left, right),
                    (None, None) => Some(true),
                    _ => Some(false),
                };
                let less = |left: Option<&Value>, right: Option<&Value>| match (left, right) {
                    (Some(Value::Number(left)), Some(Value::Number(right))) => {
                        compare(left, right) == Some(Ordering::Less)
                    }
                    (Some(Value::String(left)), Some(Value::String(right))) => left < right,
                    _ => false,
                };
                match relation {
                    Relation::Equal => equal(self)?,
                    Relation::NotEqual => !equal(self)?,
                    Relation::Less => less(left, right),
                    Relation::Greater => less(right, left),
                    Relation::LessOrEqual => less(left, right) || equal(self)?,
                    Relation::GreaterOrEqual => less(right, left) || equal(self)?,
                }
            }
            Holds::Matches(text, regex) => {
                let text = self.operand(text, here)?;
                match (text.as_ref().map(Operated::value), regex) {
                    (Some(Value::String(text)), Some(regex)) => {
                        self.visit(text.len() / 4)?;
                        regex.is_match(text)
                    }
                    _ => false,
                }
            }
            Holds::Sets(kind, left, right) => {
                let (left, right) = (self.query(left, here)?, self.query(right, here)?);
                self.sets(*kind, left.first().copied(), right.first().copied())?
            }
        })
    }

    fn sets(&mut self, kind: Sets, left: Option<&Value>, right: Option<&Value>) -> Option<bool> {
        let (Some(left), Some(Value::Array(all))) = (left, right) else { return Some(false) };
        let several = left.as_array().map(Vec::as_slice).unwrap_or_default();
        match kind {
            Sets::In => self.contains(all, left),
            Sets::NotIn => self.contains(all, left).map(|found| !found),
            Sets::AnyOf | Sets::NoneOf => {
                for value in several {
                    if self.contains(all, value)? {
                        return Some(matches!(kind, Sets::AnyOf));
                    }
                }
                Some(matches!(kind, Sets::NoneOf))
            }
            Sets::SubsetOf => {
                for value in several {
                    if !self.contains(all, value)? {
                        return Some(false);
                    }
                }
                Some(left.is_array())
            }
        }
    }

    fn contains(&mut self, all: &[Value], value: &Value) -> Option<bool> {
        for item in all {
            if self.equal(item, value)? {
                return Some(true);
            }
        }
        Some(false)
    }

    fn operand<'o>(&mut self, operand: &'o Operand, here: &'d Value) -> Option<Option<Operated<'o>>>
    where
        'd: 'o,
    {
        let number = |number: usize| Operated::Made(number.into());
        Some(match operand {
            Operand::Literal(value) => Some(Operated::There(value)),
            Operand::Query(query) => match self.query(query, here)?.as_slice() {
                [value] => Some(Operated::There(value)),
                _ => None,
            },
            Operand::Count(query) => Some(number(self.query(query, here)?.len())),
            Operand::Length(of) => match self.operand(of, here)?.as_ref().map(Operated::value) {
                Some(Value::String(text)) => {
                    self.visit(text.len() / 64)?;
                    Some(number(text.chars().count()))
                }
                Some(Value::Array(items)) => Some(number(items.len())),
                Some(Value::Object(members)) => Some(number(members.len())),
                _ => None,
            },
        })
    }

    /// Numbers by what they are worth, lists and objects by what is in them.
    fn equal(&mut self, left: &Value, right: &Value) -> Option<bool> {
        self.visit(1)?;
        Some(match (left, right) {
            (Value::Number(left), Value::Number(right)) => compare(left, right) == Some(Ordering::Equal),
            (Value::Array(left), Value::Array(right)) => {
                if left.len() != right.len() {
                    return Some(false);
                }
                for (left, right) in left.iter().zip(right) {
                    if !self.equal(left, right)? {
                        return Some(false);
                    }
                }
                true
            }
            (Value::Object(left), Value::Object(right)) => {
                if left.len() != right.len() {
                    return Some(false);
                }
                for (name, left) in left {
                    let Some(right) = right.get(name) else { return Some(false) };
                    if !self.equal(left, right)? {
                        return Some(false);
                    }
                }
                true
            }
            (left, right) => {
                self.visit(left.as_str().map_or(0, |text| text.len() / 64))?;
                left == right
            }
        })
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Box::new(std::iter::empty()),
    }
}

/// Negative indexes count from the end.
fn item(items: &[Value], index: i64) -> Option<&Value> {
    let index = if index < 0 { i64::try_from(items.len()).ok()?.checked_add(index)? } else { index };
    items.get(usize::try_from(index).ok()?)
}

/// RFC 9535, 2.3.4.2.2.
fn slice<'d>(items: &'d [Value], start: Option<i64>, end: Option<i64>, step: i64, found: &mut Vec<&'d Value>) {
    let Ok(length) = i64::try_from(items.len()) else { return };
    let normal = |index: i64| if index >= 0 { index } else { length.saturating_add(index) };
    let (forward, ends) = (step > 0, if step > 0 { (0, length) } else { (-1, length - 1) });
    let bounded = |index: Option<i64>, default: i64| index.map_or(default, normal).clamp(ends.0, ends.1.max(ends.0));
    let (first, last) = match forward {
        true => (bounded(start, 0), bounded(end, length)),
        false => (bounded(start, length - 1), end.map_or(-1, |end| normal(end).clamp(-1, (length - 1).max(-1)))),
    };
    let mut index = first;
    while step != 0 && (if forward { index < last } else { index > last }) {
        found.extend(usize::try_from(index).ok().and_then(|index| items.get(index)));
        index = index.saturating_add(step);
    }
}
