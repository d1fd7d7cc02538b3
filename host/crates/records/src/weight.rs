//! What values of JSON take in memory, in bytes: the same wherever it is counted.

use crate::json;
use serde_json::{Number, Value};

/// What a value takes beside its texts.
pub const NODE_BYTES: usize = size_of::<Value>();
/// What the digits of a number take beside it at least.
const NUMBER_BYTES: usize = 16;
/// What a member of an object takes beside its value and the text of its name.
const MEMBER_BYTES: usize = size_of::<String>() + 32;
/// What finds the members of an object.
const OBJECT_BYTES: usize = 80;

/// A text that is handed on: as long as it is when it is written as JSON.
pub fn text(text: &str) -> usize {
    text.len() + json::escapes(text.as_bytes())
}

/// The digits of a number.
pub fn number(number: &Number) -> usize {
    number.as_str().len().max(NUMBER_BYTES)
}

/// What an object takes beside its members: there is room for three at least.
pub fn object(members: usize) -> usize {
    match members {
        0 => 0,
        members => OBJECT_BYTES + 3_usize.saturating_sub(members) * (NODE_BYTES + MEMBER_BYTES),
    }
}

/// A member of an object, beside its value.
pub fn member(name: usize) -> usize {
    MEMBER_BYTES + name
}

/// What a value takes, however deep it is; counted no further than just past `max`.
pub fn weight(value: &Value, max: usize) -> usize {
    let mut left = Some(max);
    spend(value, &mut left);
    left.map_or(max.saturating_add(1), |left| max - left)
}

/// Takes the weight of a value from what is left: nothing once it is not enough.
fn spend(value: &Value, left: &mut Option<usize>) {
    let beside = match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(digits) => number(digits),
        Value::String(string) => text(string),
        Value::Array(_) => 0,
        Value::Object(members) => object(members.len()),
    };
    *left = left.and_then(|left| left.checked_sub(NODE_BYTES + beside));
    match value {
        Value::Array(items) => {
            for item in items {
                if left.is_none() {
                    return;
                }
                spend(item, left);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                if left.is_none() {
                    return;
                }
                *left = left.and_then(|left| left.checked_sub(member(name.len())));
                spend(value, left);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
