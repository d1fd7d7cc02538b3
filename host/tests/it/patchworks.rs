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
        let staging = url(&trigger, callback, "staging");
        let other = staging.strip_prefix(&format!("{}{path}/2?patchworks_signature=", server.public)).unwrap();
        assert_eq!(other.len(), signature.len());
        seen.extend([id.to_owned(), signature.to_owned(), other.to_owned()]);
    }
    assert_eq!(seen.len(), 6, "nothing is shared");
    assert_eq!(trigger["urls"]["default"]["patchworks"], url(&trigger, 0, "default"));
    assert_eq!(trigger["urls"]["staging"]["patchworks"], url(&trigger, 0, "staging"));
    let (_, again) = server.try_deploy(&QUOTE.replace("application/xml", "text/xml")).await;
    assert_eq!(again["triggers"][0]["callbacks"][1]["urls"], trigger["callbacks"][1]["urls"]);
    let (_, warned) = server.try_deploy(&QUOTE.replace("[staging]", "[nowhere]")).await;
    let warnings = warned["warnings"].to_string();
    assert!(warnings.contains("in the environment staging ends") && warnings.contains("nowhere"), "{warned}");
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
    let records = server.get("/v1/callbacks").await["items"].as_array().unwrap().clone();
    assert_eq!(records.len(), 5, "what is unknown leaves nothing");
    for record in &records {
        let record = server.get(&format!("/v1/callbacks/{}", record["id"].as_str().unwrap())).await;
        assert!(!record.to_string().contains(signature), "a signature is not kept");
    }
    server.api(Method::POST, "/v1/flows/quote/disable").send().await.unwrap();
    assert_eq!(send(&right, &[]).await, unknown);
}

/// Whoever has the URL of one environment cannot make that of another: the signature of each counts there alone, over
/// versions, rotation and restarts.
#[tokio::test]
async fn each_environment_has_a_signature_of_its_own() {
    let server = TestServer::start().await;
    assert_eq!(put(&server, "/v1/environments/test", json!({ "url_prefix": "3" })).await, 201);
    quote(&server).await;
    let three = QUOTE.replace("[staging]", "[staging, test]");
    let (status, flow) = server.try_deploy(&three).await;
    assert!(status.is_success(), "{flow}");
    const ALL: [&str; 3] = ["default", "staging", "test"];
    let parts = |trigger: &Value| -> Vec<(String, String)> {
        let part = |environment: &&str| {
            let url = url(trigger, 0, environment);
            let (path, signature) = url.split_once("?patchworks_signature=").unwrap();
            (path[path.find("/api/").unwrap()..].to_owned(), signature.to_owned())
        };
        ALL.iter().map(part).collect()
    };
    let all_but_own_are_unknown = async |server: &TestServer, of: &[(String, String)]| {
        for (path, own) in of {
            for (_, signature) in of {
                let url = format!("{}{path}?patchworks_signature={signature}", server.public);
                let expected = if own == signature { 200 } else { 404 };
                assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), expected, "{url}");
                let header = server.call(Method::POST, &format!("{}{path}", server.public));
                let header = header.header("patchworks-signature", signature).json(&json!({})).send().await.unwrap();
                assert_eq!(header.status().as_u16(), expected, "{path} {signature}");
            }
        }
    };
    let first = parts(&flow["triggers"][0]);
    all_but_own_are_unknown(&server, &first).await;
    let server = server.restart().await;
    assert_eq!(parts(&server.get("/v1/flows/quote").await["triggers"][0]), first);
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "4" })).await, 200);
    let moved = parts(&server.get("/v1/flows/quote").await["triggers"][0]);
    let path = format!("{}/4", first[1].0.strip_suffix("/2").unwrap());
    assert_eq!(moved[1], (path, first[1].1.clone()), "another prefix is another path alone");
    let path = "/v1/flows/quote/triggers/price/callbacks/json/signatures";
    let rotated: Value = server.api(Method::POST, path).send().await.unwrap().json().await.unwrap();
    let second = parts(&rotated["triggers"][0]);
    all_but_own_are_unknown(&server, &second).await;
    all_but_own_are_unknown(&server, &moved).await;
    // By the signature of any environment, as it is in a URL that got about.
    let dropped = server.api(Method::DELETE, &format!("{path}/{}", &first[2].1[..8])).send().await.unwrap();
    assert_eq!(dropped.status(), StatusCode::OK);
    for (path, signature) in &moved {
        let url = format!("{}{path}?patchworks_signature={signature}", server.public);
        assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 404, "{url}");
    }
    all_but_own_are_unknown(&server, &second).await;
    // None of them comes back with a file.
    for (_, signature) in &first {
        let source = three.replace("{ name: json }", &format!("{{ name: json, signature: {signature} }}"));
        let (_, applied) = server.try_deploy(&source).await;
        assert!(applied["warnings"][0].as_str().unwrap().contains("was dropped, and stays so"), "{applied}");
    }
    all_but_own_are_unknown(&server, &second).await;
}

/// S4: a signature that is brought along counts as it came, in every environment: callers change the host name and nothing else.
#[tokio::test]
async fn s4_a_signature_that_is_brought_along_counts_in_every_environment() {
    let server = TestServer::start().await;
    let signature = "9ne4gh16n123h5z9ytmmgyt12gd6td9ehs0cf1krr5g8atsg84h5";
    let (id, other) = ("01k678es5y21ref5rgzszd6yvw", signature.replace("9ne4", "9ne5"));
    quote(&server).await;
    let flow = QUOTE.replace("flow: quote", "flow: moved");
    let source = |lines: &str| flow.replace("{ name: json }", &format!("{{ name: json, {lines} }}"));
    let (status, body) = server.try_deploy(&source(&format!("id: {id}, signature: {signature}"))).await;
    assert!(status.is_success(), "{body}");
    for (environment, path) in [("default", ""), ("staging", "/2")] {
        let url = url(&body["triggers"][0], 0, environment);
        assert_eq!(url, format!("{}/api/v1/default/{id}{path}?patchworks_signature={signature}", server.public));
        assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::OK);
        let wrong = url.replace(signature, &other);
        assert_eq!(server.post(&wrong, &json!({})).await.status(), StatusCode::NOT_FOUND);
    }
    // The rotated one is of each environment alone.
    let path = "/v1/flows/moved/triggers/price/callbacks/json/signatures";
    let rotated: Value = server.api(Method::POST, path).send().await.unwrap().json().await.unwrap();
    let of = |environment| {
        url(&rotated["triggers"][0], 0, environment).split_once("patchworks_signature=").unwrap().1.to_owned()
    };
    assert_ne!(of("default"), of("staging"));
}

async fn put(server: &TestServer, path: &str, body: Value) -> u16 {
    server.api(Method::PUT, path).json(&body).send().await.unwrap().status().as_u16()
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

/// A-PW-6: a dropped signature stays dropped, whatever becomes of its flow: the flow is removed and deployed again, the trigger or
/// the callback has another name, another flow brings it.
#[tokio::test]
async fn a_dropped_signature_does_not_come_back_with_another_flow() {
    let server = TestServer::start().await;
    let (id, signature) = ("01k678es5y21ref5rgzszd6yvw", "9ne4gh16n123h5z9ytmmgyt12gd6td9ehs0cf1krr5g8atsg84h5");
    let flow = |name: &str, trigger: &str, callback: &str| {
        format!(
            "flow: {name}\nsteps:\n  - trigger: {trigger}\n    face: patchworks\n    callbacks: [{{ name: {callback}, id: {id}, signature: {signature} }}]\n"
        )
    };
    let brought = format!("/api/v1/default/{id}?patchworks_signature={signature}");
    let call = async |server: &TestServer| {
        server.post(&format!("{}{brought}", server.public), &json!({})).await.status().as_u16()
    };
    server.deploy_at("patchworks", &flow("drop", "T", "main")).await;
    assert_eq!(call(&server).await, 200);
    let path = "/v1/flows/drop/triggers/t/callbacks/main/signatures";
    assert!(server.api(Method::POST, path).send().await.unwrap().status().is_success());
    let dropped = server.api(Method::DELETE, &format!("{path}/{}", &signature[..8])).send().await.unwrap();
    assert_eq!(dropped.status(), StatusCode::OK);
    let mut server = server;
    for (name, trigger, callback) in
        [("drop", "T", "main"), ("drop", "U", "main"), ("drop", "T", "other"), ("other", "T", "main")]
    {
        for flow in ["drop", "other"] {
            server.api(Method::DELETE, &format!("/v1/flows/{flow}")).send().await.unwrap();
        }
        server = server.restart().await;
        let (status, body) = server.try_deploy(&flow(name, trigger, callback)).await;
        assert!(status.is_success(), "{body}");
        assert!(body["warnings"][0].as_str().unwrap().contains("was dropped, and stays so"), "{body}");
        assert_eq!(call(&server).await, 404, "{name} {trigger} {callback}");
        let made = url(&body["triggers"][0], 0, "default");
        assert_eq!(server.post(&made, &json!({})).await.status(), StatusCode::OK, "it has one of its own in its place");
    }
    let elsewhere = server.in_workspace("elsewhere");
    let (_, body) = elsewhere.try_deploy(&flow("drop", "T", "main")).await;
    assert_eq!(body.get("warnings"), None, "another workspace has its own: {body}");
}

/// Dropping the last signature ends the URLs of the callback, and that is said wherever it is shown.
#[tokio::test]
async fn a_callback_without_a_signature_has_no_url() {
    let server = TestServer::start().await;
    let trigger = quote(&server).await;
    let path = "/v1/flows/quote/triggers/price/callbacks/json/signatures";
    let last = trigger["callbacks"][0]["signatures"][0].as_str().unwrap();
    let dropped: Value =
        server.api(Method::DELETE, &format!("{path}/{last}")).send().await.unwrap().json().await.unwrap();
    let server = server.restart().await;
    let shown = server.get("/v1/flows/quote").await;
    let (_, applied) = server.try_deploy(&QUOTE.replace("200ms", "100ms")).await;
    for flow in [&dropped, &shown, &applied] {
        let warning = flow["warnings"][0].as_str().unwrap_or_else(|| panic!("{flow:#}"));
        assert!(warning.contains("the callback json of the trigger `Price` has no signature left"), "{warning}");
        assert!(warning.contains("`ringback flow add-signature quote price --callback json`"), "{warning}");
        let callbacks = &flow["triggers"][0]["callbacks"];
        assert_eq!((&callbacks[0]["signatures"], &callbacks[0]["urls"]), (&json!([]), &json!({})));
        assert!(!flow.to_string().contains("patchworks_signature=\""), "{flow}");
    }
    for environment in ["default", "staging"] {
        let was = url(&trigger, 0, environment);
        let path = was[was.find("/api/").unwrap()..].split('?').next().unwrap();
        for query in ["", "?patchworks_signature=", "?signature="] {
            let called = server.post(&format!("{}{path}{query}", server.public), &json!({})).await;
            assert_eq!(called.status(), StatusCode::NOT_FOUND, "{environment} {query}");
        }
    }
    let other = url(&shown["triggers"][0], 1, "staging");
    let other = format!("{}{}", server.public, &other[other.find("/api/").unwrap()..]);
    assert_eq!(server.post(&other, &json!({})).await.status(), StatusCode::OK, "the other callback has its own");
    let rotated: Value = server.api(Method::POST, path).send().await.unwrap().json().await.unwrap();
    assert_eq!(rotated.get("warnings"), None, "{rotated}");
    assert_eq!(server.post(&url(&rotated["triggers"][0], 0, "staging"), &json!({})).await.status(), StatusCode::OK);
}

/// Two signatures that begin alike: neither is dropped by what both have, and each can be as a whole.
#[tokio::test]
async fn a_signature_among_others_that_begin_alike_is_named_as_a_whole() {
    let server = TestServer::start().await;
    let (first, second) = (format!("abcdefgh{}", "1".repeat(32)), format!("abcdefgh{}", "2".repeat(32)));
    for signature in [&first, &second] {
        let source = format!(
            "flow: alike\nsteps:\n  - trigger: T\n    face: patchworks\n    callbacks: [{{ name: main, signature: {signature} }}]\n"
        );
        assert!(server.try_deploy(&source).await.0.is_success());
    }
    let path = "/v1/flows/alike/triggers/t/callbacks/main/signatures";
    let drop = async |id: &str| server.api(Method::DELETE, &format!("{path}/{id}")).send().await.unwrap();
    let ambiguous = drop("abcdefgh").await;
    assert_eq!(ambiguous.status(), StatusCode::CONFLICT);
    assert_eq!(ambiguous.json::<Value>().await.unwrap()["code"], "signature_ambiguous");
    let flow: Value = drop(&first).await.json().await.unwrap();
    let left = flow["triggers"][0]["callbacks"][0]["signatures"].to_string();
    assert!(left.contains("abcdefgh"), "the other one counts: {flow}");
    assert!(drop("abcdefgh").await.status().is_success(), "it is the only one now");
}
