//! The schemes of providers, as they document them: rows of `catalogue.json`.

use super::adyen;
use super::challenge::Challenge;
use super::jwt_hash::JwtHash;
use super::key::{KeyForm, are_equal};
use super::recipe::{Algorithm, Encoding, Recipe};
use super::standard_webhooks;
use super::template::{Layout, Part, Source};
use super::{Proof, not_genuine};
use crate::content::Coding;
use crate::redact::{Layer, MARK, blank_members, is_among};
use crate::vault::SecretValue;
use bytes::Bytes;
use ringback_records::callback::{Callback, Request};
use ringback_records::json;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::sync::LazyLock;
use std::time::Duration;

/// A provider whose scheme is built in: a row of the catalogue, with its vectors in the tests.
#[derive(Debug)]
pub struct Provider {
    /// The word that flows use.
    pub name: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// Where it documents its scheme.
    pub docs: &'static str,
    /// What else is to be known.
    pub note: &'static str,
    form: Form,
    /// The members of bodies that prove something, at any depth.
    pub(super) proofs: Vec<&'static str>,
    /// What it asks while a URL is being set up.
    pub(super) challenge: Option<Challenge>,
    /// How far the time of signing may be from now, where a flow does not say it.
    pub tolerance: Duration,
}

/// How a provider proves itself.
#[derive(Debug)]
enum Form {
    Recipe(Recipe),
    /// Standard Webhooks, by its own names of headers or those of Svix.
    StandardWebhooks,
    /// The secret itself, as `clientState` of each notification in the body.
    MicrosoftGraph,
    /// A keyed hash of some fields of each notification in the body.
    Adyen,
    /// A token with a hash of the body.
    Jwt(JwtHash),
}

/// A line of the file. What it leaves out is HMAC-SHA256 over the body, in hexadecimal, under the secret's own bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: &'static str,
    title: &'static str,
    docs: &'static str,
    #[serde(default)]
    note: &'static str,
    #[serde(default)]
    scheme: Scheme,
    #[serde(default)]
    algorithm: Algorithm,
    #[serde(default)]
    key: KeyForm,
    #[serde(default)]
    encoding: Encoding,
    /// Where the signature is.
    #[serde(default)]
    at: Vec<&'static str>,
    value: Option<&'static str>,
    separator: Option<char>,
    signed: Option<&'static str>,
    timestamp: Option<&'static str>,
    id: Option<&'static str>,
    #[serde(default)]
    proofs: Vec<&'static str>,
    challenge: Option<Challenge>,
    tolerance_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scheme {
    #[default]
    Recipe,
    StandardWebhooks,
    MicrosoftGraph,
    Adyen,
    /// `at` has the token, `value` what is before it, and `signed` names the claim.
    Jwt,
}

/// The rows, in the order of the manual: that of their names.
pub fn providers() -> &'static [Provider] {
    static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| load().unwrap_or_default());
    &PROVIDERS
}

fn load() -> Result<Vec<Provider>, String> {
    let rows: Vec<Row> = serde_json::from_str(include_str!("catalogue.json")).map_err(|error| error.to_string())?;
    rows.into_iter().map(Provider::of).collect()
}

impl Provider {
    fn of(row: Row) -> Result<Self, String> {
        let wrong = |reason: String| format!("{}: {reason}", row.name);
        let form = match row.scheme {
            Scheme::StandardWebhooks => Form::StandardWebhooks,
            Scheme::MicrosoftGraph => Form::MicrosoftGraph,
            Scheme::Adyen => Form::Adyen,
            Scheme::Jwt => Form::Jwt(jwt(&row).ok_or_else(|| wrong("the token is not described".to_owned()))?),
            Scheme::Recipe => Form::Recipe(recipe(&row).map_err(wrong)?),
        };
        let tolerance = row.tolerance_seconds.map_or(Duration::from_mins(5), Duration::from_secs);
        let Row { name, title, docs, note, proofs, challenge, .. } = row;
        Ok(Self { name, title, docs, note, form, proofs, challenge, tolerance })
    }

    /// The one that flows call so.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        providers().iter().find(|provider| provider.name == name)
    }

    /// The keys of `verify` that are for it; all but `tolerance`, `url` and `enforce` are needed.
    pub fn keys(&self) -> Vec<&'static str> {
        let mut keys = vec!["scheme", "secret"];
        keys.extend(self.asks_for_token().then_some("verify_token"));
        keys.extend(self.signs_time().then_some("tolerance"));
        keys.extend(self.signs_url().then_some("url"));
        keys.push("enforce");
        keys
    }

    /// Whether it shows a token of the trigger's while the URL is being set up.
    pub fn asks_for_token(&self) -> bool {
        self.challenge == Some(Challenge::VerifyToken)
    }

    /// How it is described as a recipe, where it can be.
    pub fn recipe(&self) -> Option<&Recipe> {
        match &self.form {
            Form::Recipe(recipe) => Some(recipe),
            Form::StandardWebhooks | Form::MicrosoftGraph | Form::Adyen | Form::Jwt(_) => None,
        }
    }

    fn signs_time(&self) -> bool {
        match &self.form {
            Form::Recipe(recipe) => recipe.signs_time(),
            Form::StandardWebhooks | Form::Jwt(_) => true,
            Form::MicrosoftGraph | Form::Adyen => false,
        }
    }

    pub fn signs_url(&self) -> bool {
        self.recipe().is_some_and(Recipe::signs_url)
    }

    /// Whether another body would need another proof.
    pub fn signs_body(&self) -> bool {
        match &self.form {
            Form::Recipe(recipe) => recipe.signs_body(),
            Form::StandardWebhooks | Form::Jwt(_) => true,
            Form::MicrosoftGraph | Form::Adyen => false,
        }
    }

    /// What the manual says of its proof.
    pub fn proof(&self) -> String {
        match &self.form {
            Form::StandardWebhooks => "Standard Webhooks, by `webhook-…` or `svix-…` headers".to_owned(),
            Form::MicrosoftGraph => "the secret as `clientState` of every notification".to_owned(),
            Form::Jwt(jwt) => format!("`{}`: a JWT by HS256, whose `{}` is SHA-256 of the body", jwt.at, jwt.claim),
            Form::Adyen => {
                "`additionalData.hmacSignature` of every notification: HMAC-SHA256 of eight of its fields".to_owned()
            }
            Form::Recipe(recipe) => {
                let places: Vec<String> = recipe.at.iter().map(|source| format!("`{source}`")).collect();
                let places = places.join(" or ");
                match recipe.algorithm {
                    Algorithm::Equal => format!("{places} has the secret"),
                    algorithm => {
                        let signed: String = recipe.signed.iter().map(ToString::to_string).collect();
                        format!("{places}: {algorithm} of `{signed}`")
                    }
                }
            }
        }
    }

    /// What it asks while a URL is set up, in words.
    pub fn question(&self) -> Option<&'static str> {
        self.challenge.map(Challenge::words)
    }

    /// Headers and parameters that carry the secret itself, as names of the list of what is never kept.
    pub fn carries_secret(&self) -> Vec<&str> {
        self.recipe().map_or_else(Vec::new, Recipe::carries_secret)
    }

    /// Why a secret cannot be one of its.
    ///
    /// # Errors
    ///
    /// In words that do not have the secret.
    pub fn check_secret(&self, secret: &[u8]) -> Result<(), String> {
        match &self.form {
            Form::Recipe(recipe) => recipe.check_secret(secret),
            Form::StandardWebhooks => standard_webhooks::check_secret(secret),
            Form::MicrosoftGraph | Form::Jwt(_) => Ok(()),
            Form::Adyen => KeyForm::Hex.bytes(secret).map(drop),
        }
    }

    pub(super) fn body_without_proof(&self, request: &Request) -> Option<Bytes> {
        let names = &*self.proofs;
        if names.is_empty() || request.body.is_empty() {
            return None;
        }
        // What is encoded yet may be anything.
        if request.expanded.is_none() && Coding::of(&request.headers) != Ok(None) {
            return Some(MARK.into());
        }
        if let Ok(mut body) = json::from_slice(request.content()) {
            return blank_members(&mut body, names).then(|| body.to_string().into());
        }
        if request.content_type().as_deref() == Some("application/x-www-form-urlencoded") {
            return form_without_proof(request.content(), names);
        }
        // What cannot be read is not kept where it may be the proof.
        Some(MARK.into())
    }

    pub(super) fn verify(
        &self,
        callback: &Callback,
        secrets: &[SecretValue],
        url: Option<&str>,
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        match &self.form {
            Form::Recipe(recipe) => recipe.verify(callback, secrets, url, tolerance, now),
            Form::StandardWebhooks => standard_webhooks::verify_as(&callback.request, secrets, tolerance, now),
            Form::MicrosoftGraph => microsoft_graph(&callback.request, secrets),
            Form::Adyen => adyen::verify(&callback.request, secrets),
            Form::Jwt(jwt) => jwt.verify(&callback.request, secrets, tolerance, now),
        }
    }

    pub(super) fn sign(
        &self,
        callback: &mut Callback,
        secret: &SecretValue,
        url: Option<&str>,
        now: Timestamp,
    ) -> Result<(), String> {
        match &self.form {
            Form::Recipe(recipe) => recipe.sign(callback, secret, url, now),
            Form::StandardWebhooks => standard_webhooks::sign(callback, secret, now),
            Form::MicrosoftGraph | Form::Adyen => Err("its proof stands in its body".to_owned()),
            Form::Jwt(_) => Err(format!("its proof is a token that {} makes", self.title)),
        }
    }
}

fn jwt(row: &Row) -> Option<JwtHash> {
    let at = Source::parse(row.at.first()?).ok()?;
    Some(JwtHash { at, prefix: row.value.unwrap_or_default(), claim: row.signed?, encoding: row.encoding })
}

fn recipe(row: &Row) -> Result<Recipe, String> {
    let source = |text: Option<&str>| text.map(Source::parse).transpose();
    let at = row.at.iter().map(|text| Source::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let is_equal = row.algorithm == Algorithm::Equal;
    let recipe = Recipe {
        algorithm: row.algorithm,
        key: row.key,
        value: Layout::parse(row.value.unwrap_or("{signature}"), row.separator)?,
        encoding: row.encoding,
        signed: if is_equal { Vec::new() } else { Part::parse(row.signed.unwrap_or("{body}"))? },
        timestamp: source(row.timestamp)?,
        id_is_needed: row.signed.is_some_and(|signed| signed.contains("{id}")),
        id: source(row.id)?,
        at,
    };
    if recipe.at.is_empty() {
        return Err("it does not say where the signature is".to_owned());
    }
    if recipe.signs_time() != (recipe.timestamp.is_some() || recipe.value.has_time()) {
        return Err("the time is signed where it is, and is where it is signed".to_owned());
    }
    Ok(recipe)
}

/// A form, of which some fields may be JSON.
fn form_without_proof(body: &[u8], names: &[&str]) -> Option<Bytes> {
    let (mut form, mut found) = (form_urlencoded::Serializer::new(String::new()), false);
    for (name, value) in form_urlencoded::parse(body) {
        let blanked = if is_among(names, &name) { Some(MARK.to_owned()) } else { field_without_proof(&value, names) };
        let name_blanked = field_without_proof(&name, names);
        found |= blanked.is_some() || name_blanked.is_some();
        form.append_pair(name_blanked.as_deref().unwrap_or(&name), blanked.as_deref().unwrap_or(&value));
    }
    found.then(|| form.finish().into())
}

/// A text that may be JSON, as a name is, too, when the form is none; `None` when it has no proof. What is broken may have one
/// where it names it in an object.
fn field_without_proof(text: &str, names: &[&str]) -> Option<String> {
    if let Ok(mut value) = json::from_slice(text.as_bytes()) {
        return blank_members(&mut value, names).then(|| value.to_string());
    }
    let written = Layer::of(text.as_bytes());
    let plain = String::from_utf8_lossy(&written.unescaped().unwrap_or(written).bytes).to_ascii_lowercase();
    let (_, object) = plain.split_once('{')?;
    names.iter().any(|name| object.contains(&name.to_ascii_lowercase())).then(|| MARK.to_owned())
}

fn microsoft_graph(request: &Request, secrets: &[SecretValue]) -> Result<Proof, Stop> {
    let body: Value = json::from_slice(&request.body).map_err(|_| not_genuine("the body is not JSON"))?;
    let list = body.get("value").and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| not_genuine("the body has no list of notifications as `value`"))?;
    for notification in list {
        let state = notification.get("clientState").and_then(Value::as_str);
        let state = state.ok_or_else(|| not_genuine("a notification has no `clientState`"))?;
        let is_right = |secret: &&SecretValue| are_equal(secret.bytes(), state.as_bytes()) && !state.is_empty();
        if secrets.iter().filter(is_right).count() == 0 {
            return Err(not_genuine("the `clientState` of a notification is not the secret"));
        }
    }
    Ok(Proof { reason: "`clientState` is the secret".into(), ..Proof::default() })
}

#[cfg(test)]
mod tests {
    use super::{load, providers};

    #[test]
    fn the_catalogue_can_be_read_and_is_in_order() {
        assert_eq!(load().map(|rows| rows.len()), Ok(providers().len()));
        let names: Vec<&str> = providers().iter().map(|provider| provider.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(names.len() >= 60, "{}", names.len());
        for provider in providers() {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(provider.name.bytes().all(fits), "{}", provider.name);
            assert!(provider.docs.starts_with("https://") && !provider.title.is_empty(), "{}", provider.name);
            assert!(
                provider.signs_body() || !provider.note.is_empty(),
                "{}: a body that nothing signs is said",
                provider.name
            );
        }
    }
}
