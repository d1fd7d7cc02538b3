//! What is never kept: the values of headers and parameters that carry credentials, what a scheme takes for proof, and the
//! values of secrets. There is one list of names; a server and a trigger add to it.

mod layers;
mod values;

pub use layers::Layer;
pub use values::Values;

use crate::expression::Reference;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use regex::Regex;
use ringback_records::callback::{Callback, Request};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

/// What stands where a value was that is not kept.
pub const MARK: &str = "***";

/// Names of headers and parameters that carry credentials. `*` stands for anything; `_` is as `-`, and case does not count.
/// Signatures of one body are no secrets.
const NAMES: &[&str] = &[
    "*authorization*",
    "*cookie*",
    "*token*",
    "*secret*",
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*credential*",
    "*assertion*",
    "*jwt*",
    "*apikey*",
    "*-key",
    "ringback-signature",
    "patchworks-signature",
];
/// Those of parameters alone: they sign a URL, and so open it for whoever has it.
const PARAMETERS: &[&str] = &["auth", "key", "sig"];
/// Names of that form that carry none.
const HARMLESS: &[&str] = &["idempotency-key", "x-idempotency-key", "sec-websocket-key"];
/// What no trigger can take out of the list.
const ALWAYS: &[&str] = &["*authorization*", "*cookie*", "user-token", "hub.verify-token"];

/// All of [`NAMES`] at once: every header of every callback is asked about.
static CREDENTIAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names = NAMES.iter().map(|pattern| {
        let start = if pattern.starts_with('*') { "" } else { "^" };
        let end = if pattern.ends_with('*') { "" } else { "$" };
        format!("{start}{}{end}", regex::escape(pattern.trim_matches('*')))
    });
    Regex::new(&names.collect::<Vec<_>>().join("|")).ok()
});

/// Headers that most callbacks have, as far as their form is not that of a credential: the expression need not be asked.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    const NAMES: &[&str] = &[
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "forwarded",
        "host",
        "origin",
        "referer",
        "server",
        "traceparent",
        "transfer-encoding",
        "user-agent",
        "vary",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ];
    NAMES.iter().copied().filter(|name| !has_form_of_credential(name)).collect()
});

fn has_form_of_credential(name: &str) -> bool {
    CREDENTIAL.as_ref().is_none_or(|names| names.is_match(name))
}

/// Longest name in a list, in bytes, and most of them.
const NAME_BYTES_MAX: usize = 64;
const NAMES_MAX: usize = 100;
/// Names that a server or a trigger adds to the list, or takes out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    hidden: Vec<String>,
    shown: Vec<String>,
}

impl Names {
    /// Adds `x-acme-*`; takes `!token` out.
    ///
    /// # Errors
    ///
    /// It is no name, or one that stays in the list, in words.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        if self.hidden.len() + self.shown.len() >= NAMES_MAX {
            return Err(format!("there are more than {NAMES_MAX} names"));
        }
        let (is_shown, name) = text.strip_prefix('!').map_or((false, text), |name| (true, name));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]*".contains(&byte);
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
            let shown: String = text.chars().take(NAME_BYTES_MAX).collect();
            return Err(format!(
                "`{shown}` is not the name of a header or parameter: write it like x-acme-key, or x-acme-* for all that \
                 begin so"
            ));
        }
        let name = plain(name).into_owned();
        if !is_shown {
            if name.bytes().all(|byte| byte == b'*') {
                return Err(format!("`{name}` would leave nothing to see"));
            }
            self.hidden.push(name);
        } else if name.contains('*') {
            return Err(format!("`{text}`: only whole names can be taken out of the list"));
        } else if ALWAYS.iter().any(|pattern| fits(pattern, &name)) {
            return Err(format!("`{name}` always carries a credential, and is never kept"));
        } else {
            self.shown.push(name);
        }
        Ok(())
    }

    /// Adds whole names, which cannot be taken out again.
    pub fn hide<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.hidden.extend(names.into_iter().map(|name| plain(name).into_owned()));
    }
}

/// The lists that count for one callback or one answer.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'l> {
    pub of_server: &'l Names,
    pub of_trigger: Option<&'l Names>,
}

impl Lists<'_> {
    pub fn hide_header(self, name: &str) -> bool {
        self.hides(name, &[])
    }

    /// A parameter, or the key in brackets of one.
    pub fn hide_parameter(self, name: &str) -> bool {
        self.hides(name, PARAMETERS) || name.split(['[', ']', '.']).any(|part| self.hides(part, PARAMETERS))
    }

    /// What the server hides, stays hidden; a trigger decides before the list.
    fn hides(self, name: &str, besides: &[&str]) -> bool {
        let name = plain(name);
        let among = |names: &[String]| names.iter().any(|pattern| fits(pattern, &name));
        if among(&self.of_server.hidden) || self.of_trigger.is_some_and(|names| among(&names.hidden)) {
            return true;
        }
        let is_shown = among(&self.of_server.shown) || self.of_trigger.is_some_and(|names| among(&names.shown));
        if is_shown || HARMLESS.contains(&&*name) {
            return false;
        }
        besides.contains(&&*name) || (!COMMON.contains(&*name) && has_form_of_credential(&name))
    }

    /// The first header or parameter that expressions name and whose value is not kept.
    pub fn hidden_among<'r>(self, mut references: impl Iterator<Item = &'r Reference>) -> Option<&'r str> {
        references.find_map(|reference| {
            let mut members = reference.members.iter().chain(&reference.further).map(String::as_str);
            match (reference.name.as_str(), members.next()) {
                ("callback", Some("headers")) => members.next().filter(|name| self.hide_header(name)),
                ("callback", Some("query")) => members.find(|name| self.hide_parameter(name)),
                _ => None,
            }
        })
    }

    /// The callback as it may be seen and kept; with another body, where its own has a proof.
    pub fn callback(self, callback: &Arc<Callback>, body: Option<Bytes>) -> Arc<Callback> {
        let request = &callback.request;
        let hidden: Vec<_> = request.headers.keys().filter(|name| self.hide_header(name.as_str())).cloned().collect();
        let query = self.query(&request.query);
        if hidden.is_empty() && body.is_none() && matches!(query, Cow::Borrowed(_)) {
            return Arc::clone(callback);
        }
        let mut headers = request.headers.clone();
        for name in hidden {
            headers.remove(name);
        }
        let (query, body) = (query.into_owned(), body.unwrap_or_else(|| request.body.clone()));
        let (method, path) = (request.method.clone(), request.path.clone());
        let request = Request { method, path, query, headers, body, expanded: request.expanded.clone(), ..*request };
        Arc::new(Callback {
            request,
            workspace: callback.workspace.clone(),
            environment: callback.environment.clone(),
            base_url: callback.base_url.clone(),
            site: callback.site.clone(),
            claims: callback.claims.clone(),
            ..**callback
        })
    }

    /// The callback as it may be seen, with a mark for each header that `received` has and that is not kept.
    pub fn with_marks(self, seen: &Callback, received: &Request) -> Callback {
        let mut marked = seen.clone();
        for name in received.headers.keys().filter(|name| self.hide_header(name.as_str())) {
            marked.request.headers.insert(name, HeaderValue::from_static(MARK));
        }
        marked
    }

    /// An encoded query with the values blanked that are not kept. Everything else stays as it is written.
    pub fn query(self, query: &str) -> Cow<'_, str> {
        let is_hidden = |pair: &str| {
            let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name);
            pair.contains('=') && name.is_some_and(|name| self.hide_parameter(&name))
        };
        if !query.split('&').any(is_hidden) {
            return Cow::Borrowed(query);
        }
        let blanked = query.split('&').map(|pair| match (is_hidden(pair), pair.split_once('=')) {
            (true, Some((name, _))) => format!("{name}={MARK}"),
            _ => pair.to_owned(),
        });
        Cow::Owned(blanked.collect::<Vec<_>>().join("&"))
    }

    /// The headers of an answer, as texts, without those that carry credentials. What is no UTF-8 is Latin-1.
    pub fn headers(self, headers: &HeaderMap) -> Map<String, Value> {
        let mut kept = Map::new();
        for (name, value) in headers.iter().filter(|(name, _)| !self.hide_header(name.as_str())) {
            let latin = || value.as_bytes().iter().copied().map(char::from).collect();
            let mut text = std::str::from_utf8(value.as_bytes()).map_or_else(|_| latin(), str::to_owned);
            if name == "location" {
                text = self.url(&text);
            }
            ringback_records::callback::append(&mut kept, name.as_str(), text);
        }
        kept
    }

    /// A URL with the parameters blanked that are not kept, of its query and its fragment.
    fn url(self, url: &str) -> String {
        let mut parts = url.split_inclusive(['?', '#']);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |url, part| {
            let end = part.len() - usize::from(part.ends_with(['?', '#']));
            let (pairs, separator) = part.split_at(end);
            url + &self.query(pairs) + separator
        })
    }
}

/// A name as the list has it.
fn plain(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|byte| byte == b'_' || byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase().replace('_', "-")),
        false => Cow::Borrowed(name),
    }
}

/// Whether a name has the form of a pattern, in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether it is one of the names, in whatever case.
pub fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Blanks the members of these names, at any depth; whether there was one. Case does not count, as for lenient readers.
pub fn blank_members(value: &mut Value, names: &[&str]) -> bool {
    let mut found = false;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => items.iter_mut().for_each(|item| found |= blank_members(item, names)),
        Value::Object(members) => {
            for (name, member) in members {
                if is_among(names, name) {
                    *member = MARK.into();
                    found = true;
                } else {
                    found |= blank_members(member, names);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{COMMON, Lists, Names, blank_members, fits, has_form_of_credential};
    use serde_json::json;

    fn names(list: &[&str]) -> Names {
        let mut names = Names::default();
        list.iter().for_each(|name| names.add(name).unwrap());
        names
    }

    #[test]
    fn p3_names_of_credentials_are_known_by_their_form() {
        let none = Names::default();
        let lists = Lists { of_server: &none, of_trigger: None };
        for name in [
            "authorization",
            "proxy-authorization",
            "x-authorization",
            "cookie",
            "set-cookie",
            "user-token",
            "x-gitlab-token",
            "x-telegram-bot-api-secret-token",
            "x-api-key",
            "apikey",
            "x-functions-key",
            "ocp-apim-subscription-key",
            "x-access-key",
            "x-jwt",
            "x-goog-iap-jwt-assertion",
            "x_api_key",
            "X-Auth-Password",
        ] {
            assert!(lists.hide_header(name), "{name}");
        }
        for name in COMMON.iter() {
            assert!(!has_form_of_credential(name), "{name}");
        }
        for name in ["x-hub-signature-256", "idempotency-key", "content-type", "keyword", "x-request-id", "signature"] {
            assert!(!lists.hide_header(name), "{name}");
        }
        for name in
            ["token", "api_key", "access_token", "key", "sig", "hub.verify_token", "auth[api_key]", "clientSecret"]
        {
            assert!(lists.hide_parameter(name), "{name}");
        }
        for name in ["monkey", "page", "hub.challenge", "execution", "author"] {
            assert!(!lists.hide_parameter(name), "{name}");
        }
    }

    #[test]
    fn p3_a_server_and_a_trigger_add_to_the_list() {
        let (server, trigger) = (names(&["x-acme-*"]), names(&["Order_Code", "!token", "!x-acme-id"]));
        let lists = Lists { of_server: &server, of_trigger: Some(&trigger) };
        assert!(lists.hide_header("x-acme-door") && lists.hide_parameter("order-code"));
        assert!(!lists.hide_parameter("token"), "a trigger may know better");
        assert!(lists.hide_header("x-acme-id"), "but not than the server");
        let inside = names(&["x-*-door"]);
        let lists_of = Lists { of_server: &inside, of_trigger: None };
        assert!(lists_of.hide_header("X-Acme_Door") && !lists_of.hide_header("x-acme-doors"));
        assert_eq!(
            lists.query("a=1&token=t&API_KEY=k%20y&order%5Fcode=5&b"),
            "a=1&token=t&API_KEY=***&order%5Fcode=***&b"
        );
        for wrong in ["", "a b", "*", "**", "!x-*", "!authorization", "!Set-Cookie", "!user_token", &"a".repeat(65)] {
            assert!(Names::default().add(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            lists.url("https://a/b?code=1&key=2#access_token=3&x=4"),
            "https://a/b?code=1&key=***#access_token=***&x=4"
        );
    }

    #[test]
    fn p1_members_are_blanked_in_any_case() {
        let mut value = json!({ "value": [{ "clientState": 1, "ClientState": { "a": 1 }, "client": 2 }] });
        assert!(blank_members(&mut value, &["clientState"]));
        assert_eq!(value, json!({ "value": [{ "clientState": "***", "ClientState": "***", "client": 2 }] }));
        assert!(!blank_members(&mut value, &["token"]));
    }

    #[test]
    fn patterns_stand_for_what_they_say() {
        for (pattern, name) in [("a", "a"), ("*", "x"), ("a*", "a"), ("*a", "ba"), ("a*b*c", "a1b2c"), ("*a*", "xay")] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*", "ba"), ("*a", "ab"), ("a*b*c", "acb"), ("ab*ba", "aba")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
