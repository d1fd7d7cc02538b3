//! The values of CEL. Those that come from outside are borrowed: nothing is copied until an expression makes something new,
//! and what is handed on as it came keeps the order of its members and the digits of its numbers.

use super::meter::{Levels, Meter};
use super::{Fail, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use ringback_records::json;
use serde_json::{Number, Value};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

pub(super) const OVERFLOW: Fail = Fail::wrong_static(
    "the result does not fit into an integer of 64 bits; with double(…) around one of the numbers it is computed as a double, to \
     some 15 digits",
);

#[derive(Clone, Debug)]
pub(in crate::expression) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    /// As it was written.
    Number(Digits<'a>),
    Text(Text<'a>),
    Bytes(Rc<Vec<u8>>),
    List(Rc<Vec<Val<'a>>>),
    JsonList(&'a [Value]),
    Map(Rc<ValMap<'a>>),
    JsonMap(&'a serde_json::Map<String, Value>),
    /// A map of which every member can be taken: one that is not there is null.
    Picks(&'a serde_json::Map<String, Value>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    Type(Type),
    Optional(Option<Rc<Val<'a>>>),
}

pub(in crate::expression) type ValMap<'a> = IndexMap<Key<'a>, Val<'a>>;

/// A text, borrowed or shared.
#[derive(Clone, Debug)]
pub(in crate::expression) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<String>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(Rc::new(text))
    }
}

/// A number of JSON, borrowed or shared.
#[derive(Clone, Debug)]
pub(in crate::expression) enum Digits<'a> {
    Borrowed(&'a Number),
    Shared(Rc<Number>),
}

impl Deref for Digits<'_> {
    type Target = Number;

    fn deref(&self) -> &Number {
        match self {
            Self::Borrowed(number) => number,
            Self::Shared(number) => number,
        }
    }
}

/// A key of a map. Integers are the same key whatever their type.
#[derive(Clone, Debug)]
pub(in crate::expression) enum Key<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Text(Text<'a>),
}

impl Key<'_> {
    fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(i128::from(*value)),
            Self::Uint(value) => Some(i128::from(*value)),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => **a == **b,
            (a, b) => a.integer().is_some() && a.integer() == b.integer(),
        }
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Bool(value) => value.hash(state),
            Self::Text(text) => text.hash(state),
            integer => integer.integer().hash(state),
        }
    }
}

impl<'a> Key<'a> {
    /// The key that a value is; `None` for one that no map can have. A map looks at all of it.
    pub(super) fn of(value: &Val<'a>, meter: &mut Meter) -> Result<Option<Self>, Fail> {
        meter.scan(value.text_bytes())?;
        Ok(match value {
            Val::Bool(value) => Some(Self::Bool(*value)),
            Val::Text(text) => Some(Self::Text(text.clone())),
            other => match other.number() {
                Some(Num::Int(value)) => Some(Self::Int(value)),
                Some(Num::Uint(value)) => Some(Self::Uint(value)),
                Some(Num::Double(_)) | None => None,
            },
        })
    }

    /// The key that a value means when it is looked up: a whole number of any type.
    pub(super) fn meant_by(value: &Val<'a>, meter: &mut Meter) -> Result<Option<Self>, Fail> {
        match value.number() {
            Some(Num::Double(double)) => Ok(Num::whole(double)),
            _ => Self::of(value, meter),
        }
    }

    pub(super) fn to_val(&self) -> Val<'a> {
        match self {
            Self::Bool(value) => Val::Bool(*value),
            Self::Int(value) => Val::Int(*value),
            Self::Uint(value) => Val::Uint(*value),
            Self::Text(text) => Val::Text(text.clone()),
        }
    }

    fn to_name(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Uint(value) => value.to_string(),
            Self::Text(text) => text.to_string(),
        }
    }
}

/// A number, to compute with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Num {
    Int(i64),
    Uint(u64),
    Double(f64),
}

impl Num {
    fn whole<'a>(double: f64) -> Option<Key<'a>> {
        // Both bounds are exact; between them every whole number is one of the types.
        let is_whole = double.fract() == 0.0;
        if is_whole && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&double) {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within bounds")]
            return Some(Key::Int(double as i64));
        }
        if is_whole && (0.0..18_446_744_073_709_551_616.0).contains(&double) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole and within bounds"
            )]
            return Some(Key::Uint(double as u64));
        }
        None
    }

    pub(super) fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the nearest is meant")]
        match self {
            Self::Int(value) => value as f64,
            Self::Uint(value) => value as f64,
            Self::Double(value) => value,
        }
    }

    pub(super) fn integer(self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(i128::from(value)),
            Self::Uint(value) => Some(i128::from(value)),
            Self::Double(_) => None,
        }
    }

    /// Of integers exactly; of an integer and a double as doubles.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self.integer(), other.integer()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => self.to_f64().partial_cmp(&other.to_f64()),
        }
    }
}

/// The type of a value, as `type()` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the type of a type is called `type` in CEL")]
pub(in crate::expression) enum Type {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    List,
    Map,
    Timestamp,
    Duration,
    Type,
    Optional,
}

impl Type {
    const ALL: [Self; 13] = [
        Self::Null,
        Self::Bool,
        Self::Int,
        Self::Uint,
        Self::Double,
        Self::Text,
        Self::Bytes,
        Self::List,
        Self::Map,
        Self::Timestamp,
        Self::Duration,
        Self::Type,
        Self::Optional,
    ];

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Map => "map",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Type => "type",
            Self::Optional => "optional_type",
        }
    }
}

impl<'a> Val<'a> {
    pub(in crate::expression) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into().into())
    }

    pub(in crate::expression) fn borrowed(text: &'a str) -> Self {
        Self::Text(Text::Borrowed(text))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(items))
    }

    /// An object with these members.
    pub(in crate::expression) fn object<N: Into<String>>(members: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Map(Rc::new(members.into_iter().map(|(name, value)| (Key::Text(name.into().into()), value)).collect()))
    }

    pub(super) fn some(value: Self) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    /// A value of JSON, where it is.
    pub(in crate::expression) fn json(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(Digits::Borrowed(number)),
            Value::String(text) => Self::borrowed(text),
            Value::Array(items) => Self::JsonList(items),
            Value::Object(members) => Self::JsonMap(members),
        }
    }

    /// A value of JSON that nobody else keeps.
    pub(in crate::expression) fn of_json(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(Digits::Shared(Rc::new(number))),
            Value::String(text) => Self::text(text),
            Value::Array(items) => Self::list(items.into_iter().map(Self::of_json).collect()),
            Value::Object(members) => {
                Self::object(members.into_iter().map(|(name, value)| (name, Self::of_json(value))))
            }
        }
    }

    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::Number(number) => match number_of(number) {
                Num::Int(_) => Type::Int,
                Num::Uint(_) => Type::Uint,
                Num::Double(_) => Type::Double,
            },
            Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
            Self::List(_) | Self::JsonList(_) => Type::List,
            Self::Map(_) | Self::JsonMap(_) | Self::Picks(_) => Type::Map,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::Type(_) => Type::Type,
            Self::Optional(_) => Type::Optional,
        }
    }

    pub(super) fn number(&self) -> Option<Num> {
        Some(match self {
            Self::Int(value) => Num::Int(*value),
            Self::Uint(value) => Num::Uint(*value),
            Self::Double(value) => Num::Double(*value),
            Self::Number(number) => number_of(number),
            _ => return None,
        })
    }

    /// Whether it is a number of JSON, which has no type.
    pub(super) fn is_untyped(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// Bytes of what is a text, or bytes.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Items of a list, or entries of a map.
    pub(super) fn size(&self) -> Option<usize> {
        Some(match self {
            Self::List(items) => items.len(),
            Self::JsonList(items) => items.len(),
            Self::Map(entries) => entries.len(),
            Self::JsonMap(members) | Self::Picks(members) => members.len(),
            _ => return None,
        })
    }

    /// The item of a list.
    pub(super) fn item(&self, index: usize) -> Option<Self> {
        match self {
            Self::List(items) => items.get(index).cloned(),
            Self::JsonList(items) => items.get(index).map(Self::json),
            _ => None,
        }
    }

    /// The value of a key of a map.
    pub(super) fn entry(&self, key: &Key<'a>) -> Option<Self> {
        match (self, key) {
            (Self::Map(entries), key) => entries.get(key).cloned(),
            (Self::JsonMap(members) | Self::Picks(members), Key::Text(name)) => members.get(&**name).map(Self::json),
            _ => None,
        }
    }

    pub(super) fn member(&self, name: &'a str) -> Option<Self> {
        match self {
            Self::JsonMap(members) | Self::Picks(members) => members.get(name).map(Self::json),
            _ => self.entry(&Key::Text(Text::Borrowed(name))),
        }
    }

    /// The entries of a map, or the items of a list under their indexes; `None` for anything else.
    pub(super) fn entries(&self) -> Option<Box<dyn Iterator<Item = (Self, Self)> + '_>> {
        let index = |index: usize| Self::Int(i64::try_from(index).unwrap_or(i64::MAX));
        Some(match self {
            Self::List(items) => Box::new(items.iter().cloned().enumerate().map(move |(at, item)| (index(at), item))),
            Self::JsonList(items) => {
                Box::new(items.iter().enumerate().map(move |(at, item)| (index(at), Self::json(item))))
            }
            Self::Map(entries) => Box::new(entries.iter().map(|(key, value)| (key.to_val(), value.clone()))),
            Self::JsonMap(members) | Self::Picks(members) => {
                Box::new(members.iter().map(|(name, value)| (Self::borrowed(name), Self::json(value))))
            }
            _ => return None,
        })
    }

    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Timestamp(time) => *time == Timestamp::UNIX_EPOCH,
            Self::Duration(duration) => duration.is_zero(),
            Self::Optional(value) => value.is_none(),
            Self::Type(_) => false,
            other => match (other.number(), other.size()) {
                (Some(number), _) => number.to_f64() == 0.0,
                (None, size) => size == Some(0),
            },
        }
    }

    /// Whether two values are equal: numbers by what they are worth, lists and maps by what is in them.
    pub(super) fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Fail> {
        meter.step()?;
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => {
                meter.scan(a.len().min(b.len()))?;
                **a == **b
            }
            (Self::Bytes(a), Self::Bytes(b)) => {
                meter.scan(a.len().min(b.len()))?;
                a == b
            }
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Optional(Some(a)), Self::Optional(Some(b))) => return a.equals(b, meter),
            (Self::Number(a), Self::Number(b)) => compare(a, b) == Some(Ordering::Equal),
            (a, b) if a.kind() == Type::List && b.kind() == Type::List => {
                if a.size() != b.size() {
                    return Ok(false);
                }
                for index in 0..a.size().unwrap_or_default() {
                    let (Some(a), Some(b)) = (a.item(index), b.item(index)) else { return Ok(false) };
                    if !a.equals(&b, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (a, b) if a.kind() == Type::Map && b.kind() == Type::Map => {
                if a.size() != b.size() {
                    return Ok(false);
                }
                for (key, value) in a.entries().into_iter().flatten() {
                    let other = Key::of(&key, meter)?.and_then(|key| b.entry(&key));
                    let Some(other) = other else { return Ok(false) };
                    if !value.equals(&other, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (a, b) => match (a.number(), b.number()) {
                (Some(a), Some(b)) => a.compare(b) == Some(Ordering::Equal),
                _ => false,
            },
        })
    }

    /// How two values are ordered; `None` for those that have no order.
    pub(super) fn order(&self, other: &Self, meter: &mut Meter) -> Result<Option<Ordering>, Fail> {
        Ok(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => {
                meter.scan(a.len().min(b.len()))?;
                Some((**a).cmp(b))
            }
            (Self::Bytes(a), Self::Bytes(b)) => {
                meter.scan(a.len().min(b.len()))?;
                Some(a.cmp(b))
            }
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Number(a), Self::Number(b)) => compare(a, b),
            (a, b) => a.number().zip(b.number()).and_then(|(a, b)| a.compare(b)),
        })
    }

    /// The value as JSON. What JSON has no form for is written as its text; an optional is its value, or null.
    pub(super) fn to_json(&self, meter: &mut Meter) -> Result<Value, Fail> {
        self.to_json_within(Levels::MAX, meter)
    }

    /// Writes the same JSON as a text, which takes a fraction of what its values do.
    pub(super) fn write_json(&self, text: &mut String, meter: &mut Meter) -> Result<(), Fail> {
        self.write_json_within(Levels::MAX, text, meter)
    }

    fn write_json_within(&self, levels: Levels, text: &mut String, meter: &mut Meter) -> Result<(), Fail> {
        let separator = |at| if at == 0 { "" } else { "," };
        match self {
            Self::List(_) | Self::JsonList(_) => {
                let inside = levels.inside()?;
                meter.step()?;
                meter.write("[", text)?;
                for (at, (_, item)) in self.entries().into_iter().flatten().enumerate() {
                    meter.write(separator(at), text)?;
                    item.write_json_within(inside, text, meter)?;
                }
                meter.write("]", text)
            }
            Self::Map(_) | Self::JsonMap(_) | Self::Picks(_) if self.has_names() => {
                let inside = levels.inside()?;
                meter.step()?;
                meter.write("{", text)?;
                for (at, (name, value)) in self.entries().into_iter().flatten().enumerate() {
                    meter.write(separator(at), text)?;
                    name.write_json_within(inside, text, meter)?;
                    meter.write(":", text)?;
                    value.write_json_within(inside, text, meter)?;
                }
                meter.write("}", text)
            }
            other => {
                let json = meter.passing(|meter| other.to_json_within(levels, meter))?;
                meter.write(&json.to_string(), text)
            }
        }
    }

    /// Whether the keys of a map are names as they are; others may become the same name.
    fn has_names(&self) -> bool {
        let is_name = |key: &Key<'_>| matches!(key, Key::Text(name) if !json::is_reserved(name));
        !matches!(self, Self::Map(entries) if !entries.keys().all(is_name))
    }

    fn to_json_within(&self, levels: Levels, meter: &mut Meter) -> Result<Value, Fail> {
        meter.node()?;
        let number = |number: Number, meter: &mut Meter| -> Result<Value, Fail> {
            meter.number(&number)?;
            Ok(Value::Number(number))
        };
        Ok(match self {
            Self::Null | Self::Optional(None) => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => number((*value).into(), meter)?,
            Self::Uint(value) => number((*value).into(), meter)?,
            Self::Double(value) => match Number::from_f64(*value) {
                Some(value) => number(value, meter)?,
                None => return Err(Fail::wrong("infinity and not-a-number cannot be written as JSON")),
            },
            Self::Number(digits) => number(Number::clone(digits), meter)?,
            Self::Text(text) => {
                meter.text(text)?;
                Value::String(text.to_string())
            }
            Self::Bytes(bytes) => {
                meter.bytes(bytes.len() / 3 * 4 + 4)?;
                Value::String(STANDARD.encode(&**bytes))
            }
            Self::Timestamp(timestamp) => Value::String(time::timestamp_text(*timestamp)),
            Self::Duration(duration) => Value::String(time::duration_text(*duration)),
            Self::Type(kind) => Value::String(kind.as_str().to_owned()),
            Self::Optional(Some(value)) => return value.to_json_within(levels, meter),
            Self::List(items) => {
                let inside = levels.inside()?;
                items.iter().map(|item| item.to_json_within(inside, meter)).collect::<Result<_, _>>()?
            }
            Self::JsonList(items) => {
                let inside = levels.inside()?;
                items.iter().map(|item| meter.copy(item, inside)).collect::<Result<_, _>>()?
            }
            Self::Map(entries) => {
                let inside = levels.inside()?;
                meter.object(entries.len())?;
                let mut object = serde_json::Map::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    let name = key.to_name();
                    if json::is_reserved(&name) {
                        return Err(Fail::wrong("a name in the value cannot be used"));
                    }
                    meter.member(name.len())?;
                    object.insert(name, value.to_json_within(inside, meter)?);
                }
                Value::Object(object)
            }
            Self::JsonMap(members) | Self::Picks(members) => {
                let inside = levels.inside()?;
                meter.object(members.len())?;
                let mut object = serde_json::Map::with_capacity(members.len());
                for (name, value) in *members {
                    meter.member(name.len())?;
                    object.insert(name.clone(), meter.copy(value, inside)?);
                }
                Value::Object(object)
            }
        })
    }
}

/// What a number of JSON is worth: an integer where it is written as one that has 64 bits.
fn number_of(number: &Number) -> Num {
    if let Some(value) = number.as_i64() {
        return Num::Int(value);
    }
    if let Some(value) = number.as_u64() {
        return Num::Uint(value);
    }
    // Beyond all doubles it is infinite, as for every reader that has no larger numbers.
    Num::Double(number.as_f64().or_else(|| number.to_string().parse().ok()).unwrap_or(f64::NAN))
}

/// How two numbers of JSON are ordered: integers exactly, however long they are, and others as doubles.
pub(in crate::expression) fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    let (left, right) = (number_of(a), number_of(b));
    if let (Num::Double(_), _) | (_, Num::Double(_)) = (left, right)
        && let (Some((a_is_negative, a)), Some((b_is_negative, b))) = (digits_of(a), digits_of(b))
    {
        let order = (a.len(), a).cmp(&(b.len(), b));
        return Some(match (a_is_negative, b_is_negative) {
            (false, false) => order,
            (true, true) => order.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        });
    }
    left.compare(right)
}

/// Whether a number is negative, and its digits, where it is written as an integer.
fn digits_of(number: &Number) -> Option<(bool, &str)> {
    let text = number.as_str();
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some((digits.len() < text.len(), digits))
}

/// An integer of the type that it fits into.
pub(super) fn fitting<'a>(exact: i128) -> Result<Val<'a>, Fail> {
    let int = i64::try_from(exact).map(Val::Int);
    int.or_else(|_| u64::try_from(exact).map(Val::Uint)).map_err(|_| OVERFLOW)
}
