//! Users whom JSON Web Tokens prove: by a shared secret, and by keys that an issuer publishes.

use crate::support::TestServer;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;

const SECRET: &str = "a shared secret of at least 32 bytes";

fn flow(jwt: &str) -> String {
    format!(
        "flow: guarded\nsteps:\n  - trigger: Call\n    mode: sync\n    auth: {{ jwt: {jwt}, roles: [cashier] }}\n  \
         - respond: {{ json: {{ id: '${{{{ user.objectId }}}}', email: '${{{{ user.email }}}}' }} }}\n"
    )
}

#[expect(clippy::disallowed_methods, reason = "tokens are made for the clock of the machine")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({
        "sub": "jane", "email": "jane@example.com", "roles": ["cashier"], "iss": "https://id.example",
        "aud": ["other", "shop"], "exp": now() + 300,
    })
}

/// The claims with some changed, or, where null, left out.
fn but(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn by_secret(algorithm: Algorithm, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A key of an issuer.
struct Key {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Key {
    fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let key = match algorithm {
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
            }
            Algorithm::EdDSA => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref())
            }
            _ => {
                let der = KeyPair::generate(KeySize::Rsa2048).unwrap();
                let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = der.as_der().unwrap();
                // What PKCS #8 wraps, behind a head of fixed size.
                EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
            }
        };
        Self { id, algorithm, key }
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) }
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }

    fn token(&self) -> String {
        self.sign(&self.header(), &claims())
    }

    fn published(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }
}

/// What an issuer publishes, and how often it was asked.
#[derive(Clone, Default)]
struct Issuer(Arc<Mutex<(Value, usize)>>);

impl Issuer {
    async fn start(keys: Value) -> (Self, String) {
        let issuer = Self::default();
        issuer.publish(keys);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answering = issuer.clone();
        let answer = move || {
            let mut state = answering.0.lock().unwrap();
            state.1 += 1;
            let body = state.0.clone();
            async move { axum::Json(body) }
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        (issuer, address)
    }

    fn publish(&self, keys: Value) {
        self.0.lock().unwrap().0 = json!({ "keys": keys });
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl TestServer {
    /// The status and the reason of a call with a token.
    async fn call_with(&self, url: &str, token: &str) -> (u16, String) {
        let answered = self.call(Method::POST, url).bearer_auth(token).json(&json!({})).send().await.unwrap();
        let record = self.callback(&answered).await;
        let refusal = record["trace"].as_array().unwrap().iter().find(|entry| entry["verdict"] != "passed");
        (answered.status().as_u16(), refusal.map(|entry| entry["reason"].to_string()).unwrap_or_default())
    }
}

/// By a shared secret: the claims are the user; what is wrong with a token is in the record and not in the answer.
#[tokio::test]
async fn a_shared_secret_proves_users() {
    let server = TestServer::start().await;
    let jwt = "{ secret: [JWT, OLD_JWT], issuer: 'https://id.example', audience: shop }";
    let url = server.deploy(&flow(jwt)).await;
    let good = by_secret(Algorithm::HS256, &claims());
    assert_eq!(server.call_with(&url, &good).await.0, 500, "the secret is missing");
    server.set_secret("JWT", "the next one").await;
    server.set_secret("OLD_JWT", SECRET).await;
    let forged = |header: Value, claims: &Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&header), part(claims))
    };
    let signed = |changes: Value| by_secret(Algorithm::HS256, &but(&changes));
    let parts: Vec<&str> = good.split('.').collect();
    let tampered =
        format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(but(&json!({ "sub": "root" })).to_string()), parts[2]);
    let mut critical = Header::new(Algorithm::HS256);
    critical.crit = Some(vec!["b64".to_owned()]);
    let critical = encode(&critical, &claims(), &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    let other = encode(&Header::default(), &claims(), &EncodingKey::from_secret(b"another secret")).unwrap();
    for (token, reason) in [
        (String::new(), "no user token"),
        ("rbu_abc".to_owned(), "no JWT"),
        ("a.b.c".to_owned(), "no JWT"),
        (forged(json!({ "alg": "none", "typ": "JWT" }), &claims()), "no JWT"),
        (forged(json!({ "alg": "HS256" }), &claims()), "signature"),
        (forged(json!({ "alg": "RS256" }), &claims()), "does not take the algorithm RS256"),
        (tampered, "signature"),
        (other, "signature"),
        (critical, "crit"),
        (signed(json!({ "exp": now() - 120 })), "has expired"),
        (signed(json!({ "exp": null })), "no `exp`"),
        (signed(json!({ "exp": "tomorrow" })), "no `exp`"),
        (signed(json!({ "nbf": now() + 120 })), "not valid yet"),
        (signed(json!({ "iss": "https://evil.example" })), "another issuer"),
        (signed(json!({ "iss": null })), "no `iss`"),
        (signed(json!({ "aud": "other" })), "another audience"),
        (signed(json!({ "aud": null })), "no `aud`"),
        (signed(json!({ "sub": null })), "id of the user"),
        (signed(json!({ "sub": { "a": 1 } })), "not well formed"),
    ] {
        let (status, said) = server.call_with(&url, &token).await;
        assert_eq!((status, said.contains(reason)), (401, true), "{token}: {said}");
    }
    let (status, said) = server.call_with(&url, &signed(json!({ "roles": ["clerk"] }))).await;
    assert_eq!((status, said.contains("does not have the role cashier")), (403, true), "{said}");
    for token in [
        good.clone(),
        by_secret(Algorithm::HS512, &claims()),
        signed(json!({ "roles": "clerk cashier" })),
        signed(json!({ "exp": now() - 30, "nbf": now() + 30 })),
        signed(json!({ "sub": 7 })),
    ] {
        assert_eq!(server.call_with(&url, &token).await, (200, String::new()), "{token}");
    }
    let answered = server.call(Method::POST, &url).header("user-token", good).json(&json!({})).send().await.unwrap();
    let record = server.callback(&answered).await;
    assert_eq!(answered.json::<Value>().await.unwrap(), json!({ "id": "jane", "email": "jane@example.com" }));
    assert_eq!((&record["user"]["objectId"], record["headers"].to_string().contains("eyJ")), (&json!("jane"), false));
}

/// By published keys: of each kind, by name, and none that is for something else; a token's own words about keys count nothing.
#[tokio::test]
async fn published_keys_prove_users() {
    let (rsa, ec, ed) =
        (Key::new("rsa", Algorithm::RS256), Key::new("ec", Algorithm::ES256), Key::new("ed", Algorithm::EdDSA));
    let (evil, encrypts) = (Key::new("rsa", Algorithm::RS256), Key::new("enc", Algorithm::RS256));
    let mut for_encryption = encrypts.published();
    for_encryption["use"] = json!("enc");
    let unknown = json!({ "kty": "future", "kid": "future", "x5c": 1 });
    let keys = json!([unknown, rsa.published(), ec.published(), ed.published(), for_encryption]);
    let (issuer, address) = Issuer::start(keys).await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![address.clone()]).await;
    let jwks = format!("http://{address}/jwks.json");
    let url =
        server.deploy(&flow(&format!("{{ jwks: '{jwks}', issuer: 'https://id.example', audience: shop }}"))).await;
    for key in [&rsa, &ec, &ed] {
        assert_eq!(server.call_with(&url, &key.token()).await, (200, String::new()), "{}", key.id);
        let nameless = key.sign(&Header::new(key.algorithm), &claims());
        assert_eq!(server.call_with(&url, &nameless).await.0, 200, "the only one of its kind");
    }
    assert_eq!(issuer.asked(), 1, "once for all of them");
    let public = rsa.published()["n"].as_str().unwrap().to_owned();
    let confused = encode(
        &Header { kid: Some("rsa".into()), ..Header::new(Algorithm::HS256) },
        &claims(),
        &EncodingKey::from_secret(public.as_bytes()),
    )
    .unwrap();
    let own_key = Header { jwk: Some(serde_json::from_value(evil.published()).unwrap()), ..evil.header() };
    let own_url = Header { jku: Some("https://evil.example/keys".into()), ..evil.header() };
    let as_ec = Header { kid: Some("ec".into()), ..rsa.header() };
    for (token, reason) in [
        (confused, "does not take the algorithm HS256"),
        (evil.token(), "signature"),
        (evil.sign(&own_key, &claims()), "signature"),
        (evil.sign(&own_url, &claims()), "signature"),
        (rsa.sign(&as_ec, &claims()), "no key for the token"),
        (encrypts.token(), "no key for the token"),
        (rsa.sign(&rsa.header(), &but(&json!({ "aud": "other" }))), "another audience"),
    ] {
        let (status, said) = server.call_with(&url, &token).await;
        assert_eq!((status, said.contains(reason)), (401, true), "{token}: {said}");
    }
}

/// A key that is not known is asked for, but not more often than now and then; keys are believed while nobody answers.
#[tokio::test]
async fn published_keys_may_change_and_be_away() {
    let (first, second) = (Key::new("first", Algorithm::ES256), Key::new("second", Algorithm::ES256));
    let (issuer, address) = Issuer::start(json!([first.published()])).await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![address.clone()]).await;
    let jwt = format!("{{ jwks: 'http://{address}/jwks.json', audience: any, roles: 'realm.roles' }}");
    let url = server.deploy(&flow(&jwt)).await;
    let with_roles = but(&json!({ "realm": { "roles": ["cashier"] }, "roles": null }));
    let sign = |key: &Key| key.sign(&key.header(), &with_roles);
    assert_eq!(server.call_with(&url, &sign(&first)).await.0, 200);
    for _ in 0..20 {
        let (status, said) = server.call_with(&url, &sign(&second)).await;
        assert_eq!((status, said.contains("no key for the token")), (401, true), "{said}");
    }
    assert_eq!(issuer.asked(), 1, "who makes names up does not make us ask");
    issuer.publish(json!([second.published()]));
    tokio::time::sleep(Duration::from_millis(5100)).await;
    assert_eq!(server.call_with(&url, &sign(&second)).await.0, 200);
    assert_eq!(server.call_with(&url, &sign(&first)).await.0, 401);
    issuer.0.lock().unwrap().0 = json!("maintenance");
    tokio::time::sleep(Duration::from_millis(5100)).await;
    assert_eq!(server.call_with(&url, &sign(&first)).await.0, 401, "it is asked, and its answer is no key set");
    assert_eq!(server.call_with(&url, &sign(&second)).await.0, 200, "what was published last still counts");

    let gone = "flow: guarded\nsteps:\n  - trigger: Call\n    auth: { jwt: { jwks: 'http://127.0.0.1:9/keys', audience: any } }\n";
    let url = server.deploy(gone).await;
    let answered = server.call(Method::POST, &url).bearer_auth(sign(&first)).json(&json!({})).send().await.unwrap();
    assert_eq!(
        (answered.status(), answered.headers().contains_key("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, true)
    );
    let record = server.callback(&answered).await.to_string();
    assert!(record.contains("http_private_hosts"), "{record}");
}

/// With `user: optional`, who has no good token is nobody; what is not clear is refused when the flow is deployed.
#[tokio::test]
async fn a_token_may_be_optional_and_a_mistake_is_said() {
    let server = TestServer::start().await;
    server.set_secret("JWT", SECRET).await;
    let flow = "flow: open\nsteps:\n  - trigger: Call\n    mode: sync\n    auth: { jwt: { secret: JWT }, user: optional }\n  - respond: { json: '${{ user }}' }\n";
    let url = server.deploy(flow).await;
    for (token, user) in [("x".to_owned(), json!(null)), (by_secret(Algorithm::HS256, &claims()), json!("jane"))] {
        let answered = server.call(Method::POST, &url).bearer_auth(token).json(&json!({})).send().await.unwrap();
        let body: Value = answered.json().await.unwrap();
        assert_eq!(body.get("sub").unwrap_or(&Value::Null), &user, "{body}");
    }
    for (jwt, expected) in [
        ("{ }", "either `secret` or `jwks`"),
        ("{ secret: JWT, jwks: 'https://id.example/keys' }", "either `secret` or `jwks`"),
        ("{ jwks: 'https://id.example/keys' }", "`audience` is missing"),
        ("{ jwks: 'file:///etc/passwd', audience: any }", "the https URL of a key set"),
        ("{ secret: JWT, algorithms: [RS256] }", "`RS256` is not an algorithm here"),
        ("{ jwks: 'https://id.example/keys', audience: any, algorithms: [HS256] }", "`HS256` is not an algorithm here"),
        ("{ secret: JWT, algorithms: [] }", "a list of algorithms"),
        ("{ secret: JWT, user: '[' }", "trigger.auth.jwt.user"),
        ("{ secret: JWT, tolerance: 1h }", "a duration from"),
        ("{ secret: JWT, isuer: x }", "did you mean `issuer`"),
    ] {
        let source = format!("flow: f\nsteps:\n  - trigger: T\n    auth: {{ jwt: {jwt} }}\n");
        let (status, problem) = server.try_deploy(&source).await;
        let said = problem["detail"].as_str().unwrap();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{jwt}");
        assert!(said.contains(expected) || said.contains(&expected.replace("trigger.", "steps[0].")), "{said}");
    }
}
