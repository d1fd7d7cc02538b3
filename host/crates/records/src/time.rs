//! Points in time, as milliseconds since 1970.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The beginning of the year 9999: what lies behind it has no text in RFC 3339 that could be read again.
const LAST: u64 = 253_370_764_800_000;
/// The units of durations: milliseconds in each, and so many digits that none is longer than 273 years.
const UNITS: [(&str, u64, usize); 5] =
    [("d", DAY_MILLIS, 5), ("h", 3_600_000, 6), ("m", 60_000, 8), ("s", 1000, 9), ("ms", 1, 12)];
const DAY_MILLIS: u64 = 86_400_000;
/// Ten years: longer than this nothing is to last that is given an end.
const LIFETIME_DAYS_MAX: u64 = 3650;

/// Milliseconds since 1970-01-01T00:00:00Z. As text and JSON: RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The present, by the system's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, as signed webhooks carry them.
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long after another one it is; nothing when it is before.
    pub fn since(self, other: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(other.0))
    }

    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).min(LAST))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{millis} ms"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: jiff::Timestamp = text.parse()?;
        Ok(Self(u64::try_from(time.as_millisecond()).unwrap_or_default()))
    }
}

/// Reads a time as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(time.timestamp().as_millisecond()).ok().map(Timestamp)
}

/// Reads a duration as people write it: `500ms`, `30s`, `5m`, `72h`, `30d`.
///
/// # Errors
///
/// A sentence that shows the allowed forms.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let known = UNITS.into_iter().find(|(name, ..)| *name == unit);
    match (known, number.parse::<u64>()) {
        (Some((.., digits_max)), _) if digits > digits_max => {
            Err(format!("`{}` is too long; `{unit}` takes at most {digits_max} digits", shown(text)))
        }
        (Some((_, millis, _)), Ok(number)) => Ok(Duration::from_millis(number * millis)),
        _ => {
            let text = shown(text);
            Err(format!("`{text}` is not a duration; write a whole number and a unit: 500ms, 30s, 5m, 72h, 30d"))
        }
    }
}

/// The same for what is to last and to end: no time at all is refused, and more than ten years.
///
/// # Errors
///
/// A sentence that says what is allowed.
pub fn parse_lifetime(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("`{}` is no time at all; give it more, or leave it out", shown(text))),
        long if long > Duration::from_millis(LIFETIME_DAYS_MAX * DAY_MILLIS) => {
            Err(format!("`{}` is too long; it can be {LIFETIME_DAYS_MAX}d at most", shown(text)))
        }
        duration => Ok(duration),
    }
}

/// What [`parse_lifetime`] reads, as a pattern: without zeros at the beginning.
pub fn lifetime_pattern() -> String {
    let of_units = UNITS.map(|(unit, millis, _)| up_to(LIFETIME_DAYS_MAX * DAY_MILLIS / millis) + unit);
    format!("^({})$", of_units.join("|"))
}

/// A pattern of the numbers from 1 to another, which has two digits or more.
fn up_to(max: u64) -> String {
    let digits = max.to_string();
    let mut parts = vec![format!("[1-9][0-9]{{0,{}}}", digits.len() - 2)];
    let mut before = String::new();
    for (digit, least) in digits.chars().zip(std::iter::once('1').chain(std::iter::repeat('0'))) {
        let behind = digits.len() - before.len() - 1;
        // The same up to here, and less than it from here on.
        if let Some(last) = (least..digit).last() {
            parts.push(format!("{before}[{least}-{last}][0-9]{{{behind}}}"));
        }
        before.push(digit);
    }
    parts.push(digits);
    format!("({})", parts.join("|"))
}

/// As much of a text as belongs into a message.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, lifetime_pattern, parse_duration, parse_lifetime};
    use std::time::Duration;

    #[test]
    fn durations_without_number_or_unit_are_refused() {
        for wrong in ["", "5", "s", "1.5h", "-1s", "5 s", "5w"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        for long in ["100000d", "2240914485022h", "18446744073709551615ms", "000000001d", &"9".repeat(100_000)] {
            let long = if long.ends_with('9') { format!("{long}s") } else { long.to_owned() };
            let message = parse_duration(&long).unwrap_err();
            assert!(message.contains("takes at most") && message.len() < 120, "{message}");
        }
        for none in ["0s", "0ms", "000d"] {
            assert!(parse_lifetime(none).unwrap_err().contains("no time at all"), "{none}");
        }
        assert!(parse_lifetime("5x").is_err());
        for long in ["3651d", "99999d", "87601h", "5256001m", "315360001s", "315360000001ms"] {
            assert_eq!(parse_lifetime(long).unwrap_err(), format!("`{long}` is too long; it can be 3650d at most"));
        }
        assert_eq!(parse_lifetime("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(parse_duration("99999d"), Ok(Duration::from_hours(24 * 99_999)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("72h"), Ok(Duration::from_hours(72)));
        assert_eq!(parse_duration("30d"), Ok(Duration::from_hours(720)));
    }

    #[test]
    fn the_pattern_of_lifetimes_is_what_is_read() {
        let pattern = regex::Regex::new(&lifetime_pattern()).unwrap();
        let max: [u64; 5] = [3650, 87_600, 5_256_000, 315_360_000, 315_360_000_000];
        for (unit, max) in ["d", "h", "m", "s", "ms"].into_iter().zip(max) {
            let near =
                [0, 1, 9, 10, 99, 100, 999, max / 10, max / 3, max / 2, max - 11, max - 1, max, max + 1, max + 11];
            for number in near.into_iter().chain([max / 2 * 3, max * 9, max * 10, 99_999]) {
                let text = format!("{number}{unit}");
                assert_eq!(pattern.is_match(&text), parse_lifetime(&text).is_ok(), "{text}");
            }
        }
        for wrong in ["", "d", "1", "1x", "1 d", "-1d", "1d1d", "365.0d"] {
            assert!(!pattern.is_match(wrong) && parse_lifetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_and_come_back() {
        let time = Timestamp::from_millis(1_767_225_600_007);
        assert_eq!(time.to_string(), "2026-01-01T00:00:00.007Z");
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        // What is stored can be read again, however far away it is.
        let far = time.saturating_add(Duration::MAX);
        let json = serde_json::to_string(&far).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), far, "{json}");
    }
}
