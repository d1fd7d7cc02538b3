//! The words of recipes: where something stands in a request (`X-Signature`, `query:signature`, `body:/id`), what a header is
//! composed of (`t={timestamp},v1={signature}`), and what is signed (`{timestamp}.{body}`).

use aws_lc_rs::digest::{SHA256, digest};
use ringback_records::callback::{Callback, Request};
use ringback_records::json;
use ringback_records::name::hex;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// A place in a request that has a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In lower case.
    Header(String),
    /// Every header that begins so.
    Headers(String),
    Query(String),
    /// A JSON pointer (RFC 6901) into the body.
    Body(String),
    /// A field of the body, which is a form.
    Form(String),
}

impl Source {
    /// `X-Signature`, `X-Signature-*`, `query:NAME`, `body:/POINTER`, `form:NAME`.
    ///
    /// # Errors
    ///
    /// It is none of these, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_word = |name: &str| !name.is_empty() && name.len() <= 200;
        let source = match text.split_once(':') {
            Some(("query", name)) => Self::Query(name.to_owned()),
            Some(("form", name)) => Self::Form(name.to_owned()),
            Some(("body", pointer)) if pointer.starts_with('/') => Self::Body(pointer.to_owned()),
            Some(("header", name)) => return Self::header(name),
            Some(_) => return Err(format!("`{text}` is no place: a header, query:NAME, form:NAME or body:/POINTER")),
            None => return Self::header(text),
        };
        match &source {
            Self::Query(name) | Self::Form(name) | Self::Body(name) if !is_word(name) => {
                Err(format!("`{text}` names nothing"))
            }
            _ => Ok(source),
        }
    }

    fn header(name: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let (plain, every) = lower.strip_suffix('*').map_or((&*lower, false), |start| (start, true));
        if http::HeaderName::from_bytes(plain.as_bytes()).is_err() {
            return Err(format!("`{name}` is not the name of a header"));
        }
        Ok(if every { Self::Headers(plain.to_owned()) } else { Self::Header(lower) })
    }

    /// The one text there.
    ///
    /// # Errors
    ///
    /// There is none, or more than one, in words for the operator.
    pub fn one(&self, request: &Request) -> Result<String, String> {
        match self {
            Self::Header(name) => single_header(request, name),
            Self::Headers(_) => self.all(request).map(|mut found| found.swap_remove(0)),
            Self::Query(name) => {
                single(request.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value), self)
            }
            Self::Form(name) => {
                let pairs = form_urlencoded::parse(&request.body);
                single(pairs.filter(|(known, _)| known == name).map(|(_, value)| value), self)
            }
            Self::Body(pointer) => {
                let body: Value = json::from_slice(&request.body).map_err(|_| "the body is not JSON".to_owned())?;
                match body.pointer(pointer) {
                    Some(Value::String(text)) => Ok(text.clone()),
                    Some(Value::Number(number)) => Ok(number.to_string()),
                    Some(Value::Bool(is)) => Ok(is.to_string()),
                    _ => Err(format!("the body has no text at {pointer}")),
                }
            }
        }
    }

    /// Every text there: at least one.
    ///
    /// # Errors
    ///
    /// There is none, in words for the operator.
    pub fn all(&self, request: &Request) -> Result<Vec<String>, String> {
        let Self::Headers(start) = self else { return self.one(request).map(|text| vec![text]) };
        let mut names: Vec<&str> = request.headers.keys().map(http::HeaderName::as_str).collect();
        names.retain(|name| name.starts_with(start));
        names.sort_unstable();
        let found: Vec<String> = names.iter().filter_map(|name| single_header(request, name).ok()).collect();
        if found.is_empty() { Err(format!("there is no {start}… header")) } else { Ok(found) }
    }
}

impl Source {
    /// Puts a text there in place of what there is.
    ///
    /// # Errors
    ///
    /// It can be done by the sender alone, in words.
    pub(super) fn put(&self, request: &mut Request, text: &str) -> Result<(), String> {
        match self {
            Self::Header(name) => put_header(request, name, text),
            Self::Headers(start) => put_header(request, &format!("{start}1"), text),
            Self::Query(name) => {
                let others = request.query.split('&').filter(|pair| !pair.is_empty());
                let is_it = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(known, _)| known == *name);
                let mut pairs: Vec<String> = others.filter(|pair| !is_it(pair)).map(str::to_owned).collect();
                pairs.push(form_urlencoded::Serializer::new(String::new()).append_pair(name, text).finish());
                request.query = pairs.join("&");
                Ok(())
            }
            Self::Body(_) | Self::Form(_) => Err("its proof stands in its body".to_owned()),
        }
    }
}

fn put_header(request: &mut Request, name: &str, text: &str) -> Result<(), String> {
    let name = http::HeaderName::try_from(name).map_err(|error| error.to_string())?;
    let value = http::HeaderValue::try_from(text).map_err(|_| format!("{name} cannot carry the proof"))?;
    request.headers.insert(name, value);
    Ok(())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => f.write_str(name),
            Self::Headers(start) => write!(f, "{start}*"),
            Self::Query(name) => write!(f, "the parameter {name}"),
            Self::Form(name) => write!(f, "the field {name}"),
            Self::Body(pointer) => write!(f, "{pointer} of the body"),
        }
    }
}

fn single<'v>(mut values: impl Iterator<Item = Cow<'v, str>>, source: &Source) -> Result<String, String> {
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.into_owned()),
        (None, _) => Err(format!("there is not {source}")),
        (Some(_), Some(_)) => Err(format!("{source} is there more than once")),
    }
}

/// The one value of a header that must not be repeated.
pub(super) fn single_header(request: &Request, name: &str) -> Result<String, String> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(format!("there is no {name} header")),
        (Some(_), Some(_)) => Err(format!("the {name} header is there more than once")),
        (Some(value), None) => {
            value.to_str().map(str::to_owned).map_err(|_| format!("the {name} header has characters outside ASCII"))
        }
    }
}

/// A thing that stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Signature,
    Timestamp,
    Id,
    /// Not looked at.
    Other,
}

/// What a header is composed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What stands between the items, if there may be several.
    separator: Option<char>,
    /// What stands before each, and after it.
    items: Vec<(String, Slot, String)>,
}

/// What was found in headers of that layout.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub signatures: Vec<String>,
    pub timestamp: Option<String>,
    pub id: Option<String>,
}

impl Layout {
    /// The signature, with something before it.
    pub fn alone(prefix: &str) -> Self {
        Self { separator: None, items: vec![(prefix.to_owned(), Slot::Signature, String::new())] }
    }

    /// `sha256={signature}`; with several items, what stands behind the first is what is between them, unless it is said.
    ///
    /// # Errors
    ///
    /// It is no layout, in words.
    pub fn parse(text: &str, separator: Option<char>) -> Result<Self, String> {
        let first = text.find('{').zip(text.find('}')).ok_or("`value` must contain {signature}")?;
        let rest = text.get(first.1 + 1..).unwrap_or_default();
        let separator = separator.or_else(|| rest.contains('{').then(|| rest.chars().next()).flatten());
        let parts: Vec<&str> = match separator {
            Some('{') => return Err("`value` needs something between its items, such as `,`".to_owned()),
            Some(separator) => text.split(separator).map(str::trim).collect(),
            None => vec![text],
        };
        let mut items = Vec::new();
        for part in parts {
            let (prefix, rest) = part.split_once('{').ok_or_else(|| format!("`{part}` has no {{place}}"))?;
            let (place, suffix) = rest.split_once('}').ok_or("`{` is not closed by `}`")?;
            let slot = match place {
                "signature" => Slot::Signature,
                "timestamp" => Slot::Timestamp,
                "id" => Slot::Id,
                "" => Slot::Other,
                other => {
                    return Err(format!("there is no {{{other}}} here; allowed: {{signature}}, {{timestamp}}, {{id}}"));
                }
            };
            items.push((prefix.to_owned(), slot, suffix.to_owned()));
        }
        let count = |wanted| items.iter().filter(|(_, slot, _)| *slot == wanted).count();
        if count(Slot::Signature) != 1 || count(Slot::Timestamp) > 1 || count(Slot::Id) > 1 {
            return Err("`value` must contain {signature} once, and {timestamp} and {id} at most once".to_owned());
        }
        Ok(Self { separator, items })
    }

    pub(super) fn separator(&self) -> Option<char> {
        self.separator
    }

    pub fn has_time(&self) -> bool {
        self.has(Slot::Timestamp)
    }

    pub fn has_id(&self) -> bool {
        self.has(Slot::Id)
    }

    fn has(&self, wanted: Slot) -> bool {
        self.items.iter().any(|(_, slot, _)| *slot == wanted)
    }

    /// How the signature is told from others, where there may be others: `v1` of `v1=…`.
    pub(super) fn mark(&self) -> Option<String> {
        self.separator?;
        let (prefix, ..) = self.items.iter().find(|(_, slot, _)| *slot == Slot::Signature)?;
        let word = prefix.trim_end_matches(|character: char| !character.is_alphanumeric());
        Some(if word.is_empty() { String::new() } else { format!("`{word}` ") })
    }

    /// What a header has with these.
    pub(super) fn write(&self, signature: &str, timestamp: &str, id: &str) -> String {
        let mut text = String::new();
        for (number, (prefix, slot, suffix)) in self.items.iter().enumerate() {
            text.extend(self.separator.filter(|_| number > 0));
            let value = match slot {
                Slot::Signature => signature,
                Slot::Timestamp => timestamp,
                Slot::Id => id,
                Slot::Other => "",
            };
            text.extend([prefix, value, suffix]);
        }
        text
    }

    /// Reads a header. Items of other names are left out: an older scheme must not be a way around the newer.
    pub(super) fn read(&self, text: &str, found: &mut Found) -> Result<(), String> {
        let Some(separator) = self.separator else {
            for (prefix, _, suffix) in &self.items {
                let Some(value) = text.strip_prefix(&**prefix).and_then(|rest| rest.strip_suffix(&**suffix)) else {
                    return Err(format!("does not begin with `{prefix}`"));
                };
                found.signatures.push(value.to_owned());
            }
            return Ok(());
        };
        let mut is_taken = vec![false; self.items.len()];
        for part in text.split(separator).map(str::trim) {
            let fitting = |(_, (prefix, _, suffix)): &(usize, &(String, Slot, String))| {
                part.len() >= prefix.len() + suffix.len() && part.starts_with(&**prefix) && part.ends_with(&**suffix)
            };
            let mut places: Vec<_> = self.items.iter().enumerate().filter(fitting).collect();
            // The one that says most of its item; of equal ones, the first that has none yet.
            places.sort_by_key(|(number, (prefix, slot, _))| {
                (std::cmp::Reverse(prefix.len()), *slot != Slot::Signature && is_taken[*number])
            });
            let Some((number, (prefix, slot, suffix))) = places.first() else { continue };
            let value = part[prefix.len()..part.len() - suffix.len()].to_owned();
            match slot {
                Slot::Signature => found.signatures.push(value),
                Slot::Other => {}
                Slot::Timestamp if is_taken[*number] => return Err("has two times".to_owned()),
                Slot::Id if is_taken[*number] => return Err("has two ids".to_owned()),
                Slot::Timestamp => found.timestamp = Some(value),
                Slot::Id => found.id = Some(value),
            }
            is_taken[*number] = true;
        }
        Ok(())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (prefix, slot, suffix)) in self.items.iter().enumerate() {
            if let Some(separator) = self.separator.filter(|_| number > 0) {
                write!(f, "{separator}")?;
            }
            let name = match slot {
                Slot::Signature => "signature",
                Slot::Timestamp => "timestamp",
                Slot::Id => "id",
                Slot::Other => "",
            };
            write!(f, "{prefix}{{{name}}}{suffix}")?;
        }
        Ok(())
    }
}

/// A part of the signed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    Body,
    /// The names and values of a form, in order of the names; of another body its digest, which the URL has.
    Form,
    Timestamp,
    Id,
    Method,
    Url,
    Path,
    Value(Source),
}

/// The places that `signed` may have, in words.
pub const PLACES: &str =
    "{body}, {form}, {timestamp}, {id}, {method}, {url}, {path}, {header:NAME}, {query:NAME}, {body:/POINTER}";

impl Part {
    /// `{timestamp}.{body}`: places in braces, everything else as it stands.
    ///
    /// # Errors
    ///
    /// There is no such place, in words.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Self::Literal(before.to_owned()));
            }
            let (place, after) = after.split_once('}').ok_or("`{` is not closed by `}`")?;
            parts.push(match place {
                "body" => Self::Body,
                "form" => Self::Form,
                "method" => Self::Method,
                "url" => Self::Url,
                "path" => Self::Path,
                "timestamp" => Self::Timestamp,
                "id" => Self::Id,
                place if place.contains(':') => Self::Value(Source::parse(place)?),
                other => return Err(format!("there is no {{{other}}} to sign; allowed: {PLACES}")),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Self::Literal(rest.to_owned()));
        }
        Ok(parts)
    }

    pub(super) fn bytes<'m>(
        &'m self,
        callback: &'m Callback,
        url: &'m str,
        timestamp: Option<&'m str>,
        id: Option<&'m str>,
    ) -> Result<Cow<'m, [u8]>, String> {
        let request = &callback.request;
        let owned = |text: String| Cow::Owned(text.into_bytes());
        Ok(match self {
            Self::Literal(text) => text.as_bytes().into(),
            Self::Body => request.body.as_ref().into(),
            Self::Form => owned(form(request)?),
            Self::Timestamp => timestamp.ok_or("there is no time of signing")?.as_bytes().into(),
            Self::Id => id.ok_or("there is no id of the delivery")?.as_bytes().into(),
            Self::Method => request.method.as_str().as_bytes().into(),
            Self::Url => url.as_bytes().into(),
            Self::Path => owned(callback.path()),
            Self::Value(source) => owned(source.one(request)?),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Body => f.write_str("{body}"),
            Self::Form => f.write_str("{form}"),
            Self::Timestamp => f.write_str("{timestamp}"),
            Self::Id => f.write_str("{id}"),
            Self::Method => f.write_str("{method}"),
            Self::Url => f.write_str("{url}"),
            Self::Path => f.write_str("{path}"),
            Self::Value(Source::Header(name) | Source::Headers(name)) => write!(f, "{{header:{name}}}"),
            Self::Value(Source::Query(name)) => write!(f, "{{query:{name}}}"),
            Self::Value(Source::Body(pointer)) => write!(f, "{{body:{pointer}}}"),
            Self::Value(Source::Form(name)) => write!(f, "{{form:{name}}}"),
        }
    }
}

/// Twilio's way: the pairs of a form in order of their names, or the digest of another body in the parameter `bodySHA256`.
fn form(request: &Request) -> Result<String, String> {
    if request.content_type().as_deref() == Some("application/x-www-form-urlencoded") {
        let mut pairs: Vec<_> = form_urlencoded::parse(&request.body).collect();
        pairs.sort_unstable();
        pairs.dedup();
        return Ok(pairs.into_iter().flat_map(|(name, value)| [name, value]).collect());
    }
    if request.body.is_empty() {
        return Ok(String::new());
    }
    let said = Source::Query("bodySHA256".to_owned()).one(request).map_err(|_| {
        "the body is no form, and the URL does not have its digest (`bodySHA256`), so nothing signs it".to_owned()
    })?;
    if said.eq_ignore_ascii_case(&hex(digest(&SHA256, &request.body).as_ref())) {
        return Ok(String::new());
    }
    Err("the digest in the URL (`bodySHA256`) is not that of the body".to_owned())
}
