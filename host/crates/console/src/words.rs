//! Numbers and times as people read them.

use ringback_records::outcome::Outcome;
use ringback_records::time::Timestamp;
use ringback_records::trace::Verdict;

/// A duration with a unit that leaves up to three digits: `593 µs`, `51.4 ms`, `2.1 s`.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => decimal(us, 1000, "ms"),
        1_000_000..120_000_000 => decimal(us, 1_000_000, "s"),
        _ => format!("{} min", grouped(us / 60_000_000)),
    }
}

/// A duration of which no more is known than its milliseconds.
pub(crate) fn millis(ms: u64) -> String {
    if ms == 0 { "under 1 ms".to_owned() } else { duration(ms.saturating_mul(1000)) }
}

/// A size: `139 bytes`, `4.0 KiB`, `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => decimal(bytes, 1024, "KiB"),
        1_048_576..1_073_741_824 => decimal(bytes, 1_048_576, "MiB"),
        _ => decimal(bytes, 1_073_741_824, "GiB"),
    }
}

fn decimal(value: u64, unit: u64, name: &str) -> String {
    let tenths = (value.saturating_mul(10) + unit / 2) / unit;
    match tenths {
        0..1000 => format!("{}.{} {name}", tenths / 10, tenths % 10),
        _ => format!("{} {name}", grouped((tenths + 5) / 10)),
    }
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `12 callbacks`, `1 callback`.
pub(crate) fn count(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { several })
}

/// The time of a day in UTC: `12:29:49.308`.
pub(crate) fn clock(time: Timestamp) -> String {
    time.to_string().chars().skip(11).take(12).collect()
}

/// The day and the minute in UTC: `26 Nov 12:29`.
pub(crate) fn minute(time: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time.to_string();
    let month = text.get(5..7).and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let month = MONTHS.get(month - 1).copied().unwrap_or_default();
    format!(
        "{} {month} {}",
        text.get(8..10).unwrap_or_default().trim_start_matches('0'),
        text.get(11..16).unwrap_or_default()
    )
}

/// The day in UTC: `26 Nov`; nothing on the same day as another time.
pub(crate) fn day_unless(time: Timestamp, same: Timestamp) -> String {
    let day = |time: Timestamp| time.to_string().chars().take(10).collect::<String>();
    if day(time) == day(same) {
        return String::new();
    }
    minute(time).rsplit_once(' ').map(|(day, _)| day.to_owned()).unwrap_or_default()
}

/// The beginning of an id that tells those of a list apart.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}

/// A text as it stands in one line of a list.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let cut: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() { cut + "…" } else { cut }
}

/// A text in parts: those between backticks are code, as people write it.
pub(crate) fn marked(text: &str) -> Vec<(bool, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, code, after)) = code_in(rest) {
        parts.extend((!before.is_empty()).then_some((false, before)));
        parts.push((true, code));
        rest = after;
    }
    parts.extend((!rest.is_empty()).then_some((false, rest)));
    parts
}

fn code_in(text: &str) -> Option<(&str, &str, &str)> {
    let (before, from) = text.split_once('`')?;
    let (code, after) = from.split_once('`')?;
    Some((before, code, after))
}

/// The class of an outcome's colour.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    outcome.as_str()
}

pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Ignored => "ignored",
        Verdict::Refused => "refused",
        Verdict::Failed => "failed",
        Verdict::Unproved => "unproved",
    }
}

/// What an outcome means, for those who see the word for the first time.
pub(crate) fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Started => "started an execution",
        Outcome::Resumed => "resumed an execution that waited",
        Outcome::Kept => "waits until its execution, or a plugin, is there for it",
        Outcome::Answered => "its answer was all",
        Outcome::Ignored => "does not count: its condition was false",
        Outcome::Duplicate => "came before",
        Outcome::Rejected => "its caller or its data was not accepted",
        Outcome::Failed => "something of ours, or of a plugin, failed",
    }
}

#[cfg(test)]
mod tests {
    use super::{clock, count, cut, day_unless, duration, grouped, marked, minute, size};
    use ringback_records::time::Timestamp;

    #[test]
    fn numbers_have_units_that_leave_few_digits() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1000, "1.0 ms"),
            (51_449, "51.4 ms"),
            (99_949, "99.9 ms"),
            (999_999, "1,000 ms"),
            (2_100_000, "2.1 s"),
            (7_200_000_000, "120 min"),
        ] {
            assert_eq!(duration(us), text);
        }
        for (bytes, text) in
            [(0, "0 bytes"), (1, "1 byte"), (139, "139 bytes"), (4096, "4.0 KiB"), (1 << 24, "16.0 MiB")]
        {
            assert_eq!(size(bytes), text);
        }
        assert_eq!([grouped(0), grouped(999), grouped(1000), grouped(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1, "callback", "callbacks"), "1 callback");
    }

    #[test]
    fn what_stands_between_backticks_is_code() {
        let parts = marked("`a > 1` is false; `b` too");
        assert_eq!(parts, [(true, "a > 1"), (false, " is false; "), (true, "b"), (false, " too")]);
        assert_eq!(marked("it's ` alone"), [(false, "it's ` alone")]);
        assert_eq!(marked(""), []);
    }

    #[test]
    fn times_are_of_utc() {
        let time = Timestamp::from_millis(1_795_696_189_308);
        assert_eq!(time.to_string(), "2026-11-26T12:29:49.308Z");
        assert_eq!((clock(time), minute(time)), ("12:29:49.308".into(), "26 Nov 12:29".into()));
        assert_eq!(day_unless(time, Timestamp::from_millis(1_795_696_189_308 + 86_400_000)), "26 Nov");
        assert_eq!(day_unless(time, time), "");
        assert_eq!((cut("abc", 3), cut("abcd", 3)), ("abc".into(), "abc…".into()));
    }
}
