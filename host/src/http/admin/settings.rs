//! Settings: what counts, and where it is said.

use super::answer;
use super::auth::Holder;
use crate::app::App;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::Name;
use ringback_records::token::Access;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show_settings))
}

/// A setting.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct SettingView {
    pub(in crate::http) name: &'static str,
    /// As a settings file has it; `"set"` for a secret, null for what is not set.
    pub(in crate::http) value: Value,
    /// The file, the variable or the flag that says so; empty for a default.
    pub(in crate::http) source: String,
}

/// The settings of the server, and how it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct SettingsView {
    pub(in crate::http) items: Vec<SettingView>,
    pub(in crate::http) version: &'static str,
    /// The id of the data directory.
    pub(in crate::http) instance: String,
    /// `ok` or `stopping`.
    pub(in crate::http) status: &'static str,
    /// The size of the store's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) store_bytes: Option<u64>,
}

/// Lists the settings, with what says each.
#[utoipa::path(get, path = "/v1/settings", tag = "health", responses((status = 200, body = SettingsView), (status = "4XX", body = Problem)))]
async fn show_settings(State(app): State<Arc<App>>, caller: Holder) -> Result<Response, Problem> {
    if caller.token.access < Access::Author {
        let detail = "this needs a token with author access; yours has viewer";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, caller.token.access).await))
}

/// What other workspaces are given, their administrators alone see.
pub(in crate::http) async fn view(app: &App, workspace: &Name, access: Access) -> SettingsView {
    let items = app.config.said.iter().map(|setting| {
        let mut value = setting.value.clone();
        if let Value::Object(of_workspaces) = &mut value
            && access < Access::Admin
        {
            of_workspaces.retain(|name, _| name.as_str() == workspace.as_str());
        }
        SettingView { name: setting.name, value, source: setting.source.clone() }
    });
    SettingsView {
        items: items.collect(),
        version: env!("CARGO_PKG_VERSION"),
        instance: app.instance.clone(),
        status: if app.is_ready() { "ok" } else { "stopping" },
        store_bytes: app.store.size_bytes().await.ok(),
    }
}
