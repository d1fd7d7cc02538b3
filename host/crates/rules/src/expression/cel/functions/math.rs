use super::{first, no_overload};
use crate::expression::cel::Fail;
use crate::expression::cel::meter::Meter;
use crate::expression::cel::value::{Num, Type, Val, fitting};
use std::cmp::Ordering;

pub(super) fn greatest<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    extreme("math.greatest", Ordering::Greater, values, meter)
}

pub(super) fn least<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    extreme("math.least", Ordering::Less, values, meter)
}

/// Of several numbers, or of a list of them.
fn extreme<'a>(name: &'static str, wanted: Ordering, values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let of_list: Vec<Val<'a>>;
    let numbers = match values {
        [list] if list.kind() == Type::List => {
            meter.steps(list.size().unwrap_or_default())?;
            of_list = (0..list.size().unwrap_or_default()).filter_map(|index| list.item(index)).collect();
            &of_list
        }
        values => values,
    };
    let mut best: Option<&Val<'a>> = None;
    for value in numbers {
        value.number().ok_or_else(|| no_overload(name, values))?;
        let is_better = match best {
            Some(best) => value.order(best, meter)? == Some(wanted),
            None => true,
        };
        if is_better {
            best = Some(value);
        }
    }
    best.cloned().ok_or_else(|| Fail::wrong(format!("`{name}` of an empty list")))
}

pub(super) fn rounded<'a>(name: &str, round: fn(f64) -> f64, values: &[Val<'a>]) -> Result<Val<'a>, Fail> {
    match (first(values)?, first(values)?.number()) {
        // What came as JSON may be written without a fraction by chance.
        (whole @ Val::Number(_), Some(Num::Int(_) | Num::Uint(_))) => Ok(whole.clone()),
        (_, Some(Num::Double(value))) => Ok(Val::Double(round(value))),
        _ => Err(no_overload(name, values)),
    }
}

pub(super) fn is<'a>(name: &str, is: fn(f64) -> bool, values: &[Val<'a>]) -> Result<Val<'a>, Fail> {
    match (first(values)?, first(values)?.number()) {
        (Val::Number(_), Some(number)) => Ok(Val::Bool(is(number.to_f64()))),
        (_, Some(Num::Double(value))) => Ok(Val::Bool(is(value))),
        _ => Err(no_overload(name, values)),
    }
}

pub(super) fn abs<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let value = first(values)?;
    Ok(match value.number() {
        Some(Num::Int(int)) if value.is_untyped() => return fitting(i128::from(int).abs()),
        Some(Num::Int(value)) => Val::Int(value.checked_abs().ok_or(Fail::wrong("the number has no opposite"))?),
        Some(Num::Uint(value)) => Val::Uint(value),
        Some(Num::Double(value)) => Val::Double(value.abs()),
        None => return Err(no_overload("math.abs", values)),
    })
}

pub(super) fn sign<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    Ok(match first(values)?.number() {
        Some(Num::Int(value)) => Val::Int(value.signum()),
        Some(Num::Uint(value)) => Val::Uint(value.min(1)),
        Some(Num::Double(0.0)) => Val::Double(0.0),
        Some(Num::Double(value)) => Val::Double(if value.is_nan() { value } else { value.signum() }),
        None => return Err(no_overload("math.sign", values)),
    })
}

pub(super) fn sqrt<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    let number = first(values)?.number().ok_or_else(|| no_overload("math.sqrt", values))?;
    Ok(Val::Double(number.to_f64().sqrt()))
}

fn bits<'a>(
    name: &str,
    values: &[Val<'a>],
    int: fn(i64, i64) -> i64,
    uint: fn(u64, u64) -> u64,
) -> Result<Val<'a>, Fail> {
    match (values.first().and_then(Val::number), values.get(1).and_then(Val::number)) {
        (Some(Num::Int(a)), Some(Num::Int(b))) => Ok(Val::Int(int(a, b))),
        (Some(Num::Uint(a)), Some(Num::Uint(b))) => Ok(Val::Uint(uint(a, b))),
        // JSON writes both alike.
        (Some(Num::Int(signed)), Some(Num::Uint(a))) | (Some(Num::Uint(a)), Some(Num::Int(signed))) => {
            match u64::try_from(signed) {
                Ok(b) => Ok(Val::Uint(uint(a, b))),
                Err(_) => Err(no_overload(name, values)),
            }
        }
        _ => Err(no_overload(name, values)),
    }
}

pub(super) fn bit_and<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    bits("math.bitAnd", values, |a, b| a & b, |a, b| a & b)
}

pub(super) fn bit_or<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    bits("math.bitOr", values, |a, b| a | b, |a, b| a | b)
}

pub(super) fn bit_xor<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    bits("math.bitXor", values, |a, b| a ^ b, |a, b| a ^ b)
}

pub(super) fn bit_not<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    match first(values)?.number() {
        Some(Num::Int(value)) => Ok(Val::Int(!value)),
        Some(Num::Uint(value)) => Ok(Val::Uint(!value)),
        _ => Err(no_overload("math.bitNot", values)),
    }
}

pub(super) fn bit_shift_left<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    shift("math.bitShiftLeft", values, u64::checked_shl)
}

/// Zeros come in from the left, whatever the sign.
pub(super) fn bit_shift_right<'a>(values: &[Val<'a>], _: &mut Meter) -> Result<Val<'a>, Fail> {
    shift("math.bitShiftRight", values, u64::checked_shr)
}

fn shift<'a>(name: &str, values: &[Val<'a>], by: fn(u64, u32) -> Option<u64>) -> Result<Val<'a>, Fail> {
    let count = super::int_at(name, values, 1)?;
    if count < 0 {
        return Err(Fail::wrong("a number is shifted by no fewer than 0 bits"));
    }
    let shifted = |bits: u64| u32::try_from(count).ok().and_then(|count| by(bits, count)).unwrap_or_default();
    match first(values)?.number() {
        Some(Num::Int(value)) => Ok(Val::Int(shifted(value.cast_unsigned()).cast_signed())),
        Some(Num::Uint(value)) => Ok(Val::Uint(shifted(value))),
        _ => Err(no_overload(name, values)),
    }
}
