//! The answer that is stored with a ticket, what a handler changes of it, and what becomes of it over HTTP.

use crate::reply::{self, is_redirect, is_without_body};
use http::Method;
use ringback_records::reply::Reply;
use ringback_records::stop::Stop;
use ringback_records::ticket::{ResponseType, TicketResponse};
use serde_json::{Map, Value};

/// The fields of a response, as handlers know them (GX-45).
pub const FIELDS: [&str; 5] =
    ["responseType", "responseBody", "responseCode", "responseHeaders", "responseRedirectUrl"];

/// Whether it can be sent, as it is.
///
/// # Errors
///
/// Why not, in a sentence.
pub fn check(response: &TicketResponse, may_redirect: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    if let Some(target) = &response.redirect_url {
        may_redirect(target)?;
    } else if response.kind == ResponseType::Redirect {
        return Err("a redirect needs `redirect_url`".to_owned());
    }
    plain(response).map(drop)
}

/// What a handler is given.
pub fn to_fields(response: &TicketResponse) -> Map<String, Value> {
    let TicketResponse { kind, redirect_url, body, code, headers } = response;
    let kind = if *kind == ResponseType::Redirect { "redirect" } else { "response" };
    let values: [Value; 5] = [
        kind.into(),
        body.clone().unwrap_or_default(),
        code.unwrap_or(200).into(),
        Value::Object(headers.clone()),
        redirect_url.clone().into(),
    ];
    FIELDS.iter().map(|name| (*name).to_owned()).zip(values).collect()
}

/// What it is with the fields that a handler has set.
///
/// # Errors
///
/// A field has a value of another kind.
pub fn adjusted<'v>(
    response: &TicketResponse,
    set: impl Fn(&str) -> Option<&'v Value>,
) -> Result<TicketResponse, Stop> {
    let mut adjusted = response.clone();
    for name in FIELDS {
        let Some(value) = set(name) else { continue };
        let wrong = |expected: &str| {
            let reason = format!("the handler set `{name}` to {value}; expected {expected}");
            Stop::failed(500, "reply_not_allowed", "The handler's answer is not allowed.", reason)
        };
        match name {
            "responseType" => {
                adjusted.kind = serde_json::from_value(value.clone()).map_err(|_| wrong("redirect or response"))?;
            }
            "responseBody" => adjusted.body = Some(value.clone()).filter(|body| !body.is_null()),
            "responseCode" => {
                adjusted.code = serde_json::from_value(value.clone()).map_err(|_| wrong("a status"))?;
            }
            "responseHeaders" => {
                let headers: Option<_> = serde_json::from_value(value.clone()).map_err(|_| wrong("an object"))?;
                adjusted.headers = headers.unwrap_or_default();
            }
            _ => {
                adjusted.redirect_url = serde_json::from_value(value.clone()).map_err(|_| wrong("a URL"))?;
            }
        }
    }
    Ok(adjusted)
}

/// The answer to a request of this method.
///
/// # Errors
///
/// A redirect has no URL (500) or one that is not allowed (502), or the answer would break HTTP (500).
pub fn reply(
    response: &TicketResponse,
    method: &Method,
    may_redirect: impl Fn(&str) -> Result<(), String>,
) -> Result<Reply, Stop> {
    if response.kind == ResponseType::Response {
        let without = leaves_out_body(response).then(|| TicketResponse { body: None, ..response.clone() });
        return plain(without.as_ref().unwrap_or(response))
            .map_err(|reason| Stop::failed(500, "reply_not_allowed", "The handler's answer is not allowed.", reason));
    }
    let Some(target) = &response.redirect_url else {
        let reason = "the type of the response is `redirect`, but there is no URL";
        return Err(Stop::failed(500, "redirect_missing", "There is nowhere to go on to.", reason));
    };
    may_redirect(target).map_err(redirect_not_allowed)?;
    let status = match response.code {
        Some(code) if is_redirect(code) => code,
        // A-GX-3: what comes after a change is got.
        _ if method == Method::GET => 302,
        _ => 303,
    };
    Ok(Reply::empty(status).with_header("location", target))
}

/// Whether it has a body that its status does not allow: a handler that sets the one need not know the other.
pub fn leaves_out_body(response: &TicketResponse) -> bool {
    response.kind == ResponseType::Response && response.body.is_some() && response.code.is_some_and(is_without_body)
}

fn plain(response: &TicketResponse) -> Result<Reply, String> {
    let mut headers = Vec::with_capacity(response.headers.len() + 1);
    for (name, value) in &response.headers {
        let value = match value {
            Value::String(value) => value.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(format!("the header `{}` must be a text", name.escape_debug())),
        };
        headers.push((name.clone(), value));
    }
    let (body, kind) = match &response.body {
        None => (String::new(), None),
        Some(Value::String(text)) => (text.clone(), Some("text/plain; charset=utf-8")),
        Some(value) => (value.to_string(), Some("application/json")),
    };
    let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let Some(kind) = kind.filter(|_| !typed) {
        headers.push(("content-type".to_owned(), kind.to_owned()));
    }
    let status = match response.code {
        // Fields of a redirect that is none any more.
        Some(code) if response.kind == ResponseType::Redirect && !is_redirect(code) => 200,
        code => code.unwrap_or(200),
    };
    reply::check(Reply { status, headers, body: body.into() })
}

/// A redirect to where callers may not be sent.
pub fn redirect_not_allowed(reason: String) -> Stop {
    Stop::failed(502, "redirect_not_allowed", "The place to go on to is not allowed.", reason)
}

#[cfg(test)]
mod tests {
    use super::{adjusted, check, reply, to_fields};
    use http::Method;
    use ringback_records::ticket::{ResponseType, TicketResponse};
    use serde_json::{Value, json};

    fn response(value: Value) -> TicketResponse {
        serde_json::from_value(value).unwrap()
    }

    fn no_place(_: &str) -> Result<(), String> {
        Err("no".to_owned())
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for wrong in [
            json!({ "type": "redirect" }),
            json!({ "type": "redirect", "redirect_url": "/a" }),
            json!({ "code": 99 }),
            json!({ "code": 204, "body": "x" }),
            json!({ "headers": { "set-cookie": "a=b" } }),
            json!({ "headers": { "location": "/" } }),
            json!({ "headers": { "x-a": "b\r\nc: d" } }),
            json!({ "headers": { "x-a": { "b": 1 } } }),
            json!({ "body": "x".repeat(crate::reply::BODY_BYTES_MAX + 1) }),
        ] {
            assert!(check(&response(wrong.clone()), no_place).is_err(), "{wrong}");
        }
        assert!(check(&response(json!({ "type": "redirect", "redirect_url": "/a", "code": 201 })), |_| Ok(())).is_ok());
    }

    /// A-GX-3, GX-31: the status of an answer, and of a redirect.
    #[test]
    fn the_status_follows_from_the_method_and_the_code() {
        for (code, method, expected) in [
            (None, Method::GET, 302),
            (None, Method::POST, 303),
            (None, Method::DELETE, 303),
            (Some(200), Method::GET, 302),
            (Some(404), Method::PUT, 303),
            (Some(307), Method::POST, 307),
            (Some(308), Method::GET, 308),
        ] {
            let redirect = TicketResponse {
                kind: ResponseType::Redirect,
                redirect_url: Some("/a".into()),
                code,
                ..Default::default()
            };
            let reply = reply(&redirect, &method, |_| Ok(())).unwrap();
            assert_eq!((reply.status, reply.headers[0].1.as_str()), (expected, "/a"), "{code:?} {method}");
        }
        assert_eq!(reply(&TicketResponse::default(), &Method::GET, no_place).unwrap().status, 200);
    }

    /// A-GX-10, A-GX-13: what a handler sets is checked as what is stored.
    #[test]
    fn a_handler_can_change_everything_and_break_nothing() {
        let stored = response(json!({ "body": "stored", "code": 201, "headers": { "x-a": "b" } }));
        let adjusted = |set: Value| {
            let set = set.as_object().unwrap().clone();
            adjusted(&stored, |name| set.get(name))
        };
        for wrong in [
            json!({ "responseType": "page" }),
            json!({ "responseCode": "many" }),
            json!({ "responseHeaders": 1 }),
            json!({ "responseRedirectUrl": 1 }),
        ] {
            assert_eq!(adjusted(wrong).unwrap_err().problem.status, 500);
        }
        let reply = |set| reply(&adjusted(set).unwrap(), &Method::POST, no_place);
        assert_eq!(reply(json!({ "responseType": "redirect" })).unwrap_err().problem.code, "redirect_missing");
        let elsewhere = json!({ "responseType": "redirect", "responseRedirectUrl": "https://evil.example" });
        assert_eq!(reply(elsewhere).unwrap_err().problem.status, 502);
        assert_eq!(reply(json!({ "responseCode": 99 })).unwrap_err().problem.code, "reply_not_allowed");
        assert_eq!(reply(json!({ "responseHeaders": { "set-cookie": "a" } })).unwrap_err().problem.status, 500);
        let plain = reply(json!({ "responseBody": { "a": 1 }, "responseCode": null })).unwrap();
        assert_eq!((plain.status, &plain.body[..]), (200, &br#"{"a":1}"#[..]));
        assert_eq!(to_fields(&stored)["responseBody"], json!("stored"));
    }
}
