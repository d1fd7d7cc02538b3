//! Flows as deployed things: their versions, drafts, and URLs that are brought along.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn send(server: &TestServer, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let response = server.api(method, path).json(&body).send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or_default())
}

async fn start(server: &TestServer, url: &str) -> String {
    let started: Value = server.post(url, &json!({})).await.json().await.unwrap();
    started["execution"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned()
}

/// B7, B8: an execution runs the source that it began with, or nothing: the versions of another flow of the same name have
/// other numbers, over a restart too.
#[tokio::test]
async fn b7_b8_the_versions_of_a_removed_flow_never_come_again() {
    let server = TestServer::start().await;
    let url = server.deploy("flow: job\nsteps:\n  - trigger: Start\n  - fail: { message: first }\n").await;
    let old = start(&server, &url).await;
    assert_eq!(server.ended(&old).await["status"], "failed");
    assert_eq!(send(&server, Method::DELETE, "/v1/flows/job", json!({})).await.0, StatusCode::NO_CONTENT);
    let retry = format!("/v1/executions/{old}/retry");
    let (status, problem) = send(&server, Method::POST, &retry, json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("flow_gone")));
    let says = problem["detail"].as_str().unwrap();
    assert!(says.ends_with("it has ended, and nothing of it can be tried again"), "{says}");
    let (_, problem) = send(&server, Method::POST, &format!("/v1/executions/{old}/cancel"), json!({})).await;
    let says = problem["detail"].as_str().unwrap();
    assert!(says.contains("nothing to cancel") && says.contains("as long as its flow"), "{says}");

    let url = server.deploy("flow: job\nsteps:\n  - trigger: Start\n  - set: { second: true }\n").await;
    assert_eq!(server.get("/v1/flows/job").await["version"], 2);
    let (status, problem) = send(&server, Method::POST, &retry, json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("flow_gone")));
    let new = server.ended(&start(&server, &url).await).await;
    assert_eq!((&new["status"], &new["flow_version"]), (&json!("completed"), &json!(2)));

    assert_eq!(send(&server, Method::DELETE, "/v1/flows/job", json!({})).await.0, StatusCode::NO_CONTENT);
    let server = server.restart().await;
    server.deploy("flow: job\nsteps:\n  - trigger: Start\n  - set: { third: true }\n").await;
    assert_eq!(server.get("/v1/flows/job").await["version"], 3);
    assert_eq!(send(&server, Method::POST, &retry, json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(server.get(&format!("/v1/executions/{old}")).await["status"], "failed", "it is as it was");
}

/// B7, B8: a callback that was kept for a plugin is of the flow that it was sent to, and of no other one that has the name later.
#[tokio::test]
async fn b7_b8_what_is_kept_for_a_plugin_goes_with_its_flow() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = "flow: rests\nsteps:\n  - trigger: Hook\n    mode: async\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n";
    let url = server.deploy(source).await;
    let post = async |url: &str, act: &str| {
        let response = server.post(url, &json!({ "act": act })).await;
        (response.status().as_u16(), server.callback(&response).await["id"].as_str().unwrap().to_owned())
    };
    for _ in 0..5 {
        assert_eq!(post(&url, "trap").await.0, 500);
    }
    let (status, old) = post(&url, "behave").await;
    assert_eq!(status, 202);
    assert_eq!(send(&server, Method::DELETE, "/v1/flows/rests", json!({})).await.0, StatusCode::NO_CONTENT);
    let (_, new) = post(&server.deploy(source).await, "behave").await;
    let server = server.restart().await;
    for (id, outcome) in [(old, "rejected"), (new, "started")] {
        let record = server.eventually(&format!("/v1/callbacks/{id}"), |record| record["outcome"] != "kept").await;
        assert_eq!(record["outcome"], outcome, "{record}");
    }
}

/// B7, B8: what a removed flow was sent is new to another flow of its name.
#[tokio::test]
async fn b7_b8_a_delivery_to_a_removed_flow_is_new_to_the_next() {
    let server = TestServer::start().await;
    let flow = |then: &str| {
        format!(
            "flow: job\nsteps:\n  - trigger: Start\n    dedupe: {{ by: '${{{{ data.id }}}}' }}\n  - set: {{ {then}: true }}\n"
        )
    };
    let mut runs = Vec::new();
    for then in ["first", "second"] {
        let url = server.deploy(&flow(then)).await;
        for _ in 0..2 {
            let started: Value = server.post(&url, &json!({ "id": 7 })).await.json().await.unwrap();
            runs.push(started["execution"].as_str().unwrap().to_owned());
            server.ended(runs.last().unwrap()).await;
        }
        assert_eq!(send(&server, Method::DELETE, "/v1/flows/job", json!({})).await.0, StatusCode::NO_CONTENT);
    }
    assert!(runs[0] == runs[1] && runs[2] == runs[3], "the same delivery gets the first answer: {runs:?}");
    assert_ne!(runs[1], runs[2], "but not that of a flow that is gone");
}

/// B19: nobody is acknowledged into a flow that is going: after a removal, nothing waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn b19_nobody_is_acknowledged_into_a_flow_that_is_going() {
    let server = TestServer::start().await;
    let source = "flow: going\nsteps:\n  - trigger: Start\n  - trigger: Never\n";
    server.race_a_removal("/v1/flows/going", async || server.deploy_all(source).await.remove(0)).await;
}

/// S5: the URLs of a draft are there, and none answers before it is enabled.
#[tokio::test]
async fn s5_a_draft_has_urls_that_do_not_answer_yet() {
    let server = TestServer::start().await;
    let source = "flow: shop\nsteps:\n  - trigger: Order\n";
    let apply = |query: &'static str, source: String| {
        let request = server.api(Method::PUT, &format!("/v1/flows/shop{query}")).body(source);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let tried = apply("?dry_run=true", source.to_owned()).await;
    assert!(!tried.to_string().contains("http://"), "no URL that will never be: {tried}");
    assert!(tried["notes"][0].as_str().unwrap().contains("--disabled"), "{tried}");

    let draft = apply("?disabled=true", source.to_owned()).await;
    assert_eq!(draft["enabled"], false);
    let url = draft["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned();
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::NOT_FOUND);
    let (_, enabled) = send(&server, Method::POST, "/v1/flows/shop/enable", json!({})).await;
    assert_eq!(enabled["triggers"][0]["urls"]["default"]["native"], json!(url), "the URL that was shown");
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::ACCEPTED);

    let tried = apply("?dry_run=true", format!("{source}  - trigger: Paid\n")).await;
    assert_eq!(tried["triggers"][0]["urls"]["default"]["native"], json!(url), "one that is there is shown");
    assert_eq!(tried["triggers"][1]["urls"], json!({}));
    let again = apply("?disabled=true", source.to_owned()).await;
    assert_eq!((&again["enabled"], &again["version"]), (&json!(false), &json!(1)));
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::NOT_FOUND);
}

/// S5: versions are listed, shown, compared and taken back.
#[tokio::test]
async fn s5_versions_are_listed_shown_compared_and_taken_back() {
    let server = TestServer::start().await;
    let source = |status: u16| format!("flow: shop\nsteps:\n  - trigger: Order\n    reply: {{ status: {status} }}\n");
    let url = server.deploy(&source(201)).await;
    server.deploy(&source(203)).await;
    let missing = send(&server, Method::PUT, "/v1/flows/shop/active", json!({ "version": 7 })).await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND);
    assert!(missing.1["detail"].as_str().unwrap().contains("there are 1, 2"), "{}", missing.1);
    for (path, status) in [("shop/versions/x", 400), ("shop/versions/3/diff", 404), ("none/versions", 404)] {
        let found = send(&server, Method::GET, &format!("/v1/flows/{path}"), json!({})).await;
        assert_eq!(found.0.as_u16(), status, "{path}");
    }
    assert_eq!(server.get("/v1/flows/shop/versions/1").await["source"], json!(source(201)));
    let difference = server.get("/v1/flows/shop/versions/1/diff").await;
    assert_eq!((&difference["from"], &difference["to"]), (&json!(1), &json!(2)));
    let lines = "-     reply: { status: 201 }\n+     reply: { status: 203 }\n";
    assert!(difference["diff"].as_str().unwrap().ends_with(lines), "{difference}");
    assert_eq!(server.get("/v1/flows/shop/versions/2/diff?to=2").await["diff"], "");

    let (status, back) = send(&server, Method::PUT, "/v1/flows/shop/active", json!({ "version": 1 })).await;
    assert_eq!((status, &back["version"]), (StatusCode::OK, &json!(3)), "under a number of its own");
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 201);
    let server = server.restart().await;
    let mut walked = Vec::new();
    let mut next = "/v1/flows/shop/versions?limit=2".to_owned();
    loop {
        let page = server.get(&next).await;
        walked.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("/v1/flows/shop/versions?limit=2&cursor={cursor}");
    }
    for (query, code) in [("limit=0", "invalid_limit"), ("cursor=x", "invalid_cursor")] {
        let (_, problem) = send(&server, Method::GET, &format!("/v1/flows/shop/versions?{query}"), json!({})).await;
        assert_eq!(problem["code"], code);
    }
    let versions = server.get("/v1/flows/shop/versions").await;
    assert_eq!(Value::from(walked), versions["items"], "on two pages as on one");
    let versions: Vec<_> =
        versions["items"].as_array().unwrap().iter().map(|one| (&one["version"], &one["active"])).collect();
    let (yes, no) = (&json!(true), &json!(false));
    assert_eq!(versions, [(&json!(1), no), (&json!(2), no), (&json!(3), yes)]);
    let url = server.urls("shop").await.remove(0);
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 201);
}

/// S7: whoever renames a trigger is told that its URL ends, and how to keep it.
#[tokio::test]
async fn s7_a_rename_that_ends_a_url_is_a_warning() {
    let server = TestServer::start().await;
    let flow = |first: &str, second: &str| {
        format!("flow: shop\nsteps:\n  - trigger: {first}\n  - trigger: Paid\n{second}    timeout: 1h\n")
    };
    let urls = server.deploy_all(&flow("Order", "")).await;
    let warnings = async |dry_run: bool, source: String| {
        let request = server.api(Method::PUT, &format!("/v1/flows/shop?dry_run={dry_run}")).body(source);
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        (body["warnings"].clone(), body)
    };
    for dry_run in [true, false] {
        let (warned, body) = warnings(dry_run, flow("Purchase", "")).await;
        let text = warned[0].as_str().unwrap_or_else(|| panic!("{body}"));
        assert!(text.contains("`Order` is gone, and its URL ends;"), "{text}");
        assert!(text.contains("if `Purchase` is the same trigger under another name, give it `id: order`"), "{text}");
    }
    assert_eq!(server.post(&urls[0], &json!({})).await.status(), StatusCode::NOT_FOUND);
    let (kept, body) = warnings(false, flow("Purchase\n    id: order", "")).await;
    assert!(kept.to_string().contains("`Purchase` is gone"), "{kept}");
    assert_eq!(body["triggers"][0]["urls"]["default"]["native"], json!(urls[0]));
    assert_eq!(server.post(&urls[0], &json!({})).await.status(), StatusCode::ACCEPTED);
    let (none, _) = warnings(false, flow("Purchase again\n    id: order", "")).await;
    assert_eq!(none, Value::Null, "with an id, nothing ends");
}

/// S7: another face, a shorter list of environments, a callback less: whatever ends a URL is said, with what it is the URL of and
/// how many executions wait there.
#[tokio::test]
async fn s7_whatever_ends_a_url_is_a_warning() {
    let server = TestServer::start().await;
    for (number, name) in ["staging", "test"].iter().enumerate() {
        let body = json!({ "url_prefix": number.to_string() });
        let (status, _) = send(&server, Method::PUT, &format!("/v1/environments/{name}"), body).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let flow = |faces: &str, environments: &str, callbacks: &str| {
        let lines = format!("    face: [{faces}]\n{environments}{callbacks}");
        format!(
            "flow: shop\nsteps:\n  - trigger: Order\n{lines}    mode: async\n  - trigger: Paid\n{lines}    timeout: 1h\n"
        )
    };
    let both = "    environments: [staging, test]\n";
    let two = "    callbacks: [{ name: main }, { name: label }]\n";
    let (status, body) = server.try_deploy(&flow("native, patchworks", both, two)).await;
    assert!(status.is_success(), "{body}");
    let urls = &body["triggers"][0]["urls"];
    for url in [&urls["default"]["native"], &urls["staging"]["patchworks"], &urls["staging"]["patchworks"]] {
        let started: Value = server.post(url.as_str().unwrap(), &json!({})).await.json().await.unwrap();
        let path = format!("/v1/executions/{}", started["execution"].as_str().unwrap());
        server.eventually(&path, |run| run["status"] == "waiting").await;
    }
    let one = "    callbacks: [{ name: main }]\n";
    let staging = "    environments: [staging]\n";
    let test = "    environments: [test]\n";
    let mut tried = 0;
    for (source, expected) in [
        (flow("patchworks, native", both, two), vec![]),
        (flow("native, flowrunner, patchworks", both, two), vec![]),
        (
            flow("patchworks", both, two),
            vec![
                "the URL of the trigger `Order` at the face native ends",
                "the URL of the trigger `Paid` at the face native ends; 3 executions wait there",
            ],
        ),
        (
            flow("native", "", ""),
            vec![
                "the URL of the trigger `Order` at the face patchworks ends",
                "the URL of the trigger `Paid` at the face patchworks ends; 3 executions wait there",
            ],
        ),
        (
            flow("native, patchworks", staging, two),
            vec![
                "the URL of the trigger `Order` in the environment test ends",
                "the URL of the trigger `Paid` in the environment test ends",
            ],
        ),
        (
            flow("native, patchworks", test, two),
            vec![
                "the URL of the trigger `Order` in the environment staging ends",
                "the URL of the trigger `Paid` in the environment staging ends; 2 executions wait there",
            ],
        ),
        (
            flow("native, patchworks", both, one),
            vec![
                "the URL of the callback label of the trigger `Order` ends",
                "the URL of the callback label of the trigger `Paid` ends; 3 executions wait there",
            ],
        ),
    ] {
        let (status, body) = send_source(&server, "?dry_run=true", &source).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let warnings = body["warnings"].as_array().cloned().unwrap_or_default();
        assert_eq!(warnings, expected, "{source}");
        tried += 1;
    }
    crate::support::cases(tried);
    let (_, applied) = send_source(&server, "", &flow("patchworks", both, two)).await;
    assert_eq!(applied["warnings"].as_array().map(Vec::len), Some(2), "who applies it is told too: {applied}");
    let gone = urls["default"]["native"].as_str().unwrap();
    assert_eq!(server.post(gone, &json!({})).await.status(), StatusCode::NOT_FOUND);
}

async fn send_source(server: &TestServer, query: &str, source: &str) -> (StatusCode, Value) {
    let request = server.api(Method::PUT, &format!("/v1/flows/shop{query}")).body(source.to_owned());
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// S1, S7: `flow check` says that a response ends a flow of NocoBase.
#[tokio::test]
async fn s1_a_check_says_that_a_response_ends_the_flow() {
    let server = TestServer::start().await;
    let check = async |face: &str, end: &str| {
        let source = format!(
            "flow: f\nsteps:\n  - trigger: A\n    face: {face}\n    mode: sync\n  - respond: {{ status: 200{end} }}\n"
        );
        let request = server.api(Method::PUT, "/v1/flows/f?dry_run=true").body(source);
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        body["notes"].to_string()
    };
    assert!(check("nocobase", "").await.contains("6:5: steps[1]: this `respond` ends the flow"));
    for (face, end) in [("nocobase", ", end: false"), ("nocobase", ", end: true"), ("native", "")] {
        assert!(!check(face, end).await.contains("ends the flow"), "{face}{end}");
    }
}

/// S13: `environments` at a face whose URLs have no place for them is a mistake, not a URL that is missing.
#[tokio::test]
async fn s13_environments_at_other_faces_are_a_mistake() {
    let server = TestServer::start().await;
    let flow = |face: &str| format!("flow: f\nsteps:\n  - trigger: A\n    face: {face}\n    environments: [staging]\n");
    for face in ["native", "flowrunner", "nocobase", "grexx", "[native, nocobase]"] {
        let (status, body) = server.try_deploy(&flow(face)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{face}");
        let mistake = &body["errors"][0];
        assert_eq!((&mistake["line"], &mistake["column"]), (&json!(5), &json!(5)));
        assert!(mistake["detail"].as_str().unwrap().contains("`patchworks`"), "{mistake}");
    }
    assert_eq!(server.try_deploy(&flow("[native, patchworks]")).await.0, StatusCode::CREATED);
}

/// S10: the page's own name for the signature.
#[tokio::test]
async fn s10_the_signature_has_the_name_of_the_page() {
    let server = TestServer::start().await;
    let url = server.deploy_at("patchworks", "flow: f\nsteps:\n  - trigger: A\n    face: patchworks\n").await.remove(0);
    assert!(url.contains("?patchworks_signature="), "{url}");
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::OK);
    let earlier = url.replace("patchworks_signature", "signature");
    assert_eq!(server.post(&earlier, &json!({})).await.status(), StatusCode::OK, "as it was printed before");
}

/// S4: a caller of another product changes the host name and nothing else.
#[tokio::test]
async fn s4_urls_are_brought_along() {
    let server = TestServer::start().await;
    server.set_secret("PASSWORD", "secret").await;
    let flow = |name: &str, lines: &str| format!("flow: {name}\nsteps:\n  - trigger: A\n{lines}");
    for (lines, why) in [
        ("    ids: { key: 1hfmkioou0d }\n", "at least 22 characters"),
        ("    ids: { key: 1hf }\n    auth: { basic: { username: a, password: PASSWORD } }\n", "at least 8 characters"),
        ("    ids: { key: 'a/bcdefghijklmnopqrstuvwxyz' }\n", "letters, digits"),
        ("    ids: { key: aaaaaaaaaaaaaaaaaaaaaaaaaaaa }\n", "different characters"),
        ("    ids: { flow: AC0B2747-EAD8-4C9A-BB9C-9F0A4EBEAB81 }\n", "no URL of this trigger has a `flow`"),
        ("    face: flowrunner\n    ids: { trigger: 00000000-0000-0000-0000-000000000001 }\n", "different characters"),
        ("    face: flowrunner\n    ids: { trigger: 17 }\n", "expected"),
        ("    face: flowrunner\n    ids: { trigger: x }\n", "an id like"),
        ("    face: patchworks\n    callbacks: [{ name: main, signature: abc0123456789 }]\n", "can be guessed"),
        ("    face: patchworks\n    callbacks: [{ name: main, id: '1/2' }]\n", "letters, digits"),
        ("    ids: { kye: a }\n", "did you mean `key`"),
    ] {
        let (status, body) = server.try_deploy(&flow("wrong", lines)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{lines}");
        assert!(body["errors"][0]["detail"].as_str().unwrap().contains(why), "{lines}{body}");
    }
    let (pw, signature) = ("01k678es5y21ref5rgzszd6yvw", "9ne4gh16n123h5z9ytmmgyt12gd6td9ehs0cf1krr5g8atsg84h5");
    let (fr_flow, fr_trigger) = ("AC0B2747-EAD8-4C9A-BB9C-9F0A4EBEAB81", "C778279B-B151-6272-EDA7-76C9141E1F11");
    let brought = [
        (
            "    face: nocobase\n    ids: { key: 1hfmkioou0d }\n    auth: { basic: { username: a, password: PASSWORD } }\n".to_owned(),
            "/api/webhook:trigger/1hfmkioou0d".to_owned(),
        ),
        (
            format!("    face: flowrunner\n    ids: {{ flow: {fr_flow}, trigger: {fr_trigger} }}\n"),
            format!("/api/automation/flow/{fr_flow}/trigger/{fr_trigger}/activate"),
        ),
        (
            format!("    face: patchworks\n    callbacks: [{{ name: main, id: {pw}, signature: {signature} }}]\n"),
            format!("/api/v1/default/{pw}?patchworks_signature={signature}"),
        ),
        (
            "    ids: { key: 0123456789abcdefghijklmn }\n".to_owned(),
            "/h/0123456789abcdefghijklmn".to_owned(),
        ),
    ];
    for (index, (lines, path)) in brought.iter().enumerate() {
        let (status, body) = server.try_deploy(&flow(&format!("f{index}"), lines)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let urls = body["triggers"][0]["urls"]["default"].as_object().unwrap();
        assert_eq!(urls.values().next().unwrap(), &json!(format!("{}{path}", server.public)));
        for workspace in ["default", "other"] {
            let source = flow("another", lines);
            let request = server.api(Method::PUT, "/v1/flows/another").header("ringback-workspace", workspace);
            let response = request.body(source).send().await.unwrap();
            // The workspace is a part of Patchworks' URLs.
            let expected = if workspace == "other" && index == 2 { 201 } else { 422 };
            assert_eq!(response.status().as_u16(), expected, "{workspace}: {lines}");
            let whose = match workspace {
                "default" => format!("belongs to the trigger `a` of the flow `f{index}` already"),
                _ => "belongs to another trigger already".to_owned(),
            };
            let body: Value = response.json().await.unwrap();
            let detail = body["errors"][0]["detail"].as_str().unwrap_or_default();
            assert!(expected == 201 || detail.contains(&whose), "{workspace}: {body}");
        }
    }
    server.api(Method::POST, "/v1/flows/f3/disable").send().await.unwrap();
    let (status, body) = server.try_deploy(&flow("another", &brought[3].0)).await;
    assert_eq!(status, 422, "a disabled flow keeps its URLs");
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("the trigger `a` of the flow `f3`"), "{body}");
    server.api(Method::POST, "/v1/flows/f3/enable").send().await.unwrap();
    let twice = "flow: twice\nsteps:\n  - trigger: A\n    ids: { key: xyzxyz0123456789abcdef }\n  - trigger: B\n    ids: { key: xyzxyz0123456789abcdef }\n";
    let (status, body) = server.try_deploy(twice).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("the trigger `a` of this flow"), "{body}");

    let server = server.restart().await;
    for (index, (_, path)) in brought.iter().enumerate() {
        let request = server.call(Method::POST, &format!("{}{path}", server.public)).json(&json!({}));
        let response = request.basic_auth("a", Some("secret")).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        // Without the lines, the URL stays.
        let kept = if index == 0 { "    auth: { user: required }\n" } else { "    when: 'true'\n" };
        let (_, body) = server.try_deploy(&flow(&format!("f{index}"), kept)).await;
        assert_eq!(body["version"], 2, "{body}");
    }
    let (_, body) = server.try_deploy(&flow("f3", "    ids: { key: zyxwvutsrqponmlkjihgfedcba }\n")).await;
    assert!(body["warnings"][0].as_str().unwrap().contains("another URL"), "{body}");
    let gone = format!("{}{}", server.public, brought[3].1);
    assert_eq!(server.post(&gone, &json!({})).await.status(), StatusCode::NOT_FOUND);
}

/// S4: a ticket takes over the state of a URL that others have.
#[tokio::test]
async fn s4_a_ticket_brings_its_state_along() {
    let server = TestServer::start().await;
    let request = |state: &str| json!({ "state": state, "response": { "code": 204 } });
    for (state, why) in [
        ("00000000-0000-4000-8000-000000000000", "can be guessed"),
        ("01932cf4-5a2b-7c3d-8e4f-a1b2c3d4e5f6", "can be guessed"),
        ("x", ""),
    ] {
        let response = server.api(Method::POST, "/v1/tickets").json(&request(state)).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_client_error() && text.contains(why), "{state}: {status} {text}");
    }
    let state = "33931129-8459-4714-8c9b-ad9d15090289";
    let ticket = server.ticket(&request(state)).await;
    assert_eq!(ticket["url"], json!(format!("{}/cb/{state}", server.public)));
    assert_eq!(server.fetch(ticket["url"].as_str().unwrap()).await.status(), StatusCode::NO_CONTENT);
    let other = server.api(Method::POST, "/v1/tickets").header("ringback-workspace", "other").json(&request(state));
    let refused: Value = other.send().await.unwrap().json().await.unwrap();
    assert!(refused["detail"].as_str().unwrap().contains("another ticket"), "{refused}");
}

/// A9, R22: versions that nobody needs go, those of executions stay, and so do the URLs at which they wait.
#[tokio::test]
async fn a9_r22_versions_that_nobody_needs_go() {
    let server = TestServer::start_with(|config| config.retention.flow_versions = 3).await;
    let flow = |name: &str| format!("flow: many\nsteps:\n  - trigger: Start\n  - trigger: {name}\n    timeout: 1h\n");
    let urls = server.deploy_all(&flow("Zero")).await;
    let waits = start(&server, &urls[0]).await;
    server.eventually(&format!("/v1/executions/{waits}"), |run| run["status"] == "waiting").await;
    for name in ["One", "Two", "Three", "Four", "Five", "Six"] {
        server.deploy(&flow(name)).await;
    }
    let kept = |expected: Vec<u32>| {
        let server = &server;
        async move {
            let is_so = |list: &Value| {
                let versions = list["items"].as_array().unwrap().iter();
                versions.map(|one| one["version"].as_u64().unwrap() as u32).eq(expected.iter().copied())
            };
            server.eventually("/v1/flows/many/versions", is_so).await;
        }
    };
    kept(vec![1, 5, 6, 7]).await;
    let resumed = server.post(&format!("{}?execution={waits}", urls[1]), &json!({})).await;
    assert_eq!(resumed.status(), StatusCode::ACCEPTED, "the URL of a gone trigger is for those who wait there");
    assert_eq!(server.ended(&waits).await["status"], "completed");
    let (_, unknown) = send(&server, Method::GET, "/v1/flows/many/versions/2", json!({})).await;
    assert_eq!(unknown["code"], "not_found");
    let server = server.restart().await;
    assert_eq!(server.get("/v1/flows/many").await["version"], 7);
    let url = format!(
        "{}{}?execution={waits}",
        server.public,
        urls[1].split_once("/h/").map(|(_, key)| format!("/h/{key}")).unwrap()
    );
    assert_eq!(server.post(&url, &json!({})).await.json::<Value>().await.unwrap()["code"], "execution_ended");
}

/// B14: a plugin stays while a deployed flow, an execution that began with an earlier version, or a ticket needs it.
#[tokio::test]
async fn b14_a_plugin_that_is_needed_is_not_removed() {
    let server = TestServer::start().await.with_plugins(&["field-match", "template-reply"]).await;
    let refused = async |plugin: &str, who: &str| {
        let (status, problem) = send(&server, Method::DELETE, &format!("/v1/plugins/{plugin}"), json!({})).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("plugin_in_use")));
        assert!(problem["detail"].as_str().unwrap().contains(who), "{problem}");
    };
    let flow =
        |when: &str| format!("flow: pay\nsteps:\n  - trigger: Start\n  - trigger: Paid\n{when}    timeout: 1h\n");
    let asks = "    when: { plugin: field-match, with: { all: [{ path: $.paid, op: equals, value: true }] } }\n";
    let urls = server.deploy_all(&flow(asks)).await;
    refused("field-match", "the flow pay").await;
    let waits = start(&server, &urls[0]).await;
    server.eventually(&format!("/v1/executions/{waits}"), |run| run["status"] == "waiting").await;
    server.deploy(&flow("")).await;
    refused("field-match", "executions of the flow pay in version 1").await;
    let url = format!("{}?execution={waits}", urls[1]);
    assert_eq!(server.post(&url, &json!({ "paid": true })).await.status(), StatusCode::ACCEPTED);
    server.ended(&waits).await;
    assert_eq!(send(&server, Method::DELETE, "/v1/plugins/field-match", json!({})).await.0, StatusCode::NO_CONTENT);

    let ticket =
        server.ticket(&json!({ "handler": { "plugin": "template-reply", "with": { "template": "x" } } })).await;
    let id = ticket["id"].as_str().unwrap();
    refused("template-reply", &format!("the ticket {id}")).await;
    send(&server, Method::DELETE, &format!("/v1/tickets/{id}"), json!({})).await;
    assert_eq!(send(&server, Method::DELETE, "/v1/plugins/template-reply", json!({})).await.0, StatusCode::NO_CONTENT);
}

/// A short key is allowed for those who prove themselves besides: when they need not any more, it is a mistake, however the flow
/// comes to that.
#[tokio::test]
async fn a_short_key_does_not_outlive_the_proof_that_it_was_allowed_for() {
    let server = TestServer::start().await;
    server.set_secret("PASSWORD", "secret").await;
    let flow = |lines: &str| format!("flow: short\nsteps:\n  - trigger: A\n{lines}");
    let auth = "    auth: { basic: { username: a, password: PASSWORD } }\n";
    server.deploy(&flow("")).await;
    let (status, body) = server.try_deploy(&flow(&format!("    ids: {{ key: 1hfmkioou0d }}\n{auth}"))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let server = server.restart().await;
    let refused = async |lines: &str| {
        let (status, body) = server.try_deploy(&flow(lines)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{lines}{body}");
        let mistake = &body["errors"][0];
        assert!(
            mistake["detail"].as_str().unwrap().contains("11 characters, which are enough only with `verify`"),
            "{body}"
        );
        assert_eq!(mistake["line"], 3);
    };
    for lines in
        ["", "    when: 'true'\n", "    face: nocobase\n", "    verify: none\n", "    auth: { on_fail: ignore }\n"]
    {
        refused(lines).await;
    }
    let (status, body) = send(&server, Method::PUT, "/v1/flows/short/active", json!({ "version": 1 })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "nor by an earlier version: {body}");
    let url = format!("{}/h/1hfmkioou0d", server.public);
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::UNAUTHORIZED, "it is as it was");

    server.deploy(&flow(&format!("{auth}    when: 'true'\n"))).await;
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::UNAUTHORIZED, "the key stays with the proof");
    let long = server.deploy(&flow("    ids: { key: zyxwvutsrqponmlkjihgfedcba }\n")).await;
    assert_eq!(server.post(&long, &json!({})).await.status(), StatusCode::ACCEPTED);
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::NOT_FOUND);
}

/// C4: an execution that waits reads a callback, and answers it, as the version does that it runs; over a restart too.
#[tokio::test]
async fn c4_a_callback_is_read_by_the_version_that_waits() {
    let flow = |alias: &str| {
        format!(
            "flow: pay\nsteps:\n  - trigger: Start\n  - trigger: Paid\n    fields: {{ {alias}: $.amount }}\n    when: \
             fields.{alias} > 0\n    reply: {{ status: 201, json: {{ {alias}: '${{{{ fields.{alias} }}}}' }} }}\n  - set: {{ paid: \
             '${{{{ fields.{alias} }}}}' }}\n"
        )
    };
    let server = TestServer::start().await;
    let urls = server.deploy_all(&flow("amount")).await;
    let mut old = Vec::new();
    for _ in 0..4 {
        old.push(start(&server, &urls[0]).await);
    }
    let mut new = Vec::new();
    server.deploy(&flow("total")).await;
    for _ in 0..2 {
        new.push(start(&server, &urls[0]).await);
    }
    let server = server.restart().await;
    let url = server.here(&urls[1]);
    let paid = |server: &TestServer, execution: &str, amount: i32| {
        server.call(Method::POST, &format!("{url}?execution={execution}")).json(&json!({ "amount": amount })).send()
    };
    for (id, alias) in [(&old[0], "amount"), (&new[0], "total")] {
        assert_eq!(paid(&server, id, 0).await.unwrap().status(), StatusCode::NO_CONTENT, "its own condition");
        let response = paid(&server, id, 7).await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.json::<Value>().await.unwrap(), json!({ alias: 7 }), "its own answer");
        assert_eq!(server.ended(id).await["journal"][3]["values"]["paid"], 7);
    }
    let response = paid(&server, "any", 8).await.unwrap();
    let trace = server.callback(&response).await["trace"].to_string();
    assert!(trace.contains(&format!("resumes the execution {}, which runs version 1", old[1])), "{trace}");
    assert_eq!(server.ended(&old[1]).await["journal"][3]["values"]["paid"], 8);
    let all: Value = paid(&server, "all", 9).await.unwrap().json().await.unwrap();
    for id in [&old[2], &old[3], &new[1]] {
        assert!(all.to_string().contains(id.as_str()), "{all}");
        assert_eq!(server.ended(id).await["journal"][3]["values"]["paid"], 9);
    }
}

/// C4: what a version cannot read is told to its own executions alone; mail is read by the version that will take it.
#[tokio::test]
async fn c4_what_an_earlier_version_cannot_read_does_not_stop_the_others() {
    let flow = |parse: &str| {
        format!(
            "flow: read\nsteps:\n  - trigger: Start\n  - trigger: Between\n  - trigger: Then\n    parse: {parse}\n  - set: {{ got: \
             '${{{{ data }}}}' }}\n"
        )
    };
    let server = TestServer::start().await;
    let urls = server.deploy_all(&flow("json")).await;
    let early = start(&server, &urls[0]).await;
    let waits = start(&server, &urls[0]).await;
    assert_eq!(server.post(&format!("{}?execution={waits}", urls[1]), &json!({})).await.status(), StatusCode::ACCEPTED);
    server.eventually(&format!("/v1/executions/{waits}"), |run| run["waiting_at"] == "then").await;
    server.deploy(&flow("text")).await;
    let then = |execution: &str, body: &'static str| {
        server.call(Method::POST, &format!("{}?execution={execution}", urls[2])).body(body).send()
    };
    let refused = then(&waits, "no json").await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let trace = server.callback(&refused).await["trace"].to_string();
    assert!(trace.contains("version 1 of the flow cannot read it"), "{trace}");
    assert_eq!(then("any", "no json").await.unwrap().status(), StatusCode::BAD_REQUEST, "nobody can");

    let new = start(&server, &urls[0]).await;
    assert_eq!(server.post(&format!("{}?execution={new}", urls[1]), &json!({})).await.status(), StatusCode::ACCEPTED);
    server.eventually(&format!("/v1/executions/{new}"), |run| run["waiting_at"] == "then").await;
    assert_eq!(then("any", "no json").await.unwrap().status(), StatusCode::ACCEPTED, "the new one can");
    assert_eq!(server.ended(&new).await["journal"][5]["values"]["got"], "no json");

    assert_eq!(then(&early, "no json").await.unwrap().status(), StatusCode::BAD_REQUEST, "also as mail");
    assert_eq!(then(&early, "{\"a\": 1}").await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(server.post(&format!("{}?execution={early}", urls[1]), &json!({})).await.status(), StatusCode::ACCEPTED);
    let journal = server.ended(&early).await["journal"].to_string();
    assert!(journal.contains("\"got\":{\"a\":1}"), "{journal}");
}

/// C4: `any` asks those of every version, each by its own condition.
#[tokio::test]
async fn c4_any_asks_every_version() {
    let flow = |kind: &str| {
        format!("flow: kinds\nsteps:\n  - trigger: Start\n  - trigger: Then\n    when: data.kind == '{kind}'\n")
    };
    let server = TestServer::start().await;
    let urls = server.deploy_all(&flow("a")).await;
    let first = start(&server, &urls[0]).await;
    server.deploy(&flow("b")).await;
    let second = start(&server, &urls[0]).await;
    let any = format!("{}?execution=any", urls[1]);
    assert_eq!(server.post(&any, &json!({ "kind": "c" })).await.status(), StatusCode::NO_CONTENT);
    for (kind, expected) in [("b", second), ("a", first)] {
        let resumed: Value = server.post(&any, &json!({ "kind": kind })).await.json().await.unwrap();
        assert_eq!(resumed["execution"], json!(expected), "{kind}");
    }
}

/// A10: `any` finds the one that is meant behind however many that are not, and asks none of one version twice.
#[tokio::test]
async fn a10_any_finds_who_is_meant_behind_many() {
    let flow = |when: &str| format!("flow: many\nsteps:\n  - trigger: Start\n  - trigger: Then\n    when: {when}\n");
    let server = TestServer::start().await;
    let urls = server.deploy_all(&flow("data.kind == 'old'")).await;
    for _ in 0..200 {
        start(&server, &urls[0]).await;
    }
    server.deploy(&flow("data.kind == 'new'")).await;
    let new = start(&server, &urls[0]).await;
    let any = format!("{}?execution=any", urls[1]);
    let response = server.post(&any, &json!({ "kind": "new" })).await;
    let trace = server.callback(&response).await["trace"].to_string();
    assert_eq!(response.json::<Value>().await.unwrap()["execution"], json!(new));
    assert!(trace.contains("200 that wait longer are not meant"), "{trace}");
    assert_eq!(trace.matches("data.kind == 'old'").count(), 1, "the rest run the same condition: {trace}");
}

/// C4: what the deployed version cannot read is read by those that wait in one that can; where nobody can, the deployed one says why.
#[tokio::test]
async fn c4_what_the_deployed_version_cannot_read_is_for_those_that_can() {
    let flow = |parse: &str| {
        format!(
            "flow: read\nsteps:\n  - trigger: Start\n  - trigger: Then\n    parse: {parse}\n  - set: {{ got: '${{{{ data }}}}' }}\n"
        )
    };
    let server = TestServer::start().await;
    let urls = server.deploy_all(&flow("json")).await;
    let (one, other) = (start(&server, &urls[0]).await, start(&server, &urls[0]).await);
    server.deploy(&flow("form")).await;
    let new = start(&server, &urls[0]).await;
    let then = |execution: &str| format!("{}?execution={execution}", urls[1]);
    let body = json!({ "v": 1 });
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    assert_eq!(server.post(&then(&new), &body).await.status(), unsupported, "the new one cannot");
    assert_eq!(server.post(&then("00000000-0000-7000-8000-000000000000"), &body).await.status(), unsupported);
    assert_eq!(server.post(&then(&one), &body).await.status(), StatusCode::ACCEPTED);
    assert_eq!(server.ended(&one).await["journal"][3]["values"]["got"], body);
    let any = server.post(&then("any"), &body).await;
    let trace = server.callback(&any).await["trace"].to_string();
    assert!(trace.contains("the deployed version cannot read it"), "{trace}");
    assert_eq!(any.json::<Value>().await.unwrap()["execution"], json!(other));
    assert_eq!(server.post(&then("any"), &body).await.status(), unsupported, "nobody is left who can");
}

/// A callback that names an execution which waits at a trigger is for that one, also where the trigger has become the first and
/// starts executions; what names none starts one.
#[tokio::test]
async fn c4_a_wait_goes_on_where_its_trigger_has_become_the_first() {
    let server = TestServer::start().await;
    let urls = server
        .deploy_all("flow: first\nsteps:\n  - trigger: A\n  - trigger: B\n    id: b\n  - set: { got: '${{ data }}' }\n")
        .await;
    let (waits, ended) = (start(&server, &urls[0]).await, start(&server, &urls[0]).await);
    server.post(&format!("{}?execution={ended}", urls[1]), &json!(0)).await;
    server.ended(&ended).await;
    let new = server.deploy("flow: first\nsteps:\n  - trigger: B\n    id: b\n  - set: { new: true }\n").await;
    assert_eq!(new, urls[1]);
    let resumed: Value =
        server.post(&format!("{new}?execution={waits}"), &json!({ "n": 1 })).await.json().await.unwrap();
    assert_eq!(resumed["execution"], json!(waits));
    assert_eq!(server.ended(&waits).await["journal"][3]["values"]["got"], json!({ "n": 1 }));
    for query in [String::new(), format!("?execution={ended}"), "?execution=any".to_owned()] {
        let started: Value = server.post(&format!("{new}{query}"), &json!({})).await.json().await.unwrap();
        let run = server.ended(started["execution"].as_str().unwrap()).await;
        assert_eq!(run["flow_version"], 2, "{query}");
    }
}

/// E1: an execution of another environment is not there, also where a trigger has become the first: the callback starts one, as with
/// any other id.
#[tokio::test]
async fn e1_a_wait_of_another_environment_is_none_at_a_first_trigger() {
    let server = TestServer::start().await;
    let environment = json!({ "url_prefix": "2" });
    assert!(send(&server, Method::PUT, "/v1/environments/staging", environment).await.0.is_success());
    let trigger = |name: &str| {
        format!(
            "  - trigger: {name}\n    id: {name}\n    face: patchworks\n    environments: [staging]\n    callbacks: [{{ name: main }}]\n"
        )
    };
    let flow = |triggers: &str| format!("flow: walls\nsteps:\n{triggers}  - respond: {{ json: {{ done: true }} }}\n");
    let (_, deployed) = server.try_deploy(&flow(&(trigger("a") + &trigger("b")))).await;
    let url = |of: &Value, index: usize, environment: &str| {
        of["triggers"][index]["callbacks"][0]["urls"][environment].as_str().unwrap().to_owned()
    };
    server.post(&url(&deployed, 0, "staging"), &json!({})).await;
    let waiting = server
        .eventually("/v1/executions?status=waiting", |list| list["items"].as_array().is_some_and(|all| all.len() == 1))
        .await;
    let id = waiting["items"][0]["id"].as_str().unwrap();
    let (_, deployed) = server.try_deploy(&flow(&trigger("b"))).await;
    for known in [id, "01900000-0000-7000-8000-000000000000"] {
        let answer = server.post(&format!("{}&execution={known}", url(&deployed, 0, "default")), &json!({})).await;
        assert_eq!(answer.status(), StatusCode::OK, "{known}");
    }
    assert_eq!(server.get(&format!("/v1/executions/{id}")).await["status"], "waiting");
    server.post(&format!("{}&execution={id}", url(&deployed, 0, "staging")), &json!({})).await;
    assert_eq!(server.ended(id).await["flow_version"], 1, "its own environment's URL is for it");
}

/// B7, B8: an execution of a removed flow is unknown where the next one of its name is called.
#[tokio::test]
async fn b7_b8_an_execution_of_a_removed_flow_is_unknown() {
    let source = "flow: job\nsteps:\n  - trigger: A\n  - trigger: B\n";
    let server = TestServer::start().await;
    let urls = server.deploy_all(source).await;
    let old = start(&server, &urls[0]).await;
    server.post(&format!("{}?execution={old}", urls[1]), &json!({})).await;
    server.ended(&old).await;
    assert_eq!(send(&server, Method::DELETE, "/v1/flows/job", json!({})).await.0, StatusCode::NO_CONTENT);
    let urls = server.deploy_all(source).await;
    let unknown = server.post(&format!("{}?execution={old}", urls[1]), &json!({})).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(unknown.json::<Value>().await.unwrap()["code"], "unknown_execution");
}

/// C6: whoever sends a callback for all again while it is handed out waits for the answer of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_repeats_of_a_callback_for_all_get_its_answer() {
    let server = TestServer::start().await;
    let source = "flow: all\nsteps:\n  - trigger: Start\n    face: [native, flowrunner]\n  - trigger: Then\n    face: [native, flowrunner]\n    dedupe: { by: '${{ data.id }}' }\n";
    let urls = server.deploy_all(source).await;
    let then = server.deploy_at("flowrunner", source).await.pop().unwrap();
    for _ in 0..100 {
        start(&server, &urls[0]).await;
    }
    let send = || server.call(Method::POST, &format!("{then}?execution=all")).json(&json!({ "id": 1 })).send();
    let answers = futures_util::future::join_all((0..5).map(|_| send())).await;
    let mut bodies = Vec::new();
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        bodies.push(answer.text().await.unwrap());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

/// A callback of a flow that was removed is sent again to no other one of its name, now or after a restart.
#[tokio::test]
async fn a_callback_of_a_removed_flow_is_not_replayed_into_the_next() {
    let server = TestServer::start().await;
    let source = "flow: job\nsteps:\n  - trigger: Start\n";
    let started = server.post(&server.deploy(source).await, &json!({ "n": 1 })).await;
    let record = server.callback(&started).await;
    server.ended(record["execution"].as_str().unwrap()).await;
    let path = format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap());
    let replay = async |server: &TestServer, query: &str| {
        let answer = server.api(Method::POST, &format!("{path}{query}")).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, again) = replay(&server, "").await;
    assert_eq!(status, 200, "{again}");
    server.ended(again["execution"].as_str().unwrap()).await;
    let removed = server.api(Method::DELETE, "/v1/flows/job").send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert_eq!(replay(&server, "").await.1["code"], "trigger_gone");
    let url = server.deploy(source).await;
    for query in ["", "?dry_run=true"] {
        let (status, refused) = replay(&server, query).await;
        assert_eq!((status, &refused["code"]), (409, &json!("trigger_gone")), "{refused}");
    }
    let server = server.restart().await;
    assert_eq!(replay(&server, "").await.1["code"], "trigger_gone");
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 2);
    let own = server.post(&server.here(&url), &json!({})).await;
    let own = server.callback(&own).await["id"].as_str().unwrap().to_owned();
    let replayed = server.api(Method::POST, &format!("/v1/callbacks/{own}/replay")).send().await.unwrap();
    assert_eq!(replayed.status(), StatusCode::OK, "its own are");
}
