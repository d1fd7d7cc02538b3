//! Pages of executions: the list, and one of them with its journal.

use super::callbacks::time_of;
use super::pages::{self, Trouble, needs};
use super::session::Session;
use crate::app::App;
use crate::http::admin::executions::{self, Filter};
use crate::http::admin::flows;
use crate::http::error::Problem;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Execution, ExecutionFilters, ExecutionShown, Executions, ExecutionsShown, Place};
use ringback_records::journal::Summary;
use ringback_records::time::Timestamp;
use ringback_records::token::Access;
use std::sync::Arc;
use url::form_urlencoded;
use uuid::Uuid;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let (mut filters, mut cursor, mut has_empty) = (ExecutionFilters::default(), String::new(), false);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let ExecutionFilters { flow, status, trigger, callback, environment, since, until, reason } = &mut filters;
        let field = match &*name {
            "flow" => flow,
            "status" => status,
            "trigger" => trigger,
            "callback" => callback,
            "environment" => environment,
            "since" => since,
            "until" => until,
            "reason" => reason,
            "cursor" => &mut cursor,
            _ => continue,
        };
        has_empty |= value.is_empty();
        value.trim().clone_into(field);
    }
    if has_empty {
        return Ok(Redirect::to(&filters.address()).into_response());
    }
    let (page, problem) = match executions::page(&app, &session.workspace, filter(&filters, &cursor)).await {
        Ok(page) => (page, None),
        // What was written wrong is said beside it, and kept.
        Err(problem) if problem.status().is_client_error() => (ringback_store::Page::default(), Some(problem)),
        Err(problem) => return Err(problem.into()),
    };
    let status = problem.as_ref().map_or(StatusCode::OK, Problem::status);
    let next_cursor = page.next.map(|id| Uuid::from_bytes(id).to_string()).map(|cursor| {
        let time = time_of(&cursor);
        (cursor, time)
    });
    let flows = app.flows.list(&session.workspace);
    let page = Executions::new(ExecutionsShown {
        frame: pages::frame(&app, &session, Place::Executions, "Executions"),
        filters,
        flows: flows.iter().map(|flow| flow.record.name.to_string()).collect(),
        executions: page.items,
        cursor,
        next_cursor,
        problem: problem.map(|problem| problem.detail().to_owned()),
        now: Timestamp::now(),
    });
    Ok((status, pages::html(&page)).into_response())
}

fn filter(filters: &ExecutionFilters, cursor: &str) -> Filter {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let ExecutionFilters { flow, status, trigger, callback, environment, since, until, reason } = filters;
    Filter {
        flow: said(flow),
        status: said(status),
        trigger: said(trigger),
        callback: said(callback),
        environment: said(environment),
        since: said(since),
        until: said(until),
        reason: said(reason),
        limit: None,
        cursor: said(cursor),
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let (summary, journal) = executions::find(&app, &session.workspace, &id).await?;
    let page = Execution::new(ExecutionShown {
        frame: pages::frame(&app, &session, Place::Executions, &format!("Execution {}", summary.status.as_str())),
        all: query.as_deref() == Some("all=true"),
        resume: resume(&app, &session, &summary),
        environment_gone: !app.environments.has(&session.workspace, &summary),
        summary: &summary,
        journal: &journal,
    });
    Ok(pages::html(&page))
}

/// The URL of each trigger that it waits at, for this execution alone.
fn resume(app: &App, session: &Session, summary: &Summary) -> Vec<(String, String)> {
    let Some(deployed) = app.flows.find(&session.workspace, &summary.flow) else { return Vec::new() };
    let flow = flows::view(app, &session.workspace, &deployed, Vec::new());
    let waits = summary.waits.iter().filter_map(|wait| wait.trigger.as_ref());
    let urls = waits.filter_map(|at| {
        let trigger = flow.triggers.iter().find(|trigger| trigger.id == at.as_str())?;
        let url = trigger.urls.get(summary.environment.as_str())?.get(trigger.face)?;
        let separator = if url.contains('?') { '&' } else { '?' };
        Some((trigger.name.clone(), format!("{url}{separator}execution={}", summary.id)))
    });
    urls.collect()
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let summary = executions::cancel(&app, &session.workspace, &id).await?;
    Ok(Redirect::to(&format!("/console/executions/{}", summary.id)).into_response())
}

pub(super) async fn retry(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let summary = executions::retry(&app, &session.workspace, &id).await?;
    Ok(Redirect::to(&format!("/console/executions/{}", summary.id)).into_response())
}
