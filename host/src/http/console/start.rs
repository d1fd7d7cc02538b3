//! The first page: what to do next, until a callback has been ignored and explained.

use super::pages::{self, Trouble};
use super::session::Session;
use crate::app::App;
use crate::http::admin::callbacks::{self, Filter};
use crate::http::admin::counts::{CountQuery, count};
use crate::http::admin::flows::view;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Last, Place, Start, StartFlow, Uploaded};
use ringback_records::plugin::Role;
use std::sync::Arc;

/// Most callbacks that are counted here: it is said whether there are any.
const COUNTED_MAX: usize = 1000;

/// Where one begins: at what comes in, as soon as something can.
pub(super) async fn first(State(app): State<Arc<App>>, session: Session) -> Response {
    let is_new = app.flows.list(&session.workspace).is_empty();
    Redirect::to(if is_new { "/console/start" } else { "/console/callbacks" }).into_response()
}

pub(super) async fn show(State(app): State<Arc<App>>, session: Session) -> Result<Response, Trouble> {
    let workspace = &session.workspace;
    let is_condition = |plugin: &&ringback_records::plugin::PluginRecord| {
        let active = plugin.versions.iter().find(|version| version.version == plugin.active);
        active.is_some_and(|version| version.roles.contains(&Role::Condition))
    };
    let plugins = app.plugins.list(workspace);
    let plugin = plugins.iter().find(is_condition).or(plugins.first()).map(|plugin| plugin.name.to_string());
    let flows = app.flows.list(workspace);
    let newest = flows.iter().max_by_key(|deployed| deployed.record.updated_at);
    let flow = newest.and_then(|deployed| {
        let flow = view(&app, workspace, deployed, Vec::new());
        let trigger = flow.triggers.into_iter().next()?;
        let url = trigger.urls.get("default")?.get(trigger.face)?.clone();
        Some(StartFlow { name: flow.name, trigger_id: trigger.id, trigger: trigger.name, url })
    });
    let query = CountQuery { since: Some("24h".to_owned()), ..CountQuery::default() };
    let callbacks = count(&app, workspace, &query, COUNTED_MAX).await?.outcomes.values().sum();
    let wanted = Filter { outcome: Some("ignored".to_owned()), limit: Some("1".to_owned()), ..Filter::default() };
    let ignored = callbacks::list(&app, workspace, wanted).await?.items;
    let page = Start {
        frame: pages::frame(&app, &session, Place::Start, "Start"),
        plugin,
        flow,
        callbacks,
        ignored: ignored.first().and_then(|item| Last::new(&item.callback)),
        said: Uploaded::Nothing,
    };
    Ok(pages::html(&page))
}
