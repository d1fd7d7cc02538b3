//! Numbers as they are written: `1` and `1.0` are one, and 9007199254740993 is not 9007199254740992.

use serde_json::Number;
use std::cmp::Ordering;

/// A number of up to 38 digits, and a power of ten; in one way, since it ends in no zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decimal {
    digits: i128,
    exponent: i64,
}

impl Decimal {
    pub(super) fn of(number: &Number) -> Option<Self> {
        let text = number.to_string();
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let mut exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        if digits == 0 {
            return Some(Self { digits, exponent: 0 });
        }
        while digits % 10 == 0 {
            (digits, exponent) = (digits / 10, exponent.checked_add(1)?);
        }
        Some(Self { digits, exponent })
    }

    fn is_multiple_of(self, unit: Self) -> bool {
        let (number, unit_digits) = (self.digits.unsigned_abs(), unit.digits.unsigned_abs());
        match u64::try_from(self.exponent.saturating_sub(unit.exponent)) {
            Ok(power) => {
                let left = number % unit_digits;
                power_modulo(power, unit_digits)
                    .and_then(|power| left.checked_mul(power))
                    .map_or_else(|| self.to_f64() % unit.to_f64() == 0.0, |product| product % unit_digits == 0)
            }
            Err(_) => {
                let power = u32::try_from(unit.exponent.saturating_sub(self.exponent)).unwrap_or(u32::MAX);
                let unit = 10_u128.checked_pow(power).and_then(|power| power.checked_mul(unit_digits));
                number == 0 || unit.is_some_and(|unit| number % unit == 0)
            }
        }
    }

    fn to_f64(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }
}

/// A power of ten modulo a number; `None` where that is too large to multiply with.
fn power_modulo(mut power: u64, modulus: u128) -> Option<u128> {
    let (mut base, mut product) = (10 % modulus, 1 % modulus);
    while power > 0 {
        if power & 1 == 1 {
            product = product.checked_mul(base)? % modulus;
        }
        base = base.checked_mul(base)? % modulus;
        power >>= 1;
    }
    Some(product)
}

fn float(number: &Number) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

pub(super) fn compare(left: &Number, right: &Number) -> Option<Ordering> {
    if let (Some(one), Some(other)) = (Decimal::of(left), Decimal::of(right)) {
        let low = one.exponent.min(other.exponent);
        let whole = |number: Decimal| {
            let power = u32::try_from(number.exponent - low).ok()?;
            10_i128.checked_pow(power)?.checked_mul(number.digits)
        };
        if let (Some(one), Some(other)) = (whole(one), whole(other)) {
            return Some(one.cmp(&other));
        }
    }
    float(left).partial_cmp(&float(right))
}

pub(super) fn is_whole(number: &Number) -> bool {
    Decimal::of(number).map_or_else(
        || {
            let float = float(number);
            float.is_infinite() || float.fract() == 0.0
        },
        |number| number.exponent >= 0,
    )
}

/// Whether a number is so many times a unit, which is more than nothing.
pub(super) fn is_multiple(number: &Number, unit: &Number) -> bool {
    match (Decimal::of(number), Decimal::of(unit)) {
        (_, Some(unit)) if unit.digits == 0 => true,
        (Some(number), Some(unit)) => number.is_multiple_of(unit),
        _ => (float(number) / float(unit)).fract() == 0.0,
    }
}

pub(super) fn same(left: &Number, right: &Number) -> bool {
    left == right
        || match (Decimal::of(left), Decimal::of(right)) {
            (Some(one), Some(other)) => one == other,
            (None, None) => float(left) == float(right),
            _ => false,
        }
}
