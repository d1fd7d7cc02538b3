//! How many callbacks came, over time, by outcome and flow.

use super::auth::Viewer;
use super::extract::Query;
use super::{answer, filters};
use crate::app::App;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::Name;
use ringback_records::outcome::Outcome;
use ringback_records::time::{Timestamp, parse_duration};
use ringback_store::{Counts, TimeRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(count_callbacks))
}

/// Most callbacks that one answer counts.
const COUNTED_MAX: usize = 200_000;
/// Most parts of the time.
const PARTS_MAX: u64 = 1_500;
/// How many parts there are when nobody says how long they are: at most.
const PARTS: u64 = 60;
/// The time that is counted when nobody says since when.
const SINCE: Duration = Duration::from_secs(3600);
/// Lengths of parts that people read easily, in seconds.
const STEPS: [u64; 16] = [1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800];

/// Which callbacks are counted, and in which parts of the time.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct CountQuery {
    /// Only this flow's.
    pub(in crate::http) flow: Option<String>,
    /// Only those that came at this time or later: RFC 3339, or how long ago: `15m`, `24h`, `30d`; an hour when absent.
    pub(in crate::http) since: Option<String>,
    /// Only those that came before this time.
    pub(in crate::http) until: Option<String>,
    /// How long a part of the time is: `10s`, `1m`, `1h`; at most 1,500 parts. Without it there are up to 60, of an even length.
    pub(in crate::http) step: Option<String>,
}

/// Callbacks by their outcomes; what there is none of is absent.
type ByOutcome = BTreeMap<&'static str, u64>;

/// How many callbacks came.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CountView {
    /// When the first part begins.
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::http) since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::http) until: Timestamp,
    /// How long a part is.
    pub(in crate::http) step_ms: u64,
    /// Only what came from then on is counted, since there is too much, or it was kept by a version that could not be counted; absent
    /// when everything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::http) counted_from: Option<Timestamp>,
    /// All of them, by outcome.
    #[schema(value_type = Object)]
    pub(in crate::http) outcomes: ByOutcome,
    /// By flow and outcome; those of tickets without a flow are not among them.
    pub(in crate::http) flows: Vec<FlowCount>,
    /// Each part of the time, in order.
    pub(in crate::http) parts: Vec<PartCount>,
}

/// How many callbacks came for a flow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct FlowCount {
    #[schema(value_type = String)]
    pub(in crate::http) flow: Name,
    #[schema(value_type = Object)]
    pub(in crate::http) outcomes: ByOutcome,
}

/// How many callbacks came in a part of the time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PartCount {
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::http) from: Timestamp,
    #[schema(value_type = Object)]
    pub(in crate::http) outcomes: ByOutcome,
}

/// Counts callbacks over time, by outcome and by flow: at most 200,000, the newest.
#[utoipa::path(get, path = "/v1/callbacks/counts", tag = "callbacks", params(CountQuery), responses((status = 200, body = CountView), (status = "4XX", body = Problem)))]
async fn count_callbacks(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(query): Query<CountQuery>,
) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, count(&app, &caller.workspace, &query, COUNTED_MAX).await?))
}

pub(in crate::http) async fn count(
    app: &App,
    workspace: &Name,
    query: &CountQuery,
    most: usize,
) -> Result<CountView, Problem> {
    let TimeRange { since, until } = filters::time(query.since.as_deref(), query.until.as_deref())?;
    let until = until.unwrap_or_else(Timestamp::now);
    let since = since.unwrap_or_else(|| until.saturating_sub(SINCE));
    let step = step(query.step.as_deref(), until.since(since))?;
    let step_ms = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
    // Parts begin where a clock would have them begin.
    let since = Timestamp::from_millis(since.as_millis() / step_ms * step_ms);
    let flow = filters::name(query.flow.as_deref())?;
    let time = TimeRange { since: Some(since), until: Some(until) };
    let counted = app.store.counts(workspace, flow.as_ref(), time, step, most).await?;
    Ok(view(since, until, step_ms, counted))
}

/// How long the parts of a time are.
fn step(text: Option<&str>, time: Duration) -> Result<Duration, Problem> {
    let wrong = |status, why: String| Problem::new(status, "invalid_step", format!("`step`: {why}"));
    let Some(text) = text else {
        let is_enough = |seconds: &u64| time.as_secs() / seconds <= PARTS;
        let seconds = STEPS.into_iter().find(is_enough).unwrap_or_else(|| time.as_secs() / PARTS + 1);
        return Ok(Duration::from_secs(seconds));
    };
    let step = parse_duration(text).map_err(|why| wrong(StatusCode::BAD_REQUEST, why))?;
    if step.is_zero() {
        let why = format!("`{text}` is no time at all; write how long a part is: 1m, 1h, 1d");
        return Err(wrong(StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    match time.as_millis().checked_div(step.as_millis()) {
        Some(parts) if parts < u128::from(PARTS_MAX) => Ok(step),
        _ => {
            let why = format!("the time would have more than {PARTS_MAX} parts of `{text}`; make them longer");
            Err(wrong(StatusCode::UNPROCESSABLE_ENTITY, why))
        }
    }
}

fn view(since: Timestamp, until: Timestamp, step_ms: u64, Counts { counts, from }: Counts) -> CountView {
    let length = until.since(since).as_millis().div_ceil(u128::from(step_ms));
    let begin = |part: u64| Timestamp::from_millis(since.as_millis() + part * step_ms);
    let parts = (0..u64::try_from(length).unwrap_or_default())
        .map(|part| PartCount { from: begin(part), outcomes: ByOutcome::new() });
    let mut parts: Vec<PartCount> = parts.collect();
    let (mut outcomes, mut flows) = (ByOutcome::new(), BTreeMap::<Name, ByOutcome>::new());
    for counted in counts {
        let add =
            |outcomes: &mut ByOutcome| *outcomes.entry(Outcome::as_str(counted.outcome)).or_default() += counted.count;
        add(&mut outcomes);
        let of_flow = counted.flow.map(|flow| flows.entry(flow).or_default());
        let of_part = parts.get_mut(counted.part).map(|part| &mut part.outcomes);
        of_flow.into_iter().chain(of_part).for_each(add);
    }
    let flows = flows.into_iter().map(|(flow, outcomes)| FlowCount { flow, outcomes }).collect();
    CountView { since, until, step_ms, counted_from: from, outcomes, flows, parts }
}

#[cfg(test)]
mod tests {
    use super::step;
    use std::time::Duration;

    #[test]
    fn parts_are_few_and_of_an_even_length() {
        for (hours, seconds) in [(0, 1), (1, 60), (24, 1800), (24 * 30, 43_200), (24 * 365, 604_800)] {
            assert_eq!(step(None, Duration::from_hours(hours)).unwrap().as_secs(), seconds, "{hours}");
        }
        assert_eq!(step(None, Duration::from_mins(61)).unwrap().as_secs(), 300);
        let hour = Duration::from_hours(1);
        assert_eq!(step(Some("1m"), hour).unwrap().as_secs(), 60);
        for wrong in ["", "0s", "1", "2s", "-1m"] {
            assert!(step(Some(wrong), hour).is_err(), "{wrong}");
        }
        let said = format!("{:?}", step(Some("0s"), hour).unwrap_err());
        assert!(said.contains("no time at all") && !said.contains("more than"), "{said}");
    }
}
