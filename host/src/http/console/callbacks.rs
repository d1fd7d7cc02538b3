//! Pages of callbacks: the list, one of them, and what sending it again would do.

use super::pages::{self, Trouble, needs};
use super::session::Session;
use crate::app::App;
use crate::http::admin::callbacks::{self, Filter};
use crate::http::admin::counts::{CountQuery, CountView, count};
use crate::http::admin::extract::File;
use crate::http::admin::flows;
use crate::http::admin::tail::{listen, place};
use crate::http::error::Problem;
use crate::http::peer::Peer;
use crate::http::stream;
use crate::pipeline::Again;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use ringback_console::{
    Callback, CallbackLimits, CallbackShown, Callbacks, CallbacksShown, Filters, First, Part, Place, Replay, Row, Total,
};
use ringback_records::outcome::Outcome;
use ringback_records::time::Timestamp;
use ringback_records::token::Access;
use ringback_records::trace::PluginUse;
use ringback_store::Heard;
use std::sync::Arc;
use url::form_urlencoded;
use uuid::Uuid;

/// Most callbacks that a page counts: what takes longer to count than to show is not worth to be waited for.
const COUNTED_MAX: usize = 30_000;
/// Most rows that are told of at a time: nobody reads more.
const TOLD_MAX: usize = 50;
/// Most flows whose URLs are shown while no callback has come.
const STARTS_MAX: usize = 5;

/// What the address of a page says; what it says nothing of is absent.
struct Asked {
    filters: Filters,
    cursor: String,
    after: String,
    /// A form has sent fields that are empty.
    has_empty: bool,
}

impl Asked {
    fn of(query: &str) -> Self {
        let mut asked =
            Self { filters: Filters::default(), cursor: String::new(), after: String::new(), has_empty: false };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Filters { search, flow, trigger, ticket, execution, environment, outcome, since, until, reason, text } =
                &mut asked.filters;
            let field = match &*name {
                "search" => search,
                "flow" => flow,
                "trigger" => trigger,
                "ticket" => ticket,
                "execution" => execution,
                "environment" => environment,
                "outcome" => outcome,
                "since" => since,
                "until" => until,
                "reason" => reason,
                "text" => text,
                "cursor" => &mut asked.cursor,
                "after" => &mut asked.after,
                _ => continue,
            };
            asked.has_empty |= value.is_empty();
            // What can have several values may be there more than once.
            if !value.is_empty() && !field.is_empty() && name == "outcome" {
                field.push(',');
                field.push_str(&value);
            } else if !value.is_empty() {
                *field = value.trim().to_owned();
            }
        }
        asked
    }

    fn filter(&self) -> Filter {
        let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let Filters { search, flow, trigger, ticket, execution, environment, outcome, since, until, reason, text } =
            &self.filters;
        Filter {
            flow: said(flow),
            trigger: said(trigger),
            ticket: said(ticket),
            execution: said(execution),
            environment: said(environment),
            outcome: said(outcome),
            since: said(since),
            until: said(until),
            reason: said(reason),
            text: said(text),
            search: said(search),
            limit: None,
            cursor: said(&self.cursor),
        }
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let asked = Asked::of(&query.unwrap_or_default());
    if asked.has_empty {
        return Ok(Redirect::to(&asked.filters.address()).into_response());
    }
    let workspace = &session.workspace;
    if let Ok(id) = asked.filters.search.parse()
        && app.store.callback(workspace, id).await?.is_some()
    {
        return Ok(Redirect::to(&format!("/console/callbacks/{id}")).into_response());
    }
    // What comes from here on is told of, so that none is missed between the page and its tail.
    let after = app.store.tail_now(workspace).await;
    let now = Timestamp::now();
    let (page, problem) = match callbacks::list(&app, workspace, asked.filter()).await {
        Ok(page) => (Some(page), None),
        // What was written wrong is said beside it, and kept.
        Err(problem) if problem.status().is_client_error() => (None, Some(problem)),
        Err(problem) => return Err(problem.into()),
    };
    let counted = match &problem {
        None => Some(count(&app, workspace, &counted_time(&asked), COUNTED_MAX).await?),
        Some(_) => None,
    };
    let (items, cursor) = page.map(|page| (page.items, page.next_cursor)).unwrap_or_default();
    let rows: Vec<Row> = items.iter().map(|item| Row::new(&item.callback, now)).collect();
    let flows = app.flows.list(workspace);
    let starts = if rows.is_empty() && problem.is_none() { starts(&app, &session) } else { Vec::new() };
    let status = problem.as_ref().map_or(StatusCode::OK, Problem::status);
    let (totals, parts, counted_from) = counted.map(shown).unwrap_or_default();
    let page = Callbacks::new(CallbacksShown {
        frame: pages::frame(&app, &session, Place::Callbacks, "Callbacks"),
        flows: flows.iter().map(|flow| flow.record.name.to_string()).collect(),
        rows,
        totals,
        parts,
        counted_from,
        cursor: asked.cursor,
        next_cursor: cursor.map(|cursor| {
            let time = time_of(&cursor);
            (cursor, time)
        }),
        after,
        problem: problem.map(|problem| problem.detail().to_owned()),
        starts,
        filters: asked.filters,
    });
    Ok((status, pages::html(&page)).into_response())
}

/// What is counted beside a list: the same time, or the last hour.
fn counted_time(asked: &Asked) -> CountQuery {
    let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let Filters { flow, since, until, .. } = &asked.filters;
    CountQuery { flow: said(flow), since: said(since), until: said(until), step: None }
}

/// What the page needs of the counts: all, each part, and from when on they are counted.
fn shown(counted: CountView) -> (Vec<Total>, Vec<Part>, Option<Timestamp>) {
    let outcome = |name: &str| Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == name);
    let totals = counted.outcomes.iter();
    let totals = totals.filter_map(|(name, count)| Some(Total { outcome: outcome(name)?, count: *count })).collect();
    let parts = counted.parts.iter().map(|part| Part {
        from: part.from,
        until: Timestamp::from_millis(part.from.as_millis() + counted.step_ms),
        outcomes: part.outcomes.iter().filter_map(|(name, count)| Some((outcome(name)?, *count))).collect(),
    });
    (totals, parts.collect(), counted.counted_from)
}

/// When the callback came that a page ended with.
pub(super) fn time_of(cursor: &str) -> Timestamp {
    let id = cursor.parse::<Uuid>().map(|id| id.as_u128() >> 80).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(id).unwrap_or_default())
}

fn starts(app: &App, session: &Session) -> Vec<First> {
    let flows = app.flows.list(&session.workspace);
    let first = flows.iter().take(STARTS_MAX).filter_map(|deployed| {
        let flow = flows::view(app, &session.workspace, deployed, Vec::new());
        let trigger = flow.triggers.into_iter().next()?;
        let url = trigger.urls.get("default")?.get(trigger.face)?.clone();
        let method = trigger.methods.iter().find(|method| *method == "POST").or(trigger.methods.first())?.clone();
        Some(First { flow: flow.name, trigger: trigger.name, method, url })
    });
    first.collect()
}

/// Rows of the list as they come.
pub(super) async fn tail(
    State(app): State<Arc<App>>,
    session: Session,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let asked = Asked::of(&query.unwrap_or_default());
    let after = Some(asked.after.as_str()).filter(|after| !after.is_empty());
    let filter = Filter { cursor: None, ..asked.filter() };
    let tail = listen(&app, &session.workspace, &filter.wanted()?, place(&headers, after)?).await?;
    let mut said = 0;
    let show = move |_: &App, Heard { callbacks, next, is_missing }: Heard| {
        let missed = is_missing.then(|| Event::default().event("missed").id(next.to_string()).data("-"));
        let skipped = callbacks.len().saturating_sub(TOLD_MAX);
        let now = Timestamp::now();
        let told = callbacks.into_iter().skip(skipped).filter_map(|(behind, callback)| {
            let row = ringback_console::row(&Row::new(&callback, now)).ok()?;
            Some(Event::default().event("row").id(behind.to_string()).data(row))
        });
        let mut events: Vec<Event> = missed.into_iter().chain(told).collect();
        stream::place(&mut events, &mut said, next);
        events
    };
    Ok(stream::events(app, peer, session.token, Some(session.until), tail, show).into_response())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let workspace = &session.workspace;
    let record = callbacks::find(&app, workspace, &id).await.map_err(|problem| match problem.status() {
        StatusCode::NOT_FOUND => Problem::not_found(format!(
            "{}; those that were ignored, refused or failed are kept as long as they are among the newest 256 MiB, and this one may have gone",
            problem.detail()
        )),
        _ => problem,
    })?;
    let limits = app.config.plugin_limits.of(workspace);
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let version_of = |usage: &PluginUse| {
        let versions = app.plugins.find(workspace, &usage.plugin)?.versions;
        versions.iter().rev().find(|version| version.digest == usage.digest).map(|version| version.version)
    };
    let query = query.unwrap_or_default();
    let body_as = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "body").map(|(_, value)| value);
    let page = Callback::new(CallbackShown {
        frame: pages::frame(&app, &session, Place::Callbacks, &format!("Callback {}", record.outcome)),
        environment_gone: callbacks::item(&app, workspace, (&record).into()).environment_gone,
        limits: CallbackLimits {
            decide_us: micros(limits.decide_cpu),
            work_us: micros(limits.work_cpu),
            memory_bytes: limits.memory_bytes as u64,
            large_memory_bytes: limits.large_memory_bytes as u64,
        },
        public_url: &app.public_url,
        body_as: body_as.as_deref().unwrap_or_default(),
        version_of: &version_of,
        record: &record,
    });
    Ok(pages::html(&page))
}

/// What is kept of a body, as a file and nothing that a browser would show.
pub(super) async fn raw(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let record = callbacks::find(&app, &session.workspace, &id).await?;
    let name = HeaderValue::try_from(format!("attachment; filename=\"callback-{}.body\"", record.id));
    let decoded =
        record.body_base64.map(|text| base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default());
    let body = decoded.unwrap_or_else(|| record.body.unwrap_or_default().into_bytes());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (header::CONTENT_DISPOSITION, name.unwrap_or(HeaderValue::from_static("attachment"))),
    ];
    Ok((headers, body).into_response())
}

/// Says what sending a callback again would do, or does it; with what was typed in place of its body, if that is another one.
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let dry_run = query.as_deref() == Some("dry_run=true");
    let record = callbacks::find(&app, &session.workspace, &id).await?;
    let typed = form_urlencoded::parse(&form).find(|(name, _)| name == "body").map(|(_, body)| plain_lines(&body));
    let kept = record.body.as_deref().map(plain_lines);
    let typed = typed.filter(|typed| kept.as_ref() != Some(typed));
    if typed.as_ref().is_some_and(|typed| typed.len() > app.config.body_bytes_max) {
        let detail = format!("the body has more than {} bytes", app.config.body_bytes_max);
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "body_too_large", detail).into());
    }
    let how = Again { dry_run, body: typed.clone().map(Into::into) };
    let replay = app.pipeline.replay(&session.workspace, record.id, how).await?;
    if !dry_run {
        return Ok(Redirect::to(&format!("/console/callbacks/{}", replay.callback)).into_response());
    }
    let frame = pages::frame(&app, &session, Place::Callbacks, "Replay");
    Ok(pages::html(&Replay::new(frame, &record, replay.outcome, &replay.reply, &replay.trace, typed)))
}

/// Lines of a form end as those of Windows do.
fn plain_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}
