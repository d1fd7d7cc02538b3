//! The network in front: proxies, addresses, and pages of other origins.

use crate::support::{TestServer, cases};
use reqwest::{Method, Response};
use serde_json::{Value, json};

const FLOW: &str = "
flow: inside
steps:
  - trigger: Order
    allow_from: [203.0.113.0/24, 2001:db8::/32]
    when: callback.remote_address.startsWith('203.') || callback.remote_address == '2001:db8::7'
";

async fn behind_proxy() -> TestServer {
    TestServer::start_with(|config| config.trusted_proxies = ["127.0.0.0/8".parse().unwrap()].into()).await
}

async fn code(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json::<Value>().await.unwrap()["code"].take())
}

#[tokio::test]
async fn who_is_elsewhere_is_refused_whatever_is_said() {
    let alone = TestServer::start().await;
    let url = alone.deploy(FLOW).await;
    let forged = alone.call(Method::POST, &url).header("x-forwarded-for", "203.0.113.9").json(&json!({}));
    let refused = forged.send().await.unwrap();
    let record = alone.callback(&refused).await;
    assert_eq!(code(refused).await, (403, json!("address_not_allowed")), "no proxy is trusted");
    assert_eq!(record["remote_address"], "127.0.0.1");
    assert_eq!(
        record["trace"][0]["reason"],
        "it comes from 127.0.0.1, which is in none of 203.0.113.0/24, 2001:db8::/32"
    );

    let server = behind_proxy().await;
    let url = server.deploy(FLOW).await;
    let call =
        |name: &'static str, value: &str| server.call(Method::POST, &url).header(name, value).json(&json!({})).send();
    let refused = [
        ("x-other", "203.0.113.9"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "203.0.113.9, 192.0.2.1"),
        ("x-forwarded-for", "203.0.113.9, what"),
        ("forwarded", "for=unknown"),
    ];
    cases(refused.len());
    for (name, value) in refused {
        let response = call(name, value).await.unwrap();
        let record = server.callback(&response).await;
        assert_eq!(response.status(), 403, "{value}");
        let is_nonsense = value.contains("what") || value.contains("unknown");
        let said = record["trace"][0]["reason"].as_str().unwrap();
        assert_eq!(said.contains("cannot be read: the address is that of the proxy"), is_nonsense, "{said}");
    }
    for (name, value, address) in [
        ("x-forwarded-for", "192.0.2.1, 203.0.113.9", "203.0.113.9"),
        ("forwarded", "for=\"[2001:db8::7]:4711\";proto=https", "2001:db8::7"),
    ] {
        let response = call(name, value).await.unwrap();
        assert_eq!(response.status(), 202, "{value}");
        let record = server.callback(&response).await;
        assert_eq!((&record["outcome"], &record["remote_address"]), (&json!("started"), &json!(address)));
        let path = format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap());
        assert_eq!(server.api(Method::POST, &path).send().await.unwrap().status(), 200, "a user may send it again");
    }
}

#[tokio::test]
async fn each_address_behind_a_proxy_has_limits_of_its_own() {
    let server = TestServer::start_with(|config| {
        config.trusted_proxies = ["127.0.0.1".parse().unwrap()].into();
        config.connections_per_address_max = 2;
    })
    .await;
    let limited = server
        .deploy("flow: limited\nsteps:\n  - trigger: Hook\n    limit: { calls: 2, per: 1h, by: address }\n")
        .await;
    let call = |url: &str, address: &str| {
        server.call(Method::POST, url).header("x-forwarded-for", address).json(&json!({})).send()
    };
    for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        for expected in [202, 202, 429] {
            assert_eq!(call(&limited, address).await.unwrap().status().as_u16(), expected, "{address}");
        }
    }
    assert_eq!(call(&limited, "2001:db8::2").await.unwrap().status(), 429, "the same network");

    let slow = server
        .deploy("flow: slow\nsteps:\n  - trigger: Hook\n    mode: sync\n    respond_within: 3s\n  - delay: 2s\n")
        .await;
    let calls = (0..4).map(|_| call(&slow, "192.0.2.9"));
    let (calls, other) = tokio::join!(futures_util::future::join_all(calls), call(&slow, "192.0.2.8"));
    let mut statuses: Vec<u16> = calls.into_iter().map(|response| response.unwrap().status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[2..], [429, 429], "{statuses:?}");
    assert!(statuses[0] < 300 && other.unwrap().status().as_u16() < 300, "{statuses:?}");
    assert!(call(&slow, "192.0.2.9").await.unwrap().status().as_u16() < 300, "the next callback still works");
}

const PAGE: &str = "
flow: page
steps:
  - trigger: Asked
    allow_origins: [https://app.example]
    methods: [POST, PUT]
    reply: { status: 200, json: { ok: true } }
";

#[tokio::test]
async fn pages_of_other_origins_read_nothing() {
    let server = TestServer::start().await;
    let url = server.deploy(PAGE).await;
    let ask = |method: Method, origin: &'static str| {
        server.call(method, &url).header("origin", origin).header("access-control-request-method", "PUT")
    };
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"] {
        let refused = ask(Method::OPTIONS, origin).send().await.unwrap();
        assert!(refused.headers().get("access-control-allow-origin").is_none());
        assert_eq!(code(refused).await, (403, json!("origin_not_allowed")), "{origin}");
        let answer = ask(Method::POST, origin).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.headers()["vary"], "origin");
        assert!(answer.headers().get("access-control-allow-origin").is_none(), "{origin}");
    }
    let preflight = ask(Method::OPTIONS, "https://app.example")
        .header("access-control-request-headers", "content-type,x-page")
        .send()
        .await
        .unwrap();
    let header = |name: &str| preflight.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    assert_eq!(preflight.status(), 204);
    assert_eq!(header("access-control-allow-origin"), "https://app.example");
    assert_eq!(header("access-control-allow-methods"), "POST, PUT");
    assert_eq!(header("access-control-allow-headers"), "content-type,x-page");
    let record = server.callback(&preflight).await;
    assert_eq!((&record["outcome"], &record["execution"]), (&json!("answered"), &Value::Null), "nothing has started");
    for (body, status) in [("{}", 200), ("{", 400)] {
        let call = ask(Method::PUT, "https://app.example").header("content-type", "application/json").body(body);
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
        assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("ringback-callback"));
    }
    let closed = server.deploy("flow: closed\nsteps:\n  - trigger: Hook\n").await;
    let asked = server.call(Method::OPTIONS, &closed).header("origin", "https://app.example");
    let asked = asked.header("access-control-request-method", "POST").send().await.unwrap();
    assert!(asked.headers().keys().all(|name| !name.as_str().starts_with("access-control")), "{asked:?}");
}

/// A page completes a wait by a ticket, which asking does not use up.
#[tokio::test]
async fn a_page_may_use_a_ticket_of_a_trigger_that_allows_it() {
    let server = TestServer::start().await;
    server.deploy(PAGE).await;
    let ticket = server.ticket(&json!({ "handler": { "flow": "page" } })).await;
    let url = ticket["url"].as_str().unwrap();
    let preflight = |origin: &'static str| {
        server
            .call(Method::OPTIONS, url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
    };
    assert_eq!(preflight("https://evil.example").await.unwrap().status(), 403);
    assert_eq!(preflight("https://app.example").await.unwrap().status(), 204);
    let answer = server.call(Method::POST, url).header("origin", "https://app.example").json(&json!({})).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(server.call(Method::POST, url).json(&json!({})).send().await.unwrap().status(), 410);
}

/// W4.
#[tokio::test]
async fn w4_who_sets_a_url_up_sees_that_it_is_there() {
    let server = TestServer::start().await;
    let url = server.deploy("flow: open\nsteps:\n  - trigger: Hook\n").await;
    let unknown = format!("{}/h/unknown", server.public);
    for (method, status) in [(Method::HEAD, 200), (Method::OPTIONS, 204)] {
        assert_eq!(server.call(method.clone(), &unknown).send().await.unwrap().status(), 404);
        let answer = server.call(method, &url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["allow"], "GET, POST, HEAD, OPTIONS");
        let record = server.callback(&answer).await;
        assert_eq!((&record["outcome"], &record["execution"]), (&json!("answered"), &Value::Null));
    }
}

/// W12: a proxy has the server below a path, and may leave that in the request.
#[tokio::test]
async fn w12_the_public_url_may_have_a_path() {
    let server = TestServer::start_with(|config| config.public_url = Some("https://example.com/hooks".into())).await;
    let url = server.deploy("flow: open\nsteps:\n  - trigger: Hook\n").await;
    let path = url.strip_prefix("https://example.com/hooks/h/").unwrap();
    for (path, status) in [
        (format!("/h/{path}"), 202),
        (format!("/hooks/h/{path}"), 202),
        (format!("/hooks/hooks/h/{path}"), 404),
        (format!("/hook/h/{path}"), 404),
        (format!("/hooksh/{path}"), 404),
    ] {
        let answer = server.post(&format!("{}{path}", server.public), &json!({})).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
}
