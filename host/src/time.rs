//! Points in time, as milliseconds since 1970.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The beginning of the year 9999: what lies behind it has no text in RFC 3339 that could be read again.
const LAST: u64 = 253_370_764_800_000;
/// Longest duration that people write, in days: a hundred years.
const DAYS_MAX: u64 = 36_500;

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

/// Reads a duration as people write it: `500ms`, `30s`, `5m`, `72h`, `30d`.
///
/// # Errors
///
/// A sentence that shows the allowed forms.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis_per_unit)) {
        Some(millis) if millis > DAYS_MAX * 86_400_000 => Err(format!("`{text}` is longer than {DAYS_MAX}d")),
        Some(millis) if millis_per_unit > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{text}` is not a duration; write a whole number and a unit: 500ms, 30s, 5m, 72h, 30d")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, parse_duration};
    use std::time::Duration;

    #[test]
    fn durations_without_number_or_unit_are_refused() {
        for wrong in ["", "5", "s", "1.5h", "-1s", "5 s", "5w", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        for long in ["36501d", "2240914485022h", "18446744073709551615ms"] {
            assert!(parse_duration(long).unwrap_err().contains("longer than 36500d"), "{long}");
        }
        assert!(parse_duration("36500d").is_ok());
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
