//! The page of secrets: which there are, and what sets, ends and removes them. A value goes in and never comes out.

use super::pages::{self, Trouble, needs};
use super::session::{Session, value};
use crate::app::App;
use crate::http::admin::extract::File;
use crate::http::error::Problem;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Place, SecretItem, Secrets};
use ringback_records::name::Name;
use ringback_records::token::Access;
use std::sync::Arc;
use std::time::Duration;

/// How long earlier values count, where that is wanted.
const KEPT: Duration = Duration::from_hours(24);

pub(super) async fn list(State(app): State<Arc<App>>, session: Session, RawQuery(query): RawQuery) -> Response {
    let set = value(query.unwrap_or_default().as_bytes(), "set");
    let known = app.secrets.list(&session.workspace).into_iter().any(|secret| secret.name == set);
    let set = if known { set } else { String::new() };
    pages::html(&Secrets { set, ..page(&app, &session) })
}

fn page(app: &App, session: &Session) -> Secrets {
    let secrets = app.secrets.list(&session.workspace).into_iter().map(|secret| SecretItem {
        name: secret.name,
        environment: secret.environment,
        version: secret.version,
        set_at: secret.updated_at,
        previous: secret.previous.iter().map(|previous| previous.until).collect(),
    });
    let others = app.environments.list(&session.workspace).into_iter().map(|(name, _)| name.to_string());
    let default = Name::default_name().to_string();
    let others = others.filter(|name| *name != default);
    Secrets {
        frame: pages::frame(app, session, Place::Secrets, "Secrets"),
        secrets: secrets.collect(),
        environments: std::iter::once(default.clone()).chain(others).collect(),
        name: String::new(),
        environment: default.clone(),
        problem: None,
        set: String::new(),
    }
}

pub(super) async fn set(State(app): State<Arc<App>>, session: Session, File(form): File) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let (name, environment) = (value(&form, "name").trim().to_owned(), value(&form, "environment"));
    let keep = if value(&form, "keep").is_empty() { Duration::ZERO } else { KEPT };
    match set_one(&app, &session, &name, &environment, value(&form, "value"), keep).await {
        Ok(()) => Ok(Redirect::to(&format!("/console/secrets?set={name}")).into_response()),
        Err(problem) => {
            let problem_said = Some(problem.detail().to_owned());
            let page = Secrets { name, environment, problem: problem_said, ..page(&app, &session) };
            Ok((problem.status(), pages::html(&page)).into_response())
        }
    }
}

async fn set_one(
    app: &App,
    session: &Session,
    name: &str,
    environment: &str,
    value: String,
    keep: Duration,
) -> Result<(), Problem> {
    let (environment, value): (Name, _) = (environment.parse()?, value.into_bytes());
    let check = app.flows.check_secret(&session.workspace, name, &value);
    check.map_err(|reason| Problem::new(StatusCode::BAD_REQUEST, "invalid_secret", reason))?;
    Ok(app.secrets.set(&session.workspace, &environment, name, value, keep).await?)
}

pub(super) async fn retire(
    State(app): State<Arc<App>>,
    session: Session,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let environment: Name = environment.parse().map_err(Problem::from)?;
    let ended = app.secrets.retire_previous(&session.workspace, &environment, &name).await.map_err(Problem::from)?;
    done(ended.is_some(), &name)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    session: Session,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let environment: Name = environment.parse().map_err(Problem::from)?;
    let existed = app.secrets.remove(&session.workspace, &environment, &name).await.map_err(Problem::from)?;
    done(existed, &name)
}

fn done(existed: bool, name: &str) -> Result<Response, Trouble> {
    match existed {
        true => Ok(Redirect::to("/console/secrets").into_response()),
        false => Err(Problem::not_found(format!("there is no secret {name}")).into()),
    }
}
