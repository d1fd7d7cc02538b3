//! Trying a trigger: with a request that is made up, signed as its sender would, and with the callbacks that it has had.

use super::auth::Author;
use super::callbacks;
use super::extract::{Json, Path};
use super::flows::{TriggerView, giving_way, missing, view};
use super::{answer, filters, parse_name};
use crate::app::App;
use crate::catalogue::flows::How;
use crate::http::error::Problem;
use crate::pipeline::{ReplayError, Trial, Tried};
use crate::weight::LoadedFlow;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Request;
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::reply::{Reply, ReplyRecord};
use ringback_records::time::Timestamp;
use ringback_records::trace::{Stage, TraceEntry, Verdict};
use ringback_rules::face::{self, Face};
use ringback_rules::flow::with_key;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Callbacks that are judged when nobody says how many, and at most.
pub(in crate::http) const LAST_DEFAULT: usize = 20;
const LAST_MAX: usize = 100;
/// Whoever asks about more than can be judged in this time gets what has been.
const JUDGED_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(try_trigger)).routes(routes!(send_to_trigger)).routes(routes!(judge_callbacks))
}

/// A request that is made up.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RequestBody {
    /// One of the trigger's URLs, in place of `environment` and `face`.
    pub(in crate::http) url: Option<String>,
    /// `default` when absent.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    pub(in crate::http) environment: Option<String>,
    /// The first of the trigger when absent.
    pub(in crate::http) face: Option<String>,
    /// POST when absent, where the trigger takes it.
    pub(in crate::http) method: Option<String>,
    /// Encoded as in a URL, without `?`.
    #[serde(default)]
    pub(in crate::http) query: String,
    #[serde(default)]
    pub(in crate::http) headers: BTreeMap<String, String>,
    /// The body, as text.
    pub(in crate::http) body: Option<String>,
    /// The body, in place of `body`.
    pub(in crate::http) body_base64: Option<String>,
    /// The address that it is to come from; unknown when absent.
    pub(in crate::http) address: Option<String>,
    /// Whether the server gives it the proof that the trigger wants, by the secret that is stored.
    #[serde(default)]
    pub(in crate::http) sign: bool,
    /// A flow file to try, in place of the one that is deployed; not where the request is sent.
    pub(in crate::http) source: Option<String>,
}

/// What would become of a request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TriedView {
    #[schema(value_type = String)]
    outcome: Outcome,
    #[schema(value_type = Object)]
    reply: ReplyRecord,
    /// As a callback has it.
    #[schema(value_type = Vec<Object>)]
    trace: Vec<TraceEntry>,
}

/// What a request was answered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SentView {
    /// The callback that it became; absent where none is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    callback: Option<CallbackId>,
    #[schema(value_type = Object)]
    reply: ReplyRecord,
}

/// What to judge callbacks by.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct JudgeBody {
    /// Another condition for the trigger, as `when:` has it. The rest is as it is deployed.
    when: Option<Value>,
    /// A flow file, in place of the one that is deployed.
    source: Option<String>,
    /// How many callbacks, the newest: 1 to 100; 20 when absent.
    #[schema(minimum = 1, maximum = 100)]
    last: Option<usize>,
}

/// What would become of callbacks that a trigger has had.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct JudgedView {
    /// The newest first.
    pub(in crate::http) items: Vec<JudgedItem>,
    /// Of how many another thing would become.
    pub(in crate::http) changed: usize,
    /// How many were left out: they were not verified when they came, or came into an environment that is gone.
    pub(in crate::http) left_out: usize,
    /// Whether there was time for some only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::http) is_unfinished: bool,
}

/// A callback, then and now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct JudgedItem {
    #[schema(value_type = String)]
    pub(in crate::http) callback: CallbackId,
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::http) received_at: Timestamp,
    #[schema(value_type = String)]
    pub(in crate::http) then: Outcome,
    #[schema(value_type = String)]
    pub(in crate::http) now: Outcome,
    pub(in crate::http) differs: bool,
    /// The stage that would decide, and why; absent where nothing stands in its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(in crate::http) stage: Option<Stage>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::http) reason: String,
}

/// A flow, deployed or not, with the one of its triggers that is tried.
pub(in crate::http) struct Tested {
    flow: Arc<LoadedFlow>,
    trigger: usize,
    view: TriggerView,
}

/// Finds what is tried. A file is checked as if it were deployed.
pub(in crate::http) async fn tested(
    app: &Arc<App>,
    workspace: &Name,
    name: &Name,
    trigger: &str,
    source: Option<String>,
) -> Result<Tested, Problem> {
    let deployed = match source {
        None => app.flows.find(workspace, name).ok_or_else(|| missing(name))?,
        Some(source) => {
            let (of, to, called) = (Arc::clone(app), workspace.clone(), name.clone());
            let how = How { dry_run: true, ..How::default() };
            let check =
                async move { of.flows.deploy(&to, &called, &source, how, &of.plugins, of.secrets.vault()).await };
            giving_way(app, workspace, check).await?.deployed
        }
    };
    let no_trigger = || Problem::not_found(format!("the flow {name} has no trigger {}", filters::shown(trigger)));
    let index = deployed.flow.triggers.iter().position(|known| known.id.as_str() == trigger).ok_or_else(no_trigger)?;
    let views = view(app, workspace, &deployed, Vec::new()).triggers;
    let view = views.into_iter().find(|view| view.id == trigger).ok_or_else(no_trigger)?;
    Ok(Tested { flow: Arc::clone(&deployed.flow), trigger: index, view })
}

/// Makes the request that is described.
pub(in crate::http) fn trial(
    app: &App,
    workspace: &Name,
    tested: Tested,
    body: RequestBody,
) -> Result<(Trial, bool), Problem> {
    let wrong = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail);
    let Tested { flow, trigger, view } = tested;
    let of_callbacks = view.callbacks.iter().flat_map(|callback| &callback.urls);
    let urls = view.urls.iter().flat_map(|(name, urls)| urls.values().map(move |url| (name, url)));
    let (environment, face, url) = match &body.url {
        Some(url) => {
            let mut all = urls.chain(of_callbacks);
            let found = all.find(|(_, known)| *known == url);
            let (environment, _) = found.ok_or_else(|| wrong("`url` is not a URL of the trigger".to_owned()))?;
            (parse_name(environment)?, face::of_path(path_of(app, url)), Some(url.clone()))
        }
        None => {
            let environment = body.environment.as_deref().map_or_else(|| Ok(Name::default_name()), parse_name)?;
            app.environments.expect(workspace, &environment)?;
            let face = body.face.as_deref().unwrap_or(view.face);
            let known: &dyn Face = flow
                .triggers
                .get(trigger)
                .and_then(|trigger| trigger.faces.iter().find(|known| known.name() == face).copied())
                .ok_or_else(|| wrong(format!("the trigger has no face {}", filters::shown(face))))?;
            (environment.clone(), known, view.urls.get(environment.as_str()).and_then(|urls| urls.get(face)).cloned())
        }
    };
    // One that is not deployed has no URL yet.
    let (has_url, url) = (url.is_some(), url.unwrap_or_else(|| format!("{}/h/not-deployed", app.public_url)));
    let (path, own) = path_of(app, &url).split_once('?').unwrap_or((path_of(app, &url), ""));
    let given = body.query.trim().trim_start_matches('?');
    let query: Vec<&str> = [own, given].into_iter().filter(|query| !query.is_empty()).collect();
    let uri: Uri = format!("{path}?{}", query.join("&"))
        .parse()
        .map_err(|_| wrong("`query` is not encoded as URLs are".to_owned()))?;
    let post = view.methods.iter().find(|method| *method == "POST").or(view.methods.first());
    let method = body.method.as_ref().or(post).map_or("POST", String::as_str);
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| wrong("there is no such `method`".to_owned()))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &body.headers {
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (name, value) = header.ok_or_else(|| wrong(format!("`{}` is no header", filters::shown(name))))?;
        headers.append(name, value);
    }
    let address = body.address.as_deref().map(str::trim).filter(|address| !address.is_empty());
    let no_address =
        |address| wrong(format!("`address`: `{}` is no address, such as 192.0.2.1", filters::shown(address)));
    let remote_address = address.map(|text| text.parse().map_err(|_| no_address(text))).transpose()?;
    let content = match (body.body, body.body_base64) {
        (Some(_), Some(_)) => return Err(wrong("give `body` or `body_base64`, not both".to_owned())),
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => {
            Bytes::from(STANDARD.decode(text).map_err(|_| wrong("`body_base64` is no base64".into()))?)
        }
        (None, None) => Bytes::new(),
    };
    if content.len() > app.config.body_bytes_max {
        return Err(wrong(format!("the body has more than {} bytes", app.config.body_bytes_max)));
    }
    let request = Request {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: content,
        expanded: None,
        unread: None,
        received_at: Timestamp::now(),
        remote_address,
        address_doubt: None,
    };
    let trial = Trial { workspace: workspace.clone(), environment, flow, trigger, face, request };
    match body.sign {
        false => Ok((trial, has_url)),
        true => match app.pipeline.signed(trial) {
            Ok(trial) => Ok((trial, has_url)),
            Err(why) => {
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_signed", format!("it was not signed: {why}")))
            }
        },
    }
}

fn path_of<'u>(app: &App, url: &'u str) -> &'u str {
    url.strip_prefix(&app.public_url).unwrap_or_default()
}

/// Sends a request as any caller would: it becomes a callback, and counts.
pub(in crate::http) async fn send(app: &Arc<App>, trial: Trial) -> Result<(Reply, Option<CallbackId>), Problem> {
    let of = Arc::clone(app);
    // As on the public side: what has begun goes on, whoever hangs up.
    let handled = tokio::spawn(Box::pin(async move { of.pipeline.handle(trial.request).await })).await;
    let reply = handled.map_err(|error| Problem::internal(&error))?;
    let of_callback = reply.headers.iter().find(|(name, _)| name == "ringback-callback");
    let callback = of_callback.and_then(|(_, id)| id.parse().ok());
    Ok((reply, callback))
}

/// Says what a trigger would make of the last callbacks that it has had.
pub(in crate::http) async fn judge(
    app: &App,
    workspace: &Name,
    tested: &Tested,
    last: usize,
) -> Result<JudgedView, Problem> {
    let has_become = |outcome: &Outcome| *outcome != Outcome::Duplicate;
    let outcomes: Vec<&str> =
        Outcome::ALL.iter().filter(|outcome| has_become(outcome)).map(|one| one.as_str()).collect();
    let filter = callbacks::Filter {
        flow: Some(tested.flow.name.to_string()),
        trigger: Some(tested.view.id.clone()),
        outcome: Some(outcomes.join(",")),
        limit: Some(last.to_string()),
        ..callbacks::Filter::default()
    };
    let list = callbacks::list(app, workspace, filter).await?.items;
    let until = Instant::now() + JUDGED_WITHIN;
    let (mut items, mut left_out, mut is_unfinished) = (Vec::new(), 0, false);
    for item in list {
        if Instant::now() >= until {
            is_unfinished = true;
            break;
        }
        let Some(record) = app.store.callback(workspace, item.callback.id).await? else { continue };
        let CallbackRecord { id: callback, received_at, outcome: then, .. } = record;
        let judged = app.pipeline.judge(workspace, record, Arc::clone(&tested.flow), tested.trigger).await;
        let judged = match judged {
            Ok(judged) => judged,
            Err(ReplayError::Store(error)) => return Err(error.into()),
            Err(_) => {
                left_out += 1;
                continue;
            }
        };
        let decision = judged.trace.iter().find(|entry| entry.verdict != Verdict::Passed);
        let asked = decision.or_else(|| judged.trace.iter().find(|entry| entry.stage == Stage::Condition));
        let (stage, reason) = asked.map(|entry| (entry.stage, entry.reason.clone())).unzip();
        let now = judged.outcome;
        let reason = reason.unwrap_or_default();
        items.push(JudgedItem { callback, received_at, then, now, differs: then != now, stage, reason });
    }
    let changed = items.iter().filter(|item| item.differs).count();
    Ok(JudgedView { items, changed, left_out, is_unfinished })
}

/// The deployed file of a flow, in which a trigger has another condition.
pub(in crate::http) async fn source_with(
    app: &App,
    workspace: &Name,
    name: &Name,
    trigger: &str,
    key: &str,
    value: &str,
) -> Result<String, Problem> {
    let deployed = app.flows.find(workspace, name).ok_or_else(|| missing(name))?;
    let source = app.flows.one_version(workspace, name, deployed.record.version).await?.record.source;
    let changed = with_key(&source, trigger, key, value);
    changed.map_err(|detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_changed", detail))
}

/// Says what would become of a request that is made up. Nothing is kept, and nothing changes.
///
/// The trigger may be one of a file that is not deployed. Plugins are called, and told that nothing counts; what is counted
/// elsewhere, and whether the delivery came before, is not looked at.
#[utoipa::path(post, path = "/v1/flows/{name}/triggers/{trigger}/try", tag = "flows", params(("name" = String, Path), ("trigger" = String, Path)), request_body = RequestBody, responses((status = 200, body = TriedView), (status = "4XX", body = Problem)))]
async fn try_trigger(
    State(app): State<Arc<App>>,
    caller: Author,
    Path((name, trigger)): Path<(String, String)>,
    Json(mut body): Json<RequestBody>,
) -> Result<Response, Problem> {
    let (workspace, source) = (&caller.workspace, body.source.take());
    let tested = tested(&app, workspace, &parse_name(&name)?, &trigger, source).await?;
    let (trial, _) = trial(&app, workspace, tested, body)?;
    let Tried { outcome, reply, trace } = app.pipeline.try_out(trial).await?;
    Ok(answer(StatusCode::OK, TriedView { outcome, reply, trace }))
}

/// Sends a trigger a request that is made up, signed if wanted: it becomes a callback, and counts.
#[utoipa::path(post, path = "/v1/flows/{name}/triggers/{trigger}/send", tag = "flows", params(("name" = String, Path), ("trigger" = String, Path)), request_body = RequestBody, responses((status = 200, body = SentView), (status = "4XX", body = Problem)))]
async fn send_to_trigger(
    State(app): State<Arc<App>>,
    caller: Author,
    Path((name, trigger)): Path<(String, String)>,
    Json(body): Json<RequestBody>,
) -> Result<Response, Problem> {
    let refused = |detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail);
    if body.source.is_some() {
        return Err(refused("a flow that is not deployed takes no callbacks: leave `source` out, or use `…/try`"));
    }
    let tested = tested(&app, &caller.workspace, &parse_name(&name)?, &trigger, None).await?;
    let (trial, has_url) = trial(&app, &caller.workspace, tested, body)?;
    if !has_url {
        return Err(refused("the trigger has no URL in this environment at this face"));
    }
    let (reply, callback) = send(&app, trial).await?;
    Ok(answer(StatusCode::OK, SentView { callback, reply: ReplyRecord::from(&reply) }))
}

/// Says what a trigger, with another condition or in another file, would make of the last callbacks that it has had.
///
/// Nothing is kept, and nothing changes. They are not verified again: those that were not, when they came, are left out. What came
/// before as the same delivery is left out as well.
#[utoipa::path(post, path = "/v1/flows/{name}/triggers/{trigger}/judge", tag = "flows", params(("name" = String, Path), ("trigger" = String, Path)), request_body = JudgeBody, responses((status = 200, body = JudgedView), (status = "4XX", body = Problem)))]
async fn judge_callbacks(
    State(app): State<Arc<App>>,
    caller: Author,
    Path((name, trigger)): Path<(String, String)>,
    Json(body): Json<JudgeBody>,
) -> Result<Response, Problem> {
    let JudgeBody { when, source, last } = body;
    let (workspace, name) = (&caller.workspace, parse_name(&name)?);
    let last = last.unwrap_or(LAST_DEFAULT);
    if !(1..=LAST_MAX).contains(&last) {
        return Err(Problem::bad_request("invalid_last", format!("`last` must be from 1 to {LAST_MAX}")));
    }
    let source = match (when, source) {
        (Some(_), Some(_)) => {
            let detail = "give `when` or `source`, not both";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail));
        }
        // JSON is YAML.
        (Some(when), None) => Some(source_with(&app, workspace, &name, &trigger, "when", &when.to_string()).await?),
        (None, source) => source,
    };
    let tested = tested(&app, workspace, &name, &trigger, source).await?;
    Ok(answer(StatusCode::OK, judge(&app, workspace, &tested, last).await?))
}
