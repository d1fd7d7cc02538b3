//! What an evaluation may use: steps, which take some tens of nanoseconds each, and bytes of the values that it makes.

use super::Fail;
use super::value::Val;
use ringback_records::json::DEPTH_MAX;
use ringback_records::weight::{self, NODE_BYTES};
use serde_json::{Number, Value};

const TOO_MUCH: &str = "it computes too much: an expression takes 2,000,000 steps at most, and all of a flow until it waits for \
                        something take 8,000,000; look at fewer values, or let a plugin do it";
const TOO_LARGE: &str = "its values are too large: an expression makes 10 MiB of them at most, and all of a flow until it waits for \
                         something make 12 MiB, where a number counts as 88 bytes; keep the part that is needed, or let \
                         `respond` answer them, where only their text counts";

/// What is left for an evaluation.
#[derive(Clone, Copy, Debug)]
pub(in crate::expression) struct Meter {
    steps: u64,
    bytes: u64,
}

impl Meter {
    /// Most steps of one expression: some tens of milliseconds.
    pub(in crate::expression) const STEPS_MAX: u64 = 2_000_000;
    /// Most memory of the values that one expression makes, in bytes. What is dropped on the way counts.
    pub(in crate::expression) const BYTES_MAX: u64 = 10 << 20;

    pub(in crate::expression) fn new(steps: u64, bytes: u64) -> Self {
        Self { steps, bytes }
    }

    /// Steps and bytes that were used of so many.
    pub(in crate::expression) fn used(&self, of: &Self) -> (u64, u64) {
        (of.steps.saturating_sub(self.steps), of.bytes.saturating_sub(self.bytes))
    }

    pub(super) fn step(&mut self) -> Result<(), Fail> {
        self.steps(1)
    }

    pub(super) fn steps(&mut self, count: usize) -> Result<(), Fail> {
        self.steps = self.steps.checked_sub(count as u64).ok_or(Fail::Limit(TOO_MUCH))?;
        Ok(())
    }

    /// Work that goes through a text or bytes.
    pub(super) fn scan(&mut self, bytes: usize) -> Result<(), Fail> {
        self.steps(bytes / 64 + 1)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<(), Fail> {
        self.bytes = self.bytes.checked_sub(count as u64).ok_or(Fail::Limit(TOO_LARGE))?;
        Ok(())
    }

    /// How many values of JSON there is room for, in a list that grows.
    pub(super) fn values_left(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX) / (2 * NODE_BYTES)
    }

    /// A value of JSON, beside what is in it.
    pub(super) fn node(&mut self) -> Result<(), Fail> {
        self.step()?;
        self.bytes(NODE_BYTES)
    }

    /// An item of a list, or half an entry of a map, of an expression.
    pub(super) fn item(&mut self) -> Result<(), Fail> {
        self.step()?;
        self.bytes(size_of::<Val<'_>>())
    }

    /// A value of JSON that was just read.
    pub(super) fn weigh(&mut self, value: &Value) -> Result<(), Fail> {
        self.value(value, Levels::MAX)
    }

    /// A text that is handed on: as long as it is when it is written as JSON.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Fail> {
        self.bytes(weight::text(text))
    }

    /// The digits of a number.
    pub(super) fn number(&mut self, number: &Number) -> Result<(), Fail> {
        self.bytes(weight::number(number))
    }

    /// What an object takes beside its members: there is room for three at least.
    pub(super) fn object(&mut self, members: usize) -> Result<(), Fail> {
        self.bytes(weight::object(members))
    }

    /// A part of a text that is being written.
    pub(super) fn write(&mut self, part: &str, text: &mut String) -> Result<(), Fail> {
        self.bytes(part.len())?;
        text.push_str(part);
        Ok(())
    }

    /// What is dropped at once: there is room for it, and nothing of it is used up.
    pub(super) fn passing<T>(&mut self, make: impl FnOnce(&mut Self) -> Result<T, Fail>) -> Result<T, Fail> {
        let bytes = self.bytes;
        let made = make(self);
        self.bytes = bytes;
        made
    }

    /// A member of an object, beside its value.
    pub(super) fn member(&mut self, name: usize) -> Result<(), Fail> {
        self.bytes(weight::member(name))
    }

    /// A copy of a value that may be so deep.
    pub(super) fn copy(&mut self, value: &Value, levels: Levels) -> Result<Value, Fail> {
        self.value(value, levels)?;
        Ok(value.clone())
    }

    fn value(&mut self, value: &Value, levels: Levels) -> Result<(), Fail> {
        self.node()?;
        match value {
            Value::Null | Value::Bool(_) => Ok(()),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                let inside = levels.inside()?;
                items.iter().try_for_each(|item| self.value(item, inside))
            }
            Value::Object(members) => {
                let inside = levels.inside()?;
                self.object(members.len())?;
                members.iter().try_for_each(|(name, value)| {
                    self.member(name.len())?;
                    self.value(value, inside)
                })
            }
        }
    }
}

/// How many lists and objects a value may still be nested in each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels(usize);

impl Levels {
    /// As deep as JSON is read.
    pub(super) const MAX: Self = Self(DEPTH_MAX);

    /// What is left in a list or an object.
    pub(super) fn inside(self) -> Result<Self, Fail> {
        self.0.checked_sub(1).map(Self).ok_or(Fail::Limit("its value is nested deeper than 128"))
    }
}
