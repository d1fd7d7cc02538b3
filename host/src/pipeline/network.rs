//! The network in front: from where a trigger may be called, pages of other origins, and those who ask whether there is something.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use ringback_records::callback::Request;
use ringback_records::reply::Reply;
use ringback_records::stop::Stop;
use ringback_rules::face::Face;
use ringback_rules::flow::Trigger;

/// What a page may read of an answer besides its body and what browsers show anyway.
const EXPOSED: &str = "location, retry-after, ringback-callback";
/// How long a browser remembers what it may send, in seconds.
const PREFLIGHT_SECONDS: &str = "600";
/// Longest list of headers that a page may ask for, in bytes.
const ASKED_BYTES_MAX: usize = 1024;

/// Whether a caller is where callers of a trigger may be.
pub(super) fn allow_address(trigger: &Trigger, request: &Request) -> Result<(), Stop> {
    let (address, networks) = (request.remote_address, &trigger.allow_from);
    if networks.is_empty() || address.is_some_and(|address| networks.iter().any(|known| known.contains(address))) {
        return Ok(());
    }
    let shown = request.address().unwrap_or_else(|| "an unknown address".to_owned());
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    let reason = format!("it comes from {shown}, which is in none of {}", networks.join(", "));
    Err(Stop::refused(403, "address_not_allowed", "Callbacks are not taken from this address.", reason))
}

/// The answer to a browser that asks whether a page may call; `None` for anything else, and where no page may.
pub(super) fn preflight(trigger: &Trigger, face: &dyn Face, request: &Request) -> Option<Result<Reply, Stop>> {
    let (origin, _) = (request.headers.get(ORIGIN)?, request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?);
    if request.method != Method::OPTIONS || trigger.allow_origins.is_empty() {
        return None;
    }
    if allowed_origin(trigger, request).is_none() {
        let reason = format!("pages of {} may not call it", String::from_utf8_lossy(origin.as_bytes()));
        return Some(Err(Stop::refused(403, "origin_not_allowed", "Pages of this origin may not call.", reason)));
    }
    let methods: Vec<&str> = trigger.methods(face).iter().map(Method::as_str).collect();
    let reply = Reply::empty(204)
        .with_header("access-control-allow-methods", methods.join(", "))
        .with_header("access-control-max-age", PREFLIGHT_SECONDS);
    let asked = request.header(ACCESS_CONTROL_REQUEST_HEADERS.as_str()).filter(|asked| {
        let is_name = |name: &str| http::HeaderName::try_from(name.trim()).is_ok();
        asked.len() <= ASKED_BYTES_MAX && asked.split(',').all(is_name)
    });
    Some(Ok(match asked {
        Some(asked) => reply.with_header("access-control-allow-headers", asked),
        None => reply,
    }))
}

/// The answer to who asks whether there is something, or what it takes: nothing is called.
pub(super) fn probe(trigger: &Trigger, face: &dyn Face, request: &Request) -> Option<Reply> {
    let methods = trigger.methods(face);
    let status = match request.method {
        Method::HEAD => 200,
        Method::OPTIONS => 204,
        _ => return None,
    };
    if !face.answers_probes() {
        return None;
    }
    let methods = methods.iter().map(Method::as_str).chain(["HEAD", "OPTIONS"]);
    Some(Reply::empty(status).with_header("allow", methods.collect::<Vec<_>>().join(", ")))
}

/// An answer as pages of the origins that a trigger allows may read it.
pub(super) fn shared(trigger: Option<&Trigger>, request: &Request, reply: Reply) -> Reply {
    let Some(trigger) = trigger.filter(|trigger| !trigger.allow_origins.is_empty()) else { return reply };
    let reply = reply.with_header("vary", "origin");
    match allowed_origin(trigger, request) {
        Some(origin) => reply
            .with_header("access-control-allow-origin", origin)
            .with_header("access-control-expose-headers", EXPOSED),
        None => reply,
    }
}

fn allowed_origin<'t>(trigger: &'t Trigger, request: &Request) -> Option<&'t str> {
    let origin = request.headers.get(ORIGIN)?;
    trigger.allow_origins.iter().map(String::as_str).find(|known| *known == "*" || origin == *known)
}
