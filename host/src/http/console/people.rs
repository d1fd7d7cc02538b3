//! Pages of people: users with their tokens, and the tokens of the API.

use super::pages::{self, Trouble, needs};
use super::session::{Session, value};
use crate::app::App;
use crate::catalogue::users::token_id;
use crate::http::admin::extract::File;
use crate::http::admin::tokens::make;
use crate::http::admin::users::missing;
use crate::http::admin::{PAGE_DEFAULT, expiry};
use crate::http::error::Problem;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Fields, People, Place, TokenItem, User, UserItem, access, segment};
use ringback_records::token::Access;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Most tokens that a page lists.
const TOKENS_SHOWN: usize = 200;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let after = value(query.unwrap_or_default().as_bytes(), "cursor");
    let after = Some(after).filter(|after| !after.is_empty());
    Ok(pages::html(&page(&app, &session, after.as_deref(), Fields::new([])).await?))
}

async fn page(app: &App, session: &Session, after: Option<&str>, fields: Fields) -> Result<People, Trouble> {
    let mut users = app.users.list(&session.workspace, after, PAGE_DEFAULT + 1).await?;
    let has_more = users.len() > PAGE_DEFAULT;
    users.truncate(PAGE_DEFAULT);
    let next_user = users.last().filter(|_| has_more).map(|(id, _)| id.clone());
    let users = users.into_iter().map(|(id, record)| UserItem {
        id,
        roles: record.roles.join(", "),
        updated_at: record.updated_at,
    });
    let tokens = (session.token.access == Access::Admin).then(|| {
        let page = app.tokens.page(&session.workspace, None, TOKENS_SHOWN);
        let mut tokens: Vec<TokenItem> = page
            .items
            .into_iter()
            .map(|(id, record)| TokenItem {
                is_own: record.hash == session.token.hash,
                id,
                name: record.name,
                access: access(record.access),
                created_at: record.created_at,
                expires_at: record.expires_at,
            })
            .collect();
        tokens.sort_by_key(|token| token.created_at);
        tokens
    });
    let frame = pages::frame(app, session, Place::People, "People");
    Ok(People { frame, users: users.collect(), next_user, tokens, fields, problem: None, made: None })
}

/// Makes a user, or a token.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    File(form): File,
) -> Result<Response, Trouble> {
    let is_token = value(&form, "do") == "token";
    needs(&session, if is_token { Access::Admin } else { Access::Author })?;
    let names = ["id", "roles", "name", "access", "expires_in"];
    let fields = Fields::new(names.map(|name| (name, value(&form, name).trim().to_owned())));
    let made = match is_token {
        true => {
            let access = match fields.get("access") {
                "admin" => Access::Admin,
                "author" => Access::Author,
                _ => Access::Viewer,
            };
            let expires_in = Some(fields.get("expires_in").to_owned()).filter(|text| !text.is_empty());
            let made = make(&app, &session.workspace, fields.get("name").to_owned(), access, expires_in).await;
            made.map(|made| Some(made.1))
        }
        false => {
            let id = fields.get("id");
            match app.users.get(&session.workspace, id).await? {
                Some(_) => Err(Problem::bad_request("exists", format!("there is a user {id} already"))),
                None => {
                    let put = app.users.put(&session.workspace, id, Map::new(), roles(fields.get("roles"))).await;
                    put.map(|_| None).map_err(Problem::from)
                }
            }
        }
    };
    match made {
        Ok(Some(token)) => {
            let page = page(&app, &session, None, Fields::new([])).await?;
            Ok(pages::html(&People { made: Some(token), ..page }))
        }
        Ok(None) => Ok(Redirect::to(&format!("/console/people/{}", segment(fields.get("id")))).into_response()),
        Err(problem) => {
            let page = page(&app, &session, None, fields).await?;
            let page = People { problem: Some(problem.detail().to_owned()), ..page };
            Ok((problem.status(), pages::html(&page)).into_response())
        }
    }
}

fn roles(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect()
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let page = one(&app, &session, &id).await?;
    Ok(pages::html(&User { is_saved: query.as_deref() == Some("saved=true"), ..page }))
}

async fn one(app: &App, session: &Session, id: &str) -> Result<User, Trouble> {
    let workspace = &session.workspace;
    let record = app.users.get(workspace, id).await?.ok_or_else(|| missing(id))?;
    let tokens = app.users.tokens(workspace, id, None, TOKENS_SHOWN).await?;
    let tokens = tokens.items.into_iter().map(|(hash, record)| TokenItem {
        id: token_id(&hash),
        name: String::new(),
        access: "",
        created_at: record.created_at,
        expires_at: record.expires_at,
        is_own: false,
    });
    let properties = serde_json::to_string_pretty(&record.properties).unwrap_or_default();
    Ok(User {
        frame: pages::frame(app, session, Place::People, id),
        id: id.to_owned(),
        tokens: tokens.collect(),
        fields: Fields::new([("roles", record.roles.join(", ")), ("properties", properties)]),
        problem: None,
        made: None,
        is_saved: false,
    })
}

/// Saves a user, or makes a token for it.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let page = one(&app, &session, &id).await?;
    if value(&form, "do") == "token" {
        let expires_in = Some(value(&form, "expires_in").trim().to_owned()).filter(|text| !text.is_empty());
        let made = async {
            let expires_at = expiry(expires_in.clone())?;
            Ok::<_, Problem>(app.users.create_token(&session.workspace, &id, expires_at).await?.0)
        };
        return match made.await {
            Ok(token) => Ok(pages::html(&User { made: Some(token), ..one(&app, &session, &id).await? })),
            Err(problem) => {
                let page = User { problem: Some(problem.detail().to_owned()), ..page };
                Ok((problem.status(), pages::html(&page)).into_response())
            }
        };
    }
    let fields = ["roles", "properties"].map(|name| (name, value(&form, name).replace("\r\n", "\n")));
    let fields = Fields::new(fields);
    let saved = async {
        let text = match fields.get("properties").trim() {
            "" => "{}",
            text => text,
        };
        let properties: Value = ringback_records::json::from_slice(text.as_bytes())
            .map_err(|error| Problem::bad_request("invalid_body", format!("the properties are no JSON: {error}")))?;
        let Value::Object(properties) = properties else {
            return Err(Problem::bad_request("invalid_body", "the properties are no JSON object"));
        };
        Ok(app.users.put(&session.workspace, &id, properties, roles(fields.get("roles"))).await?)
    };
    match saved.await {
        Ok(_) => Ok(Redirect::to(&format!("/console/people/{}?saved=true", segment(&id))).into_response()),
        Err(problem) => {
            let page = User { fields, problem: Some(problem.detail().to_owned()), ..page };
            Ok((problem.status(), pages::html(&page)).into_response())
        }
    }
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    match app.users.remove(&session.workspace, &id).await? {
        true => Ok(Redirect::to("/console/people").into_response()),
        false => Err(missing(&id).into()),
    }
}

pub(super) async fn remove_user_token(
    State(app): State<Arc<App>>,
    session: Session,
    Path((id, token)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    app.users.remove_token(&session.workspace, &id, &token).await?;
    Ok(Redirect::to(&format!("/console/people/{}", segment(&id))).into_response())
}

pub(super) async fn remove_token(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Admin)?;
    if app.tokens.has(&session.workspace, &id) {
        app.tokens.remove(&id).await.map_err(Problem::from)?;
    }
    Ok(Redirect::to("/console/people").into_response())
}
