//! What is never kept: the values of headers and parameters that carry credentials, what a scheme takes for proof, and the
//! values of secrets. There is one list of names; a server and a trigger add to it.

mod escapes;

pub use escapes::Unescaped;

use crate::callback::{Callback, Request};
use crate::expression::Reference;
use crate::flow::Trigger;
use crate::name::hex;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use memchr::memmem;
use regex::Regex;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
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
/// Shortest secret that is looked for: a shorter one is in too much that has nothing to do with it.
const VALUE_BYTES_MIN: usize = 4;

/// How often escapes are undone: a URL in JSON that is a text of JSON.
const LAYERS_MAX: usize = 3;

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

    /// The callback as it may be seen and kept.
    pub fn callback(self, callback: &Arc<Callback>, trigger: Option<&Trigger>) -> Arc<Callback> {
        let request = &callback.request;
        let hidden: Vec<_> = request.headers.keys().filter(|name| self.hide_header(name.as_str())).cloned().collect();
        let query = self.query(&request.query);
        let body = trigger.and_then(|trigger| trigger.verify.body_without_proof(request));
        if hidden.is_empty() && body.is_none() && matches!(query, Cow::Borrowed(_)) {
            return Arc::clone(callback);
        }
        let mut headers = request.headers.clone();
        for name in hidden {
            headers.remove(name);
        }
        let (query, body) = (query.into_owned(), body.unwrap_or_else(|| request.body.clone()));
        let request =
            Request { query, headers, body, method: request.method.clone(), path: request.path.clone(), ..*request };
        Arc::new(Callback {
            request,
            workspace: callback.workspace.clone(),
            environment: callback.environment.clone(),
            base_url: callback.base_url.clone(),
            ..**callback
        })
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

    /// The headers of an answer, as texts, without those that carry credentials.
    pub fn headers(self, headers: &HeaderMap) -> Map<String, Value> {
        let mut kept = Map::new();
        for (name, value) in headers.iter().filter(|(name, _)| !self.hide_header(name.as_str())) {
            let mut text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if name == "location" {
                text = self.url(&text);
            }
            crate::callback::append(&mut kept, name.as_str(), text);
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

/// Blanks the members of these names, at any depth; whether there was one.
pub fn blank_members(value: &mut Value, names: &[&str]) -> bool {
    let mut found = false;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => items.iter_mut().for_each(|item| found |= blank_members(item, names)),
        Value::Object(members) => {
            for (name, member) in members {
                if names.contains(&name.as_str()) {
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

/// The values of secrets, in the forms in which they come back from others.
#[derive(Default)]
pub struct Values {
    forms: Vec<String>,
    /// The same for texts in which escapes are undone.
    unescaped: Vec<Vec<u8>>,
}

impl Values {
    pub fn new<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let values = values.into_iter().filter(|value| value.len() >= VALUE_BYTES_MIN);
        let mut forms: Vec<String> = values.flat_map(forms).collect();
        forms.sort_unstable();
        forms.dedup();
        // A value may itself look like an escape, which those who escape it may leave as it is.
        let mut unescaped: Vec<Vec<u8>> = forms.iter().map(|form| form.replace('+', " ").into_bytes()).collect();
        unescaped.extend(forms.iter().filter_map(|form| Some(Unescaped::of(form)?.bytes)));
        unescaped.retain(|form| form.len() >= VALUE_BYTES_MIN);
        unescaped.sort_unstable();
        unescaped.dedup();
        Self { forms, unescaped }
    }

    /// What is found under escapes is blanked with its escapes. Values that touch each other become one mark.
    pub fn blank_text(&self, text: String) -> String {
        let mut hidden = Vec::new();
        for form in &self.forms {
            for start in memmem::find_iter(text.as_bytes(), form) {
                hide(&mut hidden, &text, start..start + form.len());
            }
        }
        let mut next = Unescaped::of(&text).filter(|_| !self.forms.is_empty());
        for _ in 0..LAYERS_MAX {
            let Some(unescaped) = next else { break };
            for form in &self.unescaped {
                for start in memmem::find_iter(&unescaped.bytes, form) {
                    hide(&mut hidden, &text, unescaped.origin(start..start + form.len()));
                }
            }
            next = unescaped.again();
        }
        if hidden.is_empty() {
            return text;
        }
        let (mut blanked, mut in_mark) = (String::with_capacity(text.len()), false);
        for (at, character) in text.char_indices() {
            let is_hidden = hidden.get(at).is_some_and(|is_hidden| *is_hidden);
            match (is_hidden, in_mark) {
                (true, false) => blanked.push_str(MARK),
                (true, true) => {}
                (false, _) => blanked.push(character),
            }
            in_mark = is_hidden;
        }
        blanked
    }

    /// In texts and names at any depth, and in numbers.
    pub fn blank(&self, value: Value) -> Value {
        if self.forms.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => self.blank_text(text).into(),
            Value::Number(number) if self.forms.contains(&number.to_string()) => MARK.into(),
            Value::Array(items) => items.into_iter().map(|item| self.blank(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, member)| (self.blank_text(name), self.blank(member))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }
}

/// Marks a part of a text as one that is not kept.
fn hide(hidden: &mut Vec<bool>, text: &str, part: Range<usize>) {
    hidden.resize(text.len(), false);
    if let Some(part) = hidden.get_mut(part) {
        part.fill(true);
    }
}

/// As it is, and in hexadecimal, in base64 wherever it stands in what is encoded, in a URL, and in JSON.
fn forms(value: &str) -> Vec<String> {
    let hex = hex(value.as_bytes());
    let json = Value::from(value).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or_default().to_owned();
    let url: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let mut forms = vec![value.to_owned(), hex.to_ascii_uppercase(), hex, json, url];
    for before in 0..3_usize {
        let bytes = [&[0; 3][..before], value.as_bytes()].concat();
        // Characters that also say something of what stands before or after.
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.extend(encoded.get(first..end).filter(|form| form.len() >= VALUE_BYTES_MIN).map(str::to_owned));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::{COMMON, Lists, MARK, Names, Values, fits, has_form_of_credential};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
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
    fn patterns_stand_for_what_they_say() {
        for (pattern, name) in [("a", "a"), ("*", "x"), ("a*", "a"), ("*a", "ba"), ("a*b*c", "a1b2c"), ("*a*", "xay")] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*", "ba"), ("*a", "ab"), ("a*b*c", "acb"), ("ab*ba", "aba")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn p2_a_value_is_found_in_the_forms_in_which_it_comes_back() {
        let secret = "hunter2/\"ü";
        let values = Values::new([secret, "abc"]);
        let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
        for text in [
            format!("it is {secret}."),
            json!({ "nested": { "s": secret } }).to_string(),
            hex,
            STANDARD.encode(secret),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("a:{secret}:b")),
            STANDARD.encode(format!("ab:{secret}?")),
            form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        ] {
            let blanked = values.blank_text(text.clone());
            assert!(blanked.contains(MARK), "{text}: {blanked}");
        }
        let value = json!({ "abc": ["abc", 1], secret: secret });
        assert_eq!(values.blank(value), json!({ "abc": ["abc", 1], MARK: MARK }), "what is short is left");
        assert_eq!(Values::new(["12345678"]).blank(json!([12_345_678, 1])), json!([MARK, 1]));
    }

    /// P2: whoever escapes a value chooses which of its characters, in which case, and how often.
    #[test]
    fn p2_a_value_is_found_under_escapes_of_every_kind() {
        let secret = "hu+n t/er2&\"ü%41";
        let values = Values::new([secret]);
        for (text, blanked) in [
            ("a=hu%2bn%20t%2fer2%26%22%c3%bc%2541&b=1", "a=***&b=1"),
            ("a=hu%2Bn+t/er2%26%22%C3%BC%2541", "a=***"),
            ("hu+n%20t/er2&%22ü%41 partly", "*** partly"),
            (r#"{"a":"hu+n t\/er2&\"ü%41"}"#, r#"{"a":"***"}"#),
            (r#"{"a":"\u0068u\u002bn\u0020t\u002Fer2\u0026\u0022\u00fc\u002541"}"#, r#"{"a":"***"}"#),
            (r#"["{\"a\":\"hu+n t\\/er2&\\\"\\u00fc%2541\"}"]"#, r#"["{\"a\":\"***\"}"]"#),
            ("<p title='hu+n t/er2&amp;&#34;&#xfc;%41'>", "<p title='***'>"),
            ("é%68%75%2B%6E%20%74%2F%65%72%32%26%22%C3%BC%25%34%31é", "é***é"),
        ] {
            assert_eq!(values.blank_text(text.to_owned()), blanked, "{text}");
            let value = json!({ "a": [text] });
            assert_eq!(values.blank(value), json!({ "a": [blanked] }));
        }
        for other in ["", "hu+n", "100%", "%20%2f", "hu%2bn%20t%2fer3", "ü\\u00fc&amp;"] {
            assert_eq!(values.blank_text(other.to_owned()), other);
        }
        let encoded = STANDARD.encode("\u{3ff}~~~?>hunter2");
        let partly = encoded.replace('/', "%2f").replace('=', "%3D");
        let blanked = Values::new(["\u{3ff}~~~?>hunter2"]).blank_text(format!("k={partly};"));
        assert!(partly.contains("%2f") && blanked.starts_with("k=***") && blanked.len() < 12, "{blanked}");
        let many = Values::new(["aaaa", "aa%2faa"]);
        assert_eq!(many.blank_text("a%61".repeat(100_000)), MARK, "whatever is written, it takes no longer");
    }
}
