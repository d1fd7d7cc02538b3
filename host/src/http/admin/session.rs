//! Who asks: the token of the request, and what it opens.

use super::answer;
use super::auth::Holder;
use crate::app::App;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use ringback_records::token::Access;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show_session)).routes(routes!(make_link))
}

/// What the token of a request opens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SessionView {
    /// The token, as lists of tokens show it.
    token: String,
    /// What it is for.
    name: String,
    access: Access,
    /// The workspace that is asked about.
    #[schema(value_type = String)]
    workspace: Name,
    /// Those that may be asked about: of an administrator, all that have tokens, flows or plugins.
    #[schema(value_type = Vec<String>)]
    workspaces: BTreeSet<Name>,
    /// When it ends; absent when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Says which token is used, and what it opens.
#[utoipa::path(get, path = "/v1/session", tag = "tokens", responses((status = 200, body = SessionView), (status = "4XX", body = Problem)))]
async fn show_session(State(app): State<Arc<App>>, caller: Holder) -> Response {
    let Holder { workspace, token } = caller;
    let view = SessionView {
        token: token.id().to_owned(),
        workspaces: workspaces(&app, &workspace, token.access),
        name: token.name,
        access: token.access,
        workspace,
        expires_at: token.expires_at,
    };
    answer(StatusCode::OK, view)
}

/// A link that signs a browser in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LinkView {
    /// It counts once.
    url: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Makes a link that signs a browser in to the console with the token of the request: once, within a minute.
#[utoipa::path(post, path = "/v1/session/link", tag = "tokens", responses((status = 201, body = LinkView), (status = "4XX", body = Problem)))]
async fn make_link(State(app): State<Arc<App>>, caller: Holder) -> Result<Response, Problem> {
    if !app.config.console {
        let detail = "the console is switched off; leave `console = false` out of the settings, and start again";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_console", detail));
    }
    let (code, expires_at) = app.tokens.make_code(caller.token)?;
    let url = format!("{}/console/login#code={code}", app.admin_url);
    Ok(answer(StatusCode::CREATED, LinkView { url, expires_at }))
}

/// The workspaces that may be asked about by who asks about one.
pub(in crate::http) fn workspaces(app: &App, workspace: &Name, access: Access) -> BTreeSet<Name> {
    let mut workspaces = BTreeSet::from([workspace.clone()]);
    if access == Access::Admin {
        workspaces.extend(app.tokens.workspaces());
        workspaces.extend(app.flows.workspaces());
        workspaces.extend(app.plugins.workspaces());
    }
    workspaces
}
