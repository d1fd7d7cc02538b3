//! The functions of CEL and of its usual extensions, and `json()`. A new one is a line in [`FUNCTIONS`]. What they read of texts
//! and bytes among their arguments is counted before they are called; what they make, and lists, they count themselves.

mod format;
mod lists;
mod math;
mod strings;

use super::Fail;
use super::meter::Meter;
use super::time;
use super::value::{Num, Text, Type, Val};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use std::ops::RangeInclusive;
use std::rc::Rc;

/// What a function does: its arguments, the value before the dot first.
pub(super) type Native = for<'a> fn(&[Val<'a>], &mut Meter) -> Result<Val<'a>, Fail>;

/// A function that expressions can call.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    form: Form,
    /// How many values it takes, the one before the dot included.
    arguments: RangeInclusive<usize>,
    pub(super) native: Native,
}

/// How a function is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `size(x)`
    Global,
    /// `x.size()`
    Method,
    /// Both.
    Either,
}

const fn function(name: &'static str, form: Form, arguments: RangeInclusive<usize>, native: Native) -> Function {
    Function { name, form, arguments, native }
}

use Form::{Either, Global, Method};

const FUNCTIONS: &[Function] = &[
    function("size", Either, 1..=1, size),
    function("contains", Method, 2..=2, strings::contains),
    function("startsWith", Method, 2..=2, strings::starts_with),
    function("endsWith", Method, 2..=2, strings::ends_with),
    function("type", Global, 1..=1, |values, _| Ok(Val::Type(first(values)?.kind()))),
    function("dyn", Global, 1..=1, |values, _| first(values).cloned()),
    function("int", Global, 1..=1, int),
    function("uint", Global, 1..=1, uint),
    function("double", Global, 1..=1, double),
    function("string", Global, 1..=1, string),
    function("bytes", Global, 1..=1, bytes),
    function("bool", Global, 1..=1, bool),
    function("timestamp", Global, 1..=1, timestamp),
    function("duration", Global, 1..=1, duration),
    function("getFullYear", Method, 1..=2, |values, _| time_part("getFullYear", values)),
    function("getMonth", Method, 1..=2, |values, _| time_part("getMonth", values)),
    function("getDate", Method, 1..=2, |values, _| time_part("getDate", values)),
    function("getDayOfMonth", Method, 1..=2, |values, _| time_part("getDayOfMonth", values)),
    function("getDayOfWeek", Method, 1..=2, |values, _| time_part("getDayOfWeek", values)),
    function("getDayOfYear", Method, 1..=2, |values, _| time_part("getDayOfYear", values)),
    function("getHours", Method, 1..=2, |values, _| time_part("getHours", values)),
    function("getMinutes", Method, 1..=2, |values, _| time_part("getMinutes", values)),
    function("getSeconds", Method, 1..=2, |values, _| time_part("getSeconds", values)),
    function("getMilliseconds", Method, 1..=2, |values, _| time_part("getMilliseconds", values)),
    function("charAt", Method, 2..=2, strings::char_at),
    function("indexOf", Method, 2..=3, strings::index_of),
    function("lastIndexOf", Method, 2..=3, strings::last_index_of),
    function("lowerAscii", Method, 1..=1, strings::lower_ascii),
    function("upperAscii", Method, 1..=1, strings::upper_ascii),
    function("replace", Method, 3..=4, strings::replace),
    function("split", Method, 2..=3, strings::split),
    function("substring", Method, 2..=3, strings::substring),
    function("trim", Method, 1..=1, strings::trim),
    function("join", Method, 1..=2, strings::join),
    function("reverse", Method, 1..=1, strings::reverse),
    function("format", Method, 2..=2, format::format),
    function("strings.quote", Global, 1..=1, strings::quote),
    function("math.greatest", Global, 1..=usize::MAX, math::greatest),
    function("math.least", Global, 1..=usize::MAX, math::least),
    function("max", Global, 1..=usize::MAX, math::greatest),
    function("min", Global, 1..=usize::MAX, math::least),
    function("math.ceil", Global, 1..=1, |values, _| math::rounded("math.ceil", f64::ceil, values)),
    function("math.floor", Global, 1..=1, |values, _| math::rounded("math.floor", f64::floor, values)),
    function("math.round", Global, 1..=1, |values, _| math::rounded("math.round", f64::round, values)),
    function("math.trunc", Global, 1..=1, |values, _| math::rounded("math.trunc", f64::trunc, values)),
    function("math.abs", Global, 1..=1, math::abs),
    function("math.sign", Global, 1..=1, math::sign),
    function("math.sqrt", Global, 1..=1, math::sqrt),
    function("math.isNaN", Global, 1..=1, |values, _| math::is("math.isNaN", f64::is_nan, values)),
    function("math.isInf", Global, 1..=1, |values, _| math::is("math.isInf", f64::is_infinite, values)),
    function("math.isFinite", Global, 1..=1, |values, _| math::is("math.isFinite", f64::is_finite, values)),
    function("math.bitAnd", Global, 2..=2, math::bit_and),
    function("math.bitOr", Global, 2..=2, math::bit_or),
    function("math.bitXor", Global, 2..=2, math::bit_xor),
    function("math.bitNot", Global, 1..=1, math::bit_not),
    function("math.bitShiftLeft", Global, 2..=2, math::bit_shift_left),
    function("math.bitShiftRight", Global, 2..=2, math::bit_shift_right),
    function("base64.encode", Global, 1..=1, base64_encode),
    function("base64.decode", Global, 1..=1, base64_decode),
    function("optional.of", Global, 1..=1, |values, _| Ok(Val::some(first(values)?.clone()))),
    function("optional.none", Global, 0..=0, |_, _| Ok(Val::Optional(None))),
    function("optional.ofNonZeroValue", Global, 1..=1, of_non_zero_value),
    function("hasValue", Method, 1..=1, has_value),
    function("value", Method, 1..=1, value),
    function("slice", Method, 3..=3, lists::slice),
    function("flatten", Method, 1..=2, lists::flatten),
    function("distinct", Method, 1..=1, lists::distinct),
    function("sort", Method, 1..=1, lists::sort),
    function("lists.range", Global, 1..=1, lists::range),
    function("json", Global, 1..=1, json),
];

/// What the compiler makes of a call itself, and how it is written.
const SPECIAL: &[(&str, &str)] = &[
    ("has", "has(value.member)"),
    ("all", "value.all(x, condition)"),
    ("exists", "value.exists(x, condition)"),
    ("exists_one", "value.exists_one(x, condition)"),
    ("existsOne", "value.existsOne(x, condition)"),
    ("map", "value.map(x, result)"),
    ("filter", "value.filter(x, condition)"),
    ("transformList", "value.transformList(key, x, result)"),
    ("transformMap", "value.transformMap(key, x, result)"),
    ("cel.bind", "cel.bind(x, value, result)"),
    ("optMap", "value.optMap(x, result)"),
    ("optFlatMap", "value.optFlatMap(x, result)"),
    ("or", "value.or(other)"),
    ("orValue", "value.orValue(other)"),
    ("matches", "value.matches('pattern')"),
];

/// Where a function is found, or why there is none that can be called so.
pub(super) fn find(name: &str, is_method: bool, count: usize) -> Result<&'static Function, String> {
    let named = || FUNCTIONS.iter().filter(|function| function.name == name);
    let form = if is_method { Method } else { Global };
    let fits = |function: &&Function| function.form == form || function.form == Either;
    if let Some(found) = named().filter(fits).find(|function| function.arguments.contains(&count)) {
        return Ok(found);
    }
    if let Some((_, written)) = SPECIAL.iter().find(|(special, _)| *special == name) {
        return Err(format!("`{name}` is written `{written}`"));
    }
    let Some(known) = named().next() else {
        let suggestion = crate::suggest::suggest(name, names());
        return Err(format!("there is no function `{name}`{suggestion}"));
    };
    if !fits(&known) {
        let written = if is_method { format!("{name}(…)") } else { format!("value.{name}(…)") };
        return Err(format!("`{name}` is written `{written}`"));
    }
    let before_dot = usize::from(is_method);
    let (least, most) = (known.arguments.start() - before_dot, known.arguments.end().saturating_sub(before_dot));
    let takes = match most {
        most if most == least => least.to_string(),
        most if most > 100 => format!("{least} or more"),
        most => format!("{least} to {most}"),
    };
    Err(format!("`{name}` takes {takes} arguments, not {}", count - before_dot.min(count)))
}

/// Every name that can be called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name).chain(SPECIAL.iter().map(|(name, _)| *name))
}

pub(super) fn first<'v, 'a>(values: &'v [Val<'a>]) -> Result<&'v Val<'a>, Fail> {
    values.first().ok_or(Fail::wrong("an argument is missing"))
}

/// There is no function of this name for values of these types.
pub(super) fn no_overload(name: &str, values: &[Val<'_>]) -> Fail {
    let kinds: Vec<&str> = values.iter().map(|value| value.kind().as_str()).collect();
    Fail::wrong(format!("`{name}` is not there for {}", kinds.join(", ")))
}

fn size<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let value = first(values)?;
    let size = match value {
        Val::Text(text) => text.chars().count(),
        Val::Bytes(bytes) => bytes.len(),
        other => other.size().ok_or_else(|| no_overload("size", values))?,
    };
    Ok(Val::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn int<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let value = first(values)?;
    Ok(Val::Int(match value {
        Val::Text(text) => text.parse().map_err(|_| Fail::about("it is no integer of 64 bits", text))?,
        Val::Timestamp(timestamp) => timestamp.as_second(),
        other => match other.number() {
            Some(Num::Int(value)) => value,
            Some(Num::Uint(value)) => {
                i64::try_from(value).map_err(|_| Fail::wrong("the number is too large for int"))?
            }
            // The bounds themselves are not exact: they are outside.
            Some(Num::Double(value)) if value > -9_223_372_036_854_775_808.0 && value < 9_223_372_036_854_775_807.0 => {
                #[expect(clippy::cast_possible_truncation, reason = "it is within bounds, and the fraction is cut off")]
                {
                    value as i64
                }
            }
            Some(Num::Double(_)) => return Err(Fail::wrong("the number is out of the range of int")),
            None => return Err(no_overload("int", values)),
        },
    }))
}

fn uint<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let value = first(values)?;
    Ok(Val::Uint(match value {
        Val::Text(text) => text.parse().map_err(|_| Fail::about("it is no unsigned integer of 64 bits", text))?,
        other => match other.number() {
            Some(Num::Int(value)) => u64::try_from(value).map_err(|_| Fail::wrong("the number is negative"))?,
            Some(Num::Uint(value)) => value,
            Some(Num::Double(value)) if (0.0..18_446_744_073_709_551_615.0).contains(&value) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is within bounds, and the fraction is cut off"
                )]
                {
                    value as u64
                }
            }
            Some(Num::Double(_)) => return Err(Fail::wrong("the number is out of the range of uint")),
            None => return Err(no_overload("uint", values)),
        },
    }))
}

fn double<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let value = first(values)?;
    Ok(Val::Double(match value {
        Val::Text(text) => text.parse().map_err(|_| Fail::about("it is no number", text))?,
        other => other.number().ok_or_else(|| no_overload("double", values))?.to_f64(),
    }))
}

fn string<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let value = first(values)?;
    meter.bytes(32)?;
    Ok(match value {
        Val::Text(_) => value.clone(),
        Val::Bool(value) => Val::text(value.to_string()),
        Val::Bytes(bytes) => {
            meter.bytes(bytes.len())?;
            let text = String::from_utf8(bytes.to_vec()).map_err(|_| Fail::wrong("the bytes are not UTF-8"))?;
            Val::text(text)
        }
        Val::Timestamp(timestamp) => Val::text(time::timestamp_text(*timestamp)),
        Val::Duration(duration) => Val::text(time::duration_text(*duration)),
        // Digits as they came.
        Val::Number(number) => {
            let digits = number.to_string();
            meter.bytes(digits.len())?;
            Val::text(digits)
        }
        other => Val::text(match other.number().ok_or_else(|| no_overload("string", values))? {
            Num::Int(value) => value.to_string(),
            Num::Uint(value) => value.to_string(),
            Num::Double(value) => double_text(value),
        }),
    })
}

/// The shortest text that is read as the same number; with an exponent where it would be long.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if value != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
                format!("{digits}e{sign}{exponent:0>2}")
            }
            None => text,
        };
    }
    value.to_string()
}

fn bytes<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)? {
        bytes @ Val::Bytes(_) => Ok(bytes.clone()),
        Val::Text(text) => {
            meter.bytes(text.len())?;
            Ok(Val::Bytes(Rc::new(text.as_bytes().to_vec())))
        }
        _ => Err(no_overload("bytes", values)),
    }
}

fn bool<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)? {
        value @ Val::Bool(_) => Ok(value.clone()),
        Val::Text(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
            _ => Err(Fail::about("it is neither true nor false", text)),
        },
        _ => Err(no_overload("bool", values)),
    }
}

fn timestamp<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)? {
        value @ Val::Timestamp(_) => Ok(value.clone()),
        Val::Text(text) => time::parse_timestamp(text),
        other => match other.number() {
            Some(Num::Int(seconds)) => time::timestamp(jiff::Timestamp::from_second(seconds)),
            _ => Err(no_overload("timestamp", values)),
        },
    }
}

fn duration<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)? {
        value @ Val::Duration(_) => Ok(value.clone()),
        Val::Text(text) => time::parse_duration(text),
        other => match other.number() {
            Some(Num::Int(seconds)) => time::duration(Some(jiff::SignedDuration::from_secs(seconds))),
            _ => Err(no_overload("duration", values)),
        },
    }
}

fn time_part<'a>(name: &'static str, values: &[Val<'a>]) -> Result<Val<'a>, Fail> {
    match values {
        [Val::Timestamp(timestamp)] => time::part(name, *timestamp, None),
        [Val::Timestamp(timestamp), Val::Text(zone)] => time::part(name, *timestamp, Some(zone)),
        [Val::Duration(duration)] if time::is_of_duration(name) => Ok(time::whole(name, *duration)),
        _ => Err(no_overload(name, values)),
    }
}

fn base64_encode<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let bytes: &[u8] = match first(values)? {
        Val::Bytes(bytes) => bytes,
        Val::Text(text) => text.as_bytes(),
        _ => return Err(no_overload("base64.encode", values)),
    };
    meter.bytes(bytes.len() / 3 * 4 + 4)?;
    Ok(Val::text(STANDARD.encode(bytes)))
}

fn base64_decode<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let Val::Text(text) = first(values)? else { return Err(no_overload("base64.decode", values)) };
    meter.bytes(text.len())?;
    let bytes = LENIENT.decode(text.as_bytes()).map_err(|_| Fail::wrong("the text is not base64"))?;
    Ok(Val::Bytes(Rc::new(bytes)))
}

fn of_non_zero_value<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let value = first(values)?;
    Ok(if value.is_zero() { Val::Optional(None) } else { Val::some(value.clone()) })
}

fn has_value<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)? {
        Val::Optional(value) => Ok(Val::Bool(value.is_some())),
        _ => Err(no_overload("hasValue", values)),
    }
}

fn value<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)? {
        Val::Optional(Some(value)) => Ok(Val::clone(value)),
        Val::Optional(None) => Err(Fail::wrong("the optional has no value")),
        _ => Err(no_overload("value", values)),
    }
}

/// Reads a text of JSON, as a callback's body is read.
fn json<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let text: &[u8] = match first(values)? {
        Val::Text(text) => text.as_bytes(),
        Val::Bytes(bytes) => bytes,
        _ => return Err(no_overload("json", values)),
    };
    let read = ringback_records::json::from_secret_within(text, meter.values_left());
    let read = read.map_err(|error| Fail::wrong(format!("the text is not JSON: {error}")))?;
    meter.weigh(&read)?;
    Ok(Val::of_json(read))
}

/// A text among the arguments.
fn text_at<'v, 'a>(name: &str, values: &'v [Val<'a>], index: usize) -> Result<&'v Text<'a>, Fail> {
    match values.get(index) {
        Some(Val::Text(text)) => Ok(text),
        _ => Err(no_overload(name, values)),
    }
}

/// An integer among the arguments.
fn int_at(name: &str, values: &[Val<'_>], index: usize) -> Result<i64, Fail> {
    match values.get(index).and_then(Val::number) {
        Some(Num::Int(value)) => Ok(value),
        _ => Err(no_overload(name, values)),
    }
}

/// A list among the arguments.
fn list_at<'v, 'a>(name: &str, values: &'v [Val<'a>], index: usize) -> Result<&'v Val<'a>, Fail> {
    match values.get(index) {
        Some(list) if list.kind() == Type::List => Ok(list),
        _ => Err(no_overload(name, values)),
    }
}
