//! What lists are filtered by: values of query parameters, and what is said of those that cannot be used.

use crate::http::error::Problem;
use axum::http::StatusCode;
use ringback_records::journal::Status;
use ringback_records::name::Name;
use ringback_records::outcome::Outcome;
use ringback_records::time::{Timestamp, parse_duration};
use ringback_store::{Text, TimeRange};
use std::str::FromStr;

/// Longest text that is looked for.
const TEXT_CHARS_MAX: usize = 256;

/// `started,failed`: what several outcomes are written as, or one.
pub(super) fn outcomes(text: Option<&str>) -> Result<Vec<Outcome>, Problem> {
    several(text, &Outcome::ALL, Outcome::as_str, |wrong, allowed| {
        Problem::bad_request("invalid_outcome", format!("`{wrong}` is not an outcome; allowed: {allowed}"))
    })
}

/// The same for where executions stand.
pub(super) fn statuses(text: Option<&str>) -> Result<Vec<Status>, Problem> {
    several(text, &Status::ALL, Status::as_str, |wrong, allowed| {
        Problem::bad_request("invalid_status", format!("`{wrong}` is not a status; allowed: {allowed}"))
    })
}

fn several<T: Copy>(
    text: Option<&str>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    problem: impl Fn(&str, &str) -> Problem,
) -> Result<Vec<T>, Problem> {
    let known = |text: &str| all.iter().copied().find(|value| name(*value) == text);
    let allowed = || all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", ");
    let parts = text.into_iter().flat_map(|text| text.split(',')).map(str::trim);
    parts.map(|part| known(part).ok_or_else(|| problem(&shown(part), &allowed()))).collect()
}

/// From a time on and before another: RFC 3339, or how long ago.
pub(super) fn time(since: Option<&str>, until: Option<&str>) -> Result<TimeRange, Problem> {
    let now = Timestamp::now();
    let read = |name: &str, text: Option<&str>| text.map(|text| point(name, text, now)).transpose();
    let range = TimeRange { since: read("since", since)?, until: read("until", until)? };
    match range {
        TimeRange { since: Some(since), until: Some(until) } if since > until => {
            let detail = format!("`since` is after `until`, {since} after {until}: change them over");
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_time", detail))
        }
        range => Ok(range),
    }
}

fn point(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    match parse_duration(text) {
        Ok(ago) => return Ok(now.saturating_sub(ago)),
        // It is how long ago, and too long.
        Err(why) if why.contains("too long") => {
            return Err(Problem::bad_request("invalid_time", format!("`{name}`: {why}")));
        }
        Err(_) => {}
    }
    // In a query, a plus sign that is not escaped is a space.
    text.replace(' ', "+").parse().map_err(|error| {
        // Of what begins like a time it is worth to know where it ends to be one.
        let cause = if text.starts_with(|first: char| first.is_ascii_digit()) { format!(" ({error})") } else { String::new() };
        let detail = format!(
            "`{name}`: `{}` is not a time; write one with its zone, 2026-01-31T08:00:00Z, or how long ago it is: 15m, 24h, 30d{cause}",
            shown(text)
        );
        Problem::bad_request("invalid_time", detail)
    })
}

/// Text that is looked for.
pub(super) fn text(name: &str, text: Option<&str>) -> Result<Option<Text>, Problem> {
    let refused = |why: String| Err(Problem::bad_request("invalid_text", format!("`{name}` {why}")));
    match text {
        Some("") => refused("is empty; say what to look for, or leave it out".to_owned()),
        Some(text) if text.chars().count() > TEXT_CHARS_MAX => {
            refused(format!("has more than {TEXT_CHARS_MAX} characters"))
        }
        text => Ok(text.map(Text::new)),
    }
}

/// An id, as lists show them.
pub(super) fn id<T: FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(str::parse).transpose().map_err(|_| {
        Problem::bad_request("invalid_id", format!("`{name}` is not an id; write it as the list of these shows it"))
    })
}

pub(super) fn name(text: Option<&str>) -> Result<Option<Name>, Problem> {
    text.map(super::parse_name).transpose()
}

/// The id of a trigger, which is not its name.
pub(super) fn trigger(text: Option<&str>) -> Result<Option<String>, Problem> {
    let wrong = |error| Problem::bad_request("invalid_name", format!("`trigger` is the id of a trigger: {error}"));
    let id = text.map(|text| text.parse::<Name>().map_err(wrong)).transpose()?;
    Ok(id.map(|id| id.to_string()))
}

/// As much of a text as belongs into a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::{id, outcomes, point, statuses, text, time};
    use ringback_records::journal::Status;
    use ringback_records::name::ExecutionId;
    use ringback_records::outcome::Outcome;
    use ringback_records::time::Timestamp;

    #[test]
    fn what_cannot_be_used_is_refused_with_what_can() {
        for wrong in ["", "done", "failed,", ",failed", "Failed", "failed;ignored"] {
            let problem = format!("{:?}", outcomes(Some(wrong)).unwrap_err());
            assert!(
                problem.contains("started, resumed, kept, answered, ignored, duplicate, rejected, failed"),
                "{problem}"
            );
        }
        assert!(statuses(Some("waiting,done")).is_err());
        for wrong in ["", "yesterday", "1", "1w", "-1h", "2026-01-31", "2026-01-31T08:00:00", "2026-02-31T08:00:00Z"] {
            let problem = format!("{:?}", time(Some(wrong), None).unwrap_err());
            assert!(problem.contains("`since`") && problem.contains("15m, 24h, 30d"), "{problem}");
            assert!(time(None, Some(wrong)).is_err(), "{wrong}");
        }
        assert!(time(Some("1h"), Some("2h")).is_err());
        assert!(time(Some("2026-01-31T08:00:00.001Z"), Some("2026-01-31T08:00:00Z")).is_err());
        assert!(text("text", Some("")).is_err() && text("text", Some(&"x".repeat(257))).is_err());
        assert!(id::<ExecutionId>("execution", Some("x")).is_err());
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        assert_eq!(outcomes(Some("ignored, failed")).unwrap(), [Outcome::Ignored, Outcome::Failed]);
        assert_eq!(outcomes(None).unwrap(), []);
        assert_eq!(statuses(Some("timed-out")).unwrap(), [Status::TimedOut]);
        let now = Timestamp::from_millis(1_769_846_400_000);
        let hour = 3_600_000;
        for (written, ago) in [
            ("1h", hour),
            ("60m", hour),
            ("0s", 0),
            ("2026-01-31T07:00:00Z", hour),
            ("2026-01-31T08:00:00+01:00", hour),
            ("2026-01-31T08:00:00 01:00", hour),
            ("2026-01-31T07:59:59.999Z", 1),
        ] {
            assert_eq!(
                point("since", written, now).unwrap(),
                Timestamp::from_millis(now.as_millis() - ago),
                "{written}"
            );
        }
        let range = time(Some("2h"), Some("1h")).unwrap();
        assert_eq!(range.until.unwrap().as_millis() - range.since.unwrap().as_millis(), hour);
        assert!(text("text", Some(&"é".repeat(256))).unwrap().is_some());
    }
}
