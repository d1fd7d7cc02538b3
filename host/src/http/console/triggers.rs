//! The page of a trigger: its URLs, and a callback to try it with, which goes through the stages as any other.

use super::flows::urls;
use super::pages::{self, Trouble, needs};
use super::session::{Session, value};
use crate::app::App;
use crate::http::admin::extract::File;
use crate::http::admin::flows::{TriggerView, missing, view};
use crate::http::error::Problem;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Place, Sent, Test, TriggerPage};
use ringback_records::callback::Request;
use ringback_records::name::{CallbackId, Name};
use ringback_records::time::Timestamp;
use ringback_records::token::Access;
use ringback_rules::face::Mode;
use ringback_rules::flow::Trigger;
use std::sync::Arc;

/// Most characters of an answer that are shown.
const ANSWER_CHARS_MAX: usize = 2000;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    Ok(pages::html(&page(&app, &session, &name, &id, None, Sent::Nothing)?))
}

fn page(
    app: &App,
    session: &Session,
    name: &str,
    id: &str,
    test: Option<Test>,
    said: Sent,
) -> Result<TriggerPage, Trouble> {
    let (name, workspace): (Name, _) = (name.parse().map_err(Problem::from)?, &session.workspace);
    let deployed = app.flows.find(workspace, &name).ok_or_else(|| missing(&name))?;
    let mut flow = view(app, workspace, &deployed, Vec::new());
    flow.triggers.retain(|trigger| trigger.id == id);
    let is_it = |trigger: &&Trigger| trigger.id.as_str() == id;
    let (Some(TriggerView { name: called, methods, .. }), Some(trigger)) =
        (flow.triggers.first(), deployed.flow.triggers.iter().find(is_it))
    else {
        return Err(Problem::not_found(format!("the flow {name} has no trigger {id}")).into());
    };
    let (called, methods, urls) = (called.clone(), methods.clone(), urls(&flow));
    let method = methods.iter().find(|method| *method == "POST").or(methods.first()).cloned().unwrap_or_default();
    let first = urls.iter().find(|url| url.environment == "default").or(urls.first());
    let test = test.unwrap_or_else(|| Test {
        url: first.map(|url| url.url.clone()).unwrap_or_default(),
        method,
        query: String::new(),
        headers: "content-type: application/json".to_owned(),
        body: "{ \"total\": 20 }".to_owned(),
    });
    Ok(TriggerPage {
        frame: pages::frame(app, session, Place::Flows, &format!("{name}, {called}")),
        flow: name.to_string(),
        enabled: deployed.record.enabled,
        id: id.to_owned(),
        name: called,
        methods,
        urls,
        facts: facts(trigger),
        test,
        said,
    })
}

fn facts(trigger: &Trigger) -> Vec<(&'static str, String)> {
    let faces: Vec<&str> = trigger.faces.iter().map(|face| face.name()).collect();
    let proof = match (trigger.verify.is_signed(), trigger.enforce) {
        (false, _) => "by its URL alone".to_owned(),
        (true, true) => format!("by a signature, under {}", trigger.verify.secrets().join(", ")),
        (true, false) => "by a signature, which is not enforced".to_owned(),
    };
    let mut facts = vec![("Faces", faces.join(", ")), ("Callers prove themselves", proof)];
    if trigger.auth.is_needed() {
        facts.push(("Users", "must be known".to_owned()));
    }
    facts.push(("Counts", if trigger.when.is_some() { "when its condition is true" } else { "always" }.to_owned()));
    let waits = matches!(trigger.mode, Mode::Sync);
    facts.push(("Answers", if waits { "when the flow does" } else { "at once" }.to_owned()));
    facts
}

/// Sends a callback, and goes on to what became of it.
pub(super) async fn send(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, id)): Path<(String, String)>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let field = |name: &str| value(&form, name);
    let test = Test {
        url: field("url"),
        method: field("method"),
        query: field("query").trim().trim_start_matches('?').to_owned(),
        headers: field("headers").replace("\r\n", "\n"),
        body: field("body").replace("\r\n", "\n"),
    };
    let known = page(&app, &session, &name, &id, Some(test.clone()), Sent::Nothing)?;
    let request = match request(&app, &known, &test) {
        Ok(request) => request,
        Err(why) => {
            let page = TriggerPage { said: Sent::Refused(why), ..known };
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, pages::html(&page)).into_response());
        }
    };
    // As on the public side: what has begun goes on, whoever hangs up.
    let handled = tokio::spawn(Box::pin(async move { app.pipeline.handle(request).await })).await;
    let reply = handled.map_err(|error| Problem::internal(&error))?;
    let of_callback = reply.headers.iter().find(|(name, _)| name == "ringback-callback");
    if let Some(id) = of_callback.and_then(|(_, id)| id.parse::<CallbackId>().ok()) {
        return Ok(Redirect::to(&format!("/console/callbacks/{id}")).into_response());
    }
    let body = String::from_utf8_lossy(&reply.body).chars().take(ANSWER_CHARS_MAX).collect();
    let page = TriggerPage { said: Sent::Answered { status: reply.status, body }, ..known };
    Ok(pages::html(&page))
}

/// The request that a form describes; what cannot be one is said in words.
fn request(app: &App, known: &TriggerPage, test: &Test) -> Result<Request, String> {
    let url = known.urls.iter().find(|url| url.url == test.url).ok_or("this is not a URL of the trigger")?;
    let path = url.url.strip_prefix(&app.public_url).unwrap_or_default();
    let (path, own) = path.split_once('?').unwrap_or((path, ""));
    let query: Vec<&str> = [own, &test.query].into_iter().filter(|query| !query.is_empty()).collect();
    let uri: Uri = format!("{path}?{}", query.join("&")).parse().map_err(|_| "the query is not encoded as URLs are")?;
    let method = Method::from_bytes(test.method.as_bytes()).map_err(|_| "there is no such method")?;
    let mut headers = HeaderMap::new();
    for line in test.headers.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = || format!("`{line}` is not a header: a name, a colon, and a value");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::try_from(value.trim()).map_err(|_| wrong())?);
    }
    if test.body.len() > app.config.body_bytes_max {
        return Err(format!("the body has more than {} bytes", app.config.body_bytes_max));
    }
    Ok(Request {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: Bytes::from(test.body.clone()),
        expanded: None,
        unread: None,
        received_at: Timestamp::now(),
        remote_address: None,
        address_doubt: None,
    })
}
