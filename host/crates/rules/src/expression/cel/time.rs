//! Points in time and durations: how they are written, and their parts.

use super::Fail;
use super::value::{Text, Val};
use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

/// The first point in time, in nanoseconds: the year 1 begins. The last one is that of the library, two days before the year
/// 10000.
const FIRST: i128 = -62_135_596_800_000_000_000;
/// Longest duration, in seconds: about ten thousand years.
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;

/// A point in time, where it is one that CEL knows.
pub(super) fn timestamp<'a>(timestamp: Result<Timestamp, jiff::Error>) -> Result<Val<'a>, Fail> {
    match timestamp {
        Ok(timestamp) if timestamp.as_nanosecond() >= FIRST => Ok(Val::Timestamp(timestamp)),
        _ => Err(Fail::wrong(
            "a point in time lies between 0001-01-01T00:00:00Z and 9999-12-30T22:00:00Z, and what this comes to does not",
        )),
    }
}

pub(super) fn duration<'a>(duration: Option<SignedDuration>) -> Result<Val<'a>, Fail> {
    let duration = duration.filter(|duration| duration.as_secs().unsigned_abs() <= DURATION_SECONDS_MAX as u64);
    duration.map(Val::Duration).ok_or_else(|| Fail::wrong("a duration is no longer than 315576000000s, 10,000 years"))
}

pub(super) fn parse_timestamp<'a>(text: &Text<'a>) -> Result<Val<'a>, Fail> {
    let is_rfc3339 = text.as_bytes().get(10).is_some_and(|separator| matches!(separator, b'T' | b't'));
    match text.parse() {
        Ok(parsed) if is_rfc3339 => timestamp(Ok(parsed)),
        _ => {
            let form = "a point in time is written like 2026-01-31T12:00:00Z, and lies between 0001-01-01T00:00:00Z and \
                        9999-12-30T22:00:00Z";
            Err(Fail::about(form, text))
        }
    }
}

/// Such as `1h30m`, `-1.5s`, `250ms`.
pub(super) fn parse_duration<'a>(text: &Text<'a>) -> Result<Val<'a>, Fail> {
    let parsed = if **text == *"0" { Ok(SignedDuration::ZERO) } else { text.parse() };
    duration(Some(parsed.map_err(|_| {
        Fail::about("a duration is written like 1h30m or 2.5s, and is no longer than 10,000 years", text)
    })?))
}

pub(super) fn timestamp_text(timestamp: Timestamp) -> String {
    timestamp.to_string()
}

/// Seconds with their fraction: `5400s`, `-1.5s`.
pub(super) fn duration_text(duration: SignedDuration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let (seconds, nanoseconds) = (duration.as_secs().unsigned_abs(), duration.subsec_nanos().unsigned_abs());
    if nanoseconds == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// A part of a point in time in a time zone: the name of one, or an offset like `+01:30`.
pub(super) fn part<'a>(function: &str, timestamp: Timestamp, zone: Option<&Text<'_>>) -> Result<Val<'a>, Fail> {
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => time_zone(name).ok_or_else(|| Fail::about("there is no such time zone", name))?,
    };
    let local: Zoned = timestamp.to_zoned(zone);
    Ok(Val::Int(match function {
        "getFullYear" => i64::from(local.year()),
        "getMonth" => i64::from(local.month()) - 1,
        "getDate" => i64::from(local.day()),
        "getDayOfMonth" => i64::from(local.day()) - 1,
        "getDayOfWeek" => i64::from(Weekday::to_sunday_zero_offset(local.weekday())),
        "getDayOfYear" => i64::from(local.day_of_year()) - 1,
        "getHours" => i64::from(local.hour()),
        "getMinutes" => i64::from(local.minute()),
        "getSeconds" => i64::from(local.second()),
        _ => i64::from(local.subsec_nanosecond()) / 1_000_000,
    }))
}

fn time_zone(name: &str) -> Option<TimeZone> {
    let (sign, offset) = match name.strip_prefix('-') {
        Some(offset) => (-1, offset),
        None => (1, name.strip_prefix('+').unwrap_or(name)),
    };
    if let Some((hours, minutes)) = offset.split_once(':') {
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let is_plain = offset.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') && minutes < 60;
        let seconds = sign * (hours * 60 + minutes) * 60;
        return is_plain.then(|| Offset::from_seconds(seconds).ok()).flatten().map(TimeZone::fixed);
    }
    TimeZone::get(name).ok()
}

/// Whether a part of a point in time is one of a duration, too.
pub(super) fn is_of_duration(function: &str) -> bool {
    matches!(function, "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds")
}

/// A duration in whole units.
pub(super) fn whole<'a>(function: &str, duration: SignedDuration) -> Val<'a> {
    Val::Int(match function {
        "getHours" => duration.as_hours(),
        "getMinutes" => duration.as_mins(),
        "getSeconds" => duration.as_secs(),
        _ => i64::from(duration.subsec_millis()),
    })
}
