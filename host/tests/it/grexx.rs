//! Grexx's callbacks, over HTTP: URLs in both forms, what a handler is given, and what it may change of the answer.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A handler that shows what it was given.
const HANDLER: &str = "flow: handler
steps:
  - trigger: Call
    face: grexx
  - set: { responseBody: '${{ data }}', responseCode: 202 }
";

fn with_handler(response: Value) -> Value {
    json!({ "handler": { "flow": "handler" }, "response": response, "allow_multiple": true })
}

/// A-GX-4, A-GX-6, A-GX-7, GX-11: what names no ticket is unknown, as everything that is.
#[tokio::test]
async fn an_address_that_is_not_exactly_right_is_unknown() {
    let server = TestServer::start().await;
    let in_path = server.ticket(&json!({ "response": { "body": "here" }, "allow_multiple": true })).await;
    let ticket = json!({ "response": { "body": "here" }, "allow_multiple": true, "state_parameter": "state" });
    let in_query = server.ticket(&ticket).await;
    let (path_state, query_state) = (in_path["state"].as_str().unwrap(), in_query["state"].as_str().unwrap());
    let public = &server.public;
    let unknown = [
        format!("{public}/cb/"),
        format!("{public}/cb/11111111"),
        format!("{public}/cb/33931129-8459-4714-8c9b-ad9d15090289"),
        format!("{public}/cb/{}", path_state.replace('-', "")),
        format!("{public}/cb/{path_state}/more"),
        format!("{public}/cb/{path_state}//"),
        format!("{public}/cb/{query_state}"),
        format!("{public}/cb?state={path_state}"),
        format!("{public}/cbq/state?state={path_state}"),
        format!("{public}/cbq/state"),
        format!("{public}/cbq/state?state="),
        format!("{public}/cbq/?state={query_state}"),
        format!("{public}/cbq/other?other={query_state}"),
        format!("{public}/cbq/state?other={query_state}"),
        format!("{public}/cbq/{query_state}"),
    ];
    let mut bodies = std::collections::BTreeSet::new();
    for url in &unknown {
        let refused = server.fetch(url).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{url}");
        bodies.insert(refused.text().await.unwrap());
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let twice = format!("{public}/cbq/state?state={query_state}&state={path_state}");
    let refused = server.fetch(&twice).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "state_ambiguous");
    let url = in_path["url"].as_str().unwrap();
    for method in [Method::HEAD, Method::OPTIONS] {
        let refused = server.call(method, url).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()["allow"], "GET, POST, PUT, DELETE, PATCH");
    }
    assert_eq!(server.fetch(url).await.text().await.unwrap(), "here");
    let same = format!("{public}/cbq/state?state={query_state}&state={query_state}");
    assert_eq!(server.fetch(&same).await.text().await.unwrap(), "here");
}

/// GX-01, GX-02, GX-03, GX-04, GX-12, GX-13, GX-14, GX-15, GX-17, GX-20, GX-33, GX-36, GX-37, GX-38, GX-39: one call makes
/// a ticket, with nothing installed; it answers the URL, the state and the id.
#[tokio::test]
async fn a_ticket_has_a_url_in_either_form() {
    let server = TestServer::start().await;
    let public = &server.public;
    let ticket = server.ticket(&json!({ "response": { "body": "here" }, "allow_multiple": true })).await;
    let state = ticket["state"].as_str().unwrap();
    assert_eq!(state.len(), 36);
    assert_ne!(ticket["id"], ticket["state"]);
    assert_eq!(ticket["url"], format!("{public}/cb/{state}"));
    for url in [
        format!("{public}/cb/{state}"),
        format!("{public}/cb/{state}/?id=5"),
        format!("{public}/cb/{}", state.to_uppercase()),
    ] {
        assert_eq!(server.fetch(&url).await.text().await.unwrap(), "here", "{url}");
    }
    let of_oauth = json!({ "response": { "body": "one" }, "state_parameter": "state", "allow_multiple": true });
    let (one, two) = (server.ticket(&of_oauth).await, server.ticket(&of_oauth).await);
    let fixed = format!("{public}/cbq/state");
    for ticket in [&one, &two] {
        let state = ticket["state"].as_str().unwrap();
        assert_eq!(ticket["url"], format!("{fixed}?state={state}"), "only the state varies");
        for url in [format!("{fixed}?state={state}"), format!("{fixed}/?code=7&state={state}")] {
            assert_eq!(server.fetch(&url).await.text().await.unwrap(), "one", "{url}");
        }
    }
    assert_eq!(server.get(&format!("/v1/tickets/{}", one["id"].as_str().unwrap())).await["state"], one["state"]);
    let empty = server.ticket(&json!({ "response": {}, "state_parameter": "" })).await;
    assert!(empty["url"].as_str().unwrap().starts_with(&format!("{public}/cb/")), "{empty}");
}

/// GX-16, GX-26, A-GX-11: another domain changes the URL, and nothing but a domain is one.
#[tokio::test]
async fn an_alternative_domain_is_in_the_url() {
    let server = TestServer::start().await;
    for wrong in ["http://pay.example.com", "pay.example.com", "https://pay.example.com/path", "https://"] {
        let (status, problem) = server.try_ticket(&json!({ "response": {}, "alternative_domain": wrong })).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("ticket_refused")), "{wrong}");
        assert!(problem["detail"].as_str().unwrap().contains("https://hooks.example.com"), "{problem}");
    }
    let ticket = server.ticket(&json!({ "response": {}, "alternative_domain": "https://pay.example.com/" })).await;
    assert_eq!(ticket["url"], format!("https://pay.example.com/cb/{}", ticket["state"].as_str().unwrap()));
    // Whatever host leads here, the path is the same.
    let here = format!("{}/cb/{}", server.public, ticket["state"].as_str().unwrap());
    assert_eq!(server.fetch(&here).await.status(), StatusCode::OK);
}

/// GX-05, GX-06, GX-18, GX-40, GX-41, GX-42, GX-43, GX-44, GX-45, GX-46, A-GX-8: a flow is given the request and the stored
/// response under the names that Grexx has.
#[tokio::test]
async fn a_handler_is_given_the_request_and_the_response() {
    let server = TestServer::start().await;
    let (status, deployed) = server.try_deploy(HANDLER).await;
    assert_eq!((status, &deployed["triggers"][0]["urls"]), (StatusCode::CREATED, &json!({})), "no URL of its own");
    let stored = json!({ "body": "<ok/>", "code": 201, "headers": { "content-type": "application/json", "x-custom-field": " custom-value" }, "redirect_url": "/page/thankyou" });
    let ticket = server.ticket(&with_handler(stored)).await;
    let url = format!("{}/?id=5&status=ok&from=afas&id=6", ticket["url"].as_str().unwrap());
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let request = server.call(method.clone(), &url).header("X-Twice", "a").header("X-Twice", "b");
        let answered = request.header("authorization", "Bearer secret").body("<a>ä</a>").send().await.unwrap();
        assert_eq!(answered.status(), StatusCode::ACCEPTED, "the handler said so");
        assert_eq!(answered.headers()["x-custom-field"], "custom-value");
        let record = server.callback(&answered).await;
        assert_eq!((&record["ticket"], &record["face"]), (&ticket["id"], &json!("grexx")));
        let mut given: Value = answered.json().await.unwrap();
        assert_eq!(given["requestMethod"], method.as_str().to_ascii_lowercase());
        assert_eq!(given["requestBody"], "<a>ä</a>");
        assert_eq!(given["requestQuery"], json!({ "id": ["5", "6"], "status": "ok", "from": "afas" }));
        let headers = given["requestHeaders"].as_object().unwrap();
        assert_eq!((&headers["x-twice"], headers.get("authorization")), (&json!("a, b"), None));
        assert_eq!(given["callbackSystemCase"], ticket["id"]);
        for (name, value) in [
            ("responseType", json!("response")),
            ("responseBody", json!("<ok/>")),
            ("responseCode", json!(201)),
            ("responseHeaders", json!({ "content-type": "application/json", "x-custom-field": " custom-value" })),
            ("responseRedirectUrl", json!("/page/thankyou")),
        ] {
            assert_eq!(given[name], value, "{name}");
        }
        let names = given.as_object_mut().unwrap();
        names.retain(|name, _| !name.starts_with("request") && !name.starts_with("response"));
        assert_eq!(names.len(), 1, "exactly these fields: {names:?}");
    }
}

/// GX-43, A-GX-6: the state is not among the parameters.
#[tokio::test]
async fn the_query_of_a_handler_is_without_the_state() {
    let server = TestServer::start().await;
    server.try_deploy(HANDLER).await;
    let request = json!({ "handler": { "flow": "handler" }, "state_parameter": "state" });
    let ticket = server.ticket(&request).await;
    let url = format!("{}&code=abc", ticket["url"].as_str().unwrap());
    let given: Value = server.fetch(&url).await.json().await.unwrap();
    assert_eq!(given["requestQuery"], json!({ "code": "abc" }));
    assert_eq!((&given["responseType"], &given["responseCode"]), (&json!("response"), &json!(200)));
}

/// A parameter that comes twice is a list, as everywhere.
#[tokio::test]
async fn s12_repeated_parameters_are_lists() {
    let server = TestServer::start().await;
    server.try_deploy(HANDLER).await;
    let ticket = server.ticket(&json!({ "handler": { "flow": "handler" }, "state_parameter": "state" })).await;
    let url = format!("{}&id=1&code=abc&id=2&id=3", ticket["url"].as_str().unwrap());
    let given: Value = server.fetch(&url).await.json().await.unwrap();
    assert_eq!(given["requestQuery"], json!({ "id": ["1", "2", "3"], "code": "abc" }));
}

/// A-GX-9: what is not text comes as base64, and says so.
#[tokio::test]
async fn a_body_that_is_not_text_is_base64() {
    let server = TestServer::start().await;
    server.try_deploy(HANDLER).await;
    let ticket = server.ticket(&with_handler(json!({}))).await;
    let request = server.call(Method::POST, ticket["url"].as_str().unwrap()).body(vec![0xff, 0x00, 0xfe]);
    let given: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!((&given["requestBody"], &given["requestBodyEncoding"]), (&json!("/wD+"), &json!("base64")));
}

/// GX-07, GX-09, GX-10, GX-27, GX-28, GX-30, GX-31, GX-32: the answer is what was stored, and what a handler changes of it.
#[tokio::test]
async fn the_answer_is_what_was_stored_and_changed() {
    let server = TestServer::start().await;
    let stored = json!({ "type": "response", "body": "<ok/>", "code": 203, "headers": { "content-type": "application/xml", "x-custom-field": " custom-value" } });
    let ticket = server.ticket(&json!({ "response": stored, "allow_multiple": true })).await;
    let answered = server.post(ticket["url"].as_str().unwrap(), &json!({ "status": "paid" })).await;
    let record = server.callback(&answered).await;
    assert_eq!((&record["outcome"], &record["body"]), (&json!("answered"), &json!("{\"status\":\"paid\"}")));
    let replay = server.api(Method::POST, &format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap()));
    assert_eq!(replay.send().await.unwrap().json::<Value>().await.unwrap()["code"], "no_flow");
    assert_eq!(
        (answered.status().as_u16(), answered.headers()["content-type"].to_str().unwrap()),
        (203, "application/xml")
    );
    assert_eq!(answered.headers()["x-custom-field"], "custom-value");
    assert_eq!(answered.text().await.unwrap(), "<ok/>");
    let plain = server.ticket(&json!({ "response": { "body": "a;b" } })).await;
    let answered = server.fetch(plain["url"].as_str().unwrap()).await;
    assert_eq!(answered.status(), StatusCode::OK, "the default");
    assert_eq!(answered.headers()["content-type"], "text/plain; charset=utf-8");

    let handler = "flow: handler
steps:
  - trigger: Call
    face: grexx
    fields: { status: { body: status } }
  - if: fields.status == 'paid'
    then:
      - set: { responseCode: 201, responseBody: 'thanks for ${{ data.requestMethod }}', responseHeaders: { x-a: b } }
    else:
      - set: { responseType: redirect, responseRedirectUrl: /page/again }
";
    server.try_deploy(handler).await;
    let ticket = server.ticket(&with_handler(json!({ "body": "stored", "headers": { "x-stored": "c" } }))).await;
    let url = ticket["url"].as_str().unwrap();
    let answered = server.post(url, &json!({ "status": "paid" })).await;
    assert_eq!((answered.status().as_u16(), answered.headers().get("x-stored")), (201, None));
    assert_eq!(
        (&answered.headers()["x-a"], answered.headers()["content-type"].to_str().unwrap()),
        (&"b".parse().unwrap(), "text/plain; charset=utf-8")
    );
    assert_eq!(answered.text().await.unwrap(), "thanks for post");
    let answered = server.post(url, &json!({ "status": "open" })).await;
    assert_eq!((answered.status().as_u16(), answered.headers()["location"].to_str().unwrap()), (303, "/page/again"));
}

/// A status that has no body leaves out the one that is stored, and the record says so; a stored one is checked as it is.
#[tokio::test]
async fn a_handler_that_sets_a_status_without_a_body_is_answered_without() {
    let server = TestServer::start().await;
    let (status, body) = server.try_ticket(&json!({ "response": { "code": 204, "body": "x" } })).await;
    assert!(status.is_client_error(), "{body}");
    server
        .try_deploy("flow: handler\nsteps:\n  - trigger: Call\n    face: grexx\n  - set: { responseCode: '${{ int(data.requestQuery.code) }}' }\n")
        .await;
    for code in [204, 304, 200] {
        let ticket = server.ticket(&with_handler(json!({ "body": "stored" }))).await;
        let answered = server.fetch(&format!("{}?code={code}", ticket["url"].as_str().unwrap())).await;
        let record = server.callback(&answered).await;
        assert_eq!(answered.status().as_u16(), code, "{record:#}");
        assert_eq!(record["trace"].to_string().contains("`responseBody` is left out"), code != 200, "{record:#}");
        assert_eq!(answered.headers().contains_key("content-type"), code == 200);
        assert_eq!(answered.text().await.unwrap(), if code == 200 { "stored" } else { "" });
    }
}

const PAYMENT: &str = "flow: payment
steps:
  - trigger: Order
    mode: sync
  - ticket:
      handler: { trigger: Paid }
      state_parameter: order
      retryable: true
      expires_in: ${{ data.minutes }}m
      response: { type: redirect, redirect_url: '/orders/${{ data.order }}' }
    as: back
  - set: { responseCode: 599, responseBody: of before }
  - respond: { json: { back: '${{ back }}' } }
  - trigger: Paid
    face: grexx
  - set: { responseRedirectUrl: '${{ data.responseRedirectUrl }}?status=${{ data.requestQuery.status }}' }
";

/// GX-01, GX-08, GX-19, GX-29, GX-36, GX-37, GX-38: a step makes a ticket for the execution's own later trigger, and the
/// user comes back through it.
#[tokio::test]
async fn a_step_makes_a_ticket_for_a_later_trigger() {
    let server = TestServer::start().await;
    let url = server.deploy(PAYMENT).await;
    let answered = server.post(&url, &json!({ "order": "A-1", "minutes": 15 })).await;
    let back = answered.json::<Value>().await.unwrap()["back"].clone();
    assert_eq!(back.as_object().unwrap().len(), 3, "{back}");
    let ticket = server.get(&format!("/v1/tickets/{}", back["id"].as_str().unwrap())).await;
    assert_eq!(
        (&ticket["status"], &ticket["url"], ticket["expires_at"].is_string()),
        (&json!("open"), &back["url"], true)
    );
    let execution = ticket["handler"]["execution"].as_str().unwrap().to_owned();
    server.eventually(&format!("/v1/executions/{execution}"), |execution| execution["status"] == "waiting").await;
    let answered = server.fetch(&format!("{}&status=ok", back["url"].as_str().unwrap())).await;
    assert_eq!(answered.status(), StatusCode::FOUND);
    assert_eq!(answered.headers()["location"], "/orders/A-1?status=ok", "what was set before the call is not of it");
    assert_eq!(server.ended(&execution).await["status"], "completed");
    let ticket = server.get(&format!("/v1/tickets/{}", back["id"].as_str().unwrap())).await;
    assert_eq!(ticket["status"], "closed");
    assert_eq!(server.callback(&answered).await["id"], ticket["callback"]);
}

/// GX-19: a ticket for the trigger of an execution that runs already; what cannot be waited for is refused.
#[tokio::test]
async fn a_ticket_can_be_made_for_an_execution_that_waits() {
    let server = TestServer::start().await;
    let flow = "flow: payment\nsteps:\n  - trigger: Order\n  - set: { responseCode: 500 }\n  - trigger: Paid\n    id: paid\n  - set: { responseBody: '${{ triggers[\"Order\"].data.order }} ${{ data.requestBody }}' }\n";
    let url = server.deploy(flow).await;
    let started: Value = server.post(&url, &json!({ "order": "A-1" })).await.json().await.unwrap();
    let execution = started["execution"].as_str().unwrap();
    for (handler, expected) in [
        (json!({ "execution": execution }), "a handler is either"),
        (json!({ "execution": execution, "trigger": "paid", "flow": "payment" }), "a handler is either"),
        (json!({ "execution": execution, "trigger": "Order" }), "has no trigger `Order`"),
        (json!({ "execution": execution, "trigger": "nope" }), "it has: paid"),
        (json!({ "execution": "0199aaaa-0000-7000-8000-000000000000", "trigger": "paid" }), "there is no execution"),
        (json!({ "flow": "nope" }), "there is no flow nope"),
        (json!({ "plugin": "nope" }), "there is no plugin `nope`"),
    ] {
        let (status, problem) = server.try_ticket(&json!({ "handler": handler })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
    }
    let ticket = server.ticket(&json!({ "handler": { "execution": execution, "trigger": "Paid" } })).await;
    // An asynchronous trigger: the stored answer, as it is when the change is durable.
    let answered = server.call(Method::POST, ticket["url"].as_str().unwrap()).body("yes").send().await.unwrap();
    assert_eq!((answered.status(), answered.text().await.unwrap()), (StatusCode::OK, "A-1 yes".to_owned()));
    server.ended(execution).await;
    let (_, problem) = server.try_ticket(&json!({ "handler": { "execution": execution, "trigger": "paid" } })).await;
    assert!(problem["detail"].as_str().unwrap().contains("is completed"), "{problem}");
}

/// GX-18: a responder plugin answers, with the same fields; it may send the caller on.
#[tokio::test]
async fn a_plugin_answers() {
    let server = TestServer::start().await.with_plugins(&["template-reply"]).await;
    let (status, problem) =
        server.try_ticket(&json!({ "handler": { "plugin": "template-reply", "with": { "template": "{{ a" } } })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("does not accept this configuration"), "{problem}");
    let with = json!({ "template": "{{ data.requestMethod }} {{ data.requestQuery.id }} {{ data.responseBody }}", "type": "text" });
    let ticket = json!({ "handler": { "plugin": "template-reply", "with": with }, "response": { "body": "stored" } });
    let ticket = server.ticket(&ticket).await;
    let answered = server.fetch(&format!("{}?id=5", ticket["url"].as_str().unwrap())).await;
    let record = server.callback(&answered).await;
    assert_eq!(
        (&record["outcome"], &record["trace"][0]["plugins"][0]["plugin"]),
        (&json!("answered"), &json!("template-reply"))
    );
    assert_eq!(answered.text().await.unwrap(), "get 5 stored");
    assert_eq!(server.fetch(ticket["url"].as_str().unwrap()).await.status(), StatusCode::GONE);

    for (status, target, expected) in [
        (302, "/page/thankyou", 302),
        (302, "https://evil.example/", 502),
        (200, "/page/thankyou", 500),
        (303, "", 500),
    ] {
        let headers = if target.is_empty() { json!({}) } else { json!({ "location": target }) };
        let with = json!({ "template": "", "type": "text", "status": status, "headers": headers });
        let ticket = server.ticket(&json!({ "handler": { "plugin": "template-reply", "with": with } })).await;
        let answered = server.fetch(ticket["url"].as_str().unwrap()).await;
        assert_eq!(answered.status().as_u16(), expected, "{status} {target}");
    }
}

/// GX-09, GX-10, S2: who calls a ticket is answered when its handler first waits for something else, with the answer as it is by
/// then; a later call is no second one under way.
#[tokio::test]
async fn s2_a_caller_is_answered_when_the_handler_comes_to_rest() {
    let server = TestServer::start().await;
    for (rests, name) in [
        ("trigger: Confirmed", "trigger"),
        ("delay: 1h", "delay"),
        ("http: { url: 'https://nowhere.invalid/', retry: { attempts: 5, backoff: 1h } }", "retry"),
    ] {
        let source = format!(
            "flow: handler\nsteps:\n  - trigger: Call\n    face: grexx\n    respond_within: 10m\n  - set: {{ responseBody: 'thanks, ${{{{ data.requestQuery.who }}}}', responseCode: 201 }}\n  - {rests}\n  - set: {{ responseBody: too late }}\n"
        );
        assert!(server.try_deploy(&source).await.0.is_success(), "{source}");
        for retryable in [false, true] {
            let ticket =
                json!({ "handler": { "flow": "handler" }, "retryable": retryable, "response": { "body": "stored" } });
            let ticket = server.ticket(&ticket).await;
            let url = format!("{}?who=you", ticket["url"].as_str().unwrap());
            let answered =
                tokio::time::timeout(std::time::Duration::from_secs(20), server.fetch(&url)).await.expect(name);
            assert_eq!(answered.status(), StatusCode::CREATED, "{name}");
            let record = server.callback(&answered).await;
            assert_eq!(answered.text().await.unwrap(), "thanks, you");
            assert_eq!(server.fetch(&url).await.status(), StatusCode::GONE, "{name}: it was successful");
            let run = server.get(&format!("/v1/executions/{}", record["execution"].as_str().unwrap())).await;
            assert_eq!(run["status"], "waiting", "{name}");
        }
    }
}

/// S2: `respond` in the flow of a ticket answers now, also by a redirect, and the flow goes on.
#[tokio::test]
async fn s2_a_response_step_answers_a_ticket_by_a_redirect() {
    let server = TestServer::start().await;
    let flow = |target: &str| {
        format!(
            "flow: back\nsteps:\n  - trigger: Call\n    face: grexx\n  - respond: {{ type: redirect, redirect_url: \"{target}\" }}\n  - delay: 1s\n  - set: {{ went: on }}\n"
        )
    };
    for (target, status, location) in [
        ("/orders/${{ data.requestQuery.order }}", StatusCode::SEE_OTHER, Some("/orders/7")),
        ("https://elsewhere.example/", StatusCode::BAD_GATEWAY, None),
        ("//${{ 'elsewhere' }}.example/", StatusCode::BAD_GATEWAY, None),
    ] {
        assert!(server.try_deploy(&flow(target)).await.0.is_success());
        let ticket = server.ticket(&json!({ "handler": { "flow": "back" } })).await;
        let answered = server.fetch(&format!("{}?order=7", ticket["url"].as_str().unwrap())).await;
        assert_eq!(answered.status(), status, "{target}");
        assert_eq!(answered.headers().get("location").map(|to| to.to_str().unwrap()), location, "{target}");
        let record = server.callback(&answered).await;
        let run = server.ended(record["execution"].as_str().unwrap()).await;
        assert_eq!(run["status"], "completed", "{target}");
    }
}
