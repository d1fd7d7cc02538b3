//! From recorded callbacks to how their sender proves them: a provider of the catalogue, or a recipe that explains all of them;
//! else the closest miss in words.
//!
//! A recipe is found when every bit of a keyed hash agrees, for each callback. What is tried is bounded by what is hashed.

mod changes;

use super::key::{Key, are_equal};
use super::recipe::{Algorithm, Encoding, Recipe};
use super::template::{Found, Layout, Part, Source};
use super::{KeyForm, Provider, providers, signed_at};
use crate::vault::SecretValue;
use bytes::Bytes;
use changes::{CHANGES, Change};
use ringback_records::callback::Callback;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

/// Most callbacks that are looked at.
pub const SAMPLES_MAX: usize = 20;
/// Most bytes that are hashed.
const HASHED_MAX: u64 = 256 << 20;
/// Shortest secret that is taken for found when a header equals it: 128 bits.
const EQUAL_BYTES_MIN: usize = 16;
/// Longest header value that is looked at.
const VALUE_BYTES_MAX: usize = 2048;
/// Most headers of each kind.
const HEADERS_MAX: usize = 6;

/// A callback as it is recorded.
#[derive(Debug)]
pub struct Sample {
    pub callback: Callback,
    /// Whether not all of its body was kept.
    pub is_cut: bool,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Inference {
    /// The block that explains all of them.
    pub verify: Option<String>,
    /// The providers of the catalogue that sign so.
    pub providers: Vec<String>,
    /// Whether two or more callbacks agree.
    pub is_confirmed: bool,
    /// What is to be said: the closest miss, where there is no such block.
    pub words: Vec<String>,
}

/// A way to sign that one callback was found to follow.
#[derive(Clone)]
struct Way {
    recipe: Recipe,
    change: &'static Change,
}

/// What is left to hash.
struct Budget(u64);

impl Budget {
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes as u64 + 64);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Finds out how the callbacks are signed under the values of a secret of that name.
pub fn infer(samples: &[Sample], name: &str, secrets: &[SecretValue]) -> Inference {
    let mut words = Vec::new();
    let mut whole: Vec<&Sample> = samples.iter().filter(|sample| !sample.is_cut).collect();
    if whole.len() < samples.len() {
        let cut = samples.len() - whole.len();
        words.push(format!(
            "{cut} of the callbacks are left out: their bodies were not kept whole, as those of refused ones are not"
        ));
    }
    // What is cheap to hash is tried first.
    whole.sort_by_key(|sample| sample.callback.request.body.len());
    let Some((first, others)) = whole.split_first() else {
        words.push("there is no callback with a whole body to look at".to_owned());
        return Inference { verify: None, providers: Vec::new(), is_confirmed: false, words };
    };
    let is_confirmed = !others.is_empty();
    let unconfirmed = "one callback does not confirm it: name another one of the same sender";
    let known: Vec<&Provider> = providers().iter().filter(|known| explains(known, &whole, secrets)).collect();
    if let Some(provider) = known.first() {
        words.extend((!is_confirmed).then(|| unconfirmed.to_owned()));
        let verify = Some(format!("{{ scheme: {}, secret: {name} }}", provider.name));
        let providers = known.iter().map(|provider| provider.name.to_owned()).collect();
        return Inference { verify, providers, is_confirmed, words };
    }
    let mut budget = Budget(HASHED_MAX);
    let mut near = None;
    for change in CHANGES {
        let ways = ways(&first.callback, secrets, change, &mut budget);
        let agreed = ways.into_iter().find(|way| others.iter().all(|sample| follows(way, &sample.callback, secrets)));
        match agreed {
            Some(way) if change.words.is_empty() => {
                words.extend((!is_confirmed).then(|| unconfirmed.to_owned()));
                let verify = Some(block(&way.recipe, name));
                return Inference { verify, providers: Vec::new(), is_confirmed, words };
            }
            Some(way) => {
                near = Some(way);
                break;
            }
            None => {}
        }
    }
    match near {
        Some(way) => words.push(format!("{} {}", said(&way.recipe), way.change.words)),
        None => words.extend(nothing(&first.callback, budget.0 == 0)),
    }
    Inference { verify: None, providers: Vec::new(), is_confirmed: false, words }
}

/// Whether a provider's scheme accepts them all; the time does not count, as they are of the past.
fn explains(provider: &Provider, samples: &[&Sample], secrets: &[SecretValue]) -> bool {
    let is_equal = provider.recipe().is_some_and(|recipe| recipe.algorithm == Algorithm::Equal);
    let is_long = secrets.iter().all(|secret| secret.bytes().len() >= EQUAL_BYTES_MIN);
    (!is_equal || is_long)
        && provider.signs_body()
        && samples.iter().all(|Sample { callback, .. }| {
            let now = callback.request.received_at;
            provider.verify(callback, secrets, None, Duration::MAX, now).is_ok()
        })
}

/// What a header or parameter may be.
struct Carrier {
    at: Source,
    value: Layout,
    encoding: Encoding,
    mac: Vec<u8>,
    timestamp: Option<String>,
}

/// The recipes that explain one callback.
fn ways(callback: &Callback, secrets: &[SecretValue], change: &'static Change, budget: &mut Budget) -> Vec<Way> {
    let mut found = Vec::new();
    let Some(changed) = (change.apply)(callback) else { return found };
    let url = changed.url();
    for carrier in carriers(callback) {
        let Some(algorithm) = algorithm_of(carrier.mac.len()).filter(|_| carrier.encoding != Encoding::Text) else {
            found.extend(is_secret(&carrier, secrets).then(|| Way {
                recipe: Recipe { value: carrier.value.clone(), ..Recipe::equal(carrier.at.clone(), "") },
                change,
            }));
            continue;
        };
        for (timestamp, time) in carrier.times(callback) {
            for (id, given) in ids(callback) {
                for signed in templates(time.is_some(), given.is_some()) {
                    let bytes = |part: &Part| {
                        part.bytes(&changed, &url, time.as_deref(), given.as_deref()).map(Cow::into_owned)
                    };
                    let Ok(message) = signed.iter().map(bytes).collect::<Result<Vec<_>, _>>() else { continue };
                    let Some(forms) = forms(algorithm, &message.concat(), &carrier.mac, secrets, change, budget) else {
                        return found;
                    };
                    found.extend(forms.into_iter().map(|key| {
                        let recipe = Recipe {
                            algorithm,
                            key,
                            at: vec![carrier.at.clone()],
                            value: carrier.value.clone(),
                            encoding: carrier.encoding,
                            signed: signed.clone(),
                            timestamp: timestamp.clone(),
                            id_is_needed: id.is_some(),
                            id: id.clone(),
                        };
                        Way { recipe, change }
                    }));
                }
            }
        }
    }
    found
}

/// Whether it is the secret itself.
fn is_secret(carrier: &Carrier, secrets: &[SecretValue]) -> bool {
    let is_it =
        |secret: &SecretValue| secret.bytes().len() >= EQUAL_BYTES_MIN && are_equal(secret.bytes(), &carrier.mac);
    carrier.encoding == Encoding::Text && secrets.iter().any(is_it)
}

/// The forms of keys under which the hash is that of the message; `None` when no more may be hashed.
fn forms(
    algorithm: Algorithm,
    message: &[u8],
    mac: &[u8],
    secrets: &[SecretValue],
    change: &Change,
    budget: &mut Budget,
) -> Option<Vec<KeyForm>> {
    let mut found = Vec::new();
    for (_, form) in KeyForm::NAMES {
        for secret in secrets {
            let secret = (change.secret)(secret.bytes());
            let Ok(key) = Key::of(algorithm, form, &secret) else { continue };
            if !budget.take(message.len()) {
                return None;
            }
            if key.signs(&[Cow::Borrowed(message)], mac) {
                found.push(form);
            }
        }
    }
    Some(found)
}

impl Carrier {
    /// The times that may be signed with it, and none.
    fn times(&self, callback: &Callback) -> Vec<(Option<Source>, Option<String>)> {
        match &self.timestamp {
            Some(time) => vec![(None, Some(time.clone()))],
            None => {
                let in_headers = times(callback).into_iter().map(|(source, text)| (Some(source), Some(text)));
                in_headers.chain([(None, None)]).collect()
            }
        }
    }
}

/// Whether another callback is explained, too.
fn follows(way: &Way, callback: &Callback, secrets: &[SecretValue]) -> bool {
    let Some(mut changed) = (way.change.apply)(callback) else { return false };
    let secrets: Vec<_> =
        secrets.iter().map(|secret| SecretValue::new((way.change.secret)(secret.bytes()).into_owned())).collect();
    let now = changed.request.received_at;
    changed.request.headers.clone_from(&callback.request.headers);
    way.recipe.verify(&changed, &secrets, None, Duration::MAX, now).is_ok()
}

/// Headers that never carry a proof.
fn is_common(name: &str) -> bool {
    const COMMON: &[&str] = &[
        "accept",
        "connection",
        "content-length",
        "content-type",
        "date",
        "forwarded",
        "host",
        "user-agent",
        "via",
        "traceparent",
        "transfer-encoding",
    ];
    COMMON.contains(&name) || name.starts_with("accept-") || name.starts_with("x-forwarded")
}

/// Every header and parameter of the callback that is there once.
fn places(callback: &Callback) -> Vec<(Source, String)> {
    let request = &callback.request;
    let headers = request.headers.keys().filter(|name| !is_common(name.as_str()));
    let mut sources: Vec<Source> = headers.map(|name| Source::Header(name.as_str().to_owned())).collect();
    sources.sort_by_key(ToString::to_string);
    sources.extend(request.query_pairs().map(|(name, _)| Source::Query(name.into_owned())));
    let texts = sources.into_iter().filter_map(|source| source.one(request).ok().map(|text| (source, text)));
    texts.filter(|(_, text)| text.len() <= VALUE_BYTES_MAX).collect()
}

/// What may be a keyed hash, or the secret.
fn carriers(callback: &Callback) -> Vec<Carrier> {
    let mut found = Vec::new();
    for (at, text) in places(callback) {
        for value in layouts(&text) {
            let mut read = Found::default();
            if value.read(&text, &mut read).is_err() {
                continue;
            }
            let Some(signature) = read.signatures.first() else { continue };
            for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url, Encoding::Text] {
                let Some(mac) = encoding.decode(signature) else { continue };
                if encoding == Encoding::Text || algorithm_of(mac.len()).is_some() {
                    let (at, value, timestamp) = (at.clone(), value.clone(), read.timestamp.clone());
                    found.push(Carrier { at, value, encoding, mac, timestamp });
                }
            }
        }
    }
    found
}

fn algorithm_of(length: usize) -> Option<Algorithm> {
    match length {
        20 => Some(Algorithm::Sha1),
        32 => Some(Algorithm::Sha256),
        48 => Some(Algorithm::Sha384),
        64 => Some(Algorithm::Sha512),
        _ => None,
    }
}

/// How a header may be composed: what is before the signature, or items of which one may be a time.
fn layouts(text: &str) -> Vec<Layout> {
    let mut found = vec![Layout::alone("")];
    for end in ['=', ',', ' ', ':'] {
        if let Some((prefix, rest)) =
            text.split_once(end).filter(|(prefix, rest)| prefix.len() <= 20 && !rest.is_empty())
        {
            let _ = rest;
            found.push(Layout::alone(&format!("{prefix}{end}")));
        }
    }
    for separator in [',', ';', ' ', '&'] {
        let items: Vec<&str> = text.split(separator).map(str::trim).filter(|item| !item.is_empty()).collect();
        let named: Option<Vec<(&str, &str)>> =
            items.iter().map(|item| item.split_once(['=', ':', ',']).filter(|(name, _)| name.len() <= 20)).collect();
        let Some(named) = named.filter(|_| (2..=8).contains(&items.len())) else { continue };
        let marked = |name: &str, item: &str| item.get(..=name.len()).unwrap_or_default().to_owned();
        let time = named.iter().zip(&items).find(|((_, value), _)| is_time(value));
        let is_mac = |value: &str| {
            let lengths = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url].map(|encoding| encoding.decode(value));
            lengths.iter().flatten().any(|mac| algorithm_of(mac.len()).is_some())
        };
        for ((name, _), item) in named.iter().zip(&items).filter(|((_, value), _)| is_mac(value)) {
            let signature = format!("{}{{signature}}", marked(name, item));
            let composed = match time {
                Some(((name, _), item)) => format!("{}{{timestamp}}{separator}{signature}", marked(name, item)),
                None => signature,
            };
            found.extend(Layout::parse(&composed, Some(separator)));
        }
    }
    found
}

fn is_time(text: &str) -> bool {
    text.len() >= 10 && signed_at(text).is_some_and(|at| (1_000_000_000..10_000_000_000).contains(&at))
}

fn times(callback: &Callback) -> Vec<(Source, String)> {
    let times =
        places(callback).into_iter().filter(|(source, text)| matches!(source, Source::Header(_)) && is_time(text));
    times.take(HEADERS_MAX).collect()
}

/// Headers whose names say that they are an id, and none.
fn ids(callback: &Callback) -> Vec<(Option<Source>, Option<String>)> {
    let words = ["id", "nonce", "delivery", "uuid", "guid"];
    let is_id = |source: &Source| match source {
        Source::Header(name) => name.split(['-', '_']).any(|word| words.contains(&word)),
        _ => false,
    };
    let named =
        places(callback).into_iter().filter(|(source, text)| is_id(source) && text.len() <= 200).take(HEADERS_MAX);
    let named = named.map(|(source, text)| (Some(source), Some(text)));
    [(None, None)].into_iter().chain(named).collect()
}

/// The texts that are tried: those that providers sign, and their like.
fn templates(has_time: bool, has_id: bool) -> Vec<Vec<Part>> {
    const JOINTS: [&str; 9] = ["", ".", ":", "|", ",", ";", "-", "\n", "&"];
    let mut texts: Vec<String> = Vec::new();
    match (has_time, has_id) {
        (false, false) => {
            let plain = ["{body}", "{url}{body}", "{body}{url}", "{method}{url}{body}", "{path}{body}", "{url}{form}"];
            texts.extend(plain.map(str::to_owned));
            texts.extend(["sha256=", "hmacsha256=", "v0:", "v1:"].map(|prefix| format!("{prefix}{{body}}")));
        }
        (true, false) => {
            for joint in JOINTS {
                texts.push(format!("{{timestamp}}{joint}{{body}}"));
                texts.push(format!("{{body}}{joint}{{timestamp}}"));
                texts.push(format!("{{timestamp}}{joint}{{url}}{joint}{{body}}"));
                texts.push(format!("{{method}}{joint}{{url}}{joint}{{body}}{joint}{{timestamp}}"));
                texts.push(format!("{{timestamp}}{joint}{{method}}{joint}{{path}}{joint}{{body}}"));
            }
            for version in ["v0", "v1", "v2"] {
                texts.push(format!("{version}:{{timestamp}}:{{body}}"));
                texts.push(format!("{version}.{{timestamp}}.{{body}}"));
            }
        }
        (false, true) => {
            for joint in JOINTS {
                texts.push(format!("{{id}}{joint}{{body}}"));
                texts.push(format!("{{body}}{joint}{{id}}"));
            }
        }
        (true, true) => {
            for joint in JOINTS {
                texts.push(format!("{{id}}{joint}{{timestamp}}{joint}{{body}}"));
                texts.push(format!("{{timestamp}}{joint}{{id}}{joint}{{body}}"));
                texts.push(format!("{{body}}{joint}{{id}}{joint}{{timestamp}}"));
            }
        }
    }
    texts.iter().filter_map(|text| Part::parse(text).ok()).collect()
}

/// The block of a flow.
fn block(recipe: &Recipe, secret: &str) -> String {
    let scheme = if recipe.algorithm == Algorithm::Equal { "api-key" } else { "hmac" };
    let mut text = format!("{{ scheme: {scheme}, secret: {secret}");
    // Writing to a string does not fail.
    let mut put = |key: &str, value: &str| {
        let _ = write!(text, ", {key}: {value}");
    };
    match recipe.at.first() {
        Some(Source::Query(name)) => put("query", &quoted(name)),
        Some(source) => put("header", &source.to_string()),
        None => {}
    }
    let named = |words: &[(&'static str, Algorithm)]| {
        words.iter().find(|(_, known)| *known == recipe.algorithm).map(|(word, _)| *word)
    };
    if recipe.algorithm == Algorithm::Equal {
        let value = recipe.value.to_string();
        if let Some(prefix) = value.strip_suffix("{signature}").filter(|prefix| !prefix.is_empty()) {
            put("prefix", &quoted(prefix));
        }
    } else {
        if let Some(word) = named(&Algorithm::KEYED_HASHES).filter(|word| *word != "sha256") {
            put("algorithm", word);
        }
        if let Some((word, _)) =
            Encoding::NAMES.iter().find(|(_, known)| *known == recipe.encoding && *known != Encoding::Hex)
        {
            put("encoding", word);
        }
        if let Some((word, _)) =
            KeyForm::NAMES.iter().find(|(_, known)| *known == recipe.key && *known != KeyForm::Text)
        {
            put("key", word);
        }
        let value = recipe.value.to_string();
        if value != "{signature}" {
            put("value", &quoted(&value));
        }
        if let Some(separator) = recipe.value.separator().filter(|_| !recipe.value.has_time()) {
            put("separator", &quoted(&separator.to_string()));
        }
        let signed: String = recipe.signed.iter().map(ToString::to_string).collect();
        if signed != "{body}" {
            put("signed", &quoted(&signed));
        }
        if let Some(source) = &recipe.timestamp {
            put("timestamp_header", &source.to_string());
        }
        if let Some(source) = &recipe.id {
            put("id_header", &source.to_string());
        }
    }
    text + " }"
}

/// A text of YAML.
fn quoted(text: &str) -> String {
    if text.contains(['\n', '\'']) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    }
    format!("'{text}'")
}

/// A recipe in words.
fn said(recipe: &Recipe) -> String {
    let places: Vec<String> = recipe.at.iter().map(ToString::to_string).collect();
    let signed: String = recipe.signed.iter().map(ToString::to_string).collect();
    let what = if signed == "{body}" { "the body".to_owned() } else { format!("`{signed}`") };
    format!("{}: {} of {what} matches", places.join(", "), recipe.algorithm)
}

/// What was seen, where nothing matches.
fn nothing(callback: &Callback, is_used_up: bool) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for carrier in carriers(callback).iter().filter(|carrier| carrier.encoding != Encoding::Text) {
        if let Some(algorithm) = algorithm_of(carrier.mac.len()) {
            seen.push(format!("{} has the length of {algorithm}, in {}", carrier.at, carrier.encoding));
        }
    }
    seen.sort();
    seen.dedup();
    let mut words = vec![match seen.is_empty() {
        true => "no recipe: no header and no parameter that was kept looks like a keyed hash".to_owned(),
        false => format!(
            "no recipe: {}; it is of nothing that was tried under this secret. Is it the right one?",
            seen.join("; ")
        ),
    }];
    if is_used_up {
        words.push("the bodies are too large to try everything: name callbacks with smaller ones".to_owned());
    }
    words
}

/// The same callback with another body.
fn with_body(callback: &Callback, body: impl Into<Bytes>) -> Callback {
    let mut changed = callback.clone();
    changed.request.body = body.into();
    changed
}

#[cfg(test)]
mod tests;
