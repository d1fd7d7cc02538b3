//! Functions of texts. Places are counted in characters.

use super::{first, int_at, list_at, no_overload, text_at};
use crate::expression::cel::Fail;
use crate::expression::cel::meter::Meter;
use crate::expression::cel::value::{Text, Val};

/// A part of a text, without a copy where the text is borrowed.
fn part<'a>(text: &Text<'a>, from: usize, to: usize, meter: &mut Meter) -> Result<Val<'a>, Fail> {
    Ok(match text {
        Text::Borrowed(text) => Val::borrowed(text.get(from..to).unwrap_or_default()),
        Text::Shared(text) => {
            meter.bytes(to - from)?;
            Val::text(text.get(from..to).unwrap_or_default())
        }
    })
}

/// Where the character of a number begins; the end of the text is a place, too.
fn offset(text: &str, index: i64, meter: &mut Meter) -> Result<usize, Fail> {
    meter.scan(text.len())?;
    let places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let found = usize::try_from(index).ok().and_then(|index| places.into_iter().nth(index));
    found.ok_or_else(|| Fail::quoting("the text has no such place", index))
}

fn index_at(text: &str, offset: usize) -> Val<'static> {
    let characters = text.get(..offset).unwrap_or_default().chars().count();
    Val::Int(i64::try_from(characters).unwrap_or(i64::MAX))
}

fn two_texts<'v, 'a>(name: &str, values: &'v [Val<'a>]) -> Result<(&'v Text<'a>, &'v Text<'a>), Fail> {
    Ok((text_at(name, values, 0)?, text_at(name, values, 1)?))
}

pub(super) fn contains<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, other) = two_texts("contains", values)?;
    Ok(Val::Bool(text.contains(&**other)))
}

pub(super) fn starts_with<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, other) = two_texts("startsWith", values)?;
    Ok(Val::Bool(text.starts_with(&**other)))
}

pub(super) fn ends_with<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, other) = two_texts("endsWith", values)?;
    Ok(Val::Bool(text.ends_with(&**other)))
}

pub(super) fn char_at<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let text = text_at("charAt", values, 0)?;
    let from = offset(text, int_at("charAt", values, 1)?, meter)?;
    let length = text.get(from..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    part(text, from, from + length, meter)
}

pub(super) fn index_of<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, other) = two_texts("indexOf", values)?;
    let from = if values.len() > 2 { offset(text, int_at("indexOf", values, 2)?, meter)? } else { 0 };
    let found = text.get(from..).unwrap_or_default().find(&**other);
    Ok(found.map_or(Val::Int(-1), |at| index_at(text, from + at)))
}

pub(super) fn last_index_of<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, other) = two_texts("lastIndexOf", values)?;
    let last = if values.len() > 2 { offset(text, int_at("lastIndexOf", values, 2)?, meter)? } else { text.len() };
    // What begins no later than there ends no later than this, which may be within a character.
    let mut end = last.saturating_add(other.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let found = text.get(..end).unwrap_or_default().rfind(&**other);
    Ok(found.map_or(Val::Int(-1), |at| index_at(text, at)))
}

pub(super) fn lower_ascii<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let text = text_at("lowerAscii", values, 0)?;
    meter.bytes(text.len())?;
    Ok(Val::text(text.to_ascii_lowercase()))
}

pub(super) fn upper_ascii<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let text = text_at("upperAscii", values, 0)?;
    meter.bytes(text.len())?;
    Ok(Val::text(text.to_ascii_uppercase()))
}

/// A count that may be left out, or negative for all.
fn times(name: &str, values: &[Val<'_>], index: usize) -> Result<usize, Fail> {
    match values.len() > index {
        true => Ok(usize::try_from(int_at(name, values, index)?).unwrap_or(usize::MAX)),
        false => Ok(usize::MAX),
    }
}

pub(super) fn replace<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, old) = two_texts("replace", values)?;
    let new = text_at("replace", values, 2)?;
    let times = times("replace", values, 3)?;
    let mut replaced = String::new();
    let mut end = 0;
    for (at, found) in text.match_indices(&**old).take(times) {
        let between = text.get(end..at).unwrap_or_default();
        meter.step()?;
        meter.bytes(between.len() + new.len())?;
        replaced.push_str(between);
        replaced.push_str(new);
        end = at + found.len();
    }
    let rest = text.get(end..).unwrap_or_default();
    meter.bytes(rest.len())?;
    replaced.push_str(rest);
    Ok(Val::text(replaced))
}

pub(super) fn split<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let (text, separator) = two_texts("split", values)?;
    let most = times("split", values, 2)?;
    let mut parts = Vec::new();
    let mut from = 0;
    if most == 0 {
        return Ok(Val::list(parts));
    }
    // An empty separator is between all characters.
    let borders: Box<dyn Iterator<Item = usize>> = match separator.is_empty() {
        true => Box::new(text.char_indices().map(|(at, _)| at).skip(1)),
        false => Box::new(text.match_indices(&**separator).map(|(at, _)| at)),
    };
    for at in borders {
        if parts.len() + 1 == most {
            break;
        }
        meter.item()?;
        parts.push(part(text, from, at, meter)?);
        from = at + separator.len();
    }
    if !(separator.is_empty() && text.is_empty()) {
        parts.push(part(text, from, text.len(), meter)?);
    }
    Ok(Val::list(parts))
}

pub(super) fn substring<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let text = text_at("substring", values, 0)?;
    let from = offset(text, int_at("substring", values, 1)?, meter)?;
    let to = if values.len() > 2 { offset(text, int_at("substring", values, 2)?, meter)? } else { text.len() };
    if from > to {
        return Err(Fail::wrong("a part of a text does not end before it begins"));
    }
    part(text, from, to, meter)
}

pub(super) fn trim<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let text = text_at("trim", values, 0)?;
    let trimmed = text.trim_start();
    let from = text.len() - trimmed.len();
    part(text, from, from + trimmed.trim_end().len(), meter)
}

pub(super) fn join<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let list = list_at("join", values, 0)?;
    let separator = if values.len() > 1 { Some(text_at("join", values, 1)?) } else { None };
    let mut joined = String::new();
    for index in 0..list.size().unwrap_or_default() {
        let Some(Val::Text(text)) = list.item(index) else { return Err(no_overload("join", values)) };
        let between = separator.filter(|_| index > 0).map_or("", |separator| separator);
        meter.step()?;
        meter.bytes(between.len() + text.len())?;
        joined.push_str(between);
        joined.push_str(&text);
    }
    Ok(Val::text(joined))
}

/// Of a text, or of a list.
pub(super) fn reverse<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)? {
        Val::Text(text) => {
            meter.bytes(text.len())?;
            Ok(Val::text(text.chars().rev().collect::<String>()))
        }
        list => {
            let list = list_at("reverse", std::slice::from_ref(list), 0)?;
            let mut reversed = Vec::new();
            for index in (0..list.size().unwrap_or_default()).rev() {
                meter.item()?;
                reversed.extend(list.item(index));
            }
            Ok(Val::list(reversed))
        }
    }
}

/// In quotes, with escapes.
pub(super) fn quote<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let text = text_at("strings.quote", values, 0)?;
    meter.bytes(2 * text.len() + 2)?;
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' | '"' => quoted.extend(['\\', character]),
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    Ok(Val::text(quoted))
}
