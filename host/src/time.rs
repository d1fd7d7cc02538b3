//! Points in time, as milliseconds since 1970.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The beginning of the year 9999: what lies behind it has no text in RFC 3339 that could be read again.
const LAST: u64 = 253_370_764_800_000;
/// What [`parse_duration`] reads: so many digits that none is longer than 273 years.
pub const DURATION_PATTERN: &str = "^([0-9]{1,5}d|[0-9]{1,6}h|[0-9]{1,8}m|[0-9]{1,9}s|[0-9]{1,12}ms)$";
/// What [`parse_lifetime`] reads, without zeros at its beginning.
pub const LIFETIME_PATTERN: &str =
    "^([1-9][0-9]{0,4}d|[1-9][0-9]{0,5}h|[1-9][0-9]{0,7}m|[1-9][0-9]{0,8}s|[1-9][0-9]{0,11}ms)$";

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
    let (millis_per_unit, digits_max) = match unit {
        "ms" => (1, 12),
        "s" => (1000, 9),
        "m" => (60_000, 8),
        "h" => (3_600_000, 6),
        "d" => (86_400_000, 5),
        _ => (0, 0),
    };
    match number.parse::<u64>() {
        _ if digits > digits_max && digits_max > 0 => {
            Err(format!("`{}` is too long; `{unit}` takes at most {digits_max} digits", shown(text)))
        }
        Ok(number) if digits_max > 0 => Ok(Duration::from_millis(number * millis_per_unit)),
        _ => {
            let text = shown(text);
            Err(format!("`{text}` is not a duration; write a whole number and a unit: 500ms, 30s, 5m, 72h, 30d"))
        }
    }
}

/// The same for what is to last: no time at all is refused.
///
/// # Errors
///
/// A sentence that says what is allowed.
pub fn parse_lifetime(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("`{}` is no time at all; give it more, or leave it out", shown(text))),
        duration => Ok(duration),
    }
}

/// As much of a text as belongs into a message.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, parse_duration, parse_lifetime};
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
        assert_eq!(parse_lifetime("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(parse_duration("99999d"), Ok(Duration::from_hours(24 * 99_999)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("72h"), Ok(Duration::from_hours(72)));
        assert_eq!(parse_duration("30d"), Ok(Duration::from_hours(720)));
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
