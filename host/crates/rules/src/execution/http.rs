//! The request of an `http` step, made once and kept: every attempt under one `Idempotency-Key` sends the same bytes, whatever
//! becomes of variables, or of the server's version, in between.

use super::HttpCall;
use crate::expression::{Cel, EvaluationError, Scope, as_text};
use crate::flow::BodySpec;
use crate::redact::{Lists, Names};
use ringback_records::journal::{PreparedRequest, Settled};

/// The texts of a request that is about to be sent.
pub struct Rendered {
    pub url: String,
    /// In the order of the flow's.
    pub headers: Vec<String>,
    pub body: Option<String>,
}

/// Evaluates everything of a request but what names secrets.
///
/// # Errors
///
/// The first expression that has no value.
pub fn prepare(call: &HttpCall, scope: &Scope<'_>) -> Result<PreparedRequest, EvaluationError> {
    let lists = Lists { of_server: &Names::default(), of_trigger: None };
    let headers = call.headers.iter().map(|(name, template)| {
        let shown = !lists.hide_header(name);
        shown.then(|| template.settle(scope, Cel::names_secrets)).transpose()
    });
    let body = match &call.body {
        BodySpec::Empty => None,
        BodySpec::Json(template) | BodySpec::Text(template) => Some(template.settle(scope, Cel::names_secrets)?),
    };
    Ok(PreparedRequest {
        url: call.url.settle(scope, Cel::names_secrets)?,
        headers: headers.collect::<Result<_, _>>()?,
        body,
    })
}

/// Puts in what is not kept.
///
/// # Errors
///
/// The first expression that has no value.
pub fn render(request: &PreparedRequest, call: &HttpCall, scope: &Scope<'_>) -> Result<Rendered, EvaluationError> {
    let headers = call.headers.iter().enumerate().map(|(index, (_, template))| {
        match request.headers.get(index).and_then(Option::as_ref) {
            Some(settled) => template.finish(settled, scope).map(as_text),
            None => template.render_text(scope),
        }
    });
    let body = match (&call.body, &request.body) {
        (BodySpec::Json(template), Some(settled)) => Some(template.finish(settled, scope)?.to_string()),
        (BodySpec::Text(template), Some(settled)) => Some(as_text(template.finish(settled, scope)?)),
        _ => None,
    };
    let url = as_text(call.url.finish(&request.url, scope)?);
    Ok(Rendered { url, headers: headers.collect::<Result<_, _>>()?, body })
}

/// Whether two requests are the same when they are sent, however they were written down.
pub fn is_same(one: &PreparedRequest, other: &PreparedRequest) -> bool {
    let texts = |request: &PreparedRequest| {
        let headers = request.headers.iter().map(|header| header.as_ref().map(as_written));
        (as_written(&request.url), headers.collect::<Vec<_>>(), request.body.as_ref().map(as_written))
    };
    texts(one) == texts(other)
}

/// The same with every piece of a text as text, and as one text where nothing in it is open.
fn as_written(settled: &Settled) -> Settled {
    match settled {
        Settled::Text(pieces) => {
            let pieces: Vec<_> = pieces.iter().map(as_piece).collect();
            let texts: Option<String> = pieces.iter().map(text).collect();
            texts.map_or(Settled::Text(pieces), |text| Settled::Value(text.into()))
        }
        Settled::List(items) => Settled::List(items.iter().map(as_written).collect()),
        Settled::Object(members) => {
            Settled::Object(members.iter().map(|(name, member)| (name.clone(), as_written(member))).collect())
        }
        Settled::Value(_) | Settled::Expression(_) => settled.clone(),
    }
}

fn text(piece: &Settled) -> Option<&str> {
    match piece {
        Settled::Value(value) => value.as_str(),
        Settled::Expression(_) | Settled::Text(_) | Settled::List(_) | Settled::Object(_) => None,
    }
}

fn as_piece(piece: &Settled) -> Settled {
    match piece {
        Settled::Value(value) => Settled::Value(as_text(value.clone()).into()),
        other => as_written(other),
    }
}
