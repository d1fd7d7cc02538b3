//! The console: pages for people, on the admin side, made of what answers the API.

mod callbacks;
mod environments;
mod executions;
mod flows;
mod form;
mod guard;
mod pages;
mod people;
mod plugins;
mod secrets;
mod session;
mod settings;
mod start;
mod tickets;
mod triggers;

use crate::app::App;
use crate::http::admin::plugins::UPLOAD_BYTES_MAX;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use pages::Trouble;
use ringback_records::name::sha256_hex;
use std::sync::{Arc, LazyLock};

/// Changes with the files that all pages need: they are kept by browsers for as long as it is the same.
static ASSETS: LazyLock<String> = LazyLock::new(|| {
    let all = [ringback_console::CSS, ringback_console::JS, ringback_console::ICON].concat();
    sha256_hex(all.as_bytes()).chars().take(12).collect()
});

/// Nothing where the console is switched off.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    if !app.config.console {
        return Router::new();
    }
    let pages = Router::new()
        .route("/console", get(start::first))
        .route("/console/login", get(session::show).post(session::sign_in))
        .route("/console/logout", post(session::sign_out))
        .route("/console/workspace", post(session::choose_workspace))
        .route("/console/callbacks", get(callbacks::list))
        .route("/console/callbacks/tail", get(callbacks::tail))
        .route("/console/callbacks/{id}", get(callbacks::show))
        .route("/console/callbacks/{id}/raw", get(callbacks::raw))
        .route("/console/callbacks/{id}/replay", post(callbacks::replay))
        .route("/console/executions", get(executions::list))
        .route("/console/executions/{id}", get(executions::show))
        .route("/console/executions/{id}/cancel", post(executions::cancel))
        .route("/console/executions/{id}/retry", post(executions::retry))
        .route("/console/flows", get(flows::list).post(flows::create))
        .route("/console/new-flow", get(flows::new))
        .route("/console/flows/{name}", get(flows::show).post(flows::apply))
        .route("/console/flows/{name}/enable", post(flows::enable))
        .route("/console/flows/{name}/disable", post(flows::disable))
        .route("/console/flows/{name}/versions/{version}", get(flows::show_version))
        .route("/console/flows/{name}/versions/{version}/activate", post(flows::activate))
        .route("/console/flows/{name}/remove", post(flows::remove))
        .route("/console/flows/{name}/triggers/{id}", get(triggers::show).post(triggers::ask))
        .route("/console/plugins", get(plugins::list).post(plugins::upload).layer(uploads()))
        .route("/console/plugins/{name}", get(plugins::show).post(plugins::upload_version).layer(uploads()))
        .route("/console/plugins/{name}/versions/{version}/activate", post(plugins::activate))
        .route("/console/plugins/{name}/remove", post(plugins::remove))
        .route("/console/secrets", get(secrets::list).post(secrets::set))
        .route("/console/secrets/{environment}/{name}/retire", post(secrets::retire))
        .route("/console/secrets/{environment}/{name}/remove", post(secrets::remove))
        .route("/console/tickets", get(tickets::list).post(tickets::create))
        .route("/console/new-ticket", get(tickets::new))
        .route("/console/tickets/{id}", get(tickets::show))
        .route("/console/tickets/{id}/close", post(tickets::close))
        .route("/console/environments", get(environments::list).post(environments::create))
        .route("/console/environments/{name}", get(environments::show).post(environments::set_var))
        .route("/console/environments/{name}/prefix", post(environments::set_prefix))
        .route("/console/environments/{name}/remove", post(environments::remove))
        .route("/console/environments/{name}/vars/{var}/remove", post(environments::remove_var))
        .route("/console/people", get(people::list).post(people::create))
        .route("/console/people/{id}", get(people::show).post(people::change))
        .route("/console/people/{id}/remove", post(people::remove))
        .route("/console/people/{id}/tokens/{token}/remove", post(people::remove_user_token))
        .route("/console/tokens/{id}/remove", post(people::remove_token))
        .route("/console/settings", get(settings::show))
        .route("/console/backup", get(settings::take_backup))
        .route("/console/start", get(start::show))
        .route("/console/assets/{version}/{file}", get(asset))
        .route("/console/{*rest}", get(missing))
        .method_not_allowed_fallback(only_by_button)
        .layer(from_fn_with_state(Arc::clone(app), guard::guard));
    pages.route("/", get(from_browser))
}

/// Files are larger than forms.
fn uploads() -> DefaultBodyLimit {
    DefaultBodyLimit::max(UPLOAD_BYTES_MAX + plugins::AROUND_BYTES_MAX)
}

/// Who opens the admin side in a browser is sent to the console; programs are told where the API is.
async fn from_browser(headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match accept.contains("text/html") {
        true => Redirect::to("/console").into_response(),
        false => {
            super::error::Problem::not_found("there is no GET /; /v1/openapi.json lists everything").into_response()
        }
    }
}

async fn asset(Path((_, file)): Path<(String, String)>) -> Response {
    let (kind, text) = match file.as_str() {
        "console.css" => ("text/css; charset=utf-8", ringback_console::CSS),
        "console.js" => ("text/javascript; charset=utf-8", ringback_console::JS),
        "icon.svg" => ("image/svg+xml", ringback_console::ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, text).into_response()
}

/// Who goes to where only a button leads is brought to the page that has it.
async fn only_by_button(session: session::Session, method: Method, uri: Uri) -> Response {
    drop(session);
    match method.is_safe() {
        true => Redirect::to(&page_of(uri.path())).into_response(),
        false => {
            let detail = format!("nothing is done by {method} {}", uri.path());
            Trouble::from(super::error::Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail))
                .into_response()
        }
    }
}

/// The page with the button that leads somewhere.
fn page_of(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    let page: &[&str] = match parts.as_slice() {
        [list @ "secrets", ..] => &[list],
        ["plugins", name, ..] => &["plugins", name],
        ["tokens", ..] => &["people"],
        [list @ ("people" | "environments"), name, ..] => &[list, name],
        [list, name, _] => &[list, name],
        [list @ "flows", name, versions, version, ..] => &[list, name, versions, version],
        _ => &[],
    };
    [&["/console"], page].concat().join("/")
}

async fn missing(_: session::Session, Path(rest): Path<String>) -> Trouble {
    let rest: String = rest.chars().take(100).collect();
    super::error::Problem::not_found(format!("there is no page /console/{rest}")).into()
}
