//! `verify`: how the callers of a trigger prove who they are.

use super::{Members, Parser};
use crate::flow::document::{Kind, Node};
use crate::flow::schema::keys;
use crate::suggest::suggest;
use crate::verify::{
    self, Algorithm, ByCertificate, Encoding, KeyForm, Layout, MessageAlgorithm, MessageSignature, Part, PayPal, Plaid,
    Provider, Recipe, Sns, Source, Verify, challenge,
};
use ringback_records::plugin::Role;
use serde_json::Value;
use std::time::Duration;
use url::Host;

/// How far the time of signing may be from now, where nobody says it.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Who makes the proof that a flow describes.
#[derive(Clone, Copy)]
enum Signer {
    /// Whoever has the secret, by a keyed hash.
    Secret,
    /// Whoever has the private key.
    PrivateKey,
}

impl Parser {
    /// How callers prove themselves, and whether those who do not are refused.
    pub(super) fn verify(&mut self, node: &Node) -> (Option<Verify>, bool) {
        if let Kind::Scalar(_) = &node.kind {
            let none = self.choice(node, "a way to verify without parameters", &["none"]);
            return (none.map(|_| Verify::None), true);
        }
        if let Some(call) = self.call(node, Role::Verifier) {
            return (call.map(Verify::Plugin), true);
        }
        let member = |name: &str| match &node.kind {
            Kind::Object(list) => list.iter().find(|member| member.name == name).map(|member| &member.value),
            _ => None,
        };
        let Some(scheme) = member("scheme") else {
            self.mistakes.push(node.mistake(format!(
                "`verify` needs `scheme` (a provider of `ringback verify list`, {}), `plugin` or `script`; found {}",
                verify::DESCRIBED.join(", "),
                node.describe()
            )));
            return (None, true);
        };
        let enforce = member("enforce").is_none_or(|node| self.is_true(node));
        (self.scheme(node, scheme), enforce)
    }

    fn scheme(&mut self, node: &Node, scheme: &Node) -> Option<Verify> {
        let name = self.text(scheme)?;
        match name {
            "none" => self.object(node, "`scheme: none`", &keys("schemeNone")).map(|_| Verify::None),
            "standard-webhooks" => {
                let members = self.object(node, "`scheme: standard-webhooks`", &keys("schemeStandardWebhooks"))?;
                let tolerance = self.tolerance(&members, TOLERANCE);
                Some(Verify::StandardWebhooks { secrets: self.secrets(&members, "secret")?, tolerance })
            }
            "cloudevents" => {
                let members = self.object(node, "`scheme: cloudevents`", &keys("schemeCloudevents"))?;
                let list = self.required(&members, "origins")?;
                let Kind::List(items) = &list.kind else {
                    self.wrong(list, "a list of origins, such as [eventgrid.azure.net], or ['*']");
                    return None;
                };
                let origins: Vec<String> = items.iter().filter_map(|item| self.text(item).map(str::to_owned)).collect();
                for (item, origin) in items.iter().zip(&origins) {
                    if !challenge::is_origin(origin) {
                        let detail =
                            "no sender can say that it is of this origin: it is a name such as eventgrid.azure.net";
                        self.refused.push(item.mistake(detail));
                    }
                }
                Some(Verify::CloudEvents { origins })
            }
            "hmac" => {
                let members = self.object(node, "`scheme: hmac`", &keys("schemeHmac"))?;
                self.signed_by(&members, Signer::Secret)
            }
            "signature" => {
                let members = self.object(node, "`scheme: signature`", &keys("schemeSignature"))?;
                self.signed_by(&members, Signer::PrivateKey)
            }
            "http-message-signatures" => self.message(node),
            "api-key" => self.api_key(node),
            "sns" => self.sns(node),
            "plaid" => {
                let members = self.object(node, "`scheme: plaid`", &keys("schemePlaid"))?;
                let client_id = self.required(&members, "client_id").and_then(|node| self.secret_name(node));
                let secret = self.required(&members, "secret").and_then(|node| self.secret_name(node));
                let url = match members.get("url") {
                    Some(node) => {
                        let url = self.url(&members)?.trim_end_matches('/').to_owned();
                        if !is_secret_on_the_way(&url) {
                            let detail =
                                "the secret goes to this URL, and must not be readable on the way: write https";
                            self.refused.push(node.mistake(detail));
                        }
                        url
                    }
                    None => "https://production.plaid.com".to_owned(),
                };
                Some(Verify::Plaid(Plaid { client_id: client_id?, secret: secret?, url }))
            }
            "paypal" => {
                let members = self.object(node, "`scheme: paypal`", &keys("schemePaypal"))?;
                let webhook_id = self.required(&members, "webhook_id").and_then(|node| self.text(node))?.to_owned();
                Some(Verify::Certificate(ByCertificate::PayPal(PayPal { webhook_id })))
            }
            "basic" => {
                let members = self.object(node, "`scheme: basic`", &keys("schemeBasic"))?;
                let at = Source::Header("authorization".to_owned());
                let recipe = Recipe { encoding: Encoding::Base64, ..Recipe::equal(at, "Basic ") };
                self.described(&members, recipe)
            }
            name => match Provider::by_name(name) {
                Some(provider) => self.provider(node, provider),
                None => {
                    let nearest = suggest(name, verify::schemes());
                    let detail = format!(
                        "`{name}` is no scheme{nearest}; there are {}, and the providers of `ringback verify list`",
                        verify::DESCRIBED.join(", ")
                    );
                    self.mistakes.push(scheme.mistake(detail));
                    None
                }
            },
        }
    }

    fn provider(&mut self, node: &Node, provider: &'static Provider) -> Option<Verify> {
        let members = self.object(node, &format!("`scheme: {}`", provider.name), &provider.keys())?;
        let secrets = self.secrets(&members, "secret");
        let tolerance = self.tolerance(&members, provider.tolerance);
        let url = self.url(&members);
        let verify_tokens =
            if provider.asks_for_token() { self.secrets(&members, "verify_token")? } else { Vec::new() };
        Some(Verify::Provider { provider, secrets: secrets?, tolerance, verify_tokens, url })
    }

    fn described(&mut self, members: &Members<'_>, recipe: Recipe) -> Option<Verify> {
        let tolerance = self.tolerance(members, TOLERANCE);
        let url = self.url(members);
        Some(Verify::Described { recipe: Box::new(recipe), secrets: self.secrets(members, "secret")?, tolerance, url })
    }

    /// A header or parameter that is the secret.
    fn api_key(&mut self, node: &Node) -> Option<Verify> {
        let members = self.object(node, "`scheme: api-key`", &keys("schemeApiKey"))?;
        let at = self.carrier(&members);
        let prefix = members.get("prefix").and_then(|node| self.text(node)).unwrap_or_default();
        self.described(&members, Recipe::equal(at?, prefix))
    }

    /// Where the proof is: `header` or `query`.
    fn carrier(&mut self, members: &Members<'_>) -> Option<Source> {
        match (members.get("header"), members.get("query")) {
            (Some(node), None) => self.header_name(node).map(Source::Header),
            (None, Some(node)) => self.text(node).map(|name| Source::Query(name.to_owned())),
            _ => {
                self.mistakes.push(members.node.mistake("it has either `header` or `query`"));
                None
            }
        }
    }

    fn signed_by(&mut self, members: &Members<'_>, signer: Signer) -> Option<Verify> {
        let at = self.carrier(members);
        let (algorithm, encoding) = match signer {
            Signer::Secret => {
                let named =
                    members.get("algorithm").map(|node| self.word(node, "an algorithm", &Algorithm::KEYED_HASHES));
                (named.unwrap_or(Some(Algorithm::Sha256))?, Encoding::Hex)
            }
            Signer::PrivateKey => {
                let node = self.required(members, "algorithm")?;
                (self.word(node, "an algorithm", &Algorithm::SIGNATURES)?, Encoding::Base64)
            }
        };
        let encoding =
            members.get("encoding").map_or(Some(encoding), |node| self.word(node, "an encoding", &Encoding::NAMES))?;
        let key = members
            .get("key")
            .map_or(Some(KeyForm::Text), |node| self.word(node, "a form of keys", &KeyForm::NAMES))?;
        let value = self.layout(members)?;
        let timestamp = members.get("timestamp_header").and_then(|node| self.header_name(node)).map(Source::Header);
        let id = members.get("id_header").and_then(|node| self.header_name(node)).map(Source::Header);
        let (has_time, has_id) = (timestamp.is_some() || value.has_time(), id.is_some() || value.has_id());
        let signed = match members.get("signed") {
            None => vec![Part::Body],
            Some(node) => self.signed(node, has_time, has_id)?,
        };
        if has_time && !signed.contains(&Part::Timestamp) {
            let detail = "a timestamp that is not signed proves nothing: put {timestamp} into `signed`";
            self.mistakes.push(members.node.mistake(detail));
        }
        let recipe = Recipe {
            algorithm,
            key,
            at: vec![at?],
            value,
            encoding,
            signed,
            timestamp,
            id_is_needed: id.is_some(),
            id,
        };
        self.described(members, recipe)
    }

    /// HTTP Message Signatures (RFC 9421). Without the digest of the body anyone could change it.
    fn message(&mut self, node: &Node) -> Option<Verify> {
        let members = self.object(node, "`scheme: http-message-signatures`", &keys("schemeMessageSignatures"))?;
        let algorithm = self.required(&members, "algorithm")?;
        let algorithm = self.word(algorithm, "an algorithm", &MessageAlgorithm::NAMES)?;
        let key = members
            .get("key")
            .map_or(Some(KeyForm::Text), |node| self.word(node, "a form of keys", &KeyForm::NAMES))?;
        let mut covered = vec!["content-digest".to_owned()];
        if let Some(node) = members.get("covered") {
            let Kind::List(items) = &node.kind else {
                self.wrong(node, "a list of headers and derived components, such as ['@method', '@target-uri']");
                return None;
            };
            for item in items {
                let name = self.text(item)?.to_ascii_lowercase();
                let is_known = match name.starts_with('@') {
                    true => verify::DERIVED.contains(&name.as_str()),
                    false => ::http::HeaderName::from_bytes(name.as_bytes()).is_ok(),
                };
                if !is_known {
                    // No sender could sign another part, or none that is known here.
                    self.wrong(item, &format!("the name of a header, or one of {}", verify::DERIVED.join(", ")));
                    return None;
                }
                if !covered.contains(&name) {
                    covered.push(name);
                }
            }
        }
        let wanted = MessageSignature { algorithm, key, covered };
        let tolerance = self.tolerance(&members, TOLERANCE);
        let url = self.url(&members);
        Some(Verify::Message { wanted, secrets: self.secrets(&members, "secret")?, tolerance, url })
    }

    /// Amazon SNS. Anybody may have a topic: it is said which count.
    fn sns(&mut self, node: &Node) -> Option<Verify> {
        let members = self.object(node, "`scheme: sns`", &keys("schemeSns"))?;
        let list = self.required(&members, "topics")?;
        let topics = match &list.kind {
            Kind::List(items) if !items.is_empty() => items.iter().filter_map(|item| self.text(item)).collect(),
            _ => Vec::new(),
        };
        if topics.is_empty() || !topics.iter().all(|topic| topic.starts_with("arn:")) {
            self.wrong(list, "a list of the ARNs of topics, such as ['arn:aws:sns:us-east-2:123456789012:orders']");
            return None;
        }
        let topics = topics.into_iter().map(str::to_owned).collect();
        let confirm = members.get("confirm").is_some_and(|node| self.is_true(node));
        Some(Verify::Certificate(ByCertificate::Sns(Sns { topics, confirm })))
    }

    /// What the header is composed of: `value`, or a `prefix` before the signature.
    fn layout(&mut self, members: &Members<'_>) -> Option<Layout> {
        let separator = match members.get("separator") {
            None => None,
            Some(node) => {
                let mut characters = self.text(node)?.chars();
                let (first, second) = (characters.next(), characters.next());
                if first.is_none() || second.is_some() {
                    self.wrong(node, "one character");
                    return None;
                }
                first
            }
        };
        match (members.get("value"), members.get("prefix")) {
            (Some(_), Some(prefix)) => {
                self.mistakes.push(prefix.mistake("`value` says what stands before the signature, too"));
                None
            }
            (Some(node), None) => {
                let text = self.text(node)?;
                Layout::parse(text, separator).map_err(|detail| self.mistakes.push(node.mistake(detail))).ok()
            }
            (None, prefix) => Some(Layout::alone(prefix.and_then(|node| self.text(node)).unwrap_or_default())),
        }
    }

    /// `{timestamp}.{body}`: places in braces, everything else as it stands.
    fn signed(&mut self, node: &Node, timestamp: bool, id: bool) -> Option<Vec<Part>> {
        let text = self.text(node)?;
        let parts = Part::parse(text).map_err(|detail| self.mistakes.push(node.mistake(detail))).ok()?;
        for (place, known, part) in [("timestamp", timestamp, Part::Timestamp), ("id", id, Part::Id)] {
            if parts.contains(&part) && !known {
                self.mistakes
                    .push(node.mistake(format!("{{{place}}} needs `{place}_header`, or its place in `value`")));
                return None;
            }
        }
        if !parts.iter().any(|part| matches!(part, Part::Body | Part::Form)) {
            self.mistakes.push(node.mistake("`signed` must contain {body}: else anyone could change the body"));
            return None;
        }
        Some(parts)
    }

    fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let found = self.choice(node, what, &names)?;
        words.iter().find(|(name, _)| *name == found).map(|(_, meaning)| *meaning)
    }

    fn tolerance(&mut self, members: &Members<'_>, default: Duration) -> Duration {
        let node = members.get("tolerance");
        node.and_then(|node| self.duration(node, Duration::from_secs(1), Duration::from_hours(1))).unwrap_or(default)
    }

    /// The URL as the sender has it, where another one is called.
    fn url(&mut self, members: &Members<'_>) -> Option<String> {
        let node = members.get("url")?;
        let text = self.text(node)?;
        if text.parse().is_ok_and(|url: url::Url| matches!(url.scheme(), "http" | "https")) {
            return Some(text.to_owned());
        }
        self.wrong(node, "the https URL that the sender calls");
        None
    }

    pub(super) fn is_true(&mut self, node: &Node) -> bool {
        let Kind::Scalar(Value::Bool(is)) = node.kind else {
            self.wrong(node, "true or false");
            return true;
        };
        is
    }
}

/// Whether nobody reads on the way what goes to a URL: it is encrypted, or goes to this machine.
fn is_secret_on_the_way(url: &str) -> bool {
    let Ok(url) = url.parse::<url::Url>() else { return false };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_here
}
