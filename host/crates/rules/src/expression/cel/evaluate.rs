//! Evaluates a compiled expression. Nothing is copied that is only looked at; every step and every byte is counted.

use super::compile::{Loop, LoopKind, Node, Step, StepKind};
use super::functions::no_overload;
use super::meter::Meter;
use super::syntax::{Literal, Operator};
use super::value::{Key, Num, OVERFLOW, Text, Type, Val, ValMap, fitting};
use super::{Fail, time};
use crate::expression::VALUE_BYTES_MIN;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// An evaluation under way.
pub(super) struct Evaluation<'a> {
    /// By the expression's list of names; `None` for what is not there.
    pub(super) names: Vec<Option<Val<'a>>>,
    /// The expression's list of names.
    pub(super) known: &'a [String],
    /// The variables of the macros around.
    pub(super) locals: Vec<Val<'a>>,
    pub(super) meter: Meter,
    /// Where secrets are used: the texts, numbers and bytes that it came across.
    pub(super) pieces: Option<HashSet<Vec<u8>>>,
}

/// Sizes of a piece that is worth to be known, in bytes: what is longer is made of others.
const PIECE_BYTES: RangeInclusive<usize> = VALUE_BYTES_MIN..=64 << 10;

type Evaluated<'a> = Result<Val<'a>, Fail>;

impl<'a> Evaluation<'a> {
    pub(super) fn evaluate(&mut self, node: &'a Node) -> Evaluated<'a> {
        let value = self.value(node)?;
        if self.pieces.is_some() {
            self.note(&value, matches!(node, Node::Call(..)))?;
        }
        Ok(value)
    }

    /// Remembers a piece, or those that a function has made.
    fn note(&mut self, value: &Val<'a>, with_items: bool) -> Result<(), Fail> {
        match value {
            Val::Text(text) => self.note_piece(text.as_bytes()),
            Val::Bytes(bytes) => self.note_piece(bytes),
            Val::Optional(Some(value)) => self.note(value, with_items),
            value => match (value.number(), value.entries().filter(|_| with_items)) {
                (Some(Num::Int(number)), _) => self.note_piece(number.to_string().as_bytes()),
                (Some(Num::Uint(number)), _) => self.note_piece(number.to_string().as_bytes()),
                (Some(Num::Double(number)), _) => self.note_piece(number.to_string().as_bytes()),
                (None, entries) => entries.into_iter().flatten().try_for_each(|(key, item)| {
                    self.note(&key, true)?;
                    self.note(&item, true)
                }),
            },
        }
    }

    fn note_piece(&mut self, piece: &[u8]) -> Result<(), Fail> {
        let Some(pieces) = self.pieces.as_mut().filter(|_| PIECE_BYTES.contains(&piece.len())) else { return Ok(()) };
        if !pieces.contains(piece) {
            self.meter.bytes(size_of::<Vec<u8>>() + piece.len())?;
            pieces.insert(piece.to_vec());
        }
        Ok(())
    }

    fn value(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.meter.step()?;
        match node {
            Node::Literal(literal) => self.literal(literal),
            Node::Type(kind) => Ok(Val::Type(*kind)),
            Node::Local(place) => self.locals.get(*place).cloned().ok_or(Fail::wrong("a variable is missing")),
            Node::Name(place) => self.name(*place),
            Node::Access { operand, start, steps } => {
                let value = self.evaluate(operand)?;
                steps.iter().try_fold(value, |value, step| self.step(value, step, *start))
            }
            Node::Has { operand, field } => self.has(operand, field),
            Node::Not(operand) => match self.evaluate(operand)? {
                Val::Bool(value) => Ok(Val::Bool(!value)),
                other => Err(no_overload("!", &[other])),
            },
            Node::Negate(operand) => {
                let value = self.evaluate(operand)?;
                match value.number() {
                    Some(Num::Double(value)) => Ok(Val::Double(-value)),
                    Some(Num::Int(int)) if !value.is_untyped() => int.checked_neg().map(Val::Int).ok_or(OVERFLOW),
                    Some(number) if value.is_untyped() => fitting(-number.integer().unwrap_or_default()),
                    _ => match value {
                        Val::Duration(value) => time::duration(value.checked_neg()),
                        value => Err(no_overload("-", &[value])),
                    },
                }
            }
            Node::And(parts) => self.logic(parts, false),
            Node::Or(parts) => self.logic(parts, true),
            Node::Chain(first, rest) => {
                let mut value = self.evaluate(first)?;
                for (operator, operand) in rest {
                    let other = self.evaluate(operand)?;
                    value = self.operate(*operator, value, other)?;
                }
                Ok(value)
            }
            Node::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                match self.evaluate(condition)? {
                    Val::Bool(true) => self.evaluate(yes),
                    Val::Bool(false) => self.evaluate(no),
                    other => Err(no_overload("?:", &[other])),
                }
            }
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let value = self.evaluate(argument)?;
                    // Whatever a function does with a text, it may look at all of it.
                    self.meter.scan(value.text_bytes())?;
                    values.push(value);
                }
                (function.native)(&values, &mut self.meter)
            }
            Node::Matches(text, regex) => match self.evaluate(text)? {
                Val::Text(text) => {
                    self.meter.steps(text.len())?;
                    Ok(Val::Bool(regex.is_match(&text)))
                }
                other => Err(no_overload("matches", &[other])),
            },
            Node::Bind(parts) => {
                let [value, body] = &**parts;
                let value = self.evaluate(value)?;
                self.with(value, body)
            }
            Node::OptionalMap { operand, body, flat } => match self.evaluate(operand)? {
                Val::Optional(None) => Ok(Val::Optional(None)),
                Val::Optional(Some(value)) => {
                    let mapped = self.with(Val::clone(&value), body)?;
                    match (*flat, mapped) {
                        (false, mapped) => Ok(Val::some(mapped)),
                        (true, mapped @ Val::Optional(_)) => Ok(mapped),
                        (true, other) => Err(no_overload("optFlatMap", &[other])),
                    }
                }
                other => Err(no_overload("optMap", &[other])),
            },
            Node::Otherwise { operand, other, keeps } => match self.evaluate(operand)? {
                value @ Val::Optional(Some(_)) if *keeps => Ok(value),
                Val::Optional(Some(value)) => Ok(Val::clone(&value)),
                Val::Optional(None) => self.evaluate(other),
                value => Err(no_overload(if *keeps { "or" } else { "orValue" }, &[value])),
            },
            Node::Loop(looped) => self.looped(looped),
        }
    }

    fn literal(&mut self, literal: &'a Literal) -> Evaluated<'a> {
        Ok(match literal {
            Literal::Null => Val::Null,
            Literal::Bool(value) => Val::Bool(*value),
            Literal::Int(value) => Val::Int(*value),
            Literal::Uint(value) => Val::Uint(*value),
            Literal::Double(value) => Val::Double(*value),
            Literal::Text(text) => Val::borrowed(text),
            Literal::Bytes(bytes) => {
                self.meter.bytes(bytes.len())?;
                Val::Bytes(Rc::new(bytes.clone()))
            }
        })
    }

    fn name(&self, place: usize) -> Evaluated<'a> {
        if let Some(Some(value)) = self.names.get(place) {
            return Ok(value.clone());
        }
        let name = self.known.get(place).map(String::as_str).unwrap_or_default();
        Type::of_name(name).map(Val::Type).ok_or_else(|| Fail::Absent(name.to_owned()))
    }

    fn with(&mut self, value: Val<'a>, body: &'a Node) -> Evaluated<'a> {
        self.locals.push(value);
        let result = self.evaluate(body);
        self.locals.pop();
        result
    }

    /// One selection or index.
    fn step(&mut self, value: Val<'a>, step: &'a Step, start: usize) -> Evaluated<'a> {
        self.meter.step()?;
        let absent = || Fail::AbsentAt(start..step.end);
        let (inner, viral) = match value {
            Val::Optional(None) => return Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => (Val::clone(&inner), true),
            value => (value, step.optional),
        };
        let found = match &step.kind {
            StepKind::Field(name) => match inner.kind() {
                Type::Map => inner.member(name),
                // What is null has no members, as what is not there.
                Type::Null if step.optional => None,
                Type::Null => return Err(absent()),
                kind => return Err(Fail::no_members(kind, name)),
            },
            StepKind::Index(index) => {
                let index = self.evaluate(index)?;
                match inner.kind() {
                    Type::List => {
                        let Some(key) = Key::meant_by(&index, &mut self.meter)? else {
                            return Err(no_overload("[]", &[inner, index]));
                        };
                        match key {
                            Key::Int(index) => usize::try_from(index).ok().and_then(|index| inner.item(index)),
                            Key::Uint(_) => usize_of(&key).and_then(|index| inner.item(index)),
                            _ => return Err(no_overload("[]", &[inner, index])),
                        }
                    }
                    Type::Map => match Key::meant_by(&index, &mut self.meter)? {
                        Some(key) => inner.entry(&key),
                        None => return Err(Fail::wrong(format!("a {} is no key of a map", index.kind().as_str()))),
                    },
                    Type::Null if step.optional => None,
                    Type::Null => return Err(absent()),
                    _ => return Err(no_overload("[]", &[inner, index])),
                }
            }
        };
        let found = found.or_else(|| (!viral && matches!(inner, Val::Picks(_))).then_some(Val::Null));
        match (found, viral) {
            (Some(found), true) => Ok(Val::some(found)),
            (None, true) => Ok(Val::Optional(None)),
            (Some(found), false) => Ok(found),
            (None, false) => Err(absent()),
        }
    }

    fn has(&mut self, operand: &'a Node, field: &'a str) -> Evaluated<'a> {
        let value = match self.evaluate(operand) {
            // What is in something absent is absent, too.
            Err(Fail::Absent(_) | Fail::AbsentAt(_)) => return Ok(Val::Bool(false)),
            value => value?,
        };
        let value = match value {
            Val::Optional(None) | Val::Null => return Ok(Val::Bool(false)),
            Val::Optional(Some(value)) => Val::clone(&value),
            value => value,
        };
        match value.kind() {
            Type::Map => Ok(Val::Bool(value.member(field).is_some())),
            kind => Err(Fail::no_members(kind, field)),
        }
    }

    /// What decides wins, whatever else is wrong; without it, what is wrong is said.
    fn logic(&mut self, parts: &'a [Node], decides: bool) -> Evaluated<'a> {
        let mut wrong = None;
        for part in parts {
            match self.evaluate(part) {
                Ok(Val::Bool(value)) if value == decides => return Ok(Val::Bool(decides)),
                Ok(Val::Bool(_)) => {}
                Ok(other) => drop(wrong.get_or_insert(no_overload(if decides { "||" } else { "&&" }, &[other]))),
                Err(limit @ Fail::Limit(_)) => return Err(limit),
                Err(error) => drop(wrong.get_or_insert(error)),
            }
        }
        wrong.map_or(Ok(Val::Bool(!decides)), Err)
    }

    fn list(&mut self, items: &'a [(Node, bool)]) -> Evaluated<'a> {
        let mut list = Vec::new();
        for (item, optional) in items {
            let value = self.evaluate(item)?;
            self.meter.item()?;
            match (optional, value) {
                (false, value) => list.push(value),
                (true, Val::Optional(value)) => list.extend(value.map(|value| Val::clone(&value))),
                (true, other) => return Err(no_overload("[?]", &[other])),
            }
        }
        Ok(Val::list(list))
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Evaluated<'a> {
        let mut map = ValMap::new();
        for (key, value, optional) in entries {
            let key = self.evaluate(key)?;
            let value = self.evaluate(value)?;
            let value = match (optional, value) {
                (false, value) => value,
                (true, Val::Optional(None)) => continue,
                (true, Val::Optional(Some(value))) => Val::clone(&value),
                (true, other) => return Err(no_overload("{?}", &[other])),
            };
            self.insert(&mut map, &key, value)?;
        }
        Ok(Val::Map(Rc::new(map)))
    }

    fn insert(&mut self, map: &mut ValMap<'a>, key: &Val<'a>, value: Val<'a>) -> Result<(), Fail> {
        self.meter.item()?;
        self.meter.item()?;
        let kind = key.kind();
        let key = Key::of(key, &mut self.meter)?;
        let key = key.ok_or_else(|| Fail::wrong(format!("a {} is no key of a map", kind.as_str())))?;
        match map.insert(key, value) {
            None => Ok(()),
            Some(_) => Err(Fail::wrong("a key is twice in a map")),
        }
    }

    fn operate(&mut self, operator: Operator, left: Val<'a>, right: Val<'a>) -> Evaluated<'a> {
        self.meter.step()?;
        match operator {
            Operator::Equal => left.equals(&right, &mut self.meter).map(Val::Bool),
            Operator::NotEqual => left.equals(&right, &mut self.meter).map(|equal| Val::Bool(!equal)),
            Operator::Less => self.compare(operator, &left, &right, Ordering::is_lt),
            Operator::LessOrEqual => self.compare(operator, &left, &right, Ordering::is_le),
            Operator::Greater => self.compare(operator, &left, &right, Ordering::is_gt),
            Operator::GreaterOrEqual => self.compare(operator, &left, &right, Ordering::is_ge),
            Operator::In => self.is_in(&left, &right),
            Operator::Add => self.add(left, right),
            Operator::Subtract => subtract(&left, &right),
            Operator::Multiply | Operator::Divide | Operator::Remainder => arithmetic(operator, &left, &right),
        }
    }

    fn compare(
        &mut self,
        operator: Operator,
        left: &Val<'a>,
        right: &Val<'a>,
        holds: fn(Ordering) -> bool,
    ) -> Evaluated<'a> {
        match left.order(right, &mut self.meter)? {
            Some(order) => Ok(Val::Bool(holds(order))),
            // Not-a-number is in no order with any.
            None if left.number().is_some() && right.number().is_some() => Ok(Val::Bool(false)),
            None => Err(no_overload(operator.as_str(), &[left.clone(), right.clone()])),
        }
    }

    fn is_in(&mut self, value: &Val<'a>, all: &Val<'a>) -> Evaluated<'a> {
        match all.kind() {
            Type::List => {
                for index in 0..all.size().unwrap_or_default() {
                    let Some(item) = all.item(index) else { break };
                    if item.equals(value, &mut self.meter)? {
                        return Ok(Val::Bool(true));
                    }
                }
                Ok(Val::Bool(false))
            }
            Type::Map => {
                let key = Key::meant_by(value, &mut self.meter)?;
                Ok(Val::Bool(key.is_some_and(|key| all.entry(&key).is_some())))
            }
            _ => Err(no_overload("in", &[value.clone(), all.clone()])),
        }
    }

    /// What nobody else holds is made longer in place.
    fn add(&mut self, left: Val<'a>, right: Val<'a>) -> Evaluated<'a> {
        match (left, right) {
            (Val::Text(Text::Shared(mut left)), Val::Text(right)) => {
                let length = right.len() + if Rc::strong_count(&left) > 1 { left.len() } else { 0 };
                self.meter.bytes(length)?;
                Rc::make_mut(&mut left).push_str(&right);
                Ok(Val::Text(Text::Shared(left)))
            }
            (Val::Text(left), Val::Text(right)) => {
                self.meter.bytes(left.len() + right.len())?;
                Ok(Val::text([&*left, &*right].concat()))
            }
            (Val::Bytes(left), Val::Bytes(right)) => {
                self.meter.bytes(left.len() + right.len())?;
                Ok(Val::Bytes(Rc::new([&left[..], &right[..]].concat())))
            }
            (Val::Timestamp(timestamp), Val::Duration(duration))
            | (Val::Duration(duration), Val::Timestamp(timestamp)) => time::timestamp(timestamp.checked_add(duration)),
            (Val::Duration(left), Val::Duration(right)) => time::duration(left.checked_add(right)),
            (left, right) if left.kind() == Type::List && right.kind() == Type::List => {
                let mut items = match left {
                    Val::List(items) => Rc::try_unwrap(items).or_else(|items| self.copied(&Val::List(items)))?,
                    left => self.copied(&left)?,
                };
                for index in 0..right.size().unwrap_or_default() {
                    self.meter.item()?;
                    items.extend(right.item(index));
                }
                Ok(Val::list(items))
            }
            (left, right) => arithmetic(Operator::Add, &left, &right),
        }
    }

    fn copied(&mut self, list: &Val<'a>) -> Result<Vec<Val<'a>>, Fail> {
        let mut items = Vec::with_capacity(list.size().unwrap_or_default().min(1024));
        for index in 0..list.size().unwrap_or_default() {
            self.meter.item()?;
            items.extend(list.item(index));
        }
        Ok(items)
    }

    fn looped(&mut self, looped: &'a Loop) -> Evaluated<'a> {
        let range = self.evaluate(&looped.range)?;
        let is_list = range.kind() == Type::List;
        let Some(entries) = range.entries() else {
            return Err(Fail::wrong(format!("a {} has no items to go through", range.kind().as_str())));
        };
        let mut state = State { wrong: None, count: 0, list: Vec::new(), map: ValMap::new() };
        for (key, value) in entries {
            self.meter.step()?;
            let before = self.locals.len();
            match (looped.two, is_list) {
                (true, _) => self.locals.extend([key.clone(), value.clone()]),
                (false, true) => self.locals.push(value.clone()),
                (false, false) => self.locals.push(key.clone()),
            }
            let item = if is_list || looped.two { value } else { key.clone() };
            let decided = self.turn(&looped.kind, &key, item, &mut state);
            self.locals.truncate(before);
            if let Some(decided) = decided? {
                return Ok(Val::Bool(decided));
            }
        }
        if let Some(wrong) = state.wrong {
            return Err(wrong);
        }
        Ok(match looped.kind {
            LoopKind::All(_) => Val::Bool(true),
            LoopKind::Exists(_) => Val::Bool(false),
            LoopKind::ExistsOne(_) => Val::Bool(state.count == 1),
            LoopKind::List { .. } | LoopKind::Filter(_) => Val::list(state.list),
            LoopKind::Map { .. } => Val::Map(Rc::new(state.map)),
        })
    }

    /// One turn of a loop: what is decided for the whole, if anything.
    fn turn(
        &mut self,
        kind: &'a LoopKind,
        key: &Val<'a>,
        item: Val<'a>,
        state: &mut State<'a>,
    ) -> Result<Option<bool>, Fail> {
        match kind {
            LoopKind::All(condition) | LoopKind::Exists(condition) => {
                let decides = matches!(kind, LoopKind::Exists(_));
                match self.holds(condition) {
                    Ok(holds) if holds == decides => return Ok(Some(decides)),
                    Ok(_) => {}
                    Err(limit @ Fail::Limit(_)) => return Err(limit),
                    Err(error) => drop(state.wrong.get_or_insert(error)),
                }
            }
            LoopKind::ExistsOne(condition) => state.count += usize::from(self.holds(condition)?),
            LoopKind::Filter(condition) => {
                if self.holds(condition)? {
                    self.meter.item()?;
                    state.list.push(item);
                }
            }
            LoopKind::List { wanted, value } | LoopKind::Map { wanted, value } => {
                if let Some(wanted) = wanted
                    && !self.holds(wanted)?
                {
                    return Ok(None);
                }
                let value = self.evaluate(value)?;
                match kind {
                    LoopKind::Map { .. } => self.insert(&mut state.map, key, value)?,
                    _ => {
                        self.meter.item()?;
                        state.list.push(value);
                    }
                }
            }
        }
        Ok(None)
    }

    fn holds(&mut self, condition: &'a Node) -> Result<bool, Fail> {
        match self.evaluate(condition)? {
            Val::Bool(holds) => Ok(holds),
            other => Err(Fail::wrong(format!("a condition is true or false, not a {}", other.kind().as_str()))),
        }
    }
}

/// What a loop has come to.
struct State<'a> {
    wrong: Option<Fail>,
    count: usize,
    list: Vec<Val<'a>>,
    map: ValMap<'a>,
}

fn usize_of(key: &Key<'_>) -> Option<usize> {
    match key {
        Key::Uint(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

fn subtract<'a>(left: &Val<'a>, right: &Val<'a>) -> Evaluated<'a> {
    match (left, right) {
        (Val::Timestamp(left), Val::Timestamp(right)) => time::duration(Some(left.duration_since(*right))),
        (Val::Timestamp(left), Val::Duration(right)) => time::timestamp(left.checked_sub(*right)),
        (Val::Duration(left), Val::Duration(right)) => time::duration(left.checked_sub(*right)),
        _ => arithmetic(Operator::Subtract, left, right),
    }
}

/// Of two integers exactly, of one type as CEL has it. A number of JSON has no type: with one, and of both types, the result is of
/// the type that it fits into. Of an integer and a double as doubles, since JSON writes both alike.
fn arithmetic<'a>(operator: Operator, left: &Val<'a>, right: &Val<'a>) -> Evaluated<'a> {
    let absent = || no_overload(operator.as_str(), &[left.clone(), right.clone()]);
    let (a, b) = left.number().zip(right.number()).ok_or_else(absent)?;
    let (Some(x), Some(y)) = (a.integer(), b.integer()) else {
        let (a, b) = (a.to_f64(), b.to_f64());
        return Ok(Val::Double(match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide => a / b,
            _ => return Err(absent()),
        }));
    };
    let exact = match operator {
        Operator::Add => x.checked_add(y),
        Operator::Subtract => x.checked_sub(y),
        Operator::Multiply => x.checked_mul(y),
        _ if y == 0 => return Err(Fail::wrong("a number is divided by zero")),
        Operator::Divide => x.checked_div(y),
        _ => x.checked_rem(y),
    };
    let exact = exact.ok_or(OVERFLOW)?;
    let is_typed = !left.is_untyped() && !right.is_untyped();
    match (a, b) {
        (Num::Int(_), Num::Int(_)) if is_typed => i64::try_from(exact).map(Val::Int).map_err(|_| OVERFLOW),
        (Num::Uint(_), Num::Uint(_)) if is_typed => u64::try_from(exact).map(Val::Uint).map_err(|_| OVERFLOW),
        _ => fitting(exact),
    }
}
