//! The page of a trigger, and where only buttons lead.

use super::{Browser, ORDERS, location};
use crate::support::TestServer;
use reqwest::StatusCode;
use serde_json::json;

const PAGE: &str = "/console/flows/orders/triggers/order-received";

#[tokio::test]
async fn a_trigger_is_tried_and_its_flow_is_changed_by_who_deploys_it() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    for total in [1, 150, 500] {
        server.post(&url, &json!({ "total": total, "items": [{ "sku": "a" }] })).await;
    }
    server.eventually("/v1/callbacks", |list| list["items"].as_array().unwrap().len() == 3).await;
    let viewer = Browser::of(&server, "viewer").await;
    let page = viewer.page(PAGE).await;
    assert!(page.contains(&url) && !page.contains("Send it") && !page.contains("name=\"when\""), "{page}");
    for what in ["send", "try", "judge", "when", "sample", "fields"] {
        assert_eq!(viewer.submit(PAGE, &[("do", what)]).await.status(), StatusCode::FORBIDDEN, "{what}");
    }
    let author = Browser::of(&server, "author").await;
    let page = author.page(PAGE).await;
    assert!(page.contains("data.total &gt; 100</textarea>") && !page.contains("name=\"sign\""), "{page}");
    // A trial.
    let test = [("url", url.as_str()), ("method", "POST"), ("body", "{\"total\": 1}")];
    let headers = ("headers", "content-type: application/json\r\n");
    let tried = author.submit(PAGE, &[&test[..], &[headers, ("do", "try")]].concat()).await.text().await.unwrap();
    assert!(
        tried.contains("It would be <span class=\"outcome ignored\">") && tried.contains("Nothing was kept"),
        "{tried}"
    );
    let wrong = author.submit(PAGE, &[&test[..], &[("headers", "no header"), ("do", "try")]].concat()).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = wrong.text().await.unwrap();
    assert!(wrong.contains("is not a header") && wrong.contains("{&quot;total&quot;: 1}</textarea>"), "{wrong}");
    assert_eq!(server.get("/v1/callbacks").await["items"].as_array().unwrap().len(), 3);
    let sent = author.submit(PAGE, &[&test[..], &[headers, ("do", "send"), ("address", "192.0.2.9")]].concat()).await;
    assert!(location(&sent).starts_with("/console/callbacks/"));
    let callback = author.page(location(&sent)).await;
    assert!(callback.contains("192.0.2.9") && callback.contains("#test\">Try its trigger with it"), "{callback}");
    let from = format!("{PAGE}?from={}", location(&sent).rsplit('/').next().unwrap());
    assert!(author.page(&from).await.contains("{&quot;total&quot;: 1}</textarea>"));
    // The condition on what has come.
    let judged = author.submit(PAGE, &[("do", "judge"), ("when", "data.total > 200")]).await.text().await.unwrap();
    assert!(judged.contains("Another thing would become of 1 of 4 callbacks."), "{judged}");
    let same = author.submit(PAGE, &[("do", "judge"), ("when", "data.total > 100")]).await.text().await.unwrap();
    assert!(same.contains("Nothing would be different"), "{same}");
    let wrong = author.submit(PAGE, &[("do", "judge"), ("when", "data.total >")]).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = wrong.text().await.unwrap();
    assert!(wrong.contains("data.total &gt;</textarea>") && wrong.contains("class=\"bad\""), "{wrong}");
    let drafted = author.submit(PAGE, &[("do", "when"), ("when", "data.total > 200")]).await.text().await.unwrap();
    assert!(drafted.contains("when: data.total &gt; 200") && drafted.contains("nothing has changed yet"), "{drafted}");
    assert!(drafted.contains("name=\"version\" value=\"1\""), "{drafted}");
    // A sample, and what is kept of it.
    let sample = ("sample", "{\"total\": 1, \"items\": [{\"sku\": \"a\"}]}");
    let parsed = author.submit(PAGE, &[("do", "sample"), sample]).await.text().await.unwrap();
    assert!(parsed.contains("value=\"total\"") && parsed.contains("<code>items[0].sku</code>"), "{parsed}");
    let nothing = author.submit(PAGE, &[("do", "sample"), ("sample", "nothing")]).await;
    assert_eq!(nothing.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let kept = [("part", "body"), ("path-0", "total"), ("alias-0", "sum"), ("keep-0", "yes"), ("path-1", "items")];
    let fields = author.submit(PAGE, &[&kept[..], &[("do", "fields")]].concat()).await.text().await.unwrap();
    assert!(fields.contains("fields:\n      sum: { body: &quot;total&quot; }"), "{fields}");
    let none = author.submit(PAGE, &[("part", "body"), ("path-0", "total"), ("do", "fields")]).await;
    assert_eq!(none.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(server.get("/v1/flows/orders").await["version"], 1, "nothing was deployed");
}

/// Whoever comes to where only a button leads, after he has signed in again, is at the page that has it.
#[tokio::test]
async fn where_only_buttons_lead_one_comes_to_their_page() {
    let server = TestServer::start().await;
    let browser = Browser::of(&server, "author").await;
    for (path, page) in [
        ("/console/callbacks/01a2/replay", "/console/callbacks/01a2"),
        ("/console/executions/01a2/cancel", "/console/executions/01a2"),
        ("/console/flows/a/enable", "/console/flows/a"),
        ("/console/flows/a/versions/3/activate", "/console/flows/a/versions/3"),
        ("/console/plugins/a/versions/3/activate", "/console/plugins/a"),
        ("/console/secrets/default/A/retire", "/console/secrets"),
        ("/console/logout", "/console"),
    ] {
        let response = browser.get(path).send().await.unwrap();
        assert_eq!((response.status(), location(&response)), (StatusCode::SEE_OTHER, page), "{path}");
    }
    let put = server.call(reqwest::Method::PUT, &format!("{}/console/flows/a/enable", server.admin));
    let put = put.header("cookie", &browser.cookie).header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(put.text().await.unwrap().contains("<h1>This cannot be done"));
    let lost = super::submit(&server, "/console/callbacks/01a2/replay", &[]).header("accept", "text/html");
    let lost =
        lost.header("referer", format!("{}/console/callbacks/01a2?body=raw", server.admin)).send().await.unwrap();
    assert_eq!(location(&lost), "/console/login?next=%2Fconsole%2Fcallbacks%2F01a2%3Fbody%3Draw");
}

/// The worst that somebody at an address can do to those who sign in from there: they are let in.
#[tokio::test]
async fn who_has_a_token_is_let_in_whatever_others_at_his_address_try() {
    let server = TestServer::start().await;
    let mut refused = 0;
    for _ in 0..60 {
        let response = super::submit(&server, "/console/login", &[("token", "rbk_wrong")]).send().await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            refused += 1;
            assert!(response.headers().contains_key("retry-after"));
            assert!(response.text().await.unwrap().contains("too many attempts from your address"));
        }
    }
    assert!((25..=30).contains(&refused), "{refused}");
    Browser::sign_in(&server, &server.token).await.page("/console/callbacks").await;
}

/// A copy of the cookie is worth nothing when its owner has signed out; his other browsers go on.
#[tokio::test]
async fn signing_out_ends_the_session_wherever_its_cookie_is() {
    let server = TestServer::start().await;
    let (one, other) = (Browser::sign_in(&server, &server.token).await, Browser::sign_in(&server, &server.token).await);
    assert_eq!(one.submit("/console/logout", &[]).await.status(), StatusCode::SEE_OTHER);
    let copies = [one.cookie.clone(), other.cookie.clone()];
    let is_in = async |server: &TestServer, cookie: &String| {
        let page = super::look(server, "/console/callbacks").header("cookie", cookie).send().await.unwrap();
        page.status() == StatusCode::OK
    };
    assert_eq!((is_in(&server, &copies[0]).await, is_in(&server, &copies[1]).await), (false, true));
    let server = server.restart().await;
    assert_eq!((is_in(&server, &copies[0]).await, is_in(&server, &copies[1]).await), (false, true));
    assert!(server.get("/v1/tokens").await["items"].as_array().unwrap().len() == 1, "the token counts");
}
