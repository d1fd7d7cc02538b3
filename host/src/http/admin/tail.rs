//! Callbacks as they come, as server-sent events.

use super::auth::Holder;
use super::callbacks::{Filter, item};
use super::extract::Query;
use crate::app::App;
use crate::http::error::Problem;
use crate::http::peer::Peer;
use crate::http::stream;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use ringback_records::name::Name;
use ringback_store::{CallbackFilter, Heard, Tail};
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What a browser says when it comes back.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(tail_callbacks))
}

/// Which callbacks are told of.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TailQuery {
    /// Only this flow's.
    flow: Option<String>,
    /// Only this trigger's, by its id.
    trigger: Option<String>,
    /// Only this ticket's, by its id.
    ticket: Option<String>,
    /// Only those that started or resumed this execution, or are about it, by its id.
    execution: Option<String>,
    /// Only those of this environment.
    environment: Option<String>,
    /// Only with one of these outcomes, separated by commas, or the parameter more than once.
    #[param(value_type = Option<Vec<String>>)]
    outcome: Option<String>,
    /// Only where this text is in the stage that decided or in its reason; case does not count.
    reason: Option<String>,
    /// Only where this text is in the path, the query, the headers or the body, as they are kept; case does not count.
    text: Option<String>,
    /// Only where this text is in any of these, or in the id of the callback or of its execution; case does not count.
    search: Option<String>,
    /// The id of the event after which to go on, where the header `Last-Event-ID` does not say it.
    after: Option<String>,
}

/// Tells of callbacks as they are kept, as server-sent events (`text/event-stream`), until who listens closes the
/// connection, the token ends or the server stops.
///
/// `event: callback` has an item as the list of callbacks does, and comes again when it has changed. Who comes back within a minute with the last
/// `id` as `Last-Event-ID` gets what came in between. `event: missed` says that more came than could be told, and that the list has it. At most 32 are
/// told at a time, shared by workspace: one more gets 503 `too_many_tails`.
#[utoipa::path(get, path = "/v1/callbacks/tail", tag = "callbacks", params(TailQuery), responses((status = 200, body = String, content_type = "text/event-stream"), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn tail_callbacks(
    State(app): State<Arc<App>>,
    caller: Holder,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Query(query): Query<TailQuery>,
) -> Result<Response, Problem> {
    let TailQuery { flow, trigger, ticket, execution, environment, outcome, reason, text, search, after } = query;
    let filter =
        Filter { flow, trigger, ticket, execution, environment, outcome, reason, text, search, ..Filter::default() };
    let Holder { workspace, token } = caller;
    let tail = listen(&app, &workspace, &filter.wanted()?, place(&headers, after.as_deref())?).await?;
    let mut said = 0;
    let show = move |app: &App, Heard { callbacks, next, is_missing }: Heard| {
        let missed = is_missing.then(|| Event::default().event("missed").id(next.to_string()).data("{}"));
        let told = callbacks.into_iter().filter_map(|(behind, callback)| {
            let item = item(app, &workspace, (*callback).clone());
            Event::default().event("callback").id(behind.to_string()).json_data(&item).ok()
        });
        let mut events: Vec<Event> = missed.into_iter().chain(told).collect();
        stream::place(&mut events, &mut said, next);
        events
    };
    Ok(stream::events(app, peer, token, None, tail, show).into_response())
}

/// Where somebody goes on who was here before.
pub(in crate::http) fn place(headers: &HeaderMap, after: Option<&str>) -> Result<Option<u64>, Problem> {
    let said = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default()).or(after);
    said.map(str::parse).transpose().map_err(|_| {
        Problem::bad_request("invalid_event", "`Last-Event-ID` and `after` are the `id` of an event that was told")
    })
}

pub(in crate::http) async fn listen(
    app: &App,
    workspace: &Name,
    wanted: &CallbackFilter,
    from: Option<u64>,
) -> Result<Tail, Problem> {
    let tail = app.store.tail(workspace, wanted, from).await;
    tail.ok_or_else(|| {
        let detail = "as many listen to callbacks as may at a time; close one, or look at the list now and then";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_tails", detail)
    })
}
