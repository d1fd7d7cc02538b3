use super::{int_at, list_at, no_overload};
use crate::expression::cel::Fail;
use crate::expression::cel::meter::Meter;
use crate::expression::cel::value::{Type, Val};
use std::cmp::Ordering;

/// Copies items into a list that is to be.
fn push<'a>(list: &mut Vec<Val<'a>>, item: Val<'a>, meter: &mut Meter) -> Result<(), Fail> {
    meter.item()?;
    list.push(item);
    Ok(())
}

fn items<'a>(list: &Val<'a>) -> impl Iterator<Item = Val<'a>> {
    (0..list.size().unwrap_or_default()).filter_map(|index| list.item(index))
}

pub(super) fn slice<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let list = list_at("slice", values, 0)?;
    let (start, end) = (int_at("slice", values, 1)?, int_at("slice", values, 2)?);
    let size = list.size().unwrap_or_default();
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end && end <= size => {
            let mut part = Vec::new();
            for item in items(list).skip(start).take(end - start) {
                push(&mut part, item, meter)?;
            }
            Ok(Val::list(part))
        }
        _ => Err(Fail::quoting("the list does not reach so far", format!("from {start} to {end} of {size}"))),
    }
}

/// Lists in the list become their items, so many levels deep.
pub(super) fn flatten<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let list = list_at("flatten", values, 0)?;
    let depth = if values.len() > 1 { int_at("flatten", values, 1)? } else { 1 };
    if !(0..=32).contains(&depth) {
        return Err(Fail::wrong("a list is flattened by 0 to 32 levels"));
    }
    let mut flat = Vec::new();
    flatten_into(&mut flat, list, depth, meter)?;
    Ok(Val::list(flat))
}

fn flatten_into<'a>(flat: &mut Vec<Val<'a>>, list: &Val<'a>, depth: i64, meter: &mut Meter) -> Result<(), Fail> {
    for item in items(list) {
        match item.kind() {
            Type::List if depth > 0 => flatten_into(flat, &item, depth - 1, meter)?,
            _ => push(flat, item, meter)?,
        }
    }
    Ok(())
}

pub(super) fn distinct<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let mut found: Vec<Val<'a>> = Vec::new();
    'items: for item in items(list_at("distinct", values, 0)?) {
        for known in &found {
            if known.equals(&item, meter)? {
                continue 'items;
            }
        }
        push(&mut found, item, meter)?;
    }
    Ok(Val::list(found))
}

/// Values of one kind that has an order. What that costs is taken before, since a sort that breaks off has no order.
pub(super) fn sort<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let list = list_at("sort", values, 0)?;
    let mut sorted = Vec::new();
    for item in items(list) {
        push(&mut sorted, item, meter)?;
    }
    let levels = usize::BITS - sorted.len().leading_zeros();
    for pair in sorted.windows(2) {
        let [a, b] = pair else { continue };
        if a.order(b, meter)?.is_none() {
            return Err(no_overload("sort", pair));
        }
    }
    for item in &sorted {
        let length = if let Val::Text(text) = item { text.len() } else { 0 };
        meter.steps(levels as usize * (1 + length / 64))?;
    }
    let mut unmetered = Meter::new(u64::MAX, u64::MAX);
    sorted.sort_by(|a, b| a.order(b, &mut unmetered).ok().flatten().unwrap_or(Ordering::Equal));
    Ok(Val::list(sorted))
}

/// The integers from 0 on, so many.
pub(super) fn range<'a>(values: &[Val<'a>], meter: &mut Meter) -> Result<Val<'a>, Fail> {
    let mut numbers = Vec::new();
    for number in 0..int_at("lists.range", values, 0)? {
        push(&mut numbers, Val::Int(number), meter)?;
    }
    Ok(Val::list(numbers))
}
