//! Pages of environments: all of them, and one with its variables.

use super::pages::{self, Trouble, confirms, needs};
use super::session::{Session, value};
use crate::app::App;
use crate::catalogue::environments::EnvironmentError;
use crate::catalogue::removal;
use crate::http::admin::extract::File;
use crate::http::error::Problem;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Environment, Environments, Fields, Place, VarItem};
use ringback_records::name::Name;
use ringback_records::token::Access;
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>, session: Session) -> Response {
    pages::html(&all(&app, &session, Fields::new([]), None))
}

fn all(app: &App, session: &Session, fields: Fields, problem: Option<String>) -> Environments {
    let known = app.environments.list(&session.workspace);
    let names = pages::environments(app, session).into_iter().map(|name| {
        let record = known.iter().find(|(known, _)| known.as_str() == name);
        let prefix = record.and_then(|(_, record)| record.url_prefix.clone());
        (name, prefix)
    });
    let frame = pages::frame(app, session, Place::Environments, "Environments");
    Environments { frame, environments: names.collect(), fields, problem }
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let fields = Fields::new(["name", "prefix"].map(|name| (name, value(&form, name).trim().to_owned())));
    let made = async {
        let name: Name = fields.get("name").parse()?;
        if app.environments.exists(&session.workspace, &name) {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "exists",
                format!("there is an environment {name} already"),
            ));
        }
        let prefix = Some(fields.get("prefix").to_owned()).filter(|prefix| !prefix.is_empty());
        app.environments.put(&session.workspace, &name, prefix).await?;
        Ok(name)
    };
    match made.await {
        Ok(name) => Ok(Redirect::to(&format!("/console/environments/{name}")).into_response()),
        Err(problem) => {
            let page = all(&app, &session, fields, Some(problem.detail().to_owned()));
            Ok((problem.status(), pages::html(&page)).into_response())
        }
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let done = match query.as_deref() {
        Some("done=var") => "It counts from the next step on.",
        Some("done=prefix") => "The URLs have changed.",
        _ => "",
    };
    let page = one(&app, &session, &name, Fields::new([]), None)?;
    Ok(pages::html(&Environment { done: done.to_owned(), ..page }))
}

fn one(
    app: &App,
    session: &Session,
    name: &str,
    fields: Fields,
    problem: Option<String>,
) -> Result<Environment, Trouble> {
    let (name, workspace): (Name, _) = (name.parse().map_err(Problem::from)?, &session.workspace);
    app.environments.expect(workspace, &name).map_err(Problem::from)?;
    let own = app.environments.own_vars(workspace, &name);
    let inherited = app.environments.own_vars(workspace, &Name::default_name()).into_iter();
    let inherited: Vec<_> = inherited.filter(|(var, _)| !own.iter().any(|(own, _)| own == var)).collect();
    let item = |var: &str, value: &Value, set_at| VarItem { name: var.to_owned(), value: value.to_string(), set_at };
    let mut vars: Vec<VarItem> =
        own.iter().map(|(var, record)| item(var, &record.value, Some(record.updated_at))).collect();
    if name != Name::default_name() {
        vars.extend(inherited.iter().map(|(var, record)| item(var, &record.value, None)));
    }
    let record = app.environments.list(workspace).into_iter().find(|(known, _)| *known == name);
    Ok(Environment {
        frame: pages::frame(app, session, Place::Environments, name.as_str()),
        name: name.to_string(),
        prefix: record.and_then(|(_, record)| record.url_prefix),
        vars,
        fields,
        problem,
        done: String::new(),
    })
}

/// Sets a variable: what is no JSON is a text.
pub(super) async fn set_var(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let fields = Fields::new(["var", "value"].map(|name| (name, value(&form, name).replace("\r\n", "\n"))));
    let set = async {
        let environment: Name = name.parse()?;
        app.environments.expect(&session.workspace, &environment)?;
        let text = fields.get("value").trim();
        let read = ringback_records::json::from_slice(text.as_bytes());
        let var = read.unwrap_or_else(|_| Value::String(text.to_owned()));
        Ok::<_, Problem>(
            app.environments.set_var(&session.workspace, &environment, fields.get("var").trim(), var).await?,
        )
    };
    match set.await {
        Ok(()) => Ok(Redirect::to(&format!("/console/environments/{name}?done=var")).into_response()),
        Err(problem) => {
            let page = one(&app, &session, &name, fields, Some(problem.detail().to_owned()))?;
            Ok((problem.status(), pages::html(&page)).into_response())
        }
    }
}

pub(super) async fn remove_var(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, var)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let environment: Name = name.parse().map_err(Problem::from)?;
    app.environments.remove_var(&session.workspace, &environment, &var).await.map_err(Problem::from)?;
    Ok(Redirect::to(&format!("/console/environments/{environment}")).into_response())
}

pub(super) async fn set_prefix(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let prefix = Some(value(&form, "prefix").trim().to_owned()).filter(|prefix| !prefix.is_empty());
    let put = async {
        let environment: Name = name.parse()?;
        app.environments.expect(&session.workspace, &environment)?;
        Ok::<_, Problem>(app.environments.put(&session.workspace, &environment, prefix.clone()).await?)
    };
    match put.await {
        Ok(_) => Ok(Redirect::to(&format!("/console/environments/{name}?done=prefix")).into_response()),
        Err(problem) => {
            let page = one(&app, &session, &name, Fields::new([]), Some(problem.detail().to_owned()))?;
            Ok((problem.status(), pages::html(&Environment { prefix, ..page })).into_response())
        }
    }
}

/// Removes an environment whose name was typed.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    session: Session,
    Path(name): Path<String>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let name: Name = name.parse().map_err(Problem::from)?;
    confirms(&form, "environment", &name)?;
    let removed = removal::remove_environment(&session.workspace, &name, &app.environments, &app.secrets).await;
    match removed.map_err(Problem::from)? {
        true => Ok(Redirect::to("/console/environments").into_response()),
        false => Err(Problem::from(EnvironmentError::Missing(name)).into()),
    }
}
