//! Pages of flows: the list, one of them with its source, its versions, and what changes it.

use super::pages::{self, Trouble, confirms, needs};
use super::session::{Session, value};
use crate::app::App;
use crate::catalogue::flows::{FlowError, How, Version, changes};
use crate::http::admin::counts::{CountQuery, count};
use crate::http::admin::extract::File;
use crate::http::admin::flows::{FlowView, giving_way, missing, view};
use crate::http::error::Problem;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{
    Flow, FlowItem, FlowMistake, FlowSaid, FlowVersion, FlowVersionPage, Flows, Place, TriggerUrl, draft,
};
use ringback_records::name::Name;
use ringback_records::outcome::Outcome;
use ringback_records::plugin::Role;
use ringback_records::token::Access;
use ringback_rules::flow::parse;
use ringback_store::StoreError;
use std::sync::Arc;

/// Most versions that a page lists.
const VERSIONS_SHOWN: u32 = 50;
/// Most callbacks that the list of flows counts.
const COUNTED_MAX: usize = 30_000;

const NEW: &str = "flow: hello\nsteps:\n  - trigger: Hello\n    when: data.name != \"\"\n";

pub(super) async fn list(State(app): State<Arc<App>>, session: Session) -> Result<Response, Trouble> {
    let query = CountQuery { since: Some("24h".to_owned()), ..CountQuery::default() };
    let counted = count(&app, &session.workspace, &query, COUNTED_MAX).await?.flows;
    let flows = app.flows.list(&session.workspace).into_iter().map(|deployed| {
        let name = &deployed.record.name;
        let of_flow = counted.iter().find(|counted| counted.flow == *name);
        let outcomes = Outcome::ALL.into_iter().filter_map(|outcome| {
            let count = of_flow?.outcomes.get(outcome.as_str())?;
            Some((outcome, *count))
        });
        FlowItem {
            name: name.to_string(),
            version: deployed.record.version,
            enabled: deployed.record.enabled,
            updated_at: deployed.record.updated_at,
            triggers: deployed.flow.triggers.len(),
            outcomes: outcomes.collect(),
        }
    });
    let flows = flows.collect();
    Ok(pages::html(&Flows { frame: pages::frame(&app, &session, Place::Flows, "Flows"), flows }))
}

/// A form for one that is to come.
pub(super) async fn new(
    State(app): State<Arc<App>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let asks = value(query.unwrap_or_default().as_bytes(), "plugin").parse::<Name>().ok();
    let source = match asks.filter(|plugin| app.plugins.find(&session.workspace, plugin).is_some()) {
        Some(plugin) => {
            // A plugin that says nothing of its configuration may take any.
            let schemas = app.plugins.schemas(&session.workspace, &plugin).await.unwrap_or_default();
            draft(plugin.as_str(), schemas.get(&Role::Condition))
        }
        None => NEW.to_owned(),
    };
    let page = Flow {
        frame: pages::frame(&app, &session, Place::Flows, "New flow"),
        name: String::new(),
        enabled: true,
        version: 0,
        source,
        mistakes: Vec::new(),
        warnings: Vec::new(),
        said: FlowSaid::Nothing,
        urls: Vec::new(),
        versions: Vec::new(),
    };
    Ok(pages::html(&page))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let name: Name = name.parse().map_err(Problem::from)?;
    let mut page = page(&app, &session, &name).await?;
    if query.as_deref() == Some("deployed=true") {
        page.said = FlowSaid::Deployed(page.version);
    }
    Ok(pages::html(&page))
}

/// The page of a flow with a source that was made for somebody to look at.
pub(super) async fn drafted(
    app: &App,
    session: &Session,
    name: &Name,
    source: String,
    what: String,
) -> Result<Response, Trouble> {
    let page = page(app, session, name).await?;
    Ok(pages::html(&Flow { source, said: FlowSaid::Drafted(what), ..page }))
}

/// The page of a flow as it is deployed.
async fn page(app: &App, session: &Session, name: &Name) -> Result<Flow, Trouble> {
    let workspace = &session.workspace;
    let deployed = app.flows.find(workspace, name).ok_or_else(|| missing(name))?;
    let versions = newest_versions(app, workspace, name, deployed.record.version).await.map_err(Problem::from)?;
    let source = app.flows.one_version(workspace, name, deployed.record.version).await.map_err(Problem::from)?;
    let flow = view(app, workspace, &deployed, Vec::new());
    let versions = versions.iter().map(|version| FlowVersion {
        version: version.version,
        is_active: version.active,
        deployed_at: version.record.deployed_at,
        size_bytes: version.record.source.len(),
    });
    Ok(Flow {
        frame: pages::frame(app, session, Place::Flows, name.as_str()),
        name: name.to_string(),
        enabled: flow.enabled,
        version: flow.version,
        source: source.record.source,
        mistakes: Vec::new(),
        said: FlowSaid::Nothing,
        urls: urls(&flow),
        warnings: flow.warnings,
        versions: versions.collect(),
    })
}

/// The newest versions that are kept, newest first.
async fn newest_versions(app: &App, workspace: &Name, name: &Name, last: u32) -> Result<Vec<Version>, FlowError> {
    let after = last.checked_sub(VERSIONS_SHOWN).filter(|after| *after > 0);
    let page = app.flows.versions(workspace, name, after, VERSIONS_SHOWN as usize).await?;
    Ok(page.items.into_iter().rev().collect())
}

pub(super) fn urls(flow: &FlowView) -> Vec<TriggerUrl> {
    let mut urls = Vec::new();
    for trigger in &flow.triggers {
        for (environment, by_face) in &trigger.urls {
            urls.extend(by_face.iter().map(|(face, url)| TriggerUrl {
                trigger: trigger.name.clone(),
                id: trigger.id.clone(),
                environment: environment.clone(),
                face: face.clone(),
                url: url.clone(),
            }));
        }
        for callback in &trigger.callbacks {
            urls.extend(callback.urls.iter().map(|(environment, url)| TriggerUrl {
                trigger: trigger.name.clone(),
                id: trigger.id.clone(),
                environment: environment.clone(),
                face: format!("{}, {}", trigger.face, callback.name),
                url: url.clone(),
            }));
        }
    }
    urls
}

/// What was written for a flow that is to come: its name stands in it.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let name = match parse(&source(&form), 0) {
        Ok(parsed) => parsed.flow.name,
        // The mistakes are said as they are of any.
        Err(_) => Name::default_name(),
    };
    deploy(&app, &session, name, true, &form).await
}

pub(super) async fn apply(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    deploy(&app, &session, name.parse().map_err(Problem::from)?, false, &form).await
}

/// Lines of a form end as those of Windows do.
fn source(form: &[u8]) -> String {
    value(form, "source").replace("\r\n", "\n")
}

/// Deploys what was written, or says what is wrong; it stands in its field again in any case.
async fn deploy(app: &Arc<App>, session: &Session, name: Name, is_new: bool, form: &[u8]) -> Result<Response, Trouble> {
    let (source, workspace) = (source(form), &session.workspace);
    let version: u32 = value(form, "version").parse().unwrap_or_default();
    let dry_run = value(form, "do") == "check";
    let how = How { dry_run, disabled: false, version: Some(version) };
    let (of, to, called, text) = (Arc::clone(app), workspace.clone(), name.clone(), source.clone());
    let deploy = async move { of.flows.deploy(&to, &called, &text, how, &of.plugins, of.secrets.vault()).await };
    let deployed = app.pipeline.sandbox.compute(workspace, deploy).await;
    let deployed = deployed.map_err(StoreError::Stopped).map_err(Problem::from)?;
    let (mut said, mut mistakes, mut warnings, mut status, mut base) =
        (FlowSaid::Checked, Vec::new(), Vec::new(), StatusCode::OK, version);
    match deployed {
        Ok(_) if !dry_run => return Ok(Redirect::to(&format!("/console/flows/{name}?deployed=true")).into_response()),
        Ok(deployment) => warnings = deployment.warnings,
        Err(FlowError::Mistakes(found)) => {
            (said, status) = (FlowSaid::Mistaken, StatusCode::UNPROCESSABLE_ENTITY);
            mistakes = found;
        }
        Err(FlowError::Overtaken { version: theirs, .. }) => {
            status = StatusCode::CONFLICT;
            base = theirs;
            let theirs_source = match app.flows.one_version(workspace, &name, theirs).await {
                Ok(version) => version.record.source,
                Err(_) => String::new(),
            };
            let diff = changes(&theirs_source, &source);
            said = FlowSaid::Overtaken { version: theirs, diff };
        }
        Err(error) => {
            let problem = Problem::from(error);
            status = problem.status();
            said = FlowSaid::Refused(problem.detail().to_owned());
        }
    }
    let known = if is_new { None } else { page(app, session, &name).await.ok() };
    let frame = pages::frame(app, session, Place::Flows, if is_new { "New flow" } else { name.as_str() });
    let mistakes = mistakes.into_iter().map(|mistake| FlowMistake {
        file: mistake.file,
        line: mistake.line,
        column: mistake.column,
        path: mistake.path,
        detail: mistake.detail,
    });
    let (urls, versions, enabled) =
        known.map_or((Vec::new(), Vec::new(), true), |known| (known.urls, known.versions, known.enabled));
    let page = Flow {
        frame,
        name: if is_new { String::new() } else { name.to_string() },
        enabled,
        version: base,
        source,
        mistakes: mistakes.collect(),
        warnings,
        said,
        urls,
        versions,
    };
    Ok((status, pages::html(&page)).into_response())
}

pub(super) async fn enable(app: State<Arc<App>>, session: Session, name: Path<String>) -> Result<Response, Trouble> {
    set_enabled(app, session, name, true).await
}

pub(super) async fn disable(app: State<Arc<App>>, session: Session, name: Path<String>) -> Result<Response, Trouble> {
    set_enabled(app, session, name, false).await
}

async fn set_enabled(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    enabled: bool,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let name: Name = name.parse().map_err(Problem::from)?;
    app.flows.set_enabled(&session.workspace, &name, enabled).await.map_err(Problem::from)?;
    Ok(Redirect::to(&format!("/console/flows/{name}")).into_response())
}

pub(super) async fn show_version(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    let (name, workspace): (Name, _) = (name.parse().map_err(Problem::from)?, &session.workspace);
    let version = number(&version)?;
    let found = app.flows.one_version(workspace, &name, version).await.map_err(Problem::from)?;
    let (of, whose, called) = (Arc::clone(&app), workspace.clone(), name.clone());
    let compare = async move { of.flows.difference(&whose, &called, version, None).await };
    let (active, diff) = giving_way(&app, workspace, compare).await?;
    let page = FlowVersionPage {
        frame: pages::frame(&app, &session, Place::Flows, &format!("{name}, version {version}")),
        name: name.to_string(),
        version,
        active,
        deployed_at: found.record.deployed_at,
        source: found.record.source,
        diff,
    };
    Ok(pages::html(&page))
}

pub(super) async fn activate(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let (name, workspace): (Name, _) = (name.parse().map_err(Problem::from)?, &session.workspace);
    let version = number(&version)?;
    let (of, whose, called) = (Arc::clone(&app), workspace.clone(), name.clone());
    let activate = async move { of.flows.activate(&whose, &called, version, &of.plugins, of.secrets.vault()).await };
    giving_way(&app, workspace, activate).await?;
    Ok(Redirect::to(&format!("/console/flows/{name}?deployed=true")).into_response())
}

fn number(version: &str) -> Result<u32, Problem> {
    version.parse().map_err(|_| Problem::not_found(format!("there is no version {version}")))
}

/// Removes a flow whose name was typed.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let name: Name = name.parse().map_err(Problem::from)?;
    confirms(&form, "flow", &name)?;
    match app.flows.remove(&session.workspace, &name).await.map_err(Problem::from)? {
        true => Ok(Redirect::to("/console/flows").into_response()),
        false => Err(missing(&name).into()),
    }
}
