//! The page of a trigger: its URLs, and what it can be tried with.

use super::flows::{drafted, urls};
use super::pages::{self, Trouble, needs};
use super::session::{Session, value};
use crate::app::App;
use crate::http::admin::extract::File;
use crate::http::admin::flows::{TriggerView, missing, view};
use crate::http::admin::trials::{self, LAST_DEFAULT, RequestBody, source_with, tested, trial};
use crate::http::error::Problem;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Judged, JudgedRow, Place, SampleForm, SamplePart, Sent, Test, Tried, TriggerPage};
use ringback_records::name::Name;
use ringback_records::token::Access;
use ringback_rules::face::Mode;
use ringback_rules::flow::{Trigger, text_of_key};
use ringback_rules::sample::{Part, parse};
use ringback_store::StoreError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Most characters of an answer that are shown, and of an example.
const ANSWER_CHARS_MAX: usize = 2000;
const EXAMPLE_CHARS_MAX: usize = 60;
/// Most parts of a sample that a form has.
const PARTS_MAX: usize = 200;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut page = page(&app, &session, &name, &id).await?;
    let from = value(query.unwrap_or_default().as_bytes(), "from");
    if let Ok(from) = from.parse()
        && let Some(record) = app.store.callback(&session.workspace, from).await?
    {
        let of_server = ["host", "content-length", "accept-encoding", "connection", "content-encoding"];
        let headers = record.headers.iter().filter(|(name, _)| !of_server.contains(&name.as_str()));
        let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}")).collect();
        let address = record.remote_address.map(|address| address.to_string()).unwrap_or_default();
        let body = record.body.clone().unwrap_or_default();
        page.sample.text.clone_from(if body.is_empty() { &record.query } else { &body });
        page.test = Test { query: record.query, headers: headers.join("\n"), body, address, ..page.test };
        if page.methods.contains(&record.method) {
            page.test.method = record.method;
        }
    }
    Ok(pages::html(&page))
}

async fn page(app: &App, session: &Session, name: &str, id: &str) -> Result<TriggerPage, Trouble> {
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
    let test = Test {
        url: first.map(|url| url.url.clone()).unwrap_or_default(),
        method,
        headers: "content-type: application/json".to_owned(),
        body: "{ \"total\": 20 }".to_owned(),
        sign: true,
        ..Test::default()
    };
    let source = app.flows.one_version(workspace, &name, deployed.record.version).await.map_err(Problem::from)?;
    let when = text_of_key(&source.record.source, id, "when").unwrap_or_default();
    Ok(TriggerPage {
        frame: pages::frame(app, session, Place::Flows, &format!("{name}, {called}")),
        flow: name.to_string(),
        enabled: deployed.record.enabled,
        id: id.to_owned(),
        name: called,
        methods,
        urls,
        facts: facts(trigger),
        is_signed: trigger.verify.is_signed(),
        test,
        said: Sent::Nothing,
        sample: SampleForm::default(),
        judged: Judged { when, ..Judged::default() },
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
    if !trigger.allow_from.is_empty() {
        let networks: Vec<String> = trigger.allow_from.iter().map(ToString::to_string).collect();
        facts.push(("Callers come from", networks.join(", ")));
    }
    facts.push(("Counts", if trigger.when.is_some() { "when its condition is true" } else { "always" }.to_owned()));
    let waits = matches!(trigger.mode, Mode::Sync);
    facts.push(("Answers", if waits { "when the flow does" } else { "at once" }.to_owned()));
    facts
}

/// What was asked by one of the forms.
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    session: Session,
    Path((name, id)): Path<(String, String)>,
    File(form): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let page = page(&app, &session, &name, &id).await?;
    match value(&form, "do").as_str() {
        "judge" => judge(&app, &session, page, &form).await,
        "when" => put_condition(&app, &session, page, &form).await,
        "sample" => sample(&app, &session, page, &form).await,
        "fields" => put_fields(&app, &session, page, &form).await,
        asked => send(&app, &session, page, &form, asked == "try").await,
    }
}

/// Lines of a form end as those of Windows do.
fn text(form: &[u8], name: &str) -> String {
    value(form, name).replace("\r\n", "\n")
}

/// A page, with the status of what is wrong.
fn said(problem: &Problem, page: &TriggerPage) -> Response {
    (problem.status(), pages::html(page)).into_response()
}

/// What is wrong, in a line; a mistake of a condition has no place that its reader knows.
fn in_words(problem: &Problem) -> String {
    problem.mistakes().first().map_or_else(|| problem.detail().to_owned(), |mistake| mistake.detail.clone())
}

/// Sends a callback, and goes on to what became of it; or says what would.
async fn send(
    app: &Arc<App>,
    session: &Session,
    page: TriggerPage,
    form: &[u8],
    only_try: bool,
) -> Result<Response, Trouble> {
    let test = Test {
        url: value(form, "url"),
        method: value(form, "method"),
        query: value(form, "query").trim().trim_start_matches('?').to_owned(),
        headers: text(form, "headers"),
        body: text(form, "body"),
        address: value(form, "address").trim().to_owned(),
        sign: page.is_signed && !value(form, "sign").is_empty(),
    };
    let made = match headers(&test.headers) {
        Err(why) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", why)),
        Ok(headers) => {
            let body = RequestBody {
                url: Some(test.url.clone()),
                method: Some(test.method.clone()),
                query: test.query.clone(),
                headers,
                body: Some(test.body.clone()),
                address: Some(test.address.clone()),
                sign: test.sign,
                ..RequestBody::default()
            };
            let name: Name = page.flow.parse().map_err(Problem::from)?;
            let tested = tested(app, &session.workspace, &name, &page.id, None).await?;
            trial(app, &session.workspace, tested, body)
        }
    };
    let trial = match made {
        Ok((trial, _)) => trial,
        Err(problem) => {
            let why = Sent::Refused(problem.detail().to_owned());
            return Ok(said(&problem, &TriggerPage { test, said: why, ..page }));
        }
    };
    if only_try {
        let tried = app.pipeline.try_out(trial).await?;
        let body = String::from_utf8_lossy(&tried.reply.body).chars().take(ANSWER_CHARS_MAX).collect();
        let tried = Tried { outcome: tried.outcome, trace: tried.trace, status: tried.reply.status, body };
        return Ok(pages::html(&TriggerPage { test, said: Sent::Tried(tried), ..page }));
    }
    let (reply, callback) = trials::send(app, trial).await?;
    if let Some(id) = callback {
        return Ok(Redirect::to(&format!("/console/callbacks/{id}")).into_response());
    }
    let body = String::from_utf8_lossy(&reply.body).chars().take(ANSWER_CHARS_MAX).collect();
    let answered = Sent::Answered { status: reply.status, body };
    Ok(pages::html(&TriggerPage { test, said: answered, ..page }))
}

/// The headers of a form: one a line. One that is there twice has its values with commas between them, as HTTP says.
pub(super) fn headers(lines: &str) -> Result<BTreeMap<String, String>, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = || format!("`{line}` is not a header: a name, a colon, and a value");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        headers
            .entry(name)
            .and_modify(|known| *known = format!("{known}, {value}"))
            .or_insert_with(|| value.to_owned());
    }
    Ok(headers)
}

async fn judge(app: &Arc<App>, session: &Session, page: TriggerPage, form: &[u8]) -> Result<Response, Trouble> {
    let (when, workspace) = (text(form, "when"), &session.workspace);
    let name: Name = page.flow.parse().map_err(Problem::from)?;
    let judged = async {
        let source = match when.trim() {
            "" => None,
            _ => Some(source_with(app, workspace, &name, &page.id, "when", when.trim_end()).await?),
        };
        let tested = tested(app, workspace, &name, &page.id, source).await?;
        trials::judge(app, workspace, &tested, LAST_DEFAULT).await
    };
    match judged.await {
        Ok(judged) => {
            let rows = judged.items.into_iter().map(|item| JudgedRow {
                id: item.callback.to_string(),
                received_at: item.received_at,
                then: item.then,
                now: item.now,
                differs: item.differs,
                reason: item.reason,
            });
            let (left_out, is_unfinished) = (judged.left_out, judged.is_unfinished);
            let judged = Judged { when, problem: None, rows: Some(rows.collect()), left_out, is_unfinished };
            Ok(pages::html(&TriggerPage { judged, ..page }))
        }
        Err(problem) => {
            let judged = Judged { when, problem: Some(in_words(&problem)), ..Judged::default() };
            Ok(said(&problem, &TriggerPage { judged, ..page }))
        }
    }
}

async fn put_condition(app: &Arc<App>, session: &Session, page: TriggerPage, form: &[u8]) -> Result<Response, Trouble> {
    let when = text(form, "when");
    let name: Name = page.flow.parse().map_err(Problem::from)?;
    match source_with(app, &session.workspace, &name, &page.id, "when", when.trim_end()).await {
        Ok(source) => drafted(app, session, &name, source, format!("`when:` of {} is this now.", page.name)).await,
        Err(problem) => {
            let judged = Judged { when, problem: Some(in_words(&problem)), ..Judged::default() };
            Ok(said(&problem, &TriggerPage { judged, ..page }))
        }
    }
}

async fn sample(app: &Arc<App>, session: &Session, page: TriggerPage, form: &[u8]) -> Result<Response, Trouble> {
    let text = text(form, "sample");
    let given = text.clone();
    // It may be as long as a body.
    let parsed = app.pipeline.sandbox.compute(&session.workspace, async move { parse(&given) }).await;
    match parsed.map_err(StoreError::Stopped)? {
        Ok(found) => {
            let part = if found.part == Part::Query { "query" } else { "body" };
            let is_value = |value: &Value| !value.is_object() && !value.is_array();
            let parts = found.paths.into_iter().take(PARTS_MAX).map(|found| SamplePart {
                example: example(&found.example),
                keep: is_value(&found.example),
                path: found.path,
                alias: found.alias,
            });
            let sample = SampleForm { text, part, parts: parts.collect(), problem: None };
            Ok(pages::html(&TriggerPage { sample, ..page }))
        }
        Err(why) => {
            let sample = SampleForm { text, problem: Some(why), ..SampleForm::default() };
            Ok((StatusCode::UNPROCESSABLE_ENTITY, pages::html(&TriggerPage { sample, ..page })).into_response())
        }
    }
}

fn example(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(EXAMPLE_CHARS_MAX).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

/// Puts what was kept of a sample behind the fields that the trigger has.
async fn put_fields(app: &Arc<App>, session: &Session, page: TriggerPage, form: &[u8]) -> Result<Response, Trouble> {
    let part = if value(form, "part") == "query" { "query" } else { "body" };
    let numbers = 0..PARTS_MAX;
    let parts: Vec<SamplePart> = numbers
        .map(|number| (number, value(form, &format!("path-{number}"))))
        .take_while(|(_, path)| !path.is_empty())
        .map(|(number, path)| SamplePart {
            path,
            alias: value(form, &format!("alias-{number}")).trim().to_owned(),
            example: String::new(),
            keep: !value(form, &format!("keep-{number}")).is_empty(),
        })
        .collect();
    let name: Name = page.flow.parse().map_err(Problem::from)?;
    let put = async {
        let deployed = app.flows.find(&session.workspace, &name).ok_or_else(|| missing(&name))?;
        let source = app.flows.one_version(&session.workspace, &name, deployed.record.version).await?.record.source;
        let known = text_of_key(&source, &page.id, "fields").filter(|text| !text.starts_with('{')).unwrap_or_default();
        let mut fields = known.clone();
        for SamplePart { path, alias, .. } in parts.iter().filter(|part| part.keep) {
            if known.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name.trim() == alias)) {
                continue;
            }
            // A JSON text is a YAML text.
            let line = format!("{alias}: {{ {part}: {} }}", Value::from(path.as_str()));
            let _ = write!(fields, "{}{line}", if fields.is_empty() { "" } else { "\n" });
        }
        if fields.is_empty() {
            let detail = "nothing was kept of the sample: choose what the flow needs";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "nothing_kept", detail));
        }
        source_with(app, &session.workspace, &name, &page.id, "fields", &fields).await
    };
    match put.await {
        Ok(source) => drafted(app, session, &name, source, format!("`fields:` of {} has them now.", page.name)).await,
        Err(problem) => {
            let problem_said = Some(in_words(&problem));
            let sample = SampleForm { text: text(form, "sample"), part, parts, problem: problem_said };
            Ok(said(&problem, &TriggerPage { sample, ..page }))
        }
    }
}
