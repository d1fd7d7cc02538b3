//! Patchworks' callback trigger, over HTTP: whoever calls it there changes the host name and nothing else.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const QUOTE: &str = "flow: quote
steps:
  - trigger: Price
    face: patchworks
    environments: [staging]
    callbacks:
      - { name: json }
      - { name: xml, content_type: application/xml }
  - respond: { status: 200, json: { price: '${{ vars.price }}', for: '${{ data }}' } }
  - delay: 200ms
  - set: { after: '${{ environment.name }}' }
";

/// Deploys the flow with an environment whose prefix is 2: the trigger as the API shows it.
async fn quote(server: &TestServer) -> Value {
    for (path, body) in [
        ("/v1/environments/staging", json!({ "url_prefix": "2" })),
        ("/v1/vars/price", json!({ "value": 10 })),
        ("/v1/vars/price?environment=staging", json!({ "value": 99 })),
    ] {
        assert!(server.api(Method::PUT, path).json(&body).send().await.unwrap().status().is_success());
    }
    let (status, flow) = server.try_deploy(QUOTE).await;
    assert!(status.is_success(), "{flow:#}");
    assert_eq!(flow.get("warnings"), None, "{flow:#}");
    flow["triggers"][0].clone()
}

fn url(trigger: &Value, callback: usize, environment: &str) -> String {
    trigger["callbacks"][callback]["urls"][environment].as_str().unwrap().to_owned()
}

/// PW-02, PW-05, PW-06, PW-07, PW-08, PW-09, PW-10, PW-11, PW-12, PW-15, PW-17, PW-18: each callback has a URL of its own, and
/// one more for each environment; they stay over versions.
#[tokio::test]
async fn every_callback_has_a_signed_url_in_every_environment() {
    let server = TestServer::start().await;
    let trigger = quote(&server).await;
    let mut seen = std::collections::BTreeSet::new();
    for callback in [0, 1] {
        let plain = url(&trigger, callback, "default");
        let (path, query) = plain.strip_prefix(&server.public).unwrap().split_once('?').unwrap();
        let ["", "api", "v1", "default", id] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
        assert!(id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()), "{id}");
        let signature = query.strip_prefix("patchworks_signature=").unwrap();
        assert!(signature.len() >= 40, "{signature}");
        assert_eq!(url(&trigger, callback, "staging"), format!("{}{path}/2?{query}", server.public));
        seen.extend([id.to_owned(), signature.to_owned()]);
    }
    assert_eq!(seen.len(), 4, "nothing is shared");
    assert_eq!(trigger["urls"]["default"]["patchworks"], url(&trigger, 0, "default"));
    assert_eq!(trigger["urls"]["staging"]["patchworks"], url(&trigger, 0, "staging"));
    let (_, again) = server.try_deploy(&QUOTE.replace("application/xml", "text/xml")).await;
    assert_eq!(again["triggers"][0]["callbacks"][1]["urls"], trigger["callbacks"][1]["urls"]);
    let (_, warned) = server.try_deploy(&QUOTE.replace("[staging]", "[nowhere]")).await;
    assert!(warned["warnings"][0].as_str().unwrap().contains("nowhere"), "{warned}");
}

/// PW-04, PW-11, PW-13, PW-14, PW-22, A-PW-1, A-PW-2, A-PW-5: whatever is wrong about a URL, it is the same 404, and nothing starts.
#[tokio::test]
async fn a_url_without_the_right_signature_is_unknown() {
    let server = TestServer::start().await;
    let trigger = quote(&server).await;
    let right = url(&trigger, 0, "default");
    let (path, signature) = right.split_once("?patchworks_signature=").unwrap();
    let other = url(&trigger, 1, "default").split_once("patchworks_signature=").unwrap().1.to_owned();
    let send = async |url: &str, headers: &[(&str, &str)]| {
        let request = server.call(Method::POST, url).json(&json!({}));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let unknown = send(&format!("{}/api/v1/default/nothing", server.public), &[]).await;
    assert_eq!(unknown.0, 404);
    for (url, headers) in [
        (path.to_owned(), vec![]),
        (format!("{path}?signature="), vec![]),
        (format!("{path}?signature={other}"), vec![]),
        (format!("{path}?signature={}", &signature[1..]), vec![]),
        (format!("{right}&signature={other}"), vec![]),
        (format!("{right}&signature=x"), vec![]),
        (right.clone(), vec![("patchworks-signature", "x")]),
        (path.to_owned(), vec![("patchworks-signature", other.as_str())]),
        (format!("{path}/3?signature={signature}"), vec![]),
        (format!("{path}/default?signature={signature}"), vec![]),
        (format!("{path}/2/x?signature={signature}"), vec![]),
        (right.replace("/default/", "/other/"), vec![]),
    ] {
        assert_eq!(send(&url, &headers).await, unknown, "{url} {headers:?}");
    }
    for (url, headers) in [
        (right.clone(), vec![]),
        (format!("{path}?signature={signature}"), vec![]),
        (path.to_owned(), vec![("patchworks-signature", signature)]),
        (path.to_owned(), vec![("ringback-signature", signature)]),
        (format!("{right}&signature={signature}"), vec![("patchworks-signature", signature)]),
    ] {
        assert_eq!(send(&url, &headers).await.0, 200, "{url} {headers:?}");
    }
    let records = server.get("/v1/callbacks").await;
    assert_eq!(records["items"].as_array().unwrap().len(), 5, "what is unknown leaves nothing");
    assert!(!records.to_string().contains(signature), "a signature is not kept");
    server.api(Method::POST, "/v1/flows/quote/disable").send().await.unwrap();
    assert_eq!(send(&right, &[]).await, unknown);
}

/// PW-01, PW-03, PW-16, PW-19, PW-20, PW-21, A-PW-4, A-PW-7, A-PW-8: the caller gets what the flow returns, in its environment,
/// under the content type of the callback; the flow goes on.
#[tokio::test]
async fn the_caller_gets_what_the_flow_returns() {
    let server = TestServer::start().await;
    let trigger = quote(&server).await;
    for (callback, environment, price, content_type) in [
        (0, "default", 10, "application/json"),
        (0, "staging", 99, "application/json"),
        (1, "staging", 99, "application/xml"),
    ] {
        let answered = server.post(&url(&trigger, callback, environment), &json!({ "sku": "A" })).await;
        let record = server.callback(&answered).await;
        assert_eq!(answered.headers()["content-type"], content_type);
        let body: Value = serde_json::from_str(&answered.text().await.unwrap()).unwrap();
        assert_eq!(body, json!({ "price": price, "for": { "sku": "A" } }), "bare, and the payload is not checked");
        let run = server.ended(record["execution"].as_str().unwrap()).await;
        assert_eq!(run["environment"], environment);
        let set = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "set").unwrap();
        assert_eq!(set["values"], json!({ "after": environment }));
    }
    // A GET gives its query, without the signature; ids in any case and a slash at the end are fine.
    let (path, query) = url(&trigger, 0, "default").split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (base, id) = path.rsplit_once('/').unwrap();
    let got = server.fetch(&format!("{base}/{}/?a=1&{query}&b=2", id.to_uppercase())).await;
    assert_eq!(got.json::<Value>().await.unwrap()["for"], json!({ "a": "1", "b": "2" }));
}

/// A-PW-3: no response step is null when the run completes, 500 when it fails, and 202 when it takes too long.
#[tokio::test]
async fn a_flow_that_returns_nothing() {
    let server = TestServer::start().await;
    let source = "flow: silent
steps:
  - trigger: Start
    face: patchworks
    callbacks: [{ name: main, content_type: text/csv }]
    respond_within: 300ms
  - if: data.fail
    then:
      - fail: { message: broken }
  - if: data.slow
    then:
      - delay: 1s
";
    let url = server.deploy_at("patchworks", source).await.remove(0);
    let post = async |fail: bool, slow: bool| server.post(&url, &json!({ "fail": fail, "slow": slow })).await;
    let completed = post(false, false).await;
    assert_eq!(completed.headers()["content-type"], "text/csv");
    assert_eq!((completed.status(), completed.text().await.unwrap()), (StatusCode::OK, "null".to_owned()));
    let failed = post(true, false).await;
    assert_eq!(
        (failed.status(), failed.headers()["content-type"].to_str().unwrap()),
        (StatusCode::INTERNAL_SERVER_ERROR, "application/problem+json")
    );
    let late = post(false, true).await;
    assert_eq!(
        (late.status(), late.headers()["content-type"].to_str().unwrap()),
        (StatusCode::ACCEPTED, "application/json")
    );
    let id = server.callback(&late).await["execution"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&id).await["status"], "completed", "it goes on");
}

/// A-PW-6: the old signature and the new one count until the old one is dropped.
#[tokio::test]
async fn signatures_are_rotated() {
    let server = TestServer::start().await;
    let trigger = quote(&server).await;
    let old = url(&trigger, 0, "default");
    let path = "/v1/flows/quote/triggers/price/callbacks/json/signatures";
    let status = async |url: &str| server.post(url, &json!({})).await.status().as_u16();
    let rotated: Value = server.api(Method::POST, path).send().await.unwrap().json().await.unwrap();
    let new = url(&rotated["triggers"][0], 0, "default");
    assert_ne!(old, new);
    assert_eq!((status(&old).await, status(&new).await), (200, 200));
    let id = rotated["triggers"][0]["callbacks"][0]["signatures"][1].as_str().unwrap().to_owned();
    let drop = async || server.api(Method::DELETE, &format!("{path}/{id}")).send().await.unwrap().status();
    assert_eq!((drop().await, drop().await), (StatusCode::OK, StatusCode::NOT_FOUND));
    assert_eq!((status(&old).await, status(&new).await), (404, 200));
    let server = server.restart().await;
    let new = new.replace(new.split("/api/").next().unwrap(), &server.public);
    assert_eq!(server.post(&new, &json!({})).await.status(), StatusCode::OK, "over a restart");
    for expected in [200, 200, 200, 409] {
        assert_eq!(server.api(Method::POST, path).send().await.unwrap().status().as_u16(), expected);
    }
    let unknown = server.api(Method::POST, &path.replace("/json/", "/nothing/")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

/// A-PW-6: a signature that was dropped stays dropped, also when the file that brought it is applied again with another change, or
/// taken back.
#[tokio::test]
async fn a_dropped_signature_does_not_come_back_with_its_file() {
    let server = TestServer::start().await;
    let signature = "9ne4gh16n123h5z9ytmmgyt12gd6td9ehs0cf1krr5g8atsg84h5";
    let flow = |status: u16| {
        format!(
            "flow: drop\nsteps:\n  - trigger: T\n    face: patchworks\n    callbacks: [{{ name: main, signature: {signature} }}]\n  - respond: {{ status: {status} }}\n"
        )
    };
    let brought = server.deploy_at("patchworks", &flow(200)).await.remove(0);
    let path = "/v1/flows/drop/triggers/t/callbacks/main/signatures";
    let rotated: Value = server.api(Method::POST, path).send().await.unwrap().json().await.unwrap();
    let new = url(&rotated["triggers"][0], 0, "default");
    let dropped = server.api(Method::DELETE, &format!("{path}/{}", &signature[..8])).send().await.unwrap();
    assert_eq!(dropped.status(), StatusCode::OK);
    let server = server.restart().await;
    let here = |url: &str| format!("{}{}", server.public, &url[url.find("/api/").unwrap()..]);
    let status = async |url: &str| server.post(&here(url), &json!({})).await.status().as_u16();
    let (_, applied) = server.try_deploy(&flow(201)).await;
    assert!(applied["warnings"][0].as_str().unwrap().contains("was dropped, and stays so"), "{applied}");
    assert_eq!((status(&brought).await, status(&new).await), (404, 201));
    let back = server.api(Method::PUT, "/v1/flows/drop/active").json(&json!({ "version": 1 })).send().await.unwrap();
    assert_eq!(back.status(), StatusCode::OK);
    assert_eq!((status(&brought).await, status(&new).await), (404, 200));
    let other = signature.replace("9ne4", "9ne5");
    let (_, applied) = server.try_deploy(&flow(202).replace(signature, &other)).await;
    assert_eq!(applied.get("warnings"), None, "{applied}");
    assert_eq!((status(&brought).await, status(&brought.replace(signature, &other)).await), (404, 202));
}
