//! `"%s is worth %.2f".format([name, price])`.

use super::{list_at, text_at};
use crate::expression::cel::Fail;
use crate::expression::cel::meter::Meter;
use crate::expression::cel::time::{duration_text, timestamp_text};
use crate::expression::cel::value::{Num, Type, Val};
use std::fmt::Write as _;

/// Most digits after the point that a clause may ask for.
const PRECISION_MAX: usize = 100;
const PRECISION: usize = 6;

pub(super) fn format<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, list) = (text_at("format", values, 0)?, list_at("format", values, 1)?);
    let (mut out, mut rest, mut next) = (Output { text: String::new(), meter }, &**text, 0_usize);
    while let Some((before, after)) = rest.split_once('%') {
        out.push(before)?;
        if let Some(after) = after.strip_prefix('%') {
            out.push("%")?;
            rest = after;
            continue;
        }
        let (precision, after) = precision(after)?;
        let clause = after.chars().next().ok_or(Fail::wrong("the text ends with a `%` alone"))?;
        let value = list.item(next);
        let value = value.ok_or_else(|| Fail::wrong(format!("there are only {next} values for the text's `%`")))?;
        next += 1;
        out.clause(clause, precision, &value)?;
        rest = after.get(clause.len_utf8()..).unwrap_or_default();
    }
    out.push(rest)?;
    Ok(Val::text(out.text))
}

/// `.3` before the letter of a clause.
fn precision(text: &str) -> Result<(Option<usize>, &str), Fail> {
    let Some(after) = text.strip_prefix('.') else { return Ok((None, text)) };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (digits, rest) = after.split_at(end);
    match digits.parse() {
        Ok(precision) if precision <= PRECISION_MAX => Ok((Some(precision), rest)),
        _ => Err(Fail::wrong(format!("a precision is a number from 0 to {PRECISION_MAX}"))),
    }
}

struct Output<'m> {
    text: String,
    meter: &'m mut Meter,
}

impl Output<'_> {
    fn push(&mut self, text: &str) -> Result<(), Fail> {
        self.meter.bytes(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    fn clause(&mut self, clause: char, precision: Option<usize>, value: &Val<'_>) -> Result<(), Fail> {
        let number = value.number();
        let text = match (clause, number, value) {
            ('s', ..) => return self.value(value),
            ('d' | 'f' | 'e', Some(Num::Double(double)), _) if !double.is_finite() => special(double).to_owned(),
            ('d', Some(Num::Int(int)), _) => int.to_string(),
            ('d', Some(Num::Uint(uint)), _) => uint.to_string(),
            ('f', Some(number), _) => format!("{:.*}", precision.unwrap_or(PRECISION), number.to_f64()),
            ('e', Some(number), _) => scientific(number.to_f64(), precision.unwrap_or(PRECISION)),
            ('b', Some(Num::Int(int)), _) => signed(int, format!("{:b}", int.unsigned_abs())),
            ('b', Some(Num::Uint(uint)), _) => format!("{uint:b}"),
            ('b', _, Val::Bool(value)) => u8::from(*value).to_string(),
            ('o', Some(Num::Int(int)), _) => signed(int, format!("{:o}", int.unsigned_abs())),
            ('o', Some(Num::Uint(uint)), _) => format!("{uint:o}"),
            ('x', Some(Num::Int(int)), _) => signed(int, format!("{:x}", int.unsigned_abs())),
            ('x', Some(Num::Uint(uint)), _) => format!("{uint:x}"),
            ('X', Some(Num::Int(int)), _) => signed(int, format!("{:X}", int.unsigned_abs())),
            ('X', Some(Num::Uint(uint)), _) => format!("{uint:X}"),
            ('x' | 'X', _, Val::Text(text)) => return self.hex(text.as_bytes(), clause == 'X'),
            ('x' | 'X', _, Val::Bytes(bytes)) => return self.hex(bytes, clause == 'X'),
            ('d' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X', ..) => {
                return Err(Fail::wrong(format!("`%{clause}` cannot write a {}", value.kind().as_str())));
            }
            _ => return Err(Fail::quoting("there is no such clause to write a value", format!("%{clause}"))),
        };
        self.push(&text)
    }

    fn hex(&mut self, bytes: &[u8], upper: bool) -> Result<(), Fail> {
        self.meter.bytes(2 * bytes.len())?;
        for byte in bytes {
            let _ = if upper { write!(self.text, "{byte:02X}") } else { write!(self.text, "{byte:02x}") };
        }
        Ok(())
    }

    /// A value as people read it.
    fn value(&mut self, value: &Val<'_>) -> Result<(), Fail> {
        self.meter.step()?;
        let text = match value {
            Val::Text(text) => return self.push(text),
            Val::Null => "null".to_owned(),
            Val::Bool(value) => value.to_string(),
            Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Val::Timestamp(timestamp) => timestamp_text(*timestamp),
            Val::Duration(duration) => duration_text(*duration),
            Val::Type(kind) => kind.as_str().to_owned(),
            Val::Number(number) => number.to_string(),
            Val::Optional(None) => "optional.none()".to_owned(),
            Val::Optional(Some(value)) => {
                self.push("optional(")?;
                self.value(value)?;
                ")".to_owned()
            }
            list if list.kind() == Type::List => {
                self.push("[")?;
                for index in 0..list.size().unwrap_or_default() {
                    self.push(if index == 0 { "" } else { ", " })?;
                    self.value(&list.item(index).unwrap_or(Val::Null))?;
                }
                "]".to_owned()
            }
            map if map.kind() == Type::Map => return self.map(map),
            other => match other.number() {
                Some(Num::Int(value)) => value.to_string(),
                Some(Num::Uint(value)) => value.to_string(),
                Some(Num::Double(value)) if value.is_finite() => value.to_string(),
                Some(Num::Double(value)) => special(value).to_owned(),
                None => String::new(),
            },
        };
        self.push(&text)
    }

    /// In the order of the keys' texts.
    fn map(&mut self, map: &Val<'_>) -> Result<(), Fail> {
        let mut entries = Vec::new();
        for (key, value) in map.entries().into_iter().flatten() {
            let mut name = Output { text: String::new(), meter: &mut *self.meter };
            name.value(&key)?;
            let name = name.text;
            self.meter.item()?;
            entries.push((name, value));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.push("{")?;
        for (index, (name, value)) in entries.iter().enumerate() {
            self.push(if index == 0 { "" } else { ", " })?;
            self.push(name)?;
            self.push(": ")?;
            self.value(value)?;
        }
        self.push("}")
    }
}

fn special(double: f64) -> &'static str {
    match double {
        double if double.is_nan() => "NaN",
        double if double > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

fn signed(int: i64, digits: String) -> String {
    if int < 0 { format!("-{digits}") } else { digits }
}

/// With an exponent of two digits or more.
fn scientific(double: f64, precision: usize) -> String {
    let text = format!("{double:.precision$e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}
