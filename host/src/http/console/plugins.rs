//! Pages of plugins: the list, one of them with its versions, and uploads.

use super::form;
use super::pages::{self, Trouble, needs};
use super::session::Session;
use crate::app::App;
use crate::catalogue::removal::remove_plugin;
use crate::http::admin::extract::File;
use crate::http::admin::plugins::missing;
use crate::http::error::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Place, Plugin, Plugins, SAMPLE, Uploaded};
use ringback_records::name::Name;
use ringback_records::plugin::Language;
use ringback_records::token::Access;
use ringback_store::StoreError;
use std::sync::Arc;

/// What is sent around a file in a form: more than that is no form of ours.
pub(super) const AROUND_BYTES_MAX: usize = 16 << 10;

/// A file that was sent by a form.
pub(super) struct Upload {
    pub(super) name: String,
    file: Bytes,
    /// What was written in place of a file.
    source: String,
    /// What it is written in, if it is a source.
    language: Option<Language>,
    /// Nothing of it is to be kept.
    only_check: bool,
    /// Where to go on, if not at the plugin's page.
    is_tour: bool,
}

impl Upload {
    pub(super) async fn of(app: &Arc<App>, session: &Session, request: Request) -> Result<Self, Trouble> {
        needs(session, Access::Author)?;
        let headers = request.headers().clone();
        let File(body) = File::from_request(request, app).await?;
        // A file may be large: whoever computes for long gives way to callbacks.
        let read = app.pipeline.sandbox.compute(&session.workspace, async move { form::fields(&headers, &body) }).await;
        let fields = read.map_err(StoreError::Stopped).map_err(Problem::from)?;
        let fields = fields.ok_or_else(|| Problem::bad_request("invalid_form", "this is not a form with a file"))?;
        let text = |name: &str| {
            let field = fields.iter().find(|field| field.name == name && field.file.is_none());
            field.map(|field| String::from_utf8_lossy(&field.content).trim().to_owned()).unwrap_or_default()
        };
        let (file, called) =
            fields.iter().find_map(|field| Some((field.content.clone(), field.file.clone()?))).unwrap_or_default();
        let name = Some(text("name")).filter(|name| !name.is_empty()).unwrap_or_else(|| name_of(&called));
        // Lines of a form end as those of Windows do.
        let source = text("source").replace("\r\n", "\n");
        if file.is_empty() && !source.is_empty() {
            let (file, language) = (Bytes::from(source.clone()), Some(Language::Js));
            return Ok(Self { name, file, source, language, only_check: false, is_tour: text("tour") == "yes" });
        }
        let language = called.to_ascii_lowercase().ends_with(".js").then_some(Language::Js);
        Ok(Self { name, file, source, language, only_check: text("do") == "check", is_tour: text("tour") == "yes" })
    }

    /// Keeps it, or says what is wrong with it: where to go on, or what to say.
    pub(super) async fn take(self, app: &App, session: &Session) -> Result<Response, (StatusCode, Uploaded)> {
        let refused = |problem: Problem| (problem.status(), Uploaded::Refused(problem.detail().to_owned()));
        let workspace = &session.workspace;
        if self.only_check {
            let checked = app.plugins.check_file(workspace, self.file, self.language).await;
            let checked = checked.map_err(Problem::from).map_err(refused)?;
            return Err((StatusCode::OK, Uploaded::Checked(checked)));
        }
        let name: Name = self.name.parse().map_err(Problem::from).map_err(refused)?;
        let kept = app.plugins.upload(workspace, &name, self.file, self.language, true).await.map_err(Problem::from);
        let (version, _) = kept.map_err(refused)?;
        let to = match self.is_tour {
            true => "/console/start".to_owned(),
            false => format!("/console/plugins/{name}?uploaded={}", version.version),
        };
        Ok(Redirect::to(&to).into_response())
    }
}

/// What a plugin is called whose file has this name.
fn name_of(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.strip_suffix(".wasm").or(name.strip_suffix(".js")).unwrap_or(name).to_ascii_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
    name.trim_matches('-').to_owned()
}

pub(super) async fn list(State(app): State<Arc<App>>, session: Session) -> Response {
    pages::html(&page(&app, &session, String::new(), SAMPLE.to_owned(), Uploaded::Nothing))
}

fn page(app: &App, session: &Session, name: String, source: String, said: Uploaded) -> Plugins {
    let frame = pages::frame(app, session, Place::Plugins, "Plugins");
    Plugins { frame, plugins: app.plugins.list(&session.workspace), name, source, said }
}

/// Takes a file for a plugin that the form names.
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    session: Session,
    request: Request,
) -> Result<Response, Trouble> {
    let upload = Upload::of(&app, &session, request).await?;
    let (name, source) = (upload.name.clone(), upload.source.clone());
    let source = if source.is_empty() { SAMPLE.to_owned() } else { source };
    Ok(match upload.take(&app, &session).await {
        Ok(response) => response,
        Err((status, said)) => (status, pages::html(&page(&app, &session, name, source, said))).into_response(),
    })
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let name: Name = name.parse().map_err(Problem::from)?;
    let query = query.unwrap_or_default();
    let said = match query.strip_prefix("uploaded=").and_then(|version| version.parse().ok()) {
        Some(version) => Uploaded::Kept(version),
        None => Uploaded::Nothing,
    };
    Ok(pages::html(&one(&app, &session, &name, said).await?))
}

async fn one(app: &App, session: &Session, name: &Name, said: Uploaded) -> Result<Plugin, Trouble> {
    let workspace = &session.workspace;
    let record = app.plugins.find(workspace, name).ok_or_else(|| missing(name))?;
    let mut users = app.flows.users_of_plugin(workspace, name).await.map_err(Problem::from)?;
    users.extend(app.tickets.users_of_plugin(workspace, name).await.map_err(Problem::from)?);
    // One that does not load says so when it is called.
    let (schemas, broken) = match app.plugins.schemas(workspace, name).await {
        Ok(schemas) => (schemas.into_iter().collect(), None),
        Err(error) => (Vec::new(), Some(Problem::from(error).detail().to_owned())),
    };
    let frame = pages::frame(app, session, Place::Plugins, name.as_str());
    Ok(Plugin::new(frame, record, users, schemas, broken, said))
}

/// Takes a file as the next version of a plugin.
pub(super) async fn upload_version(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Trouble> {
    let name: Name = name.parse().map_err(Problem::from)?;
    let upload = Upload { name: name.to_string(), ..Upload::of(&app, &session, request).await? };
    Ok(match upload.take(&app, &session).await {
        Ok(response) => response,
        Err((status, said)) => (status, pages::html(&one(&app, &session, &name, said).await?)).into_response(),
    })
}

pub(super) async fn activate(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let name: Name = name.parse().map_err(Problem::from)?;
    let version = version.parse().map_err(|_| Problem::not_found(format!("there is no version {version}")))?;
    app.plugins.activate(&session.workspace, &name, version).await.map_err(Problem::from)?;
    Ok(Redirect::to(&format!("/console/plugins/{name}?uploaded={version}")).into_response())
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let name: Name = name.parse().map_err(Problem::from)?;
    let removed = remove_plugin(&session.workspace, &name, &app.plugins, &app.flows, &app.tickets).await;
    match removed.map_err(Problem::from)? {
        true => Ok(Redirect::to("/console/plugins").into_response()),
        false => Err(missing(&name).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_file_gives_its_plugin_a_name() {
        for (file, name) in [
            ("large_orders.wasm", "large-orders"),
            ("C:\\plugins\\Large Orders.WASM", "large-orders-wasm"),
            ("../../x.wasm", "x"),
            ("large_orders.js", "large-orders"),
            ("-.wasm", ""),
            ("", ""),
        ] {
            assert_eq!(name_of(file), name, "{file}");
        }
    }
}
